"""Conv2d: a convolution, also with gaps between the taps of its window (dilation), and in groups of channels.

What it computes is in convolution.py. With groups there is such a product for each, of its own channels and filters.
"""
import math

import numpy as np

from minnet.engine.convolution import Convolution
from minnet.engine.initialisers import INITIALISERS, Initialiser, zeros
from minnet.engine.padding import Padding, Pair
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.engine.unfold import DilatedWindow, across, dilated_window, fold, unfold
from minnet.errors import InvalidValue, Unsupported, check_choice, check_count


class Conv2d(Convolution):
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
    window: DilatedWindow

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
            self.window = dilated_window(self.name, shape, self.kernel, self.stride, self.padding, self.dilation)
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

    def multiply(self, x, weight, y, tape):
        """Write cols W to y, group by group."""
        if self.groups == 1:
            super().multiply(x, weight, y, tape)
            return
        weight = weight.reshape(-1, self.filters)
        for rows in self.blocks(len(x), tape):
            flat = y[rows].reshape(-1, self.filters)
            for inputs, filters in self.parts:
                np.matmul(self.columns(x[rows][..., inputs], tape), weight[:, filters], out=flat[:, filters])

    def correlate(self, x, flat, grad, tape):
        """Write cols' dy to grad (k*k*c, o), group by group, for dy laid out flat (n*ho*wo, o)."""
        if self.groups == 1:
            super().correlate(x, flat, grad, tape)
            return
        for inputs, filters in self.parts:
            np.matmul(self.columns(x[..., inputs], tape).T, flat[:, filters], out=grad[:, filters])

    def spread(self, flat, weight, dx, tape):
        """Write col2im(dy W') to dx, group by group, for dy laid out flat (n*ho*wo, o)."""
        if self.groups == 1:
            super().spread(flat, weight, dx, tape)
            return
        one = np.empty((*dx.shape[:-1], self.weight.shape[2]), dx.dtype)
        for inputs, filters in self.parts:
            cols = np.matmul(flat[:, filters], weight[:, filters].T, out=self.column_buffer(len(flat), tape))
            self.scatter(cols, one)
            dx[..., inputs] = one

    def columns(self, x, tape):
        """Return the windows of some images, or of a group of their channels, each laid out flat: (n*ho*wo, k*k*c)."""
        if self.window.dilation == (1, 1):
            return super().columns(x, tape)
        cols = self.column_buffer(len(x) * self.positions, tape)
        unfold(x, self.window, cols.reshape(len(x), *self.window.output, *self.window.kernel, x.shape[-1]))
        return cols

    def scatter(self, cols, dx):
        """Write the transpose of `columns`: each entry is added to the pixel that it was read from."""
        if self.window.dilation == (1, 1):
            super().scatter(cols, dx)
        else:
            fold(cols.reshape(len(dx), *self.window.output, *self.window.kernel, dx.shape[-1]), self.window, dx)

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
        across(space, self.groups).use(self.weight, -2)
        made = space.new(self.filters).use(self.weight, -1).use(self.bias, -1)
        across(made, self.groups)
        return made
