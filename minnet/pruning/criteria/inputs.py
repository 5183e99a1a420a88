"""Criteria from the inputs of a layer: the size of a weight times the size of the inputs that it multiplies.

x_i is the input of row i of the layer's matrix (K, out), over all images and, for a convolution, all windows, padding
included. All need data and take one forward pass over the sample, in use, and a walk over the inputs of each layer.
"""
import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.engine.tape import Tape
from minnet.errors import check_real
from minnet.kernels.layers.pointwise import add_squares
from minnet.pruning.criteria.quadratic import matrices, write
from minnet.pruning.traits import Data, Traits


def wanda(model: Model, data: Data) -> np.ndarray:
    """Score each weight by its size times the norm of its inputs.

    ``|w_ij| ||x_i||_2``: how far output j moves, in Euclidean norm over the sample, when w_ij is removed.

    The paper compares weights into one output with each other: `distribution="rowwise"`. 1 forward pass and a walk over
    the inputs of each layer.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        In the model's dtype.

    References
    ----------
    Sun et al., 2024, "A simple and effective pruning approach for large language models", eq. 1.
    """
    scores = np.abs(model.weights)
    for p, norms in _norms(model, draw_sample(model, data)):
        p.of(scores)[...] *= norms.astype(model.dtype)
    return scores


def ria(model: Model, data: Data, power: float = 0.5) -> np.ndarray:
    """Score each weight by its relative importance and the norm of its inputs.

    ``|w_ij| (1 / sum over i of |w_ij| + 1 / sum over j of |w_ij|) ||x_i||_2^power``: the first factor lets no input and
    no output lose all of its weights early.

    The paper compares weights into one output with each other, as `wanda` does. 1 forward pass and a walk over the
    inputs of each layer.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        Whose inputs pass through the model; labels are not used.
    power : float, default 0.5
        The a of the paper, at least 0.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64; 0 where both sums are 0.

    Raises
    ------
    InvalidValue
        If `power` is below 0.
    Unsupported
        If a layer that was born sparse is too large for its dense shape.

    References
    ----------
    Zhang et al., 2024, "Plug-and-play: an efficient post-training pruning method for large language models".
    """
    check_real("power", power, 0)
    scores = np.zeros(model.n_weights)
    for p, norms in _norms(model, draw_sample(model, data)):
        layer = model.layers[p.layer]
        size = np.abs(matrices(layer, p.value).astype(np.float64))  # (groups, K, outputs of a group)
        parts = [size.sum(axis=axis, keepdims=True) for axis in (1, 2)]
        write(layer, sum(size / np.where(part > 0, part, 1) for part in parts), scores)
        p.of(scores)[...] *= norms**power
    return scores


def _norms(model, sample):
    """Return pairs (weight, norms): ``||x_i||_2`` of the inputs of each weight, float64, broadcast to its shape."""
    weights = model.weight_parameters
    squares = {p: np.zeros(model.layers[p.layer].input_shape) for p in weights}
    tape = Tape(model)
    with one_blas_thread():
        for X, _ in sample.batches():
            model.forward(X.astype(tape.dtype, copy=False), tape)
            for p in weights:
                x = model.layers[p.layer].saved_input(tape)
                add_squares(x.reshape(len(x), -1), squares[p].reshape(-1))
    return [(p, _norms_of(model, p, squares[p])) for p in weights]


def _norms_of(model, p, squares):
    """Compute the norms of one layer from the squares of its inputs, summed over the images.

    The gradient of the sum of a convolution's outputs is, for each weight, the sum over windows of its inputs.
    """
    layer = model.layers[p.layer]
    if hasattr(layer, "window"):
        ones = np.ones((1, *layer.output_shape))
        return np.sqrt(layer.weight_vjp(squares[None], ones, Tape(model, np.empty(0))))
    rows = np.sqrt(squares)  # (in,)
    return rows[:, None] if p.index is None else rows[p.index // p.shape[-1]]


CRITERIA = {f.__name__: f for f in (wanda, ria)}
TRAITS = {name: Traits(needs="data", passes="1 forward, 1 walk over the inputs") for name in CRITERIA}
