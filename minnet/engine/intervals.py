"""Intervals of 95 %: Wilson's for shares, percentiles of the bootstrap over rows for whatever sums over rows give.

    wilson(95, 100)                                             # of an accuracy of 95 of 100 rows
    samples = bootstrap(table, lambda sums: {"mean": sums[1] / sums[0]})  # of ratios of sums over rows
    percentiles(samples["mean"])

A row drawn c times counts c times in a sum, so one product of a table of addends with the counts gives the sums of
every resample.
"""
import warnings
from collections.abc import Callable

import numpy as np

from minnet.blas import one_blas_thread

LEVEL = 0.95
RESAMPLES = 1000
CELLS = 2**21  # counts that are drawn at a time
SEED = 0


def wilson(successes: np.ndarray | int, n: np.ndarray | int) -> np.ndarray:
    """Return Wilson's score interval of the share `successes / n`: shape (..., 2), NaN where n is 0.

    It is the set of p that a score test with the standard error of p does not reject [1]_: for 0 < p < 1 it covers
    near 95 % even for few rows and shares near 0 or 1.

    References
    ----------
    .. [1] Wilson (1927), "Probable inference, the law of succession, and statistical inference"; Brown, Cai and
       DasGupta (2001), "Interval estimation for a binomial proportion", compare it with others.
    """
    from scipy.stats import binomtest

    successes, n = np.broadcast_arrays(successes, n)
    found = [binomtest(int(k), int(m)).proportion_ci(LEVEL, "wilson") if m else (np.nan, np.nan)
             for k, m in zip(successes.ravel(), n.ravel(), strict=True)]
    return np.array(found, float).reshape(*n.shape, 2)


def bootstrap(table, statistics: Callable[[np.ndarray], dict[str, np.ndarray]], *, resamples: int = RESAMPLES,
              seed: int = SEED) -> dict[str, np.ndarray]:
    """Return `statistics` of resamples of the rows, drawn with replacement.

    Parameters
    ----------
    table : numpy.ndarray or scipy.sparse array
        Shape (q, n): for each of n rows its addends to q sums.
    statistics : callable
        From sums (q, b), one column a resample, to {name: array (..., b)}.
    resamples : int
        How many are drawn. Each costs a walk over the rows.
    seed : int
        What they are drawn by: tables of equally many rows get the same resamples.

    Returns
    -------
    dict of str to numpy.ndarray
        Each of shape (..., resamples).

    References
    ----------
    Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    n, rng, found = table.shape[1], np.random.default_rng(seed), []
    step = max(1, CELLS // n)
    for start in range(0, resamples, step):
        counts = np.empty((min(step, resamples - start), n))
        for row in counts:
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
        with one_blas_thread():  # the product is small: threads would wait for one another
            sums = table @ counts.T
        found.append(statistics(sums))
    return {name: np.concatenate([part[name] for part in found], axis=-1) for name in found[0]}


def percentiles(samples: np.ndarray) -> np.ndarray:
    """Return the interval (..., 2) between the outer percentiles of samples (..., b); NaN samples are left out."""
    tail = (1 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all are NaN: so is the interval
        return np.moveaxis(np.nanquantile(samples, [tail, 1 - tail], axis=-1), 0, -1)
