"""Read tables in text files (.csv, .tsv and their kin): columns of numbers, and one of classes; safe with any file.

    X, y = read_csv("mine.csv", target="kind")
    table = read_table("mine.csv", form=check_format(delimiter=";", decimal=",", encoding="latin-1", ignore=["id"]))

What a `Format` does not tell is found out from the first lines, except the encoding: a file is UTF-8 unless told.
A cell of features may be missing (`cells.MISSING`), and a column may hold text in most of its cells: see `Table`.
Every problem is one line that names line and column and says what to do.
"""
import codecs
import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from minnet.cells import as_labels, is_any_number, is_number, plain
from minnet.errors import InvalidType, InvalidValue, check_count, file_error, quoted, unknown
from minnet.features import Columns, Features, with_texts
from minnet.files import opened

CALLED = {"label", "class", "target", "y"}  # names of a column of classes
INDEX_NAMES = ("", "Unnamed: 0")  # of a column that pandas wrote
FEWEST_COUNTED = 3  # columns of a header 0, 1, 2, ...; two may as well be a sample
NUMBER = re.compile(r"-?[0-9]{1,9}")
DELIMITERS = ",;\t| "  # that are found out; of equal ones the first
NAMES = {"tab": "\t", r"\t": "\t", "space": " "}  # of delimiters that a shell makes hard to give
SAMPLE_LINES, SAMPLE_CHARACTERS = 20, 2**16  # that tell delimiter, decimal mark and header


class Format(NamedTuple):
    """How a table is written, as far as it is told; what is None is found out. See `check_format`.

    `known` are names of columns that are read as text where they are there.
    """

    delimiter: str | None = None
    header: bool | None = None
    decimal: str | None = None
    encoding: str | None = None
    ignore: tuple[str | int, ...] = ()
    text: tuple[str | int, ...] = ()
    categories: tuple[str | int, ...] = ()
    missing: str | None = None
    known: tuple[str, ...] = ()


PLAIN = Format()
FILLS = ("median", "error")  # what is done about missing numbers
Target = str | int | Sequence[str | int] | None  # a column by name or number, or several


class Table(NamedTuple):
    """What a table holds: X (n, d), y (n,) or (n, k), names of their columns; None without a header.

    The target of a table without a header is the number of its column in text, None where it is the last untold. X is
    float64, NaN where a cell is missing. Where columns hold text it is of objects: text or NaN in these, numbers in the
    others. `kinds` has what is told of columns: "text" or "categories" by their places in X. y is None where there is
    no column of labels.
    """

    X: np.ndarray
    y: np.ndarray | None
    names: tuple[str, ...] | None
    target: str | tuple[str, ...] | None
    kinds: dict[int, str]


class Written(NamedTuple):
    """How a table was read, so that it can be read once more, and the places of the columns that hold text."""

    delimiter: str
    header: bool
    columns: Columns
    texts: list[int]


