"""Every public function that takes rows is given rows of each odd kind: it computes what it does of plain ones, or
raises the error that the table names; what the caller gave keeps its bytes.

A public function that has no row here fails the first test.
"""
import types
import warnings
from contextlib import contextmanager

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
from each import each

import minnet as mn
from minnet.errors import Diverged, InvalidValue, MinnetError, NotFinite

N, FEATURES, CLASSES = 12, 4, 3
RNG = np.random.default_rng(0)
PLAIN = (RNG.integers(0, 9, size=(N, FEATURES)) / 8).astype(np.float32), np.arange(N) % CLASSES  # exact in float16


@contextmanager
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def net():
    return mn.models.mlp((FEATURES,), CLASSES, (3,), rng=0)


def trained(X, y):
    model = net()
    list(mn.train(model, (X, y), epochs=1, rng=0))
    return model.values


def fitted(kind, X, y):
    estimator = kind((3,), max_iter=2, random_state=0, sparsity=0.5, batch_size=6)
    with quiet():
        return estimator.fit(X, y).predict(X)


def scores_of(X, y):
    found = mn.evaluate(net(), X, y)
    return np.array([found.accuracy, found.loss])


def mask_of(X, y):
    model = net()
    mn.prune(model, 0.5, criterion="taylor", data=(X, y), rng=0)
    return model.mask


def loaded(X, y):
    found = mn.load_data((X, y), scaling="none", valid=0, test=0)
    return found.X_train


def selected(X, y):
    return mn.SparsitySelector(2, max_iter=2, random_state=0).fit(X, y).transform(X)


def through(wrap):
    """The values after a training whose steps a function passes on."""
    def call(X, y):
        model = net()
        list(wrap(mn.train(model, (X, y), epochs=1, rng=0), model))
        return model.values
    return call


def taught(X, y):
    model = net()
    list(mn.train(model, (X, y), epochs=1, rng=0, teacher=mn.Teacher(net())))
    return model.values


def attack(name, **settings):
    return lambda X, y: getattr(mn.attacks, name)(net(), X, y, **settings)


def adversarial(X, y):
    model = net()
    list(mn.adversarial_training(model, (X, y), epsilon=0.1, epochs=1, rng=0))
    return model.values


# every public function that takes rows: name -> what it makes of (X, y), as an array
CALLS = {
    "Model": lambda X, y: net()(X),
    "Model.predict": lambda X, y: net().predict(X),
    "Model.predict_proba": lambda X, y: net().predict_proba(X),
    "Predictor": lambda X, y: mn.freeze(net())(X),
    "Predictor.predict": lambda X, y: mn.freeze(net()).predict(X),
    "Predictor.predict_proba": lambda X, y: mn.freeze(net()).predict_proba(X),
    "load_data": loaded,
    "train": trained,
    "swa": through(lambda steps, model: mn.swa(steps, begin=0.0)),
    "ema": through(lambda steps, model: mn.ema(steps)),
    "fista": through(lambda steps, model: mn.fista(steps)),
    "Teacher": taught,
    "evaluate": scores_of,
    "prune": mask_of,
    "plan_prune": lambda X, y: np.array(mn.plan_prune(net(), 0.5, criterion="taylor", data=(X, y), rng=0).remaining),
    "PrunedClassifier": lambda X, y: fitted(mn.PrunedClassifier, X, y),
    "PrunedRegressor": lambda X, y: fitted(mn.PrunedRegressor, X, y),
    "SparsitySelector": selected,
    "compare_criteria": lambda X, y: np.array(mn.compare_criteria(
        net(), (X, y), ["taylor"], sparsities=(0.5,), rng=0).scores[0].overlap),
    "sensitivity": lambda X, y: np.array(mn.sensitivity(net(), (X, y), sparsities=(0.5,)).base),
    "robustness": lambda X, y: np.array(mn.robustness(net(), (X, y), attacks=["fgsm"], corruptions=[]).clean),
    "adversarial_training": adversarial,
    "latency_table": lambda X, y: np.array(mn.latency_table(net(), X, timer=lambda nets, batches: dict.fromkeys(
        nets, 1.0)).measured),
    "attacks.fgsm": attack("fgsm"), "attacks.pgd": attack("pgd", steps=2, rng=0),
    "attacks.pgd_l2": attack("pgd_l2", steps=2, rng=0),
    "attacks.deepfool": attack("deepfool", steps=2), "attacks.random_search": attack("random_search", steps=2, rng=0),
}
# those that take none: layers, optimizers, files, models, and what is made of these alone
TAKE_NO_ROWS = {
    "layers": """Activation ReLU LeakyReLU Tanh Sigmoid ReLU6 ELU SiLU Hardswish GELU Softmax SELU Softplus Mish
        Hardtanh HardSigmoid AdaptiveAvgPool2d PReLU Sequential Residual Concat Product Conv2d Dense DepthwiseConv2d
        Layer LayerNorm GroupNorm InstanceNorm BatchNorm Dropout Flatten MaxPool2d AvgPool2d GlobalAvgPool2d
        GlobalMaxPool2d SparseDense""",
    "optimizers and penalties": "SGD Lion RMSprop Adam AdamW Optimizer Penalty",
    "files": """save_c load_keras load_onnx save_onnx save load load_state load_torch save_torch load_predictor
        Checkpoint remember from_torch""",
    "models and runs": """freeze compact compact_report expand effective_sparsity split join State Tape Record words_of
        from_sklearn MinnetError""",
    "what is checked by a function above, first": """Dataset Sample cached early_stopping sweep ConfusionPairsDisplay
        MaskDisplay PruningCurveDisplay SensitivityDisplay""",
}


