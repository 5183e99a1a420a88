"""The command line: what it prints where, what it writes, and how it ends, good input and bad.

Most commands run in this process, on few epochs; what is about processes (imports, pipes) runs in one of its own.
"""
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

import minnet as mn
from minnet.cli import compiling, main
from minnet.cli.commands import COMMANDS, load
from minnet.cli.console import Console
from minnet.cli.imbalance import say_missing_classes, say_nothing_learned
from minnet.cli.rule import load_rule
from minnet.cli.signals import SIGNALS, handle_signals
from minnet.report.rows import FIGURES

EPOCHS = 4
WEIGHTS = 64 * 300 + 300 * 100 + 100 * 10
PROMISED = {  # of result.json
    "": {"data", "model", "seed", "criterion", "structure", "recipe", "threads", "sparsity", "before", "after"},
    "sparsity": {"asked", "of", "reached_weights", "reached_units"},
    "before": {"accuracy", "recall_macro", "f1_macro", "parameters", "macs", "bytes_on_disk", "latency_us",
               "throughput_per_s", "per_class", "confusion"},
}
PROMISED["after"] = PROMISED["before"]


class Ended:
    """A command that has run: its code, what it printed, and the folder it wrote to."""

    def __init__(self, code, captured, out):
        self.code, self.stdout, self.stderr, self.out = code, captured.out, captured.err, out

    @property
    def result(self):
        """What result.json holds."""
        return json.loads((self.out / "result.json").read_text())


@pytest.fixture
def command(capsys, tmp_path, monkeypatch, few_rounds):
    """Run a command in an empty folder: command("prune", "digits", ...) -> Ended."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        capsys.readouterr()
        return Ended(main(list(argv)), capsys.readouterr(), tmp_path / "minnet-out")
    return run


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One finished `minnet prune digits` in a process of its own, as a pipe sees it."""
    folder = tmp_path_factory.mktemp("done")
    ran = process("prune", "digits", "--epochs", str(EPOCHS), "--seed", "3", cwd=folder)
    captured = type("Captured", (), {"out": ran.stdout, "err": ran.stderr})
    return Ended(ran.returncode, captured, folder / "minnet-out")


def process(*argv, cwd=None, stdout=subprocess.PIPE):
    """`python -m minnet ...`, with its output as text."""
    return subprocess.run([sys.executable, "-m", "minnet", *argv], cwd=cwd, env=environment(), text=True, timeout=300,
                          stdout=stdout, stderr=subprocess.PIPE)


def environment():
    """That of this process, with this minnet in it."""
    return {**os.environ, "PYTHONPATH": str(Path(mn.__file__).parents[1])}


# --- the main job ----------------------------------------------------------------------------------------------------

def test_the_main_job_prints_the_result_alone_on_standard_output(done):
    assert done.code == 0
    assert "\033" not in done.stdout + done.stderr, "colours belong on terminals"
    labels = [label for _, label, *_ in FIGURES] + ["dense1", "dense2", "dense3"]
    assert [label for label in labels if f"\n{label} " not in done.stdout] == []
    assert " ".join(done.stdout.split()).endswith(done.result["words"])
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_count_is_told_before_anything_goes(done):
    told = [line for line in done.stderr.splitlines() if line.startswith("removing")]
    assert told == [f"removing {round(0.9 * WEIGHTS):,} of {WEIGHTS:,} weights (90.0%) by gradual pruning"]


def test_a_cut_through_a_layer_is_told_before_it_happens(command):
    ended = command("prune", "--epochs", "1", "--sparsity", "1")
    told = [line for line in ended.stderr.splitlines() if line.startswith("removing")]
    assert told[0].endswith("in the present model this cuts the last path through dense1, dense2, dense3")
    assert ended.result["sparsity"]["effective"] == 1


def test_layers_are_measured_on_the_trained_net_and_stay_the_same(command):
    ended = command("prune", "--epochs", "2", "--layers", "insensitive:1", "--sparsity", "0.8")
    shares = [layer["sparsity"] for layer in ended.result["layers"]]
    assert sorted(shares)[:2] == [0, 0] and abs(max(shares) - 0.8) < 1e-3
    assert ended.result["sparsity"]["asked"] == 0.8


def test_result_json_holds_what_is_promised(done):
    for place, names in PROMISED.items():
        held = done.result[place] if place else done.result
        assert names <= set(held), place
    assert done.result["sparsity"]["reached_weights"] == pytest.approx(round(0.9 * WEIGHTS) / WEIGHTS, abs=1e-15)
    assert done.result["sparsity"]["of"] == "weights"
    assert (done.result["data"], done.result["model"], done.result["seed"]) == ("digits", "lenet_300_100", 3)


