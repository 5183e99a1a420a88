"""Recipes for the problem with a constraint: few weights are not 0. A copy of the weights obeys it, and they follow."""
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_count, check_positive
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.latent import Latent, ask, batches_of
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

ADMM_PULL, LC_PULL = (7.0, 210.0), (7.0, 700.0)  # strength times all steps, in the first and the last round


def admm(model: Model, data: Data, sparsity: float, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
         first: float | None = None, last: float | None = None, rounds: int = 15, begin: float = 0.1, end: float = 0.8,
         prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Pull the weights towards their nearest sparse copy, by the alternating direction method of multipliers (ADMM).

    The loss has the penalty rho/2 ``|W - Z + U|^2``. In each of `rounds` Z becomes the projection of W + U, the largest
    of each layer and 0 elsewhere, and U grows by W - Z. rho rises from `first` to `last`, and U falls as it does. At
    `end` the largest ``|w|`` of each layer are kept. How much each layer loses is what `prune` decides at `begin`.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float
        The fraction of the weights that is masked at the end.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is dense up to `begin`, and its copy as sparse as asked from there on.
    first, last : float, optional
        rho in the first and in the last round; by default 7 / T and 210 / T in a training of T steps, so that a round
        pulls as far however many steps it has. With more, the first choice of what is large holds.
    rounds : int, default 15
        How many times the weights are projected.
    begin, end : float, default 0.1 and 0.8
        Where the rounds begin, and where the weights are cut for good, as shares of the training.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`; the criterion is not used.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`; from `begin` on with the weights cut as they would be at `end`.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Zhang et al., 2018, "A systematic DNN weight pruning framework using alternating direction method of
           multipliers", section 3.
    """
    run = ask("admm", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng, outcome=False)
    return _Admm(run, _strengths(run, first, last, rounds, ADMM_PULL)).steps()


def lc(model: Model, data: Data, sparsity: float, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
       first: float | None = None, last: float | None = None, rounds: int = 20, begin: float = 0.1, end: float = 0.8,
       prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Alternate learning the weights near a sparse copy of them, and compressing these to the copy (LC).

    The L step trains on the loss and mu/2 ``|w - theta - lambda/mu|^2``; the C step, of which there are `rounds`, makes
    theta the projection of w - lambda/mu, the largest of the net, and takes mu (w - theta) from lambda. mu rises from
    `first` to `last`, and the learning rate acts as 1/mu at most. At `end` the net is theta. What the largest are
    compared with is what `prune` decides: the whole net, or each layer.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float
        The fraction of the weights that is masked at the end.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is dense up to `begin`, and theta as sparse as asked from there on.
    first, last : float, optional
        mu in the first and in the last L step; by default 7 / T and 700 / T in a training of T steps, so that an L step
        pulls as far however many steps it has. With more, the first choice of what is large holds.
    rounds : int, default 20
        How many C steps there are; the paper's nets take 40, of 20 epochs each.
    begin, end : float, default 0.1 and 0.8
        Where the first C step is, and where the net becomes theta, as shares of the training.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`; the criterion is not used.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`; from `begin` on with theta in the place of the weights.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Carreira-Perpinan and Idelbayev, 2018, "Learning-compression algorithms for neural net pruning", figure 2.
    """
    run = ask("lc", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng, outcome=False)
    return _LearningCompression(run, _strengths(run, first, last, rounds, LC_PULL)).steps()


def _strengths(run, first, last, rounds, pull):
    """Return the strength of each round; `pull` says by default what strength times steps is at both ends."""
    steps = max(run.epochs * batches_of(run.train, run.goal.model, run.goal.data), 1)
    first, last = (whole / steps if given is None else given for given, whole in zip((first, last), pull, strict=True))
    if check_positive("first", first) > check_positive("last", last):
        raise InvalidValue(f"first={first} and last={last}: the pull rises from first to last")
    return np.geomspace(first, last, check_count("rounds", rounds, 1))


@dataclass(eq=False)
class _Projected(Latent):
    """Weights that follow a sparse copy of them, which a round makes anew: what ADMM and LC share."""

    strengths: np.ndarray
    round: int = -1  # the one under way

    def start(self):
        self.copy, self.dual = np.zeros_like(self.values), np.zeros_like(self.values)
        self.lost = self.losses()

    def forward(self):
        due = min(math.floor(self.way * len(self.strengths)), len(self.strengths) - 1)
        if due > self.round:
            before = self.strengths[max(self.round, 0)]
            self.round = due
            self.project(before, self.strengths[due])
        return self.values

    def project(self, before: float, strength: float) -> None:
        """Make the copy anew, and the dual variables; the strength rises from `before` to `strength`."""
        raise NotImplementedError


class _Admm(_Projected):
    """`copy` is Z and `dual` is U, the scaled one."""

    def project(self, before, strength):
        wanted = self.values + self.dual
        self.copy = np.where(self.keep(np.abs(wanted), self.lost), wanted, 0)
        self.dual = (wanted - self.copy) * (before / strength)

    def backward(self, gradient):
        pull = self.strengths[self.round] * (self.values - self.copy + self.dual)
        gradient += np.where(self.scope, pull, 0)

    def shown(self):
        self.live = self.keep(np.abs(self.values), self.lost)
        return self.values


class _LearningCompression(_Projected):
    """`copy` is theta and `dual` is lambda."""

    def project(self, before, strength):
        wanted, w = self.values - self.dual / strength, self.values
        self.values = wanted
        self.live = self.keep(np.abs(wanted), self.losses())
        self.values, self.copy = w, np.where(self.live, wanted, 0)
        self.dual = np.where(self.scope, self.dual - strength * (w - self.copy), 0)

    def backward(self, gradient):
        mu = self.strengths[self.round]
        gradient += np.where(self.scope, mu * (self.values - self.copy) - self.dual, 0)
        gradient /= max(1.0, self.lr * mu)

    def shown(self):
        return self.copy


RECIPES = {f.__name__: f for f in (admm, lc)}
