"""The types of public names: mypy, strict, accepts a file of typical use, and knows what the calls return."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

USE = Path(__file__).with_name("typed_use.py")
REVEALED = ["Dataset", "Model", "Step", "Result", "Model", "Predictor", "Model", "Step"]  # in the order of the file


@pytest.fixture(scope="module")
def checked():
    """What mypy says of the file, as lines; nothing is kept for another run."""
    pytest.importorskip("mypy")
    argv = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary", "--cache-dir",
            os.devnull, "--config-file", "", str(USE)]
    return subprocess.run(argv, cwd=USE.parents[1], capture_output=True, text=True, timeout=600).stdout.splitlines()


def test_typical_use_passes(checked):
    assert [line for line in checked if "Revealed type" not in line] == []


def test_the_types_of_results_are_known(checked):
    types = [found[1] for line in checked if (found := re.search(r'Revealed type is "([\w.]+)', line))]
    assert [name.rpartition(".")[2] for name in types] == REVEALED
    assert all(name.startswith("minnet.") for name in types)
