"""Ctrl-C and the request to end: both become one exception, `Stopped`, that knows its exit code.

    with listening():
        ...                  # Stopped is raised here; a second signal ends the process at once

It derives from KeyboardInterrupt, so that nothing on its way takes it for an error.
"""
import signal
import sys
import threading
from contextlib import contextmanager

WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated: the terminal was closed"}
EXIT_BASE = 128  # by the custom of shells: 128 + the number of the signal


class Stopped(KeyboardInterrupt):
    """A signal asked for the end. `kept` is told to the user: what was done and where it is."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number
        self.kept = ""

    @property
    def code(self):
        """The exit code."""
        return EXIT_BASE + self.number

    @property
    def text(self):
        """The line for the user."""
        return WORDS[signal.Signals(self.number).name] + (f": {self.kept}" if self.kept else "")


class _Listener:
    """What the handlers share: the signal that came, until it was raised where somebody hears it."""

    def __init__(self):
        self.number = None

    def hear(self, number, frame):
        """The handler: from now on the same signals end the process at once; this one is raised."""
        for name in _known():
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        self.number = number
        raise Stopped(number)

    def unraisable(self, problem):
        """Raised inside a destructor, Stopped would be printed and lost: keep quiet, `check` raises it again."""
        if not isinstance(problem.exc_value, Stopped):
            sys.__unraisablehook__(problem)

    def check(self):
        """Raise the signal that came and was lost on its way, if any: loops call this between their steps."""
        if self.number is not None:
            raise Stopped(self.number)


LISTENER = _Listener()


def _known():
    """The signals that this system has."""
    return [name for name in WORDS if hasattr(signal, name)]


@contextmanager
def listening():
    """Inside, SIGINT, SIGTERM and SIGHUP raise Stopped; afterwards they do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    LISTENER.number = None
    hook, sys.unraisablehook = sys.unraisablehook, LISTENER.unraisable
    before = {name: signal.signal(getattr(signal, name), LISTENER.hear) for name in _known()}
    try:
        yield
    finally:
        sys.unraisablehook = hook
        LISTENER.number = None
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler if handler is not None else signal.SIG_DFL)
