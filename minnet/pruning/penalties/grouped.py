"""Whole groups of weights become exactly 0 together: units, or the pieces of any structure.

    for step in train(model, data, penalty=GroupLasso(1e-3)):            # all weights into and out of a unit
        ...
    GroupLasso(1e-3, structure="filter", outgoing=False)                 # only those into it: many times faster
    GroupLasso(1e-3, structure="4x1")                                    # blocks

A group holds weights only; the unit's bias, gain and shift are left alone. Pruning a unit whose group is 0 removes
them too: with its outgoing weights 0 nothing changes but what was constant.
"""
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from minnet.errors import InvalidType, check_fraction, quoted
from minnet.kernels.steps import soft_threshold
from minnet.model import Model
from minnet.pruning.parse import structure_of
from minnet.pruning.penalties.base import Penalty, Strength, absolute_sum
from minnet.pruning.pieces import Pieces, WeightSets, positions_in
from minnet.pruning.units import UnitPieces

ROUNDS = 500      # at most, of the search where groups overlap: it needs far fewer as a rule
EXACTNESS = 8     # units in the last place: the search ends when nothing moves further
# model -> {arguments: (topology, Members)}: finding them takes longer than a step
KEPT: WeakKeyDictionary[Model, dict] = WeakKeyDictionary()


Structure = str | Callable[[Model, list[str]], Pieces]    # a name in STRUCTURES, or a function as those are


class GroupLasso(Penalty):
    """Penalise the Euclidean norms of groups of weights.

    ``sum over groups of strength * sqrt(size) * |w_g|_2``, none of it smooth; a whole group becomes exactly 0 together.

    Groups are the pieces of `structure`. Those of units hold the weights into the unit and, if `outgoing`, those that
    read it, in whatever layer; a weight between two units is then in two groups. A group has the strength of the layer
    that makes it, the mean where several do. `size` counts masked weights too.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    structure : str or function, default "channel"
        What the groups are, as in `prune`.
    outgoing : bool, default True
        Whether the group of a unit holds the weights that read it, too.

    Raises
    ------
    InvalidType
        If `outgoing` is no bool.
    UnknownName
        If there is no such structure.

    References
    ----------
    - Yuan and Lin, 2006, eq. 2.1.
    - Wen et al., 2016, eq. 3, for units of nets.
    """

    convex = True
    separable = False
    alone = False

    def __init__(self, strength: Strength, structure: Structure = "channel", outgoing: bool = True):
        super().__init__(strength)
        if not isinstance(outgoing, bool | np.bool_):
            raise InvalidType(f"outgoing={quoted(repr(outgoing))}: True where groups hold outgoing weights, or False")
        structure_of(structure)
        self.structure = structure
        self.outgoing = outgoing

    def rest(self, model: Model) -> float:
        """Compute ``sum of strength * sqrt(size) * |w_g|_2``, in float64."""
        members, bounds = self.groups(model)
        return float(bounds @ members.norms(model.values[members.positions]))

    def prox(self, model: Model, lr: float) -> None:
        """Set each group to ``max(1 - lr strength sqrt(size) / |w_g|_2, 0) w_g``, with +0.0 for zero.

        That is Yuan and Lin (2006), eq. 2.4; where groups overlap, the one minimum is found by FISTA on the dual
        problem (Beck and Teboulle, 2009).
        """
        members, bounds = self.groups(model)
        if not members.n:
            return
        shrink = _shrink if members.most == 1 else _shrink_overlapping
        shrink(model.weights, members, lr * bounds)

    def groups(self, model: Model) -> "tuple[Members, np.ndarray]":
        """Find the groups of a model and the factors of their norms.

        Parameters
        ----------
        model : Model
            The model that is trained.

        Returns
        -------
        tuple
            The groups' Members, and the factor of each group's norm (n,).
        """
        strength = {p.layer: value for p, value in self.layers(model)}
        members = members_of(model, tuple(strength), self.structure, self.outgoing)
        factors = [np.full(stop - start, np.mean([strength[name] for name in names]))
                   for names, start, stop in members.parts]
        return members, np.concatenate([np.zeros(0), *factors]) * np.sqrt(members.sizes)


class SparseGroupLasso(GroupLasso):
    """Penalise the norms of groups and the sizes of single weights.

    ``r * L1 + (1 - r) * group lasso``, with r = `l1_ratio`, of the same strength: groups of zeros, and zeros within the
    other groups. The L1 is that of all weights of the layers.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    l1_ratio : float, default 0.5
        The share r of L1, in [0, 1].
    structure : str or function, default "channel"
        What the groups are, as in `prune`.
    outgoing : bool, default True
        Whether the group of a unit holds the weights that read it, too.

    Raises
    ------
    InvalidValue
        If `l1_ratio` is outside [0, 1].
    InvalidType
        If `outgoing` is no bool.
    UnknownName
        If there is no such structure.

    References
    ----------
    Simon et al., 2013, eq. 3.
    """

    def __init__(self, strength: Strength, l1_ratio: float = 0.5, structure: Structure = "channel",
                 outgoing: bool = True):
        super().__init__(strength, structure, outgoing)
        self.l1_ratio = check_fraction("l1_ratio", l1_ratio)

    def rest(self, model: Model) -> float:
        """Compute ``strength * (r sum of |w| + (1 - r) sum of sqrt(size) |w_g|_2)``, in float64."""
        sizes = sum(strength * absolute_sum(model.values[p.slice]) for p, strength in self.layers(model))
        return float(self.l1_ratio * sizes) + super().rest(model)

    def prox(self, model: Model, lr: float) -> None:
        """Apply the prox of L1, then that of the groups.

        The second keeps signs and zeros, so together they are the prox of the sum (Yu, 2013, theorem 1).
        """
        for p, strength in self.layers(model):
            soft_threshold(model.values[p.slice], lr * strength * self.l1_ratio)
        super().prox(model, lr)

    def groups(self, model: Model) -> "tuple[Members, np.ndarray]":
        """Return those of the group lasso, the factors times 1 - r."""
        members, bounds = super().groups(model)
        return members, (1 - self.l1_ratio) * bounds