@pytest.mark.parametrize(("file", "side"), [("dense", "before"), ("model", "after")])
def test_the_figures_are_those_of_the_files(done, file, side):
    """Everything but the times can be found again from the file that was written."""
    path, figures = done.out / f"{file}.safetensors", done.result[side]
    model, data = mn.load(path), mn.load_data("digits", rng=3)
    right = model(data.X_test).argmax(axis=1) == data.y_test
    recalls = [right[data.y_test == digit].mean() for digit in range(10)]
    assert figures["accuracy"] == pytest.approx(right.mean(), abs=1e-12)
    assert figures["recall_macro"] == pytest.approx(np.mean(recalls), abs=1e-12)
    assert figures["bytes_on_disk"] == path.stat().st_size
    live = sum(int(np.count_nonzero(p.mask)) for p in model.parameters.values())
    assert figures["parameters"] == live
    assert figures["macs"] == sum(int(np.count_nonzero(p.mask)) for p in model.weight_parameters)


def test_layers_add_up_to_the_whole(done):
    layers = done.result["layers"]
    assert sum(layer["weights"] for layer in layers) == WEIGHTS
    assert sum(layer["remaining"] for layer in layers) == WEIGHTS - round(0.9 * WEIGHTS)
    for net, figures, model in (("before", done.result["before"], "dense"), ("after", done.result["after"], "model")):
        rows = [layer[net] for layer in layers]
        whole = mn.load(done.out / f"{model}.safetensors")
        assert [tuple(row["shape"]) for row in rows] == [row.shape for row in whole.summary().rows]
        assert sum(row["macs"] for row in rows) == figures["macs"]
        assert sum(row["remaining"] for row in rows) == np.count_nonzero(whole.weights)
        assert 0 < figures["bytes_on_disk"] - sum(row["bytes"] for row in rows) < 4096  # the header
        assert all(row["latency_us"] > 0 for row in rows)


