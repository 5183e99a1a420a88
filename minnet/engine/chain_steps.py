"""Many steps of training in one call: for a plain chain, a known optimizer, and nothing between two steps.

Who trains that way is a matter of arguments and layers alone, and the numbers are those of single steps.
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.chain import Chain
from minnet.engine.dense import MOSTLY_ZERO
from minnet.engine.optimizers import OPTIMIZERS
from minnet.kernels.chain import chain_room
from minnet.kernels.chain_steps import chain_steps, sparse_chain_steps
from minnet.kernels.sparse_chain import sparse_chain_room
from minnet.kernels.sparse_train import VECTOR, lanes_of

CALL_MACS = 2**32  # multiply-adds of one call, or so: a kernel is to return within 0.2 s, so that Ctrl-C is heard
PASSES = 3         # forward, and backward to weights and to inputs
ROWS = 32          # of a batch, that take as long as the optimizer does


class ChainSteps:
    """Room for the steps of one run, whose chain, model, vectors and gradients it shares."""

    def __init__(self, run):
        self.run, batch, shards, widths = run, run.batch_size, len(run.grads), list(map(int, run.chain.widths))
        rows = -(-batch // shards)
        if type(run.chain) is Chain:
            self.kernel, self.net = chain_steps, (run.chain.widths, run.chain.starts, MOSTLY_ZERO)
            work, places = chain_room(rows, widths)
        else:
            lanes = lanes_of(rows)
            self.kernel, self.net = sparse_chain_steps, run.chain.places(lanes >= VECTOR)
            work, places = sparse_chain_room(rows, lanes, widths), rows
        self.most = CALL_MACS // (PASSES * (batch + ROWS) * run.model.n_weights + 1)
        self.most = max(1, min(run.n_batches, self.most))
        self.work, self.places = np.empty((shards, work), run.model.dtype), np.empty((shards, places), np.int32)
        self.losses, self.turn = np.empty((self.most, batch)), np.zeros(2, np.int64)
        self.X = run.X.reshape(len(run.X), -1)

    def go_on(self, stop):
        """Batches up to `stop`, or less; returns (the losses of these batches, the learning rate of each)."""
        run, state = self.run, self.run.state
        count, first = min(self.most, stop - state.batch), state.batch * run.batch_size
        rates = [run.rate_of(state.t + i) for i in range(1, count + 1)]
        optimizer, n = state.optimizer, np.full(count, run.batch_size)
        numbers = np.array([optimizer.numbers(lr, state.t + i) for i, lr in enumerate(rates, 1)], np.float64)
        n[-1] = min(run.batch_size, len(run.order) - first - (count - 1) * run.batch_size)
        plan = np.array([run.batch_size, first, optimizer.slots, len(run.moves), run.model.n_weights])
        losses, self.turn[:] = self.losses[:count], 0
        losses[:] = 0
        call = partial(self.kernel, self.X, run.y, run.order, plan, *self.net, numbers, run.model.mask, self.turn,
                       self.work, self.places, losses, run.grads, run.model.values, run.vectors)
        threads.run(len(run.grads) * [call])
        return losses.sum(axis=1) / n, rates


def chain_steps_of(run):
    """The ChainSteps of a run, or None where something has to be done between two steps."""
    plain = run.chain is not None and not run.penalties and run.clip_norm is None
    return ChainSteps(run) if plain and type(run.state.optimizer) in OPTIMIZERS.values() else None
