"""Dense: the layer to read first. Every other one has the same four methods."""
import numpy as np

from minnet.engine.initialisers import INITIALISERS, zeros
from minnet.engine.linear import Linear
from minnet.errors import InvalidValue, check_choice, check_count
from minnet.kernels.layers.pointwise import add_bias, column_sums
from minnet.kernels.mlp.zero_blocks import (
    BLOCK,
    WIDTH,
    blocks_backward,
    blocks_forward,
    cut_slabs,
    list_blocks,
    slabs_of,
)

MOSTLY_ZERO = 1 / 2  # an input layer leaves out blocks of zeros where not more than this share have something in them


def mostly_zero(X):
    """Whether a layer is to leave out blocks of zeros in (n, in)."""
    blocks = np.logical_or.reduceat(X != 0, np.arange(0, X.shape[1], BLOCK), axis=1)
    return blocks.mean() <= MOSTLY_ZERO


class Dense(Linear):
    """y = x W + b, with x (n, in), W (in, out), b (out,).

    `initialiser` is a name in INITIALISERS or a function (rng, shape) -> array.
    """

    prefix = "dense"
    units_argument = "units"

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
        w, blocks = self.weight.of(tape.values), self.blocks(x, tape)
        if blocks is None:
            np.dot(x, w, out=y)
        else:
            scratch = tape.buffer(self, "tile", (BLOCK * WIDTH,)), tape.buffer(self, "sums", (len(x) * WIDTH,))
            blocks_forward(*blocks, w.reshape(-1), self.units, *scratch, y.reshape(-1))
        if self.bias is not None:
            add_bias(self.bias.of(tape.values), y)
        tape[self] = x, blocks
        return y

    def backward(self, dy, tape):
        """dW = x' dy, db = sum of dy over the batch, dx = dy W'."""
        (x, blocks), dw = tape[self], self.weight.of(tape.grads)
        if blocks is None:
            np.dot(x.T, dy, out=dw)
        else:
            slabs, tile = (tape.buffer(self, "slabs", (slabs_of(self.units) * len(x) * WIDTH,)),
                           tape.buffer(self, "tile", (BLOCK * WIDTH,)))
            cut_slabs(dy, 0, len(x), slabs)
            blocks_backward(*blocks, slabs, self.units, tile, dw.reshape(-1))
        if self.bias is not None:
            column_sums(dy, self.bias.of(tape.grads))
        if not tape.wants_dx(self):
            return None
        return np.dot(dy, self.weight.of(tape.values).T, out=tape.buffer(self, "dx", x.shape))

    def saved_input(self, tape):
        """The input: (n, in)."""
        return tape[self][0]

    def product(self, x, weight, tape):
        """x W."""
        return x @ weight

    def weight_vjp(self, x, dy, tape):
        """x' dy."""
        return x.T @ dy

    def input_vjp(self, dy, weight, tape):
        """dy W'."""
        return dy @ weight.T

    def square_weight(self, x, dy, tape):
        """(x^2)' dy^2: the gradient of one row is a column times a row, and so is its square."""
        return np.square(x).T @ np.square(dy)

    def blocks(self, x, tape):
        """The lists of blocks.py for the model's input where most of its blocks are zeros (dark pixels), else None."""
        if self.input_needs_grad:
            return None
        (n, k), blocks = x.shape, -(-x.shape[1] // BLOCK)
        lists = (tape.buffer(self, "index", (blocks, n), np.dtype(np.int32)),
                 tape.buffer(self, "value", (blocks * n * BLOCK,)),
                 tape.buffer(self, "count", (blocks,), np.dtype(np.int32)))
        list_blocks(np.ascontiguousarray(x, tape.dtype), np.arange(n), 0, k, int(MOSTLY_ZERO * blocks * n), *lists)
        return lists if lists[-1][-1] >= 0 else None

    def unfolded_input(self, tape):
        """The input itself: (n, in)."""
        return tape[self][0]

    def couple(self, space):
        """Rows of W carry the input's units; its columns and the bias the output's."""
        space.use(self.weight, -2)
        return space.new(self.units).use(self.weight, -1).use(self.bias, -1)
