"""Criteria from the curvature of the loss: how much it rises with a weight, to second order.

L is the mean loss over the sample, g its gradient and H its Hessian, in use. All compute in float64 and return
(n_weights,) float64, changes of the loss, which add up in a unit. Masked weights are left out of every matrix. They
score 0, and so does a weight on which the loss of no image depends.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.hessian import curvature, hessian_vector, square_gradient
from minnet.engine.model import Model
from minnet.engine.sample import Sample, draw_sample, gradient
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, check_choice, check_count, check_positive
from minnet.pruning.criteria.quadratic import DAMPING, check_finite, invert, ridge
from minnet.pruning.pieces import positions_in
from minnet.pruning.traits import Data, Traits

MOST_LIVE = 4096        # rows of an exact Hessian: as many Hessian-vector products, and a minute to invert it
MOST_NUMBERS = 2**28    # in all blocks of a Fisher matrix together: 2 GB
BLOCK = 64              # weights of a block of the Fisher matrix
IMAGES = 32             # whose gradients are added to the blocks at once
TASK_NUMBERS = 2**17    # in the blocks of one task


def obd(model: Model, data: Data, variant: str = "gauss_newton") -> np.ndarray:
    """Score each weight by the change of the loss when it becomes 0 and all others stay.

    ``1/2 h w^2``: to second order at a minimum, h the diagonal of H by backpropagation.

    h is the diagonal of H in the last layer, and sometimes before it: `engine.hessian.curvature` says where not. With
    one linear layer and mse the loss is quadratic, and the change exact. 1 forward pass and about 2 backward passes
    ("anywhere" 1 more of each).

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    variant : str, default "gauss_newton"
        - "gauss_newton": without the terms in f'' of the activations, the paper's Levenberg-Marquardt approximation:
          never below 0. For ReLU, whose f'' is 0, it makes no difference.
        - "hessian": with them; below 0 where the curvature is negative.
        - "anywhere": -g w + 1/2 h w^2, with them, for weights that are at no minimum; below 0 where the loss falls.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, changes of the loss.

    Raises
    ------
    UnknownName
        If there is no such variant.
    Unsupported
        If a layer has no curvature.

    References
    ----------
    LeCun, Denker and Solla, 1990, "Optimal brain damage", section 2.
    """
    return check_choice("variant", variant, VARIANTS)(model, draw_sample(model, data))


def obs(model: Model, data: Data, damping: float = DAMPING) -> np.ndarray:
    """Score each weight by the change of the loss when it becomes 0 and all others adapt.

    ``w_q^2 / (2 [H^-1]_qq)``: to second order at a minimum, all other trained values compensating for w_q.
    `compensation.obs_update` moves them.

    H is exact, a Hessian-vector product for each row, over live weights, biases, gains and shifts. Directions of
    negative curvature count as flat. About 3 forward and backward passes for each row.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    damping : float, default 0.01
        This times the mean of ``|H_ii|`` is added to the diagonal, so that flat directions are not free (with 0 they
        are).

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, changes of the loss.

    Raises
    ------
    InvalidValue
        If there are more than 4096 rows, or `damping` is below 0.
    NotFinite
        If second derivatives are NaN or infinity.
    Unsupported
        If a layer has no tangent.

    References
    ----------
    Hassibi and Stork, 1993, "Second order derivatives for network pruning: optimal brain surgeon", eq. 5.
    """
    sample, scores = draw_sample(model, data), np.zeros(len(model.values))
    at = np.flatnonzero(model.mask[: model.n_trainable])
    H = hessian(model, sample, at)
    alive = H.any(axis=1)  # rows of zeros would make H singular, and their weights cost nothing
    at, H = at[alive], H[np.ix_(alive, alive)]
    scores[at] = model.values[at].astype(np.float64) ** 2 / (2 * np.diag(invert(H, ridge(H, damping))))
    return scores[: model.n_weights]


def hessian(model: Model, sample: Sample, at: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """Compute H (r, r), float64, among the entries `at` (r,) of the flat vector.

    It is taken at `values`, the model's own by default. Raises InvalidValue where r is above MOST_LIVE.
    """
    if len(at) > MOST_LIVE:
        raise InvalidValue(f"an exact Hessian of {len(at)} live weights and biases is too large (the most is "
                           f"{MOST_LIVE}): take woodfisher, or layer_obs, obc and compensation.least_squares, which "
                           "take one layer at a time")
    H, shards = np.empty((len(at), len(at))), threads.n_threads()

    def fill(rows):
        unit = np.zeros(len(model.values))
        for row in rows:  # H e_row is a row of H
            unit[at[row]] = 1
            H[row] = hessian_vector(model, sample, unit, values)[at]
            unit[at[row]] = 0

    threads.run([partial(fill, range(i, len(at), shards)) for i in range(shards)])
    return (H + H.T) / 2


def woodfisher(model: Model, data: Data, damping: float = DAMPING, block: int | None = BLOCK) -> np.ndarray:
    """Score each weight as `obs` does, by the inverse of the empirical Fisher matrix.

    ``w_q^2 / (2 [F^-1]_qq)``, F = the mean over images of ``g_n g_n'`` in place of H, g_n being the gradient of image n
    alone.

    The inverse is updated a few images at a time, by Woodbury's identity. With block=1 and little damping it is
    `fisher`. 1 forward and about 2 backward passes, and 1 of each for each image; memory: n_weights * block numbers.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    damping : float, default 0.01
        This, above 0, times the mean diagonal of F is added to it; weights without a gradient are left out of that
        mean.
    block : int or None, default 64
        F is taken in blocks along the diagonal, each of at most this number of weights into one output; None is one
        block, all weights of the model.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, changes of the loss.

    Raises
    ------
    InvalidValue
        If the blocks would hold too many numbers, or `damping` or `block` is out of range.
    NotFinite
        If gradients are NaN or infinity.
    Unsupported
        If a layer has no square_gradient.

    References
    ----------
    Singh and Alistarh, 2020, "WoodFisher: efficient second-order approximation for neural network compression",
    sections 3 and 4.
    """
    damping, blocks = check_positive("damping", damping), _blocks(model, block)
    sample, weights = draw_sample(model, data), model.weights.astype(np.float64)
    squares = np.where(model.mask, square_gradient(model, sample), 0)[: model.n_weights]
    scores = np.zeros(model.n_weights + 1)  # the last entry pads the blocks
    check_finite("the gradients", squares)
    if not squares.any():
        return scores[:-1]
    added = damping * squares[squares > 0].mean()
    inverses = [np.tile(np.eye(at.shape[1]) / added, (len(at), 1, 1)) for at in blocks]
    with one_blas_thread():
        for gradients in _gradients(model, sample):
            threads.run([partial(_absorb, gradients, at[part], len(sample), inverse[part])
                         for at, inverse in zip(blocks, inverses, strict=True) for part in _parts(at)])
    for at, inverse in zip(blocks, inverses, strict=True):
        scores[at] = 1 / (2 * np.diagonal(inverse, axis1=1, axis2=2))
    return np.where(squares > 0, scores[:-1] * np.square(weights), 0)


def _blocks(model, block):
    """Return [positions (blocks, B)] of the weights of each block, padded with n_weights."""
    n = model.n_weights
    if block is None:
        blocks = [np.arange(n)[None]]
    else:
        check_count("block", block, 1)
        blocks = [_cut(p, block, n) for p in model.weight_parameters]
    numbers = sum(at.size * at.shape[1] for at in blocks)
    if numbers > MOST_NUMBERS:
        raise InvalidValue(f"woodfisher with block={block} would hold {numbers} numbers (the most is {MOST_NUMBERS}): "
                           "take a smaller block, or fisher, which is block=1")
    return blocks


def _cut(p, block, n):
    """Cut the weights into each output of one parameter into runs of nearly equal length: positions (blocks, B)."""
    place = np.full(p.size, n)
    place[positions_in(p)] = np.arange(p.slice.start, p.slice.stop)
    columns = place.reshape(-1, p.shape[-1]).T  # (o, K)
    runs = -(-columns.shape[1] // block)
    length = -(-columns.shape[1] // runs)
    padded = np.full((len(columns), runs * length), n)
    padded[:, : columns.shape[1]] = columns
    return padded.reshape(-1, length)


def _gradients(model, sample):
    """Yield the gradients of single images: arrays (at most IMAGES, n_weights + 1), 0 where masked and at the end."""
    tape, mask = Tape(model, model.values.astype(np.float64)), model.mask[: model.n_weights]
    for start in range(0, len(sample), IMAGES):
        X, y = sample.X[start : start + IMAGES].astype(np.float64), sample.y[start : start + IMAGES]
        found = np.zeros((len(X), model.n_weights + 1))
        for i in range(len(X)):
            logits = model.forward(X[i : i + 1], tape)
            dlogits = np.empty_like(logits)
            sample.loss(logits, y[i : i + 1], dlogits, 1)
            model.backward(dlogits, tape)
            found[i, :-1] = np.where(mask, tape.grads[: model.n_weights], 0)
        yield found


def _parts(at):
    """Return slices of blocks for one task each: few enough to stay in the cache."""
    size = max(1, TASK_NUMBERS // at.shape[1] ** 2)
    return [slice(start, start + size) for start in range(0, len(at), size)]


def _absorb(gradients, at, n, inverse):
    """Update the inverse (b, B, B) of F in place to that of F + A'A / n.

    A (b, c, B) are the gradients of c images at the weights `at` (b, B). By Woodbury's identity the new inverse is
    inverse - S' (n I + S A')^-1 S with S = A inverse.
    """
    A = np.ascontiguousarray(np.moveaxis(gradients[:, at], 0, 1))
    S = A @ inverse
    small = S @ np.swapaxes(A, 1, 2) + n * np.eye(A.shape[1])
    inverse -= np.swapaxes(S, 1, 2) @ np.linalg.solve(small, S)


def _gauss_newton(model, sample):
    return np.square(model.weights, dtype=np.float64) * curvature(model, sample, bends=False)[: model.n_weights] / 2


def _hessian(model, sample):
    return np.square(model.weights, dtype=np.float64) * curvature(model, sample)[: model.n_weights] / 2


def _anywhere(model, sample):
    values = model.values.astype(np.float64)
    return _hessian(model, sample) - (values * gradient(model, sample, values))[: model.n_weights]


VARIANTS = {"gauss_newton": _gauss_newton, "hessian": _hessian, "anywhere": _anywhere}
CRITERIA = {f.__name__: f for f in (obd, obs, woodfisher)}
TRAITS = {
    "obd": Traits(needs="data", passes="1 forward, 2 backward", reduction="sum"),
    "obs": Traits(needs="data", passes="3 forward, 3 backward for each live weight", reduction="sum"),
    "woodfisher": Traits(needs="data", passes="1 forward, 2 backward; 1 forward, 1 backward for each image",
                        reduction="sum"),
}
