"""What pruning changed in a model's predictions, row by row: paired differences, and which rows flipped.

    found = change(answers(dense, X, y), answers(small, X, y))
    found["accuracy"]                                   # {"difference": -0.01, "interval": [-0.02, 0.0]}
    found["flips"]["right_to_wrong"]["per_class"]

Both models answered the same rows, and a resample takes a row's answers together: so the intervals are of the
difference, narrower than what those of either model alone suggest.
"""
import numpy as np

from minnet.engine.answers import Answers
from minnet.engine.intervals import bootstrap, percentiles
from minnet.engine.losses import softmax
from minnet.engine.metrics import PER_CLASS
from minnet.errors import InvalidValue

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of margins


def change(before: Answers, after: Answers) -> dict[str, dict]:
    """Return the differences of all scores, after less before, and the rows whose prediction flipped.

    Parameters
    ----------
    before, after : Answers
        Of two models for the same rows.

    Returns
    -------
    dict
        {score: {"difference", "interval"}}, intervals of 95 % by the bootstrap over rows, pairs kept together; for
        classes and labels also "per_class", the same of precision, recall and f1, each (k,) and (k, 2), and "flips",
        see `flips`; for classes "margins", see `margins`.

    Raises
    ------
    InvalidValue
        The targets are not the same.
    """
    if not np.array_equal(before.targets, after.targets):
        raise InvalidValue("the targets before and after are not the same: give both models the same rows")
    first, second = before.table(), after.table()
    rates_of, q = before.rates_of, first.shape[0]

    def differences(sums):
        old, new = rates_of(sums[:q], before.k), rates_of(sums[q:], before.k)
        return {name: new[name] - old[name] for name in new}

    table = _stacked(first, second)
    found, intervals = differences(table.sum(axis=1)), bootstrap(table, differences)
    both = {name: {"difference": value, "interval": percentiles(intervals[name])} for name, value in found.items()}
    if before.kind == "numbers":
        return both
    per_class = {name: both.pop(name) for name in PER_CLASS}
    sure = {"margins": margins(before, after)} if before.kind == "classes" else {}
    return both | {"per_class": per_class, "flips": flips(before, after), **sure}


def flips(before: Answers, after: Answers) -> dict[str, dict]:
    """Return the rows that were right and became wrong, and those that were wrong and became right.

    Returns
    -------
    dict
        {"right_to_wrong": ..., "wrong_to_right": ...}, each {"per_class": how many of each true class (k,), "rows":
        their numbers from 0, "targets": their true classes, "predictions": the class that is predicted now where it is
        wrong, else the one before}.
        Where a row has several labels, these are counted one by one: beside the row of each is its number, "labels".
    """
    y, old, new = before.targets, before.guesses, after.guesses
    if before.kind == "multilabel":
        changed = {"right_to_wrong": (old == y) & (new != y), "wrong_to_right": (old != y) & (new == y)}
        return {name: {"per_class": where.sum(axis=0), **dict(zip(("rows", "labels"), np.nonzero(where), strict=True))}
                for name, where in changed.items()}
    kinds = {"right_to_wrong": ((old == y) & (new != y), new), "wrong_to_right": ((old != y) & (new == y), old)}
    return {name: {"per_class": np.bincount(y[where], minlength=before.k), "rows": np.flatnonzero(where),
                   "targets": y[where], "predictions": wrong[where]} for name, (where, wrong) in kinds.items()}


def margins(before: Answers, after: Answers) -> dict[str, object]:
    """Return how sure two nets are: the margin of a row is the probability of its class less the largest other one.

    It lies in [-1, 1], and is below 0 where the prediction is wrong.

    Returns
    -------
    dict of str to object
        "quantiles", which; "before" and "after", the margins at these; "difference", the mean of the rows' changes.
    """
    first, second = (_margins(found) for found in (before, after))
    return {"quantiles": QUANTILES, "before": np.quantile(first, QUANTILES), "after": np.quantile(second, QUANTILES),
            "difference": float((second - first).mean())}


def _margins(found):
    """Return (n,) the margin of each row."""
    p, rows = softmax(found.outputs), np.arange(len(found.targets))
    own = p[rows, found.targets]
    p[rows, found.targets] = -np.inf
    return own - np.maximum(p.max(axis=1), 0)


def _stacked(first, second):
    """Return two tables, dense or sparse, as one."""
    if isinstance(first, np.ndarray):
        return np.concatenate([first, second])
    from scipy.sparse import vstack

    return vstack([first, second], format="csr")
