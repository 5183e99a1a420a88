"""Models: the standard ones, names, masks, copies, and how weights begin."""
import json

import numpy as np
import pytest
from hypothesis import given, settings
from nets import NETS, bits, is_plus_zero, problem
from trees import masked_models, random_input, trees

import minnet as mn
from minnet.engine.initialisers import INITIALISERS, fans
from minnet.engine.layer import layer_from_config
from minnet.engine.layers import LAYERS
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, InvalidValue, UnknownName
from minnet.fast.choose import predict_shards
from minnet.fast.predict import predict_rows
from minnet.fast.rewrite import rewrite
from minnet.models import MODELS

MNIST, DIGITS = (28, 28, 1), (8, 8, 1)
VGG_BLOCKS = [[(1, 64), (64, 64)], [(64, 128), (128, 128)], [(128, 256), (256, 256), (256, 256)],
              [(256, 512), (512, 512), (512, 512)], [(512, 512)] * 3]  # (in, out) of each 3 x 3 convolution
VGG_PAIRS = sum(i * o for block in VGG_BLOCKS for i, o in block)
VGG_PAIRS_AND_PIXELS = sum((32 // 2**b) ** 2 * i * o for b, block in enumerate(VGG_BLOCKS) for i, o in block)
SHAPES = {"vgg16": (32, 32, 1)}  # of the models that MNIST is too small for
SIZES = {  # on MNIST, 10 classes: weights, multiply-adds, smallest image (from the papers, or by hand)
    "mlp": (784 * 100 + 100 * 10, 79_400, None),
    "lenet_300_100": (266_200, 266_200, None),
    "small_conv": (9 * 16 + 9 * 16 * 32 + 7 * 7 * 32 * 64 + 640, 784 * 144 + 196 * 4608 + 100_352 + 640, 4),
    "lenet_5": (430_500, 576 * 500 + 64 * 25_000 + 400_000 + 5_000, 16),
    "resnet_8": (144 + 2 * 2304 + (4608 + 9216 + 512) + (18_432 + 36_864 + 2048) + 640,
                 784 * (144 + 4608) + 196 * (4608 + 9216 + 512) + 49 * (18_432 + 36_864 + 2048) + 640, 4),
    "conv_2": (576 + 36_864 + 196 * 64 * 256 + 256 * 256 + 2560,
               784 * (576 + 36_864) + 196 * 64 * 256 + 256 * 256 + 2560, 2),
    "conv_4": (576 + 36_864 + 73_728 + 147_456 + 49 * 128 * 256 + 256 * 256 + 2560,
               784 * (576 + 36_864) + 196 * (73_728 + 147_456) + 49 * 128 * 256 + 256 * 256 + 2560, 4),
    "conv_6": (576 + 36_864 + 73_728 + 147_456 + 294_912 + 589_824 + 9 * 256 * 256 + 256 * 256 + 2560,
               784 * (576 + 36_864) + 196 * (73_728 + 147_456) + 49 * (294_912 + 589_824) + 9 * 256 * 256
               + 256 * 256 + 2560, 8),
    "separable_conv": (144 + 144 + 16 * 32 + 288 + 32 * 64 + 576 + 64 * 64 + 640,
                       784 * (144 + 144 + 16 * 32) + 196 * (288 + 32 * 64 + 576 + 64 * 64) + 640, 4),
    "vgg16": (9 * VGG_PAIRS + 5120, 9 * VGG_PAIRS_AND_PIXELS + 5120, 32),
}


@pytest.mark.parametrize("name", MODELS)
def test_standard_models(name):
    """Weights and multiply-adds as published; they run on MNIST and, where it is large enough, on digits."""
    weights, macs, smallest = SIZES[name]
    shape = SHAPES.get(name, MNIST)
    model = MODELS[name](shape, 10, rng=0)
    assert (model.n_weights, model.macs, model.output_shape) == (weights, macs, (10,))
    assert model(np.zeros((2, *shape), np.float32)).shape == (2, 10)
    wide = MODELS[name](shape, 10, rng=0, dtype=np.float64)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide.values, model.values, rtol=1e-6, atol=1e-30)
    if smallest is None:
        assert MODELS[name]((5,), 3, rng=0).output_shape == (3,)
        return
    MODELS[name]((smallest, smallest, 3), 4)
    with pytest.raises(InvalidValue, match=f"at least {smallest} x {smallest}, got {smallest - 1} x 9"):
        MODELS[name]((smallest - 1, 9, 1), 10)
    with pytest.raises(InvalidValue, match=r"images .*, got the shape \(784,\)"):
        MODELS[name]((784,), 10)


def test_standard_models_are_reached_by_name():
    assert mn.models.lenet_5 is MODELS["lenet_5"]
    assert "lenet_300_100" in dir(mn.models)


# --- copies ----------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(masked_models())
def test_copies_are_bit_exact(model):
    """clone, and the tree's config through JSON; -0.0, denormals and NaN keep their bits, and nothing is shared."""
    odd = np.array([-0.0, 5e-324, np.nan, np.inf])[: len(model.values)]
    model.values[: len(odd)] = odd
    copy = model.clone()
    config = json.loads(json.dumps(model.config()))
    rebuilt = mn.Model.blank(layer_from_config(config["tree"], LAYERS), config["input_shape"], config["dtype"])
    rebuilt.values[:] = model.values
    for other in (copy, rebuilt):
        assert list(other.parameters) == list(model.parameters) and repr(other) == repr(model)
        assert bits(other.values) == bits(model.values)
        assert not np.shares_memory(other.values, model.values) and not np.shares_memory(other.mask, model.mask)
    assert bits(copy.mask) == bits(model.mask)
    x = random_input(model)
    with np.errstate(all="ignore"):  # a call would refuse the NaN
        first, *others = (bits(net.forward(x, Tape(net))) for net in (model, copy, rebuilt))
    assert others == [first, first]


@settings(max_examples=30)
@given(trees())
def test_repr_rebuilds_the_tree(drawn):
    tree, shape = drawn
    names = {**LAYERS, "Model": mn.Model, "np": np}
    model = mn.Model(tree, shape, rng=0)
    assert repr(eval(repr(tree), names)) == repr(tree)
    assert eval(repr(model), names).tree.config() == model.tree.config()


def test_the_tree_given_is_copied():
    """One tree may serve two models: the layers of the second are its own, and the tree gets no name."""
    tree = mn.Sequential(mn.Dense(3), mn.ReLU(), mn.Dense(2))
    first, second = (mn.Model(tree, (4,), rng=seed) for seed in (0, 1))
    before = bits(first.values)
    second.values[:] = 7
    assert bits(first.values) == before and tree.layers[0].name is None
    assert first.layers["dense1"] is not second.layers["dense1"]


def test_predictions_do_not_depend_on_how_rows_are_batched(monkeypatch):
    model, (X, _) = problem("images", n=50, dtype=np.float64)
    whole = model(X)
    monkeypatch.setattr("minnet.engine.model.PREDICT_ROWS", 7)
    np.testing.assert_allclose(model(X), whole, rtol=1e-12, atol=1e-12)
    assert model(X[:0]).shape == (0, 3)
    one_by_one = [model(X[i : i + 1])[0] for i in range(9)]
    np.testing.assert_allclose(one_by_one, whole[:9], rtol=1e-12, atol=1e-12)


def test_threads_that_share_a_prediction_give_the_same_bits_each_time(monkeypatch):
    model, (X, _) = problem("images", n=50, dtype=np.float64)
    whole = model(X)
    monkeypatch.setenv("MINNET_NUM_THREADS", "3")
    large = mn.models.vgg16((32, 32, 3), 10, rng=0)
    assert [predict_shards(large, n) for n in (50, 2, 0)] == [3, 2, 1] and predict_shards(model, 50) == 1
    shared = [predict_rows(model, rewrite(model.tree), X, shards=3) for _ in range(5)]
    assert len({bits(logits) for logits in shared}) == 1
    np.testing.assert_allclose(shared[0], whole, rtol=1e-12, atol=1e-12)
    assert predict_rows(model, model.tree, X[:0], shards=3).shape == (0, 3)


# --- names and shapes ------------------------------------------------------------------------------------------------


def test_names_are_kinds_and_numbers():
    tree = mn.Sequential(mn.Dense(3), mn.Dense(4, name="dense3"), mn.BatchNorm(), mn.Dense(2), mn.Dense(2))
    model = mn.Model(tree, (5,), rng=0)
    assert list(model.layers) == ["dense1", "dense3", "batchnorm1", "dense2", "dense4"]
    assert list(model.parameters)[:4] == [f"dense{i}.weight" for i in (1, 3, 2, 4)]
    assert model.parameters["dense3.weight"].layer == "dense3"
    p = model.parameters["dense2.bias"]
    assert p.value.base is not None and np.shares_memory(p.value, model.values)
    p.value[...] = 3
    assert (model.values[p.slice] == 3).all() and (p.of(model.values) == 3).all()


def test_the_three_zones():
    model, _ = problem("noisy")
    kinds = [p.kind for p in model.parameters.values() for _ in range(p.value.size)]
    assert set(kinds[: model.n_weights]) == {"weight"}
    assert set(kinds[model.n_weights : model.n_trainable]) == {"bias", "gain", "shift"}
    assert set(kinds[model.n_trainable :]) == {"mean", "variance"}
    assert len(kinds) == len(model.values) == len(model.mask)


BAD_TREES = {
    "two of a name": (mn.Sequential(mn.Dense(2, name="a"), mn.Dense(2, name="a")), (3,), InvalidValue, "'a'"),
    "an odd name": (mn.Sequential(mn.Dense(2, name="a/../b")), (3,), InvalidValue, "letters, digits"),
    "Dense on images": (mn.Sequential(mn.Dense(2)), (3, 3, 1), InvalidValue, "Flatten"),
    "Conv2d on rows": (mn.Sequential(mn.Conv2d(2, 3)), (9,), InvalidValue, "images"),
    "a window too large": (mn.Sequential(mn.MaxPool2d(4)), (3, 5, 1), InvalidValue, "smallest it takes is 4"),
    "no units": (mn.Sequential(mn.Dense(0)), (3,), InvalidValue, "units"),
    "half a unit": (mn.Sequential(mn.Dense(1.5)), (3,), InvalidType, "units"),
    "stride 0": (mn.Sequential(mn.Conv2d(2, 3, 0)), (5, 5, 1), InvalidValue, "stride"),
    "unknown padding": (mn.Sequential(mn.Conv2d(2, 3, padding="full")), (5, 5, 1), InvalidValue, "padding"),
    "padding as wide as the window": (mn.Sequential(mn.MaxPool2d(2, padding=2)), (5, 5, 1), InvalidValue, "padding"),
    "unknown start": (mn.Sequential(mn.Dense(2, initialiser="hee")), (3,), UnknownName, "did you mean he"),
    "sides that differ": (mn.Sequential(mn.Residual(mn.Dense(2))), (3,), InvalidValue, "shortcut"),
    "branches unlike": (mn.Sequential(mn.Concat(mn.Conv2d(1, 2), mn.Conv2d(1, 3))), (5, 5, 1), InvalidValue, "axis"),
    "no branches": (mn.Sequential(mn.Concat()), (3,), InvalidValue, "no branches"),
    "rate 1": (mn.Sequential(mn.Dropout(1)), (3,), InvalidValue, "rate"),
    "shape 0": (mn.Sequential(mn.Dense(2)), (0,), InvalidValue, "input_shape"),
}


@pytest.mark.parametrize("case", BAD_TREES)
def test_bad_trees_get_one_line(case):
    tree, shape, error, message = BAD_TREES[case]
    with pytest.raises(error, match=message) as caught:
        mn.Model(tree, shape, rng=0)
    assert isinstance(caught.value, mn.MinnetError) and "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [
    {}, {"type": "Lambda"}, {"type": "Dense", "unit": 3}, {"type": ["Dense"]}, "Dense", None,
])
def test_bad_configs_get_one_line(config):
    with pytest.raises(mn.MinnetError) as caught:
        layer_from_config(config, LAYERS)
    assert "\n" not in str(caught.value)


