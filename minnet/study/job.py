"""The main job: train a model, prune it by a recipe, train the dense one as long, compact, freeze and measure.

    job = Job(Settings(data="digits", sparsity=0.95))      # all arguments are checked here, before training
    for progress in job.run():
        print(progress.stage, progress.epoch, progress.loss, progress.sparsity)
    result = job.measure()                                  # the content of result.json
    job.small                                               # the pruned and compacted Model

Both models are the same until the first epochs are done. From there one is pruned while its training continues, and
the training of the other continues in the same way, so that they differ by pruning only. A recipe that is for untrained
nets goes back to the initial weights instead, and trains for as many epochs as the dense net has in all.
"""
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from minnet.engine.quantise import INT8, check_precision, rounded
from minnet.engine.sample import signature_for
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_choice
from minnet.formats.onnx_write import onnx_bytes
from minnet.formats.storage import file_bytes
from minnet.model import Model
from minnet.pruning.choose import check_numbers_of_layers, choose, is_measured, weighted
from minnet.pruning.compact import compact
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.one_layer import deciding_part
from minnet.pruning.parse import structure_of
from minnet.pruning.prune import plan_prune, prune
from minnet.pruning.recipes import RECIPES, begins_untrained, check_structure, is_sparse_from_start
from minnet.pruning.recipes.goal import Train
from minnet.pruning.result import PrunePlan
from minnet.pruning.rounds import share_of
from minnet.pruning.scope import in_range
from minnet.study.arguments import own_teacher
from minnet.study.budget import budget_record, check_one, costs_of, limits_of, then
from minnet.study.by_layer import written_layers
from minnet.study.folder import DENSE_MODEL, MODEL, ONNX_MODEL, digest
from minnet.study.guard import ROBUST, WORDS, check_limits
from minnet.study.guarded import PER, Search, sought
from minnet.study.latency import planned_seconds
from minnet.study.measure import change_between, check_attackable, compare_nets, guarded
from minnet.study.method import resolved
from minnet.study.paired import check_rows
from minnet.study.result import plain, result_of
from minnet.study.safe import check_safe, protect_key, safe_record, safest
from minnet.study.settings import LEAST, MOST, SPARSITY, Settings, name_of
from minnet.study.stages import Past
from minnet.study.training import AGAIN, DRY_RUN, PRUNING, SPARSE, TRIED, Progress, Training, is_onnx, is_trained

PRUNE = ("structure", "distribution", "layers", "protect", "value_range", "compensate")  # settings that are of `prune`


class Base(NamedTuple):
    """The values of a dense net: when the pruning begins, and trained as long as the pruned net is."""

    trained: np.ndarray
    longer: np.ndarray


