"""Model files from strangers: whatever is wrong with one is refused in one line, before memory is taken for it."""
import copy
import json
import os
import pickle
import string
import struct
import zipfile

import h5py
import numpy as np
import pytest
from forge import File, bit, fact, framed, good_files, other, refuse, spoil, text
from hypothesis import given, settings
from hypothesis import strategies as st

import minnet as mn
from minnet.errors import FileError, MinnetError
from minnet.formats.storage import describe, load, save
from minnet.formats.tensors import MOST_HEADER

MAX = np.iinfo(np.uint16).max


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return good_files(tmp_path_factory.mktemp("hostile"))


def test_a_file_taken_apart_and_put_together_is_good(folder):
    """So what is refused below is refused for what was changed; and all three forms of a tensor are there to change."""
    assert {"dense1.weight.columns", "dense1.bias.mask", "dense3.weight.mask"} <= set(File(folder / "model").header)
    for base in ("model", "run"):
        path = spoil(folder, lambda file: None, base)
        good, other = load(folder / base), load(path)
        good, other = getattr(good, "model", good), getattr(other, "model", other)
        assert good.values.tobytes() == other.values.tobytes() and good.mask.tobytes() == other.mask.tobytes()
        assert describe(path)["kind"] == ("model" if base == "model" else "state")


# --- the container ---------------------------------------------------------------------------------------------------


def test_every_truncation_is_refused(tmp_path):
    good, path = tmp_path / "good", tmp_path / "cut"
    save(mn.Model(mn.Dense(2), (3,), rng=0), good)
    content = good.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        for read in (load, describe):
            with pytest.raises(FileError) as caught:
                read(path)
            assert str(caught.value).startswith(f"{path}: ") and str(caught.value).isprintable()
    path.write_bytes(content)
    assert load(path).values.tobytes() == load(good).values.tobytes()


def entry(dtype, shape, start, stop):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


