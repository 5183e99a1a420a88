"""Activations that fewer nets have: SELU, Softplus, Mish, Hardtanh and HardSigmoid, each by its formulas.

`Activation` in activations.py says what a class like these gives.
"""
import numpy as np

from minnet.engine.activations import Activation, sigmoid
from minnet.errors import InvalidValue, check_positive, check_real

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # the fixed point: mean 0 and variance 1 stay so


class SELU(Activation):
    """y = scale * x where x > 0, scale * alpha * (exp(x) - 1) elsewhere, with scale = 1.0507..., alpha = 1.6732....

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, 2017, "Self-normalizing neural networks", eq. 2.
    """

    prefix = "selu"
    increasing = True

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return scale * x or scale * alpha * (exp(x) - 1)."""
        low = x.dtype.type(SELU_SCALE * SELU_ALPHA) * np.expm1(np.minimum(x, 0))
        return np.where(x > 0, x.dtype.type(SELU_SCALE) * x, low)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return scale or scale * alpha * exp(x)."""
        low = x.dtype.type(SELU_SCALE * SELU_ALPHA) * np.exp(np.minimum(x, 0))
        return np.where(x > 0, x.dtype.type(SELU_SCALE), low)

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 0 or scale * alpha * exp(x)."""
        low = x.dtype.type(SELU_SCALE * SELU_ALPHA) * np.exp(np.minimum(x, 0))
        return np.where(x > 0, x.dtype.type(0), low)


class Softplus(Activation):
    """y = log(1 + exp(beta * x)) / beta, computed so that it cannot overflow.

    Parameters
    ----------
    beta : float, default 1.0
        How sharply it bends at 0; above 0.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau and Garcia, 2001, "Incorporating second-order functional knowledge for better option
    pricing", eq. 2.
    """

    prefix = "softplus"
    increasing = True

    def __init__(self, beta: float = 1.0, *, name: str | None = None) -> None:
        self.beta = beta
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; beta must be above 0."""
        check_positive(f"beta of {self.name}", self.beta)
        return shape, []

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return log(1 + exp(beta * x)) / beta."""
        beta = x.dtype.type(self.beta)
        return softplus(beta * x) / beta

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return s = 1 / (1 + exp(-beta * x))."""
        return sigmoid(x.dtype.type(self.beta) * x)

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return beta * s (1 - s)."""
        beta = x.dtype.type(self.beta)
        s = sigmoid(beta * x)
        return beta * s * (1 - s)


class Mish(Activation):
    """y = x t with t = tanh(log(1 + exp(x))).

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Misra, 2020, "Mish: a self regularized non-monotonic activation function", eq. 1.
    """

    prefix = "mish"

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return x t."""
        return x * np.tanh(softplus(x))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return t + x s (1 - t^2), with s = 1 / (1 + exp(-x))."""
        s, t = sigmoid(x), np.tanh(softplus(x))
        return t + x * s * (1 - np.square(t))

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return s (1 - t^2) (2 + x (1 - s - 2 s t))."""
        s, t = sigmoid(x), np.tanh(softplus(x))
        return s * (1 - np.square(t)) * (2 + x * (1 - s - 2 * s * t))


class Hardtanh(Activation):
    """y = min(max(x, low), high); the derivative at both ends is 0.

    Parameters
    ----------
    low : float or None, default -1.0
        The least value; None where there is none.
    high : float or None, default 1.0
        The largest value, above `low`; None where there is none.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Collobert, 2004, "Large scale machine learning", section 5.1.
    """

    prefix = "hardtanh"
    increasing = True

    def __init__(self, low: float | None = -1.0, high: float | None = 1.0, *, name: str | None = None) -> None:
        self.low = low
        self.high = high
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; the ends are finite numbers, or None, `low` below `high`."""
        for what, end in (("low", self.low), ("high", self.high)):
            if end is not None:
                check_real(f"{what} of {self.name}", end)
        low, high = self.ends
        if not low < high:
            raise InvalidValue(f"{self.name} holds values between low={self.low} and high={self.high}: low must be "
                               "below high")
        return shape, []

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends as numbers: infinity where there is none."""
        return -np.inf if self.low is None else float(self.low), np.inf if self.high is None else float(self.high)

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return min(max(x, low), high)."""
        low, high = self.ends
        return np.clip(x, x.dtype.type(low), x.dtype.type(high))

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 1 between the ends, else 0."""
        low, high = self.ends
        return ((x > low) & (x < high)).astype(x.dtype)

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 0."""
        return np.zeros_like(x)


class HardSigmoid(Activation):
    """y = min(max(alpha * x + beta, 0), 1); the derivative is 0 where that ends.

    Parameters
    ----------
    alpha : float, default 1 / 6
        Slope between the ends; PyTorch and Keras 3 have 1 / 6, older Keras and ONNX's default 0.2.
    beta : float, default 0.5
        Value at 0.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Courbariaux, Bengio and David, 2015, "BinaryConnect: training deep neural networks with binary weights during
    propagations", eq. 3.
    """

    prefix = "hard_sigmoid"

    def __init__(self, alpha: float = 1 / 6, beta: float = 0.5, *, name: str | None = None) -> None:
        self.alpha = alpha
        self.beta = beta
        self.name = name

    @property
    def increasing(self) -> bool:  # type: ignore[override]
        """True unless alpha is negative."""
        return self.alpha >= 0

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; alpha and beta must be finite numbers."""
        check_real(f"alpha of {self.name}", self.alpha)
        check_real(f"beta of {self.name}", self.beta)
        return shape, []

    def line(self, x: np.ndarray) -> np.ndarray:
        """Return alpha * x + beta."""
        return x.dtype.type(self.alpha) * x + x.dtype.type(self.beta)

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return min(max(alpha * x + beta, 0), 1)."""
        return np.clip(self.line(x), 0, 1)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return alpha between the ends, else 0."""
        line = self.line(x)
        return np.where((line > 0) & (line < 1), x.dtype.type(self.alpha), x.dtype.type(0))

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return 0."""
        return np.zeros_like(x)


def softplus(x: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(x)), without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
