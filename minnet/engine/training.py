"""Training is a generator: whatever should happen between two steps is an `if` in the caller's loop.

    for step in train(model, data, optimizer=SGD(lr=0.1, momentum=0.9), epochs=20, batch_size=64, rng=0):
        if step.epoch == 10:
            prune(model, 0.9)

A batch is shared between threads: each has a tape and a row of the gradient; then each moves a part of the vector.
Dense and Conv2d layers whose mask leaves few weights are trained by these alone (packed.py).
"""
import math
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.chain import chain_of
from minnet.engine.chain_steps import steps_of
from minnet.engine.lr_schedules import LR_SCHEDULES
from minnet.engine.optimizers import as_optimizer
from minnet.engine.packed import is_sparse, pack
from minnet.engine.sample import check_pair, training_part
from minnet.engine.state import State, Step
from minnet.engine.tape import Tape
from minnet.errors import Diverged, InvalidType, InvalidValue, check_choice, check_count, check_positive, quoted
from minnet.kernels.sparse.spmm import FEW, VECTOR
from minnet.kernels.steps import square_norm, zero_masked

SHARD_MACS = 2**25    # multiply-adds of a forward pass: with fewer a thread, handing over costs more than it saves
CHAIN_MACS = 2**22    # the same where a thread's whole pass is one call
LIVE = 2**5           # so many of them for one of a sparse layer, which takes longer, as does what surrounds it
WINDOW = 2**16        # entries of the vector that are worth a thread's step


def train(model, data, *, optimizer=None, loss=None, epochs=10, batch_size=64, rng=None, lr_schedule="constant",
          penalty=None, clip_norm=None, every="epoch", state=None):
    """Train `model` on `data` (a Dataset, or a pair X, y); yields a Step once an epoch, each batch, or, where `every`
    is a number, after so many batches and at the end of the epoch.

    `optimizer` is SGD(lr=0.1) unless given, a name in OPTIMIZERS or an optimizer; `loss` cross_entropy for class
    numbers, mse for others, a name in LOSSES or a function of that form; `lr_schedule` a name in LR_SCHEDULES or a
    function of progress in [0, 1], counted over `epochs`; `penalty` one Penalty or several; `clip_norm` bounds the
    gradient's Euclidean norm (Pascanu et al., 2013, algorithm 1). `state` goes on with a run that was begun: its
    model, optimizer and place count, `rng` does not.
    Weights that the mask cuts stay exactly +0.0, and so does all that the State has of them. Layers with few live
    weights are trained by these alone, unless there is a penalty, which sees the whole model. Raises Diverged when the
    loss is NaN or infinite; the model then holds the values of the start of that epoch, or of the last one that began
    with finite values (0 where a live position has come since).
    """
    X, y, loss = check_pair(*training_part(data), model, loss)
    stride = _stride(every)
    if clip_norm is not None:
        check_positive("clip_norm", clip_norm)
    penalties = _check_penalties(penalty)
    batch_size = min(check_count("batch_size", batch_size, 1), len(X))
    if state is None:
        threads_wanted = shards_of(model, batch_size, loss, packs=not penalties,
                                   clips=clip_norm is not None or bool(penalties))
        state = State(model, as_optimizer(optimizer), rng, threads_wanted)
    check_state(state, model)
    check_place(state, batch_size, len(X))
    epochs = check_count("epochs", epochs, 0)
    rate = check_choice("lr_schedule", lr_schedule, LR_SCHEDULES)
    return _run(_Run(state, X, y, loss, batch_size, epochs, rate, penalties, clip_norm), stride)


def _check_penalties(penalty):
    """One penalty, several or none, as a tuple."""
    penalties = () if penalty is None else tuple(penalty) if isinstance(penalty, tuple | list) else (penalty,)
    for given in penalties:
        if not (hasattr(given, "add_gradient") and hasattr(given, "prox")) or isinstance(given, type):
            raise InvalidType(f"penalty={quoted(repr(given))}: give an object with value, add_gradient and prox, as "
                              "those that the functions in minnet.penalties make")
    return penalties


