"""Recipes that only mask: once, round by round, or while training continues. Masked weights never come back."""
import inspect
import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet.engine.lr_schedules import LR_SCHEDULES
from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_choice, check_count, check_fraction
from minnet.formats.checkpoint import remember
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.controls import Control
from minnet.pruning.recipes.goal import Goal, Prune, Train, bound_to, check_span, gradually
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Schedule, Seed


def one_shot(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
             schedule: PruneSchedule = "one_shot", prune: Prune = prune_, train: Train = train_,
             rng: Seed = None) -> Iterator[Step]:
    """Prune once, then train on: the usual baseline.

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
    schedule : str, callable or list, default "one_shot"
        Not used: everything is removed at once.
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
    .. [1] Han et al., 2015, "Learning both weights and connections for efficient neural networks".
    .. [2] Liu et al., 2019, "Rethinking the value of network pruning".
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, "one_shot", prune, pruning)
    return _rounds(goal, [check_count("epochs", epochs)], train, training)


def iterative(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, rounds: int = 5,
              rewind: str | None = None, dense: float = 0.5, schedule: PruneSchedule = "geometric",
              prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Alternate pruning and training, in rounds, each training a run of its own.

    Round k of R ends at the share f(k / R) of the way, f being the schedule. With `rewind` the net is first trained as
    it is, for the share `dense` of the epochs, T of them; a round of t epochs then repeats the last t of these.

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
        The length of the whole training; the rounds share it.
    rounds : int, default 5
        How many times to prune.
    rewind : {"lr", "weights", "fine_tune"}, optional
        How a round repeats them: "lr" sets the learning rate back to what it was at epoch T - t, "weights" the live
        weights too, "fine_tune" goes on with weights and learning rate of the last epoch. By default there is no first
        training, and the `lr_schedule` of `train` runs once in each round.
    dense : float, default 0.5
        With `rewind`, the share of the epochs that the first training takes.
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
    .. [1] Han et al., 2015, "Learning both weights and connections for efficient neural networks", section 3.3.
    .. [2] Renda, Frankle and Carbin, 2020, "Comparing rewinding and fine-tuning in neural network pruning", section 3.
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    if rewind is not None:
        first = round(check_count("epochs", epochs) * check_fraction("dense", dense))
        parts = shared(epochs - first, check_count("rounds", rounds, 1))
        return _rewound(goal, first, parts, check_rewind(rewind, first, parts), train, training)
    return _rounds(goal, shared(epochs, check_count("rounds", rounds, 1)), train, training)


def gradual(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
            schedule: PruneSchedule = "cubic", begin: float = 0.0, end: float = 0.5, prune: Prune = prune_,
            train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Prune a little after every epoch, while training continues in one run.

    With train's every="batch" it prunes after every batch. The pruning lasts from `begin` to `end` along `schedule`;
    the rest of the training is at full sparsity.

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
    begin, end : float, default 0 and 0.5
        Where the pruning begins and ends, as shares of the training.
    schedule : str, callable or list, default "cubic"
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
    .. [1] Zhu and Gupta, 2017, "To prune, or not to prune", section 3.
    """
    check_span(begin, end)
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    remember(train, goal)
    return gradually(goal, train(model, data, epochs=check_count("epochs", epochs), rng=training), begin, end)