def check_format(delimiter: str | None = None, header: bool | None = None, decimal: str | None = None,
                 encoding: str | None = None, ignore: str | int | Iterable[str | int] = (),
                 text: str | int | Iterable[str | int] = (), categories: str | int | Iterable[str | int] = (),
                 missing: str | None = None) -> Format:
    """Return the Format of these arguments, checked.

    `delimiter` is one character, "tab" or "space" (any number of spaces); `header` whether the first line names the
    columns; `decimal` "." or ","; `encoding` a name that Python knows; `ignore` names or numbers of columns that are
    not read, `text` and `categories` of those that hold these, be they numbers or not; with `missing` "error" a gap is
    one. Raises InvalidValue or InvalidType.
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
    if missing not in (None, *FILLS):
        raise InvalidValue(f"missing={quoted(repr(missing))}; wanted {' or '.join(map(repr, FILLS))}")
    columns = (check_columns(name, value) for name, value in
               (("ignore", ignore), ("text", text), ("categories", categories)))
    return Format(delimiter, header, decimal, encoding, *columns, missing)


def check_columns(name: str, columns: str | int | Iterable[str | int] | None) -> tuple[str | int, ...]:
    """Return the columns of an argument as a tuple: names, or numbers from 0, none where it is None."""
    found = (columns,) if isinstance(columns, str | int) else tuple(columns or ())
    if any(isinstance(column, bool) or not isinstance(column, str | int) for column in found):
        raise InvalidType(f"{name}={quoted(repr(columns))}; wanted names or numbers of columns")
    return found


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
               form: Format = PLAIN, wanted: Sequence[str] | None = None, numbers: bool = False,
               labels: bool = True) -> Table:
    """Return the Table in a text file; `target` is the name or number of the column of classes, or several of numbers.

    Without it that is the column called `learnt` if there is one, or of this number where no names are `wanted`, else
    the last that is not ignored; with `ask`, a table in which another one is called label, class, target or y is
    refused, since either may be meant. Where all columns `wanted` are there, no others are read. With `numbers` every
    cell must be a finite number; without `labels` the last column may be one that is `wanted`.

    A first line without a number names the columns, and so does one of 0, 1, 2, ... of three columns or more, as pandas
    writes it for columns without names. A column in which more than half of the cells that are there are no numbers
    holds text, or 0 and 1 where it holds True and False alone. Each error names its line and column. y is of bools,
    whole numbers, other numbers or text, whichever holds for all labels.
    """
    with opened(path) as file:
        try:
            with _lines(path, file, form) as lines:
                table, written = _table(path, lines, target, learnt, ask, form, wanted, numbers, labels)
            if not written.texts:
                return table
            file.seek(0)
            with _lines(path, file, form) as lines:
                rows = (cells for _, cells in islice(_rows(path, lines, written.delimiter), int(written.header), None))
                return table._replace(X=with_texts(rows, table.X, written.columns, written.texts))
        except UnicodeError as error:
            raise _wrong_encoding(path, form.encoding) from error


@contextmanager
def _lines(path, file, form):
    """Yield the lines of a binary file, as text without NUL."""
    text = io.TextIOWrapper(file, form.encoding or "utf-8-sig", newline="")
    try:
        yield _without_nul(path, text)
    finally:
        text.detach()


def _table(path, lines, target, learnt, ask, form, wanted, numbers, labelled):
    """Return the Table in the lines of the file, without its texts, and how it is written."""
    sample = _sample(lines)
    delimiter, decimal = _written(sample, form)
    rows = _rows(path, chain(sample, lines), delimiter)
    first = _, head = next(rows, (0, []))
    below = [cells for _, cells in islice(_tolerant(sample, delimiter), 1, None)]
    columns = _columns(path, head, below, target, learnt, form, wanted, labelled)
    if ask and columns.names and target is None and not _are_in(learnt, head):
        _ask_for_target(path, columns)
    features, labels = Features(path, columns, decimal), [[] for _ in columns.targets]
    for number, cells in rows if columns.names else chain([first], rows):
        for place, column in zip(columns.targets, labels, strict=True):
            column.append(_label(path, number, cells[place]))
        features.add(number, cells)
    if not features.rows:
        raise file_error(path, "holds no rows", fix="a row is numbers and a class")
    texts = features.texts(numbers, form.missing == "error")
    X, names = np.frombuffer(features.values).reshape(features.rows, -1), columns.names
    if ask:
        _warn_of_index(X, columns)
    if ask and form.header and not _is_header(head, below, target, form._replace(header=None)):
        _warn_of_names(head, columns, labels)
    found = [as_labels(column, decimal) for column in labels]
    told = target is not None or _by_number(learnt, wanted)
    learnt = tuple(names[i] if names else str(i) for i in columns.targets) if names or told else None
    y = found[0] if len(found) == 1 else np.column_stack(found) if found else None
    return (Table(X, y, names and tuple(names[i] for i in columns.used),
                  learnt[0] if learnt and len(learnt) == 1 else learnt or None, columns.kinds),
            Written(delimiter, names is not None, columns, texts))


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
            decimal = "," if any("," in cell and is_number(plain(cell, ",")) for cell in cells) else "."
        widths = {len(row) for row in rows}
        several = max(widths, default=0) > 1
        merits = several and len(widths) == 1, several, sum(is_number(plain(cell, decimal)) for cell in cells)
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


def _warn_of_names(head, columns, labels):
    """Warn of a first line that is told to name the columns, but whose label is a number or one of those below."""
    label = head[columns.targets[0]].strip() if labels else ""
    if is_any_number(label) or label in labels[0]:
        warnings.warn(f"the first line, {quoted(repr(head))}, looks like a row and is taken as the names of the "
                      "columns, as --header yes says: --header no makes it a row", UserWarning, stacklevel=2)


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
        raise file_error(path, f"line {reader.line_num}: {quoted(str(error))}", fix="mend that line") from error


# --- which columns ----------------------------------------------------------------------------------------------------


def _columns(path, head, below, target, learnt, form, wanted, labelled=True) -> Columns:
    """Return which columns are read, by the first line and those below it."""
    if len(head) < 2:
        raise file_error(path, f"needs at least two columns, its first line has {len(head)}",
                         fix="separate numbers and class by commas, or name what separates them: --delimiter"
                             + (f"; or is it no {quoted(form.encoding)}? --encoding" if form.encoding else ""))
    if target is None and ((form.header is not False and _are_in(learnt, head)) or _by_number(learnt, wanted)):
        target = learnt
    names = tuple(head) if _is_header(head, below, target, form) else None
    ignored = {_place(path, names, len(head), column, "ignore") for column in form.ignore}
    left = [i for i in range(len(head)) if i not in ignored]
    if target is None and not left:
        raise file_error(path, "has no column that is not ignored", fix="leave one --ignore out")
    targets = [_place(path, names, len(head), column, "target") for column in _several(target)]
    all_wanted = bool(names and wanted) and set(wanted) <= set(names)
    if not targets and (labelled or not all_wanted or names[left[-1]] not in wanted):
        targets = left[-1:]
    if ignored & set(targets):
        raise InvalidValue(f"target={quoted(repr(target))} is a column to ignore too: leave one of them out")
    if len(set(targets)) < len(targets):
        raise InvalidValue(f"target={quoted(repr(target))} names a column twice: leave one out")
    used = [i for i in left if i not in targets]
    if all_wanted:
        used = [i for i in used if names[i] in wanted]
    if not used:
        raise file_error(path, "has no column left beside the target", fix="leave one --ignore out")
    kinds = {_place(path, names, len(head), column, kind): kind for kind in ("text", "categories")
             for column in getattr(form, kind)}
    if set(kinds) - set(used):
        lost = min(set(kinds) - set(used))
        raise InvalidValue(f"{kinds[lost]}={names[lost] if names else lost!r} is no column of features: leave it out")
    texts = set(kinds) | {place for place in used if names and names[place] in form.known}
    return Columns(names, targets, used, texts, {used.index(place): kind for place, kind in kinds.items()})


def _several(target: Target) -> list[str | int]:
    """Return the columns of a target as a list: none, one or several."""
    return [] if target is None else [target] if isinstance(target, str | int) else list(target)


def _are_in(learnt, head) -> bool:
    """Return whether the columns that a model has learnt are in the first line, each once."""
    return learnt is not None and all(head.count(column) == 1 for column in _several(learnt))


def _by_number(learnt, wanted) -> bool:
    """Return whether a model without names of columns has learnt columns by their numbers."""
    return bool(learnt) and wanted is None and all(map(NUMBER.fullmatch, _several(learnt)))


def _is_header(head, below, target, form) -> bool:
    """Return whether the first line names the columns, as told or found out."""
    if form.header is not None:
        return form.header
    if len(head) >= FEWEST_COUNTED and head == [str(i) for i in range(len(head))]:
        return True
    skipped = set()
    for column in (*form.ignore, *form.text, *form.categories, *_several(target)):
        number = isinstance(column, int) or bool(NUMBER.fullmatch(column))
        if not number or not -len(head) <= int(column) < len(head):  # it must be a name
            if column not in head:
                return True
            return not any(cells[head.index(column):][:1] == [column] for cells in below)
        skipped.add(head.index(column) if column in head else int(column) % len(head))
    if target is None:
        skipped.add(max(set(range(len(head))) - skipped, default=0))
    if any(map(is_any_number, (cell for i, cell in enumerate(head) if i not in skipped))):
        return False
    columns = list(zip(*below, strict=False))
    numbers = any(map(is_any_number, chain.from_iterable(columns)))
    return numbers or not any(cell in column for cell, column in zip(head, columns, strict=False))


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
                         fix=f"give the number of the column, from 0 to {width - 1}, or say --header yes "
                             "(in Python header=True)")
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
                                         f"{quoted(last)} (in Python target=)")


def _wrong_encoding(path, told):
    """Return the error about bytes that are no text in the encoding that is told, or in UTF-8."""
    if told is None:
        return file_error(path, "is no text in UTF-8", fix="save it as UTF-8, or name its encoding, as in --encoding "
                                                           "latin-1, or utf-16 (in Python encoding=)")
    return file_error(path, f"is no text in {quoted(told)}, as --encoding says (in Python encoding=)",
                      fix="name another, such as utf-8, latin-1 or utf-16; latin-1 can read any file")


def _label(path, number, cell):
    """Return the class of one row, as text."""
    cell = cell.strip()
    if not cell:
        raise file_error(path, f"line {number} has no class", fix="fill it in or take the line out")
    return cell
