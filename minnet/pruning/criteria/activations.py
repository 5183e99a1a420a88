"""Criteria from the outputs of units: a unit whose output is always 0, constant or of low rank may be removed.

All take one forward pass over the sample, in use (no dropout, running statistics), and return (n_weights,) float64, a
unit's score at each weight into it. A unit is judged by the outputs a of the activations that it passes, the mean over
them where there are several (in a Residual); by the output of the layer that makes it where it passes none. For images
a is a map (h, w), for rows a number. The model's outputs, which cannot be removed, have infinity.
"""
import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.pruning.activation_cache import ActivationCache
from minnet.pruning.criteria.per_unit import mean_by_root, spread
from minnet.pruning.traits import Data, Traits


def apoz(model: Model, data: Data) -> np.ndarray:
    """Score each unit by how often it is active.

    ``1 - APoZ``, the share of images and positions at which a > 0; APoZ is the average percentage of zeros after ReLU.
    For a sigmoid, which is never 0, it is 1 always.

    A unit's share does not depend on its scale. 1 forward pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64 in [0, 1], a unit's score at each weight into it; infinity for the model's outputs.

    References
    ----------
    Hu et al., 2016, "Network trimming", eq. 1.
    """
    return _judge(model, data, lambda a: (a > 0).mean(axis=(1, 2)), _mean)


def mean_activation(model: Model, data: Data) -> np.ndarray:
    """Score each unit by its mean activation, relative to its layer.

    ``E|a| / the mean of E|a| over the units of its layer``: near 0 for a dormant unit, 1 for a typical one. 1 forward
    pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, a unit's score at each weight into it: 0 for all units of a layer whose outputs are all 0; infinity for
        the model's outputs.

    References
    ----------
    Sokar et al., 2023, "The dormant neuron phenomenon in deep reinforcement learning", definition 3.1.
    """
    return _judge(model, data, lambda a: np.abs(a).mean(axis=(1, 2), dtype=np.float64), _relative)


def activation_variance(model: Model, data: Data) -> np.ndarray:
    """Score each unit by the variance of its activation.

    ``Var a`` over images and positions: a unit that never varies can be folded into the next bias.

    The biased variance, as variance within images + variance between them, so that a large mean costs no digits. The
    paper prunes inputs of low variance. 1 forward pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, a unit's score at each weight into it; infinity for the model's outputs.

    References
    ----------
    Polyak and Wolf, 2015, "Channel-level acceleration of deep face representations".
    """
    return _judge(model, data, _moments, _total_variance)


def hrank(model: Model, data: Data) -> np.ndarray:
    """Score each unit by the rank of its feature maps.

    ``mean over images of the rank of the map a``. For rows, whose maps are single numbers, it is the share of images at
    which a is not 0.

    Ties are common: there are only min(h, w) + 1 ranks. 1 forward pass, and a singular value decomposition of each map:
    a few hundred images are enough, says the paper, as ranks hardly vary (`samples=500`).

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, a unit's score at each weight into it; infinity for the model's outputs.

    References
    ----------
    Lin et al., 2020, "HRank: filter pruning using high-rank feature map".
    """
    return _judge(model, data, _ranks, _mean)


def _judge(model, data, measure, summarise):
    """Compute scores (n_weights,).

    `measure`(a (n, h, w, c)) -> (n, ..., c) is called for each batch, `summarise`(the measures of all images) -> (c,).
    """
    sample, coupling = draw_sample(model, data), model.couple()
    places = _places(model, coupling)
    found = [[] for _ in places]
    with one_blas_thread():
        for X, _ in sample.batches():
            kept = ActivationCache(model, X, model.values)
            for (layer, columns), measured in zip(places, found, strict=True):
                a = kept.outputs[layer][..., columns]
                measured.append(measure(a.reshape(len(X), *(a.shape[1:-1] or (1, 1)), a.shape[-1])))
    units = [coupling.outputs[layer][columns] for layer, columns in places]
    numbers = [summarise(np.concatenate(measured)) for measured in found]
    return spread(model, coupling, mean_by_root(coupling, units, numbers))


def _places(model, coupling):
    """Return [(layer, columns)]: the layers whose outputs judge units.

    Activations; for units that pass none, the layer that makes them.
    """
    roots = {layer: coupling.roots(units) for layer, units in coupling.outputs.items()}
    open_ = ~coupling.fixed()
    places = [(layer, np.flatnonzero(open_[roots[layer]])) for layer in model.layers.values()
              if layer.elementwise]
    for layer, columns in places:
        open_[roots[layer][columns]] = False
    places += [(layer, np.flatnonzero(open_[roots[layer]])) for layer in model.layers.values()
               if any(p.kind == "weight" for p in layer.parameters)]
    return [(layer, columns) for layer, columns in places if len(columns)]


def _moments(a):
    """Compute mean and variance within each map: (n, 2, c)."""
    a = a.astype(np.float64)
    return np.stack([a.mean(axis=(1, 2)), a.var(axis=(1, 2))], axis=1)


def _ranks(a):
    """Compute the rank of each map: (n, c)."""
    return np.linalg.matrix_rank(np.moveaxis(a, -1, 1)).astype(np.float64)


def _mean(measured):
    return measured.mean(axis=0)


def _relative(measured):
    """Compute each unit's mean as a multiple of the layer's: (c,)."""
    means = measured.mean(axis=0)
    typical = means.mean()
    return means / typical if typical > 0 else means


def _total_variance(measured):
    """Compute the variance of all outputs, from that within and that between images of one size: (c,)."""
    means, within = measured[:, 0], measured[:, 1]
    return within.mean(axis=0) + means.var(axis=0)


CRITERIA = {f.__name__: f for f in (apoz, mean_activation, activation_variance, hrank)}
TRAITS = {name: Traits(unit=True, needs="data", passes="1 forward") for name in CRITERIA}
