"""Data sets: what comes in right comes out right, and what is hostile or hopeless is refused in one line."""

import gzip
import subprocess
import sys
import tracemalloc
from decimal import Decimal
from http.client import HTTPException
from urllib.error import URLError

import numpy as np
import pytest
from each import each
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from minnet.arrays import check_X
from minnet.data import DATASETS, SCALINGS, Raw, from_arrays, load_data
from minnet.errors import FileError, InvalidType, InvalidValue, MinnetError, NotFinite, UnknownName

MIB = 2**20
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = np.repeat([0, 1, 2], 20)


def refused(error, call, *words):
    """`call` raises `error` in one printable line that holds the words, and takes no memory to speak of."""
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert isinstance(caught.value, MinnetError) and message.isprintable() and len(message) < 2000
    for word in words:
        assert word in message
    assert peak < 16 * MIB


def inputs(data, *parts):
    """Rows of the parts as a model takes them that was trained on the data."""
    return np.concatenate([data.scaled(getattr(data, f"X_{part}")) for part in parts or ("train", "valid", "test")])


# --- the digits, and the parts of any data set ------------------------------------------------------------------------

def test_digits_are_images_in_the_unit_interval():
    from sklearn.datasets import load_digits

    data = load_data()
    raw = load_digits()
    assert data.name == "digits" and data.shape == (8, 8, 1) and data.n_classes == 10
    np.testing.assert_array_equal(np.unique(data.X_train), range(17))
    assert data.y_train.dtype == np.int64
    images = inputs(data)
    assert images.dtype == np.float32
    labels = np.concatenate([data.y_train, data.y_valid, data.y_test])
    assert images.shape == (1797, 8, 8, 1) and images.flags.c_contiguous
    assert images.min() == 0 and images.max() == 1
    found = sorted((image.tobytes(), label) for image, label in zip(images, labels, strict=True))
    wanted = zip((raw.images / 16).astype(np.float32), raw.target, strict=True)
    assert found == sorted((image.tobytes(), label) for image, label in wanted)
    assert len(data.y_test) == 359 and len(data.y_valid) == 180


@pytest.mark.parametrize("valid, test", [(0.1, 0.2), (0.25, 0.25), (0, 0.5), (0.3, 0), (0, 0)])
def test_parts_are_disjoint_stratified_and_of_the_asked_size(valid, test):
    n = 300
    X, y = np.arange(n, dtype=float)[:, None], np.arange(n) % 3
    data = from_arrays(X, y, scaling="none", valid=valid, test=test)
    parts = [data.X_train, data.X_valid, data.X_test]
    assert [len(part) for part in parts[1:]] == [round(valid * n), round(test * n)]
    assert sorted(np.concatenate(parts)[:, 0]) == list(range(n))
    for part, labels in zip(parts, [data.y_train, data.y_valid, data.y_test], strict=True):
        assert (labels == part[:, 0] % 3).all(), "a label lost its sample"
        if len(labels):
            counts = np.bincount(labels)
            assert counts.max() - counts.min() <= 1


def test_the_seed_alone_fixes_the_split():
    def rows(rng):
        return [part.tobytes() for part in (load_data(rng=rng).X_train, load_data(rng=rng).X_test)]

    before = np.random.get_state()[1].tobytes()  # noqa: NPY002 - what must not be touched
    assert rows(3) == rows(3) != rows(4)
    assert load_data(rng=np.random.default_rng(3)).X_test.tobytes() == load_data(rng=3).X_test.tobytes()
    assert len(load_data(rng=None).X_test) == 359
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


@pytest.mark.parametrize("scaling", [*SCALINGS, lambda X, full_scale: (X.mean(0), 2.0)])
@pytest.mark.parametrize("shape", [(40, 3), (40, 4, 5), (40, 4, 5, 2)])
def test_scaling_learns_from_the_training_part_alone(scaling, shape):
    """Changing the other parts changes nothing in the training part."""
    X, y = np.random.default_rng(1).normal(3, 2, shape), np.arange(40) % 2
    data = from_arrays(X, y, scaling=scaling)
    where = {part.tobytes(): i for i, part in enumerate(from_arrays(X, y, scaling="none", dtype=np.float64).X_train)}
    spoilt = X + 1000
    kept = [i for i, row in enumerate(X.reshape(40, *data.shape)) if row.tobytes() in where]
    spoilt[kept] = X[kept]
    assert len(kept) == len(data.X_train)
    assert from_arrays(spoilt, y, scaling=scaling).signature == data.signature


