"""Time jobs of minnet in this interpreter, whichever version it has: `python against_worker.py JOB [JOB ...]`.

Prints a JSON object {job: median seconds of one unit}. It uses nothing but names that every version has, so that an
older commit, installed in an environment of its own, can be timed by the same file.
"""
import json
import os
import statistics
import sys
import time

import numpy as np

import minnet as mn

ROWS = 12_000
WARM_UP, MEASURED, REPEATS = 1.0, 1.5, 5  # seconds: a second thread may need some to reach a core of its own
SHAPE = (28, 28, 1)


def images(rows=ROWS):
    """Return random images of which a fifth is lit, as MNIST's are, and labels."""
    rng = np.random.default_rng(0)
    X = rng.random((rows, *SHAPE), dtype=np.float32) * (rng.random((rows, *SHAPE)) < 0.2)
    return X.astype(np.float32), rng.integers(0, 10, rows)


def epochs(make, batch, optimizer, sparsity=0.0, threads=1, rows=ROWS):
    """Return a function that trains one more epoch."""
    os.environ["MINNET_NUM_THREADS"] = str(threads)
    X, y = images(rows)
    model = make()
    X = X.reshape(rows, *model.input_shape)
    if sparsity:
        mn.prune(model, sparsity, criterion="random", distribution="layerwise", rng=0)
    steps = mn.train(model, (X, y), optimizer=optimizer, epochs=10**6, batch_size=batch, rng=0)
    return lambda: next(steps)


def lenet_300_100():
    """Return LeNet-300-100 for these images."""
    return mn.models.lenet_300_100(SHAPE, 10, rng=0)


def lenet_5():
    """Return LeNet-5 for these images."""
    return mn.models.lenet_5(SHAPE, 10, rng=0)


def sparse_mlp():
    """Return a net born sparse."""
    return mn.models.sparse_mlp((784, 1000, 1000, 1000, 10), 20, rng=0)


def predictions(make, sparsity, rows):
    """Return a function that predicts `rows` rows a hundred times with a frozen net."""
    os.environ["MINNET_NUM_THREADS"] = "1"
    X, _ = images(max(rows, 64))
    model = make()
    mn.prune(model, sparsity, rng=0)
    fast = mn.freeze(model)
    batches = [X[i : i + rows] for i in range(0, 64 if rows == 1 else 1, rows)]
    return lambda: [fast(batch) for _ in range(100) for batch in batches]


def logits(make, rows):
    """Return a function that predicts with a Model's own layers."""
    os.environ["MINNET_NUM_THREADS"] = "2"
    X, _ = images(rows)
    model = make()
    return lambda: model(X)


def sgd():
    """Return SGD with momentum."""
    return mn.SGD(lr=0.01, momentum=0.9)


JOBS = {
    "LeNet-300-100 epoch, batch 60, SGD, 1 thread": lambda: epochs(lenet_300_100, 60, sgd()),
    "LeNet-300-100 epoch, batch 60, SGD, 2 threads": lambda: epochs(lenet_300_100, 60, sgd(), threads=2),
    "LeNet-300-100 epoch, batch 128, Adam, 1 thread": lambda: epochs(lenet_300_100, 128, mn.Adam()),
    "LeNet-300-100 epoch, batch 128, Adam, 2 threads": lambda: epochs(lenet_300_100, 128, mn.Adam(), threads=2),
    "LeNet-5 epoch of 2,000, batch 64, SGD, 1 thread": lambda: epochs(lenet_5, 64, sgd(), rows=2000),
    "LeNet-5 epoch of 2,000, batch 64, SGD, 2 threads": lambda: epochs(lenet_5, 64, sgd(), threads=2, rows=2000),
    **{f"LeNet-300-100 epoch, batch 60, {s:.0%} sparse, {t} thread(s)":
       lambda s=s, t=t: epochs(lenet_300_100, 60, sgd(), s, t) for s in (0.9, 0.95, 0.98) for t in (1, 2)},
    "LeNet-5 epoch of 2,000, batch 64, 95% sparse, 2 threads": lambda: epochs(lenet_5, 64, sgd(), 0.95, 2, 2000),
    "born sparse 784-1000^3-10 epoch, batch 40, 1 thread": lambda: epochs(sparse_mlp, 40, sgd(), rows=6000),
    "born sparse 784-1000^3-10 epoch, batch 2, 2 threads": lambda: epochs(sparse_mlp, 2, sgd(), threads=2, rows=600),
    **{f"LeNet-300-100 frozen, {s:.0%} sparse, batch {n}": lambda s=s, n=n: predictions(lenet_300_100, s, n)
       for s in (0.0, 0.95) for n in (1, 256)},
    "LeNet-5 frozen, 95% sparse, batch 64": lambda: predictions(lenet_5, 0.95, 64),
    "LeNet-300-100, model(X) of 12,000 rows": lambda: logits(lenet_300_100, ROWS),
    "LeNet-5, model(X) of 2,000 rows": lambda: logits(lenet_5, 2000),
}


def main(names):
    """Time each job: some runs to warm up, then the median of those of MEASURED seconds, at least REPEATS."""
    found = {}
    for name in names:
        job, times, begin = JOBS[name](), [], time.perf_counter()
        job()
        while time.perf_counter() < begin + WARM_UP:
            job()
        begin = time.perf_counter()
        while len(times) < REPEATS or time.perf_counter() < begin + MEASURED:
            start = time.perf_counter()
            job()
            times.append(time.perf_counter() - start)
        found[name] = statistics.median(times)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:] or list(JOBS))
