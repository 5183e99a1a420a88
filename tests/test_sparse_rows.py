"""Rows in CSR through every door: the same numbers as their toarray(), and memory in proportion to the nonzeros."""
import tracemalloc
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nets import bits
from scipy import sparse

import minnet as mn
from minnet.csr import SparseRows, as_csr
from minnet.data import SCALINGS, from_arrays, load_data
from minnet.errors import InvalidType, InvalidValue, NotFinite
from minnet.pruning import compensation
from minnet.pruning.criteria import CRITERIA, TRAITS

N, D, K = 90, 23, 3
LABELS = np.array(["b", "a", "c"])


@cache
def counts():
    """(dense rows, classes): most are zeros, some rows and columns have nothing else."""
    rng = np.random.default_rng(0)
    X = np.where(rng.random((N, D)) < 0.15, rng.integers(1, 9, (N, D)), 0)
    y = rng.integers(0, K, N)
    X[np.arange(N), y] += 3
    X[[4, 50]], X[:, [7, 20]] = 0, 0
    return X, y


def with_explicit_zeros(X):
    """A quarter of the zeros are stored."""
    stored = (X != 0) | (np.random.default_rng(1).random(X.shape) < 0.25)
    rows, columns = np.nonzero(stored)
    return sparse.coo_array((X[rows, columns], (rows, columns)), shape=X.shape).tocsr()


def unsorted(X):
    """The columns of each row, last to first."""
    found = sparse.csr_matrix(X)
    for start, stop in zip(found.indptr[:-1], found.indptr[1:], strict=True):
        found.indices[start:stop] = found.indices[start:stop][::-1].copy()
        found.data[start:stop] = found.data[start:stop][::-1].copy()
    found.has_sorted_indices = False
    return found


def duplicates(X):
    """Each number as two stored ones: itself less 1, and 1."""
    found = sparse.csr_matrix(X)
    return sparse.csr_matrix((np.stack([found.data - 1, np.ones_like(found.data)], axis=1).reshape(-1),
                              np.repeat(found.indices, 2), 2 * found.indptr), shape=X.shape)


def wide_indices(X):
    """Places in 64 bits, as of matrices with more than 2^31 nonzeros."""
    found = sparse.csr_array(X)
    found.indices, found.indptr = found.indices.astype(np.int64), found.indptr.astype(np.int64)
    return found


FORMS = {"csr_matrix": sparse.csr_matrix, "csr_array": sparse.csr_array, "csc": sparse.csc_array,
         "coo": sparse.coo_matrix, "lil": sparse.lil_matrix, "dok": sparse.dok_array, "bsr": sparse.bsr_array,
         "explicit zeros": with_explicit_zeros, "unsorted": unsorted, "duplicates": duplicates,
         "int64 indices": wide_indices, "bool": lambda X: sparse.csr_matrix(X > 0),
         "bytes": lambda X: sparse.csr_matrix(X.astype(np.uint8)),
         "float32": lambda X: sparse.csr_array(X.astype(np.float32) / 3),
         "float64": lambda X: sparse.csr_array(X / 3),
         "nothing": lambda X: sparse.csr_array(X.shape)}


def state_of(matrix):
    """What a caller can see of a sparse matrix."""
    return {name: (part.dtype.str, part.tobytes()) for name in ("data", "indices", "indptr", "row", "col")
            if isinstance(part := getattr(matrix, name, None), np.ndarray)}


def run(X, y, dtype=np.float64, hidden=(8,), **how):
    """(model, losses) of a few epochs."""
    model = mn.models.mlp((X.shape[1],), K, hidden=hidden, rng=0, dtype=dtype)
    losses = [step.loss for step in mn.train(model, (X, y), epochs=3, batch_size=16, rng=0, **how)]
    return model, losses


