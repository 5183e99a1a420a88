"""Schedules: how far a gradual pruning has come. Functions of progress t in [0, 1] that return a share of the way.

    schedules.cubic(0.5)                                    # 0.875

Each is 1 at t = 1 and never falls, so masks nest and the last round ends at exactly the count asked for. A schedule
whose shape depends on the final sparsity takes that as an argument named `sparsity`. What a name, a list or a function
means, and rounds of whole numbers, are in rounds.py.
"""
import math

from minnet.errors import InvalidValue

STEEPNESS = 4.0  # exponential: at its end, the rate has fallen by e^4


def one_shot(t: float) -> float:
    """Return 1: everything at once, in the first round.

    Parameters
    ----------
    t : float
        Progress, from 0 to 1.

    Returns
    -------
    float
        The share of the way, from 0 to 1.
    """
    return 1.0


def arithmetic(t: float) -> float:
    """Return t: equal counts in every round, to within one.

    What is left is an arithmetic progression.

    Parameters
    ----------
    t : float
        Progress, from 0 to 1.

    Returns
    -------
    float
        The share of the way, from 0 to 1.
    """
    return t


def geometric(t: float, sparsity: float) -> float:
    """Return (1 - d^t) / (1 - d), d = 1 - sparsity: each round removes the same fraction of what is left.

    Parameters
    ----------
    t : float
        Progress, from 0 to 1.
    sparsity : float
        The sparsity where the pruning ends.

    Returns
    -------
    float
        The share of the way, from 0 to 1.

    Raises
    ------
    InvalidValue
        For sparsity 1, which no fraction reaches.

    References
    ----------
    .. [1] Han et al., 2015, "Learning both weights and connections for efficient neural networks".
    .. [2] Frankle and Carbin, 2019, "The lottery ticket hypothesis", appendix C.
    """
    density = 1 - sparsity
    if density <= 0:
        raise InvalidValue("the schedule geometric removes the same fraction each round and never reaches sparsity 1: "
                           "take cubic, or a sparsity below 1")
    return t if density == 1 else (1 - density**t) / (1 - density)


def cubic(t: float) -> float:
    """Return 1 - (1 - t)^3: fast at first, slow at the end.

    Parameters
    ----------
    t : float
        Progress, from 0 to 1.

    Returns
    -------
    float
        The share of the way, from 0 to 1.

    References
    ----------
    .. [1] Zhu and Gupta, 2017, "To prune, or not to prune", eq. 1.
    """
    return 1 - (1 - t) ** 3


def cosine(t: float) -> float:
    """Return (1 - cos(pi t)) / 2: slow at both ends.

    Parameters
    ----------
    t : float
        Progress, from 0 to 1.

    Returns
    -------
    float
        The share of the way, from 0 to 1.
    """
    return (1 - math.cos(math.pi * t)) / 2


def exponential(t: float) -> float:
    """Return (1 - e^(-4 t)) / (1 - e^-4): a rate that falls exponentially.

    Parameters
    ----------
    t : float
        Progress, from 0 to 1.

    Returns
    -------
    float
        The share of the way, from 0 to 1.
    """
    return (1 - math.exp(-STEEPNESS * t)) / (1 - math.exp(-STEEPNESS))


SCHEDULES = {f.__name__: f for f in (one_shot, arithmetic, geometric, cubic, cosine, exponential)}
