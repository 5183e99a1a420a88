"""Damaged files for the readers of masks, quantised nets, saved Predictors, second files and adaptive pools: a whole
load, or a refusal in one line.
"""
import copy
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as to_safetensors

import minnet as mn
from minnet.errors import FileError, MinnetError
from minnet.formats.hdf5 import Entry
from minnet.formats.keras_file import Saved, narrow
from minnet.formats.keras_graph import model_of
from minnet.formats.onnx_read import load_onnx
from minnet.formats.onnx_write import onnx_bytes

onnx = pytest.importorskip("onnx")
pytest.importorskip("h5py")
from keras_files import functional, layer, sequential  # noqa: E402 - need h5py itself
from onnx_graphs import GRAPHS, Graph, pixels_of_windows  # noqa: E402 - need onnx itself
from test_hostile_imports import mutated  # noqa: E402

ODD = (None, True, 0, -1, 2, 2**63, 1e308, float("nan"), "", "relu", "../x", "same", [], [0], [1, 1], [[1]], {},
       {"class_name": "Dense", "config": {}}, {"class_name": "Sequential", "config": {}})


def masked_state():
    """Two layers with masks as torch.nn.utils.prune stores them, as a file."""
    shapes = {"a": (3, 4), "b": (2, 3)}
    return to_safetensors({f"{name}.{kind}": np.ones(shape if kind.startswith("weight") else shape[:1], np.float32)
                           for name, shape in shapes.items() for kind in ("weight_orig", "weight_mask", "bias")})


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """{kind: (bytes of a good file, how it is loaded)}."""
    folder, model = tmp_path_factory.mktemp("good"), mn.models.mlp((5,), 3, (4,), rng=0)
    mn.prune(model, 0.5)
    mn.freeze(model, precision="int8").save(folder / "fast")
    graph, end = GRAPHS["adaptive_pools"]()
    return {"int8.onnx": (onnx_bytes(model, precision="int8"), mn.load_onnx),
            "sparse.onnx": (onnx_bytes(model, sparse=True), mn.load_onnx),
            "pools.onnx": (graph.bytes(end), mn.load_onnx), "masks.safetensors": (masked_state(), mn.load_torch),
            "fast.safetensors": ((folder / "fast").read_bytes(), mn.load_predictor)}


def as_it_should(load, *arguments):
    """A whole load, or one printable line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            load(*arguments)
        except MinnetError as error:
            assert str(error).isprintable() and len(str(error)) < 2000


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize("kind", ["int8.onnx", "sparse.onnx", "pools.onnx", "masks.safetensors", "fast.safetensors"])
def test_changed_bytes(kind, good, tmp_path_factory, data):
    content, load = good[kind]
    path = tmp_path_factory.getbasetemp() / kind
    path.write_bytes(mutated(content, data))
    as_it_should(load, path)


def places(value, path=()):
    """All paths to a value inside a description."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in inner] + [one for key, item in inner for one in places(item, (*path, key))]


DENSE = {"units": 4, "use_bias": True, "activation": "relu"}
DESCRIPTIONS = {
    "a graph": functional((4,), (layer("Dense", "a", **DENSE), ["x"]), (layer("Add", "s"), ["a", "x"]),
                          (layer("Multiply", "m"), ["s", "x"]), (layer("Concatenate", "c", axis=-1), ["m", "s"])),
    "models in a chain": sequential(layer("Rescaling", scale=0.5, offset=1.0), sequential(layer("ReLU"), name="inner"),
                                    layer("Dense", "a", **DENSE), shape=(4,)),
    "pools": sequential(layer("ZeroPadding2D", padding=[[1, 0], [0, 1]]), layer("MaxPooling2D", pool_size=[1, 1]),
                        layer("AdaptiveAveragePooling2D", output_size=[3, 4]), layer("Flatten"), shape=(5, 7, 1)),
}
ENTRIES = [Entry("layers/dense", None, "0", np.ones((4, 4), np.float32)),
           Entry("layers/dense", None, "1", np.ones(4, np.float32))]


@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_changed_descriptions(name, data):
    """Any value in it may be another one, or missing."""
    net = copy.deepcopy(DESCRIPTIONS[name])
    for _ in range(data.draw(st.integers(1, 2))):
        *path, last = data.draw(st.sampled_from(places(net)))
        at = net
        for key in path:
            at = at[key]
        if isinstance(at, dict) and data.draw(st.booleans()):
            del at[last]
        else:
            at[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    saved = Saved("vars", [], ENTRIES, net)
    as_it_should(lambda: (narrow(saved), model_of(saved, Path("net.keras"), "auto")))


def refused(proto, folder, words):
    (folder / "a.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(FileError, match=words) as caught:
        load_onnx(folder / "a.onnx")
    assert str(caught.value).isprintable()


def test_two_nodes_that_write_one_name(tmp_path):
    graph, end = GRAPHS["adaptive_pools"]()
    proto = onnx.ModelProto.FromString(graph.bytes(end))
    proto.graph.node[-1].output[0] = proto.graph.node[0].output[0]
    refused(proto, tmp_path, "twice; each value has a name of its own")


def outside(tensor, name):
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=name)


def test_second_files(tmp_path):
    """A pipe does not hang, and a constant of a node has no file of its own."""
    g = Graph((4,))
    proto = g.model(g.gemm("x", 4, 3))
    os.mkfifo(tmp_path / "pipe")
    outside(proto.graph.initializer[0], "pipe")
    refused(proto, tmp_path, "another file")
    (tmp_path / "data").write_bytes(bytes(64))
    g = Graph((4,))
    proto = g.model(g("Add", "x", g("Constant", value=onnx.numpy_helper.from_array(np.ones(4, np.float32)))))
    outside(proto.graph.node[0].attribute[0].t, "data")
    refused(proto, tmp_path, "0 left")


@pytest.mark.parametrize("shape, sides, words", [
    ((1, 9, 9), ((9, 2, 3), (9, 2, 3)), "not those of an adaptive mean"),
    ((1, 4, 4), ((40, 2, 2), (4, 2, 2)), "in a way that does not fit"),
    ((1, 2**12, 2**12), ((4, 2, 2), (4, 2, 2)), "of a large image"),
])
def test_pixels_that_are_picked(shape, sides, words, tmp_path):
    """Other windows, pixels that are not there, and an image whose pixels take much memory."""
    g = Graph(shape)
    x = g("ReduceMean", pixels_of_windows(g, "x", *sides), axes=[-3, -1], keepdims=0)
    if "fit" in words:
        g.tensors[0].CopyFrom(onnx.numpy_helper.from_array(np.full((2, 2, 2, 2, 2), 99), g.tensors[0].name))
    refused(g.model(g("Relu", x)), tmp_path, words)
