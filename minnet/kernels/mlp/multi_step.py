"""Many training steps of an MLP in one call: gradients, and the optimizer's step, batch after batch.

Several threads make the same call at once. Each step is cut into tasks, in stages of which each begins when the one
before is done. A thread takes any task that no other has begun: so one thread alone finishes too, and the numbers are
the same. The work of a stage has as many tasks, called shards, as there are rows in `grads`.

What the kernels here and in small_batch.py take:

    shard      the number of this thread, below the number of shards: it begins with the tasks of that number
    data       as Data, the data set and the order of its rows in this epoch
    plan       (PLAN_COLUMNS,) int64, see BATCH, ...
    net        as Mlp or SparseMlp
    settings   (steps, SETTINGS) float64, those of the optimizer for each step (see kernels/steps.py); `mlp_steps` takes
               None too: only the gradients are computed, by code that is compiled without the optimizers' steps
    mask       (n,) bool
    progress   int64, zeros: counters that threads share (see each kernel)
    workspace  scratch, as MlpWorkspace or SparseMlpWorkspace
    losses     (steps, batch) float64: written, the loss of each row
    grads      (shards, n): written
    values     (n,): updated
    vectors    (slots, n_trainable), the optimizer's: updated

`data`, `net` and `workspace` come as plain tuples and get their names inside: of a named tuple Numba makes an object
for each field at every call, which stays until the garbage collector comes.
"""
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.mlp.dense import Mlp, gather_columns, mlp_backward, mlp_forward
from minnet.kernels.mlp.sparse import SparseMlp, sparse_mlp_gradient
from minnet.kernels.mlp.zero_blocks import (
    BLOCK_COLUMNS,
    SLAB_COLUMNS,
    blocks_backward,
    blocks_forward,
    cut_slabs,
    list_blocks,
)
from minnet.kernels.simd.atomics import compare_and_increment, fetch_add, spin_until
from minnet.kernels.simd.attributes import prefetch
from minnet.kernels.steps import ADAM_STEP, SGD_STEP, adam_step, lion_step, sgd_step

CACHE_LINE = 64  # bytes
BLOCKS_AT_ONCE = 4  # blocks of features whose weights get gradient and step at once: both stay in the first-level cache

# The columns of `plan`: rows of a batch; where in the order of rows the first batch begins; which step the optimizer
# makes (SGD_STEP, ...); how many threads make the call; how many leading entries of `values` decay; 1 if most blocks of
# X are 0, so that the first layer is computed by blocks.
BATCH, FIRST_ROW, STEP, SHARDS, DECAYING, ZERO_BLOCKS = range(6)
PLAN_COLUMNS = 6


class Data(NamedTuple):
    """X (N, m); y (N,) classes; order (rows of an epoch,) int64, numbers of rows of X."""

    X: object
    y: object
    order: object


class MlpWorkspace(NamedTuple):
    """Scratch of `mlp_steps`, for batches of `rows` rows and a first layer of o outputs."""

    index: object     # (blocks, rows) int32, of zero_blocks.py
    value: object     # (blocks * rows * BLOCK_COLUMNS,), of zero_blocks.py; or the inputs themselves
    counts: object    # (blocks + rows,) int32, the `count` of zero_blocks.py, then labels
    partial: object   # (shards + 1, rows, o), what each shard of the features adds to the first layer; then its dy
    slabs: object     # dy of the first layer in slabs
    passes: object    # (2, shards, size), outputs and deltas of each shard of the rows
    tiles: object     # (shards, (BLOCK_COLUMNS + rows) * SLAB_COLUMNS), `tile` and `sums` of zero_blocks.py


class SparseMlpWorkspace(NamedTuple):
    """Scratch of `sparse_mlp_steps` and `small_batch_steps`."""

    numbers: object   # (shards or 1, size), see sparse_mlp_workspace and small_batch_workspace
    labels: object    # (shards or 1, rows) int32


@register_jitable
def shard_range(size, shard, shards):
    """Return (begin, end) of a shard of `size` things."""
    return size * shard // shards, size * (shard + 1) // shards


@register_jitable
def batch_rows(step, plan, order):
    """Return the row numbers of a batch."""
    start = plan[FIRST_ROW] + step * plan[BATCH]
    return order[start : min(start + plan[BATCH], order.size)]


@kernel
def step_window(low, plan, settings, mask, grads, values, vectors):
    """Make the optimizer's step for the entries from `low` on. settings: (SETTINGS,); grads: (shards, k)."""
    high = low + grads.shape[1]
    decaying = max(0, min(high, plan[DECAYING]) - low)
    if plan[STEP] == SGD_STEP:
        sgd_step(grads, mask[low:high], 1.0, settings, decaying, values[low:high], vectors[0, low:high])
    elif plan[STEP] == ADAM_STEP:
        adam_step(grads, mask[low:high], 1.0, settings, decaying, values[low:high], vectors[:, low:high])
    else:
        lion_step(grads, mask[low:high], 1.0, settings, decaying, values[low:high], vectors[0, low:high])


