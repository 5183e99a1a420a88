"""Each criterion is what its docstring says, by loops over weights, units and images, and by what is known of it.

Laws that hold for all criteria are in test_criteria.py and test_criteria_laws.py; PyTorch's word is in
test_criteria_torch.py.
"""
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Lasso
from tables import NETS, make, sample_for
from trees import random_input

import minnet as mn
from minnet.engine.sample import draw_sample, gradient
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue
from minnet.pruning import criteria
from minnet.pruning.activation_cache import ActivationCache


def rows_net(*layers, inputs=6, dtype=np.float64, seed=0):
    """Dense layers of these widths without biases, ReLU between."""
    tree = [layer for width in layers for layer in (mn.Dense(width, use_bias=False), mn.ReLU())][:-1]
    return mn.Model(mn.Sequential(*tree), (inputs,), rng=seed, dtype=dtype)


def image_net(seed=0):
    """Convolutions without biases, ReLU and pools between."""
    first, second = mn.Conv2d(4, 3, padding="same", use_bias=False), mn.Conv2d(3, 2, use_bias=False)
    tree = mn.Sequential(first, mn.ReLU(), mn.MaxPool2d(2), second, mn.ReLU(), mn.Flatten(),
                         mn.Dense(5, use_bias=False), mn.ReLU(), mn.Dense(3, use_bias=False))
    return mn.Model(tree, (5, 6, 2), rng=seed, dtype=np.float64)


BARE = {"rows": lambda: rows_net(5, 4, 3), "images": image_net}


# --- without data ----------------------------------------------------------------------------------------------------


def test_random_is_a_permutation_by_the_samples_rng():
    model = make("dense")
    samples = [draw_sample(model, (random_input(model), np.zeros(5, int)), rng=seed) for seed in (3, 3, 4)]
    first, again, other = (criteria.random(model, sample) for sample in samples)
    np.testing.assert_array_equal(np.sort(first), np.arange(model.n_weights))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


ZHOU = {
    "large_final": lambda end, start: abs(end),
    "small_final": lambda end, start: -abs(end),
    "large_init": lambda end, start: abs(start),
    "small_init": lambda end, start: -abs(start),
    "large_init_large_final": lambda end, start: min(2 * abs(end), abs(start)),
    "small_init_small_final": lambda end, start: -max(2 * abs(end), abs(start)),
    "magnitude_increase": lambda end, start: abs(end) - abs(start),
    "movement": lambda end, start: abs(end - start),
}
ALPHA = {name: {"alpha": 2.0} for name in ("large_init_large_final", "small_init_small_final")}


@pytest.mark.parametrize("name", ZHOU)
@pytest.mark.parametrize("whole", [True, False], ids=["whole vector", "weights alone"])
def test_masks_of_zhou(name, whole):
    model, rng = make("dense", dtype=np.float32), np.random.default_rng(0)
    start = rng.normal(size=len(model.values) if whole else model.n_weights).astype(np.float32)
    needs = criteria.TRAITS[name].needs == "initial"
    scores = criteria.CRITERIA[name](model, None, **({"initial": start} if needs else {}), **ALPHA.get(name, {}))
    expected = [ZHOU[name](end, begin) for end, begin in zip(model.weights, start[: model.n_weights], strict=True)]
    np.testing.assert_array_equal(scores, np.array(expected, np.float32))


def test_masks_of_zhou_in_prune_and_their_complaints():
    model = make("dense")
    start = model.values.copy()
    model.values[: model.n_weights] += np.arange(model.n_weights) - 10
    mn.prune(model, 0.5, criterion=partial(criteria.movement, initial=start))
    half = model.n_weights // 2
    gone = set(np.flatnonzero(~model.mask).tolist())
    assert gone == set(np.argsort(np.abs(np.arange(model.n_weights) - 10), kind="stable")[:half].tolist())
    with pytest.raises(InvalidValue, match="partial"):
        mn.prune(model, 0.9, criterion="movement")
    with pytest.raises(InvalidValue, match="shape"):
        criteria.movement(model, None, start[:3])
    with pytest.raises(InvalidValue, match="alpha"):
        criteria.large_init_large_final(model, None, start, alpha=0)


