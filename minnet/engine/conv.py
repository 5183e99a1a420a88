"""Convolution as im2col and one dense product, a few images at a time so that the columns stay in the cache.

Images are channels last: x (n, h, w, c). The weight is (kh, kw, in, out), so a window laid out flat times the weight
laid out flat is one pixel of the output: y (n*h*w, o) = cols (n*h*w, k*k*c) W (k*k*c, o). With groups there is such a
product for each, of its own channels and filters.
"""
import math

import numpy as np

from minnet.engine.initialisers import INITIALISERS, Initialiser, zeros
from minnet.engine.linear import Linear
from minnet.engine.padding import Padding, Pair, Window, window
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, Unsupported, check_choice, check_count
from minnet.kernels.layers.images import col2im, im2col
from minnet.kernels.layers.pointwise import add_bias, column_sums

COLUMN_BYTES = 512 * 1024  # the im2col block: a part of a core's second-level cache


class Conv2d(Linear):
    """Cross-correlation of images, which every framework calls convolution.

    y[n, i, j, o] = b[o] + sum over u, v, c of x[n, i*s+u*d, j*s+v*d, g*C+c] W[u, v, c, o], with d = `dilation`, and C
    channels in each of the groups, of which filter o reads group g = o // (filters / groups); one group has all.

    Images are channels last. The channels that come in are not an argument: they follow from the layer before.

    Channel i of every group is one unit to pruning, as is filter i of every group: a unit that is removed takes as many
    channels from each group, and the rest is a convolution in as many groups. Where each channel is a group no channel
    could be removed alone: that is a DepthwiseConv2d. A frozen net with groups has a kernel for live weights alone, so
    that one in groups takes longer for each weight, though not for each image, than one without.

    Parameters
    ----------
    filters : int
        Channels that come out.
    kernel : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), default 1
        Pixels from one window to the next, down and across.
    padding : {"valid", "same"}, int or ((top, bottom), (left, right))
        Zeros around the image, see padding.py.
    dilation : int or (int, int), default 1
        Pixels from one tap of the window to the next, down and across.
    groups : int, default 1
        Parts in which channels and filters are divided, in order; it divides both.
    use_bias : bool, default True
        Whether there is a bias.
    initialiser : str or callable, default "he"
        Name in INITIALISERS, or a function (rng, shape) -> array.
    name : str, optional
        Name of the layer, else its kind and a number.
    """

    prefix = "conv"
    units_argument = "filters"

    def __init__(self, filters: int, kernel: Pair, stride: Pair = 1, padding: Padding = "valid", *,
                 dilation: Pair = 1, groups: int = 1, use_bias: bool = True, initialiser: str | Initialiser = "he",
                 name: str | None = None) -> None:
        self.filters = filters
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.use_bias = use_bias
        self.initialiser = initialiser
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return (ho, wo, filters) for (h, w, c); ask for a weight (kh, kw, c / groups, filters) and a bias."""
        check_count("filters of a Conv2d layer", self.filters, 1)
        try:
            self.window = window(self.name, shape, self.kernel, self.stride, self.padding, self.dilation)
        except InvalidValue as error:
            raise InvalidValue(f"{error}; the arguments of Conv2d are (filters, kernel, stride, padding)") from error
        if shape[2] % check_count(f"groups of {self.name}", self.groups, 1) or self.filters % self.groups:
            raise InvalidValue(f"{self.name} has {self.groups} groups, {shape[2]} channels that come in and "
                               f"{self.filters} filters: the groups must divide both")
        self.positions = math.prod(self.window.output)
        initialise = check_choice("initialiser", self.initialiser, INITIALISERS)
        self.bias = None
        wanted = [self.declare("weight", (*self.window.kernel, shape[2] // self.groups, self.filters), initialise)]
        if self.use_bias:
            wanted.append(self.declare("bias", (self.filters,), zeros))
        return (*self.window.output, self.filters), wanted

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

    def multiply(self, x, weight, y, tape):
        """Write cols W to y, group by group."""
        weight = weight.reshape(-1, self.filters)  # (k*k*c, o)
        for rows in self.blocks(len(x), tape):
            flat = y[rows].reshape(-1, self.filters)
            for inputs, filters in self.parts:
                np.matmul(self.columns(x[rows][..., inputs], tape), weight[:, filters], out=flat[:, filters])

    def correlate(self, x, flat, grad, tape):
        """Write cols' dy to grad (k*k*c, o), for dy laid out flat (n*ho*wo, o)."""
        for inputs, filters in self.parts:
            np.matmul(self.columns(x[..., inputs], tape).T, flat[:, filters], out=grad[:, filters])

    def spread(self, flat, weight, dx, tape):
        """Write col2im(dy W') to dx, for dy laid out flat (n*ho*wo, o)."""
        for inputs, filters in self.parts:
            cols = np.matmul(flat[:, filters], weight[:, filters].T, out=self.column_buffer(len(flat), tape))
            if self.groups == 1:
                self.scatter(cols, dx)
            else:
                one = np.empty((*dx.shape[:-1], self.weight.shape[2]), dx.dtype)
                self.scatter(cols, one)
                dx[..., inputs] = one

    @property
    def parts(self):
        """The slices of the input's channels and of the filters, (inputs, filters) of each group."""
        inputs, filters = self.weight.shape[2], self.filters // self.groups
        return [(slice(g * inputs, (g + 1) * inputs), slice(g * filters, (g + 1) * filters))
                for g in range(self.groups)]

    @property
    def plain(self):
        """True without dilation and groups: what kernels for Conv2d take."""
        return self.groups == 1 and self.window.dilation == (1, 1)

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
        return tape.buffer(Conv2d, "columns", (rows, math.prod(self.weight.shape[:-1])))

    def columns(self, x, tape):
        """Return the windows of some images, or of a group of their channels, each laid out flat: (n*ho*wo, k*k*c)."""
        if self.pointwise:
            return x.reshape(-1, x.shape[-1])
        cols = self.column_buffer(len(x) * self.positions, tape)
        unfold(x, self.window, cols.reshape(len(x), *self.window.output, *self.window.kernel, x.shape[-1]))
        return cols

    def scatter(self, cols, dx):
        """Write the transpose of `columns`: each entry is added to the pixel that it was read from."""
        if self.pointwise:
            dx.reshape(-1, dx.shape[-1])[...] = cols
        else:
            fold(cols.reshape(len(dx), *self.window.output, *self.window.kernel, dx.shape[-1]), self.window, dx)

    def weight_inputs(self, x: np.ndarray, at: tuple) -> np.ndarray:
        """Return the pixels that one tap sees of one channel: (n, ho, wo)."""
        group = at[3] // (self.filters // self.groups)
        return self.window.pixels(x, at[0], at[1], group * self.weight.shape[2] + at[2])

    def unfolded_input(self, tape: Tape) -> np.ndarray:
        """Return the windows of all images, padding included: (n*ho*wo, k*k*c); without groups only."""
        if self.groups > 1:
            raise Unsupported(f"{self.name} has {self.groups} groups, whose filters see different channels: take a "
                              "criterion that does not ask for all inputs of a layer")
        return self.columns(tape[self], tape)

    def unfolded_groups(self, tape: Tape) -> np.ndarray:
        """Return the windows of all images, padding included, by group: (n*ho*wo, k*k*c of a group, groups)."""
        return np.stack([self.columns(tape[self][..., inputs], tape).copy() for inputs, _ in self.parts], axis=-1)

    def couple(self, space: Space) -> Space:
        """Note that axis -2 of W carries a group's channels, its filters and the bias the output's, group by group."""
        space.across(self.groups).use(self.weight, -2)
        made = space.new(self.filters).use(self.weight, -1).use(self.bias, -1)
        made.across(self.groups)
        return made


def unfold(x: np.ndarray, at: Window, cols: np.ndarray) -> None:
    """Write what each window of the images x (n, h, w, c) sees to cols (n, ho, wo, kh, kw, c); padding is 0."""
    if at.dilation == (1, 1):
        im2col(np.ascontiguousarray(x), *at.stride, at.top, at.left, cols)
        return
    padded = at.pad(x)
    for row, column in np.ndindex(*at.kernel):
        cols[:, :, :, row, column] = at.tap(padded, row, column)


def fold(cols: np.ndarray, at: Window, dx: np.ndarray) -> None:
    """Write to dx (n, h, w, c), at each pixel, the sum of all entries of cols that `unfold` reads from it."""
    if at.dilation == (1, 1):
        col2im(cols, *at.stride, at.top, at.left, dx)
        return
    n, h, w, c = dx.shape
    padded = np.zeros((n, at.top + h + at.bottom, at.left + w + at.right, c), dx.dtype)
    for row, column in np.ndindex(*at.kernel):
        at.tap(padded, row, column)[...] += cols[:, :, :, row, column]
    dx[...] = padded[:, at.top : at.top + h, at.left : at.left + w]
