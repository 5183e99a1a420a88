"""Whole models that Keras saved: the architecture from its description, and what is refused of it."""
import json
from pathlib import Path

import numpy as np
import pytest

import minnet as mn
from minnet.errors import FileError, InvalidType
from minnet.formats.hdf5 import Entry
from minnet.formats.keras import load_keras
from minnet.formats.keras_file import Saved, narrow
from minnet.formats.keras_graph import model_of

h5py = pytest.importorskip("h5py")
from keras_files import functional, layer, sequential, whole  # noqa: E402 - needs h5py itself

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def loaded(config, arrays=None, loss=None):
    """The Model of a description and {place: [array, ...]}, without a file."""
    entries = [Entry(place, None, str(i), array) for place, found in (arrays or {}).items()
               for i, array in enumerate(found)]
    return model_of(Saved("vars", [], entries, json.loads(json.dumps(config)), loss), Path("net.keras"), "auto")


def dense(units, name="dense", activation="linear"):
    return layer("Dense", name, units=units, activation=activation, use_bias=True)


def chain():
    """An image net with what Keras users put into one, its weights, and what it computes of raw pixels."""
    conv = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "dilation_rate": [1, 1], "use_bias": True}
    net = sequential(
        layer("Rescaling", scale=1 / 127.5, offset=-1),
        layer("ZeroPadding2D", padding=[[1, 0], [0, 1]]),
        layer("Conv2D", "first", filters=4, groups=1, activation="linear", **conv),
        layer("BatchNormalization", axis=-1, momentum=0.99, epsilon=0.01, center=True, scale=False),
        layer("ReLU", max_value=6.0, negative_slope=0.0, threshold=0.0),
        layer("SeparableConv2D", filters=3, depth_multiplier=2, activation="relu", **conv | {"kernel_size": [1, 1]}),
        layer("GlobalAveragePooling2D", keepdims=False),
        sequential(dense(5, "first", {"class_name": "function", "config": "tanh"}), dense(1, "out", "sigmoid"),
                   name="head"), shape=(5, 5, 2))
    w = {"layers/conv2d": [normal(3, 3, 2, 4), normal(4)],
         "layers/batch_normalization": [normal(4), normal(4), np.abs(normal(4))],
         "layers/separable_conv2d": [normal(1, 1, 4, 2), normal(1, 1, 8, 3), normal(3)],
         "layers/sequential/layers/dense": [normal(3, 5), normal(5)],
         "layers/sequential/layers/dense_1": [normal(5, 1), normal(1)]}

    def probability(X):
        kernel, bias = w["layers/conv2d"]
        x = np.pad(X / 127.5 - 1, ((0, 0), (1, 0), (0, 1), (0, 0)))
        x = np.einsum("nijcuv,uvco->nijo", np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2)), kernel) + bias
        beta, mean, variance = w["layers/batch_normalization"]
        x = np.clip((x - mean) / np.sqrt(variance + 0.01) + beta, 0, 6)
        deep, point, bias = w["layers/separable_conv2d"]
        x = np.einsum("nijc,cm->nijcm", x, deep[0, 0]).reshape(*x.shape[:3], 8)
        x = np.maximum(x @ point[0, 0] + bias, 0).mean((1, 2))
        for last, name in ((False, "dense"), (True, "dense_1")):
            kernel, bias = w[f"layers/sequential/layers/{name}"]
            x = x @ kernel + bias
            x = 1 / (1 + np.exp(-x)) if last else np.tanh(x)
        return x[:, 0]
    return net, w, probability


NAMES = {"layers/conv2d": ("first", "first", ("kernel", "bias")),
         "layers/batch_normalization": ("batchnormalization", "batchnormalization",
                                        ("beta", "moving_mean", "moving_variance")),
         "layers/separable_conv2d": ("separableconv2d", "separableconv2d",
                                     ("depthwise_kernel", "pointwise_kernel", "bias")),
         "layers/sequential/layers/dense": ("head", "head/first", ("kernel", "bias")),
         "layers/sequential/layers/dense_1": ("head", "head/out", ("kernel", "bias"))}


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_whole_model(ending, tmp_path):
    """Raw rows in, the probabilities of two classes out; and its weights into a model of the same layers."""
    net, weights, probability = chain()
    path = tmp_path / f"net.{ending}"
    arrays = weights
    if ending == "h5":
        arrays = {}
        for place, (top, folder, names) in NAMES.items():
            arrays.setdefault(top, {}).update(
                {f"{folder}/{name}": array for name, array in zip(names, weights[place], strict=True)})
    whole(path, net, arrays)
    model = load_keras(path)
    X = np.random.default_rng(1).integers(0, 256, (4, 5, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], probability(X), rtol=1e-5, atol=1e-5)
    assert model.input_shape == (5, 5, 2) and model.output_shape == (2,)
    norm = next(found for found in model.layers.values() if isinstance(found, mn.BatchNorm))
    assert (norm.epsilon, norm.momentum) == (0.01, 0.01)


