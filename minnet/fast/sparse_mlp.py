"""Training a chain of which some layers have live weights only: threads share rows, or layers where rows are few."""
from functools import partial

import numpy as np

from minnet.engine.tape import LINE, aligned
from minnet.fast.chain import BY_INPUT, BY_OUTPUT
from minnet.fast.mlp import MultiStepper
from minnet.fast.sharded import ShardedStepper
from minnet.kernels.mlp.multi_step import sparse_mlp_steps
from minnet.kernels.mlp.small_batch import STEP_BLOCK, small_batch_steps, small_batch_workspace
from minnet.kernels.mlp.sparse import sparse_mlp_gradient, sparse_mlp_workspace
from minnet.kernels.sparse.spmm import padded_batch


class SparseMlpStepper(MultiStepper):
    """Make many steps a call; threads share the rows of a batch."""

    name = "sparse MLP, many steps a call"

    def __init__(self, job, chain, kernel, why):
        super().__init__(job, chain, kernel, why)
        shards, rows = len(self.grads), -(-job.batch_size // len(self.grads))
        self.progress = np.zeros(shards + 1, np.int64)
        size = sparse_mlp_workspace(rows, list(map(int, chain.widths)))
        size = -(-size // LINE) * LINE  # each thread's begins a cache line
        numbers = aligned(shards * size, job.model.dtype).reshape(shards, size)
        self.workspace = numbers, np.empty((shards, rows), np.int32)

    def calls(self, data, settings, losses):
        """Return a call for each thread."""
        job, self.progress[:] = self.job, 0
        net = tuple(self.chain.positions(BY_OUTPUT))
        return [partial(sparse_mlp_steps, shard, data, self.plan, net, settings, job.model.mask, self.progress,
                        self.workspace, losses, self.grads, job.model.values, job.vectors)
                for shard in range(len(self.grads))]


class SmallBatchStepper(MultiStepper):
    """Make many steps a call where a batch has few rows; threads share the layers."""

    name = "sparse MLP, small batches, many steps a call"

    def __init__(self, job, chain, kernel, why):
        super().__init__(job, chain, kernel, why)
        batch, self.shards, self.progress = job.batch_size, len(self.grads), np.zeros(2, np.int64)
        widths = list(map(int, chain.widths))
        size = small_batch_workspace(batch, padded_batch(batch), widths, self.shards)
        self.grads = np.empty((self.shards, max(STEP_BLOCK, *widths)), job.model.dtype)  # scratch: no gradient is kept
        self.workspace = np.empty((1, size), job.model.dtype), np.empty((1, batch), np.int32)

    def calls(self, data, settings, losses):
        """Return the same call for each thread."""
        job, self.progress[:] = self.job, 0
        net = tuple(self.chain.positions(BY_INPUT))  # as they are now: positions move
        call = partial(small_batch_steps, data, self.plan, net, settings, job.model.mask, self.progress, self.workspace,
                       losses, self.grads, job.model.values, job.vectors)
        return self.shards * [call]


class SparseMlpGradientStepper(ShardedStepper):
    """Make one step at a time; each thread's part of the gradient is one call."""

    name = "sparse MLP, one step a call"

    def __init__(self, job, chain, slices, why):
        super().__init__(job, None, slices, why)
        self.chain, self.X = chain, job.X.reshape(len(job.X), -1)

    def shard_gradient(self, tape, rows, n):
        """Write the gradient of these rows' part of the mean over n rows; return that part of the loss."""
        work = tape.buffer(self.chain, "work", (sparse_mlp_workspace(len(rows), self.chain.widths),))
        losses = tape.buffer(self.chain, "losses", (len(rows),), np.dtype(np.float64))
        labels = tape.buffer(self.chain, "labels", (len(rows),), np.dtype(np.int32))
        sparse_mlp_gradient(self.X, self.job.y, rows, self.chain.positions(BY_OUTPUT), tape.values,
                              tape.dtype.type(1 / n), work, labels, losses, tape.grads)
        return losses.sum() / n
