"""Fitting: train a model as a recipe says, which prunes it; or until it has converged.

    fitting = Fitting(model, (X, codes), pruning, train, epochs=200, pruning_epochs=40, rule=Convergence(1e-4, 10))
    fitting.run(rng=0)
    fitting.losses, fitting.state, fitting.pruning.result

Only a net that is not pruned may stop early: a recipe ends with the learning rate at 0.
"""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from minnet.engine.rng import as_rng
from minnet.engine.state import Snapshot, State, Step
from minnet.errors import check_choice, check_count, check_fraction
from minnet.estimators.convergence import Convergence
from minnet.model import Model
from minnet.pruning.parse import Structure
from minnet.pruning.prune import prune
from minnet.pruning.recipes import RECIPES, UNTRAINED
from minnet.pruning.result import Result
from minnet.pruning.rounds import PruneSchedule, share_of
from minnet.pruning.scores import Criterion
from minnet.typing import Arrays, Seed

DENSE_SHARE = 4  # of the epochs for pruning, one part in so many trains the dense net first
AUTO = "auto"    # the recipe: granet where single weights are removed, else gradual
EVERY = 100      # steps after which a recipe may prune, where an epoch is longer
PEAK = 3         # of the learning rate while a recipe runs: a net that loses weights learns from longer steps
SPREAD = "lamp"  # how much each layer loses: small nets keep more accuracy than by a global cut

Validation = Callable[[Model], float]


class Latest(list[Result]):
    """A record of prunings that keeps the last one alone: each holds as many numbers as the model."""

    def append(self, result: Result) -> None:
        """Keep `result` in place of the one before."""
        self[:] = [result]


@dataclass
class Pruning:
    """How much is pruned, and how: the parameters of an estimator by their names there.

    `sparsity` None is for a structure or distribution that sets the count; 0 prunes nothing.
    """

    sparsity: float | None
    criterion: Criterion
    structure: Structure
    distribution: object
    schedule: PruneSchedule | None
    recipe: str | Callable[..., Iterator[Step]]
    record: Latest = field(default_factory=Latest)

    def __post_init__(self):
        if self.sparsity is not None:
            check_fraction("sparsity", self.sparsity)
        if isinstance(self.recipe, str) and self.recipe == AUTO:
            self.recipe = "granet" if self.structure == "weight" and self.sparsity is not None else "gradual"
        self.steps = check_choice("recipe", self.recipe, {AUTO: None, **RECIPES})
        spread = self.distribution if self.distribution is not None else "global" if self.sparsity is None else SPREAD
        self.prune = partial(prune, criterion=self.criterion, structure=self.structure, distribution=spread,
                             record=self.record)

    @property
    def result(self) -> Result | None:
        """The Result of the last pruning; None before the first."""
        return self.record[-1] if self.record else None

    @property
    def complete(self) -> bool:
        """Whether as many pieces are removed as `sparsity` says; False where something else sets the count."""
        if self.result is None or self.sparsity is None:
            return False
        units = self.result.units
        return units.total - units.remaining >= round(self.sparsity * units.total)

    def run(self, model: Model, data: Arrays, train: Callable[..., Iterator[Step]], epochs: int,
            rng: Seed) -> Iterator[Step]:
        """Return the steps of the recipe."""
        own = {} if self.schedule is None else {"schedule": self.schedule}
        steps: Iterator[Step] = partial(self.steps, **own)(model, data, self.sparsity, epochs=epochs, prune=self.prune,
                                                           train=partial(train, lr_schedule=high_then_falling), rng=rng)
        return steps

    def none(self, model: Model) -> None:
        """Note a Result of a pruning that removes nothing."""
        prune(model, count=0, record=self.record)

    def after(self, model: Model, data: Arrays, progress: float, rng: Seed) -> None:
        """Prune as far as the schedule is at `progress` in [0, 1]; for training that has no end of its own."""
        if self.sparsity == 0:
            self.none(model)
            return
        share = None if self.sparsity is None else \
            self.sparsity * share_of("cubic" if self.schedule is None else self.schedule, self.sparsity)(progress)
        self.prune(model, share, data=data, rng=rng)


