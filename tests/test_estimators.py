"""The estimators by scikit-learn's own checks, and in its tools: search, pipelines, copies."""
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

import minnet as mn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"max_iter": 60, "learning_rate_init": 0.01, "sparsity": 0.5, "random_state": 0}


@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings, and look at those that matter
@parametrize_with_checks([mn.PrunedClassifier(**QUICK), mn.PrunedRegressor(**QUICK)])
def test_by_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def fitted(iris):
    return mn.PrunedClassifier(**QUICK).fit(*iris)


def test_what_a_fit_gives(iris, fitted):
    X, y = iris
    assert fitted.score(X, y) > 0.93
    model = fitted.model_
    assert model.signature.classes.tolist() == fitted.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert np.count_nonzero(model.mask[: model.n_weights] == 0) == round(0.5 * 700)
    assert fitted.result_.remaining == 350 and fitted.result_.sparsity == 0.5
    assert (model.predict(X) == fitted.predict(X)).all() and (fitted.predictor_.predict(X) == fitted.predict(X)).all()
    np.testing.assert_allclose(fitted.predict_proba(X), model.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(np.log(fitted.predict_proba(X)), fitted.predict_log_proba(X), atol=1e-9)
    assert fitted.decision_function(X).shape == (150, 3)
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 60 and fitted.loss_ == fitted.loss_curve_[-1]
    assert (fitted.n_layers_, fitted.n_outputs_, fitted.n_features_in_) == (3, 3, 4)
    assert "PrunedClassifier" in fitted._repr_html_()


def test_two_classes(iris):
    X, y = iris[0][50:], iris[1][50:]
    binary = mn.PrunedClassifier(**QUICK).fit(X, y)
    assert binary.decision_function(X).shape == (100,)
    assert ((binary.decision_function(X) > 0) == (binary.predict(X) == "virginica")).all()
    assert binary.score(X, y) > 0.9


def test_pruning_is_not_taken_for_convergence(iris):
    """Without the two inputs that iris is told by, the loss falls from far above what it was before."""
    X, y = load_iris(return_X_y=True)
    pruned = mn.PrunedClassifier((32,), **QUICK | {"max_iter": 300}, structure="input").fit(X, y)
    assert pruned.score(X, y) > 0.9 and pruned.loss_ < 0.3


@pytest.mark.parametrize("wrong, said", [({"image_shape": 8}, r"\(h, w\)"), ({"penalty": "l1"}, "strength"),
                                         ({"structure": "2:4"}, "not even sparsity")])
def test_parameters_that_miss_something(iris, wrong, said):
    with pytest.raises(mn.MinnetError, match=said):
        mn.PrunedClassifier(**QUICK | wrong).fit(*iris)


@pytest.mark.parametrize("copied", [clone, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies(iris, fitted, copied):
    again = copied(fitted)
    if not hasattr(again, "model_"):
        again.fit(*iris)
    assert (again.predict(iris[0]) == fitted.predict(iris[0])).all()
    assert again.model_.values.tobytes() == fitted.model_.values.tobytes()


def test_joblib(iris, fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "e.joblib")
    again = joblib.load(tmp_path / "e.joblib", mmap_mode="r")
    np.testing.assert_allclose(again.predict_proba(iris[0]), fitted.predict_proba(iris[0]), atol=1e-12)


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
def test_exports(iris, fitted, tmp_path, ending):
    path = tmp_path / f"e.{ending}"
    assert fitted.export(path) is fitted
    model = mn.load_onnx(path) if ending == "onnx" else mn.load(path)
    assert (model.predict(iris[0]) == fitted.predict(iris[0])).all()
    with pytest.raises(mn.MinnetError, match="choose from"):
        fitted.export(tmp_path / "e.pkl")


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor(outputs, tmp_path):
    """Numbers in their own units, whatever these are; and the model, the frozen net and the files give the same."""
    X, y = load_diabetes(return_X_y=True)
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), y if outputs == 1 else np.column_stack([y, 1e6 - 1e3 * y])
    fitted = mn.PrunedRegressor(**QUICK).fit(X, y)
    found = fitted.predict(X)
    assert found.shape == y.shape and fitted.score(X, y) > 0.5
    assert fitted.model_.sparsity == 0.5 == fitted.result_.sparsity
    np.testing.assert_allclose(fitted.model_.predict(X), found)
    np.testing.assert_allclose(fitted.predictor_.predict(X), found)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(fitted)).predict(X), found)
    for ending, read in ((".onnx", mn.load_onnx), (".safetensors", mn.load)):
        fitted.export(tmp_path / f"r{ending}")
        np.testing.assert_allclose(read(tmp_path / f"r{ending}").predict(X), found, rtol=1e-4)
    again = mn.PrunedRegressor(**QUICK | {"early_stopping": True, "max_iter": 100}).fit(X, y)
    assert again.best_validation_score_ == max(again.validation_scores_) > 0.3


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_a_regressor_takes_any_unit(unit):
    X, y = load_diabetes(return_X_y=True)
    plain, fitted = (mn.PrunedRegressor(**QUICK | {"max_iter": 5}).fit(X, y * u) for u in (1.0, unit))
    np.testing.assert_allclose(fitted.predict(X) / unit, plain.predict(X), rtol=1e-6)


def test_a_regressor_learns_bit_by_bit():
    X = np.random.default_rng(0).normal(size=(300, 3))
    y = 1000 + 5 * X[:, 0] - 3 * np.abs(X[:, 1])
    fitted = mn.PrunedRegressor(**QUICK | {"prune_iter": 20})
    for _ in range(15):
        for start in range(0, 300, 100):
            fitted.partial_fit(X[start : start + 100], y[start : start + 100])
    assert fitted.model_.sparsity == 0.5 and fitted.score(X, y) > 0.9
    with pytest.raises(ValueError, match="has learnt 1"):
        fitted.partial_fit(X, np.column_stack([y, y]))
