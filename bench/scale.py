"""Nets too large to be dense, born sparse and evolving (SET): steps, changes of the topology, and how both grow.

Peers: SciPy with a compiled loop (scipy_set.py says how that was set), one thread, which is all it can use; PyTorch,
dense, with the form of the optimizer and the number of threads (1 or 2) that are the fastest, tensors in memory and no
DataLoader; where MINNET_SET_CODE names the folder that set_worker.py describes, the code of SET's authors, in an
environment of packages that it works with. All take the same rows in the same batches with the same optimizer, and are
warmed up by one epoch and one change. A change is timed with the step after it, where minnet takes the new places over.
The largest nets run in processes of their own, which tell their peak of memory.

As a limit stand the floating-point operations of the three passes (forward, the weights' gradients, the inputs'), and
what a change has to read and write: weights, momenta and places.
"""
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.measure import Result, compare, plural, turns, using
from bench.peers import NEEDS, Worker, environment
from bench.scale_worker import BATCH, ROWS, Evolving, rows_of, widths_of
from bench.scipy_set import ScipySet
from bench.training import fastest_torch, images_of, torch_steps

ZETA, LR, MOMENTUM = 0.3, 0.01, 0.9
FASHION, FASHION_EPSILON, FASHION_BATCH = (784, 1000, 1000, 1000, 10), 20, 40
FEWER = 12_000                             # rows for what takes a peer long: the same for all
EPOCH_TARGET, CHANGE_TARGET = 2.0, 0.05    # seconds, on Fashion-MNIST
STEPS_TARGET, CHANGES_TARGET = 6.0, 30.0   # times the speed of the authors' code, at 30,000 units a layer
LARGE, LARGE_EPSILON = 30_000, 10
AUTHORS, SET_CODE = "the authors' code", "MINNET_SET_CODE"
AUTHORS_PACKAGES = ("numpy<2", "scipy==1.10.1", "cython<4", "setuptools")  # newer SciPy shares what their loop writes
DECADES = (60, 600, 6_000, 60_000, 600_000)  # units a layer: 36 thousand to 33 million weights
LARGEST_TARGET, MEMORY_TARGET = 30.0, 8e9  # seconds an epoch of the largest, and bytes
BYTES = 12  # of a weight, its momentum and its place
NOTE = ("each live weight reads and writes places of its own: caches and memory bound a step, not multiply-adds; a "
        "change sorts and moves what all weights have")


def flops(weights, rows):
    """What so many rows cost, in words."""
    return f"{6 * weights * rows / 1e9:.3g} GFLOP"


def moved(weights):
    """What a change costs, in words."""
    return f"{2 * BYTES * weights / 1e6:.3g} MB read and written"


def torch_epoch(X, y, make, threads):
    """A function that trains the dense net of those widths for one more epoch in PyTorch."""
    import torch
    from torch import nn

    layers = [layer for ins, outs in pairwise(FASHION) for layer in (nn.Linear(ins, outs), nn.ReLU())]
    net = nn.Sequential(*layers[:-1])
    return torch_steps(net, torch.from_numpy(X.copy()), y, make(net.parameters()), FASHION_BATCH, threads)


def within(work, times, most, limit):
    """The Result of times that are to be at most `most` seconds."""
    return compare(work, f"the target, {most:g} s", times, [most] * len(times), 1.0, limit, NOTE)


def on_fashion(quick):
    """784-1000-1000-1000-10 on Fashion-MNIST: epochs, changes."""
    X, y = images_of("fashion-mnist")
    X, y = (X.reshape(len(X), -1)[:FEWER], y[:FEWER]) if quick else (X.reshape(len(X), -1), y)
    name, rounds, results = "SET 784-1000^3-10, eps 20, batch 40", 3 if quick else 5, []
    for threads in (1, 2):
        with using(threads):
            ours = Evolving(FASHION, FASHION_EPSILON, LR, X, y, FASHION_BATCH, every="epoch")
            times = turns({"minnet": ours.go_on}, rounds)["minnet"]
        results.append(within(f"{name}, epoch of {len(X):,}, {threads} thread(s)", times, EPOCH_TARGET,
                              flops(ours.model.n_weights, len(X))))
    with using(1):
        return results + beside_peers(name, X[:FEWER], y[:FEWER], rounds)


def beside_peers(name, X, y, rounds):
    """Epochs and changes of the same net, against peers."""
    from torch.optim import SGD

    ours = Evolving(FASHION, FASHION_EPSILON, LR, X, y, FASHION_BATCH, every="epoch")
    peer = ScipySet(FASHION, FASHION_EPSILON, LR, MOMENTUM, 0)
    threads, dense = fastest_torch(torch_epoch, X, y, partial(SGD, lr=LR, momentum=MOMENTUM), (1, 2))
    peers = {"SciPy + loop": partial(peer.epoch, X, y, FASHION_BATCH), f"PyTorch, dense, {plural(threads)}": dense}
    times = turns({"minnet": ours.go_on, **peers}, rounds)
    work, limit = f"{name}, epoch of {len(X):,}, 1 thread", flops(ours.model.n_weights, len(X))
    results = [compare(work, other, times["minnet"], times[other], None, limit) for other in peers]
    peers = {"SciPy + loop": partial(peer.change_and_step, ZETA, X[:FASHION_BATCH], y[:FASHION_BATCH])}
    return results + changes(f"{name}, a change and a step, 1 thread(s)", ours, peers, rounds, CHANGE_TARGET)


