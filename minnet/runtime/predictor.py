"""Predictor: a compiled model, which only predicts and skips masked weights; made by `freeze`.

fast = freeze(model)
fast.predict(X)                      # class numbers
fast.plan                            # ["sparse", "dense/sparse", ...]: the kernel of each layer
print(fast.explain())                # per layer: kernel, density, FLOPs, bytes, time
fast.save("fast.safetensors")        # load_predictor reads it
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from minnet import threads
from minnet.arrays import check_X
from minnet.csr import batch_rows, is_sparse
from minnet.engine.probabilities import probabilities
from minnet.engine.quantise import INT8
from minnet.errors import InvalidValue, quoted
from minnet.fast.predict import check_logits
from minnet.files import write_whole
from minnet.formats.storage import file_bytes
from minnet.kernels.program.scale import scale_rows
from minnet.model import Model
from minnet.runtime.explain import Explanation, explain, explain_stages
from minnet.runtime.program import Program
from minnet.runtime.sparse_input import SparseInput
from minnet.runtime.stages import forward_rows
from minnet.typing import Path

ndarray, empty = np.ndarray, np.empty  # looked up by each call of a row

STAGE_ROWS = 1024          # rows that the stages of a model process at a time
PARALLEL_SECONDS = 6e-5    # seconds of work below which a second thread does not pay


class Predictor:
    """A compiled model, made by `freeze`: calling it returns logits; several threads may call it at once.

    Parameters
    ----------
    model : Model
        The model that was compiled: the Predictor's own, which nothing changes any more.
    programs : dict of int to Program
        Programs by the rows of a tile, largest first.
    cost : dict of int to float
        Predicted seconds of each program for a tile.
    plan : list of str
        The kernel of each layer with weights.
    classes : (k,) array_like or None
        Labels that `predict` returns.
    frozen : dict
        What `freeze` was given: batch_size, and precision.
    takes_raw : bool, optional
        The programs take raw rows: what the signature divides them by is in the first weights.
    reader : SparseInput, optional
        What predicts sparse rows; without it they are made dense, some at a time.
    """

    # of calls with one row, from the second on: the compiled entry, its idle tables, the shapes that it takes and gives
    entry: Callable[..., float]
    idle: list[tuple[np.ndarray, np.ndarray]]
    programs: dict[int, Program] = {}
    row_shape: tuple[int, ...] | None = None
    out_shape: tuple[int, int]
    looked: bool = False  # whether calls with one row can be so

    def __init__(self, model: Model, programs: dict[int, Program], cost: dict[int, float], plan: list[str],
                 classes: np.ndarray | Sequence[object] | None, frozen: dict, takes_raw: bool = False,
                 reader: SparseInput | None = None) -> None:
        self._describe(model, classes, frozen, takes_raw)
        self.programs, self.reader = programs, reader
        self.cost = cost
        self.plan = plan
        self.tile = max(programs)
        # up to this many rows, single rows are faster than a tile; -1: there is no program for them
        self.rows_below_tile = int(cost[self.tile] / cost[1]) if 1 in programs else -1
        # with fewer rows, a second thread does not pay
        self.serial_below = {tile: tile * PARALLEL_SECONDS / seconds if seconds < PARALLEL_SECONDS else 0
                             for tile, seconds in cost.items() if tile in programs}

    def _describe(self, model, classes, frozen, takes_raw=False):
        """Note what `model` takes and gives; `scaling` is what is left to do with raw rows before a program runs."""
        self.reader: SparseInput | None = None
        self._model, self._frozen = model, dict(frozen)
        self.precision = INT8 if frozen["precision"] == INT8 else model.dtype.name
        self.input_shape, self.output_shape, self.dtype = model.input_shape, model.output_shape, model.dtype
        self.signature, self.classes = model.signature, _classes_of(model, classes)
        self.numeric = self.signature is None or self.signature.encoding is None
        if classes is not None:
            self._frozen["classes"] = self.classes.tolist()
        self.features, self.outputs = math.prod(self.input_shape), math.prod(self.output_shape)
        scaling = None if takes_raw or self.signature is None else self.signature.scaling
        self.scaling = scaling and tuple(np.array(np.broadcast_to(v, self.input_shape)).reshape(-1) for v in scaling)

    @property
    def nbytes(self) -> int:
        """Return the bytes of values, indices, steps and weights for sparse rows; the model for `save` is beside."""
        beside = 0 if self.reader is None else self.reader.nbytes
        return beside + sum(program.nbytes for program in self.programs.values())

    def save(self, path: Path) -> None:
        """Write the model and what it was frozen with to a file that `load_predictor` reads, and `load` as a model.

        Parameters
        ----------
        path : str or os.PathLike
            The file, written whole or not at all; quantised weights are stored as integers.

        Raises
        ------
        FileError
            The file cannot be written.
        NotFinite, InvalidType
            As for `minnet.save`; or a label is no text, number or truth value.
        """
        precision = self._frozen["precision"]
        write_whole(path, file_bytes(self._model, precision=precision, frozen=self._frozen | {"plan": self.plan}))

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
            `X` has another shape, or contains NaN or infinity; or (NotFinite) its values are so large that a logit
            is not finite.
        """
        if type(X) is ndarray and X.shape == self.row_shape and X.dtype is self.dtype and X.flags.carray:
            out = empty(self.out_shape, self.dtype)
            try:
                place = self.idle.pop()
            except IndexError:
                place = self._place()
            total = self.entry(place[0], X if X.ndim == 2 else X.reshape(1, self.features), 0, 1, out)
            self.idle.append(place)
            if total - total == 0:
                return out
        return self._rows(X)

    __call__ = decision_function

    def _rows(self, X):
        """Return the logits of any rows; from the first single row on the next ones need not come here."""
        known = self.numeric and type(X) is ndarray and X.shape[1:] == self.input_shape
        if known and self.scaling is None and X.dtype == self.dtype and X.flags.carray:
            inputs = X
        elif known := known and X.dtype.kind in "biuf":
            inputs = self._unchecked_inputs(X)
        elif is_sparse(inputs := self.inputs(X)):
            return self._sparse_rows(inputs)
        n = len(inputs)
        out = np.empty((n, self.outputs), self.dtype)
        total = self.predict_rows(inputs if inputs.ndim == 2 else inputs.reshape(n, self.features), 0, n, out)
        if total - total != 0:  # NaN or infinite: a value of X or a logit is, or only the sum of large ones overflows
            self.inputs(X)
            check_logits(out)
        if n == 1 and not self.looked:
            if self._is_direct():
                self.idle, self.entry = [self._place()], self.programs[1].entry
                self.out_shape, self.row_shape = (1, self.outputs), (1, *self.input_shape)  # last: threads look at it
            self.looked = True
        return out if len(self.output_shape) == 1 else out.reshape(n, *self.output_shape)

    def _is_direct(self):
        """Return True if a single row is one call of one program, by one thread, with nothing before or after it."""
        program, plain = self.programs.get(1), len(self.output_shape) == 1
        if program is None or not plain or self.scaling is not None or not self.numeric:
            return False
        alone = self.serial_below[1] > 1 or not program.task_lists
        return alone and program.rows_in_one_call > 0 and (self.tile == 1 or self.rows_below_tile > 0)

    def _place(self):
        """Return a table for `entry`, and the workspace that it names, for one run at a time."""
        work = self.programs[1].workspace()
        return self.programs[1].table(work), work

    def __getstate__(self) -> dict:
        """Return what is copied or pickled: all but addresses, which are valid in this process only."""
        addresses = ("entry", "idle", "row_shape", "looked")
        return {name: value for name, value in vars(self).items() if name not in addresses}

    def _sparse_rows(self, X):
        """Return the logits of sparse rows (n, features), checked and scaled."""
        out, rows = np.empty((len(X), self.outputs), self.dtype), batch_rows(X)
        if self.reader is not None:
            self.reader.predict(X, out)
        for start in () if self.reader is not None else range(0, len(X), rows):
            dense = X[start : start + rows]
            self.predict_rows(dense, 0, len(dense), out[start : start + rows])
        check_logits(out)
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
            A sum that is NaN or infinite if a value of these rows or a logit is.
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
            A sum that is NaN or infinite if a value of these rows or a logit is.
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
        """Return shapes, plan, precision and size in one line."""
        return (f"Predictor({self.input_shape} -> {self.output_shape}, plan={self.plan}, precision={self.precision!r}, "
                f"{self.nbytes:,} bytes)")


class StagedPredictor(Predictor):
    """A compiled model of several stages: a Predictor for layers with kernels, else a Model that runs uncompiled."""

    def __init__(self, model: Model, stages: Sequence[Predictor | Model],
                 classes: np.ndarray | Sequence[object] | None, frozen: dict) -> None:
        self._describe(model, classes, frozen)
        self.stages = stages
        self.plan = [name for stage in stages if isinstance(stage, Predictor) for name in stage.plan]

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
            total += float(x.sum())
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