def test_every_public_name_has_a_row():
    classes = {name.partition(".")[0] for name in CALLS}
    listed = [name for names in TAKE_NO_ROWS.values() for name in names.split()]
    public = {name for name in mn.__all__ if not isinstance(getattr(mn, name), types.ModuleType)}
    assert public == (classes - {"attacks"}) | set(listed) and not classes & set(listed)
    assert {name for name in CALLS if name.startswith("attacks.")} == {f"attacks.{name}" for name in mn.attacks.ATTACKS}


# --- the kinds of rows -----------------------------------------------------------------------------------------------

SAME, ANY = "same", "any"  # what is computed is that of plain rows; it is finite, or a MinnetError


def holding(value):
    X = PLAIN[0].copy()
    X[3, 2] = value
    return X, PLAIN[1]


def rows(change):
    return lambda: (change(PLAIN[0]), PLAIN[1])


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def masked(cells):
    return lambda: (np.ma.MaskedArray(PLAIN[0].copy(), mask=np.arange(N * FEATURES).reshape(N, FEATURES) < cells),
                    PLAIN[1])


KINDS = {  # name -> (makes X and y, what becomes of them)
    "NaN": (lambda: holding(np.nan), NotFinite), "infinity": (lambda: holding(np.inf), NotFinite),
    "a column too few": (rows(lambda X: X[:, 1:]), InvalidValue),
    "one row as 1-D": (rows(lambda X: X[0]), InvalidValue),
    "three dimensions": (rows(lambda X: X[:, :, None, None]), InvalidValue),
    "objects that are numbers": (rows(lambda X: X.astype(object)), SAME),
    "objects that are none": (rows(lambda X: np.full(X.shape, None)), MinnetError),
    "text": (rows(lambda X: np.full(X.shape, "a")), MinnetError),
    "complex": (rows(lambda X: X + 1j), MinnetError),
    "no rows": (lambda: (PLAIN[0][:0], PLAIN[1][:0]), ANY), "one row": (lambda: (PLAIN[0][:1], PLAIN[1][:1]), ANY),
    "one class": (lambda: (PLAIN[0], PLAIN[1] * 0), ANY), "constants": (rows(np.ones_like), ANY),
    "1e30": (rows(lambda X: X * np.float32(1e30)), ANY), "denormals": (rows(lambda X: X * np.float32(1e-40)), ANY),
    "big-endian": (rows(lambda X: X.astype(">f4")), SAME), "float16": (rows(lambda X: X.astype(np.float16)), SAME),
    "float64": (rows(lambda X: X.astype(np.float64)), SAME), "read-only": (rows(read_only), SAME),
    "Fortran": (rows(np.asfortranarray), SAME), "reversed": (rows(lambda X: X[::-1].copy()[::-1]), SAME),
    "lists": (lambda: (PLAIN[0].tolist(), PLAIN[1].tolist()), SAME),
    "sparse": (rows(scipy.sparse.csr_array), ANY),
    "masked array, no mask": (masked(0), SAME), "masked array": (masked(2), MinnetError),
    "pandas": (lambda: (pandas.DataFrame(PLAIN[0], columns=list("abcd")), pandas.Series(PLAIN[1])), SAME),
    "polars": (lambda: (polars.DataFrame(PLAIN[0], schema=list("abcd")), polars.Series(PLAIN[1])), SAME),
}
FITTED = ("load_data", "PrunedClassifier", "PrunedRegressor", "SparsitySelector")  # any number of columns
OTHERWISE = {(name, "a column too few"): ANY for name in FITTED} | {  # (name, kind) -> what becomes of them there
    (name, kind): InvalidValue for name in FITTED for kind in ("NaN", "infinity")} | {
    ("load_data", "three dimensions"): ANY,  # images
}


def content(value):
    """The bytes of what the caller gave."""
    if scipy.sparse.issparse(value):
        return value.toarray().tobytes()
    if isinstance(value, np.ma.MaskedArray):
        return value.data.tobytes() + np.ma.getmaskarray(value).tobytes()
    array = np.asarray(value)
    return repr(array.tolist()) if array.dtype == object else array.tobytes()


@pytest.fixture(scope="module")
def plain():
    with quiet():
        return {name: np.asarray(call(*PLAIN)) for name, call in CALLS.items()}


@each("kind", KINDS)
@each("name", CALLS)
def test_rows_of_every_kind(name, kind, plain):
    make, wanted = KINDS[kind]
    wanted = OTHERWISE.get((name, kind), wanted)
    given = make()
    before = list(map(content, given))
    with quiet():
        try:
            found = np.asarray(CALLS[name](*given))
        except MinnetError as error:
            assert wanted is ANY or (isinstance(wanted, type) and isinstance(error, wanted)), f"{type(error)}: {error}"
            assert isinstance(error, ValueError | TypeError | Diverged), type(error)
            assert str(error).isprintable() or name in FITTED  # scikit-learn's words, with its lines
        else:
            assert wanted in (SAME, ANY), f"{found} instead of an error"
            assert found.dtype.kind not in "fc" or np.isfinite(found).all()
            if wanted == SAME:
                np.testing.assert_allclose(found.astype(float), plain[name].astype(float), rtol=1e-5, atol=1e-6)
    assert list(map(content, given)) == before
