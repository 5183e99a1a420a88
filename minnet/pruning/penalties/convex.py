"""The convex classics: their sums of squares and sizes have one minimum, and their prox is one line."""
from minnet.errors import check_fraction
from minnet.kernels.pointwise import add_scaled
from minnet.kernels.steps import soft_threshold
from minnet.pruning.penalties.base import Penalty, absolute_sum, square_sum


class L2(Penalty):
    """strength / 2 * sum of w^2: ridge (Hoerl and Kennard, 1970), all of it smooth."""

    def value_of(self, w, strength):
        """strength / 2 * sum of w^2, in float64."""
        return strength / 2 * square_sum(w)

    def gradient_of(self, w, strength, out):
        """strength * w."""
        add_scaled(strength, w, out)


class L1(Penalty):
    """strength * sum of |w|: the lasso (Tibshirani, 1996), none of it smooth; makes exact zeros."""

    def value_of(self, w, strength):
        """strength * sum of |w|, in float64."""
        return strength * absolute_sum(w)

    def prox_of(self, w, amount):
        """sign(w) max(|w| - amount, 0), with +0.0 for zero (Donoho, 1995)."""
        soft_threshold(w, amount)


class ElasticNet(Penalty):
    """strength * (r sum of |w| + (1 - r) / 2 sum of w^2), with r = `l1_ratio` (Zou and Hastie, 2005); the squares are
    the smooth part."""

    def __init__(self, strength, l1_ratio=0.5):
        super().__init__(strength)
        self.l1_ratio = check_fraction("l1_ratio", l1_ratio)

    def value_of(self, w, strength):
        """strength * (r sum of |w| + (1 - r) / 2 sum of w^2), in float64."""
        return strength * (self.l1_ratio * absolute_sum(w) + (1 - self.l1_ratio) / 2 * square_sum(w))

    def gradient_of(self, w, strength, out):
        """strength * (1 - r) * w."""
        add_scaled(strength * (1 - self.l1_ratio), w, out)

    def prox_of(self, w, amount):
        """As L1, with amount * r."""
        soft_threshold(w, amount * self.l1_ratio)


PENALTIES = {"l2": L2, "l1": L1, "elastic_net": ElasticNet}
