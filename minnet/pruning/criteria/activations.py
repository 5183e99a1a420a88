"""Criteria from what units give: a unit that is silent, constant or plain for all of the data may go.

All take one forward pass over the sample, in use (no dropout, running statistics), and return (n_weights,) float64, a
unit's score at each weight into it. A unit is judged by the outputs a of the activations that it passes, the mean over
them where there are several (in a Residual); by the output of the layer that makes it where it passes none. For images
a is a map (h, w), for rows a number. The model's outputs, which may not go, have infinity.
"""
import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.sample import draw_sample
from minnet.pruning.criteria.per_unit import mean_by_root, spread
from minnet.pruning.resume import Kept
from minnet.pruning.traits import Traits

ACTIVATIONS = (ReLU, LeakyReLU, Tanh, Sigmoid)


def apoz(model, data):
    """The share of images and positions at which a > 0: 1 - APoZ, the average percentage of zeros after ReLU (Hu et
    al., 2016, "Network trimming", eq. 1). For a sigmoid, which is never 0, it is 1 always.

    Returns and needs: see above. A unit's share does not depend on its scale.
    """
    return _judge(model, data, lambda a: (a > 0).mean(axis=(1, 2)), _mean)


def mean_activation(model, data):
    """E|a| / the mean of E|a| over the units of its layer: near 0 for a dormant unit, 1 for a typical one (Sokar et
    al., 2023, "The dormant neuron phenomenon in deep reinforcement learning", definition 3.1).

    Returns and needs: see above. 0 for all units of a layer that is silent altogether.
    """
    return _judge(model, data, lambda a: np.abs(a).mean(axis=(1, 2), dtype=np.float64), _relative)


def activation_variance(model, data):
    """Var a over images and positions: what never varies can be folded into the next bias (Polyak and Wolf, 2015,
    "Channel-level acceleration of deep face representations", who prune inputs of low variance).

    Returns and needs: see above. Biased, in float64, as variance within images + variance between them, so that a large
    mean costs no digits.
    """
    return _judge(model, data, _moments, _total_variance)


def hrank(model, data):
    """The mean over images of the rank of the map a (Lin et al., 2020, "HRank: filter pruning using high-rank feature
    map"). For rows, whose maps are single numbers, it is the share of images at which a is not 0.

    Returns and needs: see above, and a singular value decomposition of each map: a few hundred images are enough, says
    the paper, as ranks hardly vary (`samples=500`). Ties are common: there are only min(h, w) + 1 ranks.
    """
    return _judge(model, data, _ranks, _mean)


def _judge(model, data, measure, summarise):
    """(n_weights,) scores: `measure`(a (n, h, w, c)) -> (n, ..., c) for each image, `summarise`(all of it) -> (c,)."""
    sample, coupling = draw_sample(model, data), model.couple()
    places = _places(model, coupling)
    found = [[] for _ in places]
    with one_blas_thread():
        for X, _ in sample.batches():
            kept = Kept(model, X, model.values)
            for (layer, columns), measured in zip(places, found, strict=True):
                a = kept.outputs[layer][..., columns]
                measured.append(measure(a.reshape(len(X), *(a.shape[1:-1] or (1, 1)), a.shape[-1])))
    units = [coupling.outputs[layer][columns] for layer, columns in places]
    numbers = [summarise(np.concatenate(measured)) for measured in found]
    return spread(model, coupling, mean_by_root(coupling, units, numbers))


def _places(model, coupling):
    """[(layer, columns)]: whose outputs judge which units. Activations; for units that pass none, what makes them."""
    roots = {layer: coupling.roots(units) for layer, units in coupling.outputs.items()}
    open_ = ~coupling.fixed()
    places = [(layer, np.flatnonzero(open_[roots[layer]])) for layer in model.layers.values()
              if isinstance(layer, ACTIVATIONS)]
    for layer, columns in places:
        open_[roots[layer][columns]] = False
    places += [(layer, np.flatnonzero(open_[roots[layer]])) for layer in model.layers.values()
               if any(p.kind == "weight" for p in layer.parameters)]
    return [(layer, columns) for layer, columns in places if len(columns)]


def _moments(a):
    """(n, 2, c): mean and variance within each map."""
    a = a.astype(np.float64)
    return np.stack([a.mean(axis=(1, 2)), a.var(axis=(1, 2))], axis=1)


def _ranks(a):
    """(n, c): the rank of each map."""
    return np.linalg.matrix_rank(np.moveaxis(a, -1, 1)).astype(np.float64)


def _mean(measured):
    return measured.mean(axis=0)


def _relative(measured):
    """(c,): each unit's mean as a multiple of the layer's."""
    means = measured.mean(axis=0)
    typical = means.mean()
    return means / typical if typical > 0 else means


def _total_variance(measured):
    """(c,): the variance of everything, from that within and that between images of one size."""
    means, within = measured[:, 0], measured[:, 1]
    return within.mean(axis=0) + means.var(axis=0)


CRITERIA = {f.__name__: f for f in (apoz, mean_activation, activation_variance, hrank)}
TRAITS = {name: Traits(unit=True, needs="data", passes="1 forward") for name in CRITERIA}
