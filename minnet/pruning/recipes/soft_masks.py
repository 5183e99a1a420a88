"""Recipes that learn, beside the weights, how much of each is left: thresholds, gates, or noise that a weight bears."""
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.optimizers import SGD, Adam
from minnet.engine.sample import part_of
from minnet.engine.state import Step
from minnet.engine.vector import Parameter
from minnet.errors import InvalidValue, check_fraction, check_positive, check_real
from minnet.kernels.steps import adam_step
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.latent import Latent, Run, ask
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

MOMENTUM = partial(train_, optimizer=SGD(0.1, momentum=0.9))
USUAL = 0.9               # the sparsity that constants are for where none is asked for
BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # of hard concrete gates: temperature, and the ends of the stretched interval
FEWEST, MOST = math.log(0.01), math.log(100)  # log alpha of a gate stays between these
K1, K2, K3 = 0.63576, 1.87320, 1.48695        # of the approximation of variational dropout's KL divergence
WIDEST = 8.0              # log alpha of the noise counts as this at most, and as -WIDEST at least
FARTHEST = 80.0            # exp of it is a float32
TINY = 1e-12
EDGE = 1e-6                # from 0 and 1, of uniform numbers whose logarithm is taken


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + np.exp(np.clip(-x, -FARTHEST, FARTHEST)))


class Beside:
    """A vector that is learned beside the weights, by Adam with a learning rate of its own."""

    def __init__(self, values: np.ndarray, rate: float) -> None:
        self.values, self.rate, self.t = values, rate, 0
        self.moments, self.mask = np.zeros((2, len(values)), values.dtype), np.ones(len(values), bool)

    def step(self, gradient: np.ndarray) -> None:
        """Make a step of Adam."""
        self.t += 1
        settings = np.array(Adam(self.rate).settings(self.rate, self.t))
        adam_step(np.ascontiguousarray(gradient, self.values.dtype)[None], self.mask, 1.0, settings, 0, self.values,
                  self.moments)


def str_(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
         first: float = -5.0, threshold: float | None = None, rate: float = 0.1, begin: float = 0.0,
         end: float = 0.8, prune: Prune = prune_, train: Train = MOMENTUM, rng: Seed = None) -> Iterator[Step]:
    """Learn a soft threshold for each layer, which its weights are shrunk by (STR).

    The net computes with sign(w) max(``|w|`` - sigmoid(s), 0), s being one number for each layer. Of the gradient g at
    these weights w takes g where the weight is not 0, and s takes -sigmoid'(s) sum(g sign(w)) over the same weights.
    The decay of s drives the sparsity, as in the paper, where it is tied to hundreds of thousands of steps; here it is
    a factor for each step, so that decay alone takes s from `first` to where sigmoid(s) = `threshold` by `end`. The
    gradient holds s back where weights are of use. At `end` the net keeps the shrunk weights.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 97.0 % are left there at a
    sparsity of 0.9 from a trained net and 97.0 % from a fresh one (test accuracy, mean of 3 seeds).

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
        Not used: the thresholds decide.
    first : float, default -5
        s at `begin`, below 0.
    threshold : float or None
        Where decay alone would take the threshold by `end`, from above 0 to 0.5; by default the quantile `sparsity` of
        ``|w|`` at `begin`.
    rate : float, default 0.1
        The learning rate of s, as a share of that of the weights: at 1, as in the paper, a gradient that sums over a
        layer holds the threshold where it is for the few hundred steps that it has.
    begin, end : float, default 0 and 0.8
        Where the thresholds begin to act, and where the weights are cut for good, as shares of the training.
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
    .. [1] Kusupati et al., 2020, "Soft threshold weight reparameterization for learnable sparsity", section 3.
    """
    if check_real("first", first) >= 0:
        raise InvalidValue(f"first={first}; wanted a number below 0, so that sigmoid(first) is a small threshold")
    if threshold is not None:
        check_positive("threshold", check_real("threshold", threshold, high=0.5))
    run = ask("str", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng, outcome=True)
    return _SoftThreshold(run, USUAL if sparsity is None else sparsity, first, threshold, rate).steps()


