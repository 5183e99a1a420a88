"""The text of `--help`: what a command does, what each option is, by topic, and where the names are listed.

    print(page(parser))                # at most a screen or two: the first clause of each option
    print(page(parser, "training"))    # one topic, or "all": whole texts

An option's help is a clause that says what it is; what follows a semicolon is shown with its topic alone. Topics that
are seldom needed are folded: the first page has the names of their options.
"""
import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence

from minnet.cli.tables import fill

ALL = "all"
MORE = "More examples:"      # the line of a command's documentation from which on it is shown with all alone
NARROWEST, WIDEST = 60, 100  # columns of a terminal that are used
NAMES = 22                   # columns of the names of options
LAST = ("output", "always")  # topics


def page(parser: argparse.ArgumentParser, topics: Mapping[str, bool], tables: Mapping[str, Mapping],
         topic: str | None = None) -> str:
    """Return the help of a command.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The command's options, in groups whose titles are its topics.
    topics : mapping of str to bool
        Whether a topic is folded.
    tables : mapping of str to mapping
        Names that can be given, by the name of their table.
    topic : str, optional
        One topic, or "all". Default: the first page.

    Returns
    -------
    str
        Lines that end in a newline, wrapped by words at the width of the terminal.
    """
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    groups = sorted((group for group in parser._action_groups if group._group_actions),
                    key=lambda group: LAST.index(group.title) if group.title in LAST else -1)
    if topic is not None and topic != ALL:
        (group,) = (group for group in groups if group.title == topic)
        return "\n".join([f"{topic}:", *rows(group, width, whole=True)]) + "\n"
    about, _, more = (parser.description or "").partition(f"\n\n{MORE}\n")
    lines = [*usage(parser), "", about_text(about, width)]
    if topic == ALL and more:
        lines += ["", about_text(more, width)]
    lines.append("")
    for group in groups:
        if topic == ALL or not topics.get(group.title):
            lines += [f"{group.title}:", *rows(group, width, whole=topic == ALL)]
    folded = {group.title: names(group) for group in groups if topics.get(group.title)}
    if topic == ALL:
        lines += ["", *(line for heading, table in tables.items() for line in wrapped(heading, table, width))]
    else:
        lines += ["", *pointers(parser.prog, folded, tables, width)]
    return "\n".join(lines).rstrip("\n") + "\n"


def about_text(text: str, width: int) -> str:
    """Return the paragraphs of a command's documentation, wrapped; examples, which are indented, keep their lines."""
    parts = text.strip("\n").split("\n\n")
    return "\n\n".join("\n".join(line for example in part.splitlines() for line in example_lines(example, width))
                       if part.startswith(" ") else fill(" ".join(part.split()), width) for part in parts)


def example_lines(line: str, width: int) -> list[str]:
    """Return a command and what it does behind it, or below it where the line is too long."""
    command, space, comment = line.lstrip().partition("  ")
    return [line] if len(line) <= width or not space else [f"  {command}", fill(comment.strip(), width, 6, first=6)]


def usage(parser: argparse.ArgumentParser) -> list[str]:
    """Return the line of usage: the command and what it takes beside options."""
    words = [f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar) for action in parser._actions
             if not action.option_strings]
    return [" ".join(["usage:", parser.prog, *words, "[options]"])]


def rows(group: argparse._ArgumentGroup, width: int, whole: bool) -> Iterator[str]:
    """Yield the lines of the options of a topic: their names, and what they are."""
    for action in group._group_actions:
        text = description(action) if whole else clause(action)
        name = f"  {invocation(action)}"
        if len(name) > NAMES:
            yield name
            name = ""
        yield fill(f"{name:<{NAMES}}  {text}", width, NAMES + 2)


def description(action: argparse.Action) -> str:
    """Return the whole text of an option."""
    return (action.help or "").replace("%%", "%")


def clause(action: argparse.Action) -> str:
    """Return what an option is: the first clause of its text."""
    return description(action).partition(";")[0]


def invocation(action: argparse.Action) -> str:
    """Return how an option is written, as in --value-range LO HI."""
    if not action.option_strings:
        return str(action.metavar)
    given = action.metavar or (",".join(map(str, action.choices)) if action.choices else "")
    values = [] if action.nargs == 0 else [*given] if isinstance(given, tuple) else [given]
    return " ".join([", ".join(action.option_strings), *values]).rstrip()


def names(group: argparse._ArgumentGroup) -> list[str]:
    """Return the names of a topic's options."""
    return [action.option_strings[-1] for action in group._group_actions]


def wrapped(heading: str, entries: Sequence[str] | Mapping, width: int) -> list[str]:
    """Return a heading and names behind it, wrapped."""
    return fill(f"{heading}: {', '.join(entries)}", width, 4).splitlines()


def pointers(prog: str, folded: Mapping[str, Sequence[str]], tables: Mapping, width: int) -> Iterator[str]:
    """Yield where to read on: the names of folded options, and the tables of names."""
    for topic, options in folded.items():
        yield from wrapped(topic, options, width)
    yield f"What they are: {prog} --help {'|'.join([ALL, *folded])}"
    if tables:
        yield from wrapped("Names that can be given, by minnet list TABLE", tables, width)
