"""Round shares to whole numbers, by largest remainder, within bounds and with an exact total.

    apportion([2.5, 2.5, 4.0], 9, low=[0, 0, 0], high=[10, 10, 3])     # -> [3, 3, 3]

This is Hamilton's method of apportionment, with bounds.
"""
import numpy as np

DIGITS = 9  # remainders that agree to this many digits are ties: the rest is rounding error


def apportion(shares: np.ndarray, total: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return whole numbers near `shares` (p,) that sum to `total`, within [low, high]; the first of a tie gains.

    Shares that add up to `total` and keep the bounds are only rounded (Hamilton's method), so each number is within
    one of its share. Where a bound cuts one, the others grow or shrink in proportion to their shares; what no share
    takes is spread over the room that is left. `total` must be between the sums of the bounds.
    """
    real = fill(shares, total, low, high)
    whole = np.clip(np.floor(np.round(real, DIGITS)), low, high).astype(np.int64)
    rest = np.round(real - whole, DIGITS)
    rest[whole >= high] = -1  # a share cut by a bound has no remainder; this guards against rounding
    first = np.argsort(-rest, kind="stable")[: total - whole.sum()]
    whole[first] += 1
    return whole


def fill(shares: np.ndarray, total: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return real numbers in proportion to `shares` that sum to `total`, cut by the bounds low and high."""
    shares, low, high = (np.asarray(numbers, float) for numbers in (shares, low, high))
    real, free = np.clip(0.0, low, high), np.ones(len(shares), bool)
    while free.any():
        left, weight = total - real[~free].sum(), shares[free].sum()
        if weight <= 0:
            return _spread(np.clip(real, low, high), total, high)  # those without a share have at least their low
        real[free] = left * (shares[free] / weight)
        under, over = free & (real < low), free & (real > high)
        if not (under.any() or over.any()):
            return real
        cut = over if (real - high)[over].sum() >= (low - real)[under].sum() else under
        real[cut] = np.clip(real[cut], low[cut], high[cut])
        free &= ~cut
    return real


def _spread(real, total, high):
    """Spread what no share asks for over the room below the upper bounds, in proportion to it."""
    room = high - real
    return real + room * ((total - real.sum()) / room.sum()) if room.sum() else real
