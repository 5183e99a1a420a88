"""Budgets: how much is to go, said in one of several ways, becomes a count.

`sparsity` and `count` say it at once, `units` for each layer. `macs`, `bytes` and `latency` say what may remain: pieces
go in the order in which they would go anyway, until the model is within the budget, and would be over it again if the
last one came back. `bytes` is the size of the compacted model's file. Nothing is timed here: `clock` is a function
mask -> seconds, such as `latency_table` fits to times that it has measured before; so a noisy clock cannot make two
counts of one.
"""
from dataclasses import dataclass

import numpy as np

from minnet.errors import InvalidType, InvalidValue, check_count, check_fraction, check_positive, quoted
from minnet.formats.storage import expected_bytes
from minnet.pruning.apportion import apportion
from minnet.pruning.choose import matching
from minnet.pruning.compact import compact
from minnet.pruning.pool import Infeasible
from minnet.pruning.units import Units


@dataclass(frozen=True)
class Budget:
    """What the caller of `prune` gave; all but one are None, or all."""

    sparsity: object = None
    count: object = None
    macs: object = None
    bytes: object = None
    units: object = None
    latency: object = None
    clock: object = None  # no budget, but what latency is read from

    @property
    def given(self):
        """The names of those that are not None."""
        return [name for name, value in vars(self).items() if value is not None and name != "clock"]

    @property
    def name(self):
        """The name of the one that is given, or None."""
        return next(iter(self.given), None)

    def structure(self, structure):
        """Units are counted in units: with `units` given, "weight" means "channel"."""
        return "channel" if self.units is not None and structure == "weight" else structure

    def check(self, pieces, distribution, min_density):
        """Raise where not exactly one is given (none where something else sets the count), or its value is wrong."""
        sets_count = pieces.own_count or isinstance(distribution, dict)
        if len(self.given) != (0 if sets_count else 1):
            wanted = "exactly one of sparsity, count, macs, bytes, units and latency" if not sets_count else \
                "no budget, since the structure or the distribution sets the count"
            raise InvalidValue(f"got {' and '.join(self.given) or 'no budget'}; wanted {wanted}")
        if distribution != "global" and (pieces.own_count or self.units is not None):
            setter = "the structure" if pieces.own_count else "units="
            raise InvalidValue(f"distribution={quoted(repr(distribution))}, but {setter} says how much each layer "
                               "loses: leave it out")
        if min_density is not None and pieces.own_count:
            raise InvalidValue(f"min_density={quoted(repr(min_density))}, but the structure says how much stays: "
                               "leave it out")
        if (self.latency is None) != (self.clock is None) or not (self.clock is None or callable(self.clock)):
            raise InvalidValue(f"latency={quoted(repr(self.latency))} and clock={quoted(repr(self.clock))}: give both, "
                               "as in prune(model, latency=0.5, clock=latency_table(model, X), structure='channel')")
        if self.clock is not None and not isinstance(pieces, Units):
            raise InvalidValue(f"latency= beside pieces that are {pieces.unit}s: time is measured unit by unit, so "
                               'take structure="channel", "filter" or "neuron"')
        if self.sparsity is not None:
            check_fraction("sparsity", self.sparsity)
        if self.count is not None:
            check_count("count", self.count, 0, pieces.n)
        if self.units is not None and not isinstance(self.units, dict):
            raise InvalidType(f"units={quoted(repr(self.units))}; wanted a dict of layers and how many units remain")

    def count_of(self, model, pool, distribution):
        """How many pieces of the pool are to be gone."""
        if self.sparsity is not None:
            return round(float(self.sparsity) * len(pool))  # half to even
        if self.count is not None:
            return int(self.count)
        return self._within(Costs(model), pool, distribution)

    def losses(self, pool):
        """(parts,) how many units each part is to lose, so that the layers keep what `units` says."""
        names = [name for part in pool.parts for name in part.layers]
        lost = pool.gone.copy()
        for pattern, remain in self.units.items():
            found = matching(pool.pieces.model, names, pattern, "units")
            for i, part in enumerate(pool.parts):
                if not set(found).isdisjoint(part.layers):
                    lost[i] = part.size - check_count(f"units[{pattern!r}]", remain, 0, part.size)
        return lost

    def _within(self, costs, pool, distribution):
        """The smallest count with which the model is within the budget of macs, bytes or latency."""
        cost = getattr(costs, self.name, self.clock)
        whole = cost(np.ones(len(costs.model.values), bool))
        most = limit(self.name, getattr(self, self.name), whole)

        def cost_of(k):
            return cost(costs.model.mask & pool.pieces.expand(~pool.spread(k, distribution)[-1]))

        def fits(k):
            try:
                return cost_of(k) <= most
            except Infeasible:  # the distribution stops before k: if the answer is there, `spread` says so
                return True

        found = smallest(int(pool.gone.sum()), int(pool.most.sum()), fits)
        if found is None:
            least = cost_of(int(pool.most.sum()))
            raise InvalidValue(f"{self.name}={quoted(repr(getattr(self, self.name)))} cannot be met: {least} of "
                               f"{whole} remain when all is gone that may go")
        return found


