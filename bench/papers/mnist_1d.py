"""Greydanus and Kobak, 2020/2024: "Scaling down deep learning with MNIST-1D", the lottery ticket.

The data are made from their description. A digit is a curve of 12 points, brought to deviation 1 and to begin at 0,
over 6. It is followed by 36 to 60 zeros, stretched to 72 points, multiplied by 0.8 to 1.2, and rolled by 0 to 47
points; where it is 0 it gets normal noise of size 0.25 smoothed by a Gaussian of width 2, everywhere noise of size
0.02; a line of slope -0.375 to 0.375 is subtracted, and 40 points are taken. 5,000 curves, 500 of each digit, 4,000 of
them for training, all less their mean and over their deviation. Theirs are one draw of this; ours are another for each
seed.

Row `mnist_1d_data` checks the data: logistic regression reaches 32 % on theirs, an MLP of 100 units 68 %. Row
`mnist_1d_ticket`: a residual MLP, h = relu(W1 x), h + relu(W2 h), 500 units, Adam with learning rate 0.02, batches of
100, 1,500 steps; each layer loses its smallest weights, and the others go back to their initial values, in rounds to
90 %. Published after the last step: dense 66.4 and 64.8 %, the ticket at 90 % 74.3 and 74.1 %, random pruning at 90 %
60.5 and 65.7 %. Their curve has 100 rounds of one point each; ours has 18 of five.
"""
import numpy as np
from scipy.ndimage import gaussian_filter1d

import minnet as mn
from bench.papers.lab import PRUNING, TRAINING, WEIGHTS, adam, error, last
from bench.papers.row import Row

DIGITS = np.array([  # the curves of 0 to 9
    [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5], [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
    [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5], [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
    [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5], [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
    [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5], [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
    [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5], [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5]])
LONG, SHORT, CURVES = 72, 40, 500
DATA = 4  # a stream of random numbers


def templates():
    """The ten curves, shape (10, 12)."""
    curves = (DIGITS - DIGITS.mean(1, keepdims=True)) / DIGITS.std(1, keepdims=True)
    return (curves - curves[:, :1]) / 6


def resampled(curve, points):
    """The curve at as many equally spaced points, by lines between its own."""
    return np.interp(np.linspace(0, 1, points), np.linspace(0, 1, len(curve)), curve)


def example(curve, rng):
    """A curve with all that makes it hard to tell."""
    nothing = np.full(rng.integers(36, 61), np.nan)                # so that the digit's own zeros count as its own
    padded = np.concatenate([curve, nothing])
    at, where = np.linspace(0, len(padded) - 1, LONG), np.arange(len(padded))
    is_digit = np.interp(at, where, np.isfinite(padded).astype(float)) > 0
    x = np.interp(at, where, np.nan_to_num(padded)) * rng.uniform(0.8, 1.2)
    shift = rng.integers(48)
    x, is_digit = np.roll(x, shift), np.roll(is_digit, shift)
    x = np.where(is_digit, x, gaussian_filter1d(0.25 * rng.standard_normal(LONG), 2))
    x = x + 0.02 * rng.standard_normal(LONG) - rng.uniform(-0.375, 0.375) * np.linspace(-0.5, 0.5, LONG)
    return resampled(x, SHORT)


def mnist_1d(rng, curves=CURVES):
    """(X_train, y_train, X_test, y_test): four fifths and one fifth."""
    X = np.array([example(curve, rng) for curve in templates() for _ in range(curves)])
    y = np.repeat(np.arange(10), curves)
    order, cut = rng.permutation(len(y)), len(y) * 4 // 5
    X = ((X - X.mean()) / X.std()).astype(np.float32)[order]
    return X[:cut], y[order][:cut], X[cut:], y[order][cut:]


def dataset(lab, curves):
    """The data of a seed as a Dataset without a validation part."""
    X, y, X_test, y_test = mnist_1d(lab.rng(DATA), curves)
    return mn.load_data((X, y), test=(X_test, y_test), valid=0, scaling="none", rng=lab.seed)


def check(lab, curves, epochs):
    """Logistic regression on the data; the figure is how far its accuracy is from theirs, 32."""
    data = dataset(lab, curves)
    linear, net = (mn.Model(layers, data.shape, rng=lab.rng(WEIGHTS)) for layers in (
        mn.Dense(10), mn.Sequential(mn.Dense(100), mn.ReLU(), mn.Dense(100), mn.ReLU(), mn.Dense(10))))
    scores = []
    for model in (linear, net):
        last(adam(0.01)(model, data, epochs=epochs, rng=lab.rng(TRAINING)))
        scores.append(100 - error(model, data.X_test, data.y_test))
    return lab.outcome(linear, data, epochs, abs(scores[0] - 32), linear=scores[0], mlp=scores[1])


def ticket(lab, curves, rounds, step, epochs, lr, width):
    """Find the ticket; the figure is its accuracy less that of the dense net."""
    data = dataset(lab, curves)
    layers = mn.Sequential(mn.Dense(width), mn.ReLU(), mn.Residual(mn.Dense(width), mn.ReLU()), mn.Dense(10))
    model = mn.Model(layers, data.shape, rng=lab.rng(WEIGHTS))
    random = model.clone()
    early, curve = model.values.copy(), []
    for k in range(rounds + 1):
        mn.prune(model, k * step, distribution="layerwise")
        model.values[:] = np.where(model.mask, early, 0)
        last(adam(lr)(model, data, epochs=epochs, rng=lab.rng(TRAINING)))
        curve.append(100 - error(model, data.X_test, data.y_test))
    mn.prune(random, rounds * step, criterion="random", distribution="layerwise", rng=lab.rng(PRUNING))
    last(adam(lr)(random, data, epochs=epochs, rng=lab.rng(TRAINING)))
    return lab.outcome(model, data, epochs * (rounds + 1), curve[-1] - curve[0], curve=curve,
                       random=100 - error(random, data.X_test, data.y_test))


ROWS = (
    Row("mnist_1d_data", "Greydanus and Kobak 2024", "logistic regression 32 %", 4.0, check,
        {"curves": CURVES, "epochs": 40}, {"curves": 20, "epochs": 2},
        measure="points of accuracy of logistic regression from 32"),
    Row("mnist_1d_ticket", "Greydanus and Kobak 2024, notebook", "8.6 points above the dense net at 90 % sparsity", 5.0,
        ticket, {"curves": CURVES, "rounds": 18, "step": 0.05, "epochs": 38, "lr": 0.02, "width": 500},
        {"curves": 20, "rounds": 1, "step": 0.9, "epochs": 1, "width": 20},
        measure="points of accuracy above the dense net", rises=True),
)
