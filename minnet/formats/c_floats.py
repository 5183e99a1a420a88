"""What is around a net in floats: raw rows are scaled before it, numbers get their units after it."""
import math

import numpy as np

from minnet.formats.c_fold import first_is_linear
from minnet.formats.c_layers import WRITERS
from minnet.formats.c_writer import Buffer, Choices, Writer
from minnet.model import Model


class FloatNet:
    """A net in floats: its writer and the Buffer of its outputs, and what it gives for raw rows `X`.

    Parameters
    ----------
    model : Model
        The net.
    choices : Choices
        How it is written.
    X : numpy.ndarray
        Raw rows (m, *input_shape) of test vectors.
    """

    types = "float", "float", "float"
    macros = about = declared = ""

    def __init__(self, model: Model, choices: Choices, X: np.ndarray) -> None:
        self.writer = Writer(WRITERS, choices)
        self.writer.values = model.values.copy()
        start = scaled(self.writer, model, Buffer("input", 0, math.prod(model.input_shape), False))
        self.end = in_units(self.writer, model.signature, self.writer.write(model.tree, start))
        self.inputs = X
        self.model = model

    @property
    def outputs(self) -> np.ndarray:
        """Return the outputs, in the units of a target, by the weights as they are stored."""
        y, signature = self.model(self.inputs, self.writer.values), self.model.signature
        if signature is None or signature.target_scaling is None:
            return y
        return y * signature.target_scaling.scale + signature.target_scaling.shift

    def defined(self) -> str:
        """Return further functions: none."""
        return ""


def scaled(writer, model, x):
    """Add the calls that fill in missing numbers and scale the input; return the Buffer that the layers read.

    Where the input is divided by one number and read by one linear layer, weights are divided instead.
    """
    signature = model.signature
    if signature is None:
        return x
    fill = signature.encoding and signature.encoding.fills
    if fill is not None:
        y = writer.allocate(x.size)
        writer.call("fill_missing", x, x.size, writer.floats("input.fill", fill), y)
        x = y
    if signature.scaling is None:
        return x
    if signature.scaling.divisor != 1 and first_is_linear(model.tree):
        writer.divisor = signature.scaling.divisor
        return x
    shift, scale = signature.scaling.flat(signature.shape)
    names = writer.floats("input.shift", shift), writer.floats("input.scale", scale)
    y = writer.allocate(x.size)
    writer.call("scale_input", x, x.size, *names, shift.size, y)
    writer.free(x)
    return y


def in_units(writer, signature, y):
    """Add the call that gives numbers in the units of their target, of the Buffer `y`; return the Buffer of these."""
    if signature is None or signature.target_scaling is None:
        return y
    y, (shift, scale) = writer.writable(y), signature.target_scaling
    writer.call("scale", y, 1, y.size, writer.floats("target.scale", scale), writer.floats("target.shift", shift))
    return y
