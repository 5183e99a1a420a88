"""prune(..., compensate=...): what holds for every compensation, for one of the caller's own, and where it fails."""
from functools import partial

import numpy as np
import pytest
from each import each
from nets import bits, is_plus_zero
from tables import NETS, make, sample_for

import minnet as mn
from minnet.errors import InvalidValue, MinnetError, NotFinite, UnknownName
from minnet.pruning.compensation import COMPENSATIONS
from minnet.pruning.prune import plan_prune, prune
from minnet.pruning.recipes import RECIPES

HAS_NORM = ("normed", "residual")
ROWS = [(name, net) for name in COMPENSATIONS for net in NETS if name != "recalibrate_batchnorm" or net in HAS_NORM]
STRUCTURES = ("weight", "channel")


def pair_for(model, rows=20):
    """(X, y) for a model, more than a sample of 12 takes."""
    sample = sample_for(model, rows=rows)
    return sample.X, sample.y


@each("structure", STRUCTURES)
@each(("name", "net"), ROWS)
def test_it_is_the_function_called_by_hand_on_the_same_rows(name, net, structure):
    model, twin = make(net), make(net)
    sample, before = sample_for(model, rows=20), model.values.copy()
    result = prune(model, 0.4, criterion="taylor", structure=structure, data=sample, compensate=name)
    other = prune(twin, 0.4, criterion="taylor", structure=structure, data=sample)
    assert np.array_equal(model.mask, twin.mask) and result.removed == other.removed
    COMPENSATIONS[name](twin, sample, before)
    assert bits(model.values) == bits(twin.values)
    assert is_plus_zero(model.values[~model.mask])


@each("structure", STRUCTURES)
@each(("name", "net"), ROWS)
def test_undo_takes_it_back_bit_for_bit(name, net, structure):
    model = make(net)
    before = bits(model.values, model.mask)
    result = prune(model, 0.4, structure=structure, data=sample_for(model, rows=20), compensate=name)
    assert result.removed and bits(model.values, model.mask) != before
    result.undo()
    assert bits(model.values, model.mask) == before


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_where_nothing_goes_nothing_is_compensated(name):
    model = make("normed")
    prune(model, 0.4)
    before = bits(model.values, model.mask)
    for sparsity in (0, 0.4, 0.2):
        result = prune(model, sparsity, data=sample_for(model), compensate=name)
        assert not result.removed and bits(model.values, model.mask) == before


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_the_same_seed_draws_the_same_rows(name):
    found = []
    for _ in range(2):
        model = make("normed")
        prune(model, 0.4, data=pair_for(model), samples=12, rng=3, compensate=name)
        found.append(bits(model.values))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", COMPENSATIONS)
def test_a_plan_compensates_when_it_is_applied(name):
    model = make("normed")
    before = bits(model.values, model.mask)
    plan = plan_prune(model, 0.4, data=sample_for(model), compensate=name)
    assert bits(model.values, model.mask) == before
    plan.apply().undo()
    assert bits(model.values, model.mask) == before


def test_criterion_and_compensation_see_the_same_rows():
    model, seen = make("dense"), []

    def rule(model, data):
        seen.append(data)
        return np.abs(model.weights)

    def remedy(model, data, before):
        seen.append(data)

    prune(model, 0.5, criterion=rule, data=pair_for(model), samples=12, rng=0, compensate=remedy)
    assert seen[0] is seen[1] and len(seen[0]) == 12


def test_a_function_of_ones_own_is_given_the_values_before_and_may_not_revive_what_went():
    model, told = make("conv"), {}
    original, model_before = model.values.copy(), bits(model.values, model.mask)

    def double(model, data, before):
        told["before"], told["mask"] = before.copy(), model.mask.copy()
        model.mask[:] = True
        model.values[:] = 2 * before
        before[:] = 0

    result = prune(model, 0.5, data=sample_for(model), compensate=double)
    assert bits(told["before"]) == bits(original) and np.array_equal(told["mask"], model.mask)
    np.testing.assert_array_equal(model.values, np.where(model.mask, 2 * original, 0))
    assert is_plus_zero(model.values[~model.mask]) and not model.mask.all()
    result.undo()
    assert bits(model.values, model.mask) == model_before


def breaks(model, data, before):
    """Raises when half is done."""
    model.values[: model.n_weights // 2] = 7
    raise ZeroDivisionError


def interrupted(model, data, before):
    """Ctrl-C comes in the middle."""
    model.values[:] = 7
    raise KeyboardInterrupt


def diverges(model, data, before):
    """Returns what no model may hold."""
    model.values[model.mask] = np.nan


@pytest.mark.parametrize(("remedy", "kind"), [(breaks, ZeroDivisionError), (interrupted, KeyboardInterrupt),
                                              (diverges, NotFinite)])
def test_an_error_changes_nothing(remedy, kind):
    model, record = make("conv"), mn.Record()
    before = bits(model.values, model.mask)
    with pytest.raises(kind):
        prune(model, 0.5, data=sample_for(model), compensate=remedy, record=record)
    assert bits(model.values, model.mask) == before and not record


@pytest.mark.parametrize(("remedy", "data", "kind", "words"), [
    ("least_square", True, UnknownName, "did you mean least_squares"),
    (3, True, UnknownName, "unknown compensation 3"),
    ("least_squares", False, InvalidValue, "compensate= needs data"),
    ("recalibrate_batchnorm", True, InvalidValue, "this model has none"),
])
def test_what_cannot_be_is_told_and_changes_nothing(remedy, data, kind, words):
    model = make("dense")
    before = bits(model.values, model.mask)
    with pytest.raises(kind, match=words) as caught:
        prune(model, 0.5, data=sample_for(model) if data else None, compensate=remedy)
    assert isinstance(caught.value, MinnetError) and "\n" not in str(caught.value)
    assert bits(model.values, model.mask) == before


@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - {"slimming"}))  # which cuts channels
def test_recipes_compensate_through_prune(recipe):
    """A compensation bound to `prune` is called after every pruning, and the counts are as without."""
    model, calls = make("dense"), []

    def remedy(model, data, before):
        calls.append(np.count_nonzero(model.mask))
        COMPENSATIONS["mean_replacement"](model, data, before)

    list(RECIPES[recipe](model, pair_for(model), 0.5, epochs=4, rng=0, prune=partial(prune, compensate=remedy)))
    assert calls and calls == sorted(calls, reverse=True)
    assert np.count_nonzero(~model.mask) == round(0.5 * model.n_weights)
    assert is_plus_zero(model.values[~model.mask])
