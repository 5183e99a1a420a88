"""Several labels a row: the indicator matrix, its metrics by scikit-learn's, the command line, the estimator."""
import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from sklearn import metrics
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier

import minnet as mn
from minnet.cli import main
from minnet.data import Signature, from_arrays
from minnet.engine.answers import Answers
from minnet.engine.metrics import describe
from minnet.engine.probabilities import log_sigmoid, probabilities, sigmoid
from minnet.errors import InvalidType, InvalidValue, MinnetError, NotFinite
from minnet.study import measure
from minnet.study.change import change

INDICATORS = hnp.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 5)), elements=st.integers(0, 1))
NAMES = ["red", "round", "new"]


def table(n=300, seed=0):
    """Rows of five columns, and whether each of three labels holds of a row."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5)) * [1, 100, 1, 1, 5]
    return X, np.column_stack([X[:, 0] > 0, X[:, 1] > 50, X[:, 2] + X[:, 3] > 0]).astype(int)


# --- the indicator matrix ---------------------------------------------------------------------------------------------


@given(INDICATORS, st.sampled_from(["i8", "u1", "f4", "f8", "?", ">f8"]), st.booleans())
def test_codes_and_predictions_are_each_others_inverse(Y, dtype, named):
    """A matrix of 0 and 1 in any dtype, dense, sparse or in lists, comes back from outputs that say it."""
    k = Y.shape[1]
    signature = Signature((2,), [f"label {i}" for i in range(k)] if named else None, task="multilabel")
    for same in (Y.astype(dtype), Y.astype(dtype).tolist(), sparse.csr_matrix(Y.astype("f8")), sparse.coo_array(Y)):
        codes = signature.codes(same)
        assert codes.dtype == bool and codes.shape == Y.shape
        np.testing.assert_array_equal(signature.predictions(np.where(codes, 0.25, -1.5)), Y)
    assert signature.predictions(np.zeros((1, k))).sum() == 0, "a probability of a half is no label"
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature
    assert signature.fits((2,), (k,)) and (not named or not signature.fits((2,), (k + 1,)))


@pytest.mark.parametrize(("y", "error", "words"), [
    ([[0, 2]], InvalidValue, "holds 2 in row 0, column 1; wanted 0 or 1"),
    ([[0, 0.5]], InvalidValue, "holds 0.5"), ([[1, -1]], InvalidValue, "holds -1"),
    ([["a", "b"]], InvalidType, "MultiLabelBinarizer"), ([[0.0, np.nan]], NotFinite, "NaN"),
    ([[1, 0, 1]], InvalidValue, "the model gives 2 labels: wanted"), ([0, 1], InvalidValue, "the model gives 2 labels"),
    (np.zeros((2, 2, 2)), InvalidValue, "wanted (n, k)"), (np.zeros((2, 0)), InvalidValue, "wanted (n, k)")])
def test_what_is_no_indicator_is_refused(y, error, words):
    with pytest.raises(error) as caught:
        Signature((2,), ["a", "b"], task="multilabel").codes(y)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-700, 700)))
def test_probabilities_of_labels(logits):
    """The sigmoid, right to the last digits in both tails; the softmax for classes."""
    np.testing.assert_allclose(sigmoid(logits), 1 / (1 + np.exp(-logits)), rtol=1e-12)
    np.testing.assert_allclose(sigmoid(logits) + sigmoid(-logits), 1, rtol=1e-12)
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0, 1]
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(np.exp(log_sigmoid(logits)), probabilities(logits, "multilabel"))
    np.testing.assert_allclose(probabilities(logits).sum(axis=1), 1)


def test_data_of_arrays():
    """Dense, sparse or one column; 0 and 1 without a task are asked about; what has another k is refused."""
    X, Y = table()
    data = from_arrays(X, Y, task="multilabel", rng=0)
    assert (data.n_classes, data.n_outputs, data.classes.tolist()) == (3, 3, [0, 1, 2]) and "3 labels" in repr(data)
    for given_ in (sparse.csr_matrix(Y), Y.astype(bool), Y.astype(float).tolist()):
        again = from_arrays(X, given_, task="multilabel", rng=0)
        assert again.y_train.dtype == np.int64 and (again.y_train == data.y_train).all()
    assert from_arrays(X, Y[:, 0], task="multilabel").y_test.shape == (60, 1)
    for bare in (Y, sparse.csr_matrix(Y)):
        with pytest.raises(InvalidValue, match="3 columns of 0 and 1.*multilabel.*regression.*argmax"):
            from_arrays(X, bare)
    with pytest.raises(InvalidValue, match=r"wanted \(n,\); from one-hot rows"):
        from_arrays(X, Y, task="classification")
    model = mn.models.mlp(data.shape, 3, hidden=(4,), rng=0)
    for _ in mn.train(model, data, epochs=1, rng=0):
        pass
    with pytest.raises(InvalidValue, match="the model gives 3 labels"):
        mn.load_data((X, Y[:, :2]), model=model)
    with pytest.raises(InvalidValue, match="the model has learnt multilabel"):
        mn.load_data((X, Y), model=model, task="regression")
    with pytest.raises(InvalidValue, match="0 or 1 for each label"):
        mn.freeze(model, classes=["a", "b", "c"])
    ended = mn.Model(mn.Sequential(mn.Dense(3), mn.Sigmoid()), data.shape, rng=0)
    with pytest.raises(InvalidValue, match="ends in a Sigmoid, and binary_cross_entropy takes logits"):
        next(mn.train(ended, data))
    for argument in ({"class_weight": "balanced"}, {"class_weight": {0: 2}}):
        with pytest.raises(InvalidValue, match="several labels a row: give sample_weight"):
            next(mn.train(model, data, **argument))
        with pytest.raises(InvalidValue, match="several labels a row: give sample_weight"):
            mn.evaluate(model, data, **argument)


# --- metrics ----------------------------------------------------------------------------------------------------------


def answered(k, seed=0, n=60, weighted=False):
    """Answers for random labels, some of which never occur, and outputs that often agree with them."""
    rng = np.random.default_rng(seed)
    Y = rng.random((n, k)) < np.linspace(0, 0.8, k)
    outputs = rng.normal(size=(n, k)) + 2 * Y - 1
    return Answers(outputs, Y, 0.5, rng.random(n), rng.integers(0, 3, n).astype(float) if weighted else None)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 5, 120])
def test_scores_are_scikit_learns(k, weighted):
    found = answered(k, weighted=weighted)
    scores, Y, guess = describe(found), found.targets, found.outputs > 0
    options = {"sample_weight": found.weights, "zero_division": 0}
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(Y, guess, sample_weight=found.weights))
    assert scores.hamming_loss == pytest.approx(metrics.hamming_loss(Y, guess, sample_weight=found.weights))
    assert scores.f1_micro == pytest.approx(metrics.f1_score(Y, guess, average="micro", **options))
    assert scores.f1_macro == pytest.approx(metrics.f1_score(Y, guess, average="macro", **options))
    wanted = metrics.precision_recall_fscore_support(Y, guess, **options)
    for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
        np.testing.assert_allclose(scores.per_class[name], values, err_msg=name)
    for name in ("accuracy", "hamming_loss", "f1_micro", "f1_macro", "loss"):
        low, high = scores.intervals[name]
        assert low <= scores[name] <= high
    assert scores.per_class.intervals.f1.shape == (k, 2) and "confusion" not in scores


def test_a_single_label_is_scored_as_a_label():
    """As scikit-learn's scores of the label itself, not of having it and of not having it."""
    found = answered(1, n=50)
    Y = np.random.default_rng(1).random((50, 1)) < 0.4
    found = Answers(found.outputs, Y, 0.5, found.losses)
    scores, guess = describe(found), found.outputs[:, 0] > 0
    assert scores.f1_micro == scores.f1_macro == pytest.approx(metrics.f1_score(Y[:, 0], guess))
    assert scores.per_class.recall.tolist() == pytest.approx([metrics.recall_score(Y[:, 0], guess)])
    assert scores.hamming_loss == pytest.approx(1 - scores.accuracy)


