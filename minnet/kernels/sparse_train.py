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
row, and its gradient one product of two rows. A row has `lanes` entries: 2, 4, 8 or a multiple of 16; those beyond the
batch are 0 in x and in dy. The weights of a layer are sorted by input, then by output: weights first[i], ...,
first[i + 1] - 1 are those of input i, and `unit` holds their outputs.

With few lanes the work of one weight is so little that the end of each input's weights, which nobody foresees, takes
as long as ten of them. It is then better not to look for these ends: `row` holds the input of each.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.hints import apart, offset, part, soon
from minnet.kernels.jit import kernel
from minnet.kernels.lanes import LANES, TOGETHER
from minnet.kernels.squares import SIDE, turn_square

VECTOR = 16    # lanes come in multiples of this, when there are so many
LINE, AHEAD = 16, 512  # entries of a line of the cache; how many before it is needed `*_each` asks for it
AT_ONCE = 4    # places where `each_backward` is at the same time: a sum waits for the one before, others do not


def _over(width):
    """What the live weights of one feature do over `width` lanes, from lane c on: (pull, gather, push, gradient, both).

    They are weights begin, ..., end - 1; the features at their other ends are in `row`; the feature's own lanes begin
    at s in x, at t in what is written. `both` is gather and gradient where there are no other lanes.
    """
    add, dot, add_dots, some, _ = LANES[width]

    @register_jitable
    def pull(begin, end, row, place, w, lanes, c, x, y, t):
        part()
        for number in range(begin, end):
            k = offset(number)
            add(y, t + c, w[offset(place[k])], x, offset(row[k]) * lanes + c)

    @register_jitable
    def gather(begin, end, row, w, lanes, c, x, y, t):
        part()
        for number in range(begin, end):
            k = offset(number)
            add(y, t + c, w[k], x, offset(row[k]) * lanes + c)

    @register_jitable
    def push(begin, end, row, w, lanes, c, x, s, y):
        part()
        if some(x, s + c):
            for number in range(begin, end):
                k = offset(number)
                add(y, offset(row[k]) * lanes + c, w[k], x, s + c)

    @register_jitable
    def gradient(begin, end, row, lanes, c, x, s, dy, g):
        part()
        if some(x, s + c):
            ones = end - (end - begin) % TOGETHER if width >= VECTOR else begin  # short ones are summed at once anyway
            for number in range(begin, ones, TOGETHER):
                add_dots(x, s + c, dy, c, lanes, row, offset(number), g)
            for number in range(ones, end):
                k = offset(number)
                g[k] += dot(x, s + c, dy, offset(row[k]) * lanes + c)

    @register_jitable
    def both(begin, end, row, w, lanes, x, s, dy, g, dx):
        part()
        for number in range(begin, end):
            k = offset(number)
            t = offset(row[k]) * lanes
            add(dx, s, w[k], dy, t)
            g[k] = dot(x, s, dy, t)

    return pull, gather, push, gradient, both


def _each_over(width):
    """What weights do one by one over `width` lanes, inputs in `row`, outputs in `unit`: (push, gradient, both)."""
    add, dot, _, _, _ = LANES[width]

    @register_jitable
    def push(row, unit, w, x, y):
        part()
        for number in range(row.size):
            k = offset(number)
            if k % LINE == 0:
                soon(row, k + AHEAD), soon(unit, k + AHEAD), soon(w, k + AHEAD)
            add(y, offset(unit[k]) * width, w[k], x, offset(row[k]) * width)

    @register_jitable
    def gradient(row, unit, x, dy, g):
        part()
        for number in range(row.size):
            k = offset(number)
            if k % LINE == 0:
                soon(row, k + AHEAD), soon(unit, k + AHEAD)
            g[k] = dot(x, offset(row[k]) * width, dy, offset(unit[k]) * width)

    @register_jitable
    def both(row, unit, w, x, dy, g, dx):
        part()
        stretch = row.size // AT_ONCE
        for number in range(stretch):
            for j in range(AT_ONCE):
                k = offset(number + j * stretch)
                if number % LINE == 0:
                    soon(row, k + AHEAD), soon(unit, k + AHEAD), soon(w, k + AHEAD)
                s, t = offset(row[k]) * width, offset(unit[k]) * width
                add(dx, s, w[k], dy, t)
                g[k] = dot(x, s, dy, t)
        for number in range(AT_ONCE * stretch, row.size):
            k = offset(number)
            s, t = offset(row[k]) * width, offset(unit[k]) * width
            add(dx, s, w[k], dy, t)
            g[k] = dot(x, s, dy, t)

    return push, gradient, both


