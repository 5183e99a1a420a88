"""Prune: exact counts, ties by index, scopes that hold, budgets that are met, and a model that errors never touch."""
import itertools
import re
from functools import partial

import numpy as np
import pytest
from each import each
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tables import NETS, PAIRS, UNITS, make, sample_for
from trees import masked_models, models

import minnet as mn
from minnet.engine.optimizers import OPTIMIZERS
from minnet.errors import InvalidValue, MinnetError
from minnet.pruning import recipes
from minnet.pruning.budgets import Costs
from minnet.pruning.candidates import Infeasible
from minnet.pruning.choose import choose, weighted
from minnet.pruning.compact import compact
from minnet.pruning.distributions import DISTRIBUTIONS
from minnet.pruning.parse import structure_of
from minnet.pruning.prune import plan_prune, prune
from minnet.pruning.result import Record
from minnet.training import train

by_seed = st.integers(0, 2**32 - 1)
sparsities = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.29, 0.5, 0.9, 1.0]))
tied = st.sampled_from([0.0, -0.0, 1.0, 1.0, -1.0, 1e-45, 1e38, np.inf, -np.inf])


def rule(scores):
    """The criterion that gives these scores."""
    return lambda model, data: scores


def scores_for(model, seed, levels=4):
    """Random scores with many ties."""
    return np.random.default_rng(seed).integers(0, levels, model.n_weights).astype(float)


def bits(model):
    return model.values.tobytes() + model.mask.tobytes()


def gone(model):
    """Which weights are masked."""
    return ~model.mask[: model.n_weights]


# --- counts ----------------------------------------------------------------------------------------------------------


def plain_prune(model, sparsity, scores, eligible=None):
    """Which weights are masked afterwards, for structure "weight" and distribution "global"."""
    n, before = model.n_weights, gone(model)
    wanted = max(round(sparsity * n), np.count_nonzero(before))
    order = sorted((i for i in range(n) if before[i] or eligible is None or eligible[i]),
                   key=lambda i: (not before[i], scores[i] if not before[i] else 0, i))
    return set(order[:wanted])


@given(masked_models(), sparsities, by_seed)
def test_global_pruning_of_weights_is_the_plain_procedure(model, sparsity, seed):
    scores, other = scores_for(model, seed), model.mask[model.n_weights :].copy()
    values = model.values.copy()
    wanted = plain_prune(model, sparsity, scores)
    before = np.count_nonzero(gone(model))
    result = prune(model, sparsity, criterion=rule(scores))
    assert set(np.flatnonzero(gone(model)).tolist()) == wanted
    assert result.removed == len(wanted) - before and result.remaining == model.n_weights - len(wanted)
    assert np.array_equal(model.mask[model.n_weights :], other)
    assert model.values.tobytes() == np.where(model.mask, values, 0.0).tobytes()
    assert not np.signbit(model.values[~model.mask]).any()


@given(models(), st.sampled_from(["weight", "row", "column", "block", "2x3", "channel"]), sparsities, sparsities,
       by_seed)
def test_exactly_so_many_pieces_go_of_any_tree(model, structure, sparsity, then, seed):
    try:
        pieces = structure_of(structure)(model, choose(model))
    except InvalidValue as error:
        assert (structure == "channel" and "outputs" in str(error)) or "made by" in str(error)
        return
    most = sum(part.size - part.keeps for part in pieces.layer_groups)
    assert all(part.keeps == (structure in UNITS) for part in pieces.layer_groups)
    for share in sorted((sparsity, then)):
        k, before = round(share * pieces.n), pieces.gone(model.mask)
        if k > most:
            whole = bits(model)
            with pytest.raises(InvalidValue, match=f"ask for at most {most}$"):
                prune(model, share, structure=structure, criterion=rule(scores_for(model, seed)), reduction="sum")
            assert bits(model) == whole
            k = most
        result = prune(model, count=k, structure=structure, criterion=rule(scores_for(model, seed)), reduction="sum")
        after = pieces.gone(model.mask)
        assert np.count_nonzero(after) == k == result.units.total - result.units.remaining
        assert not (before & ~after).any()
        assert result.units.removed == np.count_nonzero(after & ~before)


