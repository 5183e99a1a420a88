"""Penalties concave in ``|w|``: they set small weights to exactly 0 as L1 does, and pull at large ones less or not.

So the remaining weights keep their size; the price is that there may be many minima. For each, `each` is the penalty
of one size v = ``|w|``, and `candidates` are the points v > 0 where the prox may be: it takes the best of them and of
0, so it is right for every lr and strength, and takes 0 where two are equally good.
"""
from collections.abc import Iterable

import numpy as np

from minnet.errors import InvalidValue, Unsupported, check_positive
from minnet.pruning.penalties.base import Penalty, Strength


class Concave(Penalty):
    """Penalise each weight by a concave function of its size: base of the others.

    A sum over weights of a function of ``|w|`` that rises ever more slowly; none of it is smooth. A subclass writes
    `each` and `candidates`.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    """

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Compute the penalty of every size v (size,), float64; 0 for 0."""
        raise Unsupported(f"{type(self).__name__} has no each(): write one that returns the penalty of sizes")

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return arrays (size,), not negative: they or 0 hold the u of least (u - v)^2 / 2 + lr * each(u)."""
        raise Unsupported(f"{type(self).__name__} has no candidates(): write one that returns where its prox may be")

    def rest_of(self, w: np.ndarray, strength: float) -> float:
        """Compute ``sum of each(|w|)``, in float64."""
        return self.each(np.abs(w, dtype=np.float64), strength).sum()

    def prox_of(self, w: np.ndarray, strength: float, lr: float) -> None:
        """Set w to sign(w) times the best of 0 and the candidates, with +0.0 for zero; NaN stays NaN."""
        v = np.abs(w, dtype=np.float64)
        best, least = np.where(np.isnan(v), v, 0.0), v**2 / 2
        for u in self.candidates(v, strength, lr):
            cost = (u - v) ** 2 / 2 + lr * self.each(u, strength)
            better = cost < least
            best[better], least[better] = u[better], cost[better]
        w[:] = np.copysign(best, w)
        w += 0.0  # -0.0 becomes +0.0


class L0(Concave):
    """Penalise the number of weights that are not 0.

    ``strength * (number of weights that are not 0)``; its prox is the hard threshold: ``|w| <= sqrt(2 lr strength)``
    becomes 0, the rest stays.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.

    References
    ----------
    - Donoho and Johnstone, 1994.
    - Blumensath and Davies, 2008, eq. 2.2.
    """

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Return `strength` where v is not 0, else 0."""
        return strength * (v != 0)

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return v itself."""
        return [v]


class LHalf(Concave):
    """Penalise the square roots of the sizes.

    ``strength * sum of sqrt(|w|)``; its prox is the half threshold.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.

    References
    ----------
    Xu et al., 2012, "L1/2 regularization", eq. 9-11.
    """

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Compute strength * sqrt(v)."""
        return strength * np.sqrt(v)

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return 2/3 v (1 + cos(2/3 pi - 2/3 phi)), cos phi = lr strength / 4 * (v / 3)^(-3/2) where phi exists."""
        with np.errstate(divide="ignore", over="ignore"):
            cosine = np.minimum(lr * strength / 4 * (v / 3) ** -1.5, 1)
        return [2 / 3 * v * (1 + np.cos(2 / 3 * (np.pi - np.arccos(cosine))))]


class LogSum(Concave):
    """Penalise the logarithms of the sizes.

    ``strength * sum of log(1 + |w| / epsilon)``, the log-sum penalty less its value at 0. The closer `epsilon` to 0,
    the more like L0.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    epsilon : float, default 0.1
        The size below which it is nearly linear, above 0.

    Raises
    ------
    InvalidValue
        If `epsilon` is not above 0.

    References
    ----------
    Candes, Wakin and Boyd, 2008, section 2.2.
    """

    def __init__(self, strength: Strength, epsilon: float = 0.1):
        super().__init__(strength)
        self.epsilon = check_positive("epsilon", epsilon)

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Compute strength * log(1 + v / epsilon)."""
        return strength * np.log1p(v / self.epsilon)

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return the larger root of (u - v) (u + epsilon) + lr * strength = 0."""
        root = np.sqrt(np.maximum((v + self.epsilon) ** 2 - 4 * lr * strength, 0))
        return [np.maximum((v - self.epsilon + root) / 2, 0)]


