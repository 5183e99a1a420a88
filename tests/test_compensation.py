"""Compensation against least squares, constrained optimisation and plain means, and what holds for all of the table."""
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import bits, is_plus_zero
from scipy.optimize import minimize
from tables import NETS, make, sample_for
from test_criteria_second_order import WINDOWED, born_sparse, linear_problem, numerical_hessian, one_layer, with_ones

import minnet as mn
from minnet.engine.sample import draw_sample
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, InvalidValue, MinnetError, NotFinite
from minnet.pruning import compensation
from minnet.pruning.activation_cache import ActivationCache
from minnet.pruning.compensation import COMPENSATIONS, least_squares, mean_replacement, obs_update
from minnet.pruning.criteria import quadratic, reconstruction
from minnet.pruning.criteria.quadratic import invert

seeds = st.integers(0, 2**32 - 1)


def mask_some(model, share=0.5, seed=0):
    """Mask that share of the weights of every layer, at random; returns the values before."""
    before, mask = model.values.copy(), np.ones(len(model.values), bool)
    rng = np.random.default_rng(seed)
    for p in model.weight_parameters:
        p.of(mask)[...] = rng.random(p.shape) >= share
    model.set_mask(mask)
    return before


def mask_units(model, layer, units):
    """Mask whole units of a layer, and what dresses them; returns the values before."""
    before, mask = model.values.copy(), np.ones(len(model.values), bool)
    coupling = model.couple()
    roots = next(coupling.roots(use.units) for use in coupling.uses
                 if use.axis == -1 and use.parameter is model.layers[layer].weight)[units]
    for use in coupling.uses:
        if use.axis == -1 and use.parameter.kind not in ("mean", "variance"):
            use.parameter.of(mask)[..., np.isin(coupling.roots(use.units), roots)] = False
    model.set_mask(mask)
    return before


def weighted(model):
    return [layer for layer in model.layers.values() if any(p.kind == "weight" for p in layer.parameters)]


# --- what holds for all ----------------------------------------------------------------------------------------------


def masked(net):
    """(model, sample, before) of a net with masked weights."""
    model = make(net)
    before = mask_some(model)
    return model, sample_for(model, rows=20), before


@pytest.mark.parametrize(("name", "net"), [(name, net) for name in COMPENSATIONS for net in NETS
                                           if name != "recalibrate_batchnorm" or net in ("normed", "residual")])
def test_masked_values_stay_plus_zero_and_the_mask_stays(name, net):
    model, sample, before = masked(net)
    mask, pruned = model.mask.copy(), model.values.copy()
    assert COMPENSATIONS[name](model, sample, before) is None
    assert np.array_equal(model.mask, mask) and is_plus_zero(model.values[~mask])
    moved = model.values != pruned
    assert moved.any() and np.isfinite(model.values).all()
    statistics = np.arange(len(moved)) >= model.n_trainable
    assert not moved[~statistics if name == "recalibrate_batchnorm" else statistics].any()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", [name for name in COMPENSATIONS if name != "recalibrate_batchnorm"])
def test_where_nothing_went_nothing_moves(name, net):
    model = make(net)
    before = model.values.copy()
    COMPENSATIONS[name](model, sample_for(model), before)
    assert bits(model.values) == bits(before)


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_float32_is_compensated_in_float64(name):
    model = make("normed", dtype=np.float32)
    before = mask_some(model)
    twin, sample = model.clone(np.float64), sample_for(model, rows=20)
    COMPENSATIONS[name](model, sample, before)
    COMPENSATIONS[name](twin, sample, before)
    assert model.values.dtype == np.float32
    np.testing.assert_array_equal(model.values, twin.values.astype(np.float32))


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_batches_do_not_matter(name, monkeypatch):
    found = []
    for images in (3, 1000):
        monkeypatch.setattr(quadratic, "IMAGES", images)
        model, sample, before = masked("normed")
        COMPENSATIONS[name](model, sample, before)
        found.append(model.values)
    np.testing.assert_allclose(*found, rtol=1e-7, atol=1e-9)


class Broken(Exception):
    """What a layer raises in the next test, and nobody else."""


