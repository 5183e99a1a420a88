"""The convex classics: their sums of squares and sizes have one minimum, and their prox is one line."""
import numpy as np

from minnet.engine.vector import Parameter
from minnet.errors import InvalidValue, check_fraction
from minnet.kernels.layers.pointwise import add_scaled
from minnet.kernels.steps import soft_threshold
from minnet.model import Model
from minnet.pruning.penalties.base import Penalty, Strength, absolute_sum, square_sum


class L2(Penalty):
    """Penalise the squares of the weights: ridge.

    ``strength / 2 * sum of w^2``, all of it smooth.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.

    References
    ----------
    Hoerl and Kennard, 1970.
    """

    convex = True

    def smooth_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``strength / 2 * sum of w^2``, in float64."""
        return strength / 2 * square_sum(w)

    def gradient_of(self, w: np.ndarray, strength: float, out: np.ndarray) -> None:
        """Add ``strength * w``."""
        add_scaled(strength, w, out)


class L1(Penalty):
    """Penalise the sizes of the weights: the lasso, which makes exact zeros.

    ``strength * sum of |w|``, none of it smooth.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.

    References
    ----------
    Tibshirani, 1996.
    """

    convex = True

    def rest_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``strength * sum of |w|``, in float64."""
        return strength * absolute_sum(w)

    def prox_of(self, w: np.ndarray, strength: float, lr: float) -> None:
        """Set w to ``sign(w) max(|w| - lr * strength, 0)``, with +0.0 for zero (Donoho, 1995)."""
        soft_threshold(w, lr * strength)


class ElasticNet(Penalty):
    """Penalise sizes and squares of the weights: the elastic net.

    ``strength * (r sum of |w| + (1 - r) / 2 sum of w^2)``, with r = `l1_ratio`; the squares are the smooth part.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    l1_ratio : float, default 0.5
        The share r of L1, in [0, 1].

    Raises
    ------
    InvalidValue
        If `l1_ratio` is outside [0, 1].

    References
    ----------
    Zou and Hastie, 2005.
    """

    convex = True

    def __init__(self, strength: Strength, l1_ratio: float = 0.5):
        super().__init__(strength)
        self.l1_ratio = check_fraction("l1_ratio", l1_ratio)

    def smooth_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``strength * (1 - r) / 2 sum of w^2``, in float64."""
        return strength * (1 - self.l1_ratio) / 2 * square_sum(w)

    def gradient_of(self, w: np.ndarray, strength: float, out: np.ndarray) -> None:
        """Add ``strength * (1 - r) * w``."""
        add_scaled(strength * (1 - self.l1_ratio), w, out)

    def rest_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``strength * r sum of |w|``, in float64."""
        return strength * self.l1_ratio * absolute_sum(w)

    def prox_of(self, w: np.ndarray, strength: float, lr: float) -> None:
        """Apply the prox of L1, with strength * r."""
        soft_threshold(w, lr * strength * self.l1_ratio)


class BatchNormL1(L1):
    """Penalise the gains of BatchNorm layers: network slimming.

    ``strength * sum of |gain|`` over BatchNorm layers. A channel whose gain is 0 is constant; the criterion `bn_scale`
    and the structure `channel` then remove it.

    Parameters
    ----------
    strength : float or dict
        The factor, for all BatchNorm layers or for each; a dict names BatchNorm layers.

    Raises
    ------
    InvalidValue
        In training, if the model has no BatchNorm.

    References
    ----------
    Liu et al., 2017, "Learning efficient convolutional networks through network slimming", eq. 1.
    """

    kind = "gain"

    def layers(self, model: Model) -> list[tuple[Parameter, float]]:
        """List pairs (gain, strength) of the BatchNorm layers whose strength is not 0."""
        if not any(p.kind == self.kind for p in model.parameters.values()):
            raise InvalidValue("the penalty bn_l1 pulls at the gains of BatchNorm, of which this model has none: take "
                               "l1 or group_lasso, or a model with BatchNorm")
        return super().layers(model)


PENALTIES = {"l2": L2, "l1": L1, "elastic_net": ElasticNet, "bn_l1": BatchNormL1}
