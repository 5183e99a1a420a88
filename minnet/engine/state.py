"""State: one training run, whole. What is in it, and the data, decide every bit that follows.

    for step in train(model, data, every="batch", rng=0):
        if ...:
            save(step.state, "run.safetensors")
    for step in train(model, data, every="batch", state=load("run.safetensors")):   # goes on bit for bit
        ...

A State is saved bit for bit, vectors and random generators included.
"""
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.engine.optimizers import Optimizer
from minnet.engine.rng import as_seed
from minnet.kernels.steps import zero_masked
from minnet.typing import Seed

ORDER, NOISE = 0, 1  # what a random stream of the run is for


class State:
    """Hold one training run: a model, an optimizer and its vectors, and how far the run is.

    `vectors` is (optimizer.slots, n_trainable), in the model's index space. `epoch` counts finished epochs, `batch`
    the batches done in the one under way, `t` all steps, `loss_sum` the losses of the batches done, `batch_size` the
    rows of each (0 before the first one). `keeper` is the Checkpoint that stores the run, or None: `keeper.keep(thing)`
    stores beside it what is no part of it, such as a mean of its nets. `rngs` are the generators that Dropout draws
    from, one per thread of the run. The order of rows needs no state: it follows from `seed` and `epoch`. `start` is
    what `train` keeps of the model's values, None before; it is saved nowhere.

    Parameters
    ----------
    model : Model
        What is trained.
    optimizer : Optimizer
        How it is trained.
    rng : int, numpy.random.Generator or None
        What the order of rows and dropout are drawn from.
    threads : int
        How many threads share a batch.

    Raises
    ------
    InvalidType, InvalidValue
        `rng` is no seed.
    """

    def __init__(self, model: Model, optimizer: Optimizer, rng: Seed = None, threads: int = 1):
        self.model = model
        self.optimizer = optimizer
        self.seed = as_seed(rng)
        self.threads = threads
        self.vectors = np.zeros((optimizer.slots, model.n_trainable), model.dtype)
        self.topology = model.topology
        self.start = self.keeper = None
        self.epoch = self.batch = self.t = self.batch_size = 0
        self.loss_sum = 0.0
        self.rngs = [np.random.default_rng([self.seed, NOISE, i]) for i in range(threads)]

    def aligned_vectors(self) -> list[np.ndarray]:
        """Return all vectors whose entries move when live positions do.

        Returns
        -------
        list of numpy.ndarray
            The optimizer's vectors and, where there is one, the start.
        """
        return [*self.vectors] if self.start is None else [*self.vectors, self.start]

    def order_rng(self) -> np.random.Generator:
        """Return the generator that shuffles the rows of the epoch under way.

        Returns
        -------
        numpy.random.Generator
            A new one, determined by seed and epoch.
        """
        return np.random.default_rng([self.seed, ORDER, self.epoch])

    def order(self, n: int) -> np.ndarray:
        """Return the order of the n rows in the epoch under way: a permutation of 0, ..., n - 1.

        Parameters
        ----------
        n : int
            How many rows the data has.

        Returns
        -------
        numpy.ndarray
            Shape (n,), whole numbers.
        """
        return self.order_rng().permutation(n)

    def apply_mask(self) -> None:
        """Set values and every vector to +0.0 wherever the mask is False; call it after the mask has changed."""
        zero_masked(self.model.mask, self.model.values)
        for vector in self.vectors:
            zero_masked(self.model.mask[: self.model.n_trainable], vector)


class Snapshot:
    """Keep all that a model's outputs depend on, to be put back later: values, mask and live positions."""

    def __init__(self, model):
        self.model = model
        self.values, self.mask, self.topology = model.values.copy(), model.mask.copy(), model.topology
        self.places = {name: p.index.copy() for name, p in model.parameters.items() if p.index is not None}

    def put_back(self) -> None:
        """Make the model what it was. Where its positions have moved since, no State fits it any more."""
        model = self.model
        if model.topology != self.topology:
            for name, places in self.places.items():
                model.parameters[name].index[:] = places
            model.topology += 1
        model.mask[:] = self.mask
        model.values[:] = self.values


@dataclass(frozen=True)
class Step:
    """What `train` yields.

    Attributes
    ----------
    epoch, batch : int
        Finished epochs, and batches done in the one under way.
    loss : float
        Mean over that epoch so far: the loss on the data, without penalties.
    lr : float
        Learning rate of the last step.
    state : State
        The whole run: it can be saved, and goes on bit for bit.
    progress : float
        Share in [0, 1] of what this call of `train` does in all.
    path, why : str
        Name of the stepper that made the last step, and the reason for it.
    cut : int or None
        How many weights a recipe's last exact cut took beyond those that the method had masked, below 0 where it gave
        some back; None where there was no such cut.
    """

    epoch: int
    batch: int
    loss: float
    lr: float
    state: State
    progress: float
    path: str = ""
    why: str = ""
    cut: int | None = None

    @property
    def model(self) -> Model:
        """The model that is trained."""
        return self.state.model