class Job(Training):
    """The main job: train, prune, compact, freeze and measure, by the settings.

    Construction reads the data, builds the model and plans the pruning once, so that errors in the arguments, the
    criterion or the data are raised before training; `plan` describes the planned pruning in one line.

    Parameters
    ----------
    settings : Settings
        The settings.

    Raises
    ------
    MinnetError
        What `load_data`, the models and `prune` raise.
    """

    has_dense = True

    def __init__(self, settings: Settings) -> None:
        settings = resolved(settings, trained=is_trained(settings.model))
        super().__init__(settings)
        self.guard = check_limits(settings.guard, self.data.signature.task)
        for name in ("layers", "protect"):
            check_numbers_of_layers(name, getattr(settings, name), len(weighted(self.model)))
        self.recipe = check_choice("recipe", settings.recipe, RECIPES)
        check_precision(settings.precision)
        check_structure(settings.recipe, name_of(settings.recipe), settings.structure)
        self.initial = self.model.values.copy()
        self.least = sought(settings, self.guard)
        self.pruning = self.arguments_of_prune()
        self.check_bounds()
        self.costs = costs_of(settings)
        self.sparsity = self.asked()
        if self.base is None:
            self.model.signature = signature_for(self.model, self.data)  # that of training, which says what inputs are
        self.planned = self.dry_run()
        total = self.planned.units.total
        if settings.count is not None or settings.keep is not None:
            self.sparsity = (settings.count if settings.keep is None else total - settings.keep) / total
        elif self.costs:
            self.sparsity = 1 - self.planned.units.remaining / total
        self.frees_inputs = self.planned.candidates.pieces.frees_inputs
        if self.frees_inputs and self.base is not None:
            raise InvalidValue('structure="input" beside a fixed part, which makes the inputs: leave out freeze')
        if self.least is not None:
            self.sparsity = self.largest
        if self.sparsity is not None:
            share_of(settings.schedule, self.within)  # checked here: the recipe would raise after training
        if isinstance(self.recipe, partial):
            self.check_options()
        self.epochs = self.span + settings.epochs * (1 if self.given else 2)
        self.dense = self.small = self.search = self.trial = self.shared = None
        self.trials = []
        self.files = {}

    @property
    def plan(self) -> str:
        """Return one line that says how much will be removed."""
        units = self.planned.units
        removed, cut = units.total - units.remaining, self.planned.cut_off
        if self.least is not None:
            return f"removing as many of {units.total:,} {units.unit}s as the guard allows, by " \
                f"{name_of(self.settings.recipe)} pruning" + f", for the least {self.least}" * (self.least in PER)
        return f"removing {removed:,} of {units.total:,} {units.unit}s ({removed / units.total:.1%}) by " + \
            f"{name_of(self.settings.recipe)} pruning" + f"; in the present model this cuts the last path through " \
            f"{', '.join(cut)}" * bool(cut)

    @property
    def anew(self) -> bool:
        """Return True if the recipe begins with the initial weights, not with those of the dense net."""
        return begins_untrained(self.recipe) and not self.given

    @property
    def span(self) -> int:
        """Return how many epochs the recipe trains for: as many as the dense net has had since the same beginning."""
        return self.settings.epochs * (2 if self.anew else 1)

    @property
    def kept(self) -> Model | None:
        """Return the net that a search has kept so far, else the model after the last finished epoch, if any."""
        found = None if self.search is None else self.search.kept
        if found is not None:
            self._kept = (self.model, found.values, found.mask)
        return super().kept

    @property
    def largest(self) -> float:
        """Return the share of the units in the scope that can be removed."""
        return int(self.planned.candidates.most.sum()) / self.planned.units.total

    @property
    def within(self) -> float | None:
        """Return a sparsity that is reached or tried; where the largest is searched for, the largest is not."""
        is_open = self.least is not None and not isinstance(self.settings.schedule, list | tuple)
        return self.sparsity / 2 if is_open and self.sparsity is not None else self.sparsity

    @property
    def reached(self) -> float:
        """Return the share of the units in the scope that is removed now."""
        pieces = self.planned.candidates.pieces
        return int(np.count_nonzero(pieces.gone(self.model.mask))) / pieces.n

    def arguments_of_prune(self) -> dict[str, object]:
        """Return what is bound to `prune` in the recipe."""
        s = self.settings
        found = {name: getattr(s, name) for name in PRUNE} | {"data": self.data, "criterion": self.criterion()}
        if s.safe:
            found["protect"] = check_safe(s, len(weighted(self.model)))
        return found | ({"per": PER[self.least]} if self.least in PER else {})

    def check_options(self) -> None:
        """Call the recipe on a copy of the model, without a step of training, to find errors in its options."""
        self.recipe(self.model.clone(), self.data, self.within, epochs=self.span,
                    schedule=self.settings.schedule, prune=partial(prune, **self.pruning), train=_untrained,
                    rng=self.seed(DRY_RUN))

    def check_bounds(self) -> None:
        """Refuse bounds that are to hold where there are too few rows for any net to be within them."""
        if ROBUST in self.guard:
            check_attackable(self.whole(self.model), self.images)
        if self.settings.guard_bound:
            if not self.guard:
                raise InvalidValue("guard_bound=True without a guard: say what may be lost, as in "
                                   'guard={"accuracy": 0.05} or --guard accuracy:0.05')
            part = deciding_part(self.images)
            check_rows(self.guard, self.images.signature.codes(getattr(self.images, f"y_{part}")), WORDS[part])

    def criterion(self, criterion: str | Callable | None = None) -> str | Callable:
        """Return a criterion, by default that of the settings, with the first values if it needs the initial ones.

        Parameters
        ----------
        criterion : str or callable, optional
            A name in CRITERIA, or a function.

        Returns
        -------
        str or callable
            What `prune` takes as `criterion`.
        """
        given = self.settings.criterion if criterion is None else criterion
        function = check_choice("criterion", given, CRITERIA)
        if traits_of(function).needs == "initial":
            return partial(function, initial=self.initial)
        return given

    def asked(self) -> float | None:
        """Return the share to remove.

        Returns
        -------
        float or None
            None if a count, a number to keep, what may remain, the structure ("2:4") or the distribution (a dict)
            determines it; 0 where the largest is searched for, which is known when the pruning is planned.
        """
        s = self.settings
        if self.least is not None:
            return 0.0
        own_count = structure_of(s.structure)(self.model, choose(self.model)).own_count
        told = s.count is not None or s.keep is not None or self.costs or own_count or isinstance(s.distribution, dict)
        return SPARSITY if s.sparsity is None and not told else s.sparsity

    def dry_run(self) -> PrunePlan:
        """Plan the whole pruning of the present model, to find errors before training.

        A value range is only checked: the number of weights in it is known after training. A compensation is applied
        to a copy, since its errors are raised when it is applied.

        Returns
        -------
        PrunePlan
            What would be removed.

        Raises
        ------
        InvalidValue
            If several budgets are given, and what `plan_prune` raises.
        """
        s = self.settings
        check_one(s, self.base is not None)
        if s.value_range is not None:
            in_range(self.model, s.value_range)
        model = self.model if s.compensate is None else self.model.clone()
        plan = plan_prune(model, None if self.costs else self.sparsity, count=s.count, keep=s.keep,
                          **limits_of(s, self.made), **self.pruning | {"value_range": None}, rng=self.seed(DRY_RUN))
        if s.compensate is not None:
            plan.apply()
        return plan

    def plan_again(self) -> None:
        """Plan again what depends on the model, now that it is trained: layers by sensitivity, and how much is removed.

        Then the layers are fixed.
        """
        measured = is_measured(self.settings.layers) or is_measured(self.settings.protect)
        if measured or self.costs:
            self.planned = self.dry_run()
        if measured:
            self.pruning |= {"layers": self.planned.layers, "protect": None}
        if self.settings.safe:
            protect_key(self)
        if self.costs:
            self.sparsity = 1 - self.planned.units.remaining / self.planned.units.total

    def keep_within(self) -> None:
        """Remove what is over the budget of what may remain, if anything is."""
        prune(self.model, **limits_of(self.settings, self.made), **self.pruning, rng=self.seed(DRY_RUN))

    def run(self) -> Iterator[Progress]:
        """Train, prune, and train the dense model as long.

        Yields
        ------
        Progress
            Once per epoch.

        Raises
        ------
        Diverged
            If a loss or a weight is no longer finite.
        """
        yield from self.train_dense()
        self.plan_again()
        self.dense = self.model.clone()
        if not (self.guard or self.settings.safe):
            yield from self.stage(SPARSE, self.model, self.steps(self.sparsity))
        yield from self.train_longer()
        if self.settings.safe:  # what follows compares with the dense net
            yield from safest(self)
        elif self.guard:
            yield from self.guarded()

    def begin_from(self, base: Base) -> None:
        """Begin from a dense net that a job with the same data, model and training has trained, and train none.

        What follows is what it would be had this job trained both: a recipe has random numbers of its own.

        Parameters
        ----------
        base : Base
            The values of both dense nets.
        """
        if base.trained.shape != self.model.values.shape:
            raise InvalidValue(f"the dense net has {len(base.trained):,} values, not the {len(self.model.values):,} of "
                               "the model: remove its file, and it is trained again")
        self.shared = base

    def train_dense(self) -> Iterator[Progress]:
        """Train the model dense, or take the values that another job trained."""
        if self.shared is not None:
            self.model.values[:] = self.shared.trained
        elif not self.given:
            yield from super().run()
        self.arguments |= own_teacher(self.settings, self.model)

    def train_longer(self) -> Iterator[Progress]:
        """Train `dense` as long as the pruned model is, or take the values that another job trained."""
        if self.shared is not None:
            self.dense.values[:] = self.shared.longer
            return
        yield from self.stage(AGAIN, self.dense, self.trained(self.dense, PRUNING), keep=False)

    def steps(self, sparsity: float | None, number: int = 0) -> Iterator[Step | Past]:
        """Return the steps of the recipe, stored where `store` was called.

        Parameters
        ----------
        sparsity : float or None
            Where the pruning ends.
        number : int
            Which round of a search it is, from 0: each has random numbers of its own.

        Returns
        -------
        iterator of Step or Past
            The training.
        """
        return self.stored(self.model, partial(self.call_recipe, sparsity, number))

    def call_recipe(self, sparsity: float | None, number: int, train: Train) -> Iterator[Step]:
        """Call the recipe with that `train`; one that is for untrained nets begins with the initial values."""
        schedule, rng = self.settings.schedule, self.seed(PRUNING, number)
        if isinstance(schedule, list | tuple) and sparsity is not None:
            schedule = [share * sparsity / self.sparsity for share in schedule]
        if self.anew:
            self.model.values[:] = np.where(self.model.mask, self.initial, 0)
        steps = self.recipe(self.model, self.data, sparsity, epochs=self.span, schedule=schedule,
                            prune=partial(prune, **self.pruning),
                            train=partial(train, every=self.stride), rng=rng)
        steps = self.averaged(steps)
        return then(steps, self.keep_within) if self.costs and sparsity == self.sparsity else steps

    def guarded(self) -> Iterator[Progress]:
        """Search for the sparsest net that the guard lets pass; `search` is how, and the model what was found.

        Where no round holds, the model becomes the dense one.

        Yields
        ------
        Progress
            Once per epoch of every round.

        Raises
        ------
        InvalidValue, InvalidType
            What the recipe raises.
        """
        first = len(self.history)
        search = self.search = Search(
            self.model, self.round, self.decided, lambda: self.reached, self.cost,
            self.sparsity if self.least is None else self.largest, self.planned.units.total,
            open_end=self.least is not None, again=self.anew or is_sparse_from_start(self.recipe))
        yield from self.stage(SPARSE, self.model, search.steps())
        for number in set(range(len(search.rounds))) - set(search.lineage):
            start = first + sum(done.epochs for done in search.rounds[:number])
            for entry in self.history[start : start + search.rounds[number].epochs]:
                entry["stage"] = TRIED
        if search.best is None:
            self.model.mask[:], self.model.values[:] = self.dense.mask, self.dense.values

    def round(self, sparsity: float | None, number: int) -> Iterator[Step | Past]:
        """Call the recipe for a round of a search, and count its epochs in."""
        self.epochs += self.span * (number > 0)
        return self.steps(sparsity, number)

    def decided(self) -> dict[str, dict]:
        """Return what the guard decides by, of the model as it would be written."""
        self.small = self.finished()
        return guarded(self.guard, {"before": self.whole(self.dense), "after": self.small}, self.images,
                       binding=self.settings.guard_bound)

    def cost(self) -> float:
        """Return what is made least, of `small`: the share that remains, unless the settings say otherwise."""
        costs = {"macs": lambda: self.small.macs, "latency": lambda: planned_seconds(self.small),
                 "bytes": lambda: len(file_bytes(self.small, made=self.made, precision=self.settings.precision))}
        return costs.get(self.least, lambda: 1 - self.reached)()

    def finished(self) -> Model:
        """Return the model as it is written: whole, compacted, in the precision asked for."""
        if self.settings.safe:  # the shape stays
            small = self.whole(self.model.clone())
        else:
            small = self.whole(compact(self.model, inputs=self.frees_inputs))
        return rounded(small) if self.settings.precision == INT8 else small  # what is written is what is measured

    def measure(self) -> dict:
        """Compact the pruned model, freeze both, and measure them in turns.

        Afterwards `small` is the compacted model, in the precision asked for, and `files` has the bytes of both saved
        models; if the model came as ONNX, also those of the pruned one as ONNX.

        Returns
        -------
        dict
            The content of result.json.
        """
        self.small, precision = self.finished(), self.settings.precision
        nets = {"before": self.whole(self.dense), "after": self.small}
        figures = compare_nets(nets, self.images, precision)
        for net, name in (("after", MODEL), ("before", DENSE_MODEL)):
            self.files[name] = file_bytes(nets[net], made=self.made, precision=precision if net == "after" else None)
            figures[net]["bytes_on_disk"] = len(self.files[name])
        figures["change"] = change_between(nets["before"], nets["after"], self.images)
        if is_onnx(self.settings.model):
            self.files[ONNX_MODEL] = onnx_bytes(self.small, sparse=True, precision=precision)
        written = {"before": self.files[DENSE_MODEL], "after": self.files[MODEL]}
        layers = written_layers(self.model, nets, written, self.images)
        return result_of(self, figures, layers) | self.guard_record(nets) | safe_record(self) | \
            budget_record(self.model, self.settings, self.made) | {
            "sha256": {name: digest(data) for name, data in self.files.items()}}

    def guard_record(self, nets: Mapping[str, Model]) -> dict[str, object]:
        """Return what the guard decided by, on the test part too, as information, and how it was searched."""
        if not self.guard:
            return {}
        found, test = (guarded(self.guard, nets, self.images, part, binding=self.settings.guard_bound)
                       for part in (None, "test"))
        asked = self.sparsity if self.least is None else MOST if self.least == "sparsity" else f"{self.least} {LEAST}"
        del test["limits"], test["binding"]
        return {"guard": plain(found | {"test": test, "search": self.search.record(asked)})}


def _untrained(model, data, *, epochs, rng, every="epoch"):
    """Return the steps of a training that trains nothing."""
    return iter(())
