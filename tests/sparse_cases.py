"""How the arguments of the kernels that train with live weights alone are drawn (see kernel_cases.py)."""

from itertools import pairwise

import numpy as np
import reference_sparse
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import Case, eighths, few, floats, plain, some
from scipy.sparse import csr_array

from minnet.kernels.mlp.sparse import SparseMlp, sparse_mlp_workspace
from minnet.kernels.sparse.spmm import padded_batch, whole_vectors
from minnet.kernels.sparse.topology import FINE, NEW

WIDE = [16, 32, 48, 64, 80, 128, 176]
FEW = [2, 4, 8]
lanes = st.sampled_from(FEW + WIDE)


@st.composite
def turned(draw, dtype, back=False):
    n, m = draw(st.integers(1, 40)), draw(few | st.integers(15, 40))
    rows, columns = np.empty((n, m), dtype), np.empty((m, padded_batch(n)), dtype)
    source, target = (columns, rows) if back else (rows, columns)
    return floats(draw, dtype, *source.shape), target


@st.composite
def positions(draw):
    """(index, inputs, outputs): sorted flat positions in a matrix; none, some or all of them."""
    inputs, outputs = draw(st.integers(1, 12)), draw(st.integers(1, 15))
    index = draw(st.sets(st.integers(0, inputs * outputs - 1)) | st.just(range(inputs * outputs)))
    return np.array(sorted(index), np.int64), inputs, outputs


def empty_csr(inputs, live):
    """Room for indptr and indices, of `flat_to_csr` and `csr_to_csc`."""
    return np.zeros(inputs + 1, np.int64), np.zeros(live, np.int32)


@st.composite
def found(draw, dtype):
    index, inputs, outputs = draw(positions())
    return index, outputs, *empty_csr(inputs, index.size)


@st.composite
def known(draw):
    """(indptr, indices, inputs, outputs)."""
    index, inputs, outputs = draw(positions())
    indptr, indices = empty_csr(inputs, index.size)
    reference_sparse.flat_to_csr(index, outputs, indptr, indices)
    return indptr, indices, inputs, outputs


@st.composite
def by_output(draw, dtype):
    indptr, indices, _, outputs = draw(known())
    return indptr, indices, *empty_csr(outputs, indices.size), np.zeros_like(indices)


places_of_20 = st.sets(st.integers(0, 19)).map(sorted)


@st.composite
def ranked(draw, dtype):
    ranks, taken = (np.array(draw(places_of_20), np.int64) for _ in range(2))
    return ranks, taken, np.zeros_like(ranks)


@st.composite
def moves(draw, dtype):
    """Mostly moves that can be made; sometimes places that are not live, or that are live already."""
    index = draw(places_of_20)
    drop = sorted(draw(st.sets(st.sampled_from(index)))) if index else []
    if draw(st.booleans()):
        drop = draw(places_of_20)[: len(index)]
    free = sorted(set(range(30)) - (set() if draw(st.integers(0, 3)) == 0 else set(index) - set(drop)))
    grow = sorted(draw(st.permutations(free))[: len(drop)])
    index, drop, grow = (np.array(places, np.int64) for places in (index, drop, grow))
    return index, drop, grow, np.zeros_like(index), np.zeros(index.size, np.int32), np.zeros(1, np.int64)


def what_can_be_made(*arguments):
    """The move, where it is one; else only that it is none: where both lists are wrong, either may be told."""
    return arguments[-3:] if arguments[-1][0] == FINE else [arguments[-1] != FINE]


@st.composite
def departures(draw, dtype):
    index = np.array(draw(places_of_20), np.int64)
    return index, draw(arrays(bool, index.size)), np.zeros_like(index), np.zeros(index.size, np.int32)


def who_stays(index, gone, kept, where):
    """What is said of those that do."""
    left = np.count_nonzero(~gone)
    return kept[:left], where[:left]


