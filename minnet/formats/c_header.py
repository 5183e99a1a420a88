"""The header of a net in C: what it takes and gives, its sizes, and its labels and columns by name."""
import math
import string

from minnet import __version__
from minnet.data.labels import label_name
from minnet.data.signature import Signature
from minnet.model import Model

PLAIN = string.ascii_letters + string.digits + " _-.,:+()"    # what a C string holds as it is
GIVES = {"numbers": "numbers in the units of the target",
         "multilabel": "logits; a row has the labels whose logit is above 0"}

HEADER = """/* A neural network with {parameters} parameters, written by minnet {version}.
 *
 *   void {name}_predict(const {x} *input, {y} *output, {w} *work);
{class_line} *
 * input: {input} = {NAME}_INPUTS {xs}, channels last;
 * output: {output} = {NAME}_OUTPUTS {ys} ({gives});
 * work: {NAME}_WORK {ws} ({NAME}_WORK_BYTES bytes), for this call alone.
 * Nothing is allocated; the stack needs less than {NAME}_STACK_BYTES. ISO C99{libm}.
{about} */
#ifndef {NAME}_H
#define {NAME}_H

#include <stdint.h>

#define {NAME}_INPUTS {inputs}
#define {NAME}_OUTPUTS {outputs}
#define {NAME}_WORK {work}
#define {NAME}_WORK_BYTES ({NAME}_WORK * sizeof({w}))
#define {NAME}_STACK_BYTES {stack}
{macros}
#ifdef __cplusplus
extern "C" {{
#endif

void {name}_predict(const {x} *input, {y} *output, {w} *work);
{functions}{names}
#ifdef __cplusplus
}}
#endif
#endif
"""
CLASS_LINE = " *   int {name}_class(const {x} *input, {w} *work);    the place of the largest output\n"
STACK = 512        # bytes: the functions of a call with all that they call, by gcc at -O2
PLURALS = {"float": "floats"}


def header(model: Model, name: str, work: int, types: tuple[str, str, str] = ("float", "float", "float"), *,
           libm: bool = False, about: str = "", macros: str = "", functions: str = "") -> str:
    """Return the text of the header.

    Parameters
    ----------
    model : Model
        The net.
    name : str
        What its symbols begin with.
    work : int
        How many numbers of the type of `work` it needs.
    types : (str, str, str)
        The C types of an input, an output and `work`.
    libm : bool
        Whether it has to be linked with the library of mathematical functions.
    about, macros, functions : str
        Further lines of the comment, and further macros and declarations.
    """
    x, y, w = types
    xs, ys, ws = (PLURALS.get(kind, f"{kind} numbers") for kind in types)
    known = {"name": name, "NAME": name.upper(), "x": x, "y": y, "w": w, "xs": xs, "ys": ys, "ws": ws}
    signature = model.signature
    classes = has_class(model)
    functions = (f"int {name}_class(const {x} *input, {w} *work);\n" if classes else "") + functions
    return HEADER.format(
        **known, parameters=f"{model.n_parameters:,}", version=__version__, input=product(model.input_shape),
        output=product(model.output_shape), gives=GIVES.get(signature.task, "logits") if signature else "logits",
        inputs=math.prod(model.input_shape), outputs=math.prod(model.output_shape), work=work, stack=STACK,
        class_line=CLASS_LINE.format(**known) if classes else "", libm="; link with -lm" if libm else "",
        about=takes(signature) + about, macros=macros, functions=functions,
        names="".join(f"extern const char *const {name}_{of}[{len(values)}]; /* {what} */\n"
                      for of, what, values in named(signature)))


def has_class(model: Model) -> bool:
    """Return whether the largest output of a model is its class."""
    task = "classes" if model.signature is None else model.signature.task
    return task not in GIVES and math.prod(model.output_shape) > 1


def takes(signature: Signature | None) -> str:
    """Return the lines of a comment that say what the net takes."""
    if signature is None:
        return ""
    if signature.encoding is not None and not signature.encoding.of_numbers:
        return " * A row is the columns that the array of features names, unscaled: 1 for the category of a\n" \
               " * row, 0 for others, and counts of words.\n"
    return " * A row is raw: values as in the data that the model was trained on, which are scaled here.\n"


def named(signature: Signature | None) -> list[tuple[str, str, list]]:
    """Return (name of the array, what it holds, values) of the labels and columns that are known."""
    if signature is None:
        return []
    target = (signature.target,) if isinstance(signature.target, str) else signature.target
    found = (("classes", "the label of each output", signature.classes),
             ("features", "the name of each input", signature.feature_names),
             ("targets", "the name of each output", target if signature.task == "numbers" else None))
    return [(of, what, list(values)) for of, what, values in found if values is not None]


def names_text(name: str, signature: Signature | None) -> str:
    """Return the arrays of labels and columns."""
    text = ""
    for of, what, values in named(signature):
        cells = ",\n    ".join(c_text(label_name(value)) for value in values)
        text += f"\n/* {what} */\nconst char *const {name}_{of}[{len(values)}] = {{\n    {cells}\n}};\n"
    return text


def c_text(text: str) -> str:
    """Return a C string literal: bytes of UTF-8, of which only letters, digits and a few signs are not escaped."""
    return '"' + "".join(chr(b) if chr(b) in PLAIN else f"\\{b:03o}" for b in text.encode("utf-8", "replace")) + '"'


def product(shape: tuple[int, ...]) -> str:
    """Return a shape as text: 28 x 28 x 1."""
    return " x ".join(map(str, shape))
