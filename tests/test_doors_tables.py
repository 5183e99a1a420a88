"""Doors x tables with gaps, categories and text: raw rows in, the same labels out everywhere.

A kind of table is a row of TABLES; the ways of making and using a model are those of test_doors.py.
"""
import json
import warnings
from functools import cache

import numpy as np
import pytest
from test_doors import MAKERS, USES, compiled, contract, fewer_inputs

import minnet as mn
from minnet.cli import main
from minnet.data import load_rows
from minnet.errors import InvalidValue, MinnetError


def gaps(rng, n):
    """Numbers that differ in range, a tenth of them missing."""
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(n, 4)) * [1, 1000, 1, 1] + [0, 5000, 3, 100]
    X[:, 1] += 8000 * y
    X[:, 2] += 6 * (y == 1)
    X[rng.random((n, 4)) < 0.1 * np.array([1, 0, 1, 1])] = np.nan
    return ("a", "b", "c", "d"), X, y


def categories(rng, n):
    """A column of numbers with gaps, and three of categories, one of them codes; some cells are missing."""
    colour, size, code = rng.integers(0, 3, n), rng.integers(0, 2, n), rng.integers(10, 14, n)
    X = np.empty((n, 4), object)
    X[:, 0] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(40, 10, n))
    X[:, 1] = np.array(["red", "light blue", 'so called "green"'])[colour]
    X[:, 2] = np.array(["small", "large"], object)[size]
    X[rng.random(n) < 0.1, 2] = None
    X[:, 3] = code.astype(float)
    return ("age", "colour", "size", "code"), X, np.where(code == 12, 1, colour)


def text(rng, n):
    """Sentences of words of which few matter, beside a number."""
    y = rng.integers(0, 3, n)
    telling = np.array(["good great", "bad poor", "dull so-so"])[y]
    others = np.array("the of and to in is it for was on with as at by".split())
    X = np.empty((n, 2), object)
    X[:, 0] = [f"{' '.join(rng.choice(others, 6))}, {words} {i}" for i, words in enumerate(telling)]
    X[:, 1] = rng.normal(size=n)
    return ("review", "age"), X, y


TABLES = {"gaps": (gaps, {"missing": "median"}), "categories": (categories, {"categories": ["code"]}),
          "text": (text, {}), "hashed text": (text, {"hashed": True, "words": 64})}
LABELS = np.array(["setosa", "b", "a"])


def frame(kind, seed=0, n=200):
    """(pandas table, labels) of a kind."""
    import pandas

    names, X, y = TABLES[kind][0](np.random.default_rng(seed), n)
    return pandas.DataFrame({name: X[:, i].tolist() for i, name in enumerate(names)}), LABELS[y]


@cache
def trained(kind):
    """(model, data, table, labels) with at least 85 % right on raw rows."""
    X, y = frame(kind)
    data = mn.load_data((X, y), rng=0, **TABLES[kind][1])
    model = mn.models.mlp(data.shape, 3, hidden=(16,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.2, momentum=0.9), epochs=40, batch_size=16, rng=0):
        pass
    return model, data, X, y


pytest.importorskip("pandas")


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("kind", TABLES)
def test_raw_rows_in_and_the_same_labels_out(kind, maker, tmp_path):
    source, data, X, y = trained(kind)
    model = MAKERS[maker](source, data, tmp_path)
    assert model.signature == contract(source, model)
    wanted = model.predict(X)
    assert (wanted == y).mean() > (0.5 if "prune" in maker else 0.85)
    cells = X.to_numpy(object)
    for name, use in USES.items():
        assert use(model, cells[:40]).tolist() == wanted[:40].tolist(), name
    for rows in (cells.tolist(), X, X.assign(more="x")):
        assert model.predict(rows).tolist() == wanted.tolist()
    assert model.predict(cells[:1]).tolist() == wanted[:1].tolist()
    for net in (model, mn.freeze(model)):
        assert mn.evaluate(net, X, y, intervals=False).accuracy == pytest.approx((wanted == y).mean())


@pytest.mark.parametrize("kind", TABLES)
def test_columns_are_taken_by_name(kind):
    polars = pytest.importorskip("polars")
    model, _, X, _ = trained(kind)
    wanted = model.predict(X)
    with pytest.warns(UserWarning, match="another order"):
        assert model.predict(X[X.columns[::-1]]).tolist() == wanted.tolist()
    assert model.predict(polars.DataFrame(X.to_dict("list"), strict=False)).tolist() == wanted.tolist()
    with pytest.raises(InvalidValue, match="X has no columns"):
        model.predict(X[X.columns[1:]])


