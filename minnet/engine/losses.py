"""Losses: each is a function (outputs, targets, doutputs=None, n=None, losses=None) that returns the mean loss.

`outputs` (rows, k) are logits; the sum over the rows is divided by `n` (the rows, unless the batch is shared between
threads). Where `doutputs` is given, the gradient with respect to the outputs is written into it; where `losses` (rows,)
float64 is given, so is the loss of each row.
"""
from collections.abc import Callable

import numpy as np

from minnet.errors import InvalidValue, Unsupported, quoted
from minnet.kernels.layers import losses as kernels


def cross_entropy(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray | None = None, n: int | None = None,
                  losses: np.ndarray | None = None, *, label_smoothing: float = 0.0) -> float:
    """Return the mean of -log softmax(logits)[label], by log-sum-exp.

    Parameters
    ----------
    logits : numpy.ndarray
        Shape (rows, k).
    labels : numpy.ndarray
        Shape (rows,): class numbers below k.
    dlogits : numpy.ndarray, optional
        Where the gradient with respect to the logits is written.
    n : int, optional
        What the sum over rows is divided by; the number of rows unless given.
    losses : numpy.ndarray, optional
        Where the loss of each row is written, float64.
    label_smoothing : float
        With s the target is (1 - s) onehot + s / k [1]_.

    Returns
    -------
    float
        The mean loss, in nats.

    Raises
    ------
    InvalidValue
        The labels are no class numbers of these logits.

    References
    ----------
    .. [1] Szegedy et al. (2016), "Rethinking the Inception architecture for computer vision", section 7.
    """
    labels = _check_labels(labels, logits)
    losses, dlogits, n = _room(logits, dlogits, n, losses)
    scale = logits.dtype.type(1 / n)
    kernels.softmax_cross_entropy(logits, labels, logits.dtype.type(label_smoothing), scale, losses, dlogits)
    return losses.sum() / n


def mse(outputs: np.ndarray, targets: np.ndarray, doutputs: np.ndarray | None = None, n: int | None = None,
        losses: np.ndarray | None = None) -> float:
    """Return the mean over rows and columns of (output - target)^2.

    Parameters
    ----------
    outputs : numpy.ndarray
        Shape (rows, k).
    targets : numpy.ndarray
        Shape (rows, k), or (rows,) where k is 1.
    doutputs : numpy.ndarray, optional
        Where the gradient with respect to the outputs is written.
    n : int, optional
        What the sum over rows is divided by; the number of rows unless given.
    losses : numpy.ndarray, optional
        Where the loss of each row is written, float64.

    Returns
    -------
    float
        The mean loss, in squared units of the targets.
    """
    targets = np.ascontiguousarray(targets, outputs.dtype).reshape(outputs.shape)
    losses, doutputs, n = _room(outputs, doutputs, n, losses)
    kernels.squared_error(outputs, targets, outputs.dtype.type(1 / n), losses, doutputs)
    return losses.sum() / n


def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray, dlogits: np.ndarray | None = None,
                         n: int | None = None, losses: np.ndarray | None = None) -> float:
    """Return the mean over rows and columns of -t log p - (1 - t) log(1 - p), where p = sigmoid(logit).

    Each output is a question of its own, so a row may have several labels, or none.

    Parameters
    ----------
    logits : numpy.ndarray
        Shape (rows, k).
    targets : numpy.ndarray
        Shape (rows, k), or (rows,) where k is 1: 0, 1, or probabilities between them.
    dlogits : numpy.ndarray, optional
        Where the gradient with respect to the logits is written.
    n : int, optional
        What the sum over rows is divided by; the number of rows unless given.
    losses : numpy.ndarray, optional
        Where the loss of each row is written, float64.

    Returns
    -------
    float
        The mean loss, in nats.

    References
    ----------
    Bishop (2006), "Pattern recognition and machine learning", equation 4.90.
    """
    targets = np.ascontiguousarray(targets, logits.dtype).reshape(logits.shape)
    losses, dlogits, n = _room(logits, dlogits, n, losses)
    kernels.binary_cross_entropy(logits, targets, logits.dtype.type(1 / n), losses, dlogits)
    return losses.sum() / n


