"""Products of sparse rows of data with weights: the cost is that of the nonzeros.

    rows_forward(data, indices, indptr, rows, w, y)                           # y = x w
    rows_backward(data, indices, indptr, rows, dy, dw)                        # dw = x' dy
    rows_forward_live(data, indices, indptr, rows, w_indptr, w_indices, w, y)  # the same, w by its live weights alone
    rows_backward_live(data, indices, indptr, rows, w_indptr, w_indices, dy, g)

Data are CSR, with the names and the meaning that SciPy gives to arrays: data (k,), indices (k,), indptr (N + 1,). Row i
of x (n, in) is their row rows[i]; `rows` (n,) are integers in [0, N), and may repeat. Live weights are the CSR of
csr.py: those of input j are w_indptr[j], ..., w_indptr[j + 1] - 1, and `w_indices` holds their outputs.

A zero that is not stored is never multiplied: an infinite or NaN weight has no effect there.
"""
from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import noalias

AT_ONCE = 4  # nonzeros of a row


@kernel
def rows_forward(data, indices, indptr, rows, w, y):
    """Compute y = x w. w: (in, out); y: (n, out), overwritten."""
    noalias()
    out = y.shape[1]
    for i in range(rows.size):
        for o in range(out):
            y[i, o] = 0
        begin, end = indptr[rows[i]], indptr[rows[i] + 1]
        # four rows of w at once: y is loaded and stored a quarter as often
        ones = end - (end - begin) % AT_ONCE
        for k in range(begin, ones, AT_ONCE):
            a, b, c, d = data[k], data[k + 1], data[k + 2], data[k + 3]
            ja, jb, jc, jd = indices[k], indices[k + 1], indices[k + 2], indices[k + 3]
            for o in range(out):
                y[i, o] += (a * w[ja, o] + b * w[jb, o]) + (c * w[jc, o] + d * w[jd, o])
        for k in range(ones, end):
            value, j = data[k], indices[k]
            for o in range(out):
                y[i, o] += value * w[j, o]


@kernel
def rows_backward(data, indices, indptr, rows, dy, dw):
    """Compute dw = x' dy. dy: (n, out); dw: (in, out), overwritten."""
    noalias()
    out = dy.shape[1]
    dw[:] = 0
    for i in range(rows.size):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            value, j = data[k], indices[k]
            for o in range(out):
                dw[j, o] += value * dy[i, o]


@kernel
def rows_forward_live(data, indices, indptr, rows, w_indptr, w_indices, w, y):
    """Compute y = x w from live weights. w_indptr: (in + 1,); w_indices, w: (live,); y: (n, out), overwritten."""
    y[:] = 0
    for i in range(rows.size):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            value, j = data[k], indices[k]
            for m in range(w_indptr[j], w_indptr[j + 1]):
                y[i, w_indices[m]] += value * w[m]


@kernel
def rows_backward_live(data, indices, indptr, rows, w_indptr, w_indices, dy, g):
    """Compute g = x' dy at live weights. w_indptr: (in + 1,); w_indices, g: (live,), g overwritten; dy: (n, out)."""
    g[:] = 0
    for i in range(rows.size):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            value, j = data[k], indices[k]
            for m in range(w_indptr[j], w_indptr[j + 1]):
                g[m] += value * dy[i, w_indices[m]]
