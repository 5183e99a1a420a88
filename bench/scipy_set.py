"""Sparse evolutionary training as SciPy and a compiled loop do it: the peer that bench/scale.py measures against.

    net = ScipySet((784, 1000, 1000, 1000, 10), epsilon=20, lr=0.01, momentum=0.9, rng=0)
    net.epoch(X, y, batch=40)
    net.change(0.3)

Written from the papers' algorithm (Mocanu et al., 2018, Nature Communications 9:2383, algorithm 1; Liu et al., 2021,
"Sparse evolutionary deep learning with over one million artificial neurons on commodity hardware", section 3): weights
in CSR, products by SciPy, the gradient of the live weights by a loop over their positions, compiled by Numba. What
could be chosen is as fast as was found: float32 and 32-bit indices, activations as (features, batch), which is what
SciPy's product wants and lets the loop run over neighbours, updates in place on the arrays of values, a change of the
topology by sorted flat positions and NumPy's set operations, no conversion between sparse formats anywhere.
"""
import math
from itertools import pairwise

import numpy as np
from numba import njit
from scipy.sparse import csr_array

SPARE = 1.1  # so many times as many places are drawn as are wanted: some are taken


@njit(fastmath=True, cache=False)
def live_gradient(first, column, x, dy, gradient):
    """gradient[k] = x[i] . dy[column[k]] for the live weights k of each row i. x: (in, n); dy: (out, n)."""
    for i in range(first.size - 1):
        for k in range(first[i], first[i + 1]):
            j = column[k]
            total = np.float32(0)
            for b in range(x.shape[1]):
                total += x[i, b] * dy[j, b]
            gradient[k] = total


class SparseLayer:
    """Weights (in, out) in CSR with their velocity, and a bias."""

    def __init__(self, ins, outs, live, rng):
        self.rng, self.shape = rng, (ins, outs)
        many = 4 * live > ins * outs
        places = np.sort(rng.choice(ins * outs, live, replace=False)) if many else self.free(live, None)
        self.take(places, (rng.normal(size=live) * math.sqrt(2 * outs / live)).astype(np.float32),
                  np.zeros(live, np.float32))
        self.bias, self.bias_velocity = np.zeros((outs, 1), np.float32), np.zeros((outs, 1), np.float32)

    def take(self, places, values, velocity):
        """Live weights at these flat positions, which are sorted."""
        ins, outs = self.shape
        row, column = np.divmod(places, outs)
        first = np.zeros(ins + 1, np.int32)
        np.cumsum(np.bincount(row, minlength=ins), out=first[1:])
        self.places, self.values, self.velocity, self.gradient = places, values, velocity, np.empty_like(values)
        self.weight = csr_array((values, column.astype(np.int32), first), shape=self.shape, copy=False)
        self.turned = self.weight.T  # shares the arrays

    def forward(self, x):
        """x (in, n) -> (out, n)."""
        self.x = x
        return self.turned @ x + self.bias

    def backward(self, dy, wants_dx):
        """The gradient of the weights, and that of the input."""
        self.dy = dy
        live_gradient(self.weight.indptr, self.weight.indices, self.x, dy, self.gradient)
        return self.weight @ dy if wants_dx else None

    def step(self, lr, momentum):
        """v = momentum v + g; w -= lr v."""
        self.velocity *= momentum
        self.velocity += self.gradient
        self.gradient[:] = self.velocity
        self.gradient *= lr
        self.values -= self.gradient
        self.bias_velocity *= momentum
        self.bias_velocity += self.dy.sum(axis=1, keepdims=True)
        self.bias -= lr * self.bias_velocity

    def change(self, zeta):
        """The share `zeta` of the smallest positive and of the largest negative weights goes; as many come, at random.
        """
        values = self.values
        positive, negative = np.flatnonzero(values >= 0), np.flatnonzero(values < 0)
        gone = [signed[np.argpartition(np.abs(values[signed]), count)[:count]]
                for signed in (positive, negative) if (count := round(zeta * len(signed)))]
        kept = np.ones(len(values), bool)
        kept[np.concatenate(gone)] = False
        old = self.places[kept]
        new = self.free(len(values) - len(old), old)
        at = np.searchsorted(old, new) + np.arange(len(new))
        stays = np.ones(len(values), bool)
        stays[at] = False
        arrays = [np.empty_like(self.places), np.zeros_like(values), np.zeros_like(values)]
        for array, before in zip(arrays, (old, values[kept], self.velocity[kept]), strict=True):
            array[stays] = before
        arrays[0][at] = new
        self.take(*arrays)

    def free(self, count, taken):
        """`count` free flat positions, sorted."""
        size = self.shape[0] * self.shape[1]
        found = np.zeros(0, np.int64)
        while len(found) < count:
            more = np.unique(np.concatenate([found, self.rng.integers(size, size=int(SPARE * count) + 16)]))
            if taken is not None:
                at = np.searchsorted(taken, more)
                more = more[taken[np.minimum(at, len(taken) - 1)] != more]
            found = more
        return np.delete(found, self.rng.choice(len(found), len(found) - count, replace=False))


