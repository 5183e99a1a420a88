"""Criteria from the gradient: how much the loss moves with a weight, to first order.

All take one forward and one backward pass over the sample, at inference (no dropout, running statistics).
"""
import numpy as np

from minnet.engine import sample
from minnet.errors import check_choice
from minnet.pruning.facts import Facts


def gradient(model, data):
    """|dL/dw|: a weight that the loss does not care about may go, whatever its size.

    Returns (n_weights,). Needs data; 1 forward and 1 backward pass. A baseline; compare `taylor`, which asks how much
    the loss changes when the weight is 0 rather than when it moves a little.
    """
    return np.abs(_gradient(model, data))


def taylor(model, data, variant="absolute"):
    """|w dL/dw|: the change of the loss when w becomes 0, to first order (Molchanov et al., 2017, eq. 6).

    Returns (n_weights,). Needs data; 1 forward and 1 backward pass. `variant` is "absolute"; "signed" for w dL/dw
    itself, whose sum over a unit (`reduction="abs_sum"`) is Molchanov's score of the unit; or "squared" for
    (w dL/dw)^2, whose sum over a unit is that of Molchanov et al. (2019, eq. 8).
    """
    return check_choice("variant", variant, TAYLOR)(model.weights * _gradient(model, data))


def snip(model, data):
    """|w dL/dw| / sum of the same: the loss's sensitivity to the connection, usually at initialisation, from one
    sample of the data (Lee, Ajanthan and Torr, 2019, eq. 4 and 5).

    Returns (n_weights,), summing to 1. Needs data; 1 forward and 1 backward pass. Ranks as `taylor` does.
    """
    change = taylor(model, data)
    total = change.sum(dtype=np.float64)
    return change / total if total else change


def _gradient(model, data):
    """g = dL/dw of the mean loss over `data`, (n_weights,) in the model's dtype."""
    return sample.gradient(model, sample.draw_sample(model, data))[: model.n_weights]


TAYLOR = {"absolute": np.abs, "signed": np.positive, "squared": np.square}
CRITERIA = {f.__name__: f for f in (gradient, taylor, snip)}
FACTS = {name: Facts(needs="data", passes="1 forward, 1 backward") for name in CRITERIA}
