"""ONNX operators that add, subtract, multiply and divide: branches that meet or part, or constants for each channel.

Each is `function(net, node, a, b) -> Signal`; onnx_ops.py has the table. What is added to or multiplied with each
channel becomes part of the layer before, or a BatchNorm.
"""
import functools
import math
from dataclasses import replace

import numpy as np

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import rebuild
from minnet.engine.layer_norm import MomentNorm
from minnet.engine.normalise import BatchNorm
from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_net import Signal
from minnet.formats.onnx_tree import Item

EPSILON = 2.0**-17    # of a BatchNorm that is made: 1 - EPSILON is a float, and channels that are 0 are divided by no 0


def add(net, node, a, b):
    """Add two signals as a Residual, or a constant as a bias or a BatchNorm that only shifts."""
    if isinstance(a, Signal) and isinstance(b, Signal):
        if a.shape != b.shape or a.axes != b.axes or not _same_order(a, b):
            raise UnsupportedGraph(f"it adds the shapes {a.dims} and {b.dims}, laid out {a.axes} and {b.axes}")
        return net.join(node, "add", (a, b), a.shape, a.order)
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    return affine(net, node, x, shift=constant)


def total(net, node, *terms):
    """Add any number of terms."""
    return functools.reduce(functools.partial(add, net, node), terms)


def subtract(net, node, a, b):
    """Compute x - c, or c - x."""
    if isinstance(a, Signal) and isinstance(b, Signal):
        raise UnsupportedGraph("it is the difference of two branches")
    if isinstance(a, Signal):
        return affine(net, node, a, shift=-b)
    return affine(net, node, b, gain=np.array(-1.0), shift=a)


def multiply(net, node, a, b):
    """Multiply two signals as a Product, of which one may have a number for each channel; or compute c x."""
    if not (isinstance(a, Signal) and isinstance(b, Signal)):
        x, constant = (a, b) if isinstance(a, Signal) else (b, a)
        return affine(net, node, x, gain=constant)
    large, small = sorted((a, b), key=lambda x: (math.prod(x.shape), len(x.shape)), reverse=True)
    gate = "".join("c" if letter == "c" else "1" for letter in large.axes)
    same = large.shape == small.shape and large.axes == small.axes
    if not same and not (small.shape == large.shape[-1:] and small.axes.rjust(len(gate), "1") == gate):
        raise UnsupportedGraph(f"it multiplies the shapes {a.dims} and {b.dims}, laid out {a.axes} and {b.axes}: "
                               "only equal ones, or one number for each channel, can be read")
    if not _same_order(large, small):
        raise UnsupportedGraph("it multiplies a flattened image with features in another order")
    return net.join(node, "product", (large, small), large.shape, large.order)


def split(net, node, x, sizes=None):
    """Make layers of their own of the parts of a Dense layer or convolution whose outputs are split.

    Returns a Signal for each part.
    """
    item, axis, n = net.exclusive(x), node.attrs.get("axis", 0) % (len(x.axes) + 1), len(node.outputs)
    whole = not isinstance(item.layer, Dense | Conv2d) or getattr(item.layer, "groups", 1) > 1 or x.order is not None
    if whole or axis == 0 or x.axes[axis - 1] != "c":
        raise UnsupportedGraph("it splits something else than the outputs of one Dense layer or convolution: make a "
                               "layer of its own of each part")
    sizes = np.ravel(node.attrs.get("split", [x.shape[-1] / n] * n) if sizes is None else sizes)
    if len(sizes) != n or sizes.sum() != x.shape[-1] or (sizes < 1).any() or (sizes != np.floor(sizes)).any():
        raise UnsupportedGraph(f"it splits {x.shape[-1]} channels into {n} parts of {sizes.tolist()}")
    parts = [(rebuild(item.layer), item.values, item.inputs) for _ in sizes]
    signals, ends = [], np.cumsum(sizes.astype(int))
    for (layer, values, inputs), end, size in zip(parts, ends, sizes.astype(int), strict=True):
        setattr(layer, layer.units_argument, int(size))
        values = {kind: array[..., end - size : end] for kind, array in values.items()}
        if signals:
            net.items.append(Item(layer, inputs, values, item.label))
        else:
            item.layer, item.values = layer, values
        signals.append(replace(x, item=len(net.items) - 1 if signals else x.item, shape=(*x.shape[:-1], int(size))))
    return tuple(signals)


def divide(net, node, x, constant):
    """Compute x / c."""
    if not isinstance(x, Signal) or isinstance(constant, Signal):
        raise UnsupportedGraph("it divides by what depends on the input")
    return affine(net, node, x, gain=1 / constant)


def affine(net, node, x, gain=None, shift=None):
    """Compute gain x + shift per channel: in the bias or BatchNorm before it, else in a BatchNorm of its own."""
    net.check(x)
    channels = x.shape[-1:]
    scale = np.ones(channels) if gain is None else per_channel(gain, x)
    shift = np.zeros(channels) if shift is None else per_channel(shift, x)
    before = net.exclusive(x)
    if gain is None and isinstance(before.layer, Dense | Conv2d | DepthwiseConv2d):
        before.values["bias"] = before.values.get("bias", 0) + shift
        before.layer.use_bias = True
        return x
    if isinstance(before.layer, BatchNorm | MomentNorm):
        before.values["gain"] = before.values["gain"] * scale
        before.values["shift"] = before.values["shift"] * scale + shift
        return x
    layer, values = scaling_norm(scale, shift, node.layer_name)
    return net.add(node, layer, x, values=values, order=x.order)


def scaling_norm(gain, shift, name=None):
    """Return (a BatchNorm that computes gain x + shift per channel, its values)."""
    values = {"gain": gain, "shift": shift, "mean": np.zeros(gain.shape), "variance": np.full(gain.shape, 1 - EPSILON)}
    return BatchNorm(epsilon=EPSILON, name=name), values


def per_channel(constant, x):
    """Return a constant that is added to or multiplied with `x`: one number per channel, in minnet's order."""
    sizes = (1,) * (len(x.dims) + 1 - constant.ndim) + constant.shape
    wanted = (1, *[n if letter == "c" else 1 for letter, n in zip(x.axes, x.dims, strict=True)])
    fits = len(sizes) == len(wanted) and all(size in (1, n) for size, n in zip(sizes, wanted, strict=True))
    if not fits or constant.dtype.kind != "f":
        raise UnsupportedGraph(f"it has a constant of shape {constant.shape} for an input of shape {x.dims}: only "
                               "one number per channel can be read")
    spread = np.broadcast_to(constant.reshape(-1), x.shape[-1:])
    return spread if x.order is None else spread[x.order]


def _same_order(a, b):
    if a.order is None or b.order is None:
        return a.order is b.order
    return np.array_equal(a.order, b.order)
