"""What a description of an architecture asks for, found out before any memory is taken.

    spec = read_architecture(config, layer_table(layers))    # config: JSON of a file that is not trusted
    spec.places                                              # [(name, Declared, slice of the flat vector)]
    Model.blank(spec.tree, spec.input_shape, spec.dtype)

A file names the classes of its layers; which classes there are the caller says: minnet's, and those in `layers`.
"""
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from minnet.engine.containers import build_child
from minnet.engine.layer import Layer, layer_from_config
from minnet.engine.layers import LAYERS
from minnet.engine.vector import lay_out
from minnet.errors import InvalidType, InvalidValue, MinnetError, UnknownName, quoted, unknown

MOST_LAYERS = 10_000
LARGEST_NUMBER = 2**31 - 1   # that an argument of a layer may be: kernels count in 64 bits
MOST_OUTPUTS = 2**28         # numbers that one layer gives for one row or image
MOST_AXES = 8
DTYPES = ("float32", "float64")


class UnknownLayer(UnknownName):
    """Report a layer that is neither minnet's nor among those that the caller gave."""


@dataclass(frozen=True, eq=False)
class Architecture:
    """A model before it is made: its tree with all shapes known, and the place of each parameter in the vector."""

    tree: Layer
    input_shape: tuple[int, ...]
    dtype: np.dtype
    places: tuple
    n_trainable: int
    length: int


def memory(length, dtype):
    """Return the bytes that the values and the mask of a model take whose flat vector has this length."""
    return length * (dtype.itemsize + 1)


def layer_table(layers=None):
    """Return {name in a file: class} of minnet's layers and of `layers`, the caller's own.

    Raises InvalidType for what is no subclass of Layer, InvalidValue for a name of minnet's own.
    """
    if layers is not None and not isinstance(layers, Mapping):
        raise InvalidType(f'layers={quoted(repr(layers))}: give classes by name, as in {{"Scale": Scale}}')
    for name, made in (layers or {}).items():
        if not (isinstance(made, type) and issubclass(made, Layer)):
            raise InvalidType(f"layers has {quoted(repr(made))} at {quoted(repr(name))}; wanted a subclass of Layer")
        if name in LAYERS and LAYERS[name] is not made:
            raise InvalidValue(f"layers has a class at {quoted(repr(name))}, which is a layer of minnet's: rename it")
    return LAYERS | dict(layers or {})


def own_layers(tree):
    """Return {name: class} of the layers in `tree` that are not minnet's, as `layers=` takes them.

    Raises InvalidType where a file could not tell two classes apart, or name a layer.
    """
    own = {}
    for layer in _with_inner(tree):
        made = type(layer)
        name = made.__name__
        if LAYERS.get(name) is made:
            continue
        if name in LAYERS or own.setdefault(name, made) is not made:
            raise InvalidType(f"{quoted(layer.name)} is of a second class called {quoted(name)}: a file tells layers "
                              "apart by the names of their classes; rename one")
        if "name" not in inspect.signature(made).parameters:
            raise InvalidType(f"{quoted(layer.name)} is a {quoted(name)}, whose constructor takes no name: a file "
                              "keeps the names of layers; add `*, name=None`")
    return own


def read_architecture(config, table=LAYERS):
    """Return the Architecture of `config`, {"tree": ..., "input_shape": ..., "dtype": ...}.

    Allocates nothing of the model's size. `table` has the classes of layers by name. Raises UnknownLayer for a layer
    that is not in it, InvalidValue (or another MinnetError, of the layer concerned) for whatever `model.config()` does
    not make.
    """
    if not isinstance(config, dict) or set(config) != {"tree", "input_shape", "dtype"}:
        raise InvalidValue("the architecture is no table with tree, input_shape and dtype, but "
                           f"{quoted(repr(config))}")
    shape, dtype = config["input_shape"], config["dtype"]
    if not (isinstance(shape, list) and 1 <= len(shape) <= MOST_AXES and all(_is_size(n) for n in shape)):
        raise InvalidValue(f"input_shape={quoted(repr(shape))}; wanted whole numbers from 1 to {LARGEST_NUMBER}")
    if dtype not in DTYPES:
        raise InvalidValue(f"dtype={quoted(repr(dtype))}; wanted one of {', '.join(DTYPES)}")
    _check_layers(config["tree"], table)
    tree, declared = _built(config["tree"], tuple(shape), table)
    placed, _, n_trainable, length = lay_out(declared)
    places = tuple((f"{item.layer.name}.{item.kind}", item, window) for item, window in placed)
    return Architecture(tree, tuple(shape), np.dtype(dtype), places, n_trainable, length)


