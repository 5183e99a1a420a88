"""PyTorch's state dicts: by its conventions, never by what happens to fit; written back, PyTorch takes them."""
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from safetensors.numpy import load_file, save_file
from trees import masked_models, random_input

import minnet as mn
from minnet.errors import FileError, InvalidType, InvalidValue, NotFinite, Unsupported
from minnet.formats.channels import channels_first, feature_orders, flat_order
from minnet.formats.torch_state import load_torch, read_torch, save_torch

SIDE = 3


def chain(**names):
    """Every layer that has weights in PyTorch, on images (8, 10, 3); what follows Flatten has to be put in order."""
    get = names.get
    return mn.Sequential(
        mn.Conv2d(4, 3, name=get("a")), mn.BatchNorm(name=get("b")), mn.ReLU(),
        mn.DepthwiseConv2d(3, multiplier=2, name=get("c")), mn.MaxPool2d(2), mn.Flatten(), mn.BatchNorm(name=get("d")),
        mn.Tanh(), mn.Dense(6, name=get("e")), mn.ReLU(), mn.Dense(6, use_bias=False, name=get("f")))


NAMES = dict(zip("abcdef", ("net_0", "net_1", "net_3", "net_6", "net_8", "net_10"), strict=True))


def state(rng):
    """The state dict of that chain, as nn.Sequential called "net" names it."""
    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    tensors = {"net.0.weight": normal(4, 3, 3, 3), "net.0.bias": normal(4), "net.3.weight": normal(8, 1, 3, 3),
               "net.3.bias": normal(8), "net.8.weight": normal(6, 48), "net.8.bias": normal(6),
               "net.10.weight": normal(6, 6)}
    for name, c in (("net.1", 4), ("net.6", 48)):
        tensors |= {f"{name}.weight": normal(c), f"{name}.bias": normal(c), f"{name}.running_mean": normal(c),
                    f"{name}.running_var": rng.uniform(0.5, 2, c).astype(np.float32),
                    f"{name}.num_batches_tracked": np.array(7)}
    return tensors


@pytest.fixture
def tensors():
    return state(np.random.default_rng(0))


def model_with(names):
    return mn.Model(chain(**names), (8, 10, 3), rng=0)


def saved(tensors, tmp_path):
    """The file that holds them; safetensors writes other than contiguous arrays wrongly."""
    path = tmp_path / "net.safetensors"
    save_file({name: np.asarray(array, order="C") for name, array in tensors.items()}, path)
    return path


# --- conventions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("names", [NAMES, {}], ids=["by name", "in order"])
def test_every_number_finds_its_place(names, prefix, tensors, tmp_path):
    """Even the square weight is turned; the features behind Flatten are put in order."""
    model = model_with(names)
    path = saved({prefix + name: array for name, array in tensors.items()}, tmp_path)
    assert load_torch(model, path) == []
    found = {name: p.value for name, p in model.parameters.items()}
    ours = dict(zip("abcdef", [layer.name for layer in model.layers.values() if layer.parameters], strict=True))
    np.testing.assert_array_equal(found[f"{ours['a']}.weight"], np.einsum("oihw->hwio", tensors["net.0.weight"]))
    np.testing.assert_array_equal(found[f"{ours['c']}.weight"], np.einsum("oihw->hwio", tensors["net.3.weight"]))
    np.testing.assert_array_equal(found[f"{ours['f']}.weight"], tensors["net.10.weight"].T)
    np.testing.assert_array_equal(found[f"{ours['b']}.variance"], tensors["net.1.running_var"])
    height, width, channels = 2, 3, 8  # behind the pool
    for h in range(height):
        for w in range(width):
            for c in range(channels):
                i, theirs = (h * width + w) * channels + c, (c * height + h) * width + w
                np.testing.assert_array_equal(found[f"{ours['e']}.weight"][i], tensors["net.8.weight"][:, theirs])
                assert found[f"{ours['d']}.gain"][i] == tensors["net.6.weight"][theirs]


