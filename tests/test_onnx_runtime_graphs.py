"""Graphs that ONNX Runtime writes: quantised ones in the QDQ form, and those with fused operators."""
import numpy as np
import pytest

import minnet as mn
from minnet.errors import FileError

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx_graphs import Graph  # noqa: E402 - needs onnx itself

MICROSOFT = "com.microsoft"


def loaded(data, tmp_path):
    (tmp_path / "model.onnx").write_bytes(data)
    return mn.load_onnx(tmp_path / "model.onnx")


def run(data, X):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]


def rounded(g, x, scale, zero):
    """The pair of nodes that rounds what flows through the net."""
    numbers = g.const(np.float32(scale)), g.const(np.uint8(zero))
    return g("DequantizeLinear", g("QuantizeLinear", x, *numbers), *numbers)


def weight(g, *shape):
    """A weight of whole numbers, with a scale for each output channel."""
    q = g.rng.integers(-127, 128, shape).astype(np.int8)
    return g("DequantizeLinear", g.const(q), g.const(g.rng.uniform(0.005, 0.01, shape[0]).astype(np.float32)),
             g.const(np.zeros(shape[0], np.int8)), axis=0)


@pytest.mark.parametrize("highest, layer", [(12.0, "ReLU"), (6.0, "ReLU6")])
def test_a_quantised_graph(highest, layer, tmp_path):
    """The quantiser took the ReLU out where the cut at 0 does its work: it is there again."""
    g = Graph((3, 6, 6), opset=13)
    x = rounded(g, "x", 4 / 255, 128)
    bias = g("DequantizeLinear", g.const(np.arange(4, dtype=np.int32)), g.const(np.float32(0.1)))
    x = rounded(g, g("Conv", x, weight(g, 4, 3, 3, 3), bias), highest / 255, 0)
    x = rounded(g, g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), highest / 255, 0)
    x = rounded(g, g("Gemm", g("Flatten", x), weight(g, 5, 16), transB=1), 0.2, 128)
    X = g.rng.uniform(-2, 2, (20, 3, 6, 6)).astype(np.float32)
    with pytest.warns(UserWarning, match="is quantised"):
        model = loaded(g.bytes(x), tmp_path)
    assert [type(one).__name__ for one in model.tree.leaves()] == ["Conv2d", layer, "MaxPool2d", "Flatten", "Dense"]
    wanted = run(g.bytes(x), X)
    assert np.abs(model(X.transpose(0, 2, 3, 1)) - wanted).max() < 0.05 * np.abs(wanted).max()


def test_a_weight_that_a_quantising_training_rounds(tmp_path):
    """Its float values go through the pair too."""
    g = Graph((4,), opset=13)
    w, scale, zero = g.const(g.random(4, 3)), g.const(np.float32(0.01)), g.const(np.int8(0))
    x = g("MatMul", "x", g("DequantizeLinear", g("QuantizeLinear", w, scale, zero), scale, zero))
    X = g.rng.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(loaded(g.bytes(x), tmp_path)(X), run(g.bytes(x), X), rtol=1e-5, atol=1e-6)


def test_fused_operators(tmp_path):
    """Convolutions with an activation, and with what is added before it; dense layers; the exact GELU."""
    g = Graph((3, 6, 6))
    x = g("FusedConv", "x", g.random(4, 3, 3, 3), g.random(4), domain=MICROSOFT, activation="Relu", pads=[1, 1, 1, 1])
    y = g("FusedConv", x, g.random(4, 4, 1, 1), g.random(4), x, domain=MICROSOFT, activation="LeakyRelu",
          activation_params=[0.2])
    y = g("FusedConv", y, g.random(4, 4, 1, 1), domain=MICROSOFT, activation="Clip", activation_params=[0.0, 6.0])
    y = g("Flatten", g("GlobalAveragePool", y))
    y = g("FusedGemm", y, g.random(4, 5), g.random(5), domain=MICROSOFT, activation="Tanh")
    y = g("Gelu", g("FusedMatMul", y, g.random(6, 5), domain=MICROSOFT, transB=1, alpha=0.5), domain=MICROSOFT)
    y = g("BiasGelu", y, g.random(6), domain=MICROSOFT)
    y = g("QuickGelu", y, domain=MICROSOFT, alpha=1.0)
    X = g.rng.normal(size=(5, 3, 6, 6)).astype(np.float32)
    model = loaded(g.bytes(y), tmp_path)
    np.testing.assert_allclose(model(X.transpose(0, 2, 3, 1)), run(g.bytes(y), X), rtol=1e-4, atol=1e-5)


REFUSED = {
    "whole numbers": (lambda g: g("QLinearConv", "x", g.const(np.float32(1)), outputs=1), "QuantFormat.QDQ"),
    "one machine": (lambda g: g("Conv", "x", domain="com.microsoft.nchwc"), "ORT_ENABLE_EXTENDED"),
    "a slope": (lambda g: g("QuickGelu", "x", domain=MICROSOFT, alpha=1.702), "alpha=1.702"),
    "nothing": (lambda g: g("FusedGemm", domain=MICROSOFT), "0 inputs"),
    "an activation": (lambda g: g("FusedGemm", "x", g.random(4, 2), domain=MICROSOFT, activation="Softsign"),
                      "no Softsign"),
    "a scale for each": (lambda g: g("QuantizeLinear", "x", g.random(4), g.const(np.zeros(4, np.uint8))), "4 scales"),
    "blocks": (lambda g: g("MatMul", "x", g("DequantizeLinear", g.const(np.ones((4, 2), np.int8)), g.random(2, 2),
                                            block_size=2)), "blocks"),
    "other scales": (lambda g: g("MatMul", "x", g("DequantizeLinear", g.const(np.ones((4, 2), np.int8)), g.random(3))),
                     "do not fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    make, words = REFUSED[name]
    g = Graph((4,), opset=21)
    with pytest.raises(FileError, match=words):
        loaded(g.bytes(make(g)), tmp_path)
