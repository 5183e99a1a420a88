"""freeze: a model becomes a Predictor, which only predicts, and as fast as its zeros allow.

    fast = freeze(model)                 # the model may change or go; the Predictor keeps numbers of its own
    fast.predict(X)                      # class numbers
    fast.plan                            # ["sparse", "dense/sparse", ...]: which kernel each layer got
    print(fast.explain())                # per layer: kernel, density, FLOPs, bytes, time

Rows are predicted one by one, or 64 at a time (a tile): two programs of one net, of which each call takes the faster.
Where it is known that many come at once, a tile has 128. Where two threads share 64 or fewer, it may have 32: threads
that share the layers of one tile hand each other half of all numbers, which on some machines takes longer than the
work.
"""
import math
from functools import partial

import numpy as np

from minnet import threads
from minnet.arrays import check_X
from minnet.errors import InvalidValue, check_count, check_kind, quoted, unknown
from minnet.kernels.program.ops import HALF, RUN
from minnet.model import Model
from minnet.runtime.emit import emit
from minnet.runtime.explain import explain, explain_stages
from minnet.runtime.graph import compiles, graph
from minnet.runtime.plans import check_plan, choose, joined, kernels, linear_nodes, total_seconds
from minnet.runtime.rates import machine_rates
from minnet.runtime.stages import forward_rows, stages_of

INT8 = "int8"
STAGE_ROWS = 1024        # rows that the stages of a net pass on at a time, where it has some
ROOM_BYTES = 64 * 2**20  # what the largest tensor of a tile may take: images that are larger go one by one
SHARED = 6e-5            # seconds of work, below which a second thread would come too late to help


def freeze(model, batch_size=None, plan=None, *, classes=None, weights=None):
    """The Predictor of `model` as it is now.

    `batch_size` is the number of rows that a call will bring: the Predictor then has only the program that is the
    fastest for it; without, it has one for single rows and one for tiles of 64. `plan` says which kernel each layer
    gets, in the order of the layers with weights: "dense", "block" (of four neighbouring units), "n_m" (n of each
    four inputs) or "sparse", or two of them ("dense/sparse") for single rows and for tiles; a single name is every
    layer's. "n_m" is for single rows of dense layers: in tiles they take the sparse one, as does whatever has no such
    kernel, and `predictor.plan` says so ("n_m/sparse"). Without, each layer gets what is the fastest by this machine's
    rates, which are measured once. `classes` (k,) are the labels that `predict` answers with, else 0, ..., k - 1.
    `weights="int8"` keeps them as whole numbers from -127 to 127, with a scale for each unit: fewer bytes, and rounded
    weights; all else stays in floats.

    A layer that has no kernel, such as a user's, runs by its own `forward` between compiled parts, on numbers that are
    the Predictor's own: `plan` has no name for it. Raises InvalidValue and InvalidType for these, UnknownName for other
    `weights`.
    """
    check_kind("freeze", model, Model)
    if not compiles(model.tree):
        return freeze_stages(model, batch_size, plan, classes, weights)
    nodes, rates = graph(model, quantised=check_weights(weights)), machine_rates()
    if batch_size is not None:
        check_count("batch_size", batch_size, 1)
    plan = choose(nodes, rates) if plan is None else check_plan(plan, linear_nodes(nodes))
    largest = max(math.prod(node.shape) for node in nodes) * model.dtype.itemsize
    tiles = [tile for tile in (2 * RUN, RUN, 1) if tile == 1 or largest * tile <= ROOM_BYTES]
    chosen = {tile: kernels(plan, nodes, tile) for tile in tiles}
    cost = {tile: total_seconds(nodes, chosen[tile], tile, rates) for tile in tiles}
    if batch_size is not None:  # of equals the largest
        best = min(tiles, key=lambda tile: math.ceil(batch_size / tile) * cost[tile])
        if best == RUN and halves(batch_size, cost[RUN]) and kernels(plan, nodes, HALF) == chosen[RUN]:
            best, chosen[HALF], cost[HALF] = HALF, chosen[RUN], total_seconds(nodes, chosen[RUN], HALF, rates)
        tiles = [best]
    programs = {tile: emit(nodes, chosen[tile], tile, model.dtype) for tile in tiles[-2:]}
    plan = joined([chosen[tile] for tile in sorted(programs)])
    return Predictor(model, programs, cost, plan, classes, weights or model.dtype.name)


