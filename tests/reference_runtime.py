"""Plain twins of the kernels that a frozen net's program is made of (see reference.py): each reads the operands of its
step from the table as its docstring in minnet/kernels says, and does the work with NumPy's own words."""
import math

import numpy as np
from reference import wide

from minnet.kernels.program import interpreter as do
from minnet.kernels.program.ops import (
    CLIP,
    ELU,
    GELU,
    GELU_TANH,
    HARDSWISH,
    LEAKY_RELU,
    MAXIMUM,
    MISH,
    PADDED_MEAN,
    RELU,
    RELU6,
    SIGMOID,
    SILU,
    SOFTPLUS,
    TANH,
)


def operands(code, at, count):
    """The operands of step `at`, as Python's numbers."""
    return code[at, 1 : count + 1].tolist()


def load_rows(code, at, index, X, row, count, y):
    features, tile, place = operands(code, at, 3)
    for f in range(features):
        start = int(index[place + f])
        y[start : start + tile] = np.concatenate([X[row : row + count, f], np.zeros(tile - count)])
    return X[row : row + count].sum()


def store_rows(code, at, index, x, row, count, out):
    features, place = operands(code, at, 2)
    total = 0.0
    for f in range(features):
        start = int(index[place + f])
        out[row : row + count, f] = x[start : start + count]
        total += x[start : start + count].sum(dtype=float)
    return total


def scale_rows(X, shift, scale, y):
    y[:] = (wide(X) - shift) / scale


def copy(code, at, x, y):
    planes, lines, columns, run, x0, x_plane, x_line, x_column, y0, y_plane, y_line, y_column = operands(code, at, 12)
    for plane, line, column in np.ndindex(planes, lines, columns):
        source = x0 + plane * x_plane + line * x_line + column * x_column
        target = y0 + plane * y_plane + line * y_line + column * y_column
        y[target : target + run] = x[source : source + run]


def clear(code, at, y):
    start, size = operands(code, at, 2)
    y[start : start + size] = 0


def add(code, at, x, y):
    x0, y0, size = operands(code, at, 3)
    y[y0 : y0 + size] += x[x0 : x0 + size]


def multiply(code, at, x, y):
    x0, x_plane, x_run, y0, planes, y_plane, runs, run = operands(code, at, 8)
    for plane, r in np.ndindex(planes, runs):
        source, target = x0 + plane * x_plane + r * x_run, y0 + plane * y_plane + r * run
        y[target : target + run] = wide(y[target : target + run]) * x[source : source + run]


def affine(code, at, value, y):
    start, planes, plane, scale, shift = operands(code, at, 5)
    of = wide(y[start : start + planes * plane]).reshape(planes, plane)
    a, b = wide(value[scale : scale + planes]), wide(value[shift : shift + planes])
    y[start : start + planes * plane] = (a[:, None] * of + b[:, None]).reshape(-1)


def standardise(code, at, value, y, sums):
    y0, parts, part, planes, y_plane, lines, y_line, columns, lanes, size, _, epsilon = operands(code, at, 12)
    for p in range(parts):
        starts = (y0 + p * part + np.arange(planes)[:, None, None] * y_plane + np.arange(lines)[:, None] * y_line
                  + np.arange(columns) * lanes).reshape(-1, 1)
        places = starts + np.arange(lanes)
        x = wide(y[places])
        mean = x.sum(axis=0) / size
        variance = (np.square(x - mean).sum(axis=0) + (size - len(x)) * np.square(mean)) / size
        y[places] = (x - mean) / np.sqrt(variance + wide(value[epsilon]))


def activate(code, at, value, y):
    activate_other(code, at, value, y)


def activate_other(code, at, value, y):
    start, size, kind, slope = operands(code, at, 4)
    x = wide(y[start : start + size])
    f = {
        RELU: lambda: np.where(x <= 0, 0, x),
        LEAKY_RELU: lambda: np.where(x <= 0, wide(value[slope]) * x, x),
        TANH: lambda: np.tanh(x),
        SIGMOID: lambda: 1 / (1 + np.exp(-x)),
        RELU6: lambda: np.clip(x, 0, 6),
        ELU: lambda: np.where(x <= 0, wide(value[slope]) * np.expm1(np.minimum(x, 0)), x),
        SILU: lambda: x / (1 + np.exp(-x)),
        HARDSWISH: lambda: x * np.clip(x + 3, 0, 6) / 6,
        CLIP: lambda: np.minimum(np.maximum(x, wide(value[slope])), wide(value[slope + 1])),
        SOFTPLUS: lambda: np.logaddexp(0, x),
        MISH: lambda: x * np.tanh(np.logaddexp(0, x)),
        GELU_TANH: lambda: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        GELU: lambda: np.array([0.5 * one * math.erfc(-one * math.sqrt(0.5)) for one in x.tolist()]),
    }
    y[start : start + size] = f[kind]() if kind in f else x


