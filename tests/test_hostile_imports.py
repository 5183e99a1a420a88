"""Files from strangers, made to crash, to fill memory, to read other files, or just damaged: one line, and nothing is
half loaded."""
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as to_safetensors

import minnet as mn
from minnet.errors import FileError
from minnet.formats import hdf5, keras_file
from minnet.formats.hdf5 import Entry
from minnet.formats.keras import load_keras, read_keras
from minnet.formats.keras_file import Saved
from minnet.formats.keras_graph import model_of
from minnet.formats.onnx_read import load_onnx
from minnet.formats.torch_state import load_torch, read_torch

h5py = pytest.importorskip("h5py")
onnx = pytest.importorskip("onnx")
from keras_files import functional, layer, old, sequential, variables, whole  # noqa: E402 - need h5py and onnx
from onnx_graphs import Graph  # noqa: E402

SECRET = b"root:x:0:0: not for you ------------"
HUGE = 2**40


def model():
    return mn.Model(mn.Sequential(mn.Dense(3, name="d"), mn.ReLU(), mn.Dense(2, name="e")), (4,), rng=0)


def weights():
    rng = np.random.default_rng(0)
    return {"d": {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)},
            "e": {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}}


def onnx_graph():
    g = Graph((4,))
    return g, g.gemm(g("Relu", g.gemm("x", 4, 3)), 3, 2)


def is_refused(load, path, words=None):
    """One line that names the file, and no change to the model, if there is one."""
    net = model()
    before = net.values.tobytes(), net.mask.tobytes()
    with pytest.raises(FileError, match=words) as caught:
        load(net, path) if load in (load_keras, load_torch) else load(path)
    message = str(caught.value)
    assert message.isprintable() and path.name in message and len(message) < 2000
    assert (net.values.tobytes(), net.mask.tobytes()) == before
    return message


def as_it_should(load, path):
    """A whole load, or a refusal in one line: nothing else may happen to a damaged file."""
    net = model()
    before = net.values.tobytes()
    try:
        load(net, path) if load in (load_keras, load_torch) else load(path)
    except FileError as error:
        assert str(error).isprintable()
        assert net.values.tobytes() == before
    else:
        assert np.isfinite(net.values).all()


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """{kind: (bytes of a good file, how it is loaded)}."""
    folder = tmp_path_factory.mktemp("good")
    old(folder / "old.h5", weights())
    variables(folder / "vars.h5", weights())
    graph, end = onnx_graph()
    with zipfile.ZipFile(folder / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "vars.h5", keras_file.MEMBER)
    state = {f"{layer}.{kind}": np.asarray(array.T, np.float32, order="C") for layer, arrays in weights().items()
             for kind, array in zip(("weight", "bias"), arrays.values(), strict=True)}
    contents = {"old.h5": load_keras, "vars.h5": load_keras, "a.keras": load_keras}
    return {name: ((folder / name).read_bytes(), load) for name, load in contents.items()} | {
        "a.onnx": (graph.bytes(end), load_onnx), "a.safetensors": (to_safetensors(state), load_torch)}


KINDS = ["old.h5", "vars.h5", "a.keras", "a.onnx", "a.safetensors"]
IN_PROCESS = ["a.onnx", "a.safetensors"]


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_files_are_good(kind, good, tmp_path):
    content, load = good[kind]
    (tmp_path / kind).write_bytes(content)
    assert load(model(), tmp_path / kind) == [] if load is not load_onnx else load(tmp_path / kind).n_weights == 18


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("kind", KINDS)
def test_cut_off(kind, share, good, tmp_path):
    content, load = good[kind]
    (tmp_path / kind).write_bytes(content[: int(share * len(content))])
    is_refused(load, tmp_path / kind)


@pytest.mark.parametrize("kind", IN_PROCESS)
def test_cut_off_anywhere(kind, good, tmp_path):
    """A protobuf may end between two fields: then something is missing, and that is found."""
    content, load = good[kind]
    for end in range(len(content)):
        (tmp_path / kind).write_bytes(content[:end])
        is_refused(load, tmp_path / kind)


@settings(max_examples=200)
@given(st.data())
@pytest.mark.parametrize("kind", IN_PROCESS)
def test_changed_bytes(kind, good, tmp_path_factory, data):
    content, load = good[kind]
    path = tmp_path_factory.mktemp("changed") / kind
    path.write_bytes(mutated(content, data))
    as_it_should(load, path)


