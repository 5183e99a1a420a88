"""The structure `input`: whole features of the input go, and `compact` makes a model that takes the others alone."""
import numpy as np
import pytest
from each import each
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tables import NETS, make, sample_for
from test_criteria import bound, judged
from trees import models, random_input

import minnet as mn
from minnet.data.selection import Selection, check_selection
from minnet.data.signature import Signature
from minnet.engine.sample import part_of
from minnet.errors import InvalidValue
from minnet.pruning.candidates import Infeasible
from minnet.pruning.compact import compact, compact_report, expand
from minnet.pruning.criteria import CRITERIA, TRAITS
from minnet.pruning.input_features import input_pieces
from minnet.pruning.prune import plan_prune, prune

names = pytest.mark.parametrize("net", NETS)


def of(model, kept):
    """The rows that a compacted model takes of those of `model`, by brute force."""
    x = random_input(model, 5)
    return x, (x.reshape(len(x), -1)[:, kept] if model.tree.flattens else x[..., kept])


# --- pieces ----------------------------------------------------------------------------------------------------------


@names
def test_pieces_are_the_weights_that_read_a_feature(net):
    """Where a piece is masked, the outputs do not depend on the feature; all weights that read the input are in one."""
    model = make(net)
    pieces = input_pieces(model, list(model.layers))
    assert pieces.n == (np.prod(model.input_shape) if model.tree.flattens else model.input_shape[-1])
    x = random_input(model, 4)
    for feature in range(pieces.n):
        other = x.copy()
        (other.reshape(4, -1) if model.tree.flattens else other)[..., feature] += 1
        assert not np.array_equal(model(other), model(x))
        copy = model.clone()
        copy.set_mask(pieces.expand(np.arange(pieces.n) != feature))
        assert np.array_equal(copy(other), copy(x))
        readers = [p for p in model.weight_parameters if pieces.piece_at(p.slice.start) is not None]
        assert len(pieces.members(feature)) == sum(p.size for p in readers) // pieces.n


def test_pixels_after_flatten_and_channels_before_a_convolution():
    images = mn.models.mlp((4, 5, 2), 3, hidden=(6,), rng=0)
    assert images.tree.flattens and input_pieces(images, ["dense1", "dense2"]).n == 40
    assert input_pieces(make("conv"), ["conv1"]).n == 2
    assert not make("conv").tree.flattens and not make("dense").tree.flattens


def test_all_readers_lose_a_feature_and_batch_normalisation_with_them():
    both = mn.Concat(mn.Dense(3), mn.Sequential(mn.BatchNorm(), mn.Dense(2)))
    model = mn.Model(mn.Sequential(both, mn.ReLU(), mn.Dense(2)), (5,), rng=0)
    pieces = input_pieces(model, list(model.layers))
    mask = pieces.expand(np.arange(5) != 3)
    gone = {name: np.argwhere(~p.of(mask))[:, 0].tolist() for name, p in model.parameters.items()}
    assert gone == {"dense1.weight": [3] * 3, "batchnorm1.gain": [3], "batchnorm1.shift": [3], "dense2.weight": [3] * 2,
                    "dense1.bias": [], "dense2.bias": [], "dense3.weight": [], "dense3.bias": [],
                    "batchnorm1.mean": [], "batchnorm1.variance": []}
    np.testing.assert_array_equal(pieces.total(np.ones(len(model.values))), 3 + 2 + 4)
    model.set_mask(mask)
    assert pieces.gone(model.mask).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("tree, shape, wanted", [
    (lambda: mn.Sequential(mn.Conv2d(3, 2), mn.Flatten(), mn.Dense(2)), (4, 4, 1), "single channel"),
    (lambda: mn.Sequential(mn.Dense(2)), (1,), "single feature"),
    (lambda: mn.Sequential(mn.Residual(mn.Dense(4)), mn.Dense(2)), (4,), "one with units of dense1"),
    (lambda: mn.Sequential(mn.DepthwiseConv2d(2), mn.Flatten(), mn.Dense(2)), (4, 4, 2), "units of depthwise1"),
    (lambda: mn.Concat(mn.Dense(2), mn.Sequential()), (4,), "are outputs too"),
    (lambda: mn.Sequential(mn.SparseDense(4, live=8), mn.Dense(2)), (4,), "born sparse"),
])
def test_inputs_that_cannot_go_by_themselves_are_refused_in_one_line(tree, shape, wanted):
    model = mn.Model(tree(), shape, rng=0)
    with pytest.raises(InvalidValue, match=wanted) as raised:
        prune(model, 0.5, structure="input")
    assert "\n" not in str(raised.value)


