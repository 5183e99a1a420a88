"""Chains: models of the form Flatten, Dense, ReLU, Dense, ..., whose passes and steps have kernels of their own.

Some or all of the Dense layers may be SparseDense. Whether a model is such a chain depends on its layers alone.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.dense import Dense
from minnet.engine.pooling import Flatten
from minnet.engine.sparse import SparseDense
from minnet.kernels.mlp.sparse import SparseMlp
from minnet.kernels.sparse.csr import coo_rows, csr_to_csc, flat_to_csr

BY_OUTPUT, BY_INPUT = range(2)  # how a sparse chain's positions are listed beside CSR: see SparseChain.positions


class Chain:
    """The sizes between the dense layers of a model, and where their parameters begin in its vector."""

    def __init__(self, dense):
        self.widths = np.array([layer.input_shape[0] for layer in dense] + [dense[-1].units])
        self.starts = np.array([[layer.weight.slice.start, -1 if layer.bias is None else layer.bias.slice.start]
                                for layer in dense])


class SparseChain:
    """The same where layers are born sparse: their sizes, where their numbers begin, and their positions.

    Dense layers of fewer than `fewest` weights are treated as sparse ones whose weights are all live: they are too
    small for a call of BLAS to be worth it.
    """

    def __init__(self, dense, model, fewest):
        self.dense, self.model, self.fewest = dense, model, fewest
        self.widths = [dense[0].input_shape[0]] + [layer.units for layer in dense]
        self.known = None, None  # (form, topology), and the arrays for them

    def positions(self, form):
        """Return the SparseMlp of kernels/mlp/sparse.py (BY_OUTPUT) or of small_batch.py (BY_INPUT)."""
        known, arrays = self.known
        now = form, self.model.topology
        if known != now:
            arrays = self.find_positions(form)
            self.known = now, arrays  # both at once: threads share them
        return arrays

    def find_positions(self, form):
        """Make these arrays anew, a layer in each thread."""
        table, indexes, sizes = [], [], (0, 0)
        for layer in self.dense:
            weight, index, (ins, outs) = layer.weight, layer.weight.index, layer.weight.shape
            if index is None and weight.size < self.fewest:
                index = np.arange(weight.size)
            live = -1 if index is None else len(index)
            table.append([ins, outs, weight.slice.start, layer.bias.slice.start, live, *sizes])
            indexes.append(index)
            if live >= 0:
                by_output = form == BY_OUTPUT
                sizes = sizes[0] + ins + 1 + by_output * (outs + 1), sizes[1] + live * (3 if by_output else 2)
        table, indptr, indices = np.array(table), np.empty(sizes[0], np.int64), np.empty(sizes[1], np.int32)
        threads.run([partial(fill_layer, row, index, form, indptr, indices)
                     for row, index in zip(table, indexes, strict=True) if index is not None])
        return SparseMlp(table, indptr, indices)


def fill_layer(row, index, form, indptr, indices):
    """Write the positions of one layer, whose `row` of the table says where they begin in `indptr` and `indices`."""
    ins, outs, _, _, live, begins, at = row
    own_indptr, own_indices = indptr[begins : begins + ins + 1], indices[at : at + live]
    flat_to_csr(index, outs, own_indptr, own_indices)
    if form == BY_INPUT:
        coo_rows(own_indptr, indices[at + live : at + 2 * live])
    else:
        csr_to_csc(own_indptr, own_indices, indptr[begins + ins + 1 : begins + ins + outs + 2],
                    indices[at + live : at + 2 * live], indices[at + 2 * live : at + 3 * live])


def chain_of(model, fewest):
    """Return the Chain or SparseChain of `model`, or None where its layers have to be walked one by one."""
    layers = [layer for layer in _leaves(model.tree) if type(layer) is not Flatten]
    # Every other layer is dense, and the ones between are ReLU: the kernels know no other form.
    dense, between = layers[::2], layers[1::2]
    fits = (len(layers) % 2 and all(type(layer) in (Dense, SparseDense) for layer in dense)
            and all(type(layer) is ReLU for layer in between))
    if not fits or not any(type(layer) is SparseDense for layer in dense):
        return Chain(dense) if fits else None
    return SparseChain(dense, model, fewest) if all(layer.bias is not None for layer in dense) else None


def _leaves(layer):
    """Return the layers of nested Sequentials, one after the other."""
    if isinstance(layer, Sequential):
        return [leaf for child in layer.layers for leaf in _leaves(child)]
    return [layer]
