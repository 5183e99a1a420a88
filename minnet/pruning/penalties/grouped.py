"""Whole groups of weights become exactly 0 together: units, or the pieces of any structure.

    for step in train(model, data, penalty=GroupLasso(1e-3)):            # all weights into and out of a unit
        ...
    GroupLasso(1e-3, structure="filter", outgoing=False)                 # only those into it; many times faster
    GroupLasso(1e-3, structure="4x1")                                    # blocks

A group holds weights only; the unit's bias, gain and shift are left alone. Pruning a unit whose group is 0 takes them
too: with its outgoing weights 0 nothing changes but what was constant.
"""
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from minnet.errors import InvalidType, check_fraction, quoted
from minnet.kernels.steps import soft_threshold
from minnet.pruning.named import structure_of
from minnet.pruning.penalties.base import Penalty, absolute_sum
from minnet.pruning.pieces import Groups, positions_in
from minnet.pruning.units import Units

ROUNDS = 500      # of the search where groups overlap: far more than it takes as a rule
EXACTNESS = 8     # units in the last place within which it ends
KEPT = WeakKeyDictionary()  # model -> {what was asked: (topology, Members)}: finding them takes longer than a step


class GroupLasso(Penalty):
    """sum over groups of strength * sqrt(size) * |w_g|_2 (Yuan and Lin, 2006, eq. 2.1; for units of nets Wen et al.,
    2016, eq. 3), none of it smooth.

    Groups are the pieces of `structure` (a name or a function, as in `prune`). Those of units hold the weights into the
    unit and, if `outgoing`, those that read it, in whatever layer; a weight between two units is then in two groups. A
    group has the strength of the layer that makes it, the mean where several do. `size` counts masked weights too.
    """

    convex = True
    separable = False
    alone = False

    def __init__(self, strength, structure="channel", outgoing=True):
        super().__init__(strength)
        if not isinstance(outgoing, bool | np.bool_):
            raise InvalidType(f"outgoing={quoted(repr(outgoing))}: True where groups hold outgoing weights, or False")
        structure_of(structure)
        self.structure = structure
        self.outgoing = outgoing

    def rest(self, model):
        """sum of strength * sqrt(size) * |w_g|_2, in float64."""
        members, bounds = self.groups(model)
        return float(bounds @ members.norms(model.values[members.positions]))

    def prox(self, model, lr):
        """max(1 - lr strength sqrt(size) / |w_g|_2, 0) w_g for each group, with +0.0 for zero (Yuan and Lin, 2006, eq.
        2.4); where groups overlap, the one minimum by FISTA on the dual problem (Beck and Teboulle, 2009)."""
        members, bounds = self.groups(model)
        if not members.n:
            return
        shrink = _shrink if members.most == 1 else _shrink_overlapping
        shrink(model.weights, members, lr * bounds)

    def groups(self, model):
        """(Members, (n,) the factor of each group's norm)."""
        strength = {p.layer: value for p, value in self.layers(model)}
        members = members_of(model, tuple(strength), self.structure, self.outgoing)
        factors = [np.full(stop - start, np.mean([strength[name] for name in names]))
                   for names, start, stop in members.parts]
        return members, np.concatenate([np.zeros(0), *factors]) * np.sqrt(members.sizes)


class SparseGroupLasso(GroupLasso):
    """r * L1 + (1 - r) * group lasso, with r = `l1_ratio`, of the same strength (Simon et al., 2013, eq. 3): groups of
    zeros, and zeros within the other groups. The L1 is that of all weights of the layers."""

    def __init__(self, strength, l1_ratio=0.5, structure="channel", outgoing=True):
        super().__init__(strength, structure, outgoing)
        self.l1_ratio = check_fraction("l1_ratio", l1_ratio)

    def rest(self, model):
        """strength * (r sum of |w| + (1 - r) sum of sqrt(size) |w_g|_2), in float64."""
        sizes = sum(strength * absolute_sum(model.values[p.slice]) for p, strength in self.layers(model))
        return float(self.l1_ratio * sizes) + super().rest(model)

    def prox(self, model, lr):
        """The prox of L1, then that of the groups: the second keeps signs and zeros, so both are right (Yu, 2013,
        theorem 1)."""
        for p, strength in self.layers(model):
            soft_threshold(model.values[p.slice], lr * strength * self.l1_ratio)
        super().prox(model, lr)

    def groups(self, model):
        """As those of the group lasso, the factors times 1 - r."""
        members, bounds = super().groups(model)
        return members, (1 - self.l1_ratio) * bounds


