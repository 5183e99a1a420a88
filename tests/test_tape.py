"""A tape is one pass: it may read other values, writes only to itself, and two of them never meet."""
import threading

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_table import ROWS
from nets import NETS, bits, problem
from trees import masked_models, models, random_input

import minnet as mn
from minnet.blas import one_blas_thread
from minnet.errors import InvalidValue


def one_pass(model, tape, x, seed=0):
    """(outputs, gradient, gradient of x) as bytes; noise is drawn anew from the seed."""
    tape.rng = np.random.default_rng(seed)
    y = model.forward(x, tape).copy()
    dx = model.backward(np.sin(np.arange(y.size, dtype=y.dtype)).reshape(y.shape), tape)
    return bits(y, tape.grads, dx)


@settings(max_examples=40)
@given(masked_models(), st.booleans())
def test_a_pass_changes_nothing_but_the_tape(model, training):
    x = random_input(model)
    before = bits(model.values, model.mask, x)
    one_pass(model, mn.Tape(model, training=training, input_gradient=True), x)
    model(x)
    assert bits(model.values, model.mask, x) == before


@settings(max_examples=40)
@given(models(), st.booleans())
def test_two_tapes_do_not_meet(model, training):
    """Forward on one, forward on the other, then back on both: as if each had been alone."""
    inputs = [random_input(model, rng=seed) for seed in (1, 2)]
    alone = [one_pass(model, mn.Tape(model, training=training, input_gradient=True), x) for x in inputs]
    tapes = [mn.Tape(model, training=training, rng=np.random.default_rng(0), input_gradient=True) for _ in inputs]
    outputs = [model.forward(x, tape) for x, tape in zip(inputs, tapes, strict=True)]
    for wanted, tape, y in zip(alone, tapes, outputs, strict=True):
        kept = y.copy()
        dx = model.backward(np.sin(np.arange(y.size, dtype=y.dtype)).reshape(y.shape), tape)
        assert bits(kept, tape.grads, dx) == wanted


@pytest.mark.parametrize("net", NETS)
def test_two_threads_do_not_meet(net):
    """Many passes on one model by two threads at once give the bits of one thread."""
    model, (X, _) = problem(net, n=30)
    with one_blas_thread():
        wanted = [one_pass(model, mn.Tape(model, training=True, input_gradient=True), x) for x in (X[:20], X[7:])]

        def repeat(x, found):
            tape = mn.Tape(model, training=True, input_gradient=True)
            found.update(one_pass(model, tape, x) for _ in range(30))

        found = [set(), set()]
        workers = [threading.Thread(target=repeat, args=pair) for pair in zip((X[:20], X[7:]), found, strict=True)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert found == [{wanted[0]}, {wanted[1]}]


@each("name", ROWS)
def test_what_if_the_weights_were_these(name):
    """A tape on other values is the model that has them, to the bit, gradients included; also in another dtype."""
    model, x = ROWS[name].draw()
    other, _ = ROWS[name].draw(seed=9)
    found = one_pass(model, mn.Tape(model, other.values, input_gradient=True), x)
    assert found == one_pass(other, mn.Tape(other, input_gradient=True), x)
    narrow = other.clone(np.float32)
    tape = mn.Tape(model, narrow.values, input_gradient=True)
    assert tape.grads.dtype == np.float32
    assert one_pass(model, tape, x.astype(np.float32)) == one_pass(
        narrow, mn.Tape(narrow, input_gradient=True), x.astype(np.float32))
    np.testing.assert_array_equal(model(x, other.values), other(x))


@each("name", ROWS)
def test_buffers_are_used_again(name):
    """A tape that has seen larger and smaller batches gives the bits of a new one."""
    model, x = ROWS[name].draw()
    more = np.concatenate([x, 0.5 * x])
    tape = mn.Tape(model, training=True, input_gradient=True)
    for batch in (x, more, x, more, x):
        new = mn.Tape(model, training=True, input_gradient=True)
        assert one_pass(model, tape, batch) == one_pass(model, new, batch)


def test_a_buffer_is_the_same_memory():
    model, _ = problem("chain")
    tape, layer = mn.Tape(model), model.layers["dense1"]
    one = tape.buffer(layer, "y", (3, 4))
    assert tape.buffer(layer, "y", (3, 4)) is one
    assert np.shares_memory(tape.buffer(layer, "y", (2, 4)), one)
    assert not np.shares_memory(tape.buffer(layer, "dx", (3, 4)), one)
    assert not np.shares_memory(tape.buffer(model.layers["dense2"], "y", (3, 4)), one)
    larger = tape.buffer(layer, "y", (9, 9))
    assert np.shares_memory(tape.buffer(layer, "y", (3, 4)), larger)
    assert tape.buffer(layer, "count", (2,), np.dtype(np.int64)).dtype == np.int64


def test_backward_ends_where_nothing_below_learns():
    model, (X, _) = problem("images")
    tape = mn.Tape(model)
    y = model.forward(X, tape)
    assert model.backward(np.ones_like(y), tape) is None
    assert mn.Tape(model).wants_dx(model.layers["dense1"]) and not mn.Tape(model).wants_dx(model.layers["conv1"])


def test_the_batch_s_moments_go_to_the_tape():
    """Not to the model: the training step commits them."""
    model, (X, _) = problem("noisy", dtype=np.float64)
    tape = mn.Tape(model, training=True, rng=np.random.default_rng(0))
    before = bits(model.values)
    model.forward(X, tape)
    layer = model.layers["batchnorm1"]
    seen = X @ model.parameters["dense1.weight"].value + model.parameters["dense1.bias"].value
    np.testing.assert_allclose(layer.mean.of(tape.grads), seen.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.variance.of(tape.grads), seen.var(axis=0, ddof=1), rtol=1e-12)
    assert bits(model.values) == before


def test_noise_needs_a_generator():
    model, (X, _) = problem("noisy")
    with pytest.raises(InvalidValue, match=r"dropout1 .* no rng"):
        model.forward(X, mn.Tape(model, training=True))
    model.forward(X, mn.Tape(model))