@st.composite
def renewals(draw, dtype):
    kept, ranks = (np.array(draw(places_of_20), np.int64) for _ in "kr")
    where, moved = np.arange(kept.size, dtype=np.int32) + draw(few), np.zeros(kept.size + ranks.size, np.int64)
    return kept, where, ranks, moved, np.zeros(moved.size, np.int32)


@st.composite
def carried(draw, dtype):
    before = floats(draw, dtype, draw(some))
    source = draw(arrays(np.int32, before.size, elements=st.integers(NEW, before.size - 1)))
    return source, before, dtype(0), np.empty_like(before)


def activations(draw, dtype, features, width):
    """By feature, with some features that are 0 for the whole batch."""
    x = floats(draw, dtype, features, width, elements=plain)
    x[draw(st.sets(st.integers(0, features - 1)).map(list))] = 0
    return x


@st.composite
def forward(draw, dtype):
    indptr, indices, inputs, outputs = draw(known())
    places, width = (*empty_csr(outputs, indices.size), np.zeros_like(indices)), draw(st.sampled_from(WIDE))
    reference_sparse.csr_to_csc(indptr, indices, *places)
    w, bias = floats(draw, dtype, indices.size, elements=plain), floats(draw, dtype, outputs, elements=plain)
    return *places, w, bias, activations(draw, dtype, inputs, width), np.empty((outputs, width), dtype)


@st.composite
def few_by_few(draw, dtype, kind):
    """Arguments of scatter_coo, gradient_coo and backward_coo: inputs and outputs in any order."""
    inputs, outputs, size = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(few)
    width = draw(st.sampled_from(FEW))
    rows, indices = (draw(arrays(np.int32, size, elements=st.integers(0, most - 1))) for most in (inputs, outputs))
    x, dy = (floats(draw, dtype, features, width, elements=plain) for features in (inputs, outputs))
    w, g = floats(draw, dtype, size, elements=plain), np.empty(size, dtype)
    return {"push": (rows, indices, w, x, dy), "gradient": (rows, indices, x, dy, g),
            "both": (rows, indices, w, x, dy, g, floats(draw, dtype, inputs, width, elements=plain))}[kind]


@st.composite
def input_lists(draw, dtype):
    indptr, indices, _, _ = draw(known())
    return indptr, np.zeros_like(indices)


@st.composite
def backward(draw, dtype, whole):
    indptr, indices, inputs, outputs = draw(known())
    width = draw(st.sampled_from(WIDE))
    x, dy = activations(draw, dtype, inputs, width), floats(draw, dtype, outputs, width, elements=plain)
    w, g = floats(draw, dtype, indices.size, elements=plain), np.empty(indices.size, dtype)
    return (indptr, indices, w, x, dy, g, np.empty_like(x)) if whole else (indptr, indices, x, dy, g)


@st.composite
def row_totals(draw, dtype):
    dy = floats(draw, dtype, draw(some), draw(lanes))
    return dy, np.empty(len(dy), dtype)


@st.composite
def row_choices(draw, dtype):
    X = floats(draw, dtype, draw(some), draw(few | st.integers(15, 40)))
    rows = draw(arrays(np.int64, st.integers(1, 40), elements=st.integers(0, len(X) - 1)))
    return X, rows, np.empty((X.shape[1], whole_vectors(rows.size)), dtype)


@st.composite
def convolutions(draw, dtype, kernel):
    """A window of live weights that slides over an image by feature, and never leaves it."""
    high, across, channels, filters = (draw(st.integers(1, 3)) for _ in "hwcf")  # of the window, then of the image
    stride, places = [draw(st.integers(1, 2)) for _ in "hw"], [draw(st.integers(1, 3)) for _ in "hw"]
    height, width = [(n - 1) * s + size for n, s, size in zip(places, stride, (high, across), strict=True)]
    window = [(u * width + v) * channels + c for u, v, c in np.ndindex(high, across, channels)]
    chosen = [sorted(draw(st.sets(st.sampled_from(window)))) for _ in range(filters)]
    indptr = np.cumsum([0, *map(len, chosen)]).astype(np.int64)
    taps = np.array([row for rows in chosen for row in rows], np.int32)
    lane, steps = draw(st.sampled_from(WIDE)), (stride[0] * width * channels, stride[1] * channels)
    x, w = activations(draw, dtype, height * width * channels, lane), floats(draw, dtype, taps.size, elements=plain)
    y = activations(draw, dtype, places[0] * places[1] * filters, lane).reshape(*places, filters, lane)
    return {"forward": (indptr, taps, w, floats(draw, dtype, filters, elements=plain), *steps, x, y),
            "gradient": (indptr, taps, *steps, x, y, w), "input": (indptr, taps, w, *steps, y, x)}[kernel]


