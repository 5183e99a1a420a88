"""Which stepper a job gets: the only place with thresholds, and the reason as text.

Everything here is a fixed function of arguments, shapes, mask and data, never of a stopwatch: the same job takes the
same path every time, and the same seed gives the same bits.
"""
from itertools import pairwise

import numpy as np

from minnet import threads
from minnet.csr import SparseRows
from minnet.engine.dense import Dense
from minnet.engine.loop import Job
from minnet.engine.losses import cross_entropy
from minnet.engine.optimizers import kernel_of
from minnet.engine.sparse import FEWEST_WEIGHTS
from minnet.fast.chain import Chain, chain_of
from minnet.fast.live_weights import LiveWeightStepper, has_sparse_form
from minnet.fast.mlp import MlpGradientStepper, MlpStepper
from minnet.fast.rewrite import mostly_zero, rewrite
from minnet.fast.sharded import ShardedStepper
from minnet.fast.sparse_mlp import SmallBatchStepper, SparseMlpGradientStepper, SparseMlpStepper
from minnet.fast.sparse_rows import SparseRowsStepper, reading_csr
from minnet.kernels.sparse.spmm import FEW, VECTOR
from minnet.kernels.steps import STEP_CODES

COMPILED_MACS = 2**28   # multiply-adds of a dense epoch: with fewer, a stepper costs more to compile than it saves
SHARD_MACS = 2**25      # multiply-adds of a forward pass: with fewer a second thread costs more than it saves
CHAIN_MACS = 2**22      # the same where a thread's whole pass is one call
PREDICT_MACS = 2**24    # the same for predictions
SPARSE_MAC_COST = 2**5  # cost of one multiply-add of a sparse layer, in dense multiply-adds
MIN_SLICE = 2**16       # entries of the vector that are worth a thread's step
SPARSE_DENSITY = 0.25   # a layer with at most this share of its weights costs less by its live weights alone
INNER_DENSITY = 0.4     # a Dense layer behind others: three products for each weight, not two, and no data with zeros
LOOKED_AT = 1024        # rows of the data that show whether it is mostly zeros
SHORT = "an epoch too short for a compiled chain to pay off"


def choose(job: Job):
    """Return the fastest Stepper for `job` that gives the numbers of LayerStepper."""
    layers = no_layers if job.penalties or is_short(job.model, len(job.X)) else sparse_layers
    return LiveWeightStepper(job, layers, stepper_for)


def no_layers(model):
    """Return no layer: a penalty sees the whole model, and in a short epoch live weights alone save nothing."""
    return []


def sparse_layers(model):
    """Return the layers worth training by their live weights alone: a fixed function of shapes and mask.

    Small layers are trained that way only where a large one is.
    """
    few = [layer for layer in model.layers.values() if has_few(layer)]
    return few if any(map(is_large, few)) else []


def is_large(layer):
    """Return whether a layer has enough to do for its live weights to matter."""
    return has_sparse_form(layer) and layer.positions * layer.weight.size >= FEWEST_WEIGHTS


def has_few(layer):
    """Return whether few weights of a layer are live."""
    if not has_sparse_form(layer):
        return False
    most = INNER_DENSITY if type(layer) is Dense and layer.input_needs_grad else SPARSE_DENSITY
    return np.count_nonzero(layer.weight.mask) <= most * layer.weight.size


