"""Attacks: input gradients by differences, balls and bounds, closed forms, and PyTorch's own."""
from functools import partial

import numpy as np
import pytest
from nets import N_CLASSES, NETS, problem

import minnet as mn
from minnet.engine.attacks import ATTACKS, NORMS, attacked, deepfool, fgsm, input_gradient, pgd, random_search
from minnet.engine.losses import LOSSES
from minnet.errors import InvalidValue

EPSILON = {"linf": 0.1, "l2": 0.4}


def images(net="images", n=12, dtype=np.float64, seed=0):
    """(model, X, y) with X in [0, 1], some of it at the ends."""
    model, (X, y) = problem(net, n, dtype, seed)
    return model, np.clip(0.5 + X / 2, 0, 1).astype(dtype), y


def trained(n=120, dtype=np.float32):
    """A small net that is right about most of its rows."""
    model, X, y = images("flat chain", n, dtype)
    y = (X.reshape(n, -1)[:, :N_CLASSES]).argmax(axis=1)
    for _ in mn.train(model, (X, y), optimizer=mn.SGD(0.3, momentum=0.9), epochs=30, batch_size=20,
                      accelerate=False, rng=0):
        pass
    return model, X, y


def right(model, X, y):
    return model(X).argmax(axis=1) == y


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_input_gradients_are_differences(net, loss):
    model, X, y = images(net, 3)
    y = y if loss == "cross_entropy" else np.eye(N_CLASSES)[y]
    found, losses = input_gradient(model, X, y, LOSSES[loss])
    direction = np.random.default_rng(1).normal(size=X.shape)
    (_, up), (_, down) = (input_gradient(model, X + h * direction, y, LOSSES[loss]) for h in (1e-6, -1e-6))
    slopes = (found * direction).reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose((up - down) / 2e-6, slopes, rtol=1e-5, atol=1e-8)
    assert losses.mean() == pytest.approx(float(LOSSES[loss](model(X), y)))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_attack_leaves_its_ball_or_the_unit_range(name, dtype):
    model, X, y = images("images", 20, dtype)
    epsilon = EPSILON[NORMS[name]]
    found = attacked(name, model, X, y, epsilon=epsilon, rng=0)
    moved = np.abs(found.astype(float) - X).reshape(len(X), -1)
    lengths = moved.max(axis=1) if NORMS[name] == "linf" else np.sqrt((moved**2).sum(axis=1))
    assert lengths.max() <= epsilon + 1e-6
    assert (found.dtype, found.shape) == (X.dtype, X.shape) and 0 <= found.min() <= found.max() <= 1
    assert not (right(model, found, y) & ~right(model, X, y)).any(), "what was wrong stays wrong"
    np.testing.assert_array_equal(attacked(name, model, X, y, epsilon=0.0, rng=0), X)
    start = partial(pgd, random_start=True, norm=NORMS[name])
    if name.startswith("pgd"):
        moved = (start(model, X, y, epsilon=epsilon, rng=0).astype(float) - X).reshape(len(X), -1)
        assert np.linalg.norm(moved, np.inf if name == "pgd" else 2, axis=1).max() <= epsilon + 1e-6


def test_fgsm_of_a_linear_net_of_two_classes_is_its_closed_form():
    model = mn.Model(mn.Sequential(mn.Dense(2)), (9,), rng=0, dtype=np.float64)
    X, y = np.random.default_rng(0).uniform(0.2, 0.8, (20, 9)), np.arange(20) % 2
    w = model.parameters["dense1.weight"].value
    towards = np.sign(w[:, 1] - w[:, 0]) * np.where(y == 0, 1, -1)[:, None]
    np.testing.assert_array_equal(fgsm(model, X, y, epsilon=0.1), X + 0.1 * towards)
    margin = lambda X: (model(X)[:, 1] - model(X)[:, 0]) * np.where(y == 0, 1, -1)  # noqa: E731
    np.testing.assert_allclose(margin(fgsm(model, X, y, epsilon=0.1)),
                               margin(X) + 0.1 * np.abs(w[:, 1] - w[:, 0]).sum())


def test_pgd_keeps_the_best_point_and_looks_at_that_of_fgsm():
    model, X, y = trained()
    losses = {name: input_gradient(model, attack(model, X, y, epsilon=0.1), y)[1] for name, attack in
              {"fgsm": fgsm, "one": partial(pgd, steps=1, step_size=1e-3), "ten": pgd, "back": partial(
                  pgd, steps=10, step_size=0.7)}.items()}
    wrong = {name: ~right(model, attack(model, X, y, epsilon=0.1), y) for name, attack in
             {"fgsm": fgsm, "ten": pgd, "back": partial(pgd, steps=10, step_size=0.7)}.items()}
    for name in ("ten", "back"):
        assert (wrong[name] >= wrong["fgsm"]).all()
        same = wrong[name] == wrong["fgsm"]
        assert (losses[name][same] >= losses["fgsm"][same] - 1e-6).all()
    assert wrong["ten"].sum() >= wrong["fgsm"].sum() > (~right(model, X, y)).sum()
    assert (losses["one"] >= losses["fgsm"] - 1e-6).mean() > 0.95
    longer = [input_gradient(model, pgd(model, X, y, epsilon=e, norm="l2"), y)[1].mean() for e in (0.1, 0.3, 0.6)]
    assert longer == sorted(longer)