@st.composite
def chains(draw, dtype, few=False, gaps=2):
    """(net, values): layers that are dense or have live weights, each behind a gap in the vector.

    Their positions are by output too, or for few rows by weight.
    """
    widths = draw(st.lists(st.integers(1, 7), min_size=2, max_size=4))
    table, indptrs, units, end = [], [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], 0
    for ins, outs in pairwise(widths):
        weight, live = end + draw(st.integers(0, gaps)), -1
        begins = sum(map(len, indptrs)), sum(map(len, units))
        if draw(st.booleans()):
            index = np.array(sorted(draw(st.sets(st.integers(0, ins * outs - 1)))), np.int64)
            live, (indptr, indices) = index.size, empty_csr(ins, index.size)
            reference_sparse.flat_to_csr(index, outs, indptr, indices)
            csc_indptr, csc_indices, csc_order = *empty_csr(outs, live), np.zeros_like(indices)
            reference_sparse.csr_to_csc(indptr, indices, csc_indptr, csc_indices, csc_order)
            indptrs += [indptr] if few else [indptr, csc_indptr]
            rows = np.repeat(np.arange(ins, dtype=np.int32), np.diff(indptr))
            units += [indices, rows] if few else [indices, csc_indices, csc_order]
        bias = weight + (ins * outs if live < 0 else live)
        table.append([ins, outs, weight, bias, live, *begins])
        end = bias + outs
    values = floats(draw, dtype, end, elements=eighths)  # exact sums: no ReLU hangs on how they are rounded
    return SparseMlp(np.array(table), np.concatenate(indptrs), np.concatenate(units)), values


@st.composite
def chain_passes(draw, dtype, backward):
    width = draw(st.sampled_from(WIDE))
    net, values = draw(chains(dtype))
    inputs, outputs = width * int(net.table[0, 0]), width * int(net.table[:, 1].sum())
    work = floats(draw, dtype, inputs + outputs, elements=plain)
    if not backward:
        return net, values, width, work
    deltas = floats(draw, dtype, outputs, elements=plain)
    return net, values, width, work, deltas, np.zeros_like(values)


@st.composite
def chain_gradients(draw, dtype):
    n = draw(st.integers(1, 30))
    net, values = draw(chains(dtype))
    values *= 0.5  # large weights make large logits, whose rounding the softmax then shows in all gradients
    X = floats(draw, dtype, draw(st.integers(1, 5)), net.table[0, 0], elements=eighths)
    y = draw(arrays(np.int64, len(X), elements=st.integers(0, int(net.table[-1, 1]) - 1)))
    rows = draw(arrays(np.int64, n, elements=st.integers(0, len(X) - 1)))
    work = np.zeros(sparse_mlp_workspace(n, [int(net.table[0, 0]), *net.table[:, 1].tolist()]), dtype)
    return (X, y, rows, net, values, dtype(0.5), work, np.zeros(n, np.int32), np.empty(n),
            np.zeros_like(values))


