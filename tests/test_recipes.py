"""Recipes: exact counts whatever the number of steps, nested masks, zeros that stay zeros, repeatable bits."""
import pickle
from functools import partial

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import make, sample_for

from minnet.engine.optimizers import OPTIMIZERS, SGD
from minnet.errors import MinnetError
from minnet.pruning.choose import weighted
from minnet.pruning.prune import prune
from minnet.pruning.recipes import (
    RECIPES,
    REGROW,
    gradual,
    granet,
    is_sparse_from_start,
    iterative,
    lottery_ticket,
    one_shot,
    regrows,
)
from minnet.pruning.recipes.keywords import function_of, with_options
from minnet.pruning.recipes.masking import shared
from minnet.pruning.rounds import rounds
from minnet.pruning.schedules import SCHEDULES
from minnet.pruning.structures import STRUCTURES
from minnet.study.settings import name_of
from minnet.testing import check_recipe
from minnet.testing.recipe_laws import RECIPE_LAWS
from minnet.training import train

NAMES = sorted(set(RECIPES) - {"slimming"})  # which wants BatchNorm, and cuts channels: see test_recipes_to_sparse.py
ONE_WAY = [name for name in NAMES if name not in REGROW]  # what went stays away; of the others see their own file
EXAMPLES = 15  # each trains a small net
few = st.integers(0, 5)
training = partial(train, optimizer=SGD(0.05, momentum=0.9), batch_size=3)


def data_of(model):
    sample = sample_for(model)
    return sample.X, sample.y


def masks_of(model, steps):
    """The mask after each step."""
    return [model.mask.copy() for _ in steps]


@pytest.mark.parametrize("name", ONE_WAY)
@settings(max_examples=EXAMPLES)
@given(epochs=few, sparsity=st.sampled_from([0.0, 0.29, 0.5, 0.75]), schedule=st.sampled_from(sorted(SCHEDULES)),
       structure=st.sampled_from(["weight", "neuron", "column"]), every=st.sampled_from(["epoch", "batch"]))
def test_exactly_so_many_are_gone_in_the_end_and_masks_nest(name, epochs, sparsity, schedule, structure, every):
    model = make("dense")
    steps = RECIPES[name](model, data_of(model), sparsity, epochs=epochs, schedule=schedule, rng=0,
                          prune=partial(prune, structure=structure, criterion="random"),
                          train=partial(training, every=every))
    before = model.mask.copy()
    for mask in masks_of(model, steps):
        assert not (mask & ~before).any()
        before = mask
    pieces = STRUCTURES[structure](model, list(weighted(model)))
    assert np.count_nonzero(pieces.gone(model.mask)) == round(sparsity * pieces.n)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_what_is_masked_is_plus_zero_in_values_and_in_every_vector_of_the_state(name, data):
    model = make(data.draw(st.sampled_from(["dense", "normed"])))
    optimizer = data.draw(st.sampled_from(sorted(OPTIMIZERS)))
    steps = RECIPES[name](model, data_of(model), 0.6, epochs=4, schedule="cubic", rng=data.draw(few),
                          train=partial(train, optimizer=OPTIMIZERS[optimizer](lr=0.01), batch_size=4, every="batch"))
    for step in steps:
        gone = ~model.mask
        assert not model.values[gone].view(np.uint64).any()
        assert not step.state.vectors[:, gone[: model.n_trainable]].view(np.uint64).any()


@each("law", RECIPE_LAWS)
@each("name", NAMES)
def test_law(name, law):
    check_recipe(RECIPES[name], laws=[law])


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_bits(name):
    results = []
    for seed in (3, 4):
        model = make("dense")
        list(RECIPES[name](model, data_of(model), 0.5, epochs=3, schedule="arithmetic", rng=seed, train=training,
                           prune=partial(prune, criterion="random")))
        results.append(model.values.tobytes() + model.mask.tobytes())
    assert results[0] != results[1]


