"""Many training steps of a sparse MLP on batches of a few rows, in one call; threads share layers, not rows.

Each step is a sequence of phases: forward through each layer, the loss, backward through each layer. A phase is cut
into shards, one for each thread, with equal numbers of the layer's weights: a shard is a range of its inputs. Forward,
each shard adds what its inputs contribute to sums of its own; the next phase adds these up. Backward, each shard
computes the gradients of its inputs and of a block of its weights, makes the step of these, and continues with the next
block: a gradient never leaves the cache. A thread that is free takes the next shard, and waits if the phase before is
not over; so one thread alone finishes too. Only weights and biases of the layers are trained: there are no other
parameters.

Arguments are those of multi_step.py; `grads` (shards, at least STEP_BLOCK and the outputs of the widest layer) is
scratch. workspace.numbers (1, small_batch_workspace(...)) holds x and the inputs of all other layers, feature-major;
the sums of each shard for the outputs of all layers; the gradients of these outputs; and the logits, row-major, with
their gradients.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.layers.pointwise import relu
from minnet.kernels.mlp.dense import mask_dead
from minnet.kernels.mlp.multi_step import SHARDS, Data, SparseMlpWorkspace, batch_rows, shard_range, step_window
from minnet.kernels.mlp.sparse import BIAS, DENSE, INDICES, INDPTR, INS, LIVE, OUTS, WEIGHT, SparseMlp
from minnet.kernels.simd.atomics import fetch_add, spin_until
from minnet.kernels.sparse.spmm import (
    backward_coo,
    gradient_coo,
    padded_batch,
    row_sums,
    scatter_coo,
    to_feature_major,
    to_row_major,
)

TAKEN, DONE = 0, 1  # the entries of `progress`: shards begun, and shards done, of all phases of all steps
STEP_BLOCK = 2**16  # weights whose step is made as soon as their gradient is there: both fit in the second-level cache


def small_batch_workspace(rows, lanes, widths, shards):
    """Return the length of a row of workspace.numbers for that many rows, lanes and shards."""
    return lanes * (sum(widths) + (shards + 1) * sum(widths[1:])) + 2 * rows * widths[-1]


@register_jitable
def input_range(layer, shard, shards, net):
    """Return (first, end) of the inputs of a layer that one shard has: about as many weights as each other."""
    ins, live = net.table[layer, INS], net.table[layer, LIVE]
    if live == DENSE:
        return shard_range(ins, shard, shards)
    indptr = net.indptr[net.table[layer, INDPTR] : net.table[layer, INDPTR] + ins + 1]
    low = 0 if shard == 0 else np.searchsorted(indptr, live * shard // shards)
    high = ins if shard == shards - 1 else np.searchsorted(indptr, live * (shard + 1) // shards)
    return low, high


@register_jitable
def shard_forward(layer, shard, shards, X, rows, net, values, lanes, inputs, sums):
    """Compute the inputs of a layer that a shard has, and what they add to its outputs.

    X: (N, m); rows: (n,) row numbers; inputs: x and the other layers' inputs; sums: (shards, lanes of all outputs).
    """
    table, indices = net.table, net.indices
    ins, outs, live = table[layer, INS], table[layer, OUTS], table[layer, LIVE]
    here, there = lanes * table[:layer, INS].sum(), lanes * table[:layer, OUTS].sum()
    low, high = input_range(layer, shard, shards, net)
    x, y = inputs[here + lanes * low : here + lanes * high], sums[shard, there : there + lanes * outs]
    if layer == 0:
        for j in range(low, high):
            for i in range(lanes):
                x[(j - low) * lanes + i] = X[rows[i], j] if i < rows.size else 0
    else:  # the sums of all shards of the layer before, in their order, and the ReLU
        before = there - lanes * ins + lanes * low
        for i in range(x.size):
            total = sums[0, before + i]
            for other in range(1, shards):
                total += sums[other, before + i]
            x[i] = total
        relu(x, x)
    whole = inputs[here : here + lanes * ins].reshape(ins, lanes)
    x, y = x.reshape(high - low, lanes), y.reshape(outs, lanes)
    weight, bias = table[layer, WEIGHT], table[layer, BIAS]
    if live == DENSE and high > low:
        np.dot(values[weight + low * outs : weight + high * outs].reshape(high - low, outs).T, x, y)
    else:
        y[:] = 0
    if live != DENSE:
        at, begins = table[layer, INDICES], table[layer, INDPTR]
        begin, end = net.indptr[begins + low], net.indptr[begins + high]
        scatter_coo(indices[at + live + begin : at + live + end], indices[at + begin : at + end],
                    values[weight + begin : weight + end], whole, y)
    if shard == 0:
        for o in range(outs):
            for i in range(lanes):
                y[o, i] += values[bias + o]


@register_jitable
def batch_loss(y, rows, lanes, sums, labels, losses, logits, dlogits, dy):
    """Compute the loss of each row, and the gradient of the logits, feature-major.

    sums: (shards, lanes of all outputs); labels: (n,) int32, scratch; logits, dlogits: (n, k); dy: (k, lanes).
    """
    n, k = logits.shape
    last = sums.shape[1] - lanes * k
    total = sums[0, last:]
    for shard in range(1, sums.shape[0]):
        total += sums[shard, last:]
    to_row_major(total.reshape(k, lanes), logits)
    for i in range(n):
        labels[i] = y[rows[i]]
    softmax_cross_entropy(logits, labels, logits.dtype.type(0), logits.dtype.type(1.0 / n), losses, dlogits)
    to_feature_major(dlogits, dy)


@register_jitable
def shard_backward(layer, shard, plan, settings, mask, net, lanes, inputs, deltas, grads, values, vectors):
    """Compute a shard's gradients of a layer: of its inputs in `deltas`; its weights and biases are stepped."""
    table, indices, shards = net.table, net.indices, plan[SHARDS]
    ins, outs, live = table[layer, INS], table[layer, OUTS], table[layer, LIVE]
    here, there = lanes * table[:layer, INS].sum(), lanes * table[:layer, OUTS].sum()
    weight, bias, begins, at = table[layer, WEIGHT], table[layer, BIAS], table[layer, INDPTR], table[layer, INDICES]
    x = inputs[here : here + lanes * ins].reshape(ins, lanes)
    dy = deltas[there : there + lanes * outs].reshape(outs, lanes)
    # the outputs of the layer before are this one's inputs; the first layer has no dx, and x only gives the type
    dx = x if layer == 0 else deltas[there - lanes * ins : there].reshape(ins, lanes)
    low, high = input_range(layer, shard, shards, net)
    if layer > 0:
        dx[low:high] = 0
    start, stop = (low * outs, high * outs) if live == DENSE else (net.indptr[begins + low], net.indptr[begins + high])
    # a block is whole inputs of a dense layer; of a sparse one it is any range of its weights
    block = STEP_BLOCK if live != DENSE else max(1, STEP_BLOCK // outs) * outs
    for begin in range(start, stop, block):
        end = min(begin + block, stop)
        g, w = grads[shard, : end - begin], values[weight + begin : weight + end]
        if live != DENSE:
            coo_rows, own = indices[at + live + begin : at + live + end], indices[at + begin : at + end]
            if layer > 0:  # reads the weights, which the step below changes
                backward_coo(coo_rows, own, w, x, dy, g, dx)
            else:
                gradient_coo(coo_rows, own, x, dy, g)
        else:
            rows, shape = slice(begin // outs, end // outs), ((end - begin) // outs, outs)
            np.dot(x[rows], dy.T, g.reshape(shape))
            if layer > 0:
                np.dot(w.reshape(shape), dy, dx[rows])
        step_window(weight + begin, plan, settings, mask, grads[shard : shard + 1, : end - begin], values, vectors)
    if layer > 0:
        mask_dead(x[low:high].reshape(-1), dx[low:high].reshape(-1))
    begin, end = shard_range(outs, shard, shards)
    row_sums(dy[begin:end], grads[shard, : end - begin])
    step_window(bias + begin, plan, settings, mask, grads[shard : shard + 1, : end - begin], values, vectors)


@kernel
def small_batch_steps(data, plan, net, settings, mask, progress, workspace, losses, grads, values, vectors):
    """Make a training step for each row of `settings`; see multi_step.py for the arguments. progress: (2,)."""
    given, mlp = Data(data[0], data[1], data[2]), SparseMlp(net[0], net[1], net[2])
    scratch = SparseMlpWorkspace(workspace[0], workspace[1])
    table, shards = mlp.table, plan[SHARDS]
    layers, k = table.shape[0], table[table.shape[0] - 1, OUTS]
    phases, ins, outs = 2 * layers + 1, table[:, INS].sum(), table[:, OUTS].sum()
    while True:
        task = fetch_add(progress, TAKEN)
        step, phase, shard = task // (phases * shards), task // shards % phases, task % shards
        if step >= settings.shape[0]:
            return
        spin_until(progress, DONE, task - shard)
        rows = batch_rows(step, plan, given.order)
        n, lanes, numbers = rows.size, padded_batch(rows.size), scratch.numbers[0]
        inputs = numbers[: lanes * ins]
        sums = numbers[lanes * ins : lanes * (ins + shards * outs)].reshape(shards, lanes * outs)
        deltas = numbers[lanes * (ins + shards * outs) : lanes * (ins + (shards + 1) * outs)]
        if phase < layers:
            shard_forward(phase, shard, shards, given.X, rows, mlp, values, lanes, inputs, sums)
        elif phase > layers:
            shard_backward(2 * layers - phase, shard, plan, settings[step], mask, mlp, lanes, inputs, deltas, grads,
                           values, vectors)
        elif shard == 0:  # the loss is too little work to be shared
            logits = numbers[numbers.size - 2 * n * k :].reshape(2, n, k)
            batch_loss(given.y, rows, lanes, sums, scratch.labels[0, :n], losses[step, :n], logits[0], logits[1],
                       deltas[lanes * (outs - k) :].reshape(k, lanes))
        fetch_add(progress, DONE)
