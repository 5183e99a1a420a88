"""Signature: what a model takes and gives, so that rows and labels are always those of the user's file.

    signature = Signature((4,), classes=["setosa", "versicolor"], scaling=(shift, scale), feature_names=names)
    signature.rows(X, np.float32)          # checked, columns in order, (X - shift) / scale
    signature.codes(["setosa", ...])       # 0 ... k-1, by name
    signature.labels([0, 1])               # and back
    numbers = Signature((4,), task="numbers", target_scaling=(mean, deviation))
    numbers.codes(y)                       # (y - mean) / deviation, (n, k): what a model of numbers learns
    numbers.predictions(model_outputs)     # and back, in the units of y
    several = Signature((4,), task="multilabel", classes=["red", "round"])
    several.codes([[1, 0], [1, 1]])        # bool (n, k): whether a row has each label
    several.predictions(model_outputs)     # and back: 1 where an output is above 0
    Signature.from_json(signature.to_json()) == signature

`rows` is the one place that checks and scales: the arithmetic is float64 and rounded once, so the same values in any
dtype give the same numbers.
"""
from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from minnet.arrays import as_numbers, check_finite, check_X
from minnet.csr import SparseRows, as_csr, check_finite_data, check_width, finite_rows, is_sparse, with_data
from minnet.data.checks import (
    MOST_AXES,
    Scaling,
    check_classes,
    check_list,
    check_names,
    check_scaling,
    check_shape,
    check_target,
    check_target_scaling,
    plain_scaling,
)
from minnet.data.encoding import Encoding
from minnet.data.labels import as_indicator, as_label_array, as_number_array, label_name
from minnet.data.rawrows import by_name
from minnet.data.selection import Selection, check_selection, picked_scaling, same_numbers, without_ones
from minnet.errors import InvalidType, InvalidValue, NotFinite, listed, quoted
from minnet.typing import ArrayLike, Dtype

if TYPE_CHECKING:  # loaded by whoever has a sparse matrix
    from scipy.sparse import csr_array

AS_GIVEN = "as given"  # the task of a model that was trained on bare arrays: targets are taken as they are
TASKS = ("classes", "numbers", "multilabel", AS_GIVEN)
CHUNK = 1024          # rows that are scaled at once, in float64
KEYS = {"shape", "feature_names", "scaling", "task", "target", "classes"}
SOME = {"target_scaling", "selection", "encoding"}  # keys that only some signatures have


