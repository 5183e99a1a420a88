"""Scores: call a criterion, built-in or a user's own, and check what it returns.

    scores = score(model, "taylor", data, rng=0)          # (n_weights,), float32 or float64, no NaN
    ranking = Ranking("taylor", "filter", data, rng=0)
    candidates = ranking.candidates(model, ranking.pieces(model, ["conv1"]))

A criterion sees a `Sample` of the training part; without data it sees `NoData`, which only has an rng. It must leave
the model as it is: a change is undone and reported, also where the criterion raises.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.sample import SAMPLES, Sample, draw_sample
from minnet.errors import InvalidType, InvalidValue, NotFinite, check_choice, quoted
from minnet.pruning.candidates import Candidates
from minnet.pruning.costs import Costs
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.parse import Structure, structure_of
from minnet.pruning.pieces import Pieces, Reduction
from minnet.pruning.reductions import REDUCTIONS, UNSIGNED
from minnet.pruning.traits import Data
from minnet.typing import Seed

Criterion = str | Callable[..., np.ndarray]  # (model, data) -> (n_weights,)


@dataclass(frozen=True)
class Ranking:
    """How pieces get their scores: the arguments of `prune` that say it, with the same meaning and defaults."""

    criterion: Criterion = "magnitude"
    structure: Structure = "weight"
    data: Data | None = None
    samples: int | None = SAMPLES
    reduction: Reduction | None = None
    per: str | None = None
    rng: Seed = None

    def pieces(self, model: Model, layers: Sequence[str]) -> Pieces:
        """Return the pieces of these layers."""
        return structure_of(self.structure)(model, layers)

    def sample(self, model: Model) -> Sample:
        """Return the Sample that the criterion judges by."""
        return draw_sample(model, self.data, samples=self.samples, rng=self.rng)

    def candidates(self, model: Model, pieces: Pieces, may_go: np.ndarray | None = None,
                   floor: float = 0.0) -> Candidates:
        """Return the pieces with their scores.

        `may_go` (n_weights,) is False at protected weights; `floor` is the share of each layer that stays at least.
        """
        weights = score(model, self.criterion, self.data, samples=self.samples, rng=self.rng)
        scores = reduced(pieces, weights, self.criterion, self.reduction)
        if self.per is not None:
            scores = scores / Costs(model).of(self.per, pieces, model.mask)
        return Candidates(pieces, scores, pieces.state(model.mask, may_go), floor)


class NoData:
    """The stand-in for a Sample where no data were given: it has an rng, and raises for any other attribute."""

    def __init__(self, rng: Seed = None) -> None:
        self.rng = as_rng(rng)

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InvalidValue(f"this criterion needs data.{name}, but no data were given: prune(model, ..., data=data)")


def score(model: Model, criterion: Criterion, data: Data | None = None, *, samples: int | None = SAMPLES,
          rng: Seed = None) -> np.ndarray:
    """Return the scores (n_weights,) of a criterion, a name in CRITERIA or a function (model, data) -> scores.

    `data` is a Dataset, a pair X, y, a Sample or None; `samples` rows of it are drawn by `rng`. Raises InvalidValue
    where data are needed and None, where the criterion changes the model, and for scores of another length;
    NotFinite for NaN; InvalidType for anything but numbers. Infinite scores are legal: they are removed last, or first.
    """
    function = check_choice("criterion", criterion, CRITERIA)
    traits, name = traits_of(function), name_of(function)
    if data is None and traits.needs == "data":
        raise InvalidValue(f"the criterion {name} needs data, got data=None: prune(model, ..., data=data)")
    ignores = function in CRITERIA.values() and traits.needs == "weights"
    check_weights(model, name)
    seen = NoData(rng) if data is None or ignores else draw_sample(model, data, samples=samples, rng=rng)
    return check_scores(ask(function, name, model.without_signature(), seen), name, model)


def check_weights(model: Model, name: str) -> None:
    """Raise NotFinite where a parameter of the model holds NaN, of which no criterion can make an order."""
    if not np.isnan(model.values).any():
        return
    for parameter, p in model.parameters.items():
        wrong = int(np.count_nonzero(np.isnan(p.value)))
        if wrong:
            raise NotFinite(f"the criterion {name} got {wrong} NaN in {quoted(parameter)}; wanted numbers: train the "
                            "model again with a smaller learning rate, or load another file")


def ask(function: Callable[..., np.ndarray], name: str, model: Model, seen: Sample | NoData) -> np.ndarray:
    """Return function(model, seen); the model has the same bits afterwards, also where the function raises."""
    values, mask = model.values.copy(), model.mask.copy()
    changed = True
    try:
        scores = function(model, seen)
    finally:
        changed = model.values.tobytes() != values.tobytes() or model.mask.tobytes() != mask.tobytes()
        if changed:
            model.values[:], model.mask[:] = values, mask
    if changed:
        raise InvalidValue(f"the criterion {name} changed the model (that was undone): to compute with other "
                           "weights, take Tape(model, values)")
    return scores


def check_scores(scores: np.ndarray, name: str, model: Model) -> np.ndarray:
    """Return scores as the selector takes them: (n_weights,) float32 or float64, no NaN."""
    scores = np.asarray(scores)
    if scores.dtype.kind not in "fiub":
        raise InvalidType(f"the criterion {name} returned {scores.dtype} of shape {scores.shape}; wanted numbers")
    if scores.shape != (model.n_weights,):
        raise InvalidValue(f"the criterion {name} returned an array of shape {scores.shape}; wanted one number a "
                           f"weight, ({model.n_weights},)")
    wanted = np.float32 if scores.dtype in (np.float16, np.float32) else np.float64
    return check_numbers(np.ascontiguousarray(scores, wanted), name)


def check_numbers(scores: np.ndarray, name: str) -> np.ndarray:
    """Return the scores; raise NotFinite if one is NaN, since NaN has no order."""
    wrong = int(np.count_nonzero(np.isnan(scores)))
    if wrong:
        raise NotFinite(f"the criterion {name} returned {wrong} NaN among {len(scores)} scores; wanted numbers that "
                        "can be ordered")
    return scores


def name_of(function: Criterion) -> str:
    """Return the name of a criterion for messages; a partial has the name of its function."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def reduced(pieces: Pieces, scores: np.ndarray, criterion: Criterion, reduction: Reduction | None) -> np.ndarray:
    """Return the scores (n,) of pieces; without `reduction` the criterion's traits say which.

    Raises InvalidValue where a reduction would lose the sign of scores or the criterion cannot tell inputs apart,
    NotFinite where a reduced score is NaN.
    """
    traits, name = traits_of(check_choice("criterion", criterion, CRITERIA)), name_of(criterion)
    if pieces.frees_inputs and traits.unit:
        raise InvalidValue(f"the criterion {name} scores the units that a layer makes, and so all inputs alike: take "
                           "one that scores weights, such as magnitude or taylor")
    if reduction is not None:
        check_choice("reduction", reduction, REDUCTIONS)
    signed = traits.signed or bool(scores.min(initial=0) < 0)
    if reduction in UNSIGNED and signed:
        raise InvalidValue(f'reduction="{reduction}" of {name}, whose scores have a sign: a very low one would '
                           'count as high; take "sum", "mean", "max" or "abs_sum"')
    if reduction is None:
        reduction = "sum" if signed and not traits.unit else traits.default_reduction
    return check_numbers(pieces.reduce(scores, reduction), name)
