#!/usr/bin/env bash
# skl2onnx 1.20.0: MLPClassifier's labels above 2**31 - 1 come out as other numbers, LogisticRegression's do not.
#
# Labels are often identifiers, such as 64-bit numbers of customers or species. In the graph that `to_onnx` makes of an
# MLPClassifier, labels pass through a cast to INT32 on their way to the INT64 output and wrap around; there is no
# error or warning. The graph of a LogisticRegression with the same labels is right.
#
# Seen (scikit-learn 1.9.1, ONNX Runtime 1.32.0): labels [1099511627776 1099511627777] come out as [0 1].
# The way out: fit on 0 ... k-1 and keep the labels beside the file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q skl2onnx==1.20.0 scikit-learn==1.9.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
y = 2**40 + (X[:, 0] > 0)


def labels_by_onnx(model):
    model.fit(X, y)
    graph = to_onnx(model, X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"X": X})[0]
    print(f"{type(model).__name__}: {np.unique(model.predict(X))} became {np.unique(found)}")
    return (found == model.predict(X)).mean()


right = labels_by_onnx(LogisticRegression()), labels_by_onnx(MLPClassifier((5,), max_iter=50, random_state=0))
print("fraction of labels that are right:", *right)
assert right == (1, 0), "this has changed"
PYTHON
