"""Layers that are born sparse: what a dense twin computes, exact counts, no dense matrix, and how positions move."""
import tracemalloc
from functools import partial

import numpy as np
import pytest
from born import data, dense_twin, net, spread
from hypothesis import given, settings
from hypothesis import strategies as st

import minnet as mn
from minnet.engine.rewire import among, draw_places, renew
from minnet.engine.sparse import SparseIndex
from minnet.errors import InvalidType, InvalidValue, MinnetError, Unsupported
from minnet.kernels.sparse.csr import coo_rows
from minnet.pruning.criteria import traits_of
from minnet.pruning.scores import score

SHARES = st.floats(0, 1)


# --- what it computes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 7, 16, 50])
def test_outputs_are_those_of_a_masked_dense_model(rows):
    model = net()
    X, _ = data(rows)
    np.testing.assert_allclose(model(X), dense_twin(model)(X), atol=1e-12)
    np.testing.assert_allclose(mn.freeze(model)(X), model(X), atol=1e-9)


@pytest.mark.parametrize("optimizer", [mn.SGD(0.1, momentum=0.9, weight_decay=1e-3), mn.Adam(0.01)])
def test_training_with_moves_equals_masked_dense_training(optimizer):
    """50 steps; after each epoch positions move in both, and State's vectors with them."""
    model, rng = net(), np.random.default_rng(2)
    twin = dense_twin(model)
    runs = [mn.train(m, data(), optimizer=optimizer, epochs=10, batch_size=10, rng=0) for m in (model, twin)]
    for step, other in zip(*runs, strict=True):
        np.testing.assert_allclose(spread(model, twin, model.values, 0), twin.values, atol=1e-9)
        for p in (model.parameters["dense1.weight"], model.parameters["dense2.weight"]):
            drop = rng.choice(p.index, 12, replace=False)
            model.rewire(p, drop, draw_places(rng, p.size, 12, p.index), step.state)
        twin.set_mask(spread(model, twin, model.mask, True))
        other.state.apply_mask()
    assert step.state.t == 50


@pytest.mark.parametrize("optimizer", [mn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), mn.Adam(0.01)])
@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8, 15])
def test_threads_that_share_layers_make_the_steps_of_one(optimizer, batch):
    """Few rows a batch: 1 to 5 parts of every layer, whoever takes them, against the layers' own passes; the same bits
    whenever the number of parts is the same. A layer may have fewer weights than there are parts."""
    widths, results = (20, 40, 30, 2, 4), []
    for threads in (1, 2, 5, 5):
        model = mn.models.sparse_mlp(widths, 2, rng=0, dtype=np.float64)
        mn.prune(model, count=10)
        list(mn.train(model, data(), epochs=4, batch_size=batch, state=mn.State(model, optimizer, 0, threads)))
        results.append(model.values)
    plain = mn.models.sparse_mlp(widths, 2, rng=0, dtype=np.float64)
    mn.prune(plain, count=10)
    list(mn.train(plain, data(), optimizer=optimizer, epochs=4, batch_size=batch, rng=0, clip_norm=1e9))
    for values in results:
        np.testing.assert_allclose(values, plain.values, atol=1e-9)
    assert results[2].tobytes() == results[3].tobytes()


def test_a_sparse_model_is_pruned_saved_and_loaded(tmp_path):
    model = net()
    assert mn.prune(model, count=60).removed == 60
    mn.save(model, tmp_path / "m")
    loaded, copy = mn.load(tmp_path / "m"), model.clone()
    X, _ = data()
    for other in (loaded, copy):
        assert other.values.tobytes() == model.values.tobytes() and other.mask.tobytes() == model.mask.tobytes()
        np.testing.assert_array_equal(other(X), model(X))


def test_a_state_is_saved_and_goes_on_bit_for_bit(tmp_path):
    def run(model, **more):
        return mn.train(model, data(), optimizer=mn.Adam(0.01), epochs=4, batch_size=10, rng=0, **more)

    whole = net()
    list(run(whole))
    part = net()
    step = next(s for s in run(part) if s.epoch == 2)
    mn.save(step.state, tmp_path / "run")
    state = mn.load(tmp_path / "run")
    list(run(state.model, state=state))
    assert state.model.values.tobytes() == whole.values.tobytes()


def test_what_needs_rows_and_columns_refuses():
    with pytest.raises(Unsupported, match="born sparse"):
        mn.compact(net())


# --- Erdős-Rényi -----------------------------------------------------------------------------------------------------


