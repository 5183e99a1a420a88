"""Windows with gaps between their taps (dilation): as rows, and back to images; and units of groups of channels.

A window of k taps with a dilation d spans (k - 1) d + 1 pixels, and "same" pads for as many.
"""
from dataclasses import dataclass

import numpy as np

from minnet.engine.padding import Padding, Pair, Window, pair, window
from minnet.engine.space import Space
from minnet.errors import InvalidValue
from minnet.kernels.layers.images import col2im, im2col

WIDEST = 8      # times the image that the gaps of a window may span: its padding takes memory


@dataclass(frozen=True)
class DilatedWindow(Window):
    """A Window whose taps are `dilation` pixels apart, down and across."""

    dilation: tuple = (1, 1)

    @property
    def extent(self):
        """Height and width of what the window spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def pad(self, x: np.ndarray) -> np.ndarray:
        """Return the images x (n, h, w, ...) with their padding of zeros."""
        return np.pad(x, ((0, 0), (self.top, self.bottom), (self.left, self.right), *[(0, 0)] * (x.ndim - 3)))

    def tap(self, padded: np.ndarray, row: int, column: int) -> np.ndarray:
        """Return what tap (row, column) sees of padded images (n, h, w, ...): (n, ho, wo, ...), a view."""
        (sh, sw), (ho, wo), (down, across) = self.stride, self.output, self.dilation
        row, column = row * down, column * across
        return padded[:, row : row + (ho - 1) * sh + 1 : sh, column : column + (wo - 1) * sw + 1 : sw]

    def pixels(self, x: np.ndarray, row: int, column: int, channel: int) -> np.ndarray:
        """Return what tap (row, column) sees of a channel of the images x (n, h, w, c): (n, ho, wo); padding is 0."""
        return self.tap(self.pad(x[..., channel]), row, column)


def dilated_window(layer: str | None, shape: tuple, kernel: Pair, stride: Pair, padding: Padding,
                   dilation: Pair = 1) -> DilatedWindow:
    """Return the window of `layer` on images (h, w, c), as `window` does."""
    kernel, dilation = pair(f"kernel of {layer}", kernel), pair(f"dilation of {layer}", dilation)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    for size, taps, spans in zip(shape[:2], kernel, extent, strict=False):
        if spans - taps > WIDEST * size:
            raise InvalidValue(f"{layer} has a window that spans {spans} pixels, but its image is {size} wide: most "
                               "taps see nothing but padding: take a smaller dilation")
    at = window(layer, shape, extent, stride, padding)
    return DilatedWindow(kernel, at.stride, at.top, at.bottom, at.left, at.right, at.output, dilation)


def unfold(x: np.ndarray, at: DilatedWindow, cols: np.ndarray) -> None:
    """Write what each window of the images x (n, h, w, c) sees to cols (n, ho, wo, kh, kw, c); padding is 0."""
    if at.dilation == (1, 1):
        im2col(np.ascontiguousarray(x), *at.stride, at.top, at.left, cols)
        return
    padded = at.pad(x)
    for row, column in np.ndindex(*at.kernel):
        cols[:, :, :, row, column] = at.tap(padded, row, column)


def fold(cols: np.ndarray, at: DilatedWindow, dx: np.ndarray) -> None:
    """Write to dx (n, h, w, c), at each pixel, the sum of all entries of cols that `unfold` reads from it."""
    if at.dilation == (1, 1):
        col2im(cols, *at.stride, at.top, at.left, dx)
        return
    n, h, w, c = dx.shape
    padded = np.zeros((n, at.top + h + at.bottom, at.left + w + at.right, c), dx.dtype)
    for row, column in np.ndindex(*at.kernel):
        at.tap(padded, row, column)[...] += cols[:, :, :, row, column]
    dx[...] = padded[:, at.top : at.top + h, at.left : at.left + w]


def across(space: Space, groups: int) -> Space:
    """Let unit i of each of `groups` equal parts be one unit from now on; return the Space of the first part."""
    size = len(space) // groups
    first = Space(space.coupling, space.units[:size])
    for start in range(size, size * groups, size):
        space.coupling.unite(first.units, space.units[start : start + size])
    return first
