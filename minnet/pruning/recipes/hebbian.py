"""Cannistraci-Hebb training: links are removed softly, and grow where those that are left speak for them.

A net that is sparse all the way, of one density (`chts`) or of one that falls (`chtss`). Where links grow follows from
the topology alone, without gradients. Weights of Dense and SparseDense layers move; of others the positions stay.
"""
import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rewire import among
from minnet.engine.rng import as_rng
from minnet.engine.space import couple
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_choice, check_count, check_fraction
from minnet.formats.checkpoint import remember
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.bipartite import Links, draw_grown, draw_kept, percolate
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.link_scores import SCORES, LinkScore
from minnet.pruning.recipes.moving import movable, move, n_slots, slots, sparse_start
from minnet.pruning.recipes.starts import STARTS
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

HIDDEN = partial(prune_, criterion="random", distribution="layerwise", protect="last:1")
MATRIX = 2    # axes of a weight (in, out)
STEEP = 6.0   # k of the sigmoid along which a density falls
FLOOR = 1e-5  # what is added to a relative importance, so that weights of 0 may stay


def sigmoid(t: float) -> float:
    """Return (s(k (2t - 1)) - s(-k)) / (s(k) - s(-k)) for the logistic s and k = 6: slow at both ends."""
    return math.tanh(STEEP * (t - 0.5)) / math.tanh(STEEP / 2) / 2 + 0.5


def chts(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
         score: str | LinkScore = "path", start: str = "csti", zeta: float = 0.3, alpha: float = 1.0,
         delta: float = 0.5, delta_end: float = 0.75, prune: Prune = HIDDEN, train: Train = train_,
         rng: Seed = None) -> Iterator[Step]:
    """Remove weights softly after each epoch but the last, and grow others by the links that are left (CHTs).

    Of the n weights of a layer n - int(zeta n) are drawn to stay, in proportion to s^T, s = alpha ``|w|`` +
    (1 - alpha) RI with RI = ``|w|`` / its row's sum + ``|w|`` / its column's; T = delta / (1 - delta), delta growing in
    a line to `delta_end`. Links to hidden units that nothing reads, and from those that nothing makes, are removed
    too. As many as the layer lost are drawn in proportion to their Cannistraci-Hebb scores; one that was just removed
    may come back, at 0. At the start the weights get normal values of variance 2 / (live inputs of a unit). Made for
    epochs of many steps: in a few steps the new weights learn nothing before the next change.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the weights that is masked, by default of all layers but the last; None where the net is sparse
        already.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is sparse from the start.
    score : {"path", "node"} or callable, default "path"
        CH3-L3p, CH2-L3n, or a function of the layer's links (a csr_array) that returns positions and scores.
    start : {"csti", "brf", "given"}, default "csti"
        Where the links begin: by correlations of the inputs, near the diagonal, or where `prune` left them, at their
        values.
    zeta : float, default 0.3
        The share of the live weights that is removed.
    alpha : float, default 1
        What ``|w|`` counts beside the relative importance: 1 or 0 in the paper.
    delta, delta_end : float, default 0.5 and 0.75
        How hard the removal is, from 0 (any weight) to below 1 (the smallest).
    prune, train : callable
        `minnet.prune`, which sets the count of each layer, and `minnet.train`, with arguments bound by
        `functools.partial`.
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
        If the structure bound to `prune` is not single weights, or the correlations are those of too many features.

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected".
    """
    training, pruning, growing = as_rng(rng).spawn(3)
    goal = sparse_start("chts", model, data, sparsity, prune, pruning)
    change = _Change(model, score, (zeta, alpha, delta, delta_end), growing)
    place = check_choice("start", start, STARTS)(model, data, growing)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _trained(goal, train, lambda t: goal.total, place, change)


