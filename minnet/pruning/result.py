"""What a pruning will do (`Plan`) and what it did (`Result`); both can say why a weight goes or stays.

Nothing is kept on the model: a Result holds what it needs to explain and to undo.
"""
from collections import namedtuple
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minnet.errors import InvalidType, InvalidValue, NotFinite, quoted, unknown
from minnet.kernels.select import GONE, MAY_GO, STAYS
from minnet.pruning.compact import compact
from minnet.pruning.paths import Skeleton

Units = namedtuple("Units", "removed remaining total unit")
Units.__doc__ = "Counts of the structure's own pieces in the scope; `removed` by this call, `unit` what one is called."


@dataclass(frozen=True)
class LayerCount:
    """The weights of one layer: `total`, `removed` by this call, `remaining`, and `sparsity`, all that is gone."""

    total: int
    removed: int
    remaining: int

    @property
    def sparsity(self):
        """The fraction that is gone."""
        return 1 - self.remaining / self.total


@dataclass(frozen=True)
class Explanation:
    """Why a weight goes or stays.

    `value` of the weight before, `score` of its piece, `rank` (1 is the first to go) among the `rivals` it was compared
    with, of which `quota` go; `cut` is the score of the last that goes; `tie` is True where the index decided.
    `layer_quota` is how many pieces of its layer are gone then, `round` the place of this pruning in its `Record`, from
    1. `outcome` is "removed", "kept", "gone before" or "not in the scope"; `reason` a sentence.
    """

    name: str
    index: tuple
    value: float
    outcome: str
    reason: str
    score: float | None = None
    rank: int | None = None
    rivals: int | None = None
    quota: int | None = None
    cut: float | None = None
    tie: bool = False
    layer_quota: int | None = None
    round: int | None = None

    def __str__(self):
        outcome = self.outcome + f" in round {self.round}" * (self.round is not None)
        return f"{self.name}[{', '.join(map(str, self.index))}] = {self.value:g}: {outcome}, {self.reason}"


class Record(list):
    """The Results of several prunings of one model, in order: `prune(model, ..., record=record)` adds its own.

        record = Record()
        for step in recipes.gradual(model, data, 0.9, prune=partial(prune, record=record)): ...
        record.explain("dense1.weight", (3, 7))         # in which round it went, and why; or why it is still there
    """

    def explain(self, name, index):
        """The Explanation of the round that removed the weight last; of the last round where none did."""
        if not self:
            raise InvalidValue("this record is empty: prune(model, ..., record=record) adds to it")
        told = [result.explain(name, index) for result in self]
        return next((one for one in reversed(told) if one.outcome == "removed"), told[-1])


