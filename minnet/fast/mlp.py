"""Training a dense chain: the gradient of a batch in one call, or many whole steps in one call.

Results equal those of single steps; see kernels/mlp/multi_step.py for how threads share the work.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.tape import aligned
from minnet.fast.sharded import ShardedStepper
from minnet.kernels.mlp.multi_step import PLAN_COLUMNS, MlpWorkspace, mlp_steps
from minnet.kernels.mlp.zero_blocks import BLOCK_COLUMNS, SLAB_COLUMNS, slabs_of
from minnet.kernels.steps import STEP_CODES

CALL_MACS = 2**32  # multiply-adds of one call, roughly: a kernel returns within 0.2 s, so that Ctrl-C is heard
PASSES = 3         # forward, and backward to weights and to inputs
ROWS = 32          # of a batch, that take as long as the optimizer does


class MultiStepper:
    """Makes many steps in one call, in which nothing but gradient and optimizer is to be done between two of them.

    A subclass gives `calls`, a function for each thread, all of which do the same work together.
    """

    zero_blocks = False  # whether the first layer leaves out blocks of zeros: dense chains only

    def __init__(self, job, chain, kernel, why):
        self.job, self.chain, self.kernel, self.why = job, chain, kernel, why
        model, shards = job.model, len(job.state.rngs)
        most = CALL_MACS // (PASSES * (job.batch_size + ROWS) * model.n_weights + 1)
        self.most = max(1, min(job.n_batches, most))
        self.losses, self.plan = np.empty((self.most, job.batch_size)), np.zeros(PLAN_COLUMNS, np.int64)
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
        return self.call(order, first, len(steps), np.array(settings, np.float64)).tolist()

    def call(self, order, first, steps, settings):
        """Return the mean loss of each of some batches; make a step for each row of `settings`, or none if None."""
        job, losses, start = self.job, self.losses[:steps], first * self.job.batch_size
        step = STEP_CODES.get(self.kernel, 0)
        self.plan[:] = job.batch_size, start, step, len(self.grads), job.model.n_weights, self.zero_blocks
        # The last batch may be short; the losses of rows that it lacks stay 0.
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
        self.progress = np.zeros(shards + 1, np.int64)
        self.workspace = tuple(mlp_workspace(job.batch_size, shards, chain.widths.tolist(), job.model.dtype))

    def calls(self, data, settings, losses):
        """Return a call for each thread."""
        job, net = self.job, (self.chain.widths, self.chain.starts)
        self.progress[:] = 0
        return [partial(mlp_steps, shard, data, self.plan, net, settings, job.model.mask, self.progress, self.workspace,
                        losses, self.grads, job.model.values, job.vectors) for shard in range(len(self.grads))]


class MlpGradientStepper(ShardedStepper):
    """Make one step at a time, its gradient by the same call: for penalties, clipping and other optimizers."""

    name = "MLP, one step a call"

    def __init__(self, job, chain, zero_blocks, slices, why):
        super().__init__(job, None, slices, why)
        self.passes = MlpStepper(job, chain, None, zero_blocks, why)
        # One array: the call writes the gradient where clipping, penalties and the optimizer read it.
        self.passes.grads = self.grads

    def gradient(self, order, batch):
        """Write the gradient of a batch to the rows of `grads`, which add up to it; return the loss."""
        return self.passes.call(order, batch, 1, None)[0]


def mlp_workspace(rows, shards, widths, dtype):
    """Return scratch of the kernel `mlp_steps` for batches of `rows` rows."""
    blocks, share = -(-widths[0] // BLOCK_COLUMNS), -(-rows // shards) * sum(widths[1:])
    index, counts = np.empty((blocks, rows), np.int32), np.empty(blocks + rows, np.int32)
    value, slabs = blocks * rows * BLOCK_COLUMNS, slabs_of(widths[1]) * rows * SLAB_COLUMNS
    tiles = aligned(shards * (BLOCK_COLUMNS + rows) * SLAB_COLUMNS, dtype).reshape(shards, -1)
    return MlpWorkspace(index, aligned(value, dtype), counts, np.empty((shards + 1, rows, widths[1]), dtype),
                        aligned(slabs, dtype), np.empty((2, shards, share), dtype), tiles)
