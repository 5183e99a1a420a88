"""Compensation: what stays makes up for what went.

    prune(model, 0.9, criterion="obc", data=data, compensate="least_squares")     # or later, by hand:
    result = prune(model, 0.9, criterion="obc", data=data)
    least_squares(model, data, result)

Each is a function (model, data, before) that moves live values, or statistics, of a pruned model and returns nothing;
`before` is the vector of values that the model had, or the Result of the pruning. `data` is a Dataset, a pair X, y or a
Sample, of which `samples` rows are drawn by `rng`. All is computed in float64, and put into the model when it is
complete and finite: an error leaves the model as it was. What is masked stays +0.0.
"""
from functools import partial

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.normalise import BatchNorm
from minnet.engine.sample import SAMPLES, draw_sample
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, InvalidValue, NotFinite, quoted, unknown
from minnet.pruning.criteria.quadratic import (
    DAMPING,
    batches,
    definite,
    matrices,
    ridge,
    solve,
    weighted_layers,
    windows,
    write,
)
from minnet.pruning.criteria.second_order import hessian
from minnet.pruning.result import Result
from minnet.pruning.resume import Kept

INPUTS = ("pruned", "original")


def recalibrate_batchnorm(model, data, before=None, *, samples=SAMPLES, rng=None):
    """Mean and (unbiased) variance of every BatchNorm become those of its inputs over the sample, one BatchNorm after
    the other in the order of the pass (the remedy of Li et al., 2020, "EagleEye", section 3.3, exact over the sample in
    place of a running mean).

    `before` is not looked at. One forward pass for each BatchNorm. Raises InvalidValue for a model that has none.
    """
    norms = [layer for layer in model.layers.values() if isinstance(layer, BatchNorm)]
    if not norms:
        raise InvalidValue("recalibrate_batchnorm sets the statistics of BatchNorm, and this model has none: take "
                           "mean_replacement or least_squares")
    sample, values = draw_sample(model, data, samples=samples, rng=rng), model.values.astype(np.float64)
    for norm in norms:
        norm.mean.of(values)[...], norm.variance.of(values)[...] = _moments(model, sample, norm, values)
    _put(model, values)


def _moments(model, sample, norm, values):
    """Mean and unbiased variance (c,) of what `norm` is given; batches are joined as Chan et al. (1983) do."""
    count, mean, squares = 0, 0.0, 0.0
    with one_blas_thread():
        for rows in batches(sample):
            x = _pass(model, sample, rows, values).inputs[norm].reshape(-1, norm.output_shape[-1])
            new, total = x.mean(axis=0), count + len(x)
            squares = squares + np.square(x - new).sum(axis=0) + np.square(new - mean) * (count * len(x) / total)
            mean = mean + (new - mean) * (len(x) / total)
            count = total
    return mean, squares / max(count - 1, 1)


def mean_replacement(model, data, before=None, *, samples=SAMPLES, rng=None):
    """What went is replaced by its mean, in the bias: b += mean over images and windows of (y before - y now), layer by
    layer in the order of the pass, y the outputs of the layer.

    Where a unit went, its readers' biases take its mean activation, less the constant that it gives now, times their
    weights (Evci et al., 2018, "Mean replacement pruning"). Where a weight w_i went, the bias takes mean(x_i) w_i.
    Layers without a live bias are left alone. Two forward passes for each layer. Raises InvalidValue without `before`.
    """
    _refit(model, draw_sample(model, data, samples=samples, rng=rng), _given(model, before, "mean_replacement"),
           partial(_free, weights=False, bias=True), 0.0, "pruned")


def least_squares(model, data, before=None, *, damping=DAMPING, inputs="pruned", bias=True, samples=SAMPLES, rng=None):
    """The live weights V into each output, and its bias if `bias`, become those that best give the outputs that the
    layer gave before: the minimum of the mean over images of the sum over windows of (y before - x'V - b)^2, layer by
    layer in the order of the pass (He, Zhang and Sun, 2017, "Channel pruning for accelerating very deep neural
    networks", section 3.1; Luo, Wu and Lin, 2017, "ThiNet", eq. 7).

    x are, by `inputs`, "pruned": the inputs that the layer has now, so that it makes up for the layers before it too;
    or "original": those that it had, which with bias=False is the update of `obc` and `layer_obs`. The squares of the
    changes are weighed by `damping` times the mean diagonal of the sum of the x x'; however large it is, the layer's
    error does not grow. Two forward passes for each layer. Raises InvalidValue without `before`.
    """
    if inputs not in INPUTS:
        raise unknown("inputs", inputs, INPUTS)
    _refit(model, draw_sample(model, data, samples=samples, rng=rng), _given(model, before, "least_squares"),
           partial(_free, weights=True, bias=bias), damping, inputs)


