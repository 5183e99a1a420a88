"""Sorted places of live weights: those that go and those that come, merged in one walk.

    free_places(ranks, taken, places)                     # the r-th free place, for each rank r
    merge_moves(index, drop, grow, moved, source, fault)  # who stands where afterwards, and where it stood before
    keep_others(index, gone, kept, where)                 # who does not go
    merge_ranks(kept, where, ranks, moved, source)        # the same, with those whose ranks among free places are given
    carry(source, before, fill, after)                    # any vector of these weights, moved alike

All lists of places are sorted and have none twice.
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import as_nonnegative, noalias

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
def keep_others(index, gone, kept, where):
    """kept = index without those that are `gone`, and where each stood in it.

    index: (n,) int64; gone: (n,) bool. kept: int64 and where: int32, both (n,): what follows is of no account.
    """
    noalias()
    at = np.int64(0)
    for k in range(index.size):
        kept[as_nonnegative(at)] = index[k]  # in any case; who is gone is written over
        where[as_nonnegative(at)] = k
        at += 1 - np.int64(gone[k])


@kernel
def merge_ranks(kept, where, ranks, moved, source):
    """moved = kept, and the places that have ranks[r] places before them that are not in kept; source[k] = where[j] for
    kept[j], and NEW for the others.

    kept: (m,) int64; where: (m,) int32; ranks: (r,) int64; moved: (m + r,) int64; source: (m + r,) int32. Nobody
    foresees who is next, so nothing branches on it; and since each step waits for the one before, there are two at a
    time: one list grows from its beginning, and from its end.
    """
    noalias()
    low, high, come, end = np.int64(0), np.int64(kept.size), np.int64(0), np.int64(ranks.size)
    while high - low > 1 and end - come > 1:
        j, r = as_nonnegative(low), as_nonnegative(come)
        place, free = kept[j], ranks[r] + low
        stood = place <= free
        moved[j + r], source[j + r] = min(place, free), low if stood else NEW
        low, come = low + np.int64(stood), come + np.int64(not stood)
        j, r = as_nonnegative(high - 1), as_nonnegative(end - 1)
        place, free = kept[j], ranks[r] + high
        stood = place >= free
        moved[j + r + 1], source[j + r + 1] = max(place, free), high - 1 if stood else NEW
        high, end = high - np.int64(stood), end - np.int64(not stood)
    while low < high or come < end:
        if come == end or (low < high and kept[low] <= ranks[come] + low):
            moved[low + come], source[low + come] = kept[low], low
            low += 1
        else:
            moved[low + come], source[low + come] = ranks[come] + low, NEW
            come += 1
    for k in range(source.size):
        stood = where[max(source[k], 0)] if kept.size > 0 else NEW
        source[k] = stood if source[k] >= 0 else NEW


@kernel
def carry(source, before, fill, after):
    """after[k] = before[source[k]], or `fill` where the source is NEW. source: (n,) int32; the others: (n,)."""
    for k in range(source.size):
        old = before[max(source[k], 0)]  # read in any case: so the compiler needs no branch, which would be guesswork
        after[k] = old if source[k] >= 0 else fill
