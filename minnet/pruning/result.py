"""What a pruning will do (`PrunePlan`), what it did (`Result`), and what several did (`Record`).

Nothing is kept on the model: a Result holds what it needs to explain and to undo.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from minnet.engine.state import State
from minnet.errors import InvalidValue, NotFinite, unknown
from minnet.pruning.candidates import Candidates
from minnet.pruning.compact import compact
from minnet.pruning.explain import Explanation, position_of, why
from minnet.pruning.paths import PathModel

if TYPE_CHECKING:
    from minnet.model import Model


class UnitCounts(NamedTuple):
    """Counts of the structure's own pieces in the scope; `removed` by this call, `unit` what one is called."""

    removed: int
    remaining: int
    total: int
    unit: str


@dataclass(frozen=True)
class LayerCount:
    """The weights of one layer: `total`, `removed` by this call, and `remaining`."""

    total: int
    removed: int
    remaining: int

    @property
    def sparsity(self) -> float:
        """The fraction that is masked."""
        return 1 - self.remaining / self.total


class Record(list["Result"]):
    """The Results of several prunings of one model, in order: `prune(model, ..., record=record)` adds its own.

    Examples
    --------
    ::

        record = Record()
        for step in recipes.gradual(model, data, 0.9, prune=partial(prune, record=record)): ...
        record.explain("dense1.weight", (3, 7))         # the round that removed it, and why; or why it stayed
    """

    def explain(self, name: str, index: int | tuple[int, ...]) -> Explanation:
        """Explain the round that removed the weight last; the last round where none did.

        Parameters
        ----------
        name, index : str, int or tuple of int
            As in `Result.explain`.

        Returns
        -------
        Explanation

        Raises
        ------
        InvalidValue
            If the record is empty.
        """
        if not self:
            raise InvalidValue("this record is empty: prune(model, ..., record=record) adds to it")
        told = [result.explain(name, index) for result in self]
        return next((one for one in reversed(told) if one.outcome == "removed"), told[-1])