def hinge(logits: np.ndarray, labels: np.ndarray, dlogits: np.ndarray | None = None, n: int | None = None,
          losses: np.ndarray | None = None) -> float:
    """Return the mean of max(0, 1 + the highest other logit - the logit of the label).

    Where several others are highest, the first gets the gradient.

    Parameters
    ----------
    logits : numpy.ndarray
        Shape (rows, k).
    labels : numpy.ndarray
        Shape (rows,): class numbers below k.
    dlogits : numpy.ndarray, optional
        Where the gradient with respect to the logits is written.
    n : int, optional
        What the sum over rows is divided by; the number of rows unless given.
    losses : numpy.ndarray, optional
        Where the loss of each row is written, float64.

    Returns
    -------
    float
        The mean loss, in units of the logits.

    Raises
    ------
    InvalidValue
        The labels are no class numbers of these logits.

    References
    ----------
    Crammer and Singer (2001), "On the algorithmic implementation of multiclass kernel-based vector machines", eq. 4
    with a margin of 1.
    """
    labels = _check_labels(labels, logits)
    losses, dlogits, n = _room(logits, dlogits, n, losses)
    kernels.multiclass_hinge(logits, labels, logits.dtype.type(1 / n), losses, dlogits)
    return losses.sum() / n


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(z_i) / sum of exp(z_j) over the last axis, shifted by the greatest logit so that none overflows."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def _softmax_tangent(logits, targets, rlogits, n):
    """Return p (r - p'r) / n: the Hessian of log-sum-exp times r, whatever the targets."""
    p = softmax(logits)
    return p * (rlogits - (p * rlogits).sum(axis=1, keepdims=True)) / n


def _square_tangent(outputs, targets, routputs, n):
    """Return 2 r / (k n)."""
    return 2 * routputs / (outputs.shape[1] * n)


def _binary_tangent(logits, targets, rlogits, n):
    """Return p (1 - p) r / (k n), where p = sigmoid(logit)."""
    q = np.tanh(logits / 2)  # 2 p - 1, which never overflows
    return (1 - q * q) / 4 * rlogits / (logits.shape[1] * n)


def _flat_tangent(logits, targets, rlogits, n):
    """Return 0: the loss is linear in pieces."""
    return np.zeros_like(rlogits)


def loss_tangent(loss: Callable, outputs: np.ndarray, targets: np.ndarray, routputs: np.ndarray, n: int) -> np.ndarray:
    """Return the loss's Hessian (mean over n) times `routputs`: how its gradient changes along that direction.

    Raises Unsupported for a loss whose Hessian is not in TANGENTS.
    """
    known = getattr(loss, "func", loss)  # partial(cross_entropy, label_smoothing=0.1)
    if known not in TANGENTS:
        raise Unsupported(f"the loss {quoted(repr(loss))} has no second derivative in minnet: use one of "
                          f"{', '.join(f.__name__ for f in TANGENTS)}")
    return TANGENTS[known](outputs, targets, routputs, n)


def _check_labels(labels, logits):
    """Return class numbers that a kernel may use as indices: one a row, each below the number of logits."""
    labels = np.asarray(labels)
    rows, k = logits.shape
    if labels.shape != (rows,) or labels.dtype.kind not in "iu":
        raise InvalidValue(f"labels are {labels.dtype} of shape {labels.shape}; wanted ({rows},) whole numbers")
    if rows and not 0 <= labels.min() <= labels.max() < k:
        raise InvalidValue(f"labels run from {labels.min()} to {labels.max()}; wanted 0 to {k - 1} for {k} logits")
    return labels.astype(np.int32)  # one type, so that kernels are compiled once


def _room(outputs, doutputs, n, losses):
    """Return the arrays for the losses of the rows and the gradient, and what the sum is divided by."""
    doutputs = np.empty_like(outputs) if doutputs is None else doutputs
    return np.empty(len(outputs)) if losses is None else losses, doutputs, n or len(outputs)


LOSSES = {f.__name__: f for f in (cross_entropy, mse, hinge, binary_cross_entropy)}
TANGENTS = {cross_entropy: _softmax_tangent, mse: _square_tangent, hinge: _flat_tangent,
            binary_cross_entropy: _binary_tangent}
