"""BatchNorm and Dropout: the two layers that do something else in training than in use."""
import math

import numpy as np

from minnet.engine.initialisers import ones, zeros
from minnet.engine.layer import Layer
from minnet.engine.linear import FixedLinear
from minnet.errors import InvalidValue, Unsupported, check_fraction, check_real
from minnet.kernels.layers import normalise, pointwise


class BatchNorm(Layer):
    """y = gain * (x - mean) / sqrt(variance + epsilon) + shift, per unit (Ioffe and Szegedy, 2015, algorithm 1).

    In training mean and (biased) variance are the batch's; in use they are running statistics, which move after each
    step by new = (1 - momentum) old + momentum batch, with the unbiased variance. Works on rows (n, c) and on images
    (n, h, w, c) alike: all but the last axis are samples.
    """

    prefix = "batchnorm"
    per_unit = True
    counts_paths = True
    shares_batch = True

    def __init__(self, *, momentum=0.1, epsilon=1e-5, name=None):
        self.momentum = momentum
        self.epsilon = epsilon
        self.name = name

    def build(self, shape):
        """Any shape; asks for gain and shift (zone 2), mean and variance (zone 3), each (c,)."""
        check_fraction(f"momentum of {self.name}", self.momentum)
        check_real(f"epsilon of {self.name}", self.epsilon, 0)
        c = shape[-1:]
        return shape, [self.declare("gain", c, ones), self.declare("shift", c, zeros),
                       self.declare("mean", c, zeros), self.declare("variance", c, ones)]

    def forward(self, x, tape):
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

    def backward(self, dy, tape):
        """dgain = sum dy x^, dshift = sum dy, dx = gain inverse (dy - mean(dy) - x^ mean(dy x^)).

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

    def tangent(self, rx, tape, along):
        """With h = x^: R{y} = R{gain} h + gain R{h} + R{shift}; in use R{h} = inverse R{x}; in training, with R{x} less
        its mean, R{inverse} = -inverse^2 mean(h R{x}) and R{h} = inverse R{x} + h R{inverse} / inverse."""
        rows, mean, inverse = tape[self]
        rx, h, rinverse = rx.reshape(rows.shape), (rows - mean) * inverse, np.zeros_like(inverse)
        if tape.training:
            rx = rx - rx.mean(axis=0)
            rinverse = -np.square(inverse) * (h * rx).mean(axis=0)
        rh = inverse * rx + h * (rinverse / inverse)
        along[self] = h, rh, rinverse
        ry = self.gain.of(along.values) * h + self.gain.of(tape.values) * rh + self.shift.of(along.values)
        return ry.reshape(-1, *self.output_shape)

    def tangent_backward(self, dy, rdy, tape, along):
        """R{dgain} = sum of R{dy} h + dy R{h}, R{dshift} = sum of R{dy}, and the product rule for
        dx = gain inverse u, where u = dy in use, and dy - mean(dy) - h mean(dy h) in training."""
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

    def curvature(self, dy, hy, tape, second):
        """hgain = sum of x^2 hy with x^, hshift = sum of hy, hx = (gain inverse)^2 hy; in use only."""
        self.only_in_use(tape, "curvature")
        rows, mean, inverse = tape[self]
        flat = hy.reshape(rows.shape)
        self.gain.of(second.grads)[...] = (np.square((rows - mean) * inverse) * flat).sum(axis=0)
        self.shift.of(second.grads)[...] = flat.sum(axis=0)
        return self.backward(dy, tape), np.square(self.gain.of(tape.values) * inverse) * hy

    def square_gradient(self, dy, tape, squares):
        """dgain and dshift of each image alone, squared and summed over the images; in use only."""
        self.only_in_use(tape, "square_gradient")
        rows, mean, inverse = tape[self]
        flat = dy.reshape(rows.shape)
        for parameter, product in ((self.gain, flat * ((rows - mean) * inverse)), (self.shift, flat)):
            alone = product.reshape(len(dy), -1, product.shape[-1]).sum(axis=1)  # (n, c)
            np.square(alone).sum(axis=0, out=parameter.of(squares.grads))
        return self.backward(dy, tape)

    def only_in_use(self, tape, ability):
        """In training the images of a batch meet in its moments: none of them has a gradient of its own."""
        if tape.training:
            raise Unsupported(f"{self.name} has {ability} in use only, but the tape is in training: Tape(model)")

    def commit(self, tape):
        """new = (1 - momentum) old + momentum batch."""
        for statistic in (self.mean, self.variance):
            old = statistic.value
            old += self.momentum * (statistic.of(tape.grads) - old)

    def couple(self, space):
        """Gain, shift and both statistics dress the units of the input, which go on."""
        for parameter in (self.gain, self.shift, self.mean, self.variance):
            space.use(parameter, -1)
        return space


class Dropout(FixedLinear):
    """In training each entry is 0 with probability `rate`, else x / (1 - rate); in use nothing happens
    (Srivastava et al., 2014, section 10, in its inverted form). The noise is drawn from the tape's rng."""

    prefix = "dropout"
    per_unit = True

    def __init__(self, rate=0.5, *, name=None):
        self.rate = rate
        self.name = name

    def build(self, shape):
        """Any shape; nothing to learn."""
        if not (isinstance(self.rate, int | float) and 0 <= self.rate < 1):
            raise InvalidValue(f"Dropout's rate is the share that is dropped, in [0, 1), got {self.rate!r}")
        return shape, []

    def forward(self, x, tape):
        """x (any shape) -> the same shape."""
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

    def backward(self, dy, tape):
        """dx = dy / (1 - rate) where the entry was kept."""
        if not tape.training or self.rate == 0:
            return dy
        dx = tape.buffer(self, "dx", dy.shape)
        pointwise.dropout(dy.reshape(-1), tape[self], tape.dtype.type(1 / (1 - self.rate)), dx.reshape(-1))
        return dx

    def share(self, tape):
        """1 / (1 - rate) for what is kept."""
        return 1 / (1 - self.rate) if tape.training else 1.0

    def tangent(self, rx, tape, along):
        """The noise of the pass is a constant: R{y} = R{x} / (1 - rate) where the entry was kept."""
        along.recall(self, tape)
        return self.backward(rx, along)
