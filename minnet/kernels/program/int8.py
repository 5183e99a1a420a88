"""Weights as a kernel reads them: floats, or integers of eight bits times the scale of their unit.

    w = scale_of(weights, value, scale + unit) * number(weights, weight + k, value)

With float weights the scale is 1, and the compiled code is as if it were not there.
"""
import numpy as np
from numba import types
from numba.extending import overload, register_jitable


@register_jitable(inline="always")
def number(weights, k, value):
    """Return weights[k] as a float of the type of `value`."""
    return value.dtype.type(weights[k])


def scale_of(weights, value, at):
    """Return value[at] where weights are int8, else 1."""
    return value[at] if weights.dtype == np.int8 else value.dtype.type(1)


# Chosen when a kernel is compiled, by the type of the weights: no kernel tests it while it runs.
@overload(scale_of, inline="always")
def _scale_of(weights, value, at):
    if isinstance(weights.dtype, types.Integer):
        return lambda weights, value, at: value[at]
    return lambda weights, value, at: value.dtype.type(1)
