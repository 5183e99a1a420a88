"""Products that BLAS does badly.

    vector_matrix(x, w, y)      # one row times a matrix: what batch 1 needs
"""

from minnet.kernels.jit import kernel

TOGETHER = 4  # rows of w


@kernel
def vector_matrix(x, w, y):
    """y = x @ w, passing over the rows of w where x is zero. x: (in,); w: (in, out); y: (out,).

    So an infinite or NaN weight does not show behind a zero input.
    """
    rows, columns = w.shape
    for j in range(columns):
        y[j] = 0
    a = b = c = d = 0  # the last inputs found that are not zero: four rows of w are added in one walk over y
    found = 0
    for i in range(rows):
        if x[i] != 0:
            a, b, c, d = b, c, d, i
            found += 1
        if found == TOGETHER:
            found = 0
            xa, xb, xc, xd = x[a], x[b], x[c], x[d]
            for j in range(columns):
                y[j] += (xa * w[a, j] + xb * w[b, j]) + (xc * w[c, j] + xd * w[d, j])
    for _ in range(found):
        xd = x[d]
        for j in range(columns):
            y[j] += xd * w[d, j]
        d = c
        c = b