def _refit(model, sample, before, free, damping, inputs):
    """For every layer the change of its `free` entries that best undoes the change of its outputs."""
    values = model.values.astype(np.float64)
    for layer in weighted_layers(model):
        seen, lost = _normal_equations(model, sample, layer, before, values, inputs)
        free_here, change = free(model, layer), np.zeros(lost.shape)
        for i, (G, r) in enumerate(zip(seen, lost, strict=True)):
            added = ridge(G[:-1, :-1], damping)
            sets, which = np.unique(free_here[i], axis=1, return_inverse=True)
            for j, alive in enumerate(sets.T):
                rows, columns = np.flatnonzero(alive & G.any(axis=1)), np.flatnonzero(which.reshape(-1) == j)
                change[i][np.ix_(rows, columns)] = solve(G[np.ix_(rows, rows)], added, r[np.ix_(rows, columns)])
        moved = np.zeros(len(values))
        write(layer, change[:, :-1], moved)
        if layer.bias is not None:
            layer.bias.of(moved)[...] = change[:, -1].reshape(-1)
        values += moved
    _put(model, values)


def _normal_equations(model, sample, layer, before, values, inputs):
    """G (groups, K + 1, K + 1) and r (groups, K + 1, m): the mean over images of the sum over windows of x x' and of
    x (y before - y now), the last entry of x being 1."""
    seen, lost = 0, 0
    with one_blas_thread():
        for rows in batches(sample):
            was, now = (_pass(model, sample, rows, vector) for vector in (before, values))
            given, y = now.inputs[layer], now.outputs[layer]
            if inputs == "original":
                given = was.inputs[layer]
                y = layer.forward(given, Tape(model, values))
            x = windows(layer, given)  # (groups, n * positions, K)
            x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2)
            error = np.moveaxis((was.outputs[layer] - y).reshape(x.shape[1], len(x), -1), 1, 0)
            seen = seen + np.swapaxes(x, 1, 2) @ x / len(sample)
            lost = lost + np.swapaxes(x, 1, 2) @ error / len(sample)
    return seen, lost


def _free(model, layer, weights, bias):
    """(groups, K + 1, m) bool: what may move, the bias in the last row."""
    alive = matrices(layer, layer.weight.mask) & weights
    own = np.zeros(alive[:, :1].shape, bool)
    if bias and layer.bias is not None:
        own[...] = layer.bias.mask.reshape(own.shape)
    return np.concatenate([alive, own], axis=1)


def obs_update(model, data, before=None, *, damping=DAMPING, samples=SAMPLES, rng=None):
    """v_R = w_R + H_RR^-1 H_RQ w_Q: the minimum of 1/2 (v - w)' H (v - w) with v_Q = 0 for all of Q, what went, at once
    (Hassibi and Stork, 1993, eq. 5; for sets Kurtic et al., 2022, "The optimal BERT surgeon").

    w are the values before, at a minimum of the loss; R is all that is trained and live; H is the exact Hessian at w,
    damped as in the criterion `obs`. The quadratic holds near w: where much went at once take more damping, more
    rounds, or least_squares. About 3 forward and backward passes for each entry of R and Q. Raises InvalidValue without
    `before`, and where there are more than 4096 of these entries.
    """
    before, sample = _given(model, before, "obs_update"), draw_sample(model, data, samples=samples, rng=rng)
    live = model.mask[: model.n_trainable]
    at = np.flatnonzero(live | (before[: model.n_trainable] != 0))
    stays, goes = np.flatnonzero(live[at]), np.flatnonzero(~live[at])
    if not len(goes):
        return
    H = hessian(model, sample, at, before)
    sizes, vectors = definite(H, ridge(H, damping))
    H = (vectors * sizes) @ vectors.T
    values = model.values.astype(np.float64)
    pull = H[np.ix_(stays, goes)] @ before[at[goes]]
    values[at[stays]] = before[at[stays]] + solve(H[np.ix_(stays, stays)], 0.0, pull)
    _put(model, values)


def _given(model, before, name):
    """The values before the pruning, float64, checked."""
    if before is None:
        raise InvalidValue(f"{name} needs the values before the pruning: keep before = model.values.copy(), or the "
                           f"result of prune, and call {name}(model, data, before)")
    values = np.asarray(before.plan.values if isinstance(before, Result) else before)
    if values.dtype.kind not in "fiu":
        raise InvalidType(f"before={quoted(repr(before))}; wanted the values before the pruning, or its Result")
    if values.shape != model.values.shape:
        raise InvalidValue(f"before has the shape {values.shape}; wanted ({len(model.values)},), the whole vector")
    if not np.isfinite(values).all():
        raise NotFinite("before holds NaN or infinity: wanted the values of a model that works")
    return values.astype(np.float64)


def _pass(model, sample, rows, values):
    """The pass of some rows of the sample, kept."""
    return Kept(model, sample.X[rows].astype(np.float64), values)


def _put(model, values):
    """Let the model have these values, in its own dtype, if all are finite."""
    with np.errstate(over="ignore"):  # what overflows is found below
        values = values.astype(model.dtype)
    if not np.isfinite(values).all():
        raise NotFinite("the compensated values are not finite (nothing was changed): take more damping")
    model.values[:] = values


COMPENSATIONS = {f.__name__: f for f in (recalibrate_batchnorm, mean_replacement, least_squares, obs_update)}
