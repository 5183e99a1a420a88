"""Layers that make images smaller, and Flatten, which ends them. Nothing to learn."""
import math

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.linear import FixedLinear
from minnet.engine.padding import Padding, Pair, window
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue
from minnet.kernels.layers import images


class Flatten(FixedLinear):
    """Rows from images: channel c of (h, w, C) becomes the features c, c + C, c + 2C, ...

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "flatten"
    flattens = True

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return one axis for any shape."""
        return (math.prod(shape),), []

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return a view."""
        return x.reshape(len(x), -1)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return a view."""
        return dy.reshape(len(dy), *self.input_shape)

    def couple(self, space: Space) -> Space:
        """Note that each pixel carries all channels, or that each number is a unit of its own already."""
        size = math.prod(self.input_shape)
        return space if len(space) == size else space.tile(size // self.input_shape[-1])


class GlobalPool2d(FixedLinear):
    """One number for each channel of an image: what global pools share, (h, w, c) becomes (c,)."""

    per_unit = True

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return (c,) for images (h, w, c)."""
        if len(shape) != 3:
            raise InvalidValue(f"{type(self).__name__} takes images (height, width, channels), got the shape {shape}")
        return shape[-1:], []


class GlobalAvgPool2d(GlobalPool2d):
    """The mean over each image: (h, w, c) becomes (c,).

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "global_avg_pool"

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, c) for x (n, h, w, c)."""
        y = tape.buffer(self, "y", (len(x), x.shape[-1]))
        images.average_pool(x, *self.input_shape[:2], 1, 1, 0, 0, y.reshape(len(x), 1, 1, -1))
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return dy / (h*w) for every pixel."""
        dx = tape.buffer(self, "dx", (len(dy), *self.input_shape))
        images.average_pool_backward(dy.reshape(len(dy), 1, 1, -1), *self.input_shape[:2], 1, 1, 0, 0, dx)
        return dx

    def share(self, tape: Tape) -> float | np.ndarray:
        """Return 1 / (h*w)."""
        return 1 / math.prod(self.input_shape[:2])


class GlobalMaxPool2d(GlobalPool2d):
    """The largest entry of each channel of an image: (h, w, c) becomes (c,); the first one where several are equal.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "global_max_pool"
    counts_paths = False

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, c) for x (n, h, w, c); the winners are kept."""
        pixels = x.reshape(len(x), -1, x.shape[-1])
        tape[self] = winner = pixels.argmax(axis=1)[:, None]
        return np.take_along_axis(pixels, winner, axis=1)[:, 0]

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return dx: the gradient of each channel at its winner."""
        dx = tape.buffer(self, "dx", (len(dy), *self.input_shape))
        dx[...] = 0
        np.put_along_axis(dx.reshape(len(dy), -1, dy.shape[-1]), tape[self], dy[:, None], axis=1)
        return dx

    def stand_in(self) -> Layer:
        """Return the mean, which lets through what any of the pixels does."""
        return GlobalAvgPool2d(name=self.name)

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = R{x} at the winners."""
        return np.take_along_axis(rx.reshape(len(rx), -1, rx.shape[-1]), tape[self], axis=1)[:, 0]


class Pool2d(FixedLinear):
    """Base of the pools: a window of `size` (a number or a pair) that moves by `stride` (by its size where None)."""

    per_unit = True

    def __init__(self, size: Pair, stride: Pair | None = None, padding: Padding = "valid", *,
                 name: str | None = None) -> None:
        self.size = size
        self.stride = stride
        self.padding = padding
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return (ho, wo, c) for images (h, w, c)."""
        stride = self.size if self.stride is None else self.stride
        self.window = window(self.name, shape, self.size, stride, self.padding)
        return (*self.window.output, shape[-1]), []


class MaxPool2d(Pool2d):
    """The largest entry of each window; the first one where several are equal. Padding never wins.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), optional
        Pixels from one window to the next; the size of the window by default.
    padding : {"valid", "same"}, int or ((top, bottom), (left, right))
        See padding.py.
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "max_pool"
    counts_paths = False

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, ho, wo, c) for x (n, h, w, c); the winners are kept."""
        at, shape = self.window, (len(x), *self.output_shape)
        y, winner = tape.buffer(self, "y", shape), tape.buffer(self, "winner", shape, np.dtype(np.int32))
        images.max_pool(x, *at.kernel, *at.stride, at.top, at.left, y, winner)
        tape[self] = winner
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return dx: the gradient of each window at its winner."""
        at, dx = self.window, tape.buffer(self, "dx", (len(dy), *self.input_shape))
        images.max_pool_backward(dy, tape[self], *at.kernel, *at.stride, at.top, at.left, dx)
        return dx

    def stand_in(self) -> Layer:
        """Return the mean of the window, which lets through what any of its pixels does."""
        return AvgPool2d(self.size, self.stride, self.padding, name=self.name)

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = R{x} at the winners."""
        at, (down, right) = self.window, np.divmod(tape[self], self.window.kernel[1])
        rows = np.arange(at.output[0])[:, None, None] * at.stride[0] - at.top + down
        columns = np.arange(at.output[1])[:, None] * at.stride[1] - at.left + right
        return rx[np.arange(len(rx))[:, None, None, None], rows, columns, np.arange(rx.shape[-1])]


class AvgPool2d(Pool2d):
    """The mean of each window, over what lies inside the image or, with `count_padding`, over the whole window.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), optional
        Pixels from one window to the next; the size of the window by default.
    padding : {"valid", "same"}, int or ((top, bottom), (left, right))
        See padding.py.
    count_padding : bool, default False
        Whether padding counts as pixels that are 0, as PyTorch has it by default; Keras and ONNX do not count it.
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "avg_pool"

    def __init__(self, size: Pair, stride: Pair | None = None, padding: Padding = "valid",
                 count_padding: bool = False, *, name: str | None = None) -> None:
        super().__init__(size, stride, padding, name=name)
        self.count_padding = count_padding

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, ho, wo, c) for x (n, h, w, c)."""
        at, y = self.window, tape.buffer(self, "y", (len(x), *self.output_shape))
        images.average_pool(x, *at.kernel, *at.stride, at.top, at.left, y)
        if self.count_padding and at.padded:
            y *= self._inside().astype(y.dtype)
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return dx: each pixel inside a window takes its share."""
        at, dx = self.window, tape.buffer(self, "dx", (len(dy), *self.input_shape))
        if self.count_padding and at.padded:
            dy = dy * self._inside().astype(dy.dtype)
        images.average_pool_backward(dy, *at.kernel, *at.stride, at.top, at.left, dx)
        return dx

    def share(self, tape: Tape) -> float | np.ndarray:
        """Return 1 / (pixels of the window that count): (ho, wo, 1)."""
        size = math.prod(self.window.kernel)
        return 1 / size if self.count_padding else 1 / (size * self._inside())

    def _inside(self):
        """Return the share of each window that lies inside the image: (ho, wo, 1)."""
        at, (h, w, _) = self.window, self.input_shape
        down = _inside(h, at.output[0], at.kernel[0], at.stride[0], at.top)
        right = _inside(w, at.output[1], at.kernel[1], at.stride[1], at.left)
        return down[:, None, None] * right[:, None] / math.prod(at.kernel)


def _inside(size, output, kernel, stride, before):
    """Return how many pixels of each window lie inside the image, along one side: (output,)."""
    start = np.arange(output) * stride - before
    return np.minimum(start + kernel, size) - np.maximum(start, 0)
