"""Doors through files and commands: nets from elsewhere, official parts, labels of every kind, a class that is absent.

A way of bringing a net is a row of OUTSIDE, a kind of label one of LABELS, a kind of file one of FILES.
"""
import json

import numpy as np
import pytest
from keras_files import layer, old, sequential, whole
from safetensors.numpy import save_file
from test_doors import DATA, USES, saved, table, trained

import minnet as mn
from minnet.cli import main
from minnet.data.labels import label_name
from minnet.study import measure


def plain(model):
    """The same net as others have it: raw rows in, the scaling inside its first layer, and no word of labels."""
    scaling, net = model.signature.scaling, model.without_signature().clone()
    first = next(parameter for name, parameter in net.parameters.items() if name.endswith("weight"))
    bias = net.parameters["dense1.bias"]
    shift, scale = (np.broadcast_to(value, model.input_shape).reshape(-1, 1) for value in scaling or (0, 1))
    weights = first.value.astype(np.float64) / scale
    bias.value[:] -= (shift * weights).sum(axis=0)
    first.value[:] = weights
    return net


def by_keras(net, folder):
    old(folder / "net.h5", {layer: {"kernel": net.parameters[f"{layer}.weight"].value,
                                    "bias": net.parameters[f"{layer}.bias"].value} for layer in ("dense1", "dense2")})
    mn.save(mn.models.mlp(net.input_shape, 3, hidden=(16,), rng=1), folder / "architecture.safetensors")
    return ["net.h5", "--model", "architecture.safetensors"]


def by_torch(net, folder):
    mn.save_torch(net, folder / "net.safetensors")
    mn.save(mn.models.mlp(net.input_shape, 3, hidden=(16,), rng=1), folder / "architecture.safetensors")
    return ["net.safetensors", "--model", "architecture.safetensors"]


def by_onnx(net, folder):
    from onnx_graphs import Graph

    graph = Graph((int(np.prod(net.input_shape)),))
    hidden = graph("Relu", graph("Gemm", "x", *(net.parameters[f"dense1.{name}"].value for name in ("weight", "bias"))))
    end = graph("Gemm", hidden, *(net.parameters[f"dense2.{name}"].value for name in ("weight", "bias")))
    (folder / "net.onnx").write_bytes(graph.bytes(end))
    return ["net.onnx"]


def by_whole_keras(net, folder):
    arrays = {f"layers/{place}": [net.parameters[f"{name}.{part}"].value for part in ("weight", "bias")]
              for place, name in (("dense", "dense1"), ("dense_1", "dense2"))}
    config = sequential(layer("Flatten"), layer("Dense", "dense", units=16, activation="relu", use_bias=True),
                        layer("Dense", "dense_1", units=3, activation="linear", use_bias=True), shape=net.input_shape)
    whole(folder / "net.keras", config, arrays)
    return ["net.keras"]


def by_torch_chain(net, folder):
    tensors = {f"{2 * i}.{part}": np.ascontiguousarray(net.parameters[f"dense{i + 1}.{part}"].value.T)
               for i in (0, 1) for part in ("weight", "bias")}
    save_file(tensors, folder / "net.safetensors")
    return ["net.safetensors"]


def by_torch_module(net, folder):
    """In Python, and kept as a file with its labels."""
    torch = pytest.importorskip("torch")
    linear = [torch.nn.Linear(*net.parameters[f"dense{i}.weight"].value.shape) for i in (1, 2)]
    for i, one in enumerate(linear, 1):
        for part in ("weight", "bias"):
            getattr(one, part).data = torch.tensor(net.parameters[f"dense{i}.{part}"].value.T.copy())
    module = torch.nn.Sequential(torch.nn.Flatten(), linear[0], torch.nn.ReLU(), linear[1])
    channels_first = np.zeros((1, *np.roll(net.input_shape, 1)), np.float32)
    model = mn.from_torch(module, channels_first)
    model.signature = mn.data.Signature(model.input_shape, ["a", "b", "setosa"])
    mn.save(model, folder / "model.safetensors")


OUTSIDE = {"Keras": by_keras, "whole Keras": by_whole_keras, "PyTorch": by_torch, "PyTorch's Linear": by_torch_chain,
           "PyTorch's module": by_torch_module, "foreign ONNX": by_onnx}


@pytest.mark.filterwarnings("ignore:rows of shape")  # an ONNX net of rows takes images
@pytest.mark.filterwarnings("ignore:the state dict does not say")
@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("kind", DATA)
def test_a_net_from_elsewhere_takes_raw_rows_at_every_door(kind, outside, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "SECONDS", 0.0)  # times of a few rounds will do
    source, _, X, y = trained(kind, "strings")
    given = OUTSIDE[outside](plain(source), tmp_path)
    assert given is None or main(["import", *given, "--classes", "a,b,setosa", "--out", "."]) == 0
    wanted = source.predict(X)
    net = mn.load("model.safetensors")
    for model in (net, saved(net, tmp_path), mn.compact(net)):
        for name, use in USES.items():
            assert use(model, X[:40]).tolist() == wanted[:40].tolist(), name
        assert mn.evaluate(model, X, y, intervals=False).accuracy == pytest.approx((wanted == y).mean())
    np.savez("raw.npz", X=X, y=y)
    for arguments in (["evaluate", "model.safetensors", "--data", "raw.npz"],
                      ["prune", "model.safetensors", "--data", "raw.npz", "--sparsity", "0.3", "--epochs", "1"]):
        assert main([*arguments, "--quiet", "--json"]) == 0
    assert mn.load("minnet-out/dense.safetensors").signature == net.signature


