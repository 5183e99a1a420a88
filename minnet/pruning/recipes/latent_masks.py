"""Recipes that mask by weights, or scores of them, which go on being trained while they are masked."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.optimizers import SGD
from minnet.engine.state import Step
from minnet.errors import check_count, check_fraction, check_real
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.latent import Latent, ask, largest
from minnet.pruning.rounds import PruneSchedule, share_of
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

ERK = partial(prune_, distribution="erk")
LAYERWISE = partial(prune_, distribution="layerwise")
MOMENTUM = partial(train_, optimizer=SGD(0.1, momentum=0.9))
TIE = 1e-9  # scores that are nothing but ties begin with numbers up to this


def dynamic_surgery(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
                    schedule: PruneSchedule = "one_shot", rate: float | None = None, margin: float = 0.1,
                    gamma: float = 1e-4, power: float = 1.0, begin: float = 0.2, end: float = 0.75,
                    prune: Prune = prune_, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Mask and splice weights by two thresholds while all of them, masked ones too, are trained (dynamic surgery).

    The net computes with w m; its gradient with respect to w m moves every w. In each layer, with mu and sd the mean
    and the standard deviation of ``|w|`` at `begin`, T = mu + rate sd; after step t, with probability
    (1 + gamma t)^-power, m becomes 0 where ``|w|`` <= (1 - margin) T and 1 where ``|w|`` > (1 + margin) T, and stays as
    it is between. From `end` on the mask is fixed. Unlike in the authors' code biases are not masked.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 96.3 % are left there at a
    sparsity of 0.9 from a trained net and 95.5 % from a fresh one (test accuracy, mean of 3 seeds).

    Parameters
    ----------
    model : Model
        The model to train and prune, in place; the paper's is a trained one.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float or None
        The fraction of the weights that is masked at the end, by a last exact cut; None leaves it to the method.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the thresholds decide.
    rate : float or None
        The thresholds, in standard deviations above the mean; by default those that mask `sparsity` of the weights at
        `begin`.
    margin : float, default 0.1
        How far the two thresholds are from T, as a share of it.
    gamma, power : float, default 1e-4 and 1
        How fast updates of the mask become rare.
    begin, end : float, default 0.2 and 0.75
        Where masking begins, and where the mask is fixed, as shares of the training.
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
    .. [1] Guo, Yao and Chen, 2016, "Dynamic network surgery for efficient DNNs", algorithm 1 and section 3.2.
    """
    if rate is not None:
        check_real("rate", rate)
    check_fraction("margin", margin)
    for name, value in (("gamma", gamma), ("power", power)):
        check_real(name, value, 0)
    run = ask("dynamic_surgery", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng,
              outcome=True)
    return _Surgery(run, rate, sparsity, margin, gamma, power).steps()


@dataclass(eq=False)
class _Surgery(Latent):
    rate: float | None
    sparsity: float | None
    margin: float
    gamma: float
    power: float

    def start(self):
        size = np.abs(self.values)
        self.limits = np.zeros(len(size))  # T, weight by weight; 0 outside the layers that are pruned
        spread = {p: (size[p.slice][self.base[p.slice]], p.slice) for p in self.layers if self.base[p.slice].any()}
        rate = self.rate
        if rate is None:
            scaled = [(live - live.mean()) / max(live.std(), TIE) for live, _ in spread.values()]
            rate = np.quantile(np.concatenate(scaled), 0.9 if self.sparsity is None else self.sparsity)
        for live, window in spread.values():
            self.limits[window] = max(live.mean() + rate * live.std(), 0)
        self.low = np.where(self.scope, (1 - self.margin) * self.limits, -1).astype(size.dtype)
        self.high = np.where(self.scope, (1 + self.margin) * self.limits, np.inf).astype(size.dtype)

    def forward(self):
        if self.run.drawing.random() < (1 + self.gamma * self.t) ** -self.power:
            size = np.abs(self.values)
            self.live &= size > self.low
            self.live |= size > self.high
        return np.where(self.live, self.values, 0)

    def scores(self):
        return np.abs(self.values) / np.maximum(self.limits, TIE)


def movement_pruning(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
                     schedule: PruneSchedule = "cubic", begin: float = 0.2, end: float = 0.8,
                     prune: Prune = LAYERWISE, train: Train = train_, rng: Seed = None) -> Iterator[Step]:
    """Keep the weights that training moves away from 0, whatever their size (movement pruning).

    The net computes with w m, where m is 1 at the largest scores of each layer. A score falls by g w in every step from
    `begin` on, g being the gradient with respect to w m, of masked weights too; w moves by g m, so a masked weight
    stays as it was. How much each layer loses is what `prune` decides at `begin`; `schedule` says how far it is.
    Scores begin at random numbers that break ties and are of no size beside the first update. Only their order counts,
    so they need no learning rate. Made for nets that are trained already: from a fresh one, scores say little before
    the gradient has a direction, and so `begin` leaves some epochs to it.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 96.7 % are left there at a
    sparsity of 0.9 from a trained net and 96.4 % from a fresh one (test accuracy, mean of 3 seeds).

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
    schedule : str, callable or list, default "cubic"
        How far the pruning is at progress t: a name in SCHEDULES, a function, or a list of sparsities.
    begin, end : float, default 0.2 and 0.8
        Where the pruning begins and ends, as shares of the training.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`; the criterion is not used.
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
    .. [1] Sanh, Wolf and Rush, 2020, "Movement pruning: adaptive sparsity by fine-tuning", section 4 (hard movement).
    """
    run = ask("movement_pruning", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng,
              outcome=False)
    return _Movement(run, share_of(schedule, sparsity)).steps()


