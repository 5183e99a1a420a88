"""A reference implementation of every kernel: the same name and signature, obvious NumPy, float64 inside.

They are the definition: where a kernel and its reference differ by more than rounding, one of the two is wrong.
"""
import math

import numpy as np
from scipy.special import expit

from minnet.kernels.mlp.zero_blocks import BLOCK_COLUMNS, SLAB_COLUMNS


def wide(x):
    """The same numbers in float64."""
    return np.asarray(x, np.float64)


# --- pointwise -------------------------------------------------------------------------------------------------------


def relu(x, y):
    y[:] = np.where(x <= 0, 0, x)


def relu_backward(dy, y, dx):
    dx[:] = np.where(y <= 0, 0, dy)


def mask_dead(y, dx):
    dx[:] = np.where(y > 0, dx, 0)


def leaky_relu(x, slope, y):
    y[:] = np.where(x <= 0, slope * wide(x), x)


def leaky_relu_backward(dy, y, slope, dx):
    dx[:] = np.where(y <= 0, slope * wide(dy), dy)


def normal_cdf(x, y):
    y[:] = [0.5 * math.erfc(number) for number in (-math.sqrt(0.5) * wide(x)).tolist()]


def dropout(x, keep, scale, y):
    y[:] = np.where(keep != 0, scale * wide(x), 0)


def add_bias(b, y):
    y[:] = wide(y) + b


def add_bias_relu(b, y):
    total = wide(y) + b
    y[:] = np.where(total <= 0, 0, total)


def add_scaled(factor, x, y):
    y[:] = wide(y) + y.dtype.type(factor) * wide(x)


def add_squares(x, sums):
    sums += np.square(wide(x)).sum(axis=0)


def column_sums(dy, out):
    out[:] = wide(dy).sum(axis=0)


# --- losses ----------------------------------------------------------------------------------------------------------


def squared_error(outputs, targets, scale, losses, doutputs):
    error = wide(outputs) - wide(targets)
    losses[:] = (error**2).mean(axis=1)
    doutputs[:] = scale * 2 * error / outputs.shape[1]


def binary_cross_entropy(logits, targets, scale, losses, dlogits):
    z, t = wide(logits), wide(targets)
    losses[:] = (np.logaddexp(0, z) - z * t).mean(axis=1)
    dlogits[:] = scale * (expit(z) - t) / logits.shape[1]


def multiclass_hinge(logits, labels, scale, losses, dlogits):
    losses[:], dlogits[:] = 0, 0
    for z, right, row in zip(wide(logits), labels, range(len(losses)), strict=True):
        others = np.delete(np.arange(z.size), right)
        if others.size:
            margin = 1 + z[others].max() - z[right]
            if not margin <= 0:
                losses[row] = margin
                dlogits[row, others[z[others].argmax()]], dlogits[row, right] = scale, -scale


def softmax_cross_entropy(logits, labels, smoothing, scale, losses, dlogits):
    n, k = logits.shape
    z = wide(logits) - wide(logits).max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(z).sum(axis=1, keepdims=True))
    targets = np.full((n, k), smoothing / k)
    targets[np.arange(n), labels] += 1 - smoothing
    losses[:] = np.where(targets > 0, -targets * (z - log_sum), 0).sum(axis=1)
    dlogits[:] = scale * (np.exp(z - log_sum) - targets)


# --- optimizer steps -------------------------------------------------------------------------------------------------


def zero_masked(mask, values):
    values[~mask] = 0


def soft_threshold(values, amount):
    amount = values.dtype.type(amount)
    values[:] = np.where(np.abs(values) <= amount, 0, values - np.sign(values) * amount)


def square_norm(grads, out):
    out[0] = (wide(grads).sum(axis=0) ** 2).sum()


def sgd_step(grads, mask, scale, settings, n_decay, values, velocity):
    lr, momentum, nesterov, decay, shrink = settings[:5]
    weights = np.arange(values.size) < n_decay
    w = wide(values)
    g = scale * wide(grads).sum(axis=0)
    g = np.where(weights, g + decay * w, g)
    v = momentum * wide(velocity) + g
    d = g + momentum * v if nesterov else v
    values[:] = np.where(mask, np.where(weights, shrink * w, w) - lr * d, 0)
    velocity[:] = np.where(mask, v, 0)


