"""How the arguments of the kernels that make many steps in one call are drawn (see kernel_cases.py).

A case is one step: behind it a sum that is 0 but for its rounding may be on either side of a ReLU. That many steps are
as many single ones is for test_training.py to say.
"""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import Case, chains, eighths, flags, floats, plain
from sparse_cases import chains as sparse_chains

from minnet.fast.mlp import mlp_workspace
from minnet.kernels.mlp.small_batch import BLOCK, shared_room
from minnet.kernels.mlp.sparse import sparse_chain_room
from minnet.kernels.sparse.spmm import VECTOR, lanes_of

SGD_ROW = [0.1, 0.5, 0.0, 0.01, 1.0, 0.0, 0.0]
NESTEROV_ROW = [0.1, 0.9, 1.0, 0.0, 0.9, 0.0, 0.0]
ADAM_ROW = [0.1, 0.5, 0.9, 0.01, 0.5, 0.01, 0.9]


@st.composite
def moves(draw, dtype, size=None, least=1):
    """(plan, row, mask, grads, values, vectors) of one step over the whole vector; at least so many are trained."""
    size = draw(st.integers(1, 40)) if size is None else size
    row = draw(st.sampled_from([SGD_ROW, NESTEROV_ROW, ADAM_ROW]))
    trained, slots = draw(st.integers(least, size)), 2 if row is ADAM_ROW else 1
    vectors = np.abs(floats(draw, dtype, slots, trained, elements=plain))
    plan = np.array([draw(st.integers(1, 6)), draw(st.integers(0, 3)), slots, draw(st.integers(1, 3)),
                     draw(st.integers(0, size))])
    grads = floats(draw, dtype, draw(st.integers(1, 3)), size, elements=plain)
    return plan, np.array(row), flags(draw, size), grads, floats(draw, dtype, size, elements=plain), vectors


@st.composite
def one_window(draw, dtype):
    plan, row, mask, grads, values, vectors = draw(moves(dtype))
    low = draw(st.integers(0, vectors.shape[1]))
    return low, plan, row, mask, grads[:, low : draw(st.integers(low, vectors.shape[1]))], values, vectors


@st.composite
def one_step(draw, dtype, sparse, shared=False):
    """A batch that may be the epoch's last and short, for one to three threads, of which some may get nothing."""
    if sparse:
        table, *places, values = draw(sparse_chains(dtype, shared, 0 if shared else 2))
        widths, net = [int(table[0, 0]), *table[:, 1].tolist()], (table, *places)
    else:
        widths, starts, values = draw(chains(dtype))
        net = widths, starts, draw(st.booleans())
        widths = widths.tolist()
    least = len(values) if shared else 1 if sparse else widths[0] * widths[1]
    plan, row, mask, grads, _, vectors = draw(moves(dtype, len(values), least))
    grads[:] = 0  # also where no layer has anything
    vectors[1:] += 1  # where it is 0, Adam divides by the root of what the gradient is rounded by
    X = floats(draw, dtype, draw(st.integers(1, 5)), widths[0], elements=st.just(0.0) | eighths)  # as the weights
    y = draw(arrays(np.int64, len(X), elements=st.integers(0, widths[-1] - 1)))
    rows = int(plan[1]) + draw(st.integers(1, 9))
    order = draw(arrays(np.int64, rows, elements=st.integers(0, len(X) - 1)))
    most, shards = int(plan[0]), len(grads)
    assert lanes_of(most) < VECTOR
    given, behind = (X, y, order, plan, *net, row[None], mask), (np.zeros((1, most)), grads, values, vectors)
    if shared:
        room = np.zeros((1, shared_room(most, lanes_of(most), widths, int(plan[3]))), dtype)
        behind = behind[0], np.zeros((int(plan[3]), BLOCK), dtype), values, vectors
        return *given, np.zeros(2, np.int64), room, np.zeros((1, most), np.int32), *behind
    me, turn = draw(st.integers(0, shards - 1)), np.zeros(shards + 1, np.int64)
    if sparse:
        work = np.zeros((shards, sparse_chain_room(most, widths)), dtype), np.zeros((shards, most), np.int32)
        return me, *given, turn, *work, *behind
    plan[2] = draw(st.sampled_from([0, plan[2]]))
    return me, *given, turn, mlp_workspace(most, shards, widths, dtype), *behind


def results(turn, *arguments):
    """The losses, the values, the vectors; and who did what."""
    return turn, arguments[-4], arguments[-2], arguments[-1]


def dense_results(*arguments):
    """The same; and the gradient, where nothing else is wanted."""
    plan, grads = arguments[4], arguments[-3]
    return *results(arguments[10], *arguments), (grads.sum(axis=0) if plan[2] == 0 else np.zeros(0))


STEPS_CASES = {
    "move_window": Case(one_window, writes=2),
    "chain_steps": Case(lambda dtype: one_step(dtype, sparse=False), writes=6, means=dense_results),
    "sparse_chain_steps": Case(lambda dtype: one_step(dtype, sparse=True), writes=7,
                               means=lambda *arguments: results(arguments[10], *arguments)),
    "shared_layer_steps": Case(lambda dtype: one_step(dtype, sparse=True, shared=True), writes=7,
                               means=lambda *arguments: results(arguments[9], *arguments)),
}
