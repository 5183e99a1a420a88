"""A batch shared between threads: each has a tape and a row of the gradient, then each moves a slice of the vector.

The sum of the rows of `grads` is the gradient; the optimizer's kernel adds them up as it reads them. So with one thread
the numbers are those of LayerStepper to the bit, and with several they differ by the order of that sum.
"""
import math
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.loop import Job, apply_prox, clip_scale
from minnet.engine.tape import Tape


class ShardedStepper:
    """Make one step at a time by a pass through `tree`, a rewritten form of the model's own."""

    name = "layers"

    def __init__(self, job: Job, tree, slices: list[slice], why: str):
        self.job, self.tree, self.slices, self.why = job, tree, slices, why
        model, rngs = job.model, job.state.rngs
        self.grads = np.zeros((len(rngs), len(model.values)), model.dtype)
        self.tapes = [Tape(model, training=True, rng=rng, grads=row)
                      for rng, row in zip(rngs, self.grads, strict=True)]

    def begin(self):
        """Do nothing: what is trained is the model itself."""

    def end(self):
        """Do nothing: the model is whole after every batch."""

    def run(self, order, first, stop):
        """Do one batch."""
        loss = self.gradient(order, first)
        if math.isfinite(loss):
            self.update(self.job.state.t + 1)
        return [loss]

    def gradient(self, order, batch):
        """Write the gradient of a batch's mean loss to the rows of `grads`, which add up to it; return the loss."""
        rows, parts = self.job.rows(order, batch), len(self.tapes)
        n, total = len(rows), self.job.total(rows)
        edges = [n * i // parts for i in range(parts + 1)]
        return sum(threads.run([partial(self.shard, tape, rows[edges[i] : edges[i + 1]], total)
                                for i, tape in enumerate(self.tapes)]))

    def shard(self, tape, rows, n):
        """Write one thread's part of the gradient of the mean over n rows (or weights); return its part of the loss."""
        if not len(rows):
            tape.grads[: self.job.model.n_trainable] = 0
            return 0.0
        return self.shard_gradient(tape, rows, n)

    def shard_gradient(self, tape, rows, n):
        """Write the gradient of these rows' part of the mean over n rows (or weights); return that part of the loss."""
        job = self.job
        x = tape.buffer(job, "x", (len(rows), *job.X.shape[1:]))
        y = tape.buffer(job, "y", (len(rows), *job.y.shape[1:]), job.y.dtype)
        np.take(job.X, rows, axis=0, out=x, mode="clip")  # any other mode copies through a new array
        np.take(job.y, rows, axis=0, out=y, mode="clip")
        logits = self.tree.forward(x, tape)
        dlogits = tape.buffer(job, "dlogits", logits.shape)
        losses = tape.buffer(job, "losses", (len(rows),), np.dtype(np.float64))
        loss = job.loss_of(logits, y, rows, dlogits, n, losses)
        self.tree.backward(dlogits, tape)
        return loss

    def update(self, t):
        """Make step t from the gradient: penalties, clipping, optimizer, prox, statistics."""
        job, model = self.job, self.job.model
        lr, gradient = job.learning_rate(t), self.grads[:, : model.n_trainable]
        for penalty in job.penalties:
            penalty.add_gradient(model, self.grads[0])
        step, scale = job.state.optimizer.step, clip_scale(job, gradient)
        threads.run([partial(step, model, part, gradient, job.vectors, lr, scale, t) for part in self.slices])
        apply_prox(job, lr)
        for layer in model.layers.values():
            layer.commit(self.tapes[0])