@dataclass(eq=False)
class _SoftThreshold(Latent):
    sparsity: float
    first: float
    threshold: float | None
    rate: float

    def start(self):
        size = np.abs(self.values[self.scope])
        end = self.threshold or min(float(np.quantile(size, self.sparsity)) if len(size) else 0.0, 0.5)
        end = max(end, float(sigmoid(np.array(self.first))))
        steps = max((self.run.end - self.run.begin) * self.total, 1)
        self.decay = (math.log(end / (1 - end)) / self.first) ** (1 / steps)
        self.s, self.slopes = np.full(len(self.layers), self.first), np.zeros(len(self.layers))
        self.limits = np.zeros_like(self.values)

    def forward(self):
        self.s = self.decay * (self.s - self.rate * self.lr * self.slopes)
        left, running = np.abs(self.values), self.values.copy()
        for p, limit in zip(self.layers, sigmoid(self.s).astype(left.dtype), strict=True):
            self.limits[p.slice] = limit
            left[p.slice] -= limit
            np.multiply(np.sign(running[p.slice]), np.maximum(left[p.slice], 0), out=running[p.slice])
        self.live = self.base & ((left > 0) | ~self.scope)
        return running

    def backward(self, gradient):
        gradient *= self.live
        slope = sigmoid(self.s) * sigmoid(-self.s)
        along = gradient * np.sign(self.values)
        self.slopes = -slope * np.array([along[p.slice].sum() for p in self.layers])

    def scores(self):
        return np.abs(self.values) - self.limits

    def given_back(self):
        return np.zeros_like(self.values)


def l0(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
       units: bool = False, strength: float = 1.0, rate: float = 0.02, drop: float = 0.1, begin: float = 0.0,
       end: float = 0.8, prune: Prune = prune_, train: Train = MOMENTUM, rng: Seed = None) -> Iterator[Step]:
    """Multiply each weight by a random gate that may be exactly 0, and penalise how many are expected not to be (L0).

    A hard concrete gate is z = clip(s (zeta - gamma) + gamma, 0, 1), s = sigmoid((log u - log(1 - u) + log a) / beta),
    u uniform in (0, 1), with beta 2/3, gamma -0.1 and zeta 1.1; one u is drawn for each gate and batch. The penalty is
    strength / n times the sum of P(z > 0) = sigmoid(log a - beta log(-gamma / zeta)) over all gates, each times its
    weights; n counts the rows. log a is learned by Adam. In use z = clip(sigmoid(log a) (zeta - gamma) + gamma, 0, 1),
    which is 0 where log a <= log(-gamma / zeta) = -2.398: the weights that live are fewer than the penalty expects.
    Biases have no gates.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 97.0 % are left there at a
    sparsity of 0.9 from a trained net and 97.2 % from a fresh one (test accuracy, mean of 3 seeds).

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
        Not used: the gates decide.
    units : bool, default False
        Whether a gate is for all weights of an input of a dense layer, or of a filter of a convolution; the last cut
        then takes the weights of whole units but for one. At the same share of weights this costs far more accuracy:
        88.8 % are left where single weights leave 97.0.
    strength : float, default 1
        The strength of the penalty.
    rate : float, default 0.02
        The learning rate of log a.
    drop : float, default 0.1
        1 / (1 + a) at `begin`.
    begin, end : float, default 0 and 0.8
        Where the gates begin to act, and where the weights are cut for good, as shares of the training.
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
    .. [1] Louizos, Welling and Kingma, 2018, "Learning sparse neural networks through L0 regularization", section 2.2.
    """
    check_real("strength", strength, 0)
    check_positive("rate", rate)
    if not 0 < check_fraction("drop", drop) < 1:
        raise InvalidValue(f"drop={drop}; wanted a number above 0 and below 1")
    run = ask("l0", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng, outcome=True)
    return _HardConcrete(run, units, strength, rate, drop).steps()


