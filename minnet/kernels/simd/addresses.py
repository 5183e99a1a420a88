"""Calls of compiled kernels by their address.

    address = address_of(clear, (code, 0, work))    # in Python: compiled for arguments of these types
    call_at(address, None, (code, 3, work))         # in a kernel: clear(code, 3, work)

A kernel that another one calls by name becomes part of it, so that it is compiled again in each caller. By its address
it is compiled once, which is worth an indirect call where it is long.
"""
import numba
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def address_of(function, arguments):
    """Return the address of the kernel `function` for arguments of these types, an int; valid in this process only.

    With NUMBA_DISABLE_JIT=1 the function itself, which `call_at` calls.
    """
    if numba.config.DISABLE_JIT:
        return function
    signature = tuple(map(numba.typeof, arguments))
    function.compile(signature)  # or load it; nothing if that was done
    compiled = function.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def _call_plain(address, result, arguments):
    """Call a function of plain Python."""
    return address(*arguments)


@intrinsic
def _call_at(context, address, result, arguments):
    """Return the type and the code generator of `call_at`: a call by Numba's own convention."""
    def generate(target, builder, signature, values):
        wanted = signature.args[2].types
        function_type = target.call_conv.get_function_type(result, wanted)
        function = builder.inttoptr(values[0], function_type.as_pointer())
        arrays = cgutils.unpack_tuple(builder, values[2], len(wanted))
        status, returned = target.call_conv.call_function(builder, function, result, wanted, arrays)
        with cgutils.if_unlikely(builder, status.is_error):
            target.call_conv.return_status_propagate(builder, status)
        return target.get_dummy_value() if result == types.none else returned

    return result(types.int64, result, arguments), generate


# call_at(address, result, arguments): call the kernel at `address` and return what it does, a number of the type of
# `result`, or None if that is. The tuple `arguments` must have the types that `address_of` was given.
call_at = _call_plain if numba.config.DISABLE_JIT else _call_at