def freeze_stages(model, batch_size, plan, classes, weights):
    """The Predictor of a net in which some layers have no kernel."""
    check_weights(weights)
    parts = stages_of(model)
    names = [linear_nodes(graph(part)) if has_kernels else [] for part, has_kernels in parts]
    if plan is not None:
        plan = check_plan(plan, [node for nodes in names for node in nodes])
    stages, first = [], 0
    for (part, has_kernels), nodes in zip(parts, names, strict=True):
        own, first = plan and plan[first : first + len(nodes)], first + len(nodes)
        stages.append(freeze(part, batch_size, own, weights=weights) if has_kernels else part)
    return StagedPredictor(model, stages, classes, weights or model.dtype.name)


def halves(batch_size, cost):
    """Whether two threads get half a tile each, where each layer keeps its kernel: there are rows for both, and enough
    to do, by the cost of a tile."""
    return HALF < batch_size <= RUN and threads.n_threads() == RUN // HALF and cost >= SHARED


def check_weights(weights, name="weights"):
    """Whether they are to be whole numbers; `name` is what the caller calls them."""
    if weights is not None and not (isinstance(weights, str) and weights == INT8):
        raise unknown(name, weights, [INT8])
    return weights is not None


class Predictor:
    """A frozen net. Calling it gives logits; it may be called by several threads at once.

    `programs` maps the tile to the Program, largest first; `cost` maps it to what it takes in seconds by the rates;
    `weights` is what its weights are: "int8", or the model's dtype. With fewer rows than `alone` has for a tile, a
    second thread would not be worth it.
    """

    def __init__(self, model, programs, cost, plan, classes, weights):
        self.input_shape, self.output_shape, self.dtype = model.input_shape, model.output_shape, model.dtype
        self.programs = programs
        self.cost = cost
        self.plan = plan
        self.weights = weights
        self.classes = _check_classes(classes, self.output_shape)
        self.features, self.outputs = math.prod(self.input_shape), math.prod(self.output_shape)
        self.tile = max(programs)
        self.few = int(cost[self.tile] / cost[1]) if 1 in programs else -1  # so many rows go one by one; -1: never
        self.alone = {tile: tile * SHARED / cost[tile] if cost[tile] < SHARED else 0 for tile in programs}

    @property
    def nbytes(self):
        """Bytes of numbers, indices and steps that it holds."""
        return sum(program.nbytes for program in self.programs.values())

    def decision_function(self, X):
        """Logits (n, *output_shape) of X (n, *input_shape); errors as for `model(X)`."""
        shape = self.input_shape
        if not (type(X) is np.ndarray and X.shape[1:] == shape and X.dtype == self.dtype and X.flags.carray):
            X = check_X(X, shape, self.dtype)
        n = len(X)
        out = np.empty((n, *self.output_shape), self.dtype)
        rows = X if X.ndim == 2 else X.reshape(n, self.features)
        total = self.predict_rows(rows, 0, n, out if out.ndim == 2 else out.reshape(n, self.outputs))
        if total - total != 0:  # NaN or infinite: by a number in X, or only because there are so many large ones
            check_X(X, shape, self.dtype)
        return out

    __call__ = decision_function

    def predict_proba(self, X):
        """Softmax of the logits (n, k): exp(z_i) / sum of exp(z_j)."""
        logits = self.decision_function(X)
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)

    def predict(self, X):
        """The class with the greatest logit, the first of equals: (n,) numbers, or labels where `classes` was given."""
        best = self.decision_function(X).argmax(-1)
        return best if self.classes is None else self.classes[best]

    def explain(self, X=None):
        """An Explanation, timed now on the rows X, or on as many random ones as fill a tile: see explain.py."""
        if X is not None:
            X = check_X(X, self.input_shape, self.dtype).reshape(-1, self.features)
        return explain(self.programs, self.features, X)

    def predict_rows(self, X, row, stop, out):
        """Logits of rows row, ..., stop - 1 of X (n, features) to `out`; returns a sum that is finite if they are."""
        if self.tile == 1 or stop - row <= self.few:
            return self.run(1, X, row, stop, out)
        rest = (stop - row) % self.tile
        whole = stop - rest if rest <= self.few else stop
        total = self.run(self.tile, X, row, whole, out)
        return total if whole == stop else total + self.run(1, X, whole, stop, out)

    def run(self, tile, X, row, stop, out):
        """The same by one program, shared by threads where that is worth it: tile by tile, or the layers of one."""
        program, n = self.programs[tile], stop - row
        small = n < self.alone[tile] or (n <= tile and not program.shared)
        workers = 1 if small else threads.n_threads()
        if workers == 1:
            return program.run_alone(X, row, stop, out)
        if n <= tile:
            return program.run_layers(X, row, stop, out, workers)
        if len(program.calls) == 1:
            return program.run_tiles(X, row, stop, out, workers)
        tiles = [(begin, min(begin + tile, stop)) for begin in range(row, stop, tile)]
        return sum(threads.run([partial(program.run_alone, X, *rows, out) for rows in tiles]))

    def __repr__(self):
        return (f"Predictor({self.input_shape} -> {self.output_shape}, plan={self.plan}, weights={self.weights!r}, "
                f"{self.nbytes:,} bytes)")