def concrete(log_a: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return hard concrete gates z for uniform u in (0, 1), and dz/dlog a."""
    s = sigmoid((np.log(u / (1 - u)) + log_a) / BETA)
    stretched = s * (ZETA - GAMMA) + GAMMA
    inside = (stretched > 0) & (stretched < 1)
    return np.clip(stretched, 0, 1), (ZETA - GAMMA) / BETA * s * (1 - s) * inside


def open_share(log_a: np.ndarray) -> np.ndarray:
    """Return P(z > 0) of hard concrete gates."""
    return sigmoid(log_a - BETA * math.log(-GAMMA / ZETA))


def gate_in_use(log_a: np.ndarray) -> np.ndarray:
    """Return the gates of a net in use: 0 where log a <= log(-gamma / zeta)."""
    return np.where(log_a <= math.log(-GAMMA / ZETA), 0, np.clip(sigmoid(log_a) * (ZETA - GAMMA) + GAMMA, 0, 1))


@dataclass(eq=False)
class _HardConcrete(Latent):
    units: bool
    strength: float
    rate: float
    drop: float

    def start(self):
        self.where = slice(None) if self.scope.all() else np.flatnonzero(self.scope)
        self.gates = gates_of(self.layers, self.base) if self.units else np.arange(len(self.values[self.where]))
        n = int(self.gates.max(initial=-1)) + 1
        self.behind = np.bincount(self.gates, minlength=n).astype(self.values.dtype)  # weights that each multiplies
        log_a = math.log(1 / self.drop - 1) + self.run.drawing.normal(0, 0.01, n)
        self.log_a = Beside(log_a.astype(self.values.dtype), self.rate)
        self.price = self.strength / rows_of(self.run)

    def forward(self):
        log_a = self.log_a.values
        u = self.run.drawing.random(len(log_a), log_a.dtype)
        self.z, self.slope = concrete(log_a, np.clip(u, EDGE, 1 - EDGE, out=u))
        return self.gated(self.z)

    def backward(self, gradient):
        g = gradient[self.where]
        along = self.sums(g * self.values[self.where]) * self.slope
        share = open_share(self.log_a.values)
        gradient[self.where] *= self.of_weights(self.z)
        self.log_a.step(along + self.price * self.behind * share * (1 - share))
        np.clip(self.log_a.values, FEWEST, MOST, out=self.log_a.values)

    def sums(self, numbers):
        """Return the sum of what belongs to each gate."""
        return np.bincount(self.gates, numbers, len(self.z)) if self.units else numbers

    def gated(self, z):
        """Return the weights times their gates."""
        values = self.values.copy()
        values[self.where] *= self.of_weights(z)
        return values

    def of_weights(self, z):
        """Return for each weight that has a gate what belongs to its gate."""
        return z[self.gates] if self.units else z

    def shown(self):
        z = gate_in_use(self.log_a.values)
        self.live = self.base.copy()
        self.live[self.where] = z[self.gates] > 0
        return self.gated(z)

    def scores(self):
        scores = np.full(len(self.values), np.inf)
        scores[self.where] = self.log_a.values[self.gates]
        return scores

    def given_back(self):
        return np.zeros_like(self.values)


def gates_of(layers: list[Parameter], base: np.ndarray) -> np.ndarray:
    """Return for each weight of these layers that is in `base` the number of its unit's gate.

    A unit is an input of a dense layer, or a filter of a convolution.
    """
    gates, first = [np.zeros(0, int)], 0
    for p in layers:
        places, width = np.arange(p.size) if p.index is None else p.index, p.shape[-1]
        dense = len(p.shape) == 2
        gates.append(first + (places // width if dense else places % width)[base[p.slice]])
        first += p.size // width if dense else width
    return np.concatenate(gates)


def variational_dropout(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30,
                        schedule: PruneSchedule = "one_shot", strength: float = 0.3, rate: float = 0.02,
                        first: float = -10.0, limit: float = 3.0, rise: float = 0.3, begin: float = 0.1,
                        end: float = 0.8, prune: Prune = prune_, train: Train = MOMENTUM,
                        rng: Seed = None) -> Iterator[Step]:
    """Learn for each weight how much noise it bears, and mask those that are noise (sparse variational dropout).

    The net computes with w + sigma e, e standard normal; alpha = sigma^2 / w^2. To the loss comes strength / n times
    the sum of the Kullback-Leibler divergences from a log-uniform prior, n counting the rows, in the approximation
    KL = k1 - k1 sigmoid(k2 + k3 log alpha) + log(1 + 1 / alpha) / 2, which falls to 0 as alpha grows. A weight is
    masked where log alpha >= limit. One e is drawn for each weight and batch, where the authors draw the outputs of a
    layer for each row: the expected gradient is the same, with more noise. log sigma^2 is learned by Adam; the
    divergence moves w by no more than what takes it to 0. Once as many weights as asked for are noise these are cut, at
    the latest at `end`, and the others are trained on without any.

    The constants are for some 700 steps: digits, LeNet-300-100, 30 epochs. Of 97 % dense, 97.1 % are left there at a
    sparsity of 0.9 from a trained net and 97.1 % from a fresh one (test accuracy, mean of 3 seeds).

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
        Not used: the noise decides.
    strength : float, default 0.3
        The factor of the divergence once it has risen to it; 1, for many more steps, is the bound on the likelihood.
    rate : float, default 0.02
        The learning rate of log sigma^2; the paper's, of 100,000 steps and more, is 0.001.
    first : float, default -10
        log sigma^2 at `begin`.
    limit : float, default 3
        The log alpha from which a weight is masked.
    rise : float, default 0.3
        The share of the training, after `begin`, in which the factor of the divergence rises from 0.
    begin, end : float, default 0.1 and 0.8
        Where noise begins, and where the weights are cut for good at the latest, as shares of the training.
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
    .. [1] Molchanov, Ashukha and Vetrov, 2017, "Variational dropout sparsifies deep neural networks", eq. 14.
    """
    check_real("strength", strength, 0)
    check_positive("rate", rate)
    check_fraction("rise", rise)
    for name, value in (("first", first), ("limit", limit)):
        check_real(name, value)
    run = ask("variational_dropout", model, data, sparsity, prune, train, epochs=epochs, span=(begin, end), rng=rng,
              outcome=True)
    return _Noise(run, strength, rate, first, limit, rise).steps()


def divergence(log_alpha: np.ndarray) -> np.ndarray:
    """Return the approximate KL divergence from the log-uniform prior, 0 at infinity."""
    return K1 * sigmoid(-(K2 + K3 * log_alpha)) + np.logaddexp(0, -log_alpha) / 2


def divergence_slope(log_alpha: np.ndarray) -> np.ndarray:
    """Return dKL / dlog alpha, which is below 0."""
    inner = K2 + K3 * log_alpha
    return -K1 * K3 * sigmoid(inner) * sigmoid(-inner) - sigmoid(-log_alpha) / 2


@dataclass(eq=False)
class _Noise(Latent):
    strength: float
    rate: float
    first: float
    limit: float
    rise: float

    def start(self):
        self.log_s2 = Beside(np.full_like(self.values, self.first), self.rate)
        self.n = rows_of(self.run)

    @property
    def log_alpha(self):
        return self.log_s2.values - 2 * np.log(np.abs(self.values) + self.values.dtype.type(TINY))

    def forward(self):
        normal = self.run.drawing.standard_normal(len(self.values), self.values.dtype)
        self.noise = self.scope * np.exp(self.log_s2.values / 2) * normal
        return self.values + self.noise

    def backward(self, gradient):
        factor = self.strength * min((self.progress - self.run.begin) / max(self.rise, TINY), 1) / self.n
        log_alpha = self.log_alpha
        self.reached = self.is_enough(log_alpha < self.limit)
        slope = np.where(self.scope & (np.abs(log_alpha) < WIDEST), factor * divergence_slope(log_alpha), 0)
        self.log_s2.step(gradient * self.noise / 2 + slope)
        size = np.abs(self.values)
        shrink = np.minimum(-2 * slope / np.maximum(size, TINY), size / max(self.lr, TINY))
        gradient += np.sign(self.values) * shrink

    def shown(self):
        self.live = self.base & ((self.log_alpha < self.limit) | ~self.scope)
        return self.values

    def scores(self):
        return -self.log_alpha


def rows_of(run: Run) -> int:
    """Return how many rows are trained on."""
    return len(part_of(run.goal.model, run.goal.data)[1])


RECIPES = {f.__name__.rstrip("_"): f for f in (str_, l0, variational_dropout)}