@pytest.mark.parametrize("kind", TABLES)
def test_a_model_of_fewer_inputs_needs_fewer_columns(kind):
    source, data, X, _ = trained(kind)
    model = fewer_inputs(source, data)
    encoding = model.signature.encoding
    assert encoding.n_encoded == model.input_shape[0] < source.input_shape[0]
    assert model.signature.feature_names == encoding.encoded_names
    assert set(encoding.encoded_names) < set(source.signature.feature_names)
    assert model.predict(X[list(encoding.names)]).tolist() == model.predict(X).tolist()


def test_the_words_that_are_left():
    """Those that some weight reads, by the norm of these; pruning and compaction leave the telling ones."""
    source, data, _, _ = trained("text")
    whole, = mn.words_of(source)
    first = source.parameters["dense1.weight"].value.astype(float)
    names = [name.partition(": ")[2] for name in source.signature.feature_names[:-1]]
    norms = dict(zip(names, np.sqrt((first[:-1] ** 2).sum(axis=1)), strict=True))
    assert whole.name == "review" and len(whole.words) == whole.of == len(names)
    assert dict(whole.words) == pytest.approx(norms)
    assert [norm for _, norm in whole.words] == sorted(dict(whole.words).values(), reverse=True)
    model = source.clone()
    result = mn.prune(model, keep=6, structure="input", criterion="wanda", data=data, rng=0)
    left, = mn.words_of(model)
    small, = mn.words_of(result.compact())
    assert left == small and left.of == len(names) and 0 < len(left.words) <= 6
    assert {word for word, _ in left.words} <= {"good", "great", "bad", "poor", "dull", "so", "age"}
    mn.prune(model, 1.0, layers=["dense1"])
    assert mn.words_of(model)[0].words == [] and mn.words_of(trained("hashed text")[0]) == []
    assert mn.words_of(trained("gaps")[0]) == []


def written(X, y, path):
    X.assign(kind=y).to_csv(path, index=False)
    return str(path)


