"""Products that BLAS does badly.

    vector_matrix(x, w, y)      # one row times a matrix: what batch 1 needs
"""

from minnet.kernels.jit import kernel


@kernel
def vector_matrix(x, w, y):
    """y = x @ w, passing over the rows of w where x is zero. x: (in,); w: (in, out); y: (out,).

    So an infinite or NaN weight does not show behind a zero input.
    """
    rows, columns = w.shape
    for j in range(columns):
        y[j] = 0
    for i in range(rows):
        factor = x[i]
        if factor != 0:
            for j in range(columns):
                y[j] += factor * w[i, j]
