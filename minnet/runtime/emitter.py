"""A program under construction: its steps, its numbers, and where its tensors stand."""
import math
from dataclasses import dataclass, field, replace

import numpy as np

from minnet.kernels.program import interpreter as do
from minnet.kernels.program.ops import OPERANDS
from minnet.runtime.layout import ROUND, Memory, Tensor, image_shape
from minnet.runtime.program import COPIES_AT_ONCE, Program
from minnet.threads import n_threads

SHARED = 2**15  # numbers to copy: some microseconds, worth to be shared with a thread that is awake


@dataclass
class Emitter:
    """A program under construction. `parted` has, for each layer that is done in parts, where their steps begin and
    end, and as how many numbers copied each counts."""

    tile: int
    dtype: np.dtype
    kernels: dict
    kind: np.dtype  # of weights
    memory: Memory = field(default_factory=Memory)
    code: list = field(default_factory=list)
    indices: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    values: list = field(default_factory=list)
    last_use: set = field(default_factory=set)
    threads: int = field(default_factory=n_threads)
    parted: list = field(default_factory=list)
    outputs: int = 0

    @property
    def nbytes(self):
        """Bytes of indices and numbers so far."""
        return sum(array.nbytes for array in (*self.indices, *self.weights, *self.values))

    def step(self, *operands):
        """Append a step."""
        self.code.append([int(number) for number in operands] + [0] * (OPERANDS - len(operands)))

    def parts(self, n, numbers):
        """(first, end) of parts of n things, as many for each thread where there is as much to do as to copy `numbers`.

        Who asks emits the steps of each part in turn; they are noted in `parted`.
        """
        threads = self.threads if self.tile > 1 and numbers >= SHARED else 1
        parts = max(1, min(n, threads * math.ceil(numbers / COPIES_AT_ONCE / threads)))
        edges = [len(self.code)]
        for i in range(parts):
            yield n * i // parts, n * (i + 1) // parts
            edges.append(len(self.code))
        if parts > 1:
            self.parted.append((edges, numbers / parts))

    def index(self, numbers):
        """Append indices; returns where they begin."""
        self.indices.append(np.asarray(numbers, np.uint32))
        return sum(map(len, self.indices[:-1]))

    def weight(self, numbers):
        """Append weights; returns where they begin."""
        self.weights.append(np.asarray(numbers, self.kind).reshape(-1))
        return sum(map(len, self.weights[:-1]))

    def by_unit(self, node, planes=1):
        """(where the biases of a layer begin, where its scales), with zeros up to a multiple of `planes`."""
        more = np.zeros(-node.units % planes)
        bias = self.value(np.concatenate([node.bias, more]))
        return bias, 0 if node.scale is None else self.value(np.concatenate([node.scale, more]))

    def value(self, numbers):
        """Append numbers; returns where they begin."""
        self.values.append(np.asarray(numbers, self.dtype).reshape(-1))
        return sum(map(len, self.values[:-1]))

    def tensor(self, shape, *, pitch=None, plane=None, flat=False):
        """A new tensor of an image's shape; compact unless pitch or plane say otherwise."""
        height, width, channels = shape
        pitch = pitch or width
        plane = plane or height * pitch * self.tile
        return Tensor(self.memory.take(channels * plane), channels, height, width, pitch, plane, self.tile, flat)

    def like(self, shape):
        """A new compact tensor for one of the net's shapes."""
        return self.tensor((1, 1, shape[0]), flat=True) if len(shape) == 1 else self.tensor(image_shape(shape))

    def give_back(self, *tensors):
        """These are not needed any more."""
        for tensor in tensors:
            self.memory.give_back(tensor.offset)

    def image(self, x, y, offset=0):
        """Copy the pixels of x to y, `offset` numbers further on."""
        self.step(do.COPY, x.channels, x.height, 1, x.width * self.tile, x.offset, x.plane, x.line, 0,
                  y.offset + offset, y.plane, y.line, 0)

    def row(self, x, offset):
        """Copy the entries of x, in the net's order, to `offset`."""
        t, c = self.tile, x.channels
        self.step(do.COPY, c, x.height, x.width, t, x.offset, x.plane, x.line, t, offset, t, x.width * c * t, c * t)

    def own(self, x):
        """x itself where this node is the last that reads it, else a copy: to be written over."""
        if x.offset in self.last_use:
            return x
        y = replace(x, offset=self.memory.take(x.size))
        self.step(do.COPY, 1, 1, 1, x.size, x.offset, 0, 0, 0, y.offset, 0, 0, 0)
        return y

    def load(self, shape):
        """The input."""
        y = self.like(shape)
        places = y.offset + y.places()
        self.step(do.LOAD, len(places), self.tile, self.index(places))
        return y

    def store(self, x):
        """The output."""
        places = x.offset + x.places()
        self.outputs = len(places)
        self.step(do.STORE, len(places), self.index(places))

    def finish(self, spans):
        """The Program."""
        index = np.concatenate([np.zeros(0, np.uint32), *self.indices])
        weights = np.concatenate([np.zeros(0, self.kind), *self.weights])
        value = np.concatenate([np.zeros(0, self.dtype), *self.values])
        return Program(self.tile, np.array(self.code, np.uint32), index, weights, value, spans,
                       self.memory.size + 2 * ROUND, self.outputs, self.parted)
