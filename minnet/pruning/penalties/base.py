"""What a penalty is, and what all of them share: a strength for each layer, and a walk over the layers."""
import numpy as np

from minnet.errors import check_real
from minnet.pruning.choose import matching


class Penalty:
    """Base of all penalties: the strength of each layer, and a walk over its weights.

    A subclass writes `smooth_of` with `gradient_of`, `rest_of` with `prox_of`, or both pairs, on the flat weights of
    one layer; what it does not write is 0. What it is and is not stands in the fields that follow.
    """

    kind = "weight"     # which parameters it pulls at: "weight" or "gain"
    convex = False      # prox is then firmly non-expansive, and FISTA finds the one minimum of a convex loss with it
    separable = True    # a sum over single weights
    alone = True        # a weight feels the strength of its own layer only

    def __init__(self, strength):
        for given in strength.values() if isinstance(strength, dict) else [strength]:
            check_real("strength", given, 0)
        self.strength = strength

    def value(self, model):
        """The penalty of the model's weights, a float: smooth part and rest."""
        return self.smooth(model) + self.rest(model)

    def smooth(self, model):
        """The part that joins the loss by its gradient."""
        return float(sum(self.smooth_of(model.values[p.slice], strength) for p, strength in self.layers(model)))

    def rest(self, model):
        """The part that acts by `prox`."""
        return float(sum(self.rest_of(model.values[p.slice], strength) for p, strength in self.layers(model)))

    def add_gradient(self, model, grads):
        """Add the gradient of the smooth part to `grads` (length of the vector, the model's dtype), in place."""
        for p, strength in self.layers(model):
            self.gradient_of(model.values[p.slice], strength, grads[p.slice])

    def prox(self, model, lr):
        """Move the model's weights by the proximal operator of `lr` times the rest, in place."""
        for p, strength in self.layers(model):
            self.prox_of(model.values[p.slice], strength, lr)

    def layers(self, model):
        """Pairs (weight parameter, strength) of the layers whose strength is not 0."""
        parameters = [p for p in model.parameters.values() if p.kind == self.kind]
        return [(p, s) for p, s in zip(parameters, strengths(model, parameters, self.strength), strict=True) if s]

    def smooth_of(self, w, strength):
        """The smooth part for the weights w (size,) of one layer."""
        return 0.0

    def gradient_of(self, w, strength, out):
        """Add the gradient of the smooth part at w to `out`, both (size,)."""

    def rest_of(self, w, strength):
        """The rest for the weights w (size,) of one layer."""
        return 0.0

    def prox_of(self, w, strength, lr):
        """Move w (size,) by the proximal operator of `lr` times the rest."""

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


def absolute_sum(w):
    """sum of |w|, in float64."""
    return np.abs(w).sum(dtype=np.float64)


def square_sum(w):
    """sum of w^2, in float64."""
    return np.square(w, dtype=np.float64).sum()


def strengths(model, parameters, strength):
    """The strength of the layer of each of the parameters."""
    if not isinstance(strength, dict):
        return [strength] * len(parameters)
    found, names = {}, [p.layer for p in parameters]
    for pattern, value in strength.items():
        found.update(dict.fromkeys(matching(model, names, pattern, "strength"), value))
    return [found.get(name, 0.0) for name in names]
