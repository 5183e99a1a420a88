"""Read weights that Keras saved: old .h5 files (weights alone, or a whole model), .weights.h5, and .keras archives.

    read_keras("vgg16.h5")                  # {"block1_conv1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, ...}
    load_keras(model, "vgg16.h5")           # into a model with the same layers; nothing is half loaded

Only numbers are read: neither the architecture nor any code in the file. A .keras archive tells epsilon and momentum of
its BatchNorms, and the model takes them; other files do not, and Keras's epsilon is 0.001 unless told otherwise, so a
model for their weights has `BatchNorm(epsilon=1e-3)`.
"""
import os
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Collection
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
from minnet.formats.keras_config import DAMAGED, norms
from minnet.formats.layout import most_memory
from minnet.formats.tensors import ADVICE
from minnet.model import Model
from minnet.typing import Path

MEMBER = "model.weights.h5"     # of a .keras archive
FIX = "give a .h5, .weights.h5 or .keras file"
MEANINGS = {"kernel": "weight", "depthwise_kernel": "weight", "bias": "bias", "gamma": "gain", "beta": "shift",
            "moving_mean": "mean", "moving_variance": "variance"}
KERAS_NAMES = {Conv2d: "conv2d", DepthwiseConv2d: "depthwise_conv2d", Dense: "dense", BatchNorm: "batch_normalization"}
MATRIX_AXES = 2
EPSILON = 1e-3    # of Keras's BatchNormalization, unless told otherwise
DIGITS = 6        # of 1 - momentum


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """One layer of a file: its name, its path there, and its arrays by their names, in the file's order."""

    name: str
    path: str
    arrays: dict = field(default_factory=dict)


def read_keras(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read a weights file of Keras: {name of a layer: {name of a weight: array}}.

    Parameters
    ----------
    path : str or os.PathLike
        A .h5, .weights.h5 or .keras file.

    Returns
    -------
    dict
        Arrays in float32 or float64, in the file's order. The old layout has names like "kernel", Keras 3's "0", "1",
        and so on.

    Raises
    ------
    FileError
        The file is no whole weights file, or refers to other files.
    MissingExtra
        The package h5py is not installed.
    """
    return {layer.name: layer.arrays for layer in _layers(path)[1]}


def load_keras(model: Model, path: Path, *, missing: Collection[str] = (), zeros: str = "auto") -> list[str]:
    """Read a weights file of Keras into a model with the same layers.

    Parameters
    ----------
    model : Model
        Its values are overwritten; its mask is kept, and what it masks stays 0. See `zeros`.
    path : str or os.PathLike
        A .h5, .weights.h5 or .keras file.
    missing : collection of str
        Names of layers that keep their values where the file lacks them, or has them in another shape.
    zeros : {"auto", "mask", "keep"}
        What becomes of weights that are exactly 0: "mask" masks them, "keep" leaves them live, "auto" masks those of
        layers in which they are 5 % of the weights or more.

    Returns
    -------
    list of str
        Names of layers in the file that no layer of the model took.

    Raises
    ------
    FileError
        The file cannot be read or does not fit; the message lists every mismatch, and the model is as it was.
    MissingExtra
        The package h5py is not installed.

    Notes
    -----
    BatchNorms take epsilon and momentum from a .keras archive; where the file does not tell them and the model has
    another epsilon than Keras, a UserWarning says so.

    Layers are matched by name. If no name of a model without branches is in the file, they are matched in order; in
    files of Keras 3 the n-th convolution takes the n-th, and so on.
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
    settings = _norm_settings(path, pairs, found)
    put(model, arrays, path, problems, zeros=zeros)
    for layer, told in settings:
        layer.epsilon, layer.momentum = told["epsilon"], round(1 - told["momentum"], DIGITS)
    return [layer.name for layer in found if layer not in used]


def _norm_settings(path, pairs, found):
    """Return [(BatchNorm, its settings in the file), ...]; warn where the file tells none and the model has others."""
    ours = [(layer, theirs) for layer, theirs in pairs if isinstance(layer, BatchNorm)]
    told, there = norms(path), [layer for layer in found if _is_norm(layer)]
    if told is not None and len(told) == len(there):
        by_layer = dict(zip(there, told, strict=True))
        return [(layer, by_layer[theirs]) for layer, theirs in ours if theirs in by_layer]
    unlike = [layer for layer, _ in ours if layer.epsilon != EPSILON]
    if unlike:
        warnings.warn(f"the file does not tell the epsilon of its BatchNorms: it stays {unlike[0].epsilon:g} here, and "
                      f"Keras has {EPSILON:g} unless told otherwise", UserWarning, stacklevel=3)
    return []


def _is_norm(layer):
    """Return whether a layer of the file is a BatchNorm, by the names of its weights or its class."""
    return "moving_mean" in layer.arrays or KERAS_NAMES[BatchNorm] in layer.path.rpartition("/")[2]


# --- the file --------------------------------------------------------------------------------------------------------


def _layers(path):
    """Return (layout, [KerasLayer, ...]) of the file."""
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
    """Open the HDF5 file itself; that of an archive is unpacked to a temporary one."""
    kind = sniff(path)
    if kind not in ("hdf5", "keras"):
        fix = FIX if kind in ("empty", "safetensors") else ADVICE.get(kind, FIX)
        raise file_error(path, f"is {KINDS[kind]}, not a weights file of Keras", fix)
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
    except DAMAGED as error:
        raise file_error(path, f"is a damaged archive: {quoted(str(error))}", FIX) from error
    target.flush()


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


# --- matching layers -----------------------------------------------------------------------------------------------


def _in_order(model, wanted, found, layout, path):
    """Return [(layer, KerasLayer or None), ...] in order, where no name agrees."""
    names = f"no layer of the file ({_few(found)}) has the name of one of the model ({_few(wanted)})"
    fix = "name the model's layers as the file does"
    if not is_chain(model.tree):
        raise file_error(path, f"{names}, and in a model with branches the order says nothing", fix)
    if layout == "names":
        if len(found) != len(wanted):
            raise file_error(path, f"has {len(found)} layers with weights, the model {len(wanted)}: {names}", fix)
        return list(zip(wanted, found, strict=True))
    if any(layer.path.count("/") > 1 for layer in found):
        raise file_error(path, f"{names}, and in a file of models inside models the order says nothing", fix)
    groups = {}
    for layer in found:
        kind = re.sub(r"_\d+$", "", layer.path.rpartition("/")[2])
        groups.setdefault(kind, []).append(layer)
    counts = {kind: sum(KERAS_NAMES[type(layer)] == kind for layer in wanted) for kind in KERAS_NAMES.values()}
    theirs = {kind: len(layers) for kind, layers in groups.items()}
    if theirs != {kind: n for kind, n in counts.items() if n}:
        raise file_error(path, f"has the layers {quoted(repr(theirs))}, the model {counts}, and {names}", fix)
    return [(layer, groups[KERAS_NAMES[type(layer)]].pop(0)) for layer in wanted]


def _few(layers):
    names = [quoted(layer.name) for layer in layers]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "none"


def _as_parameters(layer, theirs):
    """Return ({name of a parameter: array}, a problem or None) for one layer of a model."""
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
