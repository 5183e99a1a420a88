"""Options: argparse with one-line errors, nearest names, and lists of choices from minnet's own tables.

Values that need no table are checked here, before NumPy is loaded.
"""
import argparse
import difflib
import inspect
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from minnet.cli.help import ALL, page
from minnet.errors import InvalidType, InvalidValue, check_count, check_fraction, check_positive, check_real, quoted
from minnet.study.folder import MODEL
from minnet.study.settings import LESSON

QUOTES = "``"  # of reStructuredText
LARGEST_SEED = 2**63 - 1
OVERVIEW = """minnet: small neural networks, pruned

  minnet prune digits                       train, remove 90% of the weights
  minnet prune mine.csv --sparsity 0.95     the same on your own table
  minnet COMMAND --help                     the options of a command

{}

Results are written to standard output, everything else to standard error.
MINNET_DATA is the folder with mnist/ and fashion-mnist/, MINNET_NUM_THREADS the
number of threads; NO_COLOR disables colours. Exit codes: 0 done, 1 ran and
failed, 2 bad arguments or input, 130 interrupted, 143 terminated.
"""


class Usage(Exception):
    """The arguments are invalid; the message is one line."""


class Parser(argparse.ArgumentParser):
    """The options of one command: `--json`, `--quiet`, `--seed` and `--help`, and those that `options(parser)` adds.

    `text` is the module's docstring: what the command does, and examples. `tables` (a function, called by `--help`
    alone) returns {heading: table of functions}. A command adds its options to the group `options`, or to that of a
    `topic`.
    """

    def __init__(self, name: str, text: str | None, tables: Callable[[], Mapping[str, Mapping]] | None = None) -> None:
        super().__init__(prog=f"minnet {name}", description=text, add_help=False, allow_abbrev=False)
        self.tables = tables
        self.folded: dict[str, bool] = {}  # by topic
        self._positionals.title = "input"
        self.options = self.topic("options")
        always = self.topic("always", folded=True).add_argument
        always("--seed", type=integer(0, LARGEST_SEED), default=0, metavar="N",
               help="seed of all random numbers (default: 0)")
        always("--json", action="store_true", help="print one JSON object on standard output, nothing else")
        always("--quiet", action="store_true", help="print only the result and errors")
        always("--config", metavar="FILE", help="options from a .toml file, as sparsity = 0.95; those given here take "
               "precedence; names are these without dashes, and input for what has none")
        always("--print-config", action="store_true", help="the .toml of the options given; nothing is run")
        always("-h", "--help", metavar="TOPIC", nargs="?", help="show this text, or all of a topic")

    def topic(self, title: str, folded: bool = False) -> argparse._ArgumentGroup:
        """Return the group of options of a topic; of one that is folded the first page of the help has only names."""
        for group in self._action_groups:
            if group.title == title:
                return group
        self.folded[title] = folded
        return self.add_argument_group(title)

    def parse_args(self, args: Sequence[str], namespace: argparse.Namespace | None = None) -> argparse.Namespace:
        """Parse the arguments; --help takes precedence over errors, and errors name the nearest option."""
        for place, word in enumerate(args):
            if word in ("-h", "--help"):
                after = next(iter(args[place + 1 :]), None)
                return argparse.Namespace(help=True, topic=after if after in {ALL, *self.folded} else None)
        if any(word.partition("=")[0] == "--config" for word in args):
            from minnet.cli.config import with_config

            args = with_config(self, args)
        found, rest = self.parse_known_args(args, namespace)
        for word in rest:
            raise Usage(self.unrecognised(word))
        found.command = shlex.join([*self.prog.split(), *args])
        found.given = args
        return found

    @property
    def named(self) -> dict[str, argparse.Action]:
        """Return the options of the command by their long names, as --sparsity."""
        return {action.option_strings[-1]: action for action in self._actions if action.option_strings}

    def unrecognised(self, word: str) -> str:
        """Return the message for an argument that is neither an option nor expected."""
        name = word.partition("=")[0]
        near = difflib.get_close_matches(name, self._option_string_actions, 1)
        guess = f"; did you mean {near[0]}?" if near else ""
        what = "has no option" if word.startswith("-") else "takes no further argument, got"
        return f"{self.prog} {what} {quoted(name)}{guess} (`{self.prog} --help` lists them)"

    def error(self, message: str) -> NoReturn:
        """Raise Usage with one line instead of argparse's two."""
        message = " ".join(message.removeprefix("argument ").split())
        raise Usage(f"{quoted(message)} (see `{self.prog} --help`)")

    def format_help(self, topic: str | None = None) -> str:
        """Return the first page of the help, or one topic, or all."""
        return page(self, self.folded, self.tables() if self.tables else {}, topic)


def summary(entry: object) -> str:
    """Return the first paragraph of the documentation of a table's entry, in one line, without RST's quotes."""
    return " ".join((inspect.getdoc(entry) or "").partition("\n\n")[0].replace(QUOTES, "").split())


# --- kinds of values: functions from text, for argparse's `type` ------------------------------------------------------

