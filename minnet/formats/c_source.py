"""A Model as one C99 file: its weights, and a function that computes logits; no library but libm, no allocation.

    text = c_source(model)
    save_c(model, "model.c")        # cc -std=c99 -O3 -c model.c

    #include "model.c"  or declare:  void minnet_predict(const float *input, float *output, float *work);

`input` is one row or image (h, w, c), `output` the logits, `work` room for MINNET_WORK floats that the caller has, so
the function can run in several threads. Weights that are mostly pruned are stored and multiplied live ones only.
"""
import math
import re

import numpy as np

from minnet import __version__
from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import find_row
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.sparse import SparseDense
from minnet.errors import InvalidType, InvalidValue, NotFinite, Unsupported, quoted
from minnet.files import write_whole
from minnet.formats.c_parts import NEEDS, PARTS
from minnet.model import Model
from minnet.typing import Path

MOST_NUMBERS = 2**24        # compilers take a hundred times the memory of what they read
SPARSE = 1 / 4              # a weight with a smaller share of live ones is stored sparse
PER_LINE = 8
LOWEST = "-3.402823466e38f"     # what a padded maximum never takes

HEAD = """/* A neural network with {parameters} parameters, written by minnet {version}.
 *
 *   void minnet_predict(const float *input, float *output, float *work);
 *
 * input: {input} = MINNET_INPUTS floats, channels last; output: {output} = MINNET_OUTPUTS floats (logits);
 * work: MINNET_WORK floats that nobody else uses during the call. ISO C99; link with -lm.
 */
#include <math.h>

#define MINNET_INPUTS {inputs}
#define MINNET_OUTPUTS {outputs}
#define MINNET_WORK {work}

void minnet_predict(const float *input, float *output, float *work);
"""


def save_c(model: Model, path: Path) -> None:
    """Write a model as one C99 file with a function `minnet_predict`, in float32; the file is written atomically.

    Parameters
    ----------
    model : Model
        What is written; the same model gives the same file.
    path : str or path-like
        The file.

    Raises
    ------
    NotFinite
        The model contains NaN or infinity.
    InvalidValue
        It has more than 16 million numbers.
    Unsupported
        It has a layer without C source.
    FileError
        The file cannot be written.
    """
    write_whole(path, c_source(model).encode())


def c_source(model: Model) -> str:
    """Return the text of a C99 file with `minnet_predict`, in float32; the same model gives the same text.

    Raises NotFinite for NaN or infinity, InvalidValue for more than 16 million numbers, Unsupported for a layer that is
    not known here.
    """
    if not isinstance(model, Model):
        raise InvalidType(f"{quoted(repr(model))} is no Model: only these are exported")
    writer = _Writer()
    end = writer.write(model.tree, Place("input", 0, math.prod(model.input_shape), False))
    writer.call("copy", end, end.size, "output")
    head = HEAD.format(
        parameters=f"{model.n_parameters:,}", version=__version__, input=_product(model.input_shape),
        output=_product(model.output_shape), inputs=math.prod(model.input_shape), work=max(writer.work, 1),
        outputs=math.prod(model.output_shape))
    used = [name for name in PARTS if name in writer.used | {n for part in writer.used for n in NEEDS.get(part, ())}]
    body = "".join(f"    {line}\n" for line in writer.calls)
    unused = "" if writer.work else "    (void)work;\n"
    return "".join([head, *writer.arrays, *[PARTS[name] for name in used],
                    "\nvoid minnet_predict(const float *input, float *output, float *work)\n{\n", unused, body, "}\n"])


class Place:
    """Where some numbers are while the function runs: in `input` or in `work`, from `start` on. What is `mine` may be
    changed, and given back."""

    def __init__(self, room, start, size, mine):
        self.room, self.start, self.size, self.mine = room, start, size, mine

    def __str__(self):
        return f"{self.room} + {self.start}" if self.start else self.room


