"""The main job: train a dense net, prune it by a recipe, give the dense net the same epochs, shrink, freeze, measure.

    job = Job(Settings(data="digits", sparsity=0.95))      # everything is checked here, before an epoch is trained
    for news in job.run():
        print(news.stage, news.epoch, news.loss, news.sparsity)
    result = job.measure()                                  # what result.json holds
    job.small                                               # the pruned and compacted Model

Both nets begin as one: the dense net after its first epochs. From there one is pruned while it trains on, the other
trains on in the same way, so that pruning is all they differ in.
"""
from functools import partial

import numpy as np

from minnet.errors import InvalidValue, check_choice, quoted
from minnet.formats.onnx_write import onnx_bytes
from minnet.pruning.choose import ENDS, choose, is_measured, weighted
from minnet.pruning.compact import compact
from minnet.pruning.criteria import CRITERIA, traits_of
from minnet.pruning.named import structure_of
from minnet.pruning.prune import in_range, plan_prune, prune
from minnet.pruning.recipes import RECIPES, REGROW
from minnet.pruning.recipes.regrow import check_single
from minnet.pruning.rounds import share_of
from minnet.runtime.predictor import check_weights
from minnet.study.folder import DENSE_MODEL, MODEL, ONNX_MODEL, digest
from minnet.study.guard import check_limits
from minnet.study.measure import compare_nets, saved
from minnet.study.result import result_of
from minnet.study.settings import SPARSITY
from minnet.study.training import PRUNING, REHEARSAL, Training, is_onnx

PARTS = 4  # of an epoch: a gradual recipe prunes a little after each
SPARSE, AGAIN = "pruning", "dense, the same epochs"


