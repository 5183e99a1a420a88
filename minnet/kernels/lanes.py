"""Runs of a fixed number of neighbours as one vector, for kernels whose inner loop the compiler would leave scalar.

    add_scaled, dot = LANES[32]
    add_scaled(y, t, v, x, s)        # y[t : t + 32] += v * x[s : s + 32]
    total = dot(x, s, y, t)          # x[s : s + 32] . y[t : t + 32]

Short loops of fixed length are written out by the compiler before it looks for vectors, and stay scalar. These say the
vector outright: one load, one multiply-add, one store, of 2 to 64 numbers of 1-D contiguous arrays. A sum that a loop
keeps adding to stays in registers where the kernel is `apart` (see hints.py). With checked indices
(NUMBA_BOUNDSCHECK=1) the last number of each run is looked at first, as plain indexing would.
"""
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

WIDTHS = (2, 4, 8, 16, 32, 64)
FAST = ("reassoc", "contract")


def _vector(context, builder, array_type, array, at, width):
    """(pointer to the run of `width` numbers that begins at `at`, alignment of one number)."""
    made = cgutils.create_struct_proxy(array_type)(context, builder, value=array)
    one = context.get_data_type(array_type.dtype)
    pointer = builder.bitcast(builder.gep(made.data, [at]), ir.VectorType(one, width).as_pointer())
    return pointer, context.get_abi_alignment(one)


def _add_scaled_of(width):
    @intrinsic
    def add(context, y, t, v, x, s):
        def generate(target, builder, signature, arguments):
            kinds = signature.args
            y, t, v, x, s = arguments
            to, align = _vector(target, builder, kinds[0], y, t, width)
            source, _ = _vector(target, builder, kinds[3], x, s, width)
            kind = to.type.pointee
            lane = builder.insert_element(ir.Constant(kind, ir.Undefined), v, ir.IntType(32)(0))
            spread = builder.shuffle_vector(lane, ir.Constant(kind, ir.Undefined),
                                            ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))
            product = builder.fmul(spread, builder.load(source, align=align), flags=FAST)
            builder.store(builder.fadd(builder.load(to, align=align), product, flags=FAST), to, align=align)
            return target.get_dummy_value()

        return types.none(y, types.int64, y.dtype, x, types.int64), generate

    return add


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


def _pair(width):
    """(add_scaled, dot) for runs of `width`."""
    add, product = _add_scaled_of(width), _dot_of(width)

    @register_jitable(inline="always")
    def add_scaled(y, t, v, x, s):
        y[t + width - 1], x[s + width - 1]
        add(y, t, v, x, s)

    @register_jitable(inline="always")
    def dot(x, s, y, t):
        x[s + width - 1], y[t + width - 1]
        return product(x, s, y, t)

    return add_scaled, dot


def _plain(width):
    """The same in plain Python."""
    def add_scaled(y, t, v, x, s):
        y[t : t + width] += v * x[s : s + width]

    def dot(x, s, y, t):
        return (x[s : s + width] * y[t : t + width]).sum()

    return add_scaled, dot


LANES = {width: _plain(width) if numba.config.DISABLE_JIT else _pair(width) for width in WIDTHS}
