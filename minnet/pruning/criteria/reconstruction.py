"""Criteria from how well a layer can keep its outputs when other weights compensate for the removed one.

For an output with weights w (K,) that become v, E is the mean over images of the sum over windows of (x'w - x'v)^2:
E = (w - v)' G (w - v), with G (K, K) the mean over images of the sum over windows of x x'. Masked weights have no part
in it, and weights whose inputs are always 0 cost nothing: both score 0.

`damping` times the mean of the diagonal of G is added to the diagonal, so that E counts how far weights move as well;
with 0, where G has no inverse, the limit is taken. All need data and take one forward pass over the sample, in use, and
K^2 numbers a layer; they return (n_weights,) float64. `compensation.least_squares` moves the remaining
weights once the mask is known.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.errors import InvalidValue, check_choice, check_count, check_fraction
from minnet.pruning.criteria.quadratic import DAMPING, grams, invert, matrices, ridge, weighted_layers, write
from minnet.pruning.traits import Data, Traits

STEPS = 96              # removals between two updates of the inverse
MOST_WORK = 10**13      # K^3 for each output, summed: above that the exact order takes an hour
BLOCK = 128             # inputs that SparseGPT chooses from at once


def layer_obs(model: Model, data: Data, damping: float = DAMPING) -> np.ndarray:
    """Score each weight by the least error of its layer's outputs when it is removed.

    ``w_q^2 / [G^-1]_qq``: the least growth of E, the squared error of the layer's outputs, when w_q is removed and the
    other live weights into the same output are set to the best.

    The paper's 1/2 w^2 / [H^-1]_qq with the Hessian of E, 2 G. 1 forward pass; one inverse for each set of live weights
    that outputs have.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.
    damping : float, default 0.01
        This times the mean of the diagonal of G is added to the diagonal; with 0, where G has no inverse, the limit is
        taken.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, growths of E.

    Raises
    ------
    InvalidValue
        If a layer is too large for a matrix of its inputs, or `damping` is below 0.
    NotFinite
        If products of inputs are NaN or infinity.
    Unsupported
        If the inputs of a layer's weights are not known, or its dense shape is too large.

    References
    ----------
    Dong, Chen and Pan, 2017, "Learning to prune deep neural networks via layer-wise optimal brain surgeon", section 3.
    """
    return _layer_by_layer(model, data, damping, _remove_one)


def obc(model: Model, data: Data, damping: float = DAMPING, variant: str = "greedy", sparsity: float = 0.5,
        block: int = BLOCK) -> np.ndarray:
    """Score each weight by its place when the cheapest is removed and the others compensate, one by one.

    ``the largest cost w_q^2 / [G^-1]_qq paid up to and with the removal of w_q``, weights and G^-1 as the removals
    before left them; "blocked" ranks costs in blocks of inputs, as SparseGPT does.

    1 forward pass. "greedy" takes K^3 / 3 multiply-adds an output, "blocked" K^3 a layer and K^2 an output.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.
    damping : float, default 0.01
        This times the mean of the diagonal of G is added to the diagonal; with 0, where G has no inverse, the limit is
        taken.
    variant : str, default "greedy"
        - "greedy": the order of scores is the order of removal, in each output and, as in the paper, between outputs;
          the costs of an output add up to its E.
        - "blocked": SparseGPT's order, which all outputs share: inputs from first to last, `block` of them at once, of
          which the share `sparsity` with the lowest costs is removed. The score is the rank of a weight's cost in its
          block, as a share of it: a cut at `sparsity` in the layer takes just these (where nothing is masked and no
          input always 0). It depends on the order of the inputs.
    sparsity : float, default 0.5
        The share that "blocked" removes from each block.
    block : int, default 128
        The number of inputs that "blocked" chooses from at once.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64.

    Raises
    ------
    InvalidValue
        If "greedy" would take hours, a layer is too large for a matrix of its inputs, or an argument is out of range.
    NotFinite
        If products of inputs are NaN or infinity.
    UnknownName
        If there is no such variant.
    Unsupported
        If the inputs of a layer's weights are not known, or its dense shape is too large.

    References
    ----------
    - Frantar and Alistarh, 2022, "Optimal brain compression", algorithm 1.
    - Frantar and Alistarh, 2023, "SparseGPT", section 3.
    """
    judge = check_choice("variant", variant, VARIANTS)
    check_fraction("sparsity", sparsity)
    check_count("block", block, 1)
    if judge is _remove_all:
        _check_work(model)
    return _layer_by_layer(model, data, damping, partial(judge, sparsity=sparsity, block=block))


def _check_work(model):
    """Raise InvalidValue, before anything is computed, where a layer would take more than MOST_WORK."""
    for p in model.weight_parameters:
        inputs, outputs = p.size // p.shape[-1], p.shape[-1]
        if outputs * inputs**3 > MOST_WORK:
            raise InvalidValue(f"obc's exact order for the {outputs} outputs of {p.layer}, of {inputs} weights each, "
                               f"takes {outputs * inputs**3:.0e} multiply-adds (the most is {MOST_WORK:.0e}): take "
                               'variant="blocked" or layer_obs')


def _layer_by_layer(model, data, damping, judge):
    """Compute scores (n_weights,).

    `judge`(G (K, K), its ridge, W (K, o), live (K, o)) -> (K, o) is called for the inputs that are not always 0.
    """
    sample, scores = draw_sample(model, data), np.zeros(model.n_weights)
    products = grams(model, sample)
    for layer in weighted_layers(model):
        W, live = (matrices(layer, window) for window in (layer.weight.value, layer.weight.mask))
        found = np.zeros(W.shape)
        for i, G in enumerate(products[layer.name]):
            rows = np.flatnonzero(G.any(axis=1))
            G, added = G[np.ix_(rows, rows)], ridge(G, damping)
            with one_blas_thread():
                found[i, rows] = judge(G, added, W[i, rows].astype(np.float64), live[i, rows])
        write(layer, found, scores)
    return scores


def _remove_one(G, added, W, live):
    """Compute w^2 / [G^-1]_qq, G restricted to the live weights of the output: (K, o)."""
    scores = np.zeros(W.shape)
    sets, which = np.unique(live, axis=1, return_inverse=True)  # outputs with the same live weights share an inverse
    for i, alive in enumerate(sets.T):
        rows, columns = np.flatnonzero(alive), np.flatnonzero(which.reshape(-1) == i)
        inverse = invert(G[np.ix_(rows, rows)], added)
        scores[np.ix_(rows, columns)] = W[np.ix_(rows, columns)] ** 2 / np.diag(inverse)[:, None]
    return scores


def _remove_all(G, added, W, live, sparsity, block):
    """Compute the largest cost so far when the weights are removed one by one: (K, o).

    Masked ones are 0 and so are removed first. Where a cost is no larger than one before, the score is the next number
    above it, so that no index has to decide.
    """
    inverse, scores = invert(G, added), np.zeros(W.shape)
    least = 1 / (np.diag(G) + added)

    def judge(outputs):
        for j in outputs:
            order, costs = remove_greedily(inverse, least, W[:, j])
            highest = 0.0
            for q, cost in zip(order.tolist(), costs.tolist(), strict=True):
                highest = max(cost, np.nextafter(highest, np.inf)) if highest else cost
                scores[q, j] = highest

    shards = min(threads.n_threads(), W.shape[1])
    threads.run([partial(judge, range(i, W.shape[1], shards)) for i in range(shards)])
    return scores


def remove_greedily(inverse: np.ndarray, least: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove the entries of w (K,) one by one, the cheapest first; return (order (K,), costs (K,)).

    `inverse` (K, K) is that of G; the cost is w_q^2 / d_q with d its diagonal, then w -= w_q / d_q times its row q, and
    the inverse without q is inverse - (row q)' (row q) / d_q: a Cholesky factorisation of the inverse, pivot by pivot.
    The rows are subtracted STEPS at a time. `least` (K,) is a lower bound of d, 1 / G_qq.
    """
    K, place, removed = len(w), np.arange(len(w)), 0
    order, costs = np.zeros(K, np.int64), np.zeros(K)
    while removed < K:
        steps, left = min(STEPS, len(w)), np.ones(len(w), bool)
        w, d, factor = w.copy(), np.diag(inverse).copy(), np.zeros((steps, len(w)))
        for t in range(steps):
            price = np.where(left, w * w / d, np.inf)
            q = price.argmin()
            order[removed], costs[removed], removed = place[q], price[q], removed + 1
            row = (inverse[q] - factor[:t, q] @ factor[:t]) / np.sqrt(d[q])
            w -= w[q] / np.sqrt(d[q]) * row  # the other weights compensate
            d = np.maximum(d - row * row, least)  # rounding may not make a cost negative
            factor[t], left[q] = row, False
        inverse = inverse[np.ix_(left, left)] - factor[:, left].T @ factor[:, left]
        w, least, place = w[left], least[left], place[left]
    return order, costs


