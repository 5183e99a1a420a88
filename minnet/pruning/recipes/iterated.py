"""Recipes that prune before any training, in many rounds with new scores each; then train what is left."""
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.sample import gradient
from minnet.engine.state import Step
from minnet.errors import check_count
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal, Prune, Train
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed


def synflow(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, rounds: int = 100,
            schedule: PruneSchedule = "geometric", prune: Prune = prune_, train: Train = train_,
            rng: Seed = None) -> Iterator[Step]:
    """Prune by the criterion `synflow` in many rounds, then train.

    A single round may cut off a layer; scores made anew after each cut grow where few weights are left, and so keep
    every layer alive. The criterion of `prune` is not used, and only the training sees the data. With the schedule
    "geometric" round k of 100 leaves density^(k / 100), as in the paper.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the pieces that is masked at the end; None where the structure or the distribution sets the
        count.
    epochs : int, default 30
        The length of the whole training.
    rounds : int, default 100
        How many times to prune.
    schedule : str, callable or list, default "geometric"
        How far the pruning is at progress t: a name in SCHEDULES, a function, or a list of sparsities.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.

    References
    ----------
    .. [1] Tanaka et al., 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow",
           algorithm 1.
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _then_train(_nested, goal, check_count("rounds", rounds, 1), train)


def force(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, rounds: int = 60,
          schedule: PruneSchedule = "geometric", prune: Prune = prune_, train: Train = train_,
          rng: Seed = None) -> Iterator[Step]:
    """Keep in each round the largest ``|w dL/dw|``, also of weights masked before; then train (FORCE).

    w are the initial weights, masked or not; the gradient is that of the net as the round before left it. A weight that
    one round cut comes back if the next finds its score large: foresight connection sensitivity, where `snip` judges by
    the dense net. What is masked when the recipe begins stays masked. The criterion of `prune` is not used; each round
    draws its own sample of the data. The paper takes 60 rounds and the schedule "geometric".

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the pieces that is masked at the end; None where the structure or the distribution sets the
        count.
    epochs : int, default 30
        The length of the whole training.
    rounds : int, default 60
        How many times to prune.
    schedule : str, callable or list, default "geometric"
        How far the pruning is at progress t: a name in SCHEDULES, a function, or a list of sparsities.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.

    References
    ----------
    .. [1] de Jorge et al., 2021, "Progressive skeletonization: trimming more fat from a network at initialization".
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _then_train(_with_return, goal, check_count("rounds", rounds, 1), train)


def _then_train(pruning, goal, rounds, train):
    pruning(goal, rounds)
    yield from train(goal.model, goal.data)


def _nested(goal, rounds):
    """Prune in rounds, each from the mask of the round before."""
    goal.prune = partial(goal.prune, criterion="synflow")
    for number in range(1, rounds + 1):
        goal.reach(number / rounds)


def _with_return(goal, rounds):
    """Prune in rounds, each from the values and the mask that the first one found."""
    model, prune = goal.model, goal.prune
    values, mask = model.values.copy(), model.mask.copy()
    for number in range(1, rounds + 1):
        goal.prune = partial(prune, criterion=partial(_sensitivity, at=model.values.copy()))
        model.set_mask(mask)
        model.values[:] = values
        goal.reach(number / rounds)


def _sensitivity(model, sample, at):
    """Return ``|w dL/dw|``, the gradient taken at the values `at`."""
    return np.abs(model.weights * gradient(model, sample, at)[: model.n_weights])


RECIPES = {f.__name__: f for f in (synflow, force)}
