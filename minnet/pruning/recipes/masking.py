"""Recipes that only ever mask: once, round by round, or while training goes on. A weight that went stays away."""
import itertools

import numpy as np

from minnet.engine.rng import as_rng
from minnet.errors import InvalidValue, check_count, check_fraction
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal
from minnet.training import train as train_


def one_shot(model, data, sparsity, *, epochs=30, schedule="one_shot", prune=prune_, train=train_, rng=None):
    """Prune once, then train on: the baseline of Han et al. (2015) and Liu et al. (2019).

    `schedule` is of no account: everything goes at once.
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, "one_shot", prune, pruning)
    return _rounds(goal, [check_count("epochs", epochs)], train, training)


def iterative(model, data, sparsity, *, epochs=30, rounds=5, schedule="geometric", prune=prune_, train=train_,
              rng=None):
    """Rounds of pruning and training on, each training a run of its own: round k of R ends at the share f(k / R) of the
    way (Han et al., 2015, section 3.3). `epochs` are shared out over the rounds."""
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    return _rounds(goal, shared(epochs, check_count("rounds", rounds, 1)), train, training)


def gradual(model, data, sparsity, *, epochs=30, schedule="cubic", begin=0.0, end=0.5, prune=prune_, train=train_,
            rng=None):
    """Prune a little after every epoch (with train's every="batch": every batch), while training goes on in one run.

    The pruning runs from `begin` to `end`, shares of the training, along `schedule`; what is left of the training is at
    full sparsity (Zhu and Gupta, 2017, section 3).
    """
    if check_fraction("begin", begin) >= check_fraction("end", end):
        raise InvalidValue(f"begin={begin} and end={end}: pruning must begin before it ends")
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    return _gradual(goal, train(model, data, epochs=check_count("epochs", epochs), rng=training), begin, end)


def lottery_ticket(model, data, sparsity, *, epochs=30, rounds=5, rewind=0, schedule="geometric", prune=prune_,
                   train=train_, rng=None):
    """Train, prune, put what is left back to where it was early on; after the last round train the ticket (Frankle and
    Carbin, 2019, section 1, strategy 1 of appendix B).

    Early is the model as it is given, or after its first `rewind` epochs (Frankle et al., 2020, section 2). `epochs`,
    less those, are shared out over `rounds` + 1 trainings.
    """
    left = check_count("epochs", epochs) - check_count("rewind", rewind, 0, epochs)
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    return _ticket(goal, rewind, shared(left, check_count("rounds", rounds, 1) + 1), train, training)


def shared(epochs, rounds):
    """`epochs` over `rounds` as evenly as whole numbers go, the larger ones last."""
    check_count("epochs", epochs)
    edges = [epochs * i // rounds for i in range(rounds + 1)]
    return [after - before for before, after in itertools.pairwise(edges)]


def _rounds(goal, epochs, train, rng):
    for number, some in enumerate(epochs, 1):
        goal.reach(number / len(epochs))
        yield from train(goal.model, goal.data, epochs=some, rng=rng)


def _gradual(goal, steps, begin, end):
    for step in steps:
        if step.progress >= begin:
            goal.reach((step.progress - begin) / (end - begin))
            step.state.apply_mask()
        yield step
    goal.reach(1.0)  # also where there was nothing to train


def _ticket(goal, rewind, epochs, train, rng):
    model = goal.model
    yield from train(model, goal.data, epochs=rewind, rng=rng)
    early = model.values.copy()
    *rounds, last = epochs
    for number, some in enumerate(rounds, 1):
        yield from train(model, goal.data, epochs=some, rng=rng)
        goal.reach(number / len(rounds))
        model.values[:] = np.where(model.mask, early, 0)
    yield from train(model, goal.data, epochs=last, rng=rng)


RECIPES = {f.__name__: f for f in (one_shot, iterative, gradual, lottery_ticket)}
