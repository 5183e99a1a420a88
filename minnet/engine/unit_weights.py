"""The weights of a linear layer in inference, flat and by output unit, into which what comes beside them is folded.

A frozen net and an export in C fold alike, so their numbers are the same.
"""
import math

import numpy as np


def unit_of(size: int, index: np.ndarray | None, units: int) -> np.ndarray:
    """Return the output unit of each of `size` entries, at the flat positions `index`, or at all of a weight."""
    return (np.arange(size) if index is None else index) % units


class UnitWeights:
    """Flat weights `entries` of shape `full` = (..., in, out), and a bias (out,).

    Of a layer born sparse the entries are those at the sorted flat positions `index`, which is None for any other.
    """

    entries: np.ndarray
    index: np.ndarray | None
    full: tuple[int, ...]
    bias: np.ndarray

    @property
    def units(self) -> int:
        """Return the number of outputs or filters."""
        return self.full[-1]

    @property
    def unit(self) -> np.ndarray:
        """Return the unit of each entry."""
        return unit_of(len(self.entries), self.index, self.units)

    def matrix(self, entries: np.ndarray | None = None) -> np.ndarray:
        """Return all weights, or `entries` in their place, zeros too, as (in, out): a view where nothing is missing.

        A row is an input; of a convolution an input of a window, (kh*kw*c, out).
        """
        entries = self.entries if entries is None else entries
        if self.index is not None:
            whole = np.zeros(math.prod(self.full), entries.dtype)
            whole[self.index] = entries
            entries = whole
        return entries.reshape(-1, self.units)

    def fold(self, scale: np.ndarray, shift: np.ndarray) -> None:
        """Replace the output y by scale * y + shift, by unit."""
        if self.index is None:
            entries = (self.matrix() * scale).reshape(-1)
        else:
            entries = self.entries * scale[self.unit]
        self.entries = entries.astype(self.entries.dtype)
        self.bias = self.bias * scale + shift

    def divide(self, divisor: float) -> None:
        """Divide the weights by what the inputs are divided by: (x / d) W = x (W / d)."""
        self.entries = (self.entries / divisor).astype(self.entries.dtype)
