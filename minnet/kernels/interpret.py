"""The compiled interpreter of a frozen net's program: one call from Python runs all its steps (see program.py)."""
from minnet.kernels.jit import kernel
from minnet.kernels.program import (
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
from minnet.kernels.sparse_planes import block_planes, dense_planes, sparse_planes
from minnet.kernels.sparse_rows import block_row, dense_row, n_m_row, sparse_row
from minnet.kernels.tickets import take, wait_for

# the first column of the table of steps
LOAD, STORE, COPY, CLEAR, ADD, AFFINE, ACTIVATE, POOL_TILE, POOL_IMAGE, HALVE_IMAGE = range(10)
DENSE, BLOCK, SPARSE, DENSE_ROW, BLOCK_ROW, N_M_ROW, SPARSE_ROW = range(10, 17)


@kernel
def run_program(code, first, last, index, value, X, row, stop, tile, work, out):
    """Do steps first, ..., last - 1 on rows row, ..., stop - 1 of X (n, features), `tile` at a time, logits to `out`.

    Returns the sum of all samples that were loaded: NaN or infinite if one of them holds such a number.
    """
    total = X.dtype.type(0)
    for begin in range(row, stop, tile):
        count = min(tile, stop - begin)
        for at in range(first, last):
            step = code[at, 0]
            if step == SPARSE:
                sparse_planes(code, at, index, value, work, work)
            elif step == BLOCK:
                block_planes(code, at, index, value, work, work, work, work, work)
            elif step == DENSE:
                dense_planes(code, at, index, value, work, work, work, work, work, work, work)
            elif step == SPARSE_ROW:
                sparse_row(code, at, index, value, work, work)
            elif step == BLOCK_ROW:
                block_row(code, at, index, value, work, work)
            elif step == N_M_ROW:
                n_m_row(code, at, index, value, work, work)
            elif step == DENSE_ROW:
                dense_row(code, at, index, value, work, work)
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
def run_shared(ranges, turn, code, index, value, X, row, stop, tile, work, out, totals):
    """The same on one tile for several threads, each of which makes this call: `work` is one for all.

    Ranges are taken in order, and a thread waits for ranges before its own alone, which others have then begun: so it
    ends with any number of threads, whenever they come, and with one.

    ranges: (m, 3), first and last of steps that one thread does, and how many ranges before must be done by then; turn:
    (2,) int64, zeros; totals: (m,), the sum that `run_program` returns for each.
    """
    while True:
        mine = take(turn, 0)
        if mine >= ranges.shape[0]:
            return
        wait_for(turn, 1, ranges[mine, 2])
        totals[mine] = run_program(code, ranges[mine, 0], ranges[mine, 1], index, value, X, row, stop, tile, work, out)
        take(turn, 1)
