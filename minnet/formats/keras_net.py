"""The net that is built of a Keras model's description: its items, and what flows between them.

    net = KerasNet(arrays_of, shape)              # arrays_of(spec): {name of a weight: array} in the file
    y = net.add(spec, Dense(3), x, {"weight": ...})     # x, y: Wire

Items are those of onnx_tree.py, which makes a tree of them.
"""
import math
import re
from dataclasses import dataclass, field, replace

import numpy as np

from minnet.errors import MinnetError, quoted
from minnet.formats.channels import IMAGE_AXES
from minnet.formats.onnx_arithmetic import scaling_norm
from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_tree import Item

MOST_ITEMS = 5_000
LARGEST = 2**31 - 1
NO_PADS = (0, 0, 0, 0)
LONGEST_NAME = 100
WAY_OUT = 'model.export("net.onnx", format="onnx") writes what may be read'


@dataclass(frozen=True, eq=False)
class Wire:
    """The output of item number `item` for one row or image.

    `pads` (top, left, bottom, right) are zeros around it that the next convolution takes over. `pixel`: Keras has a row
    of `shape` (c,) as an image of one pixel, (1, 1, c). `line`: Keras has an image of height 1, (1, length, c), as a
    sequence, (length, c).
    """

    item: int
    shape: tuple
    pads: tuple = NO_PADS
    pixel: bool = False
    line: bool = False


@dataclass(eq=False)
class KerasNet:
    """The items of the net, whose input has `shape` in the file, which an `old` Keras wrote, 1 or 2.

    `affine` has (factor, shift, whether these are one number per channel) of those that compute factor x + shift,
    `used` the layers with weights, `repeated` the names of those that are used twice, `shapes` what each
    item reads.
    """

    arrays_of: object
    shape: tuple = ()
    old: bool = False
    items: list = field(default_factory=lambda: [Item(label="the input")])
    affine: dict = field(default_factory=dict)
    used: set = field(default_factory=set)
    repeated: list = field(default_factory=list)
    shapes: dict = field(default_factory=dict)

    def add(self, spec, layer, x, values=None):
        """Append a layer that reads the Wire `x`; return the Wire of its output."""
        if any(x.pads):
            raise UnsupportedGraph(f"{label(spec)} reads the padding {x.pads} of a ZeroPadding2D, which only a "
                                   "convolution, or a MaxPooling2D behind a ReLU, can take over")
        if len(self.items) > MOST_ITEMS:
            raise UnsupportedGraph(f"it has more than {MOST_ITEMS:,} layers")
        layer.name = layer_name(spec.name) or "layer"
        try:
            shape, wanted = layer.build(x.shape)
        except MinnetError as error:
            raise UnsupportedGraph(str(error)) from error
        for declared in wanted:
            array = (values or {}).get(declared.kind)
            if array is not None and array.shape != declared.shape:
                raise UnsupportedGraph(f"{label(spec)} has a {declared.kind} of shape {array.shape}; its description "
                                       f"says {declared.shape}")
        return Wire(self.append(spec, layer, (x,), values), tuple(shape), pixel=x.pixel and len(shape) == 1,
                    line=x.line and len(shape) == IMAGE_AXES)

    def join(self, spec, how, wires, shape):
        """Append the sum ("add") or concatenation ("concat") of wires; return the Wire of its output."""
        if any(any(x.pads) for x in wires):
            raise UnsupportedGraph(f"{label(spec)} reads a ZeroPadding2D, which only a convolution can take over")
        return Wire(self.append(spec, how, wires, None), shape, pixel=any(x.pixel for x in wires),
                    line=any(x.line for x in wires))

    def append(self, spec, layer, wires, values):
        """Append an item; return its number."""
        self.shapes[len(self.items)] = wires[0].shape
        self.items.append(Item(layer, tuple(x.item for x in wires), values or {}, label(spec)))
        return len(self.items) - 1

    def scaled(self, spec, x, factor, shift):
        """Append factor x + shift, with arrays that broadcast with a row: a BatchNorm, or the scaling of the input."""
        channels = x.shape[-1:]
        fits = all(math.prod(array.shape[:-1]) == 1 and array.size in (1, *channels) for array in (factor, shift))
        gain, offset = (factor, shift) if fits else (np.ones(1), np.zeros(1))
        layer, values = scaling_norm(*(np.broadcast_to(array.reshape(-1), channels) for array in (gain, offset)))
        y = self.add(spec, layer, x, values)
        self.affine[y.item] = (factor, shift, fits)
        return y

    def is_input(self, x):
        """Return whether a Wire is the input, or that by one factor and one shift."""
        item = x.item
        while item in self.affine and all(array.size == 1 for array in self.affine[item][:2]):
            item = self.items[item].inputs[0]
        return item == 0

    def weights(self, spec, names):
        """Return the arrays of a layer's weights by these names, in Keras's order; refuse others."""
        found = self.arrays_of(spec)
        if found and "kernel" in found and "depthwise_kernel" in names and "pointwise_kernel" not in names:
            found = {f"depthwise_{name}" if name == "kernel" else name: array for name, array in found.items()}
        if found and any(name.startswith("lora_") for name in found):
            raise UnsupportedGraph(f"{label(spec)} has LoRA's weights beside its kernel: save it as .keras, which "
                                   "merges them")
        if found is None or len(found) != len(names) or not (set(names) == set(found) or is_numbered(found)):
            there = "none" if not found else ", ".join(f"{quoted(name)} {array.shape}" for name, array in found.items())
            raise UnsupportedGraph(f"{label(spec)} has the weights {', '.join(names) or 'none'}, in the file {there}")
        if (spec.trail, spec.place) in self.used and spec.name not in self.repeated:
            self.repeated.append(spec.name)
        self.used.add((spec.trail, spec.place))
        return [found[name] for name in names] if set(names) == set(found) else list(found.values())


