"""The bench's arithmetic, and that the tables in both README files are those of the figures that were kept."""

import importlib
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minnet as mn

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- bench: begin -->\n", "\n<!-- bench: end -->"


@pytest.fixture
def bench(monkeypatch):
    """The package and its parts, which are not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return types.SimpleNamespace(measure=importlib.import_module("bench.measure"),
                                 main=importlib.import_module("bench.__main__"),
                                 estimators=importlib.import_module("bench.estimators"))


def result(bench, ours=(1.0, 2.0, 1.0, 1.0, 4.0), theirs=(3.0, 2.0, 5.0, 4.0, 4.0), target=2.0):
    return bench.measure.compare("work", "peer", list(ours), list(theirs), target, "limit", "Because.")


def test_a_ratio_is_the_median_of_the_rounds_ratios(bench):
    made = result(bench)
    assert (made.ours, made.theirs) == (1.0, 4.0)
    assert (made.low, made.ratio, made.high) == (1.0, 3.0, 4.0)  # of 1, 1, 3, 4, 5
    assert made.verdict == "reached" and result(bench, target=3.1).verdict == "missed"
    assert result(bench, target=None).verdict == ""
    assert bench.measure.Result.of(json.loads(json.dumps(made.as_dict()))) == made


def test_contestants_take_turns(bench):
    order = []
    times = bench.measure.turns({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3, warmup=1)
    assert order == list("ab") * 4
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}


@pytest.fixture
def folder(bench, monkeypatch, tmp_path):
    """A copy of what a run changes, and a measurement that takes no time."""
    for name in ("README.md", "bench/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"before\n{BEGIN}old{END}\nafter\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench.main, "HERE", tmp_path / "bench")
    monkeypatch.setattr(bench.main, "SPEED", ("easy", "hard"))
    monkeypatch.setattr(bench.main, "FRONT", (("work", "peer"),))
    for name, target in (("easy", 2.0), ("hard", 9.0)):
        module = types.SimpleNamespace(measure=lambda quick, target=target: [result(bench, target=target)])
        monkeypatch.setitem(sys.modules, f"bench.{name}", module)
    return tmp_path


def test_what_was_measured_is_printed_and_written(bench, folder, capsys):
    bench.main.main(["--json", "found.json", "--no-readme"])
    printed = capsys.readouterr().out
    assert printed.count("| work | peer |") == 2 + 2
    assert "1 measured, 1 with a target, 1 of them missed\n- work, against peer: 3.00 of 9. Because." in printed
    found = json.loads(Path("found.json").read_text(encoding="utf-8"))
    assert [row["verdict"] for name in ("easy", "hard") for row in found[name]] == ["reached", "missed"]
    assert found["machine"]["threads"] >= 1
    assert "old" in Path("README.md").read_text(encoding="utf-8")


def test_one_measurement_replaces_its_own_figures_only(bench, folder, monkeypatch):
    bench.main.main([])
    monkeypatch.setitem(sys.modules, "bench.hard", types.SimpleNamespace(measure=lambda quick: []))
    bench.main.main(["hard", "--readme"])
    kept = json.loads(Path("bench/results.json").read_text(encoding="utf-8"))
    assert len(kept["easy"]) == 1 and kept["hard"] == []
    for name in ("README.md", "bench/README.md"):
        text = Path(name).read_text(encoding="utf-8")
        assert text.startswith(f"before\n{BEGIN}") and text.endswith(f"{END}\nafter\n") and "old" not in text
        assert text.count("| work | peer | 1.00 s | 4.00 s | 3.00x (1.00-4.00) | >= 2x: reached | limit |") == 1


def test_a_quick_run_keeps_nothing(bench, folder):
    bench.main.main(["--quick"])
    assert not Path("bench/results.json").exists() and "old" in Path("README.md").read_text(encoding="utf-8")


def test_a_file_without_markers_is_left_alone(bench, folder):
    Path("README.md").write_text("no table", encoding="utf-8")
    with pytest.raises(SystemExit, match="put both markers"):
        bench.main.main(["easy", "--readme"])
    assert Path("README.md").read_text(encoding="utf-8") == "no table"


def test_the_tables_are_those_of_the_figures_that_were_kept(bench, monkeypatch, tmp_path):
    """Whoever edits a figure by hand is found out."""
    monkeypatch.setattr(bench.main, "HERE", tmp_path / "bench")
    (tmp_path / "bench").mkdir()
    for name in ("README.md", "bench/README.md", "bench/results.json"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    bench.main.keep({})
    for name in ("README.md", "bench/README.md"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8")


def test_the_front_page_shows_rows_that_were_measured(bench):
    kept = json.loads((ROOT / "bench/results.json").read_text(encoding="utf-8"))
    measured = {(row["work"], row["peer"].split(",")[0]) for name in bench.main.SPEED for row in kept.get(name, [])}
    assert set(bench.main.FRONT) <= measured


def test_tables_are_compared_from_files(capsys, monkeypatch):
    """Each case goes from a CSV file through the main job, and beside it scikit-learn's MLP of the same widths."""
    from bench import tables

    monkeypatch.setattr(tables, "CASES", {name: tables.CASES[name] for name in ("iris", "diabetes")})
    iris, diabetes = tables.measure(1, epochs=2, model="mlp")
    assert iris["score"] == "accuracy" and diabetes["score"] == "R2"
    assert diabetes["command"].endswith("--task regression")
    assert all(len(r["minnet"]) == len(r["scikit-learn"]) == 1 for r in (iris, diabetes))
    assert iris["minnet"][0] > 0.3 and iris["scikit-learn"][0] > 0.8 and -2 < diabetes["minnet"][0] < 1
    text = tables.table([iris, diabetes])
    assert text.count("\n") == 3 and "`minnet prune diabetes.csv --task regression` | R2 |" in text


