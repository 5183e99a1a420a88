"""Live paths: what the mask alone proves about every weight, before any data is seen.

    carries, needed = Skeleton(model).paths(model.mask)       # two bool vectors of the model's index space
    effective_sparsity(model)                                 # the share of weights that is masked or on no live path

A weight carries something if a path of live weights leads from the input through it to the logits. Paths are counted
by one ordinary pass, forward and backward, through the model's skeleton: the same tree with weights that are 1 where
live and 0 where masked, no biases, activations that let everything through, and max pools that take in all of their
window. The gradient of a weight is then the sum, over the places where it is used, of (paths from the input to there)
times (paths from there to the logits): SynFlow's score (Tanaka et al., 2020, eq. 2) where the weights are the mask.
"""
import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.containers import build_child
from minnet.engine.layer import Layer, layer_from_config
from minnet.engine.layers import LAYERS
from minnet.engine.pooling import AvgPool2d
from minnet.engine.tape import Tape


class Mark(Layer):
    """Stands for an activation: y = 1 where anything arrives, else 0; so that counts do not overflow in deep nets."""

    def __init__(self, slope=None, *, name=None):
        self.slope = slope
        self.name = name

    def forward(self, x, tape):
        """NaN, from counts beyond the largest number, is something."""
        return np.not_equal(x, 0, out=tape.buffer(self, "y", x.shape), casting="unsafe")

    def backward(self, dy, tape):
        """What is needed above is needed below."""
        return np.not_equal(dy, 0, out=tape.buffer(self, "dx", dy.shape), casting="unsafe")


# A layer that is not linear needs a stand-in that is, and that lets through what it lets through.
STAND_INS = {"ReLU": Mark, "LeakyReLU": Mark, "Tanh": Mark, "Sigmoid": Mark, "MaxPool2d": AvgPool2d}


class Skeleton:
    """The linear tree in which the live paths of `model` are counted; it has the same parameters."""

    def __init__(self, model):
        self.model = model
        self.tree = layer_from_config(model.tree.config(), {**LAYERS, **STAND_INS})
        build_child(self.tree, model.input_shape)
        for leaf, original in zip(self.tree.leaves(), model.tree.leaves(), strict=True):
            for p in original.parameters:
                setattr(leaf, p.kind, p)
        self.tree.trace(False)

    def paths(self, live):
        """(carries, needed) for the mask `live`: bool vectors, False wherever `live` is.

        carries: something that varies with the input passes here and reaches the logits. needed: whatever is read
        here, even a constant, reaches the logits.
        """
        return self.carries(live), self._gradient(np.ones_like(live), live)

    def carries(self, live):
        """The first of `paths` alone."""
        return self._gradient(live, live)

    def _gradient(self, forward, backward):
        """Where paths through `forward` to a live weight go on through `backward` to the logits."""
        tape = Tape(self.model, self._values(forward))
        x = np.ones((1, *self.model.input_shape), tape.dtype)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            y = self.tree.forward(x, tape)
            tape.values[...] = self._values(backward)
            self.tree.backward(np.ones_like(y), tape)
        return (tape.grads != 0) & backward

    def _values(self, live):
        """Weights and gains are the mask, biases and shifts 0; the statistics leave everything as it is."""
        values = np.zeros(len(live), self.model.dtype)
        for p in self.model.parameters.values():
            if p.kind in ("weight", "gain"):
                p.of(values)[...] = p.of(live)
            elif p.kind == "variance":
                p.of(values)[...] = 1
        return values


def effective_sparsity(model):
    """The fraction of the model's weights that are masked, or live for nothing: no path of live weights leads from the
    input through them to the logits, so no signal or no gradient reaches them (Vysogorets and Kempe, 2023,
    "Connectivity matters: neural network pruning through the lens of effective sparsity", section 2).

    At least `model.sparsity`. Biases begin no path: what they send does not depend on the input. One pass, forward and
    backward, of one sample.
    """
    total = sum(p.size for p in model.weight_parameters)
    on_paths = np.count_nonzero(Skeleton(model).carries(model.mask)[: model.n_weights])
    return 1.0 - int(on_paths) / total if total else 0.0
