"""Squares of a matrix, turned in registers (see turned.py): the fast part of a transposition.

    turn_square(x, at, step, y, t, lanes)            # y[t + j * lanes + i] = x[at + i * step + j], i and j < SIDE
    turn_chosen(x, rows, k, n, m, c, y, t, lanes)    # the same of the rows numbered rows[k + i], 0 where k + i >= n

A loop that reads along rows and writes along columns stores every number by itself; here a store takes a row. Arrays
are 1-D and contiguous. With checked indices the last number of each row is looked at first, as plain indexing would.
"""
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from minnet.kernels.simd.attributes import part
from minnet.kernels.simd.transpose import SIDE, turned

WHOLE = ir.IntType(64)


def _row(context, builder, array_type, array, at):
    """(pointer to the SIDE numbers that begin at `at`, alignment of one number)."""
    made = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    one = context.get_data_type(array_type.dtype)
    pointer = builder.bitcast(builder.gep(made.data, [at]), ir.VectorType(one, SIDE).as_pointer())
    return pointer, context.get_abi_alignment(one)


@intrinsic
def _turn_square(context, x, at, step, y, t, lanes):
    """The type of `turn_square`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        kinds, (x, at, step, y, t, lanes) = signature.args, arguments
        rows = []
        for _ in range(SIDE):
            row, align = _row(target, builder, kinds[0], x, at)
            rows.append(builder.load(row, align=align))
            at = builder.add(at, step)
        for column in turned(builder, rows):
            to, align = _row(target, builder, kinds[3], y, t)
            builder.store(column, to, align=align)
            t = builder.add(t, lanes)
        return target.get_dummy_value()

    return types.none(x, types.int64, types.int64, y, types.int64, types.int64), generate


@intrinsic
def _turn_chosen(context, x, rows, k, n, m, c, y, t, lanes):
    """The type of `turn_chosen`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        kinds, (x, rows, k, n, m, c, y, t, lanes) = signature.args, arguments
        numbers = cgutils.create_struct_proxy(kinds[1])(target, builder, value=rows).data
        loaded, last = [], builder.sub(n, ir.Constant(WHOLE, 1))
        for i in range(SIDE):
            at = builder.add(k, ir.Constant(WHOLE, i))
            inside = builder.icmp_signed("<", at, n)
            number = builder.load(builder.gep(numbers, [builder.select(inside, at, last)]))  # int64
            row, align = _row(target, builder, kinds[0], x, builder.add(builder.mul(number, m), c))
            values = builder.load(row, align=align)
            loaded.append(builder.select(inside, values, ir.Constant(values.type, [0.0] * SIDE)))
        for column in turned(builder, loaded):
            to, align = _row(target, builder, kinds[6], y, t)
            builder.store(column, to, align=align)
            t = builder.add(t, lanes)
        return target.get_dummy_value()

    whole = types.int64
    return types.none(x, rows, whole, whole, whole, whole, y, whole, whole), generate


@register_jitable
def _checked_square(x, at, step, y, t, lanes):
    part()
    for i in range(SIDE):
        x[at + i * step + SIDE - 1], y[t + i * lanes + SIDE - 1]
    _turn_square(x, at, step, y, t, lanes)


@register_jitable
def _checked_chosen(x, rows, k, n, m, c, y, t, lanes):
    part()
    for i in range(SIDE):
        x[rows[min(k + i, n - 1)] * m + c + SIDE - 1], y[t + i * lanes + SIDE - 1]
    _turn_chosen(x, rows, k, n, m, c, y, t, lanes)


def _plain_square(x, at, step, y, t, lanes):
    for i in range(SIDE):
        for j in range(SIDE):
            y[t + j * lanes + i] = x[at + i * step + j]


def _plain_chosen(x, rows, k, n, m, c, y, t, lanes):
    for i in range(SIDE):
        for j in range(SIDE):
            y[t + j * lanes + i] = x[rows[k + i] * m + c + j] if k + i < n else 0


turn_square = _plain_square if numba.config.DISABLE_JIT else _checked_square
turn_chosen = _plain_chosen if numba.config.DISABLE_JIT else _checked_chosen
