"""A Model as C99: its weights, and a function that computes logits; no allocation, and no library but, at most, libm.

    save_c(model, "model.c")        # and model.h; cc -std=c99 -O3 -c model.c

    #include "model.h", or "model.c" itself:  void minnet_predict(const float *input, float *output, float *work);

`input` is one row or image (h, w, c), `output` the logits, `work` memory of the caller for MINNET_WORK floats, so the
function can run in several threads. Of weights that are mostly pruned only the live ones are stored and multiplied.
`save_c(model, "gesture.c", name="gesture")` names it gesture_predict, and all else so: nets link into one program.
"""
import re
from pathlib import Path as File

import numpy as np

from minnet.engine.quantise import INT8, rounded
from minnet.errors import InvalidType, InvalidValue, check_count, quoted, unknown
from minnet.files import write_whole
from minnet.formats.c_floats import FloatNet
from minnet.formats.c_header import has_class, header, names_text
from minnet.formats.c_integers import IntegerNet, calibration_rows
from minnet.formats.c_parts import NEEDS, PARTS
from minnet.formats.c_parts_linear import WINDOW
from minnet.formats.c_vectors import vector_files, vector_rows
from minnet.formats.c_writer import Choices
from minnet.model import Model
from minnet.typing import Path

LONGEST_NAME = 32       # characters of a net's name: compilers tell apart the first 63 of an identifier
WORDS = {"precision": ("float32", "int8"), "arithmetic": ("float", "int8"), "scales": ("unit", "layer"),
         "places": ("auto", 4, 8, 16, 32)}

FLASH = """
/* what a compiler has to be told for constants to stay in flash: avr-gcc, of GNU's C (-std=gnu99) */
#if defined(__FLASH) && defined(__STRICT_ANSI__)
#error "-std=c99 has no constants in flash, and they would fill the RAM: take -std=gnu99"
#elif defined(__FLASH)
#define @@ __flash
#else
#define @@
#endif
"""
FUNCTIONS = """
/* the outputs, in work or input */
static const {y} *{name}_run(const {x} *input, {w} *work)
{{
{body}    return {end};
}}

void {name}_predict(const {x} *input, {y} *output, {w} *work)
{{
    const {y} *y = {name}_run(input, work);
    int i;
    for (i = 0; i < {NAME}_OUTPUTS; i++)
        output[i] = y[i];
}}
"""
CLASS = """
int {name}_class(const {x} *input, {w} *work)
{{
    const {y} *y = {name}_run(input, work);
    int i, best = 0;
    for (i = 1; i < {NAME}_OUTPUTS; i++)
        if (y[i] > y[best])
            best = i;
    return best;
}}
"""


def save_c(model: Model, path: Path, *, name: str = "minnet", precision: str = "float32",
           places: str | int = "auto", arithmetic: str = "float", scales: str = "unit",
           calibration: np.ndarray | None = None, vectors: int = 0) -> None:
    """Write a model as C99: a file with a function NAME_predict, and a header beside it; each written whole.

    The .c file needs no header, which is for other files of a program. Of a model with a signature it takes raw rows,
    and has the labels as the array NAME_classes, the names of the columns as NAME_features. Where the largest output is
    the class, NAME_class gives its number. A model of numbers gives them in the units of its target, whose names are
    NAME_targets. Where a row has several labels, it has those of NAME_classes whose output is above 0. Missing
    numbers (NaN) are filled in; categories and text cannot be exported: where there are such, it takes the columns that
    NAME_features names, as `model.signature.arranged(X)` makes them.

    Parameters
    ----------
    model : Model
        What is written; the same model gives the same file.
    path : str or path-like
        The .c file; the header is beside it, with the ending .h.
    name : str
        What every function, array and macro begins with (a macro in capitals).
    precision : {"float32", "int8"}
        How weights are stored; int8 are whole numbers from -127 to 127 with a scale, those of `freeze`.
    places : {"auto", 4, 8, 16, 32}
        Bits of the place of a live weight: from the first input on where they suffice, else from the place before, as
        always with 4. "auto" takes the fewest bytes.
    arithmetic : {"float", "int8"}
        What is computed with. With "int8", weights and the results of layers are int8 and sums int32: the file takes
        int8_t, gives int32_t, and has NAME_quantise and NAME_dequantise, which turn a raw row into its input and its
        output into real numbers.
    scales : {"unit", "layer"}
        What has a scale of its own where weights are int8; those of a frozen net are by unit.
    calibration : array_like, optional
        Rows ``(n, *input_shape)`` as `predict` takes them, some hundred of the training data: with arithmetic "int8"
        they say which numbers occur. Their first ones are the test vectors.
    vectors : int
        How many test vectors are written: inputs and expected outputs as PATH_vectors.h, and PATH_main.c, a program
        that returns how many of them are missed. Without calibration rows they are random.

    Raises
    ------
    NotFinite
        The model contains NaN or infinity.
    InvalidValue, UnknownName
        It has more than 16 million numbers, or an argument cannot be used.
    Unsupported
        It has a layer without C source.
    FileError
        A file cannot be written.

    References
    ----------
    Jacob et al. (2018), "Quantization and training of neural networks for efficient integer-arithmetic-only inference".
    """
    choices = check_choices(Choices(name, precision, scales, places, arithmetic))
    file = File(path)
    if file.suffix.lower() == ".h":
        raise InvalidValue(f"{quoted(str(path))} is the name of the header, which is written beside the file: give one "
                           "that ends in .c")
    texts = c_files(model, choices, calibration=calibration, vectors=vectors, stem=file.stem)
    for ending, text in reversed(texts.items()):
        write_whole(path if ending == ".c" else file.with_name(file.stem + ending), text.encode())


