"""Runs of a fixed number of neighbours as one vector, for kernels whose inner loop the compiler would leave scalar.

    add_scaled, copy = LANES[32].add_scaled, LANES[32].copy      # and so on; what there is:
    add_scaled(y, t, v, x, s)        # y[t : t + 32] += v * x[s : s + 32]
    total = dot(x, s, y, t)          # x[s : s + 32] . y[t : t + 32]
    add_dots(x, s, y, c, lanes, row, k, g)   # TOGETHER of them: g[k + j] += dot(x, s, y, row[k + j] * lanes + c)
    bits = which(x, s)               # bit j says whether x[s + j] is not 0
    some(x, s)                       # whether any of x[s : s + 32] is not 0
    copy(y, t, x, s)                 # y[t : t + 32] = x[s : s + 32]
    greater(y, t, x, s)              # y[t : t + 32] = x[s : s + 32] where that is greater
    sum_runs = SUMS[64]              # y[t : t + 64] = b + the sum over j < n of unit * w_j * x[s_j : s_j + 64], where
    sum_runs(y, t, b, x, s, step, index, i, weights, place, k, unit, n)          # s_j = s + step * index[i + j] and
                                                # w_j = weights[k + j], or weights[place[k + j]] where place is not None
    lowest(bits), without_lowest(bits)          # the number of the lowest bit that is set, and the others: not of 0

Short loops of fixed length are written out by the compiler before it looks for vectors, and stay scalar. These say the
vector outright: one load, one multiply-add, one store, of 2 to 64 numbers of 1-D contiguous arrays. A sum that a loop
keeps adding to stays in registers where the kernel is `apart` (see hints.py); that of `sum_runs` does anyway, and is
written once. With checked indices (NUMBA_BOUNDSCHECK=1) the last number of each run is looked at first, as plain
indexing would.
"""
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from minnet.kernels.simd.attributes import part

WIDTHS, SUM_WIDTHS = (2, 4, 8, 16, 32, 64), (16, 32, 64, 128)
TOGETHER = 4  # dot products that are summed up together: half the additions of one at a time
FAST = ("reassoc", "contract")
BITS, NONE, ONE = 64, np.uint64(0), np.uint64(1)  # the bits of `which`, none of them, and the first


def _vector(context, builder, array_type, array, at, width):
    """(pointer to the run of `width` numbers that begins at `at`, alignment of one number)."""
    made = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    one = context.get_data_type(array_type.dtype)
    pointer = builder.bitcast(builder.gep(made.data, [at]), ir.VectorType(one, width).as_pointer())
    return pointer, context.get_abi_alignment(one)


def _spread(builder, number, kind):
    """The vector of that kind whose numbers are all the same."""
    undefined, zeros = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), kind.count)
    lane = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(lane, undefined, ir.Constant(zeros, [0] * kind.count))


def _add_scaled_of(width):
    @intrinsic
    def add(context, y, t, v, x, s):
        def generate(target, builder, signature, arguments):
            kinds = signature.args
            y, t, v, x, s = arguments
            to, align = _vector(target, builder, kinds[0], y, t, width)
            source, _ = _vector(target, builder, kinds[3], x, s, width)
            product = builder.fmul(_spread(builder, v, to.type.pointee), builder.load(source, align=align), flags=FAST)
            builder.store(builder.fadd(builder.load(to, align=align), product, flags=FAST), to, align=align)
            return target.get_dummy_value()

        return types.none(y, types.int64, y.dtype, x, types.int64), generate

    return add


def _replaced_of(width, chosen):
    @intrinsic
    def replace(context, y, t, x, s):
        def generate(target, builder, signature, arguments):
            to, align = _vector(target, builder, signature.args[0], *arguments[:2], width)
            source, _ = _vector(target, builder, signature.args[2], *arguments[2:], width)
            old, new = builder.load(to, align=align), builder.load(source, align=align)
            builder.store(chosen(builder, old, new), to, align=align)
            return target.get_dummy_value()

        return types.none(y, types.int64, x, types.int64), generate

    return replace


def _copy_of(width):
    return _replaced_of(width, lambda builder, old, new: new)


def _greater_of(width):
    return _replaced_of(width, lambda builder, old, new: builder.select(builder.fcmp_ordered(">", new, old), new, old))


