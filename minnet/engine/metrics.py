"""Scores of a model by scikit-learn's definitions: over all rows, of each class, and how sure it is."""
from collections.abc import Callable

import numpy as np

from minnet.engine.answers import Answers, answers
from minnet.engine.intervals import bootstrap, percentiles, wilson
from minnet.engine.losses import softmax
from minnet.engine.sample import scored_rows
from minnet.engine.scores import Scores
from minnet.errors import quoted
from minnet.typing import ArrayLike, ClassWeight

BINS = 15  # of confidence, each as wide
PER_CLASS = ("precision", "recall", "f1")


def mean_loss(model, X, y, loss: str | Callable | None = None) -> float:
    """Return the mean loss of `model(X)` against `y`."""
    return answers(model, X, y, loss).loss


def scores(model, X, y, loss: str | Callable | None = None) -> Scores:
    """Return the scores alone: accuracy, recall_macro, f1_macro and loss, or r2, mae, rmse and loss.

    Of several labels a row: accuracy, hamming_loss, f1_micro, f1_macro and loss.
    """
    return scores_of(answers(model, X, y, loss))


def evaluate(model, X, y=None, *, loss: str | Callable | None = None, class_weight: ClassWeight = None,
             sample_weight: ArrayLike | None = None, intervals: bool = True) -> Scores:
    """Score a model (or a Predictor) on rows `X` with class numbers, numbers or several labels a row `y`.

    Parameters
    ----------
    model : Model or Predictor
        What is scored; called once.
    X : array_like, scipy.sparse matrix, Dataset, (X, y), str or os.PathLike
        Raw rows, ``(n, *input_shape)``; or, without `y`, data: the test part of a Dataset, a pair of arrays, or all
        rows of a file, whose scaling and labels are the model's own.
    y : array_like, optional
        Shape (n,): labels by the model's signature, class numbers where it has none, or (n, k) numbers; for several
        labels a row 0 and 1 (n, k), bool where the model has no signature.
    loss : str or callable, optional
        A name in LOSSES or a function of that form; by default cross_entropy for class numbers, binary_cross_entropy
        for several labels a row, mse for other numbers.
    class_weight : "balanced" or mapping, optional
        A weight for each class, as in `train`; "balanced" counts the classes of `y`.
    sample_weight : array_like, optional
        Shape (n,): a weight of at least 0 for each row. With both, a row's weight is their product.
    intervals : bool
        False leaves the intervals out: 1,000 resamples of the rows cost about 20 ns a row each.

    Returns
    -------
    Scores
        Read by name or by key, as scikit-learn's Bunch; `print` shows a table. For classes:

        accuracy, recall_macro, f1_macro, loss : float
            A class that never occurs counts 0, as in scikit-learn.
        brier, ece : float
            Calibration: the mean over rows of the sum over classes of (p - t)^2, from 0 to 2 [1]_, and the expected
            calibration error [2]_, an estimate that depends on its bins. The probabilities are the softmax of the
            outputs.
        per_class : Scores
            precision, recall, f1 and support, each of shape (k,); intervals of these, (k, 2).
        confusion : numpy.ndarray
            Shape (k, k): rows of class i for which class j was predicted; with weights the sum of these.
        calibration : Scores
            The bins of ece: edges, and in each bin the count (or weight), the mean confidence and the accuracy.
        intervals : Scores
            (low, high) at 95 % of every score but ece: Wilson's interval for accuracy and recall [3]_, percentiles of
            the bootstrap over rows for the others, and for all where rows have weights.

        For numbers r2, mae, rmse and loss (means over the outputs) and their intervals, all by the bootstrap; mae and
        rmse are in the units of the target, the loss is that of training, of targets scaled by the signature.

        For several labels a row accuracy (the share of rows all of whose labels are right), hamming_loss (the share of
        the n k answers that are wrong), f1_micro, f1_macro (over all labels) and loss, `per_class` for each label, and
        intervals: Wilson's for accuracy and recall, else the bootstrap over rows.

    Raises
    ------
    InvalidValue
        There are no rows, or `X` and `y` do not have as many, or a weight cannot be used.

    References
    ----------
    .. [1] Brier (1950), "Verification of forecasts expressed in terms of probability".
    .. [2] Guo et al. (2017), "On calibration of modern neural networks", equation 3.
    .. [3] Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    if y is None:
        X, y = scored_rows(model, X)
    found = describe(answers(model, X, y, loss, class_weight, sample_weight), intervals)
    signature = getattr(model, "signature", None)
    classes = None if signature is None else signature.classes
    found.names = None if classes is None else [quoted(str(name)) for name in classes.tolist()]
    return found


def scores_of(found: Answers) -> Scores:
    """Return the scores of Answers, one number each."""
    from sklearn import metrics

    y, weights = found.targets, found.weights
    if found.kind == "multilabel":
        whole = {name: float(value) for name, value in _label_rates(found).items() if np.ndim(value) == 0}
        return Scores(**whole | {"loss": found.loss})
    if found.kind == "numbers":
        units, options = found.units, {"sample_weight": weights, "multioutput": "raw_values"}
        y, outputs = y / units, found.outputs / units
        names = {"mae": metrics.mean_absolute_error, "rmse": metrics.root_mean_squared_error}
        errors = {name: float(np.mean(score(y, outputs, **options) * units)) for name, score in names.items()}
        return Scores(r2=float(metrics.r2_score(y, outputs, sample_weight=weights)), **errors, loss=found.loss)
    guess, macro = found.guesses, {"average": "macro", "zero_division": 0, "sample_weight": weights}
    return Scores(accuracy=float(metrics.accuracy_score(y, guess, sample_weight=weights)),
                 recall_macro=float(metrics.recall_score(y, guess, **macro)),
                 f1_macro=float(metrics.f1_score(y, guess, **macro)), loss=found.loss)


def _label_rates(found):
    """Return what `label_rates` gives of several labels a row, over all rows; scikit-learn takes no single column."""
    return found.rates_of(found.table().sum(axis=1), found.k)


def describe(found: Answers, intervals: bool = True) -> Scores:
    """Return all that `evaluate` returns, of Answers."""
    from sklearn import metrics

    whole = scores_of(found)
    if found.kind == "multilabel":
        rates, y = _label_rates(found), found.targets
        support = y.sum(axis=0) if found.weights is None else found.weights @ y
        whole["per_class"] = Scores(**{name: rates[name] for name in PER_CLASS}, support=support)
    if found.kind == "classes":
        y, guess, options = found.targets, found.guesses, {"labels": np.arange(found.k), "sample_weight": found.weights}
        table = metrics.precision_recall_fscore_support(y, guess, zero_division=0, **options)
        bins = calibration(found)
        whole |= {"brier": float(np.average(found.brier(), weights=found.weights)), "ece": bins.pop("ece"),
                  "per_class": Scores(**dict(zip((*PER_CLASS, "support"), table, strict=True))),
                  "confusion": metrics.confusion_matrix(y, guess, **options), "calibration": bins}
    if intervals:
        add_intervals(whole, found)
    return whole


def calibration(found: Answers) -> Scores:
    """Return ece, and of each of BINS bins of equal width of confidence: edges, count, confidence, accuracy.

    ece is the mean over rows of ``|accuracy - confidence|`` of the row's bin, the confidence the highest probability.
    Bins without rows have the confidence and the accuracy NaN.
    """
    sure, right = softmax(found.outputs).max(axis=1), found.guesses == found.targets
    weights = np.ones(len(sure)) if found.weights is None else found.weights
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.ceil(np.nan_to_num(sure) * BINS).astype(int) - 1, 0, BINS - 1)  # (low, high], as in the paper
    count, confidence, accuracy = (np.bincount(place, weights * v, BINS) for v in (np.ones(len(sure)), sure, right))
    error = np.abs(accuracy - confidence).sum() / count.sum()
    count = count.astype(np.int64) if found.weights is None else count
    with np.errstate(invalid="ignore"):
        return Scores(ece=float(error), edges=edges, count=count, confidence=confidence / count,
                     accuracy=accuracy / count)


def add_intervals(whole: Scores, found: Answers) -> None:
    """Add the intervals to what `describe` made."""
    names = [name for name, value in whole.items() if isinstance(value, float) and name != "ece"]
    samples = bootstrap(found.table(), lambda sums: found.rates_of(sums, found.k))
    whole["intervals"] = Scores(**{name: percentiles(samples[name]) for name in names})
    if found.kind == "numbers":
        return
    whole["per_class"]["intervals"] = Scores(**{name: percentiles(samples[name]) for name in PER_CLASS})
    if found.weights is None:
        y, right = found.targets, found.guesses == found.targets
        several = found.kind == "multilabel"
        hits = (y & right).sum(axis=0) if several else np.diag(whole.confusion)
        whole["intervals"]["accuracy"] = wilson((right.all(axis=1) if several else right).sum(), len(y))
        whole["per_class"]["intervals"]["recall"] = wilson(hits, whole.per_class.support)
