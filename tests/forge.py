"""Model files that no honest program writes, made from a good one; and what it is to refuse one.

    path = spoil(folder, lambda file: file.replace("dense2.bias", None))    # `folder` holds good_files
    refuse(path, "tensor dense2.bias is missing")
"""
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest

import minnet as mn
from minnet.engine.state import State
from minnet.errors import FileError
from minnet.formats.storage import describe, load, save

LONGEST_MESSAGE = 800
LITTLE_MEMORY = 3 * 2**20      # what looking at a small hostile file may take


def wide():
    """A model that has a dense, a bit and a column tensor, and statistics: dense1 (8, 64), dense2 (64, 3)."""
    tree = mn.Sequential(mn.Dense(64), mn.BatchNorm(), mn.ReLU(), mn.Residual(mn.Dense(64)), mn.Dropout(), mn.Dense(3))
    model = mn.Model(tree, (8,), rng=0)
    mask = np.ones_like(model.mask)
    for name, live in (("dense1.weight", 5), ("dense3.weight", 100), ("dense1.bias", 60)):
        p = model.parameters[name]
        p.of(mask).reshape(-1)[np.random.default_rng(0).permutation(p.size)[live:]] = False
    model.set_mask(mask)
    return model


def good_files(folder):
    """Put a good model and a good run into the folder, and return it."""
    save(wide(), folder / "model", made={"seed": 0})
    save(State(wide(), mn.Adam(), 3, 2), folder / "run")
    return folder


class File:
    """A file taken apart: its header (a dict), our facts (a dict), and its data; `write` puts it together as it is."""

    def __init__(self, path):
        content = path.read_bytes()
        begin = 8 + struct.unpack("<Q", content[:8])[0]
        self.header, self.data = json.loads(content[8:begin]), bytearray(content[begin:])
        self.facts = json.loads(self.header["__metadata__"]["minnet"])

    @property
    def layers(self):
        return self.facts["architecture"]["tree"]["layers"]

    def array(self, name):
        """A writable view of one tensor."""
        start, stop = self.header[name]["data_offsets"]
        dtype = {"F32": "<f4", "U16": "<u2", "U8": "u1"}[self.header[name]["dtype"]]
        return np.frombuffer(memoryview(self.data)[start:stop], dtype)

    def replace(self, name, array):
        """Another array under this name (None takes it away); all others move up."""
        entries = {key: entry for key, entry in self.header.items() if key != "__metadata__"}
        parts = {key: (entry, bytes(self.data[slice(*entry["data_offsets"])])) for key, entry in entries.items()}
        parts.pop(name, None)
        if array is not None:
            code = {"f4": "F32", "f8": "F64", "u2": "U16", "u1": "U8", "f2": "F16", "i1": "I8"}[array.dtype.str[1:]]
            parts[name] = {"dtype": code, "shape": list(array.shape)}, array.tobytes()
        self.header, self.data = {"__metadata__": self.header["__metadata__"]}, bytearray()
        for key, (entry, content) in parts.items():
            self.header[key] = entry | {"data_offsets": [len(self.data), len(self.data) + len(content)]}
            self.data += content

    def bytes(self):
        metadata = self.header.get("__metadata__")
        if isinstance(metadata, dict) and "minnet" in metadata and metadata["minnet"] is not KEEP:
            metadata["minnet"] = self.facts if isinstance(self.facts, str) else json.dumps(self.facts)
        return framed(json.dumps(self.header), self.data)


KEEP = object()


def framed(header, data=b""):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header)) + header + data


def refuse(path, *wanted, read=(load, describe)):
    """All of `read` refuse the file in one printable line that begins with its name and has all of `wanted` in it."""
    before = sorted(os.listdir(path.parent))
    for reader in read:
        tracemalloc.start()
        try:
            with pytest.raises(FileError) as caught:
                reader(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        message = str(caught.value)
        assert message.isprintable() and message.startswith(f"{path}: ") and len(message) < LONGEST_MESSAGE
        for text in wanted:
            assert text in message
        size = path.stat().st_size if path.is_file() else 0
        assert peak < LITTLE_MEMORY + 30 * size, "memory was taken on the word of the file"
    assert sorted(os.listdir(path.parent)) == before


def spoil(folder, change, base="model"):
    """The path of a copy of a good file, after `change(file)`, which may also return the bytes themselves."""
    file, path = File(folder / base), folder / "spoiled"
    made = change(file)
    path.write_bytes(made if isinstance(made, bytes) else file.bytes())
    return path


# --- changes: each makes a function of a File ------------------------------------------------------------------------


def fact(key, value):
    def change(file):
        file.facts[key] = value
    return change


def text(made):
    def change(file):
        file.facts = made(json.dumps(file.facts))
    return change


def other(name, array):
    return lambda file: file.replace(name, array)


def bit(name, byte, value):
    def change(file):
        file.array(name)[byte] = value
    return change