@pytest.mark.parametrize("kind", DATA)
def test_a_sweep_begins_from_the_model_as_it_is(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, _, X, y = trained(kind, "strings")
    mn.save(model, "m.safetensors")
    np.savez("raw.npz", X=X, y=y)
    assert main(["compare", "m.safetensors", "--data", "raw.npz", "--criteria", "magnitude", "--sparsities", "0.1",
                 "--seeds", "1", "--epochs", "1", "--jobs", "1", "--out", "swept", "--quiet"]) == 0
    names, cells = (line.split(",") for line in (tmp_path / "swept" / "cells.csv").read_text().splitlines()[:2])
    cell = dict(zip(names, cells, strict=True))
    capsys.readouterr()
    assert main(["evaluate", "m.safetensors", "--data", "raw.npz", "--part", "test", "--quiet", "--json"]) == 0
    assert float(cell["accuracy_dense_test"]) == json.loads(capsys.readouterr().out)["accuracy"] > 0.9
    assert float(cell["accuracy_test"]) > 0.9


LABELS = {"strings": (["no", "yes", "both"], str), "bytes": ([b"n", b"y", b"b"], str), "bools": ([False, True], bool),
          "large": ([2**53, 2**53 + 1, -2**60], int), "unsigned": ([2**64 - 1, 2**64 - 2, 0], int),
          "beyond 64 bits": ([str(10**30), str(10**30 + 1), "5"], str)}


def as_csv(X, y, folder):
    cells = [[*map(repr, row), label_name(label) if isinstance(label, bytes) else str(label)]
             for row, label in zip(X.tolist(), y.tolist(), strict=True)]
    (folder / "t.csv").write_text("\n".join(map(",".join, cells)))
    return "t.csv"


def as_npz(X, y, folder):
    np.savez(folder / "t.npz", X=X, y=y)
    return "t.npz"


def as_parts(X, y, folder):
    np.savez(folder / "p.npz", x_train=X[:90], y_train=y[:90], x_val=X[90:], y_val=y[90:], x_test=X, y_test=y)
    return "p.npz"


FILES = {"table": as_csv, "archive": as_npz, "official parts": as_parts}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("file", FILES)
def test_labels_of_any_kind_come_back_as_the_file_has_them(file, labels, tmp_path, monkeypatch, capsys):
    """train, evaluate, predict, prune and predict again; in Python from the file that was written."""
    monkeypatch.chdir(tmp_path)
    names, kind = LABELS[labels]
    X, codes = table()
    codes %= len(names)
    X[:, 1] = codes * 5000 + np.arange(len(X))
    y = np.array(names, np.uint64 if labels == "unsigned" else None)[codes]
    path = FILES[file](X, y, tmp_path)
    assert main(["train", path, "--model", "mlp", "--epochs", "15", "--out", "a", "--quiet"]) == 0
    assert main(["prune", "a/model.safetensors", "--data", path, "--sparsity", "0.3", "--epochs", "2", "--out", "b",
                 "--quiet"]) == 0
    shown = [label_name(label) if isinstance(label, bytes) else str(label) for label in y.tolist()]
    for model in ("a/model.safetensors", "b/model.safetensors"):
        capsys.readouterr()
        assert main(["evaluate", model, "--data", path, "--quiet", "--json"]) == 0
        scored = json.loads(capsys.readouterr().out)
        assert scored["accuracy"] > 0.9 and scored["samples"] == len(y)
        assert main(["predict", model, path, "--quiet"]) == 0
        found = capsys.readouterr().out.splitlines()
        assert np.mean(np.array(found) == np.array(shown)) == pytest.approx(scored["accuracy"])
        assert {type(label) for label in mn.load(model).predict(X).tolist()} == {kind}


def test_a_class_that_is_absent_is_pruned_towards_the_right_outputs(tmp_path, monkeypatch, capsys):
    """The net keeps its outputs and its scaling, scores by name, and still names the class that was absent."""
    monkeypatch.chdir(tmp_path)
    X, codes = table()
    y = np.array(["x", "y", "z"])[codes]
    as_csv(X, y, tmp_path)
    np.savez("later.npz", X=X[codes > 0], y=y[codes > 0])
    assert main(["train", "t.csv", "--model", "mlp", "--epochs", "30", "--out", "a", "--quiet"]) == 0
    assert main(["prune", "a/model.safetensors", "--data", "later.npz", "--sparsity", "0.5", "--epochs", "5",
                 "--out", "b", "--quiet", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["before"]["accuracy"] > 0.9 and result["after"]["accuracy"] > 0.9
    before, after = mn.load("a/model.safetensors"), mn.load("b/model.safetensors")
    assert after.signature == before.signature and after.output_shape == (3,)
    assert (after.predict(X[codes > 0]) == y[codes > 0]).mean() > 0.9
    assert main(["predict", "b/model.safetensors", "t.csv"]) == 0
