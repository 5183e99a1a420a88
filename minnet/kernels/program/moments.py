"""The step of a frozen net's program that makes mean 0 and variance 1 of each part of a tensor (see ops.py)."""
import math

import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import as_nonnegative, noalias


@kernel
def standardise(code, at, value, y, sums):
    """Compute y = (y - mean) / sqrt(variance + epsilon), with the moments of each part of y, of each lane by itself.

    code[at]: step, y, parts, part, planes, y_plane, lines, y_line, columns, lanes, size, scratch, epsilon (its offset
    in `value`). Parts begin `part` numbers apart; one has `planes` times `lines` times `columns` runs of `lanes`
    adjacent numbers, the columns adjacent, and `size` numbers of each lane count: those that it does not have are 0.
    From `scratch` on `sums` has room for 3 runs. A sum is made of those of planes: a long one loses digits.
    """
    noalias()
    y0, parts, part = np.int64(code[at, 1]), np.int64(code[at, 2]), np.int64(code[at, 3])
    planes, y_plane = np.int64(code[at, 4]), np.int64(code[at, 5])
    lines, y_line = np.int64(code[at, 6]), np.int64(code[at, 7])
    columns, lanes = np.int64(code[at, 8]), np.int64(code[at, 9])
    size, scratch = np.int64(code[at, 10]), np.int64(code[at, 11])
    epsilon, missing = value[np.int64(code[at, 12])], size - planes * lines * columns
    for p in range(parts):
        start = as_nonnegative(y0 + p * part)
        if lanes == 1:
            standardise_one(start, planes, y_plane, lines, y_line, columns, size, missing, epsilon, y)
            continue
        mean, square, of_plane = scratch, scratch + lanes, scratch + 2 * lanes
        for j in range(2 * lanes):
            sums[mean + j] = 0
        for plane in range(planes):
            for j in range(lanes):
                sums[of_plane + j] = 0
            for pixel in range(lines * columns):
                run = as_nonnegative(start + plane * y_plane + pixel // columns * y_line + pixel % columns * lanes)
                for j in range(lanes):
                    sums[of_plane + j] += y[run + j]
            for j in range(lanes):
                sums[mean + j] += sums[of_plane + j] / size
        for plane in range(planes):
            for j in range(lanes):
                sums[of_plane + j] = 0
            for pixel in range(lines * columns):
                run = as_nonnegative(start + plane * y_plane + pixel // columns * y_line + pixel % columns * lanes)
                for j in range(lanes):
                    y[run + j] -= sums[mean + j]
                    sums[of_plane + j] += y[run + j] * y[run + j]
            for j in range(lanes):
                sums[square + j] += sums[of_plane + j]
        for j in range(lanes):
            variance = (sums[square + j] + missing * sums[mean + j] * sums[mean + j]) / size
            sums[square + j] = 1 / math.sqrt(variance + epsilon)
        for plane in range(planes):
            for pixel in range(lines * columns):
                run = as_nonnegative(start + plane * y_plane + pixel // columns * y_line + pixel % columns * lanes)
                for j in range(lanes):
                    y[run + j] *= sums[square + j]


@register_jitable
def standardise_one(start, planes, y_plane, lines, y_line, columns, size, missing, epsilon, y):
    """Do the same for one part of a single lane, whose columns are adjacent numbers."""
    mean = square = y.dtype.type(0)
    for plane in range(planes):
        for line in range(lines):
            some, run = y.dtype.type(0), as_nonnegative(start + plane * y_plane + line * y_line)
            for j in range(columns):
                some += y[run + j]
            mean += some
    mean /= size
    for plane in range(planes):
        for line in range(lines):
            some, run = y.dtype.type(0), as_nonnegative(start + plane * y_plane + line * y_line)
            for j in range(columns):
                y[run + j] -= mean
                some += y[run + j] * y[run + j]
            square += some
    inverse = y.dtype.type(1 / math.sqrt((square + missing * mean * mean) / size + epsilon))
    for plane in range(planes):
        for line in range(lines):
            run = as_nonnegative(start + plane * y_plane + line * y_line)
            for j in range(columns):
                y[run + j] *= inverse
