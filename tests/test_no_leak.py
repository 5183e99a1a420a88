"""No decision reads the test part: it reports. What learns, judges, chooses or guards sees the other two parts."""
from dataclasses import fields, replace

import numpy as np
import pytest
from tables import make

import minnet as mn
from minnet.cli import main
from minnet.data import Dataset, from_arrays
from minnet.engine.stopping import early_stopping
from minnet.pruning.compensation import COMPENSATIONS
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.prune import plan_prune
from minnet.pruning.recipes import RECIPES
from minnet.report.rows import guards as guard_lines
from minnet.study.agreement import compare_criteria
from minnet.study.guard import GuardMissed, check_guards
from minnet.study.job import Job
from minnet.study.settings import Settings
from minnet.study.training import Training


class Blind(Dataset):
    """A Dataset whose test part cannot be read."""

    def __getattribute__(self, name):
        if name in ("X_test", "y_test"):
            raise AssertionError("the test part was read")
        return super().__getattribute__(name)


def images(valid=0.1):
    """Random images of three classes, split."""
    rng = np.random.default_rng(0)
    return from_arrays(rng.random((120, 5, 4, 2)), np.arange(120) % 3, rng=0, valid=valid)


def blind(data):
    """The same data, its test part unreadable."""
    return Blind(**{field.name: getattr(data, field.name) for field in fields(data) if field.init})


def drained(steps):
    """Run the steps."""
    for _ in steps:
        pass


def asked(criterion):
    """What `plan_prune` takes to judge by the criterion."""
    return {"criterion": criterion, "structure": "filter" if traits_of(CRITERIA[criterion]).unit else "weight"}


DECISIONS = {
    "train": lambda model, data: drained(mn.train(model, data, epochs=1, rng=0)),
    "early stopping": lambda model, data: drained(
        early_stopping(mn.train(model, data, epochs=3, rng=0), model, data, patience=1)),
    "sensitivity": lambda model, data: mn.sensitivity(model, data, sparsities=[0.5], rng=0),
    "layers by sensitivity": lambda model, data: mn.prune(model, 0.5, data=data, layers="insensitive:2"),
    "shares by sensitivity": lambda model, data: mn.prune(
        model, 0.5, distribution=mn.sensitivity(model, data, sparsities=[0.5], rng=0).distribution),
    "agreement": lambda model, data: compare_criteria(model, data, ["taylor"], samples=20),
    **{f"criterion {name}": lambda model, data, name=name: plan_prune(model, 0.2, data=data, rng=0, **asked(name))
       for name in CRITERIA if traits_of(CRITERIA[name]).needs == "data"},
    **{f"recipe {name}": lambda model, data, name=name: drained(
        RECIPES[name](model, data, 0.5, epochs=2, rng=0, criterion="taylor",
                      structure="channel" if name == "slimming" else "weight"))
       for name in RECIPES},
    **{f"compensation {name}": lambda model, data, name=name: mn.prune(model, 0.2, data=data, compensate=name, rng=0)
       for name in COMPENSATIONS},
}


@pytest.mark.parametrize("name", DECISIONS)
def test_no_decision_reads_the_test_part(name):
    DECISIONS[name](make("residual", dtype=np.float32), blind(images()))


@pytest.fixture(scope="module")
def two_jobs():
    """The same job twice, the second with other rows and shuffled labels in its test part."""
    data, rng = mn.load_data("digits", rng=0), np.random.default_rng(1)
    other = replace(data, X_test=rng.permutation(data.X_test[::-1] / 2), y_test=rng.permutation(data.y_test))
    jobs = [Job(Settings(data=one, model="mlp", epochs=2, sparsity=0.8, guard={"accuracy": 0.02, "loss": 0.1},
                         layers=("insensitive:2",), criterion="taylor")) for one in (data, other)]
    for job in jobs:
        drained(job.run())
        job.result = job.measure()
    return jobs


def test_another_test_part_changes_no_mask_and_no_guard(two_jobs):
    first, second = two_jobs
    assert first.result["after"]["accuracy"] > second.result["after"]["accuracy"] + 0.5, "the test part is reported"
    assert np.array_equal(first.model.mask, second.model.mask)
    assert np.array_equal(first.model.values, second.model.values)
    first, second = (job.result["guard"] for job in (first, second))
    assert first["test"] != second["test"], "which is there as information"
    assert {**first, "test": None} == {**second, "test": None}


