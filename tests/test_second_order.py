"""Second order: tangents, curvature and squared gradients of every layer, and what is made of them for a whole net."""
from functools import partial

import numpy as np
import pytest
from each import each
from layer_table import ROWS, twin
from test_gradients import LOSSES_HERE, close, slope
from trees import randomise

import minnet as mn
from minnet.engine import losses
from minnet.engine.hessian import curvature, hessian_vector, square_gradient
from minnet.engine.layer import Layer
from minnet.engine.layers import LAYERS
from minnet.engine.sample import Sample, draw_sample, gradient
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, Unsupported

MODES = {"in use": False, "in training": True}
NETS = {
    "dense": ((5,), mn.Sequential(mn.Dense(4), mn.Tanh(), mn.Dense(4), mn.Sigmoid(), mn.Dense(3))),
    "relu": ((5,), mn.Sequential(mn.Dense(6), mn.ReLU(), mn.Dense(4), mn.LeakyReLU(), mn.Dense(3))),
    "images": ((6, 5, 2), mn.Sequential(
        mn.Conv2d(3, 3, padding="same"), mn.BatchNorm(), mn.Tanh(), mn.Residual(mn.DepthwiseConv2d(3, padding=1)),
        mn.MaxPool2d(2, padding="same"), mn.Concat(mn.Conv2d(2, 1), mn.AvgPool2d(3, 1, 1)), mn.Dropout(), mn.Flatten(),
        mn.Dense(3))),
}


def problem(net, loss="cross_entropy", n=7):
    shape, tree = NETS[net]
    rng = np.random.default_rng(0)
    model = randomise(mn.Model(tree, shape, dtype=np.float64), rng)
    if loss == "binary_cross_entropy":
        y = rng.integers(2, size=(n, 3))
    else:
        y = rng.normal(size=(n, 3)) if loss == "mse" else rng.integers(3, size=n)
    return model, draw_sample(model, (rng.normal(size=(n, *shape)), y), samples=None, loss=loss, rng=0)


# --- layers ----------------------------------------------------------------------------------------------------------


@each("mode", MODES)
@each("name", ROWS)
def test_tangent(name, mode):
    """R{y}, R{gradient} and R{dx} are central differences of the passes' own numbers, along a random direction in the
    parameters and the input, for L = sum of r y^2 / 2, whose dy moves too."""
    (model, x), training = ROWS[name].draw(), MODES[mode]
    rng = np.random.default_rng(1)
    r, v, rx = (rng.normal(size=size) for size in ((len(x), *model.output_shape), len(model.values), x.shape))
    v[model.n_trainable :] = 0

    def everything(t):
        tape = Tape(model, model.values + t * v, training=training, rng=np.random.default_rng(5), input_gradient=True)
        y = model.forward(x + t * rx, tape).copy()
        dx = model.backward(r * y, tape)
        return np.concatenate([y.reshape(-1), tape.grads[: model.n_trainable], dx.reshape(-1)])

    tape = Tape(model, training=training, rng=np.random.default_rng(5), input_gradient=True)
    along = Tape(model, v, training=training)
    y = model.forward(x, tape).copy()
    ry = model.tree.tangent(rx, tape, along).copy()
    dx, rdx = model.tree.tangent_backward(r * y, r * ry, tape, along)
    exact = np.concatenate([ry.reshape(-1), along.grads[: model.n_trainable], rdx.reshape(-1)])
    close(slope(everything, 0.0, 1.0), exact)
    np.testing.assert_allclose(np.concatenate([y.reshape(-1), tape.grads[: model.n_trainable], dx.reshape(-1)]),
                               everything(0.0), rtol=1e-12, atol=1e-12)


def first_only(model, x):
    """A row for each image, as a batch of its own."""
    return [x[i : i + 1] for i in range(len(x))]


@each("name", ROWS)
def test_square_gradient(name):
    """A loop over single images."""
    model, x = ROWS[name].draw()
    dy = np.random.default_rng(1).normal(size=(len(x), *model.output_shape))
    wanted, inputs = np.zeros(model.n_trainable), []
    for one, done in zip(first_only(model, x), first_only(model, dy), strict=True):
        tape = Tape(model, input_gradient=True)
        model.forward(one, tape)
        inputs.append(model.backward(done, tape).copy())
        wanted += tape.grads[: model.n_trainable] ** 2
    tape, squares = Tape(model, input_gradient=True), Tape(model)
    model.forward(x, tape)
    dx = model.tree.square_gradient(dy, tape, squares)
    np.testing.assert_allclose(squares.grads[: model.n_trainable], wanted, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, np.concatenate(inputs), rtol=1e-10, atol=1e-12)


