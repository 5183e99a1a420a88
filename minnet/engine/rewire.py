"""Places of live weights: drawn at random, and moved while everything of the weights' index space comes along.

    places = draw_places(rng, size=784_000, count=100, taken=parameter.index)
    model.rewire(parameter, drop, places, state=step.state)
"""
import numpy as np

from minnet.errors import InvalidType, InvalidValue, Unsupported, shown

MARGIN, FEW = 1.1, 16  # some places come twice: so many times as many are drawn, and a few more


def rewire(model, parameter, drop, grow, state=None):
    """What `Model.rewire` does, but for the count of the topology."""
    _check(model, parameter, state)
    index = parameter.index
    drop, grow = _sorted("drop", drop, parameter), _sorted("grow", grow, parameter)
    if len(drop) != len(grow):
        raise InvalidValue(f"{len(drop):,} weights of {parameter.name} are to go and {len(grow):,} to come: the count "
                           "stays, so give as many of both")
    kept = ~among(index, drop)
    if np.count_nonzero(kept) != len(index) - len(drop):
        raise InvalidValue(f"drop names positions of {parameter.name} that are not live: choose from its index")
    if among(grow, index[kept]).any():
        raise InvalidValue(f"grow names positions of {parameter.name} that are live already: choose others")
    new = np.zeros(len(index), bool)
    new[np.searchsorted(index[kept], grow) + np.arange(len(grow))] = True
    vectors = [model.values, *(() if state is None else state.vectors)]
    for window, fill in [*[(parameter.of(vector), 0) for vector in vectors], (parameter.mask, True), (index, grow)]:
        window[~new] = window[kept]
        window[new] = fill


def _check(model, parameter, state):
    """Refuse a parameter that is not this model's, or dense, and a State that is not of this model as it stands."""
    if model.parameters.get(getattr(parameter, "name", None)) is not parameter:
        raise InvalidType(f"rewire takes a Parameter of this model, got {shown(repr(parameter))}: one of "
                          "model.parameters")
    if parameter.index is None:
        raise Unsupported(f"{parameter.name} is dense, and its live weights are those of the mask: use set_mask")
    if state is not None and (state.model is not model or state.topology != model.topology):
        raise InvalidValue("the State is of another model, or from before its live positions moved: give the State of "
                           "the last Step")


def _sorted(name, places, parameter):
    """Flat positions, sorted; raises where one is outside the parameter or comes twice."""
    places = np.asarray(places)
    if places.ndim != 1 or (places.dtype.kind not in "iu" and len(places)):
        raise InvalidType(f"{name} is a list of flat positions, whole numbers, got {places.dtype} of shape "
                          f"{places.shape}")
    places = np.sort(places.astype(np.int64))
    if len(places) and (places[0] < 0 or places[-1] >= parameter.size or (places[1:] == places[:-1]).any()):
        raise InvalidValue(f"{name} has a position outside {parameter.name} (0 to {parameter.size - 1:,}), or one "
                           "twice")
    return places


def draw_places(rng, size, count, taken=None):
    """`count` different places below `size`, none of them in `taken` (sorted), all equally likely: sorted int64.

    Memory goes with `count` and `taken`, not with `size`. Raises InvalidValue where too few are free.
    """
    taken = np.zeros(0, np.int64) if taken is None else taken
    free = size - len(taken)
    if count > free:
        raise InvalidValue(f"{count:,} places are wanted, but only {free:,} of {size:,} are free: take fewer")
    if 2 * count > free:  # the rest is drawn; so few are free that they can be listed
        open_places = np.delete(np.arange(size), taken)
        return np.delete(open_places, draw_places(rng, free, free - count)) if count < free else open_places
    found = np.zeros(0, np.int64)
    while len(found) < count:
        more = np.unique(rng.integers(size, size=int((count - len(found)) * size / free * MARGIN) + FEW))
        found = np.union1d(found, more[~among(more, taken)])
    surplus = rng.choice(len(found), len(found) - count, replace=False)
    return np.delete(found, surplus)


def among(places, taken):
    """Whether each of `places` is in `taken`, which is sorted."""
    if not len(taken):
        return np.zeros(len(places), bool)
    at = np.searchsorted(taken, places)
    return taken[np.minimum(at, len(taken) - 1)] == places
