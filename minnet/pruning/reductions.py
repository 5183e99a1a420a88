"""Reductions: how the scores of a piece's weights become one score.

Each is a function (scores (m,), starts (n,), sizes (n,)) -> (n,): piece i has scores[starts[i]:][:sizes[i]], and none
is empty. One of your own has the same form.
"""
import numpy as np


def mean(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return sum s / size, the mean score.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.add.reduceat(scores, starts) / sizes


def sum_(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return sum s, the sum of the scores.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.add.reduceat(scores, starts)


def abs_sum(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return ``|sum s|``, the absolute value of the sum.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.abs(np.add.reduceat(scores, starts))


def max_(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return max s, the largest score.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.maximum.reduceat(scores, starts)


def l1(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return sum ``|s|``, the sum of absolute scores.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.add.reduceat(np.abs(scores), starts)


def l2(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return sqrt(sum s^2), the Euclidean norm of the scores.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.sqrt(np.add.reduceat(np.square(scores), starts))


def linf(scores: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return max ``|s|``, the largest absolute score.

    Parameters
    ----------
    scores : (m,) array
        Scores of weights, piece by piece.
    starts, sizes : (n,) arrays of int
        Where each piece begins in `scores`, and how many weights it has.

    Returns
    -------
    (n,) array
        One score for each piece.
    """
    return np.maximum.reduceat(np.abs(scores), starts)


REDUCTIONS = {f.__name__.rstrip("_"): f for f in (mean, sum_, abs_sum, max_, l1, l2, linf)}
UNSIGNED = ("l1", "l2", "linf")  # these would take a strongly negative score for a high one
