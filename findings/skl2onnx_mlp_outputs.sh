#!/usr/bin/env bash
# skl2onnx 1.20.0: an MLPRegressor of k outputs becomes a graph that answers n rows with n k rows of one number.
#
# scikit-learn predicts an array (n, k), and the graph of a LinearRegression with the same targets gives one too. That of
# an MLPRegressor ends in a reshape to (-1, 1): for 6 rows and 2 outputs 12 rows, those of one input after another, and
# the graph declares one column. Whoever pairs answers with rows by number pairs them wrongly, and nothing complains.
#
# Seen (scikit-learn 1.9.1, ONNX Runtime 1.32.0): (6, 2) became (12, 1). The way out: reshape(-1, k) behind the runtime.
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
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
y = np.c_[X[:, 0], 10 * X[:, 1]]


def shapes(model):
    wanted = model.fit(X, y).predict(X)
    session = onnxruntime.InferenceSession(to_onnx(model, X[:1]).SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    found = session.run(None, {"X": X})[0]
    assert np.allclose(found.reshape(wanted.shape), wanted, atol=1e-4)  # the same numbers in another shape
    print(f"{type(model).__name__}: {wanted.shape} became {found.shape}, declared {session.get_outputs()[0].shape}")
    return found.shape


linear, mlp = shapes(LinearRegression()), shapes(MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0))
assert linear == (6, 2) and mlp == (12, 1), "this has changed"
PYTHON
