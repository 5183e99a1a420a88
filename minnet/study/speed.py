"""How fast this machine runs a net, dense and pruned, and how fast others do: random weights and images, no training.

    machine_speed(models.lenet_300_100((28, 28, 1), 10, rng=0), [0.9, 0.98], rng=0)["nets"]
"""
import numpy as np

from minnet import threads
from minnet.engine.rng import as_rng
from minnet.pruning.compact import compact
from minnet.pruning.prune import prune
from minnet.study.measure import batch_for
from minnet.study.peers import PEERS, against_peers
from minnet.study.result import machine, plain

ROWS = 1024
LIT = 0.2  # the share of pixels of a picture of a digit that are not 0


def machine_speed(model, sparsities, rng=None):
    """{"threads", "machine", "nets"}: name, sparsity, latency_us and throughput_per_s of `model` as it is, and pruned
    by magnitude to each of `sparsities`, compacted; all frozen and timed in turns on images that are mostly dark.
    Beside each net stand its "peers" (see peers.py), and at the end the names of those that are "absent"."""
    rng = as_rng(rng)
    nets = {"dense": model} | {f"{sparsity:.1%} pruned": _pruned(model, sparsity, rng) for sparsity in sparsities}
    X = np.where(rng.random((ROWS, *model.input_shape)) < LIT, rng.random((ROWS, *model.input_shape)), 0)
    X = X.astype(model.dtype)
    figures = against_peers(nets, X, batch_for(nets.values()))
    found = [{"name": name, "sparsity": sparsity, **figures[name]}
             for name, sparsity in zip(nets, [0.0, *sparsities], strict=True)]
    absent = sorted(set(PEERS) - {row["peer"] for net in found for row in net["peers"]})
    return plain({"threads": threads.n_threads(), "machine": machine(), "nets": found, "absent": absent})


def _pruned(model, sparsity, rng):
    """A smaller copy that lost its smallest weights."""
    copy = model.clone()
    prune(copy, sparsity, rng=rng)
    return compact(copy)
