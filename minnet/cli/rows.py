"""Samples to predict: unscaled, with or without classes."""
import warnings
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from minnet.arrays import as_numbers, check_X
from minnet.data import DATASETS, Signature, load_data
from minnet.data.sources import check_table
from minnet.delimited import check_format, read_table
from minnet.errors import MinnetError, quoted
from minnet.files import sniff
from minnet.readers import npz_parts, read_npz

GREY_AXES = 3  # of images (n, h, w), whose one channel has no axis


def rows_of(what: str, signature: Signature | None, reading: Mapping, seed: int = 0) -> np.ndarray:
    """Return unscaled samples, ``(n, *shape)``, as a model with this signature takes them.

    They are the test part of a data set that has one, the array X of an archive, or the rows of a table without its
    column of classes, if there is one; with `signature` None images of any size. `reading` holds the target and how a
    table is written. Raises FileError, or what `Signature.rows` raises.
    """
    names: Sequence[str] | None = None
    if what in DATASETS:
        return load_data(what, rng=seed, scaling="none").X_test
    kind = sniff(what)
    if kind == "npz":
        name = npz_parts(what).get("test", {"X": "X"})["X"]
        X = read_npz(what, name, name)[0]  # the archive may have no y
    else:
        told = dict(reading)
        target, form = told.pop("target", None), check_format(**told)
        if signature is not None and signature.encoding is not None:
            form = form._replace(known=signature.encoding.of_kind("categories", "words", "hashed"))
        check_table(what, kind, form)
        X, names = _table_rows(what, signature, target, form)
    if signature is not None:
        return signature.picked(X, names)
    X = as_numbers("X", X)
    X = X[..., None] if X.ndim == GREY_AXES else X
    return check_X(X, X.shape[1:], np.float64)


def _table_rows(path, signature, target, form):
    """Return the columns of a .csv that the model takes, and their names: those of classes are left out."""
    wanted, encoding = signature and signature.raw_names, signature and signature.encoding
    read = partial(read_table, path, target, ask=False, form=form, wanted=wanted,
                   numbers=signature is not None and encoding is None, labels=False)
    table = read(learnt=signature and signature.target)
    if table.y is None or signature is None or target is not None:
        return table.X, table.names
    shapes = signature.shape, *(signature.selection or ())[1:2]  # of rows, and of those of which columns are picked
    widths = list(map(int, map(np.prod, shapes))) if encoding is None else [len(encoding.columns), encoding.width]
    n_targets = table.y[:1].size
    if table.names is None and table.X.shape[1] not in widths and table.X.shape[1] + n_targets in widths:
        table = read()  # all columns are features, those at the numbers of the targets too
    X, y = table.X, table.y
    numeric = encoding is not None or y.dtype.kind in "iuf"
    if not (numeric and (table.target in wanted if table.names and wanted else X.shape[1] + 1 in widths)):
        if wanted is None and X.shape[1] in widths:
            _check_left_out(table, read, signature)
        return X, table.names
    X = X if encoding is None else X.astype(object)
    return np.column_stack([X, y.astype(X.dtype)]), table.names and (*table.names, table.target)


def _check_left_out(table, read, signature):
    """Refuse or warn where the column that is left out, which is not told, may be none of classes."""
    if table.names and signature.target is None:
        read(ask=True)  # which refuses where another one is called so
    column = "the last column" if table.target is None else f"column {quoted(repr(table.target))}"
    try:
        signature.codes(table.y)
    except MinnetError as error:
        warnings.warn(f"{column} is left out as that of the classes, but {error}: --target names another",
                      UserWarning, stacklevel=2)
