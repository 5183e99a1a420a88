"""Weights that Keras saved: the old .h5 layout (weights alone, or a whole model), .weights.h5, and .keras archives.

    read_keras("vgg16.h5")                  # {"block1_conv1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, ...}
    load_keras(model, "vgg16.h5")           # into a model with the same layers; nothing is half loaded

Only numbers are read: neither the architecture nor any code in the file. Keras's BatchNorm has an epsilon of 0.001
unless told otherwise, so a model for its weights has `BatchNorm(epsilon=1e-3)`.
"""
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.normalise import BatchNorm
from minnet.errors import file_error, quoted
from minnet.files import KINDS, opened, sniff
from minnet.formats.assign import is_chain, natural, put
from minnet.formats.hdf5 import read_hdf5
from minnet.formats.layout import most_memory
from minnet.formats.tensors import ADVICE

MEMBER = "model.weights.h5"     # of a .keras archive
TODO = "give a .h5, .weights.h5 or .keras file"
MEANINGS = {"kernel": "weight", "depthwise_kernel": "weight", "bias": "bias", "gamma": "gain", "beta": "shift",
            "moving_mean": "mean", "moving_variance": "variance"}
KERAS_NAMES = {Conv2d: "conv2d", DepthwiseConv2d: "depthwise_conv2d", Dense: "dense", BatchNorm: "batch_normalization"}
MATRIX_AXES = 2


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """One layer of a file: its name, its path there, and its arrays by their names, in the file's order."""

    name: str
    path: str
    arrays: dict = field(default_factory=dict)


def read_keras(path):
    """{name of a layer: {name of a weight: array}} of the weights file `path`, float32 or float64, in its order.

    The old layout has names like "kernel"; Keras 3's has "0", "1", ... . Raises FileError for what is no whole
    weights file or points out of it, MissingExtra without h5py.
    """
    return {layer.name: layer.arrays for layer in _layers(path)[1]}


def load_keras(model, path, *, missing=()):
    """Put the weights file `path` into `model`; returns the names of layers in the file that no layer took.

    Layers find theirs by name. A chain of layers of which no name is in the file takes them in order instead (Keras 3:
    the n-th convolution takes the n-th, and so on). Layers named in `missing` stay as they are where the file lacks
    them or has them in another shape. Raises FileError that lists all that does not fit; then nothing has changed.
    """
    layout, found = _layers(path)
    wanted = [layer for layer in model.layers.values() if layer.parameters]
    by_name = {layer.name: layer for layer in found}
    if any(layer.name in by_name for layer in wanted):
        pairs = [(layer, by_name.get(layer.name)) for layer in wanted]
    else:
        pairs = _in_order(model, wanted, found, layout, path)
    arrays, problems, used = {}, [], set()
    for layer, theirs in pairs:
        taken, problem = _as_parameters(layer, theirs)
        if layer.name in missing and (problem or not _fits(layer, taken)):
            continue
        problems += [problem] if problem else []
        arrays |= taken
        used.add(theirs)
    put(model, arrays, path, problems)
    return [layer.name for layer in found if layer not in used]


# --- the file --------------------------------------------------------------------------------------------------------


def _layers(path):
    """(layout, [KerasLayer, ...]) of the file."""
    with _weights_file(path) as file:
        layout, entries = read_hdf5(file, os.fstat(file.fileno()).st_size, path)
    found = {}
    nested = _nested(entries) if layout == "names" else set()
    for entry in entries:
        parts = entry.weight.split("/")
        place = "/".join(parts[:-1]) if entry.layer in nested else entry.layer
        name = entry.name if layout == "vars" and entry.name else place.rpartition("/")[2]
        layer = found.setdefault((entry.layer, place), KerasLayer(name, place))
        layer.arrays[parts[-1].removesuffix(":0")] = entry.value
    layers = list(found.values())
    return layout, _unique(layers if layout == "names" else sorted(layers, key=lambda layer: natural(layer.path)))


@contextmanager
def _weights_file(path):
    """The HDF5 file itself, open; that of an archive is unpacked to a temporary one."""
    kind = sniff(path)
    if kind not in ("hdf5", "keras"):
        todo = TODO if kind in ("empty", "safetensors") else ADVICE.get(kind, TODO)
        raise file_error(path, f"is {KINDS[kind]}, not a weights file of Keras", todo)
    with opened(path) as file:
        if kind == "hdf5":
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            _unpack(file, unpacked, path)
            yield unpacked


