"""Every error that minnet raises on purpose, and the small checks that raise them.

All derive from `MinnetError`; a bad argument is also a `ValueError` or a `TypeError`, a bad file an `OSError`, so that
callers who know nothing of minnet catch them as usual. A message is one line: what was given, what was wanted, the way
out. Whatever comes from outside (a file's name, a layer's name in a file) is put in a message through `quoted`.
"""

import difflib
import importlib
import math
from numbers import Integral, Real

LONGEST_SHOWN = 200  # characters of a name or a value that a message repeats
PERCENT = 100


class MinnetError(Exception):
    """Base of every error that minnet raises on purpose."""


class InvalidValue(MinnetError, ValueError):
    """An argument has the right type and a value that cannot be used."""


class InvalidType(MinnetError, TypeError):
    """An argument is not the kind of thing that was wanted."""


class UnknownName(InvalidValue):
    """A name that is in no table; made by `unknown`."""


class NotFinite(InvalidValue):
    """NaN or infinity where numbers are wanted."""


class FileError(MinnetError, OSError):
    """A file or folder that is missing, damaged, hostile, too large or not writable; made by `file_error`."""


class MissingExtra(MinnetError, ImportError):
    """An optional package is not installed; made by `import_optional`."""


class Diverged(MinnetError):
    """The training loss became NaN or infinite."""


class Unsupported(MinnetError, NotImplementedError):
    """A layer, kernel or platform lacks an optional ability that was asked for."""


def quoted(value):
    """`value` as a message may repeat it: at most 200 characters, control characters and odd directions escaped.

    A string of printable characters stays as it is; any other string, and any other value, is shown by `repr`.
    """
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def file_error(path, what, todo=None):
    """The `FileError` that reads `PATH: what is wrong (what to do)`."""
    hint = f" ({todo})" if todo else ""
    return FileError(f"{quoted(str(path))}: {what}{hint}")


def unknown(kind, name, choices):
    """The `UnknownName` for a `name` that is none of `choices`: nearest names first, then all of them."""
    names = sorted(str(choice) for choice in choices)
    near = difflib.get_close_matches(str(name)[:LONGEST_SHOWN], names)
    guess = f" did you mean {' or '.join(map(quoted, near))}?" if near else ""
    listed = ", ".join(map(quoted, names)) or "(none)"
    return UnknownName(f"unknown {kind} {quoted(repr(name))};{guess} choose from: {listed}")


def import_optional(module, extra, what="this"):
    """Import and return `module`, or raise `MissingExtra` naming the extra of minnet that brings it.

    `what` is who needs it, as the message begins: `import_optional("matplotlib", "report", "the plot")`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtra(f'{what} needs {package}: pip install "minnet-lab[{extra}]"') from error


def check_real(name, value, low=-math.inf, high=math.inf):
    """`value` as a float, checked: a finite number, low <= value <= high. A bool or a string is no number."""
    wanted = f"a finite number{_between(low, high)}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidType(f"{name}={quoted(repr(value))} is {_kind(value)}; wanted {wanted}")
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise InvalidValue(f"{name}={quoted(repr(value))}; wanted {wanted}")
    return number


def check_positive(name, value):
    """`value` as a float, checked: a finite number above 0."""
    number = check_real(name, value)
    if number <= 0:
        raise InvalidValue(f"{name}={quoted(repr(value))}; wanted a finite number above 0")
    return number


def check_fraction(name, value):
    """`value` as a float, checked: a share in [0, 1], both ends legal. 90 is answered by the question "0.9?"."""
    try:
        return check_real(name, value, 0, 1)
    except InvalidValue as error:
        if 1 < value <= PERCENT:
            raise InvalidValue(f"{error}; did you mean {float(value) / PERCENT:g}?") from None
        raise


def check_count(name, value, low=0, high=None):
    """`value` as an int, checked: a whole number, low <= value <= high. 2.0 and True are none."""
    top = math.inf if high is None else high
    wanted = f"a whole number{_between(low, top)}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidType(f"{name}={quoted(repr(value))} is {_kind(value)}; wanted {wanted}")
    if not low <= value <= top:
        raise InvalidValue(f"{name}={quoted(repr(value))}; wanted {wanted}")
    return int(value)


def check_kind(who, value, kind):
    """`value`, checked: what `who` takes is a `kind`, a class such as Model."""
    if not isinstance(value, kind):
        raise InvalidType(f"{who} takes a {kind.__name__}, got {quoted(repr(value))}")
    return value


def check_choice(kind, name, table):
    """`table[name]`; a function passes through, since whatever takes a name takes a function too."""
    if isinstance(name, str) and name in table:
        return table[name]
    if callable(name):
        return name
    raise unknown(kind, name, table)


def _between(low, high):
    """The part of a message that says which numbers are wanted."""
    if math.isinf(high):
        return "" if math.isinf(low) else f" of at least {low}"
    return f" of at most {high}" if math.isinf(low) else f" from {low} to {high}"


def _kind(value):
    return "None" if value is None else f"of type {type(value).__name__}"
