"""Criteria that look at the weights alone, or at nothing: the baselines that every other one has to beat."""
import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.sample import Sample
from minnet.engine.sample import gradient as gradient_of
from minnet.errors import InvalidValue
from minnet.pruning.criteria.per_unit import judge_columns, mean_by_root, spread
from minnet.pruning.traits import Data, Traits


def random(model: Model, data: Data | None) -> np.ndarray:
    """Score the weights by a random order, the baseline of every comparison.

    A permutation of 0 ... n-1: every set of weights of one size is as likely as any other. No passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Sample, optional
        Only its `rng` is used; None takes a new one from the system.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64.

    References
    ----------
    LeCun, Denker and Solla, 1990, "Optimal brain damage", who compare with it.
    """
    return as_rng(getattr(data, "rng", None)).permutation(model.n_weights).astype(np.float64)


def magnitude(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each weight by its size.

    ``|w|``: keeping the largest is the projection onto the nearest vector with that number of zeros. No passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    References
    ----------
    - Hagiwara, 1994.
    - Han et al., 2015, section 3.
    """
    return np.abs(model.weights)


def lamp(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each weight by its share of its layer: layer-adaptive magnitude.

    ``w^2 / (sum of the squares of the weights of the layer that are not smaller)``. A global cut of it spares layers
    with few weights left; within a layer it orders as `magnitude` does, and the largest weight of each layer scores 1.

    Equal weights are taken by index, and the sum runs over those of higher index. No passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64.

    References
    ----------
    Lee et al., 2021, "Layer-adaptive sparsity for the magnitude-based pruning".
    """
    scores = np.zeros(model.n_weights)
    for p in model.weight_parameters:
        size = np.abs(model.values[p.slice]).astype(np.float64)
        largest = size.max(initial=0)
        if largest > 0:
            order = np.argsort(size, kind="stable")
            square = np.square(size[order] / largest)  # else the squares of weights of 1e-25 would be 0
            scores[p.slice][order] = square / np.cumsum(square[::-1])[::-1]
    return scores


def bn_scale(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each unit by the gain of its BatchNorm.

    ``|gain|`` of the BatchNorm that a unit passes: the scale that network slimming trains towards 0 with an L1 penalty.
    No passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, a unit's score at each weight into it: the mean of its gains where it passes several (the two sides of
        a Residual); infinity where it passes none, so that such units are removed last.

    Raises
    ------
    InvalidValue
        If the model has no BatchNorm.

    References
    ----------
    Liu et al., 2017, "Learning efficient convolutional networks through network slimming", section 3.
    """
    coupling = model.couple()
    gains = [use for use in coupling.uses if use.parameter.kind == "gain"]
    if not gains:
        raise InvalidValue("bn_scale ranks units by the gain of their BatchNorm, and this model has none: take "
                           "magnitude or fpgm")
    by_root = mean_by_root(coupling, [use.units for use in gains], [np.abs(use.parameter.value) for use in gains])
    return spread(model, coupling, by_root)


def fpgm(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each unit by its distance from the other units of its layer.

    ``sum over the units j of the layer of ||w_i - w_j||``, w_i the column of weights into unit i, a filter: the unit
    nearest to all others, and so to their geometric median, is best replaced by them.

    Sums grow with the width and the weights of a layer: compare within layers, `distribution="layerwise"`. No passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, a unit's score at each weight into it.

    Raises
    ------
    Unsupported
        If a layer that was born sparse is too large for its dense shape.

    References
    ----------
    He et al., 2019, "Filter pruning via geometric median".
    """
    return judge_columns(model, _distances)


def _distances(columns):
    """Sum the Euclidean distances from each column of (K, u) to all others: (u,)."""
    columns = columns - columns.mean(axis=1, keepdims=True)  # distances stay, and squares lose fewer digits
    product = np.dot(columns.T, columns)  # (u, u)
    square = np.diag(product)
    return np.sqrt(np.maximum(square[:, None] + square - 2 * product, 0)).sum(axis=0)


def redundancy(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each unit by how little it resembles a stronger unit of its layer.

    ``1 - the largest cosine between w_i and w_j`` over the units j of the layer that are longer than i, w_i the column
    of weights into unit i: a unit may be removed if a stronger one points the same way.

    Of equal lengths the one of lower index counts as shorter. That the stronger of a pair stays is ours. No passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64 in [0, 2], a unit's score at each weight into it: 0 for a copy or a column of zeros, 2 for the opposite
        of a longer one and for the longest.

    Raises
    ------
    Unsupported
        If a layer that was born sparse is too large for its dense shape.

    References
    ----------
    Ayinde, Inanc and Zurada, 2019, "Redundant feature pruning for accelerated inference in deep neural networks", for
    the cosines of filters.
    """
    return judge_columns(model, _not_alike)


def _not_alike(columns):
    """Compute 1 - the largest cosine to a longer column of (K, u): (u,)."""
    largest = np.abs(columns).max(axis=0)
    columns = columns / np.where(largest > 0, largest, 1)  # else the squares of weights of 1e-200 would be 0
    length = np.sqrt(np.square(columns).sum(axis=0))
    columns = columns / np.where(length > 0, length, 1)
    order = np.argsort(length * largest, kind="stable")
    cosine = np.dot(columns.T, columns)[np.ix_(order, order)]
    cosine[np.tri(len(order), dtype=bool)] = -1  # row i keeps its cosines to later columns: the longer ones
    scores = np.empty(len(order))
    scores[order] = np.clip(1 - cosine.max(axis=1), 0, None)
    return np.where(length > 0, scores, 0)


def synflow(model: Model, data: Data | None = None) -> np.ndarray:
    """Score each weight, at initialisation, by the flow of paths through it.

    ``|w| dR/d|w|``, R the sum of the outputs for an input of ones when every weight is ``|w|``. One round of it;
    `recipes.synflow` takes many, as the paper does.

    As in the authors' code biases, gains and shifts are ``|v|`` too, variances and activations stay; running means are
    taken as 0 (which they are at initialisation, where the method belongs), since subtracting them would cut paths.
    Where all activations are ReLU or LeakyReLU, the flow into a unit equals the flow out of it, and R through every
    layer if there are no biases. 1 forward and 1 backward pass of one input.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : optional
        Not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, and computed in float64: scores of a deep net span more than float32 holds.

    References
    ----------
    Tanaka et al., 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow", eq. 2 and
    algorithm 1.
    """
    values = np.abs(model.values).astype(np.float64)
    for p in model.parameters.values():
        if p.kind == "mean":
            p.of(values)[...] = 0
    ones = Sample(np.ones((1, *model.input_shape)), np.zeros(1), _sum_of_outputs, None, 1)
    return (values * gradient_of(model, ones, values))[: model.n_weights]


def _sum_of_outputs(outputs, targets, doutputs=None, n=None, losses=None):
    """Compute R as a loss: its gradient with respect to each output is 1."""
    if doutputs is not None:
        doutputs[...] = 1
    return outputs.sum()


CRITERIA = {f.__name__: f for f in (random, magnitude, lamp, bn_scale, fpgm, redundancy, synflow)}
TRAITS = {
    "random": Traits(stochastic=True),
    "bn_scale": Traits(unit=True, cannot="judge units that pass no BatchNorm"),
    "fpgm": Traits(unit=True),
    "redundancy": Traits(unit=True),
    "synflow": Traits(passes="1 forward, 1 backward of one input"),
}
