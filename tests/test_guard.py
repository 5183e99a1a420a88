"""Guards: what decides, how far rows bound a loss, and the search: no criterion makes it return what breaks a limit."""
import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import make

import minnet as mn
from minnet.cli import main
from minnet.data import from_arrays
from minnet.engine.answers import Answers
from minnet.engine.attacks import pgd
from minnet.engine.sample import part_of
from minnet.errors import Diverged, InvalidValue
from minnet.pruning.recipes import RECIPES
from minnet.report.changes import changes
from minnet.report.rows import guards as lines_of
from minnet.study.change import margins
from minnet.study.guard import GuardMissed, check_guards, check_limits, missed
from minnet.study.guarded import HALVINGS, ROUNDS, Search
from minnet.study.job import Job
from minnet.study.paired import check_rows, images_needed, judged, paired_bound, share_bound
from minnet.study.safe import key_layers
from minnet.study.settings import Settings
from minnet.study.training import TRIED


def told(guesses, y, k=3):
    """Answers of a model that is sure of these classes, or of these labels."""
    y, guesses = np.asarray(y), np.asarray(guesses)
    outputs = 8.0 * guesses - 4 if y.dtype == bool else 4.0 * np.eye(k)[guesses]
    return Answers(outputs, y, 0.1, np.full(len(y), 0.1))


pytestmark = pytest.mark.usefixtures("few_rounds")


# --- bounds ----------------------------------------------------------------------------------------------------------

def test_how_many_images_a_limit_needs():
    assert [images_needed(0.005, flips) for flips in range(4)] == [598, 947, 1258, 1549]
    assert [images_needed(limit) for limit in (0.01, 0.02, 0.03)] == [299, 149, 99]
    assert images_needed(0) is None
    for flips in (0, 2, 9):
        n = images_needed(0.03, flips)
        assert share_bound(flips, n) <= 0.03 < share_bound(flips, n - 1)


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 598), (0, 5, 180), (3, 0, 180), (4, 4, 50), (50, 10, 1000)])
def test_the_bound_is_that_of_agresti_and_min(b, c, n):
    lost = np.array([1] * b + [-1] * c + [0] * (n - b - c), float)
    d, total = (b - c) / (n + 2), (b + c + 2) / (n + 2)
    wanted = d + 1.6448536 * math.sqrt((total - d * d) / (n + 2))
    assert paired_bound(lost) == pytest.approx(max(wanted, 1 - 0.05 ** (1 / n)) if b == 0 else wanted, rel=1e-6)


@pytest.mark.parametrize(("p", "q"), [(3.5 / 500, 0.0), (0.004, 0.002), (0.05, 0.05), (0.001, 0.0)])
def test_a_bound_covers_about_as_often_as_it_says(p, q):
    """A percentile bootstrap has 86 % and less where few rows flip; see the issue's evidence for the 90 % here."""
    kinds = np.random.default_rng(0).multinomial(500, [p, q, 1 - p - q], size=1000)
    lost = [np.repeat([1.0, -1.0, 0.0], counts) for counts in kinds]
    assert np.mean([paired_bound(one) >= p - q for one in lost]) >= 0.9


# --- what decides ----------------------------------------------------------------------------------------------------

Y = np.array([0] * 6 + [1] * 3 + [2])
BEFORE = told(Y, Y)


def test_each_loss_of_classes_and_its_bound():
    after = told([0, 0, 0, 0, 0, 1, 1, 1, 2, 2], Y)
    found = judged({"accuracy": 0.1, "recall_macro": 0.3, "per_class_recall": 0.3, "flips": 0.2, "loss": 1.0}, BEFORE,
                   after, ["a", "b", "c"])
    assert found["before"] == {"accuracy": 1, "recall_macro": 1, "per_class_recall": 1, "flips": 0, "loss": 0.1}
    recalls = [5 / 6, 2 / 3, 1]
    assert found["after"] == pytest.approx({"accuracy": 0.8, "recall_macro": np.mean(recalls), "flips": 0.2,
                                            "per_class_recall": 2 / 3, "loss": 0.1})
    bounds = found["bounds"]
    assert "loss" not in bounds and bounds["per_class_recall"]["label"] == "b"
    assert bounds["accuracy"] == {"bound": paired_bound(np.repeat([1.0, 0], [2, 8])),
                                  "images_needed": images_needed(0.1, 2)}
    assert bounds["flips"]["bound"] == share_bound(2, 10)
    assert bounds["per_class_recall"]["bound"] == paired_bound(np.array([0.0])), "that of the class of one row"
    weighted = np.array([0, 0, 0, 0, 0, 10 / 18, 0, 0, 10 / 9, 0])
    assert weighted.mean() == pytest.approx(1 - np.mean(recalls))
    assert bounds["recall_macro"]["bound"] == pytest.approx(paired_bound(weighted, 10 / 3))
    assert [text.partition(" changed")[0] for text in missed(found)] == ["accuracy", "per_class_recall of b"]


