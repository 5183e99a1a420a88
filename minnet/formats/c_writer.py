"""What a C file is made of while it is written: constant arrays, calls, and buffers in `work` that are used again."""
import re

import numpy as np

from minnet.engine.layer import find_row
from minnet.errors import InvalidValue, NotFinite, Unsupported

MOST_NUMBERS = 2**24        # compilers need a hundred times the memory of the source
SPARSE = 1 / 4              # below this share of live entries a weight is stored sparse
PER_LINE = 8


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
        return f"{self.array} + {self.start}" if self.start else self.array


class Writer:
    """The arrays and calls so far, and the buffers in `work` that are in use.

    `writers` has the function of each class of layers, which is called with (writer, layer, x) and returns the Buffer
    of the output.
    """

    def __init__(self, writers):
        self.writers = writers
        self.arrays, self.calls, self.used = [], [], set()
        self.used_buffers, self.work, self.numbers = [], 0, 0

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
        texts = [literal(v) for v in values] if kind == "float" else [str(v) for v in values]
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
