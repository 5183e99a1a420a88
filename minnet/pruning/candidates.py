"""Candidates: the pieces in the scope with their scores, and which of them are removed once the counts are known.

A group is a set of pieces that are compared with each other: all of them, those of a layer, the weights into one unit,
an n:m group. `groups` (n,) is the number of each piece's group. A layer group (pieces.py) is a layer, or several layers
that share their units.
"""
import numpy as np

from minnet.errors import InvalidValue, quoted
from minnet.kernels.select import GONE, STAYS
from minnet.pruning.apportion import DIGITS, apportion
from minnet.pruning.pieces import Pieces
from minnet.pruning.select import select


class Infeasible(InvalidValue):
    """Fewer pieces can be removed than are asked for; the message names the largest count."""


class Candidates:
    """Pieces, their `scores` (n,) and `state` (n,), and the share `floor` that each layer group keeps at least.

    `layers` (n,) is the layer group of each piece. By layer group: `sizes`, `gone` (how many pieces are masked already)
    and `most` (how many may be masked in all).
    """

    def __init__(self, pieces: Pieces, scores: np.ndarray, state: np.ndarray, floor: float = 0.0) -> None:
        self.pieces = pieces
        self.scores = scores
        self.state = state
        self.floor = floor
        self.layer_groups = pieces.layer_groups
        self.layers = pieces.layer_group_of
        self.sizes = np.array([group.size for group in self.layer_groups])
        self.gone = self.gone_in(self.layers, len(self.layer_groups))
        self.most = Cells(self, self.layers).most

    def __len__(self) -> int:
        return self.pieces.n

    def gone_in(self, groups: np.ndarray, count: int) -> np.ndarray:
        """Return (count,) how many pieces of each group are masked already."""
        return np.bincount(groups[self.state == GONE], minlength=count)

    def spread(self, k, distribution):
        """Choose exactly k pieces: the shares of a distribution, rounded within what each group can lose; as `take`.

        Where more than k are masked already, those. Raises Infeasible, naming the largest count, where k is above it.
        """
        if k <= self.gone.sum():
            return self.layers, self.gone, self.state == GONE
        groups, shares = self.checked(*distribution(self, k))
        cells = Cells(self, groups)
        high = cells.most_of_groups(len(shares))
        self.check(k, high.sum())
        return self.take(groups, apportion(shares, k, self.gone_in(groups, len(shares)), high), cells)

    def check(self, k, most):
        """Raise Infeasible if k exceeds `most`, the number of pieces that can be removed."""
        if k > most:
            reasons = {f"the last {self.pieces.unit} of an axis stays": any(g.keeps for g in self.layer_groups),
                       "value_range protects some": (self.state == STAYS).any(),
                       "min_density protects some": self.floor > 0}
            reason = " and ".join(reason for reason, holds in reasons.items() if holds)
            raise Infeasible(f"cannot remove {k} of {len(self)} {self.pieces.unit}s: {reason}; ask for at most {most}")

    def checked(self, groups, shares):
        """Return what a distribution gave, as arrays: the group of each piece, and a share for each group."""
        groups, shares = np.asarray(groups), np.asarray(shares, float)
        if groups.shape != (len(self),) or groups.dtype.kind not in "iu":
            raise InvalidValue(f"the distribution returned groups of {groups.dtype} and shape {groups.shape}; wanted a "
                               f"whole number for each of {len(self)} {self.pieces.unit}s")
        if shares.ndim != 1 or not np.isfinite(shares).all() or (shares < 0).any() or groups.max() >= len(shares):
            raise InvalidValue(f"the distribution returned the shares {quoted(repr(shares))}; wanted a number of at "
                               f"least 0 for each of {groups.max() + 1} groups")
        return groups, shares

    def exactly(self, counts):
        """Choose counts[i] pieces of layer group i, or those masked already if they are more; as `take`.

        Raises Infeasible where fewer can be removed.
        """
        counts = np.maximum(counts, self.gone)
        for group, count, most in zip(self.layer_groups, counts, self.most, strict=True):
            if count > most:
                raise Infeasible(f"cannot remove {count} of the {group.size} {self.pieces.unit}s of {group.name}: "
                                 f"ask for at most {most}")
        return self.take(self.layers, counts, Cells(self, self.layers))

    def take(self, groups, counts, cells):
        """Remove `counts[g]` pieces of each group.

        A layer at its limit becomes a group of its own; the rest of its group makes up the difference. Returns
        (groups, counts, gone (n,) bool), the groups as they are in the end.
        """
        while True:
            gone = select(self.scores, self.state, counts, groups)
            over = cells.over(gone)
            if not len(over):
                return groups, counts, gone
            groups, counts = groups.copy(), list(counts)
            for number in over:  # now a group of its own, which gives what it can
                members = cells.of == number
                counts[groups[members][0]] -= cells.most[number]
                groups[members] = len(counts)
                counts.append(cells.most[number])


class Cells:
    """The intersections of groups and layer groups: `of` (n,) the cell of each piece, `most` (cells,) its limit.

    The floor holds in every cell by itself, and so in the layer group.
    """

    def __init__(self, candidates: Candidates, groups: np.ndarray) -> None:
        self.columns = len(candidates.layer_groups)
        codes = groups * self.columns + candidates.layers
        sizes = np.bincount(codes)
        self.found = np.flatnonzero(sizes)  # the code of each cell: group * columns + layer group
        number = np.zeros(len(sizes), np.int64)
        number[self.found] = np.arange(len(self.found))
        self.of = number[codes]
        size = sizes[self.found]
        keeps = np.array([group.keeps for group in candidates.layer_groups])[self.found % self.columns]
        keeps = np.maximum(keeps, np.ceil(np.round(candidates.floor * size, DIGITS)).astype(np.int64))
        stays = np.bincount(self.of[candidates.state == STAYS], minlength=len(size))
        self.bound = bool(keeps.any())
        self.most = np.maximum(size - np.maximum(stays, keeps), candidates.gone_in(self.of, len(size)))

    def most_of_groups(self, count):
        """Return (count,) how many pieces of each group may be masked."""
        return np.bincount(self.found // self.columns, self.most, minlength=count).astype(np.int64)

    def over(self, gone):
        """Return the cells that lose more than their limit; protected pieces are never selected anyway."""
        if not self.bound:
            return ()
        return np.flatnonzero(np.bincount(self.of[gone], minlength=len(self.most)) > self.most)
