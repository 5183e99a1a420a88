"""Dense: the layer to read first. Every other one has the same four methods."""
from collections.abc import Callable

import numpy as np

from minnet.engine.initialisers import INITIALISERS, zeros
from minnet.engine.linear import Linear
from minnet.errors import InvalidValue, check_choice, check_count
from minnet.kernels.layers.pointwise import add_bias, column_sums


class Dense(Linear):
    """Compute y = x W + b, with x (n, in), W (in, out), b (out,).

    Parameters
    ----------
    units : int
        How many outputs it has.
    use_bias : bool
        Whether b is added.
    initialiser : str or callable
        A name in INITIALISERS or a function (rng, shape) -> array.
    name : str, optional
        Its name in the model; its kind and a number unless given.
    """

    prefix = "dense"
    units_argument = "units"
    multiplies_rows = True

    def __init__(self, units: int, *, use_bias: bool = True, initialiser: str | Callable = "he",
                 name: str | None = None):
        self.units = units
        self.use_bias = use_bias
        self.initialiser = initialiser
        self.name = name

    def build(self, shape):
        """Map (in,) to (units,); ask for a weight (in, units) and a bias (units,)."""
        check_count("units of a Dense layer", self.units, 1)
        if len(shape) != 1:
            raise InvalidValue(f"Dense takes rows, but {self.name} is given the shape {shape}: put Flatten() before it")
        initialise = check_choice("initialiser", self.initialiser, INITIALISERS)
        self.bias = None
        wanted = [self.declare("weight", (shape[0], self.units), initialise)]
        if self.use_bias:
            wanted.append(self.declare("bias", (self.units,), zeros))
        return (self.units,), wanted

    def forward(self, x, tape):
        """Compute y = x W + b: (n, in) -> (n, out)."""
        y = np.dot(x, self.weight.of(tape.values), out=tape.buffer(self, "y", (len(x), self.units)))
        if self.bias is not None:
            add_bias(self.bias.of(tape.values), y)
        tape[self] = x
        return y

    def backward(self, dy, tape):
        """Write dW = x' dy and db = sum of dy over the batch to the tape; return dx = dy W'."""
        np.dot(tape[self].T, dy, out=self.weight.of(tape.grads))
        if self.bias is not None:
            column_sums(dy, self.bias.of(tape.grads))
        return self.input_gradient(dy, tape)

    def input_gradient(self, dy, tape):
        """Return dx = dy W', or None where nothing below learns."""
        if not tape.wants_dx(self):
            return None
        return np.dot(dy, self.weight.of(tape.values).T, out=tape.buffer(self, "dx", (len(dy), *self.input_shape)))

    def saved_input(self, tape):
        """Return the input: (n, in)."""
        return tape[self]

    def product(self, x, weight, tape):
        """Compute x W."""
        return x @ weight

    def weight_vjp(self, x, dy, tape):
        """Compute x' dy."""
        return x.T @ dy

    def input_vjp(self, dy, weight, tape):
        """Compute dy W'."""
        return dy @ weight.T

    def square_weight(self, x, dy, tape):
        """Compute (x^2)' dy^2: the gradient of one row is a column times a row, and so is its square."""
        return np.square(x).T @ np.square(dy)

    def unfolded_input(self, tape):
        """Return the input itself: (n, in)."""
        return tape[self]

    def couple(self, space):
        """Note that rows of W carry the input's units, its columns and the bias the output's."""
        space.use(self.weight, -2)
        return space.new(self.units).use(self.weight, -1).use(self.bias, -1)
