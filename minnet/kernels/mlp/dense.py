"""A chain of dense layers with ReLU between, cut into tasks that threads share: each has a part of the work of a batch.

    chain_forward(...)     # a part of the rows: the pass behind the first layer's product
    chain_backward(...)    # and the gradients of all but the first layer's weights, for which see chain_steps.py

The first layer has most of the weights. Who reads a row of them forward is also who changes it, so that it stays in one
core's cache; what cores hand to each other are a few numbers for each row. The arithmetic is that of the layers: dense
products by BLAS; where most of the input is 0, by blocks (see blocks.py).

Arrays: `widths` (L + 1,) the sizes between the layers; `starts` (L, 2) where the weight and the bias of each layer
begin in `values` and `grads`, -1 for no bias.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.layers.pointwise import add_bias, add_bias_relu, column_sums


@kernel
def take_columns(X, rows, low, out):
    """out[i] = X[rows[i], low : low + k]. X: (N, m); rows: (n,) integers in [0, N); out: (n, k)."""
    for i in range(rows.size):
        for j in range(out.shape[1]):
            out[i, j] = X[rows[i], low + j]


@kernel
def dead_below(y, dx):
    """dx = 0 where the ReLU's output y is 0, in place: relu_backward for one array. y, dx: (n,)."""
    for i in range(y.size):
        dx[i] = dx[i] if y[i] > 0 else 0


@register_jitable
def finish(starts, layer, values, y):
    """The bias, and the ReLU where another layer follows, in place."""
    last = layer == starts.shape[0] - 1
    bias = values[starts[layer, 1] : starts[layer, 1] + y.shape[1]]
    if starts[layer, 1] >= 0 and last:
        add_bias(bias, y)
    elif starts[layer, 1] >= 0:
        add_bias_relu(bias, y)
    elif not last:
        flat = y.reshape(-1)
        for i in range(flat.size):
            flat[i] = 0 if flat[i] <= 0 else flat[i]


@kernel
def chain_forward(widths, starts, values, n, work):
    """Activations of all layers for n rows, one behind the other in `work`, which begins with x W of the first one."""
    here = 0
    finish(starts, 0, values, work[: n * widths[1]].reshape(n, widths[1]))
    for layer in range(1, starts.shape[0]):
        ins, outs = widths[layer], widths[layer + 1]
        there = here + n * ins
        w = values[starts[layer, 0] : starts[layer, 0] + ins * outs].reshape(ins, outs)
        y = work[there : there + n * outs].reshape(n, outs)
        np.dot(work[here:there].reshape(n, ins), w, y)
        finish(starts, layer, values, y)
        here = there


@kernel
def chain_backward(widths, starts, values, n, work, deltas, grads):
    """Gradients of all but the first layer's weight; `deltas` holds dy of each layer as `work` holds y."""
    here = work.size
    for layer in range(starts.shape[0] - 1, -1, -1):
        ins, outs = widths[layer], widths[layer + 1]
        here -= n * outs
        dy = deltas[here : here + n * outs].reshape(n, outs)
        if starts[layer, 1] >= 0:
            column_sums(dy, grads[starts[layer, 1] : starts[layer, 1] + outs])
        if layer > 0:
            x, dx = work[here - n * ins : here], deltas[here - n * ins : here]
            first = starts[layer, 0]
            np.dot(x.reshape(n, ins).T, dy, grads[first : first + ins * outs].reshape(ins, outs))
            np.dot(dy, values[first : first + ins * outs].reshape(ins, outs).T, dx.reshape(n, ins))
            dead_below(x, dx)
