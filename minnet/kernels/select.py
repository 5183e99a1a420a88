"""The selector: exactly the k lowest of n scores, ties by index.

    gone = np.empty(scores.size, bool)
    select_lowest(scores, state, k, gone)
    select_near_zero(values, may, 0.3, gone)  # of either sign

A partial sort does not do, since it breaks ties at random, and is slow where there are many. Here the k-th lowest score
is found first, then what is below it goes, and as many of its equals as are wanted, from the left.
"""

import numpy as np

from minnet.kernels.jit import kernel

FEW_BITS, MANY_BITS = 11, 16  # of a digit: few are quickly counted up, many leave little to look at again
MANY = 1 << MANY_BITS  # entries from which on the long digits pay
BYTE_BITS = 8
BLOCK = 4096  # entries that are walked through before anybody asks whether that is enough
MAY_GO, STAYS, GONE = 0, 1, 2  # what `state` holds


def select_lowest(scores, state, k, out):
    """Mark in `out` exactly the k entries that go: the already gone by index, then the lowest scores, ties by index.

    scores: (n,) float32 or float64 without NaN, -0.0 equal to 0.0; state: (n,) uint8, GONE, MAY_GO or STAYS; k: at
    most the number of entries that do not stay; out: (n,) bool. Scores, state and out are contiguous.
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
    """Mark in `out` the share of the entries from 0 up that `may`, and of those below 0, who are nearest to 0: ties by
    index, counts rounded. NaN is on neither side and stays.

    Both sides are counted in one walk, by the sign and the bits that follow it. Few entries begin as the last one that
    goes does, and these are sorted.
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
    """counts[d] += how many of those that `may` are d. digits: (n,) uint16; may: (n,) bool; counts: (65536,) int64."""
    for i in range(digits.size):
        counts[digits[i]] += may[i]


@kernel
def mark_lowest(scores, state, kth, ties, out):
    """out = whether the entry goes: those gone already, the scores below kth, and the first `ties` equal to it.

    scores: (n,); state: (n,) uint8; out: (n,) bool.
    """
    left = ties
    for start in range(0, scores.size, BLOCK):
        s, is_now, goes = scores[start : start + BLOCK], state[start : start + BLOCK], out[start : start + BLOCK]
        wanted, equal = left > 0, 0
        for i in range(s.size):
            tied = (is_now[i] == MAY_GO) & (s[i] == kth)
            below = (is_now[i] == MAY_GO) & (s[i] < kth)
            goes[i] = (is_now[i] == GONE) | below | (tied & wanted)
            equal += tied
        left -= equal if wanted else 0
        i = s.size
        while left < 0:  # too many of them: the last ones are not marked
            i -= 1
            if is_now[i] == MAY_GO and s[i] == kth:
                goes[i] = False
                left += 1


@kernel
def kth_lowest(bits, state, k, counts, ties, kth):
    """kth[0] = the k-th lowest, from 1 on, of the scores that may go, and ties[0] = how many equal to it are among the
    k lowest; scores are given and found as their bits.

    Radix selection: the bits of a float, read as a whole number, are in the order of the floats, but turned round for
    negative ones, which are those with the highest bit. The number sought is found digit by digit, from the top: count
    how often each digit occurs among the numbers that begin as it does, and go to the digit where the count passes k.
    Where all scores are alike, which is normal here, nothing is counted.
    bits: (n,) uint32 or uint64; state: (n,) uint8; counts: (2^digit,) int64, for its own use; ties: (1,) int64;
    kth: (1,) like bits.
    """
    kind = bits.dtype.type
    first = bits[0]
    start, other = 0, kind(0)
    while start < bits.size and other == 0:
        block = bits[start : start + BLOCK]
        for i in range(block.size):
            other |= block[i] ^ first
        start += BLOCK
    kth[0], ties[0] = first, k
    if other == 0:
        return
    digit_bits = 0
    while 1 << digit_bits < counts.size:
        digit_bits += 1
    left = k
    shift = BYTE_BITS * bits.itemsize
    known = prefix = kind(0)  # which bits of the number are known, and what they are
    turned = counts.size // 2  # how many digits come first, in falling order: of the top digit, the negative half
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
        digit = highest if turned > 0 else 0
        while left > counts[digit] and place < highest:
            left -= counts[digit]
            place += 1
            digit = highest - place if place < turned else place - turned
        if known == 0:
            turned = counts.size if digit >= turned else 0
        known |= ones << low
        prefix |= kind(digit) << low
    kth[0], ties[0] = prefix, left
    minus_zero = kind(1) << kind(BYTE_BITS * bits.itemsize - 1)
    if prefix == 0 or prefix == minus_zero:  # -0.0 and 0.0 are equal, but their bits are not
        ties[0] = k
        for i in range(bits.size):
            ties[0] -= (state[i] == MAY_GO) & (bits[i] > minus_zero)