@given(st.sampled_from(PAIRS), st.sampled_from(sorted(DISTRIBUTIONS)), sparsities, by_seed, st.integers(1, 50))
def test_counts_are_exact_for_every_structure_and_distribution(pair, distribution, sparsity, seed, levels):
    """Whatever the scores, all equal included. Otherwise the message names the largest count, and that can be had."""
    structure, net = pair
    assume(structure == "weight" or distribution != "rowwise")
    model, scores = make(net), scores_for(make(net), seed, levels)
    pieces, before = structure_of(structure)(model, choose(model)), bits(model)
    arguments = {"structure": structure, "distribution": distribution, "criterion": rule(scores)}
    k = round(sparsity * pieces.n)
    try:
        result = prune(model, sparsity, **arguments)
    except Infeasible as error:
        assert bits(model) == before
        most = int(re.search(r"ask for at most (\d+)", str(error))[1])
        assert most < k
        result = prune(model, count=most, **arguments)
        k = most
    assert np.count_nonzero(pieces.gone(model.mask)) == k == result.units.total - result.units.remaining
    for part in pieces.layer_groups:
        assert np.count_nonzero(~pieces.gone(model.mask)[part.slice]) >= part.keeps


@given(st.sampled_from(PAIRS), sparsities, by_seed)
def test_the_lowest_pieces_go_ties_by_index(pair, sparsity, seed):
    structure, net = pair
    model = make(net)
    pieces, scores = structure_of(structure)(model, choose(model)), scores_for(model, seed)
    reduced = pieces.reduce(scores, "max")
    most = [part.size - part.keeps for part in pieces.layer_groups]
    assume(round(sparsity * pieces.n) <= min(most))  # no bound can bind
    prune(model, sparsity, structure=structure, criterion=rule(scores), reduction="max")
    order = sorted(range(pieces.n), key=lambda i: (reduced[i], i))
    assert np.flatnonzero(pieces.gone(model.mask)).tolist() == sorted(order[: round(sparsity * pieces.n)])


@pytest.mark.parametrize(("structure", "net"), [pair for pair in PAIRS if pair[0] in UNITS])
def test_an_axis_keeps_its_best_unit(structure, net):
    """Everything that may go is gone, and in every part the unit with the highest score is left."""
    model = make(net)
    pieces = structure_of(structure)(model, choose(model))
    scores = np.random.default_rng(0).permutation(model.n_weights)
    most = sum(part.size - 1 for part in pieces.layer_groups)
    prune(model, count=most, structure=structure, criterion=rule(scores), reduction="sum")
    reduced = pieces.reduce(scores, "sum")
    for part in pieces.layer_groups:
        left = np.flatnonzero(~pieces.gone(model.mask)[part.slice])
        assert left.tolist() == [np.argmax(reduced[part.slice])]


@each(("structure", "net"), PAIRS)
def test_pruning_nothing_changes_no_bit(structure, net):
    model = make(net)
    before = bits(model)
    result = prune(model, 0.0, structure=structure)
    assert bits(model) == before and result.removed == 0 and result.collapsed == ()


@pytest.mark.parametrize("net", NETS)
def test_pruning_everything_leaves_zeros_and_says_so(net):
    model = make(net)
    result = prune(model, 1.0)
    assert not model.weights.any() and not np.signbit(model.weights).any() and model.sparsity == 1
    assert result.collapsed == tuple(weighted(model)) and "nothing remains in" in str(result)
    assert np.isfinite(model(sample_for(model).X)).all()


def test_what_is_gone_counts_and_more_than_asked_is_left_alone():
    model = make("dense")
    prune(model, 0.5)
    before = bits(model)
    for arguments in ({"sparsity": 0.3}, {"sparsity": 0.5}, {"count": 10}):
        assert prune(model, **arguments).removed == 0 and bits(model) == before
    assert prune(model, 0.6).removed == round(0.6 * 62) - round(0.5 * 62)


# --- laws of ranking -------------------------------------------------------------------------------------------------


