"""Read and write PyTorch's weights: a state dict in a safetensors file, for a model of the same layers.

    from safetensors.torch import save_file; save_file(net.state_dict(), "net.safetensors")      # there
    load_torch(model, "net.safetensors")                                                          # here
    model = load_torch("net.safetensors")       # a chain of Linear layers, which needs no model
    save_torch(model, "net.safetensors")            # and back: net.load_state_dict(load_file("net.safetensors"))

Arrays follow PyTorch's conventions, never the shapes that happen to fit: Linear is (out, in), Conv2d (out, in, kh, kw),
and a Linear after a flattened image reads it channels first. A `.pt` is a pickle, which can run code: it is not read.
"""
import re
import warnings
from collections.abc import Collection
from typing import overload

import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer_norm import MomentNorm
from minnet.engine.normalise import BatchNorm
from minnet.engine.prelu import PReLU
from minnet.errors import FileError, InvalidType, InvalidValue, file_error, quoted
from minnet.files import opened, sniff, write_whole
from minnet.formats.assign import dense_of, is_chain, natural, of_sixteen_bits, put
from minnet.formats.channels import channels_first, feature_orders
from minnet.formats.layout import check_numbers
from minnet.formats.tensors import TO_SAFETENSORS, read_arrays, read_foreign_head, to_bytes
from minnet.formats.torch_chain import chain_of
from minnet.formats.torch_images import image_chain, is_conv
from minnet.formats.torch_masks import apply_masks, refuse_live_pruner
from minnet.model import Model
from minnet.typing import Path

PICKLE = ("is a Python pickle, which can run code and is never opened", f"where it was made: {TO_SAFETENSORS}")
PREFIXES = ("module.", "_orig_mod.")    # of DataParallel and torch.compile
IGNORED = "num_batches_tracked"
KINDS = {"weight": "weight", "bias": "bias"}
NORMS = BatchNorm | MomentNorm
SLOPE_KINDS = {"weight": "slopes"}
NORM_KINDS = {"weight": "gain", "bias": "shift", "running_mean": "mean", "running_var": "variance"}
CONV_AXES = 4
HIGH_HALF = 16      # bfloat16 is the upper half of a float32
FLOATS = ("F64", "F32", "F16", "BF16")
NARROW = {"F16": "float16", "BF16": "bfloat16"}