def test_counts_are_exact_and_capped():
    model = mn.models.sparse_mlp((784, 1000, 1000, 1000, 10), rng=0)
    assert [len(p.value.reshape(-1)) for p in model.weight_parameters] == [35_680, 40_000, 40_000, 10_000]
    assert model.n_weights == 125_680 and model.weight_parameters[-1].index is None
    assert model.density == 125_680 / (784_000 + 2_000_000 + 10_000)


def test_images_are_flattened():
    model = mn.models.sparse_mlp((12, 9, 3), 2, shape=(2, 3, 2), rng=0)
    assert model(np.ones((2, 2, 3, 2))).shape == (2, 3)


def test_no_dense_matrix_is_made():
    """A layer of 10^10 places and 400,000 weights; building, one step and a move take a small multiple of the weights.
    """
    tracemalloc.start()
    model = mn.models.sparse_mlp((100_000, 100_000, 5), 2, rng=0)
    p = model.weight_parameters[0]
    X = np.random.default_rng(0).normal(size=(2, 100_000)).astype(np.float32)
    for step in mn.train(model, (X, np.array([0, 1])), epochs=1, batch_size=2, rng=0):
        model.rewire(p, p.index[::2], draw_places(np.random.default_rng(1), p.size, len(p.index[::2]), p.index),
                     step.state)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert p.size == 10**10 and len(p.index) == 400_000
    assert peak < 200e6


@pytest.mark.parametrize("name", sorted(mn.criteria.CRITERIA))
def test_criteria_judge_it_as_its_masked_twin(name):
    """Or refuse it, with the reason; what draws at random is finite."""
    model, (X, y) = net(), data()
    twin, traits = dense_twin(model), traits_of(mn.criteria.CRITERIA[name])
    criterion, other = name, name
    if traits.needs == "initial":
        early = np.random.default_rng(3).normal(size=len(model.values))
        criterion, other = (partial(mn.criteria.CRITERIA[name], initial=vector)
                            for vector in (early, spread(model, twin, early, 0)))
    try:
        found = score(model, criterion, (X, y), rng=0)
    except (Unsupported, InvalidValue) as error:
        assert "born sparse" in str(error) or "BatchNorm" in str(error)
        return
    assert found.shape == (model.n_weights,) and not np.isnan(found).any()
    if traits.stochastic:
        return
    at = np.concatenate([twin.parameters[p.name].slice.start + (np.arange(p.size) if p.index is None else p.index)
                         for p in model.weight_parameters])
    wanted = score(twin, other, (X, y), rng=0)[at]
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-6, atol=1e-9 * abs(wanted[finite]).max())


@pytest.mark.parametrize("criterion", ["fpgm", "redundancy", "ria"])
def test_what_wants_the_dense_shape_of_a_large_layer_refuses(criterion):
    model = mn.models.sparse_mlp((9000, 9000, 5), 1, rng=0)
    X, y = np.random.default_rng(0).normal(size=(4, 9000)).astype(np.float32), np.array([0, 1, 2, 3])
    with pytest.raises(MinnetError, match="dense1.*(was born sparse.*dense shape|too large)"):
        mn.prune(model, 0.5, criterion=criterion, data=(X, y))


def test_units_are_refused_with_the_reason():
    with pytest.raises(InvalidValue, match='layers born sparse.*structure="weight"'):
        mn.prune(mn.models.sparse_mlp((20, 30, 20, 5), 2, rng=0), 0.5, structure="neuron")


def test_a_plan_is_of_the_places_as_they_were():
    """Once weights stand elsewhere, what was chosen and what was taken are others: applying, undoing and explaining
    are refused, and nothing changes."""
    model = net()
    p = model.parameters["dense1.weight"]
    plan, result = mn.plan_prune(model, 0.5), mn.prune(model, 0.2)
    free = np.setdiff1d(np.arange(p.size), p.index)
    model.rewire(p, p.index[:3].copy(), free[:3])
    before = model.values.tobytes(), model.mask.tobytes()
    for act in (plan.apply, result.undo, partial(result.explain, "dense1.weight", (0, 0))):
        with pytest.raises(InvalidValue, match="live positions of the model have moved"):
            act()
    assert (model.values.tobytes(), model.mask.tobytes()) == before


@pytest.mark.parametrize(("drop", "words"), [
    ([-1], "drop has the position -1, outside dense1.weight: give 0 to 599"),
    ([600], "drop has the position 600, outside"), ([5, 5], "drop has the position 5 of dense1.weight twice"),
    ([0.5], "drop takes flat positions.*got float64"),
])
def test_wrong_positions_are_named(drop, words):
    model = net()
    with pytest.raises(MinnetError, match=words):
        model.rewire(model.parameters["dense1.weight"], drop, list(range(len(drop))))


