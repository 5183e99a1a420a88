"""Numbers that several threads count with: who does what next, and how much is done.

    ticket = take(turn, 0)            # each number goes to one thread only
    mine = claim(turn, 0, 7)          # seven becomes eight, for one thread only
    wait_for(turn, 1, 10)             # until ten are done
    ...
    take(turn, 1)                     # one more is done
    wait_for_news(begun, 0, seen, 50_000)

A thread that waits holds the processor, which is right for microseconds only; from time to time it lets others have it.
"""
import sys

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

PATIENCE = 2000  # looks before others may have the processor
give_way = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


def _address(context, builder, signature, arguments):
    """Where the number is: arguments (array, index)."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def _take(context, numbers, at):
    """The type of `take`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        return builder.atomic_rmw("add", _address(target, builder, signature, arguments), ir.IntType(64)(1), "seq_cst")

    return types.int64(numbers, types.intp), generate


@intrinsic
def _claim(context, numbers, at, number):
    """The type of `claim`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        old, new = arguments[2], builder.add(arguments[2], ir.IntType(64)(1))
        place = _address(target, builder, signature, arguments)
        return builder.extract_value(builder.cmpxchg(place, old, new, "seq_cst", "seq_cst"), 1)

    return types.boolean(numbers, types.intp, types.int64), generate


@intrinsic
def _look(context, numbers, at):
    """The type of `look`, and the code that it becomes."""
    def generate(target, builder, signature, arguments):
        return builder.load_atomic(_address(target, builder, signature, arguments), "seq_cst", 8)

    return types.int64(numbers, types.intp), generate


def _take_plain(numbers, at):
    """In plain Python one thread does it all."""
    numbers[at] += 1
    return numbers[at] - 1


def _claim_plain(numbers, at, number):
    mine = numbers[at] == number
    numbers[at] += mine
    return mine


def _look_plain(numbers, at):
    return numbers[at]


# numbers[at], which then is one more. numbers: (m,) int64, contiguous; at: intp.
take = _take_plain if numba.config.DISABLE_JIT else _take
# Whether numbers[at] == number; it then is one more, so that nobody else is told the same. number: int64.
claim = _claim_plain if numba.config.DISABLE_JIT else _claim
# numbers[at], as the thread that wrote it last left it; what that thread wrote before is there too.
look = _look_plain if numba.config.DISABLE_JIT else _look


@register_jitable
def wait_for(numbers, at, wanted):
    """Return when numbers[at] >= wanted."""
    looks = 0
    while look(numbers, at) < wanted:
        looks += 1
        if looks % PATIENCE == 0:
            give_way()


@register_jitable
def wait_for_news(numbers, at, seen, patience):
    """Return when numbers[at] is not `seen` any more, or after so many looks."""
    for looks in range(patience):
        if look(numbers, at) != seen:
            return
        if looks % PATIENCE == 0:
            give_way()
