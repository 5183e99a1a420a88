"""Raw rows of tables: cells that are numbers, missing or text, of arrays, lists and frames, and columns by name.

    as_cells([[5.1, "red"], [None, "blue"]])     # objects: 5.1, "red", NaN, "blue"
    by_name(frame, None, ["a", "b"])             # (names, frame with these columns in this order)

What pandas and polars hold is read by column, so that numbers stay what they are.
"""
import warnings
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from minnet.cells import LARGEST_EXACT, is_missing
from minnet.csr import is_sparse
from minnet.data.labels import as_text
from minnet.errors import InvalidType, InvalidValue, NotFinite, listed, quoted


def by_name(X: object, names: Sequence[str] | None, wanted: Sequence[str]) -> tuple[Sequence[str] | None, object]:
    """Return X with the columns `wanted`, in their order, and these names; (None, X) where X has no names.

    `names` are those of an X that has none itself. Raises InvalidValue where a column is missing or there twice, and
    warns of another order.
    """
    columns = getattr(X, "columns", None) if names is None else names
    if columns is None:
        return None, X
    columns = list(columns)
    if not all(isinstance(name, str) for name in columns):
        return None, X
    if columns == list(wanted):
        return wanted, X
    missing = [name for name in wanted if name not in columns]
    twice = [name for name in wanted if columns.count(name) > 1]
    if missing or twice:
        raise InvalidValue(f"X has {'no' if missing else 'two'} columns {listed(missing or twice)}; the model "
                           f"takes {listed(wanted)}, and X has {listed(columns)}")
    places = [columns.index(name) for name in wanted]
    if places != sorted(places):
        warnings.warn("the columns of X are in another order than the model's: they are taken by name",
                      UserWarning, stacklevel=4)
    if names is None:
        return wanted, X[list(wanted)]
    return wanted, X[:, places].sorted_indices() if is_sparse(X) else np.asarray(X)[:, places]


def as_cells(X: object, names: Sequence[str] | None = None) -> np.ndarray:
    """Return raw rows as cells (n, d): float64 with NaN for what is missing; objects, numbers or text, where text is.

    Whole numbers that float64 does not hold are objects too, since they may be names of categories. Missing are None,
    NaN, NaT, pandas's NA, and the texts in `cells.MISSING`. Raises InvalidType for other things than numbers and text,
    InvalidValue for another shape, NotFinite for infinity.
    """
    if type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "biuf":
        columns, names = [X], None
    elif is_frame(X):
        names = list(X.columns)
        columns = [_of_series(X[name]) for name in names]
    else:
        array = np.asarray(X, object)
        if array.ndim != 2:
            raise InvalidValue(f"X has the shape {array.shape}; wanted (n, columns)")
        columns = list(array.T)
    found = [_cells(column, i if names is None else names[i]) for i, column in enumerate(columns)]
    if len(found) == 1 and found[0].ndim == 2:
        return found[0]
    cells = np.empty((len(found[0]) if found else 0, len(found)),
                     object if any(column.dtype == object for column in found) else np.float64)
    for i, column in enumerate(found):
        cells[:, i] = column
    return cells


def is_frame(X: object) -> bool:
    """Return whether X is a table of pandas or polars whose columns have names that differ."""
    columns = getattr(X, "columns", None)
    return columns is not None and hasattr(X, "dtypes") and len(set(columns)) == len(columns)


def categorical(X: object) -> list[int]:
    """Return the places of the columns of a frame whose dtype says that they are categories, numbers or not."""
    return [i for i, dtype in enumerate(X.dtypes) if str(dtype) == "category"] if is_frame(X) else []


def holds_text(X: object) -> bool:
    """Return whether X is a frame, a list or an array of objects with text in it, which `as_cells` takes."""
    if is_frame(X):
        return any(np.asarray(X[name]).dtype.kind not in "biuf" for name in X.columns)
    if isinstance(X, list | tuple):
        try:
            X = np.asarray(X, object)
        except ValueError:  # rows of several lengths
            return False
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype == object and \
        any(isinstance(cell, str) for cell in X.flat)


def _of_series(series):
    """Return a column of a frame as an array, of whole numbers as such where some are missing."""
    if str(series.dtype) == "category":  # of pandas, which makes floats of whole numbers with gaps
        known = [*series.cat.categories.tolist(), None]
        return np.array([known[code] for code in series.cat.codes.tolist()], object)
    array = np.asarray(series)
    whole = array.dtype.kind == "f" and str(series.dtype).lower().lstrip("u").startswith("int")
    return np.array(series.to_list(), object) if whole else array


def _cells(column, name):
    """Return a column as float64 with NaN, or as objects: text, numbers, and whole numbers that are too long."""
    if column.dtype.kind in "iu" and max(-int(column.min(initial=0)), int(column.max(initial=0))) > LARGEST_EXACT:
        return column.astype(object)
    if column.dtype.kind in "biuf":
        values = column.astype(np.float64)
    elif column.dtype.kind in "OUST":
        cells = [_cell(cell, name) for cell in column.tolist()]
        if any(isinstance(cell, str | int) for cell in cells):
            values = np.empty(len(cells), object)
            values[:] = cells
            return values
        values = np.array(cells, np.float64)
    else:
        what = {"c": "complex numbers", "M": "dates", "m": "times"}.get(column.dtype.kind, "other objects")
        raise InvalidType(f"column {quoted(repr(name))} holds {what}; wanted numbers or text")
    infinite = np.isinf(values)
    if infinite.any():
        row = infinite.reshape(len(values), -1).any(axis=1).argmax()
        raise NotFinite(f"column {quoted(repr(name))} holds {infinite.sum()} values that are infinite, the first in "
                        f"row {row}; wanted finite numbers, or NaN where there is none")
    return values


def _cell(cell, name):
    """Return text without spaces around it, a float, or an int where no float is the same; NaN for what is missing."""
    if isinstance(cell, bytes):
        cell = as_text(cell)
    if isinstance(cell, str):
        return np.nan if is_missing(cell) else cell.strip()
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return np.nan
    try:
        if isinstance(cell, Real | np.bool_) or hasattr(cell, "__float__"):
            number = float(cell)
            return int(cell) if isinstance(cell, Integral) and abs(int(cell)) > LARGEST_EXACT else number
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidType(f"column {quoted(repr(name))} holds {quoted(repr(cell))}; wanted numbers or text") from error
    raise InvalidType(f"column {quoted(repr(name))} holds {quoted(repr(cell))}; wanted numbers or text")
