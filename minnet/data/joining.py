"""Rows of a data set before they are split: of a table or of arrays, and of parts that come from other sources.

    raw = with_parts(raw, {"test": "later.csv"}, target, form)   # its parts are joined, by name
    X, encoded = raw_rows(raw, names, None, None)                # cells for an Encoding, or numbers

What a trained model takes is known: its signature says how a table is read.
"""
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np

from minnet.data.kinds import Told
from minnet.data.parts import as_samples, join_parts
from minnet.data.rawrows import as_cells
from minnet.data.signature import Signature
from minnet.data.sources import Raw, column_names, find, is_table
from minnet.delimited import Format, Target, check_format
from minnet.errors import InvalidValue, NotFinite, quoted


def is_source(value: object) -> bool:
    """Return True for a part that is given as data, not as a share, be it in text."""
    text = isinstance(value, str) and value.replace(".", "", 1).isdigit()
    return not (value is None or text or isinstance(value, Real))


def form_for(signature: Signature | None, form: Format, told: Told | None = None) -> Format:
    """Return the form of a table for a model with this signature, which knows what columns hold."""
    if signature is None:
        return form
    given = [name for name in ("text", "categories") if getattr(form, name)]
    if given or told not in (None, Told()):
        raise InvalidValue(f"{' and '.join(given) or 'words'}: the model knows what its columns hold; leave it out")
    known = () if signature.encoding is None else signature.encoding.of_kind("categories", "words", "hashed")
    return form._replace(known=known)


def with_parts(raw: Raw, given: Mapping[str, object], target: Target, form: Format, numbers: bool = False) -> Raw:
    """Return `raw` with the parts that are `given` as data behind it: columns and labels are matched by name."""
    cells, names = table_cells(raw), column_names(raw)
    X = as_samples(raw.X) if cells is None else cells
    n = X.shape[0]
    if names is not None:
        form = form._replace(ignore=(), text=(), categories=(), known=tuple(
            name for i, (name, column) in enumerate(zip(names, X.T, strict=False)) if i in (raw.kinds or ()) or
            (column.dtype == object and any(isinstance(cell, str) for cell in column))))
    ends = n - raw.n_test - raw.n_valid, n - raw.n_test, n
    parts = {part: (X[end - size:end], raw.y[end - size:end], names) for part, end, size in
             zip(("train", "valid", "test"), ends, (ends[0], raw.n_valid, raw.n_test), strict=True) if size}
    for part, source in given.items():
        if part in parts:
            raise InvalidValue(f"{part}={quoted(repr(source))}: {raw.name} has its official {part} part; leave {part} "
                               "away")
        written = form if is_table(source) else check_format(missing=form.missing)
        other = find(source, target if is_table(source) and raw.target is None else None, raw.target, ask=False,
                     form=written, wanted=names, numbers=numbers)
        if raw.target is not None and names is not None and other.target not in (None, raw.target):
            raise InvalidValue(f"{part}={quoted(repr(source))} has no column {quoted(repr(raw.target))}, which is the "
                               "target")
        parts[part] = other.X, other.y, column_names(other)
        cells = table_cells(other) if cells is None else cells
    X, y, n_valid, n_test = join_parts(parts, cells is not None)
    return replace(raw, X=X, y=y, n_valid=n_valid, n_test=n_test, feature_names=names)


def table_cells(raw: Raw) -> np.ndarray | None:
    """Return the cells of a table with text, gaps or columns that are told to hold categories or text; else None."""
    if raw.kinds is None:
        return None
    cells = as_cells(raw.X)
    text = cells.dtype == object and any(isinstance(cell, str) for cell in cells.flat)
    return cells if raw.kinds or text or (cells != cells).any() else None


def raw_rows(raw: Raw, names: Sequence[str] | None, signature: Signature | None,
             missing: str | None) -> tuple[np.ndarray, bool]:
    """Return the rows of a `Raw`, and whether an Encoding makes numbers of them."""
    if signature is not None and signature.encoding is not None:
        return signature.picked(raw.X, names), True
    cells = table_cells(raw)
    if cells is None or signature is not None:
        return as_samples(raw.X), False
    if missing == "error":
        for i, column in enumerate(cells.T):
            gaps = np.array([cell != cell for cell in column])
            if gaps.any() and not any(isinstance(cell, str) for cell in column):
                raise NotFinite(f"column {quoted(repr(names[i] if names else i))} has {gaps.sum()} missing values, the "
                                f'first in row {gaps.argmax()}: fill them in, or leave missing="error" out')
    return cells, True
