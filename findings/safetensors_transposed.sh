#!/usr/bin/env bash
# safetensors 0.8.0: a transposed NumPy array is saved under its new shape with its numbers in the old order.
#
# `safetensors.numpy.save` writes the memory behind an array as it lies, whatever the strides say. A weight kept as
# (out, in) and saved as `weight.T` comes back as (in, out) with numbers in wrong places; an array in Fortran's order,
# as SciPy's linear algebra returns it, comes back scrambled. There is no error and no warning, and the file is valid.
#
# Seen: both come back different. The way out: np.ascontiguousarray(array) before it is saved, which loses nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

weight = np.arange(6, dtype=np.float32).reshape(2, 3)
arrays = {"plain": weight, "transposed": weight.T, "Fortran's order": np.asfortranarray(weight)}
same = {}
for name, array in arrays.items():
    back = load(save({"weight": array}))["weight"]
    assert back.shape == array.shape
    same[name] = bool((back == array).all())
    assert (load(save({"weight": np.ascontiguousarray(array)}))["weight"] == array).all()
print(", ".join(f"{name}: {'the same' if kept else 'DIFFERENT'}" for name, kept in same.items()))
assert same == {"plain": True, "transposed": False, "Fortran's order": False}, "this has changed"
PYTHON
