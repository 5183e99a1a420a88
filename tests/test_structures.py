"""Structures: every weight in the piece that its definition says, units whole and through every layer that shares
them, reductions and masks as plain loops would have them."""
import itertools

import numpy as np
import pytest
from each import each
from hypothesis import assume, given
from hypothesis import strategies as st
from tables import NETS, PAIRS, UNITS, make
from trees import models, random_input

from minnet.engine.activations import ReLU, Sigmoid
from minnet.engine.containers import Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, GlobalAvgPool2d
from minnet.engine.product import Product
from minnet.errors import InvalidValue, MinnetError, Unsupported
from minnet.kernels.select import GONE, MAY_GO, STAYS
from minnet.model import Model
from minnet.pruning import structures
from minnet.pruning.candidates import Candidates
from minnet.pruning.choose import choose
from minnet.pruning.compact import compact
from minnet.pruning.parse import structure_of
from minnet.pruning.prune import prune
from minnet.pruning.reductions import REDUCTIONS

MATRIX = {  # (i, j, shape of the weight) -> what tells the pieces of one layer apart; i, j place of the matrix
    "weight": lambda i, j, shape: (i, j),
    "row": lambda i, j, shape: i,
    "column": lambda i, j, shape: j,
    "block": lambda i, j, shape: (i // 4, j // 4),
    "2x3": lambda i, j, shape: (i // 2, j // 3),
    "3x1": lambda i, j, shape: (i // 3, j),
    "kernel": lambda i, j, shape: (i % shape[-2], j),
}


def pieces_of(structure, model, layers=None, protect=None):
    return structure_of(structure)(model, choose(model, layers, protect))


def sets(pieces):
    """The flat positions of each piece."""
    return [frozenset(pieces.members(i).tolist()) for i in range(pieces.n)]


@each(("structure", "net"), [pair for pair in PAIRS if pair[0] in MATRIX])
def test_pieces_of_a_matrix_are_what_the_definition_says(structure, net):
    model = make(net)
    wanted = []
    for p in model.weight_parameters:
        if structure == "kernel" and len(p.shape) == 2:
            continue
        groups = {}
        for flat in range(p.size):
            i, j = divmod(flat, p.shape[-1])
            groups.setdefault(MATRIX[structure](i, j, p.shape), set()).add(p.slice.start + flat)
        wanted += [frozenset(groups[key]) for key in sorted(groups, key=lambda key: np.atleast_1d(key).tolist())]
    pieces = pieces_of(structure, model)
    assert sorted(sets(pieces), key=min) == sorted(wanted, key=min)
    assert pieces.n == len(wanted)


@each(("structure", "net"), PAIRS)
def test_pieces_are_disjoint_and_lie_in_their_part(structure, net):
    model = make(net)
    pieces = pieces_of(structure, model)
    found = sets(pieces)
    assert len(frozenset().union(*found)) == sum(map(len, found)) and all(found)
    assert [part.start for part in pieces.layer_groups] == [0, *[part.stop for part in pieces.layer_groups[:-1]]]
    for part in pieces.layer_groups:
        own = {i for p in part.parameters for i in range(p.slice.start, p.slice.stop)}
        for piece in range(part.start, part.stop):
            assert found[piece] <= own
            for position in found[piece]:
                assert pieces.piece_at(position) == piece
    inside = frozenset().union(*found)
    assert all(pieces.piece_at(i) is None for i in range(model.n_weights) if i not in inside)


def test_filters_of_a_chain_are_columns_with_what_dresses_them():
    model = make("normed")
    pieces = pieces_of("neuron", model)
    first, second = model.layers["dense1"].weight, model.layers["dense2"].weight
    assert [part.name for part in pieces.layer_groups] == ["dense1", "dense2"]
    mask = pieces.expand(np.arange(pieces.n) != 2)
    assert not first.of(mask)[:, 2].any() and first.of(mask).sum() == first.size - 4
    gone = {name: np.flatnonzero(~p.of(mask)).tolist() for name, p in model.parameters.items() if p.kind != "weight"}
    assert gone.pop("batchnorm1.gain") == gone.pop("batchnorm1.shift") == [2]
    assert not any(gone.values())  # not the statistics, not the next layer's bias
    mask = pieces.expand(np.arange(pieces.n) != 6 + 1)
    assert not second.of(mask)[:, 1].any() and np.flatnonzero(~model.layers["dense2"].bias.of(mask)).tolist() == [1]


def test_units_that_a_residual_adds_are_one():
    model = make("residual")
    pieces = pieces_of("filter", model)
    assert [(part.name, part.size) for part in pieces.layer_groups] == [("conv1+conv3", 4), ("conv2", 3)]
    mask = pieces.expand(np.arange(pieces.n) != 1)
    for name in ("conv1", "conv3"):
        assert not model.layers[name].weight.of(mask)[..., 1].any() and not model.layers[name].bias.of(mask)[1]
    assert np.flatnonzero(~model.layers["batchnorm1"].gain.of(mask)).tolist() == [1]


def test_a_unit_stays_if_one_of_its_layers_is_not_chosen_or_is_protected():
    model = make("residual")
    assert [part.name for part in pieces_of("filter", model, ["conv1", "conv2"]).layer_groups] == ["conv2"]
    assert [part.name for part in pieces_of("filter", model, protect="conv3").layer_groups] == ["conv2"]
    with pytest.raises(InvalidValue, match="made by conv1 too"):
        pieces_of("filter", model, "conv3")
    with pytest.raises(InvalidValue, match="outputs"):
        pieces_of("neuron", model)


def test_a_depthwise_layer_goes_with_its_channel():
    model = make("depthwise")
    pieces = pieces_of("filter", model)
    assert [(part.name, part.size) for part in pieces.layer_groups] == [("conv1+depthwise1", 3), ("conv2", 4)]
    mask = pieces.expand(np.arange(pieces.n) != 1)
    assert np.flatnonzero(~model.layers["depthwise1"].bias.of(mask)).tolist() == [2, 3]
    assert not model.layers["depthwise1"].weight.of(mask)[..., 2:4].any()


def test_branches_of_a_concat_have_parts_of_their_own():
    pieces = pieces_of("neuron", make("concat"))
    sizes = {part.name: part.size for part in pieces.layer_groups}
    assert sizes == {"dense1": 4, "dense2": 3, "dense3": 2, "dense4": 4}


@given(models(), st.integers(0, 2**32 - 1))
def test_a_unit_that_went_gives_a_constant_that_no_input_moves(model, seed):
    """On any tree: with all of a unit masked, what the unit's layer gives there is the same for every input."""
    try:
        pieces = pieces_of("channel", model)
    except InvalidValue:
        assume(False)
    keep = np.random.default_rng(seed).random(pieces.n) < 0.5
    model.set_mask(pieces.expand(keep))
    assert np.array_equal(pieces.gone(model.mask), ~keep)
    coupling = model.couple()
    fixed, x = coupling.fixed(), random_input(model, 3, seed)
    for use in coupling.uses:
        if use.axis == -1 and use.parameter.kind in ("weight", "bias", "gain", "shift"):
            window = use.parameter.of(model.mask).reshape(-1, use.parameter.shape[-1])
            dead = ~window.any(axis=0)
            assert not (dead & fixed[coupling.roots(use.units)]).any()
            assert np.array_equal(dead, ~window.all(axis=0))  # whole or not at all
    assert np.isfinite(model(x)).all()


PLAIN = {"l1": lambda s: np.abs(s).sum(), "l2": lambda s: np.sqrt((s**2).sum()), "linf": lambda s: np.abs(s).max(),
         "mean": np.mean, "max": np.max, "sum": np.sum, "abs_sum": lambda s: abs(s.sum()), "own": np.median}


@each(("structure", "net"), PAIRS)
@each("reduction", [*REDUCTIONS, "own"])
def test_reductions_are_those_of_plain_loops(structure, net, reduction):
    plain = PLAIN[reduction]
    model = make(net)
    pieces, scores = pieces_of(structure, model), np.random.default_rng(3).normal(size=model.n_weights)
    if structure == "weight":
        plain = np.sum  # nothing is to be reduced
    wanted = [plain(scores[pieces.members(i)]) for i in range(pieces.n)]
    np.testing.assert_allclose(pieces.reduce(scores, medians if reduction == "own" else reduction), wanted, rtol=1e-12)


def medians(scores, starts, sizes):
    """A reduction of somebody's own."""
    return np.array([np.median(scores[start : start + size]) for start, size in zip(starts, sizes, strict=True)])


@given(st.sampled_from(PAIRS), st.integers(0, 2**32 - 1))
def test_expand_keeps_and_cuts_what_it_is_told(pair, seed):
    structure, net = pair
    model, rng = make(net), np.random.default_rng(seed)
    pieces = pieces_of(structure, model)
    keep = rng.random(pieces.n) < rng.random()
    mask = pieces.expand(keep)
    cut = [i for piece in np.flatnonzero(~keep) for i in pieces.members(piece).tolist()]
    assert np.flatnonzero(~mask[: model.n_weights]).tolist() == sorted(cut)
    assert mask[model.n_trainable :].all()
    if structure not in UNITS:
        assert mask[model.n_weights :].all()


@given(st.sampled_from(PAIRS), st.integers(0, 2**32 - 1))
def test_states_are_those_of_plain_loops(pair, seed):
    structure, net = pair
    model, rng = make(net), np.random.default_rng(seed)
    pieces = pieces_of(structure, model)
    mask = pieces.expand(rng.random(pieces.n) < 0.6)
    mask[: model.n_trainable] &= rng.random(model.n_trainable) < 0.9
    may_go = rng.random(model.n_weights) < 0.9
    state = pieces.state(mask, may_go)
    for piece in range(pieces.n):
        members = pieces.members(piece)
        whole = [*members, *(pieces.others[pieces.other_piece == piece] if structure != "weight" else [])]
        live = members[mask[members]]
        wanted = GONE if not mask[whole].any() else MAY_GO if may_go[live].all() else STAYS
        assert state[piece] == wanted


# --- structures that set their own count ---------------------------------------------------------------------------


@given(st.sampled_from(list(NETS)), st.integers(0, 5), st.integers(1, 5), st.integers(0, 2**32 - 1), st.booleans())
def test_n_of_m_stay_along_the_input_axis(net, n, m, seed, tied):
    assume(n <= m)
    rng, model = np.random.default_rng(seed), make(net)
    scores = rng.integers(0, 3, model.n_weights) if tied else rng.normal(size=model.n_weights)
    result = prune(model, criterion=lambda model, data: scores, structure=f"{n}:{m}")
    for p in model.weight_parameters:
        matrix, ranks = p.mask.reshape(-1, p.shape[-1]), scores[p.slice].reshape(-1, p.shape[-1])
        for column, start in itertools.product(range(p.shape[-1]), range(0, len(matrix), m)):
            group, rank = matrix[start : start + m, column], ranks[start : start + m, column]
            order = sorted(range(len(group)), key=lambda i, rank=rank: (rank[i], i))
            stay = min(n, len(group))
            assert np.flatnonzero(group).tolist() == sorted(order[len(order) - stay :])
    assert result.removed == np.count_nonzero(~model.mask)
    before = model.values.tobytes(), model.mask.tobytes()
    again = prune(model, criterion=lambda model, data: scores, structure=f"{n}:{m}")
    assert again.removed == 0 and (model.values.tobytes(), model.mask.tobytes()) == before


def test_n_of_m_takes_what_is_masked_first_and_never_revives():
    model = make("dense")
    model.set_mask(np.concatenate([[False, True, True, True, False, False], np.ones(len(model.mask) - 6, bool)]))
    # column 0 of (6, 5) holds the flat positions 0, 5, 10, 15 and 20, 25
    prune(model, structure="2:4", criterion=lambda model, data: np.arange(model.n_weights))
    assert model.layers["dense1"].weight.mask[:, 0].tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize("net", ["conv", "residual"])
def test_patterned_kernels_keep_so_many_in_few_arrangements(net):
    model = make(net)
    layers = ["conv1", "conv2"]
    pieces = structures.pattern(model, layers, entries=2, patterns=2)
    scores = np.abs(np.random.default_rng(0).normal(size=pieces.n))
    candidates = Candidates(pieces, scores, pieces.state(model.mask))
    _, counts, gone = pieces.cut(candidates)
    assert sum(counts) == gone.sum()
    for part in pieces.layer_groups:
        shape = part.parameters[0].shape
        kept, worth = ~gone[part.slice].reshape(shape), scores[part.slice].reshape(shape)
        assert (kept.sum(axis=(0, 1)) == 2).all()
        kernels, found = kept.reshape(-1, shape[-2] * shape[-1]), worth.reshape(-1, shape[-2] * shape[-1])
        library = np.unique(kernels, axis=1)
        assert library.shape[1] <= 2
        best = (found.T @ library).max(axis=1)  # every kernel took the pattern that keeps most
        np.testing.assert_allclose((found * kernels).sum(axis=0), best)


def test_a_pattern_never_revives_and_refuses_small_kernels():
    model = make("conv")
    mask = np.ones(len(model.mask), bool)
    mask[:20] = False
    model.set_mask(mask)
    prune(model, structure="pattern", layers="conv1", criterion=lambda model, data: np.ones(model.n_weights))
    assert not model.mask[:20].any() and not model.values[:20].any()
    told = prune(make("conv"), structure="pattern", layers="conv1").explain("conv1", (0, 0, 0, 0))
    assert "the pattern of its kernel" in told.reason
    with pytest.raises(InvalidValue, match="have 4 weights"):
        prune(model, structure="pattern", layers="conv2")


@pytest.mark.parametrize("scores", [np.negative, np.abs, lambda w: np.where(w > 0, np.inf, w)],
                         ids=["below 0", "above 0", "infinite"])
def test_a_pattern_twice_is_once(scores):
    """What is gone counts as the lowest, also beside scores that are negative or infinite."""
    model = make("conv")
    for removed in (5 * 4 * 2, 0):
        result = prune(model, structure="pattern", layers="conv1", criterion=lambda model, data: scores(model.weights))
        assert result.removed == removed


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("structure", "wanted"), [
    ("nuron", "did you mean neuron"), ("filter", "Conv2d or DepthwiseConv2d"), ("3:2", "must not be the larger"),
    ("0x4", "rows of a block"), ("1:0", "m of n:m"), (None, "unknown structure"), (4, "unknown structure"),
])
def test_wrong_structures_are_refused_by_name(structure, wanted):
    model = make("dense")
    with pytest.raises(MinnetError, match=wanted):
        pieces_of(structure, model)


def test_rowwise_is_for_weights():
    with pytest.raises(Unsupported, match="neuron"):
        prune(make("dense"), 0.5, structure="neuron", distribution="rowwise")


def test_an_own_structure_is_a_function():
    """Pieces of one's own: both weights that join a pixel's pair of channels."""
    model = Model(Sequential(Flatten(), Dense(4), Residual(Dense(4)), Dense(2)), (2, 2, 2), rng=0)
    result = prune(model, 0.5, structure=lambda model, layers: structures.block(model, layers, r=2, c=1))
    assert result.units.unit == "2x1 block" and result.units.total == 16 + 8 + 4


def test_conv_blocks_are_blocks_of_the_matrix_that_multiplies_windows():
    model = Model(Sequential(Conv2d(3, 2), Flatten(), Dense(2)), (4, 4, 2), rng=0)
    pieces = structures.block(model, ["conv1"], r=2, c=3)  # 2 x 2 x 2 rows, 3 columns
    assert pieces.n == 4 and all(len(pieces.members(i)) == 6 for i in range(4))


def test_a_filter_takes_its_gate_with_it():
    """Squeeze-and-excitation: filter and gate are one unit, of any layer that may be chosen; the squeeze is its own."""
    def gated():
        gate = Sequential(GlobalAvgPool2d(), Dense(2), ReLU(), Dense(4), Sigmoid())
        return Model(Sequential(Conv2d(4, 3), BatchNorm(), Product(gate), Conv2d(2, 2), Flatten(), Dense(3)), (5, 5, 1),
                     rng=0)

    model = gated()
    groups = pieces_of("filter", model).layer_groups
    assert [group.layers for group in groups] == [("conv1", "dense2"), ("conv2",)]
    prune(model, 0.5, structure="filter")
    small, x = compact(model), random_input(model)
    np.testing.assert_allclose(small(x), model(x), rtol=0, atol=1e-6)
    widths = {name: layer.weight.shape[-1] for name, layer in small.layers.items() if hasattr(layer, "weight")}
    assert widths["conv1"] == widths["dense2"] < 4 and widths["dense1"] == 2
    with pytest.raises(InvalidValue, match="made by dense2 too"):
        pieces_of("filter", gated(), ["conv1"])
