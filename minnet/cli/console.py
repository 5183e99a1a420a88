"""The output of commands: the result on standard output, everything else on standard error.

    console = Console(json=args.json, quiet=args.quiet)
    console.info("removing 45,180 of 50,200 weights")     # a line on standard error
    with console.progress() as bar:                       # a progress bar, on a terminal only
        bar("dense", done, total)
    console.result(text, data)                            # the text, or the data as one JSON object

Colours and bars appear on a terminal only; NO_COLOR and TERM=dumb are obeyed.
"""
import errno
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from minnet.report.printable import printable

NARROW = 60  # columns of a terminal below which the bar is left out
BOLD, PLAIN = "\033[1m", "\033[0m"
BOLD_OR_PLAIN = re.compile(f"({re.escape(BOLD)}|{re.escape(PLAIN)})")
Bar = Callable[[str, int, int], None]  # bar(description, done, total)


class Console:
    """The output streams of one command, as --json and --quiet ask for them."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # characters that the terminal's encoding lacks

    def info(self, text: str) -> None:
        """Print a line on standard error, unless --quiet was given."""
        if not self.quiet:
            print_error(text)

    def result(self, text: str, data: dict) -> None:
        """Print `text` on standard output, or with --json `data` as one object; OSError where it is closed."""
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        if self.json:
            print(json.dumps(data, allow_nan=False))
        else:
            print(self._shown(text))

    def _shown(self, text):
        """Return lines in which control characters are escapes, but for the bold letters of `heading`."""
        parts = BOLD_OR_PLAIN.split(text) if is_terminal(sys.stdout) else [text]
        return "".join(part if i % 2 else _lines(part) for i, part in enumerate(parts))

    def heading(self, text: str) -> str:
        """Return `text`, bold where standard output is a terminal that may show colours."""
        return f"{BOLD}{text}{PLAIN}" if is_terminal(sys.stdout) and "NO_COLOR" not in os.environ else text

    @contextmanager
    def progress(self) -> Iterator[Bar]:
        """Provide a function bar(description, done, total) that draws on a terminal and does nothing elsewhere."""
        if self.quiet or not is_terminal(sys.stderr):
            yield lambda description, done, total: None
            return
        with _bar() as bar:
            yield bar


@contextmanager
def warnings_as_lines(console: Console) -> Iterator[None]:
    """Print the UserWarnings that the block gives as lines of the console; others are shown as before."""
    before = warnings.showwarning

    def show(message, category, filename, lineno, file=None, line=None):
        if category is UserWarning:
            console.info(str(message))
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _lines(text):
    """Return lines in which all other control characters are escapes."""
    return "\n".join(map(printable, text.split("\n")))


def is_terminal(stream: TextIO | None) -> bool:
    """Return True if `stream` is a terminal that can move its cursor."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def print_error(text: str) -> None:
    """Print a line on standard error, if the process has one."""
    if sys.stderr is not None:
        with suppress(OSError):  # standard error is closed: the line cannot be shown
            print(_lines(text), file=sys.stderr, flush=True)


@contextmanager
def _bar() -> Iterator[Bar]:
    """Draw rich's progress bar; on a narrow terminal only the description and the count."""
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = RichConsole(stderr=True)
    columns = (TextColumn("{task.description}"), MofNCompleteColumn())
    if console.width >= NARROW:
        columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda description, done, total: progress.update(task, description=description, completed=done,
                                                               total=total)
