"""SparsitySelector: scikit-learn's checks, the features that matter, stability, and its tools."""
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import minnet as mn
from minnet.errors import MinnetError
from minnet.estimators.fitting import Pruning
from minnet.estimators.selector import half_rows
from minnet.pruning.criteria import CRITERIA, TRAITS

QUICK = {"max_iter": 30, "hidden_layer_sizes": (16,), "learning_rate_init": 0.01, "random_state": 0}
RELEVANT = [1, 4, 6]


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings, and look at those that matter
@parametrize_with_checks([mn.SparsitySelector(**QUICK), mn.SparsitySelector(stability=2, **QUICK)])
def test_by_scikit_learns_checks(estimator, check):
    check(estimator)


def table(seed=0, n=300, task="classes"):
    """Rows of 8 columns of very different ranges, and what three of them say."""
    X = np.random.default_rng(seed).normal(size=(n, 8)) * 10.0 ** np.arange(-4, 4) + 5
    Z = (X - 5) / 10.0 ** np.arange(-4, 4)
    if task == "numbers":
        return X, Z[:, 1] - 2 * Z[:, 4] + Z[:, 6] ** 2
    return X, np.array(["a", "b", "c"])[np.stack([Z[:, 1], 2 * Z[:, 4], Z[:, 6]]).argmax(axis=0)]


@pytest.mark.parametrize("task", ["classes", "numbers"])
@pytest.mark.parametrize("seed", range(3))
def test_the_features_that_matter_are_selected(task, seed):
    X, y = table(seed, task=task)
    selector = mn.SparsitySelector(3, max_iter=60, learning_rate_init=0.01, random_state=seed).fit(X, y)
    assert selector.get_support(indices=True).tolist() == RELEVANT
    np.testing.assert_array_equal(selector.transform(X), X[:, RELEVANT])
    assert selector.estimator_.model_.signature.task == task and selector.n_iter_ <= 60
    small = mn.compact(selector.estimator_.model_, inputs=True)
    assert small.input_shape == (3,) and list(small.signature.selection.columns) == RELEVANT


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_training_ends_with_the_last_pruning_and_selects_what_the_whole_would(task, monkeypatch):
    X, y = table(task=task)
    short = mn.SparsitySelector(3, stability=2, **QUICK).fit(X, y)
    monkeypatch.setattr(Pruning, "complete", False)
    whole = mn.SparsitySelector(3, stability=2, **QUICK).fit(X, y)
    assert np.array_equal(short.support_, whole.support_) and np.array_equal(short.stability_, whole.stability_)
    assert short.n_iter_ < 0.7 * whole.n_iter_ and whole.n_iter_ == QUICK["max_iter"]


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if not TRAITS[name].unit
                                       and TRAITS[name].needs != "initial" and "oracle" not in name])
def test_every_criterion_of_weights_selects_that_many(criterion):
    X, y = table(n=60)
    selector = mn.SparsitySelector(3, criterion=criterion, **QUICK | {"max_iter": 8, "hidden_layer_sizes": (4,)})
    assert np.count_nonzero(selector.fit(X, y).support_) == 3


def test_stability_is_the_share_of_halves_that_keep_a_feature():
    X, y = table(n=200)
    selector = mn.SparsitySelector(4, stability=6, **QUICK).fit(X, y)
    assert selector.stability_.sum() == pytest.approx(4) and selector.stability_.shape == (8,)
    np.testing.assert_allclose(selector.stability_ * 6, np.round(selector.stability_ * 6))
    chosen, left = selector.stability_[selector.support_], selector.stability_[~selector.support_]
    assert chosen.min() >= left.max() and np.count_nonzero(selector.support_) == 4
    assert (selector.stability_[RELEVANT] > 0.6).all()
    assert mn.SparsitySelector(4, **QUICK).fit(X, y).stability_ is None


