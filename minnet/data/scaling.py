"""Rules of scaling: (X_train, full_scale) -> (shift, scale), of the training part alone.

By feature for tables, by channel or at once for images. `full_scale` is the largest value that X could have, where
that is known. A rule sees values, not how they are stored: the same ones in any dtype give the same numbers.
"""
import numpy as np

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
    axes = tuple(range(X.ndim - 1))
    mean = X.mean(axes, dtype=np.float64)
    squares = sum(((X[i:i + CHUNK] - mean) ** 2).sum(axes) for i in range(0, len(X), CHUNK))
    deviation = np.sqrt(squares / (X.size / mean.size))
    return mean, np.where(deviation > ROUNDING * np.abs(mean), deviation, 1)


def maximum(X: np.ndarray, full_scale: float | None) -> Pair:
    """Divide each feature of a table, each channel of images, by its largest size: zeros stay zeros."""
    top = np.maximum(*(np.abs(values.astype(np.float64)) for values in range_of(X)))
    top = top.max(axis=tuple(range(top.ndim - 1)))
    return 0, np.where(top > 0, top, 1)


SCALINGS = {"none": none, "unit": unit, "max": maximum, "standard": standard}
