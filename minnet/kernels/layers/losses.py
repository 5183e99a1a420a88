"""Losses: the value of each row and the gradient, in one pass over the outputs.

    softmax_cross_entropy(logits, labels, 0.0, 1.0 / n, losses, dlogits)
    loss = losses.mean()

`scale` multiplies the gradient: 1 / n for the gradient of the mean over n rows.
"""

import math

import numpy as np

from minnet.kernels.jit import kernel


@kernel
def squared_error(outputs, targets, scale, losses, doutputs):
    """Compute losses[i] = mean over j of (o - t)², and doutputs = scale * 2 (o - t) / k.

    outputs, targets, doutputs: (n, k); losses: (n,) float64.
    """
    rows, columns = outputs.shape
    factor = outputs.dtype.type(2.0 * scale / columns)
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            error = outputs[i, j] - targets[i, j]
            total += np.float64(error) * error
            doutputs[i, j] = factor * error
        losses[i] = total / columns


@kernel
def binary_cross_entropy(logits, targets, scale, losses, dlogits):
    """Compute losses[i] = mean over j of log(1 + exp(z)) - t z, and dlogits = scale * (sigmoid(z) - t) / k.

    That is -t log p - (1 - t) log(1 - p) with p = sigmoid(z); only exp(-|z|) is taken, so that none overflows.
    logits, targets, dlogits: (n, k), targets in [0, 1]; losses: (n,) float64.
    """
    rows, columns = logits.shape
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            z, t = np.float64(logits[i, j]), np.float64(targets[i, j])
            power = math.exp(-abs(z))
            total += max(z, 0.0) - z * t + math.log1p(power)
            p = (1.0 if z >= 0 else power) / (1.0 + power)
            dlogits[i, j] = scale * ((p - t) / columns)
        losses[i] = total / columns


@kernel
def multiclass_hinge(logits, labels, scale, losses, dlogits):
    """Compute losses[i] = max(0, 1 + z_j - z_label), j the first of the highest others, and the gradient.

    The gradient is scale at j and -scale at the label. Where the loss is 0, as with one class only, so is dlogits; a
    NaN among the others is the highest.
    logits, dlogits: (n, k); labels: (n,) integers in [0, k), checked by the caller; losses: (n,) float64.
    Source: Crammer and Singer (2001), "On the algorithmic implementation of multiclass kernel-based vector machines".
    """
    rows, columns = logits.shape
    for i in range(rows):
        right, other, best = labels[i], -1, logits[i, 0]
        losses[i] = 0
        for j in range(columns):
            dlogits[i, j] = 0
            # not <=: a NaN is not less or equal, so it wins, and then nothing is greater
            if j != right and (other < 0 or (best == best and not logits[i, j] <= best)):
                other, best = j, logits[i, j]
        margin = 1.0 + np.float64(best) - logits[i, right]
        if other >= 0 and not margin <= 0:
            losses[i] = margin
            dlogits[i, other] = scale
            dlogits[i, right] = -scale


@kernel
def softmax_cross_entropy(logits, labels, smoothing, scale, losses, dlogits):
    """Compute losses[i] = -sum_j t_j log p_j, and dlogits = scale * (p - t), where p = softmax(z), z = logits[i].

    The target t is (1 - smoothing) at the label, plus smoothing / k everywhere (Szegedy et al., 2016, sec. 7).
    logits, dlogits: (n, k); labels: (n,) integers in [0, k), checked by the caller; losses: (n,) float64.
    """
    rows, columns = logits.shape
    floor = smoothing / columns
    for i in range(rows):
        # logits less the highest, so that no power overflows; the powers are kept where the gradient goes
        highest = logits[i, 0]
        for j in range(1, columns):
            highest = max(highest, logits[i, j])
        total = 0.0
        mean = 0.0
        for j in range(columns):
            shifted = np.float64(logits[i, j]) - highest
            power = math.exp(shifted)
            dlogits[i, j] = power
            total += power
            if smoothing > 0:  # else 0 * -inf = NaN in the loss below
                mean += shifted / columns
        right = labels[i]
        chosen = np.float64(logits[i, right]) - highest
        losses[i] = math.log(total) - (1.0 - smoothing) * chosen - smoothing * mean
        for j in range(columns):
            dlogits[i, j] = scale * (dlogits[i, j] / total - floor)
        dlogits[i, right] -= scale * (1.0 - smoothing)
