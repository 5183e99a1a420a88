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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from minnet.csr import SparseRows, is_sparse, range_of
from minnet.data.drawing import TEST, VALID, split_rows
from minnet.data.joining import form_for, is_source, raw_rows, with_parts
from minnet.data.kinds import Told, check_told, fit_encoding
from minnet.data.scaling import SCALINGS, of_encoded
from minnet.data.signature import Signature, check_keeps_zeros
from minnet.data.sources import Raw, column_names, find, is_table
from minnet.data.tasks import as_targets, ask_which, class_column, kind_of, standard_targets
from minnet.delimited import Target, check_format
from minnet.errors import InvalidValue, check_choice, quoted
from minnet.typing import ArrayLike, Dtype, Seed


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in three parts, with rows and labels as the user's file has them.

    Attributes
    ----------
    name : str
        Its name, or that of its file.
    X_train, X_valid, X_test : numpy.ndarray or scipy.sparse.csr_array
        Samples ``(n, *shape)``, unscaled; images have their channels last. Rows that were given sparse are CSR.
    y_train, y_valid, y_test : numpy.ndarray
        Labels (n,), whole numbers or text; or numbers to learn, (n,) or (n, k); or several labels a row, 0 and 1
        (n, k).
    shape : tuple of int
        Shape of one sample: (d,) or (h, w, c).
    n_classes : int
        The number of classes, or of labels where a row has several; 0 of numbers.
    classes : numpy.ndarray or None
        The labels (n_classes,) that occur, in order: that of output i of a model at place i. Where a row has several
        labels, their names: those of the columns in a table, else 0 ... k-1. None of numbers.
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

    def inputs(self, part: str, signature: Signature, dtype: Dtype) -> tuple[np.ndarray | SparseRows, np.ndarray]:
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
            Inputs ``(n, *shape)``, SparseRows of CSR, and codes (n,) of the labels, or scaled numbers (n, k), or
            bool (n, k).

        Raises
        ------
        InvalidValue, InvalidType, NotFinite
            The rows or labels are not those of the signature.
        """
        kept = self._kept.get(part)
        if kept is not None and kept[0] == np.dtype(dtype) and (kept[1] is signature or kept[1] == signature):
            return kept[2]
        X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
        found = signature.rows(X, dtype, self.signature.raw_names), signature.codes(y)
        if part != "test":
            self._kept[part] = np.dtype(dtype), signature, found
        return found

    def scaled(self, X: ArrayLike) -> np.ndarray:
        """Check new samples and scale them as the training part was.

        Parameters
        ----------
        X : array_like or scipy.sparse matrix
            Raw samples ``(n, *shape)``.

        Returns
        -------
        numpy.ndarray or scipy.sparse.csr_array
            (X - shift) / scale, in `dtype`; CSR of sparse samples.

        Raises
        ------
        InvalidValue, InvalidType, NotFinite
            `X` has another shape, holds no real numbers, or NaN or infinity.
        """
        found = self.signature.rows(X, self.dtype)
        return found.tocsr() if isinstance(found, SparseRows) else found

    @property
    def n_outputs(self) -> int:
        """How many outputs a model for it has: one for each class, or for each number of a row."""
        return self.n_classes or (1 if self.y_train.ndim == 1 else self.y_train.shape[1])

    @property
    def gives(self) -> tuple[str, int]:
        """The task of its signature, and how many classes or labels there are."""
        return self.signature.task, self.n_classes

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
        kind = "numbers" if not self.n_classes else "labels" if self.signature.task == "multilabel" else "classes"
        gives = f"{self.n_outputs} {kind}"
        return f"Dataset({self.name!r}, {sizes} samples of shape {self.shape}, {gives})"


Data = (str | os.PathLike[str] | tuple[ArrayLike, ArrayLike] | Mapping[str, ArrayLike] | Callable[[], object]
        | Dataset)
Scaling = str | Callable[[np.ndarray, float | None], tuple[ArrayLike, ArrayLike]]


def load_data(data: Data = "digits", *, rng: Seed = 0, scaling: Scaling = "unit", valid: float | Data | None = None,
              test: float | Data | None = None, target: Target = None, task: str | None = None,
              dtype: Dtype = np.float32, model: object = None, delimiter: str | None = None,
              header: bool | None = None, decimal: str | None = None, encoding: str | None = None,
              ignore: str | int | Iterable[str | int] = (), text: str | int | Iterable[str | int] = (),
              categories: str | int | Iterable[str | int] = (), missing: str | None = None, words: int | None = None,
              hashed: bool | None = None) -> Dataset:
    """Load a data set and split it: by class, or for numbers and several labels a row at random.

    Parameters
    ----------
    data : str, os.PathLike, tuple, mapping, callable or Dataset
        A name in `DATASETS`; a file, told by its content: a NumPy archive (.npz) with X and y, or with official parts
        (X_train, y_train, X_test, y_test, or x_train, train_images, train_labels, val_images and the like), or a table
        (.csv); a folder with MNIST's four IDX files; a pair (X, y) or a mapping with these keys, where X may be a
        matrix of scipy.sparse, which stays sparse; or a function without arguments that returns a `Raw` or such
        arrays. A Dataset is returned as it is.
    rng : int, numpy.random.Generator or None
        What the parts are drawn by.
    scaling : str or callable
        A name in `SCALINGS`, or a function (X_train, full_scale) -> (shift, scale). Of sparse rows the shift must be
        0: "unit" and "max" divide each feature by its largest size, "standard" is an error; in tables with words or
        many categories "standard" is for the columns of numbers, and the others are divided by their largest size.
    valid : float or data, optional
        The validation part's share of all samples, by default 0.1; of all that is not the official test part where
        there is one, by default 1/12. Or the part itself, as a file or arrays; an official one is kept.
    test : float or data, optional
        The test part's share of all samples, by default 0.2; or the part itself, as a file or arrays, whose columns and
        labels are matched by name. An official test part is kept.
    target : str, int or sequence of these, optional
        The column of a table with the classes, by name or number (the last one), or the member of an archive ("y"); or
        several columns of numbers, or of 0 and 1.
    task : {"classification", "regression", "multilabel"}, optional
        Whether the targets are classes or numbers, or columns of 0 and 1 for several labels a row, which is the loss
        binary_cross_entropy. By default that of the `model`, else classes; numbers that are not whole, or of which many
        differ, are an error without it, and so is a matrix of 0 and 1.
    dtype : type or str
        numpy.float32 or numpy.float64, of what `Dataset.scaled` returns.
    model : Model or Predictor, optional
        One that is trained: the data are held to its signature, which becomes theirs. Columns are put in its order,
        labels are matched by name, some classes may be absent, and no scaling is fitted.
    delimiter : str, optional
        What separates the columns of a table: one character, "tab" or "space"; found out by default.
    header : bool, optional
        Whether the first line of a table names its columns; found out by default.
    decimal : {".", ","}, optional
        The decimal mark of a table; found out by default.
    encoding : str, optional
        Of a table, as "latin-1"; UTF-8 by default.
    ignore : str, int or iterable of these
        Columns of a table that are not read, by name or number, such as an index.
    text, categories : str, int or iterable of these
        Columns of a table or of arrays, by name or number, that hold text, which becomes counts of words, or
        categories, such as codes, each of which becomes a column of 0 and 1. By default columns of text are categories
        where few texts occur, text where they are mostly different and hold spaces, and an error where neither holds.
    missing : {"median", "error"}, optional
        What is done about missing numbers, NaN or the like: "median" fills in that of the training part, as is the
        default for tables; arrays are refused by default, and tables by "error". Infinity is always refused. Missing
        are NaN, None, and as the whole text of a cell nothing, NA, N/A, n/a, #N/A, <NA>, NaN, nan, NULL, null, None, ?.
    words : int, optional
        How many words of a column of text are counted, those that occur most, by default 2,000; each has two letters
        or more and must occur in two rows of the training part.
    hashed : bool
        Whether words are hashed into `words` numbers instead, with no list of them.

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
    signature, told = getattr(model, "signature", None), check_told(words, hashed)
    form = form_for(signature, check_format(delimiter, header, decimal, encoding, ignore, text, categories, missing),
                     told)
    learnt, wanted = (None, None) if signature is None else (signature.target, signature.raw_names)
    numbers = signature is not None and signature.encoding is None
    raw = find(data, target, learnt, form=form, wanted=wanted, numbers=numbers)
    given = {part: source for part, source in (("valid", valid), ("test", test)) if is_source(source)}
    raw = with_parts(raw, given, target, form, numbers) if given else raw
    if task == "multilabel" and is_table(data) and target is None and learnt is None:
        raise InvalidValue(f"{quoted(str(data))}: name the columns that hold the labels as 0 and 1, as in --target A "
                           '--target B (in Python target=["A", "B"])')
    valid, test = (None if part in given else share for part, share in (("valid", valid), ("test", test)))
    kind = kind_of(task, None if signature is None else signature.task)
    other = ""
    if is_table(data) and target is None and not form.ignore and isinstance(raw.target, str | None):
        other = class_column(raw.X, raw.feature_names, raw.target)
        if raw.feature_names is None and signature is None and kind in (None, "classes"):
            ask_which(raw.X, raw.y)
    return _prepare(raw, rng, scaling if signature is None else "none", valid, test, dtype, signature, kind,
                    told._replace(kinds=raw.kinds or {}), missing, other)


