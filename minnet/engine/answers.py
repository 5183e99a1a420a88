"""Answers: what a model gave for rows whose targets are known, and the sums over rows that every score is made of.

    found = answers(model, X, y)
    rates(found.table().sum(axis=1), found.k)["accuracy"]

A score is a function of sums over rows, so that a resample of the rows needs no more than other sums.
"""
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from minnet.arrays import power_of_2
from minnet.engine.losses import LOSSES, softmax
from minnet.engine.targets import are_labels, check_targets, default_loss
from minnet.engine.weights import row_weights
from minnet.errors import InvalidValue, check_choice
from minnet.typing import ArrayLike, ClassWeight

ROUNDING = 1e-12  # of a sum of squares: a spread below this share of it is 0
MOST_DENSE = 100  # classes up to which a dense product costs less than a sparse one
TOTALS = 3  # rows of a table before those of the classes or outputs


@dataclass(frozen=True, eq=False)
class Answers:
    """Hold what a model gave for n rows.

    Attributes
    ----------
    outputs : numpy.ndarray
        Shape (n, k), float64; numbers in the units of their targets.
    targets : numpy.ndarray
        Class numbers (n,), or numbers (n, k), or whether each row has each label, bool (n, k).
    mean : float
        The mean loss, all rows alike.
    losses : numpy.ndarray
        The loss of each row, of numbers as training scales them; NaN where a loss of the caller's own does not tell
        them.
    weights : numpy.ndarray or None
        The weight of each row; None where all count the same.
    """

    outputs: np.ndarray
    targets: np.ndarray
    mean: float
    losses: np.ndarray
    weights: np.ndarray | None = None

    @property
    def k(self) -> int:
        """The number of outputs."""
        return self.outputs.shape[1]

    @property
    def kind(self) -> str:
        """What the targets are: "classes", "numbers" or "multilabel"."""
        return {"i": "classes", "b": "multilabel"}.get(self.targets.dtype.kind, "numbers")

    @property
    def guesses(self) -> np.ndarray:
        """The class number with the highest output, of each row; of several labels whether each is above 0, (n, k)."""
        return self.outputs > 0 if self.kind == "multilabel" else self.outputs.argmax(axis=1)

    @property
    def units(self) -> np.ndarray:
        """The powers of 2 (k,) near the largest target of each output: what is divided by them has squares in range."""
        return power_of_2(np.abs(self.targets).max(axis=0))

    @property
    def loss(self) -> float:
        """The mean loss, by the weights."""
        return self.mean if self.weights is None else float(np.average(self.losses, weights=self.weights))

    def brier(self) -> np.ndarray:
        """Return each row's sum over the classes of (p - t)^2: p from softmax, t 1 for the target, in [0, 2].

        References
        ----------
        Brier (1950), "Verification of forecasts expressed in terms of probability".
        """
        errors = softmax(self.outputs)
        errors[np.arange(len(errors)), self.targets] -= 1
        return np.square(errors).sum(axis=1)

    @property
    def rates_of(self) -> Callable[[np.ndarray, int], dict[str, np.ndarray]]:
        """The function of (sums over rows of the `table`, k) that returns the scores."""
        return partial(number_rates, units=self.units) if self.kind == "numbers" else RATES[self.kind]

    def table(self):
        """Return the addends (q, n) of each row to the sums that `rates_of` takes."""
        tables = {"classes": self._class_table, "numbers": self._number_table, "multilabel": self._label_table}
        return tables[self.kind]()

    def _class_table(self):
        """Return a table: weight, loss and Brier score; then hits, support and predictions of each class."""
        from scipy.sparse import csr_array, vstack

        n, k, y, guess = len(self.targets), self.k, self.targets, self.guesses
        weights, rows = np.ones(n) if self.weights is None else self.weights, np.arange(n)
        totals = csr_array(weights * np.stack([np.ones(n), self.losses, self.brier()]))
        counts = [csr_array((weights * own, (column, rows)), shape=(k, n))
                  for own, column in ((y == guess, y), (1, y), (1, guess))]
        table = vstack([totals, *counts], format="csr")
        return table.toarray() if k <= MOST_DENSE else table

    def _label_table(self):
        """Return a table: weight, loss and whether all labels are right; then hits, support and guesses of each."""
        from scipy.sparse import csr_array

        y, guess = self.targets, self.guesses
        weights = np.ones(len(y)) if self.weights is None else self.weights
        totals = np.stack([np.ones(len(y)), self.losses, (y == guess).all(axis=1)])
        table = weights * np.concatenate([totals, (y & guess).T, y.T, guess.T])
        return table if self.k <= MOST_DENSE else csr_array(table)

    def _number_table(self):
        """Return a table: weight, loss and 0; then |e|, e^2, t and t^2 of each output in `units`, targets around 0."""
        targets = self.targets / self.units
        errors, targets = self.outputs / self.units - targets, targets - targets.mean(axis=0)
        n = len(errors)
        weights = np.ones(n) if self.weights is None else self.weights
        totals = np.stack([np.ones(n), self.losses, np.zeros(n)])
        parts = np.concatenate([np.abs(errors).T, np.square(errors).T, targets.T, np.square(targets).T])
        return weights * np.concatenate([totals, parts])


