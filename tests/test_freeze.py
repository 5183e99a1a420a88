"""A frozen net gives the model's logits, by whatever plan, for any number of rows, in any number of threads."""

import copy
import json
import os
import pickle
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import NETS, make
from trees import masked_models, random_input, randomise

from minnet import threads
from minnet.data import Signature
from minnet.engine.activations import LeakyReLU, ReLU
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import Layer
from minnet.engine.losses import softmax
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.engine.probabilities import log_softmax
from minnet.engine.sparse import SparseDense
from minnet.errors import InvalidType, InvalidValue, MinnetError, NotFinite, UnknownName, Unsupported
from minnet.kernels.program.ops import HALF, RUN
from minnet.model import Model
from minnet.models import lenet_5, lenet_300_100, resnet_8
from minnet.pruning.prune import prune
from minnet.runtime import emitter, passes, rates
from minnet.runtime import freeze as freezing
from minnet.runtime import graph as graphs
from minnet.runtime import predictor as predictors
from minnet.runtime import program as programs
from minnet.runtime.freeze import freeze
from minnet.runtime.graph import ActivationNode, AffineNode, GraphBuilder, LinearNode, PoolNode
from minnet.runtime.layout import Memory
from minnet.runtime.passes import graph
from minnet.runtime.plans import fastest_plan

ROUNDING = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-11}  # of the largest logit of the batch
PLANS = [None, "dense", "block", "n_m", "sparse", "dense/sparse", "sparse/block"]
ROWS = st.sampled_from([1, 2, 5, RUN - 1, RUN, RUN + 1, 2 * RUN + 7])


def assert_same_logits(predictor, model, X):
    """Equal up to rounding among numbers as large as the largest."""
    got, wanted = predictor(X), model(X)
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    assert np.abs(got - wanted).max(initial=0) <= ROUNDING[model.dtype] * np.abs(wanted).max(initial=1e-30)


def sparse_model(build=lenet_300_100, shape=(28 * 28,), share=0.1, dtype=np.float32):
    """A standard net of which so many weights live."""
    model, rng = build(shape, 10, rng=0, dtype=dtype), np.random.default_rng(0)
    randomise(model, rng)
    mask = np.ones(len(model.values), bool)
    mask[: model.n_weights] = rng.random(model.n_weights) < share
    model.set_mask(mask)
    return model


# --- raw rows --------------------------------------------------------------------------------------------------------


