"""A pruned net comes in pruned, whatever file it comes in: zeros that are many, and the masks that a file holds."""
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import is_plus_zero
from safetensors.numpy import save_file

import minnet as mn
from minnet.cli import importing
from minnet.errors import FileError, UnknownName
from minnet.formats.assign import MANY, ZEROS, put
from minnet.formats.keras import load_keras
from minnet.formats.onnx_read import load_onnx
from minnet.formats.onnx_write import onnx_bytes
from minnet.formats.torch_state import load_torch, read_torch, save_torch

onnxruntime = pytest.importorskip("onnxruntime")
h5py = pytest.importorskip("h5py")
from keras_files import old  # noqa: E402 - needs h5py itself

FEW = 0.02  # of the weights: below MANY


def net(sparsity):
    """A convolution and dense layers; every layer has the same share masked."""
    tree = mn.Sequential(mn.Conv2d(8, 3, name="a"), mn.ReLU(), mn.Flatten(), mn.Dense(10, name="b"), mn.ReLU(),
                         mn.Dense(10, name="c"))
    model = mn.Model(tree, (5, 5, 2), rng=0)
    mn.prune(model, sparsity, criterion="random", distribution="layerwise", rng=1)
    return model


def by_onnx(model, path, zeros, sparse=False):
    path.write_bytes(onnx_bytes(model, sparse=sparse))
    return load_onnx(path, **zeros)


def by_sparse_onnx(model, path, zeros):
    return by_onnx(model, path, zeros, sparse=True)


def by_torch(model, path, zeros):
    save_torch(model, path)
    back = net(0.0)
    assert load_torch(back, path, **zeros) == []
    return back


def by_keras(model, path, zeros):
    old(path, {layer.name: {{"weight": "kernel", "bias": "bias"}[p.kind]: p.value for p in layer.parameters}
               for layer in model.layers.values() if layer.parameters})
    back = net(0.0)
    assert load_keras(back, path, **zeros) == []
    return back


READERS = {"onnx": by_onnx, "sparse onnx": by_sparse_onnx, "torch": by_torch, "keras": by_keras}


@pytest.mark.parametrize(("reader", "zeros", "sparsity"),
                         list(product(READERS, ("auto", "mask", "keep"), (FEW, 0.3, 0.8))))
def test_zeros_come_in_masked_where_they_are_many(reader, zeros, sparsity, tmp_path):
    model = net(sparsity)
    back = READERS[reader](model, tmp_path / "file", {"zeros": zeros})
    written = reader == "sparse onnx" and sparsity > 0.5  # below, its weights are written dense
    masked = zeros == "mask" or (zeros == "auto" and (sparsity >= MANY or written))
    assert np.array_equal(back.mask, model.mask if masked else np.ones_like(model.mask))
    X = np.random.default_rng(0).normal(size=(4, 5, 5, 2)).astype(np.float32)
    assert np.allclose(back(X), model(X), atol=1e-5)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_masked_stays_so_while_it_learns_and_in_a_file(reader, tmp_path):
    """Saved again a pruned net takes no more bytes than it did."""
    model = net(0.9)
    back = READERS[reader](model, tmp_path / "file", {})
    mn.save(model, tmp_path / "before")
    mn.save(back, tmp_path / "after")
    assert (tmp_path / "after").stat().st_size <= (tmp_path / "before").stat().st_size
    rng = np.random.default_rng(0)
    for _ in mn.train(back, (rng.normal(size=(50, 5, 5, 2)), rng.integers(0, 10, 50)), epochs=1, rng=0):
        pass
    assert back.sparsity == pytest.approx(model.sparsity) and is_plus_zero(back.values[~back.mask])


@pytest.mark.parametrize("reader", READERS)
def test_another_word_is_refused(reader, tmp_path):
    with pytest.raises(UnknownName, match="zeros"):
        READERS[reader](net(0.5), tmp_path / "file", {"zeros": "maks"})


