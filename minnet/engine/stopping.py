"""Early stopping: a generator around the generator that trains."""
import numpy as np

from minnet.engine.metrics import mean_loss
from minnet.engine.state import Snapshot
from minnet.errors import InvalidValue, check_count, quoted


def early_stopping(steps, model, data, *, patience=5, loss=None):
    """Pass `steps` on until the validation loss has not fallen for `patience` epochs; then put the best epoch back:
    its values, its mask, and where live positions move (SET, RigL) those too.

        for step in early_stopping(train(model, data, epochs=100), model, data, patience=5):
            ...

    Epochs are compared with those that had as many live weights: where `steps` prune, the count begins anew, for a
    net before pruning is no measure for the one after.
    """
    check_count("patience", patience, 1)
    if not (hasattr(data, "X_valid") and len(data.X_valid)):
        raise InvalidValue(f"early stopping wants a Dataset with a validation part, got {quoted(repr(data))}")
    best, kept, stale, live = np.inf, Snapshot(model), 0, np.count_nonzero(model.mask)
    for step in steps:
        yield step
        if step.batch:
            continue
        now, before, live = mean_loss(model, data.X_valid, data.y_valid, loss), live, np.count_nonzero(model.mask)
        if now < (best if live == before else np.inf):
            best, kept, stale = now, Snapshot(model), 0
        else:
            stale += 1
        if stale >= patience:
            break
    kept.put_back()
