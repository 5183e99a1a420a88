"""A sparse convolution is trained by its live weights alone, and gives what masked-dense training gives."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import keep_first, live_form, random_mask

import minnet as mn
from minnet.engine.sparse import FEWEST_WEIGHTS
from minnet.engine.tape import Tape
from minnet.fast.choose import SPARSE_DENSITY, shard_count, sparse_layers
from minnet.fast.sparse_conv import MOST_LANES, SparseConv2d

IMAGE = (9, 11, 3)
TREES = {
    "pools": lambda: (mn.Conv2d(10, 3), mn.MaxPool2d(2), mn.Conv2d(20, 2), mn.ReLU(), mn.AvgPool2d((2, 3), 1),
                      mn.Flatten(), mn.Dense(40), mn.ReLU(), mn.Dense(4)),
    "padded": lambda: (mn.Conv2d(12, (3, 2), (2, 1), "same", use_bias=False), mn.BatchNorm(), mn.ReLU(),
                       mn.Conv2d(14, 3, (1, 2), ((2, 0), (1, 1))), mn.Tanh(),
                       mn.Residual(mn.Sequential(mn.Conv2d(14, 3, 1, "same"), mn.ReLU())), mn.Conv2d(20, 1),
                       mn.GlobalAvgPool2d(), mn.Dense(4)),
}
OPTIMIZERS = [mn.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3), mn.Adam(0.003), mn.AdamW(0.003),
              mn.RMSprop(0.001)]


def net(tree, dtype=np.float64, seed=0):
    return mn.Model(mn.Sequential(*TREES[tree]()), IMAGE, rng=seed, dtype=dtype)


def data(rows=33, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, *IMAGE)), rng.integers(4, size=rows)


def masked(tree, density, seed=0, dtype=np.float64):
    model = net(tree, dtype)
    model.set_mask(random_mask(model, density, seed))
    return model


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [None, 2.0])  # without it a chain makes many steps in one call
@pytest.mark.parametrize("batch_size", [3, 11, 33])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
@pytest.mark.parametrize("tree", TREES)
def test_equals_masked_dense_training_over_50_steps_with_mask_changes(tree, optimizer, batch_size, clip_norm):
    """Density falls, rises again (regrown from 0), and layers lose everything."""
    changes = {5: 0.15, 15: 0.08, 25: 0.2, 35: 0.02, 42: 0.0}

    def trained(accelerate=True):
        model, seen = masked(tree, 0.2), []
        for step in mn.train(model, data(), optimizer=optimizer, epochs=50, batch_size=batch_size, every="batch", rng=0,
                             clip_norm=clip_norm, accelerate=accelerate):
            seen.append((step.loss, model.values.copy(), step.state.vectors.copy()))
            if step.state.t in changes:
                model.set_mask(random_mask(model, changes[step.state.t], step.state.t))
                step.state.apply_mask()
            if step.state.t == 50:
                return seen
        return None

    sparse, dense = trained(), trained(accelerate=False)
    assert len(sparse) == len(dense) == 50
    for got, wanted in zip(sparse, dense, strict=True):
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9, rtol=1e-9)


@settings(max_examples=30)
@given(st.data())
def test_one_pass_of_any_convolution_equals_that_of_the_masked_one(data):
    """Output, gradients of weights, biases and input; with and without the pool that is joined."""
    draw, whole = data.draw, st.integers(1, 3)
    kernel, stride = (draw(whole), draw(whole)), (draw(whole), draw(whole))
    padding = draw(st.sampled_from(["valid", "same"]) | st.tuples(*[
        st.tuples(*2 * [st.integers(0, size - 1)]) for size in kernel]))
    conv = mn.Conv2d(150, kernel, stride, padding, use_bias=draw(st.booleans()))
    pool = [mn.MaxPool2d(1 + draw(st.integers(0, 1)), draw(whole))] if draw(st.booleans()) else []
    model = mn.Model(mn.Sequential(conv, *pool), (7, 6, 5), rng=0, dtype=np.float64)
    mask = np.ones(len(model.mask), bool)
    mask[: model.n_weights] = np.random.default_rng(draw(st.integers(0, 9))).random(model.n_weights) < 0.2
    model.set_mask(mask)
    state = mn.State(model, mn.Adam())
    small = live_form(model)
    small.gather(state)
    assert isinstance(small.model.layers["conv1"], SparseConv2d)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(draw(st.sampled_from([1, 5, 20, MOST_LANES + 1, 2 * MOST_LANES + 3])), 7, 6, 5))
    dy, found = rng.normal(size=(len(x), *model.output_shape)), []
    for trained in (model, small.model):
        tape = Tape(trained, input_gradient=True)
        y = trained.forward(x, tape)
        found.append((y.copy(), trained.backward(dy, tape).copy(), tape.grads))
    (y, dx, grads), (got_y, got_dx, got_grads) = found
    np.testing.assert_allclose(got_y, y, atol=1e-12)
    np.testing.assert_allclose(got_dx, dx, atol=1e-12)
    np.testing.assert_allclose(got_grads, grads[small.index], atol=1e-11)


def test_float32_goes_the_same_way_to_rounding():
    def trained(accelerate=True):
        model = masked("pools", 0.1, dtype=np.float32)
        list(mn.train(model, data(), epochs=3, batch_size=20, rng=0, accelerate=accelerate))
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-5)


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("tree", TREES)
def test_the_same_seed_gives_the_same_bits(tree, threads, monkeypatch):
    monkeypatch.setenv("MINNET_NUM_THREADS", threads)

    def trained():
        model = masked(tree, 0.1)
        list(mn.train(model, data(), epochs=2, batch_size=33, rng=0))
        return model.values.tobytes()

    assert trained() == trained()


def test_batches_shared_by_threads_give_the_same_up_to_rounding():
    results = []
    for threads in (1, 3):
        model = masked("pools", 0.1)
        state = mn.State(model, mn.SGD(0.1, momentum=0.9), 0, threads)
        list(mn.train(model, data(), epochs=3, batch_size=33, state=state))
        results.append(model.values)
    np.testing.assert_allclose(*results, atol=1e-12)


# --- which path ------------------------------------------------------------------------------------------------------


def test_the_path_is_a_fixed_function_of_shape_and_density():
    model = net("pools")
    first, second = model.layers["conv1"], model.layers["conv2"]
    for conv in (first, second):
        live = int(SPARSE_DENSITY * conv.weight.size)
        for count, sparse in ((live, True), (live + 1, False)):
            keep_first(model, conv, count)
            assert sparse_layers(model) == ([conv] if sparse else [])
    assert first.weight.size < FEWEST_WEIGHTS < first.positions * first.weight.size, "it is its positions that count"


def test_few_live_weights_are_shared_where_they_are_used_often(monkeypatch):
    monkeypatch.setenv("MINNET_NUM_THREADS", "2")
    model = mn.models.lenet_5((28, 28, 1), 10, rng=0)
    mn.prune(model, 0.95)
    assert shard_count(model, 64, mn.losses.cross_entropy) == 2
    assert shard_count(model, 16, mn.losses.cross_entropy) == 1, "fewer rows than a vector takes are not shared"


# --- the caller sees one model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.05, 0.2])
@pytest.mark.parametrize("tree", TREES)
def test_gathering_and_scattering_change_nothing(tree, density):
    model = masked(tree, density)
    state = mn.State(model, mn.Adam())
    state.vectors[:] = np.random.default_rng(0).normal(size=state.vectors.shape)
    state.apply_mask()
    before = model.values.tobytes() + state.vectors.tobytes()
    small = live_form(model)
    small.gather(state)
    X, _ = data()
    np.testing.assert_allclose(small.model(X), model(X), atol=1e-12)
    small.scatter(state)
    assert model.values.tobytes() + state.vectors.tobytes() == before


@pytest.mark.parametrize("tree", TREES)
def test_a_run_is_saved_and_goes_on_bit_for_bit(tree, tmp_path):
    def run(model, **more):
        return mn.train(model, data(), optimizer=mn.Adam(0.01), epochs=3, batch_size=10, rng=0, every="batch", **more)

    models = [masked(tree, 0.1), masked(tree, 0.1)]
    list(run(models[0]))
    step = next(s for s in run(models[1]) if s.state.t == 6)
    mn.save(step.state, tmp_path / "run")
    state = mn.load(tmp_path / "run")
    list(run(state.model, state=state))
    assert state.model.values.tobytes() == models[0].values.tobytes()


def test_penalties_see_the_whole_model():
    def trained(accelerate=True):
        model = masked("pools", 0.1)
        list(mn.train(model, data(), epochs=2, batch_size=20, rng=0, penalty=mn.penalties.L1(1e-3),
                      accelerate=accelerate))
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-12)
