"""Second order: exact Hessian times vector, the diagonal by OBD's recursion, and squares of single images' gradients.

    sample = draw_sample(model, data, rng=0)
    hessian_vector(model, sample, v)     # H v
    curvature(model, sample)             # the diagonal of H, but for what the recursion leaves out
    square_gradient(model, sample)       # the mean over images of g_n^2: the diagonal of the empirical Fisher matrix

All are of the mean loss over the sample at `values` (the model's own by default), in use, and computed in float64
whatever the model's dtype. They return vectors of the whole length, whose statistics zone is 0. A layer or a loss that
lacks what they need is named in the error (Unsupported).
"""
from collections.abc import Callable

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.losses import loss_tangent
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue


class Softened:
    """Compute a loss of logits that are divided by a temperature, and its derivatives in the logits themselves."""

    def __init__(self, loss: Callable, temperature: float) -> None:
        self.loss, self.temperature = loss, temperature

    def __call__(self, logits: np.ndarray, targets: np.ndarray, dlogits: np.ndarray | None = None,
                 n: int | None = None, losses: np.ndarray | None = None) -> float:
        """Return the mean loss; write its gradient to `dlogits`."""
        found = self.loss(logits / self.temperature, targets, dlogits, n, losses)
        if dlogits is not None:
            dlogits /= self.temperature
        return found


def hessian_vector(model, sample, v, values=None):
    """Compute H v exactly, as the derivative R{.} of the forward and backward pass in the direction v.

    The method is Pearlmutter's (1994, "Fast exact multiplication by the Hessian").

    `v` has the whole length; its statistics are not used. About three forward and backward passes. Never a difference
    of gradients: one ReLU that flips between the two makes it wrong by orders of magnitude.
    """
    v = np.asarray(v, np.float64)
    if v.shape != model.values.shape:
        raise InvalidValue(f"v has the shape {v.shape}; wanted ({len(model.values)},), a number for each of the values")
    tape, along, total = _tape(model, values), Tape(model, v), np.zeros(len(v))
    with one_blas_thread():
        for X, y in _batches(sample):
            logits = model.forward(X, tape)
            rlogits = model.tree.tangent(np.zeros_like(X), tape, along)
            rdlogits = _tangent(sample.loss, logits, y, rlogits, len(sample))
            model.tree.tangent_backward(_dlogits(sample, logits, y, len(sample)), rdlogits, tape, along)
            total += along.grads
    return _trainable(model, total)


def curvature(model, sample, values=None, *, bends=True):
    """Compute the diagonal of H by backpropagation.

    The recursion is that of LeCun, Denker and Solla (1990, "Optimal brain damage", eq. 7-9).

    h of an input is the sum over outputs of w^2 h, times f'^2, plus f'' times the gradient. About two forward and
    backward passes. Between layers the mixed derivatives of two outputs are left out, as are those of two positions
    that share a weight of a convolution. So it is exact for the last layer, and with mse for the one before it if that
    is dense; further down it is a guess, which may come out larger or smaller, and negative where f'' counts.

    With `bends=False` the terms in f'' are left out (the Levenberg-Marquardt approximation, section 2.1 there): the
    diagonal of the Gauss-Newton matrix by the same recursion, never negative for losses that are convex in the logits.
    """
    tape, total = _tape(model, values), np.zeros(len(model.values))
    second = Tape(model, tape.values)
    with one_blas_thread():
        for X, y in _batches(sample):
            logits = model.forward(X, tape)
            hlogits = _diagonal(sample, logits, y)
            dlogits = _dlogits(sample, logits, y, len(sample)) if bends else np.zeros_like(logits)
            model.tree.curvature(dlogits, hlogits, tape, second)  # the gradient is there for the bends alone
            total += second.grads
    return _trainable(model, total)


def square_gradient(model, sample, values=None):
    """Compute the mean over images of g_n^2, g_n being the gradient of the loss of image n alone.

    One forward pass and about two backward passes: dense layers need no pass per image.
    """
    tape, total = _tape(model, values), np.zeros(len(model.values))
    squares = Tape(model, tape.values)
    with one_blas_thread():
        for X, y in _batches(sample):
            logits = model.forward(X, tape)
            model.tree.square_gradient(_dlogits(sample, logits, y, 1), tape, squares)
            total += squares.grads
    return _trainable(model, total / len(sample))


def _tangent(loss, logits, y, rlogits, n):
    """Compute the loss's Hessian times `rlogits`, of a Softened one too."""
    if not isinstance(loss, Softened):
        return loss_tangent(loss, logits, y, rlogits, n)
    t = loss.temperature
    return loss_tangent(loss.loss, logits / t, y, rlogits / t, n) / t


def _tape(model, values):
    """Return a tape in float64, at `values` or the model's own."""
    return Tape(model, np.asarray(model.values if values is None else values, np.float64))


def _batches(sample):
    """Yield the sample's batches in float64, targets that are no classes too."""
    for X, y in sample.batches():
        yield X.astype(np.float64), y if y.dtype.kind == "i" else y.astype(np.float64)


def _dlogits(sample, logits, y, n):
    """Compute the gradient of the sum of the rows' losses over n."""
    dlogits = np.empty_like(logits)
    sample.loss(logits, y, dlogits, n)
    return dlogits


def _diagonal(sample, logits, y):
    """Compute the second derivative of the mean loss in every logit."""
    diagonal = np.empty_like(logits)
    for j in range(logits.shape[1]):
        unit = np.zeros_like(logits)
        unit[:, j] = 1
        diagonal[:, j] = _tangent(sample.loss, logits, y, unit, len(sample))[:, j]
    return diagonal


def _trainable(model, vector):
    """With the statistics zone 0."""
    vector[model.n_trainable :] = 0
    return vector
