"""Criteria that look at the weights alone, or at nothing: the baselines that every other one has to beat."""
import numpy as np

from minnet.engine.rng import as_rng


def random(model, data):
    """A permutation of 0 ... n-1: every set of weights of one size is as likely as any other.

    Returns (n_weights,) float64. `data` gives only the rng (None: a new one from the system); no passes. The baseline
    of every comparison since LeCun, Denker and Solla (1990).
    """
    return as_rng(getattr(data, "rng", None)).permutation(model.n_weights).astype(np.float64)


def magnitude(model, data=None):
    """|w|: the projection onto the nearest vector with so many zeros (Hagiwara, 1994; Han et al., 2015, section 3).

    Returns (n_weights,) in the model's dtype. `data` is not looked at; no passes.
    """
    return np.abs(model.weights)


def lamp(model, data=None):
    """w^2 / (sum of the squares of the weights of the layer that are not smaller), layer-adaptive magnitude (Lee et
    al., 2021, eq. 3). A global cut of it spares layers that hold little; within a layer it orders as `magnitude` does,
    and one weight of each layer scores 1. Equal weights are taken by index, and the sum runs over what comes later.

    Returns (n_weights,) float64. `data` is not looked at; no passes.
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


CRITERIA = {f.__name__: f for f in (random, magnitude, lamp)}
FACTS = {}
