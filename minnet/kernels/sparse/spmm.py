"""Products of a sparse layer's live weights with a batch: forward, and backward to weights and to input.

    to_feature_major(x, xt)                                         # (n, in) -> (in, lanes)
    gather_csc(csc_indptr, csc_indices, csc_order, w, bias, xt, yt)  # y = x W + b
    backward_csr(indptr, indices, w, xt, dyt, g, dxt)               # the gradients of weights and input
    scatter_coo(rows, indices, w, xt, yt)                           # y += x W, and the gradients, for a few lanes
    gradient_coo(rows, indices, xt, dyt, g)
    backward_coo(rows, indices, w, xt, dyt, g, dxt)

Activations are feature-major, (features, lanes): a row holds one feature of the whole batch, so that a live weight is
one multiply-add of a row, and its gradient one product of two rows. `lanes` is the size of the batch, padded with
zeros in x and in dy: to a multiple of 16, or for the COO kernels to 2, 4 or 8. See csr.py for the index arrays.

With few lanes the work of one weight is so little that the loop over the weights of an input, whose end is
mispredicted, costs as much as ten of them. The COO kernels have one loop over all weights instead.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import always_inline, as_nonnegative, noalias, prefetch
from minnet.kernels.simd.transpose import TILE, transpose_tile
from minnet.kernels.simd.vector import DOTS_AT_ONCE, GATHER_FMA, VECTOR_OPS

VECTOR = 16  # lanes come in multiples of this, a register of float32
FEW = 8      # rows of a batch up to which lanes are a power of two instead
LINE = 16    # int32 or float32 entries of a cache line: one prefetch for each
PREFETCH_AHEAD = 512  # entries between what the COO kernels prefetch and what they use: the latency of the memory
STREAMS = 4  # ranges of weights that `backward_coo` takes in turn: sums of one wait for each other, of four they do not


def _csr_products(width):
    """Return (scatter, gradient): products of the weights of one feature with `width` of its lanes, from lane c on.

    The weights are begin, ..., end - 1, the features at their other ends are in `indices`; the feature's own lanes
    begin at s in x.
    """
    ops = VECTOR_OPS[width]
    add, dot, add_dots, any_nonzero = ops.add_scaled, ops.dot, ops.add_dots, ops.any_nonzero

    @register_jitable
    def scatter(begin, end, indices, w, lanes, c, x, s, y):
        always_inline()
        # after a ReLU many features are 0 in all lanes: one test skips all their weights
        if any_nonzero(x, s + c):
            for number in range(begin, end):
                k = as_nonnegative(number)
                add(y, as_nonnegative(indices[k]) * lanes + c, w[k], x, s + c)

    @register_jitable
    def gradient(begin, end, indices, lanes, c, x, s, dy, g):
        always_inline()
        if any_nonzero(x, s + c):
            # sums of several products are reduced together, the rest one by one
            ones = end - (end - begin) % DOTS_AT_ONCE
            for number in range(begin, ones, DOTS_AT_ONCE):
                add_dots(x, s + c, dy, c, lanes, indices, as_nonnegative(number), g)
            for number in range(ones, end):
                k = as_nonnegative(number)
                g[k] += dot(x, s + c, dy, as_nonnegative(indices[k]) * lanes + c)

    return scatter, gradient


def _coo_products(width):
    """Return (scatter, gradient, both): products of all weights with `width` lanes, one weight after the other."""
    add, dot = VECTOR_OPS[width].add_scaled, VECTOR_OPS[width].dot

    @register_jitable
    def scatter(rows, indices, w, x, y):
        always_inline()
        for number in range(rows.size):
            k = as_nonnegative(number)
            if k % LINE == 0:
                prefetch(rows, k + PREFETCH_AHEAD), prefetch(indices, k + PREFETCH_AHEAD)
                prefetch(w, k + PREFETCH_AHEAD)
            add(y, as_nonnegative(indices[k]) * width, w[k], x, as_nonnegative(rows[k]) * width)

    @register_jitable
    def gradient(rows, indices, x, dy, g):
        always_inline()
        for number in range(rows.size):
            k = as_nonnegative(number)
            if k % LINE == 0:
                prefetch(rows, k + PREFETCH_AHEAD), prefetch(indices, k + PREFETCH_AHEAD)
            g[k] = dot(x, as_nonnegative(rows[k]) * width, dy, as_nonnegative(indices[k]) * width)

    @register_jitable
    def both(rows, indices, w, x, dy, g, dx):
        always_inline()
        # weights in order are mostly of the same input, and each would wait until dx of the one before is stored
        size = rows.size // STREAMS
        for number in range(size):
            for j in range(STREAMS):
                k = as_nonnegative(number + j * size)
                if number % LINE == 0:
                    prefetch(rows, k + PREFETCH_AHEAD), prefetch(indices, k + PREFETCH_AHEAD)
                    prefetch(w, k + PREFETCH_AHEAD)
                s, t = as_nonnegative(rows[k]) * width, as_nonnegative(indices[k]) * width
                add(dx, s, w[k], dy, t)
                g[k] = dot(x, s, dy, t)
        for number in range(STREAMS * size, rows.size):
            k = as_nonnegative(number)
            s, t = as_nonnegative(rows[k]) * width, as_nonnegative(indices[k]) * width
            add(dx, s, w[k], dy, t)
            g[k] = dot(x, s, dy, t)

    return scatter, gradient, both


scatter_coo_2, gradient_coo_2, backward_coo_2 = _coo_products(2)
scatter_coo_4, gradient_coo_4, backward_coo_4 = _coo_products(4)
scatter_coo_8, gradient_coo_8, backward_coo_8 = _coo_products(8)
scatter_16, gradient_16 = _csr_products(16)
scatter_32, gradient_32 = _csr_products(32)
scatter_64, gradient_64 = _csr_products(64)
gather_fma_16, gather_fma_32, gather_fma_64 = GATHER_FMA[16], GATHER_FMA[32], GATHER_FMA[64]


@register_jitable
def gather(begin, end, indices, w, order, b, lanes, c, x, y, t):
    """Compute y[t + c + j] = b + the sum over k of w[k] x[indices[k] * lanes + c + j], for j < lanes.

    Where `order` is not None, weight k is w[order[k]].
    """
    always_inline()
    # 64 lanes at a time, then 32, then 16: four registers keep enough sums under way to hide the latency of each
    n, wide, one = end - begin, lanes - lanes % 64, y.dtype.type(1)
    for at in range(c, c + wide, 64):
        gather_fma_64(y, t + at, b, x, at, lanes, indices, w, order, (begin, begin, n), one)
    if lanes & 32:
        gather_fma_32(y, t + c + wide, b, x, c + wide, lanes, indices, w, order, (begin, begin, n), one)
    if lanes & 16:
        at = c + lanes - 16
        gather_fma_16(y, t + at, b, x, at, lanes, indices, w, order, (begin, begin, n), one)


@register_jitable
def scatter(begin, end, indices, w, lanes, c, x, s, y):
    """Add w[k] x[s + c + j] to y[indices[k] * lanes + c + j], for each k and j < lanes."""
    always_inline()
    wide = lanes - lanes % 64
    for at in range(c, c + wide, 64):
        scatter_64(begin, end, indices, w, lanes, at, x, s, y)
    if lanes & 32:
        scatter_32(begin, end, indices, w, lanes, c + wide, x, s, y)
    if lanes & 16:
        scatter_16(begin, end, indices, w, lanes, c + lanes - 16, x, s, y)


@register_jitable
def gradient(begin, end, indices, lanes, c, x, s, dy, g):
    """Add the sum over j < lanes of x[s + c + j] dy[indices[k] * lanes + c + j] to g[k], for each k."""
    always_inline()
    wide = lanes - lanes % 64
    for at in range(c, c + wide, 64):
        gradient_64(begin, end, indices, lanes, at, x, s, dy, g)
    if lanes & 32:
        gradient_32(begin, end, indices, lanes, c + wide, x, s, dy, g)
    if lanes & 16:
        gradient_16(begin, end, indices, lanes, c + lanes - 16, x, s, dy, g)


@register_jitable
def whole_vectors(n):
    """Return the lanes of a batch of n: n rounded up to whole vectors."""
    return -(-n // VECTOR) * VECTOR


@register_jitable
def padded_batch(n):
    """Return the lanes of a batch of n: 2, 4 or 8 if it has few rows, else whole vectors."""
    few = 2
    while few < n:
        few *= 2
    return few if n <= FEW else whole_vectors(n)


@kernel
def to_feature_major(x, y):
    """Compute y[j, i] = x[i, j] for i < n, and 0 beyond. x: (n, m); y: (m, lanes)."""
    noalias()
    n, m, lanes = np.int64(x.shape[0]), np.int64(x.shape[1]), np.int64(y.shape[1])
    # whole tiles are transposed in registers; then come the features and the rows that are left over, and the padding
    xs, ys, high, wide = x.reshape(-1), y.reshape(-1), n - n % TILE, m - m % TILE
    for i in range(0, high, TILE):
        for j in range(0, wide, TILE):
            transpose_tile(xs, i * m + j, m, ys, j * lanes + i, lanes)
    for j in range(m):
        for i in range(high if j < wide else 0, n):
            y[j, i] = x[i, j]
        for i in range(n, lanes):
            y[j, i] = 0


@kernel
def to_row_major(x, y):
    """Compute y[i, j] = x[j, i], the inverse of `to_feature_major`. x: (m, lanes); y: (n, m)."""
    noalias()
    n, m, lanes = np.int64(y.shape[0]), np.int64(y.shape[1]), np.int64(x.shape[1])
    xs, ys, high, wide = x.reshape(-1), y.reshape(-1), n - n % TILE, m - m % TILE
    for i in range(0, high, TILE):
        for j in range(0, wide, TILE):
            transpose_tile(xs, j * lanes + i, lanes, ys, i * m + j, m)
    for i in range(n):
        for j in range(wide if i < high else 0, m):
            y[i, j] = x[j, i]


@kernel
def row_sums(dy, out):
    """Compute out[j] = the sum of row j, the gradient of the biases. dy: (o, lanes); out: (o,)."""
    for j in range(out.size):
        total = dy[j, 0]
        for i in range(1, dy.shape[1]):
            total += dy[j, i]
        out[j] = total


@kernel
def gather_csc(csc_indptr, csc_indices, csc_order, w, bias, x, y):
    """Compute y[o] = bias[o] + the sum over the weights k of output o of w[csc_order[k]] x[csc_indices[k]].

    w: (k,); bias: (out,); x: (in, lanes); y: (out, lanes), lanes a multiple of 16.
    """
    noalias()
    lanes, xs, ys = np.int64(x.shape[1]), x.reshape(-1), y.reshape(-1)
    for o in range(csc_indptr.size - 1):
        begin, end, t = csc_indptr[o], csc_indptr[o + 1], np.int64(o * lanes)
        gather(begin, end, csc_indices, w, csc_order, bias[o], lanes, 0, xs, ys, t)


@kernel
def gradient_csr(indptr, indices, x, dy, g):
    """Compute g[k] = x[i] . dy[indices[k]] for the weights k of each input i; inputs that are 0 are skipped.

    x: (in, lanes); dy: (out, lanes), lanes a multiple of 16; g: (k,).
    """
    noalias()
    lanes, xs, dys = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1)
    g[indptr[0] : indptr[indptr.size - 1]] = 0
    for i in range(indptr.size - 1):
        begin, end, s = indptr[i], indptr[i + 1], np.int64(i * lanes)
        gradient(begin, end, indices, lanes, 0, xs, s, dys, g)


@kernel
def backward_csr(indptr, indices, w, x, dy, g, dx):
    """Compute `gradient_csr`, and dx[i] = the sum over the weights k of input i of w[k] dy[indices[k]].

    dx: (in, lanes). In one pass: the rows of dy that an input needs are read twice, the second time from the cache.
    """
    noalias()
    lanes, xs, dys, dxs = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    g[indptr[0] : indptr[indptr.size - 1]] = 0
    for i in range(indptr.size - 1):
        begin, end, s = indptr[i], indptr[i + 1], np.int64(i * lanes)
        gather(begin, end, indices, w, None, dx.dtype.type(0), lanes, 0, dys, dxs, s)
        gradient(begin, end, indices, lanes, 0, xs, s, dys, g)


@kernel
def scatter_coo(rows, indices, w, x, y):
    """Add w[k] x[rows[k]] to y[indices[k]] for all weights k.

    rows, indices, w: (k,); x: (in, lanes); y: (out, lanes); lanes 2, 4 or 8.
    """
    noalias()
    lanes, xs, ys = x.shape[1], x.reshape(-1), y.reshape(-1)
    if lanes == 2:
        scatter_coo_2(rows, indices, w, xs, ys)
    elif lanes == 4:
        scatter_coo_4(rows, indices, w, xs, ys)
    else:
        scatter_coo_8(rows, indices, w, xs, ys)


@kernel
def gradient_coo(rows, indices, x, dy, g):
    """Compute g[k] = x[rows[k]] . dy[indices[k]] for all weights k. As in `scatter_coo`; dy: (out, lanes); g: (k,)."""
    noalias()
    lanes, xs, dys = x.shape[1], x.reshape(-1), dy.reshape(-1)
    if lanes == 2:
        gradient_coo_2(rows, indices, xs, dys, g)
    elif lanes == 4:
        gradient_coo_4(rows, indices, xs, dys, g)
    else:
        gradient_coo_8(rows, indices, xs, dys, g)


@kernel
def backward_coo(rows, indices, w, x, dy, g, dx):
    """Compute `gradient_coo`, and add w[k] dy[indices[k]] to dx[rows[k]]. w: (k,); dx: (in, lanes)."""
    noalias()
    lanes, xs, dys, dxs = x.shape[1], x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    if lanes == 2:
        backward_coo_2(rows, indices, w, xs, dys, g, dxs)
    elif lanes == 4:
        backward_coo_4(rows, indices, w, xs, dys, g, dxs)
    else:
        backward_coo_8(rows, indices, w, xs, dys, g, dxs)
