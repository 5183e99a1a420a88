"""Guards: how much a pruned net may lose, and the error when it lost more.

    check_guards({"accuracy": 0.01}, before, after)     # GuardMissed where accuracy fell by more than one point
"""
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


def lost(name, before, after):
    """By how much the score `name` got worse; below 0 where it got better."""
    return SCORES[name] * (before[name] - after[name])


def check_guards(guards, before, after):
    """Raise GuardMissed, naming every guard that did not hold."""
    missed = [f"{name} went from {before[name]:.4f} to {after[name]:.4f}, worse by {lost(name, before, after):.4f}; at "
              f"most {limit:g} was allowed"
              for name, limit in guards.items() if lost(name, before, after) > limit]
    if missed:
        raise GuardMissed(f"the guard does not hold: {'; '.join(missed)}: prune less, or give more --epochs")
