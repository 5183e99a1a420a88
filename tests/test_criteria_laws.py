"""Which nets a criterion leaves out, and why; and the criteria that do not see a scale that moves between layers.

The laws of every criterion are those of `minnet.testing`, asked in test_criteria.py; what one cannot do is a field of
its row in ROWS, with the reason. Formulas are in test_criteria_formulas.py, PyTorch's word in test_criteria_torch.py.
"""
from dataclasses import dataclass, field

import numpy as np
import pytest
from tables import NETS, make, sample_for

import minnet as mn
from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.errors import NotFinite
from minnet.pruning.criteria import CRITERIA, TRAITS
from minnet.pruning.scores import score

NO_NORM = dict.fromkeys(("dense", "conv", "depthwise", "concat"), "there is no BatchNorm")


@dataclass(frozen=True)
class Row:
    """`cannot`: {a law's or a net's name: why it is left out}; `scale_free`: a ReLU layer may be scaled up and the next
    one down; `rtol`: how exactly two ways to the same scores agree; `arguments` for a call that is not too long."""

    cannot: dict = field(default_factory=dict)
    scale_free: bool = False
    rtol: float = 1e-9
    arguments: dict = field(default_factory=dict)


ROWS = {
    "bn_scale": Row(NO_NORM),
    "synflow": Row(scale_free=True),
    "taylor": Row(scale_free=True),
    "snip": Row(scale_free=True),
    "fisher": Row(scale_free=True),
    "apoz": Row(scale_free=True),
    "hrank": Row(scale_free=True),
    "shapley": Row(arguments={"permutations": 2}),
}
RELU_NETS = {  # nothing but ReLU, so that scale passes through
    "relu rows": lambda: (Sequential(Dense(5), ReLU(), Dense(4), ReLU(), Dense(3)), (6,)),
    "relu images": lambda: (Sequential(Conv2d(4, 3, padding="same"), ReLU(), MaxPool2d(2), Conv2d(3, 2), ReLU(),
                                       Flatten(), Dense(5), ReLU(), Dense(3)), (5, 6, 2)),
}


def row_of(name):
    return ROWS.get(name, Row())


def pairs(law):
    """All (criterion, net) that the law is for."""
    return [(name, net) for name in CRITERIA for net in NETS if not {law, net} & set(row_of(name).cannot)]


def ask(name, model, sample, initial=None):
    """The scores; `initial` are the values that the model began with, for those that want them."""
    more = {"initial": began(model) if initial is None else initial} if TRAITS[name].needs == "initial" else {}
    return CRITERIA[name](model, sample, **row_of(name).arguments, **more)


def began(model):
    """Some earlier values of the model."""
    return np.random.default_rng(8).normal(size=len(model.values)).astype(model.dtype)


def same(name, ours, theirs):
    """Two ways to the same scores."""
    scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
    np.testing.assert_allclose(ours, theirs, rtol=row_of(name).rtol, atol=row_of(name).rtol * scale)


def test_rows_are_of_criteria():
    assert set(ROWS) <= set(CRITERIA)




@pytest.mark.parametrize("net", ["relu rows", "relu images"])
@pytest.mark.parametrize("name", [name for name in CRITERIA if row_of(name).scale_free])
def test_scaling_a_layer_up_and_the_next_down_changes_no_score(name, net, monkeypatch):
    monkeypatch.setitem(NETS, net, RELU_NETS[net])
    model, other = make(net), make(net)
    factors = np.random.default_rng(4).uniform(0.2, 5.0, model.couple().n_units)
    coupling = other.couple()
    factors[coupling.fixed()] = 1.0
    for use in coupling.uses:
        window = np.moveaxis(use.parameter.value, use.axis, -1)
        window *= factors[use.units] ** (-1 if use.reads else 1)
    sample = sample_for(model)
    np.testing.assert_allclose(other(sample.X), model(sample.X), rtol=1e-9)
    same(name, ask(name, other, sample), ask(name, model, sample))


@pytest.mark.parametrize("name", CRITERIA)
def test_a_weight_that_is_nan_is_refused_by_name(name):
    model = mn.models.mlp((3,), 2, (4,), rng=0)
    model.values[1] = np.nan
    with pytest.raises(NotFinite, match=f"^the criterion {name} got 1 NaN in dense1.weight; "):
        score(model, name, (np.eye(3), np.array([0, 1, 0])), rng=0)
