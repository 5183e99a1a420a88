"""Asking a criterion, built-in or somebody's own: what it is given, and what it may not do.

    scores = score(model, "taylor", data, rng=0)          # (n_weights,), float32 or float64, no NaN

A criterion sees a `Sample` of the training part; without data it sees `NoData`, which only has an rng. It must leave
the model as it is: a change is undone and reported, also where the criterion raises.
"""
import numpy as np

from minnet.engine.rng import as_rng
from minnet.engine.sample import SAMPLES, draw_sample
from minnet.errors import InvalidType, InvalidValue, NotFinite, check_choice
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.reductions import REDUCTIONS, UNSIGNED


class NoData:
    """Stands where a Sample would, when no data were given: it has an rng, and says so when asked for anything else."""

    def __init__(self, rng=None):
        self.rng = as_rng(rng)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise InvalidValue(f"this criterion asks for data.{name}, and no data were given: prune(model, ..., data=data)")


def score(model, criterion, data=None, *, samples=SAMPLES, rng=None):
    """The scores (n_weights,) of a criterion, a name in CRITERIA or a function (model, data) -> scores.

    `data` is a Dataset, a pair X, y, a Sample or None; `samples` rows of it are drawn by `rng`. Raises InvalidValue
    where data are needed and None, where the criterion changes the model, and for scores of another length;
    NotFinite for NaN; InvalidType for what are no numbers. Infinite scores are legal: they go last, or first.
    """
    function = check_choice("criterion", criterion, CRITERIA)
    traits, name = traits_of(function), name_of(function)
    if data is None and traits.needs == "data":
        raise InvalidValue(f"the criterion {name} needs data, got data=None: prune(model, ..., data=data)")
    ignores = function in CRITERIA.values() and traits.needs == "weights"
    seen = NoData(rng) if data is None or ignores else draw_sample(model, data, samples=samples, rng=rng)
    return check_scores(ask(function, name, model, seen), name, model)


def ask(function, name, model, seen):
    """function(model, seen); the model comes out with the bits it went in with."""
    values, mask = model.values.copy(), model.mask.copy()
    changed = True
    try:
        scores = function(model, seen)
    finally:
        changed = model.values.tobytes() != values.tobytes() or model.mask.tobytes() != mask.tobytes()
        if changed:
            model.values[:], model.mask[:] = values, mask
    if changed:
        raise InvalidValue(f"the criterion {name} changed the model (that was undone): to ask what other weights "
                           "would give, take Tape(model, values)")
    return scores


def check_scores(scores, name, model):
    """Scores as the selector takes them: (n_weights,) float32 or float64, no NaN."""
    scores = np.asarray(scores)
    if scores.dtype.kind not in "fiub":
        raise InvalidType(f"the criterion {name} returned {scores.dtype} of shape {scores.shape}; wanted numbers")
    if scores.shape != (model.n_weights,):
        raise InvalidValue(f"the criterion {name} returned an array of shape {scores.shape}; wanted one number a "
                           f"weight, ({model.n_weights},)")
    wanted = np.float32 if scores.dtype in (np.float16, np.float32) else np.float64
    return check_numbers(np.ascontiguousarray(scores, wanted), name)


def check_numbers(scores, name):
    """The scores, if they can be ordered."""
    wrong = int(np.count_nonzero(np.isnan(scores)))
    if wrong:
        raise NotFinite(f"the criterion {name} returned {wrong} NaN among {len(scores)} scores; wanted numbers that "
                        "can be ordered")
    return scores


def name_of(function):
    """What a criterion is called in messages; a partial is called by its function."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def reduced(pieces, scores, criterion, reduction):
    """(n,) scores of pieces. Without `reduction` the criterion's traits say which. Raises InvalidValue where a
    reduction would lose the sign of scores, NotFinite where the reduced ones are NaN."""
    traits, name = traits_of(check_choice("criterion", criterion, CRITERIA)), name_of(criterion)
    if reduction is not None:
        check_choice("reduction", reduction, REDUCTIONS)
    signed = traits.signed or bool(scores.min(initial=0) < 0)
    if reduction in UNSIGNED and signed:
        raise InvalidValue(f'reduction="{reduction}" of {name}, whose scores have a sign: a very low one would '
                           'count as high; take "sum", "mean", "max" or "abs_sum"')
    if reduction is None:
        reduction = "sum" if signed and not traits.unit else traits.default_reduction
    return check_numbers(pieces.reduce(scores, reduction), name)
