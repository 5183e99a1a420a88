"""Nets of scikit-learn become Models with the same outputs."""
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler

import minnet as mn
from minnet.errors import InvalidType, Unsupported

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_sizes": (8, 5), "max_iter": 30, "random_state": 0, "learning_rate_init": 0.01}
X, codes = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[codes]


def targets(kind):
    return {"three": NAMES, "two": np.where(codes == 2, "yes", "no"), "numbers": codes, "one": np.zeros(150, int)}[kind]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", ["three", "two", "numbers"])
def test_a_classifier(kind, activation, dtype):
    rows = X.astype(dtype)
    mlp = MLPClassifier(activation=activation, **SMALL).fit(rows, targets(kind))
    model = mn.from_sklearn(mlp)
    assert model.dtype == dtype and model.signature.classes.tolist() == mlp.classes_.tolist()
    assert (model.predict(rows) == mlp.predict(rows)).all()
    np.testing.assert_allclose(model.predict_proba(rows), mlp.predict_proba(rows), rtol=1e-4, atol=1e-6)
    assert (mn.freeze(model).predict(rows) == mlp.predict(rows)).all()


LABELS = np.column_stack([codes > 0, X[:, 0] > 5.8, X[:, 1] > 3]).astype(int)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_a_classifier_of_several_labels_a_row(activation, k, tmp_path):
    """The same 0 and 1, and probabilities of each, behind a scaler too; saved, frozen, pruned and trained on."""
    Y = LABELS[:, :k]
    net = make_pipeline(StandardScaler(), MLPClassifier(activation=activation, **SMALL)).fit(X, Y)
    model = mn.from_sklearn(net)
    assert model.signature.task == "multilabel" and model.signature.classes.tolist() == net[-1].classes_.tolist()
    mn.save(model, tmp_path / "m.safetensors")
    for same in (model, mn.load(tmp_path / "m.safetensors"), mn.freeze(model)):
        assert (same.predict(X) == net.predict(X)).all()
        np.testing.assert_allclose(same.predict_proba(X), net.predict_proba(X), rtol=1e-6)
    assert mn.evaluate(model, X, Y).accuracy == pytest.approx(net.score(X, Y))
    mn.prune(model, 0.3, criterion="taylor", data=(X, Y))
    losses = [step.loss for step in mn.train(model, (X, Y), epochs=10, rng=0)]
    assert losses[-1] < losses[0] < 1


@pytest.mark.parametrize("hidden", [(8,), ()])
@pytest.mark.parametrize("outputs", [1, 2])
def test_a_regressor(outputs, hidden):
    y = X[:, :outputs].sum(axis=1) if outputs == 1 else X[:, :2] * 3
    mlp = MLPRegressor(**SMALL | {"hidden_layer_sizes": hidden}).fit(X, y)
    model = mn.from_sklearn(mlp)
    assert model.predict(X).shape == y.shape and model.signature.task == "numbers"
    np.testing.assert_allclose(model.predict(X), mlp.predict(X), rtol=1e-9)


@pytest.mark.parametrize("scalers", [
    [StandardScaler()], [MinMaxScaler((-1, 2))], [MaxAbsScaler(), RobustScaler()], [StandardScaler(with_mean=False)],
    [StandardScaler(with_std=False), "passthrough", MinMaxScaler()], [RobustScaler(with_scaling=False)],
])
def test_scalers_become_the_scaling(scalers):
    pipe = make_pipeline(*scalers, MLPClassifier(**SMALL)).fit(X * 100 + 7, NAMES)
    model = mn.from_sklearn(pipe)
    np.testing.assert_allclose(model.predict_proba(X * 100 + 7), pipe.predict_proba(X * 100 + 7), rtol=1e-8, atol=1e-12)


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcd"))
    for net in (MLPClassifier(**SMALL), make_pipeline(StandardScaler(), MLPClassifier(**SMALL)),
                make_pipeline(StandardScaler(), mn.PrunedClassifier(max_iter=5, random_state=0))):
        model = mn.from_sklearn(net.fit(table, NAMES))
        assert model.signature.feature_names == tuple("abcd")
        with pytest.warns(UserWarning, match="another order"):
            assert (model.predict(table[["d", "a", "b", "c"]]) == net.predict(table)).all()


