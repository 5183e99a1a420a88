"""The fast path of training for a plain chain: Flatten, Dense, ReLU, Dense, ..., with cross-entropy.

Same arithmetic as the layers (they share their kernels), in one compiled call per thread and batch. Whether a model is
such a chain is a matter of its layers alone, so the same model always takes the same path.
"""
import numpy as np

from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.dense import MOSTLY_ZERO, Dense
from minnet.engine.losses import cross_entropy
from minnet.engine.pooling import Flatten
from minnet.kernels.chain import chain_gradient, chain_room


class Chain:
    """The sizes between the dense layers of a model, and where their parameters begin in its vector."""

    def __init__(self, dense):
        self.widths = np.array([layer.input_shape[0] for layer in dense] + [dense[-1].units])
        self.starts = np.array([[layer.weight.slice.start, -1 if layer.bias is None else layer.bias.slice.start]
                                for layer in dense])

    def gradient(self, X, y, rows, n, tape):
        """Write the gradient of these rows' part of the mean over n rows to `tape.grads`; returns their loss."""
        work, places = chain_room(len(rows), self.widths.tolist())
        losses = tape.buffer(self, "losses", (len(rows),), np.dtype(np.float64))
        chain_gradient(X.reshape(len(X), -1), y, rows, self.widths, self.starts, tape.values, tape.dtype.type(1 / n),
                       int(MOSTLY_ZERO * len(rows) * self.widths[0]), tape.buffer(self, "work", (work,)),
                       tape.buffer(self, "places", (places,), np.dtype(np.int32)), losses, tape.grads)
        return losses.sum() / n


def chain_of(model, loss):
    """The Chain of `model` under `loss`, or None where the layers have to be walked one by one."""
    if loss is not cross_entropy:
        return None
    layers = [layer for layer in _flat(model.tree) if not isinstance(layer, Flatten)]
    dense, between = layers[::2], layers[1::2]
    fits = (len(layers) % 2 and all(type(layer) is Dense and layer.weight.index is None for layer in dense)
            and all(type(layer) is ReLU for layer in between))
    return Chain(dense) if fits else None


def _flat(layer):
    """The layers of nested Sequentials, one behind the other."""
    if isinstance(layer, Sequential):
        return [leaf for child in layer.layers for leaf in _flat(child)]
    return [layer]
