"""Recipes that train a sparse net from its first step to its last: its weights stay, or as many grow as are removed.

    for step in recipes.set(model, data, 0.95, epochs=50, rng=0): ...
    for step in recipes.rigl(sparse_mlp(widths), data, None, train=partial(train, every=100)): ...

A dense model begins with random weights masked, unless `prune` is bound to choose otherwise; with sparsity None a
`distribution` of layers and sparsities sets the counts. After that, and with sparsity None alone at once, the count of
live weights of every layer stays as it is. In a layer that was born sparse the positions themselves move. Weights move
one by one, so other structures are refused. New weights begin at 0, with moments of 0; a layer that has all its
weights has no free position, and stays as it is.
"""
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.lr_schedules import cosine
from minnet.engine.model import Model
from minnet.engine.rewire import draw_places, renew
from minnet.engine.rng import as_rng
from minnet.engine.state import State, Step
from minnet.errors import check_count, check_fraction
from minnet.kernels.select import select_near_zero
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.moving import (
    check_samples,
    movable,
    move,
    replace_by_gradient,
    rewiring,
    slots,
    sparse_start,
)
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

ERDOS_RENYI = partial(prune_, criterion="random", distribution="erdos_renyi")
ERK = partial(prune_, criterion="random", distribution="erk")
ROWS = 128  # rows of the training part that a dense gradient is taken over


def static(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
           schedule: PruneSchedule = "one_shot", prune: Prune = ERK, train: Train = train_,
           rng: Seed = None) -> Iterator[Step]:
    """Train the weights at positions drawn at random, which stay: what other sparse training has to beat.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the weights that is masked; None where the net is sparse already.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is sparse from the start.
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
    .. [1] Liu et al., 2022, "The unreasonable effectiveness of random pruning".
    """
    training, pruning = as_rng(rng).spawn(2)
    goal = sparse_start("static", model, data, sparsity, prune, pruning, once=True)
    return rewiring(goal, partial(train, epochs=check_count("epochs", epochs), rng=training), _stay)


def set_(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
         schedule: PruneSchedule = "one_shot", zeta: float = 0.3, prune: Prune = ERDOS_RENYI, train: Train = train_,
         rng: Seed = None) -> Iterator[Step]:
    """Replace, after every epoch but the last, the weights nearest 0 by others at random positions (SET).

    In every layer the share `zeta` of the smallest positive and of the largest negative weights is removed, and as many
    grow. A weight of 0 counts as positive.

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
        Not used: the net is sparse from the start.
    zeta : float, default 0.3
        The share of the weights of either sign that is replaced.
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
    .. [1] Mocanu et al., 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity",
           algorithm 1.
    """
    training, pruning, growing = as_rng(rng).spawn(3)
    check_fraction("zeta", zeta)
    goal = sparse_start("set", model, data, sparsity, prune, pruning, once=True)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return rewiring(goal, train, partial(_after_epochs, zeta=zeta, rng=growing), growing)


def rigl(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
         schedule: PruneSchedule = "one_shot", interval: int = 100, alpha: float = 0.3, end: float = 0.75,
         samples: int | None = ROWS, prune: Prune = ERK, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Replace, every `interval` steps, the smallest ``|w|`` by weights where the gradient is largest (RigL).

    In every layer the share alpha/2 (1 + cos(pi t / T_end)) of the live weights is replaced. As in the paper, a weight
    that was just removed may grow again, at 0. The gradient of all positions, masked ones too, is taken at these steps
    only. Only steps that `train` yields are seen: bind every=100 to it where an epoch is longer.

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
        Not used: the net is sparse from the start.
    interval : int, default 100
        How many steps pass between two updates.
    alpha : float, default 0.3
        The share that is replaced at the first update.
    end : float, default 0.75
        T_end, where the updates end, as a share of the training.
    samples : int or None, default 128
        How many rows of the training part the dense gradient is taken over; None for all.
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
    .. [1] Evci et al., 2020, "Rigging the lottery", algorithm 1.
    """
    training, pruning, growing = as_rng(rng).spawn(3)
    for name, share in (("alpha", alpha), ("end", end)):
        check_fraction(name, share)
    check_samples(samples)
    goal = sparse_start("rigl", model, data, sparsity, prune, pruning, once=True)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    update = _ByGradient(data, check_count("interval", interval, 1), alpha, end, samples, growing)
    return rewiring(goal, train, update, update)


def _stay(step, layers):
    """Change nothing."""


def _after_epochs(step, layers, zeta, rng):
    """Update by SET after an epoch."""
    if step.batch == 0 and step.progress < 1:
        evolve(step.state, layers, zeta, rng)


def evolve(state: State, layers: list[str], zeta: float, rng: np.random.Generator) -> None:
    """Replace, in the layers of these names, the share `zeta` of the smallest weights of either sign."""
    weights = movable(state.model, layers)
    threads.run([partial(_evolve, state, p, zeta, stream)
                 for p, stream in zip(weights, rng.spawn(len(weights)), strict=True)])
    if any(p.index is not None for p in weights):
        state.model.topology = state.topology = state.model.topology + 1


def _evolve(state, p, zeta, rng):
    """Replace the weights of one layer."""
    positions, value, live = slots(p)
    gone = np.empty(len(value), bool)
    select_near_zero(value, live, zeta, gone)
    if p.index is None:
        move(state, p, positions, gone, partial(draw_places, rng, p.size))
    else:
        renew(state, p, gone, rng)


class _ByGradient:
    """RigL's updates, and how many there were."""

    def __init__(self, data, interval, alpha, end, samples, rng):
        self.data, self.samples, self.rng = data, samples, rng
        self.interval, self.alpha, self.end = interval, alpha, end
        self.updates = 0

    def memory(self):
        """Return what changes between two steps."""
        return {"updates": self.updates, "rng": self.rng}

    def __call__(self, step, layers):
        updates = step.state.t // self.interval
        if updates == self.updates or step.progress >= self.end:
            return
        self.updates = updates
        share = self.alpha * cosine(step.progress / self.end)
        replace_by_gradient(step, layers, share, self.data, self.samples, self.rng)


RECIPES = {f.__name__.rstrip("_"): f for f in (static, set_, rigl)}
