"""A Model as one C99 file: its weights, and a function that computes logits; no library but libm, no allocation.

    text = c_source(model)
    save_c(model, "model.c")        # cc -std=c99 -O3 -c model.c

    #include "model.c"  or declare:  void minnet_predict(const float *input, float *output, float *work);

`input` is one row or image (h, w, c), `output` the logits, `work` memory of the caller for MINNET_WORK floats, so the
function can run in several threads. Of weights that are mostly pruned only the live ones are stored and multiplied.
"""
import math
import string

import numpy as np

from minnet import __version__
from minnet.data.labels import label_name
from minnet.errors import InvalidType, quoted
from minnet.files import write_whole
from minnet.formats.c_layers import WRITERS
from minnet.formats.c_parts import NEEDS, PARTS
from minnet.formats.c_writer import Buffer, Writer
from minnet.model import Model
from minnet.typing import Path

PLAIN = string.ascii_letters + string.digits + " _-.,:+()"    # what a C string holds as it is

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
    writer = Writer(WRITERS)
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


def _product(shape):
    return " x ".join(map(str, shape))
