"""What training promises: masks, bits, seeds, continuation, errors, and no memory taken once it runs."""
import gc
import hashlib
import os
import subprocess
import sys
import warnings
import weakref
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import N_CLASSES, NETS, OPTIMIZERS, bits, finish, is_plus_zero, problem
from trees import random_mask, randomise

import minnet as mn
from minnet import blas
from minnet.engine.losses import cross_entropy
from minnet.engine.lr_schedules import LR_SCHEDULES
from minnet.engine.metrics import mean_loss
from minnet.errors import Diverged, InvalidValue
from minnet.fast.rewrite import rewrite
from minnet.kernels.steps import soft_threshold


class Pull:
    """A penalty that pulls all entries, masked ones too, towards numbers that are not 0."""

    def value(self, model):
        return float(np.sum((model.values[: model.n_trainable] - 1) ** 2)) / 2

    def add_gradient(self, model, grads):
        grads[: model.n_trainable] += model.values[: model.n_trainable] - 1

    def prox(self, model, lr):
        model.values[: model.n_trainable] += lr * 1e-3


class Lasso:
    """0.05 * the sum of |w|: all in its prox."""

    def value(self, model):
        return 0.05 * float(np.abs(model.weights).sum())

    def add_gradient(self, model, grads):
        pass

    def prox(self, model, lr):
        soft_threshold(model.weights, 0.05 * lr)


# --- masks ------------------------------------------------------------------------------------------------------------


def smaller_mask(model, kinds, rng):
    """A random part of the model's mask that leaves at least one weight: drawn again until it does."""
    mask = np.zeros_like(model.mask)
    while not mask[: model.n_weights].any():
        mask = model.mask & random_mask(model, kinds, 0.6, rng)
    return mask


@settings(max_examples=30)
@given(st.sampled_from(sorted(NETS)), st.sampled_from(sorted(OPTIMIZERS)), st.sampled_from([None, 0.1]),
       st.lists(st.sampled_from([Pull, Lasso]), max_size=2), st.integers(0, 2**32 - 1))
def test_what_is_masked_is_plus_zero(net, optimizer, clip_norm, penalties, seed):
    """Values, momentum and second moments, bit for bit, after every step, also when the mask grows on the way."""
    model, data = problem(net, seed=seed)
    rng = np.random.default_rng(seed)
    model.set_mask(smaller_mask(model, ("weights", "units"), rng))
    live = model.mask.copy()
    training = mn.train(model, data, optimizer=OPTIMIZERS[optimizer], epochs=2, batch_size=4, rng=seed, every="batch",
                        penalty=[make() for make in penalties], clip_norm=clip_norm)
    for number, step in enumerate(training):
        assert is_plus_zero(model.values[~model.mask])
        assert is_plus_zero(step.state.vectors[:, ~model.mask[: model.n_trainable]])
        assert np.array_equal(model.mask, live)
        if number == 3:
            model.set_mask(smaller_mask(model, ("weights",), rng))
            live = model.mask.copy()
            step.state.apply_mask()
            assert is_plus_zero(step.state.vectors[:, ~model.mask[: model.n_trainable]])
    assert model.values[model.mask].any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_revived_weight_starts_at_rest(optimizer):
    """Momentum from before it was cut does not come back with it."""
    model, data = problem("chain")
    training = mn.train(model, data, optimizer=OPTIMIZERS[optimizer], epochs=9, batch_size=14, rng=0)
    state = next(training).state
    cut = model.mask.copy()
    cut[: model.n_weights : 2] = False
    model.set_mask(cut)
    next(training)
    model.set_mask(np.ones_like(cut))
    assert is_plus_zero(model.values[~cut]) and is_plus_zero(state.vectors[:, ~cut[: model.n_trainable]])
    next(training)
    assert model.values[~cut].any()


