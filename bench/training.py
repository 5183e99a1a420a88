"""One epoch of training on MNIST against PyTorch: same net, data, batch, optimizer, threads, order of work.

PyTorch is given its fastest plain form: tensors in memory, `torch.set_num_threads`, no DataLoader, in-place optimizer
(`foreach` and `fused` both tried, the faster one kept), channels-first images. Both shuffle every epoch.
"""
import os

import numpy as np

from bench.measure import compare, turns

EPOCH_ROWS = 60_000


def mnist_rows():
    """60,000 images (n, 28, 28, 1) in [0, 1] and labels; random ones of that shape where MNIST is absent."""
    import minnet as mn
    from minnet.errors import MinnetError

    try:
        data = mn.load_data("mnist")
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

    torch.set_num_threads(threads)
    if model_name == "lenet_5":
        net = nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
                            nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))
        data = torch.from_numpy(X.transpose(0, 3, 1, 2).copy())
    else:
        net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        data = torch.from_numpy(X.reshape(len(X), -1).copy())
    labels, optimizer, loss = torch.from_numpy(y.copy()), make(net.parameters()), nn.CrossEntropyLoss()

    def epoch():
        order = torch.randperm(len(data))
        for start in range(0, len(data), batch):
            rows = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            loss(net(data[rows]), labels[rows]).backward()
            optimizer.step()

    return epoch


def sgd_pair():
    """(ours, PyTorch's): SGD with momentum."""
    import torch

    import minnet as mn

    return mn.SGD(lr=0.01, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, foreach=True)


def adam_pair():
    """(ours, PyTorch's): Adam."""
    import torch

    import minnet as mn

    return mn.Adam(lr=0.001), lambda p: torch.optim.Adam(p, lr=0.001, fused=True)


CASES = (  # net, batch, optimizers, target, multiply-adds of one image: forward + weight gradient + input gradient
    ("lenet_300_100", 60, sgd_pair, 2.0, 266_200 * 2 + 31_000),
    ("lenet_300_100", 128, sgd_pair, 1.4, 266_200 * 2 + 31_000),
    ("lenet_300_100", 60, adam_pair, 2.0, 266_200 * 2 + 31_000),
    ("lenet_5", 64, sgd_pair, 1.6, 2_293_000 * 3 - 288_000),
)


QUICK_ROWS = 6000


def measure(quick=False, cases=CASES):
    """Results for every case at one and at two threads."""
    results, rounds, rows = [], 3 if quick else 5, QUICK_ROWS if quick else EPOCH_ROWS
    X, y = mnist_rows()
    X, y = X[:rows], y[:rows]
    for threads in (1, 2):
        os.environ["MINNET_NUM_THREADS"] = str(threads)
        for name, batch, pair, target, macs in cases:
            optimizer, make = pair()
            times = turns({"minnet": minnet_epoch(name, X, y, batch, optimizer),
                           "torch": torch_epoch(name, X, y, batch, make, threads)}, rounds)
            results.append(compare(f"{name} epoch, batch {batch}, {pair.__name__[:-5]}, {threads} thread(s)", "PyTorch",
                                   times["minnet"], times["torch"], target, f"{2 * macs * rows / 1e9:.0f} GFLOP"))
    os.environ.pop("MINNET_NUM_THREADS")
    return results