def test_layers_that_read_the_input_are_chosen_all_or_none():
    model = mn.models.mlp((6,), 3, hidden=(5,), rng=0)
    assert prune(model.clone(), keep=2, structure="input", protect="dense2").units.remaining == 2
    with pytest.raises(InvalidValue, match="read by dense1 too"):
        prune(model, keep=2, structure="input", protect="dense1")


# --- counts ----------------------------------------------------------------------------------------------------------


@each(("criterion", "net"), [pair for pair in judged(CRITERIA) if not TRAITS[pair[0]].unit])
def test_every_criterion_of_weights_removes_exactly_that_many(criterion, net):
    model = make(net)
    total = input_pieces(model, list(model.layers)).n
    for keep in range(total, 0, -1):
        result = prune(model, keep=keep, structure="input", criterion=bound(criterion, model),
                       data=sample_for(model), rng=0)
        assert result.units == (0 if keep == total else 1, keep, total, "input")
    assert (compact(model, inputs=True).input_shape or (1,))[-1] == 1


def test_criteria_of_units_are_refused():
    for criterion, net in [pair for pair in judged(CRITERIA) if TRAITS[pair[0]].unit]:
        model, sample = make(net), sample_for(make(net))
        with pytest.raises(InvalidValue, match="all inputs alike"):
            prune(model, keep=2, structure="input", criterion=criterion, data=sample)


def test_keep_is_the_rest_of_count_for_every_structure():
    for structure, total in (("weight", 6 * 5 + 5 * 4 + 4 * 3), ("neuron", 9), ("input", 6), ("row", 15)):
        a, b = make("dense"), make("dense")
        prune(a, keep=3, structure=structure)
        prune(b, count=total - 3, structure=structure)
        assert np.array_equal(a.mask, b.mask)
    with pytest.raises(InvalidValue, match="keep=7"):
        plan_prune(a, keep=7, structure="input")
    with pytest.raises(Infeasible, match="at most 5"):
        plan_prune(make("dense"), keep=0, structure="input")
    with pytest.raises(InvalidValue, match="sparsity and keep"):
        plan_prune(a, 0.5, keep=2, structure="input")
    with pytest.raises(InvalidValue, match="got keep"):
        plan_prune(a, keep=2, structure="2:4")


