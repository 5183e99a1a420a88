"""Windows that slide over an image: the arithmetic that convolutions and pools share.

`padding` is "valid" (none), "same" (output ceil(n / stride), the odd row at bottom and right, as Keras and ONNX's
SAME_UPPER have it), an int (on all sides), or ((top, bottom), (left, right)).
"""
from dataclasses import dataclass

import numpy as np

from minnet.errors import InvalidValue, check_count

Pair = int | tuple[int, int]
Padding = str | int | tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """One window on one image size: heights and widths of kernel, stride, padding and output."""

    kernel: tuple   # (kh, kw)
    stride: tuple   # (sh, sw)
    top: int
    bottom: int
    left: int
    right: int
    output: tuple   # (ho, wo)

    @property
    def padded(self):
        """True if the window ever sees anything outside the image."""
        return bool(self.top or self.bottom or self.left or self.right)


    def pixels(self, x: np.ndarray, row: int, column: int, channel: int) -> np.ndarray:
        """Return what tap (row, column) sees of a channel of the images x (n, h, w, c): (n, ho, wo); padding is 0."""
        padded = np.pad(x[..., channel], ((0, 0), (self.top, self.bottom), (self.left, self.right)))
        (sh, sw), (ho, wo) = self.stride, self.output
        return padded[:, row : row + (ho - 1) * sh + 1 : sh, column : column + (wo - 1) * sw + 1 : sw]


def pair(name: str, value: Pair) -> tuple:
    """Return an int or a pair of ints as (height, width), each at least 1."""
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2:
        raise InvalidValue(f"{name} must be a whole number or a pair (height, width), got {value!r}")
    return tuple(check_count(name, v, 1) for v in both)


def window(layer: str | None, shape: tuple, kernel: Pair, stride: Pair, padding: Padding) -> Window:
    """Return the Window of `layer` on images (h, w, c); one too small is refused, naming the smallest."""
    if len(shape) != 3:
        raise InvalidValue(f"{layer} takes images (height, width, channels), but is given the shape {shape}: "
                           "leave Flatten() away or reshape the data")
    kernel, stride = pair(f"kernel of {layer}", kernel), pair(f"stride of {layer}", stride)
    paddings = _padding_pairs(layer, padding)
    sides = [_side(layer, *numbers) for numbers in zip(shape[:2], kernel, stride, paddings, strict=True)]
    (top, bottom, ho), (left, right, wo) = sides
    return Window(kernel, stride, top, bottom, left, right, (ho, wo))


def _padding_pairs(layer, padding):
    """Return [height, width], each "same" or (before, after)."""
    if padding == "same":
        return ["same", "same"]
    if padding == "valid":
        padding = 0
    if isinstance(padding, int) and not isinstance(padding, bool):
        padding = ((padding, padding), (padding, padding))
    try:
        (top, bottom), (left, right) = padding
        sides = (top, bottom), (left, right)
        return [tuple(check_count(f"padding of {layer}", v, 0) for v in side) for side in sides]
    except (TypeError, ValueError):
        raise InvalidValue(f'padding of {layer} must be "valid", "same", a whole number or ((top, bottom), '
                           f"(left, right)), got {padding!r}") from None


def _side(layer, size, kernel, stride, padding):
    """Return (before, after, output size) along one side."""
    if padding == "same":
        output = -(-size // stride)
        total = max((output - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2, output
    before, after = padding
    if max(before, after) >= kernel:
        raise InvalidValue(f"padding {padding} of {layer} must be smaller than its window of {kernel}, or it sees "
                           "nothing but padding: take less padding or a larger window")
    if size + before + after < kernel:
        raise InvalidValue(f"{layer} has a window of {kernel}, but its image is {size} wide with {before + after} of "
                           f"padding: the smallest it takes is {max(kernel - before - after, 1)}")
    return before, after, (size + before + after - kernel) // stride + 1