@pytest.mark.parametrize("form", FORMS)
def test_training_and_predictions_have_the_bits_of_dense_rows(form):
    X, y = FORMS[form](counts()[0]), counts()[1]
    before, dense = state_of(X), X.toarray()
    for dtype in (np.float32, np.float64):
        (got, losses), (wanted, same) = (run(rows, y, dtype, accelerate=False) for rows in (X, dense))
        assert losses == same and bits(got.values) == bits(wanted.values)
        np.testing.assert_allclose(got(X), got(dense), rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
        assert got.predict(X).tolist() == got.predict(dense).tolist()
    (got, losses), (wanted, same) = (run(rows, y) for rows in (X, dense))
    np.testing.assert_allclose(losses, same, rtol=1e-12)
    np.testing.assert_allclose(got.values, wanted.values, rtol=1e-12, atol=1e-14)
    assert state_of(X) == before, "the caller's matrix was changed"


@given(st.data())
def test_any_raw_csr_means_its_toarray(data):
    """Entries in any order, some twice, some zeros, in any dtype: the same rows; the caller keeps his arrays."""
    n, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 7))
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    indptr, total = np.cumsum([0, *sizes]), sum(sizes)
    indices = data.draw(hnp.arrays(data.draw(st.sampled_from([np.int32, np.int64])), total,
                                   elements=st.integers(0, d - 1)))
    kind = data.draw(st.sampled_from([np.int8, np.uint16, np.int64, np.float32, np.float64]))
    values = data.draw(hnp.arrays(kind, total, elements=st.integers(0, 12)))
    X = data.draw(st.sampled_from([sparse.csr_matrix, sparse.csr_array]))((values, indices, indptr), shape=(n, d))
    before, wanted = state_of(X), X.toarray()
    found = as_csr("X", X)
    assert found.has_canonical_format and (found.toarray() == wanted).all() and state_of(X) == before
    rows = SparseRows(found)
    chosen = data.draw(hnp.arrays(np.int64, st.integers(0, 8), elements=st.integers(0, n - 1)))
    assert len(rows) == n and bits(rows[chosen]) == bits(wanted[chosen]) and bits(rows[1:4]) == bits(wanted[1:4])
    assert bits(rows.take(chosen)[:]) == bits(wanted[chosen])


@pytest.mark.parametrize("form", FORMS)
def test_a_dataset_of_sparse_rows(form):
    """It holds CSR, in the same parts as of dense rows, with the same signature where each feature has a zero."""
    X, y = FORMS[form](counts()[0]), LABELS[counts()[1]]
    sparse_data, dense_data = (from_arrays(rows, y, rng=0) for rows in (X, X.toarray()))
    assert sparse_data.signature == dense_data.signature and repr(sparse_data) == repr(dense_data)
    for part in ("train", "valid", "test"):
        assert sparse.issparse(getattr(sparse_data, f"X_{part}"))
        found, codes = sparse_data.inputs(part, sparse_data.signature, np.float32)
        wanted, same = dense_data.inputs(part, dense_data.signature, np.float32)
        assert isinstance(found, SparseRows) and bits(found[:]) == bits(wanted) and (codes == same).all()
    assert bits(sparse_data.scaled(X).toarray()) == bits(dense_data.scaled(X.toarray()))


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scaling_keeps_zeros_or_is_an_error(scaling):
    """Negative numbers, and a feature without zeros: the largest sizes divide, a mean is never subtracted."""
    X = counts()[0] * np.where(np.arange(D) % 2, -1.5, 1)
    X[:, 3] = np.arange(N) + 5
    given = sparse.csr_array(X)
    if scaling == "standard":
        with pytest.raises(InvalidValue, match="scaling='unit' or 'max', or give X.toarray"):
            from_arrays(given, counts()[1], scaling=scaling)
        return
    data = from_arrays(given, counts()[1], scaling=scaling, rng=0)
    found = data.scaled(given)
    assert found.nnz == given.nnz
    if scaling != "none":
        assert np.abs(data.scaled(data.X_train).toarray()).max() == 1
        assert data.signature.scaling.scale.tolist() == from_arrays(
            X, counts()[1], scaling="max", rng=0).signature.scaling.scale.tolist()


def test_a_model_that_subtracts_refuses_sparse_rows():
    X, y = counts()
    data = from_arrays(X + 1.0, y, rng=0, scaling="standard")
    model = mn.models.mlp(data.shape, K, hidden=(8,), rng=0)
    for _ in mn.train(model, data, epochs=1, rng=0):
        pass
    for use in (model, model.predict, mn.freeze(model).predict, lambda X: mn.evaluate(model, X, y),
                lambda X: mn.load_data((X, y), model=model)):
        with pytest.raises(InvalidValue, match=r"sparse matrix.*subtracts.*X\.toarray\(\)") as error:
            use(sparse.csr_array(X))
        assert "\n" not in str(error.value)


