"""A signature: the one place that checks and scales rows, and that knows labels by name."""
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minnet.data import Signature
from minnet.errors import InvalidType, InvalidValue, MinnetError, NotFinite

NUMBERS = st.floats(-1e6, 1e6, width=32)
NAMES = st.text(min_size=1, max_size=5)
SHAPES = st.sampled_from([(3,), (1,), (2, 3, 1), (4, 4, 2)])
CLASSES = st.one_of(st.lists(NAMES, min_size=1, max_size=5, unique=True),
                    st.lists(st.integers(-2**60, 2**60), min_size=1, max_size=5, unique=True))


@st.composite
def signatures(draw):
    shape = draw(SHAPES)
    window = draw(st.sampled_from([(), shape, shape[-1:]]))
    scale = hnp.arrays(np.float64, window, elements=st.floats(0.01, 1e4))
    scaling = draw(st.none() | st.tuples(hnp.arrays(np.float64, window, elements=NUMBERS), scale))
    names = st.lists(NAMES, min_size=shape[0], max_size=shape[0], unique=True)
    names = draw(st.none() | names) if len(shape) == 1 else None
    if draw(st.booleans()):
        return Signature(shape, draw(st.none() | CLASSES), scaling, names, target=draw(st.none() | NAMES))
    if draw(st.booleans()):
        several = draw(st.none() | CLASSES)
        target = draw(st.none() | st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple))
        return Signature(shape, several, scaling, names, "multilabel", target)
    k = draw(st.integers(1, 3))
    scale = hnp.arrays(np.float64, (k,), elements=st.floats(0.01, 1e4))
    targets = draw(st.none() | st.tuples(hnp.arrays(np.float64, (k,), elements=NUMBERS), scale))
    target = draw(st.none() | NAMES | st.lists(NAMES, min_size=k, max_size=k, unique=True).map(tuple))
    return Signature(shape, None, scaling, names, "numbers", target, targets)


def rows_for(signature, data, dtype=np.float32):
    return data.draw(hnp.arrays(dtype, (4, *signature.shape), elements=st.integers(0, 100)))


class Table:
    """What pandas and polars have in common: columns by name, and the way to an array."""

    def __init__(self, cells):
        self.cells = cells

    @property
    def columns(self):
        return list(self.cells)

    def __getitem__(self, names):
        return Table({name: self.cells[name] for name in names})

    def __array__(self, dtype=None, copy=None):
        return np.column_stack(list(self.cells.values()))


# --- rows ------------------------------------------------------------------------------------------------------------


@given(signatures(), st.data(), st.sampled_from([np.float32, np.float64]))
def test_rows_are_scaled_in_float64_and_rounded_once(signature, data, dtype):
    X = rows_for(signature, data, np.float64)
    shift, scale = signature.scaling or (0.0, 1.0)
    with np.errstate(all="ignore"):
        wanted = ((X - shift) / scale).astype(dtype)
    for kind in ("u1", "i8", "f4", "f8", ">f4"):
        found = signature.rows(X.astype(kind), dtype)
        assert found.dtype == dtype and found.flags.c_contiguous
        np.testing.assert_array_equal(found, wanted)


