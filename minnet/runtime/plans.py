"""Choose the kernel of each linear layer: for single rows, and for tiles of them.

    plan = fastest_plan(nodes, machine_rates())      # ["dense/sparse", "sparse", ...]: for rows / for tiles
    kernels_of(plan, nodes, tile)                    # {"dense1": "sparse", ...}

A plan is a list with the kernel names of each layer, as `Predictor.plan` has it.
"""
import math
from collections.abc import Mapping, Sequence

from minnet.errors import InvalidType, InvalidValue, quoted
from minnet.kernels.program.ops import RUN
from minnet.kernels.program.rows import ROWS
from minnet.runtime.graph import LinearNode, Node
from minnet.runtime.layout import rounded
from minnet.runtime.linear import BLOCK, DENSE, KERNELS, N_M, SPARSE, weights_of
from minnet.runtime.rates import Rates

TIE = 1.1                # a ratio of times below which kernels are equally fast: what measurements cannot tell apart
SAMPLE_SECONDS = 1e-7    # seconds that a sample costs besides its linear layers
NONZERO = 0.5            # share of a layer's inputs that are not 0, as after a ReLU: the kernels for single rows skip
NONZERO_FOURS = 1 - (1 - NONZERO) ** ROWS  # zeros, the sparse one each zero, all others only fours of zeros
CACHE_BYTES = 2**20      # weights of this size stay in a core's cache from one row to the next
INDEX_BYTES = {DENSE: 0, BLOCK: 0, N_M: 0.5, SPARSE: 4}  # of the position of a weight
FLOAT_BYTES, INT8_BYTES = 4, 1                           # of the weight itself
POOLED, POOLED_TILE = 8, 0.6  # cost of pooling a value, in values copied: of a single row, and in a tile


def linear_nodes(nodes: Sequence[Node]) -> list[LinearNode]:
    """Return the nodes that have a kernel to choose."""
    return [node for node in nodes if isinstance(node, LinearNode)]


def fastest_plan(nodes: Sequence[Node], rates: Rates) -> list[str]:
    """Return the fastest plan by `rates`, a name for each linear layer."""
    return plan_names([{node.name: fastest_kernel(node, tile, rates) for node in linear_nodes(nodes)}
                       for tile in (1, RUN)])


def plan_names(chosen: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the plan of the kernels `chosen` for single rows and for tiles, or for one of both, each by layer name."""
    return ["/".join(dict.fromkeys(names)) for names in zip(*(each.values() for each in chosen), strict=True)]


def fastest_kernel(node: LinearNode, tile: int, rates: Rates) -> str:
    """Return the kernel for one layer: the first of KERNELS that ties with the fastest."""
    costs = {kernel: seconds(node, kernel, tile, rates) for kernel in KERNELS}
    return next(kernel for kernel in KERNELS if costs[kernel] <= TIE * min(costs.values()))


def kernels_of(plan: Sequence[str], nodes: Sequence[Node], tile: int) -> dict[str, str]:
    """Return {layer name: kernel} for tiles of `tile` samples; `plan` as `check_plan` returns it."""
    names = [name.split("/")[0 if tile == 1 else -1] for name in plan]
    return {node.name: name if supports(node, name, tile) else SPARSE
            for node, name in zip(linear_nodes(nodes), names, strict=True)}


def supports(node: LinearNode, kernel: str, tile: int) -> bool:
    """Return True if a kernel supports a layer.

    SPARSE supports all, and replaces those that do not: in a tile the others compute whole runs of RUN values.
    """
    if kernel == N_M:
        return tile == 1 and node.window is None and not node.only_sparse
    columns = 1 if node.window is None else node.window.output[1]
    return kernel == SPARSE or not (node.only_sparse or (tile > 1 and columns * tile % RUN != 0))


def check_plan(plan: str | Sequence[str], layers: Sequence[LinearNode]) -> list[str]:
    """Return `plan` as a list of names, one for each layer; a single name is every layer's.

    Raises InvalidType if it is neither a name nor a list of names, InvalidValue for unknown names or another length.
    """
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


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 layer", "3 layers"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def total_seconds(nodes: Sequence[Node], chosen: Mapping[str, str], tile: int, rates: Rates) -> float:
    """Estimate the seconds of one tile with the kernels `chosen`: its linear layers, and loading its samples."""
    layers = sum(seconds(node, chosen[node.name], tile, rates) for node in linear_nodes(nodes))
    return layers + (SAMPLE_SECONDS + math.prod(nodes[0].shape) * rates.copied) * tile


def seconds(node: LinearNode, kernel: str, tile: int, rates: Rates) -> float:
    """Estimate the seconds of a linear layer and its pool for one tile; infinite if the kernel does not support it."""
    if not supports(node, kernel, tile):
        return math.inf
    weights = weights_of(node, kernel, tile)
    if node.window is None and tile == 1:
        size = (INDEX_BYTES[kernel] + (FLOAT_BYTES if node.scale is None else INT8_BYTES)) * weights
        nonzero = NONZERO if kernel == SPARSE else NONZERO_FOURS
        return nonzero * max(weights * getattr(rates, f"{kernel}_row"), size * rates.far if size > CACHE_BYTES else 0)
    pooled = 0 if node.pooling is None else node.positions * node.units * rates.copied
    pooled *= POOLED if tile == 1 else POOLED_TILE * tile
    lines, columns = node.window.output if node.window else (1, 1)
    run = rounded(lines * node.inputs[0].shape[1]) if tile == 1 else lines * columns * tile
    return (weights + node.units) * run * getattr(rates, kernel) + pooled
