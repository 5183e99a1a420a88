"""Dense: the layer to read first. Every other one has the same four methods."""
import numpy as np

from minnet.engine.initialisers import INITIALISERS, zeros
from minnet.engine.linear import Linear
from minnet.errors import InvalidValue, check_choice, check_count
from minnet.kernels.gathered import compress_rows, gather_rows, turn
from minnet.kernels.pointwise import add_bias, column_sums

MOSTLY_ZERO = 1 / 3  # an input layer multiplies only the nonzeros of a batch with fewer of them than this share


class Dense(Linear):
    """y = x W + b, with x (n, in), W (in, out), b (out,).

    `initialiser` is a name in INITIALISERS or a function (rng, shape) -> array.
    """

    prefix = "dense"
    makes = "units"

    def __init__(self, units, *, use_bias=True, initialiser="he", name=None):
        self.units = units
        self.use_bias = use_bias
        self.initialiser = initialiser
        self.name = name

    def build(self, shape):
        """(in,) -> (units,); asks for a weight (in, units) and a bias (units,)."""
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
        """x (n, in) -> y (n, out)."""
        y = tape.buffer(self, "y", (len(x), self.units))
        nonzeros = self.nonzeros(x, tape)
        if nonzeros is None:
            np.dot(x, self.weight.of(tape.values), out=y)
        else:
            gather_rows(*nonzeros, self.weight.of(tape.values), y)
        if self.bias is not None:
            add_bias(self.bias.of(tape.values), y)
        tape[self] = x, nonzeros
        return y

    def backward(self, dy, tape):
        """dW = x' dy, db = sum of dy over the batch, dx = dy W'."""
        x, nonzeros = tape[self]
        if nonzeros is None:
            np.dot(x.T, dy, out=self.weight.of(tape.grads))
        else:
            gather_rows(*self.turned(nonzeros, x, tape), dy, self.weight.of(tape.grads))
        if self.bias is not None:
            column_sums(dy, self.bias.of(tape.grads))
        if not tape.wants_dx(self):
            return None
        return np.dot(dy, self.weight.of(tape.values).T, out=tape.buffer(self, "dx", x.shape))

    def given(self, tape):
        """The input: (n, in)."""
        return tape[self][0]

    def product(self, x, weight, tape):
        """x W."""
        return x @ weight

    def pull_weight(self, x, dy, tape):
        """x' dy."""
        return x.T @ dy

    def pull_input(self, dy, weight, tape):
        """dy W'."""
        return dy @ weight.T

    def square_weight(self, x, dy, tape):
        """(x^2)' dy^2: the gradient of one row is a column times a row, and so is its square."""
        return np.square(x).T @ np.square(dy)

    def nonzeros(self, x, tape):
        """(index, value, count) of each row of the model's input where most of it is 0 (dark pixels), else None."""
        if self.upstream:
            return None
        found = (tape.buffer(self, "index", x.shape, np.dtype(np.int32)), tape.buffer(self, "value", x.shape),
                 tape.buffer(self, "count", (len(x),), np.dtype(np.int64)))
        compress_rows(x, int(MOSTLY_ZERO * x.size), *found)
        return found if found[-1][-1] >= 0 else None

    def turned(self, nonzeros, x, tape):
        """The same nonzeros by column."""
        shape = x.shape[::-1]
        found = (tape.buffer(self, "t_index", shape, np.dtype(np.int32)), tape.buffer(self, "t_value", shape),
                 tape.buffer(self, "t_count", shape[:1], np.dtype(np.int64)))
        turn(*nonzeros, *found)
        return found

    def seen(self, tape):
        """The input itself: (n, in)."""
        return tape[self][0]

    def couple(self, space):
        """Rows of W carry the input's units; its columns and the bias the output's."""
        space.use(self.weight, -2)
        return space.new(self.units).use(self.weight, -1).use(self.bias, -1)
