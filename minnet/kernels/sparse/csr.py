"""Index arrays of a sparse layer's weights: from flat positions to CSR, from CSR to CSC and COO.

    flat_to_csr(flat, columns, indptr, indices)
    csr_to_csc(indptr, indices, csc_indptr, csc_indices, csc_order)
    coo_rows(indptr, rows)

Arrays have the names and the meaning that SciPy gives them. The matrix is (in, out): rows are inputs, columns outputs.
CSR: weights indptr[i], ..., indptr[i + 1] - 1 are those of input i, and `indices` holds their outputs. CSC: positions
csc_indptr[o], ..., csc_indptr[o + 1] - 1 are those of output o, `csc_indices` holds their inputs, and `csc_order` the
number of each weight in the vector of weights, which is in CSR's order. COO: `rows` and `indices`, one of each for
every weight. indptr is int64, indices and order int32: half the memory of what a kernel reads for each weight.
"""
from minnet.kernels.jit import kernel


@kernel
def flat_to_csr(flat, columns, indptr, indices):
    """Convert sorted flat positions in a matrix of that many columns to CSR.

    flat: (k,) int64; indptr: (rows + 1,) int64; indices: (k,) int32.
    """
    row = 0
    indptr[0] = 0
    base = 0  # row * columns: the row is found by counting, without a division for each weight
    for k in range(flat.size):
        while flat[k] >= base + columns:
            row += 1
            base += columns
            indptr[row] = k
        indices[k] = flat[k] - base
    for i in range(row + 1, indptr.size):
        indptr[i] = flat.size


@kernel
def csr_to_csc(indptr, indices, csc_indptr, csc_indices, csc_order):
    """Convert CSR to CSC; the rows of a column are ascending.

    indptr: (rows + 1,) and indices: (k,), CSR; csc_indptr: (columns + 1,) int64; csc_indices, csc_order: (k,) int32.
    """
    # a counting sort: how many weights each column has, then where each column begins
    csc_indptr[:] = 0
    for k in range(indices.size):
        csc_indptr[indices[k] + 1] += 1
    for o in range(csc_indptr.size - 1):
        csc_indptr[o + 1] += csc_indptr[o]
    # csc_indptr[o] is moved on with each weight of column o, and is where the next column begins in the end
    for i in range(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            at = csc_indptr[indices[k]]
            csc_indices[at] = i
            csc_order[at] = k
            csc_indptr[indices[k]] += 1
    for o in range(csc_indptr.size - 1, 0, -1):
        csc_indptr[o] = csc_indptr[o - 1]
    csc_indptr[0] = 0


@kernel
def coo_rows(indptr, rows):
    """Compute rows[k] = the row of weight k. indptr: (rows + 1,) int64, CSR; rows: (k,) int32."""
    for i in range(indptr.size - 1):
        rows[indptr[i] : indptr[i + 1]] = i