SCALINGS = {"divided by a power of two": (0, 16), "divided": (0, 255), "divided by 0.03": (0, -0.03),
            "shifted far": (1e5, 3), "by feature": (0, 5, "each"), "as given": (0, 1), "by 1e30": (0, 1e30)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scaling", SCALINGS)
@settings(max_examples=20)
@given(data=st.data())
def test_raw_rows_give_the_logits_of_scaled_ones(dtype, scaling, data):
    """However the program scales them: in its first weights, by a kernel before it, or not at all; in any dtype."""
    model, rng = data.draw(masked_models(dtype=dtype)), np.random.default_rng(data.draw(st.integers(0, 99)))
    shift, scale, *each = SCALINGS[scaling]
    if each:
        scale = rng.uniform(1, scale, model.input_shape)
    model.signature = Signature(model.input_shape, scaling=(shift, scale))
    rows = data.draw(ROWS)
    scaled = random_input(model, rows, 0).astype(np.float64)
    X = (scaled * scale + shift).astype(data.draw(st.sampled_from([dtype, np.float32, np.float64])))
    predictor = freeze(model, data.draw(st.sampled_from([None, 1])), data.draw(st.sampled_from([None, "sparse"])))
    assert_same_logits(predictor, model, X)
    assert_same_logits(predictor, model, np.asfortranarray(X))


def test_a_divisor_is_in_the_first_weights_only_where_they_alone_read_the_input():
    branches = [Sequential(Conv2d(2, 1)) for _ in range(3)]
    first = {"dense": [Dense(3)], "conv": [Conv2d(2, 3, padding="same"), Flatten(), Dense(3)],
             "flat": [Flatten(), Dense(3)], "two readers": [Concat(*branches[:2]), Flatten(), Dense(3)],
             "activation": [ReLU(), Flatten(), Dense(3)], "shortcut": [Residual(branches[2]), Flatten(), Dense(3)]}
    for name, layers in first.items():
        model = Model(Sequential(*layers), (4,) if name == "dense" else (4, 4, 2), rng=0)
        model.signature = Signature(model.input_shape, scaling=(0, 255))
        assert (freeze(model).scaling is None) == (name not in ("activation", "shortcut")), name


@pytest.mark.parametrize("weights", [None, "int8"])
def test_freezing_makes_the_graph_once(weights, monkeypatch):
    made = []
    monkeypatch.setattr(passes, "GraphBuilder", lambda model: made.append(model) or GraphBuilder(model))
    for scaling in (None, (0, 255), (3, 255)):
        model = sparse_model()
        model.signature = Signature(model.input_shape, scaling=scaling)
        made.clear()
        freeze(model, precision=weights)
        assert [copy.config() for copy in made] == [model.config()]


@pytest.mark.parametrize("scaling", [(0, 16), (1, 16)])
def test_numbers_that_are_not_finite_are_refused_in_any_dtype(scaling):
    model = lenet_300_100((4,), 3, rng=0)
    model.signature = Signature((4,), range(3), scaling)
    predictor = freeze(model)
    for bad in (np.nan, np.inf, -np.inf):
        for dtype in (np.float16, np.float32, np.float64):
            with pytest.raises(NotFinite, match="row 1"):
                predictor(np.array([[0] * 4, [0, 0, bad, 0]], dtype))
    with pytest.raises(NotFinite):
        predictor(np.array([[1e300] * 4]))


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=100)
@given(data=st.data())
def test_logits_are_the_models(dtype, data):
    model = data.draw(masked_models(dtype=dtype))
    predictor = freeze(model, data.draw(st.sampled_from([None, None, 1, 100, 128])), data.draw(st.sampled_from(PLANS)))
    assert_same_logits(predictor, model, random_input(model, data.draw(ROWS), data.draw(st.integers(0, 99))))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("share", [1.0, 0.3, 0.02, 0.0])
@pytest.mark.parametrize("build, shape", [(lenet_300_100, (784,)), (lenet_5, (28, 28, 1)), (resnet_8, (9, 8, 3))])
def test_logits_of_standard_nets(build, shape, share, plan):
    model = sparse_model(build, shape, share)
    predictor = freeze(model, plan=plan)
    for rows in (1, 3, RUN + 3):
        assert_same_logits(predictor, model, np.maximum(random_input(model, rows), 0))


@pytest.mark.parametrize("given_as", [
    lambda X: X.tolist(),
    lambda X: X.astype(np.float64),
    lambda X: np.asfortranarray(X),
    lambda X: np.concatenate([X, X], axis=1)[:, : X.shape[1]],
    lambda X: X[::-1][::-1],
    lambda X: X.astype(">f4"),
    lambda X: np.lib.stride_tricks.as_strided(X, writeable=False),
])
def test_any_numbers_are_taken(given_as):
    model = sparse_model(share=0.05)
    predictor, X = freeze(model), random_input(model, 3)
    np.testing.assert_array_equal(predictor(given_as(X)), predictor(X))


@pytest.mark.parametrize("weights", [None, "int8"])
@pytest.mark.parametrize("batch_size", [None, 1, 2, HALF + 1, RUN, RUN + 1, 2 * RUN, 1000])
@pytest.mark.parametrize("build, shape", [(lenet_300_100, (784,)), (lenet_5, (28, 28, 1))])
def test_no_rows(build, shape, batch_size, weights, monkeypatch):
    """Whichever programs there are, and where threads would share the work."""
    model, X = sparse_model(build, shape), np.empty((0, *shape), np.float32)
    for shared in (predictors.PARALLEL_SECONDS, 0):
        for module in (freezing, predictors):
            monkeypatch.setattr(module, "PARALLEL_SECONDS", shared)
        predictor = freeze(model, batch_size, precision=weights)
        assert_same_logits(predictor, model, X)
        assert predictor.predict(X).shape == (0,)
        assert predictor.predict_proba(X).shape == (0, 10)


def test_denormal_numbers():
    model = sparse_model(share=0.05)
    model.values *= np.float32(1e-20)
    assert_same_logits(freeze(model, plan="sparse"), model, random_input(model, 3) * np.float32(1e-20))


