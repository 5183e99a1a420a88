"""Compile nodes to a program: each node becomes steps on tensors of one tile size (see kernels/program).

    program = emit(nodes, {"dense1": "sparse", "dense2": "dense"}, tile=64, dtype=np.dtype(np.float32))

Each kind of node has a function (emitter, node, *input tensors) -> output tensor in EMITTERS.
"""
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from minnet.kernels.program import interpreter as opcodes
from minnet.kernels.program import ops
from minnet.runtime.emitter import Emitter
from minnet.runtime.graph import (
    ActivationNode,
    AddNode,
    AffineNode,
    ConcatNode,
    LinearNode,
    Node,
    PoolNode,
    ProductNode,
    ReshapeNode,
    SlopesNode,
    StandardiseNode,
)
from minnet.runtime.layout import Tensor
from minnet.runtime.linear import emit_linear, pool_step, weights_of
from minnet.runtime.passes import count_readers
from minnet.runtime.program import Program, Span


def emit(nodes: Sequence[Node], kernels: Mapping[str, str], tile: int, dtype: np.dtype) -> Program:
    """Compile `nodes` to a Program for tiles of `tile` samples (1, or a multiple of HALF); `kernels` by layer name.

    Either all linear layers are quantised or none.
    """
    quantised = any(isinstance(node, LinearNode) and node.scale is not None for node in nodes)
    emitter = Emitter(tile, dtype, kernels, np.dtype(np.int8) if quantised else dtype)
    readers, spans = count_readers(nodes), []
    tensors: dict[Node, Tensor] = {}
    unread: dict[int, int] = {}  # {offset of a tensor: readers that are still to come}
    for node in nodes:
        first, size, inputs = len(emitter.code), emitter.nbytes, [tensors[source] for source in node.inputs]
        emitter.last_use = {x.offset for x in inputs if unread[x.offset] == 1}
        y = tensors[node] = EMITTERS[type(node)](emitter, node, *inputs)
        unread[y.offset] = unread.get(y.offset, 0) + readers[node]
        for x in inputs:
            unread[x.offset] -= 1
            if not unread[x.offset]:
                emitter.memory.free(x.offset)
        spans.append(span_of(emitter, node, first, emitter.nbytes - size))
    size = emitter.nbytes
    emitter.store(tensors[nodes[-1]])
    spans.append(Span("output", len(emitter.code) - 1, len(emitter.code), emitter.nbytes - size))
    return emitter.finish(spans)


def span_of(emitter: Emitter, node: Node, first: int, nbytes: int) -> Span:
    """Return the Span of the node emitted last, whose steps begin at `first` and whose arrays take `nbytes`."""
    if not isinstance(node, LinearNode):
        name = "input" if type(node) is Node else type(node).__name__.removesuffix("Node").lower()
        return Span(name, first, len(emitter.code), nbytes)
    kernel = emitter.kernels[node.name]
    macs = emitter.tile * node.positions * weights_of(node, kernel, emitter.tile)
    return Span(node.name, first, len(emitter.code), nbytes, kernel, node.density, macs)


def by_feature(emitter: Emitter, node: Node, x: Tensor) -> Tensor:
    """Return x as a tensor that may be overwritten, with a plane for each channel, or feature of rows."""
    if len(node.shape) > 1 or (x.height == x.width == 1 and x.compact):
        return emitter.writable(x)
    y = emitter.compact_tensor(node.shape)
    emitter.copy_row(x, y.offset)
    return y


def emit_affine(emitter: Emitter, node: AffineNode, x: Tensor) -> Tensor:
    """Emit a BatchNorm: by channel, or by feature."""
    y = by_feature(emitter, node, x)
    scale, shift = emitter.add_values(node.scale), emitter.add_values(node.shift)
    emitter.step(opcodes.AFFINE, y.offset, y.channels, y.plane, scale, shift)
    return y


