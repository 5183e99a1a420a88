"""The bench of kills and full disks: it tells apart what a fault can leave, and a tiny run of it loses nothing."""
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OLD, NEW = {"a": b"old a", "b": b"old b"}, {"a": b"new a", "c": b"new c"}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.mark.parametrize(("found", "outcome"), [
    (OLD, "old run"), (NEW, "new run"), ({"a": b"new a", "b": b"old b"}, "mixed"), ({"a": b"half"}, "mixed"),
    ({"a": b"new a", "b": b"old b", "c": b"new c"}, "mixed"), ({"b": b"old b"}, "lost"), ({}, "lost")])
def test_what_is_found_is_told_apart(monkeypatch, found, outcome):
    monkeypatch.syspath_prepend(str(ROOT))
    assert importlib.import_module("bench.faults").outcome(found, OLD, NEW) == outcome


def test_a_few_real_faults_lose_nothing():
    """The first call that changes the folder is killed, and the last one; files are limited to 0 bytes."""
    argv = [sys.executable, "-m", "bench.faults", "--kills", "2", "--sizes", "1", "--only", "export"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert ended.returncode == 0, ended.stderr
    rows = ended.stdout.splitlines()[ended.stdout.splitlines().index("|---" * 7 + "|") + 1:]
    assert "| export | 2 kills | 1 | 1 | 0 | 0 | 0 |" in rows
    assert "| export | 1 limits on files | 1 | 0 | 0 | 0 | 0 |" in rows
    assert all(row.endswith(" 0 | 0 | 0 |") for row in rows)