_, gather_2, push_2, gradient_2, both_2 = _over(2)
_, gather_4, push_4, gradient_4, both_4 = _over(4)
_, gather_8, push_8, gradient_8, both_8 = _over(8)
push_each_2, gradient_each_2, both_each_2 = _each_over(2)
push_each_4, gradient_each_4, both_each_4 = _each_over(4)
push_each_8, gradient_each_8, both_each_8 = _each_over(8)
pull_16, gather_16, push_16, gradient_16, _ = _over(16)
pull_32, gather_32, push_32, gradient_32, _ = _over(32)
pull_64, gather_64, push_64, gradient_64, _ = _over(64)


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
    apart()
    n, m, lanes = np.int64(x.shape[0]), np.int64(x.shape[1]), np.int64(y.shape[1])
    xs, ys, high, wide = x.reshape(-1), y.reshape(-1), n - n % SIDE, m - m % SIDE
    for i in range(0, high, SIDE):
        for j in range(0, wide, SIDE):
            turn_square(xs, i * m + j, m, ys, j * lanes + i, lanes)
    for j in range(m):
        for i in range(high if j < wide else 0, n):
            y[j, i] = x[i, j]
        for i in range(n, lanes):
            y[j, i] = 0


@kernel
def by_row(x, y):
    """y[i] = x[:, i]: the way back. x: (m, lanes); y: (n, m)."""
    apart()
    n, m, lanes = np.int64(y.shape[0]), np.int64(y.shape[1]), np.int64(x.shape[1])
    xs, ys, high, wide = x.reshape(-1), y.reshape(-1), n - n % SIDE, m - m % SIDE
    for i in range(0, high, SIDE):
        for j in range(0, wide, SIDE):
            turn_square(xs, j * lanes + i, lanes, ys, i * m + j, m)
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
    apart()
    lanes, xs, ys = np.int64(x.shape[1]), x.reshape(-1), y.reshape(-1)
    wide = lanes - lanes % 64
    for o in range(u_first.size - 1):
        begin, end, t = u_first[o], u_first[o + 1], np.int64(o * lanes)
        for j in range(lanes):
            ys[t + j] = bias[o]
        for c in range(0, wide, 64):
            pull_64(begin, end, source, place, w, lanes, c, xs, ys, t)
        if lanes & 32:
            pull_32(begin, end, source, place, w, lanes, wide, xs, ys, t)
        if lanes & 16:
            pull_16(begin, end, source, place, w, lanes, lanes - 16, xs, ys, t)


@kernel
def push_live(first, unit, w, bias, x, y):
    """The same by input, for any number of lanes: w is read from end to end, and inputs that are 0 are passed over.

    x: (in, lanes); y: (out, lanes).
    """
    lanes, ys = np.int64(x.shape[1]), y.reshape(-1)
    for o in range(bias.size):
        b, t = bias[o], offset(o * lanes)
        for j in range(lanes):
            ys[t + j] = b
    push_more(first, unit, w, x, y)