@each("name", [name for name, row in ROWS.items() if not row.layer.children()])
def test_curvature(name):
    """Exact for L = sum of a y + h y^2 / 2 over the outputs of one layer: each second derivative of L, parameter by
    parameter and input by input. Layers that hold others leave mixed derivatives inside them out."""
    model, x = ROWS[name].draw()
    rng = np.random.default_rng(1)
    a, h = (rng.normal(size=(len(x), *model.output_shape)) for _ in range(2))
    tape, second = Tape(model, input_gradient=True), Tape(model)
    y = model.forward(x, tape).copy()
    _, hx = model.tree.curvature(a + h * y, h, tape, second)
    start = np.concatenate([model.values[: model.n_trainable], x.reshape(-1)])

    def outputs(both):
        values = np.concatenate([both[: model.n_trainable], model.values[model.n_trainable :]])
        return model.forward(both[model.n_trainable :].reshape(x.shape), Tape(model, values)).copy()

    exact, step = np.concatenate([second.grads[: model.n_trainable], hx.reshape(-1)]), 1e-3
    for k in range(len(start)):
        unit = np.zeros_like(start)
        unit[k] = step
        left, right = outputs(start - unit), outputs(start + unit)
        jacobian, second_derivative = (right - left) / (2 * step), (right - 2 * y + left) / step**2
        wanted = np.sum(h * jacobian**2 + (a + h * y) * second_derivative)
        assert exact[k] == pytest.approx(wanted, rel=1e-4, abs=1e-4)


class Cube(Layer):
    """A layer of a user's own, without second order."""

    prefix = "cube"

    def __init__(self, *, name=None):
        self.name = name

    def forward(self, x, tape):
        tape[self] = x
        return x**3

    def backward(self, dy, tape):
        return 3 * tape[self] ** 2 * dy


@pytest.mark.parametrize("ask", [lambda *a: hessian_vector(*a, a[0].values), curvature, square_gradient])
def test_a_layer_without_second_order_is_named(ask, monkeypatch):
    monkeypatch.setitem(LAYERS, "Cube", Cube)
    model = mn.Model(mn.Sequential(mn.Dense(2), Cube(), mn.Dense(2)), (3,), rng=0)
    with pytest.raises(Unsupported, match="cube1 is a Cube without"):
        ask(model, draw_sample(model, (np.ones((2, 3)), [0, 1]), rng=0))


def test_moments_of_a_batch_have_no_squares():
    model, x = ROWS["BatchNorm"].draw()
    tape = Tape(model, training=True)
    y = model.forward(x, tape)
    with pytest.raises(Unsupported, match="batchnorm1 has square_gradient in use only"):
        model.tree.square_gradient(y, tape, Tape(model))
    with pytest.raises(Unsupported, match="batchnorm1 has curvature in use only"):
        model.tree.curvature(y, y, tape, Tape(model))


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES_HERE)
def test_loss_tangent(name):
    """The derivative of the loss's gradient."""
    loss, draw = LOSSES_HERE[name]
    rng = np.random.default_rng(0)
    outputs, targets, r = 3 * rng.normal(size=(6, 4)), draw(rng, 6, 4), rng.normal(size=(6, 4))

    def doutputs(at):
        found = np.empty_like(at)
        loss(at, targets, found, 9)
        return found

    close(slope(doutputs, outputs, r), losses.loss_tangent(loss, outputs, targets, r, 9))


def test_a_loss_without_a_tangent_is_named():
    model, sample = problem("dense")
    own = Sample(sample.X, sample.y, lambda *arguments: losses.cross_entropy(*arguments), sample.rng, sample.rows)
    with pytest.raises(Unsupported, match="no second derivative"):
        hessian_vector(model, own, model.values)


# --- nets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "binary_cross_entropy",
                                  partial(losses.cross_entropy, label_smoothing=0.1)])
@pytest.mark.parametrize("net", NETS)
def test_hessian_vector(net, loss, monkeypatch):
    """Central differences of the gradient, away from kinks; u'Hv = v'Hu; linear in v; any batches."""
    model, sample = problem(net, loss)
    rng = np.random.default_rng(1)
    u, v = rng.normal(size=(2, len(model.values)))
    u[model.n_trainable :] = v[model.n_trainable :] = 0
    found = hessian_vector(model, sample, v)
    close(slope(partial(gradient, model, sample), model.values, v), found)
    other = hessian_vector(model, sample, u)
    assert u @ found == pytest.approx(v @ other, rel=1e-10)
    mixed = hessian_vector(model, sample, 2 * u - 3 * v)
    np.testing.assert_allclose(mixed, 2 * other - 3 * found, rtol=1e-9, atol=1e-10)
    small = Sample(sample.X, sample.y, sample.loss, sample.rng, 2)
    np.testing.assert_allclose(hessian_vector(model, small, v), found, rtol=1e-10, atol=1e-12)
    elsewhere = model.values + 0.1 * u
    close(slope(partial(gradient, model, sample), elsewhere, v), hessian_vector(model, sample, v, elsewhere))


