#!/usr/bin/env bash
# onnx 1.23.2: its ReferenceEvaluator and its full check refuse a net with sparse weights that its checker accepts.
#
# A net with a `sparse_initializer` passes `onnx.checker.check_model`, and ONNX Runtime runs it. The
# reference implementation, by which other runtimes are judged, raises while it is built, before any row is given: it
# asks the SparseTensorProto for a field that only a TensorProto has. And `check_model(full_check=True)` refuses the net,
# for shape inference takes a sparse initializer for a number of rank 0.
#
# Seen: ValueError: Protocol message SparseTensorProto has no "data_location" field; and
# InferenceError: ... (op_type:MatMul): [ShapeInferenceError] Input tensors of wrong rank (0).
# The way out: write the weights as a dense initializer, and judge by that.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

X = np.arange(6, dtype=np.float32).reshape(2, 3)
weight = np.array([[0, 2], [0, 0], [5, 0]], np.float32)
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
dense = helper.make_tensor("W", TensorProto.FLOAT, weight.shape, weight.reshape(-1))
values = helper.make_tensor("W", TensorProto.FLOAT, [2], [2.0, 5.0])
indices = helper.make_tensor("W_indices", TensorProto.INT64, [2], [1, 4])
sparse = helper.make_sparse_tensor(values, indices, weight.shape)


def model(**weights):
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "W"], ["y"])], "net", [x], [y], **weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


(found,) = ReferenceEvaluator(model(initializer=[dense])).run(None, {"x": X})
assert (found == X @ weight).all()
try:
    ReferenceEvaluator(model(sparse_initializer=[sparse]))
    seen = "taken"
except ValueError as error:
    seen = str(error)
try:
    onnx.checker.check_model(model(sparse_initializer=[sparse]), full_check=True)
    checked = "accepted"
except onnx.shape_inference.InferenceError as error:
    checked = str(error).strip()
onnx.checker.check_model(model(initializer=[dense]), full_check=True)
print(f"dense: right, accepted; sparse: {seen}; {checked}")
assert "data_location" in seen and "wrong rank (0)" in checked, "this has changed"
PYTHON
