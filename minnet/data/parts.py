"""Parts that a data set comes with: training, validation and test rows become one array each of X and y, in this order.

X, y, n_valid, n_test = join_parts({"train": (X, y, names), "test": (X, y, other_names)})
"""
from collections.abc import Mapping, Sequence

import numpy as np

from minnet.arrays import as_numbers, check_finite
from minnet.csr import as_csr, check_finite_data, is_sparse, join_rows
from minnet.data.labels import as_label_array, exact, label_name
from minnet.data.rawrows import as_cells, by_name
from minnet.data.signature import Signature
from minnet.errors import InvalidValue
from minnet.typing import ArrayLike

COLOURS = (1, 3, 4)  # channels that images have: grey, RGB, RGB and opacity
Part = tuple[ArrayLike, ArrayLike, Sequence[str] | None]


def as_samples(X: ArrayLike) -> np.ndarray:
    """Return X (n, *shape) with the channels of images last, checked.

    One channel may be an axis in either place, or none. Sparse rows become CSR. Raises InvalidType, InvalidValue or
    NotFinite.
    """
    if is_sparse(X):
        return _sparse_samples(X)
    X = as_numbers("X", X)
    if X.ndim == 3:
        X = X[..., None]  # (n, h, w, 1)
    if X.ndim not in (2, 4) or X.size == 0:
        hint = "; for one feature give X.reshape(-1, 1)" if X.ndim == 1 else ""
        raise InvalidValue(f"X has the shape {X.shape}; wanted (n, d), (n, h, w) or (n, h, w, c), none 0{hint}")
    if X.ndim == 4 and X.shape[1] in COLOURS and min(X.shape[2:]) > max(COLOURS):
        if X.shape[1] > 1:
            raise InvalidValue(f"X has the shape {X.shape}: images of {X.shape[1]} channels, which come first; "
                               "channels go last: X.transpose(0, 2, 3, 1)")
        X = X.transpose(0, 2, 3, 1)
    check_finite("X", X)
    return X


def join_parts(parts: Mapping[str, Part], cells: bool = False) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return X and y of the parts "train", "valid" and "test" in this order, and how many rows the last two have.

    Each part is (X, y, names of the columns or None). Columns are put in the order of the training part by name, labels
    of different kinds are matched by name. With `cells` some may be missing or text. Raises InvalidValue or InvalidType
    where a part does not fit the first.
    """
    X, _, names = parts["train"]
    first = as_cells(X) if cells else as_samples(X)
    like, xs, ys = Signature(first.shape[1:], feature_names=names), [], []
    for part in ("train", "valid", "test"):
        if part not in parts:
            continue
        X, y, columns = parts[part]
        try:
            rows = first if part == "train" else _cells_like(X, columns, names, first) if cells else \
                like.arranged(as_samples(X), columns)
        except InvalidValue as error:
            raise InvalidValue(f"the {part} part does not fit the training part: {error}") from error
        y = y.toarray() if hasattr(y, "toarray") else exact(np.asarray(y), y)
        if rows.shape[0] != len(y):
            raise InvalidValue(f"the {part} part has {rows.shape[0]} samples and {len(y)} labels; wanted one for each")
        xs.append(rows)
        ys.append(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)
    n_valid, n_test = (len(parts[part][1]) if part in parts else 0 for part in ("valid", "test"))
    return join_rows(xs), _join_labels(ys), n_valid, n_test


def _sparse_samples(X):
    """Return sparse rows as `as_samples` does."""
    X = as_csr("X", X)
    if 0 in X.shape:
        raise InvalidValue(f"X has the shape {X.shape}; wanted (n, d), none 0")
    check_finite_data("X", X)
    return X


def _cells_like(X, columns, names, first):
    """Return the cells of a part with the columns of the first, by name where both have names."""
    X = as_cells(X if names is None else by_name(X, columns, names)[1])
    if X.shape[1] != first.shape[1]:
        raise InvalidValue(f"X has {X.shape[1]} columns; wanted {first.shape[1]}")
    return X


def _join_labels(ys):
    """Return labels of several parts as one array: as text where those of any part are text."""
    if any(y.dtype.kind in "OSU" for y in ys):
        ys = [as_label_array(y) for y in ys]
        if any(y.dtype.kind != "U" for y in ys) and any(y.dtype.kind == "U" for y in ys):
            ys = [np.array([label_name(label) for label in y.tolist()], str) for y in ys]
    if all(y.dtype.kind in "iu" for y in ys) and np.result_type(*ys).kind == "f":  # int64 and uint64
        ys = [exact(np.concatenate([y.astype(object) for y in ys]), None)]
    return np.concatenate(ys)
