"""What the command line says, and where: the result on standard output, all else on standard error.

    talk = Talk(json=args.json, quiet=args.quiet)
    talk.say("45,180 of 50,200 weights will go")         # a line on standard error
    with talk.progress() as bar:                          # a bar, on a terminal only
        bar("dense", done, total)
    talk.result(text, data)                               # the text, or the data as one JSON object

Colours and bars appear on a terminal only; NO_COLOR and TERM=dumb are obeyed.
"""
import json
import os
import sys
from contextlib import contextmanager, suppress

NARROW = 60  # columns of a terminal: below there is no room for a bar beside the words
BOLD, PLAIN = "\033[1m", "\033[0m"


class Talk:
    """One command's voice."""

    def __init__(self, *, json=False, quiet=False):
        self.json = json
        self.quiet = quiet
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a name that this terminal cannot spell

    def say(self, text):
        """A line on standard error, unless --quiet."""
        if not self.quiet:
            to_standard_error(text)

    def result(self, text, data):
        """`text` on standard output, or with --json `data` as one object."""
        if self.json:
            print(json.dumps(data, allow_nan=False))
        else:
            print(text)

    def heading(self, text):
        """`text` as it stands out on standard output."""
        return f"{BOLD}{text}{PLAIN}" if is_terminal(sys.stdout) and "NO_COLOR" not in os.environ else text

    @contextmanager
    def progress(self):
        """A function bar(stage, done, total); it draws on a terminal, and does nothing elsewhere."""
        if self.quiet or not is_terminal(sys.stderr):
            yield lambda stage, done, total: None
            return
        with _bar() as bar:
            yield bar


def is_terminal(stream):
    """Whether a person looks at `stream`, on a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def to_standard_error(text):
    """A line there, if there is a there."""
    if sys.stderr is not None:
        with suppress(OSError):  # nobody is left to be told
            print(text, file=sys.stderr, flush=True)


@contextmanager
def _bar():
    """The bar of rich, as a function; where the terminal is narrow only the words and the count."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn())
    if console.width >= NARROW:
        columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda stage, done, total: progress.update(task, description=stage, completed=done, total=total)