def _remove_blocks(G, added, W, live, sparsity, block):
    """Compute the rank of each weight's cost in its block / the size of the block, 0 where masked: (K, o)."""
    upper = np.linalg.cholesky(invert(G, added)).T  # its row i is that of the inverse without 0 ... i-1, / sqrt(d_i)
    W, scores = W.copy(), np.zeros(W.shape)
    for start in range(0, len(W), block):
        part = slice(start, min(start + block, len(W)))
        cost = np.where(live[part], np.square(W[part] / np.diag(upper)[part, None]), -1)
        rank = np.empty(cost.size, np.int64)
        rank[np.argsort(cost, axis=None, kind="stable")] = np.arange(1, cost.size + 1)
        cut = (rank <= round(sparsity * cost.size)).reshape(cost.shape) | ~live[part]
        scores[part] = np.where(live[part], rank.reshape(cost.shape) / cost.size, 0)
        errors = np.zeros(cut.shape)
        for i in range(part.start, part.stop):
            errors[i - start] = np.where(cut[i - start], W[i] / upper[i, i], 0)
            W[i : part.stop] -= upper[i, i : part.stop, None] * errors[i - start]
        W[part.stop :] -= upper[part, part.stop :].T @ errors  # later blocks compensate in one product
    return scores


VARIANTS = {"greedy": _remove_all, "blocked": _remove_blocks}
CRITERIA = {f.__name__: f for f in (layer_obs, obc)}
TRAITS = {name: Traits(needs="data", passes="1 forward", reduction="sum") for name in CRITERIA}
