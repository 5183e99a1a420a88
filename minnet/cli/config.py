"""Options in a file: `--config FILE.toml` reads them, `--print-config` writes those that were given.

    sparsity = 0.95
    guard = ["accuracy:0.01", "flips:0.02"]     # an option that may be repeated
    value-range = [0, 0.1]                      # one that takes two values
    safe = true
    input = "mine.csv"                          # what is given without an option's name

Names are those of the command line without the dashes; what is given there takes precedence over the file.
"""
import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence

from minnet.cli.parser import Parser
from minnet.errors import InvalidValue, file_error, quoted, unknown
from minnet.files import read_bounded

INPUT = "input"
MOST_BYTES = 2**20
NOT_IN_FILES = ("help", "config", "print-config")


def with_config(parser: Parser, args: Sequence[str]) -> list[str]:
    """Return `args` with the options of the file that --config names before them, less those that `args` gives too.

    Raises
    ------
    FileError
        The file cannot be read or is no TOML.
    UnknownName, InvalidValue
        It names an option that the command does not have, or gives a value that none takes.
    """
    given = words(parser, args)
    files = given.pop("config", [])
    if not files:
        return list(args)
    path = files[-1][0]
    found: list[str] = []
    for name, value in read(path).items():
        if name in NOT_IN_FILES or name not in {INPUT, *options(parser)}:
            raise unknown(f"option in {quoted(path)}", name, [INPUT, *options(parser)])
        if name not in given:
            found += as_words(parser, name, value, path)
    return found + list(args)


def read(path: str) -> Mapping[str, object]:
    """Return the entries of a TOML file."""
    try:
        return tomllib.loads(read_bounded(path, MOST_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise file_error(path, f"is no TOML: {error}", fix="write lines such as sparsity = 0.95") from error


def options(parser: Parser) -> dict[str, argparse.Action]:
    """Return the options that a file may have, by name without dashes."""
    found = {name.removeprefix("--"): action for name, action in parser.named.items()}
    return {name: action for name, action in found.items() if name not in NOT_IN_FILES}


def as_words(parser: Parser, name: str, value: object, path: str) -> list[str]:
    """Return the words of the command line that say the same as an entry of the file."""
    values = value if isinstance(value, list) else [value]
    if any(isinstance(entry, list | dict) for entry in values):
        raise InvalidValue(f"{name} = {quoted(str(value))} in {quoted(path)}; wanted a text, a number, true, or a list "
                           "of these")
    if name == INPUT:
        return [str(entry) for entry in values]
    action = options(parser)[name]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise InvalidValue(f"{name} = {quoted(str(value))} in {quoted(path)}; wanted true or false")
        return [f"--{name}"] * value
    texts = [str(entry) for entry in values]
    if isinstance(action.nargs, int):
        return [f"--{name}", *texts]
    return [f"--{name}={text}" for text in texts]


def words(parser: Parser, args: Sequence[str]) -> dict[str, list[list[str]]]:
    """Return what `args` gives, by the names of options: a list of words for each time; the rest by "input"."""
    found: dict[str, list[list[str]]] = {}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        action = parser._option_string_actions.get(name)
        if action is None:
            found.setdefault(INPUT, []).append([word])
            continue
        count = 0 if equals or action.nargs == 0 else action.nargs if isinstance(action.nargs, int) else 1
        taken, rest = rest[:count], rest[count:]
        found.setdefault(action.option_strings[-1].removeprefix("--"), []).append([value] if equals else taken)
    return found


def as_toml(parser: Parser, args: Sequence[str]) -> str:
    """Return the TOML of the options that `args` gives: with it as --config, the command does the same."""
    lines = []
    for name, times in words(parser, args).items():
        if name in NOT_IN_FILES:
            continue
        action = options(parser).get(name)
        if action is not None and action.nargs == 0:
            lines.append(f"{name} = true\n")
            continue
        repeats = name == INPUT or not isinstance(action, argparse._StoreAction)
        texts = [toml_value(text) for time in (times if repeats else times[-1:]) for text in time]
        lines.append(f"{name} = {texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'}\n")
    return "".join(lines)


def toml_value(text: str) -> str:
    """Return a number as it is written, where TOML writes it the same way; else a quoted text."""
    try:
        if str(tomllib.loads(f"x = {text}")["x"]) == text and text not in ("True", "False"):
            return text
    except (tomllib.TOMLDecodeError, ValueError):
        pass
    return json.dumps(text, ensure_ascii=False)