class Job(Training):
    """One main job by `settings`; making it reads the data, builds the model, and plans the pruning once.

    So what is wrong with the arguments, the criterion or the data is told before training, and so is what will go:
    `plan` is a line that says it. Raises what `load_data`, the models and `prune` do; `run` raises Diverged.
    """

    def __init__(self, settings):
        super().__init__(settings)
        self.guard = check_limits(settings.guard)
        for name in ("layers", "protect"):
            check_numbers_of_layers(name, getattr(settings, name), len(weighted(self.model)))
        self.recipe = check_choice("recipe", settings.recipe, RECIPES)
        check_weights(settings.precision, "precision")
        if settings.recipe in REGROW:
            check_single(settings.recipe, settings.structure)
        names = ("structure", "distribution", "layers", "protect", "value_range", "compensate")
        self.pruning = {name: getattr(settings, name) for name in names}
        self.pruning |= {"data": self.data, "criterion": self.criterion()}
        self.sparsity = self.asked()
        self.rehearsal = self.rehearse()
        if settings.count is not None:
            self.sparsity = settings.count / self.rehearsal.units.total
        if self.sparsity is not None:
            share_of(settings.schedule, self.sparsity)  # the recipe would tell after the training what is wrong with it
        self.epochs = settings.epochs * (2 if self.given else 3)
        self.dense = self.small = None
        self.files = {}

    @property
    def plan(self):
        """The line that says how much will go."""
        units = self.rehearsal.units
        gone = units.total - units.remaining
        what = f"{gone:,} of {units.total:,} {units.unit}s"
        cut = self.rehearsal.cut_off
        return f"{what} will go ({gone / units.total:.1%}), by {self.settings.recipe} pruning" + \
            f"; as the net is now, that cuts the last path through {', '.join(cut)}" * bool(cut)

    @property
    def reached(self):
        """The share of the pieces in the scope that is gone now."""
        pieces = self.rehearsal.pool.pieces
        return int(np.count_nonzero(pieces.gone(self.model.mask))) / pieces.n

    def criterion(self):
        """The criterion of the settings; one that compares with the beginning is given the net as it is now."""
        criterion = check_choice("criterion", self.settings.criterion, CRITERIA)
        if traits_of(criterion).needs == "initial":
            return partial(criterion, initial=self.model.values.copy())
        return self.settings.criterion

    def asked(self):
        """The share to remove, or None where a count, the structure ("2:4") or the distribution (a dict) says it."""
        s = self.settings
        own_count = structure_of(s.structure)(self.model, choose(self.model)).own_count
        told = s.count is not None or own_count or isinstance(s.distribution, dict)
        return SPARSITY if s.sparsity is None and not told else s.sparsity

    def rehearse(self):
        """The Plan of all that will go, made on the model as it is now, to find what is wrong before training. How many
        weights lie in a range of values shows after it: here the range is only checked. A compensation is tried out on
        a copy, for what is wrong with it shows when it is done."""
        s = self.settings
        if s.sparsity is not None and s.count is not None:
            raise InvalidValue(f"sparsity={s.sparsity} and count={s.count}: give one of them")
        if s.value_range is not None:
            in_range(self.model, s.value_range)
        model = self.model if s.compensate is None else self.model.clone()
        plan = plan_prune(model, self.sparsity, count=s.count, **self.pruning | {"value_range": None},
                          rng=self.seed(REHEARSAL))
        if s.compensate is not None:
            plan.apply()
        return plan

    def settle(self):
        """Measure again which layers are meant, now that the net is trained; from here they stay the same."""
        if is_measured(self.settings.layers) or is_measured(self.settings.protect):
            self.rehearsal = self.rehearse()
            self.pruning |= {"layers": self.rehearsal.layers, "protect": None}

    def run(self):
        """Train and prune; a generator of News, once an epoch."""
        if not self.given:
            yield from super().run()
        self.settle()
        self.dense = self.model.clone()
        stride = -(-len(self.data.X_train) // (self.arguments["batch_size"] * PARTS))
        steps = self.recipe(self.model, self.data, self.sparsity, epochs=self.settings.epochs,
                            schedule=self.settings.schedule, prune=partial(prune, **self.pruning),
                            train=partial(in_parts, train=self.train, stride=stride), rng=self.seed(PRUNING))
        yield from self.stage(SPARSE, self.model, steps)
        steps = self.train(self.dense, self.data, epochs=self.settings.epochs, rng=self.seed(PRUNING))
        yield from self.stage(AGAIN, self.dense, steps, keep=False)

    def measure(self):
        """Compact the pruned net, freeze both, measure them in turns; returns what result.json holds.

        `files` then has the bytes of both saved nets; of a net that came as ONNX the pruned one also as ONNX.
        """
        self.small = self.whole(compact(self.model))
        nets = {"before": self.whole(self.dense), "after": self.small}
        figures = compare_nets(nets, self.images, self.settings.precision)
        for net, name in (("after", MODEL), ("before", DENSE_MODEL)):
            self.files[name] = saved(nets[net], self.made)
            figures[net]["bytes_on_disk"] = len(self.files[name])
        if is_onnx(self.settings.model):
            self.files[ONNX_MODEL] = onnx_bytes(self.small, sparse=True)
        return result_of(self, figures) | {"sha256": {name: digest(data) for name, data in self.files.items()}}


def check_numbers_of_layers(name, patterns, there):
    """Raise InvalidValue where a pattern such as "insensitive:9" asks for more layers than `there` are."""
    for pattern in [patterns] if isinstance(patterns, str) else patterns or ():
        end = ENDS.fullmatch(pattern) if isinstance(pattern, str) else None
        if end and int(end[2]) > there:
            raise InvalidValue(f"{name}={quoted(repr(pattern))}: the model has {there} layers with weights; ask for at "
                               f"most {there}")


def in_parts(model, data, *, epochs, rng, train, stride):
    """`train`, with a step after every `stride` batches and after each epoch: when a recipe has its turn."""
    for step in train(model, data, epochs=epochs, rng=rng, every="batch"):
        if step.batch % stride == 0:
            yield step
