"""Training is a generator: whatever should happen between two steps is an `if` in the caller's loop.

    for step in train(model, data, optimizer=SGD(lr=0.1, momentum=0.9), epochs=20, batch_size=64, rng=0):
        if step.epoch == 10:
            prune(model, 0.9)

This file checks the arguments, makes a Job of them, picks a stepper, and runs the loop of engine/loop.py.
"""
import math
import warnings
from collections.abc import Callable, Iterator, Sequence

from minnet.engine.augmentation import Augment
from minnet.engine.distillation import Attack, Teacher, check_seen, seen
from minnet.engine.loop import Job, LayerStepper, check_state, loop
from minnet.engine.lr_schedules import LR_SCHEDULES
from minnet.engine.model import Model
from minnet.engine.optimizers import Optimizer, as_optimizer
from minnet.engine.sample import check_pair, labels_of, part_of, signature_for
from minnet.engine.state import State, Step
from minnet.engine.weights import row_weights
from minnet.errors import InvalidType, InvalidValue, check_choice, check_count, check_positive, quoted
from minnet.fast.choose import choose, shard_count
from minnet.typing import ArrayLike, ClassWeight, Schedule, Seed

PAIR = 2  # X and y


def train(model: Model, data, *, optimizer: Optimizer | str | None = None, loss: str | Callable | None = None,
          epochs: int = 10, batch_size: int = 64, rng: Seed = None, lr_schedule: str | Schedule = "constant",
          penalty=None, clip_norm: float | None = None, every: str | int = "epoch", state: State | None = None,
          accelerate: bool = True, class_weight: ClassWeight = None, sample_weight: ArrayLike | None = None,
          augment: Augment | None = None, teacher: Teacher | Model | None = None,
          scaling: str | Callable | None = None, adversarial: Attack | None = None) -> Iterator[Step]:
    """Train `model` on `data`: a generator that yields a Step once an epoch, or more often.

    Weights that the mask cuts stay exactly +0.0, and so does all that the State has of them. Layers with few live
    weights are trained by these alone, unless there is a penalty, which sees the whole model.

    Parameters
    ----------
    model : Model
        What is trained; its values change in place.
    data : Dataset or (X, y)
        The training part of a Dataset, or a pair of arrays; X may be a matrix of scipy.sparse, which is never made
        dense whole. A model without a signature gets that of the Dataset: from
        then on it takes rows, and gives labels, as the user's file has them. One with a signature keeps it.
    optimizer : Optimizer or str, optional
        SGD(lr=0.1) unless given; a name in OPTIMIZERS or an optimizer.
    loss : str or callable, optional
        A name in LOSSES or a function of that form; by default cross_entropy for classes, binary_cross_entropy for
        several labels a row (as a signature says, or bool (n, k)), mse for numbers.
    epochs, batch_size : int
        How many passes over the data, and how many rows a step takes.
    rng : int, numpy.random.Generator or None
        What the order of rows and dropout are drawn from.
    lr_schedule : str or callable
        A name in LR_SCHEDULES or a function of progress in [0, 1], counted over `epochs`.
    penalty : Penalty or sequence of Penalty, optional
        Regularisation: each adds its gradient before a step and applies its prox after it.
    clip_norm : float, optional
        The most that the gradient's Euclidean norm may be [1]_.
    every : {"epoch", "batch"} or int
        When a Step is yielded: each epoch, each batch, or after so many batches and at the end of the epoch.
    state : State, optional
        A run that was begun and goes on: its model, optimizer and place count, `rng` does not.
    accelerate : bool
        False runs the definition, one thread and layer by layer; True gives the same numbers sooner, up to the order of
        sums. `step.path` and `step.why` say which way was taken.
    class_weight : "balanced" or mapping, optional
        A weight for each class: "balanced" is n / (k * count), for k classes that occur in n rows; a mapping gives
        weights by label, 1 where a label is not named.
    sample_weight : array_like, optional
        Shape (n,): a weight of at least 0 for each row of the training part. With both, a row's weight is their
        product, and "balanced" counts each row with its sample weight.
    augment : callable, optional
        A function (X, rng) -> X of the inputs of a batch, as the model takes them, such as `mn.augmentation.shift(2)`.
    teacher : Teacher or Model, optional
        A net whose outputs this one learns beside the labels; a Model means Teacher(model).
    scaling : str or callable, optional
        For a pair of arrays, whose rows are otherwise taken as given: the rule of `load_data` by which a model without
        a signature gets one, fitted on these rows, and with it their labels. A Dataset has its own.
    adversarial : callable, optional
        A function (model, X, y) -> X that moves the inputs of each batch, of the model as it is then, so that it learns
        what was attacked [2]_: ``functools.partial(mn.attacks.fgsm, epsilon=0.1)``; inputs lie in [0, 1]. With any of
        these three the path is that of accelerate=False.

    Notes
    -----
    The loss of a batch is the weighted mean ``sum(w_i l_i) / sum(w_i)`` over its rows, as in scikit-learn's
    MLPClassifier, so a step's size does not depend on the scale of the weights; a batch whose weights are all 0 has the
    loss 0. The loss of a Step is the mean of its batches'. A State holds no weights, augmentation,
    teacher or attack: give the same ones again when it goes on.

    Yields
    ------
    Step
        Where the run is: epoch, batch, loss, lr, state, progress, path.

    Raises
    ------
    Diverged
        The loss is NaN or infinite; the model then holds the values of the start of that epoch, or of the last one
        that began with finite values (0 where a live position has come since).
    InvalidValue, InvalidType
        An argument cannot be used.

    References
    ----------
    .. [1] Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks", algorithm 1.
    .. [2] Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks", section 2.
    """
    if scaling is not None and model.signature is None:
        data = _with_signature(data, scaling, loss, model.dtype)
    X, y, loss = check_pair(*part_of(model, data), model, loss)
    weights = row_weights(y, sample_weight, class_weight, labels_of(data, model))
    stride = _stride(every)
    changed, teacher = check_seen(augment, teacher, model, loss)
    if adversarial is not None and not callable(adversarial):
        raise InvalidType(f"adversarial={quoted(repr(adversarial))}: give a function (model, X, y) -> X, such as "
                          "mn.attacks.fgsm")
    changed = changed or adversarial is not None
    if clip_norm is not None:
        check_positive("clip_norm", clip_norm)
    penalties = _check_penalties(penalty)
    batch_size = min(check_count("batch_size", batch_size, 1), len(X))
    accelerate = accelerate and not changed
    if state is None:
        one_by_one = clip_norm is not None or bool(penalties)
        shards = shard_count(model, batch_size, loss, rows=len(X), live_only=not penalties,
                             one_by_one=one_by_one, weighted=weights is not None)
        state = State(model, as_optimizer(optimizer), rng, shards if accelerate else 1)
    check_state(state, model)
    check_place(state, batch_size, len(X))
    epochs = check_count("epochs", epochs, 0)
    schedule = check_choice("lr_schedule", lr_schedule, LR_SCHEDULES)
    model.signature = signature_for(model, data)
    if changed:
        X, loss = seen(X, loss, augment, teacher, state, adversarial, y)
    job = Job(state, X, y, loss, batch_size, epochs, schedule, penalties, clip_norm, weights=weights)
    return Training(job, stride, accelerate)