def test_pruned_and_dense_get_the_same_epochs(done):
    stages = [step["stage"] for step in done.result["history"]]
    assert [stages.count(stage) for stage in dict.fromkeys(stages)] == [EPOCHS] * 3
    sparsity = [step["sparsity"] for step in done.result["history"]][EPOCHS : 2 * EPOCHS]
    assert sparsity == sorted(sparsity)
    assert sparsity[EPOCHS // 2 - 1] == sparsity[-1] == done.result["sparsity"]["reached_weights"]


def test_the_same_seed_gives_the_same_bytes(done, command):
    again = command("prune", "digits", "--epochs", str(EPOCHS), "--seed", "3", "--quiet")
    other = command("prune", "digits", "--epochs", str(EPOCHS), "--seed", "4", "--out", "other")
    assert again.stderr == "", "--quiet"
    for name in ("model.safetensors", "dense.safetensors"):
        assert (again.out / name).read_bytes() == (done.out / name).read_bytes()
        assert (other.out.parent / "other" / name).read_bytes() != (done.out / name).read_bytes()


def test_json_is_one_object_and_nothing_else(command):
    ended = command("prune", "digits", "--epochs", "1", "--json")
    assert json.loads(ended.stdout) == ended.result
    assert ended.stdout.count("\n") == 1


def test_pruning_goes_on_from_a_saved_model(done, command):
    path = done.out / "model.safetensors"
    ended = command("prune", str(path), "--data", "digits", "--sparsity", "0.95", "--epochs", "2")
    before = mn.load(path)
    data = mn.load_data("digits", rng=0)
    assert ended.code == 0
    assert ended.result["start"]["accuracy"] == mn.evaluate(before, data.X_test, data.y_test).accuracy
    gone = before.n_weights - sum(layer["remaining"] for layer in ended.result["layers"])
    assert gone == round(0.95 * before.n_weights)
    assert len(ended.result["history"]) == 2 * 2, "no epochs before pruning"


def cut(result):
    """How much of each layer is gone."""
    return [layer["sparsity"] for layer in result["layers"]]


OPTIONS = {  # options: what must hold of the result
    "--structure neuron --sparsity 0.5":
        lambda r: (r["sparsity"]["of"], r["sparsity"]["reached_units"]) == ("units", 0.5),
    "--structure 2:4": lambda r: r["sparsity"]["reached_weights"] == 0.5,
    "--structure n_m": lambda r: r["sparsity"]["reached_weights"] == 0.5,
    "--model small_conv --structure pattern": lambda r: np.allclose(cut(r), [5 / 9, 5 / 9, 0, 0]),
    "--count 100": lambda r: sum(layer["weights"] - layer["remaining"] for layer in r["layers"]) == 100,
    "--keep 100": lambda r: sum(layer["remaining"] for layer in r["layers"]) == 100,
    "--structure input --keep 20": lambda r: (len(r["inputs"]["kept"]), r["inputs"]["of"]) == (20, 64),
    "--layers dense2 --sparsity 0.5": lambda r: cut(r) == [0, 0.5, 0],
    "--protect dense1,dense3 --sparsity 0.5": lambda r: cut(r) == [0, 0.5, 0],
    "--distribution layerwise --sparsity 0.5": lambda r: cut(r) == [0.5] * 3,
    "--recipe one_shot": lambda r: r["history"][1]["sparsity"] == r["sparsity"]["reached_weights"],
    "--criterion taylor": lambda r: r["criterion"] == "taylor",
    "--compensate mean_replacement": lambda r: r["settings"]["compensate"] == "mean_replacement",
    "--schedule arithmetic": lambda r: r["settings"]["schedule"] == "arithmetic",
    "--penalty l1:0.01 --penalty l2:0.001": lambda r: r["settings"]["penalty"] == [["l1", 0.01], ["l2", 0.001]],
    "--optimizer adam --lr 0.002": lambda r: "Adam(lr=0.002" in r["settings"]["optimizer"],
    "--batch-size 100 --value-range 0 9": lambda r: r["settings"]["batch_size"] == 100,
    "--model small_conv --structure filter --sparsity 0.25": lambda r: r["model"] == "small_conv",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_does_what_it_says(command, options):
    ended = command("prune", "digits", "--epochs", "1", *options.split())
    assert ended.code == 0, ended.stderr
    assert OPTIONS[options](ended.result)


def test_a_rule_of_the_users_own_is_obeyed(command, tmp_path):
    (tmp_path / "rules.py").write_text(
        "import numpy as np\ndef last(model, data):\n    print('judging')\n    return -np.arange(model.n_weights)\n")
    ended = command("prune", "digits", "--epochs", "1", "--count", "1000", "--rule", "rules.py:last", "--json")
    assert [layer["remaining"] for layer in json.loads(ended.stdout)["layers"]] == [19_200, 30_000, 0]
    assert "judging" in ended.stderr, "what a rule prints does not mix with the result"
    assert ended.result["criterion"] == "last"


def test_guards(command):
    prune = "prune digits --model mlp --epochs 1 "
    ended = command(*(prune + "--sparsity 1 --guard accuracy:0.03,flips:0.1 --guard loss:100").split())
    assert ended.code == 0 and "short of the 100.0% asked for" in last_line(ended)
    assert "accuracy changed from" in ended.stdout and "loss changed" not in ended.stdout
    found = ended.result["guard"]
    assert found["before"]["accuracy"] - found["after"]["accuracy"] <= 0.03 < found["search"]["reached"]
    ended = command(*(prune + "--structure 1:8 --criterion random --recipe one_shot --guard loss:0 "
                      "--guard accuracy:0.9").split())
    assert ended.code == 1
    assert "loss changed from" in last_line(ended) and "accuracy changed" not in last_line(ended)
    assert ended.result["after"]["accuracy"] == ended.result["before"]["accuracy"], "the dense net is kept"
    assert command("prune", "digits", "--epochs", "1", "--sparsity", "0", "--guard", "f1_macro:0.001").code == 0


# --- the other commands ----------------------------------------------------------------------------------------------

def test_train_evaluate_inspect_predict(command, tmp_path):
    trained = command("train", "digits", "--epochs", "2", "--json")
    path = str(trained.out / "model.safetensors")
    said = json.loads(trained.stdout)
    scored = json.loads(command("evaluate", path, "--json").stdout)
    assert scored["accuracy"] == said["accuracy"]
    held = json.loads(command("inspect", path, "--json").stdout)
    assert [layer["weights"] for layer in held["layers"]] == [19_200, 30_000, 1_000]
    assert held["trained_on"] == "digits"
    labels = command("predict", path, "digits").stdout.split()
    data = mn.load_data("digits", rng=0)
    assert np.mean(np.array(labels, int) == data.y_test) == pytest.approx(said["accuracy"], abs=1e-12)


def test_predict_knows_the_scaling_and_the_names_of_the_classes(command, tmp_path):
    """Raw rows, with and without classes, in a table or an archive: the same classes, in the training data's words."""
    rng = np.random.default_rng(0)
    X = rng.integers(-50, 50, (200, 3))
    words = np.where(X[:, 0] > 0, "hot", "cold")
    table = "\n".join(["a,b,c,kind", *(",".join(map(str, [*row, word])) for row, word in zip(X, words, strict=True))])
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "new.csv").write_text("\n".join(["a,b,c", *(",".join(map(str, row)) for row in X)]))
    np.savez(tmp_path / "new.npz", X=X)
    command("train", "t.csv", "--model", "mlp", "--epochs", "20")
    answers = [command("predict", "minnet-out/model.safetensors", name).stdout.split()
               for name in ("t.csv", "new.csv", "new.npz")]
    assert answers[0] == answers[1] == answers[2]
    assert np.mean(np.array(answers[0]) == words) > 0.9


def test_inspect_tells_of_data(command):
    facts = json.loads(command("inspect", "digits", "--json").stdout)
    assert (facts["train"] + facts["valid"] + facts["test"], facts["n_classes"]) == (1797, 10)


def test_bench_times_dense_against_sparse(command):
    ended = command("bench", "--sparsity", "0.9", "--json")
    nets = json.loads(ended.stdout)["nets"]
    assert [net["name"] for net in nets] == ["dense", "90.0% pruned"]
    assert all(net["latency_us"] > 0 and net["throughput_per_s"] > 0 for net in nets)
    assert all("scikit-learn" in {row["peer"] for row in net["peers"]} for net in nets)
    shown = command("bench", "--sparsity", "0.5").stdout
    assert "one sample (us)" in shown and "scikit-learn, 50.0% pruned" in shown


def test_prune_writes_weights_in_eight_bits(command):
    """Told by inspect; and the figures are those of what is written."""
    ended = command("prune", "digits", "--epochs", "2", "--precision", "int8", "--json")
    result, path = json.loads(ended.stdout), ended.out / "model.safetensors"
    assert result["after"]["accuracy"] == result["after"]["accuracy_int8"]
    assert result["after"]["bytes_on_disk"] == path.stat().st_size
    for name, precision in (("model", "int8"), ("dense", "float32")):
        facts = json.loads(command("inspect", str(ended.out / f"{name}.safetensors"), "--json").stdout)
        assert (facts["precision"], facts["dtype"]) == (precision, "float32")


def test_report_writes_the_page_again(done, command, tmp_path):
    page = (done.out / "report.html").read_bytes()
    (done.out / "report.html").unlink()
    ended = command("report", str(done.out))
    assert ended.stdout.strip() == str(done.out / "report.html")
    assert (done.out / "report.html").read_bytes() == page


def test_a_folder_never_holds_a_mix_of_two_runs(done, command, tmp_path):
    out = tmp_path / "minnet-out"
    out.mkdir()
    for path in done.out.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    ended = command("train", "digits", "--epochs", "1")
    assert [path.name for path in out.iterdir()] == ["model.safetensors"]
    assert last_line(ended) == "wrote model.safetensors to minnet-out (removed, from the previous run: " \
        "result.json, report.html, dense.safetensors)"
    assert command("report", "minnet-out").code == 2


# --- help ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_each_command(command, name):
    ended = command(name, "--help")
    parser, _ = load(name)
    assert (ended.code, ended.stderr) == (0, "")
    assert f"minnet {name}" in ended.stdout
    whole = command(name, "--help", "all").stdout
    for text in (ended.stdout, whole):
        assert max(map(len, text.splitlines())) <= 80
    assert len(ended.stdout.splitlines()) <= 60
    for heading, table in (parser.tables() if parser.tables else {}).items():
        names = whole.partition(f"\n{heading}: ")[2].partition("\n" + "\n")[0]
        assert set(table) <= set(re.split(r"[,:\s]+", names))
    for action in parser._actions:
        for option in action.option_strings[-1:]:
            assert option in ended.stdout and (f"  {option}" in whole or "--help" in option)
            assert len(action.help.split()) > 1 and "(" not in action.help.partition(";")[0][:1], option


@pytest.mark.parametrize("words", [["tables"], ["training"], ["always"], ["nonsense"], ["--json"]])
def test_help_of_a_topic_is_that_alone(command, words):
    """And the first page where there is no such topic."""
    shown = command("prune", "digits", "--help", *words).stdout
    parser, _ = load("prune")
    if words[0] not in parser.folded:
        assert shown == command("prune", "--help").stdout
    else:
        assert shown.startswith(f"{words[0]}:\n") and "usage" not in shown
        assert shown.count("\n  -") == len(parser.topic(words[0])._group_actions)


def test_list_tells_every_name_of_every_table(command):
    from minnet.cli.listing import tables

    found = tables()
    whole = json.loads(command("list", "--json").stdout)
    assert whole == {table: list(names) for table, names in found.items()}
    for table, names in found.items():
        told = command("list", table).stdout
        assert all(f"\n{name} " in f"\n{told}" for name in names) and max(map(len, told.splitlines())) <= 80
        for name in names:
            assert len(command("list", table, name, "--quiet").stdout) > 40, f"{table} {name}"
    assert "References" in command("list", "criteria", "taylor").stdout
    assert command("list", "criterion").code == command("list", "criteria", "tailor").code == 2


def test_the_overview_lists_every_command(command):
    text = command("--help").stdout
    assert all(f"\n  {name} " in text and row.help in text for name, row in COMMANDS.items())
    assert max(map(len, text.splitlines())) <= 80
    assert command("--version").stdout == f"minnet {mn.__version__}\n"


@pytest.mark.parametrize("words", ["--help", "--version", "", "nonsense", "prune --sparsity 2", "prune --nonsense",
                                   "prune --epochs x", "--json", "evaluate"])
def test_help_and_bad_options_load_neither_numpy_nor_numba(words):
    code = "import sys; from minnet.cli import main; main(sys.argv[1:]); print({'numpy', 'numba'} & set(sys.modules))"
    argv = [sys.executable, "-c", code, *words.split()]
    ran = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60)
    assert ran.stdout.endswith("set()\n")


