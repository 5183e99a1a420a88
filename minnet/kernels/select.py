"""The selector: exactly the k lowest of n scores, ties by index.

    gone = np.empty(scores.size, bool)
    select_lowest(scores, state, k, gone)

A partial sort does not do, since it breaks ties at random, and is slow where there are many. Here the k-th lowest score
is found first, then what is below it goes, and as many of its equals as are wanted, from the left.
"""

import numpy as np

from minnet.kernels.jit import kernel

FEW_BITS, MANY_BITS = 11, 16  # of a digit: few are quickly counted up, many leave little to look at again
MANY = 1 << MANY_BITS  # entries from which on the long digits pay
BYTE_BITS = 8
MAY_GO, STAYS, GONE = 0, 1, 2  # what `state` holds


def select_lowest(scores, state, k, out):
    """Mark in `out` exactly the k entries that go: the already gone by index, then the lowest scores, ties by index.

    scores: (n,) float32 or float64 without NaN, -0.0 equal to 0.0; state: (n,) uint8, GONE, MAY_GO or STAYS; k: at
    most the number of entries that do not stay; out: (n,) bool. Scores, state and out are contiguous.
    """
    kth = np.empty(1, scores.dtype)
    left = k - np.count_nonzero(state == GONE)
    if left > 0:
        bits = f"u{scores.itemsize}"
        counts = np.empty(1 << (FEW_BITS if scores.size < MANY else MANY_BITS), np.int64)
        kth_lowest(scores.view(bits), state, left, counts, kth.view(bits))
    mark_lowest(scores, state, kth[0] if left > 0 else kth.dtype.type(-np.inf), k, out)


@kernel
def mark_lowest(scores, state, kth, k, out):
    """out = whether the entry is among the k that go, `kth` being the last score to go.

    Those already gone go first, by index; then the scores below kth; then those equal to it, by index.
    scores: (n,); state: (n,) uint8; out: (n,) bool.
    """
    left = k
    for i in range(scores.size):
        out[i] = state[i] == GONE
        left -= state[i] == GONE
    i = scores.size
    while left < 0:  # more are gone than go: the last ones are not marked
        i -= 1
        left += out[i]
        out[i] = False
    if left == 0:
        return
    for i in range(scores.size):
        below = (state[i] == MAY_GO) & (scores[i] < kth)
        out[i] |= below
        left -= below
    i = 0
    while left > 0 and i < scores.size:
        if scores[i] == kth and state[i] == MAY_GO:
            out[i] = True
            left -= 1
        i += 1


@kernel
def kth_lowest(bits, state, k, counts, kth):
    """kth[0] = the k-th lowest, from 1 on, of the scores that may go; scores are given and found as their bits.

    Radix selection: the bits of a float, read as a whole number, are in the order of the floats, but turned round for
    negative ones, which are those with the highest bit. The number sought is found digit by digit, from the top: count
    how often each digit occurs among the numbers that begin as it does, and go to the digit where the count passes k.
    bits: (n,) uint32 or uint64; state: (n,) uint8; counts: (2^digit,) int64, for its own use; kth: (1,) like bits.
    """
    kind = bits.dtype.type
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
    kth[0] = prefix
