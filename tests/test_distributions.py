"""Distributions: shares against the papers' formulas, counts exact, bounds kept; apportionment by its own laws."""
import fractions
import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tables import NETS, make

from minnet.errors import InvalidValue, MinnetError
from minnet.models import lenet_300_100
from minnet.pruning.apportion import apportion, fill
from minnet.pruning.candidates import Infeasible
from minnet.pruning.distributions import DISTRIBUTIONS
from minnet.pruning.prune import prune

by_seed = st.integers(0, 2**32 - 1)
sparsities = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.29, 0.5, 0.9, 0.95, 1.0]))
bounds = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(0, 9)), min_size=1, max_size=7)


def scores_of(scores):
    """The criterion that gives these scores."""
    return lambda model, data: scores


def random_scores(model, seed, tied):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, model.n_weights) if tied else rng.normal(size=model.n_weights)


def lost(result):
    """How many weights each layer lost."""
    return [layer.total - layer.remaining for layer in result.per_layer.values()]


# --- apportionment ---------------------------------------------------------------------------------------------------


@given(bounds, st.data())
def test_apportioned_counts_keep_the_bounds_and_the_total(rows, data):
    low = np.array([min(a, b) for a, b, _ in rows])
    high = np.array([max(a, b) for a, b, _ in rows])
    shares = np.array([share for *_, share in rows])
    total = data.draw(st.integers(int(low.sum()), int(high.sum())))
    counts = apportion(shares, total, low, high)
    assert counts.sum() == total and (low <= counts).all() and (counts <= high).all()


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 200))
def test_apportion_is_hamiltons_method(sizes, k):
    """Floors, then one more to the largest remainders, ties to the first: by exact fractions."""
    assume(k <= sum(sizes) and sum(sizes))
    exact = [fractions.Fraction(k * size, sum(sizes)) for size in sizes]
    wanted = [int(share) for share in exact]
    order = sorted(range(len(sizes)), key=lambda i: (wanted[i] - exact[i], i))
    for i in order[: k - sum(wanted)]:
        wanted[i] += 1
    shares = k * np.array(sizes) / sum(sizes)
    assert apportion(shares, k, np.zeros(len(sizes)), np.array(sizes)).tolist() == wanted


@example([(0, 0, 1.0), (0, 1, 0.0), (1, 1, 0.0)], 0.0)
@given(bounds, st.floats(0, 1))
def test_filled_shares_are_in_proportion_where_no_bound_cuts(rows, part):
    low = np.array([min(a, b) for a, b, _ in rows], float)
    high = np.array([max(a, b) for a, b, _ in rows], float)
    shares = np.array([share for *_, share in rows])
    total = low.sum() + part * (high - low).sum()
    real = fill(shares, total, low, high)
    assert np.isclose(real.sum(), total) and (real >= low - 1e-9).all() and (real <= high + 1e-9).all()
    ratio = [real[i] / shares[i] for i in range(len(rows)) if low[i] < real[i] < high[i] and shares[i] > 1e-3]
    free = shares[(real > low) & (real < high)]
    if len(free) and (free > 1e-3).all():
        np.testing.assert_allclose(real, np.clip(shares * ratio[0], low, high), rtol=1e-6, atol=1e-6)


# --- counts ----------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(DISTRIBUTIONS)), st.sampled_from(sorted(NETS)), sparsities, by_seed, st.booleans())
def test_exactly_so_many_go_and_in_each_heap_the_lowest(distribution, net, sparsity, seed, tied):
    model, scores = make(net), random_scores(make(net), seed, tied)
    try:
        result = prune(model, sparsity, criterion=scores_of(scores), distribution=distribution)
    except Infeasible:
        assert distribution == "uniform_plus"
        last, first = model.weight_parameters[-1].size, model.weight_parameters[0].size
        assert round(sparsity * model.n_weights) > model.n_weights - first - last + int(0.8 * last)
        return
    gone = ~model.mask[: model.n_weights]
    assert gone.sum() == result.removed == round(sparsity * model.n_weights) == sum(lost(result))
    for p in model.weight_parameters:
        groups = p.mask.reshape(-1, p.shape[-1]).T if distribution == "rowwise" else [p.mask.ravel()]
        ranks = scores[p.slice].reshape(-1, p.shape[-1]).T if distribution == "rowwise" else [scores[p.slice]]
        for keep, rank in zip(groups, ranks, strict=True):
            order = sorted(range(len(rank)), key=lambda i, rank=rank: (rank[i], i))
            count = len(keep) - np.count_nonzero(keep)
            assert sorted(order[:count]) == np.flatnonzero(~keep).tolist()


@given(st.sampled_from(["layerwise", "rowwise"]), st.sampled_from(sorted(NETS)), sparsities)
def test_uniform_shares_are_within_one(distribution, net, sparsity):
    model = make(net)
    prune(model, sparsity, distribution=distribution)
    k, n = round(sparsity * model.n_weights), model.n_weights
    for p in model.weight_parameters:
        groups = p.mask.reshape(-1, p.shape[-1]).T if distribution == "rowwise" else [p.mask.ravel()]
        for keep in groups:
            assert abs(np.count_nonzero(~keep) - k * keep.size / n) < 1


