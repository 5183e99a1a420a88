"""Which kernel each linear layer gets: for single rows, and for tiles of them.

    plan = choose(nodes, machine_rates())            # ["dense/sparse", "sparse", ...]: for rows / for tiles
    kernels(plan, nodes, tile)                       # {"dense1": "sparse", ...}
"""
import math

from minnet.errors import InvalidType, InvalidValue, quoted
from minnet.kernels.program.ops import RUN
from minnet.kernels.program.rows import ROWS
from minnet.runtime.graph import Linear
from minnet.runtime.layout import rounded
from minnet.runtime.linear import BLOCK, DENSE, KERNELS, N_M, SPARSE

ALMOST = 1.1  # times as long is a tie: what a stopwatch cannot tell apart
STEPS = 1e-7  # seconds that a sample costs beside its linear layers
ALIVE = 0.5   # of the inputs of a layer, as after a ReLU: the kernels for single rows pass over zeros,
ALIVE_FOURS = 1 - (1 - ALIVE) ** ROWS  # sparse ones over each, all others over fours of which all are zero
NEAR = 2**20  # bytes of weights that stay in a core's cache from one row to the next
WHERE = {DENSE: 0, BLOCK: 0, N_M: 0.5, SPARSE: 4}  # bytes that say where a weight stands
FLOAT, WHOLE = 4, 1  # bytes of the weight itself
POOLED, POOLED_TILE = 8, 0.6  # copies of a number that cost as much as to pool it: of a single row, and in a tile


def linear_nodes(nodes):
    """The layers that have a kernel to choose."""
    return [node for node in nodes if isinstance(node, Linear)]


def choose(nodes, rates):
    """The fastest plan by `rates`, a name for each linear layer."""
    return joined([{node.name: fastest(node, tile, rates) for node in linear_nodes(nodes)} for tile in (1, RUN)])


def joined(chosen):
    """The plan that gives the kernels `chosen`: for single rows and for tiles, or for one of both, each by name."""
    return ["/".join(dict.fromkeys(names)) for names in zip(*(each.values() for each in chosen), strict=True)]


def fastest(node, tile, rates):
    """The kernel for one layer: the first of KERNELS that is almost as fast as the fastest."""
    costs = {kernel: seconds(node, kernel, tile, rates) for kernel in KERNELS}
    return next(kernel for kernel in KERNELS if costs[kernel] <= ALMOST * min(costs.values()))


def kernels(plan, nodes, tile):
    """The kernel of each layer, by name, for tiles of `tile` samples; `plan` as `check_plan` returns it."""
    names = [name.split("/")[0 if tile == 1 else -1] for name in plan]
    return {node.name: name if possible(node, name, tile) else SPARSE
            for node, name in zip(linear_nodes(nodes), names, strict=True)}


def possible(node, kernel, tile):
    """Whether a kernel is for such a layer. SPARSE is for all, and stands in for those that are not: in a tile the
    others do whole runs of RUN numbers."""
    if kernel == N_M:
        return tile == 1 and node.window is None and not node.only_sparse
    columns = 1 if node.window is None else node.window.output[1]
    return kernel == SPARSE or not (node.only_sparse or (tile > 1 and columns * tile % RUN))


def check_plan(plan, layers):
    """`plan` as a list of names, one a layer; a single name is every layer's."""
    names = [plan] * len(layers) if isinstance(plan, str) else plan
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise InvalidType(f"plan={quoted(repr(plan))}; wanted one name or a list of names, as predictor.plan has them")
    if len(names) != len(layers):
        listed = f": {', '.join(layer.name for layer in layers)}" if layers else ""
        raise InvalidValue(f"plan has {counted(len(names), 'name')}, but the model has "
                           f"{counted(len(layers), 'layer')} with weights{listed}; give a name for each, or one for "
                           f'all: plan="{SPARSE}"')
    for name in names:
        if len(name.split("/")) > 2 or not set(name.split("/")) <= set(KERNELS):
            raise InvalidValue(f"plan names {quoted(repr(name))}; wanted one of {', '.join(KERNELS)}, or two of them, "
                               f'for single rows and for tiles: "{DENSE}/{SPARSE}"')
    return list(names)


def counted(n, noun):
    """So many things: "1 layer", "3 layers"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def total_seconds(nodes, chosen, tile, rates):
    """What one tile takes with the kernels `chosen`, by `rates`: its linear layers, and the loading of its samples."""
    layers = sum(seconds(node, chosen[node.name], tile, rates) for node in linear_nodes(nodes))
    return layers + (STEPS + math.prod(nodes[0].shape) * rates.copied) * tile


def seconds(node, kernel, tile, rates):
    """What a linear layer takes for one tile, with its pool."""
    if not possible(node, kernel, tile):
        return math.inf
    weights = weights_of(node, kernel, tile)
    if node.window is None and tile == 1:
        size = (WHERE[kernel] + (FLOAT if node.scale is None else WHOLE)) * weights
        alive = ALIVE if kernel == SPARSE else ALIVE_FOURS
        return alive * max(weights * getattr(rates, f"{kernel}_row"), size * rates.far if size > NEAR else 0)
    pooled = 0 if node.pooling is None else node.positions * node.units * rates.copied
    pooled *= POOLED if tile == 1 else POOLED_TILE * tile
    lines, columns = node.window.output if node.window else (1, 1)
    run = rounded(lines * node.inputs[0].shape[1]) if tile == 1 else lines * columns * tile
    return (weights + node.units) * run * getattr(rates, kernel) + pooled


def weights_of(node, kernel, tile):
    """How many weights a kernel has, the zeros that it multiplies included."""
    if kernel == BLOCK:
        return node.block_weights(1 if tile > 1 or node.window else ROWS)
    if kernel == N_M:
        return node.most_of_four * -(-node.full[0] // ROWS) * node.units
    return math.prod(node.full) if kernel == DENSE else node.n_live
