"""SparseConv2d: a convolution that has its live weights only, and a cost in proportion to them.

It takes the place of a Conv2d that is sparse enough (see live_weights.py). Inside, images are feature-major, some at a
time (see kernels/sparse/conv.py); they are transposed at the borders of the layer, or of the pool that follows.
"""
import math

import numpy as np

from minnet.engine.initialisers import zeros
from minnet.engine.layer import Layer
from minnet.engine.padding import window
from minnet.engine.sparse import SparseIndex
from minnet.kernels.layers.images import max_pool, max_pool_backward
from minnet.kernels.layers.pointwise import add_bias, column_sums
from minnet.kernels.sparse.conv import sparse_conv, sparse_conv_gradient, sparse_conv_input
from minnet.kernels.sparse.spmm import to_feature_major, to_row_major, whole_vectors

MOST_LANES = 64    # images at a time: with more, what a window sees no longer fits the second-level cache
CALL_MACS = 2**30  # multiply-adds of one call of a kernel: some 50 ms


class SparseConv2d(Layer):
    """As Conv2d, where all but `live` of the weights (kh, kw, in, filters) are 0 and stay so."""

    prefix = "conv"
    units_argument = "filters"

    def __init__(self, filters, kernel, live, stride=1, padding="valid", *, use_bias=True, name=None):
        self.filters = filters
        self.kernel = kernel
        self.live = live
        self.stride = stride
        self.padding = padding
        self.use_bias = use_bias
        self.name = name

    def build(self, shape):
        """(h, w, c) -> (ho, wo, filters); asks for `live` weights of the shape (kh, kw, c, filters) and a bias."""
        at = self.window = window(self.name, shape, self.kernel, self.stride, self.padding)
        self.positions, self.bias, self._places = math.prod(at.output), None, (None, None)
        self.padded_shape = shape[0] + at.top + at.bottom, shape[1] + at.left + at.right, shape[2]
        row = self.padded_shape[1] * shape[2]
        self.steps = at.stride[0] * row, at.stride[1] * shape[2]  # rows to the window below, and to the right
        nowhere = np.broadcast_to(np.int64(0), self.live)
        wanted = [self.declare("weight", (*at.kernel, shape[2], self.filters), _none, nowhere)]
        if self.use_bias:
            wanted.append(self.declare("bias", (self.filters,), zeros))
        return (*at.output, self.filters), wanted

    def forward(self, x, tape, pool=None):
        """Compute y (n, ho, wo, o) from x (n, h, w, c); with a `pool`, its output instead."""
        x, parts, lanes = np.ascontiguousarray(x), *self.parts(len(x))
        indptr, taps, order = self.places(tape)
        weight = np.take(self.weight.of(tape.values), order, out=tape.buffer(self, "w", order.shape))
        later = self.bias is None or pool is not None  # behind the pool there is less to add it to
        bias = np.zeros(self.filters, tape.dtype) if later else self.bias.of(tape.values)
        xt = tape.buffer(self, "xt", (len(parts), *self.padded_shape, lanes))
        yt = tape.buffer(self, "yt", (*self.output_shape, lanes))
        shape = self.output_shape if pool is None else pool.output_shape
        y, winner = tape.buffer(self, "y", (len(x), *shape)), None
        if pool is not None:
            pooled = tape.buffer(pool, "yt", (*shape, lanes))
            winner = tape.buffer(pool, "winner", (len(parts), *shape, lanes), np.dtype(np.int32))
        for i, rows in enumerate(parts):
            self.to_feature_major(x[rows], xt[i], tape)
            sparse_conv(indptr, taps, weight, bias, *self.steps, xt[i].reshape(-1, lanes), yt)
            if pool is not None:
                max_pool(_one(yt), *pool.window.kernel, *pool.window.stride, 0, 0, _one(pooled), _one(winner[i]))
            to_row_major((yt if pool is None else pooled).reshape(-1, lanes), y[rows].reshape(-1, math.prod(shape)))
        if later and self.bias is not None:
            add_bias(self.bias.of(tape.values), y.reshape(-1, self.filters))
        tape[self] = x, xt, winner
        return y

    def backward(self, dy, tape, pool=None):
        """As `Conv2d.backward`, of the pool's backward if there is one; the weight's gradient at live weights only."""
        (x, xt, winner), (indptr, taps, order), (parts, lanes) = tape[self], self.places(tape), self.parts(len(dy))
        dy, grad = np.ascontiguousarray(dy), tape.buffer(self, "g", order.shape)
        shape, dyt = dy.shape[1:], tape.buffer(self, "dyt", (*self.output_shape, lanes))
        transposed = dyt if pool is None else tape.buffer(pool, "dyt", (*shape, lanes))
        weight, dx = tape.buffer(self, "w", order.shape), None
        if tape.wants_dx(self):
            dx, dxt = tape.buffer(self, "dx", x.shape), tape.buffer(self, "dxt", xt.shape[1:])
        grad[:] = 0
        for i, rows in enumerate(parts):
            to_feature_major(dy[rows].reshape(-1, math.prod(shape)), transposed.reshape(-1, lanes))
            if pool is not None:
                max_pool_backward(_one(transposed), _one(winner[i]), *pool.window.kernel, *pool.window.stride, 0, 0,
                                  _one(dyt))
            sparse_conv_gradient(indptr, taps, *self.steps, xt[i].reshape(-1, lanes), dyt, grad)
            if dx is not None:
                sparse_conv_input(indptr, taps, weight, *self.steps, dyt, dxt.reshape(-1, lanes))
                self.to_row_major(dxt, dx[rows], tape)
        self.weight.of(tape.grads)[order] = grad
        if self.bias is not None:
            column_sums(dy.reshape(-1, self.filters), self.bias.of(tape.grads))
        return dx

    def parts(self, n):
        """(slices of a batch of n, about as long as each other; how many lanes each takes)."""
        most = max(1, min(MOST_LANES, CALL_MACS // max(self.live * self.positions, 1)))
        size = -(-n // -(-n // most))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)], whole_vectors(size)

    def to_feature_major(self, x, xt, tape):
        """Transpose images x (n, h, w, c) to feature-major ones with their padding: xt (h, w, c, lanes)."""
        flat, lanes = x.reshape(len(x), -1), xt.shape[-1]
        if not self.window.padded:
            to_feature_major(flat, xt.reshape(-1, lanes))
            return
        inside = tape.buffer(self, "inside", (*self.input_shape, lanes))
        to_feature_major(flat, inside.reshape(-1, lanes))
        xt[...] = 0
        xt[self.inside()] = inside

    def to_row_major(self, xt, x, tape):
        """Return to row-major images, without the padding."""
        lanes = xt.shape[-1]
        if self.window.padded:
            inside = tape.buffer(self, "inside", (*self.input_shape, lanes))
            np.copyto(inside, xt[self.inside()])
            xt = inside
        to_row_major(xt.reshape(-1, lanes), x.reshape(len(x), -1))

    def inside(self):
        """Return where in the padded image the image is."""
        at, (height, width, _) = self.window, self.input_shape
        return slice(at.top, at.top + height), slice(at.left, at.left + width)

    def places(self, tape):
        """Return (indptr, taps, order): CSC by filter, with the row of a window for each weight.

        Made anew when the model's topology has changed. See kernels/sparse/conv.py and csr.py.
        """
        known, places = self._places
        if known != tape.model.topology:
            kernel_rows = math.prod(self.weight.shape[:-1])
            indptr, rows, order = SparseIndex(self.weight.index, (kernel_rows, self.filters)).csc()
            u, v, c = np.unravel_index(rows, self.weight.shape[:-1])
            _, width, channels = self.padded_shape
            places = indptr, ((u * width + v) * channels + c).astype(np.int32), order
            self._places = tape.model.topology, places
        return places


class SparseConvPool:
    """A SparseConv2d and the MaxPool2d behind it in one pass: the image between them is never transposed."""

    def __init__(self, conv, pool):
        self.conv = conv
        self.pool = pool

    def forward(self, x, tape):
        """Compute y (n, ho, wo, o), pooled, from x (n, h, w, c)."""
        return self.conv.forward(x, tape, self.pool)

    def backward(self, dy, tape):
        """Compute `SparseConv2d.backward` of `MaxPool2d.backward`."""
        return self.conv.backward(dy, tape, self.pool)


def _one(images):
    """Return feature-major images (h, w, c, lanes) as one image of c * lanes channels, for the pools."""
    return images.reshape(1, *images.shape[:2], -1)


def _none(rng, item):
    """Return zeros: the live weights are set to those of the layer that this one replaces."""
    return np.zeros(item.size)
