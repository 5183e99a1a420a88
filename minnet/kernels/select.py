"""The selector: exactly the k lowest of n scores, ties by index.

    gone = np.empty(scores.size, bool)
    select_lowest(scores, state, k, gone)

A partial sort does not do, since it breaks ties at random. This is a radix selection: the bits of a float, read as a
whole number, are in the order of the floats once negative ones are turned round. The k-th lowest key is found digit by
digit, from the top: count how often each digit occurs among the keys that agree so far, and go to the one where the
count passes k. What is below that key goes, and as many of its equals as are wanted, from the left.
"""

import numpy as np

from minnet.kernels.jit import kernel

DIGIT_BITS = 11  # 2048 counters of 8 bytes stay in the first-level cache
BYTE_BITS = 8
MAY_GO, STAYS, GONE = 0, 1, 2  # what `state` holds


def select_lowest(scores, state, k, out):
    """Mark in `out` exactly the k entries that go: the already gone by index, then the lowest scores, ties by index.

    scores: (n,) float32 or float64 without NaN, -0.0 equal to 0.0; state: (n,) uint8, GONE, MAY_GO or STAYS; k: at
    most the number of entries that do not stay; out: (n,) bool. Scores, state and out are contiguous.
    """
    bits = scores.view(np.uint32 if scores.itemsize == np.dtype(np.uint32).itemsize else np.uint64)
    counts = np.empty(1 << DIGIT_BITS, np.int64)
    select_lowest_bits(bits, state, k, counts, out)


@kernel
def select_lowest_bits(bits, state, k, counts, out):
    """`select_lowest` for scores given by their bits as unsigned integers. counts: (2048,) int64, for its own use."""
    left = k
    for i in range(state.size):
        out[i] = state[i] == GONE and left > 0
        left -= out[i]
    if left == 0:
        return
    kind = bits.dtype.type
    shift = BYTE_BITS * bits.itemsize
    sign = kind(1) << kind(shift - 1)
    ones = sign | (sign - kind(1))
    known = prefix = kind(0)  # which bits of the key sought are known, and what they are
    while shift > 0:
        digit_bits = min(DIGIT_BITS, shift)
        shift -= digit_bits
        highest = (1 << digit_bits) - 1
        counts[:] = 0
        for i in range(bits.size):
            if state[i] == MAY_GO:
                key = bits[i] if bits[i] != sign else kind(0)  # -0.0 is 0.0
                key = key ^ (ones if key & sign else sign)
                if key & known == prefix:
                    counts[(key >> kind(shift)) & kind(highest)] += 1
        digit = 0
        while digit < highest and left > counts[digit]:
            left -= counts[digit]
            digit += 1
        known |= kind(highest) << kind(shift)
        prefix |= kind(digit) << kind(shift)
    for i in range(bits.size):
        if state[i] == MAY_GO:
            key = bits[i] if bits[i] != sign else kind(0)
            key = key ^ (ones if key & sign else sign)
            if key < prefix:
                out[i] = True
            elif key == prefix and left > 0:
                out[i] = True
                left -= 1
