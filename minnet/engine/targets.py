"""Targets: y as a loss takes it, checked, and the loss that y asks for."""
from collections.abc import Callable

import numpy as np

from minnet.arrays import as_numbers
from minnet.engine.activations import Sigmoid
from minnet.engine.losses import binary_cross_entropy, cross_entropy, hinge, mse
from minnet.errors import InvalidValue, NotFinite


def check_targets(y, model, loss: Callable) -> np.ndarray:
    """Return `y` as the loss takes it: class numbers below the number of logits, or finite numbers of their shape."""
    y = as_numbers("y", y)
    k = model.output_shape[-1]
    if y.ndim == 0:
        raise InvalidValue(f"y={y} is one number; wanted one target a row")
    if y.dtype.kind in "iub" and y.ndim == 1 and loss not in (mse, binary_cross_entropy):
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < k:
            raise InvalidValue(f"labels run from {y.min()} to {y.max()}, but the model has {k} outputs: "
                               f"give class numbers 0 ... {k - 1}")
        return np.ascontiguousarray(y, np.int64)
    if loss in (cross_entropy, hinge):
        raise InvalidValue(f"{loss.__name__} wants class numbers (n,), got {y.dtype} of shape {y.shape}: use "
                           "loss='mse' for numbers, loss='binary_cross_entropy' for several labels a row")
    if y.size != len(y) * k:
        raise InvalidValue(f"y has the dtype {y.dtype} and the shape {y.shape}, but the model has {k} outputs a row: "
                           f"give ({len(y)}, {k}) numbers, or {len(y)} whole numbers for classes")
    with np.errstate(over="ignore"):  # what overflows is found below
        y = np.ascontiguousarray(y, model.dtype).reshape(len(y), k)
    bad = np.flatnonzero(~np.isfinite(y).all(axis=1))
    if len(bad):
        raise NotFinite(f"y holds NaN or infinity in {len(bad)} rows, the first in row {bad[0]}: fill them in or take "
                        "those rows out")
    if loss is binary_cross_entropy and ends_in_sigmoid(model):
        raise InvalidValue("the model ends in a Sigmoid, and binary_cross_entropy takes logits: leave the Sigmoid out, "
                           "as `minnet import FILE --task multilabel` does")
    if loss is binary_cross_entropy and y.size and not 0 <= y.min() <= y.max() <= 1:
        raise InvalidValue(f"y runs from {y.min():g} to {y.max():g}; binary_cross_entropy wants 0, 1, or what is "
                           "between")
    return y


def ends_in_sigmoid(model) -> bool:
    """Return whether a model gives probabilities of labels, by a Sigmoid behind its last layer."""
    layers = getattr(getattr(model, "tree", None), "layers", ())
    return len(layers) > 1 and isinstance(layers[-1], Sigmoid)


def default_loss(y) -> Callable:
    """Return cross_entropy for class numbers, binary_cross_entropy for bool (n, k), mse for other numbers."""
    y = as_numbers("y", y)
    if are_labels(y):
        return binary_cross_entropy
    return cross_entropy if y.dtype.kind in "iub" and y.ndim == 1 else mse


def are_labels(y: np.ndarray) -> bool:
    """Return whether targets say which labels a row has, of which it may have several: they are bool (n, k)."""
    return y.dtype.kind == "b" and y.ndim > 1
