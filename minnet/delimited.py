"""Read tables in text files (.csv, .tsv and their kin): columns of numbers, and one of classes; safe with any file.

    X, y = read_csv("mine.csv", target="kind")
    table = read_table("mine.csv", form=check_format(delimiter=";", decimal=",", encoding="latin-1", ignore=["id"]))

What a `Format` does not tell is found out from the first lines, except the encoding: a file is UTF-8 unless told.
Every problem is one line that names line and column and says what to do.
"""
import codecs
import csv
import io
import math
import re
import warnings
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from minnet.errors import FileError, InvalidType, InvalidValue, check_count, file_error, quoted, unknown
from minnet.files import opened

CALLED = {"label", "class", "target", "y"}  # names of a column of classes
INDEX_NAMES = ("", "Unnamed: 0")  # of a column that pandas wrote
FEWEST_COUNTED = 3  # columns of a header 0, 1, 2, ...; two may as well be a sample
NUMBER = re.compile(r"-?[0-9]{1,9}")
LONGEST_INTEGER = 20  # characters of one in 64 bits
BOOLS = {"True": True, "False": False}
DELIMITERS = ",;\t| "  # that are found out; of equal ones the first
NAMES = {"tab": "\t", r"\t": "\t", "space": " "}  # of delimiters that a shell makes hard to give
SAMPLE_LINES, SAMPLE_CHARACTERS = 20, 2**16  # that tell delimiter, decimal mark and header


class Format(NamedTuple):
    """How a table is written, as far as it is told; what is None is found out. See `check_format`."""

    delimiter: str | None = None
    header: bool | None = None
    decimal: str | None = None
    encoding: str | None = None
    ignore: tuple[str | int, ...] = ()


PLAIN = Format()
Target = str | int | Sequence[str | int] | None  # a column by name or number, or several


class Table(NamedTuple):
    """What a table holds: X (n, d) float64, y (n,) or (n, k), names of their columns; None without a header."""

    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...] | None
    target: str | tuple[str, ...] | None


class Columns(NamedTuple):
    """Which columns are read: the names of all or None, the places of the targets, mostly one, and of the features."""

    names: tuple[str, ...] | None
    targets: list[int]
    used: list[int]
    width: int


def check_format(delimiter: str | None = None, header: bool | None = None, decimal: str | None = None,
                 encoding: str | None = None, ignore: str | int | Iterable[str | int] = ()) -> Format:
    """Return the Format of these arguments, checked.

    `delimiter` is one character, "tab" or "space" (any number of spaces); `header` whether the first line names the
    columns; `decimal` "." or ","; `encoding` a name that Python knows; `ignore` names or numbers of columns that are
    not read. Raises InvalidValue or InvalidType.
    """
    if delimiter is not None:
        delimiter = NAMES.get(delimiter, delimiter)
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0.':
            raise InvalidValue(f"delimiter={quoted(repr(delimiter))}; wanted one character that separates columns, "
                               "tab or space")
    if not (header is None or isinstance(header, bool)):
        raise InvalidType(f"header={quoted(repr(header))}; wanted True, False, or None to find out")
    if decimal not in (None, ".", ",") or (decimal == "," == delimiter):
        raise InvalidValue(f"decimal={quoted(repr(decimal))} with delimiter={quoted(repr(delimiter))}; wanted '.' or "
                           "',', another character than the delimiter")
    if encoding is not None:
        _check_encoding(encoding)
    ignore = (ignore,) if isinstance(ignore, str | int) else tuple(ignore)
    if any(isinstance(column, bool) or not isinstance(column, str | int) for column in ignore):
        raise InvalidType(f"ignore={quoted(repr(ignore))}; wanted names or numbers of columns")
    return Format(delimiter, header, decimal, encoding, ignore)


def _check_encoding(encoding):
    """Refuse an encoding that Python does not know, or that is none of text."""
    try:
        io.TextIOWrapper(io.BytesIO(), codecs.lookup(encoding).name)
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidValue(f"encoding={quoted(repr(encoding))}; wanted one that Python knows, as latin-1, cp1252 or "
                           "utf-16") from error


def read_csv(path, target=None):
    """Return (X, y) of a table: see `read_table`."""
    return read_table(path, target)[:2]


