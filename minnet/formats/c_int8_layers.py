"""How the layers without weights are written in integers, and the table of all layers that have such a form.

A function is called with (writer, layer, x), where `x` is the Tensor that the layer reads, and returns that of the
output; c_int8.py says how numbers are stored, and has the layers with weights.
"""
import math

import numpy as np

from minnet.engine.activations import ReLU
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.engine.sparse import SparseDense
from minnet.errors import Unsupported
from minnet.formats.c_int8 import (
    HIGH,
    LOW,
    Tensor,
    activation,
    linear,
    looked_up,
    multiplier,
    quantity,
    rescaled,
    sequential,
    to_whole,
)
from minnet.formats.c_writer import Buffer

LARGEST_POOL = 2**15     # numbers of which a mean is made
MOST_BITS = 30           # of a number times its factor, and what is added


def _relu(writer, layer, x):
    x = writer.writable(x)
    writer.call("relu_int8", x, x.count, x.zero)
    return Tensor(x.place, x.scale, x.zero, writer.forward(layer, x.real), np.maximum(x.whole, x.zero))


def _prelu(writer, layer, x):
    if not layer.per_channel:
        return activation(writer, layer, x)
    ones = np.ones(len(layer.slopes.value))
    return _by_channel(writer, layer, x, ones, layer.slopes.value.astype(np.float64), np.zeros(len(ones)))


def _batchnorm(writer, layer, x):
    """Write a BatchNorm that no linear layer before it has taken over."""
    scale, offset = layer.scale_and_offset()
    return _by_channel(writer, layer, x, scale, scale, offset)