CONTAINERS = {  # bytes, and what the message says
    "empty": (b"", "empty"),
    "7 bytes": (b"\2\0\0\0\0\0\0", "not a model file"),
    "8 bytes": (struct.pack("<Q", 2), "not a model file"),
    "header of 0 bytes": (struct.pack("<Q", 0) + b"{}", "not the JSON"),
    "header of 2^63 bytes": (struct.pack("<Q", 2**63) + b"{}", "claims 9,223,372,036,854,775,808 bytes"),
    "header longer than the file": (struct.pack("<Q", 3) + b"{}", "claims 3 bytes"),
    "no table": (framed("[1]"), "not a model file"),
    "no JSON": (framed("{,}"), "not the JSON"),
    "no UTF-8": (framed(b'{"\xff": 1}'), "not the JSON"),
    "UTF-16": (framed('{"a": 1}'.encode("utf-16")), "not a model file"),
    "two values": (framed("{}{}"), "not the JSON"),
    "nothing in it": (framed("{}"), "minnet did not write"),
    "nested 10^5 deep": (framed('{"a":' * 10**5 + "1" + "}" * 10**5), "nested"),
    "nested 150 deep": (framed('{"a":' + "[" * 150 + "]" * 150 + "}"), "nested more than 100 deep"),
    "NaN": (framed('{"a": NaN}'), "NaN is no number"),
    "Infinity": (framed('{"a": -Infinity}'), "-Infinity is no number"),
    "1e999": (framed('{"a": 1e999}'), "1e999 is no finite number"),
    "a number of 5000 digits": (framed('{"a": ' + "9" * 5000 + "}"), "5000 digits"),
    "the same tensor twice": (framed('{"a": 1, "a": 1}'), "'a' is in it twice"),
    "metadata twice": (framed('{"__metadata__": {}, "__metadata__": {}}'), "twice"),
    "metadata is a list": (framed('{"__metadata__": []}'), "no table of texts"),
    "metadata is null": (framed('{"__metadata__": null}'), "no table of texts"),
    "metadata of numbers": (framed('{"__metadata__": {"minnet": 1}}'), "no table of texts"),
    "somebody else's": (framed('{"__metadata__": {"format": "pt"}}'), "import it"),
    "header of 9 MB": (framed("{" + " " * 9 * 2**20 + "}"), f"at most {MOST_HEADER:,}"),
    "100,000 keys": (framed("{" + ",".join(f'"{i}":0' for i in range(100_000)) + "}"), "minnet did not write"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_bad_container_is_refused(tmp_path, name):
    content, wanted = CONTAINERS[name]
    (tmp_path / "m").write_bytes(content)
    refuse(tmp_path / "m", wanted)


def shift(name, start=0, stop=0):
    def change(file):
        file.header[name]["data_offsets"][0] += start
        file.header[name]["data_offsets"][1] += stop
    return change


def put(name, value):
    def change(file):
        file.header[name] = value
    return change


TILES = {
    "begins one early": (shift("dense2.weight", -1, -1), "begins at byte"),
    "begins one late": (shift("dense2.weight", 1, 1), "begins at byte"),
    "one byte longer": (shift("dense2.weight", 0, 1), "bytes, its shape"),
    "one byte shorter": (shift("dense2.weight", 0, -1), "bytes, its shape"),
    "a hole": (lambda file: file.header.pop("dense2.weight") and None, "begins at byte"),
    "an overlap": (lambda file: put("more", entry("U8", [1], 0, 1))(file), "begins at byte"),
    "trailing bytes": (lambda file: file.bytes() + b"x", "the file holds"),
    "bytes missing": (lambda file: file.bytes()[:-1], "the file holds"),
    "negative offsets": (put("dense2.bias", entry("F32", [64], -256, 0)), "whole numbers"),
    "offsets of 2^64": (put("dense2.bias", entry("F32", [64], 2**64, 2**64 + 256)), "begins at byte"),
    "offsets turned round": (put("dense2.bias", entry("F32", [64], 256, 0)), "bytes, its shape"),
    "three offsets": (put("dense2.bias", entry("F32", [64], 0, 1) | {"data_offsets": [0, 256, 512]}), "wanted lists"),
    "offsets are true": (put("dense2.bias", entry("F32", [64], False, True)), "whole numbers"),
    "offsets are 0.0": (put("dense2.bias", entry("F32", [64], 0.0, 256.0)), "whole numbers"),
    "shape product 2^64": (put("dense2.bias", entry("F32", [2**32, 2**32], 0, 256)), "bytes, its shape"),
    "shape (0, 2^40)": (lambda file: put("dense2.bias", entry("F32", [0, 2**40], 0, 0))(file), ""),
    "shape -1": (put("dense2.bias", entry("F32", [-64], 0, 256)), "whole numbers"),
    "shape is 64": (put("dense2.bias", entry("F32", 64, 0, 256)), "wanted lists"),
    "shape of true": (put("dense2.bias", entry("U8", [True], 0, 1)), "whole numbers"),
    "10^5 axes": (put("dense2.bias", entry("F32", [1] * 10**5, 0, 4)), "wanted lists"),
    "dtype BF16": (put("dense2.bias", entry("BF16", [128], 0, 256)), "tensor dense2.bias has the dtype 'BF16'"),
    "dtype F16": (put("dense2.bias", entry("F16", [128], 0, 256)), "'F16'"),
    "dtype I16": (put("dense2.bias", entry("I16", [128], 0, 256)), "'I16'"),
    "dtype is a list": (put("dense2.bias", entry([], [64], 0, 256)), "has the dtype"),
    "no dtype": (put("dense2.bias", {"shape": [64], "data_offsets": [0, 256]}), "has no dtype"),
    "a key too many": (put("dense2.bias", entry("F32", [64], 0, 256) | {"x": 1}), "more than these"),
    "an entry that is no table": (put("dense2.bias", "F32"), "has no dtype"),
}


@pytest.mark.parametrize("name", TILES)
def test_bad_tensors_are_refused(folder, name):
    change, wanted = TILES[name]
    refuse(spoil(folder, change), wanted)


# --- our own description ---------------------------------------------------------------------------------------------


FACTS = {
    "no version": (lambda file: file.facts.pop("format_version") and None, "format_version is None"),
    "version 0": (fact("format_version", 0), "format_version is 0"),
    "version -1": (fact("format_version", -1), "format_version is -1"),
    "version '1'": (fact("format_version", "1"), "format_version is '1'"),
    "version true": (fact("format_version", True), "format_version is True"),
    "version 1.0": (fact("format_version", 1.0), "format_version is 1.0"),
    "version 10^90": (fact("format_version", 10**90), "format_version is 1000"),
    "no writer": (lambda file: file.facts.pop("minnet") and None, "with the keys"),
    "a writer that is a list": (fact("minnet", [1]), "by which version"),
    "another kind": (fact("kind", "predictor"), "of the kind 'predictor'"),
    "kind is a list": (fact("kind", ["model"]), "of the kind ['model']"),
    "kind state without one": (fact("kind", "state"), "with the keys"),
    "a key too many": (fact("__class__", "os.system"), "__class__"),
    "made is a list": (fact("made", []), "does not say in a table"),
    "a list": (text(lambda good: f"[{good}]"), "no table"),
    "a key twice": (text(lambda good: good[:-1] + ', "kind": "model"}'), "'kind' is in it twice"),
    "a layer's key twice":
        (text(lambda good: good.replace('"units": 3', '"units": 3, "units": 3')), "'units' is in it twice"),
    "NaN": (text(lambda good: good.replace("0.1", "NaN")), "NaN is no number"),
    "1e999": (text(lambda good: good.replace("0.1", "1e999")), "1e999 is no finite number"),
    "cut off": (text(lambda good: good[:-9]), "not the JSON"),
    "empty": (text(lambda good: ""), "not the JSON"),
    "deep": (text(lambda good: good[:-1] + ', "x": ' + "[" * 10**5 + "]" * 10**5 + "}"), "nested"),
}


@pytest.mark.parametrize("name", FACTS)
def test_a_bad_description_is_refused(folder, name):
    change, wanted = FACTS[name]
    refuse(spoil(folder, change), wanted)


def test_a_newer_version_says_who_wrote_it(folder):
    def newer(file):
        file.facts = {"format_version": 5, "minnet": "7.1.0", "shape": "all new"}

    refuse(spoil(folder, newer), "format_version is 5, written by minnet '7.1.0'", f"this is minnet {mn.__version__}")


# --- tensors against the architecture --------------------------------------------------------------------------------


MASK, COLUMNS, COUNTS = "dense3.weight.mask", "dense1.weight.columns", "dense1.weight.counts"


def rows(first, second, columns=(1, 2, 3, 4, 5)):
    """The five live columns of dense1, said to stand in the first two rows."""
    def change(file):
        file.array(COUNTS)[:] = [first, second, *[0] * 6]
        file.array(COLUMNS)[:] = columns
    return change


MISMATCHES = {  # change, what the message says, and whether the header alone shows it
    "a tensor missing": (other("dense2.bias", None), "tensor dense2.bias is missing", True),
    "a tensor too many": (other("dense2.gain", np.zeros(3, "f4")), "tensor dense2.gain belongs to no parameter", True),
    "a vector of a run": (other("state.vectors", np.zeros((2, 3), "f4")), "state.vectors belongs to no", True),
    "another shape": (other("dense2.weight", np.zeros((32, 128), "f4")), "wants F32 of shape (64, 64)", True),
    "flat": (other("dense2.weight", np.zeros(64 * 64, "f4")), "the architecture wants", True),
    "empty": (other("dense2.weight", np.zeros((0, 64), "f4")), "the architecture wants", True),
    "without axes": (other("dense2.bias", np.zeros((), "f4")), "the architecture wants", True),
    "float64": (other("dense2.bias", np.zeros(64, "f8")), "the architecture wants F32", True),
    "whole numbers": (other("dense2.bias", np.zeros(64, "u1")), "the architecture wants F32", True),
    "mask too short": (other(MASK, np.zeros(23, "u1")), f"tensor {MASK} is U8 of shape (23,)", True),
    "mask too long": (other(MASK, np.zeros(25, "u1")), f"tensor {MASK} is U8 of shape (25,)", True),
    "mask of 16-bit words": (other(MASK, np.zeros(12, "u2")), f"tensor {MASK} is U16", True),
    "mask without its values": (other("dense3.weight", None), "tensor dense3.weight is missing", True),
    "a mask of statistics": (other("batchnorm1.mean.mask", np.full(8, 255, "u1")), "statistics have none", True),
    "a mask of nothing": (other("relu1.weight.mask", np.full(8, 255, "u1")), "belongs to no parameter", True),
    "mask and columns": (other("dense1.weight.mask", np.zeros(64, "u1")), "belongs to no parameter", True),
    "columns without counts": (other(COUNTS, None), f"tensor {COUNTS} is missing", True),
    "counts without columns": (other(COLUMNS, None), "wants F32 of shape (8, 64)", True),
    "counts too few": (other(COUNTS, np.zeros(7, "u2")), f"tensor {COUNTS} is U16 of shape (7,)", True),
    "columns too few": (other(COLUMNS, np.zeros(4, "u2")), f"tensor {COLUMNS} is U16 of shape (4,)", True),
    "columns of 8 bits": (other(COLUMNS, np.zeros(5, "u1")), f"tensor {COLUMNS} is U8", True),
    "an index": (other("dense1.weight.index", np.zeros(5, "u1")), "belongs to no parameter", True),
    "a bit too many": (lambda file: bit(MASK, 0, file.array(MASK)[0] ^ 0x80)(file), "dense3.weight has a mask", False),
    "all bits": (lambda file: bit(MASK, slice(None), 255)(file), "192 live entries, but 100 values", False),
    "no bits": (lambda file: bit(MASK, slice(None), 0)(file), "0 live entries, but 100 values", False),
    "counts too large": (bit(COUNTS, 0, MAX), "but lists 5", False),
    "counts too small": (bit(COUNTS, slice(None), 0), "rows with 0 live columns", False),
    "column out of range": (rows(2, 3, (1, 2, 3, 4, 64)), "lists column 64; it has 64", False),
    "column 65535": (rows(2, 3, (MAX, 2, 3, 4, 5)), "lists column 65535", False),
    "columns out of order": (rows(2, 3, (2, 1, 3, 4, 5)), "out of order", False),
    "a column twice": (rows(2, 3, (1, 1, 3, 4, 5)), "twice", False),
    "NaN": (bit("dense2.weight", 3, np.nan), "dense2.weight holds 1 numbers that are NaN", False),
    "infinity in live values": (bit("dense1.weight", 4, np.inf), "dense1.weight holds 1 numbers", False),
    "NaN in statistics": (bit("batchnorm1.mean", 0, np.nan), "batchnorm1.mean holds", False),
    "a negative variance": (bit("batchnorm1.variance", 0, -1), "batchnorm1.variance holds negative", False),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_tensors_that_do_not_fit_are_refused(folder, name):
    change, wanted, in_header = MISMATCHES[name]
    path = spoil(folder, change)
    refuse(path, wanted, read=(load, describe) if in_header else (load,))
    if not in_header:
        assert describe(path)["kind"] == "model", "describe reads no numbers"


def test_bits_beyond_the_end_are_refused(folder):
    """The mask of dense1's bias has 64 bits, so one of a size that is no multiple of 8 is made here."""
    model, path = mn.Model(mn.Dense(3), (1,), rng=0), folder / "padded"
    model.set_mask(np.array([1, 0, 1, 1, 1, 1], bool))
    save(model, path)
    file = File(path)
    assert file.array("dense1.weight.mask").tolist() == [0b10100000]
    file.array("dense1.weight.mask")[0] = 0b10100001
    path.write_bytes(file.bytes())
    refuse(path, "dense1.weight has bits set beyond its end", read=(load,))


def test_columns_that_ask_for_much_memory_are_refused(folder):
    """200 kB of zeros that would be a layer of 26 GB."""
    def change(file):
        file.facts["architecture"] = {"dtype": "float32", "input_shape": [100_000], "tree": {
            "type": "Dense", "name": "d", "units": MAX, "use_bias": False, "initialiser": "he"}}
        file.header, file.data = {"__metadata__": {"minnet": ""}}, bytearray()
        file.replace("d.weight", np.zeros(0, "f4"))
        file.replace("d.weight.columns", np.zeros(0, "u2"))
        file.replace("d.weight.counts", np.zeros(100_000, "u2"))

    refuse(spoil(folder, change), "32,767,500,000 bytes of memory", read=(load,))


# --- other files under this name -------------------------------------------------------------------------------------


def pytorch(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1]))


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)