def test_flips_count_whatever_way_they_go():
    wrong = told([1, 1, *Y[2:]], Y)
    assert judged({"flips": 0.1, "accuracy": 0.0}, wrong, told([0, 2, *Y[2:]], Y))["after"] == {
        "flips": 0.2, "accuracy": 0.9}


def test_labels_are_guarded_too():
    y = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    after = y.copy()
    after[0] = [0, 1]
    found = judged({"per_class_recall": 0.1, "flips": 0.1, "accuracy": 0.1}, told(y, y), told(after, y), ["x", "y"])
    assert found["after"] == {"per_class_recall": 0.5, "flips": 0.25, "accuracy": 0.75}
    assert found["bounds"]["per_class_recall"]["label"] == "x" and len(missed(found)) == 3


def test_a_binding_bound_counts():
    found = judged({"accuracy": 0.2}, BEFORE, BEFORE)
    assert missed(found | {"binding": False}) == []
    assert "at 95 % by at most 0.2589" in missed(found | {"binding": True})[0]
    check_rows({"accuracy": 0.27, "flips": 0.27}, Y, "validation")
    for limits, wanted in (({"accuracy": 0.005}, "has 10 images.* needs 598"), ({"accuracy": 0}, "any number"),
                           ({"per_class_recall": 0.3}, "1 images of a class.* needs 9 of each class"),
                           ({"recall_macro": 0.27}, "needs 36"), ({"loss": 1.0}, "accuracy, recall_macro")):
        with pytest.raises(InvalidValue, match=wanted):
            check_rows(limits, Y, "validation")


@pytest.mark.parametrize(("limits", "wanted"), [
    ({"accuracy": 1}, "did you mean 0.01"), ({"flips": 5}, "did you mean 0.05"), ({"recall_macro": -0.1}, "from 0"),
    ({"robust": 0.1}, "unknown score"),
])
def test_limits_of_shares(limits, wanted):
    with pytest.raises(InvalidValue, match=wanted):
        check_limits(limits)


# --- the search ------------------------------------------------------------------------------------------------------

def searched(holds, high, open_end=False, again=False, before=0):
    """A search over a net of 62 weights, whose rounds hold where `holds(count)` says so."""
    model = make("dense")
    mn.prune(model, count=before)

    def run(sparsity, number):
        if holds(round(sparsity * 62)) is None:
            raise Diverged("the loss is NaN")
        assert again is False or np.count_nonzero(~model.mask) == before
        mn.prune(model, sparsity, rng=number, criterion="random")
        return iter([])

    def judge():
        lost = 0.0 if holds(np.count_nonzero(~model.mask)) else 0.2
        return {"limits": {"accuracy": 0.1}, "before": {"accuracy": 1.0}, "after": {"accuracy": 1 - lost}}

    search = Search(model, run, judge, lambda: np.count_nonzero(~model.mask) / 62, lambda: model.density, high, 62,
                    open_end=open_end, again=again)
    assert list(search.steps()) == []
    return model, search


@settings(max_examples=40)
@given(st.lists(st.sampled_from([True, False, None]), min_size=63, max_size=63), st.integers(1, 62), st.booleans(),
       st.booleans(), st.integers(0, 5))
def test_whatever_holds_the_search_ends_with_a_net_that_holds_or_as_it_began(held, high, open_end, again, before):
    model, search = searched(held.__getitem__, max(high, before + 1) / 62, open_end, again, before)
    left = np.count_nonzero(~model.mask)
    assert left == before if search.best is None else held[left]
    assert (search.best is None) == (not any(done.holds for done in search.rounds))
    assert len(search.rounds) <= ROUNDS + HALVINGS and search.halvings <= HALVINGS
    assert left == max([before, *(round(done.reached * 62) for done in search.rounds if done.holds)])
    assert all(search.rounds[number].holds for number in search.lineage)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("edge", [0, 1, 30, 47, 61])
def test_the_search_finds_the_edge(edge, again):
    model, search = searched(lambda count: count <= edge, 1.0, again=again)
    assert np.count_nonzero(~model.mask) == (edge if edge else 0)  # 62 / 2^6 is below one weight
    assert (search.best is None) == (edge == 0)
    bound = search.record(1.0)["bound"]
    assert round(bound["asked"] * 62) == edge + 1 and "accuracy changed from" in bound["missed"][0]


def test_a_round_that_holds_at_once_is_the_only_one():
    model, search = searched(lambda count: True, 0.5)
    assert len(search.rounds) == 1 and model.sparsity == 0.5
    model, search = searched(lambda count: True, 1.0, open_end=True)
    assert [round(62 * done.asked) for done in search.rounds] == [31, 47, 55, 59, 61]