@given(models(), st.lists(sparsities, min_size=1, max_size=4), by_seed)
def test_masks_nest_and_steps_lead_where_one_shot_does(model, path, seed):
    """The same scores: along any path of sparsities the masks nest, and the last is that of one shot."""
    scores, once = scores_for(model, seed), model.clone()
    before = gone(model)
    for sparsity in sorted(path):
        prune(model, sparsity, criterion=rule(scores))
        assert not (before & ~gone(model)).any()
        before = gone(model)
    prune(once, max(path), criterion=rule(scores))
    assert bits(model) == bits(once)


@given(models(), st.lists(sparsities, min_size=1, max_size=4))
def test_magnitude_by_steps_is_magnitude_at_once(model, path):
    """Also though pruned weights score 0: they go first, before weights that happen to be 0."""
    model.values[: model.n_weights : 3] = 0
    once = model.clone()
    for sparsity in sorted(path):
        prune(model, sparsity)
        prune(model, sparsity)  # twice is once
    prune(once, max(path))
    assert bits(model) == bits(once)


@given(models(), sparsities, by_seed)
def test_only_the_order_of_scores_counts(model, sparsity, seed):
    scores, found = scores_for(model, seed, levels=7), []
    for moved in (scores, scores**3 - 5, np.exp(scores), scores.astype(np.float32), scores.astype(int)):
        copy = model.clone()
        prune(copy, sparsity, criterion=rule(moved))
        found.append(copy.mask.tobytes())
    assert len(set(found)) == 1


@given(models(), sparsities)
def test_equal_scores_go_by_index(model, sparsity):
    prune(model, sparsity, criterion=rule(np.ones(model.n_weights)))
    assert np.flatnonzero(gone(model)).tolist() == list(range(round(sparsity * model.n_weights)))


@given(models(), sparsities)
def test_magnitude_does_not_see_signs(model, sparsity):
    other = model.clone()
    other.values[: model.n_weights] *= np.where(np.arange(model.n_weights) % 2, 1, -1)
    prune(model, sparsity)
    prune(other, sparsity)
    assert np.array_equal(model.mask, other.mask)


@given(st.integers(0, 9), by_seed)
def test_magnitude_is_the_projection_onto_k_zeros(k, seed):
    """No other mask of so many zeros is nearer: by trying all of them."""
    model = make("dense", seed)
    layer = ["dense1"]
    model.values[9 : model.layers["dense1"].weight.size] = 100  # all but nine weights are out of the question
    weights = model.weights.copy()
    prune(model, count=k, layers=layer)
    best = min(sum(weights[i] ** 2 for i in cut) for cut in itertools.combinations(range(9), k))
    assert ((weights - model.weights) ** 2).sum() == pytest.approx(best)


# --- scope -----------------------------------------------------------------------------------------------------------


@given(models(), sparsities, by_seed, st.data())
def test_layers_and_protect_are_never_violated(model, sparsity, seed, data):
    names = weighted(model)
    layers = data.draw(st.sets(st.sampled_from(names), min_size=1))
    protect = data.draw(st.sets(st.sampled_from(names)))
    assume(layers - protect)
    values, n = model.values.copy(), sum(model.layers[name].weight.size for name in layers - protect)
    prune(model, sparsity, criterion=rule(scores_for(model, seed)), layers=layers, protect=protect)
    assert np.count_nonzero(gone(model)) == round(sparsity * n)
    for name in set(names) - (layers - protect):
        p = model.layers[name].weight
        assert p.mask.all() and p.value.tobytes() == p.of(values).tobytes()


@pytest.mark.parametrize(("layers", "protect", "wanted"), [
    (None, None, ["conv1", "conv2", "dense1", "dense2"]), ("conv*", None, ["conv1", "conv2"]),
    ("Dense", None, ["dense1", "dense2"]), ("conv", None, ["conv1", "conv2"]), ("last:2", None, ["dense1", "dense2"]),
    ("first:1", None, ["conv1"]), ("last:9", "first:3", ["dense2"]), ("dense1.weight", None, ["dense1"]),
    (["dense?", "conv2"], "dense2", ["conv2", "dense1"]), (None, ("*2",), ["conv1", "dense1"]),
    ("[cd]*1", [], ["conv1", "dense1"]),
])
def test_layers_are_chosen_by_name_pattern_and_kind(layers, protect, wanted):
    assert choose(make("conv"), layers, protect) == wanted


