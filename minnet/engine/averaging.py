"""Weight averaging: generators around the generator that trains, which leave a mean of its nets in the model.

    for step in swa(train(model, data, epochs=40), begin=0.75): ...
    for step in ema(train(model, data, every="batch"), decay=0.999): ...

Both average everything the net computes with, the statistics of BatchNorm too; `mn.compensation.recalibrate_batchnorm`
measures these anew. Where weights are pruned or grown on the way the mean begins anew: it is of nets of one mask.
"""
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from minnet.engine.model import Model
from minnet.engine.state import Step
from minnet.errors import check_fraction


def swa(steps: Iterable[Step], *, begin: float = 0.75) -> Iterator[Step]:
    """Pass `steps` on, then leave the mean of the nets after each epoch from `begin` on (stochastic weight averaging).

    Parameters
    ----------
    steps : iterable of Step
        What `train` or a recipe yields.
    begin : float, default 0.75
        The progress of the training from where on nets count.

    Yields
    ------
    Step
        Every step of `steps`, with the model as it is trained.

    Raises
    ------
    InvalidValue, InvalidType
        If `begin` is no share.

    References
    ----------
    .. [1] Izmailov et al., 2018, "Averaging weights leads to wider optima and better generalization", algorithm 1.
    """
    check_fraction("begin", begin)
    return _averaged(steps, lambda step: step.progress >= begin and not step.batch, lambda count: 1 / count)


def ema(steps: Iterable[Step], *, decay: float = 0.999) -> Iterator[Step]:
    """Pass `steps` on, then leave the exponential moving average of the nets at each step.

    It begins as the first net; then mean = decay mean + (1 - decay) net.

    Parameters
    ----------
    steps : iterable of Step
        What `train` or a recipe yields; with every="batch" the mean is over batches.
    decay : float, default 0.999
        How much of the mean stays at each step.

    Yields
    ------
    Step
        Every step of `steps`, with the model as it is trained.

    Raises
    ------
    InvalidValue, InvalidType
        If `decay` is no share.

    References
    ----------
    .. [1] Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by averaging", whose mean is that of
           all steps.
    """
    check_fraction("decay", decay)
    return _averaged(steps, lambda step: True, lambda count: 1.0 if count == 1 else 1 - decay)


class _Mean:
    """A mean of a model's values, float64, over nets of one mask whose live weights are at the same places."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.begin()

    def begin(self) -> None:
        """Begin anew, with the model's mask and places as they are now."""
        self.mask, self.places, self.count = self.model.mask.copy(), _places(self.model), 0
        self.values = np.zeros(len(self.model.values))

    def memory(self) -> dict[str, object]:
        """Return what a Checkpoint stores."""
        return {"mask": self.mask, "places": self.places, "count": self.count, "values": self.values}

    def fits(self) -> bool:
        """Return whether the model has the mask and the places that the mean is of."""
        return np.array_equal(self.mask, self.model.mask) and np.array_equal(self.places, _places(self.model))

    def add(self, weight: Callable[[int], float]) -> None:
        """Move the mean towards the model's values, by the share that the count gives."""
        self.count += 1
        self.values += weight(self.count) * (self.model.values - self.values)


def _places(model):
    """Return the live positions of all layers that were born sparse, one after the other."""
    found = [p.index for p in model.parameters.values() if p.index is not None]
    return np.concatenate(found).astype(np.int64) if found else np.zeros(0, np.int64)


def _averaged(steps, counts, weight):
    mean = None
    for step in steps:
        if mean is None:
            mean = _Mean(step.model)
            if step.state.keeper is not None:
                step.state.keeper.keep(mean)  # which puts back what it was in a run that goes on
        if not mean.fits():
            mean.begin()
        if counts(step):
            mean.add(weight)
        yield step
    if mean is not None and mean.fits() and mean.count:
        mean.model.values[:] = np.where(mean.model.mask, mean.values, 0)


AVERAGES = {f.__name__: f for f in (swa, ema)}
