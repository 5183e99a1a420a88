"""The compiled interpreter of a frozen net's program: one call from Python runs all its steps (see ops.py)."""
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.program.moments import standardise
from minnet.kernels.program.ops import (
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
from minnet.kernels.program.planes import block_planes, dense_planes, sparse_planes
from minnet.kernels.program.rows import block_row, dense_row, n_m_row, sparse_row
from minnet.kernels.simd.atomics import fetch_add, load_acquire, spin_until, spin_while_equal

# Opcodes: the first column of the table of steps. Those from OTHERS on are not those of a plain chain of linear layers.
LOAD, STORE, COPY, CLEAR, ACTIVATE, DENSE, BLOCK, SPARSE, DENSE_ROW, BLOCK_ROW, N_M_ROW, SPARSE_ROW = range(12)
OTHERS = 12
ACTIVATE_OTHER, ADD, AFFINE, POOL_TILE, POOL_IMAGE, HALVE_IMAGE, MULTIPLY, STANDARDISE = range(OTHERS, OTHERS + 8)

TAKEN, DONE = 0, 1  # the entries of `counters`: tasks that a thread has begun, and those that are done
# The columns of `tasks`: the range of steps, how many tasks must be done before, the range of rows, samples of a tile.
FIRST, LAST, NEEDS, ROW, STOP, TILE = range(6)
TASK_COLUMNS = 6


@kernel
def run_program(code, index, weights, value, X, row, stop, tile, work, out):
    """Run all steps of `code` on rows row, ..., stop - 1 of X (n, features), `tile` at a time; logits to `out`.

    The arrays are those of ops.py. Returns the sum of all samples that were loaded and of all logits: NaN or infinite
    if one of them holds such a number.
    """
    return run_steps(code, index, weights, value, X, row, stop, tile, work, out, True)


@kernel
def run_chain(code, index, weights, value, X, row, stop, tile, work, out):
    """Do the same for a plain chain, which has no step from OTHERS on: without them it is compiled in half the time."""
    return run_steps(code, index, weights, value, X, row, stop, tile, work, out, None)


@register_jitable
def run_steps(code, index, weights, value, X, row, stop, tile, work, out, others):
    """Run all steps as `run_program` does; others: None where no step is OTHERS or above, else True."""
    total = X.dtype.type(0)
    for begin in range(row, stop, tile):
        count = min(tile, stop - begin)
        for at in range(code.shape[0]):
            # Ordered by how much a step costs: the chain of comparisons is short where the time goes. `work` is both x
            # and y of a step, and each y of the steps with several planes.
            step = code[at, 0]
            if step == SPARSE:
                sparse_planes(code, at, index, weights, value, work, work)
            elif step == BLOCK:
                block_planes(code, at, index, weights, value, work, work, work, work, work)
            elif step == DENSE:
                dense_planes(code, at, index, weights, value, work, work, work, work, work, work, work)
            elif step == SPARSE_ROW:
                sparse_row(code, at, index, weights, value, work, work)
            elif step == BLOCK_ROW:
                block_row(code, at, index, weights, value, work, work)
            elif step == N_M_ROW:
                n_m_row(code, at, index, weights, value, work, work)
            elif step == DENSE_ROW:
                dense_row(code, at, index, weights, value, work, work)
            elif step == ACTIVATE:
                activate(code, at, value, work)
            elif step == COPY:
                copy(code, at, work, work)
            elif step == CLEAR:
                clear(code, at, work)
            elif step == LOAD:
                total += load_rows(code, at, index, X, begin, count, work)
            elif step == STORE:
                total += store_rows(code, at, index, work, begin, count, out)
            elif others is not None:
                run_other(step, code, at, value, work)
    return total


@register_jitable
def run_other(step, code, at, value, work):
    """Run a step whose opcode is OTHERS or above."""
    if step == POOL_TILE:
        pool_tile(code, at, work, work)
    elif step == HALVE_IMAGE:
        halve_image(code, at, work, work)
    elif step == POOL_IMAGE:
        pool_image(code, at, work, work)
    elif step == AFFINE:
        affine(code, at, value, work)
    elif step == ACTIVATE_OTHER:
        activate_other(code, at, value, work)
    elif step == ADD:
        add(code, at, work, work)
    elif step == MULTIPLY:
        multiply(code, at, work, work)
    elif step == STANDARDISE:
        standardise(code, at, value, work, work)


@kernel
def run_shared(tasks, counters, begun, patience, code, numbers, X, work, out, totals, others):
    """Run the tasks of a program on several threads, each of which makes this call.

    Tasks are whole tiles, where each thread has a `work` of its own, or parts of one tile in the same `work`. They are
    begun in order, and a thread waits only for tasks before its own, which others have begun: so the call ends with any
    number of threads, whenever they come, and with one. The thread that wants the result calls with patience = 0: it
    adds 1 to `begun`, and returns when all tasks are done. The others, when no task is left, spin until `begun` changes
    or for `patience` loads of it: they then join the next call at once, without the interpreter's lock.

    tasks: (m, TASK_COLUMNS) int64, see FIRST, ...; counters: (2,) int64, zeros, see TAKEN; begun: (1,) int64, the same
    array in all calls; numbers: (index, weights, value); totals: (m,), the sum that `run_steps` returns for each task.
    """
    index, weights, value = numbers
    seen = load_acquire(begun, 0) if patience else fetch_add(begun, 0)
    mine = fetch_add(counters, TAKEN)
    while mine < tasks.shape[0]:
        task = tasks[mine]
        spin_until(counters, DONE, task[NEEDS])
        totals[mine] = run_steps(code[task[FIRST] : task[LAST]], index, weights, value, X, task[ROW], task[STOP],
                                 task[TILE], work, out, others)
        fetch_add(counters, DONE)
        mine = fetch_add(counters, TAKEN)
    if patience:
        spin_while_equal(begun, 0, seen, patience)
    else:
        spin_until(counters, DONE, tasks.shape[0])
