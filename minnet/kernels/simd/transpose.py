"""A small square of a matrix, turned in registers: rows become columns at a few instructions a row.

    total = turn(X, row, f, index, place, y, t)     # y[index[place + i] + t + j] = X[row + j, f + i], i and j < SIDE

`turn` also adds up: the total is the sum of the numbers that it turned. Number by number a square would take as many
loads and stores as it has numbers. With checked indices (NUMBA_BOUNDSCHECK=1) the last number of each row and column is
looked at first, as plain indexing would.
"""
import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

SIDE = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f", False) else 8  # float32 in a register


def _crossed(builder, one, other, step):
    """Two rows that stand `step` apart exchange what lies on the wrong side of the diagonal of each 2 step x 2 step."""
    lanes = range(SIDE)
    lower = [lane if not lane & step else lane - step + SIDE for lane in lanes]
    upper = [lane + step if not lane & step else lane + SIDE for lane in lanes]
    masks = (ir.Constant(ir.VectorType(ir.IntType(32), SIDE), numbers) for numbers in (lower, upper))
    return [builder.shuffle_vector(one, other, mask) for mask in masks]


def turned(builder, rows):
    """The columns of a square whose rows are these vectors."""
    rows, step = list(rows), SIDE // 2
    while step:
        for j in range(SIDE):
            if not j & step:
                rows[j], rows[j + step] = _crossed(builder, rows[j], rows[j + step], step)
        step //= 2
    return rows


@intrinsic
def _turn(context, X, row, f, index, place, y, t):
    """The type of `turn`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        X, row, f, index, place, y, t = arguments
        kinds = signature.args
        source, places, to = (cgutils.create_struct_proxy(kind)(target, builder, value=array)
                              for kind, array in ((kinds[0], X), (kinds[3], index), (kinds[5], y)))
        number = target.get_data_type(kinds[0].dtype)
        align, run = target.get_abi_alignment(number), ir.VectorType(number, SIDE).as_pointer()
        width, rows = cgutils.unpack_tuple(builder, source.shape)[1], []
        for j in range(SIDE):
            at = builder.add(builder.mul(builder.add(row, row.type(j)), width), f)
            rows.append(builder.load(builder.bitcast(builder.gep(source.data, [at]), run), align=align))
        total = rows[0]
        for vector in rows[1:]:
            total = builder.fadd(total, vector, flags=("reassoc",))
        for i, column in enumerate(turned(builder, rows)):
            at = builder.zext(builder.load(builder.gep(places.data, [builder.add(place, place.type(i))])), t.type)
            builder.store(column, builder.bitcast(builder.gep(to.data, [builder.add(at, t)]), run), align=align)
        return _sum(builder, total)

    return X.dtype(X, types.int64, types.int64, index, types.int64, y, types.int64), generate


def _sum(builder, vector):
    """The sum of its numbers."""
    number = vector.type.element
    name = f"llvm.vector.reduce.fadd.v{SIDE}{'f32' if number == ir.FloatType() else 'f64'}"
    add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number, vector.type]), name)
    return builder.call(add, [ir.Constant(number, 0.0), vector], fastmath=("reassoc",))


@register_jitable(inline="always")
def _checked_turn(X, row, f, index, place, y, t):
    X[row + SIDE - 1, f + SIDE - 1], y[index[place + SIDE - 1] + t + SIDE - 1]
    return _turn(X, row, f, index, place, y, t)


def _plain_turn(X, row, f, index, place, y, t):
    """In plain Python."""
    block = X[row : row + SIDE, f : f + SIDE]
    for i in range(SIDE):
        start = int(index[place + i]) + t
        y[start : start + SIDE] = block[:, i]
    return block.sum()


# X: (n, features), contiguous; index: uint32; returns the sum of the numbers that it turned.
turn = _plain_turn if numba.config.DISABLE_JIT else _checked_turn
