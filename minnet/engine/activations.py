"""Activations: elementwise, nothing to learn. `backward` needs the output or the input, whichever is cheaper."""
import numpy as np

from minnet.engine.layer import Layer
from minnet.kernels.layers import pointwise


class Activation(Layer):
    """y = f(x), number by number. A subclass gives `derivatives(tape)`: f' and f'' at the inputs of the pass."""

    def tangent(self, rx, tape, along):
        """R{y} = f' R{x}."""
        along[self] = rx
        return self.derivatives(tape)[0] * rx

    def tangent_backward(self, dy, rdy, tape, along):
        """R{dx} = f' R{dy} + f'' R{x} dy."""
        first, second = self.derivatives(tape)
        return self.backward(dy, tape), first * rdy + second * along[self] * dy

    def curvature(self, dy, hy, tape, second):
        """hx = f'^2 hy + f'' dy (LeCun, Denker and Solla, 1990, eq. 9)."""
        slope, second_derivative = self.derivatives(tape)
        return self.backward(dy, tape), slope * slope * hy + second_derivative * dy

    def square_gradient(self, dy, tape, squares):
        """Nothing to learn: only dx."""
        return self.backward(dy, tape)


class ReLU(Activation):
    """y = max(x, 0); the derivative at 0 is 0."""

    prefix = "relu"

    def __init__(self, *, name=None):
        self.name = name

    def forward(self, x, tape):
        """Any shape; the same comes out."""
        y = tape[self] = tape.buffer(self, "y", x.shape)
        pointwise.relu(x.reshape(-1), y.reshape(-1))
        return y

    def backward(self, dy, tape):
        """dx = dy where y > 0."""
        dx = tape.buffer(self, "dx", dy.shape)
        pointwise.relu_backward(dy.reshape(-1), tape[self].reshape(-1), dx.reshape(-1))
        return dx

    def derivatives(self, tape):
        """1 where y > 0, else 0; bent nowhere but at 0."""
        return (tape[self] > 0).astype(tape.dtype), 0.0


class LeakyReLU(Activation):
    """y = x where x > 0, slope * x elsewhere."""

    prefix = "leaky_relu"

    def __init__(self, slope=0.01, *, name=None):
        self.slope = slope
        self.name = name

    def forward(self, x, tape):
        """Any shape; the same comes out."""
        y = tape.buffer(self, "y", x.shape)
        tape[self] = x
        pointwise.leaky_relu(x.reshape(-1), tape.dtype.type(self.slope), y.reshape(-1))
        return y

    def backward(self, dy, tape):
        """dx = dy where x > 0, slope * dy elsewhere."""
        dx = tape.buffer(self, "dx", dy.shape)
        slope = tape.dtype.type(self.slope)
        pointwise.leaky_relu_backward(dy.reshape(-1), tape[self].reshape(-1), slope, dx.reshape(-1))
        return dx

    def derivatives(self, tape):
        """1 where x > 0, else `slope`; bent nowhere but at 0."""
        return np.where(tape[self] > 0, 1.0, self.slope).astype(tape.dtype), 0.0


class Tanh(Activation):
    """y = tanh(x)."""

    prefix = "tanh"

    def __init__(self, *, name=None):
        self.name = name

    def forward(self, x, tape):
        """Any shape; the same comes out."""
        y = tape[self] = np.tanh(x, out=tape.buffer(self, "y", x.shape))
        return y

    def backward(self, dy, tape):
        """dx = dy (1 - y^2)."""
        dx = np.square(tape[self], out=tape.buffer(self, "dx", dy.shape))
        np.subtract(1, dx, out=dx)
        return np.multiply(dy, dx, out=dx)

    def derivatives(self, tape):
        """1 - y^2 and -2 y (1 - y^2)."""
        y = tape[self]
        slope = 1 - np.square(y)
        return slope, -2 * y * slope


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x)), computed as (1 + tanh(x / 2)) / 2, which cannot overflow."""

    prefix = "sigmoid"

    def __init__(self, *, name=None):
        self.name = name

    def forward(self, x, tape):
        """Any shape; the same comes out."""
        y = tape[self] = np.multiply(x, 0.5, out=tape.buffer(self, "y", x.shape))
        np.tanh(y, out=y)
        y += 1
        y *= 0.5
        return y

    def backward(self, dy, tape):
        """dx = dy y (1 - y)."""
        y = tape[self]
        dx = np.subtract(1, y, out=tape.buffer(self, "dx", dy.shape))
        dx *= y
        dx *= dy
        return dx

    def derivatives(self, tape):
        """y (1 - y) and y (1 - y) (1 - 2 y)."""
        y = tape[self]
        slope = y * (1 - y)
        return slope, slope * (1 - 2 * y)
