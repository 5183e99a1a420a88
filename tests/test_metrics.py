"""Scores and samples: by their definitions, and refused where rows and labels do not go together."""
from types import SimpleNamespace

import numpy as np
import pytest
from nets import problem

import minnet as mn
from minnet.engine import losses
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
    with pytest.raises(InvalidValue, match="validation part"):
        next(mn.early_stopping(mn.train(model, data, epochs=3), model, data))
