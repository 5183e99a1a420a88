"""freeze: compile a model into a Predictor, which only predicts and skips masked weights.

    fast = freeze(model)                 # a copy: later changes of the model do not affect it
    fast.predict(X)                      # class numbers
    fast.plan                            # ["sparse", "dense/sparse", ...]: the kernel of each layer
    print(fast.explain())                # per layer: kernel, density, FLOPs, bytes, time

Rows are predicted one by one, or 64 at a time (a tile): two programs of one model, of which each call runs the faster.
If the batch size is known and large, a tile has 128 rows. If two threads divide 64 rows or fewer, it may have 32:
sharing one tile moves half of each activation between cores, which on some machines costs more than it saves.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from minnet import threads
from minnet.arrays import check_X
from minnet.csr import batch_rows, is_sparse
from minnet.engine.probabilities import probabilities
from minnet.errors import InvalidValue, check_count, check_kind, quoted, unknown
from minnet.kernels.program.ops import HALF, RUN
from minnet.kernels.program.scale import scale_rows
from minnet.model import Model
from minnet.runtime.emit import emit
from minnet.runtime.explain import Explanation, explain, explain_stages
from minnet.runtime.graph import compiles
from minnet.runtime.passes import graph, raw_graph
from minnet.runtime.plans import check_plan, fastest_plan, kernels_of, linear_nodes, plan_names, total_seconds
from minnet.runtime.program import Program
from minnet.runtime.rates import machine_rates
from minnet.runtime.sparse_input import SparseInput, sparse_input
from minnet.runtime.stages import forward_rows, stages_of

INT8 = "int8"
STAGE_ROWS = 1024          # rows that the stages of a model process at a time
TENSOR_BYTES = 64 * 2**20  # largest tensor of a tile: larger images are predicted one by one
PARALLEL_SECONDS = 6e-5    # seconds of work below which a second thread does not pay


def freeze(model: Model, batch_size: int | None = None, plan: str | Sequence[str] | None = None, *,
           classes: np.ndarray | Sequence[object] | None = None, weights: str | None = None) -> Predictor:
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
    weights : {"int8"}, optional
        Store weights as integers from -127 to 127 with a scale for each unit: fewer bytes, and rounded weights.
        Everything else stays in floats.

    Returns
    -------
    Predictor
        The compiled model.

    Raises
    ------
    InvalidValue, InvalidType
        An argument cannot be used.
    UnknownName
        Other `weights`.
    """
    check_kind("freeze", model, Model)
    if not compiles(model.tree):
        return freeze_stages(model, batch_size, plan, classes, weights)
    (nodes, takes_raw), rates = raw_graph(model, check_weights(weights)), machine_rates()
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
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
    return Predictor(model, programs, cost, plan, classes, weights or model.dtype.name, takes_raw=takes_raw,
                     reader=reader)


def freeze_stages(model: Model, batch_size: int | None, plan: str | Sequence[str] | None,
                  classes: np.ndarray | Sequence[object] | None, weights: str | None) -> Predictor:
    """Compile a model in which some layers have no kernel."""
    check_weights(weights)
    parts = stages_of(model)
    names = [linear_nodes(graph(part)) if has_kernels else [] for part, has_kernels in parts]
    plan = None if plan is None else check_plan(plan, [node for nodes in names for node in nodes])
    stages, first = [], 0
    for (part, has_kernels), nodes in zip(parts, names, strict=True):
        own, first = plan and plan[first : first + len(nodes)], first + len(nodes)
        stage = freeze(part, batch_size, own, weights=weights) if has_kernels else part
        if isinstance(stage, Predictor):
            stage.reader = None  # it takes dense rows
        stages.append(stage)
    return StagedPredictor(model, stages, classes, weights or model.dtype.name)


def use_half_tile(batch_size: int, cost: float) -> bool:
    """Return True if two threads should halve a tile: enough rows, and a cost of at least PARALLEL_SECONDS."""
    return HALF < batch_size <= RUN and threads.n_threads() == RUN // HALF and cost >= PARALLEL_SECONDS


