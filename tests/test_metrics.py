"""Scores and samples: by their definitions, and refused where rows and labels do not go together."""
import pickle
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics
from nets import problem

import minnet as mn
from minnet.engine import losses
from minnet.engine.answers import answers, number_rates, rates
from minnet.engine.intervals import bootstrap, percentiles, wilson
from minnet.engine.metrics import mean_loss
from minnet.engine.sample import draw_sample
from minnet.errors import InvalidType, InvalidValue


def test_evaluate():
    """Accuracy, recall and F1 counted by hand, class by class; one that never occurs counts 0."""
    model, (X, _) = problem("chain", n=60)
    y = np.arange(60) % 2
    guess, recalls, f1s = model(X).argmax(axis=1), [], []
    assert set(guess) == {0, 1, 2}
    for c in range(3):
        hits = np.sum((guess == c) & (y == c))
        recalls.append(hits / max(np.sum(y == c), 1))
        f1s.append(2 * hits / (np.sum(y == c) + np.sum(guess == c)))
    scores = mn.evaluate(model, X, y)
    assert scores.accuracy == scores["accuracy"] == pytest.approx(np.mean(guess == y))
    assert scores.recall_macro == pytest.approx(np.mean(recalls))
    assert scores.f1_macro == pytest.approx(np.mean(f1s))
    logits = model(X).astype(np.float64)
    by_hand = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(60), y]
    assert scores.loss == pytest.approx(by_hand.mean(), rel=1e-9)
    assert mean_loss(model, X, y) == scores.loss
    assert mn.evaluate(mn.freeze(model), X, y).accuracy == scores.accuracy
    assert mn.evaluate(model, X, y, loss="hinge").loss == pytest.approx(losses.hinge(logits, y))


