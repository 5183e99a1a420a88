"""The goal of a recipe: what it prunes to, and how far it is after a share of the way."""
from collections.abc import Callable, Iterator
from functools import partial

from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_fraction
from minnet.pruning.choose import is_measured
from minnet.pruning.remembered import Rounds
from minnet.pruning.result import Result
from minnet.pruning.rounds import PruneSchedule, share_of
from minnet.pruning.scores import Data
from minnet.typing import Seed

Prune = Callable[..., Result]
Train = Callable[..., Iterator[Step]]


def bound_to(function: Callable, name: str, default: object = None) -> object:
    """Return the argument of this name that is bound to a function, such as `prune`, by functools.partial."""
    return getattr(function, "keywords", {}).get(name, default)


class Goal:
    """Prune `model` step by step to exactly round(sparsity n) pieces.

    What is masked before the recipe begins counts as done: after a share f of the way, round(f K) of the K pieces that
    were still to be removed are. With sparsity None, pruning is whatever `prune` does without a budget, all at once.
    """

    def __init__(self, model: Model, data: Data, sparsity: float | None, schedule: PruneSchedule, prune: Prune,
                 rng: Seed) -> None:
        self.model, self.data, self.prune, self.rng = model, data, prune, as_rng(rng)
        self.layers: list[str] = []
        self.before = self.total = self.pieces = 0  # of the pieces: masked before, masked at the end, all
        self.done: int | None = None  # the last count of `gradually`
        self.share = share_of("one_shot" if sparsity is None else schedule, sparsity)
        self.open = sparsity is None
        self.record = Rounds(model, bound_to(prune, "structure", "weight"), bound_to(prune, "record"))
        if sparsity is not None:
            trial = prune if bound_to(prune, "record") is None else partial(prune, record=None)  # it is no round
            first = trial(model, count=0, data=data, rng=self.rng)  # removes nothing
            units, self.layers = first.units, list(first.layers)
            if is_measured(bound_to(prune, "layers")) or is_measured(bound_to(prune, "protect")):
                self.prune = partial(prune, layers=first.layers, protect=None)  # measured once, not after each pruning
            self.before, self.pieces = units.total - units.remaining, units.total
            self.total = max(round(check_fraction("sparsity", sparsity) * self.pieces), self.before)

    def memory(self) -> dict[str, object]:
        """Return what changes between two steps."""
        return {"rng": self.rng, "layers": self.layers, "done": self.done, "record": self.record}

    def count(self, t: float) -> int:
        """Return how many pieces are masked at progress t in [0, 1]."""
        return self.before + round((self.total - self.before) * self.share(t))

    def reach(self, t: float) -> Result:
        """Prune to the count of progress t in [0, 1]; note the layers that were pruned as `layers`."""
        return self.cut(None if self.open else self.count(t))

    def cut(self, count: int | None) -> Result:
        """Prune until `count` pieces are masked, or as far as the structure says; note the layers likewise."""
        result = self.prune(self.model, count=count, data=self.data, rng=self.rng)
        self.layers = list(result.layers)
        return result


def check_span(begin: float, end: float) -> None:
    """Raise InvalidValue or InvalidType unless 0 <= begin < end <= 1, where a pruning begins and ends."""
    if check_fraction("begin", begin) >= check_fraction("end", end):
        raise InvalidValue(f"begin={begin} and end={end}: pruning must begin before it ends")


def gradually(goal: Goal, steps: Iterator[Step], begin: float, end: float) -> Iterator[Step]:
    """Yield the steps of a training after pruning at each, to the goal's count of progress from `begin` to `end`."""
    for step in steps:
        if step.progress >= begin:
            t = (step.progress - begin) / (end - begin)
            count = None if goal.open else goal.count(t)
            if count is None or count != goal.done:  # where as many are masked as last time nothing would change
                goal.cut(count)
                step.state.apply_mask()
            goal.done = count
        yield step
    goal.reach(1.0)  # also where there was nothing to train
