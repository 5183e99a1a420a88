"""The layers of Keras that minnet reads, `LAYERS[spec.kind](net, spec, *wires) -> Wire`.

A function adds items to `net`, with the numbers that the file has for them, or raises UnsupportedGraph with the reason
why the layer has no counterpart here. Images are channels last in both.
"""
import math
from dataclasses import replace

import numpy as np

from minnet.engine.activations import ReLU, Sigmoid
from minnet.engine.adaptive import adaptive_pool, even_window
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm
from minnet.engine.more_activations import ReLU6
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.rare_activations import HardSigmoid, Softplus
from minnet.errors import quoted
from minnet.formats.keras_elementwise import ELEMENTWISE, FUNCTIONS, SIX, activated, dropout, function, same
from minnet.formats.keras_net import (
    IMAGE_AXES,
    NO_PADS,
    Wire,
    count,
    flag,
    label,
    number,
    numbers,
    pair,
    require,
    single,
    without_pads,
    word,
)
from minnet.formats.onnx_fold import UnsupportedGraph

TINY = 1e-7         # the least deviation by which Normalization divides
DIGITS = 6          # of 1 - momentum
PADDINGS = ("valid", "same")
WINDOWS = ("kernel_size", "strides", "pool_size", "dilation_rate", "output_size")     # of layers over sequences
NOT_NEGATIVE = (ReLU, ReLU6, Sigmoid, Softplus, HardSigmoid)


# --- with weights ----------------------------------------------------------------------------------------------------


def dense(net, spec, x):
    """Add a Dense layer, or a Conv2d of one pixel where the input is an image."""
    units, names = count(spec, "units"), _names(spec, "kernel")
    kernel, *bias = net.weights(spec, names)
    if len(x.shape) == IMAGE_AXES - 1 and net.is_input(x):  # a sequence
        x = replace(x, shape=(1, *x.shape), line=True)
    if len(x.shape) == 1:
        layer = Dense(units, use_bias=bool(bias))
    elif len(x.shape) == IMAGE_AXES:
        layer, kernel = Conv2d(units, 1, use_bias=bool(bias)), kernel[None, None]
    else:
        raise UnsupportedGraph(f"{label(spec)} reads {x.shape}; wanted rows of features, or images: flatten it first")
    return activated(net, spec, net.add(spec, layer, x, _values(kernel, bias)))


def conv(net, spec, x):
    """Add a Conv2d."""
    kernel, *bias = net.weights(spec, _names(spec, "kernel"))
    kernel, filters = _planar(kernel, x), count(spec, "filters")
    more = {"groups": count(spec, "groups") if "groups" in spec.config else 1,
            "dilation": pair(spec, "dilation_rate", 1)}
    if x.pixel and kernel.shape[:2] == (1, 1):
        return activated(net, spec, net.add(spec, Dense(filters, use_bias=bool(bias)), x, _values(kernel[0, 0], bias)))
    return activated(net, spec, _conv(net, spec, x, Conv2d, kernel, bias, (filters,), more))


def depthwise(net, spec, x):
    """Add a DepthwiseConv2d."""
    kernel, *bias = net.weights(spec, _names(spec, "depthwise_kernel"))
    return activated(net, spec, _depthwise(net, spec, x, _planar(kernel, x), bias))


def separable(net, spec, x):
    """Add a DepthwiseConv2d and a Conv2d of one pixel."""
    deep, pointwise, *bias = net.weights(spec, _names(spec, "depthwise_kernel", "pointwise_kernel"))
    between = _depthwise(net, replace(spec, name=f"{spec.name}_depthwise"), x, _planar(deep, x), [])
    y = net.add(spec, Conv2d(count(spec, "filters"), 1, use_bias=bool(bias)), between,
                _values(_planar(pointwise, x), bias))
    return activated(net, spec, y)


def _depthwise(net, spec, x, kernel, bias):
    """Add a DepthwiseConv2d with a kernel (kh, kw, channels, multiplier)."""
    multiplier = count(spec, "depth_multiplier")
    if kernel.ndim != IMAGE_AXES + 1 or kernel.shape[2:] != (x.shape[-1], multiplier):
        raise UnsupportedGraph(f"{label(spec)} has a kernel of shape {kernel.shape} for {x.shape[-1]} channels and "
                               f"depth_multiplier={multiplier}")
    flat = kernel.reshape(*kernel.shape[:2], 1, -1)  # output c*m + j is the j-th of channel c
    if pair(spec, "dilation_rate", 1) != 1:
        groups = {"groups": x.shape[-1], "dilation": pair(spec, "dilation_rate")}
        return _conv(net, spec, x, Conv2d, flat, bias, flat.shape[-1:], groups)
    return _conv(net, spec, x, DepthwiseConv2d, flat, bias, last={"multiplier": multiplier})


