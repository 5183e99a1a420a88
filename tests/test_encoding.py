"""Tables with gaps, categories and text: an Encoding is what scikit-learn's transformers are, in plain numbers."""
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minnet as mn
from minnet.data import Signature
from minnet.data.encoding import CategoryColumn, Encoding, HashedColumn, NumberColumn, WordsColumn
from minnet.data.kinds import Told, column_transformer, fit_encoding, kind_of_column, prepared
from minnet.data.rawrows import as_cells
from minnet.delimited import check_format, read_table
from minnet.errors import FileError, InvalidType, InvalidValue, MinnetError, NotFinite

WORDS = ["red", "blue", "Blue", "a b", "it's", "ß", "über", "x=y"]
NUMBERS = st.floats(-1e6, 1e6) | st.just(np.nan)
CATEGORIES = st.sampled_from(["red", "blue", "3", "x=y", np.nan])
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
KINDS = ("number", "categories", "text", "categories", "number")


def rows_of(draw_rows):
    cells = np.empty((len(draw_rows), len(KINDS)), object)
    for i, row in enumerate(draw_rows):
        cells[i] = row
    return cells


def dense(X):
    """The same numbers as a dense array."""
    return X.toarray() if hasattr(X, "toarray") else X


ROWS = st.tuples(NUMBERS, CATEGORIES, TEXTS, CATEGORIES, NUMBERS)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=3, max_size=12), st.lists(ROWS, min_size=1, max_size=8), st.booleans())
def test_an_encoding_is_the_fitted_column_transformer_bit_for_bit(first, later, hashed):
    """On the rows it is fitted on and on others, after JSON too; a part of its columns are these columns."""
    first = [(1.0, "red", "sure word here", "red", 2.0), (3.0, "red", "sure word", "3", 4.0), *first]
    cells, others = rows_of(first), rows_of(later)
    told = Told(dict(enumerate(KINDS)), 7 if hashed else 4, hashed)
    fitted = column_transformer(KINDS, cells, told).fit(prepared(cells, KINDS))
    encoding = fit_encoding(cells, list("abcde"), told)
    again = Encoding.from_json(json.loads(json.dumps(encoding.to_json())))
    assert again == encoding and len(set(encoding.encoded_names)) == encoding.n_encoded
    for rows in (cells, others):
        wanted = fitted.transform(prepared(rows, KINDS))
        wanted = dense(wanted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unknown categories
            found = dense(again.apply(rows))
            places = list(range(0, encoding.n_encoded, 2))
            some = encoding.select(places)
            few = dense(some.apply(rows))
            picked = dense(some.apply(rows[:, list(some.places)]))
        assert found.dtype == np.float64 and found.tobytes() == wanted.astype(np.float64).tobytes()
        assert few.tobytes() == picked.tobytes() == np.ascontiguousarray(found[:, places]).tobytes()
        assert len(some.encoded_names) == len(places)
        assert some.select(range(len(places))) == some


ENCODING = Encoding((NumberColumn("age", 28.5), CategoryColumn("colour", ("blue", "red"), True),
                     WordsColumn("review", ("bad", "good")), HashedColumn("note", 4)))


@pytest.mark.parametrize("spoil", [
    {"columns": []}, {"columns": "x"}, {"places": [0, 1, 2]}, {"places": [0, 2, 1, 3]}, {"places": [-1, 0, 1, 2]},
    {"width": 3}, {"width": "4"}, {"named": 1}, {"more": 1}, {"places": [0.0, 1, 2, 3]},
    {"column": {"kind": "magic"}}, {"column": {"kind": ["number"]}}, {"column": {"name": 3}},
    {"column": {"name": "x" * 100_000}}, {"column": {"fill": "0"}}, {"column": {"fill": float("nan")}},
    {"column": {"fill": 10**400}},
    {"column": {"fill": True}}, {"column": {"more": 1}}, {"column": {"name": "colour"}},
    {"colour": {"categories": ["a", "a"]}}, {"colour": {"categories": [1]}}, {"colour": {"categories": []}},
    {"colour": {"gaps": 1}}, {"colour": {"kept": []}}, {"colour": {"kept": [1, 0]}}, {"colour": {"kept": [3]}},
    {"colour": {"kept": "01"}}, {"words": {"vocabulary": None}}, {"words": {"of": 1}}, {"words": {"of": "5"}},
    {"hashed": {"buckets": 10**12}},
    {"hashed": {"buckets": 0}}, {"hashed": {"kept": [4]}}])
def test_an_encoding_in_a_file_is_not_trusted(spoil):
    facts = ENCODING.to_json()
    assert Encoding.from_json(facts) == ENCODING
    names = {"column": 0, "colour": 1, "words": 2, "hashed": 3}
    for name, value in spoil.items():
        if name in names:
            facts["columns"][names[name]] |= value
        else:
            facts[name] = value
    with pytest.raises(MinnetError) as caught:
        Encoding.from_json(facts)
    assert str(caught.value).isprintable()
    signature = Signature((ENCODING.n_encoded,), encoding=ENCODING).to_json()
    with pytest.raises(MinnetError):
        Signature.from_json(signature | {"encoding": facts})
    with pytest.raises(MinnetError):
        Signature.from_json(signature | {"shape": [3]})


def test_categories():
    """A missing cell is one where the training part had some; what is unknown is 0 everywhere, and counted once."""
    rows = np.array([["red"], [None], ["blue"], ["red "]], object)
    assert fit_encoding(as_cells(rows), ["c"], Told()).encoded_names == ("c=blue", "c=red", "c is missing")
    without = fit_encoding(as_cells(rows[[0, 2, 3]]), ["c"], Told())
    assert without.encoded_names == ("c=blue", "c=red")
    with pytest.warns(UserWarning, match=r"3 cells hold categories .* such as 'pink' in column 'c'") as seen:
        found = without.apply([["pink"], ["red"], [None], ["green"], ["pink"]])
    assert len(seen) == 1 and found.tolist() == [[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("given", [[[3, "a"], [4, "b"]], [["3", "a"], ["4.0", "b"]], [[3.0, " a"], [True + 3, "b "]]])
def test_a_category_has_one_name_however_it_is_written(given):
    encoding = Encoding((CategoryColumn("code", ("3", "4")), CategoryColumn("name", ("a", "b"))))
    assert encoding.apply(given).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]


LONG = [2**53, 2**53 + 1, 2**53 + 2, 2**53 + 1]


@pytest.mark.parametrize("source", ["list", "objects", "int64", "uint64", "pandas", "Int64", "category", "polars",
                                    "category with a gap", "polars with a gap", "texts"])
def test_categories_that_float64_does_not_hold_stay_apart(source):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    cells = [*LONG, None] if source in ("Int64", "category with a gap", "polars with a gap") else LONG
    columns = {"a": [0.5] * len(cells), "code": cells}
    pairs = [[0, cell] for cell in cells]
    X = {"list": lambda: pairs, "objects": lambda: np.array(pairs, object), "int64": lambda: np.array(pairs),
         "uint64": lambda: np.array(pairs, np.uint64), "pandas": lambda: pandas.DataFrame(columns),
         "category": lambda: pandas.DataFrame(columns).astype({"code": "category"}),
         "category with a gap": lambda: pandas.DataFrame(columns | {"code": pandas.Categorical(cells)}),
         "Int64": lambda: pandas.DataFrame(columns | {"code": pandas.array(cells, "Int64")}),
         "polars": lambda: polars.DataFrame(columns), "polars with a gap": lambda: polars.DataFrame(columns),
         "texts": lambda: [[0.5, str(cell)] for cell in cells]}[source]()
    encoding = fit_encoding(as_cells(X), ["a", "code"], Told({1: "categories"}))
    assert encoding.columns[1].categories == tuple(map(str, LONG[:3]))
    assert dense(Encoding(encoding.columns, named=False).apply(X))[:4, 1:4].argmax(axis=1).tolist() == [0, 1, 2, 1]
    assert fit_encoding(as_cells(pairs), ["a", "b"], Told()).of_numbers and as_cells([[3, 2**53]]).dtype == np.float64
    data = mn.load_data((np.array([[1, 2**60]] * 30), [0, 1] * 15))
    assert data.signature.encoding is None and data.X_train.dtype == np.int64, "numbers stay numbers"


def test_frames_are_taken_by_name(recwarn):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    encoding = Encoding((NumberColumn("a", 7.0), CategoryColumn("b", ("x", "y"), True)))
    columns = {"c": [1, 2, 3], "a": [1.5, None, 3], "b": ["x", "y", None]}
    wanted = [[1.5, 1, 0, 0], [7, 0, 1, 0], [3, 0, 0, 1]]
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns, strict=False),
                  pandas.DataFrame(columns).convert_dtypes(), pandas.DataFrame(columns).astype({"b": "category"})):
        assert encoding.apply(frame).tolist() == wanted
    assert not recwarn.list
    with pytest.warns(UserWarning, match="another order"):
        assert encoding.apply(pandas.DataFrame(columns)[["b", "a"]]).tolist() == wanted
    with pytest.raises(InvalidValue, match="no columns 'b'"):
        encoding.apply(pandas.DataFrame(columns)[["c", "a"]])


