"""Element by element: activations, dropout and biases.

    relu(x, y)
    relu_backward(dy, y, dx)

The elementwise ones take flat arrays of one size; those with a bias take (rows, columns). Output may be the same array
as an input, and is computed faster where it is not.
"""
import math

import numpy as np

from minnet.kernels.jit import kernel

SUMS_AT_ONCE = 4  # columns that are summed side by side, each in a variable of its own: additions need not wait


@kernel
def relu(x, y):
    """Compute y = max(x, 0); NaN stays NaN. x, y: (n,)."""
    for i in range(x.size):  # x <= 0 is False for NaN, where max may return 0
        y[i] = 0 if x[i] <= 0 else x[i]


@kernel
def relu_backward(dy, y, dx):
    """Compute dx = dy where y > 0, else 0; where y is NaN, dx = dy. All (n,); y is the output of `relu`."""
    for i in range(dy.size):
        passed = dy[i]  # read in any case: a load under a condition is not vectorised
        dx[i] = 0 if y[i] <= 0 else passed


@kernel
def leaky_relu(x, slope, y):
    """Compute y = x where x > 0, else slope * x; slope is positive. x, y: (n,)."""
    slope = x.dtype.type(slope)
    for i in range(x.size):
        y[i] = slope * x[i] if x[i] <= 0 else x[i]


@kernel
def leaky_relu_backward(dy, y, slope, dx):
    """Compute dx = dy where y > 0, else slope * dy. dy, y, dx: (n,); y is the output of `leaky_relu`."""
    slope = dy.dtype.type(slope)
    for i in range(dy.size):
        passed = dy[i]
        dx[i] = slope * passed if y[i] <= 0 else passed


@kernel
def normal_cdf(x, y):
    """Compute y = (1 + erf(x / sqrt(2))) / 2, by erfc, which keeps its digits where x is far below 0. x, y: (n,)."""
    half, scale = x.dtype.type(0.5), x.dtype.type(-math.sqrt(0.5))
    for i in range(x.size):
        y[i] = half * math.erfc(scale * x[i])


@kernel
def dropout(x, keep, scale, y):
    """Compute y = scale * x where keep, else 0; also its own backward pass. x, y: (n,); keep: (n,) bool or uint8."""
    scale = x.dtype.type(scale)
    for i in range(x.size):
        y[i] = scale * x[i] if keep[i] else 0


@kernel
def add_bias(b, y):
    """Compute y[r] += b in every row r. b: (c,); y: (rows, c), changed in place."""
    rows, columns = y.shape
    for r in range(rows):
        for j in range(columns):
            y[r, j] += b[j]


@kernel
def add_bias_relu(b, y):
    """Compute y[r] = max(y[r] + b, 0) in every row r; NaN stays NaN. b: (c,); y: (rows, c), changed in place."""
    rows, columns = y.shape
    for r in range(rows):
        for j in range(columns):
            value = y[r, j] + b[j]
            y[r, j] = 0 if value <= 0 else value


@kernel
def add_scaled(factor, x, y):
    """Compute y += factor * x. x, y: (n,), y changed in place."""
    factor = y.dtype.type(factor)
    for i in range(y.size):
        y[i] += factor * x[i]


@kernel
def add_squares(x, sums):
    """Add to sums[j] the sum of the squares of x[:, j], in float64. x: (rows, c); sums: (c,) float64."""
    rows, columns = x.shape
    for r in range(rows):
        for j in range(columns):
            value = np.float64(x[r, j])
            sums[j] += value * value


@kernel
def column_sums(dy, out):
    """Compute out[j] = the sum of dy[:, j], in float64. dy: (rows, c); out: (c,)."""
    rows, columns = dy.shape
    for start in range(0, columns, SUMS_AT_ONCE):
        # the last group overlaps the one before, and finds the same sums: there is no remainder to treat apart
        j = max(min(start, columns - SUMS_AT_ONCE), 0)
        j1, j2, j3 = min(j + 1, columns - 1), min(j + 2, columns - 1), min(j + 3, columns - 1)
        a = b = c = d = 0.0
        for r in range(rows):
            a += dy[r, j]
            b += dy[r, j1]
            c += dy[r, j2]
            d += dy[r, j3]
        out[j], out[j1], out[j2], out[j3] = a, b, c, d
