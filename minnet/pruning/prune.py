"""Prune: choose weights and mask them.

    result = prune(model, 0.9, criterion="taylor", structure="filter", data=data, rng=0)
    result.removed, result.remaining, result.units, result.per_layer
    result.undo()
    small = prune(model, structure="filter", macs=0.5).compact()       # half the multiply-adds, and the smaller model

    plan = plan_prune(model, 0.9)      # the same, not yet applied: plan.count weights would be masked
    result = plan.apply()

One path for everything: a criterion gives scores, a structure reduces them to pieces, a distribution says how many each
layer loses, one selector takes exactly that many, and the structure expands them to a mask.
"""
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from minnet.engine.model import Model
from minnet.engine.sample import SAMPLES
from minnet.errors import InvalidValue, check_choice
from minnet.pruning.budgets import Budget, by_layer
from minnet.pruning.candidates import Candidates
from minnet.pruning.choose import Patterns
from minnet.pruning.distributions import DISTRIBUTIONS, Distribution
from minnet.pruning.parse import Structure
from minnet.pruning.pieces import Reduction
from minnet.pruning.result import PrunePlan, Result
from minnet.pruning.scope import Scope
from minnet.pruning.scores import Criterion, Data, Ranking
from minnet.typing import Seed

Compensation = str | Callable[..., None]  # (model, data, before)
Outcome = TypeVar("Outcome")


class _Pruning(Generic[Outcome]):
    """The signature that `prune` and `plan_prune` share; `finish` makes of the plan what is returned."""

    def __init__(self, finish: Callable[[PrunePlan], Outcome]) -> None:
        self.finish = finish

    def prune(self, model: Model, sparsity: float | None = None, *, count: int | None = None, keep: int | None = None,
              macs: int | float | None = None, bytes: int | float | None = None, units: Mapping[str, int] | None = None,
              latency: float | None = None, clock: Callable[[np.ndarray], float] | None = None,
              flash: int | float | str | None = None, ram: int | float | str | None = None,
              precision: str | None = None, arithmetic: str | None = None, made: dict | None = None,
              criterion: Criterion = "magnitude", structure: Structure = "weight",
              distribution: Distribution = "global", layers: Patterns | None = None, protect: Patterns | None = None,
              value_range: tuple[float, float] | None = None, data: Data | None = None, samples: int | None = SAMPLES,
              reduction: Reduction | None = None, per: str | None = None, rng: Seed = None,
              min_density: float | None = None, compensate: Compensation | None = None,
              record: list[Result] | None = None) -> Outcome:
        """Mask exactly round(sparsity n) of the n pieces in the scope.

        Masked pieces count first, then the lowest scores, then the lowest indices. Where that many are masked already
        nothing changes. Masked weights become +0.0. The scope is `layers` without `protect`; n counts everything in it,
        in the pieces of `structure`: weights, or whole units.

        Exactly one budget is given: `sparsity`, `count`, `keep`, `macs`, `bytes`, `units`, `latency`, `flash` or `ram`
        (or these last two); none where the structure sets the count ("2:4") or the distribution does (a dict of layers
        and sparsities). `plan_prune` takes the same arguments, changes nothing, and returns a PrunePlan.

        Parameters
        ----------
        model : Model
            The model to prune, in place.
        sparsity : float, optional
            The fraction of the pieces that is masked afterwards, from 0 to 1.
        count : int, optional
            How many pieces are masked afterwards.
        keep : int, optional
            How many pieces of the scope remain, as in ``prune(model, structure="input", keep=8)``.
        macs, bytes : int or float, optional
            Multiply-adds, or the size of ``save(compact(model), path)``, that may remain: an int, or a float as a share
            of the unpruned model. Pieces are removed until it holds, and no more: with one piece fewer removed it would
            not (where the cost rises between, which bytes may, that is so of the count that is found).
        units : dict of str to int, optional
            How many units of each named layer remain; structure "weight" then means "channel".
        latency : float, optional
            The share of the time by `clock` that may remain, for structures of whole units.
        clock : callable, optional
            A function mask -> seconds for `latency`, as `latency_table` measures it.
        flash, ram : int, float or str, optional
            Bytes on a microcontroller that the C of the compacted model may take, as `minnet fit` counts them: flash is
            constants, to the byte, and an estimate of the code; RAM is work, input, output and stack, which only units
            free. An int, a share of the unpruned model's, or the name of a chip of `minnet fit`: three quarters of what
            it has, so that the verdict is FITS. Without a chip the core has no floats in hardware.
        precision : {"float32", "int8"}, optional
            How weights are written, for `bytes`, `flash` and `ram`.
        arithmetic : {"float", "int8"}, optional
            What the C computes with, as in `save_c`, for `flash` and `ram`.
        made : dict, optional
            What the file will say of how the model was made, as in `save`, for `bytes`, of which it takes some.
        criterion : str or callable, default "magnitude"
            A name in CRITERIA, or a function (model, data) -> scores (n_weights,), higher = keep.
        structure : str or callable, default "weight"
            A name in STRUCTURES, "2:4" (any n:m), "4x1" (any block), or a function (model, layers) -> Pieces.
        distribution : str, dict or callable, default "global"
            How much each layer loses: a name in DISTRIBUTIONS, the sparsity of layers by name or pattern, or a function
            (candidates, k) -> (groups, shares).
        layers, protect : str or list of str, optional
            Layers in the scope (default: all) and excluded from it: names, patterns, kinds, "last:2", "middle".
            "sensitive:2" and "insensitive:2" are measured on the validation part of `data` with this criterion and
            structure, each layer pruned by itself.
        value_range : (float, float), optional
            Only weights with lo <= ``|w|`` <= hi can be removed; n still counts all.
        data : Dataset, (X, y) or Sample, optional
            What the criterion sees; of a Dataset the training part.
        samples : int or None, default 1024
            How many rows of `data` are drawn, by `rng`; None for all.
        reduction : str or callable, optional
            How the scores of a piece's weights become one: a name in REDUCTIONS or a function; by default the criterion
            decides.
        per : {"macs", "bytes"}, optional
            The cost by which the score of each piece is divided.
        rng : int or Generator, optional
            The source of all randomness.
        min_density : float, optional
            The fraction of its pieces that each layer keeps at least.
        compensate : str or callable, optional
            How live values change to make up for the removed ones: a name in COMPENSATIONS or a function
            (model, data, before). It sees the rows that the criterion saw, and is not called where nothing is removed.
        record : list, optional
            The list that the Result joins. A `Record` says of every weight which round removed it, and why.

        Returns
        -------
        Result
            Of `prune`: counts, `explain`, `undo` and `compact`.
        PrunePlan
            Of `plan_prune`: the same counts, and `apply`.

        Raises
        ------
        InvalidValue, InvalidType
            If an argument is wrong, if fewer pieces can be removed than are asked for (the message names the largest
            count), or if scores are NaN. Then nothing changes.
        """
        budget = Budget(sparsity, count, macs, bytes, units, latency, clock, keep, flash, ram, precision, arithmetic,
                        made)
        scope = Scope(layers, protect, value_range, min_density)
        ranking = Ranking(criterion, budget.structure(structure), data, samples, reduction, per, rng)
        return self.finish(_plan(model, budget, scope, ranking, distribution, compensate, record))


