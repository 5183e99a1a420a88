"""Keras's weights: the three layouts, by name and in order, and every refusal leaves the model as it was."""
import json
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest

import minnet as mn
from minnet.errors import FileError
from minnet.formats.keras import load_keras, read_keras

h5py = pytest.importorskip("h5py")
from keras_files import archive, old, variables  # noqa: E402 - needs h5py itself

LAYOUTS = {
    "old": old,
    "whole model": lambda path, weights: old(path, weights, inside="model_weights"),
    "keras 1": lambda path, weights: old(path, plain(weights), folder="", ending=":0"),
    "many names": lambda path, weights: old(path, weights, parts=3),
    "no ending": lambda path, weights: old(path, weights, folder="net/{layer}/", ending=""),
    "vars": variables,
    "vars, named": lambda path, weights: variables(path, weights, named=True),
    "older vars": lambda path, weights: variables(path, weights, inside="_layer_checkpoint_dependencies"),
    "archive": archive,
    "archive, named": lambda path, weights: archive(path, weights, named=True),
}
KEEPS_NAMES = ("old", "whole model", "keras 1", "many names", "no ending", "vars, named", "archive, named")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def plain(weights):
    """Names of weights as Keras 1 gave them, which say nothing: block1_conv1_W_1."""
    return {layer: {f"{layer}_{i}": array for i, array in enumerate(arrays.values())}
            for layer, arrays in weights.items()}


def tree(**names):
    """A chain of every layer that has weights in Keras; the names are the caller's."""
    get = names.get
    return mn.Sequential(mn.Conv2d(4, 3, name=get("a")), mn.BatchNorm(epsilon=1e-3, name=get("b")), mn.ReLU(),
                         mn.DepthwiseConv2d(2, multiplier=3, name=get("c")),
                         mn.Conv2d(2, (1, 2), use_bias=False, name=get("d")), mn.Flatten(), mn.Dense(5, name=get("e")),
                         mn.Dropout(), mn.Dense(3, name=get("f")))


NAMES = {"a": "first", "b": "norm", "c": "deep", "d": "second", "e": "head", "f": "out"}


def weights_of(rng):
    """What Keras has for that chain on (6, 5, 2), under the names above."""
    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    return {"first": {"kernel": normal(3, 3, 2, 4), "bias": normal(4)},
            "norm": {name: np.abs(normal(4)) for name in NORM},
            "deep": {"depthwise_kernel": normal(2, 2, 4, 3), "bias": normal(12)},
            "second": {"kernel": normal(1, 2, 12, 2)},
            "head": {"kernel": normal(6, 5), "bias": normal(5)},
            "out": {"kernel": normal(5, 3), "bias": normal(3)}}


def expected(model, weights):
    """Every parameter, from the weights, by hand."""
    deep = weights["deep"]["depthwise_kernel"]
    turned = np.empty((2, 2, 1, 12), np.float32)
    for c in range(4):
        for j in range(3):
            turned[:, :, 0, 3 * c + j] = deep[:, :, c, j]
    kinds = dict(zip(("gain", "shift", "mean", "variance"), NORM, strict=True)) | {"weight": "kernel", "bias": "bias"}
    layers = [layer for layer in model.layers.values() if layer.parameters]
    found = {p.name: weights[theirs][kinds[p.kind]] if (theirs, p.kind) != ("deep", "weight") else turned
             for layer, theirs in zip(layers, NAMES.values(), strict=True) for p in layer.parameters}
    return found


@pytest.fixture
def weights():
    return weights_of(np.random.default_rng(0))


def model_with(names, dtype=np.float32):
    return mn.Model(tree(**names), (6, 5, 2), rng=0, dtype=dtype)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_number_finds_its_place(layout, named, weights, tmp_path):
    """By name where the file keeps names; else in order."""
    if named and layout not in KEEPS_NAMES:
        named = False
    path = tmp_path / "weights"
    LAYOUTS[layout](path, weights)
    model = model_with(NAMES if named else {})
    assert load_keras(model, path) == []
    wanted = expected(model, weights)
    assert set(wanted) == set(model.parameters)
    for name, array in wanted.items():
        np.testing.assert_array_equal(model.parameters[name].value, array, err_msg=name)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading(layout, weights, tmp_path):
    """All arrays come back, by layer; the old layout keeps the order of the layers."""
    path = tmp_path / "weights"
    LAYOUTS[layout](path, weights)
    found = read_keras(path)
    arrays = sorted(array.tobytes() for layer in weights.values() for array in layer.values())
    assert sorted(array.tobytes() for layer in found.values() for array in layer.values()) == arrays
    if layout in KEEPS_NAMES:
        assert set(found) == set(weights)
    if layout == "old":
        assert [(layer, list(arrays)) for layer, arrays in found.items()] == \
            [(layer, list(arrays)) for layer, arrays in weights.items()]


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8"])
def test_widths_and_byte_orders(dtype, weights, tmp_path):
    """Halves become float32; doubles stay, and fit a model of either width."""
    weights = {layer: {name: array.astype(dtype) for name, array in arrays.items()}
               for layer, arrays in weights.items()}
    old(tmp_path / "w.h5", weights)
    kernel = read_keras(tmp_path / "w.h5")["first"]["kernel"]
    assert kernel.dtype == np.dtype(np.float64 if dtype.endswith("8") else np.float32)
    np.testing.assert_array_equal(kernel, weights["first"]["kernel"])
    model = model_with(NAMES, np.float64)
    with pytest.warns(UserWarning, match="float16") if dtype == "<f2" else nullcontext():
        load_keras(model, tmp_path / "w.h5")
    np.testing.assert_array_equal(model.parameters["first.weight"].value, weights["first"]["kernel"])