def answers(model, X, y, loss: str | Callable | None = None, class_weight: ClassWeight = None,
            sample_weight: ArrayLike | None = None) -> Answers:
    """Call the model once, on all rows, and return its Answers."""
    signature = getattr(model, "signature", None)
    codes = y if signature is None else signature.codes(y)
    loss_of: Callable = default_loss(codes) if loss is None else check_choice("loss", loss, LOSSES)
    given, targets = np.asarray(model(X)), check_targets(codes, model, loss_of)  # as the loss takes them in training
    outputs = given.astype(np.float64)
    if not 0 < len(outputs) == len(targets):
        raise InvalidValue(f"X has {len(outputs)} rows and y {len(targets)}: there must be as many, and at least one")
    weights = row_weights(targets, sample_weight, class_weight, _labels(signature, outputs.shape[1]))
    targets, told = (np.asarray(codes), targets) if are_labels(np.asarray(codes)) else (targets, targets)
    losses = np.full(len(outputs), np.nan)
    mean = float(loss_of(given, told, None, None, losses))
    if signature is not None and signature.target_scaling is not None:
        outputs, targets = signature.numbers(outputs), signature.number_rows(y)
    return Answers(outputs, targets, mean, losses, weights)


def _labels(signature, k):
    """Return the label of each of k outputs."""
    return range(k) if signature is None or signature.classes is None else signature.classes


def rates(sums: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Return the scores that sums (3 + 3k, ...) of a table of classes give: each (...), or (k, ...) of each class.

    Where nothing is divided by nothing the rate is 0, and the macro averages are over the classes that occur in
    targets or predictions, as in scikit-learn.
    """
    total, loss, brier = sums[:TOTALS]
    hits, support, predicted = sums[TOTALS:].reshape(3, k, *sums.shape[1:])
    recall, f1 = _ratio(hits, support), _ratio(2 * hits, support + predicted)
    occur = np.count_nonzero(support + predicted, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample whose weights are all 0
        return {"accuracy": hits.sum(axis=0) / total, "recall_macro": recall.sum(axis=0) / occur,
                "f1_macro": f1.sum(axis=0) / occur, "loss": loss / total, "brier": brier / total,
                "precision": _ratio(hits, predicted), "recall": recall, "f1": f1}


def label_rates(sums: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Return the scores that sums (3 + 3k, ...) of a table of several labels a row give, as `rates` does.

    The accuracy is the share of rows all of whose k labels are right, the Hamming loss the share of the n k answers
    that are wrong; f1_micro is that of all answers together, f1_macro the mean over all labels.
    """
    total, loss, whole = sums[:TOTALS]
    hits, support, predicted = sums[TOTALS:].reshape(3, k, *sums.shape[1:])
    recall, f1 = _ratio(hits, support), _ratio(2 * hits, support + predicted)
    answers_, right = (support + predicted).sum(axis=0), hits.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample whose weights are all 0
        return {"accuracy": whole / total, "hamming_loss": (answers_ - 2 * right) / (k * total),
                "f1_micro": _ratio(2 * right, answers_), "f1_macro": f1.mean(axis=0), "loss": loss / total,
                "precision": _ratio(hits, predicted), "recall": recall, "f1": f1}


def number_rates(sums: np.ndarray, k: int, units: np.ndarray) -> dict[str, np.ndarray]:
    """Return r2, mae, rmse and loss, means over the k outputs, from the sums (3 + 4k, ...) of a table of numbers."""
    absolute, squares, t, tt = sums[TOTALS:].reshape(4, k, *sums.shape[1:])
    units = units.reshape(k, *[1] * (sums.ndim - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = tt - t * t / sums[0]
        r2 = np.where(spread > ROUNDING * tt, 1 - squares / spread, np.where(squares > 0, 0.0, 1.0))
        return {"r2": r2.mean(axis=0), "mae": (absolute / sums[0] * units).mean(axis=0),
                "rmse": (np.sqrt(squares / sums[0]) * units).mean(axis=0), "loss": sums[1] / sums[0]}


def _ratio(part, whole):
    """Return part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


RATES = {"classes": rates, "multilabel": label_rates}  # by the kind of Answers, beside that of numbers
