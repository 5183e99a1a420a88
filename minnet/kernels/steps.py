"""Optimizer steps over the flat vector of weights, with the mask: one pass over memory for each step.

    sgd_step(grads, mask, 1.0, settings, n_weights, values, velocity)      # settings: lr, momentum, ... of this step

All vectors are of one index space, or the same slice of it: slices may be stepped by several threads at once, and give
the same numbers as the whole. `grads` is (shards, n): the gradient is the sum of its rows, in the order of the rows,
times `scale`. Its rows and those of `moments` must be contiguous; so a slice of columns is fine. No two of the arrays
share memory. Where the mask is False, values and moments end as exactly +0.0, whatever they were before.

`settings` (SETTINGS,) float64 are the numbers of an optimizer at one step, in an order that each kernel documents.
Weight decay is for the first `n_decay` entries, the weights: `decay` adds decay * w to the gradient, `shrink`
multiplies w itself before the step (decoupled decay; 1.0 for none).

A velocity or first moment that fades out, because its gradient is 0, ends as 0 too: it is made 0 where it is below the
smallest normal number of its type. Rounding would keep it there for ever, and denormal numbers are slow.
"""

import math

import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import noalias
from minnet.kernels.simd.contiguous import contiguous

SETTINGS = 7  # numbers of a step: as many as adam_step has
SGD_STEP, ADAM_STEP, LION_STEP = range(3)  # codes by which a kernel of many steps is told which one to make
STEP_CODES = {"sgd": SGD_STEP, "adam": ADAM_STEP, "lion": LION_STEP}  # by the name that an optimizer gives its kernel


@kernel
def zero_masked(mask, values):
    """Set values to +0.0 where the mask is False. mask: (n,) bool; values: (n,), changed in place."""
    for i in range(values.size):
        values[i] = values[i] if mask[i] else 0


@kernel
def soft_threshold(values, amount):
    """Compute w = sign(w) max(``|w|`` - amount, 0), the prox of amount * ``|w|``, with +0.0 for 0, in place.

    values: (n,). NaN stays NaN. Source: Donoho (1995), "De-noising by soft-thresholding", eq. 1.
    """
    amount = values.dtype.type(amount)
    for i in range(values.size):
        w = values[i]
        smaller = w - amount if w > 0 else w + amount
        values[i] = 0 if abs(w) <= amount else smaller


@kernel
def square_norm(grads, out):
    """Compute out[0] = the sum of squares of the gradient, in float64.

    grads: (shards, n), rows contiguous; out: (1,) float64.
    """
    shards, size = grads.shape
    first, second = contiguous(grads[0]), contiguous(grads[min(1, shards - 1)])
    total = 0.0
    for i in range(size):
        g = first[i] + second[i] if shards > 1 else first[i]
        for shard in range(2, shards):
            g += grads[shard, i]
        total += np.float64(g) * g
    out[0] = total


@kernel
def sgd_step(grads, mask, scale, settings, n_decay, values, velocity):
    """Make a step of SGD with momentum: v = momentum * v + g, w = shrink * w - lr * d.

    g = scale * sum of grads + decay * w; d = g + momentum * v with Nesterov's momentum, else v; decay and shrink for
    the first n_decay entries only. settings: lr, momentum, nesterov (0 or 1), decay, shrink. grads: (shards, n); mask:
    (n,) bool; values, velocity: (n,), changed in place. Raises InvalidValue for rows whose entries are not adjacent.
    Source: Sutskever et al. (2013), eq. 1-4, in the form of PyTorch.
    """
    noalias()
    kind = values.dtype.type
    tiny = kind(np.finfo(values.dtype).tiny)
    scale, lr, momentum, nesterov = kind(scale), kind(settings[0]), kind(settings[1]), settings[2] != 0
    decay, shrink = kind(settings[3]), kind(settings[4])
    shards, size = grads.shape
    # the first two rows are named, so that the common cases of one and two threads need no inner loop
    first, second = contiguous(grads[0]), contiguous(grads[min(1, shards - 1)])
    for i in range(size):
        g = first[i] + second[i] if shards > 1 else first[i]
        for shard in range(2, shards):
            g += grads[shard, i]
        g *= scale
        w = values[i]
        if i < n_decay:
            g += decay * w
            w *= shrink
        v = momentum * velocity[i] + g
        v *= kind(abs(v) >= tiny)  # a product, not a branch, so that the loop is vectorised; NaN stays NaN
        d = g + momentum * v if nesterov else v
        values[i] = w - lr * d if mask[i] else 0
        velocity[i] = v if mask[i] else 0


