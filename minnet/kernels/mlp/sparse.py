"""A chain of dense layers with ReLU between, of which some have live weights only: a whole pass in one call.

As chain.py, with activations by feature (see sparse_train.py). `table` (L, 7) has a row for each layer: ins, outs,
where its weights and its bias begin in `values`, how many of its weights are live (-1: it is dense), and where its
entries begin in `first` and in `unit`. These are: in `first`, where the weights of each input begin (ins + 1), and of
each output (outs + 1); in `unit` the outputs by input (live), then the inputs and places by output (2 live).
`work` holds, lane by lane, x and the outputs of all layers; `deltas` the gradients of the same, but for x.
"""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.layers.pointwise import relu
from minnet.kernels.mlp.dense import dead_below
from minnet.kernels.simd.attributes import noalias
from minnet.kernels.simd.transpose import TILE, transpose_rows
from minnet.kernels.sparse.spmm import (
    by_feature,
    by_row,
    live_backward,
    live_gradient,
    pull_live,
    row_sums,
    wide_lanes,
)


def sparse_chain_room(rows, widths):
    """Length of `work` of `sparse_chain_gradient` for that many rows."""
    return wide_lanes(rows) * (widths[0] + 2 * sum(widths[1:])) + 2 * rows * widths[-1]


@kernel
def take_features(X, rows, out):
    """out[j, i] = X[rows[i], j], and 0 beyond. X: (N, m); rows: (n,) integers in [0, N); out: (m, wide_lanes(n))."""
    noalias()
    n, m, lanes = np.int64(rows.size), np.int64(X.shape[1]), np.int64(out.shape[1])
    xs, ys, wide = X.reshape(-1), out.reshape(-1), m - m % TILE
    for i in range(0, lanes, TILE):
        for j in range(0, wide, TILE):
            transpose_rows(xs, rows, i, n, m, j, ys, j * lanes + i, lanes)
    for j in range(wide, m):
        for i in range(n):
            out[j, i] = X[rows[i], j]
        for i in range(n, lanes):
            out[j, i] = 0


@kernel
def sparse_chain_forward(table, first, unit, values, lanes, work):
    """Activations of all layers, one behind the other in `work` after x; the last are the logits."""
    here = 0
    for layer in range(table.shape[0]):
        ins, outs, live = table[layer, 0], table[layer, 1], table[layer, 4]
        there = here + lanes * ins
        x, y = work[here:there].reshape(ins, lanes), work[there : there + lanes * outs].reshape(outs, lanes)
        bias = values[table[layer, 3] : table[layer, 3] + outs]
        if live < 0:
            np.dot(values[table[layer, 2] : table[layer, 2] + ins * outs].reshape(ins, outs).T, x, y)
            for o in range(outs):
                for j in range(lanes):
                    y[o, j] += bias[o]
        else:
            w = values[table[layer, 2] : table[layer, 2] + live]
            at, by_output = table[layer, 6], first[table[layer, 5] + ins + 1 : table[layer, 5] + ins + outs + 2]
            pull_live(by_output, unit[at + live : at + 2 * live], unit[at + 2 * live : at + 3 * live], w, bias, x, y)
        if layer < table.shape[0] - 1:
            flat = work[there : there + lanes * outs]
            relu(flat, flat)
        here = there


@kernel
def sparse_chain_backward(table, first, unit, values, lanes, work, deltas, grads):
    """Gradients of all layers; `deltas` ends with that of the logits."""
    end_work, end_delta = work.size, deltas.size
    for layer in range(table.shape[0] - 1, -1, -1):
        ins, outs, live = table[layer, 0], table[layer, 1], table[layer, 4]
        dy = deltas[end_delta - lanes * outs : end_delta].reshape(outs, lanes)
        end_work -= lanes * outs
        end_delta -= lanes * outs
        x = work[end_work - lanes * ins : end_work].reshape(ins, lanes)
        row_sums(dy, grads[table[layer, 3] : table[layer, 3] + outs])
        size = ins * outs if live < 0 else live
        w, g = values[table[layer, 2] : table[layer, 2] + size], grads[table[layer, 2] : table[layer, 2] + size]
        at, by_input = table[layer, 6], first[table[layer, 5] : table[layer, 5] + ins + 1]
        dx = deltas[max(end_delta - lanes * ins, 0) : end_delta]
        if live < 0:
            np.dot(x, dy.T, g.reshape(ins, outs))
            if layer > 0:
                np.dot(w.reshape(ins, outs), dy, dx.reshape(ins, lanes))
        elif layer == 0:
            live_gradient(by_input, unit[at : at + live], x, dy, g)
        else:
            live_backward(by_input, unit[at : at + live], w, x, dy, g, dx.reshape(ins, lanes))
        if layer > 0:
            dead_below(work[end_work - lanes * ins : end_work], dx)


@kernel
def sparse_chain_gradient(X, y, rows, table, first, unit, values, scale, work, labels, losses, grads):
    """Cross-entropy of X[rows] against y[rows] into `losses`, and `scale` times its gradient into `grads`.

    X: (N, m); y: (N,) classes; rows: (n,) row numbers; labels: (n,) int32, for its own use; losses: (n,) float64.
    """
    n, k, lanes = rows.size, table[table.shape[0] - 1, 1], wide_lanes(rows.size)
    features = table[:, 1].sum()
    inputs = lanes * table[0, 0]
    passed = work[: inputs + lanes * features]
    deltas = work[inputs + lanes * features : inputs + 2 * lanes * features]
    logits = work[work.size - 2 * n * k : work.size - n * k].reshape(n, k)
    dlogits = work[work.size - n * k :].reshape(n, k)
    take_features(X, rows, passed[:inputs].reshape(table[0, 0], lanes))
    sparse_chain_forward(table, first, unit, values, lanes, passed)
    by_row(passed[passed.size - lanes * k :].reshape(k, lanes), logits)
    for i in range(n):
        labels[i] = y[rows[i]]
    softmax_cross_entropy(logits, labels, X.dtype.type(0), scale, losses, dlogits)
    by_feature(dlogits, deltas[deltas.size - lanes * k :].reshape(k, lanes))
    sparse_chain_backward(table, first, unit, values, lanes, passed, deltas, grads)
