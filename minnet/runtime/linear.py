"""The linear layers' part of `emit`: dense layers and convolutions, by sparse kernels or by BLAS."""
from dataclasses import replace

import numpy as np

from minnet.kernels import interpret as do
from minnet.runtime.layout import rounded

DENSE, SPARSE = "dense", "sparse"  # the kernels
COLUMN_BYTES = 2**20  # what the copied windows of a dense convolution may take: a part of the second-level cache
FOUR = 4              # inputs that dense_row takes at once


def emit_linear(made, node, x):
    """A linear layer: what kind, and by which kernel."""
    dense = made.kernels[node.name] == DENSE and not node.multiplier
    if node.window is not None:
        return (dense_conv if dense else sparse_conv)(made, node, x)
    if made.tile == 1:
        return (dense_row if dense else scatter_row)(made, node, x)
    return (dense_units if dense else sparse_units)(made, node, x)


def sparse_units(made, node, x):
    """A tile: each live weight times a run of `tile` numbers."""
    y, (index, live) = made.like(node.shape), node.live()
    source, unit = np.divmod(index, node.units)
    sparse_step(made, node, live, unit, x.places()[source], (1, made.tile, x.offset, 0), y)
    return y


def dense_units(made, node, x):
    """A tile: W' times a matrix (in, tile), by BLAS; its columns in the order in which the inputs stand."""
    row = x if x.compact else made.like((x.channels * x.height * x.width,))
    if row is not x:
        made.row(x, row.offset)
    y = made.like(node.shape)
    order = np.argsort(row.places())
    made.product(np.array(node.matrix()[order].T, order="C"), row.offset, y.offset, made.tile)
    add_bias(made, node, y)
    if row is not x:
        made.give_back(row)
    return y


def scatter_row(made, node, x):
    """One sample: live inputs, each with its weights."""
    y, (index, live) = made.like(node.shape), node.live()
    source, unit = np.divmod(index, node.units)
    inputs, count = np.unique(source, return_counts=True)
    place, first = made.index(x.places()[inputs]), made.index(np.concatenate([[0], np.cumsum(count)]))
    made.step(do.SCATTER, x.offset, y.offset, node.units, len(inputs), place, first, made.index(unit),
              made.value(live), made.value(node.bias))
    return y


def dense_row(made, node, x):
    """One sample: all weights, rows of zeros added up to a multiple of FOUR."""
    y, places = made.like(node.shape), x.places()
    more = -len(places) % FOUR
    place, weight = made.index(np.concatenate([places, np.zeros(more)])), made.value(node.matrix())
    made.value(np.zeros(more * node.units))
    made.step(do.DENSE_ROW, x.offset, y.offset, node.units, len(places) + more, place, weight, made.value(node.bias))
    return y


def add_bias(made, node, y):
    """What BLAS leaves to be done."""
    made.step(do.AFFINE, y.offset, y.channels, y.plane, made.value(np.ones(y.channels)), made.value(node.bias))


def sparse_step(made, node, live, unit, start, source, y):
    """The weights `live` by unit; `source` is (lines, run, x, x_line)."""
    order = np.lexsort((start, unit))
    first = made.index(np.concatenate([[0], np.cumsum(np.bincount(unit, minlength=node.units))]))
    starts, weight, bias = made.index(start[order]), made.value(live[order]), made.value(node.bias)
    if node.pooling is None:
        made.step(do.SPARSE, node.units, *source, y.offset, y.plane, y.line, first, starts, weight, bias)
        return y
    pooled = made.tensor(node.pooling.shape)
    for i in range(node.units):  # a plane at a time, while it is in the cache
        made.step(do.SPARSE, 1, *source, y.offset, y.plane, y.line, first + i, starts, weight, bias + i)
        pool_step(made, node.pooling, y, replace(pooled, offset=pooled.offset + i * pooled.plane), 1)
    return pooled


# --- convolutions ----------------------------------------------------------------------------------------------------


def sparse_conv(made, node, x):
    """Each live weight times a run of pixels: of a line of a tile, or of the whole image of one sample."""
    at, (lines, columns) = node.window, node.window.output
    ready = spread(made, x, at)
    if made.tile == 1:
        pitch, plane = ready.pitch, rounded((lines - 1) * ready.pitch + columns)
        source = (1, plane, ready.offset, 0)
    else:
        pitch, plane = columns, lines * columns * made.tile
        source = (lines, columns * made.tile, ready.offset, ready.line)
    planes = node.units if node.pooling is None else 1
    y = made.tensor((lines, columns, planes), pitch=pitch, plane=plane)
    index, live = node.live()
    result = sparse_step(made, node, live, index % node.units, tap_places(node, index, x, ready), source, y)
    made.give_back(*(tensor for tensor in (ready, y) if tensor not in (x, result)))
    return result


