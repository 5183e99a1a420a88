"""Samples to predict: unscaled, with or without classes."""
from collections.abc import Sequence

import numpy as np

from minnet.arrays import as_numbers, check_X
from minnet.data import DATASETS, load_data
from minnet.errors import file_error
from minnet.files import KINDS, sniff
from minnet.readers import read_csv, read_npz

GREY_AXES = 3  # of images (n, h, w), whose one channel has no axis


def rows_of(what: str, shape: Sequence[int] | None, target: str | None = None, seed: int = 0) -> np.ndarray:
    """Return unscaled samples, (n, *shape) float64.

    They are the test part of a named data set, the array X of an archive, or the rows of a table without its column of
    classes, if there is one; with `shape` None images of any size. Raises FileError, or what `check_X` raises.
    """
    if what in DATASETS:
        return load_data(what, rng=seed, scaling="none").X_test.astype(np.float64)
    kind = sniff(what)
    if kind == "npz":
        X = read_npz(what, "X")[0]  # the archive may have no y
    elif kind in ("text", "utf-16"):
        X = _table_rows(what, 0 if shape is None else int(np.prod(shape)), target)
    else:
        raise file_error(what, f"is {KINDS[kind]}, not samples", "give a .npz with X, or a .csv in UTF-8")
    X = as_numbers("X", X)
    if shape is None:
        X = X[..., None] if X.ndim == GREY_AXES else X
        return check_X(X, X.shape[1:], np.float64)
    if X.size and X.size == len(X) * np.prod(shape):
        X = X.reshape(len(X), *shape)
    return check_X(X, shape, np.float64)


def _table_rows(path, features, target):
    """Return the numeric columns of a .csv: all of them if the model takes as many."""
    X, y = read_csv(path, target)
    if target is None and X.shape[1] == features - 1 and y.dtype.kind in "if":
        return np.column_stack([X, y])
    return X