@pytest.mark.parametrize("rows", [1, 70])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(rows, bad):
    """Also where no live weight sees it."""
    model = sparse_model(share=0.0)
    X = random_input(model, rows)
    X[rows // 2, 7] = bad
    with pytest.raises(InvalidValue, match="NaN or infinite"):
        freeze(model)(X)


def test_numbers_whose_sum_overflows_are_finite():
    model = Model(Sequential(Dense(2)), (4,), rng=0)
    X = np.full((3, 4), 3e38, np.float32)
    model.values[:] = np.float32(0.125)
    assert_same_logits(freeze(model), model, X)


@pytest.mark.parametrize("X", [np.zeros((3, 783)), np.zeros(784), [["a"] * 784], np.zeros((2, 28, 28)), None])
def test_what_the_model_refuses_is_refused_in_its_words(X):
    model = sparse_model()
    with pytest.raises(MinnetError) as ours:
        freeze(model)(X)
    with pytest.raises(type(ours.value)) as models:
        model(X)
    assert str(ours.value) == str(models.value)


# --- frozen, repeatable, shared --------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_freezing_and_predicting_change_no_bit_of_the_model(net):
    model = make(net)
    before = model.values.tobytes(), model.mask.tobytes()
    predictor = freeze(model)
    X = random_input(model)
    wanted = predictor(X)
    assert (model.values.tobytes(), model.mask.tobytes()) == before
    model.values[:] = 0
    assert predictor(X).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("build, shape", [(lenet_300_100, (784,)), (lenet_5, (28, 28, 1))])
@pytest.mark.parametrize("plan", ["dense", "sparse"])
def test_two_threads_on_one_predictor_find_the_bits_of_one(build, shape, plan):
    model = sparse_model(build, shape)
    predictor, other = freeze(model, plan=plan), freeze(model, plan=plan)
    batches = [random_input(model, rows, rows) for rows in (1, 3, 65, 130)]
    wanted = [predictor(X).tobytes() for X in batches]

    def work(mine):
        return [[mine(X).tobytes() for X in batches] for _ in range(5)]

    results = threads.run([lambda: work(predictor), lambda: work(predictor), lambda: work(other)])
    assert all(found == wanted for result in results for found in result)


def test_many_threads_find_the_bits_of_one(monkeypatch):
    model = sparse_model(lenet_5, (28, 28, 1))
    monkeypatch.setattr(predictors, "PARALLEL_SECONDS", 0)
    predictor, X = freeze(model), random_input(model, 5 * RUN + 3)
    found = set()
    for number in ("1", "2", "3", "8"):
        monkeypatch.setenv("MINNET_NUM_THREADS", number)
        found.add(predictor(X).tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("build, shape", [(lenet_5, (28, 28, 1)), (resnet_8, (12, 12, 3))])
@pytest.mark.parametrize("plan", ["dense", "block", "sparse"])
def test_threads_that_share_a_tile_find_the_bits_of_one(build, shape, plan, monkeypatch):
    """Also when fewer come than its program was made for, and from within tasks of the pool."""
    model = sparse_model(build, shape)
    X, wanted = random_input(model, RUN - 1), freeze(model, RUN, plan=plan)
    monkeypatch.setattr(emitter, "PARALLEL_COPIES", 1)
    monkeypatch.setattr(programs, "COPIES_AT_ONCE", 10**5)  # in several calls
    monkeypatch.setattr(emitter, "COPIES_AT_ONCE", 10**5)   # and parts
    monkeypatch.setenv("MINNET_NUM_THREADS", "3")
    predictor = freeze(model, RUN, plan=plan)
    assert len(predictor.programs[RUN].task_lists) > 1
    for number in ("1", "2", "3", "8"):
        monkeypatch.setenv("MINNET_NUM_THREADS", number)
        results = threads.run(4 * [lambda: [predictor(X).tobytes() for _ in range(5)]])
        assert {found for result in results for found in result} == {wanted(X).tobytes()}


def test_two_threads_get_half_a_tile_each_where_every_layer_keeps_its_kernel(monkeypatch):
    """And where there is enough to do."""
    monkeypatch.setattr("minnet.runtime.freeze.machine_rates", rates.Rates)
    sparse, dense = (sparse_model(lenet_5, (28, 28, 1), share) for share in (0.05, 1.0))
    small = sparse_model(share=0.02)
    for number, model, batch_size, tile in [("2", sparse, RUN, HALF), ("2", sparse, HALF + 1, HALF),
                                            ("2", sparse, HALF, RUN), ("1", sparse, RUN, RUN), ("3", sparse, RUN, RUN),
                                            ("2", dense, RUN, RUN), ("2", small, RUN, RUN)]:
        monkeypatch.setenv("MINNET_NUM_THREADS", number)
        predictor = freeze(model, batch_size)
        assert list(predictor.programs) == [tile]
        for rows in (1, HALF, batch_size, 3 * RUN):
            assert_same_logits(predictor, model, random_input(model, rows))


IN_A_PROCESS = """
import hashlib
import sys
import numpy as np
import minnet as mn
from minnet.runtime import predictor
predictor.PARALLEL_SECONDS = 0
model = mn.models.lenet_5((28, 28, 1), 10, rng=0)
mn.prune(model, 0.9, criterion="magnitude")
X = np.random.default_rng(0).random((200, 28, 28, 1), np.float32)
fast = mn.freeze(model, plan=["block/sparse", "sparse", "n_m/sparse", "dense"])
print(hashlib.sha256(b"".join(fast(X[:rows]).tobytes() for rows in (1, 70, 200))).hexdigest())
"""


def test_two_processes_find_the_same_bits():
    """With one plan and one number of threads."""
    environment = dict(os.environ, MINNET_NUM_THREADS="2", PYTHONPATH=os.pathsep.join(sys.path))
    found = {subprocess.run([sys.executable, "-c", IN_A_PROCESS], env=environment, capture_output=True, text=True,
                            check=True).stdout for _ in range(2)}
    assert len(found) == 1


@pytest.mark.parametrize("build, shape", [(lenet_300_100, (784,)), (lenet_5, (28, 28, 1)), (resnet_8, (9, 8, 3))])
def test_one_row_is_one_compiled_call(build, shape, monkeypatch):
    model, calls = sparse_model(build, shape), []
    predictor, X = freeze(model), random_input(model, 1)
    wanted = predictor(X)
    place, name = (predictor, "entry") if predictor.row_shape else (programs, "run_program")
    run = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *arguments: calls.append(1) or run(*arguments))
    assert predictor(X).tobytes() == wanted.tobytes()
    assert calls == [1]


@pytest.mark.parametrize("shape", [(4,), (2, 2, 1)])
def test_a_predictor_that_is_pickled_or_copied_leaves_the_addresses_behind(shape):
    """They are another process's; where it is copied again, after a row of its own, too."""
    predictor = freeze(Model(Sequential(Flatten(), Dense(3), ReLU(), Dense(2)), shape, rng=0))
    X = np.random.default_rng(0).random((1, *shape), np.float32)
    wanted = predictor(X)
    assert predictor.row_shape == X.shape
    for copied in (pickle.loads(pickle.dumps(predictor)), copy.deepcopy(predictor)):
        assert copied.row_shape is None
        assert copied(X).tobytes() == copied(X).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("plan", ["dense", "sparse"])
def test_a_program_in_pieces_finds_the_bits_of_the_whole(plan, monkeypatch):
    """Large nets are done in several calls, so that Ctrl-C is heard."""
    model = sparse_model(lenet_5, (28, 28, 1))
    X = random_input(model, RUN + 2)
    wanted = freeze(model, plan=plan)(X)
    monkeypatch.setattr(programs, "MACS_AT_ONCE", 1000)
    predictor = freeze(model, plan=plan)
    assert all(len(program.calls) > 3 for program in predictor.programs.values())
    assert predictor(X).tobytes() == wanted.tobytes()


def test_large_images_go_one_by_one(monkeypatch):
    model = sparse_model(resnet_8, (9, 8, 3))
    monkeypatch.setattr(freezing, "TENSOR_BYTES", 1000)
    predictor = freeze(model)
    assert list(predictor.programs) == [1]
    assert_same_logits(predictor, model, random_input(model, 5))


# --- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_a_plan_survives_json_and_gives_the_same_bits(net):
    model = make(net)
    predictor = freeze(model)
    plan = json.loads(json.dumps(predictor.plan))
    again = freeze(model, plan=plan)
    assert again.plan == predictor.plan == plan
    assert len(plan) == len(model.weight_parameters)
    for rows in (1, RUN):
        X = random_input(model, rows)
        assert again(X).tobytes() == predictor(X).tobytes()


SPECIAL = {  # layers that not every kernel is for
    "depthwise": (Sequential(Conv2d(3, 1), ReLU(), DepthwiseConv2d(2, multiplier=2), Flatten(), Dense(3)), (4, 5, 2)),
    "groups": (Sequential(Conv2d(4, 1), ReLU(), Conv2d(6, 2, groups=2, dilation=2), Flatten(), Dense(3)), (4, 5, 2)),
    "born sparse": (Sequential(SparseDense(9, live=30), ReLU(), Dense(8), ReLU(), SparseDense(3, live=20)), (12,)),
    "no weights": (Sequential(ReLU()), (4,)),
}


@pytest.mark.parametrize("batch_size", [None, 1, HALF + 1, 1000])
@pytest.mark.parametrize("plan", [*PLANS, "n_m/block", "sparse/n_m"])
@pytest.mark.parametrize("net", SPECIAL)
def test_the_plan_says_which_kernel_each_layer_got(net, plan, batch_size, monkeypatch):
    """As the rows of an explanation say, in tiles and alone; and it is a plan, with the same kernels."""
    model = randomise(Model(*SPECIAL[net], rng=0), np.random.default_rng(0))
    for most in (freezing.TENSOR_BYTES, 1):  # with tiles, and without
        monkeypatch.setattr(freezing, "TENSOR_BYTES", most)
        predictor = freeze(model, batch_size, plan)
        rows = predictor.explain(random_input(model, 1)).rows[:-1]
        tiles = predictor.explain(random_input(model, RUN)).rows[:-1]
        assert [name.split("/")[0] for name in predictor.plan] == [row.kernel for row in rows]
        assert [name.split("/")[-1] for name in predictor.plan] == [row.kernel for row in tiles]
        assert batch_size or freeze(model, plan=predictor.plan).plan == predictor.plan
        assert str(predictor.plan) in repr(predictor)


def test_dense_where_it_is_dense_and_sparse_where_it_is_sparse():
    assert fastest_plan(graph(sparse_model(share=1.0)), rates.Rates()) == 3 * ["dense"]
    assert fastest_plan(graph(sparse_model(share=0.02)), rates.Rates()) == 3 * ["sparse"]


@pytest.mark.parametrize("structure, row, tile", [
    ("2:4", "dense", "dense"), ("1:4", "n_m", "sparse"), ("4x4", "block", "block"), ("weight", "sparse", "sparse")])
def test_a_structure_gets_its_kernel(structure, row, tile):
    """By rates that are no matter of the machine."""
    model = randomise(Model(Sequential(Dense(400), ReLU(), Dense(400)), (400,), rng=0), np.random.default_rng(0))
    prune(model, None if ":" in structure else 0.95, structure=structure, criterion="magnitude")
    plan = fastest_plan(graph(model), rates.Rates())
    assert plan == 2 * [row if row == tile else f"{row}/{tile}"]
    for rows in (1, RUN):
        assert_same_logits(freeze(model, plan=plan), model, random_input(model, rows))


def test_large_layers_take_the_fewest_bytes():
    """Whatever is read from memory is not computed."""
    model = randomise(Model(Sequential(Dense(1000)), (1000,), rng=0), np.random.default_rng(0))
    prune(model, structure="2:4", criterion="magnitude")
    assert fastest_plan(graph(model), rates.Rates(far=1e-8)) == ["n_m/dense"]


def test_a_batch_size_keeps_one_program(monkeypatch):
    """By the default rates: on a busy machine the measured ones let two threads share a tile."""
    monkeypatch.setattr("minnet.runtime.freeze.machine_rates", rates.Rates)
    model = sparse_model(share=0.05)
    for batch_size, tile in [(1, 1), (RUN, RUN), (256, 2 * RUN)]:
        predictor = freeze(model, batch_size)
        assert list(predictor.programs) == [tile]
        assert predictor.nbytes < freeze(model).nbytes
        for rows in (1, 3, 100, 300):
            assert_same_logits(predictor, model, random_input(model, rows))


@pytest.mark.parametrize("plan, error, words", [
    ("dence", InvalidValue, "dence"),
    (["dense"], InvalidValue, "has 1 name, .* has 3 layers with weights: dense1, dense2, dense3; give a name for each"),
    ([], InvalidValue, 'has 0 names, .* or one for all: plan="sparse"'),
    (["dense", "sparse", "dense/sparse/dense"], InvalidValue, "dense/sparse/dense"),
    (["dense", "sparse", ""], InvalidValue, "''"),
    (["dense", "sparse", None], InvalidType, "None"),
    (7, InvalidType, "7"),
])
def test_a_wrong_plan_is_refused(plan, error, words):
    with pytest.raises(error, match=words):
        freeze(sparse_model(), plan=plan)


@pytest.mark.parametrize("layers, words", [
    ([Dense(3)], "has 2 names, but the model has 1 layer with weights: dense1; give"),
    ([ReLU()], "has 2 names, but the model has 0 layers with weights; give"),
])
def test_a_plan_of_another_length_is_refused(layers, words):
    with pytest.raises(InvalidValue, match=words):
        freeze(Model(Sequential(*layers), (4,)), plan=["dense", "sparse"])


@pytest.mark.parametrize("batch_size, error", [(0, InvalidValue), (-1, InvalidValue), (2.0, InvalidType)])
def test_a_wrong_batch_size_is_refused(batch_size, error):
    with pytest.raises(error, match="batch_size"):
        freeze(sparse_model(), batch_size)


def test_a_sparse_net_takes_fewer_bytes():
    dense, sparse = sparse_model(share=1.0), sparse_model(share=0.05)
    for rows in (1, 256):
        assert freeze(sparse, rows, "sparse").nbytes < 0.15 * freeze(dense, rows, "dense").nbytes


def test_every_row_of_the_explanation():
    model = sparse_model(lenet_5, (28, 28, 1))
    predictor = freeze(model, plan=["sparse", "sparse", "dense", "dense"])
    for explanation, tile in [(predictor.explain(), RUN), (predictor.explain(np.zeros((1, 28, 28, 1))), 1)]:
        assert explanation.tile == tile
        assert [row.name for row in explanation.rows] == ["conv1", "conv2", "dense1", "dense2", "all else"]
        assert [row.kernel for row in explanation.rows[:4]] == predictor.plan
        assert np.isclose(sum(row.share for row in explanation.rows), 1)
        conv2, dense1 = explanation.rows[1:3]
        live = np.count_nonzero(model.parameters["conv2.weight"].value)
        assert conv2.flops == 2 * live * 64 and conv2.density == live / 25_000
        assert dense1.flops == 2 * 800 * 500 and dense1.nbytes >= 4 * 800 * 500
        assert "conv2" in str(explanation) and "share" in str(explanation)


@each("weights", [None, "int8"])
@each("batch_size", [None, 1, 1000])
@each("net", NETS)
def test_an_explanation_counts_all_bytes_of_numbers_and_indices(net, batch_size, weights):
    model = make(net, dtype=np.float32)
    predictor = freeze(model, batch_size, precision=weights)
    for rows in (1, RUN):
        explanation = predictor.explain(random_input(model, rows))
        program = predictor.programs[explanation.tile]
        wanted = program.index.nbytes + program.weights.nbytes + program.value.nbytes
        assert sum(row.nbytes for row in explanation.rows) == wanted


@pytest.mark.parametrize("batch_size", [None, 1, 1000])
def test_no_rows_have_no_time(batch_size):
    with pytest.raises(InvalidValue, match="a row or more"):
        freeze(sparse_model(), batch_size).explain(np.zeros((0, 784)))


# --- answers ---------------------------------------------------------------------------------------------------------


def test_predict_is_the_greatest_and_proba_the_softmax():
    model = sparse_model()
    predictor, X = freeze(model), random_input(model, 9)
    logits = model(X).astype(np.float64)
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predictor.predict_proba(X), wanted, rtol=1e-4)
    np.testing.assert_array_equal(predictor.predict(X), logits.argmax(axis=1))
    np.testing.assert_array_equal(predictor(X), predictor.decision_function(X))


