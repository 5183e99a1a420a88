"""Prune: choose what goes, and mask it.

    result = prune(model, 0.9, criterion="taylor", structure="filter", data=data, rng=0)
    result.removed, result.remaining, result.units, result.per_layer
    result.undo()
    small = prune(model, structure="filter", macs=0.5).compact()       # half the multiply-adds, and the smaller model

    plan = plan_prune(model, 0.9)      # the same, not yet done: plan.count weights are to go
    result = plan.apply()

One path for everything: a criterion gives scores, a structure reduces them to pieces, a distribution says how many go
where, one selector takes exactly so many, and the structure expands them to a mask.
"""
import math
from functools import partial

import numpy as np

from minnet.engine.sample import SAMPLES, draw_sample
from minnet.errors import InvalidType, InvalidValue, check_choice, check_fraction, check_real, quoted
from minnet.pruning.alone import by_sensitivity
from minnet.pruning.budgets import Budget, Costs, by_layer
from minnet.pruning.choose import choose
from minnet.pruning.compensation import COMPENSATIONS
from minnet.pruning.distributions import DISTRIBUTIONS
from minnet.pruning.named import structure_of
from minnet.pruning.pool import Pool
from minnet.pruning.result import Plan
from minnet.pruning.scores import reduced, score

PAIR = 2  # a range has two ends


def prune(model, sparsity=None, *, count=None, macs=None, bytes=None, units=None, latency=None,
          clock=None, criterion="magnitude", structure="weight", distribution="global", layers=None, protect=None,
          value_range=None, data=None, samples=SAMPLES, reduction=None, per=None, rng=None, min_density=None,
          compensate=None, record=None):
    """Mask exactly round(sparsity n) of the n pieces in the scope: masked ones first, then the lowest scores, then the
    lowest indices. Returns a `Result`; where so many are gone already nothing changes. What is masked becomes +0.0.

    The scope is `layers` (names, patterns, kinds, "last:2"; all by default) less `protect`; n counts everything in it,
    in the pieces of `structure`: weights, or whole units. "sensitive:2" and "insensitive:2" are measured on the
    validation part of `data` with this criterion and structure, each layer pruned alone. `criterion` is a name or a
    function (model, data) -> scores, higher = keep; of `data` (a Dataset's training part, a pair X, y, or a Sample) it
    sees `samples` rows (None: all), drawn by `rng`. `reduction` says how the scores of a piece's weights become one,
    `per` ("macs", "bytes") by which cost it is divided, `distribution` how much each layer loses, `min_density` what
    each keeps at least. With `value_range=(lo, hi)` only weights with lo <= |w| <= hi may go.

    Exactly one budget is given: `sparsity` in [0, 1]; `count`, how many pieces are to be gone; `macs`, multiply-adds,
    or `bytes`, the size of `save(compact(model), path)`, that may remain (an int, or a float as a share of the unpruned
    model), pieces going until it holds; `latency`, a share of the time by `clock`, a function mask -> seconds as
    `latency_table` measures it, for structures of whole units; or `units`, how many units of each named layer remain
    (structure "weight" then means "channel"). None is given where
    the structure sets the count ("2:4") or the distribution does (a dict of layers and sparsities).

    `compensate`, a name in COMPENSATIONS or a function (model, data, before), then lets what stays make up for what
    went: it sees the rows that the criterion saw, and is not called where nothing went; `undo` takes it back as well.

    The Result joins the list `record` if there is one: a `Record` says of every weight in which round it went and why.

    Raises InvalidValue or InvalidType, and changes nothing, for what cannot be: among others fewer pieces that may go
    than are asked for (the largest count is named), and NaN scores.
    """
    return plan_prune(model, sparsity, count=count, macs=macs, bytes=bytes, units=units, latency=latency,
                      clock=clock, criterion=criterion, structure=structure, distribution=distribution, layers=layers,
                      protect=protect, value_range=value_range, data=data, samples=samples, reduction=reduction,
                      per=per, rng=rng, min_density=min_density, compensate=compensate).apply(record)


def plan_prune(model, sparsity=None, *, count=None, macs=None, bytes=None, units=None, latency=None,
               clock=None, criterion="magnitude", structure="weight", distribution="global", layers=None, protect=None,
               value_range=None, data=None, samples=SAMPLES, reduction=None, per=None, rng=None, min_density=None,
               compensate=None):
    """What `prune` would do, as a `Plan` that can be looked at and applied; the model is not changed."""
    budget = Budget(sparsity, count, macs, bytes, units, latency, clock)
    structure = budget.structure(structure)
    rank = partial(by_sensitivity, model, data=data, criterion=criterion, structure=structure, samples=samples,
                   reduction=reduction, rng=rng)
    pieces = structure_of(structure)(model, choose(model, layers, protect, rank))
    remedy = None if compensate is None else check_choice("compensation", compensate, COMPENSATIONS)
    if remedy is not None:
        data = drawn(model, data, samples, rng)
    own = isinstance(distribution, dict)
    spread = distribution if own else check_choice("distribution", distribution, DISTRIBUTIONS)
    budget.check(pieces, distribution, min_density)
    may_go = in_range(model, value_range)
    floor = 0.0 if min_density is None else check_fraction("min_density", min_density)
    scores = reduced(pieces, score(model, criterion, data, samples=samples, rng=rng), criterion, reduction)
    if per is not None:
        scores = scores / Costs(model).of(per, pieces, model.mask)
    pool = Pool(pieces, scores, pieces.state(model.mask, may_go), floor)
    return Plan(model, pool, *allot(model, pool, budget, spread), remedy and partial(remedy, model, data))


def drawn(model, data, samples, rng):
    """The Sample that criterion and compensation share."""
    if data is None:
        raise InvalidValue("compensate= needs data, got data=None: prune(model, ..., data=data)")
    return draw_sample(model, data, samples=samples, rng=rng)


def allot(model, pool, budget, distribution):
    """(heaps, counts, gone): who goes, by the budget, or by the structure or distribution that sets its own count."""
    if pool.pieces.own_count:
        return pool.pieces.cut(pool)
    if isinstance(distribution, dict):
        return pool.exactly(by_layer(distribution, pool))
    if budget.name == "units":
        return pool.exactly(budget.losses(pool))
    return pool.spread(budget.count_of(model, pool, distribution), distribution)


def in_range(model, value_range):
    """(n_weights,) bool: may the weight go by its size; None where all may. Raises where the pair is no range."""
    if value_range is None:
        return None
    if not isinstance(value_range, tuple | list) or len(value_range) != PAIR:
        raise InvalidType(f"value_range={quoted(repr(value_range))}; wanted a pair (lowest, highest) of |w|")
    low, high = (math.inf if value == math.inf else check_real("value_range", value, 0) for value in value_range)
    if not low < high:
        raise InvalidValue(f"value_range={quoted(repr(value_range))}; wanted (lowest, highest) with lowest < highest")
    size = np.abs(model.weights)
    return (size >= low) & (size <= high)