@settings(max_examples=8)
@given(st.data())
@pytest.mark.parametrize("kind", ["old.h5", "vars.h5", "a.keras"])
def test_changed_bytes_for_the_child(kind, good, tmp_path_factory, data):
    content, load = good[kind]
    path = tmp_path_factory.mktemp("changed") / kind
    path.write_bytes(mutated(content, data))
    as_it_should(load, path)


def mutated(content, data):
    """A few bytes changed, a piece taken out, or one doubled."""
    content = bytearray(content)
    places = st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        start, length = data.draw(places), data.draw(st.integers(1, 64))
        content[start : start + length] = content[start : start + length] * data.draw(st.sampled_from([0, 2]))
    return bytes(content)


OTHERS = {"pickle": b"\x80\x04}.", "html": b"<!DOCTYPE html><html>", "empty": b"", "text": b"a,b\n1,2\n",
          "noise": bytes(range(128, 256)) * 8, "zip": b"PK\3\4" + bytes(30), "gzip": b"\x1f\x8b" + bytes(20)}


@pytest.mark.parametrize("load", [load_keras, load_torch, load_onnx])
@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_of_files(kind, load, tmp_path):
    """Whatever it is called."""
    (tmp_path / "model.h5").write_bytes(OTHERS[kind])
    is_refused(load, tmp_path / "model.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_each_loader_tells_the_others_files(kind, good, tmp_path):
    content, right = good[kind]
    (tmp_path / kind).write_bytes(content)
    for load in {load_keras, load_torch, load_onnx} - {right}:
        is_refused(load, tmp_path / kind)


@pytest.mark.parametrize("load", [load_keras, load_torch, load_onnx])
def test_no_file_at_all(load, tmp_path):
    is_refused(load, tmp_path / "missing")
    is_refused(load, tmp_path)


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def outside(folder):
    """Another HDF5 file with good weights, and a file with a secret."""
    old(folder / "other.h5", weights())
    (folder / "secret").write_bytes(SECRET)


def external_link(file, folder):
    del file["d"]
    file["d"] = h5py.ExternalLink(str(folder / "other.h5"), "/d")


def soft_link(file, folder):
    file["real"] = file["d"]
    del file["d"]
    file["d"] = h5py.SoftLink("/real")


def soft_loop(file, folder):
    del file["d"]
    file["d"] = h5py.SoftLink("/d")


def link_in_the_middle(file, folder):
    del file["d/d"]
    file["d/d"] = h5py.ExternalLink(str(folder / "other.h5"), "/d/d")


def linked_weight(file, folder):
    del file["d/d/kernel:0"]
    file["d/d/kernel:0"] = h5py.ExternalLink(str(folder / "other.h5"), "/d/d/kernel:0")


def virtual(file, folder):
    layout = h5py.VirtualLayout((4, 3), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "d/d/kernel:0", (4, 3))
    del file["d/d/kernel:0"]
    file.create_virtual_dataset("d/d/kernel:0", layout)


def external_storage(file, folder):
    del file["d/d/bias:0"]
    file.create_dataset("d/d/bias:0", (3,), "f8", external=[(str(folder / "secret"), 0, 24)])


def replace(shape=(4, 3), dtype="f8", **arguments):
    """A kernel made otherwise."""
    def change(file, folder):
        del file["d/d/kernel:0"]
        file.create_dataset("d/d/kernel:0", shape, dtype, **arguments)
    return change


def names(*given):
    def change(file, folder):
        file.attrs["layer_names"] = list(given)
    return change


def number_of_names(file, folder):
    file.attrs["layer_names"] = np.arange(4)


def a_group_for_a_weight(file, folder):
    del file["d/d/kernel:0"]
    file.create_group("d/d/kernel:0")


def a_weight_for_a_group(file, folder):
    del file["d"]
    file["d"] = np.zeros(3)


def a_type_for_a_group(file, folder):
    del file["d"]
    file["d"] = np.dtype("f4")


HOSTILE = {  # what is done to a good file -> words of the message
    "external link": (external_link, "links are not followed"), "soft link": (soft_link, "links are not followed"),
    "soft loop": (soft_loop, "links are not followed"), "link in the middle": (link_in_the_middle, "not followed"),
    "linked weight": (linked_weight, "not followed"), "virtual": (virtual, "outside the file"),
    "external storage": (external_storage, "outside the file"),
    "four terabytes": (replace((HUGE // 4, 1), "f4", chunks=(1024, 1)), "bytes of memory"),
    "twelve gigabytes": (replace((3 * 2**30,), "f4", chunks=(1024,), compression="gzip"), "bytes of memory"),
    "five axes": (replace((1, 1, 1, 4, 3)), "axes"), "whole numbers": (replace(dtype="i8"), "wanted floats"),
    "texts": (replace(dtype=h5py.string_dtype()), "wanted floats"),
    "long doubles": (replace(dtype="longdouble"), "wanted floats"),
    "pairs": (replace(dtype=[("a", "f4"), ("b", "f4")]), "wanted floats"),
    "references": (replace(dtype=h5py.ref_dtype), "wanted floats"), "nothing": (replace(None), "wanted floats"),
    "lzf": (replace(compression="lzf"), "something else than gzip"),
    "up": (names("../d"), "cannot be"), "a path": (names("d/d"), "0 layers with weights"),
    "root": (names("/d"), "cannot be"), "an unprintable name": (names("\x1b[31m\u202e"), "lacks"),
    "a missing layer": (names("d", "e", "f"), "lacks 'f'"), "numbers for names": (number_of_names, "else than names"),
    "a group for a weight": (a_group_for_a_weight, "has a group"),
    "a weight for a group": (a_weight_for_a_group, "d is not in the file"),
    "a type for a group": (a_type_for_a_group, "neither a group nor an array"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_hdf5(name, tmp_path):
    change, words = HOSTILE[name]
    outside(tmp_path)
    old(tmp_path / "w.h5", weights())
    try:
        with h5py.File(tmp_path / "w.h5", "r+") as file:
            change(file, tmp_path)
    except (ValueError, OSError, RuntimeError) as error:
        pytest.skip(f"this h5py does not write it: {error}")
    message = is_refused(load_keras, tmp_path / "w.h5", words)
    assert "not for you" not in message


def test_a_circle_of_groups(tmp_path):
    """Hard links that lead back up: the walk ends."""
    with h5py.File(tmp_path / "w.h5", "w") as file:
        group = file.create_group("layers/a")
        group["up"], group["upper"] = file["layers"], file["layers"]
    is_refused(load_keras, tmp_path / "w.h5", "deep|objects")


def test_links_among_groups_that_are_only_looked_through(tmp_path):
    """Keras 3's layout has no list of names: whatever is there is walked, links are refused."""
    outside(tmp_path)
    variables(tmp_path / "w.h5", weights())
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file["layers/more"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    is_refused(load_keras, tmp_path / "w.h5", "links are not followed")


def test_no_weights_at_all(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    is_refused(load_keras, tmp_path / "w.h5", "no weights file of Keras")


def answer(shape, model=None):
    """A program that says that there is one array."""
    array = {"layer": "d", "name": None, "weight": "w", "shape": shape, "dtype": "<f8", "stored": "float64"}
    return f"print({json.dumps({'layout': 'names', 'arrays': [array], 'model': model, 'training': None})!r})"


CHILDREN = {  # what the child does -> words of the message
    "crashes": ("import os; os.abort()", "crashes"),
    "is killed": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes"),
    "says nothing": ("pass", "damaged"),
    "lies": ("print('{\"layout\": \"names\", \"arrays\": [{\"layer\": 1}]}')", "damaged"),
    "says no JSON": ("print('[[[[')", "JSON"),
    "gives too little": (answer([9]), "cannot be read"),
    "asks for too much": (answer([99999999999]), "memory"),
    "asks for less than nothing": (answer([-1]), "damaged"),
    "tells an architecture that is none": (answer([9], model=[7]), "architecture is no text"),
    "tells an error that is none": ("print('{\"error\": [1], \"fix\": {}}')", r"\[1\]"),
    "hangs": ("import time; time.sleep(600)", "too long"),
}


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_that_goes_wrong(name, tmp_path, monkeypatch):
    """It may have been taken over by the file: what it says is checked like the file itself."""
    program, words = CHILDREN[name]
    (tmp_path / "child.py").write_text(program)
    monkeypatch.setattr(hdf5, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(hdf5, "SECONDS", 1 if name == "hangs" else hdf5.SECONDS)
    old(tmp_path / "w.h5", weights())
    is_refused(load_keras, tmp_path / "w.h5", words)


# --- archives --------------------------------------------------------------------------------------------------------


def test_a_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive, \
            archive.open(keras_file.MEMBER, "w") as member:
        for _ in range(80):
            member.write(bytes(2**20))
    is_refused(load_keras, tmp_path / "a.keras", "wanted once, with at most")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_of_the_same_name(good, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        for _ in range(2):
            archive.writestr(keras_file.MEMBER, good["vars.h5"][0])
    is_refused(load_keras, tmp_path / "a.keras", "2 times")


def test_a_size_that_lies(good, tmp_path):
    """The directory says one size, the member has another."""
    content = bytearray(good["a.keras"][0])
    place = content.rindex(b"PK\1\2") + 24
    content[place : place + 4] = struct.pack("<I", 100)
    (tmp_path / "a.keras").write_bytes(content)
    is_refused(load_keras, tmp_path / "a.keras")


# --- ONNX ------------------------------------------------------------------------------------------------------------


def changed(change, tmp_path):
    """The good model with something done to it, as a file."""
    graph, end = onnx_graph()
    proto = graph.model(end)
    change(proto)
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    return tmp_path / "a.onnx"


def external(location, **told):
    """The first weights, (4, 3), in another file."""
    def change(proto):
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **told}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    return change


def dims(*sizes):
    def change(proto):
        del proto.graph.initializer[0].dims[:]
        proto.graph.initializer[0].dims.extend(sizes)
    return change


def constant(op, **attributes):
    """Weights that a node makes."""
    def change(proto):
        node = onnx.helper.make_node(op, ["size"], [proto.graph.initializer[0].name], name="bomb", **attributes)
        del proto.graph.initializer[0]
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([HUGE, HUGE]), "size"))
        proto.graph.node.insert(0, node)
    return change


def circle(proto):
    proto.graph.node[0].input[0] = proto.graph.node[1].output[0]


def input_shape(*sizes):
    def change(proto):
        shape = proto.graph.input[0].type.tensor_type.shape
        del shape.dim[:]
        for size in sizes:
            shape.dim.add().dim_value = size
    return change


def second_input(proto):
    proto.graph.input.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1]))


def opset(version):
    def change(proto):
        proto.opset_import[0].version = version
    return change


def sparse(proto):
    values = onnx.helper.make_tensor("s", onnx.TensorProto.FLOAT, [1], [1.0])
    places = onnx.helper.make_tensor("p", onnx.TensorProto.INT64, [1], [HUGE])
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [2 * HUGE]))


def graph_attribute(proto):
    attribute = proto.graph.node[0].attribute.add()
    attribute.name, attribute.type = "alpha", onnx.AttributeProto.GRAPH


def odd_attribute(proto):
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("alpha", "much"))


def unprintable(proto):
    proto.graph.node[0].op_type = proto.graph.node[0].name = "\x1b[31m\u202e" + "x" * 5000


def many_nodes(proto):
    for _ in range(6000):
        proto.graph.node.append(proto.graph.node[0])


def text_weights(proto):
    proto.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("tensor_0", onnx.TensorProto.STRING, [1], [b"x"]))


