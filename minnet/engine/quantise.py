"""Weights as integers of eight bits: w is about scale * q, with a scale for each unit or one for the layer."""
import numpy as np

INT8_MAX = 127  # the largest quantised weight: the range is symmetric about 0


def to_int8(entries: np.ndarray, unit: np.ndarray, units: int, by: str = "unit") -> tuple[np.ndarray, np.ndarray]:
    """Return weights rounded to whole numbers q from -127 to 127, and the scale of each unit: w is about scale * q.

    The largest ``|w|`` of a unit, or of the layer, is 127 scale. q is rounded half to even, in the dtype of weights;
    where a scale would be 0 it is 1.

    Parameters
    ----------
    entries : numpy.ndarray
        Weights (n,).
    unit : numpy.ndarray
        The unit (n,) of each, in 0, ..., units - 1.
    units : int
        How many units there are.
    by : {"unit", "layer"}
        What has a scale of its own.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        q (n,) and the scales (units,), all equal by layer; both in the dtype of the weights.
    """
    largest = np.zeros(units)
    np.maximum.at(largest, unit, np.abs(entries))
    if by == "layer":
        largest[:] = largest.max(initial=0)
    scale = (largest / INT8_MAX).astype(entries.dtype)
    scale[scale == 0] = 1
    return np.clip(np.rint(entries / scale[unit]), -INT8_MAX, INT8_MAX), scale
