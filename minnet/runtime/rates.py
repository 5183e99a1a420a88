"""Measure how fast this machine's kernels are; plans are chosen by these rates.

    rates = machine_rates()         # never fails: without a file or a measurement, the defaults below

They are measured once, and stored beside the compiled kernels.
"""
import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from minnet import kernels
from minnet.errors import FileError
from minnet.files import read_bounded, write_whole
from minnet.kernels.jit import code_folder
from minnet.kernels.program import interpreter as opcodes
from minnet.kernels.program.ops import RUN
from minnet.kernels.program.planes import BLOCK_PLANES
from minnet.kernels.program.rows import ROWS
from minnet.runtime.emit import emit
from minnet.runtime.emitter import Emitter
from minnet.runtime.graph import LinearNode, Node
from minnet.runtime.linear import BLOCK, DENSE, KERNELS, PLANE_KERNELS, weights_of
from minnet.runtime.program import Program, median_seconds

FILE = "rates.json"
MOST_BYTES = 4096
FASTEST, SLOWEST = 1e-14, 1e-5  # seconds: rates outside are errors of measurement, or of the file
INPUTS, UNITS, SHARE = 784, 300, 0.1  # the layer that is measured, and its share of live weights
LARGE = 2048                          # inputs and units of the layer for `far`
COPIED, SHORT = 1000, 24              # runs that are copied, and values of each: a line of a small image
ROUNDS, REPEATS = 9, 4
PASSES = 3  # the fastest counts: it has the least of what else the machine did


@dataclass(frozen=True)
class Rates:
    """Seconds of one multiply-add by each kernel, of one value copied, and of one byte of weights read.

    `far` is for bytes that no cache of the core's own has. All are for float32 and one thread.
    """

    dense: float = 1.4e-11
    block: float = 1.7e-11
    sparse: float = 3.2e-11
    dense_row: float = 5.0e-11
    block_row: float = 2.0e-10
    n_m_row: float = 1.4e-10
    sparse_row: float = 4.5e-10
    copied: float = 1.3e-10
    far: float = 6e-11


@cache
def machine_rates() -> Rates:
    """Return the Rates of this machine, read or measured; they stay the same until the process ends."""
    folder = code_folder(Path(kernels.__file__).parent)
    rates = read_rates(folder / FILE) if folder else None
    if rates is not None:
        return rates
    rates = checked(lowest(PASSES))
    if folder and rates is not None:
        write_rates(folder / FILE, rates)
    return rates or Rates()


def checked(numbers: object) -> Rates | None:
    """Return the Rates of a mapping, or None if one is missing or outside FASTEST to SLOWEST."""
    names = {field.name for field in fields(Rates)}
    if not isinstance(numbers, dict) or set(numbers) != names:
        return None
    if not all(isinstance(rate, float) and FASTEST <= rate <= SLOWEST for rate in numbers.values()):
        return None
    return Rates(**numbers)


def read_rates(path: Path) -> Rates | None:
    """Read the Rates of a file; None if it has none."""
    try:
        return checked(json.loads(read_bounded(path, MOST_BYTES)))
    except (FileError, ValueError, RecursionError):
        return None


def write_rates(path: Path, rates: Rates) -> None:
    """Store `rates`; if that is not possible, the next process measures again."""
    try:
        write_whole(path, json.dumps(asdict(rates), sort_keys=True).encode())
    except FileError:
        pass


def lowest(passes: int) -> dict[str, float]:
    """Return the lowest of `passes` measurements of each rate."""
    found = [measure() for _ in range(passes)]
    return {name: min(rates[name] for rates in found) for name in found[0]}


def measure() -> dict[str, float]:
    """Measure all rates, on a layer of 784 x 300 of which a tenth of the weights, or of blocks of 4 x 4, is live."""
    weights = np.ones(LARGE * LARGE, np.float32)
    large = LinearNode([Node([], (LARGE,))], (LARGE,), "layer", weights, None, (LARGE, LARGE), np.zeros(LARGE))
    measured = {"copied": copy_seconds(), "far": layer_seconds(large, DENSE, 1) / large.entries.nbytes}
    for kernel in KERNELS:
        layer = sparse_layer(ROWS, BLOCK_PLANES) if kernel == BLOCK else sparse_layer(1, 1)
        measured[f"{kernel}_row"] = layer_seconds(layer, kernel, 1) / weights_of(layer, kernel, 1)
        if kernel in PLANE_KERNELS:
            measured[kernel] = layer_seconds(layer, kernel, RUN) / weights_of(layer, kernel, RUN) / RUN
    return measured


def sparse_layer(rows: int, units: int) -> LinearNode:
    """Return the layer that is measured, with random live blocks of rows x units."""
    live = np.random.default_rng(0).random((INPUTS // rows, UNITS // units)) < SHARE
    entries = np.kron(live, np.ones((rows, units))).astype(np.float32).reshape(-1)
    return LinearNode([Node([], (INPUTS,))], (UNITS,), "layer", entries, None, (INPUTS, UNITS), np.zeros(UNITS))


def layer_program(layer: LinearNode, kernel: str, tile: int) -> Program:
    """Return the program of one layer."""
    return emit([*layer.inputs, layer], {layer.name: kernel}, tile, np.dtype(np.float32))


def layer_seconds(layer: LinearNode, kernel: str, tile: int) -> float:
    """Measure the steps of one layer on one tile."""
    program = layer_program(layer, kernel, tile)
    X = np.random.default_rng(0).random((tile, layer.full[0]), np.float32)
    return median_seconds(program, program.cut(program.spans[1].first, program.spans[1].last), X, ROUNDS, REPEATS)


def copy_seconds() -> float:
    """Measure the time to copy a value, in short runs."""
    emitter = Emitter(1, np.dtype(np.float32), {}, np.dtype(np.float32))
    size = COPIED * SHORT
    x, y = emitter.memory.allocate(size), emitter.memory.allocate(size)
    emitter.step(opcodes.COPY, 1, 1, COPIED, SHORT, x, 0, 0, SHORT, y, 0, 0, SHORT)
    program = emitter.finish([])
    return median_seconds(program, program.calls, np.zeros((1, 1), np.float32), ROUNDS, REPEATS) / size
