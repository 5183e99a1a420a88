"""Data sets: named ones, files and arrays become a `Dataset`, split by class and scaled, ready for training.

    data = load_data("digits", rng=0)            # also "mnist", "fashion-mnist", "mine.npz", "mine.csv"
    data = from_arrays(X, y, scaling="standard")
    data.X_train, data.y_train, data.X_valid, data.y_valid, data.X_test, data.y_test
    data.scaled(X_new)                           # new samples, scaled as the training part was

The test part serves to report, the validation part to choose; what scaling must know it learns from the training part
alone. To add a data set, write a function that returns a `Raw` and name it in the table at the foot.
"""

import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minnet.arrays import as_numbers, check_finite, check_X
from minnet.errors import (
    InvalidType,
    InvalidValue,
    check_choice,
    check_fraction,
    file_error,
    quoted,
    unknown,
)
from minnet.files import KINDS, sniff
from minnet.readers import read_csv, read_idx, read_npz
from minnet.typing import ArrayLike, Dtype, Seed

TEST = 0.2  # of all samples: with fewer than 360 test digits a mean over seeds hides a point
VALID = 0.1  # of all samples
OFFICIAL_VALID = 1 / 12  # of the 60,000 training images of MNIST: 5,000
OFFICIAL_TEST = 10_000
OFFICIAL_SIDE = 28  # pixels
SEEDS = 2**32  # scikit-learn takes seeds below
CHUNK = 1024  # samples that are scaled at once, in float64
ROUNDING = 1e-12  # a deviation below this share of the mean is that of a constant
BYTE = 255  # the largest value of an image of bytes
IDX_FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]


