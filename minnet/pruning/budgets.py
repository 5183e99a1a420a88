"""Budgets: how much is removed, given in one of several ways, becomes a count.

`sparsity`, `count` and `keep` give it directly, `units` for each layer. `macs`, `bytes`, `flash`, `ram` and `latency`
say what may remain: pieces are removed in the order of any other pruning until the model is within the budget, and
would exceed it again if the last one came back. Nothing is timed here: `clock` is a function mask -> seconds, such as
`latency_table` fits to times that were measured before, so a noisy clock cannot give two counts for one budget.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.errors import InvalidType, InvalidValue, check_count, check_fraction, check_positive, quoted
from minnet.pruning.apportion import apportion
from minnet.pruning.candidates import Candidates, Infeasible
from minnet.pruning.choose import matching
from minnet.pruning.costs import Costs, room_on
from minnet.pruning.distributions import Distribution
from minnet.pruning.parse import Structure
from minnet.pruning.pieces import Pieces
from minnet.pruning.units import UnitPieces

TOGETHER = {"flash", "ram"}   # budgets that may be given at once
# What they are for: budgets of files.
OF_FILES = {"precision": {"bytes", "flash", "ram"}, "arithmetic": TOGETHER, "made": {"bytes"}}


@dataclass(frozen=True)
class Budget:
    """How much to remove: the arguments of `prune` of which exactly one is given (or flash and ram).

    `clock` is that of `latency`; `precision`, `arithmetic` and `made` say what is written.
    """

    sparsity: float | None = None
    count: int | None = None
    macs: int | float | None = None
    bytes: int | float | None = None
    units: Mapping[str, int] | None = None
    latency: float | None = None
    clock: Callable[[np.ndarray], float] | None = None
    keep: int | None = None
    flash: int | float | str | None = None
    ram: int | float | str | None = None
    precision: str | None = None
    arithmetic: str | None = None
    made: dict | None = None

    @property
    def given(self) -> list[str]:
        """The names of the budgets that are not None."""
        others = ("clock", *OF_FILES)
        return [name for name, value in vars(self).items() if value is not None and name not in others]

    @property
    def name(self) -> str | None:
        """The name of the one that is given, or None."""
        return next(iter(self.given), None)

    def structure(self, structure: Structure) -> Structure:
        """Return the structure to count in: with `units` given, "weight" means "channel"."""
        return "channel" if self.units is not None and structure == "weight" else structure

    def check(self, pieces: Pieces, distribution: Distribution, min_density: float | None) -> None:
        """Raise if not exactly one budget is given (none where something else sets the count), or it is wrong."""
        sets_count = pieces.own_count or isinstance(distribution, dict)
        both = set(self.given) == TOGETHER and not sets_count
        if len(self.given) != (0 if sets_count else 1) and not both:
            wanted = "exactly one of sparsity, count, keep, macs, bytes, flash, ram, units and latency, or flash and " \
                "ram" if not sets_count else \
                "no budget, not even sparsity, since the structure or the distribution sets the count"
            raise InvalidValue(f"got {' and '.join(self.given) or 'no budget'}; wanted {wanted}")
        if distribution != "global" and (pieces.own_count or self.units is not None):
            setter = "the structure" if pieces.own_count else "units="
            raise InvalidValue(f"distribution={quoted(repr(distribution))}, but {setter} says how much each layer "
                               "loses: leave it out")
        if min_density is not None and pieces.own_count:
            raise InvalidValue(f"min_density={quoted(repr(min_density))}, but the structure says how much stays: "
                               "leave it out")
        self._check_clock(pieces)
        self._check_written(pieces)
        if self.sparsity is not None:
            check_fraction("sparsity", self.sparsity)
        if self.count is not None:
            check_count("count", self.count, 0, pieces.n)
        if self.keep is not None:
            check_count("keep", self.keep, 0, pieces.n)
        if self.units is not None and not isinstance(self.units, dict):
            raise InvalidType(f"units={quoted(repr(self.units))}; wanted a dict of layers and how many units remain")

    def _check_clock(self, pieces):
        if (self.latency is None) != (self.clock is None) or not (self.clock is None or callable(self.clock)):
            raise InvalidValue(f"latency={quoted(repr(self.latency))} and clock={quoted(repr(self.clock))}: give both, "
                               "as in prune(model, latency=0.5, clock=latency_table(model, X), structure='channel')")
        if self.clock is not None and not isinstance(pieces, UnitPieces):
            raise InvalidValue(f"latency= beside pieces that are {pieces.unit}s: time is measured unit by unit, so "
                               'take structure="channel", "filter" or "neuron"')

    def _check_written(self, pieces):
        for name, budgets in OF_FILES.items():
            if getattr(self, name) is not None and not budgets.intersection(self.given):
                raise InvalidValue(f"{name}={quoted(repr(getattr(self, name)))} says what is written, but the budget "
                                   f"is {' and '.join(self.given) or 'none'}: give it beside "
                                   f"{' or '.join(sorted(budgets))}, or leave it out")
        if self.ram is not None and not isinstance(pieces, UnitPieces):
            raise InvalidValue(f"ram= beside pieces that are {pieces.unit}s: memory is that of the units' outputs, so "
                               'take structure="channel", "filter" or "neuron"')

    def count_of(self, model: Model, candidates: Candidates, distribution: Distribution) -> int:
        """Return how many of the candidates are masked afterwards."""
        if self.sparsity is not None:
            return round(float(self.sparsity) * len(candidates))  # half to even
        if self.count is not None:
            return int(self.count)
        if self.keep is not None:
            return len(candidates) - int(self.keep)
        return self._within(Costs(model, self.precision, self.arithmetic, self.made), candidates, distribution)

    def losses(self, candidates: Candidates) -> np.ndarray:
        """Return (layer groups,) how many units of each are masked, so that the layers keep what `units` says."""
        names = [name for group in candidates.layer_groups for name in group.layers]
        lost = candidates.gone.copy()
        for pattern, remain in (self.units or {}).items():
            found = matching(candidates.pieces.model, names, pattern, "units")
            for i, group in enumerate(candidates.layer_groups):
                if not set(found).isdisjoint(group.layers):
                    lost[i] = group.size - check_count(f"units[{pattern!r}]", remain, 0, group.size)
        return lost

    def _within(self, costs, candidates, distribution):
        """Return the smallest count with which the model is within each budget of what may remain."""
        counts = [self._smallest(name, costs, candidates, distribution) for name in self.given]
        return max(counts)

    def _smallest(self, name, costs, candidates, distribution):
        """Return the smallest count with which the model is within one budget."""
        value = getattr(self, name)
        cost = self.clock if name == "latency" else costs.function(name, value)
        whole = cost(np.ones(len(costs.model.values), bool))
        most = limit(name, value, whole)

        def cost_of(k):
            return cost(costs.model.mask & candidates.pieces.expand(~candidates.spread(k, distribution)[-1]))

        def fits(k):
            try:
                return cost_of(k) <= most
            except Infeasible:  # beyond what the distribution can remove; if the answer is here, `spread` raises
                return True

        found = smallest(int(candidates.gone.sum()), int(candidates.most.sum()), fits)
        if found is None:
            least, of = cost_of(int(candidates.most.sum())), f" ({most} bytes)" if isinstance(value, str) else ""
            raise InvalidValue(f"{name}={quoted(repr(value))}{of} cannot be met: {least} of {whole} remain when all "
                               "that can be removed is removed: allow more, or begin with a smaller model")
        return found


def by_layer(fractions: Mapping[str, float], candidates: Candidates) -> np.ndarray:
    """Return (layer groups,) how many pieces each loses, given the sparsity of layers by name or pattern.

    The last pattern that matches a layer holds; a layer that none matches keeps what it has.
    """
    names = [name for group in candidates.layer_groups for name in group.layers]
    shares = np.zeros(len(candidates.layer_groups))
    for pattern, fraction in fractions.items():
        fraction = check_fraction(f"distribution[{quoted(repr(pattern))}]", fraction)
        found = matching(candidates.pieces.model, names, pattern, "distribution")
        for i, group in enumerate(candidates.layer_groups):
            if not set(found).isdisjoint(group.layers):
                shares[i] = fraction * group.size
    return apportion(shares, round(shares.sum()), np.zeros(len(shares)), candidates.sizes)


def limit(name: str, value: int | float | str, whole: float) -> float:
    """Return a budget as a number: an int as it is, a float in (0, 1] as a share of `whole`, as latency always is.

    That of a microcontroller, by its name, is what a net may take of its flash or RAM.
    """
    if name in TOGETHER and isinstance(value, str):
        return room_on(value, name)
    if name == "latency" or isinstance(value, float | np.floating):
        return check_fraction(name, check_positive(name, value)) * whole
    try:
        return check_count(name, value)
    except InvalidType as error:
        chip = ", or the name of a microcontroller" if name in TOGETHER else ""
        raise InvalidType(f"{name}={quoted(repr(value))}; wanted a whole number or a share in (0, 1]{chip}") from error


def reached(costs: Costs, name: str, value: int | float | str) -> dict[str, float]:
    """Return what a model has "reached" of a budget of what may remain, and the "most" that it may."""
    cost = costs.function(name, value)
    most = limit(name, value, cost(np.ones(len(costs.model.values), bool)))
    return {"reached": cost(costs.model.mask), "most": most}


def smallest(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """Return the smallest count in [low, high] that fits, found by halving; None if `high` does not.

    Where fits(count) changes more than once, the count found fits, while the one before does not.
    """
    if not fits(high):
        return None
    if fits(low):
        return low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