def test_evaluate_numbers():
    model, (X, _) = problem("chain")
    y = np.random.default_rng(0).normal(size=(len(X), 3))
    scores, outputs = mn.evaluate(model, X, y), model(X)
    assert scores.loss == pytest.approx(np.mean((outputs - y) ** 2), rel=1e-5)
    wanted = 1 - ((outputs - y) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert scores.r2 == pytest.approx(wanted.mean(), rel=1e-5)


# --- of each class, calibration and intervals ------------------------------------------------------------------------


def fixed(outputs):
    """A model that gives these outputs, whatever the rows are."""
    def model(X):
        return np.asarray(outputs, float)
    model.output_shape, model.dtype = np.shape(outputs)[1:], np.float64
    return model


def closed_form(k, n, z=1.959963984540054):
    """Wilson's interval as the roots of (p - k/n)^2 = z^2 p (1 - p) / n."""
    middle, width = (k + z * z / 2) / (n + z * z), z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    return middle - width, middle + width


@pytest.mark.parametrize("k, n", [(0, 1), (1, 1), (0, 20), (7, 20), (95, 100), (9981, 10_000)])
def test_wilson_is_its_closed_form(k, n):
    np.testing.assert_allclose(wilson(k, n), closed_form(k, n), rtol=1e-10, atol=1e-12)


def test_wilson_without_rows_is_nan():
    assert np.isnan(wilson([0, 1], [0, 2])).tolist() == [[True, True], [False, False]]


def test_the_bootstrap_draws_what_the_enumeration_of_all_resamples_has():
    """3 rows: 27 resamples, all as likely. Their means are met as often as that, and so are the percentiles."""
    values = np.array([0.0, 1.0, 5.0])
    exact, shares = np.unique([np.mean(rows) for rows in product(values, repeat=3)], return_counts=True)
    table = np.stack([np.ones(3), values])
    found = bootstrap(table, lambda sums: {"mean": sums[1] / sums[0]}, resamples=20_000)["mean"]
    means, counts = np.unique(np.round(found, 12), return_counts=True)
    np.testing.assert_allclose(means, exact)
    np.testing.assert_allclose(counts / 20_000, shares / 27, atol=5 * np.sqrt(0.25 / 20_000))
    np.testing.assert_array_equal(percentiles(found), [0, 5])  # each end has the share 1/27 > 2.5 %


def test_the_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(0).normal(size=400)
    low, high = percentiles(bootstrap(np.stack([np.ones(400), values]), lambda s: {"m": s[1] / s[0]})["m"])
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def by_sklearn(y, guess, weights, k):
    options = {"labels": range(k), "sample_weight": weights}
    return sklearn.metrics.precision_recall_fscore_support(y, guess, zero_division=0, **options), \
        sklearn.metrics.confusion_matrix(y, guess, **options)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_class_is_scored_by_the_same_sums_as_every_resample(weighted):
    rng = np.random.default_rng(1)
    outputs, y = rng.normal(size=(80, 4)), rng.integers(3, size=80)  # class 3 is guessed and never right
    weights = rng.choice([0.0, 1.0, 2.5], 80) if weighted else None
    found = mn.evaluate(fixed(outputs), None, y, sample_weight=weights)
    table, confusion = by_sklearn(y, outputs.argmax(axis=1), weights, 4)
    for name, wanted in zip(("precision", "recall", "f1", "support"), table, strict=True):
        np.testing.assert_allclose(found.per_class[name], wanted)
    np.testing.assert_array_equal(found.confusion, confusion)
    told = answers(fixed(outputs), None, y, sample_weight=weights)
    sums = rates(told.table().sum(axis=1), 4)
    for name in ("accuracy", "recall_macro", "f1_macro", "loss", "brier"):
        assert sums[name] == pytest.approx(found[name], rel=1e-12)
        assert found.intervals[name][0] <= found[name] <= found.intervals[name][1]
    for name in ("precision", "recall", "f1"):
        np.testing.assert_allclose(sums[name], found.per_class[name])
    exact = wilson(round(80 * found.accuracy), 80)
    assert (found.intervals.accuracy.tolist() == exact.tolist()) != weighted


def test_scores_print_as_tables_and_travel():
    rng = np.random.default_rng(1)
    found = mn.evaluate(fixed(rng.normal(size=(40, 3))), None, rng.integers(3, size=40))
    low, high = found.intervals.accuracy
    assert f"accuracy      {found.accuracy:.4f}  ({low:.4f} to {high:.4f})" in str(found).splitlines()
    assert f"{found.per_class.recall[2]:.4f}" in str(found).splitlines()[-1]
    again = pickle.loads(pickle.dumps(found))
    assert str(again) == str(found) and again.per_class.recall.tolist() == found.per_class.recall.tolist()
    assert "recall_macro" in dir(found)
    X, y = rng.normal(size=(40, 2)), np.array(["ant", "beetle"] * 20)
    data = mn.load_data((X, y), rng=0)
    model = mn.models.mlp((2,), 2, hidden=(3,), rng=0)
    model.signature = data.signature
    lines = str(mn.evaluate(model, X, y)).splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["class", "ant", "beetle"] and len(set(map(len, lines))) == 1
    with pytest.raises(AttributeError, match="accuracy"):
        _ = found.acuracy


def test_weights_of_rows_are_rows_given_again():
    rng = np.random.default_rng(2)
    outputs, y, weights = rng.normal(size=(30, 3)), rng.integers(3, size=30), rng.integers(3, size=30)
    once = mn.evaluate(fixed(outputs), None, y, sample_weight=weights, intervals=False)
    again = mn.evaluate(fixed(np.repeat(outputs, weights, axis=0)), None, np.repeat(y, weights), intervals=False)
    for name in ("accuracy", "recall_macro", "f1_macro", "loss", "brier", "ece"):
        assert once[name] == pytest.approx(again[name], rel=1e-12), name
    balanced = mn.evaluate(fixed(outputs), None, y, class_weight="balanced", intervals=False)
    assert balanced.accuracy == pytest.approx(balanced.recall_macro, rel=1e-12)


def test_calibration_by_hand():
    """Brier's score sums over the classes; ece weighs the bins (0.6, 0.667] and (0.867, 0.933] by their rows."""
    p, y = np.array([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.35, 0.65]]), np.array([0, 1, 1, 0])
    found = mn.evaluate(fixed(np.log(p)), None, y)
    assert found.brier == pytest.approx(np.mean([0.02, 2 * 0.81, 2 * 0.35**2, 2 * 0.65**2]))
    assert found.ece == pytest.approx(0.5 * abs(0.9 - 0.5) + 0.5 * abs(0.65 - 0.5))
    assert found.calibration.count.tolist() == [0] * 9 + [2] + [0] * 3 + [2, 0]
    assert "ece" not in found.intervals


