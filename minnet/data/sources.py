"""Where data come from: named sets, files, arrays and functions become a `Raw`, values and labels as they were given.

To add a data set, write a function that returns a `Raw` and name it in the table at the foot.
"""
import os
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minnet.csr import is_sparse
from minnet.data.kinds import places_of
from minnet.data.parts import join_parts
from minnet.data.rawrows import categorical, holds_text, is_frame
from minnet.data.scaling import BYTE
from minnet.delimited import PLAIN, Format, Target, read_table
from minnet.errors import InvalidType, InvalidValue, file_error, quoted, unknown
from minnet.files import KINDS, sniff
from minnet.readers import npz_parts, read_idx, read_npz

TEXT = ("text", "utf-16")  # kinds that can be tables, by what `sniff` says
OF_COLUMNS = ("text", "categories", "missing", "known")  # what a Format says of values, which arrays have too
OFFICIAL_TEST = 10_000
OFFICIAL_SIDE = 28  # pixels
IDX_FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


@dataclass(frozen=True, eq=False)
class Raw:
    """Raw samples and labels; the last `n_test` are the official test part, `full_scale` is X's largest value.

    X (n, d), (n, h, w) or (n, h, w, c) of any real numbers, y (n,) of whole numbers or text, or of numbers to learn
    (n,) or (n, k), or of 0 and 1 (n, k). `feature_names` are those of the columns of a table, `target` is that of its
    labels, or those of k; without a header, its number in text. The `n_valid` before the test part are the official
    validation part. `kinds` is None of arrays, which hold numbers alone; of a table, whose cells may be missing or
    text, it has "text" or "categories" of columns by place, if told.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    full_scale: float | None = None
    n_test: int = 0
    feature_names: tuple[str, ...] | None = None
    target: str | tuple[str, ...] | None = None
    n_valid: int = 0
    kinds: Mapping[int, str] | None = None


def digits() -> Raw:
    """Load scikit-learn's 1,797 images of 8 x 8 handwritten digits, 0 to 16 (E. Alpaydin and C. Kaynak, 1998)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Raw("digits", bunch.images, bunch.target, full_scale=16)


def mnist() -> Raw:
    """Load 70,000 images of 28 x 28 handwritten digits, the last 10,000 for testing (LeCun et al., 1998)."""
    return _official("mnist", "mnist_784")


def fashion_mnist() -> Raw:
    """Load 70,000 images of 28 x 28 articles of clothing, the last 10,000 for testing (Xiao et al., 2017)."""
    return _official("fashion-mnist", "Fashion-MNIST")


def _official(name, openml_name):
    """Load the set `name` from the folder that MINNET_DATA names, else through scikit-learn's `fetch_openml`."""
    root = os.environ.get("MINNET_DATA")
    if root and (Path(root) / name).is_dir():
        return _idx_folder(Path(root) / name, name)
    from http.client import HTTPException

    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a network that is asked again
            bunch = fetch_openml(openml_name, version=1, as_frame=False, parser="liac-arff", n_retries=1, delay=0.1)
    except (OSError, ValueError, HTTPException) as error:
        where = f"MINNET_DATA={quoted(root)} has no folder {name}" if root else "MINNET_DATA is not set"
        what = f"is not here: {where}, and fetch_openml says: {quoted(' '.join(str(error).split()))}"
        fix = f"put the four IDX files into a folder {name} and set MINNET_DATA to the folder above it"
        raise file_error(name, what, fix=fix) from error
    X = bunch.data.reshape(-1, OFFICIAL_SIDE, OFFICIAL_SIDE).astype(np.uint8)
    return Raw(name, X, bunch.target.astype(np.int64), BYTE, OFFICIAL_TEST)


def _idx_folder(folder, name):
    """Read MNIST's four files, each compressed or not."""
    arrays = []
    for file, ndim in zip(IDX_FILES, (3, 1, 3, 1), strict=True):
        found = [path for path in (folder / file, folder / f"{file}.gz") if path.exists()]
        if not found:
            raise file_error(folder, f"has no file {file} or {file}.gz", fix="put the four IDX files there")
        arrays.append(read_idx(found[0]))
        if arrays[-1].ndim != ndim:
            what = f"holds an array of shape {arrays[-1].shape}; {'images' if ndim > 1 else 'labels'} were wanted"
            raise file_error(found[0], what, fix="were the files mixed up?")
    X, y, X_test, y_test = arrays
    if len(X) != len(y) or len(X_test) != len(y_test) or X.shape[1:] != X_test.shape[1:]:
        what = f"images {X.shape} and {X_test.shape} do not match {len(y)} and {len(y_test)} labels"
        raise file_error(folder, what, fix="were the files mixed up?")
    return Raw(name, np.concatenate([X, X_test]), np.concatenate([y, y_test]), BYTE, len(y_test))


