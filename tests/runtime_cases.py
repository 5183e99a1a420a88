"""How the arguments of the kernels of a frozen net's program are drawn (see kernel_cases.py): a table with one step,
and arrays just large enough for it. A whole program is that of a small random net."""

from itertools import pairwise

import numpy as np
import reference_runtime
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import Case, few, floats, odd, plain
from trees import compiled_models, random_input

from minnet.kernels.program.interpreter import ROW, STOP, run_program
from minnet.kernels.program.ops import HALF, OPERANDS, RUN
from minnet.kernels.program.planes import BLOCK_PLANES, DENSE_PLANES
from minnet.kernels.program.rows import MASK_INPUTS
from minnet.kernels.simd.addresses import address_of
from minnet.runtime.emit import emit
from minnet.runtime.graph import LinearNode
from minnet.runtime.linear import KERNELS
from minnet.runtime.passes import graph
from minnet.runtime.plans import kernels_of

size = st.integers(1, 3)
gap = st.integers(0, 3)


def table(*operands):
    """A table whose second step has these operands."""
    code = np.zeros((2, OPERANDS), np.uint32)
    code[1, 1 : len(operands) + 1] = operands
    return code


@st.composite
def loads(draw, dtype):
    features, tile, before = draw(few), draw(st.sampled_from([1, 3, HALF, RUN])), draw(gap)
    row, count = draw(gap), draw(st.integers(0, tile))
    index = np.concatenate([[7] * before, draw(st.permutations(range(0, features * tile, tile)))]).astype(np.uint32)
    X = floats(draw, dtype, row + count, features)
    return table(features, tile, before), 1, index, X, row, count, np.ones(features * tile, dtype)


@st.composite
def stores(draw, dtype):
    code, at, index, X, row, count, x = draw(loads(dtype))
    code[1, 2] = code[1, 3]
    return code, at, index, floats(draw, dtype, x.size), row, count, np.ones(X.shape, dtype)


@st.composite
def raw_rows(draw, dtype):
    rows, columns = draw(few), draw(few)
    scale = floats(draw, np.float64, columns, elements=st.sampled_from([-3.0, 0.25, 16.0, 255.0, 1e30]))
    return floats(draw, dtype, rows, columns), floats(draw, np.float64, columns), scale, np.ones((rows, columns), dtype)


@st.composite
def copies(draw, dtype):
    shape = planes, lines, columns, run = [draw(gap) for _ in range(4)]
    steps = []
    for _ in "xy":  # columns do not overlap, nor lines, nor planes
        column = run + draw(gap)
        line = columns * column + draw(gap)
        steps.append([draw(gap), lines * line + draw(gap), line, column])
    x, y = (floats(draw, dtype, start + planes * plane + run) for start, plane, *_ in steps)
    return table(*shape, *steps[0], *steps[1]), 1, x, y


@st.composite
def stretches(draw, dtype, operands=lambda draw: (), value=0):
    """A stretch of y, then more operands; with numbers in `value`."""
    start, length = draw(gap), draw(few)
    y = floats(draw, dtype, start + length + draw(gap), elements=odd if not value else plain)
    values = [floats(draw, dtype, value, elements=plain)] if value else []
    return table(start, length, *operands(draw)), 1, *values, y


@st.composite
def additions(draw, dtype):
    starts, length = [draw(gap), draw(gap)], draw(few)
    return table(*starts, length), 1, *[floats(draw, dtype, start + length, elements=plain) for start in starts]


@st.composite
def products(draw, dtype):
    """Runs of a plane of y have runs of x of their own, or share one."""
    planes, runs, run = draw(size), draw(size), draw(few)
    x_run, y_plane = draw(st.sampled_from([0, run])), runs * run + draw(gap)
    x0, y0, x_plane = draw(gap), draw(gap), run * runs + draw(gap)
    x = floats(draw, dtype, x0 + planes * x_plane, elements=plain)
    y = floats(draw, dtype, y0 + planes * y_plane, elements=plain)
    return table(x0, x_plane, x_run, y0, planes, y_plane, runs, run), 1, x, y


@st.composite
def affines(draw, dtype):
    start, planes, plane = draw(gap), draw(size), draw(few)
    value = floats(draw, dtype, 2 * planes + 1, elements=plain)
    y = floats(draw, dtype, start + planes * plane, elements=plain)
    return table(start, planes, plane, 1, planes + 1), 1, value, y


@st.composite
def parts(draw, dtype):
    """Planes and lines may stand apart, numbers be missing, and a lane be alone; no part is all alike."""
    n, planes, lines, columns, lanes = draw(size), draw(size), draw(size), draw(size), draw(st.sampled_from([1, 2, 9]))
    line = columns * lanes + draw(gap)
    plane, start = lines * line + draw(gap), draw(gap)
    count = planes * lines * columns + draw(gap)
    y = floats(draw, dtype, start + n * planes * plane, elements=plain)
    code = table(start, n, planes * plane, planes, plane, lines, line, columns, lanes, count, 0, 1)
    return code, 1, np.array([0, 0.5], dtype), y, np.zeros(3 * lanes, dtype)