class PrunePlan:
    """A pruning that is not applied yet, as `plan_prune` returns it.

    Attributes
    ----------
    count : int
        How many weights `apply()` masks.
    mask : (length of the vector,) array of bool
        The mask of the model after it.
    remaining, sparsity, units, per_layer, layers, collapsed, effective, effective_sparsity, cut_off
        As in `Result`.
    """

    def __init__(self, model: "Model", candidates: Candidates, chosen: tuple[np.ndarray, np.ndarray, np.ndarray],
                 compensation: Callable[[np.ndarray], None] | None = None,
                 record: list["Result"] | None = None) -> None:
        self.model = model
        self.candidates = candidates
        self.groups, self.counts, self.gone = chosen
        self.before, self.topology = model.mask.copy(), model.topology
        self.mask = self.before & candidates.pieces.expand(~self.gone)
        self.values = model.values.copy()
        self.compensation = compensation
        self.record = record
        self.round: int | None = None

    @property
    def count(self) -> int:
        """How many weights are removed."""
        n = self.model.n_weights
        return int(np.count_nonzero(self.before[:n])) - int(np.count_nonzero(self.mask[:n]))

    @property
    def remaining(self) -> int:
        """How many weights of the model are left."""
        return int(np.count_nonzero(self.mask[: self.model.n_weights]))

    @property
    def sparsity(self) -> float:
        """The fraction of the model's weights that is masked."""
        return 1 - self.remaining / sum(p.size for p in self.model.weight_parameters)

    @property
    def units(self) -> UnitCounts:
        """The structure's own pieces in the scope: removed, remaining, total, and what one is called."""
        gone, before = int(np.count_nonzero(self.gone)), int(self.candidates.gone.sum())
        total = len(self.candidates)
        return UnitCounts(gone - before, total - gone, total, self.candidates.pieces.unit)

    @property
    def per_layer(self) -> dict[str, LayerCount]:
        """The LayerCount of every layer with weights, by name."""
        counts = {}
        for p in self.model.weight_parameters:
            before, after = (int(np.count_nonzero(p.of(mask))) for mask in (self.before, self.mask))
            counts[p.layer] = LayerCount(p.size, before - after, after)
        return counts

    @property
    def layers(self) -> list[str]:
        """The names of the layers in the scope, whose pieces were compared."""
        return [name for group in self.candidates.layer_groups for name in group.layers]

    @property
    def collapsed(self) -> tuple[str, ...]:
        """The layers that this leaves without a weight: only their biases pass a signal on."""
        return tuple(name for name, layer in self.per_layer.items() if layer.removed and not layer.remaining)

    @cached_property
    def effective(self) -> dict[str, int]:
        """How many weights of each layer are on a path of live weights from the input to the logits."""
        return self._on_paths(self.mask)

    @property
    def effective_sparsity(self) -> float:
        """The fraction of the model's weights that is masked, or on no such path: see `effective_sparsity`."""
        return 1 - sum(self.effective.values()) / sum(p.size for p in self.model.weight_parameters)

    @cached_property
    def cut_off(self) -> tuple[str, ...]:
        """The layers whose last path from the input to the logits this cuts, whether weights remain in them or not."""
        lost = [name for name, number in self.effective.items() if not number]
        before = self._on_paths(self.before) if lost else {}
        return tuple(name for name in lost if before[name])

    def _on_paths(self, mask):
        on_path = PathModel(self.model).on_path(mask)
        return {p.layer: int(np.count_nonzero(p.of(on_path))) for p in self.model.weight_parameters}

    def apply(self, record: list["Result"] | None = None) -> "Result":
        """Mask the chosen weights, and compensate for them.

        Parameters
        ----------
        record : list, optional
            The list that the Result joins, in place of the one that the plan was made with.

        Returns
        -------
        Result

        Raises
        ------
        InvalidValue
            If the mask has changed since the plan was made, or live positions have moved. Then, and where the
            compensation raises, nothing changes.
        """
        self._check_places()
        if not np.array_equal(self.model.mask, self.before):
            raise InvalidValue("the model's mask has changed since this plan was made: make another plan")
        self.values[:] = self.model.values
        if not np.array_equal(self.mask, self.before):
            self.model.set_mask(self.mask)
            self._compensate()
        result = Result(self)
        record = self.record if record is None else record
        if record is not None:
            record.append(result)
            self.round = len(record)
        return result

    def unapplied(self) -> "PrunePlan":
        """Return the plan itself: what `plan_prune` does where `prune` applies it."""
        return self

    def _compensate(self):
        """Let the compensation change live values. Masked values stay +0.0, whatever a user's function does."""
        if self.compensation is None:
            return
        try:
            self.compensation(self.values.copy())
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

    def revert(self) -> None:
        """Restore the values and the mask as they were before `apply`, bit for bit.

        Raises
        ------
        InvalidValue
            If live positions have moved since.
        """
        self._check_places()
        self.model.mask[:] = self.before
        self.model.values[:] = self.values

    def explain(self, name: str, index: int | tuple[int, ...]) -> Explanation:
        """Explain why a weight is removed or stays; arguments and errors as in `Result.explain`."""
        self._check_places()
        p = self.model.parameters.get(name) or getattr(self.model.layers.get(name), "weight", None)
        if p is None or p.kind != "weight":
            raise unknown("weight", name, [p.name for p in self.model.weight_parameters])
        position, index = position_of(p, index)
        value, piece = float(self.values[position]), self.candidates.pieces.piece_at(position)
        if piece is None:
            return Explanation(p.name, index, value, "not in the scope", "its layer was not chosen, or is protected",
                               round=self.round)
        group = self.candidates.layer_groups[self.candidates.layers[piece]]
        return Explanation(p.name, index, value, *why(piece, self.candidates, self.groups, self.counts, self.gone),
                           round=self.round, layer_quota=int(np.count_nonzero(self.gone[group.slice])))

    def __str__(self) -> str:
        text = (f"{self.count} weights removed, {self.remaining} of {self.model.n_weights} remain "
                f"(sparsity {self.sparsity:.2%})")
        units = self.units
        text += f"; {units.removed} {units.unit}s, {units.remaining} of {units.total} remain" * (units.unit != "weight")
        text += f"; nothing remains in {', '.join(self.collapsed)}" * bool(self.collapsed)
        idle = self.remaining - sum(self.effective.values())
        text += f"; {idle} of those that remain are on no path (effective sparsity {self.effective_sparsity:.2%})" * \
            bool(idle)
        return text + f"; the last path through {', '.join(self.cut_off)} is cut" * bool(self.cut_off)


