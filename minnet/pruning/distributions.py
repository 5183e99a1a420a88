"""Distributions: how many pieces each layer loses, when k are to go in all.

    prune(model, 0.9, distribution="erk")
    prune(model, distribution={"conv*": 0.5, "dense1": 0.95})       # each layer's own sparsity

Each is a function (pool, k) -> (heaps, shares): heaps (n,) is the number of the heap that each piece lies in, shares
the real number of pieces that each heap loses, k in all. Within a heap the lowest scores go. Shares are then rounded by
largest remainder within what each layer can lose, so that exactly k go. `pool` is a `Pool`; a layer is a part of it.
"""
import numpy as np

from minnet.kernels.select import GONE, MAY_GO
from minnet.pruning.apportion import fill
from minnet.pruning.criteria import data_free
from minnet.pruning.pool import Infeasible
from minnet.pruning.select import select

LAST_AT_MOST = 0.8  # uniform_plus: the sparsity of the last layer


def global_(pool, k):
    """One heap: the k lowest scores, wherever they are."""
    return np.zeros(len(pool), np.int64), np.array([float(k)])


def layerwise(pool, k):
    """The same share of every layer: n_l k / n."""
    return pool.layers, k * pool.sizes / len(pool)


def rowwise(pool, k):
    """The same share of the weights into every output unit, which are compared with each other only: the comparison
    group of Wanda (Sun et al., 2024, section 3). For structure "weight"."""
    rows = pool.pieces.rows()
    return rows, k * np.bincount(rows) / len(pool)


def uniform_plus(pool, k):
    """The same share of every layer, but none of the first and at most 80 % of the last (Gale, Elsen and Hooker, 2019,
    section 3.2). Raises Infeasible where the layers between cannot make up for it."""
    high = pool.most.copy()
    high[-1] = max(min(int(LAST_AT_MOST * pool.sizes[-1]), high[-1]), pool.gone[-1])
    if len(high) > 1:
        high[0] = pool.gone[0]
    if k > high.sum():
        raise Infeasible(f"uniform_plus spares the first layer and {1 - LAST_AT_MOST:.0%} of the last: at most "
                           f'{high.sum()} may go, {k} are to go; take distribution="layerwise"')
    return pool.layers, fill(pool.sizes, k, pool.gone, high)


def erdos_renyi(pool, k):
    """Density in proportion to (in + out) / (in out), at most 1 (Mocanu et al., 2018, eq. 3); kernels do not count."""
    return pool.layers, _by_density(pool, k, lambda shape: sum(shape[-2:]) / np.prod(shape[-2:]))


def erk(pool, k):
    """Density in proportion to (in + out + kh + kw) / (in out kh kw), at most 1; where that caps a layer, the others
    share what it leaves (Evci et al., 2020, section 3, "Erdos-Renyi-kernel")."""
    return pool.layers, _by_density(pool, k, lambda shape: sum(shape) / np.prod(shape))


def lamp(pool, k):
    """The layer shares that a global cut of LAMP scores gives (Lee et al., 2021), whatever criterion ranks inside."""
    return pool.layers, _by_cut(pool, k, data_free.lamp(pool.pieces.model, None))


def quality(pool, k):
    """Each layer loses the weights with |w| below q times the standard deviation of its weights, one q for all (Han et
    al., 2015, section 4.1): the one that makes k go."""
    model = pool.pieces.model
    scores = np.abs(model.weights).astype(np.float64)
    for part in pool.parts:
        for p in part.parameters:
            spread = p.value[p.mask].std(dtype=np.float64) if p.mask.any() else 0.0
            if spread > 0:
                scores[p.slice] /= spread
    return pool.layers, _by_cut(pool, k, scores)


def _by_density(pool, k, density):
    """What layers lose if each keeps n_l d_l, n - k in all, with d_l in proportion to density(shape), at most 1."""
    sizes = pool.sizes
    wanted = sizes * [density(part.parameters[0].shape) for part in pool.parts]
    return sizes - fill(wanted, sizes.sum() - k, np.zeros(len(sizes)), sizes)


def _by_cut(pool, k, scores):
    """Shares by a global cut of `scores` (n_weights,): each layer's sparsity is that of its weights after the cut."""
    model = pool.pieces.model
    windows = [[p.slice for p in part.parameters] for part in pool.parts]
    sizes = np.array([sum(w.stop - w.start for w in part) for part in windows])
    chosen = np.concatenate([scores[w] for part in windows for w in part])
    live = np.concatenate([model.mask[w] for part in windows for w in part])
    gone = select(chosen, np.where(live, MAY_GO, GONE), round(k * sizes.sum() / len(pool)))
    lost = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[gone], minlength=len(sizes))
    shares = pool.sizes * (lost / sizes)
    return shares * (k / shares.sum()) if k else shares


DISTRIBUTIONS = {f.__name__.rstrip("_"): f
                 for f in (global_, layerwise, rowwise, uniform_plus, erdos_renyi, erk, lamp, quality)}
