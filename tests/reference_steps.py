"""Plain twins of the kernels that make many steps of training in one call (see reference.py)."""

import numpy as np
from reference import adam_step, chain_backward, chain_forward, layers, sgd_step, softmax_cross_entropy, stack
from reference_sparse import sparse_chain_gradient


def move_window(low, plan, row, mask, grads, values, vectors):
    window = slice(low, low + grads.shape[1])
    decaying = max(0, min(window.stop, plan[4]) - window.start)
    if plan[2] == 1:
        lr, momentum, nesterov, decay, shrink, _, _ = row
        sgd_step(grads, mask[window], 1.0, lr, momentum, nesterov, decay, shrink, decaying, values[window],
                 vectors[0, window])
    else:
        adam_step(grads, mask[window], 1.0, *row, decaying, values[window], vectors[:, window])


def chain_steps(me, X, y, order, plan, widths, starts, sparse, numbers, mask, turn, work, losses, grads, values,
                vectors):
    for step, row in enumerate(numbers):
        begin = plan[1] + step * plan[0]
        rows = order[begin : begin + plan[0]]
        n, w = len(rows), next(layers(widths, starts, values))[0]
        passed, deltas = np.zeros(n * widths[1:].sum()), np.zeros(n * widths[1:].sum())
        stack(widths[1:], passed)[0][:] = X[rows] @ w
        chain_forward(widths, starts, values, n, passed)
        softmax_cross_entropy(stack(widths[1:], passed)[-1], y[rows], 0.0, 1 / n, losses[step, :n],
                              stack(widths[1:], deltas)[-1])
        grads[:] = 0
        chain_backward(widths, starts, values, n, passed, deltas, grads[0])
        next(layers(widths, starts, grads[0]))[0][:] = X[rows].T @ stack(widths[1:], deltas)[0]
        if plan[2]:
            move_window(0, plan, row, mask, grads[:, : vectors.shape[1]], values, vectors)
    turn[:] = 3 * len(numbers)
    turn[-1] *= len(grads)


def sparse_chain_steps(me, X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, grads,
                       values, vectors):
    for step, row in enumerate(numbers):
        begin = plan[1] + step * plan[0]
        rows, n = order[begin : begin + plan[0]], len(order[begin : begin + plan[0]])
        for shard, own in enumerate(grads):
            low, high = [n * i // len(grads) for i in (shard, shard + 1)]
            own[:] = 0
            if low < high:
                sparse_chain_gradient(X, y, rows[low:high], table, first, unit, values, values.dtype.type(1 / n), None,
                                      None, losses[step, low:high], own)
        move_window(0, plan, row, mask, grads[:, : vectors.shape[1]], values, vectors)
    turn[:] = 2 * len(numbers)
    turn[-1] *= len(grads)


def shared_layer_steps(X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, grads, values,
                       vectors):
    whole = np.zeros((1, len(values)), values.dtype)
    sparse_chain_steps(0, X, y, order, plan, table, first, unit, numbers, mask, turn, work, places, losses, whole,
                       values, vectors)
    done = len(numbers) * (2 * len(table) + 1) * plan[3]
    turn[:] = done + 1, done  # the last one finds nothing