def pool_tile(code, at, x, y):
    planes, lines, columns, tile, x0, x_plane, x_line, height, width, *window, y0, y_plane, y_line, average = operands(
        code, at, 19)
    size_h, size_w, stride_h, stride_w, top, left = window
    for plane, line, column in np.ndindex(planes, lines, columns):
        pixels = [x0 + plane * x_plane + h * x_line + w * tile
                  for h in range(line * stride_h - top, line * stride_h - top + size_h) if 0 <= h < height
                  for w in range(column * stride_w - left, column * stride_w - left + size_w) if 0 <= w < width]
        seen = wide([x[pixel : pixel + tile] for pixel in pixels])
        target = y0 + plane * y_plane + line * y_line + column * tile
        mean = seen.sum(axis=0) / (size_h * size_w if average == PADDED_MEAN else len(pixels))
        y[target : target + tile] = seen.max(axis=0) if average == MAXIMUM else mean


pool_image = halve_image = pool_tile


def several_lines(lines, run, x0, x_line, y0, y_line, starts, weights, bias, x, y):
    """The lines of one plane: bias + the sum of weights times runs."""
    for line in range(lines):
        total = np.full(run, wide(bias))
        for start, w in zip(starts, weights, strict=True):
            total += wide(w) * x[x0 + line * x_line + start :][:run]
        y[y0 + line * y_line :][:run] = total


def scales(weights, value, at, count):
    """What weights are multiplied by: 1 unless they are whole numbers."""
    return wide(value[at : at + count]) if weights.dtype == np.int8 else np.ones(count)


def sparse_planes(code, at, index, weights, value, x, y):
    planes, lines, run, x0, x_line, y0, y_plane, y_line, first, start, weight, bias, scale = operands(code, at, 13)
    for i in range(planes):
        begin, end = index[first + i : first + i + 2].tolist()
        starts, w = index[start + begin : start + end].tolist(), weights[weight + begin : weight + end]
        w = scales(weights, value, scale + i, 1) * wide(w)
        several_lines(lines, run, x0, x_line, y0 + i * y_plane, y_line, starts, w, value[bias + i], x, y)