@pytest.mark.parametrize("net", ["chain", "flat chain", "images"])
def test_masked_training_is_training_the_smaller_net(net):
    """A net whose cut weights are 0 and stay there: the others move as the gradient by central differences says."""
    _, (X, y) = problem(net, dtype=np.float64)
    tree = mn.Sequential(*[layer for layer in NETS[net][1].layers if not isinstance(layer, mn.Dropout)])
    model = randomise(mn.Model(tree, NETS[net][0], dtype=np.float64), np.random.default_rng(0))
    model.set_mask(random_mask(model, ("weights",), 0.5, np.random.default_rng(0)))
    before, moved = model.values.copy(), np.zeros_like(model.values)
    for k in np.flatnonzero(model.mask[: model.n_trainable]):
        losses = []
        for sign in (1, -1):
            values = before.copy()
            values[k] += sign * 1e-6
            losses.append(cross_entropy(model(X, values), y))
        moved[k] = -0.1 * (losses[0] - losses[1]) / 2e-6
    finish(mn.train(model, (X, y), optimizer=mn.SGD(0.1), epochs=1, batch_size=len(X), rng=0))
    np.testing.assert_allclose(model.values - before, moved, atol=1e-8)


# --- the loop ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", ["chain", "flat chain"])
def test_the_compiled_chain_takes_the_steps_of_the_layers(net):
    found = []
    for accelerate in (True, False):
        model, (X, y) = problem(net, dtype=np.float64)
        X[np.random.default_rng(0).random(X.shape) < 0.8] = 0
        steps = finish(mn.train(model, (X, y), epochs=3, batch_size=4, rng=0, every="batch",
                                accelerate=accelerate))
        found.append((model.values, [step.loss for step in steps]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


CONVOLUTIONS = {
    "one channel": ((9, 8, 1), mn.Conv2d(4, 3, padding="same"), mn.MaxPool2d(2)),
    "strides": ((11, 12, 2), mn.Conv2d(3, (3, 2), stride=2, use_bias=False), mn.MaxPool2d(2, 1)),
    "gaps": ((9, 8, 3), mn.Conv2d(4, 2), mn.MaxPool2d(2, 3)),
}


@pytest.mark.parametrize("net", CONVOLUTIONS)
def test_a_convolution_joined_with_its_pool_takes_the_steps_of_the_layers(net, monkeypatch):
    found, (shape, *layers) = [], CONVOLUTIONS[net]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(11, *shape)), rng.integers(N_CLASSES, size=11)
    more = mn.ReLU(), mn.Conv2d(5, 2, padding="same"), mn.MaxPool2d(2), mn.Flatten(), mn.Dense(N_CLASSES)
    tree = mn.Sequential(*layers, *more)
    for name in ("engine.convolution.COLUMN_BYTES", "fast.rewrite.CALL_MACS"):  # a few images at a time and a call
        monkeypatch.setattr(f"minnet.{name}", 2**13)
    for accelerate in (True, False):
        model = mn.Model(tree, shape, rng=0, dtype=np.float64)
        steps = finish(mn.train(model, (X, y), epochs=3, batch_size=4, rng=0, every="batch", accelerate=accelerate))
        tape, walked = mn.Tape(model, input_gradient=True), rewrite(model.tree) if accelerate else model.tree
        assert accelerate == (len(walked.layers) == len(model.tree.layers) - 2)
        dx = walked.backward(np.ones_like(walked.forward(X, tape)), tape)
        found.append((model.values, [step.loss for step in steps], dx, model(X)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_steps_are_those_of_the_equation():
    """Plain SGD with a ragged last batch, by hand: the order of rows is the State's, the loss of an epoch its mean."""
    model, (X, y) = problem("chain", n=10, dtype=np.float64)
    twin, before = model.clone(), range(len(X))
    steps = finish(mn.train(model, (X, y), optimizer=mn.SGD(0.2), epochs=2, batch_size=4, rng=5, every="batch"))
    assert [(step.epoch, step.batch) for step in steps] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    tape, state = mn.Tape(twin), mn.State(twin, mn.SGD(0.2), 5)
    for state.epoch in range(2):
        losses, order = [], state.order(len(X))
        assert sorted(order) == list(range(len(X))) and list(order) != list(before)
        before = order
        for rows in (order[:4], order[4:8], order[8:]):
            dlogits = np.empty((len(rows), N_CLASSES))
            losses.append(cross_entropy(twin.forward(X[rows], tape), y[rows], dlogits))
            twin.backward(dlogits, tape)
            twin.values[: twin.n_trainable] -= 0.2 * tape.grads[: twin.n_trainable]
        assert steps[3 * state.epoch + 2].loss == pytest.approx(np.mean(losses), rel=1e-12)
        assert steps[3 * state.epoch + 1].loss == pytest.approx(np.mean(losses[:2]), rel=1e-12)
    np.testing.assert_allclose(model.values, twin.values, rtol=1e-12, atol=1e-14)


def test_running_statistics_move_once_a_step():
    """new = 0.9 old + 0.1 batch, with the unbiased variance of the batch that the layer saw."""
    model, (X, y) = problem("noisy", dtype=np.float64)
    mean, variance = (model.parameters[f"batchnorm1.{kind}"].value for kind in ("mean", "variance"))
    seen = X @ model.parameters["dense1.weight"].value + model.parameters["dense1.bias"].value
    finish(mn.train(model, (X, y), epochs=1, batch_size=len(X), rng=0))
    np.testing.assert_allclose(mean, 0.1 * seen.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * seen.var(axis=0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("net", NETS)
def test_every_batch_is_every_epoch(net):
    found = set()
    for every in ("batch", "epoch"):
        model, data = problem(net)
        steps = finish(mn.train(model, data, epochs=3, batch_size=4, rng=1, every=every))
        found.add((bits(model.values), steps[-1].loss, steps[-1].epoch))
        assert len(steps) == (12 if every == "batch" else 3)
    assert len(found) == 1


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("sparsity", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_many_steps_in_one_call_are_single_steps(optimizer, sparsity, threads):
    """Bit for bit, masks, batches smaller than the threads and learning rates that move included: a clip_norm that no
    gradient reaches multiplies each by 1, and takes one step a call."""
    rng, found, paths = np.random.default_rng(0), [], []
    data = rng.normal(size=(2801, 300)).astype(np.float32), rng.integers(0, 3, 2801)  # the last batch has one row
    for clip_norm in (None, 1e30):
        model = mn.models.mlp((300,), 3, (300, 30), rng=0)
        mn.prune(model, sparsity)
        steps = finish(mn.train(model, data, state=mn.State(model, OPTIMIZERS[optimizer], 0, threads), epochs=2,
                                batch_size=700, lr_schedule="cosine", clip_norm=clip_norm))
        found.append((bits(model.values), bits(steps[-1].state.vectors), [step.loss for step in steps]))
        paths.append(steps[-1].path)
    assert "many steps a call" in paths[0] and "one step a call" in paths[1]
    assert found[0][:2] == found[1][:2]
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-14)


def test_no_epochs_change_nothing():
    model, data = problem("noisy")
    before = bits(model.values)
    assert finish(mn.train(model, data, epochs=0)) == []
    assert bits(model.values) == before


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_where_it_stopped(net, optimizer):
    """One run; one stopped after an epoch; one stopped within an epoch: all end in the same bits."""
    begin = partial(mn.train, optimizer=OPTIMIZERS[optimizer], batch_size=4, rng=3, every="batch")
    found = set()
    for stop in (None, 4, 6):
        model, data = problem(net)
        state = None
        if stop is not None:
            steps = begin(model, data, epochs=4 if stop % 4 else 1)
            state = [next(steps).state for _ in range(stop)][-1]
            steps.close()
        state = finish(begin(model, data, epochs=4, state=state))[-1].state
        found.add(bits(model.values, state.vectors))
        assert (state.epoch, state.batch, state.t) == (4, 0, 16)
    assert len(found) == 1


def test_interleaved_and_abandoned_runs():
    """Two generators on two models take turns, a third is dropped half-way: nobody notices."""
    alone = []
    for net in ("chain", "noisy"):
        model, data = problem(net)
        finish(mn.train(model, data, epochs=3, batch_size=4, rng=0))
        alone.append(bits(model.values))
    (first, data), (second, other_data), (third, third_data) = problem("chain"), problem("noisy"), problem("images")
    abandoned = [mn.train(third, third_data, batch_size=4, rng=0, every="batch")]
    next(abandoned[0])
    runs = [mn.train(first, data, epochs=3, batch_size=4, rng=0, every="batch"),
            mn.train(second, other_data, epochs=3, batch_size=4, rng=0, every="batch")]
    for _ in zip(*runs, strict=True):
        abandoned.clear()
    assert [bits(first.values), bits(second.values)] == alone


@pytest.mark.parametrize("number", ["1", "2"])
@pytest.mark.parametrize("sparsity", [0.0, 0.9])
@pytest.mark.parametrize("net", NETS)
def test_a_run_that_nobody_wants_any_more_is_gone_at_once(net, sparsity, number, monkeypatch):
    """Without the garbage collector: a run holds several vectors as long as the model's, and its data."""
    monkeypatch.setenv("MINNET_NUM_THREADS", number)
    model, data = problem(net)
    mn.prune(model, sparsity)
    steps = mn.train(model, data, epochs=2, batch_size=4, rng=0, every="batch")
    next(steps)
    run = weakref.ref(steps._steps.gi_frame.f_locals["stepper"])
    gc.disable()
    try:
        del steps
        assert run() is None
    finally:
        gc.enable()


def test_two_runs_on_one_model_leave_it_whole():
    """Not a thing to do, but the mask holds and the numbers are finite."""
    model, data = problem("noisy")
    model.set_mask(random_mask(model, ("weights",), 0.5, np.random.default_rng(0)))
    runs = [mn.train(model, data, optimizer=OPTIMIZERS[name], epochs=3, batch_size=4, rng=0)
            for name in ("nesterov", "adam")]
    for _ in zip(*runs, strict=True):
        assert is_plus_zero(model.values[~model.mask]) and np.isfinite(model.values).all()


def test_an_error_thrown_into_the_loop_leaves_blas_as_it_was():
    model, data = problem("images")
    training = mn.train(model, data, batch_size=4, rng=0)
    next(training)
    with pytest.raises(KeyError):
        training.throw(KeyError("the caller's"))
    assert not blas._BLAS.holders
    assert np.isfinite(model.values).all()


# --- seeds ------------------------------------------------------------------------------------------------------------


def digest(net, seed, n=14, threads=None, **arguments):
    model, data = problem(net, n)
    state = None if threads is None else mn.State(model, mn.SGD(), seed, threads)
    finish(mn.train(model, data, rng=seed, state=state, **{"epochs": 2, "batch_size": 5, **arguments}))
    return hashlib.sha256(bits(model.values)).hexdigest()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("net", NETS)
def test_same_seed_same_bits(net, threads):
    """Also where two threads share each batch; another seed gives other bits."""
    made = partial(digest, net, threads=threads)
    before = np.random.get_state()  # noqa: NPY002 - the global state that nobody may touch
    assert made(7) == made(7) == made(np.int64(7)) != made(8)
    generators = [np.random.default_rng(7) for _ in range(2)]
    assert made(generators[0]) == made(generators[1]) != made(generators[0])
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0] and bits(before[1]) == bits(after[1]) and before[2:] == after[2:]


def test_two_threads_share_a_batch():
    """The shards' gradients add up to the batch's, ragged batches smaller than the threads included."""
    found = []
    for threads in (1, 3):
        for net in ("chain", "flat chain"):
            model, data = problem(net, n=10, dtype=np.float64)
            state = mn.State(model, mn.Adam(0.01), 0, threads)
            finish(mn.train(model, data, epochs=2, batch_size=4, state=state))
            assert len(state.rngs) == state.threads == threads
            found.append(model.values)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found[1], found[3], rtol=1e-9, atol=1e-9)


def test_bits_do_not_depend_on_the_process():
    code = "from test_training import NETS, digest; print([digest(net, 7, epochs=1) for net in NETS])"
    outputs, path = set(), os.pathsep.join(sys.path)
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "MINNET_NUM_THREADS": "2", "PYTHONPATH": path}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1


def test_no_seed_is_recorded():
    """rng=None draws a seed; with it the run can be repeated."""
    model, data = problem("noisy")
    state = finish(mn.train(model, data, epochs=1))[-1].state
    again, _ = problem("noisy")
    finish(mn.train(again, data, epochs=1, rng=state.seed))
    assert bits(model.values) == bits(again.values)


# --- learning rates --------------------------------------------------------------------------------------------------


FACTORS = {  # at progress 0, 0.05, 0.5, 1
    "constant": (1, 1, 1, 1),
    "stepped": (1, 1, 0.1, 0.01),
    "exponential": (1, 0.01**0.05, 0.1, 0.01),
    "cosine": (1, (1 + np.cos(0.05 * np.pi)) / 2, 0.5, 0),
    "warmup": (0.1, 0.55, (1 + np.cos(np.pi * 4 / 9)) / 2, 0),
}


@pytest.mark.parametrize("name", LR_SCHEDULES)
def test_rates(name):
    assert [LR_SCHEDULES[name](t) for t in (0, 0.05, 0.5, 1)] == pytest.approx(FACTORS[name], abs=1e-12)
    model, data = problem("chain")
    steps = finish(mn.train(model, data, optimizer=mn.SGD(0.2), lr_schedule=name, epochs=5, batch_size=4, rng=0,
                            every="batch"))
    wanted = [0.2 * LR_SCHEDULES[name](t / 20) for t in range(20)]
    assert [step.lr for step in steps] == pytest.approx(wanted, rel=1e-12)


def test_a_schedule_of_your_own():
    model, data = problem("chain")
    steps = finish(mn.train(model, data, optimizer=mn.SGD(0.2), lr_schedule=lambda t: 1 - t, epochs=4, rng=0))
    assert [step.lr for step in steps] == pytest.approx([0.2, 0.15, 0.1, 0.05])


# --- early stopping ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_is_counted_from_the_best_epoch(patience, monkeypatch):
    """Losses by script: a tie is no fall, a fall however small starts the count anew; the first best is put back."""
    model, (X, y) = problem("chain")
    scripted = iter([3.0, 2.0, 2.0, 1.9999, 1.99995, 1.9999, 1.0])
    monkeypatch.setattr("minnet.engine.stopping.mean_loss", lambda *arguments: next(scripted))
    data, values = SimpleNamespace(X_valid=X, y_valid=y), []
    for _ in mn.early_stopping(mn.train(model, (X, y), epochs=9, rng=0), model, data, patience=patience):
        values.append(bits(model.values))
    assert (len(values), values.index(bits(model.values))) == {1: (3, 1), 2: (6, 3)}[patience]


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping(patience):
    """It stops `patience` epochs after the best validation loss, and the model has the values of that epoch."""
    model, (X, y) = problem("chain", n=30)
    data = SimpleNamespace(X_train=X[:20], y_train=y[:20], X_valid=X[20:], y_valid=y[20:])
    losses, values = [], []
    training = mn.train(model, data, optimizer=mn.SGD(0.5), epochs=200, batch_size=4, rng=0, every="batch")
    for step in mn.early_stopping(training, model, data, patience=patience):
        if not step.batch:
            losses.append(mean_loss(model, data.X_valid, data.y_valid))
            values.append(bits(model.values))
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + patience < 200
    assert bits(model.values) == values[best]


def by_place(p):
    """A parameter's values in its dense shape, flat."""
    dense = np.zeros(p.size)
    dense[slice(None) if p.index is None else p.index] = p.value.reshape(-1)
    return dense


@pytest.mark.parametrize("born_sparse", [True, False])
def test_early_stopping_puts_places_and_mask_back(born_sparse):
    """SET moves live weights after every epoch; the best epoch's net is the one that is had in the end."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 20)).astype(np.float32), rng.integers(3, size=60)
    data = SimpleNamespace(X_train=X[:30], y_train=y[:30], X_valid=X[30:], y_valid=y[30:])
    if born_sparse:
        model = mn.models.sparse_mlp((20, 30, 3), epsilon=3, rng=0)
    else:
        model = mn.models.mlp((20,), 3, (30,), rng=0)
    steps = mn.recipes.set(model, data, None if born_sparse else 0.7, epochs=12, zeta=0.5, rng=0,
                           train=partial(mn.train, optimizer=mn.SGD(0.5)))
    losses = [mean_loss(model, X[30:], y[30:]) for step in mn.early_stopping(steps, model, data, patience=4)
              if not step.batch]
    assert int(np.argmin(losses)) < len(losses) - 1
    np.testing.assert_allclose(mean_loss(model, X[30:], y[30:]), min(losses), rtol=1e-6)


def test_epochs_before_pruning_are_no_measure():
    """The loss is the lowest before pruning; the best epoch is one of those with the last mask all the same."""
    model, (X, y) = problem("chain", n=30)
    data = SimpleNamespace(X_train=X[:20], y_train=y[:20], X_valid=X[20:], y_valid=y[20:])
    for step in mn.early_stopping(mn.train(model, data, epochs=6, rng=0), model, data, patience=9):
        if step.epoch == 3:
            mn.prune(model, 0.8)
    assert np.count_nonzero(model.mask[: model.n_weights]) == model.n_weights - round(0.8 * model.n_weights)


def test_what_diverges_after_places_moved_has_the_values_of_the_epochs_start():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 20)).astype(np.float32), rng.integers(3, size=64)
    model = mn.models.sparse_mlp((20, 30, 3), epsilon=3, rng=0)
    p = model.parameters["dense1.weight"]
    start, free = by_place(p), np.setdiff1d(np.arange(p.size), p.index)
    with pytest.raises(Diverged):
        for step in mn.train(model, (X, y), batch_size=8, rng=0, every="batch"):
            if step.batch == 3:
                model.rewire(p, p.index[:20].copy(), free[-20:], step.state)
            if step.batch == 5:
                model.parameters["dense2.bias"].value[:] = np.nan
    np.testing.assert_array_equal(by_place(p)[p.index], np.where(np.isin(p.index, free), 0, start[p.index]))
    assert np.isfinite(model.values).all()


@pytest.mark.parametrize("batch_size", [2, 7, 30])
def test_an_epoch_goes_on_in_batches_of_the_same_size(batch_size):
    model, data = problem("chain", n=30)
    step = next(mn.train(model, data, batch_size=5, rng=0, every="batch"))
    with pytest.raises(InvalidValue, match=f"batch 1 of an epoch of batches of 5 rows.*batch_size={batch_size}"):
        mn.train(model, data, batch_size=batch_size, state=step.state)
    with pytest.raises(InvalidValue, match="of 5 rows"):
        mn.train(model, (data[0][:5], data[1][:5]), batch_size=5, state=step.state)  # its epoch would be over
    *_, last = mn.train(model, data, epochs=1, batch_size=5, state=step.state)
    assert last.epoch == 1
    mn.train(model, data, epochs=2, batch_size=batch_size, state=last.state).close()  # between two epochs it may change


def test_a_training_that_is_never_iterated_warns():
    """Once it is dropped, unless it was closed or has nothing to do."""
    model, data = problem("chain")
    before = bits(model.values)
    with pytest.warns(RuntimeWarning, match="never iterated, so nothing was trained"):
        mn.train(model, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mn.train(model, data).close()
        mn.train(model, data, epochs=0)
        next(mn.train(model, data, rng=0))
        with pytest.raises(KeyError):
            mn.train(model, data).throw(KeyError("the caller's"))
        with pytest.raises(InvalidValue, match="epochs"):
            mn.train(model, data, epochs=-1)
    assert bits(model.values) != before


@pytest.mark.parametrize("every", [1, 3, 4, 9])
def test_steps_are_yielded_after_so_many_batches_and_at_the_end_of_an_epoch(every):
    """14 rows in batches of 2: 7 an epoch; the numbers are those of any other pace."""
    model, data = problem("chain")
    other, _ = problem("chain")
    train = partial(mn.train, epochs=2, batch_size=2, rng=0)
    seen = [(step.epoch, step.batch) for step in train(model, data, every=every)]
    inner = list(range(every, 7, every))
    assert seen == [*((0, batch) for batch in inner), (1, 0), *((1, batch) for batch in inner), (2, 0)]
    finish(train(other, data))
    assert bits(model.values) == bits(other.values)