@dataclass(frozen=True, eq=False)
class Members:
    """Hold the groups of weights.

    `positions` (m,) are flat positions of weights, `group` (m,) their groups' numbers, `sizes` (n,) the groups' sizes;
    `parts` are (layers, start, stop), runs of groups; `most` is the largest number of groups that share a weight.
    """

    positions: np.ndarray
    group: np.ndarray
    sizes: np.ndarray
    parts: tuple
    most: int

    @property
    def n(self) -> int:
        """The number of groups."""
        return len(self.sizes)

    def norms(self, w: np.ndarray) -> np.ndarray:
        """Compute the Euclidean norms (n,), float64, of w (m,), one entry a member."""
        return np.sqrt(np.bincount(self.group, np.square(w, dtype=np.float64), minlength=self.n))


def members_of(model: Model, layers: tuple[str, ...], structure: Structure, outgoing: bool) -> Members:
    """Return the Members of the pieces of `structure` in these layers.

    They are kept while the model lives and its topology stays.
    """
    kept, asked = KEPT.setdefault(model, {}), (layers, structure, outgoing)
    if asked not in kept or kept[asked][0] != model.topology:
        kept[asked] = model.topology, _find_members(model, list(layers), structure_of(structure), outgoing)
    return kept[asked][1]


def _find_members(model, layers, structure, outgoing):
    """Find the Members that `members_of` keeps."""
    if not layers:
        return Members(np.zeros(0, int), np.zeros(0, int), np.zeros(0, int), (), 1)
    pieces = structure(model, layers)
    if isinstance(pieces, WeightSets):
        positions, group = pieces.positions, np.repeat(np.arange(pieces.n), pieces.sizes)
    else:
        positions, group = pieces.reduce(np.arange(model.n_weights)), np.arange(pieces.n)  # each weight by itself
    if outgoing and isinstance(pieces, UnitPieces):
        both = [(positions, group), *_readers(pieces)]
        positions, group = (np.concatenate(side) for side in zip(*both, strict=True))
        once = np.unique(positions * pieces.n + group)  # a weight from a unit to itself is in its group once
        positions, group = np.divmod(once, pieces.n)
    parts = tuple((part.layers, part.start, part.stop) for part in pieces.layer_groups)
    most = int(np.bincount(positions).max(initial=1))
    return Members(positions, group, np.bincount(group, minlength=pieces.n), parts, most)


def _readers(pieces):
    """Yield (flat positions, piece of each) of the weights that read a unit, layer by layer."""
    for use in pieces.coupling.uses:
        if use.reads:
            p = use.parameter
            piece = pieces.piece_of[pieces.coupling.roots(use.units)][positions_in(p) // p.shape[-1] % p.shape[-2]]
            inside = np.flatnonzero(piece >= 0)
            yield p.slice.start + inside, piece[inside]


def _shrink(w, members, bounds):
    """Shrink groups that share no weight, each by itself."""
    norms = members.norms(w[members.positions])
    left = np.divide(norms - bounds, norms, out=np.zeros(members.n), where=~(norms <= bounds))
    shrunk = w[members.positions] * left[members.group]
    w[members.positions] = shrunk.astype(w.dtype) + w.dtype.type(0)  # -0.0 becomes +0.0, what underflows as well


def _shrink_overlapping(w, members, bounds):
    """Set w to the v that minimises ``|v - w|^2 / 2 + sum of bounds_g |v_g|``.

    v = w - the sum of x_g, where the x, one entry a member, minimise ``|v|^2`` over ``|x_g| <= bounds_g``. A group
    whose x_g ends inside its ball is 0.
    """
    start, positions, group = w.astype(np.float64), members.positions, members.group
    exactness = EXACTNESS * np.finfo(w.dtype).eps * np.abs(start).max(initial=0)
    x = ahead = np.zeros(len(positions))
    t = 1.0
    for _ in range(ROUNDS):
        v = start - np.bincount(positions, ahead, minlength=len(w))
        point = ahead + v[positions] / members.most  # a gradient step: most is the Lipschitz constant
        norms = members.norms(point)
        inside = norms <= bounds  # then the projection onto each group's ball
        before, x = x, point * np.divide(bounds, norms, out=np.ones(members.n), where=~inside)[group]
        if not np.abs(x - ahead).max() > exactness:
            break
        moved = x - before
        if (ahead - x) @ moved > 0:  # it oscillates: restart from here (O'Donoghue and Candes, 2015)
            t = 1.0
        before_t, t = t, (1 + np.sqrt(1 + 4 * t**2)) / 2  # FISTA's momentum
        ahead = x + (before_t - 1) / t * moved
    v = start - np.bincount(positions, x, minlength=len(w))
    v[positions[inside[group]]] = 0  # exactly, whatever rounding left
    w[positions] = v[positions].astype(w.dtype) + w.dtype.type(0)


PENALTIES = {"group_lasso": GroupLasso, "sparse_group_lasso": SparseGroupLasso}