@dataclass(eq=False)
class _Movement(Latent):
    share: Callable[[float], float]

    def start(self):
        self.loss = self.losses()
        self.movement = self.run.drawing.uniform(0, TIE**2, len(self.values))

    def backward(self, gradient):
        self.movement -= gradient * self.values
        gradient *= self.live

    def forward(self):
        self.live = self.keep(self.movement, self.loss, self.share(self.way))
        self.moving = self.live
        return np.where(self.live, self.values, 0)

    def scores(self):
        return self.movement


def gsm(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
        shrink: float = 8.0, end: float = 0.8, prune: Prune = prune_, train: Train = MOMENTUM,
        rng: Seed = None) -> Iterator[Step]:
    """Give in each step the loss's gradient only to the weights that matter most, and let the others decay (GSM).

    Of all weights in the layers that are pruned, the Q with the largest ``|g w|`` keep their gradient g, Q being the
    number that is to be left; of the others it is 0, and each step multiplies them by exp(-shrink / steps), with the
    steps until `end`. In the paper weight decay alone, carried by a momentum of 0.99, shrinks them, over 60,000 steps:
    with shrink=0 it is that, and what is bound to `train` must bring the decay. What is left of them at `end` is cut by
    ``|w|``; the criterion of `prune` is not asked.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 96.9 % are left there at a
    sparsity of 0.95 from a trained net and 97.4 % from a fresh one (test accuracy, mean of 2 seeds).

    Parameters
    ----------
    model : Model
        The model to train and prune, in place; the paper's is a trained one.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float
        The fraction of the weights that is masked at the end.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: weights are masked at `end`.
    shrink : float, default 8
        A weight that never gets a gradient is exp(-shrink) of itself at `end`.
    end : float, default 0.8
        Where the weights are cut, as a share of the training; what is left is trained on.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`; the first one from `end` on says in `cut` how many weights were cut.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Ding et al., 2019, "Global sparse momentum SGD for pruning very deep neural networks", section 3.
    """
    check_real("shrink", shrink, 0)
    run = ask("gsm", model, data, sparsity, prune, train, epochs=epochs, span=(0.0, end), rng=rng, outcome=False)
    return _GlobalSparseMomentum(run, shrink).steps()


@dataclass(eq=False)
class _GlobalSparseMomentum(Latent):
    shrink: float

    def start(self):
        self.passive = np.count_nonzero(~self.scope) + self.run.goal.total - self.run.goal.before
        self.factor = np.exp(-self.shrink / max(self.run.end * self.total, 1)).astype(self.values.dtype)

    def backward(self, gradient):
        active = largest(np.abs(gradient * self.values), self.scope, self.passive) | ~self.scope
        gradient *= active
        self.values[~active] *= self.factor


def top_kast(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
             schedule: PruneSchedule = "one_shot", extra: float = 0.2, interval: int = 10, strength: float = 1e-5,
             begin: float = 0.0, end: float = 0.8, prune: Prune = ERK, train: Train = train_,
             rng: Seed = None) -> Iterator[Step]:
    """Compute with the largest weights, and train these and the next largest ones (Top-KAST).

    In each layer, with the density D that is asked for, A is the share D of the weights with the largest ``|w|`` and B
    the share D + extra. The net computes with w on A and 0 elsewhere; the gradient at these weights moves w on B. A
    penalty, strength ``|w|`` on A and strength ``|w|`` / D on B outside A, makes weights of B that do not earn their
    place small. Every `interval` steps both sets are chosen anew, until `end`. Values outside A are kept, and those
    outside B do not change. How much each layer loses is what `prune` decides.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 96.7 % are left there at a
    sparsity of 0.9 from a trained net and 95.7 % from a fresh one (test accuracy, mean of 3 seeds).

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on.
    sparsity : float
        The fraction of the weights that is masked, 1 - D.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is sparse from `begin` on.
    extra : float, default 0.2
        The share of a layer's weights that is trained beside those that the net computes with.
    interval : int, default 10
        How many steps pass between two choices of the sets; the paper's nets, of many more steps, take 100.
    strength : float, default 1e-5
        The strength of the penalty.
    begin, end : float, default 0 and 0.8
        Where the net becomes sparse, and where its mask is fixed, as shares of the training.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`; the criterion is not used.
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
    .. [1] Jayakumar et al., 2020, "Top-KAST: top-K always sparse training", section 2.
    """
    check_fraction("extra", extra)
    check_count("interval", interval, 1)
    check_real("strength", strength, 0)
    run = ask("top_kast", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng,
              outcome=False)
    return _TopKast(run, extra, interval, strength).steps()


@dataclass(eq=False)
class _TopKast(Latent):
    extra: float
    interval: int
    strength: float

    def start(self):
        self.loss, self.first = self.losses(), self.t
        goal = self.run.goal
        self.density = 1 - goal.total / max(goal.pieces, 1)
        self.untrained = {p: max(lost - round(self.extra * p.value.size), 0) for p, lost in self.loss.items()}

    def forward(self):
        if (self.t - self.first) % self.interval == 0:
            size = np.abs(self.values)
            self.live, self.moving = self.keep(size, self.loss), self.keep(size, self.untrained)
            wider = self.strength / max(self.density, TIE)
            self.pull = np.where(self.scope, np.where(self.live, self.strength, wider), 0).astype(size.dtype)
        return np.where(self.live, self.values, 0)

    def backward(self, gradient):
        gradient += self.pull * np.sign(self.values)
        gradient *= self.moving


RECIPES = {f.__name__: f for f in (dynamic_surgery, movement_pruning, gsm, top_kast)}