@given(models(), st.tuples(st.floats(0, 1), st.floats(0, 1)), st.floats(0, 1), by_seed)
def test_only_weights_in_the_range_go(model, ends, share, seed):
    low, high = min(ends), max(ends)
    assume(low < high)
    size, scores = np.abs(model.weights), scores_for(model, seed)
    eligible = (size >= low) & (size <= high)
    most = np.count_nonzero(eligible)
    sparsity = share * most / model.n_weights
    wanted = plain_prune(model, sparsity, scores, eligible)
    prune(model, sparsity, criterion=rule(scores), value_range=(low, high))
    assert set(np.flatnonzero(gone(model)).tolist()) == wanted and len(wanted) == round(sparsity * model.n_weights)
    before = bits(model)
    if most < model.n_weights:
        with pytest.raises(InvalidValue, match=f"ask for at most {most}$"):
            prune(model, count=most + 1, criterion=rule(scores), value_range=(low, high))
        assert bits(model) == before


def test_a_unit_goes_only_if_all_its_weights_are_in_the_range():
    model = make("dense")
    first = model.layers["dense1"].weight
    first.value[...] = 0.5
    first.value[0, [1, 3]] = 2.0
    result = prune(model, count=3, structure="neuron", layers="dense1", value_range=(0, 1))
    assert result.units.removed == 3 and first.mask.any(axis=0).tolist() == [False, True, False, True, False]


# --- plans, results, undo --------------------------------------------------------------------------------------------


@given(masked_models(), st.sampled_from(["weight", "column", "channel"]), sparsities, by_seed)
def test_undo_puts_every_bit_back(model, structure, sparsity, seed):
    before = bits(model)
    try:
        plan = plan_prune(model, sparsity, structure=structure, criterion=rule(scores_for(model, seed)))
    except InvalidValue:
        assume(False)
    assert bits(model) == before  # a plan changes nothing
    remaining = np.count_nonzero(model.mask[: model.n_weights])
    result = plan.apply()
    assert result.removed == plan.count == remaining - np.count_nonzero(model.mask[: model.n_weights])
    assert result.sparsity == pytest.approx(model.sparsity) and result.remaining == remaining - result.removed
    assert sum(layer.removed for layer in result.per_layer.values()) == result.removed
    assert sum(layer.remaining for layer in result.per_layer.values()) == result.remaining
    for p in model.weight_parameters:
        assert result.per_layer[p.layer].remaining == np.count_nonzero(p.mask)
        assert result.per_layer[p.layer].sparsity == 1 - p.mask.mean()
    result.undo()
    assert bits(model) == before


def test_a_plan_that_is_out_of_date_is_refused():
    model = make("dense")
    plan = plan_prune(model, 0.5)
    prune(model, 0.1)
    before = bits(model)
    with pytest.raises(InvalidValue, match="another plan"):
        plan.apply()
    assert bits(model) == before


@given(st.sampled_from([pair for pair in PAIRS if pair[1] in ("dense", "residual")]), st.floats(0.1, 0.6), by_seed,
       st.sampled_from(["global", "layerwise"]))
def test_explanations_are_true(pair, sparsity, seed, distribution):
    structure, net = pair
    model = make(net)
    model.mask[5:9] = False
    model.set_mask(model.mask)
    before = model.mask.copy()
    result = prune(model, sparsity, structure=structure, criterion=rule(scores_for(model, seed)), reduction="mean",
                   distribution=distribution, protect="last:1")
    protected = weighted(model)[-1]
    for p in model.weight_parameters:
        for index in np.ndindex(*p.shape):
            told = result.explain(p.name, index)
            lived, lives = p.of(before)[index], p.mask[index]
            assert lived or not lives
            if lived:
                assert (told.outcome == "removed") == (not lives)
            assert (told.outcome == "not in the scope") == (told.score is None)
            if p.layer == protected:
                assert told.outcome == "not in the scope"
            if told.rank is not None:
                assert (told.outcome == "removed") == (told.rank <= told.quota) and told.rank <= told.rivals
                assert told.outcome != "removed" or told.score <= told.cut
                assert told.outcome == "removed" or told.cut is None or told.score > told.cut or told.tie
            assert str(told).startswith(p.name)


