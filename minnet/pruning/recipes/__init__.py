"""Recipes: training loops that prune. Each is a generator of training Steps.

    for step in recipes.gradual(model, data, 0.9, epochs=30, rng=0, criterion="snip", layers="conv*",
                                train=partial(train, optimizer=SGD(0.1, momentum=0.9), batch_size=64)):
        print(step.epoch, step.loss, step.model.sparsity)

All take (model, data, sparsity, *, epochs, schedule, prune, train, rng), and may take more. `epochs` is the whole of
the training, `sparsity` where it ends (None where the structure or the distribution sets its own count), `schedule` a
name in SCHEDULES, a function of progress or a list. `prune` and `train` are those of minnet, with their own arguments
bound by `functools.partial`; those of `prune` may be given by name too. The recipe adds the count, the data, the epochs
and the rng. Arguments are checked, and the pruning is tried out once, when the recipe is called: before any training.
With a `record=mn.Record()` the record says in the end which round removed each weight, and why; with a
`compensate="least_squares"` the live weights make up for the removed ones after each round.

Where the sparsity is an outcome of the training (dynamic_surgery, str, l0, variational_dropout, proximal, slimming) a
last exact cut reaches the asked count: `step.cut` says, once, how many weights it took, below 0 where it gave some
back. With sparsity None there is no such cut.
"""
from collections.abc import Callable, Iterator

from minnet.engine.state import Step
from minnet.pruning.parse import Structure
from minnet.pruning.recipes import (
    alternating,
    constrained,
    dense_to_sparse,
    elastic,
    hebbian,
    iterated,
    latent_masks,
    masking,
    momentum,
    penalised,
    regrow,
    soft_masks,
)
from minnet.pruning.recipes.controls import CONTROLS as CONTROLS
from minnet.pruning.recipes.controls import control_of as control_of
from minnet.pruning.recipes.controls import inverted as inverted
from minnet.pruning.recipes.goal import bound_to
from minnet.pruning.recipes.keywords import function_of, takes_keywords
from minnet.pruning.recipes.moving import check_single

Recipe = Callable[..., Iterator[Step]]
SPARSE = (regrow, elastic, momentum, hebbian)
TO_SPARSE = (dense_to_sparse, alternating, latent_masks, soft_masks, constrained)
FILES = (masking, iterated, penalised, *SPARSE, *TO_SPARSE)
RECIPES: dict[str, Recipe] = {
    name: takes_keywords(function) for file in FILES for name, function in file.RECIPES.items()}
FROM_SPARSE = frozenset(name for file in SPARSE for name in file.RECIPES)  # these begin with few weights
AT_START = frozenset(iterated.RECIPES)  # these prune before any training
# these begin with initial weights; all others go on from a trained net
UNTRAINED = FROM_SPARSE | AT_START | {"top_kast", "granet", "lottery_ticket"}
# these have a score of their own, so that the criterion that is bound to `prune` has no effect
OWN_SCORE = AT_START | frozenset(hebbian.RECIPES) | {
    "slimming", "proximal", "dynamic_surgery", "movement_pruning", "gsm", "top_kast", "str", "l0",
    "variational_dropout", "admm", "lc"}
# a removed weight may grow again; single weights only
REGROW = FROM_SPARSE | {"proximal"} | {name for file in TO_SPARSE for name in file.RECIPES}


def is_sparse_from_start(recipe: Recipe) -> bool:
    """Return True if a recipe is sparse from its first step on, so that it has no denser state to go on from.

    `top_kast`, which keeps latent weights, is one. A recipe of your own says so by an attribute,
    ``recipe.sparse_from_start = True``.
    """
    return _is_one_of(recipe, FROM_SPARSE | AT_START | {"top_kast"}) or \
        bool(getattr(function_of(recipe), "sparse_from_start", False))


def begins_untrained(recipe: Recipe) -> bool:
    """Return True for a recipe that begins with initial weights, so that a trained net is not what it is for.

    A recipe of your own says so by an attribute, ``recipe.begins_untrained = True``.
    """
    return _is_one_of(recipe, UNTRAINED) or bool(getattr(function_of(recipe), "begins_untrained", False))


def takes_criterion(recipe: Recipe) -> bool:
    """Return True for a recipe that uses the criterion that is bound to `prune`."""
    if _is_one_of(recipe, hebbian.RECIPES):
        return not draws_weights(recipe)
    return not _is_one_of(recipe, OWN_SCORE)


def draws_weights(recipe: Recipe) -> bool:
    """Return True for `chts` and `chtss`, which place links and draw their weights anew, unless start is "given"."""
    return _is_one_of(recipe, hebbian.RECIPES) and bound_to(recipe, "start") != "given"


def _is_one_of(recipe, names):
    """Return True if a recipe, options bound to it or not, is one of those of these names."""
    return any(function_of(recipe) is RECIPES[name] for name in names)


def regrows(recipe: str | Recipe) -> bool:
    """Return True for a recipe in which a removed weight may grow again, so that it takes single weights only."""
    return any(function_of(recipe) in (name, RECIPES[name]) for name in REGROW)


def check_structure(recipe: str | Recipe, name: str, structure: Structure) -> None:
    """Raise Unsupported for a structure whose pieces the recipe of that name cannot remove."""
    if regrows(recipe):
        check_single(name, structure)
    elif function_of(recipe) in ("slimming", RECIPES["slimming"]):
        penalised.check_units(structure)


def __getattr__(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]
    raise AttributeError(f"minnet has no recipe {name!r}: it has {', '.join(RECIPES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *RECIPES])