@st.composite
def data_rows(draw, dtype, kernel):
    """Rows of CSR data, in any order and repeated, and a matrix of weights or the live ones of it."""
    w_indptr, w_indices, inputs, outputs = draw(known())
    x = floats(draw, dtype, draw(some), inputs, elements=plain) * (floats(draw, dtype, inputs, elements=plain) > 0)
    found = csr_array(x)
    kind = draw(st.sampled_from([np.int32, np.int64]))
    rows = draw(arrays(np.int64, st.integers(0, 30), elements=st.integers(0, len(x) - 1)))
    data = found.data, found.indices.astype(kind), found.indptr.astype(kind), rows
    w, y = floats(draw, dtype, inputs, outputs, elements=plain), floats(draw, dtype, rows.size, outputs, elements=plain)
    live = floats(draw, dtype, w_indices.size, elements=plain)
    return {"forward": (*data, w, y), "backward": (*data, y, w), "forward live": (*data, w_indptr, w_indices, live, y),
            "backward live": (*data, w_indptr, w_indices, y, live)}[kernel]


@st.composite
def graphs(draw, scratch):
    """A bipartite graph, which outputs share inputs, weights of these pairs, and room for the sums of some inputs."""
    indptr, indices, inputs, outputs = draw(known())
    by_output = *empty_csr(outputs, indices.size), np.zeros_like(indices)
    reference_sparse.csr_to_csc(indptr, indices, *by_output)
    A = csr_array((np.ones(indices.size), indices, indptr), shape=(inputs, outputs))
    shared = csr_array(A.T @ A)
    first = draw(st.integers(0, inputs - 1))
    rows = draw(st.integers(1, inputs - first))
    work = np.zeros(inputs), *(np.zeros(outputs) for _ in range(scratch))
    return (first, indptr, indices, *by_output[:2], shared.indptr.astype(np.int64), shared.indices.astype(np.int32),
            draw(arrays(np.float64, shared.nnz, elements=st.integers(1, 8))) / 8, *work, np.empty((rows, outputs)))


SPARSE_CASES = {
    "rows_forward": Case(lambda dtype: data_rows(dtype, "forward")),
    "rows_backward": Case(lambda dtype: data_rows(dtype, "backward")),
    "rows_forward_live": Case(lambda dtype: data_rows(dtype, "forward live")),
    "rows_backward_live": Case(lambda dtype: data_rows(dtype, "backward live")),
    "to_feature_major": Case(turned, exact=True),
    "to_row_major": Case(lambda dtype: turned(dtype, back=True), exact=True),
    "row_sums": Case(row_totals),
    "flat_to_csr": Case(found, writes=2, exact=True),
    "csr_to_csc": Case(by_output, writes=3, exact=True),
    "free_positions": Case(ranked, exact=True),
    "keep_positions": Case(departures, writes=2, exact=True, means=who_stays),
    "merge_ranks": Case(renewals, writes=2, exact=True),
    "merge_moves": Case(moves, writes=3, exact=True, means=what_can_be_made),
    "permute": Case(carried, exact=True),
    "node_sums": Case(lambda dtype: graphs(0)),
    "path_sums": Case(lambda dtype: graphs(1)),
    "gather_csc": Case(forward),
    "gradient_csr": Case(lambda dtype: backward(dtype, whole=False)),
    "backward_csr": Case(lambda dtype: backward(dtype, whole=True), writes=2),
    "coo_rows": Case(input_lists, exact=True),
    "scatter_coo": Case(lambda dtype: few_by_few(dtype, "push")),
    "gradient_coo": Case(lambda dtype: few_by_few(dtype, "gradient")),
    "backward_coo": Case(lambda dtype: few_by_few(dtype, "both"), writes=2),
    "sparse_conv": Case(lambda dtype: convolutions(dtype, "forward")),
    "sparse_conv_gradient": Case(lambda dtype: convolutions(dtype, "gradient")),
    "sparse_conv_input": Case(lambda dtype: convolutions(dtype, "input")),
    "gather_features": Case(row_choices, exact=True),
    "sparse_mlp_forward": Case(lambda dtype: chain_passes(dtype, backward=False)),
    "sparse_mlp_backward": Case(lambda dtype: chain_passes(dtype, backward=True), writes=2),
    "sparse_mlp_gradient": Case(chain_gradients, writes=4, means=lambda *arguments: arguments[-2:]),
}
