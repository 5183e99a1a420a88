"""PyTorch agrees to 1e-9 in float64: forward, backward, and ten steps of each optimizer. Skipped where torch is absent.

What each layer is in PyTorch stands in layer_table.py; here are optimizers, losses and whole nets.
"""
import numpy as np
import pytest
from layer_table import ROWS, twin

from minnet.engine import losses
from minnet.engine.activations import ReLU, Tanh
from minnet.engine.containers import Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.lr_schedules import cosine
from minnet.engine.normalise import BatchNorm
from minnet.engine.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Lion, RMSprop
from minnet.engine.pooling import Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.tape import Tape
from minnet.model import Model
from minnet.training import train

torch = pytest.importorskip("torch")
MODES = {"in use": False, "in training": True}
STEPS = 10


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """PyTorch's threads would wait for each other more than they work on arrays this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def agree(ours, theirs):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def tensors(model):
    """Every parameter as a tensor of its own, by name."""
    return {name: torch.tensor(p.value, requires_grad=p.kind not in ("mean", "variance"))
            for name, p in model.parameters.items()}


def images_last(y):
    return y.permute(0, 2, 3, 1) if y.ndim == 4 else y


def torch_forward(model, ours, x, training=False):
    """The twin's outputs for an array or a tensor in minnet's layout."""
    x = torch.as_tensor(x)
    first = x.permute(0, 3, 1, 2) if x.ndim == 4 else x
    return images_last(twin(torch, model.tree, ours, first, training))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if "torch" not in row.cannot])
def test_layer(name, mode):
    """Outputs, the gradients of all parameters and of the input, and the running statistics after one step."""
    (model, x), training = ROWS[name].draw(), MODES[mode]
    dy = np.random.default_rng(1).normal(size=(len(x), *model.output_shape))
    tape = Tape(model, training=training, input_gradient=True)
    theirs, image = tensors(model), torch.tensor(x, requires_grad=True)
    expected = torch_forward(model, theirs, image, training)
    expected.backward(torch.tensor(dy))
    agree(model.forward(x, tape), expected)
    agree(model.backward(dy, tape), image.grad)
    for layer in model.layers.values():
        if training:
            layer.commit(tape)
    for parameter_name, p in model.parameters.items():
        moves = p.kind in ("mean", "variance")
        agree(p.value if moves else p.of(tape.grads), theirs[parameter_name] if moves else theirs[parameter_name].grad)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_cross_entropy(smoothing):
    rng = np.random.default_rng(0)
    logits, labels, dlogits = 3 * rng.normal(size=(7, 4)), rng.integers(4, size=7), np.empty((7, 4))
    value = losses.cross_entropy(logits, labels, dlogits, label_smoothing=smoothing)
    theirs = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels), label_smoothing=smoothing)
    loss.backward()
    agree(value, loss)
    agree(dlogits, theirs.grad)


def test_mse():
    rng = np.random.default_rng(0)
    outputs, targets, doutputs = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), np.empty((5, 3))
    value = losses.mse(outputs, targets, doutputs)
    theirs = torch.tensor(outputs, requires_grad=True)
    loss = torch.nn.functional.mse_loss(theirs, torch.tensor(targets))
    loss.backward()
    agree(value, loss)
    agree(doutputs, theirs.grad)


# --- training --------------------------------------------------------------------------------------------------------

NETS = {
    "mlp": ((7,), Sequential(Dense(6), Tanh(), Dense(5), ReLU(), Dense(3))),
    "lenet_5": ((12, 13, 2), Sequential(Conv2d(4, 3), MaxPool2d(2), Conv2d(6, (2, 3), padding="same"), MaxPool2d(2),
                                        Flatten(), Dense(8), ReLU(), Dense(3))),
    "residual": ((8, 7, 2), Sequential(
        Conv2d(3, 3, padding="same", use_bias=False), BatchNorm(), ReLU(),
        Residual(Sequential(Conv2d(3, 3, 1, 1, use_bias=False), BatchNorm(), ReLU(), Conv2d(3, 3, 1, 1))), ReLU(),
        Residual(Sequential(Conv2d(5, 3, 2, "same", use_bias=False), BatchNorm()),  # a bias here has gradient 0, which
                 Sequential(Conv2d(5, 1, 2, use_bias=False), BatchNorm(momentum=0.3))),  # Adam makes large
        ReLU(), GlobalAvgPool2d(), Dense(3))),
}
class TorchLion(torch.optim.Optimizer):
    """Lion, which PyTorch does not have, by algorithm 2 of Chen et al. (2023)."""

    def step(self):
        with torch.no_grad():
            for group in self.param_groups:
                beta1, beta2 = group["betas"]
                for p in group["params"]:
                    m = self.state[p].setdefault("m", torch.zeros_like(p))
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(group["lr"] * torch.sign(beta1 * m + (1 - beta1) * p.grad))
                    m.mul_(beta2).add_((1 - beta2) * p.grad)


STEPPERS = {  # ours, theirs
    "sgd": (SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": (SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "nesterov": (SGD(0.05, momentum=0.8, nesterov=True),
                 lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True)),
    "sgd, coupled decay": (SGD(0.05, momentum=0.9, weight_decay=0.1),
                           lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.1)),
    "rmsprop": (RMSprop(0.01, decay=0.8, weight_decay=0.1),
                lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.8, weight_decay=0.1)),
    "lion": (Lion(0.01, betas=(0.8, 0.95), weight_decay=0.1),
             lambda p: TorchLion(p, {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1})),
    "adam": (Adam(0.01, betas=(0.8, 0.95)), lambda p: torch.optim.Adam(p, 0.01, betas=(0.8, 0.95))),
    "adam, coupled decay": (Adam(0.01, weight_decay=0.1), lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1)),
    "adamw": (AdamW(0.01, weight_decay=0.3), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.3)),
}


def problem(net, n=12):
    shape, tree = NETS[net]
    rng = np.random.default_rng(3)
    model = Model(tree, shape, rng=2, dtype=np.float64)
    return model, rng.normal(size=(n, *shape)), rng.integers(3, size=n)


def groups(theirs):
    """Weights decay, nothing else does."""
    learning = {name: p for name, p in theirs.items() if p.requires_grad}
    return [{"params": [p for name, p in learning.items() if name.endswith(".weight")]},
            {"params": [p for name, p in learning.items() if not name.endswith(".weight")], "weight_decay": 0.0}]


def torch_train(model, X, y, make, *, rate=None, clip=None, smoothing=0.0):
    """Ten full-batch steps from the model's values; returns (tensors, losses)."""
    theirs, seen = tensors(model), []
    optimizer = make(groups(theirs))
    schedule = rate and torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step / STEPS))
    for _ in range(STEPS):
        optimizer.zero_grad()
        logits = torch_forward(model, theirs, X, training=True)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y), label_smoothing=smoothing)
        loss.backward()
        if clip is not None:
            learning = [p for p in theirs.values() if p.requires_grad]
            norm = torch.nn.utils.get_total_norm([p.grad for p in learning])
            # clip_grad_norm_ divides by norm + 1e-6: told so that it divides by the norm
            torch.nn.utils.clip_grad_norm_(learning, clip * (norm + 1e-6) / norm)
        optimizer.step()
        if schedule:
            schedule.step()
        seen.append(loss.item())
    return theirs, seen


