"""Every layer's and loss's gradient is the central difference of its value, in float64, away from kinks.

A new layer is tested by its row in layer_table.py, a new loss by its row in LOSSES_HERE.
"""
from functools import partial

import numpy as np
import pytest
from each import each
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_table import ROWS, TWINS
from sklearn.metrics import hinge_loss
from trees import models, random_input

import minnet as mn
from minnet.engine import losses
from minnet.engine.layers import LAYERS
from minnet.engine.sample import draw_sample, gradient
from minnet.engine.tape import Tape
from minnet.testing.layer_laws import LAYER_LAWS, STEP, Case, all_slopes, hold, slope

CLOSE = 1e-6  # relative error of a gradient


def close(numeric, exact, scale=1.0):
    """Equal to a relative error of CLOSE of the largest entry, or of rounding in a loss of about `scale`."""
    numeric, exact = np.asarray(numeric), np.asarray(exact)
    largest = max(np.abs(exact).max(initial=0.0), 1e-3 * scale)
    np.testing.assert_allclose(numeric, exact, rtol=0, atol=CLOSE * largest)


def run(model, x, values=None, training=False, dy=None):
    """(outputs, gradient of the trainable entries, gradient of x) of one pass; noise is the same each time."""
    tape = Tape(model, values, training=training, rng=np.random.default_rng(5), input_gradient=True)
    y = model.forward(x, tape).copy()
    if dy is None:
        return y
    dx = model.backward(dy.copy(), tape)
    return y, tape.grads[: model.n_trainable].copy(), dx.copy()


@each("name", LAYERS)
def test_every_layer_has_a_row_and_a_twin(name):
    assert name in {type(row.layer).__name__ for row in ROWS.values()}, f"give {name} a row in tests/layer_table.py"
    assert LAYERS[name] in TWINS, f"give a row of {name} its twin in tests/layer_table.py"


@each("law", [law for law in LAYER_LAWS if law != "compact_and_freeze"])  # of which test_compact and test_freeze are
@each("name", ROWS)
def test_law(name, law):
    """Those of `minnet.testing`: gradients in every coordinate, pure passes, what a layer declares."""
    model, x = ROWS[name].draw()
    hold(Case(model, x, np.random.default_rng(1).normal(size=(len(x), *model.output_shape))), [law])


@settings(max_examples=40)
@given(models(), st.booleans(), st.integers(0, 2**32 - 1))
def test_random_networks(model, training, seed):
    """A random direction in all parameters and the input at once; where two step sizes disagree a kink is near."""
    rng, x = np.random.default_rng(seed), random_input(model, rng=seed)
    r = rng.normal(size=(len(x), *model.output_shape))
    statistics = model.values[model.n_trainable :]
    start = np.concatenate([model.values[: model.n_trainable], x.reshape(-1)])
    direction = rng.normal(size=start.size) / np.sqrt(start.size)

    def loss(both):
        values = np.concatenate([both[: model.n_trainable], statistics])
        return np.sum(r * run(model, both[model.n_trainable :].reshape(x.shape), values, training))

    wide, narrow = slope(loss, start, direction), slope(loss, start, direction, STEP / 4)
    y, dvalues, dx = run(model, x, training=training, dy=r)
    scale = 1 + abs(narrow) + np.abs(y).max()
    assume(abs(wide - narrow) < 0.1 * CLOSE * scale)
    assert narrow == pytest.approx(np.concatenate([dvalues, dx.reshape(-1)]) @ direction, rel=CLOSE, abs=CLOSE * scale)


# --- losses ----------------------------------------------------------------------------------------------------------


def classes(rng, n, k):
    return rng.integers(k, size=n)


def numbers(rng, n, k):
    return rng.normal(size=(n, k))


def several(rng, n, k):
    return rng.integers(2, size=(n, k)) * rng.choice([1, 0.9], size=(n, k))


LOSSES_HERE = {
    "cross_entropy": (losses.cross_entropy, classes),
    "cross_entropy, smoothed": (partial(losses.cross_entropy, label_smoothing=0.2), classes),
    "mse": (losses.mse, numbers),
    "hinge": (losses.hinge, classes),
    "binary_cross_entropy": (losses.binary_cross_entropy, several),
}


def test_every_loss_has_a_row():
    assert {name.partition(",")[0] for name in LOSSES_HERE} == set(losses.LOSSES)


