"""Activations: elementwise, nothing to learn. `backward` needs the output or the input, whichever is cheaper."""
import numpy as np

from minnet.engine.layer import Layer
from minnet.kernels import pointwise


class ReLU(Layer):
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


class LeakyReLU(Layer):
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


class Tanh(Layer):
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


class Sigmoid(Layer):
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