def counted(forward, calls, x, tape):
    """A layer's `forward` that breaks when it is called as often as is allowed."""
    calls.made += 1
    if calls.made == calls.allowed:
        raise Broken
    return forward(x, tape)


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_an_error_leaves_the_model_as_it_was(name, monkeypatch):
    """The last forward pass that it makes raises in the last layer."""
    (model, sample, before), (twin, *_) = masked("normed"), masked("normed")
    calls, state = SimpleNamespace(made=0, allowed=np.inf), bits(model.values, model.mask)
    for net in (twin, model):
        last = net.tree.layers[-1]
        monkeypatch.setattr(last, "forward", partial(counted, last.forward, calls))
    COMPENSATIONS[name](twin, sample, before)
    assert calls.made and bits(twin.values) != bits(model.values)
    calls.made, calls.allowed = 0, calls.made
    with pytest.raises(Broken):
        COMPENSATIONS[name](model, sample, before)
    assert bits(model.values, model.mask) == state


def test_what_is_too_large_for_the_models_dtype_is_refused():
    model = make("normed", dtype=np.float32)
    model.layers["dense1"].weight.value[...] *= np.float32(1e25)  # the square of this is no float32
    state = bits(model.values)
    with pytest.raises(NotFinite, match="nothing was changed"):
        compensation.recalibrate_batchnorm(model, sample_for(model))
    assert bits(model.values) == state


def test_a_result_stands_for_the_values_before():
    data = sample_for(make("dense"), rows=20)
    first, second = make("dense"), make("dense")
    before = first.values.copy()
    mn.prune(first, 0.5)
    result = mn.prune(second, 0.5)
    least_squares(first, data, before)
    least_squares(second, data, result)
    assert bits(first.values) == bits(second.values)
    result.undo()
    assert bits(second.values) == bits(before)


@pytest.mark.parametrize("name", [name for name in COMPENSATIONS if name != "recalibrate_batchnorm"])
@pytest.mark.parametrize(("before", "kind", "words"), [
    (None, InvalidValue, "needs the values before the pruning: keep before"),
    (np.zeros(3), InvalidValue, r"shape \(3,\)"),
    ("all", InvalidType, "before='all'"),
    (np.nan, NotFinite, "NaN"),
])
def test_what_before_must_be(name, before, kind, words):
    model = make("dense")
    before = np.full(len(model.values), before) if isinstance(before, float) else before
    state = bits(model.values)
    with pytest.raises(kind, match=words):
        COMPENSATIONS[name](model, sample_for(model), before)
    assert bits(model.values) == state


@pytest.mark.parametrize(("call", "words"), [
    (partial(least_squares, inputs="both"), "inputs"), (partial(least_squares, damping=-1), "damping=-1"),
    (partial(obs_update, damping=np.inf), "damping=inf"), (partial(least_squares, samples=0), "samples=0"),
])
def test_arguments_that_cannot_be_are_refused(call, words):
    model = make("dense")
    before = mask_some(model)
    with pytest.raises(MinnetError, match=words):
        call(model, (np.zeros((4, 6)), np.zeros(4, int)), before)


def test_what_cannot_be_compensated_is_refused():
    with pytest.raises(InvalidValue, match="this model has none"):
        compensation.recalibrate_batchnorm(make("dense"), sample_for(make("dense")))
    large = mn.models.lenet_300_100((28, 28, 1), 10, rng=0)
    before = mask_some(large)
    with pytest.raises(InvalidValue, match="least_squares"):
        obs_update(large, sample_for(large, rows=2), before)


@pytest.mark.parametrize("name", ["mean_replacement", "least_squares", "obs_update"])
def test_a_layer_born_sparse_is_compensated_as_its_masked_twin(name):
    model, twin, at = born_sparse()
    sample, before = sample_for(model, rows=30), (model.values.copy(), twin.values.copy())
    keep, mask = np.arange(len(model.values)) % 3 > 0, twin.mask.copy()
    keep[model.n_weights :] = True
    mask[at[~keep]] = False
    model.set_mask(keep)
    twin.set_mask(mask)
    COMPENSATIONS[name](model, sample, before[0])
    COMPENSATIONS[name](twin, sample, before[1])
    np.testing.assert_allclose(model.values, twin.values[at], rtol=1e-8, atol=1e-9)


# --- the OBS update --------------------------------------------------------------------------------------------------


def refitted(sample, mask):
    """The least squares solution with weights (inputs + bias, outputs) that are 0 where the mask is."""
    X, found = with_ones(sample.X), np.zeros(mask.shape)
    for j, keep in enumerate(mask.T):
        found[keep, j] = np.linalg.lstsq(X[:, keep], sample.y[:, j], rcond=None)[0]
    return found


def all_of(model, vector):
    """Weights and bias of a Dense model as one matrix."""
    layer = model.layers["dense1"]
    return np.vstack([layer.weight.of(vector), layer.bias.of(vector)])