def adam_step(grads, mask, scale, settings, n_decay, values, moments):
    rate, beta1, beta2, eps, root, decay, shrink = settings
    weights = np.arange(values.size) < n_decay
    w = wide(values)
    g = scale * wide(grads).sum(axis=0)
    g = np.where(weights, g + decay * w, g)
    m = beta1 * wide(moments[0]) + (1 - beta1) * g
    v = beta2 * wide(moments[1]) + (1 - beta2) * g**2
    values[:] = np.where(mask, np.where(weights, shrink * w, w) - rate * m / (np.sqrt(v) / root + eps), 0)
    moments[:] = np.where(mask, [m, v], 0)


def lion_step(grads, mask, scale, settings, n_decay, values, momentum):
    lr, beta1, beta2, decay, shrink = settings[:5]
    weights = np.arange(values.size) < n_decay
    w, m = wide(values), wide(momentum)
    g = scale * wide(grads).sum(axis=0)
    g = np.where(weights, g + decay * w, g)
    u = np.sign(beta1 * m + (1 - beta1) * g)
    values[:] = np.where(mask, np.where(weights, shrink * w, w) - lr * u, 0)
    momentum[:] = np.where(mask, beta2 * m + (1 - beta2) * g, 0)


# --- products --------------------------------------------------------------------------------------------------------


def vector_matrix(x, w, y):
    y[:] = wide(x[x != 0]) @ wide(w[x != 0])


def list_blocks(X, rows, low, high, most, index, value, count):
    x = np.zeros((rows.size, len(count) * BLOCK_COLUMNS), X.dtype)
    x[:, : high - low] = X[rows, low:high]
    x = x.reshape(rows.size, -1, BLOCK_COLUMNS)
    some = (x != 0).any(axis=2)
    count[:] = some.sum(axis=0)
    if count.sum() > most:
        count[-1] = -1
        return
    for b, numbers in enumerate(value.reshape(len(count), -1, BLOCK_COLUMNS)):
        index[b, : count[b]] = np.flatnonzero(some[:, b])
        numbers[: count[b]] = x[some[:, b], b]


def unlisted(index, value, count, k):
    x = np.zeros((index.shape[1], len(count), BLOCK_COLUMNS), value.dtype)
    for b, numbers in enumerate(value.reshape(len(count), -1, BLOCK_COLUMNS)):
        x[index[b, : count[b]], b] = numbers[: count[b]]
    return x.reshape(len(x), -1)[:, :k]


def slab_columns(o):
    width = min(o, SLAB_COLUMNS)
    return [slice(c, c + width) for c in [*range(0, o - width, SLAB_COLUMNS), o - width]]