def load_rows(data: Data, model: object, *, target: Target = None, task: str | None = None,
              delimiter: str | None = None, header: bool | None = None, decimal: str | None = None,
              encoding: str | None = None,
              ignore: str | int | Iterable[str | int] = ()) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Load all rows and labels of a data set as a trained model takes them: nothing is split and nothing is fitted.

    Of a data set that has an official test part they are those of that part.

    Parameters
    ----------
    data : str, os.PathLike, tuple, mapping or callable
        As for `load_data`.
    model : Model or Predictor
        One with a signature. Columns are put in its order; labels are matched by name later, where they are used.
    target : str, int or sequence of these, optional
        As for `load_data`; by default the column that the model learnt, where the table has it.
    task : {"classification", "regression", "multilabel"}, optional
        What the model has learnt; an error where it is another one.
    delimiter, header, decimal, encoding, ignore
        As for `load_data`.

    Returns
    -------
    tuple of numpy.ndarray, numpy.ndarray, str or None
        Raw rows ``(n, *shape)``, targets (n,) or (n, k), and the name of their column or columns where there are any.

    Raises
    ------
    UnknownName, FileError, InvalidValue, InvalidType
        As for `load_data`; but a single row will do, or a single class.
    """
    form = form_for(model.signature, check_format(delimiter, header, decimal, encoding, ignore))
    names, numbers = model.signature.raw_names, model.signature.encoding is None
    raw = find(data, target, model.signature.target, ask=names is None, form=form, wanted=names, numbers=numbers)
    X = model.signature.picked(raw.X, column_names(raw))
    y, _ = as_targets(raw.y, kind_of(task, model.signature.task), raw.target)
    if not 0 < X.shape[0] == len(y):
        raise InvalidValue(f"X has {X.shape[0]} samples and y {len(y)} labels; wanted one label for each sample")
    return X[-raw.n_test:], y[-raw.n_test:], raw.target  # all where there is none


def from_arrays(X: ArrayLike, y: ArrayLike, *, rng: Seed = 0, scaling: Scaling = "unit", valid: float = VALID,
                test: float = TEST, task: str | None = None, dtype: Dtype = np.float32,
                name: str = "arrays") -> Dataset:
    """Make a data set of arrays, split by class, or for numbers and several labels a row at random.

    Parameters
    ----------
    X : array_like or scipy.sparse matrix
        Samples (n, d), (n, h, w) or (n, h, w, c).
    y : array_like
        Labels (n,), whole numbers or text; or numbers, (n,) or (n, k); or 0 and 1 (n, k) for several labels a row,
        dense or scipy.sparse.
    rng : int, numpy.random.Generator or None
        What the parts are drawn by.
    scaling : str or callable
        As for `load_data`.
    valid, test : float
        The parts' shares of all samples.
    task : {"classification", "regression", "multilabel"}, optional
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