@pytest.mark.parametrize("rows, error, words", [
    ([["x", "x"]], InvalidType, "column 'a' holds text, 'x'"), ([[np.inf, "x"]], NotFinite, "'0' holds 1|0 holds 1"),
    ([[1, "x", 2]], InvalidValue, "wanted \\(n, 2\\), the columns 'a', 'b'"),
    ([["1_000", "x"]], InvalidType, "column 'a' holds text, '1_000'"),
    ([["\u0663", "x"]], InvalidType, "column 'a' holds text"),
    ([[1j, "x"]], InvalidType, "wanted numbers"),
    ([[1, object()]], InvalidType, "wanted numbers or text"), ([1, "x"], InvalidValue, "shape"),
    (np.array([["2020-01-01"]], "M8[D]"), InvalidType, "wanted numbers or text|dates")])
def test_rows_that_are_none_are_refused(rows, error, words):
    encoding = Encoding((NumberColumn("a", 7.0), CategoryColumn("b", ("x", "y"))))
    with pytest.raises(error, match=words):
        encoding.apply(rows)


def test_what_is_too_long_for_a_file_is_refused():
    for told, cell in ((Told({0: "categories"}), "x" * 6000), (Told({0: "text"}), "see " + "x" * 6000)):
        with pytest.raises(InvalidValue, match="column 'n' holds .* of 6,000 characters"):
            fit_encoding(np.array([[cell]] * 4, object), ["n"], told)


