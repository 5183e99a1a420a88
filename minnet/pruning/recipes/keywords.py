"""Arguments of `prune` and of recipes, by name.

    recipes.gradual(model, data, 0.9, criterion="snip", layers="conv*")      # bound to `prune`
    with_options("recipe", "lottery_ticket", RECIPES, {"rounds": 10})        # a partial, its options checked

So a recipe itself names only what is its own.
"""
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps

from minnet.engine.state import Step
from minnet.errors import check_choice, unknown

PRUNE = ("criterion", "structure", "distribution", "layers", "protect", "value_range", "samples", "reduction", "per",
         "min_density", "compensate", "record")  # arguments of `prune` that a recipe leaves to the caller
PROTOCOL = ("model", "data", "sparsity", "epochs", "schedule", "prune", "train", "rng", "initial")  # no options


def takes_keywords(recipe: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
    """Return a recipe that also takes the arguments of `prune` in PRUNE, and binds them to its `prune`.

    An argument of the recipe's own that has the same name stays its own, such as the `samples` of `rigl`.
    """
    own = inspect.signature(recipe).parameters

    @wraps(recipe)
    def run(*given, **options):
        bound = {name: options.pop(name) for name in PRUNE if name in options and name not in own}
        if bound:
            options["prune"] = partial(options.get("prune", own["prune"].default), **bound)
        return recipe(*given, **options)

    run.__name__ = run.__qualname__ = recipe.__name__.rstrip("_")
    run.__module__ = __package__  # where pickle finds it
    return run


def with_options(kind: str, name: str, table: Mapping[str, Callable], options: Mapping[str, object]) -> Callable:
    """Return the function of a table with options bound to it.

    Raises UnknownName where the table has no such name, or its function no such option.
    """
    function = check_choice(kind, name, table)
    known = [option for option in inspect.signature(function).parameters if option not in PROTOCOL]
    for option in options:
        if option not in known:
            raise unknown(f"option of {kind} {name},", option, known)
    return partial(function, **options)


def function_of(choice: object) -> object:
    """Return the function that options are bound to; anything else as it is."""
    return function_of(choice.func) if isinstance(choice, partial) else choice
