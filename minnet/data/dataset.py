"""Data sets: named ones, files and arrays become a `Dataset`, split by class, with the signature of its training part.

    data = load_data("digits", rng=0)            # also "mnist", "fashion-mnist", "mine.npz", "mine.csv"
    data = from_arrays(X, y, scaling="standard")
    data.X_train, data.y_train, data.X_valid, data.y_valid, data.X_test, data.y_test
    data.signature                               # how they are scaled, and what the classes are called

Rows and labels are those of the user's file: what takes them scales them, by the signature of the model, which is that
of the data it was trained on. The test part serves to report, the validation part to choose; what scaling must know it
learns from the training part alone.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from minnet.arrays import as_numbers, check_finite
from minnet.data.scaling import SCALINGS
from minnet.data.signature import Signature
from minnet.data.sources import Raw, column_names, find
from minnet.data.tasks import as_targets, kind_of, standard_targets
from minnet.errors import InvalidValue, check_choice, check_fraction, quoted
from minnet.typing import ArrayLike, Dtype, Seed

TEST = 0.2  # of all samples: with fewer than 360 test digits a mean over seeds hides a point
VALID = 0.1  # of all samples
OFFICIAL_VALID = 1 / 12  # of the 60,000 training images of MNIST: 5,000
SEEDS = 2**32  # scikit-learn takes seeds below


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in three parts, with rows and labels as the user's file has them.

    Attributes
    ----------
    name : str
        Its name, or that of its file.
    X_train, X_valid, X_test : numpy.ndarray
        Samples ``(n, *shape)``, unscaled; images have their channels last.
    y_train, y_valid, y_test : numpy.ndarray
        Labels (n,), whole numbers or text; or numbers to learn, (n,) or (n, k).
    shape : tuple of int
        Shape of one sample: (d,) or (h, w, c).
    n_classes : int
        The number of classes; 0 of numbers.
    classes : numpy.ndarray or None
        The labels (n_classes,) that occur, in order: that of output i of a model at place i. None of numbers.
    scaling : str
        The name of the rule that gave the signature's shift and scale.
    signature : Signature
        What a model trained on it takes and gives: shape, scaling, and classes or the scaling of the numbers to learn,
        fitted on the training part alone.
    dtype : type or str
        Of what `scaled` returns.
    enlarged : Signature or None
        Where images were enlarged (see `vgg16_input`), that of the images as they were.
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
    classes: np.ndarray | None
    scaling: str
    signature: Signature
    dtype: Dtype = np.float32
    enlarged: Signature | None = None
    _kept: dict = field(default_factory=dict, init=False, repr=False)

    def inputs(self, part: str, signature: Signature, dtype: Dtype) -> tuple[np.ndarray, np.ndarray]:
        """Compute the inputs and targets of a part as a model with this signature takes them.

        Parameters
        ----------
        part : {"train", "valid", "test"}
            Which part. The first two are scaled once and kept.
        signature : Signature
            That of the model.
        dtype : type or str
            numpy.float32 or numpy.float64.

        Returns
        -------
        tuple of numpy.ndarray
            Inputs ``(n, *shape)``, and codes (n,) of the labels, or scaled numbers (n, k).

        Raises
        ------
        InvalidValue, InvalidType, NotFinite
            The rows or labels are not those of the signature.
        """
        kept = self._kept.get(part)
        if kept is not None and kept[0] == np.dtype(dtype) and (kept[1] is signature or kept[1] == signature):
            return kept[2]
        X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
        found = signature.rows(X, dtype, self.signature.feature_names), signature.codes(y)
        if part != "test":
            self._kept[part] = np.dtype(dtype), signature, found
        return found

    def scaled(self, X: ArrayLike) -> np.ndarray:
        """Check new samples and scale them as the training part was.

        Parameters
        ----------
        X : array_like
            Raw samples ``(n, *shape)``.

        Returns
        -------
        numpy.ndarray
            (X - shift) / scale, in `dtype`.

        Raises
        ------
        InvalidValue, InvalidType, NotFinite
            `X` has another shape, holds no real numbers, or NaN or infinity.
        """
        return self.signature.rows(X, self.dtype)

    @property
    def n_outputs(self) -> int:
        """How many outputs a model for it has: one for each class, or for each number of a row."""
        return self.n_classes or (1 if self.y_train.ndim == 1 else self.y_train.shape[1])

    @property
    def shift(self) -> np.ndarray:
        """What is subtracted from raw samples; it broadcasts with one."""
        return np.zeros(()) if self.signature.scaling is None else self.signature.scaling.shift

    @property
    def scale(self) -> np.ndarray:
        """What raw samples are divided by after that; it broadcasts with one."""
        return np.ones(()) if self.signature.scaling is None else self.signature.scaling.scale

    def __getstate__(self):
        return vars(self) | {"_kept": {}}  # what is scaled can be scaled again

    def __repr__(self):
        sizes = f"{len(self.y_train)} + {len(self.y_valid)} + {len(self.y_test)}"
        gives = f"{self.n_classes} classes" if self.n_classes else f"{self.n_outputs} numbers"
        return f"Dataset({self.name!r}, {sizes} samples of shape {self.shape}, {gives})"


Data = (str | os.PathLike[str] | tuple[ArrayLike, ArrayLike] | Mapping[str, ArrayLike] | Callable[[], object]
        | Dataset)
Scaling = str | Callable[[np.ndarray, float | None], tuple[ArrayLike, ArrayLike]]


def load_data(data: Data = "digits", *, rng: Seed = 0, scaling: Scaling = "unit", valid: float | None = None,
              test: float | None = None, target: str | int | None = None, task: str | None = None,
              dtype: Dtype = np.float32, model: object = None) -> Dataset:
    """Load a data set and split it: by class, or for numbers at random.

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
    task : {"classification", "regression"}, optional
        Whether the targets are classes or numbers. By default that of the `model`, else classes; numbers that are not
        whole, or of which many differ, are an error without it.
    dtype : type or str
        numpy.float32 or numpy.float64, of what `Dataset.scaled` returns.
    model : Model or Predictor, optional
        One that is trained: the data are held to its signature, which becomes theirs. Columns are put in its order,
        labels are matched by name, some classes may be absent, and no scaling is fitted.

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
    signature = getattr(model, "signature", None)
    raw = find(data, target, None if signature is None else signature.target)
    kind = kind_of(task, None if signature is None else signature.task)
    return _prepare(raw, rng, scaling if signature is None else "none", valid, test, dtype, signature, kind)