def numpy_archive(path):
    with path.open("wb") as file:
        np.savez(file, X=np.zeros(3))


class Runs:
    """A pickle that would write a file if it were opened."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


OTHERS = {
    "pickle": (lambda path: path.write_bytes(pickle.dumps(Runs())), "pickle can run code"),
    "PyTorch": (pytorch, "`from safetensors.torch import save_file`, then `save_file(net.state_dict()"),
    "HDF5": (hdf5, "minnet import"),
    "npz": (numpy_archive, "a NumPy archive"),
    "HTML": (lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), "fetch the file itself"),
    "text": (lambda path: path.write_text("hello"), "a text file"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(40)), "unpack it first"),
    "zeros": (lambda path: path.write_bytes(bytes(40)), "not a model file"),
    "folder": (lambda path: path.mkdir(), "give a file, not a folder"),
    "pipe": (lambda path: os.mkfifo(path), "give a file, not a folder, pipe or device"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "pipe or device"),
    "link to itself": (lambda path: path.symlink_to(path), "its link leads to itself"),
    "nothing": (lambda path: None, "check the name"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_told_by_their_content(tmp_path, monkeypatch, name):
    make, wanted = OTHERS[name]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "m.safetensors")
    refuse(tmp_path / "m.safetensors", wanted)


def layer(place, **arguments):
    return lambda file: file.layers[place].update(arguments)


NAMES = ["../../x", "\x1b[31mred", "a\nb", "\u202egpj.exe", "nul\0", "x" * 10**6, "\ud800", "<script>alert(1)</script>",
         "__class__", ""]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_name_reaches_the_terminal_or_the_disk_as_it_is(folder, name):
    """As the name of a tensor, a layer, a type, an argument, the writer: the message is one printable line."""
    for change in (lambda file: file.replace(name, np.zeros(1, "u1")), layer(0, name=name), layer(0, type=name),
                   lambda file: file.layers[0].update({name: 1}), fact("kind", name), fact(name, 1),
                   lambda file: file.facts.update(minnet=name, format_version=3), layer(0, initialiser=name)):
        refuse(spoil(folder, change), read=(load,))


# --- fuzz ------------------------------------------------------------------------------------------------------------


def loads_or_refuses(path):
    """A MinnetError in one line, or an object that can be saved again."""
    for read in (describe, load):
        try:
            found = read(path)
        except MinnetError as error:
            assert str(error).isprintable()
            return
    save(found, path)


edits = st.tuples(st.sampled_from(["flip", "insert", "delete", "repeat"]), st.floats(0, 1, exclude_max=True),
                  st.binary(min_size=1, max_size=8))


@settings(max_examples=100)
@given(st.sampled_from(["model", "run"]), st.lists(edits, min_size=1, max_size=4))
def test_any_bytes_load_or_are_refused(folder, base, changes):
    content = bytearray((folder / base).read_bytes())
    for kind, where, more in changes:
        at = int(where * len(content))
        if kind == "flip":
            content[at] ^= more[0] or 1
        elif kind == "insert":
            content[at:at] = more
        elif kind == "delete":
            del content[at : at + len(more)]
        else:
            content[at:at] = content[at : at + 8 * len(more)]
    (folder / "fuzz").write_bytes(content)
    loads_or_refuses(folder / "fuzz")


def places(value, path=()):
    """The path of every value in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def changed(value, path, new):
    """The JSON value with `new` at this path."""
    if not path:
        return new
    made = copy.copy(value)
    made[path[0]] = changed(value[path[0]], path[1:], new)
    return made


