"""Frozen nets whose weights are whole numbers of eight bits: what they compute, what they take, and what they cost."""
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_freeze import PLANS, ROUNDING, ROWS, assert_same_logits, sparse_model
from trees import compiled_models, random_input, randomise

import minnet as mn
from minnet.engine.quantise import INT8_MAX, int8_of, quantised_parameters, rounded
from minnet.engine.sparse import SparseDense
from minnet.errors import NotFinite, UnknownName
from minnet.models import lenet_5, lenet_300_100
from minnet.report.rows import comparison
from minnet.runtime.emit import emit
from minnet.runtime.freeze import freeze
from minnet.runtime.graph import LinearNode
from minnet.runtime.passes import graph
from minnet.runtime.plans import kernels_of
from minnet.study.job import Job
from minnet.study.settings import Settings


def dequantised(nodes):
    """The same nodes with floats again: scale * q."""
    for node in nodes:
        if isinstance(node, LinearNode):
            unit = (np.arange(len(node.entries)) if node.index is None else node.index) % node.units
            node.entries, node.scale = node.entries * node.scale[unit], None
    return nodes


def scale_by_hand(largest):
    """A 127th of each number, rounded up to 17 binary digits; 1 for 0."""
    scales = []
    for number in largest:
        unit = Fraction(2) ** (math.frexp(number / 127)[1] - 17)
        scales.append(float(math.ceil(Fraction(number) / 127 / unit) * unit) or 1.0)
    return np.array(scales)


