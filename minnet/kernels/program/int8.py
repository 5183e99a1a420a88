"""A weight as a kernel reads it: a float, or a whole number of eight bits times the scale of its unit.

    w = scale_of(weights, value, scale + unit) * number(weights, weight + k, value)

With float weights the scale is 1, and the compiled code is as if it were not there.
"""
import numpy as np
from numba import types
from numba.extending import overload, register_jitable


@register_jitable(inline="always")
def number(weights, k, value):
    """weights[k] as a float of the kind of `value`."""
    return value.dtype.type(weights[k])


def scale_of(weights, value, at):
    """value[at] where weights are whole numbers, else 1."""
    return value[at] if weights.dtype == np.int8 else value.dtype.type(1)


@overload(scale_of, inline="always")
def _scale_of(weights, value, at):
    if isinstance(weights.dtype, types.Integer):
        return lambda weights, value, at: value[at]
    return lambda weights, value, at: value.dtype.type(1)
