"""Atomic counters that several threads share: which task is next, and how many are done.

    task = fetch_add(counters, 0)                        # each number is returned to one thread only
    mine = compare_and_increment(counters, 0, 7)         # 7 becomes 8; True for one thread only
    spin_until(counters, 1, 10)                          # wait until ten are done
    ...
    fetch_add(counters, 1)                               # one more is done
    spin_while_equal(calls, 0, seen, 50_000)

A waiting thread spins, since waking one that sleeps takes longer than the waits here, some microseconds; it yields the
processor at regular intervals, so that the thread it waits for can run even if there are more threads than cores.
"""
import sys

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

SPIN_LIMIT = 2000  # loads of the counter between two yields: a yield is a system call, as long as some hundred loads
ALIGNMENT = 8  # bytes: what an atomic load of an int64 needs, and NumPy gives

# int32 yield_cpu(): let another thread have this core, by the C library's function for it.
yield_cpu = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


def _address(context, builder, signature, arguments):
    """Return a pointer to the counter: arguments (array, index)."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def _fetch_add(context, counters, at):
    """Return the type and the code generator of `fetch_add`."""
    def generate(target, builder, signature, arguments):
        return builder.atomic_rmw("add", _address(target, builder, signature, arguments), ir.IntType(64)(1), "seq_cst")

    return types.int64(counters, types.intp), generate


@intrinsic
def _compare_and_increment(context, counters, at, number):
    """Return the type and the code generator of `compare_and_increment`."""
    def generate(target, builder, signature, arguments):
        old, new = arguments[2], builder.add(arguments[2], ir.IntType(64)(1))
        address = _address(target, builder, signature, arguments)
        return builder.extract_value(builder.cmpxchg(address, old, new, "seq_cst", "seq_cst"), 1)

    return types.boolean(counters, types.intp, types.int64), generate


@intrinsic
def _load_acquire(context, counters, at):
    """Return the type and the code generator of `load_acquire`."""
    def generate(target, builder, signature, arguments):
        return builder.load_atomic(_address(target, builder, signature, arguments), "seq_cst", ALIGNMENT)

    return types.int64(counters, types.intp), generate


# In plain Python one thread does all the work, so nothing has to be atomic.
def _fetch_add_plain(counters, at):
    counters[at] += 1
    return counters[at] - 1


def _compare_and_increment_plain(counters, at, number):
    mine = counters[at] == number
    counters[at] += mine
    return mine


def _load_acquire_plain(counters, at):
    return counters[at]


# fetch_add(counters, at): add 1 to counters[at], and return what it was. counters: (m,) int64, contiguous; at: intp.
fetch_add = _fetch_add_plain if numba.config.DISABLE_JIT else _fetch_add

# compare_and_increment(counters, at, number): return whether counters[at] == number, and add 1 if so: of all threads
# that ask with the same number only one gets True. number: int64.
compare_and_increment = _compare_and_increment_plain if numba.config.DISABLE_JIT else _compare_and_increment

# load_acquire(counters, at): return counters[at] as last written by any thread; all that this thread wrote before is
# visible too.
load_acquire = _load_acquire_plain if numba.config.DISABLE_JIT else _load_acquire


@register_jitable
def spin_until(counters, at, wanted):
    """Return when counters[at] >= wanted."""
    loads = 0
    while load_acquire(counters, at) < wanted:
        loads += 1
        if loads % SPIN_LIMIT == 0:
            yield_cpu()


@register_jitable
def spin_while_equal(counters, at, seen, most):
    """Return when counters[at] differs from `seen`, or after `most` loads of it."""
    for loads in range(most):
        if load_acquire(counters, at) != seen:
            return
        if loads % SPIN_LIMIT == 0:
            yield_cpu()