def find(data: object, target: Target, learnt: str | tuple[str, ...] | None = None, ask: bool = True,
         form: Format = PLAIN, wanted: Sequence[str] | None = None, numbers: bool = False) -> Raw:
    """Return the `Raw` that `data` means.

    The labels of a table are in the column `target`, else in the one called `learnt` if there is one, else in the last;
    with `ask`, where another one may be meant, that is an error. `form` tells how a table is written; of its columns
    those `wanted` are read where all are there; with `numbers` all cells must be numbers.
    """
    raw = _found(data, target, learnt, ask, form, wanted, numbers)
    if is_sparse(raw.X) and (form.text or form.categories or form.missing == "median"):
        raise InvalidValue("text=, categories= and missing= are for tables and arrays, and X is a sparse matrix: leave "
                           "them out")
    if raw.kinds is not None or is_sparse(raw.X):
        return raw
    told = places_of(form.text, form.categories, column_names(raw), np.shape(raw.X)[1]) \
        if form.text or form.categories else {}
    told = dict.fromkeys(categorical(raw.X), "categories") | told
    table = told or form.missing == "median" or is_frame(raw.X) or holds_text(raw.X)
    return replace(raw, kinds=told) if table and not numbers else raw


def _found(data, target, learnt, ask, form, wanted, numbers):
    """Return the `Raw` that `data` means; only that of a file knows the kinds of its columns."""
    given = data
    if isinstance(data, str) and data in DATASETS:
        data = DATASETS[data]
    if isinstance(data, str | os.PathLike):
        return _from_path(os.fsdecode(data), target, learnt, ask, form, wanted, numbers)
    what = quoted(repr(getattr(given, "__name__", given)))
    if target is not None:
        raise InvalidValue(f"target={quoted(repr(target))} is for files, and this is {what}: leave it out")
    _refuse_form(form, f"this is {what}")
    name, made = (data.__name__, data()) if callable(data) else ("arrays", data)
    if isinstance(made, Raw):
        return made
    if isinstance(made, tuple) and len(made) == 2:
        return Raw(name, *made)
    if hasattr(made, "keys") and {"X", "y"} <= set(made.keys()):
        return Raw(name, made["X"], made["y"])
    raise InvalidType(f"data={quoted(repr(made))}: give a name, a file, (X, y), or a mapping with X and y")


def _from_path(path, target, learnt, ask, form, wanted, numbers):
    """Read the samples in a file or folder, by its content."""
    if os.path.isdir(path):
        _refuse_form(form, f"{quoted(path)} is a folder")
        return _idx_folder(Path(path), Path(path).name)
    if not os.path.exists(path) and os.path.basename(path) == path and not Path(path).suffix:
        raise unknown("data set", path, [*DATASETS, "FILE.npz", "FILE.csv"])
    kind = sniff(path)
    if kind == "zip" and not zipfile.is_zipfile(path):
        raise file_error(path, "is a zip archive that is damaged or cut off", fix="fetch it again, or save it again")
    if kind == "npz":
        _refuse_form(form, f"{quoted(path)} is {KINDS[kind]}")
        return _from_npz(path, target)
    check_table(path, kind, form)
    table = read_table(path, target, learnt, ask=ask, form=form, wanted=wanted, numbers=numbers)
    return Raw(Path(path).stem, table.X, table.y, feature_names=table.names, target=table.target, kinds=table.kinds)


def _from_npz(path, target):
    """Read X and y, or the official parts of an archive without X."""
    if isinstance(target, list | tuple):
        raise InvalidValue(f"target={quoted(repr(target))}: {quoted(path)} is an archive, whose target is one member, "
                           "(n,) or (n, k)")
    name, parts = Path(path).stem, npz_parts(path) if target is None else {}
    if not parts:
        return Raw(name, *(read_npz(path) if target is None else read_npz(path, target)))
    read = {part: (*read_npz(path, members["y"], members["X"]), None) for part, members in parts.items()}
    X, y, n_valid, n_test = join_parts(read)
    return Raw(name, X, y, n_test=n_test, n_valid=n_valid)


def check_table(path: str, kind: str, form: Format) -> None:
    """Refuse a file whose content, by what `sniff` says, is no text that may be a table."""
    if kind in TEXT or (kind == "unknown" and form.encoding is not None):
        return
    files = "give a .npz with X and y, or a .csv in UTF-8"
    if kind == "unknown":
        raise file_error(path, "is no text in UTF-8 and of no format that is known",
                         fix="name the encoding of a table, as in --encoding latin-1 (in Python "
                             f'encoding="latin-1"); else {files}')
    raise file_error(path, f"is {KINDS[kind]}, no data set", fix=files)


def _refuse_form(form, what):
    """Refuse options of tables for what is none."""
    told = [name for name, value in form._asdict().items() if value not in (None, ()) and name not in OF_COLUMNS]
    if told:
        raise InvalidValue(f"{' and '.join(told)}: for tables in text files only, and {what}: leave it out")


def is_table(source: object) -> bool:
    """Return True for the name of a file that is no archive: a table, if it is data at all."""
    return isinstance(source, str | os.PathLike) and os.path.isfile(source) and sniff(source) != "npz"


def is_split(source: object) -> bool:
    """Return True for the name of an archive with a test part of its own."""
    there = isinstance(source, str | os.PathLike) and os.path.isfile(source)
    return there and sniff(source) == "npz" and "test" in npz_parts(source)


def column_names(raw: Raw) -> tuple[str, ...] | None:
    """Return the names of the columns: those of the `Raw`, or of a table of pandas or polars in it."""
    names = getattr(raw.X, "columns", None) if raw.feature_names is None else raw.feature_names
    if names is None or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return tuple(names)


DATASETS = {"digits": digits, "mnist": mnist, "fashion-mnist": fashion_mnist}
