"""Learning rates over time: functions of progress t in [0, 1] (the share of all steps done) that give a factor."""
import math

from minnet.typing import Schedule


def constant(t: float) -> float:
    """Return 1.

    Parameters
    ----------
    t : float
        Progress in [0, 1].

    Returns
    -------
    float
        The factor of the learning rate.
    """
    return 1.0


def stepped(t: float, at: tuple[float, ...] = (0.5, 0.75), factor: float = 0.1) -> float:
    """Return `factor` to the power of how many of the marks `at` are passed.

    Parameters
    ----------
    t : float
        Progress in [0, 1].
    at : tuple of float
        The marks, in [0, 1].
    factor : float
        What the rate is multiplied by at each mark.

    Returns
    -------
    float
        The factor of the learning rate.
    """
    return factor ** sum(t >= mark for mark in at)


def cosine(t: float) -> float:
    """Return (1 + cos(pi t)) / 2: from 1 down to 0.

    Parameters
    ----------
    t : float
        Progress in [0, 1].

    Returns
    -------
    float
        The factor of the learning rate.

    References
    ----------
    Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", eq. 5, one cycle.
    """
    return (1 + math.cos(math.pi * t)) / 2


def exponential(t: float, end: float = 0.01) -> float:
    """Return `end` to the power t: from 1 down to `end`, by the same factor in each step.

    Parameters
    ----------
    t : float
        Progress in [0, 1].
    end : float
        The factor at t = 1.

    Returns
    -------
    float
        The factor of the learning rate.
    """
    return end**t


def warmup(t: float, share: float = 0.1, start: float = 0.1, after: Schedule = cosine) -> float:
    """Return a factor that rises linearly from `start` to 1 over the first `share` of the steps, then follows `after`.

    Parameters
    ----------
    t : float
        Progress in [0, 1].
    share : float
        Share of the steps in which the rate rises.
    start : float
        The factor at t = 0.
    after : callable
        A schedule for the rest of the steps, which sees progress in [0, 1] again.

    Returns
    -------
    float
        The factor of the learning rate.

    References
    ----------
    Goyal et al. (2017), "Accurate, large minibatch SGD", section 2.2.
    """
    return start + (1 - start) * t / share if t < share else after((t - share) / (1 - share))


LR_SCHEDULES = {f.__name__: f for f in (constant, stepped, exponential, cosine, warmup)}