@pytest.mark.parametrize("shape", [(5, 3), (1, 2), (4, 1)])
@pytest.mark.parametrize("name", LOSSES_HERE)
def test_loss(name, shape):
    """The gradient of the mean; the mean of the losses of the rows; a sum over shards divided by the same n."""
    loss, draw = LOSSES_HERE[name]
    rng = np.random.default_rng(0)
    outputs, targets = 3 * rng.normal(size=shape), draw(rng, *shape)
    doutputs, rows = np.empty(shape), np.empty(len(outputs))
    value = loss(outputs, targets, doutputs, None, rows)
    close(all_slopes(lambda z: loss(z, targets), outputs), doutputs)
    assert value == pytest.approx(rows.mean(), rel=1e-12)
    for parts in ([slice(0, 1), slice(1, None)], [slice(i, i + 1) for i in range(len(rows))]):
        shares = [loss(outputs[part], targets[part], None, len(rows)) for part in parts if len(outputs[part])]
        assert value == pytest.approx(sum(shares), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_huge_logits(smoothing):
    """exp would overflow: log-sum-exp does not, and the rows of the gradient add up to 0."""
    logits, dlogits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]]), np.empty((2, 3))
    value = losses.cross_entropy(logits, np.array([1, 2]), dlogits, label_smoothing=smoothing)
    wanted = (1 - smoothing) * np.array([2e4, np.log(3)]) + smoothing * np.array([1e4, np.log(3)])
    assert value == pytest.approx(wanted.mean(), rel=1e-12)
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-12)


def test_binary_cross_entropy_is_scikit_learn_s():
    """The mean of each column's log loss; logits of any size; y (n, k) trains a model to give several labels."""
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(0)
    logits, targets = 2 * rng.normal(size=(40, 3)), rng.integers(2, size=(40, 3))
    wanted = np.mean([log_loss(targets[:, j], 1 / (1 + np.exp(-logits[:, j]))) for j in range(3)])
    assert losses.binary_cross_entropy(logits, targets) == pytest.approx(wanted, rel=1e-12)
    gradient_ = np.empty((1, 2))
    assert losses.binary_cross_entropy(np.array([[1e4, -1e4]]), np.array([[0, 0]]), gradient_) == 5000
    assert gradient_.tolist() == [[0.5, 0]]
    X = rng.normal(size=(200, 4))
    y = np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0, X[:, 3] > 1], axis=1)
    model = mn.models.mlp((4,), 3, hidden=(16,), rng=0)
    optimizer = mn.SGD(lr=0.5, momentum=0.9)
    for _ in mn.train(model, (X, y), loss="binary_cross_entropy", optimizer=optimizer, epochs=30, rng=0):
        pass
    assert ((model(X) > 0) == y).mean() > 0.95
    with pytest.raises(mn.MinnetError, match="wants 0, 1, or what is between"):
        mn.train(model, (X, 2 * y), loss="binary_cross_entropy")


def test_hinge_is_scikit_learn_s():
    """Crammer and Singer's, and a plain count of what it is made of: margin 1, the highest other logit."""
    rng = np.random.default_rng(0)
    logits, labels = 2 * rng.normal(size=(40, 4)), rng.integers(4, size=40)
    assert losses.hinge(logits, labels) == pytest.approx(hinge_loss(labels, logits, labels=range(4)), rel=1e-12)
    assert losses.hinge(logits[:, :1], 0 * labels) == 0
    ties, dlogits = np.zeros((1, 3)), np.empty((1, 3))
    assert losses.hinge(ties, np.array([1]), dlogits) == 1
    np.testing.assert_array_equal(dlogits, [[1, -1, 0]])


# --- the gradient over a sample --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Sequential", "Sequential on images", "Residual"])
def test_gradient_of_a_sample(name, monkeypatch):
    """That of the mean loss over all rows, however they are put into batches, at any values."""
    model, x = ROWS[name].draw()
    rows = np.concatenate([x, 0.7 * x, 1.3 * x])
    y = np.arange(len(rows)) % model.output_shape[-1]
    values = model.values + 0.01
    found = []
    for at_once in (256, 2):
        monkeypatch.setattr("minnet.engine.model.PREDICT_ROWS", at_once)
        found.append(gradient(model, draw_sample(model, (rows, y), samples=None), values))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=1e-14)
    assert not found[0][model.n_trainable :].any()

    def mean_loss(trainable):
        return losses.cross_entropy(model(rows, np.concatenate([trainable, values[model.n_trainable :]])), y)

    close(all_slopes(mean_loss, values[: model.n_trainable]), found[0][: model.n_trainable])
