"""The compiled interpreter of a frozen net's program: one call from Python runs all its steps (see ops.py)."""
import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.program.moments import standardise
from minnet.kernels.program.ops import (
    OPERANDS,
    activate,
    activate_other,
    add,
    affine,
    clear,
    copy,
    halve_image,
    load_rows,
    multiply,
    pool_image,
    pool_tile,
    store_rows,
)
from minnet.kernels.program.planes import BLOCK_PLANES, DENSE_PLANES, block_planes, dense_planes, sparse_planes
from minnet.kernels.program.rows import block_row, dense_row, n_m_row, sparse_row
from minnet.kernels.simd.addresses import address_of, array_at, call_at, table_of
from minnet.kernels.simd.atomics import fetch_add, load_acquire, spin_until, spin_while_equal

# Opcodes: the first column of the table of steps. Those of linear layers on one row are adjacent.
LOAD, STORE, COPY, CLEAR, ACTIVATE, DENSE, BLOCK, SPARSE, DENSE_ROW, BLOCK_ROW, N_M_ROW, SPARSE_ROW = range(12)
ACTIVATE_OTHER, ADD, AFFINE, POOL_TILE, POOL_IMAGE, HALVE_IMAGE, MULTIPLY, STANDARDISE = range(12, 20)
CHAIN = range(12)  # those that a chain of dense layers and common activations has

TAKEN, DONE = 0, 1  # the entries of `counters`: tasks that a thread has begun, and those that are done
# The columns of `tasks`: the range of steps, how many tasks must be done before, the range of rows, samples of a tile.
FIRST, LAST, NEEDS, ROW, STOP, TILE = range(6)
TASK_COLUMNS = 6


# The kernel of each step, and the arguments behind (code, at) that it is called with.
LINEAR, IN_PLACE, OTHER_PLACE = "index weights value work work", "value work", "work work"
STEPS = {
    LOAD: (load_rows, "index X begin count work"), STORE: (store_rows, "index work begin count X"),
    COPY: (copy, OTHER_PLACE), CLEAR: (clear, "work"), ACTIVATE: (activate, IN_PLACE),
    DENSE: (dense_planes, LINEAR + " work" * (DENSE_PLANES - 1)),
    BLOCK: (block_planes, LINEAR + " work" * (BLOCK_PLANES - 1)), SPARSE: (sparse_planes, LINEAR),
    DENSE_ROW: (dense_row, LINEAR), BLOCK_ROW: (block_row, LINEAR), N_M_ROW: (n_m_row, LINEAR),
    SPARSE_ROW: (sparse_row, LINEAR), ACTIVATE_OTHER: (activate_other, IN_PLACE), ADD: (add, OTHER_PLACE),
    AFFINE: (affine, IN_PLACE), POOL_TILE: (pool_tile, OTHER_PLACE), POOL_IMAGE: (pool_image, OTHER_PLACE),
    HALVE_IMAGE: (halve_image, OTHER_PLACE), MULTIPLY: (multiply, OTHER_PLACE),
    STANDARDISE: (standardise, "value work work"),
}


N_STEPS = len(STEPS)


def step_addresses(code, index, weights, value):
    """Return the address of the kernel of each step that `code` has, at its opcode: (opcodes,) int64, else 0.

    A program compiles the steps that it has, once for all programs. With NUMBA_DISABLE_JIT=1 the array has functions.
    """
    grid = value.reshape(1, -1)  # of the type of X and of `out`
    named = {"index": index, "weights": weights, "value": value, "work": value, "X": grid, "begin": 0, "count": 0}
    addresses = [0] * N_STEPS
    for step in np.unique(code[:, 0]).tolist():
        function, arguments = STEPS[step]
        addresses[step] = address_of(function, (code, 0, *(named[name] for name in arguments.split())))
    return table_of(addresses)