def test_sparse_tables_of_many_classes_are_dense_ones(monkeypatch):
    rng = np.random.default_rng(3)
    outputs, y = rng.normal(size=(50, 5)), rng.integers(5, size=50)
    dense = mn.evaluate(fixed(outputs), None, y)
    monkeypatch.setattr("minnet.engine.answers.MOST_DENSE", 1)
    sparse = mn.evaluate(fixed(outputs), None, y)
    for name, value in dense.intervals.items():
        np.testing.assert_allclose(sparse.intervals[name], value)


def test_numbers_have_intervals_too():
    rng = np.random.default_rng(4)
    y = rng.normal(size=(200, 2)) * [1, 100] + 50
    outputs = y + rng.normal(size=(200, 2))
    weights = rng.random(200)
    found = mn.evaluate(fixed(outputs), None, y, sample_weight=weights)
    assert found.mae == pytest.approx(np.average(np.abs(outputs - y), axis=0, weights=weights).mean())
    squares = np.average((outputs - y) ** 2, axis=0, weights=weights)
    assert found.rmse == pytest.approx(np.sqrt(squares).mean()) and found.loss == pytest.approx(squares.mean())
    told = answers(fixed(outputs), None, y, sample_weight=weights)
    for name, value in number_rates(told.table().sum(axis=1), 2, told.units).items():
        assert value == pytest.approx(found[name], rel=1e-9)
        assert found.intervals[name][0] <= found[name] <= found.intervals[name][1]


@pytest.mark.parametrize("make", [
    lambda X, y: (X, y[:-1]), lambda X, y: (X[:-1], y), lambda X, y: (X[:0], y[:0]), lambda X, y: (X, y + 3),
    lambda X, y: (X, -1 - y), lambda X, y: (X, y.astype(str)), lambda X, y: (X, y[:, None]), lambda X, y: (X, None),
    lambda X, y: (X * np.nan, y), lambda X, y: (X[:, :3], y), lambda X, y: (X, 1),
])
def test_what_does_not_go_together_is_refused(make):
    """By scores, samples and training alike: a kernel never sees a label that is out of range."""
    model, data = problem("chain")
    X, y = make(*data)
    for ask in (lambda: mn.evaluate(model, X, y), lambda: draw_sample(model, (X, y), rng=0),
                lambda: mn.train(model, (X, y), epochs=1)):
        with pytest.raises(mn.MinnetError) as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.hinge])
@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [0, 1, -1], [0.0, 1.0, 2.0], [[0], [1], [2]], None])
def test_losses_check_their_labels(loss, labels):
    with pytest.raises(InvalidValue, match="labels"):
        loss(np.zeros((3, 3)), labels)


# --- samples ---------------------------------------------------------------------------------------------------------


def test_a_sample_is_drawn_from_the_training_part():
    """So many rows, none twice, in order, with their labels; all of them where `samples` is None."""
    model, (X, y) = problem("chain", n=40)
    nothing = np.full((5, 7), np.nan)
    data = SimpleNamespace(X_train=X, y_train=y, X_valid=nothing, y_valid=nothing, X_test=nothing, y_test=nothing)
    where = {row.tobytes(): i for i, row in enumerate(X)}
    for samples, n in ((10, 10), (40, 40), (1000, 40), (None, 40)):
        sample = draw_sample(model, data, samples=samples, rng=0)
        rows = [where[row.tobytes()] for row in sample.X]
        assert len(sample) == len(rows) == n and rows == sorted(set(rows))
        np.testing.assert_array_equal(sample.y, y[rows])
        assert sum(len(X) for X, _ in sample.batches()) == n
    assert draw_sample(model, sample) is sample
    seeds = [draw_sample(model, data, samples=10, rng=seed).X.tobytes() for seed in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize("samples", [0, -1, 2.5, "all", True])
def test_bad_sizes_of_samples(samples):
    model, data = problem("chain")
    with pytest.raises((InvalidValue, InvalidType), match="samples"):
        draw_sample(model, data, samples=samples)


@pytest.mark.parametrize("data", [None, "digits", 3, ([1], [2], [3]), SimpleNamespace(X=1, y=2)])
def test_what_is_no_data(data):
    model, _ = problem("chain")
    with pytest.raises(InvalidType, match="data="):
        draw_sample(model, data)


def test_early_stopping_wants_a_validation_part():
    model, data = problem("chain")
    steps = mn.train(model, data, epochs=3)
    with pytest.raises(InvalidValue, match="validation part"):
        next(mn.early_stopping(steps, model, data))
    steps.close()  # else it warns that it was never iterated