def read_table(path, target: Target = None, learnt: str | tuple[str, ...] | None = None, *, ask: bool = True,
               form: Format = PLAIN, wanted: Sequence[str] | None = None) -> Table:
    """Return the Table in a text file; `target` is the name or number of the column of classes, or several of numbers.

    Without it that is the column called `learnt` if there is one, else the last that is not ignored; with `ask`, a
    table in which another one is called label, class, target or y is refused, since either may be meant. Where all
    columns `wanted` are there, no others are read.

    A first line without a number names the columns, and so does one of 0, 1, 2, ... of three columns or more, as pandas
    writes it for columns without names. Each error names its line and column. y is of bools, whole numbers, other
    numbers or text, whichever holds for all labels.
    """
    with opened(path) as file:
        text = io.TextIOWrapper(file, form.encoding or "utf-8-sig", newline="")
        try:
            return _table(path, text, target, learnt, ask, form, wanted)
        except UnicodeError as error:
            reason, known = getattr(error, "reason", str(error)), form.encoding or "UTF-8"
            other = "latin-1, or utf-16" if form.encoding is None else "utf-8"
            raise file_error(path, f"is no text in {quoted(known)} ({reason})",
                             fix=f"save it as UTF-8, or name its encoding, as in --encoding {other}") from error
        finally:
            text.detach()


def _table(path, lines, target, learnt, ask, form, wanted):
    """Return the Table in the lines of the file."""
    lines = _without_nul(path, lines)
    sample = _sample(lines)
    delimiter, decimal = _written(sample, form)
    rows = _rows(path, chain(sample, lines), delimiter)
    first = _, head = next(rows, (0, []))
    below = [cells for _, cells in islice(_tolerant(sample, delimiter), 1, None)]
    columns = _columns(path, head, below, target, learnt, form, wanted)
    if ask and columns.names and target is None and not _are_in(learnt, head):
        _ask_for_target(path, columns)
    values, labels = array("d"), [[] for _ in columns.targets]
    for number, cells in rows if columns.names else chain([first], rows):
        for place, column in zip(columns.targets, labels, strict=True):
            column.append(_label(path, number, cells[place]))
        values.extend(_features(path, number, cells, columns, decimal))
    if not labels[0]:
        raise file_error(path, "holds no rows", fix="a row is numbers and a class")
    X, names = np.frombuffer(values).reshape(len(labels[0]), -1), columns.names
    if ask:
        _warn_of_index(X, columns)
    found = [_as_labels(column, decimal) for column in labels]
    learnt = names and tuple(names[i] for i in columns.targets)
    return Table(X, found[0] if len(found) == 1 else np.column_stack(found),
                 names and tuple(names[i] for i in columns.used), learnt[0] if learnt and len(learnt) == 1 else learnt)


# --- how it is written ------------------------------------------------------------------------------------------------


def _without_nul(path, lines):
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise file_error(path, f"line {number} holds a NUL character",
                             fix="save it as plain text in UTF-8, or name its encoding, as in --encoding utf-16")
        yield line


def _sample(lines: Iterator[str]) -> list[str]:
    """Take the first few lines of a file."""
    sample, size = [], 0
    while len(sample) < SAMPLE_LINES and size < SAMPLE_CHARACTERS:
        line = next(lines, None)
        if line is None:
            break
        sample.append(line)
        size += len(line)
    return sample


def _written(sample: list[str], form: Format) -> tuple[str, str]:
    """Return delimiter and decimal mark, found out from the sample where they are not told.

    The delimiter gives all lines the same number of cells, at least two, if one does; then most numbers. A comma is a
    decimal mark where it is no delimiter and a cell of the sample is a number by it alone.
    """
    best = None
    for delimiter in DELIMITERS if form.delimiter is None else form.delimiter:
        rows = [cells for _, cells in _tolerant(sample, delimiter)]
        cells, decimal = list(chain.from_iterable(rows)), form.decimal or "."
        if form.decimal is None and delimiter != ",":
            decimal = "," if any("," in cell and _is_number(_plain(cell, ",")) for cell in cells) else "."
        widths = {len(row) for row in rows}
        several = max(widths, default=0) > 1
        merits = several and len(widths) == 1, several, sum(_is_number(_plain(cell, decimal)) for cell in cells)
        if best is None or merits > best[0]:
            best = merits, delimiter, decimal
    return best[1:]


