"""SparseDense: a dense layer that has its live weights only, and a cost in proportion to them.

    SparseDense(1000, live=35680)        # 35,680 of the weights that Dense(1000) would have, at random places

In the flat vector stand the live weights; `weight.index` holds their sorted flat positions in (in, units), and no array
of that shape is ever made. `Model.rewire` moves positions. A masked Dense layer that is sparse enough is trained as
such a layer too (see packed.py).
"""
import math

import numpy as np

from minnet.engine.initialisers import zeros
from minnet.engine.linear import Linear
from minnet.engine.rewire import draw_places, highest_places
from minnet.errors import InvalidValue, check_count
from minnet.kernels.sparse.spmm import (
    VECTOR,
    by_feature,
    by_row,
    each_backward,
    each_gradient,
    find_inputs,
    find_places,
    lanes_of,
    live_backward,
    live_gradient,
    pull_live,
    push_each,
    row_sums,
    turn_places,
)

FEWEST_WEIGHTS = 2**12  # a layer with fewer is small: whether it is sparse matters little
MOST_LIVE = 2**31 - 1  # kernels count a layer's live weights in 32 bits
SLOPES = 2**20  # places whose gradient is looked at together


class SparseDense(Linear):
    """y = x W + b, where all but `live` entries of W (in, units) are 0 and stay so.

    The weights begin normal with variance 2 / (the inputs that a unit has on average), as `he` would have them.
    """

    prefix = "dense"
    units_argument = "units"

    def __init__(self, units, live, *, use_bias=True, name=None):
        self.units = units
        self.live = live
        self.use_bias = use_bias
        self.name = name

    def build(self, shape):
        """(in,) -> (units,); asks for `live` weights of the shape (in, units) and a bias (units,)."""
        check_count("units of a SparseDense layer", self.units, 1)
        if len(shape) != 1:
            raise InvalidValue(f"SparseDense takes rows, but {self.name} is given the shape {shape}: put Flatten() "
                               "before it")
        check_count(f"live weights of {self.name}", self.live, 0, min(MOST_LIVE, shape[0] * self.units))
        self.bias, self._places = None, (None, None)
        nowhere = np.broadcast_to(np.int64(0), self.live)  # takes no memory; the model makes room
        wanted = [self.declare("weight", (shape[0], self.units), scattered, nowhere)]
        if self.use_bias:
            wanted.append(self.declare("bias", (self.units,), zeros))
        return (self.units,), wanted

    def forward(self, x, tape):
        """x (n, in) -> y (n, units)."""
        lanes = lanes_of(len(x))
        xt = tape.buffer(self, "xt", (x.shape[1], lanes))
        yt, y = tape.buffer(self, "yt", (self.units, lanes)), tape.buffer(self, "y", (len(x), self.units))
        by_feature(x, xt)
        bias = np.zeros(self.units, tape.dtype) if self.bias is None else self.bias.of(tape.values)
        self.places(tape).forward(self.weight.of(tape.values), bias, xt, yt)
        by_row(yt, y)
        tape[self] = x, xt
        return y

    def backward(self, dy, tape):
        """dW = x' dy at the live weights, db = sum of dy over the batch, dx = dy W'."""
        x, xt = tape[self]
        dyt, places = tape.buffer(self, "dyt", (self.units, xt.shape[1])), self.places(tape)
        by_feature(dy, dyt)
        if self.bias is not None:
            row_sums(dyt, self.bias.of(tape.grads))
        w, g = self.weight.of(tape.values), self.weight.of(tape.grads)
        if not tape.wants_dx(self):
            places.gradient(xt, dyt, g)
            return None
        dxt, dx = tape.buffer(self, "dxt", xt.shape), tape.buffer(self, "dx", x.shape)
        places.backward(w, xt, dyt, g, dxt)
        by_row(dxt, dx)
        return dx

    def places(self, tape):
        """The Places of this layer's weights, made anew when the model's topology has changed."""
        known, places = self._places
        if known != tape.model.topology:
            places = Places(self.weight.index, self.weight.shape)
            self._places = tape.model.topology, places
        return places

    def steepest(self, tape, count, taken):
        """The `count` places outside `taken` (sorted) where |x' dy| of the pass on the tape is largest, the lowest ones
        where it is equal: sorted. Some inputs at a time, so that memory goes with `count`."""
        _, xt = tape[self]
        return highest_places(self._slopes(xt, tape.buffer(self, "dyt", (self.units, xt.shape[1])), taken), count)

    def _slopes(self, xt, dyt, taken):
        """(the first place, |x' dy| of all places of some inputs, -1 for those taken), from the first input on."""
        rows = max(1, SLOPES // self.units)
        for start in range(0, len(xt), rows):
            slopes = np.abs(xt[start : start + rows] @ dyt.T).reshape(-1)
            first = start * self.units
            low, high = np.searchsorted(taken, (first, first + len(slopes)))
            slopes[taken[low:high] - first] = -1
            yield first, slopes

    def saved_input(self, tape):
        """The input: (n, in)."""
        return tape[self][0]

    def product(self, x, weight, tape):
        """x W."""
        y = np.zeros((len(x), self.units), tape.dtype)
        rows, units = np.divmod(self.weight.index, self.units)
        np.add.at(y.T, units, x.T[rows] * weight[:, None])
        return y

    def weight_vjp(self, x, dy, tape):
        """x' dy at the live weights."""
        rows, units = np.divmod(self.weight.index, self.units)
        return np.einsum("nk,nk->k", x[:, rows], dy[:, units])

    def input_vjp(self, dy, weight, tape):
        """dy W'."""
        dx = np.zeros((len(dy), *self.input_shape), tape.dtype)
        rows, units = np.divmod(self.weight.index, self.units)
        np.add.at(dx.T, rows, dy.T[units] * weight[:, None])
        return dx

    def square_weight(self, x, dy, tape):
        """(x^2)' dy^2 at the live weights."""
        return self.weight_vjp(np.square(x), np.square(dy), tape)

    def unfolded_input(self, tape):
        """The input itself: (n, in)."""
        return tape[self][0]

    def couple(self, space):
        """Rows of W carry the input's units; its columns and the bias the output's."""
        space.use(self.weight, -2)
        return space.new(self.units).use(self.weight, -1).use(self.bias, -1)


class Places:
    """Where the live weights of a layer (in, units) are: by input; by output, once a batch asks; the input of each,
    once a batch of few rows asks."""

    def __init__(self, index, shape):
        inputs, self.units = shape
        self.first, self.unit = np.empty(inputs + 1, np.int64), np.empty(len(index), np.int32)
        find_places(index, self.units, self.first, self.unit)
        self._by_output = self._row = None

    def by_output(self):
        """(u_first, source, place) of sparse_train.py."""
        if self._by_output is None:
            found = np.empty(self.units + 1, np.int64), *(np.empty(len(self.unit), np.int32) for _ in "sp")
            turn_places(self.first, self.unit, *found)
            self._by_output = found
        return self._by_output

    def each(self):
        """(row, unit) of sparse_train.py."""
        if self._row is None:
            row = np.empty(len(self.unit), np.int32)
            find_inputs(self.first, row)
            self._row = row
        return self._row, self.unit

    def forward(self, weight, bias, x, y):
        """y = W' x + b, activations by feature."""
        if x.shape[1] < VECTOR:
            y[:] = bias[:, None]
            push_each(*self.each(), weight, x, y)
        else:
            pull_live(*self.by_output(), weight, bias, x, y)

    def gradient(self, x, dy, g):
        """g = x dy' at the live weights."""
        if x.shape[1] < VECTOR:
            each_gradient(*self.each(), x, dy, g)
        else:
            live_gradient(self.first, self.unit, x, dy, g)

    def backward(self, weight, x, dy, g, dx):
        """The same, and dx = W dy."""
        if x.shape[1] < VECTOR:
            dx[:] = 0
            each_backward(*self.each(), weight, x, dy, g, dx)
        else:
            live_backward(self.first, self.unit, weight, x, dy, g, dx)


def scattered(rng, item):
    """Places drawn at random, all equally likely, into the layer's index; returns the weights they begin with."""
    parameter = item.layer.weight
    parameter.index[...] = draw_places(rng, parameter.size, item.size)
    fan_in = max(item.size / parameter.shape[-1], 1.0)
    return rng.normal(0.0, math.sqrt(2 / fan_in), item.size)
