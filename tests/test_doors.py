"""Doors x contracts: however a model was made, and however it is used, raw rows in give the same labels out.

A way of making a model is a row of MAKERS, a way of using it one of USES; each row meets each kind of data. A model is
trained on rows that are scaled, so where they are scaled twice, or not at all, its labels are others.
"""
import copy
import ctypes
import pickle
import shutil
import subprocess
import tempfile
import warnings
from functools import cache

import numpy as np
import pytest
from forge import File
from scipy.sparse import csr_matrix

import minnet as mn
from minnet.data import from_arrays
from minnet.errors import InvalidValue


def table(seed=0, n=150):
    """Three classes by two of four columns, which differ in range by thousands."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(n, 4)) * [1, 1000, 1, 1] + [0, 5000, 3, 100]
    X[:, 1] += 4000 * y
    X[:, 2] += 3 * (y == 1)
    return X, y


def one_hot(seed=0, n=200):
    """Bytes of 0 and 1."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 5, (n, 3))
    return np.eye(5, dtype=np.uint8)[values].reshape(n, -1), (values[:, 0] + values[:, 1]) % 3


def images(seed=0, n=120):
    """Grey images of bytes (n, 6, 6): one of three lines is bright."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.integers(0, 60, (n, 6, 6))
    X[np.arange(n), 2 * y] += 150
    return X.astype(np.uint8), y


DATA = {"raw table": table, "one-hot bytes": one_hot, "images of bytes": images}
EVERY = {**DATA, "sparse rows": lambda: (csr_matrix(one_hot()[0]), one_hot()[1])}  # what only some tests can take
LABELS = {"strings": np.array(["setosa", "b", "a"]), "numbers": np.array([7, -1, 2**40]),
          "bytes": np.array([b"x", b"z", b"y"])}


@cache
def trained(kind, labels):
    """(model, data, raw rows, labels in text or numbers) with at least 90 % right on raw rows."""
    X, y = EVERY[kind]()
    data = from_arrays(X, LABELS[labels][y], rng=0)
    model = mn.models.mlp(data.shape, 3, hidden=(16,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.2, momentum=0.9), epochs=40, batch_size=16, rng=0):
        pass
    return model, data, X, data.signature.labels(y.size and np.unique(LABELS[labels][y], return_inverse=True)[1])


def saved(model, tmp_path, **how):
    mn.save(model, tmp_path / "m.safetensors", **how)
    return mn.load(tmp_path / "m.safetensors")


def stored(model, data, tmp_path):
    """The model of a training run that was stored."""
    copy_ = model.clone()
    *_, last = mn.train(copy_, data, optimizer=mn.SGD(lr=1e-9), epochs=1, rng=0)
    mn.save(last.state, tmp_path / "run.safetensors")
    return mn.load_state(tmp_path / "run.safetensors").model


def fewer_inputs(model, data):
    """A model that takes most of the features alone, and picks them from whole rows."""
    copy_ = model.clone()
    result = mn.prune(copy_, 0.25, structure="input", criterion="wanda", data=data, rng=0)
    return result.compact()


def pruned(model, data):
    copy_ = model.clone()
    mn.prune(copy_, 0.3, criterion="taylor", data=data, rng=0)
    return copy_


def contract(source, model):
    """The signature of the source; for a model that takes some features only, cut to these."""
    chosen = model.signature.selection
    return source.signature if chosen is None else source.signature.select(chosen.columns, model.input_shape)


MAKERS = {
    "train": lambda model, data, tmp_path: model,
    "prune": lambda model, data, tmp_path: pruned(model, data),
    "prune and compact": lambda model, data, tmp_path: mn.compact(pruned(model, data)),
    "prune inputs and compact": lambda model, data, tmp_path: fewer_inputs(model, data),
    "prune inputs, save and load": lambda model, data, tmp_path: saved(fewer_inputs(model, data), tmp_path),
    "clone": lambda model, data, tmp_path: model.clone(),
    "float64": lambda model, data, tmp_path: model.clone(np.float64),
    "save and load": lambda model, data, tmp_path: saved(model, tmp_path),
    "save in 8 bits and load": lambda model, data, tmp_path: saved(model, tmp_path, precision="int8"),
    "store a run and load": stored,
    "pickle": lambda model, data, tmp_path: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, data, tmp_path: copy.deepcopy(model),
    "split and join": lambda model, data, tmp_path: mn.join(*mn.split(model, "dense1")),
    "expand": lambda model, data, tmp_path: mn.expand(mn.compact(model), model),
}


def row_by_row(predictor, X):
    return np.concatenate([predictor.predict(X[i:i + 1]) for i in range(X.shape[0])])


def from_file(model):
    """The Predictor that a file of a frozen net holds."""
    with tempfile.TemporaryDirectory() as folder:
        mn.freeze(model).save(f"{folder}/fast.safetensors")
        return mn.load_predictor(f"{folder}/fast.safetensors")


USES = {
    "predict": lambda model, X: model.predict(X),
    "logits": lambda model, X: model.signature.labels(model(X).argmax(axis=1)),
    "predict_proba": lambda model, X: model.signature.labels(model.predict_proba(X).argmax(axis=1)),
    "freeze": lambda model, X: mn.freeze(model).predict(X),
    "freeze for one row": lambda model, X: row_by_row(mn.freeze(model, 1), X),
    "freeze, save and load": lambda model, X: from_file(model).predict(X),
    "inputs": lambda model, X: model.signature.labels(model.without_signature()(model.inputs(X)).argmax(axis=1)),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("kind", EVERY)
def test_raw_rows_in_and_the_same_labels_out(kind, maker, labels, tmp_path):
    source, data, X, y = trained(kind, labels)
    model = MAKERS[maker](source, data, tmp_path)
    assert model.signature == contract(source, model)
    wanted = model.predict(X)
    assert (wanted == y).mean() > (0.6 if "prune" in maker else 0.9)
    for name, use in USES.items():
        assert use(model, X[:40]).tolist() == wanted[:40].tolist(), name
    scores = mn.evaluate(model, X, y, intervals=False)
    assert scores.accuracy == pytest.approx((wanted == y).mean())
    assert mn.evaluate(mn.freeze(model), X, y, intervals=False).accuracy == pytest.approx(scores.accuracy)


def _pipeline(net, X, y):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), net).fit(X, y)


def _estimator(X, y):
    net = mn.PrunedClassifier((16,), max_iter=60, learning_rate_init=0.02, batch_size=16, sparsity=0.3, random_state=0)
    return _pipeline(net, X, y)


def _mlp(X, y):
    from sklearn.neural_network import MLPClassifier

    return _pipeline(MLPClassifier((16,), max_iter=60, learning_rate_init=0.02, batch_size=16, random_state=0), X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("labels", ["strings", "numbers"])
@pytest.mark.parametrize("make", [_estimator, _mlp])
@pytest.mark.parametrize("kind", DATA)
def test_a_model_from_scikit_learn_through_every_door(kind, make, labels, tmp_path):
    """A pipeline that scales raw rows becomes one model, which gives the pipeline's labels however it is used."""
    X, y = DATA[kind]()
    X, y = X.reshape(len(X), -1), LABELS[labels][y]
    pipeline = make(X, y)
    source, wanted = mn.from_sklearn(pipeline), pipeline.predict(X)
    assert (wanted == y).mean() > 0.9
    for maker in ("train", "clone", "float64", "save and load", "pickle", "expand"):
        model = MAKERS[maker](source, None, tmp_path)
        for name, use in USES.items():
            assert use(model, X[:40]).tolist() == wanted[:40].tolist(), (maker, name)
    assert mn.evaluate(source, X, y, intervals=False).accuracy == pytest.approx((wanted == y).mean())
    mn.save_onnx(source, tmp_path / "m.onnx")
    assert mn.load_onnx(tmp_path / "m.onnx").predict(X).tolist() == wanted.tolist()