def _dot_of(width):
    @intrinsic
    def product(context, x, s, y, t):
        def generate(target, builder, signature, arguments):
            kinds = signature.args
            one, align = _vector(target, builder, kinds[0], arguments[0], arguments[1], width)
            other, _ = _vector(target, builder, kinds[2], arguments[2], arguments[3], width)
            terms = builder.fmul(builder.load(one, align=align), builder.load(other, align=align), flags=FAST)
            number = terms.type.element
            name = f"llvm.vector.reduce.fadd.v{width}{'f32' if number == ir.FloatType() else 'f64'}"
            reduce = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number, terms.type]), name)
            return builder.call(reduce, [ir.Constant(number, 0.0), terms], fastmath=FAST)

        return x.dtype(x, types.int64, y, types.int64), generate

    return product


def _which_of(width):
    @intrinsic
    def which(context, x, s):
        def generate(target, builder, signature, arguments):
            run, align = _vector(target, builder, signature.args[0], *arguments, width)
            numbers, bits = builder.load(run, align=align), ir.IntType(width)
            differ = builder.fcmp_unordered("!=", numbers, ir.Constant(numbers.type, [0.0] * width))  # NaN does too
            return builder.zext(builder.bitcast(differ, bits), ir.IntType(BITS))

        return types.uint64(x, types.int64), generate

    return which


