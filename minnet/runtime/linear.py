"""The linear layers' part of `emit`: dense layers and convolutions, each by one of four kernels.

DENSE multiplies all weights, SPARSE the live ones, BLOCK blocks of four neighbouring units in which one lives (on a
single sample, of four inputs by four units), N_M as many weights of each four as live in the fullest four.
"""
import math
from dataclasses import dataclass, replace

import numpy as np

from minnet.kernels.program import interpreter as do
from minnet.kernels.program.planes import BLOCK_PLANES, DENSE_PLANES
from minnet.kernels.program.rows import MASK_INPUTS, ROWS, WORD_BITS
from minnet.runtime.layout import rounded

MACS_LIKE_A_COPY = 32  # multiply-adds that take as long as to copy a number
POOLED = 2**18         # numbers that are computed before they are pooled: they stay in the second-level cache
DENSE, BLOCK, N_M, SPARSE = KERNELS = ("dense", "block", "n_m", "sparse")


@dataclass(frozen=True)
class Weights:
    """A layer's numbers as a kernel of planes takes them: for groups of so many planes, and where they stand in
    `index`, `weights` and `value`. `stride` is from one group to the next in `first` and in `weight`."""

    kernel: int
    planes: int
    first: int
    start: int
    weight: int
    bias: int
    scale: int
    stride: tuple


def emit_linear(made, node, x):
    """A linear layer."""
    kernel = made.kernels[node.name]
    if node.window is not None:
        return conv_planes(made, node, x, kernel)
    if made.tile == 1:
        return ROW_KERNELS[kernel](made, node, x)
    weights = PLANE_KERNELS[kernel](made, node, x.places())
    y = roomy(made, node.units, (1, 1), weights.planes)
    for part in parts_of(made, node, weights):
        plane_step(made, weights, (1, made.tile, x.offset, 0), y, part)
    return replace(y, flat=True)


def roomy(made, units, image, planes, pitch=None, plane=None):
    """A tensor of `units` planes with room for a multiple of `planes`: a kernel that does several at once writes it."""
    y = made.tensor((*image, rounded(units, planes)), pitch=pitch, plane=plane)
    return replace(y, channels=units)


# --- one sample ------------------------------------------------------------------------------------------------------


def dense_row(made, node, x):
    """All weights, with rows of zeros up to a multiple of ROWS."""
    y, places = made.like(node.shape), x.places()
    more = -len(places) % ROWS
    place, weight = made.index(np.concatenate([places, np.zeros(more)])), made.weight(node.matrix())
    made.weight(np.zeros(more * node.units))
    made.step(do.DENSE_ROW, x.offset, y.offset, node.units, len(places) + more, place, 0, 0, weight,
              *made.by_unit(node))
    return y