@dataclass(frozen=True, eq=False)
class Signature:
    """What a model takes and gives.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row: (d,) or (h, w, c).
    classes : array_like, optional
        Labels (k,), whole numbers or text, that of output i at place i; None for 0 ... k-1, and for numbers. Bytes
        become text. Where a row has several labels, the names of these.
    scaling : (array_like, array_like), optional
        (shift, scale), in float64, which broadcast with a row; None takes rows as given.
    feature_names : sequence of str, optional
        Names (d,) of the columns, for rows of shape (d,).
    task : {"classes", "numbers", "multilabel", "as given"}
        Whether outputs are scores of classes, of which a row has one, or numbers, or logits of labels, of which a row
        has any number; "as given" where nothing is known of them.
    target : str or tuple of str, optional
        Name of the column that was learnt, or the names of several.
    target_scaling : (array_like, array_like), optional
        (shift, scale) of numbers, each (k,) or one number: the model gives (y - shift) / scale of each target y. None
        where it gives them as they are.
    selection : (tuple of int, tuple of int), optional
        (columns, source), where a model takes some features only: their places along the last axis of rows of the
        shape `source`, which are flattened first where `shape` has one axis.
    encoding : Encoding, optional
        How raw rows with missing cells, categories or text become numbers. All else is about these numbers: `shape`,
        `feature_names`, which are its `encoded_names`, `scaling` and `selection`.

    Raises
    ------
    InvalidValue, InvalidType
        These do not fit together.
    """

    shape: tuple[int, ...]
    classes: np.ndarray | None = None
    scaling: Scaling | None = None
    feature_names: tuple[str, ...] | None = None
    task: str = "classes"
    target: str | tuple[str, ...] | None = None
    target_scaling: Scaling | None = None
    selection: Selection | None = None
    encoding: Encoding | None = None

    def __post_init__(self):
        if self.task not in TASKS:
            raise InvalidValue(f"task={quoted(repr(self.task))}; wanted one of {', '.join(TASKS)}")
        checked = {"shape": check_shape(self.shape), "classes": check_classes(self.classes, self.task),
                   "target": check_target(self.target)}
        checked["scaling"] = check_scaling(self.scaling, checked["shape"])
        checked["target_scaling"] = check_target_scaling(self.target_scaling, self.task)
        checked["feature_names"] = check_names(self.feature_names, checked["shape"])
        checked["selection"] = check_selection(self.selection, checked["shape"])
        if self.encoding is not None and (self.encoding.n_encoded,) != checked["shape"]:
            raise InvalidValue(f"encoding makes {self.encoding.n_encoded} numbers of a row, and the shape is "
                               f"{checked['shape']}")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def rows(self, X: ArrayLike, dtype: Dtype = np.float32,
             names: Sequence[str] | None = None) -> np.ndarray | SparseRows:
        """Check raw rows and scale them: the one place where that is done.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Raw rows (n, *shape). Named columns (pandas, polars) are taken by name where this signature has names: in
            its order, without those that it does not know. Of arrays as wide as `selection.source` its columns are
            taken. A shape that differs by axes of 1 or by flattening is reshaped. With an `encoding` these are rows of
            its columns, which may hold text or miss cells.
        dtype : type or str
            numpy.float32 or numpy.float64, of the result.
        names : sequence of str, optional
            Names of the columns of an X that has none.

        Returns
        -------
        numpy.ndarray or SparseRows
            (X - shift) / scale (n, *shape), computed in float64 and rounded once; contiguous. Of sparse
            rows in CSR, of which batches are dense.

        Raises
        ------
        InvalidValue
            A column is missing, or the shape is another one; or sparse rows have a shift, or are images.
        InvalidType, NotFinite
            `X` holds no real numbers, or NaN or infinity.

        Warns
        -----
        UserWarning
            Columns were put in another order, or rows flattened or unflattened.
        """
        raw = self.arranged(X, names)
        if is_sparse(raw) and self.scaling is None:
            return finite_rows(raw, dtype)
        return check_X(raw, self.shape, dtype) if self.scaling is None else scaled(raw, self.scaling, dtype)

    def arranged(self, X: ArrayLike, names: Sequence[str] | None = None) -> np.ndarray | csr_array:
        """Return raw rows with columns and shape as `rows` takes them, unscaled; arguments and errors as there.

        With an `encoding` they are the numbers that it makes.
        """
        if self.encoding is not None:
            return self.encoding.apply(X, names)
        raw: np.ndarray | csr_array = as_csr("X", X) if is_sparse(X) else X
        if self.feature_names is not None:
            raw = by_name(raw, names, self.feature_names)[1]
        raw = raw if is_sparse(raw) else as_numbers("X", raw)
        if raw.ndim and self.selection is not None:
            raw = self.selection.pick(raw, self.shape)
        if is_sparse(raw) and (self.selection is None or raw.shape[1:] == self.shape):
            check_width(raw, self.shape)
        if raw.ndim and raw.shape[1:] != self.shape:
            raw = self._reshaped(raw)
        if raw.ndim == 0 or raw.shape[1:] != self.shape:
            if self.selection is not None:
                raise InvalidValue(self.selection.wanted(raw.shape, self.shape))
            check_X(raw, self.shape, np.float64)  # which says what is wrong
        return raw

    def picked(self, X: ArrayLike, names: Sequence[str] | None = None) -> np.ndarray:
        """Return raw rows with the columns that the model takes, in its order, as the user's file has them.

        They are what `rows` takes without names. Arguments and errors are those of `rows`.
        """
        return self.arranged(X, names) if self.encoding is None else self.encoding.pick(X, names)

    @property
    def raw_names(self) -> tuple[str, ...] | None:
        """Return the names of the columns of raw rows, None where they have none."""
        return self.feature_names if self.encoding is None else self.encoding.names

    def codes(self, y: ArrayLike) -> np.ndarray:
        """Return the codes (n,), int64, of labels (n,), matched by name: 1, 1.0, True and "1" are one label.

        For numbers (n,) or (n, k) instead of classes return these, or (y - shift) / scale (n, k) by `target_scaling`;
        for several labels a row, 0 and 1 (n, k), bool. A label that no class has is an InvalidValue that lists the
        unknown ones; a class that never occurs is none.
        """
        if self.task == AS_GIVEN:
            return np.atleast_1d(as_numbers("y", y))
        if self.task == "multilabel":
            return self._indicator(y)
        if self.task == "numbers" and self.target_scaling is None:
            return as_number_array(y)
        if self.target_scaling is not None:
            return (self.number_rows(y) - self.target_scaling.shift) / self.target_scaling.scale
        found, inverse = np.unique(as_label_array(y), return_inverse=True)
        found = found.tolist()
        if self.classes is None:
            place = {label_name(label): label for label in found if not isinstance(label, str) and label >= 0}
            known = "whole numbers from 0, for it knows no names of classes"
        else:
            place = {label_name(label): code for code, label in enumerate(self.classes.tolist())}
            known = listed(self.classes.tolist())
        unknown = [label for label in found if label_name(label) not in place]
        if unknown:
            raise InvalidValue(f"y holds labels that the model does not know: {listed(unknown)}; it knows {known}")
        return np.array([place[label_name(label)] for label in found], np.int64)[inverse.reshape(-1)]

    def labels(self, codes: np.ndarray) -> np.ndarray:
        """Return the labels of codes 0 ... k-1 in any shape; the codes themselves where there are no names."""
        return np.asarray(codes) if self.classes is None else self.classes[codes]

    def number_rows(self, y: ArrayLike) -> np.ndarray:
        """Return targets that are numbers, (n,) or (n, k), as an array (n, k), float64, in their own units.

        Raises InvalidType, InvalidValue or NotFinite for anything else, and for another k than `target_scaling` has.
        """
        rows = as_number_array(y)
        rows = rows[:, None] if rows.ndim == 1 else rows
        k = None if self.target_scaling is None else len(self.target_scaling.shift)
        if k not in (None, rows.shape[1]):
            raise InvalidValue(f"y has the shape {np.shape(y)}; the model gives {k} numbers a row: wanted (n, {k})")
        return rows

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs (n, k) of a model of numbers in the units of its target; float64 where these differ."""
        if self.target_scaling is None:
            return outputs
        return outputs.astype(np.float64) * self.target_scaling.scale + self.target_scaling.shift

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return what a model with these outputs (n, k) predicts.

        Labels (n,) of the highest outputs, the first of equals; or numbers in the units of the target, (n, k), and (n,)
        where k is 1; or for several labels a row 1 where an output is above 0, its probability above a half, else 0,
        (n, k) in int64.
        """
        if self.task == "multilabel":
            return (outputs > 0).astype(np.int64)
        if self.task != "numbers":
            return self.labels(outputs.argmax(-1))
        found = self.numbers(outputs)
        return found[:, 0] if found.shape[1:] == (1,) else found

    def check_probabilities(self) -> None:
        """Raise InvalidValue where outputs are numbers, which have no probabilities."""
        if self.task == "numbers":
            raise InvalidValue("predict_proba is for classes, and this model gives numbers: use predict")

    def reshape(self, shape: tuple[int, ...]) -> Self:
        """Return this signature for a model that takes the same numbers as rows of another `shape`.

        Raises InvalidValue where the shapes differ by more than axes of 1 or flattening.
        """
        if tuple(shape) == self.shape:
            return self
        if self.encoding is not None:
            raise InvalidValue(f"the data are a table with missing cells, categories or text, which become rows of "
                               f"shape {self.shape}; the model takes {tuple(shape)}: build one of dense layers with "
                               "the data's shape")
        if not same_numbers(self.shape, tuple(shape)):
            first = len(shape) > 1 and self.shape == (*shape[-1:], *shape[:-1])
            raise InvalidValue(f"the data have rows of shape {self.shape}, the model takes {tuple(shape)}: "
                               + ("channels go last: X.transpose(0, 2, 3, 1)" if first else
                                  "build the model with the data's shape"))
        scaling = self.scaling and Scaling(*(v if v.ndim == 0 else np.broadcast_to(v, self.shape).reshape(shape)
                                             for v in self.scaling))
        return replace(self, shape=tuple(shape), scaling=scaling,
                       feature_names=self.feature_names if len(shape) == 1 else None,
                       selection=self.selection if len(shape) == 1 else None)

    def select(self, places: Sequence[int], shape: tuple[int, ...]) -> Self:
        """Return the signature of a model that takes some features only, as rows of `shape`.

        `places` are theirs along the last axis of this signature's rows, flattened where `shape` has one axis.
        """
        places = [int(place) for place in places]
        names, scaling, chosen = self.feature_names, self.scaling, Selection(tuple(places), self.shape)
        return replace(self, shape=tuple(shape), feature_names=names and tuple(names[place] for place in places),
                       scaling=scaling and Scaling(*(picked_scaling(values, places, self.shape, shape)
                                                     for values in scaling)),
                       selection=chosen if self.selection is None else self.selection.of(places, self.shape),
                       encoding=self.encoding and self.encoding.select(places))

    def as_given(self, shape: tuple[int, ...]) -> Self:
        """Return a signature with the same outputs that takes rows of `shape` as they are."""
        return replace(self, shape=tuple(shape), scaling=None, feature_names=None, selection=None,
                       encoding=None)

    def fits(self, shape: tuple[int, ...], outputs: tuple[int, ...]) -> bool:
        """Return whether a model that takes rows of `shape` and gives `outputs` can have this signature."""
        known = self.classes if self.target_scaling is None else self.target_scaling.shift
        return self.shape == tuple(shape) and (known is None or known.shape == tuple(outputs))

    def to_json(self) -> dict:
        """Return what JSON holds of it; `from_json` reads it back."""
        scaling = self.scaling and {name: value.tolist() for name, value in self.scaling._asdict().items()}
        target = list(self.target) if isinstance(self.target, tuple) else self.target
        facts = {"shape": list(self.shape), "scaling": scaling, "task": self.task, "target": target,
                 "feature_names": None if self.feature_names is None else list(self.feature_names),
                 "classes": None if self.classes is None else self.classes.tolist()}
        if self.target_scaling is not None:
            facts["target_scaling"] = {name: value.tolist() for name, value in self.target_scaling._asdict().items()}
        if self.selection is not None:
            facts["selection"] = self.selection.to_json()
        if self.encoding is not None:
            facts["encoding"] = self.encoding.to_json()
        return facts

    @classmethod
    def from_json(cls, facts: object) -> Self:
        """Return the signature in JSON from a file that is not trusted.

        Raises InvalidValue or InvalidType for anything that `to_json` does not write.
        """
        if not isinstance(facts, dict) or set(facts) - SOME != KEYS:
            raise InvalidValue(f"its signature is {quoted(repr(facts))}; wanted a table of {', '.join(sorted(KEYS))}")
        shape, scaling, classes, names = (facts[key] for key in ("shape", "scaling", "classes", "feature_names"))
        if not (isinstance(shape, list) and len(shape) <= MOST_AXES):
            raise InvalidValue(f"its signature has the shape {quoted(repr(shape))}")
        for what, values in (("classes", classes), ("feature_names", names)):
            check_list(what, values)
        target = tuple(facts["target"]) if isinstance(facts["target"], list) else facts["target"]
        if not isinstance(facts["task"], str):
            raise InvalidType(f"its signature has the task {quoted(repr(facts['task']))}")
        encoding = Encoding.from_json(facts["encoding"]) if "encoding" in facts else None
        return cls(tuple(shape), classes, plain_scaling(scaling), names, facts["task"], target,
                   plain_scaling(facts.get("target_scaling")), facts.get("selection"), encoding)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Signature) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.shape, self.task, self.target, self.feature_names))

    def __repr__(self):
        scaling = "as given" if self.scaling is None else "scaled"
        words = {"classes": "classes", "multilabel": "labels, any number a row"}
        k = "k" if self.classes is None else len(self.classes)
        gives = f"{k} {words[self.task]}" if self.task in words else self.task
        return f"Signature({self.shape}, {scaling} -> {gives})"

    def _indicator(self, y):
        """Return whether each row has each label, bool (n, k), for the k that this signature names."""
        found = as_indicator(y)
        if self.classes is not None and found.shape[1] != len(self.classes):
            raise InvalidValue(f"y has the shape {np.shape(y)}; the model gives {len(self.classes)} labels: wanted "
                               f"(n, {len(self.classes)}) of 0 and 1, the columns {listed(self.classes.tolist())}")
        return found

    def _reshaped(self, X):
        """Return X as (n, *shape) where its shape differs by axes of 1 or by flattening, else X."""
        if is_sparse(X) or not same_numbers(X.shape[1:], self.shape):
            return X
        if without_ones(X.shape[1:]) != without_ones(self.shape):
            warnings.warn(f"rows of shape {X.shape[1:]} are taken as {self.shape}, which the model wants",
                          UserWarning, stacklevel=3)
        return X.reshape(len(X), *self.shape)


