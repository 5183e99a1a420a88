"""Concave in |w|: they take small weights to exactly 0 as L1 does, and pull at large ones less, or not at all.

So what stays keeps its size; the price is that there may be many minima. For each, `each` is the penalty of one size
v = |w|, and `candidates` are the places where v > 0 may be nearest: the prox takes the best of them and of 0, so it is
right for every lr and strength, and takes 0 where two are equally good.
"""

import numpy as np

from minnet.errors import InvalidValue, Unsupported, check_positive
from minnet.pruning.penalties.base import Penalty


class Concave(Penalty):
    """Base of these: a sum over weights of a function of |w| that rises ever more slowly; none of it is smooth."""

    def each(self, v, strength):
        """The penalty of every size v (size,), float64; 0 for 0."""
        raise Unsupported(f"{type(self).__name__} does not say what a size costs: write each()")

    def candidates(self, v, strength, lr):
        """Arrays (size,), not negative, among which and 0 the u of least (u - v)^2 / 2 + lr * each(u) is found."""
        raise Unsupported(f"{type(self).__name__} does not say where its prox may end: write candidates()")

    def rest_of(self, w, strength):
        """sum of each(|w|), in float64."""
        return self.each(np.abs(w, dtype=np.float64), strength).sum()

    def prox_of(self, w, strength, lr):
        """sign(w) times the best of 0 and the candidates, with +0.0 for zero; NaN stays NaN."""
        v = np.abs(w, dtype=np.float64)
        best, least = np.where(np.isnan(v), v, 0.0), v**2 / 2
        for u in self.candidates(v, strength, lr):
            cost = (u - v) ** 2 / 2 + lr * self.each(u, strength)
            better = cost < least
            best[better], least[better] = u[better], cost[better]
        w[:] = np.copysign(best, w)
        w += 0.0  # -0.0 becomes +0.0


class L0(Concave):
    """strength * how many weights are not 0; its prox is the hard threshold (Donoho and Johnstone, 1994; Blumensath and
    Davies, 2008, eq. 2.2): |w| <= sqrt(2 lr strength) goes to 0, the rest stays."""

    def each(self, v, strength):
        """strength where v is not 0."""
        return strength * (v != 0)

    def candidates(self, v, strength, lr):
        """v itself."""
        return [v]


class LHalf(Concave):
    """strength * sum of sqrt(|w|) (Xu et al., 2012, "L1/2 regularization", eq. 9-11: the half threshold)."""

    def each(self, v, strength):
        """strength * sqrt(v)."""
        return strength * np.sqrt(v)

    def candidates(self, v, strength, lr):
        """2/3 v (1 + cos(2/3 pi - 2/3 phi)), cos phi = lr strength / 4 * (v / 3)^(-3/2), where there is such a phi."""
        with np.errstate(divide="ignore", over="ignore"):
            cosine = np.minimum(lr * strength / 4 * (v / 3) ** -1.5, 1)
        return [2 / 3 * v * (1 + np.cos(2 / 3 * (np.pi - np.arccos(cosine))))]


class LogSum(Concave):
    """strength * sum of log(1 + |w| / epsilon) (Candes, Wakin and Boyd, 2008, section 2.2, less its value at 0). The
    closer `epsilon` to 0, the more like L0."""

    def __init__(self, strength, epsilon=0.1):
        super().__init__(strength)
        self.epsilon = check_positive("epsilon", epsilon)

    def each(self, v, strength):
        """strength * log(1 + v / epsilon)."""
        return strength * np.log1p(v / self.epsilon)

    def candidates(self, v, strength, lr):
        """The larger root of (u - v) (u + epsilon) + lr * strength = 0."""
        root = np.sqrt(np.maximum((v + self.epsilon) ** 2 - 4 * lr * strength, 0))
        return [np.maximum((v - self.epsilon + root) / 2, 0)]


class TransformedL1(Concave):
    """strength * sum of (a + 1) |w| / (a + |w|) (Nikolova, 2000; Zhang and Xin, 2018, eq. 1.2): between L0 (a to 0) and
    L1 (a to infinity)."""

    def __init__(self, strength, a=1.0):
        super().__init__(strength)
        self.a = check_positive("a", a)

    def each(self, v, strength):
        """strength * (a + 1) v / (a + v)."""
        return strength * (self.a + 1) * v / (self.a + v)

    def candidates(self, v, strength, lr):
        """The largest root of (u - v) (a + u)^2 + lr strength a (a + 1) = 0, as a cosine (Zhang and Xin, 2017, theorem
        3.1)."""
        s = self.a + v
        cosine = 1 - 27 / 2 * lr * strength * self.a * (self.a + 1) / s**3
        root = s / 3 * (1 + 2 * np.cos(np.arccos(np.maximum(cosine, -1)) / 3))
        return [np.maximum(root - self.a, 0)]


class MCP(Concave):
    """The minimax concave penalty: lambda |w| - w^2 / (2 gamma) up to |w| = gamma lambda, and constant from there, with
    lambda = strength (Zhang, 2010, eq. 2.1)."""

    def __init__(self, strength, gamma=3.0):
        super().__init__(strength)
        self.gamma = check_positive("gamma", gamma)

    def each(self, v, strength):
        """strength v - v^2 / (2 gamma), v at most gamma * strength."""
        v = np.minimum(v, self.gamma * strength)
        return strength * v - v**2 / (2 * self.gamma)

    def candidates(self, v, strength, lr):
        """(v - lr lambda) / (1 - lr / gamma) in the bend if it is convex there, and v beyond."""
        end = self.gamma * strength
        if lr < self.gamma:
            yield np.clip((v - lr * strength) / (1 - lr / self.gamma), 0, end)
        yield np.maximum(v, end)


class SCAD(Concave):
    """Smoothly clipped absolute deviation: lambda |w| up to lambda = strength; then (2 a lambda |w| - w^2 - lambda^2) /
    (2 (a - 1)) up to a lambda; constant from there (Fan and Li, 2001, eq. 2.7; they recommend a = 3.7)."""

    def __init__(self, strength, a=3.7):
        super().__init__(strength)
        self.a = check_positive("a", a)
        if self.a <= 1:
            raise InvalidValue(f"a={a}: SCAD bends between strength and a * strength: give a above 1, such as 3.7")

    def each(self, v, strength):
        """The three pieces: the integral from 0 to v of min(lambda, max(a lambda - u, 0) / (a - 1))."""
        inner = np.minimum(v, strength)
        bend = np.clip(v, strength, self.a * strength)
        left = self.a * strength - bend
        return strength * inner + (bend - strength) * ((self.a - 1) * strength + left) / (2 * (self.a - 1))

    def candidates(self, v, strength, lr):
        """v - lr lambda below lambda; ((a - 1) v - lr a lambda) / (a - 1 - lr) in the bend if it is convex there; v
        beyond."""
        yield np.clip(v - lr * strength, 0, strength)
        if lr < self.a - 1:
            bend = ((self.a - 1) * v - lr * self.a * strength) / (self.a - 1 - lr)
            yield np.clip(bend, strength, self.a * strength)
        yield np.maximum(v, self.a * strength)


PENALTIES = {"l0": L0, "l_half": LHalf, "log_sum": LogSum, "transformed_l1": TransformedL1, "mcp": MCP, "scad": SCAD}
