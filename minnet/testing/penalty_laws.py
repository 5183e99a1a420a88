"""The laws of penalties: gradients against differences, proximal operators against competitors.

A law takes a penalty and a seed and returns what is wrong, with an example, or None.
"""
from collections.abc import Sequence

import numpy as np

from minnet.errors import InvalidValue, MinnetError, check_count, check_kind
from minnet.model import Model
from minnet.pruning.penalties.base import Penalty
from minnet.testing.broken import Law, broken, chosen, difference
from minnet.testing.small import NETS, make

STEP = 1e-5
EXAMPLES = 10
TINY = (-0.0, -1e-30, -1.4e-45)


def check_penalty(penalty: Penalty, *, laws: Sequence[str] | None = None, examples: int = EXAMPLES,
                  seed: int = 0) -> None:
    """Check the laws that every penalty keeps, on random weights of a small net.

    It is at least 0; its gradient is that of its smooth part, and adds to what is there; no weights that are tried
    are better than those of its proximal operator, ``prox(w) = argmin_v |v - w|^2 / 2 + lr rest(v)``; zeros are +0.0
    and NaN stays NaN; only weights that it lists are moved. A convex one is firmly non-expansive, and what it takes
    off is a subgradient (Moreau, 1965).

    Parameters
    ----------
    penalty : Penalty
        A penalty with its strength.
    laws : sequence of str, optional
        Names in PENALTY_LAWS. Default: all.
    examples : int
        How many random weights each law is tried with.
    seed : int
        The first seed of them.

    Raises
    ------
    LawBroken
        A law does not hold; the message names it and shows an example.
    InvalidType
        It is no Penalty, but a class or something else.
    InvalidValue
        It has a strength of 0 for all layers of the small nets.

    References
    ----------
    Moreau, 1965, Proximité et dualité dans un espace hilbertien.
    """
    check_kind("check_penalty", penalty, Penalty)
    check_count("examples", examples, 1)
    net = net_for(penalty)
    for law in chosen(laws, PENALTY_LAWS):
        for at in range(seed, seed + examples):
            if wrong := law(penalty, at):
                raise broken(f"the penalty {penalty!r}", law, f"the net {net} with seed {at}", wrong)


def net_for(penalty: Penalty) -> str:
    """Return the name of a small net that the penalty pulls at."""
    for net in ("dense", "normed", *NETS):
        try:
            if penalty.layers(make(net)):
                return net
        except MinnetError:  # it names a layer, or wants a kind, that this net does not have
            continue
    raise InvalidValue(f"{penalty!r} pulls at no layer of a small net: give it a strength above 0, for all layers")


def spaced_model(penalty: Penalty, seed: int) -> tuple[Model, np.random.Generator]:
    """Return a model of which no two values have the same size and none is near 0, and the generator behind it."""
    model, rng = make(net_for(penalty)), np.random.default_rng(seed)
    n = len(model.values)
    model.values[:] = rng.permutation(np.arange(1, n + 1)) / n * rng.choice([-3, 3], n)
    return model, rng


