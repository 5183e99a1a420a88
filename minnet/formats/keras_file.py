"""Open a file of Keras and take out what is in it: arrays by layer, and the JSON of the architecture.

saved = read_saved("net.keras")         # .h5, .weights.h5 or .keras; nothing in it is executed
saved.layout, saved.layers              # "names" or "vars", [KerasLayer, ...]
saved.entries, saved.model              # the arrays one by one; the architecture, None in a file of weights alone
"""
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field

from minnet.errors import file_error, quoted
from minnet.files import KINDS, opened, sniff
from minnet.formats.assign import natural
from minnet.formats.hdf5 import Entry, read_hdf5
from minnet.formats.layout import most_memory
from minnet.formats.tensors import ADVICE

MEMBER, CONFIG = "model.weights.h5", "config.json"      # of a .keras archive
POLICIES = ("DTypePolicy", "Policy")    # of Keras 3, and before
MOST_CONFIG = 16 * 2**20    # bytes of the JSON that is read
FIX = "give a .h5, .weights.h5 or .keras file"
# what reading a member of a damaged archive raises; RecursionError, of lists in lists, is a RuntimeError
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """One layer of a file: its name, its path there, and its arrays by their names, in the file's order.

    `named` says whether the name is the layer's own; else it is the last part of the path.
    """

    name: str
    path: str
    arrays: dict = field(default_factory=dict)
    named: bool = False


@dataclass(frozen=True, eq=False)
class Saved:
    """What a file of Keras holds.

    `layout` is "names" (layers in the order of the model) or "vars" (Keras 3), `layers` and `entries` are its arrays,
    `model` is the JSON of its architecture, or None, and `loss` that of the loss that it was compiled with, or None.
    """

    layout: str
    layers: list[KerasLayer]
    entries: list[Entry]
    model: object = None
    loss: object = None


def read_saved(path):
    """Return what is Saved in the file `path`; FileError where it is no whole file of Keras, or refers to others."""
    with _weights_file(path) as (file, text):
        contents = read_hdf5(file, os.fstat(file.fileno()).st_size, path)
    model = _parsed(contents.model if text is None else text, path)
    training = _parsed(contents.training, path)
    if isinstance(model, dict) and training is None:
        training = model.get("compile_config")
    loss = training.get("loss") if isinstance(training, dict) else None
    layers = _layers(contents.layout, contents.entries)
    return Saved(contents.layout, layers, contents.entries, model, loss)


def narrow(saved):
    """Return the types of 16 bits in which a file has its numbers, or computes (its dtype policies)."""
    found, waiting = {entry.stored for entry in saved.entries}, [saved.model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            config = value.get("config")
            if value.get("class_name") in POLICIES and isinstance(config, dict):
                found |= {str(config.get("name")).removeprefix("mixed_")}
            waiting += value.values()
        waiting += value if isinstance(value, list) else []
    return found & {"float16", "bfloat16"}


def _parsed(text, path):
    """Return the value of a JSON text, None for None."""
    try:
        return None if text is None else json.loads(text)
    except DAMAGED as error:
        raise file_error(path, f"has a damaged {CONFIG}: {quoted(str(error))}", "save the model again") from error


def _layers(layout, entries):
    """Return [KerasLayer, ...] of the file's arrays."""
    found = {}
    nested = _nested(entries) if layout == "names" else set()
    for entry in entries:
        parts = entry.weight.split("/")
        place = "/".join(parts[:-1]) if entry.layer in nested else entry.layer
        named = layout == "names" or bool(entry.name)
        name = entry.name if layout == "vars" and entry.name else place.rpartition("/")[2]
        layer = found.setdefault((entry.layer, place), KerasLayer(name, place, named=named))
        layer.arrays[parts[-1].removesuffix(":0")] = entry.value
    layers = list(found.values())
    return _unique(layers if layout == "names" else sorted(layers, key=lambda layer: natural(layer.path)))


@contextmanager
def _weights_file(path):
    """Open the HDF5 file itself, or that of an archive, unpacked to a temporary one, with the text beside it."""
    kind = sniff(path)
    if kind not in ("hdf5", "keras"):
        fix = FIX if kind in ("empty", "safetensors") else ADVICE.get(kind, FIX)
        raise file_error(path, f"is {KINDS[kind]}, not a weights file of Keras", fix)
    with opened(path) as file:
        if kind == "hdf5":
            yield file, None
            return
        with tempfile.TemporaryFile() as unpacked:
            yield unpacked, _unpack(file, unpacked, path)


def _unpack(file, target, path):
    """Write the weights inside the archive `file` to `target`, if they are there once and not too large.

    Return the text of the architecture, or None where the archive has none.
    """
    most = most_memory(os.fstat(file.fileno()).st_size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if info.filename == MEMBER]
            if len(members) != 1 or members[0].file_size > most:
                sizes = [f"{info.file_size:,}" for info in members]
                raise file_error(path, f"holds {MEMBER} {len(members)} times, with {', '.join(sizes) or 0} bytes; "
                                   f"wanted once, with at most {most:,}")
            with archive.open(members[0]) as member:
                shutil.copyfileobj(member, target)
            told = CONFIG in archive.namelist() and archive.getinfo(CONFIG).file_size <= MOST_CONFIG
            text = archive.read(CONFIG) if told else None
    except DAMAGED as error:
        raise file_error(path, f"is a damaged archive: {quoted(str(error))}", FIX) from error
    target.flush()
    return text


def _nested(entries):
    """Return the layers of the old layout that are models: their weights have more than one folder."""
    folders = {}
    for entry in entries:
        folders.setdefault(entry.layer, set()).add(entry.weight.rpartition("/")[0])
    return {layer for layer, found in folders.items() if len(found) > 1}


def _unique(layers):
    """Return the layers, those that share a name renamed to their paths."""
    names = [layer.name for layer in layers]
    return [layer if names.count(layer.name) == 1 else KerasLayer(layer.path, layer.path, layer.arrays)
            for layer in layers]


def snake_case(name):
    """Return the name of a class as Keras writes it in the paths of a file: Conv2D is conv2d, ReLU re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
