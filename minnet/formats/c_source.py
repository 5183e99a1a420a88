"""A Model as one C99 file: its weights, and a function that computes logits; no library but libm, no allocation.

    text = c_source(model)
    save_c(model, "model.c")        # cc -std=c99 -O3 -c model.c

    #include "model.c"  or declare:  void minnet_predict(const float *input, float *output, float *work);

`input` is one row or image (h, w, c), `output` the logits, `work` memory of the caller for MINNET_WORK floats, so the
function can run in several threads. Of weights that are mostly pruned only the live ones are stored and multiplied.
"""
import math
import re
import string

import numpy as np

from minnet import __version__
from minnet.data.labels import label_name
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

MOST_NUMBERS = 2**24        # compilers need a hundred times the memory of the source
SPARSE = 1 / 4              # below this share of live entries a weight is stored sparse
PER_LINE = 8
PLAIN = string.ascii_letters + string.digits + " _-.,:+()"    # what a C string holds as it is
LOWEST = "-3.402823466e38f"     # the padding of a max pool

HEAD = """/* A neural network with {parameters} parameters, written by minnet {version}.
 *
 *   void minnet_predict(const float *input, float *output, float *work);
 *
 * input: {input} = MINNET_INPUTS floats, channels last; output: {output} = MINNET_OUTPUTS floats ({gives});
 * work: MINNET_WORK floats, for this call alone. ISO C99; link with -lm.
 */
#include <math.h>

#define MINNET_INPUTS {inputs}
#define MINNET_OUTPUTS {outputs}
#define MINNET_WORK {work}

void minnet_predict(const float *input, float *output, float *work);
"""


def save_c(model: Model, path: Path) -> None:
    """Write a model as one C99 file with a function `minnet_predict`, in float32; the file is written atomically.

    Of a model with a signature it takes raw rows, and has the labels as the array `minnet_classes`, the names of the
    columns as `minnet_features`. A model of numbers gives them in the units of its target, whose names are
    `minnet_targets`. Where a row has several labels, it has those of `minnet_classes` whose output is above 0. Missing
    numbers (NaN) are filled in; categories and text cannot be exported: where there are such, it takes the columns that
    `minnet_features` names, as `model.signature.arranged(X)` makes them.

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

    Raises NotFinite for NaN or infinity, InvalidValue for more than 16 million numbers, Unsupported for a layer without
    C source.
    """
    if not isinstance(model, Model):
        raise InvalidType(f"{quoted(repr(model))} is no Model: only these are exported")
    writer = _Writer()
    start = _scaled(writer, model.signature, Buffer("input", 0, math.prod(model.input_shape), False))
    end = _in_units(writer, model.signature, writer.write(model.tree, start))
    writer.call("copy", end, end.size, "output")
    head = HEAD.format(
        parameters=f"{model.n_parameters:,}", version=__version__, input=_product(model.input_shape),
        output=_product(model.output_shape), gives=_gives(model.signature),
        inputs=math.prod(model.input_shape), work=max(writer.work, 1),
        outputs=math.prod(model.output_shape))
    used = [name for name in PARTS if name in writer.used | {n for part in writer.used for n in NEEDS.get(part, ())}]
    body = "".join(f"    {line}\n" for line in writer.calls)
    unused = "" if writer.work else "    (void)work;\n"
    return "".join([head, _names(model.signature), *writer.arrays, *[PARTS[name] for name in used],
                    "\nvoid minnet_predict(const float *input, float *output, float *work)\n{\n", unused, body, "}\n"])


def _scaled(writer, signature, x):
    """Add the calls that fill in missing numbers and scale the input; return the Buffer that the layers read."""
    if signature is None:
        return x
    fill = signature.encoding and signature.encoding.fills
    if fill is not None:
        y = writer.allocate(x.size)
        writer.call("fill_missing", x, x.size, writer.floats("input.fill", fill), y)
        x = y
    if signature.scaling is None:
        return x
    shift, scale = np.broadcast_arrays(*signature.scaling)
    if shift.ndim > 1:
        shift, scale = (np.broadcast_to(v, signature.shape) for v in (shift, scale))
    names = writer.floats("input.shift", shift), writer.floats("input.scale", scale)
    y = writer.allocate(x.size)
    writer.call("scale_input", x, x.size, *names, shift.size, y)
    writer.free(x)
    return y


def _in_units(writer, signature, y):
    """Add the call that gives numbers in the units of their target, of the Buffer `y`; return the Buffer of these."""
    if signature is None or signature.target_scaling is None:
        return y
    y, (shift, scale) = writer.writable(y), signature.target_scaling
    writer.call("scale", y, 1, y.size, writer.floats("target.scale", scale), writer.floats("target.shift", shift))
    return y


def _gives(signature):
    """Return what the outputs are, in a word or two."""
    known = {"numbers": "numbers in the units of the target",
             "multilabel": "logits; a row has the labels whose logit is above 0"}
    return "logits" if signature is None else known.get(signature.task, "logits")


def _names(signature):
    """Return the C text that says what the file takes, and the labels and columns as arrays."""
    if signature is None:
        return ""
    text = "\n/* The input is raw: values as in the data that the model was trained on, which it scales itself. */\n"
    if signature.encoding is not None and not signature.encoding.of_numbers:
        text = "\n/* The input is the columns that minnet_features names, unscaled: 1 for the category of a row, 0 " \
               "for others, and counts of words. */\n"
    for name, what, values in (("classes", "the label of each output", signature.classes),
                               ("features", "the name of each input", signature.feature_names),
                               ("targets", "the name of each output", _target_names(signature))):
        if values is not None:
            cells = ",\n    ".join(_c_text(label_name(value)) for value in values)
            text += f"\n/* {what} */\nconst char *const minnet_{name}[] = {{\n    {cells}\n}};\n"
    return text


