"""SET and RigL: counts that stay, what goes and comes by the rule written out in NumPy, births at 0, the same bits."""
import tracemalloc
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from born import MODELS, data, dense_twin, net, spread, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import bits, is_plus_zero

import minnet as mn
from minnet.engine import sparse
from minnet.engine.rewire import highest_places
from minnet.engine.sample import draw_sample, gradient
from minnet.engine.tape import Tape
from minnet.errors import MinnetError, Unsupported
from minnet.pruning.recipes.moving import steepest
from minnet.pruning.recipes.regrow import evolve

NAMES = ["rigl", "set"]
MOVING = [*NAMES, "granet"]  # this one prunes as well: where as much is gone as was asked, it only moves weights
ALPHA, END, ZETA, LEAST = 0.4, 0.8, 0.35, 0.1
BATCHES = 8  # of an epoch of 50 rows
ARGUMENTS = {"set": {"zeta": ZETA}, "rigl": {"interval": 3, "alpha": ALPHA, "end": END, "samples": None},
             "granet": {"interval": 3, "alpha": ALPHA, "least": LEAST, "samples": None, "sparsity": 0.0}}


def run(name, model, **more):
    """What `steps_of` gives of the recipe with the arguments of this file."""
    return steps_of(name, model, **ARGUMENTS[name] | more)


def first(order, count):
    return set(order[:count].tolist())


def drops(name, step, live, value):
    """The places that go, in plain NumPy: sorted by size, then by place."""
    by_size = np.lexsort((np.arange(len(value)), np.abs(value)))
    if name != "set":
        order = by_size[live[by_size]]
        share = ALPHA / 2 * (1 + np.cos(np.pi * step.progress / END)) if name == "rigl" else \
            LEAST + (ALPHA - LEAST) / 2 * (1 + np.cos(np.pi * step.progress))
        return first(order, round(share * len(order)))
    signs = [by_size[(live & side)[by_size]] for side in (value >= 0, value < 0)]
    return set().union(*(first(order, round(ZETA * len(order))) for order in signs))


def turns_of(name, steps):
    """Whether each step has a turn: SET after all epochs but the last, others once three more steps are done."""
    if name == "set":
        return [step.batch == 0 and step.progress < 1 for step in steps]
    threes = [(step.epoch * BATCHES + step.batch) // 3 for step in steps]
    return [now > before and step.progress < (END if name == "rigl" else 1)
            for step, before, now in zip(steps, [0, *threes[:-1]], threes, strict=True)]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("every", ["batch", 3])
def test_each_turn_is_the_rule_written_out(name, kind, every):
    """Who goes, how many come, that only they change, and that births are +0.0 in the values and in every vector."""
    steps, count = run(name, MODELS[kind](), every=every), 0
    turns = turns_of(name, [step for (step, _, _), _ in steps])
    for turn, ((step, model, before), (_, _, after)) in zip(turns, steps, strict=True):
        twin = model if kind == "masked" else dense_twin(model)
        slopes = gradient(twin, draw_sample(twin, data(), samples=None))
        for parameter, (live, vectors) in before.items():
            now, moved = after[parameter]
            gone = drops(name, step, live, vectors[0]) if turn and not live.all() else set()
            kept = live.copy()
            kept[list(gone)] = False
            born = now & ~kept
            assert (now >= kept).all() and born.sum() == len(gone)
            for old, new in zip(vectors, moved, strict=True):
                assert bits(new[kept]) == bits(old[kept]) and is_plus_zero(new[~kept])
            if name != "set" and gone:
                size = np.abs(twin.parameters[parameter].of(slopes).reshape(-1))
                order = np.lexsort((np.arange(len(size)), -size))
                assert set(np.flatnonzero(born).tolist()) == first(order[~kept[order]], len(gone))
            count += bool(gone)
    assert count > 5


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(sparsity=st.sampled_from([0.3, 0.5, 0.9]), epochs=st.integers(0, 4), seed=st.integers(0, 99))
def test_a_dense_net_is_pruned_once_and_its_counts_stay(name, sparsity, epochs, seed):
    model = mn.models.mlp((20,), 4, (30, 7), rng=0)
    steps = run(name, model, sparsity=sparsity, epochs=epochs, rng=seed)
    assert len(steps) == epochs
    assert np.count_nonzero(~model.mask[: model.n_weights]) == round(sparsity * model.n_weights)
    counts = [[int(now.sum()) for now, _ in after.values()] for _, (_, _, after) in steps]
    assert all(count == counts[0] for count in counts)
    assert is_plus_zero(model.values[~model.mask])


def test_what_prune_is_bound_to_chooses_the_first_mask():
    model, wanted = (mn.models.mlp((20,), 4, (30,), rng=0) for _ in range(2))
    mn.prune(wanted, 0.8)
    run("set", model, sparsity=0.8, epochs=1, prune=mn.prune)
    assert np.array_equal(model.mask, wanted.mask)


@pytest.mark.parametrize("name", [*NAMES, "static"])
def test_a_sparsity_for_each_layer_is_where_the_counts_begin_and_stay(name):
    """As in RigL's own table: 99 % of the first layer, 89 % of the second, none of the last."""
    model = mn.models.mlp((20,), 4, (30, 10), rng=0)
    shares = dict(zip((p.layer for p in model.weight_parameters), (0.9, 0.5, 0.0), strict=True))
    for _, _ in steps_of(name, model, **ARGUMENTS.get(name, {}), epochs=2, distribution=shares):
        assert [int(p.mask.sum()) for p in model.weight_parameters] == [60, 150, 40]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name, kind):
    results = []
    for seed in (3, 3, 4):
        model = MODELS[kind]()
        run(name, model, rng=seed)
        places = [p.index.tobytes() for p in model.weight_parameters if p.index is not None]
        results.append(bits(model.values, model.mask) + b"".join(places))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("kind", MODELS)