# --- masks -----------------------------------------------------------------------------------------------------------


def test_set_mask():
    """What is cut is +0.0, what is freed stays 0, the vector itself stays the same object."""
    model, _ = problem("noisy")
    values, mask, cut = model.values, model.mask, np.ones(len(model.mask), bool)
    cut[: model.n_weights : 2] = False
    model.values[0] = -0.0
    model.set_mask(cut)
    assert model.values is values and model.mask is mask
    assert is_plus_zero(model.values[~cut]) and model.values[cut].any()
    assert model.sparsity == pytest.approx(1 - cut[: model.n_weights].mean(), abs=1e-15)
    assert model.n_parameters == cut[: model.n_trainable].sum()
    model.set_mask(np.ones_like(cut))
    assert is_plus_zero(model.values[~cut]) and model.sparsity == 0


@pytest.mark.parametrize("make", [
    lambda mask: mask[:-1], lambda mask: mask.astype(float), lambda mask: mask.astype(int), lambda mask: mask[None],
    lambda mask: np.zeros_like(mask), lambda mask: None, lambda mask: "mask",
])
def test_bad_masks_change_nothing(make):
    """Wrong lengths, numbers, and a mask that cuts running statistics."""
    model, _ = problem("noisy")
    before = bits(model.values, model.mask)
    with pytest.raises(InvalidValue, match="mask"):
        model.set_mask(make(model.mask.copy()))
    assert bits(model.values, model.mask) == before


