"""Rules of scaling: (X_train, full_scale) -> (shift, scale), of the training part alone.

By feature for tables, by channel or at once for images. `full_scale` is the largest value that X could have, where
that is known. A rule sees values, not how they are stored: the same ones in any dtype give the same numbers.
"""
from collections.abc import Callable

import numpy as np

from minnet.arrays import power_of_2
from minnet.csr import is_sparse, range_of
from minnet.errors import InvalidValue
from minnet.typing import ArrayLike

CHUNK = 1024  # samples whose squares are summed at once, in float64
ROUNDING = 1e-12  # a deviation below this share of the mean is that of a constant
BYTE = 255  # the largest value of an image of bytes
Pair = tuple[ArrayLike, ArrayLike]


def none(X: np.ndarray, full_scale: float | None) -> Pair:
    """Leave X as it is."""
    return 0, 1


def unit(X: np.ndarray, full_scale: float | None) -> Pair:
    """Scale tables to [0, 1], each feature from its smallest to its largest value, and images by one number.

    Images are divided by their full scale where it is known; else by 255 where they go above 127 and not above 255,
    and by their largest size elsewhere: zeros stay zeros. What lies in [0, 1], and images in [-1, 1], stay as they are.
    Features of sparse tables are divided by their largest size, as `maximum` does, so that zeros stay zeros: the same
    numbers where every feature has zeros and none below.
    """
    if full_scale is not None:
        return 0, full_scale
    if X.ndim > 2:
        top = max(-float(X.min()), float(X.max()))
        return 0, BYTE if BYTE // 2 < top <= BYTE else max(top, 1)
    low, high = (values.astype(np.float64) for values in range_of(X))
    if low.min() >= 0 and high.max() <= 1:
        return 0, 1
    if is_sparse(X):
        return np.zeros(X.shape[1]), maximum(X, full_scale)[1]
    return low, np.where(high > low, high - low, 1)


def standard(X: np.ndarray, full_scale: float | None) -> Pair:
    """Scale to mean 0 and variance 1, for each feature of a table, each channel of images; constants become 0.

    Raises InvalidValue for sparse rows, as scikit-learn's StandardScaler does: without their zeros they are dense.
    """
    if is_sparse(X):
        raise InvalidValue("scaling='standard' subtracts a mean, which would make sparse rows dense: use "
                           "scaling='unit' or 'max', or give X.toarray()")
    return mean_and_deviation(X)


def mean_and_deviation(X: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over all axes but the last, for values of any unit.

    Squares are taken of deviations divided by a power of 2 near the largest one, so that neither 1e200 nor 1e-200
    leaves the range of float64, and no digit changes. Where the deviation is rounding, the values are a constant: its
    deviation is 1, or the largest distance from the mean if that is more.

    Parameters
    ----------
    X : numpy.ndarray
        Shape (n, ..., k).
    weights : numpy.ndarray, optional
        Shape (n,), at least one above 0: rows of weight 0 do not count at all. For tables (n, k).

    Returns
    -------
    tuple of numpy.ndarray
        Both (k,), float64.
    """
    if weights is not None:
        X, weights = X[weights > 0], weights[weights > 0] / power_of_2(weights.max())
    axes = tuple(range(X.ndim - 1))
    low, high = X.min(axis=axes).astype(np.float64), X.max(axis=axes).astype(np.float64)
    mean = X.mean(axes, dtype=np.float64) if weights is None else np.average(X, axis=0, weights=weights)
    mean = np.where(low == high, low, mean)
    largest = np.maximum(high - mean, mean - low)
    unit, squares = power_of_2(largest), np.zeros(mean.shape)
    for start in range(0, len(X), CHUNK):
        part = ((X[start : start + CHUNK] - mean) / unit) ** 2
        squares += (part if weights is None else part * weights[start : start + CHUNK, None]).sum(axes)
    deviation = unit * np.sqrt(squares / (X.size / mean.size if weights is None else weights.sum()))
    return mean, np.where(deviation > ROUNDING * np.abs(mean), deviation, np.maximum(largest, 1))


def maximum(X: np.ndarray, full_scale: float | None) -> Pair:
    """Divide each feature of a table, each channel of images, by its largest size: zeros stay zeros."""
    top = np.maximum(*(np.abs(values.astype(np.float64)) for values in range_of(X)))
    top = top.max(axis=tuple(range(top.ndim - 1)))
    return 0, np.where(top > 0, top, 1)


def of_encoded(rule: Callable[[np.ndarray, float | None], Pair], X: np.ndarray, numbers: np.ndarray) -> Pair:
    """Return the pair of a rule for encoded rows: of sparse ones, columns of numbers have that of dense rows.

    The others stay sparse: `standard`, which subtracts a mean, divides these by their largest size, as `maximum`.
    """
    rule_of_others = maximum if is_sparse(X) and rule is standard else rule
    if not is_sparse(X) or not len(numbers):
        return rule_of_others(X, None)
    pair, of_numbers = rule_of_others(X, None), rule(X[:, numbers].toarray(), None)
    found = np.array([np.broadcast_to(values, X.shape[1]) for values in pair], np.float64)
    found[:, numbers] = [np.broadcast_to(values, len(numbers)) for values in of_numbers]
    return found[0], found[1]


SCALINGS = {"none": none, "unit": unit, "max": maximum, "standard": standard}
