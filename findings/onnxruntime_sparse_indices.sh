#!/usr/bin/env bash
# ONNX Runtime 1.32.0: saving a valid net with sparse weights gives a file that is no valid ONNX.
#
# ONNX allows initializers in sparse form, whose indices are INT64. ONNX Runtime reads such a net, and with
# `optimized_model_filepath` (all optimisations off) writes it again; this time the indices have a narrower type that
# holds them: INT16 for a 64 x 64 matrix. `onnx.checker` 1.23.2 accepts the first file and refuses the second, which
# ONNX Runtime itself still reads and runs.
#
# Seen: "Sparse tensor indices () must have INT64 type." The way out: keep the net that ONNX Runtime was given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

weight = np.zeros((64, 64), np.float32)
weight[np.arange(64), (7 * np.arange(64)) % 64] = np.arange(1, 65)
places = np.flatnonzero(weight)
values = helper.make_tensor("W", TensorProto.FLOAT, [len(places)], weight.reshape(-1)[places])
indices = helper.make_tensor("W_indices", TensorProto.INT64, [len(places)], places)
sparse = helper.make_sparse_tensor(values, indices, weight.shape)
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64]) for name in "xy")
graph = helper.make_graph([helper.make_node("MatMul", ["x", "W"], ["y"])], "net", [x], [y], sparse_initializer=[sparse])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "given.onnx")

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
options.optimized_model_filepath = "written.onnx"
onnxruntime.InferenceSession("given.onnx", options, providers=["CPUExecutionProvider"])

written = onnx.load("written.onnx")
kind = TensorProto.DataType.Name(written.graph.sparse_initializer[0].indices.data_type)
X = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
session = onnxruntime.InferenceSession("written.onnx", providers=["CPUExecutionProvider"])
np.testing.assert_allclose(session.run(None, {"x": X})[0], X @ weight, rtol=1e-5)
try:
    onnx.checker.check_model(written)
    verdict = "accepted"
except onnx.checker.ValidationError as error:
    verdict = str(error).splitlines()[0]
print(f"given: INT64, accepted; written: {kind}, {verdict}")
assert kind == "INT16" and "must have INT64 type" in verdict, "this has changed"
PYTHON
