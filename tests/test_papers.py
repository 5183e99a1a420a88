"""Published figures are made anew by `python -m bench papers`: its rows, in a tiny form, and how they are kept."""
import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIELDS = {"row", "seed", "data", "settings", "figure", "epochs", "weights", "of", "parameters", "of_parameters", "rows",
          "seconds"}


def silent(*_, **__):
    """Say nothing."""


@pytest.fixture(scope="module")
def runner():
    """The runner, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield importlib.import_module("bench.papers.runner")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all rows, so that they share their dense nets."""
    return tmp_path_factory.mktemp("papers")


def names():
    """The rows, in order, without an import of the bench."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return list(importlib.import_module("bench.papers.runner").rows_of())


@pytest.mark.parametrize("name", names())
def test_a_tiny_form_of_every_row_runs(runner, folder, name):
    row = runner.rows_of()[name]
    found = runner.measure(row, 0, folder, tiny=True, say=silent)
    assert FIELDS <= set(found) and 0 <= found["weights"] <= found["of"]
    assert found["weights"] <= found["parameters"] <= found["of_parameters"]
    assert runner.measure(row, 0, folder, tiny=True, say=None) == found, "the file was not read"
    shown = runner.table([row], {name: [found, found]}).splitlines()[-1]
    assert shown.startswith(f"| `{name}` | {row.paper} |") and shown.endswith(("| 2 | pass |", "| 2 | miss |"))


def test_the_same_seed_gives_the_same_figures(runner, folder, tmp_path):
    row = runner.rows_of()["han"]
    first, second = (runner.measure(row, 0, where, tiny=True, say=silent) for where in (folder, tmp_path))
    assert first | {"seconds": 0} == second | {"seconds": 0}


def test_a_file_of_other_settings_is_refused_or_run_anew(runner, tmp_path, capsys):
    arguments = ["snip_5", "--tiny", "--seeds", "1", "--out", str(tmp_path)]
    runner.main(argv=arguments)
    path = tmp_path / "snip_5-0.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(kept | {"settings": kept["settings"] | {"lr": 7}}), encoding="utf-8")
    with pytest.raises(SystemExit, match="other settings.*--again"):
        runner.main(argv=arguments)
    runner.main(argv=[*arguments, "--again"])
    assert json.loads(path.read_text(encoding="utf-8"))["figure"] == kept["figure"]
    with pytest.raises(SystemExit, match="did you mean snip_5"):
        runner.main(argv=["snip5"])
    assert capsys.readouterr().out.count("| `snip_5` |") == 2


def test_the_table_is_that_of_the_figures_that_were_kept(runner, tmp_path):
    """Whoever edits a figure by hand is found out; and other rows stay where one is quoted anew."""
    for name in ("figures.json", "README.md"):
        (tmp_path / name).write_bytes((runner.HERE / name).read_bytes())
    runner.quote({}, tmp_path)
    for name in ("figures.json", "README.md"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (runner.HERE / name).read_text(encoding="utf-8")


def test_a_figure_passes_as_it_is_printed(runner):
    row = runner.rows_of()["han"]
    assert row.reaches(row.target + 0.004) and not row.reaches(row.target + 0.006)