def test_a_record_says_in_which_round_a_weight_went():
    model, record, masks = make("dense"), Record(), []
    data = sample_for(model)
    for _ in recipes.iterative(model, (data.X, data.y), 0.8, epochs=3, rounds=3, schedule="arithmetic", rng=0,
                               prune=partial(prune, record=record, distribution="layerwise", protect="dense3")):
        masks.append(model.mask.copy())
    assert len(record) == 3  # the recipe's trial is no round
    for p in model.weight_parameters:
        for index in np.ndindex(*p.shape):
            told = record.explain(p.name, index)
            lives = [bool(p.of(mask)[index]) for mask in masks]
            assert told.round == (3 if all(lives) else lives.index(False) + 1)
            assert told.outcome == ("not in the scope" if p.layer == "dense3" else "kept" if all(lives) else "removed")
            if told.score is not None:
                assert told.layer_quota == np.count_nonzero(~p.of(masks[told.round - 1])) == told.quota
                assert f"{told.outcome} in round {told.round}, its score" in str(told)
    assert prune(model, 0.9).explain("dense1", 0).round is None
    with pytest.raises(InvalidValue, match="record is empty"):
        Record().explain("dense1", 0)


def test_the_quota_of_a_layer_is_what_it_loses_in_a_global_cut():
    model = make("dense")
    result = prune(model, 0.5)
    for p in model.weight_parameters:
        told = result.explain(p.name, 0)
        assert told.layer_quota == np.count_nonzero(~p.mask) and told.quota == 31


def test_an_explanation_of_equal_scores_names_the_tie():
    model = make("dense")
    result = prune(model, count=10, criterion=rule(np.ones(62)))
    for position, outcome in ((9, "removed"), (10, "kept")):
        told = result.explain("dense1", position)
        assert (told.outcome, told.rank, told.quota, told.rivals, told.tie) == (outcome, position + 1, 10, 62, True)
        assert "by index" in str(told)
    for name, index in (("dense9", 0), ("dense1.bias", 0), ("dense1", (9, 9)), ("dense1", "x"), ("dense1", (1,))):
        with pytest.raises(MinnetError):
            result.explain(name, index)


# --- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", ["macs", "bytes"])
@settings(max_examples=40)
@given(pair=st.sampled_from([("weight", "conv"), ("channel", "dense"), ("channel", "residual"), ("filter", "conv"),
                             ("column", "normed"), ("channel", "depthwise")]), share=st.floats(-0.5, 1), seed=by_seed)
def test_a_budget_is_met_and_over_again_if_the_last_piece_came_back(budget, pair, share, seed):
    structure, net = pair
    model, scores = make(net), np.random.default_rng(seed).permutation(make(net).n_weights)
    cost, empty = getattr(Costs(model), budget), make(net)
    how = {"structure": structure, "criterion": rule(scores), "reduction": "sum"}
    pieces = structure_of(structure)(model, choose(model))
    prune(empty, count=sum(part.size - part.keeps for part in pieces.layer_groups), **how)
    whole, least = cost(np.ones(len(model.values), bool)), cost(empty.mask)
    limit = max(1, least + int(share * (whole - least)))
    if limit < least:
        with pytest.raises(InvalidValue, match="cannot be met"):
            prune(model, **{budget: limit}, **how)
        return
    result = prune(model, **{budget: limit}, **how)
    assert cost(model.mask) <= limit
    if result.units.removed:
        one_less = make(net)
        prune(one_less, count=result.units.removed - 1, **how)
        assert cost(one_less.mask) > limit
    as_share = make(net)
    prune(as_share, **{budget: min((limit + 0.5) / whole, 1.0)}, **how)
    assert bits(as_share) == bits(model)