def test_a_graph():
    """Branches that meet again are a Residual and a Concat; a layer that is used twice is two, and told."""
    net = functional((4,), (dense(4, "a", "relu"), ["x"]), (layer("Add", "sum"), ["a", "x"]),
                     (dense(3, "b"), ["sum"]), (dense(2, "c"), ["sum"]), (layer("Concatenate", "side", axis=-1),
                                                                        ["b", "c"]), (dense(2, "d"), ["side"]))
    w = {"layers/dense": [normal(4, 4), normal(4)], "layers/dense_1": [normal(4, 3), normal(3)],
         "layers/dense_2": [normal(4, 2), normal(2)], "layers/dense_3": [normal(5, 2), normal(2)]}
    (a, p), (b, q), (c, r), (d, s) = w.values()
    X = normal(6, 4)
    x = np.maximum(X @ a + p, 0) + X
    np.testing.assert_allclose(loaded(net, w)(X), np.hstack([x @ b + q, x @ c + r]) @ d + s, rtol=1e-5, atol=1e-5)
    twice = functional((4,), (dense(4, "a", "relu"), ["x"]), (dense(2, "b"), ["a"]))
    calls = twice["config"]["layers"][1]["inbound_nodes"]
    calls.append({"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["a", 0, 0]}}], "kwargs": {}})
    twice["config"]["layers"][2]["inbound_nodes"] = [[["a", 1, 0, {}]]]  # as Keras 2 writes it
    with pytest.warns(UserWarning, match="a: used twice"):
        model = loaded(twice, {"layers/dense": [a, p], "layers/dense_1": [normal(4, 2), normal(2)]})
    assert len(model.weight_parameters) == 3


def test_a_sequence():
    """An image of height 1 here: it takes rows as Keras does."""
    window = {"strides": [1], "dilation_rate": [1], "groups": 1}
    net = sequential(layer("Conv1D", filters=3, kernel_size=[2], padding="causal", activation="relu", use_bias=True,
                           **window), layer("LayerNormalization", axis=[-1], epsilon=0.1, center=False, scale=True),
                     layer("GlobalAveragePooling1D", keepdims=False), dense(2), shape=(5, 2))
    w = {"layers/conv1d": [normal(2, 2, 3), normal(3)], "layers/layer_normalization": [normal(3)],
         "layers/dense": [normal(3, 2), normal(2)]}
    X, (kernel, bias) = normal(4, 5, 2), w["layers/conv1d"]
    x = np.pad(X, ((0, 0), (1, 0), (0, 0)))
    x = np.maximum(x[:, :-1] @ kernel[0] + x[:, 1:] @ kernel[1] + bias, 0)
    x = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + 0.1) * w["layers/layer_normalization"][0]
    kernel, bias = w["layers/dense"]
    model = loaded(net, w)
    np.testing.assert_allclose(model(X.reshape(4, 1, 5, 2)), x.mean(1) @ kernel + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model(X), model(X.reshape(4, 1, 5, 2)))


def test_adaptive_pools():
    """Means are taken over windows that may differ in size; maxima only where all are alike."""
    X = normal(2, 5, 7, 3)
    pools = (layer("AdaptiveAveragePooling2D", output_size=[3, 4]), layer("AdaptiveMaxPooling2D", output_size=[2, 2]))
    w = {"layers/dense": [normal(12, 2), normal(2)]}
    model = loaded(sequential(*pools, layer("Flatten"), dense(2), shape=(5, 7, 3)), w)
    means = np.stack([np.stack([X[:, a:b, c:d].mean((1, 2)) for c, d in ((0, 2), (1, 4), (3, 6), (5, 7))], 1)
                      for a, b in ((0, 2), (1, 4), (3, 5))], 1)
    largest = np.stack([means[:, a : a + 2, b : b + 2].max((1, 2)) for a in (0, 1) for b in (0, 2)], 1)
    kernel, bias = w["layers/dense"]
    np.testing.assert_allclose(model(X), largest.reshape(2, -1) @ kernel + bias, rtol=1e-5, atol=1e-6)
    with pytest.raises(FileError, match="choose an output_size that divides the image"):
        loaded(sequential(layer("AdaptiveMaxPooling2D", output_size=[3, 4]), shape=(5, 7, 3)))


def test_layers_of_one_name_in_two_models():
    """In a .h5 file the models that hold them tell them apart, and where these are missing it is refused."""
    inner = [sequential(dense(2, "d"), name=name) for name in "ab"]
    net = sequential(sequential(*inner, name="big"), shape=(2,))
    w = {name: normal(2, 2) for name in "ab"}

    def of(folders):
        entries = [Entry("big", "big", f"{folders[name]}/{kind}", array) for name in "ab"
                   for kind, array in (("kernel", w[name]), ("bias", np.zeros(2, np.float32)))]
        return model_of(Saved("names", [], entries, net), Path("net.h5"), "auto")

    X = normal(3, 2)
    np.testing.assert_allclose(of({"a": "net/big/a/d", "b": "net/big/b/d"})(X), X @ w["a"] @ w["b"], rtol=1e-5)
    with pytest.raises(FileError, match="may have the weights of 1/d, 2/d: save it as .keras"):
        of({"a": "1/d", "b": "2/d"})


def test_a_gate():
    """Squeeze and excitation, with the hard sigmoid that Keras's MobileNetV3 writes as three functions."""
    numbers = {"use_bias": True, "kernel_size": [1, 1], "strides": [1, 1], "padding": "valid", "dilation_rate": [1, 1]}
    plus, relu6, by = (layer(kind, kind) | {"module": f"keras.src.ops.{module}"}
                       for kind, module in (("Add", "numpy"), ("Relu6", "nn"), ("Multiply", "numpy")))
    net = functional((3, 3, 2), (layer("GlobalAveragePooling2D", "squeeze", keepdims=True), ["x"]),
                     (layer("Conv2D", "c", filters=2, groups=1, activation="linear", **numbers), ["squeeze"]),
                     (plus, ["c"]), (relu6, ["Add"]), (by, ["Relu6"]), (layer("Multiply", "excite"), ["x", "Multiply"]),
                     (layer("GlobalMaxPooling2D", "pool", keepdims=False), ["excite"]), (dense(3), ["pool"]))
    for one, number in zip(net["config"]["layers"][3:6:2], (3.0, 1 / 6), strict=True):
        one["inbound_nodes"][0]["args"].append(number)
    w = {"layers/conv2d": [normal(1, 1, 2, 2), normal(2)], "layers/dense": [normal(2, 3), normal(3)]}
    X, (kernel, bias) = normal(4, 3, 3, 2), w["layers/conv2d"]
    gate = np.clip(X.mean((1, 2)) @ kernel[0, 0] + bias + 3, 0, 6) / 6
    kernel, bias = w["layers/dense"]
    model = loaded(net, w)
    wanted = (X * gate[:, None, None]).max((1, 2)) @ kernel + bias
    np.testing.assert_allclose(model(X), wanted, rtol=1e-4, atol=1e-5)
    assert "HardSigmoid" in {type(one).__name__ for one in model.tree.leaves()}


ENDS = {  # activation of the last layer, its units, the loss -> units here, the task
    "softmax": ("softmax", 3, None, 3, None), "labels": ("sigmoid", 3, None, 3, "multilabel"),
    "one probability": ("sigmoid", 1, None, 2, None), "one logit": ("linear", 1, "binary_crossentropy", 2, None),
    "a number": ("linear", 1, {"class_name": "MeanSquaredError", "config": {}}, 1, "numbers"),
    "numbers": ("linear", 2, "mse", 2, "numbers"), "unknown": ("linear", 2, None, 2, None)}


@pytest.mark.parametrize("name", ENDS)
def test_ends(name):
    activation, units, loss, there, task = ENDS[name]
    weight = np.ones((3, units), np.float32)
    model = loaded(sequential(dense(units, activation=activation), shape=(3,)), {"layers/dense": [weight, weight[0]]},
                   loss)
    assert model.output_shape == (there,) and (model.signature and model.signature.task) == task
    if there > units:
        np.testing.assert_allclose(model(np.ones((1, 3))), [[-2, 2]])


def test_normalization_of_a_table():
    """Its mean and variance are in the file, or in the description; it becomes the scaling."""
    mean, variance = normal(3), np.abs(normal(3)) + 1
    w = {"layers/normalization": [mean, variance], "layers/dense": [normal(3, 2), normal(2)]}
    X = normal(5, 3)
    wanted = (X - mean) / np.sqrt(variance) @ w["layers/dense"][0] + w["layers/dense"][1]
    for about in ({"mean": None}, {"mean": mean.tolist(), "variance": variance.tolist()}):
        model = loaded(sequential(layer("Normalization", axis=[-1], invert=False, **about), dense(2), shape=(3,)), w)
        np.testing.assert_allclose(model(X), wanted, rtol=1e-5, atol=1e-5)
        assert len(model.layers) == 1 and model.signature.scaling is not None


ONE = {"layers/dense": [np.ones((3, 2), np.float32), np.ones(2, np.float32)]}
FUNCTION = {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}
REFUSED = {
    "code": (sequential(layer("Lambda", "twice", function=FUNCTION), dense(2), shape=(3,)), "Lambda, which is code"),
    "a class of its own": (sequential(layer("Dense", "mine") | {"registered_name": "lab>Dense", "module": "lab"},
                                      shape=(3,)), "lab>Dense, which is none of Keras's own"),
    "a model of its own": (sequential(shape=(3,)) | {"class_name": "Net"}, "the class Net, whose code is not"),
    "all at once": (sequential(layer("GRU", "g", units=3), layer("Embedding", "e"), shape=(3,)), "GRU.*Embedding"),
    "no ONNX either": (sequential(layer("Conv2DTranspose", "up", filters=3), shape=(3, 3, 1)),
                       r"no Conv2DTranspose \(up\), minnet has no layer that enlarges images: end the net before it$"),
    "channels first": (sequential(layer("Flatten", data_format="channels_first"), shape=(3, 2, 2)), "channels first"),
    "an activation": (sequential(dense(2, activation="lab>wave"), shape=(3,)), "activation 'lab>wave'"),
    "quantised": (sequential(layer("Dense", "d", dtype={"class_name": "QuantizedDTypePolicy", "config": {
        "mode": "int8", "source_name": "float32"}}), shape=(3,)), "d is quantised to int8.*quantize()"),
    "other weights": (sequential(dense(3), shape=(3,)), r"a weight of shape \(3, 2\); its description says \(3, 3\)"),
    "no weights": (sequential(dense(2, "a"), dense(2, "b"), shape=(3,)), "in the file none"),
    "no shape": (sequential(dense(2)), "its input has the shape None"),
    "any width": (sequential(dense(2), shape=(None,)), r"the shape \[None, None\]"),
    "no units": (sequential(layer("Dense", units="2"), shape=(3,)), "units='2'; wanted a whole number"),
    "padding alone": (sequential(layer("ZeroPadding2D", padding=1), layer("Flatten"), shape=(3, 3, 1)),
                      "only a convolution"),
    "no model": ([], "no model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    config, words = REFUSED[name]
    with pytest.raises(FileError, match=words) as caught:
        loaded(config, ONE)
    assert "net.keras" in str(caught.value) and str(caught.value).isprintable()


def test_bfloat16(tmp_path):
    """Keras stores it as two bytes of no type, and says what they are in an attribute."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for i, array in enumerate(ONE["layers/dense"]):
            halves = (array.view(np.uint32) >> 16).astype(np.uint16).view("V2")
            file.create_dataset(f"layers/dense/vars/{i}", data=halves).attrs["dtype"] = "bfloat16"
    model = mn.Model(mn.Sequential(mn.Dense(2)), (3,), rng=0)
    with pytest.warns(UserWarning, match="the file is of bfloat16: numbers and arithmetic are float32 here"):
        assert load_keras(model, tmp_path / "w.h5") == [] and (model.values == 1).all()


def test_arithmetic_of_sixteen_bits():
    """Layers that compute with less than they store say so in their dtype policies."""
    half = dense(2)
    half["config"]["dtype"] = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    saved = Saved("vars", [], [], sequential(half, shape=(3,)))
    assert narrow(saved) == {"float16"} and narrow(Saved("vars", [], [], sequential(dense(2), shape=(3,)))) == set()


def test_arguments():
    model = mn.Model(mn.Sequential(mn.Dense(2)), (3,), rng=0)
    with pytest.raises(InvalidType, match="no path"):
        load_keras(model)
    with pytest.raises(InvalidType, match="wanted a Model"):
        load_keras("net.keras", "net.keras")
