"""The one selector: exactly k of n pieces go, be they weights, units, blocks or members of an n:m group.

    gone = select(scores, state, k)                         # (n,) bool with exactly k True
    gone = select(scores, state, [3, 0, 2], heaps)          # 3 of heap 0, none of heap 1, 2 of heap 2

What is gone already goes first, then the lowest score, then the lowest index; never by a threshold, since equal scores
are normal: `score > t` would keep none or all of 100 equal ones.
"""
import numpy as np

from minnet.errors import InvalidValue
from minnet.kernels.select import GONE, MAY_GO, STAYS, select_lowest

SORTED_BELOW = 64  # heaps smaller than this on average are sorted all at once
PLACE = np.argsort([GONE, MAY_GO, STAYS])  # PLACE[state]: who goes first


def select(scores, state, k, heaps=None):
    """Mark exactly `k` pieces: GONE ones first, then the lowest scores, ties by index; what STAYS is never marked.

    scores (n,) without NaN; state (n,) of GONE, MAY_GO and STAYS; k a count. With `heaps` (n,), the number of the heap
    that each piece lies in, k is a sequence of counts, one a heap. Returns (n,) bool. Raises InvalidValue where a heap
    has fewer than its count that may go.
    """
    scores = np.ascontiguousarray(scores)
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64)
    state = np.ascontiguousarray(state, np.uint8)
    if heaps is None:
        return _lowest(scores, state, _checked(int(k), np.count_nonzero(state != STAYS)))
    heaps, k = np.asarray(heaps), np.asarray(k, np.int64)
    if len(k) == 1:
        return select(scores, state, k[0])
    leaving = np.bincount(heaps[state != STAYS], minlength=len(k))
    for count, most in zip(k[k > leaving], leaving[k > leaving], strict=True):
        _checked(count, most)
    if len(scores) < SORTED_BELOW * len(k):
        return _sorted(scores, state, k, heaps)
    gone = np.empty(len(scores), bool)
    in_order = np.all(heaps[1:] >= heaps[:-1])
    order = slice(None) if in_order else np.argsort(heaps, kind="stable")
    gone[order] = _heap_by_heap(scores[order], state[order], k, np.cumsum(np.bincount(heaps, minlength=len(k))))
    return gone


def _heap_by_heap(scores, state, k, stops):
    """Heaps that lie one after the other, each up to its place in `stops`."""
    gone = np.empty(len(scores), bool)
    for count, start, stop in zip(k, [0, *stops], stops, strict=False):
        gone[start:stop] = _lowest(scores[start:stop], state[start:stop], count)
    return gone


def _checked(k, most):
    if not 0 <= k <= most:
        raise InvalidValue(f"{k} pieces are to go, but from 0 to {most} may")
    return k


def _lowest(scores, state, k):
    """One heap, by the kernel."""
    gone = np.empty(len(scores), bool)
    select_lowest(scores, state, int(k), gone)
    return gone


def _sorted(scores, state, k, heaps):
    """Many small heaps: one stable sort by heap, state, score, index; a piece goes if its place is below the count."""
    scores = np.where(state == GONE, 0, scores)  # those gone are all alike
    order = np.lexsort((scores, PLACE[state], heaps))
    sizes = np.bincount(heaps, minlength=len(k))
    first = np.cumsum(sizes) - sizes  # where each heap begins in the order
    gone = np.empty(len(scores), bool)
    gone[order] = np.arange(len(order)) - first[heaps[order]] < k[heaps[order]]
    return gone