def is_numbered(arrays):
    """Return whether the names of arrays say nothing, so that their order has to."""
    return all(name.isdecimal() for name in arrays)


def label(spec):
    """Return the name of a layer in messages."""
    return f"{quoted(spec.kind)} ({quoted(spec.name or 'its activation')})"


def layer_name(name):
    """Return the name that a layer may have here, or None."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name[:LONGEST_NAME]).strip("_") or None


# --- the arguments of a layer ----------------------------------------------------------------------------------------


def count(spec, key):
    """Return an argument that is a whole number of at least 1."""
    return _count(spec, key, spec.config.get(key))


def single(spec, key, default=None):
    """Return an argument that is a whole number, or a list of one, as of windows over sequences."""
    value = spec.config.get(key, default)
    return _count(spec, key, value[0] if isinstance(value, list) and len(value) == 1 else value)


def _count(spec, key, value):
    if type(value) is not int or not 1 <= value <= LARGEST:
        raise _wrong(spec, key, value, "a whole number of at least 1")
    return value


def pair(spec, key, default=None):
    """Return an argument that is a whole number or a pair of them, as a number where both are alike."""
    value = spec.config.get(key, default)
    value = [value, value] if type(value) is int else value
    if not isinstance(value, list) or len(value) != 2 or not all(type(n) is int and 1 <= n <= LARGEST for n in value):
        raise _wrong(spec, key, value, "a pair of whole numbers of at least 1")
    return value[0] if value[0] == value[1] else tuple(value)


def number(spec, key, default=None):
    """Return an argument that is a finite number."""
    value = spec.config.get(key, default)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _wrong(spec, key, value, "a finite number")
    return float(value)


def numbers(spec, key, default=None):
    """Return an argument that is a finite number, or a list of them, as an array."""
    value = spec.config.get(key, default)
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(spec, key, value, "finite numbers") from error
    if value is None or not np.isfinite(array).all():
        raise _wrong(spec, key, value, "finite numbers")
    return array


def word(spec, key, default, words):
    """Return an argument that is one of `words`."""
    value = spec.config.get(key, default)
    if not isinstance(value, str) or value.lower() not in words:
        raise _wrong(spec, key, value, " or ".join(words))
    return value.lower()


def flag(spec, key, default=True):
    """Return an argument that is true or false."""
    value = spec.config.get(key, default)
    if not isinstance(value, bool):
        raise _wrong(spec, key, value, "true or false")
    return value


def require(spec, key, default, *allowed):
    """Refuse an argument with another value than those `allowed`."""
    value = spec.config.get(key, default)
    if value not in allowed:
        raise _wrong(spec, key, value, " or ".join(map(repr, allowed[:1])))


def _wrong(spec, key, value, wanted):
    return UnsupportedGraph(f"{label(spec)} has {key}={quoted(repr(value))}; wanted {wanted}")


def without_pads(x):
    """Return the Wire without its padding, which a convolution has taken over."""
    return replace(x, pads=NO_PADS)
