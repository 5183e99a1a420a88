"""Matrix-vector products that skip zeros, which BLAS cannot.

    vector_matrix(x, w, y)      # one row times a matrix: a batch of one sample

After a ReLU about half of the inputs are zero, and their rows of the matrix need not be read.
"""

from minnet.kernels.jit import kernel

ROWS = 4  # of w, that are added to y at once: y is loaded and stored a quarter as often


@kernel
def vector_matrix(x, w, y):
    """Compute y = x @ w, skipping the rows of w where x is zero. x: (in,); w: (in, out); y: (out,).

    So infinite and NaN weights of a zero input have no effect on y.
    """
    rows, columns = w.shape
    for j in range(columns):
        y[j] = 0
    a = b = c = d = 0  # the last four inputs that are not zero, the latest in d
    found = 0
    for i in range(rows):
        if x[i] != 0:
            a, b, c, d = b, c, d, i
            found += 1
        if found == ROWS:
            found = 0
            xa, xb, xc, xd = x[a], x[b], x[c], x[d]
            for j in range(columns):
                y[j] += (xa * w[a, j] + xb * w[b, j]) + (xc * w[c, j] + xd * w[d, j])
    for _ in range(found):  # one to three are left over
        xd = x[d]
        for j in range(columns):
            y[j] += xd * w[d, j]
        d = c
        c = b
