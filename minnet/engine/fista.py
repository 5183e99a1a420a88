"""FISTA: proximal gradient steps from an extrapolated point, as a generator around the generator that trains.

`train` with SGD and a penalty is proximal gradient descent as it is: a step along the gradient, then the prox (ISTA).
On the whole data set, with a convex loss and convex penalties, this makes it reach the minimum far sooner:

    steps = train(model, data, optimizer=SGD(lr=0.5), batch_size=len(X), epochs=1000, penalty=L1(1e-3))
    for step in fista(steps):
        ...

lr must be at most 1 / L, with L the largest curvature of the loss and of the penalties' smooth parts.
"""
import math
from collections.abc import Iterable, Iterator

import numpy as np

from minnet.engine.state import Step
from minnet.kernels.steps import zero_masked


def fista(steps: Iterable[Step], *, restart: bool = True) -> Iterator[Step]:
    """Pass `steps` on; between two of them extrapolate the model, so that the next gradient is taken further on.

    y = x_k + (t_k - 1) / t_(k+1) (x_k - x_(k-1)), t_(k+1) = (1 + sqrt(1 + 4 t_k^2)) / 2, t_1 = 1 [1]_. At each yield,
    and in the end, the model holds x_k, with its exact zeros. Steps must be of the whole data set, one at a time; a run
    that is continued from a State begins with t = 1.

    Parameters
    ----------
    steps : iterable of Step
        What `train` yields, a step for each pass over the data.
    restart : bool
        Set t to 1 whenever a step reverses, <y - x_k, x_k - x_(k-1)> > 0 [2]_.

    Yields
    ------
    Step
        Every step of `steps`.

    References
    ----------
    .. [1] Beck and Teboulle (2009), "A fast iterative shrinkage-thresholding algorithm", with constant stepsize,
       eq. 4.1-4.3.
    .. [2] O'Donoghue and Candes (2015), "Adaptive restart for accelerated gradient schemes", eq. 13.
    """
    before = ahead = None
    t = 1.0
    for step in steps:
        yield step
        if step.progress >= 1:
            continue
        values = step.model.values[: step.model.n_trainable]
        now = values.copy()
        before = now if before is None else before
        if restart and ahead is not None and np.vdot(ahead - now, now - before) > 0:
            t = 1.0
        last, t = t, (1 + math.sqrt(1 + 4 * t**2)) / 2
        values += (last - 1) / t * (now - before)
        zero_masked(step.model.mask[: len(values)], values)
        before, ahead = now, values.copy()