def test_any_number_of_threads_moves_the_same_weights(monkeypatch, kind):
    results = []
    for threads in "123":
        monkeypatch.setenv("MINNET_NUM_THREADS", threads)
        state = mn.State(MODELS[kind](), mn.SGD(0.1))
        evolve(state, list(state.model.layers), ZETA, np.random.default_rng(0))
        places = [p.index.tobytes() for p in state.model.weight_parameters if p.index is not None]
        results.append([bits(state.model.values, state.model.mask), *places])
        assert state.topology == state.model.topology == (kind == "born sparse")
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", NAMES)
def test_layers_that_are_protected_stay_as_they_are(name):
    model = dense_twin(net())
    mask = model.parameters["dense1.weight"].mask.copy()
    run(name, model, prune=partial(mn.prune, protect="dense1"))
    assert np.array_equal(model.parameters["dense1.weight"].mask, mask)


def test_masks_inside_a_born_sparse_layer_stay_and_only_live_weights_go():
    model = net()
    mn.prune(model, count=60)
    masked = {p.name: p.index[~p.mask] for p in model.weight_parameters if p.index is not None}
    run("set", model)
    for name, places in masked.items():
        p = model.parameters[name]
        assert np.array_equal(p.index[~p.mask], places) and is_plus_zero(p.value[~p.mask])


@pytest.mark.parametrize("structure", ["neuron", "2:4", "row"])
@pytest.mark.parametrize("name", NAMES)
def test_other_structures_are_refused_before_training(name, structure):
    with pytest.raises(Unsupported, match="single weights"):
        run(name, net(), sparsity=0.5, prune=partial(mn.prune, structure=structure))


@pytest.mark.parametrize(("name", "arguments"), [
    ("set", {"zeta": 1.2}), ("rigl", {"alpha": -1}), ("rigl", {"end": 3}), ("rigl", {"interval": 0}),
    ("rigl", {"samples": 0}),
])
def test_own_arguments_are_checked(name, arguments):
    with pytest.raises(MinnetError, match=next(iter(arguments))):
        run(name, net(), **arguments)


# --- the largest gradients of a layer that is never dense ------------------------------------------------------------


@settings(max_examples=60)
@given(st.data())
def test_the_highest_places_are_those_of_a_sort(data):
    scores = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=1, max_size=60)), float)
    edges = sorted({0, len(scores), *data.draw(st.lists(st.integers(0, len(scores)), max_size=5))})
    blocks = [(low, scores[low:high]) for low, high in pairwise(edges)]
    count = data.draw(st.integers(0, int((scores >= 0).sum())))
    found = highest_places(blocks, count)
    order = np.lexsort((np.arange(len(scores)), -scores))
    assert found.tolist() == sorted(order[:count].tolist())


@pytest.mark.parametrize("block", [1, 40, 10**6])
@pytest.mark.parametrize("count", [0, 1, 37, 500])
def test_the_steepest_places_are_those_of_the_dense_gradient(monkeypatch, block, count):
    monkeypatch.setattr(sparse, "SLOPES", block)
    model = net()
    twin, (X, y) = dense_twin(model), data(9)
    tapes = [Tape(m) for m in (model, twin)]
    for tape in tapes:
        logits = tape.model.forward(X, tape)
        tape.model.backward(logits - np.eye(4)[y], tape)
    p = model.parameters["dense1.weight"]
    found = steepest(tapes[0], p, count, p.index)
    assert np.array_equal(found, steepest(tapes[1], twin.parameters[p.name], count, p.index))
    assert spread(model, twin, model.mask, True)[found].sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_no_dense_matrix_is_made(name):
    """A layer of 4 x 10^8 places and 80,000 weights."""
    tracemalloc.start()
    model = mn.models.sparse_mlp((20_000, 20_000, 5), 2, rng=0)
    p = model.weight_parameters[0]
    before = p.index.copy()
    X = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32)
    arguments = {"rigl": {"interval": 1}, "set": {}}[name]
    for _ in mn.recipes.RECIPES[name](model, (X, np.array([0, 1])), None, epochs=2, rng=0, **arguments):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(np.setdiff1d(before, p.index)) > 5_000
    assert peak < 100e6
