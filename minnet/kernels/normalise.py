"""Batch normalisation over the rows of (rows, channels), forward and backward.

    channel_moments(x, mean, variance)
    batch_norm(x, mean, 1 / np.sqrt(variance + eps), gain, shift, y)

Images are passed as (n * h * w, c). Sums are taken in float64, a few channels side by side.
"""

import numpy as np

from minnet.kernels.jit import kernel

LANES = 4  # channels that are summed side by side, each in variables of its own


@kernel
def batch_norm(x, mean, inverse_std, gain, shift, y):
    """y = (x - mean) * inverse_std * gain + shift, channel by channel. x, y: (rows, c); the others: (c,)."""
    rows, channels = x.shape
    for r in range(rows):
        for j in range(channels):
            y[r, j] = (x[r, j] - mean[j]) * (inverse_std[j] * gain[j]) + shift[j]


@kernel
def channel_moments(x, mean, variance):
    """mean[j] and variance[j] (divided by the number of rows) of x[:, j], in two walks. x: (rows, c); others: (c,).

    The second walk subtracts the mean before it squares: right also where the mean is 1e6 times the deviation.
    """
    rows, channels = x.shape
    for j in range(channels):
        total = 0.0
        for r in range(rows):
            total += x[r, j]
        centre = total / rows
        total = 0.0
        for r in range(rows):
            total += (x[r, j] - centre) ** 2
        mean[j] = centre
        variance[j] = total / rows


@kernel
def batch_norm_backward(dy, x, mean, inverse_std, gain, dx, dgain, dshift):
    """Gradients of `batch_norm` where mean and inverse_std are those of x itself, as in training.

    With h = (x - mean) * inverse_std: dshift = sum of dy, dgain = sum of dy * h, both over the rows, and
    dx = gain * inverse_std * (dy - dshift / rows - h * dgain / rows).
    dy, x, dx: (rows, c); the others: (c,). Source: Ioffe and Szegedy (2015), sec. 3.
    """
    rows, channels = x.shape
    for j in range(channels):
        total = 0.0
        product = 0.0
        for r in range(rows):
            total += dy[r, j]
            product += dy[r, j] * (np.float64(x[r, j]) - mean[j])
        dshift[j] = total
        dgain[j] = product * inverse_std[j]
    for r in range(rows):
        for j in range(channels):
            h = (x[r, j] - mean[j]) * inverse_std[j]
            dx[r, j] = gain[j] * inverse_std[j] * (dy[r, j] - dshift[j] / rows - h * (dgain[j] / rows))
