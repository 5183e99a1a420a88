"""Budgets of a job by what may remain: multiply-adds, bytes of the file, flash and RAM of the C.

How much is removed is planned by the dense model's scores, when the job is made and again when it is trained; what is
over the budget at the end of the recipe is removed then.
"""
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from minnet.errors import InvalidValue, quoted
from minnet.model import Model
from minnet.pruning.budgets import OF_FILES, TOGETHER, reached
from minnet.pruning.costs import Costs
from minnet.study.guard import GuardMissed
from minnet.study.settings import COSTS, LEAST, Settings

Item = TypeVar("Item")


def costs_of(settings: Settings) -> dict[str, int | float | str]:
    """Return what may remain, by name; what a guard makes least is none of it."""
    given = {name: getattr(settings, name) for name in COSTS}
    return {name: value for name, value in given.items() if value is not None and value != LEAST}


def limits_of(settings: Settings, made: dict[str, object]) -> dict[str, object]:
    """Return the arguments of `prune` that say what may remain, and of which files."""
    costs = costs_of(settings)
    files = {name: made if name == "made" else getattr(settings, name) for name, budgets in OF_FILES.items()
             if name == "arithmetic" or budgets.intersection(costs)}
    return costs | files


def check_one(settings: Settings, fixed_part: bool) -> None:
    """Raise InvalidValue if several budgets are given, or what may remain beside a fixed part, which costs too."""
    given = [name for name in ("sparsity", "count", "keep", "latency", *COSTS) if getattr(settings, name) is not None]
    if len(given) > 1 and (set(given) != TOGETHER or LEAST in map(settings.__getattribute__, given)):
        raise InvalidValue(f"{' and '.join(f'{name}={getattr(settings, name)}' for name in given)}: give one of them")
    if fixed_part and costs_of(settings):
        raise InvalidValue(f"{given[0]}={quoted(repr(getattr(settings, given[0])))} beside a fixed part, which costs "
                           "too: leave out freeze, or give a sparsity")


def then(items: Iterable[Item], function: Callable[[], object]) -> Iterator[Item]:
    """Yield all items, and call a function after the last."""
    yield from items
    function()


def budget_record(model: Model, settings: Settings, made: dict[str, object]) -> dict[str, dict[str, dict[str, float]]]:
    """Return {"budget": of each what is reached, and the most that it may be}; nothing without a budget."""
    costs = Costs(model, settings.precision, settings.arithmetic, made)
    found = {name: reached(costs, name, value) for name, value in costs_of(settings).items()}
    return {"budget": found} if found else {}


def check_budgets(budgets: Mapping[str, Mapping[str, float]]) -> None:
    """Raise GuardMissed if a budget is exceeded, as where a guard ends the pruning before."""
    over = [f"{name} {row['reached']:,.0f} of {row['most']:,.0f}" for name, row in budgets.items()
            if row["reached"] > row["most"]]
    if over:
        raise GuardMissed(f"over the budget: {', '.join(over)}: the guard lets no more be removed; allow more "
                          "of either")
