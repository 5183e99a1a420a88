"""Recipes that prune in many rounds before training: what each round looks at. The laws of all recipes are in
test_recipes.py."""
from functools import partial

import numpy as np
import pytest
from tables import make, sample_for

import minnet as mn
from minnet.engine.sample import gradient
from minnet.pruning import criteria
from minnet.pruning.prune import prune
from minnet.pruning.recipes import force, synflow
from minnet.pruning.rounds import rounds
from minnet.training import train

SPARSITY, ROUNDS = 0.8, 4


def data_of(model):
    sample = sample_for(model)
    return sample.X, sample.y


def prune_only(recipe, model, **arguments):
    """The recipe without training."""
    assert not list(recipe(model, data_of(model), SPARSITY, epochs=0, rng=0, **arguments))
    return model


def ends(model):
    """How many weights are gone after each round."""
    return rounds(round(SPARSITY * model.n_weights), ROUNDS, "geometric", SPARSITY)


@pytest.mark.parametrize("net", ["dense", "conv", "residual"])
def test_synflow_scores_anew_after_each_cut(net):
    wanted = make(net)
    for k in ends(wanted):
        order = np.lexsort((np.arange(wanted.n_weights), criteria.synflow(wanted), wanted.mask[: wanted.n_weights]))
        mask = np.ones(len(wanted.values), bool)
        mask[order[:k]] = False
        wanted.set_mask(mask)
    model = prune_only(synflow, make(net), rounds=ROUNDS, prune=partial(prune, criterion="random"))
    np.testing.assert_array_equal(model.mask, wanted.mask)
    assert model.values.tobytes() == wanted.values.tobytes()


@pytest.mark.parametrize("net", ["dense", "conv", "residual"])
def test_force_keeps_what_is_sensitive_in_the_net_before(net):
    model, sample = make(net), sample_for(make(net))
    w, mask = model.weights.copy(), np.ones(len(model.values), bool)
    came_back = 0
    for k in ends(model):
        g = gradient(model, sample, np.where(mask, model.values, 0))
        order = np.argsort(np.abs(w * g[: model.n_weights]), kind="stable")
        before = mask.copy()
        mask = np.ones(len(model.values), bool)
        mask[order[:k]] = False
        came_back += np.count_nonzero(mask & ~before)
    pruned = prune_only(force, make(net), rounds=ROUNDS)
    np.testing.assert_array_equal(pruned.mask, mask)
    np.testing.assert_array_equal(pruned.values, np.where(mask, model.values, 0))
    assert came_back > 0


def test_force_brings_nothing_back_that_was_gone_before():
    model = make("dense")
    prune(model, 0.5, criterion="random", rng=1)
    before = model.mask.copy()
    prune_only(force, model, rounds=ROUNDS)
    assert not (model.mask & ~before).any()
    assert model.sparsity == round(SPARSITY * model.n_weights) / model.n_weights


def test_one_round_of_synflow_can_cut_a_layer_through_and_many_do_not():
    """A narrow and a wide layer: what flows through each is the same, so a weight of the wide one has less."""
    def net():
        widths = [mn.Dense(width, use_bias=False) for width in (40, 40, 2, 2)]
        return mn.Model(mn.Sequential(*widths), (10,), rng=0, dtype=np.float64)

    def left(model):
        return [np.count_nonzero(p.mask) for p in model.weight_parameters]

    data, cut = (np.ones((2, 10)), np.array([0, 1])), 0.985
    once, often = net(), net()
    list(synflow(once, data, cut, epochs=0, rounds=1))
    list(synflow(often, data, cut, epochs=0, rounds=100))
    assert min(left(once)) == 0 and min(left(often)) > 0
    assert sum(left(once)) == sum(left(often))


def test_force_in_one_round_is_snip():
    model, wanted = make("dense"), make("dense")
    prune_only(force, model, rounds=1)
    prune(wanted, SPARSITY, criterion="snip", data=data_of(wanted))
    assert model.values.tobytes() == wanted.values.tobytes()


@pytest.mark.parametrize("recipe", [synflow, force])
def test_training_comes_after_all_pruning(recipe):
    model = make("dense")
    sparsities = [step.model.sparsity for step in recipe(model, data_of(model), SPARSITY, epochs=3, rng=0,
                                                         train=partial(train, batch_size=4))]
    assert sparsities == [round(SPARSITY * model.n_weights) / model.n_weights] * 3