class Plan:
    """What goes, before it goes. `count` weights are masked by `apply()`; the rest is as in `Result`. `remedy` is None
    or a function of the values before, which changes those of the masked model."""

    def __init__(self, model, pool, heaps, counts, gone, remedy=None):
        self.model = model
        self.pool = pool
        self.heaps, self.counts, self.gone = heaps, counts, gone
        self.before, self.topology = model.mask.copy(), model.topology
        self.mask = self.before & pool.pieces.expand(~gone)
        self.values = model.values.copy()
        self.remedy = remedy
        self.round = None

    @property
    def count(self):
        """How many weights go."""
        n = self.model.n_weights
        return int(np.count_nonzero(self.before[:n])) - int(np.count_nonzero(self.mask[:n]))

    @property
    def remaining(self):
        """How many weights of the model are left."""
        return int(np.count_nonzero(self.mask[: self.model.n_weights]))

    @property
    def sparsity(self):
        """The fraction of the model's weights that is gone."""
        return 1 - self.remaining / sum(p.size for p in self.model.weight_parameters)

    @property
    def units(self):
        """Units(removed, remaining, total, unit): the structure's own pieces in the scope."""
        gone, before = int(np.count_nonzero(self.gone)), int(self.pool.gone.sum())
        total = len(self.pool)
        return Units(gone - before, total - gone, total, self.pool.pieces.unit)

    @property
    def per_layer(self):
        """{layer: LayerCount} of every layer with weights."""
        counts = {}
        for p in self.model.weight_parameters:
            before, after = (int(np.count_nonzero(p.of(mask))) for mask in (self.before, self.mask))
            counts[p.layer] = LayerCount(p.size, before - after, after)
        return counts

    @property
    def layers(self):
        """The names of the layers in the scope, whose pieces were compared."""
        return [name for part in self.pool.parts for name in part.layers]

    @property
    def collapsed(self):
        """The layers that this leaves without a weight: no signal passes them but their biases."""
        return tuple(name for name, layer in self.per_layer.items() if layer.removed and not layer.remaining)

    @cached_property
    def effective(self):
        """{layer: how many of its weights will be on a path of live weights from the input to the logits}."""
        return self._on_paths(self.mask)

    @property
    def effective_sparsity(self):
        """The fraction of the model's weights that is gone, or left on no such path: see `effective_sparsity`."""
        return 1 - sum(self.effective.values()) / sum(p.size for p in self.model.weight_parameters)

    @cached_property
    def cut_off(self):
        """The layers whose last path from the input to the logits this cuts, whether weights remain in them or not."""
        lost = [name for name, number in self.effective.items() if not number]
        before = self._on_paths(self.before) if lost else {}
        return tuple(name for name in lost if before[name])

    def _on_paths(self, mask):
        carries = Skeleton(self.model).carries(mask)
        return {p.layer: int(np.count_nonzero(p.of(carries))) for p in self.model.weight_parameters}

    def apply(self, record=None):
        """Mask what goes, and compensate for it; returns the Result, which joins the list `record`. Raises InvalidValue
        where the mask has changed since the plan was made, or live positions have moved, and what the compensation
        raises; then nothing changes."""
        self._check_places()
        if not np.array_equal(self.model.mask, self.before):
            raise InvalidValue("the model's mask has changed since this plan was made: make another plan")
        self.values[:] = self.model.values
        if not np.array_equal(self.mask, self.before):
            self.model.set_mask(self.mask)
            self._compensate()
        result = Result(self)
        if record is not None:
            record.append(result)
            self.round = len(record)
        return result

    def _compensate(self):
        """Let what stays make up for what went. Masked values stay +0.0, whatever a function of the caller's does."""
        if self.remedy is None:
            return
        try:
            self.remedy(self.values.copy())
            if not np.isfinite(self.model.values).all():
                raise NotFinite("the compensated values are not finite (nothing was changed)")
            self.model.set_mask(self.mask)
        except BaseException:
            self.revert()
            raise

    def _check_places(self):
        if self.model.topology != self.topology:
            raise InvalidValue("live positions of the model have moved since this was planned (rewire, SET, RigL), so "
                               "its weights are others now: plan anew")

    def revert(self):
        """Put the values and the mask back as they were before `apply`, bit for bit. Raises InvalidValue where live
        positions have moved since."""
        self._check_places()
        self.model.mask[:] = self.before
        self.model.values[:] = self.values

    def explain(self, name, index):
        """Why the weight at `index` of the parameter `name` goes or stays, as an Explanation."""
        self._check_places()
        p = self.model.parameters.get(name) or getattr(self.model.layers.get(name), "weight", None)
        if p is None or p.kind != "weight":
            raise unknown("weight", name, [p.name for p in self.model.weight_parameters])
        position, index = _position(p, index)
        value, piece = float(self.values[position]), self.pool.pieces.piece_at(position)
        if piece is None:
            return Explanation(p.name, index, value, "not in the scope", "its layer was not chosen, or is protected",
                               round=self.round)
        part = self.pool.parts[self.pool.layers[piece]]
        return Explanation(p.name, index, value, *self._why(piece), round=self.round,
                           layer_quota=int(np.count_nonzero(self.gone[part.slice])))

    def _why(self, piece):
        """(outcome, reason, score, rank, rivals, quota, cut, tie) of one piece."""
        pool, heap = self.pool, self.heaps[piece]
        score, state, unit = float(pool.scores[piece]), pool.state[piece], pool.pieces.unit
        rivals = self.heaps == heap
        quota, n = int(self.counts[heap]), int(np.count_nonzero(rivals))
        if state == GONE:
            return "gone before", f"this {unit} was masked already", score, None, n, quota
        if state == STAYS:
            return "kept", f"this {unit} holds weights outside value_range", score, None, n, quota
        if not pool.pieces.ranked:
            return ("removed", "the pattern of its kernel leaves it out", score) if self.gone[piece] else \
                ("kept", "the pattern of its kernel holds it", score)
        equal = rivals & (pool.scores == score) & (pool.state == MAY_GO)
        lower = (rivals & (pool.scores < score) & (pool.state == MAY_GO)) | (rivals & (pool.state == GONE))
        rank = int(np.count_nonzero(lower) + np.count_nonzero(equal[:piece])) + 1
        going = rivals & self.gone & (pool.state == MAY_GO)
        cut = float(pool.scores[going].max()) if going.any() else None
        tie = bool(self.gone[equal].any() and not self.gone[equal].all())
        place = f"its score {score:g} is number {rank} from below of {n}, of which {quota} go"
        ending = "; equal scores go by index" if tie else ""
        return "removed" if self.gone[piece] else "kept", place + ending, score, rank, n, quota, cut, tie

    def __str__(self):
        text = (f"{self.count} weights go and {self.remaining} of {self.model.n_weights} remain "
                f"(sparsity {self.sparsity:.2%})")
        units = self.units
        text += f"; {units.removed} {units.unit}s, {units.remaining} of {units.total} remain" * (units.unit != "weight")
        text += f"; nothing remains in {', '.join(self.collapsed)}" * bool(self.collapsed)
        idle = self.remaining - sum(self.effective.values())
        text += f"; {idle} of those that remain are on no path (effective sparsity {self.effective_sparsity:.2%})" * \
            bool(idle)
        return text + f"; the last path through {', '.join(self.cut_off)} is cut" * bool(self.cut_off)


