"""Recipes with latent weights: each update written out in NumPy, the last cut, and that Steps change nothing."""
from functools import partial

import numpy as np
import pytest
from nets import bits, is_plus_zero
from tables import make, sample_for

import minnet as mn
from minnet.engine.sample import draw_sample, gradient
from minnet.errors import MinnetError

ROWS, BATCH, EPOCHS = 8, 3, 4
BATCHES = -(-ROWS // BATCH)
STEPS = EPOCHS * BATCHES
LR, MOMENTUM, DECAY = 0.5, 0.5, 0.01
OUTCOME = ("dynamic_surgery",)
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
        at[:n] *= rule.live
        g = gradient(model, draw_sample(model, (X[rows], y[rows]), samples=None), at)
        g[:n] = rule.turn(g[:n], w[:n]) + DECAY * w[:n]
        v = MOMENTUM * v + g
        moved = w - LR * v
        moved[:n] = np.where(rule.moving, moved[:n], w[:n])
        w = moved
        rule.place(w[:n], t + 1)
        yield np.where(rule.live, w[:n], 0), rule.live.copy()


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
        return g * top(abs(g * w), self.n - round(0.5 * self.n))


class TopKast(Rule):
    def place(self, w, t):
        if t % 2 == 0:
            sets = [(top(abs(w[s]), len(w[s]) - round(len(w[s]) / 2)),
                     top(abs(w[s]), len(w[s]) - round(len(w[s]) / 2) + round(0.2 * len(w[s])))) for s in self.windows]
            self.live, self.moving = map(np.concatenate, zip(*sets, strict=True))

    def turn(self, g, w):
        return (g + 0.01 * np.sign(w) * np.where(self.live, 1, 2)) * self.moving


FIXED = {"dynamic_surgery": {"rate": 0.3}}  # what does not depend on the sparsity
RATE, GAMMA, POWER = 0.3, 0.5, 0.7
FOLLOWED = {
    "dynamic_surgery": (Surgery, {"rate": RATE, "gamma": GAMMA, "power": POWER, "margin": 0.05, "begin": 0.0,
                                  "end": 1.0}),
    "movement_pruning": (Movement, {"begin": 0.0, "end": 1.0}),
    "gsm": (Gsm, {"end": 1.0}),
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
    model, cuts, masks = make("dense"), [], set()
    for step in steps(name, model, sparsity, end=0.7, **FIXED.get(name, {})):
        cuts += [] if step.cut is None else [step.cut]
        masks |= {model.mask.tobytes()} if cuts else set()
    assert len(cuts) == len(masks) == 1
    wanted = round(sparsity * model.n_weights)
    assert np.count_nonzero(~model.mask) == np.count_nonzero(model.weights == 0) == wanted
    if name in OUTCOME:
        model = make("dense")
        list(steps(name, model, None, end=0.7, **FIXED[name]))
        assert cuts == [wanted - np.count_nonzero(~model.mask)]
    else:
        assert cuts == [wanted if name == "gsm" else 0]


@pytest.mark.parametrize("name", OUTCOME)
def test_without_a_sparsity_what_the_method_masks_is_the_outcome(name):
    model = make("dense")
    list(steps(name, model, None))
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