def high_then_falling(t: float) -> float:
    """Return the factor of the learning rate at progress t: PEAK while a recipe prunes, then down to 0 in a line."""
    return PEAK * min(1.0, 2 * (1 - t))


class Fitting:
    """One fit: the model, its data, how to prune and when to stop; afterwards the losses of the epochs and more.

    Parameters
    ----------
    model : Model
        What is trained, without a signature: inputs as its layers take them.
    data : (X, y)
        Inputs and targets.
    pruning : Pruning
        How it is pruned.
    train : callable
        `minnet.train`, with everything bound but model, data, epochs, rng and state.
    epochs, pruning_epochs : int
        The most epochs without pruning, and the most with it: dense training and the recipe.
    rule : Convergence
        When to stop.
    validation : callable, optional
        The score of a model on rows that are not trained on; without it the loss decides.
    report : callable
        Called with a line about each epoch.
    only_pruned : bool
        Whether training ends with the epoch in which all that is to be removed is.
    """

    def __init__(self, model: Model, data: Arrays, pruning: Pruning, train: Callable[..., Iterator[Step]], *,
                 epochs: int, pruning_epochs: int, rule: Convergence, validation: Validation | None = None,
                 report: Callable[[str], None] = lambda line: None, only_pruned: bool = False):
        self.only_pruned = only_pruned
        self.model, self.data, self.pruning, self.train = model, data, pruning, train
        self.epochs, self.pruning_epochs = check_count("max_iter", epochs, 1), pruning_epochs
        self.rule, self.validation, self.report = rule, validation, report
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.state: State | None = None

    def run(self, rng: Seed) -> None:
        """Train until the epochs are over, or a net that is not pruned has converged.

        Where epochs are validated, the best one's values are put back. Epochs are compared with those that had as many
        live weights.
        """
        live, kept = np.count_nonzero(self.model.mask), None
        for step in self.steps(rng):
            self.state = step.state
            if step.batch:
                continue
            self.losses.append(step.loss)
            before, live = live, np.count_nonzero(self.model.mask)
            if live != before:
                self.rule.reset()
            if self.rule.update(self.score(step.loss)) and self.validation is not None:
                kept = Snapshot(self.model)
            if live != before and self.validation is None:
                self.rule.reset()  # this loss is that of more weights: those that are left may come near it much later
            if self.rule.converged and self.pruning.sparsity == 0:
                break
            if self.only_pruned and self.pruning.complete:
                break
        if kept is not None:
            kept.put_back()

    def score(self, loss: float) -> float:
        """Return what the rule compares, and report it: the score on validation rows, or minus the loss."""
        line = f"epoch {len(self.losses)}, loss {loss:.8f}, sparsity {self.model.sparsity:.4f}"
        if self.validation is None:
            self.report(line)
            return -loss
        self.scores.append(self.validation(self.model))
        self.report(f"{line}, validation score {self.scores[-1]:.6f}")
        return self.scores[-1]

    @property
    def converged(self) -> bool:
        """Whether training stopped before its epochs were over."""
        return self.rule.converged or len(self.losses) < self.epochs

    def steps(self, rng: Seed) -> Iterator[Step]:
        """Yield the steps of dense training, then those of the recipe, which ends at full sparsity."""
        dense, recipe = as_rng(rng).spawn(2)
        if self.pruning.sparsity == 0:
            self.pruning.none(self.model)
            yield from self.train(self.model, self.data, epochs=self.epochs, rng=dense)
            return
        first = 0 if self.pruning.recipe in UNTRAINED else self.pruning_epochs // DENSE_SHARE
        yield from self.train(self.model, self.data, epochs=first, rng=dense)
        yield from self.pruning.run(self.model, self.data, self.train, self.pruning_epochs - first, recipe)