def test_pytorch_agrees(tmp_path):
    """The same net there and here: outputs, statistics and all."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4), nn.MaxPool2d(2),
                        nn.Flatten(), nn.BatchNorm1d(48), nn.Tanh(), nn.Linear(48, 6), nn.ReLU(),
                        nn.Linear(6, 6, bias=False))
    with torch.no_grad():
        for _ in range(3):
            net(2 * torch.randn(9, 3, 8, 10) + 1)
    wrapped = nn.Module()
    wrapped.net = net.eval()
    model = model_with({})
    load_torch(model, saved({name: tensor.numpy() for name, tensor in wrapped.state_dict().items()}, tmp_path))
    X = random_input(model)
    images = torch.tensor(X).permute(0, 3, 1, 2)
    with torch.no_grad():
        np.testing.assert_allclose(model(X), net(images).numpy(), rtol=1e-4, atol=1e-5)
    mn.prune(model, 0.3)
    save_torch(model, tmp_path / "back.safetensors")
    theirs = iter(name for name, module in net.named_modules() if list(module.parameters(recurse=False)))
    renamed = {layer.name: next(theirs) for layer in model.layers.values() if layer.parameters}
    back = {f"{renamed[name.split('.')[0]]}.{name.split('.')[1]}": torch.tensor(array)
            for name, array in load_file(tmp_path / "back.safetensors").items()}
    net.load_state_dict(back)
    with torch.no_grad():
        np.testing.assert_allclose(net(images).numpy(), model(X), rtol=1e-4, atol=1e-5)


@settings(max_examples=30)
@given(masked_models(dtype=np.float32))
def test_written_and_read_is_the_same_to_the_bit(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("torch") / "net.safetensors"
    try:
        save_torch(model, path)
    except Unsupported:  # a Residual that adds a flattened image to other features
        return
    back = mn.Model(model.tree, model.input_shape, rng=1)
    assert load_torch(back, path) == []
    np.testing.assert_array_equal(back.values, model.values)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 5), (4, 1, 1)])
def test_orders_are_permutations(shape):
    order = flat_order(shape)
    image = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_array_equal(image.reshape(-1), image.transpose(2, 0, 1).reshape(-1)[order])
    np.testing.assert_array_equal(channels_first(image.reshape(-1), order), image.transpose(2, 0, 1).reshape(-1))


def test_a_residual_of_two_orders_is_refused():
    """One side is a flattened image, the other is features: no one order fits both."""
    branch = mn.Sequential(mn.Dense(2 * SIDE * SIDE))
    model = mn.Model(mn.Sequential(mn.Flatten(), mn.Residual(branch), mn.Dense(2)), (SIDE, SIDE, 2), rng=0)
    with pytest.raises(Unsupported, match="residual1 joins a flattened image"):
        feature_orders(model)


# --- the file --------------------------------------------------------------------------------------------------------


def raw(tmp_path, tensors):
    """A safetensors file by hand: {name: (dtype, shape, bytes)}."""
    import json

    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_halves(tmp_path):
    """F16 and BF16 become float32: 1.5, -2 and a number that only BF16 has."""
    half = np.array([1.5, -2.0], "<f2").tobytes()
    brain = (np.array([1.5, -2.0, 1e38], "<f4").view("<u4") >> 16).astype("<u2")
    path = raw(tmp_path, {"a.weight": ("F16", [2], half), "b.weight": ("BF16", [3], brain.tobytes())})
    with pytest.warns(UserWarning, match="the file is of bfloat16 and float16: numbers and arithmetic are float32"):
        found = read_torch(path)
    np.testing.assert_array_equal(found["a"]["weight"], np.float32([1.5, -2.0]))
    np.testing.assert_array_equal(found["b"]["weight"][:2], np.float32([1.5, -2.0]))
    np.testing.assert_allclose(found["b"]["weight"][2], 1e38, rtol=2**-7)
    assert all(array.dtype == np.float32 for module in found.values() for array in module.values())


def test_whole_numbers_are_no_weights(tmp_path):
    path = raw(tmp_path, {"a.weight": ("I64", [1], b"\1" + 7 * b"\0")})
    with pytest.raises(FileError, match=r"a.weight is I64; wanted F64, F32, F16, BF16"):
        read_torch(path)


def test_a_pickle_is_told_how_to_become_a_file_that_is_read(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(FileError) as caught:
        load_torch(model_with({}), path)
    assert all(words in str(caught.value) for words in (
        "never opened", "from safetensors.torch import save_file", 'save_file(net.state_dict(), "net.safetensors")'))


def test_what_is_written_is_plain(tmp_path):
    """Any safetensors reader has it, names and layout as PyTorch's; the same model gives the same bytes."""
    tree = mn.Sequential(mn.Conv2d(2, 3, name="c"), mn.BatchNorm(name="b"), mn.Flatten(), mn.Dense(3, name="d"))
    model = mn.Model(tree, (4, 4, 1), rng=0)
    save_torch(model, tmp_path / "a")
    save_torch(model, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    shapes = {name: array.shape for name, array in load_file(tmp_path / "a").items()}
    norm = {f"b.{kind}": (2,) for kind in ("weight", "bias", "running_mean", "running_var")}
    assert shapes == norm | {"c.weight": (2, 1, 3, 3), "c.bias": (2,), "d.weight": (3, 8), "d.bias": (3,)}


def test_what_is_not_finite_is_not_written(tmp_path):
    model = mn.models.mlp((3,), 2, rng=0)
    model.values[0] = np.inf
    with pytest.raises(NotFinite, match="dense1.weight"):
        save_torch(model, tmp_path / "a")
    assert not (tmp_path / "a").exists()


# --- what does not fit -----------------------------------------------------------------------------------------------


def refused(model, path, words):
    """One line that names the file; the model stays as it was, to the bit."""
    before = model.values.tobytes(), model.mask.tobytes()
    with pytest.raises(FileError, match=words) as caught:
        load_torch(model, path)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)
    assert (model.values.tobytes(), model.mask.tobytes()) == before


