"""Weights of rows and classes: a row of weight 2 is that row twice, and "balanced" is n / (k * count)."""
import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from nets import problem
from sklearn.neural_network import MLPClassifier
from sklearn.utils.class_weight import compute_sample_weight

import minnet as mn
from minnet.engine.weights import imbalance, row_weights

COUNTS = np.array([1, 2, 3, 1, 0, 2])


def tables(n=30, dtype=np.float64):
    """A small chain and rows with labels, in float64, so that sums agree to 1e-12."""
    rng = np.random.default_rng(0)
    model = mn.Model(mn.Sequential(mn.Dense(6), mn.Tanh(), mn.Dense(3)), (4,), rng=1, dtype=dtype)
    return model, rng.normal(size=(n, 4)), np.arange(n) % 3


def trained(X, y, accelerate=True, loss=None, **weights):
    """The values after 5 steps on all rows, and the losses of the steps."""
    model = tables()[0]
    steps = mn.train(model, (X, y), optimizer=mn.SGD(0.3, momentum=0.9, weight_decay=1e-3), epochs=5, loss=loss,
                     batch_size=len(X), rng=0, accelerate=accelerate, **weights)
    return [step.loss for step in steps], model.values


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge", "mse"])
def test_a_weight_of_2_is_the_row_twice(loss, accelerate):
    _, X, y = tables()
    weights = np.resize(COUNTS, len(X))
    targets = np.eye(3)[y] if loss == "mse" else y
    by_weight = trained(X, targets, accelerate, loss, sample_weight=weights)
    by_rows = trained(np.repeat(X, weights, axis=0), np.repeat(targets, weights, axis=0), accelerate, loss)
    for mine, theirs in zip(by_weight, by_rows, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def sklearn_fit(X, y, weights, rate):
    """scikit-learn's net after one step of gradient descent on all rows."""
    net = MLPClassifier((6,), "tanh", solver="sgd", alpha=0, batch_size=len(X), learning_rate_init=rate, max_iter=1,
                        momentum=0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        return net.fit(X, y, weights)


@pytest.mark.skipif("sample_weight" not in inspect.signature(MLPClassifier.fit).parameters, reason="scikit-learn < 1.7")
def test_a_step_is_that_of_scikit_learn():
    model, X, y = tables()
    weights = np.random.default_rng(5).random(len(X))
    start, after = (sklearn_fit(X, y, weights, rate) for rate in (1e-200, 0.5))
    for net, use in ((start, np.copyto), (after, lambda mine, theirs: np.testing.assert_allclose(mine, theirs, 1e-10))):
        for name, coefs, intercepts in zip(("dense1", "dense2"), net.coefs_, net.intercepts_, strict=True):
            use(model.parameters[f"{name}.weight"].value, coefs)
            use(model.parameters[f"{name}.bias"].value, intercepts)
        if net is start:
            *_, step = mn.train(model, (X, y), optimizer=mn.SGD(0.5), epochs=1, batch_size=len(X), rng=0,
                                sample_weight=weights)
    assert step.loss == pytest.approx(after.loss_, rel=1e-9)


def test_weights_of_1_and_their_scale_change_nothing():
    _, X, y = tables()
    plain = trained(X, y)
    for weight in (1, 1e-3, 7):
        for mine, theirs in zip(trained(X, y, sample_weight=np.full(len(X), weight)), plain, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_balanced_is_n_over_k_count_of_the_classes_that_occur():
    y = np.array([0, 0, 0, 3, 3, 1])
    np.testing.assert_allclose(row_weights(y, None, "balanced", range(5)), 6 / (3 * np.array([3, 3, 3, 2, 2, 1])))
    np.testing.assert_allclose(row_weights(y, None, "balanced", range(5)), compute_sample_weight("balanced", y))
    weights = np.array([1, 2, 1, 0, 3, 2])
    twice = row_weights(np.repeat(y, weights), None, "balanced", range(5))
    once = row_weights(y, weights, "balanced", range(5))
    assert once.sum() == pytest.approx(twice.sum(), rel=1e-12)
    np.testing.assert_allclose([once[y == c].sum() for c in (0, 1, 3)], weights.sum() / 3, rtol=1e-12)


def test_classes_are_weighted_by_label():
    model, X, y = tables()
    data = SimpleNamespace(X_train=X, y_train=y, classes=np.array(["ant", "bee", "cat"]))
    sums = []
    for given in ({"bee": 2, "cat": 0.5}, {"bee": 2.0, "cat": 0.5, "ant": 1}):
        net = model.clone()
        sums.append([step.loss for step in mn.train(net, data, epochs=2, batch_size=30, rng=0, class_weight=given)])
    net = model.clone()
    by_row = np.array([1, 2, 0.5])[y]
    sums.append([step.loss for step in mn.train(net, (X, y), epochs=2, batch_size=30, rng=0, sample_weight=by_row)])
    assert sums[0] == sums[1] == sums[2]
    np.testing.assert_array_equal(row_weights(y, None, {"1": 3}, range(3)), row_weights(y, None, {1: 3}, range(3)))


def test_a_batch_of_weights_0_has_the_loss_0_and_no_gradient():
    model, X, y = tables()
    before = model.values.copy()
    weights = np.zeros(len(X))
    weights[7] = 1
    steps = mn.train(model, (X, y), optimizer=mn.SGD(0.1), epochs=1, batch_size=1, rng=0, every="batch",
                     sample_weight=weights)
    moved = 0
    for _ in steps:
        moved += (model.values != before).any()
        before = model.values.copy()
    assert moved == 1


def test_a_chain_of_weighted_rows_takes_the_layers_and_says_so():
    model, data = problem("chain")
    step = next(mn.train(model, data, epochs=1, rng=0, class_weight="balanced"))
    assert step.path.startswith("layers") and "weights" in step.why


def test_weights_go_on_within_an_epoch():
    _, X, y = tables()
    settings = {"optimizer": mn.SGD(0.1, momentum=0.9), "epochs": 2, "batch_size": 7, "sample_weight": 1.0 + y}
    whole, parts = tables()[0], tables()[0]
    for _ in mn.train(whole, (X, y), rng=3, **settings):
        pass
    for step in mn.train(parts, (X, y), rng=3, every="batch", **settings):
        if step.state.t == 4:
            break
    for _ in mn.train(parts, (X, y), state=step.state, **settings):
        pass
    assert whole.values.tobytes() == parts.values.tobytes()


@pytest.mark.parametrize("weights", [
    {"sample_weight": np.ones(3)}, {"sample_weight": -np.ones(30)}, {"sample_weight": np.full(30, np.nan)},
    {"sample_weight": np.zeros(30)}, {"sample_weight": "all"}, {"class_weight": "balance"}, {"class_weight": {7: 1}},
    {"class_weight": {0: -1}}, {"class_weight": {0: "2"}}, {"class_weight": [1, 2, 3]},
    {"class_weight": {0: 0, 1: 0, 2: 0}},
])
def test_bad_weights_are_refused_in_one_line(weights):
    model, X, y = tables()
    with pytest.raises(mn.MinnetError) as caught:
        mn.train(model, (X, y), epochs=1, **weights)
    assert "\n" not in str(caught.value)


def test_numbers_have_no_classes_to_weigh():
    model, X, _ = tables()
    with pytest.raises(mn.MinnetError, match="sample_weight"):
        mn.train(model, (X, np.zeros((30, 3))), epochs=1, class_weight="balanced")


def test_imbalance():
    assert imbalance(np.array([2, 2, 2, 2, 0, 0, 5])) == (4.0, 5, 2)