@kernel
def push_more(first, unit, w, x, y):
    """y[unit[k]] += w[k] x[i] for the weights k of each input i; inputs that are 0 for the whole batch are passed over.

    x: (in, lanes); y: (out, lanes). `first` may be a part of the whole, with the same part of x.
    """
    apart()
    lanes, xs, ys = np.int64(x.shape[1]), x.reshape(-1), y.reshape(-1)
    wide = lanes - lanes % 64
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        for c in range(0, wide, 64):
            push_64(begin, end, unit, w, lanes, c, xs, s, ys)
        if lanes & 32:
            push_32(begin, end, unit, w, lanes, wide, xs, s, ys)
        if lanes & 16:
            push_16(begin, end, unit, w, lanes, lanes - 16, xs, s, ys)
        elif lanes == 8:
            push_8(begin, end, unit, w, lanes, 0, xs, s, ys)
        elif lanes == 4:
            push_4(begin, end, unit, w, lanes, 0, xs, s, ys)
        elif lanes == 2:
            push_2(begin, end, unit, w, lanes, 0, xs, s, ys)


@kernel
def live_gradient(first, unit, x, dy, g):
    """g[k] = x[i] . dy[unit[k]] for the weights k of each input i: dW at the live weights; inputs that are 0 are
    skipped.

    x: (in, lanes); dy: (out, lanes); g: (k,).
    """
    apart()
    lanes, xs, dys = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1)
    wide = lanes - lanes % 64
    g[first[0] : first[first.size - 1]] = 0
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        for c in range(0, wide, 64):
            gradient_64(begin, end, unit, lanes, c, xs, s, dys, g)
        if lanes & 32:
            gradient_32(begin, end, unit, lanes, wide, xs, s, dys, g)
        if lanes & 16:
            gradient_16(begin, end, unit, lanes, lanes - 16, xs, s, dys, g)
        elif lanes == 8:
            gradient_8(begin, end, unit, lanes, 0, xs, s, dys, g)
        elif lanes == 4:
            gradient_4(begin, end, unit, lanes, 0, xs, s, dys, g)
        elif lanes == 2:
            gradient_2(begin, end, unit, lanes, 0, xs, s, dys, g)


@kernel
def live_backward(first, unit, w, x, dy, g, dx):
    """As `live_gradient`, and dx[i] = the sum over the weights k of input i of w[k] dy[unit[k]]. dx: (in, lanes).

    Both in one go: the rows of dy that an input needs are loaded once, or are in the cache the second time.
    """
    apart()
    lanes, xs, dys, dxs = np.int64(x.shape[1]), x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    wide = lanes - lanes % 64
    g[first[0] : first[first.size - 1]] = 0
    for i in range(first.size - 1):
        begin, end, s = first[i], first[i + 1], np.int64(i * lanes)
        for j in range(lanes):
            dxs[s + j] = 0
        for c in range(0, wide, 64):
            gather_64(begin, end, unit, w, lanes, c, dys, dxs, s)
            gradient_64(begin, end, unit, lanes, c, xs, s, dys, g)
        if lanes & 32:
            gather_32(begin, end, unit, w, lanes, wide, dys, dxs, s)
            gradient_32(begin, end, unit, lanes, wide, xs, s, dys, g)
        if lanes & 16:
            gather_16(begin, end, unit, w, lanes, lanes - 16, dys, dxs, s)
            gradient_16(begin, end, unit, lanes, lanes - 16, xs, s, dys, g)
        elif lanes == 8:
            both_8(begin, end, unit, w, lanes, xs, s, dys, g, dxs)
        elif lanes == 4:
            both_4(begin, end, unit, w, lanes, xs, s, dys, g, dxs)
        elif lanes == 2:
            both_2(begin, end, unit, w, lanes, xs, s, dys, g, dxs)


@kernel
def push_each(row, unit, w, x, y):
    """y[unit[k]] += w[k] x[row[k]] for all weights k. row, unit: (k,); x: (in, lanes); y: (out, lanes); lanes < VECTOR.
    """
    apart()
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
    apart()
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
    apart()
    lanes, xs, dys, dxs = x.shape[1], x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    if lanes == 2:
        both_each_2(row, unit, w, xs, dys, g, dxs)
    elif lanes == 4:
        both_each_4(row, unit, w, xs, dys, g, dxs)
    else:
        both_each_8(row, unit, w, xs, dys, g, dxs)
