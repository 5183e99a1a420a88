"""A program under construction: its steps, its index and value arrays, and the memory of its tensors."""
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from minnet.kernels.program import interpreter as opcodes
from minnet.kernels.program.ops import OPERANDS
from minnet.runtime.graph import LinearNode
from minnet.runtime.layout import ROUND, Memory, Tensor, image_shape
from minnet.runtime.program import COPIES_AT_ONCE, Program, Span
from minnet.threads import n_threads

PARALLEL_COPIES = 2**15  # values to copy above which a node is split: some microseconds of work for an idle thread


@dataclass
class Emitter:
    """A program under construction; its methods append steps and values.

    `last_use` has the offsets of the tensors that only the current node still reads. `splits` has, for each node that
    is split into tasks, the steps at which its tasks begin and end, and the cost of a task in values copied.
    """

    tile: int
    dtype: np.dtype
    kernels: Mapping[str, str]
    weight_dtype: np.dtype
    memory: Memory = field(default_factory=Memory)
    code: list[list[int]] = field(default_factory=list)
    indices: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    last_use: set[int] = field(default_factory=set)
    threads: int = field(default_factory=n_threads)
    splits: list[tuple[list[int], float]] = field(default_factory=list)
    outputs: int = 0

    @property
    def nbytes(self) -> int:
        """Return the bytes of all indices, weights and values so far."""
        return sum(array.nbytes for array in (*self.indices, *self.weights, *self.values))

    def step(self, *operands: int) -> None:
        """Append a step: an opcode and its operands."""
        self.code.append([int(number) for number in operands] + [0] * (OPERANDS - len(operands)))

    def split(self, n: int, numbers: float) -> Iterator[tuple[int, int]]:
        """Split n items into tasks, a multiple of the thread count, if the work is worth copying `numbers` values.

        Yields (first, end) of each task; the caller emits the steps of a task before it asks for the next one, and
        `splits` then has them. Work below PARALLEL_COPIES is one task.
        """
        threads = self.threads if self.tile > 1 and numbers >= PARALLEL_COPIES else 1
        tasks = max(1, min(n, threads * math.ceil(numbers / COPIES_AT_ONCE / threads)))
        edges = [len(self.code)]
        for i in range(tasks):
            yield n * i // tasks, n * (i + 1) // tasks
            edges.append(len(self.code))
        if tasks > 1:
            self.splits.append((edges, numbers / tasks))

    def add_indices(self, numbers: ArrayLike) -> int:
        """Append indices; return the position of the first."""
        self.indices.append(np.asarray(numbers, np.uint32))
        return sum(map(len, self.indices[:-1]))

    def add_weights(self, numbers: ArrayLike) -> int:
        """Append weights; return the position of the first."""
        self.weights.append(np.asarray(numbers, self.weight_dtype).reshape(-1))
        return sum(map(len, self.weights[:-1]))

    def add_unit_values(self, node: LinearNode, planes: int = 1) -> tuple[int, int]:
        """Append a layer's biases and scales, zero-padded to a multiple of `planes`; return both positions."""
        padding = np.zeros(-node.units % planes)
        bias = self.add_values(np.concatenate([node.bias, padding]))
        return bias, 0 if node.scale is None else self.add_values(np.concatenate([node.scale, padding]))

    def add_values(self, numbers: ArrayLike) -> int:
        """Append values in the program's dtype; return the position of the first."""
        self.values.append(np.asarray(numbers, self.dtype).reshape(-1))
        return sum(map(len, self.values[:-1]))

    def tensor(self, shape: tuple[int, int, int], *, pitch: int | None = None, plane: int | None = None,
               flat: bool = False) -> Tensor:
        """Allocate a tensor of an image's shape; compact unless `pitch` or `plane` is given."""
        height, width, channels = shape
        pitch = pitch or width
        plane = plane or height * pitch * self.tile
        return Tensor(self.memory.allocate(channels * plane), channels, height, width, pitch, plane, self.tile, flat)

    def compact_tensor(self, shape: tuple[int, ...]) -> Tensor:
        """Allocate a compact tensor for one of the net's shapes."""
        return self.tensor((1, 1, shape[0]), flat=True) if len(shape) == 1 else self.tensor(image_shape(shape))

    def free(self, *tensors: Tensor) -> None:
        """Free the memory of tensors."""
        for tensor in tensors:
            self.memory.free(tensor.offset)

    def copy_image(self, x: Tensor, y: Tensor, offset: int = 0) -> None:
        """Emit a copy of the pixels of x to y, `offset` values further on."""
        self.step(opcodes.COPY, x.channels, x.height, 1, x.width * self.tile, x.offset, x.plane, x.line, 0,
                  y.offset + offset, y.plane, y.line, 0)

    def copy_row(self, x: Tensor, offset: int) -> None:
        """Emit a copy of the entries of x, channels last, to `offset`."""
        t, c = self.tile, x.channels
        self.step(opcodes.COPY, c, x.height, x.width, t, x.offset, x.plane, x.line, t, offset, t, x.width * c * t,
                  c * t)

    def writable(self, x: Tensor) -> Tensor:
        """Return a tensor of the values of x that may be overwritten: x after its last use, else a copy."""
        if x.offset in self.last_use:
            return x
        y = replace(x, offset=self.memory.allocate(x.size))
        self.step(opcodes.COPY, 1, 1, 1, x.size, x.offset, 0, 0, 0, y.offset, 0, 0, 0)
        return y

    def load(self, shape: tuple[int, ...]) -> Tensor:
        """Emit the step that loads the input, and return its tensor."""
        y = self.compact_tensor(shape)
        offsets = y.offset + y.offsets()
        self.step(opcodes.LOAD, len(offsets), self.tile, self.add_indices(offsets))
        return y

    def store(self, x: Tensor) -> None:
        """Emit the step that stores x as the output."""
        offsets = x.offset + x.offsets()
        self.outputs = len(offsets)
        self.step(opcodes.STORE, len(offsets), self.add_indices(offsets))

    def finish(self, spans: Sequence[Span]) -> Program:
        """Return the Program of all steps so far."""
        index = np.concatenate([np.zeros(0, np.uint32), *self.indices])
        weights = np.concatenate([np.zeros(0, self.weight_dtype), *self.weights])
        value = np.concatenate([np.zeros(0, self.dtype), *self.values])
        return Program(self.tile, np.array(self.code, np.uint32), index, weights, value, spans,
                       self.memory.size + 2 * ROUND, self.outputs, self.splits)
