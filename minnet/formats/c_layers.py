"""How each layer is written in C: one function a layer, and the table of them at the foot.

A function is called with (writer, layer, x), where `x` is the Buffer that the layer reads. It adds calls of functions
of `c_parts.py`, frees `x` after its last use and returns the Buffer of the output. A layer more is a row in WRITERS.
"""
import math

import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.sparse import SparseDense
from minnet.formats.c_writer import Buffer, literal

LOWEST = "-3.402823466e38f"     # the padding of a max pool


def _sequential(writer, layer, x):
    for child in layer.layers:
        x = writer.write(child, x)
    return x


def shared(x):
    """Return `x` for a branch, which may neither overwrite nor free it."""
    return Buffer(x.array, x.start, x.size, False)


def _residual(writer, layer, x):
    y = writer.writable(writer.write(layer.branch, shared(x)))
    other = shared(x) if layer.shortcut is None else writer.write(layer.shortcut, shared(x))
    writer.call("add", other, y.size, y)
    for buffer in (other, x):
        writer.free(buffer)
    return y


def _concat(writer, layer, x):
    total, first = layer.output_shape[-1], 0
    pixels = math.prod(layer.output_shape[:-1])
    y = writer.allocate(pixels * total)
    for branch, width in zip(layer.branches, layer.widths, strict=True):
        part = writer.write(branch, shared(x))
        writer.call("place_beside", part, pixels, width, total, first, y)
        writer.free(part)
        first += width
    writer.free(x)
    return y


def _dense(writer, layer, x):
    y, n = writer.allocate(layer.units), layer.input_shape[0]
    live = writer.live(layer.weight, np.arange(n))
    if live is None:
        weight = writer.floats(layer.weight.name, layer.weight.value)
        writer.call("dense", x, n, weight, writer.bias(layer, layer.units), layer.units, y)
    else:
        writer.call("dense_sparse", x, *live, writer.bias(layer, layer.units), layer.units, y)
    writer.free(x)
    return y


def _padded(writer, layer, x, fill="0.0f"):
    """Return (Buffer of the padded image, its width)."""
    at, (h, w, c) = layer.window, layer.input_shape
    if not at.padded:
        return x, w
    height, width = h + at.top + at.bottom, w + at.left + at.right
    y = writer.allocate(height * width * c)
    writer.call("pad", x, h, w, c, at.top, at.left, height, width, fill, y)
    writer.free(x)
    return y, width


def _conv(writer, layer, x):
    x, width = _padded(writer, layer, x)
    at, c, y = layer.window, layer.input_shape[2], writer.allocate(math.prod(layer.output_shape))
    row, column, channel = np.indices((*at.kernel, c)).reshape(3, -1)
    live = writer.live(layer.weight, (row * width + column) * c + channel)
    bias = writer.bias(layer, layer.filters)
    if live is None:
        weight = writer.floats(layer.weight.name, layer.weight.value)
        writer.call("conv", x, width, c, *at.kernel, *at.stride, weight, bias, *layer.output_shape, y)
    else:
        writer.call("conv_sparse", x, width, c, *at.stride, *live, bias, *layer.output_shape, y)
    writer.free(x)
    return y


def _depthwise(writer, layer, x):
    x, width = _padded(writer, layer, x)
    at, y = layer.window, writer.allocate(math.prod(layer.output_shape))
    weight = writer.floats(layer.weight.name, layer.weight.value)
    writer.call("depthwise", x, width, layer.input_shape[2], *at.kernel, *at.stride, weight,
                writer.bias(layer, layer.output_shape[2]), *at.output, layer.multiplier, y)
    writer.free(x)
    return y


def _max_pool(writer, layer, x):
    x, width = _padded(writer, layer, x, LOWEST)
    at, y = layer.window, writer.allocate(math.prod(layer.output_shape))
    writer.call("max_pool", x, width, layer.input_shape[2], *at.kernel, *at.stride, *at.output, y)
    writer.free(x)
    return y


def _avg_pool(writer, layer, x):
    at, y = layer.window, writer.allocate(math.prod(layer.output_shape))
    writer.call("avg_pool", x, *layer.input_shape, at.top, at.left, *at.kernel, *at.stride, *at.output, y)
    writer.free(x)
    return y


def _global_avg_pool(writer, layer, x):
    h, w, c = layer.input_shape
    y = writer.allocate(c)
    writer.call("global_avg_pool", x, h * w, c, y)
    writer.free(x)
    return y


def _batchnorm(writer, layer, x):
    gain, shift, mean, variance = [p.value.astype(np.float64) for p in layer.parameters]
    scale = gain / np.sqrt(variance + layer.epsilon)
    x, c = writer.writable(x), len(gain)
    writer.call("scale", x, x.size // c, c, writer.floats(f"{layer.name}.gain", scale),
                writer.floats(f"{layer.name}.shift", shift - mean * scale))
    return x


def _softmax(writer, layer, x):
    x, c = writer.writable(x), layer.output_shape[-1]
    writer.call("softmax", x, x.size // c, c)
    return x


def _in_place(part, *attributes):
    """Return the function of an activation that is computed in place by `part`, which takes these attributes."""
    def write(writer, layer, x):
        x = writer.writable(x)
        writer.call(part, x, x.size, *[literal(getattr(layer, name)) for name in attributes])
        return x
    return write


def _nothing(writer, layer, x):
    return x


WRITERS = {
    Sequential: _sequential,
    Residual: _residual,
    Concat: _concat,
    Dense: _dense,
    SparseDense: _dense,
    Conv2d: _conv,
    DepthwiseConv2d: _depthwise,
    BatchNorm: _batchnorm,
    Dropout: _nothing,
    Flatten: _nothing,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    GlobalAvgPool2d: _global_avg_pool,
    ReLU: _in_place("relu"),
    LeakyReLU: _in_place("leaky_relu", "slope"),
    ReLU6: _in_place("relu6"),
    ELU: _in_place("elu", "alpha"),
    Tanh: _in_place("hyperbolic"),
    Sigmoid: _in_place("sigmoid"),
    SiLU: _in_place("silu"),
    Hardswish: _in_place("hardswish"),
    GELU: _in_place("gelu"),
    Softmax: _softmax,
}