def not_finite(proto):
    weights = np.full((4, 3), np.inf, np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "tensor_0"))


HOSTILE_ONNX = {  # what is done to a good file -> words of the message
    "external up": (external("../../etc/passwd"), "a path or a link"),
    "external absolute": (external("/etc/passwd"), "a path or a link"), "external dots": (external(".."), "a path or"),
    "external backslash": (external("a\\b"), "a path or a link"),
    "external link": (external("link"), "a path or a link"),
    "external, no name": (external(""), "a path or a link"), "external, a folder": (external("folder"), "another file"),
    "external, not there": (external("nothing"), "another file"),
    "external, too short": (external("short"), "left"),
    "external, a lie": (external("secret", length="40"), "40 are told"),
    "external, cut off": (external("secret", offset="8"), "cut off"),
    "external, far": (external("secret", offset=str(10**30)), "cut off"),
    "external, before": (external("secret", offset="-8"), "takes 48 bytes"),
    "external, no number": (external("secret", offset="x"), "is damaged"),
    "more numbers than are there": (dims(HUGE, 3), "is damaged"), "fewer": (dims(1, 3), "is damaged"),
    "a negative size": (dims(-4, -3), "is damaged|weights of shape|not fit"),
    "another shape": (dims(6, 2), "3 numbers for 2"),
    "a constant of terabytes": (constant("ConstantOfShape"), "more than the file can mean"),
    "a circle": (circle, "nothing before it makes"), "an unknown size": (input_shape(0, 0), "all but the batch known"),
    "a huge input": (input_shape(1, HUGE), "features"), "no shape": (input_shape(), "wanted"),
    "five axes": (input_shape(1, 2, 3, 4, 5), "wanted"), "two inputs": (second_input, "2 inputs"),
    "an old version": (opset(3), "operator set 3"), "a version to come": (opset(999), "operator set 999"),
    "sparse": (sparse, "sparse initializers"), "a graph for a number": (graph_attribute, "of a kind that is not read"),
    "a text for a number": (odd_attribute, "does not fit"), "unprintable": (unprintable, r"no '?\\x1b"),
    "many nodes": (many_nodes, "at most 5000"), "texts": (text_weights, "no numbers|damaged"),
    "not finite": (not_finite, "infinite"), "no graph": (lambda proto: proto.ClearField("graph"), "no graph"),
    "no output": (lambda proto: proto.graph.ClearField("output"), "0 outputs"),
    "no operator set": (lambda proto: proto.ClearField("opset_import"), "no graph of ONNX's own"),
}


