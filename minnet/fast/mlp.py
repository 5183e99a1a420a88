"""Training a dense chain: the gradient of a batch in one call, or many whole steps in one call.

Results equal those of single steps; see kernels/mlp/multi_step.py for how threads share the work.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.tape import aligned
from minnet.fast.sharded import ShardedStepper
from minnet.kernels.mlp import zero_blocks as blocks
from minnet.kernels.mlp.multi_step import chain_steps

CALL_MACS = 2**32  # multiply-adds of one call, roughly: a kernel returns within 0.2 s, so that Ctrl-C is heard
PASSES = 3         # forward, and backward to weights and to inputs
ROWS = 32          # of a batch, that take as long as the optimizer does
SETTINGS = 7       # numbers that an optimizer's kernel takes for a step
NO_STEP, SGD_STEP, ADAM_STEP = range(3)
STEP_KERNELS = {"sgd": SGD_STEP, "adam": ADAM_STEP}  # what the kernels here can do, by the name an optimizer gives


class MultiStepper:
    """Makes many steps in one call, in which nothing but gradient and optimizer is to be done between two of them.

    A subclass gives `calls`, a function for each thread, all of which do the same work together.
    """

    def __init__(self, job, chain, kernel, why):
        self.job, self.chain, self.kernel, self.why = job, chain, kernel, why
        model, shards = job.model, len(job.state.rngs)
        most = CALL_MACS // (PASSES * (job.batch_size + ROWS) * model.n_weights + 1)
        self.most = max(1, min(job.n_batches, most))
        self.losses, self.plan = np.empty((self.most, job.batch_size)), np.zeros(5, np.int64)
        self.X = job.X.reshape(len(job.X), -1)
        self.grads = np.zeros((shards, len(model.values)), model.dtype)

    def begin(self):
        """Do nothing: what is trained is the model itself."""

    def end(self):
        """Do nothing: the model is whole after every call."""

    def run(self, order, first, stop):
        """Do as many batches as one call may take."""
        job = self.job
        steps = range(job.state.t + 1, job.state.t + 1 + min(self.most, stop - first))
        settings = [job.state.optimizer.settings(job.learning_rate(t), t) for t in steps]
        return self.call(order, first, np.array(settings, np.float64), STEP_KERNELS[self.kernel]).tolist()

    def call(self, order, first, settings, step):
        """Make a step for each row of `settings`; return the mean loss of each batch."""
        job, losses, start = self.job, self.losses[: len(settings)], first * self.job.batch_size
        self.plan[:] = job.batch_size, start, step, len(self.grads), job.model.n_weights
        losses[:] = 0
        threads.run(self.calls((self.X, job.y, order), settings, losses))
        n = np.full(len(losses), job.batch_size)
        n[-1] = min(job.batch_size, len(order) - start - (len(losses) - 1) * job.batch_size)
        return losses.sum(axis=1) / n


class MlpStepper(MultiStepper):
    """Train a dense chain, whose threads share features and rows."""

    name = "MLP, many steps a call"

    def __init__(self, job, chain, kernel, zero_blocks, why):
        super().__init__(job, chain, kernel, why)
        self.zero_blocks, shards = zero_blocks, len(self.grads)
        self.turn = np.zeros(shards + 1, np.int64)
        self.work = mlp_workspace(job.batch_size, shards, chain.widths.tolist(), job.model.dtype)

    def calls(self, data, settings, losses):
        """Return a call for each thread."""
        job, net = self.job, (self.chain.widths, self.chain.starts, self.zero_blocks)
        self.turn[:] = 0
        return [partial(chain_steps, shard, *data, self.plan, *net, settings, job.model.mask, self.turn, self.work,
                        losses, self.grads, job.model.values, job.vectors) for shard in range(len(self.grads))]


class MlpGradientStepper(ShardedStepper):
    """Make one step at a time, its gradient by the same call: for penalties, clipping and other optimizers."""

    name = "MLP, one step a call"

    def __init__(self, job, chain, zero_blocks, slices, why):
        super().__init__(job, None, slices, why)
        self.passes = MlpStepper(job, chain, None, zero_blocks, why)
        self.passes.grads = self.grads
        self.no_step = np.zeros((1, SETTINGS))

    def gradient(self, order, batch):
        """Write the gradient of a batch to the rows of `grads`, which add up to it; return the loss."""
        return self.passes.call(order, batch, self.no_step, NO_STEP)[0]


def mlp_workspace(rows, shards, widths, dtype):
    """Return the scratch arrays of the kernel `chain_steps` for batches of `rows` rows: its tuple `work`."""
    listed, share = -(-widths[0] // blocks.BLOCK), -(-rows // shards) * sum(widths[1:])
    index, counts = np.empty((listed, rows), np.int32), np.empty(listed + rows, np.int32)
    value, slabs = listed * rows * blocks.BLOCK, blocks.slabs_of(widths[1]) * rows * blocks.WIDTH
    scratch = aligned(shards * (blocks.BLOCK + rows) * blocks.WIDTH, dtype).reshape(shards, -1)
    return (index, aligned(value, dtype), counts, np.empty((shards + 1, rows, widths[1]), dtype), aligned(slabs, dtype),
            np.empty((2, shards, share), dtype), scratch)
