"""BatchNorm and Dropout: the two layers that do something else in training than in use."""
import math

import numpy as np

from minnet.engine.initialisers import ones, zeros
from minnet.engine.layer import Layer
from minnet.engine.linear import FixedLinear
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, Unsupported, check_fraction, check_real
from minnet.kernels.layers import normalise, pointwise


class BatchNorm(Layer):
    """y = gain * (x - mean) / sqrt(variance + epsilon) + shift, per unit.

    In training mean and (biased) variance are the batch's; in use they are running statistics, which move after each
    step by new = (1 - momentum) old + momentum batch, with the unbiased variance. Works on rows (n, c) and on images
    (n, h, w, c) alike: all but the last axis are samples.

    Parameters
    ----------
    momentum : float, default 0.1
        Share of the batch's moments in the running statistics.
    epsilon : float, default 1e-5
        Added to the variance.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Ioffe and Szegedy, 2015, "Batch normalization", algorithm 1.
    """

    prefix = "batchnorm"
    per_unit = True
    counts_paths = True
    shares_batch = True

    def __init__(self, *, momentum: float = 0.1, epsilon: float = 1e-5, name: str | None = None) -> None:
        self.momentum = momentum
        self.epsilon = epsilon
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; asks for gain and shift (zone 2), mean and variance (zone 3), each (c,)."""
        check_fraction(f"momentum of {self.name}", self.momentum)
        check_real(f"epsilon of {self.name}", self.epsilon, 0)
        c = shape[-1:]
        return shape, [self.declare("gain", c, ones), self.declare("shift", c, zeros),
                       self.declare("mean", c, zeros), self.declare("variance", c, ones)]

    def scale_and_offset(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (c,) float64 each: in use y = scale * x + offset, with constant statistics."""
        gain, shift, mean, variance = (p.value.astype(np.float64) for p in self.parameters)
        scale = gain / np.sqrt(variance + self.epsilon)
        return scale, shift - mean * scale

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Normalise by the batch (its moments go to the tape) in training, by the statistics in use."""
        y = tape.buffer(self, "y", x.shape)
        rows, c = x.reshape(-1, x.shape[-1]), x.shape[-1]
        mean, variance = self.mean.of(tape.values), self.variance.of(tape.values)
        if tape.training:
            mean, variance = tape.buffer(self, "mean", (c,)), tape.buffer(self, "variance", (c,))
            normalise.channel_moments(rows, mean, variance)
            self.mean.of(tape.grads)[...] = mean
            np.multiply(variance, len(rows) / max(len(rows) - 1, 1), out=self.variance.of(tape.grads))
        inverse = np.add(variance, self.epsilon, out=tape.buffer(self, "inverse", (c,)))
        np.sqrt(inverse, out=inverse)
        np.divide(1, inverse, out=inverse)
        gain, shift = self.gain.of(tape.values), self.shift.of(tape.values)
        normalise.batch_norm(rows, mean, inverse, gain, shift, y.reshape(rows.shape))
        tape[self] = rows, mean, inverse
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Write dgain = sum dy x^ and dshift = sum dy; return dx = gain inverse (dy - mean(dy) - x^ mean(dy x^)).

        x^ = (x - mean) inverse. In use the statistics are constants: dx = gain inverse dy.
        """
        rows, mean, inverse = tape[self]
        gain, dx = self.gain.of(tape.values), tape.buffer(self, "dx", dy.shape)
        dgain, dshift = self.gain.of(tape.grads), self.shift.of(tape.grads)
        normalise.batch_norm_backward(dy.reshape(rows.shape), rows, mean, inverse, gain, dx.reshape(rows.shape),
                                      dgain, dshift)
        if not tape.training:
            np.multiply(dy, gain * inverse, out=dx)
        return dx

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = R{gain} h + gain R{h} + R{shift}, with h = x^.

        In use R{h} = inverse R{x}; in training, with R{x} less its mean, R{inverse} = -inverse^2 mean(h R{x}) and
        R{h} = inverse R{x} + h R{inverse} / inverse.
        """
        rows, mean, inverse = tape[self]
        rx, h, rinverse = rx.reshape(rows.shape), (rows - mean) * inverse, np.zeros_like(inverse)
        if tape.training:
            rx = rx - rx.mean(axis=0)
            rinverse = -np.square(inverse) * (h * rx).mean(axis=0)
        rh = inverse * rx + h * (rinverse / inverse)
        along[self] = h, rh, rinverse
        ry = self.gain.of(along.values) * h + self.gain.of(tape.values) * rh + self.shift.of(along.values)
        return ry.reshape(-1, *self.output_shape)

    def tangent_backward(self, dy: np.ndarray, rdy: np.ndarray, tape: Tape,
                         along: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write R{dgain} = sum of R{dy} h + dy R{h} and R{dshift} = sum of R{dy}; return dx and R{dx}.

        By the product rule for dx = gain inverse u, where u = dy in use, and dy - mean(dy) - h mean(dy h) in training.
        """
        h, rh, rinverse = along[self]
        inverse, flat, rflat = tape[self][2], dy.reshape(h.shape), rdy.reshape(h.shape)
        self.gain.of(along.grads)[...] = (rflat * h + flat * rh).sum(axis=0)
        self.shift.of(along.grads)[...] = rflat.sum(axis=0)
        u, ru, gain = flat, rflat, self.gain.of(tape.values)
        if tape.training:
            product, rproduct = (flat * h).mean(axis=0), (rflat * h + flat * rh).mean(axis=0)
            u = flat - flat.mean(axis=0) - h * product
            ru = rflat - rflat.mean(axis=0) - rh * product - h * rproduct
        rdx = (self.gain.of(along.values) * inverse + gain * rinverse) * u + gain * inverse * ru
        return self.backward(dy, tape), rdx.reshape(dy.shape)

    def curvature(self, dy: np.ndarray, hy: np.ndarray, tape: Tape,
                  second: Tape) -> tuple[np.ndarray, np.ndarray] | None:
        """Write hgain = sum of x^2 hy with x^, hshift = sum of hy; return dx, hx = (gain inverse)^2 hy; in use only."""
        self.only_in_use(tape, "curvature")
        rows, mean, inverse = tape[self]
        flat = hy.reshape(rows.shape)
        self.gain.of(second.grads)[...] = (np.square((rows - mean) * inverse) * flat).sum(axis=0)
        self.shift.of(second.grads)[...] = flat.sum(axis=0)
        return self.backward(dy, tape), np.square(self.gain.of(tape.values) * inverse) * hy

    def square_gradient(self, dy: np.ndarray, tape: Tape, squares: Tape) -> np.ndarray | None:
        """Write dgain and dshift of each image alone, squared and summed; return dx; in use only."""
        self.only_in_use(tape, "square_gradient")
        rows, mean, inverse = tape[self]
        flat = dy.reshape(rows.shape)
        for parameter, product in ((self.gain, flat * ((rows - mean) * inverse)), (self.shift, flat)):
            alone = product.reshape(len(dy), -1, product.shape[-1]).sum(axis=1)  # (n, c)
            np.square(alone).sum(axis=0, out=parameter.of(squares.grads))
        return self.backward(dy, tape)

    def only_in_use(self, tape, ability):
        """Refuse a tape in training, where images meet in the moments and none has a gradient of its own."""
        if tape.training:
            raise Unsupported(f"{self.name} has {ability} in use only, but the tape is in training: Tape(model)")

    def commit(self, tape: Tape) -> None:
        """Set the statistics to (1 - momentum) old + momentum batch."""
        for statistic in (self.mean, self.variance):
            old = statistic.value
            old += self.momentum * (statistic.of(tape.grads) - old)

    def couple(self, space: Space) -> Space:
        """Note that gain, shift and both statistics belong to the units of the input, which are passed on."""
        for parameter in (self.gain, self.shift, self.mean, self.variance):
            space.use(parameter, -1)
        return space


