"""The search of a guard: run a recipe again and again, until the sparsest net that the guard lets pass is found.

    search = Search(model, run, judge, low=0.0, high=0.9, pieces=50_200)
    for step in search.steps():        # those of every round
        ...
    search.best, search.rounds         # the model is now the net of that round, or as before where best is None

A round runs the recipe from the state of the last round that held towards a sparsity. Where it breaks a limit the model
goes back to that state, and the step is halved; a recipe that is sparse from its first step on has no such state, and
begins again from the model as it was, at half the excess. The search ends where no piece lies between what held and
what did not, HALVINGS rounds after the first that broke a limit, or after ROUNDS rounds that all held.
"""
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from minnet.engine.state import Snapshot, Step
from minnet.errors import Diverged, InvalidValue, quoted
from minnet.model import Model
from minnet.study.guard import missed
from minnet.study.settings import COSTS, LEAST, MOST, Settings
from minnet.study.stages import Past

HALVINGS = 6  # of the step, once a round broke a limit: finer steps would choose by the noise of the rows that decide
PER = {"macs": "macs", "bytes": "bytes", "latency": "macs"}  # by what scores are divided where it is to be least
ROUNDS = 12   # rounds that may hold before any breaks: where there is no end, they leave 2^-12 of the weights


@dataclass(frozen=True)
class Round:
    """One round of a search.

    Parameters
    ----------
    begun, asked, reached : float
        The sparsity that it began at, that it was to reach, and that it reached.
    cost : float
        What the search makes least, of the net that it left.
    missed : list of str
        The limits that were broken, and by how much; empty if the guard holds.
    found : mapping or None
        What the guard decided by; None where the training diverged.
    epochs : int
        How many epochs the round took.
    """

    begun: float
    asked: float
    reached: float
    cost: float
    missed: list[str]
    found: Mapping | None
    epochs: int

    @property
    def holds(self) -> bool:
        """Return True if no limit was broken."""
        return not self.missed


@dataclass
class Search:
    """A search for the net of the least cost, mostly the sparsest, that a guard lets pass.

    Parameters
    ----------
    model : Model
        What is pruned, in place.
    run : callable
        (sparsity or None, number of the round) -> the steps of a recipe over `model`.
    judge : callable
        What the guard decides by, as `paired.judged` returns it, of the model as it is.
    share : callable
        The sparsity of the model as it is.
    cost : callable
        The cost of the model as it is.
    high : float or None
        The sparsity to reach; None where the structure or the distribution sets its own, and there is one round.
    pieces : int
        How many weights or units the sparsity is a share of.
    open_end : bool
        `high` is not tried: it is where nothing is left to remove.
    again : bool
        Every round begins from the model as it was.
    rounds : list of Round
        Those that were made.
    best : Round or None
        The one whose net was kept.
    kept : Snapshot or None
        That net.
    """

    model: Model
    run: Callable[[float | None, int], Iterator[Step | Past]]
    judge: Callable[[], Mapping]
    share: Callable[[], float]
    cost: Callable[[], float]
    high: float | None
    pieces: int
    open_end: bool = False
    again: bool = False
    rounds: list[Round] = field(default_factory=list)
    best: Round | None = None
    kept: Snapshot | None = None

    def steps(self) -> Iterator[Step | Past]:
        """Run the rounds.

        Yields
        ------
        Step or Past
            Those of the recipe, round after round.
        """
        start = good = Snapshot(self.model)
        low, high = self.share(), self.high
        target = self._between(low, high) if self.open_end else high
        if self.open_end and target is None:
            return
        while self.halvings < HALVINGS and len(self.rounds) < ROUNDS + self.halvings:
            yield from self._round(target)
            done = self.rounds[-1]
            if done.holds:
                good = Snapshot(self.model)
                if self.best is None or done.cost < self.best.cost:
                    self.kept, self.best = good, done
                low = max(low, done.reached)
            else:
                high = target
            if target is None or (target == self.high and done.holds):
                break
            (start if self.again else good).put_back()
            target = self._between(low, high)
            if target is None:
                break
        (self.kept or start).put_back()

    @property
    def halvings(self) -> int:
        """Return how many rounds were made after the first that broke a limit, 0 before there is one."""
        first = next((number for number, done in enumerate(self.rounds, 1) if not done.holds), len(self.rounds))
        return len(self.rounds) - first

    @property
    def broke(self) -> list[Round]:
        """Return the rounds that broke a limit."""
        return [done for done in self.rounds if not done.holds]

    @property
    def lineage(self) -> list[int]:
        """Return the numbers of the rounds that led to the net that was kept, from 0."""
        if self.best is None:
            return []
        last = next(number for number, done in enumerate(self.rounds) if done is self.best)
        return [last] if self.again else [number for number in range(last + 1) if self.rounds[number].holds]

    def _between(self, low, high):
        """Return the sparsity half way between two, in whole pieces; None where no other lies between."""
        if low is None or high is None:
            return None
        first, last = round(low * self.pieces), round(high * self.pieces)
        middle = (first + last + 1) // 2
        return middle / self.pieces if first < middle < last else None

    def _round(self, target):
        """Run the recipe once, judge what it leaves, and note it."""
        epochs, found, begun, cost = 0, None, self.share(), math.inf
        try:
            for step in self.run(target, len(self.rounds)):
                epochs += step.batch == 0
                yield step
            found = self.judge()
            broken, cost = missed(found), self.cost()
        except Diverged as error:
            broken = [f"the training diverged: {error}"]
        reached = self.share()
        self.rounds.append(Round(begun, reached if target is None else target, reached, cost, broken, found, epochs))

    def record(self, asked: object) -> dict[str, object]:
        """Return the search as result.json has it: what was asked, what was tried, and which limit bound it where.

        Parameters
        ----------
        asked : object
            What the settings asked for.

        Returns
        -------
        dict of str to object
            "asked"; "held", whether any round held; "reached", the sparsity that was kept; "rounds", for each its
            `begun`, `asked`, `reached`, `cost`, `epochs`, `holds` and `missed`; "epochs", those of the rounds that led
            to the net; "bound", `asked` and `missed` of the round of the lowest sparsity that broke a limit, or None.
        """
        names = ("begun", "asked", "reached", "cost", "epochs", "holds", "missed")
        nearest = min(self.broke, key=lambda done: done.asked, default=None)
        return {"asked": asked, "held": self.best is not None,
                "reached": self.share() if self.best is None else self.best.reached,
                "rounds": [{name: getattr(done, name) for name in names} for done in self.rounds],
                "epochs": sum(self.rounds[number].epochs for number in self.lineage),
                "bound": None if nearest is None else {"asked": nearest.asked, "missed": nearest.missed}}


def sought(settings: Settings, guard: Mapping[str, float]) -> str | None:
    """Return what a guard makes least, or "sparsity", which it makes largest, or None; raises without a guard."""
    for name in (*PER, "sparsity"):
        value, wanted = getattr(settings, name), MOST if name == "sparsity" else LEAST
        if value is None or (name != "latency" and not isinstance(value, str)):
            continue
        if value != wanted:
            raise InvalidValue(f"{name}={quoted(repr(value))}; wanted {wanted!r}" + ", or a share from 0 to 1" * (
                name == "sparsity") + ", a whole number, or a share in (0, 1]" * (name in COSTS))
        if not guard:
            raise InvalidValue(f"{name}={value!r} searches within a guard, and none is given: say what may be lost, as "
                               'in guard={"accuracy": 0.005} or --guard accuracy:0.005')
        return name
    return None
