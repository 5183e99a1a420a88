"""DepthwiseConv2d: a convolution in which every channel has kernels of its own and meets no other channel.

With a 1 x 1 Conv2d after it, it does the work of a full convolution at a fraction of the multiply-adds (Howard et al.,
2017, "MobileNets", section 3.1). It makes no units: its outputs dress the channels that come in, as BatchNorm does.
"""
import math

import numpy as np

from minnet.engine.initialisers import INITIALISERS, Initialiser, zeros
from minnet.engine.linear import Linear
from minnet.engine.padding import Padding, Pair
from minnet.engine.space import Space
from minnet.engine.tape import Tape
from minnet.engine.unfold import dilated_window
from minnet.errors import check_choice, check_count
from minnet.kernels.layers.images import depthwise_conv, depthwise_conv_backward_input, depthwise_conv_backward_weight
from minnet.kernels.layers.pointwise import add_bias, column_sums

BLOCK_MACS = 2**25  # multiply-adds of one kernel call: some hundredths of a second, so that Ctrl-C is heard


class DepthwiseConv2d(Linear):
    """Convolution of each channel by kernels of its own.

    y[n, i, j, o] = b[o] + sum over u, v of x[n, i*s+u, j*s+v, o // m] W[u, v, 0, o], with m = `multiplier`

    Parameters
    ----------
    kernel : int or (int, int)
        Height and width of the window.
    stride : int or (int, int), default 1
        Pixels from one window to the next, down and across.
    padding : {"valid", "same"}, int or ((top, bottom), (left, right))
        Zeros around the image, see padding.py.
    multiplier : int, default 1
        Outputs of each channel.
    use_bias : bool, default True
        Whether there is a bias.
    initialiser : str or callable, default "he"
        Name in INITIALISERS, or a function (rng, shape) -> array.
    name : str, optional
        Name of the layer, else its kind and a number.

    References
    ----------
    Howard et al., 2017, "MobileNets", section 3.1.
    """

    prefix = "depthwise"

    def __init__(self, kernel: Pair, stride: Pair = 1, padding: Padding = "valid", multiplier: int = 1, *,
                 use_bias: bool = True, initialiser: str | Initialiser = "he", name: str | None = None) -> None:
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.multiplier = multiplier
        self.use_bias = use_bias
        self.initialiser = initialiser
        self.name = name

    def build(self, shape: tuple) -> tuple[tuple, list]:
        """Return (ho, wo, c*m) for (h, w, c); ask for a weight (kh, kw, 1, c*m) and a bias (c*m,)."""
        check_count("multiplier of a DepthwiseConv2d layer", self.multiplier, 1)
        self.window = dilated_window(self.name, shape, self.kernel, self.stride, self.padding)
        self.positions = math.prod(self.window.output)
        initialise = check_choice("initialiser", self.initialiser, INITIALISERS)
        outputs, self.bias = shape[2] * self.multiplier, None
        wanted = [self.declare("weight", (*self.window.kernel, 1, outputs), initialise)]
        if self.use_bias:
            wanted.append(self.declare("bias", (outputs,), zeros))
        return (*self.window.output, outputs), wanted

    def forward(self, x: np.ndarray, tape: Tape) -> np.ndarray:
        """Return y (n, ho, wo, c*m) for x (n, h, w, c)."""
        y, weight = tape.buffer(self, "y", (len(x), *self.output_shape)), self.by_channel(tape.values)
        for rows in self.blocks(len(x)):
            depthwise_conv(x[rows], weight, *self.steps, y[rows])
        if self.bias is not None:
            add_bias(self.bias.of(tape.values), y.reshape(-1, y.shape[-1]))
        tape[self] = x
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray | None:
        """Write dW[u, v, 0, o] = sum x[.., o // m] dy[.., o] and db; return dx[.., c] = sum over outputs of W dy."""
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

    def saved_input(self, tape: Tape) -> np.ndarray:
        """Return the images: (n, h, w, c)."""
        return tape[self]

    def product(self, x: np.ndarray, weight: np.ndarray, tape: Tape) -> np.ndarray:
        """Return the sums of `forward`, without the bias."""
        y = np.empty((len(x), *self.output_shape), tape.dtype)
        for rows in self.blocks(len(x)):
            depthwise_conv(x[rows], weight.reshape(self.kernel_shape), *self.steps, y[rows])
        return y

    def weight_vjp(self, x: np.ndarray, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dW of `backward`."""
        total, part = np.zeros(self.kernel_shape, tape.dtype), np.empty(self.kernel_shape, tape.dtype)
        for rows in self.blocks(len(x)):
            depthwise_conv_backward_weight(dy[rows], x[rows], *self.steps, part)
            total += part
        return total.reshape(self.weight.shape)

    def input_vjp(self, dy: np.ndarray, weight: np.ndarray, tape: Tape) -> np.ndarray:
        """Return dx of `backward`."""
        dx = np.empty((len(dy), *self.input_shape), tape.dtype)
        for rows in self.blocks(len(dy)):
            depthwise_conv_backward_input(dy[rows], weight.reshape(self.kernel_shape), *self.steps, dx[rows])
        return dx

    def weight_inputs(self, x: np.ndarray, at: tuple) -> np.ndarray:
        """Return the pixels that one tap sees of the channel of its output: (n, ho, wo)."""
        return self.window.pixels(x, at[0], at[1], at[3] // self.multiplier)

    @property
    def groups(self):
        """The channels, each of which is a group."""
        return self.input_shape[2]

    @property
    def kernel_shape(self):
        """The weight as the kernels take it: (kh, kw, c, m)."""
        return (*self.window.kernel, self.input_shape[2], self.multiplier)

    def by_channel(self, vector):
        """Return the weight's window of `vector` as the kernels take it, a view."""
        return self.weight.of(vector).reshape(self.kernel_shape)

    @property
    def steps(self):
        """Stride down and across, padding at the top and on the left."""
        return (*self.window.stride, self.window.top, self.window.left)

    def blocks(self, n):
        """Return the slices of the batch that one kernel call takes."""
        size = max(1, BLOCK_MACS // (self.positions * self.weight.size))
        return [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def couple(self, space: Space) -> Space:
        """Note that outputs c*m, ..., c*m + m - 1 are channel c, removed or kept with all of them."""
        return space.repeat(self.multiplier).use(self.weight, -1).use(self.bias, -1)
