"""The steps of a compiled program: what a frozen net does to its tensors, one step a row of an integer table.

    run_program(code, index, weights, value, X, 0, len(X), tile, work, out)   # in interpreter.py

A program works on a tile of T samples. A tensor is a stack of planes, one for each channel; a plane is a sequence of
lines, a line one of columns (pixels), and a column T adjacent numbers, one for each sample. So a dense layer's output
is one plane of T numbers for each unit, and every operation on tensors is one on runs of adjacent numbers.

    code    (steps, OPERANDS) uint32: the opcode, then sizes and offsets; each kernel lists its columns in their order
    index   (i,) uint32: indices of sparse weights, and offsets of inputs and outputs
    weights (k,): those of the linear layers, floats or int8
    value   (v,): biases, scales, slopes
    work    (w,): all tensors; x and y of a step are both this array, and a step never writes what it reads

An operand x or y is where the step's input or output begins in `work`; x_plane, x_line, x_column and their like are
strides, in numbers. Operands are converted to int64 first: sums of uint32 are uint64, and their differences wrap.
"""
import math

import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import always_inline, as_nonnegative, noalias
from minnet.kernels.simd.transpose import TILE, transpose_scatter
from minnet.kernels.simd.vector import VECTOR_OPS

OPERANDS = 24  # columns of the table of steps: the most that a step has, rounded up
# kinds of activations; 0 is none
RELU, LEAKY_RELU, TANH, SIGMOID, RELU6, ELU, SILU, HARDSWISH, GELU, CLIP, SOFTPLUS, MISH, GELU_TANH = range(1, 14)
MAXIMUM, MEAN, PADDED_MEAN = range(3)  # what pools compute: means of the pixels inside the image, or padding as well
RUN = 64  # samples of a tile, 1, or multiples of HALF: float32 of four vectors of 512 bits, enough to hide latency
HALF = RUN // 2


@kernel
def load_rows(code, at, index, X, row, count, y):
    """Copy samples row, ..., row + count - 1 of X (n, features) to y, transposed; returns the sum of their numbers.

    code[at]: step, features, T, place. place, in `index`: (features,), where sample 0 of each feature is in y. A tile
    that is not full is padded with zeros. The sum is NaN or infinite if one of the numbers is.
    """
    noalias()
    features, tile, place = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    # whole tiles are transposed in registers; then come the samples and the features that are left over
    total, whole, square = X.dtype.type(0), features - features % TILE, count - count % TILE
    for f in range(0, whole, TILE):
        for t in range(0, square, TILE):
            total += transpose_scatter(X, row + t, f, index, place + f, y, t)
    for t in range(square, count):
        for block in range(0, whole, TILE):
            for f in range(block, block + TILE):
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
    """Copy the tile x to rows row, ... of out (n, features); return its sum. code[at]: step, features, place.

    As in `load_rows`, the sum is NaN or infinite if one of the numbers is.
    """
    features, place = np.int64(code[at, 1]), np.int64(code[at, 2])
    total = x.dtype.type(0)
    for t in range(count):
        for f in range(features):
            number = x[np.int64(index[place + f]) + t]
            total += number
            out[row + t, f] = number
    return total