def test_columns_of_which_nothing_can_be_learnt_are_refused():
    gaps, huge = (np.array([[value]] * 4, object) for value in (np.nan, 1.7e308))
    with pytest.raises(InvalidValue, match="column 'n' has no value in the training part"):
        fit_encoding(gaps, ["n"], Told({0: "categories"}))
    with pytest.raises(NotFinite, match="column 'n' holds numbers whose median is inf"), \
            np.errstate(over="ignore"):
        fit_encoding(huge.astype(float), ["n"], Told())


def test_a_column_is_told_to_be_one_thing():
    X = [[float(i), "ab"[i % 2]] for i in range(40)]
    with pytest.raises(InvalidValue, match="column -1 is told to be text and categories"):
        mn.load_data((X, [0, 1] * 20), text=1, categories=-1)


def test_many_categories_are_sparse():
    """The same numbers as those of few, in CSR; and a part of them too."""
    known = tuple(f"c{i:03}" for i in range(300))
    encoding = Encoding((CategoryColumn("a", known, True), NumberColumn("b", 1.0)))
    rows = [["c007", 0], [None, 5.0], ["c299", None], ["what", 2]]
    with pytest.warns(UserWarning, match="1 cells hold categories"):
        found = encoding.apply(rows)
    wanted = np.zeros((4, 302))
    wanted[0, 7] = wanted[1, 300] = wanted[2, 299] = 1
    wanted[:, 301] = 0, 5, 1, 2
    assert hasattr(found, "indptr") and found.toarray().tolist() == wanted.tolist()
    some = encoding.select(range(1, 302, 1))
    assert dense(some.apply(rows[:3])).tolist() == wanted[:3, 1:].tolist()


def test_the_dtype_of_a_frame_says_what_are_categories():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"code": rng.integers(5, 8, 60), "b": rng.normal(size=60)}).astype({"code": "category"})
    data = mn.load_data((frame, rng.integers(0, 2, 60)))
    assert data.signature.feature_names == ("code=5", "code=6", "code=7", "b")