WORDS = ["Dense", "ReLU", "Sequential", "SGD", "same", "he", "name", "type", "units", "float64", "state", "dense1"]
scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 70), st.sampled_from([2**31, 2**63, 2**128]), st.floats(),
                    st.sampled_from(WORDS), st.text(string.printable, max_size=5))
things = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3), max_leaves=5)


@settings(max_examples=100)
@given(st.sampled_from(["model", "run"]), st.data())
def test_any_description_loads_or_is_refused(folder, base, data):
    """One value anywhere in our JSON or in the header is another: the deep checks meet what the shallow ones let by."""
    file = File(folder / base)
    whole = file.facts if data.draw(st.booleans()) else {k: v for k, v in file.header.items() if k != "__metadata__"}
    path = data.draw(st.sampled_from(sorted(places(whole), key=repr)))
    if whole is file.facts:
        file.facts = changed(whole, path, data.draw(things))
        if isinstance(file.facts, str):
            file.facts = json.dumps(file.facts)
    else:
        new = changed(whole, path, data.draw(things))
        file.header = {"__metadata__": file.header["__metadata__"]} | (new if isinstance(new, dict) else {})
    (folder / "fuzz").write_bytes(file.bytes())
    loads_or_refuses(folder / "fuzz")


# --- the fingerprint -------------------------------------------------------------------------------------------------