def test_it_goes_on_as_any_model(tmp_path):
    """Pruned, trained on, saved and exported, with the labels of its own."""
    mlp = make_pipeline(StandardScaler(), MLPClassifier(**SMALL)).fit(X, NAMES)
    model = mn.from_sklearn(mlp)
    mn.prune(model, 0.3, criterion="taylor", data=(X, NAMES))
    for _ in mn.train(model, (X, NAMES), epochs=5, rng=0):
        pass
    assert model.sparsity == pytest.approx(0.3, abs=0.01) and mn.evaluate(model, X, NAMES).accuracy > 0.8
    mn.save(mn.compact(model), tmp_path / "m.safetensors")
    assert (mn.load(tmp_path / "m.safetensors").predict(X) == model.predict(X)).all()


def ending_in_exp(net):
    """As MLPRegressor(loss="poisson") does, which scikit-learn 1.6 has not."""
    net.out_activation_ = "exp"
    return net


@pytest.mark.parametrize(("made", "error"), [
    (lambda: LogisticRegression(), InvalidType), (lambda: None, InvalidType),
    (lambda: MLPClassifier(), NotFittedError), (lambda: mn.PrunedClassifier(), NotFittedError),
    (lambda: ending_in_exp(MLPRegressor(**SMALL).fit(X, codes)), Unsupported),
    (lambda: make_pipeline(Normalizer(), MLPClassifier(**SMALL)).fit(X, NAMES), Unsupported),
    (lambda: make_pipeline(MinMaxScaler(clip=True), MLPClassifier(**SMALL)).fit(X, NAMES), Unsupported),
])
def test_what_is_no_net(made, error):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = made()
    with pytest.raises(error):
        mn.from_sklearn(estimator)


