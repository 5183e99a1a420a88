"""Explain why a weight is removed or stays: its score, its rank in the group it was compared with, and the cut."""
from dataclasses import dataclass

import numpy as np

from minnet.engine.vector import Parameter
from minnet.errors import InvalidType, InvalidValue, quoted
from minnet.kernels.select import GONE, MAY_GO, STAYS
from minnet.pruning.candidates import Candidates


@dataclass(frozen=True)
class Explanation:
    """Why a weight is removed or stays.

    Attributes
    ----------
    name, index : str, tuple of int
        The parameter and the place of the weight in it.
    value : float
        The weight before the pruning.
    outcome : str
        "removed", "kept", "removed before" or "not in the scope".
    reason : str
        A sentence.
    score : float or None
        The score of its piece.
    rank, rivals, quota : int or None
        The place of the piece (1 is the first to be removed) among the `rivals` of its group, of which `quota` are
        masked.
    cut : float or None
        The highest score that is removed in its group.
    tie : bool
        True where scores were equal and the index decided.
    layer_quota : int or None
        How many pieces of its layer are masked afterwards.
    round : int or None
        The place of this pruning in its `Record`, from 1.
    """

    name: str
    index: tuple[int, ...]
    value: float
    outcome: str
    reason: str
    score: float | None = None
    rank: int | None = None
    rivals: int | None = None
    quota: int | None = None
    cut: float | None = None
    tie: bool = False
    layer_quota: int | None = None
    round: int | None = None

    def __str__(self) -> str:
        outcome = self.outcome + f" in round {self.round}" * (self.round is not None)
        return f"{self.name}[{', '.join(map(str, self.index))}] = {self.value:g}: {outcome}, {self.reason}"


def why(piece: int, candidates: Candidates, groups: np.ndarray, counts: np.ndarray, gone: np.ndarray) -> tuple:
    """Return (outcome, reason, score, rank, rivals, quota, cut, tie) of one piece, as in Explanation."""
    group = groups[piece]
    score, state, unit = float(candidates.scores[piece]), candidates.state[piece], candidates.pieces.unit
    rivals = groups == group
    quota, n = int(counts[group]), int(np.count_nonzero(rivals))
    if state == GONE:
        return "removed before", f"this {unit} was masked already", score, None, n, quota
    if state == STAYS:
        return "kept", f"this {unit} holds weights outside value_range", score, None, n, quota
    if not candidates.pieces.ranked:
        return ("removed", "the pattern of its kernel leaves it out", score) if gone[piece] else \
            ("kept", "the pattern of its kernel holds it", score)
    free = rivals & (candidates.state == MAY_GO)
    equal = free & (candidates.scores == score)
    lower = (free & (candidates.scores < score)) | (rivals & (candidates.state == GONE))
    rank = int(np.count_nonzero(lower) + np.count_nonzero(equal[:piece])) + 1
    removed = free & gone
    cut = float(candidates.scores[removed].max()) if removed.any() else None
    tie = bool(gone[equal].any() and not gone[equal].all())
    place = f"its score {score:g} is number {rank} from below of {n}, of which {quota} are removed"
    ending = "; equal scores are ordered by index" if tie else ""
    return "removed" if gone[piece] else "kept", place + ending, score, rank, n, quota, cut, tie


def position_of(p: Parameter, index: int | tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the flat position of `index` (a tuple, or a flat number) of a parameter, and the index as a tuple."""
    try:
        index = np.unravel_index(int(index), p.shape) if np.ndim(index) == 0 else tuple(int(i) for i in index)
        flat = int(np.ravel_multi_index(index, p.shape))
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"index {quoted(repr(index))} of {p.name}: its shape is {p.shape}") from error
    if p.index is None:
        return p.slice.start + flat, tuple(int(i) for i in index)
    where = int(np.searchsorted(p.index, flat))
    if where == len(p.index) or p.index[where] != flat:
        raise InvalidType(f"{p.name} was born sparse and has no weight at {index}")
    return p.slice.start + where, tuple(int(i) for i in index)
