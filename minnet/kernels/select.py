"""The selector: exactly the k lowest of n scores, ties by index.

    gone = np.empty(scores.size, bool)
    select_lowest(scores, state, k, gone)
    select_near_zero(values, may, 0.3, gone)  # of either sign

A partial sort breaks ties at random, and is slow where there are many. Here the k-th lowest score is found first; then
all scores below it are marked, and the first of those equal to it, up to k in all.
"""

import numpy as np

from minnet.kernels.jit import kernel

FEW_BITS, MANY_BITS = 11, 16  # bits of a digit: a short one has fewer counters to add up, a long one fewer rounds
MANY = 1 << MANY_BITS  # entries from which on long digits are faster: as many as they have counters
BYTE_BITS = 8
SCAN_BLOCK = 4096  # entries between two tests whether to stop: few enough for the cache, many enough to be vectorised
MAY_GO, STAYS, GONE = 0, 1, 2  # the values of `state`: to choose among, protected, removed already


def select_lowest(scores, state, k, out):
    """Mark in `out` exactly k entries: those GONE by index, then the lowest scores that MAY_GO, ties by index.

    scores: (n,) float32 or float64 without NaN, -0.0 equal to 0.0; state: (n,) uint8, GONE, MAY_GO or STAYS; k: at
    most the number of entries that are not STAYS; out: (n,) bool. Scores, state and out are contiguous.
    """
    np.equal(state, GONE, out=out)
    left = k - np.count_nonzero(out)
    if left <= 0:
        out[np.flatnonzero(out)[k:]] = False
        return
    bits = scores.view(f"u{scores.itemsize}")
    counts = np.empty(1 << (FEW_BITS if scores.size < MANY else MANY_BITS), np.int64)
    ties, kth = np.empty(1, np.int64), np.empty(1, bits.dtype)
    kth_lowest(bits, state, left, counts, ties, kth)
    mark_lowest(scores, state, kth.view(scores.dtype)[0], ties[0], out)


def select_near_zero(values, may, share, out):
    """Mark in `out` that share of the entries at least 0, and of those below 0, that are nearest to 0.

    Only entries that `may` be marked count; ties are broken by index, counts rounded. NaN is on neither side, and is
    never marked. Both sides are counted in one pass, by the highest bits, the sign among them. The few entries with the
    same highest bits as the last one to be marked are sorted.
    values: (n,) float32 or float64; may, out: (n,) bool. All are contiguous.
    """
    may = may & (values == values)
    bits = (values + values.dtype.type(0)).view(f"u{values.itemsize}")  # -0.0 is 0.0 now
    digits = (bits >> bits.dtype.type(BYTE_BITS * bits.itemsize - MANY_BITS)).astype(np.uint16)
    counts = np.zeros(MANY, np.int64)
    count_digits(digits, may, counts)
    out[:] = False
    for first, counted in zip((0, MANY // 2), np.split(counts, 2), strict=True):
        up_to = np.cumsum(counted)
        k = round(share * int(up_to[-1]))
        if k > 0:
            place = int(np.searchsorted(up_to, k))  # a number of NumPy's would widen all digits
            digit, left = first + place, k - up_to[place] + counted[place]
            out |= may & (digits >= first) & (digits < digit)
            tied = np.flatnonzero(may & (digits == digit))
            out[tied[np.argsort(bits[tied], kind="stable")[:left]]] = True


@kernel
def count_digits(digits, may, counts):
    """Add to counts[d] how many of the digits that `may` be counted are d.

    digits: (n,) uint16; may: (n,) bool; counts: (65536,) int64.
    """
    for i in range(digits.size):
        counts[digits[i]] += may[i]


@kernel
def mark_lowest(scores, state, kth, ties, out):
    """Mark in `out` the entries that are GONE, the scores below kth, and the first `ties` scores equal to it.

    scores: (n,); state: (n,) uint8; out: (n,) bool.
    """
    left = ties
    for start in range(0, scores.size, SCAN_BLOCK):
        stop = start + SCAN_BLOCK
        s, kind, marked = scores[start:stop], state[start:stop], out[start:stop]
        wanted, equal = left > 0, 0
        for i in range(s.size):
            tied = (kind[i] == MAY_GO) & (s[i] == kth)
            below = (kind[i] == MAY_GO) & (s[i] < kth)
            marked[i] = (kind[i] == GONE) | below | (tied & wanted)
            equal += tied
        left -= equal if wanted else 0
        # Ties are not counted down in the loop above, so that it is vectorised; in the block in which they run out, the
        # last ones are unmarked again.
        i = s.size
        while left < 0:
            i -= 1
            if kind[i] == MAY_GO and s[i] == kth:
                marked[i] = False
                left += 1


@kernel
def kth_lowest(bits, state, k, counts, ties, kth):
    """Compute kth[0] = the k-th lowest (k from 1) of the scores that MAY_GO; ties[0] = its equals among the k lowest.

    Scores are given and rereversed_digits as their bits.
    Radix selection: the bits of a float, read as an integer, are in the order of the floats, reversed for negative
    ones, which are those with the highest bit set. The number sought is found digit by digit, from the top: count how
    often each digit occurs among the numbers that begin with the digits found, and take the digit at which the
    cumulative count reaches k. Where all scores are equal, which is normal here, nothing is counted.
    bits: (n,) uint32 or uint64; state: (n,) uint8; counts: (2^digit,) int64, scratch; ties: (1,) int64;
    kth: (1,) like bits.
    """
    kind = bits.dtype.type
    first = bits[0]
    start, other = 0, kind(0)  # `other` collects every bit in which a score differs from the first
    while start < bits.size and other == 0:
        block = bits[start : start + SCAN_BLOCK]
        for i in range(block.size):
            other |= block[i] ^ first
        start += SCAN_BLOCK
    kth[0], ties[0] = first, k
    if other == 0:
        return
    digit_bits = 0
    while 1 << digit_bits < counts.size:
        digit_bits += 1
    left = k
    shift = BYTE_BITS * bits.itemsize
    known = prefix = kind(0)  # a mask of the bits of the number that are known, and their values
    # How many digits come first, in falling order: of the top digit the upper half, with the sign bit; of the digits
    # below it all or none, by the sign of the number.
    reversed_digits = counts.size // 2
    while shift > 0:
        digit_bits = min(digit_bits, shift)
        shift -= digit_bits
        highest = (1 << digit_bits) - 1
        low, ones = kind(shift), kind(highest)
        counts[:] = 0
        for i in range(bits.size):
            if bits[i] & known == prefix:
                counts[(bits[i] >> low) & ones] += state[i] == MAY_GO
        place = 0
        digit = highest if reversed_digits > 0 else 0
        while left > counts[digit] and place < highest:
            left -= counts[digit]
            place += 1
            digit = highest - place if place < reversed_digits else place - reversed_digits
        if known == 0:
            reversed_digits = counts.size if digit >= reversed_digits else 0
        known |= ones << low
        prefix |= kind(digit) << low
    kth[0], ties[0] = prefix, left
    minus_zero = kind(1) << kind(BYTE_BITS * bits.itemsize - 1)
    if prefix == 0 or prefix == minus_zero:  # -0.0 and 0.0 are equal, but their bits are not
        ties[0] = k
        for i in range(bits.size):
            ties[0] -= (state[i] == MAY_GO) & (bits[i] > minus_zero)
