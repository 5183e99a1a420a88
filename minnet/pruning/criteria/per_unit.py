"""What criteria that judge units share: a unit's weights as a column, and a unit's score at each weight into it.

    judge_columns(model, judge)        # judge(columns (K, u)) -> (u,), layer by layer
    spread(model, coupling, by_root)   # by_root (n_units,): the score of each unit of the Coupling
"""
import numpy as np

from minnet.errors import Unsupported
from minnet.pruning.pieces import positions_in

MOST_PLACES = 2**26  # of a layer born sparse that is looked at in its dense shape: half a gigabyte of float64


def judge_columns(model, judge):
    """(n_weights,) float64: what `judge` says of each unit of each layer, at the unit's weights.

    `judge` is given the incoming weights (K, u), float64, of the u units that are not masked whole, as columns, and
    returns (u,). Units that are masked whole have 0: they are as good as gone, and no other is compared with them.
    """
    scores = np.zeros(model.n_weights)
    for p in model.weight_parameters:
        live = columns_of(p, p.mask).any(axis=0)
        found = np.zeros(p.shape[-1])
        if live.any():
            found[live] = judge(columns_of(p, p.value)[:, live].astype(np.float64))
        scores[p.slice] = found[positions_in(p) % p.shape[-1]]
    return scores


def columns_of(p, window):
    """A window of the parameter (its value, its mask) as the matrix (K, out); 0 where it was born without a weight.

    Raises Unsupported for a layer that was born sparse since it is too large for that.
    """
    if p.index is not None and p.size > MOST_PLACES:
        raise Unsupported(f"{p.name} was born sparse, and this criterion wants its dense shape, {p.size:,} places, of "
                          f"which {MOST_PLACES:,} are the most: take magnitude, taylor or wanda")
    matrix = np.zeros(p.size, window.dtype)
    matrix[positions_in(p)] = window.reshape(-1)
    return matrix.reshape(-1, p.shape[-1])


def spread(model, coupling, by_root):
    """(n_weights,) float64: the score of the unit that each weight goes into."""
    scores = np.empty(model.n_weights)
    for use in coupling.uses:
        p = use.parameter
        if p.kind == "weight" and not use.reads:
            scores[p.slice] = by_root[coupling.roots(use.units)][positions_in(p) % p.shape[-1]]
    return scores


def mean_by_root(coupling, units, numbers):
    """(n_units,) float64: the mean of the numbers that each unit was given, infinity for units that were given none or
    may not go. `units` and `numbers` are lists of arrays (m,) in step."""
    times, total = np.zeros((2, coupling.n_units))
    for given, found in zip(units, numbers, strict=True):
        roots = coupling.roots(given)
        times += np.bincount(roots, minlength=coupling.n_units)
        total += np.bincount(roots, found, minlength=coupling.n_units)
    free = (times > 0) & ~coupling.fixed()
    return np.where(free, total / np.maximum(times, 1), np.inf)
