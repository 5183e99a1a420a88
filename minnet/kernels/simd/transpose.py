"""Transposition of square tiles of a matrix in vector registers: TILE rows are loaded, and TILE columns stored.

    transpose_tile(x, at, step, y, t, stride)             # y[t + j * stride + i] = x[at + i * step + j]
    transpose_rows(x, rows, k, n, m, c, y, t, stride)     # the same of x[rows[k + i] * m + c + j]; 0 where k + i >= n
    total = transpose_scatter(X, row, f, index, k, y, t)  # y[index[k + i] + t + j] = X[row + j, f + i]

for all i and j below TILE; the last also returns the sum of the numbers of the tile. A loop that reads along rows and
writes along columns stores each number by itself, to another cache line; here one store writes TILE of them.

Arrays are contiguous, all but X 1-D. With checked indices (NUMBA_BOUNDSCHECK=1) the last number of each row and column
is read first, as plain indexing would do.
"""
import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from minnet.kernels.simd.attributes import always_inline

# Rows and columns of a tile. A row of float32 is one register, of 512 or of 256 bits: TILE of them fit in the 32 or 16
# registers that the processor has, with as many to spare for what a butterfly writes.
TILE = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f", False) else 8
INT64 = ir.IntType(64)


def butterfly(builder, one, other, step):
    """Return two rows that are `step` apart, with the off-diagonal step x step blocks of their tile exchanged."""
    lanes = range(TILE)
    # a shuffle numbers the lanes of both rows: 0, ..., TILE - 1 and TILE, ..., 2 TILE - 1
    lower = [lane if not lane & step else lane - step + TILE for lane in lanes]
    upper = [lane + step if not lane & step else lane + TILE for lane in lanes]
    masks = (ir.Constant(ir.VectorType(ir.IntType(32), TILE), numbers) for numbers in (lower, upper))
    return [builder.shuffle_vector(one, other, mask) for mask in masks]


def transpose_vectors(builder, rows):
    """Return the columns of the tile whose rows are these vectors, in log2(TILE) rounds of butterflies."""
    rows, step = list(rows), TILE // 2
    # each round transposes the 2 x 2 blocks of one size: first the quarters of the tile, at last single numbers
    while step:
        for j in range(TILE):
            if not j & step:
                rows[j], rows[j + step] = butterfly(builder, rows[j], rows[j + step], step)
        step //= 2
    return rows


def _row_pointer(context, builder, array_type, array, at):
    """Return (a pointer to the TILE numbers of a 1-D array that begin at `at`, the alignment of one number)."""
    struct = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    number = context.get_data_type(array_type.dtype)
    pointer = builder.bitcast(builder.gep(struct.data, [at]), ir.VectorType(number, TILE).as_pointer())
    return pointer, context.get_abi_alignment(number)


def _store_columns(target, builder, y_type, y, t, stride, columns):
    """Store each vector of `columns` in y, from t on, `stride` numbers apart."""
    for column in columns:
        pointer, align = _row_pointer(target, builder, y_type, y, t)
        builder.store(column, pointer, align=align)
        t = builder.add(t, stride)


@intrinsic
def _transpose_tile(context, x, at, step, y, t, stride):
    """Return the type and the code generator of `transpose_tile`."""
    def generate(target, builder, signature, arguments):
        kinds, (x, at, step, y, t, stride) = signature.args, arguments
        rows = []
        for _ in range(TILE):
            row, align = _row_pointer(target, builder, kinds[0], x, at)
            rows.append(builder.load(row, align=align))
            at = builder.add(at, step)
        _store_columns(target, builder, kinds[3], y, t, stride, transpose_vectors(builder, rows))
        return target.get_dummy_value()

    return types.none(x, types.int64, types.int64, y, types.int64, types.int64), generate


@intrinsic
def _transpose_rows(context, x, rows, k, n, m, c, y, t, stride):
    """Return the type and the code generator of `transpose_rows`."""
    def generate(target, builder, signature, arguments):
        kinds, (x, rows, k, n, m, c, y, t, stride) = signature.args, arguments
        numbers = cgutils.create_struct_proxy(kinds[1])(target, builder, value=rows).data
        loaded, last = [], builder.sub(n, ir.Constant(INT64, 1))
        for i in range(TILE):
            at = builder.add(k, ir.Constant(INT64, i))
            inside = builder.icmp_signed("<", at, n)
            # beyond the last row the last one is loaded again, and replaced by zeros: cheaper than a branch
            number = builder.load(builder.gep(numbers, [builder.select(inside, at, last)]))  # int64
            row, align = _row_pointer(target, builder, kinds[0], x, builder.add(builder.mul(number, m), c))
            values = builder.load(row, align=align)
            loaded.append(builder.select(inside, values, ir.Constant(values.type, [0.0] * TILE)))
        _store_columns(target, builder, kinds[6], y, t, stride, transpose_vectors(builder, loaded))
        return target.get_dummy_value()

    whole = types.int64
    return types.none(x, rows, whole, whole, whole, whole, y, whole, whole), generate


