"""Where tensors stand in a program's memory: planes of lines of columns of samples (see kernels/program.py)."""
import math
from dataclasses import dataclass, replace

import numpy as np

ROUND = 64  # tensors begin, and runs end, at multiples of so many numbers: aligned, and what `sparse_planes` asks for


def rounded(size, to=ROUND):
    """`size`, or the next multiple of `to`."""
    return -(-size // to) * to


@dataclass(frozen=True)
class Tensor:
    """A stack of `channels` planes of `plane` numbers, at `offset`.

    Pixel (y, x) of a plane is the run of `tile` numbers at (y * pitch + x) * tile; what lies between width and pitch,
    and at the end of a plane, has no meaning. A tensor that is `flat` is a row to the net: its features are the entries
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
    def size(self):
        """Numbers that it takes."""
        return self.channels * self.plane

    @property
    def line(self):
        """Numbers from one line to the next."""
        return self.pitch * self.tile

    @property
    def compact(self):
        """Whether no number in it is without meaning."""
        return self.pitch == self.width and self.plane == self.height * self.line

    def places(self):
        """Where each entry stands, from `offset`: (height * width * channels,), in the net's order."""
        pixels = np.arange(self.height)[:, None] * self.line + np.arange(self.width) * self.tile
        return (pixels[:, :, None] + np.arange(self.channels) * self.plane).reshape(-1)

    def alike(self, other):
        """Whether equal offsets hold equal entries."""
        return replace(self, offset=0) == replace(other, offset=0)


def image_shape(shape):
    """Any shape as (height, width, channels)."""
    return tuple(shape) if len(shape) == 3 else (1, math.prod(shape[:-1]), shape[-1])


class Memory:
    """Offsets in one array: the first gap that is large enough."""

    def __init__(self):
        self.taken = []  # sorted (offset, size)
        self.size = 0

    def take(self, size):
        """The offset of `size` numbers that nobody else has."""
        size, start = rounded(max(size, 1)), 0
        for offset, used in self.taken:
            if offset - start >= size:
                break
            start = offset + used
        self.taken = sorted([*self.taken, (start, size)])
        self.size = max(self.size, start + size)
        return start

    def give_back(self, offset):
        """What was taken at `offset` is free again."""
        self.taken = [(start, size) for start, size in self.taken if start != offset]
