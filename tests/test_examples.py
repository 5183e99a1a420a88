"""The examples run from beginning to end, and show what they say they show."""
import runpy
from pathlib import Path

import minnet as mn

EXAMPLES = Path(mn.__file__).parents[1] / "examples"
SHORT = 35
STUDIES = {"vgg16_arithmetic"}  # long ones, each with a test file of its own


def run(name):
    """The names of an example that has run."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_each_is_short_and_tested_here():
    short = [path for path in EXAMPLES.glob("*.py") if path.stem not in STUDIES]
    assert {path.stem for path in short} == {name[5:] for name in globals() if name.startswith("test_")
                                             and (EXAMPLES / f"{name[5:]}.py").exists()}
    assert all(len(path.read_text().splitlines()) <= SHORT for path in short)


def test_prune_by_magnitude(capsys):
    names = run("prune_by_magnitude")
    assert names["result"].removed == round(0.9 * names["model"].n_weights)
    assert names["tuned"].accuracy > 0.95 > names["cut"].accuracy
    assert names["model"].sparsity == names["result"].sparsity, "training leaves removed weights at 0"
    assert "45,180 of 50,200 weights removed" in capsys.readouterr().out


def test_own_criterion(capsys):
    accuracy = run("own_criterion")["accuracy"]
    assert accuracy["random"] < accuracy["magnitude"]
    assert accuracy["random"] < accuracy["relative"]


def test_l1_makes_zeros(capsys):
    names = run("l1_makes_zeros")
    zeros = list(names["zeros"].values())
    assert zeros[0] == 0
    assert zeros == sorted(zeros)
    assert zeros[-1] > names["model"].n_weights / 2
    assert names["same"]


def test_docstring_words(capsys):
    names = run("docstring_words")
    accuracy = names["accuracy"]
    assert accuracy[2000] > 0.9 and accuracy[100] > 0.9 and accuracy[30] > 0.8
    assert len(names["words"]) == 30
    assert not {"numpy", "scipy", "sklearn"} & set(names["words"])
    assert "left, the strongest first:" in capsys.readouterr().out


def test_own_layer(capsys):
    names = run("own_layer")
    assert names["small"].layers["dense1"].units == 20
    assert names["small"].layers["scale1"].gain.shape == (20,)
    assert names["accuracy"] > 0.6
    assert "20 of 40 units" in capsys.readouterr().out