def test_probabilities_of_large_logits_are_finite():
    model = Model(Sequential(Dense(3)), (2,), rng=0)
    model.values[:] = 1000
    np.testing.assert_allclose(freeze(model).predict_proba(np.ones((1, 2))), 1 / 3)


def test_logarithms_of_probabilities_are_finite_where_these_are_0():
    logits = np.array([[0.0, -2000.0, 3.0], [1e300, -1e300, 0.0], [-5.0, -5.0, -5.0]])
    found = log_softmax(logits)
    assert np.isfinite(found).all() and found[0, 1] == pytest.approx(-2003, rel=1e-3)
    np.testing.assert_allclose(np.exp(found), softmax(logits), rtol=1e-12)


def test_equal_logits_are_won_by_the_first_class():
    model = Model.blank(Sequential(Dense(3)), (2,))
    assert freeze(model).predict(np.ones((2, 2))).tolist() == [0, 0]


def test_classes_are_answered_where_they_are_given():
    model = sparse_model()
    labels = np.array(list("abcdefghij"))
    X = random_input(model, 20)
    assert freeze(model, classes=labels).predict(X).tolist() == labels[freeze(model).predict(X)].tolist()
    with pytest.raises(InvalidValue, match="a label for each logit"):
        freeze(model, classes=["a", "b"])


