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


CRITERIA = {f.__name__: f for f in (random, magnitude)}
FACTS = {}
