"""Operations on runs of a fixed number of neighbours as one vector, where the compiler would leave a loop scalar.

    ops = VECTOR_OPS[32]                      # of runs of 32; there are the widths WIDTHS
    ops.add_scaled(y, t, v, x, s)             # y[t : t + 32] += v * x[s : s + 32]
    total = ops.dot(x, s, y, t)               # x[s : s + 32] . y[t : t + 32]
    ops.add_dots(x, s, y, c, lanes, row, k, g)  # g[k + j] += dot(x, s, y, row[k + j] * lanes + c), j < DOTS_AT_ONCE
    bits = ops.nonzero_mask(x, s)             # bit j is set if x[s + j] is not 0
    ops.any_nonzero(x, s)                     # True if any of x[s : s + 32] is not 0
    ops.copy(y, t, x, s)                      # y[t : t + 32] = x[s : s + 32]
    ops.maximum_into(y, t, x, s)              # y[t : t + 32] = x[s : s + 32] where that is greater
    count_trailing_zeros(bits)                # the number of the lowest bit that is set; `bits` is not 0
    clear_lowest_bit(bits)                    # the others

    gather_fma = GATHER_FMA[64]               # y[t : t + 64] = b + the sum over j < n of
                                              #     unit * w_j * x[s_j : s_j + 64], where span = (i, k, n),
                                              #     s_j = s + step * index[i + j], and w_j = weights[k + j],
                                              #     or weights[order[k + j]] where `order` is not None
    gather_fma(y, t, b, x, s, step, index, weights, order, span, unit)

Short loops of fixed length are unrolled by the compiler before it looks for vectors, and stay scalar. These state the
vector outright: one load, one multiply-add, one store, of 2 to 128 numbers of 1-D contiguous arrays. A sum that a loop
keeps adding to stays in registers where the kernel is `noalias` (see attributes.py); that of `gather_fma` does in any
case, and is written once. With checked indices (NUMBA_BOUNDSCHECK=1) the last number of each run is read first, as
plain indexing would do.
"""
from typing import NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from minnet.kernels.simd.attributes import always_inline

WIDTHS, GATHER_WIDTHS = (2, 4, 8, 16, 32, 64), (16, 32, 64, 128)
DOTS_AT_ONCE = 4  # dot products that are reduced together: half the additions of one at a time
FAST = ("reassoc", "contract")  # as in jit.FASTMATH: sums may be reordered, NaN and infinity stay
MASK_BITS, NO_BITS, ONE_BIT = 64, np.uint64(0), np.uint64(1)  # of a mask of nonzero numbers


def _pointer(context, builder, array_type, array, at, width):
    """Return (a pointer to the run of `width` numbers that begins at `at`, the alignment of one number)."""
    struct = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    number = context.get_data_type(array_type.dtype)
    pointer = builder.bitcast(builder.gep(struct.data, [at]), ir.VectorType(number, width).as_pointer())
    return pointer, context.get_abi_alignment(number)


def _splat(builder, number, kind):
    """Return the vector of type `kind` whose numbers are all `number`."""
    undefined, zeros = ir.Constant(kind, ir.Undefined), ir.VectorType(ir.IntType(32), kind.count)
    lane = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(lane, undefined, ir.Constant(zeros, [0] * kind.count))


# Makers of intrinsics: one for each width, since the width of a vector is part of its type in LLVM.
def _add_scaled_of(width):
    @intrinsic
    def add(context, y, t, v, x, s):
        def generate(target, builder, signature, arguments):
            kinds = signature.args
            y, t, v, x, s = arguments
            to, align = _pointer(target, builder, kinds[0], y, t, width)
            source, _ = _pointer(target, builder, kinds[3], x, s, width)
            product = builder.fmul(_splat(builder, v, to.type.pointee), builder.load(source, align=align), flags=FAST)
            builder.store(builder.fadd(builder.load(to, align=align), product, flags=FAST), to, align=align)
            return target.get_dummy_value()

        return types.none(y, types.int64, y.dtype, x, types.int64), generate

    return add


def _update_of(width, chosen):
    @intrinsic
    def replace(context, y, t, x, s):
        def generate(target, builder, signature, arguments):
            to, align = _pointer(target, builder, signature.args[0], *arguments[:2], width)
            source, _ = _pointer(target, builder, signature.args[2], *arguments[2:], width)
            old, new = builder.load(to, align=align), builder.load(source, align=align)
            builder.store(chosen(builder, old, new), to, align=align)
            return target.get_dummy_value()

        return types.none(y, types.int64, x, types.int64), generate

    return replace


def _copy_of(width):
    return _update_of(width, lambda builder, old, new: new)


def _maximum_into_of(width):
    return _update_of(width, lambda builder, old, new: builder.select(builder.fcmp_ordered(">", new, old), new, old))


