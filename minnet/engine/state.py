"""State: one training run, whole. What is in it, and the data, decide every bit that follows.

    for step in train(model, data, every="batch", rng=0):
        if ...:
            save(step.state, "run.safetensors")
    for step in train(model, data, every="batch", state=load("run.safetensors")):   # goes on bit for bit
        ...
"""
from dataclasses import dataclass

import numpy as np

from minnet.engine.rng import as_seed
from minnet.kernels.steps import zero_masked

ORDER, NOISE = 0, 1  # what a random stream of the run is for


class State:
    """A model, an optimizer and its vectors, and where the run stands.

    `vectors` is (optimizer.slots, n_trainable), in the model's index space. `epoch` counts finished epochs, `batch`
    the batches done in the one under way, `t` all steps, `loss_sum` the losses of the batches done, `batch_size` the
    rows of each (0 before the first one). `rngs` are the generators that Dropout draws from, one per thread of the
    run. The order of rows needs no state: it follows from `seed` and `epoch`. `start` is what `train` keeps of the
    model's values, None before; it is saved nowhere.
    """

    def __init__(self, model, optimizer, rng=None, threads=1):
        self.model = model
        self.optimizer = optimizer
        self.seed = as_seed(rng)
        self.threads = threads
        self.vectors = np.zeros((optimizer.slots, model.n_trainable), model.dtype)
        self.topology = model.topology
        self.start = None
        self.epoch = self.batch = self.t = self.batch_size = 0
        self.loss_sum = 0.0
        self.rngs = [np.random.default_rng([self.seed, NOISE, i]) for i in range(threads)]

    def aligned_vectors(self):
        """All vectors that move along when live positions do."""
        return [*self.vectors] if self.start is None else [*self.vectors, self.start]

    def order_rng(self):
        """The generator that shuffles the rows of the epoch under way."""
        return np.random.default_rng([self.seed, ORDER, self.epoch])

    def order(self, n):
        """The order of the n rows in the epoch under way."""
        return self.order_rng().permutation(n)

    def apply_mask(self):
        """After the mask has changed: +0.0 wherever it is False, in the values and in every vector."""
        zero_masked(self.model.mask, self.model.values)
        for vector in self.vectors:
            zero_masked(self.model.mask[: self.model.n_trainable], vector)


class Snapshot:
    """All that a model's outputs depend on, as it is now, to be put back later: values, mask and live positions."""

    def __init__(self, model):
        self.model = model
        self.values, self.mask, self.topology = model.values.copy(), model.mask.copy(), model.topology
        self.places = {name: p.index.copy() for name, p in model.parameters.items() if p.index is not None}

    def put_back(self):
        """The model is again as it was. Where its positions have moved since, no State fits it any more."""
        model = self.model
        if model.topology != self.topology:
            for name, places in self.places.items():
                model.parameters[name].index[:] = places
            model.topology += 1
        model.mask[:] = self.mask
        model.values[:] = self.values


@dataclass(frozen=True)
class Step:
    """What `train` yields: `epoch` finished epochs, `batch` done in the one under way, `loss` the mean over that
    epoch so far (data loss, without penalties), `lr` of the last step, the State, and `progress`, the share in [0, 1]
    of all that this call of `train` is to do in the end. `path` names the stepper that made it, `why` the reason."""

    epoch: int
    batch: int
    loss: float
    lr: float
    state: State
    progress: float
    path: str = ""
    why: str = ""

    @property
    def model(self):
        """The model that is trained."""
        return self.state.model
