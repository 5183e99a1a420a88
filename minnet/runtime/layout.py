"""Tensors in a program's memory: planes of lines of columns of samples (see kernels/program)."""
import math
from dataclasses import dataclass, replace

import numpy as np

ROUND = 64  # tensors begin, and runs end, at multiples of this: aligned, and what `sparse_planes` needs


def rounded(size: int, to: int = ROUND) -> int:
    """Return `size` rounded up to a multiple of `to`."""
    return -(-size // to) * to


@dataclass(frozen=True)
class Tensor:
    """A stack of `channels` planes of `plane` values, at `offset`.

    Pixel (y, x) of a plane is the run of `tile` values at (y * pitch + x) * tile; values between width and pitch, and
    at the end of a plane, have no meaning. A tensor that is `flat` is a row to the net: its features are the entries
    of the image, channels last.
    """

    offset: int
    channels: int
    height: int
    width: int
    pitch: int
    plane: int
    tile: int
    flat: bool = False

    @property
    def size(self) -> int:
        """Return the values that it takes, those without meaning included."""
        return self.channels * self.plane

    @property
    def line(self) -> int:
        """Return the values from one line to the next."""
        return self.pitch * self.tile

    @property
    def compact(self) -> bool:
        """Return True if every value in it has a meaning."""
        return self.pitch == self.width and self.plane == self.height * self.line

    def offsets(self) -> np.ndarray:
        """Return the distance of each entry from `offset`: (height * width * channels,), channels last."""
        pixels = np.arange(self.height)[:, None] * self.line + np.arange(self.width) * self.tile
        return (pixels[:, :, None] + np.arange(self.channels) * self.plane).reshape(-1)

    def same_layout(self, other: "Tensor") -> bool:
        """Return True if equal distances from `offset` hold equal entries."""
        return replace(self, offset=0) == replace(other, offset=0)


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return any shape as (height, width, channels)."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return 1, math.prod(shape[:-1]), shape[-1]


class Memory:
    """An allocator of offsets in one array: first fit."""

    def __init__(self) -> None:
        self.used: list[tuple[int, int]] = []  # sorted (offset, size)
        self.size = 0

    def allocate(self, size: int) -> int:
        """Return the offset of `size` values, at least 1, that no other allocation has."""
        size, start = rounded(max(size, 1)), 0
        for offset, used in self.used:
            if offset - start >= size:
                break
            start = offset + used
        self.used = sorted([*self.used, (start, size)])
        self.size = max(self.size, start + size)
        return start

    def free(self, offset: int) -> None:
        """Free the allocation at `offset`."""
        self.used = [(start, size) for start, size in self.used if start != offset]
