"""The study room: the job as Python users call it, guards, measurements, and what a result says in words."""
import json
import math

import numpy as np
import pytest

import minnet as mn
from minnet.errors import Diverged, InvalidType, InvalidValue, UnknownName
from minnet.study.guard import GuardMissed, check_guards, check_limits
from minnet.study.job import Job
from minnet.study.measure import compare_nets, speeds
from minnet.study.result import hidden_units, plain, summary, units_removed
from minnet.study.settings import LARGE_BATCH, MANY_ROWS, MOMENTUM, NUMBERS_LR, SGD_LR, SMALL_BATCH, Settings
from minnet.study.speed import machine_speed
from minnet.study.training import Training, batch_for, optimizer_of


@pytest.fixture(scope="module")
def job():
    """A short job that has run."""
    made = Job(Settings(epochs=3, sparsity=0.8, seed=1))
    made.progress = list(made.run())
    return made


# --- the job ---------------------------------------------------------------------------------------------------------

def test_progress_counts_the_epochs_of_all_stages(job):
    assert [step.epoch for step in job.progress] == list(range(1, 10))
    assert {step.epochs for step in job.progress} == {9}
    assert list(dict.fromkeys(step.stage for step in job.progress)) == ["dense", "pruning", "dense, the same epochs"]


def test_both_nets_begin_as_the_trained_one(job):
    """Until pruning begins the two are one: the first epochs leave the same net as training alone does."""
    training = Training(Settings(epochs=3, sparsity=0.8, seed=1))
    for _ in training.run():
        pass
    assert [step["loss"] for step in training.history] == [step["loss"] for step in job.history][:3]


def test_exactly_the_asked_share_is_gone(job):
    assert np.count_nonzero(~job.model.mask) == round(0.8 * job.model.n_weights)
    assert not job.model.values[~job.model.mask].any()
    assert job.dense.mask.all()


def test_measuring_finds_small_and_dense_as_they_are(job):
    result = job.measure()
    X, y = job.data.X_test, job.data.y_test
    assert np.abs(job.small(X) - job.model(X)).max() < 1e-4
    assert result["after"]["accuracy"] == pytest.approx(np.mean(job.model(X).argmax(axis=1) == y), abs=0.003)
    assert result["before"]["macs"] == job.dense.n_weights
    assert set(job.files) == {"model.safetensors", "dense.safetensors"}


def test_a_given_model_is_not_trained_before(job):
    given = mn.models.mlp((8, 8, 1), 10, hidden=(20,), rng=0)
    before = given.values.copy()
    made = Job(Settings(model=given, epochs=1))
    assert made.given
    assert made.epochs == 2
    assert np.array_equal(given.values, before), "nothing is trained or pruned before run()"
    assert [step.stage for step in made.run()] == ["pruning", "dense, the same epochs"]


def test_making_a_job_changes_no_mask_and_asks_the_criterion_once():
    calls = []

    def spy(model, data):
        calls.append(len(data.X))
        return np.abs(model.weights)
    made = Job(Settings(criterion=spy, sparsity=0.5))
    assert made.model.mask.all()
    assert calls == [1024]


def test_a_criterion_that_looks_back_sees_the_net_as_it_began():
    made = Job(Settings(criterion="movement", epochs=1, sparsity=0.5))
    early = made.model.values.copy()
    for _ in made.run():
        pass
    assert np.array_equal(made.pruning["criterion"].keywords["initial"], early)
    assert made.model.sparsity == 0.5


@pytest.mark.parametrize(("settings", "error"), [
    ({"schedule": "cubik"}, UnknownName), ({"recipe": "gradul"}, UnknownName), ({"criterion": "magnitud"}, UnknownName),
    ({"sparsity": 2.0}, InvalidValue), ({"sparsity": 0.5, "count": 3}, InvalidValue), ({"count": 10**6}, InvalidValue),
    ({"guard": {"accurracy": 0.1}}, UnknownName), ({"guard": {"accuracy": "x"}}, InvalidType),
    ({"value_range": (1.0, 0.5)}, InvalidValue), ({"penalty": (("l1", -1.0),), "epochs": 1}, InvalidValue),
    ({"layers": ("nothing",)}, UnknownName), ({"optimizer": "adm"}, UnknownName), ({"model": "mlpp"}, UnknownName),
], ids=str)
def test_what_is_wrong_is_told_before_training(settings, error):
    with pytest.raises(error):
        Job(Settings(**settings))


