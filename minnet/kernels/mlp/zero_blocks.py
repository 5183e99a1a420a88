"""Products with a matrix that is mostly zeros, its nonzeros side by side: what an image with a dark background is.

    list_blocks(X, rows, low, high, most, index, value, count)   # x = X[rows, low:high], without its blocks of zeros
    blocks_forward(index, value, count, w, tile, sums, y)        # y = x @ w
    cut_slabs(dy, 0, slabs)
    blocks_backward(index, value, count, slabs, tile, dw)        # dw = x' @ dy

A block is BLOCK_COLUMNS adjacent columns of x; it has a list of the rows in which any of them is not 0. A slab is
SLAB_COLUMNS columns of y. For each pair of a block and a slab, their weights or sums stay in registers for all rows of
the list, each of which is loaded once for BLOCK_COLUMNS times as many multiply-adds. The last slab overlaps the one
before, so that all have one width, and computes the same numbers; a narrow y has one slab, part of it unused.

The zeros of a block that is listed are multiplied too: 0 times an infinite weight is NaN there, and 0 in a block of
zeros. NaN in x is not 0.

Arrays, for at most `most` rows: index (blocks, most) int32, row index[b, i] is number i of block b; value
(blocks * most * BLOCK_COLUMNS,), its numbers from BLOCK_COLUMNS * (b * most + i) on; count (blocks,) int32; slabs
(slabs_of(o) * most * SLAB_COLUMNS,); scratch: tile (BLOCK_COLUMNS * SLAB_COLUMNS,), sums (most * SLAB_COLUMNS,).
"""
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import always_inline, as_nonnegative, noalias
from minnet.kernels.simd.vector import VECTOR_OPS

BLOCK_COLUMNS = 4   # columns of x that share a list: fewer lists and fewer tests, and few zeros are multiplied
SLAB_COLUMNS = 32  # columns of y: with float32 a block is 8 registers of 512 bits, or 16 of 256
add_scaled, copy = VECTOR_OPS[SLAB_COLUMNS].add_scaled, VECTOR_OPS[SLAB_COLUMNS].copy
any_in_block, copy_block = VECTOR_OPS[BLOCK_COLUMNS].any_nonzero, VECTOR_OPS[BLOCK_COLUMNS].copy


@register_jitable
def slabs_of(columns):
    """Return the number of slabs of that many columns."""
    return (columns + SLAB_COLUMNS - 1) // SLAB_COLUMNS


@register_jitable
def slab(number, columns):
    """Return (the first column of a slab, the number of its columns)."""
    width = min(columns, SLAB_COLUMNS)
    return min(SLAB_COLUMNS * number, columns - width), width


@register_jitable
def copy_run(y, t, x, s, width):
    """Compute y[t : t + width] = x[s : s + width] for 1-D arrays; width <= SLAB_COLUMNS, mostly equal."""
    always_inline()
    if width == SLAB_COLUMNS:
        copy(y, as_nonnegative(t), x, as_nonnegative(s))
    else:
        for j in range(width):
            y[t + j] = x[s + j]


@kernel
def list_blocks(X, rows, low, high, most, index, value, count):
    """List the rows of each block of X[rows, low:high], and its numbers. X: (N, m); rows: (n,) integers in [0, N).

    Returns early with count[-1] = -1 once the lists have more than `most` entries. A last block of fewer columns is
    padded with zeros.
    """
    flat, stride = X.reshape(-1), index.shape[1]
    full, total = (high - low) // BLOCK_COLUMNS, 0
    count[:] = 0
    for i in range(rows.size):
        x = rows[i] * X.shape[1] + low
        # each row is written to every list, and counted if it has a number: no branch is mispredicted
        for b in range(full):
            index[b, count[b]] = i
            copy_block(value, BLOCK_COLUMNS * as_nonnegative(b * stride + count[b]), flat, x + BLOCK_COLUMNS * b)
            found = any_in_block(flat, x + BLOCK_COLUMNS * b)
            count[b] += found
            total += found
        for b in range(full, count.size):
            to, found = BLOCK_COLUMNS * (b * stride + count[b]), False
            for j in range(BLOCK_COLUMNS):
                number = flat[x + BLOCK_COLUMNS * b + j] if low + BLOCK_COLUMNS * b + j < high else 0
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
    """Compute y = x w. w: (k * o,); y: (n * o,), overwritten."""
    noalias()
    n, k, stride = y.size // o, w.size // o, index.shape[1]
    for s in range(slabs_of(o)):
        c, width = slab(s, o)
        for j in range(SLAB_COLUMNS * n):
            sums[j] = 0
        for b in range(count.size):
            # the weights of the block and the slab, as a tile in the first-level cache, which the compiler keeps in
            # registers for the loop over the rows
            for f in range(BLOCK_COLUMNS):
                if BLOCK_COLUMNS * b + f < k:
                    copy_run(tile, SLAB_COLUMNS * f, w, (BLOCK_COLUMNS * b + f) * o + c, width)
                else:
                    for j in range(SLAB_COLUMNS):
                        tile[SLAB_COLUMNS * f + j] = 0
            for i in range(count[b]):
                x, to = BLOCK_COLUMNS * as_nonnegative(b * stride + i), SLAB_COLUMNS * as_nonnegative(index[b, i])
                for f in range(BLOCK_COLUMNS):
                    add_scaled(sums, to, value[x + f], tile, SLAB_COLUMNS * f)
        for i in range(n):
            copy_run(y, i * o + c, sums, SLAB_COLUMNS * i, width)


@kernel
def cut_slabs(dy, low, most, slabs):
    """Copy slab s of dy (n, o) to slabs[SLAB_COLUMNS * (s * most + low) ...], as rows low, ..., low + n - 1 of it."""
    n, o = dy.shape
    source = dy.reshape(-1)
    for s in range(slabs_of(o)):
        c, width = slab(s, o)
        for i in range(n):
            copy_run(slabs, SLAB_COLUMNS * (s * most + low + i), source, i * o + c, width)


@kernel
def blocks_backward(index, value, count, slabs, o, tile, dw):
    """Compute dw = x' dy. dw: (k * o,), overwritten."""
    noalias()
    k, stride = dw.size // o, index.shape[1]
    for b in range(count.size):
        for s in range(slabs_of(o)):
            c, width = slab(s, o)
            for j in range(BLOCK_COLUMNS * SLAB_COLUMNS):
                tile[j] = 0
            for i in range(count[b]):
                x = BLOCK_COLUMNS * as_nonnegative(b * stride + i)
                row = SLAB_COLUMNS * as_nonnegative(s * stride + index[b, i])
                for f in range(BLOCK_COLUMNS):
                    add_scaled(tile, SLAB_COLUMNS * f, value[x + f], slabs, row)
            for f in range(min(BLOCK_COLUMNS, k - BLOCK_COLUMNS * b)):
                copy_run(dw, (BLOCK_COLUMNS * b + f) * o + c, tile, SLAB_COLUMNS * f, width)