@pytest.mark.parametrize("shape", [(2000, 3), (2000, 2, 3), (2000, 2, 3, 4)])
def test_standard_scaling_is_scikit_learns(shape):
    from sklearn.preprocessing import StandardScaler

    X = np.random.default_rng(2).normal(1e3, 5, shape)
    data = from_arrays(X, np.arange(2000) % 2, scaling="standard", dtype=np.float64)
    raw = from_arrays(X, np.arange(2000) % 2, scaling="none", dtype=np.float64)
    channels = raw.shape[-1]
    wanted = StandardScaler().fit(raw.X_train.reshape(-1, channels)).transform(raw.X_test.reshape(-1, channels))
    np.testing.assert_allclose(inputs(data, "test").reshape(-1, channels), wanted, rtol=1e-9, atol=1e-9)


def test_unit_scaling_of_a_table_is_by_feature():
    X = np.array([[0, 5, 7], [10, 6, 7], [5, 5.5, 7]] * 4, dtype=float)
    data = from_arrays(X, [0, 1, 0] * 4, valid=0, test=0)
    np.testing.assert_array_equal(np.unique(inputs(data), axis=0), [[0, 0, 0], [0.5, 0.5, 0], [1, 1, 0]])


@pytest.mark.parametrize("X, top", [(np.full((8, 4, 4), 255, np.uint8), 1), (np.full((8, 4, 4), 0.25), 0.25),
                                    (np.array([[[0]], [[4]]] * 4), 1), (np.array([[[0]], [[51.0]]] * 4), 1),
                                    (np.array([[[0]], [[204]]] * 4, np.int16), np.float32(0.8)),
                                    (np.array([[[0]], [[1000]]] * 4), 1), (np.array([[[0]], [[1]]] * 4, bool), 1)])
def test_unit_scaling_of_images(X, top):
    data = from_arrays(X, [0, 1] * 4, valid=0, test=0)
    assert inputs(data).max() == top and inputs(data).min() >= 0


@each("shape", [(40, 6), (40, 2, 3), (40, 2, 3, 1)])
@each("top", [1, 16, 127, 128, 255])
@each("scaling", SCALINGS)
def test_the_same_values_in_any_dtype_are_the_same_data(shape, top, scaling):
    """One-hot rows and masks as bytes are not divided by 255; images of 0 to 16 are the same whatever holds them."""
    X = np.random.default_rng(3).integers(0, top + 1, shape)
    X[0], X[1] = 0, top
    data = [from_arrays(X.astype(dtype), np.arange(40) % 2, scaling=scaling)
            for dtype in ("u1", "i2", "i8", "f4", "f8", ">f8")]
    assert len({inputs(part).tobytes() for part in data}) == 1
    assert all(part.signature == data[0].signature for part in data)