@pytest.mark.filterwarnings("ignore:.*another order")
@pytest.mark.parametrize("kind", TABLES)
def test_a_csv_through_every_command(kind, tmp_path, monkeypatch, capsys):
    """train, evaluate, predict with and without labels, prune the file and the model, inspect, a test file."""
    monkeypatch.chdir(tmp_path)
    X, y = frame(kind)
    path, later = written(X, y, "t.csv"), written(*frame(kind, seed=1, n=60), "later.csv")
    X.to_csv("rows.csv", index=False)
    X[X.columns[::-1]].assign(more="x y").to_csv("other.csv", index=False)
    told = {"categories": ["--categories", "code"], "hashed text": ["--hashed", "--words", "64"]}.get(kind, [])
    short = ["--model", "mlp", "--epochs", "20", "--out"]
    assert main(["train", path, *told, *short, "a"]) == 0
    said = capsys.readouterr().err
    assert {"gaps": "missing values 'a', 'c', 'd' (the median", "text": "of text 'review' (",
            "categories": "of categories 'colour', 'size', 'code' (0 and 1",
            "hashed text": "of text 'review' (64 numbers count hashed words)"}[kind] in said
    assert main(["prune", path, *told, *short, "b", "--sparsity", "0.5", "--test", later]) == 0
    assert main(["prune", "a/model.safetensors", "--data", later, "--epochs", "2", "--sparsity", "0.3", "--out", "c"]) \
        == 0
    for folder in "abc":
        model = mn.load(f"{folder}/model.safetensors")
        capsys.readouterr()
        assert main(["evaluate", f"{folder}/model.safetensors", "--data", path, "--quiet", "--json"]) == 0
        accuracy = json.loads(capsys.readouterr().out)["accuracy"]
        assert accuracy > 0.7
        found, labels, _ = load_rows(path, model)
        assert mn.evaluate(model, found, labels, intervals=False).accuracy == pytest.approx(accuracy)
        for rows in ("t.csv", "rows.csv", "other.csv"):
            assert main(["predict", f"{folder}/model.safetensors", rows, "--quiet"]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert np.mean(np.array(lines) == y) == pytest.approx(accuracy) and lines == model.predict(X).tolist()
    assert main(["inspect", path, *told]) == 0 and main(["inspect", "a/model.safetensors"]) == 0
    assert ("words left of 'review': " in capsys.readouterr().out) == (kind == "text")


def encoded(model, X):
    """The columns that an export takes, dense."""
    rows = model.signature.arranged(X)
    return rows.toarray() if hasattr(rows, "toarray") else rows


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("inputs", ["all inputs", "fewer inputs"])
@pytest.mark.parametrize("kind", TABLES)
def test_an_onnx_file_takes_numbers_with_gaps_or_encoded_columns(kind, inputs, channels_last, tmp_path):
    """ONNX Runtime gives the same labels; a raw table goes through the signature that is read back."""
    runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    model, data, X, _ = trained(kind)
    model = fewer_inputs(model, data) if inputs == "fewer inputs" else model
    mn.save_onnx(model, tmp_path / "m.onnx", channels_last=channels_last)
    session, wanted = runtime.InferenceSession((tmp_path / "m.onnx").read_bytes()), model.predict(X)
    given = [encoded(model, X)]
    if kind == "gaps":
        given.append(model.signature.picked(X))
        assert np.isnan(given[1]).any()
    for rows in given:
        logits, = session.run(None, {"input": rows.astype(np.float32)})
        assert model.signature.classes[logits.argmax(axis=1)].tolist() == wanted.tolist()
    told = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(told["feature_names"]) == list(model.signature.encoding.encoded_names)
    again = mn.load_onnx(tmp_path / "m.onnx")
    assert again.signature == model.signature and again.predict(X).tolist() == wanted.tolist()


@pytest.mark.parametrize("kind", ["gaps", "categories"])
def test_an_exported_net_is_imported_with_what_its_columns_hold(kind, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    model, _, X, y = trained(kind)
    mn.save(model, "m.safetensors")
    assert main(["export", "m.safetensors", "--to", "onnx", "--out", "."]) == 0
    said = "categories and text (colour, size, code) cannot be exported: it takes the 11 columns that it names"
    assert (said in capsys.readouterr().err) == (kind == "categories")
    assert main(["import", "model.onnx", "--out", "."]) == 0
    again = mn.load("model.safetensors")
    assert again.signature.encoding == model.signature.encoding
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert main(["evaluate", "model.onnx", "--data", written(X, y, "t.csv"), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"] > 0.85


@pytest.mark.parametrize("spoil", ["fill", "node", "reader"])
def test_what_an_onnx_file_says_of_its_gaps_is_not_believed(spoil, tmp_path):
    onnx = pytest.importorskip("onnx")
    mn.save_onnx(trained("gaps")[0], tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    if spoil == "fill":
        tensor, = (tensor for tensor in proto.graph.initializer if tensor.name == "minnet.missing.fill")
        tensor.raw_data = np.ones(4, np.float32).tobytes()
    elif spoil == "node":
        proto.graph.node[0].op_type = "IsInf"
    else:
        proto.graph.node[2].input[0] = proto.graph.input[0].name
    onnx.save(proto, tmp_path / "m.onnx")
    try:
        again = mn.load_onnx(tmp_path / "m.onnx")
    except MinnetError:
        return
    assert again.signature is None or again.signature.encoding is None


@pytest.mark.parametrize("inputs", ["all inputs", "fewer inputs"])
@pytest.mark.parametrize("kind", TABLES)
def test_a_c_file_takes_numbers_with_gaps_or_encoded_columns(kind, inputs, tmp_path):
    import ctypes

    model, data, X, _ = trained(kind)
    model = fewer_inputs(model, data) if inputs == "fewer inputs" else model
    mn.save_c(model, tmp_path / "m.c")
    library = compiled(tmp_path)
    rows = model.signature.picked(X) if kind == "gaps" else encoded(model, X)
    output, work, found = np.zeros(3, np.float32), np.zeros(100_000, np.float32), []
    for row in np.ascontiguousarray(rows[:50], np.float32):
        library.minnet_predict(*(array.ctypes.data_as(ctypes.c_void_p) for array in (row, output, work)))
        found.append(model.signature.classes[output.argmax()])
    assert found == model.predict(X[:50]).tolist()


def test_what_a_model_of_numbers_cannot_take_is_said(tmp_path):
    """A gap or text in a file for a model without an encoding is named by line and column; in arrays by column."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    (tmp_path / "t.csv").write_text("a,b,k\n" + "".join(f"{a},{b},{k}\n" for (a, b), k in zip(X, y, strict=True)))
    (tmp_path / "u.csv").write_text("a,b,k\n1,2,0\n3,,1\n")
    (tmp_path / "v.csv").write_text("a,b,k\n1,x,0\n3,y,1\n")
    data = mn.load_data(tmp_path / "t.csv", rng=0)
    model = mn.models.mlp(data.shape, 2, hidden=(4,), rng=0)
    model.signature = data.signature
    for name, words in (("u.csv", "line 3, column 2"), ("v.csv", "line 2, column 2")):
        for load in (lambda path: mn.evaluate(model, path), lambda path: mn.load_data(path, model=model)):
            with pytest.raises(MinnetError, match=words):
                load(tmp_path / name)
    with warnings.catch_warnings(), pytest.raises(MinnetError):
        model.predict([[1, "x"]])
