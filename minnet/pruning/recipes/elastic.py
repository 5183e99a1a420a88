"""MEST: the weights that matter least by size and by gradient are replaced at random, in shares that fall by steps."""
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rewire import draw_places
from minnet.engine.rng import as_rng
from minnet.engine.sample import draw_sample
from minnet.engine.state import Step
from minnet.errors import check_count, check_fraction, check_real
from minnet.formats.checkpoint import remember
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.moving import check_samples, live_gradient, lowest, movable, move, slots, sparse_start
from minnet.pruning.recipes.regrow import ERK, ROWS
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

HALVED = 0.6  # of the training: from here on half of the share is replaced, and half of the surplus is live


def mest(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
         zeta: float = 0.3, slope: float = 0.01, surplus: float = 0.0, end: float = 0.8, samples: int | None = ROWS,
         prune: Prune = ERK, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Replace, after each epoch, the weights with the lowest ``|w| + slope |g|`` by others at random positions (MEST).

    g is the gradient of the live weights; no dense one is made. In every layer the share `zeta` is replaced, half of it
    from 60 % of the training on, nothing once `end` is reached: elastic mutation. With a `surplus` the net has so much
    more density until 60 % of the training and half as much until `end`, where what is too much is removed by the same
    score, and nothing grows: the paper's soft memory bound (EM&S).

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the weights that is masked at the end; None where the net is sparse already.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is sparse from the start.
    zeta : float, default 0.3
        The share of the live weights that is replaced.
    slope : float, default 0.01
        What ``|g|`` counts beside ``|w|``.
    surplus : float, default 0
        The density beyond the asked one at the start; the authors' code has 0.05.
    end : float, default 0.8
        Where the changes end, as a share of the training.
    samples : int or None, default 128
        How many rows of the training part the gradient is taken over; None for all.
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
    .. [1] Yuan et al., 2021, "MEST: accurate and fast memory-economic sparse training framework on the edge".
    """
    for name, share in (("zeta", zeta), ("surplus", surplus), ("end", end)):
        check_fraction(name, share)
    check_real("slope", slope, 0)
    check_samples(samples)
    training, pruning, growing = as_rng(rng).spawn(3)
    goal = sparse_start("mest", model, data, sparsity, prune, pruning)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _mest(goal, train, (zeta, surplus, end), partial(_scores, slope=slope, samples=samples, rng=growing),
                 growing)


def _mest(goal, train, course, scores, rng):
    zeta, surplus, end = course
    now = {"count": _masked(goal, surplus), "part": 1.0}
    goal.cut(now["count"])
    remember(train, goal, now, rng)
    for step in train(goal.model, goal.data):
        if step.batch == 0 and now["part"] > 0:
            part = now["part"] = 0.0 if step.progress >= end else 0.5 if step.progress >= HALVED else 1.0
            found = scores(goal.model, goal.data)
            count, before = _masked(goal, part * surplus), now["count"]
            now["count"] = count
            if count > before:
                _remove(goal, count, found)
                step.state.apply_mask()
            _mutate(step.state, goal.layers, part * zeta, found, rng)
        yield step
    goal.cut(goal.total)  # where there was nothing to train


def _masked(goal, surplus):
    """Return how many weights are masked while the net has that much more density than it will have."""
    return max(goal.before, goal.total - round(surplus * goal.pieces))


def _remove(goal, count, scores):
    """Mask the weights with the lowest scores until `count` are; each layer loses what the distribution says."""
    before, goal.prune = goal.prune, partial(goal.prune, criterion=lambda model, data: scores)
    goal.cut(count)
    goal.prune = before


def _mutate(state, layers, share, scores, rng):
    """Replace that share of each layer's live weights, those with the lowest scores, by others at random positions."""
    for p in movable(state.model, layers):
        positions, _, live = slots(p)
        found = p.of(scores).reshape(-1)[positions] if p.index is None else p.of(scores)
        gone = lowest(found, live, round(share * np.count_nonzero(live)))
        move(state, p, positions, gone, partial(draw_places, rng, p.size))


def _scores(model, data, slope, samples, rng):
    """Return ``|w| + slope |g|`` of all weights."""
    found = live_gradient(model, draw_sample(model, data, samples=samples, rng=rng))
    return (np.abs(model.values) + slope * np.abs(found))[: model.n_weights]


RECIPES = {"mest": mest}
