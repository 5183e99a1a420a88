"""Early stopping: a generator around the generator that trains."""
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from minnet.data import Dataset
from minnet.engine.metrics import mean_loss
from minnet.engine.model import Model
from minnet.engine.sample import part_of
from minnet.engine.state import Snapshot, Step
from minnet.errors import InvalidValue, check_count, quoted


def early_stopping(steps: Iterable[Step], model: Model, data: Dataset, *, patience: int = 5,
                   loss: str | Callable | None = None) -> Iterator[Step]:
    """Pass `steps` on until the validation loss has not fallen for `patience` epochs; then restore the best epoch.

    Restored are its values, its mask, and where live positions move (SET, RigL) those too. Epochs are compared with
    those that had as many live weights: where `steps` prune, the count begins anew, since a net before pruning is no
    measure for the one after. For example
    ``for step in early_stopping(train(model, data, epochs=100), model, data, patience=5): ...``

    Parameters
    ----------
    steps : iterable of Step
        What `train` or a recipe yields.
    model : Model
        The model that is trained.
    data : Dataset
        With a validation part.
    patience : int
        How many epochs may pass without a lower validation loss.
    loss : str or callable, optional
        As for `evaluate`.

    Yields
    ------
    Step
        Every step of `steps`, up to the stop.

    Raises
    ------
    InvalidValue
        `data` has no validation part, or `patience` is below 1.
    """
    check_count("patience", patience, 1)
    if not (hasattr(data, "y_valid") and len(data.y_valid)):
        raise InvalidValue(f"early stopping wants a Dataset with a validation part, got {quoted(repr(data))}")
    valid = part_of(model, data, "valid")
    best, kept, stale, live = np.inf, Snapshot(model), 0, np.count_nonzero(model.mask)
    for step in steps:
        yield step
        if step.batch:
            continue
        now, before, live = mean_loss(model.without_signature(), *valid, loss), live, np.count_nonzero(model.mask)
        if now < (best if live == before else np.inf):
            best, kept, stale = now, Snapshot(model), 0
        else:
            stale += 1
        if stale >= patience:
            break
    kept.put_back()
