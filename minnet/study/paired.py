"""What a guard decides by: losses of a pruned net against the dense one on the same rows, and how far rows bound them.

    found = judged({"accuracy": 0.005}, answers(dense, X, y), answers(small, X, y))
    found["bounds"]["accuracy"]                  # {"bound": 0.0061, "images_needed": 947}
    images_needed(0.005)                         # 598: with fewer, not even a net that changes nothing is within it

A row is lost where the dense net was right and the pruned one is wrong, and gained the other way round. The bound is
one-sided, of 95 % for each limit by itself, not for all together; and a search that tries many nets on one part makes
the best look better than it is, so a result repeats it on the test part.
"""
import math
from collections.abc import Mapping, Sequence

import numpy as np

from minnet.engine.answers import Answers
from minnet.engine.metrics import scores_of
from minnet.errors import InvalidValue
from minnet.study.guard import BOUNDED, CLASS_RECALL, FLIPS, ROBUST

RISK = 0.05
QUANTILE = 1.6448536269514722  # of the normal distribution, at 1 - RISK
MOST_IMAGES = 10**9


def paired_bound(lost: np.ndarray, largest: float = 1.0) -> float:
    """Return the upper bound of the mean loss of rows, at 95 %.

    Parameters
    ----------
    lost : numpy.ndarray
        Shape (n,): of each row its weight where it is lost, minus its weight where it is gained, else 0; the mean is
        the loss.
    largest : float
        The largest weight of a row: 1 for a share of the rows.

    Returns
    -------
    float
        With weights of 1, b rows lost and c gained, d = (b - c)/(n + 2) + z sqrt(((b + c + 2)/(n + 2) - ((b - c)/(n +
        2))^2)/(n + 2)) [1]_, which adds one row of each kind; where none is lost at least the largest loss under which
        n rows lose none with a chance of 5 %, ``largest * (1 - 0.05**(1/n))``. Infinite without rows.

    References
    ----------
    .. [1] Agresti and Min, 2005, "Simple improved confidence intervals for comparing matched proportions".
    """
    n = len(lost)
    if not n:
        return math.inf
    mean = lost.sum() / (n + 2)
    variance = (np.square(lost).sum() + 2 * largest**2) / (n + 2) - mean**2
    bound = float(mean + QUANTILE * math.sqrt(variance / (n + 2)))
    return bound if (lost > 0).any() else max(bound, largest * (1 - RISK ** (1 / n)))


def share_bound(count: int, n: int) -> float:
    """Return Clopper and Pearson's upper bound at 95 % of a share of which `count` of n rows were seen."""
    from scipy.stats import beta

    return 1.0 if count >= n else float(beta.ppf(1 - RISK, count + 1, n - count))


def images_needed(limit: float, flips: int = 0) -> int | None:
    """Return how many rows bound a loss by `limit` where `flips` of them are lost and none is gained.

    The least n with ``share_bound(flips, n) <= limit``; None where more than 10^9 are needed, as for a limit of 0.
    """
    low, high = flips, max(2 * flips, 1)
    while share_bound(flips, high) > limit:
        low, high = high, 2 * high
        if high > MOST_IMAGES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if share_bound(flips, middle) <= limit else (middle, high)
    return high


def check_rows(limits: Mapping[str, float], targets: np.ndarray, part: str) -> None:
    """Refuse binding bounds that no net can hold on rows with these targets, class numbers or labels.

    Raises InvalidValue for a score without a bound, and where there are too few rows: it names how many it would take.
    """
    for name, limit in limits.items():
        if name not in BOUNDED:
            raise InvalidValue(f"guard_bound=True beside a guard on {name}: paired rows bound the loss of "
                               f"{', '.join(BOUNDED)} alone; leave it out, or guard one of these")
        of_class = name == CLASS_RECALL
        rows = _fewest(targets) if of_class else len(targets)
        factor = len(targets) / (_n_classes(targets) * _fewest(targets)) if name == "recall_macro" else 1.0
        needed = images_needed(limit / factor)
        if needed is None or rows < needed:
            where = f"the {part} part has {rows:,} images" + " of a class" * of_class
            wanted = f"needs {needed:,}" if needed else "cannot be bounded by any number of images"
            raise InvalidValue(f"guard_bound=True: {where}, and a loss of {name} of at most {limit:g} {wanted}"
                               f"{' of each class' * (of_class and needed is not None)}: give more, allow more, or "
                               "leave guard_bound out")


