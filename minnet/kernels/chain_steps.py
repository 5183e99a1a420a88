"""Many steps of a chain of dense layers in one call: gradients, and the optimizer's step, batch after batch.

Several threads make the same call at once. Each step is cut into tasks, in stages of which each begins when the one
before is done. A thread takes a task that nobody has begun; so one thread alone finishes too, and the numbers are the
same.

What both calls take: X (N, m), y (N,); `order`, row numbers of the epoch; `plan` (5,) int64: rows of a batch, where in
`order` the first begins, how many vectors the optimizer has (1: SGD, 2: Adam; 0: nothing moves), how many parts of the
vector move by themselves, how many leading entries decay; `numbers` (steps, 7) float64, what the optimizer's kernel
wants in a step: lr, momentum, nesterov, decay, shrink; or rate, beta1, beta2, eps, root, decay, shrink; `mask`; `turn`
int64, 0; scratch. Written: `losses` (steps, batch) of each row, `grads` (shards, n), `values` (n,), `vectors` (slots,
n_trainable).
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.chain import chain_backward, chain_forward, chain_inputs
from minnet.kernels.gathered import gather_rows
from minnet.kernels.gathered import turn as by_column
from minnet.kernels.jit import kernel
from minnet.kernels.losses import softmax_cross_entropy
from minnet.kernels.sparse_chain import sparse_chain_gradient
from minnet.kernels.sparse_train import lanes_of
from minnet.kernels.steps import adam_step, sgd_step
from minnet.kernels.tickets import claim, take, wait_for

TAKEN, DONE = 0, 1  # the places of `turn` in `sparse_chain_steps`
TOGETHER = 16  # features whose weights get gradient and step at once: their gradient stays in the first-level cache


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


def chain_room(rows, parts, widths, dtype):
    """Scratch of `chain_steps` for batches of `rows` rows and so many threads: a tuple of arrays.

    The inputs, their nonzeros by row and by column; places of these; what each part of the features gives to the first
    layer (rows, o), and behind them dy of that layer; each part of the rows' outputs and deltas; counts and labels.
    """
    inputs, share = rows * widths[0], -(-rows // parts) * sum(widths[1:])
    return (np.empty((3, inputs), dtype), np.empty((2, inputs), np.int32),
            np.empty((parts + 1, rows, widths[1]), dtype), np.empty((2, parts, share), dtype),
            np.empty((parts + 1) * rows + widths[0], np.int32))


@register_jitable
def features_forward(part, X, rows, batch, widths, sparse, values, work):
    """What a part of the features gives to the first layer."""
    inputs, places, first, _, counts = work
    low, high = edges(widths[0], part, first.shape[0] - 1)
    n, k, o, at = rows.size, high - low, widths[1], batch * low
    x, value = inputs[0, at : at + n * k].reshape(n, k), inputs[1, at : at + n * k].reshape(n, k)
    index, count = places[0, at : at + n * k].reshape(n, k), counts[part * batch : part * batch + n]
    if k > 0:
        chain_inputs(X, rows, low, sparse, values[low * o : high * o].reshape(k, o), x, index, value, count,
                     first[part, :n])
    else:
        first[part, :n] = 0


@register_jitable
def rows_pass(part, y, rows, widths, starts, values, work, losses, grads):
    """All else of the pass for a part of the rows, forward and backward."""
    _, _, first, passes, counts = work
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
    labels = counts[counts.size - n + low : counts.size - n + high]
    for i in range(low, high):
        labels[i - low] = y[rows[i]]
    logits = passed[size - (high - low) * k :].reshape(high - low, k)
    dlogits = deltas[size - (high - low) * k :].reshape(high - low, k)
    softmax_cross_entropy(logits, labels, values.dtype.type(0), values.dtype.type(1.0 / n), losses[low:high], dlogits)
    chain_backward(widths, starts, values, high - low, passed, deltas, own)
    first[parts, low:high] = deltas[: (high - low) * o].reshape(high - low, o)


@register_jitable
def features_backward(part, rows, plan, widths, sparse, row, mask, work, grads, values, vectors):
    """The gradient of a part of the features' weights, and at once their step: a few of them at a time."""
    inputs, places, first, _, counts = work
    batch, parts = plan[0], first.shape[0] - 1
    low, high = edges(widths[0], part, parts)
    n, k, o, at = rows.size, high - low, widths[1], batch * low
    if k == 0:
        return
    dy, total = first[parts, :n], parts * batch
    together = TOGETHER if sparse else k
    if sparse:
        index, value = places[0, at : at + n * k].reshape(n, k), inputs[1, at : at + n * k].reshape(n, k)
        t_index, t_value = places[1, at : at + n * k].reshape(k, n), inputs[2, at : at + n * k].reshape(k, n)
        t_count = counts[total + low : total + high]
        by_column(index, value, counts[part * batch : part * batch + n], t_index, t_value, t_count)
    for begin in range(0, k, together):
        end = min(begin + together, k)
        to = low if plan[2] > 0 else low + begin  # what has moved is needed no more
        own = grads[0, to * o : (to + end - begin) * o]
        if sparse:
            gather_rows(t_index[begin:end], t_value[begin:end], t_count[begin:end], dy, own.reshape(end - begin, o))
        else:
            np.dot(inputs[0, at : at + n * k].reshape(n, k).T, dy, own.reshape(k, o))
        if plan[2] > 0:
            move_window((low + begin) * o, plan, row, mask, own.reshape(1, own.size), values, vectors)


