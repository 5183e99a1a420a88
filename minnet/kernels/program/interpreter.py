"""The compiled interpreter of a frozen net's program: one call from Python runs all its steps (see program.py)."""
from minnet.kernels.jit import kernel
from minnet.kernels.program.ops import (
    activate,
    add,
    affine,
    clear,
    copy,
    halve_image,
    load_rows,
    pool_image,
    pool_tile,
    store_rows,
)
from minnet.kernels.program.planes import block_planes, dense_planes, sparse_planes
from minnet.kernels.program.rows import block_row, dense_row, n_m_row, sparse_row
from minnet.kernels.simd.atomics import look, take, wait_for, wait_for_news

# the first column of the table of steps
LOAD, STORE, COPY, CLEAR, ADD, AFFINE, ACTIVATE, POOL_TILE, POOL_IMAGE, HALVE_IMAGE = range(10)
DENSE, BLOCK, SPARSE, DENSE_ROW, BLOCK_ROW, N_M_ROW, SPARSE_ROW = range(10, 17)
TAKEN, DONE = 0, 1  # the places of `turn`


@kernel
def run_program(code, first, last, index, weights, value, X, row, stop, tile, work, out):
    """Do steps first, ..., last - 1 on rows row, ..., stop - 1 of X (n, features), `tile` at a time, logits to `out`.

    Returns the sum of all samples that were loaded: NaN or infinite if one of them holds such a number.
    """
    total = X.dtype.type(0)
    for begin in range(row, stop, tile):
        count = min(tile, stop - begin)
        for at in range(first, last):
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
            elif step == POOL_TILE:
                pool_tile(code, at, work, work)
            elif step == HALVE_IMAGE:
                halve_image(code, at, work, work)
            elif step == POOL_IMAGE:
                pool_image(code, at, work, work)
            elif step == AFFINE:
                affine(code, at, value, work)
            elif step == ADD:
                add(code, at, work, work)
            elif step == CLEAR:
                clear(code, at, work)
            elif step == LOAD:
                total += load_rows(code, at, index, X, begin, count, work)
            else:
                store_rows(code, at, index, work, begin, count, out)
    return total


@kernel
def run_shared(tasks, turn, begun, patience, code, index, weights, value, X, tile, work, out, totals):
    """The same by several threads, each of which makes this call: tiles in a `work` each, or parts of one tile in one.

    Tasks are taken in order, and a thread waits for tasks before its own alone, which others have then begun: so it
    ends with any number of threads, whenever they come, and with one. The thread that wants the result calls with
    patience = 0: it adds one to `begun`, and returns when all is done. The others, when nothing is left, stay awake
    until more is begun or for so many looks: they then come at once, and leave the interpreter's lock alone.

    tasks: (m, 5), first and last step, how many tasks before must be done by then, row, stop; turn: (2,) int64, zeros;
    begun: (1,) int64, one for all calls; totals: (m,), the sum that `run_program` returns for each.
    """
    seen = look(begun, 0) if patience else take(begun, 0)
    mine = take(turn, TAKEN)
    while mine < tasks.shape[0]:
        first, last, needs, row, stop = tasks[mine]
        wait_for(turn, DONE, needs)
        totals[mine] = run_program(code, first, last, index, weights, value, X, row, stop, tile, work, out)
        take(turn, DONE)
        mine = take(turn, TAKEN)
    if patience:
        wait_for_news(begun, 0, seen, patience)
    else:
        wait_for(turn, DONE, tasks.shape[0])
