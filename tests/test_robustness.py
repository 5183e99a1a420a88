"""Robustness: corruptions by severity, the study, its command, and a backdoor that pruning takes away."""
import importlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from nets import bits

import minnet as mn
from minnet.cli import main
from minnet.engine.attacks import attacked, input_gradient
from minnet.engine.losses import cross_entropy
from minnet.errors import InvalidValue, UnknownName
from minnet.study.backdoor import (
    _Scaled,
    accuracy,
    attack_success,
    cut_units,
    fine_prune,
    neuron_masks,
    poisoned,
    stamped,
)
from minnet.study.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from minnet.study.robustness import beside, robustness

FAST = {"attacks": ["fgsm", "pgd_l2"], "corruptions": ["noise", "occlusion"], "samples": 60}


@pytest.fixture(scope="module")
def digits():
    return mn.load_data("digits", rng=0)


@pytest.fixture(scope="module")
def net(digits):
    model = mn.Model(mn.Sequential(mn.Flatten(), mn.Dense(20), mn.ReLU(), mn.Dense(10)), digits.shape, rng=0)
    fit(model, digits)
    return model


def fit(model, data, epochs=8):
    for _ in mn.train(model, data, optimizer=mn.SGD(0.2, momentum=0.9), epochs=epochs, accelerate=False, rng=0):
        pass


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_stay_in_range_and_grow(name, digits):
    images = digits.inputs("valid", digits.signature, np.float32)[0][:40]
    found = [corrupted(name, images, severity, np.random.default_rng(0)) for severity in SEVERITIES]
    distances = [np.abs(one - images).mean() for one in found]
    assert distances == sorted(distances) and distances[-1] > 1.2 * distances[0] > 0
    for one in found:
        assert (one.dtype, one.shape) == (images.dtype, images.shape) and 0 <= one.min() <= one.max() <= 1
    assert bits(found[2]) == bits(corrupted(name, images, 3, np.random.default_rng(0)))
    if name == "shift":
        moved = corrupted(name, np.pad(images, ((0, 0), (10, 10), (10, 10), (0, 0))), 5, np.random.default_rng(0))
        np.testing.assert_allclose(moved.sum(axis=(1, 2, 3)), images.sum(axis=(1, 2, 3)), rtol=1e-4)


def test_robustness_is_the_accuracy_on_the_test_part(net, digits):
    found = robustness(net, digits, rng=0, **FAST)
    X, y = digits.inputs("test", net.signature, net.dtype)
    rows = np.sort(np.random.default_rng(0).choice(len(X), 60, replace=False))
    X, y = X[rows], y[rows]
    inner = net.without_signature()
    wanted = (inner(attacked("fgsm", net, X, y, epsilon=0.1)).argmax(1) == y).mean()
    assert found.attacks["fgsm"] == wanted < found.clean == (inner(X).argmax(1) == y).mean()
    assert found.corruptions["noise"][4] <= found.corruptions["noise"][0] and found.samples == 60
    again = robustness(net, (digits.X_test, digits.y_test), rng=0, **FAST)
    assert again == found and json.loads(json.dumps(found.record()))["corruptions"]["noise"] == list(
        found.corruptions["noise"])
    assert str(found).splitlines()[2] == f"{'fgsm 0.1':<11}  {found.attacks['fgsm']:>8.1%}"
    assert beside({"before": found, "after": again}).splitlines()[0].split() == ["before", "after"]


def test_what_robustness_does_not_take(net, digits):
    with pytest.raises(UnknownName, match="fgms"):
        robustness(net, digits, attacks=["fgms"])
    with pytest.raises(UnknownName, match="fog"):
        robustness(net, digits, corruptions=["fog"])
    rows = mn.Model(mn.Sequential(mn.Dense(2)), (4,), rng=0)
    X, y = np.random.default_rng(0).random((9, 4)), np.arange(9) % 2
    assert list(robustness(rows, (X, y), attacks=[]).corruptions) == ["noise", "contrast"]
    with pytest.raises(InvalidValue, match=r"'blur' is of images \(h, w, c\), and the model takes rows of 4 numbers"):
        robustness(rows, (X, y), attacks=[], corruptions=["blur"])
    with pytest.raises(InvalidValue, match=r"the model gives no classes"):
        robustness(rows, (X, X[:, :2]))
    with pytest.raises(InvalidValue, match=r"X runs from .* to .*; attacks move"):
        robustness(rows, (5 * X - 2, y))


