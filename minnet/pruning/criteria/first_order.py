"""Criteria from the gradient: how much the loss moves with a weight, to first order.

All judge in use (no dropout, running statistics), by the mean loss L over the sample; g = dL/dw, and g_n is the
gradient of the loss of image n alone. Masked weights are 0, and so are their scores, but for `gradient`.
"""
import numpy as np

from minnet.engine import sample as engine_sample
from minnet.engine.hessian import hessian_vector, square_gradient
from minnet.engine.sample import draw_sample
from minnet.errors import check_choice
from minnet.pruning.traits import Traits


def gradient(model, data):
    """|dL/dw|: a weight that the loss does not care about may go, whatever its size.

    Returns (n_weights,) in the model's dtype. Needs data; 1 forward and 1 backward pass. A baseline, and the score by
    which Evci et al. (2020, "Rigging the lottery") let weights grow; compare `taylor`, which asks how much the loss
    changes when the weight is 0 rather than when it moves a little.
    """
    return np.abs(_gradient(model, draw_sample(model, data)))


def taylor(model, data, variant="absolute"):
    """|w g|: the change of the loss when w becomes 0, to first order (Molchanov et al., 2017, "Pruning convolutional
    neural networks for resource efficient inference", section 2.2, who expand in activations; Molchanov et al., 2019,
    "Importance estimation for neural network pruning", section 3, in weights).

    Returns (n_weights,). Needs data; 1 forward and 1 backward pass. `variant` is one of
    - "absolute": |mean of w g_n|, in the model's dtype;
    - "signed": w g itself: cutting w changes L by -w g. Take `reduction="abs_sum"` for units: |sum of w g| is what 2017
      calls the score of a unit, |z dL/dz| of what it sums up, z, but that the mean over images is taken inside |.|,
      and that a bias has no share;
    - "squared": the mean over images of (w g_n)^2, float64, summed over a unit by `reduction="sum"`: 2019 without its
      cross terms, the mean over single images. Twice `fisher`, and as many passes.
    """
    return check_choice("variant", variant, TAYLOR)(model, draw_sample(model, data))


def snip(model, data):
    """|w g| / sum of the same: the loss's sensitivity to the connection, usually at initialisation, from one sample of
    the data (Lee, Ajanthan and Torr, 2019, "SNIP: single-shot network pruning based on connection sensitivity").

    Returns (n_weights,), summing to 1 unless all are 0. Needs data; 1 forward and 1 backward pass. Ranks as `taylor`.
    """
    change = taylor(model, data)
    total = change.sum(dtype=np.float64)
    return change / total if total else change


def fisher(model, data):
    """1/2 w^2 E[g_n^2]: the change of the loss when w becomes 0, to second order, the diagonal of the empirical Fisher
    matrix standing for that of the Hessian, and g = 0 (Theis et al., 2018, "Faster gaze prediction with dense networks
    and Fisher pruning").

    The mean over images of the squares of their gradients, at the labels given; not the square of the mean gradient,
    which is 0 at a minimum. Returns (n_weights,) float64. Needs data; 1 forward and about 2 backward passes, in
    float64.
    """
    return _squares(model, draw_sample(model, data)) / 2


def grasp(model, data):
    """w (H g), H the Hessian of L: how much of the gradient flow g'g goes when w goes. d g'g = 2 (H g)' dw, so with
    dw = -w it changes by -2 w (H g), to first order: a score above 0 says that the flow falls without w, one below 0
    that it rises (Wang, Zhang and Grosse, 2020, "Picking winning tickets before training by preserving gradient flow").

    That is the paper's S(-w) = -w (H g) with the other sign: they remove the highest S, which is our lowest score. As
    in the authors' code g and H are over weights alone, biases and BatchNorm being held, and, here, over live ones;
    their division of the logits by 200 is left out. H g is exact. Returns (n_weights,) float64, signed: a large
    negative score is the first to go. Needs data; about 4 forward and 4 backward passes, in float64.
    """
    sample = draw_sample(model, data)
    flow = np.where(model.mask, engine_sample.gradient(model, sample, model.values.astype(np.float64)), 0)
    flow[model.n_weights :] = 0
    return model.weights * hessian_vector(model, sample, flow)[: model.n_weights]


def _gradient(model, sample):
    """g (n_weights,) in the model's dtype."""
    return engine_sample.gradient(model, sample)[: model.n_weights]


def _absolute(model, sample):
    return np.abs(model.weights * _gradient(model, sample))


def _signed(model, sample):
    return model.weights * _gradient(model, sample)


def _squares(model, sample):
    """E[(w g_n)^2] (n_weights,) float64."""
    return np.square(model.weights, dtype=np.float64) * square_gradient(model, sample)[: model.n_weights]


TAYLOR = {"absolute": _absolute, "signed": _signed, "squared": _squares}
CRITERIA = {f.__name__: f for f in (gradient, taylor, snip, fisher, grasp)}
TRAITS = {
    **{name: Traits(needs="data", passes="1 forward, 1 backward") for name in ("gradient", "taylor", "snip")},
    "fisher": Traits(needs="data", passes="1 forward, 2 backward"),
    "grasp": Traits(needs="data", signed=True, passes="4 forward, 4 backward"),
}