@pytest.mark.parametrize("call, error, words", [
    (lambda model: freeze(None), InvalidType, "freeze takes a Model, got None"),
    (lambda model: freeze("x"), InvalidType, "freeze takes a Model, got 'x'"),
    (lambda model: freeze(freeze(model)), InvalidType, "freeze takes a Model, got Predictor"),
    (lambda model: freeze(Dense(3)), InvalidType, "freeze takes a Model, got Dense"),
    (lambda model: freeze(model, classes=[[1], [2, 3], 3, 4, 5]), InvalidValue, "a label for each logit"),
    (lambda model: freeze(model, classes="abcdefghij"), InvalidValue, "a label for each logit"),
    (lambda model: freeze(model, weights=np.zeros(3)), UnknownName, "int8"),
    (lambda model: freeze(model, weights=["int8"]), UnknownName, "int8"),
])
def test_wrong_arguments_are_refused_in_one_line(call, error, words):
    with pytest.raises(error, match=words) as found:
        call(sparse_model())
    assert len(str(found.value).splitlines()) == 1


# --- the graph -------------------------------------------------------------------------------------------------------


def kinds(tree, shape):
    """The kinds of nodes that a tree becomes, and its pools that are part of a convolution."""
    nodes = graph(randomise(Model(tree, shape, rng=0), np.random.default_rng(0)))
    return [type(node) for node in nodes[1:]], [n.name for n in nodes if isinstance(n, LinearNode) and n.pooling]