def lottery_ticket(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, rounds: int = 5,
                   rewind: int = 0, schedule: PruneSchedule = "geometric", control: str | None = None,
                   prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Train, prune and rewind what is left to its early values, in rounds; then train the ticket.

    Early values are those of the model as it is given, or after its first `rewind` epochs.

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
        The length of the whole training; `rounds` + 1 trainings share it, after the first `rewind`.
    rounds : int, default 5
        How many times to prune and rewind.
    rewind : int, default 0
        The number of epochs before the early values are taken.
    schedule : str, callable or list, default "geometric"
        How far the pruning is at progress t: a name in SCHEDULES, a function, or a list of sparsities.
    control : str, optional
        Train a control in the place of the ticket: "inverted" removes the highest scores; "reinitialised",
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
    .. [1] Frankle and Carbin, 2019, "The lottery ticket hypothesis", section 1 and strategy 1 of appendix B.
    .. [2] Frankle et al., 2020, "Linear mode connectivity and the lottery ticket hypothesis", section 2.
    """
    left = check_count("epochs", epochs) - check_count("rewind", rewind, 0, epochs)
    training, pruning, drawing = as_rng(rng).spawn(3)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    controlled = Control(control, goal, drawing)
    return _ticket(goal, rewind, shared(left, check_count("rounds", rounds, 1) + 1), controlled, train, training)


def check_rewind(rewind: str, first: int, epochs: list[int]) -> str:
    """Return `rewind` where the first training is as long as what each round repeats of it; else raise."""
    check_choice("rewind", rewind, dict.fromkeys(("lr", "weights", "fine_tune")))
    if max(epochs) > first:
        raise InvalidValue(f"rounds of {max(epochs)} epochs rewind further than the first training of {first}: more "
                           "rounds, or a larger dense")
    return rewind


def shared(epochs: int, rounds: int) -> list[int]:
    """Return `epochs` divided over `rounds` as evenly as whole numbers can be, the larger ones last."""
    check_count("epochs", epochs)
    edges = [epochs * i // rounds for i in range(rounds + 1)]
    return [after - before for before, after in itertools.pairwise(edges)]


def _rounds(goal, epochs, train, rng):
    remember(train, goal)
    for number, some in enumerate(epochs, 1):
        goal.reach(number / len(epochs))
        yield from train(goal.model, goal.data, epochs=some, rng=rng)


def _rewound(goal, first, epochs, rewind, train, rng):
    model = goal.model
    early = {0: model.values.copy()} | {first - some: model.values.copy() for some in epochs}
    remember(train, goal, early)
    for step in train(model, goal.data, epochs=first, rng=rng):
        if not step.batch and first - step.epoch in epochs:
            early[step.epoch] = model.values.copy()
        yield step
    for number, some in enumerate(epochs, 1):
        goal.reach(number / len(epochs))
        if rewind == "weights":
            model.values[:] = np.where(model.mask, early[first - some], 0)
        begin, end = (first - 1, first - 1) if rewind == "fine_tune" else (first - some, first)
        again = partial(between, schedule_of(train), begin / max(first, 1), end / max(first, 1))
        yield from train(model, goal.data, epochs=some, rng=rng, lr_schedule=again)


def schedule_of(train: Train) -> Schedule:
    """Return the learning rate's schedule that `train` has bound, or its default."""
    given = inspect.signature(train).parameters.get("lr_schedule")
    return check_choice("lr_schedule", "constant" if given is None else given.default, LR_SCHEDULES)


def between(schedule: Schedule, begin: float, end: float, t: float) -> float:
    """Return the factor that `schedule` has on the way from `begin` to `end`, of which the share t is done."""
    return schedule(begin + (end - begin) * t)


def _ticket(goal, rewind, epochs, control, train, rng):
    model, base = goal.model, goal.model.mask.copy()
    if control.inverts:
        bound = bound_to(goal.prune, "criterion", "magnitude")
        goal.prune = partial(goal.prune, criterion=control.of(bound))
    early = model.values.copy()
    remember(train, goal, early)
    yield from train(model, goal.data, epochs=rewind, rng=rng)
    early[:] = model.values
    *rounds, last = epochs
    for number, some in enumerate(rounds, 1):
        yield from train(model, goal.data, epochs=some, rng=rng)
        goal.reach(number / len(rounds))
        model.values[:] = np.where(model.mask, early, 0)
    control.apply(early, base)
    yield from train(model, goal.data, epochs=last, rng=rng)


RECIPES = {f.__name__: f for f in (one_shot, iterative, gradual, lottery_ticket)}
