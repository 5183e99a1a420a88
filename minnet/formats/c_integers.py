"""What is around a net in integers: rows and outputs as real numbers, and the macros that say how."""
import math

import numpy as np

from minnet.errors import InvalidValue
from minnet.formats.c_int8 import IntegerWriter, Tensor, quantity, to_whole, widened
from minnet.formats.c_int8_layers import WRITERS
from minnet.formats.c_writer import Buffer, Choices, literal
from minnet.model import Model

MOST_NUMBERS = 2**23     # of a row's outputs of all layers, for all calibration rows: memory

ABOUT = """ * Integers alone are computed with. {name}_quantise makes the input of a row: number / scale + zero,
 * rounded, from -128 to 127. {name}_dequantise makes real numbers of the outputs: {NAME}_OUTPUT_SCALE times each.
 * These two compute with floats, and need not be used.
"""
DECLARED = """void {name}_quantise(const float *row, int8_t *input);
void {name}_dequantise(const int32_t *output, float *real);
"""
DEFINED = """
void {name}_quantise(const float *row, int8_t *input)
{{
    int i;
    for (i = 0; i < {NAME}_INPUTS; i++) {{
        const float q = (({value}) - {shift}[i % {m}]) / {step}[i % {m}] + {above};
        input[i] = (int8_t)((q > 0.0f ? q < 255.0f ? (int)q : 255 : 0) - 128);
    }}
}}

void {name}_dequantise(const int32_t *output, float *real)
{{
    int i;
    for (i = 0; i < {NAME}_OUTPUTS; i++)
        real[i] = {real};
}}
"""


class IntegerNet:
    """A net in integers: its writer, the Tensor of its outputs, and the texts around it.

    Parameters
    ----------
    model : Model
        The net.
    choices : Choices
        How it is written.
    calibration : numpy.ndarray
        Rows (n, *input_shape), scaled as the net takes them, that say which numbers occur.
    rows : numpy.ndarray
        Rows (m, *input_shape), scaled, of test vectors.
    """

    types = "int8_t", "int32_t", "int32_t"

    def __init__(self, model: Model, choices: Choices, calibration: np.ndarray, rows: np.ndarray) -> None:
        self.writer = IntegerWriter(WRITERS, choices, model)
        self.words = {"name": choices.name, "NAME": choices.name.upper()}
        scale, zero = quantity(calibration)
        self.inputs = to_whole(rows.astype(np.float64), scale, zero)
        start = Tensor(Buffer("input", 0, math.prod(model.input_shape), False), scale, zero, calibration, self.inputs)
        self.end = widened(self.writer, self.writer.write(model.tree, start))
        self.outputs, self.signature = self.end.whole, model.signature
        self.start = start

    @property
    def macros(self) -> str:
        """Return the macros of scales; that of the input where all numbers have one."""
        text, (shift, step) = f"#define {self.words['NAME']}_OUTPUT_SCALE {literal(self.end.scale)}\n", self._scaling()
        if len(step) == 1 and not shift.any():
            text += f"#define {self.words['NAME']}_INPUT_SCALE {literal(float(step[0]))}\n" \
                    f"#define {self.words['NAME']}_INPUT_ZERO ({self.start.zero})\n"
        return text

    @property
    def about(self) -> str:
        """Return the lines of the comment."""
        return ABOUT.format(**self.words)

    @property
    def declared(self) -> str:
        """Return the declarations of the two functions."""
        return DECLARED.format(**self.words)

    def defined(self) -> str:
        """Return the two functions, whose arrays are added to the writer."""
        writer, (shift, step) = self.writer, self._scaling()
        fill = self.signature and self.signature.encoding and self.signature.encoding.fills
        value = "row[i]" if fill is None else f"row[i] != row[i] ? {writer.floats('input.fill', fill)}[i] : row[i]"
        target = self.signature and self.signature.target_scaling
        real = f"{self.words['NAME']}_OUTPUT_SCALE * (float)output[i]"
        if target:
            scale, by = (writer.floats(f"target.{name}", np.broadcast_to(numbers, self.end.real.shape[1:]))
                         for name, numbers in (("scale", target.scale), ("shift", target.shift)))
            real = f"{by}[i] + {scale}[i] * {real}"
        return DEFINED.format(**self.words, value=value, shift=writer.floats("input.shift", shift), m=len(step),
                              step=writer.floats("input.step", step), above=literal(self.start.zero + 128.5), real=real)

    def _scaling(self):
        """Return (shift, step) such that a raw number is an integer's: (raw - shift) / step + zero."""
        shift, step = np.zeros(1), np.ones(1)
        if self.signature is not None and self.signature.scaling is not None:
            shift, step = self.signature.scaling.flat(self.signature.shape)
        return shift, step * self.start.scale


def calibration_rows(model: Model, X: np.ndarray | None) -> np.ndarray:
    """Return raw calibration rows as the net takes them, the first ones where there are many."""
    if X is None:
        raise InvalidValue("arithmetic in integers needs rows that say which numbers occur: give calibration=X, some "
                           "hundred rows of the training data")
    largest = max([math.prod(model.input_shape), *(math.prod(layer.output_shape) for layer in model.layers.values())])
    rows = model.inputs(X[: max(1, MOST_NUMBERS // largest)])
    if not len(rows):
        raise InvalidValue("calibration has no rows; wanted some hundred of the training data")
    return np.asarray(rows, model.dtype)
