"""The laws of `minnet.testing` for every criterion in the table; then what the first ones are by definition.

A criterion joins by its row in CRITERIA. Nets that it cannot judge stand in its row of test_criteria_laws.py, with the
reason; there it says so by a MinnetError. Each has to judge one net at least.
"""
import inspect
from functools import partial

import numpy as np
import pytest
from each import each
from hypothesis import given
from hypothesis import strategies as st
from tables import NETS, make, sample_for
from test_criteria_laws import row_of

from minnet import criteria
from minnet.engine.sample import Sample
from minnet.errors import InvalidValue, MinnetError
from minnet.pruning.criteria import CRITERIA, TRAITS, traits_of
from minnet.pruning.prune import prune
from minnet.pruning.reference import sources
from minnet.pruning.scores import NoData, score
from minnet.testing import check_criterion
from minnet.testing.criterion_laws import partly_masked

NAMES = list(CRITERIA)


def bound(name, model):
    """The criterion, with initial weights where it needs them: a function of the final ones, so they move together."""
    if "initial" not in inspect.signature(CRITERIA[name]).parameters:
        return CRITERIA[name]
    return partial(CRITERIA[name], initial=np.sin(7 * model.values))


def ask(name, net, model=None, sample=None):
    """Scores of `name` on a net."""
    model = make(net) if model is None else model
    return bound(name, model)(model, sample_for(model) if sample is None else sample)


def judged(names, nets=NETS):
    """Pairs of a criterion and a net that it can judge."""
    return [(name, net) for name in names for net in nets if net not in row_of(name).cannot]


@each("name", NAMES)
def test_a_criterion_judges_some_net_and_says_what_it_is(name):
    assert judged([name]), f"{name} judges none of {', '.join(NETS)}"
    text = inspect.getdoc(CRITERIA[name])
    assert text and text[-1] in ".)", name
    text += inspect.getdoc(inspect.getmodule(CRITERIA[name]))  # what all of a file have in common is said at its head
    assert all(word in text for word in ("(n_weights,)", "data", "pass")) and sources(CRITERIA[name]), name
    assert list(inspect.signature(CRITERIA[name]).parameters)[:2] == ["model", "data"]
    assert getattr(criteria, name) is CRITERIA[name]
    assert traits_of(CRITERIA[name]) == traits_of(partial(CRITERIA[name])) == TRAITS[name]


@pytest.mark.parametrize("net", NETS)
@each("name", NAMES)
def test_laws(name, net):
    """Those of `minnet.testing`, on every net but the ones that its row leaves out."""
    criterion = partial(CRITERIA[name], **row_of(name).arguments) if row_of(name).arguments else CRITERIA[name]
    if net not in row_of(name).cannot:
        assert check_criterion(criterion, nets=[net]) == [net]


@each("name, net", judged([name for name in NAMES if TRAITS[name].signed]))
def test_signed_scores_are_of_both_signs(name, net):
    for model in (make(net), partly_masked(net)):
        assert ask(name, net, model).min() < 0


@each("name", [name for name in NAMES if TRAITS[name].needs == "data"])
def test_who_needs_data_says_so(name):
    model = make("dense")
    with pytest.raises(InvalidValue, match=f"{name} needs data"):
        score(model, name)
    with pytest.raises(InvalidValue, match="no data were given"):
        CRITERIA[name](model, NoData())


@pytest.mark.parametrize(("name", "net"), [(name, net) for name in NAMES for net in row_of(name).cannot if net in NETS])
def test_a_net_that_cannot_be_judged_is_refused_in_words(name, net):
    model = make(net)
    before = model.values.tobytes(), model.mask.tobytes()
    with pytest.raises(MinnetError) as caught:
        prune(model, 0.5, criterion=bound(name, model), data=sample_for(model))
    assert "\n" not in str(caught.value) and (model.values.tobytes(), model.mask.tobytes()) == before


# --- the first ones, by definition -----------------------------------------------------------------------------------


def numerical_gradient(model, sample, step=1e-6):
    """dL/dw by central differences of the mean loss."""
    found = np.zeros(model.n_weights)
    for i in range(model.n_weights):
        losses = []
        for sign in (1, -1):
            values = model.values.copy()
            values[i] += sign * step
            losses.append(sample.loss(model(sample.X, values), sample.y))
        found[i] = (losses[0] - losses[1]) / (2 * step)
    return found


@pytest.mark.parametrize("net", ["dense", "normed", "concat"])
def test_gradient_taylor_and_snip_are_what_finite_differences_say(net):
    model = make(net)
    sample = sample_for(model)
    slope = numerical_gradient(model, sample)
    alone = [Sample(sample.X[i : i + 1], sample.y[i : i + 1], sample.loss, sample.rng, 1) for i in range(len(sample))]
    squares = np.mean([(numerical_gradient(model, one) * model.weights) ** 2 for one in alone], axis=0)
    change = slope * model.weights
    wanted = {
        criteria.gradient: np.abs(slope), criteria.taylor: np.abs(change),
        partial(criteria.taylor, variant="signed"): change, partial(criteria.taylor, variant="squared"): squares,
        criteria.snip: np.abs(change) / np.abs(change).sum(),
    }
    for criterion, expected in wanted.items():
        np.testing.assert_allclose(criterion(model, sample), expected, rtol=1e-5, atol=1e-8)


def test_magnitude_is_the_size_and_random_a_permutation():
    model = make("conv")
    assert np.array_equal(criteria.magnitude(model), np.abs(model.weights))
    assert sorted(criteria.random(model, NoData(3))) == list(range(model.n_weights))
    assert not np.array_equal(criteria.random(model, NoData(3)), criteria.random(model, NoData(4)))


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_taylor_does_not_see_a_scale_that_moves_between_relu_layers(seed, scale):
    model = make("dense", seed)
    sample, scaled = sample_for(model), make("dense", seed)
    scaled.layers["dense1"].weight.value[...] *= scale
    scaled.layers["dense1"].bias.value[...] *= scale
    scaled.layers["dense2"].weight.value[...] /= scale
    np.testing.assert_allclose(criteria.taylor(scaled, sample), criteria.taylor(model, sample), rtol=1e-8, atol=1e-12)


def test_lamp_survives_tiny_and_all_zero_layers():
    """Squares of 1e-25 underflow in float32 and 0 / 0 is NaN, where the formula is taken as it stands."""
    model = make("dense", dtype=np.float32)
    first, second, third = model.weight_parameters
    first.value[...] *= np.float32(1e-25)
    second.value[...] = 0
    scores, wanted = criteria.lamp(model), criteria.lamp(make("dense", dtype=np.float32))
    np.testing.assert_allclose(scores[first.slice], wanted[first.slice], rtol=1e-5)
    assert not scores[second.slice].any() and np.count_nonzero(scores[third.slice] == 1) == 1


@pytest.mark.parametrize("variant", ["abs", None, 3])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(InvalidValue, match="variant"):
        criteria.taylor(make("dense"), sample_for(make("dense")), variant=variant)
