"""Displays: their numbers beside those counted by hand, what is drawn, and in which axes."""
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from each import each
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import minnet as mn
from minnet.data import Signature
from minnet.study.agreement import Agreement, CriterionScore

DOCS = Path(__file__).parents[1] / "docs"
pytestmark = pytest.mark.filterwarnings("ignore:training reached max_iter")  # nets as small as these need not converge
X, Y = load_digits(return_X_y=True)
X, Y = X[:300], np.array(["zero one two three four five six seven eight nine".split()[i] for i in Y[:300]])


@pytest.fixture(scope="module")
def pipeline():
    net = mn.PrunedClassifier((20,), max_iter=30, tol=0.0, sparsity=0.5, prune_iter=10, random_state=0,
                              learning_rate_init=0.01)
    return make_pipeline(MinMaxScaler(), net).fit(X, Y)


def axes():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


MADE = {
    "PruningCurveDisplay": lambda e, ax: mn.PruningCurveDisplay.from_estimator(e, X, Y, sparsities=[0.9, 0.3], ax=ax),
    "SensitivityDisplay": lambda e, ax: mn.SensitivityDisplay.from_estimator(e, X, Y, sparsities=[0.5, 0.9], ax=ax),
    "MaskDisplay": lambda e, ax: mn.MaskDisplay.from_estimator(e, ax=ax),
    "ConfusionPairsDisplay": lambda e, ax: mn.ConfusionPairsDisplay.from_estimator(e, X, Y, ax=ax),
}


def test_every_display_is_walked():
    assert set(MADE) == {name for name in mn.__all__ if name.endswith("Display")} == \
        {display.__name__ for display in mn.plot.DISPLAYS.values()}


