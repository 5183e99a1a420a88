"""Compensation: updates of the remaining values that make up for the removed weights.

    prune(model, 0.9, criterion="obc", data=data, compensate="least_squares")     # or later, by hand:
    result = prune(model, 0.9, criterion="obc", data=data)
    least_squares(model, data, result)

Each is a function (model, data, before) that moves live values, or statistics, of a pruned model and returns None;
`before` is the vector of values before the pruning, or its Result. `data` is a Dataset, a pair X, y or a
Sample, of which `samples` rows are drawn by `rng`. All is computed in float64, and written to the model when it is
complete and finite: an error leaves the model as it was. Masked values stay +0.0.
"""
from functools import partial

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.normalise import BatchNorm
from minnet.engine.sample import SAMPLES, draw_sample
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, InvalidValue, NotFinite, quoted, unknown
from minnet.pruning.activation_cache import ActivationCache
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
from minnet.pruning.traits import Data
from minnet.typing import Seed

Before = np.ndarray | Result
INPUTS = ("pruned", "original")


def recalibrate_batchnorm(model: Model, data: Data, before: Before | None = None, *, samples: int | None = SAMPLES,
                          rng: Seed = None) -> None:
    """Set the statistics of every BatchNorm to those of its inputs over the sample.

    Mean and (unbiased) variance, one BatchNorm after the other in the order of the pass; exact over the sample, where
    the paper takes a running mean. One forward pass for each BatchNorm.

    Parameters
    ----------
    model : Model
        The pruned model; its live values, or statistics, are changed.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model.
    before : ndarray of shape (n_values,) or Result, optional
        Not used.
    samples : int or None, default 1024
        The number of rows drawn from the training part of `data`; None takes all.
    rng : int, Generator or None
        Draws them.

    Raises
    ------
    InvalidValue
        If the model has no BatchNorm.
    NotFinite
        If a statistic is not finite.

    References
    ----------
    Li et al., 2020, "EagleEye", section 3.3.
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
    """Compute mean and unbiased variance (c,) of the inputs of `norm`, batches joined as Chan et al. (1983) do."""
    count, mean, squares = 0, 0.0, 0.0
    with one_blas_thread():
        for rows in batches(sample):
            x = _pass(model, sample, rows, values).inputs[norm].reshape(-1, norm.output_shape[-1])
            new, total = x.mean(axis=0), count + len(x)
            squares = squares + np.square(x - new).sum(axis=0) + np.square(new - mean) * (count * len(x) / total)
            mean = mean + (new - mean) * (len(x) / total)
            count = total
    return mean, squares / max(count - 1, 1)


def mean_replacement(model: Model, data: Data, before: Before | None = None, *, samples: int | None = SAMPLES,
                     rng: Seed = None) -> None:
    """Add the mean contribution of the removed weights to the biases.

    ``b += mean over images and windows of (y before - y now)``, layer by layer in the order of the pass, y the outputs
    of the layer.

    Where a unit was removed, its readers' biases take its mean activation, less the constant that it gives now, times
    their weights. Where a weight w_i was removed, the bias takes mean(x_i) w_i. Layers without a live bias are left as
    they are. Two forward passes for each layer.

    Parameters
    ----------
    model : Model
        The pruned model; its live values, or statistics, are changed.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model.
    before : ndarray of shape (n_values,) or Result
        The values before the pruning, or its result.
    samples : int or None, default 1024
        The number of rows drawn from the training part of `data`; None takes all.
    rng : int, Generator or None
        Draws them.

    Raises
    ------
    InvalidValue
        Without `before`, or if it has another shape.
    NotFinite
        If `before` or a new value is not finite.
    Unsupported
        If the inputs of a layer's weights are not known, or its dense shape is too large.

    References
    ----------
    Evci et al., 2018, "Mean replacement pruning".
    """
    _refit(model, draw_sample(model, data, samples=samples, rng=rng), _given(model, before, "mean_replacement"),
           partial(_free, weights=False, bias=True), 0.0, "pruned")


def least_squares(model: Model, data: Data, before: Before | None = None, *, damping: float = DAMPING,
                  inputs: str = "pruned", bias: bool = True, samples: int | None = SAMPLES, rng: Seed = None) -> None:
    """Refit the live weights of each layer to its outputs before the pruning.

    The live weights V into each output, and its bias b, become the minimum of ``the mean over images of the sum over
    windows of (y before - x'V - b)^2``, layer by layer in the order of the pass. Two forward passes for each layer.

    Parameters
    ----------
    model : Model
        The pruned model; its live values, or statistics, are changed.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model.
    before : ndarray of shape (n_values,) or Result
        The values before the pruning, or its result.
    damping : float, default 0.01
        The squares of the changes are weighed by this times the mean diagonal of the sum of the x x'; however large it
        is, the layer's error does not grow.
    inputs : str, default "pruned"
        The x: "pruned", the inputs that the layer has now, so that it compensates for the layers before it too; or
        "original", those before, which with bias=False is the update of `obc` and `layer_obs`.
    bias : bool, default True
        Whether live biases move too.
    samples : int or None, default 1024
        The number of rows drawn from the training part of `data`; None takes all.
    rng : int, Generator or None
        Draws them.

    Raises
    ------
    InvalidValue
        Without `before`, or if it has another shape; if a layer is too large for a matrix of its inputs.
    NotFinite
        If `before` or a new value is not finite.
    UnknownName
        If there are no such inputs.
    Unsupported
        If the inputs of a layer's weights are not known, or its dense shape is too large.

    References
    ----------
    - He, Zhang and Sun, 2017, "Channel pruning for accelerating very deep neural networks", section 3.1.
    - Luo, Wu and Lin, 2017, "ThiNet", eq. 7.
    """
    if inputs not in INPUTS:
        raise unknown("inputs", inputs, INPUTS)
    _refit(model, draw_sample(model, data, samples=samples, rng=rng), _given(model, before, "least_squares"),
           partial(_free, weights=True, bias=bias), damping, inputs)


def _refit(model, sample, before, free, damping, inputs):
    """Change the `free` entries of every layer so that they best undo the change of its outputs."""
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
    """Compute G (groups, K + 1, K + 1) and r (groups, K + 1, m) of one layer.

    They are the mean over images of the sum over windows of x x' and of x (y before - y now), the last entry of x being
    1.
    """
    seen, lost = 0, 0
    with one_blas_thread():
        for rows in batches(sample):
            was, now = (_pass(model, sample, rows, vector) for vector in (before, values))
            given, y = now.inputs[layer], now.outputs[layer]
            if inputs == "original":  # the error of this layer alone, as if those before it were unchanged
                given = was.inputs[layer]
                y = layer.forward(given, Tape(model, values))
            x = windows(layer, given)  # (groups, n * positions, K)
            x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2)
            error = np.moveaxis((was.outputs[layer] - y).reshape(x.shape[1], len(x), -1), 1, 0)
            seen = seen + np.swapaxes(x, 1, 2) @ x / len(sample)
            lost = lost + np.swapaxes(x, 1, 2) @ error / len(sample)
    return seen, lost


def _free(model, layer, weights, bias):
    """Return which entries may move, the bias in the last row: (groups, K + 1, m) bool."""
    alive = matrices(layer, layer.weight.mask) & weights
    own = np.zeros(alive[:, :1].shape, bool)
    if bias and layer.bias is not None:
        own[...] = layer.bias.mask.reshape(own.shape)
    return np.concatenate([alive, own], axis=1)


def obs_update(model: Model, data: Data, before: Before | None = None, *, damping: float = DAMPING,
               samples: int | None = SAMPLES, rng: Seed = None) -> None:
    """Move all live values to the minimum of the loss's quadratic model, the removed ones being 0.

    ``v_R = w_R + H_RR^-1 H_RQ w_Q``: the minimum of 1/2 (v - w)' H (v - w) with v_Q = 0 for all removed entries Q at
    once.

    w are the values before, at a minimum of the loss; R is all that is trained and live; H is the exact Hessian at w,
    damped as in the criterion `obs`. The quadratic holds near w: where much is removed at once take more damping, more
    rounds, or least_squares. About 3 forward and backward passes for each entry of R and Q.

    Parameters
    ----------
    model : Model
        The pruned model; its live values, or statistics, are changed.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    before : ndarray of shape (n_values,) or Result
        The values before the pruning, or its result.
    damping : float, default 0.01
        As in the criterion `obs`.
    samples : int or None, default 1024
        The number of rows drawn from the training part of `data`; None takes all.
    rng : int, Generator or None
        Draws them.

    Raises
    ------
    InvalidValue
        Without `before`, or if it has another shape; if R and Q have more than 4096 entries.
    NotFinite
        If `before`, a second derivative or a new value is not finite.
    Unsupported
        If a layer has no tangent.

    References
    ----------
    - Hassibi and Stork, 1993, eq. 5.
    - Kurtic et al., 2022, "The optimal BERT surgeon", for sets.
    """
    w, sample = _given(model, before, "obs_update"), draw_sample(model, data, samples=samples, rng=rng)
    live = model.mask[: model.n_trainable]
    at = np.flatnonzero(live | (w[: model.n_trainable] != 0))
    kept, removed = np.flatnonzero(live[at]), np.flatnonzero(~live[at])
    if not len(removed):
        return
    H = hessian(model, sample, at, w)
    sizes, vectors = definite(H, ridge(H, damping))
    H = (vectors * sizes) @ vectors.T  # H again, now positive definite
    values = model.values.astype(np.float64)
    pull = H[np.ix_(kept, removed)] @ w[at[removed]]
    values[at[kept]] = w[at[kept]] + solve(H[np.ix_(kept, kept)], 0.0, pull)
    _put(model, values)


def _given(model, before, name):
    """Return the values before the pruning, float64, checked."""
    if before is None:
        raise InvalidValue(f"{name} needs the values before the pruning: keep before = model.values.copy(), or the "
                           f"result of prune, and call {name}(model, data, before)")
    values = np.asarray(before.plan.values if isinstance(before, Result) else before)
    if values.dtype.kind not in "fiu":
        raise InvalidType(f"before={quoted(repr(before))}; wanted the values before the pruning, or its Result")
    if values.shape != model.values.shape:
        raise InvalidValue(f"before has the shape {values.shape}; wanted ({len(model.values)},), the whole vector")
    if not np.isfinite(values).all():
        raise NotFinite("before holds NaN or infinity: wanted finite values")
    return values.astype(np.float64)


def _pass(model, sample, rows, values):
    """Run some rows of the sample through the model, and keep the pass."""
    return ActivationCache(model, sample.X[rows].astype(np.float64), values)


def _put(model, values):
    """Write these values to the model, in its own dtype, if all are finite."""
    with np.errstate(over="ignore"):  # an overflow is found below
        values = values.astype(model.dtype)
    if not np.isfinite(values).all():
        raise NotFinite("the compensated values are not finite (nothing was changed): take more damping")
    model.values[:] = values


COMPENSATIONS = {f.__name__: f for f in (recalibrate_batchnorm, mean_replacement, least_squares, obs_update)}
