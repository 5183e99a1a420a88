"""What all pages share: the data, dense nets that rows begin with, optimizers by a paper's constants, and the outcome.

A run looks at the test part once, in `outcome`, after its last epoch. Settings that are not a paper's own were chosen
on 5,000 validation images; where `valid` is 0 these are trained on, as in the papers that train on all 60,000.
"""
import hashlib
import json
import time
from functools import lru_cache, partial

import numpy as np

import minnet as mn
from minnet.engine.lr_schedules import stepped
from minnet.files import write_whole

WEIGHTS, TRAINING, PRUNING = range(3)  # streams of random numbers
NETS = {"lenet_300_100": mn.models.lenet_300_100, "lenet_5": mn.models.lenet_5,
        "mlp_net": partial(mn.models.mlp, hidden=(40, 20)), "mlp_small": partial(mn.models.mlp, hidden=(16,))}
load = lru_cache(2)(mn.load_data)
DENSE = {"net": "lenet_300_100", "epochs": 40, "lr": 0.1, "decay": 5e-4, "batch": 100, "drops": [0.6, 0.9]}
TINY_DENSE = {**DENSE, "epochs": 1}  # of what rows begin with


def sgd(lr, momentum=0.9, decay=0.0, batch=100, nesterov=True, drops=None, factor=0.1, every="epoch"):
    """`mn.train` by SGD; the rate falls by `factor` at each of `drops`, shares of the epochs, or along a cosine."""
    schedule = "cosine" if drops is None else "constant" if not drops else partial(
        stepped, at=tuple(drops), factor=factor)
    optimizer = mn.SGD(lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    return partial(mn.train, optimizer=optimizer, batch_size=batch, lr_schedule=schedule, every=every)


def adam(lr, batch=100, flat=1.0, every="epoch"):
    """`mn.train` by Adam; the rate is constant for the share `flat` of the epochs and then falls to 0 on a line."""
    return partial(mn.train, optimizer=mn.Adam(lr), batch_size=batch, every=every,
                   lr_schedule=partial(flat_then_linear, flat=flat))


def flat_then_linear(t, flat):
    """Return 1 up to t = flat, then what falls to 0 at t = 1 on a line."""
    return 1.0 if t < flat else (1 - t) / max(1 - flat, 1e-9)


def whole(X, full_scale):
    """Return the mean and the deviation of all numbers, by which images are shifted and scaled."""
    return float(X.mean(dtype=np.float64)), float(X.std(dtype=np.float64))


def error(model, X, y):
    """Percent of rows that are missed."""
    return 100 * (1 - mn.evaluate(model, X, y, intervals=False)["accuracy"])


class Lab:
    """One seed of a row: what it trains on, what it draws from, and where dense nets are kept."""

    def __init__(self, seed, folder, data="mnist"):
        self.seed, self.folder, self.name = seed, folder, data
        self.begun, self.earlier = time.perf_counter(), 0.0

    def data(self, valid=0, scaling="unit"):
        """The data set; of digits, which stand in for it in tests, the validation part is never 0."""
        scaling = whole if scaling == "whole" else scaling
        if self.name == "mnist":
            return load("mnist", rng=self.seed, valid=valid, scaling=scaling)
        return load(self.name, rng=self.seed, scaling=scaling)

    def rng(self, use):
        """A Generator for one use, by the seed alone."""
        return np.random.default_rng([self.seed, use])

    def net(self, name, data):
        """A net with its initial weights."""
        return NETS[name](data.shape, data.n_classes, rng=self.rng(WEIGHTS))

    def dense(self, data, net, epochs, **constants):
        """A trained dense net: made once for each seed and set of constants, and shared by the rows."""
        told = [self.name, len(data.y_train), net, epochs, sorted(constants.items())]
        mark = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]
        path, model = self.folder / "dense" / f"{net}-{mark}-{self.seed}.npz", self.net(net, data)
        if not path.is_file():
            start = time.perf_counter()
            for _ in sgd(**constants)(model, data, epochs=epochs, rng=self.rng(TRAINING)):
                pass
            seconds = time.perf_counter() - start
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file: np.savez(file, values=model.values, seconds=seconds))
            self.begun += seconds
        with np.load(path) as kept:
            model.values[:] = kept["values"]
            self.earlier += float(kept["seconds"])
        return model

    def outcome(self, model, data, epochs, figure=None, **more):
        """What is kept of the run; by default the figure is the test error, which is looked at here and only here."""
        n, trainable = model.n_weights, model.n_trainable
        return {"figure": error(model, data.X_test, data.y_test) if figure is None else figure, "epochs": epochs,
                "weights": int(np.count_nonzero(model.mask[:n])), "of": n,
                "parameters": int(np.count_nonzero(model.mask[:trainable])), "of_parameters": trainable,
                "rows": len(data.y_train), "seconds": time.perf_counter() - self.begun + self.earlier, **more}


def last(steps):
    """Go through the steps of a training; return the last one."""
    found = None
    for step in steps:
        found = step
    return found
