#!/usr/bin/env bash
# torch 2.13.0: a pruned MultiheadAttention keeps its old output projection when a state is loaded into it.
#
# `torch.nn.utils.prune` keeps `weight_orig` and `weight_mask`, and multiplies them to `weight` in a hook before each
# forward pass of the pruned module. `MultiheadAttention` reads `out_proj.weight` but never calls `out_proj`, so this
# hook never runs: the product made when the layer was pruned is used for ever. `load_state_dict` says that all keys
# matched, `state_dict` is that of the other net, and the outputs are another net's; with `nn.Linear` they are right.
# There is no error in evaluation (a second step of training has one, about the graph).
#
# Seen: the same state, outputs that differ by 0.8; after `prune.remove`, which multiplies anew, they are equal.
# The way out: `prune.remove` after loading, or `torch.nn.utils.parametrize`, which keeps no such product.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.nn.utils import prune

x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))


class Attention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x)[0]


def pruned(make, part, seed):
    torch.manual_seed(seed)
    net = make()
    prune.l1_unstructured(part(net), "weight", amount=0.5)
    return net.eval()


def differences(make, part):
    """How much two nets with the same state differ: as loaded, and after prune.remove."""
    first, second = (pruned(make, part, seed) for seed in (0, 1))
    assert "All keys matched" in str(second.load_state_dict(first.state_dict()))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    found = []
    for act in (lambda net: None, lambda net: prune.remove(part(net), "weight")):
        for net in (first, second):
            act(net)
        with torch.no_grad():
            found.append((first(x) - second(x)).abs().max().item())
    return found


linear = differences(lambda: nn.Linear(8, 8), lambda net: net)
attention = differences(lambda: Attention(8, 2, batch_first=True), lambda net: net.out_proj)
print("largest difference as loaded, after remove: Linear", linear, "MultiheadAttention", attention)
assert linear == [0, 0] and attention[0] > 0.1 and attention[1] == 0, "this has changed"
PYTHON
