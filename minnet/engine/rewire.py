"""Positions of live weights: drawn at random, and moved together with everything in the weights' index space.

    positions = draw_places(rng, size=784_000, count=100, taken=parameter.index)
    model.rewire(parameter, drop, positions, state=step.state)

A position is an index in the flattened dense weight, of which a parameter born sparse has a sorted list.
"""
import math

import numpy as np

from minnet.errors import InvalidType, InvalidValue, Unsupported, quoted
from minnet.kernels.select import MAY_GO, select_lowest
from minnet.kernels.sparse.topology import (
    LIVE_ALREADY,
    NOT_LIVE,
    free_positions,
    keep_positions,
    merge_moves,
    merge_ranks,
    permute,
)

MOST_SHORT, SHIFT = 2**32, 16  # numbers below the first have 32 bits; bits that are drawn beyond those needed
SPREAD = 3  # standard deviations that are drawn beyond the expected number, so that one draw mostly suffices


def rewire(model, parameter, drop, grow, state=None):
    """Do what `Model.rewire` does, except to count the topology."""
    _check(model, parameter, state)
    index = parameter.index
    drop, grow = _sorted("drop", drop, parameter), _sorted("grow", grow, parameter)
    if len(drop) != len(grow):
        raise InvalidValue(f"drop and grow name {len(drop):,} and {len(grow):,} positions of {parameter.name}: the "
                           "count of its weights stays, so give as many of both")
    moved, source, fault = np.empty_like(index), np.empty(len(index), np.int32), np.zeros(1, np.int64)
    merge_moves(index, drop, grow, moved, source, fault)
    if fault[0] == NOT_LIVE:
        raise InvalidValue(f"drop names positions of {parameter.name} that are not live: choose from its index")
    if fault[0] == LIVE_ALREADY:
        raise InvalidValue(f"grow names positions of {parameter.name} that are live already: choose others")
    index[:] = moved
    _permute_all(parameter, source, model.values, *(() if state is None else state.aligned_vectors()))


def renew(state, parameter, removed, rng):
    """Remove the weights of a parameter born sparse that `removed` (n,) marks; add as many at random positions.

    All positions that are free then are equally likely, those just removed too. As `rewire`, but what is drawn here
    needs no check; several parameters may be renewed at once, and the caller counts the topology when all are.
    """
    index, count = parameter.index, np.count_nonzero(removed)
    ranks = draw_ranks(rng, parameter.size - len(index) + count, count)
    kept, numbers, left = np.empty_like(index), np.empty(len(index), np.int32), len(index) - count
    keep_positions(index, removed, kept, numbers)
    source = np.empty_like(numbers)
    merge_ranks(kept[:left], numbers[:left], ranks, index, source)
    del kept, numbers, ranks  # what is rearranged takes memory too
    _permute_all(parameter, source, state.model.values, *state.aligned_vectors())


def _permute_all(parameter, source, *vectors):
    """Rearrange all that is about the parameter's weights: entry k comes from source[k]."""
    for window in map(parameter.of, vectors):
        permute(source, window.copy(), window.dtype.type(0), window)
    if not parameter.mask.all():
        permute(source, parameter.mask.copy(), True, parameter.mask)


def _check(model, parameter, state):
    """Refuse a parameter that is not this model's, or dense, and a State that is not of this model as it stands."""
    if parameter is None or model.parameters.get(getattr(parameter, "name", None)) is not parameter:
        raise InvalidType(f"rewire takes a Parameter of this model, got {quoted(repr(parameter))}: one of "
                          "model.parameters")
    if parameter.index is None:
        raise Unsupported(f"{parameter.name} is dense, and its live weights are those of the mask: use set_mask")
    if state is not None and (state.model is not model or state.topology != model.topology):
        raise InvalidValue("the State is of another model, or from before its live positions moved: give the State of "
                           "the last Step")