def check_weights(weights: str | None, name: str = "weights") -> bool:
    """Return True if `weights` is "int8", False for None; raise UnknownName with the argument's `name` otherwise."""
    if weights is not None and not (isinstance(weights, str) and weights == INT8):
        raise unknown(name, weights, [INT8])
    return weights is not None


class Predictor:
    """A compiled model, made by `freeze`: calling it returns logits; several threads may call it at once.

    Parameters
    ----------
    model : Model
        The model that was compiled.
    programs : dict of int to Program
        Programs by the rows of a tile, largest first.
    cost : dict of int to float
        Predicted seconds of each program for a tile.
    plan : list of str
        The kernel of each layer with weights.
    classes : (k,) array_like or None
        Labels that `predict` returns.
    weights : str
        "int8", or the model's dtype.
    takes_raw : bool, optional
        The programs take raw rows: what the signature divides them by is in the first weights.
    reader : SparseInput, optional
        What predicts sparse rows; without it they are made dense, some at a time.
    """

    def __init__(self, model: Model, programs: dict[int, Program], cost: dict[int, float], plan: list[str],
                 classes: np.ndarray | Sequence[object] | None, weights: str, takes_raw: bool = False,
                 reader: SparseInput | None = None) -> None:
        self._describe(model, classes, takes_raw)
        self.programs, self.reader = programs, reader
        self.cost = cost
        self.plan = plan
        self.weights = weights
        self.tile = max(programs)
        # up to this many rows, single rows are faster than a tile; -1: there is no program for them
        self.rows_below_tile = int(cost[self.tile] / cost[1]) if 1 in programs else -1
        # with fewer rows, a second thread does not pay
        self.serial_below = {tile: tile * PARALLEL_SECONDS / seconds if seconds < PARALLEL_SECONDS else 0
                             for tile, seconds in cost.items() if tile in programs}

    def _describe(self, model, classes, takes_raw=False):
        """Note what `model` takes and gives; `scaling` is what is left to do with raw rows before a program runs."""
        self.reader: SparseInput | None = None
        self.input_shape, self.output_shape, self.dtype = model.input_shape, model.output_shape, model.dtype
        self.signature, self.classes = model.signature, _classes_of(model, classes)
        self.features, self.outputs = math.prod(self.input_shape), math.prod(self.output_shape)
        scaling = None if takes_raw or self.signature is None else self.signature.scaling
        self.scaling = scaling and tuple(np.array(np.broadcast_to(v, self.input_shape)).reshape(-1) for v in scaling)

    @property
    def nbytes(self) -> int:
        """Return the bytes of its values, indices and steps, and of the weights that sparse rows need beside them."""
        return sum(program.nbytes for program in self.programs.values()) + (self.reader.nbytes if self.reader else 0)

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Compute the logits.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Rows or images, shape ``(n, *input_shape)``: raw where the model has a signature, which scales them.

        Returns
        -------
        numpy.ndarray
            Shape ``(n, *output_shape)``.

        Raises
        ------
        InvalidValue
            `X` has another shape, or contains NaN or infinity.
        """
        known = type(X) is np.ndarray and X.shape[1:] == self.input_shape and X.dtype.kind in "biuf" and \
            (self.signature is None or self.signature.encoding is None)
        inputs = self._unchecked_inputs(X) if known else self.inputs(X)
        if is_sparse(inputs):
            return self._sparse_rows(inputs)
        n, out = len(inputs), np.empty((len(inputs), *self.output_shape), self.dtype)
        total = self.predict_rows(inputs if inputs.ndim == 2 else inputs.reshape(n, self.features), 0, n,
                                  out if out.ndim == 2 else out.reshape(n, self.outputs))
        if known and total - total != 0:  # NaN or infinite: a value of X is, or only the sum of large ones overflows
            self.inputs(X)
        return out

    __call__ = decision_function

    def _sparse_rows(self, X):
        """Return the logits of sparse rows (n, features), checked and scaled."""
        out, rows = np.empty((len(X), self.outputs), self.dtype), batch_rows(X)
        if self.reader is not None:
            self.reader.predict(X, out)
        for start in () if self.reader is not None else range(0, len(X), rows):
            dense = X[start : start + rows]
            self.predict_rows(dense, 0, len(dense), out[start : start + rows])
        return out.reshape(len(X), *self.output_shape)

    def inputs(self, X: np.ndarray) -> np.ndarray:
        """Return raw rows as the program takes them: checked, and scaled unless the program does it.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Rows or images as the user's file has them.

        Returns
        -------
        numpy.ndarray or SparseRows
            Shape ``(n, *input_shape)``, in the predictor's dtype.

        Raises
        ------
        InvalidValue, InvalidType, NotFinite
            `X` has another shape, holds no real numbers, or NaN or infinity.
        """
        if self.scaling is not None:
            return self.signature.rows(X, self.dtype)
        return check_X(X if self.signature is None else self.signature.arranged(X), self.input_shape, self.dtype)

    def _unchecked_inputs(self, X):
        """Return what `inputs` does of an array of numbers in the right shape, but do not look for NaN."""
        if X.dtype != self.dtype or not X.flags.carray:
            with np.errstate(over="ignore"):
                X = np.require(X, self.dtype if self.scaling is None else np.float64, "CAWE")
        if self.scaling is None:
            return X
        scaled = np.empty((len(X), self.features), self.dtype)
        scale_rows(X.reshape(scaled.shape), *self.scaling, scaled)
        return scaled

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Compute the class probabilities, the softmax of the logits: exp(z_i) / sum of exp(z_j).

        Where a row has several labels, compute that of each: 1 / (1 + exp(-z)).

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Rows or images, as for `decision_function`.

        Returns
        -------
        numpy.ndarray
            Shape (n, k).

        Raises
        ------
        InvalidValue
            The model gives numbers.
        """
        if self.signature is not None:
            self.signature.check_probabilities()
        return probabilities(self.decision_function(X), self.signature and self.signature.task)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict the class with the largest logit, the first of equals; or numbers, in the units of the target.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Rows or images, as for `decision_function`.

        Returns
        -------
        numpy.ndarray
            Shape (n,): the labels of the model's signature or those that `freeze` was given, else class numbers. Of a
            model of numbers these, or of one for several labels a row 0 and 1, as `Model.predict` gives them.
        """
        outputs = self.decision_function(X)
        if self.signature is not None and self.signature.task in ("numbers", "multilabel"):
            return self.signature.predictions(outputs)
        best = outputs.argmax(-1)
        return best if self.classes is None else self.classes[best]

    def explain(self, X: np.ndarray | None = None) -> Explanation:
        """Time the kernels of each layer.

        Parameters
        ----------
        X : array_like, optional
            Rows or images, as for `decision_function`. Default: as many random ones as fill a tile.

        Returns
        -------
        Explanation
            Kernel, density, FLOPs, bytes and time of each layer; `str` makes a table.
        """
        if X is not None:
            X = self.inputs(X)[:STAGE_ROWS].reshape(-1, self.features)
        return explain(self.programs, self.features, X)

    def predict_rows(self, X: np.ndarray, row: int, stop: int, out: np.ndarray) -> float:
        """Write the logits of rows row, ..., stop - 1 to `out`.

        Parameters
        ----------
        X : numpy.ndarray
            Shape (n, features).
        row, stop : int
            The first row, and the one after the last.
        out : numpy.ndarray
            Shape (n, outputs); receives the logits.

        Returns
        -------
        float
            A sum that is finite if all logits are.
        """
        if self.tile == 1 or stop - row <= self.rows_below_tile:
            return self.run(1, X, row, stop, out)
        rest = (stop - row) % self.tile
        whole = stop - rest if rest <= self.rows_below_tile else stop
        total = self.run(self.tile, X, row, whole, out)
        return total if whole == stop else total + self.run(1, X, whole, stop, out)

    def run(self, tile: int, X: np.ndarray, row: int, stop: int, out: np.ndarray) -> float:
        """Write logits as `predict_rows` does, by one program.

        Threads divide the rows by tiles, or the layers of a single tile, if the work is worth it.

        Parameters
        ----------
        tile : int
            Which program: the rows of its tile.
        X, row, stop, out
            As in `predict_rows`.

        Returns
        -------
        float
            A sum that is finite if all logits are.
        """
        program, n = self.programs[tile], stop - row
        small = n < self.serial_below[tile] or (n <= tile and not program.task_lists)
        workers = 1 if small else threads.n_threads()
        if workers == 1:
            return program.run_serial(X, row, stop, out)
        if n <= tile:
            return program.run_layers(X, row, stop, out, workers)
        if len(program.calls) == 1:
            return program.run_tiles(X, row, stop, out, workers)
        tiles = [(begin, min(begin + tile, stop)) for begin in range(row, stop, tile)]
        return sum(threads.run([partial(program.run_serial, X, *rows, out) for rows in tiles]))

    def __repr__(self) -> str:
        """Return shapes, plan, weights and size in one line."""
        return (f"Predictor({self.input_shape} -> {self.output_shape}, plan={self.plan}, weights={self.weights!r}, "
                f"{self.nbytes:,} bytes)")


class StagedPredictor(Predictor):
    """A compiled model of several stages: a Predictor for layers with kernels, else a Model that runs uncompiled."""

    def __init__(self, model: Model, stages: Sequence[Predictor | Model],
                 classes: np.ndarray | Sequence[object] | None, weights: str) -> None:
        self._describe(model, classes)
        self.stages = stages
        self.plan = [name for stage in stages if isinstance(stage, Predictor) for name in stage.plan]
        self.weights = weights

    @property
    def nbytes(self) -> int:
        """Return the bytes of its values, indices and steps."""
        return sum(stage.nbytes if isinstance(stage, Predictor) else stage.values.nbytes for stage in self.stages)

    def explain(self, X: np.ndarray | None = None) -> Explanation:
        """Time the kernels of each layer, and as a whole each stage that has none.

        Parameters
        ----------
        X : array_like, optional
            Rows or images. Default: random ones.

        Returns
        -------
        Explanation
            As that of a Predictor.
        """
        if X is not None:
            X = self.inputs(X)[:STAGE_ROWS].reshape(-1, self.features)
        return explain_stages(self.stages, _run_stage, self.features, self.dtype, X)

    def predict_rows(self, X: np.ndarray, row: int, stop: int, out: np.ndarray) -> float:
        """Write the logits of rows row, ..., stop - 1 to `out`, stage by stage; return a sum as that of a Predictor."""
        total = 0.0
        for begin in range(row, stop, STAGE_ROWS):
            end = min(begin + STAGE_ROWS, stop)
            x = np.ascontiguousarray(X[begin:end])
            total += float(x.sum())
            for stage in self.stages:
                x = _run_stage(stage, x)
            out[begin:end] = x
        return total


def _run_stage(stage, x):
    """Return the outputs of a stage for the rows x (n, features)."""
    if not isinstance(stage, Predictor):
        return forward_rows(stage, x)
    y = np.empty((len(x), stage.outputs), stage.dtype)
    stage.predict_rows(x, 0, len(x), y)
    return y


def _classes_of(model, classes):
    """Return the labels as an array, one for each logit, or None."""
    output_shape = model.output_shape
    if classes is None:
        return None if model.signature is None else model.signature.classes
    gives = {"numbers": "numbers, which have no labels", "multilabel": "0 or 1 for each label, not their names"}
    if model.signature is not None and model.signature.task in gives:
        raise InvalidValue(f"classes={quoted(repr(classes))}: this model gives {gives[model.signature.task]}")
    try:
        labels = np.asarray(classes)
    except ValueError as error:  # lists of several lengths
        raise InvalidValue(f"classes={quoted(repr(classes))} is no array: give a label for each logit") from error
    if labels.shape != output_shape:
        raise InvalidValue(f"classes has the shape {labels.shape}, the logits of one row {output_shape}: give a label "
                           "for each logit")
    return labels
