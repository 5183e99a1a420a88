"""SparseConv2d: a convolution that has its live weights only, and a cost in proportion to them.

`pack` puts it where a Conv2d is sparse enough (see packed.py). Inside, images lie by feature, some at a time (see
kernels/sparse_conv.py); they are turned at the borders of the layer, or at the outer border of the pool that follows.
"""
import math

import numpy as np

from minnet.engine.initialisers import zeros
from minnet.engine.layer import Layer
from minnet.engine.padding import window
from minnet.engine.sparse import Places
from minnet.kernels.layers.images import max_pool, max_pool_backward
from minnet.kernels.layers.pointwise import add_bias, column_sums
from minnet.kernels.sparse.conv import live_conv, live_conv_gradient, live_conv_input
from minnet.kernels.sparse.spmm import by_feature, by_row, wide_lanes

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
        """Compute y (n, ho, wo, o) from x (n, h, w, c); with a `pool`, what that makes of y."""
        x, parts, lanes = np.ascontiguousarray(x), *self.parts(len(x))
        first, tap, place = self.places(tape)
        weight = np.take(self.weight.of(tape.values), place, out=tape.buffer(self, "w", place.shape))
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
            self.turn(x[rows], xt[i], tape)
            live_conv(first, tap, weight, bias, *self.steps, xt[i].reshape(-1, lanes), yt)
            if pool is not None:
                max_pool(_one(yt), *pool.window.kernel, *pool.window.stride, 0, 0, _one(pooled), _one(winner[i]))
            by_row((yt if pool is None else pooled).reshape(-1, lanes), y[rows].reshape(-1, math.prod(shape)))
        if later and self.bias is not None:
            add_bias(self.bias.of(tape.values), y.reshape(-1, self.filters))
        tape[self] = x, xt, winner
        return y

    def backward(self, dy, tape, pool=None):
        """As `Conv2d.backward`, of the pool's backward if there is one; the weight's gradient at live weights only."""
        (x, xt, winner), (first, tap, place), (parts, lanes) = tape[self], self.places(tape), self.parts(len(dy))
        dy, grad = np.ascontiguousarray(dy), tape.buffer(self, "g", place.shape)
        shape, dyt = dy.shape[1:], tape.buffer(self, "dyt", (*self.output_shape, lanes))
        turned = dyt if pool is None else tape.buffer(pool, "dyt", (*shape, lanes))
        weight, dx = tape.buffer(self, "w", place.shape), None
        if tape.wants_dx(self):
            dx, dxt = tape.buffer(self, "dx", x.shape), tape.buffer(self, "dxt", xt.shape[1:])
        grad[:] = 0
        for i, rows in enumerate(parts):
            by_feature(dy[rows].reshape(-1, math.prod(shape)), turned.reshape(-1, lanes))
            if pool is not None:
                max_pool_backward(_one(turned), _one(winner[i]), *pool.window.kernel, *pool.window.stride, 0, 0,
                                  _one(dyt))
            live_conv_gradient(first, tap, *self.steps, xt[i].reshape(-1, lanes), dyt, grad)
            if dx is not None:
                live_conv_input(first, tap, weight, *self.steps, dyt, dxt.reshape(-1, lanes))
                self.turn_back(dxt, dx[rows], tape)
        self.weight.of(tape.grads)[place] = grad
        if self.bias is not None:
            column_sums(dy.reshape(-1, self.filters), self.bias.of(tape.grads))
        return dx

    def parts(self, n):
        """(slices of a batch of n, about as long as each other; how many lanes each takes)."""
        most = max(1, min(MOST_LANES, CALL_MACS // max(self.live * self.positions, 1)))
        size = -(-n // -(-n // most))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)], wide_lanes(size)

    def turn(self, x, xt, tape):
        """Images x (n, h, w, c) by feature, with their padding: xt (h, w, c, lanes)."""
        flat, lanes = x.reshape(len(x), -1), xt.shape[-1]
        if not self.window.padded:
            by_feature(flat, xt.reshape(-1, lanes))
            return
        inside = tape.buffer(self, "inside", (*self.input_shape, lanes))
        by_feature(flat, inside.reshape(-1, lanes))
        xt[...] = 0
        xt[self.inside()] = inside

    def turn_back(self, xt, x, tape):
        """Copy images by feature back, without the padding."""
        lanes = xt.shape[-1]
        if self.window.padded:
            inside = tape.buffer(self, "inside", (*self.input_shape, lanes))
            np.copyto(inside, xt[self.inside()])
            xt = inside
        by_row(xt.reshape(-1, lanes), x.reshape(len(x), -1))

    def inside(self):
        """Where in the padded image the image is."""
        at, (height, width, _) = self.window, self.input_shape
        return slice(at.top, at.top + height), slice(at.left, at.left + width)

    def places(self, tape):
        """Return (first, tap, place), made anew when the model's topology has changed.

        They say where each filter's weights begin, which row of a window each meets, and which weight each is.
        """
        known, places = self._places
        if known != tape.model.topology:
            kernel_rows = math.prod(self.weight.shape[:-1])
            first, source, place = Places(self.weight.index, (kernel_rows, self.filters)).by_output()
            u, v, c = np.unravel_index(source, self.weight.shape[:-1])
            _, width, channels = self.padded_shape
            places = first, ((u * width + v) * channels + c).astype(np.int32), place
            self._places = tape.model.topology, places
        return places


class SparseConvPool:
    """A SparseConv2d and the MaxPool2d behind it in one pass: what lies between them is never turned."""

    def __init__(self, conv, pool):
        self.conv = conv
        self.pool = pool

    def forward(self, x, tape):
        """Compute the pooled y (n, ho, wo, o) from x (n, h, w, c)."""
        return self.conv.forward(x, tape, self.pool)

    def backward(self, dy, tape):
        """As `SparseConv2d.backward` of `MaxPool2d.backward`."""
        return self.conv.backward(dy, tape, self.pool)


def _one(images):
    """Images by feature (h, w, c, lanes) as one image of c * lanes channels, as the kernels of pools take them."""
    return images.reshape(1, *images.shape[:2], -1)


def _none(rng, item):
    """Live weights begin as those of the layer that this one stands for; until then 0."""
    return np.zeros(item.size)
