"""BatchNorm and Dropout: the two layers that do something else in training than in use."""
import math

import numpy as np

from minnet.engine.initialisers import ones, zeros
from minnet.engine.layer import Layer
from minnet.errors import InvalidValue, check_fraction, check_real
from minnet.kernels import normalise, pointwise


class BatchNorm(Layer):
    """y = gain * (x - mean) / sqrt(variance + epsilon) + shift, per unit (Ioffe and Szegedy, 2015, algorithm 1).

    In training mean and (biased) variance are the batch's; in use they are running statistics, which move after each
    step by new = (1 - momentum) old + momentum batch, with the unbiased variance. Works on rows (n, c) and on images
    (n, h, w, c) alike: all but the last axis are samples.
    """

    prefix = "batchnorm"
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


class Dropout(Layer):
    """In training each entry is 0 with probability `rate`, else x / (1 - rate); in use nothing happens
    (Srivastava et al., 2014, section 10, in its inverted form). The noise is drawn from the tape's rng."""

    prefix = "dropout"

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