@settings(max_examples=30)
@given(masked_models())
def test_summary_counts_what_the_mask_counts(model):
    rows = model.summary().rows
    assert sum(row.weights for row in rows) == model.n_weights
    assert sum(row.remaining for row in rows) == model.mask[: model.n_weights].sum()
    assert sum(row.macs for row in rows) == model.macs
    text = str(model.summary())
    assert text.count("\n") == len(rows) + 3 and all(row.name in text for row in rows)


# --- how weights begin -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["he", "lecun", "glorot"])
def test_initialisers_have_their_variance(name):
    shape = (3, 3, 40, 60)
    fan_in, fan_out = fans(shape)
    assert (fan_in, fan_out) == (360, 540)
    wanted = {"he": 2 / fan_in, "lecun": 1 / fan_in, "glorot": 2 / (fan_in + fan_out)}[name]
    weights = INITIALISERS[name](np.random.default_rng(0), shape)
    assert weights.var() == pytest.approx(wanted, rel=0.02)
    assert abs(weights.mean()) < 4 * np.sqrt(wanted / weights.size)
    if name == "glorot":
        assert np.abs(weights).max() < np.sqrt(6 / (fan_in + fan_out))


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 2, 4, 6), (2, 2, 1, 9)])
def test_orthogonal(shape):
    """Orthonormal columns of the weight as a matrix, or rows where there are more of these; no sign is fixed."""
    draws = [INITIALISERS["orthogonal"](np.random.default_rng(seed), shape) for seed in range(40)]
    for weight in draws:
        matrix = weight.reshape(-1, shape[-1])
        short = matrix if len(matrix) <= shape[-1] else matrix.T
        np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=1e-12)
    assert (np.min(draws, axis=0) < 0).all() and (np.max(draws, axis=0) > 0).all()