class TransformedL1(Concave):
    """Penalise saturating sizes, between L0 and L1.

    ``strength * sum of (a + 1) |w| / (a + |w|)``: L0 as a approaches 0, L1 as it approaches infinity.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    a : float, default 1.0
        Above 0.

    Raises
    ------
    InvalidValue
        If `a` is not above 0.

    References
    ----------
    - Nikolova, 2000.
    - Zhang and Xin, 2018, eq. 1.2.
    """

    def __init__(self, strength: Strength, a: float = 1.0):
        super().__init__(strength)
        self.a = check_positive("a", a)

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Compute strength * (a + 1) v / (a + v)."""
        return strength * (self.a + 1) * v / (self.a + v)

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return the largest root of (u - v) (a + u)^2 + lr strength a (a + 1) = 0.

        As a cosine (Zhang and Xin, 2017, theorem 3.1).
        """
        s = self.a + v
        cosine = 1 - 27 / 2 * lr * strength * self.a * (self.a + 1) / s**3
        root = s / 3 * (1 + 2 * np.cos(np.arccos(np.maximum(cosine, -1)) / 3))
        return [np.maximum(root - self.a, 0)]


class MCP(Concave):
    """Penalise by the minimax concave penalty.

    ``lambda |w| - w^2 / (2 gamma)`` up to ``|w| = gamma lambda``, and constant from there, with lambda = strength.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    gamma : float, default 3.0
        Where it becomes constant, in units of strength; above 0.

    Raises
    ------
    InvalidValue
        If `gamma` is not above 0.

    References
    ----------
    Zhang, 2010, eq. 2.1.
    """

    def __init__(self, strength: Strength, gamma: float = 3.0):
        super().__init__(strength)
        self.gamma = check_positive("gamma", gamma)

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Compute strength v - v^2 / (2 gamma), v at most gamma * strength."""
        v = np.minimum(v, self.gamma * strength)
        return strength * v - v**2 / (2 * self.gamma)

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return (v - lr lambda) / (1 - lr / gamma) on the curve if the prox is convex there, and v beyond."""
        end = self.gamma * strength
        if lr < self.gamma:
            yield np.clip((v - lr * strength) / (1 - lr / self.gamma), 0, end)
        yield np.maximum(v, end)


class SCAD(Concave):
    """Penalise by the smoothly clipped absolute deviation.

    ``lambda |w|`` up to lambda = strength; then ``(2 a lambda |w| - w^2 - lambda^2) / (2 (a - 1))`` up to a lambda;
    constant from there.

    Parameters
    ----------
    strength : float or dict
        The factor, for all layers or for each.
    a : float, default 3.7
        Where it becomes constant, in units of strength; above 1. The paper recommends 3.7.

    Raises
    ------
    InvalidValue
        If `a` is not above 1.

    References
    ----------
    Fan and Li, 2001, eq. 2.7.
    """

    def __init__(self, strength: Strength, a: float = 3.7):
        super().__init__(strength)
        self.a = check_positive("a", a)
        if self.a <= 1:
            raise InvalidValue(f"a={a}: SCAD bends between strength and a * strength: give a above 1, such as 3.7")

    def each(self, v: np.ndarray, strength: float) -> np.ndarray:
        """Compute the three pieces: the integral from 0 to v of min(lambda, max(a lambda - u, 0) / (a - 1))."""
        inner = np.minimum(v, strength)
        bend = np.clip(v, strength, self.a * strength)
        left = self.a * strength - bend
        return strength * inner + (bend - strength) * ((self.a - 1) * strength + left) / (2 * (self.a - 1))

    def candidates(self, v: np.ndarray, strength: float, lr: float) -> Iterable[np.ndarray]:
        """Return v - lr lambda below lambda, the curve's minimum if convex there, and v beyond.

        On the curve it is ((a - 1) v - lr a lambda) / (a - 1 - lr).
        """
        yield np.clip(v - lr * strength, 0, strength)
        if lr < self.a - 1:
            bend = ((self.a - 1) * v - lr * self.a * strength) / (self.a - 1 - lr)
            yield np.clip(bend, strength, self.a * strength)
        yield np.maximum(v, self.a * strength)


PENALTIES = {"l0": L0, "l_half": LHalf, "log_sum": LogSum, "transformed_l1": TransformedL1, "mcp": MCP, "scad": SCAD}