def _target_names(signature):
    """Return the names of the outputs that are numbers, or None."""
    names = (signature.target,) if isinstance(signature.target, str) else signature.target
    return names if signature.task == "numbers" else None


def _c_text(text):
    """Return a C string literal: bytes of UTF-8, of which only letters, digits and a few signs are not escaped."""
    return '"' + "".join(chr(b) if chr(b) in PLAIN else f"\\{b:03o}" for b in text.encode("utf-8", "replace")) + '"'


class Buffer:
    """An expression for `size` floats of the C array `input` or `work`, from `start` on.

    A buffer that is `owned` may be overwritten, and is freed after its last use.
    """

    def __init__(self, array, start, size, owned):
        self.array, self.start, self.size, self.owned = array, start, size, owned

    def __str__(self):
        return f"{self.array} + {self.start}" if self.start else self.array


class _Writer:
    """The arrays and calls so far, and the buffers in `work` that are in use."""

    def __init__(self):
        self.arrays, self.calls, self.used = [], [], set()
        self.used_buffers, self.work, self.numbers = [], 0, 0

    def write(self, layer, x):
        """Add the calls of a layer that reads `x`, and free `x` if it is owned; return the Buffer of the output."""
        write = find_row(WRITERS, layer)
        if write is None:
            raise Unsupported(f"{layer.name} is a {type(layer).__name__}, which has no form in C: predict with the "
                              "model itself, or with freeze(model)")
        return write(self, layer, x)

    def call(self, part, *arguments):
        """Add a call of one of PARTS."""
        self.used.add(part)
        self.calls.append(f"{part}({', '.join(str(a) for a in arguments)});")

    def allocate(self, size):
        """Allocate a Buffer of `size` floats in `work`: first fit."""
        start = 0
        for buffer in sorted(self.used_buffers, key=lambda buffer: buffer.start):
            if buffer.start - start >= size:
                break
            start = buffer.start + buffer.size
        buffer = Buffer("work", start, size, True)
        self.used_buffers.append(buffer)
        self.work = max(self.work, start + size)
        return buffer

    def free(self, x):
        """Free `x` after its last use, if it is owned."""
        if x.owned:
            self.used_buffers.remove(x)

    def writable(self, x):
        """Return `x` if it is owned, else a copy of it that may be overwritten."""
        if x.owned:
            return x
        y = self.allocate(x.size)
        self.call("copy", x, x.size, y)
        return y

    def array(self, name, values, kind="float"):
        """Add a constant array and return its name; an empty one gets a zero, since C has no empty arrays."""
        self.numbers += len(values)
        if self.numbers > MOST_NUMBERS:
            raise InvalidValue(f"the model has more than {MOST_NUMBERS:,} numbers, up to {name}, which no compiler "
                               "takes: prune it, or export ONNX")
        texts = [_literal(v) for v in values] if kind == "float" else [str(v) for v in values]
        lines = [", ".join(texts[i : i + PER_LINE]) for i in range(0, len(texts), PER_LINE)] or ["0"]
        letters = re.sub(r"\W", "_", name, flags=re.ASCII)
        name = f"a{len(self.arrays)}_{letters}"  # names may differ only in characters that C does not allow
        self.arrays.append(f"\nstatic const {kind} {name}[] = {{\n    " + ",\n    ".join(lines) + "\n};\n")
        return name

    def floats(self, name, values):
        """Add a constant array of float32 and return its name; raise NotFinite for values that float32 cannot hold."""
        with np.errstate(over="ignore"):
            values = np.ravel(values).astype(np.float32)
        if not np.isfinite(values).all():
            raise NotFinite(f"{name} holds NaN, infinity, or numbers beyond float32: it cannot be exported")
        return self.array(name, values)

    def bias(self, layer, size):
        """Add the bias of a layer, or zeros, and return its name."""
        return self.floats(f"{layer.name}.bias", np.zeros(size) if layer.bias is None else layer.bias.value)

    def live(self, parameter, places):
        """Add the arrays (start, place, weight) of the live weights of each output, or return None if most are live.

        `places` (rows,) are the offsets in the input that each row of the weight, laid flat, reads.
        """
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
    """Return `x` for a branch, which may neither overwrite nor free it."""
    return Buffer(x.array, x.start, x.size, False)


def _residual(writer, layer, x):
    y = writer.writable(writer.write(layer.branch, _shared(x)))
    other = _shared(x) if layer.shortcut is None else writer.write(layer.shortcut, _shared(x))
    writer.call("add", other, y.size, y)
    for buffer in (other, x):
        writer.free(buffer)
    return y


def _concat(writer, layer, x):
    total, first = layer.output_shape[-1], 0
    pixels = math.prod(layer.output_shape[:-1])
    y = writer.allocate(pixels * total)
    for branch, width in zip(layer.branches, layer.widths, strict=True):
        part = writer.write(branch, _shared(x))
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


def _leaky_relu(writer, layer, x):
    x = writer.writable(x)
    writer.call("leaky_relu", x, x.size, _literal(layer.slope))
    return x


def _elu(writer, layer, x):
    x = writer.writable(x)
    writer.call("elu", x, x.size, _literal(layer.alpha))
    return x


def _softmax(writer, layer, x):
    x, c = writer.writable(x), layer.output_shape[-1]
    writer.call("softmax", x, x.size // c, c)
    return x


def _in_place(part):
    def write(writer, layer, x):
        x = writer.writable(x)
        writer.call(part, x, x.size)
        return x
    return write


def _nothing(writer, layer, x):
    return x


def _literal(number):
    """Return a float as a C literal, exact for float32."""
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