@st.composite
def layered(draw):
    """A float32 net of two layers whose weights take few values, so that some are equal, or are tiny."""
    model = rows_net(2, 3, inputs=3, dtype=np.float32)
    values = st.sampled_from([0.0, 1e-25, -1e-25, 0.5, -0.5, 1.0, 3.0, 1e20])
    model.values[:] = draw(st.lists(values, min_size=len(model.values), max_size=len(model.values)))
    return model


@given(layered())
def test_lamp_orders_a_layer_as_magnitude_does(model):
    scores, size = criteria.lamp(model, None), criteria.magnitude(model)
    for p in model.weight_parameters:
        order = np.argsort(size[p.slice], kind="stable")
        np.testing.assert_array_equal(np.argsort(scores[p.slice], kind="stable"), order)
        assert scores[p.slice].max() == (1 if size[p.slice].any() else 0)


def lee(model, k):
    """The k weights that go, one by one: of the smallest weight of each layer the one that is the smallest part of what
    is left of its layer."""
    left = [{i: float(model.values[i]) ** 2 for i in range(p.slice.start, p.slice.stop)}
            for p in model.weight_parameters]
    gone = set()
    for _ in range(k):
        candidates = []
        for layer in left:
            if layer:
                i = min(layer, key=lambda i, layer=layer: (layer[i], i))
                candidates.append((layer[i] / sum(sorted(layer.values())) if layer[i] else 0.0, i, layer))
        _, i, layer = min(candidates, key=lambda candidate: candidate[:2])
        del layer[i]
        gone.add(i)
    return gone


@pytest.mark.parametrize("seed", range(5))
def test_a_global_cut_of_lamp_is_the_procedure_of_lee(seed):
    model = rows_net(5, 4, 3, seed=seed)
    model.weight_parameters[1].value[...] *= 1e-25 if seed % 2 else 10.0
    order = np.argsort(criteria.lamp(model), kind="stable")
    for k in range(model.n_weights - 3):  # the last of each layer all score 1
        assert set(order[:k].tolist()) == lee(model, k)


def test_lamp_does_not_see_the_scale_of_a_layer():
    model, other = rows_net(5, 4), rows_net(5, 4)
    other.weight_parameters[0].value[...] *= 2.0**-90
    np.testing.assert_array_equal(criteria.lamp(model), criteria.lamp(other))


def test_bn_scale_is_the_gain():
    model = make("normed")
    scores = criteria.bn_scale(model)
    gains = np.abs(model.parameters["batchnorm1.gain"].value)
    np.testing.assert_array_equal(model.layers["dense1"].weight.of(scores), np.tile(gains, (4, 1)))
    assert np.isinf(model.layers["dense2"].weight.of(scores)).all()
    model.layers["dense1"].weight.value[...] *= 7.0
    np.testing.assert_array_equal(criteria.bn_scale(model), scores)


def test_bn_scale_of_a_residual_is_the_mean_of_both_sides():
    sides = mn.Sequential(mn.Dense(4), mn.BatchNorm()), mn.Sequential(mn.Dense(4), mn.BatchNorm())
    model = mn.Model(mn.Sequential(mn.Residual(*sides), mn.Dense(2)), (3,), rng=0)
    model.parameters["batchnorm1.gain"].value[...] = [1, -2, 3, 4]
    model.parameters["batchnorm2.gain"].value[...] = [0, 4, -3, 2]
    for layer in ("dense1", "dense2"):
        np.testing.assert_array_equal(model.layers[layer].weight.of(criteria.bn_scale(model))[0], [0.5, 3, 3, 3])
    with pytest.raises(InvalidValue, match="no.*take"):
        criteria.bn_scale(make("dense"))


@pytest.mark.parametrize("net", NETS)
def test_fpgm_is_the_sum_of_distances(net):
    model = make(net)
    for p in model.weight_parameters:
        filters = p.value.reshape(-1, p.shape[-1]).T
        expected = [sum(np.linalg.norm(one - other) for other in filters) for one in filters]
        found = p.of(criteria.fpgm(model)).reshape(-1, p.shape[-1])
        np.testing.assert_allclose(found, np.tile(expected, (len(found), 1)), rtol=1e-7)


def test_fpgm_does_not_see_a_shift_or_a_rotation():
    model, other = rows_net(5, 4), rows_net(5, 4)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    W = other.weight_parameters[0].value
    W[...] = rotation @ W + np.arange(6)[:, None] * 10
    np.testing.assert_allclose(criteria.fpgm(other), criteria.fpgm(model), rtol=1e-9)


