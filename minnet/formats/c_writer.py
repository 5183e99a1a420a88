"""What a C file is made of while it is written: constant arrays, calls, and buffers in `work` that are used again."""
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minnet.engine.layer import find_row
from minnet.errors import InvalidValue, NotFinite, Unsupported

MOST_NUMBERS = 2**24        # compilers need a hundred times the memory of the source
PER_LINE = 8
BYTES = {"float": 4, "int": 4} | {f"{sign}int{bits}_t": bits // 8 for sign in ("", "u") for bits in (8, 16, 32)}
WIDTH = 112                 # of a line of calls


class TooManyNumbers(InvalidValue):
    """A model has more numbers than a compiler takes."""


def literal(number):
    """Return a float as a C literal, exact for float32."""
    text = f"{number:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


class Buffer:
    """An expression for `size` floats of the C array `input` or `work`, from `start` on.

    A buffer that is `owned` may be overwritten, and is freed after its last use.
    """

    def __init__(self, array, start, size, owned):
        self.array, self.start, self.size, self.owned = array, start, size, owned

    def __str__(self):
        """Return the expression."""
        return f"{self.array} + {self.start}" if self.start else self.array


@dataclass(frozen=True)
class Choices:
    """How a file is written: the name that all in it begins with, and how weights are stored and computed with."""

    name: str = "minnet"
    precision: str = "float32"
    scales: str = "unit"
    places: str | int = "auto"
    arithmetic: str = "float"


class Writer:
    """The arrays and calls so far, and the buffers in `work` that are in use.

    `writers` has the function of each class of layers, which is called with (writer, layer, x) and returns the Buffer
    of the output.
    """

    def __init__(self, writers: Mapping, choices: Choices) -> None:
        self.writers, self.choices, self.name = writers, choices, choices.name
        self.divisor = 1.0   # of the weights of the layer that reads the input
        self.values = np.zeros(0)   # the model's, with weights as they are stored
        self.arrays: list[str] = []
        self.calls: list[str] = []
        self.used: set[str] = set()
        self.used_buffers: list[Buffer] = []
        self.work, self.numbers = 0, 0
        self.constants = 0   # bytes of constant arrays
        self.in_flash = 0    # those of them that never lie in RAM
        self.products = 0    # multiplications by a weight, of one input

    def write(self, layer, x):
        """Add the calls of a layer that reads `x`, and free `x` if it is owned; return the Buffer of the output."""
        write = find_row(self.writers, layer)
        if write is None:
            raise Unsupported(f"{layer.name} is a {type(layer).__name__}, which has no form in C: predict with the "
                              "model itself, or with freeze(model)")
        return write(self, layer, x)

    def call(self, part, *arguments):
        """Add a call of one of PARTS."""
        self.used.add(part)
        text = f"{self.name}_{part}({', '.join(str(a) for a in arguments)});"
        self.calls += textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)

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

    def array(self, name, values, kind="float", *, flash=False):
        """Add a constant array and return its name; an empty one gets a zero, since C has no empty arrays.

        Those in `flash` are for functions of linear layers, which know how to read them there.
        """
        self.numbers += len(values)
        self.count(len(values) * BYTES[kind], flash)
        if self.numbers > MOST_NUMBERS:
            raise TooManyNumbers(f"the model has more than {MOST_NUMBERS:,} numbers, up to {name}, which no compiler "
                               "takes: prune it, or export ONNX")
        texts = [literal(v) for v in values] if kind == "float" else [str(v) for v in values]
        lines = [", ".join(texts[i : i + PER_LINE]) for i in range(0, len(texts), PER_LINE)] or ["0"]
        name = self.identifier(name)
        where = f"{self.flash} " if flash else ""
        self.arrays.append(f"\nstatic const {where}{kind} {name}[] = {{\n    " + ",\n    ".join(lines) + "\n};\n")
        return name

    def count(self, nbytes, flash):
        """Count bytes of constants."""
        self.constants += nbytes
        self.in_flash += nbytes if flash else 0

    @property
    def flash(self):
        """Return the macro for what lies in flash."""
        return f"{self.name.upper()}_FLASH"

    def floats(self, name, values, *, flash=False):
        """Add a constant array of float32 and return its name; raise NotFinite for values that float32 cannot hold."""
        with np.errstate(over="ignore"):
            values = np.ravel(values).astype(np.float32)
        if not np.isfinite(values).all():
            raise NotFinite(f"{name} holds NaN, infinity, or numbers beyond float32: it cannot be exported")
        return self.array(name, values, flash=flash)

    def window(self, name: str, numbers: Sequence[int]) -> str:
        """Add the geometry of a window, the numbers of `WINDOW`; return a pointer to it."""
        array = self.identifier(name)
        cells = ", ".join(map(str, numbers))
        self.arrays.append(f"\nstatic const {self.flash} {self.name}_window {array} = {{\n    {cells}\n}};\n")
        self.count(4 * len(numbers), True)
        return f"&{array}"

    def identifier(self, name: str) -> str:
        """Return a C name of its own for an array; names may differ only in characters that C does not allow."""
        return f"{self.name}_a{len(self.arrays)}_" + re.sub(r"\W", "_", name, flags=re.ASCII)


def bits_of(values: np.ndarray) -> int:
    """Return how many bits an integer needs to hold each of `values`: 8, 16 or 32."""
    least, most = int(np.min(values, initial=0)), int(np.max(values, initial=0))
    for bits in (8, 16):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if least < 0 else (0, 2**bits - 1)
        if low <= least and most <= high:
            return bits
    return 32