# --- compaction ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(models(), st.integers(0, 2**32 - 1))
def test_the_smaller_model_gives_the_same_from_the_features_it_takes(model, seed):
    """On any tree: its own features or whole rows, the same outputs; nothing else of the model changes."""
    try:
        pieces = input_pieces(model, list(model.layers))
    except InvalidValue:
        assume(False)
    rng = np.random.default_rng(seed)
    keep = rng.random(pieces.n) < 0.6
    keep[rng.integers(pieces.n)] = True
    model.set_mask(pieces.expand(keep))
    small, kept = compact(model, inputs=True), np.flatnonzero(keep)
    assert (small.input_shape[-1] if not keep.all() else pieces.n) <= keep.sum()  # masked weights may have cut more off
    chosen = small.signature.selection.columns if small.signature else tuple(range(pieces.n))
    assert set(chosen) <= set(kept.tolist())
    x, own = of(model, list(chosen))
    wanted = model(x)
    own = own if small.signature else x
    np.testing.assert_allclose(small(own), wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(small(x), small(own))
    assert compact(model).input_shape == model.input_shape
    np.testing.assert_array_equal(expand(small, model).mask, expand(compact(model, inputs=True), model).mask)
    again = compact(small, inputs=True)
    assert again.config() == small.config() and again.values.tobytes() == small.values.tobytes()


@pytest.mark.parametrize("net", ["dense", "normed", "concat"])
def test_compaction_in_stages_is_compaction_at_once(net):
    """Columns of columns are columns of the first."""
    model = make(net)
    prune(model, keep=3, structure="input")
    first = compact(model, inputs=True)
    prune(first, keep=2, structure="input")
    prune(model, keep=2, structure="input")
    both = compact(first, inputs=True), compact(model, inputs=True)
    chosen = [small.signature.selection for small in both]
    assert chosen[0][:2] == chosen[1][:2] and chosen[0].source == model.input_shape
    x, _ = of(model, [0])
    for rows in (x, x[:, list(first.signature.selection.columns)], x[:, list(chosen[0].columns)]):
        np.testing.assert_array_equal(both[0](rows), both[1](x))
    assert Signature.from_json(both[0].signature.to_json()) == both[0].signature
    again = prune(both[0].clone(), keep=1, structure="input").compact()
    np.testing.assert_array_equal(again(first.inputs(x)), again(x))
    assert both[0].values.tobytes() == both[1].values.tobytes()


def test_the_report_counts_the_inputs():
    model = make("dense")
    small = prune(model, keep=2, structure="input").compact()
    row = compact_report(model, inputs=True)["input"]
    assert (row.before, row.after, row.unread, row.stays) == (6, 2, 4, {})
    assert compact_report(model)["input"].stays == {"is an input": 4}
    assert compact_report(model, inputs=True).parameters == (model.n_trainable, small.n_trainable)
    assert small.macs == model.macs and small.n_weights == model.n_weights - 4 * 5


def test_all_inputs_masked_leave_one():
    model = make("dense")
    mask = model.mask.copy()
    model.parameters["dense1.weight"].of(mask)[...] = False
    model.set_mask(mask)
    small = compact(model, inputs=True)
    assert small.input_shape == (1,)
    np.testing.assert_allclose(small(random_input(model)), model(random_input(model)))


def test_a_run_goes_on_in_the_smaller_model():
    """The state is cut alike: both runs have the same weights afterwards."""
    model = mn.models.mlp((6,), 3, hidden=(5,), rng=0)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 3, 40)
    *_, step = mn.train(model, data, epochs=2, rng=0)
    result = prune(model, keep=2, structure="input")
    step.state.apply_mask()
    small, state = result.compact(step.state)
    kept = list(small.signature.selection.columns)
    ends = []
    for run in (step.state, state):
        *_, last = mn.train(run.model, data, state=run, epochs=4)
        ends.append(last.state.model)
    weight = ends[0].parameters["dense1.weight"].value[kept]
    np.testing.assert_allclose(ends[1].parameters["dense1.weight"].value, weight, rtol=1e-5, atol=1e-6)


# --- signatures ------------------------------------------------------------------------------------------------------