@pytest.mark.parametrize("kind", DATA)
def test_whatever_holds_the_values(kind):
    """Bytes, integers, floats, lists, another shape of the same rows, or one row: the same labels."""
    model, _, X, _ = trained(kind, "strings")
    wanted = model.predict(X).tolist()
    for dtype in ("f4", "f8", ">f8") + (() if kind == "raw table" else ("u1", "i4", "i8")):
        assert model.predict(X.astype(dtype)).tolist() == model.predict(X.astype(dtype).tolist()).tolist()
        if np.array_equal(X.astype(dtype), X):
            assert model.predict(X.astype(dtype)).tolist() == wanted
    assert model.predict(X[:1]).tolist() == wanted[:1]
    if X.ndim == 3:
        assert model.predict(X[..., None]).tolist() == model.predict(X[:, None]).tolist() == wanted
        with pytest.warns(UserWarning, match="are taken as"):
            assert model.predict(X.reshape(len(X), -1)).tolist() == wanted


@pytest.mark.parametrize("kind", DATA)
def test_a_subset_of_the_classes_is_scored_by_name(kind):
    """Some classes, one class, one row: by name, nothing renumbered and nothing fitted; a strange label is refused."""
    model, _, X, y = trained(kind, "strings")
    right = model.predict(X) == y
    for rows in (np.flatnonzero(y != "a"), np.flatnonzero(y == "setosa"), np.array([3])):
        assert mn.evaluate(model, X[rows], y[rows], intervals=False).accuracy == pytest.approx(right[rows].mean())
    with pytest.raises(InvalidValue, match="does not know: 'strange'"):
        mn.evaluate(model, X[:2], ["strange", "a"])
    some = np.flatnonzero(y != "a")
    later = mn.load_data((X[some], y[some]), model=model, rng=1)
    assert later.signature is model.signature and later.n_classes == 3
    longer = model.clone()
    for _ in mn.train(longer, later, optimizer=mn.SGD(lr=0.01), epochs=2, rng=0):
        pass
    assert longer.signature is model.signature
    assert (longer.predict(X[some]) == y[some]).mean() > 0.9, "trained towards its own outputs"