def test_the_net_before_it_diverged_is_kept():
    made = Job(Settings(epochs=2, lr=1e30))
    with pytest.raises(Diverged):
        list(made.run())
    assert np.isfinite(made.model.values).all()
    assert made.kept is None


def test_kept_is_the_net_of_the_last_finished_epoch(job):
    made = Job(Settings(epochs=3, sparsity=0.8, seed=1))
    steps = made.run()
    for _ in range(5):
        next(steps)
    kept = made.kept
    assert kept.sparsity == job.history[4]["sparsity"]
    made.model.values[:] = np.nan
    assert np.isfinite(kept.values).all()
    assert np.isfinite(made.kept.values).all()


# --- settings --------------------------------------------------------------------------------------------------------

def test_settings_are_recorded_as_json_has_them():
    def rule(model, data):
        return model.weights
    record = Settings(criterion=rule, penalty=(("l1", 0.1),), layers=("a", "b"), guard={"loss": 1.0}).record()
    assert (record["criterion"], record["penalty"], record["layers"]) == ("rule", [["l1", 0.1]], ["a", "b"])
    assert record["guard"] == {"loss": 1.0}


def test_optimizers_and_batches_by_the_settings():
    assert optimizer_of(Settings(lr=0.3)).lr == 0.3
    assert optimizer_of(Settings(optimizer="adamw", lr=0.3, weight_decay=0.2)) == mn.AdamW(lr=0.3, weight_decay=0.2)
    assert optimizer_of(Settings(optimizer="adamw")) == mn.AdamW()
    assert optimizer_of(Settings(weight_decay=0.0)) == mn.SGD(SGD_LR, MOMENTUM, nesterov=True)
    assert optimizer_of(Settings(), "numbers").lr == NUMBERS_LR < optimizer_of(Settings(), "classes").lr == SGD_LR
    assert optimizer_of(Settings(lr=0.3), "numbers").lr == 0.3
    assert (batch_for(MANY_ROWS - 1), batch_for(MANY_ROWS)) == (SMALL_BATCH, LARGE_BATCH)


# --- guards ----------------------------------------------------------------------------------------------------------

BEFORE = {"accuracy": 0.9, "recall_macro": 0.8, "f1_macro": 0.7, "loss": 0.5}


def decided(guards, after):
    """What guards decide by, as result.json has it."""
    return {"part": "valid", "samples": 100, "limits": guards, "before": BEFORE, "after": after}


@pytest.mark.parametrize(("guards", "after", "missed"), [
    ({"accuracy": 0.1}, {"accuracy": 0.8 + 1e-9}, False), ({"accuracy": 0.1}, {"accuracy": 0.7999}, True),
    ({"accuracy": 0}, {"accuracy": 0.9}, False), ({"accuracy": 0}, {"accuracy": 0.95}, False),
    ({"loss": 0.1}, {"loss": 0.55}, False), ({"loss": 0.1}, {"loss": 0.65}, True), ({"loss": 0}, {"loss": 0.1}, False),
    ({"recall_macro": 0.1, "f1_macro": 0.1}, {"recall_macro": 0.1, "f1_macro": 0.1}, True),
    ({}, {"accuracy": 0.0}, False),
])
def test_a_guard_holds_or_tells_by_how_much_not(guards, after, missed):
    after = BEFORE | after
    if not missed:
        check_guards(decided(guards, after))
        return
    with pytest.raises(GuardMissed, match="on the validation part") as caught:
        check_guards(decided(guards, after))
    assert all(name in str(caught.value) for name in guards)