def plain_model(penalty: Penalty, seed: int, dtype: type = np.float64) -> tuple[Model, np.random.Generator]:
    """Return a model with small and large weights, zeros and equal ones, where the penalty pulls; others are 0."""
    model, rng = make(net_for(penalty), dtype=dtype), np.random.default_rng(seed)
    for p, _ in penalty.layers(model):
        p.value[...] = 0
    there = first(model, penalty)
    n = min(len(there), 20)
    there[:n] = np.clip(rng.normal(size=n) * rng.choice([0.0, 0.01, 1.0, 3.0], n), -3, 3)
    there[: n // 4] = there[n // 2 : n // 2 + n // 4]
    return model, rng


def rate(rng: np.random.Generator) -> float:
    """Return a learning rate from 0.01 to 5."""
    return float(np.exp(rng.uniform(np.log(0.01), np.log(5.0))))


def first(model: Model, penalty: Penalty) -> np.ndarray:
    """Return the vector of the first parameter that the penalty pulls at, a view."""
    return model.values[penalty.layers(model)[0][0].slice]


def outside(model: Model, penalty: Penalty) -> np.ndarray:
    """Return where the penalty does not pull: (n_values,), True there."""
    mask = np.ones(len(model.values), bool)
    for p, _ in penalty.layers(model):
        mask[p.slice] = False
    return mask


# --- the laws --------------------------------------------------------------------------------------------------------


def smooth_part_and_rest(penalty: Penalty, seed: int) -> str | None:
    """Be the sum of a smooth part and a rest, neither below 0."""
    model, _ = spaced_model(penalty, seed)
    smooth, rest, value = penalty.smooth(model), penalty.rest(model), penalty.value(model)
    if not (smooth >= 0 and rest >= 0 and value == smooth + rest):
        return f"smooth {smooth:.9g}, rest {rest:.9g}, value {value:.9g}"
    return None


def gradient_of_the_smooth_part(penalty: Penalty, seed: int) -> str | None:
    """Add the gradient of the smooth part to what is there, and nothing where it does not pull."""
    model, rng = spaced_model(penalty, seed)
    grads = np.ones(len(model.values))
    penalty.add_gradient(model, grads)
    away = outside(model, penalty)
    if (grads[away] != 1).any():
        return f"the gradient of value {np.flatnonzero(away & (grads != 1))[0]} changed, where it does not pull"
    along, values, there = rng.normal(size=len(grads)), [], model.values.copy()
    for sign in (1, -1):
        model.values[:] = there + sign * STEP * along
        values.append(penalty.smooth(model))
    numeric, exact = (values[0] - values[1]) / (2 * STEP), (grads - 1) @ along
    if abs(numeric - exact) > max(1e-7, 1e-6 * abs(numeric)):
        return f"the slope in a random direction is {exact:.9g} by the gradient, {numeric:.9g} by differences"
    return None


def prox_beats_others(penalty: Penalty, seed: int) -> str | None:
    """Move by prox to a point that no competitor near it, far from it or towards the start undercuts."""
    model, rng = plain_model(penalty, seed)
    start, lr = model.values.copy(), rate(rng)
    penalty.prox(model, lr)
    found = model.values.copy()

    def distance(v):
        model.values[:] = v
        return ((v - start) ** 2).sum() / 2 + lr * penalty.rest(model)

    least, active = distance(found), found != start
    for scale in (1e-4, 1e-2, 1.0):
        for rival in (found + scale * active * rng.normal(size=len(start)), found + scale * (start - found),
                      found * (1 - scale)):
            rival[model.n_trainable :] = start[model.n_trainable :]
            if not least <= distance(rival) + 1e-9:
                i = int(np.abs(rival - found).argmax())
                return (f"lr={lr:.4g}: {least:.9g} at the result, {distance(rival):.9g} at another point, whose weight "
                        f"{i} is {rival[i]:.6g} instead of {found[i]:.6g}, from {start[i]:.6g}")
    return None


def prox_is_firmly_non_expansive(penalty: Penalty, seed: int) -> str | None:
    """Move two points by prox so that ``|p - q|^2 <= <p - q, u - v>``, where convex."""
    if not penalty.convex:
        return None
    moved, starts = [], []
    for part in (seed, seed + 10**6):
        model, _ = plain_model(penalty, part)
        starts.append(model.values.copy())
        penalty.prox(model, 0.7)
        moved.append(model.values.copy())
    gap = moved[0] - moved[1]
    left, right = gap @ gap, gap @ (starts[0] - starts[1])
    return None if left <= right + 1e-9 else f"|p - q|^2 is {left:.9g}, <p - q, u - v> is {right:.9g}"


def what_prox_takes_off_is_a_subgradient(penalty: Penalty, seed: int) -> str | None:
    """Take off lr g by prox, with ``rest(v) >= rest(p) + <g, v - p>`` for all v, where convex."""
    if not penalty.convex:
        return None
    model, rng = plain_model(penalty, seed)
    start, lr = model.values.copy(), rate(rng)
    penalty.prox(model, lr)
    p, at = model.values.copy(), penalty.rest(model)
    steps = [scale * rng.normal(size=len(p)) for scale in (0.01, 1, 100)]
    for scale, step in zip((0.01, 1, 100, 1, 1), [*steps, start - p, -p], strict=True):
        model.values[:] = p + step
        bound = at + (start - p) @ (model.values - p) / lr
        if not penalty.rest(model) >= bound - 1e-8 * scale:
            return f"lr={lr:.4g}: rest is {penalty.rest(model):.9g} at a point where it is at least {bound:.9g}"
    return None


def zeros_are_plus_zero(penalty: Penalty, seed: int) -> str | None:
    """Write +0.0 where prox makes a zero, in both precisions."""
    for dtype in (np.float64, np.float32):
        model, _ = plain_model(penalty, seed, dtype)
        there = first(model, penalty)
        there[...] = -np.abs(there)
        moves = bool(penalty.rest(model))
        for tiny in TINY:
            there[:1] = tiny
            penalty.prox(model, 1.0)
            if moves and np.signbit(there[there == 0]).any():
                return f"weight {int((np.signbit(there) & (there == 0)).argmax())} is -0.0 in {np.dtype(dtype).name}"
    return None


def nan_stays_visible(penalty: Penalty, seed: int) -> str | None:
    """Leave NaN where a weight is NaN."""
    model, _ = plain_model(penalty, seed)
    first(model, penalty)[0] = np.nan
    penalty.prox(model, 0.1)
    found = first(model, penalty)[0]
    return None if np.isnan(found) else f"a weight that was NaN is {found:.6g} after prox"


def only_what_it_lists(penalty: Penalty, seed: int) -> str | None:
    """Move by prox no weight of a layer that it does not list."""
    model, _ = spaced_model(penalty, seed)
    before, away = model.values.copy(), outside(model, penalty)
    penalty.prox(model, 0.3)
    return difference(model.values[away], before[away])


PENALTY_LAWS: dict[str, Law] = {f.__name__: f for f in (
    smooth_part_and_rest, gradient_of_the_smooth_part, prox_beats_others, prox_is_firmly_non_expansive,
    what_prox_takes_off_is_a_subgradient, zeros_are_plus_zero, nan_stays_visible, only_what_it_lists)}
