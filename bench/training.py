"""One epoch of training on MNIST against PyTorch and scikit-learn: same net, data, batch, optimizer, threads.

PyTorch is given its fastest plain form: tensors in memory, `torch.set_num_threads`, no DataLoader, the fastest of its
three forms of the optimizer (`foreach`, `fused` and neither are tried), channels-first images. scikit-learn's
MLPClassifier has `partial_fit`, an epoch a call, with that many BLAS threads, and rows of float64, as NumPy makes them
and scikit-learn's own data sets are, or of float32, as ours, which it trains on in float32. All shuffle every epoch.
"""
from functools import partial

import numpy as np

from bench.measure import compare, seconds, turns, using

EPOCH_ROWS, QUICK_ROWS = 60_000, 6000
PROBE_ROWS = 3000  # that PyTorch's forms of an optimizer are tried on
REST = 0.5  # seconds before each turn: threads of who had the last one may stay awake and take a processor


def images_of(name):
    """60,000 images (n, 28, 28, 1) in [0, 1] and labels of "mnist" or the like; random ones where that is absent."""
    import minnet as mn
    from minnet.errors import MinnetError

    try:
        data = mn.load_data(name)
        return np.concatenate([data.X_train, data.X_valid]), np.concatenate([data.y_train, data.y_valid])
    except MinnetError:
        rng = np.random.default_rng(0)
        return rng.random((EPOCH_ROWS, 28, 28, 1), dtype=np.float32), rng.integers(0, 10, EPOCH_ROWS)


def minnet_epoch(model_name, X, y, batch, optimizer):
    """A function that trains one more epoch."""
    import minnet as mn

    model = mn.models.MODELS[model_name](X.shape[1:], 10, rng=0)
    steps = mn.train(model, (X, y), optimizer=optimizer, epochs=10**6, batch_size=batch, rng=0)
    return lambda: next(steps)


def torch_epoch(model_name, X, y, batch, make, threads):
    """The same in PyTorch."""
    import torch
    from torch import nn

    if model_name == "lenet_5":
        net = nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
                            nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))
        data = torch.from_numpy(X.transpose(0, 3, 1, 2).copy())
    else:
        net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        data = torch.from_numpy(X.reshape(len(X), -1).copy())
    return torch_steps(net, data, y, make(net.parameters()), batch, threads)


def torch_steps(net, data, y, optimizer, batch, threads):
    """A function that trains a net of PyTorch for one more epoch."""
    import torch

    labels, loss = torch.from_numpy(y.copy()), torch.nn.CrossEntropyLoss()

    def epoch():
        torch.set_num_threads(threads)
        order = torch.randperm(len(data))
        for start in range(0, len(data), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            loss(net(data[rows]), labels[rows]).backward()
            optimizer.step()

    return epoch


def fastest_torch_epoch(model_name, X, y, batch, make, threads):
    """The epoch of PyTorch with the form of the optimizer that is the fastest here."""
    def probed(form):
        epoch = torch_epoch(model_name, X[:PROBE_ROWS], y[:PROBE_ROWS], batch, partial(make, **form), threads)
        epoch()
        return min(seconds(epoch), seconds(epoch))

    form = min(({"foreach": False}, {"foreach": True}, {"fused": True}), key=probed)
    return torch_epoch(model_name, X, y, batch, partial(make, **form), threads)


def sklearn_epoch(X, y, batch, threads):
    """The same by MLPClassifier, with its own optimizer: Adam."""
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    rows = X.reshape(len(X), -1)
    net = MLPClassifier((300, 100), solver="adam", alpha=0, batch_size=batch, random_state=0)

    def epoch():
        with threadpool_limits(threads):
            net.partial_fit(rows, y, classes=np.arange(10))

    return epoch


def sgd_pair():
    """(ours, PyTorch's): SGD with momentum."""
    import torch

    import minnet as mn

    return mn.SGD(lr=0.01, momentum=0.9), partial(torch.optim.SGD, lr=0.01, momentum=0.9)


def adam_pair():
    """(ours, PyTorch's): Adam."""
    import torch

    import minnet as mn

    return mn.Adam(lr=0.001), partial(torch.optim.Adam, lr=0.001)


CASES = (  # net, batch, optimizers, target, multiply-adds of one image: forward + weight gradient + input gradient
    ("lenet_300_100", 60, sgd_pair, 2.0, 266_200 * 2 + 31_000),
    ("lenet_300_100", 128, sgd_pair, 1.4, 266_200 * 2 + 31_000),
    ("lenet_300_100", 60, adam_pair, 2.0, 266_200 * 2 + 31_000),
    ("lenet_300_100", 128, adam_pair, 2.0, 266_200 * 2 + 31_000),
    ("lenet_5", 64, sgd_pair, 1.6, 2_293_000 * 3 - 288_000),
)
SKLEARN = {"scikit-learn, float64 rows": np.float64, "scikit-learn, float32 rows": np.float32}
SKLEARN_TARGET = 6.0  # times scikit-learn's speed, which has Adam too
SKLEARN_LIMIT = ("of a step of 60 (128) rows by one thread the first layer takes 59 (102) us forward and 58 (100) us "
                 "back, the others 78 (158) us both ways (BLAS), Adam's walk over all weights 60 us, the rows on their "
                 "way from memory 35 (40) us: a sixth of scikit-learn's time with float32 rows is 225 (320) us")


def measure(quick=False, cases=CASES):
    """Results for every case at one and at two threads."""
    results, rows = [], QUICK_ROWS if quick else EPOCH_ROWS
    X, y = images_of("mnist")
    for threads in (1, 2):
        with using(threads):
            for case in cases:
                results += measure_case(*case, X[:rows], y[:rows], threads, 3 if quick else 5)
    return results


def measure_case(name, batch, pair, target, macs, X, y, threads, rounds):
    """One net, one batch size, one optimizer, so many threads: against PyTorch, and with Adam scikit-learn."""
    optimizer, make = pair()
    contestants = {"minnet": minnet_epoch(name, X, y, batch, optimizer),
                   "torch": fastest_torch_epoch(name, X, y, batch, make, threads)}
    if pair is adam_pair:
        contestants |= {peer: sklearn_epoch(X.astype(dtype), y, batch, threads) for peer, dtype in SKLEARN.items()}
    times = turns(contestants, rounds, rest=REST)
    work = f"{name} epoch, batch {batch}, {pair.__name__[:-5]}, {threads} thread(s)"
    limit = f"{2 * macs * len(X) / 1e9:.0f} GFLOP"
    results = [compare(work, "PyTorch", times["minnet"], times["torch"], target, limit)]
    return results + [compare(work, peer, times["minnet"], times[peer], SKLEARN_TARGET, limit, SKLEARN_LIMIT)
                      for peer in SKLEARN if peer in times]
