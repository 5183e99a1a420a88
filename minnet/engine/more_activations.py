"""More activations: ReLU6, ELU, SiLU, Hardswish, GELU and Softmax, each by its formulas.

`Activation` in activations.py says what a class like these gives; Softmax is a Layer of its own, since each of its
outputs depends on all inputs of a row.
"""
import math

import numpy as np

from minnet.engine.activations import Activation, sigmoid
from minnet.engine.layer import Layer
from minnet.engine.tape import Tape
from minnet.errors import check_real, unknown
from minnet.kernels.layers import pointwise

APPROXIMATIONS = ("none", "tanh")
CUBIC = 0.044715  # of GELU's approximation by a tanh
SIX, THREE = 6, 3  # where ReLU6 ends; where Hardswish begins to bend, left and right of 0


class ReLU6(Activation):
    """y = min(max(x, 0), 6); the derivative at 0 and at 6 is 0.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Krizhevsky, 2010, "Convolutional deep belief networks on CIFAR-10", section 3.
    """

    prefix = "relu6"
    increasing = True

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return min(max(x, 0), 6)."""
        return np.clip(x, 0, SIX)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 1 between 0 and 6, else 0."""
        return ((x > 0) & (x < SIX)).astype(x.dtype)

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 0."""
        return np.zeros_like(x)


class ELU(Activation):
    """y = x where x > 0, alpha * (exp(x) - 1) elsewhere.

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the value for inputs that are far below 0.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, 2016, "Fast and accurate deep network learning by exponential linear units
    (ELUs)", eq. 15.
    """

    prefix = "elu"

    def __init__(self, alpha: float = 1.0, *, name: str | None = None) -> None:
        self.alpha = alpha
        self.name = name

    @property
    def increasing(self) -> bool:  # type: ignore[override]
        """True unless alpha is negative."""
        return self.alpha >= 0

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; alpha must be a finite number."""
        check_real(f"alpha of {self.name}", self.alpha)
        return shape, []

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return x or alpha * (exp(x) - 1)."""
        return np.where(x > 0, x, x.dtype.type(self.alpha) * np.expm1(np.minimum(x, 0)))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 1 or alpha * exp(x)."""
        return np.where(x > 0, x.dtype.type(1), x.dtype.type(self.alpha) * np.exp(np.minimum(x, 0)))

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 0 or alpha * exp(x)."""
        return np.where(x > 0, x.dtype.type(0), x.dtype.type(self.alpha) * np.exp(np.minimum(x, 0)))


class SiLU(Activation):
    """y = x s with s = 1 / (1 + exp(-x)); also called Swish.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Elfwing, Uchibe and Doya, 2018, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", eq. 5.
    """

    prefix = "silu"

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return x s."""
        return x * sigmoid(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return s (1 + x (1 - s))."""
        s = sigmoid(x)
        return s * (1 + x * (1 - s))

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return s (1 - s) (2 + x (1 - 2 s))."""
        s = sigmoid(x)
        return s * (1 - s) * (2 + x * (1 - 2 * s))


class Hardswish(Activation):
    """y = x min(max(x + 3, 0), 6) / 6, which is near SiLU and costs no exponential.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Howard et al., 2019, "Searching for MobileNetV3", section 5.2.
    """

    prefix = "hardswish"

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return x min(max(x + 3, 0), 6) / 6."""
        return x * np.clip(x + THREE, 0, SIX) / SIX

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return (2 x + 3) / 6 between -3 and 3, else 0 or 1."""
        return np.where(np.abs(x) < THREE, (2 * x + THREE) / SIX, (x > 0).astype(x.dtype))

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 1 / 3 between -3 and 3, else 0."""
        return (np.abs(x) < THREE) / x.dtype.type(THREE)


class GELU(Activation):
    """y = x P, where P = (1 + erf(x / sqrt(2))) / 2 is the normal distribution function, exact or by a tanh.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default "none"
        With "tanh" P is (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which differs by up to 0.0003.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Hendrycks and Gimpel, 2016, "Gaussian error linear units (GELUs)", section 2.
    """

    prefix = "gelu"

    def __init__(self, approximate: str = "none", *, name: str | None = None) -> None:
        self.approximate = approximate
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; `approximate` must be a word that is known."""
        if self.approximate not in APPROXIMATIONS:
            raise unknown(f"approximation of {self.name}", self.approximate, APPROXIMATIONS)
        return shape, []

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return x P."""
        return x * (normal_cdf(x) if self.approximate == "none" else half_tanh(x)[0])

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return P + x p, where p = P' is the normal density, or that of the approximation."""
        if self.approximate == "none":
            return normal_cdf(x) + x * normal_density(x)
        P, p, _ = half_tanh(x)
        return P + x * p

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return p (2 - x^2), or 2 p + x p' of the approximation."""
        if self.approximate == "none":
            return normal_density(x) * (2 - np.square(x))
        _, p, slope = half_tanh(x)
        return 2 * p + x * slope


def half_tanh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P = (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), P' and P''."""
    c, cubic = x.dtype.type(math.sqrt(2 / math.pi)), x.dtype.type(CUBIC)
    t = np.tanh(c * (x + cubic * x**3))
    first, second = c * (1 + 3 * cubic * np.square(x)), 6 * c * cubic * x
    bend = (1 - np.square(t)) / 2
    return (1 + t) / 2, bend * first, bend * (second - 2 * t * np.square(first))


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """Return the normal distribution function of every entry."""
    y = np.empty_like(x)
    pointwise.normal_cdf(x.reshape(-1), y.reshape(-1))
    return y


def normal_density(x: np.ndarray) -> np.ndarray:
    """Return exp(-x^2 / 2) / sqrt(2 pi)."""
    return np.exp(np.square(x) / -2) / x.dtype.type(math.sqrt(2 * math.pi))


class Softmax(Layer):
    """y_i = exp(x_i) / sum_j exp(x_j) over the last axis; not needed at the end, where the losses take logits.

    Every output depends on every input, so none of these units can be removed: their Space is fixed.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Bridle, 1990, "Probabilistic interpretation of feedforward classification network outputs", eq. 5.
    """

    prefix = "softmax"

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the softmax of x (..., c)."""
        y = np.exp(x - x.max(axis=-1, keepdims=True))
        y /= y.sum(axis=-1, keepdims=True)
        tape[self] = y
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx = y (dy - sum of dy y)."""
        y = tape[self]
        return y * (dy - total(dy * y))

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = y (R{x} - sum of y R{x})."""
        y = tape[self]
        ry = along[self] = y * (rx - total(y * rx))
        return ry

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return dx and R{dx} = R{y} (dy - sum of dy y) + y (R{dy} - sum of R{dy} y + dy R{y})."""
        y, ry = tape[self], along[self]
        return self.backward(dy, tape), ry * (dy - total(dy * y)) + y * (rdy - total(rdy * y + dy * ry))

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape, second: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return dx and hx_i = sum_j (dy_j/dx_i)^2 hy_j + (d2y_j/dx_i^2) dy_j.

        dy_j/dx_i = y_j (d - y_i) and d2y_j/dx_i^2 = y_j ((d - y_i)^2 - y_i (1 - y_i)), with d = 1 where i is j, else 0.
        """
        y = tape[self]
        first, bent = np.square(y) * hy, y * dy
        both = first + bent
        hx = np.square(y) * total(both) + (1 - 2 * y) * both - y * (1 - y) * total(bent)
        return self.backward(dy, tape), hx

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray:
        """Return dx: there is nothing to learn."""
        return self.backward(dy, tape)


def total(x: np.ndarray) -> np.ndarray:
    """Return the sum over the last axis, which is kept."""
    return x.sum(axis=-1, keepdims=True)
