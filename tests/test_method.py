"""A job does what the same recipe does in Python: where it begins, by which scores, in what shares, for how long."""
from functools import partial

import numpy as np
import pytest

import minnet as mn
from minnet.errors import InvalidValue
from minnet.pruning.recipes import FROM_SPARSE, RECIPES, begins_untrained, draws_weights, takes_criterion
from minnet.study.cells import cells_of
from minnet.study.job import Job
from minnet.study.method import beginning
from minnet.study.settings import Settings
from minnet.study.training import PRUNING

SPARSITY = 0.6
RNG = np.random.default_rng(0)
DATA = mn.load_data((RNG.random((60, 6)).astype(np.float32), np.arange(60) % 3), rng=0)
SHARES = {"static": "erk", "rigl": "erk", "mest": "erk", "top_kast": "erk", "set": "erdos_renyi", "snfs": "layerwise"}


def net(seed=0):
    inner = [part for width in (12, 8) for part in (mn.Dense(width), mn.BatchNorm(), mn.ReLU())]
    return mn.Model(mn.Sequential(*inner, mn.Dense(3)), DATA.shape, rng=seed)


@pytest.fixture
def small(monkeypatch):
    """The architecture `mlp` is a net with BatchNorm, which slimming needs."""
    monkeypatch.setitem(mn.models.MODELS, "mlp", lambda shape, n_outputs, rng=None: net(rng))


def job_of(recipe, **settings):
    more = {"structure": "channel"} if recipe == "slimming" else {}
    return Job(Settings(**{"data": DATA, "model": "mlp", "recipe": recipe, "sparsity": SPARSITY, "epochs": 3} | more |
                        settings))


class Spy:
    """Train nothing; note what the model is, and for how many epochs it would be trained in all."""

    def __init__(self):
        self.epochs, self.first = 0, None

    def __call__(self, model, data, *, epochs, **options):
        self.first = self.first or (model.values.copy(), model.mask.copy())
        self.epochs += epochs
        return iter(())


def begun(job, trained):
    """What a job's recipe begins to train, after its dense net was trained to these values."""
    job.model.values[:], spy = trained, Spy()
    list(job.call_recipe(job.sparsity, 0, spy))
    return spy


@pytest.mark.parametrize("name", RECIPES)
def test_a_job_begins_as_the_recipe_does_in_python(name, small):
    job, spy, model = job_of(name), Spy(), net()
    initial = job.model.values.copy()
    trained = initial + np.float32(0.01)
    found = begun(job, trained)
    untrained = begins_untrained(RECIPES[name])
    model.values[:] = initial if untrained else trained
    before, epochs = model.values.copy(), (6 if untrained else 3)
    list(RECIPES[name](model, DATA, SPARSITY, epochs=epochs, train=spy, rng=job.seed(PRUNING)))
    for theirs, ours in zip(spy.first, found.first, strict=True):
        assert np.array_equal(theirs, ours)
    assert found.epochs == spy.epochs == job.span == epochs
    live = found.first[0] != 0  # top_kast's net is sparse, its mask is not
    if untrained and not draws_weights(RECIPES[name]):
        assert np.array_equal(found.first[0][live], before[live])
    if name in SHARES:
        mn.prune(other := net(), SPARSITY, criterion="random", distribution=SHARES[name], rng=0)
        assert [np.count_nonzero(p.of(live)) for p in model.weight_parameters] == \
            [np.count_nonzero(p.mask) for p in other.weight_parameters]


@pytest.mark.parametrize("name", RECIPES)
def test_a_criterion_is_used_or_refused(name, small):
    def last_first(model, data):
        return np.arange(model.n_weights)[::-1].copy()

    trained, masks = net().values, []
    if not takes_criterion(RECIPES[name]):
        with pytest.raises(InvalidValue, match=f"'last_first'.* beside recipe {name}, .*leave the criterion out"):
            job_of(name, criterion=last_first)
        return
    for given in ({}, {"criterion": last_first}):
        job = job_of(name, **given)
        begun(job, trained)
        masks.append(job.model.mask)
    assert not np.array_equal(*masks)


def test_a_job_leaves_the_net_that_the_recipe_leaves_in_python(small):
    job, model = job_of("set", epochs=1), net()
    list(job.run())
    train = partial(mn.train, **job.arguments, every=1 + len(DATA.y_train) // (4 * job.arguments["batch_size"]))
    list(mn.recipes.set(model, DATA, SPARSITY, epochs=2, train=train, rng=job.seed(PRUNING)))
    assert np.array_equal(job.model.values, model.values)
    assert job.epochs == len(job.history) == 4
    assert (job.settings.criterion, job.settings.distribution) == ("random", "erdos_renyi")


def test_the_result_names_the_scores_of_a_recipe_that_has_its_own(small):
    job = job_of("snip", epochs=1)
    list(job.run())
    assert job.measure()["criterion"] == "snip"


@pytest.mark.parametrize("name", sorted(FROM_SPARSE))
def test_of_a_trained_net_the_largest_weights_begin(name):
    model = net()
    job = Job(Settings(data=DATA, model=model, recipe=name, sparsity=SPARSITY, epochs=3))
    found = begun(job, model.values.copy())
    assert found.epochs == 3
    assert "not trained" in beginning(name, job.span, job.given)
    mn.prune(other := net(), SPARSITY)
    assert draws_weights(RECIPES[name]) or np.array_equal(found.first[1], other.mask)


def test_a_recipe_with_scores_of_its_own_is_in_a_grid_once():
    grid = {"data": "digits", "criterion": ["random", "magnitude"], "recipe": ["one_shot", "snip"], "sparsity": 0.9}
    cells = cells_of(grid | {"seed": [0]})
    assert [(cell.settings.recipe, cell.settings.criterion) for cell in cells] == [
        ("one_shot", "random"), ("snip", "magnitude"), ("one_shot", "magnitude")]
    with pytest.raises(InvalidValue, match="beside recipe snip,"):
        cells_of(grid | {"criterion": "obd", "recipe": "snip"})
