"""Emit dense layers and convolutions, each by one of four kernels.

DENSE multiplies all weights, SPARSE the live ones, BLOCK each block of four neighbouring units that has a live weight
(on a single sample, blocks of four inputs by four units), N_M the same number of each four inputs: the largest number
of live weights in any four.
"""
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from minnet.engine.padding import Window
from minnet.kernels.program import interpreter as opcodes
from minnet.kernels.program.planes import BLOCK_PLANES, DENSE_PLANES
from minnet.kernels.program.rows import MASK_INPUTS, ROWS, WORD_BITS
from minnet.runtime.emitter import Emitter
from minnet.runtime.graph import LinearNode, PoolNode
from minnet.runtime.layout import Tensor, rounded

MACS_PER_COPY = 32  # multiply-adds that take as long as to copy a value
POOLED = 2**18      # values computed before they are pooled: they stay in the second-level cache
DENSE, BLOCK, N_M, SPARSE = KERNELS = ("dense", "block", "n_m", "sparse")


@dataclass(frozen=True)
class PlaneWeights:
    """A layer's weights in the layout of a kernel that computes `planes` planes at a time, a group.

    `first`, `start`, `weight`, `bias` and `scale` are positions in the program's `index`, `weights` and `value`:
    first[g] is where group g begins in `start` and `weight`, start[k] the offset in x at which weight k begins to
    read. For DENSE, in which all groups are equally long, `first` is that length. `stride` is the distance from one
    group to the next in `first` and in `weight`.
    """

    kernel: int
    planes: int
    first: int
    start: int
    weight: int
    bias: int
    scale: int
    stride: tuple[int, int]


def emit_linear(emitter: Emitter, node: LinearNode, x: Tensor) -> Tensor:
    """Emit a linear layer by the kernel that `emitter.kernels` gives it."""
    kernel = emitter.kernels[node.name]
    if node.window is not None:
        return conv_planes(emitter, node, x, kernel)
    if emitter.tile == 1:
        return ROW_KERNELS[kernel](emitter, node, x)
    weights = PLANE_KERNELS[kernel](emitter, node, x.offsets())
    y = padded_planes(emitter, node.units, (1, 1), weights.planes)
    for groups in split_groups(emitter, node, weights):
        plane_step(emitter, weights, (1, emitter.tile, x.offset, 0), y, groups)
    return replace(y, flat=True)


def padded_planes(emitter: Emitter, units: int, image: tuple[int, int], planes: int, pitch: int | None = None,
                  plane: int | None = None) -> Tensor:
    """Allocate `units` planes, and memory up to a multiple of `planes`, the number that a kernel writes at once."""
    y = emitter.tensor((*image, rounded(units, planes)), pitch=pitch, plane=plane)
    return replace(y, channels=units)


