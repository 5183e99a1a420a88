"""Samples to predict: unscaled, with or without classes."""
from collections.abc import Sequence

import numpy as np

from minnet.arrays import as_numbers, check_X
from minnet.data import DATASETS, Signature, load_data
from minnet.errors import file_error
from minnet.files import KINDS, sniff
from minnet.readers import read_npz, read_table

GREY_AXES = 3  # of images (n, h, w), whose one channel has no axis


def rows_of(what: str, signature: Signature | None, target: str | None = None, seed: int = 0) -> np.ndarray:
    """Return unscaled samples, ``(n, *shape)``, as a model with this signature takes them.

    They are the test part of a named data set, the array X of an archive, or the rows of a table without its column of
    classes, if there is one; with `signature` None images of any size. Raises FileError, or what `Signature.rows`
    raises.
    """
    names: Sequence[str] | None = None
    if what in DATASETS:
        return load_data(what, rng=seed, scaling="none").X_test
    kind = sniff(what)
    if kind == "npz":
        X = read_npz(what, "X")[0]  # the archive may have no y
    elif kind in ("text", "utf-16"):
        X, names = _table_rows(what, signature, target)
    else:
        raise file_error(what, f"is {KINDS[kind]}, not samples", "give a .npz with X, or a .csv in UTF-8")
    X = as_numbers("X", X)
    if signature is not None:
        return signature.arranged(X, names)
    X = X[..., None] if X.ndim == GREY_AXES else X
    return check_X(X, X.shape[1:], np.float64)


def _table_rows(path, signature, target):
    """Return the numeric columns of a .csv that the model takes, and their names: those of classes are left out."""
    table = read_table(path, target, signature and signature.target, ask=False)
    if signature is None or target is not None or table.y.dtype.kind not in "if":
        return table.X, table.names
    wanted = table.target in signature.feature_names if table.names and signature.feature_names else \
        table.X.shape[1] == int(np.prod(signature.shape)) - 1
    if not wanted:
        return table.X, table.names
    return np.column_stack([table.X, table.y]), table.names and (*table.names, table.target)
