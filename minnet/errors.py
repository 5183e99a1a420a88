"""Define every error that minnet raises on purpose, and the small checks that raise them.

All derive from `MinnetError`; a bad argument is also a `ValueError` or a `TypeError`, a bad file an `OSError`, so that
code that does not know minnet catches them as usual. A message is one line: what was given, what was wanted, the way
out. Whatever comes from outside (a file's name, a layer's name in a file) is put in a message through `quoted`.
"""

import difflib
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from types import ModuleType
from typing import TypeVar

LONGEST_SHOWN = 200  # characters of a name or a value that a message repeats
MOST_LISTED = 10      # labels, columns or other values that a message lists
PERCENT = 100

Kind = TypeVar("Kind")
Choice = TypeVar("Choice")


class MinnetError(Exception):
    """Base of every error that minnet raises on purpose.

    An error of an argument is also a ValueError or a TypeError, one of a file an OSError, one of a missing package an
    ImportError, and one of an ability that a layer or platform lacks a NotImplementedError. A message is one line: what
    was given, what was wanted, and the way out.
    """


class InvalidValue(MinnetError, ValueError):
    """Report an argument of the right type with a value that cannot be used."""


class InvalidType(MinnetError, TypeError):
    """Report an argument of another type than was wanted."""


class UnknownName(InvalidValue):
    """Report a name that is in no table; made by `unknown`."""


class NotFinite(InvalidValue):
    """Report NaN or infinity where finite numbers are wanted."""


class FileError(MinnetError, OSError):
    """Report a file or folder that is missing, damaged, hostile, too large or not writable; made by `file_error`."""


class MissingExtra(MinnetError, ImportError):
    """Report an optional package that is not installed; made by `import_optional`."""


class Diverged(MinnetError):
    """Report a training loss that became NaN or infinite."""


class Unsupported(MinnetError, NotImplementedError):
    """Report an optional ability that a layer, kernel or platform lacks."""


def quoted(value: object) -> str:
    """Return `value` as a message may repeat it: at most 200 characters, none of them unprintable.

    A string of printable characters is returned as it is, any other string or value as its `repr`, escaped.
    """
    text = value if isinstance(value, str) and value.isprintable() else repr(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def listed(values: Iterable[object]) -> str:
    """Return values as a message lists them: the first few, quoted."""
    values = list(values)
    more = f" and {len(values) - MOST_LISTED} more" if len(values) > MOST_LISTED else ""
    return ", ".join(quoted(repr(value)) for value in values[:MOST_LISTED]) + more


def file_error(path: object, what: str, fix: str | None = None) -> FileError:
    """Return the `FileError` that reads `PATH: what is wrong (what to do)`."""
    hint = f" ({fix})" if fix else ""
    return FileError(f"{quoted(str(path))}: {what}{hint}")


def unknown(kind: str, name: object, choices: Iterable[object]) -> UnknownName:
    """Return the `UnknownName` for a `name` that is none of `choices`: the nearest names first, then all of them."""
    names = sorted(str(choice) for choice in choices)
    near = difflib.get_close_matches(str(name)[:LONGEST_SHOWN], names)
    guess = f" did you mean {' or '.join(map(quoted, near))}?" if near else ""
    listed = ", ".join(map(quoted, names)) or "(none)"
    return UnknownName(f"unknown {kind} {quoted(repr(name))};{guess} choose from: {listed}")


def import_optional(module: str, extra: str, what: str = "this") -> ModuleType:
    """Import and return `module`, or raise `MissingExtra` naming the extra of minnet that brings it.

    `what` needs it, and begins the message: `import_optional("matplotlib", "report", "the plot")`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtra(f'{what} needs {package}: pip install "minnet-lab[{extra}]"') from error


def check_real(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a float, checked: a finite number, low <= value <= high.

    Raises InvalidType for a bool, a string or anything else that is no number, InvalidValue for one out of range.
    """
    wanted = f"a finite number{_between(low, high)}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidType(f"{name}={quoted(repr(value))} is {_kind(value)}; wanted {wanted}")
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high):
        raise InvalidValue(f"{name}={quoted(repr(value))}; wanted {wanted}")
    return number


def check_positive(name: str, value: object) -> float:
    """Return `value` as a float, checked: a finite number above 0."""
    number = check_real(name, value)
    if number <= 0:
        raise InvalidValue(f"{name}={quoted(repr(value))}; wanted a finite number above 0")
    return number


def check_fraction(name: str, value: object) -> float:
    """Return `value` as a float, checked: a share in [0, 1], both ends included.

    For 90 the message asks "did you mean 0.9?".
    """
    try:
        return check_real(name, value, 0, 1)
    except InvalidValue as error:
        if 1 < value <= PERCENT:
            raise InvalidValue(f"{error}; did you mean {float(value) / PERCENT:g}?") from None
        raise


def check_count(name: str, value: object, low: int = 0, high: int | None = None) -> int:
    """Return `value` as an int, checked: a whole number, low <= value <= high; 2.0 and True are refused."""
    top = math.inf if high is None else high
    wanted = f"a whole number{_between(low, top)}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidType(f"{name}={quoted(repr(value))} is {_kind(value)}; wanted {wanted}")
    if not low <= value <= top:
        raise InvalidValue(f"{name}={quoted(repr(value))}; wanted {wanted}")
    return int(value)


def check_kind(caller: str, value: object, kind: type[Kind]) -> Kind:
    """Return `value`, checked to be an instance of `kind`, a class such as Model, that `caller` takes."""
    if not isinstance(value, kind):
        raise InvalidType(f"{caller} takes a {kind.__name__}, got {quoted(repr(value))}")
    return value


def check_choice(kind: str, name: object, table: Mapping[str, Choice]) -> Choice | Callable[..., object]:
    """Return `table[name]`, or `name` if it is a function: whatever takes a name takes a function too."""
    if isinstance(name, str) and name in table:
        return table[name]
    if callable(name):
        return name
    raise unknown(kind, name, table)


def _between(low, high):
    """Return the part of a message that says which numbers are wanted."""
    if math.isinf(high):
        return "" if math.isinf(low) else f" of at least {low}"
    return f" of at most {high}" if math.isinf(low) else f" from {low} to {high}"


def _kind(value):
    return "None" if value is None else f"of type {type(value).__name__}"