def test_compressed(weights, tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"first"]
        group = file.create_group("first")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", data=weights["first"]["kernel"], compression="gzip", shuffle=True, chunks=True)
    np.testing.assert_array_equal(read_keras(tmp_path / "w.h5")["first"]["kernel"], weights["first"]["kernel"])


def test_the_mask_stays(weights, tmp_path):
    """Loaded into a pruned model, what was cut stays cut."""
    old(tmp_path / "w.h5", weights)
    model = model_with(NAMES)
    mn.prune(model, 0.5)
    mask = model.mask.copy()
    load_keras(model, tmp_path / "w.h5")
    np.testing.assert_array_equal(model.mask, mask)
    wanted = expected(model, weights)["out.weight"]
    p = model.parameters["out.weight"]
    np.testing.assert_array_equal(p.value, np.where(p.mask, wanted, 0))


def test_batchnorm_without_gamma_or_beta(weights, tmp_path):
    """Keras can leave them out: they are 1 and 0."""
    for name in ("gamma", "beta"):
        del weights["norm"][name]
    old(tmp_path / "w.h5", weights)
    model = model_with(NAMES)
    model.values[:] = 5
    load_keras(model, tmp_path / "w.h5")
    assert (model.parameters["norm.gain"].value == 1).all() and (model.parameters["norm.shift"].value == 0).all()
    np.testing.assert_array_equal(model.parameters["norm.mean"].value, weights["norm"]["moving_mean"])


def test_numbers_in_names_count_as_numbers(tmp_path):
    """conv2d_10 comes after conv2d_2, though HDF5 lists it before."""
    chain = mn.Model(mn.Sequential(*[mn.Conv2d(1, 1) for _ in range(12)]), (2, 2, 1), rng=0)
    variables(tmp_path / "w.h5", {f"l{i}": {"kernel": np.full((1, 1, 1, 1), i + 1.0), "bias": np.zeros(1)}
                                  for i in range(12)})
    load_keras(chain, tmp_path / "w.h5")
    assert [p.value.item() for p in chain.weight_parameters] == list(range(1, 13))


def test_models_inside_models(tmp_path):
    """A layer of the old layout that is a model brings all its weights; each goes by the name of its own layer."""
    rng = np.random.default_rng(0)
    arrays = {f"{layer}/{name}": rng.normal(size=shape) for layer in ("one", "two")
              for name, shape in (("kernel", (3, 3)), ("bias", (3,)))}
    old(tmp_path / "w.h5", {"inner": arrays, "last": {"kernel": np.ones((3, 2)), "bias": np.ones(2)}}, folder="net/")
    model = mn.Model(mn.Sequential(mn.Dense(3, name="two"), mn.Dense(3, name="one"), mn.Dense(2, name="last")), (3,),
                     rng=0)
    assert load_keras(model, tmp_path / "w.h5") == []
    np.testing.assert_array_equal(model.parameters["one.weight"].value, arrays["one/kernel"].astype(np.float32))


def test_more_in_the_file_than_the_model_has(weights, tmp_path):
    """By name that is fine, and told."""
    old(tmp_path / "w.h5", weights)
    model = mn.Model(mn.Sequential(mn.Conv2d(4, 3, name="first"), mn.BatchNorm(epsilon=1e-3, name="norm")), (6, 5, 2),
                     rng=0)
    assert load_keras(model, tmp_path / "w.h5") == ["deep", "second", "head", "out"]


@pytest.mark.parametrize("change", [lambda w: w.pop("out"), lambda w: w["out"].update(kernel=np.ones((7, 3)))])
def test_layers_that_may_be_missing(change, weights, tmp_path):
    """They stay as they are, where the file lacks them or has them in another shape."""
    change(weights)
    old(tmp_path / "w.h5", weights)
    model = model_with(NAMES)
    before = model.parameters["out.weight"].value.copy()
    load_keras(model, tmp_path / "w.h5", missing=("out",))
    np.testing.assert_array_equal(model.parameters["out.weight"].value, before)
    np.testing.assert_array_equal(model.parameters["head.bias"].value, weights["head"]["bias"])


