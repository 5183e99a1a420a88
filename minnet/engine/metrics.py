"""How good a model is: accuracy, macro recall, macro F1 and loss, by scikit-learn's definitions."""
import numpy as np

from minnet.engine.losses import LOSSES, check_targets, default_loss
from minnet.errors import InvalidValue, check_choice


def mean_loss(model, X, y, loss=None):
    """The mean loss of `model(X)` against `y`, a float."""
    return _answers(model, X, y, loss)[-1]


def evaluate(model, X, y, *, loss=None):
    """Scores of a model (or a Predictor) on rows `X` with class numbers `y`: a Bunch, read by name or by key.

    accuracy, recall_macro and f1_macro (a class that never occurs counts 0, as scikit-learn has it) and the mean loss;
    for numbers instead of classes r2 and loss. Raises InvalidValue where there are no rows.
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
    """(outputs in float64, targets, mean loss)."""
    loss = default_loss(y) if loss is None else check_choice("loss", loss, LOSSES)
    outputs, targets = np.asarray(model(X), np.float64), check_targets(y, model, loss)
    if not 0 < len(outputs) == len(targets):
        raise InvalidValue(f"X has {len(outputs)} rows and y {len(targets)}: there must be as many, and at least one")
    return outputs, targets, float(loss(outputs, targets))
