#!/usr/bin/env bash
# PyTorch 2.13.0 on a CPU: GroupNorm of a channels_last tensor is off by 0.01, that of a contiguous one by 1e-6.
#
# A float32 tensor of mean 50 and standard deviation 1, 2 x 8 x 300 x 300; wanted is what float64 gives. The memory
# format is meant to change the speed and not the values, and does so at mean 0. At mean 50 the standard deviation that
# the layer divides by is off, by up to 0.3 % in two groups and 1.9 % in eight: for this format the code takes the mean
# of the squares less the square of the mean, from float32 sums. Nothing is said. A net that was checked on contiguous
# images may be run on channels_last ones.
#
# Seen, largest error of an output, contiguous and channels_last: mean 0, 4.1e-07 and 3.6e-05; mean 50, 1.4e-06 and
# 1.3e-02; with eight groups, 5.3e-06 and 8.6e-02. The same with one thread and two.
# The way out: x.contiguous() before the layer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn


def errors(mean, groups):
    """The largest error of an output by the memory format of the input."""
    torch.manual_seed(0)
    x = torch.randn(2, 8, 300, 300) + mean
    wanted = nn.GroupNorm(groups, 8).double()(x.double())
    net = nn.GroupNorm(groups, 8)
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    with torch.no_grad():
        return {name: (net(x.to(memory_format=form)) - wanted).abs().max().item() for name, form in formats.items()}


for mean, groups in ((0, 2), (50, 2), (50, 8)):
    found = errors(mean, groups)
    print(f"mean {mean}, {groups} groups: " + ", ".join(f"{name} {error:.1e}" for name, error in found.items()))
    assert found["contiguous"] < 1e-4 and (found["channels_last"] > 2e-3) == (mean == 50), "this has changed"
PYTHON
