"""Training with penalties ends where it must: FISTA at scikit-learn's optimum, group lasso at units that can go."""
import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tables import make, sample_for

import minnet as mn
from minnet.engine.fista import fista
from minnet.engine.optimizers import SGD
from minnet.engine.sample import gradient
from minnet.models import Dense, Model, Sequential
from minnet.pruning.compact import compact
from minnet.pruning.penalties import L1, L2, ElasticNet, GroupLasso, SparseGroupLasso
from minnet.pruning.structures import channel
from minnet.training import train

DATA = {"iris": load_iris, "wine": load_wine}


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def logistic(X, y):
    """One Dense layer that begins at 0, and 1 / L of its mean cross-entropy: L is at most half the largest eigenvalue
    of the mean of x x', x with a 1 for the bias (Boehning, 1992)."""
    model = Model.blank(Sequential(Dense(len(np.unique(y)))), X.shape[1:], np.float64)
    ones = np.column_stack([X, np.ones(len(X))])
    return model, 2 / np.linalg.eigvalsh(ones.T @ ones / len(X))[-1]


def objective(weights, bias, X, y, strength, ratio):
    """Mean cross-entropy and the elastic net, by NumPy alone."""
    logits = X @ weights + bias
    top = logits.max(axis=1)
    losses = top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[np.arange(len(y)), y]
    return losses.mean() + strength * (ratio * np.abs(weights).sum() + (1 - ratio) / 2 * (weights**2).sum())


