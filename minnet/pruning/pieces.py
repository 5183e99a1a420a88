"""Pieces: what a structure cuts the weights into, and the two directions between weights and pieces.

    pieces = structures.filter_(model, ["conv1", "conv2"])
    pieces.reduce(scores, "l2")        # (n,): one score a piece
    pieces.expand(keep)                # a mask of the whole length; what lies in no piece stays True

Pieces are numbered part by part. A part is a layer, or several whose units are one; its pieces lie in one run.
"""
from dataclasses import dataclass

import numpy as np

from minnet.errors import InvalidValue, Unsupported, check_choice
from minnet.kernels.select import GONE, MAY_GO, STAYS
from minnet.pruning.reductions import REDUCTIONS


@dataclass(frozen=True)
class Part:
    """A run of pieces: the layers whose weights it takes (mostly one), and how many pieces must stay in it."""

    layers: tuple
    parameters: tuple  # their weights
    start: int
    stop: int
    keeps: int = 0     # 1 for units: an axis keeps at least one

    @property
    def name(self):
        """"conv1", or "conv1+conv3" where the units are one."""
        return "+".join(self.layers)

    @property
    def size(self):
        """How many pieces."""
        return self.stop - self.start

    @property
    def slice(self):
        """Where they lie in a vector of pieces."""
        return slice(self.start, self.stop)


class Pieces:
    """What `Weights` and `Groups` share. `unit` is what one piece is called; `own_count` is True where the structure
    sets by itself what goes (`cut`); `ranked` is False where what goes need not have the lowest scores."""

    own_count = False
    ranked = True

    def __init__(self, model, parts, unit):
        self.model = model
        self.parts = parts
        self.unit = unit

    @property
    def n(self):
        """How many pieces there are."""
        return self.parts[-1].stop

    @property
    def part_of(self):
        """(n,) the number of the part of each piece."""
        return np.repeat(np.arange(len(self.parts)), [part.size for part in self.parts])

    def state(self, mask, may_go=None):
        """(n,) uint8: GONE where all of a piece is masked; STAYS where a live weight of it may not go; else MAY_GO.

        `may_go` (n_weights,) bool: which weights may, all of them by default.
        """
        state = np.full(self.n, MAY_GO, np.uint8)
        if may_go is not None:
            state[~self.all_of(may_go | ~mask[: len(may_go)])] = STAYS
        state[self.gone(mask)] = GONE
        return state


class Weights(Pieces):
    """Every weight is a piece of its own."""

    def reduce(self, scores, reduction=None):
        """The scores of the parts, one after the other; nothing is to be reduced."""
        return _join([scores[p.slice] for p in self._parameters()])

    def expand(self, keep):
        """True but for the weights that are not kept."""
        mask = np.ones(len(self.model.values), bool)
        for part, p in zip(self.parts, self._parameters(), strict=True):
            mask[p.slice] = keep[part.slice]
        return mask

    def total(self, vector):
        """(n,) the entry of `vector` (length of the model's) at each weight."""
        return self.all_of(vector)

    def all_of(self, flags):
        """(n,): the flag (n_weights,) of each piece's weight."""
        return _join([flags[p.slice] for p in self._parameters()])

    def gone(self, mask):
        """(n,): is it masked."""
        return ~self.all_of(mask)

    def members(self, piece):
        """The flat positions of the weights of one piece."""
        for part, p in zip(self.parts, self._parameters(), strict=True):
            if piece < part.stop:
                return np.array([p.slice.start + piece - part.start])
        raise InvalidValue(f"piece {piece}: there are {self.n}")

    def piece_at(self, position):
        """The piece that the weight at a flat position lies in, or None."""
        for part, p in zip(self.parts, self._parameters(), strict=True):
            if p.slice.start <= position < p.slice.stop:
                return part.start + position - p.slice.start
        return None

    def rows(self):
        """(n,) the number of the output unit that each weight belongs to."""
        numbers, first = [], 0
        for p in self._parameters():
            numbers.append(first + positions_in(p) % p.shape[-1])
            first += p.shape[-1]
        return _join(numbers)

    def _parameters(self):
        return [parameter for part in self.parts for parameter in part.parameters]


class Groups(Pieces):
    """Each piece is several weights, and perhaps biases, gains and shifts that go with them.

    `positions` (m,) flat positions of weights, piece by piece; `starts` (n,) where each piece begins in it; `others`
    and `other_piece` the flat positions beyond the weights and the piece of each.
    """

    def __init__(self, model, parts, unit, weights, piece, others=(), other_piece=()):
        super().__init__(model, parts, unit)
        order = np.argsort(piece, kind="stable")
        self.positions = weights[order]
        self.sizes = np.bincount(piece, minlength=self.n)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.others = np.asarray(others, np.int64)
        self.other_piece = np.asarray(other_piece, np.int64)

    def reduce(self, scores, reduction):
        """(n,) one score a piece, by a name in REDUCTIONS or a function (scores, starts, sizes) -> (n,), in float64."""
        scores = scores[self.positions].astype(np.float64)
        return check_choice("reduction", reduction, REDUCTIONS)(scores, self.starts, self.sizes)

    def expand(self, keep):
        """True but for all of the pieces that are not kept."""
        mask = np.ones(len(self.model.values), bool)
        mask[self.positions] = np.repeat(keep, self.sizes)
        mask[self.others] = keep[self.other_piece]
        return mask

    def total(self, vector):
        """(n,) the sum of `vector` (length of the model's) over all of each piece."""
        return np.add.reduceat(vector[self.positions], self.starts) + \
            np.bincount(self.other_piece, vector[self.others], minlength=self.n)

    def all_of(self, flags):
        """(n,): do all weights of a piece have the flag (n_weights,)."""
        return np.logical_and.reduceat(flags[self.positions], self.starts)

    def gone(self, mask):
        """(n,): is all of it masked."""
        gone = ~np.logical_or.reduceat(mask[self.positions], self.starts)
        gone[self.other_piece[mask[self.others]]] = False
        return gone

    def members(self, piece):
        """The flat positions of the weights of one piece."""
        return self.positions[self.starts[piece] :][: self.sizes[piece]]

    def piece_at(self, position):
        """The piece that the weight at a flat position lies in, or None."""
        where = np.flatnonzero(self.positions == position)
        return int(np.searchsorted(self.starts, where[0], side="right")) - 1 if len(where) else None

    def rows(self):
        """Not every group belongs to one output unit."""
        raise Unsupported(f'the distribution "rowwise" shares out single weights, not {self.unit}s: '
                          'take structure="weight" or another distribution')


def positions_in(parameter):
    """(size in the vector,) the flat position, inside the dense shape, of each of its entries."""
    return np.arange(parameter.size) if parameter.index is None else parameter.index


def _join(arrays):
    """One array after the other; a lone one is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
