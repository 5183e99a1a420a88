"""Criteria from what weights see: the size of a weight times the size of the inputs that it multiplies.

x_i is what meets row i of the layer's matrix (K, out), over all images and, for a convolution, all windows, padding
included. All take one forward pass over the sample, in use, and return (n_weights,) float64.
"""
import numpy as np

from minnet import threads
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.sample import draw_sample
from minnet.engine.tape import Tape
from minnet.errors import check_real
from minnet.pruning.facts import Facts
from minnet.pruning.resume import Kept


def wanda(model, data):
    """|w_ij| ||x_i||_2: how far output j moves, in Euclidean norm over the sample, when w_ij goes (Sun et al., 2024, "A
    simple and effective pruning approach for large language models", eq. 1).

    Returns and needs: see above. The paper compares weights into one output with each other: `distribution="rowwise"`.
    """
    return np.abs(model.weights) * np.sqrt(_squares_seen(model, draw_sample(model, data)))


def ria(model, data, power=0.5):
    """|w_ij| (1 / sum over i of |w_ij| + 1 / sum over j of |w_ij|) ||x_i||_2^power: relative importance and activations
    (Zhang et al., 2024, "Plug-and-play: an efficient post-training pruning method for large language models"), whose
    first factor lets no input and no output lose all of its weights early.

    Returns and needs: see above. `power` is their a, at least 0. The paper compares weights into one output with each
    other, as `wanda` does. 0 where both sums are 0.
    """
    check_real("power", power, 0)
    sample, scores = draw_sample(model, data), np.zeros(model.n_weights)
    for p in model.weight_parameters:
        size = np.abs(_by_group(model.layers[p.layer], p.value).astype(np.float64))
        parts = [size.sum(axis=axis, keepdims=True) for axis in (0, 2)]
        scores[p.slice] = sum(size / np.where(part > 0, part, 1) for part in parts).reshape(-1)
    return scores * np.sqrt(_squares_seen(model, sample)) ** power


def _by_group(layer, weight):
    """The weight as (K, groups, outputs of a group): outputs of one group read the same inputs."""
    groups = layer.input_shape[-1] if isinstance(layer, DepthwiseConv2d) else 1
    return weight.reshape(-1, groups, weight.shape[-1] // groups)


def _squares_seen(model, sample):
    """(n_weights,) float64: the sum over images and windows of x^2, of the x that each weight multiplies.

    The sum over images is one image of squares, and the gradient of the sum of a layer's outputs is, for each weight,
    the sum over windows of what it multiplies.
    """
    squares, tape = {}, Tape(model, np.zeros(len(model.values)))
    weighted = [model.layers[p.layer] for p in model.weight_parameters]
    with threads.one_blas_thread():
        for X, _ in sample.batches():
            kept = Kept(model, X, model.values)
            for layer in weighted:
                x = kept.inputs[layer]
                squares[layer] = squares.get(layer, 0) + np.einsum("n...,n...->...", x, x, dtype=np.float64)[None]
        for layer in weighted:
            layer.backward(np.ones_like(layer.forward(squares[layer], tape)), tape)
    return tape.grads[: model.n_weights]


CRITERIA = {f.__name__: f for f in (wanda, ria)}
FACTS = {name: Facts(needs="data", passes="1 forward") for name in CRITERIA}
