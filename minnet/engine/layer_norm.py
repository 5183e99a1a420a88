"""LayerNorm, GroupNorm and InstanceNorm: moments of one image or row alone, in training and in use alike.

An image (p pixels, c channels) is taken as (p, groups, c / groups); the classes differ in the parts of it that have
moments of their own. With N numbers in a part:

    mean = sum x / N,  variance = sum (x - mean)^2 / N,  h = (x - mean) / sqrt(variance + epsilon),  y = gain h + shift

A channel that is always 0 still counts in N. Where compaction removes it, `zeros` keeps count of it: the sums over N
numbers are then those over the numbers that are left, and the variance has `mean^2 / N` for each that is not.
"""
import math

import numpy as np

from minnet.engine.initialisers import ones, zeros
from minnet.engine.layer import Layer
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.engine.unfold import across
from minnet.errors import InvalidValue, check_count, check_real

EPSILON = 1e-5
BLOCK = 256     # pixels that are summed by themselves: a long sum in float32 loses digits


class MomentNorm(Layer):
    """Base of the three: a subclass has `epsilon`, and says in its `build` how images are taken apart.

    Attributes
    ----------
    split : tuple of int
        (pixels, groups, channels of a group): an image as it is taken apart.
    per_pixel : bool
        True if each pixel has moments of its own, over its channels; else a group has them, over all pixels.
    zeros : int
        Channels of each group that were 0 and have been removed.
    """

    abstract = True
    zeros: int = 0
    split: tuple
    per_pixel: bool

    def declare_norm(self, shape: tuple, groups: int, per_pixel: bool) -> list:
        """Take an image or row apart into groups of channels; return the gain (c,) and shift (c,) that are needed."""
        check_real(f"epsilon of {self.name}", self.epsilon, 0)
        check_count(f"zeros of {self.name}", self.zeros, 0)
        if shape[-1] % check_count(f"groups of {self.name}", groups, 1):
            raise InvalidValue(f"{self.name} has {groups} groups, but {shape[-1]} channels come in: the groups must "
                               "divide them")
        self.split, self.per_pixel = (math.prod(shape[:-1]), groups, shape[-1] // groups), per_pixel
        return [self.declare("gain", shape[-1:], ones), self.declare("shift", shape[-1:], zeros)]

    @property
    def size(self) -> int:
        """N: how many numbers a part has, removed zeros included."""
        pixels, _, channels = self.split
        return (1 if self.per_pixel else pixels) * (channels + self.zeros)

    def total(self, x: np.ndarray) -> np.ndarray:
        """Return the sum over each part of x (n, pixels, c): (n, pixels, 1), or (n, 1, c), equal within a group."""
        if self.per_pixel:
            return x.sum(axis=2, keepdims=True)
        pixels, groups, channels = self.split
        blocks = pixels - pixels % BLOCK
        sums = x[:, blocks:].sum(axis=1)  # by channel first: adjacent numbers
        if blocks:
            sums += x[:, :blocks].reshape(len(x), -1, BLOCK, x.shape[2]).sum(axis=2).sum(axis=1)
        return np.repeat(sums.reshape(len(x), groups, channels).sum(axis=2), channels, axis=1)[:, None]

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Return images as (n, pixels, c), a view."""
        return x.reshape(len(x), self.split[0], -1)

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y of the shape of x."""
        rows = self.rows(x)
        h, mean = tape.buffer(self, "h", rows.shape), self.total(rows) / self.size
        np.subtract(rows, mean, out=h)
        squares = self.total(np.square(h))
        if self.zeros:
            squares += self.zeros * (1 if self.per_pixel else self.split[0]) * np.square(mean)
        inverse = 1 / np.sqrt(squares / self.size + self.epsilon)
        h *= inverse
        y = tape.buffer(self, "y", x.shape)
        np.multiply(h, self.gain.of(tape.values), out=self.rows(y))
        y += self.shift.of(tape.values)
        tape[self] = h, inverse, x
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Write dgain = sum of dy h and dshift = sum of dy; return dx = inverse (u - sum u / N - h sum(u h) / N).

        Here u = gain dy, inverse = 1 / sqrt(variance + epsilon), and sums are over the part.
        """
        (h, inverse, _), dy = tape[self], self.rows(dy)
        self.gain.of(tape.grads)[...] = column_sums(dy * h)
        self.shift.of(tape.grads)[...] = column_sums(dy)
        u = dy * self.gain.of(tape.values)
        dx = tape.buffer(self, "dx", h.shape)
        np.multiply(h, self.total(u * h) / -self.size, out=dx)
        dx += u - self.total(u) / self.size
        dx *= inverse
        return dx.reshape(-1, *self.input_shape)

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = R{gain} h + gain R{h} + R{shift}.

        R{h} = inverse (R{x} - sum R{x} / N) + h R{inverse} / inverse, R{inverse} / inverse = -inverse sum(h R{x}) / N.
        """
        (h, inverse, _), rx = tape[self], self.rows(rx)
        ratio = inverse * self.total(h * rx) / -self.size
        rh = inverse * (rx - self.total(rx) / self.size) + h * ratio
        along[self] = rh, ratio
        ry = self.gain.of(along.values) * h + self.gain.of(tape.values) * rh
        return ry.reshape(-1, *self.output_shape) + self.shift.of(along.values)

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write R{dgain} = sum of R{dy} h + dy R{h} and R{dshift} = sum of R{dy}; return dx and R{dx}.

        By the product rule for dx = inverse v, v = u - sum u / N - h sum(u h) / N.
        """
        (h, inverse, _), (rh, ratio), size = tape[self], along[self], self.size
        one, other = self.rows(dy), self.rows(rdy)
        self.gain.of(along.grads)[...] = column_sums(other * h + one * rh)
        self.shift.of(along.grads)[...] = column_sums(other)
        gain = self.gain.of(tape.values)
        u, ru = gain * one, gain * other + self.gain.of(along.values) * one
        product = self.total(u * h)
        rv = ru - (self.total(ru) + rh * product + h * self.total(ru * h + u * rh)) / size
        v = u - (self.total(u) + h * product) / size
        return self.backward(dy, tape), (inverse * (rv + ratio * v)).reshape(dy.shape)

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write hgain = sum of h^2 hy and hshift = sum of hy; return dx, hx_i = sum_j (dy_j/dx_i)^2 hy_j + y_j'' dy_j.

        dh_j/dx_i = inverse (d - (1 + h_i h_j) / N), d = 1 where i is j, else 0; with U_k = sum of gain dy h^k, the sum
        of second derivatives is -inverse^2 / N (2 h_i (u_i - (U_0 + h_i U_1) / N) + U_1 (1 - (1 + h_i^2) / N)).
        """
        (h, inverse, _), n, gain = tape[self], self.size, self.gain.of(tape.values)
        one, bent = self.rows(dy), self.rows(hy)
        self.gain.of(second.grads)[...] = column_sums(np.square(h) * bent)
        self.shift.of(second.grads)[...] = column_sums(bent)
        w, u, h2 = bent * np.square(gain), one * gain, np.square(h)
        sums = self.total(w) + 2 * h * self.total(w * h) + h2 * self.total(w * h2)
        first = w * (1 - 2 * (1 + h2) / n) + sums / n**2
        U0, U1 = self.total(u), self.total(u * h)
        hx = np.square(inverse) * (first - (2 * h * (u - (U0 + h * U1) / n) + U1 * (1 - (1 + h2) / n)) / n)
        return self.backward(dy, tape), hx.reshape(hy.shape)

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Write dgain and dshift of each image alone, squared and summed; return dx."""
        h, parts = tape[self][0], self.rows(dy)
        for parameter, product in ((self.gain, parts * h), (self.shift, parts)):
            alone = product.sum(axis=1)  # (n, c)
            np.square(alone).sum(axis=0, out=parameter.of(squares.grads))
        return self.backward(dy, tape)

    def couple(self, space: Space) -> Space:
        """Note that gain and shift belong to the units of the input; channel i of every group is one unit.

        So each group loses as many, and counts them in `zeros`.
        """
        if not self.per_unit:
            across(space, self.split[1])
        return space.use(self.gain, -1).use(self.shift, -1)

    def stand_in(self) -> Layer:
        """Return the layer that counts paths: any channel of a group reaches all of it, but for gains that are 0."""
        return MomentPaths(self, name=self.name)


def column_sums(x: np.ndarray) -> np.ndarray:
    """Return the sum over images and pixels: (c,)."""
    return x.sum(axis=(0, 1))


class MomentPaths(Layer):
    """Replaces a MomentNorm where paths are counted: y = gain, where anything arrives at the group, else 0.

    After a pass `tape[self]` says at which channels something arrives: (groups, channels of a group).
    """

    def __init__(self, norm: MomentNorm, *, name: str | None = None) -> None:
        self.norm = norm
        self.name = name

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return 1 where a path comes out."""
        arrives = tape[self] = self.by_group((x != 0).reshape(-1, x.shape[-1]).any(axis=0))
        y = arrives.any(axis=1, keepdims=True) & self.open(tape)
        return np.broadcast_to(y.reshape(-1), x.shape).astype(tape.dtype)

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return 1 for all inputs of a group of which an output is needed."""
        wanted = self.by_group((dy != 0).reshape(-1, dy.shape[-1]).any(axis=0))
        reached = tape[self].any(axis=1, keepdims=True)
        self.by_group(self.gain.of(tape.grads))[...] = wanted & reached
        self.by_group(self.shift.of(tape.grads))[...] = wanted
        needed = np.broadcast_to((wanted & self.open(tape)).any(axis=1, keepdims=True), wanted.shape)
        return np.broadcast_to(needed.reshape(-1), dy.shape).astype(tape.dtype)

    def open(self, tape):
        """Return (groups, channels of a group) bool: which gains let something through."""
        return self.by_group(self.gain.of(tape.values)) != 0

    def by_group(self, x):
        """Return (c,) as (groups, channels of a group)."""
        return x.reshape(self.norm.split[1:])


class LayerNorm(MomentNorm):
    """Normalise the last axis: the features of a row, or the channels of each pixel of an image.

    y = gain (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased) variance of that axis.

    For an image as a whole, as PyTorch's LayerNorm of (c, h, w) does but with a gain for each channel, take
    GroupNorm(1). A unit can be removed where it is 0 before this layer and unread behind it; `zeros` counts it.

    Parameters
    ----------
    epsilon : float, default 1e-5
        Added to the variance.
    zeros : int, default 0
        Features that were always 0 and have been removed: mean and variance still count them. `compact` sets it.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Ba, Kiros and Hinton, 2016, "Layer normalization", section 3.1.
    """

    prefix = "layernorm"

    def __init__(self, *, epsilon: float = EPSILON, zeros: int = 0, name: str | None = None) -> None:
        self.epsilon = epsilon
        self.zeros = zeros
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; asks for gain and shift, each (c,)."""
        return shape, self.declare_norm(shape, 1, True)


class GroupNorm(MomentNorm):
    """Normalise groups of channels of each image, over all pixels.

    y = gain (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased) variance of all pixels and
    channels of the group. Gain and shift are by channel.

    Channel i of every group is one unit to pruning, so that each group loses as many. A unit can be removed where it is
    0 before this layer and unread behind it; `zeros` counts it.

    Parameters
    ----------
    groups : int
        Parts in which the channels are divided, in order; 1 is the whole image.
    epsilon : float, default 1e-5
        Added to the variance.
    zeros : int, default 0
        Channels of each group that were always 0 and have been removed: mean and variance still count them. `compact`
        sets it.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Wu and He, 2018, "Group normalization", section 3.1.
    """

    prefix = "groupnorm"

    def __init__(self, groups: int, *, epsilon: float = EPSILON, zeros: int = 0, name: str | None = None) -> None:
        self.groups = groups
        self.epsilon = epsilon
        self.zeros = zeros
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; asks for gain and shift, each (c,)."""
        return shape, self.declare_norm(shape, self.groups, False)


class InstanceNorm(MomentNorm):
    """Normalise each channel of each image, over all pixels.

    y = gain (x - mean) / sqrt(variance + epsilon) + shift, with the mean and the (biased) variance of the channel's
    pixels: no running statistics.

    Parameters
    ----------
    epsilon : float, default 1e-5
        Added to the variance.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, 2016, "Instance normalization", eq. 2.
    """

    prefix = "instancenorm"
    per_unit = True

    def __init__(self, *, epsilon: float = EPSILON, name: str | None = None) -> None:
        self.epsilon = epsilon
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return an image's shape as it is; asks for gain and shift, each (c,)."""
        if len(shape) == 1:
            raise InvalidValue(f"{self.name} takes images (height, width, channels), but is given the shape {shape}: a "
                               "single number has no variance; take LayerNorm for rows")
        return shape, self.declare_norm(shape, shape[-1], False)
