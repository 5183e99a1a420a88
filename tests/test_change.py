"""What pruning changed: differences of two models on the same rows, and the rows whose prediction flipped."""
import numpy as np
import pytest

from minnet.engine.answers import Answers
from minnet.engine.losses import cross_entropy
from minnet.errors import InvalidValue
from minnet.study.change import change


def told(guesses, y, k=3):
    """Answers of a model that is sure of these classes."""
    outputs, y = 4.0 * np.eye(k)[guesses], np.asarray(y)
    losses = np.empty(len(y))
    return Answers(outputs, y, cross_entropy(outputs, y, None, None, losses), losses)


def test_flips_are_counted_by_the_true_class():
    y = [0, 0, 1, 1, 2, 2, 2]
    found = change(told([0, 0, 1, 0, 2, 1, 0], y), told([0, 1, 1, 1, 0, 1, 2], y))
    lost, gained = found["flips"]["right_to_wrong"], found["flips"]["wrong_to_right"]
    assert lost["rows"].tolist() == [1, 4] and lost["per_class"].tolist() == [1, 0, 1]
    assert lost["predictions"].tolist() == [1, 0]
    assert gained["rows"].tolist() == [3, 6] and gained["per_class"].tolist() == [0, 1, 1]
    assert gained["predictions"].tolist() == [0, 0]
    assert found["accuracy"]["difference"] == pytest.approx(0)
    np.testing.assert_allclose(found["per_class"]["recall"]["difference"], [-0.5, 0.5, 0])


def test_the_interval_of_a_difference_is_the_paired_one():
    """Of n rows b were lost and c gained: the variance of the difference is (b + c - (b - c)^2 / n) / n^2."""
    n, b, c = 1000, 60, 20
    y, before, after = np.zeros(n, int), np.zeros(n, int), np.zeros(n, int)
    before[: c + 200], after[:200], after[-b:] = 1, 1, 1  # 200 rows are wrong both times
    found = change(told(before, y), told(after, y))["accuracy"]
    error = np.sqrt(b + c - (b - c) ** 2 / n) / n
    assert found["difference"] == pytest.approx(-0.04)
    np.testing.assert_allclose(found["interval"], -0.04 + 1.96 * error * np.array([-1, 1]), atol=0.2 * error)


def test_the_same_answers_differ_by_exactly_nothing():
    one = told([0, 1, 2, 0, 1], [0, 1, 1, 2, 1])
    found = change(one, one)
    for name in ("accuracy", "recall_macro", "f1_macro", "loss", "brier"):
        assert found[name]["difference"] == 0 and found[name]["interval"].tolist() == [0, 0]
    assert not np.any(found["per_class"]["f1"]["interval"])


def test_numbers_differ_too_and_other_rows_are_refused():
    y = np.random.default_rng(0).normal(size=(20, 2))
    near, far = (Answers(y + off, y, off**2, np.full(20, off**2)) for off in (0.1, 0.5))
    found = change(near, far)
    assert found["mae"]["difference"] == pytest.approx(0.4) and found["rmse"]["interval"] == pytest.approx(0.4)
    with pytest.raises(InvalidValue, match="same rows"):
        change(near, Answers(y, y + 1, 0.0, np.zeros(20)))
