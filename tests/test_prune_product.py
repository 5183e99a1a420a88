"""Counts are exact for every criterion x structure x distribution x budget: the whole product, drawn by chance, all
scores equal included. Rows of minnet's tables join by being there."""
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tables import COUNTED, SELF_COUNTING, UNITS, fits, make, sample_for
from test_criteria import bound, judged

from minnet.errors import InvalidValue
from minnet.pruning.budgets import Costs
from minnet.pruning.candidates import Infeasible
from minnet.pruning.choose import choose
from minnet.pruning.criteria import CRITERIA, TRAITS
from minnet.pruning.distributions import DISTRIBUTIONS
from minnet.pruning.parse import structure_of
from minnet.pruning.prune import prune
from minnet.pruning.traits import Traits

NETS = ("dense", "normed", "conv", "residual")
EXAMPLES = 60
judges = st.sampled_from([*judged(CRITERIA, NETS), *[("all equal", net) for net in NETS]])
WHERE = {"pattern": {"conv": "conv1", "residual": "conv2"}}  # structures that want large kernels: {net: layers}
shares = st.sampled_from([0.0, 0.29, 0.5, 0.75, 0.9, 1.0]) | st.floats(0, 1)


def all_equal(model, data):
    """The scores that a threshold cannot cut."""
    return np.ones(model.n_weights)


def criterion_of(judge, model):
    """The function of a pair (name, net)."""
    return bound(judge[0], model) if judge[0] in CRITERIA else all_equal


@st.composite
def prunings(draw, structures):
    """(net, structure, all else that `prune` takes but a budget): what can be asked together."""
    judge, structure = draw(judges), draw(st.sampled_from(structures))
    assume(fits(structure, judge[1]) and not (structure == "input" and TRAITS.get(judge[0], Traits()).unit))
    model = make(judge[1])
    return judge[1], structure, {"structure": structure, "criterion": criterion_of(judge, model),
                                 "data": sample_for(model), "rng": 0}


def distributions(structure):
    """Those that go with a structure: rows of weights are compared where pieces are weights."""
    return st.sampled_from([name for name in DISTRIBUTIONS if structure == "weight" or name != "rowwise"])


def bits(model):
    return model.values.tobytes() + model.mask.tobytes()


def pieces_of(model, structure):
    return structure_of(structure)(model, choose(model))


@settings(max_examples=3 * EXAMPLES)
@given(prunings(COUNTED), shares, st.booleans(), st.data())
def test_a_share_and_a_count(pruning, share, as_count, data):
    """Exactly round(share n) pieces go; where fewer may, nothing changes and the count that is named can be had."""
    net, structure, how = pruning
    model = make(net)
    how["distribution"] = data.draw(distributions(structure))
    pieces, before = pieces_of(model, structure), bits(model)
    k = round(share * pieces.n)
    try:
        result = prune(model, **{"count": k} if as_count else {"sparsity": share}, **how)
    except Infeasible as error:
        assert bits(model) == before
        most = int(re.search(r"ask for at most (\d+)", str(error))[1])
        assert most < k
        k, result = most, prune(model, count=most, **how)
    gone = pieces.gone(model.mask)
    assert np.count_nonzero(gone) == k == result.units.removed == result.units.total - result.units.remaining
    assert not model.values[~model.mask].any() and not np.signbit(model.values[~model.mask]).any()
    if k == 0:
        assert bits(model) == before


@pytest.mark.parametrize("budget", ["macs", "bytes"])
@settings(max_examples=EXAMPLES)
@given(pruning=prunings(COUNTED), share=shares, data=st.data())
def test_what_may_remain(budget, pruning, share, data):
    """Within the budget, and over it with one piece more; or it cannot be met, and nothing changes."""
    net, structure, how = pruning
    model, fuller = make(net), make(net)
    how["distribution"] = data.draw(distributions(structure))
    cost, before = getattr(Costs(model), budget), bits(model)
    limit = max(1, int(share * cost(model.mask)))
    try:
        result = prune(model, **{budget: limit}, **how)
    except InvalidValue as error:
        assert bits(model) == before and re.search(r"cannot be met|ask for at most \d+", str(error))
        return
    assert cost(model.mask) <= limit
    if result.units.removed:
        prune(fuller, count=result.units.removed - 1, **how)
        assert cost(fuller.mask) > limit


@settings(max_examples=EXAMPLES)
@given(prunings(UNITS), st.data())
def test_units_that_remain(pruning, data):
    """Each part of the net keeps just as many units as are asked for."""
    net, structure, how = pruning
    model = make(net)
    pieces = pieces_of(model, structure)
    part = data.draw(st.sampled_from(pieces.layer_groups))
    remain = data.draw(st.integers(part.keeps, part.size))
    result = prune(model, units={part.layers[0]: remain}, **how)
    gone = pieces.gone(model.mask)
    assert np.count_nonzero(gone[part.slice]) == part.size - remain == result.units.removed


@settings(max_examples=EXAMPLES)
@given(judges, st.sampled_from(sorted(SELF_COUNTING)), shares)
def test_structures_that_set_their_own_count_refuse_another(judge, structure, share):
    net, layers = judge[1], WHERE.get(structure, {judge[1]: None}).get(judge[1])
    assume(net in WHERE.get(structure, NETS))
    model = make(net)
    how = {"structure": structure, "criterion": criterion_of(judge, model), "data": sample_for(model), "rng": 0,
           "layers": layers}
    before = bits(model)
    for budget in ({"sparsity": share}, {"count": 1}, {"macs": 0.5}, {"bytes": 0.5}, {"units": {"*": 1}},
                   {"distribution": "layerwise"}):
        with pytest.raises(InvalidValue):
            prune(model, **budget, **how)
        assert bits(model) == before
    assert prune(model, **how).units.removed
    assert not prune(model, **how).units.removed
