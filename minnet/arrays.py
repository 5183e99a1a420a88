"""Arrays from outside: numbers of any kind become the array that a model takes, or an error that says why not."""
import math

import numpy as np

from minnet.errors import InvalidType, InvalidValue, NotFinite, quoted
from minnet.typing import ArrayLike


def check_X(X, shape, dtype):
    """X as an array (n, *shape) of `dtype`, contiguous, writable and finite; a copy only where it is not so already.

    Lists, tables of pandas, any strides, byte orders and kinds of real numbers are taken; of a sparse matrix (n, d)
    become the SparseRows of csr.py. Sequences (n, length, channels) are taken for images of height 1. Raises
    `InvalidValue` for another shape, `NotFinite` for NaN, infinity and what is infinite in `dtype`, `InvalidType` for
    anything else.
    """
    dtype = np.dtype(dtype)
    if hasattr(type(X), "tocsr"):
        from minnet.csr import check_csr  # who has no sparse matrix does without
        return check_csr(X, shape, dtype)
    plain = type(X) is np.ndarray and X.dtype == dtype and X.flags.carray
    if not plain:
        X = as_numbers("X", X)
    if X.ndim == len(shape) > 2 and (1, *X.shape[1:]) == tuple(shape):
        X = X[:, None]  # sequences (n, length, channels) are images of height 1
    if X.shape[1:] != tuple(shape) or X.ndim == 0:
        raise InvalidValue(f"X has the shape {X.shape}; wanted (n, {', '.join(map(str, shape))}){_mend(X, shape)}")
    if not plain:
        with np.errstate(over="ignore"):  # what overflows is found below
            X = np.require(X, dtype, "CAWE")
    check_finite("X", X)
    return X


def as_numbers(name, values):
    """`values` as an array of real numbers, or `InvalidType` with what they are."""
    if values is None:
        raise InvalidType(f"{name} is None; wanted real numbers")
    if hasattr(values, "toarray"):
        raise InvalidType(f"{name} is a sparse matrix; give {name}.toarray()")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InvalidType(f"{name} has masked cells; fill them or take those samples out")
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and not any(isinstance(v, str | bytes) for v in array.flat):
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidType(f"{name} cannot become an array of numbers: {quoted(str(error))}") from error
    if array.dtype.kind not in "biuf":
        what = {"c": "complex numbers", "M": "dates", "m": "times"}.get(array.dtype.kind, "text or other objects")
        raise InvalidType(f"{name} holds {what} (dtype {array.dtype}); wanted real numbers")
    return array


def check_finite(name, array):
    """Refuse NaN and infinity: say how many and where. A finite sum proves that there are none, without a copy."""
    with np.errstate(all="ignore"):
        if array.dtype.kind != "f" or np.isfinite(array.sum()):
            return
    bad = ~np.isfinite(array)
    if bad.any():
        row = bad.reshape(len(array), -1).any(axis=1).argmax()
        what = f"{name} holds {bad.sum()} values that are NaN or infinite in {array.dtype}, the first in row {row}"
        raise NotFinite(f"{what}; fill them in or take those rows out")


def _mend(X, shape):
    """Return the hint for an X of another shape than (n, *shape)."""
    if X.shape == tuple(shape):
        return "; for one sample give " + ("X.reshape(1, -1)" if X.ndim == 1 else "X[None]")
    if X.ndim == 4 and X.shape[1:] == (*shape[-1:], *shape[:-1]):
        return "; channels go last: X.transpose(0, 2, 3, 1)"
    if X.ndim == len(shape) and (1, *X.shape[:0:-1]) == tuple(shape):
        return "; channels go last: X.transpose(0, 2, 1)"
    if X.ndim > 1 and math.prod(X.shape[1:]) == math.prod(shape):
        return f"; the numbers fit: X.reshape({', '.join(map(str, (-1, *shape)))})"
    return ""


def power_of_2(values: ArrayLike) -> np.ndarray:
    """Return the largest powers of 2 that are at most these values, which are finite and at least 0; 1/2 for 0.

    What is multiplied or divided by one keeps its digits.
    """
    return np.ldexp(1.0, np.frexp(values)[1] - 1)
