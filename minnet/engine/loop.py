"""The training loop, in three parts: a Job, a stepper that does its batches, and the loop around it.

    job = Job(state, X, y, cross_entropy, batch_size=64, epochs=20, schedule=constant)
    for step in loop(job, LayerStepper(job)):
        ...

`LayerStepper` is the definition of a training step: one thread, layer by layer. A stepper that is faster lives in
`minnet/fast/` and gives the same numbers; a test holds every one of them to this one.
"""
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.state import State, Step
from minnet.engine.tape import Tape
from minnet.errors import Diverged, InvalidType, InvalidValue, quoted
from minnet.kernels.steps import square_norm, zero_masked


@dataclass(frozen=True, eq=False)
class Job:
    """What `train` was asked, checked: read by every stepper, written by none.

    `X` is an array, or the SparseRows of csr.py: what is taken of either by row numbers is a dense batch. `model` and
    `vectors` are what is trained: the State's own, or smaller ones that stand for them while a stepper
    runs. `schedule` maps progress in [0, 1], counted over `epochs`, to the learning rate's factor. `weights` (n,) are
    those of the rows, or None where all count the same.
    """

    state: State
    X: np.ndarray
    y: np.ndarray
    loss: Callable
    batch_size: int
    epochs: int
    schedule: Callable[[float], float]
    penalties: tuple = ()
    clip_norm: float | None = None
    model: Model = None
    vectors: np.ndarray = None
    weights: np.ndarray | None = None
    n_batches: int = field(init=False)

    def __post_init__(self):
        for name, value in (("model", self.state.model), ("vectors", self.state.vectors)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "n_batches", -(-len(self.X) // self.batch_size))

    def rows(self, order: np.ndarray, batch: int) -> np.ndarray:
        """Return the row numbers of one batch of the epoch whose rows come in this order."""
        return order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def total(self, rows: np.ndarray) -> float:
        """Return what the sum of a batch's losses is divided by: its rows, or their weights in sum (1 where that is 0).

        So a batch of weights 0 has the loss 0 and the gradient 0.
        """
        return len(rows) if self.weights is None else float(self.weights[rows].sum()) or 1.0

    def loss_of(self, outputs: np.ndarray, y: np.ndarray, rows: np.ndarray, doutputs: np.ndarray, total: float,
                losses: np.ndarray | None = None) -> float:
        """Return sum(w_i l_i) / total over these rows, and write its gradient to `doutputs`.

        l_i is the loss of row i and w_i its weight; over a whole batch the total is sum(w_i), so this is the weighted
        mean. `losses` is scratch for the losses of the rows.
        """
        if self.weights is None:
            return self.loss(outputs, y, doutputs, total, losses)
        losses = np.empty(len(rows)) if losses is None else losses
        self.loss(outputs, y, doutputs, 1, losses)  # each row's own loss and gradient
        shares = self.weights[rows] / total
        doutputs *= shares[:, None]
        return float(shares @ losses)

    def learning_rate(self, t: int) -> float:
        """Return the learning rate of step t, counted from 1."""
        return self.state.optimizer.lr * self.schedule((t - 1) / (self.epochs * self.n_batches))


class Stepper(Protocol):
    """Does batches of a Job; `name` and `why` say which way it takes, and for what reason."""

    name: str
    why: str

    def begin(self) -> None:
        """Take over values, mask and live positions: the caller had the model."""

    def run(self, order: np.ndarray, first: int, stop: int) -> Sequence[float]:
        """Do batches from `first` up to `stop`, or fewer, and return the loss of each; stop at one that is not finite.

        What a step after a loss that is not finite leaves in the model is never seen: the loop puts the values back.
        """

    def end(self) -> None:
        """Leave model and State whole, as after the last batch: the caller has them."""


class LayerStepper:
    """The definition of a training step: gradient, penalties, clipping, optimizer, prox, mask, statistics."""

    name = "layers"
    why = "accelerate=False: one thread, layer by layer"

    def __init__(self, job: Job):
        self.job = job
        self.tape = Tape(job.model, training=True, rng=job.state.rngs[0])

    def begin(self):
        """Set to +0.0 what the mask cuts."""
        self.job.state.apply_mask()

    def run(self, order, first, stop):
        """Do one batch."""
        return [self.batch(self.job.rows(order, first))]

    def batch(self, rows):
        """Make one step on these rows of the data; return their mean loss."""
        job, state, model, tape = self.job, self.job.state, self.job.model, self.tape
        t = state.t + 1
        X, y = job.X[rows], job.y[rows]
        logits = model.forward(X, tape)
        dlogits = np.empty_like(logits)
        loss = job.loss_of(logits, y, rows, dlogits, job.total(rows))
        if not math.isfinite(loss):
            return loss
        model.backward(dlogits, tape)
        for penalty in job.penalties:
            penalty.add_gradient(model, tape.grads)
        gradient = tape.grads[None, : model.n_trainable]  # (1, n): one thread's share is all of it
        scale = clip_scale(job, gradient)
        state.optimizer.step(model, slice(0, model.n_trainable), gradient, job.vectors, job.learning_rate(t), scale, t)
        apply_prox(job, job.learning_rate(t))
        for layer in model.layers.values():
            layer.commit(tape)
        return loss

    def end(self):
        """Do nothing: the model is whole after every batch."""


def clip_scale(job: Job, grads: np.ndarray) -> float:
    """Return what the gradient is multiplied by so that its Euclidean norm is at most `clip_norm`.

    `grads` (shards, n) adds up to the gradient; what the mask cuts does not count, and becomes 0 in it.
    """
    if job.clip_norm is None:
        return 1.0
    for row in grads:
        zero_masked(job.model.mask[: len(row)], row)
    norm = np.zeros(1)
    square_norm(grads, norm)
    return min(1.0, job.clip_norm / max(float(np.sqrt(norm[0])), np.finfo(float).tiny))


def apply_prox(job: Job, lr: float) -> None:
    """Apply the penalties' proximal operators, and the mask after them."""
    for penalty in job.penalties:
        penalty.prox(job.model, lr)
    if job.penalties:
        zero_masked(job.model.mask, job.model.values)


def loop(job: Job, stepper: Stepper, stride: float = math.inf) -> Iterator[Step]:
    """Yield a Step after every `stride` batches and at the end of each epoch.

    Raises
    ------
    Diverged
        The loss of a batch is NaN or infinite. The model then has the values of the epoch's start, or of the last
        epoch that began with finite ones, and +0.0 wherever the mask cuts.
    """
    state, start, rows = job.state, job.state.model.values.copy(), np.arange(len(job.X))
    order = rows.copy()  # both are filled anew in each epoch: a step takes no memory
    state.start = start  # so that it moves along when live positions do
    try:
        while state.epoch < job.epochs:
            np.copyto(order, rows)
            state.order_rng().shuffle(order)
            keep_finite(state.model.values, start)
            while state.batch < job.n_batches:
                stop = min(state.batch - state.batch % stride + stride, job.n_batches)
                do_batches(job, stepper, order, int(stop), start)
                if state.batch < job.n_batches:
                    yield step_of(job, stepper, state.loss_sum / state.batch)
            loss = state.loss_sum / job.n_batches
            state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
            yield step_of(job, stepper, loss)
    finally:
        if state.start is start:  # not that of a later run of the same State
            state.start = None


def do_batches(job, stepper, order, stop, start):
    """Let the stepper do the batches up to `stop`; count them and their losses in the State.

    BLAS is limited to one thread inside; the caller's setting is restored before every yield.
    """
    state = job.state
    check_state(state, state.model)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):  # the loss says so, once a batch
        stepper.begin()
        try:
            loss = 0.0
            while state.batch < stop and math.isfinite(loss):
                loss = count(state, stepper.run(order, state.batch, stop))
        finally:
            stepper.end()
    if not math.isfinite(loss):
        restore_and_raise(job, loss, start)


def count(state, losses):
    """Count the batches that had these losses, up to one that is not finite; return the last one counted."""
    for loss in losses:
        state.t += 1
        if not math.isfinite(loss):
            break
        state.batch, state.loss_sum = state.batch + 1, state.loss_sum + float(loss)
    return loss


def keep_finite(values, start):
    """Copy `values` to `start` if all are finite; else the last step of the epoch before diverged."""
    if np.isfinite(values.min()) and np.isfinite(values.max()):
        np.copyto(start, values)


def restore_and_raise(job, loss, start):
    """Put the last good values back and say where the run ended."""
    state, model = job.state, job.state.model
    model.values[:] = start
    zero_masked(model.mask, model.values)  # the mask may have changed since the epoch began
    raise Diverged(f"the loss became {loss} in epoch {state.epoch + 1}, batch {state.batch + 1} (step {state.t}, "
                   f"learning rate {job.learning_rate(state.t):g}): take a smaller learning rate or clip_norm; the "
                   "model keeps the values of the epoch's start")


def step_of(job, stepper, loss):
    """Return the Step that is yielded."""
    state = job.state
    progress = (state.epoch + state.batch / job.n_batches) / job.epochs
    return Step(state.epoch, state.batch, loss, job.learning_rate(state.t), state, progress, stepper.name, stepper.why)


def check_state(state: State, model: Model) -> None:
    """Refuse what is no State, or not one of this model as it is now."""
    if not isinstance(state, State):
        raise InvalidType(f"state={quoted(repr(state))}: give the State of a Step, or one that was loaded")
    if state.model is not model:
        raise InvalidValue("this State belongs to another model: train(state.model, ..., state=state)")
    if state.topology != model.topology:
        raise InvalidValue("the model's live positions have moved since this State was made: rewire through the State")
