"""Plain twins of the kernels that train with live weights alone (see reference.py)."""

import numpy as np
from reference import softmax_cross_entropy, wide

from minnet.kernels.sparse.topology import FINE, LIVE_ALREADY, NEW, NOT_LIVE


def matrix(first, unit, w, units):
    """The weights as a dense matrix (in, units), in float64."""
    dense = np.zeros((first.size - 1, units))
    dense[np.repeat(np.arange(first.size - 1), np.diff(first)), unit] = w
    return dense


def by_feature(x, y):
    y[:] = 0
    y[:, : len(x)] = x.T


def by_row(x, y):
    y[:] = x[:, : len(y)].T


def row_sums(dy, out):
    out[:] = wide(dy).sum(axis=1)


def find_places(index, outputs, first, unit):
    first[:] = np.searchsorted(index // outputs, np.arange(first.size))
    unit[:] = index % outputs


def turn_places(first, unit, u_first, source, place):
    place[:] = np.argsort(unit, kind="stable")
    source[:] = np.repeat(np.arange(first.size - 1), np.diff(first))[place]
    u_first[:] = np.searchsorted(unit[place], np.arange(u_first.size))


def pull_live(u_first, source, place, w, bias, x, y):
    y[:] = matrix(u_first, source, w[place], len(x)) @ wide(x) + wide(bias)[:, None]


def find_inputs(first, row):
    row[:] = np.repeat(np.arange(first.size - 1), np.diff(first))


def push_each(row, unit, w, x, y):
    total = wide(y)
    np.add.at(total, unit, wide(w)[:, None] * wide(x)[row])
    y[:] = total


def each_gradient(row, unit, x, dy, g):
    g[:] = (wide(x)[row] * wide(dy)[unit]).sum(axis=1)


def each_backward(row, unit, w, x, dy, g, dx):
    each_gradient(row, unit, x, dy, g)
    push_each(unit, row, w, dy, dx)


def live_gradient(first, unit, x, dy, g):
    row = np.repeat(np.arange(first.size - 1), np.diff(first))
    g[:] = np.einsum("kj,kj->k", wide(x)[row], wide(dy)[unit])


def live_backward(first, unit, w, x, dy, g, dx):
    live_gradient(first, unit, x, dy, g)
    dx[:] = matrix(first, unit, w, len(dy)) @ wide(dy)


# --- places that move ------------------------------------------------------------------------------------------------


def free_places(ranks, taken, places):
    free = np.setdiff1d(np.arange(ranks.max(initial=0) + len(taken) + 1), taken)
    places[:] = free[ranks]


def merge_moves(index, drop, grow, moved, source, fault):
    kept = np.setdiff1d(index, drop)
    fault[0] = NOT_LIVE if len(kept) + len(drop) > len(index) else LIVE_ALREADY if np.isin(grow, kept).any() else FINE
    if fault[0] == FINE:
        moved[:] = np.union1d(kept, grow)
        at = {place: k for k, place in enumerate(index.tolist())}
        source[:] = [NEW if place in grow else at[place] for place in moved.tolist()]


def keep_others(index, gone, kept, where):
    left = np.count_nonzero(~gone)
    kept[:left], where[:left] = index[~gone], np.flatnonzero(~gone)


def merge_ranks(kept, where, ranks, moved, source):
    free = np.setdiff1d(np.arange(ranks.max(initial=0) + len(kept) + 1), kept)
    moved[:] = np.union1d(kept, free[ranks])
    at = dict(zip(kept.tolist(), where.tolist(), strict=True))
    source[:] = [at.get(place, NEW) for place in moved.tolist()]


def carry(source, before, fill, after):
    after[:] = [fill if k == NEW else before[k] for k in source]


# --- convolutions ----------------------------------------------------------------------------------------------------


def meetings(first, tap, down, right, y):
    """(weight k, filter, row, column, row of x that it meets there) of all that meet in a convolution."""
    for o in range(len(first) - 1):
        for k in range(first[o], first[o + 1]):
            for i, j in np.ndindex(*y.shape[:2]):
                yield k, o, i, j, i * down + j * right + tap[k]


def live_conv(first, tap, w, bias, down, right, x, y):
    total = np.zeros(y.shape) + wide(bias)[:, None]
    for k, o, i, j, row in meetings(first, tap, down, right, y):
        total[i, j, o] += wide(w[k]) * wide(x[row])
    y[:] = total


def live_conv_gradient(first, tap, down, right, x, dy, g):
    total = wide(g)
    for k, o, i, j, row in meetings(first, tap, down, right, dy):
        total[k] += wide(x[row]) @ wide(dy[i, j, o])
    g[:] = total


def live_conv_input(first, tap, w, down, right, dy, dx):
    total = np.zeros(dx.shape)
    for k, o, i, j, row in meetings(first, tap, down, right, dy):
        total[row] += wide(w[k]) * wide(dy[i, j, o])
    dx[:] = total


# --- a whole chain ---------------------------------------------------------------------------------------------------


def take_features(X, rows, out):
    by_feature(X[rows], out)


def dense_layers(table, first, unit, vector):
    """(weight (in, out), bias (out,), where each weight stands) of all layers."""
    for ins, outs, weight, bias, live, at, begin in table:
        if live < 0:
            flat = np.arange(ins * outs)
        else:
            flat = np.repeat(np.arange(ins), np.diff(first[at : at + ins + 1])) * outs + unit[begin : begin + live]
        w = np.zeros(ins * outs)
        w[flat] = vector[weight : weight + len(flat)]
        yield w.reshape(ins, outs), wide(vector[bias : bias + outs]), flat


def sparse_chain_forward(table, first, unit, values, lanes, work):
    here = lanes * table[0, 0]
    x = wide(work[:here]).reshape(-1, lanes)
    for layer, (w, b, _) in enumerate(dense_layers(table, first, unit, values)):
        y = w.T @ x + b[:, None]
        x = np.maximum(y, 0) if layer < len(table) - 1 else y
        work[here : here + x.size] = x.reshape(-1)
        here += x.size
        x = wide(work[here - x.size : here]).reshape(x.shape)


def sparse_chain_backward(table, first, unit, values, lanes, work, deltas, grads):
    ends = np.cumsum([table[0, 0], *table[:, 1]]) * lanes
    layers = list(dense_layers(table, first, unit, values))
    for layer in range(len(table) - 1, -1, -1):
        w, _, flat = layers[layer]
        begin = ends[layer] - ends[0]
        dy = wide(deltas[begin : begin + lanes * table[layer, 1]]).reshape(-1, lanes)
        x = wide(work[ends[layer] - lanes * table[layer, 0] : ends[layer]]).reshape(-1, lanes)
        grads[table[layer, 2] : table[layer, 2] + len(flat)] = (x @ dy.T).reshape(-1)[flat]
        grads[table[layer, 3] : table[layer, 3] + len(dy)] = dy.sum(axis=1)
        if layer:
            deltas[begin - x.size : begin] = np.where(x > 0, w @ dy, 0).reshape(-1)


def sparse_chain_gradient(X, y, rows, table, first, unit, values, scale, work, labels, losses, grads):
    n, k, lanes = rows.size, table[-1, 1], rows.size
    inputs, features = lanes * table[0, 0], lanes * table[:, 1].sum()
    passed, deltas = np.zeros(inputs + features), np.zeros(features)
    take_features(X, rows, passed[:inputs].reshape(-1, lanes))
    sparse_chain_forward(table, first, unit, values, lanes, passed)
    dlogits = np.empty((n, k), X.dtype)
    softmax_cross_entropy(passed[-lanes * k :].reshape(k, lanes)[:, :n].T, y[rows], 0.0, scale, losses, dlogits)
    by_feature(dlogits, deltas[-lanes * k :].reshape(k, lanes))
    sparse_chain_backward(table, first, unit, values, lanes, passed, deltas, grads)