def test_a_guard_has_the_scores_of_the_validation_part(two_jobs):
    job, found = two_jobs[0], two_jobs[0].result["guard"]
    scores = mn.evaluate(job.small, job.data.X_valid, job.data.y_valid, intervals=False)
    assert (found["part"], found["samples"]) == ("valid", len(job.data.y_valid))
    assert found["after"] == pytest.approx({"accuracy": scores.accuracy, "loss": scores.loss}, rel=1e-4)
    assert found["limits"] == {"accuracy": 0.02, "loss": 0.1}
    lines = guard_lines(job.result)
    assert all("the validation part" in line for line in lines if line.startswith("guard on"))
    assert any("the test part (359 samples), which decides nothing" in line for line in lines)


def test_data_without_a_validation_part_are_guarded_on_the_training_part():
    job = Job(Settings(data=images(valid=0), model="mlp", epochs=1, sparsity=1.0, guard={"loss": 0}))
    drained(job.run())
    found = job.measure()["guard"]
    assert (found["part"], found["samples"]) == ("train", len(job.data.y_train))
    with pytest.raises(GuardMissed, match="on the training part"):
        check_guards(found | {"after": {"loss": 99.0}})


def test_a_guard_searches_without_the_test_part():
    job = Job(Settings(data=blind(images()), model="mlp", epochs=1, sparsity="max", guard={"accuracy": 0.1}))
    drained(job.run())
    assert job.search.rounds


def test_training_by_settings_is_blind_too():
    drained(Training(Settings(data=blind(images()), model="mlp", epochs=1)).run())


def test_the_commands_say_which_part_decides(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main("prune digits --model mlp --epochs 1 --structure 1:8 --criterion random --recipe one_shot --guard "
                "loss:0".split()) == 1
    shown = capsys.readouterr()
    assert "guard on the validation part (180 samples): loss" in shown.out
    assert "(on the validation part)" in shown.err
    assert main("sensitivity digits --model mlp --epochs 1 --sparsity 0.5".split()) == 0
    assert "measured on the validation part, 180 samples" in capsys.readouterr().err


# --- what is fitted --------------------------------------------------------------------------------------------------

def table(path, n, seed, scale=1, gap=False, mixed=False, words=("good film", "bad film", "a dull film")):
    """Write a table of two columns of numbers, one with gaps, and where it is `mixed` of categories and text."""
    rng, lines = np.random.default_rng(seed), ["a,b,colour,text,kind" if mixed else "a,b,kind"]
    for i in range(n):
        numbers = ["" if gap and i % 9 == 3 else f"{scale * rng.normal():.3f}", f"{scale * rng.random():.3f}"]
        others = [rng.choice([*"xyz"[: 2 if scale > 1 else 3]]), f"{rng.choice(words)} of {rng.choice(words)}"]
        lines.append(",".join([*numbers, *(others if mixed else []), "no" if i % 2 else "yes"]))
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.mark.parametrize("part", ["test", "valid"])
@pytest.mark.parametrize("mixed, gap", [(False, False), (False, True), (True, True)])
def test_scaling_and_encoding_are_those_of_the_training_part(part, mixed, gap, tmp_path):
    """Another range, other gaps, categories and words in a part that learns nothing: the same inputs, the same net."""
    train = table(tmp_path / "t.csv", 120, 0, gap=gap, mixed=mixed)
    like = table(tmp_path / "like.csv", 40, 1, gap=gap, mixed=mixed)
    unlike = table(tmp_path / "unlike.csv", 40, 2, 50, True, mixed, ("zebra crossing", "purple haze"))
    told = {"text": ["text"]} if mixed else {"scaling": "standard"}
    first, second = (mn.load_data(train, rng=0, **told, **{part: file}) for file in (like, unlike))
    assert first.signature.feature_names == second.signature.feature_names
    np.testing.assert_array_equal(first.signature.scaling, second.signature.scaling)
    for one, other in zip(*(data.inputs("train", data.signature, np.float32) for data in (first, second)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_numbers_to_learn_are_scaled_by_the_training_part():
    rng = np.random.default_rng(0)
    X, y = rng.random((100, 3)), rng.random(100)
    found = [mn.load_data((X, y), test=(X[:20], factor * y[:20] + factor), task="regression", rng=0).signature
             for factor in (1.0, 1e6)]
    np.testing.assert_array_equal(found[0].target_scaling, found[1].target_scaling)


def test_features_are_kept_whatever_the_test_part_says():
    data, rng = mn.load_data("digits", rng=0), np.random.default_rng(1)
    other = replace(data, X_test=rng.permutation(data.X_test[::-1] / 2), y_test=rng.permutation(data.y_test))
    kept = []
    for one in (data, other):
        job = Job(Settings(data=one, model="mlp", epochs=1, structure="input", keep=20, criterion="taylor"))
        drained(job.run())
        kept.append(job.model.mask.copy())
    assert np.array_equal(*kept)
