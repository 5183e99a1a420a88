"""Official splits: what a set calls training, validation and test stays so; nothing is learnt from the other two."""
import json

import numpy as np
import pytest

import minnet as mn
from minnet.cli import main
from minnet.data import from_arrays, load_rows
from minnet.errors import FileError, InvalidValue

SIZES = {"train": 60, "valid": 20, "test": 30}


def part(name, low=0):
    """Rows of two classes; those of the other parts go beyond the training part's range."""
    rng = np.random.default_rng(list(SIZES).index(name))
    y = np.arange(SIZES[name]) % 2
    return rng.random((len(y), 3)) * (1 if name == "train" else 100) + 5 * y[:, None] + low, y


def table(name, order=("a", "b", "c", "kind"), words=("no", "yes")):
    """A part as text, its columns in any order."""
    X, y = part(name)
    columns = dict(zip("abc", X.T.tolist(), strict=True)) | {"kind": [words[code] for code in y], "id": range(len(y))}
    rows = zip(*(columns[column] for column in order), strict=True)
    return "\n".join([",".join(order), *(",".join(map(str, row)) for row in rows)])


NAMINGS = {
    "scikit-learn": ("X_{}", "y_{}", ("train", "valid", "test")),
    "Keras": ("x_{}", "y_{}", ("train", "val", "test")),
    "MedMNIST": ("{}_images", "{}_labels", ("train", "val", "test")),
    "part first": ("{}_data", "{}_targets", ("training", "validation", "testing")),
}


@pytest.mark.parametrize("with_valid", [True, False])
@pytest.mark.parametrize("naming", NAMINGS)
def test_an_archive_of_parts_keeps_them(tmp_path, naming, with_valid):
    of_X, of_y, names = NAMINGS[naming]
    parts = {name: shown for name, shown in zip(SIZES, names, strict=True) if with_valid or name != "valid"}
    arrays = {}
    for name, shown in parts.items():
        X, y = part(name)
        arrays |= {of_X.format(shown): X, of_y.format(shown): y[:, None]}
    np.savez(tmp_path / "f.npz", **arrays)
    data = mn.load_data(tmp_path / "f.npz", rng=0)
    for name in parts if with_valid else ["test"]:
        np.testing.assert_array_equal(getattr(data, f"X_{name}"), part(name)[0])
        np.testing.assert_array_equal(getattr(data, f"y_{name}"), part(name)[1])
    assert len(data.X_train) + len(data.X_valid) == 60 + 20 * with_valid
    X = data.X_train.astype(np.float64)
    np.testing.assert_array_equal(data.shift, X.min(axis=0), "the scaling is that of the training part alone")
    np.testing.assert_array_equal(data.scale, X.max(axis=0) - X.min(axis=0))
    with pytest.raises(InvalidValue, match="official test part of 30"):
        mn.load_data(tmp_path / "f.npz", test=0.2)
    model = mn.models.mlp(data.shape, 2, hidden=(4,), rng=0)
    next(mn.train(model, data, epochs=1, rng=0))
    assert len(load_rows(tmp_path / "f.npz", model)[0]) == 30, "what is scored is the test part"
    scores = [mn.evaluate(model, given, intervals=False) for given in (tmp_path / "f.npz", data)]
    assert scores[0].accuracy == scores[1].accuracy and scores[0].loss == scores[1].loss


@pytest.mark.parametrize("names, words", [
    ({"x_train": "train", "y_train": "train", "x_test": "test"},
     ["a member x_test and not its pair", "X_test and y_test"]),
    ({"x_train": "train", "X_train": "train", "y_train": "train"}, ["two members for one part: x_train and X_train"]),
    ({"x_test": "test", "y_test": "test"}, ["0 members 'X'", "x_test"]),
])
def test_an_archive_of_half_a_part_is_refused(tmp_path, names, words):
    np.savez(tmp_path / "f.npz", **{name: part(of)[name.lower().startswith("y")] for name, of in names.items()})
    with pytest.raises(FileError) as caught:
        mn.load_data(tmp_path / "f.npz")
    assert all(word in str(caught.value) for word in words)