def test_what_pruning_changed():
    """Differences are those of the scores; flips are counted label by label, each with its row and number."""
    before, other = answered(3), answered(3, seed=1)
    after = Answers(other.outputs, before.targets, other.mean, other.losses)
    found = change(before, after)
    for name in ("accuracy", "hamming_loss", "f1_micro", "f1_macro"):
        assert found[name]["difference"] == pytest.approx(describe(after)[name] - describe(before)[name])
        low, high = found[name]["interval"]
        assert low <= found[name]["difference"] <= high
    old, new = ((a.outputs > 0) == a.targets for a in (before, after))
    lost = found["flips"]["right_to_wrong"]
    assert lost["per_class"].tolist() == (old & ~new).sum(axis=0).tolist()
    assert (old & ~new)[lost["rows"], lost["labels"]].all() and len(lost["rows"]) == lost["per_class"].sum()


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run a command in a folder with t.csv, whose labels are not beside each other, and t.npz."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "SECONDS", 0.0)
    X, Y = table()
    np.savetxt("t.csv", np.column_stack([Y[:, :1], X, Y[:, 1:]]), delimiter=",", comments="", fmt="%.10g",
               header="red,a,b,c,d,e,round,new")
    np.savez("t.npz", X=X, y=Y)

    def run(*argv, code=0):
        capsys.readouterr()
        assert main(list(argv)) == code
        return capsys.readouterr()
    return run


