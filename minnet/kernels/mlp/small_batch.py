"""Many steps of a chain as in sparse_chain.py on batches of a few rows, in one call; threads share layers, not rows.

Each step is a row of phases: forward through each layer, the loss, backward through each layer. A phase is cut into
parts, one for each thread, that have as many weights of the layer: a part is a run of its inputs. Forward, each part
adds what its inputs give to sums of its own; the next phase adds these up. Backward, each part finds the gradients of
its inputs and of some of its weights, moves these, and goes on: a gradient never leaves the cache. Who is free
takes the next part, and waits where the phase before is not over; so one thread alone finishes too. Only weights and
biases of the layers move: there are no other numbers.

Arguments are those of chain_steps.py; `plan[3]` is the number of parts, and `grads` (parts, at least BLOCK and the
widest layer's outputs) is scratch. `work` (1, room) holds x and the inputs of all other layers, by feature; the sums of
each part for the outputs of all layers; the gradients of these outputs; and logits by row, with their gradients. `unit`
holds the outputs of a layer's live weights, and behind them their inputs.
"""
import numpy as np
from numba.extending import register_jitable

from minnet.kernels.jit import kernel
from minnet.kernels.layers.losses import softmax_cross_entropy
from minnet.kernels.layers.pointwise import relu
from minnet.kernels.mlp.dense import dead_below
from minnet.kernels.mlp.multi_step import batch_rows, edges, move_window
from minnet.kernels.simd.atomics import fetch_add, spin_until
from minnet.kernels.sparse.spmm import (
    by_feature,
    by_row,
    each_backward,
    each_gradient,
    lanes_of,
    push_each,
    row_sums,
)

TAKEN, DONE = 0, 1  # the places of `turn`
BLOCK = 2**16  # weights that are moved as soon as their gradient is there


def shared_room(rows, lanes, widths, parts):
    """Length of a row of `work` for that many rows, lanes and parts."""
    return lanes * (sum(widths) + (parts + 1) * sum(widths[1:])) + 2 * rows * widths[-1]


