"""The speed of a model on this machine, dense and pruned, beside other libraries, with random weights and images.

    machine_speed(models.lenet_300_100((28, 28, 1), 10, rng=0), [0.9, 0.98], rng=0)["nets"]

`minnet bench` prints this.
"""
from collections.abc import Sequence

import numpy as np

from minnet import threads
from minnet.engine.rng import as_rng
from minnet.model import Model
from minnet.pruning.compact import compact
from minnet.pruning.prune import prune
from minnet.study.measure import batch_for
from minnet.study.peers import PEERS, against_peers
from minnet.study.result import machine, plain
from minnet.typing import Seed

ROWS = 1024
LIT = 0.2  # share of nonzero pixels, as in images of digits


def machine_speed(model: Model, sparsities: Sequence[float], rng: Seed = None) -> dict:
    """Return the latency and throughput of `model`, dense and pruned by magnitude to each of `sparsities`.

    The result has the keys "threads", "machine", "nets" and "absent". Each of "nets" has name, sparsity, latency_us,
    throughput_per_s and "peers" (see peers.py); "absent" names the libraries that are not installed. The models are
    compacted, frozen and timed in turns on images that are mostly dark.
    """
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
    """Return a compacted copy without its smallest weights."""
    copy = model.clone()
    prune(copy, sparsity, rng=rng)
    return compact(copy)
