"""Guards: the largest loss of a score that is allowed, and the error when it is exceeded.

    check_limits({"accuracy": 0.01, "per_class_recall": 0.03, "flips": 0.02})
    check_guards(found)                          # of `paired.judged`: GuardMissed where a limit is broken

A guard decides on the validation part, or on the training part of data without one; the test part only reports.
SCORES lists the scores that can be guarded, for models of classes, of numbers and of several labels a row. Beside those
of `evaluate`, "per_class_recall" is the largest loss that any class (or label) has of its recall, and "flips" the share
of rows whose prediction is another one, right or wrong; "robust_accuracy" is the accuracy under an attack, each net
under one of its own (`study.measure.ATTACK`). How a loss is bounded by the rows: `paired.py`.
"""
import math
from collections.abc import Mapping

from minnet.errors import PERCENT, InvalidValue, MinnetError, check_choice, check_fraction, check_real

FLIPS, CLASS_RECALL, ROBUST = "flips", "per_class_recall", "robust_accuracy"
PAIRED = {CLASS_RECALL: 1, FLIPS: -1}
SCORES = {"classes": {"accuracy": 1, "recall_macro": 1, "f1_macro": 1, ROBUST: 1, **PAIRED, "loss": -1},
          # 1: higher is better
          "numbers": {"r2": 1, "mae": -1, "rmse": -1, "loss": -1},
          "multilabel": {"accuracy": 1, "hamming_loss": -1, "f1_micro": 1, "f1_macro": 1, **PAIRED, "loss": -1}}
SIGNS = SCORES["classes"] | SCORES["numbers"] | SCORES["multilabel"]
SHARES = {name for name in SIGNS if name not in ("r2", "mae", "rmse", "loss")}  # their limits lie in [0, 1)
BOUNDED = ("accuracy", ROBUST, "recall_macro", CLASS_RECALL, FLIPS)  # scores of which paired rows bound the loss
WORDS = {"valid": "validation", "train": "training", "test": "test"}  # the first two are parts that decide
CLOSE = 1e-12  # a loss above its limit by less is at the limit: a difference of two rounded shares


class GuardMissed(MinnetError):
    """The pruned model lost more of a score than a guard allows."""


def check_limits(guards: Mapping[str, float] | None, kind: str = "classes") -> dict[str, float]:
    """Check `guards`, a mapping from a name in SCORES[kind] to the largest loss allowed, and return it as a dict.

    None is returned as an empty dict. Raises UnknownName, InvalidType or InvalidValue; of a share such as accuracy, a
    limit of 1 or more is refused: 1 is most likely meant in percent.
    """
    for name, limit in (guards or {}).items():
        check_choice(f"score to guard of {kind},", name, SCORES[kind])
        if name not in SHARES:
            check_real(f"the guard on {name}", limit, 0)
        elif check_fraction(f"the guard on {name}", limit) == 1:
            raise InvalidValue(f"the guard on {name}={limit!r} allows any loss; wanted a share from 0 to below 1; did "
                               f"you mean {1 / PERCENT:g}?")
    return dict(guards or {})


def missed(found: Mapping) -> list[str]:
    """Return a text for each limit of `found` that is broken: by the loss or, where bounds are binding, by its bound.

    A score that is NaN or None breaks every limit.
    """
    texts = []
    for name, limit in found["limits"].items():
        a, b = (math.nan if value is None else value for value in (found["before"][name], found["after"][name]))
        lost, row = SIGNS[name] * (a - b), found.get("bounds", {}).get(name, {})
        of = f" of {row['label']}" if "label" in row else ""
        if not lost <= limit + CLOSE:
            texts.append(f"{name}{of} changed from {a:.4f} to {b:.4f}, worse by {lost:.4f}, allowed {limit:g}")
        elif found.get("binding") and not row.get("bound", math.inf) <= limit + CLOSE:
            texts.append(f"{name}{of} is worse by {lost:.4f}, at 95 % by at most {row['bound']:.4f}, allowed {limit:g}")
    return texts


def check_guards(found: Mapping) -> None:
    """Raise GuardMissed if any guard of `paired.judged` is exceeded, naming each and the part.

    So too where `found` has a "search" of which no round held: then the net is the dense one.
    """
    search, texts = found.get("search"), missed(found)
    if search and not search["held"]:
        bound = search["bound"]
        why = f"at {bound['asked']:.1%} {'; '.join(bound['missed'])}" if bound else "there is nothing to remove"
        raise GuardMissed(f"nothing could be removed within the guard, the dense net is kept: {why} (on the "
                          f"{WORDS[found['part']]} part): allow more, take another criterion or recipe, or train for "
                          "more epochs")
    if texts:
        raise GuardMissed(f"guard exceeded: {'; '.join(texts)} (on the {WORDS[found['part']]} part): prune less, or "
                          "train for more epochs")