def _unpack(file, target, path):
    """Write the weights inside the archive `file` to `target`, if they are there once and not too large."""
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
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise file_error(path, f"is a damaged archive: {quoted(str(error))}", TODO) from error
    target.flush()


def _nested(entries):
    """Layers of the old layout that are models: their weights have more than one folder."""
    folders = {}
    for entry in entries:
        folders.setdefault(entry.layer, set()).add(entry.weight.rpartition("/")[0])
    return {layer for layer, found in folders.items() if len(found) > 1}


def _unique(layers):
    """The layers, those whose name is not theirs alone renamed to their path."""
    names = [layer.name for layer in layers]
    return [layer if names.count(layer.name) == 1 else KerasLayer(layer.path, layer.path, layer.arrays)
            for layer in layers]


# --- which is for whom -----------------------------------------------------------------------------------------------


def _in_order(model, wanted, found, layout, path):
    """[(layer, KerasLayer or None), ...] where no name agrees: the same number of layers, one after the other."""
    names = f"no layer of the file ({_few(found)}) has the name of one of the model ({_few(wanted)})"
    todo = "name the model's layers as the file does"
    if not is_chain(model.tree):
        raise file_error(path, f"{names}, and in a model with branches the order says nothing", todo)
    if layout == "names":
        if len(found) != len(wanted):
            raise file_error(path, f"has {len(found)} layers with weights, the model {len(wanted)}: {names}", todo)
        return list(zip(wanted, found, strict=True))
    if any(layer.path.count("/") > 1 for layer in found):
        raise file_error(path, f"{names}, and in a file of models inside models the order says nothing", todo)
    groups = {}
    for layer in found:
        kind = re.sub(r"_\d+$", "", layer.path.rpartition("/")[2])
        groups.setdefault(kind, []).append(layer)
    counts = {kind: sum(KERAS_NAMES[type(layer)] == kind for layer in wanted) for kind in KERAS_NAMES.values()}
    theirs = {kind: len(layers) for kind, layers in groups.items()}
    if theirs != {kind: n for kind, n in counts.items() if n}:
        raise file_error(path, f"has the layers {quoted(repr(theirs))}, the model {counts}, and {names}", todo)
    return [(layer, groups[KERAS_NAMES[type(layer)]].pop(0)) for layer in wanted]


def _few(layers):
    names = [quoted(layer.name) for layer in layers]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "none"


def _as_parameters(layer, theirs):
    """({name of a parameter: array}, what is wrong or None) for one layer of a model."""
    kinds = [p.kind for p in layer.parameters]
    if theirs is None:
        return {}, f"{quoted(layer.name)} is not in the file"
    meanings = [MEANINGS.get(name) for name in theirs.arrays]
    if None in meanings:  # names that say nothing: the order is Keras's, which is ours
        meanings = kinds if len(theirs.arrays) == len(kinds) else []
    arrays = dict(zip(meanings, theirs.arrays.values(), strict=bool(meanings)))
    if isinstance(layer, BatchNorm) and {"mean", "variance"} <= set(arrays):  # Keras can leave out gamma and beta
        arrays = {"gain": np.ones(layer.gain.shape), "shift": np.zeros(layer.shift.shape)} | arrays
    if set(arrays) != set(kinds):
        there = quoted(", ".join(theirs.arrays))
        return {}, f"{quoted(layer.name)} has the weights {', '.join(kinds)}, in the file {there}"
    if isinstance(layer, DepthwiseConv2d):
        kernel, wanted = arrays["weight"], (*layer.window.kernel, layer.input_shape[2], layer.multiplier)
        if kernel.shape != wanted:
            return {}, f"{quoted(layer.name)} has a kernel of shape {wanted}, in the file {kernel.shape}"
        arrays["weight"] = kernel.reshape(layer.weight.shape)  # output c*m + j is the j-th of channel c
    return {f"{layer.name}.{kind}": array for kind, array in arrays.items()}, None


def _fits(layer, arrays):
    return all(arrays[p.name].shape == p.shape for p in layer.parameters)