@given(hnp.arrays(np.int16, (12, 2, 3), elements=st.integers(-300, 300)), st.sampled_from([1, 0.25, 1e-3, 7]))
def test_zeros_of_images_stay_zeros(X, step):
    data = from_arrays(X * step, np.arange(12) % 2, valid=0, test=0)
    np.testing.assert_array_equal(inputs(data)[..., 0] == 0, X == 0)
    assert np.abs(inputs(data)).max() <= 1


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("value", [0.1, 0, 1e-40, 1e30, -7])
def test_a_constant_feature_harms_nothing(scaling, value):
    X = np.column_stack([np.full(60, value), np.arange(60)])
    data = from_arrays(X, Y, scaling=scaling)
    assert np.isfinite(inputs(data)).all()
    assert np.ptp(inputs(data, "train")[:, 0]) == 0


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("make", [lambda X: X, lambda X: X.astype(np.float32), lambda X: (X * 10).astype(np.int16)])
def test_rows_and_labels_are_those_of_the_file(scaling, make):
    """Whatever the scaling, a Dataset holds what was given; what takes rows scales them once: (X - shift) / scale."""
    given = make(X)
    data = from_arrays(given, np.array(["c", "a", "b"])[Y], scaling=scaling, test=0, valid=0)
    assert data.X_train.dtype == given.dtype and data.X_train.tobytes() == given.tobytes()
    assert data.y_train.tolist() == np.array(["c", "a", "b"])[Y].tolist()
    wanted = ((given.astype(np.float64) - data.shift) / data.scale).astype(np.float32)
    assert data.scaled(given).tobytes() == wanted.tobytes()
    found, codes = data.inputs("train", data.signature, np.float32)
    assert found.tobytes() == wanted.tobytes() and data.classes[codes].tolist() == data.y_train.tolist()
    assert data.inputs("train", data.signature, np.float32)[0] is found, "scaled once and kept"
    refused(InvalidValue, lambda: data.scaled(X[:, :2]), "(60, 2)")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float64"])
def test_the_dtype_is_as_asked(dtype):
    assert from_arrays(X, Y, dtype=dtype).scaled(X).dtype == np.dtype(dtype)


def test_importing_data_loads_no_scikit_learn():
    script = "import sys, minnet.data; print({'sklearn', 'scipy', 'numba', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- labels -----------------------------------------------------------------------------------------------------------

LABELS = {
    "strings": ["no", "yes"], "bytes": [b"a", b"b"], "negative": [-1, 1], "gaps": [5, 7, 9], "floats": [1.0, 2.0],
    "bools": [False, True], "bytes of 8 bits": list(np.array([0, 255], np.uint8)), "large": [2**40, 2**40 + 1],
    "objects": np.array(["x", "yy"], object), "control": ["a", "\x1b[31m"],
}


@each("name", LABELS)
@each("make", [np.asarray, list, lambda y: np.asarray(y)[:, None], lambda y: np.asarray(y)[::1]])
def test_labels_are_kept_and_become_codes_by_name(name, make):
    classes = LABELS[name]
    y = [classes[i % len(classes)] for i in range(60)]
    data = from_arrays(np.arange(60.0)[:, None], make(y), scaling="none")
    assert data.n_classes == len(classes)
    classes = [label.decode() if isinstance(label, bytes) else label for label in classes]  # which files can hold
    assert list(data.classes) == sorted(classes)
    y = [classes[i % len(classes)] for i in range(60)]
    for part, labels in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert labels.tolist() == [y[int(row)] for row in part[:, 0]]
        codes = data.signature.codes(labels)
        assert codes.dtype == np.int64 and data.classes[codes].tolist() == labels.tolist()


