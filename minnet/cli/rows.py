"""Samples to predict, as they come: raw, and with or without classes."""
import numpy as np

from minnet.arrays import as_numbers, check_X
from minnet.data import DATASETS, load_data
from minnet.errors import file_error
from minnet.files import KINDS, sniff
from minnet.readers import read_csv, read_npz

GREY_AXES = 3  # of images (n, h, w), whose one channel has no axis


def rows_of(what, shape, target=None, seed=0):
    """X (n, *shape) float64, not scaled: the test part of a named data set, the member X of an archive, or the rows of
    a table, less its column of classes where there is one; with `shape` None images of any size. Raises FileError,
    or as `check_X`."""
    if what in DATASETS:
        return load_data(what, rng=seed, scaling="none").X_test.astype(np.float64)
    kind = sniff(what)
    if kind == "npz":
        X = read_npz(what, "X")[0]  # the archive may have no y
    elif kind in ("text", "utf-16"):
        X = _table_rows(what, 0 if shape is None else int(np.prod(shape)), target)
    else:
        raise file_error(what, f"is {KINDS[kind]}, no samples", "give a .npz with X, or a .csv in UTF-8")
    X = as_numbers("X", X)
    if shape is None:
        X = X[..., None] if X.ndim == GREY_AXES else X
        return check_X(X, X.shape[1:], np.float64)
    if X.size and X.size == len(X) * np.prod(shape):
        X = X.reshape(len(X), *shape)
    return check_X(X, shape, np.float64)


def _table_rows(path, features, target):
    """The columns of numbers of a .csv: all of them if there are as many as the model takes."""
    X, y = read_csv(path, target)
    if target is None and X.shape[1] == features - 1 and y.dtype.kind in "if":
        return np.column_stack([X, y])
    return X