def weights_of(node: LinearNode, kernel: str, tile: int) -> int:
    """Count the weights that a kernel multiplies, zeros included."""
    if kernel == BLOCK:
        return node.block_weights(1 if tile > 1 or node.window else ROWS)
    if kernel == N_M:
        return node.most_of_four * -(-node.full[0] // ROWS) * node.units
    return math.prod(node.full) if kernel == DENSE else node.n_live


# --- one sample ------------------------------------------------------------------------------------------------------


def dense_row(emitter: Emitter, node: LinearNode, x: Tensor) -> Tensor:
    """Emit a step with all weights, with rows of zeros up to a multiple of ROWS."""
    y, offsets = emitter.compact_tensor(node.shape), x.offsets()
    padding = -len(offsets) % ROWS
    place = emitter.add_indices(np.concatenate([offsets, np.zeros(padding)]))
    weight = emitter.add_weights(node.matrix())
    emitter.add_weights(np.zeros(padding * node.units))
    emitter.step(opcodes.DENSE_ROW, x.offset, y.offset, node.units, len(offsets) + padding, place, 0, 0, weight,
                 *emitter.add_unit_values(node))
    return y


def block_row(emitter: Emitter, node: LinearNode, x: Tensor) -> Tensor:
    """Emit a step with the blocks of each four inputs that have a live weight."""
    offsets, (inputs, units) = x.offsets(), node.full
    high, wide = rounded(inputs, ROWS), rounded(units, BLOCK_PLANES)
    y, matrix = padded_planes(emitter, units, (1, 1), BLOCK_PLANES), np.zeros((high, wide), emitter.dtype)
    matrix[:inputs, :units] = node.matrix()
    blocks = matrix.reshape(high // ROWS, ROWS, -1, BLOCK_PLANES).transpose(0, 2, 1, 3)
    four, block = np.nonzero(blocks.any(axis=(2, 3)))
    place = emitter.add_indices(np.concatenate([offsets, np.zeros(high - inputs)]))
    first = emitter.add_indices(indptr_of(four, len(blocks)))
    emitter.step(opcodes.BLOCK_ROW, x.offset, y.offset, units, high, place, first,
                 emitter.add_indices(block * BLOCK_PLANES), emitter.add_weights(blocks[four, block]),
                 *emitter.add_unit_values(node, BLOCK_PLANES))
    return replace(y, flat=True)


def n_m_row(emitter: Emitter, node: LinearNode, x: Tensor) -> Tensor:
    """Emit a step with n weights of each four inputs of a unit: its live ones, and zeros if there are fewer."""
    offsets, (inputs, units), n = x.offsets(), node.full, max(node.most_of_four, 1)
    fours = np.zeros((rounded(inputs, ROWS), units), emitter.dtype)
    fours[:inputs] = node.matrix()
    fours = fours.reshape(-1, ROWS, units)
    chosen = np.sort(np.argsort(fours == 0, axis=1, kind="stable")[:, :n], axis=1)  # (fours, n, units): live ones first
    per = WORD_BITS // (2 * n)  # fours of which the columns, of two bits each, fit in a word
    bits = np.zeros((rounded(len(fours), per), n, units), np.uint32)
    bits[: len(fours)] = chosen
    shifts = 2 * np.arange(per * n, dtype=np.uint32)
    words = (bits.reshape(-1, per * n, units) << shifts[:, None]).sum(axis=1, dtype=np.uint32)
    y = emitter.compact_tensor(node.shape)
    place = emitter.add_indices(np.concatenate([offsets, np.zeros(-inputs % ROWS)]))
    column = emitter.add_indices(words.reshape(-1))
    weight = emitter.add_weights(np.take_along_axis(fours, chosen, axis=1))
    emitter.step(opcodes.N_M_ROW, x.offset, y.offset, units, ROWS * len(fours), place, n, column, weight,
                 *emitter.add_unit_values(node))
    return y


def sparse_row(emitter: Emitter, node: LinearNode, x: Tensor) -> Tensor:
    """Emit a step with the live weights of each value of x; values of x without meaning have none."""
    y, (index, live), inputs = emitter.compact_tensor(node.shape), node.live(), rounded(x.size, MASK_INPUTS)
    source, unit = np.divmod(index, node.units)
    place = x.offsets()[source]
    order = np.argsort(place, kind="stable")
    first = emitter.add_indices(indptr_of(place, inputs))
    emitter.step(opcodes.SPARSE_ROW, x.offset, y.offset, node.units, inputs, 0, first,
                 emitter.add_indices(unit[order]), emitter.add_weights(live[order]), *emitter.add_unit_values(node))
    return y


def indptr_of(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Return CSR's indptr (n_rows + 1,) of entries whose rows are `rows`, in any order."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])


# --- planes ----------------------------------------------------------------------------------------------------------


def dense_weights(emitter: Emitter, node: LinearNode, starts: np.ndarray) -> PlaneWeights:
    """Lay out all weights in groups of DENSE_PLANES planes: (groups, starts, planes).

    `starts` (K,) are the offsets in x at which each row of the weight's matrix (K, units) begins to read.
    """
    order = np.argsort(starts, kind="stable")
    groups = plane_groups(node, DENSE_PLANES)[:, order]
    start, weight = emitter.add_indices(starts[order]), emitter.add_weights(groups)
    return PlaneWeights(opcodes.DENSE, DENSE_PLANES, len(starts), start, weight,
                        *emitter.add_unit_values(node, DENSE_PLANES), (0, len(starts) * DENSE_PLANES))


def block_weights(emitter: Emitter, node: LinearNode, starts: np.ndarray) -> PlaneWeights:
    """Lay out groups of BLOCK_PLANES planes, each with the starts at which one of its planes has a live weight."""
    order = np.argsort(starts, kind="stable")
    groups = plane_groups(node, BLOCK_PLANES)[:, order]
    group, row = np.nonzero(groups.any(axis=2))
    first = emitter.add_indices(indptr_of(group, len(groups)))
    start, weight = emitter.add_indices(starts[order][row]), emitter.add_weights(groups[group, row])
    return PlaneWeights(opcodes.BLOCK, BLOCK_PLANES, first, start, weight,
                        *emitter.add_unit_values(node, BLOCK_PLANES), (1, 0))


def sparse_weights(emitter: Emitter, node: LinearNode, starts: np.ndarray) -> PlaneWeights:
    """Lay out the live weights of each plane, sorted by their starts: (K,), or (K, units) if units read different x."""
    index, live = node.live()
    row, unit = np.divmod(index, node.units)
    reads = starts[row, unit] if starts.ndim == 2 else starts[row]
    order = np.lexsort((reads, unit))
    first = emitter.add_indices(indptr_of(unit, node.units))
    start, weight = emitter.add_indices(reads[order]), emitter.add_weights(live[order])
    return PlaneWeights(opcodes.SPARSE, 1, first, start, weight, *emitter.add_unit_values(node), (1, 0))


def plane_groups(node: LinearNode, planes: int) -> np.ndarray:
    """Return the weight's matrix (K, units) as (groups, K, planes), zero-padded to whole groups."""
    matrix = node.matrix()
    whole = np.zeros((len(matrix), rounded(node.units, planes)), matrix.dtype)
    whole[:, : node.units] = matrix
    return whole.reshape(len(matrix), -1, planes).transpose(1, 0, 2)


def plane_step(emitter: Emitter, weights: PlaneWeights, source: tuple[int, int, int, int], y: Tensor,
               groups: tuple[int, int], into: int | None = None) -> None:
    """Emit one step for the planes of `groups` (first, end), written to their place in y, or from `into` on.

    `source` is (lines, run, x, x_line).
    """
    group, plane = groups[0], groups[0] * weights.planes
    emitter.step(weights.kernel, groups[1] * weights.planes - plane, *source,
                 y.offset + plane * y.plane if into is None else into, y.plane, y.line,
                 weights.first + group * weights.stride[0], weights.start, weights.weight + group * weights.stride[1],
                 weights.bias + plane, weights.scale + plane)


def split_groups(emitter: Emitter, node: LinearNode, weights: PlaneWeights) -> Iterator[tuple[int, int]]:
    """Split a layer's groups into tasks, (first, end) of each."""
    macs = emitter.tile * node.positions * math.prod(node.full)
    return emitter.split(-(-node.units // weights.planes), macs / MACS_PER_COPY)


# --- convolutions ----------------------------------------------------------------------------------------------------


def conv_planes(emitter: Emitter, node: LinearNode, x: Tensor, kernel: str) -> Tensor:
    """Emit a convolution; a run is a line of a tile, or the whole image of a single sample."""
    window, (lines, columns) = node.window, node.window.output
    phases = split_phases(emitter, x, window)
    if emitter.tile == 1:
        pitch, plane = phases.pitch, rounded((lines - 1) * phases.pitch + columns)
        source = (1, plane, phases.offset, 0)
    else:
        pitch, plane = columns, lines * columns * emitter.tile
        source = (lines, columns * emitter.tile, phases.offset, phases.line)
    weights = PLANE_KERNELS[kernel](emitter, node, tap_offsets(node, x, phases))
    if node.pooling is None:
        y = padded_planes(emitter, node.units, window.output, weights.planes, pitch, plane)
        for groups in split_groups(emitter, node, weights):
            plane_step(emitter, weights, source, y, groups)
    else:
        y = conv_pool_planes(emitter, node, weights, source, (pitch, plane))
    if phases is not x:
        emitter.free(phases)
    return y


def conv_pool_planes(emitter: Emitter, node: LinearNode, weights: PlaneWeights, source: tuple[int, int, int, int],
                     sizes: tuple[int, int]) -> Tensor:
    """Emit a convolution and its pool, a few planes at a time: they are pooled while they are in the cache.

    Each task has buffers of its own for these planes and for a line of them. `sizes` are (pitch, plane).
    """
    y, (pitch, plane) = emitter.tensor(node.pooling.shape), sizes
    groups, buffers = max(1, POOLED // (weights.planes * plane)), []
    for begin, end in split_groups(emitter, node, weights):
        planes = weights.planes * min(groups, end - begin)
        unpooled = emitter.tensor((*node.window.output, planes), pitch=pitch, plane=plane)
        buffers += [unpooled.offset, emitter.memory.allocate(unpooled.width)]
        for group in range(begin, end, groups):
            first, stop = group * weights.planes, min(group + groups, end) * weights.planes
            plane_step(emitter, weights, source, unpooled, (group, min(group + groups, end)), unpooled.offset)
            pool_step(emitter, node.pooling, unpooled, replace(y, offset=y.offset + first * y.plane),
                      min(stop, node.units) - first, buffers[-1])
    for buffer in buffers:
        emitter.memory.free(buffer)
    return y


def tap_offsets(node: LinearNode, x: Tensor, phases: Tensor) -> np.ndarray:
    """Return the offsets in `split_phases` of the first pixel that each tap and channel reads: (kh*kw*c,).

    For a layer of groups, whose units read channels of their own group, (kh*kw*c, units), c of a group.
    """
    window, (stride_h, stride_w) = node.window, node.window.stride
    h, w = np.divmod(np.arange(math.prod(window.kernel)), window.kernel[1])
    h, w = h * window.dilation[0], w * window.dilation[1]
    phase = (h % stride_h) * min(stride_w, window.extent[1]) + w % stride_w
    tap = phase * x.channels * phases.plane + (h // stride_h) * phases.line + (w // stride_w) * x.tile
    inputs = np.arange(x.channels // node.groups)
    if node.groups == 1:
        return (tap[:, None] + inputs * phases.plane).reshape(-1)
    group = np.arange(node.units) // (node.units // node.groups)
    channel = inputs[:, None] + group * len(inputs)  # (c, units)
    return (tap[:, None, None] + channel * phases.plane).reshape(-1, node.units)


def split_phases(emitter: Emitter, x: Tensor, window: Window) -> Tensor:
    """Emit x with its padding, and for a stride s as s x s images of every s-th pixel: windows then move by one.

    Image (a, b) of channel c is plane (a * min(s, extent_w) + b) * channels + c. Without padding and stride it is x.
    """
    if not window.padded and window.stride == (1, 1):
        return x
    height, phases_h = _phases(x.height, window.extent[0], window.stride[0], window.top, window.output[0])
    width, phases_w = _phases(x.width, window.extent[1], window.stride[1], window.left, window.output[1])
    y = emitter.tensor((height, width, len(phases_h) * len(phases_w) * x.channels))
    if window.padded:
        for c, end in emitter.split(y.channels, y.size):
            emitter.step(opcodes.CLEAR, y.offset + c * y.plane, (end - c) * y.plane)
    for i, (to_h, from_h, lines) in enumerate(phases_h):
        for j, (to_w, from_w, columns) in enumerate(phases_w):
            source = x.offset + from_h * x.line + from_w * x.tile
            target = y.offset + (i * len(phases_w) + j) * x.channels * y.plane + to_h * y.line + to_w * x.tile
            runs = (1, columns * x.tile) if window.stride[1] == 1 else (columns, x.tile)
            for c, end in emitter.split(x.channels, x.size):
                emitter.step(opcodes.COPY, end - c, lines, *runs, source + c * x.plane, x.plane,
                             window.stride[0] * x.line, window.stride[1] * x.tile, target + c * y.plane, y.plane,
                             y.line, x.tile)
    return y


def _phases(size, extent, stride, before, output):
    """Return (length of each phase, [(to, from, count) of each phase]) along one side."""
    length, found = output + (extent - 1) // stride, []
    for phase in range(min(stride, extent)):
        to = max(-((phase - before) // stride), 0)
        end = min((size - 1 + before - phase) // stride + 1, length)
        found.append((to, to * stride + phase - before, max(end - to, 0)))
    return length, found


def pool_step(emitter: Emitter, pool: PoolNode, x: Tensor, y: Tensor, planes: int, buffer: int) -> None:
    """Emit the pooling of the first `planes` planes of x into y; `buffer` is the offset of memory for a line of x."""
    window = pool.window
    halve = window.kernel == window.stride == (2, 2) and not window.padded
    kernel = opcodes.POOL_TILE if x.tile > 1 else opcodes.HALVE_IMAGE if halve else opcodes.POOL_IMAGE
    emitter.step(kernel, planes, y.height, y.width, emitter.tile, x.offset, x.plane, x.line, x.height, x.width,
                 *window.kernel, *window.stride, window.top, window.left, y.offset, y.plane, y.line, pool.average,
                 buffer)


ROW_KERNELS = {DENSE: dense_row, BLOCK: block_row, N_M: n_m_row, SPARSE: sparse_row}
PLANE_KERNELS = {DENSE: dense_weights, BLOCK: block_weights, SPARSE: sparse_weights}
