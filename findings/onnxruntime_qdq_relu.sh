#!/usr/bin/env bash
# ONNX Runtime 1.32.0: quantize_static removes Relu nodes; QuantizeLinear, which saturates, is all that does their work.
#
# In the QDQ form, its default, the range of the values behind a Relu begins at 0, so the smallest integer is 0.0 and
# QuantizeLinear cuts off what is negative. The node is then taken out, without a word, for int8 and uint8 alike. The
# file answers as it should. But its pairs of QuantizeLinear and DequantizeLinear are no longer only a rounding: whoever
# drops them, to get a net of floats back, or to prune or count it, has two MatMul with nothing between, a linear net.
#
# Seen, a net of MatMul, Relu, MatMul: 1 Relu before, 0 after; largest error over the largest output 0.014 as it is, and
# 1.0 with the pairs of activations dropped. The way out: extra_options={"QDQKeepRemovableActivations": True} keeps the
# Relu, and the error with the pairs dropped is 0.011; or read the saturation as a Clip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)     # that the net was not prepared
onnxruntime.set_default_logger_severity(4)
rng = np.random.default_rng(0)
X = rng.normal(size=(64, 4)).astype(np.float32)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"x": X}])

    def get_next(self):
        return next(self.left, None)


def net():
    """MatMul, Relu, MatMul on a row of four."""
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["z"]), helper.make_node("Relu", ["z"], ["r"]),
             helper.make_node("MatMul", ["r", "w1"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", k]) for name, k in (("x", 4), ("y", 3)))
    given = [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
             for name, shape in (("w0", (4, 16)), ("w1", (16, 3)))]
    return helper.make_model(helper.make_graph(nodes, "net", [x], [y], given),
                             opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


def relus(model):
    return sum(node.op_type == "Relu" for node in model.graph.node)


def without_pairs(model):
    """Let the activations pass; weights stay what their DequantizeLinear makes of them."""
    weights = {weight.name for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in weights:
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], node.output))
    return model


onnx.save(net(), "float.onnx")
wanted = run(onnx.load("float.onnx"))
for kind in (QuantType.QInt8, QuantType.QUInt8):
    for keep in (False, True):
        quantize_static("float.onnx", "quantised.onnx", Reader(), quant_format=QuantFormat.QDQ, activation_type=kind,
                        extra_options={"QDQKeepRemovableActivations": keep})
        found = onnx.load("quantised.onnx")
        kept, outputs = relus(found), (run(found), run(without_pairs(found)))
        whole, dropped = (np.abs(output - wanted).max() / np.abs(wanted).max() for output in outputs)
        print(f"{kind.name}, keep {keep}: Relu {relus(onnx.load('float.onnx'))} before, {kept} after; "
              f"error {whole:.1e}, with pairs dropped {dropped:.1e}")
        assert kept == keep and whole < 0.1 and (dropped < 0.1 if keep else dropped > 0.3), "this has changed"
PYTHON