@dataclass(frozen=True, eq=False)
class Members:
    """Who is in which group: `positions` (m,) flat positions of weights, `group` (m,) their groups' numbers, `sizes`
    (n,); `parts` are (layers, start, stop), runs of groups; `most` in how many groups a weight is at most."""

    positions: np.ndarray
    group: np.ndarray
    sizes: np.ndarray
    parts: tuple
    most: int

    @property
    def n(self):
        """How many groups."""
        return len(self.sizes)

    def norms(self, w):
        """(n,) Euclidean norms, float64, of w (m,), one entry a member."""
        return np.sqrt(np.bincount(self.group, np.square(w, dtype=np.float64), minlength=self.n))


def members_of(model, layers, structure, outgoing):
    """The Members of the pieces of `structure` in these layers; kept while the model lives and is not rewired."""
    kept, asked = KEPT.setdefault(model, {}), (layers, structure, outgoing)
    if asked not in kept or kept[asked][0] != model.topology:
        kept[asked] = model.topology, _find_members(model, list(layers), structure_of(structure), outgoing)
    return kept[asked][1]


def _find_members(model, layers, structure, outgoing):
    """What `members_of` keeps."""
    if not layers:
        return Members(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), (), 1)
    pieces = structure(model, layers)
    if isinstance(pieces, Groups):
        positions, group = pieces.positions, np.repeat(np.arange(pieces.n), pieces.sizes)
    else:
        positions, group = pieces.reduce(np.arange(model.n_weights)), np.arange(pieces.n)  # each weight by itself
    if outgoing and isinstance(pieces, Units):
        both = [(positions, group), *_readers(pieces)]
        positions, group = (np.concatenate(side) for side in zip(*both, strict=True))
        once = np.unique(positions * pieces.n + group)  # a weight from a unit to itself is in its group once
        positions, group = np.divmod(once, pieces.n)
    parts = tuple((part.layers, part.start, part.stop) for part in pieces.parts)
    most = int(np.bincount(positions).max(initial=1))
    return Members(positions, group, np.bincount(group, minlength=pieces.n), parts, most)


def _readers(pieces):
    """(flat positions, piece of each) of the weights that read a unit, layer by layer."""
    for use in pieces.coupling.uses:
        if use.reads:
            p = use.parameter
            piece = pieces.piece_of[pieces.coupling.roots(use.units)][positions_in(p) // p.shape[-1] % p.shape[-2]]
            inside = np.flatnonzero(piece >= 0)
            yield p.slice.start + inside, piece[inside]


def _shrink(w, members, bounds):
    """Groups that share no weight: each by itself."""
    norms = members.norms(w[members.positions])
    left = np.divide(norms - bounds, norms, out=np.zeros(members.n), where=~(norms <= bounds))
    shrunk = w[members.positions] * left[members.group]
    w[members.positions] = shrunk.astype(w.dtype) + w.dtype.type(0)  # -0.0 becomes +0.0, what underflows as well


def _shrink_overlapping(w, members, bounds):
    """min over v of |v - w|^2 / 2 + sum of bounds_g |v_g|: v = w - the sum of x_g, where the x of one row a member
    minimise |v|^2 over |x_g| <= bounds_g. A group whose x_g ends inside its ball is 0."""
    start, positions, group = w.astype(np.float64), members.positions, members.group
    exactness = EXACTNESS * np.finfo(w.dtype).eps * np.abs(start).max(initial=0)
    x = ahead = np.zeros(len(positions))
    t = 1.0
    for _ in range(ROUNDS):
        v = start - np.bincount(positions, ahead, minlength=len(w))
        point = ahead + v[positions] / members.most
        norms = members.norms(point)
        inside = norms <= bounds
        before, x = x, point * np.divide(bounds, norms, out=np.ones(members.n), where=~inside)[group]
        if not np.abs(x - ahead).max() > exactness:
            break
        moved = x - before
        if (ahead - x) @ moved > 0:  # it swings: begin anew from here (O'Donoghue and Candes, 2015)
            t = 1.0
        before_t, t = t, (1 + np.sqrt(1 + 4 * t**2)) / 2
        ahead = x + (before_t - 1) / t * moved
    v = start - np.bincount(positions, x, minlength=len(w))
    v[positions[inside[group]]] = 0
    w[positions] = v[positions].astype(w.dtype) + w.dtype.type(0)


PENALTIES = {"group_lasso": GroupLasso, "sparse_group_lasso": SparseGroupLasso}