# --- the job ---------------------------------------------------------------------------------------------------------

@functools.cache
def points():
    """Three classes that a small net tells apart."""
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    return from_arrays(rng.normal(size=(240, 6)) + 3 * np.eye(6)[y], y, rng=0, valid=0.25)


def run(**arguments):
    """A finished job on these points, and its result."""
    arguments = {"data": points(), "model": "mlp", "epochs": 2, "guard": {"accuracy": 0.05, "flips": 0.2}} | arguments
    job = Job(Settings(**arguments))
    for progress in job.run():
        assert progress.epoch <= progress.epochs
    return job, job.measure()


def test_a_schedule_that_never_ends_at_all_is_searched_with():
    recipe = functools.partial(RECIPES["lottery_ticket"], rounds=2)
    Job(Settings(data=points(), model="mlp", recipe=recipe, sparsity="max", guard={"accuracy": 0.05}))
    with pytest.raises(InvalidValue, match="never reaches sparsity 1"):
        Job(Settings(data=points(), model="mlp", recipe=recipe, sparsity=1.0))


def largest_first(model, data):
    return -np.abs(model.weights)


def alternating(model, data):
    """Good for one half of the weights, bad for the other."""
    return np.abs(model.weights) * np.where(np.arange(model.n_weights) % 2, 1, -1)


@pytest.mark.parametrize(("recipe", "criterion", "goal"), [
    ("one_shot", largest_first, {"sparsity": 0.95}), ("one_shot", alternating, {"sparsity": "max"}),
    ("gradual", largest_first, {"macs": "min"}), ("set", largest_first, {"sparsity": 0.97}),
    ("gradual", "magnitude", {"bytes": "min"}), ("iterative", "random", {"latency": "min"}),
])
def test_no_criterion_makes_a_job_break_its_guard(recipe, criterion, goal):
    job, result = run(recipe=recipe, criterion=criterion, **goal)
    found, search = result["guard"], result["guard"]["search"]
    assert missed(found) == [] and set(found["test"]["after"]) == {"accuracy", "flips"}
    assert len(search["rounds"]) <= ROUNDS + HALVINGS
    epochs = (4 if recipe == "set" else 2) * len(search["rounds"])
    assert len(job.history) == job.epochs == 4 + epochs
    assert sum(entry["stage"] == TRIED for entry in job.history) == epochs - search["epochs"]
    if search["held"]:
        check_guards(found)
        costs = [done["cost"] for done in search["rounds"] if done["holds"]]
        assert job.reached == search["reached"] > 0 and job.cost() == min(costs)
    else:
        assert np.array_equal(job.model.values, job.dense.values) and job.reached == 0
        with pytest.raises(GuardMissed, match="nothing could be removed within the guard"):
            check_guards(found)
    assert any("tried" in line for line in lines_of(result)) == (len(search["rounds"]) > 1)


def test_a_search_that_is_stopped_has_the_best_net_so_far():
    job = Job(Settings(data=points(), model="mlp", epochs=1, guard={"accuracy": 0.05}, sparsity="max"))
    for _ in job.run():
        if len(job.search.rounds if job.search else ()) == 2:  # and the third is under way
            break
    assert job.kept.sparsity == max(done.reached for done in job.search.rounds if done.holds) > 0
    assert not np.array_equal(job.kept.values, job.model.values)


def test_a_guard_that_holds_changes_nothing():
    """The net is that of the same job without a guard, bit for bit."""
    (job, result), (plain, _) = run(sparsity=0.5, guard={"accuracy": 0.9}), run(sparsity=0.5, guard={})
    assert len(result["guard"]["search"]["rounds"]) == 1
    assert job.model.values.tobytes() == plain.model.values.tobytes()
    assert job.dense.values.tobytes() == plain.dense.values.tobytes()


@pytest.mark.parametrize(("arguments", "wanted"), [
    ({"sparsity": "max", "guard": {}}, "and none is given"), ({"macs": "max"}, "wanted 'min'"),
    ({"sparsity": "most"}, "wanted 'max'"), ({"macs": "min", "count": 3}, "give one of them"),
    ({"guard_bound": True, "guard": {"accuracy": 0.04}}, "needs 74"),
    ({"guard_bound": True, "guard": {}}, "without a guard: say what may be lost"),
])
def test_what_cannot_be_searched_is_refused_before_training(arguments, wanted):
    with pytest.raises(InvalidValue, match=wanted):
        run(**arguments)


def test_a_structure_of_its_own_count_has_one_round():
    _, result = run(structure="2:4", guard={"accuracy": 0.0, "flips": 0.0, "loss": 0.0})
    assert len(result["guard"]["search"]["rounds"]) == 1


