"""Rewinding, pruning at initialisation, and the controls of a ticket."""
from functools import partial

import numpy as np
import pytest
from nets import bits
from tables import make, sample_for

import minnet as mn
from minnet.errors import MinnetError
from minnet.pruning import criteria
from minnet.pruning.recipes import CONTROLS, RECIPES, control_of, inverted, is_sparse_from_start
from minnet.pruning.rounds import rounds
from minnet.study.job import Job
from minnet.study.settings import Settings

AT_START = ("snip", "grasp", "synflow", "force")
MANY, ROUNDS = ("synflow", "force"), 3
training = partial(mn.train, optimizer=mn.SGD(0.05, momentum=0.9), batch_size=3, accelerate=False)


def data_of(model):
    sample = sample_for(model)
    return sample.X, sample.y


def pruned(name, control=None, sparsity=0.5, **more):
    """A net that the recipe has pruned and not trained."""
    model, more = make("dense"), {"rounds": ROUNDS} | more if name in MANY else more
    list(RECIPES[name](model, data_of(model), sparsity, epochs=0, control=control, train=training, rng=0, **more))
    return model


def counts(model):
    return [int(np.count_nonzero(p.mask)) for p in model.weight_parameters]


# --- rewinding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rewind", ["lr", "weights", "fine_tune"])
def test_a_round_repeats_the_end_of_the_first_training(rewind):
    """Learning rates, survivors' bits and counts: 6 epochs, then 3 rounds of 2."""
    model, starts, seen = make("normed"), [], []

    def spy(model, data, *, epochs, rng, lr_schedule="cosine"):
        starts.append((model.values.copy(), model.mask.copy(), epochs))
        return training(model, data, epochs=epochs, rng=rng, lr_schedule=lr_schedule)

    for step in mn.recipes.iterative(model, data_of(model), 0.6, epochs=12, rounds=3, rewind=rewind, train=spy, rng=0):
        seen.append((step.lr, model.values.copy()))
    assert [epochs for *_, epochs in starts] == [6, 2, 2, 2]
    rates = [lr for lr, _ in seen]
    if rewind == "fine_tune":
        wanted = 0.05 * (1 + np.cos(np.pi * 5 / 6)) / 2
        np.testing.assert_allclose(rates[6:], wanted, rtol=1e-12)
    else:
        np.testing.assert_allclose(rates[6:], rates[4:6] * 3, rtol=1e-12)
    ends = [seen[i][1] for i in (5, 7, 9)]
    assert [np.count_nonzero(~mask) for _, mask, _ in starts[1:]] == rounds(round(0.6 * 60), 3, "geometric", 0.6)
    for (values, mask, _), end in zip(starts[1:], ends, strict=True):
        source = seen[3][1] if rewind == "weights" else end  # after 4 of the 6 epochs
        assert bits(values) == bits(np.where(mask, source, 0.0))


def test_rewinding_to_the_beginning_takes_the_values_given():
    model, starts = make("dense"), []
    before = model.values.copy()

    def spy(model, data, **more):
        starts.append(model.values.copy())
        return training(model, data, **more)

    list(mn.recipes.iterative(model, data_of(model), 0.5, epochs=4, rounds=1, rewind="weights", train=spy, rng=0))
    assert bits(starts[1]) == bits(np.where(model.mask, before, 0))


@pytest.mark.parametrize("wrong", [{"rewind": "wieghts"}, {"rewind": "lr", "dense": 0.1},
                                   {"rewind": "lr", "dense": 2}])
def test_wrong_rewinding_is_refused(wrong):
    model = make("dense")
    with pytest.raises(MinnetError):
        mn.recipes.iterative(model, data_of(model), 0.5, epochs=10, rounds=2, **wrong)


# --- at initialisation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["snip", "grasp"])
def test_it_prunes_once_by_its_criterion_and_then_trains(name):
    wanted = make("conv")
    criterion = partial(mn.criteria.grasp, temperature=200) if name == "grasp" else name
    mn.prune(wanted, 0.7, criterion=criterion, data=sample_for(wanted))
    model = make("conv")
    list(RECIPES[name](model, data_of(model), 0.7, epochs=0, rng=0, train=training))
    assert bits(model.mask, model.values) == bits(wanted.mask, wanted.values)
    list(RECIPES[name](model := make("conv"), data_of(model), 0.7, epochs=1, rng=0, train=training))
    assert bits(model.mask) == bits(wanted.mask) and bits(model.values) != bits(wanted.values)