# --- what skl2onnx writes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scaler", "zipmap"), [(None, True), (StandardScaler(), False), (MinMaxScaler(), True)])
@pytest.mark.parametrize("activation", ["identity", "tanh"])
@pytest.mark.parametrize("kind", ["three", "two", "numbers"])
def test_a_classifier_in_onnx(kind, activation, scaler, zipmap, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    rows = X.astype(np.float32)
    net = MLPClassifier(activation=activation, **SMALL)
    net = (make_pipeline(scaler, net) if scaler else net).fit(rows, targets(kind))
    proto = skl2onnx.to_onnx(net, rows[:1], options={"zipmap": zipmap})
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    model = mn.load_onnx(tmp_path / "m.onnx")
    assert model.signature.classes.tolist() == net.classes_.tolist()
    assert (model.signature.scaling is not None) == isinstance(scaler, StandardScaler)
    assert (model.predict(rows) == net.predict(rows)).all()
    np.testing.assert_allclose(model.predict_proba(rows), net.predict_proba(rows), rtol=1e-4, atol=1e-6)
    assert [type(layer).__name__ for layer in model.layers.values()][-1] == "Dense"


@pytest.mark.parametrize(("scaler", "zipmap"), [(None, True), (StandardScaler(), False)])
def test_several_labels_a_row_in_onnx(scaler, zipmap, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnx = pytest.importorskip("onnx")
    rows = X.astype(np.float32)
    net = MLPClassifier(**SMALL)
    net = (make_pipeline(scaler, net) if scaler else net).fit(rows, LABELS)
    proto = skl2onnx.to_onnx(net, rows[:1], options={"zipmap": zipmap})
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    model = mn.load_onnx(tmp_path / "m.onnx")
    assert model.signature == mn.from_sklearn(net).signature or scaler is not None
    assert (model.signature.task, model.signature.classes.tolist()) == ("multilabel", [0, 1, 2])
    assert (model.predict(rows) == net.predict(rows)).all()
    np.testing.assert_allclose(model.predict_proba(rows), net.predict_proba(rows), rtol=1e-4, atol=1e-6)
    for damage, words in (("Sigmoid", "is no Sigmoid"), ("Binarizer", "threshold")):
        broken = onnx.ModelProto.FromString(proto.SerializeToString())
        node = next(node for node in broken.graph.node if node.op_type == damage)
        if damage == "Sigmoid":
            node.op_type = "Tanh"
        else:
            node.attribute[0].f = 0.25
        (tmp_path / "m.onnx").write_bytes(broken.SerializeToString())
        with pytest.raises(mn.MinnetError, match=words):
            mn.load_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("scaler", [None, StandardScaler()])
def test_a_regressor_in_onnx(scaler, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    rows = X.astype(np.float32)
    net = MLPRegressor(**SMALL)
    net = (make_pipeline(scaler, net) if scaler else net).fit(rows, rows[:, 0])
    (tmp_path / "m.onnx").write_bytes(skl2onnx.to_onnx(net, rows[:1]).SerializeToString())
    model = mn.load_onnx(tmp_path / "m.onnx")
    assert model.signature.task == "numbers" and model.predict(rows).shape == (150,)
    np.testing.assert_allclose(model.predict(rows), net.predict(rows), rtol=1e-4, atol=1e-5)


def test_labels_that_are_found_in_another_way(tmp_path):
    """Two outputs of which none is found as skl2onnx does: one line that says so."""
    onnx = pytest.importorskip("onnx")
    skl2onnx = pytest.importorskip("skl2onnx")
    rows = X.astype(np.float32)
    proto = skl2onnx.to_onnx(MLPClassifier(**SMALL).fit(rows, NAMES), rows[:1])
    for damage in ("ArgMax", "ArrayFeatureExtractor", "Softmax"):
        broken = onnx.ModelProto.FromString(proto.SerializeToString())
        next(node for node in broken.graph.node if node.op_type == damage).op_type = "Sqrt"
        (tmp_path / "m.onnx").write_bytes(broken.SerializeToString())
        with pytest.raises(mn.MinnetError, match="skl2onnx"):
            mn.load_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("kind", ["three", "two", "labels", "numbers"])
def test_an_estimator_of_a_fitted_net(kind):
    """The same predictions and parameters; `fit` and `partial_fit` go on from its weights, and prune."""
    rows = X.astype(np.float32)
    y = {"labels": LABELS, "numbers": 30 + 9 * X[:, 2]}.get(kind)
    y = targets(kind) if y is None else y
    net, pruned = ((MLPRegressor, mn.PrunedRegressor) if kind == "numbers" else (MLPClassifier, mn.PrunedClassifier))
    mlp = net(alpha=0.01, solver="lbfgs" if kind == "two" else "adam", **SMALL).fit(rows, y)
    made = pruned.from_estimator(mlp)
    assert made.alpha == 0.01 and made.hidden_layer_sizes == (8, 5) and made.result_.removed == 0
    np.testing.assert_allclose(made.score(rows, y), mlp.score(rows, y), rtol=1e-5)
    predicted = "predict" if kind == "numbers" else "predict_proba"
    np.testing.assert_allclose(getattr(made, predicted)(rows), getattr(mlp, predicted)(rows), rtol=1e-4, atol=1e-5)
    made.partial_fit(rows, y)
    made = pruned.from_estimator(mlp).set_params(sparsity=0.5, max_iter=8).fit(rows, y)
    assert made.model_.sparsity == pytest.approx(0.5, abs=0.01)
    assert made.score(rows, y) > mlp.score(rows, y) - 0.2


def test_estimators_of_other_kinds_are_refused():
    with pytest.raises(InvalidType, match="wants a fitted MLPClassifier"):
        mn.PrunedClassifier.from_estimator(MLPRegressor())
    with pytest.raises(NotFittedError):
        mn.PrunedRegressor.from_estimator(MLPRegressor())
