"""Penalties: gradients against finite differences, proximal operators against plain minimisation, exact zeros.

Every penalty in the table joins the laws; what it is and is not (convex, separable, ...) are fields of its class.
"""
import inspect

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from tables import NETS, make, sample_for

import minnet as mn
from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.dense import Dense
from minnet.engine.optimizers import SGD
from minnet.engine.sparse import SparseDense
from minnet.errors import MinnetError
from minnet.model import Model
from minnet.pruning.penalties import (
    L0,
    L1,
    L2,
    MCP,
    PENALTIES,
    SCAD,
    ElasticNet,
    GroupLasso,
    GrowingL2,
    LogSum,
    SparseGroupLasso,
    TransformedL1,
)
from minnet.pruning.structures import STRUCTURES, neuron
from minnet.testing import check_penalty
from minnet.testing.penalty_laws import spaced_model
from minnet.training import train

NAMES = sorted(PENALTIES)
CONVEX = [name for name in NAMES if PENALTIES[name].convex]
SEPARABLE = [name for name in NAMES if PENALTIES[name].separable]
ALONE = [name for name in NAMES if PENALTIES[name].alone]
VALUES = {  # of one layer whose sizes are v, with strength s: written anew from the papers
    "l1": lambda v, s: s * sum(v),
    "l2": lambda v, s: s / 2 * sum(x * x for x in v),
    "elastic_net": lambda v, s: s * sum(0.5 * x + 0.25 * x * x for x in v),
    "l0": lambda v, s: s * sum(x > 0 for x in v),
    "l_half": lambda v, s: s * sum(x**0.5 for x in v),
    "log_sum": lambda v, s: s * sum(np.log(x + 0.1) - np.log(0.1) for x in v),
    "transformed_l1": lambda v, s: s * sum(2 * x / (1 + x) for x in v),
    "mcp": lambda v, s: sum(s * x - x * x / 6 if x <= 3 * s else 1.5 * s * s for x in v),
    "scad": lambda v, s: sum(s * x if x <= s else (7.4 * s * x - x * x - s * s) / 5.4 if x <= 3.7 * s
                             else 2.35 * s * s for x in v),
    "hoyer": lambda v, s: s * sum(v) / sum(x * x for x in v) ** 0.5 if any(v) else 0,
    "hoyer_square": lambda v, s: s * sum(v) ** 2 / sum(x * x for x in v) if any(v) else 0,
    "growing_l2": lambda v, s: s / 2 * sum(x * x for x in sorted(v)[: round(len(v) / 2)]),
}
plain = st.floats(-3, 3, width=32)
strengths = st.floats(0.01, 2)
rates = st.floats(0.01, 5)
by_penalty = pytest.mark.parametrize("name", NAMES)


def vector(n):
    return arrays(np.float64, n, elements=plain)


def net_for(name, net="dense"):
    """A net with something for this penalty to pull at."""
    return net if PENALTIES[name].kind == "weight" else "normed"


PROXIMAL = [name for name in NAMES if PENALTIES[name](1.0).rest(make(net_for(name)))]


def first(model, penalty):
    """The vector of the first parameter that the penalty pulls at: a view."""
    return model.values[penalty.layers(model)[0][0].slice]


def model_of(penalty, weights, net="dense", dtype=np.float64):
    """A net in which the first numbers that the penalty pulls at are these, and all others are 0."""
    model = make(net if penalty.kind == "weight" else "normed", dtype=dtype)
    for p, _ in penalty.layers(model):
        p.value[...] = 0
    there = first(model, penalty)
    there[: len(weights)] = weights[: len(there)]
    return model


def spaced(model, seed):
    """Values of which no two have the same size, and none is near 0."""
    rng = np.random.default_rng(seed)
    n = len(model.values)
    model.values[:] = rng.permutation(np.arange(1, n + 1)) / n * rng.choice([-3, 3], n)
    return rng


@pytest.mark.parametrize("name", VALUES)
@given(w=vector(30), strength=strengths)
def test_values_are_those_of_the_papers(name, w, strength):
    penalty = PENALTIES[name](strength)
    assert penalty.value(model_of(penalty, w)) == pytest.approx(VALUES[name](np.abs(w), strength), abs=1e-9)