@pytest.mark.parametrize("ratio", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("C", [0.05, 0.5])
@pytest.mark.parametrize("name", DATA)
def test_fista_reaches_the_optimum_of_scikit_learn(name, C, ratio):
    X, y = standardised(DATA[name])
    strength = 1 / (C * len(X))
    judge = LogisticRegression(solver="saga", l1_ratio=ratio, C=C, tol=1e-9, max_iter=100000, random_state=0)
    judge.fit(X, y)
    model, lr = logistic(X, y)
    penalty = ElasticNet(strength, l1_ratio=ratio)
    steps = train(model, (X, y), optimizer=SGD(lr / (1 + lr * strength)), epochs=3000, batch_size=len(X),
                  penalty=penalty)
    for _ in fista(steps):
        pass
    weights, bias = model.layers["dense1"].weight.value, model.layers["dense1"].bias.value
    ours = objective(weights, bias, X, y, strength, ratio)
    theirs = objective(judge.coef_.T, judge.intercept_, X, y, strength, ratio)
    assert ours <= theirs + 1e-5 and theirs <= ours + 1e-5
    assert np.array_equal(weights != 0, judge.coef_.T != 0)
    assert 0 < np.count_nonzero(weights) < weights.size


@pytest.mark.parametrize("restart", [False, True])
def test_fista_takes_the_steps_of_the_paper(restart):
    """Against the recursion written out, on a net that is not even convex; masked weights stay +0.0."""
    model, wanted = make("dense"), make("dense")
    sample, penalty, lr = sample_for(model), [L1(0.02), L2(0.1)], 0.3
    mask = np.ones(len(model.values), bool)
    mask[:11] = False
    for one in (model, wanted):
        one.set_mask(mask)
    steps = fista(train(model, (sample.X, sample.y), optimizer=SGD(lr), epochs=40, batch_size=len(sample),
                        penalty=penalty), restart=restart)
    x = y = wanted.values.copy()
    t, restarts = 1.0, 0
    for k, _ in enumerate(steps):
        grads = gradient(wanted, sample, y)
        wanted.values[:] = y
        penalty[1].add_gradient(wanted, grads)
        wanted.values[:] = np.where(mask, y - lr * grads, 0)
        penalty[0].prox(wanted, lr)
        new = wanted.values.copy()
        np.testing.assert_allclose(model.values, new, atol=1e-9)
        assert model.values[:11].tobytes() == bytes(88)
        if restart and k and (y - new) @ (new - x) > 0:
            t, restarts = 1.0, restarts + 1
        following = (1 + (1 + 4 * t * t) ** 0.5) / 2
        y = new + (t - 1) / following * (new - x if k else 0 * new)
        x, t = new, following
    assert k == 39 and (restarts > 0) == restart


def test_fista_is_ahead_of_plain_steps_and_leaves_what_it_showed():
    X, y = standardised(load_wine)
    values = {}
    for way in (iter, fista):
        model, lr = logistic(X, y)
        seen = [model.values.copy() for _ in way(train(model, (X, y), optimizer=SGD(lr), epochs=60, batch_size=len(X),
                                                       penalty=L1(0.01)))]
        assert np.array_equal(seen[-1], model.values)
        layer = model.layers["dense1"]
        values[way] = objective(layer.weight.value, layer.bias.value, X, y, 0.01, 1)
    assert values[fista] < values[iter]


class Probe(L1):
    """Looks at what is masked where the gradient is taken."""

    def add_gradient(self, model, grads):
        assert not model.values[~model.mask].any()


def test_fista_does_not_carry_on_what_was_pruned_meanwhile():
    model, sample = make("dense"), sample_for(make("dense"))
    for step in fista(train(model, (sample.X, sample.y), optimizer=SGD(0.1), epochs=8, batch_size=len(sample),
                            penalty=Probe(0.001))):
        if step.epoch == 4:
            model.set_mask(np.arange(len(model.values)) % 2 == 0)
    assert not model.values[1::2].any()


def test_fista_shows_its_values_when_the_caller_stops():
    X, y = standardised(load_iris)
    model, lr = logistic(X, y)
    for step in fista(train(model, (X, y), optimizer=SGD(lr), epochs=50, batch_size=len(X), penalty=L1(0.1))):
        if step.epoch == 20:
            shown = model.values.copy()
            break
    assert np.array_equal(shown, model.values) and np.count_nonzero(model.weights == 0)


@pytest.mark.parametrize("made", [GroupLasso, SparseGroupLasso])
@pytest.mark.parametrize(("net", "strength"), [("dense", 0.05), ("conv", 0.03), ("residual", 0.05), ("normed", 0.05)])
def test_group_lasso_makes_units_that_go_at_no_cost(net, strength, made):
    """Whole units are exactly 0, into them and out of them; pruned, and compacted away, no output changes."""
    model = make(net)
    sample = sample_for(model, rows=24)
    for _ in train(model, (sample.X, sample.y), optimizer=SGD(0.1), epochs=150, batch_size=len(sample),
                   penalty=made(strength)):
        pass
    coupling = model.couple()
    alive = np.zeros(coupling.n_units)
    for use in coupling.uses:
        if use.parameter.kind == "weight":
            sizes = np.abs(np.moveaxis(use.parameter.value, use.axis, 0)).reshape(len(use.units), -1).sum(axis=1)
            np.maximum.at(alive, coupling.roots(use.units), sizes)
    roots = np.unique(np.concatenate([coupling.roots(use.units) for use in coupling.uses]))
    dead = [root for root in roots if not coupling.fixed()[root] and alive[root] == 0]
    assert dead
    X = np.random.default_rng(5).normal(size=(9, *model.input_shape)) * 3
    before = model(X)
    pieces = channel(model, [p.layer for p in model.weight_parameters])
    keep = np.ones(pieces.n, bool)
    keep[pieces.piece_of[dead]] = False
    model.set_mask(pieces.expand(keep))
    np.testing.assert_allclose(model(X), before, atol=1e-12)
    small = compact(model)
    assert small.n_parameters < model.n_parameters
    np.testing.assert_allclose(small(X), before, atol=1e-12)


def test_without_outgoing_weights_units_that_are_zero_cost_a_constant():
    """One hidden layer: what the pruning changes is the same for every input."""
    model = Model(Sequential(Dense(12), mn.ReLU(), Dense(3)), (5,), rng=0, dtype=np.float64)
    model.layers["dense1"].bias.value[:] = 0.3
    sample = sample_for(model, rows=30)
    for _ in train(model, (sample.X, sample.y), optimizer=SGD(0.1), epochs=100, batch_size=30,
                   penalty=GroupLasso({"dense1": 0.05}, outgoing=False)):
        pass
    dead = int((model.layers["dense1"].weight.value == 0).all(axis=0).sum())
    assert 0 < dead < 12
    X = np.random.default_rng(5).normal(size=(9, 5))
    before = model(X)
    mn.prune(model, count=dead, structure="neuron", criterion="magnitude")
    change = model(X) - before
    np.testing.assert_allclose(change, np.broadcast_to(change[0], change.shape), atol=1e-12)
    assert compact(model).layers["dense1"].weight.value.shape == (5, 12 - dead)
