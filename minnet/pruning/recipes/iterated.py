"""Recipes that prune before any training, at once or in many rounds with new scores each; then train what is left."""
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.sample import gradient
from minnet.engine.state import Step
from minnet.errors import check_count
from minnet.formats.checkpoint import remember
from minnet.pruning.criteria import CRITERIA
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.controls import Control
from minnet.pruning.recipes.goal import Goal, Prune, Train
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

SOFT_GRASP = partial(CRITERIA["grasp"], temperature=200.0)


def snip(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
         control: str | None = None, prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Prune once by connection sensitivity before any training, then train (SNIP).

    The criterion is `snip`, ``|w dL/dw|`` at the initial weights, over one sample of the data; that of `prune` is not
    used. Unlike in the authors' code biases are not pruned: at 0 they would all be.

    Parameters
    ----------
    model : Model
        The model to prune and train, in place: one that is not trained yet.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the pieces that is masked at the end; None where the structure or the distribution sets the
        count.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: everything is removed at once.
    control : str, optional
        Train a control in the place of the mask that is found: "inverted" removes the highest scores; "reinitialised",
        "shuffled", "uniform" and "erk" as in `control_of`.
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
    .. [1] Lee, Ajanthan and Torr, 2019, "SNIP: single-shot network pruning based on connection sensitivity".
    """
    return _begin(_at_once("snip"), model, data, sparsity, "one_shot", control, prune, train, 1, epochs, rng)


def grasp(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
          control: str | None = None, prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Prune once before any training so that the gradient keeps its size, then train (GraSP).

    The criterion is `grasp`, w (H g) at the initial weights, over one sample of the data; that of `prune` is not used.
    As in the authors' code the logits are divided by 200.

    Parameters
    ----------
    model : Model
        The model to prune and train, in place: one that is not trained yet.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the pieces that is masked at the end; None where the structure or the distribution sets the
        count.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: everything is removed at once.
    control : str, optional
        Train a control in the place of the mask that is found: "inverted" removes the highest scores; "reinitialised",
        "shuffled", "uniform" and "erk" as in `control_of`.
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
    .. [1] Wang, Zhang and Grosse, 2020, "Picking winning tickets before training by preserving gradient flow".
    """
    return _begin(_at_once(SOFT_GRASP), model, data, sparsity, "one_shot", control, prune, train, 1, epochs, rng)


def synflow(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, rounds: int = 100,
            schedule: PruneSchedule = "geometric", control: str | None = None, prune: Prune = prune_,
            train: Train = train_, rng: Seed = None) -> Iterator[Step]:
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
    control : str, optional
        Train a control in the place of the mask that is found: "inverted" removes the highest scores; "reinitialised",
        "shuffled", "uniform" and "erk" as in `control_of`.
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
    return _begin(_nested, model, data, sparsity, schedule, control, prune, train, rounds, epochs, rng)


def force(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, rounds: int = 60,
          schedule: PruneSchedule = "geometric", control: str | None = None, prune: Prune = prune_,
          train: Train = train_, rng: Seed = None) -> Iterator[Step]:
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
    control : str, optional
        Train a control in the place of the mask that is found: "inverted" removes the highest scores; "reinitialised",
        "shuffled", "uniform" and "erk" as in `control_of`.
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
    return _begin(_with_return, model, data, sparsity, schedule, control, prune, train, rounds, epochs, rng)


def _begin(method, model, data, sparsity, schedule, control, prune, train, rounds, epochs, rng):
    """Check what a recipe was asked; return the generator that prunes by `method` and then trains."""
    training, pruning, drawing = as_rng(rng).spawn(3)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _then_train(method, goal, check_count("rounds", rounds, 1), Control(control, goal, drawing), train)


def _then_train(method, goal, rounds, control, train):
    early, base = goal.model.values.copy(), goal.model.mask.copy()
    method(goal, rounds, control)
    control.apply(early, base)
    remember(train, goal)
    yield from train(goal.model, goal.data)


def _at_once(criterion):
    """Return what prunes once, by that criterion."""
    def method(goal, rounds, control):
        goal.prune = partial(goal.prune, criterion=control.of(criterion))
        goal.reach(1.0)
    return method


def _nested(goal, rounds, control):
    """Prune in rounds, each from the mask of the round before."""
    goal.prune = partial(goal.prune, criterion=control.of("synflow"))
    for number in range(1, rounds + 1):
        goal.reach(number / rounds)


def _with_return(goal, rounds, control):
    """Prune in rounds, each from the values and the mask that the first one found."""
    model, prune = goal.model, goal.prune
    values, mask = model.values.copy(), model.mask.copy()
    for number in range(1, rounds + 1):
        goal.prune = partial(prune, criterion=control.of(partial(_sensitivity, at=model.values.copy())))
        model.set_mask(mask)
        model.values[:] = values
        goal.reach(number / rounds)


def _sensitivity(model, sample, at):
    """Return ``|w dL/dw|``, the gradient taken at the values `at`."""
    return np.abs(model.weights * gradient(model, sample, at)[: model.n_weights])


RECIPES = {f.__name__: f for f in (snip, grasp, synflow, force)}
