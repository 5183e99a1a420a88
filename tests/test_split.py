"""A model in two halves computes what it computed whole."""
import numpy as np
import pytest

import minnet as mn
from minnet.engine.split import cached, join, split
from minnet.errors import InvalidValue, UnknownName


@pytest.fixture
def whole():
    model = mn.models.small_conv((8, 8, 1), 10, rng=0)
    mask = model.mask.copy()
    mask[: model.n_weights] = np.random.default_rng(0).random(model.n_weights) > 0.3
    model.set_mask(mask)
    return model


@pytest.mark.parametrize("last", ["conv1", "max_pool1", "flatten1", "relu3"])
def test_halves_compute_what_the_whole_does_and_join_to_its_bits(whole, last):
    data = mn.load_data("digits", rng=0)
    base, head = split(whole, last)
    np.testing.assert_array_equal(head(base(data.X_test)), whole(data.X_test))
    again = join(base, head)
    assert again.values.tobytes() == whole.values.tobytes() and again.mask.tobytes() == whole.mask.tobytes()
    assert base.n_weights + head.n_weights == whole.n_weights


def test_cached_features_are_the_outputs_and_the_head_learns_from_them(whole):
    data = mn.load_data("digits", rng=0)
    base, head = split(whole, "max_pool2")
    features = cached(base, data)
    assert features.shape == base.output_shape == features.X_train.shape[1:]
    np.testing.assert_array_equal(features.X_valid, base(data.X_valid))
    frozen = base.values.tobytes()
    for _ in mn.train(head, features, optimizer=mn.SGD(0.1, momentum=0.9), epochs=3, rng=0):
        pass
    model = join(base, head)
    assert base.values.tobytes() == frozen
    np.testing.assert_array_equal(model(data.X_test), head(features.X_test))
    assert mn.evaluate(model, data.X_test, data.y_test).accuracy > 0.5


def test_a_split_that_cannot_be_is_refused(whole):
    with pytest.raises(UnknownName, match=r"'conv9'.*conv1"):
        split(whole, "conv9")
    with pytest.raises(InvalidValue, match="dense2 is the last layer"):
        split(whole, "dense2")
    base, head = split(whole, "relu3")
    with pytest.raises(InvalidValue, match="head takes"):
        join(head, base)