def _prepare(raw, rng, scaling, valid, test, dtype, signature=None, kind=None, told=None, missing=None, other=""):
    """Check and split; fit the signature on the training part unless one is given."""
    if dtype not in (np.float32, np.float64, "float32", "float64"):
        raise InvalidValue(f"dtype={quoted(repr(dtype))}; wanted float32 or float64")
    rule = check_choice("scaling", scaling, SCALINGS)
    (y, kind), names = as_targets(raw.y, kind, raw.target, other), column_names(raw)
    X, encoded = raw_rows(raw, names, signature, missing)
    codes, classes = _as_codes(y, other) if kind == "classes" else (np.zeros(len(y), np.int64), None)
    labels = np.zeros(1) if classes is None else classes
    classes = _names_of_labels(y.shape[1], raw.feature_names and raw.target) if kind == "multilabel" else classes
    if X.shape[0] != len(y):
        raise InvalidValue(f"X has {X.shape[0]} samples and y {len(y)} labels; wanted one label for each sample")
    parts = split_rows(raw, codes, labels, rng, valid, test, other)
    if signature is None:
        encoding = fit_encoding(X[parts[0]], names, told or Told()) if encoded else None
        signature = _fitted(raw, X[parts[0]], y[parts[0]], classes, kind, encoding, rule)
    else:
        X, classes = X if encoded else signature.arranged(X, names), \
            classes if signature.classes is None else signature.classes
        signature.codes(y)  # which refuses unknown labels
    if not encoded:
        signature.rows(np.stack(range_of(X)), dtype)  # where these are finite, all are
        if is_sparse(X) and signature.scaling is not None:
            check_keeps_zeros(signature.scaling, X)
    name = scaling if isinstance(scaling, str) else rule.__name__
    arrays = [array[rows] for rows in parts for array in (X, y)]
    n_classes = 0 if classes is None else len(classes)
    return Dataset(raw.name, *arrays, signature.shape, n_classes, classes, name, signature, dtype)


def _fitted(raw, X, y, classes, kind, encoding, rule):
    """Return the signature of these rows and targets, those of the training part."""
    names = column_names(raw) if encoding is None else encoding.encoded_names
    X = X if encoding is None else encoding.apply(X)
    scaling = rule(X, raw.full_scale) if encoding is None else of_encoded(rule, X, encoding.number_places)
    of_targets = standard_targets(y) if kind == "numbers" else None
    return Signature(X.shape[1:], classes, tuple(scaling), names, kind, raw.target, of_targets, encoding=encoding)


def _as_codes(y, other):
    """Return (codes, classes): labels as int64 0..k-1, and the k labels in order."""
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        name, way = ("the last column", f": if another one holds them, --target{other}") if other else ("y", "")
        raise InvalidValue(f"{name} holds {len(classes)} classes ({quoted(str(classes.tolist()))}); wanted two or "
                           f"more{way}")
    return codes.astype(np.int64), classes


def _names_of_labels(k, target):
    """Return the name of each of k labels, of which a row has any number: that of its column, else its number."""
    return np.arange(k) if target is None else np.array([target] if isinstance(target, str) else target)