TARGETS = ["--task", "multilabel", *(word for name in NAMES for word in ("--target", name))]


@pytest.fixture
def pruned(command):
    return command("prune", "t.csv", *TARGETS, "--model", "mlp", "--sparsity", "0.5", "--epochs", "10", "--guard",
                   "f1_micro:0.5", "--precision", "int8", "--per-class", "--json")


def test_the_scores_before_and_after(command, pruned):
    """In result.json, on the terminal and in the report, with intervals, of each label too."""
    result = json.loads(pruned.out)
    assert result["task"] == "multilabel" and result["classes"] == NAMES
    assert "labels: columns 'red', 'round', 'new' (multilabel)" in pruned.err
    for net in ("before", "after"):
        figures = result[net]
        assert figures["accuracy"] > 0.5 and figures["hamming_loss"] < 0.2 and "accuracy_int8" in figures
        assert len(figures["per_class"]["f1"]) == len(figures["per_class"]["intervals"]["recall"]) == 3
        for name in ("accuracy", "hamming_loss", "f1_micro", "f1_macro", "loss"):
            low, high = figures["intervals"][name]
            assert low <= figures[name] <= high
    assert "subset accuracy" in result["words"] and set(result["change"]["flips"]) == {"right_to_wrong",
                                                                                       "wrong_to_right"}
    with open("minnet-out/report.html") as file:
        page = file.read()
    assert "Hamming loss" in page and "<h2>Labels</h2>" in page and "Confusion" not in page and "round" in page


def test_evaluate_and_predict_take_the_table_again(command, pruned):
    model, part = "minnet-out/model.safetensors", json.loads(pruned.out)["after"]
    tested = json.loads(command("evaluate", model, "--data", "t.csv", "--part", "test", "--json").out)
    assert all(tested[name] == pytest.approx(part[name], rel=1e-4) for name in ("accuracy", "hamming_loss", "loss"))
    X, Y = table()
    told = json.loads(command("predict", model, "t.csv", "--json").out)
    found = np.array(told["multilabel"])
    assert told["labels"] == NAMES and found.shape == Y.shape and mn.load(model).signature.target == tuple(NAMES)
    lines = command("predict", model, "t.csv").out.split()
    assert [[int(cell) for cell in line.split(",")] for line in lines] == found.tolist()
    whole = command("evaluate", model, "--data", "t.csv", "--per-class", "--json").out
    assert json.loads(whole)["accuracy"] == pytest.approx((found == Y).all(axis=1).mean())
    np.savetxt("new.csv", X[:5, ::-1], delimiter=",", comments="", fmt="%.10g", header="e,d,c,b,a")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns in another order
        assert json.loads(command("predict", model, "new.csv", "--json").out)["multilabel"] == found[:5].tolist()
    archive = json.loads(command("evaluate", model, "--data", "t.npz", "--json").out)
    assert archive["accuracy"] == pytest.approx((found == Y).all(axis=1).mean())
    again = command("prune", model, "--data", "t.csv", "--structure", "input", "--keep", "4", "--epochs", "2", "--out",
                    "less", "--json").out
    assert json.loads(again)["inputs"]["of"] == 5 and mn.load("less/model.safetensors").input_shape == (4,)
    assert len(json.loads(command("predict", "less/model.safetensors", "t.csv", "--json").out)["multilabel"]) == len(X)
    assert "label" in command("evaluate", model, "--data", "t.csv", "--per-class").out
    assert "n labels" in command("inspect", "t.csv", *TARGETS).out