@pytest.mark.parametrize("net", ["dense", "normed", "conv", "residual"])
def test_macs_are_those_of_the_compacted_model(net):
    model = make(net)
    assert Costs(model).macs(model.mask) == model.macs
    prune(model, 0.5, structure="channel")
    assert Costs(model).macs(model.mask) == compact(model).macs


@pytest.mark.parametrize("structure", ["weight", "channel"])
@pytest.mark.parametrize("net", NETS)
def test_bytes_are_those_of_the_file_of_the_compacted_model(net, structure, tmp_path):
    model, path = make(net, dtype=np.float32), tmp_path / "model.safetensors"
    whole = Costs(model).bytes(model.mask)
    for sparsity in (0, 0.3, 0.6):
        before = bits(model)
        prune(model, sparsity, structure=structure)
        found = Costs(model).bytes(model.mask)
        mn.save(compact(model), path)
        assert found == path.stat().st_size and (sparsity or (bits(model) == before and found == whole))


def test_a_budget_of_bytes_where_a_layer_was_born_sparse(tmp_path):
    """Such a model cannot be compacted, so it is its own file that counts."""
    model = mn.Model(mn.Sequential(mn.SparseDense(40, live=900), mn.ReLU(), mn.Dense(3)), (50,), rng=0)
    mn.save(model, tmp_path / "whole.safetensors")
    limit = (tmp_path / "whole.safetensors").stat().st_size - 1000
    result = prune(model, bytes=limit)
    mn.save(model, tmp_path / "pruned.safetensors")
    assert result.removed and (tmp_path / "pruned.safetensors").stat().st_size <= limit


@each(("structure", "net"), [pair for pair in PAIRS if pair[0] in UNITS or pair[1] != "dense"])
@each("name", ["macs", "bytes"])
def test_scores_per_cost_are_divided_by_what_a_piece_alone_frees(structure, net, name):
    """The cost of a piece is what the model costs with it less what it costs without, bytes being those of numbers. (In
    "dense" is a unit without a bias, so that a column takes the unit and its readers along; a column's cost does not
    count those.)"""
    model = make(net)
    costs, pieces = Costs(model), structure_of(structure)(model, choose(model))
    cost = {"macs": costs.macs, "bytes": lambda mask: np.count_nonzero(costs.live(mask)) * model.dtype.itemsize}[name]
    whole, scores = model.mask, np.random.default_rng(0).uniform(1, 2, model.n_weights)
    alone = [cost(whole) - cost(whole & pieces.expand(np.arange(pieces.n) != i)) for i in range(pieces.n)]
    assert costs.of(name, pieces, whole).tolist() == alone
    wanted = pieces.reduce(scores, "sum") / alone
    prune(model, count=1, structure=structure, criterion=rule(scores), reduction="sum", per=name)
    assert np.flatnonzero(pieces.gone(model.mask)).tolist() == [np.argmin(wanted)]


def test_units_to_remain_are_given_by_layer():
    model = make("conv")
    result = prune(model, units={"conv*": 2, "dense1": 4})
    small = compact(model)
    assert [small.layers[name].weight.shape[-1] for name in ("conv1", "conv2", "dense1", "dense2")] == [2, 2, 4, 3]
    assert result.units.unit == "channel" and result.units.removed == 2 + 1 + 1
    assert prune(model, units={"conv1": 3}).removed == 0


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("structure", ["weight", "filter"])
def test_what_went_stays_away_in_training(optimizer, structure):
    """Values, momentum and second moments are exactly +0.0 after any number of steps."""
    model = make("residual")
    sample = sample_for(model)
    made = OPTIMIZERS[optimizer](lr=0.05, weight_decay=0.1, **({"momentum": 0.9} if optimizer == "sgd" else {}))
    for step in train(model, (sample.X, sample.y), optimizer=made, epochs=6, batch_size=3, every="batch", rng=0):
        if step.epoch == 2 and step.batch == 0:
            prune(model, 0.4, structure=structure)
            mask = model.mask.copy()
        elif step.epoch >= 2:
            assert np.array_equal(model.mask, mask)
            assert not model.values[~mask].view(np.uint64).any()
            assert not step.state.vectors[:, ~mask[: model.n_trainable]].view(np.uint64).any()
            assert model.weights.any()