@pytest.mark.parametrize("name", MADE)
def test_a_display_draws_in_given_axes_and_again_in_others(name, pipeline):
    ax = axes()
    before = dict(matplotlib.rcParams)
    display = MADE[name](pipeline, ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert ax.get_xlabel() and ax.get_ylabel()
    other = axes()
    assert display.plot(ax=other) is display and display.ax_ is other
    display.figure_.canvas.draw()
    own = display.plot().figure_
    assert own is not other.figure and dict(matplotlib.rcParams) == before
    with pytest.raises(mn.MinnetError, match="wanted a fitted"):
        MADE[name]("no net", axes())


def test_the_curve_begins_at_the_net_and_scores_pruned_copies(pipeline):
    display = MADE["PruningCurveDisplay"](pipeline, axes())
    net, rows = pipeline[-1].model_, pipeline[:-1].transform(X)
    copy = net.clone()
    mn.prune(copy, 0.9)
    assert display.sparsities.tolist() == [net.sparsity, 0.9] and display.score_name == "accuracy"
    assert display.scores.tolist() == [(pipeline.predict(X) == Y).mean(), (copy.predict(rows) == Y).mean()]
    loss = mn.PruningCurveDisplay.from_estimator(pipeline, X, Y, sparsities=[0.9], score="loss", ax=axes())
    assert loss.scores[1] == mn.evaluate(copy, rows, Y).loss
    with pytest.raises(mn.MinnetError, match="r2"):
        mn.PruningCurveDisplay.from_estimator(pipeline, X, Y, score="r2")


def test_the_curve_of_a_search(pipeline):
    search = GridSearchCV(pipeline, {"prunedclassifier__sparsity": [0.9, 0.0], "prunedclassifier__alpha": [0.0, 9.0]},
                          cv=2)
    search.fit(X, Y)
    display = mn.PruningCurveDisplay.from_search(search, ax=axes())
    scores = search.cv_results_["mean_test_score"].reshape(2, 2)  # alpha, sparsity
    assert display.sparsities.tolist() == [0.0, 0.9] and display.scores.tolist() == scores.max(axis=0)[::-1].tolist()
    assert len(display.errors) == 2
    with pytest.raises(mn.MinnetError, match="over the parameter sparsity"):
        mn.PruningCurveDisplay.from_search(pipeline)


def test_masked_weights_are_grey_and_others_coloured(pipeline):
    display = MADE["MaskDisplay"](pipeline, axes())
    p = pipeline[-1].model_.weight_parameters[0]
    assert (display.mask == p.mask).all() and (display.weights == p.value).all() and display.name == p.layer
    assert (display.image_.get_array().mask == ~p.mask.T).all()
    assert f"{p.mask.sum():,} of {p.mask.size:,}" in display.ax_.get_title()
    with pytest.raises(mn.MinnetError, match="dense2"):
        mn.MaskDisplay.from_estimator(pipeline, layer="dense9")


def test_a_layer_born_sparse_has_its_mask():
    net = mn.models.sparse_mlp((6, 5, 3), 2, rng=0)
    display = mn.MaskDisplay.from_estimator(net, ax=axes())
    p = net.weight_parameters[0]
    assert np.flatnonzero(display.mask).tolist() == p.index.tolist()


def test_confused_pairs_are_those_counted_by_hand(pipeline):
    display, guess = MADE["ConfusionPairsDisplay"](pipeline, axes()), pipeline.predict(X)
    assert display.pairs
    for true, wrong, rows in display.pairs:
        assert true != wrong and rows == ((Y == true) & (guess == wrong)).sum() > 0
    counts = [rows for *_, rows in display.pairs]
    assert counts == sorted(counts, reverse=True) and sum(counts) <= (guess != Y).sum()
    numbers = mn.Model(mn.Sequential(mn.Dense(1)), (64,), rng=0)
    numbers.signature = Signature((64,), task="numbers")
    with pytest.raises(mn.MinnetError, match="numbers"):
        mn.ConfusionPairsDisplay.from_estimator(numbers, X, np.arange(300.0))


def test_images_are_flat_rows_for_an_estimator():
    net = mn.PrunedClassifier((8,), max_iter=2, image_shape=(8, 8, 1), random_state=0, prune_iter=1)
    net.fit(X, Y)
    display = mn.PruningCurveDisplay.from_estimator(net, X, Y, sparsities=[0.95], ax=axes())
    assert display.scores[0] == net.score(X, Y)


# --- mn.plot ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pruned():
    """(dense, pruned, record) on images, in three rounds."""
    tree = mn.Sequential(mn.Conv2d(3, 3), mn.ReLU(), mn.Flatten(), mn.Dense(4), mn.ReLU(), mn.Dense(10))
    dense, record = mn.Model(tree, (8, 8, 1), rng=0), mn.Record()
    model = dense.clone()
    for sparsity in (0.3, 0.6, 0.9):
        mn.prune(model, sparsity, record=record)
    return dense, model, record


IMAGES = X.reshape(-1, 8, 8, 1).astype(np.float32)
CALLS = {
    "masks": lambda dense, model, record, ax: mn.plot.masks(model, ax=ax),
    "dead_units": lambda dense, model, record, ax: mn.plot.dead_units(model, IMAGES[:9], ax=ax),
    "curve": lambda dense, model, record, ax: mn.plot.curve(
        dense, IMAGES, np.arange(300) % 10, sparsities=[0.5], ax=ax),
    "sensitivity": lambda dense, model, record, ax: mn.plot.sensitivity(
        dense, IMAGES, np.arange(300) % 10, sparsities=[0.5], ax=ax),
    "layers": lambda dense, model, record, ax: mn.plot.layers(model, ax=ax),
    "flips": lambda dense, model, record, ax: mn.plot.flips(dense, model, IMAGES, most=5, ax=ax),
    "history": lambda dense, model, record, ax: mn.plot.history(record, ax=ax),
    "agreement": lambda dense, model, record, ax: mn.plot.agreement(Agreement(
        (CriterionScore("magnitude", 0.5, 0.4, (0.2, 0.6), 0.1), CriterionScore("none", reason="x")), (0.1, 0.5), 1),
        ax=ax),
}


@each("name", mn.plot.PLOTS)
def test_a_picture_by_one_call(name, pruned):
    ax = axes()
    display = CALLS[name](*pruned, ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    ax.figure.canvas.draw()
    other = axes()
    assert display.plot(ax=other) is display and display.ax_ is other


def test_what_the_pictures_count(pruned):
    dense, model, record = pruned
    layers = mn.plot.layers(model)
    assert layers.parts == [np.count_nonzero(p.mask) for p in model.weight_parameters]
    masks = mn.plot.masks(model)
    weight = model.layers["conv1"].weight
    assert masks.tiles.shape == (3, 3, 3)
    np.testing.assert_array_equal(np.isnan(masks.tiles), ~weight.mask[:, :, 0].transpose(2, 0, 1))
    assert masks.captions == [f"{i}: {np.count_nonzero(weight.mask[..., i])}" for i in range(3)]
    rounds = mn.plot.history(record, layer="dense1").rounds
    weight = model.layers["dense1"].weight
    np.testing.assert_array_equal(rounds < 0, weight.mask)
    for number, result in enumerate(record, 1):
        assert np.count_nonzero(rounds == number) == result.per_layer["dense1"].removed
    flips = mn.plot.flips(dense, model, IMAGES, most=5)
    np.testing.assert_array_equal(flips.rows, np.flatnonzero(dense.predict(IMAGES) != model.predict(IMAGES)))
    assert len(flips.tiles) == min(5, len(flips.rows))
    model = dense.clone()
    model.layers["dense1"].bias.value[:2] = -1e6
    dead = mn.plot.dead_units(model, IMAGES[:9])
    assert (dead.names, dead.wholes) == (["relu1", "relu2"], [3, 4]) and dead.parts[1] >= 2
    agreed = CALLS["agreement"](*pruned, axes())
    assert [line.get_label() for line in agreed.ax_.lines] == ["magnitude", "chance"]


@each("call, words", [
    (lambda dense, record: mn.plot.masks(dense, layer="dense9"), "unknown layer"),
    (lambda dense, record: mn.plot.masks(dense, most=0), "most"),
    (lambda dense, record: mn.plot.history(mn.Record()), "record is empty"),
    (lambda dense, record: mn.plot.history([]), "takes a Record"),
    (lambda dense, record: mn.plot.agreement(record), "takes a Agreement"),
    (lambda dense, record: mn.plot.dead_units(mn.Model(mn.Dense(2), (3,), rng=0), np.zeros((2, 3))), "no layer of act"),
    (lambda dense, record: mn.plot.flips(*[mn.Model(mn.Dense(2), (3,), rng=0)] * 2, np.zeros((2, 3))), "shows images"),
])
def test_what_pictures_refuse(call, words, pruned):
    with pytest.raises(mn.MinnetError, match=words):
        call(pruned[0], pruned[2])


def test_every_picture_is_in_the_docs():
    text = (DOCS / "pictures.md").read_text(encoding="utf-8")
    assert set(re.findall(r"mn\.plot\.(\w+)\(", text)) == set(mn.plot.PLOTS)
    shown = set(re.findall(r"\(pictures/(\w+)\.png\)", text))
    assert shown == {path.stem for path in (DOCS / "pictures").glob("*.png")} - {f"lesson_{n:02}" for n in range(1, 12)}
    assert shown == set(re.findall(r'yield "(\w+)"', (DOCS / "pictures.py").read_text(encoding="utf-8")))
