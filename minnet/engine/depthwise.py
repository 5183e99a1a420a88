"""DepthwiseConv2d: a convolution in which every channel has kernels of its own and meets no other channel.

With a 1 x 1 Conv2d after it, it does the work of a full convolution at a fraction of the multiply-adds (Howard et al.,
2017, "MobileNets", section 3.1). It makes no units: its outputs dress the channels that come in, as BatchNorm does.
"""
import math

import numpy as np

from minnet.engine.initialisers import INITIALISERS, zeros
from minnet.engine.linear import Linear
from minnet.engine.padding import window
from minnet.errors import check_choice, check_count
from minnet.kernels.layers.images import depthwise_conv, depthwise_conv_backward_input, depthwise_conv_backward_weight
from minnet.kernels.layers.pointwise import add_bias, column_sums

BLOCK_MACS = 2**25  # multiply-adds of one kernel call: some hundredths of a second, so that Ctrl-C is heard


class DepthwiseConv2d(Linear):
    """y[n, i, j, o] = b[o] + sum over u, v of x[n, i*s+u, j*s+v, o // m] W[u, v, 0, o], with m = `multiplier`.

    `kernel` and `stride` are whole numbers or pairs; `padding` is explained in padding.py.
    """

    prefix = "depthwise"

    def __init__(self, kernel, stride=1, padding="valid", multiplier=1, *, use_bias=True, initialiser="he", name=None):
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.multiplier = multiplier
        self.use_bias = use_bias
        self.initialiser = initialiser
        self.name = name

    def build(self, shape):
        """(h, w, c) -> (ho, wo, c*m); asks for a weight (kh, kw, 1, c*m) and a bias (c*m,)."""
        check_count("multiplier of a DepthwiseConv2d layer", self.multiplier, 1)
        self.window = window(self.name, shape, self.kernel, self.stride, self.padding)
        self.positions = math.prod(self.window.output)
        initialise = check_choice("initialiser", self.initialiser, INITIALISERS)
        outputs, self.bias = shape[2] * self.multiplier, None
        wanted = [self.declare("weight", (*self.window.kernel, 1, outputs), initialise)]
        if self.use_bias:
            wanted.append(self.declare("bias", (outputs,), zeros))
        return (*self.window.output, outputs), wanted

    def forward(self, x, tape):
        """x (n, h, w, c) -> y (n, ho, wo, c*m)."""
        y, weight = tape.buffer(self, "y", (len(x), *self.output_shape)), self.by_channel(tape.values)
        for rows in self.blocks(len(x)):
            depthwise_conv(x[rows], weight, *self.steps, y[rows])
        if self.bias is not None:
            add_bias(self.bias.of(tape.values), y.reshape(-1, y.shape[-1]))
        tape[self] = x
        return y

    def backward(self, dy, tape):
        """dW[u, v, 0, o] = sum x[.., o // m] dy[.., o], db = sum of dy, dx[.., c] = sum over its m outputs of W dy."""
        x, weight, grad = tape[self], self.by_channel(tape.values), self.by_channel(tape.grads)
        part = tape.buffer(self, "part", grad.shape)
        dx = tape.buffer(self, "dx", x.shape) if tape.wants_dx(self) else None
        for rows in self.blocks(len(x)):
            depthwise_conv_backward_weight(dy[rows], x[rows], *self.steps, part if rows.start else grad)
            if rows.start:
                grad += part
            if dx is not None:
                depthwise_conv_backward_input(dy[rows], weight, *self.steps, dx[rows])
        if self.bias is not None:
            column_sums(dy.reshape(-1, dy.shape[-1]), self.bias.of(tape.grads))
        return dx

    def saved_input(self, tape):
        """The images: (n, h, w, c)."""
        return tape[self]

    def product(self, x, weight, tape):
        """The sums of `forward`, without the bias."""
        y = np.empty((len(x), *self.output_shape), tape.dtype)
        for rows in self.blocks(len(x)):
            depthwise_conv(x[rows], weight.reshape(self.kernel_shape), *self.steps, y[rows])
        return y

    def weight_vjp(self, x, dy, tape):
        """dW of `backward`."""
        total, part = np.zeros(self.kernel_shape, tape.dtype), np.empty(self.kernel_shape, tape.dtype)
        for rows in self.blocks(len(x)):
            depthwise_conv_backward_weight(dy[rows], x[rows], *self.steps, part)
            total += part
        return total.reshape(self.weight.shape)

    def input_vjp(self, dy, weight, tape):
        """dx of `backward`."""
        dx = np.empty((len(dy), *self.input_shape), tape.dtype)
        for rows in self.blocks(len(dy)):
            depthwise_conv_backward_input(dy[rows], weight.reshape(self.kernel_shape), *self.steps, dx[rows])
        return dx

    def weight_inputs(self, x, at):
        """Return the pixels that one tap sees of the channel of its output: (n, ho, wo)."""
        return self.window.pixels(x, at[0], at[1], at[3] // self.multiplier)

    @property
    def kernel_shape(self):
        """The weight as the kernels take it: (kh, kw, c, m)."""
        return (*self.window.kernel, self.input_shape[2], self.multiplier)

    def by_channel(self, vector):
        """The weight's window of `vector` as the kernels take it, a view."""
        return self.weight.of(vector).reshape(self.kernel_shape)

    @property
    def steps(self):
        """Where the windows stand: stride down and across, padding at the top and on the left."""
        return (*self.window.stride, self.window.top, self.window.left)

    def blocks(self, n):
        """Slices of the batch that one kernel call takes."""
        size = max(1, BLOCK_MACS // (self.positions * self.weight.size))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def couple(self, space):
        """Outputs c*m, ..., c*m + m - 1 are channel c, which goes or stays with all of them."""
        return space.repeat(self.multiplier).use(self.weight, -1).use(self.bias, -1)
