"""Recipes that are sparse all the way: scores as a brute force has them, exact counts, growth where nothing lives."""
import tracemalloc
from functools import partial
from itertools import pairwise, permutations

import numpy as np
import pytest
from born import MODELS, data, dense_twin, net, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import bits, is_plus_zero
from scipy.sparse import csr_array

import minnet as mn
from minnet.engine.sample import gradient
from minnet.errors import MinnetError, Unsupported
from minnet.pruning.apportion import apportion
from minnet.pruning.recipes import FROM_SPARSE, bipartite, hebbian, link_scores, momentum, moving, starts
from minnet.pruning.recipes.bipartite import Links, draw_grown, draw_kept, percolate

SEEDS = st.integers(0, 10**6)
NAMES = sorted(FROM_SPARSE - {"set", "rigl"})  # of these see test_recipes_regrow.py
HEBBIAN = {"score": "node", "delta": 0.6}
ARGUMENTS = {"static": {}, "mest": {"samples": None}, "snfs": {}, "chts": HEBBIAN, "chtss": {**HEBBIAN, "initial": 0.2}}
run = partial(steps_of)


# --- scores of links -------------------------------------------------------------------------------------------------


def brute_force(A, score):
    """The score of every missing link, path by path: internal links join common neighbours, external ones others."""
    inputs, outputs = [set(np.flatnonzero(row)) for row in A], [set(np.flatnonzero(column)) for column in A.T]
    found = np.zeros(A.shape)
    for u, v in zip(*np.nonzero(A == 0), strict=True):
        paths = [(w, z) for w in inputs[u] for z in outputs[v] if A[z, w]]
        of = {("z", z): (inputs[z] & inputs[u], inputs[z] - inputs[u] - {v}) for _, z in paths}
        of |= {("w", w): (outputs[w] & outputs[v], outputs[w] - outputs[v] - {u}) for w, _ in paths}
        if score == "node":
            found[u, v] = sum((1 + len(internal)) / (1 + len(external)) for internal, external in of.values())
        else:
            found[u, v] = sum(((1 + len(of["w", w][1])) * (1 + len(of["z", z][1]))) ** -0.5 for w, z in paths)
    return found


