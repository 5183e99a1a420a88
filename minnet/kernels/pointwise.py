"""Element by element: activations, dropout and biases.

    relu(x, y)
    relu_backward(dy, y, dx)

The elementwise ones take flat arrays of one size; those with a bias take (rows, columns). Output may be the same array
as an input, and is computed faster where it is not.
"""

from minnet.kernels.jit import kernel

LANES = 8  # columns that are summed side by side, each in a variable of its own


@kernel
def relu(x, y):
    """y = max(x, 0); NaN stays NaN. x, y: (n,)."""
    for i in range(x.size):
        y[i] = 0 if x[i] <= 0 else x[i]


@kernel
def relu_backward(dy, y, dx):
    """dx = dy where y > 0, else 0; where y is NaN, dy passes. All (n,); y is the output of `relu`."""
    for i in range(dy.size):
        dx[i] = 0 if y[i] <= 0 else dy[i]


@kernel
def leaky_relu(x, slope, y):
    """y = x where x > 0, else slope * x; slope is positive. x, y: (n,)."""
    slope = x.dtype.type(slope)
    for i in range(x.size):
        y[i] = slope * x[i] if x[i] <= 0 else x[i]


@kernel
def leaky_relu_backward(dy, y, slope, dx):
    """dx = dy where y > 0, else slope * dy. dy, y, dx: (n,); y is the output of `leaky_relu`."""
    slope = dy.dtype.type(slope)
    for i in range(dy.size):
        dx[i] = slope * dy[i] if y[i] <= 0 else dy[i]


@kernel
def dropout(x, keep, scale, y):
    """y = scale * x where keep, else 0; also its own backward. x, y: (n,); keep: (n,) bool or uint8."""
    scale = x.dtype.type(scale)
    for i in range(x.size):
        y[i] = scale * x[i] if keep[i] else 0


@kernel
def add_bias(b, y):
    """y[r] += b in every row r. b: (c,); y: (rows, c), changed in place."""
    rows, columns = y.shape
    for r in range(rows):
        for j in range(columns):
            y[r, j] += b[j]


@kernel
def add_bias_relu(b, y):
    """y[r] = max(y[r] + b, 0) in every row r; NaN stays NaN. b: (c,); y: (rows, c), changed in place."""
    rows, columns = y.shape
    for r in range(rows):
        for j in range(columns):
            value = y[r, j] + b[j]
            y[r, j] = 0 if value <= 0 else value


@kernel
def column_sums(dy, out):
    """out[j] = the sum of dy[:, j], added up in float64. dy: (rows, c); out: (c,)."""
    rows, columns = dy.shape
    if columns < LANES:
        for j in range(columns):
            total = 0.0
            for r in range(rows):
                total += dy[r, j]
            out[j] = total
    else:
        for start in range(0, columns, LANES):
            j = min(start, columns - LANES)  # the last group overlaps the one before, and finds the same sums
            a = b = c = d = e = f = g = h = 0.0
            for r in range(rows):
                a += dy[r, j]
                b += dy[r, j + 1]
                c += dy[r, j + 2]
                d += dy[r, j + 3]
                e += dy[r, j + 4]
                f += dy[r, j + 5]
                g += dy[r, j + 6]
                h += dy[r, j + 7]
            out[j], out[j + 1], out[j + 2], out[j + 3] = a, b, c, d
            out[j + 4], out[j + 5], out[j + 6], out[j + 7] = e, f, g, h
