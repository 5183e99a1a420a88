"""Least change: the criterion whose pruned net predicts most like the dense one, and the layers that are left alone.

    protected = key_layers(sensitivity(model, data), ["dense2", "dense3"])
    distance(answers(dense, X, y), answers(small, X, y))         # (share of predictions that changed, mean distance)

Used by a Job with `safe`: it prunes weights alone and keeps every unit, so the net keeps its shape.
"""
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from minnet.engine.answers import Answers
from minnet.engine.losses import softmax
from minnet.engine.state import Snapshot
from minnet.errors import InvalidValue, MinnetError, check_choice, quoted
from minnet.pruning.choose import weighted
from minnet.pruning.recipes import RECIPES, takes_criterion
from minnet.study.budget import costs_of
from minnet.study.measure import answers_on
from minnet.study.result import plain
from minnet.study.sensitivity import Sensitivity, sensitivity
from minnet.study.settings import Settings, name_of
from minnet.study.training import DRY_RUN, SPARSE, TRIED, Progress

ENDS = ("first:1", "last:1")  # layers that are never pruned, unless layers are named
CRITERIA = ("magnitude", "taylor", "obd", "wanda")  # what is tried, beside the criterion of the settings
KEY = 2.0  # a layer is key if its pruning raises the loss by more than so many times the layers' mean


@dataclass(frozen=True)
class Trial:
    """One criterion that was tried.

    Parameters
    ----------
    criterion : str
        Its name.
    cost : float
        What is made least, mostly the share of weights that remains.
    flips, distance : float
        How its net differs from the dense one on the rows that decide, as `distance` returns it.
    reason : str
        Why it could not be used, else "".
    """

    criterion: str
    cost: float = np.inf
    flips: float = np.inf
    distance: float = np.inf
    reason: str = ""

    @property
    def rank(self) -> tuple[float, float, float]:
        """Return what is to be least: the budget that was met counts first, then agreement."""
        return self.cost, self.flips, self.distance


def check_safe(settings: Settings, n_layers: int) -> tuple[str, ...]:
    """Return what is protected before anything is measured; refuse pieces that change the shape, and too few layers."""
    if settings.structure != "weight":
        raise InvalidValue(f"safe=True keeps the shape, and structure={quoted(repr(settings.structure))} removes "
                           'weights together: take structure="weight"')
    if not takes_criterion(check_choice("recipe", settings.recipe, RECIPES)):
        raise InvalidValue(f"safe=True chooses among criteria, and recipe {quoted(name_of(settings.recipe))} scores "
                           "weights in its own way: take another recipe, such as gradual")
    costs = costs_of(settings)
    if costs:
        raise InvalidValue(f"safe=True keeps every unit, and {', '.join(costs)} is of what is left without dead ones: "
                           "give a sparsity, a count or a number to keep")
    if settings.layers is not None:
        return settings.protect
    if n_layers <= len(ENDS):
        raise InvalidValue("safe=True protects the first and the last layer, and the model has no other with weights: "
                           "name what may be pruned, as in layers=('dense1',) or --layers dense1")
    return (*(settings.protect or ()), *ENDS)


def protect_key(job) -> None:
    """Protect, in a Job whose model is trained, what the sensitivity scan calls key, and plan anew."""
    free = job.planned.layers
    found = sensitivity(job.model, job.data, criterion=job.pruning["criterion"], rng=job.seed(DRY_RUN))
    key = key_layers(found, free)
    job.pruning |= {"layers": [name for name in free if name not in key], "protect": None}
    job.planned = job.dry_run()


def safest(job) -> Iterator[Progress]:
    """Prune the model of a Job by several criteria, each from the same state, and keep the net most like the dense one.

    Yields
    ------
    Progress
        Once per epoch of each.

    Raises
    ------
    MinnetError
        What the first criterion raises, where none can be used.
    """
    start, nets, failed = Snapshot(job.model), {}, None
    before = answers_on(job.whole(job.dense), job.images)
    for criterion in dict.fromkeys((job.settings.criterion, *CRITERIA)):
        start.put_back()
        first = len(job.history)
        job.epochs += job.span * bool(job.trials)
        try:
            job.pruning["criterion"] = job.criterion(criterion)
            yield from job.guarded() if job.guard else job.stage(SPARSE, job.model, job.steps(job.sparsity))
        except MinnetError as error:
            job.epochs += len(job.history) - first - job.span
            job.trials.append(Trial(name_of(criterion), reason=str(error)))
            failed = failed or error
            continue
        job.small = job.finished()
        trial = Trial(name_of(criterion), job.cost(), *distance(before, answers_on(job.small, job.images)))
        job.trials.append(trial)
        nets[trial] = (Snapshot(job.model), job.search, slice(first, len(job.history)))
    if failed is not None and not nets:
        raise failed
    _keep(job, nets)


def _keep(job, nets):
    """Make the model of the job that of the best trial."""
    best = job.trial = min(nets, key=lambda trial: trial.rank)
    kept, job.search, _ = nets[best]
    kept.put_back()
    for trial, (_, _, rounds) in nets.items():
        for entry in job.history[rounds] if trial is not best else ():
            entry["stage"] = TRIED


def safe_record(job) -> dict[str, object]:
    """Return which criteria were tried, what was protected, and the criterion that was taken."""
    if not job.settings.safe:
        return {}
    protected = [name for name in weighted(job.model) if name not in job.planned.layers]
    tried = [asdict(trial) for trial in job.trials]
    return {"criterion": job.trial.criterion, "safe": plain({"tried": tried, "protected": protected})}


def key_layers(found: Sensitivity, free: Sequence[str]) -> list[str]:
    """Return the layers of `free` that a sensitivity scan calls key; at least the least sensitive one is not.

    Those whose rise of the loss, averaged over the sparsities, is more than KEY times the mean over all layers.
    """
    rises = {name: rise for group, rise in zip(found.layers, found.rises, strict=True) for name in group.split("+")}
    limit = KEY * float(np.mean(found.rises))
    key = [name for name in free if rises.get(name, 0.0) > limit]
    spared = min(free, key=lambda name: rises.get(name, 0.0))
    return [name for name in key if name != spared or len(key) < len(free)]


def distance(before: Answers, after: Answers) -> tuple[float, float]:
    """Return how two nets differ on the same rows: the share of predictions that changed, and a mean distance.

    The distance is half the sum of ``|p - q|`` over the classes, of softmax, or of several labels the mean difference
    of the outputs; of numbers the flips are 0, and it is the mean of the absolute differences.
    """
    if before.kind == "numbers":
        return 0.0, float(np.abs(before.outputs - after.outputs).mean())
    other = before.guesses != after.guesses
    if before.kind == "multilabel":
        return float(other.any(axis=1).mean()), float(np.abs(before.outputs - after.outputs).mean())
    apart = np.abs(softmax(before.outputs) - softmax(after.outputs)).sum(axis=1) / 2
    return float(other.mean()), float(apart.mean())