def test_redundancy_is_one_less_the_cosine_to_a_longer_unit():
    model = make("conv")
    for p in model.weight_parameters:
        filters = p.value.reshape(-1, p.shape[-1]).T
        length = np.linalg.norm(filters, axis=1)
        expected = [1 - max([one @ other / (l1 * l2) for other, l2 in zip(filters, length, strict=True) if l2 > l1],
                            default=-1) for one, l1 in zip(filters, length, strict=True)]
        found = p.of(criteria.redundancy(model)).reshape(-1, p.shape[-1])
        np.testing.assert_allclose(found, np.tile(expected, (len(found), 1)), rtol=1e-9)


def test_redundancy_of_copies_opposites_and_nothing():
    model = rows_net(5, 2, inputs=3)
    a = np.array([1.0, 2.0, 3.0])
    model.weight_parameters[0].value[...] = np.stack([1e-200 * a, a, 0 * a, -a / 2, a], axis=1)
    scores = model.weight_parameters[0].of(criteria.redundancy(model))
    np.testing.assert_allclose(scores, np.tile([0, 0, 0, 2, 2], (3, 1)), atol=1e-12)


@pytest.mark.parametrize("name", ["fpgm", "redundancy"])
def test_units_that_are_gone_are_not_compared_with(name):
    """The scores after a cut are those of the compacted model."""
    model = make("conv")
    mn.prune(model, 0.4, structure="channel")
    small, judge = mn.compact(model), criteria.CRITERIA[name]
    assert small.n_weights < model.n_weights
    np.testing.assert_allclose(first_of_units(small, judge(small)), first_of_units(model, judge(model)), rtol=1e-7)


def first_of_units(model, scores):
    """The scores of live units of the first layer (which loses no inputs)."""
    p = model.weight_parameters[0]
    return p.of(scores)[0, 0, 0][p.mask.any(axis=(0, 1, 2))]


@pytest.mark.parametrize("net", BARE)
def test_synflow_is_conserved(net):
    """Without biases: what flows into a unit flows out of it, and R, the sum of outputs, through every layer."""
    model = BARE[net]()
    scores = criteria.synflow(model)
    R = model(np.ones((1, *model.input_shape)), np.abs(model.values)).sum()
    for p in model.weight_parameters:
        np.testing.assert_allclose(p.of(scores).sum(), R, rtol=1e-10)
    into, out = flows(model, scores)
    np.testing.assert_allclose(out, into, rtol=1e-10)


def flows(model, scores):
    """(units,), (units,): the sum of scores into each hidden unit, and out of it."""
    coupling = model.couple()
    sums = np.zeros((2, coupling.n_units))
    for use in coupling.uses:
        window = np.moveaxis(use.parameter.of(scores), use.axis, 0)
        np.add.at(sums[int(use.reads)], coupling.roots(use.units), window.reshape(len(window), -1).sum(axis=1))
    return sums[:, ~coupling.fixed()]


def test_synflow_is_linear_in_a_layer_and_counts_paths():
    model = BARE["images"]()
    scores = criteria.synflow(model)
    model.weight_parameters[1].value[...] *= -3.0
    np.testing.assert_allclose(criteria.synflow(model), 3 * scores, rtol=1e-10)
    chain = rows_net(4, 5, 3, inputs=2)
    chain.values[:] = 1
    np.testing.assert_array_equal(chain.weight_parameters[1].of(criteria.synflow(chain)), 2 * 3)


@pytest.mark.parametrize("mean", [-1e3, 1e3])
def test_synflow_takes_running_means_as_0(mean):
    """Subtracting the means that training found would turn every ReLU off, and no path would be left."""
    model = mn.Model(mn.Sequential(mn.Dense(5), mn.BatchNorm(), mn.ReLU(), mn.Dense(3)), (4,), rng=0, dtype=np.float64)
    expected = criteria.synflow(model)
    assert (expected > 0).all() and not model.parameters["batchnorm1.mean"].value.any()
    model.parameters["batchnorm1.mean"].value[...] = mean
    np.testing.assert_array_equal(criteria.synflow(model), expected)


def test_synflow_of_a_deep_net_keeps_its_digits():
    model = rows_net(*[4] * 40, inputs=4, dtype=np.float32)
    model.values[:] = 1e-3
    np.testing.assert_allclose(criteria.synflow(model), (4e-3) ** 40 * 4 / 16, rtol=1e-5)


