"""Reference implementations of the kernels that train with live weights alone (see reference.py)."""

import numpy as np
from reference import softmax_cross_entropy, wide

from minnet.kernels.sparse.topology import FINE, LIVE_ALREADY, NEW, NOT_LIVE


def matrix(indptr, indices, w, units):
    """The weights as a dense matrix (in, units), in float64."""
    dense = np.zeros((indptr.size - 1, units))
    dense[np.repeat(np.arange(indptr.size - 1), np.diff(indptr)), indices] = w
    return dense


def to_feature_major(x, y):
    y[:] = 0
    y[:, : len(x)] = x.T


def to_row_major(x, y):
    y[:] = x[:, : len(y)].T


def row_sums(dy, out):
    out[:] = wide(dy).sum(axis=1)


def flat_to_csr(flat, columns, indptr, indices):
    indptr[:] = np.searchsorted(flat // columns, np.arange(indptr.size))
    indices[:] = flat % columns


def csr_to_csc(indptr, indices, csc_indptr, csc_indices, csc_order):
    csc_order[:] = np.argsort(indices, kind="stable")
    csc_indices[:] = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))[csc_order]
    csc_indptr[:] = np.searchsorted(indices[csc_order], np.arange(csc_indptr.size))


def shares(indptr, indices, common_indptr, common, weight):
    """A, c(u, z), 1 + e_z and the weights (w, v) as dense matrices."""
    A = matrix(indptr, indices, 1, common_indptr.size - 1)
    c = A @ A.T
    return A, c, np.maximum(A.sum(axis=1) - c, 1), matrix(common_indptr, common, weight, common_indptr.size - 1)


def node_sums(first, indptr, indices, csc_indptr, csc_indices, common_indptr, common, weight, counts, sums):
    A, c, external, by_w = shares(indptr, indices, common_indptr, common, weight)
    sums[:] = (((c > 0) * (1 + c) / external @ A + A @ by_w) * (1 - A))[first : first + len(sums)]


def path_sums(first, indptr, indices, csc_indptr, csc_indices, common_indptr, common, weight, counts, reached, sums):
    A, _, external, by_w = shares(indptr, indices, common_indptr, common, weight)
    scores = np.einsum("uw,zw,zv,uz,wv->uv", A, A, A, external**-0.5, by_w, optimize=True) * (1 - A)
    sums[:] = scores[first : first + len(sums)]


def gather_csc(csc_indptr, csc_indices, csc_order, w, bias, x, y):
    y[:] = matrix(csc_indptr, csc_indices, w[csc_order], len(x)) @ wide(x) + wide(bias)[:, None]


def coo_rows(indptr, rows):
    rows[:] = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))


def scatter_coo(rows, indices, w, x, y):
    total = wide(y)
    np.add.at(total, indices, wide(w)[:, None] * wide(x)[rows])
    y[:] = total


def gradient_coo(rows, indices, x, dy, g):
    g[:] = (wide(x)[rows] * wide(dy)[indices]).sum(axis=1)


def backward_coo(rows, indices, w, x, dy, g, dx):
    gradient_coo(rows, indices, x, dy, g)
    scatter_coo(indices, rows, w, dy, dx)


def gradient_csr(indptr, indices, x, dy, g):
    row = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    g[:] = np.einsum("kj,kj->k", wide(x)[row], wide(dy)[indices])


def backward_csr(indptr, indices, w, x, dy, g, dx):
    gradient_csr(indptr, indices, x, dy, g)
    dx[:] = matrix(indptr, indices, w, len(dy)) @ wide(dy)


# --- topology --------------------------------------------------------------------------------------------------------


def free_positions(ranks, taken, positions):
    free = np.setdiff1d(np.arange(ranks.max(initial=0) + len(taken) + 1), taken)
    positions[:] = free[ranks]


def merge_moves(index, drop, grow, moved, source, fault):
    kept = np.setdiff1d(index, drop)
    fault[0] = NOT_LIVE if len(kept) + len(drop) > len(index) else LIVE_ALREADY if np.isin(grow, kept).any() else FINE
    if fault[0] == FINE:
        moved[:] = np.union1d(kept, grow)
        at = {place: k for k, place in enumerate(index.tolist())}
        source[:] = [NEW if place in grow else at[place] for place in moved.tolist()]


def keep_positions(index, removed, kept, numbers):
    left = np.count_nonzero(~removed)
    kept[:left], numbers[:left] = index[~removed], np.flatnonzero(~removed)


def merge_ranks(kept, numbers, ranks, moved, source):
    free = np.setdiff1d(np.arange(ranks.max(initial=0) + len(kept) + 1), kept)
    moved[:] = np.union1d(kept, free[ranks])
    at = dict(zip(kept.tolist(), numbers.tolist(), strict=True))
    source[:] = [at.get(place, NEW) for place in moved.tolist()]


def permute(source, before, fill, after):
    after[:] = [fill if k == NEW else before[k] for k in source]


# --- convolutions ----------------------------------------------------------------------------------------------------


