"""Options of criteria and recipes on the command line, and recipes of the user's own."""
import inspect
import json
import warnings
from functools import partial

import numpy as np
import pytest

from minnet.cli import main
from minnet.cli.rule import spelled
from minnet.data import from_arrays
from minnet.engine.state import Step
from minnet.errors import Diverged, InvalidValue, MinnetError
from minnet.pruning.criteria import CRITERIA
from minnet.pruning.recipes import RECIPES
from minnet.study.job import Job
from minnet.study.settings import Settings, name_of

LOOPS = """
from minnet.engine.state import Step
from minnet.errors import Diverged
def late(model, data, sparsity, *, epochs, schedule, prune, train, rng):
    print("late")
    for step in train(model, data, epochs=epochs, rng=rng):
        if step.batch == 0 and step.epoch == epochs:
            prune(model, sparsity, data=data, rng=0)
            step.state.apply_mask()
        yield step
def wrong(model, data, sparsity, **rest):
    yield Step(0, 1, 0.0, 0.1, None, 0.0)
    raise KeyError("what")
def diverges(model, data, sparsity, **rest):
    raise Diverged("it is infinite")
    yield
def none(model, data, sparsity, **rest):
    pass
def odd(model, data, sparsity, **rest):
    yield 1
def bare(model, data, sparsity, epochs):
    yield
def less(model, data, sparsity, *, prune, train, rng, **rest):
    prune(model, sparsity / 2)
    yield from train(model, data, epochs=1, rng=rng)
"""


@pytest.fixture
def loops(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loops.py").write_text(LOOPS)


@pytest.mark.parametrize(("kind", "text", "options"), [
    ("recipe", "lottery_ticket:rounds=10,rewind=2", {"rounds": 10, "rewind": 2}),
    ("recipe", "rigl:alpha=0.2, samples=none", {"alpha": 0.2, "samples": None}),
    ("criterion", "taylor:variant=signed", {"variant": "signed"}), ("criterion", "obs:damping=1e-3", {"damping": 1e-3}),
])
def test_options_are_bound(kind, text, options):
    found = spelled(kind, text)
    assert found.keywords == options
    assert found.func is (RECIPES if kind == "recipe" else CRITERIA)[text.partition(":")[0]]
    assert name_of(found) == text.partition(":")[0] + ":" + ",".join(f"{k}={v}" for k, v in options.items())


@pytest.mark.parametrize(("kind", "text", "wanted"), [
    ("recipe", "lottery_ticket:round=3", "did you mean rounds"), ("recipe", "lotery_ticket:rounds=3", "lottery_ticket"),
    ("recipe", "set:zeta=1,=2", "wanted NAME:KEY=VALUE"), ("criterion", "taylor:data=3", "choose from: variant"),
    ("recipe", "loops.py:lat", "did you mean late"), ("recipe", "other.py:late", "no such file"),
    ("criterion", "other.py:late", "check the name after --criterion"),
    ("recipe", "set:zeta=1,zeta=2", "each option once, got zeta twice"),
    ("recipe", "gradual:begin", "wanted NAME:KEY=VALUE,... after the name, got begin"),
])
@pytest.mark.usefixtures("loops")
def test_options_that_are_not_there(kind, text, wanted):
    with pytest.raises(MinnetError, match=wanted):
        spelled(kind, text)


@pytest.mark.usefixtures("loops")
def test_a_recipe_of_the_users_own(capsys):
    recipe = spelled("recipe", "loops.py:wrong")
    steps = recipe(None, None, 0.5)
    assert isinstance(next(steps), Step)
    assert inspect.signature(recipe).parameters.keys() >= {"model", "sparsity"}
    with pytest.raises(InvalidValue, match=r"loops.py:13: KeyError: 'what'.*in wrong"):
        next(steps)
    with pytest.raises(Diverged, match="it is infinite"):
        next(spelled("recipe", "loops.py:diverges")(None, None, 0.5))
    with pytest.raises(InvalidValue, match="loops.py:none returns None; wanted the steps of `train`"):
        spelled("recipe", "loops.py:none")(None, None, 0.5)
    with pytest.raises(InvalidValue, match="loops.py:odd yields 1; wanted the steps of `train`"):
        next(spelled("recipe", "loops.py:odd")(None, None, 0.5))
    with pytest.raises(InvalidValue, match=r"bare: got an unexpected .*; wanted a function \(model, data, sp"):
        spelled("recipe", "loops.py:bare")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("loops", "few_rounds")
def test_both_at_the_command_line(capsys):
    options = "--model mlp --epochs 1 --recipe loops.py:late --criterion taylor:variant=squared --json"
    assert main(["prune", "digits", *options.split()]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert (result["recipe"], result["criterion"]) == ("late", "taylor:variant=squared")
    assert result["sparsity"]["reached_weights"] == 0.9 and "late" in shown.err
    assert main(["prune", "digits", "--model", "mlp", "--epochs", "1", "--recipe", "loops.py:less"]) == 0
    assert "less removed 45.0% where 90.0% were asked for" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"slimming"}))  # which wants BatchNorm
def test_options_of_recipes_are_checked_before_training(name):
    """The recipe is called on a copy, without a step, a warning or a change of the model."""
    data = from_arrays(np.random.default_rng(0).random((40, 6)), np.arange(40) % 2, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = Job(Settings(data=data, model="mlp", epochs=2, recipe=partial(RECIPES[name]), sparsity=0.5))
    assert job.model.mask.all() and name_of(job.settings.recipe) == name
