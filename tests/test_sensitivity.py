"""Sensitivity: beside pruning by hand, layer by layer; what is chosen and shared out by it; its plots and command."""
import itertools
import json
import signal
from functools import partial

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tables import make

import minnet as mn
from minnet.cli import main
from minnet.cli.signals import SIGNALS
from minnet.errors import InvalidValue, UnknownName
from minnet.pruning.choose import choose
from minnet.pruning.recipes import gradual
from minnet.report.plots import plot_agreement, plot_sensitivity
from minnet.study.agreement import compare_criteria
from minnet.study.sensitivity import Sensitivity, sensitivity

STEPS = (0.3, 0.8, 1.0)


@pytest.fixture(scope="module")
def trained():
    data = mn.load_data("digits", rng=0)
    model = mn.models.mlp(data.shape, data.n_classes, (16, 12), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(0.1, momentum=0.9), epochs=4, rng=0):
        pass
    return model, data


@pytest.fixture(scope="module")
def found(trained):
    return sensitivity(*trained, sparsities=STEPS)


def invented(rises, sizes=(100, 100, 100), steps=(0.5, 1.0)):
    """A Sensitivity with these rises of the loss (layers, steps), and a model that has such layers."""
    rises = np.array(rises, float)
    names = tuple(f"dense{i + 1}" for i in range(len(rises)))
    return Sensitivity(names, steps, ("accuracy", "loss"), np.stack([1 - rises, 2 + rises], axis=2), np.array([1, 2.0]))


# --- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure, criterion", [("weight", "magnitude"), ("neuron", "taylor")])
def test_every_number_is_that_of_a_copy_pruned_by_hand(trained, structure, criterion):
    model, data = trained
    before = model.values.tobytes() + model.mask.tobytes()
    layers = ["dense1", "dense2"]  # the last one's units are the outputs
    found = sensitivity(model, data, sparsities=(0.3, 0.8), structure=structure, criterion=criterion, layers=layers,
                        rng=3)
    assert found.axes == {"layer": tuple(layers), "sparsity": (0.3, 0.8),
                          "score": ("accuracy", "recall_macro", "f1_macro", "loss")}
    for layer, sparsity in itertools.product(layers, (0.3, 0.8)):
        copy = model.clone()
        mn.prune(copy, sparsity, structure=structure, criterion=criterion, layers=layer, data=data, rng=3)
        wanted = mn.evaluate(copy, data.X_valid, data.y_valid)
        assert list(found.at(layer=layer, sparsity=sparsity)) == [wanted[name] for name in found.scores]
    whole = mn.evaluate(model, data.X_valid, data.y_valid)
    assert list(found.base) == [whole[name] for name in found.scores]
    assert model.values.tobytes() + model.mask.tobytes() == before


def test_the_number_of_threads_changes_no_bit(trained, found, monkeypatch):
    for number in "13":
        monkeypatch.setenv("MINNET_NUM_THREADS", number)
        assert sensitivity(*trained, sparsities=STEPS).values.tobytes() == found.values.tobytes()


def test_layers_whose_units_are_one_are_pruned_together_and_keep_one():
    model = make("residual")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, *model.input_shape)), rng.integers(3, size=8)
    found = sensitivity(model, data, structure="filter", sparsities=[1.0])
    assert set(found.layers) == {"conv1+conv3", "conv2"}
    assert np.isfinite(found.values).all()


def test_what_is_asked_wrongly(trained, found):
    with pytest.raises(UnknownName, match=r"layer.*'dense9'.*dense1"):
        found.at(layer="dense9")
    with pytest.raises(InvalidValue, match="sparsities is empty"):
        sensitivity(*trained, sparsities=())


def test_the_table(found):
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(found.layers)
    for line, row in zip(lines[1:-1], found.at(score="accuracy"), strict=True):
        assert [f"{value:.1%}" for value in row] == line.split()[1:-1]