# --- first order -----------------------------------------------------------------------------------------------------


def gradients(model, sample):
    """(n, n_weights): the gradient of every image by itself."""
    ones = [draw_sample(model, (sample.X[i : i + 1], sample.y[i : i + 1])) for i in range(len(sample))]
    return np.stack([gradient(model, one)[: model.n_weights] for one in ones])


@pytest.mark.parametrize("net", NETS)
def test_first_order_scores_by_their_formulas(net):
    model, sample = make(net), sample_for(make(net))
    w, g = model.weights, gradients(model, sample)
    expected = {
        "gradient": np.abs(g.mean(axis=0)), "fisher": 0.5 * w**2 * (g**2).mean(axis=0),
        "taylor": np.abs((w * g).mean(axis=0)), "snip": np.abs(w * g.mean(axis=0)) / np.abs(w * g.mean(axis=0)).sum()}
    for name, scores in expected.items():
        np.testing.assert_allclose(criteria.CRITERIA[name](model, sample), scores, rtol=1e-9, atol=1e-15)
    signed = criteria.taylor(model, sample, variant="signed")
    np.testing.assert_allclose(signed, (w * g).mean(axis=0), rtol=1e-9, atol=1e-15)
    squared = criteria.taylor(model, sample, variant="squared")
    np.testing.assert_allclose(squared, ((w * g) ** 2).mean(axis=0), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("net", BARE)
def test_signed_taylor_is_conserved_and_its_size_is_not(net):
    model = BARE[net]()
    sample = sample_for(model)
    into, out = flows(model, criteria.taylor(model, sample, variant="signed"))
    np.testing.assert_allclose(out, into, rtol=1e-10, atol=1e-10 * np.abs(into).max())
    into, out = flows(model, criteria.taylor(model, sample))
    assert (np.abs(out - into) > 1e-3 * into).any()


def test_taylor_tends_to_the_true_change():
    """|L(w - eps w) - L(w)| / eps -> |w g|: half the step leaves half the difference."""
    model, sample = make("normed"), sample_for(make("normed"))
    scores, base = criteria.taylor(model, sample), mean_loss(model, sample, model.values)
    i = int(np.argmax(scores))
    errors = []
    for eps in (1e-3, 5e-4):
        values = model.values.copy()
        values[i] *= 1 - eps
        errors.append(abs(abs(mean_loss(model, sample, values) - base) / eps - scores[i]))
    assert errors[0] < 0.01 * scores[i]
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.05)


@pytest.mark.parametrize("net", ["dense", "normed", "conv"])
def test_grasp_is_the_gradient_flow_that_goes(net):
    """Half the fall of g'g, g over live weights, as a weight shrinks a little."""
    model, sample = make(net), sample_for(make(net))
    mask = np.ones(len(model.values), bool)
    mask[: model.n_weights : 4] = False
    model.set_mask(mask)
    live = np.flatnonzero(model.mask[: model.n_weights])

    def flow(i, eps):
        values = model.values.copy()
        values[i] *= 1 - eps
        return np.square(gradient(model, sample, values)[live]).sum()

    eps = 1e-6
    expected = np.zeros(model.n_weights)
    expected[live] = [(flow(i, -eps) - flow(i, eps)) / (4 * eps) for i in live]
    scores = criteria.grasp(model, sample)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6 * np.abs(scores).max())
    assert (scores < 0).any() and (scores > 0).any()


def mean_loss(model, sample, values):
    return sample.loss(model.forward(sample.X, Tape(model, values)), sample.y)


def test_taylor_knows_its_variants():
    model = make("dense")
    with pytest.raises(InvalidValue, match="variant"):
        criteria.taylor(model, sample_for(model), variant="cubed")


# --- from activations ------------------------------------------------------------------------------------------------

LAYERS = {  # one layer each, with what it sees
    "dense": (mn.Dense(3), (5,)),
    "conv": (mn.Conv2d(3, (2, 3), (1, 2), "same"), (4, 5, 2)),
    "depthwise": (mn.DepthwiseConv2d(2, 1, 1, multiplier=2), (4, 3, 2)),
}


def one_layer_sample(model, rows=150):
    """More rows than a pass takes at once; the targets mean nothing."""
    X = random_input(model, rows=rows)
    return mn.Sample(X, np.zeros(rows), None, np.random.default_rng(0), 100)