@kernel
def adam_step(grads, mask, scale, settings, n_decay, values, moments):
    """Make a step of Adam: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g², w = shrink w - rate m / s.

    g = scale * sum of grads + decay * w; s = sqrt(v) / root + eps; decay and shrink for the first n_decay entries only.
    settings: rate, beta1, beta2, eps, root, decay, shrink, where rate = lr / (1 - beta1^t) and root = sqrt(1 - beta2^t)
    at step t. grads: (shards, n); mask: (n,) bool; values: (n,) and moments: (2, n), m and v, changed in place. Raises
    InvalidValue for rows whose entries are not adjacent.
    Sources: Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2, for shrink.
    """
    noalias()
    kind = values.dtype.type
    tiny = kind(np.finfo(values.dtype).tiny)
    new1, new2 = kind(1 - settings[1]), kind(1 - settings[2])  # before they are rounded to float32
    scale, rate, beta1, beta2 = kind(scale), kind(settings[0]), kind(settings[1]), kind(settings[2])
    eps, grown, decay, shrink = kind(settings[3]), kind(1) / kind(settings[4]), kind(settings[5]), kind(settings[6])
    shards, size = grads.shape
    first, second = contiguous(grads[0]), contiguous(grads[min(1, shards - 1)])
    momentum, square = contiguous(moments[0]), contiguous(moments[1])
    for i in range(size):
        g = first[i] + second[i] if shards > 1 else first[i]
        for shard in range(2, shards):
            g += grads[shard, i]
        g *= scale
        w = values[i]
        if i < n_decay:
            g += decay * w
            w *= shrink
        m = beta1 * momentum[i] + new1 * g
        m *= kind(abs(m) >= tiny)
        v = beta2 * square[i] + new2 * g * g
        values[i] = w - rate * m / (math.sqrt(v) * grown + eps) if mask[i] else 0
        momentum[i] = m if mask[i] else 0
        square[i] = v if mask[i] else 0


@kernel
def lion_step(grads, mask, scale, settings, n_decay, values, momentum):
    """Make a step of Lion: u = sign(beta1 m + (1 - beta1) g), w = shrink w - lr u, m = beta2 m + (1 - beta2) g.

    g = scale * sum of grads + decay * w; sign(0) = 0, and NaN stays NaN; decay and shrink for the first n_decay entries
    only. settings: lr, beta1, beta2, decay, shrink. grads: (shards, n); mask: (n,) bool; values, momentum: (n,),
    changed in place. Raises InvalidValue for rows whose entries are not adjacent.
    Source: Chen et al. (2023), "Symbolic discovery of optimization algorithms", algorithm 2.
    """
    noalias()
    kind = values.dtype.type
    tiny = kind(np.finfo(values.dtype).tiny)
    new1, new2 = kind(1 - settings[1]), kind(1 - settings[2])
    scale, lr, beta1, beta2 = kind(scale), kind(settings[0]), kind(settings[1]), kind(settings[2])
    decay, shrink = kind(settings[3]), kind(settings[4])
    shards, size = grads.shape
    first, second = contiguous(grads[0]), contiguous(grads[min(1, shards - 1)])
    for i in range(size):
        g = first[i] + second[i] if shards > 1 else first[i]
        for shard in range(2, shards):
            g += grads[shard, i]
        g *= scale
        w = values[i]
        if i < n_decay:
            g += decay * w
            w *= shrink
        c = beta1 * momentum[i] + new1 * g
        u = kind(c > 0) - kind(c < 0) if c == c else c
        m = beta2 * momentum[i] + new2 * g
        m *= kind(abs(m) >= tiny)
        values[i] = w - lr * u if mask[i] else 0
        momentum[i] = m if mask[i] else 0