class Result:
    """What a pruning did.

    Attributes
    ----------
    removed, remaining : int
        How many weights this call removed, and how many the model had afterwards.
    sparsity : float
        The fraction of the model's weights that was masked.
    units : UnitCounts
        The structure's own pieces in the scope: removed, remaining, total, unit.
    per_layer : dict of str to LayerCount
        The weights of each layer: total, removed, remaining, sparsity.
    layers : list of str
        The layers in the scope.
    collapsed : tuple of str
        Layers that this left without a weight.
    plan : PrunePlan
        The plan that was applied.
    """

    def __init__(self, plan: PrunePlan) -> None:
        self.plan = plan
        self.removed, self.remaining, self.sparsity = plan.count, plan.remaining, plan.sparsity
        self.layers: Sequence[str] = plan.layers
        self.units, self.per_layer, self.collapsed = plan.units, plan.per_layer, plan.collapsed

    @property
    def effective(self) -> dict[str, int]:
        """How many weights of each layer were left on a path of live weights from the input to the logits."""
        return self.plan.effective

    @property
    def effective_sparsity(self) -> float:
        """The fraction of the model's weights that was masked, or left on no such path."""
        return self.plan.effective_sparsity

    @property
    def cut_off(self) -> tuple[str, ...]:
        """The layers whose last path from the input to the logits was cut."""
        return self.plan.cut_off

    def explain(self, name: str, index: int | tuple[int, ...]) -> Explanation:
        """Explain why a weight was removed or stayed.

        Parameters
        ----------
        name : str
            The weight parameter ("dense1.weight") or its layer ("dense1").
        index : tuple of int, or int
            The place in the parameter, or the flat place.

        Returns
        -------
        Explanation
            Outcome, reason, score, rank and more; it prints as a sentence.

        Raises
        ------
        UnknownName
            If no weight has this name.
        InvalidValue
            If the index is out of its shape, or live positions of the model have moved since.
        """
        return self.plan.explain(name, index)

    @overload
    def compact(self, state: None = None, *, fold_batchnorm: bool = False) -> "Model": ...
    @overload
    def compact(self, state: State, *, fold_batchnorm: bool = False) -> "tuple[Model, State]": ...
    def compact(self, state: State | None = None, *, fold_batchnorm: bool = False) -> "Model | tuple[Model, State]":
        """Return the smaller Model of what is left: `small = prune(model, macs=0.5, structure="filter").compact()`.

        Parameters
        ----------
        state, fold_batchnorm : optional
            As in `compact`, of the model that was pruned, as it is now. Where whole inputs were pruned, the smaller
            model takes the others alone.

        Returns
        -------
        Model, or (Model, State) with `state`
        """
        inputs = self.plan.candidates.pieces.frees_inputs
        return compact(self.plan.model, state, fold_batchnorm=fold_batchnorm, inputs=inputs)

    def undo(self) -> None:
        """Restore the values and the mask as they were before this pruning and its compensation, bit for bit.

        Raises
        ------
        InvalidValue
            If live positions of the model have moved since.
        """
        self.plan.revert()

    def __str__(self) -> str:
        return str(self.plan)
