"""Recipes that make weights small, or exactly 0, by a penalty while they are trained, and then cut them."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.state import Step
from minnet.errors import InvalidValue, Unsupported, check_choice, check_count, check_positive, quoted
from minnet.formats.checkpoint import remember
from minnet.kernels.select import GONE
from minnet.pruning.parse import Structure
from minnet.pruning.penalties import PENALTIES, BatchNormL1, Penalty
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal, Prune, Train, bound_to, check_span
from minnet.pruning.recipes.latent import Latent, ask, batches_of, penalties_with
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

CHANNELS = partial(prune_, structure="channel")
UNITS = ("channel", "filter", "neuron")


def growing_l2(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
               schedule: PruneSchedule = "one_shot", ceiling: float = 1.0, interval: int = 10, begin: float = 0.1,
               end: float = 0.7, prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Choose what is to be removed, shrink it by an L2 penalty that grows, then cut exactly that (GReg-1).

    What `prune` would remove at `begin` is penalised by ``strength / 2 sum of w^2``; every `interval` steps the
    strength rises, in equal steps, up to `ceiling` at `end`. The net has time to take over what the others did.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the pieces that is masked at the end;
        None where the structure or the distribution sets the count.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: everything is cut at `end`.
    ceiling : float, default 1
        The strength at `end`.
    interval : int, default 10
        How many steps pass between two strengths.
    begin, end : float, default 0.1 and 0.7
        Where the pieces are chosen, and where they are cut, as shares of the training.
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
    .. [1] Wang et al., 2021, "Neural pruning via growing regularization", section 3.2.
    """
    check_span(begin, end)
    check_positive("ceiling", ceiling)
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, sparsity, "one_shot", prune, pruning)
    pull = _Growing(ceiling, check_count("interval", interval, 1))
    steps = (end - begin) * check_count("epochs", epochs) * batches_of(train, model, data)
    train = partial(train, epochs=epochs, rng=training, penalty=penalties_with(train, pull))
    return _grow(goal, train, partial(pull.start, steps=max(steps, 1)), pull, begin, end)


def _grow(goal, train, start, pull, begin, end):
    now = {"cut": False}
    if begin == 0:
        start(_would_go(goal))
    remember(train, goal, pull, now)
    for step in train(goal.model, goal.data):
        if pull.chosen is None and begin <= step.progress < end:
            start(_would_go(goal))
        if not now["cut"] and step.progress >= end:
            _cut_those(goal, pull.chosen)
            step.state.apply_mask()
            now["cut"], pull.chosen = True, None
        yield step
    if not now["cut"]:  # there was nothing to train
        goal.reach(1.0)