def block_row(made, node, x):
    """Fours of inputs, each with its blocks."""
    places, (inputs, units) = x.places(), node.full
    high, wide = rounded(inputs, ROWS), rounded(units, BLOCK_PLANES)
    y, matrix = roomy(made, units, (1, 1), BLOCK_PLANES), np.zeros((high, wide), made.dtype)
    matrix[:inputs, :units] = node.matrix()
    blocks = matrix.reshape(high // ROWS, ROWS, -1, BLOCK_PLANES).transpose(0, 2, 1, 3)
    four, block = np.nonzero(blocks.any(axis=(2, 3)))
    first = np.concatenate([[0], np.cumsum(np.bincount(four, minlength=len(blocks)))])
    place, first = made.index(np.concatenate([places, np.zeros(high - inputs)])), made.index(first)
    made.step(do.BLOCK_ROW, x.offset, y.offset, units, high, place, first, made.index(block * BLOCK_PLANES),
              made.weight(blocks[four, block]), *made.by_unit(node, BLOCK_PLANES))
    return replace(y, flat=True)


def n_m_row(made, node, x):
    """Of each four inputs the n that a unit has, or fewer and zeros."""
    places, (inputs, units), n = x.places(), node.full, max(node.most_of_four, 1)
    fours = np.zeros((rounded(inputs, ROWS), units), made.dtype)
    fours[:inputs] = node.matrix()
    fours = fours.reshape(-1, ROWS, units)
    chosen = np.sort(np.argsort(fours == 0, axis=1, kind="stable")[:, :n], axis=1)  # (fours, n, units): live ones first
    per = WORD_BITS // (2 * n)
    bits = np.zeros((rounded(len(fours), per), n, units), np.uint32)
    bits[: len(fours)] = chosen
    shifts = 2 * np.arange(per * n, dtype=np.uint32)
    words = (bits.reshape(-1, per * n, units) << shifts[:, None]).sum(axis=1, dtype=np.uint32)
    y, place = made.like(node.shape), made.index(np.concatenate([places, np.zeros(-inputs % ROWS)]))
    column, weight = made.index(words.reshape(-1)), made.weight(np.take_along_axis(fours, chosen, axis=1))
    made.step(do.N_M_ROW, x.offset, y.offset, units, ROWS * len(fours), place, n, column, weight,
              *made.by_unit(node))
    return y


def sparse_row(made, node, x):
    """The numbers of x, each with its weights: none where it means nothing."""
    y, (index, live), inputs = made.like(node.shape), node.live(), rounded(x.size, MASK_INPUTS)
    source, unit = np.divmod(index, node.units)
    place = x.places()[source]
    order = np.argsort(place, kind="stable")
    first = made.index(np.concatenate([[0], np.cumsum(np.bincount(place, minlength=inputs))]))
    made.step(do.SPARSE_ROW, x.offset, y.offset, node.units, inputs, 0, first, made.index(unit[order]),
              made.weight(live[order]), *made.by_unit(node))
    return y


# --- planes ----------------------------------------------------------------------------------------------------------


def dense_weights(made, node, starts):
    """All weights in groups of DENSE_PLANES planes: (groups, starts, planes).

    `starts` (K,) says where in x each row of the weight's matrix (K, units) begins to read.
    """
    order = np.argsort(starts, kind="stable")
    groups = grouped(node, DENSE_PLANES)[:, order]
    start = made.index(starts[order])
    return Weights(do.DENSE, DENSE_PLANES, len(starts), start, made.weight(groups), *made.by_unit(node, DENSE_PLANES),
                   (0, len(starts) * DENSE_PLANES))


def block_weights(made, node, starts):
    """Groups of BLOCK_PLANES planes, each with the starts at which one of them has a live weight."""
    order = np.argsort(starts, kind="stable")
    groups = grouped(node, BLOCK_PLANES)[:, order]
    group, row = np.nonzero(groups.any(axis=2))
    first = made.index(np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(groups)))]))
    return Weights(do.BLOCK, BLOCK_PLANES, first, made.index(starts[order][row]), made.weight(groups[group, row]),
                   *made.by_unit(node, BLOCK_PLANES), (1, 0))


def sparse_weights(made, node, starts):
    """The live weights of each plane, by their starts."""
    index, live = node.live()
    row, unit = np.divmod(index, node.units)
    start = starts[row, unit] if starts.ndim == 2 else starts[row]
    order = np.lexsort((start, unit))
    first = made.index(np.concatenate([[0], np.cumsum(np.bincount(unit, minlength=node.units))]))
    start, weight = made.index(start[order]), made.weight(live[order])
    return Weights(do.SPARSE, 1, first, start, weight, *made.by_unit(node), (1, 0))


def grouped(node, planes):
    """The weight's matrix (K, units) as (groups, K, planes), with zeros for planes that are not there."""
    matrix = node.matrix()
    whole = np.zeros((len(matrix), rounded(node.units, planes)), matrix.dtype)
    whole[:, : node.units] = matrix
    return whole.reshape(len(matrix), -1, planes).transpose(1, 0, 2)


def plane_step(made, weights, source, y, part, into=None):
    """The planes of some groups, `part` (first, end), in one step, to y or from `into` on.

    `source` is (lines, run, x, x_line).
    """
    group, plane = part[0], part[0] * weights.planes
    made.step(weights.kernel, part[1] * weights.planes - plane, *source,
              y.offset + plane * y.plane if into is None else into, y.plane, y.line,
              weights.first + group * weights.stride[0], weights.start, weights.weight + group * weights.stride[1],
              weights.bias + plane, weights.scale + plane)


