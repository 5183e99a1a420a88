"""Ctrl-C and requests to terminate: each becomes one exception, `Stopped`, that knows its exit code.

    with handle_signals():
        ...                  # Stopped is raised here; a second signal ends the process at once

It derives from KeyboardInterrupt, so that no `except Exception` on its way catches it. A signal that was ignored
when the process began, as SIGHUP is under nohup, stays ignored.
"""
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TEXTS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated: the terminal was closed"}
EXIT_BASE = 128  # by the convention of shells: 128 + the number of the signal


class Stopped(KeyboardInterrupt):
    """A signal asked the command to stop; `kept` says what was saved and where."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.kept = ""

    @property
    def code(self) -> int:
        """Return the exit code."""
        return EXIT_BASE + self.number

    @property
    def text(self) -> str:
        """Return the line for the user."""
        return TEXTS[signal.Signals(self.number).name] + (f": {self.kept}" if self.kept else "")


class SignalState:
    """The signal that arrived, shared by the handlers and by the loops that check for it."""

    def __init__(self) -> None:
        self.number: int | None = None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Raise Stopped; from now on the same signals end the process at once."""
        for name in _heeded():
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        self.number = number
        raise Stopped(number)

    def on_unraisable(self, problem: "sys.UnraisableHookArgs") -> None:
        """Ignore Stopped where a destructor raised it, which would print and lose it; `check` raises it again."""
        if not isinstance(problem.exc_value, Stopped):
            sys.__unraisablehook__(problem)

    def check(self) -> None:
        """Raise Stopped if a signal arrived and its exception was lost: loops call this between their steps."""
        if self.number is not None:
            raise Stopped(self.number)


SIGNALS = SignalState()


def _heeded() -> list[str]:
    """Return the names of the signals that this system has and this process does not ignore."""
    return [name for name in TEXTS
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN]


@contextmanager
def handle_signals() -> Iterator[None]:
    """Raise Stopped on SIGINT, SIGTERM and SIGHUP inside the block; restore the handlers after it.

    Signals that are ignored stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    SIGNALS.number = None
    hook, sys.unraisablehook = sys.unraisablehook, SIGNALS.on_unraisable
    before = {name: signal.signal(getattr(signal, name), SIGNALS.on_signal) for name in _heeded()}
    try:
        yield
    finally:
        sys.unraisablehook = hook
        SIGNALS.number = None
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler if handler is not None else signal.SIG_DFL)
