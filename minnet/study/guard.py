"""Guards: how much a pruned net may lose, and the error when it lost more.

    check_guards({"accuracy": 0.01}, before, after)     # GuardMissed where accuracy fell by more than one point
"""
import math

from minnet.errors import MinnetError, check_choice, check_real

SCORES = {"accuracy": 1, "recall_macro": 1, "f1_macro": 1, "loss": -1}  # name -> 1 where more is better


class GuardMissed(MinnetError):
    """The pruned net lost more than a guard allows."""


def check_limits(guards):
    """`guards`, a dict from a name in SCORES to the loss it may suffer, checked; also None, which is no guard."""
    for name, limit in (guards or {}).items():
        check_choice("score to guard", name, SCORES)
        check_real(f"the guard on {name}", limit, 0)
    return dict(guards or {})


def check_guards(guards, before, after):
    """Raise GuardMissed, naming every guard that did not hold; of a score that is no number (NaN, None) none does."""
    missed = []
    for name, limit in guards.items():
        a, b = (math.nan if side[name] is None else side[name] for side in (before, after))
        lost = SCORES[name] * (a - b)
        if not lost <= limit:
            missed.append(f"{name} went from {a:.4f} to {b:.4f}, worse by {lost:.4f}; at most {limit:g} was allowed")
    if missed:
        raise GuardMissed(f"the guard does not hold: {'; '.join(missed)}: prune less, or give more --epochs")
