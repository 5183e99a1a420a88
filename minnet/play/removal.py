"""The order in which weights are removed under each criterion, and how good the net is on the way: measured.

found = removal_of(model, "taylor", data, rng=0)
found.order                       # place of each weight: 0 is removed first
found.mask(model, 45_180)         # what `prune(model, count=45_180, criterion="taylor", ...)` masks
measured(model, found, X, y)      # the score at each of STOPS
"""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.data import Dataset
from minnet.engine.answers import answers
from minnet.engine.metrics import scores_of
from minnet.model import Model
from minnet.play.packing import BYTE, SHORT, packed
from minnet.pruning.criteria import CRITERIA
from minnet.pruning.scores import score

STOPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.82, 0.84, 0.86,
         0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
KNOTS = 513         # places at which the page knows the sorted scores; it interpolates between them
MOST_EXACT = 2**16  # weights up to which the page knows the exact place of each
NUMBERS, LABELS = "numbers", "multilabel"  # kinds of answers
BY_WEIGHTS = "magnitude"  # the page sorts by this one itself where its weights are exact


@dataclass(frozen=True, eq=False)
class Removal:
    """The order of removal under one criterion.

    Attributes
    ----------
    name : str
        Of the criterion.
    scores : numpy.ndarray
        Shape (n_weights,).
    order : numpy.ndarray
        Shape (n_weights,): the place of each weight, 0 for the one that is removed first.
    """

    name: str
    scores: np.ndarray
    order: np.ndarray

    def mask(self, model: Model, count: int) -> np.ndarray:
        """Return the model's mask after the first `count` weights are removed."""
        mask = model.mask.copy()
        mask[:model.n_weights] &= self.order >= count
        return mask


def removal_of(model: Model, criterion: str, data: Dataset, rng: int | np.random.Generator) -> Removal:
    """Return the order in which `prune` removes single weights, compared over the whole net.

    What is masked is first, then the lowest score, then the lowest index.
    """
    found = score(model, criterion, data, rng=rng)
    first = np.lexsort((found, model.mask[:model.n_weights]))
    order = np.empty(len(first), np.int64)
    order[first] = np.arange(len(first))
    return Removal(criterion, found, order)


def counts(n: int) -> list[int]:
    """Return how many of n weights are removed at each of STOPS."""
    return [round(stop * n) for stop in STOPS]


def measured(model: Model, removal: Removal, X: np.ndarray, y: np.ndarray) -> Iterator[float]:
    """Yield the score of the model on rows at each of STOPS, without training in between."""
    clone = model.clone()
    for count in counts(model.n_weights):
        clone.values[:] = model.values
        clone.set_mask(removal.mask(model, count))
        yield score_of(clone, X, y)


def score_of(model: Model, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of rows whose class, or labels, a model gives; of numbers R2."""
    found = answers(model, X, y)
    if found.kind == NUMBERS:
        return scores_of(found)["r2"]
    if found.kind == LABELS:
        return scores_of(found)["accuracy"]
    return float(np.mean(found.guesses == found.targets))


def as_json(removal: Removal, model: Model, found: Sequence[float]) -> dict[str, object]:
    """Return a criterion as JSON; where places are not exact, the first of STOPS at which each weight is removed."""
    n = len(removal.order)
    at = np.round(np.linspace(0, n - 1, min(n, KNOTS))).astype(np.int64)
    knots = packed(removal.scores[np.argsort(removal.order)][at])
    facts: dict[str, object] = {"name": removal.name, "about": about(removal.name), "found": found, "knots": knots}
    if n > MOST_EXACT:
        stop = np.searchsorted(counts(n), removal.order, side="right")
        return facts | {"stops": packed(stop, BYTE)}
    if removal.name == BY_WEIGHTS and model.mask.all() and model.dtype == np.float32:
        return facts
    return facts | {"order": packed(removal.order, SHORT)}


def about(name: str) -> str:
    """Return the first sentence of what a criterion does."""
    return (CRITERIA[name].__doc__ or "").strip().partition("\n")[0]
