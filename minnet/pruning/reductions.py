"""Reductions: how the scores of a piece's weights become one.

Each is a function (scores (m,), starts (n,), sizes (n,)) -> (n,): piece i has scores[starts[i]:][:sizes[i]], and none
is empty. An own one has the same form.
"""
import numpy as np


def mean(scores, starts, sizes):
    """sum s / size."""
    return np.add.reduceat(scores, starts) / sizes


def sum_(scores, starts, sizes):
    """sum s."""
    return np.add.reduceat(scores, starts)


def abs_sum(scores, starts, sizes):
    """|sum s|."""
    return np.abs(np.add.reduceat(scores, starts))


def max_(scores, starts, sizes):
    """max s."""
    return np.maximum.reduceat(scores, starts)


def l1(scores, starts, sizes):
    """sum |s|."""
    return np.add.reduceat(np.abs(scores), starts)


def l2(scores, starts, sizes):
    """sqrt(sum s^2)."""
    return np.sqrt(np.add.reduceat(np.square(scores), starts))


def linf(scores, starts, sizes):
    """max |s|."""
    return np.maximum.reduceat(np.abs(scores), starts)


REDUCTIONS = {f.__name__.rstrip("_"): f for f in (mean, sum_, abs_sum, max_, l1, l2, linf)}
UNSIGNED = ("l1", "l2", "linf")  # these would take a strongly negative score for a high one
