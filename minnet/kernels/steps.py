"""Optimizer steps over the flat vector of weights, with the mask: one walk over memory per step.

    sgd_step(grads, mask, 1.0, lr, 0.9, False, 0.0, 1.0, n_weights, values, velocity)

All vectors are of one index space, or the same slice of it: slices may be stepped by several threads at once, and give
the same numbers as the whole. `grads` is (shards, n): the gradient is the sum of its rows, in the order of the rows,
times `scale`. Its rows and those of `moments` must be contiguous; so a slice of columns is fine. No two of the arrays
share memory. Where the mask is False, values and moments end as exactly +0.0, whatever they were before.

A velocity or first moment that fades out, because its gradient is 0, ends as 0 too: it is made 0 where it is below the
smallest normal number of its type. It would stay there for ever, rounded to itself, and such numbers are slow.

Weight decay is for the first `n_decay` entries, the weights: `decay` adds decay * w to the gradient, `shrink`
multiplies w itself before the step (decoupled decay; 1.0 for none).
"""

import math

import numpy as np

from minnet.kernels.jit import kernel
from minnet.kernels.simd.attributes import noalias
from minnet.kernels.simd.contiguous import contiguous


@kernel
def zero_masked(mask, values):
    """values = +0.0 where the mask is False. mask: (n,) bool; values: (n,), changed in place."""
    for i in range(values.size):
        values[i] = values[i] if mask[i] else 0


@kernel
def soft_threshold(values, amount):
    """w = sign(w) max(|w| - amount, 0), with +0.0 for zero: the prox of amount * |w|. values: (n,), in place.

    NaN stays NaN. Source: Donoho (1995), "De-noising by soft-thresholding", eq. 1.
    """
    amount = values.dtype.type(amount)
    for i in range(values.size):
        w = values[i]
        smaller = w - amount if w > 0 else w + amount
        values[i] = 0 if abs(w) <= amount else smaller


@kernel
def square_norm(grads, out):
    """out[0] = the sum of squares of the gradient, in float64. grads: (shards, n), rows contiguous; out: (1,)."""
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
def sgd_step(grads, mask, scale, lr, momentum, nesterov, decay, shrink, n_decay, values, velocity):
    """g = scale * sum of grads + decay * w;  v = momentum * v + g;  w = shrink * w - lr * d.

    d = g + momentum * v with Nesterov's momentum, else v; decay and shrink for the first n_decay entries only.
    grads: (shards, n); mask: (n,) bool; values, velocity: (n,), changed in place. Raises InvalidValue for rows
    whose entries do not lie side by side. Source: Sutskever et al. (2013), eq. 1-4, in the form of PyTorch.
    """
    noalias()
    kind = values.dtype.type
    tiny = kind(np.finfo(values.dtype).tiny)
    scale, lr, momentum, decay, shrink = kind(scale), kind(lr), kind(momentum), kind(decay), kind(shrink)
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
        v = momentum * velocity[i] + g
        v *= kind(abs(v) >= tiny)
        d = g + momentum * v if nesterov else v
        values[i] = w - lr * d if mask[i] else 0
        velocity[i] = v if mask[i] else 0


@kernel
def lion_step(grads, mask, scale, lr, beta1, beta2, decay, shrink, n_decay, values, momentum):
    """w = shrink * w - lr * sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g.

    g = scale * sum of grads + decay * w; decay and shrink for the first n_decay entries only; the sign of 0 is 0, that
    of NaN is NaN. grads: (shards, n); mask: (n,) bool; values, momentum: (n,), changed in place. Raises InvalidValue
    for rows whose entries do not lie side by side. Source: Chen et al. (2023), algorithm 2.
    """
    noalias()
    kind = values.dtype.type
    tiny = kind(np.finfo(values.dtype).tiny)
    new1, new2 = kind(1 - beta1), kind(1 - beta2)
    scale, lr, beta1, beta2 = kind(scale), kind(lr), kind(beta1), kind(beta2)
    decay, shrink = kind(decay), kind(shrink)
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
        u = beta1 * momentum[i] + new1 * g
        sign = kind(u > 0) - kind(u < 0) if u == u else u  # NaN stays visible
        m = beta2 * momentum[i] + new2 * g
        m *= kind(abs(m) >= tiny)
        values[i] = w - lr * sign if mask[i] else 0
        momentum[i] = m if mask[i] else 0


@kernel
def adam_step(grads, mask, scale, rate, beta1, beta2, eps, root, decay, shrink, n_decay, values, moments):
    """m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²;  w = shrink w - rate m / (sqrt(v) (1 / root) + eps).

    g = scale * sum of grads + decay * w; the caller gives rate = lr / (1 - beta1^t) and root = sqrt(1 - beta2^t) at
    step t; decay and shrink for the first n_decay entries only. grads: (shards, n); mask: (n,) bool; values: (n,) and
    moments: (2, n), m and v, changed in place. Raises InvalidValue for rows whose entries do not lie side by side.
    Sources: Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2, for shrink.
    """
    noalias()
    kind = values.dtype.type
    tiny = kind(np.finfo(values.dtype).tiny)
    new1, new2 = kind(1 - beta1), kind(1 - beta2)
    scale, rate, beta1, beta2 = kind(scale), kind(rate), kind(beta1), kind(beta2)
    eps, grown, decay, shrink = kind(eps), kind(1) / kind(root), kind(decay), kind(shrink)
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