@pytest.mark.parametrize(("argv", "code", "words"), [
    (["train", "t.csv", "--task", "multilabel"], 2, ["--target A --target B"]),
    (["train", "t.npz"], 2, ["3 columns of 0 and 1", "--task multilabel", "--task regression"]),
    (["train", "t.csv", "--task", "multilabel", "--target", "a", "--target", "red"], 2,
     ["columns 'a', 'red'", "0 or 1"]),
    (["prune", "t.csv", *TARGETS, "--guard", "r2:0.01"], 2, ["'r2'", "hamming_loss"]),
    (["prune", "t.csv", *TARGETS, "--model", "mlp", "--guard", "hamming_loss:0", "--structure", "1:8", "--criterion",
      "random", "--recipe", "one_shot", "--epochs", "1"], 1, ["within the guard", "hamming_loss changed from"]),
    (["train", "t.csv", *TARGETS, "--class-weight", "balanced", "--model", "mlp"], 2, ["several labels a row"]),
    (["train", "t.csv", *TARGETS[2:]], 2, ["3 columns of 0 and 1", "--task multilabel"])])
def test_one_line_leads_to_the_mend(command, argv, code, words):
    err = command(*argv, code=code).err
    lines = [line for line in err.splitlines() if line.startswith("minnet: ")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), err


def test_one_column_and_official_parts(command):
    """A single label that is named; an archive with parts of its own."""
    command("train", "t.csv", "--task", "multilabel", "--target", "new", "--ignore", "red", "--model", "mlp",
            "--epochs", "3")
    assert set(command("predict", "minnet-out/model.safetensors", "t.csv").out.split()) == {"0", "1"}
    X, Y = table()
    np.savez("p.npz", x_train=X[:200], y_train=Y[:200], x_test=X[200:], y_test=Y[200:])
    told = command("train", "p.npz", "--task", "multilabel", "--model", "mlp", "--epochs", "3", "--json").out
    assert json.loads(told)["samples"] == 100


