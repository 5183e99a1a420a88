"""Dense layers on a single sample, as steps of a compiled program (see program.py): its units are a vector.

Inputs that are zero, as many are after a ReLU, are passed over with all their weights. All take code[at]: step, x, y,
units, inputs, place, first, column, weight, bias, scale, and what stands there: weight in `weights`, bias and scale in
`value`, the rest in `index`. place (inputs,) says where in x an input is, bias and scale are (units,); the scale counts
where weights are whole numbers (see weights.py).
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.program.int8 import number, scale_of
from minnet.kernels.program.planes import BLOCK_PLANES
from minnet.kernels.simd.attributes import apart, offset
from minnet.kernels.simd.vector import LANES, NONE, lowest, without_lowest

ROWS = 4   # inputs that all but `sparse_row` do at once
WORD = 32  # bits of a word of `index`
LOOK = 64  # numbers of which `sparse_row` looks at once which are not 0
which = LANES[LOOK].which


@kernel
def sparse_row(code, at, index, weights, value, x, y):
    """y = bias + x W, W by its live inputs: each is added to its units.

    An input is here a number of x, one that means nothing has no weights: they need no `place`, and are a multiple of
    LOOK. first (inputs + 1,) says that the weights of input r are k = first[r], ..., first[r + 1] - 1; column (k,) is
    the unit, weight (k,). Nobody foresees which inputs are 0, so they are not asked one by one.
    """
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    first, column, weight = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    bias, scale = np.int64(code[at, 9]), np.int64(code[at, 10])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for start in range(0, inputs, LOOK):
        live = which(x, x0 + start)
        while live != NONE:
            r = start + lowest(live)
            live, v = without_lowest(live), x[x0 + r]
            for k in range(np.int64(index[first + r]), np.int64(index[first + r + 1])):
                j = np.int64(index[column + k])
                y[y0 + j] += v * (scale_of(weights, value, scale + j) * number(weights, weight + k, value))


@kernel
def block_row(code, at, index, weights, value, x, y):
    """The same in blocks of four inputs by four neighbouring units; fours of zero inputs are passed over.

    `inputs` is a multiple of four; first (inputs / 4 + 1,) says which blocks k are those of four inputs; column (k,) is
    the first of a block's units, weight (k, 4, 4). Units are written in fours.
    """
    apart()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, first, column = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    weight, bias, scale = np.int64(code[at, 8]), np.int64(code[at, 9]), np.int64(code[at, 10])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for r in range(0, inputs, ROWS):
        a, b = x[x0 + np.int64(index[place + r])], x[x0 + np.int64(index[place + r + 1])]
        c, d = x[x0 + np.int64(index[place + r + 2])], x[x0 + np.int64(index[place + r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            group = first + r // ROWS
            for k in range(np.int64(index[group]), np.int64(index[group + 1])):
                t, w = offset(y0 + np.int64(index[column + k])), offset(weight + ROWS * BLOCK_PLANES * k)
                u = offset(scale + np.int64(index[column + k]))
                w1, w2, w3 = w + BLOCK_PLANES, w + 2 * BLOCK_PLANES, w + 3 * BLOCK_PLANES
                for j in range(BLOCK_PLANES):
                    y[t + j] += scale_of(weights, value, u + j) * (
                        (a * number(weights, w + j, value) + b * number(weights, w1 + j, value))
                        + (c * number(weights, w2 + j, value) + d * number(weights, w3 + j, value)))


@kernel
def n_m_row(code, at, index, weights, value, x, y):
    """The same where of each four inputs every unit has at most n = `first`: with 2:4 and 1:4 sparsity, say.

    `inputs` is a multiple of four. column (fours / per, units) tells which of four inputs a weight belongs to, two bits
    a weight, those of per = 32 // (2 n) fours in a word, the first in the lowest bits; weight (fours, n, units).
    """
    apart()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, n, column = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    weight, bias, scale = np.int64(code[at, 8]), np.int64(code[at, 9]), np.int64(code[at, 10])
    per = WORD // (2 * n)
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for four in range(inputs // ROWS):
        r = place + ROWS * four
        a, b = x[x0 + np.int64(index[r])], x[x0 + np.int64(index[r + 1])]
        c, d = x[x0 + np.int64(index[r + 2])], x[x0 + np.int64(index[r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            words = offset(column + four // per * units)
            for k in range(n):
                w, shift = offset(weight + (four * n + k) * units), 2 * (four % per * n + k)
                low, high = np.uint32(1 << shift), np.uint32(2 << shift)
                for j in range(units):
                    odd, late = np.uint32(index[words + j] & low) == low, np.uint32(index[words + j] & high) == high
                    v = (d if odd else c) if late else (b if odd else a)
                    y[y0 + j] += scale_of(weights, value, scale + j) * number(weights, w + j, value) * v


@kernel
def dense_row(code, at, index, weights, value, x, y):
    """y = bias + x W, four rows of W at a time, passing over fours of zero inputs.

    `inputs` is a multiple of four, `first` and `column` mean nothing; weight (inputs, units).
    """
    apart()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, weight = np.int64(code[at, 5]), np.int64(code[at, 8])
    bias, scale = np.int64(code[at, 9]), np.int64(code[at, 10])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for r in range(0, inputs, ROWS):
        a, b = x[x0 + np.int64(index[place + r])], x[x0 + np.int64(index[place + r + 1])]
        c, d = x[x0 + np.int64(index[place + r + 2])], x[x0 + np.int64(index[place + r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            w = offset(weight + r * units)
            w1, w2, w3 = w + units, w + 2 * units, w + 3 * units
            for j in range(units):
                y[y0 + j] += scale_of(weights, value, scale + j) * (
                    (a * number(weights, w + j, value) + b * number(weights, w1 + j, value))
                    + (c * number(weights, w2 + j, value) + d * number(weights, w3 + j, value)))