def test_columns_in_another_order_are_taken_by_name():
    X, names = counts()[0], [f"word{i}" for i in range(D)]
    signature = replace(trained("sparse")[1].signature, feature_names=names)
    order = np.random.default_rng(3).permutation(D)
    with pytest.warns(UserWarning, match="another order"):
        found = signature.rows(sparse.csr_matrix(X[:, order]), np.float64, [names[i] for i in order])
    assert bits(found[:]) == bits(signature.rows(X, np.float64)) and found.matrix.has_sorted_indices
    with pytest.raises(InvalidValue, match="no columns 'word0'"):
        signature.rows(sparse.csr_matrix(X[:, 1:]), np.float64, names[1:])


def test_official_parts_may_be_sparse():
    """A test part by hand, dense or sparse, beside a sparse training part; a mapping with X and y."""
    X, y = counts()
    given = sparse.csr_matrix(X)
    for test in ((given[60:], y[60:]), (X[60:], y[60:])):
        data = load_data((given[:60], y[:60]), test=test, rng=0)
        assert data.X_test.toarray().tolist() == X[60:].tolist() and len(data.y_train) + len(data.y_valid) == 60
    data = load_data({"X": given, "y": y}, rng=0)
    assert data.X_train.shape[0] == len(data.y_train)


@cache
def trained(kind):
    """(model, data) of sparse or dense rows; the numbers differ by rounding at most."""
    X, y = counts()
    data = from_arrays(sparse.csr_array(X) if kind == "sparse" else X, LABELS[y], rng=0, dtype=np.float64)
    model = mn.models.mlp(data.shape, K, hidden=(8, 6), rng=0, dtype=np.float64)
    for _ in mn.early_stopping(mn.train(model, data, epochs=30, optimizer=mn.SGD(0.3, 0.9), rng=0), model, data):
        pass
    return model, data


def test_what_is_scored_and_predicted_is_the_same():
    (model, data), (other, dense) = trained("sparse"), trained("dense")
    np.testing.assert_allclose(model.values, other.values, rtol=1e-10, atol=1e-12)
    X = sparse.csr_matrix(counts()[0])
    assert (model.predict(X) == LABELS[counts()[1]]).mean() > 0.8
    for net in (model, mn.freeze(model), mn.freeze(model, 1), mn.freeze(model, 64), mn.freeze(model, plan="sparse")):
        for rows in (X, X[:1], X[4], X[:0], X[::2]):
            wanted = net(rows.toarray())
            np.testing.assert_allclose(net(rows), wanted, rtol=1e-6, atol=1e-9)
            assert net.predict(rows).tolist() == net.predict(rows.toarray()).tolist()
            np.testing.assert_allclose(net.predict_proba(rows), net.predict_proba(rows.toarray()), atol=1e-9)
        assert dict(mn.evaluate(net, data, intervals=False)).items() >= {
            "accuracy": mn.evaluate(net, dense, intervals=False).accuracy}.items()


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if TRAITS[name].needs == "data"])
def test_every_criterion_that_sees_data_takes_sparse_rows(criterion):
    (model, data), dense = trained("sparse"), trained("dense")[1]
    found = []
    for source in (data, dense, (data.X_train, data.y_train)):
        net = model.clone()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mn.prune(net, 0.5, criterion=criterion, data=source, rng=0, samples=40)
        found.append(bits(net.mask))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("recipe", ["gradual", "rigl", "force"])
def test_recipes_take_sparse_rows(recipe):
    masks = []
    for kind in ("sparse", "dense"):
        model, data = mn.models.mlp((D,), K, hidden=(8,), rng=0, dtype=np.float64), trained(kind)[1]
        for _ in getattr(mn.recipes, recipe)(model, data, 0.6, epochs=6, rng=0):
            pass
        masks.append(bits(model.mask))
    assert masks[0] == masks[1]


def compensated(name):
    """What is done after a pruning, as a function of (model, data)."""
    def change(model, data):
        before = model.values.copy()
        mn.prune(model, 0.5)
        getattr(compensation, name)(model, data, before, samples=40, rng=0)
        return model.values
    return change


OTHER_DOORS = {
    **{name: compensated(name) for name in ("mean_replacement", "least_squares", "obs_update")},
    "sensitivity": lambda model, data: mn.sensitivity(model, data, sparsities=(0.5, 0.9), rng=0).values,
    "compare_criteria": lambda model, data: [score.spearman for score in mn.compare_criteria(
        model, data, ["magnitude", "taylor"], samples=20, rng=0).scores],
    "cached": lambda model, data: mn.cached(mn.split(model, "dense2")[0], data).X_train,
    "mean loss": lambda model, data: np.array(mn.evaluate(model, data).loss),
}


