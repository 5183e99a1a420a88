"""A net in C that computes with integers alone: numbers are int8, sums int32, ranges those of calibration rows.

A tensor's real numbers are r = scale * (q - zero) with q from -128 to 127; scale and zero are such that the least and
the greatest number that the float net has there for the calibration rows, and 0, are within. Weights are those of
`precision="int8"`. A sum of q_x q_w and the bias, in units of scale_x scale_w, becomes an output by the multiplier
scale_x scale_w / scale_y = factor / 2^shift. Activations are tables of 256 numbers; a ReLU after a linear layer is the
output's range. What the C computes is computed beside it for some rows, number by number: these are test vectors.

References
----------
Jacob et al. (2018), "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
sections 2.1 to 2.4.
"""
import math
from collections.abc import Mapping

import numpy as np

from minnet.engine.activations import Activation, ReLU
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import Layer, find_row
from minnet.engine.more_activations import ReLU6
from minnet.engine.sparse import SparseDense
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, Unsupported
from minnet.formats.c_fold import Linear, flattened, steps
from minnet.formats.c_layers import geometry, grouped
from minnet.formats.c_weights import store
from minnet.formats.c_writer import Buffer, Choices, Writer
from minnet.model import Model

LOW, HIGH = -128, 127
WIDE = 2**20             # the greatest output of the last layer for the calibration rows
WIDEST = 2**30           # where it is cut off
LONGEST_SHIFT = 62


class Tensor(Buffer):
    """A Buffer of `size` integers of `width` bytes, each scale * (q - zero) as a real number.

    `real` (n, *shape) are the float net's numbers for the calibration rows, `whole` (m, *shape) those that C computes
    for the rows of the test vectors.
    """

    width = 1

    def __init__(self, place: Buffer, scale: float, zero: int, real: np.ndarray, whole: np.ndarray) -> None:
        super().__init__(place.array, place.start, place.size, place.owned)
        self.scale, self.zero, self.real, self.whole, self.place = scale, zero, real, whole, place

    def __str__(self) -> str:
        """Return the expression in C; `start` counts numbers of 32 bits."""
        if self.array == "input":
            return "input"
        return f"(int8_t *)(work + {self.start})" if self.width == 1 else f"work + {self.start}"

    @property
    def count(self) -> int:
        """Return how many numbers there are."""
        return math.prod(self.real.shape[1:])