def _dot_of(width):
    @intrinsic
    def product(context, x, s, y, t):
        def generate(target, builder, signature, arguments):
            kinds = signature.args
            one, align = _pointer(target, builder, kinds[0], arguments[0], arguments[1], width)
            other, _ = _pointer(target, builder, kinds[2], arguments[2], arguments[3], width)
            terms = builder.fmul(builder.load(one, align=align), builder.load(other, align=align), flags=FAST)
            number = terms.type.element
            name = f"llvm.vector.reduce.fadd.v{width}{'f32' if number == ir.FloatType() else 'f64'}"
            reduce = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, [number, terms.type]), name)
            return builder.call(reduce, [ir.Constant(number, 0.0), terms], fastmath=FAST)

        return x.dtype(x, types.int64, y, types.int64), generate

    return product


def _nonzero_mask_of(width):
    @intrinsic
    def nonzero_mask(context, x, s):
        def generate(target, builder, signature, arguments):
            run, align = _pointer(target, builder, signature.args[0], *arguments, width)
            numbers, bits = builder.load(run, align=align), ir.IntType(width)
            differ = builder.fcmp_unordered("!=", numbers, ir.Constant(numbers.type, [0.0] * width))  # NaN does too
            # a vector of truth values is as many bits, the first the lowest
            return builder.zext(builder.bitcast(differ, bits), ir.IntType(MASK_BITS))

        return types.uint64(x, types.int64), generate

    return nonzero_mask


@intrinsic
def _count_trailing_zeros(context, bits):
    """Return the type and the code generator of `count_trailing_zeros`."""
    def generate(target, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))  # 1: the result for 0 is undefined

    return types.int64(types.uint64), generate


