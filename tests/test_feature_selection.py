"""The comparison of selectors runs, on a few rows: every selector gives as many features as are asked."""
import importlib
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.filterwarnings("ignore")
def test_selectors_are_compared(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    bench = importlib.import_module("bench.feature_selection")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    X = rng.normal(size=(60, 6)) + 3 * np.eye(3, 6)[y]
    monkeypatch.setattr(bench, "load_breast_cancer", lambda return_X_y: (np.hstack([X, X + 1]), y))
    bench.main(["--seeds", "1", "--epochs", "10", "--only", "breast cancer", "--json", str(tmp_path / "found.json")])
    lines = capsys.readouterr().out.splitlines()
    names = ["all features", "SparsitySelector", "SparsitySelector, 8 halves", "SelectFromModel, random forest",
             "SelectKBest, mutual information"]
    assert all(any(f"| {name} |" in line for line in lines) for name in names) and (tmp_path / "found.json").is_file()
    rows = lines[lines.index("|---" * 6 + "|") + 1:]
    assert rows and all("8 of 12" in line for line in rows)
