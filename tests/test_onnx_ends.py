"""What stands at the end of ONNX nets is taken off: outputs are logits, and probabilities are those of ONNX Runtime."""
import numpy as np
import pytest
from test_onnx import loaded, onnxruntime

import minnet as mn
from minnet.engine.probabilities import probabilities
from minnet.errors import FileError
from minnet.formats.onnx_adaptive import STEPS
from minnet.formats.onnx_ops import WAYS_OUT
from minnet.formats.onnx_read import load_onnx

onnx = pytest.importorskip("onnx")
from onnx_graphs import Graph  # noqa: E402 - needs onnx itself


def columns(g, z):
    """1 - s beside s, as skl2onnx writes two classes."""
    s = g("Sigmoid", z)
    return g("Concat", g("Sub", g.const(np.float32(1)), g("Identity", s)), s, axis=1)


def both(g, z, op, **attributes):
    """Logits, and what is made of them."""
    return z, g(op, z, **attributes)


def sure(g, z):
    """Class numbers and probabilities."""
    p = g("Softmax", z, axis=1)
    return g("ArgMax", p, axis=1, keepdims=0), p


ENDS = {  # the end of a net -> (its units, end, what each output is of minnet's logits and probabilities)
    "softmax": (3, lambda g, z: g("Softmax", z), ["p"]),
    "log softmax": (3, lambda g, z: g("LogSoftmax", z), ["log p"]),
    "class numbers": (3, lambda g, z: g("ArgMax", z, axis=1), ["class"]),
    "class of probabilities": (3, lambda g, z: g("Cast", g("ArgMax", g("Softmax", z), axis=-1), to=1), ["class"]),
    "one probability": (1, lambda g, z: g("Sigmoid", z), ["last"]),
    "one probability, squeezed": (1, lambda g, z: g("Squeeze", g("Sigmoid", z), g.ints(1)), ["last"]),
    "one probability after a norm": (1, lambda g, z: g("Sigmoid", g.norm(z, 1)), ["last"]),
    "one probability that is a mean": (1, lambda g, z: g("Sigmoid", g("Tanh", z)), ["last"]),
    "one class": (1, lambda g, z: g("Cast", g("Greater", g("Sigmoid", z), g.const(np.float32(0.5))), to=1), ["above"]),
    "two columns": (1, columns, ["p"]),
    "two columns and class": (1, lambda g, z: (c := columns(g, z), g("ArgMax", c, axis=1)), ["p", "class"]),
    "labels": (3, lambda g, z: g("Sigmoid", z), ["p"]),
    "labels after a cast": (3, lambda g, z: g("Sigmoid", g("Cast", g("Cast", z, to=1), to=1)), ["p"]),
    "logits and probabilities": (3, lambda g, z: both(g, z, "Softmax", axis=1), ["z", "p"]),
    "logits and labels": (3, lambda g, z: both(g, z, "Sigmoid"), ["z", "p"]),
    "logits and class": (3, lambda g, z: both(g, z, "ArgMax", axis=1), ["z", "class"]),
    "class and probabilities": (3, sure, ["class", "p"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(name, tmp_path):
    units, make, kinds = ENDS[name]
    g = Graph((4,), producer="pytorch")
    ends = make(g, g.gemm(g("Relu", g.gemm("x", 4, 5)), 5, units))
    ends = ends if isinstance(ends, tuple) else (ends,)
    model = loaded(untyped(g.model(*ends)), tmp_path)
    X = (2 * g.rng.normal(size=(7, 4))).astype(np.float32)
    z = model(X)
    p = probabilities(z, model.signature and model.signature.task)
    assert (model.signature is not None and model.signature.task == "multilabel") == ("labels" in name)
    ours = {"z": z, "p": p, "log p": np.log(p), "class": z.argmax(1), "last": p[:, -1], "above": z.argmax(1)}
    session = onnxruntime.InferenceSession(untyped(g.model(*ends)), providers=["CPUExecutionProvider"])
    for kind, theirs in zip(kinds, session.run(None, {"x": X}), strict=True):
        np.testing.assert_allclose(ours[kind].ravel(), theirs.ravel(), rtol=0, atol=2e-6)


def untyped(proto):
    """The file, without the types of its outputs, of which some are whole numbers."""
    for value in proto.graph.output:
        value.ClearField("type")
    return onnx.shape_inference.infer_shapes(proto).SerializeToString()


def test_one_probability_is_evaluated_and_pruned(tmp_path):
    """A binary net of others: labels 0 and 1, probabilities of both, pruned and compacted."""
    g = Graph((4,))
    data = g.bytes(g("Sigmoid", g.gemm(g("Relu", g.gemm("x", 4, 8)), 8, 1)))
    model = loaded(data, tmp_path)
    X = g.rng.normal(size=(40, 4)).astype(np.float32)
    y = model(X).argmax(1)
    assert mn.evaluate(model, (X, y)).accuracy == 1
    mn.prune(model, 0.5, structure="neuron", data=(X, y))
    assert mn.compact(model).n_weights == (4 + 2) * 4


def test_a_sigmoid_may_stay(tmp_path):
    """Where outputs are numbers between 0 and 1, and in minnet's own files."""
    g = Graph((4,))
    (tmp_path / "net.onnx").write_bytes(g.bytes(g("Sigmoid", g.gemm("x", 4, 1))))
    kept = load_onnx(tmp_path / "net.onnx", logits=False)
    assert kept.output_shape == (1,) and isinstance(kept.tree.layers[-1], mn.Sigmoid)
    mn.save_onnx(kept, tmp_path / "own.onnx")
    assert isinstance(load_onnx(tmp_path / "own.onnx").tree.layers[-1], mn.Sigmoid)


@pytest.mark.parametrize("op", WAYS_OUT)
def test_a_refused_operator_is_named_with_its_node_and_a_way_out(op, tmp_path):
    g = Graph((4,))
    with pytest.raises(FileError) as caught:
        loaded(g.bytes(g.gemm(g(op, g.gemm("x", 4, 3)), 3, 2)), tmp_path)
    told = str(caught.value)
    assert f"{op} (node_{op.lower()}_1)" in told and WAYS_OUT[op] in told
    assert op in STEPS or f"minnet has no {op} " in told


@pytest.mark.parametrize(("make", "words"), [
    (lambda g, z: both(g, z, "Relu"), "outputs gemm_0, relu_1, which do not differ by a Softmax.*extract_model"),
    (lambda g, z: (z, *both(g, z, "Relu"), g("Tanh", z), g("Identity", z)), "5 outputs .x, gemm_0.*extract_model"),
    (lambda g, z: (g("Relu", columns(g, z)),), "3 outputs: the last layer must have one"),
])
def test_what_stays_refused(make, words, tmp_path):
    g = Graph((4,))
    ends = make(g, g.gemm("x", 4, 3))
    with pytest.raises(FileError, match=words):
        loaded(g.bytes(*ends), tmp_path)