def test_each_parameter_has_a_stream_of_its_own():
    """The same seed gives the same bits; another width of one layer leaves the other layers' first numbers alone."""
    def weights(middle, seed=0):
        tree = mn.Sequential(mn.Dense(6), mn.Dense(middle, use_bias=True), mn.Dense(5, name="last"))
        return mn.Model(tree, (4,), rng=seed).parameters

    assert bits(weights(3)["last.weight"].value) == bits(weights(3)["last.weight"].value)
    assert bits(weights(3)["dense1.weight"].value) == bits(weights(8)["dense1.weight"].value)
    scale = np.sqrt(8 / 3)  # He: the spread follows the inputs
    np.testing.assert_allclose(weights(3)["last.weight"].value, weights(8)["last.weight"].value[:3] * scale, rtol=1e-6)
    assert bits(weights(3, 1)["dense1.weight"].value) != bits(weights(3)["dense1.weight"].value)


def test_models_of_no_seed_differ():
    tree, shape = NETS["chain"][1], NETS["chain"][0]
    assert bits(mn.Model(tree, shape).values) != bits(mn.Model(tree, shape).values)


@pytest.mark.parametrize("rng", ["0", -1, 1.5, True])
def test_bad_seeds(rng):
    with pytest.raises(mn.MinnetError, match="rng"):
        mn.Model(NETS["chain"][1], NETS["chain"][0], rng=rng)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, complex, "text", None])
def test_bad_dtypes(dtype):
    with pytest.raises(InvalidType, match="dtype=.* float32 or float64"):
        mn.Model(NETS["chain"][1], NETS["chain"][0], dtype=dtype)


def test_another_library_s_order_of_arguments_is_told():
    """(in, out, kernel), where it does not fit: the error says what the order is here."""
    with pytest.raises(InvalidValue, match=r"window of 20.*\(filters, kernel, stride, padding\)"):
        mn.Model(mn.Conv2d(1, 20, 5), (14, 14, 1))
