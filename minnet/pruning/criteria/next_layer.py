"""Criteria from the next layer: which units can be removed while its outputs stay as they are.

The contribution of unit u to output o of a layer that reads it, in window r of the sample, is z_u(r, o) = x_u(r)
W_u(o), summed over the taps of the kernel or the pixels of u; the layer's outputs, less the bias, are y = sum of z_u.
Both criteria need only the matrix of products M_uv = sum over r and o of z_u z_v, summed over all layers that read
both units.

Units that the same layers make are compared with each other. Both need data, take one forward pass over the sample, in
use, and return (n_weights,) float64 in [0, 1], a unit's score at each weight into it; infinity for the model's outputs.
Memory: K^2 numbers for a layer with a matrix (K, out).
"""
import warnings

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.engine.tape import Tape
from minnet.pruning.criteria.per_unit import columns_of, spread
from minnet.pruning.traits import Data, Traits
from minnet.pruning.units import makers_of

IMAGES = 64  # of a pass: the windows of a convolution take k * k times the room of its input
ROWS = 1024  # of K that are multiplied at once
STEPS = 10   # breakpoints of the path of penalties for each unit: units enter, and a few leave again


def thinet(model: Model, data: Data) -> np.ndarray:
    """Score each unit by its place in a greedy order of removal.

    ``round in which the unit is removed / number of units``: each round removes the unit that leaves the least sum over
    windows r and outputs o of ``(sum of z_u(r, o) over all removed u)^2``, z_u the contribution of unit u to the next
    layer.

    Exact over all outputs, where the paper draws some. A global cut takes the same share of each layer. 1 forward pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64 in (0, 1], a unit's score at each weight into it; infinity for the model's outputs.

    Raises
    ------
    Unsupported
        If a layer that was born sparse is too large for its dense shape.

    References
    ----------
    Luo, Wu and Lin, 2017, "ThiNet", algorithm 1.
    """
    return _choose(model, data, _greedy)


def lasso(model: Model, data: Data) -> np.ndarray:
    """Score each unit by the largest penalty under which a lasso still selects it.

    As a share of the penalty at which all beta are 0; unit u is selected if beta_u is not 0 in ``min over beta of 1/2
    sum over r and o of (y - sum of beta_u z_u)^2 + penalty |beta|_1``, each contribution z_u to the next layer's output
    y divided by ``||W_u||``.

    Exact, by least angle regression on M. 1 forward pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64 in [0, 1], a unit's score at each weight into it: 0 for a unit whose contribution is that of others;
        infinity for the model's outputs.

    Raises
    ------
    Unsupported
        If a layer that was born sparse is too large for its dense shape.

    References
    ----------
    He, Zhang and Sun, 2017, "Channel pruning for accelerating very deep neural networks", section 3.1.
    """
    return _choose(model, data, _last_penalty)


def _choose(model, data, rank):
    """Compute scores (n_weights,).

    `rank`(M (u, u), norms (u,)) -> (u,) is called for the units of each set of makers.
    """
    sample, coupling = draw_sample(model, data), model.couple()
    readers = [use for use in coupling.uses if use.reads]
    products = _input_products(model, sample, readers)
    scores = np.full(coupling.n_units, np.inf)
    for roots in _sets(model, coupling):
        place = np.full(coupling.n_units, len(roots))  # the last index is for all others
        place[roots] = np.arange(len(roots))
        M, squares = np.zeros((len(roots), len(roots))), np.zeros(len(roots))
        for use in readers:
            at = place[coupling.roots(use.units)]
            if (at < len(roots)).any():
                _add_products(M, squares, use.parameter, np.resize(at, len(products[use])), products[use])
        scores[roots] = rank(M, np.sqrt(squares))
    return spread(model, coupling, scores)


def _sets(model, coupling):
    """Return lists of units, by root number, that the same layers make, without those that cannot be removed."""
    fixed, found = coupling.fixed(), {}
    for root, makers in makers_of(model, coupling).items():
        if not fixed[root]:
            found.setdefault(frozenset(makers), []).append(root)
    return found.values()


def _input_products(model, sample, readers):
    """Sum x x' over windows, x the inputs of the rows of the weight's matrix: {use: (K, K) float64}."""
    tape, total = Tape(model), {use: 0 for use in readers}
    with one_blas_thread():
        for start in range(0, len(sample), IMAGES):
            model.forward(sample.X[start : start + IMAGES], tape)
            for use in readers:
                x = model.layers[use.parameter.layer].unfolded_input(tape).astype(np.float64)  # (n * positions, K)
                total[use] = total[use] + np.dot(x.T, x)
    return total


def _add_products(M, squares, p, at, inputs):
    """Add the products of one reader's contributions to M, and its squared weights to `squares`.

    `at` (K,) is the index in M of the unit that each row of the matrix reads; rows of no unit have the last index.
    """
    W = columns_of(p, p.value).reshape(len(at), -1).astype(np.float64)  # (K, o)
    rows = np.flatnonzero(at < len(M))
    at, W = at[rows], W[rows]
    squares += np.bincount(at, np.square(W).sum(axis=1), minlength=len(M))
    of_unit = np.eye(len(M))[at]  # (K, u), 1 where a row reads the unit: sums products over a unit's rows
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        products = inputs[np.ix_(rows[part], rows)] * np.dot(W[part], W.T)
        M += of_unit[part].T @ (products @ of_unit)


def _greedy(M, norms):
    """Compute the round in which each unit is removed, divided by u: (u,).

    The cost of a removed set and one more unit c is cost + 2 (sum of M_c over the set) + M_cc.
    """
    rank, added = np.zeros(len(M)), np.diag(M).copy()
    for k in range(1, len(M) + 1):
        unit = np.argmin(added)
        rank[unit] = k / len(M)
        added += 2 * M[unit]
        added[unit] = np.inf  # never chosen again
    return rank


def _last_penalty(M, norms):
    """Compute the largest penalty with beta_u not 0, divided by the largest with any beta not 0: (u,).

    M of the ``z_u / ||W_u||`` is M_uv / (n_u n_v).
    """
    from sklearn.linear_model import lars_path_gram

    scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    gram, last = scale[:, None] * M * scale, np.zeros(len(M))
    if not gram.any():
        return last
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units with the same contribution are left out
        penalties, _, beta = lars_path_gram(scale * M.sum(axis=1), gram, n_samples=1, method="lasso",
                                            max_iter=STEPS * len(M))
    for k in range(len(penalties) - 1, 0, -1):  # a unit first selected at breakpoint k entered at k - 1
        last[beta[:, k] != 0] = penalties[k - 1]
    return last / penalties[0]


CRITERIA = {f.__name__: f for f in (thinet, lasso)}
TRAITS = {name: Traits(unit=True, needs="data", passes="1 forward") for name in CRITERIA}