@by_penalty
@given(seed=st.integers(0, 2**32 - 1), strength=strengths)
@settings(max_examples=30)
def test_laws(name, seed, strength):
    """Those of `minnet.testing`; and minnet's own are above 0 where no weight is."""
    penalty = PENALTIES[name](strength)
    check_penalty(penalty, examples=1, seed=seed)
    assert penalty.value(spaced_model(penalty, seed)[0]) > 0


@pytest.mark.parametrize("name", SEPARABLE)
@given(w=plain, strength=strengths, lr=rates)
def test_prox_of_one_weight_is_the_minimum(name, w, strength, lr):
    """No minimum that SciPy finds between 0 and w, piece by piece, is lower."""
    penalty = PENALTIES[name](strength)
    model = model_of(penalty, [w])
    penalty.prox(model, lr)
    found = first(model, penalty)[0]

    def distance(v):
        return (v - w) ** 2 / 2 + lr * penalty.rest_of(np.array([v]), strength)

    edges = np.linspace(-1e-3, abs(w) + 1e-3, 7) * np.sign(w or 1)
    pieces = [sorted(edges[i : i + 2]) for i in range(len(edges) - 1)]
    best = [minimize_scalar(distance, bounds=piece, method="bounded", options={"xatol": 1e-9}) for piece in pieces]
    best = min([*best], key=lambda result: result.fun)
    assert distance(found) <= min(best.fun, distance(0.0), distance(w)) + 1e-12
    if penalty.convex:
        assert abs(found - best.x) < 1e-4


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("strength", [0.05, 0.1, 0.2, 0.4])
def test_the_prox_of_a_whole_net_takes_off_a_subgradient(name, strength):
    """As above where all layers count, so that groups overlap; along <w - p, p> it is an equality."""
    penalty, model = PENALTIES[name](strength), make(net_for(name))
    spaced(model, 3)
    start = model.values.copy()
    penalty.prox(model, 1.0)
    p = model.values
    assert (start - p) @ p == pytest.approx(penalty.rest(model), abs=1e-9)


@given(vector(8), strengths, rates)
def test_moreau_for_l1(w, strength, lr):
    """w = prox of t |.| + projection onto the cube [-t, t]^n."""
    model = model_of(L1(strength), w)
    L1(strength).prox(model, lr)
    np.testing.assert_allclose(model.values[:8] + np.clip(w, -lr * strength, lr * strength), w, atol=1e-12)


@given(vector(30), strengths, rates)
def test_moreau_for_groups(w, strength, lr):
    """w = prox + projection of every group onto its ball; groups are the columns of the (6, 5) weight."""
    penalty = GroupLasso(strength, structure="column")
    model = model_of(penalty, w)
    penalty.prox(model, lr)
    columns, bound = w.reshape(6, 5), lr * strength * np.sqrt(6)
    norms = np.linalg.norm(columns, axis=0)
    ball = columns * np.minimum(1, bound / np.maximum(norms, 1e-300))
    left = model.values[:30].reshape(6, 5)
    np.testing.assert_allclose(left + ball, columns, atol=1e-12)
    assert not left[:, norms <= bound].any() and left[:, norms > bound * (1 + 1e-9)].any(axis=0).all()


@pytest.mark.parametrize("name", PROXIMAL)
@given(w=vector(20), strength=strengths)
@settings(max_examples=30)
def test_zeros_are_plus_zero(name, w, strength):
    for dtype in (np.float64, np.float32):
        penalty = PENALTIES[name](strength)
        model = model_of(penalty, -np.abs(w), dtype=dtype)
        for tiny in (-0.0, -1e-30, -1.4e-45):
            first(model, penalty)[:1] = tiny
            penalty.prox(model, 1.0)
            assert not np.signbit(model.values[model.values == 0]).any()
        for p, _ in penalty.layers(model):
            p.value[...] = -1e-5
        penalty.prox(model, 2.0)
        assert not any(p.value.any() for p, _ in penalty.layers(model) if penalty.alone)