def scaled(X: np.ndarray | csr_array, scaling: Scaling, dtype: Dtype) -> np.ndarray | SparseRows:
    """Return (X - shift) / scale, computed in float64 and rounded once; NotFinite where that holds NaN or infinity."""
    if is_sparse(X):
        return _scaled_csr(X, scaling, dtype)
    out = np.empty(X.shape, dtype)
    for start in range(0, len(X), CHUNK):
        with np.errstate(all="ignore"):  # what overflows is found below
            rows = X[start:start + CHUNK].astype(np.float64)
            rows -= scaling.shift
            rows /= scaling.scale
            out[start:start + CHUNK] = rows
    try:
        check_finite("scaled X", out)
    except NotFinite:
        check_finite("X", X)  # which names what was given
        raise
    return out


def _scaled_csr(X, scaling, dtype):
    """Return `scaled` of sparse rows; InvalidValue where a shift would make their zeros other numbers."""
    check_keeps_zeros(scaling, X)
    shift, scale, data = *scaling, np.empty(X.nnz, dtype)
    for start in range(0, X.nnz, CHUNK**2):
        part = slice(start, start + CHUNK**2)
        with np.errstate(all="ignore"):  # what overflows is found below
            values = X.data[part].astype(np.float64)
            if shift.any():
                values -= shift if shift.ndim == 0 else shift[X.indices[part]]
            data[part] = values / (scale if scale.ndim == 0 else scale[X.indices[part]])
    check_finite_data("X", X)
    found = with_data(X, data)
    check_finite_data("scaled X", found)
    return SparseRows(found)


def check_keeps_zeros(scaling: Scaling, X: csr_array) -> None:
    """Refuse a scaling that subtracts something from features of which X does not store every value: InvalidValue."""
    if not scaling.shift.any():
        return
    shifted = np.broadcast_to(scaling.shift, X.shape[1:]) != 0
    if (np.bincount(X.indices, minlength=X.shape[1])[shifted] < X.shape[0]).any():
        raise InvalidValue("X is a sparse matrix, and the signature subtracts a number from its features, which would "
                           "make it dense: scale by scaling='max' (or 'unit' of sparse rows), or give X.toarray()")
