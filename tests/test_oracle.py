"""The oracle against brute force: delete, evaluate again, subtract. Everything in float64."""
import numpy as np
import pytest

import minnet as mn
from minnet.engine.sample import draw_sample
from minnet.errors import InvalidValue
from minnet.pruning.criteria.ablation import oracle, shapley_with_error, unit_oracle
from minnet.pruning.criteria.first_order import taylor

TREES = {
    "rank one, two activations between": mn.Sequential(mn.Dense(5), mn.ReLU(), mn.Tanh(), mn.Dense(4), mn.ReLU(),
                                                       mn.Dense(3)),
    "batchnorm between": mn.Sequential(mn.Dense(5), mn.BatchNorm(), mn.ReLU(), mn.Dense(3)),
    "no bias": mn.Sequential(mn.Dense(4, use_bias=False), mn.Sigmoid(), mn.Dense(3, use_bias=False)),
    "residual": mn.Sequential(mn.Dense(4), mn.Residual(mn.Sequential(mn.Dense(4), mn.ReLU())), mn.Dense(3)),
    "projection": mn.Sequential(mn.Residual(mn.Dense(4), mn.Sequential(mn.Dense(4), mn.Tanh())), mn.Dense(3)),
    "concat": mn.Sequential(mn.Concat(mn.Dense(2), mn.Sequential(mn.Dense(3), mn.ReLU())), mn.Dense(3)),
}
IMAGES = mn.Sequential(mn.Conv2d(2, (3, 2), 2, "same"), mn.ReLU(), mn.MaxPool2d(2, 1), mn.Conv2d(3, 2, padding=1),
                       mn.Flatten(), mn.Dense(3))

DEPTHWISE = mn.Sequential(mn.DepthwiseConv2d((2, 3), 1, "same", multiplier=2), mn.ReLU(), mn.Flatten(), mn.Dense(3))


def problem(tree, shape, seed=0):
    """A model with some weights masked, running statistics away from 0 and 1, and a sample."""
    rng = np.random.default_rng(seed)
    model = mn.Model(tree, shape, rng=seed)
    model.values[model.n_weights :] += 0.3 * rng.random(len(model.values) - model.n_weights, np.float32)
    mask = model.mask.copy()
    mask[: model.n_weights] = rng.random(model.n_weights) > 0.2
    model.set_mask(mask)
    X = rng.normal(size=(7, *shape)).astype(np.float32)
    X[X < -0.5] = 0
    return model, draw_sample(model, (X, rng.integers(0, 3, 7)), rng=0)


def loss(model, sample, values):
    """The mean loss at other values, by the plain forward pass of a float64 copy."""
    logits = model(sample.X.astype(np.float64), values)
    return sample.loss(logits, sample.y)


def brute_force(model, sample, groups):
    """The change of the loss when the entries of each group are 0."""
    values = model.values.astype(np.float64)
    changes = []
    for group in groups:
        without = values.copy()
        without[group] = 0
        changes.append(loss(model, sample, without) - loss(model, sample, values))
    return np.array(changes)


@pytest.mark.parametrize("tree, shape", [*((tree, (6,)) for tree in TREES.values()), (IMAGES, (5, 4, 2)),
                                         (DEPTHWISE, (4, 3, 2))], ids=[*TREES, "images", "depthwise"])
def test_oracle_is_brute_force_deletion(tree, shape):
    model, sample = problem(tree, shape)
    scores = oracle(model, sample)
    assert scores.dtype == np.float64 and scores.shape == (model.n_weights,)
    np.testing.assert_allclose(scores, brute_force(model, sample, range(model.n_weights)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_taylor_tends_to_the_size_of_the_oracle(tree):
    """With the one weight at eps w, and the gradient taken there, they differ by O(eps^2): half of it, a quarter."""
    model, sample = mn.Model(tree, (6,), rng=0, dtype=np.float64), problem(tree, (6,))[1]
    sample = draw_sample(model, (sample.X, sample.y), rng=0)
    sizes = np.abs(taylor(model, sample))
    for i in np.argsort(-sizes)[:3]:
        w, errors = model.values[i], []
        for eps in (2e-3, 1e-3):
            model.values[i] = eps * w
            errors.append(abs(taylor(model, sample)[i] - abs(oracle(model, sample)[i])))
        model.values[i] = w
        assert errors[1] < 1e-3 * eps * sizes.max()
        np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.05)


def test_unit_oracle_deletes_a_unit_whole():
    model, sample = problem(TREES["batchnorm between"], (6,))
    dense, norm = model.layers["dense1"], model.layers["batchnorm1"]
    groups = []
    for unit in range(5):
        group = np.zeros(len(model.values), bool)
        for parameter in (dense.weight, dense.bias, norm.gain, norm.shift):
            parameter.of(group)[..., unit] = True
        groups.append(group)
    scores = unit_oracle(model, sample)
    of_units = dense.weight.of(scores)
    np.testing.assert_allclose(of_units, np.tile(brute_force(model, sample, groups), (6, 1)), rtol=0, atol=1e-13)
    assert np.isposinf(model.layers["dense2"].weight.of(scores)).all()


def test_shapley_values_add_up_to_the_loss_of_everything():
    """Efficiency: whatever the orders, contributions sum to L(no units) - L(all), and the error is that of a mean."""
    model, sample = problem(TREES["rank one, two activations between"], (6,))
    scores, errors = shapley_with_error(model, sample, permutations=6)
    units = np.concatenate([model.layers[name].weight.of(scores)[0] for name in ("dense1", "dense2")])
    places, hidden = np.arange(len(model.values)), [model.layers[name] for name in ("dense1", "dense2")]
    nothing = np.concatenate([places[p.slice] for layer in hidden for p in (layer.weight, layer.bias)])
    np.testing.assert_allclose(units.sum(), brute_force(model, sample, [nothing])[0], rtol=1e-12)
    of_units = np.concatenate([model.layers[name].weight.of(errors)[0] for name in ("dense1", "dense2")])
    assert (of_units >= 0).all() and of_units.max() > 0


def test_what_it_cannot_judge_is_said():
    model = mn.Model(mn.Dense(3), (4,), rng=0)
    data = (np.ones((4, 4), np.float32), np.array([0, 1, 2, 0]))
    with pytest.raises(InvalidValue, match="no unit that can be removed"):
        unit_oracle(model, data)
