"""Scores of a model: accuracy, macro recall, macro F1 and loss, by scikit-learn's definitions."""
from collections.abc import Callable

import numpy as np

from minnet.engine.losses import LOSSES, check_targets, default_loss
from minnet.errors import InvalidValue, check_choice


def mean_loss(model, X, y, loss: str | Callable | None = None) -> float:
    """Return the mean loss of `model(X)` against `y`."""
    return _answers(model, X, y, loss)[-1]


def evaluate(model, X, y, *, loss: str | Callable | None = None):
    """Score a model (or a Predictor) on rows `X` with class numbers or numbers `y`.

    Parameters
    ----------
    model : Model or Predictor
        What is scored; called once.
    X : array_like
        Shape ``(n, *input_shape)``.
    y : array_like
        Shape (n,): class numbers, or (n, k) numbers.
    loss : str or callable, optional
        A name in LOSSES or a function of that form; by default cross_entropy for class numbers, mse for other numbers.

    Returns
    -------
    sklearn.utils.Bunch
        Read by name or by key: accuracy, recall_macro and f1_macro (a class that never occurs counts 0, as in
        scikit-learn) and the mean loss; for numbers instead of classes r2 and loss.

    Raises
    ------
    InvalidValue
        There are no rows, or `X` and `y` do not have as many.
    """
    from sklearn import metrics
    from sklearn.utils import Bunch

    outputs, targets, mean = _answers(model, X, y, loss)
    if targets.dtype.kind != "i":
        return Bunch(r2=float(metrics.r2_score(targets, outputs)), loss=mean)
    guess = outputs.argmax(axis=1)
    return Bunch(accuracy=float(metrics.accuracy_score(targets, guess)),
                 recall_macro=float(metrics.recall_score(targets, guess, average="macro", zero_division=0)),
                 f1_macro=float(metrics.f1_score(targets, guess, average="macro", zero_division=0)), loss=mean)


def _answers(model, X, y, loss):
    """Return the outputs in float64, the targets and the mean loss."""
    loss = default_loss(y) if loss is None else check_choice("loss", loss, LOSSES)
    outputs, targets = np.asarray(model(X), np.float64), check_targets(y, model, loss)
    if not 0 < len(outputs) == len(targets):
        raise InvalidValue(f"X has {len(outputs)} rows and y {len(targets)}: there must be as many, and at least one")
    return outputs, targets, float(loss(outputs, targets))
