"""A Conv2d and the MaxPool2d behind it in one pass: the same numbers up to rounding, without the image between them.

Which layers are joined is a matter of the tree alone, so the same model always takes the same path. The tape remembers
for each of the two what it would remember by itself.
"""
import math

import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.pooling import MaxPool2d
from minnet.engine.sparse_conv import SparseConv2d, SparseConvPool
from minnet.kernels.layers.conv_pool import conv_pool, conv_pool_backward
from minnet.kernels.layers.pointwise import column_sums

CALL_MACS = 2**31  # multiply-adds of one call of a kernel: some 50 ms


class ConvPool:
    """Both layers, with the forward and backward of one."""

    def __init__(self, conv, pool):
        self.conv = conv
        self.pool = pool
        at, by = conv.window, pool.window
        self.sizes = (*at.kernel, *at.stride, at.top, at.left, *by.kernel, *by.stride)
        macs = math.prod(conv.output_shape) * math.prod(at.kernel) * conv.input_shape[-1]
        self.per_call = max(1, CALL_MACS // macs)  # images

    def forward(self, x, tape):
        """x (n, h, w, c) -> y (n, ho, wo, o), pooled."""
        x, conv, pool = np.ascontiguousarray(x), self.conv, self.pool
        shape = (len(x), *pool.output_shape)
        y, winner = tape.buffer(pool, "y", shape), tape.buffer(pool, "winner", shape, np.dtype(np.int32))
        weight, (cols, block) = conv.weight.of(tape.values).reshape(-1, conv.filters), self.scratch(len(x), tape)
        bias = tape.buffer(self, "none", (0,)) if conv.bias is None else conv.bias.of(tape.values)
        for first in range(0, len(x), self.per_call):
            stop = min(first + self.per_call, len(x))
            conv_pool(x, weight, bias, self.sizes, first, stop, cols, block, y, winner)
        tape[conv], tape[pool] = x, winner
        return y

    def backward(self, dy, tape):
        """As `Conv2d.backward` of `MaxPool2d.backward`."""
        conv, x, winner = self.conv, tape[self.conv], tape[self.pool]
        weight, (cols, block) = conv.weight.of(tape.values).reshape(-1, conv.filters), self.scratch(len(x), tape)
        grad = conv.weight.of(tape.grads).reshape(-1, conv.filters)
        part, wanted = tape.buffer(conv, "part", grad.shape), tape.wants_dx(conv)
        dx = tape.buffer(conv, "dx", x.shape if wanted else (0, *x.shape[1:]))
        grad[...] = 0
        for first in range(0, len(x), self.per_call):
            stop = min(first + self.per_call, len(x))
            conv_pool_backward(dy, winner, x, weight, self.sizes, first, stop, cols, block, part, grad, dx)
        if conv.bias is not None:
            column_sums(dy.reshape(-1, conv.filters), conv.bias.of(tape.grads))
        return dx if wanted else None

    def scratch(self, n, tape):
        """(room for the windows, room for the convolution's output) of as many images as are done at once."""
        conv = self.conv
        images = min(n, conv.images_at_once(tape))
        return conv.column_buffer(images * conv.positions, tape), tape.buffer(conv, "y", (images, *conv.output_shape))


def joined(layers):
    """The layers of a Sequential, each convolution that a MaxPool2d without padding follows joined with it."""
    found = []
    for layer in layers:
        before = found[-1] if found else None
        pools = type(layer) is MaxPool2d and not padded(layer)
        if pools and type(before) is Conv2d and not before.pointwise:
            found[-1] = ConvPool(before, layer)
        elif pools and type(before) is SparseConv2d:
            found[-1] = SparseConvPool(before, layer)
        else:
            found.append(layer)
    return found


def padded(pool):
    """Whether a window of the pool may reach outside the image."""
    at = pool.window
    return any((at.top, at.bottom, at.left, at.right))
