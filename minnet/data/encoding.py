"""Encoding: columns of a table that have gaps, categories or text become the numbers that a model takes.

    encoding = Encoding((NumberColumn("age", 28.0), CategoryColumn("colour", ("blue", "red")),
                         WordsColumn("review", ("bad", "good"))))
    encoding.encoded_names         # ("age", "colour=blue", "colour=red", "review: bad", "review: good")
    encoding.apply(rows)           # (n, 5) float64, of rows with three cells; in CSR, since there is text
    Encoding.from_json(encoding.to_json()) == encoding

It holds names and numbers alone: what scikit-learn's transformers learn of the training part (kinds.py), from which
`apply` computes what they would.
"""
from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from minnet.cells import cell_name, is_number
from minnet.data.checks import LONGEST_NAME
from minnet.data.rawrows import as_cells, by_name
from minnet.errors import InvalidType, InvalidValue, listed, quoted

if TYPE_CHECKING:  # loaded where there is text
    from scipy.sparse import csr_array

MOST_DENSE = 256  # categories of a column, more of which become CSR
LARGEST = sys.float_info.max  # a number in float64
MOST_BUCKETS = 2**17  # words of a column, counted or hashed: a file names each


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: one where it is missing becomes `fill`."""

    name: str
    fill: float
    kind: ClassVar[str] = "number"

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Return the name of the one column that it becomes."""
        return (self.name,)

    @property
    def n_encoded(self) -> int:
        """Return how many columns it becomes."""
        return 1

    def apply(self, cells: np.ndarray, unknown: list) -> np.ndarray:
        """Return the numbers (n, 1), which may be written as text; InvalidType where a cell is other text."""
        text = next((cell for cell in cells if isinstance(cell, str) and not is_number(cell)), None)
        if text is not None:
            raise InvalidType(f"column {quoted(repr(self.name))} holds text, {quoted(repr(text))}; the model takes "
                              "numbers there")
        numbers = cells.astype(np.float64)
        return np.where(np.isnan(numbers), self.fill, numbers)[:, None]

    def select(self, places: list[int]) -> Self:
        """Return the column itself, of which there is one place alone."""
        return self

    def check(self) -> None:
        """Refuse what no fit gives."""
        if type(self.fill) not in (int, float) or not abs(self.fill) <= LARGEST:  # NaN is not, nor a long integer
            raise InvalidType(f"its signature fills gaps in {quoted(repr(self.name))} by {quoted(repr(self.fill))}")


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories: each is 1 in a column of its own, so is a missing cell with `gaps`; unknown ones are 0.

    `kept` has the places, of the categories and that of gaps after them, that the model takes; None for all.
    """

    name: str
    categories: tuple[str, ...]
    gaps: bool = False
    kept: tuple[int, ...] | None = None
    kind: ClassVar[str] = "categories"

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Return the names of the columns that it becomes."""
        names = [f"{self.name}={category}" for category in self.categories] + [f"{self.name} is missing"] * self.gaps
        return tuple(names[place] for place in self._places())

    @property
    def n_encoded(self) -> int:
        """Return how many columns it becomes."""
        return len(self._places())

    def apply(self, cells: np.ndarray, unknown: list):
        """Return 0 and 1, (n, columns), in CSR if these are many; unknown categories are added to `unknown`."""
        place = {category: i for i, category in enumerate(self.categories)}
        missing, none = len(place), len(place) + 1
        names = [None if cell != cell else cell_name(cell) for cell in cells.tolist()]
        codes = np.array([missing if name is None else place.get(name, none) for name in names], np.int64)
        unknown.extend((self.name, names[row]) for row in np.flatnonzero(codes == none))
        if self.n_encoded <= MOST_DENSE:
            return (codes[:, None] == np.array(self._places(), np.int64)).astype(np.float64)
        from scipy.sparse import csr_array

        column = np.full(none + 1, -1)
        column[list(self._places())] = np.arange(self.n_encoded)
        kept = column[codes] >= 0
        return csr_array((np.ones(kept.sum()), (np.flatnonzero(kept), column[codes][kept])),
                         shape=(len(codes), self.n_encoded))

    def select(self, places: list[int]) -> Self:
        """Return the column of which the model takes these places alone."""
        mine = self._places()
        return replace(self, kept=tuple(mine[place] for place in places))

    def check(self) -> None:
        """Refuse what no fit gives."""
        _check_texts(self.name, self.categories)
        if type(self.gaps) is not bool:
            raise InvalidType(f"its signature has gaps {quoted(repr(self.gaps))} in {quoted(repr(self.name))}")
        _check_kept(self, len(self.categories) + self.gaps)

    def _places(self):
        return range(len(self.categories) + self.gaps) if self.kept is None else self.kept