@given(st.sampled_from(sorted(NETS)), sparsities, by_seed, st.booleans())
def test_global_is_one_ranking_of_all(net, sparsity, seed, tied):
    model, scores = make(net), random_scores(make(net), seed, tied)
    prune(model, sparsity, criterion=scores_of(scores))
    order = np.argsort(scores, kind="stable")
    assert set(np.flatnonzero(~model.mask).tolist()) == set(order[: round(sparsity * model.n_weights)].tolist())


@given(st.sampled_from(sorted(set(DISTRIBUTIONS) - {"uniform_plus"})), st.sampled_from(sorted(NETS)), by_seed,
       st.lists(sparsities, min_size=2, max_size=4))
def test_masks_nest_though_shares_are_rounded_anew(distribution, net, seed, path):
    model, rng, before = make(net), np.random.default_rng(seed), None
    for sparsity in sorted(path):
        prune(model, sparsity, criterion=scores_of(rng.normal(size=model.n_weights)), distribution=distribution)
        gone = ~model.mask
        assert gone.sum() == round(sparsity * model.n_weights)
        assert before is None or not (before & ~gone).any()
        before = gone


@given(st.sampled_from(sorted(set(DISTRIBUTIONS) - {"uniform_plus"})), st.sampled_from(sorted(NETS)), by_seed,
       st.floats(0, 1), st.floats(0, 1))