def by_hand(model):
    """A copy of `model`, without BatchNorm, with each weight rounded to a 127th of its unit's largest."""
    copy = model.clone()
    for p in copy.weight_parameters:
        w = p.value.astype(np.float64).reshape(-1, p.shape[-1])
        scale = scale_by_hand(np.abs(w).max(axis=0))
        p.value[...] = (np.round(w / scale) * scale).reshape(p.shape)
    return copy


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("share", [1.0, 0.1, 0.0])
@pytest.mark.parametrize("build, shape", [(lenet_300_100, (784,)), (lenet_5, (28, 28, 1))])
def test_logits_are_those_of_the_rounded_model(build, shape, share, plan):
    model = sparse_model(build, shape, share)
    predictor, wanted = freeze(model, plan=plan, precision="int8"), by_hand(model)
    for rows in (1, 3, 70):
        assert_same_logits(predictor, wanted, np.maximum(random_input(model, rows), 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=50)
@given(data=st.data())
def test_whole_numbers_compute_what_their_floats_do(dtype, data):
    """For all kinds of layers; weights are rounded before BatchNorm is folded, which changes scales alone."""
    model, plan = data.draw(compiled_models(dtype)), data.draw(st.sampled_from(PLANS[1:]))
    predictor = freeze(model, plan=plan, precision="int8")
    X = random_input(model, data.draw(ROWS), 0)
    logits, rows = predictor(X), X.reshape(len(X), -1)
    tile = predictor.tile
    nodes = dequantised(graph(rounded(model), quantised=True))
    program = emit(nodes, kernels_of(predictor.plan, nodes, tile), tile, model.dtype)
    wanted = np.empty((len(X), program.outputs), dtype)
    program.run(rows, 0, len(X), program.workspace(), wanted)
    bound = ROUNDING[model.dtype] * np.abs(wanted).max(initial=1e-30)
    assert np.abs(logits.reshape(len(X), -1) - wanted).max(initial=0) <= bound


@settings(max_examples=50)
@given(model=compiled_models(np.float32))
def test_what_rounding_does(model):
    before = [node for node in graph(model) if isinstance(node, LinearNode)]
    after = [node for node in graph(model, quantised=True) if isinstance(node, LinearNode)]
    for exact, whole in zip(before, after, strict=True):
        q, scale = whole.entries, whole.scale[np.arange(len(whole.entries)) % whole.units]
        assert np.array_equal(q, np.rint(q)) and np.abs(q).max(initial=0) <= INT8_MAX
        assert not q[exact.entries == 0].any()
        assert np.all(np.abs(exact.entries - scale * q) <= 0.5001 * scale)


def test_halves_go_to_the_even_number():
    model = mn.Model(mn.Sequential(mn.Dense(1)), (4,), rng=0)
    model.values[:4] = 127, 0.5, 1.5, -2.5
    node = graph(model, quantised=True)[1]
    assert node.scale.tolist() == [1] and node.entries.tolist() == [127, 0, 2, -2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=20)
@given(data=st.data())
def test_rounding_twice_changes_nothing(dtype, data):
    """Each product of scale and whole number is exact, so files, frozen nets and exports have the same numbers."""
    model = data.draw(compiled_models(dtype))
    once = rounded(model)
    assert np.array_equal(rounded(once).values, once.values)
    for p, same in zip(quantised_parameters(model), quantised_parameters(once), strict=True):
        (q, scale), (again, scale_again) = int8_of(p), int8_of(same)
        assert np.array_equal(q, again)
        used = np.zeros(p.shape[-1], bool)
        used[np.unique(np.flatnonzero(q.reshape(-1)) % p.shape[-1] if p.index is None else
                       p.index[q != 0] % p.shape[-1])] = True
        assert np.array_equal(scale[used], scale_again[used])


def test_an_older_name():
    assert freeze(sparse_model(), weights="int8").precision == "int8"


def test_weights_too_small_for_a_scale():
    model = sparse_model(share=0.05)
    model.values *= np.float32(1e-44)
    assert np.isfinite(freeze(model, precision="int8")(random_input(model, 3))).all()


def test_a_layer_born_sparse():
    tree = mn.Sequential(SparseDense(50, live=400), mn.ReLU(), SparseDense(3, live=70))
    model = randomise(mn.Model(tree, (20,), rng=0), np.random.default_rng(0))
    wanted = model.clone()
    for p in wanted.weight_parameters:
        dense = np.zeros(p.shape)
        dense.reshape(-1)[p.index] = p.value
        scale = scale_by_hand(np.abs(dense).max(axis=0))
        unit = p.index % p.shape[-1]
        p.value[...] = np.round(p.value / scale[unit]) * scale[unit]
    for rows in (1, 70):
        assert_same_logits(freeze(model, precision="int8"), wanted, random_input(model, rows))


# --- what they take, and what it costs -------------------------------------------------------------------------------


def test_bytes():
    """A quarter of a dense net's, less than two thirds of a sparse one's, which says where each weight stands."""
    for share, plan, most in [(1.0, "dense", 0.27), (0.1, "sparse", 0.66)]:
        model = sparse_model(share=share)
        whole, floats = (freeze(model, 1, plan, precision=weights) for weights in ("int8", None))
        assert whole.nbytes < most * floats.nbytes
        assert sum(row.nbytes for row in whole.explain().rows) < most * sum(row.nbytes for row in floats.explain().rows)
        assert (whole.precision, floats.precision) == ("int8", "float32")


@pytest.mark.parametrize("weights", ["int4", "float16", 8, True])
def test_others_are_refused(weights):
    with pytest.raises(UnknownName, match="int8"):
        freeze(sparse_model(), precision=weights)
    with pytest.raises(UnknownName, match="int8"):
        Job(Settings(precision=weights))


def test_a_result_shows_what_rounding_costs():
    job = Job(Settings(epochs=2, sparsity=0.8, precision="int8"))
    for _ in job.run():
        pass
    result = job.measure()
    rows = {row.label: row for row in comparison(result)}
    for net in ("before", "after"):
        figures = result[net]
        assert abs(figures["accuracy_int8"] - figures["accuracy"]) < 0.02
        assert figures["bytes_frozen_int8"] < 0.8 * figures["bytes_frozen"]
    assert rows["accuracy, int8 weights"].after == f"{result['after']['accuracy_int8']:.2%}"
    assert "int8" in str(rows["bytes in memory, int8"])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_finite_rows_too_large_to_be_computed_with_are_refused_not_called_class_0(precision):
    fast = mn.freeze(mn.models.mlp((5,), 3, (4,), rng=0), precision=precision)
    X = np.ones((4, 5), np.float32)
    X[1] = 3.4e38
    slow = mn.models.mlp((5,), 3, (4,), rng=0)
    for call in (fast.predict, fast.predict_proba, fast.decision_function, slow, slow.predict, slow.predict_proba):
        with pytest.raises(NotFinite, match="^1 of 4 rows of X give logits that are NaN or infinite"):
            call(X)
    assert np.isfinite(fast(X[:1])).all()
