"""List what can be given by name: the tables, the names of one with a line each, or one name whole.

  minnet list
  minnet list criteria
  minnet list criteria taylor

A name is told with its equation, cost and source, as the function's own documentation has them.
"""
import inspect
from argparse import Namespace
from collections.abc import Mapping

from minnet.cli.console import Console
from minnet.cli.parser import QUOTES, Parser, summary
from minnet.cli.tables import fill
from minnet.errors import check_choice


def options(parser: Parser) -> None:
    """Add the options of the command."""
    parser.add_argument("table", metavar="TABLE", nargs="?", help="criteria, recipes, ... (default: all tables)")
    parser.add_argument("name", metavar="NAME", nargs="?", help="a name in the table")


def run(args: Namespace, console: Console) -> None:
    """Execute the command."""
    found = tables()
    if args.table is None:
        rows = {name: ", ".join(table) for name, table in found.items()}
        console.result(paragraphs(rows), {name: list(table) for name, table in found.items()})
        return
    table = check_choice("table", args.table, found)
    if args.name is None:
        rows = {name: summary(entry) for name, entry in table.items()}
        console.result(paragraphs(rows), rows)
        return
    entry = check_choice("name", args.name, table)
    text = documentation(entry)
    console.result(text, {"name": args.name, "text": text})


def tables() -> dict[str, Mapping]:
    """Return every table of names: those of `minnet prune`, layers, losses and learning-rate schedules."""
    from minnet.cli.prune import tables as of_prune
    from minnet.engine.layers import LAYERS
    from minnet.engine.losses import LOSSES
    from minnet.engine.lr_schedules import LR_SCHEDULES

    return of_prune() | {"layers": LAYERS, "losses": LOSSES, "lr_schedules": LR_SCHEDULES}


def paragraphs(rows: Mapping[str, str]) -> str:
    """Return a paragraph for each name, wrapped by words, its text indented behind the longest name."""
    width = max(map(len, rows)) + 2
    return "\n".join(fill(f"{name:<{width}}{text}", indent=width) for name, text in rows.items())


def documentation(entry: object) -> str:
    """Return the documentation of an entry; paragraphs are wrapped, sections keep their lines."""
    parts = (inspect.getdoc(entry) or "").replace(QUOTES, "").split("\n\n")
    wrapped = [fill(" ".join(part.split())) if is_prose(part) else part for part in parts]
    return "\n\n".join(wrapped)


def is_prose(part: str) -> bool:
    """Return whether a part of a documentation is a paragraph: no section, list, table or program."""
    lines = part.splitlines()
    return not any(line.startswith((" ", "-", "..", "=", "*")) for line in lines)
