"""Spaces against brute force: perturb one unit, and see which inputs of which layers move.

The declared coupling must say exactly what moves: a position too many, and compaction breaks; one too few, and it
keeps what could go.
"""
import numpy as np
import pytest
from cutting import build, with_tanh
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trees import models, random_input, randomise, seen

import minnet as mn
from minnet.engine.layer import layer_from_config
from minnet.engine.layers import LAYERS
from minnet.engine.space import Coupling, concat, join

STATISTICS = ("mean", "variance")
LEARNT_AXES = {"weight": {-1, -2}, "bias": {-1}, "gain": {-1}, "shift": {-1}, "mean": {-1}, "variance": {-1}}


def new_space(size):
    return Coupling().new(size)


def space_after(layer, shape):
    """(Space of the input, Space of the output) of one layer in a model of its own."""
    model, coupling = mn.Model(mn.Sequential(layer), shape, rng=0), Coupling()
    space = coupling.new(shape[-1])
    return space, model.tree.couple(space)


# --- the four operations ---------------------------------------------------------------------------------------------


def test_tile_and_repeat():
    space = new_space(3)
    assert space.tile(2).units.tolist() == [0, 1, 2, 0, 1, 2]
    assert space.repeat(2).units.tolist() == [0, 0, 1, 1, 2, 2]


def test_join_makes_units_one_and_concat_keeps_them_apart():
    coupling = Coupling()
    a, b, c = coupling.new(2), coupling.new(2), coupling.new(1)
    assert join(a, b) is a
    assert coupling.roots(b.units).tolist() == coupling.roots(a.units).tolist() == [0, 1]
    assert concat(a, c).units.tolist() == [0, 1, 4]
    assert coupling.roots(concat(b, c).units).tolist() == [0, 1, 4]


def test_lengths_that_do_not_fit_are_refused():
    weight = build(mn.Dense(3), shape=(4,)).parameters["dense1.weight"]
    with pytest.raises(mn.MinnetError, match=r"axis -2 of dense1.weight has length 4, but its Space has 2 units"):
        new_space(2).use(weight, -2)
    coupling = Coupling()
    with pytest.raises(mn.MinnetError, match="adds 2 units to 3"):
        join(coupling.new(2), coupling.new(3))


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_roots_are_the_smallest_of_all_that_are_one(size, pairs):
    """Against labels that spread until nothing changes."""
    coupling, labels = Coupling(), np.arange(size)
    coupling.new(size)
    pairs = [(a % size, b % size) for a, b in pairs]
    for a, b in pairs:
        coupling.unite(np.array([a]), np.array([b]))
    for _ in range(size):
        for a, b in pairs:
            labels[[a, b]] = min(labels[a], labels[b])
    assert coupling.roots(np.arange(size)).tolist() == labels.tolist()


# --- layers, by perturbation -----------------------------------------------------------------------------------------


CARRIERS = {
    "flatten": (mn.Flatten(), (2, 3, 4)),
    "flatten rows": (mn.Flatten(), (5,)),
    "batchnorm": (mn.BatchNorm(), (2, 3, 4)),
    "tanh": (mn.Tanh(), (2, 3, 4)),
    "max pool": (mn.MaxPool2d(2, padding="same"), (3, 5, 4)),
    "average pool": (mn.AvgPool2d(2, 1), (3, 5, 4)),
    "global average": (mn.GlobalAvgPool2d(), (2, 3, 4)),
    "depthwise": (mn.DepthwiseConv2d(2, multiplier=3), (3, 5, 4)),
    "depthwise, flatten": (mn.Sequential(mn.DepthwiseConv2d(2, multiplier=2), mn.Flatten()), (3, 5, 4)),
    "identity residual": (mn.Residual(mn.BatchNorm()), (2, 3, 4)),
    "concat": (mn.Concat(mn.BatchNorm(), mn.Sequential(), mn.DepthwiseConv2d(1, multiplier=2)), (2, 3, 4)),
    "flat concat": (mn.Concat(mn.Flatten(), mn.GlobalAvgPool2d()), (2, 3, 4)),
}


@pytest.mark.parametrize("case", CARRIERS)
def test_a_unit_of_the_input_moves_the_features_that_carry_it(case):
    layer, shape = CARRIERS[case]
    model = randomise(mn.Model(mn.Sequential(layer), shape, dtype=np.float64), np.random.default_rng(0))
    space, after = space_after(layer, shape)
    roots, x = space.coupling.roots, random_input(model)
    for unit in range(shape[-1]):
        moved = x.copy()
        moved[..., unit] += 1
        features = (model(moved) != model(x)).reshape(-1, len(after)).any(axis=0)
        assert np.array_equal(features, roots(after.units) == roots(space.units)[unit])


