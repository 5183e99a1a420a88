"""Doors through files and commands: nets from elsewhere, official parts, labels of every kind, a class that is absent.

A way of bringing a net is a row of OUTSIDE, a kind of label one of LABELS, a kind of file one of FILES.
"""
import json

import numpy as np
import pytest
from keras_files import old
from test_doors import DATA, USES, saved, table, trained

import minnet as mn
from minnet.cli import main
from minnet.data.labels import label_name


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


OUTSIDE = {"Keras": by_keras, "PyTorch": by_torch, "foreign ONNX": by_onnx}


@pytest.mark.filterwarnings("ignore:rows of shape")  # an ONNX net of rows takes images
@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("kind", DATA)
def test_a_net_from_elsewhere_takes_raw_rows_at_every_door(kind, outside, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    source, _, X, y = trained(kind, "strings")
    assert main(["import", *OUTSIDE[outside](plain(source), tmp_path), "--classes", "a,b,setosa", "--out", "."]) == 0
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
