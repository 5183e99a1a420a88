"""Weights of eight bits in a model file, and Predictors in files: the same numbers, small, and nothing trusted."""
import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_freeze import PLANS, sparse_model
from test_own_layers import Scale
from trees import compiled_models, random_input, randomise

import minnet as mn
from minnet.engine.quantise import rounded
from minnet.engine.sparse import SparseDense
from minnet.errors import FileError, InvalidType, UnknownName
from minnet.formats.storage import describe, expected_bytes
from minnet.models import lenet_5


@settings(max_examples=15)
@given(data=st.data())
def test_a_file_holds_the_rounded_model(data, tmp_path_factory):
    """And so does a file of what is read from it; its size is known before."""
    model = data.draw(compiled_models(data.draw(st.sampled_from([np.float32, np.float64]))))
    path = tmp_path_factory.mktemp("saved") / "m.safetensors"
    mn.save(model, path, precision="int8")
    first, found = path.read_bytes(), mn.load(path)
    assert np.array_equal(found.values, rounded(model).values) and np.array_equal(found.mask, model.mask)
    assert len(first) == expected_bytes(model, precision="int8")
    mn.save(found, path, precision="int8")
    assert path.read_bytes() == first


def test_weights_are_integers_in_the_file(tmp_path):
    model = mn.models.lenet_300_100((784,), 10, rng=0)
    mn.save(model, tmp_path / "whole")
    mn.save(model, tmp_path / "small", precision="int8")
    stored = safetensors.numpy.load_file(tmp_path / "small")
    assert stored["dense1.weight"].dtype == np.int8 and stored["dense1.weight.scale"].shape == (300,)
    assert stored["dense1.bias"].dtype == np.float32
    assert (tmp_path / "small").stat().st_size < 0.26 * (tmp_path / "whole").stat().st_size
    about = describe(tmp_path / "small")
    assert (about["precision"], about["frozen"], about["format_version"]) == ("int8", None, 4)


def test_a_layer_born_sparse_is_stored_as_integers(tmp_path):
    model = randomise(mn.Model(mn.Sequential(SparseDense(9, live=60), mn.Dense(3)), (20,), rng=0),
                      np.random.default_rng(0))
    mn.save(model, tmp_path / "m", precision="int8")
    assert np.array_equal(mn.load(tmp_path / "m").values, rounded(model).values)


@pytest.mark.parametrize("precision", [None, "int8"])
@pytest.mark.parametrize("batch_size, plan", [(None, None), (1, "sparse"), (256, None), (None, PLANS[-1])])
def test_a_predictor_comes_back(tmp_path, precision, batch_size, plan):
    model = sparse_model(lenet_5, (28, 28, 1), 0.1)
    classes = [f"digit {i}" for i in range(10)]
    fast = mn.freeze(model, batch_size, plan, classes=classes, precision=precision)
    model.values[:] = 0  # the Predictor's is its own
    fast.save(tmp_path / "fast")
    back = mn.load_predictor(tmp_path / "fast")
    assert (back.plan, back.precision, back.nbytes) == (fast.plan, fast.precision, fast.nbytes)
    for rows in (1, 3, 300):
        X = random_input(model, rows)
        assert np.array_equal(back(X), fast(X)) and np.array_equal(back.predict(X), fast.predict(X))
    assert mn.load(tmp_path / "fast").sparsity == back._model.sparsity  # a model file too


def test_any_model_file_gives_a_predictor(tmp_path):
    model = sparse_model(share=0.1)
    X = random_input(model, 5)
    for precision in (None, "int8"):
        mn.save(model, tmp_path / "m", precision=precision)
        back = mn.load_predictor(tmp_path / "m")
        assert back.precision == (precision or "float32")
        assert np.allclose(back(X), mn.freeze(model, precision=precision)(X), rtol=1e-4, atol=1e-5)


