"""Read what Keras saved: whole models, and weights: old .h5 files, .weights.h5, and .keras archives.

    model = load_keras("net.keras")         # a whole .keras or .h5: the architecture and its weights
    read_keras("vgg16.h5")                  # {"block1_conv1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, ...}
    load_keras(model, "vgg16.h5")           # into a model with the same layers; nothing is half loaded

No code in a file is executed. A whole model tells epsilon and momentum of its BatchNorms, and a model that only takes
the weights takes them too; files of weights do not, and Keras's epsilon is 0.001 unless told otherwise, so a model for
them has `BatchNorm(epsilon=1e-3)`.
"""
import re
import warnings
from collections.abc import Collection
from typing import overload

import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer_norm import GroupNorm, LayerNorm
from minnet.engine.normalise import BatchNorm
from minnet.errors import InvalidType, file_error, quoted
from minnet.formats.assign import is_chain, of_sixteen_bits, put
from minnet.formats.keras_config import norms
from minnet.formats.keras_file import narrow, read_saved
from minnet.formats.keras_graph import model_of
from minnet.model import Model
from minnet.typing import Path

MEANINGS = {"kernel": "weight", "depthwise_kernel": "weight", "bias": "bias", "gamma": "gain", "beta": "shift",
            "moving_mean": "mean", "moving_variance": "variance"}
KERAS_NAMES = {Conv2d: "conv2d", DepthwiseConv2d: "depthwise_conv2d", Dense: "dense", BatchNorm: "batch_normalization",
               LayerNorm: "layer_normalization", GroupNorm: "group_normalization"}
EPSILON = 1e-3    # of Keras's BatchNormalization, unless told otherwise
DIGITS = 6        # of 1 - momentum
STATISTICS = ("mean", "variance")


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
    return {layer.name: layer.arrays for layer in read_saved(path).layers}


@overload
def load_keras(model: Model, path: Path, *, missing: Collection[str] = (), zeros: str = "auto") -> list[str]: ...
@overload
def load_keras(model: Path, path: None = None, *, zeros: str = "auto") -> Model: ...
def load_keras(model: Model | Path, path: Path | None = None, *, missing: Collection[str] = (),
               zeros: str = "auto") -> list[str] | Model:
    """Read a whole model that Keras saved, or its weights into a model with the same layers.

    Parameters
    ----------
    model : Model, str or os.PathLike
        A model, whose values are overwritten; its mask is kept, and what it masks stays 0. See `zeros`. Or the file,
        alone: a .keras archive, or a .h5 file of a whole model.
    path : str or os.PathLike, optional
        With a model: a .h5, .weights.h5 or .keras file.
    missing : collection of str
        Names of layers that keep their values where the file lacks them, or has them in another shape.
    zeros : {"auto", "mask", "keep"}
        What becomes of weights that are exactly 0: "mask" masks them, "keep" leaves them live, "auto" masks those of
        layers in which they are 5 % of the weights or more.

    Returns
    -------
    list of str or Model
        With a model the names of layers in the file that no layer of it took, else the model of the file.

    Raises
    ------
    FileError
        The file cannot be read or does not fit; the message lists every mismatch, and the model is as it was. Of a
        whole model also: it has layers that minnet lacks, or code of its own (Lambda, custom classes).
    InvalidType
        A model is given without a file.
    MissingExtra
        The package h5py is not installed.

    Notes
    -----
    A whole model is a Sequential, or a Functional whose branches meet again, with one input and one output. A Softmax
    or Sigmoid at its end is left out: outputs are logits, two of a single sigmoid. Rescaling and Normalization at its
    beginning become the scaling of its signature, so that it takes raw rows. A layer that is used twice becomes two,
    and a UserWarning says so.

    BatchNorms take epsilon and momentum from a whole model; where the file does not tell them and the model has another
    epsilon than Keras, a UserWarning says so.

    Layers of a given model are matched by name. If no name of a model without branches is in the file, they are matched
    in order; in files of Keras 3 the n-th convolution takes the n-th, and so on.
    """
    if not isinstance(model, Model):
        if path is not None:
            raise InvalidType(f"model={quoted(repr(model))}; wanted a Model before a path, or a path alone")
        saved = read_saved(model)
        made = model_of(saved, model, zeros)
        _warn_of_sixteen_bits(saved)
        return made
    if path is None:
        raise InvalidType("load_keras is given a Model and no path: give the file too, as in load_keras(model, path)")
    return _load_weights(model, path, missing, zeros)