@pytest.mark.parametrize("name", LAYERS)
def test_wanda_is_how_far_the_output_moves(name):
    layer, shape = LAYERS[name]
    model = mn.Model(mn.Sequential(layer), shape, rng=0, dtype=np.float64)
    sample = one_layer_sample(model)
    before = model.forward(sample.X, Tape(model))
    expected = []
    for i in range(model.n_weights):
        values = model.values.copy()
        values[i] = 0
        expected.append(np.linalg.norm(model.forward(sample.X, Tape(model, values)) - before))
    np.testing.assert_allclose(criteria.wanda(model, sample), expected, rtol=1e-9)


def test_wanda_does_not_see_the_scale_of_an_input():
    model = rows_net(4, inputs=3)
    sample = one_layer_sample(model)
    scores = criteria.wanda(model, sample)
    scale = np.array([0.1, 3.0, 7.0])
    sample.X[...] *= scale
    model.weight_parameters[0].value[...] /= scale[:, None]
    np.testing.assert_allclose(criteria.wanda(model, sample), scores, rtol=1e-12)


@pytest.mark.parametrize("power", [0, 0.5, 1.0])
@pytest.mark.parametrize("name", LAYERS)
def test_ria_is_relative_importance_times_activation(name, power):
    """By loops: input i and output j of a weight are told by moving them."""
    layer, shape = LAYERS[name]
    model = mn.Model(mn.Sequential(layer), shape, rng=0, dtype=np.float64)
    sample, p = one_layer_sample(model), model.weight_parameters[0]
    W, size = np.abs(p.value), criteria.wanda(model, sample).reshape(p.shape) / np.abs(p.value)
    expected = np.empty(p.shape)
    for at in np.ndindex(p.shape):
        multiplier = 2 if name == "depthwise" else p.shape[-1]
        first = at[-1] // multiplier * multiplier
        row = W[at[:-1]][first : first + multiplier].sum()
        expected[at] = (W[at] / W[..., at[-1]].sum() + W[at] / row) * size[at] ** power
    np.testing.assert_allclose(criteria.ria(model, sample, power=power), expected.reshape(-1), rtol=1e-9)


def outputs_of(model, X, layer):
    """(n, h, w, c) what the layer gives."""
    a = ActivationCache(model, X, model.values).outputs[model.layers[layer]]
    return a if a.ndim == 4 else a[:, None, None, :]


OF_ONE_UNIT = {  # a (n, h, w) of one unit, and of all units of its layer
    "apoz": lambda a, layer: np.mean([value > 0 for value in a.ravel()]),
    "mean_activation": lambda a, layer: np.abs(a).mean() / np.abs(layer).mean(),
    "activation_variance": lambda a, layer: np.mean((a - a.mean()) ** 2),
    "hrank": lambda a, layer: np.mean([np.linalg.matrix_rank(image) for image in a]),
}
JUDGED_BY = {"conv": {"conv1": ["relu1"], "conv2": ["relu2"], "dense1": ["relu3"]},
             "dense": {"dense1": ["relu1"], "dense2": ["tanh1"]},
             "residual": {"conv1": ["relu1", "relu3"], "conv3": ["relu1", "relu3"], "conv2": ["relu2"]},
             "concat": {"dense1": ["relu1"], "dense2": ["dense2"], "dense3": ["relu2"], "dense4": ["relu3"]}}


@pytest.mark.parametrize("name", OF_ONE_UNIT)
@pytest.mark.parametrize("net", JUDGED_BY)
def test_units_by_their_activations(name, net):
    model, sample = make(net), sample_for(make(net), rows=9)
    sample = mn.Sample(sample.X, sample.y, sample.loss, sample.rng, 4)
    scores = criteria.CRITERIA[name](model, sample)
    for layer, places in JUDGED_BY[net].items():
        found = model.layers[layer].weight.of(scores)
        maps = [outputs_of(model, sample.X, place) for place in places]
        expected = np.mean([[OF_ONE_UNIT[name](a[..., u], a) for u in range(found.shape[-1])] for a in maps], axis=0)
        np.testing.assert_allclose(found.reshape(-1, found.shape[-1])[0], expected, rtol=1e-9)
    assert np.isinf(model.weight_parameters[-1].of(scores)).all()