def meetings(indptr, taps, down, right, y):
    """(weight k, filter, row, column, row of x that it meets there) of all that meet in a convolution."""
    for o in range(len(indptr) - 1):
        for k in range(indptr[o], indptr[o + 1]):
            for i, j in np.ndindex(*y.shape[:2]):
                yield k, o, i, j, i * down + j * right + taps[k]


def sparse_conv(indptr, taps, w, bias, down, right, x, y):
    total = np.zeros(y.shape) + wide(bias)[:, None]
    for k, o, i, j, row in meetings(indptr, taps, down, right, y):
        total[i, j, o] += wide(w[k]) * wide(x[row])
    y[:] = total


def sparse_conv_gradient(indptr, taps, down, right, x, dy, g):
    total = wide(g)
    for k, o, i, j, row in meetings(indptr, taps, down, right, dy):
        total[k] += wide(x[row]) @ wide(dy[i, j, o])
    g[:] = total


def sparse_conv_input(indptr, taps, w, down, right, dy, dx):
    total = np.zeros(dx.shape)
    for k, o, i, j, row in meetings(indptr, taps, down, right, dy):
        total[row] += wide(w[k]) * wide(dy[i, j, o])
    dx[:] = total


# --- a whole chain ---------------------------------------------------------------------------------------------------


def gather_features(X, rows, out):
    to_feature_major(X[rows], out)


def dense_layers(net, vector):
    """(weight (in, out), bias (out,), where each weight stands) of all layers."""
    for ins, outs, weight, bias, live, at, begin in net.table:
        if live < 0:
            flat = np.arange(ins * outs)
        else:
            flat = np.repeat(np.arange(ins), np.diff(net.indptr[at : at + ins + 1]))
            flat = flat * outs + net.indices[begin : begin + live]
        w = np.zeros(ins * outs)
        w[flat] = vector[weight : weight + len(flat)]
        yield w.reshape(ins, outs), wide(vector[bias : bias + outs]), flat


def sparse_mlp_forward(net, values, lanes, outputs):
    table = net.table
    here = lanes * table[0, 0]
    x = wide(outputs[:here]).reshape(-1, lanes)
    for layer, (w, b, _) in enumerate(dense_layers(net, values)):
        y = w.T @ x + b[:, None]
        x = np.maximum(y, 0) if layer < len(table) - 1 else y
        outputs[here : here + x.size] = x.reshape(-1)
        here += x.size
        x = wide(outputs[here - x.size : here]).reshape(x.shape)


def sparse_mlp_backward(net, values, lanes, outputs, deltas, grads):
    table = net.table
    ends = np.cumsum([table[0, 0], *table[:, 1]]) * lanes
    layers = list(dense_layers(net, values))
    for layer in range(len(table) - 1, -1, -1):
        w, _, flat = layers[layer]
        begin = ends[layer] - ends[0]
        dy = wide(deltas[begin : begin + lanes * table[layer, 1]]).reshape(-1, lanes)
        x = wide(outputs[ends[layer] - lanes * table[layer, 0] : ends[layer]]).reshape(-1, lanes)
        grads[table[layer, 2] : table[layer, 2] + len(flat)] = (x @ dy.T).reshape(-1)[flat]
        grads[table[layer, 3] : table[layer, 3] + len(dy)] = dy.sum(axis=1)
        if layer:
            deltas[begin - x.size : begin] = np.where(x > 0, w @ dy, 0).reshape(-1)


def sparse_mlp_gradient(X, y, rows, net, values, scale, workspace, labels, losses, grads):
    table = net.table
    n, k, lanes = rows.size, table[-1, 1], rows.size
    inputs, features = lanes * table[0, 0], lanes * table[:, 1].sum()
    passed, deltas = np.zeros(inputs + features), np.zeros(features)
    gather_features(X, rows, passed[:inputs].reshape(-1, lanes))
    sparse_mlp_forward(net, values, lanes, passed)
    dlogits = np.empty((n, k), X.dtype)
    softmax_cross_entropy(passed[-lanes * k :].reshape(k, lanes)[:, :n].T, y[rows], 0.0, scale, losses, dlogits)
    to_feature_major(dlogits, deltas[-lanes * k :].reshape(k, lanes))
    sparse_mlp_backward(net, values, lanes, passed, deltas, grads)


def chosen(data, indices, indptr, rows, inputs):
    """The rows as a dense matrix (n, in), in float64."""
    return matrix(indptr, indices, data, inputs)[rows]


def rows_forward(data, indices, indptr, rows, w, y):
    y[:] = chosen(data, indices, indptr, rows, len(w)) @ wide(w)


def rows_backward(data, indices, indptr, rows, dy, dw):
    dw[:] = chosen(data, indices, indptr, rows, len(dw)).T @ wide(dy)


def rows_forward_live(data, indices, indptr, rows, w_indptr, w_indices, w, y):
    rows_forward(data, indices, indptr, rows, matrix(w_indptr, w_indices, w, y.shape[1]), y)


def rows_backward_live(data, indices, indptr, rows, w_indptr, w_indices, dy, g):
    inputs = np.repeat(np.arange(w_indptr.size - 1), np.diff(w_indptr))
    g[:] = (chosen(data, indices, indptr, rows, w_indptr.size - 1)[:, inputs] * wide(dy)[:, w_indices]).sum(axis=0)