def _load_weights(model, path, missing, zeros):
    """Read weights into a model; return the names of the layers in the file that no layer took."""
    saved = read_saved(path)
    found, wanted = saved.layers, [layer for layer in model.layers.values() if layer.parameters]
    by_name = {layer.name: layer for layer in found}
    if any(layer.name in by_name for layer in wanted):
        pairs = [(layer, by_name.get(layer.name)) for layer in wanted]
    else:
        pairs = _in_order(model, wanted, found, saved.layout, path)
    told = norms(saved.model, found, path)
    arrays, problems, used = {}, [], set()
    for layer, theirs in pairs:
        taken, problem = _as_parameters(layer, theirs, (told or {}).get(theirs))
        if layer.name in missing and (problem or not _fits(layer, taken)):
            continue
        problems += [problem] if problem else []
        arrays |= taken
        used.add(theirs)
    if told is None:
        _warn_of_epsilon(pairs)
    put(model, arrays, path, problems, zeros=zeros)
    for layer, theirs in pairs:
        if isinstance(layer, BatchNorm) and theirs in (told or {}):
            layer.epsilon, layer.momentum = told[theirs]["epsilon"], round(1 - told[theirs]["momentum"], DIGITS)
    _warn_of_sixteen_bits(saved)
    return [layer.name for layer in found if layer not in used]


def _warn_of_sixteen_bits(saved):
    """Warn where the file has numbers of 16 bits, or computes with them."""
    for message in of_sixteen_bits(narrow(saved)):
        warnings.warn(message, UserWarning, stacklevel=4)


def _warn_of_epsilon(pairs):
    """Warn where the file tells no epsilon and a BatchNorm of the model has another than Keras's."""
    unlike = [layer for layer, _ in pairs if isinstance(layer, BatchNorm) and layer.epsilon != EPSILON]
    if unlike:
        warnings.warn(f"the file does not tell the epsilon of its BatchNorms: it stays {unlike[0].epsilon:g} here, and "
                      f"Keras has {EPSILON:g} unless told otherwise", UserWarning, stacklevel=4)


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


def _as_parameters(layer, theirs, told=None):
    """Return ({name of a parameter: array}, a problem or None) for one layer of a model; `told` is of a BatchNorm."""
    kinds = [p.kind for p in layer.parameters]
    if theirs is None:
        return {}, f"{quoted(layer.name)} is not in the file"
    arrays = _by_kind(layer, theirs, kinds, told)
    if isinstance(layer, BatchNorm) and {"mean", "variance"} <= set(arrays):  # Keras can leave out gamma and beta
        arrays = {"gain": np.ones(layer.gain.shape), "shift": np.zeros(layer.shift.shape)} | arrays
    if set(arrays) != set(kinds):
        there = quoted(", ".join(theirs.arrays))
        fix = ("; with scale=False or center=False save it as .h5, which has names"
               if isinstance(layer, BatchNorm) and not arrays else "")
        return {}, f"{quoted(layer.name)} has the weights {', '.join(kinds)}, in the file {there}{fix}"
    if isinstance(layer, DepthwiseConv2d):
        kernel, wanted = arrays["weight"], (*layer.window.kernel, layer.input_shape[2], layer.multiplier)
        if kernel.shape != wanted:
            return {}, f"{quoted(layer.name)} has a kernel of shape {wanted}, in the file {kernel.shape}"
        arrays["weight"] = kernel.reshape(layer.weight.shape)  # output c*m + j is the j-th of channel c
    return {f"{layer.name}.{kind}": array for kind, array in arrays.items()}, None


def _by_kind(layer, theirs, kinds, told):
    """Return the arrays of a layer by what they are here; none where the file does not say which is which."""
    meanings = [MEANINGS.get(name) for name in theirs.arrays]
    if None in meanings:  # names that say nothing: the order is Keras's, which is ours
        given = kinds
        if isinstance(layer, BatchNorm) and len(theirs.arrays) < len(kinds):
            told = told or dict.fromkeys(("scale", "center"), len(theirs.arrays) != len(STATISTICS))
            given = [kind for kind, there in (("gain", told["scale"]), ("shift", told["center"])) if there]
            given += STATISTICS
        meanings = given if len(theirs.arrays) == len(given) else []
    return dict(zip(meanings, theirs.arrays.values(), strict=bool(meanings)))


def _fits(layer, arrays):
    return all(arrays[p.name].shape == p.shape for p in layer.parameters)
