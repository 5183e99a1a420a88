"""Criteria from how well a layer can keep its outputs when the weights that stay make up for the one that goes.

For an output with weights w (K,) that become v, E is the mean over images of the sum over windows of (x'w - x'v)^2:
E = (w - v)' G (w - v), with G (K, K) the mean over images of the sum over windows of x x'. Masked weights have no part
in it, and weights that only ever see 0 cost nothing: both score 0.

`damping` times the mean of the diagonal of G is added to the diagonal, so that E counts how far weights move as well;
with 0, where G has no inverse, the limit is taken. All need data and take one forward pass over the sample, in use, and
K^2 numbers a layer; they return (n_weights,) float64. `compensation.least_squares` moves what stays once the mask is
known.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.sample import draw_sample
from minnet.errors import InvalidValue, check_choice, check_count, check_fraction
from minnet.pruning.criteria.quadratic import DAMPING, grams, invert, matrices, ridge, weighted_layers, write
from minnet.pruning.traits import Traits

STEPS = 96              # removals between two products that bring the inverse up to date
MOST_WORK = 10**13      # K^3 for each output, summed: above that the exact order takes an hour
BLOCK = 128             # inputs that SparseGPT chooses from at once


def layer_obs(model, data, damping=DAMPING):
    """w_q^2 / [G^-1]_qq: by how much E grows at least when w_q goes and the other live weights into the same output are
    set to the best (Dong, Chen and Pan, 2017, "Learning to prune deep neural networks via layer-wise optimal brain
    surgeon", section 3; their 1/2 w^2 / [H^-1]_qq with the Hessian of E, 2 G).

    Returns and needs: see above; one inverse for each set of live weights that outputs have.
    """
    return _layer_by_layer(model, data, damping, _remove_one)


def obc(model, data, damping=DAMPING, variant="greedy", sparsity=0.5, block=BLOCK):
    """The order in which weights go when always the cheapest goes and the others make up for it (Frantar and Alistarh,
    2022, "Optimal brain compression", algorithm 1). `variant` is
    - "greedy": the score is the largest cost w_q^2 / [G^-1]_qq paid up to and with the removal of w_q, weights and G^-1
      as the removals before left them. So the order of scores is the order of removal, in each output and, as in the
      paper, between outputs; the costs of an output add up to its E. K^3 / 3 multiply-adds an output.
    - "blocked": SparseGPT's order (Frantar and Alistarh, 2023, "SparseGPT", section 3), which all outputs share: inputs
      from first to last, `block` of them at once, from which the share `sparsity` with the lowest costs goes. The score
      is the rank of a weight's cost in its block, as a share of it: a cut at `sparsity` in the layer takes just these
      (where nothing is masked and no input always 0). K^3 multiply-adds a layer, and K^2 an output. It depends on the
      order of the inputs.

    Returns and needs: see above. Raises InvalidValue where "greedy" would take hours.
    """
    judge = check_choice("variant", variant, VARIANTS)
    check_fraction("sparsity", sparsity)
    check_count("block", block, 1)
    if judge is _remove_all:
        _check_work(model)
    return _layer_by_layer(model, data, damping, partial(judge, sparsity=sparsity, block=block))


def _check_work(model):
    """Raises InvalidValue, before anything is computed, where a layer would take more than MOST_WORK."""
    for p in model.weight_parameters:
        inputs, outputs = p.size // p.shape[-1], p.shape[-1]
        if outputs * inputs**3 > MOST_WORK:
            raise InvalidValue(f"obc's exact order for the {outputs} outputs of {p.layer}, of {inputs} weights each, "
                               f"takes {outputs * inputs**3:.0e} multiply-adds (the most is {MOST_WORK:.0e}): take "
                               'variant="blocked" or layer_obs')


def _layer_by_layer(model, data, damping, judge):
    """(n_weights,) scores; `judge`(G (K, K), its ridge, W (K, o), live (K, o)) -> (K, o) for the inputs that are not
    always 0."""
    sample, scores = draw_sample(model, data), np.zeros(model.n_weights)
    seen = grams(model, sample)
    for layer in weighted_layers(model):
        W, live = (matrices(layer, window) for window in (layer.weight.value, layer.weight.mask))
        found = np.zeros(W.shape)
        for i, G in enumerate(seen[layer.name]):
            rows = np.flatnonzero(G.any(axis=1))
            G, added = G[np.ix_(rows, rows)], ridge(G, damping)
            with one_blas_thread():
                found[i, rows] = judge(G, added, W[i, rows].astype(np.float64), live[i, rows])
        write(layer, found, scores)
    return scores


def _remove_one(G, added, W, live):
    """(K, o) w^2 / [G^-1]_qq, G restricted to the live weights of the output."""
    scores = np.zeros(W.shape)
    sets, which = np.unique(live, axis=1, return_inverse=True)
    for i, alive in enumerate(sets.T):
        rows, columns = np.flatnonzero(alive), np.flatnonzero(which.reshape(-1) == i)
        inverse = invert(G[np.ix_(rows, rows)], added)
        scores[np.ix_(rows, columns)] = W[np.ix_(rows, columns)] ** 2 / np.diag(inverse)[:, None]
    return scores


def _remove_all(G, added, W, live, sparsity, block):
    """(K, o) the largest cost so far, when each weight goes in turn; masked ones are 0 and so go first. Where a cost is
    no larger than one before, the score is the next number above it, so that no index has to decide."""
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


def remove_greedily(inverse, least, w):
    """(order (K,), costs (K,)): which entry of w (K,) goes in each step, the cheapest, and what it costs.

    `inverse` (K, K) is that of G; the cost is w_q^2 / d_q with d its diagonal, then w -= w_q / d_q times its row q, and
    the inverse without q is inverse - (row q)' (row q) / d_q: a Cholesky factorisation of the inverse, pivot by pivot.
    The rows are subtracted STEPS at a time. `least` (K,) is what no entry of d falls below, 1 / G_qq.
    """
    K, place, gone = len(w), np.arange(len(w)), 0
    order, costs = np.zeros(K, np.int64), np.zeros(K)
    while gone < K:
        steps, left = min(STEPS, len(w)), np.ones(len(w), bool)
        w, d, factor = w.copy(), np.diag(inverse).copy(), np.zeros((steps, len(w)))
        for t in range(steps):
            price = np.where(left, w * w / d, np.inf)
            q = price.argmin()
            order[gone], costs[gone], gone = place[q], price[q], gone + 1
            row = (inverse[q] - factor[:t, q] @ factor[:t]) / np.sqrt(d[q])
            w -= w[q] / np.sqrt(d[q]) * row
            d = np.maximum(d - row * row, least)
            factor[t], left[q] = row, False
        inverse = inverse[np.ix_(left, left)] - factor[:, left].T @ factor[:, left]
        w, least, place = w[left], least[left], place[left]
    return order, costs


def _remove_blocks(G, added, W, live, sparsity, block):
    """(K, o) the rank of each weight's cost in its block / the size of the block; 0 for what is masked."""
    upper = np.linalg.cholesky(invert(G, added)).T  # its row i is that of the inverse without 0 ... i-1, / sqrt(d_i)
    W, scores = W.copy(), np.zeros(W.shape)
    for start in range(0, len(W), block):
        part = slice(start, min(start + block, len(W)))
        cost = np.where(live[part], np.square(W[part] / np.diag(upper)[part, None]), -1)
        rank = np.empty(cost.size, np.int64)
        rank[np.argsort(cost, axis=None, kind="stable")] = np.arange(1, cost.size + 1)
        goes = (rank <= round(sparsity * cost.size)).reshape(cost.shape) | ~live[part]
        scores[part] = np.where(live[part], rank.reshape(cost.shape) / cost.size, 0)
        errors = np.zeros(goes.shape)
        for i in range(part.start, part.stop):
            errors[i - start] = np.where(goes[i - start], W[i] / upper[i, i], 0)
            W[i : part.stop] -= upper[i, i : part.stop, None] * errors[i - start]
        W[part.stop :] -= upper[part, part.stop :].T @ errors
    return scores


VARIANTS = {"greedy": _remove_all, "blocked": _remove_blocks}
CRITERIA = {f.__name__: f for f in (layer_obs, obc)}
TRAITS = {name: Traits(needs="data", passes="1 forward", reduction="sum") for name in CRITERIA}