def blocks_forward(index, value, count, w, o, tile, sums, y):
    x = unlisted(index, value, count, w.size // o)[: y.size // o]
    y[:] = (wide(x) @ w.reshape(-1, o)).reshape(-1)


def cut_slabs(dy, low, most, slabs):
    for slab, columns in zip(slabs.reshape(-1, most, SLAB_COLUMNS), slab_columns(dy.shape[1]), strict=True):
        part = dy[:, columns]
        slab[low : low + len(dy), : part.shape[1]] = part


def blocks_backward(index, value, count, slabs, o, tile, dw):
    dy = np.empty((index.shape[1], o))
    for slab, columns in zip(slabs.reshape(-1, len(dy), SLAB_COLUMNS), slab_columns(o), strict=True):
        dy[:, columns] = slab[:, : columns.stop - columns.start]
    dw[:] = (wide(unlisted(index, value, count, dw.size // o)).T @ dy).reshape(-1)


def gather_columns(X, rows, low, out):
    out[:] = X[rows, low : low + out.shape[1]]


def move_rows(base, rows, delta, direction, out):
    out[:] = wide(base[rows]) + wide(delta)[:, None] * direction


# --- a chain of dense layers -----------------------------------------------------------------------------------------


def layers(net, vector):
    """(weight, bias or None) of each layer, as views of the vector."""
    for ins, outs, (weight, bias) in zip(net.widths[:-1], net.widths[1:], net.starts, strict=True):
        w = vector[weight : weight + ins * outs].reshape(ins, outs)
        yield w, vector[bias : bias + outs] if bias >= 0 else None


def stack(widths, vector):
    """The (n, width) of each width, one behind the other in a vector, as views."""
    n = vector.size // widths.sum()
    return [part.reshape(n, -1) for part in np.split(vector, np.cumsum(n * widths)[:-1])]


def mlp_forward(net, values, n, outputs):
    y, *later = stack(net.widths[1:], outputs)
    for x, (w, b) in zip([None, y, *later], layers(net, values), strict=False):
        if x is not None:
            y, later = later[0], later[1:]
            y[:] = wide(x) @ w
        y[:] = wide(y) + (0 if b is None else b)
        if later:
            y[:] = np.maximum(y, 0)


def mlp_backward(net, values, n, outputs, deltas, grads):
    xs, dys = [None, *stack(net.widths[1:], outputs)[:-1]], stack(net.widths[1:], deltas)
    parameters, gradients = list(layers(net, values)), list(layers(net, grads))
    for layer in reversed(range(len(xs))):
        x, dy, (dw, db) = xs[layer], dys[layer], gradients[layer]
        if db is not None:
            db[:] = wide(dy).sum(axis=0)
        if layer > 0:
            dw[:] = wide(x).T @ dy
            dys[layer - 1][:] = np.where(x > 0, wide(dy) @ parameters[layer][0].T, 0)


# --- batch normalisation ---------------------------------------------------------------------------------------------


def batch_norm(x, mean, inverse_std, gain, shift, y):
    y[:] = (wide(x) - mean) * inverse_std * gain + shift


def channel_moments(x, mean, variance):
    mean[:] = wide(x).mean(axis=0)
    variance[:] = wide(x).var(axis=0)


def batch_norm_backward(dy, x, mean, inverse_std, gain, dx, dgain, dshift):
    h = (wide(x) - mean) * inverse_std
    dgain[:] = (dy * h).sum(axis=0)
    dshift[:] = wide(dy).sum(axis=0)
    dx[:] = gain * wide(inverse_std) * (dy - wide(dy).mean(axis=0) - h * (dy * h).mean(axis=0))


# --- images ----------------------------------------------------------------------------------------------------------


def taps(x, out_shape, size, stride, start):
    """Every (position of the output, tap of the window, pixel of the image) that belong together."""
    for oy, ox in np.ndindex(*out_shape):
        for ky, kx in np.ndindex(*size):
            iy, ix = oy * stride[0] - start[0] + ky, ox * stride[1] - start[1] + kx
            if 0 <= iy < x.shape[1] and 0 <= ix < x.shape[2]:
                yield oy, ox, ky, kx, iy, ix


def im2col(x, stride_h, stride_w, top, left, cols):
    cols[...] = 0
    for oy, ox, ky, kx, iy, ix in taps(x, cols.shape[1:3], cols.shape[3:5], (stride_h, stride_w), (top, left)):
        cols[:, oy, ox, ky, kx] = x[:, iy, ix]


def col2im(cols, stride_h, stride_w, top, left, dx):
    total = np.zeros(dx.shape)
    for oy, ox, ky, kx, iy, ix in taps(dx, cols.shape[1:3], cols.shape[3:5], (stride_h, stride_w), (top, left)):
        total[:, iy, ix] += cols[:, oy, ox, ky, kx]
    dx[...] = total


def im2col_planes(x, stride_h, stride_w, top, left, cols):
    kh, kw, n, oh, ow = cols.shape
    by_pixel = np.empty((n, oh, ow, kh, kw, 1), cols.dtype)
    im2col(x, stride_h, stride_w, top, left, by_pixel)
    cols[...] = by_pixel[..., 0].transpose(3, 4, 0, 1, 2)


def conv_pool(x, w, b, sizes, first, stop, cols, y, pooled, winner):
    x, pooled, winner = x[first:stop], pooled[first:stop], winner[first:stop]
    kh, kw, sh, sw, top, left, *pool = sizes
    seen = np.empty((len(x), *y.shape[1:3], kh, kw, x.shape[3]))
    im2col(x, sh, sw, top, left, seen)
    whole = (seen.reshape(-1, len(w)) @ wide(w)).reshape(len(x), *y.shape[1:]) + (b if b.size else 0)
    max_pool(whole, *pool, 0, 0, pooled, winner)


def conv_pool_backward(dpooled, winner, x, w, sizes, first, stop, cols, y, dw_part, dw, dx):
    x, dpooled, winner, dx = x[first:stop], dpooled[first:stop], winner[first:stop], dx[first:stop]
    kh, kw, sh, sw, top, left, *pool = sizes
    seen, dy = np.empty((len(x), *y.shape[1:3], kh, kw, x.shape[3])), np.empty((len(x), *y.shape[1:]))
    im2col(x, sh, sw, top, left, seen)
    max_pool_backward(dpooled, winner, *pool, 0, 0, dy)
    dw += seen.reshape(-1, len(w)).T @ dy.reshape(-1, w.shape[1])
    if dx.size:
        col2im((dy.reshape(-1, w.shape[1]) @ wide(w).T).reshape(seen.shape), sh, sw, top, left, dx)


def average_pool(x, size_h, size_w, stride_h, stride_w, top, left, y):
    total, pixels = np.zeros(y.shape), np.zeros(y.shape)
    for oy, ox, _, _, iy, ix in taps(x, y.shape[1:3], (size_h, size_w), (stride_h, stride_w), (top, left)):
        total[:, oy, ox] += x[:, iy, ix]
        pixels[:, oy, ox] += 1
    y[...] = np.where(pixels > 0, total / pixels, 0)


def average_pool_backward(dy, size_h, size_w, stride_h, stride_w, top, left, dx):
    place = (dy.shape[1:3], (size_h, size_w), (stride_h, stride_w), (top, left))
    total, pixels = np.zeros(dx.shape), np.zeros(dy.shape)
    for oy, ox, *_ in taps(dx, *place):
        pixels[:, oy, ox] += 1
    for oy, ox, _, _, iy, ix in taps(dx, *place):
        total[:, iy, ix] += dy[:, oy, ox] / pixels[:, oy, ox]
    dx[...] = total


def max_pool(x, size_h, size_w, stride_h, stride_w, top, left, y, winner):
    y[...], winner[...] = 0, -1
    for oy, ox, ky, kx, iy, ix in taps(x, y.shape[1:3], (size_h, size_w), (stride_h, stride_w), (top, left)):
        best, value = y[:, oy, ox], x[:, iy, ix]
        better = (winner[:, oy, ox] < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best))
        y[:, oy, ox] = np.where(better, value, best)
        winner[:, oy, ox] = np.where(better, ky * size_w + kx, winner[:, oy, ox])


def max_pool_backward(dy, winner, size_h, size_w, stride_h, stride_w, top, left, dx):
    total = np.zeros(dx.shape)
    place = (dy.shape[1:3], (size_h, size_w), (stride_h, stride_w), (top, left))
    for oy, ox, ky, kx, iy, ix in taps(dx, *place):
        total[:, iy, ix] += np.where(winner[:, oy, ox] == ky * size_w + kx, dy[:, oy, ox], 0)
    dx[...] = total


def depthwise_conv(x, w, stride_h, stride_w, top, left, y):
    total = np.zeros(y.shape[:3] + w.shape[2:])
    for oy, ox, ky, kx, iy, ix in taps(x, y.shape[1:3], w.shape[:2], (stride_h, stride_w), (top, left)):
        total[:, oy, ox] += wide(x[:, iy, ix, :, None]) * w[ky, kx]
    y[...] = total.reshape(y.shape)


def depthwise_conv_backward_input(dy, w, stride_h, stride_w, top, left, dx):
    total = np.zeros(dx.shape)
    dy = wide(dy).reshape(dy.shape[:3] + w.shape[2:])
    for oy, ox, ky, kx, iy, ix in taps(dx, dy.shape[1:3], w.shape[:2], (stride_h, stride_w), (top, left)):
        total[:, iy, ix] += (dy[:, oy, ox] * w[ky, kx]).sum(axis=-1)
    dx[...] = total


def depthwise_conv_backward_weight(dy, x, stride_h, stride_w, top, left, dw):
    total = np.zeros(dw.shape)
    dy = wide(dy).reshape(dy.shape[:3] + dw.shape[2:])
    for oy, ox, ky, kx, iy, ix in taps(x, dy.shape[1:3], dw.shape[:2], (stride_h, stride_w), (top, left)):
        total[ky, kx] += (dy[:, oy, ox] * x[:, iy, ix, :, None]).sum(axis=0)
    dw[...] = total


# --- the selector ----------------------------------------------------------------------------------------------------


def select_lowest(scores, state, k, out):
    index = np.arange(scores.size)
    rank = np.choose(state, [1, 2, 0])  # may go, stays, already gone
    score = np.where(rank == 1, scores + 0.0, 0)  # -0.0 + 0.0 is 0.0
    out[:] = False
    out[np.lexsort((index, score, rank))[:k]] = True


def count_digits(digits, may, counts):
    np.add.at(counts, digits[may], 1)


def mark_lowest(scores, state, kth, ties, out):
    tied = (state == 0) & (scores == kth)
    out[:] = (state == 2) | ((state == 0) & (scores < kth)) | (tied & (np.cumsum(tied) <= ties))


def kth_lowest(bits, state, k, counts, ties, kth):
    scores = bits.view(f"f{bits.itemsize}")[state == 0]
    by_sign_then_score = np.lexsort((~np.signbit(scores), scores))  # -0.0 before 0.0
    ranked = scores[by_sign_then_score]
    kth[0] = ranked[k - 1 : k].view(bits.dtype)[0]
    ties[0] = np.count_nonzero(ranked[:k] == ranked[k - 1])
