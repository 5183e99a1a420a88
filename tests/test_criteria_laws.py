"""More laws that hold for every criterion of minnet's table, on every net of the tests' table: masks, scale, batches,
passes that break, nets in which nothing happens.

A new criterion is held to them by being there; what it cannot do is a field of its row in ROWS, with the reason. The
first laws are in test_criteria.py, formulas in test_criteria_formulas.py, PyTorch's word in test_criteria_torch.py.
"""
import warnings
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
from each import each
from tables import NETS, make, sample_for

from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.errors import InvalidValue
from minnet.pruning.criteria import CRITERIA, TRAITS
from minnet.pruning.scores import score

SINGLE = 1e-4  # how exactly float32 agrees with float64, relative to the largest score
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


def again(sample, seed=2, **changes):
    """The sample with an rng that begins anew, so that two calls draw the same."""
    return replace(sample, rng=np.random.default_rng(seed), **changes)


def same(name, ours, theirs):
    """Two ways to the same scores."""
    scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
    np.testing.assert_allclose(ours, theirs, rtol=row_of(name).rtol, atol=row_of(name).rtol * scale)


def bits(model, sample):
    return b"".join(array.tobytes() for array in (model.values, model.mask, sample.X, sample.y))


def test_rows_are_of_criteria():
    assert set(ROWS) <= set(CRITERIA)


@each("name, net", pairs("numbers"))
def test_one_number_a_weight_and_the_model_as_it_was(name, net):
    model, sample = make(net), sample_for(make(net))
    model.set_mask(some_mask(model))
    before = bits(model, sample)
    scores = ask(name, model, sample)
    assert scores.shape == (model.n_weights,) and scores.dtype == np.float64
    assert not np.isnan(scores).any()
    assert scores.min() < 0 if TRAITS[name].signed else scores.min() >= 0
    assert not np.shares_memory(scores, model.values)
    assert bits(model, sample) == before


def some_mask(model):
    """A third of the weights of every layer, and all that makes the first unit of the first layer."""
    mask = np.ones(len(model.values), bool)
    mask[: model.n_weights : 3] = False
    first = model.weight_parameters[0]
    for use in model.couple().uses:
        if use.axis == -1 and use.parameter.layer == first.layer:
            use.parameter.of(mask)[..., 0] = False
    return mask


class Broken(Exception):
    """What a layer raises in the next test, and nobody else."""


@pytest.mark.parametrize("name, net", [(name, net) for name, net in pairs("broken") if net in ("normed", "residual")])
def test_a_pass_that_breaks_leaves_the_model_as_it_was(name, net, monkeypatch):
    """The last forward pass that the criterion makes raises in the last layer; traits say whether it makes any."""
    model, sample = make(net), sample_for(make(net))
    last, calls = model.tree.layers[-1], SimpleNamespace(made=0, allowed=np.inf)
    forward = last.forward

    def counted(x, tape):
        calls.made += 1
        if calls.made >= calls.allowed:
            raise Broken
        return forward(x, tape)

    monkeypatch.setattr(last, "forward", counted)
    ask(name, model, again(sample))
    assert (calls.made > 0) == (TRAITS[name].passes != "none")
    if calls.made:
        before, calls.allowed, calls.made = bits(model, sample), calls.made, 0
        with pytest.raises(Broken):
            ask(name, model, again(sample))
        assert bits(model, sample) == before


# --- symmetries ------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name, net", [pair for pair in pairs("batches") if TRAITS[pair[0]].needs == "data"])
def test_batches_do_not_matter(name, net):
    model = make(net)
    sample = sample_for(model, rows=9)
    same(name, ask(name, model, again(sample, rows=2)), ask(name, model, again(sample, rows=9)))


@each("name, net", pairs("single"))
def test_single_precision_gives_the_same_scores(name, net):
    model = make(net, dtype=np.float32)
    twin = model.clone(np.float64)
    sample = sample_for(model)
    ours = ask(name, model, again(sample))
    theirs = ask(name, twin, again(sample, X=sample.X.astype(np.float64)), began(model).astype(np.float64))
    scale = np.abs(theirs[np.isfinite(theirs)]).max()
    np.testing.assert_allclose(ours, theirs, rtol=SINGLE, atol=SINGLE * scale)


# --- nets in which nothing happens -----------------------------------------------------------------------------------


def zeros(model):
    model.values[: model.n_trainable] = 0


def masked(model):
    mask = np.ones(len(model.values), bool)
    mask[: model.n_trainable] = False
    model.set_mask(mask)


def dead(model):
    """Every bias and shift so low that no unit ever fires; a net without either is zero."""
    found = [p for p in model.parameters.values() if p.kind in ("bias", "shift")]
    for p in found:
        p.value[...] = -1e6
    if not found:
        zeros(model)


def one_unit(model):
    """Only the first unit of every layer is left."""
    mask = np.ones(len(model.values), bool)
    for p in model.weight_parameters[:-1]:
        p.of(mask)[..., 1:] = False
    model.set_mask(mask)


@each("end", [zeros, masked, dead, one_unit])
@each("name, net", pairs("nothing"))
def test_where_nothing_happens_there_is_no_nan_and_no_warning(name, net, end):
    model = make(net)
    end(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = ask(name, model, sample_for(model), initial=model.values.copy())
    assert not np.isnan(scores).any()


# --- what traits say -------------------------------------------------------------------------------------------------


@each("name", CRITERIA)
def test_facts_say_what_is_needed(name):
    """Without data those that need none give what they give with them; the others say what is missing."""
    net = next(net for net in NETS if net not in row_of(name).cannot)
    model = make(net)
    if TRAITS[name].needs == "weights":
        np.testing.assert_array_equal(score(model, name, rng=3), score(model, name, sample_for(model), rng=3))
    else:
        with pytest.raises(InvalidValue, match=name):
            score(model, name)
