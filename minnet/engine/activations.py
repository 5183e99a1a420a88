"""Activations: elementwise, nothing to learn. ReLU, LeakyReLU, Tanh and Sigmoid; more_activations.py has others.

A new one is a class with three formulas, `value`, `derivative` and `second_derivative`, of the input (see ELU). Those
that are faster by their output write `forward`, `backward` and `derivatives` instead (ReLU, Tanh).
"""

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.tape import Tape
from minnet.kernels.layers import pointwise


class Activation(Layer):
    """Compute y = f(x), number by number.

    A subclass writes `value(x)`, `derivative(x)` and `second_derivative(x)`, each an array of the shape of x (..., in
    its dtype), and sets `increasing = True` if f never falls. What it is at 0, and that units stay apart, follows.

    Parameters
    ----------
    name : str, optional
        Default: a name and number given by the Model.
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