@pytest.mark.parametrize("task, y", [
    ("regression", lambda X: 100 * (X["a"].fillna(0) + (X["b"] == "xx"))),
    ("multilabel", lambda X: np.column_stack([X["a"].fillna(0) > 0, X["b"] == "xx"]).astype(int))])
@pytest.mark.parametrize("text", [False, True])
def test_numbers_and_labels_are_learnt_of_such_tables(task, y, text, tmp_path):
    """R2 or subset accuracy is high, frozen and loaded nets agree, and explain takes rows of the table."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"a": rng.normal(size=200), "b": rng.choice(["xx", "yy zz", "zz"], 200)})
    X.loc[::9, "a"] = np.nan
    y = y(X).to_numpy() if task == "regression" else y(X)
    data = mn.load_data((X, y), task=task, rng=0, text=["b"] if text else ())
    model = mn.models.mlp(data.shape, data.n_outputs, hidden=(16,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.05, momentum=0.9), epochs=30, batch_size=16, rng=0):
        pass
    scores = mn.evaluate(model, X, y, intervals=False)
    assert next(iter(scores.values())) > 0.85
    mn.save(model, tmp_path / "m.safetensors")
    for net in (mn.freeze(model), mn.load(tmp_path / "m.safetensors")):
        np.testing.assert_allclose(net.predict(X), model.predict(X), rtol=1e-4, atol=1e-3)
    assert str(mn.freeze(model).explain(X))


SENTENCES = [f"the text number {i} of many" for i in range(40)]


@pytest.mark.parametrize("cells, kind", [
    ([1.0, np.nan, 2.0], "number"), (["a", "b", "a", "b"], "categories"), (["a", np.nan, "a"], "categories"),
    (SENTENCES, "text"), (SENTENCES[:2] * 20, "categories"), ([f"c{i % 30}" for i in range(300)], "categories"),
    ([f"c{i}" for i in range(40)], "'n' holds 40 different texts in 40 rows.*--ignore n.*--categories n.*--text n"),
    ([f"c{i % 25}" for i in range(100)], "25 different texts in 100 rows"), ([np.nan] * 3, "no value"),
    (["1", "2", "1", "2"], "numbers as text")])
def test_what_a_column_holds_is_found_out_or_asked(cells, kind):
    column = np.array(cells, object)
    if kind in ("number", "categories", "text"):
        assert kind_of_column(column, "n") == kind
        return
    with pytest.raises(MinnetError, match=kind):
        kind_of_column(column, "n")


def write(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    return tmp_path / "t.csv"


@pytest.mark.parametrize("text, X, told", [
    ("a,b,k\n1,,x\nNA,2,y\n", [[1, np.nan], [np.nan, 2]], {}),
    ("a;b;k\n1,5; ?;x\nNaN;2;y\n", [[1.5, np.nan], [np.nan, 2]], {}),
    ("a,b,k\n1,red,x\n2,null,y\n3,blue,x\n", [[1, "red"], [2, np.nan], [3, "blue"]], {}),
    ("a,b,k\n1,True,x\n2,,y\n3,False,x\n", [[1, 1], [2, np.nan], [3, 0]], {}),
    ("a,b,k\n1,007,x\n2,7,y\n", [[1, "007"], [2, "7"]], {"categories": "b"}),
    ("1,007,x\n2,7,y\n", [[1, "007"], [2, "7"]], {"categories": 1}),
    ('t,k\n"so, it\nis",x\n"no ""b""",y\n', [["so, it\nis"], ['no "b"']], {}),
    ("red,big,x\nred,small,y\nblue,big,x\n", [["red", "big"], ["red", "small"], ["blue", "big"]], {}),
    ("red,2,x\nblue,2,y\ninf,3,x\n", [["red", 2], ["blue", 2], ["inf", 3]], {})])
def test_a_table_has_numbers_gaps_and_texts(tmp_path, text, X, told):
    found = read_table(write(tmp_path, text), form=check_format(**told)).X
    assert repr(found.tolist()) == repr([[cell if isinstance(cell, str) else float(cell) for cell in row] for row in X])