def changes(work, ours, peers, rounds, most=None):
    """Results of a change of the topology with the step after it, against peers and against `most` seconds."""
    ours.pace("batch")
    times, limit = turns({"minnet": ours.change_and_step, **peers}, rounds + 2), moved(ours.model.n_weights)
    results = [compare(work, who, times["minnet"], times[who], CHANGES_TARGET if who == AUTHORS else None, limit, NOTE)
               for who in peers]
    return results if most is None else [*results, within(work, times["minnet"], most, limit)]


def at_30_000(quick):
    """3312-30000-30000-30000-5, 1.7 million weights, batch 2: steps, changes."""
    (X, y), widths, rounds, results = rows_of(), widths_of(LARGE), 3 if quick else 7, []
    name, lr = f"SET 3312-{LARGE}^3-5, eps {LARGE_EPSILON}, batch {BATCH}", LR * 10 / LARGE
    peer = ScipySet(widths, LARGE_EPSILON, lr, MOMENTUM, 0)
    with authors(X, y, widths, lr) as asked:
        epochs = {"SciPy + loop": partial(peer.epoch, X, y, BATCH)}
        moves = {"SciPy + loop": partial(peer.change_and_step, ZETA, X[:BATCH], y[:BATCH])}
        for who, ask in asked.items():
            epochs[who], moves[who] = partial(ask, "epoch"), partial(ask, "change")
        for threads in (1, 2):
            with using(threads):
                ours = Evolving(widths, LARGE_EPSILON, lr, X, y, BATCH, every="epoch")
                times = turns({"minnet": ours.go_on, **epochs}, rounds)
                times = {who: [t / (ROWS // BATCH) for t in taken] for who, taken in times.items()}
                work = f"{name}, a step, {threads} thread(s)"
                limit = flops(ours.model.n_weights, BATCH)
                results += [compare(work, who, times["minnet"], times[who], STEPS_TARGET if who == AUTHORS else None,
                                    limit, NOTE) for who in epochs]
                work = f"{name}, a change and a step, {threads} thread(s)"
                results += changes(work, ours, moves, rounds)
    return results


@contextmanager
def authors(X, y, widths, lr):
    """{name: what asks a process with the code of SET's authors}; empty where that cannot be had."""
    folder = os.environ.get(SET_CODE)
    python = environment("set-authors", AUTHORS_PACKAGES) if folder else None
    if python is None:
        print(f"{AUTHORS} is not available: it needs {NEEDS}, and {SET_CODE} (see set_worker.py)", flush=True)
        yield {}
        return
    with tempfile.TemporaryDirectory() as room:
        rows = Path(room) / "rows.npz"
        np.savez(rows, X=X, y=y, widths=widths)
        peer = Worker(python, "set_worker.py", folder, rows, LARGE_EPSILON, BATCH, lr)
        yield {AUTHORS: peer.ask}
        peer.stop()


def worker(units, threads):
    """What scale_worker.py found in a process of its own."""
    environment = os.environ | {"MINNET_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-m", "bench.scale_worker", str(units)], env=environment, check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def growth(quick):
    """Epochs, changes and memory from 36 thousand to 33 million weights, and the lines through them."""
    sizes = DECADES[:-2] if quick else DECADES
    found = [worker(units, 1) for units in sizes]
    largest = found[-1]
    name = f"SET 3312-{sizes[-1]:,}^3-5, eps 10, {largest['weights']:,} weights"
    peak = f"peak {largest['peak'] / 1e9:.2f} GB of {MEMORY_TARGET / 1e9:g}"
    results = [within(f"{name}, epoch of {ROWS // BATCH} steps, 1 thread", largest["epochs"], LARGEST_TARGET, peak)]
    if not quick:
        two = worker(sizes[-1], 2)
        results.append(within(f"{name}, epoch of {ROWS // BATCH} steps, 2 threads", two["epochs"], LARGEST_TARGET,
                              f"peak {two['peak'] / 1e9:.2f} GB"))
    weights = np.array([one["weights"] for one in found], float)
    for what, name in (("an epoch", "epochs"), ("a change and a step", "changes")):
        work = f"{what}, {weights[0]:,.0f} to {weights[-1]:,.0f} weights"
        results.append(grown(work, weights, np.array([min(one[name]) for one in found])))
    memory = np.array([one["peak"] - one["before"] for one in found], float)
    limit = f"memory: {line(weights, memory, 'bytes')[0]}"
    return [*results[:-2], replace(results[-2], limit=limit), replace(results[-1], limit=moved(largest["weights"]))]


def grown(work, weights, seconds):
    """The Result of how time grows with weights: the largest net's beside what the line through all says of it."""
    text, fitted = line(weights, seconds, "s")
    ratio = float(fitted[-1] / seconds[-1])
    return Result(work, f"the line {text}", float(seconds[-1]), float(fitted[-1]), ratio, ratio, ratio)


def line(x, y, unit):
    """(in words, its values at x): the line a + b x through y by least squares of the relative errors, so that every
    decade counts alike; with R² of y and of its logarithm, and the exponent of the power law between."""
    slope, start = np.polyfit(x, y, 1, w=1 / y)
    fitted = start + slope * x
    r2 = [1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum()
          for a, b in ((y, fitted), (np.log(y), np.log(np.maximum(fitted, y.min() / 10))))]
    exponent = np.polyfit(np.log(x), np.log(y), 1)[0]
    seen = ", ".join(f"{value:.3g}" for value in y)
    return (f"{start:.3g} + {slope:.3g} n {unit} through {seen}; R² {r2[0]:.4f}, of logarithms {r2[1]:.4f}; "
            f"n^{exponent:.2f}"), fitted


def measure(quick=False):
    """Results of all of these."""
    return [*on_fashion(quick), *at_30_000(quick), *growth(quick)]
