"""The fast path of training for a plain chain: Flatten, Dense, ReLU, Dense, ..., with cross-entropy.

Same arithmetic as the layers (they share their kernels), in one compiled call per thread: see chain_steps.py. Whether a
model is such a chain is a matter of its layers alone, so the same model always takes the same path. Some or all of the
Dense layers may be SparseDense.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.dense import Dense
from minnet.engine.losses import cross_entropy
from minnet.engine.pooling import Flatten
from minnet.engine.sparse import FEWEST_WEIGHTS, SparseDense
from minnet.kernels.mlp.sparse import sparse_chain_gradient, sparse_chain_room
from minnet.kernels.sparse.spmm import find_inputs, find_places, turn_places


class Chain:
    """The sizes between the dense layers of a model, and where their parameters begin in its vector."""

    def __init__(self, dense):
        self.widths = np.array([layer.input_shape[0] for layer in dense] + [dense[-1].units])
        self.starts = np.array([[layer.weight.slice.start, -1 if layer.bias is None else layer.bias.slice.start]
                                for layer in dense])


class SparseChain:
    """The same where layers are born sparse: their sizes, where their numbers begin, and their places, all in one."""

    def __init__(self, dense, model):
        self.dense, self.model = dense, model
        self.widths = [dense[0].input_shape[0]] + [layer.units for layer in dense]
        self.known = None, None  # for which batches and topology, and the places

    def gradient(self, X, y, rows, n, tape):
        """Write the gradient of these rows' part of the mean over n rows to `tape.grads`; returns their loss."""
        table, first, unit = self.places()
        work = tape.buffer(self, "work", (sparse_chain_room(len(rows), self.widths),))
        losses = tape.buffer(self, "losses", (len(rows),), np.dtype(np.float64))
        labels = tape.buffer(self, "labels", (len(rows),), np.dtype(np.int32))
        sparse_chain_gradient(X.reshape(len(X), -1), y, rows, table, first, unit, tape.values, tape.dtype.type(1 / n),
                              work, labels, losses, tape.grads)
        return losses.sum() / n

    def places(self, few=False):
        """(table, first, unit) of sparse_chain.py, or for batches of few rows those of shared_layers.py."""
        known, arrays = self.known
        now = few, self.model.topology
        if known != now:
            arrays = self.find_places(few)
            self.known = now, arrays  # both at once: threads share them
        return arrays

    def find_places(self, few):
        """The same, made anew."""
        table, indices, sizes = [], [], (0, 0)
        for layer in self.dense:
            weight, index, (ins, outs) = layer.weight, layer.weight.index, layer.weight.shape
            if index is None and weight.size < FEWEST_WEIGHTS:  # too few for BLAS to be worth asking
                index = np.arange(weight.size)
            live = -1 if index is None else len(index)
            table.append([ins, outs, weight.slice.start, layer.bias.slice.start, live, *sizes])
            indices.append(index)
            if live >= 0:
                sizes = sizes[0] + ins + 1 + (not few) * (outs + 1), sizes[1] + live * (2 if few else 3)
        table, first, unit = np.array(table), np.empty(sizes[0], np.int64), np.empty(sizes[1], np.int32)
        threads.run([partial(find_layer, row, index, few, first, unit)
                     for row, index in zip(table, indices, strict=True) if index is not None])
        return table, first, unit


def find_layer(row, index, few, first, unit):
    """The places of one layer, whose `row` of the table says where in `first` and `unit` they belong."""
    ins, outs, _, _, live, begins, at = row
    own_first, own_unit = first[begins : begins + ins + 1], unit[at : at + live]
    find_places(index, outs, own_first, own_unit)
    if few:
        find_inputs(own_first, unit[at + live : at + 2 * live])
    else:
        turn_places(own_first, own_unit, first[begins + ins + 1 : begins + ins + outs + 2],
                    unit[at + live : at + 2 * live], unit[at + 2 * live : at + 3 * live])


def chain_of(model, loss):
    """The Chain or SparseChain of `model` under `loss`, or None where the layers have to be walked one by one."""
    if loss is not cross_entropy:
        return None
    layers = [layer for layer in _flat(model.tree) if not isinstance(layer, Flatten)]
    dense, between = layers[::2], layers[1::2]
    fits = (len(layers) % 2 and all(type(layer) in (Dense, SparseDense) for layer in dense)
            and all(type(layer) is ReLU for layer in between))
    if not fits or not any(type(layer) is SparseDense for layer in dense):
        return Chain(dense) if fits else None
    return SparseChain(dense, model) if all(layer.bias is not None for layer in dense) else None


def _flat(layer):
    """The layers of nested Sequentials, one behind the other."""
    if isinstance(layer, Sequential):
        return [leaf for child in layer.layers for leaf in _flat(child)]
    return [layer]
