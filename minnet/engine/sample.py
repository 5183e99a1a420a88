"""Sample: the data that a criterion sees, and the gradient over it.

Drawn from the training part only; layers run as in use (no dropout, running statistics), so a criterion never depends
on how rows are put into batches.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnet.arrays import as_numbers, check_X
from minnet.blas import one_blas_thread
from minnet.csr import SparseRows, as_csr, is_sparse
from minnet.engine.losses import LOSSES
from minnet.engine.rng import as_rng
from minnet.engine.tape import Tape
from minnet.engine.targets import check_targets, default_loss
from minnet.errors import InvalidType, InvalidValue, check_choice, check_count, quoted
from minnet.typing import Seed

if TYPE_CHECKING:  # the engine loads no readers
    from minnet.data import Signature

SAMPLES = 1024


@dataclass(frozen=True, eq=False)
class Sample:
    """Hold the data that a criterion sees.

    Attributes
    ----------
    X : numpy.ndarray or SparseRows
        Shape ``(n, *input_shape)``; rows taken by an index are dense.
    y : numpy.ndarray
        Shape (n,) or (n, k).
    loss : callable
        The loss that the model is trained by.
    rng : numpy.random.Generator
        What a criterion draws from.
    rows : int
        How many rows a batch takes.
    """

    X: np.ndarray | SparseRows
    y: np.ndarray
    loss: object
    rng: np.random.Generator
    rows: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Divide the rows into batches, in order.

        Yields
        ------
        tuple of numpy.ndarray
            Pairs (X, y) of at most `rows` rows.
        """
        for start in range(0, len(self.X), self.rows):
            yield self.X[start : start + self.rows], self.y[start : start + self.rows]


def draw_sample(model, data, *, samples: int | None = SAMPLES, loss: str | Callable | None = None,
                rng: Seed = None) -> Sample:
    """Draw the Sample for `model`: min(n, `samples`) rows of the training part, without replacement, kept in order.

    `data` is a Dataset or a pair (X, y); all rows are taken where `samples` is None. A Sample passes through.
    """
    if isinstance(data, Sample):
        return data
    rng = as_rng(rng)
    X, y = part_of(model, data)
    if samples is not None and check_count("samples", samples, 1) < len(X) == len(y):
        rows = np.sort(rng.choice(len(X), samples, replace=False))
        X, y = X.take(rows, axis=0), y[rows]
    return Sample(*check_pair(X, y, model, loss), rng, model.rows_at_once())


def part_of(model, data, part: str = "train") -> tuple[np.ndarray | SparseRows, np.ndarray]:
    """Return (X, y) as the layers and losses of `model` take them: scaled rows, codes of classes.

    All that learns or judges gets its data here; what is returned is for `model.forward` and
    `model.without_signature()`, since `model(X)` would scale it again.

    Parameters
    ----------
    model : Model
        The model, whose signature holds; without one, that of a Dataset does.
    data : Dataset, Sample or (X, y)
        The part of a Dataset, the rows of a Sample, or a pair of raw arrays, whose values and labels are taken as
        given where the model has no signature.
    part : {"train", "valid", "test"}
        Which part of a Dataset.

    Returns
    -------
    tuple of numpy.ndarray
        Inputs and targets, as many of both as were given; SparseRows of sparse inputs.

    Raises
    ------
    InvalidType
        `data` is nothing of these.
    InvalidValue
        Its rows or labels are not those of the signature.
    """
    if isinstance(data, Sample):
        return data.X, data.y
    if isinstance(data, tuple) and len(data) == 2:
        X, y = data
    elif hasattr(data, f"X_{part}") and hasattr(data, f"y_{part}"):
        if hasattr(data, "signature"):
            return data.inputs(part, signature_for(model, data), model.dtype)
        X, y = getattr(data, f"X_{part}"), getattr(data, f"y_{part}")
    else:
        raise InvalidType(f"data={quoted(repr(data))}: give a Dataset, as load_data makes it, or a pair (X, y)")
    if model.signature is not None:
        return model.inputs(X), model.signature.codes(y)
    X = SparseRows(as_csr("X", X)) if is_sparse(X) else np.atleast_1d(as_numbers("X", X))
    return X, np.atleast_1d(as_numbers("y", y))


def scored_rows(model, data) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and labels to score, as `model(X)` takes them: the test part of a Dataset, a pair, or all of a file.

    Raises InvalidValue where a model without a signature is to take a file, and what `load_rows` raises.
    """
    if isinstance(data, tuple) and len(data) == 2:
        return data
    if hasattr(data, "X_test") and hasattr(data, "y_test"):
        if model.signature is None and hasattr(data, "signature"):
            return data.inputs("test", signature_for(model, data), model.dtype)
        return data.X_test, data.y_test
    from minnet.data import load_rows  # the engine loads no readers

    if model.signature is None:
        raise InvalidValue(f"data={quoted(repr(data))}: this model knows neither scaling nor labels, for it was "
                           "trained on bare arrays: give X and y")
    return load_rows(data, model)[:2]


def labels_of(data, model) -> Sequence:
    """Return the label of each output of `model`: those by which it takes `data`, else the numbers of the outputs."""
    signature = signature_for(model, data)
    labels = getattr(data, "classes", None) if signature is None else signature.classes
    return range(model.output_shape[-1]) if labels is None else labels


def signature_for(model, data) -> Signature | None:
    """Return the signature by which `model` takes `data`: its own, else that of a Dataset, else None."""
    own = getattr(data, "signature", None)
    return model.signature if model.signature is not None or own is None else own.reshape(model.input_shape)


def check_pair(X, y, model, loss: str | Callable | None = None) -> tuple[np.ndarray | SparseRows, np.ndarray, Callable]:
    """Return (X, y, loss), checked, as `model` and the loss take them; where the loss is None it is y's default."""
    X = check_X(X, model.input_shape, model.dtype)
    loss = default_loss(y) if loss is None else check_choice("loss", loss, LOSSES)
    y = check_targets(y, model, loss)
    if not 0 < len(X) == len(y):
        raise InvalidValue(f"X has {len(X)} rows and y {len(y)}: there must be as many, and at least one")
    return X, y, loss


def gradient(model, sample: Sample, values: np.ndarray | None = None) -> np.ndarray:
    """Return dL/dv, the gradient of the mean loss over the sample at `values` (the model's own by default).

    Returns a vector of the whole length in the dtype of `values`, its statistics zone 0. One forward and one backward
    pass over the sample. Masked entries have a gradient too: it says what a revived weight would do.
    """
    tape, total = Tape(model, values), 0
    with one_blas_thread():
        for X, y in sample.batches():
            logits = model.forward(X.astype(tape.dtype, copy=False), tape)
            dlogits = tape.buffer(sample, "dlogits", logits.shape)
            sample.loss(logits, y, dlogits, len(sample))
            model.backward(dlogits, tape)
            total = total + tape.grads
    total[model.n_trainable :] = 0
    return total
