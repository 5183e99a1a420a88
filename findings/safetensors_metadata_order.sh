#!/usr/bin/env bash
# safetensors 0.8.0: the same tensors with the same metadata are not the same bytes.
#
# `save` writes the entries of `metadata` in the order of a hash map that is seeded anew at every call, even within one
# process. With two or more entries, files of equal content differ, so a digest of a file cannot tell whether a net
# changed, and a build that should be repeatable is not. With one entry the bytes are always the same.
#
# Seen: 1 file of 50 with one entry, more than 1 with six. The way out: one entry that holds JSON with sorted keys.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

tensors = {"weight": np.arange(3, dtype=np.float32)}


def different_files(entries):
    metadata = {f"key{i}": str(i) for i in range(entries)}
    files = {save(tensors, metadata=metadata) for _ in range(50)}
    assert all((load(file)["weight"] == tensors["weight"]).all() for file in files)
    assert len({len(file) for file in files}) == 1  # the same header in another order
    return len(files)


one, six = different_files(1), different_files(6)
print(f"{one} file of 50 with one entry; {six} with six entries")
assert one == 1 and six > 1, "this has changed"
PYTHON
