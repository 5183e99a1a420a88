"""Weights as integers of eight bits: w is about scale * q, with a scale for each unit or one for the layer.

    q, scale = to_int8(entries, None, units)        # of flat weights (..., units)
    small = rounded(model)                          # a copy whose weights are scale * q
    check_precision("int8")                         # True

A scale has so few digits that scale * q is exact: weights that were rounded once give the same q and scale again. So a
file, a frozen net and an export of one model have the same numbers, whichever of them is made of which.
"""
import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import Layer, find_row
from minnet.engine.model import Model
from minnet.engine.sparse import SparseDense
from minnet.engine.unit_weights import unit_of
from minnet.engine.vector import Parameter
from minnet.errors import unknown

INT8_MAX = 127  # the largest quantised weight: the range is symmetric about 0
DIGITS = 17     # bits of a scale: with the 7 of q they are the 24 of a float32
INT8, FLOAT32 = PRECISIONS = ("int8", "float32")
LINEAR = {Dense: True, SparseDense: True, Conv2d: True, DepthwiseConv2d: True}  # layers whose weights are quantised


def check_precision(precision: str | None, name: str = "precision") -> bool:
    """Return whether weights are integers: True for "int8", False for "float32" and None, the model's own floats.

    Raises UnknownName, with the argument's `name`, for another.
    """
    if precision is not None and not (isinstance(precision, str) and precision in PRECISIONS):
        raise unknown(name, precision, PRECISIONS)
    return precision == INT8


def to_int8(entries: np.ndarray, index: np.ndarray | None, units: int,
            by: str = "unit") -> tuple[np.ndarray, np.ndarray]:
    """Return weights rounded to whole numbers q from -127 to 127, and the scale of each unit: w is about scale * q.

    The largest ``|w|`` of a unit, or of the layer, is 127 scale, rounded up to DIGITS bits. q is rounded half to even,
    in the dtype of weights; where a scale would be 0 it is 1.

    Parameters
    ----------
    entries : numpy.ndarray
        Weights (n,).
    index : numpy.ndarray or None
        Their flat positions (n,) in a weight (..., units); None if all of it is there.
    units : int
        How many units there are.
    by : {"unit", "layer"}
        What has a scale of its own.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        q (n,) and the scales (units,), all equal by layer; both in the dtype of the weights.
    """
    if by == "layer":
        largest = np.full(units, np.abs(entries).max(initial=0), np.float64)
    elif index is None:
        largest = np.abs(entries.reshape(-1, units)).max(axis=0, initial=0).astype(np.float64)
    else:
        largest = np.zeros(units)
        np.maximum.at(largest, index % units, np.abs(entries))
    digits, exponent = np.frexp(largest / INT8_MAX)
    scale = np.ldexp(np.ceil(np.ldexp(digits, DIGITS)), exponent - DIGITS).astype(entries.dtype)
    scale[scale == 0] = 1
    each = np.resize(scale, len(entries)) if index is None else scale[index % units]
    return np.clip(np.rint(entries / each), -INT8_MAX, INT8_MAX), scale


def is_linear(layer: Layer) -> bool:
    """Return whether a layer is a dense one or a convolution, whose weights may be quantised, and folded into."""
    return find_row(LINEAR, layer) is not None


def is_quantised(layer: Layer, kind: str) -> bool:
    """Return whether the parameter of this kind of a layer is what `rounded` rounds."""
    return kind == "weight" and is_linear(layer)


def quantised_parameters(model: Model) -> list[Parameter]:
    """Return the parameters that `rounded` rounds: weights of dense layers and convolutions, by unit, axis -1."""
    return [layer.weight for layer in model.tree.leaves() if is_linear(layer)]


def units_of(parameter: Parameter) -> np.ndarray:
    """Return the output unit of each entry of a weight, flat."""
    return unit_of(parameter.value.size, parameter.index, parameter.shape[-1])


def int8_of(parameter: Parameter) -> tuple[np.ndarray, np.ndarray]:
    """Return a weight as int8 in the shape of its value, and the scale of each unit in its dtype."""
    q, scale = to_int8(parameter.value.reshape(-1), parameter.index, parameter.shape[-1])
    return q.astype(np.int8).reshape(parameter.value.shape), scale


def rounded(model: Model) -> Model:
    """Return a copy of a model whose dense and convolutional weights are scale * q, exactly; all else stays."""
    copy = model.clone()
    for weight in quantised_parameters(copy):
        q, scale = int8_of(weight)
        weight.value[...] = q * (scale if weight.index is None else scale[units_of(weight)])
    return copy
