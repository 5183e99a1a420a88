"""Recipes that begin dense and end sparse, and in which a removed weight may grow again on the way."""
from collections.abc import Iterator

from minnet.engine.lr_schedules import cosine
from minnet.engine.model import Model
from minnet.engine.rng import as_rng
from minnet.engine.state import Step
from minnet.errors import InvalidValue, check_count, check_fraction
from minnet.formats.checkpoint import remember
from minnet.pruning.prune import prune as prune_
from minnet.pruning.recipes.goal import Goal, Prune, Train, bound_to, check_span, gradually
from minnet.pruning.recipes.moving import check_samples, check_single, replace_by_gradient
from minnet.pruning.rounds import PruneSchedule
from minnet.pruning.scores import Data
from minnet.training import train as train_
from minnet.typing import Seed

SAMPLES = 512  # rows of the training part that a dense gradient is taken over: with 128, less of what grows is of use


def granet(model: Model, data: Data, sparsity: float | None, *, epochs: int = 30, schedule: PruneSchedule = "cubic",
           begin: float = 0.0, end: float = 0.5, interval: int = 100, alpha: float = 0.5, least: float = 0.005,
           samples: int | None = SAMPLES, prune: Prune = prune_, train: Train = train_, rng: Seed = None
           ) -> Iterator[Step]:
    """Prune gradually, and replace the smallest ``|w|`` by weights where the gradient is largest (GraNet).

    After every step that `train` yields, the net is pruned to the count of `schedule`, which lasts from `begin` to
    `end`. From `begin` on, every `interval` steps, the share least + (alpha - least)/2 (1 + cos(pi t)) of every layer's
    live weights is replaced, t being the progress of the whole training. A weight that was just removed may grow again,
    at 0. Bind every=100 to `train` where an epoch is longer.

    Parameters
    ----------
    model : Model
        The model to train and prune, in place.
    data : Dataset or (X, y)
        What is trained on, and what the criterion sees.
    sparsity : float or None
        The fraction of the weights that is masked at the end; None where the distribution sets the count.
    epochs : int, default 30
        The length of the whole training.
    schedule : str, callable or list, default "cubic"
        How far the pruning is at progress t: a name in SCHEDULES, a function, or a list of sparsities.
    begin, end : float, default 0 and 0.5
        Where the pruning begins and ends, as shares of the training.
    interval : int, default 100
        How many steps pass between two replacements.
    alpha, least : float, default 0.5 and 0.005
        The share that is replaced at the beginning and at the end of the training.
    samples : int or None, default 512
        How many rows of the training part the dense gradient is taken over; None for all.
    prune, train : callable
        `minnet.prune` and `minnet.train`, with arguments bound by `functools.partial`.
    rng : int or Generator, optional
        The source of all randomness.

    Yields
    ------
    Step
        As from `train`.

    Raises
    ------
    InvalidValue, InvalidType
        If an argument is wrong, or the pruning cannot be done: at the call, before any training.
    Unsupported
        If the structure bound to `prune` is not single weights.

    References
    ----------
    .. [1] Liu et al., 2021, "Sparse training via boosting pruning plasticity with neuroregeneration", section 4.
    """
    check_span(begin, end)
    if check_fraction("least", least) > check_fraction("alpha", alpha):
        raise InvalidValue(f"alpha={alpha} and least={least}: the share that is replaced falls from alpha to least")
    check_count("interval", interval, 1)
    check_samples(samples)
    check_single("granet", bound_to(prune, "structure", "weight"))
    training, pruning, growing = as_rng(rng).spawn(3)
    goal = Goal(model, data, sparsity, schedule, prune, pruning)
    now = {"updates": 0}
    remember(train, goal, now, growing)
    steps = gradually(goal, train(model, data, epochs=check_count("epochs", epochs), rng=training), begin, end)
    return _granet(goal, steps, begin, (alpha, least), interval, samples, growing, now)


def _granet(goal, steps, begin, shares, interval, samples, rng, now):
    alpha, least = shares
    for step in steps:
        if begin <= step.progress < 1 and now["updates"] < step.state.t // interval:
            share = least + (alpha - least) * cosine(step.progress)
            replace_by_gradient(step, goal.layers, share, goal.data, samples, rng)
        now["updates"] = step.state.t // interval
        yield step


RECIPES = {"granet": granet}