@pytest.mark.parametrize("name", ALONE)
def test_strength_by_layer(name):
    """A dict of patterns: the last that matches holds; layers that none matches are left alone."""
    net = net_for(name, "conv")
    whole, model = make(net), make(net)
    names = [p.layer for p, _ in PENALTIES[name](1).layers(whole)]
    penalty = PENALTIES[name]({"*": 0.1, names[0]: 0.3, names[-1]: 0.0})
    by_layer = dict.fromkeys(names, 0.1) | {names[0]: 0.3} | {names[-1]: 0.0}
    penalty.prox(model, 0.5)
    grads = np.zeros(len(model.values))
    penalty.add_gradient(whole, grads)
    value = 0.0
    for p in [p for p, _ in PENALTIES[name](1).layers(whole)]:
        one = PENALTIES[name]({p.layer: by_layer[p.layer]})
        alone, own = make(net), np.zeros(len(grads))
        one.prox(alone, 0.5)
        one.add_gradient(whole, own)
        value += one.value(whole)
        assert np.array_equal(alone.values[p.slice], model.values[p.slice])
        assert np.array_equal(own[p.slice], grads[p.slice])
        others = np.delete(np.arange(len(grads)), np.arange(p.slice.start, p.slice.stop))
        assert np.array_equal(alone.values[others], whole.values[others]) and not own[others].any()
    assert penalty.value(whole) == pytest.approx(value)


def test_patterns_of_kinds_are_strengths_too():
    model = make("conv")
    by_kind, by_name = L1({"Dense": 0.1, "conv*": 0.2}), L1({"dense*": 0.1, "conv1": 0.2, "conv2.weight": 0.2})
    assert by_kind.value(model) == by_name.value(model) > 0


def one_value(penalty, model):
    """What a penalty does to a model: its value, its gradient, where it moves it."""
    grads = np.zeros(len(model.values))
    penalty.add_gradient(model, grads)
    value = penalty.value(model)
    penalty.prox(model, 0.3)
    return [value, *grads, *model.values]


