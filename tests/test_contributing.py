"""CONTRIBUTING's example of a new criterion, done to a copy of the package: one file changes, and all else knows it."""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minnet
from minnet.pruning.criteria import CRITERIA
from minnet.testing.criterion_laws import CRITERION_LAWS
from minnet.testing.small import NETS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(minnet.__file__).parent
NAME = "relative"
LAWS = 9  # at least so many laws of minnet.testing are asked of every criterion, in a test for each small net
TESTS = len(NETS) + 1  # beside these one of what a criterion says of itself, at least
PROBE = f"""
import json
import numpy as np
import minnet as mn
from minnet.cli.commands import load

model = mn.models.mlp((4,), 3, (5,), rng=0)
rng = np.random.default_rng(0)
data = rng.normal(size=(9, 4)), rng.integers(3, size=9)
result = mn.prune(model.clone(), 0.5, criterion="{NAME}")
found = mn.compare_criteria(model, data, samples=9, sparsities=(0.5,))
print(json.dumps({{"help": load("prune")[0].format_help("all"), "removed": result.removed, "weights": model.n_weights,
                   "same": mn.criteria.{NAME} is mn.criteria.CRITERIA["{NAME}"],
                   "compared": [row.criterion for row in found.scores if not row.reason]}}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder with minnet and its tests, where the example has been added to data_free.py."""
    assert NAME not in CRITERIA, "the example is minnet's own by now: show another one"
    folder = tmp_path_factory.mktemp("copy")
    for source in (PACKAGE, ROOT / "tests"):
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", ".numba*"))
    function, table = example()
    file = folder / "minnet/pruning/criteria/data_free.py"
    text = file.read_text(encoding="utf-8")
    old = re.search(r"^CRITERIA = .*$", text, re.MULTILINE)
    assert table == old[0].replace(")}", f", {NAME})}}"), "CONTRIBUTING shows another table than data_free.py has"
    file.write_text(f"{text[: old.start()]}{function}\n\n{table}{text[old.end() :]}", encoding="utf-8")
    return folder


def example():
    """(the function, the table) that CONTRIBUTING shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a criterion")[2]
    return [block.strip("\n") + "\n" * block.startswith("def") for block in
            re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]]


def run(folder, *words):
    """Python on the copy alone; without the compiler, since the copy has nothing compiled."""
    env = os.environ | {"PYTHONPATH": str(folder), "NUMBA_DISABLE_JIT": "1", "MINNET_TEST_ROWS": NAME}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_it_is_used_listed_and_compared(copy):
    told = json.loads(run(copy, "-c", PROBE))
    assert told["same"] and told["removed"] == round(0.5 * told["weights"])
    listed = re.split(r"\n(?! )", told["help"].partition("\ncriteria: ")[2])[0]
    assert NAME in listed.replace(",", " ").split()
    assert {NAME, "magnitude"} <= set(told["compared"])


def test_it_is_documented(copy):
    run(copy, "-m", "minnet.pruning.reference")
    page = (copy / "minnet/pruning/REFERENCE.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{NAME}` \| .* ``\\\|w\\\| / mean .* \| Han et al., 2015 \|$", page, re.MULTILINE)


def test_it_is_held_to_the_laws(copy):
    files = [str(copy / "tests" / name) for name in ("test_criteria.py", "test_criteria_laws.py")]
    words = f"{NAME} or has_rows"  # the laws of one row each, and those that ask all their rows
    out = run(copy, "-m", "pytest", "-q", "-k", words, "-p", "no:cacheprovider", "--rootdir", str(copy), *files)
    assert len(CRITERION_LAWS) >= LAWS and int(re.search(r"(\d+) passed", out)[1]) >= TESTS and "failed" not in out