def shards_of(model, batch_size, loss, packs=True, clips=False):
    """How many threads share a batch: a function of shapes, mask and number of threads, so that bits repeat.

    `packs`: layers with few live weights are trained by these; `clips`: steps are made one by one.
    """
    layers = model.layers.values()
    if any(layer.shares_batch for layer in layers):
        return 1
    sparse = {layer for layer in layers for p in layer.parameters
              if p.index is not None or (packs and is_sparse(layer))}
    macs = sum(layer.positions * (LIVE * np.count_nonzero(p.mask) if layer in sparse else p.size)
               for layer in layers for p in layer.parameters if p.kind == "weight")
    chain = chain_of(model, loss) is not None
    worth = CHAIN_MACS if chain and not (sparse and clips) else SHARD_MACS
    if not sparse:
        most = batch_size
    else:  # of few rows the layers are shared, see shared_layers.py
        most = threads.n_threads() if chain and batch_size <= FEW else batch_size // VECTOR
    return max(1, min(threads.n_threads(), most, batch_size * int(macs) // worth))


def check_state(state, model):
    """Refuse what is no State, or not one of this model as it stands."""
    if not isinstance(state, State):
        raise InvalidType(f"state={quoted(repr(state))}: give the State of a Step, or one that was loaded")
    if state.model is not model:
        raise InvalidValue("this State belongs to another model: train(state.model, ..., state=state)")
    if state.topology != model.topology:
        raise InvalidValue("the model's live positions have moved since this State was made: rewire through the State")


def check_place(state, batch_size, rows):
    """Refuse to go on within an epoch that other batches were made of, and note how many rows each has."""
    if state.batch and (state.batch_size not in (0, batch_size) or state.batch * batch_size >= rows):
        size = state.batch_size or "other numbers of"
        raise InvalidValue(f"this run stands at batch {state.batch} of an epoch of batches of {size} rows, and cannot "
                           f"go on with batch_size={batch_size} of {rows:,} rows: finish the epoch as it began")
    state.batch_size = batch_size


def _stride(every):
    """How many batches there are between two Steps of an epoch."""
    if isinstance(every, str):
        if every not in ("epoch", "batch"):
            raise InvalidValue(f'every={quoted(repr(every))}: steps are yielded every "epoch", every "batch", or after '
                               "a number of batches")
        return math.inf if every == "epoch" else 1
    return check_count("every", every, 1)


def _run(run, stride):
    """The loop; when it ends, or nobody wants more of it, its memory is free at once."""
    try:
        yield from _epochs(run, stride)
    finally:
        run.let_go()


def _epochs(run, stride):
    """A Step after each epoch, and after so many batches. BLAS is held to one thread while we compute, not while the
    caller does."""
    state = run.state
    while state.epoch < run.epochs:
        with one_blas_thread():
            run.begin_epoch()
        try:
            while state.batch < run.n_batches:
                stop = min(state.batch - state.batch % stride + stride, run.n_batches)
                with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):  # the loss is checked
                    run.go_on(stop)
                if state.batch < run.n_batches:
                    run.give()
                    yield run.report()
        finally:
            run.give()
        loss = state.loss_sum / run.n_batches
        state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
        yield run.report(loss)


@dataclass
class _Run:
    """One call of `train`: the arguments, checked, and the memory that every step uses again."""

    state: State
    X: np.ndarray
    y: np.ndarray
    loss: object
    batch_size: int
    epochs: int
    rate: object
    penalties: tuple
    clip_norm: float | None
    lr: float = field(init=False, default=0.0)
    scale: float = field(init=False, default=1.0)

    def __post_init__(self):
        self.n_batches = -(-len(self.X) // self.batch_size)
        self.norm = np.zeros(1)
        self.rows = np.arange(len(self.X))
        self.order, self.before = self.rows.copy(), self.state.model.values.copy()
        self.state.start = self.before  # so it moves along when live positions do
        self.model = self.packed = self.topology = None
        self.mask = self.state.model.mask.copy()
        self.changed = np.zeros_like(self.mask)
        self.ahead = False

    def go_on(self, stop):
        """Batches up to `stop`."""
        if not self.ahead:
            self.arrange()
        while self.state.batch < stop:
            if self.many is None:
                self.step()
            else:
                self.several(stop)

    def arrange(self):
        """After the caller had the model: take over its mask, its places, its values and the State's vectors."""
        state, model = self.state, self.state.model
        check_state(state, model)
        np.not_equal(self.mask, model.mask, out=self.changed)
        changed = self.changed.any()
        if self.topology is None or changed:
            state.apply_mask()
        if self.topology != model.topology or changed:
            before, self.topology = self.packed, model.topology
            np.copyto(self.mask, model.mask)
            self.packed = None if self.penalties else pack(state, before, self.changed)
            if self.model is None or before is not self.packed:
                self.make_room()
        if self.packed is not None:
            self.packed.take(state)
        self.ahead = True

    def give(self):
        """Before the caller has the model: it is as the last step left it."""
        if self.ahead and self.packed is not None:
            self.packed.give(self.state)
        self.ahead = False

    def make_room(self):
        """The memory that every step uses again, for the model that is trained: the caller's, or the packed one."""
        trained = self.state if self.packed is None else self.packed
        self.model, self.vectors, shards = trained.model, trained.vectors, self.state.threads
        model, self.chain = self.model, chain_of(self.model, self.loss)
        self.grads = np.zeros((shards, len(model.values)), model.dtype)
        self.gradient = self.grads[:, : model.n_trainable]
        self.shards = [_Shard(self, i, row, stream)
                       for i, (row, stream) in enumerate(zip(self.grads, self.state.streams, strict=True))]
        parts = max(1, min(shards, model.n_trainable // WINDOW))
        edges = np.linspace(0, model.n_trainable, parts + 1).astype(int).tolist()
        self.moves = [partial(self.move, slice(start, stop)) for start, stop in pairwise(edges)]
        self.many, self.gradient_of_batch = steps_of(self)

    def let_go(self):
        """Drop what refers back to this run: a circle would keep all memory until the garbage collector comes."""
        self.shards = self.moves = self.many = self.gradient_of_batch = None
        if self.state.start is self.before:  # not that of a later run of the same State
            self.state.start = None

    def begin_epoch(self):
        """Draw the order of the rows; keep the values, in case this epoch diverges. No array is made."""
        np.copyto(self.order, self.rows)
        self.state.order_rng().shuffle(self.order)
        values = self.state.model.values
        if np.isfinite(values.min()) and np.isfinite(values.max()):  # else the last step of the epoch before diverged
            np.copyto(self.before, values)

    def step(self):
        """One batch: gradients of all shards, penalties, clipping, optimizer, prox, statistics."""
        state, model = self.state, self.model
        loss = sum(threads.run(self.shards)) if self.gradient_of_batch is None else self.gradient_of_batch()
        self.count(loss, self.rate_of(state.t + 1))
        for penalty in self.penalties:
            penalty.add_gradient(model, self.grads[0])
        self.scale = self.clip()
        threads.run(self.moves)
        for penalty in self.penalties:
            penalty.prox(model, self.lr)
        if self.penalties:
            zero_masked(model.mask, model.values)
        for layer in model.layers.values():
            layer.commit(self.shards[0].tape)
        state.batch += 1

    def several(self, stop):
        """Some batches in one call: nothing is to be done between them."""
        losses, rates = self.many.go_on(stop)
        for loss, lr in zip(losses.tolist(), rates, strict=True):
            self.count(loss, lr)
            self.state.batch += 1

    def rate_of(self, t):
        """The learning rate of step t, counted from 1."""
        return self.state.optimizer.lr * self.rate((t - 1) / (self.epochs * self.n_batches))

    def count(self, loss, lr):
        """One more step, whose batch had this loss."""
        self.state.t += 1
        self.lr = lr
        if not math.isfinite(loss):
            self.give_up(loss)
        self.state.loss_sum += float(loss)

    def move(self, window):
        """One thread's part of the optimizer's step."""
        state = self.state
        state.optimizer.step(self.model, window, self.gradient, self.vectors, self.lr, self.scale, state.t)

    def clip(self):
        """What the gradient is multiplied by so that its norm is at most clip_norm."""
        if self.clip_norm is None:
            return 1.0
        for gradient in self.gradient:  # of what the mask cuts nothing is learned
            zero_masked(self.model.mask[: self.model.n_trainable], gradient)
        square_norm(self.gradient, self.norm)
        return min(1.0, self.clip_norm / max(float(np.sqrt(self.norm[0])), np.finfo(float).tiny))

    def give_up(self, loss):
        """Put the last good values back and say where it ended."""
        state, model, self.ahead = self.state, self.state.model, False
        model.values[:] = self.before
        zero_masked(model.mask, model.values)
        raise Diverged(f"the loss became {loss} in epoch {state.epoch + 1}, batch {state.batch + 1} (step {state.t}, "
                       f"learning rate {self.lr:g}): take a smaller learning rate or clip_norm; the model keeps the "
                       "values of the epoch's start")

    def report(self, loss=None):
        """The Step that is yielded."""
        state = self.state
        loss = state.loss_sum / state.batch if loss is None else loss
        progress = (state.epoch + state.batch / self.n_batches) / self.epochs
        return Step(state.epoch, state.batch, loss, self.lr, state, progress)


class _Shard:
    """One thread's part of every batch: a tape, a row of the gradient, room for its rows of X."""

    def __init__(self, run, number, grads, stream):
        self.run = run
        self.number = number
        self.tape = Tape(run.model, training=True, rng=stream, grads=grads)

    def rows(self):
        """(row numbers of this thread's part of the batch under way, how many rows the whole batch has)."""
        run, parts = self.run, len(self.run.shards)
        start = run.state.batch * run.batch_size
        n = min(run.batch_size, len(run.order) - start)
        return run.order[start + n * self.number // parts : start + n * (self.number + 1) // parts], n

    def __call__(self):
        """Gradient of these rows' part of the mean over the batch; returns that part of the loss."""
        run, tape, model = self.run, self.tape, self.run.model
        rows, n = self.rows()
        if not len(rows):
            self.tape.grads[: model.n_trainable] = 0
            return 0.0
        if run.chain is not None:
            return run.chain.gradient(run.X, run.y, rows, n, tape)
        x = tape.buffer(model, "x", (len(rows), *run.X.shape[1:]))
        y = tape.buffer(model, "y", (len(rows), *run.y.shape[1:]), run.y.dtype)
        np.take(run.X, rows, axis=0, out=x, mode="clip")  # any other mode copies through a new array
        np.take(run.y, rows, axis=0, out=y, mode="clip")
        logits = model.forward(x, tape)
        dlogits = tape.buffer(model, "dlogits", logits.shape)
        losses = tape.buffer(model, "losses", (len(rows),), np.dtype(np.float64))
        loss = run.loss(logits, y, dlogits, n, losses)
        model.backward(dlogits, tape)
        return loss
