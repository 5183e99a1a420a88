"""A chain of dense layers with ReLU between, a whole pass in one call: forward, cross-entropy and backward.

A small network spends much of a step between its layers, in the interpreter, which only one thread can enter at a time.
Here a thread takes its rows, and comes back with their part of the gradient. The arithmetic is that of the layers:
dense products by BLAS; where most of the input is 0, gathered rows (see gathered.py).

Arrays: `widths` (L + 1,) the sizes between the layers; `starts` (L, 2) where the weight and the bias of each layer
begin in `values` and `grads`, -1 for no bias; `work` and `places` are scratch, as large as `chain_room` says.
"""
import numpy as np

from minnet.kernels.gathered import compress_rows, gather_rows, turn
from minnet.kernels.jit import kernel
from minnet.kernels.losses import softmax_cross_entropy
from minnet.kernels.pointwise import add_bias, add_bias_relu, column_sums


def chain_room(rows, widths):
    """(length of `work`, length of `places`) for passes of at most `rows` rows."""
    inputs = rows * widths[0]
    return 3 * inputs + 2 * rows * sum(widths[1:]), 2 * inputs + widths[0] + 2 * rows


@kernel
def take_rows(X, rows, out):
    """out[i] = X[rows[i]]. X: (N, m); rows: (n,) integers in [0, N); out: (n, m)."""
    for i in range(rows.size):
        for j in range(X.shape[1]):
            out[i, j] = X[rows[i], j]


@kernel
def dead_below(y, dx):
    """dx = 0 where the ReLU's output y is 0, in place: relu_backward for one array. y, dx: (n,)."""
    for i in range(y.size):
        dx[i] = dx[i] if y[i] > 0 else 0


@kernel
def chain_forward(widths, starts, values, sparse, index, value, count, work):
    """Activations of all layers, one behind the other in `work` after the n * m inputs; the last are the logits."""
    n = count.size
    here = 0
    for layer in range(starts.shape[0]):
        ins, outs = widths[layer], widths[layer + 1]
        there = here + n * ins
        w = values[starts[layer, 0] : starts[layer, 0] + ins * outs].reshape(ins, outs)
        y = work[there : there + n * outs].reshape(n, outs)
        if layer == 0 and sparse:
            gather_rows(index, value, count, w, y)
        else:
            np.dot(work[here:there].reshape(n, ins), w, y)
        last = layer == starts.shape[0] - 1
        bias = values[starts[layer, 1] : starts[layer, 1] + outs]
        if starts[layer, 1] >= 0 and last:
            add_bias(bias, y)
        elif starts[layer, 1] >= 0:
            add_bias_relu(bias, y)
        elif not last:
            for i in range(there, there + n * outs):
                work[i] = 0 if work[i] <= 0 else work[i]
        here = there


@kernel
def chain_backward(widths, starts, values, sparse, index, value, count, work, deltas, grads):
    """Gradients of all layers; `deltas` holds dy of each layer as `work` holds y. index, value, count are by column."""
    n = deltas.size // widths[1:].sum()
    end_work, end_delta = work.size, deltas.size
    for layer in range(starts.shape[0] - 1, -1, -1):
        ins, outs = widths[layer], widths[layer + 1]
        dy = deltas[end_delta - n * outs : end_delta].reshape(n, outs)
        end_work -= n * outs
        end_delta -= n * outs
        first = starts[layer, 0]
        dw = grads[first : first + ins * outs].reshape(ins, outs)
        if starts[layer, 1] >= 0:
            column_sums(dy, grads[starts[layer, 1] : starts[layer, 1] + outs])
        if layer == 0 and sparse:
            gather_rows(index, value, count, dy, dw)
            return
        x = work[end_work - n * ins : end_work].reshape(n, ins)
        np.dot(x.T, dy, dw)
        if layer > 0:
            dx = deltas[end_delta - n * ins : end_delta]
            np.dot(dy, values[first : first + ins * outs].reshape(ins, outs).T, dx.reshape(n, ins))
            dead_below(work[end_work - n * ins : end_work], dx)


@kernel
def chain_gradient(X, y, rows, widths, starts, values, scale, most, work, places, losses, grads):
    """Cross-entropy of X[rows] against y[rows] into `losses`, and `scale` times its gradient into `grads`.

    X: (N, m); y: (N,) classes; rows: (n,) row numbers; at most `most` nonzeros among the chosen entries of X are taken
    as sparse. losses: (n,) float64; grads: like values.
    """
    n, m = rows.size, widths[0]
    inputs, outputs = n * m, n * widths[1:].sum()
    value = work[:inputs].reshape(n, m)
    t_value = work[inputs : 2 * inputs].reshape(m, n)
    pass_work = work[2 * inputs : 3 * inputs + outputs]
    deltas = work[3 * inputs + outputs : 3 * inputs + 2 * outputs]
    index, t_index = places[:inputs].reshape(n, m), places[inputs : 2 * inputs].reshape(m, n)
    count, t_count = places[2 * inputs : 2 * inputs + n], places[2 * inputs + n : 2 * inputs + n + m]
    x = pass_work[:inputs].reshape(n, m)
    take_rows(X, rows, x)
    compress_rows(x, most, index, value, count)
    sparse = count[-1] >= 0
    chain_forward(widths, starts, values, sparse, index, value, count, pass_work)
    k = widths[-1]
    labels = places[places.size - n :]
    for i in range(n):
        labels[i] = y[rows[i]]
    logits = pass_work[pass_work.size - n * k :].reshape(n, k)
    softmax_cross_entropy(logits, labels, X.dtype.type(0), scale, losses, deltas[deltas.size - n * k :].reshape(n, k))
    if sparse:
        turn(index, value, count, t_index, t_value, t_count)
    chain_backward(widths, starts, values, sparse, t_index, t_value, t_count, pass_work, deltas, grads)
