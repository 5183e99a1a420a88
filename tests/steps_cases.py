"""How the arguments of the kernels that make many steps in one call are drawn (see kernel_cases.py).

A case is one step: behind it a sum that is 0 but for its rounding may be on either side of a ReLU. That many steps are
as many single ones is for test_training.py to say.
"""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import Case, chains, eighths, flags, floats, plain
from sparse_cases import chains as sparse_chains

from minnet.kernels.mlp.multi_step import (
    PLAN_COLUMNS,
    ZERO_BLOCKS,
    Data,
    MlpWorkspace,
)
from minnet.kernels.mlp.small_batch import STEP_BLOCK, small_batch_workspace
from minnet.kernels.mlp.sparse import OUTS, sparse_mlp_workspace
from minnet.kernels.mlp.zero_blocks import BLOCK_COLUMNS, SLAB_COLUMNS, slabs_of
from minnet.kernels.sparse.spmm import VECTOR, padded_batch
from minnet.kernels.steps import ADAM_STEP, LION_STEP, SGD_STEP

SGD_ROW = [0.1, 0.5, 0.0, 0.01, 1.0, 0.0, 0.0]
NESTEROV_ROW = [0.1, 0.9, 1.0, 0.0, 0.9, 0.0, 0.0]
ADAM_ROW = [0.1, 0.5, 0.9, 0.01, 0.5, 0.01, 0.9]
LION_ROW = [0.1, 0.5, 0.75, 0.25, 0.5, 0.0, 0.0]


@st.composite
def moves(draw, dtype, size=None, least=1, lion=True):
    """(plan, settings, mask, grads, values, vectors) of one step over the whole vector; at least so many are trained.

    Without `lion`, steps that are smooth in the gradient: the sign of a sum that is 0 but for rounding is not.
    """
    size = draw(st.integers(1, 40)) if size is None else size
    rows = [(SGD_ROW, SGD_STEP), (NESTEROV_ROW, SGD_STEP), (ADAM_ROW, ADAM_STEP)] + lion * [(LION_ROW, LION_STEP)]
    row, step = draw(st.sampled_from(rows))
    trained, slots = draw(st.integers(least, size)), 2 if step == ADAM_STEP else 1
    elements = eighths if step == LION_STEP else plain
    vectors = np.abs(floats(draw, dtype, slots, trained, elements=elements))
    plan = np.array([draw(st.integers(1, 6)), draw(st.integers(0, 3)), step, draw(st.integers(1, 3)),
                     draw(st.integers(0, size)), 0])
    assert len(plan) == PLAN_COLUMNS
    grads = floats(draw, dtype, draw(st.integers(1, 3)), size, elements=elements)
    return plan, np.array(row), flags(draw, size), grads, floats(draw, dtype, size, elements=elements), vectors


@st.composite
def one_window(draw, dtype):
    plan, row, mask, grads, values, vectors = draw(moves(dtype))
    low = draw(st.integers(0, vectors.shape[1]))
    return low, plan, row, mask, grads[:, low : draw(st.integers(low, vectors.shape[1]))], values, vectors


def mlp_workspace(rows, shards, widths, dtype):
    """Scratch of `mlp_steps`."""
    blocks, share = -(-widths[0] // BLOCK_COLUMNS), -(-rows // shards) * sum(widths[1:])
    return MlpWorkspace(
        np.zeros((blocks, rows), np.int32), np.zeros(blocks * rows * BLOCK_COLUMNS, dtype),
        np.zeros(blocks + rows, np.int32), np.zeros((shards + 1, rows, widths[1]), dtype),
        np.zeros(slabs_of(widths[1]) * rows * SLAB_COLUMNS, dtype), np.zeros((2, shards, share), dtype),
        np.zeros((shards, (BLOCK_COLUMNS + rows) * SLAB_COLUMNS), dtype))


@st.composite
def one_step(draw, dtype, sparse, small=False):
    """A batch that may be the epoch's last and short, for one to three threads, of which some may get nothing.

    Tuples are without names, as `minnet.fast` gives them: with names the kernels would be compiled a second time, each
    for half a minute.
    """
    if sparse:
        net, values = draw(sparse_chains(dtype, small, 0 if small else 2))
        widths = [int(net.table[0, 0]), *net.table[:, OUTS].tolist()]
    else:
        net, values = draw(chains(dtype))
        widths = net.widths.tolist()
    least = len(values) if small else 1 if sparse else widths[0] * widths[1]
    plan, row, mask, grads, _, vectors = draw(moves(dtype, len(values), least, lion=False))
    plan[ZERO_BLOCKS] = not sparse and draw(st.booleans())
    grads[:] = 0  # also where no layer has anything
    vectors[1:] += 1  # where it is 0, Adam divides by the root of what the gradient is rounded by
    X = floats(draw, dtype, draw(st.integers(1, 5)), widths[0], elements=st.just(0.0) | eighths)  # as the weights
    y = draw(arrays(np.int64, len(X), elements=st.integers(0, widths[-1] - 1)))
    rows = int(plan[1]) + draw(st.integers(1, 9))
    data = Data(X, y, draw(arrays(np.int64, rows, elements=st.integers(0, len(X) - 1))))
    most, shards = int(plan[0]), len(grads)
    assert padded_batch(most) < VECTOR
    given, losses = (tuple(data), plan, tuple(net), row[None], mask), np.zeros((1, most))
    if small:
        size = small_batch_workspace(most, padded_batch(most), widths, int(plan[3]))
        workspace = np.zeros((1, size), dtype), np.zeros((1, most), np.int32)
        grads = np.zeros((int(plan[3]), STEP_BLOCK), dtype)
        return *given, np.zeros(2, np.int64), workspace, losses, grads, values, vectors
    shard, progress = draw(st.integers(0, shards - 1)), np.zeros(shards + 1, np.int64)
    if sparse:
        numbers = np.zeros((shards, sparse_mlp_workspace(most, widths)), dtype)
        workspace = numbers, np.zeros((shards, most), np.int32)
    else:
        given = tuple(data), plan, tuple(net), row[None] if draw(st.booleans()) else None, mask
        workspace = tuple(mlp_workspace(most, shards, widths, dtype))
    return shard, *given, progress, workspace, losses, grads, values, vectors


def results(*arguments):
    """The losses, the values, the vectors; and which tasks were done."""
    return arguments[-6], arguments[-4], arguments[-2], arguments[-1]


def dense_results(*arguments):
    """The same; and the gradient, where no step is made."""
    settings, grads = arguments[4], arguments[-3]
    return *results(*arguments), (grads.sum(axis=0) if settings is None else np.zeros(0))


STEPS_CASES = {
    "step_window": Case(one_window, writes=2),
    "mlp_steps": Case(lambda dtype: one_step(dtype, sparse=False), writes=6, means=dense_results),
    "sparse_mlp_steps": Case(lambda dtype: one_step(dtype, sparse=True), writes=6, means=results),
    "small_batch_steps": Case(lambda dtype: one_step(dtype, sparse=True, small=True), writes=6, means=results),
}
