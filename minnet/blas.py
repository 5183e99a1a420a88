"""BLAS held to one thread, so that the parallelism of a program is its own.

    with one_blas_thread():
        model.forward(X, tape)

Nothing else of `threads` is needed for this: the engine holds BLAS to one thread and starts none.
"""

import os
import sys
import threading

BLAS_USERS = ("numpy", "scipy.linalg", "torch")  # modules that bring a BLAS of their own


class one_blas_thread:
    """Hold every BLAS to one thread inside a `with` block, and restore the numbers of threads afterwards.

    The limit holds in the calling thread and in the threads of the pool. Blocks may be nested and entered by several
    threads at once: the first to enter records the numbers, the last to leave restores them, in whatever order they
    leave.
    """

    def __enter__(self) -> None:
        try:
            _BLAS.enter(self)
        except BaseException:  # Ctrl-C while entering
            _BLAS.leave(self)
            raise

    def __exit__(self, *error: object) -> None:
        _BLAS.leave(self)


def limit_this_thread() -> None:
    """Hold BLAS to one thread in the calling thread for good, where a library keeps a number for each thread."""
    _limit(_numbers(_BLAS.private))


class _Blas:
    """The blocks that hold BLAS to one thread, and the numbers to restore when the last is left.

    Most libraries have one number for the process: `shared`. The others have one for each thread that calls: `private`.
    """

    def __init__(self):
        self.holders = {}  # block -> the thread that entered it
        self.before = []  # (shared library, its number of threads)
        self.known, self.shared, self.private = (), [], []
        self.mine = threading.local()  # depth, and before as above
        self.lock = threading.RLock()  # a collected generator may leave while its thread enters

    def find(self):
        """Note the BLAS libraries loaded by now; looked for again only after another module that brings one."""
        loaded = tuple(name for name in BLAS_USERS if name in sys.modules)
        if loaded != self.known:
            from threadpoolctl import ThreadpoolController

            libraries = ThreadpoolController().select(user_api="blas").lib_controllers
            self.shared = [library for library in libraries if not _is_private(library)]
            self.private = [library for library in libraries if _is_private(library)]
            self.known = loaded

    def enter(self, block):
        """Count `block` in; the first one limits the shared libraries, each thread's first one its private ones."""
        with self.lock:
            if not self.holders:
                self.find()
                self.before = _numbers(self.shared)
                _limit(self.before)
            self.holders[block] = threading.get_ident()
        if self.private:
            self.mine.depth = getattr(self.mine, "depth", 0) + 1
            if self.mine.depth == 1:
                self.mine.before = _numbers(self.private)
                _limit(self.mine.before)

    def leave(self, block):
        """Count `block` out; the last one restores the numbers."""
        with self.lock:
            self.holders.pop(block, None)
            if not self.holders:
                _restore(self.before)
        if getattr(self.mine, "depth", 0):
            self.mine.depth -= 1
            if self.mine.depth == 0:
                _restore(self.mine.before)

    def reset(self):
        """Drop the blocks of other threads in a forked child, where only the thread that forked exists."""
        alive, held = threading.get_ident(), bool(self.holders)
        self.holders = {block: owner for block, owner in self.holders.items() if owner == alive}
        if held and not self.holders:
            _restore(self.before)
        self.lock.release()  # acquired before the fork, so that no other thread was within `enter` or `leave`


def _is_private(library):
    return library.internal_api == "mkl" or getattr(library, "threading_layer", None) == "openmp"


def _numbers(libraries):
    """Return (library, its number of threads) of those that use more than one."""
    numbers = [(library, library.get_num_threads()) for library in libraries]
    return [(library, number) for library, number in numbers if number != 1]


def _limit(before):
    for library, _ in before:
        _set(library, 1)


def _restore(before):
    for library, number in before:
        _set(library, number)


def _set(library, number):
    """Set the number in any thread: since 3.8 threadpoolctl lets the first thread that sets OpenBLAS own its number."""
    disown = getattr(library, "clear_controlling_thread", lambda force: None)
    disown(force=True)
    library.set_num_threads(number)
    disown(force=True)


_BLAS = _Blas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_BLAS.lock.acquire, after_in_parent=_BLAS.lock.release, after_in_child=_BLAS.reset)