def test_what_is_no_parameter_or_no_width_is_refused():
    with pytest.raises(InvalidType, match="rewire takes a Parameter of this model, got None"):
        net().rewire(None, [], [])
    for widths in (None, 5):
        with pytest.raises(InvalidType, match=f"widths={widths}: give a sequence"):
            mn.models.sparse_mlp(widths)


def test_whatever_is_done_with_it_no_dense_matrix_is_made(tmp_path):
    """A layer of 10^9 places and 125,000 weights."""
    model = mn.models.sparse_mlp((31_500, 31_500, 5), 2, rng=0)
    X, y = np.random.default_rng(0).normal(size=(4, 31_500)).astype(np.float32), np.array([0, 1, 2, 3])
    tracemalloc.start()
    mn.evaluate(model, X, y)
    assert "992,250,000" in str(model.summary())
    for criterion, count in (("magnitude", 20_000), ("taylor", 30_000), ("wanda", 40_000)):
        assert mn.prune(model, count=count, criterion=criterion, data=(X, y)).removed > 0
    mn.save(model, tmp_path / "m")
    loaded = mn.load(tmp_path / "m").clone()
    np.testing.assert_allclose(mn.freeze(loaded)(X), model(X), rtol=1e-3, atol=1e-3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


def test_units_begin_alike_whatever_the_sparsity():
    """Normal inputs come out of each layer with variance 2, as he's weights would have it."""
    X = np.random.default_rng(0).normal(size=(400, 500))
    for live in (2_000, 20_000, 100_000):
        y = mn.Model(mn.SparseDense(400, live), (500,), rng=0, dtype=np.float64)(X)
        assert 1.8 < y.var() < 2.2


@pytest.mark.parametrize("arguments", [{"widths": (5,)}, {"widths": (5, 0, 2)}, {"epsilon": 0}, {"shape": (2, 2)},
                                       {"widths": (5.5, 2)}], ids=str)
def test_wrong_widths_are_refused(arguments):
    with pytest.raises(MinnetError):
        mn.models.sparse_mlp(**({"widths": (5, 4, 3)} | arguments))


@pytest.mark.parametrize("live", [-1, 21, 2.5, None])
def test_a_layer_cannot_have_more_weights_than_places(live):
    with pytest.raises(MinnetError, match="live weights"):
        mn.Model(mn.SparseDense(4, live), (5,))


# --- drawing places --------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(1, 300), SHARES, SHARES, st.integers(0, 99))
def test_places_are_drawn_from_what_is_free(size, held, wanted, seed):
    rng = np.random.default_rng(seed)
    taken = np.sort(rng.choice(size, int(held * size), replace=False))
    count = int(wanted * (size - len(taken)))
    found = draw_places(rng, size, count, taken)
    assert found.dtype == np.int64 and len(found) == count == len(set(found.tolist()))
    assert (np.diff(found) > 0).all() and not np.isin(found, taken).any()
    assert count == 0 or (0 <= found[0] and found[-1] < size)
    np.testing.assert_array_equal(among(np.arange(size), taken), np.isin(np.arange(size), taken))


@pytest.mark.parametrize(("size", "count", "taken"), [(12, 3, []), (12, 9, []), (40, 3, range(0, 40, 2))])
def test_all_free_places_are_equally_likely(size, count, taken):
    """Chi-squared: a draw of `count` of F free places takes each with probability count / F."""
    rng, draws, taken = np.random.default_rng(0), 4000, np.array(taken, np.int64)
    times = np.bincount(np.concatenate([draw_places(rng, size, count, taken) for _ in range(draws)]), minlength=size)
    free = np.delete(np.arange(size), taken)
    share = count / len(free)
    statistic = ((times[free] - draws * share) ** 2 / (draws * share * (1 - share))).sum() * (1 - 1 / len(free))
    assert statistic < len(free) + 5 * np.sqrt(2 * len(free))


def test_more_places_than_are_free_are_refused():
    with pytest.raises(InvalidValue, match="free"):
        draw_places(np.random.default_rng(0), 10, 8, np.arange(3))


# --- rewiring --------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.data())
def test_a_move_keeps_the_count_and_carries_everything_along(data):
    model = net()
    state = mn.State(model, mn.Adam(0.01))
    state.vectors[:] = np.arange(state.vectors.size).reshape(state.vectors.shape) + 1
    p, seed = model.parameters["dense1.weight"], data.draw(st.integers(0, 99))
    mask = np.random.default_rng(seed).random(len(model.mask)) < 0.7
    model.set_mask(mask)
    drop = data.draw(st.permutations(p.index.tolist()))[: data.draw(st.integers(0, 100))]
    free = sorted(set(range(p.size)) - set(p.index.tolist()) | set(drop))
    grow = data.draw(st.permutations(free))[: len(drop)]
    before = {vector: dict(zip(p.index.tolist(), p.of(array).tolist(), strict=True)) for vector, array in
              [("value", model.values), ("mask", model.mask), *enumerate(state.vectors)]}
    others = np.delete(model.values, np.r_[p.slice]).tobytes()
    model.rewire(p, drop, grow, state)
    kept = set(before["value"]) - set(drop)
    assert p.index.tolist() == sorted(kept | set(grow)) and len(p.index) == 100
    for vector, array in [("value", model.values), ("mask", model.mask), *enumerate(state.vectors)]:
        for position, number in zip(p.index.tolist(), p.of(array).tolist(), strict=True):
            born = vector == "mask"
            assert number == (before[vector][position] if position in kept else born)
    assert np.delete(model.values, np.r_[p.slice]).tobytes() == others
    assert model.topology == state.topology == 1


@settings(max_examples=40)
@given(st.data())
def test_weights_that_are_renewed_are_rewired_to_places_drawn_alike(data):
    seed, share = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    found = []
    for way in "renewed", "rewired":
        model = net()
        state = mn.State(model, mn.Adam(0.01))
        state.vectors[:] = np.arange(state.vectors.size).reshape(state.vectors.shape) + 1
        model.set_mask(np.random.default_rng(seed).random(len(model.mask)) < 0.7)
        p, rng = model.parameters["dense1.weight"], np.random.default_rng(seed)
        gone = np.random.default_rng(seed + 1).random(len(p.index)) < share
        if way == "renewed":
            renew(state, p, gone, rng)
        else:
            drop, kept = p.index[gone], p.index[~gone]
            model.rewire(p, drop, draw_places(rng, p.size, len(drop), kept), state)
        found.append([array.tobytes() for array in (p.index, model.values, model.mask, state.vectors)])
    assert found[0] == found[1]


def test_a_state_from_before_is_refused(tmp_path):
    model = net()
    steps = mn.train(model, data(), epochs=3, batch_size=10, rng=0)
    step = next(steps)
    p = model.parameters["dense1.weight"]
    model.rewire(p, p.index[:1], draw_places(np.random.default_rng(0), p.size, 1, p.index))
    for late in (partial(mn.train, model, data(), state=step.state), partial(mn.save, step.state, tmp_path / "run"),
                 partial(next, steps), partial(model.rewire, p, [], [], step.state)):
        with pytest.raises(InvalidValue, match="moved"):
            late()


@pytest.mark.parametrize(("drop", "grow", "error", "wanted"), [
    ([1], [], InvalidValue, "as many"), ("dead", "dead", InvalidValue, "not live"),
    ("live", "kept", InvalidValue, "live already"),
    ([-1], [0], InvalidValue, "outside"), ("live", [600], InvalidValue, "outside"), ([0.5], [1], InvalidType, "whole"),
    ("twice", "two", InvalidValue, "twice"),
])
def test_moves_that_cannot_be_are_refused(drop, grow, error, wanted):
    model = net()
    p = model.parameters["dense1.weight"]
    dead = np.setdiff1d(np.arange(p.size), p.index)
    named = {"dead": dead[:1], "live": p.index[:1], "kept": p.index[1:2], "twice": p.index[[0, 0]], "two": dead[:2]}
    before = model.values.tobytes() + p.index.tobytes()
    with pytest.raises(error, match=wanted):
        model.rewire(p, *(named[x] if isinstance(x, str) else x for x in (drop, grow)))
    assert model.values.tobytes() + p.index.tobytes() == before and model.topology == 0


def test_only_what_was_born_sparse_is_rewired():
    model = net()
    with pytest.raises(Unsupported, match="set_mask"):
        model.rewire(model.parameters["dense3.weight"], [], [])
    with pytest.raises(InvalidType, match="Parameter of this model"):
        model.rewire(net().parameters["dense1.weight"], [], [])


def test_no_thread_sees_rows_that_another_is_still_filling(monkeypatch):
    index, found = SparseIndex(np.array([1, 5, 8]), (3, 3)), []

    def fill(indptr, rows):
        rows[:] = -1
        if not found:  # another thread comes in between
            found.append(None)
            found.append(index.coo()[0].copy())
        coo_rows(indptr, rows)

    monkeypatch.setattr("minnet.engine.sparse.coo_rows", fill)
    assert index.coo()[0].tolist() == found[1].tolist() == [0, 1, 2]