def _shuffle(builder, one, other, places):
    """Return the numbers at `places` of two vectors, concatenated."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def _add_halves(builder, one, other, segment):
    """Return both vectors as one: the two halves of each of their segments are added; segments of one number stay."""
    size = one.type.count
    if segment == 1:
        return _shuffle(builder, one, other, list(range(2 * size)))
    low = [i for start in range(0, 2 * size, segment) for i in range(start, start + segment // 2)]
    high = [i + segment // 2 for i in low]
    if one is other:
        low, high = low[: size // 2], high[: size // 2]
    return builder.fadd(_shuffle(builder, one, other, low), _shuffle(builder, one, other, high), flags=FAST)


def _reduce_rows(builder, rows, width):
    """Return the sums of `rows`, each a vector, as one vector."""
    # pairs of rows are merged first, so that each addition has a whole vector of useful sums
    while len(rows) > 1:
        rows = [_add_halves(builder, *two, width) for two in zip(rows[::2], rows[1::2], strict=True)]
        width = max(width // 2, 1)
    total = rows[0]
    while width > 1:
        total, width = _add_halves(builder, total, total, width), width // 2
    return total


def _add_dots_of(width):
    @intrinsic
    def add(context, x, s, y, c, lanes, row, k, g):
        def generate(target, builder, signature, arguments):
            kinds, (x, s, y, c, lanes, row, k, g) = signature.args, arguments
            run, align = _pointer(target, builder, kinds[0], x, s, width)
            numbers, size = builder.load(run, align=align), ir.IntType(64)
            rows = cgutils.create_struct_proxy(kinds[5])(target, builder, value=row).data
            products = []
            for j in range(DOTS_AT_ONCE):
                at = builder.load(builder.gep(rows, [builder.add(k, ir.Constant(size, j))]))
                start = builder.add(builder.mul(builder.zext(at, size), lanes), c)
                other, _ = _pointer(target, builder, kinds[2], y, start, width)
                products.append(builder.fmul(numbers, builder.load(other, align=align), flags=FAST))
            to, _ = _pointer(target, builder, kinds[7], g, k, DOTS_AT_ONCE)
            total = builder.fadd(builder.load(to, align=align), _reduce_rows(builder, products, width), flags=FAST)
            builder.store(total, to, align=align)
            return target.get_dummy_value()

        return types.none(x, types.int64, y, types.int64, types.int64, row, types.int64, g), generate

    return add


def _load_number(context, builder, array_type, array, at):
    """Return number `at` of a 1-D contiguous array."""
    struct = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    return builder.load(builder.gep(struct.data, [at]))


def _gather_fma_of(width):
    @intrinsic
    def gather(context, y, t, b, x, s, step, index, weights, order, span, unit):
        def generate(target, builder, signature, arguments):
            kinds, (y, t, b, x, s, step, index, weights, order, span, unit) = signature.args, arguments
            i, k, n = cgutils.unpack_tuple(builder, span)
            to, align = _pointer(target, builder, kinds[0], y, t, width)
            # the sum is a variable of its own, which the compiler keeps in registers: y is written once, at the end
            total = cgutils.alloca_once_value(builder, _splat(builder, b, to.type.pointee))
            with cgutils.for_range(builder, n) as loop:
                at = builder.add(k, loop.index)
                if not isinstance(kinds[8], types.NoneType):
                    at = builder.zext(_load_number(target, builder, kinds[8], order, at), k.type)
                w = _load_number(target, builder, kinds[7], weights, at)
                if isinstance(kinds[7].dtype, types.Integer):  # int8 weights, in units of their scale
                    w = builder.fmul(builder.sitofp(w, unit.type), unit)
                row = builder.add(i, loop.index)
                start = builder.zext(_load_number(target, builder, kinds[6], index, row), s.type)
                run, _ = _pointer(target, builder, kinds[3], x, builder.add(s, builder.mul(start, step)), width)
                term = builder.fmul(_splat(builder, w, to.type.pointee), builder.load(run, align=align), flags=FAST)
                builder.store(builder.fadd(builder.load(total), term, flags=FAST), total)
            builder.store(builder.load(total), to, align=align)
            return target.get_dummy_value()

        whole, span = types.int64, types.UniTuple(types.int64, 3)
        return types.none(y, whole, y.dtype, x, whole, whole, index, weights, order, span, y.dtype), generate

    return gather


def _compiled_gather_fma(width):
    gather = _gather_fma_of(width)

    @register_jitable
    def gather_fma(y, t, b, x, s, step, index, weights, order, span, unit):
        always_inline()
        i, k, n = span
        y[t + width - 1]
        for j in range(n):
            x[s + step * np.int64(index[i + j]) + width - 1]
            if order is None:
                weights[k + j]
            else:
                weights[order[k + j]]
        gather(y, t, b, x, s, step, index, weights, order, span, unit)

    return gather_fma


def _plain_gather_fma(width):
    def gather_fma(y, t, b, x, s, step, index, weights, order, span, unit):
        i, k, n = span
        y[t : t + width] = b
        for j in range(n):
            start, at = s + step * np.int64(index[i + j]), k + j if order is None else order[k + j]
            y[t : t + width] += unit * y.dtype.type(weights[at]) * x[start : start + width]

    return gather_fma


class VectorOps(NamedTuple):
    """The operations on runs of one width."""

    add_scaled: object
    dot: object
    add_dots: object
    nonzero_mask: object
    any_nonzero: object
    copy: object
    maximum_into: object


def _compiled(width):
    """Return the VectorOps for runs of `width`."""
    makers = _add_scaled_of, _dot_of, _add_dots_of, _nonzero_mask_of, _copy_of, _maximum_into_of
    scaled, product, products, mask_of, copied, maximum = (make(width) for make in makers)

    # The reads in front of each are dropped by the compiler, unless indices are checked.
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
        x[s + width - 1], row[k + DOTS_AT_ONCE - 1], g[k + DOTS_AT_ONCE - 1]
        for j in range(DOTS_AT_ONCE):
            y[np.int64(row[k + j]) * lanes + c + width - 1]
        products(x, s, y, c, lanes, row, k, g)

    @register_jitable(inline="always")
    def nonzero_mask(x, s):
        x[s + width - 1]
        return mask_of(x, s)

    @register_jitable(inline="always")
    def any_nonzero(x, s):
        x[s + width - 1]
        return mask_of(x, s) != NO_BITS

    @register_jitable(inline="always")
    def copy(y, t, x, s):
        y[t + width - 1], x[s + width - 1]
        copied(y, t, x, s)

    @register_jitable(inline="always")
    def maximum_into(y, t, x, s):
        y[t + width - 1], x[s + width - 1]
        maximum(y, t, x, s)

    return VectorOps(add_scaled, dot, add_dots, nonzero_mask, any_nonzero, copy, maximum_into)


def _plain(width):
    """Return the VectorOps for runs of `width` in plain Python."""
    def add_scaled(y, t, v, x, s):
        y[t : t + width] += v * x[s : s + width]

    def dot(x, s, y, t):
        return (x[s : s + width] * y[t : t + width]).sum()

    def add_dots(x, s, y, c, lanes, row, k, g):
        for j in range(k, k + DOTS_AT_ONCE):
            g[j] += dot(x, s, y, row[j] * lanes + c)

    def nonzero_mask(x, s):
        return np.bitwise_or.reduce(ONE_BIT << np.flatnonzero(x[s : s + width]).astype(np.uint64))

    def any_nonzero(x, s):
        return (x[s : s + width] != 0).any()

    def copy(y, t, x, s):
        y[t : t + width] = x[s : s + width]

    def maximum_into(y, t, x, s):
        y[t : t + width] = np.where(x[s : s + width] > y[t : t + width], x[s : s + width], y[t : t + width])

    return VectorOps(add_scaled, dot, add_dots, nonzero_mask, any_nonzero, copy, maximum_into)


def _plain_count_trailing_zeros(bits):
    return int(bits & (~bits + ONE_BIT)).bit_length() - 1


@register_jitable
def clear_lowest_bit(bits):
    """Return the bits without the lowest that is set."""
    return bits & (bits - ONE_BIT)


count_trailing_zeros = _plain_count_trailing_zeros if numba.config.DISABLE_JIT else _count_trailing_zeros
VECTOR_OPS = {width: (_plain if numba.config.DISABLE_JIT else _compiled)(width) for width in WIDTHS}
GATHER_FMA = {width: (_plain_gather_fma if numba.config.DISABLE_JIT else _compiled_gather_fma)(width)
              for width in GATHER_WIDTHS}
