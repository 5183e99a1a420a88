"""Numbers instead of classes at the command line: scikit-learn's diabetes table goes through every command."""
import ctypes
import json
import shutil
import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import minnet as mn
from minnet.cli import main
from minnet.study import measure

TABLE = load_diabetes(scaled=False)


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run a command in a folder with diabetes.csv: command("train", ...) -> (standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    np.savetxt("diabetes.csv", np.column_stack([TABLE.data, TABLE.target]), delimiter=",", comments="", fmt="%.10g",
               header=",".join([*TABLE.feature_names, "target"]))

    def run(*argv, code=0):
        capsys.readouterr()
        assert main(list(argv)) == code
        return capsys.readouterr()
    return run


@pytest.fixture
def pruned(command):
    """What `minnet prune diabetes.csv` printed, a small net of one hidden layer."""
    return command("prune", "diabetes.csv", "--task", "regression", "--model", "mlp", "--sparsity", "0.5", "--epochs",
                   "5", "--guard", "r2:0.2", "--precision", "int8", "--json")


def test_the_scores_before_and_after(command, pruned):
    """R2, MAE and RMSE in result.json, on the terminal and in the report, with intervals; of a good net."""
    result = json.loads(pruned.out)
    with open("minnet-out/result.json") as file:
        assert json.load(file)["after"]["r2"] == result["after"]["r2"]
    assert result["task"] == "regression" and result["classes"] is None and "number: column 'target'" in pruned.err
    for net in ("before", "after"):
        figures = result[net]
        assert figures["r2"] > 0.3 and figures["mae"] < figures["rmse"] < 77 and "r2_int8" in figures
        for name in ("r2", "mae", "rmse", "loss"):
            low, high = figures["intervals"][name]
            assert low < figures[name] < high
    difference = result["after"]["r2"] - result["before"]["r2"]
    assert result["change"]["r2"]["difference"] == pytest.approx(difference)
    assert f"R2 {result['before']['r2']:.4f} -> {result['after']['r2']:.4f}" in result["words"]
    with open("minnet-out/report.html") as file:
        page = file.read()
    assert "root mean squared error" in page and f"{result['after']['rmse']:.5g}" in page and "accuracy" not in page


def test_evaluate_and_predict_take_the_table_again(command, pruned):
    model, part = "minnet-out/model.safetensors", json.loads(pruned.out)["after"]
    tested = json.loads(command("evaluate", model, "--data", "diabetes.csv", "--part", "test", "--json").out)
    assert all(tested[name] == pytest.approx(part[name], rel=1e-5) for name in ("r2", "mae", "rmse", "loss"))
    found = np.array(json.loads(command("predict", model, "diabetes.csv", "--json").out)["numbers"])
    lines = command("predict", model, "diabetes.csv").out.split()
    np.testing.assert_allclose([float(line) for line in lines], found, rtol=1e-8)
    whole = json.loads(command("evaluate", model, "--data", "diabetes.csv", "--json").out)
    for name, score in (("r2", r2_score), ("mae", mean_absolute_error), ("rmse", root_mean_squared_error)):
        assert whole[name] == pytest.approx(score(TABLE.target, found), rel=1e-4)
    np.savetxt("new.csv", TABLE.data[:3], delimiter=",", header=",".join(TABLE.feature_names), comments="", fmt="%.10g")
    np.testing.assert_allclose([float(line) for line in command("predict", model, "new.csv").out.split()], found[:3],
                               rtol=1e-6)
    assert "this model gives numbers" in command("evaluate", model, "--data", "diabetes.csv", "--per-class", code=2).err
    asked = ["prune", "diabetes.csv", "--task", "regression", "--per-class"]
    assert "this model gives numbers" in command(*asked, code=2).err
    assert "has learnt numbers" in command("evaluate", model, "--data", "diabetes.csv", "--task", "classification",
                                           code=2).err


def test_exports_give_the_same_numbers(command, pruned):
    """ONNX in ONNX Runtime, imported again, and C by a compiler: raw rows in, numbers in their units out."""
    runtime = pytest.importorskip("onnxruntime")
    model = "minnet-out/model.safetensors"
    wanted = np.array(json.loads(command("predict", model, "diabetes.csv", "--json").out)["numbers"])
    told = command("export", model, "--to", "onnx", "--out", "out").err
    assert "numbers in the units of the target" in told
    found, = runtime.InferenceSession("out/model.onnx").run(None, {"input": TABLE.data.astype(np.float32)})
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-4)
    command("import", "out/model.onnx", "--out", "again")
    again = json.loads(command("predict", "again/model.safetensors", "diabetes.csv", "--json").out)["numbers"]
    np.testing.assert_allclose(again, wanted, rtol=1e-4)
    command("export", model, "--to", "c", "--out", "out")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    flags = ["-std=c99", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "out/model.c", "-o", "out/m.so", "-lm"], check=True)
    library, output, work = ctypes.CDLL("out/m.so"), np.zeros(1, np.float32), np.zeros(10_000, np.float32)
    for row, number in zip(TABLE.data[:20].astype(np.float32), wanted, strict=False):
        library.minnet_predict(*(array.ctypes.data_as(ctypes.c_void_p) for array in (row, output, work)))
        assert output[0] == pytest.approx(number, rel=1e-4)