def test_parts_in_files_of_their_own_are_matched_by_name(tmp_path):
    """Columns in another order, one more, labels by name; the scaling is that of the training part."""
    (tmp_path / "train.csv").write_text(table("train"))
    (tmp_path / "test.csv").write_text(table("test", ("id", "kind", "c", "a", "b")))
    np.savez(tmp_path / "valid.npz", X=part("valid")[0], y=np.array(["no", "yes"])[part("valid")[1]])
    with pytest.warns(UserWarning, match="another order"):
        data = mn.load_data(tmp_path / "train.csv", test=tmp_path / "test.csv", valid=str(tmp_path / "valid.npz"))
    for name in SIZES:
        np.testing.assert_array_equal(getattr(data, f"X_{name}"), part(name)[0])
        assert getattr(data, f"y_{name}").tolist() == np.array(["no", "yes"])[part(name)[1]].tolist()
    alone = mn.load_data(part("train"), test=0, valid=0)
    assert data.shift.tolist() == alone.shift.tolist() and data.scale.tolist() == alone.scale.tolist()
    assert data.signature.feature_names == ("a", "b", "c") and data.signature.target == "kind"


def test_arrays_may_bring_their_parts(tmp_path):
    data = mn.load_data(part("train"), test=part("test"), valid=part("valid"))
    assert [len(getattr(data, f"y_{name}")) for name in SIZES] == list(SIZES.values())
    data = mn.load_data(part("train"), test=part("test"), valid=0.5)
    assert [len(getattr(data, f"y_{name}")) for name in SIZES] == [30, 30, 30]
    words = part("valid")[0], np.array([b"0", b"1"])[part("valid")[1]]
    assert mn.load_data(part("train"), valid=words).classes.tolist() == ["0", "1"], "labels are matched by name"


@pytest.mark.parametrize("first, second", [([2**63 + 5, 2**63 + 6], [1, 2]),
                                           ([2**63 + 5, -7], [3, 4]), ([1, 2], [3, -4])])
def test_large_numbers_stay_labels_of_their_own(first, second):
    X = np.random.default_rng(0).random((20, 3))
    data = mn.load_data((X, first * 10), test=(X, first * 10), valid=(X, [*first] * 10))
    assert sorted(map(int, data.classes.tolist())) == sorted(first)
    given = np.array(second * 10), np.array(first * 5 + second * 5, object)
    data = mn.load_data((X, given[1]), test=(X, given[0]), valid=0)
    assert sorted(map(int, data.classes.tolist())) == sorted(first + second)


