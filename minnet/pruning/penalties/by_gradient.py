"""Penalties that act by their gradient alone: they make weights small, not 0, to be pruned afterwards.

    penalty = GrowingL2(1e-4, sparsity=0.9)
    for step in train(model, data, penalty=penalty):
        penalty.grow()

Hoyer's ratio and its square, and growing regularisation.
"""
import numpy as np

from minnet.engine.vector import Parameter
from minnet.errors import InvalidValue, check_fraction, check_real
from minnet.kernels.select import MAY_GO
from minnet.model import Model
from minnet.pruning.penalties.base import Penalty, Strength, absolute_sum, square_sum
from minnet.pruning.select import select


class Hoyer(Penalty):
    """Penalise the ratio of the L1 to the L2 norm of each layer.

    ``strength * sum of |w| / sqrt(sum of w^2)``, layer by layer: from 1 for one weight to sqrt(n) for n equal ones, so
    the scale of the weights does not matter.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.

    References
    ----------
    - Hoyer, 2004.
    - Yang, Wen and Li, 2020, "DeepHoyer", eq. 2.
    """

    separable = False

    def smooth_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``strength * |w|_1 / |w|_2``, in float64; 0 for a layer of zeros."""
        squares = square_sum(w)
        return strength * absolute_sum(w) / np.sqrt(squares) if squares else 0.0

    def gradient_of(self, w: np.ndarray, strength: float, out: np.ndarray) -> None:
        """Add ``strength * (sign(w) / |w|_2 - w |w|_1 / |w|_2^3)``; 0 where w is 0."""
        squares = square_sum(w)
        if squares:
            out += strength / np.sqrt(squares) * (np.sign(w) - w * (absolute_sum(w) / squares))


class HoyerSquare(Penalty):
    """Penalise the squared ratio of the L1 to the L2 norm of each layer.

    ``strength * (sum of |w|)^2 / sum of w^2``, layer by layer: from 1 to n, as the number of weights that are not 0. It
    pulls at small weights, and pushes large ones up.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.

    References
    ----------
    Yang, Wen and Li, 2020, "DeepHoyer", eq. 3 and 4.
    """

    separable = False

    def smooth_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``strength * |w|_1^2 / |w|_2^2``, in float64; 0 for a layer of zeros."""
        squares = square_sum(w)
        return strength * absolute_sum(w) ** 2 / squares if squares else 0.0

    def gradient_of(self, w: np.ndarray, strength: float, out: np.ndarray) -> None:
        """Add ``strength * 2 (sign(w) |w|_1 / |w|_2^2 - w |w|_1^2 / |w|_2^4)``; 0 where w is 0."""
        squares = square_sum(w)
        if squares:
            ratio = absolute_sum(w) / squares
            out += strength * 2 * ratio * (np.sign(w) - w * ratio)


class GrowingL2(Penalty):
    """Penalise the squares of the weights to be pruned, with a growing strength.

    ``strength / 2 * sum of w^2`` over the lowest round(sparsity * size) weights of each layer, with a strength that
    `grow` raises by `growth` up to `ceiling`.

    The caller calls `grow` in the training loop, in the paper once every 10 steps.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    sparsity : float, default 0.5
        The share of each layer that is penalised, in [0, 1].
    growth : float, default 1e-4
        What `grow` adds to each strength.
    ceiling : float, default 1.0
        The largest strength that `grow` gives.
    scores : ndarray of shape (n_weights,), optional
        The lowest are penalised, as a criterion gives them; by default the smallest weights at that moment, ties by
        index.

    Raises
    ------
    InvalidValue
        If an argument is out of range.

    References
    ----------
    Wang et al., 2021, "Neural pruning via growing regularization", section 3.2, GReg-1.
    """

    separable = False

    def __init__(self, strength: Strength, sparsity: float = 0.5, growth: float = 1e-4, ceiling: float = 1.0,
                 scores: np.ndarray | None = None):
        super().__init__(strength)
        self.sparsity = check_fraction("sparsity", sparsity)
        self.growth = check_real("growth", growth, 0)
        self.ceiling = check_real("ceiling", ceiling, 0)
        self.scores = scores

    def grow(self) -> None:
        """Raise each strength by `growth`, and none above `ceiling`."""
        if isinstance(self.strength, dict):
            self.strength = {pattern: self._grown(value) for pattern, value in self.strength.items()}
        else:
            self.strength = self._grown(self.strength)

    def _grown(self, strength):
        return max(strength, min(strength + self.growth, self.ceiling))

    def smooth(self, model: Model) -> float:
        """Compute ``strength / 2 * sum of w^2`` over the weights to be pruned, in float64."""
        return float(sum(strength / 2 * square_sum(model.values[p.slice][self.chosen(model, p)])
                         for p, strength in self.layers(model)))

    def add_gradient(self, model: Model, grads: np.ndarray) -> None:
        """Add strength * w for the weights to be pruned."""
        for p, strength in self.layers(model):
            grads[p.slice] += strength * np.where(self.chosen(model, p), model.values[p.slice], 0)

    def chosen(self, model: Model, p: Parameter) -> np.ndarray:
        """Return which entries of the weight p are to be pruned.

        Parameters
        ----------
        model : Model
            The model whose weights are penalised.
        p : Parameter
            One of its weights.

        Returns
        -------
        chosen : ndarray of bool of shape (size,)
            True for the round(sparsity * size) lowest.

        Raises
        ------
        InvalidValue
            If `scores` has another length than the model's weights.
        """
        if self.scores is not None and len(self.scores) != model.n_weights:
            raise InvalidValue(f"scores of length {len(self.scores)}: the model has {model.n_weights} weights, and "
                               "needs one score for each")
        scores = np.abs(model.values[p.slice]) if self.scores is None else self.scores[p.slice]
        return select(scores, np.full(len(scores), MAY_GO, np.uint8), round(self.sparsity * len(scores)))


PENALTIES = {"hoyer": Hoyer, "hoyer_square": HoyerSquare, "growing_l2": GrowingL2}