# --- bad input -------------------------------------------------------------------------------------------------------

FILES = {
    "nan.csv": "a,b,c\n1,2,x\n3,nan,y\n",
    "text.csv": "a,b,c\n1,2,x\n3,hello,y\n",
    "words.csv": "id,b,c\n" + "".join(f"r{i},{i},{'xy'[i % 2]}\n" for i in range(16)),
    "one.csv": "a,b\n1,x\n2,x\n3,x\n",
    "ragged.csv": "a,b,c\n1,2,x\n3,y\n",
    "empty.npz": "",
    "broken.npz": "PK\3\4 and no more",
    "broken.safetensors": "\x09\0\0\0\0\0\0\0{\"a\": 1}}",
    "a_file": "not a folder",
    "rules.py": "import numpy as np\ndef nan(model, data):\n    return np.full(model.n_weights, np.nan)\n"
                "def short(model, data):\n    return np.ones(3)\ndef boom(model, data):\n    return 1 / 0\n"
                "def leave(model, data):\n    raise SystemExit(3)\n"
                "def stop(model, data):\n    raise KeyboardInterrupt\n",
    "syntax.py": "def f(:\n",
}
BAD = {  # arguments: what the one line must say
    "": "no command given",
    "pruen digits": "did you mean prune?",
    "prune digitz": "did you mean digits?",
    "prune digits --model lenet_300": "did you mean lenet_300_100",
    "prune digits --criterion magnitud": "did you mean magnitude",
    "prune digits --structure neurons": "did you mean neuron?",
    "prune digits --distribution globl": "did you mean global?",
    "prune digits --schedule cubik": "did you mean cubic?",
    "prune digits --recipe gradul": "did you mean gradual?",
    "prune digits --compensate least_square": "did you mean least_squares?",
    "prune digits --compensate recalibrate_batchnorm": "this model has none",
    "prune digits --optimizer sdg": "did you mean sgd?",
    "prune digits --penalty l11:0.1": "did you mean l1",
    "prune digits --penalty l1": "wanted NAME:STRENGTH",
    "prune digits --penalty l1:-1": "-1",
    "prune digits --layers conv*": "dense1",
    "prune digits --layers insensitive:9": "--layers 'insensitive:9': the model has 3 layers with weights",
    "prune digits --protect dense1,last:4": "--protect 'last:4': the model has 3 layers",
    "prune digits --protect dens1": "did you mean dense1",
    "prune digits --sparsity 1.5": "1.5",
    "prune digits --sparsity 90": "did you mean 0.9?",
    "prune digits --sparsity nan": "nan",
    "prune digits --sparsity lots": "lots",
    "prune digits --sparsity": "expected one argument",
    "prune digits --sparisty 0.9": "did you mean --sparsity?",
    "prune digits --sparsity 0.5 --count 3": "give one of them",
    "prune digits --keep 5 --count 3": "--count 3 and --keep 5: give one of them",
    "prune digits --keep 999999": "--keep 999999; wanted",
    "prune digits --structure input --keep 0": "64 inputs: the last input of an axis stays; ask for at most 63",
    "prune digits --structure neuron --sparsity 1": "neurons: the last neuron of an axis stays; ask for at most 398",
    "prune digits --model small_conv --structure input": "a single channel",
    "prune digits --structure input --criterion apoz": "all inputs alike",
    "prune digits --structure 2:4 --sparsity 0.5": "sparsity",
    "prune digits --count 999999": "999999",
    "prune digits --value-range 2 1": "--value-range (2.0, 1.0); wanted",
    "prune digits --precision magnitud": "unknown precision 'magnitud'; choose from: float32, int8",
    "prune digits --guard acuracy:0.1": "did you mean accuracy or",
    "prune digits --guard accuracy": "wanted SCORE:LOSS",
    "prune digits --guard accuracy:-1": "-1",
    "prune digits --epochs 0": "at least 1",
    "prune digits --seed -1": "-1",
    "prune digits --lr 0": "above 0",
    "prune digits more": "more",
    "prune digits --data digits": "needs a saved model",
    "prune text.csv --data digits": "is a text file, not a model file",
    "prune missing.onnx --data digits": "no such file",
    "prune digits --model lenet_5": "16 x 16",
    "prune nan.csv --missing error": "line 3, column 2",
    "prune words.csv": "'id' holds 11 different texts in 11 rows, too many for categories",
    "prune words.csv --categories i": "did you mean id?",
    "prune words.csv --ignore id --missing mean": "mean",
    "prune text.csv": "'hello'",
    "prune one.csv": "1 classes",
    "prune ragged.csv": "line 3",
    "prune nan.csv --target z": "'z'",
    "train digits --target kind": "--target 'kind' is for files, and this is 'digits'",
    "train no_x.npz": "(save it with np.savez(file, X=...))",
    "prune missing.npz": "missing.npz",
    "prune empty.npz": "empty",
    "prune broken.npz": "broken.npz: is a zip archive that is damaged or cut off",
    "prune broken.safetensors --data digits": "broken.safetensors",
    "prune digits --out=": "names no folder; wanted one, such as minnet-out",
    "prune digits --out a_file": "is a file, not a folder",
    "prune digits --out /proc/minnet": "/proc/minnet",
    "prune digits --rule rules.py:nan": "NaN",
    "prune digits --rule rules.py:short": "(3,)",
    "prune digits --rule rules.py:boom": "rules.py:7: ZeroDivisionError",
    "prune digits --rule rules.py:leave": "SystemExit",
    "prune digits --rule rules.py:stop": "KeyboardInterrupt",
    "prune digits --rule rules.py:shrot": "did you mean short?",
    "prune digits --rule syntax.py:f": "syntax.py:1: SyntaxError",
    "prune digits --rule rules.py": "wanted FILE:FUNCTION",
    "prune digits --rule none.py:f": "none.py",
    "prune digits --rule rules.py:nan --criterion magnitude": "give one of them",
    "train digits --epochs 1.5": "1.5",
    "evaluate missing.safetensors": "missing.safetensors",
    "evaluate a_file": "a_file",
    "evaluate": "MODEL_FILE",
    "predict a_file digits": "a_file",
    "inspect missing.safetensors": "missing.safetensors",
    "bench --sparsity 2": "2",
    "bench --model lenet": "did you mean",
    "report a_file": "a_file",
    "report missing": "missing",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_gets_one_clear_line(command, tmp_path, words):
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    np.savez(tmp_path / "no_x.npz", y=np.arange(4))
    ended = command(*words.split())
    assert ended.code == 2
    assert ended.stdout == ""
    *before, line = ended.stderr.splitlines()
    assert line.startswith("minnet: ")
    assert BAD[words] in line
    assert all(told.startswith("compiling kernels") for told in before)
    assert not (ended.out / "model.safetensors").exists()


def test_a_bad_number_of_threads_is_told_before_anything_else(command, monkeypatch):
    monkeypatch.setenv("MINNET_NUM_THREADS", "abc")
    ended = command("prune", "digits")
    assert ended.code == 2 and len(ended.stderr.splitlines()) == 1 and "abc" in ended.stderr


def test_who_is_out_of_memory_is_advised_no_option_that_the_command_lacks(command, monkeypatch):
    def run(args, console):
        raise MemoryError
    for name in COMMANDS:
        monkeypatch.setattr(f"{COMMANDS[name].module}.run", run)
    ended = command("inspect", "digits")
    assert ended.code == 1 and last_line(ended).startswith("minnet: out of memory: ") and "--" not in ended.stderr


def test_bad_input_leaves_no_folder_behind(command, tmp_path):
    """But those that were there, and those with something in them."""
    (tmp_path / "mine").mkdir()
    for out in ("new/sub", "mine", "mine/sub"):
        assert command("prune", "nope.csv", "--out", out).code == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    assert command("prune", "digits", "--epochs", "1", "--lr", "1e30", "--out", "new/sub").code == 1
    assert [path.name for path in (tmp_path / "new" / "sub").iterdir()] == ["model.safetensors"]


def last_line(ended):
    """What a command said last on standard error."""
    return ended.stderr.splitlines()[-1]


def test_data_of_another_shape_than_the_models_are_refused(done, command, tmp_path):
    np.savez(tmp_path / "wide.npz", X=np.random.default_rng(0).random((40, 5)), y=np.arange(40) % 2)
    for argv in (["evaluate", "--data", "wide.npz"], ["predict", "wide.npz"], ["prune", "--data", "wide.npz"]):
        ended = command(argv[0], str(done.out / "model.safetensors"), *argv[1:])
        assert ended.code == 2
        assert "(n, 8, 8, 1)" in last_line(ended)


# --- the first time --------------------------------------------------------------------------------------------------

compiles = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


@pytest.fixture
def first_time(monkeypatch, tmp_path):
    """No kernel is compiled yet, and there are two processors; what the second process would do is left to the test."""
    def begin(script):
        (tmp_path / "ahead.py").write_text(script)
        (tmp_path / "kernels").mkdir()
        monkeypatch.setattr("minnet.kernels.jit.code_folder", lambda _: tmp_path / "kernels")
        monkeypatch.setattr(compiling, "AHEAD", tmp_path / "ahead.py")
        monkeypatch.setenv("MINNET_NUM_THREADS", "2")
        return compiling.compiling(Console())
    return begin


@compiles
def test_a_second_process_compiles_beside_the_first_command(first_time, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minnet.py").write_text("raise SystemExit('not minnet')")  # what lies about is not imported
    with first_time("import minnet, pathlib; pathlib.Path('found').write_text(minnet.__file__); print(1)") as ready:
        ready()
    assert (tmp_path / "found").read_text() == mn.__file__
    assert capfd.readouterr().out == ""


@compiles
def test_the_second_process_ends_with_the_first(first_time, monkeypatch):
    started, start = [], compiling.start_helper
    monkeypatch.setattr(compiling, "start_helper", lambda: started.append(start()) or started[0])
    with pytest.raises(KeyboardInterrupt), first_time("import threading; threading.Event().wait()"):
        assert started[0].poll() is None
        raise KeyboardInterrupt
    assert started[0].poll() is not None


@compiles
def test_a_first_command_that_was_stopped_is_helped_again(first_time, tmp_path, monkeypatch, capsys):
    started, empty = [], first_time("")
    monkeypatch.setattr(compiling, "start_helper", lambda: started.append(True))
    with empty:
        (tmp_path / "kernels" / "chain_steps-0.code").touch()
    with compiling.compiling(Console()):
        (tmp_path / "kernels" / "run_program-0.code").touch()
    with compiling.compiling(Console()):
        assert len(started) == capsys.readouterr().err.count(compiling.COMPILING) == 2


@pytest.mark.parametrize("python", ["", "/dev/null/python"])
def test_the_first_command_needs_no_second_process(first_time, monkeypatch, python):
    monkeypatch.setattr(sys, "executable", python)
    with first_time("") as ready:
        ready()


@compiles
def test_what_is_compiled_ahead_is_what_the_command_needs(tmp_path):
    """After it, the main job finds those kernels compiled: no new types of arguments come."""
    code = """if True:
        from minnet.cli import ahead, main
        from minnet.kernels.program import interpreter
        from minnet.kernels.mlp.sparse import sparse_mlp_gradient
        def signatures():
            kernels = [each for each in vars(interpreter).values() if hasattr(each, "is_kernel")]
            return {each.__name__: each.signatures for each in kernels}
        ahead.main()
        before = signatures()
        assert before["run_program"] and before["sparse_row"]
        assert main(["prune", "digits", "--epochs", "2"]) == 0
        assert before == signatures()
        assert not sparse_mlp_gradient.signatures, "epochs this short are not worth its compilation"
    """
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=True, timeout=300)


# --- how it ends -----------------------------------------------------------------------------------------------------

def test_diverged_training_says_where_and_keeps_the_last_finite_net(command):
    ended = command("prune", "digits", "--lr", "1e30", "--epochs", "3")
    assert ended.code == 1
    assert "epoch 1" in last_line(ended)
    assert "take a smaller --lr;" in last_line(ended) and "clip" not in last_line(ended)
    assert np.isfinite(mn.load(ended.out / "model.safetensors").values).all()
    assert not (ended.out / "result.json").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly_and_keeps_what_is_done(command, monkeypatch, number, code):
    """The signal comes after the sixth epoch, in the midst of pruning: the net of that epoch is kept, masks and all."""
    seen = []

    def check():
        seen.append(1)
        if len(seen) == 6:
            signal.raise_signal(number)
    monkeypatch.setattr(SIGNALS, "check", check)
    before = signal.getsignal(number)
    ended = command("prune", "digits", "--epochs", "4")
    assert ended.code == code
    kept = mn.load(ended.out / "model.safetensors")
    assert last_line(ended).endswith("minnet-out/model.safetensors; the same command with --resume goes on")
    assert 0.89 < kept.sparsity <= 0.9
    assert signal.getsignal(number) == before


def test_a_signal_that_was_lost_on_its_way_is_raised_again():
    SIGNALS.number = signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        SIGNALS.check()
    SIGNALS.number = None
    SIGNALS.check()


@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_while_the_command_line_is_imported_ends_the_process_in_one_line(ignored):
    """As it does afterwards; one that is ignored stays so."""
    code = f"""if True:
        import os, signal, sys
        import minnet.__main__ as entry
        if {ignored}:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        class Interrupts:
            def find_spec(self, name, *rest):
                if name == "minnet.cli":
                    os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, Interrupts())
        sys.argv = ["minnet", "--version"]
        sys.exit(entry.main())
    """
    ended = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    told = (0, f"minnet {mn.__version__}\n", "") if ignored else (130, "", "minnet: interrupted\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == told


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_was_ignored_when_the_process_began_stays_ignored(ignored):
    """So it is under nohup, and for SIGINT where a shell without job control starts a command with `&`."""
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt) as ended, handle_signals():
            signal.raise_signal(ignored)
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("SIGTERM is still heeded")
        assert ended.value.code == 143
        assert signal.getsignal(ignored) == signal.SIG_IGN
    finally:
        signal.signal(ignored, before)


@pytest.mark.parametrize("error", [ImportError("initialization failed"), SystemError("returned NULL"),
                                   mn.errors.MissingExtra("this needs rich")], ids=repr)
def test_a_signal_that_became_another_error_is_still_a_signal(command, monkeypatch, error):
    """So ends an import of a C extension that was interrupted."""
    def check():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as stop:
            raise error from stop
    monkeypatch.setattr(SIGNALS, "check", check)
    ended = command("train", "digits", "--epochs", "2")
    assert (ended.code, last_line(ended)) == (130, "minnet: interrupted")


def test_other_errors_stay_what_they_are(command, monkeypatch):
    monkeypatch.setattr(SIGNALS, "check", lambda: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        command("train", "digits", "--epochs", "2")


def test_a_stopped_run_leaves_a_finished_one_alone(done, command, monkeypatch, tmp_path):
    out = tmp_path / "minnet-out"
    out.mkdir()
    for path in done.out.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    ended = command("prune", "digits", "--lr", "1e30", "--epochs", "3")
    assert ended.code == 1
    assert all((out / path.name).read_bytes() == path.read_bytes() for path in done.out.iterdir())
    assert (out / "unfinished.safetensors").exists()


@pytest.mark.parametrize("other", [["prune"], ["train"]], ids=str)
def test_a_stopped_run_leaves_a_trained_net_alone(command, other):
    trained = command("train", "digits", "--epochs", "1").out / "model.safetensors"
    before = trained.read_bytes()
    ended = command(*other, "digits", "--lr", "1e30", "--epochs", "3")
    assert ended.code == 1 and last_line(ended).endswith("minnet-out/unfinished.safetensors")
    assert trained.read_bytes() == before
    assert mn.load(ended.out / "unfinished.safetensors").n_weights == WEIGHTS


def test_what_turns_out_wrong_late_does_not_cost_the_trained_net(command):
    ended = command(*"prune digits --value-range 0 0.0001 --epochs 1".split())
    assert ended.code == 2
    assert "; saved the model of the last finished epoch to " in last_line(ended)
    assert mn.load(ended.out / "model.safetensors").sparsity == 0


def test_what_cannot_be_written_at_the_end_does_not_cost_the_trained_net(done, command, monkeypatch, tmp_path):
    """A disk with room for the smallest of the files only; then one with room for none."""
    shutil.copytree(done.out, tmp_path / "minnet-out")
    room = [100_000]

    def write(path, data):
        if len(data) > room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(data)
    monkeypatch.setattr("minnet.study.transaction.write_new", write)
    for said in ("; saved the model of the last finished epoch to minnet-out/unfinished.safetensors",
                 "; the model of the last finished epoch could not be saved: "):
        ended = command("prune", "digits", "--epochs", "1")
        assert ended.code == 2 and said in last_line(ended)
        assert "dense.safetensors: no space left" in last_line(ended) or room == [0]
        assert all((ended.out / path.name).read_bytes() == path.read_bytes() for path in done.out.iterdir())
        room[0] = 0
    assert mn.load(ended.out / "unfinished.safetensors").sparsity > 0.8


def test_a_signal_while_files_are_written(done, command, monkeypatch, tmp_path):
    shutil.copytree(done.out, tmp_path / "minnet-out")
    numbers = [signal.SIGINT]

    def write(path, data):
        path.write_bytes(data)
        if numbers:
            signal.raise_signal(numbers.pop())
    monkeypatch.setattr("minnet.study.transaction.write_new", write)
    ended = command("prune", "digits", "--epochs", "1")
    assert ended.code == 130
    assert last_line(ended).endswith("minnet-out/unfinished.safetensors; the same command with --resume goes on")
    assert {path.name for path in ended.out.iterdir()} == {*(path.name for path in done.out.iterdir()),
                                                           "stages", "unfinished.safetensors"}
    assert all((ended.out / path.name).read_bytes() == path.read_bytes() for path in done.out.iterdir())


def test_a_reader_that_leaves_is_no_error(done):
    """`minnet inspect FILE | true`: no traceback, and the code of a process that SIGPIPE ended."""
    read, write = os.pipe()
    os.close(read)
    ran = process("inspect", str(done.out / "model.safetensors"), stdout=write)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        ran = process("--help", stdout=full)
    assert ran.returncode == 1
    assert ran.stderr.startswith("minnet: cannot write: No space left on device")


@pytest.mark.parametrize(("env", "bold"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)], ids=str)
def test_colours_are_for_terminals(done, command, monkeypatch, env, bold):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert ("\033[1m" in command("inspect", str(done.out / "model.safetensors")).stdout) == bold


@pytest.mark.parametrize("columns", [40, 59, 60, 120])
def test_the_count_is_seen_at_any_width(monkeypatch, capsys, columns):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Console().progress() as bar:
        bar("pruning: loss 0.123, sparsity 45%", 12, 90)
    drawn = capsys.readouterr().err
    assert "12/90" in drawn and "45%" in drawn
    assert ("0:" in drawn or "-:--" in drawn) == (columns >= 60)


def test_control_characters_do_not_reach_the_terminal(capsys):
    console = Console()
    console.result("of a\x1b]0;b\a.csv\nnext \u00e9", {})
    console.info("c\r\x1b[2Kd")
    assert capsys.readouterr() == ("of a\\x1b]0;b\\x07.csv\nnext \u00e9\n", "c\\r\\x1b[2Kd\n")


def test_what_a_rule_writes_to_descriptor_1_stays_away_from_the_object(tmp_path, capfd):
    (tmp_path / "loud.py").write_text("import os\ndef rule(model, data):\n    os.write(1, b'loud')\n    return 5\n")
    assert load_rule(f"{tmp_path / 'loud.py'}:rule")(None, None) == 5
    assert capfd.readouterr() == ("", "loud")
    os.write(1, b"object")
    assert capfd.readouterr().out == "object"


def test_a_closed_standard_output_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(OSError, match="standard output is closed"):
        Console().result("a", {})
    monkeypatch.setattr("sys.stdout", None)
    assert main(["list", "criteria"]) == 1
    assert capsys.readouterr().err.startswith("minnet: cannot write: standard output is closed")


def test_hints_on_classes(capsys):
    data = mn.load_data((np.eye(60), np.repeat(["a", "b", "c"], 20)), rng=0)
    say_missing_classes(SimpleNamespace(data=data), Console())
    data.y_test[:] = "a"
    say_missing_classes(SimpleNamespace(data=data), Console())
    assert capsys.readouterr().err.startswith("the test part has no sample of 2 of 3 classes, 'b', 'c': ")
    for right, said in ((0.5, 1), (0.7, 0)):
        say_nothing_learned({"accuracy": right, "confusion": [], "per_class": {"support": [3, 2, 1]}}, Console())
        assert capsys.readouterr().err.count("has learned nothing: 50.00% of the test part right") == said