def test_layers_of_ones_own(tmp_path):
    model = mn.Model(mn.Sequential(mn.Dense(5), Scale(), mn.Dense(3)), (4,), rng=0)
    fast = mn.freeze(model, precision="int8")
    fast.save(tmp_path / "fast")
    X = random_input(model, 4)
    assert np.array_equal(mn.load_predictor(tmp_path / "fast", layers={"Scale": Scale})(X), fast(X))
    with pytest.raises(FileError, match="Scale"):
        mn.load_predictor(tmp_path / "fast")


# --- what is refused -------------------------------------------------------------------------------------------------


def changed(path, change):
    """Write a model file again after `change(arrays, facts)`."""
    with safetensors.safe_open(path, "np") as file:
        facts = json.loads(file.metadata()["minnet"])
    arrays = {name: np.array(array) for name, array in safetensors.numpy.load_file(path).items()}
    change(arrays, facts)
    safetensors.numpy.save_file(arrays, path, {"minnet": json.dumps(facts)})


@pytest.mark.parametrize("change, words", [
    (lambda arrays, _: arrays["dense1.weight"].__setitem__((0, 0), -128), "-128"),
    (lambda arrays, _: arrays["dense1.weight.scale"].__setitem__(0, 0), "above 0"),
    (lambda arrays, _: arrays["dense1.weight.scale"].__setitem__(0, -1), "above 0"),
    (lambda arrays, _: arrays["dense1.weight.scale"].__setitem__(0, np.nan), "NaN or infinite"),
    (lambda arrays, _: arrays["dense1.weight.scale"].__setitem__(0, np.float32(3e38)), "NaN or infinite"),
    (lambda arrays, _: arrays.pop("dense1.weight.scale"), "I8 of shape"),
    (lambda arrays, _: arrays.update({"dense1.bias.scale": np.ones(5, np.float32)}), "belongs to no parameter"),
    (lambda arrays, _: arrays.update({"dense1.weight.scale": np.ones(4, np.float32)}), "shape"),
    (lambda arrays, _: arrays.update({"dense1.weight.scale": np.ones(5)}), "F64"),
    (lambda _, facts: facts.update(frozen=[]), "was made with"),
    (lambda _, facts: facts.update(frozen={"threads": 3}), "was made with"),
    (lambda _, facts: facts.update(frozen={"plan": ["fast"]}), "plan"),
    (lambda _, facts: facts.update(frozen={"plan": 3}), "plan"),
    (lambda _, facts: facts.update(frozen={"precision": "int2"}), "precision"),
    (lambda _, facts: facts.update(frozen={"batch_size": -1}), "batch_size"),
    (lambda _, facts: facts.update(frozen={"batch_size": True}), "batch_size"),
    (lambda _, facts: facts.update(frozen={"classes": [1, 2]}), "classes"),
    (lambda _, facts: facts.update(frozen={"classes": {"a": 1}}), "classes"),
    (lambda _, facts: facts.update(format_version=2), "frozen"),
])
def test_what_a_file_cannot_mean(tmp_path, change, words):
    model = mn.Model(mn.Sequential(mn.Dense(5), mn.ReLU(), mn.Dense(3)), (4,), rng=0)
    mn.save(model, tmp_path / "m", precision="int8")
    changed(tmp_path / "m", change)
    with pytest.raises(FileError, match=words) as caught:
        mn.load_predictor(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_wrong_arguments(tmp_path):
    model = mn.Model(mn.Sequential(mn.Dense(3)), (4,), rng=0)
    with pytest.raises(UnknownName, match="float32, int8"):
        mn.save(model, tmp_path / "m", precision="int4")
    with pytest.raises(InvalidType, match="its own `save`"):
        mn.save(mn.freeze(model), tmp_path / "m")
    step = next(iter(mn.train(model, (np.eye(4, dtype=np.float32), np.arange(4) % 3), rng=0)))
    with pytest.raises(InvalidType, match="state.model"):
        mn.save(step.state, tmp_path / "m", precision="int8")
    mn.save(step.state, tmp_path / "run")
    with pytest.raises(FileError, match="load_state"):
        mn.load_predictor(tmp_path / "run")
    assert not (tmp_path / "m").exists()
