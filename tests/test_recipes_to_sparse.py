"""Recipes that alternate, penalise or project: counts at every step, exact projections, and each update in NumPy."""
from functools import partial
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from nets import bits, is_plus_zero
from tables import make, sample_for

import minnet as mn
from minnet.engine.sample import draw_sample, gradient
from minnet.errors import MinnetError
from minnet.pruning.recipes import RECIPES
from minnet.pruning.recipes.constrained import _Admm, _LearningCompression
from minnet.pruning.recipes.latent import ask
from minnet.report.rows import last_cut
from minnet.study.training import SPARSE, TRIED, Training

ROWS, BATCH, LR = 8, 3, 0.05
training = partial(mn.train, optimizer=mn.SGD(LR), batch_size=BATCH, accelerate=False, every="batch")


def data_of(model):
    sample = sample_for(model, rows=ROWS)
    return sample.X, sample.y


def steps(name, net="dense", sparsity=0.5, *, epochs=10, train=training, **more):
    """The model after each step, a copy, and the Step."""
    model = make(net) if isinstance(net, str) else net
    for step in RECIPES[name](model, data_of(model), sparsity, epochs=epochs, train=train, rng=0, **more):
        yield model, step


def gone(model):
    return int(np.count_nonzero(~model.mask))


# --- alternating -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "more"), [
    ("ac_dc", {"cycles": 2, "begin": 0.2, "end": 0.8}), ("ac_dc", {"cycles": 1, "begin": 0.0, "end": 1.0}),
    ("dsd", {}), ("dsd", {"last_cut": False}),
])
def test_the_sparsity_is_exactly_0_or_what_was_asked(name, more):
    seen = [gone(model) for model, _ in steps(name, **more)]
    assert set(seen) == {0, 31}
    marks = {"ac_dc": np.linspace(more.get("begin", 0), more.get("end", 1), 2 * more.get("cycles", 1) + 1),
             "dsd": [0.3, 0.6, 0.9][: 3 - ("last_cut" in more)]}[name]
    assert seen == [31 * (sum(i / 30 >= mark - 1e-9 for mark in marks) % 2) for i in range(1, 31)]


def test_what_is_freed_grows_from_0_without_momentum():
    """Momentum is 0 at the switch; values grow by the gradient alone, and the mask is one within a phase."""
    masks, before, freed = [], None, 0
    momentum = partial(training, optimizer=mn.SGD(0.5, momentum=0.9))
    for model, step in steps("ac_dc", cycles=2, begin=0.2, end=0.8, train=momentum):
        if before is not None and before.sum() < model.mask.sum():
            assert is_plus_zero(step.state.vectors.ravel()) and is_plus_zero(model.values[~before])
            freed += 1
        before = model.mask.copy()
        masks.append(bits(before))
    assert freed == 2 < len(set(masks)) <= 4


def test_what_was_masked_before_a_recipe_is_never_freed():
    for name in ("ac_dc", "dsd", "admm", "lc", "proximal"):
        model = make("dense")
        mn.prune(model, 0.2, criterion="random", rng=1)
        base = model.mask.copy()
        for _ in steps(name, model, 0.6):
            assert not (model.mask & ~base).any()
        assert gone(model) == round(0.6 * 62)


