"""A sparse layer is trained by its live weights alone, and gives what masked-dense training gives."""
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import keep_first, live_form, random_mask

import minnet as mn
from minnet.engine.sample import draw_sample, gradient
from minnet.engine.sparse import FEWEST_WEIGHTS
from minnet.errors import Diverged
from minnet.fast.chain import Chain, SparseChain, chain_of
from minnet.fast.choose import INNER_DENSITY, SPARSE_DENSITY, lacks_chain, shard_count, sparse_layers
from minnet.fast.live_weights import live_positions
from minnet.kernels.sparse.spmm import padded_batch

TREES = {
    "chain": lambda: (mn.Dense(90), mn.ReLU(), mn.Dense(60), mn.ReLU(), mn.Dense(4)),
    "walked": lambda: (mn.Dense(90, use_bias=False), mn.BatchNorm(), mn.Tanh(), mn.Dropout(0.2),
                       mn.Dense(60), mn.ReLU(), mn.Residual(mn.Sequential(mn.Dense(60), mn.ReLU())), mn.Dense(4)),
}
OPTIMIZERS = [mn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3), mn.Adam(0.003), mn.AdamW(0.003),
              mn.RMSprop(0.001)]


def net(tree="chain", dtype=np.float64, seed=0):
    return mn.Model(mn.Sequential(*TREES[tree]()), (70,), rng=seed, dtype=dtype)


def data(rows=55, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 70)), rng.integers(4, size=rows)


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [None, 2.0])  # without it a chain makes many steps in one call
@pytest.mark.parametrize("batch_size", [5, 11, 55])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
@pytest.mark.parametrize("tree", TREES)
def test_equals_masked_dense_training_over_50_steps_with_mask_changes(tree, optimizer, batch_size, clip_norm):
    """Density falls, rises again (regrown from 0), and a layer loses everything."""
    changes = {5: 0.2, 15: 0.08, 25: 0.15, 35: 0.02, 42: 0.0}

    def trained(accelerate=True):
        model, seen = net(tree), []
        model.set_mask(random_mask(model, 0.24, 0))
        for step in mn.train(model, data(), optimizer=optimizer, epochs=50, batch_size=batch_size, every="batch", rng=0,
                             clip_norm=clip_norm, lr_schedule="cosine", accelerate=accelerate):
            seen.append((step.loss, model.values.copy(), step.state.vectors.copy()))
            if step.state.t in changes:
                model.set_mask(random_mask(model, changes[step.state.t], step.state.t))
                step.state.apply_mask()
            if step.state.t == 50:
                return model, seen
        return None

    model, sparse = trained()
    _, dense = trained(accelerate=False)
    assert len(sparse) == len(dense) == 50
    for got, wanted in zip(sparse, dense, strict=True):
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9, rtol=1e-9)
    assert not model.values[~model.mask].view(np.uint64).any()


def test_float32_goes_the_same_way_to_rounding():
    def trained(accelerate=True):
        model = net(dtype=np.float32)
        model.set_mask(random_mask(model, 0.1, 0))
        list(mn.train(model, data(), epochs=5, batch_size=20, rng=0, accelerate=accelerate))
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-5)


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("tree", TREES)
def test_the_same_seed_gives_the_same_bits(tree, threads, monkeypatch):
    monkeypatch.setenv("MINNET_NUM_THREADS", threads)

    def trained():
        model = net(tree)
        model.set_mask(random_mask(model, 0.1, 0))
        list(mn.train(model, data(), epochs=3, batch_size=40, rng=0))
        return model.values.tobytes()

    assert trained() == trained()


def test_batches_shared_by_threads_give_the_same_up_to_rounding():
    results = []
    for threads in (1, 3):
        model = net()
        model.set_mask(random_mask(model, 0.1, 0))
        state = mn.State(model, mn.SGD(0.1, momentum=0.9), 0, threads)
        list(mn.train(model, data(), epochs=4, batch_size=40, state=state))
        results.append(model.values)
    np.testing.assert_allclose(*results, atol=1e-12)


