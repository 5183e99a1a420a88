"""Whole units: which of them the chosen layers make, and all that goes with each.

    pieces = unit_pieces(model, ["conv1", "conv2"], "filter")

A unit may be made by several layers at once (the two sides of a Residual); it is in the scope if all of them are
chosen, and then goes in all of them. Units of the input and of the logits are in no scope.
"""
import numpy as np

from minnet.errors import InvalidValue
from minnet.pruning.pieces import Groups, Part, positions_in

STATISTICS = ("mean", "variance")  # no mask cuts these


def unit_pieces(model, layers, unit):
    """Groups, one a unit that `layers` alone make: weights into it, and its biases, gains and shifts.

    Parts are sets of units that the same layers make; at least one unit of each stays. Raises InvalidValue where the
    layers make no unit that may go.
    """
    coupling = model.couple()
    makers = makers_of(model, coupling)
    rank = {name: i for i, name in enumerate(model.layers)}
    wanted = set(layers)
    found = {}  # the layers that make a unit -> the units, by root number
    for root in np.flatnonzero(~coupling.fixed()):
        if makers.get(root) and wanted.issuperset(makers[root]):
            found.setdefault(tuple(sorted(makers[root], key=rank.get)), []).append(root)
    if not found:
        raise InvalidValue(_why_none(coupling, makers, layers, unit))
    parts, piece_of, start = [], np.full(coupling.n_units, -1), 0
    for names in sorted(found, key=lambda names: [rank[name] for name in names]):
        roots = found[names]
        piece_of[roots] = np.arange(start, start + len(roots))
        weights = tuple(model.layers[name].weight for name in names)
        parts.append(Part(names, weights, start, start + len(roots), keeps=1))
        start += len(roots)
    return Units(model, parts, unit, coupling, piece_of)


class Units(Groups):
    """Groups that are whole units; `piece_of` (n_units,) is the piece of each root number of the coupling, or -1."""

    def __init__(self, model, parts, unit, coupling, piece_of):
        super().__init__(model, parts, unit, *_members(coupling, piece_of, True), *_members(coupling, piece_of, False))
        self.coupling, self.piece_of = coupling, piece_of

    def total(self, vector):
        """(n,) the sum of `vector` (length of the model's) over all that goes with the unit in the end: what makes it,
        what dresses it, its statistics, and the weights that read it."""
        found = super().total(vector)
        for use in self.coupling.uses:
            if use.reads or use.parameter.kind in STATISTICS:
                sums = np.moveaxis(use.parameter.of(vector), use.axis, 0).reshape(len(use.units), -1).sum(axis=1)
                piece = self.piece_of[self.coupling.roots(use.units)]
                found += np.bincount(piece[piece >= 0], sums[piece >= 0], minlength=self.n)
        return found


def makers_of(model, coupling):
    """{root: {names of the layers with weights that make the unit}}."""
    makers = {}
    for use in coupling.uses:
        if use.axis == -1 and use.parameter.kind == "weight":
            for root in np.unique(coupling.roots(use.units)).tolist():
                makers.setdefault(root, set()).add(use.parameter.layer)
    return makers


def _members(coupling, piece_of, weights):
    """(flat positions, piece of each) of all weights into units, or of all that dresses them."""
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
    """The message where no unit is left."""
    fixed = coupling.fixed()
    shared = {name for root, names in makers.items() if not fixed[root] and names & set(layers) for name in names}
    if shared:
        others = ", ".join(sorted(shared - set(layers)))
        return (f"the {unit}s of {', '.join(layers)} are made by {others} too, which is not chosen: a unit goes whole, "
                "so choose all of these layers")
    return f"the {unit}s of {', '.join(layers)} are the model's outputs, which stay: choose other layers"
