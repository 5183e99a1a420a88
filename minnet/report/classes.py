"""Each class, or label, before and after pruning, as rows of text: scores, intervals, flips, confusion.

    for row in class_rows(result):
        row.label, row.support, row.recall, row.lost

Results of earlier versions have nothing of it: then there are no rows.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minnet.errors import PERCENT

RATES = ("precision", "recall", "f1")
PLAIN = ("loss", "hamming_loss", "brier", "r2", "mae", "rmse")  # scores that are no shares
MOST_CONFUSED = 30  # classes up to which a confusion matrix is shown
MOST_ROWS = 100     # classes whose rows are shown: those whose recall changed most


@dataclass(frozen=True)
class Rate:
    """One score of a class, in percent as text: before and after with their intervals, and the difference with its."""

    before: str
    after: str
    change: str
    before_interval: str = ""
    after_interval: str = ""
    change_interval: str = ""
    good: bool | None = None


@dataclass(frozen=True)
class ClassRow:
    """One class: its label, rows, scores, and how many of its rows became wrong (lost) and right (gained)."""

    label: str
    support: str
    rates: Mapping[str, Rate]
    lost: str
    gained: str


def class_rows(result: Mapping, only: Sequence[int] | None = None) -> list[ClassRow]:
    """Return the rows of the classes with these numbers, in order; by default of all, at most MOST_ROWS of them."""
    if not has_classes(result):
        return []
    recall = result["change"]["per_class"]["recall"]["difference"]
    if only is None:
        most = sorted(range(len(recall)), key=lambda i: -abs(recall[i] or 0))[:MOST_ROWS]
        only = sorted(most)
    return [_row(result, i) for i in only]


def has_classes(result: Mapping) -> bool:
    """Return whether the result has scores of each class."""
    return all("per_class" in result.get(name, ()) for name in ("before", "after", "change"))


def notable(result: Mapping) -> list[int]:
    """Return the numbers of the classes whose recall changed: 0 is outside the 95 % interval of the difference."""
    if not has_classes(result):
        return []
    intervals = result["change"]["per_class"]["recall"]["interval"]
    return [i for i, (low, high) in enumerate(intervals) if None not in (low, high) and (low > 0 or high < 0)]


def score_intervals(result: Mapping, name: str) -> tuple[str, str, str]:
    """Return the intervals of a score before, after and of the difference, as text; "" for what is not known."""
    before, after = (result[net].get("intervals", {}).get(name) for net in ("before", "after"))
    change = result.get("change", {}).get(name, {}).get("interval")
    if name in PLAIN:
        return tuple(_plain_interval(interval) for interval in (before, after, change))
    return interval_text(before), interval_text(after), interval_text(change, "+")


def confusions(result: Mapping) -> list[tuple[str, list[list[int]]]]:
    """Return ("before", matrix) and ("after", matrix), or [] where there are none or the classes are too many."""
    found = [(name, result[name].get("confusion")) for name in ("before", "after")]
    return found if all(matrix and len(matrix) <= MOST_CONFUSED for _, matrix in found) else []


def labels(result: Mapping) -> list[str]:
    """Return the labels of the classes as text."""
    n = len(result["before"]["per_class"]["support"])
    return [str(label) for label in result.get("classes") or range(n)]


def _row(result, i):
    """Return the row of class i."""
    flips = result["change"]["flips"]
    lost, gained = (flips[name]["per_class"][i] for name in ("right_to_wrong", "wrong_to_right"))
    return ClassRow(labels(result)[i], f"{result['before']['per_class']['support'][i]:,}",
                    {name: _rate(result, name, i) for name in RATES}, f"{lost:,}", f"{gained:,}")


def _rate(result, name, i):
    """Return one score of class i."""
    sides = [result[net]["per_class"] for net in ("before", "after")]
    change = result["change"]["per_class"][name]
    difference, interval = change["difference"][i], change["interval"][i]
    sure = None not in interval and (interval[0] > 0 or interval[1] < 0)
    before, after = (side[name][i] for side in sides)
    return Rate(f"{before:.1%}", f"{after:.1%}", f"{PERCENT * difference:+.1f}" if difference else "=",
                *(interval_text(side.get("intervals", {}).get(name, {i: None})[i]) for side in sides),
                interval_text(interval, "+"), difference > 0 if sure and difference else None)


def interval_text(interval: Sequence[float] | None, sign: str = "") -> str:
    """Return an interval of shares in percent, or "" where it is not known."""
    if interval is None or None in interval:
        return ""
    return " to ".join(f"{PERCENT * end:{sign}.1f}" for end in interval)


def _plain_interval(interval):
    return "" if interval is None or None in interval else " to ".join(f"{end:.4f}" for end in interval)
