"""Displays: their numbers beside those counted by hand, what is drawn, and in which axes."""
import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import minnet as mn
from minnet.data import Signature

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
