"""The steps of a compiled program: what a frozen net does to its tensors, one step a row of a table of numbers.

    run_program(code, 0, len(code), index, weights, value, X, 0, len(X), tile, work, out)   # in interpret.py

A program works on a tile of T samples. A tensor is a stack of planes, one a channel; in a plane stand lines, in a line
columns (pixels), in a column the T samples side by side. So a dense layer's output is one plane of T numbers a unit,
and all that is done to tensors is done to runs of neighbouring numbers.

    code    (steps, OPERANDS) uint32: what to do, then sizes and offsets; where each stands is said by each step
    index   (i,) uint32: where sparse weights stand
    weights (k,): those of the linear layers, floats or int8
    value   (v,): biases, scales, slopes
    work    (w,): all tensors; x and y of a step are both this array, and it never writes what it reads

A letter x or y beside an operand says whose offset or stride it is.
"""
import math

import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import apart, offset, part
from minnet.kernels.simd.transpose import SIDE, turn
from minnet.kernels.simd.vector import LANES

OPERANDS = 24  # columns of the table of steps
RELU, LEAKY_RELU, TANH, SIGMOID = 1, 2, 3, 4  # kinds of activations; 0 is none
RUN = 64  # tiles are 1 sample, HALF of this or a multiple: what four vectors of 512 bits hold
HALF = RUN // 2


@kernel
def load_rows(code, at, index, X, row, count, y):
    """Samples row, ..., row + count - 1 of X (n, features) go to their places; returns the sum of their numbers.

    code[at]: step, features, T, place. In `index` stands place (features,): where sample 0 of each begins in y. A tile
    that is not full is filled up with zeros. The sum is for finding NaN and infinity.
    """
    apart()
    features, tile, place = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    total, whole, square = X.dtype.type(0), features - features % SIDE, count - count % SIDE
    for f in range(0, whole, SIDE):
        for t in range(0, square, SIDE):
            total += turn(X, row + t, f, index, place + f, y, t)
    for t in range(square, count):
        for block in range(0, whole, SIDE):
            for f in range(block, block + SIDE):
                number = X[row + t, f]
                total += number
                y[np.int64(index[place + f]) + t] = number
    for f in range(whole, features):
        for t in range(count):
            number = X[row + t, f]
            total += number
            y[np.int64(index[place + f]) + t] = number
    if count < tile:
        for f in range(features):
            start = np.int64(index[place + f])
            for t in range(count, tile):
                y[start + t] = 0
    return total


@kernel
def store_rows(code, at, index, x, row, count, out):
    """The other way: places become rows of out (n, features). code[at]: step, features, place, as in `load_rows`."""
    features, place = np.int64(code[at, 1]), np.int64(code[at, 2])
    for t in range(count):
        for f in range(features):
            out[row + t, f] = x[np.int64(index[place + f]) + t]


@kernel
def copy(code, at, x, y):
    """Runs of numbers from one place to another; what moves, pads, joins and spreads tensors.

    code[at]: step, planes, lines, columns, run, x, x_plane, x_line, x_column, y, y_plane, y_line, y_column.
    """
    planes, lines = np.int64(code[at, 1]), np.int64(code[at, 2])
    columns, run = np.int64(code[at, 3]), np.int64(code[at, 4])
    x0, x_plane = np.int64(code[at, 5]), np.int64(code[at, 6])
    x_line, x_column = np.int64(code[at, 7]), np.int64(code[at, 8])
    y0, y_plane = np.int64(code[at, 9]), np.int64(code[at, 10])
    y_line, y_column = np.int64(code[at, 11]), np.int64(code[at, 12])
    for plane in range(planes):
        for line in range(lines):
            source, target = offset(x0 + plane * x_plane + line * x_line), offset(y0 + plane * y_plane + line * y_line)
            if run == 1:
                for c in range(columns):
                    y[target + c * y_column] = x[source + c * x_column]
            else:
                for c in range(columns):
                    for j in range(run):
                        y[target + c * y_column + j] = x[source + c * x_column + j]


@kernel
def clear(code, at, y):
    """Zeros. code[at]: step, y, size."""
    y0, size = np.int64(code[at, 1]), np.int64(code[at, 2])
    y[y0 : y0 + size] = 0


@kernel
def add(code, at, x, y):
    """y += x. code[at]: step, x, y, size."""
    x0, y0, size = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    for j in range(size):
        y[y0 + j] += x[x0 + j]


@kernel
def affine(code, at, value, y):
    """y = scale * y + shift, each plane with numbers of its own.

    code[at]: step, y, planes, y_plane, scale, shift; the last two say where their (planes,) begin in `value`.
    """
    y0, planes, y_plane = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    scale, shift = np.int64(code[at, 4]), np.int64(code[at, 5])
    for plane in range(planes):
        a, b, start = value[scale + plane], value[shift + plane], offset(y0 + plane * y_plane)
        for j in range(y_plane):
            y[start + j] = a * y[start + j] + b


@kernel
def activate(code, at, value, y):
    """y = f(y). code[at]: step, y, size, kind (RELU, ...), slope (where it stands in `value`)."""
    y0, size, kind = np.int64(code[at, 1]), np.int64(code[at, 2]), code[at, 3]
    slope = value[np.int64(code[at, 4])]
    if kind == RELU:
        for j in range(size):
            y[y0 + j] = 0 if y[y0 + j] <= 0 else y[y0 + j]
    elif kind == LEAKY_RELU:
        for j in range(size):
            y[y0 + j] = slope * y[y0 + j] if y[y0 + j] <= 0 else y[y0 + j]
    elif kind == TANH:
        for j in range(size):
            y[y0 + j] = math.tanh(y[y0 + j])
    elif kind == SIGMOID:
        half = y.dtype.type(0.5)
        for j in range(size):
            y[y0 + j] = half * math.tanh(half * y[y0 + j]) + half