def test_the_command_has_the_same_words():
    assert importing.ZEROS == ZEROS


@settings(max_examples=30)
@given(st.integers(0, 200), st.sampled_from(["auto", "mask", "keep"]))
def test_the_rule_written_out(count, zeros):
    """Of 200 weights; biases that are 0 stay live."""
    model = mn.Model(mn.Sequential(mn.Dense(10, name="d")), (20,), rng=0)
    weight = np.arange(1, 201.0)
    weight[:count] = 0
    put(model, {"d.weight": weight.reshape(20, 10), "d.bias": np.zeros(10)}, "a file", zeros=zeros)
    expected = count if zeros == "mask" or (zeros == "auto" and count >= 10) else 0
    assert np.count_nonzero(~model.mask) == expected and model.mask[200:].all()


# --- masks in a state dict -------------------------------------------------------------------------------------------


def torch_tensors(style, rng):
    """The state dict of `net` with masks as a library writes them, and the masks in PyTorch's layout."""
    shapes = {"a": (8, 2, 3, 3), "b": (10, 72), "c": (10, 10)}
    tensors, masks = {}, {}
    for name, shape in shapes.items():
        weight, mask = rng.normal(size=shape).astype(np.float32), rng.random(shape) < 0.99
        tensors[f"{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
        masks[name] = mask
        if style == "prune":
            tensors |= {f"{name}.weight_orig": weight, f"{name}.weight_mask": mask.astype(np.float32)}
        else:
            tensors |= {f"{name}.parametrizations.weight.original": weight,
                        f"{name}.parametrizations.weight.0.mask": mask}
    return tensors, masks


@pytest.mark.parametrize("zeros", ["auto", "keep"])
@pytest.mark.parametrize("style", ["prune", "parametrizations"])
def test_masks_in_a_state_dict_are_masks_here(style, zeros, tmp_path):
    """Of however few weights, and whatever is to become of other zeros."""
    tensors, masks = torch_tensors(style, np.random.default_rng(0))
    save_file(tensors, tmp_path / "net")
    model = net(0.0)
    assert load_torch(model, tmp_path / "net", zeros=zeros) == []
    assert np.count_nonzero(~model.mask) == sum(np.count_nonzero(~mask) for mask in masks.values())
    assert np.array_equal(model.parameters["c.weight"].mask, masks["c"].T)
    assert np.array_equal(model.parameters["a.weight"].mask, masks["a"].transpose(2, 3, 1, 0))
    read = read_torch(tmp_path / "net")
    assert np.array_equal(read["b"]["weight"] != 0, masks["b"]) and set(read["b"]) == {"weight", "bias"}


@pytest.mark.parametrize("wrong", [np.full((10, 10), 0.5, np.float32), np.ones((10, 9), np.float32),
                                   np.full((10, 10), np.nan, np.float32)])
def test_a_mask_that_is_none_is_refused(wrong, tmp_path):
    tensors, _ = torch_tensors("prune", np.random.default_rng(0))
    save_file(tensors | {"c.weight_mask": wrong}, tmp_path / "net")
    with pytest.raises(FileError, match="wanted a mask of 0 and 1"):
        load_torch(net(0.0), tmp_path / "net")


def test_what_torch_itself_writes(tmp_path):
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune

    linear = torch.nn.Linear(20, 10)
    prune.l1_unstructured(linear, "weight", 3)
    save_file({f"d.{name}": value.detach().numpy() for name, value in linear.state_dict().items()}, tmp_path / "net")
    model = mn.Model(mn.Sequential(mn.Dense(10, name="d")), (20,), rng=0)
    load_torch(model, tmp_path / "net")
    assert np.count_nonzero(~model.mask) == 3
    X = np.ones((1, 20), np.float32)
    assert np.allclose(model(X), linear(torch.from_numpy(X)).detach().numpy(), atol=1e-5)
