"""Guards: the largest loss of a score that is allowed, and the error when it is exceeded.

    check_guards(guarded({"accuracy": 0.01}, nets, data))  # GuardMissed where accuracy fell by more than one point
    check_guards(guarded({"r2": 0.01}, nets, data))        # of numbers: R2, or mae and rmse in the units of the target

A guard decides on the validation part, or on the training part of data without one; the test part only reports.
SCORES lists the scores that can be guarded, for models of classes, of numbers and of several labels a row.
"""
import math
from collections.abc import Mapping

from minnet.errors import MinnetError, check_choice, check_real

SCORES = {"classes": {"accuracy": 1, "recall_macro": 1, "f1_macro": 1, "loss": -1},  # 1 if higher is better, else -1
          "numbers": {"r2": 1, "mae": -1, "rmse": -1, "loss": -1},
          "multilabel": {"accuracy": 1, "hamming_loss": -1, "f1_micro": 1, "f1_macro": 1, "loss": -1}}
SIGNS = SCORES["classes"] | SCORES["numbers"] | SCORES["multilabel"]
WORDS = {"valid": "validation", "train": "training"}  # parts that decide


class GuardMissed(MinnetError):
    """The pruned model lost more of a score than a guard allows."""


def check_limits(guards: Mapping[str, float] | None, kind: str = "classes") -> dict[str, float]:
    """Check `guards`, a mapping from a name in SCORES[kind] to the largest loss allowed, and return it as a dict.

    None is returned as an empty dict. Raises UnknownName, InvalidType or InvalidValue.
    """
    for name, limit in (guards or {}).items():
        check_choice(f"score to guard of {kind},", name, SCORES[kind])
        check_real(f"the guard on {name}", limit, 0)
    return dict(guards or {})


def check_guards(found: Mapping) -> None:
    """Raise GuardMissed if any guard of `measure.guarded` is exceeded, naming each and the part.

    A score that is NaN or None exceeds every guard.
    """
    missed = []
    for name, limit in found["limits"].items():
        a, b = (math.nan if value is None else value for value in (found["before"][name], found["after"][name]))
        lost = SIGNS[name] * (a - b)
        if not lost <= limit:
            missed.append(f"{name} changed from {a:.4f} to {b:.4f}, worse by {lost:.4f}, allowed {limit:g}")
    if missed:
        raise GuardMissed(f"guard exceeded: {'; '.join(missed)} (on the {WORDS[found['part']]} part): prune less, or "
                          "train for more epochs")
