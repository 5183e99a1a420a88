"""Many steps of a chain of dense layers in one call: gradients, and the optimizer's step, batch after batch.

Several threads make the same call at once. Each step is cut into tasks, in stages of which each begins when the one
before is done. A thread takes a task that nobody has begun; so one thread alone finishes too, and the numbers are the
same.

What both calls take: X (N, m), y (N,); `order`, row numbers of the epoch; `plan` (5,) int64: rows of a batch, where in
`order` the first begins, how many vectors the optimizer has (1: SGD, 2: Adam; 0: nothing moves), how many threads make
the call, how many leading entries decay; `numbers` (steps, 7) float64, what the optimizer's kernel
wants in a step: lr, momentum, nesterov, decay, shrink; or rate, beta1, beta2, eps, root, decay, shrink; `mask`; `turn`
int64, 0; scratch. Written: `losses` (steps, batch) of each row, `grads` (shards, n), `values` (n,), `vectors` (slots,
n_trainable).
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.mlp.dense import chain_backward, chain_forward, take_columns
from minnet.kernels.mlp.sparse import sparse_chain_gradient
from minnet.kernels.mlp.zero_blocks import BLOCK, WIDTH, blocks_backward, blocks_forward, cut_slabs, list_blocks
from minnet.kernels.simd.atomics import compare_and_increment, fetch_add, spin_until
from minnet.kernels.simd.attributes import prefetch
from minnet.kernels.steps import adam_step, sgd_step

LINE = 64  # bytes of a cache line
TOGETHER = 4  # blocks of features whose weights get gradient and step at once: it stays in the first-level cache


@register_jitable
def edges(size, part, parts):
    """Where a part of `size` things begins and ends."""
    return size * part // parts, size * (part + 1) // parts


@register_jitable
def batch_rows(step, plan, order):
    """The row numbers of a batch."""
    start = plan[1] + step * plan[0]
    return order[start : min(start + plan[0], order.size)]


@kernel
def move_window(low, plan, row, mask, grads, values, vectors):
    """One step of the optimizer for the entries from `low` on. row: (7,), one of `numbers`; grads: (shards, k)."""
    high = low + grads.shape[1]
    decaying = max(0, min(high, plan[4]) - low)
    if plan[2] == 1:
        sgd_step(grads, mask[low:high], 1.0, row[0], row[1], row[2] != 0, row[3], row[4], decaying, values[low:high],
                 vectors[0, low:high])
    else:
        adam_step(grads, mask[low:high], 1.0, row[0], row[1], row[2], row[3], row[4], row[5], row[6], decaying,
                  values[low:high], vectors[:, low:high])


# --- a dense chain: a part of the features forward, a part of the rows, a part of the features backward --------------


@register_jitable
def features(part, parts, size):
    """(first, end) of a part of the features; (first, end) of their blocks."""
    low, high = edges((size + BLOCK - 1) // BLOCK, part, parts)
    return BLOCK * low, min(BLOCK * high, size), low, high


@register_jitable
def features_forward(part, X, rows, widths, sparse, values, work):
    """What a part of the features gives to the first layer."""
    index, value, count, first, _, _, near = work
    low, high, begin, end = features(part, first.shape[0] - 1, widths[0])
    n, k, o, room = rows.size, high - low, widths[1], BLOCK * index.shape[1]
    y, w, own = first[part, :n], values[low * o : high * o], value[room * begin : room * end]
    if k == 0:
        y[:] = 0
    elif sparse:
        list_blocks(X, rows, low, high, index.size, index[begin:end], own, count[begin:end])
        tile, sums = near[part, : BLOCK * WIDTH], near[part, BLOCK * WIDTH :]
        blocks_forward(index[begin:end], own, count[begin:end], w, o, tile, sums, y.reshape(-1))
    else:
        x = own[: n * k].reshape(n, k)
        take_columns(X, rows, low, x)
        np.dot(x, w.reshape(k, o), y)


@register_jitable
def rows_pass(part, y, rows, widths, starts, sparse, values, work, losses, grads):
    """All else of the pass for a part of the rows, forward and backward."""
    index, _, counts, first, slabs, passes, _ = work
    parts, n, o, k = first.shape[0] - 1, rows.size, widths[1], widths[-1]
    low, high = edges(n, part, parts)
    size = (high - low) * widths[1:].sum()
    passed, deltas = passes[0, part, :size], passes[1, part, :size]
    own = grads[part]
    if high == low:
        own[widths[0] * o :] = 0
        return
    z = passed[: (high - low) * o].reshape(high - low, o)
    z[:] = first[0, low:high]
    for other in range(1, parts):
        z += first[other, low:high]
    chain_forward(widths, starts, values, high - low, passed)
    labels = counts[counts.size - n :]
    for i in range(low, high):
        labels[i] = y[rows[i]]
    logits = passed[size - (high - low) * k :].reshape(high - low, k)
    dlogits = deltas[size - (high - low) * k :].reshape(high - low, k)
    softmax_cross_entropy(logits, labels[low:high], values.dtype.type(0), values.dtype.type(1.0 / n), losses[low:high],
                          dlogits)
    chain_backward(widths, starts, values, high - low, passed, deltas, own)
    dy = deltas[: (high - low) * o].reshape(high - low, o)
    if sparse:
        cut_slabs(dy, low, index.shape[1], slabs)
    else:
        first[parts, low:high] = dy


@register_jitable
def ask_for(X, rows, low, high, group, groups):
    """Have a share of X[rows, low:high] on its way to the cache: rows of a shuffled epoch are a long way off."""
    first, end = edges(rows.size, group, groups)
    numbers, line = X.reshape(-1), LINE // X.itemsize
    for i in range(first, end):
        start = rows[i] * X.shape[1]
        for at in range(start + low, start + high, line):
            prefetch(numbers, at)


@register_jitable
def features_backward(part, X, rows, coming, plan, widths, sparse, row, mask, work, grads, values, vectors):
    """The gradient of a part of the features' weights, and at once their step: a few of them at a time.

    Meanwhile the rows of the batch that is `coming` are fetched.
    """
    index, value, count, first, slabs, _, near = work
    parts, n, o, room = first.shape[0] - 1, rows.size, widths[1], BLOCK * index.shape[1]
    low, high, begin, end = features(part, parts, widths[0])
    together = TOGETHER if sparse else max(1, end - begin)
    for b in range(begin, end, together):
        e = min(b + together, end)
        at, k = BLOCK * b * o, min(BLOCK * e, high) - BLOCK * b
        to = low * o if plan[2] > 0 else at  # what has moved is needed no more
        own, x = grads[0, to : to + k * o], value[room * b : room * e]
        ask_for(X, coming, low, high, (b - begin) // together, (end - begin + together - 1) // together)
        if sparse:
            blocks_backward(index[b:e], x, count[b:e], slabs, o, near[part, : BLOCK * WIDTH], own)
        else:
            np.dot(x[: n * k].reshape(n, k).T, first[parts, :n], own.reshape(k, o))
        if plan[2] > 0:
            move_window(at, plan, row, mask, own.reshape(1, own.size), values, vectors)


@kernel
def chain_steps(me, X, y, order, plan, widths, starts, sparse, numbers, mask, turn, work, losses, grads, values,
                vectors):
    """One step for each row of `numbers`: the gradient of the mean cross-entropy of a batch, and the optimizer's step.

    The first layer's weights stand at the beginning of `values`; sparse: whether most blocks of X are 0. `me` is this
    thread's number, below the number of shards: it begins with the tasks of that number, whose weights are in its
    cache. turn: (shards + 1,). Where nothing moves (plan[2] is 0), the sum of the rows of `grads` is the gradient of
    the last step; else what stands there for the first layer's weights is of no account.

    work is seven arrays, for batches of so many rows: index (blocks, rows) and value of blocks.py, or in `value` the
    inputs themselves; counts (blocks + rows,), the count of blocks.py and behind it labels; first (shards + 1, rows,
    o), what each part of the features gives to the first layer, and behind them dy of that layer; the slabs of dy;
    passes (2, shards, room), each part of the rows' outputs and deltas; tile and sums, a row for each thread.
    """
    parts = grads.shape[0]
    behind = widths[0] * widths[1]
    for stage in range(3 * numbers.shape[0]):
        spin_until(turn, parts, stage * parts)
        step, kind = stage // 3, stage % 3
        rows = batch_rows(step, plan, order)
        for i in range(parts):
            part = (me + i) % parts
            if not compare_and_increment(turn, part, stage):
                continue
            if kind == 0:
                features_forward(part, X, rows, widths, sparse, values, work)
            elif kind == 1:
                rows_pass(part, y, rows, widths, starts, sparse, values, work, losses[step], grads)
            else:
                coming = batch_rows(step + 1, plan, order)
                features_backward(part, X, rows, coming, plan, widths, sparse, numbers[step], mask, work, grads, values,
                                  vectors)
                low, high = edges(vectors.shape[1] - behind, part, parts)
                if plan[2] > 0:
                    move_window(behind + low, plan, numbers[step], mask, grads[:, behind + low : behind + high], values,
                                vectors)
            fetch_add(turn, parts)


# --- a chain of which some layers have live weights only --------------------------------------------------------------


@kernel
def sparse_chain_steps(me, X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, grads,
                       values, vectors):
    """The same for chains of which some layers have live weights only; table, first, unit: see sparse_chain.py.

    A task is the gradient of a part of the batch, or the step of a part of the vector. turn: (shards + 1,); work,
    places: (shards, room).
    """
    parts = grads.shape[0]
    for stage in range(2 * numbers.shape[0]):
        spin_until(turn, parts, stage * parts)
        step = stage // 2
        rows = batch_rows(step, plan, order)
        for i in range(parts):
            part = (me + i) % parts
            if not compare_and_increment(turn, part, stage):
                continue
            low, high = edges(rows.size if stage % 2 == 0 else vectors.shape[1], part, parts)
            if stage % 2 == 1:
                move_window(low, plan, numbers[step], mask, grads[:, low:high], values, vectors)
            elif high == low:
                grads[part, :] = 0
            else:
                sparse_chain_gradient(X, y, rows[low:high], table, first, unit, values,
                                      values.dtype.type(1.0 / rows.size), work[part], places[part, : high - low],
                                      losses[step, low:high], grads[part])
            fetch_add(turn, parts)