class DenseLayer:
    """The same where all weights are live."""

    def __init__(self, ins, outs, rng):
        self.values = self.weight = (rng.normal(size=(ins, outs)) * math.sqrt(2 / ins)).astype(np.float32)
        self.bias = np.zeros((outs, 1), np.float32)
        self.velocity, self.bias_velocity = np.zeros_like(self.weight), np.zeros_like(self.bias)

    def forward(self, x):
        """x (in, n) -> (out, n)."""
        self.x = x
        return self.weight.T @ x + self.bias

    def backward(self, dy, wants_dx):
        """The gradient of the weights, and that of the input."""
        self.dy, self.gradient = dy, self.x @ dy.T
        return self.weight @ dy if wants_dx else None

    step = SparseLayer.step

    def change(self, zeta):
        """Nothing is free."""


class ScipySet:
    """A net of the widths `widths` with ReLU between and cross-entropy, trained by SGD with momentum."""

    def __init__(self, widths, epsilon, lr, momentum, rng):
        self.rng, self.lr, self.momentum = np.random.default_rng(rng), lr, momentum
        self.layers = []
        for ins, outs in pairwise(widths):
            live = round(epsilon * (ins + outs))
            self.layers.append(SparseLayer(ins, outs, live, self.rng) if live < ins * outs else
                               DenseLayer(ins, outs, self.rng))

    def step(self, X, y):
        """One batch; returns its loss."""
        x = np.ascontiguousarray(X.T)
        for layer in self.layers[:-1]:
            x = layer.forward(x)
            np.maximum(x, 0, out=x)
        logits = self.layers[-1].forward(x)
        logits -= logits.max(axis=0)
        p = np.exp(logits)
        p /= p.sum(axis=0)
        n = np.arange(len(y))
        loss = -np.log(p[y, n]).mean()
        p[y, n] -= 1
        dy = p / np.float32(len(y))
        for i in range(len(self.layers) - 1, -1, -1):
            x = self.layers[i].x
            dy = self.layers[i].backward(dy, i > 0)
            if i:
                dy *= x > 0
        for layer in self.layers:
            layer.step(np.float32(self.lr), np.float32(self.momentum))
        return loss

    def epoch(self, X, y, batch):
        """All rows once, shuffled; returns the mean loss."""
        order = self.rng.permutation(len(X))
        losses = [self.step(X[order[at : at + batch]], y[order[at : at + batch]]) for at in range(0, len(X), batch)]
        return np.mean(losses)

    def change(self, zeta):
        """Every sparse layer moves."""
        for layer in self.layers:
            layer.change(zeta)

    def change_and_step(self, zeta, X, y):
        """Both, the step with one batch."""
        self.change(zeta)
        self.step(X, y)