@pytest.mark.parametrize("argv, code, words", [
    (["train", "diabetes.csv"], 2, ["column 'target' holds 214 different numbers in 442 rows", "--task regression"]),
    (["train", "diabetes.csv", "--task", "numbers"], 2, ["regression"]),
    (["prune", "diabetes.csv", "--task", "regression", "--guard", "accuracy:0.01"], 2, ["'accuracy'", "r2, rmse"]),
    (["prune", "diabetes.csv", "--task", "regression", "--model", "mlp", "--guard", "r2:0", "--structure", "1:8",
      "--criterion", "random", "--recipe", "one_shot", "--epochs", "1"], 1, ["within the guard", "r2 changed from"]),
    (["train", "digits", "--task", "regression", "--model", "mlp", "--epochs", "1"], 0, []),
    (["train", "diabetes.csv", "--task", "regression", "--class-weight", "balanced"], 2,
     ["is for classes", "leave it out"]),
    (["train", "diabetes.csv", "--task", "regression", "--test", "other.csv"], 2,
     ["no column 'target', which is the target"]),
    (["train", "one.csv", "--target", "a", "--ignore", "b"], 2, ["no column left beside the target"])])
def test_one_line_leads_to_the_mend(command, argv, code, words, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2.5\n3,4.5\n")
    (tmp_path / "one.csv").write_text("a,b\n1,2.5\n3,4.5\n")
    err = command(*argv, code=code).err
    lines = [line for line in err.splitlines() if line.startswith("minnet: ")]
    assert len(lines) == (code != 0) and all(word in lines[0] for word in words), err


def test_a_net_from_elsewhere_is_pruned_on_numbers(command):
    """A net without a signature that gives numbers takes rows and gives numbers as they are."""
    net = mn.models.mlp((10,), 1, hidden=(4,), rng=0)
    mn.save(net, "bare.safetensors")
    done = json.loads(command("prune", "bare.safetensors", "--data", "diabetes.csv", "--task", "regression", "--epochs",
                              "1", "--lr", "1e-6", "--sparsity", "0.2", "--json", "--out", "o").out)
    assert done["task"] == "regression" and done["settings"]["task"] == "regression"
    model = mn.load("o/model.safetensors")
    assert model.signature.task == "numbers" and model.signature.target_scaling is None


def test_several_columns_are_learnt_at_once(command):
    """--target twice: two outputs, each in its units; predict takes the table with them, without, or with one."""
    targets = ("--target", "target", "--target", "s1")
    done = command("train", "diabetes.csv", "--task", "regression", *targets, "--model", "mlp", "--epochs", "10")
    assert "columns 'target', 's1' (regression)" in done.err
    model = "minnet-out/model.safetensors"
    known = [name for name in TABLE.feature_names if name != "s1"]
    wanted = np.column_stack([TABLE.target, TABLE.data[:, TABLE.feature_names.index("s1")]])
    found = np.array(json.loads(command("predict", model, "diabetes.csv", "--json").out)["numbers"])
    assert found.shape == wanted.shape and (r2_score(wanted, found, multioutput="raw_values") > 0.3).all()
    lines = command("predict", model, "diabetes.csv").out.split()
    np.testing.assert_allclose([[float(cell) for cell in line.split(",")] for line in lines], found, rtol=1e-7)
    whole = json.loads(command("evaluate", model, "--data", "diabetes.csv", "--json").out)
    assert whole["r2"] == pytest.approx(r2_score(wanted, found), rel=1e-4)
    assert whole["mae"] == pytest.approx(mean_absolute_error(wanted, found), rel=1e-4)
    places = [TABLE.feature_names.index(name) for name in known]
    for more in ([], ["s1"]):
        columns = [*places, *(TABLE.feature_names.index(name) for name in more)]
        np.savetxt("new.csv", TABLE.data[:3, columns], delimiter=",", comments="", fmt="%.10g",
                   header=",".join([*known, *more]))
        told = command("predict", model, "new.csv", "--json").out
        np.testing.assert_allclose(json.loads(told)["numbers"], found[:3], rtol=1e-6)
    again = command("train", "diabetes.csv", "--task", "regression", "--target", "10", "--target", "4", "--model",
                    "mlp", "--epochs", "10", "--out", "again").err
    assert "columns 'target', 's1'" in again
    first, second = mn.load(model), mn.load("again/model.safetensors")
    assert first.values.tobytes() == second.values.tobytes() and first.signature == second.signature
    for wrong, words in ((("--target", "target", "--target", "target"), "twice"),
                         (("--target", "target", "--target", "no"), "unknown column"),
                         (("--target", "target", "--target", "s1", "--ignore", "s1"), "ignore too")):
        assert words in command("train", "diabetes.csv", "--task", "regression", *wrong, code=2).err
    assert "regression" in command("train", "diabetes.csv", *targets, code=2).err
