"""LayerNorm, GroupNorm and InstanceNorm under compaction: what is removed still counts, so that outputs are the same.

Values, gradients and second order are tested by their rows in layer_table.py, against PyTorch too.
"""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_graphs import Graph
from test_onnx import close, first, loaded, run
from trees import MASKS, random_input, random_mask, randomise

import minnet as mn
from minnet.errors import FileError, InvalidValue
from minnet.formats.onnx_write import onnx_bytes

TREES = {
    "rows": (mn.Sequential(mn.Dense(6), mn.LayerNorm(epsilon=0.1), mn.ReLU(), mn.Dense(4), mn.GroupNorm(2),
                           mn.Dense(3)), (5,)),
    "images": (mn.Sequential(mn.Conv2d(6, 2), mn.GroupNorm(3), mn.ReLU(), mn.Conv2d(6, 2, padding=1, groups=3),
                             mn.LayerNorm(), mn.GlobalAvgPool2d(), mn.Dense(3)), (4, 3, 2)),
    "branches": (mn.Sequential(mn.Conv2d(4, 1), mn.Residual(mn.Sequential(mn.LayerNorm(), mn.Conv2d(4, 1), mn.Tanh())),
                               mn.InstanceNorm(), mn.Conv2d(3, 2), mn.GroupNorm(1), mn.Flatten(), mn.LayerNorm(),
                               mn.Dense(2)), (3, 3, 2)),
}


def build(name, seed=0):
    tree, shape = TREES[name]
    return randomise(mn.Model(tree, shape, dtype=np.float64), np.random.default_rng(seed))


@settings(max_examples=25)
@given(st.sampled_from(sorted(TREES)), st.sets(st.sampled_from(MASKS), min_size=1), st.integers(0, 2**32 - 1))
def test_outputs_are_the_same_after_compaction(name, kinds, seed):
    """Whatever the mask cuts; and once more, of the smaller model, nothing is left to remove."""
    rng = np.random.default_rng(seed)
    model = build(name, seed)
    model.set_mask(random_mask(model, kinds, rng.choice([0.3, 0.6, 0.9]), rng))
    small, x = mn.compact(model), random_input(model)
    np.testing.assert_allclose(small(x), model(x), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(mn.expand(small, model)(x), model(x), rtol=1e-9, atol=1e-10)
    assert mn.compact(small).n_trainable == small.n_trainable


@pytest.mark.parametrize("name, layers", [("rows", ["dense1", "dense2"]), ("images", ["conv1", "conv2"])])
def test_a_pruned_unit_is_removed_and_goes_on_counting(name, layers):
    model = build(name)
    x = random_input(model)
    mn.prune(model, 0.5, structure="neuron" if name == "rows" else "filter", layers=layers,
             distribution="layerwise")
    small = mn.compact(model)
    np.testing.assert_allclose(small(x), model(x), rtol=1e-9, atol=1e-10)
    if name == "rows":
        assert (small.layers["dense1"].units, small.layers["layernorm1"].zeros) == (3, 3)
        assert (small.layers["dense2"].units, small.layers["groupnorm1"].zeros) == (2, 1)
    else:
        assert (small.layers["conv1"].filters, small.layers["groupnorm1"].zeros) == (3, 1)
        assert (small.layers["conv2"].filters, small.layers["layernorm1"].zeros) == (3, 3)


@pytest.mark.parametrize("name", TREES)
def test_written_as_onnx_and_read_again_with_what_was_removed(name, tmp_path):
    model = build(name).clone(np.float32)
    units = [layer.name for layer in model.layers.values() if layer.units_argument][:-1]
    if name == "branches":
        units = ["conv2", "conv3"]
    mn.prune(model, 0.5, structure="filter" if name != "rows" else "neuron", layers=units, distribution="layerwise")
    small, x = mn.compact(model), random_input(model)
    assert small.n_weights < model.n_weights
    data = onnx_bytes(small)
    close(run(data, first(x)), model(x))
    again = loaded(data, tmp_path)
    close(again(x), model(x))
    assert again.n_trainable == small.n_trainable


@pytest.mark.parametrize("change", [lambda mean, add: add.pop(), lambda mean, add: mean.pop()])
def test_a_malformed_spelling_is_refused(change, tmp_path):
    """LayerNorm in several nodes, of which one lacks an input."""
    graph = Graph((4,))
    less = graph("Sub", "x", graph("ReduceMean", "x", axes=[-1]))
    squares = graph("ReduceMean", graph("Mul", less, less), axes=[-1])
    end = graph("Div", less, graph("Sqrt", graph("Add", squares, graph.const(np.float32(1e-5)))))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    close(loaded(graph.bytes(end), tmp_path)(x), run(graph.bytes(end), x))
    change(*[node.input for node in graph.nodes if node.op_type in ("ReduceMean", "Add")][::2])
    with pytest.raises(FileError):
        loaded(graph.bytes(end), tmp_path)


def test_what_counts_in_moments_stays():
    """The unit is unread, but what it is moves the others."""
    model = build("rows")
    mask = model.mask.copy()
    model.parameters["dense2.weight"].of(mask)[0] = False
    model.set_mask(mask)
    assert mn.compact(model).layers["dense1"].units == 6
    x = random_input(model)
    moved = model.clone()
    moved.parameters["dense1.bias"].value[0] += 1
    assert not np.allclose(moved(x), model(x))
    model.parameters["dense1.weight"].of(mask)[:, 0] = False  # but not its bias
    model.set_mask(mask)
    assert mn.compact_report(model)["dense1"].stays == {"counts in the moments of layernorm1": 1}


def test_a_large_image_keeps_its_digits():
    """Sums of many numbers far from 0, in float32."""
    x = (50 + np.random.default_rng(0).normal(size=(2, 130, 100, 2))).astype(np.float32)
    model = mn.Model(mn.Sequential(mn.InstanceNorm()), x.shape[1:])
    wide = x.astype(np.float64)
    wanted = (wide - wide.mean((1, 2), keepdims=True)) / np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(model(x), wanted, atol=2e-5)


def test_refused():
    with pytest.raises(InvalidValue, match="groupnorm1 has 3 groups, but 4 channels come in"):
        mn.Model(mn.Sequential(mn.GroupNorm(3)), (2, 2, 4))
    with pytest.raises(InvalidValue, match="take LayerNorm for rows"):
        mn.Model(mn.Sequential(mn.InstanceNorm()), (4,))
