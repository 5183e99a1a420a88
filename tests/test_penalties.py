"""Penalties: gradients against finite differences, proximal operators against plain minimisation, exact zeros."""
import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from tables import make, sample_for

from minnet.engine.optimizers import SGD
from minnet.engine.sample import gradient
from minnet.engine.training import train
from minnet.errors import MinnetError
from minnet.pruning.penalties import L1, L2, PENALTIES, ElasticNet

NAMES = sorted(PENALTIES)
CONVEX = ("l1", "l2", "elastic_net")
SEPARABLE = ("l1", "l2", "elastic_net")  # the value is a sum over weights
plain = st.floats(-3, 3, width=32)
strengths = st.floats(0.01, 2)


def vector(n):
    return arrays(np.float64, n, elements=plain)


def model_of(weights):
    """A net whose weights of the first layer are these, padded by 0."""
    model = make("dense")
    model.values[: len(weights)] = weights
    model.values[len(weights) : model.n_weights] = 0
    return model


def rest(penalty, w):
    """The part of the penalty of one weight that is not smooth, from its name alone."""
    if isinstance(penalty, L1):
        return penalty.strength * np.abs(w)
    if isinstance(penalty, ElasticNet):
        return penalty.strength * penalty.l1_ratio * np.abs(w)
    return 0 * w


