"""Whole units: which of them the chosen layers make, and everything that is masked with each.

    pieces = unit_pieces(model, ["conv1", "conv2"], "filter")

Several layers may make one unit (the two sides of a Residual or a Product). It is in the scope if all of them are
chosen, and then is removed from all of them. Units of the input and of the logits are never in the scope.
"""
from collections.abc import Sequence

import numpy as np

from minnet.engine.model import Model
from minnet.engine.space import Coupling
from minnet.errors import InvalidValue
from minnet.pruning.pieces import LayerGroup, WeightSets, positions_in

STATISTICS = ("mean", "variance")  # no mask cuts these


def unit_pieces(model: Model, layers: Sequence[str], unit: str, beside: Sequence[str] = ()) -> "UnitPieces":
    """Return one piece for each unit that `layers` alone make: its incoming weights, biases, gains and shifts.

    Layers in `beside` may take part in making it, as the gate of a channel does. A layer group is a set of units that
    the same layers make; at least one unit of each stays. Raises InvalidValue where the layers make no unit that can be
    removed.
    """
    coupling = model.couple()
    makers = makers_of(model, coupling)
    rank = {name: i for i, name in enumerate(model.layers)}
    wanted = {*layers, *beside}
    found: dict[tuple[str, ...], list[int]] = {}  # the layers that make a unit -> the units, by root number
    for root in np.flatnonzero(~coupling.fixed()):
        if makers.get(root, set()) & set(layers) and wanted.issuperset(makers[root]):
            found.setdefault(tuple(sorted(makers[root], key=rank.__getitem__)), []).append(root)
    if not found:
        raise InvalidValue(_why_none(coupling, makers, layers, unit))
    layer_groups, piece_of, start = [], np.full(coupling.n_units, -1), 0
    for names in sorted(found, key=lambda names: [rank[name] for name in names]):
        roots = found[names]
        piece_of[roots] = np.arange(start, start + len(roots))
        weights = tuple(model.layers[name].weight for name in names)
        layer_groups.append(LayerGroup(names, weights, start, start + len(roots), keeps=1))
        start += len(roots)
    return UnitPieces(model, layer_groups, unit, coupling, piece_of)


class UnitPieces(WeightSets):
    """Pieces that are whole units; `piece_of` (n_units,) is the piece of each root number of the coupling, or -1."""

    def __init__(self, model: Model, layer_groups: Sequence[LayerGroup], unit: str, coupling: Coupling,
                 piece_of: np.ndarray) -> None:
        weights, others = (_members(coupling, piece_of, kind) for kind in (True, False))
        super().__init__(model, layer_groups, unit, *weights, *others)
        self.coupling, self.piece_of = coupling, piece_of

    def total(self, vector: np.ndarray) -> np.ndarray:
        """Return (n,) the sum of `vector` (length of the model's) over all that a removed unit takes with it.

        That is what makes the unit, its bias, gain and shift, its statistics, and the weights that read it.
        """
        found = super().total(vector)
        for use in self.coupling.uses:
            if use.reads or use.parameter.kind in STATISTICS:
                sums = np.moveaxis(use.parameter.of(vector), use.axis, 0).reshape(len(use.units), -1).sum(axis=1)
                piece = self.piece_of[self.coupling.roots(use.units)]
                found += np.bincount(piece[piece >= 0], sums[piece >= 0], minlength=self.n)
        return found


def makers_of(model: Model, coupling: Coupling) -> dict[int, set[str]]:
    """Return {root: names of the layers with weights that make the unit}."""
    makers = {}
    for use in coupling.uses:
        if use.axis == -1 and use.parameter.kind == "weight":
            for root in np.unique(coupling.roots(use.units)).tolist():
                makers.setdefault(root, set()).add(use.parameter.layer)
    return makers


def _members(coupling, piece_of, weights):
    """Return (flat positions, piece of each) of all weights into units, or else of biases, gains and shifts."""
    positions, pieces = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for use in coupling.uses:
        p = use.parameter
        if use.axis != -1 or p.kind in STATISTICS or (p.kind == "weight") != weights:
            continue
        piece = piece_of[coupling.roots(use.units)][positions_in(p) % p.shape[-1]]
        inside = np.flatnonzero(piece >= 0)
        positions.append(p.slice.start + inside)
        pieces.append(piece[inside])
    return np.concatenate(positions), np.concatenate(pieces)


def _why_none(coupling, makers, layers, unit):
    """Return the message for a choice of layers that makes no removable unit."""
    fixed = coupling.fixed()
    shared = {name for root, names in makers.items() if not fixed[root] and names & set(layers) for name in names}
    if shared:
        others = ", ".join(sorted(shared - set(layers)))
        return (f"the {unit}s of {', '.join(layers)} are made by {others} too, which is not chosen: a unit is "
                "removed from all layers that make it, so choose all of them")
    return (f"the {unit}s of {', '.join(layers)} are the model's inputs or outputs, which stay: choose other "
            "layers")
