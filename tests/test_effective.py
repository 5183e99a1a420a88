"""Effective sparsity: which weights lie on a path of live ones, by plain search; and cuts that are named beforehand."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import NETS, make, sample_for

import minnet as mn
from minnet.pruning.paths import PathModel
from minnet.pruning.prune import plan_prune, prune

by_seed = st.integers(0, 2**32 - 1)


def dense_net(widths):
    """Dense layers without biases."""
    tree = mn.Sequential(*[mn.Dense(n, use_bias=False) for n in widths[1:]])
    return mn.Model(tree, (widths[0],), rng=0, dtype=np.float64)


def searched(model):
    """How many weights lie on a path, by a walk from unit to unit, there and back."""
    layers = [p.mask for p in model.weight_parameters]
    seen = [set(range(len(layers[0])))]
    for mask in layers:
        seen.append({j for i in seen[-1] for j in range(mask.shape[1]) if mask[i, j]})
    wanted = [set(range(layers[-1].shape[1]))]
    for mask in reversed(layers):
        wanted.insert(0, {i for j in wanted[0] for i in range(mask.shape[0]) if mask[i, j]})
    return sum(mask[i, j] for mask, first, then in zip(layers, seen, wanted[1:], strict=False)
               for i in first for j in then)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.floats(0, 1), by_seed)
def test_it_is_what_a_walk_finds(widths, share, seed):
    model = dense_net(widths)
    mask = np.ones(len(model.values), bool)
    mask[: model.n_weights] = np.random.default_rng(seed).random(model.n_weights) > share
    model.set_mask(mask)
    assert mn.effective_sparsity(model) == 1 - searched(model) / model.n_weights >= model.sparsity


@pytest.mark.parametrize("net", sorted(set(NETS) - {"normed"}))  # its sigmoid is 1/2 at 0: a bias of its own
@given(share=st.floats(0.3, 1), seed=by_seed)
def test_cutting_what_lies_on_no_path_changes_no_output(net, share, seed):
    """In a net without biases, shifts and running means, whose activations are 0 at 0."""
    model = make(net)
    for p in model.parameters.values():
        if p.kind in ("bias", "shift", "mean"):
            p.value[...] = 0
    mask = model.mask.copy()
    mask[: model.n_weights] = np.random.default_rng(seed).random(model.n_weights) > share
    model.set_mask(mask)
    X, on_path = sample_for(model).X, PathModel(model).on_path(mask)
    before, dropped = model(X), mask & ~on_path
    dropped[model.n_weights :] = False
    model.set_mask(mask & ~dropped)
    np.testing.assert_allclose(model(X), before, rtol=1e-12, atol=1e-12)
    assert mn.effective_sparsity(model) == model.sparsity


def test_a_dense_net_has_no_idle_weight():
    for net in NETS:
        assert mn.effective_sparsity(make(net)) == 0


def test_a_layer_about_to_lose_its_last_path_is_named_before():
    """Two units: one is fed, the other is read; weights remain everywhere, and no path."""
    model = dense_net((1, 2, 1))
    first, second = model.weight_parameters
    first.value[...], second.value[...] = [[3.0, 1.0]], [[1.0], [3.0]]
    plan = plan_prune(model, 0.5)
    assert plan.collapsed == () and plan.cut_off == ("dense1", "dense2")
    assert plan.effective == {"dense1": 0, "dense2": 0} and plan.effective_sparsity == 1 and plan.sparsity == 0.5
    assert "the last path through dense1, dense2 is cut" in str(plan) and model.sparsity == 0
    result = plan.apply()
    assert (result.cut_off, result.effective_sparsity, result.effective) == (plan.cut_off, 1, plan.effective)
    assert "2 of those that remain are on no path (effective sparsity 100.00%)" in str(result)
    then = prune(model, 0.5)  # there is nothing left to cut
    assert then.cut_off == () and then.effective_sparsity == 1


def test_a_residual_keeps_a_path_where_its_branch_is_cut():
    model = make("residual")
    plan = plan_prune(model, 1.0, layers="conv2")
    assert plan.collapsed == ("conv2",) and plan.cut_off == ("conv2", "conv3")
    assert plan.effective["dense1"] == model.layers["dense1"].weight.size
    text = str(plan)
    assert "nothing remains in conv2" in text and "the last path through conv2, conv3 is cut" in text


def test_nothing_is_said_where_nothing_is_lost():
    result = prune(make("dense"), 0.1)
    assert result.cut_off == () and "path" not in str(result)
    assert result.effective_sparsity == result.sparsity
