"""Sparse momentum: weights grow where the momentum of the dense gradient is largest, and in layers where it is."""
import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from minnet.engine.lr_schedules import cosine
from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.sample import Sample, check_pair, part_of
from minnet.engine.state import Step
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, check_count, check_fraction
from minnet.pruning.apportion import apportion
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Prune, Train
from minnet.pruning.recipes.moving import (
    lowest,
    move,
    one_pass,
    rewiring,
    slots,
    sparse_start,
    steepest,
)
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

UNIFORM = partial(prune_, criterion="random", distribution="layerwise")
LEFT = 1e-3   # batches whose share of the momentum is below this are left out
ROWS = 8192   # and so are those beyond so many rows


def snfs(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "one_shot",
         zeta: float = 0.5, least: float = 0.005, momentum: float = 0.9, prune: Prune = UNIFORM, train: Train = train_,
         rng: Seed = None) -> Iterator[Step]:
    """Replace, after each epoch but the last, the smallest ``|w|`` where the gradient's momentum is largest (SNFS).

    Every layer loses the share least + (zeta - least)/2 (1 + cos(pi t)) of its live weights at progress t. What was
    removed in all grows anew: each layer gets a part in proportion to the mean ``|m|`` of its live weights, at its
    positions of largest ``|m|``, m = sum of momentum^k g_k being the momentum of the dense gradient. In the paper g_k
    is that of the k-th last step; here it is that of a batch drawn anew, at the weights of the change, all in one pass,
    so that other steps need no dense gradient. Layers that were born sparse keep their counts.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the weights that is masked; None where the net is sparse already.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "one_shot"
        Not used: the net is sparse from the start.
    zeta, least : float, default 0.5 and 0.005
        The share of each layer that is replaced at the beginning and at the end of the training.
    momentum : float, default 0.9
        How much of a batch's gradient is left after the next one, from 0 to 1.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Dettmers and Zettlemoyer, 2019, "Sparse networks from scratch: faster training without losing performance".
    """
    if check_fraction("least", least) > check_fraction("zeta", zeta):
        raise InvalidValue(f"zeta={zeta} and least={least}: the share that is replaced falls from zeta to least")
    check_fraction("momentum", momentum)
    training, pruning, growing = as_rng(rng).spawn(3)
    goal = sparse_start("snfs", model, data, sparsity, prune, pruning, once=True)
    train = partial(train, epochs=check_count("epochs", epochs), rng=training)
    update = partial(_after_epochs, data=data, shares=(zeta, least), momentum=momentum, rng=growing)
    return rewiring(goal, train, update, growing)


def _after_epochs(step, layers, data, shares, momentum, rng):
    """Update after an epoch."""
    if step.batch or step.progress == 1:
        return
    zeta, least = shares
    tape = momentum_pass(step, data, momentum, rng)
    redistribute(step, tape, layers, least + (zeta - least) * cosine(step.progress))


def momentum_pass(step: Step, data: Data, momentum: float, rng: np.random.Generator) -> Tape:
    """Return the tape of one pass whose gradient is the momentum of the last batches, at the present weights.

    A gradient is linear in what each row hands back, so sum of momentum^k g_k is that of rows weighted by momentum^k.
    """
    X, y, loss = check_pair(*part_of(step.model, data), step.model)
    size = step.state.batch_size
    n = batches(momentum, min(len(X), ROWS) // size)
    rows = rng.choice(len(X), n * size, replace=False)
    sample = Sample(X.take(rows, axis=0), y[rows], loss, rng, len(rows))
    return one_pass(step.model, sample, np.repeat(n * momentum ** np.arange(n), size).astype(step.model.dtype))


def batches(momentum: float, most: int) -> int:
    """Return how many batches have a share of at least LEFT in the momentum, from 1 to `most`."""
    if momentum in (0, 1):
        return max(most, 1) if momentum else 1
    return max(1, min(most, 1 + math.floor(math.log(LEFT) / math.log(momentum))))


def redistribute(step: Step, tape: Tape, layers: list[str], share: float) -> None:
    """Remove the share of the smallest ``|w|`` of each layer; grow as many where ``|m|`` is large, layer and place."""
    weights = [p for p in step.model.weight_parameters if p.layer in layers]
    places, gone, means, free = [], [], [], []
    for p in weights:
        positions, value, live = slots(p)
        m = np.abs(p.of(tape.grads).reshape(-1)[positions] if p.index is None else p.of(tape.grads)[live])
        places.append(positions)
        gone.append(lowest(np.abs(value), live, round(share * np.count_nonzero(live))))
        means.append(m.mean(dtype=np.float64) if len(m) else 0.0)
        free.append(p.size - len(positions) + np.count_nonzero(gone[-1]))
    removed = np.array([np.count_nonzero(g) for g in gone])
    tied = np.array([p.index is not None for p in weights])
    removed[tied] = np.minimum(removed[tied], np.array(free)[tied])
    low, high = np.where(tied, removed, 0), np.where(tied, removed, free)
    grown = apportion(np.where(tied, removed, means), removed.sum(), low, high)
    for p, positions, g, count in zip(weights, places, gone, grown.tolist(), strict=True):
        move(step.state, p, positions, g, partial(steepest, tape, p), count)


RECIPES = {"snfs": snfs}