# --- what it is for --------------------------------------------------------------------------------------------------


def test_layers_in_order_of_the_mean_rise():
    found = invented([[1, 1], [0, 5], [2, 3]])
    assert found.rises.tolist() == [1, 2.5, 2.5]
    assert found.most(3) == ["dense2", "dense3", "dense1"] and found.most(1) == ["dense2"]
    assert found.least(2) == ["dense1", "dense3"]


@pytest.mark.parametrize("layers, protect", [("sensitive:1", None), ("insensitive:2", None), (None, "sensitive:1"),
                                             (["insensitive:2", "sensitive:1"], "insensitive:1")])
def test_prune_measures_and_chooses(trained, layers, protect):
    model, data = trained
    most = sensitivity(model, data).most(3)
    meaning = {"sensitive:1": most[:1], "insensitive:2": most[1:], "insensitive:1": most[2:], None: most}
    chosen = layers if isinstance(layers, list) else [layers]
    wanted = {name for pattern in chosen for name in meaning[pattern]}
    wanted -= set(meaning[protect]) if protect else set()
    plan = mn.plan_prune(model, 0.5, layers=layers, protect=protect, data=data)
    assert {name for name, count in plan.per_layer.items() if count.removed} == wanted


def test_what_cannot_be_measured_is_told(trained):
    model, _ = trained
    with pytest.raises(InvalidValue, match=r"no.*data|data=data"):
        mn.plan_prune(model, 0.5, layers="sensitive:1")
    with pytest.raises(InvalidValue, match="here nothing is measured"):
        choose(model, "sensitive:1")


def test_a_recipe_measures_once(trained):
    """What a first pruning makes sensitive must not change the scope of the next."""
    model, data = trained[0].clone(), trained[1]
    scope = sensitivity(model, data).least(1)
    for _ in gradual(model, data, 0.9, epochs=2, rng=0, prune=partial(mn.prune, layers="insensitive:1")):
        pass
    p = model.layers[scope[0]].weight
    assert np.count_nonzero(~p.mask) == np.count_nonzero(~model.mask) == round(0.9 * p.size)


@pytest.mark.parametrize("k", [0, 10, 100, 150, 290, 300])
def test_shares_of_equal_rises(k):
    """Three layers of 100: rise 2 s, 4 s, and nothing until 0.5, then 4 (s - 0.5)."""
    found = invented([[1, 2], [2, 4], [0, 2]])
    groups, shares = found.distribution(FakeCandidates(), k)
    assert groups is FakeCandidates.layers and abs(shares.sum() - k) < 1e-9
    if k <= 50:
        assert shares.tolist() == [0, 0, k]
    elif k <= 250:  # rise r: 50 r + 25 r + 50 + 25 r
        rise = (k - 50) / 100
        np.testing.assert_allclose(shares, [50 * rise, 25 * rise, 50 + 25 * rise])
    else:           # the first and the third are gone: the second alone goes on
        np.testing.assert_allclose(shares, [100, k - 200, 100])


class FakeCandidates:
    """Three layer groups of 100 pieces."""

    layer_groups = tuple(type("Group", (), {"layers": (f"dense{i}",)}) for i in (1, 2, 3))
    sizes = np.array([100, 100, 100])
    layers = np.repeat([0, 1, 2], 100)


def test_pruning_by_the_distribution_is_exact(trained, found):
    for sparsity in (0.0, 0.37, 0.9, 1.0):
        plan = mn.plan_prune(trained[0], sparsity, distribution=found.distribution)
        assert plan.count == round(sparsity * trained[0].n_weights)
    with pytest.raises(InvalidValue, match="dense3 was not measured"):
        invented([[1, 1], [1, 1]]).distribution(FakeCandidates(), 5)


# --- plots -----------------------------------------------------------------------------------------------------------


