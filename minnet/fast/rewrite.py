"""Rewrite a tree for one run: layers that are faster together, or on zeros, take the places of the model's own.

    tree = rewrite(model.tree)            # shares the model's layers, parameters and tape
    logits = tree.forward(x, tape)

A Conv2d and the MaxPool2d behind it become one pass without the image between them; a Dense layer that reads the
model's input leaves out blocks of zeros, such as an image's dark background. What is rewritten depends on the tree
alone. The numbers are the same up to rounding, and the tape remembers for each layer what it would remember by itself.
"""
import math

import numpy as np

from minnet.engine.containers import Container, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.pooling import MaxPool2d
from minnet.fast.sparse_conv import SparseConv2d, SparseConvPool
from minnet.kernels.layers.conv_pool import conv_pool, conv_pool_backward
from minnet.kernels.layers.pointwise import add_bias, column_sums
from minnet.kernels.mlp.zero_blocks import (
    BLOCK_COLUMNS,
    SLAB_COLUMNS,
    blocks_backward,
    blocks_forward,
    cut_slabs,
    list_blocks,
    slabs_of,
)

CALL_MACS = 2**31    # multiply-adds of one call of a kernel: some 50 ms
MOSTLY_ZERO = 1 / 2  # blocks of zeros are left out where at most this share of the blocks has something in it


def rewrite(layer):
    """Return `layer` with everything inside it that has a faster form replaced by that."""
    if type(layer) is Dense and not layer.input_needs_grad:
        return ZeroBlockDense(layer)
    if not isinstance(layer, Container):
        return layer
    inside = join_pools(layer.layers) if isinstance(layer, Sequential) else layer.children()
    return layer.with_children([rewrite(child) for child in inside])


def join_pools(layers):
    """Return the layers of a Sequential, each convolution joined with the unpadded MaxPool2d that follows it."""
    found = []
    for layer in layers:
        before = found[-1] if found else None
        # Exact classes: a subclass may compute something else.
        pools = type(layer) is MaxPool2d and not is_padded(layer)
        if pools and type(before) is Conv2d and before.plain and not before.pointwise:
            found[-1] = ConvPool(before, layer)
        elif pools and type(before) is SparseConv2d:
            found[-1] = SparseConvPool(before, layer)
        else:
            found.append(layer)
    return found


def is_padded(pool):
    """Return whether a window of the pool may reach outside the image."""
    at = pool.window
    return any((at.top, at.bottom, at.left, at.right))


def mostly_zero(X):
    """Return whether a layer should leave out blocks of zeros in (n, in)."""
    blocks = np.logical_or.reduceat(X != 0, np.arange(0, X.shape[1], BLOCK_COLUMNS), axis=1)
    return blocks.mean() <= MOSTLY_ZERO


class ZeroBlockDense:
    """A Dense layer whose input may have many blocks of zeros; a batch that has few takes the layer's own way."""

    def __init__(self, dense):
        self.dense = dense

    def forward(self, x, tape):
        """Compute y = x W + b from x (n, in)."""
        dense = self.dense
        blocks = tape[self] = self.blocks(x, tape)
        if blocks is None:
            return dense.forward(x, tape)
        y = tape.buffer(dense, "y", (len(x), dense.units))
        scratch = (tape.buffer(self, "tile", (BLOCK_COLUMNS * SLAB_COLUMNS,)),
                   tape.buffer(self, "sums", (len(x) * SLAB_COLUMNS,)))
        blocks_forward(*blocks, dense.weight.of(tape.values).reshape(-1), dense.units, *scratch, y.reshape(-1))
        if dense.bias is not None:
            add_bias(dense.bias.of(tape.values), y)
        tape[dense] = x
        return y

    def backward(self, dy, tape):
        """Write dW = x' dy and db to the tape; return dx where it is wanted."""
        dense, blocks = self.dense, tape[self]
        if blocks is None:
            return dense.backward(dy, tape)
        n, dw = len(dy), dense.weight.of(tape.grads)
        slabs = tape.buffer(self, "slabs", (slabs_of(dense.units) * n * SLAB_COLUMNS,))
        cut_slabs(dy, 0, n, slabs)
        tile = tape.buffer(self, "tile", (BLOCK_COLUMNS * SLAB_COLUMNS,))
        blocks_backward(*blocks, slabs, dense.units, tile, dw.reshape(-1))
        if dense.bias is not None:
            column_sums(dy, dense.bias.of(tape.grads))
        return dense.input_gradient(dy, tape)

    def blocks(self, x, tape):
        """Return the lists of kernels/mlp/zero_blocks.py, or None where too few blocks are zeros."""
        (n, k), blocks = x.shape, -(-x.shape[1] // BLOCK_COLUMNS)
        lists = (tape.buffer(self, "index", (blocks, n), np.dtype(np.int32)),
                 tape.buffer(self, "value", (blocks * n * BLOCK_COLUMNS,)),
                 tape.buffer(self, "count", (blocks,), np.dtype(np.int32)))
        list_blocks(np.ascontiguousarray(x, tape.dtype), np.arange(n), 0, k, int(MOSTLY_ZERO * blocks * n), *lists)
        return lists if lists[-1][-1] >= 0 else None


class ConvPool:
    """A Conv2d and the MaxPool2d behind it, with the forward and backward of one layer."""

    def __init__(self, conv, pool):
        self.conv = conv
        self.pool = pool
        at, by = conv.window, pool.window
        self.sizes = (*at.kernel, *at.stride, at.top, at.left, *by.kernel, *by.stride)
        macs = math.prod(conv.output_shape) * math.prod(at.kernel) * conv.input_shape[-1]
        self.per_call = max(1, CALL_MACS // macs)  # images

    def forward(self, x, tape):
        """Compute the pooled y (n, ho, wo, o) from x (n, h, w, c)."""
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
        """Write dW and db to the tape, as `Conv2d.backward` of `MaxPool2d.backward`; return dx where it is wanted."""
        conv, x, winner = self.conv, tape[self.conv], tape[self.pool]
        weight, (cols, block) = conv.weight.of(tape.values).reshape(-1, conv.filters), self.scratch(len(x), tape)
        grad = conv.weight.of(tape.grads).reshape(-1, conv.filters)
        part, wanted = tape.buffer(conv, "part", grad.shape), tape.wants_dx(conv)
        dx = tape.buffer(conv, "dx", x.shape if wanted else (0, *x.shape[1:]))
        # The kernel adds to it, call by call, so that no call is long enough to hold up Ctrl-C.
        grad[...] = 0
        for first in range(0, len(x), self.per_call):
            stop = min(first + self.per_call, len(x))
            conv_pool_backward(dy, winner, x, weight, self.sizes, first, stop, cols, block, part, grad, dx)
        if conv.bias is not None:
            column_sums(dy.reshape(-1, conv.filters), conv.bias.of(tape.grads))
        return dx if wanted else None

    def scratch(self, n, tape):
        """Return memory for the windows, and for the convolution's output, of as many images as are done at once."""
        conv = self.conv
        images = min(n, conv.images_at_once(tape))
        return conv.column_buffer(images * conv.positions, tape), tape.buffer(conv, "y", (images, *conv.output_shape))