CHANGED = {
    "a weight": lambda file: file.array("dense3.weight").__setitem__(0, 0.5) and None,
    "a mask": lambda file: file.array("dense3.weight.mask")[:2].__ixor__(255) is None or None,
    "an activation": lambda file: file.layers[2].update(type="Tanh"),
    "the signature": fact("signature", {"shape": [8], "scaling": None, "task": "classes", "target": None,
                                        "feature_names": None, "classes": ["a", "b", "c"]}),
    "the fingerprint": fact("fingerprint", "0" * 64),
    "no fingerprint in it": fact("fingerprint", None),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_file_is_refused_by_name(folder, name):
    refuse(spoil(folder, CHANGED[name]), "its fingerprint is", "it was changed after it was saved", read=(load,))


def test_notes_may_change_and_older_files_have_no_fingerprint(folder):
    def older(file):
        for key in ("signature", "frozen", "fingerprint"):
            del file.facts[key]
        file.facts["format_version"] = 1

    good = load(folder / "model")
    for change in (fact("made", {"seed": 9}), older):
        assert (load(path := spoil(folder, change)).values == good.values).all()
        assert describe(path)["fingerprint"] in (None, describe(folder / "model")["fingerprint"])
    assert describe(path)["fingerprint"] is None and len(describe(folder / "model")["fingerprint"]) == 64
