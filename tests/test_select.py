"""The selector against sorting: exactly k, what is gone first, then the lowest score, then the lowest index."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minnet.errors import InvalidValue
from minnet.kernels.select import GONE, MAY_GO, STAYS
from minnet.pruning.select import SORTED_BELOW, select

tied = st.sampled_from([0.0, -0.0, 1.0, 1.0, -1.0, 1e-45, 1e38, np.inf, -np.inf])
tied32 = st.sampled_from([0.0, -0.0, 1.0, 1.0, -2.0, np.inf])
states = st.sampled_from([MAY_GO, STAYS, GONE])


def plain_select(scores, state, k):
    """By sorting triples: gone first, then the lowest score, then the lowest index."""
    candidates = [i for i in range(len(scores)) if state[i] != STAYS]
    order = sorted(candidates, key=lambda i: (state[i] != GONE, scores[i] if state[i] != GONE else 0, i))
    return set(order[:k])


@given(st.data(), st.integers(0, 30), st.sampled_from([np.float32, np.float64]))
def test_select_takes_exactly_k_ties_by_index(data, n, dtype):
    scores = data.draw(arrays(dtype, n, elements=tied if dtype == np.float64 else tied32))
    state = data.draw(arrays(np.uint8, n, elements=states))
    k = data.draw(st.integers(0, np.count_nonzero(state != STAYS)))
    assert set(np.flatnonzero(select(scores, state, k)).tolist()) == plain_select(scores, state, k)


@given(st.data(), st.integers(1, 30), st.integers(1, 5))
def test_heaps_are_selected_from_one_by_one(data, n, number):
    scores = data.draw(arrays(np.float64, n, elements=tied))
    state = data.draw(arrays(np.uint8, n, elements=states))
    groups = data.draw(arrays(np.int64, n, elements=st.integers(0, number - 1)))
    members = [np.flatnonzero(groups == group) for group in range(number)]
    counts = [data.draw(st.integers(0, int(np.count_nonzero(state[m] != STAYS)))) for m in members]
    wanted = {int(m[i]) for m, k in zip(members, counts, strict=True) for i in plain_select(scores[m], state[m], k)}
    assert set(np.flatnonzero(select(scores, state, counts, groups)).tolist()) == wanted


@pytest.mark.parametrize("in_runs", [True, False])
def test_large_heaps_are_selected_from_as_small_ones(in_runs):
    """Large groups go through the kernel, small ones through one sort."""
    rng = np.random.default_rng(0)
    n = 3 * SORTED_BELOW
    scores, state = rng.integers(0, 9, n).astype(float), rng.choice(np.uint8([MAY_GO, STAYS, GONE]), n)
    groups = np.sort(rng.integers(0, 2, n)) if in_runs else rng.integers(0, 2, n)
    counts = [20, 40]
    wanted = np.zeros(n, bool)
    for group, count in enumerate(counts):
        members = np.flatnonzero(groups == group)
        wanted[members[sorted(plain_select(scores[members], state[members], count))]] = True
    assert np.array_equal(select(scores, state, counts, groups), wanted)


def test_select_refuses_more_than_may_go():
    state = np.array([MAY_GO, STAYS, GONE], np.uint8)
    with pytest.raises(InvalidValue, match="cannot remove 3 pieces: from 0 to 2 can be removed"):
        select(np.zeros(3), state, 3)
    with pytest.raises(InvalidValue, match="cannot remove 2 pieces: from 0 to 1 can be removed"):
        select(np.zeros(3), state, [0, 2], np.array([0, 1, 1]))
