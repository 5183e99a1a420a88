"""Results of prunings as arrays, and back, so that a run that is stored and goes on keeps its record.

    rounds = Rounds(model, "filter", record)
    facts = rounds.memory()             # arrays and names
    rounds.results = facts["results"]   # now the record holds these Results, made anew

A Result that was made anew explains and undoes as the one that was stored.
"""
from collections.abc import Mapping, Sequence

import numpy as np

from minnet.engine.model import Model
from minnet.pruning.candidates import Candidates
from minnet.pruning.parse import Structure, structure_of
from minnet.pruning.result import PrunePlan, Result

COPIED = ("before", "mask", "values", "round")  # attributes of a plan that are stored as they are


class Rounds:
    """What a Checkpoint stores of the list of Results that a recipe's `prune` adds to; nothing where there is none."""

    def __init__(self, model: Model, structure: Structure, record: list[Result] | None) -> None:
        self.model, self.structure, self.record = model, structure, record

    def memory(self) -> dict[str, object]:
        """Return the Results, each as names and arrays."""
        return {} if self.record is None else {"results": self.results}

    @property
    def results(self) -> list[dict[str, object]]:
        """What each Result is made of; where this is set, the record holds these Results, made anew."""
        return [_facts(result.plan) for result in self.record or ()]

    @results.setter
    def results(self, stored: Sequence[Mapping]) -> None:
        if self.record is not None:
            self.record[:] = [self._made(facts) for facts in stored]

    def _made(self, facts):
        """Return the Result of what was stored of it."""
        pieces = structure_of(self.structure)(self.model, list(facts["layers"]))
        candidates = Candidates(pieces, facts["scores"], facts["state"], facts["floor"])
        plan = PrunePlan(self.model, candidates, (facts["groups"], facts["counts"], facts["gone"]))
        for name in COPIED:
            setattr(plan, name, facts[name])
        plan.topology = self.model.topology if facts["current"] else -1
        return Result(plan)


def _facts(plan: PrunePlan) -> dict[str, object]:
    """Return what a plan is made of."""
    candidates = plan.candidates
    return {name: getattr(plan, name) for name in COPIED} | {
        "layers": plan.layers, "scores": candidates.scores, "state": candidates.state, "floor": candidates.floor,
        "groups": np.asarray(plan.groups), "counts": np.asarray(plan.counts), "gone": plan.gone,
        "current": plan.topology == plan.model.topology}
