#!/usr/bin/env bash
# PyTorch 2.13.0: AvgPool2d(divisor_override=) is exported to ONNX without its divisor, by both exporters, silently.
#
# ONNX's AveragePool divides by the pixels of the window; it has no other divisor. AvgPool2d(2, divisor_override=3) is
# written as AveragePool over 2 x 2 pixels, and nothing is said: the file's outputs are 3/4 of the module's. A sum over
# windows (divisor_override=1) becomes a mean likewise.
#
# Seen, of divisors 1 and 3, with dynamo=False and True: one AveragePool, outputs in the ratio 0.25 and 0.75.
# The way out: AvgPool2d(2) times 4 / divisor, in the module itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

torch.manual_seed(0)
x = torch.rand(1, 2, 6, 6) + 1
for newer in (False, True):
    for divisor in (1, 3):
        net = torch.nn.AvgPool2d(2, divisor_override=divisor).eval()
        with warnings.catch_warnings(record=True) as said, contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            torch.onnx.export(net, (x,), "net.onnx", dynamo=newer, input_names=["x"])
        operators = [node.op_type for node in onnx.load("net.onnx").graph.node]
        session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
        ratio = session.run(None, {"x": x.numpy()})[0] / net(x).numpy()
        told = [str(one.message) for one in said if "divisor" in str(one.message)]
        print(f"dynamo={newer}, divisor {divisor}: {operators}, outputs {ratio.min():.4f} to {ratio.max():.4f} of "
              f"PyTorch's, told: {told}")
        assert operators == ["AveragePool"] and not told, "this has changed"
        assert np.allclose(ratio, divisor / 4), "this has changed"
PYTHON
