"""Small cases by hand, in NumPy alone, of lines that could be wrong without another test seeing it."""
import numpy as np
import pytest

import minnet as mn
from minnet.errors import InvalidValue
from minnet.pruning.parse import structure_of
from minnet.pruning.prune import prune
from minnet.pruning.rounds import stairs


def two_layers(*arrays):
    """Dense layers without biases, of these weights."""
    arrays = [np.array(array, np.float32) for array in arrays]
    layers = [mn.Dense(array.shape[1], use_bias=False) for array in arrays]
    model = mn.Model(mn.Sequential(*layers), (len(arrays[0]),), rng=0)
    model.values[:] = np.concatenate([array.ravel() for array in arrays])
    return model


def test_quality_takes_the_deviation_of_live_weights():
    """Half of the second layer is masked: as zeros in the deviation they would make its weights seem large."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 10)), rng.normal(3, 1, size=(10, 4))
    model = two_layers(first, second)
    mask = np.ones(80, bool)
    mask[40:60] = False
    model.set_mask(mask)
    spreads = first.std(), second.ravel()[20:].std()
    factors = np.concatenate([np.abs(first).ravel() / spreads[0], np.abs(second).ravel() / spreads[1]])
    order = [*range(40, 60), *(i for i in np.argsort(factors) if mask[i])]
    prune(model, count=40, distribution="quality")
    lost = [np.count_nonzero(~model.mask[part]) for part in (slice(40), slice(40, 80))]
    assert lost == [sum(i < 40 for i in order[:40]), sum(i >= 40 for i in order[:40])]


def test_uniform_plus_leaves_what_the_last_layer_has_lost():
    """More than the 80 % that it would take: the other layers lose the rest, and nothing is impossible."""
    model = two_layers(np.ones((2, 10)), np.ones((10, 10)), np.ones((10, 10)))
    mask = np.ones(220, bool)
    mask[120:210] = False
    model.set_mask(mask)
    prune(model, count=190, distribution="uniform_plus")
    lost = [np.count_nonzero(~model.mask[part]) for part in (slice(20), slice(20, 120), slice(120, 220))]
    assert lost == [0, 100, 90]


def test_a_unit_with_a_live_bias_is_not_gone():
    model = mn.models.mlp((3,), 2, (4,), rng=0)
    pieces = structure_of("neuron")(model, ["dense1"])
    mask = np.ones(len(model.mask), bool)
    model.parameters["dense1.weight"].of(mask)[:, :2] = False
    model.parameters["dense1.bias"].of(mask)[1] = False
    assert pieces.gone(mask).tolist() == [False, True, False, False]


def test_a_round_ends_where_its_share_of_the_way_is_rounded_down():
    """49 (1 / 49) is below 1 in floats."""
    for number in range(1, 120):
        steps = [(i + 1) / number for i in range(number)]
        assert [stairs(i / number, steps) for i in range(number + 1)] == [0.0, *steps]


def test_no_mask_cuts_a_statistic():
    model = mn.Model(mn.Sequential(mn.Dense(3), mn.BatchNorm()), (2,), rng=0)
    for place in range(len(model.mask)):
        mask = np.ones(len(model.mask), bool)
        mask[place] = False
        if place < model.n_trainable:
            model.set_mask(mask)
        else:
            with pytest.raises(InvalidValue, match="statistics"):
                model.set_mask(mask)


def run_of_one_weight(optimizer, steps=5):
    """The values of a weight w after each step on the loss (w x - 0)^2 / 2 of the row x = 1, whose gradient is w."""
    model = mn.Model(mn.Sequential(mn.Dense(1, use_bias=False)), (1,), rng=0, dtype=np.float64)
    model.values[:] = 1.0
    data = np.ones((1, 1)), np.zeros((1, 1))
    return [float(step.model.values[0]) for step in mn.train(model, data, loss="mse", optimizer=optimizer, epochs=steps,
                                                             rng=0)]


@pytest.mark.parametrize("decay, decoupled", [(0.0, False), (0.3, False), (0.3, True)])
@pytest.mark.parametrize("kind", ["adam", "sgd", "lion", "rmsprop"])
def test_steps_of_one_weight(kind, decay, decoupled):
    """The update rules as their papers have them; RMSprop without Adam's correction of the first steps."""
    lr, w, m, v, wanted = 0.1, 1.0, 0.0, 0.0, []
    slope = run_of_one_weight(mn.SGD(1e-3), 1)[0]  # of the loss at 1, whatever its factor is
    slope = (1.0 - slope) / 1e-3
    for t in range(1, 6):
        g = slope * w + (0.0 if decoupled else decay * w)
        w -= lr * decay * w * decoupled
        if kind == "adam":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w -= lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        elif kind == "sgd":
            m = 0.9 * m + g
            w -= lr * m
        elif kind == "lion":
            w, m = w - lr * np.sign(0.9 * m + 0.1 * g), 0.99 * m + 0.01 * g
        else:
            v = 0.9 * v + 0.1 * g * g
            w -= lr * g / (np.sqrt(v) + 1e-8)
        wanted.append(w)
    made = {"adam": mn.Adam, "sgd": mn.SGD, "lion": mn.Lion, "rmsprop": mn.RMSprop}[kind]
    more = {"sgd": {"momentum": 0.9}}.get(kind, {})
    found = run_of_one_weight(made(lr=lr, weight_decay=decay, decoupled=decoupled, **more))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_synflow_does_not_see_running_means():
    model = mn.Model(mn.Sequential(mn.Dense(3), mn.BatchNorm(), mn.ReLU(), mn.Dense(2)), (4,), rng=0)
    before = mn.criteria.synflow(model)
    model.parameters["batchnorm1.mean"].value[...] = [1.0, -2.0, 30.0]
    np.testing.assert_array_equal(mn.criteria.synflow(model), before)
    assert (before > 0).all()
