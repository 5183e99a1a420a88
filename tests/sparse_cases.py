"""How the arguments of the kernels that train with live weights alone are drawn (see kernel_cases.py)."""

import numpy as np
import reference_sparse
from hypothesis import strategies as st
from kernel_cases import Case, few, floats, plain, some

from minnet.kernels.sparse_train import lanes_of

WIDE = [16, 32, 48, 64, 80, 128, 176]
FEW = [2, 4, 8]
lanes = st.sampled_from(FEW + WIDE)


@st.composite
def turned(draw, dtype, back=False):
    n, m = draw(st.integers(1, 40)), draw(few)
    rows, columns = np.empty((n, m), dtype), np.empty((m, lanes_of(n)), dtype)
    source, target = (columns, rows) if back else (rows, columns)
    return floats(draw, dtype, *source.shape), target


@st.composite
def positions(draw):
    """(index, inputs, outputs): sorted flat positions in a matrix; none, some or all of them."""
    inputs, outputs = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    index = draw(st.sets(st.integers(0, inputs * outputs - 1)) | st.just(range(inputs * outputs)))
    return np.array(sorted(index), np.int64), inputs, outputs


def empty_places(inputs, live):
    """Room for what `find_places` and `turn_places` find."""
    return np.zeros(inputs + 1, np.int64), np.zeros(live, np.int32)


@st.composite
def found(draw, dtype):
    index, inputs, outputs = draw(positions())
    return index, outputs, *empty_places(inputs, index.size)


@st.composite
def known(draw):
    """(first, unit, inputs, outputs)."""
    index, inputs, outputs = draw(positions())
    first, unit = empty_places(inputs, index.size)
    reference_sparse.find_places(index, outputs, first, unit)
    return first, unit, inputs, outputs


@st.composite
def by_output(draw, dtype):
    first, unit, _, outputs = draw(known())
    return first, unit, *empty_places(outputs, unit.size), np.zeros_like(unit)


def activations(draw, dtype, features, width):
    """By feature, with some features that are 0 for the whole batch."""
    x = floats(draw, dtype, features, width, elements=plain)
    x[draw(st.sets(st.integers(0, features - 1)).map(list))] = 0
    return x


@st.composite
def forward(draw, dtype, pull):
    first, unit, inputs, outputs = draw(known())
    width = draw(st.sampled_from(WIDE if pull else FEW))
    w, bias = floats(draw, dtype, unit.size, elements=plain), floats(draw, dtype, outputs, elements=plain)
    places = first, unit
    if pull:
        places = *empty_places(outputs, unit.size), np.zeros_like(unit)
        reference_sparse.turn_places(first, unit, *places)
    return *places, w, bias, activations(draw, dtype, inputs, width), np.empty((outputs, width), dtype)


@st.composite
def backward(draw, dtype, whole):
    first, unit, inputs, outputs = draw(known())
    width = draw(lanes)
    x, dy = activations(draw, dtype, inputs, width), floats(draw, dtype, outputs, width, elements=plain)
    w, g = floats(draw, dtype, unit.size, elements=plain), np.empty(unit.size, dtype)
    return (first, unit, w, x, dy, g, np.empty_like(x)) if whole else (first, unit, x, dy, g)


@st.composite
def row_totals(draw, dtype):
    dy = floats(draw, dtype, draw(some), draw(lanes))
    return dy, np.empty(len(dy), dtype)


SPARSE_CASES = {
    "by_feature": Case(turned, exact=True),
    "by_row": Case(lambda dtype: turned(dtype, back=True), exact=True),
    "row_sums": Case(row_totals),
    "find_places": Case(found, writes=2, exact=True),
    "turn_places": Case(by_output, writes=3, exact=True),
    "pull_live": Case(lambda dtype: forward(dtype, pull=True)),
    "push_live": Case(lambda dtype: forward(dtype, pull=False)),
    "live_gradient": Case(lambda dtype: backward(dtype, whole=False)),
    "live_backward": Case(lambda dtype: backward(dtype, whole=True), writes=2),
}