def fraction(text: str) -> float:
    """Parse a number in [0, 1]."""
    return _checked(check_fraction, "it", _number(text))


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a parser of integers of at least `low` and at most `high`."""
    def kind(text):
        return _checked(check_count, "it", _number(text), low, high)
    return kind


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    return _checked(check_positive, "it", _number(text))


def real(text: str) -> float:
    """Parse a finite number."""
    return _checked(check_real, "it", _number(text))


def amount(named: bool = False) -> Callable[[str], int | float | str]:
    """Return a parser of what may remain: an integer, a share in (0, 1] or, if `named`, also a name."""
    def kind(text):
        number = _number(text)
        if isinstance(number, str) and named:
            return number
        return _checked(check_fraction if isinstance(number, float) else check_count, "it", number)
    return kind


class Several(argparse.Action):
    """Store the text that an option is given, or a tuple of the texts where it is repeated."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object,
                 option_string: str | None = None) -> None:
        """Store what the option is given, behind what it was given before."""
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if before is None else
                (*(before if isinstance(before, tuple) else (before,)), values))


def yes_or_no(text: str) -> bool:
    """Parse yes or no."""
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{quoted(repr(text))}; wanted yes or no")
    return text == "yes"


def model_file(text: str) -> str:
    """Parse the name of a model's file: of a folder that `minnet prune` or `train` wrote that of its model."""
    inside = os.path.join(text, MODEL)
    return inside if os.path.isfile(inside) else text


def patterns(text: str) -> list[str]:
    """Parse names or shell-style patterns, separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def choices(text: str) -> list[str]:
    """Parse names separated by commas, each with its options, as in one_shot,lottery_ticket:rounds=3,rewind=1."""
    found: list[str] = []
    for part in patterns(text):
        if found and "=" in part and ":" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def fractions(text: str) -> list[float]:
    """Parse numbers in [0, 1], separated by commas."""
    return [fraction(part.strip()) for part in text.split(",") if part.strip()]


def named_values(text: str) -> tuple[str, list[object]]:
    """Parse NAME=VALUE,... with numbers, true, false, none or words as values."""
    name, equals, values = text.partition("=")
    parts = [part.strip() for part in values.split(",") if part.strip()]
    if not (equals and name.strip() and parts):
        raise argparse.ArgumentTypeError(f"{quoted(repr(text))}; wanted NAME=VALUE,..., as in lr=0.1,0.05")
    words = {"true": True, "false": False, "none": None}
    return name.strip().replace("-", "_"), [words[p.lower()] if p.lower() in words else _number(p) for p in parts]


def sizes(text: str) -> tuple[int, ...]:
    """Parse integers of at least 1, separated by commas."""
    return tuple(_checked(check_count, "each", _number(part), 1) for part in text.split(","))


def name_and_number(wanted: str) -> Callable[[str], str | tuple[str, float]]:
    """Return a parser of NAME or NAME:NUMBER, described by `wanted`, that gives the name or (name, number)."""
    def kind(text):
        return pair(wanted, fraction)(text) if ":" in text else text
    return kind


def teacher(text: str) -> str | tuple[str, float, float]:
    """Parse FILE or FILE:temperature=T,share=S, which gives (file, temperature, share)."""
    file, colon, rest = text.rpartition(":")
    if not colon or "=" not in rest:
        return text
    found = dict(LESSON)
    kinds = {"temperature": positive, "share": fraction}
    for part in rest.split(","):
        name, equals, number = part.partition("=")
        if not (file and equals and name in kinds):
            raise argparse.ArgumentTypeError(f"{quoted(repr(text))}; wanted FILE:temperature=4,share=0.5")
        found[name] = kinds[name](number)
    return file, found["temperature"], found["share"]


def pair(wanted: str, value: Callable[[str], float] = real) -> Callable[[str], tuple[str, float]]:
    """Return a parser of NAME:NUMBER, described by `wanted`, that gives (name, number)."""
    def kind(text):
        name, colon, number = text.rpartition(":")
        if not (colon and name):
            raise argparse.ArgumentTypeError(f"{quoted(repr(text))}; wanted {wanted}")
        return name, value(number)
    return kind


def pairs(wanted: str) -> Callable[[str], list[tuple[str, float]]]:
    """Return a parser of several NAME:NUMBER, separated by commas, that gives a list of (name, number)."""
    one = pair(wanted)

    def kind(text):
        return [one(part.strip()) for part in text.split(",") if part.strip()]
    return kind


def number_or(word: str, kind: Callable[[str], float] | None = None) -> Callable[[str], float | str]:
    """Return a parser of `word`, or else of what `kind` parses."""
    def either(text):
        if text == word:
            return word
        if kind is None:
            raise argparse.ArgumentTypeError(f"{quoted(repr(text))}; wanted {word}")
        return kind(text)
    return either


def _number(text):
    """Return `text` as an int or a float, or unchanged if it is no number."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(check, *arguments):
    """Return what `check` returns; its error becomes the one that argparse expects."""
    try:
        return check(*arguments)
    except (InvalidType, InvalidValue) as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("it=")) from error


def overview(commands: Mapping) -> str:
    """Return the text of `minnet --help`."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {row.help}" for name, row in commands.items()]
    return OVERVIEW.format("\n".join(lines))
