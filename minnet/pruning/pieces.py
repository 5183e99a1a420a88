"""Pieces: the sets of weights that a structure masks or keeps as a whole, and the way from weights to them and back.

    pieces = structures.filter_(model, ["conv1", "conv2"])
    pieces.reduce(scores, "l2")        # (n,): one score a piece
    pieces.expand(keep)                # a mask of the whole length; what is in no piece stays True

Pieces are numbered layer group by layer group. A layer group is one layer, or several layers that share their units;
its pieces have consecutive numbers.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.engine.vector import Parameter
from minnet.errors import InvalidValue, Unsupported, check_choice
from minnet.kernels.select import GONE, MAY_GO, STAYS
from minnet.pruning.reductions import REDUCTIONS

Reduction = str | Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LayerGroup:
    """A run of pieces: the layers whose weights it holds (mostly one), and how many of its pieces must stay."""

    layers: tuple[str, ...]
    parameters: tuple[Parameter, ...]  # their weights
    start: int
    stop: int
    keeps: int = 0     # 1 for units: an axis keeps at least one

    @property
    def name(self) -> str:
        """"conv1", or "conv1+conv3" where the layers share their units."""
        return "+".join(self.layers)

    @property
    def size(self) -> int:
        """How many pieces."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """Their place in a vector of pieces."""
        return slice(self.start, self.stop)


class Pieces:
    """What `Weights` and `WeightSets` share.

    `unit` is what one piece is called. `own_count` is True where the structure itself decides which pieces are removed
    (method `cut`); `ranked` is False where the removed pieces need not have the lowest scores; `frees_inputs` is True
    where pieces are features of the input, which `compact` then removes.
    """

    own_count = False
    ranked = True
    frees_inputs = False

    def __init__(self, model: Model, layer_groups: Sequence[LayerGroup], unit: str) -> None:
        self.model = model
        self.layer_groups = layer_groups
        self.unit = unit

    @property
    def n(self) -> int:
        """How many pieces there are."""
        return self.layer_groups[-1].stop

    @property
    def layer_group_of(self) -> np.ndarray:
        """(n,) the number of the layer group of each piece."""
        return np.repeat(np.arange(len(self.layer_groups)), [group.size for group in self.layer_groups])

    def state(self, mask: np.ndarray, may_go: np.ndarray | None = None) -> np.ndarray:
        """Return (n,) uint8: GONE if all of a piece is masked, STAYS if a live weight of it is protected, else MAY_GO.

        `may_go` (n_weights,) bool is False at protected weights; by default no weight is.
        """
        state = np.full(self.n, MAY_GO, np.uint8)
        if may_go is not None:
            state[~self.all_of(may_go | ~mask[: len(may_go)])] = STAYS
        state[self.gone(mask)] = GONE
        return state


class Weights(Pieces):
    """Every weight is a piece of its own."""

    def reduce(self, scores: np.ndarray, reduction: Reduction | None = None) -> np.ndarray:
        """Return the scores (n,) of the layer groups, one after the other; there is nothing to reduce."""
        return _join([scores[p.slice] for p in self._parameters()])

    def expand(self, keep: np.ndarray) -> np.ndarray:
        """Return the mask (length of the model's) that is False at the weights that are not kept."""
        mask = np.ones(len(self.model.values), bool)
        for group, p in zip(self.layer_groups, self._parameters(), strict=True):
            mask[p.slice] = keep[group.slice]
        return mask

    def total(self, vector: np.ndarray) -> np.ndarray:
        """Return (n,) the entry of `vector` (length of the model's) at each weight."""
        return self.all_of(vector)

    def all_of(self, flags: np.ndarray) -> np.ndarray:
        """Return (n,) the flag, of `flags` (n_weights,), of each piece's weight."""
        return _join([flags[p.slice] for p in self._parameters()])

    def gone(self, mask: np.ndarray) -> np.ndarray:
        """Return (n,) bool: True where the weight is masked."""
        return ~self.all_of(mask)

    def members(self, piece: int) -> np.ndarray:
        """Return the flat positions of the weights of one piece."""
        for group, p in zip(self.layer_groups, self._parameters(), strict=True):
            if piece < group.stop:
                return np.array([p.slice.start + piece - group.start])
        raise InvalidValue(f"piece {piece}: there are {self.n}")

    def piece_at(self, position: int) -> int | None:
        """Return the piece that holds the weight at a flat position, or None."""
        for group, p in zip(self.layer_groups, self._parameters(), strict=True):
            if p.slice.start <= position < p.slice.stop:
                return group.start + position - p.slice.start
        return None

    def rows(self) -> np.ndarray:
        """Return (n,) the number of the output unit that each weight belongs to."""
        numbers, first = [], 0
        for p in self._parameters():
            numbers.append(first + positions_in(p) % p.shape[-1])
            first += p.shape[-1]
        return _join(numbers)

    def _parameters(self):
        return [parameter for group in self.layer_groups for parameter in group.parameters]


class WeightSets(Pieces):
    """Each piece is several weights, and perhaps biases, gains and shifts that are masked with them.

    `positions` (m,) are flat positions of weights, piece by piece; `starts` (n,) the start of each piece in it;
    `others` and `other_piece` the flat positions beyond the weights, and the piece of each.
    """

    def __init__(self, model: Model, layer_groups: Sequence[LayerGroup], unit: str, weights: np.ndarray,
                 piece: np.ndarray, others: Sequence[int] | np.ndarray = (),
                 other_piece: Sequence[int] | np.ndarray = ()) -> None:
        super().__init__(model, layer_groups, unit)
        order = np.argsort(piece, kind="stable")
        self.positions = weights[order]
        self.sizes = np.bincount(piece, minlength=self.n)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.others = np.asarray(others, np.int64)
        self.other_piece = np.asarray(other_piece, np.int64)

    def reduce(self, scores: np.ndarray, reduction: Reduction) -> np.ndarray:
        """Return (n,) one score a piece, float64, by a name in REDUCTIONS or a function (scores, starts, sizes)."""
        scores = scores[self.positions].astype(np.float64)
        return check_choice("reduction", reduction, REDUCTIONS)(scores, self.starts, self.sizes)

    def expand(self, keep: np.ndarray) -> np.ndarray:
        """Return the mask (length of the model's) that is False at all of the pieces that are not kept."""
        mask = np.ones(len(self.model.values), bool)
        mask[self.positions] = np.repeat(keep, self.sizes)
        mask[self.others] = keep[self.other_piece]
        return mask

    def total(self, vector: np.ndarray) -> np.ndarray:
        """Return (n,) the sum of `vector` (length of the model's) over all of each piece."""
        return np.add.reduceat(vector[self.positions], self.starts) + \
            np.bincount(self.other_piece, vector[self.others], minlength=self.n)

    def all_of(self, flags: np.ndarray) -> np.ndarray:
        """Return (n,) bool: True where all weights of a piece have the flag, of `flags` (n_weights,)."""
        return np.logical_and.reduceat(flags[self.positions], self.starts)

    def gone(self, mask: np.ndarray) -> np.ndarray:
        """Return (n,) bool: True where all of a piece is masked."""
        gone = ~np.logical_or.reduceat(mask[self.positions], self.starts)
        gone[self.other_piece[mask[self.others]]] = False
        return gone

    def members(self, piece: int) -> np.ndarray:
        """Return the flat positions of the weights of one piece."""
        return self.positions[self.starts[piece] :][: self.sizes[piece]]

    def piece_at(self, position: int) -> int | None:
        """Return the piece that holds the weight at a flat position, or None."""
        where = np.flatnonzero(self.positions == position)
        return int(np.searchsorted(self.starts, where[0], side="right")) - 1 if len(where) else None

    def rows(self) -> np.ndarray:
        """Raise Unsupported: not every piece belongs to one output unit."""
        raise Unsupported(f'distribution="rowwise" compares single weights, not {self.unit}s: '
                          'take structure="weight" or another distribution')


def positions_in(parameter: Parameter) -> np.ndarray:
    """Return (size in the vector,) the flat position, inside the dense shape, of each entry."""
    return np.arange(parameter.size) if parameter.index is None else parameter.index


def _join(arrays):
    """Concatenate; a single array is not copied."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
