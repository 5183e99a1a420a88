#!/usr/bin/env bash
# PyTorch 2.13.0 and ONNX Runtime 1.32.0: a dilated Conv2d with padding="same" is exported to a net that does not run.
#
# The tracing exporter (dynamo=False) writes Conv2d(padding="same", dilation=2) as Conv with auto_pad SAME_UPPER and
# dilations [2, 2]. ONNX allows it: the checker with full shape inference takes it, and ONNX's reference gives PyTorch's
# outputs. ONNX Runtime makes a session of it without complaint and refuses at the first run. With dilation 1 it runs.
#
# Seen: "Dilation not supported for AutoPadType::SAME_UPPER or AutoPadType::SAME_LOWER.", where the error of the
# reference is 1.8e-07.
# The way out: the same padding in numbers, here padding=2, is written as pads, and runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator

warnings.filterwarnings("ignore")   # that the tracing exporter is deprecated
onnxruntime.set_default_logger_severity(4)
torch.manual_seed(0)
x = torch.randn(1, 1, 9, 9)
for padding, dilation in (("same", 1), (2, 2), ("same", 2)):
    net = torch.nn.Conv2d(1, 2, 3, padding=padding, dilation=dilation).eval()
    wanted = net(x).detach().numpy()
    torch.onnx.export(net, (x,), "net.onnx", dynamo=False, input_names=["x"])
    model = onnx.load("net.onnx")
    onnx.checker.check_model(model, full_check=True)
    told = {a.name: onnx.helper.get_attribute_value(a) for node in model.graph.node for a in node.attribute}
    reference = np.abs(ReferenceEvaluator(model).run(None, {"x": x.numpy()})[0] - wanted).max()
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    try:
        outcome = f"error {np.abs(session.run(None, {'x': x.numpy()})[0] - wanted).max():.1e}"
    except Exception as error:
        outcome = str(error).split(": ")[-1]
    print(f"padding {padding}, dilation {dilation}: auto_pad {told.get('auto_pad')}, dilations {told['dilations']}; "
          f"reference: error {reference:.1e}; ONNX Runtime: {outcome}")
    automatic, refused = told.get("auto_pad") == b"SAME_UPPER", outcome.startswith("Dilation not")
    assert reference < 1e-5 and automatic == (padding == "same"), "this has changed"
    assert refused == ((padding, dilation) == ("same", 2)), "this has changed"
PYTHON