@pytest.mark.parametrize("net", NETS)
def test_torch_agrees_on_the_hessian(net):
    """Double backward, in float64; the first layers of a float32 model too are judged in float64."""
    torch = pytest.importorskip("torch")
    model, sample = problem(net)
    learning = [p for p in model.parameters.values() if p.kind not in ("mean", "variance")]
    fixed = {name: torch.tensor(p.value) for name, p in model.parameters.items()}
    image = torch.tensor(sample.X)
    image = image.permute(0, 3, 1, 2) if image.ndim == 4 else image

    def loss(*tensors):
        own = {**fixed, **{p.name: tensor for p, tensor in zip(learning, tensors, strict=True)}}
        return torch.nn.functional.cross_entropy(twin(torch, model.tree, own, image, False), torch.tensor(sample.y))

    v = np.random.default_rng(1).normal(size=len(model.values))
    at, direction = (tuple(torch.tensor(p.of(vector)) for p in learning) for vector in (model.values, v))
    theirs = torch.autograd.functional.hvp(loss, at, direction)[1]
    found = hessian_vector(model, sample, v)
    for p, wanted in zip(learning, theirs, strict=True):
        np.testing.assert_allclose(p.of(found), wanted.numpy(), rtol=1e-9, atol=1e-11)
    assert not found[model.n_trainable :].any()
    narrow = model.clone(np.float32)
    wide = hessian_vector(narrow, draw_sample(narrow, (sample.X, sample.y), rng=0), v)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, found, rtol=1e-3, atol=1e-4)


def full_diagonal(model, sample):
    """H's diagonal by Hessian-vector products, one a parameter."""
    return np.array([hessian_vector(model, sample, unit)[k] for k, unit in enumerate(np.eye(len(model.values)))])


EXACT = {  # (tree, shape, loss): where nothing is left out
    "the last layer": (mn.Sequential(mn.Dense(3)), (5,), "cross_entropy"),
    "one hidden layer, mse": (mn.Sequential(mn.Dense(4), mn.Tanh(), mn.Dense(3)), (5,), "mse"),
    "one hidden ReLU layer, mse": (mn.Sequential(mn.Dense(4), mn.ReLU(), mn.Dense(3)), (5,), "mse"),
    "one output": (mn.Sequential(mn.Dense(4), mn.Sigmoid(), mn.Dense(1)), (5,), "mse"),
    "a convolution, mse": (mn.Sequential(mn.Conv2d(2, 2, 1, "same"), mn.BatchNorm(), mn.Flatten()), (3, 2, 2), "mse"),
}


@pytest.mark.parametrize("case", EXACT)
def test_curvature_is_the_diagonal_where_theory_says_so(case):
    tree, shape, loss = EXACT[case]
    rng = np.random.default_rng(0)
    model = randomise(mn.Model(tree, shape, dtype=np.float64), rng)
    y = rng.normal(size=(6, model.output_shape[0])) if loss == "mse" else rng.integers(3, size=6)
    sample = draw_sample(model, (rng.normal(size=(6, *shape)), y), samples=None, rng=0)
    np.testing.assert_allclose(curvature(model, sample), full_diagonal(model, sample), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("net", NETS)
def test_curvature_of_the_last_layer_is_exact_in_every_net(net):
    """And further down it is a guess: the docstring says so, and this shows it."""
    model, sample = problem(net)
    found, exact = curvature(model, sample), full_diagonal(model, sample)
    last = [p for p in model.parameters.values() if p.layer == list(model.layers)[-1]]
    for p in last:
        np.testing.assert_allclose(p.of(found), p.of(exact), rtol=1e-9, atol=1e-12)
    first = next(iter(model.parameters.values()))
    assert not np.allclose(first.of(found), first.of(exact), rtol=1e-3)


@pytest.mark.parametrize("net", NETS)
def test_square_gradient_is_a_loop_over_images(net):
    model, sample = problem(net)
    alone = [gradient(model, Sample(sample.X[i : i + 1], sample.y[i : i + 1], sample.loss, sample.rng, 1))
             for i in range(len(sample))]
    wanted = np.mean(np.square(alone), axis=0)
    np.testing.assert_allclose(square_gradient(model, sample), wanted, rtol=1e-10, atol=1e-14)


def test_the_model_is_left_alone():
    model, sample = problem("images")
    before = model.values.tobytes()
    hessian_vector(model, sample, np.ones(len(model.values)))
    curvature(model, sample)
    square_gradient(model, sample)
    assert model.values.tobytes() == before


def test_a_direction_of_the_wrong_length():
    model, sample = problem("dense")
    with pytest.raises(InvalidValue, match=r"v has the shape \(3,\)"):
        hessian_vector(model, sample, np.ones(3))