@pytest.mark.parametrize("name", HOSTILE_ONNX)
def test_hostile_onnx(name, tmp_path):
    change, words = HOSTILE_ONNX[name]
    (tmp_path / "secret").write_bytes(SECRET + bytes(48 - len(SECRET)))
    (tmp_path / "short").write_bytes(SECRET)
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "folder").mkdir()
    message = is_refused(load_onnx, changed(change, tmp_path), words)
    assert "not for you" not in message


def test_a_second_file_is_read_no_more_than_it_holds(tmp_path):
    """Two tensors that share its bytes would take more memory than there is in the file."""
    g = Graph((4,))
    end = g.gemm(g.gemm("x", 4, 4), 4, 4)
    proto = g.model(end)
    (tmp_path / "data").write_bytes(bytes(64))
    for tensor in proto.graph.initializer:
        if list(tensor.dims) == [4, 4]:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="data")
    (tmp_path / "a.onnx").write_bytes(proto.SerializeToString())
    is_refused(load_onnx, tmp_path / "a.onnx", "0 left")


def test_images_of_terabytes(tmp_path):
    """No weights, so nothing but the sizes is large."""
    g = Graph((1, 2**20, 2**20))
    end = g("Relu", g("AveragePool", "x", kernel_shape=[1, 1]))
    (tmp_path / "a.onnx").write_bytes(g.bytes(end))
    is_refused(load_onnx, tmp_path / "a.onnx", "at most")