@kernel
def chain_steps(me, X, y, order, plan, widths, starts, sparse, numbers, mask, turn, work, losses, grads, values,
                vectors):
    """One step for each row of `numbers`: the gradient of the mean cross-entropy of a batch, and the optimizer's step.

    The first layer's weights stand at the beginning of `values`; sparse: whether most of X is 0. `me` is this thread's
    number, below the number of shards: it begins with the tasks of that number, whose weights are in its cache. turn:
    (shards + 1,); work: see `chain_room`. Where nothing moves (plan[2] is 0), the sum of the rows of `grads` is the
    gradient of the last step; else what stands there for the first layer's weights is of no account.
    """
    parts = grads.shape[0]
    behind = widths[0] * widths[1]
    for stage in range(3 * numbers.shape[0]):
        wait_for(turn, parts, stage * parts)
        step, kind = stage // 3, stage % 3
        rows = batch_rows(step, plan, order)
        for i in range(parts):
            part = (me + i) % parts
            if not claim(turn, part, stage):
                continue
            if kind == 0:
                features_forward(part, X, rows, plan[0], widths, sparse, values, work)
            elif kind == 1:
                rows_pass(part, y, rows, widths, starts, values, work, losses[step], grads)
            else:
                features_backward(part, rows, plan, widths, sparse, numbers[step], mask, work, grads, values, vectors)
                low, high = edges(vectors.shape[1] - behind, part, parts)
                if plan[2] > 0:
                    move_window(behind + low, plan, numbers[step], mask, grads[:, behind + low : behind + high], values,
                                vectors)
            take(turn, parts)


# --- a chain of which some layers have live weights only --------------------------------------------------------------


@register_jitable
def next_task(turn, steps, shards, parts):
    """(step, task) to do now: task < shards is a gradient, the others are moves; step = steps: nothing is left."""
    ticket = take(turn, TAKEN)
    step, task = ticket // (shards + parts), ticket % (shards + parts)
    if step < steps:
        wait_for(turn, DONE, ticket - task + (0 if task < shards else shards))
    return step, task


@register_jitable
def shard_rows(step, shard, shards, plan, order):
    """(rows of the whole batch; where it begins in `order`; first and end of one shard's part of it)."""
    start = plan[1] + step * plan[0]
    n = min(plan[0], order.size - start)
    return n, start, n * shard // shards, n * (shard + 1) // shards


@kernel
def move_part(part, plan, row, mask, grads, values, vectors):
    """One part of the vector moves one step. row: (7,), one of `numbers`; grads: (shards, n_trainable)."""
    low, high = edges(vectors.shape[1], part, plan[3])
    move_window(low, plan, row, mask, grads[:, low:high], values, vectors)


@kernel
def sparse_chain_steps(X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, grads, values,
                       vectors):
    """The same for chains of which some layers have live weights only; table, first, unit: see sparse_chain.py.

    A task is a gradient for a shard of the batch, or a move for a part of the vector. turn: (2,); work, places:
    (shards, room).
    """
    shards, steps = grads.shape[0], numbers.shape[0]
    while True:
        step, task = next_task(turn, steps, shards, plan[3])
        if step >= steps:
            return
        n, start, low, high = shard_rows(step, task, shards, plan, order)
        if task >= shards:
            move_part(task - shards, plan, numbers[step], mask, grads[:, : vectors.shape[1]], values, vectors)
        elif high == low:
            grads[task, :] = 0
        else:
            sparse_chain_gradient(X, y, order[start + low : start + high], table, first, unit, values,
                                  values.dtype.type(1.0 / n), lanes_of(high - low), work[task],
                                  places[task, : high - low], losses[step, low:high], grads[task])
        take(turn, DONE)