@dataclass(frozen=True, eq=False)
class Raw:
    """Raw samples and labels; the last `n_test` are the official test part, `full_scale` is X's largest value.

    X (n, d), (n, h, w) or (n, h, w, c) of any real numbers, y (n,) of whole numbers or text.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    full_scale: float | None = None
    n_test: int = 0


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in three parts, scaled.

    Attributes
    ----------
    name : str
        Its name, or that of its file.
    X_train, X_valid, X_test : numpy.ndarray
        Samples ``(n, *shape)``, in float32 or float64: (raw - shift) / scale.
    y_train, y_valid, y_test : numpy.ndarray
        Codes (n,), int64, 0 ... n_classes - 1.
    shape : tuple of int
        Shape of one sample: (d,) or (h, w, c).
    n_classes : int
        The number of classes.
    classes : numpy.ndarray
        Labels (n_classes,) as they were given: that of a code is `classes[code]`.
    scaling : str
        The name of the rule that gave `shift` and `scale`.
    shift, scale : numpy.ndarray
        What broadcasts with a sample, of the training part alone.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    shape: tuple[int, ...]
    n_classes: int
    classes: np.ndarray
    scaling: str
    shift: np.ndarray
    scale: np.ndarray

    def scaled(self, X: ArrayLike) -> np.ndarray:
        """Check new samples and scale them as the training part was.

        Parameters
        ----------
        X : array_like
            Raw samples ``(n, *shape)``.

        Returns
        -------
        numpy.ndarray
            (X - shift) / scale, in the dtype of the parts.

        Raises
        ------
        InvalidValue, InvalidType, NotFinite
            `X` has another shape, holds no real numbers, or NaN or infinity.
        """
        return _scaled(check_X(X, self.shape, np.float64), self.shift, self.scale, self.X_train.dtype)

    def __repr__(self):
        sizes = f"{len(self.y_train)} + {len(self.y_valid)} + {len(self.y_test)}"
        return f"Dataset({self.name!r}, {sizes} samples of shape {self.shape}, {self.n_classes} classes)"


Data = (str | os.PathLike[str] | tuple[ArrayLike, ArrayLike] | Mapping[str, ArrayLike] | Callable[[], object]
        | Dataset)
Scaling = str | Callable[[np.ndarray, float | None], tuple[ArrayLike, ArrayLike]]


def load_data(data: Data = "digits", *, rng: Seed = 0, scaling: Scaling = "unit", valid: float | None = None,
              test: float | None = None, target: str | int | None = None, dtype: Dtype = np.float32) -> Dataset:
    """Load a data set, split it by class and scale it.

    Parameters
    ----------
    data : str, os.PathLike, tuple, mapping, callable or Dataset
        A name in `DATASETS`; a file, told by its content: a NumPy archive (.npz) with X and y, or a table (.csv); a
        folder with MNIST's four IDX files; a pair (X, y) or a mapping with these keys; or a function without arguments
        that returns a `Raw` or such arrays. A Dataset is returned as it is.
    rng : int, numpy.random.Generator or None
        What the parts are drawn by.
    scaling : str or callable
        A name in `SCALINGS`, or a function (X_train, full_scale) -> (shift, scale).
    valid : float, optional
        The validation part's share of all samples, by default 0.1; of all that is not the official test part where
        there is one, by default 1/12.
    test : float, optional
        The test part's share of all samples, by default 0.2; an official test part is kept.
    target : str or int, optional
        The column of a table with the classes, by name or number (the last one), or the member of an archive ("y").
    dtype : type or str
        numpy.float32 or numpy.float64.

    Returns
    -------
    Dataset
        The three parts, in which each class has its share.

    Raises
    ------
    UnknownName
        `data` or `scaling` is a name in no table.
    FileError
        The file is missing, damaged, or not a data set.
    InvalidValue, InvalidType, NotFinite
        The samples cannot be learnt from (their shape, text, NaN, a single class), or another argument is wrong.
    """
    if isinstance(data, Dataset):
        return data
    raw = _find(data, target)
    return _prepare(raw, rng, scaling, valid, test, dtype)


def from_arrays(X: ArrayLike, y: ArrayLike, *, rng: Seed = 0, scaling: Scaling = "unit", valid: float = VALID,
                test: float = TEST, dtype: Dtype = np.float32, name: str = "arrays") -> Dataset:
    """Make a data set of arrays, split by class and scaled.

    Parameters
    ----------
    X : array_like
        Samples (n, d), (n, h, w) or (n, h, w, c).
    y : array_like
        Labels (n,), whole numbers or text.
    rng : int, numpy.random.Generator or None
        What the parts are drawn by.
    scaling : str or callable
        As for `load_data`.
    valid, test : float
        The parts' shares of all samples.
    dtype : type or str
        numpy.float32 or numpy.float64.
    name : str
        The data set's name.

    Returns
    -------
    Dataset
        The three parts, in which each class has its share.

    Raises
    ------
    InvalidValue, InvalidType, NotFinite
        As for `load_data`.
    """
    return _prepare(Raw(name, X, y), rng, scaling, valid, test, dtype)


# --- from whatever was given to a Raw ---------------------------------------------------------------------------------

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


def _find(data, target):
    """Return the `Raw` that `data` means."""
    given = data
    if isinstance(data, str) and data in DATASETS:
        data = DATASETS[data]
    if isinstance(data, str | os.PathLike):
        return _from_path(os.fsdecode(data), target)
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


def _from_path(path, target):
    """Read the samples in a file or folder, by its content."""
    if os.path.isdir(path):
        return _idx_folder(Path(path), Path(path).name)
    if not os.path.exists(path) and os.path.basename(path) == path and not Path(path).suffix:
        raise unknown("data set", path, [*DATASETS, "FILE.npz", "FILE.csv"])
    kind = sniff(path)
    if kind == "zip" and not zipfile.is_zipfile(path):
        raise file_error(path, "is a zip archive that is damaged or cut off", fix="fetch it again, or save it again")
    if kind not in READERS:
        raise file_error(path, f"is {KINDS[kind]}, no data set", fix="give a .npz with X and y, or a .csv in UTF-8")
    options = () if target is None else (target,)
    return Raw(Path(path).stem, *READERS[kind](path, *options))


# --- from a Raw to a Dataset ------------------------------------------------------------------------------------------

def _prepare(raw, rng, scaling, valid, test, dtype):
    """Check, split and scale."""
    if dtype not in (np.float32, np.float64, "float32", "float64"):
        raise InvalidValue(f"dtype={quoted(repr(dtype))}; wanted float32 or float64")
    rule = check_choice("scaling", scaling, SCALINGS)
    X, (y, classes) = _as_samples(raw.X), _as_codes(raw.y)
    if len(X) != len(y):
        raise InvalidValue(f"X has {len(X)} samples and y {len(y)} labels; wanted one label for each sample")
    train, *others = _split(raw, y, len(classes), rng, valid, test)
    shift, scale = (np.asarray(v, np.float64) for v in rule(X[train], raw.full_scale))
    parts = []
    for rows in (train, *others):
        parts += [_scaled(X[rows], shift, scale, dtype), y[rows]]
    name = scaling if isinstance(scaling, str) else rule.__name__
    return Dataset(raw.name, *parts, X.shape[1:], len(classes), classes, name, shift, scale)


def _as_samples(X):
    """Return X (n, *shape) with the channels of images last, checked."""
    X = as_numbers("X", X)
    if X.ndim == 3:
        X = X[..., None]  # (n, h, w, 1)
    if X.ndim not in (2, 4) or X.size == 0:
        hint = "; for one feature give X.reshape(-1, 1)" if X.ndim == 1 else ""
        raise InvalidValue(f"X has the shape {X.shape}; wanted (n, d), (n, h, w) or (n, h, w, c), none 0{hint}")
    check_finite("X", X)
    return X


def _as_codes(y):
    """Return (codes, classes): labels as int64 0..k-1, and the k labels in order."""
    try:
        y = np.asarray(y)
    except ValueError as error:
        raise InvalidType(f"y cannot become an array: {quoted(str(error))}") from error
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        hint = "; from one-hot rows, y.argmax(axis=1)" if y.ndim == 2 else ""
        raise InvalidValue(f"y has the shape {y.shape}; wanted (n,){hint}")
    if y.dtype.kind == "O" and all(isinstance(label, str) for label in y):
        y = y.astype(str)
    if y.dtype.kind not in "SU":
        y = as_numbers("y", y)
        check_finite("y", y)
        if (y != np.round(y)).any():
            raise InvalidValue(f"y holds {y[y != np.round(y)][0]}, which is no class; wanted whole numbers or text")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InvalidValue(f"y holds {len(classes)} classes ({quoted(str(classes.tolist()))}); wanted two or more")
    return codes.astype(np.int64), classes


def _split(raw, y, n_classes, rng, valid, test):
    """Return sorted indices of the three parts; each class has its share in each part that is drawn."""
    n = len(y)
    rest, last = np.arange(n - raw.n_test), np.arange(n - raw.n_test, n)
    if raw.n_test and test is not None:
        raise InvalidValue(f"test={test}: {raw.name} has its official test part of {raw.n_test}; leave test away")
    generator = _generator(rng)
    if not raw.n_test:
        size = round(check_fraction("test", TEST if test is None else test) * n)
        rest, last = _draw(rest, y, size, n_classes, "test", generator)
    share = (OFFICIAL_VALID if raw.n_test else VALID) if valid is None else valid
    size = round(check_fraction("valid", share) * (n - raw.n_test))
    rest, middle = _draw(rest, y, size, n_classes, "valid", generator)
    missing = np.setdiff1d(np.arange(n_classes), y[rest])
    if missing.size:
        raise InvalidValue(f"{missing.size} of {n_classes} classes have no training sample; lower test= and valid=")
    return rest, middle, last


def _draw(rows, y, size, n_classes, name, generator):
    """Draw `size` of the rows, stratified by class; return (rest, part)."""
    if size == 0:
        return rows, rows[:0]
    left = len(rows) - size
    if min(size, left) < n_classes:
        problem = f"{name} would have {size} samples and {max(left, 0)} would be left, for {n_classes} classes"
        raise InvalidValue(f"{problem}; change {name}=, or give more samples")
    counts = np.bincount(y[rows], minlength=n_classes)
    if counts.min() < 2:
        rare = f"class {counts.argmin()} (in order) has {counts.min()} samples left for {name} and training"
        raise InvalidValue(f"{rare}; wanted at least 2: take that class out, or set {name}=0")
    from sklearn.model_selection import train_test_split

    seed = int(generator.integers(SEEDS))
    rest, part = train_test_split(rows, test_size=size, stratify=y[rows], random_state=seed)
    return np.sort(rest), np.sort(part)


def _generator(rng):
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"rng={quoted(repr(rng))}; wanted a whole number of at least 0, or a Generator") from error


def _scaled(X, shift, scale, dtype):
    """Return (X - shift) / scale, computed in float64 and rounded once."""
    out = np.empty(X.shape, dtype)
    for start in range(0, len(X), CHUNK):
        with np.errstate(all="ignore"):  # what overflows is found below
            out[start:start + CHUNK] = (X[start:start + CHUNK] - shift) / scale
    check_finite("scaled X", out)
    return out


# --- scaling: (X_train, full_scale) -> (shift, scale), by feature for tables, by channel or at once for images --------

def none(X, full_scale):
    """Leave X as it is."""
    return 0, 1


def unit(X, full_scale):
    """Scale to [0, 1]: by the full scale (255 for bytes) if it is known, else from the smallest to the largest value.

    The smallest and largest are those of each feature of a table, or of all pixels of images; X in [0, 1] is kept.
    """
    if full_scale is None and X.dtype == np.uint8:
        full_scale = BYTE
    if full_scale is not None:
        return 0, full_scale
    axes = 0 if X.ndim == 2 else None
    low, high = X.min(axes).astype(np.float64), X.max(axes).astype(np.float64)
    if low.min() >= 0 and high.max() <= 1:
        return 0, 1
    return low, np.where(high > low, high - low, 1)


def standard(X, full_scale):
    """Scale to mean 0 and variance 1, for each feature of a table, each channel of images; constants become 0."""
    axes = tuple(range(X.ndim - 1))
    mean = X.mean(axes, dtype=np.float64)
    squares = sum(((X[i:i + CHUNK] - mean) ** 2).sum(axes) for i in range(0, len(X), CHUNK))
    deviation = np.sqrt(squares / (X.size / mean.size))
    return mean, np.where(deviation > ROUNDING * np.abs(mean), deviation, 1)


SCALINGS = {f.__name__: f for f in (none, unit, standard)}
READERS = {"npz": read_npz, "text": read_csv, "utf-16": read_csv}  # by what `sniff` says
DATASETS = {"digits": digits, "mnist": mnist, "fashion-mnist": fashion_mnist}
