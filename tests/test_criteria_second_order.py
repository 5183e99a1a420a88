"""Criteria from curvature, against brute force: deleted weights, refitted rest, dense inverses, plain loops.

Laws that hold for all criteria are in test_criteria.py and test_criteria_laws.py.
"""
import heapq
import warnings
from functools import partial

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import NETS, make, sample_for

import minnet as mn
from minnet import criteria
from minnet.engine.sample import Sample, draw_sample, gradient
from minnet.engine.tape import Tape
from minnet.errors import InvalidType, InvalidValue, NotFinite
from minnet.pruning.criteria import quadratic, reconstruction, second_order
from minnet.pruning.criteria.quadratic import definite, grams, invert, ridge, solve

EXACT = 1e-8
seeds = st.integers(0, 2**32 - 1)


# --- one linear layer and mse: everything is known -------------------------------------------------------------------


def linear_problem(n=40, inputs=5, outputs=3, seed=0, minimum=True):
    """(model, sample): one Dense layer and random targets, at the minimum of the mean squared error or not."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, inputs)) + 0.5, rng.normal(size=(n, outputs))
    model = mn.Model(mn.Sequential(mn.Dense(outputs)), (inputs,), rng=seed, dtype=np.float64)
    if minimum:
        best = np.linalg.lstsq(with_ones(X), y, rcond=None)[0]
        model.layers["dense1"].weight.value[...], model.layers["dense1"].bias.value[...] = best[:-1], best[-1]
    return model, draw_sample(model, (X, y), samples=None, rng=0)


def with_ones(X):
    return np.column_stack([X, np.ones(len(X))])


def loss_without(model, sample, i):
    """The loss when weight i is 0 and all others stay."""
    values = model.values.copy()
    values[i] = 0
    return sample.loss(model(sample.X, values), sample.y)


def refitted_loss(sample, i, outputs):
    """The least loss with weight i = (input, output) at 0, all others and the biases free."""
    total = 0.0
    for j in range(outputs):
        columns = [k for k in range(sample.X.shape[1] + 1) if (k, j) != divmod(i, outputs)]
        X = with_ones(sample.X)[:, columns]
        total += np.square(X @ np.linalg.lstsq(X, sample.y[:, j], rcond=None)[0] - sample.y[:, j]).sum()
    return total / sample.y.size


@pytest.mark.parametrize("variant", ["gauss_newton", "hessian", "anywhere"])
def test_obd_is_the_change_of_the_loss_at_a_minimum(variant):
    model, sample = linear_problem()
    base = sample.loss(model(sample.X), sample.y)
    true = [loss_without(model, sample, i) - base for i in range(model.n_weights)]
    np.testing.assert_allclose(criteria.obd(model, sample, variant=variant), true, rtol=EXACT, atol=EXACT * max(true))


def test_obd_anywhere_is_the_change_of_the_loss_where_it_is_not_least():
    model, sample = linear_problem(minimum=False)
    base = sample.loss(model(sample.X), sample.y)
    true = [loss_without(model, sample, i) - base for i in range(model.n_weights)]
    assert min(true) < 0
    np.testing.assert_allclose(criteria.obd(model, sample, variant="anywhere"), true, rtol=EXACT)


def test_obs_is_the_change_of_the_loss_when_all_else_is_fitted_again():
    model, sample = linear_problem()
    base = sample.loss(model(sample.X), sample.y)
    true = [refitted_loss(sample, i, 3) - base for i in range(model.n_weights)]
    np.testing.assert_allclose(criteria.obs(model, sample, damping=0), true, rtol=EXACT)


@given(seeds)
@settings(max_examples=10)
def test_obs_costs_no_more_than_obd(seed):
    model, sample = linear_problem(seed=seed, minimum=False)
    alone, together = criteria.obd(model, sample, variant="hessian"), criteria.obs(model, sample, damping=0)
    assert (together <= alone * (1 + EXACT)).all() and (together < alone * 0.99).any()


def test_obs_is_obd_where_inputs_have_nothing_in_common():
    model, sample = linear_problem()
    q = np.linalg.qr(sample.X - sample.X.mean(axis=0))[0]  # no input goes with another, nor with the bias
    apart = Sample(np.ascontiguousarray(q), sample.y, sample.loss, sample.rng, sample.rows)
    np.testing.assert_allclose(criteria.obs(model, apart, damping=0), criteria.obd(model, apart), rtol=EXACT)


# --- the Hessian and its inverse -------------------------------------------------------------------------------------


def numerical_hessian(model, sample, step=1e-5):
    """Central differences of the gradient, over all that is trained."""
    columns = []
    for i in range(model.n_trainable):
        ends = []
        for sign in (1, -1):
            values = model.values.copy()
            values[i] += sign * step
            ends.append(gradient(model, sample, values)[: model.n_trainable])
        columns.append((ends[0] - ends[1]) / (2 * step))
    return np.array(columns)


@pytest.mark.parametrize("net", ["dense", "normed"])
def test_obs_inverts_the_exact_hessian(net):
    """Where the loss bends down, it counts as flat; the mean of |H_ii| times the damping is added to all."""
    model = make(net)
    sample = sample_for(model, rows=20)
    H = numerical_hessian(model, sample)
    sizes, vectors = np.linalg.eigh((H + H.T) / 2)
    assert sizes.min() < 0
    alive = np.abs(H).max(axis=1) > 1e-12
    sizes = np.maximum(sizes, 0) + 0.02 * np.abs(np.diag(H))[alive].mean()
    n = model.n_weights
    expected = np.where(alive[:n], model.weights**2 / (2 * np.diag((vectors / sizes) @ vectors.T)[:n]), 0)
    np.testing.assert_allclose(criteria.obs(model, sample, damping=0.02), expected, rtol=1e-4,
                               atol=1e-6 * expected.max())


def hidden(activation, loss):
    """A net with one hidden layer, and data for it."""
    rng = np.random.default_rng(0)
    tree = mn.Sequential(mn.Dense(4), activation, mn.Dense(3))
    model = mn.Model(tree, (5,), rng=0, dtype=np.float64)
    y = rng.integers(3, size=20) if loss == "cross_entropy" else rng.normal(size=(20, 3))
    return model, draw_sample(model, (rng.normal(size=(20, 5)), y), samples=None, loss=loss, rng=0)


@pytest.mark.parametrize(("loss", "layers"), [("mse", ["dense1", "dense2"]), ("cross_entropy", ["dense2"])])
def test_obd_is_the_diagonal_of_the_hessian_where_theory_says_so(loss, layers):
    model, sample = hidden(mn.Tanh(), loss)
    expected = np.diag(numerical_hessian(model, sample))[: model.n_weights] * model.weights**2 / 2
    scores = criteria.obd(model, sample, variant="hessian")
    for p in model.weight_parameters:
        same = np.allclose(p.of(scores), p.of(expected), rtol=1e-6, atol=1e-8 * np.abs(expected).max())
        assert same == (p.layer in layers), p.name


def test_obd_without_bends_is_the_diagonal_of_the_gauss_newton_matrix():
    """2 / (n k) times the sum over images and outputs of the squares of the outputs' derivatives, by differences."""
    model, sample = hidden(mn.Sigmoid(), "mse")
    expected, step = np.zeros(model.n_weights), 1e-6
    for i in range(model.n_weights):
        ends = []
        for sign in (1, -1):
            values = model.values.copy()
            values[i] += sign * step
            ends.append(model(sample.X, values))
        slope = (ends[0] - ends[1]) / (2 * step)
        expected[i] = np.square(slope).sum() * 2 / sample.y.size * model.weights[i] ** 2 / 2
    np.testing.assert_allclose(criteria.obd(model, sample), expected, rtol=1e-6, atol=1e-10)