def test_wide_data_of_images_take_the_same_path():
    def trained(accelerate=True):
        model = mn.Model(mn.Sequential(mn.Conv2d(3, 3), mn.ReLU(), mn.Flatten(), mn.Dense(64), mn.ReLU(), mn.Dense(4)),
                         (8, 8, 2), rng=0, dtype=np.float64)
        mask = np.ones(len(model.mask), bool)
        mask[model.parameters["dense1.weight"].slice] = np.random.default_rng(0).random(108 * 64) < 0.1
        model.set_mask(mask)
        rng = np.random.default_rng(1)
        images = rng.normal(size=(30, 8, 8, 2)), rng.integers(4, size=30)
        list(mn.train(model, images, epochs=3, batch_size=8, rng=0, accelerate=accelerate))
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-10)


# --- which path ------------------------------------------------------------------------------------------------------


def test_the_path_is_a_fixed_function_of_shape_and_density():
    model = net()
    first, second, last = (model.layers[f"dense{i}"] for i in (1, 2, 3))
    assert sparse_layers(model) == [] and last.weight.size < FEWEST_WEIGHTS
    for layer, density in ((first, SPARSE_DENSITY), (second, INNER_DENSITY)):
        live = int(density * layer.weight.size)
        for count, sparse in ((live, True), (live + 1, False)):
            keep_first(model, layer, count)
            assert sparse_layers(model) == ([layer] if sparse else [])
    model.set_mask(random_mask(model, 0.0, 0))
    assert sparse_layers(model) == [first, second]
    small = mn.Model(mn.Dense(FEWEST_WEIGHTS // 8 - 1), (8,), rng=0)
    mn.prune(small, 0.9)
    assert sparse_layers(small) == []


def test_a_chain_stays_a_chain():
    model = net()
    assert isinstance(chain_of(model, FEWEST_WEIGHTS), Chain) and live_form(model) is None
    model.set_mask(random_mask(model, 0.1, 0))
    assert isinstance(chain_of(live_form(model).model, FEWEST_WEIGHTS), SparseChain)
    assert not lacks_chain(mn.losses.cross_entropy) and "mse" in lacks_chain(mn.losses.mse)
    walked = net("walked")
    walked.set_mask(random_mask(walked, 0.1, 0))
    assert chain_of(live_form(walked).model, FEWEST_WEIGHTS) is None


@pytest.mark.parametrize(("n", "lanes"), [(1, 2), (2, 2), (3, 4), (8, 8), (9, 16), (16, 16), (17, 32), (40, 48)])
def test_lanes(n, lanes):
    assert padded_batch(n) == lanes


def test_few_live_weights_are_work_for_one_thread(monkeypatch):
    monkeypatch.setenv("MINNET_NUM_THREADS", "2")
    model = mn.models.lenet_300_100((784,), 10, rng=0)
    assert shard_count(model, 64, mn.losses.cross_entropy) == 2
    mn.prune(model, 0.9)
    assert shard_count(model, 64, mn.losses.cross_entropy) == 2
    assert shard_count(model, 64, mn.losses.cross_entropy, one_by_one=True) == 1, "threads meet in the interpreter"
    mn.prune(model, 0.99)
    assert shard_count(model, 64, mn.losses.cross_entropy) == 1
    assert shard_count(model, 64, mn.losses.cross_entropy, live_only=False) == 2, "it is trained masked and dense"
    large = mn.models.sparse_mlp((3000, 30000, 5), 40, rng=0)
    assert shard_count(large, 64, mn.losses.cross_entropy) == 2
    assert shard_count(large, 16, mn.losses.cross_entropy) == 1


def test_criteria_and_gradients_stay_dense():
    """A masked weight's gradient says what it would do if it came back."""
    model = net()
    model.set_mask(random_mask(model, 0.05, 0))
    g = gradient(model, draw_sample(model, data(), rng=0))
    assert np.count_nonzero(g[: model.n_weights][~model.mask[: model.n_weights]]) > 1000


# --- the caller sees one model ---------------------------------------------------------------------------------------


def test_between_two_steps_everything_may_be_changed():
    """Values, vectors and mask written by the caller are what the next step starts from."""
    def trained(accelerate=True):
        model = net()
        model.set_mask(random_mask(model, 0.1, 0))
        early = model.values.copy()
        for step in mn.train(model, data(), optimizer=mn.SGD(0.1, momentum=0.9), epochs=6, batch_size=20, rng=0,
                             accelerate=accelerate):
            if step.epoch == 2:
                model.values[:] = np.where(model.mask, early, 0)  # rewound
            if step.epoch == 4:
                step.state.vectors[:] /= 2
                mn.prune(model, 0.97)
                step.state.apply_mask()
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-10)


def test_what_the_caller_does_last_is_not_undone():
    model = net()
    model.set_mask(random_mask(model, 0.1, 0))
    steps = mn.train(model, data(), epochs=6, batch_size=20, rng=0, every="batch")
    next(steps)
    model.values[:] = 0
    steps.close()
    assert not model.values.any()


def test_what_the_mask_cuts_is_forgotten():
    """Velocities of what was cut are 0, though the smaller model has no entries for them; also of a mask that was
    written directly."""
    def trained(accelerate=True):
        model = net()
        model.set_mask(random_mask(model, 0.2, 0))
        full = model.mask.copy()
        for step in mn.train(model, data(), optimizer=mn.SGD(0.1, momentum=0.9), epochs=6, batch_size=11, rng=0,
                             accelerate=accelerate):
            if step.epoch == 2:
                mn.prune(model, 0.9)
            if step.epoch == 3:
                assert not step.state.vectors[:, ~model.mask[: model.n_trainable]].any()
                model.set_mask(full)
            if step.epoch == 5:
                model.mask[:3000] = False
        assert not model.values[~model.mask].any()
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-12)


