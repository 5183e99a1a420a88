"""SparseDense: a dense layer that has its live weights only, and a cost in proportion to them.

    SparseDense(1000, live=35680)        # 35,680 of the weights that Dense(1000) would have, at random places

The flat vector has the live weights only; `weight.index` holds their sorted flat positions in (in, units), and no array
of that shape is ever made. `Model.rewire` moves positions. A masked Dense layer that is sparse enough is trained as
such a layer too (see fast/live_weights.py).
"""
import math

import numpy as np

from minnet.engine.initialisers import zeros
from minnet.engine.linear import Linear
from minnet.engine.rewire import draw_places, highest_places
from minnet.errors import InvalidValue, check_count
from minnet.kernels.sparse.csr import coo_rows, csr_to_csc, flat_to_csr
from minnet.kernels.sparse.spmm import (
    VECTOR,
    backward_coo,
    backward_csr,
    gather_csc,
    gradient_coo,
    gradient_csr,
    padded_batch,
    row_sums,
    scatter_coo,
    to_feature_major,
    to_row_major,
)

FEWEST_WEIGHTS = 2**12  # a layer with fewer is small: whether it is sparse matters little
MOST_LIVE = 2**31 - 1  # kernels count a layer's live weights in 32 bits
SLOPES = 2**20  # positions whose gradient is computed at a time: some megabytes