@given(seeds, st.floats(0, 1))
@settings(max_examples=20)
def test_the_obs_update_is_the_refit_of_what_stays(seed, share):
    model, sample = linear_problem(seed=seed)
    before = mask_some(model, share, seed)
    obs_update(model, sample, before, damping=0)
    np.testing.assert_allclose(all_of(model, model.values), refitted(sample, all_of(model, model.mask)), atol=1e-8)


@given(seeds)
@settings(max_examples=20)
def test_the_order_in_which_a_set_goes_does_not_matter(seed):
    (at_once, sample), (step_by_step, _) = linear_problem(seed=seed), linear_problem(seed=seed)
    gone = np.random.default_rng(seed).permutation(at_once.n_weights)[:6]
    mask, before = np.ones(len(at_once.values), bool), at_once.values.copy()
    for q in gone:
        mask[q] = False
        last = step_by_step.values.copy()
        step_by_step.set_mask(mask)
        obs_update(step_by_step, sample, last, damping=0)
    at_once.set_mask(mask)
    obs_update(at_once, sample, before, damping=0)
    np.testing.assert_allclose(step_by_step.values, at_once.values, atol=1e-8)


def test_the_obs_update_is_the_constrained_optimum():
    """Of the quadratic with the exact Hessian, made positive and damped, by scipy.optimize under constraints."""
    model = make("normed")
    sample = sample_for(model, rows=20)
    n, H = model.n_trainable, numerical_hessian(model, sample)
    sizes, vectors = np.linalg.eigh((H + H.T) / 2)
    alive = np.abs(H).max(axis=1) > 1e-12
    H = (vectors * (np.maximum(sizes, 0) + 0.1 * np.abs(np.diag(H))[alive].mean())) @ vectors.T
    before = mask_some(model, 0.3)
    gone = np.flatnonzero(~model.mask[:n])
    done = minimize(lambda d: d @ H @ d / 2, np.zeros(n), jac=lambda d: H @ d, method="SLSQP",
                    constraints={"type": "eq", "fun": lambda d: d[gone] + before[gone],
                                 "jac": lambda d: np.eye(n)[gone]},
                    options={"ftol": 1e-14, "maxiter": 500})
    assert done.success
    obs_update(model, sample, before, damping=0.1)
    np.testing.assert_allclose(model.values[:n], before[:n] + done.x, rtol=1e-4, atol=1e-5)


# --- least squares ---------------------------------------------------------------------------------------------------


def dense_layer():
    model, sample = linear_problem(minimum=False)
    return model, sample, [sample.X]