@pytest.mark.parametrize("shortcut", [None, mn.Dense(4)])
def test_a_unit_of_a_branch_is_the_unit_of_the_sum(shortcut):
    block = mn.Residual(mn.Dense(4), shortcut)
    model, (space, after) = build(block, shape=(4,)), space_after(block, (4,))
    assert np.array_equal(space.coupling.roots(after.units), space.coupling.roots(space.units)) == (shortcut is None)
    for k in range(4):
        for name in [p.name for p in model.parameters.values() if p.kind == "bias"]:
            x, values = random_input(model), model.values.copy()
            model.parameters[name].of(values)[k] += 1
            assert (model(x) != model(x, values)).any(axis=0).tolist() == [i == k for i in range(4)]


# --- whole trees, by perturbation ------------------------------------------------------------------------------------


def logits_of(model, coupling):
    """The units of the logits: of the columns of the last layer's weight."""
    last = model.tree.leaves()[-1].weight
    return next(use.units for use in coupling.uses if use.parameter is last and not use.reads)


def readers_inputs(model, coupling, x, values):
    """(units, what the weight of each reader sees of them: (n * positions * taps, units)) for each; then the logits."""
    tape = mn.Tape(model, values)
    logits = model.forward(x, tape)
    for use in coupling.uses:
        if use.reads:
            yield use.units, seen(model.layers[use.parameter.layer], tape, use.units).reshape(-1, len(use.units))
    yield None, logits.copy()


def perturbed(model, coupling, unit, x):
    """(x, values) with other numbers in all that makes `unit`: its columns, bias, gain and shift, or its pixels."""
    values, x = model.values.copy(), x.copy()
    for use in coupling.uses:
        if not use.reads and use.parameter.kind not in STATISTICS:
            use.parameter.of(values)[..., coupling.roots(use.units) == unit] *= 1.5
    x[..., coupling.roots(np.arange(model.input_shape[-1])) == unit] *= 1.5
    return x, values


def deaf(model, coupling, unit):
    """The model, but no weight listens to `unit`."""
    other = model.clone()
    for use in coupling.uses:
        if use.reads:
            other.parameters[use.parameter.name].value[..., coupling.roots(use.units) == unit, :] = 0
    return other


@settings(max_examples=80)
@given(models())
def test_what_makes_a_unit_moves_what_reads_it_and_nothing_else(model):
    """With Tanh everywhere, since a ReLU may hide that something moves."""
    tree = layer_from_config(with_tanh(model.tree.config()), LAYERS)
    model = randomise(mn.Model(tree, model.input_shape, dtype=np.float64), np.random.default_rng(0))
    coupling, x = model.couple(), random_input(model)
    logits = set(coupling.roots(logits_of(model, coupling)).tolist())
    for unit in set(coupling.roots(np.arange(coupling.n_units)).tolist()) - logits:
        other = deaf(model, coupling, unit)
        before = readers_inputs(other, coupling, x, other.values)
        after = readers_inputs(other, coupling, *perturbed(other, coupling, unit, x))
        for (units, old), (_, new) in zip(before, after, strict=True):
            moved = (old != new).any(axis=0)
            carries = np.zeros(len(moved), bool) if units is None else coupling.roots(units) == unit
            assert np.array_equal(moved, carries)


@settings(max_examples=60)
@given(models())
def test_every_axis_of_every_parameter_is_used_once(model):
    coupling = model.couple()
    used = {}
    for use in coupling.uses:
        assert len(use.units) == use.parameter.shape[use.axis]
        used.setdefault(use.parameter.name, []).append(use.axis)
    for name, p in model.parameters.items():
        layer = model.layers[p.layer]
        if isinstance(layer, mn.PReLU):     # one slope belongs to no unit
            assert used.get(name, []) == [-1] * layer.per_channel
            continue
        assert sorted(used[name]) == sorted({-1} if isinstance(layer, mn.DepthwiseConv2d) else LEARNT_AXES[p.kind])


@settings(max_examples=60)
@given(models())
def test_input_and_logits_are_fixed_and_nothing_else(model):
    """And what a Softmax makes depend on each other."""
    assume(not any(isinstance(layer, mn.Softmax) for layer in model.layers.values()))
    coupling = model.couple()
    ends = np.concatenate([np.arange(model.input_shape[-1]), logits_of(model, coupling)])
    fixed = np.zeros(coupling.n_units, bool)
    fixed[coupling.roots(ends)] = True
    assert np.array_equal(coupling.fixed(), fixed)
