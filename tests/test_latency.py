"""Latency as a budget: the table beside the law that made its times, and counts that no clock can change."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import make

import minnet as mn
from minnet.errors import InvalidValue
from minnet.pruning.budgets import Costs
from minnet.runtime import rates
from minnet.study.latency import fit, latency_table, work

NETS = ("dense", "conv", "residual", "concat", "depthwise")


def timer(predictors, batches):
    """A clock that tells the bytes of the frozen net: exactly repeatable, less for less."""
    return {name: 1e-6 * predictor.nbytes for name, predictor in predictors.items()}


@pytest.fixture(autouse=True)
def any_machine(monkeypatch):
    """Plans by the default rates: those of a busy machine may take another kernel, of another number of bytes."""
    monkeypatch.setattr("minnet.runtime.freeze.machine_rates", rates.Rates)


def rows(model):
    return np.random.default_rng(0).normal(size=(3, *model.input_shape))


@given(st.lists(st.floats(0, 5), min_size=3, max_size=3), st.integers(0, 99))
def test_a_table_of_times_that_follow_the_law_finds_it(law, seed):
    works = np.random.default_rng(seed).integers(1, 100, (9, 3)).astype(float)
    works[:, 0] = 1
    seconds = works @ (np.array(law) + [1, 0, 0])
    np.testing.assert_allclose(works @ fit(works, seconds), seconds, rtol=1e-7)


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_work_is_counted_on_what_compaction_leaves(net):
    model = make(net)
    mn.prune(model, 0.5, structure="channel")
    small, n = mn.compact(model), len(model.weight_parameters)
    found = work(Costs(model), model.mask)
    assert found[0] == 1 and found[1 : 1 + n].sum() == small.macs
    layers = [layer for layer in small.layers.values() if hasattr(layer, "weight")]
    assert found[1 + n :].tolist() == [layer.positions * layer.weight.shape[-1] for layer in layers]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("share", [1.0, 0.95, 0.8])
def test_the_model_is_within_the_budget_and_over_it_with_one_unit_more(net, share):
    model = make(net)
    table = latency_table(model, rows(model), timer=timer)
    whole = table(np.ones_like(model.mask))
    result = mn.prune(model, latency=share, clock=table, structure="channel")
    assert table(model.mask) <= share * whole
    if result.units.removed:
        less = make(net)
        mn.prune(less, count=result.units.removed - 1, structure="channel")
        assert table(less.mask) > share * whole
    else:
        assert share == 1


def test_the_table_falls_with_every_unit_and_says_how_far_it_is_off():
    model = make("conv")
    table = latency_table(model, rows(model), batch_size=2, timer=timer)
    assert (table.coefficients >= 0).all() and len(table.measured) == 4 + 3 * 3
    times = []
    for count in range(10):
        copy = make("conv")
        mn.prune(copy, count=count, structure="channel")
        times.append(table(copy.mask))
    assert times == sorted(times, reverse=True)
    assert table.error == np.abs(table.fitted - table.measured).max() / table.measured[0]
    assert f"largest error of the fit {table.error:.1%}" in str(table) and "for 2 rows" in str(table)


def test_measuring_really_times_and_changes_nothing():
    model = make("dense")
    before = model.values.tobytes() + model.mask.tobytes()
    table = latency_table(model, rows(model))
    assert (table.measured > 0).all() and model.values.tobytes() + model.mask.tobytes() == before


@pytest.mark.parametrize("arguments, message", [
    ({"latency": 0.5}, "give both"), ({"clock": len, "sparsity": 0.5}, "give both"),
    ({"latency": 0.5, "clock": 3}, "give both"), ({"latency": 0.5, "clock": len}, "unit by unit"),
    ({"latency": 0.5, "clock": len, "sparsity": 0.5, "structure": "channel"}, "exactly one of"),
    ({"latency": 1.5, "clock": len, "structure": "channel"}, "from 0 to 1"),
    ({"latency": 0.1, "clock": lambda mask: 1.0, "structure": "channel"}, "cannot be met: 1.0 of 1.0 remain"),
])
def test_what_cannot_be(arguments, message):
    model = make("dense")
    with pytest.raises(InvalidValue, match=message):
        mn.prune(model, **arguments)
    assert model.mask.all()


def test_one_unit_cannot_go():
    model = mn.Model(mn.Sequential(mn.Dense(2)), (3,), rng=0)
    with pytest.raises(InvalidValue, match="outputs, which stay"):
        latency_table(model, rows(model), timer=timer)
