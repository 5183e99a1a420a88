"""The architecture of a PyTorch state dict that leaves no doubt: a chain of Linear layers, with BatchNorm1d among them.

    model = chain_of(modules, "net.safetensors")      # {name of a module: {"weight": array, ...}} -> Model, all 0

A state dict holds no activations: ReLU between the layers is an assumption, and a UserWarning says so. Of convolutions
it tells neither strides nor pools either: see torch_images.py.
"""
import re
import warnings
from itertools import pairwise

import numpy as np

from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.dense import Dense
from minnet.engine.layer import Layer
from minnet.engine.normalise import BatchNorm
from minnet.errors import MinnetError, file_error, quoted
from minnet.formats.assign import natural, numbers_in
from minnet.model import Model

WEIGHT_AXES = 2
STATISTICS = {"running_mean", "running_var"}
FIX = "give the architecture with --model, in Python load_torch(model, path); or export the net as ONNX"
ASSUMED = ("the state dict does not say what is between its layers: ReLU is assumed, and nothing at the end; if that "
           "is not so, give the architecture, or export the net as ONNX")


def chain_of(modules: dict, path) -> Model:
    """Return a Model of all modules, named as they are with _ for each dot.

    Raises FileError where there is any doubt which layers they are, or which comes first.
    """
    layers, first = linear_layers(modules, path)
    if sum(isinstance(layer, Dense) for layer in layers) > 1:
        warnings.warn(ASSUMED, UserWarning, stacklevel=4)
    try:
        return Model.blank(Sequential(*layers), (first,), dtype_of(modules))
    except MinnetError as error:
        raise file_error(path, quoted(str(error)), FIX) from error


def dtype_of(modules: dict) -> type:
    """Return the type of the numbers of a model of these modules."""
    double = any(array.dtype == np.float64 for arrays in modules.values() for array in arrays.values())
    return np.float64 if double else np.float32


def linear_layers(modules: dict, path) -> tuple[list[Layer], int]:
    """Return (the layers of a chain of Linear layers, BatchNorm1d among them, how many features it takes).

    Raises FileError where there is any doubt which layers they are, or which comes first.
    """
    norms = [name for name, arrays in modules.items() if set(arrays) >= STATISTICS]
    linear = [name for name in modules if name not in norms]
    others = [name for name in linear if not _is_linear(modules[name])]
    if others or not linear:
        raise file_error(path, "is a state dict, which holds no architecture; one is found for Linear layers, and "
                         "convolutions before them, and it has "
                         f"{quoted(', '.join(others or norms)) or 'no Linear layer'}", FIX)
    order = _order(modules, norms, path)
    layers: list[Layer] = []
    activated = _activated(order, norms)
    first = width = _inputs(modules[order[0]])
    for i, name in enumerate(order):
        if _inputs(modules[name]) != width:
            raise file_error(path, f"has {quoted(name)}, which takes {_inputs(modules[name])} features, behind {width}",
                             FIX)
        if name in norms:
            layers.append(BatchNorm(name=layer_name(name)))
        else:
            width = len(modules[name]["weight"])
            layers.append(Dense(width, use_bias="bias" in modules[name], name=layer_name(name)))
        layers += [ReLU()] if i in activated else []
    return layers, first


def layer_name(name: str) -> str | None:
    """Return the name of a module's layer, None for that of a module alone."""
    return name.replace(".", "_") or None


def _is_linear(arrays):
    """Return whether a module is a Linear layer."""
    weight = arrays.get("weight")
    return weight is not None and weight.ndim == WEIGHT_AXES and set(arrays) <= {"weight", "bias"}


def _inputs(arrays):
    """Return how many features a module takes."""
    return len(arrays["running_mean"]) if "running_mean" in arrays else arrays["weight"].shape[1]


def _order(modules, norms, path):
    """Return the names in the order of the net: by the numbers in them, else by the shapes of weights alone."""
    if len({re.sub(r"\d+", "#", name) for name in modules}) == 1 or len(modules) == 1:
        return sorted(modules, key=natural)
    doubt = "do not say which comes first"
    shapes = {name: modules[name]["weight"].shape for name in modules if name not in norms}  # (out, in)
    made = {out for out, _ in shapes.values()}
    order = [name for name, (_, width) in shapes.items() if width not in made]
    while not norms and len(order) < len(shapes):
        after = [name for name, (_, width) in shapes.items() if name not in order and width == shapes[order[-1]][0]] \
            if order else []
        if len(after) != 1:
            break
        order += after
    if norms or len(order) != len(shapes):
        raise file_error(path, f"has modules whose names and shapes {doubt}: {quoted(', '.join(modules))}", FIX)
    return order


def _activated(order, norms):
    """Return the places after which a ReLU is: where a number is missing behind a Linear layer, or before the next."""
    linear, found = [i for i, name in enumerate(order) if name not in norms], set()
    for i, j in pairwise(linear):
        missing = [k for k in range(i, j) if numbers_in(order[k + 1]) != _next(numbers_in(order[k]))]
        found.add(missing[0] if missing else j - 1)
    return found


def _next(numbers):
    """Return the numbers of the module that follows directly."""
    return [*numbers[:-1], numbers[-1] + 1] if numbers else []
