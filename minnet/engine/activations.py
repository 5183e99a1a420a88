"""Activations: elementwise, nothing to learn; and Softmax. ELU shows one written by its three formulas alone.

Those that are faster by their output write `forward`, `backward` and `derivatives` instead (ReLU, Tanh).
"""
import math

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.tape import Tape
from minnet.errors import check_real
from minnet.kernels.layers import pointwise

SIX, THREE = 6, 3  # where ReLU6 ends; where Hardswish begins to bend, left and right of 0


class Activation(Layer):
    """Compute y = f(x), number by number.

    A subclass writes `value(x)`, `derivative(x)` and `second_derivative(x)`, each an array of the shape of x (..., in
    its dtype), and sets `increasing = True` if f never falls. What it is at 0, and that units stay apart, follows.

    Parameters
    ----------
    name : str, optional
    """

    abstract = True
    elementwise = True
    per_unit = True

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return f(x), of any shape."""
        tape[self] = x
        return self.value(x)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx = f'(x) dy."""
        return self.derivative(tape[self]) * dy

    def derivatives(self, tape: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return f' and f'' at the inputs of the pass."""
        x = tape[self]
        return self.derivative(x), self.second_derivative(x)

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return f''(x); optional, of use to second order only."""
        raise self.missing("second_derivative")

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = f' R{x}."""
        along[self] = rx
        return self.derivatives(tape)[0] * rx

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return dx and R{dx} = f' R{dy} + f'' R{x} dy."""
        first, second = self.derivatives(tape)
        return self.backward(dy, tape), first * rdy + second * along[self] * dy

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape, second: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return dx and hx = f'^2 hy + f'' dy (LeCun, Denker and Solla, 1990, eq. 9)."""
        first, bend = self.derivatives(tape)
        return self.backward(dy, tape), first * first * hy + bend * dy

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray:
        """Return dx: there is nothing to learn."""
        return self.backward(dy, tape)


class ReLU(Activation):
    """y = max(x, 0); the derivative at 0 is 0.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "relu"
    increasing = True

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return max(x, 0), of any shape."""
        y = tape[self] = tape.buffer(self, "y", x.shape)
        pointwise.relu(x.reshape(-1), y.reshape(-1))
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx = dy where y > 0, else 0."""
        dx = tape.buffer(self, "dx", dy.shape)
        pointwise.relu_backward(dy.reshape(-1), tape[self].reshape(-1), dx.reshape(-1))
        return dx

    def derivatives(self, tape: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return 1 where y > 0, else 0; and 0, as it is bent nowhere but at 0."""
        return (tape[self] > 0).astype(tape.dtype), np.zeros((), tape.dtype)


class LeakyReLU(Activation):
    """y = x where x > 0, slope * x elsewhere.

    Parameters
    ----------
    slope : float, default 0.01
        Slope for negative inputs.
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "leaky_relu"

    def __init__(self, slope: float = 0.01, *, name: str | None = None) -> None:
        self.slope = slope
        self.name = name

    @property
    def increasing(self) -> bool:  # type: ignore[override]
        """True unless the slope is negative."""
        return self.slope >= 0

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return x or slope * x, of any shape."""
        y = tape.buffer(self, "y", x.shape)
        tape[self] = x
        pointwise.leaky_relu(x.reshape(-1), tape.dtype.type(self.slope), y.reshape(-1))
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx = dy where x > 0, slope * dy elsewhere."""
        dx = tape.buffer(self, "dx", dy.shape)
        slope = tape.dtype.type(self.slope)
        pointwise.leaky_relu_backward(dy.reshape(-1), tape[self].reshape(-1), slope, dx.reshape(-1))
        return dx

    def derivatives(self, tape: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return 1 where x > 0, else `slope`; and 0, as it is bent nowhere but at 0."""
        return np.where(tape[self] > 0, 1.0, self.slope).astype(tape.dtype), np.zeros((), tape.dtype)


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


class Tanh(Activation):
    """y = tanh(x).

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "tanh"
    increasing = True

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return tanh(x), of any shape."""
        y = tape[self] = np.tanh(x, out=tape.buffer(self, "y", x.shape))
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx = dy (1 - y^2)."""
        dx = np.square(tape[self], out=tape.buffer(self, "dx", dy.shape))
        np.subtract(1, dx, out=dx)
        return np.multiply(dy, dx, out=dx)

    def derivatives(self, tape: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return 1 - y^2 and -2 y (1 - y^2)."""
        y = tape[self]
        slope = 1 - np.square(y)
        return slope, -2 * y * slope


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)), computed as (1 + tanh(x / 2)) / 2, which cannot overflow.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "sigmoid"
    increasing = True

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the sigmoid of x, of any shape."""
        y = tape[self] = np.multiply(x, 0.5, out=tape.buffer(self, "y", x.shape))
        np.tanh(y, out=y)
        y += 1
        y *= 0.5
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx = dy y (1 - y)."""
        y = tape[self]
        dx = np.subtract(1, y, out=tape.buffer(self, "dx", dy.shape))
        dx *= y
        dx *= dy
        return dx

    def derivatives(self, tape: Tape) -> tuple[np.ndarray, np.ndarray]:
        """Return y (1 - y) and y (1 - y) (1 - 2 y)."""
        y = tape[self]
        slope = y * (1 - y)
        return slope, slope * (1 - 2 * y)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), without overflow."""
    half = x.dtype.type(0.5)
    return half * np.tanh(half * x) + half


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
    """y = x P, where P = (1 + erf(x / sqrt(2))) / 2 is the normal distribution function; exact, not by tanh.

    Parameters
    ----------
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Hendrycks and Gimpel, 2016, "Gaussian error linear units (GELUs)", section 2.
    """

    prefix = "gelu"

    def value(self, x: np.ndarray) -> np.ndarray:
        """Return x P."""
        return x * normal_cdf(x)

    def derivative(self, x: np.ndarray) -> np.ndarray:
        """Return P + x p, where p is the normal density."""
        return normal_cdf(x) + x * normal_density(x)

    def second_derivative(self, x: np.ndarray) -> np.ndarray:
        """Return p (2 - x^2)."""
        return normal_density(x) * (2 - np.square(x))


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