def test_batch_norm_is_folded_where_nobody_else_sees_the_layer_before():
    assert kinds(Sequential(Dense(3), BatchNorm(), ReLU()), (4,))[0] == [LinearNode, ActivationNode]
    assert kinds(Sequential(Dense(3), ReLU(), BatchNorm()), (4,))[0] == [LinearNode, ActivationNode, AffineNode]


def test_a_rising_activation_waits_for_the_pool():
    conv, pool = Conv2d(2, 2), MaxPool2d(2)
    assert kinds(Sequential(conv, ReLU(), pool), (5, 5, 1)) == ([LinearNode, ActivationNode], ["conv1"])
    assert kinds(Sequential(conv, LeakyReLU(-0.5), pool), (5, 5, 1)) == ([LinearNode, ActivationNode, PoolNode], [])


@pytest.mark.parametrize("tree, shape", [
    (Sequential(Dense(3), BatchNorm(), Residual(Sequential(BatchNorm()))), (4,)),
    (Sequential(ReLU(), MaxPool2d(1), Concat(Sequential(), MaxPool2d(2, 1, "same"))), (2, 3, 2)),
    (Sequential(Conv2d(2, 1), MaxPool2d(1), Concat(Sequential(), MaxPool2d(2, 1, "same"))), (2, 3, 2)),
])
def test_what_two_read_after_a_change_is_changed_no_more(tree, shape):
    """A layer takes over the readers of what was folded into it."""
    model = randomise(Model(tree, shape, rng=0, dtype=np.float64), np.random.default_rng(0))
    assert_same_logits(freeze(model), model, random_input(model, 3))


