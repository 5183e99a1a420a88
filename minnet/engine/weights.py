"""Weights of rows: how much each row counts in the loss and in scores.

    weights = row_weights(y, sample_weight=None, class_weight="balanced", labels=range(10))

A row's weight is its sample weight times the weight of its class. A row of weight 2 counts as that row given twice.
"""
from collections.abc import Mapping, Sequence

import numpy as np

from minnet.arrays import as_numbers
from minnet.errors import InvalidType, InvalidValue, NotFinite, check_real, quoted, unknown
from minnet.typing import ArrayLike, ClassWeight

BALANCED = "balanced"


def row_weights(y: np.ndarray, sample_weight: ArrayLike | None = None, class_weight: ClassWeight = None,
                labels: Sequence = ()) -> np.ndarray | None:
    """Return the weight of each row, or None where neither kind of weight is given.

    Parameters
    ----------
    y : numpy.ndarray
        Targets as a loss takes them: class numbers (n,), or numbers (n, k).
    sample_weight : array_like, optional
        Shape (n,), each at least 0.
    class_weight : "balanced" or mapping, optional
        See `class_factors`.
    labels : sequence
        The label of each class number.

    Returns
    -------
    numpy.ndarray or None
        Shape (n,), float64.

    Raises
    ------
    InvalidValue, InvalidType, UnknownName
        A weight is negative, not finite or no number, all are 0, or a label is unknown.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(len(y)) if sample_weight is None else _check_sample_weight(sample_weight, len(y))
    if class_weight is not None:
        if y.dtype.kind != "i":
            raise InvalidValue(f"class_weight={quoted(repr(class_weight))} is for classes, and the targets are "
                               "numbers or several labels a row: give sample_weight, in Python, or leave it out")
        weights = weights * class_factors(y, weights, class_weight, labels)[y]
    if len(y) and not weights.any():
        raise InvalidValue("the weights of all rows are zero: at least one must be above 0")
    return weights


def class_factors(y: np.ndarray, weights: np.ndarray, class_weight: ClassWeight, labels: Sequence) -> np.ndarray:
    """Return the weight of each class.

    "balanced" is n / (k * count), so that all classes weigh the same in sum: k classes occur, and rows are counted
    with their `weights` (n is the sum of these). A mapping gives weights by label, 1 where a label is not named; a
    label may also be given as text.

    References
    ----------
    King and Zeng (2001), "Logistic regression in rare events data", section 4.2 (weights by inverse share).
    """
    if isinstance(class_weight, str) and class_weight == BALANCED:
        counts = np.bincount(y, weights, minlength=len(labels))
        occur = np.count_nonzero(counts)
        return np.divide(counts.sum(), occur * counts, out=np.zeros(len(counts)), where=counts > 0)
    if not isinstance(class_weight, Mapping):
        raise InvalidType(f"class_weight={quoted(repr(class_weight))}: give {BALANCED!r}, a mapping from labels to "
                          "weights, or None")
    labels = np.asarray(labels).tolist()
    numbers = {str(label): i for i, label in enumerate(labels)} | {label: i for i, label in enumerate(labels)}
    factors = np.ones(len(labels))
    for label, weight in class_weight.items():
        number = numbers.get(label, numbers.get(str(label)))
        if number is None:
            raise unknown("class in class_weight", label, labels)
        factors[number] = check_real(f"the weight of class {quoted(str(label))}", weight, 0)
    return factors


def imbalance(y: np.ndarray) -> tuple[float, int, int]:
    """Return (ratio, rarest, commonest): rows of the commonest class over those of the rarest that occurs."""
    classes, counts = np.unique(y, return_counts=True)
    few, many = counts.argmin(), counts.argmax()
    return float(counts[many] / counts[few]), int(classes[few]), int(classes[many])


def _check_sample_weight(sample_weight, n):
    """Return the weights as float64, checked: one for each row, finite and at least 0."""
    weights = as_numbers("sample_weight", sample_weight)
    if weights.shape != (n,):
        raise InvalidValue(f"sample_weight has the shape {weights.shape}; wanted ({n},), one weight for each row")
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all():
        row = np.flatnonzero(~np.isfinite(weights))[0]
        raise NotFinite(f"sample_weight holds {weights[row]} in row {row}; wanted finite numbers of at least 0")
    if len(weights) and weights.min() < 0:
        raise InvalidValue(f"sample_weight holds {weights.min():g} in row {weights.argmin()}; wanted at least 0")
    return weights
