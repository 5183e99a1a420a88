#!/usr/bin/env bash
# Keras 3.15.1: a layer with LoRA is merged into its kernel in .keras and .weights.h5, and kept apart in .h5.
#
# After layer.enable_lora(rank) a Dense layer computes x (K + A B). model.save("net.keras") and save_weights write one
# kernel, K + A B. model.save("net.h5") writes K, A and B as three arrays, and the one named kernel is that from before
# the fine-tuning. The same net, saved by the same call, thus has other weights by its file's ending: whoever reads
# kernel and bias from the .h5 file loses all that LoRA learned, and nothing fails. Keras loads both and answers alike.
#
# Seen, a Dense layer of 4 inputs and 3 outputs, rank 1: net.h5 holds bias, kernel, lora_kernel_a, lora_kernel_b, its
# kernel off by 3.4 from the merged one; net.keras and net.weights.h5 hold kernel and bias, off by 0.
# The way out: look for lora_kernel_a and lora_kernel_b beside a kernel, and add their product, times alpha / rank.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q keras==3.15.1 torch==2.13.0 h5py==3.16.0 numpy==2.2.6
cd "$folder"
KERAS_BACKEND=torch "$folder/venv/bin/python" - <<'PYTHON'
import zipfile

import h5py
import keras
import numpy as np


def arrays(name):
    """Every array of a file by the last part of its name."""
    found = {}
    with h5py.File(name) as file:
        file.visititems(lambda path, item: found.update({path.split("/")[-1]: item[()]})
                        if isinstance(item, h5py.Dataset) else None)
    return found


keras.utils.set_random_seed(0)
layer = keras.layers.Dense(3)
net = keras.Sequential([keras.Input((4,)), layer])
layer.enable_lora(1)
layer.lora_kernel_b.assign([[1, 2, 3]])
net.save("net.h5")
net.save("net.keras")
net.save_weights("net.weights.h5")
zipfile.ZipFile("net.keras").extract("model.weights.h5")
X = np.eye(4, dtype=np.float32)
wanted = keras.ops.convert_to_numpy(net(X))     # K + A B, as the bias is 0
parts = ["bias", "kernel", "lora_kernel_a", "lora_kernel_b"]
for name, names, kernel in (("net.h5", parts, "kernel"), ("model.weights.h5", ["0", "1"], "0"),
                            ("net.weights.h5", ["0", "1"], "0")):
    found = arrays(name)
    off = np.abs(found[kernel] - wanted).max()
    print(f"{name}: {sorted(found)}, kernel off by {off:.2g}")
    assert sorted(found) == names and (off > 0.1) == (name == "net.h5"), "this has changed"
    if name == "net.h5":
        off = np.abs(found["kernel"] + found["lora_kernel_a"] @ found["lora_kernel_b"] - wanted).max()
        assert off < 1e-6, "this has changed"
for name in ("net.h5", "net.keras"):
    off = np.abs(keras.ops.convert_to_numpy(keras.saving.load_model(name)(X)) - wanted).max()
    assert off < 1e-6, "this has changed"
PYTHON
