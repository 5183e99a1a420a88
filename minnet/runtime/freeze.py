"""freeze: compile a model into a Predictor; and read one from a file.

    fast = freeze(model)                 # a copy: later changes of the model do not affect it
    small = freeze(model, precision="int8")
    small.save("small.safetensors")      # the model, and what the Predictor was made with
    small = load_predictor("small.safetensors")

Rows are predicted one by one, or 64 at a time (a tile): two programs of one model, of which each call runs the faster.
If the batch size is known and large, a tile has 128 rows. If two threads divide 64 rows or fewer, it may have 32:
sharing one tile moves half of each activation between cores, which on some machines costs more than it saves.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minnet import threads
from minnet.engine.quantise import INT8, check_precision, rounded
from minnet.errors import InvalidValue, MinnetError, check_count, check_kind, file_error, quoted
from minnet.formats.storage import DAMAGED, Layers, load_frozen
from minnet.kernels.program.ops import HALF, RUN
from minnet.model import Model
from minnet.runtime.emit import emit
from minnet.runtime.graph import compiles
from minnet.runtime.passes import graph, raw_graph
from minnet.runtime.plans import check_plan, fastest_plan, kernels_of, linear_nodes, plan_names, total_seconds
from minnet.runtime.predictor import PARALLEL_SECONDS, Predictor, StagedPredictor
from minnet.runtime.rates import machine_rates
from minnet.runtime.sparse_input import sparse_input
from minnet.runtime.stages import stages_of
from minnet.typing import Path

TENSOR_BYTES = 64 * 2**20  # largest tensor of a tile: larger images are predicted one by one


def freeze(model: Model, batch_size: int | None = None, plan: str | Sequence[str] | None = None, *,
           classes: np.ndarray | Sequence[object] | None = None, precision: str | None = None,
           weights: str | None = None) -> Predictor:
    """Compile a model into a Predictor.

    A layer that has no kernel, such as a user's, runs by its own `forward` between compiled parts, on a copy of its
    values; `plan` has no entry for it.

    Parameters
    ----------
    model : Model
        The model; it is not changed, and later changes of it do not affect the Predictor.
    batch_size : int, optional
        Rows of a call: the Predictor then has only the program that is the fastest for it. Default: one program for
        single rows and one for tiles of 64.
    plan : str or sequence of str, optional
        Kernels of the layers with weights, in order: "dense", "block" (of four neighbouring units), "n_m" (n of each
        four inputs) or "sparse", or two of them, as "dense/sparse", for single rows and for tiles; a single name is
        used for every layer. "n_m" is for single rows of dense layers: tiles and layers without such a kernel use the
        sparse one, and `Predictor.plan` says so ("n_m/sparse"). Default: the fastest by this machine's rates, which
        are measured once.
    classes : (k,) array_like, optional
        Labels that `predict` returns. Default: those of the model's signature, else 0, ..., k - 1.
    precision : {"float32", "int8"}, optional
        "int8": store weights as integers from -127 to 127 with a scale for each unit: fewer bytes, and rounded weights,
        as those of ``minnet.engine.quantise.rounded``. Everything else stays in floats. Default: the model's own
        floats, as "float32".
    weights : {"int8"}, optional
        An older name of `precision`.

    Returns
    -------
    Predictor
        The compiled model.

    Raises
    ------
    InvalidValue, InvalidType
        An argument cannot be used.
    UnknownName
        Another `precision`.
    """
    check_kind("freeze", model, Model)
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    int8 = check_precision(precision) or check_precision(weights, "weights")
    return _compiled(rounded(model) if int8 else model.clone(), batch_size, INT8 if int8 else None, plan, classes)


def _compiled(model, batch_size, precision, plan, classes=None):
    """Return the Predictor of a model that nothing else changes, its weights rounded for the precision already."""
    frozen = {"batch_size": batch_size, "precision": precision}
    if not compiles(model.tree):
        return _compiled_stages(model, frozen, plan, classes)
    (nodes, takes_raw), rates = raw_graph(model, precision == INT8), machine_rates()
    plan = fastest_plan(nodes, rates) if plan is None else check_plan(plan, linear_nodes(nodes))
    largest = max(math.prod(node.shape) for node in nodes) * model.dtype.itemsize
    tiles = [tile for tile in (2 * RUN, RUN, 1) if tile == 1 or largest * tile <= TENSOR_BYTES]
    chosen = {tile: kernels_of(plan, nodes, tile) for tile in tiles}
    cost = {tile: total_seconds(nodes, chosen[tile], tile, rates) for tile in tiles}
    if batch_size is not None:  # of equals the largest
        best = min(tiles, key=lambda tile: math.ceil(batch_size / tile) * cost[tile])
        if best == RUN and use_half_tile(batch_size, cost[RUN]) and kernels_of(plan, nodes, HALF) == chosen[RUN]:
            best, chosen[HALF], cost[HALF] = HALF, chosen[RUN], total_seconds(nodes, chosen[RUN], HALF, rates)
        tiles = [best]
    programs = {tile: emit(nodes, chosen[tile], tile, model.dtype) for tile in tiles[-2:]}
    reader = sparse_input(nodes, plan, model.dtype)
    plan = plan_names([chosen[tile] for tile in sorted(programs)])
    return Predictor(model, programs, cost, plan, classes, frozen, takes_raw=takes_raw, reader=reader)


def _compiled_stages(model, frozen, plan, classes):
    """Return the Predictor of a model in which some layers have no kernel."""
    parts = stages_of(model)
    names = [linear_nodes(graph(part)) if has_kernels else [] for part, has_kernels in parts]
    if plan is not None:
        plan = check_plan(plan, [node for nodes in names for node in nodes])
    stages, first = [], 0
    for (part, has_kernels), nodes in zip(parts, names, strict=True):
        own, first = plan and plan[first : first + len(nodes)], first + len(nodes)
        stage = _compiled(part, plan=own, **frozen) if has_kernels else part
        if isinstance(stage, Predictor):
            stage.reader = None  # it takes dense rows
        stages.append(stage)
    return StagedPredictor(model, stages, classes, frozen)


def use_half_tile(batch_size: int, cost: float) -> bool:
    """Return True if two threads should halve a tile: enough rows, and a cost of at least PARALLEL_SECONDS."""
    return HALF < batch_size <= RUN and threads.n_threads() == RUN // HALF and cost >= PARALLEL_SECONDS


def load_predictor(path: Path, *, layers: Layers | None = None) -> Predictor:
    """Read a Predictor that `Predictor.save` wrote, or freeze the model in any file of `save`.

    Parameters
    ----------
    path : str or os.PathLike
        The file. Of a model that is no Predictor's, quantised weights stay so.
    layers : mapping of str to type, optional
        Classes of the caller's own layers by name, as `load` takes them.

    Returns
    -------
    Predictor
        It gives what the saved one gave on the same machine, bit for bit: the model, the kernels, the precision and the
        labels are those of the file.

    Raises
    ------
    FileError
        As for `load`; or what the file says of its Predictor does not fit the model.
    """
    model, frozen = load_frozen(path, layers)
    try:
        return freeze(model, **_checked(frozen))
    except MinnetError as error:
        raise file_error(path, f"holds a Predictor that cannot be made: {error}", DAMAGED) from error


def _checked(frozen):
    """Return the arguments of `freeze` in what a file says of its Predictor; raise InvalidValue for others."""
    if not isinstance(frozen, dict) or not set(frozen) <= {"batch_size", "precision", "plan", "classes"}:
        raise InvalidValue(f"it was made with {quoted(repr(frozen))}")
    return frozen
