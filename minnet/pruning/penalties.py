"""Penalties: what is added to the loss so that weights become small, or exactly 0, while the net is trained.

    train(model, data, penalty=L1(1e-4))
    train(model, data, penalty=[L1({"dense1": 1e-3, "*": 1e-4}), L2(1e-5)])

A penalty is the sum of a smooth part, whose gradient joins that of the loss (`add_gradient`, before the step), and the
rest, which acts after the step as a proximal operator (`prox`):

    prox(w) = argmin over v of |v - w|^2 / 2 + lr * rest(v)

Penalties touch weights only. Their strength is a number, or a dict of layers (names, patterns, kinds) and numbers, of
which the last that matches a layer holds, and no match is 0.
"""
import numpy as np

from minnet.errors import check_fraction, check_real
from minnet.kernels.pointwise import add_scaled
from minnet.kernels.steps import soft_threshold
from minnet.pruning.choose import matching, weighted


class Penalty:
    """Base of all penalties: the strength of each layer, and a walk over its weights.

    A subclass writes `value_of(w, strength)`, and `gradient_of(w, strength, out)` or `prox_of(w, amount)`, on the flat
    weights of one layer; what it does not write is 0.
    """

    def __init__(self, strength):
        for given in strength.values() if isinstance(strength, dict) else [strength]:
            check_real("strength", given, 0)
        self.strength = strength

    def value(self, model):
        """The penalty of the model's weights, a float."""
        return float(sum(self.value_of(p.value.reshape(-1), strength) for p, strength in self.layers(model)))

    def add_gradient(self, model, grads):
        """Add the gradient of the smooth part to `grads` (length of the vector, the model's dtype), in place."""
        for p, strength in self.layers(model):
            self.gradient_of(model.values[p.slice], strength, grads[p.slice])

    def prox(self, model, lr):
        """Move the model's weights by the proximal operator of `lr` times the rest, in place."""
        for p, strength in self.layers(model):
            self.prox_of(model.values[p.slice], lr * strength)

    def layers(self, model):
        """Pairs (weight parameter, strength) of the layers whose strength is not 0."""
        return [(p, s) for p, s in zip(model.weight_parameters, strengths(model, self.strength), strict=True) if s]

    def value_of(self, w, strength):
        """The penalty of the weights w (size,) of one layer."""
        return 0.0

    def gradient_of(self, w, strength, out):
        """Add the gradient of the smooth part at w to `out`, both (size,)."""

    def prox_of(self, w, amount):
        """Move w (size,) by the proximal operator of `amount` times the rest."""

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


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


def absolute_sum(w):
    """sum of |w|, in float64."""
    return np.abs(w).sum(dtype=np.float64)


def square_sum(w):
    """sum of w^2, in float64."""
    return np.square(w, dtype=np.float64).sum()


def strengths(model, strength):
    """The strength of each layer with weights, in the order of `model.weight_parameters`."""
    if not isinstance(strength, dict):
        return [strength] * len(model.weight_parameters)
    found = {}
    for pattern, value in strength.items():
        found.update(dict.fromkeys(matching(model, weighted(model), pattern, "strength"), value))
    return [found.get(p.layer, 0.0) for p in model.weight_parameters]


PENALTIES = {"l2": L2, "l1": L1, "elastic_net": ElasticNet}