def test_deepfool_takes_the_shortest_way_of_a_linear_net():
    model = mn.Model(mn.Sequential(mn.Dense(3)), (9,), rng=0, dtype=np.float64)
    X = np.random.default_rng(0).uniform(0.4, 0.6, (10, 9))
    logits, w = model(X), model.parameters["dense1.weight"].value
    y = logits.argmax(axis=1)
    found = deepfool(model, X, y, bounds=(-9, 9))
    gaps = np.array([[(z[c] - z[k]) / np.linalg.norm(w[:, k] - w[:, c]) if k != c else np.inf for k in range(3)]
                     for z, c in zip(logits, y, strict=True)]).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(found - X, axis=1), 1.02 * gaps, rtol=0.02, atol=1e-3)
    assert not right(model, found, y).any()
    near = deepfool(model, X, y, epsilon=np.median(gaps), bounds=(-9, 9))
    assert 0 < right(model, near, y).sum() < 10, "who needs more than the radius stays"


def test_the_random_search_reads_outputs_alone(monkeypatch):
    model, X, y = trained()
    monkeypatch.setattr(type(model), "backward", None)
    found = random_search(model, X, y, epsilon=0.2, steps=50, rng=0)
    assert right(model, found, y).mean() < right(model, X, y).mean()
    np.testing.assert_array_equal(found, random_search(model, X, y, epsilon=0.2, steps=50, rng=0))


def test_success_is_that_of_the_same_attack_in_pytorch():
    torch = pytest.importorskip("torch")
    model, X, y = trained(400)
    layers = [torch.nn.Linear(6, 5, bias=False), torch.nn.ReLU(), torch.nn.Linear(5, 4), torch.nn.ReLU(),
              torch.nn.Linear(4, N_CLASSES)]
    with torch.no_grad():
        for layer, name in zip(layers[::2], ("dense1", "dense2", "dense3"), strict=True):
            layer.weight.copy_(torch.tensor(model.parameters[f"{name}.weight"].value.T))
            if layer.bias is not None:
                layer.bias.copy_(torch.tensor(model.parameters[f"{name}.bias"].value))
    net, labels = torch.nn.Sequential(*layers), torch.tensor(y)
    start = torch.tensor(X.reshape(len(X), -1))

    def climb(steps, size, epsilon, norm):
        at, wrong = start.clone(), net(start).argmax(1) != labels
        for _ in range(steps):
            at = at.detach().requires_grad_()
            g, = torch.autograd.grad(torch.nn.functional.cross_entropy(net(at), labels, reduction="sum"), at)
            if norm == "linf":
                at = torch.minimum(torch.maximum(at + size * g.sign(), start - epsilon), start + epsilon)
            else:
                moved = at + size * g / g.norm(dim=1, keepdim=True).clamp_min(1e-30) - start
                at = start + moved * (epsilon / moved.norm(dim=1, keepdim=True).clamp_min(1e-30)).clamp(max=1)
            at = at.clamp(0, 1)
            wrong |= net(at).argmax(1) != labels
        return float(wrong.float().mean())

    cases = {"fgsm": (1, 0.1, 0.1, "linf"), "pgd": (10, 0.025, 0.1, "linf"), "pgd_l2": (10, 0.05, 0.2, "l2")}
    for name, case in cases.items():
        found = ~right(model, attacked(name, model, X, y, epsilon=case[2]), y)
        assert abs(found.mean() - climb(*case)) <= 0.01, name
        assert 0.05 < found.mean() < 0.95


@pytest.mark.parametrize(("change", "message"), [
    ({"X": "low"}, r"X runs from -1 to .*; attacks move what lies in \[0, 1\]: train with scaling='unit'"),
    ({"epsilon": -0.1}, "epsilon=-0.1; wanted"), ({"y": np.zeros(3, int)}, "X has 12 rows and y 3")])
def test_what_no_attack_takes(change, message):
    model, X, y = images()
    given = {"X": X, "y": y, "epsilon": 0.1} | change
    given["X"] = X - 1 if isinstance(given["X"], str) else X
    with pytest.raises(InvalidValue, match=message):
        fgsm(model, **given)