@dataclass(frozen=True)
class WordsColumn:
    """A column of text: how often each word of the vocabulary occurs, as scikit-learn's CountVectorizer counts.

    `of` is how many words there were before some were removed, 0 where none were.
    """

    name: str
    vocabulary: tuple[str, ...]
    of: int = 0
    kind: ClassVar[str] = "words"

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Return the names of the columns that it becomes."""
        return tuple(f"{self.name}: {word}" for word in self.vocabulary)

    @property
    def n_encoded(self) -> int:
        """Return how many columns it becomes."""
        return len(self.vocabulary)

    def apply(self, cells: np.ndarray, unknown: list):
        """Return the counts (n, words), float64 in CSR."""
        return _counter(self.vocabulary).transform(as_texts(cells)).astype(np.float64)

    def select(self, places: list[int]) -> Self:
        """Return the column of which the model takes these words alone."""
        return replace(self, vocabulary=tuple(self.vocabulary[place] for place in places),
                       of=self.of or len(self.vocabulary))

    def check(self) -> None:
        """Refuse what no fit gives."""
        _check_texts(self.name, self.vocabulary)
        if type(self.of) is not int or not (self.of == 0 or self.of >= len(self.vocabulary)):
            raise InvalidValue(f"its signature has {len(self.vocabulary)} of {quoted(repr(self.of))} words in "
                               f"{quoted(repr(self.name))}")


@dataclass(frozen=True)
class HashedColumn:
    """A column of text: how many words fall into each of `buckets` by their hash, as HashingVectorizer counts."""

    name: str
    buckets: int
    kept: tuple[int, ...] | None = None
    kind: ClassVar[str] = "hashed"

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Return the names of the columns that it becomes."""
        return tuple(f"{self.name}: words {place}" for place in self._places())

    @property
    def n_encoded(self) -> int:
        """Return how many columns it becomes."""
        return len(self._places())

    def apply(self, cells: np.ndarray, unknown: list):
        """Return the counts (n, buckets), float64 in CSR."""
        counts = hasher(self.buckets).transform(as_texts(cells))
        return counts if self.kept is None else counts[:, list(self.kept)]

    def select(self, places: list[int]) -> Self:
        """Return the column of which the model takes these buckets alone."""
        mine = self._places()
        return replace(self, kept=tuple(mine[place] for place in places))

    def check(self) -> None:
        """Refuse what no fit gives."""
        if type(self.buckets) is not int or not 1 <= self.buckets <= MOST_BUCKETS:
            raise InvalidValue(f"its signature hashes {quoted(repr(self.name))} to {quoted(repr(self.buckets))} "
                               f"numbers; wanted 1 to {MOST_BUCKETS:,}")
        _check_kept(self, self.buckets)

    def _places(self):
        return range(self.buckets) if self.kept is None else self.kept


Column = NumberColumn | CategoryColumn | WordsColumn | HashedColumn
KINDS = {column.kind: column for column in (NumberColumn, CategoryColumn, WordsColumn, HashedColumn)}