# --- a dense MLP: a shard of the features forward, a shard of the rows, a shard of the features backward -------------


@register_jitable
def feature_shard(shard, shards, size):
    """Return (begin, end) of a shard of the features, which is whole blocks, and (begin, end) of their blocks."""
    low, high = shard_range((size + BLOCK_COLUMNS - 1) // BLOCK_COLUMNS, shard, shards)
    return BLOCK_COLUMNS * low, min(BLOCK_COLUMNS * high, size), low, high


@register_jitable
def features_forward(shard, X, rows, plan, net, values, workspace):
    """Compute what a shard of the features adds to the outputs of the first layer."""
    index, count = workspace.index, workspace.counts
    low, high, begin, end = feature_shard(shard, workspace.partial.shape[0] - 1, net.widths[0])
    n, k, o, stride = rows.size, high - low, net.widths[1], BLOCK_COLUMNS * index.shape[1]
    y, w = workspace.partial[shard, :n], values[low * o : high * o]
    own = workspace.value[stride * begin : stride * end]
    if k == 0:
        y[:] = 0
    elif plan[ZERO_BLOCKS]:
        list_blocks(X, rows, low, high, index.size, index[begin:end], own, count[begin:end])
        tile = workspace.tiles[shard, : BLOCK_COLUMNS * SLAB_COLUMNS]
        sums = workspace.tiles[shard, BLOCK_COLUMNS * SLAB_COLUMNS :]
        blocks_forward(index[begin:end], own, count[begin:end], w, o, tile, sums, y.reshape(-1))
    else:
        x = own[: n * k].reshape(n, k)
        gather_columns(X, rows, low, x)
        np.dot(x, w.reshape(k, o), y)


@register_jitable
def rows_pass(shard, y, rows, plan, net, values, workspace, losses, grads):
    """Compute the rest of the pass for a shard of the rows, forward and backward."""
    partial, widths = workspace.partial, net.widths
    shards, n, o, k = partial.shape[0] - 1, rows.size, widths[1], widths[-1]
    low, high = shard_range(n, shard, shards)
    size = (high - low) * widths[1:].sum()
    outputs, deltas = workspace.passes[0, shard, :size], workspace.passes[1, shard, :size]
    own = grads[shard]
    if high == low:
        own[widths[0] * o :] = 0
        return
    # the sums of the first layer, always in the order of the shards: the bits do not depend on which is done first
    z = outputs[: (high - low) * o].reshape(high - low, o)
    for i in range(low, high):
        for j in range(o):  # entry by entry: what Numba makes of z[:] = ... takes seconds to compile
            total = partial[0, i, j]
            for other in range(1, shards):
                total += partial[other, i, j]
            z[i - low, j] = total
    mlp_forward(net, values, high - low, outputs)
    labels = workspace.counts[workspace.counts.size - n :]
    for i in range(low, high):
        labels[i] = y[rows[i]]
    logits = outputs[size - (high - low) * k :].reshape(high - low, k)
    dlogits = deltas[size - (high - low) * k :].reshape(high - low, k)
    softmax_cross_entropy(logits, labels[low:high], values.dtype.type(0), values.dtype.type(1.0 / n), losses[low:high],
                          dlogits)
    mlp_backward(net, values, high - low, outputs, deltas, own)
    dy = deltas[: (high - low) * o].reshape(high - low, o)
    if plan[ZERO_BLOCKS]:
        cut_slabs(dy, low, workspace.index.shape[1], workspace.slabs)
    else:
        for i in range(low, high):
            for j in range(o):
                partial[shards, i, j] = dy[i - low, j]


@register_jitable
def prefetch_rows(X, rows, low, high, group, groups):
    """Prefetch a share of X[rows, low:high]: rows of a shuffled epoch are scattered over the memory."""
    first, end = shard_range(rows.size, group, groups)
    numbers, line = X.reshape(-1), CACHE_LINE // X.itemsize
    for i in range(first, end):
        start = rows[i] * X.shape[1]
        for at in range(start + low, start + high, line):
            prefetch(numbers, at)


@register_jitable
def features_backward(shard, step, data, plan, net, settings, mask, workspace, grads, values, vectors):
    """Compute the gradient of a shard of the features' weights, and make their step, some blocks at a time.

    Meanwhile the rows of the next batch are prefetched.
    """
    rows, coming = batch_rows(step, plan, data.order), batch_rows(step + 1, plan, data.order)
    index, value, count = workspace.index, workspace.value, workspace.counts
    shards, n, o = workspace.partial.shape[0] - 1, rows.size, net.widths[1]
    stride = BLOCK_COLUMNS * index.shape[1]
    low, high, begin, end = feature_shard(shard, shards, net.widths[0])
    together = BLOCKS_AT_ONCE if plan[ZERO_BLOCKS] else max(1, end - begin)
    for b in range(begin, end, together):
        e = min(b + together, end)
        at, k = BLOCK_COLUMNS * b * o, min(BLOCK_COLUMNS * e, high) - BLOCK_COLUMNS * b
        # a gradient is needed no more once its step is made: the next one overwrites it, in the cache
        to = at if settings is None else low * o
        own, x = grads[0, to : to + k * o], value[stride * b : stride * e]
        prefetch_rows(data.X, coming, low, high, (b - begin) // together, (end - begin + together - 1) // together)
        if plan[ZERO_BLOCKS]:
            tile = workspace.tiles[shard, : BLOCK_COLUMNS * SLAB_COLUMNS]
            blocks_backward(index[b:e], x, count[b:e], workspace.slabs, o, tile, own)
        else:
            np.dot(x[: n * k].reshape(n, k).T, workspace.partial[shards, :n], own.reshape(k, o))
        if settings is not None:
            # a slice of two dimensions, as in all calls of step_window: so it is compiled for one layout only
            step_window(at, plan, settings[step], mask, grads[:1, to : to + k * o], values, vectors)


@kernel
def mlp_steps(shard, data, plan, net, settings, mask, progress, workspace, losses, grads, values, vectors):
    """Make a training step for each row of `losses`, of a dense MLP and the mean cross-entropy of a batch.

    The first layer's weights are at the beginning of `values`. progress: (shards + 1,), the next stage of each task,
    then the number of tasks done; workspace: MlpWorkspace. Where no step is made, the sum of the rows of
    `grads` is the gradient of the last batch; else what is there for the first layer's weights is undefined.
    """
    given, mlp = Data(data[0], data[1], data[2]), Mlp(net[0], net[1])
    scratch = MlpWorkspace(workspace[0], workspace[1], workspace[2], workspace[3],
                           workspace[4], workspace[5], workspace[6])
    shards = grads.shape[0]
    behind = mlp.widths[0] * mlp.widths[1]
    for stage in range(3 * losses.shape[0]):
        spin_until(progress, shards, stage * shards)
        step, kind = stage // 3, stage % 3
        rows = batch_rows(step, plan, given.order)
        for i in range(shards):
            part = (shard + i) % shards  # its own first: their weights are in this core's cache
            if not compare_and_increment(progress, part, stage):
                continue
            if kind == 0:
                features_forward(part, given.X, rows, plan, mlp, values, scratch)
            elif kind == 1:
                rows_pass(part, given.y, rows, plan, mlp, values, scratch, losses[step], grads)
            else:
                features_backward(part, step, given, plan, mlp, settings, mask, scratch, grads, values, vectors)
                if settings is not None:
                    low, high = shard_range(vectors.shape[1] - behind, part, shards)
                    step_window(behind + low, plan, settings[step], mask, grads[:, behind + low : behind + high],
                                values, vectors)
            fetch_add(progress, shards)


# --- an MLP of which some layers have live weights only ---------------------------------------------------------------


@kernel
def sparse_mlp_steps(shard, data, plan, net, settings, mask, progress, workspace, losses, grads, values, vectors):
    """Make a training step for each row of `settings`, of an MLP of which some layers have live weights only.

    A task is the gradient of a shard of the batch, or the step of a shard of the vector. progress: (shards + 1,), as in
    `mlp_steps`; workspace: SparseMlpWorkspace, with a row for each shard.
    """
    given, mlp = Data(data[0], data[1], data[2]), SparseMlp(net[0], net[1], net[2])
    scratch = SparseMlpWorkspace(workspace[0], workspace[1])
    shards = grads.shape[0]
    for stage in range(2 * settings.shape[0]):
        spin_until(progress, shards, stage * shards)
        step = stage // 2
        rows = batch_rows(step, plan, given.order)
        for i in range(shards):
            part = (shard + i) % shards
            if not compare_and_increment(progress, part, stage):
                continue
            low, high = shard_range(rows.size if stage % 2 == 0 else vectors.shape[1], part, shards)
            if stage % 2 == 1:
                step_window(low, plan, settings[step], mask, grads[:, low:high], values, vectors)
            elif high == low:  # fewer rows than shards
                grads[part, :] = 0
            else:
                sparse_mlp_gradient(given.X, given.y, rows[low:high], mlp, values, values.dtype.type(1.0 / rows.size),
                                    scratch.numbers[part], scratch.labels[part, : high - low],
                                    losses[step, low:high], grads[part])
            fetch_add(progress, shards)