def test_an_interrupted_epoch_leaves_the_last_step():
    class Stops(mn.SGD):
        def step(self, model, window, grads, vectors, lr, scale, t):
            if t == 4:
                raise KeyboardInterrupt
            super().step(model, window, grads, vectors, lr, scale, t)

    model, wanted = net(), net()
    for m in (model, wanted):
        m.set_mask(random_mask(m, 0.1, 0))
    with pytest.raises(KeyboardInterrupt):
        list(mn.train(model, data(), optimizer=Stops(0.1), epochs=2, batch_size=10, rng=0))
    steps = mn.train(wanted, data(), optimizer=mn.SGD(0.1), epochs=2, batch_size=10, rng=0, every="batch")
    for _ in range(3):
        next(steps)
    assert model.values.tobytes() == wanted.values.tobytes()


def test_a_run_is_saved_and_goes_on_bit_for_bit(tmp_path):
    def run(model, **more):
        return mn.train(model, data(), optimizer=mn.Adam(0.01), epochs=4, batch_size=10, rng=0, every="batch", **more)

    models = [net(), net()]
    for model in models:
        model.set_mask(random_mask(model, 0.1, 0))
    list(run(models[0]))
    step = next(s for s in run(models[1]) if s.state.t == 9)
    mn.save(step.state, tmp_path / "run")
    state = mn.load(tmp_path / "run")
    list(run(state.model, state=state))
    assert state.model.values.tobytes() == models[0].values.tobytes()


