"""Some features of wider rows: which ones a model takes whose other inputs were removed, and how they are picked.

    chosen = Selection((0, 3), (5,))             # columns 0 and 3 of rows of 5
    chosen.pick(X, (2,))                         # X (n, 5) becomes (n, 2); X (n, 2) stays as it is

Columns are places along the last axis. Where a model takes flat rows, wider images are flattened first, so that single
pixels have places; else the last axis holds the channels of images.
"""
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from minnet.csr import is_sparse
from minnet.errors import InvalidValue, listed, quoted


class Selection(NamedTuple):
    """The places that a model takes of rows of the shape `source`.

    Where features were removed more than once, `narrower` has the places of rows that were left before the last time.
    """

    columns: tuple[int, ...]
    source: tuple[int, ...]
    narrower: "Selection | None" = None

    def pick(self, X: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the chosen features (n, *shape) of rows that are wide, X itself where it has others.

        Rows are wide that have the shape `source`, but for axes of 1 and flattening.
        """
        if X.shape[1:] == shape or same_numbers(X.shape[1:], shape):
            return X
        if not same_numbers(X.shape[1:], self.source):
            return X if self.narrower is None else self.narrower.pick(X, shape)
        if is_sparse(X):  # flat rows
            return X[:, list(self.columns)] if len(shape) == 1 else X
        return X.reshape(len(X), *shape[:-1], self.width(shape))[..., list(self.columns)]

    def width(self, shape: tuple[int, ...]) -> int:
        """Return how many places a wide row has along the last axis, for a model that takes rows of `shape`."""
        return math.prod(self.source) // math.prod(shape[:-1])

    def of(self, places: Sequence[int], shape: tuple[int, ...]) -> Self:
        """Return the Selection of the features at these places of what this one gives, which are rows of `shape`."""
        own = type(self)(tuple(places), shape)
        return type(self)(tuple(self.columns[place] for place in places), self.source,
                          own if self.narrower is None else self.narrower.of(places, shape))

    def to_json(self) -> list:
        """Return what JSON holds of it; `check_selection` reads it back."""
        parts = [list(self.columns), list(self.source)]
        return parts if self.narrower is None else [*parts, self.narrower.to_json()]

    def wanted(self, given: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """Return the message that X has the shape `given`, where rows of `shape` are wanted, or whole ones."""
        wanted = f"(n, {', '.join(map(str, shape))})"
        return (f"X has the shape {given}; wanted {wanted}: the columns {listed(self.columns)} (counted from 0) of "
                f"rows of shape {self.source}, or these rows whole")


def check_selection(selection: object, shape: tuple[int, ...]) -> Selection | None:
    """Return a Selection with which rows of `shape` can be made, or None; InvalidValue for any other."""
    if selection is None:
        return None
    wrong = InvalidValue(f"selection={quoted(repr(selection))}; wanted (columns, source): {shape[-1]} places, in "
                         f"order, along the last axis of rows of the shape source, which are wider than {shape}")
    if not (isinstance(selection, tuple | list) and len(selection) in (2, 3)):
        raise wrong
    columns, source = (tuple(part) if isinstance(part, tuple | list) else () for part in selection[:2])
    whole = all(type(number) is int and number >= 0 for number in (*columns, *source)) and min(source, default=0) > 0
    if not whole or len(columns) != shape[-1]:
        raise wrong
    found, leading = Selection(columns, source), math.prod(shape[:-1])
    fits = math.prod(source) % leading == 0 and max(columns) < found.width(shape) > len(columns)
    if not fits or any(a >= b for a, b in pairwise(columns)):
        raise wrong
    narrower = check_selection(selection[2], shape) if len(selection) > 2 else None
    if narrower is not None and narrower.width(shape) >= found.width(shape):
        raise wrong
    return Selection(columns, source, narrower)


def picked_scaling(values: np.ndarray, places: Sequence[int], shape: tuple[int, ...],
                   smaller: tuple[int, ...]) -> np.ndarray:
    """Return a shift or scale of rows of `shape` for rows of the `smaller` shape, which have some places only."""
    if values.ndim == 0:
        return values
    flat = len(smaller) == 1 < len(shape)
    whole = np.broadcast_to(values, shape).reshape(-1) if flat else np.broadcast_to(values, (*values.shape[:-1],
                                                                                             shape[-1]))
    return whole[..., list(places)]


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its axes of 1."""
    return tuple(size for size in shape if size != 1)


def same_numbers(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether rows of the two shapes differ by axes of 1 or by flattening only."""
    a, b = without_ones(given), without_ones(wanted)
    return a == b or (math.prod(a) == math.prod(b) and min(len(given), len(wanted)) == 1)
