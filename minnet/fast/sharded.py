"""A batch shared between threads: each has a tape and a row of the gradient, then each moves a slice of the vector.

The sum of the rows of `grads` is the gradient; the optimizer's kernel adds them up as it reads them. So with one thread
the numbers are those of LayerStepper to the bit, and with several they differ by the order of that sum.
"""
import math
import weakref
from functools import partial

import numpy as np

from minnet import threads
from minnet.csr import SparseRows
from minnet.engine.loop import Job, apply_prox, clip_scale
from minnet.engine.tape import Tape


class ShardedStepper:
    """Make one step at a time by a pass through `tree`, a rewritten form of the model's own."""

    name = "layers"

    def __init__(self, job: Job, tree, slices: list[slice], why: str):
        self.job, self.tree, self.why = job, tree, why
        model, rngs = job.model, job.state.rngs
        self.layers = tuple(model.layers.values())
        self.grads = np.zeros((len(rngs), len(model.values)), model.dtype)
        self.tapes = [Tape(model, training=True, rng=rng, grads=row)
                      for rng, row in zip(rngs, self.grads, strict=True)]
        self.step = OptimizerStep(job, self.grads[:, : model.n_trainable])
        # Made once, so that a step takes no memory; by a weak reference, so that a dropped run is freed at once.
        self.shards = [partial(type(self).part, weakref.proxy(self), i) for i in range(len(rngs))]
        self.moves = [partial(self.step.move, part) for part in slices]

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
        self.rows = self.job.rows(order, batch)
        self.total = self.job.total(self.rows)
        return sum(threads.run(self.shards))

    def part(self, i):
        """Do shard i of the batch; where it has fewer rows than threads, some shards are empty: their gradient is 0."""
        n, parts = len(self.rows), len(self.tapes)
        return self.shard(self.tapes[i], self.rows[n * i // parts : n * (i + 1) // parts], self.total)

    def shard(self, tape, rows, n):
        """Write one thread's part of the gradient of the mean over n rows (or weights); return its part of the loss."""
        if not len(rows):
            tape.grads[: self.job.model.n_trainable] = 0
            return 0.0
        return self.shard_gradient(tape, rows, n)

    def shard_gradient(self, tape, rows, n):
        """Write the gradient of these rows' part of the mean over n rows (or weights); return that part of the loss."""
        job = self.job
        y = tape.buffer(job, "y", (len(rows), *job.y.shape[1:]), job.y.dtype)
        np.take(job.y, rows, axis=0, out=y, mode="clip")  # any other mode copies through a new array
        x = self.batch(tape, rows)
        logits = self.tree.forward(x, tape)
        dlogits = tape.buffer(job, "dlogits", logits.shape)
        losses = tape.buffer(job, "losses", (len(rows),), np.dtype(np.float64))
        loss = job.loss_of(logits, y, rows, dlogits, n, losses)
        self.tree.backward(dlogits, tape)
        return loss

    def batch(self, tape, rows):
        """Return the inputs of these rows, in a buffer where they are dense."""
        X = self.job.X
        if isinstance(X, SparseRows):
            return X[rows]
        return np.take(X, rows, axis=0, out=tape.buffer(self.job, "x", (len(rows), *X.shape[1:])), mode="clip")

    def update(self, t):
        """Make step t from the gradient: penalties, clipping, optimizer, prox, statistics."""
        job, model, step = self.job, self.job.model, self.step
        if any(getattr(penalty, "reads_gradient", False) for penalty in job.penalties):
            for row in step.grads[1:]:  # others only add to it, so that any row will do
                step.grads[0] += row
                row[:] = 0
        for penalty in job.penalties:
            penalty.add_gradient(model, self.grads[0])
        step.t, step.lr, step.scale = t, job.learning_rate(t), clip_scale(job, step.grads)
        # No two slices overlap, and the kernel reads all rows of the gradient in the same order: same bits.
        threads.run(self.moves)
        apply_prox(job, step.lr)
        for layer in self.layers:
            layer.commit(self.tapes[0])


class OptimizerStep:
    """The optimizer's step under way, which threads make together; it holds no stepper, so that none is kept alive."""

    def __init__(self, job, grads):
        self.job, self.grads = job, grads
        self.t, self.lr, self.scale = 0, 0.0, 1.0

    def move(self, window):
        """Move one thread's slice of the vector."""
        job = self.job
        job.state.optimizer.step(job.model, window, self.grads, job.vectors, self.lr, self.scale, self.t)
