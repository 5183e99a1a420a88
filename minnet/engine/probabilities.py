"""Probabilities of what a model's outputs, its logits, stand for: classes, of which a row has one, or labels."""
import numpy as np

from minnet.engine.losses import softmax


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-z)) of each logit z, by log-sum-exp, which never overflows."""
    return np.exp(log_sigmoid(logits))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return -log(1 + exp(-z)) of each logit z."""
    return -np.logaddexp(0, -logits)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return z_i - log of the sum of exp(z_j) over the last axis: finite where the probability underflows to 0."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def probabilities(logits: np.ndarray, task: str | None = None) -> np.ndarray:
    """Return the probability of each class or, where the task is "multilabel", of each label by itself.

    Parameters
    ----------
    logits : numpy.ndarray
        Shape (n, k).
    task : str, optional
        That of the model's signature, if it has one.

    Returns
    -------
    numpy.ndarray
        Shape (n, k): the softmax of each row, exp(z_i) / sum of exp(z_j); for labels the sigmoid of each logit.
    """
    return sigmoid(logits) if task == "multilabel" else softmax(logits)
