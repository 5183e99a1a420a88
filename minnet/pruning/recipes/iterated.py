"""Recipes that prune before any training, in many rounds, each with scores of its own; then train what is left."""
from functools import partial

import numpy as np

from minnet.engine.rng import as_rng
from minnet.engine.sample import gradient
from minnet.errors import check_count
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal
from minnet.training import train as train_


def synflow(model, data, sparsity, *, epochs=30, rounds=100, schedule="geometric", prune=prune_, train=train_,
            rng=None):
    """Prune by the criterion `synflow` in `rounds` rounds, then train (Tanaka et al., 2020, algorithm 1, which takes
    100 rounds and leaves density^(k / 100) after round k: the schedule "geometric").

    A single round may cut a layer through; scores made anew after each cut grow where few weights are left, and so
    keep every layer alive. The criterion of `prune` is of no account, and the data serve the training alone.
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _then_train(_again_and_again, goal, check_count("rounds", rounds, 1), train)


def force(model, data, sparsity, *, epochs=30, rounds=60, schedule="geometric", prune=prune_, train=train_, rng=None):
    """FORCE: in each round keep the weights with the largest |w dL/dw|, w as it began, masked or not, and the gradient
    that of the net as the round before left it; then train (de Jorge et al., 2021, "Progressive skeletonization:
    trimming more fat from a network at initialization", who take 60 rounds and the schedule "geometric").

    A weight that one round cut comes back if the next finds it large: foresight connection sensitivity, where `snip`
    looks at the dense net. What is masked when the recipe begins stays so. The criterion of `prune` is of no account;
    each round draws its own sample of the data.
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _then_train(_with_return, goal, check_count("rounds", rounds, 1), train)


def _then_train(pruning, goal, rounds, train):
    pruning(goal, rounds)
    yield from train(goal.model, goal.data)


def _again_and_again(goal, rounds):
    """Every round goes on from the one before."""
    goal.prune = partial(goal.prune, criterion="synflow")
    for number in range(1, rounds + 1):
        goal.reach(number / rounds)


def _with_return(goal, rounds):
    """Every round begins with the values and the mask that the first one found."""
    model, prune = goal.model, goal.prune
    values, mask = model.values.copy(), model.mask.copy()
    for number in range(1, rounds + 1):
        goal.prune = partial(prune, criterion=partial(_sensitivity, at=model.values.copy()))
        model.set_mask(mask)
        model.values[:] = values
        goal.reach(number / rounds)


def _sensitivity(model, sample, at):
    """|w dL/dw|, the gradient taken at the values `at`."""
    return np.abs(model.weights * gradient(model, sample, at)[: model.n_weights])


RECIPES = {f.__name__: f for f in (synflow, force)}