def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def test_the_plot_of_sensitivity(found):
    ax = axes()
    assert plot_sensitivity(found, ax=ax) is ax
    *lines, base = ax.lines
    assert [line.get_label() for line in lines] == list(found.layers)
    for line, name in zip(lines, found.layers, strict=True):
        assert line.get_xdata().tolist() == list(STEPS)
        assert line.get_ydata().tolist() == found.at(layer=name, score="accuracy").tolist()
    assert set(base.get_ydata()) == {found.base[0]}
    assert plot_sensitivity(found, "loss").get_ylabel() == "loss"
    ax.figure.canvas.draw()
    with pytest.raises(UnknownName, match="score"):
        plot_sensitivity(found, "r2")


def test_the_plot_of_agreement(trained):
    model, data = trained

    def flat(model, data):
        return np.ones(model.n_weights)

    found = compare_criteria(model, data, ["magnitude", "random", flat], samples=20, sparsities=(0.2, 0.5))
    ax = plot_agreement(found, ax=axes())
    drawn = {line.get_label(): tuple(line.get_ydata()) for line in ax.lines[:-1]}
    assert drawn == {row.criterion: row.overlap for row in found.scores if not row.reason}
    assert set(drawn) == {"magnitude", "random"}
    ax.figure.canvas.draw()


@pytest.mark.parametrize("structure", ["2:4", "pattern", "n_m"])
def test_a_structure_that_sets_its_own_count_is_refused(structure):
    """Instead of numbers as if single weights went."""
    model = mn.models.small_conv((8, 8, 1), 3, rng=0)
    X, y = np.random.default_rng(0).normal(size=(12, 8, 8, 1)).astype(np.float32), np.arange(12) % 3
    for call in (sensitivity, partial(mn.prune, layers="insensitive:1")):
        with pytest.raises(InvalidValue, match="says how much each layer loses"):
            call(model, data=(X, y), structure=structure)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_what_it_says(capsys, tmp_path, trained):
    model, data = trained
    mn.save(model, tmp_path / "model.safetensors")
    code = main(["sensitivity", str(tmp_path / "model.safetensors"), "--data", "digits", "--sparsity", "0.8",
                 "--sparsity", "0.3", "--layers", "dense2", "--out", str(tmp_path / "out"), "--json", "--quiet"])
    out, err = capsys.readouterr()
    assert code == 0 and not err
    told = json.loads(out)
    assert json.loads((tmp_path / "out" / "sensitivity.json").read_text()) == told
    wanted = sensitivity(model, data, sparsities=(0.3, 0.8), layers="dense2", rng=0)
    assert told["values"] == wanted.values.tolist() and told["layer"] == ["dense2"]


@pytest.mark.parametrize("words, message", [
    (["digits", "--data", "digits"], "needs a saved model"), (["digits", "--sparsity", "90"], "did you mean 0.9"),
    (["digits", "--structure", "filters"], "did you mean filter"),
    (["digits", "--structure", "2:4"], "--structure '2:4' says how much"), (["digits", "--layers", "dens1"], "dense1"),
])
def test_bad_input_gets_one_line(capsys, tmp_path, words, message):
    assert main(["sensitivity", *words, "--epochs", "1", "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "it is told before the training"


def test_it_trains_first_where_nothing_is_trained(capsys, tmp_path):
    assert main(["sensitivity", "--epochs", "1", "--sparsity", "0.5", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("accuracy") and "sensitivity.json" in err


def test_a_signal_keeps_the_net_that_it_trained(capsys, tmp_path, monkeypatch):
    """The signal comes after the second epoch."""
    seen = []

    def check():
        seen.append(1)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)
    monkeypatch.setattr(SIGNALS, "check", check)
    assert main(["sensitivity", "--epochs", "3", "--out", str(tmp_path)]) == 130
    assert "saved the model of the last finished epoch to" in capsys.readouterr().err
    assert mn.load(tmp_path / "model.safetensors").sparsity == 0
