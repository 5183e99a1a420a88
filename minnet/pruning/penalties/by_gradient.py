"""Penalties that act by their gradient alone: they make weights small, not 0; prune what became small.

    penalty = GrowingL2(1e-4, sparsity=0.9)
    for step in train(model, data, penalty=penalty):
        penalty.grow()
"""
import numpy as np

from minnet.errors import InvalidValue, check_fraction, check_real
from minnet.kernels.select import MAY_GO
from minnet.pruning.penalties.base import Penalty, absolute_sum, square_sum
from minnet.pruning.select import select


class Hoyer(Penalty):
    """strength * sum of |w| / sqrt(sum of w^2), layer by layer; from 1 for one weight to sqrt(n) for n equal ones, so
    the scale of the weights does not matter (Hoyer, 2004; Yang, Wen and Li, 2020, "DeepHoyer", eq. 2)."""

    separable = False

    def smooth_of(self, w, strength):
        """strength * |w|_1 / |w|_2, in float64; 0 for a layer of zeros."""
        squares = square_sum(w)
        return strength * absolute_sum(w) / np.sqrt(squares) if squares else 0.0

    def gradient_of(self, w, strength, out):
        """strength * (sign(w) / |w|_2 - w |w|_1 / |w|_2^3); 0 where w is 0."""
        squares = square_sum(w)
        if squares:
            out += strength / np.sqrt(squares) * (np.sign(w) - w * (absolute_sum(w) / squares))


class HoyerSquare(Penalty):
    """strength * (sum of |w|)^2 / sum of w^2, layer by layer; from 1 to n, as the number of weights that are not 0
    (Yang, Wen and Li, 2020, "DeepHoyer", eq. 3 and 4). It pulls at small weights, and pushes large ones up."""

    separable = False

    def smooth_of(self, w, strength):
        """strength * |w|_1^2 / |w|_2^2, in float64; 0 for a layer of zeros."""
        squares = square_sum(w)
        return strength * absolute_sum(w) ** 2 / squares if squares else 0.0

    def gradient_of(self, w, strength, out):
        """strength * 2 (sign(w) |w|_1 / |w|_2^2 - w |w|_1^2 / |w|_2^4); 0 where w is 0."""
        squares = square_sum(w)
        if squares:
            ratio = absolute_sum(w) / squares
            out += strength * 2 * ratio * (np.sign(w) - w * ratio)


class GrowingL2(Penalty):
    """strength / 2 * sum of w^2 over the weights of each layer that are to go, with a strength that `grow` raises by
    `growth` up to `ceiling` (Wang et al., 2021, "Neural pruning via growing regularization", section 3.2, GReg-1).

    To go are round(sparsity * size) of each layer: those of lowest `scores` (n_weights,), as a criterion gives them, or
    where it is None those that are smallest at that moment, ties by index. The caller calls `grow` in the training
    loop, in the paper once every 10 steps.
    """

    separable = False

    def __init__(self, strength, sparsity=0.5, growth=1e-4, ceiling=1.0, scores=None):
        super().__init__(strength)
        self.sparsity = check_fraction("sparsity", sparsity)
        self.growth = check_real("growth", growth, 0)
        self.ceiling = check_real("ceiling", ceiling, 0)
        self.scores = scores

    def grow(self):
        """Raise each strength by `growth`, and none above `ceiling`."""
        if isinstance(self.strength, dict):
            self.strength = {pattern: self._grown(value) for pattern, value in self.strength.items()}
        else:
            self.strength = self._grown(self.strength)

    def _grown(self, strength):
        return max(strength, min(strength + self.growth, self.ceiling))

    def smooth(self, model):
        """strength / 2 * sum of w^2 over what is to go, in float64."""
        return float(sum(strength / 2 * square_sum(model.values[p.slice][self.going(model, p)])
                         for p, strength in self.layers(model)))

    def add_gradient(self, model, grads):
        """strength * w where w is to go, else 0."""
        for p, strength in self.layers(model):
            grads[p.slice] += strength * np.where(self.going(model, p), model.values[p.slice], 0)

    def going(self, model, p):
        """(size,) bool: which entries of the weight p are to go."""
        if self.scores is not None and len(self.scores) != model.n_weights:
            raise InvalidValue(f"scores of length {len(self.scores)}: the model has {model.n_weights} weights, and "
                               "wants one score for each")
        scores = np.abs(model.values[p.slice]) if self.scores is None else self.scores[p.slice]
        return select(scores, np.full(len(scores), MAY_GO, np.uint8), round(self.sparsity * len(scores)))


PENALTIES = {"hoyer": Hoyer, "hoyer_square": HoyerSquare, "growing_l2": GrowingL2}
