"""Sweeps: each cell is the job that it would be alone, whatever ran where and was stopped when; tables and tests."""
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from each import each
from scipy import stats

import minnet as mn
from minnet.cli import main
from minnet.cli.parser import choices
from minnet.cli.signals import Stopped
from minnet.errors import Diverged, FileError, InvalidType, InvalidValue, MinnetError, UnknownName
from minnet.pruning.recipes.controls import CONTROLS
from minnet.report.curves import AXES, curves_of, drawing
from minnet.report.plots import plot_sweep
from minnet.report.sweep_page import sweep_page
from minnet.study.cell_files import cell_folder
from minnet.study.cells import cells_of
from minnet.study.job import Job
from minnet.study.settings import Settings
from minnet.study.significance import holm_of, paired_tests, student
from minnet.study.workers import these_threads

DEADLY = "MINNET_TEST_DEADLY"  # names the file whose presence lets the criterion end its process


def deadly(model, data):
    """Magnitude; the first process that comes while the file is there ends, as where memory is short."""
    path = Path(os.environ.get(DEADLY, "nowhere"))
    if path.exists():
        path.unlink()
        os._exit(1)
    return np.abs(model.values[: model.n_weights])


@pytest.fixture(scope="module")
def grid():
    """Two criteria, one sparsity, two seeds on 90 rows of four numbers."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    data = mn.load_data((rng.normal(size=(90, 4)) + y[:, None], y), rng=0)
    return {"data": data, "model": "mlp", "epochs": 3, "recipe": "one_shot", "criterion": ["random", deadly],
            "sparsity": 0.5, "seed": range(2)}


@pytest.fixture(scope="module")
def alone(grid):
    return mn.sweep(grid, jobs=1)


def stop_after(number):
    """A progress function that presses Ctrl-C once some cells and dense nets are done."""
    def progress(description, done, total):
        if done >= number:
            raise KeyboardInterrupt
    return progress


def test_a_cell_is_the_job_that_it_would_be_alone(grid, alone):
    settings = {name: value for name, value in grid.items() if name not in ("criterion", "seed")}
    with these_threads(1):
        job = Job(Settings(**settings, criterion=deadly, seed=1))
        for _ in job.run():
            pass
        small, data = job.finished(), job.data
        row = alone.rows[3]
        assert (row["settings"], row["seed"]) == ({"criterion": "deadly", "sparsity": 0.5}, 1)
        for part in ("valid", "test"):
            rows = getattr(data, f"X_{part}"), getattr(data, f"y_{part}")
            assert row[part] == np.mean(small(rows[0]).argmax(axis=1) == rows[1])
            assert row["dense"][part] == np.mean(job.dense(rows[0]).argmax(axis=1) == rows[1])
    assert (row["macs"], row["kept_weights"]) == (small.macs, np.count_nonzero(job.model.mask[: job.model.n_weights]))


def test_a_killed_process_and_another_number_of_them_change_nothing(grid, alone, tmp_path, monkeypatch):
    """Every cell is there, none twice: the second call runs what is missing, the third nothing."""
    monkeypatch.setenv(DEADLY, str(tmp_path / "armed"))
    seen = []

    def arm(description, done, total):
        seen.append((done, total))
        if done == 2:  # the dense nets
            (tmp_path / "armed").write_text("")

    with pytest.raises(MinnetError, match="a process of the sweep was ended"):
        mn.sweep(grid, tmp_path / "out", jobs=2, progress=arm)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()}
    assert seen[:3] == [(0, 6), (1, 6), (2, 6)] and len(kept) < 4
    found = mn.sweep(grid, tmp_path / "out", jobs=1)
    assert found.record() == alone.record() and found.csv() == alone.csv() and str(found) == str(alone)
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").iterdir()}
    assert len(files) == 4 and kept.items() <= files.items()
    assert len(list((tmp_path / "out" / "dense").iterdir())) == 2
    assert mn.sweep(grid, tmp_path / "out", jobs=1, progress=lambda *now: seen.append(now)).rows == alone.rows
    assert seen[-1] == ("starting", 6, 6)


def test_ctrl_c_keeps_what_is_done_and_a_larger_grid_goes_on(grid, alone, tmp_path):
    less = grid | {"criterion": [deadly]}
    with pytest.raises(KeyboardInterrupt):
        mn.sweep(less, tmp_path, jobs=1, progress=stop_after(3))
    calls = []
    found = mn.sweep(grid, tmp_path, jobs=1, progress=lambda *now: calls.append(now))
    assert calls[0][1] == 3 and found.record() == alone.record()
    with pytest.raises(FileError, match=r"has 2 cells of another sweep, such as criterion random.*give another folder"):
        mn.sweep(less, tmp_path, jobs=1)
    with cell_folder(tmp_path, cells_of(grid)), pytest.raises(FileError, match="another sweep is running"):
        mn.sweep(grid, tmp_path, jobs=1)
    path = next((tmp_path / "cells").iterdir())
    record = json.loads(path.read_text())
    record["cell"]["settings"]["epochs"] = 2
    whole = json.loads(path.read_text())
    wrong = [whole | {"result": whole["result"] | odd} for odd in (
        {"valid": {}}, {"test": {"loss": 1.0}}, {"macs": "many"}, {"file_bytes": None}, {"error": 3}, {"decides": "x"})]
    for text in (json.dumps(record), "{", "[]", "1", *map(json.dumps, wrong)):
        path.write_text(text)
        with pytest.raises(FileError, match="is damaged, or not of this sweep"):
            mn.sweep(grid, tmp_path, jobs=1)
    path.unlink()
    next((tmp_path / "dense").iterdir()).write_bytes(b"no archive")
    with pytest.raises(FileError, match="is damaged"):
        mn.sweep(grid, tmp_path, jobs=1)


@each("grid, error, text", [
    ([], InvalidType, "wanted a dict of settings"),
    ({"sparsty": [0.9]}, UnknownName, "did you mean sparsity"),
    ({"criterion": ["magnitud"]}, UnknownName, "did you mean magnitude"),
    ({"recipe": "gradul"}, UnknownName, "did you mean gradual"),
    ({"lr": []}, InvalidValue, "no value for lr"),
    ({"seed": [0.5]}, InvalidType, "seed=0.5"),
    ({"seed": stats.randint(0, 5)}, InvalidValue, "seed is not drawn"),
    ({"lr": [0.1, 0.1]}, InvalidValue, "twice"),
])
def test_bad_grids(grid, error, text):
    with pytest.raises(error, match=text):
        cells_of(grid)


def test_a_training_that_diverges_is_a_row_that_says_so(grid):
    rates = {"optimizer": "sgd", "lr": [0.1, 1e30], "criterion": "random", "seed": [0]}
    found = mn.sweep(grid | rates, jobs=1)
    first, second = found.rows
    assert first["error"] == "" and second["error"].startswith("the dense net diverged: ") and second["test"] is None
    assert found.summary[1]["diverged"] == 1 and "0 (1 diverged)" in str(found) and len(found.csv().splitlines()) == 3
    assert "diverged" in sweep_page(found.record())
    with pytest.raises(Diverged):
        mn.sweep(grid | rates | {"lr": 1e30}, jobs=1)


def test_names_keep_their_options_in_a_list():
    assert choices("one_shot, lottery_ticket:rounds=3,rewind=1,x.py:f") == [
        "one_shot", "lottery_ticket:rounds=3,rewind=1", "x.py:f"]


def test_defaults_are_several_sparsities_and_seeds():
    cells = cells_of({})
    assert [(c.settings.sparsity, c.settings.seed) for c in cells] == [
        (s, seed) for s in (0.5, 0.8, 0.9, 0.95, 0.98) for seed in range(5)]
    assert len({c.base for c in cells}) == 5 and len({c.id for c in cells}) == 25
    assert {c.settings.sparsity for c in cells_of({"keep": [100, 200]})} == {None}


def test_draws_are_different_combinations_and_the_same_for_a_seed():
    grid = {"lr": stats.loguniform(0.01, 0.1), "batch_size": [16, 32], "sparsity": [0.9], "seed": [0, 1]}
    first, again, other = (cells_of(grid, draws=3, rng=rng) for rng in (0, 0, 1))
    assert [c.id for c in first] == [c.id for c in again] != [c.id for c in other]
    assert len({c.settings.lr for c in first}) == 3 and len(first) == 6
    assert all(0.01 <= c.settings.lr <= 0.1 and c.settings.batch_size in (16, 32) for c in first)
    with pytest.raises(InvalidValue, match="has 2 combinations that differ"):
        cells_of({"batch_size": [16, 32], "sparsity": [0.9]}, draws=3)


def test_controls_are_added_where_a_recipe_has_them():
    names = [c.varied["recipe"] for c in cells_of({"recipe": ["one_shot", "lottery_ticket"], "sparsity": 0.9,
                                                   "seed": 0}, controls=True)]
    assert names == ["one_shot", "lottery_ticket", *(f"lottery_ticket:control={name}" for name in CONTROLS)]
    with pytest.raises(InvalidValue, match="take one of .*lottery_ticket"):
        cells_of({"recipe": "one_shot"}, controls=True)


# --- tests over seeds ------------------------------------------------------------------------------------------------

def group(criterion, scores, **more):
    return [{"settings": {"criterion": criterion, **more}, "seed": seed, "test": score}
            for seed, score in enumerate(scores)]


def test_tests_are_those_of_scipy_on_differences_of_seeds():
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=10) for name in ("random", "magnitude", "obd")}
    tests = paired_tests([group(name, values) for name, values in scores.items()])
    assert [(t.value, t.against) for t in tests] == [("magnitude", "random"), ("obd", "random"), ("obd", "magnitude")]
    for test in tests:
        gains = scores[test.value] - scores[test.against]
        known = stats.ttest_1samp(gains, 0)
        assert np.allclose([test.effect, test.p], [gains.mean(), known.pvalue])
        assert np.allclose([test.low, test.high], known.confidence_interval(0.95))
        assert test.p_wilcoxon == stats.wilcoxon(gains, method="approx").pvalue
        assert test.p_holm >= test.p and str(test).index("points [") < str(test).index("p = ")


def test_pairs_are_of_seeds_that_both_have():
    first, second = group("obd", [1.0, None, 3.0, 5.0]), group("random", [0.0, 9.0, 2.0])
    test, = paired_tests([first, second])
    assert (test.n, test.effect, test.low, test.high, test.p, test.p_wilcoxon) == (2, 1, 1, 1, 0, None)
    assert not paired_tests([first[:1], second]) and student([0.0, 0.0]) == (0, 0, 0, 1)
    for name in ("snip", "lottery_ticket:rounds=2"):
        other = f"{name}{':' if name == 'snip' else ','}control=shuffled"
        ticket, control, last = (group("x", values, recipe=recipe) for recipe, values in (
            (name, [3.0, 4.0]), (other, [1.0, 1.0]), ("gradual", [0.0, 0.0])))
        test, = paired_tests([ticket, control, last])
        assert (test.setting, test.value, test.against, test.effect) == ("recipe", name, other, 2.5)


@each("given, wanted", [
    ([], []), ([0.5], [0.5]), ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.9, 0.5], [1.0, 1.0]),
])
def test_holm(given, wanted):
    assert np.allclose(holm_of(given), wanted)


# --- curves and the page ---------------------------------------------------------------------------------------------

def test_curves_have_each_seed_its_mean_and_a_band(alone):
    """In the page's drawing and in Matplotlib's axes alike."""
    for x in AXES:
        curves = curves_of(alone.record(), x)
        assert [curve.name for curve in curves] == ["random", "deadly"]
        for curve, row in zip(curves, alone.summary, strict=True):
            assert len(curve.seeds) == 2 and len(curve.means) == 1
            known = row[x]["mean"], row["test"]["mean"], row["test"]["sd"]
            assert np.allclose(curve.means[0], known)
        picture = drawing(curves, "accuracy", x)
        ElementTree.fromstring(picture)
        assert picture.count("<polygon") == 2 and picture.count("<polyline") == 2 * (2 + 1)
        ax = plot_sweep(alone, x)
        assert len(ax.lines) == 2 * (2 + 1) and len(ax.collections) == 2
    with pytest.raises(UnknownName, match="choose from: kept_weights, macs, removed"):
        curves_of(alone.record(), "bytes")


def test_the_page_has_the_record_and_escapes_names(alone):
    record = alone.record() | {"command": "minnet compare <x> & y"}
    page = sweep_page(record)
    assert "minnet compare &lt;x&gt; &amp; y" in page and "<x>" not in page
    text = page.partition('id="result">')[2].partition("</script>")[0]
    assert json.loads(text) == json.loads(json.dumps(record))
    gap = {**record, "cells": [row | {"test": None, "error": "diverged"} for row in record["cells"]], "tests": [],
           "summary": [row | {"n": 0, "diverged": 2} for row in record["summary"]]}
    assert "0, 2 diverged" in sweep_page(gap)


# --- the command -----------------------------------------------------------------------------------------------------

def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{i % 7},{i % 3 + i % 2 / 4},{'ab'[i % 3 > 0]}" for i in range(60))
    (tmp_path / "t.csv").write_text("x,z,kind\n" + rows + "\n")
    words = ["compare", "t.csv", "--model", "mlp", "--epochs", "1", "--criteria", "random,magnitude", "--sparsities",
             "0.5", "--grid", "lr=0.1,0.05", "--seeds", "1", "--jobs", "1", "--out", "out"]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert result["varied"] == ["lr", "sparsity", "criterion"] and len(result["cells"]) == 4
    lines = (tmp_path / "out" / "cells.csv").read_text().splitlines()
    assert lines[0].startswith("lr,sparsity,criterion,seed,accuracy_valid,accuracy_test") and len(lines) == 5
    assert main(words) == 0
    told = capsys.readouterr()
    assert "Paired tests" in (tmp_path / "out" / "sweep.html").read_text()
    assert "5 of 5" in told.err or "6 of 6" in told.err
    assert told.out.splitlines()[0].split()[:3] == ["lr", "sparsity", "criterion"]
    assert main(["train", "t.csv", "--model", "mlp", "--epochs", "1", "--quiet"]) == 0
    assert main(["compare", "minnet-out", "--data", "t.csv", "--epochs", "1", "--criteria", "magnitude", "--sparsities",
                 "0.9", "--seeds", "1", "--jobs", "1", "--out", "again"]) == 0
    assert len(list((tmp_path / "again" / "cells").iterdir())) == 1
    monkeypatch.setattr("minnet.study.sweep.sweep", lambda *_, **__: (_ for _ in ()).throw(Stopped(2)))
    assert main(words) == 130 and "the same command goes on" in capsys.readouterr().err
    assert main([*words, "--grid", "epochs=3"]) == 2 and "--grid epochs=" in capsys.readouterr().err
    assert main([*words, "--grid", "epochs"]) == 2 and "wanted NAME=VALUE" in capsys.readouterr().err