def without(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


PROBLEMS = {  # what is wrong with the file -> words of the message
    "a missing layer": (without("net.8.weight", "net.8.bias"), "net_8 is not in the file"),
    "no bias": (without("net.8.bias"), "net_8 has weight, bias, net.8 in the file weight"),
    "a bias too many": (lambda t: t.update({"net.10.bias": np.ones(6)}), "net_10 has weight, net.10 in the file"),
    "no statistics": (without("net.1.running_var"), "net_1 has"),
    "turned": (lambda t: t.update({"net.8.weight": t["net.8.weight"].T}), r"net_8.weight has the shape \(6, 48\)"),
    "another size": (lambda t: t.update({"net.0.weight": np.ones((4, 3, 2, 2))}), r"\(2, 2, 3, 4\), wanted \(3, 3, 3,"),
    "a matrix for a kernel": (lambda t: t.update({"net.0.weight": np.ones((4, 27))}), r"net_0.weight.*\(4, 27\)"),
    "NaN": (lambda t: t["net.8.bias"].__setitem__(2, np.nan), "net_8.bias.*NaN"),
    "a negative variance": (lambda t: t["net.6.running_var"].__setitem__(0, -1), "net_6.variance.*negative"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_misfits(name, tensors, tmp_path):
    change, words = PROBLEMS[name]
    change(tensors)
    refused(model_with(NAMES), saved(tensors, tmp_path), words)


def test_everything_that_does_not_fit_is_told_at_once(tensors, tmp_path):
    del tensors["net.3.bias"]
    tensors["net.0.bias"], tensors["net.8.bias"] = np.ones(5), np.ones(1)
    refused(model_with(NAMES), saved(tensors, tmp_path), "net_3 has.*net_0.bias.*net_8.bias")


def test_another_number_of_layers(tensors, tmp_path):
    del tensors["net.10.weight"]
    words = "2 BatchNorm, 2 Conv2d, 1 Linear, the model 2 BatchNorm, 2 Conv2d, 2 Linear"
    refused(model_with({}), saved(tensors, tmp_path), words)


@pytest.mark.parametrize("second", ["hidden", "net.out", "net.9.deeper"])
def test_names_that_do_not_say_what_comes_first(second, tensors, tmp_path):
    """Two Linear modules whose names differ in more than a number."""
    tensors[f"{second}.weight"] = tensors.pop("net.10.weight")
    refused(model_with({}), saved(tensors, tmp_path), "which Linear module comes first")


def test_order_says_nothing_where_branches_are(tmp_path):
    model = mn.Model(mn.Residual(mn.Dense(SIDE), mn.Dense(SIDE)), (SIDE,), rng=0)
    tensors = {f"{i}.{kind}": np.ones((SIDE,) * axes, np.float32) for i in range(2) for kind, axes in
               (("weight", 2), ("bias", 1))}
    refused(model, saved(tensors, tmp_path), "branches")


def test_more_in_the_file_than_the_model_has(tensors, tmp_path):
    tensors["aux.head.weight"] = np.ones((2, 2), np.float32)
    assert load_torch(model_with(NAMES), saved(tensors, tmp_path)) == ["aux.head"]


def test_layers_that_may_be_missing(tensors, tmp_path):
    del tensors["net.10.weight"]
    model = model_with(NAMES)
    before = model.parameters["net_10.weight"].value.copy()
    load_torch(model, saved(tensors, tmp_path), missing=("net_10",))
    np.testing.assert_array_equal(model.parameters["net_10.weight"].value, before)
    np.testing.assert_array_equal(model.parameters["net_8.bias"].value, tensors["net.8.bias"])


# --- without an architecture -----------------------------------------------------------------------------------------


def linear(name, inputs, outputs):
    return {f"{name}.weight": np.full((outputs, inputs), 0.5, np.float32), f"{name}.bias": np.ones(outputs, np.float32)}


def norm(name, width):
    return {f"{name}.{kind}": np.ones(width, np.float32) for kind in ("weight", "bias", "running_mean", "running_var")}


CHAINS = {
    "Dense ReLU Dense": linear("net.0", 4, 3) | linear("net.2", 3, 2),
    "Dense BatchNorm ReLU Dense": linear("net.0", 4, 3) | norm("net.1", 3) | linear("net.4", 3, 2),
    "Dense ReLU BatchNorm Dense": linear("0", 4, 3) | norm("2", 3) | linear("3", 3, 2),
    "BatchNorm Dense ReLU Dense ReLU Dense": norm("n.0", 4) | linear("n.1", 4, 3) | linear("n.3", 3, 3)
    | linear("n.12", 3, 2),
    "Dense ReLU Dense ReLU Dense": linear("hidden", 4, 3) | linear("output", 2, 1) | linear("second", 3, 2),
    "Dense": linear("fc", 4, 3),
}


@pytest.mark.parametrize("layers", CHAINS)
def test_a_chain_of_linear_layers_needs_no_model(layers, tmp_path):
    """By the numbers in the names, else by the shapes; ReLU is assumed, and that is said."""
    path = saved(CHAINS[layers], tmp_path)
    if layers == "Dense":
        model = load_torch(path)
    else:
        with pytest.warns(UserWarning, match="ReLU is assumed"):
            model = load_torch(path)
    assert [type(layer).__name__ for layer in model.tree.layers] == layers.split()
    assert all((p.value == 0.5).all() for p in model.weight_parameters)


def conv(name, inputs, outputs, side=3):
    return {f"{name}.weight": np.full((outputs, inputs, side, side), 0.5, np.float32)}


def conv_norm(number, inputs, outputs):
    return conv(f"conv{number}", inputs, outputs) | norm(f"bn{number}", outputs)


IMAGES = {      # of 12 x 12: as in LeNet, as in PyTorch's example for MNIST, and nets of one nn.Sequential or two
    "Conv2d ReLU MaxPool2d Conv2d ReLU MaxPool2d Flatten Dense": conv("conv1", 1, 2) | conv("conv2", 2, 3)
    | linear("fc", 3, 3),
    "Conv2d BatchNorm ReLU Conv2d BatchNorm ReLU MaxPool2d Flatten Dense ReLU Dense":
        conv_norm(1, 1, 2) | conv_norm(2, 2, 3) | linear("fc1", 48, 4) | linear("fc2", 4, 2),
    "Conv2d ReLU Conv2d ReLU MaxPool2d Flatten Dense": conv("0", 1, 2, 1) | conv("2", 2, 3, 1) | linear("6", 108, 3),
    "Conv2d ReLU BatchNorm Conv2d ReLU MaxPool2d Flatten Dense": conv("f.0", 1, 2) | norm("f.2", 2) | conv("f.3", 2, 3)
    | linear("g.0", 48, 3),
}


@pytest.mark.parametrize("layers", IMAGES)
def test_a_chain_with_convolutions_needs_a_shape_that_one_choice_fits(layers, tmp_path):
    path = saved(IMAGES[layers], tmp_path)
    with pytest.warns(UserWarning, match="one choice fits its shapes: Conv2d of 2"):
        model = load_torch(path, shape=(12, 12, 1))
    assert [type(layer).__name__ for layer in model.tree.layers] == layers.split()
    assert all((p.value == 0.5).all() for p in model.weight_parameters)


TWO = conv("conv1", 1, 2) | conv("conv2", 2, 3) | linear("fc", 48, 3)
NO_IMAGES = {
    "no shape": (TWO, None, FileError, "the shape of their input .give it with --shape H,W,C, in Python"),
    "a row": (TWO, (8,), InvalidValue, "wanted .height, width, channels"),
    "no net": (conv("conv", 1, 3) | linear("fc", 15, 3), (8, 8, 1), FileError, "no choices give the 15 numbers"),
    "pools before or after": (TWO, (8, 8, 1), FileError, "3 choices give the 48 numbers"),
    "other channels": (TWO, (8, 8, 3), FileError, "conv1, which takes 1 channels, behind 3"),
    "too small": (TWO, (1, 1, 1), FileError, "no choices"),
    "names": (conv("a", 1, 2) | conv("b", 2, 2) | linear("fc", 8, 3), (8, 8, 1), FileError, "which comes first"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_may_be_several_nets_is_refused(name, tmp_path):
    tensors, shape, error, words = NO_IMAGES[name]
    with pytest.raises(error, match=words):
        load_torch(saved(tensors, tmp_path), shape=shape)


NO_CHAINS = {
    "other layers": ({"gru.weight_ih_l0": np.ones((3, 3))}, "one is found for Linear layers, and convolutions before"),
    "squares": (linear("a", 4, 3) | linear("b", 3, 3) | linear("c", 3, 3), "do not say which comes first"),
    "norms by other names": (linear("fc1", 4, 3) | norm("bn1", 3) | linear("fc2", 3, 2), "do not say which"),
    "a gap": (linear("0", 4, 3) | linear("1", 2, 2), "1, which takes 2 features, behind 3"),
    "a live pruner": ({"fc.weight": np.ones((3, 2)), "fc.weight_init_weights": np.ones((3, 2))},
                      "fc.weight_init_weights.*prune.remove"),
    "a mask alone": ({"fc.weight_mask": np.ones((3, 2))}, "make the pruning permanent"),
    "a name": (linear("fc/../x", 4, 3), "must be letters"),
    "nothing": ({}, "it has no Linear layer"),
}


@pytest.mark.parametrize("name", NO_CHAINS)
def test_what_is_no_chain(name, tmp_path):
    tensors, words = NO_CHAINS[name]
    with pytest.raises(FileError, match=words) as caught:
        load_torch(saved(tensors, tmp_path))
    assert str(caught.value).isprintable()


def test_a_file_of_minnets_own_is_no_state_dict(tmp_path):
    mn.save(mn.models.mlp((3,), 3, hidden=(3,), rng=0), tmp_path / "m.safetensors")
    with pytest.raises(FileError, match="a model that minnet saved"):
        load_torch(tmp_path / "m.safetensors")


def test_arguments(tmp_path):
    with pytest.raises(InvalidType, match="without a file"):
        load_torch(model_with({}))
    with pytest.raises(InvalidType, match="wanted a Model"):
        load_torch("a", "b")
