"""Convolution as im2col and one dense product, a few images at a time so that the columns stay in the cache.

Images are channels last: x (n, h, w, c). The weight is (kh, kw, in, out), so a window laid out flat times the weight
laid out flat is one pixel of the output: y (n*h*w, o) = cols (n*h*w, k*k*c) W (k*k*c, o).
"""
import math

import numpy as np

from minnet.engine.linear import Linear
from minnet.engine.padding import Window
from minnet.engine.tape import Tape
from minnet.kernels.layers.images import col2im, im2col
from minnet.kernels.layers.pointwise import add_bias, column_sums

COLUMN_BYTES = 512 * 1024  # the im2col block: a part of a core's second-level cache


class Convolution(Linear):
    """What Conv2d computes; conv.py adds its arguments, dilation and groups.

    y[n, i, j, o] = b[o] + sum over u, v, c of x[n, i*s+u, j*s+v, c] W[u, v, c, o]

    `build` sets `window` and `positions`, and declares `weight` and `bias`.
    """

    abstract = True
    window: Window
    filters: int

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, ho, wo, o) for x (n, h, w, c)."""
        y = tape.buffer(self, "y", (len(x), *self.output_shape))
        self.multiply(x, self.weight.of(tape.values), y, tape)
        if self.bias is not None:
            add_bias(self.bias.of(tape.values), y.reshape(-1, self.filters))
        tape[self] = x
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Write dW = cols' dy and db = sum of dy; return dx = col2im(dy W').

        Block by block; the columns are made again, not kept.
        """
        x = tape[self]
        weight = self.weight.of(tape.values).reshape(-1, self.filters)
        grad = self.weight.of(tape.grads).reshape(-1, self.filters)
        part = tape.buffer(self, "part", grad.shape)
        dx = tape.buffer(self, "dx", x.shape) if tape.wants_dx(self) else None
        for rows in self.blocks(len(x), tape):
            flat = dy[rows].reshape(-1, self.filters)  # (n*ho*wo, o)
            self.correlate(x[rows], flat, part if rows.start else grad, tape)
            if rows.start:
                grad += part
            if dx is not None:
                self.spread(flat, weight, dx[rows], tape)
        if self.bias is not None:
            column_sums(dy.reshape(-1, self.filters), self.bias.of(tape.grads))
        return dx

    def saved_input(self, tape: Tape) -> np.ndarray:
        """Return the images: (n, h, w, c)."""
        return tape[self]

    def product(self, x: np.ndarray, weight: np.ndarray, tape: Tape) -> np.ndarray:
        """Return cols W."""
        y = np.empty((len(x), *self.output_shape), tape.dtype)
        self.multiply(x, weight, y, tape)
        return y

    def weight_vjp(self, x: np.ndarray, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return cols' dy."""
        total = np.zeros((math.prod(self.weight.shape[:-1]), self.filters), tape.dtype)
        part = np.empty_like(total)
        for rows in self.blocks(len(x), tape):
            self.correlate(x[rows], dy[rows].reshape(-1, self.filters), part, tape)
            total += part
        return total.reshape(self.weight.shape)

    def input_vjp(self, dy: np.ndarray, weight: np.ndarray, tape: Tape) -> np.ndarray:
        """Return col2im(dy W')."""
        dx, weight = np.empty((len(dy), *self.input_shape), tape.dtype), weight.reshape(-1, self.filters)
        for rows in self.blocks(len(dy), tape):
            self.spread(dy[rows].reshape(-1, self.filters), weight, dx[rows], tape)
        return dx

    def blocks(self, n, tape):
        """Yield slices of the batch whose columns fit the block, one after the other."""
        size = self.images_at_once(tape)
        for start in range(0, n, size):
            yield slice(start, min(start + size, n))

    def images_at_once(self, tape):
        """Return how many images' columns fit the block, which is at least as large as the weight that BLAS reads."""
        per_image = self.positions * math.prod(self.weight.shape[:-1])
        return max(1, max(COLUMN_BYTES // tape.dtype.itemsize, math.prod(self.weight.shape)) // per_image)

    @property
    def pointwise(self):
        """True for a 1 x 1 window at stride 1: the image is its own columns."""
        return self.window.kernel == self.window.stride == (1, 1)

    def column_buffer(self, rows, tape):
        """Return memory for the columns of some images, (rows, k*k*c), which all convolutions share."""
        return tape.buffer(Convolution, "columns", (rows, math.prod(self.weight.shape[:-1])))

    def columns(self, x, tape):
        """Return the windows of some images, each laid out flat: (n*ho*wo, k*k*c)."""
        if self.pointwise:
            return x.reshape(-1, x.shape[-1])
        cols = self.column_buffer(len(x) * self.positions, tape)
        shape = (len(x), *self.window.output, *self.window.kernel, x.shape[-1])
        im2col(np.ascontiguousarray(x), *self.window.stride, self.window.top, self.window.left, cols.reshape(shape))
        return cols

    def scatter(self, cols, dx):
        """Write the transpose of `columns`: each entry is added to the pixel that it was read from."""
        if self.pointwise:
            dx.reshape(-1, dx.shape[-1])[...] = cols
        else:
            shape = (len(dx), *self.window.output, *self.window.kernel, dx.shape[-1])
            col2im(cols.reshape(shape), *self.window.stride, self.window.top, self.window.left, dx)

    def multiply(self, x, weight, y, tape):
        """Write cols W to y."""
        weight = weight.reshape(-1, self.filters)  # (k*k*c, o)
        for rows in self.blocks(len(x), tape):
            np.dot(self.columns(x[rows], tape), weight, out=y[rows].reshape(-1, self.filters))

    def correlate(self, x, flat, grad, tape):
        """Write cols' dy to grad (k*k*c, o), for dy laid out flat (n*ho*wo, o)."""
        np.dot(self.columns(x, tape).T, flat, out=grad)

    def spread(self, flat, weight, dx, tape):
        """Write col2im(dy W') to dx, for dy laid out flat (n*ho*wo, o)."""
        self.scatter(np.dot(flat, weight.T, out=self.column_buffer(len(flat), tape)), dx)