def by_layer(fractions, pool):
    """(parts,) how many pieces each loses when `fractions` gives the sparsity of layers by name or pattern.

    The last pattern that matches a layer holds; a layer that none matches keeps what it has.
    """
    names = [name for part in pool.parts for name in part.layers]
    shares = np.zeros(len(pool.parts))
    for pattern, fraction in fractions.items():
        fraction = check_fraction(f"distribution[{quoted(repr(pattern))}]", fraction)
        found = matching(pool.pieces.model, names, pattern, "distribution")
        for i, part in enumerate(pool.parts):
            if not set(found).isdisjoint(part.layers):
                shares[i] = fraction * part.size
    return apportion(shares, round(shares.sum()), np.zeros(len(shares)), pool.sizes)


def limit(name, value, whole):
    """A budget as a number: an int as it is, a float in (0, 1] as a share of `whole`; latency is always a share."""
    if name == "latency" or isinstance(value, float | np.floating):
        return check_fraction(name, check_positive(name, value)) * whole
    try:
        return check_count(name, value)
    except InvalidType as error:
        raise InvalidType(f"{name}={quoted(repr(value))}; wanted a whole number or a share in (0, 1]") from error


def smallest(low, high, fits):
    """The smallest count in [low, high] that fits, found by halving; None if `high` does not.

    fits(count) is True or False. Where it changes more than once, a count is found that fits, while the one before
    does not.
    """
    if not fits(high):
        return None
    if fits(low):
        return low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


class Costs:
    """What a model with a mask costs: as `compact` leaves it, so weights that read or make a dead unit do not count.

    A unit is dead when all that makes it (weights, bias, gain and shift) is masked.
    """

    def __init__(self, model):
        self.model = model
        self.coupling = model.couple()
        self.fixed = self.coupling.fixed()
        self.uses = [(use, self.coupling.roots(use.units)) for use in self.coupling.uses]

    def live(self, mask):
        """(length of the vector,) bool: the entries that the mask leaves and that belong to living units."""
        alive = self.fixed.copy()
        for use, roots in self.uses:
            if use.axis == -1 and use.parameter.slice.stop <= self.model.n_trainable:
                window = use.parameter.of(mask)
                alive[roots[window.reshape(-1, window.shape[-1]).any(axis=0)]] = True
        live = mask.copy()
        for use, roots in self.uses:
            window = np.moveaxis(use.parameter.of(live), use.axis, -1)
            window &= alive[roots]
        return live

    def of(self, name, pieces, mask):
        """(n,) what each piece costs in "macs" or "bytes" by itself, as the others are; at least one of them. Bytes are
        those of its numbers: what a file says beside them belongs to no piece."""
        if name not in ("macs", "bytes"):
            raise InvalidValue(f"per={quoted(repr(name))}; wanted None, 'macs' or 'bytes'")
        cost = self.live(mask).astype(np.float64)
        for layer in self.model.layers.values():
            for p in layer.parameters:
                times = layer.positions if p.kind == "weight" else 0
                p.of(cost)[...] *= self.model.dtype.itemsize if name == "bytes" else times
        return np.maximum(pieces.total(cost), 1)

    def macs(self, mask):
        """Multiply-adds of one prediction."""
        live = self.live(mask)
        return sum(layer.positions * int(np.count_nonzero(p.of(live)))
                   for layer in self.model.layers.values() for p in layer.parameters if p.kind == "weight")

    def bytes(self, mask):
        """The size of the file that `save` writes of the model once it is compacted: numbers, masks and description.
        What was born sparse cannot be compacted: of such a model it is the file as it stands."""
        if any(p.index is not None for p in self.model.weight_parameters):
            return expected_bytes(self.model, mask=mask)
        model = self.model.clone()
        model.set_mask(mask)
        return expected_bytes(compact(model))
