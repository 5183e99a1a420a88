"""Layers of a user's own, found in no table: what they declare holds, and what they do not declare is never assumed."""
import numpy as np
import pytest
from each import each
from nets import problem
from test_gradients import all_slopes, close, run
from trees import random_mask, randomise

import minnet as mn
from minnet.engine.hessian import curvature, hessian_vector, square_gradient
from minnet.engine.initialisers import he, ones, zeros
from minnet.engine.layer import find_row
from minnet.engine.sample import draw_sample
from minnet.errors import FileError, InvalidValue, Unsupported
from minnet.formats.c_source import c_source
from minnet.pruning.criteria import CRITERIA, TRAITS


class Square(mn.Activation):
    """y = x^2 + 1, which is not 0 at 0."""

    def value(self, x):
        return np.square(x) + 1

    def derivative(self, x):
        return 2 * x

    def second_derivative(self, x):
        return np.full_like(x, 2)


class Scale(mn.Layer):
    """y = gain x, per unit."""

    prefix = "scale"
    per_unit = True

    def __init__(self, *, name=None):
        self.name = name

    def build(self, shape):
        return shape, [self.declare("gain", shape[-1:], ones)]

    def forward(self, x, tape):
        tape[self] = x
        return self.gain.of(tape.values) * x

    def backward(self, dy, tape):
        self.gain.of(tape.grads)[...] = (dy * tape[self]).reshape(-1, dy.shape[-1]).sum(axis=0)
        return self.gain.of(tape.values) * dy


class Rows(mn.Layer):
    """y = x W + b, with nothing declared: it knows its weight, and nobody else knows anything of it."""

    def __init__(self, units, *, name=None):
        self.units = units
        self.name = name

    def build(self, shape):
        return (self.units,), [self.declare("weight", (shape[0], self.units), he),
                               self.declare("bias", (self.units,), zeros)]

    def forward(self, x, tape):
        tape[self] = x
        return x @ self.weight.of(tape.values) + self.bias.of(tape.values)

    def backward(self, dy, tape):
        self.weight.of(tape.grads)[...] = tape[self].T @ dy
        self.bias.of(tape.grads)[...] = dy.sum(axis=0)
        return dy @ self.weight.of(tape.values).T


class Distance(Rows):
    """y_o = sum_i |x_i - w_io| + b_o: a weight of 0 still reads its input, so no unit may go for its zeros."""

    def forward(self, x, tape):
        tape[self] = x
        return np.abs(x[:, :, None] - self.weight.of(tape.values)).sum(axis=1) + self.bias.of(tape.values)

    def backward(self, dy, tape):
        sign = np.sign(tape[self][:, :, None] - self.weight.of(tape.values)) * dy[:, None, :]
        self.weight.of(tape.grads)[...] = -sign.sum(axis=0)
        self.bias.of(tape.grads)[...] = dy.sum(axis=0)
        return sign.sum(axis=2)

    def couple(self, space):
        space.use(self.weight, -2)
        return space.new(self.units).use(self.weight, -1).use(self.bias, -1)


class Doubled(mn.Dense):
    """A subclass of one of ours that computes something else: y = 2 (x W + b) + 1."""

    def forward(self, x, tape):
        return 2 * super().forward(x, tape) + 1

    def backward(self, dy, tape):
        return super().backward(2 * dy, tape)


class Cumulated(mn.Layer):
    """y_i = x_0 + ... + x_i, with the default `couple`: every unit depends on others."""

    def __init__(self, *, name=None):
        self.name = name

    def forward(self, x, tape):
        return np.cumsum(x, axis=-1)

    def backward(self, dy, tape):
        return np.ascontiguousarray(np.flip(np.cumsum(np.flip(dy, -1), axis=-1), -1))


class Ten(mn.Dense):
    """Ours with a constructor of its own: what it computes is a Dense layer, which cannot be made smaller."""

    def __init__(self, *, name=None):
        super().__init__(10, name=name)


OWN = {kind.__name__: kind for kind in (Square, Scale, Rows, Distance, Doubled, Cumulated, Ten)}
ROWS = {"Rows": (4,), "Distance": (4,), "Doubled": (4,)}
by_name = pytest.mark.parametrize("name", OWN)


def own(name):
    return OWN[name](*ROWS.get(name, ()))


def model_of(name, dtype=np.float64, seed=0):
    """A layer of a user's between two Dense layers, with random values."""
    tree = mn.Sequential(mn.Dense(6), own(name), mn.Tanh(), mn.Residual(mn.Dense(own_width(name))), mn.Dense(3))
    return randomise(mn.Model(tree, (5,), rng=seed, dtype=dtype), np.random.default_rng(seed))


def own_width(name):
    return 10 if name == "Ten" else 4 if name in ROWS else 6


def rows(n=7, seed=1, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(n, 5)).astype(dtype)


@by_name
def test_gradient(name):
    model, x = model_of(name), rows()
    r = np.random.default_rng(2).normal(size=(len(x), 3))
    _, dvalues, dx = run(model, x, dy=r)
    close(all_slopes(lambda values: np.sum(r * run(model, x, values)), model.values), dvalues)
    close(all_slopes(lambda x: np.sum(r * run(model, x)), x), dx)


@by_name
def test_it_trains_and_masks_hold(name):
    _, (X, y) = problem("chain")
    model = mn.Model(mn.Sequential(mn.Dense(6), own(name), mn.Dense(3)), (7,), rng=0)
    mn.prune(model, 0.5, criterion="magnitude")
    losses = [step.loss for step in mn.train(model, (X, y), optimizer=mn.SGD(0.01), epochs=8, batch_size=5, rng=0)]
    assert np.isfinite(losses).all()
    assert not model.values[~model.mask].any()
    assert model.sparsity >= 0.5