@intrinsic
def _transpose_scatter(context, X, row, f, index, k, y, t):
    """Return the type and the code generator of `transpose_scatter`."""
    def generate(target, builder, signature, arguments):
        X, row, f, index, k, y, t = arguments
        kinds = signature.args
        source, places, to = (cgutils.create_struct_proxy(kind)(target, builder, value=array)
                              for kind, array in ((kinds[0], X), (kinds[3], index), (kinds[5], y)))
        number = target.get_data_type(kinds[0].dtype)
        align, run = target.get_abi_alignment(number), ir.VectorType(number, TILE).as_pointer()
        width, rows = cgutils.unpack_tuple(builder, source.shape)[1], []
        for j in range(TILE):
            at = builder.add(builder.mul(builder.add(row, row.type(j)), width), f)
            rows.append(builder.load(builder.bitcast(builder.gep(source.data, [at]), run), align=align))
        # the sum costs one addition a row, since the numbers are in registers anyway
        total = rows[0]
        for vector in rows[1:]:
            total = builder.fadd(total, vector, flags=("reassoc",))
        for i, column in enumerate(transpose_vectors(builder, rows)):
            at = builder.zext(builder.load(builder.gep(places.data, [builder.add(k, k.type(i))])), t.type)
            builder.store(column, builder.bitcast(builder.gep(to.data, [builder.add(at, t)]), run), align=align)
        return _reduce_add(builder, total)

    return X.dtype(X, types.int64, types.int64, index, types.int64, y, types.int64), generate


def _reduce_add(builder, vector):
    """Return the sum of the numbers of a vector."""
    number = vector.type.element
    name = f"llvm.vector.reduce.fadd.v{TILE}{'f32' if number == ir.FloatType() else 'f64'}"
    add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number, vector.type]), name)
    return builder.call(add, [ir.Constant(number, 0.0), vector], fastmath=("reassoc",))


# Compiled forms: the reads in front are dropped by the compiler, unless indices are checked.
@register_jitable
def _checked_tile(x, at, step, y, t, stride):
    always_inline()
    for i in range(TILE):
        x[at + i * step + TILE - 1], y[t + i * stride + TILE - 1]
    _transpose_tile(x, at, step, y, t, stride)


@register_jitable
def _checked_rows(x, rows, k, n, m, c, y, t, stride):
    always_inline()
    for i in range(TILE):
        x[rows[min(k + i, n - 1)] * m + c + TILE - 1], y[t + i * stride + TILE - 1]
    _transpose_rows(x, rows, k, n, m, c, y, t, stride)


@register_jitable(inline="always")
def _checked_scatter(X, row, f, index, k, y, t):
    X[row + TILE - 1, f + TILE - 1], y[index[k + TILE - 1] + t + TILE - 1]
    return _transpose_scatter(X, row, f, index, k, y, t)


# The same in plain Python, for NUMBA_DISABLE_JIT=1.
def _plain_tile(x, at, step, y, t, stride):
    for i in range(TILE):
        for j in range(TILE):
            y[t + j * stride + i] = x[at + i * step + j]


def _plain_rows(x, rows, k, n, m, c, y, t, stride):
    for i in range(TILE):
        for j in range(TILE):
            y[t + j * stride + i] = x[rows[k + i] * m + c + j] if k + i < n else 0


def _plain_scatter(X, row, f, index, k, y, t):
    block = X[row : row + TILE, f : f + TILE]
    for i in range(TILE):
        start = int(index[k + i]) + t
        y[start : start + TILE] = block[:, i]
    return block.sum()


transpose_tile = _plain_tile if numba.config.DISABLE_JIT else _checked_tile
transpose_rows = _plain_rows if numba.config.DISABLE_JIT else _checked_rows
transpose_scatter = _plain_scatter if numba.config.DISABLE_JIT else _checked_scatter  # index: uint32