@pytest.mark.parametrize("text, told, words", [
    ("a,k\n1,x\n2,y\nthree,x\n4,y\n", {}, "line 4, column 1 (a): 'three'"),
    ("a,k\n1,x\n,y\ninf,x\n4,y\n", {}, "line 4, column 1 (a): 'inf'"),
    ("a,k\n1,x\n,y\n4,y\n", {"missing": "error"}, "line 3, column 1 (a): ''"),
    ("a,b,k\n1,x,x\n2,y,y\n", {"text": "c"}, "unknown column"), ("a,k\n1,x\n", {"text": "k"}, "no column of features"),
    ("a;b;k\n1;1,5;x\n2;2,5;y\n3;1.500;x\n", {}, "'1.500'")])
def test_a_cell_that_fits_no_column_is_named(tmp_path, text, told, words):
    with pytest.raises((FileError, InvalidValue)) as caught:
        read_table(write(tmp_path, text), form=check_format(**told))
    assert words in str(caught.value) and str(caught.value).isprintable()


def test_numbers_without_gaps_stay_what_they_are():
    """Frames and tables of numbers have no encoding, and give the bits of their arrays."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)).astype(np.float32), rng.integers(0, 2, 60)
    wanted = mn.load_data((X, y))
    frame = mn.load_data((pandas.DataFrame(X, columns=list("abc")), y))
    assert frame.signature.encoding is None and frame.X_train.dtype == np.float32
    assert frame.X_train.tobytes() == wanted.X_train.tobytes() and "encoding" not in frame.signature.to_json()


def test_missing_numbers_of_arrays_are_refused_unless_asked():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    X[::7, 1] = np.nan
    with pytest.raises(NotFinite):
        mn.load_data((X, y))
    data = mn.load_data((X, y), missing="median")
    assert data.signature.encoding.columns[1].fill == np.nanmedian(data.X_train[:, 1])
    assert np.isnan(data.X_train).any() and np.isfinite(data.scaled(data.X_train)).all()
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abc"))
    assert mn.load_data((frame, y)).signature.encoding.names == ("a", "b", "c")
    with pytest.raises(NotFinite, match="column 'b' has 9 missing values, the first in row 0"):
        mn.load_data((frame, y), missing="error")
    X[3, 2] = np.inf
    for rows in (X, pandas.DataFrame(X)):
        with pytest.raises(NotFinite, match="infinite"):
            mn.load_data((rows, y), missing="median")
    with pytest.raises(InvalidValue, match="missing='mean'"):
        mn.load_data((X, y), missing="mean")


def test_what_the_training_part_says_is_learnt_of_it_alone():
    """Fills, categories and words; and the model keeps them for later files."""
    rng = np.random.default_rng(0)
    rows = [[float(i), "a" if i % 2 else "b", f"word{i % 3} text of row"] for i in range(60)]
    y = rng.integers(0, 2, 60)
    data = mn.load_data((rows, y), rng=0, text=2)
    train = data.X_train
    number, category, words = data.signature.encoding.columns
    assert number.fill == np.median(train[:, 0].astype(float)) and category.categories == ("a", "b")
    assert words.vocabulary == ("of", "row", "text", "word0", "word1", "word2")
    assert len(mn.load_data((rows, y), rng=0, text=2, words=2).signature.encoding.columns[2].vocabulary) == 2
    hashed = mn.load_data((rows, y), rng=0, text=2, words=5, hashed=True).signature
    assert hashed.shape == (8,) and hashed.feature_names[-1] == "column 2: words 4"
    model = mn.models.mlp(data.shape, 2, hidden=(4,), rng=0)
    model.signature = data.signature
    later = mn.load_data((rows[:30], y[:30]), model=model, rng=1)
    assert later.signature is data.signature
    for told in ({"text": 2}, {"categories": 1}, {"words": 3}, {"hashed": True}):
        with pytest.raises(InvalidValue, match="the model knows what its columns hold"):
            mn.load_data((rows, y), model=model, **told)
    with pytest.raises(InvalidValue, match="no column of X"):
        mn.load_data((rows, y), text="review")
    with pytest.raises(InvalidValue, match="build one of dense layers"):
        next(mn.train(mn.models.mlp((3,), 2, hidden=(4,), rng=0), data, epochs=1, rng=0))
