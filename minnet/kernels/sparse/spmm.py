"""Training with the live weights of a dense layer alone: forward, and backward to its weights and to its input.

    find_places(index, first, unit)                       # where the weights of each input are
    turn_places(first, unit, u_first, source, place)      # the same by output
    find_inputs(first, row)                               # the input of each weight
    by_feature(x, xt)                                     # (n, in) -> (in, lanes)
    pull_live(u_first, source, place, w, bias, xt, yt)    # y = x W + b
    live_backward(first, unit, w, xt, dyt, g, dxt)        # the gradients of weights and input
    push_each(row, unit, w, xt, yt)                       # y += x W, and the gradients, for a few lanes
    each_gradient(row, unit, xt, dyt, g)
    each_backward(row, unit, w, xt, dyt, g, dxt)

Activations lie by feature: a row holds one feature of the whole batch, so that a live weight is one multiply-add of a
row, and its gradient one product of two rows. A row has `lanes` entries: a multiple of 16, or in the kernels of *each*
2, 4 or 8; those beyond the batch are 0 in x and in dy. The weights of a layer are sorted by input, then by output:
weights first[i], ..., first[i + 1] - 1 are those of input i, and `unit` holds their outputs.

With few lanes the work of one weight is so little that the end of each input's weights, which nobody foresees, takes
as long as ten of them. It is then better not to look for these ends: `row` holds the input of each.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import always_inline, as_nonnegative, noalias, prefetch
from minnet.kernels.simd.transpose import TILE, transpose_tile
from minnet.kernels.simd.vector import DOTS_AT_ONCE, GATHER_FMA, VECTOR_OPS

VECTOR, FEW = 16, 8  # lanes come in multiples of VECTOR, or where a batch has FEW rows or less in a power of two
LINE, AHEAD = 16, 512  # entries of a line of the cache; how many before it is needed `*_each` asks for it
AT_ONCE = 4    # places where `each_backward` is at the same time: a sum waits for the one before, others do not


def _over(width):
    """What the live weights of one feature do over `width` lanes, from lane c on: (push, gradient).

    They are weights begin, ..., end - 1; the features at their other ends are in `row`; the feature's own lanes begin
    at s in x, at t in what is written.
    """
    runs = VECTOR_OPS[width]
    add, dot, add_dots, any_nonzero = runs.add_scaled, runs.dot, runs.add_dots, runs.any_nonzero

    @register_jitable
    def push(begin, end, row, w, lanes, c, x, s, y):
        always_inline()
        if any_nonzero(x, s + c):
            for number in range(begin, end):
                k = as_nonnegative(number)
                add(y, as_nonnegative(row[k]) * lanes + c, w[k], x, s + c)

    @register_jitable
    def gradient(begin, end, row, lanes, c, x, s, dy, g):
        always_inline()
        if any_nonzero(x, s + c):
            ones = end - (end - begin) % DOTS_AT_ONCE
            for number in range(begin, ones, DOTS_AT_ONCE):
                add_dots(x, s + c, dy, c, lanes, row, as_nonnegative(number), g)
            for number in range(ones, end):
                k = as_nonnegative(number)
                g[k] += dot(x, s + c, dy, as_nonnegative(row[k]) * lanes + c)

    return push, gradient


def _each_over(width):
    """What weights do one by one over `width` lanes, inputs in `row`, outputs in `unit`: (push, gradient, both)."""
    add, dot = VECTOR_OPS[width].add_scaled, VECTOR_OPS[width].dot

    @register_jitable
    def push(row, unit, w, x, y):
        always_inline()
        for number in range(row.size):
            k = as_nonnegative(number)
            if k % LINE == 0:
                prefetch(row, k + AHEAD), prefetch(unit, k + AHEAD), prefetch(w, k + AHEAD)
            add(y, as_nonnegative(unit[k]) * width, w[k], x, as_nonnegative(row[k]) * width)

    @register_jitable
    def gradient(row, unit, x, dy, g):
        always_inline()
        for number in range(row.size):
            k = as_nonnegative(number)
            if k % LINE == 0:
                prefetch(row, k + AHEAD), prefetch(unit, k + AHEAD)
            g[k] = dot(x, as_nonnegative(row[k]) * width, dy, as_nonnegative(unit[k]) * width)

    @register_jitable
    def both(row, unit, w, x, dy, g, dx):
        always_inline()
        stretch = row.size // AT_ONCE
        for number in range(stretch):
            for j in range(AT_ONCE):
                k = as_nonnegative(number + j * stretch)
                if number % LINE == 0:
                    prefetch(row, k + AHEAD), prefetch(unit, k + AHEAD), prefetch(w, k + AHEAD)
                s, t = as_nonnegative(row[k]) * width, as_nonnegative(unit[k]) * width
                add(dx, s, w[k], dy, t)
                g[k] = dot(x, s, dy, t)
        for number in range(AT_ONCE * stretch, row.size):
            k = as_nonnegative(number)
            s, t = as_nonnegative(row[k]) * width, as_nonnegative(unit[k]) * width
            add(dx, s, w[k], dy, t)
            g[k] = dot(x, s, dy, t)

    return push, gradient, both


push_each_2, gradient_each_2, both_each_2 = _each_over(2)
push_each_4, gradient_each_4, both_each_4 = _each_over(4)
push_each_8, gradient_each_8, both_each_8 = _each_over(8)
(push_16, gradient_16), (push_32, gradient_32), (push_64, gradient_64) = _over(16), _over(32), _over(64)
gather_fma_16, gather_fma_32, gather_fma_64 = GATHER_FMA[16], GATHER_FMA[32], GATHER_FMA[64]


@register_jitable
def pull(begin, end, row, w, place, b, lanes, c, x, y, t):
    """y[t + c : t + c + lanes] = b + the sum over k of w[k] times the lanes of x that begin c behind those of row[k].

    Where `place` is not None, weight k is w[place[k]].
    """
    always_inline()
    n, wide, one = end - begin, lanes - lanes % 64, y.dtype.type(1)
    for at in range(c, c + wide, 64):
        gather_fma_64(y, t + at, b, x, at, lanes, row, w, place, (begin, begin, n), one)
    if lanes & 32:
        gather_fma_32(y, t + c + wide, b, x, c + wide, lanes, row, w, place, (begin, begin, n), one)
    if lanes & 16:
        at = c + lanes - 16
        gather_fma_16(y, t + at, b, x, at, lanes, row, w, place, (begin, begin, n), one)


@register_jitable
def push(begin, end, row, w, lanes, c, x, s, y):
    """The lanes of y that begin c behind those of row[k] += w[k] x[s + c : s + c + lanes], for each k."""
    always_inline()
    wide = lanes - lanes % 64
    for at in range(c, c + wide, 64):
        push_64(begin, end, row, w, lanes, at, x, s, y)
    if lanes & 32:
        push_32(begin, end, row, w, lanes, c + wide, x, s, y)
    if lanes & 16:
        push_16(begin, end, row, w, lanes, c + lanes - 16, x, s, y)


@register_jitable
def gradient(begin, end, row, lanes, c, x, s, dy, g):
    """g[k] += x[s + c : s + c + lanes] . the lanes of dy that begin c behind those of row[k], for each k."""
    always_inline()
    wide = lanes - lanes % 64
    for at in range(c, c + wide, 64):
        gradient_64(begin, end, row, lanes, at, x, s, dy, g)
    if lanes & 32:
        gradient_32(begin, end, row, lanes, c + wide, x, s, dy, g)
    if lanes & 16:
        gradient_16(begin, end, row, lanes, c + lanes - 16, x, s, dy, g)


@register_jitable
def wide_lanes(n):
    """How long the row of a feature is for a batch of n, whole vectors."""
    return -(-n // VECTOR) * VECTOR


@register_jitable
def lanes_of(n):
    """The same, but 2, 4 or 8 for so few rows."""
    few = 2
    while few < n:
        few *= 2
    return few if n <= FEW else wide_lanes(n)


@kernel
def by_feature(x, y):
    """y[j, :n] = x[:, j], and 0 beyond. x: (n, m); y: (m, lanes)."""
    noalias()
    n, m, lanes = np.int64(x.shape[0]), np.int64(x.shape[1]), np.int64(y.shape[1])
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
def by_row(x, y):
    """y[i] = x[:, i]: the way back. x: (m, lanes); y: (n, m)."""
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
    """out[j] = the sum of row j: the gradient of the biases. dy: (o, lanes); out: (o,)."""
    for j in range(out.size):
        total = dy[j, 0]
        for i in range(1, dy.shape[1]):
            total += dy[j, i]
        out[j] = total


@kernel
def find_places(index, outputs, first, unit):
    """From sorted flat positions in (in, outputs): where the weights of each input begin, and the output of each.

    index: (k,) int64; first: (in + 1,) int64; unit: (k,) int32.
    """
    row = 0
    first[0] = 0
    base = 0
    for k in range(index.size):
        while index[k] >= base + outputs:
            row += 1
            base += outputs
            first[row] = k
        unit[k] = index[k] - base
    for i in range(row + 1, first.size):
        first[i] = index.size


@kernel
def turn_places(first, unit, u_first, source, place):
    """The same weights by output, inputs ascending: where each output's begin, their inputs, and which weight each is.

    first: (in + 1,) and unit: (k,), by input; u_first: (out + 1,) int64; source, place: (k,) int32.
    """
    u_first[:] = 0
    for k in range(unit.size):
        u_first[unit[k] + 1] += 1
    for o in range(u_first.size - 1):
        u_first[o + 1] += u_first[o]
    for i in range(first.size - 1):
        for k in range(first[i], first[i + 1]):
            at = u_first[unit[k]]
            source[at] = i
            place[at] = k
            u_first[unit[k]] += 1
    for o in range(u_first.size - 1, 0, -1):  # each now stands where the next one begins
        u_first[o] = u_first[o - 1]
    u_first[0] = 0


@kernel
def find_inputs(first, row):
    """row[k] = the input of weight k. first: (in + 1,) int64; row: (k,) int32."""
    for i in range(first.size - 1):
        row[first[i] : first[i + 1]] = i


@kernel
def pull_live(u_first, source, place, w, bias, x, y):
    """y[o] = bias[o] + the sum over k of w[place[k]] x[source[k]], k from u_first[o] to u_first[o + 1] - 1.

    u_first, source, place: by output. w: (k,); bias: (out,); x: (in, lanes); y: (out, lanes), lanes a multiple of 16.
    """
    noalias()
    lanes, xs, ys = np.int64(x.shape[1]), x.reshape(-1), y.reshape(-1)
    for o in range(u_first.size - 1):
        pull(u_first[o], u_first[o + 1], source, w, place, bias[o], lanes, 0, xs, ys, np.int64(o * lanes))


@kernel
def live_gradient(first, unit, x, dy, g):
    """g[k] = x[i] . dy[unit[k]] for the weights k of each input i: dW at the live weights; inputs that are 0 are
    skipped.

    x: (in, lanes); dy: (out, lanes), lanes a multiple of 16; g: (k,).
    """
    noalias()
    lanes, xs, dys = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1)
    g[first[0] : first[first.size - 1]] = 0
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        gradient(begin, end, unit, lanes, 0, xs, s, dys, g)


@kernel
def live_backward(first, unit, w, x, dy, g, dx):
    """As `live_gradient`, and dx[i] = the sum over the weights k of input i of w[k] dy[unit[k]]. dx: (in, lanes).

    Both in one go: the rows of dy that an input needs are loaded once, or are in the cache the second time.
    """
    noalias()
    lanes, xs, dys, dxs = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    g[first[0] : first[first.size - 1]] = 0
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        pull(begin, end, unit, w, None, dx.dtype.type(0), lanes, 0, dys, dxs, s)
        gradient(begin, end, unit, lanes, 0, xs, s, dys, g)


@kernel
def push_each(row, unit, w, x, y):
    """y[unit[k]] += w[k] x[row[k]] for all weights k. row, unit: (k,); x: (in, lanes); y: (out, lanes); lanes < VECTOR.
    """
    noalias()
    lanes, xs, ys = x.shape[1], x.reshape(-1), y.reshape(-1)
    if lanes == 2:
        push_each_2(row, unit, w, xs, ys)
    elif lanes == 4:
        push_each_4(row, unit, w, xs, ys)
    else:
        push_each_8(row, unit, w, xs, ys)


@kernel
def each_gradient(row, unit, x, dy, g):
    """g[k] = x[row[k]] . dy[unit[k]] for all weights k. Arrays as in `push_each`; dy: (out, lanes); g: (k,)."""
    noalias()
    lanes, xs, dys = x.shape[1], x.reshape(-1), dy.reshape(-1)
    if lanes == 2:
        gradient_each_2(row, unit, xs, dys, g)
    elif lanes == 4:
        gradient_each_4(row, unit, xs, dys, g)
    else:
        gradient_each_8(row, unit, xs, dys, g)


@kernel
def each_backward(row, unit, w, x, dy, g, dx):
    """As `each_gradient`, and dx[row[k]] += w[k] dy[unit[k]]. w: (k,); dx: (in, lanes)."""
    noalias()
    lanes, xs, dys, dxs = x.shape[1], x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    if lanes == 2:
        both_each_2(row, unit, w, xs, dys, g, dxs)
    elif lanes == 4:
        both_each_4(row, unit, w, xs, dys, g, dxs)
    else:
        both_each_8(row, unit, w, xs, dys, g, dxs)