def test_min_density_is_a_floor_for_every_layer(distribution, net, seed, floor, share):
    model, scores = make(net), random_scores(make(net), seed, tied=True)
    groups = p_sizes = [p.size for p in model.weight_parameters]
    if distribution == "rowwise":
        groups = [p.size // p.shape[-1] for p in model.weight_parameters for _ in range(p.shape[-1])]
    most, bound = (sum(n - math.ceil(round(floor * n, 9)) for n in sizes) for sizes in (p_sizes, groups))
    count = int(share * bound)
    prune(model, count=count, criterion=scores_of(scores), distribution=distribution, min_density=floor)
    assert np.count_nonzero(~model.mask) == count
    assert all(p.mask.mean() >= floor - 1e-9 for p in model.weight_parameters)
    before = model.values.tobytes()
    if most < model.n_weights and distribution != "rowwise":
        with pytest.raises(InvalidValue, match=f"ask for at most {most}$"):
            prune(model, count=most + 1, criterion=scores_of(scores), distribution=distribution, min_density=floor)
        assert model.values.tobytes() == before


def test_a_floor_holds_a_layer_back_and_the_others_give_more():
    """Global: the first layer's scores are all lowest, yet it keeps a fifth; the lowest elsewhere go instead."""
    model = make("dense")
    scores = np.arange(model.n_weights)
    first = model.layers["dense1"].weight.size
    prune(model, count=first, criterion=scores_of(scores), min_density=0.2)
    kept = -(-first // 5)
    assert np.flatnonzero(~model.mask).tolist() == [*range(first - kept), *range(first, first + kept)]


# --- the papers' formulas --------------------------------------------------------------------------------------------


def test_erk_of_lenet_300_100():
    """Densities at 10 %, by hand: 0.0796, 0.2302 and 1 (the last layer is capped)."""
    model = lenet_300_100((784,), 10, rng=0)
    result = prune(model, 0.9, distribution="erk")
    assert [round(1 - layer.sparsity, 4) for layer in result.per_layer.values()] == [0.0796, 0.2302, 1.0]
    assert result.removed == round(0.9 * 266200)


@pytest.mark.parametrize("name", ["erk", "erdos_renyi"])
@pytest.mark.parametrize("net", NETS)
def test_erdos_renyi_by_the_papers_loop(name, net):
    """Evci et al. (2020): find eps that makes the sum of n_l d_l right; layers beyond density 1 leave the sum."""
    model, sparsity = make(net), 0.6
    shapes = [p.shape for p in model.weight_parameters]
    raw = [sum(s) / np.prod(s) if name == "erk" else (s[-2] + s[-1]) / (s[-2] * s[-1]) for s in shapes]
    sizes, dense = [np.prod(s) for s in shapes], set()
    while True:
        free = [i for i in range(len(sizes)) if i not in dense]
        budget = (1 - sparsity) * sum(sizes) - sum(sizes[i] for i in dense)
        eps = budget / sum(sizes[i] * raw[i] for i in free)
        over = {i for i in free if eps * raw[i] > 1}
        if not over:
            break
        dense |= over
    wanted = [0 if i in dense else sizes[i] * (1 - eps * raw[i]) for i in range(len(sizes))]
    assert np.abs(np.subtract(lost(prune(model, sparsity, distribution=name)), wanted)).max() <= 1


@given(st.sampled_from(sorted(NETS)), sparsities, by_seed)
def test_lamp_is_the_papers_procedure(net, sparsity, seed):
    """Lee et al. (2021): sort a layer's weights by square, divide each by the sum of what is not smaller, cut globally.
    The layers' shares are that cut's; with magnitude inside, so is the mask."""
    model = make(net, seed)
    scores = np.zeros(model.n_weights)
    for p in model.weight_parameters:
        square = model.values[p.slice] ** 2
        order = np.argsort(square, kind="stable")
        for place, i in enumerate(order):
            scores[p.slice.start + i] = square[i] / square[order[place:]].sum()
    wanted = np.argsort(scores, kind="stable")[: round(sparsity * model.n_weights)]
    prune(model, sparsity, distribution="lamp")
    assert np.flatnonzero(~model.mask).tolist() == sorted(wanted.tolist())


@given(st.sampled_from(sorted(NETS)), sparsities, by_seed)
def test_quality_is_one_factor_of_the_standard_deviation(net, sparsity, seed):
    model = make(net, seed)
    model.layers["dense1"].weight.value[...] *= 10
    whole = model.values.copy()
    prune(model, sparsity, distribution="quality")
    relative = [np.abs(whole[p.slice]) / whole[p.slice].std() for p in model.weight_parameters]
    gone = [~p.mask.ravel() for p in model.weight_parameters]
    highest = max((r[g].max() for r, g in zip(relative, gone, strict=True) if g.any()), default=0)
    lowest = min((r[~g].min() for r, g in zip(relative, gone, strict=True) if not g.all()), default=np.inf)
    assert highest <= lowest


def test_uniform_plus_spares_the_first_layer_and_some_of_the_last():
    model = make("conv")
    sizes = [p.size for p in model.weight_parameters]
    count = round(0.9 * sum(sizes[1:-1]) + 0.8 * sizes[-1])
    result = prune(model, count=count, distribution="uniform_plus")
    shares = [layer.sparsity for layer in result.per_layer.values()]
    assert shares[0] == 0 and abs(shares[-1] - 0.8) < 1 / sizes[-1]
    assert all(abs(share - 0.9) < 1 / size for share, size in zip(shares[1:-1], sizes[1:-1], strict=True))
    with pytest.raises(InvalidValue, match=r"ask for at most \d+, or take"):
        prune(model, 1.0, distribution="uniform_plus")


def test_a_dict_gives_each_layer_its_own():
    model = make("conv")
    result = prune(model, distribution={"*": 0.5, "conv*": 0.75, "dense2": 0.0})
    sizes = [p.size for p in model.weight_parameters]
    for share, wanted, size in zip([layer.sparsity for layer in result.per_layer.values()], [0.75, 0.75, 0.5, 0.0],
                                   sizes, strict=True):
        assert abs(share - wanted) < 1 / size
    assert result.removed == round(sum(np.multiply([0.75, 0.75, 0.5, 0.0], sizes)))
    again = prune(model, distribution={"conv*": 0.5})  # more is gone already
    assert again.removed == 0


@pytest.mark.parametrize(("arguments", "wanted"), [
    ({"sparsity": 0.5, "distribution": {"dense1": 0.5}}, "no budget"),
    ({"distribution": {"dens": 0.5}}, "did you mean"),
    ({"distribution": {"dense1": 1.5}}, "from 0 to 1"),
    ({"distribution": {"dense1": 1.0}, "value_range": (0, 0.1)}, "at most"),
    ({"sparsity": 0.5, "distribution": "erq"}, "did you mean erk"),
    ({"sparsity": 0.5, "min_density": -1}, "min_density"),
])
def test_wrong_distributions_are_refused(arguments, wanted):
    model = make("dense")
    before = model.values.tobytes() + model.mask.tobytes()
    with pytest.raises(MinnetError, match=wanted):
        prune(model, **arguments)
    assert model.values.tobytes() + model.mask.tobytes() == before


@pytest.mark.parametrize(("returned", "wanted"), [
    (lambda candidates: (candidates.layers, [1.0]), "for each of 3 groups"),
    (lambda candidates: (candidates.layers, [-1, 0, 9]), "at least 0"),
    (lambda candidates: (candidates.layers, [np.nan, 1, 2]), "at least 0"),
    (lambda candidates: ([0, 1], [5, 5]), "each of 62 weights"),
    (lambda candidates: (candidates.layers / 2, [5, 5, 5]), "whole number"),
])
def test_what_an_own_distribution_returns_is_checked(returned, wanted):
    model = make("dense")
    before = model.values.tobytes()
    with pytest.raises(InvalidValue, match=wanted):
        prune(model, count=20, distribution=lambda candidates, k: returned(candidates))
    assert model.values.tobytes() == before


def test_an_own_distribution_is_a_function():
    """All from the last layer as far as it goes: what a share cannot get, the others give."""
    model = make("dense")
    result = prune(model, count=20, distribution=lambda candidates, k: (candidates.layers, [0, 0, k]))
    assert lost(result)[2] == model.weight_parameters[2].size == 12
    assert sum(lost(result)) == 20
