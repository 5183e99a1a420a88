"""Activations that exporters write as several ONNX nodes are found by what they compute."""
import math

import numpy as np
import pytest
from test_onnx import close, loaded, run

import minnet as mn
from minnet.errors import FileError

onnx = pytest.importorskip("onnx")
from onnx_graphs import Graph  # noqa: E402 - needs onnx itself


def number(g, value):
    return g.const(np.float32(value))


def hard(g, x):
    """min(max(x + 3, 0), 6)."""
    return g("Clip", g("Add", x, number(g, 3)), number(g, 0), number(g, 6))


def cubic(g, x):
    """tanh(sqrt(2 / pi) (x + 0.044715 x^3)), as the powers are written by Keras."""
    power = g("Mul", number(g, 0.044715), g("Pow", x, number(g, 3)))
    return g("Tanh", g("Mul", number(g, math.sqrt(2 / math.pi)), g("Add", x, power)))


SPELLED = {  # what exporters write -> the layer that it is
    "x sigmoid(x)": (lambda g, x: g("Mul", x, g("Sigmoid", x)), mn.SiLU()),
    "x / (1 + exp(-x))": (lambda g, x: g("Div", x, g("Add", g("Exp", g("Neg", x)), number(g, 1))), mn.SiLU()),
    "HardSigmoid(x) x": (lambda g, x: g("Mul", g("HardSigmoid", x, alpha=1 / 6, beta=0.5), x), mn.Hardswish()),
    "x relu6(x + 3) / 6": (lambda g, x: g("Div", g("Mul", x, hard(g, x)), number(g, 6)), mn.Hardswish()),
    "x (relu6(x + 3) / 6)": (lambda g, x: g("Mul", x, g("Mul", hard(g, x), number(g, 1 / 6))), mn.Hardswish()),
    "relu6(x + 3) / 6": (lambda g, x: g("Div", hard(g, x), number(g, 6)), mn.HardSigmoid()),
    "x tanh(softplus(x))": (lambda g, x: g("Mul", x, g("Tanh", g("Softplus", x))), mn.Mish()),
    "erf": (lambda g, x: g("Mul", g("Mul", x, g("Add", g("Erf", g("Div", x, number(g, math.sqrt(2)))), number(g, 1))),
                           number(g, 0.5)), mn.GELU()),
    "erf, as Keras": (lambda g, x: g("Mul", g("Mul", number(g, 0.5), x),
                                     g("Add", g("Erf", g("Mul", x, number(g, math.sqrt(0.5)))), number(g, 1))),
                      mn.GELU()),
    "tanh": (lambda g, x: g("Mul", g("Mul", number(g, 0.5), x), g("Add", cubic(g, x), number(g, 1))), mn.GELU("tanh")),
    "max(x, 0.1 x)": (lambda g, x: g("Max", x, g("Mul", x, number(g, 0.1))), mn.LeakyReLU(0.1)),
    "log(1 + exp(2 x)) / 2": (lambda g, x: g("Div", g("Log", g("Add", g("Exp", g("Mul", x, number(g, 2))),
                                                               number(g, 1))), number(g, 2)), mn.Softplus(2.0)),
    "min(max(x, -1), 2)": (lambda g, x: g("Min", g("Max", x, number(g, -1)), number(g, 2)), mn.Hardtanh(-1.0, 2.0)),
    "where": (lambda g, x: g("Where", g("Greater", x, number(g, 0)), x, g("Sub", g("Exp", x), number(g, 1))),
              mn.ELU(1.0)),
    "x sigmoid(1.702 x)": (lambda g, x: g("Mul", x, g("Sigmoid", g("Mul", x, number(g, 1.702)))), mn.Product),
    "relu(x) + c relu(-x)": (lambda g, x: g("Add", g("Mul", g("Relu", g("Neg", x)), g.random(6)), g("Relu", x)),
                             mn.PReLU),
    "x x": (lambda g, x: g("Mul", x, x), mn.Product),
}


@pytest.mark.parametrize("name", SPELLED)
def test_spelled_activations(name, tmp_path):
    """One layer of that kind in the middle, and the outputs of ONNX Runtime."""
    spell, wanted = SPELLED[name]
    g = Graph((4,))
    data = g.bytes(g.gemm(spell(g, g.gemm("x", 4, 6)), 6, 3))
    model = loaded(data, tmp_path)
    found = model.tree.layers[1]
    if isinstance(wanted, type):
        assert type(found) is wanted
    else:
        assert repr(found).partition(", name")[0] == repr(wanted).rstrip(")") or type(found) is type(wanted)
        assert {k: v for k, v in found.arguments().items() if k != "name"} == {
            k: v for k, v in wanted.arguments().items() if k != "name"}
    X = (3 * g.rng.normal(size=(9, 4))).astype(np.float32)
    close(model(X), run(data, X))


@pytest.mark.parametrize(("spell", "words"), [
    (lambda g, x: g("Exp", x), r"minnet has no Exp \(node_exp_1\)"),
    (lambda g, x: g("Mul", x, g("Erf", x)), r"minnet has no Erf"),
    (lambda g, x: g("Where", g("Greater", x, number(g, 0)), x, number(g, 1)), "minnet has no Where"),
    (lambda g, x: g("Expand", x, g.ints(2, 6)), "minnet has no Expand"),
    (lambda g, x: g("Relu", g("Greater", x, number(g, 0.5))), "compares with a number"),
])
def test_parts_of_no_activation_are_refused_by_name(spell, words, tmp_path):
    g = Graph((4,))
    with pytest.raises(FileError, match=words):
        loaded(g.bytes(g.gemm(spell(g, g.gemm("x", 4, 6)), 6, 3)), tmp_path)


@pytest.mark.parametrize("spell", [
    lambda g, x: g("Add", g("Mul", x, number(g, 1)), number(g, 0)),     # nothing at all
    lambda g, x: g("Mul", g("Sub", x, number(g, 2)), number(g, 0.5)),   # a line
    lambda g, x: g("Mul", g("Relu", x), number(g, 0)),                  # a constant
])
def test_lines_and_constants_are_no_activations(spell, tmp_path):
    g = Graph((4,))
    data = g.bytes(g.gemm(spell(g, g.gemm("x", 4, 6)), 6, 3))
    model = loaded(data, tmp_path)
    assert {type(layer) for layer in model.layers.values()} <= {mn.Dense, mn.BatchNorm, mn.ReLU}
    X = g.rng.normal(size=(5, 4)).astype(np.float32)
    close(model(X), run(data, X))


def test_a_graph_that_goes_round_in_circles(tmp_path):
    """A node that reads its own output, among operators of which activations are made."""
    g = Graph((4,))
    end = g.gemm(g("Mul", "x", "sigmoid_1"), 4, 3)
    g.nodes.insert(1, onnx.helper.make_node("Sigmoid", ["sigmoid_1"], ["sigmoid_1"]))
    with pytest.raises(FileError):
        loaded(g.bytes(end), tmp_path)