class _Writer:
    """The arrays and calls so far, and which parts of `work` are in use."""

    def __init__(self):
        self.arrays, self.calls, self.used = [], [], set()
        self.taken, self.work, self.numbers = [], 0, 0

    def write(self, layer, x):
        """Add the calls of a layer that reads `x`; returns the Place of its output. Gives `x` back where it is mine."""
        write = find_row(WRITERS, layer)
        if write is None:
            raise Unsupported(f"{layer.name} is a {type(layer).__name__}, which has no form in C: predict with the "
                              "model itself, or with freeze(model)")
        return write(self, layer, x)

    def call(self, part, *arguments):
        """Add a call of one of PARTS."""
        self.used.add(part)
        self.calls.append(f"{part}({', '.join(str(a) for a in arguments)});")

    def take(self, size):
        """Room for `size` numbers: the first gap that is large enough."""
        start = 0
        for place in sorted(self.taken, key=lambda place: place.start):
            if place.start - start >= size:
                break
            start = place.start + place.size
        place = Place("work", start, size, True)
        self.taken.append(place)
        self.work = max(self.work, start + size)
        return place

    def give_back(self, x):
        """Nobody reads `x` any more."""
        if x.mine:
            self.taken.remove(x)

    def own(self, x):
        """`x`, or a copy of it that may be changed."""
        if x.mine:
            return x
        y = self.take(x.size)
        self.call("copy", x, x.size, y)
        return y

    def array(self, name, values, kind="float"):
        """Add a constant array; returns its name. C has no empty ones, so there is always a number."""
        self.numbers += len(values)
        if self.numbers > MOST_NUMBERS:
            raise InvalidValue(f"the model has more than {MOST_NUMBERS:,} numbers, up to {name}, which no compiler "
                               "takes: prune it, or export ONNX")
        texts = [_literal(v) for v in values] if kind == "float" else [str(v) for v in values]
        lines = [", ".join(texts[i : i + PER_LINE]) for i in range(0, len(texts), PER_LINE)] or ["0"]
        letters = re.sub(r"\W", "_", name, flags=re.ASCII)
        name = f"a{len(self.arrays)}_{letters}"  # two layers may differ in what C has no letters for
        self.arrays.append(f"\nstatic const {kind} {name}[] = {{\n    " + ",\n    ".join(lines) + "\n};\n")
        return name

    def floats(self, name, values):
        """A constant array of float32, checked."""
        with np.errstate(over="ignore"):
            values = np.ravel(values).astype(np.float32)
        if not np.isfinite(values).all():
            raise NotFinite(f"{name} holds NaN, infinity, or numbers beyond float32: it cannot be exported")
        return self.array(name, values)

    def bias(self, layer, size):
        """The bias of a layer, or zeros."""
        return self.floats(f"{layer.name}.bias", np.zeros(size) if layer.bias is None else layer.bias.value)

    def live(self, parameter, places):
        """(start, place, weight) of the live weights of each output, or None where most are; `places` (rows,) is where
        each row of the weight, laid flat, is read."""
        mask, units = parameter.mask.reshape(-1), parameter.shape[-1]
        if parameter.index is None and np.count_nonzero(mask) >= SPARSE * mask.size:
            return None
        kept = np.flatnonzero(mask)
        rows, outputs = np.divmod(kept if parameter.index is None else parameter.index[kept], units)
        order = np.lexsort((rows, outputs))
        starts = np.concatenate([[0], np.cumsum(np.bincount(outputs, minlength=units))])
        return (self.array(f"{parameter.name}.start", starts, "int"),
                self.array(f"{parameter.name}.place", places[rows[order]], "int"),
                self.floats(parameter.name, parameter.value.reshape(-1)[kept[order]]))


# --- one function a layer ---------------------------------------------------------------------------------------------


def _sequential(writer, layer, x):
    for child in layer.layers:
        x = writer.write(child, x)
    return x


def _shared(x):
    """`x` for a branch, which may neither change it nor give it back."""
    return Place(x.room, x.start, x.size, False)


def _residual(writer, layer, x):
    y = writer.own(writer.write(layer.branch, _shared(x)))
    other = _shared(x) if layer.shortcut is None else writer.write(layer.shortcut, _shared(x))
    writer.call("add", other, y.size, y)
    for place in (other, x):
        writer.give_back(place)
    return y


def _concat(writer, layer, x):
    total, first = layer.output_shape[-1], 0
    pixels = math.prod(layer.output_shape[:-1])
    y = writer.take(pixels * total)
    for branch, width in zip(layer.branches, layer.widths, strict=True):
        part = writer.write(branch, _shared(x))
        writer.call("place_beside", part, pixels, width, total, first, y)
        writer.give_back(part)
        first += width
    writer.give_back(x)
    return y


def _dense(writer, layer, x):
    y, n = writer.take(layer.units), layer.input_shape[0]
    live = writer.live(layer.weight, np.arange(n))
    if live is None:
        weight = writer.floats(layer.weight.name, layer.weight.value)
        writer.call("dense", x, n, weight, writer.bias(layer, layer.units), layer.units, y)
    else:
        writer.call("dense_sparse", x, *live, writer.bias(layer, layer.units), layer.units, y)
    writer.give_back(x)
    return y


