"""What a net does in use, as a list of nodes in the order of the pass: no training, no masks, BatchNorm folded away.

    for node in graph(model): ...        # the last one gives the logits

A node names the nodes that it reads. Dropout is gone, Flatten remains (it moves nothing), and what can be one step has
become one: BatchNorm after a linear layer is part of its weights; max pooling comes before a rising activation.
"""
import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import Layer, find_row
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.padding import Window
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.sparse import SparseDense
from minnet.errors import Unsupported
from minnet.kernels.program import ops
from minnet.kernels.program.planes import BLOCK_PLANES
from minnet.kernels.program.rows import ROWS

MOST = 127  # the largest whole number of a weight of eight bits: as many below 0 as above


@dataclass(eq=False)
class Node:
    """One thing that is done: `inputs` are nodes, `shape` is that of one sample's result, channels last."""

    inputs: list
    shape: tuple


@dataclass(eq=False)
class Linear(Node):
    """Dense (no window), convolution or depthwise convolution, by a weight of shape `full` = (..., in, out).

    `entries` are its numbers, flat; of a layer born sparse those at the sorted flat positions `index`. There is a bias
    (out,). A pooling that follows a convolution at once is `pooling`. After `quantise` entries are whole numbers, to be
    multiplied by the `scale` (out,) of their unit.
    """

    name: str
    entries: np.ndarray
    index: np.ndarray | None
    full: tuple
    bias: np.ndarray
    window: Window | None = None
    multiplier: int = 0       # of a depthwise convolution: outputs of one channel
    pooling: Node | None = None
    scale: np.ndarray | None = None

    @property
    def units(self):
        """How many outputs or filters."""
        return self.full[-1]

    @property
    def only_sparse(self):
        """Whether no other kernel is for it: depthwise units share no inputs; a layer born sparse is never dense."""
        return bool(self.multiplier) or self.index is not None

    @property
    def positions(self):
        """How often a sample uses each weight."""
        return 1 if self.window is None else math.prod(self.window.output)

    @cached_property
    def n_live(self):
        """Weights that are not 0."""
        return int(np.count_nonzero(self.entries))

    def block_weights(self, rows):
        """Weights in all blocks of `rows` inputs by BLOCK_PLANES neighbouring units that hold one that is not 0."""
        width = -(-self.units // BLOCK_PLANES)
        row, unit = np.divmod(self.live()[0], self.units)
        live = np.zeros((math.prod(self.full) // self.units // rows + 1) * width, bool)
        live[row // rows * width + unit // BLOCK_PLANES] = True
        return rows * BLOCK_PLANES * int(np.count_nonzero(live))

    @cached_property
    def most_of_four(self):
        """The most weights that are not 0 among four neighbouring inputs of a unit; the first four begin at input 0."""
        row, unit = np.divmod(self.live()[0], self.units)
        fours = -(-math.prod(self.full) // self.units // ROWS)
        return int(np.bincount(row // ROWS * self.units + unit, minlength=fours * self.units).max(initial=0))

    @property
    def density(self):
        """The fraction of weights that are not 0."""
        return self.n_live / math.prod(self.full)

    def live(self):
        """(flat positions, sorted; the weights there) of all that are not 0."""
        found = np.flatnonzero(self.entries)
        return found if self.index is None else self.index[found], self.entries[found]

    def matrix(self):
        """All weights, zeros too: (in, out), for a convolution (kh*kw*c, out); may be a view."""
        entries = self.entries
        if self.index is not None:
            entries = np.zeros(math.prod(self.full), entries.dtype)
            entries[self.index] = self.entries
        return entries.reshape(-1, self.units)

    def fold(self, scale, shift):
        """Make scale * y + shift, by unit, of the output y."""
        if self.index is None:
            entries = (self.entries.reshape(-1, self.units) * scale).reshape(-1)
        else:
            entries = self.entries * scale[self.index % self.units]
        self.entries = entries.astype(self.entries.dtype)
        self.bias = self.bias * scale + shift

    def quantise(self):
        """Make the weights whole numbers q from -127 to 127: w is about scale * q, a unit's largest |w| 127 scale.

        q is rounded half to even; a unit of which all weights are 0, or as good as, has the scale 1.
        """
        unit = (np.arange(len(self.entries)) if self.index is None else self.index) % self.units
        largest = np.zeros(self.units)
        np.maximum.at(largest, unit, np.abs(self.entries))
        self.scale = (largest / MOST).astype(self.entries.dtype)
        self.scale[self.scale == 0] = 1
        self.entries = np.clip(np.rint(self.entries / self.scale[unit]), -MOST, MOST)


@dataclass(eq=False)
class Affine(Node):
    """y = scale * x + shift, by channel: a BatchNorm that could not be folded."""

    scale: np.ndarray
    shift: np.ndarray


@dataclass(eq=False)
class Activation(Node):
    """y = f(x): `kind` as the kernels number them."""

    kind: int
    slope: float
    increasing: bool  # f never falls, so that the greatest of several stays the greatest


@dataclass(eq=False)
class Pool(Node):
    """The greatest entry, or the mean, of each window."""

    window: Window
    average: bool


@dataclass(eq=False)
class Reshape(Node):
    """Flatten: the same numbers under another name."""


@dataclass(eq=False)
class Add(Node):
    """The sum of two."""


@dataclass(eq=False)
class Join(Node):
    """All inputs side by side along the last axis."""


@dataclass(eq=False)
class Graph:
    """Nodes under construction."""

    model: object
    nodes: list = field(default_factory=list)

    def put(self, node):
        """Append a node; returns it."""
        self.nodes.append(node)
        return node

    def value(self, parameter):
        """A parameter that is no weight, in float64."""
        return parameter.value.astype(np.float64)

    def layer(self, layer, x):
        """The node that gives what `layer` makes of the node `x`."""
        trace = find_row(TRACES, layer)
        if trace is None:
            raise Unsupported(f"freeze has no kernel for {layer!r}: predict with the model itself")
        return trace(self, layer, x)


def compiles(layer: Layer) -> bool:
    """Return whether there are kernels for a layer and all that is inside it."""
    return find_row(TRACES, layer) is not None and all(map(compiles, layer.children()))


def graph(model, quantised=False):
    """The nodes of `model`, an input first, in the order of the pass; its weights as they are, or as whole numbers."""
    made = Graph(model)
    made.layer(model.tree, made.put(Node([], model.input_shape)))
    fold_affine(made.nodes)
    pool_first(made.nodes)
    attach_pools(made.nodes)
    for node in made.nodes:
        if quantised and isinstance(node, Linear):
            node.quantise()
    return made.nodes


def users(nodes):
    """How many inputs each node is; the last one is also the net's output."""
    count = {node: 0 for node in nodes}
    for node in nodes:
        for source in node.inputs:
            count[source] += 1
    count[nodes[-1]] += 1
    return count


def fold_affine(nodes):
    """Affine after a linear layer that nobody else reads: W scale, bias scale + shift."""
    count = users(nodes)
    for node in list(nodes):
        if isinstance(node, Affine) and isinstance(node.inputs[0], Linear) and count[node.inputs[0]] == 1:
            linear = node.inputs[0]
            linear.fold(node.scale, node.shift)
            count[linear] = count[node]
            drop(nodes, node)


def pool_first(nodes):
    """The greatest of f(x) is f of the greatest x where f rises: pool first, and f has less to do."""
    count = users(nodes)
    for pool in list(nodes):
        if isinstance(pool, Pool) and not pool.average and isinstance(pool.inputs[0], Activation):
            activation = pool.inputs[0]
            if activation.increasing and count[activation] == 1:
                nodes.remove(activation)
                redirect(nodes, pool, activation)
                pool.inputs, activation.inputs, activation.shape = activation.inputs, [pool], pool.shape
                nodes.insert(nodes.index(pool) + 1, activation)
                count[activation], count[pool] = count[pool], 1


def attach_pools(nodes):
    """A pool that alone reads a convolution becomes part of it."""
    count = users(nodes)
    for pool in list(nodes):
        linear = pool.inputs[0] if isinstance(pool, Pool) else None
        if isinstance(linear, Linear) and linear.pooling is None and count[linear] == 1:
            linear.pooling = replace(pool, inputs=[])
            linear.shape = pool.shape
            drop(nodes, pool)


def drop(nodes, node):
    """Take out a node; who read it reads its input."""
    nodes.remove(node)
    redirect(nodes, node, node.inputs[0])


def redirect(nodes, old, new):
    """Who read `old` now reads `new`."""
    for node in nodes:
        if node is not new:
            node.inputs = [new if source is old else source for source in node.inputs]


# --- one function per kind of layer ----------------------------------------------------------------------------------


def trace_sequential(made, layer, x):
    """First to last."""
    for child in layer.layers:
        x = made.layer(child, x)
    return x


def trace_linear(made, layer, x):
    """Dense, Conv2d and DepthwiseConv2d."""
    weight = layer.weight
    bias = np.zeros(weight.shape[-1]) if layer.bias is None else made.value(layer.bias)
    return made.put(Linear([x], layer.output_shape, layer.name, weight.value.reshape(-1), weight.index, weight.shape,
                           bias, getattr(layer, "window", None), getattr(layer, "multiplier", 0)))


def trace_batch_norm(made, layer, x):
    """In use the statistics are constants: y = gain (x - mean) / sqrt(variance + epsilon) + shift."""
    mean, variance, gain, shift = (made.value(p) for p in (layer.mean, layer.variance, layer.gain, layer.shift))
    scale = gain / np.sqrt(variance + layer.epsilon)
    return made.put(Affine([x], x.shape, scale, shift - mean * scale))


def activation(kind, parameter=None):
    """The function that traces an activation; `parameter` names the attribute that its kernel takes."""
    def trace(made, layer, x):
        slope = float(getattr(layer, parameter)) if parameter else 0.0
        return made.put(Activation([x], x.shape, kind, slope, layer.increasing))
    return trace


def trace_pool(made, layer, x):
    """MaxPool2d and AvgPool2d."""
    return made.put(Pool([x], layer.output_shape, layer.window, isinstance(layer, AvgPool2d)))


def trace_global_pool(made, layer, x):
    """A mean over one window as large as the image."""
    whole = Window(x.shape[:2], x.shape[:2], 0, 0, 0, 0, (1, 1))
    return made.put(Reshape([made.put(Pool([x], (1, 1, x.shape[2]), whole, True))], layer.output_shape))


def trace_residual(made, layer, x):
    """Both sides read x."""
    other = x if layer.shortcut is None else made.layer(layer.shortcut, x)
    straight = made.layer(layer.branch, x)
    return made.put(Add([straight, other], layer.output_shape))


def trace_concat(made, layer, x):
    """All branches read x."""
    return made.put(Join([made.layer(branch, x) for branch in layer.branches], layer.output_shape))


TRACES = {
    Sequential: trace_sequential,
    Dense: trace_linear,
    SparseDense: trace_linear,
    Conv2d: trace_linear,
    DepthwiseConv2d: trace_linear,
    BatchNorm: trace_batch_norm,
    ReLU: activation(ops.RELU),
    LeakyReLU: activation(ops.LEAKY_RELU, "slope"),
    ReLU6: activation(ops.RELU6),
    ELU: activation(ops.ELU, "alpha"),
    Tanh: activation(ops.TANH),
    Sigmoid: activation(ops.SIGMOID),
    SiLU: activation(ops.SILU),
    Hardswish: activation(ops.HARDSWISH),
    GELU: activation(ops.GELU),
    MaxPool2d: trace_pool,
    AvgPool2d: trace_pool,
    GlobalAvgPool2d: trace_global_pool,
    Flatten: lambda made, layer, x: made.put(Reshape([x], layer.output_shape)),
    Dropout: lambda made, layer, x: x,
    Residual: trace_residual,
    Concat: trace_concat,
}
