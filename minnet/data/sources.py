"""Where data come from: named sets, files, arrays and functions become a `Raw`, values and labels as they were given.

To add a data set, write a function that returns a `Raw` and name it in the table at the foot.
"""
import os
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minnet.data.scaling import BYTE
from minnet.errors import InvalidType, InvalidValue, file_error, quoted, unknown
from minnet.files import KINDS, sniff
from minnet.readers import read_idx, read_npz, read_table

OFFICIAL_TEST = 10_000
OFFICIAL_SIDE = 28  # pixels
IDX_FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


@dataclass(frozen=True, eq=False)
class Raw:
    """Raw samples and labels; the last `n_test` are the official test part, `full_scale` is X's largest value.

    X (n, d), (n, h, w) or (n, h, w, c) of any real numbers, y (n,) of whole numbers or text, or of numbers to learn
    (n,) or (n, k). `feature_names` are those of the columns of a table, `target` is that of its labels, or those of k.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    full_scale: float | None = None
    n_test: int = 0
    feature_names: tuple[str, ...] | None = None
    target: str | tuple[str, ...] | None = None


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


def find(data: object, target: str | int | None, learnt: str | None = None, ask: bool = True) -> Raw:
    """Return the `Raw` that `data` means.

    The labels of a table are in the column `target`, else in the one called `learnt` if there is one, else in the last;
    with `ask`, where another one may be meant, that is an error.
    """
    given = data
    if isinstance(data, str) and data in DATASETS:
        data = DATASETS[data]
    if isinstance(data, str | os.PathLike):
        return _from_path(os.fsdecode(data), target, learnt, ask)
    if target is not None:
        what = repr(getattr(given, "__name__", given))
        raise InvalidValue(f"target={quoted(repr(target))} is for files, and this is {quoted(what)}: leave it out")
    name, made = (data.__name__, data()) if callable(data) else ("arrays", data)
    if isinstance(made, Raw):
        return made
    if isinstance(made, tuple) and len(made) == 2:
        return Raw(name, *made)
    if hasattr(made, "keys") and {"X", "y"} <= set(made.keys()):
        return Raw(name, made["X"], made["y"])
    raise InvalidType(f"data={quoted(repr(made))}: give a name, a file, (X, y), or a mapping with X and y")


def _from_path(path, target, learnt, ask):
    """Read the samples in a file or folder, by its content."""
    if os.path.isdir(path):
        return _idx_folder(Path(path), Path(path).name)
    if not os.path.exists(path) and os.path.basename(path) == path and not Path(path).suffix:
        raise unknown("data set", path, [*DATASETS, "FILE.npz", "FILE.csv"])
    kind = sniff(path)
    if kind == "zip" and not zipfile.is_zipfile(path):
        raise file_error(path, "is a zip archive that is damaged or cut off", fix="fetch it again, or save it again")
    if kind not in FILES:
        raise file_error(path, f"is {KINDS[kind]}, no data set", fix="give a .npz with X and y, or a .csv in UTF-8")
    if kind == "npz":
        return Raw(Path(path).stem, *(read_npz(path) if target is None else read_npz(path, target)))
    table = read_table(path, target, learnt, ask=ask)
    return Raw(Path(path).stem, table.X, table.y, feature_names=table.names, target=table.target)


def column_names(raw: Raw) -> tuple[str, ...] | None:
    """Return the names of the columns: those of the `Raw`, or of a table of pandas or polars in it."""
    names = getattr(raw.X, "columns", None) if raw.feature_names is None else raw.feature_names
    if names is None or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return tuple(names)


FILES = ("npz", "text", "utf-16")  # kinds that can be data, by what `sniff` says
DATASETS = {"digits": digits, "mnist": mnist, "fashion-mnist": fashion_mnist}
