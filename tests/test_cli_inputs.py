"""`minnet prune table.csv --structure input --keep N`: names are printed, and the small model takes the full table."""
import json

import numpy as np
import pytest

from minnet.cli import main
from minnet.study import measure

NAMES = ["age", "blood", "cost", "dose", "eyes", "feet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of six columns, of which two say what kind a row is; three more ways to write it; and a small model."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 6))
    y = np.array(["ill", "well"])[(X[:, 1] + X[:, 4] > 0).astype(int)]
    rows = [[f"{value:.6f}" for value in row] for row in X]

    def write(name, head, rows):
        (folder / name).write_text("\n".join(",".join(row) for row in ([head] if head else []) + rows) + "\n")

    write("t.csv", [*NAMES, "kind"], [[*row, label] for row, label in zip(rows, y, strict=True)])
    write("reversed.csv", ["kind", *NAMES[::-1]], [[label, *row[::-1]] for row, label in zip(rows, y, strict=True)])
    write("rows.csv", NAMES, rows)
    write("bare.csv", None, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(measure, "SECONDS", 0.0)  # times of a few rounds will do
        assert main("prune t.csv --structure input --keep 2 --epochs 8 --criterion wanda".split()) == 0
    kept = json.loads((folder / "minnet-out" / "result.json").read_text())["inputs"]["kept"]
    write("own.csv", None, [[row[NAMES.index(name)] for name in kept] for row in rows])
    write("short.csv", kept[:1], [[row[NAMES.index(kept[0])]] for row in rows])
    return folder


def answer(capsys, *argv):
    """The JSON that a command prints."""
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_folder_of_results_is_its_model(folder, capsys, monkeypatch):
    """Wherever a command takes a model's file: of a folder that `minnet prune` wrote it takes the model."""
    monkeypatch.chdir(folder)
    for argv in (["evaluate", "{}", "--data", "t.csv"], ["predict", "{}", "rows.csv"], ["inspect", "{}"]):
        by_folder, by_file = (answer(capsys, *(word.format(name) for word in argv))
                              for name in ("minnet-out", "minnet-out/model.safetensors"))
        assert {"run", "files"} & set(by_folder) == ({"run", "files"} if argv[0] == "inspect" else set())
        by_folder = {name: value for name, value in by_folder.items() if name not in ("run", "files")} \
            if argv[0] == "inspect" else by_folder
        assert by_folder == by_file | ({"model": by_folder["model"]} if "model" in by_file else {})
    assert main("export minnet-out --to onnx --out exported".split()) == 0
    assert main("prune minnet-out --data t.csv --epochs 1 --sparsity 0.5 --out again".split()) == 0
    (folder / "nothing").mkdir()
    assert main(["evaluate", "nothing", "--data", "t.csv"]) == 2
    assert "give a file, not a folder" in capsys.readouterr().err


def test_few_weights_where_columns_were_meant_are_told(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    table = str(folder / "t.csv")
    for options, told in (("--keep 2", True), ("--keep 7", False), ("--keep 2 --structure input", False)):
        assert main(["prune", table, "--epochs", "1", "--model", "mlp", *options.split()]) == 0
        assert ("to keep 2 of the 6 columns add --structure input" in capsys.readouterr().err) == told


@pytest.mark.filterwarnings("ignore:the columns of X are in another order")
def test_names_are_told_and_the_full_table_is_taken(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    result = json.loads((folder / "minnet-out" / "result.json").read_text())
    kept = result["inputs"]["kept"]
    assert len(kept) == 2 and kept == [name for name in NAMES if name in kept] and result["inputs"]["of"] == 6
    assert result["sparsity"]["reached_units"] == 4 / 6
    assert main(["report", "minnet-out"]) == 0
    assert f"inputs kept, 2 of 6: {', '.join(kept)}" in (folder / "minnet-out" / "report.html").read_text()
    model = "minnet-out/model.safetensors"
    scores = [answer(capsys, "evaluate", model, "--data", name)["accuracy"] for name in ("t.csv", "reversed.csv")]
    assert scores[0] == scores[1]
    found = [answer(capsys, "predict", model, name)["classes"] for name in ("rows.csv", "bare.csv", "own.csv", "t.csv")]
    assert found[0] == found[1] == found[2] == found[3] and len(found[0]) == 240


def test_a_missing_column_is_named(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["predict", "minnet-out/model.safetensors", "short.csv"]) == 2
    assert "minnet: " in (told := capsys.readouterr().err) and told.count("\n") == 1


def test_inputs_are_pruned_again(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    result = answer(capsys, "prune", "minnet-out/model.safetensors", "--data", "t.csv", "--structure", "input",
                    "--keep", "1", "--epochs", "1", "--out", "again")
    assert result["inputs"]["of"] == 6 and len(result["inputs"]["kept"]) == 1
    assert 0 <= answer(capsys, "evaluate", "again/model.safetensors", "--data", "t.csv")["accuracy"] <= 1
