"""Options: argparse with errors of one line, nearest names, and lists of choices that come from minnet's own tables.

Values that need no table are checked here, before NumPy is loaded.
"""
import argparse
import difflib
import inspect
import shlex
import textwrap

from minnet.errors import InvalidType, InvalidValue, check_count, check_fraction, check_positive, check_real, quoted

WIDTH = 100  # columns of the help
HELP_COLUMN = 32
LARGEST_SEED = 2**63 - 1
OVERVIEW = """minnet: small neural networks, pruned

  minnet prune digits                       train, prune 90% away, and see what it cost
  minnet prune mine.csv --sparsity 0.95     the same on your own table
  minnet COMMAND --help                     what a command takes, with examples

{}

Results go to standard output, everything else to standard error. MINNET_DATA names the folder with mnist/ and
fashion-mnist/, MINNET_NUM_THREADS the number of threads; NO_COLOR is obeyed.
Exit codes: 0 done, 1 ran and failed, 2 bad arguments or input, 130 interrupted, 143 terminated.
"""


class Usage(Exception):
    """The arguments make no sense; the message is one line."""


class Parser(argparse.ArgumentParser):
    """The options of one command: `--json`, `--quiet`, `--seed` and `--help`, and whatever `options(parser)` adds.

    `text` is the module's docstring: what the command does, and examples. `tables` (a function, called by `--help`
    alone) gives {heading: table of functions}, listed with the beginning of each docstring. A command's options go to
    the group `options`.
    """

    def __init__(self, name, text, tables=None):
        super().__init__(prog=f"minnet {name}", description=text, add_help=False, allow_abbrev=False,
                         formatter_class=_Formatter)
        self.tables = tables
        self.options = self.add_argument_group("options")
        always = self.add_argument_group("for every command").add_argument
        always("--seed", type=whole(0, LARGEST_SEED), default=0, metavar="N", help="all randomness follows from it (0)")
        always("--json", action="store_true", help="one JSON object on standard output, nothing else")
        always("--quiet", action="store_true", help="no messages, only the result and errors")
        always("-h", "--help", action="store_true", help="this text")

    def parse_args(self, args=None, namespace=None):
        """As argparse; a call for help wins over missing arguments, and an unknown option is told with the nearest."""
        if {"-h", "--help"} & set(args):
            return argparse.Namespace(help=True)
        found, rest = self.parse_known_args(args, namespace)
        for word in rest:
            raise Usage(self.unrecognised(word))
        found.command = shlex.join([*self.prog.split(), *args])
        return found

    def unrecognised(self, word):
        """The message for a word that nothing takes."""
        name = word.partition("=")[0]
        near = difflib.get_close_matches(name, self._option_string_actions, 1)
        guess = f"; did you mean {near[0]}?" if near else ""
        what = "has no option" if word.startswith("-") else "takes no more arguments, got"
        return f"{self.prog} {what} {quoted(name)}{guess} (`{self.prog} --help` lists them)"

    def error(self, message):
        """One line instead of argparse's two."""
        message = " ".join(message.removeprefix("argument ").split())
        raise Usage(f"{quoted(message)} (see `{self.prog} --help`)")

    def format_help(self):
        """argparse's text, then the names that may be given."""
        lists = [_listing(heading, table) for heading, table in (self.tables() if self.tables else {}).items()]
        return "\n".join([super().format_help(), *lists])


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """The docstring as it stands, and room for the options."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=HELP_COLUMN, width=WIDTH)


def _listing(heading, table):
    """A heading and, for each name of `table`, how its docstring begins."""
    width = max(map(len, table), default=0)
    lines = [f"  {name:<{width}}  {_gist(entry, WIDTH - width)}".rstrip() for name, entry in table.items()]
    return "\n".join([f"{heading}:", *lines, ""])


def _gist(entry, width):
    """What the docstring of a table's entry says first, as far as it fits."""
    paragraph = (inspect.getdoc(entry) or "").partition("\n\n")[0]
    return textwrap.shorten(paragraph, width, placeholder=" ...")


# --- kinds of values: functions from text, for argparse's `type` ------------------------------------------------------

def fraction(text):
    """A number in [0, 1]."""
    return _checked(check_fraction, "it", _number(text))


def whole(low, high=None):
    """The kind: a whole number of at least `low`, at most `high`."""
    def kind(text):
        return _checked(check_count, "it", _number(text), low, high)
    return kind


def positive(text):
    """A finite number above 0."""
    return _checked(check_positive, "it", _number(text))


def real(text):
    """A finite number."""
    return _checked(check_real, "it", _number(text))


def patterns(text):
    """Names or shell-style patterns with commas between."""
    return [part.strip() for part in text.split(",") if part.strip()]


def sizes(text):
    """Whole numbers with commas between, each at least 1; gives a tuple."""
    return tuple(_checked(check_count, "each", _number(part), 1) for part in text.split(","))


def pair(wanted, value=real):
    """The kind: NAME:NUMBER, as `wanted` spells it; gives (name, number)."""
    def kind(text):
        name, colon, number = text.rpartition(":")
        if not (colon and name):
            raise argparse.ArgumentTypeError(f"{quoted(repr(text))}; wanted {wanted}")
        return name, value(number)
    return kind


def _number(text):
    """`text` as an int or a float, by its look; as it is where it is no number."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(check, *arguments):
    """What `check` returns; its error as argparse wants it."""
    try:
        return check(*arguments)
    except (InvalidType, InvalidValue) as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("it=")) from error


def overview(commands):
    """What `minnet --help` prints."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {row.help}" for name, row in commands.items()]
    return OVERVIEW.format("\n".join(lines))