@dataclass(frozen=True)
class Encoding:
    """How each column of raw rows becomes numbers.

    Parameters
    ----------
    columns : tuple of NumberColumn, CategoryColumn, WordsColumn or HashedColumn
        Those that a model takes, in their order.
    named : bool
        Whether tables are matched by the names of the columns; without, these only serve to call them something.
    places : tuple of int, optional
        Of each column in rows of `width` cells; None for all of them in order.
    width : int, optional
        How many cells a whole raw row has.
    """

    columns: tuple[Column, ...]
    named: bool = True
    places: tuple[int, ...] | None = None
    width: int = 0

    def __post_init__(self):
        if self.places is None:
            object.__setattr__(self, "places", tuple(range(len(self.columns))))
            object.__setattr__(self, "width", len(self.columns))

    @property
    def names(self) -> tuple[str, ...] | None:
        """Return the names of the raw columns, None where tables have none."""
        return tuple(column.name for column in self.columns) if self.named else None

    @property
    def encoded_names(self) -> tuple[str, ...]:
        """Return a name for each number that is made: of equal ones the later get the place of their column."""
        found: dict[str, None] = {}
        for place, column in zip(self.places, self.columns, strict=True):
            for name in column.encoded_names:
                while name in found:
                    name += f" ({place})"
                found[name] = None
        return tuple(found)

    @property
    def n_encoded(self) -> int:
        """Return how many numbers a row becomes."""
        return sum(column.n_encoded for column in self.columns)

    @property
    def inputs(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the input that each number (n_encoded,) is of, and their names: columns, of text each of its words."""
        names, sizes, encoded = [], [], iter(self.encoded_names)
        for column in self.columns:
            mine = [next(encoded) for _ in range(column.n_encoded)]
            whole = column.kind in ("number", "categories")
            names += [column.name] if whole else mine
            sizes += [len(mine)] if whole else [1] * len(mine)
        return np.repeat(np.arange(len(names)), sizes), tuple(names)

    @property
    def number_places(self) -> np.ndarray:
        """Return the places of the columns of numbers among the encoded ones."""
        return np.flatnonzero([column.kind == "number" for column in self.columns for _ in range(column.n_encoded)])

    @property
    def of_numbers(self) -> bool:
        """Return whether all columns are of numbers: raw rows are then arrays that any runtime takes."""
        return all(column.kind == "number" for column in self.columns)

    def of_kind(self, *kinds: str) -> tuple[str, ...]:
        """Return the names of the columns of these kinds."""
        return tuple(column.name for column in self.columns if column.kind in kinds)

    def pick(self, X: object, names: Sequence[str] | None = None) -> np.ndarray:
        """Return the cells (n, columns) that the model takes of raw rows: by name where both sides have names.

        They are float64, NaN where a number is missing, or objects where there is text. Rows without names are whole,
        or have these columns alone, in order. Raises InvalidValue for others, InvalidType, and NotFinite for infinity.
        """
        given, cells = by_name(X, names, self.names) if self.named else (None, X)
        cells = as_cells(cells, given)
        if given is None and cells.shape[1] == self.width != len(self.columns):
            cells = cells[:, list(self.places)]
        if cells.shape[1] != len(self.columns):
            whole = f", or whole rows of {self.width}" * (self.width != len(self.columns))
            raise InvalidValue(f"X has the shape {cells.shape}; wanted (n, {len(self.columns)}), the columns "
                               f"{listed(column.name for column in self.columns)}{whole}")
        return cells

    def apply(self, X: object, names: Sequence[str] | None = None) -> np.ndarray | csr_array:
        """Return raw rows as numbers (n, n_encoded), float64, in CSR where there is text or many categories.

        Arguments and errors are those of `pick`. In CSR every cell of a column of numbers is stored.
        One UserWarning counts the cells that hold a category which is not known.
        """
        cells, unknown = self.pick(X, names), []
        parts = [column.apply(cells[:, i], unknown) for i, column in enumerate(self.columns)]
        if unknown:
            column, name = unknown[0]
            warnings.warn(f"{len(unknown)} cells hold categories that the training part did not have, such as "
                          f"{quoted(repr(name))} in column {quoted(repr(column))}: they count as none of its own",
                          UserWarning, stacklevel=2)
        return _joined(parts)

    def select(self, places: Sequence[int]) -> Self:
        """Return the Encoding that makes the numbers at these places alone, of the columns that they need."""
        columns, kept, start = [], [], 0
        wanted = [int(place) for place in places]
        for place, column in zip(self.places, self.columns, strict=True):
            stop = start + column.n_encoded
            mine = [i - start for i in wanted if start <= i < stop]
            if mine:
                columns.append(column.select(mine))
                kept.append(place)
            start = stop
        return type(self)(tuple(columns), self.named, tuple(kept), self.width)

    @property
    def fills(self) -> np.ndarray | None:
        """Return what a missing number is replaced by at each place (n_encoded,); None without columns of numbers."""
        values = [column.fill if column.kind == "number" else 0.0
                  for column in self.columns for _ in range(column.n_encoded)]
        return np.array(values) if self.of_kind("number") else None

    def to_json(self) -> dict:
        """Return what JSON holds of it; `from_json` reads it back."""
        columns = [{"kind": column.kind} | {name: list(value) if isinstance(value, tuple) else value
                                            for name, value in asdict(column).items()} for column in self.columns]
        return {"columns": columns, "named": self.named, "places": list(self.places), "width": self.width}

    @classmethod
    def from_json(cls, facts: object) -> Self:
        """Return the Encoding in JSON from a file that is not trusted; InvalidValue or InvalidType for any other."""
        wrong = InvalidValue(f"its signature has the encoding {quoted(repr(facts))}")
        if not isinstance(facts, dict) or set(facts) != {"columns", "named", "places", "width"}:
            raise wrong
        columns, places, width = facts["columns"], facts["places"], facts["width"]
        if not (isinstance(columns, list) and isinstance(places, list) and type(facts["named"]) is bool):
            raise wrong
        rising = all(type(place) is int for place in (*places, width)) and places == sorted(set(places))
        if not rising or not 0 < len(columns) == len(places) or places[0] < 0 or places[-1] >= width:
            raise wrong
        found = tuple(_column(one) for one in columns)
        if facts["named"] and len({column.name for column in found}) < len(found):
            raise wrong
        return cls(found, facts["named"], tuple(places), width)


def as_texts(cells: np.ndarray) -> list[str]:
    """Return cells of a column of text; missing ones have no words."""
    return ["" if cell != cell else cell if isinstance(cell, str) else cell_name(cell) for cell in cells.tolist()]


def hasher(buckets: int):
    """Return scikit-learn's HashingVectorizer as this room uses it: counts of words, without signs."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=buckets, alternate_sign=False, norm=None)


@lru_cache(maxsize=16)
def _counter(vocabulary):
    """Return a CountVectorizer that knows its words."""
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(vocabulary=list(vocabulary))


def _joined(parts):
    """Return the numbers of all columns side by side, in CSR where some are."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts, axis=1)
    from scipy.sparse import csr_array, hstack

    return csr_array(hstack([_stored(part) if isinstance(part, np.ndarray) and part.shape[1] == 1 else csr_array(part)
                             for part in parts], format="csr"))


def _stored(column):
    """Return a column (n, 1) in CSR with every cell stored, zeros too, so that a number may be subtracted."""
    from scipy.sparse import csr_array

    n = len(column)
    return csr_array((column.ravel(), np.zeros(n, np.int32), np.arange(n + 1, dtype=np.int32)), shape=(n, 1))


def _column(facts):
    """Return the column in JSON from a file that is not trusted."""
    kind = facts.get("kind") if isinstance(facts, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidValue(f"its signature has the column {quoted(repr(facts))}; wanted one of {', '.join(KINDS)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
              if name != "kind"}
    if set(values) != set(KINDS[kind].__dataclass_fields__) - {"kind"}:
        raise InvalidValue(f"its signature has the column {quoted(repr(facts))}")
    _check_texts("a column", (values["name"],))
    found = KINDS[kind](*(values[name] for name in KINDS[kind].__dataclass_fields__ if name in values))
    found.check()
    return found


def _check_texts(name, texts):
    """Refuse what is no tuple of short texts that differ."""
    if not isinstance(texts, tuple) or not texts or \
            not all(isinstance(text, str) and len(text) <= LONGEST_NAME for text in texts) or \
            len(set(texts)) < len(texts):
        raise InvalidType(f"its signature has {quoted(repr(texts))} in {quoted(repr(name))}; wanted texts that differ")


def _check_kept(column, width):
    """Refuse places that are none, in order, of so many."""
    kept = column.kept
    right = kept is None or (isinstance(kept, tuple) and all(type(place) is int for place in kept))
    if not right or (kept is not None and (not kept or list(kept) != sorted(set(kept)) or kept[0] < 0
                                           or kept[-1] >= width)):
        raise InvalidValue(f"its signature keeps {quoted(repr(kept))} of {quoted(repr(column.name))}; wanted places "
                           f"from 0 to {width - 1}, in order")
