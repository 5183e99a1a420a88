"""Constraints: what a net's weights must obey after every step, in the form of a penalty."""
import numpy as np

from minnet.model import Model
from minnet.pruning.penalties.base import Penalty
from minnet.pruning.pieces import positions_in


class MaxNorm(Penalty):
    """Bound the Euclidean norm of the weights into each unit: max-norm regularisation.

    After every step the weights into a unit whose norm exceeds the limit are scaled down to it. The value of the
    penalty is 0: it is no term of the loss, and does not depend on the learning rate.

    Parameters
    ----------
    strength : float or dict
        The limit, for all layers or for each; layers that no pattern of a dict matches, or with 0, have none.

    Raises
    ------
    InvalidValue
        If a limit is below 0.

    References
    ----------
    Srivastava et al., 2014, "Dropout: a simple way to prevent neural networks from overfitting", section 5.1.
    """

    convex = True
    separable = False

    def prox(self, model: Model, lr: float) -> None:
        """Project the weights into each unit onto the ball of the limit."""
        for p, limit in self.layers(model):
            unit = positions_in(p) % p.shape[-1]
            w = model.values[p.slice]
            norms = np.sqrt(np.bincount(unit, np.square(w, dtype=np.float64), minlength=p.shape[-1]))
            scale = np.divide(limit, norms, out=np.ones(len(norms)), where=norms > limit)
            w *= scale[unit]