def _conv(net, spec, x, kind, kernel, bias, first=(), last=None):
    """Add a convolution of one of two kinds, with its own padding and that of a ZeroPadding2D before it."""
    padding = word(spec, "padding", "valid", PADDINGS)
    if any(x.pads):
        if padding != "valid":
            raise UnsupportedGraph(f"{label(spec)} pads what a ZeroPadding2D has padded already")
        top, left, bottom, right = x.pads
        padding = ((top, bottom), (left, right))
    layer = kind(*first, pair(spec, "kernel_size"), pair(spec, "strides", 1), padding, use_bias=bool(bias),
                 **last or {})
    return net.add(spec, layer, without_pads(x), _values(kernel, bias))


def _names(spec, *kernels):
    """Return the names of the weights of a layer."""
    return (*kernels, *(["bias"] if flag(spec, "use_bias") else []))


def _values(kernel, bias):
    return {"weight": kernel} | ({"bias": bias[0]} if bias else {})


def batch_norm(net, spec, x):
    """Add a BatchNorm. Keras's momentum is the weight of the old statistics, ours that of the new ones."""
    values = _norm_values(net, spec, x, ("moving_mean", "moving_variance"))
    layer = BatchNorm(epsilon=number(spec, "epsilon"), momentum=round(1 - number(spec, "momentum"), DIGITS))
    return net.add(spec, layer, x, values)


def layer_norm(net, spec, x):
    """Add a LayerNorm over the last axis."""
    require(spec, "rms_scaling", False, False)
    return net.add(spec, LayerNorm(epsilon=number(spec, "epsilon")), x, _norm_values(net, spec, x))


def group_norm(net, spec, x):
    """Add a GroupNorm, or an InstanceNorm where each channel is a group."""
    groups, epsilon = spec.config.get("groups"), number(spec, "epsilon")
    layer = InstanceNorm(epsilon=epsilon) if groups == -1 else GroupNorm(count(spec, "groups"), epsilon=epsilon)
    return net.add(spec, layer, x, _norm_values(net, spec, x))


def _norm_values(net, spec, x, statistics=()):
    """Return the numbers of a norm over the last axis, which may lack gamma or beta."""
    axis = spec.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(x.shape) - x.line):
        raise UnsupportedGraph(f"{label(spec)} goes along axis {quoted(repr(axis))} of {x.shape}: only the last can be "
                               "read")
    names = [name for name, key in (("gamma", "scale"), ("beta", "center")) if flag(spec, key)] + list(statistics)
    found = dict(zip(names, net.weights(spec, names), strict=True))
    channels = x.shape[-1:]
    return {"gain": found.get("gamma", np.ones(channels, np.float32)),
            "shift": found.get("beta", np.zeros(channels, np.float32)),
            **{name.removeprefix("moving_"): found[name] for name in statistics}}


# --- sequences -------------------------------------------------------------------------------------------------------


def on_line(function):
    """Return the function that reads a layer over sequences as that over images of height 1."""
    def made(net, spec, x):
        if len(x.shape) == IMAGE_AXES - 1 and net.is_input(x):
            x = replace(x, shape=(1, *x.shape), line=True)
        if not x.line:
            raise UnsupportedGraph(f"{label(spec)} reads {x.shape}; wanted a sequence (length, channels)")
        config = spec.config | {key: [1, single(spec, key)] for key in WINDOWS if spec.config.get(key) is not None}
        if isinstance(config.get("padding"), list):
            config["padding"] = [[0, 0], config["padding"]]
        if config.get("padding") == "causal":  # each output sees what is before it alone
            window, holes = (single(spec, key, 1) for key in ("kernel_size", "dilation_rate"))
            x, config["padding"] = replace(x, pads=(0, x.pads[1] + (window - 1) * holes, 0, x.pads[3])), "valid"
        return function(net, replace(spec, config=config), x)
    return made


def _planar(kernel, x):
    """Return the kernel of a window over sequences as one over images of height 1; any other as it is."""
    return kernel[None] if x.line and kernel.ndim == IMAGE_AXES else kernel


# --- scaling ---------------------------------------------------------------------------------------------------------


def rescaling(net, spec, x):
    """Compute scale x + offset."""
    return net.scaled(spec, x, numbers(spec, "scale"), numbers(spec, "offset", 0.0))


