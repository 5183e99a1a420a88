"""The estimators in scikit-learn's tools: search, cross-validation, pipelines, tables; and all ways to fit."""
import math
import os

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.datasets import load_digits, load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - what it enables is imported below
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import minnet as mn
from minnet.errors import InvalidType, InvalidValue
from minnet.estimators import base

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 40, "learning_rate_init": 0.02, "sparsity": 0.5, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def scaled(iris):
    return StandardScaler().fit_transform(iris[0]), iris[1]


def classifier(**more):
    return mn.PrunedClassifier(**QUICK | more)


# --- scikit-learn's tools --------------------------------------------------------------------------------------------


def test_search_over_sparsity(iris):
    pipe = make_pipeline(StandardScaler(), classifier())
    grid = GridSearchCV(pipe, {"prunedclassifier__sparsity": [0.5, 1.0]}, cv=3).fit(*iris)
    assert grid.best_params_ == {"prunedclassifier__sparsity": 0.5} and grid.best_score_ > 0.9
    assert grid.best_estimator_[-1].model_.sparsity == 0.5


def test_halving_search(scaled):
    search = HalvingGridSearchCV(classifier(), {"sparsity": [0.0, 0.5, 1.0]}, cv=2, random_state=0, min_resources=30)
    assert search.fit(*scaled).best_params_["sparsity"] in (0.0, 0.5)


def threads_in_worker(estimator, X, y):
    from minnet.threads import n_threads

    return n_threads()


def test_processes_share_the_cpus(scaled):
    """Two workers have at most half of the CPUs each, as for BLAS; what they find is what one process finds."""
    scores = cross_val_score(classifier(), *scaled, cv=2, n_jobs=2)
    np.testing.assert_allclose(scores, cross_val_score(classifier(), *scaled, cv=2), atol=0.03)
    used = cross_val_score(classifier(max_iter=1), *scaled, cv=2, n_jobs=2, scoring=threads_in_worker)
    assert used.max() <= max(1, os.cpu_count() // 2)


def test_set_output_before_it(iris):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(iris[0], columns=list("abcd"))
    pipe = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas").fit(X, iris[1])
    assert pipe[-1].feature_names_in_.tolist() == list("abcd")
    assert pipe[-1].model_.signature.feature_names == tuple("abcd")
    assert pipe.score(X, iris[1]) > 0.9


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_tables(kind, scaled):
    library = pytest.importorskip(kind)
    X = library.DataFrame(dict(zip("abcd", scaled[0].T, strict=True)))
    fitted = classifier().fit(X, scaled[1])
    if kind == "polars" and not hasattr(X, "__dataframe__") and not hasattr(fitted, "feature_names_in_"):
        return  # scikit-learn 1.6 asks for names by a protocol that polars has dropped since
    assert fitted.feature_names_in_.tolist() == list("abcd")
    assert (fitted.predict(X) == classifier().fit(*scaled).predict(scaled[0])).all()
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="another order"):
        assert (fitted.model_.predict(X[["b", "a", "c", "d"]]) == fitted.predict(X)).all()


@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_sparse_rows(kind, scaled):
    dense, sparse = classifier().fit(*scaled), classifier().fit(kind(scaled[0]), scaled[1])
    assert (sparse.predict(kind(scaled[0])) == dense.predict(scaled[0])).all()
    np.testing.assert_allclose(sparse.predict_proba(kind(scaled[0])), dense.predict_proba(scaled[0]), rtol=1e-9)


# --- ways to fit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["one_shot", "iterative", "gradual", "granet", "lottery_ticket", "synflow", "set",
                                    "rigl"])
def test_recipes(recipe, scaled):
    spread = "erk" if recipe in ("set", "rigl") else "global"
    fitted = classifier(recipe=recipe, sparsity=0.6, distribution=spread).fit(*scaled)
    assert fitted.model_.sparsity == pytest.approx(0.6, abs=1e-3) == fitted.result_.sparsity
    assert fitted.n_iter_ == 40 and fitted.score(*scaled) > 0.8