@st.composite
def pools(draw, dtype, tile=None, halve=False):
    """Every window sees a pixel; with `halve` it is 2 x 2, and all inside. Planes and lines may stand apart."""
    tile = tile or draw(st.sampled_from([HALF, RUN, RUN + HALF]))
    planes, sizes = draw(size), [2, 2] if halve else [draw(size), draw(size)]
    before = [0, 0] if halve else [draw(st.integers(0, n - 1)) for n in sizes]
    strides = sizes if halve else [draw(size), draw(size)]
    image = [draw(st.integers(1, 5)) + halve, draw(st.integers(1, 5)) + 40 * halve]
    output = [(n - 1 + b) // s + 1 - (halve and n % s) for n, b, s in zip(image, before, strides, strict=True)]
    x_line, y_line = (image[1] + draw(gap)) * tile, (output[1] + draw(gap)) * tile
    x_plane, y_plane = image[0] * x_line + draw(gap) * tile, output[0] * y_line + draw(gap) * tile
    x0, y0 = draw(gap), draw(gap)
    room = y0 + planes * y_plane
    code = table(planes, *output, tile, x0, x_plane, x_line, *image, *sizes, *strides, *before, y0, y_plane, y_line,
                 draw(st.integers(0, 1 if halve else 2)), room)
    x = floats(draw, dtype, x0 + planes * x_plane, elements=plain)
    return code, 1, x, np.ones(room + image[1] * tile, dtype)


def live(draw, rows, most):
    """first (rows + 1,): some weights for each row, for many none; and how many in all."""
    counts = draw(st.lists(st.sampled_from([0, 0, 1, 2, 9]), min_size=rows, max_size=rows))
    return np.concatenate([[0], np.cumsum(np.minimum(counts, most))])


def integers(draw, count, below):
    """So many indices."""
    return draw(arrays(np.uint32, int(count), elements=st.integers(0, max(below - 1, 0))))


def numbers(draw, dtype, weights, units, padded=None):
    """(weights, value): so many weights behind one that is not read, floats or whole numbers; behind another number the
    biases of all units, then their scales."""
    kinds = [floats(draw, dtype, weights + 1, elements=plain),
             draw(arrays(np.int8, int(weights) + 1, elements=st.integers(-3, 3)))]
    return kinds[draw(st.booleans())], floats(draw, dtype, 1 + units + (padded or units), elements=plain)


@st.composite
def plane_steps(draw, dtype, together):
    """Sums of runs, for so many planes together; if there are six, all of them read the same starts."""
    groups, lines, run = draw(size), draw(size), RUN * draw(st.integers(1, 3))
    planes, run = groups * together, run - HALF * (together == 1 and draw(st.booleans()))
    first, x_line, width = live(draw, groups, 9), draw(few), draw(few)
    if together == DENSE_PLANES:
        first = np.array([draw(st.integers(0, 9))])  # of each group
    start = integers(draw, first[-1], width)
    x0, y0, y_line = draw(gap), draw(gap), run + draw(gap)
    y_plane = lines * y_line + draw(gap)
    weights = together * first[-1] * (groups if together == DENSE_PLANES else 1)
    place, after = (first[0], 1) if together == DENSE_PLANES else (1, 1 + len(first))
    code = table(planes, lines, run, x0, x_line, y0, y_plane, y_line, place, after, 1, 1, planes + 1)
    index = np.concatenate([[3], [] if together == DENSE_PLANES else first, start]).astype(np.uint32)
    x = floats(draw, dtype, x0 + lines * x_line + width + run, elements=plain)
    arguments = index, *numbers(draw, dtype, weights, planes), x
    return code, 1, *arguments, *[np.ones(y0 + planes * y_plane, dtype) for _ in range(together)]


@st.composite
def row_steps(draw, dtype, rows, columns):
    """One sample: blocks of rows x columns weights, by inputs; rows of 0 mean a weight that is dense."""
    x0, y0, units, groups = draw(gap), draw(gap), draw(st.integers(1, 20)), draw(gap)
    if rows == 1:
        groups = MASK_INPUTS * min(groups, 2)
    wide = -(-units // columns)
    inputs, first = groups * (rows or 4), live(draw, groups, wide)
    parts = [[5], integers(draw, inputs, inputs), first, columns * integers(draw, first[-1], wide)]
    places = np.cumsum([len(part) for part in parts[:-1]])
    weights = rows * columns * first[-1] if rows else inputs * units
    code = table(x0, y0, units, inputs, *places, 1, 1, units + 1)
    both = numbers(draw, dtype, weights, units, wide * columns)
    x = floats(draw, dtype, x0 + inputs + 1, elements=plain)
    return code, 1, np.concatenate(parts).astype(np.uint32), *both, x, np.ones(y0 + wide * columns, dtype)


@st.composite
def n_m_rows(draw, dtype):
    """One sample: n of each four inputs."""
    x0, y0, units, fours, n = draw(gap), draw(gap), draw(few), draw(st.integers(0, 20)), draw(st.integers(1, 4))
    words = -(-fours // (32 // (2 * n))) * units
    index = np.concatenate([integers(draw, 4 * fours, 40), draw(arrays(np.uint32, words))])
    code = table(x0, y0, units, 4 * fours, 0, n, 4 * fours, 1, 1, units + 1)
    both = numbers(draw, dtype, fours * n * units, units)
    return code, 1, index, *both, floats(draw, dtype, x0 + 40, elements=plain), np.ones(y0 + units, dtype)


def drawn_program(draw, dtype, tile):
    """A random net's program for tiles of so many rows, three rows, and an array for their logits."""
    model = draw(compiled_models(dtype))
    nodes = graph(model, draw(st.booleans()))
    chosen = kernels_of([draw(st.sampled_from(KERNELS)) for node in nodes if isinstance(node, LinearNode)], nodes, tile)
    program = emit(nodes, chosen, tile, np.dtype(dtype))
    return program, random_input(model, rows=3).reshape(3, -1), np.empty((3, program.outputs), dtype)


@st.composite
def programs(draw, dtype):
    """A random net's program for single rows, or for tiles."""
    tile = draw(st.sampled_from([1, HALF, RUN]))
    program, X, out = drawn_program(draw, dtype, tile)
    return program.code, *program.numbers, X, 1, 3, tile, program.workspace(), out, program.steps


@st.composite
def tables(draw, dtype):
    """One for single rows, by the addresses of its arrays."""
    program, X, out = drawn_program(draw, dtype, 1)
    reference_runtime.NAMED[:] = program, program.workspace()
    return program.table(reference_runtime.NAMED[1]), X, 1, 3, out


@st.composite
def shared_programs(draw, dtype):
    """One tile, its steps in tasks that need all before them, by one thread: that which wants the result or another."""
    code, *numbers, X, row, _, tile, work, out, steps = draw(programs(dtype))
    rows = np.ones((1, 1), dtype)
    program = address_of(run_program, (code, *numbers, rows, 0, 0, 0, rows[0], rows, steps))
    edges = sorted({0, len(code), *draw(st.lists(st.integers(0, len(code)), max_size=3))})
    tasks = np.array([(first, last, i, row, row + 1, tile) for i, (first, last) in enumerate(pairwise(edges))])
    counters, begun, patience = np.zeros(2, np.int64), np.ones(1, np.int64), draw(st.sampled_from([0, 3]))
    return tasks, counters, begun, patience, code, tuple(numbers), X, work, out, np.zeros(len(tasks)), program, steps


def logits(code, index, weights, value, X, row, stop, tile, work, out, steps):
    """What a program is run for."""
    return [out[row:stop]]


def shared_logits(tasks, counters, begun, patience, code, numbers, X, work, out, totals, program, steps):
    """The same, of the rows that were asked for."""
    return [out[tasks[0, ROW] : tasks[0, STOP]]]


RUNTIME_CASES = {
    "load_rows": Case(loads, exact=True),
    "store_rows": Case(stores, exact=True),
    "scale_rows": Case(raw_rows),
    "copy": Case(copies, exact=True),
    "clear": Case(stretches, exact=True),
    "add": Case(additions),
    "multiply": Case(products),
    "affine": Case(affines),
    "standardise": Case(parts, writes=2, means=lambda code, at, value, y, sums: [y]),
    "activate": Case(lambda dtype: stretches(dtype, lambda draw: (draw(st.integers(0, 4)), 1), value=3)),
    "activate_other": Case(lambda dtype: stretches(dtype, lambda draw: (draw(st.integers(5, 13)), 1), value=3)),
    "pool_tile": Case(lambda dtype: pools(dtype)),
    "halve_image": Case(lambda dtype: pools(dtype, 1, halve=True), means=lambda code, at, x, y: [y[: code[1, 20]]]),
    "pool_image": Case(lambda dtype: pools(dtype, 1), means=lambda code, at, x, y: [y[: code[1, 20]]]),
    "sparse_planes": Case(lambda dtype: plane_steps(dtype, 1)),
    "block_planes": Case(lambda dtype: plane_steps(dtype, BLOCK_PLANES), writes=BLOCK_PLANES),
    "dense_planes": Case(lambda dtype: plane_steps(dtype, DENSE_PLANES), writes=DENSE_PLANES),
    "sparse_row": Case(lambda dtype: row_steps(dtype, 1, 1)),
    "block_row": Case(lambda dtype: row_steps(dtype, 4, BLOCK_PLANES)),
    "n_m_row": Case(n_m_rows),
    "dense_row": Case(lambda dtype: row_steps(dtype, 0, 1)),
    "run_program": Case(programs, writes=3, means=logits),
    "run_at": Case(tables, means=lambda table, X, row, stop, out: [out[row:stop]]),
    "run_shared": Case(shared_programs, writes=5, means=shared_logits),
}
