"""FISTA: proximal gradient steps from a point ahead. A generator around the generator that trains.

`train` with SGD and a penalty is proximal gradient descent as it is: a step along the gradient, then the prox (ISTA).
On the whole data set, with a convex loss and convex penalties, this makes it reach the minimum far sooner:

    steps = train(model, data, optimizer=SGD(lr=0.5), batch_size=len(X), epochs=1000, penalty=L1(1e-3))
    for step in fista(steps):
        ...

lr must be at most 1 / L, with L the largest curvature of the loss and of the penalties' smooth parts.
"""
import math

import numpy as np

from minnet.kernels.steps import zero_masked


def fista(steps, *, restart=True):
    """Pass `steps` on; between two of them move the model ahead:

        y = x_k + (t_k - 1) / t_(k+1) (x_k - x_(k-1)), t_(k+1) = (1 + sqrt(1 + 4 t_k^2)) / 2, t_1 = 1

    so that the next gradient is taken at y (Beck and Teboulle, 2009, "FISTA with constant stepsize", eq. 4.1-4.3). At
    each yield, and in the end, the model holds x_k, with its exact zeros. With `restart`, t goes back to 1 whenever a
    step turns back, <y - x_k, x_k - x_(k-1)> > 0 (O'Donoghue and Candes, 2015, eq. 13). Steps must be of the whole data
    set, one at a time; a run that goes on from a State begins with t = 1.
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
