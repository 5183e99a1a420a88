"""One epoch of training on MNIST against PyTorch and scikit-learn: same net, data, batch, optimizer.

Beside n threads of ours a peer has 1 or n, whichever is the faster: epochs of a few rows say which, before the turns.
PyTorch is given its fastest plain form: tensors in memory, `torch.set_num_threads`, no DataLoader, channels-first
images, the fastest of its three forms of the optimizer (`foreach`, `fused` and neither, each with each number of
threads). scikit-learn's MLPClassifier has `partial_fit`, an epoch a call, and rows of float64, as NumPy makes them and
scikit-learn's own data sets are, or of float32, as ours, which it trains on in float32. All shuffle every epoch.
"""
from functools import partial
from itertools import product

import numpy as np

from bench.measure import compare, fastest, plural, thread_counts, turns, using

EPOCH_ROWS, QUICK_ROWS = 60_000, 6000
PROBE_ROWS = 3000  # on which a peer's forms and numbers of threads are tried

FORMS = {"neither": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}  # PyTorch's optimizers


def images_of(name):
    """60,000 images (n, 28, 28, 1) in [0, 1] and labels of "mnist" or the like; random ones where that is absent."""
    import minnet as mn
    from minnet.errors import MinnetError

    try:
        data = mn.load_data(name)
        return (data.scaled(np.concatenate([data.X_train, data.X_valid])),
                np.concatenate([data.y_train, data.y_valid]))
    except MinnetError:
        rng = np.random.default_rng(0)
        return rng.random((EPOCH_ROWS, 28, 28, 1), dtype=np.float32), rng.integers(0, 10, EPOCH_ROWS)


def minnet_epoch(model_name, X, y, batch, optimizer):
    """A function that trains one more epoch."""
    import minnet as mn

    model = mn.models.MODELS[model_name](X.shape[1:], 10, rng=0)
    steps = mn.train(model, (X, y), optimizer=optimizer, epochs=10**6, batch_size=batch, rng=0)
    return lambda: next(steps)


def torch_epoch(model_name, batch, X, y, make, threads):
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


def fastest_torch(epoch_of, X, y, make, counts):
    """(threads, epoch) of PyTorch with the form of the optimizer and the number of threads that are the fastest here;
    epoch_of(X, y, make, threads) is an epoch."""
    some, labels = X[:PROBE_ROWS], y[:PROBE_ROWS]
    form, threads = fastest({(form, threads): epoch_of(some, labels, partial(make, **FORMS[form]), threads)
                             for form, threads in product(FORMS, counts)})
    return threads, epoch_of(X, y, partial(make, **FORMS[form]), threads)


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


def fastest_sklearn(X, y, batch, counts):
    """(threads, epoch) of scikit-learn with the number of threads that is the fastest here."""
    threads = fastest({threads: sklearn_epoch(X[:PROBE_ROWS], y[:PROBE_ROWS], batch, threads) for threads in counts})
    return threads, sklearn_epoch(X, y, batch, threads)


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
SKLEARN_LIMIT = ("profile of one thread (AVX-512, 262 GFLOP/s measured peak of a core), batch 60 (128): first layer "
                 "59 + 58 (102 + 100) us of which its multiply-adds alone are 61 (130) us at that peak, other "
                 "layers 78 (158) us (43 (91) at peak), Adam's walk over weights and moments 60 us, rows from memory "
                 "35 (40) us; a sixth of scikit-learn's step with float32 rows is 225 (320) us")
TORCH_LIMIT = ("both sides multiply at the speed of one BLAS or the other: what can be won is what stands between the "
               "products, the calls, the rows on their way from memory and the optimizer's walk")


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
    peers = {"PyTorch": fastest_torch(partial(torch_epoch, name, batch), X, y, make, thread_counts())}
    if pair is adam_pair:
        peers |= {peer: fastest_sklearn(X.astype(dtype), y, batch, thread_counts()) for peer, dtype in SKLEARN.items()}
    epochs = {peer: epoch for peer, (_, epoch) in peers.items()}
    times = turns({"minnet": minnet_epoch(name, X, y, batch, optimizer)} | epochs, rounds, rest=True)
    work = f"{name} epoch, batch {batch}, {pair.__name__[:-5]}, {threads} thread(s)"
    limit, results = f"{2 * macs * len(X) / 1e9:.0f} GFLOP", []
    for peer, (theirs, _) in peers.items():
        wanted, note = (SKLEARN_TARGET, SKLEARN_LIMIT) if peer in SKLEARN else (target, TORCH_LIMIT)
        results.append(compare(work, f"{peer}, {plural(theirs)}", times["minnet"], times[peer], wanted, limit, note))
    return results
