"""Early stopping: a generator around the generator that trains."""
import numpy as np

from minnet.engine.metrics import mean_loss
from minnet.errors import InvalidValue, check_count, shown
from minnet.kernels.steps import zero_masked


def early_stopping(steps, model, data, *, patience=5, loss=None):
    """Pass `steps` on until the validation loss has not fallen for `patience` epochs; then put the best values back.

        for step in early_stopping(train(model, data, epochs=100), model, data, patience=5):
            ...
    """
    check_count("patience", patience, 1)
    if not (hasattr(data, "X_valid") and len(data.X_valid)):
        raise InvalidValue(f"early stopping wants a Dataset with a validation part, got {shown(repr(data))}")
    best, best_values, stale = np.inf, model.values.copy(), 0
    for step in steps:
        yield step
        if step.batch:
            continue
        now = mean_loss(model, data.X_valid, data.y_valid, loss)
        if now < best:
            best, best_values, stale = now, model.values.copy(), 0
        else:
            stale += 1
        if stale >= patience:
            break
    model.values[:] = best_values
    zero_masked(model.mask, model.values)
