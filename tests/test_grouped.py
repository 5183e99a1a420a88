"""Conv2d in groups and with dilation: what pruning by channels leaves, what is counted, and what takes other paths.

Gradients, second order, freezing, C and ONNX have it in their tables of layers, and in random trees.
"""
import numpy as np
import pytest

import minnet as mn
from minnet.engine.space import couple
from minnet.errors import InvalidValue, Unsupported
from minnet.fast.live_weights import has_sparse_form
from minnet.fast.rewrite import ConvPool, rewrite

SHAPE = (7, 6, 4)


def net(*after, **arguments):
    """A convolution in groups behind one without, and a head."""
    first, grouped = mn.Conv2d(8, 1), mn.Conv2d(12, 3, padding="same", groups=4, **arguments)
    return mn.Model(mn.Sequential(first, mn.ReLU(), grouped, mn.ReLU(), *after, mn.GlobalAvgPool2d(), mn.Dense(3)),
                    SHAPE, rng=0, dtype=np.float64)


def test_a_unit_has_a_channel_in_every_group():
    model = net()
    roots = couple(model).roots
    units = couple(model).outputs
    assert roots(units[model.layers["conv1"]]).reshape(4, 2).tolist() == 4 * [[4, 5]]
    assert len(set(roots(units[model.layers["conv2"]]).tolist())) == 3


@pytest.mark.parametrize("arguments", [{}, {"dilation": 2, "use_bias": False}])
def test_each_group_loses_as_many_channels(arguments):
    """And the rest is a convolution in groups, with the same outputs; all that is counted is what is left."""
    model = net(mn.Conv2d(8, 1, groups=2), **arguments)
    assert model.macs == 42 * (4 * 8 + 9 * 2 * 12 + 6 * 8) + 8 * 3
    mn.prune(model, 0.5, structure="filter", layers=["conv1", "conv2"])
    small = mn.compact(model)
    assert [small.layers[name].filters for name in ("conv1", "conv2", "conv3")] == [4, 8, 8]
    assert small.layers["conv2"].groups == 4 and small.parameters["conv2.weight"].shape == (3, 3, 1, 8)
    x = np.random.default_rng(0).normal(size=(3, *SHAPE))
    np.testing.assert_allclose(small(x), model(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(mn.freeze(small)(x), model(x), rtol=1e-10, atol=1e-12)
    assert small.macs == 42 * (4 * 4 + 9 * 8 + 4 * 8) + 8 * 3


def test_groups_must_divide():
    with pytest.raises(InvalidValue, match="conv2 has 3 groups, 8 channels that come in and 12 filters"):
        mn.Model(mn.Sequential(mn.Conv2d(8, 1), mn.Conv2d(12, 3, groups=3)), SHAPE)
    with pytest.raises(InvalidValue, match="spans 201 pixels"):
        mn.Model(mn.Sequential(mn.Conv2d(8, 3, padding="same", dilation=100)), SHAPE)


def test_kernels_for_plain_convolutions_leave_others_alone():
    for layer in (mn.Conv2d(4, 2, dilation=2), mn.Conv2d(4, 2, groups=2)):
        model = mn.Model(mn.Sequential(layer, mn.MaxPool2d(2)), SHAPE)
        assert not has_sparse_form(model.tree.layers[0]) and ConvPool not in map(type, rewrite(model.tree).layers)


def test_inputs_of_all_filters():
    model = net()
    tape = mn.Tape(model)
    model.forward(np.ones((1, *SHAPE)), tape)
    with pytest.raises(Unsupported, match="conv2 has 4 groups, whose filters see different channels"):
        model.layers["conv2"].unfolded_input(tape)
