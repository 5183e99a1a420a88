"""Many steps of training in one call: for a plain chain, a known optimizer, and nothing between two steps.

Who trains that way is a matter of arguments, data and layers alone, and the numbers are those of single steps.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.chain import Chain
from minnet.engine.dense import mostly_zero
from minnet.engine.optimizers import OPTIMIZERS
from minnet.engine.tape import LINE, aligned
from minnet.kernels.mlp import zero_blocks as blocks
from minnet.kernels.mlp.multi_step import chain_steps, sparse_chain_steps
from minnet.kernels.mlp.small_batch import BLOCK, shared_layer_steps, shared_room
from minnet.kernels.mlp.sparse import sparse_chain_room
from minnet.kernels.sparse.spmm import FEW, lanes_of

CALL_MACS = 2**32  # multiply-adds of one call, or so: a kernel is to return within 0.2 s, so that Ctrl-C is heard
PASSES = 3         # forward, and backward to weights and to inputs
ROWS = 32          # of a batch, that take as long as the optimizer does
LOOKED_AT = 1024   # rows of the data that show whether it is mostly zeros


class Steps:
    """Room for the steps of one run, whose chain, model, vectors and gradients it shares."""

    def __init__(self, run):
        self.run, batch = run, run.batch_size
        most = CALL_MACS // (PASSES * (batch + ROWS) * run.model.n_weights + 1)
        self.most = max(1, min(run.n_batches, most))
        self.losses, self.plan = np.empty((self.most, batch)), np.zeros(5, np.int64)
        self.X = run.X.reshape(len(run.X), -1)

    def go_on(self, stop):
        """Batches up to `stop`, or less; returns (the losses of these batches, the learning rate of each)."""
        run, state = self.run, self.run.state
        count = min(self.most, stop - state.batch)
        rates = [run.rate_of(state.t + i) for i in range(1, count + 1)]
        numbers = np.array([state.optimizer.numbers(lr, state.t + i) for i, lr in enumerate(rates, 1)], np.float64)
        return self.call(numbers, state.optimizer.slots), rates

    def call(self, numbers, slots):
        """So many steps as `numbers` has rows; returns the mean loss of each batch."""
        run, losses, first = self.run, self.losses[: len(numbers)], self.run.state.batch * self.run.batch_size
        self.plan[:] = run.batch_size, first, slots, len(run.grads), run.model.n_weights
        losses[:] = 0
        threads.run(self.calls((self.X, run.y, run.order), self.plan, numbers, losses))
        n = np.full(len(losses), run.batch_size)
        n[-1] = min(run.batch_size, len(run.order) - first - (len(losses) - 1) * run.batch_size)
        return losses.sum(axis=1) / n


def chain_room(rows, parts, widths, dtype):
    """Scratch of the kernel `chain_steps` for batches of `rows` rows and so many threads: its tuple `work`."""
    listed, share = -(-widths[0] // blocks.BLOCK), -(-rows // parts) * sum(widths[1:])
    index, counts = np.empty((listed, rows), np.int32), np.empty(listed + rows, np.int32)
    value, slabs = listed * rows * blocks.BLOCK, blocks.slabs_of(widths[1]) * rows * blocks.WIDTH
    near = aligned(parts * (blocks.BLOCK + rows) * blocks.WIDTH, dtype).reshape(parts, -1)
    return (index, aligned(value, dtype), counts, np.empty((parts + 1, rows, widths[1]), dtype), aligned(slabs, dtype),
            np.empty((2, parts, share), dtype), near)


class ChainSteps(Steps):
    """Those of a dense chain, whose threads share features and rows; also its gradient alone."""

    def __init__(self, run):
        super().__init__(run)
        self.shards = len(run.grads)
        self.turn, self.nothing = np.zeros(self.shards + 1, np.int64), np.zeros((1, 7))
        self.sparse = mostly_zero(self.X[:: max(1, len(self.X) // LOOKED_AT)])
        self.work = chain_room(run.batch_size, self.shards, run.chain.widths.tolist(), run.model.dtype)

    def gradient(self):
        """Write the gradient of the batch under way to the run's `grads`, whose rows add up to it; returns its loss."""
        return self.call(self.nothing, 0)[0]

    def calls(self, data, plan, numbers, losses):
        """A call for each thread."""
        run, net = self.run, (self.run.chain.widths, self.run.chain.starts, self.sparse)
        self.turn[:] = 0
        return [partial(chain_steps, me, *data, plan, *net, numbers, run.model.mask, self.turn, self.work, losses,
                        run.grads, run.model.values, run.vectors) for me in range(self.shards)]


class SparseChainSteps(Steps):
    """Those of a chain of which some layers have live weights only: threads share rows."""

    def __init__(self, run):
        super().__init__(run)
        shards, rows = len(run.grads), -(-run.batch_size // len(run.grads))
        self.turn = np.zeros(shards + 1, np.int64)
        work = sparse_chain_room(rows, list(map(int, run.chain.widths)))
        work = -(-work // LINE) * LINE  # each thread's begins a cache line
        self.work = aligned(shards * work, run.model.dtype).reshape(shards, work)
        self.places = np.empty((shards, rows), np.int32)

    def calls(self, data, plan, numbers, losses):
        """A call for each thread."""
        run, self.turn[:] = self.run, 0
        net = run.chain.places()
        return [partial(sparse_chain_steps, me, *data, plan, *net, numbers, run.model.mask, self.turn, self.work,
                        self.places, losses, run.grads, run.model.values, run.vectors) for me in range(len(run.grads))]


class SharedLayerSteps(Steps):
    """The same where a batch has few rows: threads share layers."""

    def __init__(self, run):
        super().__init__(run)
        batch, self.parts, self.turn = run.batch_size, len(run.grads), np.zeros(2, np.int64)
        widths = list(map(int, run.chain.widths))
        work = shared_room(batch, lanes_of(batch), widths, self.parts)
        self.grads = np.empty((self.parts, max(BLOCK, *widths)), run.model.dtype)
        self.work, self.places = np.empty((1, work), run.model.dtype), np.empty((1, batch), np.int32)

    def calls(self, data, plan, numbers, losses):
        """The same call for each thread."""
        run, self.turn[:] = self.run, 0
        net = run.chain.places(few=True)  # as they are now: places move
        call = partial(shared_layer_steps, *data, plan, *net, numbers, run.model.mask, self.turn, self.work,
                       self.places, losses, self.grads, run.model.values, run.vectors)
        return self.parts * [call]


def steps_of(run):
    """(what makes many steps of a run in one call, or None where something has to be done between two steps; what makes
    the gradient of a batch in one call, or None where the layers have to be walked)."""
    dense = type(run.chain) is Chain
    plain = run.chain is not None and not run.penalties and run.clip_norm is None
    plain = plain and type(run.state.optimizer) in OPTIMIZERS.values()
    if dense:
        steps = ChainSteps(run)
        return steps if plain else None, steps.gradient
    return (SharedLayerSteps if run.batch_size <= FEW else SparseChainSteps)(run) if plain else None, None
