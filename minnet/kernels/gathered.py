"""Products with a matrix that is mostly zeros, written row by row: what an image with a dark background is.

    compress_rows(x, most, index, value, count)    # the nonzeros of each row of x
    turn(index, value, count, t_index, t_value, t_count)   # the same by column
    gather_rows(index, value, count, w, y)         # y = x @ w, and with the columns and dy: dw = x' @ dy

One kernel does both products: a row of the result is a few rows of a dense matrix, each times a number. Eight of them
are added at once, so that the row of the result is loaded and stored once per eight multiply-adds.
"""
from minnet.kernels.jit import kernel


@kernel
def compress_rows(x, most, index, value, count):
    """Where the nonzeros of each row are, and what; gives up, with count[-1] = -1, where there are more than `most`.

    x: (n, m); index: (n, m) int32; value: (n, m); count: (n,) int64.
    """
    total = 0
    for i in range(x.shape[0]):
        found = 0
        for j in range(x.shape[1]):
            index[i, found] = j
            value[i, found] = x[i, j]
            found += x[i, j] != 0
        count[i] = found
        total += found
        if total > most:
            count[-1] = -1
            return


@kernel
def turn(index, value, count, t_index, t_value, t_count):
    """The same nonzeros by column, rows ascending. t_index: (m, n) int32; t_value: (m, n); t_count: (m,) int64."""
    t_count[:] = 0
    for i in range(count.size):
        for k in range(count[i]):
            j = index[i, k]
            t_index[j, t_count[j]] = i
            t_value[j, t_count[j]] = value[i, k]
            t_count[j] += 1


@kernel
def gather_rows(index, value, count, w, y):
    """y[i] = sum over k < count[i] of value[i, k] * w[index[i, k]]. w: (m, o); y: (n, o), overwritten."""
    for i in range(y.shape[0]):
        end = count[i]
        y[i] = 0
        eights = end - end % 8
        for k in range(0, eights, 8):
            a0, a1, a2, a3 = index[i, k], index[i, k + 1], index[i, k + 2], index[i, k + 3]
            a4, a5, a6, a7 = index[i, k + 4], index[i, k + 5], index[i, k + 6], index[i, k + 7]
            v0, v1, v2, v3 = value[i, k], value[i, k + 1], value[i, k + 2], value[i, k + 3]
            v4, v5, v6, v7 = value[i, k + 4], value[i, k + 5], value[i, k + 6], value[i, k + 7]
            for j in range(y.shape[1]):
                y[i, j] += (v0 * w[a0, j] + v1 * w[a1, j] + v2 * w[a2, j] + v3 * w[a3, j]) + (
                    v4 * w[a4, j] + v5 * w[a5, j] + v6 * w[a6, j] + v7 * w[a7, j])
        for k in range(eights, end - end % 2, 2):
            a0, a1, v0, v1 = index[i, k], index[i, k + 1], value[i, k], value[i, k + 1]
            for j in range(y.shape[1]):
                y[i, j] += v0 * w[a0, j] + v1 * w[a1, j]
        for k in range(end - end % 2, end):
            a0, v0 = index[i, k], value[i, k]
            for j in range(y.shape[1]):
                y[i, j] += v0 * w[a0, j]