@given(signatures(), st.data(), st.randoms())
def test_columns_are_taken_by_name(signature, data, random):
    X = rows_for(signature, data)
    if signature.feature_names is None:
        return
    order = list(range(len(signature.feature_names)))
    random.shuffle(order)
    names = [signature.feature_names[i] for i in order]
    table = Table({name: X[:, i] for name, i in zip(names, order, strict=True)} | {"another column": X[:, 0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert signature.rows(table).tobytes() == signature.rows(X).tobytes()
        assert signature.rows(X[:, order], names=names).tobytes() == signature.rows(X).tobytes()
    del table.cells[names[0]]
    with pytest.raises(InvalidValue, match="X has no columns"):
        signature.rows(table)


def test_another_order_is_said():
    signature = Signature((2,), feature_names=["a", "b"])
    with pytest.warns(UserWarning, match="another order"):
        assert signature.rows([[1, 2]], names=["b", "a"]).tolist() == [[2, 1]]
    assert signature.rows([[1, 2, 3]], names=["a", "x", "b"]).tolist() == [[1, 3]], "in order already: nothing to say"


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_tables_of_other_libraries_are_taken_by_name(name):
    library = pytest.importorskip(name)
    signature = Signature((2,), feature_names=["a", "b"])
    assert signature.rows(library.DataFrame({"a": [1, 2], "x": [0, 0], "b": [3, 4]})).tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("given_shape, shape, told", [
    ((5, 8, 8), (8, 8, 1), False), ((5, 1, 8, 8), (8, 8, 1), False), ((5,), (1,), False), ((0, 8, 8), (8, 8, 1), False),
    ((5, 64), (8, 8, 1), True), ((5, 8, 8), (64,), True), ((5, 3, 8, 8), (8, 8, 3), None), ((5, 63), (8, 8, 1), None),
    ((64,), (64,), None), ((8, 8, 1), (8, 8, 1), None), ((), (1,), None)])
def test_shapes_that_hold_the_same_numbers(given_shape, shape, told):
    """Axes of 1 are put in or left out; flattening is told; nothing else is taken, channels first least of all."""
    X = np.arange(np.prod(given_shape), dtype=float).reshape(given_shape)
    for scaling in (None, (1.0, 2.0)):
        signature = Signature(shape, scaling=scaling)
        if told is None:
            with pytest.raises(InvalidValue, match="X has the shape"):
                signature.rows(X)
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = signature.rows(X)
        assert bool(caught) == told
        np.testing.assert_array_equal(found.ravel(), X.ravel() if scaling is None else (X.ravel() - 1) / 2)


@given(signatures(), st.data())
def test_a_signature_follows_the_shape_of_its_model(signature, data):
    X, flat = rows_for(signature, data), (int(np.prod(signature.shape)),)
    other = signature.reshape(flat)
    assert other.shape == flat
    np.testing.assert_array_equal(other.rows(X.reshape(len(X), -1)), signature.rows(X).reshape(len(X), -1))
    with pytest.raises(InvalidValue, match="the model takes"):
        signature.reshape((*flat, 2))


@pytest.mark.parametrize("X, error", [([[np.nan, 1]], NotFinite), ([[1e300, 1]], NotFinite), (None, InvalidType),
                                      ([["a", "b"]], InvalidType), ([[1, 2], [3]], InvalidType)])
@pytest.mark.parametrize("scaling", [None, (0.0, 1e-10)])
def test_rows_that_are_none(X, error, scaling):
    with pytest.raises(error):
        Signature((2,), scaling=scaling).rows(X)


# --- labels ----------------------------------------------------------------------------------------------------------


@given(CLASSES, st.data())
def test_labels_become_codes_and_come_back(classes, data):
    signature = Signature((1,), classes)
    codes = np.array(data.draw(st.lists(st.integers(0, len(classes) - 1), max_size=20)), int)
    labels = signature.labels(codes)
    assert labels.tolist() == [classes[code] for code in codes]
    assert signature.codes(labels).tolist() == codes.tolist(), "whichever classes occur"


@pytest.mark.parametrize("classes, y", [
    ([0, 1], [False, True]), ([0, 1], [0.0, 1.0]), ([0, 1], ["0", "1"]), ([0, 1], [b"0", b"1"]), (["0", "1"], [0, 1]),
    ([b"a", b"b"], ["a", "b"]), (["a", "b"], np.array([b"a", b"b"])), ([False, True], [0, 1]), ([1.0, 2.0], [1, 2]),
    ([2**62, 2**62 + 1], [2**62, 2**62 + 1]), (None, [0, 1]), ([-1, 1], np.array([[-1], [1]])), ([0, 1], ["0", b"1"])])
def test_labels_are_matched_by_name(classes, y):
    assert Signature((1,), classes).codes(y).tolist() == [0, 1]


MANY = [str(i) for i in range(99)]


@pytest.mark.parametrize("classes, y, word", [(["a", "b"], ["a", "c"], "'c'"), ([0, 1], [2, 1], "2"),
                                              (None, [-1], "-1"), (None, ["a"], "'a'"), (["a"], MANY, "and 89 more")])
def test_unknown_labels_are_listed(classes, y, word):
    with pytest.raises(InvalidValue, match="does not know") as caught:
        Signature((1,), classes).codes(y)
    assert word in str(caught.value)


def test_numbers_are_no_labels():
    signature = Signature((1,), task="numbers")
    assert signature.codes([0.5, 2]).tolist() == [0.5, 2]


@given(signatures(), st.data())
def test_numbers_come_back_in_their_units(signature, data):
    """What is learnt is (y - shift) / scale; `predictions` undoes it, (n,) of a single output."""
    if signature.target_scaling is None:
        return
    shift, scale = signature.target_scaling
    y = data.draw(hnp.arrays(np.float64, (4, len(shift)), elements=NUMBERS))
    codes = signature.codes(y)
    np.testing.assert_array_equal(codes, (y - shift) / scale)
    back = signature.predictions(codes)
    np.testing.assert_allclose(back, y[:, 0] if len(shift) == 1 else y, rtol=1e-9, atol=1e-9 * (1 + abs(shift).max()))
    assert signature.fits(signature.shape, (len(shift),)) and not signature.fits(signature.shape, (len(shift) + 1,))
    for wrong in (np.ones((4, len(shift) + 1)), ["a"] * 4, np.full((4, len(shift)), np.nan), 1.0):
        with pytest.raises(MinnetError):
            signature.codes(wrong)
    with pytest.raises(InvalidValue, match="this model gives numbers"):
        signature.check_probabilities()


# --- files -----------------------------------------------------------------------------------------------------------


@given(signatures())
def test_json_holds_all_of_it(signature):
    again = Signature.from_json(json.loads(json.dumps(signature.to_json())))
    assert again == signature and hash(again) == hash(signature)
    assert again.to_json() == signature.to_json()


@given(signatures(), signatures())
def test_signatures_are_equal_where_all_is(a, b):
    assert (a == b) == (a.to_json() == b.to_json())


GOOD = Signature((2,), ["a", "b"], ([0.0, 1.0], 2.0), ["x", "y"], target="t").to_json()
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=8)


NUMERIC = Signature((2,), None, task="numbers", target=("s", "t"), target_scaling=([1.0, 2.0], [3.0, 4.0])).to_json()


@given(st.sampled_from([*GOOD, "target_scaling", None]), JSON, st.sampled_from([GOOD, NUMERIC]))
def test_nothing_in_a_file_is_trusted(key, value, good):
    """Whatever stands in one place of a file, it is a signature that can be used, or one of our errors."""
    try:
        signature = Signature.from_json(value if key is None else good | {key: value})
    except MinnetError as error:
        assert str(error).isprintable() and len(str(error)) < 2000
    else:
        json.dumps(signature.to_json(), allow_nan=False)


@pytest.mark.parametrize("key, value", [
    ("shape", [2, 0]), ("shape", [True]), ("shape", [1] * 40), ("shape", []), ("scaling", {"shift": 0}),
    ("scaling", {"shift": 0, "scale": 0}), ("scaling", {"shift": float("nan"), "scale": 1}),
    ("scaling", {"shift": [0, 0, 0], "scale": 1}), ("scaling", {"shift": "1", "scale": 1}), ("classes", ["a", "a"]),
    ("classes", ["1", 1]), ("classes", []), ("classes", [[1]]), ("feature_names", ["x"]), ("feature_names", ["x", "x"]),
    ("feature_names", [1, 2]), ("task", "magic"), ("task", "numbers"), ("target", 3),
    ("target", ["t", "t"]), ("target", [1]), ("target", []),
    ("target_scaling", {"shift": 0, "scale": 1}), ("classes", ["a" * 10**5])])
def test_what_is_no_signature(key, value):
    with pytest.raises(MinnetError):
        Signature.from_json(GOOD | {key: value})


@pytest.mark.parametrize("value", [{"shift": 0}, {"shift": [0, 0], "scale": [1, 0]}, {"shift": [[0]], "scale": [1]},
                                   {"shift": [0, 0, 0], "scale": [1, 1]}, {"shift": "1", "scale": 1}, [0, 1], 3])
def test_what_is_no_scaling_of_targets(value):
    with pytest.raises(MinnetError):
        Signature.from_json(NUMERIC | {"target_scaling": value})