def _pool(width):
    """What `pool_tile` does for some samples of one window."""
    runs = LANES[width]
    add, copy, greater = runs.add_scaled, runs.copy, runs.greater

    @register_jitable
    def pool(size, x, source, x_line, tile, average, y, target):
        part()
        one = x.dtype.type(1)
        copy(y, target, x, source)
        for p in range(1, size[0] * size[1]):
            s = offset(source + p // size[1] * x_line + p % size[1] * tile)
            if average:
                add(y, target, one, x, s)
            else:
                greater(y, target, x, s)
        if average:
            for j in range(width):
                y[target + j] /= size[0] * size[1]

    return pool


pool_run, pool_half = _pool(RUN), _pool(HALF)


@kernel
def pool_tile(code, at, x, y):
    """The greatest number, or the mean where `average` is not 0, of each window: outside the image there is nothing.

    code[at]: step, planes, lines, columns (of y), T, x, x_plane, x_line, height, width (of x), size_h, size_w,
    stride_h, stride_w, top, left, y, y_plane, y_line, average. T is a multiple of HALF.
    """
    apart()
    planes, lines = np.int64(code[at, 1]), np.int64(code[at, 2])
    columns, tile = np.int64(code[at, 3]), np.int64(code[at, 4])
    x0, x_plane, x_line = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    height, width = np.int64(code[at, 8]), np.int64(code[at, 9])
    size_h, size_w = np.int64(code[at, 10]), np.int64(code[at, 11])
    stride_h, stride_w = np.int64(code[at, 12]), np.int64(code[at, 13])
    top, left = np.int64(code[at, 14]), np.int64(code[at, 15])
    y0, y_plane, y_line = np.int64(code[at, 16]), np.int64(code[at, 17]), np.int64(code[at, 18])
    average = code[at, 19] != 0
    for item in range(planes * lines * columns):
        plane, line, column = item // columns // lines, item // columns % lines, item % columns
        first_h, last_h = max(line * stride_h - top, 0), min(line * stride_h - top + size_h, height)
        first_w, last_w = max(column * stride_w - left, 0), min(column * stride_w - left + size_w, width)
        target = offset(y0 + plane * y_plane + line * y_line + column * tile)
        source = offset(x0 + plane * x_plane + first_h * x_line + first_w * tile)
        size = last_h - first_h, last_w - first_w
        for t in range(0, tile - tile % RUN, RUN):
            pool_run(size, x, source + t, x_line, tile, average, y, target + t)
        if tile % RUN:
            pool_half(size, x, source + tile - HALF, x_line, tile, average, y, target + tile - HALF)


@kernel
def halve_image(code, at, x, y):
    """The same for tiles of one sample and the commonest of windows, 2 x 2 at stride 2, all within the image."""
    apart()
    planes, lines, columns = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_plane, x_line = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    y0, y_plane, y_line = np.int64(code[at, 16]), np.int64(code[at, 17]), np.int64(code[at, 18])
    average, quarter = code[at, 19] != 0, y.dtype.type(0.25)
    for plane in range(planes):
        for line in range(lines):
            above = offset(x0 + plane * x_plane + 2 * line * x_line)
            below = offset(above + x_line)
            target = offset(y0 + plane * y_plane + line * y_line)
            for j in range(columns):
                a, b, c, d = x[above + 2 * j], x[above + 2 * j + 1], x[below + 2 * j], x[below + 2 * j + 1]
                y[target + j] = quarter * ((a + b) + (c + d)) if average else max(max(a, b), max(c, d))


@kernel
def pool_image(code, at, x, y):
    """The same for tiles of one sample and any window. After the operands of `pool_tile` comes room: where in y a line
    of x may stand, which is there made of the lines of a window; of its pixels then come those of y.
    """
    apart()
    planes, lines, columns = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_plane, x_line = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    height, width = np.int64(code[at, 8]), np.int64(code[at, 9])
    size_h, size_w = np.int64(code[at, 10]), np.int64(code[at, 11])
    stride_h, stride_w = np.int64(code[at, 12]), np.int64(code[at, 13])
    top, left = np.int64(code[at, 14]), np.int64(code[at, 15])
    y0, y_plane, y_line = np.int64(code[at, 16]), np.int64(code[at, 17]), np.int64(code[at, 18])
    average, room = code[at, 19] != 0, np.int64(code[at, 20])
    for item in range(planes * lines):
        plane, line = item // lines, item % lines
        first_h, last_h = max(line * stride_h - top, 0), min(line * stride_h - top + size_h, height)
        source = offset(x0 + plane * x_plane + first_h * x_line)
        for j in range(width):
            y[room + j] = x[source + j]
        for h in range(1, last_h - first_h):
            s = offset(source + h * x_line)
            if average:
                for j in range(width):
                    y[room + j] += x[s + j]
            else:
                for j in range(width):
                    y[room + j] = max(y[room + j], x[s + j])
        target = offset(y0 + plane * y_plane + line * y_line)
        for column in range(columns):
            first_w, last_w = max(column * stride_w - left, 0), min(column * stride_w - left + size_w, width)
            best = y[room + first_w]
            for w in range(first_w + 1, last_w):
                best = best + y[room + w] if average else max(best, y[room + w])
            pixels = (last_h - first_h) * (last_w - first_w) if average else 1
            y[target + column] = best / pixels
