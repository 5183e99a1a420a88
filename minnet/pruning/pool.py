"""The pool: the pieces in the scope, with their scores and states, and who of them goes when the counts are known.

A heap is a set of pieces that are compared with each other: the whole pool, a layer, the weights into one unit, a
group of n:m. `heaps` (n,) is the number of each piece's heap. A part is a layer, or several whose units are one.
"""
import numpy as np

from minnet.errors import InvalidValue
from minnet.kernels.select import GONE, STAYS
from minnet.pruning.apportion import DIGITS, apportion
from minnet.pruning.select import select


class Infeasible(InvalidValue):
    """Fewer pieces may go than are asked for; the message names the largest count."""


class Pool:
    """Pieces, `scores` (n,) and `state` (n,) of them, and the share `floor` that each part keeps at least."""

    def __init__(self, pieces, scores, state, floor=0.0):
        self.pieces = pieces
        self.scores = scores
        self.state = state
        self.floor = floor
        self.parts = pieces.parts
        self.layers = pieces.part_of                                 # (n,) the heaps that are the parts
        self.sizes = np.array([part.size for part in self.parts])    # (parts,)
        self.gone = self.gone_in(self.layers, len(self.parts))       # (parts,)
        self.most = self.bounds(self.layers, len(self.parts))        # (parts,) how many may be gone of each

    def __len__(self):
        return self.pieces.n

    def gone_in(self, heaps, count):
        """(count,) how many pieces of each heap are gone already."""
        return np.bincount(heaps[self.state == GONE], minlength=count)

    def cells(self, heaps):
        """Where heaps and parts meet: (n,) the cell of each piece, (cells,) how many of it may be gone."""
        found, cell = np.unique(heaps * len(self.parts) + self.layers, return_inverse=True)
        size = np.bincount(cell)
        keeps = np.array([part.keeps for part in self.parts])[found % len(self.parts)]
        keeps = np.maximum(keeps, np.ceil(np.round(self.floor * size, DIGITS)).astype(np.int64))
        stays = np.bincount(cell[self.state == STAYS], minlength=len(size))
        return cell, np.maximum(size - np.maximum(stays, keeps), self.gone_in(cell, len(size)))

    def bounds(self, heaps, count):
        """(count,) how many of each heap may be gone."""
        cell, most = self.cells(heaps)
        heap_of_cell = np.zeros(len(most), np.int64)
        heap_of_cell[cell] = heaps
        return np.bincount(heap_of_cell, most, minlength=count).astype(np.int64)

    def spread(self, k, distribution):
        """Exactly k gone, by the shares of a distribution, rounded, within what each heap can lose; as `take`.

        Where more than k are gone already, those. Raises Infeasible, naming the largest count, where fewer may go.
        """
        if k <= self.gone.sum():
            return self.layers, self.gone, self.state == GONE
        self.check(k, self.most.sum())
        heaps, shares = distribution(self, k)
        heaps, shares = np.asarray(heaps), np.asarray(shares, float)
        high = self.bounds(heaps, len(shares))
        self.check(k, high.sum())
        return self.take(heaps, apportion(shares, k, self.gone_in(heaps, len(shares)), high))

    def check(self, k, most):
        """Raise Infeasible where k are to be gone and fewer may."""
        if k > most:
            raise Infeasible(f"{k} of {len(self)} {self.pieces.unit}s are to go, but at most {most} may: value_range, "
                               "min_density and that an axis keeps a unit hold back the others; ask for fewer")

    def exactly(self, counts):
        """So many of each part are gone, or as many as are gone already; as `take`. Raises where fewer may go."""
        counts = np.maximum(counts, self.gone)
        for part, count, most in zip(self.parts, counts, self.most, strict=True):
            if count > most:
                raise Infeasible(f"{count} of the {part.size} {self.pieces.unit}s of {part.name} are to go, but at "
                                 f"most {most} may: ask for fewer")
        return self.take(self.layers, counts)

    def take(self, heaps, counts):
        """So many of each heap go, fewer from parts that may not lose so many, whose heap then gives others.

        Returns (heaps, counts, gone (n,) bool): the heaps as they were in the end.
        """
        cell, most = self.cells(heaps)
        heaps, counts = heaps.copy(), list(counts)
        while True:
            gone = select(self.scores, self.state, counts, heaps)
            lost = np.bincount(cell[gone], minlength=len(most))
            over = np.flatnonzero(lost > most)
            if not len(over):
                return heaps, counts, gone
            for number in over:  # from now on a heap of its own, with what it can give
                members = cell == number
                counts[heaps[members][0]] -= most[number]
                heaps[members] = len(counts)
                counts.append(most[number])
