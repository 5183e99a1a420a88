"""Batch normalisation over the rows of (rows, channels), forward and backward.

    channel_moments(x, mean, variance)
    batch_norm(x, mean, 1 / np.sqrt(variance + eps), gain, shift, y)

Images are passed as (n * h * w, c). Sums are in float64, of a few channels side by side.
"""

import numpy as np

from minnet.kernels.jit import kernel

SUMS_AT_ONCE = 4  # channels that are summed side by side, each in variables of its own: additions need not wait


@kernel
def batch_norm(x, mean, inverse_std, gain, shift, y):
    """Compute y = (x - mean) * inverse_std * gain + shift, channel by channel. x, y: (rows, c); the others: (c,)."""
    rows, channels = x.shape
    for r in range(rows):
        for j in range(channels):
            y[r, j] = (x[r, j] - mean[j]) * (inverse_std[j] * gain[j]) + shift[j]


@kernel
def channel_moments(x, mean, variance):
    """Compute mean[j] and variance[j] (divided by the number of rows) of x[:, j]. x: (rows, c); others: (c,)."""
    rows, channels = x.shape
    for start in range(0, channels, SUMS_AT_ONCE):
        # the last group overlaps the one before, and finds the same numbers: there is no remainder to treat apart
        j = max(min(start, channels - SUMS_AT_ONCE), 0)
        j1, j2, j3 = min(j + 1, channels - 1), min(j + 2, channels - 1), min(j + 3, channels - 1)
        a = b = c = d = 0.0
        for r in range(rows):
            a += x[r, j]
            b += x[r, j1]
            c += x[r, j2]
            d += x[r, j3]
        mean[j], mean[j1], mean[j2], mean[j3] = a / rows, b / rows, c / rows, d / rows
        # a second pass with the mean subtracted first: exact where the mean is 1e6 times the standard deviation, where
        # the mean of squares less the square of the mean would have lost all digits; `mean` may be float32
        mean_a, mean_b, mean_c, mean_d = a / rows, b / rows, c / rows, d / rows
        a = b = c = d = 0.0
        for r in range(rows):
            a += (x[r, j] - mean_a) ** 2
            b += (x[r, j1] - mean_b) ** 2
            c += (x[r, j2] - mean_c) ** 2
            d += (x[r, j3] - mean_d) ** 2
        variance[j], variance[j1], variance[j2], variance[j3] = a / rows, b / rows, c / rows, d / rows


@kernel
def batch_norm_backward(dy, x, mean, inverse_std, gain, dx, dgain, dshift):
    """Compute the gradients of `batch_norm` where mean and inverse_std are those of x itself, as in training.

    With h = (x - mean) * inverse_std: dshift = sum of dy, dgain = sum of dy * h, both over the rows, and
    dx = gain * inverse_std * (dy - dshift / rows - h * dgain / rows).
    dy, x, dx: (rows, c); the others: (c,). Source: Ioffe and Szegedy (2015), sec. 3.
    """
    rows, channels = x.shape
    for start in range(0, channels, SUMS_AT_ONCE):
        j = max(min(start, channels - SUMS_AT_ONCE), 0)
        j1, j2, j3 = min(j + 1, channels - 1), min(j + 2, channels - 1), min(j + 3, channels - 1)
        # sums of dy, and of dy times the centred x: inverse_std is a factor of the whole sum
        a = b = c = d = 0.0
        ah = bh = ch = dh = 0.0
        for r in range(rows):
            a += dy[r, j]
            b += dy[r, j1]
            c += dy[r, j2]
            d += dy[r, j3]
            ah += dy[r, j] * (np.float64(x[r, j]) - mean[j])
            bh += dy[r, j1] * (np.float64(x[r, j1]) - mean[j1])
            ch += dy[r, j2] * (np.float64(x[r, j2]) - mean[j2])
            dh += dy[r, j3] * (np.float64(x[r, j3]) - mean[j3])
        dshift[j], dshift[j1], dshift[j2], dshift[j3] = a, b, c, d
        dgain[j], dgain[j1] = ah * inverse_std[j], bh * inverse_std[j1]
        dgain[j2], dgain[j3] = ch * inverse_std[j2], dh * inverse_std[j3]
    share = x.dtype.type(1.0 / rows)
    for r in range(rows):
        for j in range(channels):
            h = (x[r, j] - mean[j]) * inverse_std[j]
            dx[r, j] = gain[j] * inverse_std[j] * (dy[r, j] - share * dshift[j] - h * (share * dgain[j]))
