"""Targets: labels of classes, whole numbers or text, each known by one name wherever it comes from; numbers; 0 or 1."""
from numbers import Integral

import numpy as np

from minnet.arrays import as_numbers, check_finite
from minnet.errors import InvalidType, InvalidValue, NotFinite, quoted
from minnet.typing import ArrayLike

MATRIX = 2  # axes of several labels a row


def as_label_array(y: ArrayLike, name: str = "y") -> np.ndarray:
    """Return labels as an array (n,) of bools, whole numbers, floats that are whole, or text; bytes become text.

    Raises InvalidType or InvalidValue for other shapes and kinds, and NotFinite.
    """
    given = y
    try:
        y = np.asarray(y)
    except ValueError as error:
        raise InvalidType(f"{name} cannot become an array: {quoted(str(error))}") from error
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        hint = "; from one-hot rows, y.argmax(axis=1)" if y.ndim == 2 else ""
        raise InvalidValue(f"{name} has the shape {y.shape}; wanted (n,){hint}")
    if y.dtype.kind == "O" and len(y) and all(isinstance(label, str | bytes) for label in y):
        y = np.array([as_text(label) for label in y])
    y = exact(y, given)
    _check_no_gap(y.tolist() if y.dtype.kind == "O" else given if isinstance(given, list | tuple) else (), name)
    if y.dtype.kind == "S":
        y = np.array([as_text(label) for label in y.tolist()], str)
    if y.dtype.kind != "U":
        y = as_numbers(name, y)
        check_finite(name, y)
        if (y != np.round(y)).any():
            bad = y[y != np.round(y)][0]
            raise InvalidValue(f"{name} holds {bad}, which is no class; wanted whole numbers or text")
    return y


def _check_no_gap(labels, name):
    """Raise NotFinite where some labels are missing: None, pandas's NA, NaN, which beside text NumPy makes "nan"."""
    gaps = [row for row, label in enumerate(labels) if label is None or type(label).__name__ in ("NAType", "NaTType")
            or (isinstance(label, float) and label != label)]
    if gaps:
        raise NotFinite(f"{name} holds {len(gaps)} values that are missing, the first in row {gaps[0]}; fill them in "
                        "or take those rows out")


def as_number_array(y: ArrayLike, name: str = "y") -> np.ndarray:
    """Return targets that are numbers as an array (n,) or (n, k), float64; a single column is (n,).

    Raises InvalidType for text, InvalidValue for another shape, and NotFinite.
    """
    array = as_numbers(name, y).astype(np.float64)
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise InvalidValue(f"{name} has the shape {array.shape}; wanted (n,) numbers, or (n, k) for k outputs")
    check_finite(name, array)
    return array[:, 0] if array.shape[1:] == (1,) else array


def as_indicator(y: ArrayLike, name: str = "y") -> np.ndarray:
    """Return several labels a row, 1 where a row has the label of that column, as an array (n, k), bool.

    `y` is a matrix of 0 and 1 in any dtype, dense or scipy.sparse; (n,) is one column. Raises InvalidType for text,
    InvalidValue for other numbers or another shape, and NotFinite.
    """
    try:
        array = as_numbers(name, y.toarray() if hasattr(y, "toarray") else y)
    except InvalidType as error:
        raise InvalidType(f"{error}: multilabel learns 0 and 1, a column for each label (of lists of labels, "
                          "scikit-learn's MultiLabelBinarizer makes it)") from error
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != MATRIX or 0 in array.shape[1:]:
        raise InvalidValue(f"{name} has the shape {array.shape}; wanted (n, k), a column of 0 and 1 for each label")
    check_finite(name, array)
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InvalidValue(f"{name} holds {array[row, column]:g} in row {row}, column {column}; wanted 0 or 1 "
                           "everywhere, for multilabel learns whether a row has the label of each column")
    return array.astype(bool)


def exact(y, given):
    """Return Python's whole numbers in a dtype that holds them exactly, else as text: as floats some would become one.

    NumPy makes an array of objects or of floats of a list of large ones. Anything else is returned as it is.
    """
    values = y.tolist() if y.dtype.kind == "O" else given if isinstance(given, list | tuple) else ()
    if y.dtype.kind not in "fO" or not values:
        return y
    if not all(isinstance(value, Integral) and not isinstance(value, bool) for value in values):
        return y
    low, high = min(values), max(values)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(values, dtype)
    return np.array([str(int(value)) for value in values])


def as_text(label: str | bytes) -> str:
    """Return a label of bytes as text: UTF-8, else the character of each byte."""
    if isinstance(label, str):
        return label
    try:
        return label.decode()
    except UnicodeDecodeError:
        return label.decode("latin-1")


def label_name(label: object) -> str:
    """Return the name of a label: its text, or that of a whole number, so that 1, 1.0, True and "1" have one."""
    if isinstance(label, str | bytes):
        return as_text(label)
    return str(int(label))
