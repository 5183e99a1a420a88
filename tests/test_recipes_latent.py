"""Recipes with latent weights: each update written out in NumPy, the last cut, and that Steps change nothing."""
import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from nets import bits, is_plus_zero
from scipy.integrate import quad
from tables import make, sample_for

import minnet as mn
from minnet.engine.sample import draw_sample, gradient
from minnet.errors import MinnetError
from minnet.pruning.recipes.latent import ask
from minnet.pruning.recipes.soft_masks import (
    _SoftThreshold,
    concrete,
    divergence,
    divergence_slope,
    gate_in_use,
    open_share,
)

ROWS, BATCH, EPOCHS = 8, 3, 4
BATCHES = -(-ROWS // BATCH)
STEPS = EPOCHS * BATCHES
LR, MOMENTUM, DECAY = 0.5, 0.5, 0.01
OUTCOME = ("dynamic_surgery", "str", "l0", "variational_dropout")
NAMES = (*OUTCOME, "movement_pruning", "gsm", "top_kast")
training = partial(mn.train, optimizer=mn.SGD(LR, MOMENTUM, weight_decay=DECAY), batch_size=BATCH)


def rows_of(model):
    sample = sample_for(model, rows=ROWS)
    return sample.X, sample.y


def steps(name, model, sparsity=0.5, *, train=training, every="batch", rng=0, **more):
    return mn.recipes.RECIPES[name](model, rows_of(model), sparsity, epochs=EPOCHS, rng=rng,
                                    train=partial(train, accelerate=False, every=every), **more)


def seen(name, model, sparsity=0.5, **more):
    """The values and the mask of the weights after each step, and the last Step."""
    found = [(model.weights.copy(), model.mask[: model.n_weights].copy(), step)
             for step in steps(name, model, sparsity, **more)]
    return [pair[:2] for pair in found], found[-1][2]


class Rule:
    """A method in plain NumPy: which weights live and which move after t steps, and what becomes of a gradient."""

    def __init__(self, model, drawing):
        self.n, self.drawing = model.n_weights, drawing
        self.windows = [p.slice for p in model.weight_parameters]
        self.live = self.moving = np.ones(self.n, bool)
        self.factor = None  # of each weight in the next pass, where that is not `live`

    def begin(self, w):
        """At t = 0."""

    def place(self, w, t):
        """Set `live` and `moving`."""

    def turn(self, g, w):
        """The gradient of the latent weights."""
        return g


def follow(rule, model, seed):
    """The masked weights after each step of SGD on latent weights, by a loop without minnet's training."""
    (X, y), n, w, v = rows_of(model), model.n_weights, model.values.copy(), np.zeros(len(model.values))
    rule.begin(w[:n])
    rule.place(w[:n], 0)
    for t in range(STEPS):
        epoch, batch = divmod(t, BATCHES)
        rows = np.random.default_rng([seed, 0, epoch]).permutation(ROWS)[batch * BATCH : (batch + 1) * BATCH]
        at = w.copy()
        at[:n] *= rule.live if rule.factor is None else rule.factor
        g = gradient(model, draw_sample(model, (X[rows], y[rows]), samples=None), at)
        g[:n] = rule.turn(g[:n], w[:n]) + DECAY * w[:n]
        v = MOMENTUM * v + g
        moved = w - LR * v
        moved[:n] = np.where(rule.moving, moved[:n], w[:n])
        w = moved
        rule.place(w[:n], t + 1)
        yield rule.live * w[:n], rule.live > 0


def top(scores, count):
    """True at the `count` largest, the last ones where they are equal."""
    out = np.zeros(len(scores), bool)
    out[np.lexsort((np.arange(len(scores)), scores))[len(scores) - count :]] = True
    return out


class Surgery(Rule):
    """Guo et al.: h of algorithm 1, thresholds fixed at the beginning."""

    def begin(self, w):
        self.limit = np.zeros(self.n)
        for window in self.windows:
            size = abs(w[window])
            self.limit[window] = size.mean() + RATE * np.sqrt(((size - size.mean()) ** 2).mean())

    def place(self, w, t):
        if self.drawing.random() < (1 + GAMMA * t) ** -POWER:
            self.live = np.array([0 if abs(x) <= 0.95 * limit else 1 if abs(x) > 1.05 * limit else before
                                  for x, limit, before in zip(w, self.limit, self.live, strict=True)], bool)


class Movement(Rule):
    def begin(self, w):
        self.scores = self.drawing.uniform(0, 1e-18, self.n)

    def place(self, w, t):
        share = 1 - (1 - t / STEPS) ** 3
        halves = [self.scores[window] for window in self.windows]
        self.live = self.moving = np.concatenate([top(s, len(s) - round(share * (len(s) // 2))) for s in halves])

    def turn(self, g, w):
        self.scores = self.scores - g * w
        return g * self.live


class Gsm(Rule):
    def turn(self, g, w):
        active = top(abs(g * w), self.n - round(0.5 * self.n))
        w[~active] *= np.exp(-1 / STEPS)
        return g * active


class Str(Rule):
    """Thresholds of s = -2 at first, whose decay alone would lead to sigmoid(s) = 0.3 at the end."""

    def begin(self, w):
        self.s, self.slopes = np.full(len(self.windows), -2.0), np.zeros(len(self.windows))

    def place(self, w, t):
        """`live` is a factor here: what is left of each weight."""
        self.s = (self.s - 0.5 * LR * self.slopes) * (np.log(0.3 / 0.7) / -2) ** (1 / STEPS)
        self.live, self.moving = np.zeros(self.n), np.ones(self.n, bool)
        for s, window in zip(self.s, self.windows, strict=True):
            self.live[window] = np.maximum(1 - 1 / (1 + np.exp(-s)) / abs(w[window]), 0)

    def turn(self, g, w):
        g, sigmoid = g * (self.live > 0), 1 / (1 + np.exp(-self.s))
        self.slopes = np.array([-x * (1 - x) * (g * np.sign(w))[s].sum()
                                for x, s in zip(sigmoid, self.windows, strict=True)])
        return g


class PlainAdam:
    """The steps of Kingma and Ba's algorithm 1."""

    def __init__(self, rate):
        self.rate, self.t, self.m, self.v = rate, 0, 0.0, 0.0

    def __call__(self, g):
        self.t, self.m, self.v = self.t + 1, 0.9 * self.m + 0.1 * g, 0.999 * self.v + 0.001 * g**2
        return self.rate * self.m / (1 - 0.9**self.t) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


class Noise(Rule):
    """A normal number a weight and step; the divergence of the last step's values, at full strength after the half."""

    def begin(self, w):
        self.log_s2, self.adam, self.t = np.full(self.n, -1.0), PlainAdam(0.2), 0

    def place(self, w, t):
        self.t, self.noise = t, np.exp(self.log_s2 / 2) * self.drawing.standard_normal(self.n)
        self.factor = 1 + self.noise / w
        self.live = (self.log_s2 - np.log(w**2) < 3).astype(float)

    def turn(self, g, w):
        log_alpha = self.log_s2 - np.log(w**2)
        slope = 0.5 / ROWS * min(2 * self.t / STEPS, 1) * divergence_slope(log_alpha) * (abs(log_alpha) < 8)
        self.log_s2 = self.log_s2 - self.adam(g * self.noise / 2 + slope)
        most = abs(w) / LR if self.t else np.inf
        return g + np.sign(w) * np.minimum(-2 * slope / abs(w), most)


class HardConcrete(Rule):
    """A gate a weight: drawn anew in each step, learned by Adam, and 0 in use at -2.398 and below."""

    def begin(self, w):
        self.log_a = np.log(1 / 0.8 - 1) + self.drawing.normal(0, 0.01, self.n)
        self.adam = PlainAdam(0.2)

    def place(self, w, t):
        u = self.drawing.random(self.n)
        s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u) + self.log_a) * 1.5))
        self.factor = np.clip(1.2 * s - 0.1, 0, 1)
        self.slope = 1.2 * s * (1 - s) * 1.5 * ((self.factor > 0) & (self.factor < 1))
        self.live = np.clip(1.2 / (1 + np.exp(-self.log_a)) - 0.1, 0, 1)

    def turn(self, g, w):
        share = 1 / (1 + np.exp(-self.log_a + 2 / 3 * np.log(0.1 / 1.1)))
        slope = g * w * self.slope + 0.2 / ROWS * share * (1 - share)
        self.log_a = np.clip(self.log_a - self.adam(slope), np.log(0.01), np.log(100))
        return g * self.factor


class TopKast(Rule):
    def place(self, w, t):
        if t % 2 == 0:
            sets = [(top(abs(w[s]), len(w[s]) - round(len(w[s]) / 2)),
                     top(abs(w[s]), len(w[s]) - round(len(w[s]) / 2) + round(0.2 * len(w[s])))) for s in self.windows]
            self.live, self.moving = map(np.concatenate, zip(*sets, strict=True))

    def turn(self, g, w):
        return (g + 0.01 * np.sign(w) * np.where(self.live, 1, 2)) * self.moving


FIXED = {"dynamic_surgery": {"rate": 0.3}, "str": {"threshold": 0.3, "first": -2.0},  # whatever the sparsity
         "l0": {"drop": 0.8, "rate": 0.2, "strength": 0.1}, "variational_dropout": {"first": 0.0}}
RATE, GAMMA, POWER = 0.3, 0.5, 0.7
FOLLOWED = {
    "dynamic_surgery": (Surgery, {"rate": RATE, "gamma": GAMMA, "power": POWER, "margin": 0.05, "begin": 0.0,
                                  "end": 1.0}),
    "movement_pruning": (Movement, {"begin": 0.0, "end": 1.0}),
    "gsm": (Gsm, {"shrink": 1.0, "end": 1.0}),
    "str": (Str, {"first": -2.0, "threshold": 0.3, "rate": 0.5, "end": 1.0}),
    "l0": (HardConcrete, {"drop": 0.8, "rate": 0.2, "strength": 0.2, "end": 1.0}),
    "variational_dropout": (Noise, {"first": -1.0, "rate": 0.2, "strength": 0.5, "begin": 0.0, "rise": 0.5,
                                    "end": 1.0}),
    "top_kast": (TopKast, {"extra": 0.2, "interval": 2, "strength": 0.01, "end": 1.0,
                           "prune": partial(mn.prune, distribution="layerwise")}),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_each_step_is_the_published_update(name):
    """On a net without a layer of an odd number of weights, so that halves are whole."""
    model = make("dense")
    rule, arguments = FOLLOWED[name]
    plain = model.clone()
    found, last = seen(name, model, **arguments)
    wanted = list(follow(rule(plain, np.random.default_rng(0).spawn(3)[2]), plain, last.state.seed))
    masks = {live.tobytes() for _, live in wanted}
    assert name == "gsm" or len(masks) > 2
    for (values, live), (value, alive) in zip(found[:-1], wanted[:-1], strict=True):
        assert np.array_equal(live, alive)
        np.testing.assert_allclose(values, value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sparsity", [0.3, 0.8])
def test_the_last_cut_reaches_the_count_and_says_how_many_it_took(name, sparsity):
    """One step has a `cut`; from there the mask is fixed, and weights that it gave back are trained."""
    model, cuts, masks, at = make("dense"), [], set(), 0
    for step in steps(name, model, sparsity, end=0.7, **FIXED.get(name, {})):
        at = at if step.cut is None else step.state.t
        cuts += [] if step.cut is None else [step.cut]
        masks |= {model.mask.tobytes()} if cuts else set()
    assert len(cuts) == len(masks) == 1
    wanted = round(sparsity * model.n_weights)
    assert np.count_nonzero(~model.mask) == np.count_nonzero(model.weights == 0) == wanted
    if name in OUTCOME:
        model = make("dense")
        masked = {step.state.t: np.count_nonzero(~model.mask) for step in steps(name, model, None, end=0.7,
                                                                                **FIXED[name])}
        assert cuts == [wanted - masked[at]]
        enough = [t + 1 for t in masked if masked[t] >= wanted] if name == "variational_dropout" else []
        assert at == min([*enough, math.ceil(0.7 * max(masked))])
    else:
        assert cuts == [wanted if name == "gsm" else 0]


@pytest.mark.parametrize("name", NAMES)
def test_no_training_is_a_cut_by_size(name):
    model, wanted = make("dense"), make("dense")
    assert list(mn.recipes.RECIPES[name](model, rows_of(model), 0.7, epochs=0, rng=0)) == []
    mn.prune(wanted, 0.7, distribution={"top_kast": "erk", "movement_pruning": "layerwise"}.get(name, "global"))
    assert np.count_nonzero(~model.mask) == np.count_nonzero(~wanted.mask) and is_plus_zero(model.values[~model.mask])
    assert name in ("str", "l0") or np.array_equal(model.mask, wanted.mask)  # these have scores of their own at once


@pytest.mark.parametrize("name", OUTCOME)
def test_without_a_sparsity_what_the_method_masks_is_the_outcome(name):
    model = make("dense")
    list(steps(name, model, None, **FIXED[name]))
    assert 0 < np.count_nonzero(~model.mask) < model.n_weights and is_plus_zero(model.values[~model.mask])
    model = make("dense")
    for name in set(NAMES) - set(OUTCOME):
        with pytest.raises(MinnetError, match="give the sparsity"):
            steps(name, model, None)


@pytest.mark.parametrize("name", NAMES)
def test_how_often_a_step_is_yielded_changes_no_bit(name):
    ends = []
    for every in ("batch", "epoch"):
        model = make("conv")
        *_, last = steps(name, model, every=every)
        ends.append(bits(model.values, model.mask, last.state.vectors))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", NAMES)
def test_threads_give_the_same_numbers(name, monkeypatch):
    """A gradient comes as a sum of rows, one a thread: it is turned whole."""
    ends = []
    for shards in (1, 2):
        monkeypatch.setattr("minnet.training.shard_count", lambda *_, shards=shards, **__: shards)
        model = mn.models.mlp((6,), 3, (5, 4), rng=0, dtype=np.float64)
        *_, last = mn.recipes.RECIPES[name](model, rows_of(model), 0.5, epochs=EPOCHS, train=training, rng=0)
        assert len(last.state.rngs) == shards
        ends.append(model.values)
    np.testing.assert_allclose(*ends, rtol=1e-6, atol=1e-9)


def test_gsm_that_keeps_all_gradients_is_sgd():
    one, other = make("dense"), make("dense")
    list(steps("gsm", one, 0.0))
    stream = np.random.default_rng(0).spawn(3)[0]
    list(training(other, rows_of(other), epochs=EPOCHS, rng=stream, accelerate=False))
    assert bits(one.values) == bits(other.values)


def test_top_kast_without_extra_weights_and_penalty_keeps_its_set():
    """Masked values stay as they were, below the live ones as long as these do not become small."""
    model = make("dense")
    slow = partial(training, optimizer=mn.SGD(1e-4))
    found, _ = seen("top_kast", model, extra=0.0, strength=0.0, interval=1, train=slow)
    assert len({mask.tobytes() for _, mask in found}) == 1


def test_a_layer_that_is_not_pruned_is_trained_in_full():
    for name in NAMES:
        model = make("dense")
        list(steps(name, model, prune=partial(mn.prune, protect="dense2")))
        layer = model.layers["dense2"].weight
        assert layer.mask.all() and np.count_nonzero(~model.mask) == round(0.5 * (model.n_weights - layer.size))
        assert np.count_nonzero(layer.value != make("dense").layers["dense2"].weight.value) == layer.size


def test_the_gradients_of_soft_thresholds_are_finite_differences():
    model = make("dense")
    run = ask("str", model, rows_of(model), 0.5, mn.prune, training, epochs=1, span=(0.0, 1.0), rng=0, outcome=True)
    method, sample = _SoftThreshold(run, 0.5, -2.0, 0.2, 1.0), draw_sample(model, rows_of(model), samples=None)
    values = model.values.copy()
    method._prepare()
    method.decay = 1.0

    def loss():
        values[: model.n_weights] = method.forward()
        return sample.loss(model(sample.X, values), sample.y, np.zeros((ROWS, 3)), ROWS)

    loss()
    slope = gradient(model, sample, values)[: model.n_weights]
    method.backward(slope)
    slopes, method.slopes = method.slopes, np.zeros(3)
    for name, wanted in (("s", slopes), ("values", slope)):
        start = getattr(method, name).copy()
        for i, found in enumerate(wanted):
            ends = []
            for move in (1e-6, -1e-6):
                setattr(method, name, start + move * (np.arange(len(start)) == i))
                ends.append(loss())
            assert abs((ends[0] - ends[1]) / 2e-6 - found) < 1e-7
        setattr(method, name, start)


# --- what gates and noise are ----------------------------------------------------------------------------------------


def test_the_expected_number_of_open_gates_is_the_closed_form():
    """P(z > 0) by many draws, and its slope by finite differences of the same expectation."""
    log_a = np.linspace(-5, 5, 11)
    u = np.random.default_rng(0).random((40_000, 1))
    share = (concrete(log_a, u)[0] > 0).mean(axis=0)
    wanted = open_share(log_a)
    assert (abs(share - wanted) <= 4 * np.sqrt(wanted * (1 - wanted) / len(u)) + 1e-4).all()
    slope = (open_share(log_a + 1e-5) - open_share(log_a - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, wanted * (1 - wanted), rtol=1e-7)


def test_the_slope_of_a_gate_is_the_finite_difference():
    log_a, u = np.linspace(-4, 4, 9), np.random.default_rng(0).uniform(0.01, 0.99, (50, 1))
    z, slope = concrete(log_a, u)
    difference = (concrete(log_a + 1e-6, u)[0] - concrete(log_a - 1e-6, u)[0]) / 2e-6
    np.testing.assert_allclose(slope, difference, atol=1e-6)
    assert (z == 0).any() and (z == 1).any() and not slope[(z == 0) | (z == 1)].any()


def test_a_gate_in_use_is_0_exactly_from_where_the_paper_says():
    edge = np.log(0.1 / 1.1)
    assert round(edge, 3) == -2.398
    gates = gate_in_use(np.array([edge - 1e-9, edge, edge + 1e-9, 0.0, 9.0]))
    assert gates.tolist()[:2] == [0, 0] and 0 < gates[2] < 1e-9
    np.testing.assert_allclose(gates[3:], [0.5, 1], rtol=1e-15)


def test_the_divergence_is_that_of_numerical_integration():
    """KL(alpha) = -log(alpha) / 2 + E log|e| + (Euler's gamma + log 2) / 2, e ~ N(1, alpha), which is 0 at infinity."""
    for log_alpha in np.linspace(-10, 10, 41):
        spread = np.exp(log_alpha / 2)

        def term(x, spread=spread):
            return np.log(np.abs(1 + spread * x) + 1e-300) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

        edges = [-12.0, *([-1 / spread] if spread > 1 / 12 else []), 12.0]
        mean = sum(quad(term, low, high, limit=200)[0] for low, high in pairwise(edges))
        true = -log_alpha / 2 + mean + (np.euler_gamma + np.log(2)) / 2
        assert abs(divergence(np.array(log_alpha)) - true) < 1e-2
    assert 0 < divergence(np.array(40.0)) < 1e-15
    points = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(divergence_slope(points), (divergence(points + 1e-6) - divergence(points - 1e-6)) / 2e-6,
                               atol=1e-8)
    assert (divergence_slope(points) < 0).all()


def test_gates_of_units_open_and_close_whole_units():
    """Inputs of dense layers, filters of convolutions; the last cut divides one unit at most."""
    model = make("conv")
    list(steps("l0", model, None, units=True, drop=0.8, rate=0.3, strength=0.1))
    for p in model.weight_parameters:
        units = p.mask.reshape(-1, p.shape[-1])
        units = units if len(p.shape) == 2 else units.T
        assert all(unit.all() or not unit.any() for unit in units)
    assert 0 < np.count_nonzero(model.weights) < model.n_weights
    model = make("conv")
    list(steps("l0", model, 0.5, units=True, drop=0.8, rate=0.3))
    assert np.count_nonzero(~model.mask) == round(0.5 * model.n_weights)
