"""Many steps of a chain of dense layers in one call: gradients, and the optimizer's step, batch after batch.

Several threads make the same call at once. Each step is cut into tasks, first a gradient for each shard of the batch,
then a move for each part of the vector; a thread takes the next task as soon as it is free, and waits where a task
needs what others are still at. So one thread alone finishes too, and the numbers are the same.

What both calls take: X (N, m), y (N,); `order`, row numbers of the epoch; `plan` (5,) int64: rows of a batch, where in
`order` the first begins, how many vectors the optimizer has (1: SGD, 2: Adam), how many parts of the vector move by
themselves, how many leading entries decay; `numbers` (steps, 7) float64, what the optimizer's kernel wants in a step:
lr, momentum, nesterov, decay, shrink; or rate, beta1, beta2, eps, root, decay, shrink; `mask`; `turn` (2,) int64, 0;
`work`, `places` (shards, room), scratch. Written: `losses` (steps, batch) of each row, `grads` (shards, n), `values`
(n,), `vectors` (slots, n_trainable).
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.chain import chain_gradient
from minnet.kernels.jit import kernel
from minnet.kernels.sparse_chain import sparse_chain_gradient
from minnet.kernels.sparse_train import lanes_of
from minnet.kernels.steps import adam_step, sgd_step
from minnet.kernels.tickets import take, wait_for

TAKEN, DONE = 0, 1  # the places of `turn`


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
    parts, size = plan[3], vectors.shape[1]
    low, high = size * part // parts, size * (part + 1) // parts
    g, decaying = grads[:, low:high], max(0, min(high, plan[4]) - low)
    if plan[2] == 1:
        sgd_step(g, mask[low:high], 1.0, row[0], row[1], row[2] != 0, row[3], row[4], decaying, values[low:high],
                 vectors[0, low:high])
    else:
        adam_step(g, mask[low:high], 1.0, row[0], row[1], row[2], row[3], row[4], row[5], row[6], decaying,
                  values[low:high], vectors[:, low:high])


@kernel
def chain_steps(X, y, order, plan, widths, starts, mostly, numbers, mask, turn, work, places, losses, grads, values,
                vectors):
    """One step for each row of `numbers`, each as chain_gradient and the optimizer's kernel make it.

    mostly: the share of nonzero inputs up to which they are taken as sparse.
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
            chain_gradient(X, y, order[start + low : start + high], widths, starts, values,
                           values.dtype.type(1.0 / n), np.int64(mostly * (high - low) * widths[0]), work[task],
                           places[task], losses[step, low:high], grads[task])
        take(turn, DONE)


@kernel
def sparse_chain_steps(X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, grads, values,
                       vectors):
    """The same for chains of which some layers have live weights only; table, first, unit: see sparse_chain.py."""
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