# --- what does not fit -----------------------------------------------------------------------------------------------


def set_to(layer, name, array):
    return lambda w: w[layer].__setitem__(name, array)


PROBLEMS = {  # what is wrong with the file -> words of the message
    "a missing layer": (lambda w: w.pop("head"), "head is not in the file"),
    "a wrong shape": (set_to("first", "kernel", np.ones((3, 3, 4, 2))),
                      r"first.weight.*\(3, 3, 4, 2\).*\(3, 3, 2, 4\)"),
    "as many numbers": (set_to("deep", "depthwise_kernel", np.ones((2, 2, 3, 4))), r"\(2, 2, 4, 3\).*\(2, 2, 3, 4\)"),
    "too few axes": (set_to("deep", "depthwise_kernel", np.ones((2, 2))), r"deep.*\(2, 2\)"),
    "no bias": (lambda w: w["head"].pop("bias"), "head has the weights weight, bias, in the file kernel"),
    "a bias too many": (set_to("second", "bias", np.ones(2)), "second has the weights weight, in the file kernel, b"),
    "NaN": (set_to("out", "bias", np.array([1, np.nan, 2.0])), "out.bias.*NaN"),
    "beyond float32": (set_to("out", "bias", np.array([1, 1e300, 2.0])), "out.bias.*infinite"),
    "a negative variance": (set_to("norm", "moving_variance", -np.ones(4)), "norm.variance.*negative"),
}


def refused(model, path, words):
    """One line that names the file; the model stays as it was, to the bit."""
    before = model.values.tobytes(), model.mask.tobytes()
    with pytest.raises(FileError, match=words) as caught:
        load_keras(model, path)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)
    assert (model.values.tobytes(), model.mask.tobytes()) == before


@pytest.mark.parametrize("name", PROBLEMS)
def test_misfits(name, weights, tmp_path):
    change, words = PROBLEMS[name]
    change(weights)
    old(tmp_path / "w.h5", weights)
    refused(model_with(NAMES), tmp_path / "w.h5", words)


def test_everything_that_does_not_fit_is_told_at_once(weights, tmp_path):
    weights["first"]["kernel"], weights["out"]["bias"] = np.ones((1, 1, 2, 4)), np.ones(4)
    del weights["head"]
    old(tmp_path / "w.h5", weights)
    refused(model_with(NAMES), tmp_path / "w.h5", "head is not in the file.*first.weight.*out.bias")


@pytest.mark.parametrize("layout", ["old", "vars"])
def test_another_number_of_layers(layout, weights, tmp_path):
    """Where no name agrees, the numbers of layers have to."""
    del weights["head"]
    LAYOUTS[layout](tmp_path / "w.h5", weights)
    refused(model_with({}), tmp_path / "w.h5", "5 layers with weights, the model 6|'dense': 1")


def test_order_says_nothing_where_branches_are(tmp_path):
    branches = mn.Sequential(mn.Residual(mn.Dense(3), mn.Dense(3)))
    old(tmp_path / "w.h5", {f"d{i}": {"kernel": np.ones((3, 3)), "bias": np.ones(3)} for i in range(2)})
    refused(mn.Model(branches, (3,), rng=0), tmp_path / "w.h5", "branches")


def test_order_says_nothing_in_models_inside_models(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for place in ("layers/dense", "layers/sequential/layers/dense"):
            file[f"{place}/vars/0"], file[f"{place}/vars/1"] = np.ones((3, 3)), np.ones(3)
    assert set(read_keras(tmp_path / "w.h5")) == {"layers/dense", "layers/sequential/layers/dense"}
    refused(mn.Model(mn.Sequential(mn.Dense(3), mn.Dense(3)), (3,), rng=0), tmp_path / "w.h5", "models inside models")


def test_the_real_vgg16(data_folder):
    """Every array is what h5py reads."""
    path = data_folder / "vgg16" / "vgg16_notop.h5"
    found = read_keras(path)
    assert sum(array.size for layer in found.values() for array in layer.values()) == 14_714_688
    with h5py.File(path) as file:
        for layer in ("block1_conv1", "block5_conv3"):
            names = [name.decode() for name in file[layer].attrs["weight_names"]]
            for name, array in zip(names, found[layer].values(), strict=True):
                np.testing.assert_array_equal(array, file[layer][name][()])


# --- what a .keras archive says of its BatchNorms --------------------------------------------------------------------


def two_norms(epsilon=1e-5):
    return mn.Model(mn.Sequential(mn.Dense(3, name="a"), mn.BatchNorm(epsilon=epsilon, name="b"), mn.Dense(3, name="c"),
                                  mn.BatchNorm(epsilon=epsilon, name="d")), (4,), rng=0)


def norm_weights(rng):
    norms = {name: {kind: rng.uniform(0.5, 2, 3) for kind in NORM} for name in "bd"}
    dense = {name: {"kernel": rng.normal(size=(n, 3)), "bias": rng.normal(size=3)} for name, n in (("a", 4), ("c", 3))}
    return {name: (dense | norms)[name] for name in "abcd"}


def configured(path, *layers, weights=None):
    """An archive whose configuration has these layers."""
    config = json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}})
    archive(path, weights or norm_weights(np.random.default_rng(0)), named=True, config=config)