def tap_places(node, index, x, ready):
    """Where the pixel that the weight at each flat position sees first stands in the planes of `spread`."""
    rest, unit = np.divmod(index, node.units)
    tap, channel = np.divmod(rest, node.full[-2])
    if node.multiplier:
        channel = unit // node.multiplier
    return tap_place(node.window, x, ready, *np.divmod(tap, node.window.kernel[1])) + channel * ready.plane


def tap_place(at, x, ready, h, w):
    """The same for row h and column w of the window, channel 0."""
    (stride_h, stride_w), phases_w = at.stride, min(at.stride[1], at.kernel[1])
    phase = (h % stride_h) * phases_w + w % stride_w
    return phase * x.channels * ready.plane + (h // stride_h) * ready.line + (w // stride_w) * x.tile


def spread(made, x, at):
    """x with its padding, and for a stride s as s x s images, each of every s-th pixel: windows that move by one.

    Image (a, b) of channel c is plane (a * min(s, kernel_w) + b) * channels + c. Where nothing is to be done, x itself.
    """
    if not at.padded and at.stride == (1, 1):
        return x
    height, phases_h = _phases(x.height, at.kernel[0], at.stride[0], at.top, at.output[0])
    width, phases_w = _phases(x.width, at.kernel[1], at.stride[1], at.left, at.output[1])
    y = made.tensor((height, width, len(phases_h) * len(phases_w) * x.channels))
    if at.padded:
        made.step(do.CLEAR, y.offset, y.size)
    for i, (to_h, from_h, lines) in enumerate(phases_h):
        for j, (to_w, from_w, columns) in enumerate(phases_w):
            source = x.offset + from_h * x.line + from_w * x.tile
            target = y.offset + (i * len(phases_w) + j) * x.channels * y.plane + to_h * y.line + to_w * x.tile
            runs = (1, columns * x.tile) if at.stride[1] == 1 else (columns, x.tile)
            made.step(do.COPY, x.channels, lines, *runs, source, x.plane, at.stride[0] * x.line, at.stride[1] * x.tile,
                      target, y.plane, y.line, x.tile)
    return y


def _phases(size, kernel, stride, before, output):
    """(length of each phase, [(to, from, how many) of each]) along one side."""
    length, found = output + (kernel - 1) // stride, []
    for phase in range(min(stride, kernel)):
        to = max(-((phase - before) // stride), 0)
        end = min((size - 1 + before - phase) // stride + 1, length)
        found.append((to, to * stride + phase - before, max(end - to, 0)))
    return length, found


def dense_conv(made, node, x):
    """The windows of some lines at a time, copied side by side, times the weights, by BLAS."""
    ready, y = spread(made, x, node.window), made.tensor((*node.window.output, node.units))
    weight = np.array(node.matrix().T, order="C")  # (o, k*k*c)
    block = max(1, min(y.height, COLUMN_BYTES // (weight.shape[1] * y.line * made.dtype.itemsize)))
    windows, part = made.memory.take(weight.shape[1] * block * y.line), made.memory.take(node.units * block * y.line)
    for line in range(0, y.height, block):
        lines = min(block, y.height - line)
        copy_windows(made, node.window, x, ready, y, line, lines, windows)
        run = lines * y.line
        made.product(weight, windows, part, run)
        made.step(do.COPY, node.units, 1, 1, run, part, run, 0, 0, y.offset + line * y.line, y.plane, 0, 0)
    made.memory.give_back(windows)
    made.memory.give_back(part)
    add_bias(made, node, y)
    result = y
    if node.pooling is not None:
        result = made.tensor(node.pooling.shape)
        pool_step(made, node.pooling, y, result, y.channels)
    made.give_back(*(tensor for tensor in (ready, y) if tensor not in (x, result)))
    return result


def copy_windows(made, at, x, ready, y, line, lines, windows):
    """What the windows of some lines of y see: a row for each tap and channel, a run for each line, at `windows`."""
    for h in range(at.kernel[0]):
        for w in range(at.kernel[1]):
            source = ready.offset + tap_place(at, x, ready, h, w) + line * ready.line
            made.step(do.COPY, x.channels, lines, 1, y.line, source, ready.plane, ready.line, 0,
                      windows, lines * y.line, y.line, 0)
            windows += x.channels * lines * y.line


def pool_step(made, pool, x, y, planes):
    """Pool some planes of x into y."""
    at, room = pool.window, made.memory.take(x.width * x.tile)
    made.step(do.POOL, planes, y.height, y.width, made.tile, x.offset, x.plane, x.line, x.height, x.width, *at.kernel,
              *at.stride, at.top, at.left, y.offset, y.plane, y.line, pool.average, room)
    made.memory.give_back(room)