@pytest.mark.parametrize(("options", "words"), [
    ("--sparsity max --guard accuracy:1", "did you mean 0.01"),
    ("--latency 5 --guard accuracy:0.1", "'5'; wanted min"),
    ("--guard accuracy:0.1 --guard accuracy:0.2", "accuracy:0.1 and accuracy:0.2: give one limit"),
    ("--guard accuracy:0.005 --guard-bound", "180 images, and a loss of accuracy of at most 0.005 needs 598"),
])
def test_what_cannot_be_guarded_on_the_command_line(options, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["prune", "digits", "--model", "mlp", "--epochs", "1", *options.split()]) == 2
    assert words in capsys.readouterr().err


# --- least change ----------------------------------------------------------------------------------------------------

DEEP = {"model": "lenet_300_100", "guard": {}, "safe": True, "epochs": 1}


@pytest.mark.parametrize("more", [{}, {"guard": {"accuracy": 0.6}, "sparsity": 0.95}])
def test_least_change_keeps_the_shape_and_takes_what_agrees_most(more):
    job, result = run(**DEEP | more)
    tried, protected = result["safe"]["tried"], result["safe"]["protected"]
    assert [trial["criterion"] for trial in tried] == ["magnitude", "taylor", "obd", "wanda"]
    ranks = [(trial["cost"], trial["flips"], trial["distance"]) for trial in tried]
    best = tried[ranks.index(min(ranks))]
    assert result["criterion"] == best["criterion"]
    before, after = (mn.freeze(net).predict(job.data.X_valid) for net in (job.dense, job.small))
    assert np.mean(before != after) == best["flips"], "the net that is kept is that criterion's"
    assert protected == ["dense1", "dense3"] and job.small.n_weights == job.dense.n_weights
    assert all(layer["sparsity"] == 0 for layer in result["layers"] if layer["name"] in protected)
    assert "guard" in more or job.model.parameters["dense2.weight"].mask.mean() == pytest.approx(0.1)
    assert len(job.history) == job.epochs and sum(entry["stage"] == TRIED for entry in job.history) >= 3
    lines = "\n".join(changes(result))
    for words in ("taken: " + best["criterion"], "left as they were: dense1, dense3", "right to wrong on the test part",
                  "Brier score", "margin of the right class"):
        assert words in lines


def test_least_change_leaves_out_what_cannot_be_used_and_what_is_key():
    job, result = run(**DEEP | {"layers": ("dense1", "dense2"), "criterion": "magnitude", "compensate": None})
    assert result["safe"]["protected"][-1] == "dense3"
    found = mn.sensitivity(job.dense, job.data, rng=0)
    for rises, free, key in (([9, 1, 1], ["dense1", "dense2"], ["dense1"]), ([1, 1, 9], ["dense1"], []),
                             ([9, 1, 1], ["dense1"], []), ([3, 3, 3], ["dense1", "dense2"], [])):
        values = np.full_like(found.values, np.nan)
        values[..., found.scores.index("loss")] = found.base[found.scores.index("loss")] + np.array(rises)[:, None]
        assert key_layers(replace(found, values=values), free) == key


@pytest.mark.parametrize(("arguments", "wanted"), [
    ({"structure": "neuron"}, "keeps the shape"), ({"model": "mlp"}, "name what may be pruned"),
    ({"macs": 0.5}, "keeps every unit"),
])
def test_what_least_change_cannot_do(arguments, wanted):
    with pytest.raises(InvalidValue, match=wanted):
        run(**DEEP | arguments)


def test_margins_are_of_the_right_class():
    found = margins(told([0, 1], [0, 0]), told([0, 0], [0, 0]))
    sure = (math.exp(4) - 1) / (math.exp(4) + 2)
    assert found["before"][[0, -1]] == pytest.approx([-0.9 * sure, 0.9 * sure])
    assert found["after"] == pytest.approx(sure) and found["difference"] == pytest.approx(sure)


def test_the_accuracy_under_an_attack_is_guarded():
    with pytest.raises(InvalidValue, match="attacks rows in \\[0, 1\\], and those that decide run from"):
        run(guard={"robust_accuracy": 0.1})
    job = Job(Settings(data="digits", model="mlp", epochs=1, recipe="one_shot", sparsity=0.8,
                       guard={"robust_accuracy": 0.5}))
    list(job.run())
    found = job.decided()
    assert missed(found) == [] and found["bounds"]["robust_accuracy"]["bound"] > 0
    for when, net in (("before", job.dense), ("after", job.small)):
        X, y = part_of(net, job.data, "valid")
        moved = pgd(net.without_signature(), X, y, epsilon=0.1, rng=0)
        right = net.without_signature()(moved).argmax(axis=1) == y
        assert found[when]["robust_accuracy"] == pytest.approx(right.mean())