def test_estimators_are_compared_at_equal_accuracy(bench, monkeypatch):
    """A tiny version: it runs, and where ours is less accurate there is no target to reach."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 20)).astype(np.float32), rng.integers(0, 2, 300)
    X[:, 0] += 4 * y
    monkeypatch.setattr(bench.estimators, "rows_of", lambda name: (X[:200], y[:200], X[200:], y[200:]))
    default, dense, sparse = bench.estimators.measure(quick=True)
    assert [row.work for row in (default, dense, sparse)] == \
        [f"PrunedClassifier.fit, {share} sparse" for share in ("90%", "0%", "95%")]
    assert dense.target is None and all("accuracy" in row.limit for row in (default, dense, sparse))
    monkeypatch.setattr(bench.estimators, "EQUAL", -1)
    assert all(row.target is None and "equal" in row.note for row in bench.estimators.measure(quick=True))


def test_sizes_of_c_are_measured(bench, monkeypatch):
    """Of a net of digits, as far as there are compilers: integers need a quarter of the memory, live weights fewer
    bytes than all."""
    if shutil.which("cc") is None or shutil.which("size") is None:
        pytest.skip("no C compiler here")
    c_size = importlib.import_module("bench.c_size")
    monkeypatch.setattr(c_size, "CORES", {})
    import minnet as mn

    data = mn.load_data("digits", rng=0)
    model = mn.models.mlp(data.shape, data.n_classes, (30,), rng=0)
    model.signature = data.signature
    mn.prune(model, 0.9)
    rows = {row["variant"]: row for row in c_size.measured("mlp", model, data, rows=20)}
    assert rows["float32"]["rodata"] < rows["float32, zeros stored"]["rodata"] / 2
    assert rows["integers, a scale a layer"]["ram"] < rows["float32"]["ram"] / 2.5
    assert all(name in c_size.table(list(rows.values())) for name in rows)


def test_errors_of_c_are_measured(bench, monkeypatch):
    """Of the compiled C, beside the float net's, and by the bytes of a net that loses weights."""
    if shutil.which("cc") is None or shutil.which("size") is None:
        pytest.skip("no C compiler here")
    c_accuracy, by_kilobyte = (importlib.import_module(f"bench.{name}") for name in ("c_accuracy", "error_by_kilobyte"))
    import minnet as mn

    data = mn.load_data("digits", rng=0)
    forms = {"int8, a scale a layer": c_accuracy.FORMS["int8, a scale a layer"]}
    for module in (c_accuracy, by_kilobyte):
        monkeypatch.setattr(module, "FORMS", forms)
    model = mn.models.mlp(data.shape, data.n_classes, (8,), rng=0)
    model.signature = data.signature
    found = c_accuracy.errors(model, data, rows=20)
    assert "| int8, a scale a layer | " in c_accuracy.table({"0": found, "1": found}) and len(found) == 2
    run = by_kilobyte.Run("digits", (4,), 8, ((None, 0.1, 1), (100, 0.05, 1)), augmented=True)
    dense, pruned = by_kilobyte.measured(run, 0, data, rows=20)
    assert pruned[0] == 100 < dense[0] and pruned[1]["int8, a scale a layer"][0] < dense[1]["int8, a scale a layer"][0]
    text = by_kilobyte.table({"digits": {"0": [dense, pruned]}})
    assert text.count("| digits |") == 2 and text.count("BitNetMCU") == 2


def test_images_are_moved_as_the_bench_says(bench):
    """By whole pixels, by a right angle, or not at all; a smoothed image of one number stays it inside."""
    by_kilobyte = importlib.import_module("bench.error_by_kilobyte")
    images = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(by_kilobyte.sampled(images, 8)[..., 0], images, atol=1e-6)
    moves = np.array([[0, 1, 2, -1], [np.pi / 2, 1, 0, 0]])
    shifted, turned = by_kilobyte.sampled(images, 8, moves)[..., 0]
    np.testing.assert_allclose(shifted[:6, 1:], images[0, 2:, :7], atol=1e-5)
    assert (shifted[6:] == 0).all() and (shifted[:, 0] == 0).all()
    np.testing.assert_allclose(turned, np.rot90(images[1], -1), atol=1e-5)
    assert by_kilobyte.moved(images, 4, np.random.default_rng(0)).shape == (2, 4, 4, 1)
    np.testing.assert_allclose(by_kilobyte.smoothed(np.ones((1, 9, 9)), 1.75)[0, 2:-2, 2:-2], 1, atol=1e-6)


