"""What prune is given: criteria of one's own, good and bad, and every argument that cannot be. An error is one line,
says what was wanted, and leaves the model as it was, bit for bit."""
import numpy as np
import pytest
from each import each
from tables import make, sample_for

from minnet.errors import InvalidValue, MinnetError
from minnet.pruning.parse import structure_of
from minnet.pruning.prune import prune


def rule(scores):
    """The criterion that gives these scores."""
    return lambda model, data: scores


def bits(model):
    return model.values.tobytes() + model.mask.tobytes()


def gone(model):
    """Which weights are masked."""
    return ~model.mask[: model.n_weights]


# --- criteria of one's own -------------------------------------------------------------------------------------------


def test_an_own_criterion_sees_a_sample_of_the_training_part():
    model, seen = make("dense"), []
    sample = sample_for(model, rows=40)

    def own(model, data):
        seen.append((len(data), data.X.shape, data.y.shape, data.rng.random()))
        return -model.weights  # signed

    for samples in (10, None, 1000):
        prune(model, 0.1, criterion=own, data=(sample.X, sample.y), samples=samples, rng=7)
    prune(model, 0.1, criterion=own, data=(sample.X, sample.y), samples=10, rng=7)
    assert [rows for rows, *_ in seen] == [10, 40, 40, 10] and seen[0] == seen[3]
    with pytest.raises(InvalidValue, match="scores have a sign"):
        prune(model, 0.5, criterion=own, data=(sample.X, sample.y), structure="neuron", reduction="l1")
    before = make("dense")
    pieces = structure_of("neuron")(before, ["dense1", "dense2"])
    sums = pieces.reduce(-before.weights, "sum")
    prune(before, count=1, criterion=lambda model, data: -model.weights, structure="neuron")  # signed: by sum
    assert pieces.gone(before.mask)[np.argmin(sums)]


def vandal(model, data):
    model.values[:3] = 7
    model.mask[4] = False
    return np.abs(model.weights)


def clumsy(model, data):
    model.values[:] = np.nan
    raise RuntimeError("clumsy")


@pytest.mark.parametrize(("own", "error", "wanted"), [
    (vandal, InvalidValue, "changed the model"),
    (clumsy, RuntimeError, "clumsy"),
    (lambda model, data: np.where(np.arange(62) < 3, np.nan, 1.0), MinnetError, "3 NaN among 62"),
    (lambda model, data: model.values, InvalidValue, "one number a weight"),
    (lambda model, data: model.weights.reshape(2, -1), InvalidValue, "one number a weight"),
    (lambda model, data: 1.0, InvalidValue, "one number a weight"),
    (lambda model, data: None, TypeError, "wanted numbers"),
    (lambda model, data: ["a"] * 62, TypeError, "wanted numbers"),
    (lambda model, data: model.weights * 1j, TypeError, "numbers"),
    (lambda model, data: data.X, InvalidValue, "no data were given"),
    (lambda model: model, TypeError, "argument"),
    ("taylr", InvalidValue, "did you mean taylor"),
    (None, InvalidValue, "unknown criterion"),
    (3, InvalidValue, "unknown"),
])
def test_a_bad_criterion_leaves_the_model_as_it_was(own, error, wanted):
    model = make("dense")
    before, state = bits(model), np.random.get_state()[1].tobytes()  # noqa: NPY002 - that it is not touched
    with pytest.raises(error, match=wanted):
        prune(model, 0.5, criterion=own)
    assert bits(model) == before
    assert np.random.get_state()[1].tobytes() == state  # noqa: NPY002


@pytest.mark.parametrize("scores", [
    np.arange(62), np.arange(62, dtype=np.float16), list(range(62)), np.arange(124)[::2], np.arange(62).astype(">f8"),
    np.where(np.arange(62) < 31, -np.inf, np.inf), np.arange(62) > 30, np.arange(62, dtype=np.longdouble),
])
def test_any_numbers_will_do_as_scores(scores):
    model = make("dense")
    prune(model, 0.5, criterion=rule(scores))
    assert np.flatnonzero(gone(model)).tolist() == list(range(31))


def test_the_rng_decides_what_chance_decides():
    masks = []
    for rng in (1, 1, 2, np.random.default_rng(1)):
        model = make("dense")
        prune(model, 0.5, criterion="random", rng=rng)
        masks.append(model.mask.tobytes())
    assert masks[0] == masks[1] == masks[3] != masks[2]


# --- bad arguments ---------------------------------------------------------------------------------------------------