def test_a_guard_on_a_score_that_is_no_number_does_not_hold():
    for loss in (math.nan, None):
        with pytest.raises(GuardMissed):
            check_guards(decided({"loss": 1.0}, BEFORE | {"loss": loss}))


def test_limits_are_checked():
    assert check_limits(None) == {}
    bad = (({"speed": 1}, UnknownName), ({"loss": -1}, InvalidValue), ({"loss": math.nan}, InvalidValue))
    for guards, error in bad:
        with pytest.raises(error):
            check_limits(guards)


# --- figures and words -----------------------------------------------------------------------------------------------

def test_figures_of_two_nets(job):
    figures = compare_nets({"a": job.dense, "b": job.dense}, job.data)
    assert all(figures["a"][name] == figures["b"][name] for name in ("accuracy", "loss", "parameters", "macs"))
    assert figures["a"]["latency_us"] > 0 < figures["a"]["throughput_per_s"]


@pytest.mark.parametrize("rows", [1, 3, 1024, 1500])
def test_speeds_take_any_number_of_rows(rows):
    net = mn.models.mlp((4,), 2, hidden=(3,), rng=0)
    assert speeds({"net": net}, np.zeros((rows, 4), np.float32))["net"]["throughput_per_s"] > 0


def test_the_plan_of_a_result_gives_the_same_kernels(job):
    """Also for one row, and for a batch size that is known: those that were timed."""
    result = job.measure()
    for net, model in (("before", job.dense), ("after", job.small)):
        plan = json.loads(json.dumps(result[net]["plan"]))
        assert len(plan) == 3
        assert mn.freeze(model, plan=plan).plan == mn.freeze(model).plan == plan
        one, many = (mn.freeze(model, batch_size).plan for batch_size in (1, 1024))
        assert [name.split("/")[0] for name in plan] == one
        assert [name.split("/")[-1] for name in plan] == many


def test_machine_speed_prunes_as_asked(few_rounds):
    nets = machine_speed(mn.models.mlp((8, 8, 1), 10, hidden=(20,), rng=0), [0.5, 0.9], rng=0)["nets"]
    assert [net["sparsity"] for net in nets] == [0.0, 0.5, 0.9]


def test_hidden_units_are_counted_once_where_a_residual_joins_them():
    assert hidden_units(mn.models.mlp((4,), 2, hidden=(5, 6), rng=0)) == 11
    assert hidden_units(mn.models.resnet_8((8, 8, 1), 10, width=2, rng=0)) == 2 + 2 + (4 + 4) + (8 + 8)


def test_the_share_of_units_that_compaction_took_out():
    model = mn.models.mlp((4,), 2, hidden=(5, 5), rng=0)
    mn.prune(model, units={"dense1": 3})
    assert units_removed(model, mn.compact(model)) == 0.2


def test_json_never_holds_what_it_cannot():
    held = plain({"a": math.nan, 1: (np.float32(0.5), np.int64(3), -math.inf), "b": [None, "x", True],
                  "c": np.array([[1, math.nan]])})
    assert held == {"a": None, "1": [0.5, 3, None], "b": [None, "x", True], "c": [[1, None]]}
    assert type(held["1"][1]) is int


@pytest.mark.parametrize(("change", "text"), [
    ({"bytes_on_disk": 10}, "file 10.0 times smaller"), ({"bytes_on_disk": 200}, "file 2.0 times larger"),
    ({"latency_us": 50}, "one sample 2.0 times faster"), ({"latency_us": 98}, "one sample no faster"),
    ({"latency_us": 400}, "one sample 4.0 times slower"), ({"macs": 0}, "with 0 instead of 100 multiply-adds"),
    ({"accuracy": 0.4}, "50.00% -> 40.00% (10.00 points lower)"), ({"accuracy": 0.6}, "(10.00 points higher)"),
    ({}, "50.00% -> 50.00% (unchanged)"),
])
def test_the_summary_gives_gains_and_loss(change, text):
    before = {"accuracy": 0.5, "bytes_on_disk": 100, "macs": 100, "latency_us": 100}
    assert text in summary("half of it", before, before | change)
