"""Products with a matrix that is mostly zeros, its nonzeros side by side: what an image with a dark background is.

    list_blocks(X, rows, low, high, most, index, value, count)   # x = X[rows, low:high], without its blocks of zeros
    blocks_forward(index, value, count, w, tile, sums, y)        # y = x @ w
    cut_slabs(dy, 0, slabs)
    blocks_backward(index, value, count, slabs, tile, dw)        # dw = x' @ dy

A block is BLOCK neighbouring columns of x; it has a list of the rows in which any of them is not 0. A slab is WIDTH
columns of y. Where a block and a slab meet, BLOCK x WIDTH weights or sums stay in registers while the rows of the list
go by, each loaded once for BLOCK times as many multiply-adds. The last slab overlaps the one before, so that all are of
one width, and finds the same numbers; narrow y have one slab, part of it unused.

Of a block that is listed the zeros are multiplied too: 0 times an infinite weight is NaN there, and 0 in a block of
zeros. NaN in x is not 0.

Arrays: index (blocks, n) int32; value (blocks * n * BLOCK,), what stands in row index[b, i] from BLOCK * (b n + i) on;
count (blocks,) int32; slabs (slabs_of(o) * n * WIDTH,); scratch tile (BLOCK * WIDTH,), sums (n * WIDTH,). Here n is the
room, at least as many as there are rows.
"""
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import always_inline, as_nonnegative, noalias
from minnet.kernels.simd.vector import VECTOR_OPS

BLOCK, WIDTH = 4, 32
add_scaled, copy = VECTOR_OPS[WIDTH].add_scaled, VECTOR_OPS[WIDTH].copy
some_of_block, copy_block = VECTOR_OPS[BLOCK].any_nonzero, VECTOR_OPS[BLOCK].copy


@register_jitable
def slabs_of(columns):
    """How many slabs so many columns have."""
    return (columns + WIDTH - 1) // WIDTH


@register_jitable
def slab(number, columns):
    """(the first column of a slab, how many it has)."""
    width = min(columns, WIDTH)
    return min(WIDTH * number, columns - width), width


@register_jitable
def move_run(y, t, x, s, width):
    """y[t : t + width] = x[s : s + width] for 1-D arrays; width is at most WIDTH, and mostly equal to it."""
    always_inline()
    if width == WIDTH:
        copy(y, as_nonnegative(t), x, as_nonnegative(s))
    else:
        for j in range(width):
            y[t + j] = x[s + j]


@kernel
def list_blocks(X, rows, low, high, most, index, value, count):
    """The rows of each block of X[rows, low:high], and its numbers there. X: (N, m); rows: (n,) integers in [0, N).

    Gives up, with count[-1] = -1, where the lists have more than `most` entries. A last block of fewer columns is
    filled up with zeros.
    """
    flat, room = X.reshape(-1), index.shape[1]
    full, total = (high - low) // BLOCK, 0
    count[:] = 0
    for i in range(rows.size):
        x = rows[i] * X.shape[1] + low
        for b in range(full):
            index[b, count[b]] = i
            copy_block(value, BLOCK * as_nonnegative(b * room + count[b]), flat, x + BLOCK * b)
            found = some_of_block(flat, x + BLOCK * b)
            count[b] += found
            total += found
        for b in range(full, count.size):
            to, found = BLOCK * (b * room + count[b]), False
            for j in range(BLOCK):
                number = flat[x + BLOCK * b + j] if low + BLOCK * b + j < high else 0
                value[to + j] = number
                found |= number != 0
            index[b, count[b]] = i
            count[b] += found
            total += found
        if total > most:
            count[-1] = -1
            return


@kernel
def blocks_forward(index, value, count, w, o, tile, sums, y):
    """y = x w. w: (k * o,); y: (n * o,), overwritten."""
    noalias()
    n, k, room = y.size // o, w.size // o, index.shape[1]
    for s in range(slabs_of(o)):
        c, width = slab(s, o)
        for j in range(WIDTH * n):
            sums[j] = 0
        for b in range(count.size):
            for f in range(BLOCK):
                if BLOCK * b + f < k:
                    move_run(tile, WIDTH * f, w, (BLOCK * b + f) * o + c, width)
                else:
                    for j in range(WIDTH):
                        tile[WIDTH * f + j] = 0
            for i in range(count[b]):
                x, to = BLOCK * as_nonnegative(b * room + i), WIDTH * as_nonnegative(index[b, i])
                for f in range(BLOCK):
                    add_scaled(sums, to, value[x + f], tile, WIDTH * f)
        for i in range(n):
            move_run(y, i * o + c, sums, WIDTH * i, width)


@kernel
def cut_slabs(dy, low, room, slabs):
    """The columns of dy that are slab s, for rows from `low` on: slabs[WIDTH * (s * room + low) ...]. dy: (n, o)."""
    n, o = dy.shape
    source = dy.reshape(-1)
    for s in range(slabs_of(o)):
        c, width = slab(s, o)
        for i in range(n):
            move_run(slabs, WIDTH * (s * room + low + i), source, i * o + c, width)


@kernel
def blocks_backward(index, value, count, slabs, o, tile, dw):
    """dw = x' dy. dw: (k * o,), overwritten."""
    noalias()
    k, room = dw.size // o, index.shape[1]
    for b in range(count.size):
        for s in range(slabs_of(o)):
            c, width = slab(s, o)
            for j in range(BLOCK * WIDTH):
                tile[j] = 0
            for i in range(count[b]):
                x, row = BLOCK * as_nonnegative(b * room + i), WIDTH * as_nonnegative(s * room + index[b, i])
                for f in range(BLOCK):
                    add_scaled(tile, WIDTH * f, value[x + f], slabs, row)
            for f in range(min(BLOCK, k - BLOCK * b)):
                move_run(dw, (BLOCK * b + f) * o + c, tile, WIDTH * f, width)
