"""A pass through an MLP of which some layers have live weights only, in one call.

As dense.py, with feature-major activations (see kernels/sparse/spmm.py). `outputs` holds x and the outputs of all
layers, one after the other; `deltas` the gradients of the same, but for x.
"""
from typing import NamedTuple

import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.layers.pointwise import relu
from minnet.kernels.mlp.dense import mask_dead
from minnet.kernels.simd.attributes import noalias
from minnet.kernels.simd.transpose import TILE, transpose_rows
from minnet.kernels.sparse.spmm import (
    backward_csr,
    gather_csc,
    gradient_csr,
    row_sums,
    to_feature_major,
    to_row_major,
    whole_vectors,
)

# The columns of `table`: inputs and outputs of a layer; where its weights and its bias begin in `values`; how many of
# its weights are live (DENSE: all, as a dense matrix); where its entries begin in `indptr` and in `indices`.
INS, OUTS, WEIGHT, BIAS, LIVE, INDPTR, INDICES = range(7)
DENSE = -1


class SparseMlp(NamedTuple):
    """The layers of a sparse MLP and their index arrays (see kernels/sparse/csr.py), one layer after the other.

    table: (L, 7) int64, its columns are INS, ...; indptr: int64, of each layer that of CSR (ins + 1), then that of CSC
    (outs + 1); indices: int32, of each layer its `indices` (live), then its csc_indices and its csc_order (live each).
    For small_batch.py indptr is that of CSR only, and `indices` are followed by the `rows` of COO.
    """

    table: object
    indptr: object
    indices: object


def sparse_mlp_workspace(rows, widths):
    """Return the length of `workspace` of `sparse_mlp_gradient` for that many rows."""
    return whole_vectors(rows) * (widths[0] + 2 * sum(widths[1:])) + 2 * rows * widths[-1]


@kernel
def gather_features(X, rows, out):
    """Compute out[j, i] = X[rows[i], j], and 0 beyond.

    X: (N, m); rows: (n,) integers in [0, N); out: (m, whole_vectors(n)).
    """
    noalias()
    n, m, lanes = np.int64(rows.size), np.int64(X.shape[1]), np.int64(out.shape[1])
    # lanes are whole tiles, of which the last may have fewer rows; features that are left over come after the tiles
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
def sparse_mlp_forward(net, values, lanes, outputs):
    """Compute the outputs of all layers, one after the other in `outputs` behind x; the last are the logits."""
    table, indptr, indices = net.table, net.indptr, net.indices
    here = 0
    for layer in range(table.shape[0]):
        ins, outs, live, weight = table[layer, INS], table[layer, OUTS], table[layer, LIVE], table[layer, WEIGHT]
        there = here + lanes * ins
        x, y = outputs[here:there].reshape(ins, lanes), outputs[there : there + lanes * outs].reshape(outs, lanes)
        bias = values[table[layer, BIAS] : table[layer, BIAS] + outs]
        if live == DENSE:
            np.dot(values[weight : weight + ins * outs].reshape(ins, outs).T, x, y)
            for o in range(outs):
                for j in range(lanes):
                    y[o, j] += bias[o]
        else:
            begins, at = table[layer, INDPTR] + ins + 1, table[layer, INDICES]
            csc_indptr, csc_indices = indptr[begins : begins + outs + 1], indices[at + live : at + 2 * live]
            csc_order = indices[at + 2 * live : at + 3 * live]
            gather_csc(csc_indptr, csc_indices, csc_order, values[weight : weight + live], bias, x, y)
        if layer < table.shape[0] - 1:
            flat = outputs[there : there + lanes * outs]
            relu(flat, flat)
        here = there


@kernel
def sparse_mlp_backward(net, values, lanes, outputs, deltas, grads):
    """Compute the gradients of all layers; `deltas` ends with that of the logits."""
    table, indptr, indices = net.table, net.indptr, net.indices
    end_output, end_delta = outputs.size, deltas.size
    for layer in range(table.shape[0] - 1, -1, -1):
        ins, outs, live, weight = table[layer, INS], table[layer, OUTS], table[layer, LIVE], table[layer, WEIGHT]
        dy = deltas[end_delta - lanes * outs : end_delta].reshape(outs, lanes)
        end_output -= lanes * outs
        end_delta -= lanes * outs
        x = outputs[end_output - lanes * ins : end_output].reshape(ins, lanes)
        row_sums(dy, grads[table[layer, BIAS] : table[layer, BIAS] + outs])
        size = ins * outs if live == DENSE else live
        w, g = values[weight : weight + size], grads[weight : weight + size]
        begins, at = table[layer, INDPTR], table[layer, INDICES]
        own_indptr = indptr[begins : begins + ins + 1]
        dx = deltas[max(end_delta - lanes * ins, 0) : end_delta]  # empty for the first layer, whose dx nobody reads
        if live == DENSE:
            np.dot(x, dy.T, g.reshape(ins, outs))
            if layer > 0:
                np.dot(w.reshape(ins, outs), dy, dx.reshape(ins, lanes))
        elif layer == 0:
            gradient_csr(own_indptr, indices[at : at + live], x, dy, g)
        else:
            backward_csr(own_indptr, indices[at : at + live], w, x, dy, g, dx.reshape(ins, lanes))
        if layer > 0:
            mask_dead(outputs[end_output - lanes * ins : end_output], dx)


@kernel
def sparse_mlp_gradient(X, y, rows, net, values, scale, workspace, labels, losses, grads):
    """Compute the cross-entropy of X[rows] against y[rows] in `losses`, and `scale` times its gradient in `grads`.

    X: (N, m); y: (N,) classes; rows: (n,) row numbers; net: SparseMlp; workspace: (sparse_mlp_workspace(...),) and
    labels: (n,) int32, scratch; losses: (n,) float64.
    """
    table = net.table
    n, k, lanes = rows.size, table[table.shape[0] - 1, OUTS], whole_vectors(rows.size)
    features = table[:, OUTS].sum()
    # the workspace: x and all outputs; dy of all layers; the logits and their gradients, row-major
    inputs = lanes * table[0, INS]
    outputs = workspace[: inputs + lanes * features]
    deltas = workspace[inputs + lanes * features : inputs + 2 * lanes * features]
    logits = workspace[workspace.size - 2 * n * k : workspace.size - n * k].reshape(n, k)
    dlogits = workspace[workspace.size - n * k :].reshape(n, k)
    gather_features(X, rows, outputs[:inputs].reshape(table[0, INS], lanes))
    sparse_mlp_forward(net, values, lanes, outputs)
    to_row_major(outputs[outputs.size - lanes * k :].reshape(k, lanes), logits)
    for i in range(n):
        labels[i] = y[rows[i]]
    softmax_cross_entropy(logits, labels, X.dtype.type(0), scale, losses, dlogits)
    to_feature_major(dlogits, deltas[deltas.size - lanes * k :].reshape(k, lanes))
    sparse_mlp_backward(net, values, lanes, outputs, deltas, grads)
