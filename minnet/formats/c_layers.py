"""How each layer is written in C: one function a layer, and the table of them at the foot.

A function is called with (writer, layer, x), where `x` is the Buffer that the layer reads. It adds calls of functions
of `c_parts.py`, frees `x` after its last use and returns the Buffer of the output. A layer more is a row in WRITERS.
"""
import math

import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.adaptive import AdaptiveAvgPool2d
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import find_row
from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.engine.rare_activations import SELU, SELU_ALPHA, SELU_SCALE, HardSigmoid, Hardtanh, Mish, Softplus
from minnet.engine.sparse import SparseDense
from minnet.formats.c_fold import Linear, steps
from minnet.formats.c_weights import store
from minnet.formats.c_writer import Buffer, literal

HIGHEST = "3.402823466e38f"     # of float


def _sequential(writer, layer, x):
    for step in steps(layer.layers):
        x = _step(writer, step, x) if isinstance(step, Linear) else writer.write(step, x)
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


def _product(writer, layer, x):
    parts = [shared(x) if child is None else writer.write(child, shared(x)) for child in (layer.branch, layer.other)]
    large, small = sorted(parts, key=lambda part: part.size, reverse=True)
    y = writer.writable(large)
    writer.call("multiply", small, y.size // small.size, small.size, y)
    for buffer in (small, x):
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


def _linear(writer, layer, x):
    """Write a linear layer by itself, as one that nothing was folded into."""
    return _step(writer, Linear(layer), x)


def _step(writer, step, x):
    """Write a linear layer with what was folded into it."""
    step.divide(writer.divisor)
    writer.divisor = 1.0
    y = find_row(LINEAR, step.layer)(writer, step, x)
    writer.free(x)
    return y


def _weights(writer, step, offsets):
    """Add weights, bias and scales; return the kind of functions that take them, and the arguments."""
    if writer.choices.precision == "float32":
        stored = store(writer, step, offsets, step.entries, "float")
        return stored, (*stored.arrays, writer.floats(f"{step.name}.bias", step.bias, flash=True))
    by = writer.choices.scales
    entries, scale = step.to_int8(by)
    step.layer.weight.of(writer.values).reshape(-1)[:] = step.unfolded(entries * scale[step.unit])
    stored = store(writer, step, offsets, entries, "int8")
    scale = writer.floats(f"{step.name}.scale", scale if by == "unit" else scale[:1], flash=True)
    bias = writer.floats(f"{step.name}.bias", step.bias, flash=True)
    return stored, (*stored.arrays, bias, scale, int(by == "unit"))


def _dense(writer, step, x):
    y, n = writer.allocate(step.units), step.input_shape[0]
    stored, arguments = _weights(writer, step, np.arange(n))
    if stored.sparse:
        writer.call(f"dense_{stored.kind}", x, *arguments, step.units, y)
    else:
        writer.call(f"dense_{stored.kind}", x, n, *arguments, y, step.units, y)
    return y


def geometry(step, outside=0):
    """Return the numbers of a WINDOW, and the places in it that the rows of a weight read, (rows,) or (rows, units)."""
    at, (h, w, c), o = step.window, step.input_shape, step.output_shape[-1]
    (kh, kw), (dh, dw), pool = at.kernel, at.dilation, step.pool
    pitch = max(w, (kw - 1) * dw + 1) * c
    row, column, channel = np.indices((kh, kw, step.full[-2])).reshape(3, -1)
    pooled = (*pool.kernel, *pool.stride) if pool else (1, 1, 1, 1)
    numbers = (h, w, c, kh, kw, dh, dw, *at.stride, at.top, at.left, *pooled, *step.output_shape[:2], o, pitch, outside)
    offsets, groups = row * dh * pitch + column * dw * c + channel, step.layer.groups
    if groups > 1:  # units of a group read its channels
        offsets = offsets[:, None] + np.arange(o) // (o // groups) * (c // groups)
    return numbers, offsets


def _conv(writer, step, x):
    numbers, offsets = geometry(step)
    y = writer.allocate(math.prod(step.output_shape))
    window = writer.window(f"{step.name}.window", numbers)
    stored, arguments = _weights(writer, step, offsets)
    if stored.sparse:
        writer.call(f"conv_{stored.kind}", x, window, *arguments, y)
    elif step.layer.groups > 1:
        grouped(writer, step, x, window, stored, arguments, y)
    else:
        sums = writer.allocate(step.units * (2 if step.pool else 1))
        writer.call(f"conv_{stored.kind}", x, window, *arguments, sums, y)
        writer.free(sums)
    return y


def _depthwise(writer, step, x):
    y = writer.allocate(math.prod(step.output_shape))
    window = writer.window(f"{step.name}.window", geometry(step)[0])
    stored, arguments = _weights(writer, step, None)
    grouped(writer, step, x, window, stored, arguments, y)
    return y


def grouped(writer, step, x, window, stored, arguments, y):
    """Add the call of a convolution in groups, of all its weights; a depthwise one has a group for each channel."""
    writer.call(f"grouped_{stored.kind}", x, window, step.full[-2], step.units // step.layer.groups, *arguments, y)


def _max_pool(writer, layer, x):
    at, y = layer.window, writer.allocate(math.prod(layer.output_shape))
    writer.call("max_pool", x, *layer.input_shape, at.top, at.left, *at.kernel, *at.stride, *at.output, y)
    writer.free(x)
    return y


def _avg_pool(writer, layer, x):
    at, y = layer.window, writer.allocate(math.prod(layer.output_shape))
    size = math.prod(at.kernel) if layer.count_padding else 0
    writer.call("avg_pool", x, *layer.input_shape, at.top, at.left, *at.kernel, *at.stride, *at.output, size, y)
    writer.free(x)
    return y


def _adaptive_avg_pool(writer, layer, x):
    y = writer.allocate(math.prod(layer.output_shape))
    writer.call("adaptive_avg_pool", x, *layer.input_shape, *layer.output_shape[:2], y)
    writer.free(x)
    return y


def _global_avg_pool(writer, layer, x):
    h, w, c = layer.input_shape
    y = writer.allocate(c)
    writer.call("global_avg_pool", x, h * w, c, y)
    writer.free(x)
    return y


def _global_max_pool(writer, layer, x):
    h, w, c = layer.input_shape
    y = writer.allocate(c)
    writer.call("max_pool", x, h, w, c, 0, 0, h, w, 1, 1, 1, 1, y)
    writer.free(x)
    return y


def _batchnorm(writer, layer, x):
    scale, offset = layer.scale_and_offset()
    x, c = writer.writable(x), len(scale)
    writer.call("scale", x, x.size // c, c, writer.floats(f"{layer.name}.gain", scale),
                writer.floats(f"{layer.name}.shift", offset))
    return x


def _moments(writer, layer, x):
    x, (pixels, groups, channels) = writer.writable(x), layer.split
    alone = layer.per_pixel
    writer.call("moments", x, pixels if alone else 1, 1 if alone else pixels, groups, channels,
                literal(layer.size), literal(layer.epsilon), *[writer.floats(p.name, p.value) for p in
                                                               (layer.gain, layer.shift)])
    return x


def _softmax(writer, layer, x):
    x, c = writer.writable(x), layer.output_shape[-1]
    writer.call("softmax", x, x.size // c, c)
    return x


def _hardtanh(writer, layer, x):
    x = writer.writable(x)
    writer.call("clip", x, x.size, f"-{HIGHEST}" if layer.low is None else literal(layer.low),
                HIGHEST if layer.high is None else literal(layer.high))
    return x


def _selu(writer, layer, x):
    x = writer.writable(x)
    writer.call("selu", x, x.size, literal(SELU_SCALE), literal(SELU_SCALE * SELU_ALPHA))
    return x


def _prelu(writer, layer, x):
    x, c = writer.writable(x), len(layer.slopes.value)
    writer.call("prelu", x, x.size // c, c, writer.floats(layer.slopes.name, layer.slopes.value))
    return x


def _gelu(writer, layer, x):
    return _in_place("gelu" if layer.approximate == "none" else "gelu_tanh")(writer, layer, x)


def _in_place(part, *attributes):
    """Return the function of an activation that is computed in place by `part`, which takes these attributes."""
    def write(writer, layer, x):
        x = writer.writable(x)
        writer.call(part, x, x.size, *[literal(getattr(layer, name)) for name in attributes])
        return x
    return write


def _nothing(writer, layer, x):
    return x


LINEAR = {Dense: _dense, SparseDense: _dense, Conv2d: _conv, DepthwiseConv2d: _depthwise}
WRITERS = {
    Sequential: _sequential,
    Residual: _residual,
    Product: _product,
    Concat: _concat,
    Dense: _linear,
    SparseDense: _linear,
    Conv2d: _linear,
    DepthwiseConv2d: _linear,
    BatchNorm: _batchnorm,
    LayerNorm: _moments,
    GroupNorm: _moments,
    InstanceNorm: _moments,
    Dropout: _nothing,
    Flatten: _nothing,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    AdaptiveAvgPool2d: _adaptive_avg_pool,
    GlobalAvgPool2d: _global_avg_pool,
    GlobalMaxPool2d: _global_max_pool,
    ReLU: _in_place("relu"),
    LeakyReLU: _in_place("leaky_relu", "slope"),
    ReLU6: _in_place("relu6"),
    ELU: _in_place("elu", "alpha"),
    Tanh: _in_place("hyperbolic"),
    Sigmoid: _in_place("sigmoid"),
    SiLU: _in_place("silu"),
    Hardswish: _in_place("hardswish"),
    GELU: _gelu,
    Hardtanh: _hardtanh,
    HardSigmoid: _in_place("hard_sigmoid", "alpha", "beta"),
    SELU: _selu,
    Softplus: _in_place("softplus", "beta"),
    Mish: _in_place("mish"),
    PReLU: _prelu,
    Softmax: _softmax,
}
