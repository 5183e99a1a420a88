#!/usr/bin/env bash
# Keras 3.15.1: model.save("net.h5") writes bfloat16 weights as bytes without a type, and cannot load them again.
#
# HDF5 knows no bfloat16. All three kinds of file hold the weights as opaque bytes, which h5py reads as NumPy's void
# type |V2, but .keras and .weights.h5 give each array the attribute dtype="bfloat16", and .h5 gives it none. Nothing at
# the array tells it from any other two bytes; only the layer's dtype policy, in JSON in the attribute model_config of
# the file, says it. (Arrays of float16 are <f2 in each.) Saving says nothing of it, but loading fails, with PyTorch as
# the backend, the one tried.
#
# Seen, a Dense layer: net.h5 |V2 and {}, net.keras and net.weights.h5 |V2 and {'dtype': 'bfloat16'};
# load_model("net.h5") "Invalid dtype: void16", load_model("net.keras") the same outputs to the last bit.
# The way out: save as .keras; in an .h5 file that is there, take |V2 for bfloat16, the upper half of a float32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q keras==3.15.1 torch==2.13.0 h5py==3.16.0 ml_dtypes==0.6.0 numpy==2.2.6
cd "$folder"
KERAS_BACKEND=torch "$folder/venv/bin/python" - <<'PYTHON'
import zipfile

import h5py
import keras
import numpy as np


def arrays(name):
    """Every array of a file as (its type, its attributes)."""
    found = []
    with h5py.File(name) as file:
        file.visititems(lambda _, item: found.append((item.dtype.str, dict(item.attrs)))
                        if isinstance(item, h5py.Dataset) else None)
    return found


def run(net):
    return keras.ops.convert_to_numpy(keras.ops.cast(net(np.eye(4, dtype=np.float32)), "float32"))


for dtype, stored in (("bfloat16", "|V2"), ("float16", "<f2")):
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=dtype, name="dense")], name="net")
    net.save("net.h5")
    net.save("net.keras")
    net.save_weights("net.weights.h5")
    zipfile.ZipFile("net.keras").extract("model.weights.h5")
    for name in ("net.h5", "model.weights.h5", "net.weights.h5"):
        found = arrays(name)
        print(f"{dtype}, {name}: {found}")
        told = {"dtype": "bfloat16"} if dtype == "bfloat16" and name != "net.h5" else {}
        assert found == [(stored, told)] * 2, "this has changed"
    for name in ("net.h5", "net.keras"):
        try:
            outcome = "same outputs" if (run(keras.saving.load_model(name)) == run(net)).all() else "other outputs"
        except ValueError as error:
            outcome = str(error)
        print(f"{dtype}, load_model {name}: {outcome}")
        lost = dtype == "bfloat16" and name == "net.h5"
        assert outcome == ("Invalid dtype: void16" if lost else "same outputs"), "this has changed"
    if dtype == "bfloat16":
        with h5py.File("net.h5") as file:
            halves = file["model_weights/dense/net/dense/kernel"][()].view(np.uint16)
        assert ((halves.astype(np.uint32) << 16).view(np.float32) == run(net)).all(), "this has changed"
PYTHON