def normalization(net, spec, x):
    """Compute (x - mean) / deviation, with the numbers of the description or of the file."""
    require(spec, "invert", False, False)
    axes = spec.config.get("axis", -1)
    axes = [axes] if type(axes) is int else axes or []
    if not isinstance(axes, list) or not all(type(axis) is int and -len(x.shape) <= axis <= len(x.shape) and axis
                                             for axis in axes):
        raise UnsupportedGraph(f"{label(spec)} has axis={quoted(repr(axes))} for {x.shape}")
    kept = {(axis - 1) % len(x.shape) if axis > 0 else axis % len(x.shape) for axis in axes}
    shape = [n if i in kept else 1 for i, n in enumerate(x.shape)]
    if spec.config.get("mean") is None:
        mean, variance = (array.astype(np.float64) for array in net.weights(spec, ("mean", "variance")))
    else:
        mean, variance = numbers(spec, "mean"), numbers(spec, "variance")
    if not all(array.size in (1, math.prod(shape)) for array in (mean, variance)) or (variance < 0).any():
        raise UnsupportedGraph(f"{label(spec)} has mean and variance of shapes {mean.shape} and {variance.shape} for "
                               f"{tuple(shape)}")
    mean, variance = (np.broadcast_to(array.reshape(-1), math.prod(shape)).reshape(shape) for array in (mean, variance))
    factor = 1 / np.maximum(np.sqrt(variance), TINY)
    return net.scaled(spec, x, factor, -mean * factor)


# --- images ----------------------------------------------------------------------------------------------------------


def pool(kind):
    """Return the function that adds a pool of a kind."""
    def add(net, spec, x):
        padding = word(spec, "padding", "valid", PADDINGS)
        if any(x.pads) and kind is MaxPool2d and padding == "valid" and \
                isinstance(net.items[x.item].layer, NOT_NEGATIVE):
            top, left, bottom, right = x.pads  # no maximum of what a ReLU gives is below the zeros around it
            padding, x = ((top, bottom), (left, right)), without_pads(x)
        size = pair(spec, "pool_size")
        given = spec.config.get("strides")
        return net.add(spec, kind(size, size if given is None else pair(spec, "strides"), padding), x)
    return add


def adaptive(net, spec, x):
    """Add a pool whose windows follow from the size of its output: an AvgPool2d or MaxPool2d where they are alike."""
    size = pair(spec, "output_size")
    if len(x.shape) != IMAGE_AXES:
        raise UnsupportedGraph(f"{label(spec)} reads {x.shape}; wanted images")
    if "Average" in spec.kind:
        return net.add(spec, adaptive_pool(x.shape, size), x)
    window = even_window(x.shape, size)
    if window is None:
        raise UnsupportedGraph(f"{label(spec)} has maxima over windows that are not alike: choose an output_size that "
                               "divides the image")
    return net.add(spec, MaxPool2d(*window), x)


def global_pool(kind):
    """Return the function that adds a pool of whole images."""
    return lambda net, spec, x: replace(net.add(spec, kind(), x), pixel=flag(spec, "keepdims", False))


def zero_padding(net, spec, x):
    """Note the padding for the next convolution."""
    given = spec.config.get("padding")
    given = [given, given] if type(given) is int else given
    sides = [[side, side] if type(side) is int else side for side in given] if isinstance(given, list) else []
    flat = [n for side in sides if isinstance(side, list) for n in side]
    if len(x.shape) != IMAGE_AXES or len(flat) != len(NO_PADS) or not all(type(n) is int and 0 <= n for n in flat):
        raise UnsupportedGraph(f"{label(spec)} has padding={quoted(repr(given))} for {x.shape}")
    top, bottom, left, right = flat
    return replace(x, pads=tuple(a + b for a, b in zip(x.pads, (top, left, bottom, right), strict=True)))


def flatten(net, spec, x):
    """Add a Flatten, unless the input is flat already."""
    return replace(x, pixel=False) if len(x.shape) == 1 else net.add(spec, Flatten(), x)


