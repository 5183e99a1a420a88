#!/usr/bin/env bash
# torch-pruning 1.6.1: removing a filter removes the wrong inputs of a dense layer behind a permute.
#
# Nets that came from a framework with channels last flatten images as (height, width, channels): in PyTorch,
# `x.permute(0, 2, 3, 1).flatten(1)` before the first Linear. The dependency graph knows that each channel feeds
# height x width inputs of it, and takes them for neighbours, as without the permute. The shapes fit, the group passes
# `check_pruning_group`, nothing is said, and the net answers something else.
#
# Seen: a filter whose weights and bias are all 0 is removed. With channels first the outputs are the same to the last
# bit; with channels last they change by 0.2. The way out: reorder the Linear's columns to channels first, and drop the
# permute, before pruning; and compare a net with a dead filter before and after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch-pruning==1.6.1 torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torch_pruning
from torch import nn

DEAD = [1]


class Net(nn.Module):
    def __init__(self, order):
        super().__init__()
        self.order, self.conv, self.dense = order, nn.Conv2d(3, 4, 3), nn.Linear(16, 5)

    def forward(self, x):
        return self.dense(torch.relu(self.conv(x)).permute(self.order).flatten(1))


def change(order):
    """How much the outputs change when a dead filter is removed."""
    torch.manual_seed(0)
    net, x = Net(order).eval(), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        net.conv.weight[DEAD] = 0
        net.conv.bias[DEAD] = 0
        before = net(x)
    graph = torch_pruning.DependencyGraph().build_dependency(net, example_inputs=x)
    group = graph.get_pruning_group(net.conv, torch_pruning.prune_conv_out_channels, idxs=DEAD)
    assert graph.check_pruning_group(group)
    group.prune()
    with torch.no_grad():
        after = net(x)
    assert net.conv.out_channels == 3 and net.dense.in_features == 12
    return (after - before).abs().max().item()


first, last = change((0, 1, 2, 3)), change((0, 2, 3, 1))
print(f"largest change of an output: channels first {first:.3g}, channels last {last:.3g}")
assert first < 1e-6 and last > 0.1, "this has changed"
PYTHON