@by_name
def test_compact_computes_the_same(name):
    """Whatever a mask cuts, of units or single weights, outputs stay."""
    shrunk = 0
    for seed in range(12):
        model, x = model_of(name, seed=seed), rows()
        kinds = [{"units"}, {"units", "rows"}, {"weights", "biases"}, {"columns"}][seed % 4]
        model.set_mask(random_mask(model, kinds, 0.6, np.random.default_rng(seed)))
        small = mn.compact(model)
        np.testing.assert_allclose(small(x), model(x), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(mn.compact(model, fold_batchnorm=True)(x), model(x), rtol=1e-9, atol=1e-9)
        assert mn.effective_sparsity(model) >= model.sparsity - 1e-12
        shrunk += small.n_parameters < model.n_parameters
    assert shrunk or name not in ("Square", "Scale", "Ten")


@by_name
def test_files_hold_it(name, tmp_path):
    """Saved with its name; loaded with its class, else an error that says how."""
    model, path = model_of(name, np.float32), tmp_path / "model.safetensors"
    mn.save(model, path)
    back = mn.load(path, layers=OWN)
    assert type(list(back.layers.values())[1]) is OWN[name]
    assert back.values.tobytes() == model.values.tobytes()
    with pytest.raises(FileError, match=rf"{name}.*layers="):
        mn.load(path)


@by_name
def test_freeze_runs_it(name):
    """Between compiled parts, at the model's numbers, also of int8 weights around it."""
    model, x = model_of(name, np.float32), rows(300, dtype=np.float32)
    predictor = mn.freeze(model)
    for X in (x[:1], x[:3], x):
        np.testing.assert_allclose(predictor(X), model(X), rtol=1e-4, atol=1e-4)
    assert predictor.nbytes > 0
    assert "dense" in str(predictor.explain())
    model.values[:] = 0
    assert np.abs(predictor(x)).max() > 0, "its numbers are its own"
    rough = mn.freeze(model_of(name, np.float32), precision="int8")
    assert np.isfinite(rough(x)).all()
    if name != "Ten":
        assert "forward" in str(predictor.explain())
    plain = mn.freeze(model_of(name, np.float32), plan="dense")
    assert set(plain.plan) == {"dense"}


@by_name
def test_exports_name_it(name):
    model = model_of(name, np.float32)
    if name == "Ten":
        assert "minnet_predict" in c_source(model)
        return
    with pytest.raises(Unsupported, match=f"{name}, which has no form in C"):
        c_source(model)


@by_name
def test_onnx_names_it(name, tmp_path):
    pytest.importorskip("onnx")
    if name != "Ten":
        with pytest.raises(Unsupported, match=f"{name}, which has no form in ONNX"):
            mn.save_onnx(model_of(name, np.float32), tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["Scale", "Rows", "Distance", "Doubled", "Cumulated"])
def test_second_order_names_what_it_lacks(name):
    """Also of a subclass: the tangent of Dense is not that of Doubled."""
    model = model_of(name)
    sample = draw_sample(model, (rows(), np.arange(7) % 3), samples=None)
    for ask in (lambda: hessian_vector(model, sample, np.ones(len(model.values))), lambda: curvature(model, sample),
                lambda: square_gradient(model, sample)):
        with pytest.raises(Unsupported, match=f"is a {name} without"):
            ask()


@by_name
@each("criterion", CRITERIA)
def test_criteria(name, criterion):
    """Scores for every weight, or an error that names the layer or says what the criterion needs."""
    model = model_of(name, np.float32)
    data = (rows(16, dtype=np.float32), np.arange(16) % 3)
    try:
        result = mn.prune(model, 0.3, criterion=criterion, data=data, rng=0)
    except Unsupported as error:
        assert name in str(error) or name.lower() in str(error)
    except InvalidValue as error:
        reasons = ("BatchNorm", "no unit that can be removed")
        assert TRAITS[criterion].needs == "initial" or any(reason in str(error) for reason in reasons)
    else:
        assert result.removed > 0


def test_a_subclass_that_computes_something_else_claims_nothing():
    """It has to say again what holds for it; one with another constructor alone is as its base."""
    assert mn.Dense.linear and not Doubled.linear and not Doubled.multiplies_rows
    assert Ten.linear and not Ten().resizable
    assert find_row({mn.Dense: 1}, Ten()) == 1
    assert find_row({mn.Dense: 1}, Doubled(3)) is None
    assert Square.elementwise and Square.per_unit


def test_parameters_of_a_layer_per_unit_carry_its_units():
    """Scale's gain carries the units of the layer before it, which go with it."""
    model = model_of("Scale")
    uses = [use for use in model.couple().uses if use.parameter.layer == "scale1"]
    assert [(use.parameter.kind, use.axis) for use in uses] == [("gain", -1)]


def test_softmax_keeps_its_units():
    """All of them depend on each: none may go, and compaction leaves them."""
    model = randomise(mn.Model(mn.Sequential(mn.Dense(6), mn.Softmax(), mn.Dense(3)), (5,)), np.random.default_rng(0))
    assert model.couple().fixed().all()
    mask = np.ones(len(model.mask), bool)
    model.layers["dense2"].weight.of(mask)[2] = False
    model.set_mask(mask)
    small = mn.compact(model)
    assert small.layers["dense1"].units == 6
    np.testing.assert_allclose(small(rows(dtype=np.float32)), model(rows(dtype=np.float32)), rtol=1e-5)