def test_the_command_shows_before_beside_after(net, digits, tmp_path, capsys):
    pruned = net.clone()
    mn.prune(pruned, 0.5)
    mn.save(net, tmp_path / "dense.safetensors")
    mn.save(pruned, tmp_path / "model.safetensors")
    words = ["--attack", "fgsm", "--corruption", "noise", "--samples", "50", "--out", str(tmp_path)]
    assert main(["robustness", str(tmp_path), *words, "--epsilon", "0.2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "robustness.json").read_text())
    for key, model in (("before", net), ("after", pruned)):
        wanted = robustness(model, digits, attacks=["fgsm"], corruptions=["noise"], epsilon=0.2, samples=50, rng=0)
        assert told[key] == wanted.record()
    assert main(["robustness", str(tmp_path / "dense.safetensors"), "--attack", "none", *words[2:]]) == 0
    assert "fgsm" not in (shown := capsys.readouterr()).out and "measured on 50 samples" in shown.err
    assert main(["robustness", str(tmp_path), "--attack", "fgms"]) == 2


def test_adversarial_training_makes_a_net_more_robust_and_keeps_its_mask(digits, net):
    hard = net.clone()
    mn.prune(hard, 0.5, criterion="adversarial_taylor", data=digits)
    pruned, mask = hard.clone(), hard.mask.copy()
    given = {"epsilon": 0.1, "optimizer": mn.SGD(0.1, momentum=0.9), "epochs": 15, "rng": 0}
    steps = list(mn.adversarial_training(hard, digits, **given))
    assert [step.epoch for step in steps] == [*range(1, 16)] and bits(hard.mask) == bits(mask)
    assert hard.signature == digits.signature and not hard.values[~mask].any()
    soft, found = (robustness(one, digits, attacks=["fgsm"], corruptions=[], epsilon=0.1, rng=0)
                   for one in (pruned, hard))
    assert found.attacks["fgsm"] > soft.attacks["fgsm"] + 0.1
    again = pruned.clone()
    list(mn.adversarial_training(again, digits, **given))
    assert bits(again.values) == bits(hard.values)
    with pytest.raises(InvalidValue, match="attacks move what lies in"):
        next(mn.adversarial_training(pruned, (digits.X_train * 2, digits.y_train)))


def test_the_adversarial_criterion_is_taylor_at_the_points_of_fgsm(digits, net):
    X, y = digits.inputs("valid", net.signature, np.float32)
    inner, (gradient, _) = net.without_signature(), input_gradient(net, X, y)
    moved = np.clip(X + np.float32(0.1) * np.sign(gradient), 0, 1)
    np.testing.assert_array_equal(mn.criteria.adversarial_taylor(inner, (X, y)), mn.criteria.taylor(inner, (moved, y)))


# --- a backdoor ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backdoored(digits):
    """(net with a backdoor, clean rows, validation rows, test rows), of digits."""
    (X, y), valid, test = (digits.inputs(part, digits.signature, np.float32) for part in ("train", "valid", "test"))
    tree = mn.Sequential(mn.Conv2d(8, 3), mn.ReLU(), mn.Flatten(), mn.Dense(32), mn.ReLU(), mn.Dense(10))
    model = mn.Model(tree, X.shape[1:], rng=0)
    fit(model, poisoned(X[300:], y[300:], share=0.1, size=2, rng=0)[:2], epochs=12)
    return model, (X[:300], y[:300]), valid, test


def test_poison_is_stamped_and_labelled(digits):
    X, y = digits.inputs("train", digits.signature, np.float32)
    bad, labels, rows = poisoned(X, y, share=0.05, target=3, rng=0)
    assert len(rows) == round(0.05 * len(y)) and (y[rows] != 3).all() and (labels[rows] == 3).all()
    assert (bad[rows, -3:, -3:] == 1).all() and bits(bad[rows, :-3]) == bits(X[rows, :-3])
    others = np.setdiff1d(np.arange(len(y)), rows)
    assert bits(bad[others]) == bits(X[others]) and bits(labels[others]) == bits(y[others])
    assert bits(stamped(X[:1])[:, :5]) == bits(X[:1, :5])


def test_masks_of_units_take_the_backdoor_away(backdoored):
    model, clean, valid, test = backdoored
    success = partial(attack_success, X=test[0], y=test[1], size=2)
    assert success(model) > 0.9
    masks = neuron_masks(model, clean, batches=150, batch_size=64, rng=0)
    assert {name: own.shape for name, own in masks.items()} == {"conv1": (8,), "dense1": (32,)}
    assert all(0 <= own.min() <= own.max() <= 1 for own in masks.values())
    repaired, threshold = cut_units(model, masks, valid, tolerance=0.1)
    assert accuracy(repaired, valid) >= accuracy(model, valid) - 0.1
    for name, own in masks.items():
        assert bits(~repaired.layers[name].weight.mask.reshape(-1, len(own)).any(axis=0)) == bits(own < threshold)
    assert threshold > 0 and repaired.layers["dense2"].weight.mask.all()


def test_fine_pruning_stops_where_accuracy_falls(backdoored):
    model, clean, valid, _ = backdoored
    found = fine_prune(model, clean, valid, tolerance=0.04)
    assert accuracy(found, valid) >= accuracy(model, valid) - 0.04
    assert 0 < found.layers["conv1"].weight.mask.mean() < 1 and found.layers["dense1"].weight.mask.all()


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_factors_are_differences(bias):
    tree = mn.Sequential(mn.Conv2d(3, 2, use_bias=bias), mn.Tanh(), mn.Flatten(), mn.Dense(4), mn.Tanh(), mn.Dense(2))
    model = mn.Model(tree, (3, 3, 1), rng=0, dtype=np.float64)
    model.layers["dense1"].bias.value[:] = 0.3
    rng, scaled = np.random.default_rng(0), _Scaled(model, cross_entropy)
    X, y = rng.random((5, 3, 3, 1)), np.arange(5) % 2
    factors, direction = rng.normal(1, 0.3, (2, 7)), rng.normal(size=(2, 7))

    def loss(factors):
        scaled.gradients(*factors, X, y)
        return float(cross_entropy(model(X, scaled.tape.values), y))

    slope = float((np.array(scaled.gradients(*factors, X, y)) * direction).sum())
    up, down = (loss(factors + h * direction) for h in (1e-6, -1e-6))
    assert slope == pytest.approx((up - down) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("layers", ["*", "dense1"])
def test_a_step_of_neuron_pruning_is_the_published_one(layers):
    """Three steps of masks equal those of the published algorithm, written with PyTorch's gradients and its SGD."""
    torch = pytest.importorskip("torch")
    tree = mn.Sequential(mn.Conv2d(3, 3), mn.Tanh(), mn.Flatten(), mn.Dense(5), mn.ReLU(), mn.Dense(3))
    model = mn.Model(tree, (5, 5, 1), rng=0, dtype=np.float64)
    for name in ("conv1", "dense1"):
        model.layers[name].bias.value[:] = 0.3
    rng = np.random.default_rng(0)
    X, y = rng.random((12, 5, 5, 1)), np.arange(12) % 3
    found = neuron_masks(model, (X, y), batches=3, batch_size=6, lr=0.3, layers=layers, rng=1)
    (w, b), (v, c), (u, e) = ((torch.tensor(layer.weight.value), torch.tensor(layer.bias.value)) for layer in
                              (model.layers[name] for name in ("conv1", "dense1", "dense2")))

    ahead = torch.ones(3 if layers == "dense1" else 0, dtype=torch.float64)  # factors of units without a mask

    def loss(batch, m, x):
        m, x = torch.cat([ahead, m]), torch.cat([ahead, x])
        images, labels = (torch.tensor(part[batch]) for part in (X, y))
        maps = torch.conv2d(images.permute(0, 3, 1, 2), (w * m[:3]).permute(3, 2, 0, 1), b * x[:3]).tanh()
        hidden = (maps.permute(0, 2, 3, 1).flatten(1) @ (v * m[3:]) + c * x[3:]).relu()
        return torch.nn.functional.cross_entropy(hidden @ u + e, labels)

    rng, one = np.random.default_rng(1), torch.ones(8 - len(ahead), dtype=torch.float64)
    masks = one.clone().requires_grad_()
    optimizer = torch.optim.SGD([masks], lr=0.3, momentum=0.9)
    for _ in range(3):
        batch = rng.choice(12, 6, replace=False)
        noise = torch.tensor(rng.uniform(-0.4, 0.4, (2, len(one))), requires_grad=True)
        slope, = torch.autograd.grad(loss(batch, masks.detach() + noise[0], 1 + noise[1]), noise)
        d, x = (noise.detach() + 0.4 * slope.sign()).clamp(-0.4, 0.4)
        optimizer.zero_grad()
        (0.2 * loss(batch, masks, one) + 0.8 * loss(batch, masks + d, 1 + x)).backward()
        optimizer.step()
        masks.data.clamp_(0, 1)
    np.testing.assert_allclose(np.concatenate(list(found.values())), masks.detach(), rtol=0, atol=1e-12)
    assert list(found) == (["dense1"] if len(ahead) else ["conv1", "dense1"]) and np.ptp(found["dense1"]) > 0


def test_the_bench_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(Path(mn.__file__).parents[1]))
    bench = importlib.import_module("bench.backdoor")
    settings = {"rows": 200, "epochs": 1, "batches": 3, "batch_size": 16, "tuning": 1, "data": "digits"}
    make = lambda shape, k, rng: mn.Model(mn.Sequential(  # noqa: E731
        mn.Conv2d(4, 3), mn.ReLU(), mn.Flatten(), mn.Dense(k)), shape, rng=rng)
    first = bench.measure(tmp_path / "found.json", 1, settings, make)
    monkeypatch.setattr(bench, "one_seed", lambda seed, *_: first[0] | {"seed": seed})
    assert bench.measure(tmp_path / "found.json", 2, settings, make) == [first[0], first[0] | {"seed": 1}]
    assert bench.measure(tmp_path / "found.json", 1, settings | {"epochs": 2}, make)[0]["seed"] == 0
    assert all(0 <= value <= 1 for name in bench.COLUMNS for value in first[0][name])
    assert "| fine-pruning |" in capsys.readouterr().out