def read_torch(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read a state dict in a safetensors file: {name of a module: {"weight", "bias", ...: array}}.

    Parameters
    ----------
    path : str or os.PathLike
        What `safetensors.torch.save_file` wrote.

    Returns
    -------
    dict
        Arrays in PyTorch's layout; F16 and BF16 become float32, and a UserWarning says so. `num_batches_tracked` is
        left out, and so are the prefixes of DataParallel and torch.compile. A weight and its mask, as
        torch.nn.utils.prune and torch.ao.pruning store them, are one array, 0 where the mask is.

    Raises
    ------
    FileError
        The file is no such file, or damaged.
    """
    return _read(path)[0]


def _read(path, ours=True):
    """Return what `read_torch` does, and {module: {kind: bool array}} of the masks in the file.

    Unless `ours`, a model's file of minnet's is refused, whose matrices are the other way round.
    """
    if sniff(path) == "pickle":
        raise file_error(path, *PICKLE)
    with opened(path) as file:
        try:
            head = read_foreign_head(file, path)
            if head.text and not ours:
                raise file_error(path, "is a model that minnet saved", "load it: load(path); commands take it as it is")
            found = {name: (head.tensors[name].dtype, array) for name, array in read_arrays(file, head).items()}
        except FileError:
            raise
        except InvalidValue as error:
            raise file_error(path, quoted(" ".join(str(error).split())), "save it again") from error
    modules, masks = {}, {}
    tensors, cut = apply_masks(_bare(found), path)
    refuse_live_pruner(tensors, path)
    for name, mask in cut.items():
        module, _, kind = name.rpartition(".")
        masks.setdefault(module, {})[kind] = mask
    for name, (dtype, array) in sorted(tensors.items(), key=lambda item: natural(item[0])):
        module, _, kind = name.rpartition(".")
        if kind == IGNORED:
            continue
        if dtype not in FLOATS:
            raise file_error(path, f"tensor {quoted(name)} is {dtype}; wanted {', '.join(FLOATS)}", "save floats")
        modules.setdefault(module, {})[kind] = _as_floats(dtype, array)
    for message in of_sixteen_bits({NARROW[dtype] for dtype, _ in tensors.values() if dtype in NARROW}):
        warnings.warn(message, UserWarning, stacklevel=3)
    return modules, masks


@overload
def load_torch(model: Model, path: Path, *, missing: Collection[str] = (), zeros: str = "auto") -> list[str]: ...
@overload
def load_torch(model: Path, path: None = None, *, zeros: str = "auto",
               shape: tuple[int, ...] | None = None) -> Model: ...
def load_torch(model: Model | Path, path: Path | None = None, *, missing: Collection[str] = (),
               zeros: str = "auto", shape: tuple[int, ...] | None = None) -> list[str] | Model:
    """Read PyTorch's weights in a safetensors file into a model with the same layers, or make a model of them.

    Parameters
    ----------
    model : Model, str or os.PathLike
        A model, whose values are overwritten; its mask is kept, and what it masks stays 0. See `zeros`. Or the file,
        alone, of a chain of Linear layers, with convolutions before them or not.
    path : str or os.PathLike, optional
        With a model: a state dict that `safetensors.torch.save_file` wrote.
    missing : collection of str
        Names of layers that keep their values where the file lacks them.
    zeros : {"auto", "mask", "keep"}
        What becomes of weights that are exactly 0: "mask" masks them, "keep" leaves them live, "auto" masks those of
        layers in which they are 5 % of the weights or more. Masks in the file are taken in any case.
    shape : tuple of int, optional
        Of the file, alone, of a chain with convolutions: the shape of one input, (height, width, channels).

    Returns
    -------
    list of str or Model
        With a model the names of modules in the file that no layer took, else the model of the file.

    Raises
    ------
    FileError
        The file cannot be read or does not fit; the message lists every mismatch, and the model is as it was. Without a
        model: its modules are not Linear layers, with BatchNorm1d among them, in an order that leaves no doubt; or of
        its convolutions and `shape` none or several nets can be made.
    InvalidType
        A model is given without a file.
    Unsupported
        A Residual adds a flattened image to features in another order.

    Notes
    -----
    A layer takes the module of its name, with an underscore for each dot: "layer1.0.conv1" is for
    `Conv2d(..., name="layer1_0_conv1")`. If no name of a model without branches is in the file, the n-th convolution
    takes the n-th, and so on, by the numbers in the modules' names.

    A state dict holds no activations. Where it is read without a model, ReLU is assumed between the layers, and a
    UserWarning says so. Of convolutions it holds neither strides nor pools: strides of 1 are assumed, padding of all or
    of none, and max pools of 2 x 2, and the one choice is taken that gives the first Linear layer its features.
    """
    if isinstance(model, Model):
        if path is None:
            raise InvalidType("load_torch is given a Model without a file: give both, as in load_torch(model, path)")
        modules, cut = _read(path)
        return _fill(model, path, modules, cut, missing, zeros)
    if path is not None:
        raise InvalidType(f"model={quoted(repr(model))}; wanted a Model before a path, or a path alone")
    modules, cut = _read(model, ours=False)
    images = any(is_conv(arrays) for arrays in modules.values())
    made = image_chain(modules, model, shape) if images else chain_of(modules, model)
    _fill(made, model, modules, cut, (), zeros)
    return made


def _fill(model, path, modules, cut, missing, zeros):
    """Write the arrays of modules, and their masks `cut`, into a model; return the modules that no layer took."""
    wanted = [layer for layer in model.layers.values() if layer.parameters]
    by_name = {name.replace(".", "_"): name for name in modules}
    if any(layer.name in by_name for layer in wanted):
        pairs = [(layer, by_name.get(layer.name)) for layer in wanted]
    else:
        pairs = _in_order(model, wanted, modules, path)
    orders, arrays, masks, problems = feature_orders(model), {}, {}, []
    for layer, name in pairs:
        if name is None:
            problems += [] if layer.name in missing else [f"{quoted(layer.name)} is not in the file"]
            continue
        taken, problem = _as_parameters(layer, name, modules[name], orders.get(layer))
        arrays |= taken
        if name in cut and not problem:
            live = {kind: cut[name].get(kind, np.ones(array.shape, bool)) for kind, array in modules[name].items()}
            masks |= _as_parameters(layer, name, live, orders.get(layer))[0]
        problems += [problem] if problem else []
    put(model, arrays, path, problems, zeros=zeros, masks=masks)
    used = {name for _, name in pairs}
    return [name for name in modules if name not in used]


def save_torch(model: Model, path: Path) -> None:
    """Write a model's weights to a safetensors file in PyTorch's layout, dense.

    Parameters
    ----------
    model : Model
        Its layers name the modules: "conv1" gives "conv1.weight" and "conv1.bias", a BatchNorm also running_mean and
        running_var.
    path : str or os.PathLike
        The file, written whole or not at all; `net.load_state_dict(load_file(path))` reads it.

    Raises
    ------
    FileError
        The file cannot be written.
    NotFinite
        A parameter holds NaN or infinity.
    Unsupported
        A Residual adds a flattened image to features in another order.
    """
    write_whole(path, torch_bytes(model))


def torch_bytes(model):
    """Return the bytes that `save_torch` writes."""
    orders, arrays = feature_orders(model), {}
    for layer in model.layers.values():
        kinds = {ours: theirs for theirs, ours in _kinds(layer).items()}
        for p in layer.parameters:
            check_numbers(p.name, p.value)
            arrays[f"{layer.name}.{kinds[p.kind]}"] = _as_theirs(layer, p, orders.get(layer))
    return to_bytes(arrays, None)


def _as_theirs(layer, p, order):
    """Return the values of a parameter in PyTorch's layout."""
    array = dense_of(p)[0]
    reads = p.kind in ("weight", "slopes") or isinstance(layer, NORMS)
    if reads and order is not None and len(array) == len(order):
        array = channels_first(array, order)
    if p.kind == "weight":
        array = array.transpose((3, 2, 0, 1) if array.ndim == CONV_AXES else (1, 0))
    return array


# --- the file --------------------------------------------------------------------------------------------------------


def _bare(tensors):
    """Return the tensors without the prefixes that all of them share."""
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _as_floats(dtype, array):
    """Return the array as float32 or float64."""
    if dtype == "BF16":
        return (array.astype(np.uint32) << HIGH_HALF).view(np.float32)
    return array.astype(np.float32) if dtype == "F16" else array


# --- matching layers -----------------------------------------------------------------------------------------------


def _in_order(model, wanted, modules, path):
    """Return [(layer, name of its module), ...] where no name agrees: by kind and the numbers in the names."""
    theirs, ours = {}, {}
    for name, arrays in modules.items():
        theirs.setdefault(_kind(arrays), []).append(name)
    for layer in wanted:
        ours.setdefault(_kind_of_layer(layer), []).append(layer)
    names = "no module has the name of a layer"
    fix = "name the layers as the modules, with _ for each dot"
    if not is_chain(model.tree):
        raise file_error(path, f"{names}, and in a model with branches the order says nothing", fix)
    counts = [", ".join(f"{len(found)} {kind}" for kind, found in sorted(groups.items())) for groups in (theirs, ours)]
    if counts[0] != counts[1]:
        raise file_error(path, f"has {counts[0] or 'nothing'}, the model {counts[1] or 'nothing'}, and {names}", fix)
    for kind, found in theirs.items():
        if len({re.sub(r"\d+", "#", name) for name in found}) > 1:
            raise file_error(path, f"the names {quoted(', '.join(found))} do not say which {kind} module comes first, "
                               f"and {names}", fix)
    return [(layer, theirs[_kind_of_layer(layer)].pop(0)) for layer in wanted]


def _kind(arrays):
    """Return the kind of a module, by its arrays."""
    if "running_mean" in arrays:
        return "BatchNorm"
    if set(arrays) == {"weight"} and arrays["weight"].ndim == 1:
        return "PReLU"
    axes = arrays["weight"].ndim if "weight" in arrays else 0
    return {4: "Conv2d", 2: "Linear"}.get(axes, "other")


def _kind_of_layer(layer):
    kinds = {Conv2d: "Conv2d", DepthwiseConv2d: "Conv2d", Dense: "Linear", BatchNorm: "BatchNorm", PReLU: "PReLU"}
    return kinds.get(type(layer), "other")


def _kinds(layer):
    """Return {kind of an array in PyTorch: kind of the parameter} of a layer."""
    return NORM_KINDS if isinstance(layer, NORMS) else SLOPE_KINDS if isinstance(layer, PReLU) else KINDS


def _as_parameters(layer, name, theirs, order):
    """Return ({name of a parameter: array}, a problem or None) for one layer of a model."""
    kinds = _kinds(layer)
    found = {kinds.get(kind, kind): array for kind, array in theirs.items()}
    if isinstance(layer, BatchNorm) and {"mean", "variance"} <= set(found):  # affine=False
        found = {"gain": np.ones(layer.gain.shape), "shift": np.zeros(layer.shift.shape)} | found
    wanted = [p.kind for p in layer.parameters]
    if set(found) != set(wanted):
        return {}, (f"{quoted(layer.name)} has {', '.join(wanted)}, {quoted(name)} in the file "
                    f"{quoted(', '.join(theirs))}")
    shapes = {p.kind: p.shape for p in layer.parameters}
    if "weight" in found and found["weight"].ndim != len(shapes["weight"]):
        return {}, f"{quoted(layer.name)}.weight has the shape {found['weight'].shape} in the file"
    if "weight" in found:
        found["weight"] = found["weight"].transpose((2, 3, 1, 0) if found["weight"].ndim == CONV_AXES else (1, 0))
    if order is not None:
        reordered = ("weight",) if isinstance(layer, Dense) else tuple(found)
        fits = all(len(found[kind]) == len(order) for kind in reordered)
        found |= {kind: found[kind][order] for kind in reordered} if fits else {}
    return {f"{layer.name}.{kind}": np.ascontiguousarray(array) for kind, array in found.items()}, None
