"""Schedules: how far a gradual pruning has come. Functions of progress t in [0, 1] that give a share of the way.

    schedules.cubic(0.5)                                    # 0.875

Each is 1 at t = 1 and never falls, so masks nest and the last round ends at exactly the count that was asked for. A
schedule whose shape depends on the sparsity where it ends takes that as an argument of the name `sparsity`. What a
name, a list or a function means, and rounds of whole numbers, are in rounds.py.
"""
import math

from minnet.errors import InvalidValue

STEEPNESS = 4.0  # exponential: where it ends, the rate has fallen by e^4


def one_shot(t):
    """1: everything at once, in the first round."""
    return 1.0


def arithmetic(t):
    """t: equal counts a round, to within one, so what is left is an arithmetic progression."""
    return t


def geometric(t, sparsity):
    """(1 - d^t) / (1 - d), with d = 1 - sparsity: each round takes the same fraction of what is left (Han et al., 2015;
    Frankle and Carbin, 2019, appendix C). Raises InvalidValue for sparsity 1, where no fraction would do."""
    density = 1 - sparsity
    if density <= 0:
        raise InvalidValue("the schedule geometric takes the same fraction each round and never reaches sparsity 1: "
                           "take cubic, or a sparsity below 1")
    return t if density == 1 else (1 - density**t) / (1 - density)


def cubic(t):
    """1 - (1 - t)^3: fast while there is much to take (Zhu and Gupta, 2017, eq. 1)."""
    return 1 - (1 - t) ** 3


def cosine(t):
    """(1 - cos(pi t)) / 2: slow at both ends."""
    return (1 - math.cos(math.pi * t)) / 2


def exponential(t):
    """(1 - e^(-4 t)) / (1 - e^-4): the rate falls all the way."""
    return (1 - math.exp(-STEEPNESS * t)) / (1 - math.exp(-STEEPNESS))


SCHEDULES = {f.__name__: f for f in (one_shot, arithmetic, geometric, cubic, cosine, exponential)}
