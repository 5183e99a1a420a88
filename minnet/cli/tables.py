"""Text for a terminal: tables, the first column left-aligned, the others right-aligned; and paragraphs."""
import textwrap
from collections.abc import Mapping, Sequence

from minnet import text
from minnet.cli.console import Console

WIDTH = 80  # columns of a terminal, and of what is written to a pipe


def aligned(rows: Sequence[Sequence[str]], console: Console) -> list[str]:
    """Return the lines of a table whose first row is the header, bold on a terminal."""
    lines = text.aligned(rows)
    return [console.heading(lines[0]), *lines[1:]]


def facts_text(facts: Mapping) -> str:
    """Return a mapping as a table of two columns without a header; entries that are None are left out."""
    rows = [(name.replace("_", " "), _as_text(value)) for name, value in facts.items() if value is not None]
    width = max((len(name) for name, _ in rows), default=0) + 2
    lines = [f"{name:<{width}}{value}" for name, value in rows]
    return "\n".join(line if len(line) <= WIDTH else f"{name}\n{fill(value, indent=2, first=2)}"
                     for line, (name, value) in zip(lines, rows, strict=True))


def single(facts: Mapping) -> dict:
    """Return the entries of a mapping that are single values: no lists, no tables."""
    return {name: value for name, value in facts.items() if not isinstance(value, list | dict)}


def _as_text(value):
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def fill(text: str, width: int = WIDTH, indent: int = 0, first: int = 0) -> str:
    """Wrap a paragraph by words; all lines but the first are indented by `indent`, that by `first`."""
    return textwrap.fill(text, width, initial_indent=" " * first, subsequent_indent=" " * indent,
                         break_on_hyphens=False, break_long_words=False)