def load_rows(data: Data, model: object, *, target: str | int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Load all rows and labels of a data set as a trained model takes them: nothing is split and nothing is fitted.

    Parameters
    ----------
    data : str, os.PathLike, tuple, mapping or callable
        As for `load_data`.
    model : Model or Predictor
        One with a signature. Columns are put in its order; labels are matched by name later, where they are used.
    target : str or int, optional
        As for `load_data`; by default the column that the model learnt, where the table has it.

    Returns
    -------
    tuple of numpy.ndarray
        Raw rows ``(n, *shape)``, and labels (n,).

    Raises
    ------
    UnknownName, FileError, InvalidValue, InvalidType
        As for `load_data`; but a single row will do, or a single class.
    """
    raw = find(data, target, model.signature.target, ask=model.signature.feature_names is None)
    X = model.signature.arranged(raw.X, column_names(raw))
    y, _ = as_targets(raw.y, model.signature.task, raw.target)
    if not 0 < len(X) == len(y):
        raise InvalidValue(f"X has {len(X)} samples and y {len(y)} labels; wanted one label for each sample")
    return X, y


def from_arrays(X: ArrayLike, y: ArrayLike, *, rng: Seed = 0, scaling: Scaling = "unit", valid: float = VALID,
                test: float = TEST, task: str | None = None, dtype: Dtype = np.float32,
                name: str = "arrays") -> Dataset:
    """Make a data set of arrays, split by class, or for numbers at random.

    Parameters
    ----------
    X : array_like
        Samples (n, d), (n, h, w) or (n, h, w, c).
    y : array_like
        Labels (n,), whole numbers or text; or numbers, (n,) or (n, k).
    rng : int, numpy.random.Generator or None
        What the parts are drawn by.
    scaling : str or callable
        As for `load_data`.
    valid, test : float
        The parts' shares of all samples.
    task : {"classification", "regression"}, optional
        As for `load_data`.
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
    return _prepare(Raw(name, X, y), rng, scaling, valid, test, dtype, kind=kind_of(task))


def _prepare(raw, rng, scaling, valid, test, dtype, signature=None, kind=None):
    """Check and split; fit the signature on the training part unless one is given."""
    if dtype not in (np.float32, np.float64, "float32", "float64"):
        raise InvalidValue(f"dtype={quoted(repr(dtype))}; wanted float32 or float64")
    rule = check_choice("scaling", scaling, SCALINGS)
    (y, kind), X, names = as_targets(raw.y, kind, raw.target), _as_samples(raw.X), column_names(raw)
    codes, classes = _as_codes(y) if kind == "classes" else (np.zeros(len(y), np.int64), None)
    if len(X) != len(y):
        raise InvalidValue(f"X has {len(X)} samples and y {len(y)} labels; wanted one label for each sample")
    parts = _split(raw, codes, 1 if classes is None else len(classes), rng, valid, test)
    if signature is None:
        fitted = tuple(rule(X[parts[0]], raw.full_scale))
        of_targets = standard_targets(y[parts[0]]) if kind == "numbers" else None
        signature = Signature(X.shape[1:], classes, fitted, names, kind, raw.target, of_targets)
    else:
        X, classes = signature.arranged(X, names), classes if signature.classes is None else signature.classes
        signature.codes(y)  # which refuses unknown labels
    signature.rows(np.stack([X.min(axis=0), X.max(axis=0)]), dtype)  # where these are finite, all are
    name = scaling if isinstance(scaling, str) else rule.__name__
    arrays = [array[rows] for rows in parts for array in (X, y)]
    n_classes = 0 if classes is None else len(classes)
    return Dataset(raw.name, *arrays, signature.shape, n_classes, classes, name, signature, dtype)


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
        many = f", for {n_classes} classes" * (n_classes > 1)
        problem = f"{name} would have {size} samples and {max(left, 0)} would be left{many}"
        raise InvalidValue(f"{problem}; change {name}=, or give more samples")
    counts = np.bincount(y[rows], minlength=n_classes)
    if n_classes > 1 and counts.min() < 2:
        rare = f"class {counts.argmin()} (in order) has {counts.min()} samples left for {name} and training"
        raise InvalidValue(f"{rare}; wanted at least 2: take that class out, or set {name}=0")
    from sklearn.model_selection import train_test_split

    seed = int(generator.integers(SEEDS))
    rest, part = train_test_split(rows, test_size=size, stratify=y[rows] if n_classes > 1 else None, random_state=seed)
    return np.sort(rest), np.sort(part)


def _generator(rng):
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"rng={quoted(repr(rng))}; wanted a whole number of at least 0, or a Generator") from error
