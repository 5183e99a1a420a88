#!/usr/bin/env bash
# onnxslim 0.1.98: a scale along an image's width is folded into a convolution as if it were one of channels.
#
# In ONNX, shapes are broadcast from the last axis on, as in NumPy: what Conv gives has the shape (n, channels, height,
# width), so Mul by a vector (k,) scales its columns, and Mul by (k, 1, 1) its channels. `onnxslim.slim` drops the Mul and
# multiplies the filters by the scale in both cases. Where width and channels are equal in number, which feature maps of
# late layers often are, this passes unnoticed: the file is valid, smaller, and answers something else.
#
# Seen: Conv, Mul became Conv in both; by (4, 1, 1) with the same outputs, by (4,) with others, off by up to 44.
# (ONNX Runtime 1.32.0; onnx's reference implementation agrees with it about the file that was given.)
# The way out: `skip_fusion_patterns=["FusionConvMul"]`, or compare the outputs of both files before the new one is used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxslim==0.1.98 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

random = np.random.default_rng(0)
X = random.normal(size=(2, 3, 6, 6)).astype(np.float32)
filters = random.normal(size=(4, 3, 3, 3)).astype(np.float32)
scale = np.array([1, 2, 3, 4], np.float32)


def net(scale):
    nodes = [helper.make_node("Conv", ["x", "W"], ["h"]), helper.make_node("Mul", ["h", "scale"], ["y"])]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 6, 6])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 4, 4])],
                              [numpy_helper.from_array(filters, "W"), numpy_helper.from_array(scale, "scale")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def outputs(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


def change(scale, **options):
    """The largest change of an output, and the operators of the new file."""
    given = net(scale)
    before = outputs(given)
    np.testing.assert_allclose(ReferenceEvaluator(given).run(None, {"x": X})[0], before, rtol=1e-4, atol=1e-4)
    made = onnxslim.slim(net(scale), **options)
    onnx.checker.check_model(made, full_check=True)
    return float(abs(outputs(made) - before).max()), [node.op_type for node in made.graph.node]


channels, width = change(scale.reshape(4, 1, 1)), change(scale)
kept = change(scale, skip_fusion_patterns=["FusionConvMul"])
print(f"(4, 1, 1): {channels}; (4,): {width}; (4,) without the fusion: {kept}")
assert channels[0] < 1e-4 and channels[1] == width[1] == ["Conv"] and width[0] > 4, "this has changed"
assert kept[0] < 1e-4 and kept[1] == ["Conv", "Mul"], "the way out has changed"
PYTHON