def reshape(net, spec, x):
    """Read a Reshape that flattens, one of the input, which can have any shape here, and one that changes nothing."""
    wanted = spec.config.get("target_shape")
    size = math.prod(x.shape)
    if not isinstance(wanted, list) or not all(type(n) is int and n >= -1 for n in wanted) or wanted.count(-1) > 1:
        raise UnsupportedGraph(f"{label(spec)} has target_shape={quoted(repr(wanted))}")
    known = -math.prod(wanted)
    shape = tuple(size // known if n == -1 and known > 0 else n for n in wanted)
    if math.prod(shape) != size or not shape:
        raise UnsupportedGraph(f"{label(spec)} makes the shape {shape} of {x.shape}")
    if shape == x.shape:
        return replace(x, pixel=False)
    if len(shape) == 1:
        return flatten(net, spec, x)
    if shape == (1, 1, *x.shape):
        return replace(x, pixel=True)
    if net.is_input(x) and not any(x.pads):
        return replace(x, shape=shape)
    raise UnsupportedGraph(f"{label(spec)} makes the shape {shape} of {x.shape}: only the input can be given another "
                           "shape, and any other output be flattened")


# --- branches --------------------------------------------------------------------------------------------------------


def add(net, spec, *wires):
    """Add wires of one shape."""
    if len(wires) < 2 or any(x.shape != wires[0].shape for x in wires):
        raise UnsupportedGraph(f"{label(spec)} adds the shapes {', '.join(str(x.shape) for x in wires)}; wanted two or "
                               "more alike")
    total = wires[0]
    for x in wires[1:]:
        total = net.join(spec, "add", (total, x), x.shape)
    return total


def multiply(net, spec, *wires):
    """Multiply two wires of one shape, or an image by a number for each channel."""
    if len(wires) != 2:
        raise UnsupportedGraph(f"{label(spec)} multiplies {len(wires)} outputs; wanted two")
    small, large = sorted(wires, key=lambda x: (math.prod(x.shape), len(x.shape)))
    gate = small.pixel and small.shape == large.shape[-1:]
    if small.shape != large.shape and not gate and small.shape != (1, 1, *large.shape[-1:]):
        raise UnsupportedGraph(f"{label(spec)} multiplies the shapes {small.shape} and {large.shape}: wanted two "
                               "alike, or an image and (1, 1, channels)")
    return replace(net.join(spec, "product", (large, small), large.shape), pixel=large.pixel)


def with_number(compute, neutral):
    """Return the function that adds or multiplies wires, or a wire and one number."""
    def made(net, spec, *given):
        wires = [x for x in given if isinstance(x, Wire)]
        if len(wires) == len(given):
            return compute(net, spec, *wires)
        (x,), (constant,) = wires, [np.float64(n) for n in given if not isinstance(n, Wire)]
        return _scaled(net, spec, x, *((constant, neutral) if compute is multiply else (neutral, constant)))
    return made


def _scaled(net, spec, x, factor, shift):
    """Add factor x + shift; ReLU6(x + 3) / 6 is a HardSigmoid."""
    item = net.items[x.item]
    before = item.inputs[0] if isinstance(item.layer, ReLU6) else 0
    if abs(SIX * factor - 1) < TINY and not shift and net.affine.get(before, ())[:2] == (1, SIX / 2):
        return net.add(spec, HardSigmoid(), replace(x, item=net.items[before].inputs[0]))
    return net.scaled(spec, x, np.asarray(factor, np.float64), np.asarray(shift, np.float64))


def concatenate(net, spec, *wires):
    """Concatenate along the channels."""
    first, axis = wires[0].shape, spec.config.get("axis", -1)
    if axis not in (-1, len(first)) or any(x.shape[:-1] != first[:-1] for x in wires):
        raise UnsupportedGraph(f"{label(spec)} joins the shapes {', '.join(str(x.shape) for x in wires)} along axis "
                               f"{quoted(repr(axis))}: only channels can be put side by side")
    return net.join(spec, "concat", wires, (*first[:-1], sum(x.shape[-1] for x in wires)))


plus_number, by_number = with_number(add, 1.0), with_number(multiply, 0.0)
LAYERS: dict = ELEMENTWISE | {
    "Dense": dense, "Conv2D": conv, "DepthwiseConv2D": depthwise, "SeparableConv2D": separable,
    "BatchNormalization": batch_norm, "Rescaling": rescaling, "Normalization": normalization, "Activation": activated,
    "Dropout": dropout, "SpatialDropout2D": same, "GaussianDropout": same, "GaussianNoise": same,
    "AlphaDropout": same, "ActivityRegularization": same, "Identity": same, "MaxPooling2D": pool(MaxPool2d),
    "AveragePooling2D": pool(AvgPool2d),  "GlobalAveragePooling2D": global_pool(GlobalAvgPool2d),
    "AdaptiveAveragePooling2D": adaptive, "AdaptiveMaxPooling2D": adaptive,
    "GlobalMaxPooling2D": global_pool(GlobalMaxPool2d), "ZeroPadding2D": zero_padding, "Flatten": flatten,
    "Reshape": reshape, "Add": plus_number, "Concatenate": concatenate, "Multiply": by_number,
    "ops.Multiply": by_number, "ops.Add": plus_number, "ops.Concatenate": concatenate,
}
LAYERS |= {f"{kind}1D": on_line(LAYERS[f"{kind}2D"]) for kind in (
    "Conv", "DepthwiseConv", "SeparableConv", "MaxPooling", "AveragePooling", "GlobalAveragePooling",
    "GlobalMaxPooling", "ZeroPadding", "AdaptiveAveragePooling", "AdaptiveMaxPooling")}
LAYERS |= {"SpatialDropout1D": same, "LayerNormalization": layer_norm, "GroupNormalization": group_norm}
WITH_NUMBERS = ("ops.Add", "ops.Multiply", "Add", "Multiply")    # a .h5 file does not say which they are
LAYERS |= {f"ops.{kind}": function(name) for kind, name in FUNCTIONS.items()}
LAYERS |= {kind: function(name) for kind, name in FUNCTIONS.items() if kind not in LAYERS}