def parts_of(made, node, weights):
    """Parts of a layer's groups, (first, end)."""
    macs = made.tile * node.positions * math.prod(node.full)
    return made.parts(-(-node.units // weights.planes), macs / MACS_LIKE_A_COPY)


# --- convolutions ----------------------------------------------------------------------------------------------------


def conv_planes(made, node, x, kernel):
    """A run is a line of a tile, or the whole image of one sample."""
    at, (lines, columns) = node.window, node.window.output
    ready = spread(made, x, at)
    if made.tile == 1:
        pitch, plane = ready.pitch, rounded((lines - 1) * ready.pitch + columns)
        source = (1, plane, ready.offset, 0)
    else:
        pitch, plane = columns, lines * columns * made.tile
        source = (lines, columns * made.tile, ready.offset, ready.line)
    weights = PLANE_KERNELS[kernel](made, node, tap_places(node, x, ready))
    if node.pooling is None:
        y = roomy(made, node.units, at.output, weights.planes, pitch, plane)
        for part in parts_of(made, node, weights):
            plane_step(made, weights, source, y, part)
    else:
        y = pooled(made, node, weights, source, (pitch, plane))
    if ready is not x:
        made.give_back(ready)
    return y


def pooled(made, node, weights, source, sizes):
    """Some planes at a time are computed, and pooled while they are in the cache: each thread has room for that."""
    y, (pitch, plane) = made.tensor(node.pooling.shape), sizes
    groups, rooms = max(1, POOLED // (weights.planes * plane)), []
    for begin, end in parts_of(made, node, weights):
        planes = weights.planes * min(groups, end - begin)
        own = made.tensor((*node.window.output, planes), pitch=pitch, plane=plane)
        rooms += [own.offset, made.memory.take(own.width)]
        for group in range(begin, end, groups):
            first, stop = group * weights.planes, min(group + groups, end) * weights.planes
            plane_step(made, weights, source, own, (group, min(group + groups, end)), own.offset)
            pool_step(made, node.pooling, own, replace(y, offset=y.offset + first * y.plane),
                      min(stop, node.units) - first, rooms[-1])
    for room in rooms:
        made.memory.give_back(room)
    return y


def tap_places(node, x, ready):
    """Where in the planes of `spread` each tap and channel of the window sees its first pixel: (kh*kw*c,).

    For a depthwise layer, whose units have a channel each, (kh*kw, units).
    """
    (kernel_h, kernel_w), (stride_h, stride_w) = node.window.kernel, node.window.stride
    h, w = np.divmod(np.arange(kernel_h * kernel_w), kernel_w)
    phase = (h % stride_h) * min(stride_w, kernel_w) + w % stride_w
    tap = phase * x.channels * ready.plane + (h // stride_h) * ready.line + (w // stride_w) * x.tile
    if node.multiplier:
        return tap[:, None] + np.arange(node.units) // node.multiplier * ready.plane
    return (tap[:, None] + np.arange(x.channels) * ready.plane).reshape(-1)


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
        for c, end in made.parts(y.channels, y.size):
            made.step(do.CLEAR, y.offset + c * y.plane, (end - c) * y.plane)
    for i, (to_h, from_h, lines) in enumerate(phases_h):
        for j, (to_w, from_w, columns) in enumerate(phases_w):
            source = x.offset + from_h * x.line + from_w * x.tile
            target = y.offset + (i * len(phases_w) + j) * x.channels * y.plane + to_h * y.line + to_w * x.tile
            runs = (1, columns * x.tile) if at.stride[1] == 1 else (columns, x.tile)
            for c, end in made.parts(x.channels, x.size):
                made.step(do.COPY, end - c, lines, *runs, source + c * x.plane, x.plane, at.stride[0] * x.line,
                          at.stride[1] * x.tile, target + c * y.plane, y.plane, y.line, x.tile)
    return y


def _phases(size, kernel, stride, before, output):
    """(length of each phase, [(to, from, how many) of each]) along one side."""
    length, found = output + (kernel - 1) // stride, []
    for phase in range(min(stride, kernel)):
        to = max(-((phase - before) // stride), 0)
        end = min((size - 1 + before - phase) // stride + 1, length)
        found.append((to, to * stride + phase - before, max(end - to, 0)))
    return length, found


def pool_step(made, pool, x, y, planes, room):
    """Pool some planes of x into y; `room` is where a line of x may be kept."""
    at = pool.window
    halve = at.kernel == at.stride == (2, 2) and not at.padded
    kernel = do.POOL_TILE if x.tile > 1 else do.HALVE_IMAGE if halve else do.POOL_IMAGE
    made.step(kernel, planes, y.height, y.width, made.tile, x.offset, x.plane, x.line, x.height, x.width, *at.kernel,
              *at.stride, at.top, at.left, y.offset, y.plane, y.line, pool.average, room)


ROW_KERNELS = {DENSE: dense_row, BLOCK: block_row, N_M: n_m_row, SPARSE: sparse_row}
PLANE_KERNELS = {DENSE: dense_weights, BLOCK: block_weights, SPARSE: sparse_weights}
