"""VGG16: the example on a tiny net of its shape, and the real weights, where they are, beside PyTorch."""
import argparse
import json
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import minnet as mn
from minnet.cli import main
from minnet.errors import InvalidValue
from minnet.pruning.activation_cache import ActivationCache
from minnet.study import training
from minnet.study.job import Job
from minnet.study.settings import Settings

EXAMPLE = runpy.run_path(str(Path(mn.__file__).parents[1] / "examples" / "vgg16_arithmetic.py"))
TINY = ((4, 1), (4, 1), (6, 1), (8, 1), (16, 3))


@pytest.fixture
def weights(tmp_path):
    """A weights file in Keras's old layout for a VGG of the widths TINY, without a top."""
    h5py = pytest.importorskip("h5py")
    model, path = mn.models.vgg16((32, 32, 3), widths=TINY, rng=7), tmp_path / "tiny.h5"
    with h5py.File(path, "w") as file:
        names = [name for name, layer in model.layers.items() if layer.parameters]
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group, layer = file.create_group(name), model.layers[name]
            parts = {f"{name}_W_1:0": layer.weight, f"{name}_b_1:0": layer.bias}
            group.attrs["weight_names"] = [part.encode() for part in parts]
            for part, parameter in parts.items():
                group.create_dataset(part, data=parameter.value)
    return path, model


def test_weights_of_the_base_come_from_keras_and_the_classifier_is_new(weights):
    path, model = weights
    net = mn.models.vgg16((32, 32, 3), 10, weights=path, widths=TINY, head=5, rng=0)
    for name, parameter in model.parameters.items():
        np.testing.assert_array_equal(net.parameters[name].value, parameter.value)
    assert net.output_shape == (10,) and net.layers["head"].units == 5


def test_the_example_cuts_by_an_arithmetic_progression(weights, capsys):
    """512 to 256 in four equal steps, here 16 to 8; every rule ends with the same counts, the control with all."""
    assert EXAMPLE["progression"](512, 256) == [448, 384, 320, 256]
    options = argparse.Namespace(weights=weights[0], data="digits", rows=60, cut="all", to=0.5, head=None,
                                 head_epochs=1, seed=0, widths=TINY)
    rows = EXAMPLE["run"](options)
    assert {row["rule"] for row in rows} == set(EXAMPLE["RULES"])
    for rule in EXAMPLE["RULES"]:
        filters = [row["filters"] for row in rows if row["rule"] == rule]
        assert filters == [[n] * 3 for n in ((16,) * 4 if rule == "no cut" else (14, 12, 10, 8))]
    cut, control = (next(row for row in rows[::-1] if row["rule"] == rule) for rule in ("magnitude", "no cut"))
    pixels, kernel = 2 * 2, 9
    assert control["MACs"] - cut["MACs"] == pixels * kernel * (8 * 8 + 2 * (16 * 16 - 8 * 8)) + 8 * 10
    assert "without pruning gave" in capsys.readouterr().out


@pytest.mark.parametrize("head", [None, 256])
def test_the_example_on_the_real_weights(head, data_folder, monkeypatch):
    """block5_conv3 from 512 to 256 filters, on fifty digits, by one of the rules; each filter has 9 x 512 weights,
    a bias and a row of the layer above. Latencies, which nobody reads, are those of one call."""
    monkeypatch.setattr(EXAMPLE["latency"], "__defaults__", (1,))
    options = argparse.Namespace(weights=data_folder / "vgg16" / "vgg16_notop.h5", data="digits", rows=50, head=head,
                                 head_epochs=20, seed=0, widths=mn.models.VGG_WIDTHS)
    base, tail, data, features = EXAMPLE["prepare"](options)
    rows = EXAMPLE["cut"]("own rule", tail, (EXAMPLE["LAST"],), base, data, features, seed=0, to=0.5)
    above = head or 10
    top = 513 * 10 if head is None else 513 * head + (head + 1) * 10
    assert [row["filters"] for row in rows] == [[512, 512, width] for width in (448, 384, 320, 256)]
    assert [row["parameters"] for row in rows] == [
        14_714_688 + top - 64 * number * (9 * 512 + 1 + above) for number in (1, 2, 3, 4)]
    assert rows[-1]["accuracy"] > 0.5


def row(rule, accuracy):
    """What the verdict and the plot read of a row of the example."""
    return {"rule": rule, "round": 1, "accuracy": accuracy, "parameters": 100, "MACs": 100, "filters": [8, 8, 4]}


@pytest.mark.parametrize("second, words", [(0.85, "not distinguishable from b"), (0.79, "no other rule is within it")])
def test_the_verdict_says_who_won_and_what_is_a_draw(second, words):
    """Of 30 images, 90 % of which are right, the standard error is 5.5 points, and of 100 it is 3."""
    rows = [row("b", second), row("a", 0.9), row("no cut", 0.95)]
    told = EXAMPLE["verdict"](rows, 100 if second < 0.8 else 30)
    assert told.startswith("a has the highest accuracy: 90.00%") and f"points: {words}." in told
    assert f"{100 * (0.9 - second):.2f} ahead of b" in told and "without pruning gave 95.00%" in told