@each(("arguments", "wanted"), [
    ({"sparsity": -0.1}, "from 0 to 1"),
    ({"sparsity": 1.1}, "from 0 to 1"),
    ({"sparsity": np.nan}, "from 0 to 1"),
    ({"sparsity": np.inf}, "from 0 to 1"),
    ({"sparsity": "0.9"}, "of type str"),
    ({"sparsity": 90}, "did you mean 0.9"),
    ({"sparsity": True}, "of type bool"),
    ({}, "got no budget"),
    ({"sparsity": 0.5, "count": 3}, "sparsity and count"),
    ({"count": -1}, "count=-1"),
    ({"count": 63}, "from 0 to 62"),
    ({"count": 2.5}, "whole number"),
    ({"count": True}, "bool"),
    ({"macs": 0.5, "bytes": 0.5}, "macs and bytes"),
    ({"macs": 0.0}, "above 0"),
    ({"macs": 1.5}, "from 0 to 1"),
    ({"macs": "half"}, "a share"),
    ({"bytes": -3}, "bytes=-3"),
    ({"macs": 0, "structure": "neuron"}, "cannot be met"),
    ({"units": {"dense9": 3}}, "did you mean"),
    ({"units": 3}, "a dict"),
    ({"units": {"dense1": 99}}, "from 0 to 5"),
    ({"units": {"dense1": 0}}, "at most 4"),
    ({"units": {"dense3": 1}}, "layer in units"),
    ({"units": {"dense1": 2}, "distribution": "erk"}, "leave it out"),
    ({"sparsity": 0.5, "value_range": (1, 0)}, "lowest < highest"),
    ({"sparsity": 0.5, "value_range": (0, 0)}, "lowest"),
    ({"sparsity": 0.5, "value_range": (np.nan, 1)}, "value_range"),
    ({"sparsity": 0.5, "value_range": 3}, "a pair"),
    ({"sparsity": 0.5, "value_range": (-1, 1)}, "value_range"),
    ({"sparsity": 0.5, "layers": "dens1"}, "did you mean dense1"),
    ({"sparsity": 0.5, "protect": "konv*"}, "layer in protect"),
    ({"sparsity": 0.5, "protect": "*"}, "leaves no layer"),
    ({"sparsity": 0.5, "layers": "dense1", "protect": "dense1"}, "leaves no layer"),
    ({"sparsity": 0.5, "layers": 3}, "layers=3"),
    ({"sparsity": 0.5, "layers": []}, "leaves no layer"),
    ({"sparsity": 0.5, "layers": ""}, "layer in layers"),
    ({"sparsity": 0.5, "structure": "2:4"}, "no budget"),
    ({"structure": "2:4", "min_density": 0.5}, "leave it out"),
    ({"sparsity": 0.5, "per": "watt"}, "'macs' or 'bytes'"),
    ({"structure": "2:4", "value_range": (0, 0.1)}, "can be removed"),
    ({"structure": "2:4", "distribution": "erk"}, "leave it out"),
    ({"sparsity": 0.5, "criterion": "taylor"}, "taylor needs data"),
    ({"sparsity": 0.5, "reduction": "l3"}, "reduction"),
    ({"sparsity": 1.0, "structure": "neuron"}, "ask for at most 7"),
    ({"sparsity": 0.5, "min_density": 2}, "min_density"),
    ({"sparsity": 0.9, "min_density": 0.2}, "ask for at most 49"),
    ({"sparsity": 0.5, "rng": -1, "criterion": "random"}, "rng"),
    ({"sparsity": 0.5, "criterion": "taylor", "data": "digits"}, "data="),
    ({"sparsity": 0.5, "criterion": "taylor", "data": (np.zeros((3, 6)), [0, 1, 2]), "samples": 0}, "samples"),
    ({"sparsity": 0.5, "criterion": "taylor", "data": (np.zeros((3, 5)), [0, 1, 2])}, "X has the shape"),
])
def test_bad_arguments_are_refused_and_nothing_changes(arguments, wanted):
    model = make("dense")
    before = bits(model)
    with pytest.raises(MinnetError, match=wanted) as caught:
        prune(model, **arguments)
    assert isinstance(caught.value, ValueError | TypeError) and "\n" not in str(caught.value)
    assert bits(model) == before


def test_numbers_of_numpy_are_numbers():
    for sparsity, count in ((np.float32(0.5), None), (np.float64(0.5), None), (None, np.int64(31))):
        model = make("dense")
        assert prune(model, sparsity, count=count).removed == 31


def test_half_is_rounded_to_even():
    for sparsity, wanted in ((0.5 / 62, 0), (1.5 / 62, 2), (2.5 / 62, 2), (0.29, 18)):
        assert prune(make("dense"), sparsity).removed == wanted


@pytest.mark.parametrize("mask", [np.ones(3, bool), np.full(85, 0.5), np.ones(85, int), [True], None])
def test_a_mask_is_bool_and_as_long_as_the_vector(mask):
    model = make("dense")
    before = bits(model)
    with pytest.raises(MinnetError, match="mask"):
        model.set_mask(mask)
    assert bits(model) == before
