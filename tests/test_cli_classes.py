"""Classes at the command line: tables on request, weights that balance them, a hint where they are very unequal."""
import json

import numpy as np
import pytest

import minnet as mn
from minnet.cli import main
from minnet.study import measure

COUNTS = {"ant": 240, "bee": 20}


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run a command in a folder with unequal.csv: command("train", ...) -> (standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    rng = np.random.default_rng(0)
    rows = [f"{a:.4f},{b:.4f},{label}" for label, n in COUNTS.items()
            for a, b in rng.normal(loc=label == "bee", size=(n, 2))]
    (tmp_path / "unequal.csv").write_text("\n".join(["a,b,kind", *rows]))

    def run(*argv, code=0):
        capsys.readouterr()
        assert main(list(argv)) == code
        return capsys.readouterr()
    return run


def test_imbalance_gets_a_line_that_names_the_option(command):
    train = ("train", "unequal.csv", "--model", "mlp", "--epochs", "3")
    plain = command(*train)
    line, = (line for line in plain.err.splitlines() if "--class-weight balanced" in line)
    assert "bee" in line and "(12:1)" in line
    balanced = command(*train, "--class-weight", "balanced", "--json")
    assert "--class-weight" not in balanced.err
    recall = json.loads(balanced.out)["per_class"]["recall"][1]
    assert recall > json.loads(command(*train, "--json").out)["per_class"]["recall"][1]
    assert "class_weight" in command(*train, "--class-weight", "equal", code=2).err.replace("-", "_")


def test_digits_are_balanced_enough(command):
    assert "class-weight" not in command("train", "digits", "--epochs", "1").err


def test_evaluate_prints_each_class_on_request(command):
    command("train", "digits", "--epochs", "1")
    plain = command("evaluate", "minnet-out/model.safetensors").out
    table = command("evaluate", "minnet-out/model.safetensors", "--per-class").out
    assert "recall (95 %)" in table and "recall (95 %)" not in plain and table.startswith(plain.rstrip())
    found = json.loads(command("evaluate", "minnet-out/model.safetensors", "--json").out)
    data = mn.load_data("digits", rng=0)
    wanted = mn.evaluate(mn.load("minnet-out/model.safetensors"), data.X_test, data.y_test)
    assert found["per_class"]["f1"] == wanted.per_class.f1.tolist()
    assert found["confusion"] == wanted.confusion.tolist() and found["classes"] == list(range(10))
    np.testing.assert_allclose(found["intervals"]["accuracy"], wanted.intervals.accuracy)
    balanced = json.loads(command("evaluate", "minnet-out/model.safetensors", "--class-weight", "balanced",
                                  "--json").out)
    assert balanced["accuracy"] == pytest.approx(found["recall_macro"])


def test_pruning_tells_of_each_class(command):
    asked = command("prune", "digits", "--epochs", "1", "--sparsity", "0.9", "--per-class")
    with open("minnet-out/result.json") as file:
        result = json.load(file)
    for net in ("before", "after"):
        table, confusion = result[net]["per_class"], np.array(result[net]["confusion"])
        assert table["support"] == confusion.sum(axis=1).tolist()
        np.testing.assert_allclose(table["recall"], confusion.diagonal() / confusion.sum(axis=1))
        assert {"precision", "recall", "f1"} == set(table["intervals"])
    flips = result["change"]["flips"]
    lost, gained = (len(flips[name]["rows"]) for name in ("right_to_wrong", "wrong_to_right"))
    rows = result["samples"]["test"]
    assert result["change"]["accuracy"]["difference"] == pytest.approx((gained - lost) / rows, abs=1e-12)
    assert all(f"\n{label} " in asked.out for label in range(10)) and "R pruned" in asked.out
