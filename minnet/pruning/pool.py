"""The pool: the pieces in the scope, with their scores and states, and who of them goes when the counts are known.

A heap is a set of pieces that are compared with each other: the whole pool, a layer, the weights into one unit, a
group of n:m. `heaps` (n,) is the number of each piece's heap. A part is a layer, or several whose units are one.
"""
import numpy as np

from minnet.errors import InvalidValue, quoted
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
        self.most = Cells(self, self.layers).most                    # (parts,) how many may be gone of each

    def __len__(self):
        return self.pieces.n

    def gone_in(self, heaps, count):
        """(count,) how many pieces of each heap are gone already."""
        return np.bincount(heaps[self.state == GONE], minlength=count)

    def spread(self, k, distribution):
        """Exactly k gone, by the shares of a distribution, rounded, within what each heap can lose; as `take`.

        Where more than k are gone already, those. Raises Infeasible, naming the largest count, where fewer may go.
        """
        if k <= self.gone.sum():
            return self.layers, self.gone, self.state == GONE
        heaps, shares = self.checked(*distribution(self, k))
        cells = Cells(self, heaps)
        high = cells.most_of_heaps(len(shares))
        self.check(k, high.sum())
        return self.take(heaps, apportion(shares, k, self.gone_in(heaps, len(shares)), high), cells)

    def check(self, k, most):
        """Raise Infeasible where k are to be gone and fewer may."""
        if k > most:
            raise Infeasible(f"{k} of {len(self)} {self.pieces.unit}s are to go, but at most {most} may: value_range, "
                             "min_density and that an axis keeps a unit hold back the others; ask for fewer")

    def checked(self, heaps, shares):
        """What a distribution returned: the heap of each piece, and a share for each heap."""
        heaps, shares = np.asarray(heaps), np.asarray(shares, float)
        if heaps.shape != (len(self),) or heaps.dtype.kind not in "iu":
            raise InvalidValue(f"the distribution returned heaps of {heaps.dtype} and shape {heaps.shape}; wanted a "
                               f"whole number for each of {len(self)} {self.pieces.unit}s")
        if shares.ndim != 1 or not np.isfinite(shares).all() or (shares < 0).any() or heaps.max() >= len(shares):
            raise InvalidValue(f"the distribution returned the shares {quoted(repr(shares))}; wanted a number of at "
                               f"least 0 for each of {heaps.max() + 1} heaps")
        return heaps, shares

    def exactly(self, counts):
        """So many of each part are gone, or what is gone already; as `take`. Raises Infeasible where fewer may go."""
        counts = np.maximum(counts, self.gone)
        for part, count, most in zip(self.parts, counts, self.most, strict=True):
            if count > most:
                raise Infeasible(f"{count} of the {part.size} {self.pieces.unit}s of {part.name} are to go, but at "
                                 f"most {most} may: ask for fewer")
        return self.take(self.layers, counts, Cells(self, self.layers))

    def take(self, heaps, counts, cells):
        """So many of each heap go, fewer from parts that may not lose so many, whose heap then gives others.

        Returns (heaps, counts, gone (n,) bool): the heaps as they were in the end.
        """
        while True:
            gone = select(self.scores, self.state, counts, heaps)
            over = cells.over(gone)
            if not len(over):
                return heaps, counts, gone
            heaps, counts = heaps.copy(), list(counts)
            for number in over:  # from now on a heap of its own, with what it can give
                members = cells.of == number
                counts[heaps[members][0]] -= cells.most[number]
                heaps[members] = len(counts)
                counts.append(cells.most[number])


class Cells:
    """Where the heaps of a pool meet its parts: `of` (n,) the cell of each piece, `most` (cells,) how many may be gone.

    A cell that is no whole part holds to the floor by itself: then the part does, too.
    """

    def __init__(self, pool, heaps):
        self.parts = len(pool.parts)
        codes = heaps * self.parts + pool.layers
        sizes = np.bincount(codes)
        self.found = np.flatnonzero(sizes)  # the code of each cell: heap * parts + part
        number = np.zeros(len(sizes), np.int64)
        number[self.found] = np.arange(len(self.found))
        self.of = number[codes]
        size = sizes[self.found]
        keeps = np.array([part.keeps for part in pool.parts])[self.found % self.parts]
        keeps = np.maximum(keeps, np.ceil(np.round(pool.floor * size, DIGITS)).astype(np.int64))
        stays = np.bincount(self.of[pool.state == STAYS], minlength=len(size))
        self.bound = bool(keeps.any())
        self.most = np.maximum(size - np.maximum(stays, keeps), pool.gone_in(self.of, len(size)))

    def most_of_heaps(self, count):
        """(count,) how many of each heap may be gone."""
        return np.bincount(self.found // self.parts, self.most, minlength=count).astype(np.int64)

    def over(self, gone):
        """The cells that lose more than they may; what stays is not taken anyway."""
        if not self.bound:
            return ()
        return np.flatnonzero(np.bincount(self.of[gone], minlength=len(self.most)) > self.most)