@pytest.mark.parametrize("door", OTHER_DOORS)
def test_other_functions_that_take_data(door):
    model, found = trained("sparse")[0], []
    for kind in ("sparse", "dense"):
        found.append(OTHER_DOORS[door](model.clone(), trained(kind)[1]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_an_own_criterion_sees_rows_that_are_dense_by_the_batch():
    (model, data), seen = trained("sparse"), []

    def criterion(net, sample):
        assert isinstance(sample.X, SparseRows) and sample.X[:2].shape == (2, D)
        seen.append((net(sample.X).argmax(axis=1) == sample.y).mean())
        return np.abs(net.weights)

    mn.prune(model.clone(), 0.1, criterion=criterion, data=data, rng=0)
    assert seen[0] > 0.8


def damaged():
    found = sparse.csr_matrix(counts()[0].astype(float))
    found.indices[3] = D + 5
    return found


BAD = {
    "NaN": (lambda: sparse.csr_array(np.where(counts()[0] == 8, np.nan, counts()[0])), NotFinite, "NaN or infinite"),
    "infinity": (lambda: sparse.csr_matrix(np.where(counts()[0] == 8, np.inf, 0)), NotFinite, "the first in row"),
    "complex": (lambda: sparse.csr_matrix(counts()[0] * 1j), InvalidType, "complex128; wanted real numbers"),
    "too narrow": (lambda: sparse.csr_matrix(counts()[0][:, 1:]), InvalidValue, r"\(90, 22\); wanted \(n, 23\)"),
    "indices outside": (damaged, InvalidValue, "damaged sparse matrix"),
    "one axis": (lambda: sparse.coo_array(counts()[0][0]), InvalidValue, r"wanted \(n, d\)"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_is_said_in_one_line(bad):
    make, error, message = BAD[bad]
    model, y = mn.models.mlp((D,), K, hidden=(8,), rng=0), counts()[1]
    for use in (model, mn.freeze(model), lambda X: mn.train(model, (X, y), rng=0), trained("sparse")[0].predict,
                trained("sparse")[1].scaled):
        with pytest.raises(error, match=message) as raised:
            use(make())
        assert "\n" not in str(raised.value)


def test_images_are_not_sparse():
    conv = mn.Model(mn.Sequential(mn.Conv2d(2, 3), mn.ReLU(), mn.Flatten(), mn.Dense(K)), (5, 5, 1), rng=0)
    X = sparse.csr_array(np.eye(25))
    for use in (conv, mn.freeze(conv), lambda X: mn.train(conv, (X, np.arange(25) % 3), rng=0)):
        with pytest.raises(InvalidValue, match=r"X\.toarray\(\)\.reshape\(-1, 5, 5, 1\)") as error:
            use(X)
        assert "\n" not in str(error.value)


def wide():
    """20,000 rows of 50,000 features, which take 8 GB as float64; 20 nonzeros a row."""
    rng, n, d, each = np.random.default_rng(0), 20_000, 50_000, 20
    y = rng.integers(0, 2, n)
    indices = rng.integers(0, d - 10, (n, each))
    indices[:, 0] = d - 1 - y
    return sparse.csr_matrix((np.ones(n * each), indices.reshape(-1), np.arange(n + 1) * each), shape=(n, d)), y


def peak_of(work):
    """Bytes that `work` takes at most, beyond what is there."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def use(X, y, data):
    """Train, score, prune and predict."""
    model = mn.models.mlp(data.shape, 2, hidden=(4,), rng=0)
    for step in mn.train(model, data, epochs=1, batch_size=64, rng=0, optimizer="adam", every=1):
        if step.batch == 2:
            break
    assert mn.evaluate(model, data, intervals=False).accuracy >= 0
    mn.freeze(model).predict(X)
    mn.prune(model, 0.5, criterion="taylor", data=data, samples=512, rng=0)


def test_memory_is_that_of_the_nonzeros_and_a_batch():
    X, y = wide()
    use(X[:100], y[:100], from_arrays(X[:100], y[:100], rng=0))  # kernels are compiled before
    most = 20 * X.nnz * 8 + 10 * 4 * 200_000 + 3 * 2**25
    assert most < 20_000 * 50_000 / 4
    assert peak_of(lambda: use(X, y, from_arrays(X, y, rng=0))) < most


# --- frozen nets -----------------------------------------------------------------------------------------------------


FROZEN = {  # nets whose first layer reads nonzeros, and nets that make rows dense, some at a time
    "one layer": mn.Sequential(mn.Dense(K)),
    "no bias, BatchNorm": mn.Sequential(mn.Dense(9, use_bias=False), mn.BatchNorm(), mn.ReLU(), mn.Dense(K)),
    "Flatten first": mn.Sequential(mn.Flatten(), mn.Dense(9), mn.Tanh(), mn.Dropout(0.2), mn.Dense(K)),
    "born sparse": mn.Sequential(mn.SparseDense(9, 40), mn.ReLU(), mn.Dense(K)),
    "residual behind": mn.Sequential(mn.Dense(9), mn.Residual(mn.Sequential(mn.ReLU(), mn.Dense(9))), mn.Dense(K)),
    "two readers": mn.Sequential(mn.Residual(mn.Dense(6), shortcut=mn.Dense(6)), mn.ReLU(), mn.Dense(K)),
    "BatchNorm first": mn.Sequential(mn.BatchNorm(), mn.Dense(9), mn.ReLU(), mn.Dense(K)),
    "nothing to compile": mn.Sequential(mn.Dense(6), mn.Softmax(), mn.Dense(K)),
}
BY_NONZEROS = {"one layer", "no bias, BatchNorm", "Flatten first", "born sparse", "residual behind"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("net", FROZEN)
def test_every_frozen_net_takes_sparse_rows(net, dtype):
    X = sparse.csr_array(np.tile(counts()[0], (7, 1)))  # more rows than are predicted at a time
    model = mn.Model(FROZEN[net], (D,), rng=0, dtype=dtype)
    for _ in mn.train(model, (X, np.tile(counts()[1], 7)), epochs=1, rng=0, optimizer="adam"):
        pass
    for share in (0, 0.9):
        mn.prune(model, share)
        for how in ({}, {"batch_size": 1}, {"plan": "sparse"}, {"plan": "dense/sparse"}):
            fast = mn.freeze(model, **how)
            assert (fast.reader is not None) == (net in BY_NONZEROS)
            for rows in (X, X[:70], X[:5], X[:1], X[:0]):
                wanted = fast(rows.toarray())
                np.testing.assert_allclose(fast(rows), wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max(initial=1))
                assert fast.predict(rows).tolist() == fast.predict(rows.toarray()).tolist()


def test_a_frozen_net_keeps_its_weights_whatever_becomes_of_the_model():
    X, model = sparse.csr_array(counts()[0]), mn.models.mlp((D,), K, hidden=(8,), rng=0)
    fast = mn.freeze(model)
    wanted = fast(X.toarray())
    model.values[:] = 7
    np.testing.assert_allclose(fast(X), wanted, rtol=1e-5, atol=1e-6)
    rounded = mn.freeze(model, precision="int8")
    np.testing.assert_array_equal(rounded(X), rounded(X.toarray()))
    assert len(fast.explain(X).rows) == len(fast.explain(X.toarray()).rows)


def test_single_features_are_picked_from_sparse_rows():
    """A model that takes some inputs only, of whole rows in CSR and of those columns."""
    model, data = trained("sparse")
    small = mn.prune(model.clone(), 0.5, structure="input", criterion="wanda", data=data, rng=0).compact()
    X = sparse.csr_matrix(counts()[0])
    chosen = list(small.signature.selection.columns)
    for rows in (X, X[:, chosen], sparse.csc_array(X)):
        assert small.predict(rows).tolist() == small.predict(rows.toarray()).tolist()
        assert mn.freeze(small).predict(rows).tolist() == small.predict(rows.toarray()).tolist()
    with pytest.raises(InvalidValue, match="these rows whole"):
        small.predict(X[:, :-1])


def test_files_of_a_model_that_learnt_from_sparse_rows(tmp_path):
    """They scale rows as it does: zeros stay zeros."""
    model, X = trained("sparse")[0].clone(np.float32), sparse.csr_matrix(counts()[0])
    mn.save(model, tmp_path / "m.safetensors")
    mn.save_onnx(model, tmp_path / "m.onnx")
    for read in (mn.load(tmp_path / "m.safetensors"), mn.load_onnx(tmp_path / "m.onnx")):
        assert read.predict(X).tolist() == read.predict(X.toarray()).tolist() == model.predict(X).tolist()


# --- estimators ------------------------------------------------------------------------------------------------------


SMALL = {"hidden_layer_sizes": (8,), "max_iter": 8, "sparsity": 0.5, "random_state": 0, "batch_size": 16}


def fitted(make, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make().fit(X, y)


ESTIMATORS = {
    "classifier": lambda: mn.PrunedClassifier(**SMALL),
    "stopped early": lambda: mn.PrunedClassifier(**SMALL, early_stopping=True),
    "balanced": lambda: mn.PrunedClassifier(**SMALL, class_weight="balanced", criterion="taylor"),
    "regressor": lambda: mn.PrunedRegressor(**SMALL),
}


@pytest.mark.parametrize("form", ["csr_matrix", "csc", "unsorted", "duplicates", "int64 indices", "bytes", "float64"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_estimators_take_sparse_rows(kind, form):
    X, y = FORMS[form](counts()[0]), LABELS[counts()[1]] if kind != "regressor" else counts()[0].sum(axis=1) / 7
    before = state_of(X)
    got, wanted = (fitted(ESTIMATORS[kind], rows, y) for rows in (X, X.toarray()))
    np.testing.assert_allclose(got.model_.values, wanted.model_.values, rtol=1e-9, atol=1e-12)
    if kind == "regressor":
        np.testing.assert_allclose(got.predict(X), wanted.predict(X.toarray()), rtol=1e-9)
    else:
        assert got.predict(X).tolist() == wanted.predict(X.toarray()).tolist()
        np.testing.assert_allclose(got.predict_proba(X), wanted.predict_proba(X.toarray()), rtol=1e-9)
    assert state_of(X) == before


def test_partial_fit_and_images():
    X, y = sparse.csr_matrix(counts()[0].astype(float)), counts()[1]
    nets = [mn.PrunedClassifier(**SMALL) for _ in range(2)]
    for start in range(0, N, 30):
        for net, rows in zip(nets, (X, X.toarray()), strict=True):
            net.partial_fit(rows[start : start + 30], y[start : start + 30], classes=[0, 1, 2])
    np.testing.assert_allclose(nets[0].model_.values, nets[1].model_.values, rtol=1e-9, atol=1e-12)
    with pytest.raises(InvalidValue, match=r"rows of shape \(11, 2, 1\) are not sparse: give X.toarray"):
        mn.PrunedClassifier(**SMALL, image_shape=(11, 2)).fit(X[:, :22], y)


def test_words_in_a_pipeline():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    texts, labels = ["good fine day", "bad awful night", "nice good", "sad bad day"] * 10, [0, 1, 0, 1] * 10
    net = mn.PrunedClassifier(**{**SMALL, "max_iter": 60}, learning_rate_init=0.02)
    assert fitted(lambda: make_pipeline(TfidfVectorizer(), net), texts, labels).score(texts, labels) == 1


def test_features_are_selected_from_sparse_rows():
    """Features are scaled as by StandardScaler(with_mean=False), and those that matter are found."""
    X = counts()[0].astype(float)
    y = (X[:, 0] > 0).astype(int)
    selector = mn.SparsitySelector(3, random_state=0, max_iter=60).fit(sparse.csr_array(X), y)
    assert selector.get_support()[0] and selector.transform(sparse.csr_array(X)).shape == (N, 3)


def test_estimators_take_memory_of_the_nonzeros():
    X, y = wide()
    fitted(lambda: mn.PrunedClassifier(**{**SMALL, "hidden_layer_sizes": (4,)}), X[:200], y[:200])
    peak = peak_of(lambda: fitted(lambda: mn.PrunedClassifier(**{**SMALL, "hidden_layer_sizes": (4,), "max_iter": 1,
                                                                  "batch_size": 1000}), X, y).predict(X[:5000]))
    assert peak < 20 * X.nnz * 8 + 20 * 4 * 200_000 * 2


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_what_sparse_rows_need_is_counted(density):
    """Before the first of them the weights, of few live ones these alone; the programs once they are made."""
    model = mn.models.mlp((40,), 3, hidden=(30, 20), rng=0)
    mn.prune(model, 1 - density, rng=0)
    predictor = mn.freeze(model)
    own = sum(program.nbytes for program in predictor.programs.values())
    kept = predictor.nbytes - own
    assert 0 < kept < (0.5 if density < 0.5 else 1.2) * model.values.nbytes
    predictor.predict(sparse.csr_array(np.eye(40, dtype=np.float32)))
    assert predictor.nbytes > own + kept
