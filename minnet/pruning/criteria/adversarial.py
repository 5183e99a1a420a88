"""A criterion from the adversarial loss: what a weight does for samples that were moved to raise the loss."""
from dataclasses import replace

import numpy as np

from minnet.engine.attacks import input_gradient
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.errors import check_real
from minnet.pruning.criteria.first_order import taylor
from minnet.pruning.traits import Data, Traits


def adversarial_taylor(model: Model, data: Data, epsilon: float = 0.1) -> np.ndarray:
    """Score each weight by the change of the adversarial loss when it becomes 0, to first order.

    ``|w g|``, g = dL/dw at the samples ``x + epsilon sign(dL/dx)``, clipped to the range of the sample, which is made
    no smaller than [0, 1]. 2 forward and 2 backward passes.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    epsilon : float
        How far each number of a sample is moved.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        Changes of the loss, in the model's dtype.

    Raises
    ------
    InvalidValue
        If `epsilon` is negative.

    References
    ----------
    - Sehwag et al., 2020, "HYDRA: pruning adversarially robust neural networks", whose loss this is; the score is
      `taylor`'s.
    """
    sample = draw_sample(model, data)
    X, epsilon = sample.X[:], check_real("epsilon", epsilon, 0)
    gradient, _ = input_gradient(model, X, sample.y, sample.loss)
    moved = X + X.dtype.type(epsilon) * np.sign(gradient)
    return taylor(model, replace(sample, X=np.clip(moved, min(0, X.min()), max(1, X.max()))))


CRITERIA = {"adversarial_taylor": adversarial_taylor}
TRAITS = {"adversarial_taylor": Traits(needs="data", passes="2 forward, 2 backward")}
