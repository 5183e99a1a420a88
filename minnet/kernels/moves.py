"""Sorted places of live weights: those that go and those that come, merged in one walk.

    free_places(ranks, taken, places)                     # the r-th free place, for each rank r
    merge_moves(index, drop, grow, moved, source, fault)  # who stands where afterwards, and where it stood before
    merge_ranks(index, gone, ranks, moved, source)        # the same, when who comes is given by rank
    carry(source, before, fill, after)                    # any vector of these weights, moved alike

All lists of places are sorted and have none twice.
"""
import numpy as np

from minnet.kernels.hints import apart, offset
from minnet.kernels.jit import kernel

NEW = -1  # in `source`: a weight that was not there
FINE, NOT_LIVE, LIVE_ALREADY = 0, 1, 2  # what `fault` says


@kernel
def free_places(ranks, taken, places):
    """places[r] = the place that has ranks[r] places before it that are not taken, and is not taken itself.

    ranks, places: (n,) int64; taken: (m,) int64.
    """
    passed = 0
    for r in range(ranks.size):
        while passed < taken.size and taken[passed] <= ranks[r] + passed:
            passed += 1
        places[r] = ranks[r] + passed


@kernel
def merge_moves(index, drop, grow, moved, source, fault):
    """moved = index without `drop`, and with `grow`; source[k] = where moved[k] stood in index, or NEW.

    index, moved: (n,) int64; drop, grow: (m,) int64, as many of both; source: (n,) int32; fault: (1,) int64, NOT_LIVE
    where a place of drop is not in index, LIVE_ALREADY where one of grow stays in index; what is written then means
    nothing.
    """
    fault[0] = FINE
    old = gone = come = 0
    for k in range(index.size):
        while gone < drop.size and old < index.size and index[old] == drop[gone]:
            old += 1
            gone += 1
        if come < grow.size and (old == index.size or grow[come] < index[old]):
            moved[k] = grow[come]
            source[k] = NEW
            come += 1
        elif come < grow.size and grow[come] == index[old]:
            fault[0] = LIVE_ALREADY
            return
        else:
            moved[k] = index[old]
            source[k] = old
            old += 1
    if gone + index.size - old < drop.size or (index[old:] != drop[gone:]).any():
        fault[0] = NOT_LIVE


@kernel
def merge_ranks(index, gone, ranks, moved, source):
    """moved = index without those that are `gone`, and with the places that have ranks[r] places before them that are
    free then; source[k] = where moved[k] stood in index, or NEW.

    index, moved: (n,) int64; gone: (n,) bool; ranks: int64, as many as are gone; source: (n,) int32. Who is next is
    anybody's guess: so nothing branches on it, and everything is written at once where it may belong.
    """
    apart()
    old = come = kept = np.int64(0)
    while old < index.size and come < ranks.size:
        at = offset(kept + come)
        place, goes, free = index[offset(old)], np.int64(gone[offset(old)]), ranks[offset(come)] + kept
        passed = goes | np.int64(place <= free)
        moved[at] = place if passed else free
        source[at] = old if passed else NEW
        old += passed
        come += 1 - passed
        kept += passed & (1 - goes)
    for k in range(old, index.size):
        if not gone[k]:
            moved[kept + come] = index[k]
            source[kept + come] = k
            kept += 1
    for r in range(come, ranks.size):
        moved[kept + r] = ranks[r] + kept
        source[kept + r] = NEW


@kernel
def carry(source, before, fill, after):
    """after[k] = before[source[k]], or `fill` where the source is NEW. source: (n,) int32; the others: (n,)."""
    for k in range(source.size):
        old = before[max(source[k], 0)]  # read in any case: so the compiler needs no branch, which would be guesswork
        after[k] = old if source[k] >= 0 else fill