class _Growing:
    """strength / 2 sum of w^2 over what is chosen; the strength rises every `interval` steps, up to `ceiling`."""

    def __init__(self, ceiling: float, interval: int) -> None:
        self.ceiling, self.interval, self.t, self.steps = ceiling, interval, 0, 1.0
        self.chosen: np.ndarray | None = None

    def start(self, chosen: np.ndarray, steps: float) -> None:
        self.chosen, self.steps = np.flatnonzero(chosen), steps

    def add_gradient(self, model: Model, grads: np.ndarray) -> None:
        """Add strength * w for the weights that were chosen."""
        if self.chosen is not None:
            self.t += 1
            strength = self.ceiling * min(self.t // self.interval * self.interval / self.steps, 1)
            grads[self.chosen] += model.dtype.type(strength) * model.values[self.chosen]

    def prox(self, model: Model, lr: float) -> None:
        """Do nothing: all of it is smooth."""


def _would_go(goal):
    """Return (n_weights,) bool: the live weights that the goal would remove now."""
    model, prune, before, values = goal.model, goal.prune, goal.model.mask.copy(), goal.model.values.copy()
    goal.prune = partial(prune, record=None, compensate=None)  # it is no round
    goal.reach(1.0)
    chosen = (before & ~model.mask)[: model.n_weights]
    goal.prune, model.mask[:], model.values[:] = prune, before, values
    return chosen


def _cut_those(goal, chosen):
    """Prune to the goal, by scores that are 0 at the chosen weights (flat positions) and 1 elsewhere."""
    if chosen is not None:
        scores = np.ones(goal.model.n_weights)
        scores[chosen] = 0
        anywhere = {} if goal.open else {"distribution": "global"}  # what each layer loses was chosen too
        goal.prune = partial(goal.prune, criterion=lambda model, data: scores, **anywhere)
    goal.reach(1.0)


def slimming(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
             schedule: PruneSchedule = "one_shot", strength: float = 0.01, end: float = 0.5, prune: Prune = CHANNELS,
             train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Pull the gains of BatchNorm to 0 by an L1 penalty, then cut the channels of the smallest gains (slimming).

    Up to `end` the loss has the penalty strength sum of ``|gain|``; there the channels with the smallest gains of the
    whole net are removed, by the criterion `bn_scale`. What is left is trained on without the penalty. Gains of
    different layers are not on one scale: a deep cut by the whole net may leave one unit of a layer (bind
    distribution="layerwise" or min_density= to `prune`).

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float or None
        The fraction of the channels that is masked at the end, by a last exact
        cut; None removes those whose gain is exactly 0.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the channels are cut at `end`.
    strength : float, default 0.01
        The strength of the penalty; the paper's, 1e-4, is for some hundred thousand steps.
    end : float, default 0.5
        Where the channels are cut, as a share of the training; later than that a deep cut finds too little of it left.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`; the criterion is not used.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`; the first one from `end` on says in `cut` how many weights were cut whose channel had
        a gain that was not 0.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not of whole units.

    References
    ----------
    .. [1] Liu et al., 2017, "Learning efficient convolutional networks through network slimming", section 3.
    """
    check_span(0.0, end)
    check_units(bound_to(prune, "structure", "weight"))
    pull = BatchNormL1(check_positive("strength", strength))
    pull.layers(model)  # raises where there is no BatchNorm
    training, pruning = as_rng(rng).spawn(2)
    goal = Goal(model, data, 0.0 if sparsity is None else sparsity, "one_shot", partial(prune, criterion="bn_scale"),
                pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training, penalty=penalties_with(train, pull))
    return _slim(goal, train, pull, sparsity is None, end)


def check_units(structure: Structure) -> None:
    """Raise Unsupported for a structure that is not one of whole units."""
    if structure not in UNITS:
        raise Unsupported(f"slimming cuts the channels that pass a BatchNorm, and structure={quoted(repr(structure))} "
                          'removes none whole: take structure="channel" or another recipe')


def _slim(goal, train, pull, is_open, end):
    now = {"cut": False}
    remember(train, goal, pull, now)
    for step in train(goal.model, goal.data):
        if not now["cut"] and step.progress >= end:
            cut = _cut_channels(goal, is_open)
            now["cut"], pull.strength = True, 0.0
            step.state.apply_mask()
            yield replace(step, cut=None if is_open else cut)
        else:
            yield step
    if not now["cut"]:  # there was nothing to train
        _cut_channels(goal, is_open)


def _cut_channels(goal, is_open):
    """Cut to the goal, or where it is open all that the penalty made 0; return how many more weights than those."""
    trial = partial(goal.prune, record=None, compensate=None, data=goal.data, rng=goal.rng)  # it is no round
    found = trial(goal.model, count=goal.before).plan.candidates
    zeros = goal.before + np.count_nonzero((found.scores == 0) & (found.state != GONE))
    zeros = min(zeros, int(found.most.sum()))
    if is_open:
        goal.cut(zeros)
        return 0
    first = trial(goal.model, count=zeros)
    first.undo()
    return first.remaining - goal.reach(1.0).remaining


def proximal(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
             schedule: PruneSchedule = "one_shot", penalty: str | Callable[[float], Penalty] = "l1",
             low: float = 0.003, high: float = 0.1, path: int = 20, begin: float = 0.0, end: float = 0.8,
             prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Follow a penalty along a path of rising strengths, by proximal steps that make exact zeros; then cut.

    After each step on the loss the weights move by the penalty's prox. From `begin` to `end` the strength takes `path`
    values from `low` to `high`, each a constant times the one before, and each net is where the next one starts: the
    path of glmnet, from its other end, since a net of zeros has no gradient to leave them by. Once as many weights as
    asked for are 0 these are cut, at the latest at `end`, and the others are trained on without the penalty.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float or None
        The fraction of the weights that is masked at the end, by a last exact cut; None leaves it to the method.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the strength decides.
    penalty : str or callable, default "l1"
        A name in PENALTIES, or a function of the strength that makes a Penalty, which has a prox.
    low, high : float, default 0.003 and 0.1
        The first and the last strength.
    path : int, default 20
        How many strengths there are.
    begin, end : float, default 0 and 0.8
        Where the path begins, and where the weights are cut for good at the latest, as shares of the training.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`; the criterion is not used.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`; the first one from `end` on says in `cut` how many weights the last exact cut took.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Parikh and Boyd, 2014, "Proximal algorithms", section 4.2.
    .. [2] Friedman, Hastie and Tibshirani, 2010, "Regularization paths for generalized linear models via coordinate
           descent", section 2.5.
    """
    if check_positive("low", low) > check_positive("high", high):
        raise InvalidValue(f"low={low} and high={high}: the strength rises from low to high")
    run = ask("proximal", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng, outcome=True)
    strengths = np.geomspace(low, high, check_count("path", path, 1))
    return _Proximal(run, with_prox(penalty, low), strengths).steps()


def with_prox(penalty: str | Callable[[float], Penalty], strength: float) -> Penalty:
    """Return the penalty of that strength; raise InvalidValue where it makes no zeros of weights."""
    made: Penalty = check_choice("penalty", penalty, PENALTIES)(strength)
    kind = type(made)
    if (kind.prox is Penalty.prox and kind.prox_of is Penalty.prox_of) or made.kind != "weight":
        raise InvalidValue(f"penalty={quoted(repr(penalty))} has no prox that makes weights 0: take l1, l0, mcp or "
                           "group_lasso")
    return made


@dataclass(eq=False)
class _Proximal(Latent):
    penalty: Penalty
    strengths: np.ndarray

    def forward(self):
        model, place = self.model, min(int(self.way * len(self.strengths)), len(self.strengths) - 1)
        self.penalty.strength = float(self.strengths[place])
        model.values[: model.n_weights] = self.values
        self.penalty.prox(model, self.lr)
        self.values[:] = np.where(self.base, model.weights, 0)
        self.live = self.base & ((self.values != 0) | ~self.scope)
        self.reached = self.is_enough(self.live)
        return self.values

    def backward(self, gradient):
        self.penalty.add_gradient(self.model, gradient)


RECIPES = {f.__name__: f for f in (growing_l2, slimming, proximal)}