@pytest.mark.parametrize("plan", PLANS)
def test_a_layer_born_sparse_is_never_made_dense(plan):
    tree = Sequential(SparseDense(2**20, live=50), ReLU(), SparseDense(2**20, live=2**18), SparseDense(3, live=1000))
    model = randomise(Model(tree, (4,), rng=0), np.random.default_rng(0))
    predictor = freeze(model, plan=plan)
    assert predictor.nbytes < 2**25
    assert_same_logits(predictor, model, random_input(model, 3))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("live", [0, 1, 20])
def test_a_norm_is_folded_into_a_layer_born_sparse(live, plan):
    """However few weights it has: also none."""
    tree = Sequential(SparseDense(7, live=live), BatchNorm(), ReLU(), SparseDense(5, live=live), BatchNorm(), Dense(3))
    model = Model(tree, (20,), rng=0)
    model.values[:] = np.random.default_rng(0).uniform(0.5, 1.5, len(model.values))  # a variance is above 0
    predictor, whole = freeze(model, plan=plan), freeze(model, plan=plan, precision="int8")
    for rows in (1, 3, RUN + 1):
        X = random_input(model, rows)
        assert_same_logits(predictor, model, X)
        assert np.isfinite(whole(X)).all()


def test_a_layer_that_is_not_known_is_named():
    class Odd(Layer):
        pass

    model = Model(Sequential(Dense(3)), (4,))
    with pytest.raises(Unsupported, match="Odd"):
        GraphBuilder(model).layer(Odd(), None)