@pytest.mark.parametrize("name", ONE_WAY)
@pytest.mark.parametrize("structure", ["2:4", "pattern"])
def test_a_structure_that_sets_its_own_count_takes_no_sparsity(name, structure):
    model = make("conv")
    list(RECIPES[name](model, data_of(model), None, epochs=2, schedule="cubic", rng=0, train=training,
                       prune=partial(prune, structure=structure, layers="conv1")))
    weight = model.layers["conv1"].weight
    rows, kernels = 18, 8  # 3 x 3 x 2 by 4: the last group of 4 has 2
    assert np.count_nonzero(weight.mask) == {"2:4": 4 * (rows // 4 * 2 + 2), "pattern": 4 * kernels}[structure]


@pytest.mark.parametrize("recipe", [gradual, granet])
@settings(max_examples=EXAMPLES)
@given(st.integers(1, 12), st.sampled_from(sorted(SCHEDULES)), st.floats(0.05, 0.95))
def test_gradual_follows_its_schedule(recipe, epochs, schedule, sparsity):
    """After epoch e of E, progress is e / E; the way is done by the half of it."""
    model = make("dense")
    share = rounds(round(sparsity * 62), epochs, schedule, sparsity)
    steps = recipe(model, data_of(model), sparsity, epochs=epochs, schedule=schedule, end=1.0, train=training, rng=0)
    assert [np.count_nonzero(~step.model.mask) for step in steps] == share
    half = make("dense")
    for step in recipe(half, data_of(half), sparsity, epochs=epochs, train=training, rng=0):
        if step.progress >= 0.5:
            assert np.count_nonzero(~half.mask) == round(sparsity * 62)


@pytest.mark.parametrize("recipe", [gradual, granet])
def test_gradual_waits_until_it_begins(recipe):
    model = make("dense")
    seen = [np.count_nonzero(~model.mask) for _ in recipe(model, data_of(model), 0.5, epochs=8, schedule="arithmetic",
                                                          begin=0.25, end=0.75, train=training, rng=0)]
    assert seen == [0, 0, 8, 16, 23, 31, 31, 31]


@pytest.mark.parametrize("recipe", [gradual, granet])
def test_gradual_goes_on_from_what_is_gone(recipe):
    model = make("dense")
    prune(model, count=10)
    seen = [np.count_nonzero(~model.mask) for _ in recipe(model, data_of(model), 0.5, epochs=4, schedule="arithmetic",
                                                          end=1.0, train=training, rng=0)]
    assert seen == [15, 20, 26, 31]  # 10 + round(21 k / 4)


def test_iterative_prunes_then_trains_each_round():
    model = make("dense")
    seen = [np.count_nonzero(~model.mask) for _ in iterative(model, data_of(model), 0.8, epochs=7, rounds=3,
                                                             schedule="geometric", train=training, rng=0)]
    first, second, last = rounds(round(0.8 * 62), 3, "geometric", 0.8)
    assert seen == [first] * 2 + [second] * 2 + [last] * 3


def test_one_shot_prunes_the_given_net_and_trains_on():
    model, wanted = make("dense"), make("dense")
    prune(wanted, 0.7)
    steps = one_shot(model, data_of(model), 0.7, epochs=2, train=training, rng=0)
    assert model.mask.all()  # nothing happens before the first step is asked for
    next(steps)
    assert np.array_equal(model.mask, wanted.mask)


@pytest.mark.parametrize("rewind", [0, 2])
def test_a_ticket_is_rewound_bit_for_bit(rewind):
    """Before the last training, every weight that is left has its early value, and so have biases and statistics."""
    model, starts = make("normed"), []

    def spy(model, data, *, epochs, rng):
        starts.append((model.values.copy(), model.mask.copy(), epochs))
        return training(model, data, epochs=epochs, rng=rng)

    list(lottery_ticket(model, data_of(model), 0.6, epochs=8 + rewind, rounds=3, rewind=rewind, train=spy, rng=0))
    assert [epochs for *_, epochs in starts] == [rewind, 2, 2, 2, 2]
    early = starts[1][0]
    assert rewind == 0 or not np.array_equal(early, starts[0][0])
    assert [np.count_nonzero(~mask) for _, mask, _ in starts[1:]] == [0, *rounds(round(0.6 * 60), 3, "geometric", 0.6)]
    for values, mask, _ in starts[2:]:
        assert values.tobytes() == np.where(mask, early, 0.0).tobytes()


@given(st.integers(0, 100), st.integers(1, 12))
def test_epochs_are_shared_evenly(epochs, number):
    parts = shared(epochs, number)
    assert sum(parts) == epochs and len(parts) == number and max(parts) - min(parts) <= 1


@each(("arguments", "wanted"), [
    ({"sparsity": 1.5}, "sparsity"), ({"epochs": -1}, "epochs"), ({"rng": "x"}, "rng"),
    ({"prune": partial(prune, criterion="taylr")}, "did you mean taylor"),
    ({"prune": partial(prune, layers="nothing")}, "layer in layers"),
])
@each("name", NAMES)
def test_wrong_arguments_are_refused_when_the_recipe_is_called(name, arguments, wanted):
    model = make("dense")
    before = model.values.tobytes()
    arguments = {"sparsity": 0.5, "epochs": 2, "schedule": "cubic", "train": training} | arguments
    with pytest.raises(MinnetError, match=wanted):
        RECIPES[name](model, data_of(model), **arguments)
    assert model.values.tobytes() == before


@pytest.mark.parametrize(("recipe", "arguments"), [
    *[(recipe, wrong) for recipe in (gradual, granet) for wrong in ({"begin": 0.5, "end": 0.5}, {"end": 2})],
    *[(granet, wrong) for wrong in ({"alpha": 1.5}, {"alpha": 0.1, "least": 0.2}, {"interval": 0}, {"samples": 0})],
    (iterative, {"rounds": 0}),
    (lottery_ticket, {"rounds": 0}), (lottery_ticket, {"rewind": 9}),
    *[(recipe, {"schedule": schedule}) for recipe in (gradual, granet, iterative, lottery_ticket)
      for schedule in ("cubik", [0.1, 0.2])],
])
def test_own_arguments_of_recipes_are_checked(recipe, arguments):
    with pytest.raises(MinnetError):
        recipe(make("dense"), data_of(make("dense")), 0.5, epochs=2, **arguments)


# --- arguments by name -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
def test_arguments_of_prune_are_taken_by_name(name):
    """They are bound to `prune`, over what the recipe would bind."""
    results = []
    bound = {"layers": "dense1", "criterion": "taylor", "distribution": "global"}
    prune_ = partial(prune, criterion="random", distribution="erk")
    for arguments in ({"prune": partial(prune, **bound)}, bound, {"prune": prune_, **bound}):
        model = make("dense")
        list(RECIPES[name](model, data_of(model), 0.5, epochs=1, rng=0, train=training, **arguments))
        results.append(model.values.tobytes() + model.mask.tobytes())
    assert results[0] == results[1] == results[2]
    with pytest.raises(TypeError, match="criterium"):
        RECIPES[name](model, data_of(model), 0.5, criterium="snip")
    assert pickle.loads(pickle.dumps(RECIPES[name])) is RECIPES[name]


def test_options_are_those_of_the_function():
    recipe = with_options("recipe", "lottery_ticket", RECIPES, {"rounds": 2})
    assert function_of(recipe) is lottery_ticket and name_of(recipe) == "lottery_ticket:rounds=2"
    for name, options, wanted in (("set", {"zet": 1}, "did you mean zeta"), ("sett", {}, "did you mean set"),
                                  ("rigl", {"epochs": 3}, "choose from: alpha, end, interval, samples")):
        with pytest.raises(MinnetError, match=wanted):
            with_options("recipe", name, RECIPES, options)
    assert is_sparse_from_start(with_options("recipe", "set", RECIPES, {"zeta": 0.2}))
    assert not is_sparse_from_start(recipe)
    assert regrows("granet") and regrows(partial(granet)) and not regrows(recipe)
