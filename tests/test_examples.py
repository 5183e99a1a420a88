"""The examples run from beginning to end, and show what they say they show."""
import re
import runpy
import shlex
import shutil
from pathlib import Path

import minnet as mn
from minnet.cli.commands import load
from minnet.formats.c_fit import CHIPS

EXAMPLES = Path(mn.__file__).parents[1] / "examples"
GUIDES = Path(mn.__file__).parents[1] / "docs/guides"
SHORT = 35  # lines that are no comments
STUDIES = {"vgg16_arithmetic"}  # long ones, each with a test file of its own


def run(name):
    """The names of an example that has run."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_each_is_short_and_tested_here():
    short = [path for path in EXAMPLES.glob("*.py") if path.stem not in STUDIES]
    assert {path.stem for path in short} == {name[5:] for name in globals() if name.startswith("test_")
                                             and (EXAMPLES / f"{name[5:]}.py").exists()}
    for path in short:
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        assert len(lines) <= SHORT, path


def test_prune_by_magnitude(capsys):
    names = run("prune_by_magnitude")
    assert names["result"].removed == round(0.9 * names["model"].n_weights)
    assert names["tuned"].accuracy > 0.95 > names["cut"].accuracy
    assert names["model"].sparsity == names["result"].sparsity, "training leaves removed weights at 0"
    assert "45,180 of 50,200 weights removed" in capsys.readouterr().out


def test_docstring_words(capsys):
    names = run("docstring_words")
    accuracy = names["accuracy"]
    assert accuracy[2000] > 0.9 and accuracy[100] > 0.9 and accuracy[30] > 0.8
    assert len(names["words"]) == 30
    assert not {"numpy", "scipy", "sklearn"} & set(names["words"])
    assert "left, the strongest first:" in capsys.readouterr().out


def test_to_a_microcontroller(capsys):
    names = run("to_a_microcontroller")
    assert names["fits"]["integers"].flash <= 3500 and names["fits"]["integers"].verdict == "FITS"
    assert names["fits"]["integers"].flash < names["fits"]["int8"].flash < names["fits"]["float32"].flash
    assert names["accuracy"] > 0.95
    assert names["missed"] == 0 if names["compiler"] else names["missed"] is None
    shutil.rmtree(names["folder"])


def test_the_guide_to_microcontrollers(tmp_path, monkeypatch):
    """Its programs run, its commands exist with their options, and its table of chips is that of the code."""
    text = (GUIDES / "microcontroller.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(program, "microcontroller.md", "exec"), names)
    assert (tmp_path / "gesture_main.c").exists()
    assert mn.evaluate(mn.load("small.safetensors"), names["data"].X_test, names["data"].y_test).accuracy > 0.9
    for line in re.findall(r"^    (minnet .*)$", text, re.MULTILINE):
        _, command, *words = shlex.split(line)
        load(command)[0].parse_args(words)
    for name, chip in CHIPS.items():
        row = re.search(rf"\| `{name}` .*", text)[0].split("|")
        sizes = [float(n) * {"K": 2**10, "M": 2**20}[unit] for n, unit in
                 re.findall(r"([\d.]+) ([KM])iB", "".join(row[4:6]))]
        assert (row[2].strip(), int(row[3]), sizes) == (chip.core, chip.mhz, [chip.flash, chip.ram])


def test_backdoor(capsys):
    found = run("backdoor")["found"]
    clean, success = found["nothing"]
    assert clean > 0.94 and success > 0.8
    assert found["magnitude"][1] > 0.7, "weights alone do not tell"
    assert found["wanda"][1] < 0.1 and found["wanda"][0] > clean - 0.04
    assert found["neurons"][1] > 0.7 and found["neurons"][0] > clean - 0.04, "units serve both"
    assert "of those with the patch" in capsys.readouterr().out