def test_runtimes_read_what_is_written(bench):
    """All six nets, dense, sparse and int8, in the ONNX Runtime that is installed."""
    pytest.importorskip("onnxruntime")
    runtimes = importlib.import_module("bench.runtimes")
    found, = runtimes.main(quick=True).values()
    assert len(found) == len(runtimes.nets()) * len(runtimes.VARIANTS)
    assert all(isinstance(error, float) and error < runtimes.TOLERANCE for error in found.values()), found


def test_nets_of_pytorch_go_all_the_way(bench, tmp_path):
    """Read, pruned by units, trained, compacted, frozen, written as ONNX and C: a handful; the bench has the others."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    imports, nets = (importlib.import_module(f"bench.{name}") for name in ("imports", "import_torch_nets"))
    files = nets.write(tmp_path, nets.QUICK, newer=False)
    found = {"PyTorch": {file: imports.walk(tmp_path / file, about["end"]) for file, about in files.items()}}
    refused = found["PyTorch"].pop("softsign.old.onnx")["refused"]
    assert "cannot be read: Div" in refused and imports.unequal(found) == []
    assert all(row["pruned"].endswith("%") for row in found["PyTorch"].values())
    assert imports.table(found).count("| PyTorch ") == len(nets.QUICK) - 1


def test_speed_of_recipes_is_measured_beside_a_dense_epoch(bench, monkeypatch):
    speed = importlib.import_module("bench.recipe_speed")
    rng = np.random.default_rng(0)
    images = rng.random((70, 28, 28, 1), dtype=np.float32), rng.integers(10, size=70)
    for name, value in {"RECIPES": ("set", "rigl", "static"), "BARS": {0.98: 0.2}, "RUN": 1, "EVERY": 1,
                        "images_of": lambda name: images}.items():
        monkeypatch.setattr(speed, name, value)
    monkeypatch.setattr(speed.importlib.util, "find_spec", lambda name: None)
    found = speed.measure(quick=True)
    assert [r.work.split(",")[0] for r in found] == ["set", "rigl", "static", "granet", "chtss"]
    assert [r.target for r in found] == [5, 5, None, None, None] and all(r.peer == "own dense" for r in found)


def test_recipes_are_measured_once_beside_static(bench, tmp_path):
    recipes = importlib.import_module("bench.recipes")
    assert {"random units", *mn.recipes.RECIPES} == set(recipes.NAMES)
    study, said = {"sparsities": (0.9,), "seeds": 2, "epochs": 1}, []
    rows = recipes.measure("digits", study, tmp_path, ("static", "gradual"), say=said.append)
    assert len(said) == 4 and recipes.measure("digits", study, tmp_path, ("static", "gradual"), say=None) == rows
    assert [row["epochs"] for row in rows] == [2, 1, 2, 1] and all(abs(row["masked"] - 0.9) < 1e-4 for row in rows)
    first, second = (row["test"] - peer["test"] for peer, row in (rows[:2], rows[2:]))
    found = recipes.summary(rows)[1]
    assert found["effect"] == pytest.approx((first + second) / 2) and found["low"] < found["effect"] < found["high"]
    table = recipes.table(recipes.kept("digits", study, tmp_path)).splitlines()
    assert len(table) == 4 and "`static`" in table[2] and "`gradual` | a dense net" in table[3]
    assert f"{100 * found['effect']:+.2f} (" in table[3]


def test_readers_read_or_refuse_files_that_were_changed_at_random(bench):
    """Five hundred of the 50,000 cases of `python -m bench fuzz`."""
    pytest.importorskip("onnx")
    pytest.importorskip("h5py")
    counts, failures = importlib.import_module("bench.fuzz").fuzz(500)
    assert failures == []
    assert sum(sum(count.outcomes.values()) for count in counts.values()) == 500
    assert all(sum(count.outcomes[outcome] for count in counts.values()) > 30 for outcome in ("read", "refused"))


def test_mutants_are_made(bench):
    """Each differs from the file in one place, and can be compiled; the named ones are still there."""
    mutation = importlib.import_module("bench.mutation")
    path = ROOT / "minnet" / "pruning" / "rounds.py"
    made = {mutation.mutant(path, number)[2] for number in range(mutation.count_of(path))}
    assert len(made) == mutation.count_of(path) > 50
    assert all(compile(source, str(path), "exec") for source in made)
    assert len(list(mutation.named())) == len(mutation.NAMED)
