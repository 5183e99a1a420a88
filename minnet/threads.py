"""The threads: how many, and a pool that runs a handful of short tasks at once.

    with one_blas_thread():
        run([partial(kernel, x[:half], out[:half]), partial(kernel, x[half:], out[half:])])

Numba kernels and BLAS let go of the interpreter's lock: plain threads run them side by side. The pool is ours, and no
kernel is parallel itself, because OpenMP kills a forked child and Numba's own pool aborts when two threads enter it.
"""

import contextvars
import os
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

from minnet.blas import limit_this_thread
from minnet.errors import InvalidValue, quoted

MOST_THREADS = 1024
LONGEST_QUEUE = 256  # requests that may wait for a busy pool
INTERRUPTED = -1  # the place of an interrupt among the errors of a call: before every task's


def n_threads():
    """How many threads minnet uses: `MINNET_NUM_THREADS`, else the CPUs that this process may run on."""
    given = os.environ.get("MINNET_NUM_THREADS", "").strip()
    if not given:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    number = int(given) if given.isascii() and given.isdigit() and len(given) <= len(str(MOST_THREADS)) else 0
    if not 1 <= number <= MOST_THREADS:
        wanted = f"a whole number from 1 to {MOST_THREADS}, or nothing for all CPUs"
        raise InvalidValue(f"MINNET_NUM_THREADS={quoted(given)}; wanted {wanted}")
    return number


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
    try:
        _POOL.ask(call, min(len(tasks), n_threads()) - 1)
        call.execute(0)
        call.work()
    except BaseException as interrupt:  # Ctrl-C between two tasks: raised by `wait`, once the helpers are done
        call.errors[INTERRUPTED] = interrupt
    return call.wait()


def share(task, n):
    """Call `task(True)` here and `task(False)` in up to n - 1 threads of the pool, and return what it returns here; the
    caller knows what `n_threads()` is.

    For work that those who call divide among themselves: here `task` returns when all is done, elsewhere when nothing
    is left to begin. So nobody waits for a helper to wake up or to go; a late one finds nothing.
    """
    call = _Share(task)
    try:
        _POOL.ask(call, n - 1)
        return task(True)
    finally:
        call.task = None  # a late helper must not keep it alive


class _Share:
    """One call of `share`."""

    def __init__(self, task):
        self.task = task

    def help(self):
        """A helper's part. What it has not begun when it fails the caller does."""
        task = self.task
        if task is not None:
            with suppress(Exception):
                task(False)


class _Call:
    """One call of `run`: what is left to do, who joined, and what came out.

    Threads share it without a lock, through single operations on lists, each of which is atomic.
    """

    def __init__(self, tasks):
        self.tasks = tasks
        self.left = list(range(len(tasks) - 1, 0, -1))  # popped from the end
        self.results = [None] * len(tasks)
        self.errors = {}
        self.joined, self.finished = [], []  # one entry for each helper
        self.bell = SimpleQueue()

    def help(self):
        """A helper's part. It joins before it looks for work, so that the caller knows of whoever holds a task."""
        if not self.left:
            return
        self.joined.append(True)
        self.work()
        self.finished.append(True)
        self.bell.put(True)

    def work(self):
        """Take tasks until none is left."""
        while self.left:
            try:
                index = self.left.pop()
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

    def wait(self):
        """Results in order, once every helper that joined is done; or the first error. Late helpers find nothing."""
        self.left.clear()
        while len(self.finished) < len(self.joined):
            try:
                self.bell.get()
            except BaseException as interrupt:  # the helpers still write into the caller's arrays: wait for them
                self.errors[INTERRUPTED] = interrupt
        results, self.results, self.tasks = self.results, None, None  # a late helper must not keep them alive
        if self.errors:
            first = self.errors.pop(min(self.errors))
            self.errors.clear()
            try:
                raise first
            finally:
                del first  # else error, traceback and this frame would keep each other, and the arrays, alive
        return results


class _Pool:
    """Daemon threads that wait for calls at one queue; they are started when first needed and stay."""

    def __init__(self):
        self.reset()

    def reset(self):
        """An empty pool: at the start, and in a forked child, where the threads do not exist."""
        self.queue = SimpleQueue()
        self.size = 0
        self.lock = threading.Lock()

    def ask(self, call, helpers):
        """Ask for so many helpers. Busy ones come late or never: nobody waits for a helper that has not begun."""
        if self.size < helpers:
            self.grow(helpers)
        for _ in range(helpers):
            if self.queue.qsize() >= LONGEST_QUEUE:
                self.forget_one()
            self.queue.put((call, contextvars.copy_context()))

    def forget_one(self):
        """Drop the oldest request: mostly of a call that is over, and no call depends on being helped."""
        with suppress(Empty):
            self.queue.get_nowait()

    def grow(self, size):
        """Start threads until there are `size`, or the system gives no more (the caller then does more itself)."""
        with self.lock:
            while self.size < size:
                try:
                    threading.Thread(target=self.serve, args=(self.queue,), name="minnet", daemon=True).start()
                except RuntimeError:  # too many threads, or the interpreter is closing
                    return
                self.size += 1

    def serve(self, queue):
        """The life of one thread."""
        while True:
            call, context = queue.get()
            limit_this_thread()
            context.run(call.help)
            del call, context  # or a thread that waits would keep them alive


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.reset)
