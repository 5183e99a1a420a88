"""One epoch of training a net of which a mask leaves few weights, against the same net dense.

Both are `minnet.train` with the same data, batch, optimizer and threads; the dense net is the one that has no mask. The
share of live weights is the same in each layer and their places are random, or the mask is that of the largest weights
of the whole net after one epoch.
"""
import numpy as np

from bench.measure import compare, turns, using
from bench.training import EPOCH_ROWS, QUICK_ROWS, images_of

SPARSITIES = (0.9, 0.95, 0.98)
CASES = (  # net, batch, criterion of the mask, how many times faster than dense it has to be at each sparsity
    ("lenet_300_100", 60, "random", (2.0, 1 / 0.3, 5.0)),
    ("lenet_300_100", 128, "random", (2.0, 1 / 0.3, 5.0)),
    ("lenet_300_100", 60, "magnitude", (2.0, 1 / 0.3, 5.0)),
    ("lenet_5", 64, "random", (None, None, None)),
)
NOTE = "what no mask shortens stays: the rows on their way from memory, activations, the loss and each step's calls"


def epoch(X, y, case, sparsity):
    """A function that trains one more epoch, and its multiply-adds for each image: live weights, all passes."""
    import minnet as mn

    name, batch, criterion, _ = case
    model = mn.models.MODELS[name](X.shape[1:], 10, rng=0)
    if criterion == "magnitude":  # it says little about weights that have learned nothing
        list(mn.train(model, (X, y), optimizer=mn.SGD(lr=0.01, momentum=0.9), epochs=1, batch_size=batch, rng=0))
    if sparsity:
        spread = "layerwise" if criterion == "random" else "global"
        mn.prune(model, sparsity, criterion=criterion, distribution=spread, rng=0)
    macs = sum(layer.positions * int(np.count_nonzero(layer.weight.mask)) * (3 if layer.input_needs_grad else 2)
               for layer in model.layers.values() if hasattr(layer, "weight"))
    steps = mn.train(model, (X, y), optimizer=mn.SGD(lr=0.01, momentum=0.9), epochs=10**6, batch_size=batch, rng=0)
    return lambda: next(steps), macs


def measure(quick=False):
    """Results for every case, number of threads and sparsity."""
    results, rounds, rows = [], 3 if quick else 5, QUICK_ROWS if quick else EPOCH_ROWS
    X, y = images_of("mnist")
    for threads in (1, 2):
        with using(threads):
            for case in CASES:
                name, batch, criterion, targets = case
                runs = {sparsity: epoch(X[:rows], y[:rows], case, sparsity) for sparsity in (0.0, *SPARSITIES)}
                times = turns({sparsity: run for sparsity, (run, _) in runs.items()}, rounds)
                for sparsity, target in zip(SPARSITIES, targets, strict=True):
                    mask = "" if criterion == "random" else f" by {criterion}"
                    work = f"{name} epoch, batch {batch}, {sparsity:.0%} sparse{mask}, SGD, {threads} thread(s)"
                    results.append(compare(work, "own dense", times[sparsity], times[0.0], target,
                                           f"{2 * runs[sparsity][1] * rows / 1e9:.1f} GFLOP", NOTE))
    return results
