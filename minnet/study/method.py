"""What a recipe does where the settings leave it open: its criterion, distribution and schedule, and where it begins.

    settings = resolved(Settings(recipe="set"), trained=False)
    settings.criterion, settings.distribution        # "random", "erdos_renyi", as in mn.recipes.set

So a job does what the same recipe does in Python, which is what its paper says.
"""
import inspect
from collections.abc import Callable
from dataclasses import replace

from minnet.errors import InvalidValue, check_choice, quoted
from minnet.pruning.criteria import CRITERIA
from minnet.pruning.recipes import RECIPES, Recipe, begins_untrained, draws_weights, takes_criterion
from minnet.pruning.recipes.keywords import function_of
from minnet.study.settings import GRADUAL, Settings, name_of

OPEN = ("criterion", "distribution", "schedule")  # settings that a recipe has its own for


def resolved(settings: Settings, *, trained: bool) -> Settings:
    """Return the settings with criterion, distribution, schedule and protected layers that are not None.

    Where none is given they are the recipe's own. A recipe for untrained nets that is given a trained one keeps the
    largest weights of the whole net, for to draw them at random would lose what was learnt.

    Raises
    ------
    UnknownName
        There is no such recipe or criterion.
    InvalidValue
        A criterion is given to a recipe that has its own.
    """
    recipe = check_choice("recipe", settings.recipe, RECIPES)
    own = GRADUAL | own_of(recipe)
    if settings.criterion is not None:
        _check_taken(settings.criterion, own["criterion"], recipe, settings.recipe)
    if trained and begins_untrained(recipe):
        own |= {"criterion": GRADUAL["criterion"], "distribution": GRADUAL["distribution"], "protect": None}
    found = {name: own[name] for name in OPEN if getattr(settings, name) is None}
    if settings.protect is None and settings.layers is None:
        found["protect"] = own.get("protect")
    return replace(settings, **found)


def own_of(recipe: Recipe) -> dict[str, object]:
    """Return the arguments that a recipe of minnet binds to `prune`, and its schedule; of another function, none."""
    known = inspect.signature(recipe).parameters
    if not any(function_of(recipe) is entry for entry in RECIPES.values()):
        return {}
    bound = getattr(known["prune"].default, "keywords", {})
    return {name: bound[name] for name in (*OPEN, "protect") if name in bound} | {
        "schedule": known["schedule"].default}


def _check_taken(criterion, own, recipe, choice):
    """Refuse a criterion that the recipe would not use."""
    check_choice("criterion", criterion, CRITERIA)
    if criterion != own and not takes_criterion(recipe):
        raise InvalidValue(f"criterion={quoted(repr(name_of(criterion)))} beside recipe {quoted(name_of(choice))}, "
                           "which scores the weights in its own way: leave the criterion out, or take another recipe")


def beginning(choice: str | Callable, epochs: int, trained: bool) -> str:
    """Return a line about where a recipe for untrained nets begins and how long it trains; "" for any other."""
    recipe, name = check_choice("recipe", choice, RECIPES), name_of(choice)
    if not begins_untrained(recipe):
        return ""
    if not trained:
        return f"{name} begins with initial weights and trains for {epochs:,} epochs, as long as the dense net in all"
    what = "it draws the weights of this one anew (start=given keeps them)" if draws_weights(recipe) else \
        "it begins with the trained weights of this one"
    return f"{name} is for nets that are not trained: {what}"
