"""Reference implementations of the kernels that make many steps of training in one call (see reference.py)."""

import numpy as np
from reference import (
    adam_step,
    layers,
    lion_step,
    mlp_backward,
    mlp_forward,
    sgd_step,
    softmax_cross_entropy,
    stack,
)
from reference_sparse import sparse_mlp_gradient

from minnet.kernels.mlp.dense import Mlp
from minnet.kernels.mlp.multi_step import BATCH, DECAYING, FIRST_ROW, SHARDS, STEP, Data
from minnet.kernels.mlp.sparse import SparseMlp
from minnet.kernels.steps import ADAM_STEP, LION_STEP, SGD_STEP


def step_window(low, plan, settings, mask, grads, values, vectors):
    window = slice(low, low + grads.shape[1])
    decaying = max(0, min(window.stop, plan[DECAYING]) - window.start)
    step = {SGD_STEP: sgd_step, ADAM_STEP: adam_step, LION_STEP: lion_step}[int(plan[STEP])]
    moved = vectors[:, window] if step is adam_step else vectors[0, window]
    step(grads, mask[window], 1.0, settings, decaying, values[window], moved)


def batch(plan, order, step):
    begin = plan[FIRST_ROW] + step * plan[BATCH]
    return order[begin : begin + plan[BATCH]]


def mlp_steps(shard, data, plan, net, settings, mask, progress, workspace, losses, grads, values, vectors):
    data, net = Data(*data), Mlp(*net)
    widths = net.widths[1:]
    for step in range(len(losses)):
        rows = batch(plan, data.order, step)
        n, w = len(rows), next(layers(net, values))[0]
        passed, deltas = np.zeros(n * widths.sum()), np.zeros(n * widths.sum())
        stack(widths, passed)[0][:] = data.X[rows] @ w
        mlp_forward(net, values, n, passed)
        softmax_cross_entropy(stack(widths, passed)[-1], data.y[rows], 0.0, 1 / n, losses[step, :n],
                              stack(widths, deltas)[-1])
        grads[:] = 0
        mlp_backward(net, values, n, passed, deltas, grads[0])
        next(layers(net, grads[0]))[0][:] = data.X[rows].T @ stack(widths, deltas)[0]
        if settings is not None:
            step_window(0, plan, settings[step], mask, grads[:, : vectors.shape[1]], values, vectors)
    progress[:] = 3 * len(losses)
    progress[-1] *= len(grads)


def sparse_mlp_steps(shard, data, plan, net, settings, mask, progress, workspace, losses, grads, values, vectors):
    data, net = Data(*data), SparseMlp(*net)
    for step, row in enumerate(settings):
        rows = batch(plan, data.order, step)
        n = len(rows)
        for part, own in enumerate(grads):
            low, high = [n * i // len(grads) for i in (part, part + 1)]
            own[:] = 0
            if low < high:
                sparse_mlp_gradient(data.X, data.y, rows[low:high], net, values, values.dtype.type(1 / n), None, None,
                                    losses[step, low:high], own)
        step_window(0, plan, row, mask, grads[:, : vectors.shape[1]], values, vectors)
    progress[:] = 2 * len(settings)
    progress[-1] *= len(grads)


def small_batch_steps(data, plan, net, settings, mask, progress, workspace, losses, grads, values, vectors):
    whole, net = np.zeros((1, len(values)), values.dtype), SparseMlp(*net)
    sparse_mlp_steps(0, data, plan, net, settings, mask, progress, workspace, losses, whole, values, vectors)
    done = len(settings) * (2 * len(net.table) + 1) * plan[SHARDS]
    progress[:] = done + 1, done  # the last task that is taken is beyond the last step