@kernel
def copy(code, at, x, y):
    """Copy runs of numbers, with strides: what moves, pads, concatenates and unfolds tensors.

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
            source = as_nonnegative(x0 + plane * x_plane + line * x_line)
            target = as_nonnegative(y0 + plane * y_plane + line * y_line)
            if run == 1:  # single samples: without an inner loop, whose overhead is more than the copy
                for c in range(columns):
                    y[target + c * y_column] = x[source + c * x_column]
            else:
                for c in range(columns):
                    for j in range(run):
                        y[target + c * y_column + j] = x[source + c * x_column + j]


@kernel
def clear(code, at, y):
    """Set y to 0. code[at]: step, y, size."""
    y0, size = np.int64(code[at, 1]), np.int64(code[at, 2])
    y[y0 : y0 + size] = 0


@kernel
def add(code, at, x, y):
    """Compute y += x. code[at]: step, x, y, size."""
    x0, y0, size = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    for j in range(size):
        y[y0 + j] += x[x0 + j]


@kernel
def multiply(code, at, x, y):
    """Compute y *= x, where the runs of a plane of y may share one run of x.

    code[at]: step, x, x_plane, x_run, y, planes, y_plane, runs, run: the runs of a plane of y are adjacent.
    """
    x0, x_plane, x_run = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    y0, planes, y_plane = np.int64(code[at, 4]), np.int64(code[at, 5]), np.int64(code[at, 6])
    runs, run = np.int64(code[at, 7]), np.int64(code[at, 8])
    for plane in range(planes):
        for r in range(runs):
            source = as_nonnegative(x0 + plane * x_plane + r * x_run)
            target = as_nonnegative(y0 + plane * y_plane + r * run)
            for j in range(run):
                y[target + j] *= x[source + j]


@kernel
def affine(code, at, value, y):
    """Compute y = scale * y + shift, with a scale and a shift for each plane.

    code[at]: step, y, planes, y_plane, scale, shift; the last two are offsets of (planes,) numbers in `value`.
    """
    y0, planes, y_plane = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    scale, shift = np.int64(code[at, 4]), np.int64(code[at, 5])
    for plane in range(planes):
        a, b, start = value[scale + plane], value[shift + plane], as_nonnegative(y0 + plane * y_plane)
        for j in range(y_plane):
            y[start + j] = a * y[start + j] + b


@kernel
def activate(code, at, value, y):
    """Compute y = f(y). code[at]: step, y, size, kind (RELU, ..., SIGMOID), its slope (the offset in `value`)."""
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
        # sigmoid(y) = (1 + tanh(y / 2)) / 2: one call, and no exponential that overflows
        half = y.dtype.type(0.5)
        for j in range(size):
            y[y0 + j] = half * math.tanh(half * y[y0 + j]) + half


@kernel
def activate_other(code, at, value, y):
    """Compute y = f(y). code[at]: step, y, size, kind (RELU6, ...), its numbers (their offset in `value`).

    They are a slope or alpha and, of CLIP, the lowest and the highest value.
    """
    y0, size, kind, place = np.int64(code[at, 1]), np.int64(code[at, 2]), code[at, 3], np.int64(code[at, 4])
    slope, highest = value[place], value[place + 1]
    zero, half, three, six = y.dtype.type(0), y.dtype.type(0.5), y.dtype.type(3), y.dtype.type(6)
    if kind == RELU6:
        for j in range(size):
            y[y0 + j] = zero if y[y0 + j] <= 0 else six if y[y0 + j] >= six else y[y0 + j]
    elif kind == ELU:
        for j in range(size):
            y[y0 + j] = slope * math.expm1(y[y0 + j]) if y[y0 + j] <= 0 else y[y0 + j]
    elif kind == SILU:
        for j in range(size):
            y[y0 + j] *= half * math.tanh(half * y[y0 + j]) + half
    elif kind == HARDSWISH:
        for j in range(size):
            y[y0 + j] *= min(max(y[y0 + j] + three, zero), six) / six
    elif kind == CLIP:
        for j in range(size):
            y[y0 + j] = min(max(y[y0 + j], slope), highest)
    elif kind == SOFTPLUS:
        for j in range(size):
            y[y0 + j] = softplus(y[y0 + j])
    elif kind == MISH:
        for j in range(size):
            y[y0 + j] *= math.tanh(softplus(y[y0 + j]))
    elif kind == GELU_TANH:
        c, cubic = y.dtype.type(math.sqrt(2 / math.pi)), y.dtype.type(0.044715)
        for j in range(size):
            one = y[y0 + j]
            y[y0 + j] = one * (half * math.tanh(c * (one + cubic * one * one * one)) + half)
    elif kind == GELU:
        scale = y.dtype.type(-math.sqrt(0.5))
        for j in range(size):
            y[y0 + j] *= half * math.erfc(scale * y[y0 + j])


@register_jitable
def softplus(x):
    """Return log(1 + exp(x)), without overflow."""
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def _pool(width):
    """Return what `pool_tile` does for `width` samples of one window."""
    ops = VECTOR_OPS[width]
    add, copy, maximum_into = ops.add_scaled, ops.copy, ops.maximum_into

    @register_jitable
    def pool(size, pixels, x, source, x_line, tile, average, y, target):
        always_inline()
        one = x.dtype.type(1)
        copy(y, target, x, source)
        for p in range(1, size[0] * size[1]):
            s = as_nonnegative(source + p // size[1] * x_line + p % size[1] * tile)
            if average:
                add(y, target, one, x, s)
            else:
                maximum_into(y, target, x, s)
        if average:
            for j in range(width):
                y[target + j] /= pixels

    return pool


pool_run, pool_half = _pool(RUN), _pool(HALF)


@kernel
def pool_tile(code, at, x, y):
    """Compute the maximum of each window, or a mean: `average` is MAXIMUM, MEAN or PADDED_MEAN.

    code[at]: step, planes, lines, columns (of y), T, x, x_plane, x_line, height, width (of x), size_h, size_w,
    stride_h, stride_w, top, left, y, y_plane, y_line, average. T is a multiple of HALF.
    """
    noalias()
    planes, lines = np.int64(code[at, 1]), np.int64(code[at, 2])
    columns, tile = np.int64(code[at, 3]), np.int64(code[at, 4])
    x0, x_plane, x_line = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    height, width = np.int64(code[at, 8]), np.int64(code[at, 9])
    size_h, size_w = np.int64(code[at, 10]), np.int64(code[at, 11])
    stride_h, stride_w = np.int64(code[at, 12]), np.int64(code[at, 13])
    top, left = np.int64(code[at, 14]), np.int64(code[at, 15])
    y0, y_plane, y_line = np.int64(code[at, 16]), np.int64(code[at, 17]), np.int64(code[at, 18])
    average, whole = code[at, 19] != MAXIMUM, code[at, 19] == PADDED_MEAN
    for item in range(planes * lines * columns):
        plane, line, column = item // columns // lines, item // columns % lines, item % columns
        first_h, last_h = max(line * stride_h - top, 0), min(line * stride_h - top + size_h, height)
        first_w, last_w = max(column * stride_w - left, 0), min(column * stride_w - left + size_w, width)
        target = as_nonnegative(y0 + plane * y_plane + line * y_line + column * tile)
        source = as_nonnegative(x0 + plane * x_plane + first_h * x_line + first_w * tile)
        size = last_h - first_h, last_w - first_w  # of the part of the window inside the image, at least one pixel
        pixels = size_h * size_w if whole else size[0] * size[1]
        for t in range(0, tile - tile % RUN, RUN):
            pool_run(size, pixels, x, source + t, x_line, tile, average, y, target + t)
        if tile % RUN:
            pool_half(size, pixels, x, source + tile - HALF, x_line, tile, average, y, target + tile - HALF)


@kernel
def halve_image(code, at, x, y):
    """Compute the same for tiles of one sample and windows of 2 x 2 at stride 2, all inside the image."""
    noalias()
    planes, lines, columns = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_plane, x_line = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    y0, y_plane, y_line = np.int64(code[at, 16]), np.int64(code[at, 17]), np.int64(code[at, 18])
    average, quarter = code[at, 19] != 0, y.dtype.type(1 / 4)
    for plane in range(planes):
        for line in range(lines):
            above = as_nonnegative(x0 + plane * x_plane + 2 * line * x_line)
            below = as_nonnegative(above + x_line)
            target = as_nonnegative(y0 + plane * y_plane + line * y_line)
            for j in range(columns):
                a, b, c, d = x[above + 2 * j], x[above + 2 * j + 1], x[below + 2 * j], x[below + 2 * j + 1]
                y[target + j] = quarter * ((a + b) + (c + d)) if average else max(max(a, b), max(c, d))


@kernel
def pool_image(code, at, x, y):
    """Compute the same for tiles of one sample and any window.

    After the operands of `pool_tile` comes `scratch`: the offset in y of room for one line of x.
    """
    noalias()
    planes, lines, columns = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    x0, x_plane, x_line = np.int64(code[at, 5]), np.int64(code[at, 6]), np.int64(code[at, 7])
    height, width = np.int64(code[at, 8]), np.int64(code[at, 9])
    size_h, size_w = np.int64(code[at, 10]), np.int64(code[at, 11])
    stride_h, stride_w = np.int64(code[at, 12]), np.int64(code[at, 13])
    top, left = np.int64(code[at, 14]), np.int64(code[at, 15])
    y0, y_plane, y_line = np.int64(code[at, 16]), np.int64(code[at, 17]), np.int64(code[at, 18])
    average, scratch = code[at, 19] != MAXIMUM, np.int64(code[at, 20])
    whole = code[at, 19] == PADDED_MEAN
    for item in range(planes * lines):
        plane, line = item // lines, item % lines
        first_h, last_h = max(line * stride_h - top, 0), min(line * stride_h - top + size_h, height)
        source = as_nonnegative(x0 + plane * x_plane + first_h * x_line)
        # first over the lines of the window, whole lines at a time, as vectors; then over its columns
        for j in range(width):
            y[scratch + j] = x[source + j]
        for h in range(1, last_h - first_h):
            s = as_nonnegative(source + h * x_line)
            if average:
                for j in range(width):
                    y[scratch + j] += x[s + j]
            else:
                for j in range(width):
                    y[scratch + j] = max(y[scratch + j], x[s + j])
        target = as_nonnegative(y0 + plane * y_plane + line * y_line)
        for column in range(columns):
            first_w, last_w = max(column * stride_w - left, 0), min(column * stride_w - left + size_w, width)
            best = y[scratch + first_w]
            for w in range(first_w + 1, last_w):
                best = best + y[scratch + w] if average else max(best, y[scratch + w])
            pixels = size_h * size_w if whole else (last_h - first_h) * (last_w - first_w)
            y[target + column] = best / pixels if average else best