class SparseDense(Linear):
    """Compute y = x W + b, where all but `live` entries of W (in, units) are 0 and stay so.

    The weights begin normal with variance 2 / (the inputs that a unit has on average), as `he` would have them.

    Parameters
    ----------
    units : int
        The outputs: x is (n, in), y (n, units).
    live : int
        The number of live weights, at positions drawn at random; from 0 to in * units.
    use_bias : bool, default True
        Whether there is a b (units,).
    name : str, optional
        The name of the layer in its model; made from "dense" and a number if not given.

    Raises
    ------
    InvalidValue, InvalidType
        When a model is made: `units` or `live` is no such number, or the input is an image.
    """

    prefix = "dense"
    units_argument = "units"

    def __init__(self, units, live, *, use_bias=True, name=None):
        self.units = units
        self.live = live
        self.use_bias = use_bias
        self.name = name

    def build(self, shape):
        """Declare (in,) -> (units,): `live` weights of the shape (in, units) and a bias (units,)."""
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
        """Compute y = x W + b from x (n, in)."""
        lanes = padded_batch(len(x))
        xt = tape.buffer(self, "xt", (x.shape[1], lanes))
        yt, y = tape.buffer(self, "yt", (self.units, lanes)), tape.buffer(self, "y", (len(x), self.units))
        to_feature_major(x, xt)
        bias = np.zeros(self.units, tape.dtype) if self.bias is None else self.bias.of(tape.values)
        self.places(tape).forward(self.weight.of(tape.values), bias, xt, yt)
        to_row_major(yt, y)
        tape[self] = x, xt
        return y

    def backward(self, dy, tape):
        """Compute dW = x' dy at the live weights, db = sum of dy over the batch, dx = dy W'."""
        x, xt = tape[self]
        dyt, places = tape.buffer(self, "dyt", (self.units, xt.shape[1])), self.places(tape)
        to_feature_major(dy, dyt)
        if self.bias is not None:
            row_sums(dyt, self.bias.of(tape.grads))
        w, g = self.weight.of(tape.values), self.weight.of(tape.grads)
        if not tape.wants_dx(self):
            places.gradient(xt, dyt, g)
            return None
        dxt, dx = tape.buffer(self, "dxt", xt.shape), tape.buffer(self, "dx", x.shape)
        places.backward(w, xt, dyt, g, dxt)
        to_row_major(dxt, dx)
        return dx

    def places(self, tape):
        """Return the SparseIndex of this layer's weights, made anew when the model's topology has changed."""
        known, places = self._places
        if known != tape.model.topology:
            places = SparseIndex(self.weight.index, self.weight.shape)
            self._places = tape.model.topology, places
        return places

    def steepest(self, tape, count, taken):
        """Return the `count` positions outside `taken` (sorted) where ``|x' dy|`` of the pass is largest, sorted.

        The lowest positions where it is equal. Some inputs at a time, so that memory is proportional to `count`.
        """
        _, xt = tape[self]
        return highest_places(self._slopes(xt, tape.buffer(self, "dyt", (self.units, xt.shape[1])), taken), count)

    def dense_gradient(self, tape):
        """Return x' dy of the pass at all positions, live or not: (in, units)."""
        _, xt = tape[self]
        return np.dot(xt, tape.buffer(self, "dyt", (self.units, xt.shape[1])).T)

    def _slopes(self, xt, dyt, taken):
        """Yield (first position, ``|x' dy|`` of all positions of some inputs, -1 for those taken), input by input."""
        rows = max(1, SLOPES // self.units)
        for start in range(0, len(xt), rows):
            slopes = np.abs(xt[start : start + rows] @ dyt.T).reshape(-1)
            first = start * self.units
            low, high = np.searchsorted(taken, (first, first + len(slopes)))
            slopes[taken[low:high] - first] = -1
            yield first, slopes

    def saved_input(self, tape):
        """Return the input: (n, in)."""
        return tape[self][0]

    def product(self, x, weight, tape):
        """Compute x W."""
        y = np.zeros((len(x), self.units), tape.dtype)
        rows, units = np.divmod(self.weight.index, self.units)
        np.add.at(y.T, units, x.T[rows] * weight[:, None])
        return y

    def weight_vjp(self, x, dy, tape):
        """Compute x' dy at the live weights."""
        rows, units = np.divmod(self.weight.index, self.units)
        return np.einsum("nk,nk->k", x[:, rows], dy[:, units])

    def input_vjp(self, dy, weight, tape):
        """Compute dy W'."""
        dx = np.zeros((len(dy), *self.input_shape), tape.dtype)
        rows, units = np.divmod(self.weight.index, self.units)
        np.add.at(dx.T, rows, dy.T[units] * weight[:, None])
        return dx

    def square_weight(self, x, dy, tape):
        """Compute (x^2)' dy^2 at the live weights."""
        return self.weight_vjp(np.square(x), np.square(dy), tape)

    def unfolded_input(self, tape):
        """Return the input itself: (n, in)."""
        return tape[self][0]

    def couple(self, space):
        """Declare that rows of W carry the input's units; its columns and the bias the output's."""
        space.use(self.weight, -2)
        return space.new(self.units).use(self.weight, -1).use(self.bias, -1)


class SparseIndex:
    """The positions of the live weights of a layer (in, units): CSR; CSC and COO once they are needed."""

    def __init__(self, index, shape):
        inputs, self.units = shape
        self.indptr, self.indices = np.empty(inputs + 1, np.int64), np.empty(len(index), np.int32)
        flat_to_csr(index, self.units, self.indptr, self.indices)
        self._csc = self._rows = None

    def csc(self):
        """Return (csc_indptr, csc_indices, csc_order) of kernels/sparse/csr.py."""
        if self._csc is None:
            found = np.empty(self.units + 1, np.int64), *(np.empty(len(self.indices), np.int32) for _ in "sp")
            csr_to_csc(self.indptr, self.indices, *found)
            self._csc = found
        return self._csc

    def coo(self):
        """Return (rows, indices) of kernels/sparse/csr.py."""
        if self._rows is None:
            rows = np.empty(len(self.indices), np.int32)
            coo_rows(self.indptr, rows)
            self._rows = rows  # only once it is filled: other threads may read it at any time
        return self._rows, self.indices

    def forward(self, weight, bias, x, y):
        """Compute y = W' x + b, feature-major."""
        if x.shape[1] < VECTOR:
            y[:] = bias[:, None]
            scatter_coo(*self.coo(), weight, x, y)
        else:
            gather_csc(*self.csc(), weight, bias, x, y)

    def gradient(self, x, dy, g):
        """Compute g = x dy' at the live weights."""
        if x.shape[1] < VECTOR:
            gradient_coo(*self.coo(), x, dy, g)
        else:
            gradient_csr(self.indptr, self.indices, x, dy, g)

    def backward(self, weight, x, dy, g, dx):
        """Compute the same, and dx = W dy."""
        if x.shape[1] < VECTOR:
            dx[:] = 0
            backward_coo(*self.coo(), weight, x, dy, g, dx)
        else:
            backward_csr(self.indptr, self.indices, weight, x, dy, g, dx)


def scattered(rng, item):
    """Draw positions into the layer's index, all equally likely, and return the initial weights."""
    parameter = item.layer.weight
    parameter.index[...] = draw_places(rng, parameter.size, item.size)
    fan_in = max(item.size / parameter.shape[-1], 1.0)
    return rng.normal(0.0, math.sqrt(2 / fan_in), item.size)