LIMITS = {  # two that must do the same: the ends of a range, groups of one, other ways to say it
    "elastic net at 1": (ElasticNet(0.2, l1_ratio=1), L1(0.2)),
    "elastic net at 0": (ElasticNet(0.2, l1_ratio=0), L2(0.2)),
    "a wide transformed L1": (TransformedL1(0.2, a=1e9), L1(0.2)),
    "a narrow transformed L1": (TransformedL1(0.2, a=1e-9), L0(0.2)),
    "a wide MCP": (MCP(0.2, gamma=1e12), L1(0.2)),
    "a wide SCAD": (SCAD(0.2, a=1e12), L1(0.2)),
    "a wide log sum": (LogSum(2e8, epsilon=1e9), L1(0.2)),
    "growing all": (GrowingL2(0.2, sparsity=1), L2(0.2)),
    "groups of one": (GroupLasso(0.2, structure="weight"), L1(0.2)),
    "blocks of one": (GroupLasso(0.2, structure="1x1"), L1(0.2)),
    "sparse group at 1": (SparseGroupLasso(0.2, l1_ratio=1), L1(0.2)),
    "sparse group at 0": (SparseGroupLasso(0.2, l1_ratio=0), GroupLasso(0.2)),
    "a structure by its function": (GroupLasso(0.2, structure=neuron), GroupLasso(0.2, structure="neuron")),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_limits(limit):
    one, other = LIMITS[limit]
    np.testing.assert_allclose(one_value(one, make("dense")), one_value(other, make("dense")), atol=1e-6)


@by_penalty
def test_training_takes_gradient_and_prox_steps(name):
    """One full-batch step of plain SGD is w - lr (dL/dw + smooth'), then prox; several act one after the other."""
    net = net_for(name)
    for strengths_ in ([0.05], [0.02, 0.03]):
        penalties = [PENALTIES[name](strength) for strength in strengths_]
        model, wanted = make(net), make(net)
        sample = sample_for(model)
        arguments = {"optimizer": SGD(0.5), "epochs": 1, "batch_size": len(sample)}
        grads = np.zeros(len(wanted.values))
        for penalty in penalties:
            penalty.add_gradient(wanted, grads)
        list(train(model, (sample.X, sample.y), penalty=penalties if len(penalties) > 1 else penalties[0], **arguments))
        list(train(wanted, (sample.X, sample.y), **arguments))
        wanted.values[:] -= 0.5 * grads
        for penalty in penalties:
            penalty.prox(wanted, 0.5)
        np.testing.assert_allclose(model.values, wanted.values, atol=1e-12)


def test_a_penalty_of_ones_own_trains():
    """A subclass of the public base writes a value and its gradient; a step by it alone goes down that gradient."""
    class Cauchy(mn.Penalty):
        """log(1 + w^2)."""

        def smooth_of(self, w, strength):
            return strength * np.log1p(np.square(w, dtype=np.float64)).sum()

        def gradient_of(self, w, strength, out):
            out += strength * 2 * w / (1 + w**2)

    model, penalty = make("dense", dtype=np.float64), Cauchy({"*": 0.0, "dense1": 0.5})
    w = model.layers["dense1"].weight.value.copy()
    assert penalty.value(model) == pytest.approx(0.5 * sum(np.log(1 + x * x) for x in w.ravel()))
    grads = np.zeros_like(model.values)
    penalty.add_gradient(model, grads)
    np.testing.assert_allclose(model.layers["dense1"].weight.of(grads), w / (1 + w * w), rtol=1e-12)
    free, sample = model.clone(), sample_for(model)
    for net, pull in ((model, penalty), (free, None)):
        list(train(net, (sample.X, sample.y), optimizer=SGD(0.1), epochs=1, batch_size=99, rng=0, penalty=pull))
    np.testing.assert_allclose(model.values, free.values - 0.1 * grads, rtol=1e-10, atol=1e-12)


def test_l1_training_makes_zeros_and_masked_weights_stay_masked():
    model, sample = make("dense"), sample_for(make("dense"))
    mask = np.ones(len(model.values), bool)
    mask[:20] = False
    model.set_mask(mask)
    penalty = [L1(0.1), L2(0.01)]
    for _ in train(model, (sample.X, sample.y), optimizer=SGD(0.2, momentum=0.5), epochs=150, penalty=penalty):
        zeros = model.values[model.values == 0]
        assert not np.signbit(zeros).any() and not model.values[:20].any()
    assert np.count_nonzero(model.weights == 0) > 40


def test_slimming_takes_gains_to_zero_and_leaves_weights_alone():
    model = make("normed")
    weights = model.weights.copy()
    PENALTIES["bn_l1"](100.0).prox(model, 1.0)
    assert not model.parameters["batchnorm1.gain"].value.any() and np.array_equal(model.weights, weights)


def test_growing_regularisation_grows_to_its_ceiling():
    model, scores = make("dense"), np.arange(make("dense").n_weights)[::-1].astype(float)
    penalty = GrowingL2({"dense1": 0.1, "dense2": 2.0}, sparsity=0.2, growth=0.3, ceiling=0.5, scores=scores)
    for wanted in (0.1, 0.4, 0.5, 0.5):
        assert penalty.strength == {"dense1": pytest.approx(wanted), "dense2": 2.0}
        grads = np.zeros(len(model.values))
        penalty.add_gradient(model, grads)
        for p, strength in (("dense1", wanted), ("dense2", 2.0)):
            p = model.layers[p].weight
            expected = strength * p.value.ravel() * (np.arange(p.size) >= p.size - p.size // 5)
            np.testing.assert_allclose(p.of(grads).ravel(), expected)
        penalty.grow()
    with pytest.raises(MinnetError, match="3"):
        GrowingL2(0.1, scores=np.ones(3)).value(model)


@each("net", NETS)
@each("structure", STRUCTURES)
@each("outgoing", [True, False])
def test_groups_are_the_pieces_of_the_structure(structure, net, outgoing):
    """The value is the sum of norms over the sets that a plain walk finds; all of them go at once if strength does."""
    model = make(net)
    penalty = GroupLasso(0.7, structure=structure, outgoing=outgoing)
    try:
        pieces = STRUCTURES[structure](model, [p.layer for p in model.weight_parameters])
    except MinnetError:
        with pytest.raises(MinnetError):
            penalty.value(model)
        return
    groups = [set(pieces.members(i).tolist()) for i in range(pieces.n)]
    if outgoing and structure in ("neuron", "filter_", "filter", "channel"):
        coupling = model.couple()
        for use in coupling.uses:
            numbers = np.arange(len(model.values))[use.parameter.slice].reshape(use.parameter.shape)
            for i, root in enumerate(coupling.roots(use.units)) if use.reads else ():
                if pieces.piece_of[root] >= 0:
                    groups[pieces.piece_of[root]] |= set(numbers[..., i, :].ravel().tolist())
    wanted = sum(np.sqrt(len(group)) * np.linalg.norm(model.values[sorted(group)]) for group in groups)
    assert penalty.value(model) == pytest.approx(0.7 * wanted)
    penalty.prox(model, 1e6)
    everything = sorted(set().union(*groups))
    assert not model.values[everything].any()
    assert np.delete(model.values, everything).all()


def test_groups_follow_weights_that_move():
    """Live weights of a SparseDense, before and after their places move, as those of a Dense layer full of zeros."""
    tree = Sequential(SparseDense(6, live=20), ReLU(), SparseDense(5, live=15), ReLU(), Dense(2))
    model = Model(tree, (7,), rng=0, dtype=np.float64)
    penalty = GroupLasso(0.3)
    for moved in (False, True):
        if moved:
            p = model.layers["dense1"].weight
            model.rewire(p, p.index[::5].copy(), np.setdiff1d(np.arange(42), p.index)[:4])
        value, dense = 0.0, [p.value.copy() if p.index is None else np.zeros(p.shape) for p in model.weight_parameters]
        live = [np.ones(p.shape) if p.index is None else np.zeros(p.shape) for p in model.weight_parameters]
        for p, full, alive in zip(model.weight_parameters, dense, live, strict=True):
            if p.index is not None:
                full.ravel()[p.index], alive.ravel()[p.index] = p.value, 1
        for before, after, there, here in zip(dense, dense[1:], live, live[1:], strict=False):
            squares = (before**2).sum(axis=0) + (after**2).sum(axis=1)
            value += (np.sqrt(squares) * np.sqrt(there.sum(axis=0) + here.sum(axis=1))).sum()
        assert penalty.value(model) == pytest.approx(0.3 * value)


def test_a_group_of_several_layers_has_their_mean_strength():
    model = make("residual")
    names = [p.layer for p in model.weight_parameters]
    equal, mixed = GroupLasso(0.2), GroupLasso(dict(zip(names, (0.1, 0.2, 0.3, 0.2), strict=True)))
    assert mixed.value(model) == pytest.approx(equal.value(model))


@each(("strength", "wanted"), [
    (-1, "strength"), ("a", "strength"), (np.nan, "strength"), ({"dens": 1}, "unknown layer"),
    ({"dense1": -1}, "strength"),
])
@by_penalty
def test_wrong_strengths_are_refused_before_anything_moves(name, strength, wanted):
    model = make(net_for(name))
    before = model.values.tobytes()
    with pytest.raises(MinnetError, match=wanted):
        penalty = PENALTIES[name](strength)
        penalty.prox(model, 0.1)
        penalty.add_gradient(model, np.zeros(len(model.values)))
    assert model.values.tobytes() == before


@pytest.mark.parametrize(("made", "wanted"), [
    (lambda: SCAD(0.1, a=1), "a=1"),
    (lambda: MCP(0.1, gamma=0), "gamma=0"),
    (lambda: LogSum(0.1, epsilon=-1), "epsilon"),
    (lambda: GroupLasso(0.1, structure="chanel"), "did you mean channel"),
    (lambda: GroupLasso(0.1, outgoing=2), "outgoing"),
    (lambda: GrowingL2(0.1, sparsity=50), "did you mean 0.5"),
    (lambda: PENALTIES["bn_l1"](1).value(make("dense")), "BatchNorm"),
    (lambda: GroupLasso({"dense3": 0.1}).value(make("dense")), "outputs"),
])
def test_other_wrong_arguments_are_refused(made, wanted):
    with pytest.raises(MinnetError, match=wanted):
        made()


@by_penalty
def test_a_penalty_shows_its_arguments(name):
    penalty = PENALTIES[name](0.25)
    assert repr(penalty).startswith(f"{PENALTIES[name].__name__}(strength=0.25")
    assert set(inspect.signature(PENALTIES[name]).parameters) == set(vars(penalty))


@by_penalty
def test_float32_stays_float32_and_close(name):
    results = []
    for dtype in (np.float32, np.float64):
        model = make(net_for(name, "conv"), dtype=dtype)
        grads = np.zeros(len(model.values), dtype)
        PENALTIES[name](0.1).add_gradient(model, grads)
        PENALTIES[name](0.1).prox(model, 0.1)
        assert model.values.dtype == grads.dtype == dtype
        results.append((model.values, grads))
    np.testing.assert_allclose(*results, atol=1e-4)
