"""Recipes that alternate between the dense net and the pruned one: what was cut may grow again while all are free."""
from collections.abc import Iterator, Sequence

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.state import Step
from minnet.errors import InvalidType, InvalidValue, check_count, check_fraction, quoted
from minnet.formats.checkpoint import remember
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal, Prune, Train, bound_to, check_span
from minnet.pruning.recipes.moving import check_single
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

SAFE = 1e-9  # progress this close to a mark has reached it


def ac_dc(model: Model, data: Data, sparsity: float, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
          cycles: int = 4, begin: float = 0.05, end: float = 0.85, reset: bool = True, prune: Prune = prune_,
          train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Alternate between phases of the pruned net and phases of the dense one, and end pruned (AC/DC).

    At `begin` the net is cut to `sparsity` and keeps its mask for one phase; then all weights are free for one, those
    that were cut from 0; and so on until `end`, where it is cut for good. With the defaults a phase is a tenth of the
    training. The sparsity is exactly 0 or exactly the one asked for; take a best net among the pruned ones alone.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float
        The fraction of the weights that is masked at the end.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: a phase is dense, or as sparse as asked.
    cycles : int, default 4
        How many pairs of a pruned and a dense phase lie between `begin` and `end`.
    begin, end : float, default 0.05 and 0.85
        Where the first phase begins that is pruned, and the last one, as shares of the training.
    reset : bool, default True
        Whether the optimizer's moments become 0 when a dense phase begins.
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
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Peste et al., 2021, "AC/DC: alternating compressed/decompressed training of deep neural networks",
           algorithm 1.
    """
    check_span(begin, end)
    marks = np.linspace(begin, end, 2 * check_count("cycles", cycles, 1) + 1)
    return _begin("ac_dc", model, data, sparsity, marks, reset, prune, train, epochs, rng)


def dsd(model: Model, data: Data, sparsity: float, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
        begin: float = 0.3, again: float = 0.6, end: float = 0.9, last_cut: bool = True, prune: Prune = prune_,
        train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Train dense, then pruned, then dense again, and cut once more (dense-sparse-dense).

    The net is dense up to `begin`, pruned up to `again`, and then dense again, with weights that were cut from 0. The
    paper ends there, with a dense net that is more accurate for having been pruned: `last_cut=False`. Otherwise it is
    cut once more at `end`. Bind an `lr_schedule` to `train` that is low from `again` on: the paper's is a tenth.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float
        The fraction of the weights that is masked at the end; with `last_cut=False` none is.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: a phase is dense, or as sparse as asked.
    begin, again, end : float, default 0.3, 0.6 and 0.9
        Where the net is cut, where it is dense again, and where it is cut for good, as shares of the training.
    last_cut : bool, default True
        Whether it is cut once more.
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
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Han et al., 2017, "DSD: dense-sparse-dense training for deep neural networks", algorithm 1.
    """
    if not isinstance(last_cut, bool | np.bool_):
        raise InvalidType(f"last_cut={quoted(repr(last_cut))}: True to end pruned, False to end dense")
    if not check_fraction("begin", begin) < check_fraction("again", again) < check_fraction("end", end):
        raise InvalidValue(f"begin={begin}, again={again} and end={end}: wanted three marks that rise, from 0 to 1")
    marks = (begin, again, end) if last_cut else (begin, again)
    return _begin("dsd", model, data, sparsity, marks, False, prune, train, epochs, rng)


def _begin(name, model, data, sparsity, marks, reset, prune, train, epochs, rng):
    check_single(name, bound_to(prune, "structure", "weight"))
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, "one_shot", prune, pruning)
    now = {"pruned": False, "base": model.mask.copy()}
    remember(train, goal, now)
    steps = train(model, data, epochs=check_count("epochs", epochs), rng=training)
    return _alternate(goal, steps, marks, reset, now)


def _alternate(goal: Goal, steps: Iterator[Step], marks: Sequence[float], reset: bool, now: dict) -> Iterator[Step]:
    """Yield the steps with the net pruned after an odd number of marks, and as it was before after an even one."""
    model = goal.model
    for step in steps:
        before = now["pruned"]
        pruned = now["pruned"] = sum(step.progress >= mark - SAFE for mark in marks) % 2 == 1
        if pruned and not before:
            goal.reach(1.0)
        elif before and not pruned:
            model.mask[:] = now["base"]  # the values of what was cut are 0
            if reset:
                step.state.vectors[:] = 0
        step.state.apply_mask()
        yield step
    if len(marks) % 2:
        goal.reach(1.0)  # also where there was nothing to train


RECIPES = {f.__name__: f for f in (ac_dc, dsd)}