BAD_Y = {
    "no label": ([None, *["a", "b", "c"] * 20][:60], NotFinite, "1 values that are missing, the first in row 0"),
    "a label that is NaN": (["a", "b", np.nan] * 20, NotFinite, "20 values that are missing, the first in row 2"),
    "one class": (np.zeros(60), InvalidValue, "1 classes"),
    "empty": (np.zeros(0), InvalidValue, "0 classes"),
    "too short": (Y[:-1], InvalidValue, "60 samples and y 59"),
    "one-hot": (np.eye(3)[Y], InvalidValue, "argmax(axis=1)"),
    "0-d": (3, InvalidValue, "shape ()"),
    "nan": (np.where(np.arange(60) == 7, np.nan, Y), NotFinite, "row 7"),
    "inf": (np.where(np.arange(60) == 7, np.inf, Y), NotFinite, "1 values"),
    "regression": (Y + 0.25, InvalidValue, "0.25"),
    "complex": (Y + 0j, InvalidType, "complex"),
    "dates": (Y.astype("M8[s]"), InvalidType, "dates"),
    "None": ([None] * 60, NotFinite, "60 values"),
    "ragged": ([[0], [1, 2]] * 30, InvalidType, "array"),
    "a class of one": (np.where(np.arange(60) == 7, 9, Y), InvalidValue, "at least 2"),
    "a class a sample": (np.arange(60), InvalidValue, "60 different numbers"),
    "one hundred classes": (np.arange(60) // 2, InvalidValue, "30 different numbers"),
}


@pytest.mark.parametrize("name", BAD_Y)
def test_bad_labels_are_refused(name):
    y, error, words = BAD_Y[name]
    refused(error, lambda: from_arrays(X, y), words)


# --- samples ----------------------------------------------------------------------------------------------------------

def spoilt(value, *rows):
    """X with the value in the first column of these rows."""
    array = X.copy()
    array[list(rows), 0] = value
    return array


BAD_X = {
    "nan first": (spoilt(np.nan, 0), NotFinite, "1 values", "row 0"),
    "nan last": (spoilt(np.nan, 59), NotFinite, "1 values", "row 59"),
    "inf and nan": (spoilt(np.inf, 3, 4), NotFinite, "2 values", "row 3"),
    "inf and -inf": (np.where(np.arange(5) == 1, [[np.inf], [-np.inf]] * 30, 0), NotFinite, "60 values"),
    "too large": (spoilt(1e300, 2), NotFinite, "float32"),
    "too short": (X[:-1], InvalidValue, "59 samples and y 60"),
    "1-D": (X[:, 0], InvalidValue, "(60,)", "reshape(-1, 1)"),
    "0-D": (3.0, InvalidValue, "shape ()"),
    "5-D": (X.reshape(60, 5, 1, 1, 1), InvalidValue, "(60, 5, 1, 1, 1)"),
    "no rows": (np.zeros((0, 5)), InvalidValue, "(0, 5)"),
    "no features": (np.zeros((60, 0)), InvalidValue, "(60, 0)"),
    "strings": (X.astype(str), InvalidType, "text"),
    "strings as objects": (X.astype(str).astype(object), InvalidType, "text"),
    "None": (None, InvalidType, "X is None"),
    "None in a row": ([[1, 2, 3, 4, None]] * 60, NotFinite, "60 values"),
    "ragged": ([[1], [1, 2]] * 30, InvalidType, "X "),
    "a mapping": ({"a": 1}, InvalidType, "X "),
    "complex": (X + 0j, InvalidType, "complex"),
    "dates": (X.astype("M8[s]"), InvalidType, "dates"),
    "times": (X.astype("m8[s]"), InvalidType, "times"),
    "structured": (np.zeros(60, [("a", float)]), InvalidType, "objects"),
    "sparse, complex": (sparse.csr_array(X + 0j), InvalidType, "complex"),
    "masked": (np.ma.masked_greater(X, 1), InvalidType, "masked"),
    "too large an integer": (np.full((60, 5), 10**400, dtype=object), InvalidType, "X "),
}


@pytest.mark.parametrize("name", BAD_X)
def test_bad_samples_are_refused(name):
    bad, error, *words = BAD_X[name]
    refused(error, lambda: from_arrays(bad, Y, scaling="none"), *words)


OPTIONS = {
    "valid": [(-0.1, InvalidValue), (1.1, InvalidValue), (np.nan, InvalidValue), ("0.1", InvalidType),
              (True, InvalidType), (20, InvalidValue), (0.001, None), (0.03, InvalidValue), (0.8, InvalidValue)],
    "test": [(-0.1, InvalidValue), (20, InvalidValue), (None, None), (1, InvalidValue), (0.99, InvalidValue),
             (Decimal("0.2"), InvalidType)],
    "rng": [(-1, InvalidValue), ("0", InvalidValue), (2**200, None), (None, None), (1.5, InvalidValue)],
    "scaling": [("units", UnknownName), (None, UnknownName)],
    "dtype": [(np.float16, InvalidValue), (int, InvalidValue), ("nonsense", InvalidValue), ("S", InvalidValue)],
}


@pytest.mark.parametrize("name, value, error", [(name, *row) for name, rows in OPTIONS.items() for row in rows])
def test_options_are_checked(name, value, error):
    if error is None:
        assert load_data((X, Y), **{name: value}).n_classes == 3
    else:
        refused(error, lambda: load_data((X, Y), **{name: value}))


def test_percent_is_answered_by_a_question():
    refused(InvalidValue, lambda: from_arrays(X, Y, test=20), "test=20", "0.2?")


# --- where data come from ---------------------------------------------------------------------------------------------

def save_idx(path, array):
    code = {"u1": 8, "i4": 0x0C}[array.dtype.str[1:]]
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    data = head + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def small_mnist(folder, suffix="", images=(120, 24), labels=(120, 24)):
    """A folder as MNIST's, of blank images whose first pixel is their label times 25."""
    folder.mkdir(parents=True)
    for part, n_images, n_labels in zip(("train", "t10k"), images, labels, strict=True):
        pixels = np.zeros((n_images, 4, 4), np.uint8)
        pixels[:, 0, 0] = np.arange(n_images) % 10 * 25
        save_idx(folder / f"{part}-images-idx3-ubyte{suffix}", pixels)
        save_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", (np.arange(n_labels) % 10).astype(np.uint8))
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_official_sets_keep_their_test_part(tmp_path, monkeypatch, name, suffix):
    small_mnist(tmp_path / name, suffix)
    monkeypatch.setenv("MINNET_DATA", str(tmp_path))
    data = load_data(name)
    assert (data.name, data.shape, data.n_classes) == (name, (4, 4, 1), 10)
    assert (len(data.y_train), len(data.y_valid), len(data.y_test)) == (110, 10, 24)
    assert data.y_test.tolist() == [i % 10 for i in range(24)]
    assert np.bincount(data.y_valid).tolist() == [1] * 10
    for part, labels in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        np.testing.assert_array_equal(part[:, 0, 0, 0], labels * 25)
        np.testing.assert_array_equal(data.scaled(part)[:, 0, 0, 0], (labels * 25 / 255).astype(np.float32))
    assert len(load_data(name, valid=0.5).y_valid) == 60
    refused(InvalidValue, lambda: load_data(name, test=0.1), "official")
    assert load_data(tmp_path / name).X_train.tobytes() == data.X_train.tobytes(), "the folder itself is data too"


@pytest.mark.parametrize("name, mean, labels", [("mnist", 0.130660, [7, 2, 1]), ("fashion-mnist", 0.286040, [9, 2, 1])])
def test_the_real_sets(data_folder, name, mean, labels):
    """Their sizes, their first test labels, and the known mean of their 60,000 training images."""
    data = load_data(name)
    assert (len(data.y_train), len(data.y_valid), len(data.y_test)) == (55_000, 5_000, 10_000)
    assert data.shape == (28, 28, 1) and data.classes.tolist() == list(range(10))
    assert data.y_test[:3].tolist() == labels
    total = sum(part.sum(dtype=np.float64) / 255 for part in (data.X_train, data.X_valid))
    assert abs(total / (60_000 * 28 * 28) - mean) < 1e-6


class Bunch:
    def __init__(self, n):
        self.target = np.array([str(i % 10) for i in range(n)], object)
        self.data = np.repeat(np.arange(n)[:, None] % 10 * 25, 784, axis=1)


def test_without_files_the_sets_come_through_scikit_learn(monkeypatch, tmp_path):
    monkeypatch.setattr("minnet.data.sources.OFFICIAL_TEST", 20)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: Bunch(140))
    for folder in (None, str(tmp_path)):
        monkeypatch.delenv("MINNET_DATA", raising=False)
        if folder:
            monkeypatch.setenv("MINNET_DATA", folder)
        data = load_data("mnist")
        assert (len(data.y_train), len(data.y_valid), len(data.y_test)) == (110, 10, 20)
        assert data.shape == (28, 28, 1) and data.classes.tolist() == list(range(10))


