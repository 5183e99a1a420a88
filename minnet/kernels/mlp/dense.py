"""A pass through an MLP, a chain of dense layers with ReLU between, cut into tasks that threads share.

    mlp_forward(...)     # for some of the rows: the pass after the first layer's product
    mlp_backward(...)    # and the gradients of all but the first layer's weights, for which see multi_step.py

The first layer has most of the weights. The thread that reads a row of them forward also updates it, so that it stays
in one core's cache; what cores exchange are a few numbers for each row of the batch. The arithmetic is that of the
layers: dense products by BLAS; where most of the input is 0, by blocks (see zero_blocks.py).
"""
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.layers.pointwise import add_bias, add_bias_relu, column_sums

WEIGHT, BIAS = 0, 1  # the columns of `starts`


class Mlp(NamedTuple):
    """The shape of an MLP of L layers, and where its parameters are in the vectors `values` and `grads`.

    widths: (L + 1,) int64, inputs of the first layer, then outputs of each. starts: (L, 2) int64, the columns WEIGHT
    and BIAS: where those of each layer begin, -1 for no bias.
    """

    widths: object
    starts: object


@kernel
def gather_columns(X, rows, low, out):
    """Compute out[i] = X[rows[i], low : low + k]. X: (N, m); rows: (n,) integers in [0, N); out: (n, k)."""
    for i in range(rows.size):
        for j in range(out.shape[1]):
            out[i, j] = X[rows[i], low + j]


@kernel
def mask_dead(y, dx):
    """Set dx to 0 where the ReLU's output y is 0, in place: relu_backward for one array. y, dx: (n,)."""
    for i in range(y.size):
        dx[i] = dx[i] if y[i] > 0 else 0


@register_jitable
def finish_layer(starts, layer, values, y):
    """Add the bias, and apply the ReLU where another layer follows, in place."""
    last = layer == starts.shape[0] - 1
    bias = values[starts[layer, BIAS] : starts[layer, BIAS] + y.shape[1]]
    if starts[layer, BIAS] >= 0 and last:
        add_bias(bias, y)
    elif starts[layer, BIAS] >= 0:
        add_bias_relu(bias, y)
    elif not last:
        flat = y.reshape(-1)
        for i in range(flat.size):
            flat[i] = 0 if flat[i] <= 0 else flat[i]


@kernel
def mlp_forward(net, values, n, outputs):
    """Compute the outputs of all layers for n rows, one after the other in `outputs`; x W of the first is there.

    net: Mlp; outputs: (n * the sum of the layers' outputs,).
    """
    widths, starts = net.widths, net.starts
    here = 0
    finish_layer(starts, 0, values, outputs[: n * widths[1]].reshape(n, widths[1]))
    for layer in range(1, starts.shape[0]):
        ins, outs = widths[layer], widths[layer + 1]
        there = here + n * ins
        w = values[starts[layer, WEIGHT] : starts[layer, WEIGHT] + ins * outs].reshape(ins, outs)
        y = outputs[there : there + n * outs].reshape(n, outs)
        np.dot(outputs[here:there].reshape(n, ins), w, y)
        finish_layer(starts, layer, values, y)
        here = there


@kernel
def mlp_backward(net, values, n, outputs, deltas, grads):
    """Compute the gradients of all but the first layer's weight.

    net: Mlp; outputs: as `mlp_forward` leaves them; deltas: likewise dy of each layer, of which the caller gives the
    last; grads: (size of the model,), written where this network's parameters are.
    """
    widths, starts = net.widths, net.starts
    here = outputs.size
    for layer in range(starts.shape[0] - 1, -1, -1):
        ins, outs = widths[layer], widths[layer + 1]
        here -= n * outs
        dy = deltas[here : here + n * outs].reshape(n, outs)
        if starts[layer, BIAS] >= 0:
            column_sums(dy, grads[starts[layer, BIAS] : starts[layer, BIAS] + outs])
        if layer > 0:  # the input of the layer is the output before it in both arrays
            x, dx = outputs[here - n * ins : here], deltas[here - n * ins : here]
            first = starts[layer, WEIGHT]
            np.dot(x.reshape(n, ins).T, dy, grads[first : first + ins * outs].reshape(ins, outs))
            np.dot(dy, values[first : first + ins * outs].reshape(ins, outs).T, dx.reshape(n, ins))
            mask_dead(x, dx)
