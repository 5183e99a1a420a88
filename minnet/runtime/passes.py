"""The nodes of a model, merged where possible: what is compiled to a program.

    for node in graph(model): ...        # the last one gives the logits
    nodes, raw = raw_graph(model)        # the same for raw rows, where a signature only divides them

BatchNorm after a linear layer becomes part of its weights; max pooling comes before an increasing activation, and is
part of the convolution before it.
"""
from collections.abc import Sequence
from dataclasses import replace

from minnet.kernels.program import ops
from minnet.model import Model
from minnet.runtime.graph import (
    ActivationNode,
    AffineNode,
    GraphBuilder,
    LinearNode,
    Node,
    PoolNode,
    ReshapeNode,
)


def graph(model: Model, quantised: bool = False) -> list[Node]:
    """Return the nodes of `model`, the input first, in the order of the pass; weights are floats, or quantised."""
    builder = GraphBuilder(model)
    builder.layer(model.tree, builder.add(Node([], model.input_shape)))
    fold_affine(builder.nodes)
    pool_first(builder.nodes)
    attach_pools(builder.nodes)
    if quantised:
        quantise(builder.nodes)
    return builder.nodes


def raw_graph(model: Model, quantised: bool = False) -> tuple[list[Node], bool]:
    """Return the nodes of `model`, and whether they take raw rows; weights are floats, or quantised.

    Where a signature scales rows to x / d and x / d is read by linear layers only, d divides their weights instead,
    since (x / d) W = x (W / d), padding with zeros included. A shift stays outside of the weights: x W - shift W loses
    the digits that x and shift have in common.
    """
    nodes, divisor = graph(model), input_divisor(model)
    first = [] if divisor == 1 else first_linear_nodes(nodes)
    for node in first:
        node.divide(divisor)
    if quantised:
        quantise(nodes)
    return nodes, bool(first)


def quantise(nodes: Sequence[Node]) -> None:
    """Quantise the weights of all linear nodes."""
    for node in nodes:
        if isinstance(node, LinearNode):
            node.quantise()


def count_readers(nodes: Sequence[Node]) -> dict[Node, int]:
    """Count the inputs that each node is; the output of the net counts as one for the last node."""
    count = {node: 0 for node in nodes}
    for node in nodes:
        for source in node.inputs:
            count[source] += 1
    count[nodes[-1]] += 1
    return count


def input_divisor(model: Model) -> float:
    """Return the d of a signature that scales rows to x / d, if weights divided by it are in range; else 1."""
    scaling = None if model.signature is None else model.signature.scaling
    return 1.0 if scaling is None else scaling.divisor


def first_linear_nodes(nodes: Sequence[Node]) -> list[LinearNode]:
    """Return the linear nodes that read the input, flattened or not; none where another node reads it too."""
    inputs = [nodes[0]]
    for node in nodes:
        if isinstance(node, ReshapeNode) and node.inputs[0] in inputs:
            inputs.append(node)
    readers = [node for node in nodes if any(source in inputs for source in node.inputs) and node not in inputs]
    linear = [node for node in readers if isinstance(node, LinearNode)]
    return linear if len(linear) == len(readers) and nodes[-1] not in inputs else []


def fold_affine(nodes: list[Node]) -> None:
    """Fold each AffineNode into the linear layer before it that no other node reads: W scale, bias scale + shift."""
    count = count_readers(nodes)
    for node in list(nodes):
        if isinstance(node, AffineNode) and isinstance(node.inputs[0], LinearNode) and count[node.inputs[0]] == 1:
            linear = node.inputs[0]
            linear.fold(node.scale, node.shift)
            count[linear] = count[node]
            drop(nodes, node)


def pool_first(nodes: list[Node]) -> None:
    """Move max pools before increasing activations f, which then have fewer inputs: max f(x) = f(max x)."""
    count = count_readers(nodes)
    for pool in list(nodes):
        if isinstance(pool, PoolNode) and pool.average == ops.MAXIMUM and isinstance(pool.inputs[0], ActivationNode):
            activation = pool.inputs[0]
            if activation.increasing and count[activation] == 1:
                nodes.remove(activation)
                redirect(nodes, pool, activation)
                pool.inputs, activation.inputs, activation.shape = activation.inputs, [pool], pool.shape
                nodes.insert(nodes.index(pool) + 1, activation)
                count[activation], count[pool] = count[pool], 1


def attach_pools(nodes: list[Node]) -> None:
    """Attach each pool that is the only reader of a convolution to it, as `pooling`."""
    count = count_readers(nodes)
    for pool in list(nodes):
        linear = pool.inputs[0] if isinstance(pool, PoolNode) else None
        if isinstance(linear, LinearNode) and linear.pooling is None and count[linear] == 1:
            linear.pooling = replace(pool, inputs=[])
            linear.shape = pool.shape
            drop(nodes, pool)


def drop(nodes: list[Node], node: Node) -> None:
    """Remove a node; its readers read its input instead."""
    nodes.remove(node)
    redirect(nodes, node, node.inputs[0])


def redirect(nodes: Sequence[Node], old: Node, new: Node) -> None:
    """Make all readers of `old`, except `new`, read `new`."""
    for node in nodes:
        if node is not new:
            node.inputs = [new if source is old else source for source in node.inputs]