def chtss(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = sigmoid,
          initial: float = 0.5, end: float = 0.8, score: str | LinkScore = "node", start: str = "csti",
          zeta: float = 0.3, alpha: float = 1.0, delta: float = 0.5, delta_end: float = 0.75, prune: Prune = HIDDEN,
          train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Do as `chts` while the density falls along a sigmoid (CHTss).

    Before each change, and after the last epoch, the weights of least relative importance are removed until the net is
    as sparse as the schedule says.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the weights that is masked at the end, by default of all layers but the last; None where the net
        is sparse already.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default sigmoid
        How far the sparsity is from `initial` to `sparsity` at progress t: a name in SCHEDULES, a function, or a list
        of sparsities.
    initial : float, default 0.5
        The sparsity at the start.
    end : float, default 0.8
        Where the density stays as it is, as a share of the training.
    score, start, zeta, alpha, delta, delta_end
        As in `chts`; the score by nodes, which at the first densities is the far cheaper one, is the default here.
    prune, train : callable
        `minnet.prune`, which sets the count of each layer, and `minnet.train`, with arguments bound by
        `functools.partial`.
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
        If the structure bound to `prune` is not single weights, or the correlations are those of too many features.

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected".
    """
    training, pruning, growing = as_rng(rng).spawn(3)
    goal = sparse_start("chtss", model, data, sparsity, prune, pruning, schedule)
    if check_fraction("end", end) == 0:
        raise InvalidValue("end=0: the density falls until then, so take a share of the training above 0")
    first = min(max(goal.before, round(check_fraction("initial", initial) * goal.pieces)), goal.total)
    change = _Change(model, score, (zeta, alpha, delta, delta_end), growing)
    place = check_choice("start", start, STARTS)(model, data, growing)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    return _trained(goal, train, lambda t: first + round((goal.total - first) * goal.share(min(t / end, 1.0))), place,
                    change)


def _trained(goal, train, masked, place, change):
    """Yield the steps of training with masked(progress) weights masked; place the links, and change them on the way."""
    count = masked(0.0)
    goal.cut(count)
    if place is not None:
        _begin(goal.model, goal.layers, place, change.rng)
    goal.prune = partial(goal.prune, criterion=lambda model, data: relative_importance(model))
    now = {"count": count}
    remember(train, goal, now, change.rng)
    for step in train(goal.model, goal.data):
        if step.batch == 0:
            before, now["count"] = now["count"], masked(step.progress)
            if now["count"] > before:
                goal.cut(now["count"])
                step.state.apply_mask()
            change(step, goal.layers)
        yield step
    goal.cut(masked(1.0))  # where there was nothing to train


def _begin(model, layers, place, rng):
    """Move all links to where they begin, and draw their weights. A born-sparse layer with a mask stays as it is."""
    for p in _bipartite(model, layers):
        if p.index is not None and not p.mask.all():
            continue
        count = n_slots(p)
        places = place(p.shape, count)
        values = rng.normal(0.0, math.sqrt(2 / max(count / p.shape[-1], 1.0)), count)
        if p.index is not None:
            model.rewire(p, p.index[~among(p.index, places)], places[~among(places, p.index)])
            p.value[...] = values
            continue
        p.mask[...], p.value[...] = False, 0
        p.mask.reshape(-1)[places] = True
        p.value.reshape(-1)[places] = values


def _bipartite(model, layers):
    """Return the weights (in, out) of these layers that have free positions."""
    return [p for p in movable(model, layers) if len(p.shape) == MATRIX]


def relative_importance(model: Model) -> np.ndarray:
    """Return of each weight ``|w|`` / the sum of its row's + ``|w|`` / the sum of its column's: (n_weights,).

    References
    ----------
    .. [1] Zhang et al., 2024, "Plug-and-play: an efficient post-training pruning method for large language models".
    """
    found = np.zeros(model.n_weights)
    for p in model.weight_parameters:
        positions = np.arange(p.size) if p.index is None else p.index
        p.of(found).reshape(-1)[...] = _importance(p, positions, np.abs(p.value.reshape(-1)))
    return found


def _importance(p, positions, size):
    """Return the relative importance of weights of these sizes."""
    columns = p.shape[-1]
    rows, found = positions // columns, np.zeros(len(positions))
    for unit in (rows, positions - rows * columns):
        total = np.bincount(unit, size, minlength=1)[unit]
        found += np.divide(size, total, out=np.zeros(len(size)), where=total > 0)
    return found


class _Change:
    """One change of the topology: removal, percolation, growth."""

    def __init__(self, model, score, shares, rng):
        self.score = check_choice("score", score, SCORES)
        self.zeta, self.alpha, *self.deltas = shares
        for name, share in (("zeta", self.zeta), ("alpha", self.alpha)):
            check_fraction(name, share)
        for name, share in zip(("delta", "delta_end"), self.deltas, strict=True):
            if check_fraction(name, share) == 1:
                raise InvalidValue(f"{name}=1: at 1 the removal is that of the smallest weights, and T infinite: take "
                                   "0.99")
        self.rng = rng
        coupling = couple(model)
        self.ends = {(use.parameter.name, use.axis): coupling.roots(use.units) for use in coupling.uses}
        self.made, self.read = (self._reached(model, coupling, axis) for axis in (-1, -2))

    def _reached(self, model, coupling, axis):
        """Return (units,) bool: those that this axis of some weight carries, if they may be removed."""
        found = np.zeros(coupling.n_units, bool)
        for p in model.weight_parameters:
            found[self.ends.get((p.name, axis), [])] = True
        return found & ~coupling.fixed()

    def __call__(self, step, layers):
        if step.progress == 1:
            return
        moving = {p.name for p in _bipartite(step.model, layers)}
        links = [self.links(p, p.name in moving) for p in step.model.weight_parameters
                 if (p.name, -1) in self.ends and (p.name, -2) in self.ends]
        delta, delta_end = self.deltas
        delta += (delta_end - delta) * step.progress
        for found in links:
            if found.moves:
                found.keep = self.remove(found.parameter, delta / (1 - delta))
        percolate(links, self.made, self.read)
        for found in links:
            if found.moves:
                self.grow(step.state, found)

    def links(self, p, moves):
        """Return the live links of a weight."""
        positions, _, live = slots(p)
        positions = positions[live]
        rows = positions // p.shape[-1]
        sources, targets = self.ends[p.name, -2], self.ends[p.name, -1]
        return Links(p, sources[rows % p.shape[-2]], targets[positions - rows * p.shape[-1]],
                     np.ones(len(positions), bool), moves)

    def remove(self, p, exponent):
        """Draw which live weights of a layer stay."""
        positions, value, live = slots(p)
        size = np.abs(value[live]).astype(np.float64)
        score = self.alpha * size
        if self.alpha < 1:
            score += (1 - self.alpha) * (_importance(p, positions[live], size) + FLOOR)
        return draw_kept(score, len(size) - int(self.zeta * len(size)), exponent, self.rng)

    def grow(self, state, found):
        """Draw as many links as the layer lost, by the scores of the topology that is left."""
        from scipy.sparse import csr_array  # here, as it takes long to load

        p = found.parameter
        places, _, live = slots(p)
        gone, left = live.copy(), places[live][found.keep]
        gone[live] = ~found.keep
        rows = np.zeros(p.shape[0] + 1, np.int64)
        np.cumsum(np.bincount(left // p.shape[1], minlength=p.shape[0]), out=rows[1:])
        positions, scores = self.score(csr_array((np.ones(len(left)), left % p.shape[1], rows), shape=p.shape))
        move(state, p, places, gone, lambda count, taken: draw_grown(positions, scores, p.size, taken, count, self.rng))


RECIPES = {f.__name__: f for f in (chts, chtss)}