def block_planes(code, at, index, weights, value, x, y0, y1, y2, y3):
    planes, lines, run, x0, x_line, target, y_plane, y_line, first, start, weight, bias, scale = operands(code, at, 13)
    outputs = y0, y1, y2, y3
    for i in range(planes // 4):
        begin, end = index[first + i : first + i + 2].tolist()
        w = wide(weights[weight + 4 * begin : weight + 4 * end]).reshape(-1, 4)
        w = w * scales(weights, value, scale + 4 * i, 4)
        starts = index[start + begin : start + end].tolist()
        for r, y in enumerate(outputs):
            plane = 4 * i + r
            y0 = target + plane * y_plane
            several_lines(lines, run, x0, x_line, y0, y_line, starts, w[:, r], value[bias + plane], x, y)


def dense_planes(code, at, index, weights, value, x, y0, y1, y2, y3, y4, y5):
    planes, lines, run, x0, x_line, target, y_plane, y_line, count, start, weight, bias, scale = operands(code, at, 13)
    groups = planes // 6
    w = wide(weights[weight : weight + groups * count * 6]).reshape(groups, count, 6)
    w = w * scales(weights, value, scale, 6 * groups).reshape(-1, 1, 6)
    starts, outputs = index[start : start + count].tolist(), (y0, y1, y2, y3, y4, y5)
    for i in range(groups):
        for r, y in enumerate(outputs):
            plane = 6 * i + r
            y0 = target + plane * y_plane
            several_lines(lines, run, x0, x_line, y0, y_line, starts, w[i, :, r], value[bias + plane], x, y)


def sparse_row(code, at, index, weights, value, x, y):
    x0, y0, units, inputs, _, first, column, weight, bias, scale = operands(code, at, 10)
    total, by_unit = wide(value[bias : bias + units]).copy(), scales(weights, value, scale, units)
    for r in range(inputs):
        for k in range(int(index[first + r]), int(index[first + r + 1])):
            unit = int(index[column + k])
            total[unit] += wide(x[x0 + r]) * by_unit[unit] * wide(weights[weight + k])
    y[y0 : y0 + units] = total


def block_row(code, at, index, weights, value, x, y):
    x0, y0, units, inputs, place, first, column, weight, bias, scale = operands(code, at, 10)
    total = np.concatenate([wide(value[bias : bias + units]), y[y0 + units : y0 + -(-units // 4) * 4]])
    for r in range(0, inputs, 4):
        seen = wide(x[x0 + index[place + r : place + r + 4].astype(int)])
        for k in range(int(index[first + r // 4]), int(index[first + r // 4 + 1])):
            unit = int(index[column + k])
            by_unit = scales(weights, value, scale + unit, 4)
            total[unit : unit + 4] += by_unit * (seen @ wide(weights[weight + 16 * k :][:16]).reshape(4, 4))
    y[y0 : y0 + len(total)] = total


def n_m_row(code, at, index, weights, value, x, y):
    x0, y0, units, inputs, place, n, column, weight, bias, scale = operands(code, at, 10)
    total, per = wide(value[bias : bias + units]).copy(), 32 // (2 * n)
    for four, k, unit in np.ndindex(inputs // 4, n, units):
        which = int(index[column + four // per * units + unit]) >> 2 * (four % per * n + k) & 3
        seen = x[x0 + int(index[place + 4 * four + which])]
        w = wide(weights[weight + (four * n + k) * units + unit])
        total[unit] += scales(weights, value, scale + unit, 1)[0] * w * seen
    y[y0 : y0 + units] = total


def dense_row(code, at, index, weights, value, x, y):
    x0, y0, units, inputs, place, _, _, weight, bias, scale = operands(code, at, 10)
    seen = wide(x[x0 + index[place : place + inputs].astype(int)])
    w = wide(weights[weight : weight + inputs * units]).reshape(inputs, units)
    y[y0 : y0 + units] = wide(value[bias : bias + units]) + seen @ w * scales(weights, value, scale, units)


def run_program(code, index, weights, value, X, row, stop, tile, work, out, steps):
    of_two = {do.COPY: copy, do.ADD: add, do.MULTIPLY: multiply, do.POOL_TILE: pool_tile, do.POOL_IMAGE: pool_image,
              do.HALVE_IMAGE: halve_image}
    linear = {do.SPARSE: (sparse_planes, 1), do.BLOCK: (block_planes, 4), do.DENSE: (dense_planes, 6),
              do.SPARSE_ROW: (sparse_row, 1), do.BLOCK_ROW: (block_row, 1), do.N_M_ROW: (n_m_row, 1),
              do.DENSE_ROW: (dense_row, 1)}
    total = 0.0
    for begin in range(row, stop, tile):
        count = min(tile, stop - begin)
        for at in range(len(code)):
            step = int(code[at, 0])
            if step in of_two:
                of_two[step](code, at, work, work)
            elif step in linear:
                kernel, outputs = linear[step]
                kernel(code, at, index, weights, value, work, *[work] * outputs)
            elif step in (do.AFFINE, do.ACTIVATE, do.ACTIVATE_OTHER):
                (affine if step == do.AFFINE else activate)(code, at, value, work)
            elif step == do.STANDARDISE:
                standardise(code, at, value, work, work)
            elif step == do.CLEAR:
                clear(code, at, work)
            elif step == do.LOAD:
                total += load_rows(code, at, index, X, begin, count, work)
            else:
                total += store_rows(code, at, index, work, begin, count, out)
    return total


NAMED = []  # the program and the workspace whose addresses are in the table that was drawn last


def run_at(table, X, row, stop, out):
    program, work = NAMED
    run_program(program.code, *program.numbers, X, row, stop, 1, work, out, program.steps)


def run_shared(tasks, counters, begun, patience, code, numbers, X, work, out, totals, program, steps):
    for i, (first, last, _, row, stop, tile) in enumerate(tasks[counters[0] :], counters[0]):
        totals[i] = run_program(code[first:last], *numbers, X, row, stop, tile, work, out, steps)
    counters[:] = len(tasks) + 1, len(tasks)
    begun += patience == 0
