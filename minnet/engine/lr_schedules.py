"""Learning rates over time: functions of progress t in [0, 1] (the share of all steps done) that give a factor."""
import math


def constant(t):
    """1."""
    return 1.0


def stepped(t, at=(0.5, 0.75), factor=0.1):
    """`factor` to the power of how many of the marks `at` are passed."""
    return factor ** sum(t >= mark for mark in at)


def cosine(t):
    """(1 + cos(pi t)) / 2: from 1 to 0 (Loshchilov and Hutter, 2017, eq. 5, one cycle)."""
    return (1 + math.cos(math.pi * t)) / 2


def exponential(t, end=0.01):
    """`end` to the power t: from 1 to `end`, by the same factor in each step."""
    return end**t


def warmup(t, share=0.1, start=0.1, after=cosine):
    """From `start` up to 1 in a straight line over the first `share` of the steps, then `after` over the rest
    (Goyal et al., 2017, section 2.2)."""
    return start + (1 - start) * t / share if t < share else after((t - share) / (1 - share))


LR_SCHEDULES = {f.__name__: f for f in (constant, stepped, exponential, cosine, warmup)}