def test_the_example_plots(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [row(rule, 0.9) | {"round": number} for rule in EXAMPLE["RULES"] for number in (1, 2, 3, 4)]
    EXAMPLE["plot"](rows, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_images_become_what_vgg_was_trained_on():
    data = mn.models.vgg16_input(mn.load_data("digits", rng=0))
    assert data.shape == data.X_test.shape[1:] == (32, 32, 3)
    raw = mn.load_data("digits", rng=0)
    raw = raw.scaled(raw.X_train)
    mean = np.array(mn.models.VGG_MEAN)
    np.testing.assert_allclose(data.X_train.mean((0, 1, 2)) + mean, 255 * raw.mean(), rtol=0.02)
    np.testing.assert_allclose(np.diff(data.X_train, axis=-1), np.broadcast_to(-np.diff(mean), (len(raw), 32, 32, 2)),
                               atol=1e-3)
    with pytest.raises(InvalidValue, match="scaling='standard'"):
        mn.models.vgg16_input(mn.load_data("digits", rng=0, scaling="standard"))


def test_real_weights_give_what_pytorch_gives_after_each_convolution(data_folder):
    """The same 13 convolutions, ReLUs and pools by PyTorch's own functions, on one fixed image, to 1e-3 relative."""
    torch = pytest.importorskip("torch")
    path = data_folder / "vgg16" / "vgg16_notop.h5"
    model = mn.models.vgg16((32, 32, 3), weights=path)
    assert model.n_trainable == 14_714_688
    x = np.random.default_rng(0).uniform(-120, 130, (1, 32, 32, 3)).astype(np.float32)
    kept, theirs = ActivationCache(model, x, model.values), torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    for layer in model.layers.values():
        if layer.prefix == "conv":
            weight = torch.from_numpy(layer.weight.value.transpose(3, 2, 0, 1).copy())
            theirs = torch.nn.functional.conv2d(theirs, weight, torch.from_numpy(layer.bias.value.copy()), padding=1)
            expected = theirs.numpy().transpose(0, 2, 3, 1)
            np.testing.assert_allclose(kept.outputs[layer], expected, rtol=0, atol=1e-3 * np.abs(expected).max())
        elif layer.prefix == "relu":
            theirs = torch.relu(theirs)
        else:
            theirs = torch.nn.functional.max_pool2d(theirs, 2)


def test_the_main_job_cuts_a_pretrained_net_behind_its_frozen_base(weights, monkeypatch):
    """Frozen layers keep their bits, the saved net takes images, and its figures are those of the whole net."""
    monkeypatch.setattr(training, "vgg16", partial(mn.models.vgg16, widths=TINY))
    job = Job(Settings(model="vgg16", weights=str(weights[0]), structure="filter", sparsity=0.5, epochs=1))
    assert isinstance(job.arguments["optimizer"], mn.Adam)
    for _ in job.run():
        pass
    result = job.measure()
    for name, parameter in weights[1].parameters.items():
        same = np.array_equal(job.whole(job.dense).parameters[name].value, parameter.value)
        assert same == (not name.startswith("block5"))
    assert job.small.input_shape == (32, 32, 3)
    assert result["before"]["macs"] > result["after"]["macs"]
    assert sum(job.small.layers[f"block5_conv{i}"].filters for i in (1, 2, 3)) == 3 * 16 - round(0.5 * 3 * 16)
    assert str(weights[0]) not in str(job.made)


def test_what_it_saves_is_scored_and_predicts_on_the_same_images(weights, monkeypatch, tmp_path, capsys):
    """The file says that images are to be enlarged, so commands take the data set's own."""
    monkeypatch.setattr(training, "vgg16", partial(mn.models.vgg16, widths=TINY))
    monkeypatch.chdir(tmp_path)
    prune = ["prune", "digits", "--model", "vgg16", "--weights", str(weights[0]), "--structure", "filter"]
    assert main([*prune, "--sparsity", "0.5", "--epochs", "1", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)["after"]["accuracy"]
    path = "minnet-out/model.safetensors"
    assert main(["evaluate", path, "--data", "digits", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == told
    assert main(["predict", path, "digits", "--quiet"]) == 0
    labels = np.array(capsys.readouterr().out.split(), int)
    data = mn.load_data("digits", rng=0)
    assert np.mean(labels == data.y_test) == pytest.approx(told, abs=1e-12)
    np.savez("grey.npz", X=mn.load_data("digits", rng=0, scaling="none").X_test[..., 0])
    assert main(["predict", path, "grey.npz", "--quiet"]) == 0
    assert np.array_equal(np.array(capsys.readouterr().out.split(), int), labels)
    np.savez("two.npz", X=np.zeros((50, 8, 8, 2)), y=np.arange(50) % 2)
    for refused in (["predict", path, "two.npz"], ["evaluate", path, "--data", "two.npz"],
                    ["prune", "two.npz", *prune[2:]]):
        assert main(refused) == 2
        assert "1 or 3 channels" in capsys.readouterr().err


def test_weights_are_for_vgg_alone(weights):
    with pytest.raises(InvalidValue, match="need model vgg16, not lenet_5"):
        Job(Settings(model="lenet_5", data="digits", weights=str(weights[0])))
