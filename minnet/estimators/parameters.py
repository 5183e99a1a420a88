"""What the parameters of an estimator mean: a net, an optimizer, penalties, and how to prune.

They are named as those of scikit-learn's MLPClassifier where they mean the same.
"""
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from numbers import Integral

import numpy as np
from numpy.random import RandomState

from minnet.engine.activations import ReLU, Sigmoid, Tanh
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.layer import Layer
from minnet.engine.optimizers import OPTIMIZERS, SGD, Optimizer, as_optimizer
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.errors import InvalidType, InvalidValue, check_choice, check_count, check_positive, quoted, unknown
from minnet.model import Model
from minnet.pruning.penalties import PENALTIES
from minnet.typing import Dtype, Seed

ACTIVATIONS: dict[str, Callable[[], Layer] | None] = {"identity": None, "logistic": Sigmoid, "tanh": Tanh,
                                                      "relu": ReLU}
INITIALISER = "glorot"    # as of MLPClassifier; layers with few inputs then have no larger weights than others
MOMENTUM = 0.9            # of SGD, with Nesterov's look ahead
LARGEST_BATCH = 200       # rows of an "auto" batch
PRUNING_EPOCHS = 40       # that pruning takes at least, if there are as many
PRUNING_STEPS = 12_000    # and steps: few rows make few of them in an epoch
FILTERS = (16, 32)        # of the convolutions before the hidden layers, where rows are images
SMALLEST_POOLED = 4       # height or width of an image that is still halved
AUTO = "auto"


def build(hidden: int | Iterable[int], activation: str, shape: tuple[int, ...], outputs: int, rng: Seed,
          dtype: Dtype) -> Model:
    """Return the net: dense layers, and two convolutions with pools before them where `shape` is that of images.

    Raises InvalidValue or InvalidType for widths that are no whole numbers of at least 1, UnknownName for another
    activation.
    """
    if not (isinstance(activation, str) and activation in ACTIVATIONS):
        raise unknown("activation", activation, ACTIVATIONS)
    between = ACTIVATIONS[activation]
    layers: list[Layer] = []
    after = [] if between is None else [between]
    if len(shape) > 1:
        size = min(shape[:2])
        for filters in FILTERS:
            layers += [Conv2d(filters, 3, padding="same", initialiser=INITIALISER), *(make() for make in after)]
            if size >= SMALLEST_POOLED:
                layers.append(MaxPool2d(2))
                size //= 2
        layers.append(Flatten())
    for width in widths(hidden):
        layers += [Dense(width, initialiser=INITIALISER), *(make() for make in after)]
    return Model(Sequential(*layers, Dense(outputs, initialiser=INITIALISER)), shape, rng=rng, dtype=dtype)


def widths(hidden: int | Iterable[int]) -> list[int]:
    """Return the widths of the hidden layers: a number is one layer."""
    if isinstance(hidden, Integral):
        hidden = [int(hidden)]
    if isinstance(hidden, str) or not isinstance(hidden, Iterable):
        raise InvalidType(f"hidden_layer_sizes={quoted(repr(hidden))}; wanted whole numbers, as in (100, 50)")
    return [check_count("hidden_layer_sizes", width, 1) for width in hidden]


def image_shape(shape: Iterable[int] | None, features: int) -> tuple[int, ...]:
    """Return the shape of a row: (features,), or that of its image (h, w, c), c = 1 where `shape` is (h, w)."""
    if shape is None:
        return (features,)
    if isinstance(shape, str) or not isinstance(shape, Iterable):
        raise InvalidType(f"image_shape={quoted(repr(shape))}; wanted (h, w) or (h, w, c)")
    sizes = tuple(check_count("image_shape", size, 1) for size in shape)
    if len(sizes) == 2:
        sizes = (*sizes, 1)
    if len(sizes) != 3 or math.prod(sizes) != features:
        raise InvalidValue(f"image_shape={quoted(repr(shape))} has {math.prod(sizes)} numbers, and X has {features} "
                           "features: give (h, w) or (h, w, c) with as many")
    return sizes


def optimizer(solver: str | Optimizer, lr: float, decay: float) -> Optimizer:
    """Return the optimizer: one by name, SGD with Nesterov's momentum, or an object as it is.

    `decay` times a weight is added to its gradient; AdamW and Lion, which shrink weights beside the step, keep their
    own default instead.
    """
    if not isinstance(solver, str):
        return as_optimizer(solver)
    check_positive("learning_rate_init", lr)
    if solver == "lbfgs":
        raise InvalidValue("solver='lbfgs' is not available: take 'adam' or 'sgd', with batch_size=len(X) for full "
                           "batches")
    if solver not in OPTIMIZERS:
        raise unknown("solver", solver, OPTIMIZERS)
    made = OPTIMIZERS[solver](lr)
    if isinstance(made, SGD):
        return replace(made, momentum=MOMENTUM, nesterov=True, weight_decay=decay)
    return made if made.decoupled else replace(made, weight_decay=decay)


def batch_rows(batch_size: int | str, n: int) -> int:
    """Return how many of n rows a step takes."""
    if isinstance(batch_size, str) and batch_size == AUTO:
        return min(LARGEST_BATCH, n)
    return min(check_count("batch_size", batch_size, 1), n)


def pruning_epochs(prune_iter: int | str, max_iter: int, batches: int) -> int:
    """Return how many epochs of `batches` steps pruning takes, of `max_iter` in all."""
    if isinstance(prune_iter, str) and prune_iter == AUTO:
        return min(max_iter, max(PRUNING_EPOCHS, math.ceil(PRUNING_STEPS / batches)))
    return min(max_iter, check_count("prune_iter", prune_iter, 1))


def patience(n_iter_no_change: float) -> float:
    """Return how many epochs in a row may be without a gain."""
    return math.inf if n_iter_no_change == math.inf else check_count("n_iter_no_change", n_iter_no_change, 1)


def penalties(penalty: object) -> tuple[object, ...]:
    """Return what `train` takes: of one or several Penalty objects, or pairs (name, strength)."""
    if penalty is None:
        return ()
    if isinstance(penalty, str):
        raise InvalidType(f"penalty={quoted(repr(penalty))}; wanted a name with its strength, as in ('l1', 1e-5)")
    if not isinstance(penalty, list | tuple):
        return (penalty,)
    if len(penalty) == 2 and isinstance(penalty[0], str):
        return (check_choice("penalty", penalty[0], PENALTIES)(penalty[1]),)
    return tuple(made for one in penalty for made in penalties(one))


def feature_names(estimator: object, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    """Return the names of the columns that a fitted estimator saw, where rows of `shape` can have them; else None."""
    names = getattr(estimator, "feature_names_in_", None)
    usable = names is not None and len(shape) == 1 and len(set(names)) == len(names)
    return tuple(map(str, names)) if usable else None


def seed_of(random_state: RandomState) -> int:
    """Return a seed drawn from scikit-learn's kind of generator."""
    return int(random_state.randint(np.iinfo(np.int32).max))