LAYERS = {"dense": dense_layer, **{kind: partial(one_layer, layer, rows=12) for kind, layer in WINDOWED.items()}}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LAYERS)
def test_one_layer_is_numpys_least_squares_in_every_output(kind, bias):
    model, sample, seen = LAYERS[kind]()
    layer = weighted(model)[0]
    before = mask_some(model)
    least_squares(model, sample, before, damping=0, bias=bias)
    weight, mask = (a.reshape(-1, layer.weight.shape[-1]) for a in (layer.weight.value, layer.weight.mask))
    old = layer.weight.of(before).reshape(weight.shape)
    for j in range(weight.shape[1]):
        x, keep = seen[j * len(seen) // weight.shape[1]], mask[:, j]
        fitted = with_ones(x[:, keep]) if bias and layer.bias is not None else x[:, keep]
        expected = np.linalg.lstsq(fitted, x @ old[:, j], rcond=None)[0]
        np.testing.assert_allclose(weight[keep, j], expected[: np.count_nonzero(keep)], rtol=1e-7, atol=1e-9)
        if layer.bias is not None:
            change = expected[-1] if bias else 0
            np.testing.assert_allclose(layer.bias.value[j], layer.bias.of(before)[j] + change, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", LAYERS)
def test_obcs_costs_are_the_error_after_the_update(kind):
    """The mask of any number of removals, in the criterion's order; the damped costs count the changes as well."""
    model, sample, seen = LAYERS[kind]()
    p, damping = model.weight_parameters[0], 0.1
    W = p.value.reshape(-1, p.shape[-1]).copy()
    for j in range(p.shape[-1]):
        x = seen[j * len(seen) // p.shape[-1]]
        G = x.T @ x / len(sample)
        added = damping * np.diag(G).mean()
        order, costs = reconstruction.remove_greedily(invert(G, added), 1 / (np.diag(G) + added), W[:, j])
        for k in (1, len(order) // 2, len(order)):
            pruned, mask = model.clone(), np.ones(len(model.values), bool)
            p.of(mask).reshape(W.shape)[order[:k], j] = False
            pruned.set_mask(mask)
            least_squares(pruned, sample, model.values, damping=damping, inputs="original", bias=False)
            change = (pruned.weight_parameters[0].value.reshape(W.shape) - W)[:, j]
            np.testing.assert_allclose(change @ G @ change + added * change @ change, costs[:k].sum(), rtol=1e-7)


@given(st.sampled_from(sorted(NETS)), seeds, st.floats(0, 1), st.sampled_from([0, 1e-9, 0.01, 10.0]), st.booleans())
@settings(max_examples=40)
def test_no_layer_is_worse_than_masked_alone(net, seed, share, damping, bias):
    """With the inputs that it has now, the layer's error is at most that of the masked weights and the old bias."""
    model = make(net, seed)
    sample = sample_for(model, rows=12)
    before = mask_some(model, share, seed)
    alone = model.values.copy()
    least_squares(model, sample, before, damping=damping, bias=bias)
    wanted, now = (ActivationCache(model, sample.X, values) for values in (before, model.values))
    for layer in weighted(model):
        left = np.square(layer.forward(now.inputs[layer], Tape(model, alone)) - wanted.outputs[layer]).sum()
        fitted = np.square(now.outputs[layer] - wanted.outputs[layer]).sum()
        assert fitted <= left * (1 + 1e-9) + 1e-12, layer.name


def test_each_layer_is_fitted_to_the_inputs_that_it_has_now_or_had():
    rows = {}
    for inputs in ("pruned", "original"):
        model = make("dense")
        sample = sample_for(model, rows=40)
        before = mask_some(model)
        least_squares(model, sample, before, damping=0, inputs=inputs)
        was, now = ActivationCache(model, sample.X, before), ActivationCache(model, sample.X, model.values)
        last = model.layers["dense3"]
        x = (now if inputs == "pruned" else was).inputs[last]
        for j, keep in enumerate(last.weight.mask.T):
            fitted = with_ones(x[:, keep])
            best = np.linalg.lstsq(fitted, was.outputs[last][:, j], rcond=None)[0]
            np.testing.assert_allclose([*last.weight.value[keep, j], last.bias.value[j]], best, rtol=1e-6, atol=1e-8)
        rows[inputs] = np.square(now.logits - was.logits).sum()
    assert rows["pruned"] < rows["original"]


def test_a_layer_after_whole_units_makes_up_for_them():
    model = make("conv")
    sample = sample_for(model, rows=40)
    before = mask_units(model, "conv1", [1, 2])
    alone = model.clone()
    least_squares(model, sample, before)
    assert is_plus_zero(model.layers["conv1"].weight.value[..., [1, 2]])
    assert is_plus_zero(model.layers["conv1"].bias.value[[1, 2]])
    target = mn.Model(model.tree, model.input_shape, rng=0, dtype=np.float64)
    target.values[:] = before
    lost = [np.square(net(sample.X) - target(sample.X)).sum() for net in (model, alone)]
    assert lost[0] < 0.6 * lost[1]


def test_inputs_that_are_always_0_move_nothing():
    model, sample = linear_problem(minimum=False)
    sample.X[:, 2] = 0
    before = mask_some(model)
    for damping in (0, 0.01):
        pruned = model.clone()
        least_squares(pruned, sample, before, damping=damping)
        first = pruned.layers["dense1"].weight
        np.testing.assert_array_equal(first.value[2], np.where(first.mask[2], first.of(before)[2], 0))


# --- means -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [mn.ReLU(), mn.Sigmoid(), mn.Tanh()])
def test_a_units_mean_activation_goes_into_the_next_bias(activation):
    """Less f(0), which the masked unit still gives; the other biases stay."""
    rng = np.random.default_rng(0)
    model = mn.Model(mn.Sequential(mn.Dense(6), activation, mn.Dense(3)), (5,), rng=0, dtype=np.float64)
    sample = draw_sample(model, (rng.normal(size=(30, 5)), rng.integers(3, size=30)), samples=None, rng=0)
    a = ActivationCache(model, sample.X, model.values).outputs[model.tree.layers[1]]
    constant = 0.5 if isinstance(activation, mn.Sigmoid) else 0.0
    before = mask_units(model, "dense1", [0, 4])
    mean_replacement(model, sample, before)
    first, second = model.layers["dense1"], model.layers["dense2"]
    added = (a[:, [0, 4]].mean(axis=0) - constant) @ second.weight.value[[0, 4]]
    np.testing.assert_allclose(second.bias.value, second.bias.of(before) + added, rtol=1e-10)
    np.testing.assert_array_equal(first.bias.value, np.where(first.bias.mask, first.bias.of(before), 0))
    assert bits(model.weights) == bits(np.where(model.mask, before, 0)[: model.n_weights])


def test_a_filters_mean_goes_into_the_next_bias_padding_included():
    rng = np.random.default_rng(0)
    tree = mn.Sequential(mn.Conv2d(4, 2), mn.ReLU(), mn.Conv2d(3, 3, padding="same"), mn.GlobalAvgPool2d())
    model = mn.Model(tree, (5, 6, 2), rng=0, dtype=np.float64)
    sample = draw_sample(model, (rng.normal(size=(9, 5, 6, 2)), rng.integers(3, size=9)), samples=None, rng=0)
    a = ActivationCache(model, sample.X, model.values).outputs[model.tree.layers[1]]
    before = mask_units(model, "conv1", [2])
    mean_replacement(model, sample, before)
    padded, second = np.pad(a[..., 2], ((0, 0), (1, 1), (1, 1))), model.layers["conv2"]
    means = [[padded[:, u : u + 4, v : v + 5].mean() for v in range(3)] for u in range(3)]
    added = np.einsum("uv,uvo->o", means, second.weight.value[:, :, 2])
    np.testing.assert_allclose(second.bias.value, second.bias.of(before) + added, rtol=1e-10)


def test_a_single_weight_leaves_its_inputs_mean_in_the_bias():
    model, sample = linear_problem(minimum=False)
    before = mask_some(model)
    mean_replacement(model, sample, before)
    layer = model.layers["dense1"]
    lost = sample.X.mean(axis=0) @ np.where(layer.weight.mask, 0, layer.weight.of(before))
    np.testing.assert_allclose(layer.bias.value, layer.bias.of(before) + lost, rtol=1e-10)


@pytest.mark.parametrize("net", NETS)
def test_after_mean_replacement_every_layer_with_a_bias_gives_its_old_mean(net):
    model = make(net)
    sample = sample_for(model, rows=20)
    before = mask_some(model)
    mean_replacement(model, sample, before)
    was, now = ActivationCache(model, sample.X, before), ActivationCache(model, sample.X, model.values)
    for layer in weighted(model):
        means = [kept.outputs[layer].reshape(-1, layer.output_shape[-1]).mean(axis=0) for kept in (was, now)]
        assert np.allclose(*means, rtol=1e-9, atol=1e-12) == (layer.bias is not None), layer.name


# --- BatchNorm -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["normed", "residual"])
def test_recalibrated_statistics_are_those_of_the_inputs(net):
    """Of all BatchNorms at once, in the net as it is now; the variance is unbiased, as in training."""
    model = make(net)
    sample = sample_for(model, rows=20)
    mask_some(model)
    compensation.recalibrate_batchnorm(model, sample)
    kept = ActivationCache(model, sample.X, model.values)
    for layer in model.layers.values():
        if isinstance(layer, mn.BatchNorm):
            x = kept.inputs[layer].reshape(-1, layer.output_shape[-1])
            np.testing.assert_allclose(layer.mean.value, x.mean(axis=0), rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(layer.variance.value, x.var(axis=0, ddof=1), rtol=1e-9)


def test_recalibration_is_what_training_finds_in_one_batch():
    """With momentum 1 the running statistics are those of the last batch; here of all rows."""
    tree = mn.Sequential(mn.Dense(4), mn.BatchNorm(momentum=1.0), mn.ReLU(), mn.Dense(3))
    model = mn.Model(tree, (5,), rng=0, dtype=np.float64)
    sample = sample_for(model, rows=30)
    tape = Tape(model, training=True)
    model.forward(sample.X, tape)
    twin, norm = model.clone(), model.layers["batchnorm1"]
    norm.commit(tape)
    compensation.recalibrate_batchnorm(twin, sample)
    np.testing.assert_allclose(twin.values, model.values, rtol=1e-12)


# --- what it is for --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """(a small net with BatchNorm, trained on digits, and the data)."""
    data = mn.load_data("digits", rng=0)
    tree = mn.Sequential(mn.Flatten(), mn.Dense(8), mn.BatchNorm(), mn.ReLU(), mn.Dense(10))
    model = mn.Model(tree, data.shape, rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(0.1, momentum=0.9), epochs=8, batch_size=64, rng=0):
        pass
    return model, data


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_compensation_takes_back_part_of_the_loss(name, trained):
    dense, data = trained
    model = dense.clone()
    result = mn.prune(model, 0.7, data=data, rng=0)
    alone = model.clone()
    COMPENSATIONS[name](model, data, result, samples=400, rng=0)
    losses = [mn.evaluate(net, data.X_test, data.y_test).loss for net in (dense, model, alone)]
    assert losses[0] < losses[1] < losses[2]
