"""Links between units that are layers of a net: drawn softly, removed where they lead nowhere.

    kept = draw_kept(scores, count, rng)
    percolate(links, made, read)                                  # changes the `keep` of each
    grown = draw_grown(positions, scores, size, taken, count, rng)

To draw without replacement with probability in proportion to s is to take those with the lowest E / s, each E being
drawn from the exponential distribution of rate 1.
"""
from dataclasses import dataclass

import numpy as np

from minnet.engine.rewire import among, draw_places
from minnet.engine.vector import Parameter
from minnet.pruning.recipes.moving import lowest

EVEN = 1e-5  # what is added to every score where too few are above 0


@dataclass
class Links:
    """The live links of one weight: which units they lead from and to, and which are kept."""

    parameter: Parameter
    sources: np.ndarray  # (k,) unit numbers
    targets: np.ndarray  # (k,)
    keep: np.ndarray     # (k,) bool
    moves: bool          # whether any may be dropped


def draw_kept(scores: np.ndarray, count: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) bool: `count` entries, drawn without replacement in proportion to scores^exponent."""
    with np.errstate(divide="ignore"):
        times = np.log(rng.standard_exponential(len(scores))) - exponent * np.log(scores)
    return lowest(times, np.ones(len(scores), bool), count)


def percolate(links: list[Links], made: np.ndarray, read: np.ndarray) -> None:
    """Drop links to units that nothing reads any more, then links from units that nothing makes, until none is left.

    links are in the order of the layers; made, read: (units,) bool, what some weight makes, or reads, if it is not an
    input or an output of the net.
    """
    before, now = -1, _count(links)
    while before != now:
        for layer in reversed(links):
            if layer.moves:
                lost = read & ~_met(links, "sources", len(read))
                layer.keep &= ~lost[layer.targets]
        for layer in links:
            if layer.moves:
                lost = made & ~_met(links, "targets", len(made))
                layer.keep &= ~lost[layer.sources]
        before, now = now, _count(links)


def _count(links):
    """Return how many links are kept."""
    return sum(np.count_nonzero(layer.keep) for layer in links)


def _met(links, end, units):
    """Return (units,) bool: True where a kept link has its end."""
    met = np.zeros(units, bool)
    for layer in links:
        met[getattr(layer, end)[layer.keep]] = True
    return met


def draw_grown(positions: np.ndarray, scores: np.ndarray, size: int, taken: np.ndarray, count: int,
               rng: np.random.Generator) -> np.ndarray:
    """Draw `count` positions below `size` and not `taken`, without replacement in proportion to their scores: sorted.

    scores (n,) are those at `positions`, all others are 0; where fewer than `count` are above 0, 1e-5 is added to all.
    The many positions of score 0 are not listed: the lowest E / 1e-5 of them are drawn in order, each later by an
    exponential time of the rate of those that are left.
    """
    free = ~among(positions, taken)
    positions, scores = positions[free], scores[free]
    few = len(positions) < count
    times = rng.standard_exponential(len(positions)) / (scores + EVEN * few)
    if not few:
        return positions[lowest(times, np.ones(len(times), bool), count)]
    others = size - len(taken) - len(positions)
    left = others - np.arange(min(count, others))
    times = np.concatenate([times, np.cumsum(rng.standard_exponential(len(left)) / (EVEN * left))])
    first = lowest(times, np.ones(len(times), bool), count)
    found = positions[first[: len(positions)]]
    more = draw_places(rng, size, count - len(found), np.sort(np.concatenate([taken, positions])))
    return np.sort(np.concatenate([found, more]))
