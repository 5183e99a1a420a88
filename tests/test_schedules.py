"""Schedules: where they begin, end and pass; rounds that sum exactly."""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnet.errors import MinnetError
from minnet.pruning import schedules
from minnet.pruning.rounds import rounds, share_of
from minnet.pruning.schedules import SCHEDULES

NAMES = sorted(SCHEDULES)
progress = st.floats(-0.5, 1.5)
targets = st.floats(0.01, 0.99)


@given(st.sampled_from(NAMES), targets, st.lists(progress, min_size=2, max_size=20))
def test_schedules_rise_from_0_to_1_and_are_clipped(name, sparsity, times):
    share = share_of(name, sparsity)
    values = [share(t) for t in sorted(times)]
    assert all(0 <= value <= 1 for value in values) and values == sorted(values)
    assert share(1.0) == share(1.5) == 1
    assert name == "one_shot" or share(0.0) == share(-0.5) == 0


@given(st.floats(0, 1), targets)
def test_the_formulas(t, sparsity):
    density = 1 - sparsity
    wanted = {"one_shot": 1, "arithmetic": t, "geometric": (1 - density**t) / sparsity, "cubic": 1 - (1 - t) ** 3,
              "cosine": (1 - math.cos(math.pi * t)) / 2, "exponential": np.expm1(-4 * t) / np.expm1(-4)}
    assert set(wanted) == set(SCHEDULES)
    for name, value in wanted.items():
        assert share_of(name, sparsity)(t) == pytest.approx(value, abs=1e-12)


def test_cubic_is_that_of_zhu_and_gupta():
    """s_t = s_f + (s_i - s_f) (1 - t)^3 with s_i = 0: 7/8 of the way at half the time."""
    assert schedules.cubic(0.5) == 0.875


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from(NAMES), targets)
def test_rounds_end_at_exactly_what_is_asked_and_never_fall(k, number, name, sparsity):
    ends = rounds(k, number, name, sparsity)
    assert len(ends) == number and ends[-1] == k and ends == sorted(ends) and ends[0] >= 0


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_arithmetic_rounds_are_equal_to_within_one(k, number):
    ends = rounds(k, number, "arithmetic")
    steps = np.diff([0, *ends])
    assert steps.max() - steps.min() <= 1
    assert ends == [round(k * (i / number)) for i in range(1, number + 1)]


@given(st.integers(1, 30), targets)
def test_geometric_rounds_take_the_same_fraction_of_what_is_left(number, sparsity):
    share = share_of("geometric", sparsity)
    left = [1 - sparsity * share(i / number) for i in range(number + 1)]
    for before, after in itertools.pairwise(left):
        assert after / before == pytest.approx((1 - sparsity) ** (1 / number))


@given(st.integers(0, 10**6), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_a_list_says_the_sparsity_after_each_round(n, steps):
    steps = sorted(steps)
    k = round(steps[-1] * n)
    ends = rounds(k, len(steps), steps, sparsity=steps[-1])
    assert ends[-1] == k
    for end, step in zip(ends, steps, strict=True):
        assert abs(end - step * n) <= 1.5  # two roundings
    share = share_of(steps, steps[-1])
    assert share(0.0) == share(-1.0) == 0 and share(1.0) == 1


@pytest.mark.parametrize(("schedule", "sparsity", "number", "wanted"), [
    ("geometric", 1.0, 3, "never reaches sparsity 1"), ("cubik", 0.5, 3, "did you mean cubic"),
    ([0.5, 0.4], 0.4, 2, "falls"), ([0.5, 0.6], 0.9, 2, "ends at 0.6"), ([], 0.5, 1, "empty"),
    ([0.5], 0.5, 2, "one a round"), (lambda t: 1 - t, 0.5, 2, "ends at 0 of the way"),
    (lambda t: t - 0.9 * (t < 1), 0.5, 2, "schedule"),
    (lambda t: t if t == 1 else 0.9 - t, 0.5, 4, "falls"), ("cubic", 0.5, 0, "rounds"),
    ([0.5, "a"], 0.5, 2, "schedule"),
])
def test_wrong_schedules_are_refused(schedule, sparsity, number, wanted):
    with pytest.raises(MinnetError, match=wanted):
        rounds(100, number, schedule, sparsity)


def test_an_own_schedule_is_a_function_of_progress_and_of_the_sparsity_if_it_wants():
    assert rounds(10, 2, math.sqrt) == [7, 10]
    assert rounds(10, 2, lambda t, sparsity: t**sparsity, sparsity=0.5) == [7, 10]