class StagedPredictor(Predictor):
    """A frozen net of several stages: a Predictor each where there are kernels, else a Model that runs as it is."""

    def __init__(self, model, stages, classes, weights):
        self.input_shape, self.output_shape, self.dtype = model.input_shape, model.output_shape, model.dtype
        self.stages = stages
        self.plan = [name for stage in stages if isinstance(stage, Predictor) for name in stage.plan]
        self.weights = weights
        self.classes = _check_classes(classes, self.output_shape)
        self.features, self.outputs = math.prod(self.input_shape), math.prod(self.output_shape)

    @property
    def nbytes(self):
        """Bytes of numbers, indices and steps that it holds."""
        return sum(stage.nbytes if isinstance(stage, Predictor) else stage.values.nbytes for stage in self.stages)

    def explain(self, X=None):
        """An Explanation, timed now on the rows X, or on random ones: a line for each stage that has no kernel."""
        if X is not None:
            X = check_X(X, self.input_shape, self.dtype).reshape(-1, self.features)
        return explain_stages(self.stages, _run_stage, self.features, self.dtype, X)

    def predict_rows(self, X, row, stop, out):
        """Logits of rows row, ..., stop - 1 of X (n, features) to `out`; returns a sum that is finite if they are."""
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
    """What a stage makes of the rows x (n, features)."""
    if not isinstance(stage, Predictor):
        return forward_rows(stage, x)
    y = np.empty((len(x), stage.outputs), stage.dtype)
    stage.predict_rows(x, 0, len(x), y)
    return y


def _check_classes(classes, output_shape):
    """Labels as an array, one for each logit."""
    if classes is None:
        return None
    try:
        labels = np.asarray(classes)
    except ValueError as error:  # lists of several lengths
        raise InvalidValue(f"classes={quoted(repr(classes))} is no array: give a label for each logit") from error
    if labels.shape != output_shape:
        raise InvalidValue(f"classes has the shape {labels.shape}, the logits of one row {output_shape}: give a label "
                           "for each logit")
    return labels