def test_a_signature_is_cut_along():
    scaling = np.arange(4.0), np.arange(1.0, 5.0)
    whole = Signature((4,), ["x", "y"], scaling, ["a", "b", "c", "d"], target="kind")
    part = whole.select([1, 3], (2,))
    assert part.feature_names == ("b", "d") and part.selection == Selection((1, 3), (4,)) and part.target == "kind"
    assert part.scaling.shift.tolist() == [1, 3] and part.scaling.scale.tolist() == [2, 4]
    assert Signature.from_json(part.to_json()) == part and "selection" not in whole.to_json()
    X = np.random.default_rng(0).normal(size=(5, 4))
    wanted = whole.rows(X)[:, [1, 3]]
    np.testing.assert_array_equal(part.rows(X), wanted)
    np.testing.assert_array_equal(part.rows(X[:, [1, 3]]), wanted)
    np.testing.assert_array_equal(part.rows(X, names=["a", "b", "c", "d"]), wanted)
    with pytest.warns(UserWarning, match="another order"):
        np.testing.assert_array_equal(part.rows(X[:, ::-1], names=["d", "c", "b", "a"]), wanted)
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    frame["text"] = "not a number"
    np.testing.assert_array_equal(part.rows(frame), wanted)
    with pytest.raises(InvalidValue, match="no columns 'd'"):
        part.rows(X[:, :3], names=["a", "b", "c"])
    with pytest.raises(InvalidValue, match=r"wanted \(n, 2\): the columns 1, 3 \(counted from 0\) of rows of shape"):
        part.rows(X[:, :3])


@pytest.mark.parametrize("scaling", [(0.5, 2.0), (np.ones((3, 3, 2)), np.full((3, 3, 2), 3.0)),
                                     (np.arange(2.0), np.arange(1.0, 3.0)),
                                     (np.arange(3.0)[:, None], np.ones((1, 1)))])
def test_a_signature_of_images_is_cut_to_pixels_or_channels(scaling):
    whole, X = Signature((3, 3, 2), scaling=scaling), np.random.default_rng(0).normal(size=(4, 3, 3, 2))
    pixels, channel = whole.select([0, 5, 17], (3,)), whole.select([1], (3, 3, 1))
    np.testing.assert_array_equal(pixels.rows(X), whole.rows(X).reshape(4, -1)[:, [0, 5, 17]])
    np.testing.assert_array_equal(pixels.rows(X.reshape(4, -1)), pixels.rows(X))
    np.testing.assert_array_equal(channel.rows(X), whole.rows(X)[..., 1:])
    np.testing.assert_array_equal(channel.rows(X[..., 1:]), channel.rows(X))
    assert Signature.from_json(pixels.to_json()) == pixels and Signature.from_json(channel.to_json()) == channel


@pytest.mark.parametrize("selection", [
    3, (), [[0], [4]], [[1, 0], [4]], [[0, 4], [4]], [[0, 1], [2]], [[0, 1], []], [[0, 1], [0]], [[0, -1], [4]],
    [[0, 1.0], [4]], [[0, True], [4]], ["01", [4]], [[0, 1], [4], 1], [[0, 1], None], [[0, 1], [4], [[0, 1], [4]]],
    [[0, 1], [4], [[0, 1], [2]]]])
def test_what_a_file_says_of_columns_is_checked(selection):
    facts = Signature((2,)).to_json() | {"selection": selection}
    with pytest.raises(InvalidValue, match="wanted"):
        Signature.from_json(facts)


def test_channels_must_fit_the_leading_axes():
    assert check_selection(((1,), (4, 5, 3)), (4, 5, 1)) == Selection((1,), (4, 5, 3))
    with pytest.raises(InvalidValue, match="selection"):
        check_selection(((1,), (4, 7, 3)), (4, 5, 1))


def test_a_model_of_bare_arrays_still_takes_targets_as_given():
    model = mn.models.mlp((6,), 2, hidden=(5,), rng=0)
    small = prune(model, keep=2, structure="input").compact()
    X, y = random_input(model, 9).astype(np.float32), np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    rows, targets = part_of(small, (X, y), "train")
    assert rows.shape == (9, 2) and np.array_equal(targets, y)
    for _ in mn.train(small, (X, y), loss="mse", epochs=1, rng=0):
        pass
    assert small.predict(X).dtype.kind == "i" and mn.freeze(small).predict(X).tolist() == small.predict(X).tolist()
    mn.evaluate(small, X, (y > 0).argmax(axis=1), intervals=False)
