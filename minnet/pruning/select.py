"""The selector: mark exactly k of n pieces, whether weights, units, blocks or the members of n:m groups.

    removed = select(scores, state, k)                      # (n,) bool with exactly k True
    removed = select(scores, state, [3, 0, 2], groups)      # 3 of group 0, none of group 1, 2 of group 2

Pieces that are masked already come first, then the lowest score, then the lowest index. There is no threshold, since
equal scores are normal: `score > t` would keep none or all of 100 equal ones.
"""
from collections.abc import Sequence

import numpy as np

from minnet.errors import InvalidValue
from minnet.kernels.select import GONE, MAY_GO, STAYS, select_lowest

SORTED_BELOW = 64  # groups smaller than this on average are sorted all at once
PLACE = np.argsort([GONE, MAY_GO, STAYS])  # PLACE[state]: the order of removal


def select(scores: np.ndarray, state: np.ndarray, k: int | Sequence[int] | np.ndarray,
           groups: np.ndarray | None = None) -> np.ndarray:
    """Mark exactly `k` pieces: masked ones first, then the lowest scores, ties by index.

    Parameters
    ----------
    scores : (n,) array of numbers without NaN
    state : (n,) array of GONE (masked already), MAY_GO and STAYS (never marked)
    k : how many to mark; with `groups` a sequence of counts, one a group
    groups : (n,) array, optional
        The number of the group of each piece. Pieces are compared with those of their own group only.

    Returns
    -------
    (n,) array of bool
        True where a piece is marked.

    Raises
    ------
    InvalidValue
        If a group has fewer removable pieces than its count.
    """
    scores = np.ascontiguousarray(scores)
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64)
    state = np.ascontiguousarray(state, np.uint8)
    if groups is None:
        return _lowest(scores, state, _checked(int(k), np.count_nonzero(state != STAYS)))
    groups, k = np.asarray(groups), np.asarray(k, np.int64)
    if len(k) == 1:
        return select(scores, state, k[0])
    removable = np.bincount(groups[state != STAYS], minlength=len(k))
    for count, most in zip(k[k > removable], removable[k > removable], strict=True):
        _checked(count, most)
    if len(scores) < SORTED_BELOW * len(k):
        return _sorted(scores, state, k, groups)
    removed = np.empty(len(scores), bool)
    in_order = np.all(groups[1:] >= groups[:-1])
    order = slice(None) if in_order else np.argsort(groups, kind="stable")
    removed[order] = _group_by_group(scores[order], state[order], k, np.cumsum(np.bincount(groups, minlength=len(k))))
    return removed


def _group_by_group(scores, state, k, stops):
    """Select within contiguous groups; group i ends before stops[i]."""
    removed = np.empty(len(scores), bool)
    for count, start, stop in zip(k, [0, *stops], stops, strict=False):
        removed[start:stop] = _lowest(scores[start:stop], state[start:stop], count)
    return removed


def _checked(k, most):
    if not 0 <= k <= most:
        raise InvalidValue(f"cannot remove {k} pieces: from 0 to {most} can be removed")
    return k


def _lowest(scores, state, k):
    """Select within one group, by the kernel."""
    removed = np.empty(len(scores), bool)
    select_lowest(scores, state, int(k), removed)
    return removed


def _sorted(scores, state, k, groups):
    """Select within many small groups by one stable sort: group, state, score, index; the first of each are marked."""
    scores = np.where(state == GONE, 0, scores)  # masked pieces are equal, whatever their scores
    order = np.lexsort((scores, PLACE[state], groups))
    sizes = np.bincount(groups, minlength=len(k))
    first = np.cumsum(sizes) - sizes  # the start of each group in the order
    removed = np.empty(len(scores), bool)
    removed[order] = np.arange(len(order)) - first[groups[order]] < k[groups[order]]
    return removed
