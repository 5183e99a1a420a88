"""Topology of a sparse layer: sorted positions of its live weights, when some are removed and others added.

    free_positions(ranks, taken, positions)               # the r-th free position, for each rank r
    merge_moves(index, drop, grow, moved, source, fault)  # the positions after a move, and each one's old number
    keep_positions(index, removed, kept, numbers)         # the positions that remain, and each one's old number
    merge_ranks(kept, numbers, ranks, moved, source)      # as merge_moves, the new positions given as ranks among free
    permute(source, before, fill, after)                  # any vector of these weights, rearranged likewise

All lists of positions are sorted and without duplicates. The number of a weight is its index in such a list.
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import as_nonnegative, noalias

NEW = -1  # in `source`: a weight that was not there before
FINE, NOT_LIVE, LIVE_ALREADY = 0, 1, 2  # values of `fault`


@kernel
def free_positions(ranks, taken, positions):
    """Compute positions[r] = the free position with ranks[r] free positions before it; `taken` are not free.

    ranks, positions: (n,) int64; taken: (m,) int64.
    """
    passed = 0
    for r in range(ranks.size):
        # with `passed` taken ones before it the position would be ranks[r] + passed, unless the next is before it too
        while passed < taken.size and taken[passed] <= ranks[r] + passed:
            passed += 1
        positions[r] = ranks[r] + passed


@kernel
def merge_moves(index, drop, grow, moved, source, fault):
    """Compute moved = index without `drop` and with `grow`; source[k] = the number of moved[k] in index, or NEW.

    index, moved: (n,) int64; drop, grow: (m,) int64, of equal size; source: (n,) int32; fault: (1,) int64, NOT_LIVE
    where a position of drop is not in index, LIVE_ALREADY where one of grow remains in index; moved and source are then
    undefined.
    """
    fault[0] = FINE
    old = removed = added = 0  # how far each of the three lists is merged
    for k in range(index.size):
        while removed < drop.size and old < index.size and index[old] == drop[removed]:
            old += 1
            removed += 1
        if added < grow.size and (old == index.size or grow[added] < index[old]):
            moved[k] = grow[added]
            source[k] = NEW
            added += 1
        elif added < grow.size and grow[added] == index[old]:
            fault[0] = LIVE_ALREADY
            return
        else:
            moved[k] = index[old]
            source[k] = old
            old += 1
    # what is left of index must be the rest of drop: else one of drop was never met
    if removed + index.size - old < drop.size or (index[old:] != drop[removed:]).any():
        fault[0] = NOT_LIVE


@kernel
def keep_positions(index, removed, kept, numbers):
    """Compute kept = index without those that are `removed`, and the number of each in it.

    index: (n,) int64; removed: (n,) bool. kept: int64 and numbers: int32, both (n,); entries behind the last one kept
    are undefined.
    """
    noalias()
    at = np.int64(0)
    for k in range(index.size):
        # written in any case, and overwritten if removed: a branch would be mispredicted
        kept[as_nonnegative(at)] = index[k]
        numbers[as_nonnegative(at)] = k
        at += 1 - np.int64(removed[k])


@kernel
def merge_ranks(kept, numbers, ranks, moved, source):
    """Compute moved = kept and the free positions of these ranks, merged; source[k] = the old number, or NEW.

    A position is free if it is not in kept; rank r is the free position with r free positions before it.
    kept: (m,) int64; numbers: (m,) int32, what `source` says of each of kept; ranks: (r,) int64; moved: (m + r,) int64;
    source: (m + r,) int32.
    """
    noalias()
    # Which list has the next position is random, so the merge has selects instead of branches. Each step then waits for
    # the one before; so there are two merges at a time, one from the beginning of the lists and one from their end.
    low, high, added, end = np.int64(0), np.int64(kept.size), np.int64(0), np.int64(ranks.size)
    while high - low > 1 and end - added > 1:
        j, r = as_nonnegative(low), as_nonnegative(added)
        old, free = kept[j], ranks[r] + low  # all of kept before `low` are before the free position
        is_old = old <= free
        moved[j + r], source[j + r] = min(old, free), low if is_old else NEW
        low, added = low + np.int64(is_old), added + np.int64(not is_old)
        j, r = as_nonnegative(high - 1), as_nonnegative(end - 1)
        old, free = kept[j], ranks[r] + high
        is_old = old >= free
        moved[j + r + 1], source[j + r + 1] = max(old, free), high - 1 if is_old else NEW
        high, end = high - np.int64(is_old), end - np.int64(not is_old)
    while low < high or added < end:
        if added == end or (low < high and kept[low] <= ranks[added] + low):
            moved[low + added], source[low + added] = kept[low], low
            low += 1
        else:
            moved[low + added], source[low + added] = ranks[added] + low, NEW
            added += 1
    # so far `source` counts in kept: now it is what `numbers` says of that one
    for k in range(source.size):
        number = numbers[max(source[k], 0)] if kept.size > 0 else NEW
        source[k] = number if source[k] >= 0 else NEW


@kernel
def permute(source, before, fill, after):
    """Compute after[k] = before[source[k]], or `fill` where the source is NEW. source: (n,) int32; the others: (n,)."""
    for k in range(source.size):
        old = before[max(source[k], 0)]  # read in any case: a branch would be mispredicted
        after[k] = old if source[k] >= 0 else fill