def _tolerant(sample, delimiter):
    """Yield (line number, cells) of the lines of a sample, up to the first that is no part of a table."""
    rows = _reader(sample, delimiter, strict=False)
    try:
        yield from ((rows.line_num, cells) for cells in rows if cells)
    except csv.Error:  # which the whole file will have too
        return


def _reader(lines, delimiter, strict=True):
    """Return the csv.reader of the lines; spaces separate in any number."""
    spaced = delimiter == " "
    lines = (line.strip(" \r\n") + "\n" for line in lines) if spaced else lines
    return csv.reader(lines, delimiter=delimiter, strict=strict, skipinitialspace=spaced)


def _warn_of_index(X, columns):
    """Warn of a column without a name, as pandas writes an index, whose whole numbers all differ."""
    for values, place in zip(X.T, columns.used, strict=True):
        unnamed = columns.names and columns.names[place] in INDEX_NAMES
        if unnamed and len(X) > FEWEST_COUNTED and (values % 1 == 0).all() and len(np.unique(values)) == len(X):
            warnings.warn(f"column {place}, {quoted(repr(columns.names[place]))}, numbers the rows and is learnt from "
                          f"like any other: --ignore {place} leaves it out", UserWarning, stacklevel=2)


def _rows(path, lines, delimiter):
    """Yield (line number, cells) of each row; all have as many cells as the first; empty lines are skipped."""
    reader, width = _reader(lines, delimiter), None
    try:
        for cells in filter(None, reader):
            width = width or len(cells)
            if len(cells) != width:
                problem = f"line {reader.line_num} has {len(cells)} columns, the first has {width}"
                raise file_error(path, problem, fix="mend that line, or name what separates columns: --delimiter")
            yield reader.line_num, cells
    except csv.Error as error:
        raise file_error(path, f"line {reader.line_num}: {error}", fix="mend that line") from error


# --- which columns ----------------------------------------------------------------------------------------------------


def _columns(path, head, below, target, learnt, form, wanted) -> Columns:
    """Return which columns are read, by the first line and those below it."""
    if len(head) < 2:
        raise file_error(path, f"needs at least two columns, its first line has {len(head)}",
                         fix="separate numbers and class by commas, or name what separates them: --delimiter")
    if target is None and form.header is not False and _are_in(learnt, head):
        target = learnt
    names = tuple(head) if _is_header(head, below, target, form) else None
    ignored = {_place(path, names, len(head), column, "ignore") for column in form.ignore}
    left = [i for i in range(len(head)) if i not in ignored]
    if target is None and not left:
        raise file_error(path, "has no column that is not ignored", fix="leave one --ignore out")
    targets = [_place(path, names, len(head), column, "target") for column in _several(target)] or left[-1:]
    if ignored & set(targets):
        raise InvalidValue(f"target={quoted(repr(target))} is a column to ignore too: leave one of them out")
    if len(set(targets)) < len(targets):
        raise InvalidValue(f"target={quoted(repr(target))} names a column twice: leave one out")
    used = [i for i in left if i not in targets]
    if names and wanted and set(wanted) <= set(names):
        used = [i for i in used if names[i] in wanted]
    if not used:
        raise file_error(path, "has no column left beside the target", fix="leave one --ignore out")
    return Columns(names, targets, used, len(head))


def _several(target: Target) -> list[str | int]:
    """Return the columns of a target as a list: none, one or several."""
    return [] if target is None else [target] if isinstance(target, str | int) else list(target)


def _are_in(learnt, head) -> bool:
    """Return whether the columns that a model has learnt are in the first line, each once."""
    return learnt is not None and all(head.count(column) == 1 for column in _several(learnt))


def _is_header(head, below, target, form) -> bool:
    """Return whether the first line names the columns, as told or found out."""
    if form.header is not None:
        return form.header
    if len(head) >= FEWEST_COUNTED and head == [str(i) for i in range(len(head))]:
        return True
    skipped = set()
    for column in (*form.ignore, *_several(target)):
        number = isinstance(column, int) or bool(NUMBER.fullmatch(column))
        if not number or not -len(head) <= int(column) < len(head):  # it must be a name
            if column not in head:
                return True
            return not any(cells[head.index(column):][:1] == [column] for cells in below)
        skipped.add(head.index(column) if column in head else int(column) % len(head))
    if target is None:
        skipped.add(max(set(range(len(head))) - skipped, default=0))
    return not any(_is_number(cell) or _is_number(_plain(cell, ",")) for i, cell in enumerate(head) if i not in skipped)