class IntegerWriter(Writer):
    """The arrays, calls and buffers of a net in integers; `work` has numbers of 32 bits.

    `last` is the layer whose outputs are those of the net, if it is linear: they have 32 bits.
    """

    def __init__(self, writers: Mapping, choices: Choices, model: Model) -> None:
        super().__init__(writers, choices)
        self.tape = Tape(model)
        ends = list(flattened([model.tree]))[-1:]
        self.last = ends[0] if ends else None

    def write(self, layer: Layer, x: Tensor) -> Tensor:
        """Add the calls of a layer that reads `x`, and free `x` if it is owned; return the Tensor of the output."""
        write = find_row(self.writers, layer)
        if write is None and isinstance(layer, Activation) and layer.elementwise and not layer.parameters:
            write = activation
        if write is None:
            raise Unsupported(f"{layer.name} is a {type(layer).__name__}, which has no form in integers: export with "
                              'arithmetic="float"')
        return write(self, layer, x)

    def room(self, numbers: int, width: int = 1) -> Buffer:
        """Allocate memory for `numbers` integers of `width` bytes."""
        return self.allocate(-(-numbers * width // 4))

    def forward(self, layer: Layer, x: np.ndarray) -> np.ndarray:
        """Return what a layer of the float net gives, in memory of its own."""
        return np.array(layer.forward(np.ascontiguousarray(x), self.tape))

    def free(self, x: Buffer) -> None:
        """Free `x` after its last use, if it is owned."""
        super().free(x.place if isinstance(x, Tensor) else x)

    def writable(self, x: Tensor) -> Tensor:
        """Return `x` if it is owned, else a copy that may be overwritten."""
        if x.owned:
            return x
        y = Tensor(self.room(x.count), x.scale, x.zero, x.real, x.whole)
        self.call("copy_int8", x, x.count, y)
        return y


def quantity(real: np.ndarray) -> tuple[float, int]:
    """Return (scale, zero) such that the least and greatest of `real`, and 0, are within -128 to 127."""
    low, high = min(float(real.min(initial=0)), 0.0), max(float(real.max(initial=0)), 0.0)
    scale = (high - low) / (HIGH - LOW) or 1.0
    return scale, int(np.clip(round(LOW - low / scale), LOW, HIGH))


def to_whole(real: np.ndarray, scale: float, zero: int) -> np.ndarray:
    """Return real numbers as integers of 8 bits: real / scale + zero, rounded, cut off."""
    return np.clip(np.floor(real / scale + 0.5) + zero, LOW, HIGH).astype(np.int64)


def multiplier(ratio: np.ndarray) -> tuple[np.ndarray, np.int64]:
    """Return (factors, shift) of ratios above 0: each is factor / 2^shift, the largest factor from 2^30 to 2^31.

    One shift is enough: a sum is below 2^31, so that a factor rounded changes an output by less than the largest ratio.
    """
    mantissa, exponent = np.frexp(float(np.max(ratio)))
    shift = min(31 - exponent - (mantissa * 2.0**31 > 2**31 - 1), LONGEST_SHIFT)
    if shift < 1:
        raise InvalidValue(f"a multiplier of {float(np.max(ratio)):.3g} has no form in integers: export with "
                           'arithmetic="float"')
    return np.rint(np.asarray(ratio, np.float64) * 2.0**shift).astype(np.int64), np.int64(shift)


def rescaled(sums: np.ndarray, factor: np.ndarray, shift: np.int64, zero: int, low: int, high: int) -> np.ndarray:
    """Return what `rescale8` and `rescale32` in C return."""
    half = np.left_shift(np.int64(1), shift - 1)
    return np.clip(np.right_shift(sums.astype(np.int64) * factor + half, shift) + zero, low, high)


# --- one function a layer ---------------------------------------------------------------------------------------------


def sequential(writer, layer, x):
    """Write a chain; a ReLU after a linear layer is the range of its output."""
    left = list(steps(layer.layers))
    while left:
        step = left.pop(0)
        if not isinstance(step, Linear):
            x = writer.write(step, x)
            continue
        while left and not isinstance(left[0], Linear) and find_row({ReLU: True, ReLU6: True}, left[0]):
            step.members.append(left.pop(0))
        x = _step(writer, step, x)
    return x


def linear(writer, layer, x):
    """Write a linear layer by itself."""
    return _step(writer, Linear(layer), x)


def _step(writer, step, x):
    """Write a linear layer with what is computed with it."""
    real = x.real
    for member in step.members:
        real = writer.forward(member, real)
    last = step.members[-1] is writer.last and len(real.shape) == 2
    scale, zero = ((float(np.abs(real).max(initial=0)) or 1.0) / WIDE, 0) if last else quantity(real)
    by = writer.choices.scales
    entries, of_weights = _whole_weights(step, x, by)
    matrix = step.matrix(entries).astype(np.int64)
    bias = np.rint(step.bias / (x.scale * of_weights)) - x.zero * matrix.sum(axis=0)
    if np.abs(bias).max(initial=0) + 2**14 * len(matrix) >= 2**31:
        raise InvalidValue(f"the sums of {step.name} may not fit in 32 bits: export with arithmetic=float")
    factor, shift = multiplier(x.scale * of_weights / scale)
    sums_of, call = find_row(LINEAR, step.layer)
    sums = sums_of(step, x, matrix) + bias.astype(np.int64)
    bounds = (-WIDEST, WIDEST) if last else (LOW, HIGH)
    y = Tensor(writer.room(math.prod(real.shape[1:]), 4 if last else 1), scale, zero, real,
               rescaled(_pooled(step, sums), factor, shift, zero, *bounds))
    y.width = 4 if last else 1
    one = slice(None) if by == "unit" else slice(1)
    given = (writer.array(f"{step.name}.bias", bias.astype(np.int64), "int32_t", flash=True),
             writer.array(f"{step.name}.factor", factor[one], "int32_t", flash=True),
             int(by == "unit"), shift, zero)
    call(writer, step, x, y, entries, given)
    writer.free(x)
    return y


def _whole_weights(step, x, by):
    """Return the weights as whole numbers, and the scale of each unit, large enough for its bias to fit in 30 bits."""
    entries, scale = step.to_int8(by)
    live = np.bincount(step.unit, entries != 0, step.units) > 0
    scale = np.where(live, scale, scale[live].max(initial=0) or 1)    # of units without weights, that of others
    least = np.abs(step.bias) / x.scale / 2.0**29
    least = np.full(step.units, least.max(initial=0)) if by == "layer" else least
    if (least > scale).any():
        scale = np.maximum(scale, least)
        entries = np.rint(step.entries / scale[step.unit])
    return entries, scale.astype(np.float64)


def _call_dense(writer, step, x, y, entries, given):
    n = step.input_shape[0]
    stored = store(writer, step, np.arange(n), entries, f"integer{8 * y.width}")
    if stored.sparse:
        writer.call(f"dense_{stored.kind}", x, *stored.arrays, *given, step.units, y)
        return
    sums = writer.room(step.units, 4)
    writer.call(f"dense_{stored.kind}", x, n, *stored.arrays, *given, sums, step.units, y)
    writer.free(sums)


def _call_conv(writer, step, x, y, entries, given):
    numbers, offsets = geometry(step, x.zero)
    window = writer.window(f"{step.name}.window", numbers)
    stored = store(writer, step, offsets, entries, f"integer{8 * y.width}")
    if stored.sparse:
        writer.call(f"conv_{stored.kind}", x, window, *stored.arrays, *given, y)
        return
    if step.layer.groups > 1:
        grouped(writer, step, x, window, stored, (*stored.arrays, *given), y)
        return
    sums = writer.room(step.units * (2 if step.pool else 1), 4)
    writer.call(f"conv_{stored.kind}", x, window, *stored.arrays, *given, sums, y)
    writer.free(sums)


def _call_depthwise(writer, step, x, y, entries, given):
    window = writer.window(f"{step.name}.window", geometry(step, x.zero)[0])
    stored = store(writer, step, None, entries, f"integer{8 * y.width}")
    grouped(writer, step, x, window, stored, (*stored.arrays, *given), y)


def _taps(step, x):
    """Yield what each pixel (u, v) of a window meets: (m, ho, wo, c)."""
    at = step.window
    (kh, kw), (sh, sw), (ho, wo) = at.kernel, at.stride, at.output
    dh, dw = at.dilation
    padded = np.pad(x.whole, ((0, 0), (at.top, at.bottom), (at.left, at.right), (0, 0)), constant_values=x.zero)
    for u in range(0, kh * dh, dh):
        for v in range(0, kw * dw, dw):
            yield padded[:, u : u + (ho - 1) * sh + 1 : sh, v : v + (wo - 1) * sw + 1 : sw]


def _sums_dense(step, x, matrix):
    return (x.whole.astype(float) @ matrix.astype(float)).astype(np.int64)     # exact below 2^53


def _sums_conv(step, x, matrix):
    groups, channels = step.layer.groups, step.full[-2]
    each = matrix.reshape(-1, channels, groups, step.units // groups).transpose(0, 2, 1, 3).astype(float)
    found = sum(tap.astype(float).reshape(*tap.shape[:3], groups, 1, channels) @ part
                for tap, part in zip(_taps(step, x), each, strict=True))
    return found.reshape(*found.shape[:3], step.units).astype(np.int64)


def _pooled(step, sums):
    """Return the largest sum of each window of the pool that follows, if one does."""
    if step.pool is None:
        return sums
    (ph, pw), (qh, qw), (ho, wo) = step.pool.kernel, step.pool.stride, step.pool.output
    return np.max([sums[:, u : u + (ho - 1) * qh + 1 : qh, v : v + (wo - 1) * qw + 1 : qw]
                   for u in range(ph) for v in range(pw)], axis=0)


def activation(writer, layer, x):
    """Write any activation as a table of what each integer becomes."""
    real = writer.forward(layer, x.real)
    scale, zero = quantity(real)
    inputs = (np.arange(LOW, HIGH + 1) - x.zero) * x.scale
    return looked_up(writer, x, to_whole(writer.forward(layer, inputs.astype(real.dtype)), scale, zero), scale, zero,
                      real, f"{layer.name}.table")


def looked_up(writer, x, table, scale, zero, real, name):
    """Write y = table[x + 128]."""
    x = writer.writable(x)
    writer.call("look_up", x, x.count, writer.array(name, table, "int8_t"))
    return Tensor(x.place, scale, zero, real, table[x.whole + 128])


def widened(writer: IntegerWriter, y: Tensor) -> Tensor:
    """Return the outputs of the net in 32 bits, without a zero."""
    if y.width == 4:
        return y
    wide = Tensor(writer.room(y.count, 4), y.scale, 0, y.real, y.whole - y.zero)
    wide.width = 4
    writer.call("widen", y, y.count, y.zero, wide)
    return wide


LINEAR = {
    Dense: (_sums_dense, _call_dense),
    SparseDense: (_sums_dense, _call_dense),
    Conv2d: (_sums_conv, _call_conv),
    DepthwiseConv2d: (_sums_conv, _call_depthwise),
}
