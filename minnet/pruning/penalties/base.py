"""What a penalty is, and what all of them share: a strength for each layer, and a walk over the layers."""
import numpy as np

from minnet.errors import check_real
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