def stepper_for(job: Job):
    """Return the stepper that does the batches of a job on its model as it is."""
    kernel, slices = kernel_of(job.state.optimizer), slices_of(job)
    if isinstance(job.X, SparseRows):
        return sparse_rows_stepper(job, slices)
    why = lacks_chain(job.loss, job.weights is not None)
    chain = None if why else chain_of(job.model, FEWEST_WEIGHTS)
    if chain is None:
        why = why or "the model is no chain of Dense and ReLU"
        return ShardedStepper(job, rewrite(job.model.tree), slices, why)
    if isinstance(chain, Chain) and is_short(job.model, len(job.X)):
        return ShardedStepper(job, job.model.tree, slices, SHORT)
    why = between_steps(job, kernel)
    if isinstance(chain, Chain):
        zeros = mostly_zero(job.X.reshape(len(job.X), -1)[:: max(1, len(job.X) // LOOKED_AT)])
        if why:
            return MlpGradientStepper(job, chain, zeros, slices, why)
        return MlpStepper(job, chain, kernel, zeros, "a chain of Dense and ReLU under cross-entropy")
    if why:
        return SparseMlpGradientStepper(job, chain, slices, why)
    # With few rows a pass reads each weight for a row or two: sharing layers, not rows, reads each weight once.
    if job.batch_size <= FEW:
        return SmallBatchStepper(job, chain, kernel, f"a sparse chain; batches of at most {FEW} rows")
    return SparseMlpStepper(job, chain, kernel, "a sparse chain under cross-entropy")


def sparse_rows_stepper(job, slices):
    """Return the stepper of a job on rows in CSR, which the first layer reads if it can."""
    tree = rewrite(job.model.tree)
    reading = reading_csr(tree)
    if reading is None:
        return ShardedStepper(job, tree, slices, "sparse rows, made dense by the batch: the first layer takes no CSR")
    return SparseRowsStepper(job, reading, slices, "sparse rows")


def is_short(model, rows):
    """Return whether an epoch of `rows` rows has fewer multiply-adds than are worth a stepper that is compiled."""
    return rows * dense_macs(model) < COMPILED_MACS


def dense_macs(model):
    """Return the multiply-adds of a row's forward pass; a layer that was born sparse has those of its live weights."""
    return sum(layer.positions * p.size for layer in model.layers.values() for p in layer.parameters
               if p.kind == "weight")


def lacks_chain(loss, weighted=False):
    """Return why no chain's kernel has this loss, of rows that are weighted or not, or ""."""
    if loss is cross_entropy:
        return "the rows have weights, which no chain's kernel takes" if weighted else ""
    name = getattr(getattr(loss, "func", loss), "__name__", type(loss).__name__)
    return f"the loss {name} with arguments of its own" if hasattr(loss, "func") else f"the loss is {name}"


def between_steps(job, kernel):
    """Return what has to be done between two steps that no kernel does, or ""."""
    if job.penalties:
        return "a penalty acts after each step"
    if job.clip_norm is not None:
        return "the gradient is clipped before each step"
    return "" if kernel in STEP_CODES else f"{type(job.state.optimizer).__name__} has no kernel for many steps"


def slices_of(job):
    """Return the slices of the vector that threads move, one each where that is worth it."""
    n = job.model.n_trainable
    parts = max(1, min(len(job.state.rngs), n // MIN_SLICE))
    edges = np.linspace(0, n, parts + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def shard_count(model, batch_size, loss, *, rows=None, live_only=True, one_by_one=False, weighted=False):
    """Return how many threads share a batch.

    `rows`: the length of an epoch, None for a long one; `live_only`: layers with few live weights are trained by these;
    `one_by_one`: threads meet after every step; `weighted`: rows have weights.
    """
    layers = model.layers.values()
    if any(layer.shares_batch for layer in layers):
        return 1
    short = rows is not None and is_short(model, rows)
    # By their live weights alone: what is counted here is the work of the model that is trained.
    replaced = set(sparse_layers(model)) if live_only and not short else set()
    sparse = {layer for layer in layers for p in layer.parameters if p.index is not None or layer in replaced}
    macs = sum(layer.positions * (SPARSE_MAC_COST * np.count_nonzero(p.mask) if layer in sparse else p.size)
               for layer in layers for p in layer.parameters if p.kind == "weight")
    chain = None if lacks_chain(loss, weighted) else chain_of(model, FEWEST_WEIGHTS)
    chain = chain is not None and not (short and isinstance(chain, Chain))
    worth = CHAIN_MACS if chain and not (sparse and one_by_one) else SHARD_MACS
    # A thread with fewer rows than a vector holds would compute with empty lanes.
    if not sparse:
        most = batch_size
    else:  # threads share the layers of small batches
        most = threads.n_threads() if chain and batch_size <= FEW else batch_size // VECTOR
    return max(1, min(threads.n_threads(), most, batch_size * int(macs) // worth))


def predict_shards(model, n):
    """Return how many threads share the prediction of n rows."""
    return max(1, min(threads.n_threads(), n, n * dense_macs(model) // PREDICT_MACS))
