"""What a penalty is, and what all of them share: a strength for each layer, and a walk over the layers.

    class Cauchy(mn.Penalty):                                  # one of your own: log(1 + w^2), all of it smooth
        def smooth_of(self, w, strength):
            return strength * np.log1p(np.square(w, dtype=np.float64)).sum()

        def gradient_of(self, w, strength, out):
            out += strength * 2 * w / (1 + w**2)

`train` takes any object with `value`, `add_gradient` and `prox`; this base writes them once.
"""
from collections.abc import Sequence

import numpy as np

from minnet.engine.vector import Parameter
from minnet.errors import check_real
from minnet.model import Model
from minnet.pruning.choose import matching

Strength = float | dict[str, float]    # one for all layers, or one for each name, pattern or kind of layer


class Penalty:
    """Hold the strength of each layer, and walk over the weights: base of all penalties.

    A subclass writes `smooth_of` with `gradient_of`, `rest_of` with `prox_of`, or both pairs, on the flat weights of
    one layer; what it does not write is 0. The class attributes below say what else it is and is not.

    Parameters
    ----------
    strength : float or dict
        The factor of the penalty, at least 0: a number, or a dict of layers (names, patterns, kinds) and numbers, of
        which the last that matches a layer holds, and no match is 0.

    Attributes
    ----------
    kind : str
        The parameters that it pulls at: "weight" or "gain".
    convex : bool
        Whether `prox` is firmly non-expansive, so that FISTA finds the one minimum of a convex loss with it.
    separable : bool
        Whether it is a sum over single weights.
    alone : bool
        Whether a weight feels the strength of its own layer only.

    Raises
    ------
    InvalidValue
        If a strength is below 0.
    """

    kind: str = "weight"
    convex: bool = False
    separable: bool = True
    alone: bool = True

    def __init__(self, strength: Strength):
        for given in strength.values() if isinstance(strength, dict) else [strength]:
            check_real("strength", given, 0)
        self.strength = strength

    def value(self, model: Model) -> float:
        """Compute the penalty of the model's weights: smooth part and rest.

        Parameters
        ----------
        model : Model
            The model whose weights are penalised.

        Returns
        -------
        value : float
            What is added to the loss.
        """
        return self.smooth(model) + self.rest(model)

    def smooth(self, model: Model) -> float:
        """Compute the part that joins the loss by its gradient.

        Parameters
        ----------
        model : Model
            The model whose weights are penalised.

        Returns
        -------
        value : float
            The smooth part of `value`.
        """
        return float(sum(self.smooth_of(model.values[p.slice], strength) for p, strength in self.layers(model)))

    def rest(self, model: Model) -> float:
        """Compute the part that acts by `prox`.

        Parameters
        ----------
        model : Model
            The model whose weights are penalised.

        Returns
        -------
        value : float
            The rest of `value`.
        """
        return float(sum(self.rest_of(model.values[p.slice], strength) for p, strength in self.layers(model)))

    def add_gradient(self, model: Model, grads: np.ndarray) -> None:
        """Add the gradient of the smooth part to `grads`, in place.

        Parameters
        ----------
        model : Model
            The model whose weights are penalised.
        grads : ndarray
            The gradient of the loss: as long as the flat vector of values, in the model's dtype.
        """
        for p, strength in self.layers(model):
            self.gradient_of(model.values[p.slice], strength, grads[p.slice])

    def prox(self, model: Model, lr: float) -> None:
        """Move the model's weights by the proximal operator of `lr` times the rest, in place.

        Parameters
        ----------
        model : Model
            The model whose weights are moved.
        lr : float
            The learning rate of the step that was just made.
        """
        for p, strength in self.layers(model):
            self.prox_of(model.values[p.slice], strength, lr)

    def layers(self, model: Model) -> list[tuple[Parameter, float]]:
        """List the parameters that the penalty pulls at, with their strengths.

        Parameters
        ----------
        model : Model
            The model whose weights are penalised.

        Returns
        -------
        pairs : list of (Parameter, float)
            Those of the layers whose strength is not 0.
        """
        parameters = [p for p in model.parameters.values() if p.kind == self.kind]
        return [(p, s) for p, s in zip(parameters, strengths(model, parameters, self.strength), strict=True) if s]

    def smooth_of(self, w: np.ndarray, strength: float) -> float:
        """Compute the smooth part of one layer.

        Parameters
        ----------
        w : ndarray of shape (size,)
            The layer's weights.
        strength : float
            The layer's strength.

        Returns
        -------
        value : float
            0 unless a subclass says otherwise.
        """
        return 0.0

    def gradient_of(self, w: np.ndarray, strength: float, out: np.ndarray) -> None:
        """Add the gradient of the smooth part of one layer to `out`.

        Parameters
        ----------
        w : ndarray of shape (size,)
            The layer's weights.
        strength : float
            The layer's strength.
        out : ndarray of shape (size,)
            The gradient, changed in place.
        """

    def rest_of(self, w: np.ndarray, strength: float) -> float:
        """Compute the rest of one layer.

        Parameters
        ----------
        w : ndarray of shape (size,)
            The layer's weights.
        strength : float
            The layer's strength.

        Returns
        -------
        value : float
            0 unless a subclass says otherwise.
        """
        return 0.0

    def prox_of(self, w: np.ndarray, strength: float, lr: float) -> None:
        """Move the weights of one layer by the proximal operator of `lr` times the rest.

        Parameters
        ----------
        w : ndarray of shape (size,)
            The layer's weights, changed in place.
        strength : float
            The layer's strength.
        lr : float
            The learning rate of the step that was just made.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


def absolute_sum(w: np.ndarray) -> float:
    """Compute ``sum of |w|``, in float64."""
    return np.abs(w).sum(dtype=np.float64)


def square_sum(w: np.ndarray) -> float:
    """Compute ``sum of w^2``, in float64."""
    return np.square(w, dtype=np.float64).sum()


def strengths(model: Model, parameters: Sequence[Parameter], strength: Strength) -> list[float]:
    """Return the strength of the layer of each of the parameters."""
    if not isinstance(strength, dict):
        return [strength] * len(parameters)
    found, names = {}, [p.layer for p in parameters]
    for pattern, value in strength.items():
        found.update(dict.fromkeys(matching(model, names, pattern, "strength"), value))
    return [found.get(name, 0.0) for name in names]
