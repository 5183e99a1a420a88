"""Tables at the command line: what is learnt is found out or asked in one line, and rows are scaled as told."""
import json

import numpy as np
import pytest

import minnet as mn
from minnet.cli import main
from minnet.errors import InvalidValue
from minnet.study.training import data_for


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Tables of three kinds that two features of far ranges tell apart; the kind stands first."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 90)
    X = rng.normal(size=(90, 2)) * [1, 1000] + np.stack([kind, 1000 * (kind == 1)], axis=1)
    for name, labels in (("numbers", kind), ("texts", np.array(["ant", "bee", "cow"])[kind])):
        rows = [f"{label},{a:.4f},{b:.2f}\n" for label, (a, b) in zip(labels.tolist(), X.tolist(), strict=True)]
        (tmp_path / f"{name}.csv").write_text("".join(rows))
        (tmp_path / f"{name} with names.csv").write_text("".join(["species,a,b\n", *rows]))
        (tmp_path / f"{name}, same last.csv").write_text("".join(row.rsplit(",", 1)[0] + ",7\n" for row in rows))
        (tmp_path / f"{name}, few last.csv").write_text("".join(
            row.rsplit(",", 1)[0] + f",{i % 2}\n" for i, row in enumerate(rows)))
    (tmp_path / "excel.csv").write_bytes("a;b;kind\n1;2;gr\xfcn\n3;4;rot\n".encode("latin-1"))
    return tmp_path


@pytest.mark.parametrize("name, words", [
    ("numbers", ["the last column holds 90 different numbers", "--target 0 is the first column", "3 different values",
                 "--target 2 the last"]),
    ("texts", ["the last column holds 90 different numbers", "--target 0 is the first column", "--target 2 the last"]),
    ("texts with names", ["column 'b' holds 90", "--target species is the first column, which holds 3 different "
                          "values, --target b the last", "--task regression"]),
    ("numbers, same last", ["the last column holds 1 classes", "--target 0 is the first", "--target 2 the last"]),
    ("numbers, few last", ["either may be the classes, the first column, which holds 3 different values, or the last, "
                           "which holds 2: say which, --target 0 or --target 2"]),
    ("texts, few last", ["either may be the classes", "--target 0 or --target 2"]),
    ("excel", ["excel.csv: is no text in UTF-8", "--encoding latin-1"])])
def test_one_line_leads_to_the_mend(folder, capsys, name, words):
    """Python's arguments are named to Python alone."""
    assert main(["train", f"{name}.csv"]) == 2
    line, = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words) and "in Python" not in line, line
    with pytest.raises(mn.MinnetError) as caught:
        mn.load_data(f"{name}.csv")
    assert ('(in Python task="regression"' in str(caught.value)) == ("--task" in line)