def judged(limits: Mapping[str, float], before: Answers, after: Answers,
           labels: Sequence[object] | None = None, attacked: Sequence[Answers] = ()) -> dict[str, dict]:
    """Return what guards decide by: the guarded scores of both nets, and bounds.

    Parameters
    ----------
    limits : mapping of str to float
        Names in `guard.SCORES` and the largest loss allowed.
    before, after : Answers
        Of the dense and the pruned net for the same rows.
    labels : sequence, optional
        The names of the classes.
    attacked : (Answers, Answers), optional
        Of both nets for the rows that were attacked, each with its own; for "robust_accuracy".

    Returns
    -------
    dict of str to dict
        "limits"; "before" and "after", {name: score}: of "per_class_recall" the recalls of the class that lost most,
        of "flips" 0 and the share; "bounds", for each score that has one {"bound": at 95 %, "images_needed": how many
        would hold the limit with as many rows lost, and for per_class_recall "label": the class}.
    """
    first, second = scores_of(before), scores_of(after)
    found = {"limits": dict(limits), "before": {}, "after": {}, "bounds": {}}
    for name, limit in limits.items():
        if name in OWN:
            pair, row = OWN[name](before, after, limit, labels)
        elif name == ROBUST:
            pair = tuple(scores_of(each)["accuracy"] for each in attacked)
            row = _accuracy(*attacked, limit)
        else:
            pair = first[name], second[name]
            row = BOUNDS[name](before, after, limit) if name in BOUNDS else None
        found["before"][name], found["after"][name] = pair
        found["bounds"] |= {} if row is None else {name: row}
    return found


def _right(found):
    """Return (n,) whether each row is right: of several labels all of them."""
    right = found.guesses == found.targets
    return right.all(axis=1) if right.ndim == 2 else right


def _lost(before, after):
    """Return (n,) int8: 1 where the row is lost, -1 where it is gained, else 0; (n, k) of each label of each class."""
    return (before.guesses == before.targets).astype(np.int8) - (after.guesses == after.targets)


def _row(bound, limit, count):
    return {"bound": bound, "images_needed": images_needed(limit, int(count))}


def _accuracy(before, after, limit):
    """Return the bound of the loss of accuracy."""
    lost = _right(before).astype(np.int8) - _right(after)
    return _row(paired_bound(lost.astype(float)), limit, np.count_nonzero(lost > 0))


def _recall_macro(before, after, limit):
    """Return the bound of the loss of macro recall: each row weighs n / (k n_class)."""
    lost, support = _lost(before, after), np.bincount(before.targets, minlength=before.k)
    weights = len(lost) / (np.count_nonzero(support) * support[before.targets])
    return _row(paired_bound(weights * lost, weights.max()), limit / weights.max(), np.count_nonzero(lost > 0))


def _class_recall(before, after, limit, labels):
    """Return the recalls of the class that lost most, and the largest bound of any class."""
    lost = _lost(before, after)
    rows = [before.targets[:, j] for j in range(before.k)] if lost.ndim == 2 else \
        [before.targets == j for j in range(before.k)]
    own = [lost[mask, j] if lost.ndim == 2 else lost[mask] for j, mask in enumerate(rows)]
    worst = max((j for j in range(before.k) if len(own[j])), key=lambda j: own[j].mean())
    recall = _recall_of(before, rows[worst], worst)
    flips, label = np.count_nonzero(own[worst] > 0), worst if labels is None else labels[worst]
    bound = max(paired_bound(values.astype(float)) for values in own if len(values))
    return (recall, recall - float(own[worst].mean())), _row(bound, limit, flips) | {"label": str(label)}


def _recall_of(found, mask, j):
    hits = (found.guesses == found.targets)[mask]
    return float((hits[:, j] if hits.ndim == 2 else hits).mean())


def _flips(before, after, limit, labels):
    """Return 0 and the share of rows whose prediction is another one, and its bound."""
    other = before.guesses != after.guesses
    count = int(np.count_nonzero(other.any(axis=1) if other.ndim == 2 else other))
    return (0.0, count / len(other)), _row(share_bound(count, len(other)), limit, count)


def _fewest(targets):
    """Return how many rows the rarest class has, of those that occur."""
    support = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets)
    return int(support[support > 0].min(initial=len(targets)))


def _n_classes(targets):
    return np.count_nonzero(np.bincount(targets))


OWN = {CLASS_RECALL: _class_recall, FLIPS: _flips}  # scores of pairs: (before, after, limit, labels) -> (pair, row)
BOUNDS = {"accuracy": _accuracy, "recall_macro": _recall_macro}