def test_every_layer_of_the_engine_is_known():
    """Softmax and adaptive pools have no kernel: their forward runs between compiled parts."""
    from minnet.engine.layers import LAYERS

    assert set(LAYERS.values()) - set(graphs.TRACES) == {
        LAYERS[name] for name in ("Softmax", "AdaptiveAvgPool2d")}
    assert set(graphs.TRACES) <= set(LAYERS.values())


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=30))
def test_no_two_tensors_share_memory(wanted):
    memory, held = Memory(), []
    for size, give in wanted:
        if give and held:
            memory.free(held.pop(0)[0])
        start = memory.allocate(size)
        assert start + size <= memory.size
        assert all(start + size <= other or other + more <= start for other, more in held)
        held.append((start, size))


# --- rates -----------------------------------------------------------------------------------------------------------


def test_rates_are_kept_and_read_again(tmp_path):
    path = tmp_path / rates.FILE
    assert rates.read_rates(path) is None
    known = rates.Rates(dense=2e-11)
    rates.write_rates(path, known)
    assert rates.read_rates(path) == known


@pytest.mark.parametrize("content", [
    b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 4000, b" " * 5000, b'{"dense": 1e-11}',
    json.dumps(asdict(rates.Rates()) | {"more": 1e-11}).encode(),
    *[json.dumps(asdict(rates.Rates()) | {"sparse": bad}).encode() for bad in ("x", 1, 0.0, -1e-11, 1.0, None)],
    json.dumps(asdict(rates.Rates())).replace("3.2e-11", "NaN").encode(),
    json.dumps(asdict(rates.Rates())).replace("3.2e-11", "Infinity").encode(),
])
def test_a_damaged_file_of_rates_is_no_rates(content, tmp_path):
    path = tmp_path / rates.FILE
    path.write_bytes(content)
    assert rates.read_rates(path) is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    rates.write_rates(tmp_path / "missing" / rates.FILE, rates.Rates())
    assert not (tmp_path / "missing").exists()


def test_what_is_measured_are_rates():
    assert rates.checked(rates.measure()) is not None


def test_a_disturbed_measurement_does_not_count(monkeypatch):
    known = asdict(rates.Rates())
    passes = iter([known, {name: 7 * rate for name, rate in known.items()}, known | {"sparse": 1.0}])
    monkeypatch.setattr(rates, "measure", lambda: next(passes))
    assert rates.lowest(3) == known


def test_without_rates_there_are_defaults(monkeypatch):
    monkeypatch.setattr(rates, "code_folder", lambda folder: None)
    monkeypatch.setattr(rates, "measure", lambda: {"dense": float("nan")})
    assert rates.machine_rates.__wrapped__() == rates.Rates()