def _plan(model, budget, scope, ranking, distribution, compensate, record):
    """Return the PrunePlan: the pieces in the scope, their scores, and which of them the budget removes."""
    pieces = ranking.pieces(model, scope.names(model, ranking))
    compensation, ranking = _compensation(model, compensate, ranking)
    spread = distribution if isinstance(distribution, dict) else \
        check_choice("distribution", distribution, DISTRIBUTIONS)
    budget.check(pieces, distribution, scope.min_density)
    candidates = ranking.candidates(model, pieces, scope.may_go(model), scope.floor)
    return PrunePlan(model, candidates, _choose(model, candidates, budget, spread), compensation, record)


def _compensation(model, compensate, ranking):
    """Return (the compensation as a function of the values before, or None; the Ranking on the rows that it sees)."""
    if compensate is None:
        return None, ranking
    from minnet.pruning.compensation import COMPENSATIONS  # here, as it needs second order, and is rarely asked for

    function = check_choice("compensation", compensate, COMPENSATIONS)
    if ranking.data is None:
        raise InvalidValue("compensate= needs data, got data=None: prune(model, ..., data=data)")
    sample = ranking.sample(model)
    return partial(function, model, sample), replace(ranking, data=sample)


def _choose(model: Model, candidates: Candidates, budget: Budget, distribution):
    """Return (groups, counts, gone): which pieces are masked, by the budget, the structure or the distribution."""
    if candidates.pieces.own_count:
        return candidates.pieces.cut(candidates)
    if isinstance(distribution, dict):
        return candidates.exactly(by_layer(distribution, candidates))
    if budget.name == "units":
        return candidates.exactly(budget.losses(candidates))
    return candidates.spread(budget.count_of(model, candidates, distribution), distribution)


prune = _Pruning(PrunePlan.apply).prune
plan_prune = _Pruning(PrunePlan.unapplied).prune