def test_branches_inside_branches(tmp_path):
    """A tree is walked by recursion, so its depth has a bound."""
    g = Graph((4,))

    def nested(x, depth):
        return g("Add", x, nested(g("Relu", x), depth - 1)) if depth else g("Tanh", x)

    (tmp_path / "a.onnx").write_bytes(g.bytes(nested("x", 100)))
    is_refused(load_onnx, tmp_path / "a.onnx", "deep")


# --- safetensors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header, words", [
    (b'{"a.weight":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}', "needs"),
    (b'{"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', "begins at byte 4"),
    (b'{"a.weight":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]}}', "dtype"),
    (b'{"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a.weight":1}', "twice"),
    (b"[" * 5000, "JSON|nested|safetensors|unknown"), (b"[]", "table|safetensors|unknown"), (b"{}", "take 0 bytes"),
])
def test_hostile_safetensors(header, words, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    is_refused(read_torch, tmp_path / "a.safetensors", words)


@pytest.mark.parametrize("kind, axes", [("a chain", ()), ("convolutions", (3, 3))])
def test_a_name_of_thousands_of_digits(kind, axes, tmp_path):
    """Python makes no whole number of so many."""
    first, last = (f"{letter}{'9' * 5000}.weight" for letter in "ab")
    (tmp_path / "a.safetensors").write_bytes(to_safetensors({
        first: np.ones((2, 1, *axes), np.float32), last: np.ones((2, 9), np.float32)}))
    is_refused(lambda path: load_torch(path), tmp_path / "a.safetensors", "shape of their input|takes 9 features")



def test_names_are_never_paths(tmp_path):
    """They are shown escaped, and open nothing."""
    state = {"../../\x1b[31m.weight": np.ones((3, 4), np.float32)}
    (tmp_path / "a.safetensors").write_bytes(to_safetensors(state))
    is_refused(load_torch, tmp_path / "a.safetensors", "1 Linear, the model 2")
    assert list(read_torch(tmp_path / "a.safetensors")) == ["../../\x1b[31m"]


def test_nothing_is_written(good, tmp_path):
    """No reader leaves a file behind."""
    for kind, (content, load) in good.items():
        (tmp_path / kind).write_bytes(content)
        load(model(), tmp_path / kind) if load is not load_onnx else load(tmp_path / kind)
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == sorted(good)
    assert set(read_keras(tmp_path / "old.h5")) == {"d", "e"}


# --- whole models of Keras -------------------------------------------------------------------------------------------


def from_description(path):
    """A whole model, of a description in a file and the weights of one layer, without HDF5."""
    entries = [Entry("layers/dense", None, "0", np.ones((4, 3), np.float32))]
    return model_of(Saved("vars", [], entries, json.loads(path.read_text())), path, "auto")


def circle():
    """Two layers, each of which is given the other's output."""
    return functional((4,), (layer("ReLU", "a"), ["b"]), (layer("ReLU", "b"), ["a"]))


def inside(depth):
    """A model inside a model, and so on."""
    net = sequential(layer("ReLU"), shape=(4,))
    for _ in range(depth):
        net = sequential(net, shape=(4,))
    return net


def often(depth):
    """A model that calls a model twice, which calls one twice, and so on: 2**depth calls in a few lines."""
    inner = functional((4,), (layer("ReLU", "a"), ["x"]), name="m")
    for _ in range(depth):
        first, second = inner | {"name": "m"}, layer("ReLU", "end")
        inner = functional((4,), (first, ["x"]), (second, ["m"]), name="m")
        calls = inner["config"]["layers"][1]["inbound_nodes"]
        calls.append(json.loads(json.dumps(calls[0]).replace('"x"', '"m"')))
        inner["config"]["layers"][2]["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = ["m", 1, 0]
    return inner


def wide(**config):
    return sequential(layer("Dense", **{"units": HUGE, "use_bias": False, "activation": "linear"} | config), shape=(4,))


DESCRIPTIONS = {
    "a circle": (circle(), "depends on itself"),
    "deep": (inside(40), "more than 20 deep"),
    "often": (often(18), "more than 5,000 layers"),
    "huge": (wide(), "wanted a whole number"),
    "wide": (wide(units=2**31 - 1), "shape"),
    "a huge input": (sequential(layer("Flatten"), shape=(2**31 - 1, 2**31 - 1, 4)), "more than the file|at most"),
    "a huge window": (sequential(layer("MaxPooling2D", pool_size=[HUGE, 1]), shape=(4, 4, 1)), "pool_size"),
    "a name with slashes": (sequential(layer("Dense", "../../etc/passwd", units=3, use_bias=False), shape=(4,)), None),
    "names of lists": (sequential(layer("Dense", ["a"]), shape=(4,)), "units"),
    "a layer that is missing": (functional((4,), (layer("ReLU", "a"), ["nowhere"])), "call 0 of nowhere"),
    "a call that is missing": (functional((4,), (layer("ReLU", "a"), ["x"]), output="b"), "call 0 of b"),
    "a layer of nothing": ({"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": []}]}},
                           "without its class or its arguments|the shape"),
    "half a layer": (sequential({"class_name": "Dense", "config": []}, shape=(4,)), "without its class"),
    "a model without layers": (sequential({"class_name": "Sequential", "config": {"name": "inner"}}, shape=(4,)),
                               "describes a layer without"),
    "a million inputs": (functional((4,), (layer("Add", "a"), ["x"] * 3_000)), "no output of a layer"),
    "a number for a tensor": (functional((4,), (layer("ReLU", "a"), [7])), "refers to"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions(name, tmp_path):
    """No loop, no memory and no path that a description asks for."""
    config, words = DESCRIPTIONS[name]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    if words is None:
        assert list(from_description(path).layers) == ["etc_passwd"]
    else:
        is_refused(from_description, path, words)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"config": ' * 50_000, "{"])
def test_damaged_descriptions_of_whole_models(text, tmp_path):
    path = tmp_path / "a.keras"
    whole(path, {}, {"layers/dense": [np.ones(3, np.float32)]})
    with zipfile.ZipFile(path) as file:
        weights_member = file.read("model.weights.h5")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", text)
        file.writestr("model.weights.h5", weights_member)
    is_refused(lambda path: load_keras(path), path, "damaged config")