def test_variance_keeps_its_digits_beside_a_large_mean():
    model = mn.Model(mn.Sequential(mn.Dense(2), mn.ReLU(), mn.Dense(2)), (1,), rng=0, dtype=np.float64)
    model.layers["dense1"].weight.value[...] = [[1.0, 2.0]]
    model.layers["dense1"].bias.value[...] = 1e8
    X = np.arange(8.0)[:, None]
    scores = model.layers["dense1"].weight.of(criteria.activation_variance(model, (X, np.zeros(8, int))))
    np.testing.assert_allclose(scores, np.var(X) * np.array([[1.0, 4.0]]), rtol=1e-6)


# --- what the next layer makes of a unit -----------------------------------------------------------------------------

READERS = {  # who reads the units of a layer, and where they begin among the reader's inputs
    ("conv", "conv1"): {"conv2": 0},
    ("conv", "conv2"): {"dense1": 0},  # over 2 pixels
    ("conv", "dense1"): {"dense2": 0},
    ("residual", "conv1"): {"conv2": 0, "dense1": 0},
    ("residual", "conv2"): {"conv3": 0},
    ("depthwise", "conv1"): {"conv2": 0},  # each twice
    ("concat", "dense1"): {"dense2": 0, "dense3": 0, "dense4": 5},
    ("concat", "dense2"): {"dense4": 0},
    ("concat", "dense3"): {"dense4": 3},
}


def channels_of(net, maker, model, reader):
    """(units, inputs) bool: which inputs of the reader (of one place in the window) carry each unit."""
    units, inputs = model.layers[maker].weight.shape[-1], model.layers[reader].weight.shape[-2]
    if net == "depthwise":
        return np.repeat(np.eye(units, dtype=bool), 2, axis=1)
    if reader == "dense1" and maker == "conv2" and net == "conv":
        return np.tile(np.eye(units, dtype=bool), inputs // units)
    return np.eye(units, inputs, READERS[net, maker][reader], dtype=bool)


def contributions(net, maker, model, X):
    """(outputs, units): what each unit adds to every output of its readers, by passing it alone through them; and
    (units,) the norm of the weights that read it."""
    kept, rows, squares = ActivationCache(model, X, model.values), [], 0
    for name in READERS[net, maker]:
        reader = model.layers[name]
        x, alone, carries = kept.inputs[reader], [], channels_of(net, maker, model, name)
        bias = reader.forward(0 * x, Tape(model)).copy()
        for channels in carries:
            alone.append((reader.forward(np.where(channels, x, 0), Tape(model)) - bias).ravel())
        rows.append(np.stack(alone, axis=1))
        W = reader.weight.value.reshape(-1, *reader.weight.shape[-2:])
        squares = squares + carries @ np.square(W).sum(axis=(0, 2))
    return np.concatenate(rows), np.sqrt(squares)


def case(net, maker, name):
    """(scores of the maker's units, what they add, norms)."""
    model = make(net)
    sample = sample_for(model, rows=70)  # more rows than a pass takes at once
    found = model.layers[maker].weight.of(criteria.CRITERIA[name](model, sample))
    return found.reshape(-1, found.shape[-1])[0], *contributions(net, maker, model, sample.X)


@pytest.mark.parametrize("net, maker", READERS)
def test_thinet_lets_go_what_leaves_the_next_layer_as_it_is(net, maker):
    scores, Z, _ = case(net, maker, "thinet")
    gone, left = [], list(range(Z.shape[1]))
    while left:
        costs = [np.square(Z[:, [*gone, u]].sum(axis=1)).sum() for u in left]
        gone.append(left.pop(int(np.argmin(costs))))
    expected = np.empty(len(gone))
    expected[gone] = np.arange(1, len(gone) + 1) / len(gone)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("net, maker", READERS)
def test_lasso_is_the_penalty_under_which_a_unit_is_in_use(net, maker):
    """scikit-learn's coordinate descent: just below its penalty a unit is in use, from there on it is not."""
    scores, Z, norms = case(net, maker, "lasso")
    y, Z = Z.sum(axis=1), Z / norms
    largest = np.abs(Z.T @ y).max()
    for u, score in enumerate(scores):
        assert (score > 0) == Z[:, u].any()
        for factor, used in ((0.99, True), (1.001, False)) if score else ():
            solver = Lasso(score * largest * factor / len(y), fit_intercept=False, tol=1e-12, max_iter=100_000)
            assert (solver.fit(Z, y).coef_[u] != 0) == used
    assert scores.max() == 1