@pytest.mark.parametrize("name", ["numbers", "texts"])
def test_a_column_that_was_learnt_by_its_number_is_it_again(folder, capsys, name):
    """In a file without a header: evaluate, predict, prune and a test part take it, and rows without it."""
    train = ["train", f"{name}.csv", "--model", "mlp", "--target", "0", "--epochs", "2", "--quiet", "--json"]
    assert main([*train, "--test", f"{name}.csv"]) == 0 and main(train) == 0
    lines = (folder / "numbers.csv").read_text().splitlines()
    (folder / "rows.csv").write_text("\n".join(line.partition(",")[2] for line in lines))
    found = []
    for argv in (["predict", "minnet-out", f"{name}.csv"], ["predict", "minnet-out", "rows.csv"],
                 ["predict", "minnet-out", f"{name}.csv", "--target", "0"],
                 ["evaluate", "minnet-out", "--data", f"{name}.csv"],
                 ["evaluate", "minnet-out", "--data", f"{name}.csv", "--target", "0"],
                 ["prune", "minnet-out", "--data", f"{name}.csv", "--epochs", "1"]):
        capsys.readouterr()
        assert main([*argv, "--quiet", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    labels = [json.dumps(one["classes"]) for one in found[:3]]
    assert labels[0] == labels[1] == labels[2] and found[3]["accuracy"] == found[4]["accuracy"]


@pytest.mark.filterwarnings("always:the last column")
def test_predict_leaves_out_no_feature_without_a_word(folder, capsys):
    """A model that knows no columns: one called so is asked about, labels that it does not know are told."""
    table = np.loadtxt("numbers.csv", delimiter=",")
    np.savez("numbers.npz", X=table[:, 1:], y=table[:, 0])
    (folder / "named.csv").write_text("label,a,b\n" + (folder / "numbers.csv").read_text())
    assert main(["train", "numbers.npz", "--model", "mlp", "--epochs", "1", "--out", "bare"]) == 0
    for argv, code, words in ((["named.csv"], 2, "--target label, or --target b"),
                              (["named.csv", "--target", "0"], 0, ""),
                              (["numbers.csv"], 0, "the last column is left out as that of the classes, but y holds"),
                              (["numbers.csv", "--target", "0"], 0, "")):
        capsys.readouterr()
        assert main(["predict", "bare", *argv]) == code
        said = capsys.readouterr().err
        assert (words in said and said.count("\n") == 1) if words else not said


def test_a_first_column_that_is_no_class_is_not_asked_about(tmp_path):
    """Bytes of 0 and 1 beside others, text only in the last column, codes that start elsewhere, one row of a value."""
    for first, second, last in (("i % 2", "i // 2 % 2", "i % 3"), ("i % 3", "i", "'ab'[i % 2]"),
                                ("i % 3 + 5", "i", "i % 2"), ("min(i, 2)", "i", "i % 2")):
        rows = [",".join(str(eval(cell, {"i": i, "min": min})) for cell in (first, second, last)) for i in range(30)]
        (tmp_path / "t.csv").write_text("\n".join(rows))
        assert mn.load_data(tmp_path / "t.csv").n_classes == len({row[-1] for row in rows})


def test_an_argument_is_named_as_its_option(folder, capsys):
    for options, words in ((["--keep", "99999999"], "--keep 99999999; wanted a whole number from 0 to"),
                           (["--count", "99999999"], "--count 99999999; wanted"),
                           (["--delimiter", ",,"], "--delimiter ',,'; wanted one character"),
                           (["--encoding", "utf-16"], "no text in utf-16, as --encoding says"),
                           (["--encoding", "cp500"], "is it no cp500? --encoding")):
        assert main(["prune", "texts with names.csv", "--target", "species", "--model", "mlp", "--epochs", "1",
                     *options]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert words in line and "=" not in line and "in Python" not in line, line


def test_the_way_out_is_one(folder, capsys):
    assert main(["train", "texts.csv", "--target", "0", "--model", "mlp", "--epochs", "1", "--scaling", "standard",
                 "--json"]) == 0
    told = capsys.readouterr()
    assert "class: column '0' (3 classes)" in told.err and json.loads(told.out)["samples"] > 10
    shift, scale = mn.load("minnet-out/model.safetensors").signature.scaling
    X = mn.load_data("texts.csv", target=0, rng=0).X_train
    np.testing.assert_allclose([shift, scale], [X.mean(axis=0), X.std(axis=0)])
    for model, enlarged in ((mn.load("minnet-out/model.safetensors"), False), ("vgg16", True)):
        with pytest.raises(InvalidValue, match="the model scales what it takes itself"):
            data_for(model, "texts.csv", 0, {"scaling": "unit", "target": 0}, enlarged=enlarged)


def test_standard_scaling_leaves_words_sparse():
    """Columns of numbers have mean 0 and deviation 1, counts are divided by the largest."""
    rng = np.random.default_rng(0)
    X = [[float(number), f"some words {'and more more' * (i % 2)} text"]
         for i, number in enumerate(rng.normal(5, 2, 60))]
    data = mn.load_data((X, [0, 1] * 30), text=1, scaling="standard")
    rows = data.scaled(data.X_train)
    assert hasattr(rows, "indptr")
    dense = rows.toarray()
    np.testing.assert_allclose([dense[:, 0].mean(), dense[:, 0].std()], [0, 1], atol=1e-6)
    assert dense[:, 1:].min() == 0 and (dense[:, 1:].max(axis=0) == 1).all()
    with pytest.raises(InvalidValue, match="scaling='standard' subtracts a mean"):
        mn.load_data((mn.load_data((X, [0, 1] * 30), text=1).scaled(data.X_train), data.y_train), scaling="standard")


def test_a_column_of_categories_is_one_input(tmp_path, monkeypatch, capsys):
    """--keep counts columns, and each word of text; names of columns are printed, and the small model takes these."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    city, code = rng.integers(0, 4, 200), rng.integers(0, 9, 200)
    words = np.array(["a fine day of it", "some other thing there"])[rng.integers(0, 2, 200)]
    rows = [f"{a:.3f},{'ABCD'[c]}town,{code[i]},{words[i]} {i},{'yes' if c % 2 else 'no'}\n"
            for i, (a, c) in enumerate(zip(rng.normal(size=200), city, strict=True))]
    (tmp_path / "t.csv").write_text("".join(["age,city,code,note,kind\n", *rows]))
    bare = [",".join(row.split(",")[:3] + row.split(",")[4:]) for row in rows]
    (tmp_path / "bare.csv").write_text("".join(["age,city,code,kind\n", *bare]))
    for file, columns, keep in (("bare", 3, 1), ("t", 3 + 8, 2)):
        assert main(["prune", f"{file}.csv", "--categories", "code", "--structure", "input", "--keep", str(keep),
                     "--criterion", "taylor", "--model", "mlp", "--epochs", "6", "--json"]) == 0
        told = capsys.readouterr()
        assert f"removing {columns - keep} of {columns} inputs" in told.err
        found = json.loads(told.out)
        assert "city" in found["inputs"]["kept"] and found["after"]["accuracy"] > 0.9
        assert (len(found["inputs"]["kept"]), found["inputs"]["of"]) == (keep, columns)
        small = mn.load("minnet-out/model.safetensors")
        columns = {column.name: column for column in small.signature.encoding.columns}
        assert columns["city"].n_encoded == 4, "all of its categories"
    assert main(["predict", "minnet-out", "t.csv"]) == 0
    again = ["--structure", "input", "--keep", "1", "--criterion", "taylor", "--epochs", "1", "--guard", "accuracy:0.9"]
    capsys.readouterr()
    assert main(["prune", "minnet-out", "--data", "t.csv", *again, "--out", "less", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == {"kept": ["city"], "of": 2}