def compare(model, steps, theirs, seen):
    """Train to the end; losses, every parameter and every statistic agree."""
    agree([step.loss for step in steps], seen)
    for name, p in model.parameters.items():
        agree(p.value, theirs[name])


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("net", NETS)
def test_ten_steps(net, stepper):
    model, X, y = problem(net)
    ours, make = STEPPERS[stepper]
    theirs, seen = torch_train(model, X, y, make)
    steps = list(train(model, (X, y), optimizer=ours, epochs=STEPS, batch_size=len(X), rng=0))
    compare(model, steps, theirs, seen)


def test_every_optimizer_is_here():
    assert {type(ours) for ours, _ in STEPPERS.values()} == set(OPTIMIZERS.values())


@pytest.mark.parametrize("norm", [0.05, 1e3])
def test_clipping_and_a_rate(norm):
    """Gradients cut to a norm (or not, where it is larger than theirs), and a learning rate that falls."""
    model, X, y = problem("mlp")
    theirs, seen = torch_train(model, X, y, lambda p: torch.optim.SGD(p, 0.5, momentum=0.9), rate=cosine, clip=norm)
    steps = list(train(model, (X, y), optimizer=SGD(0.5, momentum=0.9), epochs=STEPS, batch_size=len(X), rng=0,
                       clip_norm=norm, lr_schedule="cosine"))
    compare(model, steps, theirs, seen)


def test_label_smoothing_in_training():
    def smoothed(*arguments):
        return losses.cross_entropy(*arguments, label_smoothing=0.1)

    model, X, y = problem("mlp")
    ours, make = STEPPERS["adam"]
    theirs, seen = torch_train(model, X, y, make, smoothing=0.1)
    steps = list(train(model, (X, y), optimizer=ours, loss=smoothed, epochs=STEPS, batch_size=len(X), rng=0))
    compare(model, steps, theirs, seen)