@pytest.mark.parametrize("error", [URLError("no network"), ValueError("unknown set"), HTTPException("cut")])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_without_files_and_network_the_way_out_is_told(monkeypatch, error, name):
    def fetch_openml(*args, **options):
        raise error

    monkeypatch.delenv("MINNET_DATA", raising=False)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    refused(FileError, lambda: load_data(name), name, "MINNET_DATA is not set", str(error), "four IDX files")


def test_mixed_up_folders_are_refused(tmp_path):
    small_mnist(tmp_path / "counts", labels=(119, 24))
    refused(FileError, lambda: load_data(tmp_path / "counts"), "119", "mixed up")
    missing = small_mnist(tmp_path / "missing")
    (missing / "t10k-labels-idx1-ubyte").unlink()
    refused(FileError, lambda: load_data(missing), "t10k-labels-idx1-ubyte.gz", "put the four IDX files")
    swapped = small_mnist(tmp_path / "swapped")
    (swapped / "train-images-idx3-ubyte").replace(swapped / "train-labels-idx1-ubyte")
    save_idx(swapped / "train-images-idx3-ubyte", np.zeros((3, 2, 2), np.uint8))
    refused(FileError, lambda: load_data(swapped), "labels were wanted")
    shapes = small_mnist(tmp_path / "shapes")
    save_idx(shapes / "t10k-images-idx3-ubyte", np.zeros((24, 5, 5), np.uint8))
    refused(FileError, lambda: load_data(shapes), "(24, 5, 5)")