@pytest.mark.parametrize("score", link_scores.SCORES)
@settings(max_examples=6, deadline=None)
@given(seed=SEEDS, density=st.floats(0.1, 0.35), dense=st.sampled_from([0, 1]), block=st.sampled_from([1, 50, 10**6]))
def test_scores_are_those_of_a_brute_force_over_all_paths_and_symmetric(score, seed, density, dense, block):
    A = (np.random.default_rng(seed).random((17, 23)) < density).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_scores, "DENSE", dense)
        patch.setattr(link_scores, "BLOCK", block)
        (places, scores), (turned, same) = (link_scores.SCORES[score](csr_array(M)) for M in (A, A.T))
    dense, back = np.zeros(A.size), np.zeros(A.size)
    dense[places], back[turned] = scores, same
    assert (scores > 0).all() and (np.diff(places) > 0).all()
    np.testing.assert_allclose(dense.reshape(17, 23), brute_force(A, score), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(back.reshape(23, 17).T, dense.reshape(17, 23), rtol=1e-12)


@pytest.mark.parametrize("score", link_scores.SCORES.values())
def test_a_layer_without_links_has_no_scores(score):
    assert all(len(found) == 0 for found in score(csr_array((5, 3))))


# --- percolation -----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, links=st.integers(0, 12), layers=st.integers(1, 4))
def test_percolation_leaves_links_between_units_that_have_both_sides_and_is_idempotent(seed, links, layers):
    rng, width = np.random.default_rng(seed), 5
    ends = width * np.arange(layers + 1)[:, None] + rng.integers(width, size=(2, layers + 1, links))
    found = [Links(None, ends[0, at], ends[1, at + 1], np.ones(links, bool), True) for at in range(layers)]
    hidden = np.zeros((layers + 1, width), bool)
    hidden[1:-1] = True
    percolate(found, hidden.reshape(-1), hidden.reshape(-1))
    for one, other in pairwise(found):
        assert {*one.targets[one.keep]} == {*other.sources[other.keep]}
    before = [layer.keep.copy() for layer in found]
    percolate(found, hidden.reshape(-1), hidden.reshape(-1))
    assert all(np.array_equal(layer.keep, kept) for layer, kept in zip(found, before, strict=True))


# --- drawing ---------------------------------------------------------------------------------------------------------

DRAWS = 2000


def within_four_errors(counts, chances):
    """Whether frequencies match chances to 4 standard errors."""
    return (np.abs(counts / DRAWS - chances) <= 4 * np.sqrt(chances * (1 - chances) / DRAWS)).all()


def of_two(weights):
    """The chance of each of some items to be among the first two drawn without replacement."""
    p, chances = weights / weights.sum(), np.zeros(len(weights))
    for i, j in permutations(range(len(p)), 2):
        chances[[i, j]] += p[i] * p[j] / (1 - p[i])
    return chances


def test_weights_stay_with_the_chances_of_their_powers():
    scores, rng = np.array([0.5, 1.0, 2.0, 3.0]), np.random.default_rng(0)
    counts = sum(draw_kept(scores, 2, 1.5, rng).astype(int) for _ in range(DRAWS))
    assert within_four_errors(counts, of_two(scores**1.5))


@pytest.mark.parametrize("scores", [[1.0, 4.0, 2.0], [3.0], []])
def test_links_grow_with_the_chances_of_their_scores(monkeypatch, scores):
    """Two links among the free ones of eight; where fewer have a score, an even part (here 1) is added to all."""
    monkeypatch.setattr(bipartite, "EVEN", 1.0)
    taken, places, rng = np.array([1, 2, 6]), np.array([0, 3, 7])[: len(scores)], np.random.default_rng(0)
    weights, counts = np.zeros(8), np.zeros(8)
    weights[places] = scores
    weights += len(scores) < 2
    weights[taken] = 0
    for _ in range(DRAWS):
        counts[draw_grown(places, np.array(scores), 8, taken, 2, rng)] += 1
    open_ = weights > 0
    assert not counts[~open_].any() and within_four_errors(counts[open_], of_two(weights[open_]))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 30))
def test_a_large_exponent_removes_the_smallest(seed, count):
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.arange(30) + 1.0)
    assert np.array_equal(draw_kept(scores, count, 1e6, rng), scores > 30 - count)
    scores[:5] = 0
    assert draw_kept(scores, 25, 1.0, rng)[5:].all()


# --- starts ----------------------------------------------------------------------------------------------------------


def test_links_begin_where_the_inputs_correlate_most():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
    X[:, 2] = 3
    model, pair = mn.Model(mn.Sequential(mn.Dense(12), mn.ReLU(), mn.Dense(2)), (6,), rng=0), (X, np.zeros(40, int))
    with np.errstate(invalid="ignore"):
        wanted = np.nan_to_num(np.abs(np.corrcoef(X.T)))
    np.fill_diagonal(wanted, 0)
    np.testing.assert_allclose(starts.correlations(X.astype(model.dtype)), wanted, atol=1e-5)
    place = starts.csti(model, pair, rng)
    tiled = np.tile(wanted, 2)
    found = place((6, 12), 12)
    assert np.allclose(np.sort(tiled.reshape(-1)[found]), np.sort(tiled.reshape(-1))[-12:], atol=1e-5)
    assert len({*place((6, 12), 70)}) == 70  # more than there are correlations: the rest is drawn
    assert {*(place((6, 4), 9) % 4)} <= {0, 1, 2, 3} and len(place((6, 4), 24)) == 24
    with pytest.raises(Unsupported, match="brf"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "MOST_FEATURES", 5)
        starts.csti(model, pair, rng)


