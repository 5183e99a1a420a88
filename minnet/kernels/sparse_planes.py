"""Layers whose live weights are few, as steps of a compiled program (see program.py).

`sparse_planes` is for tiles and for images: a live weight times a run of neighbouring numbers, added to another run. A
dense layer's run is the tile, a convolution's the pixels of a line; so no zero is ever multiplied, no window copied.
`scatter_row` and `dense_row` are for one sample: its units are a vector, and units that are zero are passed over.
"""
import numpy as np

from minnet.kernels.hints import apart, offset
from minnet.kernels.jit import kernel

LANES, FEWER = 128, 64  # numbers that a sum is kept in registers for: eight vectors of 512 bits, or four


@kernel
def sparse_planes(code, at, index, value, x, y):
    """y[i, l, j] = bias[i] + the sum over k of weight[k] * x[start[k] + l * x_line + j], for lines l and j < run.

    code[at]: step, planes, lines, run, x, x_line, y, y_plane, y_line, first, start, weight, bias. In `index` stand
    first (planes + 1,), which says that the weights of plane i are k = first[i], ..., first[i + 1] - 1, and start (k,);
    in `value` weight (k,) and bias (planes,). Runs are multiples of FEWER, also where less would do.
    """
    apart()
    planes, lines, run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_line = np.int64(code[at, 4]), np.int64(code[at, 5])
    y0, y_plane, y_line = np.int64(code[at, 6]), np.int64(code[at, 7]), np.int64(code[at, 8])
    first, start = np.int64(code[at, 9]), np.int64(code[at, 10])
    weight, bias = np.int64(code[at, 11]), np.int64(code[at, 12])
    for i in range(planes):
        begin, end, b = np.int64(index[first + i]), np.int64(index[first + i + 1]), value[bias + i]
        for line in range(lines):
            source, target = offset(x0 + line * x_line), offset(y0 + i * y_plane + line * y_line)
            wide = run - run % LANES
            for c in range(0, wide, LANES):
                for j in range(LANES):
                    y[target + c + j] = b
                for k in range(begin, end):
                    s, w = source + c + np.int64(index[start + k]), value[weight + k]
                    for j in range(LANES):
                        y[target + c + j] += w * x[s + j]
            for c in range(wide, run, FEWER):
                for j in range(FEWER):
                    y[target + c + j] = b
                for k in range(begin, end):
                    s, w = source + c + np.int64(index[start + k]), value[weight + k]
                    for j in range(FEWER):
                        y[target + c + j] += w * x[s + j]


@kernel
def scatter_row(code, at, index, value, x, y):
    """y = bias + x W for one sample, W by its live inputs: each that is not zero is added to its units.

    code[at]: step, x, y, units, inputs, place, first, column, weight, bias. In `index` stand place (inputs,), where
    each is in x; first (inputs + 1,), which says that its weights are k = first[r], ..., first[r + 1] - 1; and
    column (k,), their units; in `value` weight (k,) and bias (units,).
    """
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, first, column = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    weight, bias = np.int64(code[at, 8]), np.int64(code[at, 9])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for r in range(inputs):
        v = x[x0 + np.int64(index[place + r])]
        if v != 0:
            for k in range(np.int64(index[first + r]), np.int64(index[first + r + 1])):
                y[y0 + np.int64(index[column + k])] += v * value[weight + k]


@kernel
def dense_row(code, at, index, value, x, y):
    """y = bias + x W for one sample, four rows of W at a time, passing over fours of zero inputs.

    code[at]: step, x, y, units, inputs, place, weight, bias. `inputs` is a multiple of 4; in `index` stands
    place (inputs,): where in x; in `value` weight (inputs, units) and bias (units,).
    """
    apart()
    x0, y0, units, inputs = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3]), np.int64(code[at, 4])
    place, weight, bias = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    for j in range(units):
        y[y0 + j] = value[bias + j]
    for r in range(0, inputs, 4):
        a, b = x[x0 + np.int64(index[place + r])], x[x0 + np.int64(index[place + r + 1])]
        c, d = x[x0 + np.int64(index[place + r + 2])], x[x0 + np.int64(index[place + r + 3])]
        if a != 0 or b != 0 or c != 0 or d != 0:
            w = offset(weight + r * units)
            for j in range(units):
                y[y0 + j] += (a * value[w + j] + b * value[w + units + j]) + (
                    c * value[w + 2 * units + j] + d * value[w + 3 * units + j])