@pytest.mark.parametrize(("more", "sparsity"), [
    ({"sparsity": 0}, 0), ({"structure": "2:4", "sparsity": None}, 0.5), ({"structure": "neuron"}, 0.5),
    ({"criterion": "taylor"}, 0.5), ({"distribution": "layerwise"}, 0.5), ({"schedule": [0.2, 0.5]}, 0.5),
    ({"penalty": ("l1", 1e-4)}, 0.5), ({"penalty": [("l1", 1e-4), mn.penalties.L2(1e-4)]}, 0.5),
])
def test_ways_to_prune(more, sparsity, scaled):
    fitted = classifier(**more).fit(*scaled)
    units = fitted.result_.units
    assert 1 - units.remaining / units.total == pytest.approx(sparsity, abs=0.03) and fitted.score(*scaled) > 0.85


@pytest.mark.parametrize("more", [
    {"solver": "sgd", "learning_rate_init": 0.1}, {"solver": mn.RMSprop(0.01)}, {"activation": "tanh"},
    {"activation": "logistic"}, {"activation": "identity"}, {"hidden_layer_sizes": (20, 10)},
    {"hidden_layer_sizes": 30}, {"hidden_layer_sizes": (), "sparsity": 0, "learning_rate_init": 0.1},
    {"batch_size": 16}, {"class_weight": "balanced"},
])
def test_ways_to_train(more, scaled):
    assert classifier(**more).fit(*scaled).score(*scaled) > 0.85


def test_it_stops_once_it_is_pruned_and_has_converged(scaled):
    X, y = scaled
    quick = classifier(max_iter=500, tol=0.1, prune_iter=20, n_iter_no_change=5).fit(X, y)
    assert 10 < quick.n_iter_ < 50 and quick.model_.sparsity == 0.5
    assert classifier(max_iter=30, tol=10, n_iter_no_change=math.inf).fit(X, y).n_iter_ == 30


def test_early_stopping_keeps_the_best_epoch(scaled):
    fitted = classifier(early_stopping=True, max_iter=200, prune_iter=10, batch_size=16).fit(*scaled)
    assert fitted.model_.sparsity == pytest.approx(0.5, abs=1e-3) and fitted.n_iter_ < 200
    assert len(fitted.validation_scores_) == fitted.n_iter_
    assert fitted.best_validation_score_ == max(fitted.validation_scores_) and fitted.best_loss_ is None


def test_going_on(scaled):
    """`warm_start` goes on with the weights and the mask; without it everything begins anew."""
    fitted = classifier(warm_start=True, sparsity=0.3).fit(*scaled)
    model, before = fitted.model_, fitted.loss_
    fitted.set_params(sparsity=0.7).fit(*scaled)
    assert fitted.model_ is model and model.sparsity == pytest.approx(0.7, abs=1e-3)
    assert fitted.loss_curve_[0] < fitted.set_params(warm_start=False).fit(*scaled).loss_curve_[0]
    assert fitted.model_ is not model and before > 0


def test_partial_fit(scaled):
    X, y = scaled
    fitted = classifier(prune_iter=10, sparsity=0.6)
    seen = []
    for _ in range(12):
        for rows in np.array_split(np.random.default_rng(0).permutation(150), 3):
            fitted.partial_fit(X[rows], y[rows], classes=np.unique(y))
        seen.append(fitted.model_.sparsity)
    assert seen == sorted(seen) and 0 < seen[0] < 0.6 and seen[-1] == pytest.approx(0.6, abs=1e-3)
    assert fitted.score(X, y) > 0.9 and len(fitted.loss_curve_) == 36
    fitted.partial_fit(X[:5], y[:5])
    with pytest.raises(ValueError, match="not in `self.classes_`"):
        fitted.partial_fit(X[:5], ["rose"] * 5)
    with pytest.raises(InvalidValue, match="classes must be passed"):
        classifier().partial_fit(X, y)
    with pytest.raises(InvalidValue, match="cannot stop early"):
        classifier(early_stopping=True).partial_fit(X, y, classes=np.unique(y))


def test_images():
    X, y = load_digits(return_X_y=True)
    X = (X[:400] / 16).astype(np.float32)
    fitted = classifier(image_shape=(8, 8), hidden_layer_sizes=(32,), max_iter=8, learning_rate_init=0.01,
                        batch_size=32).fit(X, y[:400])
    assert fitted.model_.input_shape == (8, 8, 1) and fitted.model_.dtype == np.float32
    assert "conv2" in fitted.model_.layers and fitted.score(X, y[:400]) > 0.9