def c_source(model: Model, choices: Choices | None = None) -> str:
    """Return the text of a C99 file with NAME_predict; the same model gives the same text. Errors as of `save_c`."""
    return c_files(model, Choices() if choices is None else choices)[".c"]


def c_files(model: Model, choices: Choices, *, calibration: np.ndarray | None = None, vectors: int = 0,
            stem: str = "model") -> dict[str, str]:
    """Return the texts of the .c file, which has the header in it, the header, and test vectors, by their endings.

    `stem` is the name of the files without endings; other arguments and errors are those of `save_c`.
    """
    if not isinstance(model, Model):
        raise InvalidType(f"{quoted(repr(model))} is no Model: only these are exported")
    if choices.precision == INT8 and choices.scales == "unit":
        model = rounded(model)  # before anything is folded into weights: the integers are those of a frozen net
    X = vector_rows(model, calibration, check_count("vectors", vectors, 0))
    net = FloatNet(model, choices, X) if choices.arithmetic == "float" else \
        IntegerNet(model, choices, calibration_rows(model, calibration), model.inputs(X))
    defined = net.defined()
    parts = used_parts(net.writer.used)
    libm = needs_libm(parts)
    x, y, w = net.types
    words = {"name": choices.name, "NAME": choices.name.upper(), "x": x, "y": y, "w": w}
    head = header(model, choices.name, max(net.writer.work, 1), net.types, libm=libm, about=net.about,
                  macros=net.macros, functions=net.declared)
    body = "".join(f"    {line}\n" for line in net.writer.calls) if net.writer.calls else "    (void)work;\n"
    functions = (FUNCTIONS + (CLASS if has_class(model) else "")).format(**words, body=body, end=net.end)
    before = [FLASH] * any("@@" in part for part in parts) + [WINDOW] * any("_window" in part for part in parts)
    source = "".join([head, "#include <math.h>\n" if libm else "", names_text(choices.name, model.signature),
                      *prefixed(before, choices.name), *net.writer.arrays, *prefixed(parts, choices.name), functions,
                      defined])
    tests = vector_files(stem, net, words) if vectors else {}
    return {".c": source, ".h": head, **tests}


def check_choices(choices: Choices) -> Choices:
    """Return choices that fit together, with numbers in place of their texts."""
    name = choices.name
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) and len(name) <= LONGEST_NAME):
        raise InvalidValue(f"name={quoted(repr(name))}; wanted a letter, then letters, digits and _, at most "
                           f"{LONGEST_NAME}: symbols in C begin with it")
    for argument, allowed in WORDS.items():
        value = getattr(choices, argument)
        if value not in allowed or isinstance(value, bool):
            raise unknown(argument, value, [str(word) for word in allowed])
    if choices.arithmetic == "int8" and choices.precision != "int8":
        raise InvalidValue('arithmetic="int8" computes with weights of 8 bits: give precision="int8" too')
    return choices


def used_parts(used: set[str]) -> list[str]:
    """Return the texts of functions, in an order in which each comes after what it calls."""
    names = used | {need for part in used for need in NEEDS.get(part, ())}
    return [PARTS[name] for name in PARTS if name in names]


def needs_libm(parts: list[str]) -> bool:
    """Return whether functions call the library of mathematical functions: expf, tanhf and the like."""
    return any(re.search(r"\b(?!sizeof)[a-z]\w*f\(", re.sub("|".join(PARTS), "", text)) for text in parts)


def prefixed(parts: list[str], name: str) -> list[str]:
    """Return the functions with a name before the names of all of them, and in place of each @."""
    own = set(re.findall(r"^static [\w@ ]*?\*?(\w+)\(", "".join(parts), re.MULTILINE))
    pattern = re.compile(rf"\b({'|'.join(sorted(own))})(?=\()")
    texts = [pattern.sub(rf"{name}_\1", part) if own else part for part in parts]
    return [text.replace("@@", f"{name.upper()}_FLASH").replace("@", name) for text in texts]