def test_halves_come_in_pairs_without_a_common_row_and_with_all_classes():
    labels = np.repeat([0, 1, 2], [10, 6, 5])
    halves = list(half_rows(21, labels, 5, np.random.RandomState(0)))
    assert len(halves) == 5
    for first, second in zip(halves[0::2], halves[1::2], strict=False):
        assert sorted([*first, *second]) == list(range(21))
        for k, count in enumerate((10, 6, 5)):
            assert np.count_nonzero(labels[first] == k) in (count // 2, -(-count // 2))
    assert not np.array_equal(halves[0], halves[2])
    assert [len(half) for half in half_rows(7, None, 2, np.random.RandomState(0))] == [4, 3]


def test_in_scikit_learns_tools():
    X, y = load_iris(return_X_y=True)
    both = make_pipeline(mn.SparsitySelector(2, **QUICK), KNeighborsClassifier())
    search = GridSearchCV(both, {"sparsityselector__n_features_to_select": [1, 2]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    selector = search.best_estimator_[0]
    again = pickle.loads(pickle.dumps(selector))
    np.testing.assert_array_equal(again.transform(X), selector.transform(X))
    assert not hasattr(clone(selector), "support_")
    np.testing.assert_array_equal(selector.inverse_transform(selector.transform(X))[:, selector.support_],
                                  X[:, selector.support_])


def test_names_of_columns_go_through():
    pandas = pytest.importorskip("pandas")
    data = load_iris(as_frame=True)
    selector = mn.SparsitySelector(2, **QUICK).set_output(transform="pandas")
    selector.fit(data.data, data.target_names[data.target])
    frame = selector.transform(data.data)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == selector.get_feature_names_out().tolist() == \
        data.data.columns[selector.support_].tolist()
    assert selector.feature_names_in_.tolist() == data.data.columns.tolist()


def test_the_same_seed_selects_the_same_and_how_many_may_be_a_share():
    X, y = table(n=100)
    found = [mn.SparsitySelector(0.5, **QUICK).fit(X, y).support_ for _ in range(2)]
    assert np.array_equal(*found) and np.count_nonzero(found[0]) == 4
    for wanted, number in ((None, 4), (8, 8), (0.01, 1), (1, 1)):
        selector = mn.SparsitySelector(wanted, **QUICK).fit(X, y)
        assert selector.n_features_to_select_ == np.count_nonzero(selector.support_) == number
    assert mn.SparsitySelector(8, **QUICK).fit(X, y).estimator_ is None


def test_what_y_is_can_be_told():
    X, y = table(task="numbers")
    whole = np.round(y).astype(int)
    assert isinstance(mn.SparsitySelector(3, **QUICK).fit(X, whole).estimator_, mn.PrunedClassifier)
    told = mn.SparsitySelector(3, task="regression", **QUICK).fit(X, whole)
    assert isinstance(told.estimator_, mn.PrunedRegressor)


@pytest.mark.parametrize(("arguments", "wanted"), [
    ({"n_features_to_select": 9}, "n_features_to_select=9"), ({"n_features_to_select": 0}, "n_features_to_select=0"),
    ({"n_features_to_select": "few"}, "wanted a whole number from 1 to 8"), ({"n_features_to_select": 1.5}, "1.5"),
    ({"criterion": "apoz"}, "all inputs alike"), ({"criterion": "nothing"}, "unknown criterion"),
    ({"task": "ranking"}, "unknown task"), ({"stability": 0}, "stability=0"), ({"max_iter": 0}, "max_iter"),
    ({"solver": "lbfgs"}, "lbfgs"), ({"penalty": -1}, "strength"),
])
def test_wrong_arguments_are_told_in_one_line(arguments, wanted):
    X, y = table(n=60)
    with pytest.raises(MinnetError, match=wanted) as raised:
        mn.SparsitySelector(**QUICK | arguments).fit(X, y)
    assert "\n" not in str(raised.value)