def _built(config, shape, table):
    """Return (the tree with all shapes known, what its layers declare)."""
    try:
        tree = layer_from_config(config, table)
        _, declared = build_child(tree, shape)
    except MinnetError:
        raise
    except Exception as error:  # whatever a layer of the caller's own raises for arguments or shapes that it refuses
        if table.keys() == LAYERS.keys():
            raise
        raise InvalidValue(f"its layers cannot be made: {type(error).__name__}: {quoted(str(error))}") from error
    for layer in _with_inner(tree):
        outputs = math.prod(layer.output_shape)
        if outputs > MOST_OUTPUTS:
            raise InvalidValue(f"{layer.name} gives {outputs:,} numbers for one row or image; at most {MOST_OUTPUTS:,} "
                               "are taken")
    return tree, declared


def check_like(what, default, value):
    """Refuse a `value` from JSON that is not of the kind of `default`: a switch, a number, or a few of these."""
    if isinstance(default, bool):
        fits = isinstance(value, int) and value in (0, 1)
    elif isinstance(default, float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif isinstance(default, tuple):
        fits = isinstance(value, list) and len(value) == len(default)
        for one, other in zip(default, value if fits else (), strict=False):
            check_like(what, one, other)
    else:
        fits = True
    if not fits:
        raise InvalidValue(f"{what}={quoted(repr(value))}; wanted something like {default!r}")


def _with_inner(layer):
    """Yield a layer and all layers inside it."""
    yield layer
    for child in layer.children():
        yield from _with_inner(child)


def _check_layers(tree, table):
    """Check the JSON of all layers, before a single one is made."""
    waiting, names = [tree], set()
    while waiting:
        config = waiting.pop()
        if not isinstance(config, dict) or not isinstance(config.get("type"), str):
            raise InvalidValue(f"a layer is described by a table with its type, got {quoted(repr(config))}")
        if config["type"] not in table:
            raise UnknownLayer(str(unknown("layer", config["type"], table)))
        name = config.get("name")
        if not isinstance(name, str) or name in names:
            raise InvalidValue(f"a layer is called {quoted(repr(name))}: each has a name of its own")
        names.add(name)
        if len(names) > MOST_LAYERS:
            raise InvalidValue(f"it has more than {MOST_LAYERS:,} layers")
        waiting += _check_arguments(config, table[config["type"]])


def _check_arguments(config, made):
    """Refuse arguments that the class `made` does not take, lacks, or cannot mean; return the layers among them."""
    kind, inner = config["type"], []
    wanted = inspect.signature(made).parameters
    given = {name: value for name, value in config.items() if name != "type"}
    needed = {name for name, about in wanted.items()
              if about.default is about.empty and about.kind is not about.VAR_POSITIONAL}
    if not needed <= set(given) <= set(wanted):
        raise InvalidValue(f"{kind} is given {quoted(repr(sorted(given)))}; it takes {', '.join(wanted)}")
    for name, value in given.items():
        what = f"{name} of {quoted(config['name'])}"
        if wanted[name].kind is inspect.Parameter.VAR_POSITIONAL:
            if not isinstance(value, list):
                raise InvalidValue(f"{what} is {quoted(repr(value))}; wanted a list of layers")
            inner += value
        else:
            if value is not None or type(None) not in get_args(wanted[name].annotation):
                check_like(what, wanted[name].default, value)
            _check_numbers(what, value)
            inner += [value] if isinstance(value, dict) else []
    return inner


def _check_numbers(what, value):
    """Refuse huge numbers in an argument, also in lists."""
    for item in value if isinstance(value, list) else ():
        _check_numbers(what, item)
    if isinstance(value, int | float) and abs(value) > LARGEST_NUMBER:
        raise InvalidValue(f"{what} is {quoted(repr(value))}; at most {LARGEST_NUMBER} is taken")


def _is_size(n):
    return type(n) is int and 1 <= n <= LARGEST_NUMBER