class Result:
    """What a pruning did: `removed` weights by this call, `remaining` in the model, `sparsity` of the weights, `units`
    (the structure's own pieces), `per_layer`, `collapsed` (layers without a weight); `explain(name, index)` says why,
    `undo()` takes it back, `compact()` makes the smaller model. Found out when asked: `effective`, `effective_sparsity`
    and `cut_off`, as in `Plan`."""

    def __init__(self, plan):
        self.plan = plan
        self.removed, self.remaining, self.sparsity = plan.count, plan.remaining, plan.sparsity
        self.layers = plan.layers
        self.units, self.per_layer, self.collapsed = plan.units, plan.per_layer, plan.collapsed

    @property
    def effective(self):
        """{layer: how many of its weights were left on a path of live weights from the input to the logits}."""
        return self.plan.effective

    @property
    def effective_sparsity(self):
        """The fraction of the model's weights that was gone, or left on no such path."""
        return self.plan.effective_sparsity

    @property
    def cut_off(self):
        """The layers whose last path from the input to the logits was cut."""
        return self.plan.cut_off

    def explain(self, name, index):
        """Why the weight at `index` of the parameter `name` went or stayed, as an Explanation."""
        return self.plan.explain(name, index)

    def compact(self, state=None, *, fold_batchnorm=False):
        """The smaller Model of what is left: `small = prune(model, macs=0.5, structure="filter").compact()`.

        What `compact(model, state, fold_batchnorm=...)` makes of the model that was pruned, as it is now.
        """
        return compact(self.plan.model, state, fold_batchnorm=fold_batchnorm)

    def undo(self):
        """Put the values and the mask back as they were before this pruning and its compensation, bit for bit."""
        self.plan.revert()

    def __str__(self):
        return str(self.plan)


def _position(p, index):
    """The flat position of `index` (a tuple, or a flat number) of a parameter, and the index as a tuple."""
    try:
        index = np.unravel_index(int(index), p.shape) if np.ndim(index) == 0 else tuple(int(i) for i in index)
        flat = int(np.ravel_multi_index(index, p.shape))
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"index {quoted(repr(index))} of {p.name}: its shape is {p.shape}") from error
    if p.index is None:
        return p.slice.start + flat, tuple(int(i) for i in index)
    where = int(np.searchsorted(p.index, flat))
    if where == len(p.index) or p.index[where] != flat:
        raise InvalidType(f"{p.name} was born sparse and has no weight at {index}")
    return p.slice.start + where, tuple(int(i) for i in index)