@pytest.mark.parametrize("name", SEPARABLE)
@given(w=vector(4), strength=strengths)
def test_value_is_smooth_part_and_rest(name, w, strength):
    """value = rest + the integral of the gradient from 0 (a straight line: the smooth parts are quadratic)."""
    penalty, model = PENALTIES[name](strength), model_of(w)
    grads = np.zeros(len(model.values))
    penalty.add_gradient(model, grads)
    assert penalty.value(model) == pytest.approx(rest(penalty, w).sum() + grads[:4] @ w / 2, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@given(w=vector(6), strength=strengths)
def test_gradient_agrees_with_central_differences(name, w, strength):
    penalty, model = PENALTIES[name](strength), model_of(w)
    grads = np.ones(len(model.values))
    penalty.add_gradient(model, grads)
    assert (grads[model.n_weights :] == 1).all()  # biases, gains, shifts and statistics are not penalised
    step = 1e-4
    for i in np.flatnonzero(np.abs(w) > 2 * step):
        values = []
        for sign in (1, -1):
            moved = w.copy()
            moved[i] += sign * step
            values.append(penalty.value(model_of(moved)) - rest(penalty, moved).sum())
        assert grads[i] - 1 == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("name", SEPARABLE)
@given(w=plain, strength=strengths, lr=st.floats(0.01, 2))
def test_prox_is_the_minimum(name, w, strength, lr):
    penalty, model = PENALTIES[name](strength), model_of([w])
    penalty.prox(model, lr)

    def distance(v):
        return (v - w) ** 2 / 2 + lr * rest(penalty, v)

    best = minimize_scalar(distance, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    assert distance(model.values[0]) <= best.fun + 1e-12
    assert abs(model.values[0] - best.x) < 1e-4


@pytest.mark.parametrize("name", CONVEX)
@given(u=vector(5), v=vector(5), strength=strengths)
def test_prox_is_firmly_non_expansive(name, u, v, strength):
    moved = []
    for w in (u, v):
        model = model_of(w)
        PENALTIES[name](strength).prox(model, 0.7)
        moved.append(model.values[:5].copy())
    gap = moved[0] - moved[1]
    assert gap @ gap <= gap @ (u - v) + 1e-9


@given(vector(8), strengths, st.floats(0.01, 2))
def test_moreau_for_l1(w, strength, lr):
    """w = prox of t |.| + projection onto the cube [-t, t]^n."""
    model = model_of(w)
    L1(strength).prox(model, lr)
    np.testing.assert_allclose(model.values[:8] + np.clip(w, -lr * strength, lr * strength), w, atol=1e-12)


@given(vector(8), strengths)
def test_zeros_of_l1_are_plus_zero(w, strength):
    for dtype in (np.float64, np.float32):
        model = make("dense", dtype=dtype)
        model.values[:8] = -np.abs(w)
        L1(strength).prox(model, 1.0)
        zeros = model.values[:8][model.values[:8] == 0]
        assert not np.signbit(zeros).any() and len(zeros) >= np.count_nonzero(np.abs(w) <= strength)


@pytest.mark.parametrize("name", NAMES)
def test_strength_by_layer(name):
    """A dict of patterns: the last that matches holds; layers that none matches are left alone."""
    whole, model = make("conv"), make("conv")
    penalty = PENALTIES[name]({"*": 0.1, "conv*": 0.3, "dense2": 0.0})
    by_layer = {"conv1": 0.3, "conv2": 0.3, "dense1": 0.1, "dense2": 0.0}
    penalty.prox(model, 0.5)
    grads = np.zeros(len(model.values))
    penalty.add_gradient(whole, grads)
    value = 0.0
    for p in whole.weight_parameters:
        one = PENALTIES[name]({p.layer: by_layer[p.layer]})
        alone, own = make("conv"), np.zeros(len(grads))
        one.prox(alone, 0.5)
        one.add_gradient(whole, own)
        value += one.value(whole)
        assert np.array_equal(alone.values[p.slice], model.values[p.slice])
        assert np.array_equal(own[p.slice], grads[p.slice])
        others = np.delete(np.arange(len(grads)), np.arange(p.slice.start, p.slice.stop))
        assert np.array_equal(alone.values[others], whole.values[others]) and not own[others].any()
    assert penalty.value(whole) == pytest.approx(value)
    assert np.array_equal(model.values[model.n_weights :], whole.values[whole.n_weights :])


def test_the_ends_of_the_elastic_net_are_l1_and_l2():
    model = make("dense")
    for ratio, other in ((1.0, L1(0.2)), (0.0, L2(0.2))):
        penalty = ElasticNet(0.2, l1_ratio=ratio)
        assert penalty.value(model) == pytest.approx(other.value(model))
        results = []
        for one in (penalty, other):
            copy, grads = make("dense"), np.zeros(len(model.values))
            one.add_gradient(copy, grads)
            one.prox(copy, 0.3)
            results.append((copy.values, grads))
        np.testing.assert_allclose(results[0], results[1], atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_training_takes_gradient_and_prox_steps(name):
    """One full-batch step of plain SGD is w - lr (dL/dw + smooth'), then prox; two penalties add up."""
    sample = sample_for(make("dense"))
    for penalty in (PENALTIES[name](0.05), [PENALTIES[name](0.02), PENALTIES[name](0.03)]):
        model, wanted = make("dense"), make("dense")
        list(train(model, (sample.X, sample.y), optimizer=SGD(0.5), epochs=1, batch_size=len(sample), penalty=penalty))
        grads = gradient(wanted, sample)
        one = PENALTIES[name](0.05)
        one.add_gradient(wanted, grads)
        wanted.values[:] -= 0.5 * grads
        one.prox(wanted, 0.5)
        np.testing.assert_allclose(model.values, wanted.values, atol=1e-12)


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


@pytest.mark.parametrize(("strength", "wanted"), [
    (-1, "strength"), ("a", "strength"), (np.nan, "strength"), ({"dens": 1}, "did you mean"),
    ({"dense1": -1}, "strength"),
])
@pytest.mark.parametrize("name", NAMES)
def test_wrong_strengths_are_refused_before_anything_moves(name, strength, wanted):
    model = make("dense")
    before = model.values.tobytes()
    with pytest.raises(MinnetError, match=wanted):
        penalty = PENALTIES[name](strength)
        penalty.prox(model, 0.1)
        penalty.add_gradient(model, np.zeros(len(model.values)))
    assert model.values.tobytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_penalty_shows_its_arguments(name):
    penalty = PENALTIES[name](0.25)
    assert repr(penalty).startswith(f"{PENALTIES[name].__name__}(strength=0.25")
    assert set(inspect.signature(PENALTIES[name]).parameters) == set(vars(penalty))


def test_float32_stays_float32():
    model = make("conv", dtype=np.float32)
    grads = np.zeros(len(model.values), np.float32)
    for name in NAMES:
        PENALTIES[name](0.1).add_gradient(model, grads)
        PENALTIES[name](0.1).prox(model, 0.1)
    assert model.values.dtype == grads.dtype == np.float32