@kernel
def run_program(code, index, weights, value, X, row, stop, tile, work, out, steps):
    """Run all steps of `code` on rows row, ..., stop - 1 of X (n, features), `tile` at a time; logits to `out`.

    The arrays are those of ops.py; steps: see `step_addresses`. Returns the sum of all samples that were loaded and of
    all logits: NaN or infinite if one of them holds such a number.
    """
    total = X.dtype.type(0)
    for begin in range(row, stop, tile):
        count = min(tile, stop - begin)
        for at in range(code.shape[0]):
            # `work` is both x and y of a step, and each y of the steps with several planes
            step = code[at, 0]
            do = steps[step]
            if step == SPARSE or (DENSE_ROW <= step and step <= SPARSE_ROW):
                call_at(do, None, (code, at, index, weights, value, work, work))
            elif step == BLOCK:
                call_at(do, None, (code, at, index, weights, value, work, work, work, work, work))
            elif step == DENSE:
                call_at(do, None, (code, at, index, weights, value, work, work, work, work, work, work, work))
            elif step == ACTIVATE or step == ACTIVATE_OTHER or step == AFFINE:
                call_at(do, None, (code, at, value, work))
            elif step == LOAD:
                total += call_at(do, total, (code, at, index, X, begin, count, work))
            elif step == STORE:
                total += call_at(do, total, (code, at, index, work, begin, count, out))
            elif step == CLEAR:
                call_at(do, None, (code, at, work))
            elif step == STANDARDISE:
                call_at(do, None, (code, at, value, work, work))
            else:
                call_at(do, None, (code, at, work, work))
    return total


# The entries of the table that `run_at` takes: addresses of the program and its arrays, and the sizes of these.
PROGRAM, CODE, INDEX, WEIGHTS, VALUE, WORK, ADDRESSES, N_CODE, N_INDEX, N_WEIGHTS, N_VALUE, N_WORK, WEIGHT = range(13)


@kernel
def run_at(table, X, row, stop, out):
    """Run a program as `run_program` does, one row at a time, with all that stays the same given by its address.

    table: (13,) int64, see PROGRAM, ...; WEIGHT is the size of a weight in bytes, and the rest are numbers of entries.
    """
    zero, float_size = X.dtype.type(0), X.itemsize
    code = array_at(table[CODE], (table[N_CODE] // OPERANDS, OPERANDS), np.uint32(0), 4)
    index = array_at(table[INDEX], (table[N_INDEX],), np.uint32(0), 4)
    weights = array_at(table[WEIGHTS], (table[N_WEIGHTS],), zero, table[WEIGHT])  # of floats or integers
    value = array_at(table[VALUE], (table[N_VALUE],), zero, float_size)
    work = array_at(table[WORK], (table[N_WORK],), zero, float_size)
    steps = array_at(table[ADDRESSES], (N_STEPS,), np.int64(0), 8)
    return call_at(table[PROGRAM], zero, (code, index, weights, value, X, row, stop, 1, work, out, steps))


@kernel
def run_shared(tasks, counters, begun, patience, code, numbers, X, work, out, totals, program, steps):
    """Run the tasks of a program on several threads, each of which makes this call.

    Tasks are whole tiles, where each thread has a `work` of its own, or parts of one tile in the same `work`. They are
    begun in order, and a thread waits only for tasks before its own, which others have begun: so the call ends with any
    number of threads, whenever they come, and with one. The thread that wants the result calls with patience = 0: it
    adds 1 to `begun`, and returns when all tasks are done. The others, when no task is left, spin until `begun` changes
    or for `patience` loads of it: they then join the next call at once, without the interpreter's lock.

    tasks: (m, TASK_COLUMNS) int64, see FIRST, ...; counters: (2,) int64, zeros, see TAKEN; begun: (1,) int64, the same
    array in all calls; numbers: (index, weights, value); totals: (m,), the sum that `run_program` returns for each
    task; program: the address of `run_program`; steps: see `step_addresses`.
    """
    index, weights, value = numbers
    seen = load_acquire(begun, 0) if patience else fetch_add(begun, 0)
    mine = fetch_add(counters, TAKEN)
    while mine < tasks.shape[0]:
        task = tasks[mine]
        spin_until(counters, DONE, task[NEEDS])
        totals[mine] = call_at(program, X.dtype.type(0), (code[task[FIRST] : task[LAST]], index, weights, value, X,
                                                          task[ROW], task[STOP], task[TILE], work, out, steps))
        fetch_add(counters, DONE)
        mine = fetch_add(counters, TAKEN)
    if patience:
        spin_while_equal(begun, 0, seen, patience)
    else:
        spin_until(counters, DONE, tasks.shape[0])