def a_function():
    return X, Y


def a_raw_function():
    return Raw("mine", X, Y)


@pytest.mark.parametrize("given_data, name", [
    ((X, Y), "arrays"), ({"X": X, "y": Y}, "arrays"), (a_function, "a_function"), (a_raw_function, "mine"),
    (from_arrays(X, Y), "arrays"), ((X.tolist(), Y.tolist()), "arrays"),
], ids=["pair", "mapping", "function", "function of a Raw", "Dataset", "lists"])
def test_arrays_and_functions_are_data(given_data, name):
    data = load_data(given_data)
    assert data.name == name and data.X_train.tobytes() == from_arrays(X, Y).X_train.tobytes()


@pytest.mark.parametrize("given_data", [3, None, (X,), (X, Y, Y), {"X": X}, [X, Y, 3], lambda: 3])
def test_what_is_no_data_is_refused(given_data):
    refused(InvalidType, lambda: load_data(given_data), "give a name, a file")


@pytest.mark.parametrize("path", ["mine.npz", "mine.csv", "./mine", "/no/such/mine", "/a\0b", "x" * 300 + ".csv"])
def test_a_missing_file_is_a_file_problem(path):
    refused(FileError, lambda: load_data(path), "(")


def test_a_name_that_is_nearly_right_is_answered():
    refused(UnknownName, lambda: load_data("minst"), "did you mean mnist", *DATASETS, "FILE.npz")
    refused(InvalidValue, lambda: load_data("digits", target="kind"), "target='kind'", "this is 'digits'")


@pytest.mark.parametrize("name", ["data", "data.npz", "data.csv"])
def test_files_are_told_by_content(tmp_path, name):
    path, wanted = tmp_path / name, from_arrays(X, Y).X_train.tobytes()
    with open(path, "wb") as file:
        np.savez(file, X=X, y=Y, kind=Y + 1)
    data = load_data(path)
    assert data.name == "data" and data.X_train.tobytes() == wanted
    assert load_data(str(path), target="kind").classes.tolist() == [1, 2, 3]
    rows = [[*map(repr, map(float, row)), str(label)] for row, label in zip(X, Y, strict=True)]
    path.write_text("\n".join(",".join(row) for row in rows))
    assert load_data(path).X_train.tobytes() == wanted
    path.write_bytes(b"\x80\x04pickle")
    refused(FileError, lambda: load_data(path), "pickle", "no data set")


# --- check_X: samples of a user, as a model wants them ----------------------------------------------------------------

GOOD = np.ascontiguousarray(X, np.float32)


class Subclass(np.ndarray):
    pass


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