def test_a_model_trained_on_arrays_takes_arrays_as_given():
    X, y = table()
    X = (X - X.mean(0)) / X.std(0)
    model = mn.models.mlp((4,), 3, hidden=(16,), rng=0)
    for _ in mn.train(model, (X, y), optimizer=mn.SGD(lr=0.2), epochs=20, rng=0):
        pass
    assert model.signature is None and (model.predict(X) == y).mean() > 0.9
    assert (mn.freeze(model).predict(X) == model.predict(X)).all()
    assert mn.evaluate(model, X, y, intervals=False).accuracy > 0.9


@pytest.mark.parametrize("task", ["classes", "numbers", "multilabel"])
def test_a_model_trained_on_arrays_by_a_rule_takes_raw_rows(task):
    """As one that is trained on a Dataset which is a training part alone, and a second training keeps the rule."""
    X, y, loss = {"classes": (*table(), None), "numbers": (*numeric(2), "mse"),
                  "multilabel": (*labelled(), "binary_cross_entropy")}[task]
    y = LABELS["strings"][y] if task == "classes" else y
    models = [mn.models.mlp((4,), 3 if y.ndim == 1 else y.shape[1], hidden=(16,), rng=0) for _ in range(2)]
    of = {"numbers": "regression", "multilabel": "multilabel"}.get(task)
    data = from_arrays(X, y, scaling="standard", valid=0, test=0, task=of)
    for model, given, rule in zip(models, (data, (X, y)), (None, "standard"), strict=True):
        for _ in range(2):
            list(mn.train(model, given, scaling=rule, loss=loss, epochs=20, rng=0))
    assert models[0].signature == models[1].signature and models[0].signature.task == task
    assert models[0].values.tobytes() == models[1].values.tobytes()
    assert models[1].predict(X).tolist() == models[0].predict(X).tolist()
    with pytest.raises(InvalidValue, match="is for a pair"):
        mn.train(mn.models.mlp((4,), 3, rng=0), data, scaling="unit")


def test_training_goes_through_one_scaling():
    """The loss of a run on a Dataset is that of a run on the arrays that its signature makes, bit for bit; so are the
    scores of a criterion, early stopping and sensitivity."""
    _, data, _, _ = trained("raw table", "strings")
    nets = [mn.models.mlp(data.shape, 3, hidden=(8,), rng=0) for _ in range(2)]
    pair = data.scaled(data.X_train), data.signature.codes(data.y_train)
    runs = [[step.loss for step in mn.train(net, given, epochs=4, rng=0)]
            for net, given in zip(nets, (data, pair), strict=True)]
    assert runs[0] == runs[1] and nets[0].values.tobytes() == nets[1].values.tobytes()
    for criterion in ("taylor", "wanda", "snip"):
        found = [getattr(mn.criteria, criterion)(net, given) for net, given in zip(nets, (data, pair), strict=True)]
        assert found[0].tobytes() == found[1].tobytes()
    valid = data.scaled(data.X_valid), data.signature.codes(data.y_valid)
    np.testing.assert_array_equal(mn.sensitivity(nets[0], data, rng=0).values,
                                  mn.sensitivity(nets[1], valid, rng=0).values)


