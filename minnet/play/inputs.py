"""What the page's user gives the net: a drawing, or a value for each column; and rows of the data to begin with.

A drawing is scaled and moved to where the training images have theirs.
"""
import math

import numpy as np

from minnet.data import Dataset
from minnet.data.encoding import CategoryColumn, Encoding, HashedColumn, NumberColumn, WordsColumn
from minnet.errors import Unsupported, quoted
from minnet.play.packing import BYTE, FLOAT, packed

PER_CLASS = 2        # images of each class to begin with
MOST_SAMPLES = 24
SEEN = 1000          # training images that say where drawings are
SIDE, CHANNELS = 64, (1, 3)  # the largest image that can be drawn, and of how many channels
COLUMNS = 64         # of a table, at most
IMAGE_AXES, WHITE = 3, 255


def check_inputs(data: Dataset) -> None:
    """Raise Unsupported for rows that the page cannot ask for."""
    shape, encoding = data.shape, data.signature.encoding
    if len(shape) == IMAGE_AXES:
        if max(shape[:2]) > SIDE or shape[2] not in CHANNELS:
            raise Unsupported(f"this net cannot be played: it takes images of shape {shape}; the page draws up to "
                              f"{SIDE} x {SIDE} pixels in 1 or 3 channels")
        return
    columns = encoding.columns if encoding else ()
    words = [column.name for column in columns if isinstance(column, WordsColumn | HashedColumn)]
    if words:
        raise Unsupported(f"this net cannot be played: it reads text, {quoted(repr(words[0]))}")
    if len(shape) != 1 or shape[0] > COLUMNS:
        raise Unsupported(f"this net cannot be played: it takes rows of shape {shape}; the page shows up to {COLUMNS} "
                          "columns")


def inputs_of(data: Dataset) -> dict[str, object]:
    """Return the kind of input, its range and some rows of the test part, as JSON."""
    facts = _image(data) if len(data.shape) == IMAGE_AXES else {"kind": "table", "columns": _columns(data)}
    return facts | {"shape": list(data.shape), "samples": _samples(data)}


def _samples(data):
    """Return a few rows of the test part, in turn from each class."""
    y = np.asarray(data.y_test)
    if data.classes is not None and y.ndim == 1:
        rows = [np.flatnonzero(y == label)[:PER_CLASS] for label in data.classes[:MOST_SAMPLES // PER_CLASS]]
        rows = np.concatenate([[row[i] for row in rows if len(row) > i] for i in range(PER_CLASS)]).astype(int)
    else:
        rows = np.arange(min(len(y), MOST_SAMPLES // PER_CLASS))
    X = numbers_of(data, data.X_test[rows])
    return [{"label": _label(target), "x": packed(x, _kind(x))} for x, target in zip(X, y[rows], strict=True)]


def numbers_of(data: Dataset, X: np.ndarray) -> np.ndarray:
    """Return raw rows as numbers, not yet scaled: categories as 0 and 1, gaps filled."""
    return np.asarray(data.signature.arranged(X), np.float64)


def _label(target):
    """Return a target as text."""
    return ", ".join(f"{number:g}" if isinstance(number, float) else str(number)
                     for number in np.ravel(target).tolist())


def _kind(row):
    """Return bytes where a row is whole numbers from 0 to 255, else floats."""
    return BYTE if np.array_equal(row, np.clip(np.round(row), 0, WHITE)) else FLOAT


def _image(data):
    """Return the numbers of paper and ink, and the share of height and width that drawings take."""
    X = numbers_of(data, data.X_train[:SEEN]).mean(axis=-1)
    low, high = float(X.min()), float(X.max())
    edge = np.concatenate([X[:, 0].ravel(), X[:, -1].ravel(), X[:, :, 0].ravel(), X[:, :, -1].ravel()])
    paper, ink = (high, low) if edge.mean() > (low + high) / 2 else (low, high)
    drawn = np.abs(X - paper) > abs(ink - paper) / 2
    box = [float(np.median(_extent(drawn.any(axis=axis)))) / size
           for axis, size in ((2, X.shape[1]), (1, X.shape[2]))]
    return {"kind": "image", "paper": paper, "ink": ink, "box": box}


def _extent(marks):
    """Return from the first to the last mark in each row, in pixels."""
    marks = marks[marks.any(axis=1)]
    if not len(marks):
        return np.array([1])
    return marks.shape[1] - marks.argmax(axis=1) - marks[:, ::-1].argmax(axis=1)


def _columns(data):
    """Return each column: a number with its range, or a choice with the places of its 0 and 1."""
    signature, X = data.signature, numbers_of(data, data.X_train)
    encoding = signature.encoding or Encoding(tuple(
        NumberColumn(name, 0.0) for name in signature.feature_names or map(str, range(1, X.shape[1] + 1))))
    columns, place = [], 0
    for column in encoding.columns:
        places = list(range(place, place + column.n_encoded))
        place += column.n_encoded
        if isinstance(column, CategoryColumn):
            names = [name.removeprefix(f"{column.name}=") for name in column.encoded_names]
            columns.append({"name": column.name, "options": names, "places": places})
        else:
            columns.append({"name": column.name, "places": places, **_range(X[:, places[0]])})
    return columns


def _range(numbers):
    """Return the range of a column, and a step: 1 for whole numbers, else a round hundredth of the range."""
    low, high = float(numbers.min()), float(numbers.max())
    whole = bool(np.all(numbers == np.round(numbers)))
    step = 1.0 if whole or low == high else 10.0 ** math.floor(math.log10((high - low) / 50))
    return {"low": math.floor(low / step) * step, "high": math.ceil(high / step) * step, "step": step}
