"""The features of a table in a text file: which columns they are, and their numbers and texts while lines are read.

    features = Features(path, columns, ".")
    features.add(2, ["5.1", "NA", "red"])          # for each line, its number first
    features.values, features.texts(False, False)  # numbers with NaN, and the places of columns of text

A cell that is no number is noted; only at the end is it known whether its column holds text.
"""
import math
from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minnet.cells import BOOLS, all_numbers, is_any_number, is_missing, is_number, plain
from minnet.errors import FileError, file_error, quoted


class Columns(NamedTuple):
    """Which columns are read: the names of all or None, the places of the targets, mostly one, and of the features.

    `texts` are the places of those that are text by what is told or known, `kinds` what is told, by place in X.
    """

    names: tuple[str, ...] | None
    targets: list[int]
    used: list[int]
    texts: set[int]
    kinds: dict[int, str]


class Features:
    """The features of a table while it is read.

    Attributes
    ----------
    values : array of float
        Of all rows; NaN for cells that are missing or no number.
    odd : dict
        {place in a line: [missing cells, texts, (line, cell) of the first missing one, that of the first text]}.
    """

    def __init__(self, path, columns: Columns, decimal: str) -> None:
        self.path, self.columns, self.decimal = path, columns, decimal
        self.values, self.odd, self.rows = array("d"), {}, 0
        self.told = columns.texts

    def add(self, number: int, cells: list[str]) -> None:
        """Add the line of this number."""
        self.rows += 1
        row = [cells[i] for i in self.columns.used]
        numbers = all_numbers(row) if self.decimal == "." and not self.told else None
        if numbers is None:
            numbers = [self._number(number, place, cell)
                       for place, cell in zip(self.columns.used, row, strict=True)]
        self.values.extend(numbers)

    def _number(self, number, place, cell):
        """Return the number in a cell; NaN where it is none, of which note is taken."""
        if place in self.told:
            return math.nan
        read = plain(cell, self.decimal)
        if is_number(read) and math.isfinite(float(read)):
            return float(read)
        noted = self.odd.setdefault(place, [0, 0, None, None])
        kind = 0 if is_missing(cell) else 1
        noted[kind] += 1
        noted[kind + 2] = noted[kind + 2] or (number, cell)
        return math.nan

    def texts(self, numbers: bool, whole: bool) -> list[int]:
        """Return the places of the columns that hold text; FileError for a cell that fits no column.

        With `numbers` every cell has to be a number; with `whole` none may be missing where numbers are.
        """
        texts = set(self.told)
        for place, (gaps, count, gap, text) in sorted(self.odd.items()):
            most = 2 * count > self.rows - gaps and not is_any_number(text[1])
            if most and not numbers:
                texts.add(place)
            elif (gap and (numbers or whole)) or count:
                first = min(filter(None, (gap if numbers or whole else None, text)))
                raise self._no_number(place, *first)
        return sorted(texts)

    def _no_number(self, place, number, cell) -> FileError:
        """Return the error about a cell that is no number."""
        names = self.columns.names
        name = f" ({quoted(names[place])})" if names else ""
        other = {",": ".", ".": ","}[self.decimal]
        mark = f", or say --decimal {other}" if is_number(plain(cell, other)) and not is_missing(cell) else ""
        known = quoted(str(names[place] if names and names[place] else place))
        gap = ", fill gaps: --missing median" if is_missing(cell) else ""
        fix = f"mend it{mark}{gap}, leave the column out: --ignore {known}, or say that it holds --categories or --text"
        return file_error(self.path, f"line {number}, column {place + 1}{name}: {quoted(repr(cell))} is no finite "
                                     "number", fix)


def with_texts(rows: Iterable[list[str]], X: np.ndarray, columns: Columns, texts: list[int]) -> np.ndarray:
    """Return X as objects with the texts of the columns at these places, read from the rows; bools as 0 and 1."""
    found = [[] for _ in texts]
    for cells in rows:
        for place, column in zip(texts, found, strict=True):
            column.append(math.nan if is_missing(cells[place]) else cells[place].strip())
    X = X.copy()
    for place, column in zip(texts, found, strict=True):
        at = columns.used.index(place)
        if place not in columns.texts and all(cell in BOOLS for cell in column if isinstance(cell, str)):
            X[:, at] = [float(BOOLS[cell]) if isinstance(cell, str) else cell for cell in column]
        else:
            X = X.astype(object, copy=False)
            X[:, at] = column
    return X