SAME = {
    "itself": lambda x: x, "list": lambda x: x.tolist(), "tuple of rows": tuple, "float64": lambda x: x.astype("f8"),
    "long double": lambda x: x.astype(np.longdouble), "objects": lambda x: x.astype(object),
    "F-order": np.asfortranarray, "reversed twice": lambda x: x[::-1].copy()[::-1],
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2], "big-endian": lambda x: x.astype(">f4"),
    "read-only": read_only, "subclass": lambda x: x.view(Subclass), "matrix of rows": lambda x: np.array(x, ndmin=2),
    "masked, none masked": np.ma.MaskedArray, "unaligned": lambda x: np.frombuffer(b"x" + x.tobytes(), "f4", offset=1)
    .reshape(x.shape),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_layout_of_samples_does_not_matter(name, dtype):
    given_X = SAME[name](GOOD.copy())
    before = np.asarray(given_X).tobytes()
    found = check_X(given_X, (5,), dtype)
    assert type(found) is np.ndarray and found.dtype == dtype and found.flags.carray
    assert found.tobytes() == GOOD.astype(dtype).tobytes()
    assert np.asarray(given_X).tobytes() == before


def test_samples_in_a_file_may_be_mapped(tmp_path):
    np.save(tmp_path / "x.npy", GOOD)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert check_X(mapped, (5,), np.float32).tobytes() == GOOD.tobytes()
    assert from_arrays(mapped, Y).X_train.tobytes() == from_arrays(GOOD, Y).X_train.tobytes()


def test_a_zero_stride_is_expanded():
    found = check_X(np.broadcast_to(np.float32(3), (4, 5)), (5,), np.float32)
    assert found.flags.carray and (found == 3).all()


def test_what_is_right_is_not_copied():
    assert check_X(GOOD, (5,), np.float32) is GOOD


@pytest.mark.parametrize("dtype", ["f2", "i1", "u1", "i4", "u8", "?"])
def test_kinds_of_numbers_are_converted(dtype):
    numbers = np.array([[0, 1], [1, 1]], dtype)
    assert check_X(numbers, (2,), np.float32).tolist() == [[0, 1], [1, 1]]
    if dtype == "u1":
        assert check_X(np.full((1, 1), 255, dtype), (1,), np.float32)[0, 0] == 255


@pytest.mark.parametrize("shape", [(5,), (4, 5, 2)])
def test_no_samples_are_samples(shape):
    assert check_X(np.zeros((0, *shape)), shape, np.float32).shape == (0, *shape)


@pytest.mark.parametrize("given_shape, shape, words", [
    ((60, 4), (5,), ["(60, 4)", "(n, 5)"]),
    ((5,), (5,), ["X.reshape(1, -1)"]),
    ((8, 8, 1), (8, 8, 1), ["X[None]"]),
    ((3, 64), (8, 8, 1), ["X.reshape(-1, 8, 8, 1)"]),
    ((3, 8, 8), (8, 8, 1), ["X.reshape(-1, 8, 8, 1)"]),
    ((3, 8, 8, 1), (64,), ["X.reshape(-1, 64)"]),
    ((3, 2, 6, 5), (6, 5, 2), ["channels go last", "transpose(0, 2, 3, 1)"]),
    ((), (5,), ["shape ()"]),
])
def test_another_shape_is_refused_with_the_way_out(given_shape, shape, words):
    refused(InvalidValue, lambda: check_X(np.zeros(given_shape), shape, np.float32), *words)


@pytest.mark.parametrize("name", [name for name, row in BAD_X.items() if row[1] is not InvalidValue])
def test_check_X_refuses_what_cannot_be_computed_with(name):
    bad, error, *_ = BAD_X[name]
    refused(error, lambda: check_X(bad, (5,), np.float32))


@given(hnp.arrays(np.float32, (3, 2), elements=st.floats(width=32)))
def test_finite_samples_pass_and_no_others(values):
    """Also when their sum overflows."""
    if np.isfinite(values).all():
        assert check_X(values, (2,), np.float32).tobytes() == values.tobytes()
    else:
        bad = ~np.isfinite(values)
        row = np.flatnonzero(bad.any(axis=1))[0]
        refused(NotFinite, lambda: check_X(values, (2,), np.float32), f"{bad.sum()} values", f"row {row}")