@pytest.mark.parametrize("options, words", [
    ({"test": "renamed.csv"}, ["have no training sample: 'other'"]),
    ({"test": "missing.csv"}, ["test part does not fit", "no columns 'c'"]),
    ({"test": "unlabelled.csv"}, ["unlabelled.csv", "no column 'kind'"]),
    ({"test": "narrow.npz"}, ["test part does not fit", "(30, 2)"]),
    ({"valid": "short.npz"}, ["valid part", "30 samples and 29 labels"]),
])
def test_parts_that_do_not_fit_are_refused(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    X, y = part("test")
    (tmp_path / "train.csv").write_text(table("train"))
    (tmp_path / "renamed.csv").write_text(table("test", words=("no", "other")))
    (tmp_path / "missing.csv").write_text(table("test", ("a", "b", "kind")))
    (tmp_path / "unlabelled.csv").write_text(table("test", ("a", "b", "c", "id")))
    np.savez(tmp_path / "narrow.npz", X=X[:, :2], y=np.array(["no", "yes"])[y])
    np.savez(tmp_path / "short.npz", X=X, y=np.array(["no", "yes"])[y][:-1])
    with pytest.raises(InvalidValue) as caught:
        mn.load_data("train.csv", **options)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_class_of_one_row_is_named():
    X, y = part("train")
    y = np.array(["no", "yes", "rare"])[np.where(np.arange(60) == 7, 2, y)]
    with pytest.raises(InvalidValue, match="class 'rare' has 1 sample left for test and training") as caught:
        from_arrays(X, y)
    assert "--test FILE" in str(caught.value) and str(caught.value).endswith("name it: --target"), caught.value


def test_a_table_without_a_header_whose_first_column_is_the_class_leads_to_target(tmp_path, capsys):
    for least, words in ((0, "--target 0 or --target 2"),
                         (5, "class 9 has 1 sample left for test and training; wanted at least 2: take that class out, "
                             "or bring a test part of its own: --test FILE; if another column holds the classes, "
                             "name it: --target 0 is the first column, which holds 2 different values, --target 2 the "
                             "last")):
        rows = [f"{n % 2 + least},{n % 7},{n % 5 if n else 9}" for n in range(60)]  # the last: a class of one row
        (tmp_path / "first.csv").write_text("\n".join(rows) + "\n")
        assert main(["train", str(tmp_path / "first.csv"), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and words in said[0], said
    assert not (tmp_path / "out").exists()


def test_a_class_of_one_row_needs_no_parts():
    X, y = part("train")
    y = np.array(["no", "yes", "rare"])[np.where(np.arange(60) == 7, 2, y)]
    assert from_arrays(X, y, test=0, valid=0).n_classes == 3


@pytest.mark.parametrize("channels", [3, 4])
def test_channels_first_are_noticed(channels):
    """One channel may be in either place; three or four first are refused with the way out."""
    y = np.arange(12) % 2
    with pytest.raises(InvalidValue, match=r"channels, which come first.*X\.transpose\(0, 2, 3, 1\)"):
        from_arrays(np.zeros((12, channels, 8, 9)), y)
    X = np.random.default_rng(0).random((12, 8, 9))
    grey = [from_arrays(rows, y, rng=0, test=0.2, valid=0.2).X_train for rows in (X, X[..., None], X[:, None])]
    assert grey[0].shape == (8, 8, 9, 1) and grey[0].tobytes() == grey[1].tobytes() == grey[2].tobytes()
    assert from_arrays(np.zeros((12, 4, 4, channels)), y, test=0.2, valid=0.2).shape == (4, 4, channels)


@pytest.mark.filterwarnings("default")  # which main shows as a line
def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    """train and prune on files of parts: the class is named, warnings are lines, what is scored is the test part."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text(table("train", ("id", "a", "b", "c", "kind")))
    (tmp_path / "test.csv").write_text(table("test", ("kind", "c", "b", "a")))
    (tmp_path / "excel.csv").write_bytes(table("test").replace(",", ";").replace(".", ",").replace("yes", "jä")
                                         .encode("latin-1"))
    options = ["--ignore", "id", "--test", "test.csv", "--model", "mlp", "--epochs", "2", "--json"]
    assert main(["train", "train.csv", *options]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["samples"] == 30
    lines = said.err.splitlines()
    assert "class: column 'kind' (2 classes)" in lines
    assert "the columns of X are in another order than the model's: they are taken by name" in lines
    assert "Warning" not in said.err
    assert main(["evaluate", "minnet-out/model.safetensors", "--data", "test.csv", "--json"]) == 0
    scored = capsys.readouterr()
    assert json.loads(scored.out)["accuracy"] == json.loads(said.out)["accuracy"]
    assert "class: column 'kind' (2 classes)" in scored.err
    assert main(["evaluate", "minnet-out/model.safetensors", "--data", "train.csv", "--quiet"]) == 0
    capsys.readouterr()
    for arguments in (["evaluate", "--part", "test", "--data", "train.csv"], ["prune", "--data", "train.csv"]):
        assert main([arguments[0], "minnet-out/model.safetensors", *arguments[1:]]) == 2, "it has learnt those rows"
        assert "its test part was a file of its own" in capsys.readouterr().err.splitlines()[-1]
    pruning = ["--data", "train.csv", "--test", "test.csv", "--sparsity", "0.3", "--epochs", "1", "--json", "--quiet"]
    assert main(["prune", "minnet-out/model.safetensors", *pruning, "--out", "pruned"]) == 0
    assert json.loads(capsys.readouterr().out)["before"]["accuracy"] > 0
    assert main(["evaluate", "minnet-out/model.safetensors", "--data", "excel.csv"]) == 2
    assert "as in --encoding latin-1" in capsys.readouterr().err.splitlines()[-1]
    assert main(["predict", "minnet-out/model.safetensors", "excel.csv", "--encoding", "latin-1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 30
    assert main(["evaluate", "minnet-out/model.safetensors", "--data", "excel.csv", "--encoding", "latin-1"]) == 2
    assert "does not know: 'jä'" in capsys.readouterr().err.splitlines()[-1]
    assert main(["train", "digits", "--delimiter", ";"]) == 2
    assert "delimiter: for tables in text files only" in capsys.readouterr().err.splitlines()[-1]