class Training(Iterator[Step]):
    """The generator that `train` returns, and the `state` of its run; it warns where it is dropped before its first."""

    def __init__(self, job: Job, stride: float, accelerate: bool):
        self.state = job.state
        self._begun = job.epochs <= job.state.epoch
        self._steps = _steps(job, stride, accelerate)

    def __next__(self) -> Step:
        """Train up to the next Step and return it."""
        self._begun = True
        return next(self._steps)

    def throw(self, error: BaseException) -> Step:
        """Raise `error` inside the run, which ends as by `close`."""
        self._begun = True
        return self._steps.throw(error)

    def close(self) -> None:
        """End the run and release its memory; the model and the State stay as the last Step left them."""
        self._begun = True
        self._steps.close()

    def __del__(self):
        if not getattr(self, "_begun", True):
            warnings.warn("train(...) was never iterated, so nothing was trained: write `for step in train(...)`",
                          RuntimeWarning, stacklevel=2)


def _steps(job, stride, accelerate):
    """Make the stepper at the first step, so that the mask is read as late as can be, and run the loop."""
    stepper = choose(job) if accelerate else LayerStepper(job)
    if not accelerate:
        stepper.why = getattr(job.X, "why", stepper.why)
    yield from loop(job, stepper, stride)


def _with_signature(data, scaling, loss, dtype):
    """Return a pair of arrays as a Dataset that is a training part alone, scaled by this rule."""
    if not (isinstance(data, tuple) and len(data) == PAIR):
        raise InvalidValue(f"scaling={quoted(repr(scaling))} is for a pair (X, y): a Dataset has its scaling from "
                           "load_data; leave it out")
    from minnet.data import from_arrays

    task = {"mse": "regression", "binary_cross_entropy": "multilabel"}.get(getattr(loss, "__name__", loss))
    return from_arrays(*data, scaling=scaling, valid=0, test=0, task=task, dtype=dtype)


def _check_penalties(penalty) -> tuple:
    """Return one penalty, several or none, as a tuple."""
    penalties: Sequence = () if penalty is None else tuple(penalty) if isinstance(penalty, tuple | list) else (penalty,)
    for given in penalties:
        if not (hasattr(given, "add_gradient") and hasattr(given, "prox")) or isinstance(given, type):
            raise InvalidType(f"penalty={quoted(repr(given))}: give an object with value, add_gradient and prox, as "
                              "those that the functions in minnet.penalties make")
    return tuple(penalties)


def check_place(state: State, batch_size: int, rows: int) -> None:
    """Refuse to go on within an epoch of other batches than it began with; note the batch size in the State."""
    if state.batch and (state.batch_size not in (0, batch_size) or state.batch * batch_size >= rows):
        size = state.batch_size or "other numbers of"
        raise InvalidValue(f"this run stands at batch {state.batch} of an epoch of batches of {size} rows, and cannot "
                           f"go on with batch_size={batch_size} of {rows:,} rows: finish the epoch as it began")
    state.batch_size = batch_size


def _stride(every) -> float:
    """Return how many batches there are between two Steps of an epoch."""
    if isinstance(every, str):
        if every not in ("epoch", "batch"):
            raise InvalidValue(f'every={quoted(repr(every))}: steps are yielded every "epoch", every "batch", or after '
                               "a number of batches")
        return math.inf if every == "epoch" else 1
    return check_count("every", every, 1)