def test_receptive_fields_have_even_degrees_and_narrow_with_r():
    rng, mean = np.random.default_rng(0), []
    for r in (0.1, 0.25, 1.0):
        places = starts.receptive_field(rng, r, (60, 40), 323)
        assert len({*places}) == 323 and (np.diff(places) > 0).all()
        assert {*np.bincount(places % 40, minlength=40)} == {8, 9}
        t = np.abs(places // 40 - (places % 40) * 60 // 40)
        mean.append(np.minimum(t, 60 - t).mean())
    assert mean[0] < mean[1] < mean[2] and abs(mean[2] - 15) < 1


# --- all recipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", NAMES)
def test_counts_stay_and_weights_grow_at_0_where_none_lives(name, kind):
    """What is kept stays bit for bit, in the values and in every vector; the same seed gives the same links."""
    results = []
    for seed in (3, 3, 4):
        arguments = ARGUMENTS[name] | ({"start": "given", "initial": 0.0} if name == "chtss" else {})
        steps, moved = run(name, MODELS[kind](), rng=seed, every=3, epochs=4, **arguments), 0
        for (_, _, before), (_, _, after) in steps:
            changed = 0
            for parameter, (live, vectors) in before.items():
                now, then = after[parameter]
                changed += np.count_nonzero(now) - np.count_nonzero(live)
                for old, new in zip(vectors, then, strict=True):
                    zero = new == 0
                    assert bits(new[~zero]) == bits(old[~zero]) and is_plus_zero(new[zero])
                    assert is_plus_zero(new[now & ~live]) and is_plus_zero(new[~now])
                moved += np.count_nonzero(now & ~live)
                assert name == "snfs" or np.count_nonzero(now) == np.count_nonzero(live)
            assert changed == 0
        assert bool(moved) == (name != "static")
        results.append([live.tobytes() for live, _ in steps[-1][1][2].values()] + [bits(steps[-1][1][1].values)])
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(sparsity=st.sampled_from([0.5, 0.9]), epochs=st.integers(0, 3), seed=st.integers(0, 99))
def test_a_dense_net_ends_as_sparse_as_asked(name, sparsity, epochs, seed):
    model = mn.models.mlp((20,), 4, (30, 7), rng=0)
    total = sum(p.size for p in model.weight_parameters[: None if name in ("static", "mest", "snfs") else -1])
    run(name, model, sparsity=sparsity, epochs=epochs, rng=seed, **ARGUMENTS[name])
    assert np.count_nonzero(~model.mask) == round(sparsity * total)
    assert is_plus_zero(model.values[~model.mask])


@pytest.mark.parametrize("name", NAMES)
def test_other_structures_are_refused_before_training(name):
    with pytest.raises(Unsupported, match="single weights"):
        run(name, dense_twin(net()), sparsity=0.5, prune=partial(mn.prune, structure="neuron"))


@pytest.mark.parametrize(("name", "arguments"), [
    ("mest", {"zeta": 2}), ("mest", {"slope": -1}), ("mest", {"surplus": 2}), ("mest", {"end": 2}),
    ("mest", {"samples": 0}), ("snfs", {"zeta": 0.1, "least": 0.2}), ("snfs", {"momentum": 2}),
    ("chts", {"score": "paths"}), ("chts", {"start": "erk"}), ("chts", {"zeta": 2}), ("chts", {"alpha": 2}),
    ("chts", {"delta": 1}), ("chts", {"delta_end": 1.0}), ("chtss", {"initial": 2}), ("chtss", {"end": 0}),
])
def test_own_arguments_are_checked(name, arguments):
    with pytest.raises(MinnetError, match=next(iter(arguments))):
        run(name, net(), **arguments)


@pytest.mark.parametrize("name", ["mest", "chts"])
def test_no_dense_matrix_is_made(name):
    """A layer of 10^8 places and 20,000 weights."""
    model = mn.models.sparse_mlp((10_000, 10_000, 5), 1, rng=0)
    pair = np.random.default_rng(0).normal(size=(2, 10_000)).astype(np.float32), np.array([0, 1])
    before = model.weight_parameters[0].index.copy()
    list(mn.train(model, pair, epochs=1))  # so that nothing is compiled below, which takes memory
    tracemalloc.start()
    for _ in mn.recipes.RECIPES[name](model, pair, None, epochs=2, rng=0,
                                      **{"chts": {"start": "given"}, "mest": {}}[name]):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(np.setdiff1d(before, model.weight_parameters[0].index)) > 2500
    assert peak < 100e6


# --- each recipe's own -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("surplus", "course"), [(0.0, [0.9] * 11), (0.1, [0.8] * 6 + [0.85] * 2 + [0.9] * 3)])
def test_mest_keeps_its_course_and_its_last_change_only_removes(surplus, course):
    model = mn.models.mlp((20,), 4, (30, 20), rng=0)
    steps = run("mest", model, sparsity=0.9, epochs=10, surplus=surplus, samples=None)
    masks = [steps[0][0][2], *(after for _, (_, _, after) in steps)]
    counts = [sum(np.count_nonzero(live) for live, _ in mask.values()) for mask in masks]
    assert counts == [model.n_weights - round(s * model.n_weights) for s in course]
    last = [name for name, (live, _) in masks[8].items() if (live & ~masks[7][name][0]).any()]
    assert not last


def test_mest_removes_what_matters_least_by_size_and_gradient():
    model = mn.models.mlp((20,), 4, (30, 20), rng=0)
    steps = run("mest", model, sparsity=0.8, epochs=2, slope=5.0, zeta=0.5, samples=None)
    (_, given_, before), (_, _, after) = steps[0]
    slopes = gradient(given_, mn.engine.sample.draw_sample(given_, data(), samples=None))
    for p in given_.weight_parameters:
        live, (value, *_) = before[p.name]
        score = np.abs(value) + 5 * np.abs(p.of(slopes).reshape(-1))
        kept = live & (score > np.sort(score[live])[round(0.5 * live.sum()) - 1])
        assert (after[p.name][0] >= kept).all()
        assert (after[p.name][1][0] != 0).sum() == kept.sum()


def test_the_gradient_of_live_weights_is_that_of_the_whole():
    model = mn.models.mlp((64,), 4, (80, 20), rng=0, dtype=np.float64)
    mn.prune(model, 0.9, criterion="random", rng=0)
    X, y = np.random.default_rng(0).normal(size=(30, 64)), np.arange(30) % 4
    sample = mn.engine.sample.draw_sample(model, (X, y), samples=None)
    found, whole = moving.live_gradient(model, sample), gradient(model, sample)
    np.testing.assert_allclose(found[model.mask], whole[model.mask], rtol=1e-9, atol=1e-12)
    assert not found[: 64 * 80][~model.mask[: 64 * 80]].any()


def test_one_pass_gives_the_momentum_of_batches():
    model, (X, y), rng = dense_twin(net()), data(500), np.random.default_rng(5)
    state = mn.State(model, mn.SGD(0.1))
    state.batch_size = 7
    tape = momentum.momentum_pass(mn.engine.state.Step(0, 0, 0.0, 0.1, state, 0.0), (X, y), 0.8, rng)
    n = momentum.batches(0.8, 10**6)
    rows = np.random.default_rng(5).choice(500, 7 * n, replace=False)
    total = 0
    for batch in np.split(rows, n)[::-1]:
        total = 0.8 * total + gradient(model, mn.engine.sample.draw_sample(model, (X[batch], y[batch]), samples=None))
    np.testing.assert_allclose(tape.grads[: model.n_trainable], total[: model.n_trainable], rtol=1e-9, atol=1e-12)
    assert 0.8**n < 1e-3 <= 0.8 ** (n - 1) and [momentum.batches(m, 9) for m in (0, 0.9, 1)] == [1, 9, 9]


def test_snfs_grows_where_momentum_is_largest_and_in_layers_in_proportion_to_its_mean():
    steps, model = [], dense_twin(net())

    def watched(*arguments, **named):
        for step in mn.train(*arguments, batch_size=50, **named):
            steps.append(step.model.clone())
            yield step

    recipe = mn.recipes.snfs(model, data(), None, epochs=3, zeta=0.4, least=0.4, momentum=0.0, train=watched, rng=0)
    next(recipe)
    before, shares, gone, free = steps[0], [], [], []
    slopes = np.abs(gradient(before, mn.engine.sample.draw_sample(before, data(), samples=None)))
    for p in before.weight_parameters:
        mask, size = p.mask.reshape(-1), np.abs(p.value.reshape(-1))
        order = np.flatnonzero(mask)[np.argsort(size[mask], kind="stable")]
        gone.append(order[: round(0.4 * len(order))])
        shares.append(p.of(slopes)[p.mask].mean())
        free.append(p.size - len(order) + len(gone[-1]))
    grown = apportion(shares, sum(map(len, gone)), np.zeros(3, int), free)
    for p, dropped, count in zip(before.weight_parameters, gone, grown, strict=True):
        kept = p.mask.reshape(-1).copy()
        kept[dropped] = False
        m = np.where(kept, -1, p.of(slopes).reshape(-1))
        wanted = kept.copy()
        wanted[np.argsort(-m, kind="stable")[:count]] = True
        assert np.array_equal(model.parameters[p.name].mask.reshape(-1), wanted)


@pytest.mark.parametrize("schedule", [hebbian.sigmoid, "cubic"])
def test_the_density_of_chtss_falls_along_its_schedule(schedule):
    model = mn.models.mlp((20,), 4, (30, 20), rng=0)
    share = mn.pruning.schedules.SCHEDULES[schedule] if isinstance(schedule, str) else schedule
    steps = run("chtss", model, sparsity=0.9, epochs=10, schedule=schedule, initial=0.4, end=0.7, score="path")
    n, first, total = 1200, 480, 1080
    for (step, _, _), (_, _, after) in steps:
        live = sum(np.count_nonzero(mask) for mask, _ in after.values()) - 80
        assert n - live == first + round((total - first) * share(min(step.progress / 0.7, 1)))
    assert hebbian.sigmoid(0) == 0 and hebbian.sigmoid(1) == 1
    logistic = [1 / (1 + np.exp(-x)) for x in (6 * (2 * 0.3 - 1), 6, -6)]
    assert hebbian.sigmoid(0.3) == pytest.approx((logistic[0] - logistic[2]) / (logistic[1] - logistic[2]))


def test_relative_importance_is_the_share_of_row_and_column():
    model = dense_twin(net())
    p, size = model.weight_parameters[0], np.abs(model.weight_parameters[0].value)
    with np.errstate(invalid="ignore"):
        wanted = np.nan_to_num(size / size.sum(axis=0)) + np.nan_to_num(size / size.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(p.of(hebbian.relative_importance(model)), wanted, rtol=1e-12)
    born, whole = net(), p.of(hebbian.relative_importance(model)).reshape(-1)
    p = born.weight_parameters[0]
    np.testing.assert_allclose(p.of(hebbian.relative_importance(born)), whole[p.index], rtol=1e-12)


@pytest.mark.parametrize("start", ["csti", "brf"])
@pytest.mark.parametrize("kind", MODELS)
def test_links_begin_where_they_are_placed_with_values_of_their_fan_in(start, kind):
    model = MODELS[kind]()
    counts = [int(p.mask.sum()) for p in model.weight_parameters]
    for _ in mn.recipes.chts(model, data(), None, epochs=0, start=start, rng=0):
        pass
    assert [int(p.mask.sum()) for p in model.weight_parameters] == counts
    p = model.weight_parameters[0]
    live = p.value[p.mask]
    assert live.std() == pytest.approx(np.sqrt(2 / (100 / 30)), rel=0.25) and (live != 0).all()
