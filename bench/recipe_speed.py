"""One epoch of recipes that are sparse all the way, changes of the topology included, against one of the dense net.

    pip install sparselab==0.2.2      # for the rows against it

All train LeNet-300-100 on MNIST in batches of 60 by SGD with momentum and one thread, in turns. `rigl` and `granet`
change the topology every 100 steps, the others once an epoch: with --quick an epoch is a tenth, and a change weighs ten
times as much. `granet` and `chtss` are measured at their final density, and then over a whole run. SET and RigL of
sparselab have two of its SparseLinear layers, and change the topology as often as ours.
"""
import importlib.util
import sys
from functools import partial

import numpy as np

from bench.measure import compare, seconds, turns, using
from bench.training import EPOCH_ROWS, QUICK_ROWS, images_of

BATCH, EVERY = 60, 100
BARS = {0.95: 0.25, 0.98: 0.2}  # of a dense epoch, at most
RECIPES = ("static", "set", "rigl", "mest", "snfs", "chts", "granet", "chtss")
FREE, SNFS, RUN = ("static",), 0.7, 10  # recipes without a bar; that of snfs; epochs of a whole run
NOTE = "a dense step takes little over a millisecond, so each change has the time of a few of them"


def ours(name, X, y, sparsity, epochs=10**6):
    """The steps of a recipe, or with the name "dense" of plain training; at its final density if it has all epochs."""
    import minnet as mn

    model = mn.models.lenet_300_100(X.shape[1:], 10, rng=0)
    train = partial(mn.train, optimizer=mn.SGD(lr=0.01, momentum=0.9), batch_size=BATCH)
    if name == "dense":
        return train(model, (X, y), epochs=epochs, rng=0)
    if name in ("rigl", "granet"):
        train = partial(train, every=EVERY)
    more = {}
    if epochs > RUN:
        more = {"initial": sparsity} if name == "chtss" else {}
        if name == "granet":
            mn.prune(model, sparsity, criterion="random", distribution="erk", rng=0)
    return mn.recipes.RECIPES[name](model, (X, y), sparsity, epochs=epochs, train=train, rng=0, **more)


def epoch(steps):
    """A function that trains up to the end of the epoch."""
    def run():
        while next(steps).batch:
            pass
    return run


def sparselab(name, X, y, sparsity):
    """The same in sparselab: a function that trains one more epoch."""
    import sparselab as lab
    import torch
    from torch import nn

    layers = [lab.SparseLinear(784, 300, sparsity=sparsity), lab.SparseLinear(300, 100, sparsity=sparsity)]
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), nn.Linear(100, 10))
    every = EVERY if name == "RigL" else -(-len(X) // BATCH)
    change = getattr(lab, name)(sparsity=sparsity, drop_fraction=0.3, update_freq=every, seed=0)
    for layer in layers:
        layer.apply(change)
    optimizer, loss = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9), nn.CrossEntropyLoss()
    data, labels = torch.from_numpy(X.reshape(len(X), -1).copy()), torch.from_numpy(y.astype(np.int64))

    def run():
        torch.set_num_threads(1)
        for rows in torch.randperm(len(data)).split(BATCH):
            optimizer.zero_grad()
            loss(net(data[rows]), labels[rows]).backward()
            optimizer.step()
            change.step()
    return run


def bar_of(name, sparsity):
    """The most that an epoch may take, in dense epochs; None where nothing is asked."""
    return None if name in FREE else SNFS if name == "snfs" else BARS[sparsity]


def measure(quick=False):
    """Results of each recipe at each sparsity; prints that sparselab is missing where it is."""
    results, rounds, rows = [], 1 if quick else 5, QUICK_ROWS if quick else EPOCH_ROWS
    X, y = (numbers[:rows] for numbers in images_of("mnist"))
    peers = ("SET", "RigL") if importlib.util.find_spec("sparselab") else ()
    if not peers:
        print("sparselab is not installed, so there are no rows against it: pip install sparselab==0.2.2",
              file=sys.stderr)
    with using(1):
        for sparsity in BARS:
            runs = {name: epoch(ours(name, X, y, sparsity)) for name in ("dense", *RECIPES)}
            runs |= {name: sparselab(name, X, y, sparsity) for name in peers}
            times = turns(runs, rounds)
            work = f"{{}}, lenet_300_100 epoch, batch {BATCH}, {sparsity:.0%} sparse, 1 thread"
            for name in RECIPES:
                bar = bar_of(name, sparsity)
                results.append(compare(work.format(name), "own dense", times[name], times["dense"],
                                       None if bar is None else 1 / bar, note=NOTE))
            results += [compare(work.format(name.lower()), f"sparselab {name}", times[name.lower()], times[name], 5.0)
                        for name in peers]
            for name in ("granet", "chtss"):
                whole = seconds(lambda: list(ours(name, X, y, sparsity, RUN)))  # noqa: B023 - called at once
                results.append(compare(f"{name}, a run of {RUN} epochs, {sparsity:.0%} sparse, 1 thread", "own dense",
                                       [whole], [RUN * float(np.median(times["dense"]))]))
    return results
