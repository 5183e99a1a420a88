"""The convex classics: their sums of squares and sizes have one minimum, and their prox is one line."""
from minnet.errors import InvalidValue, check_fraction
from minnet.kernels.layers.pointwise import add_scaled
from minnet.kernels.steps import soft_threshold
from minnet.pruning.penalties.base import Penalty, absolute_sum, square_sum


class L2(Penalty):
    """strength / 2 * sum of w^2: ridge (Hoerl and Kennard, 1970), all of it smooth."""

    convex = True

    def smooth_of(self, w, strength):
        """strength / 2 * sum of w^2, in float64."""
        return strength / 2 * square_sum(w)

    def gradient_of(self, w, strength, out):
        """strength * w."""
        add_scaled(strength, w, out)


class L1(Penalty):
    """strength * sum of |w|: the lasso (Tibshirani, 1996), none of it smooth; makes exact zeros."""

    convex = True

    def rest_of(self, w, strength):
        """strength * sum of |w|, in float64."""
        return strength * absolute_sum(w)

    def prox_of(self, w, strength, lr):
        """sign(w) max(|w| - lr * strength, 0), with +0.0 for zero (Donoho, 1995)."""
        soft_threshold(w, lr * strength)


class ElasticNet(Penalty):
    """strength * (r sum of |w| + (1 - r) / 2 sum of w^2), with r = `l1_ratio` (Zou and Hastie, 2005); the squares are
    the smooth part."""

    convex = True

    def __init__(self, strength, l1_ratio=0.5):
        super().__init__(strength)
        self.l1_ratio = check_fraction("l1_ratio", l1_ratio)

    def smooth_of(self, w, strength):
        """strength * (1 - r) / 2 sum of w^2, in float64."""
        return strength * (1 - self.l1_ratio) / 2 * square_sum(w)

    def gradient_of(self, w, strength, out):
        """strength * (1 - r) * w."""
        add_scaled(strength * (1 - self.l1_ratio), w, out)

    def rest_of(self, w, strength):
        """strength * r sum of |w|, in float64."""
        return strength * self.l1_ratio * absolute_sum(w)

    def prox_of(self, w, strength, lr):
        """As L1, with strength * r."""
        soft_threshold(w, lr * strength * self.l1_ratio)


class BatchNormL1(L1):
    """strength * sum of |gain| over BatchNorm layers: network slimming (Liu et al., 2017, eq. 1). A channel whose gain
    is 0 is constant; the criterion `bn_scale` and the structure `channel` then take it out.

    A dict of strengths names BatchNorm layers. Raises InvalidValue for a model that has none.
    """

    kind = "gain"

    def layers(self, model):
        """Pairs (gain, strength) of the BatchNorm layers whose strength is not 0."""
        if not any(p.kind == self.kind for p in model.parameters.values()):
            raise InvalidValue("the penalty bn_l1 pulls at the gains of BatchNorm, of which this model has none: take "
                               "l1 or group_lasso, or a model with BatchNorm")
        return super().layers(model)


PENALTIES = {"l2": L2, "l1": L1, "elastic_net": ElasticNet, "bn_l1": BatchNormL1}