@pytest.mark.parametrize("named", [False, True])
def test_a_net_from_elsewhere(command, named):
    """A net that ends in a Sigmoid, as others train it: imported it gives logits, and is pruned on the table."""
    pytest.importorskip("onnx")
    from onnx_graphs import Graph

    X, Y = table()
    shift, scale = X.mean(axis=0), X.std(axis=0)
    mlp = MLPClassifier((8,), max_iter=50, learning_rate_init=0.01, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit((X - shift) / scale, Y)
    first = mlp.coefs_[0] / scale[:, None]
    graph = Graph((5,))
    hidden = graph("Relu", graph("Gemm", "x", first.astype("f4"), (mlp.intercepts_[0] - shift @ first).astype("f4")))
    end = graph("Sigmoid", graph("Gemm", hidden, mlp.coefs_[1].astype("f4"), mlp.intercepts_[1].astype("f4")))
    with open("net.onnx", "wb") as file:
        file.write(graph.bytes(end))
    scored = json.loads(command("evaluate", "net.onnx", "--data", "t.csv", *TARGETS, "--json").out)
    assert scored["accuracy"] > 0.7 and mn.load_onnx("net.onnx").signature.task == "multilabel", "as the Sigmoid says"
    command("import", "net.onnx", "--task", "multilabel", *(["--classes", ",".join(NAMES)] if named else []))
    model = "minnet-out/model.safetensors"
    command("import", "net.onnx", "--task", "multilabel", "--classes", "1,2,3", "--out", "numbered")
    numbered = mn.load("numbered/model.safetensors").signature
    assert (numbered.classes.tolist(), numbered.target) == ([1, 2, 3], ("1", "2", "3"))
    wanted = mlp.predict((X - shift) / scale)
    assert (mn.load(model).predict(X) == wanted).mean() > 0.99
    more = [] if named else TARGETS[2:]
    scored = json.loads(command("evaluate", model, "--data", "t.csv", *more, "--json").out)
    assert scored["accuracy"] == pytest.approx((wanted == Y).all(axis=1).mean(), abs=0.02)
    done = json.loads(command("prune", model, "--data", "t.npz", "--sparsity", "0.05", "--epochs", "1", "--lr",
                              "1e-4", "--json").out)
    assert done["task"] == "multilabel" and done["after"]["f1_micro"] > 0.8


# --- the estimator ----------------------------------------------------------------------------------------------------

QUICK = {"hidden_layer_sizes": (20,), "max_iter": 60, "learning_rate_init": 0.02, "batch_size": 50, "random_state": 0}


@pytest.fixture(scope="module")
def rows():
    X, Y = table()
    return (X - X.mean(axis=0)) / X.std(axis=0), Y


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator(rows, tmp_path):
    """As MLPClassifier: an indicator out, probabilities of each label, the subset accuracy; sparse y is the same."""
    X, Y = rows
    net = mn.PrunedClassifier(sparsity=0.5, **QUICK).fit(X, Y)
    mlp = MLPClassifier(**QUICK).fit(X, Y)
    assert net.score(X, Y) > mlp.score(X, Y) - 0.05 and net.n_outputs_ == mlp.n_outputs_ == 3
    assert net.classes_.tolist() == mlp.classes_.tolist() and net.predict(X).dtype == mlp.predict(X).dtype
    assert net.predict(X).shape == net.predict_proba(X).shape == net.decision_function(X).shape == Y.shape
    np.testing.assert_array_equal(net.predict(X), net.predict_proba(X) > 0.5)
    np.testing.assert_allclose(np.exp(net.predict_log_proba(X)), net.predict_proba(X), rtol=1e-9)
    assert net.score(X, Y) == pytest.approx((net.predict(X) == Y).all(axis=1).mean())
    same = clone(net).fit(X, sparse.csr_matrix(Y))
    assert same.model_.values.tobytes() == net.model_.values.tobytes() and same.score(X, sparse.csr_matrix(Y)) > 0.5
    net.export(tmp_path / "m.safetensors")
    assert (mn.load(tmp_path / "m.safetensors").predict(X) == net.predict(X)).all()
    assert (mn.from_sklearn(net).predict(X) == net.predict(X)).all()
    twice = clone(net).fit(np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0))
    weighted = clone(net).set_params(batch_size=300, max_iter=3).fit(X, Y, sample_weight=np.full(len(X), 2.0))
    assert twice.score(X, Y) > 0.8 and weighted.n_iter_ == 3
    with pytest.raises(InvalidValue, match="several labels a row: give sample_weight"):
        clone(net).set_params(class_weight="balanced").fit(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_in_scikit_learns_tools(rows):
    X, Y = rows
    early = mn.PrunedClassifier(early_stopping=True, sparsity=0.3, **QUICK).fit(X, Y)
    assert 0.5 < early.best_validation_score_ <= 1
    search = GridSearchCV(mn.PrunedClassifier(**QUICK), {"sparsity": [0, 0.5]}, cv=2, scoring="f1_micro").fit(X, Y)
    assert search.best_score_ > 0.8
    display = mn.PruningCurveDisplay.from_estimator(early, X, Y, sparsities=[0.5, 0.9])
    assert display.score_name == "accuracy" and display.scores[0] == pytest.approx(early.score(X, Y))
    with pytest.raises(InvalidType, match="several labels a row, which have no classes to confuse"):
        mn.ConfusionPairsDisplay.from_estimator(early, X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_selector(rows):
    """The column that no label depends on is left out, in random halves too; sparse y is the same."""
    X, Y = rows
    found = [mn.SparsitySelector(n_features_to_select=4, stability=2, random_state=0).fit(X, same)
             for same in (Y, sparse.csr_matrix(Y))]
    assert found[0].get_support().tolist() == found[1].get_support().tolist() == [True, True, True, True, False]
    assert found[0].stability_.tolist() == found[1].stability_.tolist()


def test_an_estimator_that_learns_in_parts(rows):
    X, Y = rows
    for classes in ([0, 1], [0, 1, 2]):
        net = mn.PrunedClassifier(sparsity=0.5, prune_iter=4, **QUICK)
        for turn in range(8):
            net.partial_fit(X, Y, classes=None if turn else classes)
        assert net.classes_.tolist() == [0, 1, 2] and net.score(X, Y) > 0.5
    with pytest.raises(InvalidValue, match="y has one label a row"):
        net.partial_fit(X, Y[:, 0])
    with pytest.raises(MinnetError, match="wanted 0 ... 2"):
        mn.PrunedClassifier().partial_fit(X, Y, classes=["a", "b", "c"])
    with pytest.raises(MinnetError, match="wanted 0 ... 1"):
        net.partial_fit(X, Y[:, :2])
    with pytest.raises(InvalidValue, match="y has several labels a row"):
        mn.PrunedClassifier(**QUICK).partial_fit(X, Y[:, 0], classes=[0, 1]).partial_fit(X, Y)