def _place(path, names, width, column, what) -> int:
    """Return the place of a column given by name or number."""
    if isinstance(column, str) and names and column in names:
        if names.count(column) > 1:
            raise file_error(path, f"has {names.count(column)} columns {quoted(repr(column))}", fix="rename one")
        return names.index(column)
    if isinstance(column, str) and NUMBER.fullmatch(column):
        column = int(column)
    if isinstance(column, str) and not names:
        raise file_error(path, f"has no column {quoted(repr(column))}, for its first line is no header",
                         fix=f"give the number of the column, from 0 to {width - 1}, or say --header yes")
    if isinstance(column, str):
        raise unknown(f"column of {quoted(str(path))}", column, names)
    return check_count(what, column, -width, width - 1) % width


def _ask_for_target(path, columns):
    """Refuse a table whose column of classes is called nothing in particular, and another one as if it held them."""
    names, last = columns.names, columns.names[columns.targets[0]]
    meant = [names[i] for i in columns.used if names[i].strip().lower() in CALLED]
    if meant and last.strip().lower() not in CALLED:
        what = f"has a column {quoted(repr(meant[0]))}, and the last one is {quoted(repr(last))}"
        raise file_error(path, what, fix=f"say which is to be learnt: --target {quoted(meant[0])}, or --target "
                                         f"{quoted(last)}")


# --- cells ------------------------------------------------------------------------------------------------------------


def _plain(cell, decimal):
    """Return a number as `float` takes it; with decimal commas a point is none, since it may separate thousands."""
    return cell if decimal == "." else cell.replace(".", "?").replace(",", ".")


def _is_number(cell):
    """Test for what `float` takes, except spellings that no table means: 1_000, digits of other scripts."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def _features(path, number, cells, columns, decimal):
    """Return the row's numbers, or raise an error that names the first cell that is none."""
    row = [cells[i] for i in columns.used]
    numbers = _all_numbers(row) if decimal == "." else None
    if numbers is not None:
        return numbers
    row = [_plain(cell, decimal) for cell in row]
    for column, cell in zip(columns.used, row, strict=True):
        if not (_is_number(cell) and math.isfinite(float(cell))):
            raise _no_number(path, number, column, cells[column], columns, decimal)
    return map(float, row)


def _all_numbers(row):
    """Return the numbers of a row at once, None where some cell may be none."""
    text = "".join(row)
    if not text.isascii() or "_" in text:
        return None
    try:
        numbers = list(map(float, row))
    except ValueError:
        return None
    return numbers if math.isfinite(sum(numbers)) else None


def _no_number(path, number, column, cell, columns, decimal) -> FileError:
    """Return the error about a cell that is no number."""
    name = f" ({quoted(columns.names[column])})" if columns.names else ""
    other = {",": ".", ".": ","}[decimal]
    mark = f", or say --decimal {other}" if _is_number(_plain(cell, other)) else ""
    known = columns.names[column] if columns.names and columns.names[column] else column
    fix = f"mend it{mark}, encode text as numbers first, or leave it out: --ignore {quoted(str(known))}"
    return file_error(path, f"line {number}, column {column + 1}{name}: {quoted(repr(cell))} is no finite number", fix)


def _label(path, number, cell):
    """Return the class of one row, as text."""
    cell = cell.strip()
    if not cell:
        raise file_error(path, f"line {number} has no class", fix="fill it in or take the line out")
    return cell


def _as_labels(labels, decimal):
    """Return labels as bools, else whole numbers, else numbers, else text: the first that holds for all."""
    if all(label in BOOLS for label in labels):
        return np.array([BOOLS[label] for label in labels])
    if all(map(_looks_whole, labels)):
        if max(map(len, labels)) > LONGEST_INTEGER:
            return np.array(labels)
        numbers = [int(label) for label in labels]
        for dtype in (np.int64, np.uint64):
            if np.iinfo(dtype).min <= min(numbers) and max(numbers) <= np.iinfo(dtype).max:
                return np.array(numbers, dtype)
        return np.array(labels)  # as floats some would become one
    plain = [_plain(label, decimal) for label in labels]
    if all(map(_is_number, plain)):
        return np.array([float(label) for label in plain])
    return np.array(labels)


def _looks_whole(label):
    return _is_number(label) and label.lstrip("+-").isdigit()
