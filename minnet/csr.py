"""Sparse rows from outside: a matrix of scipy.sparse becomes CSR as a model takes it, and is never made dense whole.

    X = as_csr("X", matrix)          # checked, duplicates summed, indices sorted: a copy where that changes anything
    rows = SparseRows(X)             # what training and predictions read, with len and shape as an array
    rows[0:64]                       # a batch (64, d), dense

So one piece of code serves sparse and dense rows, and memory is that of the nonzeros and of one batch.
"""
from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np

from minnet.errors import InvalidType, InvalidValue, NotFinite, quoted
from minnet.typing import Dtype

if TYPE_CHECKING:  # whoever has a sparse matrix has loaded SciPy; nobody else waits for it
    from scipy.sparse import csr_array

BATCH_BYTES = 2**23  # of rows that are made dense together: they stay in the cache


class CsrBatch(NamedTuple):
    """Some rows of a CSR matrix, as the kernels of kernels/sparse/rows.py take them: nothing is copied."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    rows: np.ndarray


class SparseRows:
    """Rows (n, d) in CSR, finite: what is taken by an index is a dense batch, as of an array.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
        Shape (n, d), as `as_csr` returns it.
    """

    ndim = 2

    def __init__(self, matrix: csr_array):
        self.matrix = matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return self.matrix.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the numbers."""
        return self.matrix.dtype

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.matrix.shape[0])

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """Return the dense rows at these places: the one place where sparse rows are made dense."""
        return self.matrix[rows].toarray()

    def take(self, rows: np.ndarray, axis: int = 0) -> SparseRows:
        """Return the rows at these places, sparse, as `numpy.ndarray.take` does with axis 0."""
        return SparseRows(self.matrix[rows])

    def batch(self, rows: np.ndarray) -> CsrBatch:
        """Return the rows at these places as a CsrBatch."""
        return CsrBatch(self.matrix.data, self.matrix.indices, self.matrix.indptr, rows)

    def tocsr(self) -> csr_array:
        """Return the matrix."""
        return self.matrix


def is_sparse(X: object) -> TypeGuard[csr_array]:
    """Return whether X is a sparse matrix or array of SciPy, of any format, or SparseRows."""
    return hasattr(type(X), "tocsr")


def batch_rows(X: SparseRows) -> int:
    """Return how many rows of X to make dense at a time, where that is free to choose."""
    return max(1, BATCH_BYTES // max(1, X.shape[1] * X.dtype.itemsize))


def as_csr(name: str, values: csr_array) -> csr_array:
    """Return a sparse matrix of SciPy as a csr_array of real numbers, duplicates summed and indices sorted.

    The caller's matrix stays as it is; arrays are copied only where they have to change. Raises InvalidType for other
    numbers or another number of axes, InvalidValue for indices outside of the matrix.
    """
    from scipy.sparse import csr_array

    if values.dtype.kind not in "biuf":
        raise InvalidType(f"{name} is a sparse matrix of {values.dtype}; wanted real numbers")
    if values.ndim != 2:
        raise InvalidValue(f"{name} is a sparse array of the shape {values.shape}; wanted (n, d)")
    found = values.tocsr()
    found = found if isinstance(found, csr_array) else csr_array(found)
    try:
        found.check_format(full_check=True)
    except ValueError as error:
        raise InvalidValue(f"{name} is a damaged sparse matrix: {quoted(str(error))}") from error
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def check_csr(X: csr_array | SparseRows, shape: tuple[int, ...], dtype: Dtype) -> SparseRows:
    """Return SparseRows (n, *shape) of `dtype`, checked for NaN and infinity; what is that already passes through.

    Raises InvalidValue for another shape, NotFinite, or what `as_csr` raises.
    """
    if isinstance(X, SparseRows) and X.shape[1:] == tuple(shape) and X.dtype == dtype:
        return X
    found = as_csr("X", X)
    check_width(found, shape)
    return finite_rows(found, dtype)


def finite_rows(X: csr_array, dtype: Dtype) -> SparseRows:
    """Return SparseRows of `dtype`; NotFinite for NaN, infinity and what is infinite in `dtype`."""
    with np.errstate(over="ignore"):  # what overflows is found below
        found = with_data(X, X.data.astype(dtype, copy=False))
    check_finite_data("X", found)
    return SparseRows(found)


def check_width(X: csr_array, shape: tuple[int, ...]) -> None:
    """Refuse sparse rows of another width than `shape` says, and those for a model that takes images."""
    if len(shape) != 1:
        dense = ", ".join(map(str, (-1, *shape)))
        raise InvalidValue(f"X is a sparse matrix, and rows of shape {tuple(shape)} are not sparse: give "
                           f"X.toarray().reshape({dense}), some rows at a time")
    if X.shape[1:] != tuple(shape):
        raise InvalidValue(f"X has the shape {X.shape}; wanted (n, {shape[0]})")


def check_finite_data(name: str, X: csr_array) -> None:
    """Refuse NaN and infinity among the stored values: say how many and where."""
    if X.dtype.kind != "f":
        return
    finite = np.isfinite(X.data)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        row = int(np.searchsorted(X.indptr, bad[0], side="right")) - 1
        raise NotFinite(f"{name} holds {len(bad)} values that are NaN or infinite in {X.dtype}, the first in row "
                        f"{row}; fill them in or take those rows out")


def with_data(X: csr_array, data: np.ndarray) -> csr_array:
    """Return a matrix with other numbers in the same places; the arrays of places are shared."""
    if data is X.data:
        return X
    found = copy.copy(X)
    found.data = data
    return found


def range_of(X: np.ndarray | csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest and the largest value of each feature, zeros that are not stored included."""
    low, high = X.min(axis=0), X.max(axis=0)
    return (low.toarray().reshape(-1), high.toarray().reshape(-1)) if is_sparse(X) else (low, high)


def join_rows(parts: Sequence[np.ndarray | csr_array]) -> np.ndarray | csr_array:
    """Return rows of several parts as one array, or as CSR where those of any part are sparse."""
    if not any(map(is_sparse, parts)):
        return np.concatenate(parts)
    from scipy.sparse import csr_array, vstack

    return vstack([csr_array(X) for X in parts], format="csr")
