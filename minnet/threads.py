"""Choose the number of threads, and run a handful of short tasks at once in a pool.

    with one_blas_thread():
        run([partial(kernel, x[:half], out[:half]), partial(kernel, x[half:], out[half:])])

Numba kernels and BLAS let go of the interpreter's lock: plain threads run them side by side. The pool is ours, and no
kernel is parallel itself, because OpenMP kills a forked child and Numba's own pool aborts when two threads enter it.
"""

import contextvars
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from minnet.blas import limit_this_thread
from minnet.errors import InvalidValue, quoted

MOST_THREADS = 1024
LONGEST_QUEUE = 256  # calls that may wait for a busy pool
INTERRUPTED = -1  # the index of an interrupt among the errors of a call: before every task's

VARIABLE = "MINNET_NUM_THREADS"  # of the environment: the number of threads
Result = TypeVar("Result")


def n_threads() -> int:
    """Return the number of threads that minnet uses: `MINNET_NUM_THREADS`, else the CPUs of this process.

    Without the former, `NUMBA_NUM_THREADS` is an upper limit: joblib sets it in its worker processes, so that these
    share the CPUs.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        most = os.environ.get("NUMBA_NUM_THREADS", "").strip()
        return min(cpus, max(1, int(most))) if most.isascii() and most.isdigit() else cpus
    number = int(given) if given.isascii() and given.isdigit() and len(given) <= len(str(MOST_THREADS)) else 0
    if not 1 <= number <= MOST_THREADS:
        wanted = f"a whole number from 1 to {MOST_THREADS}, or nothing for all CPUs"
        raise InvalidValue(f"{VARIABLE}={quoted(given)}; wanted {wanted}")
    return number


def run(tasks: Iterable[Callable[[], Result]]) -> list[Result]:
    """Call each of `tasks`, functions without arguments, and return their results in order.

    The first task runs in the calling thread, the others there too or on up to `n_threads() - 1` threads of the pool,
    whichever is free, under the caller's context (`np.errstate` holds everywhere). Tasks must not wait for each other.
    May be called from several threads at once and from within a task: a caller that finds the pool busy does the work
    itself. When a task raises, later tasks that have not begun are skipped, and running ones are waited for; then the
    error of the first failing task in order is raised.
    """
    tasks = list(tasks)
    if len(tasks) < 2:
        return [task() for task in tasks]
    call = _Call(tasks)
    try:
        _POOL.submit(call, min(len(tasks), n_threads()) - 1)
        call.execute(0)
        call.work()
    except BaseException as interrupt:  # Ctrl-C between two tasks: raised by `wait`, once the workers are done
        call.errors[INTERRUPTED] = interrupt
    return call.wait()


def share(task: Callable[[bool], Result], n: int) -> Result:
    """Call `task(True)` here and `task(False)` in up to n - 1 threads of the pool; return the result of the first.

    For work that the calls divide among themselves: here `task` returns when all is done, elsewhere when nothing is
    left to begin. So no thread waits for a worker to wake up or to return; a late worker finds nothing to do. The
    caller has made sure that `n` is at most `n_threads()`.
    """
    call = _Share(task)
    try:
        _POOL.submit(call, n - 1)
        return task(True)
    finally:
        call.task = None  # a late worker must not keep it alive


class _Share:
    """One call of `share`."""

    def __init__(self, task):
        self.task = task

    def join(self):
        """Do a worker's share; what it has not begun when it fails the caller does."""
        task = self.task
        if task is not None:
            with suppress(Exception):
                task(False)


class _Call:
    """One call of `run`: the tasks left, the workers that joined, and the results.

    Threads share it without a lock, through single operations on lists, each of which is atomic.
    """

    def __init__(self, tasks):
        self.tasks = tasks
        self.left = list(range(len(tasks) - 1, 0, -1))  # popped from the end
        self.results = [None] * len(tasks)
        self.errors = {}
        self.joined, self.finished = [], []  # one entry for each worker
        self.worker_done = SimpleQueue()

    def join(self):
        """Do a worker's share, counted in before it looks for a task, so that the caller waits for every task begun."""
        if not self.left:
            return
        self.joined.append(True)
        self.work()
        self.finished.append(True)
        self.worker_done.put(True)

    def work(self):
        """Take tasks until none is left."""
        while self.left:
            try:
                index = self.left.pop()
            except IndexError:  # another thread took the last one
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
        """Return results in order, or raise the first error, once every worker that joined is done."""
        self.left.clear()
        while len(self.finished) < len(self.joined):
            try:
                self.worker_done.get()
            except BaseException as interrupt:  # the workers still write into the caller's arrays: wait for them
                self.errors[INTERRUPTED] = interrupt
        results, self.results, self.tasks = self.results, None, None  # a late worker must not keep them alive
        if self.errors:
            first = self.errors.pop(min(self.errors))
            self.errors.clear()
            try:
                raise first
            finally:
                del first  # else error, traceback and this frame would keep each other, and the arrays, alive
        return results


class _Pool:
    """Daemon threads that wait for calls at one queue; they are started when first needed and kept."""

    def __init__(self):
        self.reset()

    def reset(self):
        """Empty the pool: at the start, and in a forked child, where its threads do not exist."""
        self.queue = SimpleQueue()
        self.size = 0
        self.lock = threading.Lock()

    def submit(self, call, workers):
        """Queue `call` for up to `workers` threads; busy ones join late or never, and no call waits for them."""
        if self.size < workers:
            self.grow(workers)
        for _ in range(workers):
            if self.queue.qsize() >= LONGEST_QUEUE:
                self.drop_oldest()
            self.queue.put((call, contextvars.copy_context()))

    def drop_oldest(self):
        """Drop the oldest call in the queue: it is mostly over, and none depends on workers."""
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
        """Run calls from the queue, for as long as the process lives."""
        while True:
            call, context = queue.get()
            limit_this_thread()
            context.run(call.join)
            del call, context  # or a thread that waits would keep them alive


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.reset)