def _padded(writer, layer, x, fill="0.0f"):
    """(Place of the image with its padding, its width)."""
    at, (h, w, c) = layer.window, layer.input_shape
    if not at.padded:
        return x, w
    height, width = h + at.top + at.bottom, w + at.left + at.right
    y = writer.take(height * width * c)
    writer.call("pad", x, h, w, c, at.top, at.left, height, width, fill, y)
    writer.give_back(x)
    return y, width


def _conv(writer, layer, x):
    x, width = _padded(writer, layer, x)
    at, c, y = layer.window, layer.input_shape[2], writer.take(math.prod(layer.output_shape))
    row, column, channel = np.indices((*at.kernel, c)).reshape(3, -1)
    live = writer.live(layer.weight, (row * width + column) * c + channel)
    bias = writer.bias(layer, layer.filters)
    if live is None:
        weight = writer.floats(layer.weight.name, layer.weight.value)
        writer.call("conv", x, width, c, *at.kernel, *at.stride, weight, bias, *layer.output_shape, y)
    else:
        writer.call("conv_sparse", x, width, c, *at.stride, *live, bias, *layer.output_shape, y)
    writer.give_back(x)
    return y


def _depthwise(writer, layer, x):
    x, width = _padded(writer, layer, x)
    at, y = layer.window, writer.take(math.prod(layer.output_shape))
    weight = writer.floats(layer.weight.name, layer.weight.value)
    writer.call("depthwise", x, width, layer.input_shape[2], *at.kernel, *at.stride, weight,
                writer.bias(layer, layer.output_shape[2]), *at.output, layer.multiplier, y)
    writer.give_back(x)
    return y


def _max_pool(writer, layer, x):
    x, width = _padded(writer, layer, x, LOWEST)
    at, y = layer.window, writer.take(math.prod(layer.output_shape))
    writer.call("max_pool", x, width, layer.input_shape[2], *at.kernel, *at.stride, *at.output, y)
    writer.give_back(x)
    return y


def _avg_pool(writer, layer, x):
    at, y = layer.window, writer.take(math.prod(layer.output_shape))
    writer.call("avg_pool", x, *layer.input_shape, at.top, at.left, *at.kernel, *at.stride, *at.output, y)
    writer.give_back(x)
    return y


def _global_avg_pool(writer, layer, x):
    h, w, c = layer.input_shape
    y = writer.take(c)
    writer.call("global_avg_pool", x, h * w, c, y)
    writer.give_back(x)
    return y


def _batchnorm(writer, layer, x):
    gain, shift, mean, variance = [p.value.astype(np.float64) for p in layer.parameters]
    scale = gain / np.sqrt(variance + layer.epsilon)
    x, c = writer.own(x), len(gain)
    writer.call("scale", x, x.size // c, c, writer.floats(f"{layer.name}.gain", scale),
                writer.floats(f"{layer.name}.shift", shift - mean * scale))
    return x


def _leaky_relu(writer, layer, x):
    x = writer.own(x)
    writer.call("leaky_relu", x, x.size, _literal(layer.slope))
    return x


def _elu(writer, layer, x):
    x = writer.own(x)
    writer.call("elu", x, x.size, _literal(layer.alpha))
    return x


def _softmax(writer, layer, x):
    x, c = writer.own(x), layer.output_shape[-1]
    writer.call("softmax", x, x.size // c, c)
    return x


def _in_place(part):
    def write(writer, layer, x):
        x = writer.own(x)
        writer.call(part, x, x.size)
        return x
    return write


def _nothing(writer, layer, x):
    return x


def _literal(number):
    """A float as C writes it, to the bit."""
    text = f"{number:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def _product(shape):
    return " x ".join(map(str, shape))


WRITERS = {
    Sequential: _sequential, Residual: _residual, Concat: _concat, Dense: _dense, SparseDense: _dense,
    ReLU: _in_place("relu"), LeakyReLU: _leaky_relu, ReLU6: _in_place("relu6"), ELU: _elu,
    Tanh: _in_place("hyperbolic"), Sigmoid: _in_place("sigmoid"), SiLU: _in_place("silu"),
    Hardswish: _in_place("hardswish"), GELU: _in_place("gelu"), Softmax: _softmax,
    Flatten: _nothing, Dropout: _nothing, BatchNorm: _batchnorm, Conv2d: _conv, DepthwiseConv2d: _depthwise,
    MaxPool2d: _max_pool, AvgPool2d: _avg_pool, GlobalAvgPool2d: _global_avg_pool,
}