@given(seeds, st.integers(1, 8), st.integers(0, 8), st.floats(0, 1))
def test_inverses_of_what_has_none(seed, rows, rank, damping):
    """A symmetric positive matrix of any rank has a finite inverse; where it is regular that is the inverse."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(rank, rows))
    H = A.T @ A
    added = ridge(H, damping)
    inverse = invert(H, added)
    assert np.isfinite(inverse).all() and (np.diag(inverse) > 0).all()
    right = rng.normal(size=(rows, 2))
    full = H + added * np.eye(rows)
    if np.linalg.matrix_rank(full, tol=1e-6) == rows:
        np.testing.assert_allclose(full @ inverse, np.eye(rows), atol=1e-6)
        np.testing.assert_allclose(full @ solve(H, added, right), right, atol=1e-6)


def test_what_bends_down_counts_as_flat():
    H = np.diag([4.0, -2.0, 0.0])
    sizes, vectors = definite(H, ridge(H, 0.5))
    np.testing.assert_allclose((vectors * sizes) @ vectors.T, np.diag([5.5, 1.5, 1.5]))


# --- WoodFisher ------------------------------------------------------------------------------------------------------


def fisher_matrix(model, sample):
    """The mean over images of g g', by a loop."""
    total = np.zeros((model.n_weights, model.n_weights))
    for i in range(len(sample)):
        one = Sample(sample.X[i : i + 1], sample.y[i : i + 1], sample.loss, sample.rng, 1)
        g = np.where(model.mask, gradient(model, one), 0)[: model.n_weights]
        total += np.outer(g, g) / len(sample)
    return total


