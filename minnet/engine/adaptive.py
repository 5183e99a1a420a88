"""AdaptiveAvgPool2d: means over windows that follow from the size of the output alone, uneven where it has to be.

    AdaptiveAvgPool2d(3)        # (8, 8, c) becomes (3, 3, c): rows 0 to 2, 2 to 5 and 5 to 7
    adaptive_pool((7, 7), 3)    # AvgPool2d(3, 2): there all windows are alike

Of n pixels along a side the i-th of m windows has those from floor(i n / m) to ceil((i + 1) n / m), the last one not
included, as in PyTorch and Keras. A mean over windows is one along each side, y = A x B', by matrices of shares.
"""
from functools import lru_cache

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.linear import FixedLinear
from minnet.engine.padding import Pair, pair
from minnet.engine.pooling import AvgPool2d
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue

MOST_TIMES = 8  # that an output may be larger than the image: VGG16 has 7 of 1


class AdaptiveAvgPool2d(FixedLinear):
    """The mean of each of `size` windows, which cover the image and may overlap: (h, w, c) becomes (ho, wo, c).

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the output.
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "adaptive_avg_pool"
    per_unit = True

    def __init__(self, size: Pair, *, name: str | None = None) -> None:
        self.size = size
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return (ho, wo, c) for images (h, w, c)."""
        if len(shape) != 3:
            raise InvalidValue(f"{self.name} takes images (height, width, channels), got the shape {shape}")
        size = pair(f"size of {self.name}", self.size)
        if any(m > MOST_TIMES * n for m, n in zip(size, shape, strict=False)):
            raise InvalidValue(f"{self.name} makes {size} of an image of {shape[:2]}: at most {MOST_TIMES} times as "
                               "many pixels a side")
        return (*size, shape[-1]), []

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, ho, wo, c) for x (n, h, w, c)."""
        down, right = self.shares(x.dtype)
        y = tape.buffer(self, "y", (len(x), *self.output_shape))
        return np.matmul(right, _along_height(down, x), out=y)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return dx: each pixel takes its share of every window that it is in."""
        down, right = self.shares(dy.dtype)
        dx = tape.buffer(self, "dx", (len(dy), *self.input_shape))
        return np.matmul(right.T, _along_height(down.T, dy), out=dx)

    def share(self, tape: Tape) -> float | np.ndarray:
        """Return 1 / (pixels of the window): (ho, wo, 1)."""
        down, right = (matrix.max(axis=1) for matrix in self.shares(np.float64))
        return down[:, None, None] * right[:, None]

    def shares(self, dtype: type | np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Return A (ho, h) and B (wo, w), the share of each pixel along a side in each mean."""
        sides = zip(self.input_shape[:2], self.output_shape[:2], strict=True)
        down, right = (share_matrix(n, m).astype(dtype) for n, m in sides)
        return down, right


def _along_height(matrix, x):
    """Return a matrix (m, h) times each column of images x (n, h, w, c): (n, m, w, c)."""
    n, h, *rest = x.shape
    return np.matmul(matrix, x.reshape(n, h, -1)).reshape(n, len(matrix), *rest)


def windows(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pixel of each of m windows along n pixels, and the one behind its last: (m,) each."""
    i = np.arange(m)
    return i * n // m, -(-(i + 1) * n // m)


@lru_cache(maxsize=64)
def share_matrix(n: int, m: int) -> np.ndarray:
    """Return (m, n): 1 / (pixels of window i) where pixel j is in it, else 0. It must not be written to."""
    first, end = windows(n, m)
    pixel = np.arange(n)
    inside = (pixel >= first[:, None]) & (pixel < end[:, None])
    matrix = inside / (end - first)[:, None]
    matrix.setflags(write=False)
    return matrix


def even_window(image: tuple, size: Pair) -> tuple[tuple, tuple] | None:
    """Return (size, stride) of a window that slides as the adaptive ones lie, or None where they are not alike."""
    found = []
    for n, m in zip(image, pair("size", size), strict=False):
        first, end = windows(n, m)
        step = int(first[1]) if m > 1 else n
        if step < 1 or ((end - first) != end[0]).any() or (first != np.arange(m) * step).any():
            return None
        found.append((int(end[0]), step))
    (height, down), (width, right) = found
    return (height, width), (down, right)


def adaptive_pool(image: tuple, size: Pair) -> Layer:
    """Return the layer of adaptive means of an image (h, w, ...): an AvgPool2d where the windows are alike."""
    window = even_window(image, size)
    return AdaptiveAvgPool2d(size) if window is None else AvgPool2d(*window)