# --- penalised -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["weight", "neuron", "channel"])
def test_growing_l2_cuts_exactly_what_it_chose(structure):
    """Chosen after 1 epoch of 10; the L2 grows each second step, to 0.8 after the 18 steps up to 0.7."""
    model, plain = make("dense"), make("dense")
    prune = partial(mn.prune, structure=structure)
    arguments = {"ceiling": 0.8, "interval": 2, "begin": 0.1, "end": 0.7, "prune": prune}
    seen = [(m.values.copy(), m.mask.copy(), s.state.seed) for m, s in steps("growing_l2", model, **arguments)]
    (X, y), seed = data_of(plain), seen[0][2]
    for t in range(21):
        epoch, batch = divmod(t, 3)
        rows = np.random.default_rng([seed, 0, epoch]).permutation(ROWS)[batch * BATCH : (batch + 1) * BATCH]
        g = gradient(plain, draw_sample(plain, (X[rows], y[rows]), samples=None))
        if t == 3:
            mn.prune(cut := plain.clone(), 0.5, structure=structure)
            chosen = ~cut.mask[: cut.n_weights]
        if t >= 3:
            g[: plain.n_weights] += 0.8 * ((t - 2) // 2 * 2 / 18) * np.where(chosen, plain.weights, 0)
        plain.values[: plain.n_trainable] -= LR * g[: plain.n_trainable]
        if t < 20:
            np.testing.assert_allclose(seen[t][0], plain.values, rtol=1e-9, atol=1e-12)
    assert {bits(mask) for _, mask, _ in seen[20:]} == {bits(cut.mask)}
    assert all(mask.all() for _, mask, _ in seen[:20])


def test_slimming_pulls_gains_and_cuts_channels():
    """Units behind BatchNorm with the smallest gains are removed whole; without a sparsity those at exactly 0."""
    model = make("normed")
    dense = {step.state.t: (np.abs(model.parameters["batchnorm1.gain"].value), gone(model))
             for model, step in steps("slimming", model, 0.3, strength=0.1, end=0.7)}
    gains, cut = dense[20][0], dense[21][1]
    lost = ~model.parameters["dense1.weight"].mask.any(axis=0)
    assert dense[20][1] == 0 < cut == gone(model)
    assert lost.sum() == 3 and gains[lost].max() < gains[~lost].min()
    model = make("normed")
    cuts = [step.cut for _, step in steps("slimming", model, None, strength=0.3, end=0.7)]
    assert set(cuts) == {None}
    zero = ~model.parameters["dense1.weight"].mask.any(axis=0)
    assert 0 < zero.sum() < 6
    took = [step.cut for _, step in steps("slimming", "normed", 0.5, strength=0.3, end=0.7) if step.cut is not None]
    more = make("normed")
    list(steps("slimming", more, 0.5, strength=0.3, end=0.7))
    n = more.n_weights
    assert took == [np.count_nonzero(~more.mask[:n]) - np.count_nonzero(~model.mask[:n])]


def test_slimming_says_what_it_needs():
    with pytest.raises(MinnetError, match="BatchNorm"):
        list(steps("slimming", "dense"))
    with pytest.raises(MinnetError, match="channel"):
        list(steps("slimming", "normed", structure="weight"))


@pytest.mark.parametrize("penalty", ["l1", "l0", "mcp", "group_lasso", lambda strength: mn.penalties.L1(2 * strength)])
def test_a_path_of_a_penalty_makes_zeros_and_the_cut_does_the_rest(penalty):
    took, zeros = [], []
    for model, step in steps("proximal", penalty=penalty, low=0.01, high=2.0, path=6, end=0.8):
        took += [] if step.cut is None else [step.cut]
        zeros.append(gone(model))
    assert zeros[-1] == 31 and len(set(zeros[24:])) == 1
    model = make("dense")
    list(steps("proximal", model, None, penalty=penalty, low=0.01, high=2.0, path=6))
    assert gone(model) > 0 and took[0] <= 31


def test_proximal_steps_are_those_of_the_penalty():
    """Gradient step, then soft threshold, at six strengths for five steps each."""
    model, plain = make("dense"), make("dense")
    arguments = {"low": 0.1, "high": 0.5, "path": 6, "end": 1.0}
    seen = [(m.values.copy(), s.state.seed) for m, s in steps("proximal", model, 0.9, **arguments)]
    X, y = data_of(plain)
    strengths, n = np.geomspace(0.1, 0.5, 6), plain.n_weights
    for t in range(29):
        epoch, batch = divmod(t, 3)
        rows = np.random.default_rng([seen[0][1], 0, epoch]).permutation(ROWS)[batch * BATCH : (batch + 1) * BATCH]
        g = gradient(plain, draw_sample(plain, (X[rows], y[rows]), samples=None))
        plain.values[: plain.n_trainable] -= LR * g[: plain.n_trainable]
        w, limit = plain.weights, LR * strengths[min(int((t + 1) / 30 * 6 + 1e-12), 5)]
        plain.values[:n] = np.sign(w) * np.maximum(np.abs(w) - limit, 0)
        np.testing.assert_allclose(seen[t][0], plain.values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("wrong", [{"penalty": "l2"}, {"penalty": "bn_l1"}, {"penalty": "hoyer"}, {"low": 1.0}])
def test_penalties_without_zeros_are_refused(wrong):
    with pytest.raises(MinnetError):
        list(steps("proximal", **wrong))


# --- constrained -----------------------------------------------------------------------------------------------------


def method_of(kind, sparsity=0.5, **prune):
    model = make("dense")
    run = ask("x", model, data_of(model), sparsity, partial(mn.prune, **prune), training, epochs=10, span=(0.0, 1.0),
              rng=0, outcome=False)
    method = kind(run, np.array([0.5, 0.5]))
    method._prepare()
    return method


def nearest(v, k):
    """The vector with at most k numbers that are not 0 which is nearest to v: by trying all."""
    return min((np.where(np.isin(np.arange(len(v)), kept), v, 0) for kept in map(list, combinations(range(len(v)), k))),
               key=lambda z: ((z - v) ** 2).sum())


def test_projections_are_the_nearest_points():
    """Layer by layer for ADMM, of the whole net for LC: against all subsets of 12 entries, the others being large."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        admm = method_of(_Admm, distribution="layerwise")
        p = admm.layers[2]  # 4 x 3 weights
        admm.values[:], admm.dual[:] = rng.normal(size=(2, len(admm.values)))
        wanted = admm.values + admm.dual
        admm.project(0.5, 1.0)
        z = nearest(wanted[p.slice], 6)
        assert np.array_equal(admm.copy[p.slice], z)
        assert np.array_equal(admm.dual[p.slice], (wanted[p.slice] - z) / 2)  # rho doubled, so U is halved
        lc = method_of(_LearningCompression, sparsity=7 / 62)
        lc.values[:], lc.dual[:] = rng.normal(size=(2, len(lc.values)))
        lc.values[12:] += 100
        wanted = lc.values - lc.dual / 2
        lc.project(0.5, 2.0)
        assert np.array_equal(lc.copy[:12], nearest(wanted[:12], 5))
        assert np.count_nonzero(lc.copy) == 55


@pytest.mark.parametrize("name", ["admm", "lc"])
def test_each_step_is_the_published_update(name):
    """5 rounds of 6 steps: gradient of loss and pull, then the projection; what is shown has the exact count."""
    model, plain = make("dense"), make("dense")
    arguments = {"first": 0.2, "last": 3.2, "rounds": 5, "begin": 0.0, "end": 1.0,
                 "prune": partial(mn.prune, distribution="layerwise")}
    seen = [(m.values.copy(), gone(m), s.state.seed) for m, s in steps(name, model, **arguments)]
    (X, y), n, sizes = data_of(plain), plain.n_weights, [p.slice for p in plain.weight_parameters]
    rho, w, copy, dual, number = 0.2 * 2.0 ** np.arange(5), plain.values.copy(), None, np.zeros(n), -1

    def cut(v):
        out = v.copy()
        for s in sizes:
            out[s][np.argsort(np.abs(v[s]), kind="stable")[: (s.stop - s.start) // 2]] = 0
        return out

    for t in range(31):
        if number < (due := min(int(t / 6 + 1e-12), 4)):
            number = due
            if name == "admm":
                total = w[:n] + dual
                copy, scale = cut(total), rho[max(due - 1, 0)] / rho[due]
                dual = (total - copy) * scale
            else:
                copy = cut(w[:n] - dual / rho[due])
                dual = dual - rho[due] * (w[:n] - copy)
        if 0 < t < 30:
            shown = cut(w[:n]) if name == "admm" else copy
            np.testing.assert_allclose(seen[t - 1][0][:n], shown, rtol=1e-8, atol=1e-12)
        if t == 30:
            break
        epoch, batch = divmod(t, 3)
        rows = np.random.default_rng([seen[0][2], 0, epoch]).permutation(ROWS)[batch * BATCH : (batch + 1) * BATCH]
        g = gradient(plain, draw_sample(plain, (X[rows], y[rows]), samples=None), w)
        g[:n] += rho[number] * (w[:n] - copy + dual) if name == "admm" else rho[number] * (w[:n] - copy) - dual
        w = w - LR * g
    assert {count for _, count, _ in seen} == {31}


@pytest.mark.parametrize("name", ["admm", "lc"])
def test_weights_come_near_their_copy(name):
    """The distance that the last cut closes falls as the pull grows."""
    distances = {}
    for last in (0.01, 5.0):
        model, dense = make("dense"), {}

        def spy(model, data, *, dense=dense, **more):
            dense["method"] = more["penalty"][-1]
            return training(model, data, **more)

        list(steps(name, model, train=spy, first=0.01, last=last, begin=0.0, epochs=30, end=1.0))
        w = dense["method"].values
        distances[last] = np.linalg.norm(w - model.weights) / np.linalg.norm(w)
    assert distances[5.0] < distances[0.01] / 1.5


def test_the_report_says_how_many_weights_the_last_cut_took():
    """In the middle of an epoch or at its end; no line where there was no such cut, or it took none."""
    for end in (0.5, 0.55):
        model, job = make("dense"), SimpleNamespace(history=[], epochs=10)
        taken = RECIPES["proximal"](model, data_of(model), 0.9, end=end, epochs=10, train=training, rng=0)
        assert len(list(Training.stage(job, SPARSE, model, taken, keep=False))) == 10
        (cut,) = [entry["cut"] for entry in job.history if "cut" in entry]
        assert 0 < cut <= round(0.9 * model.n_weights)
    history = [{"stage": "pruning", "cut": 1200}, {"stage": "pruning"}, {"stage": TRIED, "cut": 5}]
    assert last_cut({"history": history, "recipe": "str"}) == [
        "the last cut, to the exact count, took 1,200 of the weights that str had left"]
    history[0]["cut"] = -3
    (line,) = last_cut({"history": history, "recipe": "str"})
    assert line.endswith("gave back 3 of the weights that str had removed")
    assert not last_cut({"history": history[1:], "recipe": "str"})


@pytest.mark.parametrize("name", ["proximal", "admm", "lc"])
def test_how_often_a_step_is_yielded_changes_no_bit(name):
    ends = []
    for every in ("batch", "epoch"):
        model = make("dense")
        *_, (_, last) = steps(name, model, train=partial(training, every=every))
        ends.append(bits(model.values, model.mask, last.state.vectors))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(("name", "wrong"), [
    ("ac_dc", {"cycles": 0}), ("ac_dc", {"begin": 0.9, "end": 0.5}), ("dsd", {"begin": 0.5, "again": 0.4}),
    ("dsd", {"last_cut": 1}), ("growing_l2", {"ceiling": 0}), ("growing_l2", {"interval": 0}),
    ("lc", {"first": 3.0, "last": 1.0}),
    ("admm", {"rounds": 0}), ("admm", {"first": 0}), ("proximal", {"path": 0}), ("slimming", {"strength": 0}),
    *[(name, {"structure": "neuron"}) for name in ("ac_dc", "dsd", "admm", "lc", "proximal")],
])
def test_own_arguments_are_checked(name, wrong):
    with pytest.raises(MinnetError):
        list(steps(name, "normed" if name == "slimming" else "dense", **wrong))
