"""Rounds: counts after each round, as whole numbers, from a schedule.

    rounds(1000, 5, "arithmetic")                           # [200, 400, 600, 800, 1000]
    rounds(1000, 3, [0.5, 0.8, 0.9], sparsity=0.9)          # an explicit list of sparsities: [556, 889, 1000]
    share = share_of("cubic", sparsity=0.9)                 # a function of progress, clipped to [0, 1]

The last round ends at exactly the count asked for.
"""
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

from minnet.errors import InvalidValue, check_choice, check_count, check_fraction, check_real, quoted
from minnet.pruning.schedules import SCHEDULES

PruneSchedule = str | Callable[..., float] | Sequence[float]

SAFE = 1e-9  # a share of the way that ends this close to 1 is 1


def share_of(schedule: PruneSchedule, sparsity: float | None) -> Callable[[float], float]:
    """Return the function of progress that `schedule` means for a pruning that ends at `sparsity`.

    `schedule` is a name in SCHEDULES, a function, or a list of the sparsities after each round, which must not fall and
    must end at `sparsity`. The function is clipped: constant before t = 0, and 1 from t = 1 on. Raises InvalidValue
    where it does not end at 1.
    """
    if isinstance(schedule, list | tuple):
        return partial(stairs, steps=_checked(schedule, sparsity))
    function = check_choice("schedule", schedule, SCHEDULES)
    if _depends_on_sparsity(function):
        function = partial(function, sparsity=sparsity)
    end = check_real("schedule(1)", function(1.0))
    if abs(end - 1) > SAFE:
        raise InvalidValue(f"the schedule ends at {end:g} of the way; a schedule is 1 at progress 1")
    return partial(clipped, function=function)


def clipped(t: float, function: Callable[[float], float]) -> float:
    """Return function(t) with t clipped to [0, 1], and 1 at its end. Raises where it is not a share."""
    if t >= 1:
        return 1.0
    share = check_real(f"schedule({t:g})", function(max(t, 0.0)), -SAFE, 1 + SAFE)
    return min(max(share, 0.0), 1.0)


def stairs(t: float, steps: Sequence[float]) -> float:
    """Return the share after the last round that ends by progress t; round k of R ends at t = k / R."""
    place = min(max(t, 0.0), 1.0) * len(steps)
    done = math.floor(place + SAFE)
    return steps[done - 1] if done else 0.0


def rounds(k: int, number: int, schedule: PruneSchedule = "arithmetic", sparsity: float = 1.0) -> list[int]:
    """Return how many of k are removed after each of `number` rounds: round(k f(i / number)), the last exactly k.

    Raises InvalidValue where the schedule falls.
    """
    number = check_count("rounds", number, 1)
    if isinstance(schedule, list | tuple) and schedule and len(schedule) != number:
        raise InvalidValue(f"the schedule has {len(schedule)} sparsities for {number} rounds: give one a round")
    share = share_of(schedule, sparsity)
    ends = [round(k * share(i / number)) for i in range(1, number + 1)]
    for before, after in itertools.pairwise(ends):
        if after < before:
            raise InvalidValue(f"the schedule falls from {before} to {after}: pruned weights do not come back")
    return ends


def _depends_on_sparsity(function):
    try:
        return "sparsity" in inspect.signature(function).parameters
    except ValueError:  # a function that is not written in Python has no signature
        return False


def _checked(steps, sparsity):
    """Return the shares of the way that a list of sparsities gives."""
    if not steps:
        raise InvalidValue("the schedule is an empty list; wanted the sparsity after each round")
    steps = [check_fraction("schedule", step) for step in steps]
    if steps != sorted(steps):
        raise InvalidValue(f"schedule={quoted(repr(steps))} falls: pruned weights do not come back")
    if not math.isclose(steps[-1], sparsity, abs_tol=SAFE):
        raise InvalidValue(f"schedule={quoted(repr(steps))} ends at {steps[-1]:g}, but sparsity={sparsity:g}")
    return [step / steps[-1] if steps[-1] else 1.0 for step in steps]
