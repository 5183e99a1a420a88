"""A model in inference as a list of nodes in the order of the pass: no training, no masks, BatchNorm folded.

    builder = GraphBuilder(model)
    builder.layer(model.tree, builder.add(Node([], model.input_shape)))
    builder.nodes                        # the last one gives the logits

A node names the nodes that it reads. Dropout is left out, Flatten remains (it moves nothing). passes.py merges nodes.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import Layer, find_row
from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm, MomentNorm
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.padding import Window
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.engine.quantise import to_int8
from minnet.engine.rare_activations import (
    SELU,
    SELU_ALPHA,
    SELU_SCALE,
    HardSigmoid,
    Hardtanh,
    Mish,
    Softplus,
)
from minnet.engine.sparse import SparseDense
from minnet.engine.unit_weights import UnitWeights
from minnet.engine.vector import Parameter
from minnet.errors import Unsupported
from minnet.kernels.program import ops
from minnet.kernels.program.planes import BLOCK_PLANES
from minnet.kernels.program.rows import ROWS
from minnet.model import Model


@dataclass(eq=False)
class Node:
    """An operation on `inputs`; `shape` is that of one sample's result, channels last. Node itself is the input."""

    inputs: list["Node"]
    shape: tuple[int, ...]


@dataclass(eq=False)
class LinearNode(Node, UnitWeights):
    """Dense (no window), convolution or depthwise convolution, by a weight of shape `full` = (..., in, out).

    `in` are the inputs of a group, all where there is one group. `entries` are its weights, flat; of a layer born
    sparse those at the sorted flat positions `index`. There is a bias (out,). `pooling` is the pool that follows a
    convolution directly. After `quantise` entries are integers, to be multiplied by the `scale` (out,) of their unit.
    """

    name: str
    entries: np.ndarray
    index: np.ndarray | None
    full: tuple[int, ...]
    bias: np.ndarray
    window: Window | None = None
    groups: int = 1           # of a convolution: channels, and units, that meet no others; in order
    pooling: "PoolNode | None" = None
    scale: np.ndarray | None = None

    @property
    def only_sparse(self) -> bool:
        """Return True if only SPARSE is for it: units of groups share no inputs, a layer born sparse is never dense."""
        return self.groups > 1 or self.index is not None

    @property
    def positions(self) -> int:
        """Return how often a sample uses each weight."""
        return 1 if self.window is None else math.prod(self.window.output)

    @cached_property
    def n_live(self) -> int:
        """Count the weights that are not 0."""
        return int(np.count_nonzero(self.entries))

    def block_weights(self, rows: int) -> int:
        """Count the weights in all blocks of `rows` inputs by BLOCK_PLANES units that have a live weight."""
        width = -(-self.units // BLOCK_PLANES)
        row, unit = np.divmod(self.live()[0], self.units)
        live = np.zeros((math.prod(self.full) // self.units // rows + 1) * width, bool)
        live[row // rows * width + unit // BLOCK_PLANES] = True
        return rows * BLOCK_PLANES * int(np.count_nonzero(live))

    @cached_property
    def most_of_four(self) -> int:
        """Return the most live weights of a unit in a group of four inputs; the first group begins at input 0."""
        row, unit = np.divmod(self.live()[0], self.units)
        fours = -(-math.prod(self.full) // self.units // ROWS)
        return int(np.bincount(row // ROWS * self.units + unit, minlength=fours * self.units).max(initial=0))

    @property
    def density(self) -> float:
        """Return the fraction of weights that are not 0."""
        return self.n_live / math.prod(self.full)

    def live(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the sorted flat positions of the weights that are not 0, and these weights."""
        found = np.flatnonzero(self.entries)
        return found if self.index is None else self.index[found], self.entries[found]

    def quantise(self) -> None:
        """Round the weights to integers q from -127 to 127: w is about scale * q, a unit's largest ``|w|`` 127 scale.

        q is rounded half to even; a unit whose scale would be 0 has the scale 1.
        """
        self.entries, self.scale = to_int8(self.entries, self.index, self.units)


@dataclass(eq=False)
class AffineNode(Node):
    """y = scale * x + shift, by channel: a BatchNorm that could not be folded."""

    scale: np.ndarray
    shift: np.ndarray


@dataclass(eq=False)
class StandardiseNode(Node):
    """y = (x - mean) / sqrt(variance + epsilon), with the moments of parts of each sample.

    A part is a pixel, or one of `groups` of channels over all pixels; `size` numbers count in it.
    """

    groups: int
    per_pixel: bool
    size: int
    epsilon: float


@dataclass(eq=False)
class ActivationNode(Node):
    """y = f(x); `kind` is the number of f in kernels/program/ops.py, `slope` the number that it takes."""

    kind: int
    slope: float
    increasing: bool  # max f(x) = f(max x), so that it may follow a max pool
    highest: float = 0.0  # of CLIP, whose lowest value is `slope`


@dataclass(eq=False)
class SlopesNode(Node):
    """y = x where x > 0, slope * x elsewhere, with a slope for each channel."""

    slopes: np.ndarray


@dataclass(eq=False)
class PoolNode(Node):
    """The maximum, or a mean, of each window: `average` is MAXIMUM, MEAN or PADDED_MEAN of kernels/program/ops.py."""

    window: Window
    average: int


@dataclass(eq=False)
class ReshapeNode(Node):
    """Flatten: the same values in another shape."""


@dataclass(eq=False)
class AddNode(Node):
    """The sum of two inputs."""


@dataclass(eq=False)
class ProductNode(Node):
    """The product of two inputs; the second one may have a number for each channel of the first."""


@dataclass(eq=False)
class ConcatNode(Node):
    """All inputs, concatenated along the last axis."""


@dataclass(eq=False)
class GraphBuilder:
    """The nodes of a model under construction."""

    model: Model
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node) -> Node:
        """Append a node and return it."""
        self.nodes.append(node)
        return node

    def value(self, parameter: Parameter) -> np.ndarray:
        """Return a parameter that is not a weight, in float64."""
        return parameter.value.astype(np.float64)

    def layer(self, layer: Layer, x: Node) -> Node:
        """Append the nodes of a layer that reads the node `x`; return the last one."""
        trace = find_row(TRACES, layer)
        if trace is None:
            raise Unsupported(f"freeze has no kernel for {layer!r}: predict with the model itself")
        return trace(self, layer, x)


def compiles(layer: Layer) -> bool:
    """Return True if there are kernels for a layer and all layers in it."""
    return find_row(TRACES, layer) is not None and all(map(compiles, layer.children()))


# --- one function per kind of layer ----------------------------------------------------------------------------------


def trace_sequential(builder: GraphBuilder, layer: Sequential, x: Node) -> Node:
    """Trace the layers, first to last."""
    for child in layer.layers:
        x = builder.layer(child, x)
    return x


def trace_linear(builder: GraphBuilder, layer: Layer, x: Node) -> Node:
    """Trace Dense, SparseDense, Conv2d or DepthwiseConv2d."""
    weight = layer.weight
    bias = np.zeros(weight.shape[-1]) if layer.bias is None else builder.value(layer.bias)
    return builder.add(LinearNode([x], layer.output_shape, layer.name, weight.value.reshape(-1), weight.index,
                                  weight.shape, bias, getattr(layer, "window", None), getattr(layer, "groups", 1)))


def trace_batch_norm(builder: GraphBuilder, layer: BatchNorm, x: Node) -> Node:
    """Trace a BatchNorm with constant statistics: y = gain (x - mean) / sqrt(variance + epsilon) + shift."""
    return builder.add(AffineNode([x], x.shape, *layer.scale_and_offset()))


def trace_moments(builder: GraphBuilder, layer: MomentNorm, x: Node) -> Node:
    """Trace LayerNorm, GroupNorm or InstanceNorm: mean 0 and variance 1, then gain and shift."""
    x = builder.add(StandardiseNode([x], x.shape, layer.split[1], layer.per_pixel, layer.size, layer.epsilon))
    return builder.add(AffineNode([x], x.shape, builder.value(layer.gain), builder.value(layer.shift)))


def activation(kind: int, parameter: str | None = None) -> Callable[[GraphBuilder, Layer, Node], Node]:
    """Return the function that traces an activation; `parameter` names the attribute that its kernel takes."""
    def trace(builder, layer, x):
        slope = float(getattr(layer, parameter)) if parameter else 0.0
        return builder.add(ActivationNode([x], x.shape, kind, slope, layer.increasing))
    return trace


def trace_gelu(builder: GraphBuilder, layer: GELU, x: Node) -> Node:
    """Trace a GELU in its form."""
    return activation(ops.GELU if layer.approximate == "none" else ops.GELU_TANH)(builder, layer, x)


def trace_clip(builder: GraphBuilder, layer: Hardtanh, x: Node) -> Node:
    """Trace a Hardtanh."""
    low, high = layer.ends
    return builder.add(ActivationNode([x], x.shape, ops.CLIP, low, True, high))


def trace_hard_sigmoid(builder: GraphBuilder, layer: HardSigmoid, x: Node) -> Node:
    """Trace a HardSigmoid: a line, which a linear layer may take over, held between 0 and 1."""
    x = scaled_node(builder, x, layer.alpha, layer.beta)
    return builder.add(ActivationNode([x], x.shape, ops.CLIP, 0.0, True, 1.0))


def trace_softplus(builder: GraphBuilder, layer: Softplus, x: Node) -> Node:
    """Trace a Softplus: of beta x, divided by beta."""
    x = x if layer.beta == 1 else scaled_node(builder, x, layer.beta)
    x = builder.add(ActivationNode([x], x.shape, ops.SOFTPLUS, 0.0, True))
    return x if layer.beta == 1 else scaled_node(builder, x, 1 / layer.beta)


def scaled_node(builder: GraphBuilder, x: Node, scale: float, shift: float = 0.0) -> Node:
    """Append scale * x + shift."""
    return builder.add(AffineNode([x], x.shape, np.full(x.shape[-1:], scale), np.full(x.shape[-1:], shift)))


def trace_selu(builder: GraphBuilder, layer: SELU, x: Node) -> Node:
    """Trace a SELU: an ELU times a constant."""
    x = builder.add(ActivationNode([x], x.shape, ops.ELU, SELU_ALPHA, True))
    return scaled_node(builder, x, SELU_SCALE)


def trace_prelu(builder: GraphBuilder, layer: PReLU, x: Node) -> Node:
    """Trace a PReLU: a LeakyReLU of one slope, or with one for each channel."""
    slopes = builder.value(layer.slopes)
    if layer.per_channel:
        return builder.add(SlopesNode([x], x.shape, slopes))
    return builder.add(ActivationNode([x], x.shape, ops.LEAKY_RELU, float(slopes[0]), bool(slopes[0] >= 0)))


def trace_pool(builder: GraphBuilder, layer: MaxPool2d | AvgPool2d, x: Node) -> Node:
    """Trace MaxPool2d or AvgPool2d."""
    mean = ops.PADDED_MEAN if getattr(layer, "count_padding", False) else ops.MEAN
    average = mean if isinstance(layer, AvgPool2d) else ops.MAXIMUM
    return builder.add(PoolNode([x], layer.output_shape, layer.window, average))


def global_pool(average: int) -> Callable[[GraphBuilder, Layer, Node], Node]:
    """Return the function that traces a pool of one window as large as the image."""
    def trace(builder, layer, x):
        whole = Window(x.shape[:2], x.shape[:2], 0, 0, 0, 0, (1, 1))
        pool = builder.add(PoolNode([x], (1, 1, x.shape[2]), whole, average))
        return builder.add(ReshapeNode([pool], layer.output_shape))
    return trace


def trace_product(builder: GraphBuilder, layer: Product, x: Node) -> Node:
    """Trace both branches, which read x, and their product, the larger one first."""
    other = x if layer.other is None else builder.layer(layer.other, x)
    factors = sorted([builder.layer(layer.branch, x), other], key=lambda node: (math.prod(node.shape), len(node.shape)),
                     reverse=True)
    return builder.add(ProductNode(factors, layer.output_shape))


def trace_residual(builder: GraphBuilder, layer: Residual, x: Node) -> Node:
    """Trace shortcut and branch, which both read x, and their sum."""
    other = x if layer.shortcut is None else builder.layer(layer.shortcut, x)
    straight = builder.layer(layer.branch, x)
    return builder.add(AddNode([straight, other], layer.output_shape))


def trace_concat(builder: GraphBuilder, layer: Concat, x: Node) -> Node:
    """Trace the branches, which all read x, and their concatenation."""
    return builder.add(ConcatNode([builder.layer(branch, x) for branch in layer.branches], layer.output_shape))


TRACES = {
    Sequential: trace_sequential,
    Dense: trace_linear,
    SparseDense: trace_linear,
    Conv2d: trace_linear,
    DepthwiseConv2d: trace_linear,
    BatchNorm: trace_batch_norm,
    LayerNorm: trace_moments,
    GroupNorm: trace_moments,
    InstanceNorm: trace_moments,
    ReLU: activation(ops.RELU),
    LeakyReLU: activation(ops.LEAKY_RELU, "slope"),
    ReLU6: activation(ops.RELU6),
    ELU: activation(ops.ELU, "alpha"),
    Tanh: activation(ops.TANH),
    Sigmoid: activation(ops.SIGMOID),
    SiLU: activation(ops.SILU),
    Hardswish: activation(ops.HARDSWISH),
    GELU: trace_gelu,
    Hardtanh: trace_clip,
    HardSigmoid: trace_hard_sigmoid,
    SELU: trace_selu,
    Softplus: trace_softplus,
    Mish: activation(ops.MISH),
    PReLU: trace_prelu,
    MaxPool2d: trace_pool,
    AvgPool2d: trace_pool,
    GlobalAvgPool2d: global_pool(ops.MEAN),
    GlobalMaxPool2d: global_pool(ops.MAXIMUM),
    Flatten: lambda builder, layer, x: builder.add(ReshapeNode([x], layer.output_shape)),
    Dropout: lambda builder, layer, x: x,
    Residual: trace_residual,
    Product: trace_product,
    Concat: trace_concat,
}