def _sorted(name, places, parameter):
    """Return flat positions, sorted; raise if one is outside the parameter or occurs twice."""
    places = np.asarray(places)
    if places.ndim != 1 or (places.dtype.kind not in "iu" and len(places)):
        raise InvalidType(f"{name} takes flat positions, a list of whole numbers, and got {places.dtype} of shape "
                          f"{places.shape}")
    places = places.astype(np.int64)
    if (places[1:] <= places[:-1]).any():
        places.sort()
    if len(places) and (places[0] < 0 or places[-1] >= parameter.size):
        wrong = places[0] if places[0] < 0 else places[-1]
        raise InvalidValue(f"{name} has the position {wrong:,}, outside {parameter.name}: give 0 to "
                           f"{parameter.size - 1:,}")
    twice = np.flatnonzero(places[1:] == places[:-1])
    if len(twice):
        raise InvalidValue(f"{name} has the position {places[twice[0]]:,} of {parameter.name} twice: give each once")
    return places


def draw_places(rng, size, count, taken=None):
    """Draw `count` different positions below `size`, none of them in `taken`, all equally likely: sorted int64.

    `taken` is sorted. Memory is proportional to `count` and `taken`, not to `size`. Raises InvalidValue where too few
    are free.
    """
    taken = np.zeros(0, np.int64) if taken is None else taken
    free = size - len(taken)
    if count > free:
        raise InvalidValue(f"{count:,} places are wanted, but only {free:,} of {size:,} are free: take fewer")
    places = np.empty(count, np.int64)
    free_positions(draw_ranks(rng, free, count), taken, places)
    return places


def draw_ranks(rng, size, count):
    """Draw `count` different numbers below `size`, all equally likely: sorted int64."""
    if 2 * count <= size:
        return _draw(rng, size, count)
    return np.delete(np.arange(size), _draw(rng, size, size - count))


def _draw(rng, size, count):
    """Draw as `draw_ranks` for at most half of the numbers.

    Draw with replacement until `count` different values are found, then drop the surplus uniformly at random.
    """
    found = np.zeros(0, np.int64)
    while len(found) < count:
        missing = count - len(found)
        likely = -math.log1p(-missing / (size - len(found))) * size  # draws with `missing` new values, on average
        drawn = _numbers(rng, size, int(likely + SPREAD * math.sqrt(likely)) + 1)
        found = np.sort(np.concatenate([found.astype(drawn.dtype), drawn]) if len(found) else drawn)
        found = found[np.append(True, found[1:] > found[:-1])]
    kept = np.ones(len(found), bool)
    kept[rng.choice(len(found), len(found) - count, replace=False)] = False
    return found[kept].astype(np.int64)


def _numbers(rng, size, count):
    """Draw `count` numbers below `size`, equally likely: uint32 where that is enough, which sorts in half the time.

    They are the upper bits of numbers below size * 2**SHIFT, since NumPy draws in half the time beyond 32 bits.
    """
    if size > MOST_SHORT:
        return rng.integers(size, size=count)
    return (rng.integers(size << SHIFT, size=count) >> SHIFT).astype(np.uint32)


def highest_places(blocks, count):
    """Return the `count` positions with the highest scores, the lowest where they are equal: sorted int64.

    `blocks` gives (place of the first, scores (n,)) in the order of places; a score below 0 is out of the question.
    Memory goes with `count` and the longest block.
    """
    places, scores, least = np.zeros(0, np.int64), None, -1.0
    for first, block in blocks:
        found = np.flatnonzero(block > least)
        scores = block[found] if scores is None else np.concatenate([scores, block[found]])
        places = np.concatenate([places, first + found])
        if len(places) > 2 * count:
            places, scores = _highest(places, scores, count)
            least = scores.min(initial=np.inf)
    return _highest(places, scores, count)[0]


def _highest(places, scores, count):
    """Return those of `places` with the `count` highest scores, the first where they are equal, and the scores."""
    kept = np.empty(len(scores), bool)
    select_lowest(-scores, np.full(len(scores), MAY_GO, np.uint8), min(count, len(scores)), kept)
    return places[kept], scores[kept]


def among(places, taken):
    """Return whether each of `places` is in `taken`, which is sorted."""
    if not len(taken):
        return np.zeros(len(places), bool)
    at = np.searchsorted(taken, places)
    return taken[np.minimum(at, len(taken) - 1)] == places
