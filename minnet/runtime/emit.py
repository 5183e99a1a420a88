"""From nodes to a program: every node becomes steps on tensors of one tile size (see kernels/program.py).

    program = emit(nodes, {"dense1": "sparse", "dense2": "dense"}, tile=64, dtype=np.dtype(np.float32))
"""
from dataclasses import replace

import numpy as np

from minnet.kernels.program import interpreter as do
from minnet.runtime.emitter import Emitter
from minnet.runtime.graph import Activation, Add, Affine, Join, Linear, Node, Pool, Reshape, users
from minnet.runtime.linear import emit_linear, pool_step
from minnet.runtime.plans import weights_of
from minnet.runtime.program import Span


def emit(nodes, kernels, tile, dtype):
    """The Program of `nodes` for tiles of `tile` samples (1, or a multiple of HALF); `kernels` by a layer's name.

    Its linear layers are quantised all or none.
    """
    whole = any(isinstance(node, Linear) and node.scale is not None for node in nodes)
    made = Emitter(tile, dtype, kernels, np.dtype(np.int8) if whole else dtype)
    count, tensors, left, spans = users(nodes), {}, {}, []
    for node in nodes:
        first, size, inputs = len(made.code), made.nbytes, [tensors[source] for source in node.inputs]
        made.last_use = {x.offset for x in inputs if left[x.offset] == 1}
        y = tensors[node] = EMITTERS[type(node)](made, node, *inputs)
        left[y.offset] = left.get(y.offset, 0) + count[node]
        for x in inputs:
            left[x.offset] -= 1
            if not left[x.offset]:
                made.memory.give_back(x.offset)
        spans.append(span_of(made, node, first, made.nbytes - size))
    size = made.nbytes
    made.store(tensors[nodes[-1]])
    spans.append(Span("output", len(made.code) - 1, len(made.code), made.nbytes - size))
    return made.finish(spans)


def span_of(made, node, first, nbytes):
    """The Span of a node that was just emitted."""
    if not isinstance(node, Linear):
        return Span("input" if type(node) is Node else type(node).__name__.lower(), first, len(made.code), nbytes)
    kernel = made.kernels[node.name]
    macs = made.tile * node.positions * weights_of(node, kernel, made.tile)
    return Span(node.name, first, len(made.code), nbytes, kernel, node.density, macs)


def emit_affine(made, node, x):
    """BatchNorm: by channel, or by feature."""
    if len(node.shape) == 1 and not (x.height == x.width == 1 and x.compact):
        y = made.like(node.shape)
        made.row(x, y.offset)
    else:
        y = made.own(x)
    made.step(do.AFFINE, y.offset, y.channels, y.plane, made.value(node.scale), made.value(node.shift))
    return y


def emit_activation(made, node, x):
    """In place where nobody else reads x."""
    y = made.own(x)
    slope = made.value([node.slope])
    for c, end in made.parts(y.channels, y.size):
        made.step(do.ACTIVATE, y.offset + c * y.plane, (end - c) * y.plane, node.kind, slope)
    return y


def emit_pool(made, node, x):
    """A pool that is not part of a convolution."""
    y = made.like(node.shape)
    room = made.memory.take(x.width)
    pool_step(made, node, x, y, x.channels, room)
    made.memory.give_back(room)
    return y


def emit_add(made, node, x, other):
    """Both must stand alike; where they do not, both are copied."""
    if x.alike(other):
        y = made.own(x)
        made.step(do.ADD, other.offset, y.offset, y.size)
        return y
    y = emit_join(made, node, x)
    same = emit_join(made, node, other)
    made.step(do.ADD, same.offset, y.offset, y.size)
    made.give_back(same)
    return y


def emit_join(made, node, *inputs):
    """Images: planes behind planes; rows: entries behind entries."""
    y, offset = made.like(node.shape), 0
    for x in inputs:
        if y.flat:
            made.row(x, y.offset + offset)
        else:
            made.image(x, y, offset)
        offset += x.channels * x.height * x.width * made.tile
    return y


EMITTERS = {
    Node: lambda made, node: made.load(node.shape),
    Linear: emit_linear,
    Affine: emit_affine,
    Activation: emit_activation,
    Pool: emit_pool,
    Reshape: lambda made, node, x: replace(x, flat=True),
    Add: emit_add,
    Join: emit_join,
}
