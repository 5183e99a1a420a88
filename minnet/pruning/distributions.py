"""Distributions: how many pieces each layer loses when k are removed in all.

    prune(model, 0.9, distribution="erk")
    prune(model, distribution={"conv*": 0.5, "dense1": 0.95})       # each layer's own sparsity

Each is a function (candidates, k) -> (groups, shares): groups (n,) is the number of the group of each piece, shares the
real number of pieces that each group loses, k in all. Within a group the lowest scores are removed. Shares are then
rounded by largest remainder, within what each layer can lose, so that exactly k are removed. `candidates` is a
`Candidates` (candidates.py), whose layer groups are the layers, or layers that share their units.
"""
from collections.abc import Callable, Mapping

import numpy as np

from minnet.kernels.select import GONE, MAY_GO
from minnet.pruning.apportion import fill
from minnet.pruning.candidates import Candidates, Infeasible
from minnet.pruning.criteria import data_free
from minnet.pruning.select import select

Shares = tuple[np.ndarray, np.ndarray]  # (groups, shares)
Distribution = str | Mapping[str, float] | Callable[[Candidates, int], Shares]

LAST_AT_MOST = 0.8  # uniform_plus: the sparsity of the last layer


def global_(candidates: Candidates, k: int) -> Shares:
    """Compare all pieces with each other: remove the k lowest scores of the model.

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float
    """
    return np.zeros(len(candidates), np.int64), np.array([float(k)])


def layerwise(candidates: Candidates, k: int) -> Shares:
    """Remove the same share of every layer: n_l k / n.

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float
    """
    return candidates.layers, k * candidates.sizes / len(candidates)


def rowwise(candidates: Candidates, k: int) -> Shares:
    """Remove the same share of the weights into every output unit, each compared with its own row only.

    This is the comparison group of Wanda. For structure "weight".

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float

    Raises
    ------
    Unsupported
        The pieces are not single weights.

    References
    ----------
    .. [1] Sun et al., 2024, "A simple and effective pruning approach for large language models", section 3.
    """
    rows = candidates.pieces.rows()
    return rows, k * np.bincount(rows) / len(candidates)


def uniform_plus(candidates: Candidates, k: int) -> Shares:
    """Remove the same share of every layer, but none of the first and at most 80 % of the last.

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float

    Raises
    ------
    Infeasible
        The layers between cannot make up for these two.

    References
    ----------
    .. [1] Gale, Elsen and Hooker, 2019, "The state of sparsity in deep neural networks", section 3.2.
    """
    high = candidates.most.copy()
    high[-1] = max(min(int(LAST_AT_MOST * candidates.sizes[-1]), high[-1]), candidates.gone[-1])
    if len(high) > 1:
        high[0] = candidates.gone[0]
    if k > high.sum():
        raise Infeasible(f"cannot remove {k} pieces: uniform_plus protects the first layer and "
                         f"{1 - LAST_AT_MOST:.0%} of the last; ask for at most {high.sum()}, or take "
                         'distribution="layerwise"')
    return candidates.layers, fill(candidates.sizes, k, candidates.gone, high)


def erdos_renyi(candidates: Candidates, k: int) -> Shares:
    """Keep a density in proportion to (in + out) / (in out), at most 1; kernel sizes do not count.

    Where the bound of 1 binds for a layer, the others share what it leaves.

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float

    References
    ----------
    .. [1] Mocanu et al., 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity",
           eq. 3.
    """
    return candidates.layers, _by_density(candidates, k, lambda shape: sum(shape[-2:]) / np.prod(shape[-2:]))


def erk(candidates: Candidates, k: int) -> Shares:
    """Keep a density in proportion to (in + out + kh + kw) / (in out kh kw), at most 1.

    Where the bound of 1 binds for a layer, the others share what it leaves ("Erdos-Renyi-kernel").

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float

    References
    ----------
    .. [1] Evci et al., 2020, "Rigging the lottery", section 3.
    """
    return candidates.layers, _by_density(candidates, k, lambda shape: sum(shape) / np.prod(shape))


def lamp(candidates: Candidates, k: int) -> Shares:
    """Remove from each layer the share that a global cut of LAMP scores removes, for any criterion.

    The criterion decides which pieces of a layer are removed.

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float

    References
    ----------
    .. [1] Lee et al., 2021, "Layer-adaptive sparsity for the magnitude-based pruning".
    """
    return candidates.layers, _by_cut(candidates, k, data_free.lamp(candidates.pieces.model, None))


def quality(candidates: Candidates, k: int) -> Shares:
    """Remove from each layer the weights with ``|w|`` below q times the standard deviation of its weights.

    One q serves all layers: the one that removes k pieces in all.

    Parameters
    ----------
    candidates : Candidates
        The n pieces in the scope, with their scores.
    k : int
        How many of them are masked afterwards.

    Returns
    -------
    groups : (n,) array of int
    shares : (number of groups,) array of float

    References
    ----------
    .. [1] Han et al., 2015, "Learning both weights and connections for efficient neural networks", section 4.1.
    """
    model = candidates.pieces.model
    scores = np.abs(model.weights).astype(np.float64)
    for group in candidates.layer_groups:
        for p in group.parameters:
            spread = p.value[p.mask].std(dtype=np.float64) if p.mask.any() else 0.0
            if spread > 0:
                scores[p.slice] /= spread
    return candidates.layers, _by_cut(candidates, k, scores)


def _by_density(candidates, k, density):
    """Return what layers lose if each keeps n_l d_l, n - k in all, d_l in proportion to density(shape), at most 1."""
    sizes = candidates.sizes
    wanted = sizes * [density(group.parameters[0].shape) for group in candidates.layer_groups]
    return sizes - fill(wanted, sizes.sum() - k, np.zeros(len(sizes)), sizes)


def _by_cut(candidates, k, scores):
    """Return shares by a global cut of `scores` (n_weights,): the sparsity of each layer's weights after the cut."""
    model = candidates.pieces.model
    windows = [[p.slice for p in group.parameters] for group in candidates.layer_groups]
    sizes = np.array([sum(w.stop - w.start for w in group) for group in windows])
    chosen = np.concatenate([scores[w] for group in windows for w in group])
    live = np.concatenate([model.mask[w] for group in windows for w in group])
    gone = select(chosen, np.where(live, MAY_GO, GONE), round(k * sizes.sum() / len(candidates)))
    lost = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[gone], minlength=len(sizes))
    shares = candidates.sizes * (lost / sizes)
    return shares * (k / shares.sum()) if k else shares


DISTRIBUTIONS = {f.__name__.rstrip("_"): f
                 for f in (global_, layerwise, rowwise, uniform_plus, erdos_renyi, erk, lamp, quality)}
