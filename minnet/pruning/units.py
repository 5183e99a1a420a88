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
    return Groups(model, parts, unit, *_members(coupling, piece_of, True), *_members(coupling, piece_of, False))


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
