"""Calls of compiled kernels by their address.

    address = address_of(clear, (code, 0, work))    # in Python: compiled for arguments of these types
    call_at(address, None, (code, 3, work))         # in a kernel: clear(code, 3, work)

A kernel that another one calls by name becomes part of it, so that it is compiled again in each caller. By its address
it is compiled once, which is worth an indirect call where it is long.

    weights = array_at(data_of(values), (values.size,), np.float32(0), 4)    # in a kernel: `values`, by its address

Numba's dispatcher looks at the type of each argument, and an array's record is read field by field. What many calls
share is given by address instead, as one table of integers.
"""
import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def address_of(function, arguments):
    """Return the address of the kernel `function` for arguments of these types, an int; valid in this process only.

    With NUMBA_DISABLE_JIT=1 the function itself, which `call_at` calls.
    """
    if numba.config.DISABLE_JIT:
        return function
    compiled = _compiled(function, arguments)
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def entry_of(function, arguments):
    """Return what calls the kernel `function` without a look at the types of its arguments: the caller knows them."""
    return function if numba.config.DISABLE_JIT else _compiled(function, arguments).entry_point


def data_of(array):
    """Return the address of the first entry of an array, which the caller keeps alive; in plain Python the array."""
    return array if numba.config.DISABLE_JIT else array.ctypes.data


def table_of(entries):
    """Return addresses and other integers as an int64 array; in plain Python as an array of the objects themselves."""
    table = np.empty(len(entries), object if numba.config.DISABLE_JIT else np.int64)
    for i, entry in enumerate(entries):
        table[i] = entry
    return table


def _compiled(function, arguments):
    """Return what Numba made of a kernel for arguments of these types."""
    signature = tuple(map(numba.typeof, arguments))
    function.compile(signature)  # or load it; nothing if that was done
    return function.overloads[signature]


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


def _array_at_plain(address, shape, number, itemsize):
    """Return the array that `data_of` returned."""
    return address


@intrinsic
def _array_at(context, address, shape, number, itemsize):
    """Return the type and the code generator of `array_at`: an array's record that owns nothing."""
    array = types.Array(number, len(shape), "C")

    def generate(target, builder, signature, values):
        made = target.make_array(array)(target, builder)
        shape, strides = cgutils.unpack_tuple(builder, values[1], array.ndim), [values[3]]
        for size in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], size))
        data = builder.inttoptr(values[0], made.data.type)
        populate_array(made, data=data, shape=shape, strides=strides, itemsize=values[3], meminfo=None)
        return made._getvalue()

    return array(types.int64, shape, number, types.intp), generate


# array_at(address, shape, number, itemsize): the contiguous array whose data is at `address`, as `data_of` returns it,
# of entries of the type of `number` that have `itemsize` bytes. What only passes it on may take another type for it.
array_at = _array_at_plain if numba.config.DISABLE_JIT else _array_at