def test_an_own_criterion_may_call_the_model():
    """What a criterion sees is scaled already, and the model that it is given takes it so."""
    model, data, _, _ = trained("raw table", "strings")
    seen = []

    def criterion(net, sample):
        seen.append((net(sample.X).argmax(axis=1) == sample.y).mean())
        return np.abs(net.weights)

    mn.prune(model.clone(), 0.1, criterion=criterion, data=data, rng=0)
    assert seen[0] > 0.9


def test_columns_in_another_order(tmp_path):
    from minnet.data import load_rows

    X, y = table()
    names, order = ["a", "b", "c", "d"], [2, 0, 3, 1]
    rows = np.column_stack([X, y])
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header=",".join([*names, "kind"]), comments="")
    np.savetxt(tmp_path / "u.csv", rows[:, [4, *order]], delimiter=",", comments="",
               header=",".join(["kind", *(names[i] for i in order)]))
    data = mn.load_data(tmp_path / "t.csv", rng=0)
    assert data.signature.feature_names == tuple(names) and data.signature.target == "kind"
    model = mn.models.mlp(data.shape, 3, hidden=(16,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.2, momentum=0.9), epochs=30, rng=0):
        pass
    with pytest.warns(UserWarning, match="another order"):
        found, labels, _ = load_rows(tmp_path / "u.csv", model)
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_allclose(found, X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mn.evaluate(model, found, labels, intervals=False).accuracy > 0.9


def test_evaluate_takes_data_of_any_kind(tmp_path):
    """A Dataset (its test part), a pair, a file (every row)."""
    model, data, X, y = trained("raw table", "strings")
    np.savez(tmp_path / "t.npz", X=X, y=y)
    wanted = mn.evaluate(model, X, y, intervals=False).accuracy
    for given in ((X, y), tmp_path / "t.npz", str(tmp_path / "t.npz"), {"X": X, "y": y}):
        assert mn.evaluate(model, given, intervals=False).accuracy == wanted
        assert mn.evaluate(mn.freeze(model), given, intervals=False).accuracy == wanted
    tested = mn.evaluate(model, data, intervals=False)
    assert tested.accuracy == mn.evaluate(model, data.X_test, data.y_test, intervals=False).accuracy
    bare = mn.models.mlp(data.shape, 3, hidden=(4,), rng=0)
    assert 0 <= mn.evaluate(bare, data, intervals=False).accuracy <= 1
    with pytest.raises(InvalidValue, match="knows neither scaling nor labels"):
        mn.evaluate(bare, tmp_path / "t.npz")


# --- numbers instead of classes --------------------------------------------------------------------------------------


def numeric(k, seed=0, n=200):
    """Rows of four columns, and k numbers that differ in their units by thousands."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) * [1, 1000, 1, 1] + [0, 5000, 3, 100]
    y = ((X - X.mean(0)) / X.std(0))[:, :k] * [1e-2, 50, 2000][:k] + [0, -7000, 40000][:k]
    return X, y[:, 0] if k == 1 else y


@cache
def fitted(k):
    """(model, data, raw rows, numbers) of a model that explains most of their variance."""
    X, y = numeric(k)
    data = from_arrays(X, y, task="regression", rng=0)
    model = mn.models.mlp(data.shape, data.n_outputs, hidden=(16,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.1, momentum=0.9), epochs=40, batch_size=16, rng=0):
        pass
    return model, data, X, y


NUMERIC_USES = {
    "predict": lambda model, X: model.predict(X),
    "outputs": lambda model, X: model.signature.predictions(model(X)),
    "freeze": lambda model, X: mn.freeze(model).predict(X),
    "freeze for one row": lambda model, X: row_by_row(mn.freeze(model, 1), X),
    "freeze, save and load": lambda model, X: from_file(model).predict(X),
    "inputs": lambda model, X: model.signature.predictions(model.without_signature()(model.inputs(X))),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("k", [1, 3])
def test_raw_rows_in_and_numbers_in_their_units_out(k, maker, tmp_path):
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    source, data, X, y = fitted(k)
    model = MAKERS[maker](source, data, tmp_path)
    assert model.signature == contract(source, model) and model.signature.task == "numbers"
    wanted, spread = model.predict(X), y.std(axis=0)
    assert wanted.shape == y.shape and r2_score(y, wanted) > (0.3 if "prune" in maker else 0.95)
    for name, use in NUMERIC_USES.items():
        np.testing.assert_allclose(use(model, X[:20]) / spread, wanted[:20] / spread, atol=1e-4, err_msg=name)
    for net in (model, mn.freeze(model)):
        scores = mn.evaluate(net, X, y)
        assert scores.r2 == pytest.approx(r2_score(y, wanted), abs=1e-5)
        assert scores.mae == pytest.approx(mean_absolute_error(y, wanted), rel=1e-3)
        assert scores.rmse == pytest.approx(root_mean_squared_error(y, wanted), rel=1e-3)
        assert all(scores.intervals[name][0] <= scores[name] <= scores.intervals[name][1] for name in ("r2", "rmse"))
        with pytest.raises(InvalidValue, match="this model gives numbers"):
            net.predict_proba(X)


def test_numbers_are_scaled_by_the_training_part_alone():
    _, data, X, y = fitted(3)
    shift, scale = data.signature.target_scaling
    np.testing.assert_allclose(shift, data.y_train.mean(axis=0))
    np.testing.assert_allclose(scale, data.y_train.std(axis=0))
    for given in (y.tolist(), y[:, :1], y[:, 2].astype(int), list(y[:, 2])):
        found = from_arrays(X, given, task="regression", rng=0)
        assert found.signature.codes(found.y_train).std(axis=0) == pytest.approx(1)
    assert from_arrays(X, np.full(len(X), 5.0), task="regression").signature.target_scaling.scale == [1]


def test_training_on_numbers_goes_through_one_scaling():
    """The loss of a run on a Dataset is that of mse on the arrays that its signature makes, bit for bit."""
    _, data, _, _ = fitted(3)
    nets = [mn.models.mlp(data.shape, 3, hidden=(8,), rng=0) for _ in range(2)]
    pair = data.scaled(data.X_train), data.signature.codes(data.y_train)
    runs = [[step.loss for step in mn.train(net, given, epochs=4, rng=0)]
            for net, given in zip(nets, (data, pair), strict=True)]
    assert runs[0] == runs[1] and nets[0].values.tobytes() == nets[1].values.tobytes()
    found = mn.sensitivity(nets[0], data, rng=0)
    assert found.scores == ("r2", "mae", "rmse", "loss")
    assert found.base.tolist() == pytest.approx(
        list(mn.evaluate(nets[0], data.X_valid, data.y_valid, intervals=False).values()), rel=1e-5)


@pytest.mark.parametrize("given, words", [(np.arange(60) / 7, "60 different numbers in 60 rows, such as 0.14"),
                                          (np.arange(60), "60 different numbers in 60 rows"),
                                          (np.ones((60, 2)) / 3, "1 different numbers"), (["a"] * 60, None)])
def test_numbers_are_asked_about(given, words):
    """Where they may be classes or not, the error names both ways out; with a task, what is not that is refused."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    if words is not None:
        with pytest.raises(InvalidValue, match=f"{words}.*--task regression.*--task classification"):
            from_arrays(X, given)
        assert from_arrays(X, given, task="regression").n_outputs == np.ndim(given)
        return
    with pytest.raises(mn.MinnetError, match="regression learns numbers"):
        from_arrays(X, given, task="regression")
    with pytest.raises(mn.MinnetError, match="unknown task"):
        from_arrays(X, given, task="magic")
    with pytest.raises(InvalidValue, match="the model has learnt numbers"):
        mn.load_data((X, given), task="classification", model=fitted(1)[0])


# --- several labels a row --------------------------------------------------------------------------------------------


def labelled(seed=0, n=300):
    """Rows of four columns, which differ in range by thousands, and whether each of three labels holds of a row."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) * [1, 1000, 1, 1] + [0, 5000, 3, 100]
    Z = (X - X.mean(0)) / X.std(0)
    return X, np.column_stack([Z[:, 1] > 0.3, Z[:, 0] + Z[:, 2] > 0, Z[:, 3] > -0.5]).astype(int)


def flat_labelled():
    """One label alone, as a column."""
    X, Y = labelled()
    return X, Y[:, :1]


def bytes_labelled():
    """Grey images of bytes (n, 6, 6): each of three lines may be bright."""
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 2, (200, 3))
    X = rng.integers(0, 60, (200, 6, 6))
    X[:, ::2] += 150 * Y[:, :, None]
    return X.astype(np.uint8), Y


def sparse_labelled():
    """Rows of 0 and 1 in CSR, and whether each of three columns or pairs of columns is there."""
    X = one_hot()[0]
    return csr_matrix(X), np.column_stack([X[:, 0] + X[:, 1] > 0, X[:, 5], X[:, 10] + X[:, 12] > 0]).astype(int)


SEVERAL = {"raw table": labelled, "one label": flat_labelled, "images of bytes": bytes_labelled}
EVERY_SEVERAL = {**SEVERAL, "sparse rows": sparse_labelled}


@cache
def taught(kind):
    """(model, data, raw rows, 0 and 1) of a model that has at least 90 % of all labels right on raw rows."""
    X, Y = EVERY_SEVERAL[kind]()
    scaling = "unit" if kind == "sparse rows" else "standard"
    data = from_arrays(X, Y, task="multilabel", scaling=scaling, rng=0)
    model = mn.models.mlp(data.shape, data.n_outputs, hidden=(16,), rng=0)
    for _ in mn.train(model, data, optimizer=mn.SGD(lr=0.3, momentum=0.9), epochs=60, batch_size=16, rng=0):
        pass
    return model, data, X, Y


LABEL_USES = {
    "predict": lambda model, X: model.predict(X),
    "logits": lambda model, X: (model(X) > 0).astype(int),
    "predict_proba": lambda model, X: (model.predict_proba(X) > 0.5).astype(int),
    "freeze": lambda model, X: mn.freeze(model).predict(X),
    "freeze, predict_proba": lambda model, X: (mn.freeze(model).predict_proba(X) > 0.5).astype(int),
    "freeze for one row": USES["freeze for one row"],
    "freeze, save and load": USES["freeze, save and load"],
    "inputs": lambda model, X: model.signature.predictions(model.without_signature()(model.inputs(X))),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("kind", EVERY_SEVERAL)
def test_raw_rows_in_and_the_same_several_labels_out(kind, maker, tmp_path):
    source, data, X, Y = taught(kind)
    model = MAKERS[maker](source, data, tmp_path)
    assert model.signature == contract(source, model) and model.signature.task == "multilabel"
    wanted = model.predict(X)
    assert wanted.shape == Y.shape and wanted.dtype == np.int64
    assert (wanted == Y).mean() > (0.6 if "prune" in maker else 0.9)
    for name, use in LABEL_USES.items():
        assert use(model, X[:40]).tolist() == wanted[:40].tolist(), name
    exact = (wanted == Y).all(axis=1).mean()
    for net in (model, mn.freeze(model)):
        assert mn.evaluate(net, X, Y, intervals=False).accuracy == pytest.approx(exact)


@pytest.mark.parametrize("inputs", ["all inputs", "fewer inputs"])
@pytest.mark.parametrize("kind", SEVERAL)
def test_exported_several_labels_are_the_same(kind, inputs, tmp_path):
    """ONNX Runtime and compiled C have the labels whose logit is above 0; ONNX is read again with its signature."""
    model, data, X, _ = taught(kind)
    model = fewer_inputs(model, data) if inputs == "fewer inputs" else model
    wanted, rows = model.predict(X), np.ascontiguousarray(model.signature.arranged(X), np.float32)
    mn.save_c(model, tmp_path / "m.c")
    library, k = compiled(tmp_path), wanted.shape[1]
    names = (ctypes.c_char_p * k).in_dll(library, "minnet_classes")
    assert [name.decode() for name in names] == [str(i) for i in range(k)]
    output, work, found = np.zeros(k, np.float32), np.zeros(100_000, np.float32), []
    for row in rows[:50]:
        library.minnet_predict(*(array.ctypes.data_as(ctypes.c_void_p) for array in (row, output, work)))
        found.append((output > 0).astype(int).tolist())
    assert found == wanted[:50].tolist()
    runtime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    mn.save_onnx(model, tmp_path / "m.onnx")
    given = rows.transpose(0, 3, 1, 2) if rows.ndim == 4 else rows
    logits, = runtime.InferenceSession((tmp_path / "m.onnx").read_bytes()).run(None, {"input": given})
    assert (logits > 0).astype(int).tolist() == wanted.tolist()
    told = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert (told["task"], told["classes"]) == ('"multilabel"', str(list(range(k))))
    again = mn.load_onnx(tmp_path / "m.onnx")
    assert again.signature == model.signature and (again.predict(X) == wanted).all()


def test_training_on_several_labels_goes_through_one_scaling():
    """The loss of a run on a Dataset is that of binary cross-entropy on the arrays that its signature makes."""
    _, data, _, _ = taught("raw table")
    nets = [mn.models.mlp(data.shape, 3, hidden=(8,), rng=0) for _ in range(2)]
    pair = data.scaled(data.X_train), data.y_train.astype(float)
    runs = [[step.loss for step in mn.train(net, given, loss=loss, epochs=4, rng=0)]
            for net, given, loss in zip(nets, (data, pair), (None, "binary_cross_entropy"), strict=True)]
    assert runs[0] == runs[1] and nets[0].values.tobytes() == nets[1].values.tobytes()
    found = mn.sensitivity(nets[0], data, rng=0)
    assert found.scores == ("accuracy", "hamming_loss", "f1_micro", "f1_macro", "loss")
    singles = mn.evaluate(nets[0], data.X_valid, data.y_valid, intervals=False)
    assert found.base.tolist() == pytest.approx([singles[name] for name in found.scores], rel=1e-6)
    stopped = list(mn.early_stopping(mn.train(nets[0], data, epochs=30, rng=0), nets[0], data, patience=2))
    assert stopped and mn.evaluate(nets[0], data).loss < singles.loss


# --- what is to be refused, or the same again ------------------------------------------------------------------------


def test_a_file_of_the_first_version_tells_its_signature(tmp_path):
    """As commit 292127d wrote it: shift, scale and classes in what it was made with."""
    model, data, X, _ = trained("raw table", "strings")
    bare = model.clone()
    bare.signature = None
    made = {"data": "t", "classes": data.classes.tolist(), "scaling": "unit", "shift": data.shift.tolist(),
            "scale": data.scale.tolist(), "settings": {}}
    again = mn.load(first_version(bare, tmp_path / "old.safetensors", made))
    assert again.predict(X).tolist() == model.predict(X).tolist()
    own = first_version(bare, tmp_path / "own.safetensors", made | {"shift": "what I call so"})
    assert mn.load(own).signature is None


def first_version(model, path, made):
    """The path of a file of the model as the first version had it."""
    mn.save(model, path, made=made)
    file = File(path)
    for key in ("signature", "frozen", "fingerprint"):
        del file.facts[key]
    file.facts["format_version"] = 1
    path.write_bytes(file.bytes())
    return path


# --- exports ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("inputs", ["all inputs", "fewer inputs"])
@pytest.mark.parametrize("kind", DATA)
def test_an_onnx_file_takes_raw_rows(kind, inputs, channels_last, tmp_path):
    """ONNX Runtime gives the same labels on raw rows; reading the file gives the model with its signature."""
    runtime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    model, data, X, _ = trained(kind, "strings")
    model = fewer_inputs(model, data) if inputs == "fewer inputs" else model
    mn.save_onnx(model, tmp_path / "m.onnx", channels_last=channels_last)
    rows = model.signature.arranged(X)
    rows = rows.transpose(0, 3, 1, 2) if rows.ndim == 4 and not channels_last else rows
    session = runtime.InferenceSession((tmp_path / "m.onnx").read_bytes())
    logits, = session.run(None, {"input": rows.astype(np.float32)})
    assert model.signature.classes[logits.argmax(axis=1)].tolist() == model.predict(X).tolist()
    told = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert told["classes"] == '["a", "b", "setosa"]'
    again = mn.load_onnx(tmp_path / "m.onnx")
    assert again.signature == model.signature and again.predict(X).tolist() == model.predict(X).tolist()


def compiled(folder):
    """The library that a C compiler makes of m.c in the folder."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "m.c", "-o", "m.so", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "m.so"))


@pytest.mark.parametrize("inputs", ["all inputs", "fewer inputs"])
@pytest.mark.parametrize("kind", DATA)
def test_a_c_file_takes_raw_rows(kind, inputs, tmp_path):
    """Compiled, it gives the same labels on raw rows; the labels are in it."""
    model, data, X, _ = trained(kind, "strings")
    model = fewer_inputs(model, data) if inputs == "fewer inputs" else model
    mn.save_c(model, tmp_path / "m.c")
    library = compiled(tmp_path)
    names = (ctypes.c_char_p * 3).in_dll(library, "minnet_classes")
    rows = np.ascontiguousarray(model.signature.arranged(X), np.float32)
    output, work = np.zeros(3, np.float32), np.zeros(100_000, np.float32)
    found = []
    for row in rows[:50]:
        library.minnet_predict(*(array.ctypes.data_as(ctypes.c_void_p) for array in (row, output, work)))
        found.append(names[int(output.argmax())].decode())
    assert found == model.predict(X[:50]).tolist()


@pytest.mark.parametrize("kind", DATA)
def test_c_of_integers_takes_raw_rows(kind, tmp_path):
    """Integers alone give the labels of the float net, of raw rows, but for a few that are between two classes."""
    model, data, X, _ = trained(kind, "strings")
    mn.save_c(model, tmp_path / "m.c", precision="int8", arithmetic="int8", calibration=data.X_train)
    library, found = compiled(tmp_path), []
    names = (ctypes.c_char_p * 3).in_dll(library, "minnet_classes")
    given, work = np.zeros(X[0].size, np.int8), np.zeros(100_000, np.int32)
    for row in np.ascontiguousarray(model.signature.arranged(X), np.float32):
        library.minnet_quantise(*(array.ctypes.data_as(ctypes.c_void_p) for array in (row, given)))
        place = library.minnet_class(*(array.ctypes.data_as(ctypes.c_void_p) for array in (given, work)))
        found.append(names[place].decode())
    assert np.mean(np.array(found) == model.predict(X)) > 0.95


@pytest.mark.parametrize("k", [1, 3])
def test_an_onnx_file_gives_numbers_in_their_units(k, tmp_path):
    """ONNX Runtime gives what `predict` gives; reading the file gives the model with its signature."""
    runtime = pytest.importorskip("onnxruntime")
    model, data, X, y = fitted(k)
    for net in (model, mn.compact(pruned(model, data))):
        mn.save_onnx(net, tmp_path / "m.onnx")
        session = runtime.InferenceSession((tmp_path / "m.onnx").read_bytes())
        found, = session.run(None, {"input": X.astype(np.float32)})
        np.testing.assert_allclose(found / y.std(axis=0), net.predict(X).reshape(len(X), k) / y.std(axis=0), atol=1e-4)
        again = mn.load_onnx(tmp_path / "m.onnx")
        assert again.signature == net.signature and again.predict(X).tobytes() == net.predict(X).tobytes()


@pytest.mark.parametrize("spoil", ["scale", "node", "reader"])
def test_what_an_onnx_file_says_of_its_numbers_is_not_believed(spoil, tmp_path):
    """Where the graph does not end as the metadata say, it alone is believed, or refused as nothing that is read."""
    onnx = pytest.importorskip("onnx")
    model = fitted(3)[0]
    mn.save_onnx(model, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    if spoil == "scale":
        tensor, = (tensor for tensor in proto.graph.initializer if tensor.name == "minnet.target.scale")
        tensor.raw_data = np.ones(3, np.float32).tobytes()
    elif spoil == "node":
        proto.graph.node[-1].op_type = "Sub"
    else:
        proto.graph.node[-1].input[0] = proto.graph.node[-3].output[0]
    onnx.save(proto, tmp_path / "m.onnx")
    try:
        again = mn.load_onnx(tmp_path / "m.onnx")
    except mn.MinnetError:
        return
    assert again.signature is None or again.signature.target_scaling is None


@pytest.mark.parametrize("k", [1, 3])
def test_a_c_file_gives_numbers_in_their_units(k, tmp_path):
    model, _, X, y = fitted(k)
    mn.save_c(model, tmp_path / "m.c")
    assert "numbers in the units of the target" in (tmp_path / "m.c").read_text()
    library = compiled(tmp_path)
    output, work, found = np.zeros(k, np.float32), np.zeros(100_000, np.float32), []
    for row in X[:50].astype(np.float32):
        library.minnet_predict(*(array.ctypes.data_as(ctypes.c_void_p) for array in (row, output, work)))
        found.append(output.copy())
    spread = y.std(axis=0)
    np.testing.assert_allclose(np.array(found) / spread, model.predict(X[:50]).reshape(50, k) / spread, atol=1e-4)