def _by_channel(writer, layer, x, up, down, offset):
    """Write y = up x + offset where x > 0, elsewhere y = down x + offset, with numbers for each channel."""
    real = writer.forward(layer, x.real)
    scale, zero = quantity(real)
    factors = np.array([up, down]) * x.scale / scale
    largest = max(float(np.abs(factors).max()) * (HIGH - LOW) + float(np.abs(offset).max()) / scale, 1.0)
    shift = min(MOST_BITS, int(math.log2(2.0**MOST_BITS / largest)))
    if shift < 1:
        raise Unsupported(f"{layer.name} enlarges numbers by {largest:.3g}, which has no form in integers: export with "
                          'arithmetic="float"')
    up, down, offset = (np.rint(numbers * 2.0**shift).astype(np.int64) for numbers in (*factors, offset / scale))
    whole = x.whole - x.zero
    whole = rescaled(whole * np.where(whole > 0, up, down) + offset, np.int64(1), np.int64(shift), zero, LOW, HIGH)
    x, c = writer.writable(x), len(offset)
    given = [writer.array(f"{layer.name}.{name}", numbers, "int32_t")
             for name, numbers in (("up", up), ("down", down), ("offset", offset))]
    writer.call("by_channel_int8", x, x.count // c, c, x.zero, *given, shift, zero)
    return Tensor(x.place, scale, zero, real, whole)


def _max_pool(writer, layer, x):
    y = writer.room(math.prod(layer.output_shape))
    whole = writer.forward(layer, x.whole.astype(np.float32)).astype(np.int64)
    y = Tensor(y, x.scale, x.zero, writer.forward(layer, x.real), whole)
    writer.call("max_pool_int8", x, *layer.input_shape, *_window(layer), y)
    writer.free(x)
    return y


def _window(layer):
    """Return the numbers of a pool's window: top, left, its sizes, strides, and sizes of the output."""
    at, (h, w, _) = getattr(layer, "window", None), layer.input_shape
    return (0, 0, h, w, 1, 1, 1, 1) if at is None else (at.top, at.left, *at.kernel, *at.stride, *at.output)


def _avg_pool(writer, layer, x):
    (h, w, c), numbers = layer.input_shape, _window(layer)
    if numbers[2] * numbers[3] >= LARGEST_POOL:
        raise Unsupported(f"{layer.name} has a mean of more than {LARGEST_POOL:,} numbers, whose sum may not fit in 32 "
                          "bits: export with arithmetic=float")
    real = writer.forward(layer, x.real)
    scale, zero = quantity(real)
    factor, shift = multiplier(np.array(x.scale / scale / 256))
    size = math.prod(numbers[2:4]) if getattr(layer, "count_padding", False) else 0
    whole = rescaled(_means(x.whole.reshape(-1, h, w, c) - x.zero, numbers, size), factor, shift, zero, LOW, HIGH)
    y = Tensor(writer.room(math.prod(layer.output_shape)), scale, zero, real, whole.reshape(-1, *layer.output_shape))
    writer.call("avg_pool_int8", x, h, w, c, *numbers, size, x.zero, factor, shift, zero, y)
    writer.free(x)
    return y


def _means(x, numbers, size):
    """Return the means that `avg_pool_int8` computes, in 256th, rounded towards 0."""
    top, left, kh, kw, sh, sw, ho, wo = numbers
    y = np.zeros((len(x), ho, wo, x.shape[3]), np.int64)
    for i in range(ho):
        for j in range(wo):
            seen = x[:, max(i * sh - top, 0) : i * sh - top + kh, max(j * sw - left, 0) : j * sw - left + kw]
            total = seen.sum(axis=(1, 2)) * 256
            y[:, i, j] = np.sign(total) * (np.abs(total) // (size or seen.shape[1] * seen.shape[2]))
    return y


def _shared(x):
    """Return `x` for a branch, which may neither overwrite nor free it."""
    y = Tensor(Buffer(x.array, x.start, x.size, False), x.scale, x.zero, x.real, x.whole)
    y.width = x.width
    return y


def _residual(writer, layer, x):
    y = writer.writable(writer.write(layer.branch, _shared(x)))
    other = _shared(x) if layer.shortcut is None else writer.write(layer.shortcut, _shared(x))
    real = y.real + other.real
    scale, zero = quantity(real)
    ratios = other.scale / scale, y.scale / scale
    shift = min(30, int(math.log2(2**21 / max(ratios))))
    fx, fy = (round(ratio * 2**shift) for ratio in ratios)
    sums = (other.whole - other.zero) * fx + (y.whole - y.zero) * fy
    writer.call("add_int8", other, math.prod(real.shape[1:]), other.zero, fx, y.zero, fy, shift, zero, y)
    for tensor in (other, x):
        writer.free(tensor)
    return Tensor(y.place, scale, zero, real, rescaled(sums, np.int64(1), np.int64(shift), zero, LOW, HIGH))


def _product(writer, layer, x):
    parts = [_shared(x) if child is None else writer.write(child, _shared(x)) for child in (layer.branch, layer.other)]
    large, small = sorted(parts, key=lambda part: part.count, reverse=True)
    y, c = writer.writable(large), small.count
    real = layer.combine(y.real, small.real)
    scale, zero = quantity(real)
    factor, shift = multiplier(np.array(y.scale * small.scale / scale))
    products = layer.combine(y.whole - y.zero, small.whole - small.zero)
    pixels = math.prod(real.shape[1:]) // c
    writer.call("multiply_int8", small, pixels, c, small.zero, y.zero, factor, shift, zero, y)
    for tensor in (small, x):
        writer.free(tensor)
    return Tensor(y.place, scale, zero, real, rescaled(products, factor, shift, zero, LOW, HIGH))


def _concat(writer, layer, x):
    total, first, pixels = layer.output_shape[-1], 0, math.prod(layer.output_shape[:-1])
    parts = [writer.write(branch, _shared(x)) for branch in layer.branches]
    real = np.concatenate([part.real for part in parts], axis=-1)
    scale, zero = quantity(real)
    place, whole = writer.room(math.prod(real.shape[1:])), []
    for branch, part, width in zip(layer.branches, parts, layer.widths, strict=True):
        if (part.scale, part.zero) != (scale, zero):
            table = to_whole((np.arange(LOW, HIGH + 1) - part.zero) * part.scale, scale, zero)
            part = looked_up(writer, part, table, scale, zero, part.real, f"{branch.name}.table")
        whole.append(part.whole)
        y = Tensor(place, scale, zero, real, x.whole)
        writer.call("place_beside_int8", part, pixels, width, total, first, y)
        writer.free(part)
        first += width
    writer.free(x)
    return Tensor(place, scale, zero, real, np.concatenate(whole, axis=-1))


def _flatten(writer, layer, x):
    x.real, x.whole = (rows.reshape(len(rows), *layer.output_shape) for rows in (x.real, x.whole))
    return x


def _nothing(writer, layer, x):
    return x


WRITERS = {
    Sequential: sequential,
    Residual: _residual,
    Product: _product,
    Concat: _concat,
    Dense: linear,
    SparseDense: linear,
    Conv2d: linear,
    DepthwiseConv2d: linear,
    BatchNorm: _batchnorm,
    Dropout: _nothing,
    Flatten: _flatten,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    GlobalAvgPool2d: _avg_pool,
    GlobalMaxPool2d: _max_pool,
    ReLU: _relu,
    PReLU: _prelu,
}
