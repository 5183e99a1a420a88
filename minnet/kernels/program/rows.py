"""Dense layers on a single sample, as steps of a compiled program (see ops.py): the units are a vector.

Inputs that are zero, as many are after a ReLU, are skipped with all their weights. All take code[at]: step, x, y,
units, inputs, place, indptr, indices, weight, bias, scale. The last six are offsets: weight in `weights`, bias and
scale in `value`, the rest in `index`. place (inputs,) is where in x each input is, bias and scale are (units,); the
scale is used where weights are int8 (see int8.py).
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.program.int8 import number, scale_of
from minnet.kernels.program.planes import BLOCK_PLANES
from minnet.kernels.simd.attributes import as_nonnegative, noalias
from minnet.kernels.simd.vector import NO_BITS, VECTOR_OPS, clear_lowest_bit, count_trailing_zeros

ROWS = 4   # inputs that all kernels but `sparse_row` take at once: y is loaded and stored once for all of them
WORD_BITS = 32  # of a word of `index`
MASK_INPUTS = 64  # inputs that `sparse_row` compares with 0 at once: the bits of the mask
nonzero_mask = VECTOR_OPS[MASK_INPUTS].nonzero_mask


@kernel
def sparse_row(code, at, index, weights, value, x, y):
    """Compute y = bias + x W, with W as CSR by input: each nonzero input is added to its units.

    Inputs are all numbers of x from its offset on, a multiple of MASK_INPUTS of them; those that are padding have no
    weights. So `place` is not used. The weights of input r are k = indptr[r], ..., indptr[r + 1] - 1.
    indptr: (inputs + 1,); indices: (k,) units; weight: (k,).
    """
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    indptr, indices, weight = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    bias, scale = np.int64(code[at, 9]), np.int64(code[at, 10])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    # A branch for each input would be mispredicted about half the time; a mask of 64 is computed without branches, and
    # its bits that are set are visited one by one.
    for start in range(0, inputs, MASK_INPUTS):
        live = nonzero_mask(x, x0 + start)
        while live != NO_BITS:
            r = start + count_trailing_zeros(live)
            live, v = clear_lowest_bit(live), x[x0 + r]
            for k in range(np.int64(index[indptr + r]), np.int64(index[indptr + r + 1])):
                j = np.int64(index[indices + k])
                y[y0 + j] += v * (scale_of(weights, value, scale + j) * number(weights, weight + k, value))


@kernel
def block_row(code, at, index, weights, value, x, y):
    """Compute the same with W as BSR, in blocks of four inputs by four neighbouring units; fours of zeros are skipped.

    `inputs` is a multiple of four. indptr: (inputs / 4 + 1,), by group of four inputs; indices: (k,) the first unit of
    each block; weight: (k, 4, 4). Units are written in fours.
    """
    noalias()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, indptr, indices = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    weight, bias, scale = np.int64(code[at, 8]), np.int64(code[at, 9]), np.int64(code[at, 10])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for r in range(0, inputs, ROWS):
        a, b = x[x0 + np.int64(index[place + r])], x[x0 + np.int64(index[place + r + 1])]
        c, d = x[x0 + np.int64(index[place + r + 2])], x[x0 + np.int64(index[place + r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            group = indptr + r // ROWS
            for k in range(np.int64(index[group]), np.int64(index[group + 1])):
                t = as_nonnegative(y0 + np.int64(index[indices + k]))
                w = as_nonnegative(weight + ROWS * BLOCK_PLANES * k)
                u = as_nonnegative(scale + np.int64(index[indices + k]))
                w1, w2, w3 = w + BLOCK_PLANES, w + 2 * BLOCK_PLANES, w + 3 * BLOCK_PLANES
                for j in range(BLOCK_PLANES):
                    y[t + j] += scale_of(weights, value, u + j) * (
                        (a * number(weights, w + j, value) + b * number(weights, w1 + j, value))
                        + (c * number(weights, w2 + j, value) + d * number(weights, w3 + j, value)))


@kernel
def n_m_row(code, at, index, weights, value, x, y):
    """Compute the same where each unit has at most n weights of each four inputs, as with 2:4 or 1:4 sparsity.

    `inputs` is a multiple of four, and the operand `indptr` is n instead. indices: (fours / per, units), two bits for
    each weight: which of the four inputs it multiplies; a word holds those of per = 32 // (2 n) fours, the first in the
    lowest bits. weight: (fours, n, units).
    """
    noalias()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, n, indices = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    weight, bias, scale = np.int64(code[at, 8]), np.int64(code[at, 9]), np.int64(code[at, 10])
    per = WORD_BITS // (2 * n)
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for four in range(inputs // ROWS):
        r = place + ROWS * four
        a, b = x[x0 + np.int64(index[r])], x[x0 + np.int64(index[r + 1])]
        c, d = x[x0 + np.int64(index[r + 2])], x[x0 + np.int64(index[r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            words = as_nonnegative(indices + four // per * units)
            for k in range(n):
                w, shift = as_nonnegative(weight + (four * n + k) * units), 2 * (four % per * n + k)
                low, high = np.uint32(1 << shift), np.uint32(2 << shift)
                # the input is chosen by its two bits with selects, not by an index: so units are computed as vectors
                for j in range(units):
                    odd, late = np.uint32(index[words + j] & low) == low, np.uint32(index[words + j] & high) == high
                    v = (d if odd else c) if late else (b if odd else a)
                    y[y0 + j] += scale_of(weights, value, scale + j) * number(weights, w + j, value) * v


@kernel
def dense_row(code, at, index, weights, value, x, y):
    """Compute y = bias + x W with a dense W, four rows of W at a time; fours of zero inputs are skipped.

    `inputs` is a multiple of four, `indptr` and `indices` are not used; weight: (inputs, units).
    """
    noalias()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, weight = np.int64(code[at, 5]), np.int64(code[at, 8])
    bias, scale = np.int64(code[at, 9]), np.int64(code[at, 10])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for r in range(0, inputs, ROWS):
        a, b = x[x0 + np.int64(index[place + r])], x[x0 + np.int64(index[place + r + 1])]
        c, d = x[x0 + np.int64(index[place + r + 2])], x[x0 + np.int64(index[place + r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            w = as_nonnegative(weight + r * units)
            w1, w2, w3 = w + units, w + 2 * units, w + 3 * units
            for j in range(units):
                y[y0 + j] += scale_of(weights, value, scale + j) * (
                    (a * number(weights, w + j, value) + b * number(weights, w1 + j, value))
                    + (c * number(weights, w2 + j, value) + d * number(weights, w3 + j, value)))