@register_jitable
def part_of(layer, part, parts, table, first):
    """The inputs of a layer, from (the first, up to), that one part has."""
    ins, live = table[layer, 0], table[layer, 4]
    if live < 0:
        return edges(ins, part, parts)
    begins = first[table[layer, 5] : table[layer, 5] + ins + 1]
    low = 0 if part == 0 else np.searchsorted(begins, live * part // parts)
    high = ins if part == parts - 1 else np.searchsorted(begins, live * (part + 1) // parts)
    return low, high


@register_jitable
def share_forward(layer, part, parts, X, rows, table, first, unit, values, lanes, passed, sums):
    """One part's inputs of a layer, and what they add to its outputs.

    X: (N, m); rows: (n,) row numbers; passed: x and the other layers' inputs; sums: (parts, lanes of all outputs).
    """
    ins, outs, live = table[layer, 0], table[layer, 1], table[layer, 4]
    here, there = lanes * table[:layer, 0].sum(), lanes * table[:layer, 1].sum()
    low, high = part_of(layer, part, parts, table, first)
    x, y = passed[here + lanes * low : here + lanes * high], sums[part, there : there + lanes * outs]
    if layer == 0:
        for j in range(low, high):
            for i in range(lanes):
                x[(j - low) * lanes + i] = X[rows[i], j] if i < rows.size else 0
    else:
        before = there - lanes * ins + lanes * low
        x[:] = sums[0, before : before + x.size]
        for other in range(1, parts):
            x += sums[other, before : before + x.size]
        relu(x, x)
    whole = passed[here : here + lanes * ins].reshape(ins, lanes)
    x, y = x.reshape(high - low, lanes), y.reshape(outs, lanes)
    weight, bias = table[layer, 2], table[layer, 3]
    if live < 0 and high > low:
        np.dot(values[weight + low * outs : weight + high * outs].reshape(high - low, outs).T, x, y)
    else:
        y[:] = 0
    if live >= 0:
        at, begins = table[layer, 6], table[layer, 5]
        begin, end = first[begins + low], first[begins + high]
        push_each(unit[at + live + begin : at + live + end], unit[at + begin : at + end],
                  values[weight + begin : weight + end], whole, y)
    if part == 0:
        for o in range(outs):
            for i in range(lanes):
                y[o, i] += values[bias + o]


@register_jitable
def share_loss(y, rows, lanes, sums, labels, losses, logits, dlogits, dy):
    """The loss of each row, and the gradient of the logits by feature.

    sums: (parts, lanes of all outputs); labels: (n,) int32, for its own use; logits, dlogits: (n, k); dy: (k, lanes).
    """
    n, k = logits.shape
    last = sums.shape[1] - lanes * k
    total = sums[0, last:]
    for part in range(1, sums.shape[0]):
        total += sums[part, last:]
    by_row(total.reshape(k, lanes), logits)
    for i in range(n):
        labels[i] = y[rows[i]]
    softmax_cross_entropy(logits, labels, logits.dtype.type(0), logits.dtype.type(1.0 / n), losses, dlogits)
    by_feature(dlogits, dy)


@register_jitable
def share_backward(layer, part, plan, row, mask, table, first, unit, lanes, passed, deltas, grads, values, vectors):
    """One part's gradients of a layer: of its inputs into `deltas`; its weights, and its part of the biases, move."""
    ins, outs, live, parts = table[layer, 0], table[layer, 1], table[layer, 4], plan[3]
    here, there = lanes * table[:layer, 0].sum(), lanes * table[:layer, 1].sum()
    weight, bias, begins, at = table[layer, 2], table[layer, 3], table[layer, 5], table[layer, 6]
    x = passed[here : here + lanes * ins].reshape(ins, lanes)
    dy = deltas[there : there + lanes * outs].reshape(outs, lanes)
    dx = x if layer == 0 else deltas[there - lanes * ins : there].reshape(ins, lanes)  # nobody asks for that of X
    low, high = part_of(layer, part, parts, table, first)
    if layer > 0:
        dx[low:high] = 0
    start, stop = (low * outs, high * outs) if live < 0 else (first[begins + low], first[begins + high])
    step = BLOCK if live >= 0 else max(1, BLOCK // outs) * outs
    for begin in range(start, stop, step):
        end = min(begin + step, stop)
        g, w = grads[part, : end - begin], values[weight + begin : weight + end]
        if live >= 0:
            inputs, units = unit[at + live + begin : at + live + end], unit[at + begin : at + end]
            if layer > 0:
                each_backward(inputs, units, w, x, dy, g, dx)
            else:
                each_gradient(inputs, units, x, dy, g)
        else:
            rows, square = slice(begin // outs, end // outs), ((end - begin) // outs, outs)
            np.dot(x[rows], dy.T, g.reshape(square))
            if layer > 0:
                np.dot(w.reshape(square), dy, dx[rows])
        move_window(weight + begin, plan, row, mask, g.reshape(1, g.size), values, vectors)
    if layer > 0:
        dead_below(x[low:high].reshape(-1), dx[low:high].reshape(-1))
    begin, end = edges(outs, part, parts)
    g = grads[part, : end - begin]
    row_sums(dy[begin:end], g)
    move_window(bias + begin, plan, row, mask, g.reshape(1, g.size), values, vectors)


@kernel
def shared_layer_steps(X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, grads, values,
                       vectors):
    """One step for each row of `numbers`; see chain_steps.py for the arguments."""
    layers, parts, k = table.shape[0], plan[3], table[table.shape[0] - 1, 1]
    phases, inputs, outputs = 2 * layers + 1, table[:, 0].sum(), table[:, 1].sum()
    while True:
        ticket = fetch_add(turn, TAKEN)
        step, phase, part = ticket // (phases * parts), ticket // parts % phases, ticket % parts
        if step >= numbers.shape[0]:
            return
        spin_until(turn, DONE, ticket - part)
        rows = batch_rows(step, plan, order)
        n, lanes, room = rows.size, lanes_of(rows.size), work[0]
        passed = room[: lanes * inputs]
        sums = room[lanes * inputs : lanes * (inputs + parts * outputs)].reshape(parts, lanes * outputs)
        deltas = room[lanes * (inputs + parts * outputs) : lanes * (inputs + (parts + 1) * outputs)]
        if phase < layers:
            share_forward(phase, part, parts, X, rows, table, first, unit, values, lanes, passed, sums)
        elif phase > layers:
            share_backward(2 * layers - phase, part, plan, numbers[step], mask, table, first, unit, lanes, passed,
                           deltas, grads, values, vectors)
        elif part == 0:
            by_rows = room[room.size - 2 * n * k :].reshape(2, n, k)
            share_loss(y, rows, lanes, sums, places[0, :n], losses[step, :n], by_rows[0], by_rows[1],
                       deltas[lanes * (outputs - k) :].reshape(k, lanes))
        fetch_add(turn, DONE)
