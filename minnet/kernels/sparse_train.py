"""Training with the live weights of a dense layer alone: forward, and backward to its weights and to its input.

    find_places(index, first, unit)                       # where the weights of each input are
    turn_places(first, unit, u_first, source, place)      # the same by output
    by_feature(x, xt)                                     # (n, in) -> (in, lanes)
    pull_live(u_first, source, place, w, bias, xt, yt)    # y = x W + b
    live_backward(first, unit, w, xt, dyt, g, dxt)        # the gradients of weights and input

Activations lie by feature: a row holds one feature of the whole batch, so that a live weight is one multiply-add of a
row, and its gradient one product of two rows. A row has `lanes` entries: 2, 4, 8 or a multiple of 16; those beyond the
batch are 0 in x and in dy. The weights of a layer are sorted by input, then by output: weights first[i], ...,
first[i + 1] - 1 are those of input i, and `unit` holds their outputs.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.hints import apart
from minnet.kernels.jit import kernel
from minnet.kernels.lanes import LANES

VECTOR = 16    # lanes come in multiples of this, when there are so many
BLOCK = 16     # features that are turned at once: a cache line
add_2, dot_2 = LANES[2]
add_4, dot_4 = LANES[4]
add_8, dot_8 = LANES[8]
add_16, dot_16 = LANES[16]
add_32, dot_32 = LANES[32]
add_64, dot_64 = LANES[64]


@register_jitable
def lanes_of(n):
    """How long the row of a feature is for a batch of n."""
    few = 2
    while few < n and few < VECTOR:
        few *= 2
    return few if few < VECTOR else -(-n // VECTOR) * VECTOR


@kernel
def by_feature(x, y):
    """y[j, :n] = x[:, j], and 0 beyond. x: (n, m); y: (m, lanes)."""
    n, m = x.shape
    for start in range(0, m, BLOCK):
        stop = min(start + BLOCK, m)
        for i in range(n):
            for j in range(start, stop):
                y[j, i] = x[i, j]
    for j in range(m):
        for i in range(n, y.shape[1]):
            y[j, i] = 0


@kernel
def by_row(x, y):
    """y[i] = x[:, i]: the way back. x: (m, lanes); y: (n, m)."""
    n, m = y.shape
    for start in range(0, m, BLOCK):
        stop = min(start + BLOCK, m)
        for i in range(n):
            for j in range(start, stop):
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
def pull_live(u_first, source, place, w, bias, x, y):
    """y[o] = bias[o] + the sum over k of w[place[k]] x[source[k]], k from u_first[o] to u_first[o + 1] - 1.

    u_first, source, place: by output. w: (k,); bias: (out,); x: (in, lanes); y: (out, lanes), lanes a multiple of 16.
    """
    apart()
    lanes, xs, ys = np.int64(x.shape[1]), x.reshape(-1), y.reshape(-1)
    wide = lanes - lanes % 64
    for o in range(u_first.size - 1):
        begin, end, t = u_first[o], u_first[o + 1], np.int64(o * lanes)
        for j in range(lanes):
            ys[t + j] = bias[o]
        for c in range(0, wide, 64):
            for k in range(begin, end):
                add_64(ys, t + c, w[place[k]], xs, source[k] * lanes + c)
        if lanes & 32:
            for k in range(begin, end):
                add_32(ys, t + wide, w[place[k]], xs, source[k] * lanes + wide)
        if lanes & 16:
            c = lanes - 16
            for k in range(begin, end):
                add_16(ys, t + c, w[place[k]], xs, source[k] * lanes + c)


@kernel
def push_live(first, unit, w, bias, x, y):
    """The same by input, for few lanes (2, 4 or 8): w is read from end to end. x: (in, lanes); y: (out, lanes)."""
    for o in range(bias.size):
        for j in range(y.shape[1]):
            y[o, j] = bias[o]
    push_more(first, unit, w, x, y)


@kernel
def push_more(first, unit, w, x, y):
    """y[unit[k]] += w[k] x[i] for the weights k of each input i; inputs that are 0 for the whole batch are passed over.

    x: (in, lanes), of 2, 4 or 8 lanes; y: (out, lanes). `first` may be a part of the whole, with the same part of x.
    """
    apart()
    lanes, xs, ys = np.int64(x.shape[1]), x.reshape(-1), y.reshape(-1)
    for i in range(first.size - 1):
        s = np.int64(i * lanes)
        largest = abs(xs[s])
        for j in range(1, lanes):
            largest += abs(xs[s + j])
        if largest == 0:
            continue
        for k in range(first[i], first[i + 1]):
            if lanes == 2:
                add_2(ys, unit[k] * lanes, w[k], xs, s)
            elif lanes == 4:
                add_4(ys, unit[k] * lanes, w[k], xs, s)
            else:
                add_8(ys, unit[k] * lanes, w[k], xs, s)


@kernel
def live_gradient(first, unit, x, dy, g):
    """g[k] = x[i] . dy[unit[k]] for the weights k of each input i: dW at the live weights; rows of zeros are skipped.

    x: (in, lanes); dy: (out, lanes); g: (k,).
    """
    apart()
    lanes, xs, dys = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1)
    wide = lanes - lanes % 64
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        g[begin:end] = 0
        largest = abs(xs[s])
        for j in range(1, lanes):
            largest += abs(xs[s + j])
        if largest == 0:
            continue
        for c in range(0, wide, 64):
            for k in range(begin, end):
                g[k] += dot_64(xs, s + c, dys, unit[k] * lanes + c)
        if lanes & 32:
            for k in range(begin, end):
                g[k] += dot_32(xs, s + wide, dys, unit[k] * lanes + wide)
        c = lanes - lanes % 32
        if lanes & 16:
            for k in range(begin, end):
                g[k] += dot_16(xs, s + c, dys, unit[k] * lanes + c)
        elif lanes == 8:
            for k in range(begin, end):
                g[k] = dot_8(xs, s, dys, unit[k] * lanes)
        elif lanes == 4:
            for k in range(begin, end):
                g[k] = dot_4(xs, s, dys, unit[k] * lanes)
        elif lanes == 2:
            for k in range(begin, end):
                g[k] = dot_2(xs, s, dys, unit[k] * lanes)


@kernel
def live_backward(first, unit, w, x, dy, g, dx):
    """As `live_gradient`, and dx[i] = the sum over the weights k of input i of w[k] dy[unit[k]]. dx: (in, lanes).

    Both in one go: a row of dy is loaded once.
    """
    apart()
    lanes, xs, dys, dxs = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    wide = lanes - lanes % 64
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        g[begin:end] = 0
        for j in range(lanes):
            dxs[s + j] = 0
        for c in range(0, wide, 64):
            for k in range(begin, end):
                t = unit[k] * lanes + c
                add_64(dxs, s + c, w[k], dys, t)
                g[k] += dot_64(xs, s + c, dys, t)
        if lanes & 32:
            for k in range(begin, end):
                t = unit[k] * lanes + wide
                add_32(dxs, s + wide, w[k], dys, t)
                g[k] += dot_32(xs, s + wide, dys, t)
        c = lanes - lanes % 32
        if lanes & 16:
            for k in range(begin, end):
                t = unit[k] * lanes + c
                add_16(dxs, s + c, w[k], dys, t)
                g[k] += dot_16(xs, s + c, dys, t)
        elif lanes == 8:
            for k in range(begin, end):
                add_8(dxs, s, w[k], dys, unit[k] * lanes)
                g[k] = dot_8(xs, s, dys, unit[k] * lanes)
        elif lanes == 4:
            for k in range(begin, end):
                add_4(dxs, s, w[k], dys, unit[k] * lanes)
                g[k] = dot_4(xs, s, dys, unit[k] * lanes)
        elif lanes == 2:
            for k in range(begin, end):
                add_2(dxs, s, w[k], dys, unit[k] * lanes)
                g[k] = dot_2(xs, s, dys, unit[k] * lanes)
