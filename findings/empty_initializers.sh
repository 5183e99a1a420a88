#!/usr/bin/env bash
# OpenVINO 2026.4.1 and OpenCV 5.0.0: an ONNX array of no elements, shape (0,), is read as a single number.
#
# A net may scatter k values into zeros, and k may be 0 (a layer that was pruned away, in a file that stores live weights
# only). ScatterElements then has indices and values of shape (0,), which ONNX's checker, full shape inference and its
# reference accept. Both runtimes lose the shape of such an initializer and refuse the net, since the indices have rank
# 0 and the data rank 1; ONNX Runtime 1.32.0 runs it.
#
# Seen: OpenVINO "Indices rank and data rank are required to be equal. Got: 0 and: 1"; OpenCV an error in
# scatter_layer.cpp. The way out: write the zeros without the scatter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 \
    opencv-python-headless==5.0.0.93
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from openvino import Core


def net(live):
    """Y = X W for a W (4, 3) of zeros and `live` ones."""
    zero = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["zeros"], value=zero),
             helper.make_node("ScatterElements", ["zeros", "places", "values"], ["flat"], axis=0),
             helper.make_node("Reshape", ["flat", "shape"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    given = {"size": np.array([12]), "places": np.arange(live, dtype=np.int32), "shape": np.array([4, 3]),
             "values": np.ones(live, np.float32)}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, n]) for name, n in (("x", 4), ("y", 3)))
    graph = helper.make_graph(nodes, "net", [x], [y], [numpy_helper.from_array(a, name) for name, a in given.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "net.onnx")


X = np.ones((2, 4), np.float32)


def by_onnxruntime():
    return onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]


def by_openvino():
    core = Core()
    return core.compile_model(core.read_model("net.onnx"), "CPU")([X])[0]


def by_opencv():
    found = cv2.dnn.readNetFromONNX("net.onnx")
    found.setInput(X)
    return found.forward()


for live in (2, 0):
    net(live)
    for run in (by_onnxruntime, by_openvino, by_opencv):
        try:
            outcome = float(run().sum())
        except Exception as error:
            outcome = next(line for line in str(error).splitlines() if "rank" in line or "scatter" in line)
        print(f"{live} live, {run.__name__}: {outcome}")
        refused = live == 0 and run is not by_onnxruntime
        assert isinstance(outcome, str) == refused, "this has changed"
PYTHON