class Dropout(FixedLinear):
    """In training each entry is 0 with probability `rate`, else x / (1 - rate); in use nothing happens.

    The noise is drawn from the tape's rng.

    Parameters
    ----------
    rate : float, default 0.5
        Share of entries that is dropped, in [0, 1).
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Srivastava et al., 2014, "Dropout", section 10, in its inverted form.
    """

    prefix = "dropout"
    per_unit = True

    def __init__(self, rate: float = 0.5, *, name: str | None = None) -> None:
        self.rate = rate
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return any shape as it is; there is nothing to learn."""
        if not (isinstance(self.rate, int | float) and 0 <= self.rate < 1):
            raise InvalidValue(f"Dropout's rate is the share that is dropped, in [0, 1), got {self.rate!r}")
        return shape, []

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return an array of the shape of x."""
        if not tape.training or self.rate == 0:
            return x
        if tape.rng is None:
            raise InvalidValue(f"{self.name} draws noise in training, but the tape has no rng: Tape(model, rng=...)")
        noise = tape.buffer(self, "noise", (math.prod(x.shape),), np.dtype(np.float32))
        keep = tape[self] = tape.buffer(self, "keep", noise.shape, np.dtype(bool))
        tape.rng.random(out=noise, dtype=np.float32)
        np.greater_equal(noise, self.rate, out=keep)
        y = tape.buffer(self, "y", x.shape)
        pointwise.dropout(x.reshape(-1), keep, tape.dtype.type(1 / (1 - self.rate)), y.reshape(-1))
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Return dx = dy / (1 - rate) where the entry was kept."""
        if not tape.training or self.rate == 0:
            return dy
        dx = tape.buffer(self, "dx", dy.shape)
        pointwise.dropout(dy.reshape(-1), tape[self], tape.dtype.type(1 / (1 - self.rate)), dx.reshape(-1))
        return dx

    def share(self, tape: Tape) -> float | np.ndarray:
        """Return 1 / (1 - rate) for what is kept."""
        return 1 / (1 - self.rate) if tape.training else 1.0

    def tangent(self, rx: np.ndarray, tape: Tape, along: Tape) -> np.ndarray:
        """Return R{y} = R{x} / (1 - rate) where the entry was kept: the noise of the pass is a constant."""
        along.recall(self, tape)
        return self.backward(rx, along)