def test_a_job_prunes_at_initialisation_what_is_not_trained():
    """However its dense net was trained; a net that was given is taken as it is."""
    X = np.random.default_rng(0).normal(size=(60, 4))
    data = mn.load_data((X, (X[:, 0] > 0).astype(int)), rng=0)
    job = Job(Settings(data=data, model="mlp", epochs=1, recipe="snip", sparsity=0.9))
    wanted = job.model.clone()
    mn.prune(wanted, 0.9, criterion="snip", data=data)
    job.model.values[: job.model.n_weights] *= np.random.default_rng(0).uniform(0, 3, job.model.n_weights)
    for _ in job.steps(0.9):
        assert bits(job.model.mask) == bits(wanted.mask)
    assert is_sparse_from_start(job.recipe)
    job.given = True
    job.model.set_mask(np.ones_like(job.model.mask))
    list(job.steps(0.9))
    assert bits(job.model.mask) != bits(wanted.mask)


def test_criteria_for_untrained_nets_say_so_in_one_line():
    for name in ("snip", "grasp", "synflow"):
        assert "at initialisation" in criteria.CRITERIA[name].__doc__.partition("\n")[0]


# --- controls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [c for c in CONTROLS if c != "inverted"])
@pytest.mark.parametrize("name", AT_START)
def test_a_control_keeps_what_it_says(name, control):
    """The count in all; of a shuffle the count of each layer; of a new draw the mask; of the others early values."""
    early, ticket, model = make("dense"), pruned(name), pruned(name, control)
    assert np.count_nonzero(model.mask) == np.count_nonzero(ticket.mask)
    same = bits(model.mask) == bits(ticket.mask)
    assert same == (control == "reinitialised")
    if control == "reinitialised":
        assert not (model.weights == early.weights)[model.weights != 0].any()
    else:
        assert bits(model.values) == bits(np.where(model.mask, early.values, 0))
    if control == "shuffled":
        assert counts(model) == counts(ticket)
    elif control in ("uniform", "erk"):
        drawn = make("dense")
        mn.prune(drawn, 0.5, criterion="random", distribution={"uniform": "layerwise"}.get(control, control), rng=0)
        assert counts(model) == counts(drawn)


@pytest.mark.parametrize("name", AT_START)
def test_inverted_removes_the_highest_scores(name):
    once = {"rounds": 1} if name in MANY else {}
    model, other = pruned(name, "inverted", **once), pruned(name, **once)
    assert bits(model.mask[: model.n_weights]) == bits(~other.mask[: other.n_weights])  # a half, and the other one


def test_an_inverted_criterion_is_the_criterion_with_the_other_sign():
    model, sample = make("dense"), sample_for(make("dense"))
    for name in ("magnitude", "snip", "grasp"):
        assert np.array_equal(inverted(name)(model, sample), -criteria.CRITERIA[name](model, sample))


def test_a_lottery_ticket_has_controls():
    """Before the last training: early values at shuffled places, and the highest weights removed where inverted."""
    starts = {}
    for control in (None, "shuffled", "inverted"):
        model = make("dense")

        def spy(model, data, *, control=control, **more):
            starts[control] = model.values.copy(), model.mask.copy()
            return training(model, data, **more)

        list(mn.recipes.lottery_ticket(model, data_of(model), 0.5, epochs=2, rounds=1, control=control, train=spy,
                                       rng=0))
    early, (values, mask) = make("dense").values, starts["shuffled"]
    assert bits(values) == bits(np.where(mask, early, 0)) and bits(mask) != bits(starts[None][1])
    n = make("dense").n_weights
    assert bits(starts["inverted"][1][:n]) == bits(~starts[None][1][:n])


def test_what_was_masked_before_stays_so_in_a_control():
    model = make("dense")
    mn.prune(model, 0.3, criterion="random", rng=1)
    base = model.mask.copy()
    for control in CONTROLS:
        model.set_mask(base)
        list(mn.recipes.snip(model, data_of(model), 0.6, epochs=0, control=control, rng=0))
        assert not (model.mask & ~base).any() and np.count_nonzero(~model.mask) == round(0.6 * model.n_weights)


def test_wrong_controls_are_refused():
    model = make("dense")
    for name in (*AT_START, "lottery_ticket"):
        with pytest.raises(MinnetError, match="did you mean shuffled"):
            RECIPES[name](model, data_of(model), 0.5, control="shufled")
    with pytest.raises(MinnetError, match="single weights"):
        mn.recipes.snip(model, data_of(model), 0.5, control="erk", prune=partial(mn.prune, structure="neuron"))
    with pytest.raises(MinnetError, match="single weights|sparsity"):
        mn.recipes.snip(model, data_of(model), None, control="inverted", prune=partial(mn.prune, structure="2:4"))
    with pytest.raises(MinnetError, match="did you mean"):
        control_of(model, "shufled", model.values)
