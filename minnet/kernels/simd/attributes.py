"""What a kernel may tell the compiler about itself.

    @kernel
    def add(table, x, y):
        apart()
        start = offset(table[0] * table[1])
        for j in range(128):
            y[start + j] += x[start + j]
"""
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

READ, ALL_CACHES, DATA = 0, 3, 1  # what LLVM is told about a place that is needed soon
WIDE = '"prefer-vector-width"="512"'


@intrinsic
def _apart(context):
    """The type of `apart`, and the code that it becomes: none, but attributes of the kernel that calls it."""
    def generate(target, builder, signature, arguments):
        function = builder.function
        for argument in function.args[2:]:  # the first two are where Numba returns results and errors
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        function.attributes.add("noinline")
        set.add(function.attributes, WIDE)  # `add` of llvmlite knows attributes that are single words only
        return target.get_dummy_value()

    return types.none(), generate


@intrinsic
def _part(context):
    """The type of `part`, and the code that it becomes: none, but an attribute of the function that calls it."""
    def generate(target, builder, signature, arguments):
        builder.function.attributes.add("alwaysinline")
        return target.get_dummy_value()

    return types.none(), generate


@intrinsic
def _soon(context, x, at):
    """The type of `soon`, and the code that it becomes: the processor's own hint."""
    def generate(target, builder, signature, arguments):
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        data = target.make_array(signature.args[0])(target, builder, arguments[0]).data
        ask = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, ask, "llvm.prefetch.p0i8")
        place = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [place, *(ir.Constant(number, flag) for flag in (READ, ALL_CACHES, DATA))])
        return target.get_dummy_value()

    return types.none(x, types.int64), generate


def _nothing(*arguments):
    """Plain Python needs no hints."""


# Promise that nothing which the calling kernel writes through one array is read through another; it may then keep sums
# in registers that it would have to store and load again. Such a kernel gets vectors as wide as the processor has.
apart = _nothing if numba.config.DISABLE_JIT else _apart

# Say that the calling function is to become part of each that calls it, where it then is as `apart` as that one is.
# Numba can do so too (inline="always"), but counts the users of all arrays at every call.
part = _nothing if numba.config.DISABLE_JIT else _part

# Say that x[at], of a 1-D contiguous array, is read soon: it is fetched meanwhile. It may be beyond the end.
soon = _nothing if numba.config.DISABLE_JIT else _soon


@register_jitable
def offset(number):
    """The same number below 2**32, now known to be positive: neighbours of x[offset + j] are then loaded together.

    What may be negative counts from the end, so the compiler must look at each index by itself.
    """
    return np.int64(np.uint32(number))