def test_divergence_puts_the_values_of_the_epochs_start_back():
    model, kept = net(dtype=np.float32), []
    model.set_mask(random_mask(model, 0.1, 0))
    with pytest.raises(Diverged):
        for _ in mn.train(model, data(), optimizer=mn.SGD(1e12), epochs=9, batch_size=10, rng=0):
            kept.append(model.values.copy())
    assert np.isfinite(model.values).all() and not model.values[~model.mask].any()


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(0, SPARSE_DENSITY))
def test_gathering_and_scattering_change_nothing(seed, density):
    model = net("walked", seed=seed)
    model.set_mask(random_mask(model, density, seed))
    state = mn.State(model, mn.Adam())
    state.vectors[:] = np.random.default_rng(seed).normal(size=state.vectors.shape)
    state.apply_mask()
    before = model.values.tobytes() + state.vectors.tobytes()
    small = live_form(model)
    if small is None:
        assert density > SPARSE_DENSITY * 0.8
        return
    small.gather(state)
    X, _ = data()
    np.testing.assert_allclose(small.model(X), model(X), atol=1e-12)
    small.scatter(state)
    assert model.values.tobytes() + state.vectors.tobytes() == before


@settings(max_examples=50)
@given(st.integers(0, 99), st.floats(0, 0.2), st.floats(0, 0.2))
def test_live_positions_follow_the_mask(seed, before, after):
    """Whether as many weights go as come or not: noted where the mask changed, they are those of the mask."""
    model = net(seed=seed)
    weight = model.parameters["dense1.weight"]
    model.set_mask(random_mask(model, before, seed))
    known, old = np.flatnonzero(weight.mask), model.mask.copy()
    model.set_mask(random_mask(model, after, seed + 1))
    np.testing.assert_array_equal(live_positions(weight, known, old != model.mask), np.flatnonzero(weight.mask))


def test_positions_that_move_are_noted_without_another_model():
    """As in SET and RigL: each layer keeps its number of live weights."""
    model = net()
    model.set_mask(random_mask(model, 0.1, 0))
    state = mn.State(model, mn.Adam())
    small = live_form(model)
    mask = model.mask.copy()
    for p in model.weight_parameters:
        mask[p.slice] = np.random.default_rng(1).permutation(mask[p.slice])
    model.set_mask(mask)
    known = small.model.topology
    assert live_form(model, small) is small and small.model.topology > known
    small.gather(state)
    X, _ = data()
    np.testing.assert_allclose(small.model(X), model(X), atol=1e-12)
    model.set_mask(random_mask(model, 0.1, 2))
    assert live_form(model, small) not in (small, None)
    model.set_mask(np.ones(len(mask), bool))
    assert live_form(model, small) is None


def test_layers_born_sparse_keep_their_places_beside_masked_ones():
    def trained(accelerate=True):
        tree = mn.Sequential(mn.SparseDense(90, live=600), mn.ReLU(), mn.Dense(60), mn.ReLU(), mn.Dense(4))
        model = mn.Model(tree, (70,), rng=0, dtype=np.float64)
        mask = model.mask.copy()
        mask[model.parameters["dense2.weight"].slice] = np.random.default_rng(0).random(90 * 60) < 0.1
        model.set_mask(mask)
        list(mn.train(model, data(), epochs=3, batch_size=20, rng=0, accelerate=accelerate))
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-12)


def test_penalties_see_the_whole_model():
    class Spy:
        def value(self, model):
            return 0.0

        def add_gradient(self, model, grads):
            grads += 0.01 * model.values[: len(grads)]

        def prox(self, model, lr):
            assert len(model.values) == len(model.mask) == whole

    def trained(accelerate=True):
        model = net()
        model.set_mask(random_mask(model, 0.1, 0))
        list(mn.train(model, data(), epochs=2, batch_size=20, rng=0, penalty=Spy(), accelerate=accelerate))
        return model.values

    whole = len(net().values)
    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-12)


@pytest.mark.parametrize("recipe", ["gradual", "lottery_ticket", "iterative"])
def test_recipes_end_where_masked_dense_training_ends(recipe):
    def trained(accelerate=True):
        model = net()
        train = partial(mn.train, batch_size=20, accelerate=accelerate)
        list(mn.recipes.RECIPES[recipe](model, data(), 0.93, epochs=8, rng=0, train=train))
        return model.values

    np.testing.assert_allclose(trained(), trained(accelerate=False), atol=1e-9)
