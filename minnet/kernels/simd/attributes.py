"""Attributes and hints that a kernel gives to the compiler.

    @kernel
    def add(table, x, y):
        noalias()
        start = as_nonnegative(table[0] * table[1])
        for j in range(128):
            y[start + j] += x[start + j]

Numba has no syntax for LLVM's function and argument attributes, so each is an intrinsic: it generates no instruction,
or one, and adds the attribute to the function that it is called from. With NUMBA_DISABLE_JIT=1 all do nothing.
"""
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

# Arguments of llvm.prefetch: a read (0) of data (1) that is worth a place in all levels of the cache (3).
READ, ALL_CACHES, DATA = 0, 3, 1

# LLVM uses vectors of 256 bits even on processors with 512, unless a function says otherwise.
WIDE_VECTORS = '"prefer-vector-width"="512"'


@intrinsic
def _noalias(context):
    """Return the type and the code generator of `noalias`: no instruction, but attributes of the calling kernel."""
    def generate(target, builder, signature, arguments):
        function = builder.function
        for argument in function.args[2:]:  # the first two are where Numba returns results and errors
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        # once inlined in a caller, whose arrays may overlap, the function would lose the promise
        function.attributes.add("noinline")
        set.add(function.attributes, WIDE_VECTORS)  # `add` of llvmlite knows attributes that are single words only
        return target.get_dummy_value()

    return types.none(), generate


@intrinsic
def _always_inline(context):
    """Return the type and the code generator of `always_inline`: no instruction, but an attribute of the caller."""
    def generate(target, builder, signature, arguments):
        builder.function.attributes.add("alwaysinline")
        return target.get_dummy_value()

    return types.none(), generate


@intrinsic
def _prefetch(context, x, at):
    """Return the type and the code generator of `prefetch`: the processor's own instruction."""
    def generate(target, builder, signature, arguments):
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        data = target.make_array(signature.args[0])(target, builder, arguments[0]).data
        prefetch_type = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, prefetch_type, "llvm.prefetch.p0i8")
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        builder.call(function, [address, *(ir.Constant(number, flag) for flag in (READ, ALL_CACHES, DATA))])
        return target.get_dummy_value()

    return types.none(x, types.int64), generate


def _no_op(*arguments):
    """Do nothing: plain Python needs no hints."""


# noalias(): promise that nothing which the calling kernel writes through one array is read through another; it may then
# keep sums in registers that it would have to store and load again. Such a kernel gets vectors as wide as the processor
# has.
noalias = _no_op if numba.config.DISABLE_JIT else _noalias

# always_inline(): make the calling function part of each of its callers, where the promise of `noalias` then covers it.
# Numba can do so too (inline="always"), but then counts references to all arrays at every call.
always_inline = _no_op if numba.config.DISABLE_JIT else _always_inline

# prefetch(x, at): fetch x[at], of a 1-D contiguous array, into the cache while other work goes on. `at` may be beyond
# the end of x: nothing is read.
prefetch = _no_op if numba.config.DISABLE_JIT else _prefetch


@register_jitable
def as_nonnegative(number):
    """Return the same number below 2**32, known to the compiler to be at least 0.

    A negative index counts from the end, so the compiler has to test each index that may be negative, and cannot load
    the neighbours x[start + j] as one vector. A conversion by way of uint32 proves that it is not.
    """
    return np.int64(np.uint32(number))
