"""Helpers of criteria that judge units: a unit's weights as a column, and a unit's score at each weight into it.

    judge_columns(model, judge)        # judge(columns (K, u)) -> (u,), layer by layer
    spread(model, coupling, by_root)   # by_root (n_units,): the score of each unit of the Coupling

Units are numbered by a Coupling: `model.couple()`.
"""
from collections.abc import Callable, Sequence

import numpy as np

from minnet.engine.model import Model
from minnet.engine.space import Coupling
from minnet.engine.vector import Parameter
from minnet.errors import Unsupported
from minnet.pruning.pieces import positions_in

MOST_PLACES = 2**26  # entries of the dense shape of a layer born sparse: half a gigabyte of float64


def judge_columns(model: Model, judge: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Score the units of each layer by `judge`, and return each score at the unit's weights: (n_weights,) float64.

    `judge` takes the incoming weights (K, u), float64, of the u units that are not masked whole, as columns, and
    returns (u,). Units that are masked whole score 0, and no other is compared with them.
    """
    scores = np.zeros(model.n_weights)
    for p in model.weight_parameters:
        live = columns_of(p, p.mask).any(axis=0)
        found = np.zeros(p.shape[-1])
        if live.any():
            found[live] = judge(columns_of(p, p.value)[:, live].astype(np.float64))
        scores[p.slice] = found[positions_in(p) % p.shape[-1]]
    return scores


def columns_of(p: Parameter, window: np.ndarray) -> np.ndarray:
    """Return a window of the parameter (its value, its mask) as the matrix (K, out).

    Entries that a layer born sparse does not have are 0. Raises Unsupported if such a layer is too large.
    """
    if p.index is not None and p.size > MOST_PLACES:
        raise Unsupported(f"{p.name} was born sparse, and this criterion needs its dense shape, {p.size:,} entries, of "
                          f"which {MOST_PLACES:,} are the most: take magnitude, taylor or wanda")
    matrix = np.zeros(p.size, window.dtype)
    matrix[positions_in(p)] = window.reshape(-1)
    return matrix.reshape(-1, p.shape[-1])


def spread(model: Model, coupling: Coupling, by_root: np.ndarray) -> np.ndarray:
    """Return for each weight the score of the unit that it feeds: (n_weights,) float64."""
    scores = np.empty(model.n_weights)
    for use in coupling.uses:
        p = use.parameter
        if p.kind == "weight" and not use.reads:
            scores[p.slice] = by_root[coupling.roots(use.units)][positions_in(p) % p.shape[-1]]
    return scores


def mean_by_root(coupling: Coupling, units: Sequence[np.ndarray], numbers: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of the numbers of each unit: (n_units,) float64.

    `units` and `numbers` are aligned lists of arrays (m,). Units without a number and units that cannot be removed have
    infinity.
    """
    times, total = np.zeros((2, coupling.n_units))
    for given, found in zip(units, numbers, strict=True):
        roots = coupling.roots(given)
        times += np.bincount(roots, minlength=coupling.n_units)
        total += np.bincount(roots, found, minlength=coupling.n_units)
    free = (times > 0) & ~coupling.fixed()
    return np.where(free, total / np.maximum(times, 1), np.inf)
