"""The laws of recipes: exact counts, masks that nest, zeros that stay zeros, the same bits for the same seed.

A law takes a Case and returns what is wrong, with an example, or None.
"""
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from minnet.engine.optimizers import SGD, Adam
from minnet.engine.state import Step
from minnet.errors import InvalidType, MinnetError
from minnet.model import Model
from minnet.pruning.prune import prune
from minnet.pruning.recipes import RECIPES, REGROW, Recipe
from minnet.pruning.scores import name_of
from minnet.testing.broken import Law, broken, chosen, difference
from minnet.testing.small import make, sample_for
from minnet.training import train

NET = "dense"
LENGTHS = ((0, 0.5), (1, 0.29), (4, 0.75), (3, 0.0))  # epochs and sparsity
training = partial(train, optimizer=SGD(0.05, momentum=0.9), batch_size=3)


@dataclass(frozen=True)
class Case:
    """Hold a recipe, and whether weights may come back."""

    recipe: Recipe
    regrows: bool

    def steps(self, model: Model, sparsity: object = 0.5, epochs: object = 3, *, rng: object = 0,
              prune: object = prune, train: object = training) -> Iterator[Step]:
        """Call the recipe, with as many of these arguments as it takes."""
        sample = sample_for(model)
        given = {"epochs": epochs, "rng": rng, "prune": prune, "train": train}
        taken = inspect.signature(self.recipe).parameters
        return self.recipe(model, (sample.X, sample.y), sparsity, **{k: v for k, v in given.items() if k in taken})


def check_recipe(recipe: Recipe, *, regrows: bool | None = None, laws: Sequence[str] | None = None) -> None:
    """Check the laws that every recipe keeps, by training a small net on a few rows.

    In the end exactly as many weights are masked as was asked for, however many epochs there are, and a mask never
    loses what it has unless weights may grow again; masked weights are +0.0 in the values and in what the optimizer
    remembers, at every step; the same seed gives the same bits; a wrong argument is refused at the call.

    Parameters
    ----------
    recipe : callable
        A function ``(model, data, sparsity, *, epochs, prune, train, rng)`` that yields Steps, as in
        `minnet.recipes`; of the keywords it may lack some.
    regrows : bool, optional
        Whether removed weights may grow again. Default: False, and what is known of minnet's own.
    laws : sequence of str, optional
        Names in RECIPE_LAWS. Default: all.

    Raises
    ------
    LawBroken
        A law does not hold; the message names it and shows an example.
    InvalidType
        The recipe is no function.
    """
    if not callable(recipe):
        raise InvalidType(f"check_recipe takes a function (model, data, sparsity, ...) that trains, got {recipe!r}")
    if regrows is None:
        regrows = any(RECIPES[name] is recipe for name in REGROW)
    for law in chosen(laws, RECIPE_LAWS):
        if wrong := law(Case(recipe, regrows)):
            raise broken(f"the recipe {name_of(recipe)}", law, f"the net {NET}", wrong)


# --- the laws --------------------------------------------------------------------------------------------------------


def exact_counts(case: Case) -> str | None:
    """End with exactly ``round(sparsity n)`` masked weights of the n, and unmask none on the way."""
    for epochs, sparsity in () if case.regrows else LENGTHS:
        model = make(NET)
        before, wanted = model.mask.copy(), round(sparsity * model.n_weights)
        for number, _ in enumerate(case.steps(model, sparsity, epochs)):
            if (model.mask & ~before).any():
                back = int((model.mask & ~before).argmax())
                return f"sparsity={sparsity}, epochs={epochs}: weight {back} is back after step {number + 1}"
            before = model.mask.copy()
        found = int(np.count_nonzero(~model.mask[: model.n_weights]))
        if found != wanted:
            return f"sparsity={sparsity}, epochs={epochs}: {found} of {model.n_weights} masked, wanted {wanted}"
    return None


def masked_is_plus_zero(case: Case) -> str | None:
    """Keep masked weights at +0.0, in the values and in every vector of the optimizer, at every step."""
    for optimizer in (SGD(0.05, momentum=0.9), Adam(0.01)):
        model = make(NET)
        steps = case.steps(model, 0.6, 4, train=partial(train, optimizer=optimizer, batch_size=4, every="batch"))
        for number, step in enumerate(steps):
            gone = ~model.mask
            if (bad := model.values[gone].view(np.uint64)).any():
                where = int(np.flatnonzero(gone)[bad.argmax()])
                return f"the masked weight {where} is {model.values[where]:.6g} after step {number + 1}"
            if step.state.vectors[:, gone[: model.n_trainable]].view(np.uint64).any():
                return f"{type(optimizer).__name__} remembers something of a masked weight after step {number + 1}"
    return None


def the_same_seed_the_same_bits(case: Case) -> str | None:
    """Give the same values and the same mask for the same seed."""
    models = [make(NET), make(NET)]
    for model in models:
        for _ in case.steps(model, rng=3, prune=partial(prune, criterion="random")):
            pass
    first, second = models
    if not np.array_equal(first.mask, second.mask):
        return f"{int(np.count_nonzero(first.mask != second.mask))} entries of the mask differ"
    return None if first.values.tobytes() == second.values.tobytes() else difference(second.values, first.values)


def wrong_arguments(case: Case) -> str | None:
    """Refuse a wrong sparsity, number of epochs or seed at the call, before the model is touched."""
    taken = inspect.signature(case.recipe).parameters
    for name, value in (("sparsity", 1.5), ("epochs", -1), ("rng", "x")):
        model = make(NET)
        before = model.values.tobytes(), model.mask.tobytes()
        arguments = {name: value}
        if name != "sparsity" and name not in taken:
            continue
        try:
            case.steps(model, **arguments)
        except MinnetError:
            if (model.values.tobytes(), model.mask.tobytes()) != before:
                return f"{name}={value!r} is refused, and the model has changed"
        else:
            return (f"{name}={value!r} is not refused when the recipe is called: check it in a function that returns "
                    "the generator")
    return None


RECIPE_LAWS: dict[str, Law] = {f.__name__: f for f in (
    exact_counts, masked_is_plus_zero, the_same_seed_the_same_bits, wrong_arguments)}