@intrinsic
def _lowest(context, bits):
    """The type of `lowest`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))  # 1: of 0 it is never asked

    return types.int64(types.uint64), generate


def _picked(builder, one, other, places):
    """The numbers at `places` of two vectors, one behind the other."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def _halved(builder, one, other, segment):
    """Both vectors in one: of each segment of theirs the two halves are added; segments of one number stay."""
    size = one.type.count
    if segment == 1:
        return _picked(builder, one, other, list(range(2 * size)))
    low = [i for start in range(0, 2 * size, segment) for i in range(start, start + segment // 2)]
    high = [i + segment // 2 for i in low]
    if one is other:
        low, high = low[: size // 2], high[: size // 2]
    return builder.fadd(_picked(builder, one, other, low), _picked(builder, one, other, high), flags=FAST)


def _sums(builder, rows, width):
    """The sums of `rows`, each a vector, as one vector."""
    while len(rows) > 1:
        rows = [_halved(builder, *two, width) for two in zip(rows[::2], rows[1::2], strict=True)]
        width = max(width // 2, 1)
    total = rows[0]
    while width > 1:
        total, width = _halved(builder, total, total, width), width // 2
    return total


def _add_dots_of(width):
    @intrinsic
    def add(context, x, s, y, c, lanes, row, k, g):
        def generate(target, builder, signature, arguments):
            kinds, (x, s, y, c, lanes, row, k, g) = signature.args, arguments
            run, align = _vector(target, builder, kinds[0], x, s, width)
            numbers, size = builder.load(run, align=align), ir.IntType(64)
            rows = cgutils.create_struct_proxy(kinds[5])(target, builder, value=row).data
            products = []
            for j in range(TOGETHER):
                at = builder.load(builder.gep(rows, [builder.add(k, ir.Constant(size, j))]))
                start = builder.add(builder.mul(builder.zext(at, size), lanes), c)
                other, _ = _vector(target, builder, kinds[2], y, start, width)
                products.append(builder.fmul(numbers, builder.load(other, align=align), flags=FAST))
            to, _ = _vector(target, builder, kinds[7], g, k, TOGETHER)
            total = builder.fadd(builder.load(to, align=align), _sums(builder, products, width), flags=FAST)
            builder.store(total, to, align=align)
            return target.get_dummy_value()

        return types.none(x, types.int64, y, types.int64, types.int64, row, types.int64, g), generate

    return add


def _at(context, builder, array_type, array, at):
    """The number of a 1-D contiguous array at a place."""
    made = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    return builder.load(builder.gep(made.data, [at]))


def _sum_runs_of(width):
    @intrinsic
    def add_up(context, y, t, b, x, s, step, index, i, weights, place, k, unit, n):
        def generate(target, builder, signature, arguments):
            kinds, (y, t, b, x, s, step, index, i, weights, place, k, unit, n) = signature.args, arguments
            to, align = _vector(target, builder, kinds[0], y, t, width)
            total = cgutils.alloca_once_value(builder, _spread(builder, b, to.type.pointee))
            with cgutils.for_range(builder, n) as loop:
                which = builder.add(k, loop.index)
                if not isinstance(kinds[9], types.NoneType):
                    which = builder.zext(_at(target, builder, kinds[9], place, which), k.type)
                w = _at(target, builder, kinds[8], weights, which)
                if isinstance(kinds[8].dtype, types.Integer):
                    w = builder.fmul(builder.sitofp(w, unit.type), unit)
                start = builder.zext(_at(target, builder, kinds[6], index, builder.add(i, loop.index)), s.type)
                run, _ = _vector(target, builder, kinds[3], x, builder.add(s, builder.mul(start, step)), width)
                term = builder.fmul(_spread(builder, w, to.type.pointee), builder.load(run, align=align), flags=FAST)
                builder.store(builder.fadd(builder.load(total), term, flags=FAST), total)
            builder.store(builder.load(total), to, align=align)
            return target.get_dummy_value()

        wide = types.int64
        return types.none(y, wide, y.dtype, x, wide, wide, index, wide, weights, place, wide, y.dtype, wide), generate

    return add_up


def _compiled_sums(width):
    add_up = _sum_runs_of(width)

    @register_jitable
    def sum_runs(y, t, b, x, s, step, index, i, weights, place, k, unit, n):
        part()
        y[t + width - 1]
        for j in range(n):
            x[s + step * np.int64(index[i + j]) + width - 1]
            if place is None:
                weights[k + j]
            else:
                weights[place[k + j]]
        add_up(y, t, b, x, s, step, index, i, weights, place, k, unit, n)

    return sum_runs


def _plain_sums(width):
    def sum_runs(y, t, b, x, s, step, index, i, weights, place, k, unit, n):
        y[t : t + width] = b
        for j in range(n):
            start, which = s + step * np.int64(index[i + j]), k + j if place is None else place[k + j]
            y[t : t + width] += unit * y.dtype.type(weights[which]) * x[start : start + width]

    return sum_runs


class Lanes(NamedTuple):
    """What is done with runs of one width."""

    add_scaled: object
    dot: object
    add_dots: object
    which: object
    some: object
    copy: object
    greater: object


def _compiled(width):
    """The Lanes for runs of `width`."""
    makers = _add_scaled_of, _dot_of, _add_dots_of, _which_of, _copy_of, _greater_of
    scaled, product, products, differing, copied, raised = (make(width) for make in makers)

    @register_jitable(inline="always")
    def add_scaled(y, t, v, x, s):
        y[t + width - 1], x[s + width - 1]
        scaled(y, t, v, x, s)

    @register_jitable(inline="always")
    def dot(x, s, y, t):
        x[s + width - 1], y[t + width - 1]
        return product(x, s, y, t)

    @register_jitable(inline="always")
    def add_dots(x, s, y, c, lanes, row, k, g):
        x[s + width - 1], row[k + TOGETHER - 1], g[k + TOGETHER - 1]
        for j in range(TOGETHER):
            y[np.int64(row[k + j]) * lanes + c + width - 1]
        products(x, s, y, c, lanes, row, k, g)

    @register_jitable(inline="always")
    def which(x, s):
        x[s + width - 1]
        return differing(x, s)

    @register_jitable(inline="always")
    def some(x, s):
        x[s + width - 1]
        return differing(x, s) != NONE

    @register_jitable(inline="always")
    def copy(y, t, x, s):
        y[t + width - 1], x[s + width - 1]
        copied(y, t, x, s)

    @register_jitable(inline="always")
    def greater(y, t, x, s):
        y[t + width - 1], x[s + width - 1]
        raised(y, t, x, s)

    return Lanes(add_scaled, dot, add_dots, which, some, copy, greater)


def _plain(width):
    """The same in plain Python."""
    def add_scaled(y, t, v, x, s):
        y[t : t + width] += v * x[s : s + width]

    def dot(x, s, y, t):
        return (x[s : s + width] * y[t : t + width]).sum()

    def add_dots(x, s, y, c, lanes, row, k, g):
        for j in range(k, k + TOGETHER):
            g[j] += dot(x, s, y, row[j] * lanes + c)

    def which(x, s):
        return np.bitwise_or.reduce(ONE << np.flatnonzero(x[s : s + width]).astype(np.uint64))

    def some(x, s):
        return (x[s : s + width] != 0).any()

    def copy(y, t, x, s):
        y[t : t + width] = x[s : s + width]

    def greater(y, t, x, s):
        y[t : t + width] = np.where(x[s : s + width] > y[t : t + width], x[s : s + width], y[t : t + width])

    return Lanes(add_scaled, dot, add_dots, which, some, copy, greater)


def _plain_lowest(bits):
    return int(bits & (~bits + ONE)).bit_length() - 1


@register_jitable
def without_lowest(bits):
    """The bits without the lowest that is set."""
    return bits & (bits - ONE)


lowest = _plain_lowest if numba.config.DISABLE_JIT else _lowest
LANES = {width: (_plain if numba.config.DISABLE_JIT else _compiled)(width) for width in WIDTHS}
SUMS = {width: (_plain_sums if numba.config.DISABLE_JIT else _compiled_sums)(width) for width in SUM_WIDTHS}