@pytest.mark.parametrize("images", [1, 3, 100])
@pytest.mark.parametrize("net", NETS)
def test_woodfisher_in_one_block_is_the_inverse_of_the_damped_fisher_matrix(net, images, monkeypatch):
    monkeypatch.setattr(second_order, "IMAGES", images)
    model = make(net)
    model.set_mask((np.arange(len(model.values)) % 5 != 1) | (np.arange(len(model.values)) >= model.n_trainable))
    sample = sample_for(model)
    F = fisher_matrix(model, sample)
    alive = np.diag(F) > 0
    added = 0.03 * np.diag(F)[alive].mean()
    expected = np.where(alive, model.weights**2 / (2 * np.diag(np.linalg.inv(F + added * np.eye(len(F))))), 0)
    np.testing.assert_allclose(criteria.woodfisher(model, sample, damping=0.03, block=None), expected, rtol=1e-8,
                               atol=1e-10 * expected.max())


@pytest.mark.parametrize("block", [1, 4, 6, 100])
def test_woodfishers_blocks_are_runs_of_weights_into_one_output(block):
    model = make("dense")
    sample = sample_for(model)
    F = fisher_matrix(model, sample)
    F += 0.03 * np.diag(F)[np.diag(F) > 0].mean() * np.eye(len(F))
    expected = np.zeros(model.n_weights)
    for p in model.weight_parameters:
        numbers = np.arange(p.slice.start, p.slice.stop).reshape(p.shape)
        for column in numbers.T:
            for run in np.array_split(column, -(-len(column) // block)):
                expected[run] = model.weights[run] ** 2 / (2 * np.diag(np.linalg.inv(F[np.ix_(run, run)])))
    np.testing.assert_allclose(criteria.woodfisher(model, sample, damping=0.03, block=block), expected, rtol=1e-8)


def test_woodfisher_of_single_weights_is_fisher():
    model = make("dense")
    sample = sample_for(model)
    fisher = criteria.fisher(model, sample)
    np.testing.assert_allclose(criteria.woodfisher(model, sample, damping=1e-9, block=1), fisher, rtol=1e-5,
                               atol=1e-8 * fisher.max())


# --- what a layer's weights see --------------------------------------------------------------------------------------


def windows_by_loops(layer, x):
    """The windows of `x` (n, h, w, c) one by one: (n * positions, kh, kw, c)."""
    at, found = layer.window, []
    padded = np.pad(x, ((0, 0), (at.top, at.bottom), (at.left, at.right), (0, 0)))
    for image in padded:
        for i in range(at.output[0]):
            for j in range(at.output[1]):
                top, left = i * at.stride[0], j * at.stride[1]
                found.append(image[top : top + at.kernel[0], left : left + at.kernel[1]])
    return np.array(found)


WINDOWED = {
    "valid": mn.Conv2d(4, (3, 2)),
    "same": mn.Conv2d(3, 3, padding="same", use_bias=False),
    "stride": mn.Conv2d(3, (2, 3), stride=(2, 1), padding=((1, 0), (0, 2))),
    "pointwise": mn.Conv2d(3, 1),
    "depthwise": mn.DepthwiseConv2d((2, 3), padding="same", multiplier=2),
}


def one_layer(layer, shape=(5, 6, 3), rows=9, seed=0):
    """(model, sample, the windows seen by each group of outputs) of one convolution with random values."""
    model = mn.Model(mn.Sequential(layer, mn.Flatten()), shape, rng=seed, dtype=np.float64)
    rng = np.random.default_rng(seed)
    sample = draw_sample(model, (rng.normal(size=(rows, *shape)), rng.integers(2, size=rows)), samples=None)
    first = model.tree.layers[0]
    seen = windows_by_loops(first, sample.X)
    if isinstance(first, mn.DepthwiseConv2d):
        return model, sample, [seen[..., c].reshape(len(seen), -1) for c in range(shape[-1])]
    return model, sample, [seen.reshape(len(seen), -1)]


@pytest.mark.parametrize("kind", WINDOWED)
def test_grams_are_sums_over_windows(kind):
    model, sample, seen = one_layer(WINDOWED[kind])
    (found,) = grams(model, sample).values()
    np.testing.assert_allclose(found, [x.T @ x / len(sample) for x in seen], rtol=1e-10, atol=1e-12)


# --- layer-wise ------------------------------------------------------------------------------------------------------


def error(x, w, keep):
    """The least sum of squares of x'w - x'v over v that are 0 outside `keep`, by NumPy's least squares."""
    target = x @ w
    if not keep.any():
        return np.square(target).sum()
    return np.square(x[:, keep] @ np.linalg.lstsq(x[:, keep], target, rcond=None)[0] - target).sum()


def outputs_of(model, scores, seen):
    """For every output of a model of one layer: (x, w, its scores, live)."""
    p = model.weight_parameters[0]
    shape = (-1, p.shape[-1])
    w, s, live = p.value.reshape(shape), p.of(scores).reshape(shape), p.mask.reshape(shape)
    for j in range(p.shape[-1]):
        yield seen[j * len(seen) // p.shape[-1]], w[:, j], s[:, j], live[:, j]


def dense_layer(n=30, inputs=7, outputs=3, seed=0):
    model, sample = linear_problem(n, inputs, outputs, seed, minimum=False)
    return model, sample, [sample.X]


LAYERS = {"dense": dense_layer, **{kind: partial(one_layer, layer) for kind, layer in WINDOWED.items()}}


@pytest.mark.parametrize("kind", LAYERS)
def test_layer_obs_is_the_error_after_the_best_update(kind):
    """With some weights masked already, which can make up for nothing."""
    model, sample, seen = LAYERS[kind]()
    model.set_mask(np.random.default_rng(1).random(len(model.values)) < 0.8)
    for x, w, scores, live in outputs_of(model, criteria.layer_obs(model, sample, damping=0), seen):
        for q in np.flatnonzero(live):
            keep = live & (np.arange(len(w)) != q)
            np.testing.assert_allclose(scores[q], error(x, w, keep) / len(sample), rtol=1e-7, atol=1e-12)
        assert not scores[~live].any()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("steps", [1, 3, 100])
def test_obcs_costs_add_up_to_the_layers_error_at_every_step(kind, steps, monkeypatch):
    monkeypatch.setattr(reconstruction, "STEPS", steps)
    model, sample, seen = LAYERS[kind]()
    model.set_mask(np.random.default_rng(1).random(len(model.values)) < 0.9)
    for x, w, scores, live in outputs_of(model, criteria.obc(model, sample, damping=0), seen):
        G = x.T @ x / len(sample)
        order, costs = reconstruction.remove_greedily(invert(G, 0), 1 / np.diag(G), w)
        assert sorted(order.tolist()) == list(range(len(w))) and not costs[: np.count_nonzero(~live)].any()
        for k in range(len(w) + 1):
            keep = np.isin(np.arange(len(w)), order[k:]) & live
            np.testing.assert_allclose(costs[:k].sum(), error(x, w, keep) / len(sample), rtol=1e-7, atol=1e-10)
        assert np.array_equal(np.argsort(scores, kind="stable")[np.count_nonzero(~live) :],
                              order[np.count_nonzero(~live) :])
        np.testing.assert_allclose(scores[order], np.maximum.accumulate(costs), rtol=1e-9)


@given(seeds, st.integers(1, 9))
def test_greedy_removal_is_the_paper_s_loop(seed, steps):
    """Frantar and Alistarh's algorithm 1 with whole matrices; each inverse is that of the matrix without what went."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(20, 8)), rng.normal(size=8)
    H = X.T @ X
    inverse, v, left, expected = np.linalg.inv(H), w.copy(), np.ones(8, bool), []
    for _ in range(8):
        price = np.where(left, v**2 / np.where(left, np.diag(inverse), 1), np.inf)
        q = price.argmin()
        expected.append((q, price[q]))
        v = v - v[q] / inverse[q, q] * inverse[:, q]
        inverse = inverse - np.outer(inverse[:, q], inverse[q]) / inverse[q, q]
        left[q] = False
        np.testing.assert_allclose(inverse[np.ix_(left, left)], np.linalg.inv(H[np.ix_(left, left)]), rtol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconstruction, "STEPS", steps)
        order, costs = reconstruction.remove_greedily(np.linalg.inv(H), 1 / np.diag(H), w)
    assert order.tolist() == [q for q, _ in expected]
    np.testing.assert_allclose(costs, [price for _, price in expected], rtol=1e-6)


def test_between_outputs_the_next_cheapest_goes():
    """The paper's algorithm 2: a heap of each output's next cost. Pruning takes the same weights in the same order."""
    model, sample, seen = dense_layer()
    G = seen[0].T @ seen[0] / len(sample)
    w = model.weight_parameters[0].value
    removals = [reconstruction.remove_greedily(invert(G, 0), 1 / np.diag(G), column) for column in w.T]
    heap = [(costs[0], j, 0) for j, (_, costs) in enumerate(removals)]
    taken = []
    while heap:
        _, j, t = heapq.heappop(heap)
        order, costs = removals[j]
        taken.append(order[t] * w.shape[1] + j)
        if t + 1 < len(costs):
            heapq.heappush(heap, (costs[t + 1], j, t + 1))
    assert np.argsort(criteria.obc(model, sample, damping=0), kind="stable").tolist() == taken
    for k in (1, 8, 15):
        pruned = model.clone()
        mn.prune(pruned, count=k, criterion=partial(criteria.obc, damping=0), data=sample)
        assert set(np.flatnonzero(~pruned.mask).tolist()) == set(taken[:k])


def test_scores_rise_where_costs_fall():
    """A weight that is cheaper once others went scores just above them: no index decides the order."""
    found = []
    for seed in range(20):
        model, sample, seen = dense_layer(seed=seed)
        G = seen[0].T @ seen[0] / len(sample)
        (_, w, scores, _), *_ = outputs_of(model, criteria.obc(model, sample, damping=0), seen)
        order, costs = reconstruction.remove_greedily(invert(G, 0), 1 / np.diag(G), w)
        assert (np.diff(scores[order]) > 0).all()
        found.append((np.diff(costs) < 0).any())
    assert any(found)


def sparse_gpt(G, W, live, sparsity, block):
    """Algorithm 1 of the paper with an inverse made anew for every input, and scores as minnet gives them."""
    W, scores = W.copy(), np.zeros(W.shape)
    for start in range(0, len(W), block):
        rows = range(start, min(start + block, len(W)))
        d = {i: np.linalg.inv(G[i:, i:])[0, 0] for i in rows}
        price = np.array([np.where(live[i], W[i] ** 2 / d[i], -1) for i in rows])
        rank = np.argsort(np.argsort(price, axis=None, kind="stable")).reshape(price.shape) + 1
        for i in rows:
            scores[i] = np.where(live[i], rank[i - start] / price.size, 0)
            goes = (rank[i - start] <= round(sparsity * price.size)) | ~live[i]
            inverse = np.linalg.inv(G[i:, i:])
            W[i:] -= np.outer(inverse[:, 0] / inverse[0, 0], np.where(goes, W[i], 0))
            assert not W[i][goes].any() or np.abs(W[i][goes]).max() < 1e-12
    return scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("sparsity", "block"), [(0.5, 4), (0.3, 128), (0.0, 2), (1.0, 3), (0.3, 2)])
def test_the_blocked_order_is_sparsegpts(sparsity, block, seed):
    """Where few are masked, where more are than the share that is to go, and after that."""
    model, sample, seen = dense_layer(inputs=12, outputs=5, seed=seed)
    sample.X[:] += 5 * sample.X[:, :1]  # what goes is felt by all that comes later
    mask = np.ones(len(model.values), bool)
    mask[: model.n_weights] = np.random.default_rng(seed).random(model.n_weights) < np.repeat([0.9, 0.3, 0.9], 20)
    model.set_mask(mask)
    p = model.weight_parameters[0]
    G = seen[0].T @ seen[0] / len(sample)
    G += 0.01 * np.diag(G).mean() * np.eye(len(G))
    scores = criteria.obc(model, sample, variant="blocked", sparsity=sparsity, block=block)
    np.testing.assert_allclose(p.of(scores), sparse_gpt(G, p.value, p.mask, sparsity, block), rtol=1e-12)


def test_a_layerwise_cut_of_the_blocked_order_takes_the_share_of_each_block():
    model, sample, _ = dense_layer(inputs=8, outputs=5)
    criterion = partial(criteria.obc, variant="blocked", sparsity=0.5, block=4)
    mn.prune(model, 0.5, criterion=criterion, data=sample)
    mask = model.weight_parameters[0].mask
    assert np.count_nonzero(mask[:4]) == np.count_nonzero(mask[4:]) == 10


# --- nothing to invert -----------------------------------------------------------------------------------------------

SECOND_ORDER = {
    **{f"obd {variant}": partial(criteria.obd, variant=variant) for variant in second_order.VARIANTS},
    "obs": criteria.obs, "obs undamped": partial(criteria.obs, damping=0),
    "woodfisher": criteria.woodfisher, "woodfisher whole": partial(criteria.woodfisher, block=None),
    "layer_obs": criteria.layer_obs, "layer_obs undamped": partial(criteria.layer_obs, damping=0),
    "obc": criteria.obc, "obc undamped": partial(criteria.obc, damping=0),
    "blocked": partial(criteria.obc, variant="blocked", block=3),
    "blocked undamped": partial(criteria.obc, variant="blocked", damping=0),
}


def singular(kind):
    """(model, sample, dead): fewer images than weights, inputs that are always 0, inputs that are alike, or all."""
    rng = np.random.default_rng(0)
    model = mn.Model(mn.Sequential(mn.Dense(6), mn.ReLU(), mn.Dense(3)), (9,), rng=0, dtype=np.float64)
    X = rng.normal(size=(3 if kind in ("few", "all") else 30, 9))
    dead = [2, 5] if kind in ("dead", "all") else []
    if kind in ("alike", "all"):
        X[:, 7] = X[:, 1]
        X[:, 3] = 2 * X[:, 0] - X[:, 1]
    X[:, dead] = 0
    return model, draw_sample(model, (X, rng.integers(3, size=len(X))), samples=None, rng=0), dead


@each("kind", ["few", "dead", "alike", "all"])
@each("name", SECOND_ORDER)
def test_a_singular_matrix_is_no_error_and_a_dead_weight_goes_first(name, kind):
    model, sample, dead = singular(kind)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        scores = SECOND_ORDER[name](model, sample)
    assert np.isfinite(scores).all()
    first = model.layers["dense1"].weight
    assert not first.of(scores)[dead].any()
    if "anywhere" not in name and "hessian" not in name:  # whose scores may be below 0
        free = first.of(scores) == 0
        mn.prune(model, count=np.count_nonzero(free), criterion=SECOND_ORDER[name], data=sample, layers="dense1")
        assert not first.mask[dead].any() and np.array_equal(first.mask, ~free)


@pytest.mark.parametrize("name", ["layer_obs undamped", "obc undamped"])
def test_what_others_can_replace_costs_nothing(name):
    model, sample, _ = singular("alike")
    scores = model.layers["dense1"].weight.of(SECOND_ORDER[name](model, sample))
    if name == "layer_obs undamped":
        assert scores[[0, 1, 3, 7]].max() < 1e-8 < 1e-4 < scores[[2, 4, 5, 6, 8]].min()
    else:  # once two of them are gone, the other two are needed
        assert (np.count_nonzero(scores < 1e-8, axis=0) == 2).all()


# --- born sparse -----------------------------------------------------------------------------------------------------


def born_sparse():
    """(model, its twin of dense layers under a mask, where each of the model's values stands in the twin)."""
    trees = [(mn.SparseDense(6, 30), mn.ReLU(), mn.SparseDense(5, 20), mn.Tanh(), mn.Dense(3)),
             (mn.Dense(6), mn.ReLU(), mn.Dense(5), mn.Tanh(), mn.Dense(3))]
    model, twin = (mn.Model(mn.Sequential(*tree), (8,), rng=0, dtype=np.float64) for tree in trees)
    pairs = zip(model.parameters.values(), twin.parameters.values(), strict=True)
    at = np.concatenate([q.slice.start + (np.arange(q.size) if p.index is None else p.index) for p, q in pairs])
    mask = np.zeros(len(twin.values), bool)
    mask[at] = True
    twin.values[at] = model.values
    twin.set_mask(mask)
    return model, twin, at


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_layer_born_sparse_is_judged_as_its_masked_twin(name):
    model, twin, at = born_sparse()
    sample = sample_for(model, rows=30)
    expected = SECOND_ORDER[name](twin, sample)[at[: model.n_weights]]
    np.testing.assert_allclose(SECOND_ORDER[name](model, sample), expected, rtol=1e-8, atol=1e-10 * expected.max())


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("criterion", "words"), [
    (criteria.obs, "266610 live weights.*woodfisher"),
    (partial(criteria.woodfisher, block=None), "take a smaller block"),
])
def test_nets_that_are_too_large_are_refused(criterion, words):
    model = mn.models.lenet_300_100((28, 28, 1), 10, rng=0)
    with pytest.raises(InvalidValue, match=words):
        criterion(model, sample_for(model, rows=2))


@pytest.mark.parametrize("criterion", [criteria.layer_obs, criteria.obc])
def test_layers_that_are_too_wide_are_refused(criterion):
    model = mn.Model(mn.Sequential(mn.Dense(2)), (quadratic.LARGEST + 1,), rng=0)
    with pytest.raises(InvalidValue, match="dense1 has 8193 weights into each output.*take wanda"):
        criterion(model, sample_for(model, rows=2))


def test_blocks_that_are_too_large_are_refused(monkeypatch):
    model = make("dense")
    monkeypatch.setattr(second_order, "MOST_NUMBERS", 6 * 30 + 5 * 20 + 4 * 12)
    criteria.woodfisher(model, sample_for(model), block=6)
    monkeypatch.setattr(second_order, "MOST_NUMBERS", 6 * 30 + 5 * 20 + 4 * 12 - 1)
    with pytest.raises(InvalidValue, match="block=6 would hold 328 numbers"):
        criteria.woodfisher(model, sample_for(model), block=6)


def test_an_order_that_takes_hours_is_refused(monkeypatch):
    monkeypatch.setattr(reconstruction, "MOST_WORK", 1000)
    model = make("dense")
    with pytest.raises(InvalidValue, match="blocked"):
        criteria.obc(model, sample_for(model))
    criteria.obc(model, sample_for(model), variant="blocked")


@pytest.mark.parametrize(("name", "arguments", "error"), [
    ("obs", {"damping": -1}, InvalidValue), ("obs", {"damping": "much"}, InvalidType),
    ("layer_obs", {"damping": np.nan}, InvalidValue), ("obc", {"damping": -0.1}, InvalidValue),
    ("obc", {"variant": "fast"}, InvalidValue), ("obc", {"sparsity": 2}, InvalidValue),
    ("obc", {"block": 0}, InvalidValue), ("woodfisher", {"damping": 0}, InvalidValue),
    ("woodfisher", {"block": 0}, InvalidValue), ("obd", {"variant": "exact"}, InvalidValue),
])
def test_arguments_that_cannot_be_are_refused(name, arguments, error):
    model = make("dense")
    with pytest.raises(error, match="=|variant"):
        getattr(criteria, name)(model, sample_for(model), **arguments)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_model_that_diverged_is_refused(name):
    model, sample, _ = singular("few")
    model.layers["dense1"].weight.value[0, 0] = np.nan
    with pytest.raises(NotFinite, match="NaN"):
        mn.prune(model, 0.5, criterion=SECOND_ORDER[name], data=sample)


def test_tapes_of_the_first_layer_see_what_windows_sees():
    """`windows` reads a layer's input, `unfolded_input` its tape: the same rows."""
    model = make("conv")
    sample, tape = sample_for(model), Tape(make("conv"))
    model = tape.model
    model.forward(sample.X, tape)
    layer = model.layers["conv1"]
    np.testing.assert_array_equal(quadratic.windows(layer, sample.X)[0], layer.unfolded_input(tape))
