"""The threads: how many, BLAS held to one, and a pool that runs a handful of short tasks at once.

    with one_blas_thread():
        run([partial(kernel, x[:half], out[:half]), partial(kernel, x[half:], out[half:])])

Numba kernels and BLAS let go of the interpreter's lock, so plain threads run them side by side. The pool is ours, and no
kernel is parallel itself, because OpenMP kills a forked child and Numba's own pool aborts when two threads enter it.
"""

import contextvars
import os
import sys
import threading
from collections import deque
from contextlib import contextmanager
from queue import SimpleQueue

from minnet.errors import InvalidValue, shown

MOST_THREADS = 1024
BLAS_USERS = ("numpy", "scipy.linalg", "torch")  # modules that bring a BLAS of their own
INTERRUPTED = -1  # the place of an interrupt among the errors of a call: before every task's


def n_threads():
    """How many threads minnet uses: `MINNET_NUM_THREADS`, else the CPUs that this process may run on."""
    given = os.environ.get("MINNET_NUM_THREADS", "").strip()
    if not given:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = int(given) if given.isascii() and given.isdigit() and len(given) <= len(str(MOST_THREADS)) else 0
    if not 1 <= number <= MOST_THREADS:
        wanted = f"a whole number from 1 to {MOST_THREADS}, or nothing for all CPUs"
        raise InvalidValue(f"MINNET_NUM_THREADS={shown(given)}; wanted {wanted}")
    return number


@contextmanager
def one_blas_thread():
    """While inside, every BLAS in this process uses one thread; afterwards as many as before.

    May be nested, and entered by several threads at once: the numbers are noted by the first to enter and put back by
    the last to leave, in whatever order they leave.
    """
    entry = object()
    _BLAS.enter(entry)
    try:
        yield
    finally:
        _BLAS.leave(entry)


def run(tasks):
    """Call each of `tasks`, functions without arguments, and return their results in order.

    The first task runs in the calling thread, the others there too or on up to `n_threads() - 1` threads of the pool,
    whichever is free, under the caller's context (`np.errstate` holds everywhere). Tasks must not wait for each other.
    May be called from several threads at once and from within a task: whoever finds the pool busy does the work itself.
    When a task raises, the tasks after it are skipped if not yet begun, and what is running is waited for; then the
    error of the first failing task in order is raised.
    """
    tasks = list(tasks)
    if len(tasks) < 2:
        return [task() for task in tasks]
    call = _Call(tasks)
    helpers = 0
    try:
        while helpers < min(len(tasks), n_threads()) - 1 and _POOL.help(call):
            helpers += 1
        call.execute(0)
        call.work()
    except BaseException as interrupt:  # Ctrl-C between two tasks: raised below, once the helpers are done
        call.errors[INTERRUPTED] = interrupt
    return call.wait(helpers)


class _Call:
    """One call of `run`: what is left to do, and what came out."""

    def __init__(self, tasks):
        self.tasks = tasks
        self.left = deque(range(1, len(tasks)))
        self.results = [None] * len(tasks)
        self.errors = {}
        self.finished = []
        self.bell = SimpleQueue()

    def work(self):
        """Take tasks until none is left."""
        while self.left:
            try:
                index = self.left.popleft()
            except IndexError:  # somebody else took the last one
                return
            self.execute(index)

    def execute(self, index):
        """Run one task, unless an earlier one has failed: so the error that is raised does not depend on timing."""
        if self.errors and min(list(self.errors)) < index:
            return
        try:
            self.results[index] = self.tasks[index]()
        except BaseException as error:  # raised by `wait`, in the caller's thread
            self.errors[index] = error

    def wait(self, helpers):
        """Results in order, once every helper is done; or the first error."""
        while len(self.finished) < helpers:
            try:
                self.bell.get()
            except BaseException as interrupt:  # the helpers still write into the caller's arrays: wait for them
                self.errors[INTERRUPTED] = interrupt
        if self.errors:
            first = self.errors.pop(min(self.errors))
            self.errors.clear()
            try:
                raise first
            finally:
                del first  # else error, traceback and this frame would keep each other, and the arrays, alive
        return self.results


class _Pool:
    """Daemon threads that wait for calls; each has a queue of its own and is in `idle` while it has nothing to do."""

    def __init__(self):
        self.reset()

    def reset(self):
        """An empty pool: at the start, and in a forked child, where the threads do not exist."""
        self.idle = deque()
        self.size = 0
        self.lock = threading.Lock()

    def help(self, call):
        """Give `call` to an idle thread, or to a new one if there may be more; False if all are busy."""
        try:
            queue = self.idle.pop()
        except IndexError:
            queue = self.grow()
        if queue is not None:
            queue.put((call, contextvars.copy_context()))
        return queue is not None

    def grow(self):
        """The queue of a new thread, or None when there are enough or the system gives no more."""
        with self.lock:
            if self.size >= n_threads() - 1:
                return None
            queue = SimpleQueue()
            try:
                threading.Thread(target=self.serve, args=(queue,), name="minnet", daemon=True).start()
            except RuntimeError:  # out of threads, or the interpreter is closing: the caller does it alone
                return None
            self.size += 1
            return queue

    def serve(self, queue):
        """The life of one thread."""
        while True:
            call, context = queue.get()
            context.run(call.work)
            self.idle.append(queue)  # before the bell, so that the caller's next call finds it
            call.finished.append(True)
            call.bell.put(True)
            del call, context  # or an idle thread would keep the caller's arrays


class _Blas:
    """Who holds BLAS to one thread, and what is to be put back when nobody does."""

    def __init__(self):
        self.holders = {}  # entry -> the thread that entered
        self.before = []  # (library, its number of threads)
        self.known, self.libraries = (), ()
        self.lock = threading.Lock()

    def find(self):
        """The BLAS libraries loaded by now; looked for again only after another module that brings one."""
        loaded = tuple(name for name in BLAS_USERS if name in sys.modules)
        if loaded != self.known:
            from threadpoolctl import ThreadpoolController

            self.libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            self.known = loaded
        return self.libraries

    def enter(self, entry):
        with self.lock:
            if not self.holders:
                self.before = [(library, library.get_num_threads()) for library in self.find()]
                self.limit(1)
            self.holders[entry] = threading.get_ident()

    def leave(self, entry):
        with self.lock:
            self.holders.pop(entry, None)
            if not self.holders:
                self.limit(None)

    def limit(self, number):
        """Set every library that has another number to `number`, or back to its own if None."""
        for library, own in self.before:
            if own != 1:
                library.set_num_threads(own if number is None else number)

    def reset(self):
        """In a forked child only the thread that forked lives on; the others will never leave."""
        self.lock = threading.Lock()
        alive = threading.get_ident()
        held = bool(self.holders)
        self.holders = {entry: owner for entry, owner in self.holders.items() if owner == alive}
        if held and not self.holders:
            self.limit(None)


_POOL = _Pool()
_BLAS = _Blas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.reset)
    os.register_at_fork(after_in_child=_BLAS.reset)
