"""Criteria from the gradient: how much the loss moves with a weight, to first order.

All judge in use (no dropout, running statistics), by the mean loss L over the sample; g = dL/dw, and g_n is the
gradient of the loss of image n alone. Masked weights are 0, and so are their scores, but for `gradient`.
"""
from dataclasses import replace

import numpy as np

from minnet.engine import sample as engine_sample
from minnet.engine.hessian import Softened, hessian_vector, square_gradient
from minnet.engine.losses import binary_cross_entropy, cross_entropy
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.errors import check_choice, check_positive
from minnet.pruning.traits import Data, Traits

OF_LOGITS = (cross_entropy, binary_cross_entropy)  # losses that a temperature has a meaning for


def gradient(model: Model, data: Data) -> np.ndarray:
    """Score each weight by the size of its gradient.

    ``|dL/dw|``: a weight on which the loss does not depend may be removed, whatever its size.

    A baseline, and the score by which RigL lets weights grow; compare `taylor`, which asks how much the loss changes
    when the weight is 0 rather than when it moves a little. 1 forward and 1 backward pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype. Masked weights have a score too.

    References
    ----------
    Evci et al., 2020, "Rigging the lottery".
    """
    return np.abs(_gradient(model, draw_sample(model, data)))


def taylor(model: Model, data: Data, variant: str = "absolute") -> np.ndarray:
    """Score each weight by the change of the loss when it becomes 0, to first order.

    ``|w g|``, g = dL/dw. The paper of 2017 expands in activations, that of 2019 in weights. 1 forward and 1 backward
    pass; "squared" takes about 2 backward passes, in float64.

    Once training has converged, g is near 0 for every weight, also for those that are needed: two of iris's four inputs
    kept, the accuracy right after pruning was 88.7 % after 30 epochs of training but 72.7 % after 100, and once both
    essential inputs were removed. `fisher` and `obd`, which do not average g before they square it, had 84.0 % and
    90.7 %, `magnitude` 84.7 % and 83.3 % (means of five seeds).

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    variant : str, default "absolute"
        - "absolute": ``|mean of w g_n|``, in the model's dtype.
        - "signed": w g itself: cutting w changes L by -w g. Take `reduction="abs_sum"` for units: ``|sum of w g|`` is
          what the paper of 2017 calls the score of a unit, ``|z dL/dz|`` with z its pre-activation, but that the mean
          over images is taken inside the bars, and that a bias has no share.
        - "squared": the mean over images of (w g_n)^2, float64, summed over a unit by `reduction="sum"`: the score of
          2019 without its cross terms, the mean over single images. Twice `fisher`, at the same cost.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        Changes of the loss.

    Raises
    ------
    UnknownName
        If there is no such variant.
    Unsupported
        If a layer has no square_gradient and `variant` is "squared".

    References
    ----------
    - Molchanov et al., 2017, "Pruning convolutional neural networks for resource efficient inference", section 2.2.
    - Molchanov et al., 2019, "Importance estimation for neural network pruning", section 3.
    """
    return check_choice("variant", variant, TAYLOR)(model, draw_sample(model, data))


def snip(model: Model, data: Data) -> np.ndarray:
    """Score each weight, at initialisation, by the loss's sensitivity to it.

    ``|w g| / sum of |w g|``, usually at initialisation, from one sample of the data. Ranks as `taylor`. 1 forward and 1
    backward pass.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        They sum to 1 unless all are 0.

    References
    ----------
    Lee, Ajanthan and Torr, 2019, "SNIP: single-shot network pruning based on connection sensitivity".
    """
    change = taylor(model, data)
    total = change.sum(dtype=np.float64)
    return change / total if total else change


def fisher(model: Model, data: Data) -> np.ndarray:
    """Score each weight by the change of the loss when it becomes 0, by the Fisher diagonal.

    ``1/2 w^2 E[g_n^2]``: to second order, the diagonal of the empirical Fisher matrix in place of that of the Hessian,
    and g = 0.

    The mean over images of the squares of their gradients, at the labels given; not the square of the mean gradient,
    which is 0 at a minimum. 1 forward and about 2 backward passes, in float64.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64.

    Raises
    ------
    Unsupported
        If a layer has no square_gradient.

    References
    ----------
    Theis et al., 2018, "Faster gaze prediction with dense networks and Fisher pruning".
    """
    return _squares(model, draw_sample(model, data)) / 2


def grasp(model: Model, data: Data, temperature: float = 1.0) -> np.ndarray:
    """Score each weight, at initialisation, by the gradient flow it keeps.

    ``w (H g)``, H the Hessian of L: d g'g = 2 (H g)' dw, so with dw = -w the flow g'g changes by -2 w (H g), to first
    order. A score above 0 says that the flow falls without w, one below 0 that it rises.

    That is the paper's S(-w) = -w (H g) with the other sign: they remove the highest S, which is our lowest score. As
    in the authors' code g and H are over weights alone, biases and BatchNorm being held, and, here, over live ones;
    their division of the logits by 200 is left out. H g is exact. On a trained net, whose g
    is near 0, it ranks little but noise. About 4 forward and 4 backward passes, in float64.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    temperature : float, default 1
        What logits are divided by before the loss of classes or labels. The authors' code has 200, and so has the
        recipe `grasp`: the softmax is then nearly even, and the scores depend less on how it happens to begin.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, signed: a large negative score is removed first.

    Raises
    ------
    Unsupported
        If a layer has no tangent.
    InvalidValue, InvalidType
        If `temperature` is not above 0.

    References
    ----------
    Wang, Zhang and Grosse, 2020, "Picking winning tickets before training by preserving gradient flow".
    """
    sample = draw_sample(model, data)
    loss = sample.loss
    if check_positive("temperature", temperature) != 1 and callable(loss) and getattr(loss, "func", loss) in OF_LOGITS:
        sample = replace(sample, loss=Softened(loss, temperature))
    flow = np.where(model.mask, engine_sample.gradient(model, sample, model.values.astype(np.float64)), 0)
    flow[model.n_weights :] = 0
    return model.weights * hessian_vector(model, sample, flow)[: model.n_weights]


def _gradient(model, sample):
    """Return g (n_weights,) in the model's dtype."""
    return engine_sample.gradient(model, sample)[: model.n_weights]


def _absolute(model, sample):
    return np.abs(model.weights * _gradient(model, sample))


def _signed(model, sample):
    return model.weights * _gradient(model, sample)


def _squares(model, sample):
    """Compute E[(w g_n)^2] (n_weights,), float64."""
    return np.square(model.weights, dtype=np.float64) * square_gradient(model, sample)[: model.n_weights]


TAYLOR = {"absolute": _absolute, "signed": _signed, "squared": _squares}
CRITERIA = {f.__name__: f for f in (gradient, taylor, snip, fisher, grasp)}
TRAITS = {
    **{name: Traits(needs="data", passes="1 forward, 1 backward") for name in ("gradient", "taylor", "snip")},
    "fisher": Traits(needs="data", passes="1 forward, 2 backward"),
    "grasp": Traits(needs="data", signed=True, passes="4 forward, 4 backward"),
}