def emit_standardise(emitter: Emitter, node: StandardiseNode, x: Tensor) -> Tensor:
    """Emit a layer of moments, without its gain and shift: by pixel, a line at a time, or by group of channels."""
    y, epsilon = by_feature(emitter, node, x), emitter.add_values([node.epsilon])
    if node.per_pixel:
        runs = y.height, y.line, y.channels, y.plane, 1, 0, 1, y.width * y.tile
    else:
        channels = y.channels // node.groups
        runs = node.groups, channels * y.plane, channels, y.plane, y.height, y.line, y.width, y.tile
    scratch = emitter.memory.allocate(3 * runs[-1])
    emitter.step(opcodes.STANDARDISE, y.offset, *runs, node.size, scratch, epsilon)
    emitter.memory.free(scratch)
    return y


def emit_activation(emitter: Emitter, node: ActivationNode, x: Tensor) -> Tensor:
    """Emit an activation, in place if no other node reads x."""
    y = emitter.writable(x)
    slope = emitter.add_values([node.slope, node.highest])
    opcode = opcodes.ACTIVATE if node.kind <= ops.SIGMOID else opcodes.ACTIVATE_OTHER
    for c, end in emitter.split(y.channels, y.size):
        emitter.step(opcode, y.offset + c * y.plane, (end - c) * y.plane, node.kind, slope)
    return y


def emit_slopes(emitter: Emitter, node: SlopesNode, x: Tensor) -> Tensor:
    """Emit a PReLU: an activation with a slope of its own for each channel, or feature."""
    y = by_feature(emitter, node, x)
    slopes = emitter.add_values([*node.slopes, 0.0])
    for c in range(y.channels):
        emitter.step(opcodes.ACTIVATE, y.offset + c * y.plane, y.plane, ops.LEAKY_RELU, slopes + c)
    return y


def emit_pool(emitter: Emitter, node: PoolNode, x: Tensor) -> Tensor:
    """Emit a pool that is not part of a convolution."""
    y = emitter.compact_tensor(node.shape)
    line = emitter.memory.allocate(x.width)
    pool_step(emitter, node, x, y, x.channels, line)
    emitter.memory.free(line)
    return y


def emit_add(emitter: Emitter, node: AddNode, x: Tensor, other: Tensor) -> Tensor:
    """Emit a sum; inputs of different memory layouts are first copied to one layout."""
    y, same = alike(emitter, node, x, other)
    emitter.step(opcodes.ADD, same.offset, y.offset, y.size)
    if same is not other:
        emitter.free(same)
    return y


def alike(emitter: Emitter, node: Node, x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x, to be overwritten, other) in one memory layout; other is itself, or a copy to be freed."""
    if x.same_layout(other):
        return emitter.writable(x), other
    return emit_concat(emitter, node, x), emit_concat(emitter, node, other)


def emit_product(emitter: Emitter, node: ProductNode, x: Tensor, other: Tensor) -> Tensor:
    """Emit a product; a number for each channel multiplies every pixel of its plane."""
    first, second = (source.shape for source in node.inputs)
    if first == second or math.prod(first) == math.prod(second):
        y, factor = alike(emitter, node, x, other)
        emitter.step(opcodes.MULTIPLY, factor.offset, 0, 0, y.offset, 1, 0, 1, y.size)
    else:
        row = replace(node, shape=second[-1:])
        y, factor = emitter.writable(x), other if other.height == other.width == 1 else emit_concat(emitter, row, other)
        emitter.step(opcodes.MULTIPLY, factor.offset, factor.plane, 0, y.offset, y.channels, y.plane,
                     y.height * y.pitch, y.tile)
    if factor is not other:
        emitter.free(factor)
    return y


def emit_concat(emitter: Emitter, node: Node, *inputs: Tensor) -> Tensor:
    """Copy the inputs one after another: planes of images, entries of rows."""
    y, offset = emitter.compact_tensor(node.shape), 0
    for x in inputs:
        if y.flat:
            emitter.copy_row(x, y.offset + offset)
        else:
            emitter.copy_image(x, y, offset)
        offset += x.channels * x.height * x.width * emitter.tile
    return y


EMITTERS = {
    Node: lambda emitter, node: emitter.load(node.shape),
    LinearNode: emit_linear,
    AffineNode: emit_affine,
    StandardiseNode: emit_standardise,
    ActivationNode: emit_activation,
    PoolNode: emit_pool,
    ReshapeNode: lambda emitter, node, x: replace(x, flat=True),
    AddNode: emit_add,
    ProductNode: emit_product,
    SlopesNode: emit_slopes,
    ConcatNode: emit_concat,
}