def norm_config(name, epsilon, momentum=0.99):
    return {"class_name": "BatchNormalization", "config": {"name": name, "epsilon": epsilon, "momentum": momentum}}


def nested(*layers):
    return {"class_name": "Sequential", "config": {"name": "inner", "layers": list(layers)}}


@pytest.mark.parametrize("layers", [
    [{"class_name": "Dense", "config": {"name": "a"}}, norm_config("b", 1e-2), norm_config("d", 0.25, 0.8)],
    [nested(norm_config("b", 1e-2)), norm_config("d", 0.25, 0.8)],
    [nested(nested(norm_config("b", 1e-2), norm_config("d", 0.25, 0.8)))],
])
def test_epsilon_and_momentum_are_those_of_the_archive(layers, tmp_path):
    configured(tmp_path / "w.keras", *layers)
    model, weights = two_norms(), norm_weights(np.random.default_rng(0))
    assert load_keras(model, tmp_path / "w.keras") == []
    norms = [model.layers["b"], model.layers["d"]]
    assert [(norm.epsilon, norm.momentum) for norm in norms] == [(1e-2, 0.01), (0.25, 0.2)]
    x = np.random.default_rng(1).normal(size=(5, 4))
    wanted = x
    for dense, norm, epsilon in (("a", "b", 1e-2), ("c", "d", 0.25)):
        wanted = wanted @ weights[dense]["kernel"] + weights[dense]["bias"]
        gamma, beta, mean, variance = weights[norm].values()
        wanted = gamma * (wanted - mean) / np.sqrt(variance + epsilon) + beta
    np.testing.assert_allclose(model(x.astype(np.float32)), wanted, rtol=1e-4, atol=1e-4)


def test_a_file_that_does_not_tell_them_is_told(tmp_path):
    old(tmp_path / "w.h5", norm_weights(np.random.default_rng(0)))
    model = two_norms()
    with pytest.warns(UserWarning, match=r"stays 1e-05 here, and Keras has 0\.001"):
        load_keras(model, tmp_path / "w.h5")
    assert model.layers["b"].epsilon == 1e-5
    load_keras(two_norms(1e-3), tmp_path / "w.h5")  # without a word


@pytest.mark.parametrize("wrong", [None, "0.001", float("nan"), -1, 2, True])
def test_a_setting_that_is_no_number_is_refused(wrong, tmp_path):
    configured(tmp_path / "w.keras", norm_config("b", wrong), norm_config("d", 0.1))
    model = two_norms()
    before = model.values.tobytes()
    with pytest.raises(FileError, match="BatchNormalization with epsilon"):
        load_keras(model, tmp_path / "w.keras")
    assert model.values.tobytes() == before


@pytest.mark.parametrize("config", ["{", "[" * 100_000, "\xff", '{"config": ' * 50_000])
def test_a_damaged_configuration_is_refused(config, tmp_path):
    archive(tmp_path / "w.keras", norm_weights(np.random.default_rng(0)), named=True, config=config)
    with pytest.raises(FileError, match="damaged config"):
        load_keras(two_norms(), tmp_path / "w.keras")


def test_a_configuration_whose_compressed_bytes_are_damaged_is_refused(tmp_path):
    path = tmp_path / "w.keras"
    archive(path, norm_weights(np.random.default_rng(0)), named=True)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["config.json"] = json.dumps({"a": list(range(500))}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
        start = file.getinfo("config.json").header_offset + 30 + len("config.json")
    content = bytearray(path.read_bytes())
    content[start + 10 : start + 60] = bytes(50)
    path.write_bytes(content)
    with pytest.raises(FileError, match="damaged"):
        load_keras(two_norms(), path)


@pytest.mark.parametrize("config", ["[]", "7", '{"config": 1}',
                                    '{"config": {"layers": [1, [], null, {"config": []}]}}'])
def test_a_configuration_without_layers_tells_nothing(config, tmp_path):
    archive(tmp_path / "w.keras", norm_weights(np.random.default_rng(0)), named=True, config=config)
    with pytest.warns(UserWarning, match="does not tell"):
        load_keras(two_norms(), tmp_path / "w.keras")
