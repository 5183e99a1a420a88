"""Which columns of a table are numbers, categories or text, and what the training part says of them.

    told = Told(kinds={2: "text"}, words=1000)
    encoding = fit_encoding(cells[training], names, told)   # by scikit-learn's transformers, on these rows alone

A column without text is of numbers. One with text is of categories where few texts occur, each often enough, and of
text where they are mostly different and hold spaces; another one is an error that asks.
"""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minnet.cells import cell_name, is_number
from minnet.data.encoding import (
    MOST_BUCKETS,
    CategoryColumn,
    Column,
    Encoding,
    HashedColumn,
    NumberColumn,
    WordsColumn,
    as_texts,
    hasher,
)
from minnet.delimited import check_columns
from minnet.errors import InvalidType, InvalidValue, NotFinite, check_count, quoted

WORDS = 2000  # of a column of text at most, or the numbers into which they are hashed
ROWS_OF_A_WORD = 2  # of the training part in which a word must occur
FEW = 20        # different texts up to which they are categories
FEW_ROWS = 10   # rows of each, on average, from which on more are
LONGEST = 5000  # characters of a category or word
FEWEST = 3      # rows whose texts differ by chance


class Told(NamedTuple):
    """What is told of columns: "text" or "categories" by place, how many words of each text count, and if hashed."""

    kinds: Mapping[int, str] = {}
    words: int = WORDS
    hashed: bool = False


def check_told(words: int | None = None, hashed: bool | None = None) -> Told:
    """Return the Told of these arguments, checked; its kinds come with the data."""
    words = WORDS if words is None else check_count("words", words, 1, MOST_BUCKETS)
    if hashed not in (None, True, False):
        raise InvalidType(f"hashed={quoted(repr(hashed))}; wanted True or False")
    return Told({}, words, bool(hashed))


def places_of(text: object, categories: object, names: Sequence[str] | None, width: int) -> dict[int, str]:
    """Return {place: kind} of the columns that are told to be text or categories, by name or number."""
    found = {}
    for kind, columns in (("text", text), ("categories", categories)):
        for column in check_columns(kind, columns):
            if isinstance(column, str) and (names is None or column not in names):
                raise InvalidValue(f"{kind}={quoted(repr(column))} is no column of X: wanted one of "
                                   f"{quoted(repr(list(names or range(width))))}")
            place = names.index(column) if isinstance(column, str) else \
                check_count(kind, column, -width, width - 1) % width
            if found.setdefault(place, kind) != kind:
                raise InvalidValue(f"column {quoted(repr(column))} is told to be text and categories: wanted one of "
                                   "the two")
    return found


def fit_encoding(cells: np.ndarray, names: Sequence[str] | None, told: Told) -> Encoding:
    """Return the Encoding of rows (n, d) of cells, those of the training part, as `as_cells` makes them.

    Raises InvalidValue or InvalidType where a column can be none of these kinds.
    """
    known = [f"column {i}" for i in range(cells.shape[1])] if names is None else list(names)
    kinds = [told.kinds.get(i) or kind_of_column(cells[:, i], known[i]) for i in range(cells.shape[1])]
    fitted = column_transformer(kinds, cells, told)
    try:
        fitted.fit(prepared(cells, kinds))
    except ValueError as error:  # no word is left
        raise InvalidValue(f"{_first_text(kinds, known)} has no word that occurs in {ROWS_OF_A_WORD} rows of the "
                           "training part: leave the column out, or say --categories") from error
    parts = [fitted.named_transformers_[str(i)] for i in range(len(kinds))]
    return Encoding(tuple(map(_plain, known, kinds, parts)), names is not None)


def kind_of_column(values: np.ndarray, name: str) -> str:
    """Return "number", "categories" or "text", of the cells of a column; InvalidValue where it may be none of them."""
    there = [cell for cell in values.tolist() if cell == cell]
    if not there:
        raise _no_value(name)
    if not any(isinstance(cell, str) for cell in there):
        return "number"
    different = {cell_name(cell) for cell in there}
    if all(isinstance(cell, str) and is_number(cell) for cell in there):
        raise InvalidType(f"column {quoted(repr(name))} of X holds numbers as text; wanted numbers, as X.astype(float) "
                          "gives them, or categories=")
    sentences = sum(len(text.split()) > 1 for text in different)
    if 2 * len(different) > len(there) > FEWEST and 2 * sentences > len(different):
        return "text"
    all_differ = len(different) == len(there) > FEWEST
    if not all_differ and (len(different) <= FEW or len(different) * FEW_ROWS <= len(there)):
        return "categories"
    known = quoted(name)
    raise InvalidValue(f"column {quoted(repr(name))} holds {len(different)} different texts in {len(there)} rows, too "
                       f"many for categories, and few are sentences: leave it out, --ignore {known}, or say what it "
                       f"is, --categories {known} or --text {known} (in Python ignore=, categories=, text=)")


def column_transformer(kinds: Sequence[str], cells: np.ndarray, told: Told):
    """Return scikit-learn's ColumnTransformer of columns of these kinds, not yet fitted: one transformer for each."""
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    make = {"number": lambda: SimpleImputer(strategy="median"),
            "categories": lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            "text": lambda: hasher(told.words) if told.hashed else
                    CountVectorizer(max_features=told.words, min_df=ROWS_OF_A_WORD)}
    columns = [(str(i), make[kind](), i if kind == "text" else [i]) for i, kind in enumerate(kinds)]
    return ColumnTransformer(columns, sparse_threshold=1.0)


def prepared(cells: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Return cells as these transformers take them: names of categories or NaN, and text in every cell of text."""
    found = np.empty(cells.shape, object)
    for i, kind in enumerate(kinds):
        column = cells[:, i]
        if kind == "text":
            column = as_texts(column)
        elif kind == "categories":
            column = [cell if cell != cell else cell_name(cell) for cell in column.tolist()]
        found[:, i] = column
    return found


def _plain(name, kind, fitted) -> Column:
    """Return what a transformer has learnt."""
    if kind == "number":
        return NumberColumn(name, _fill(name, fitted.statistics_[0]))
    if kind == "categories":
        known = fitted.categories_[0].tolist()
        texts = _short(name, (category for category in known if category == category))
        return CategoryColumn(name, texts, len(texts) < len(known))
    if hasattr(fitted, "vocabulary_"):
        return WordsColumn(name, _short(name, fitted.get_feature_names_out().tolist()))
    return HashedColumn(name, fitted.n_features)


def _short(name, texts):
    """Return categories or words as a tuple; InvalidValue for one that is too long to be kept in a file."""
    texts = tuple(texts)
    if not texts:
        raise _no_value(name)
    longest = max(texts, key=len)
    if len(longest) > LONGEST:
        raise InvalidValue(f"column {quoted(repr(name))} holds {quoted(repr(longest))}, a category or word of "
                           f"{len(longest):,} characters; wanted at most {LONGEST:,}: leave it out, --ignore "
                           f"{quoted(name)}")
    return texts


def _fill(name, median):
    """Return what fills the gaps of a column of numbers; NotFinite where these are too large to have a median."""
    if not np.isfinite(median):
        raise NotFinite(f"column {quoted(repr(name))} holds numbers whose median is {median} in float64: divide them "
                        "by a power of 10")
    return float(median)


def _no_value(name):
    """Return the error for a column that is all gaps."""
    return InvalidValue(f"column {quoted(repr(name))} has no value in the training part: leave it out, --ignore "
                        f"{quoted(name)}")


def _first_text(kinds, names):
    return f"column {quoted(repr(names[kinds.index('text')]))}" if "text" in kinds else "X"