def test_weights_of_rows(scaled):
    X, y = scaled
    weights = np.where(y == "setosa", 0.0, 1.0)
    fitted = classifier().fit(X, y, sample_weight=weights)
    assert "setosa" not in fitted.predict(X[y != "setosa"])
    by_class = classifier(class_weight={"setosa": 0.0}).fit(X, y)
    np.testing.assert_allclose(by_class.predict_proba(X), fitted.predict_proba(X), atol=1e-6)


def test_it_says_what_it_does(scaled, capsys):
    classifier(max_iter=3, verbose=True).fit(*scaled)
    assert capsys.readouterr().out.count("epoch") == 3


@pytest.mark.parametrize(("more", "error"), [
    ({"sparsity": 1.5}, InvalidValue), ({"solver": "lbfgs"}, InvalidValue), ({"solver": "newton"}, InvalidValue),
    ({"activation": "swish"}, InvalidValue), ({"hidden_layer_sizes": (0,)}, InvalidValue),
    ({"hidden_layer_sizes": "big"}, InvalidType), ({"max_iter": 0}, InvalidValue), ({"alpha": -1}, InvalidValue),
    ({"batch_size": "all"}, InvalidType), ({"image_shape": (3, 3)}, InvalidValue),
    ({"recipe": "none"}, InvalidValue), ({"penalty": "l1"}, InvalidType), ({"tol": -1}, InvalidValue),
    ({"learning_rate_init": 0}, InvalidValue), ({"n_iter_no_change": 0}, InvalidValue),
    ({"early_stopping": True, "validation_fraction": 1e-9}, ValueError),
])
def test_bad_parameters(more, error, scaled):
    with pytest.raises(error):
        classifier(**more).fit(*scaled)


@pytest.mark.parametrize("partial", [False, True])
def test_an_estimator_is_as_before_after_a_fit_that_fails(partial):
    """Labels of another fit are not those of the net that is still there."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]
    estimator = mn.PrunedClassifier((4,), max_iter=3, random_state=0)
    estimator = estimator.partial_fit(X, y, ["a", "b"]) if partial else estimator.fit(X, y)
    before, known = estimator.predict(X), dict(vars(estimator))
    estimator.set_params(sparsity=3)
    with pytest.raises(InvalidValue, match="sparsity=3"):
        (estimator.partial_fit if partial else estimator.fit)(X, y if partial else np.where(y == "a", "c", "d"))
    assert (estimator.predict(X) == before).all()
    assert vars(estimator).keys() == known.keys()
    assert all(vars(estimator)[name] is value for name, value in known.items() if name != "sparsity")


@pytest.mark.parametrize("partial", [False, True])
def test_a_model_that_learns_on_is_as_before_after_an_error_inside(partial, monkeypatch):
    """Values, mask and what the optimizer remembers: the next fit is that which no error had come before."""
    X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = 3 * X[:, 0]
    found = []
    for fails in (False, True):
        estimator = mn.PrunedRegressor((4,), max_iter=4, prune_iter=4, warm_start=True, random_state=0, batch_size=10)
        fit = estimator.partial_fit if partial else estimator.fit
        fit(X, y)
        before = estimator.model_.values.copy(), estimator.model_.mask.copy(), estimator.predict(X)
        if fails:
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
                patch.setattr(base, "compact", interrupt)
                fit(X, 10 * y)
            after = estimator.model_.values, estimator.model_.mask, estimator.predict(X)
            assert all(map(np.array_equal, before, after))
        fit(X, 10 * y)
        found.append(estimator.predict(X))
    assert np.array_equal(*found)


def interrupt(model):
    raise KeyboardInterrupt


def test_a_selector_is_as_before_after_a_fit_that_fails():
    X = np.random.default_rng(0).normal(size=(40, 4))
    selector = mn.SparsitySelector(n_features_to_select=2, random_state=0).fit(X, X[:, 0] > 0)
    before = selector.transform(X)
    with pytest.raises(InvalidValue, match="n_features_to_select=99"):
        selector.set_params(n_features_to_select=99).fit(X[:, :3], X[:, 0] > 0)
    assert (selector.transform(X) == before).all()


@pytest.mark.parametrize("several", [False, True])
def test_rows_held_out_need_a_weight(several):
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = (X[:, :2] > 0).astype(int)
    weights = np.zeros(60)
    weights[1] = 1
    with pytest.raises(InvalidValue, match="the weights of all rows"):
        mn.PrunedClassifier((4,), max_iter=2, random_state=0, early_stopping=True).fit(
            X, y if several else y[:, 0], sample_weight=weights)
