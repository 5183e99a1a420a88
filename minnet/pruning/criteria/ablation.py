"""Criteria by ablation: the exact change of the loss when one weight, or unit, is deleted.

That is what every other criterion estimates.

All in float64 and as differences of per-image losses, since half the changes are smaller than a float32 loss can show.
Scores are signed: below 0 the loss falls when the weight is deleted.
"""
from functools import partial
from itertools import takewhile

import numpy as np

from minnet import threads
from minnet.blas import one_blas_thread
from minnet.engine.model import Model
from minnet.engine.sample import draw_sample
from minnet.engine.tape import Tape
from minnet.errors import InvalidValue, Unsupported, check_count
from minnet.kernels.oracle import move_rows
from minnet.pruning.activation_cache import ActivationCache
from minnet.pruning.pieces import positions_in
from minnet.pruning.traits import Data, Traits
from minnet.pruning.units import makers_of

IMAGES = 125             # kept at a time: float64 activations of a convolutional net are large
VARIANTS = 2**11         # rows of one pass after a deletion: few enough to stay in the cache


def oracle(model: Model, data: Data) -> np.ndarray:
    """Measure the change of the loss when each weight is deleted.

    ``mean over images of L(w without weight i) - L(w)``, for every i, exhaustive: the quantity that second-order
    criteria approximate.

    A deletion changes one pre-activation an image (Dense) or one map (convolutions), so only what follows is computed
    again: for a Dense layer one row of the next product, and nothing where its input is 0; for other layers a pass
    from there for each weight.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, signed, 0 for masked weights.

    Raises
    ------
    Unsupported
        If a layer was born sparse.

    References
    ----------
    LeCun, Denker and Solla, 1990, "Optimal brain damage", section 2.
    """
    sample, values = draw_sample(model, data), model.values.astype(np.float64)
    scores = np.zeros(len(values))
    with one_blas_thread():
        for start in range(0, len(sample), IMAGES):
            chunk = slice(start, start + IMAGES)
            kept = ActivationCache(model, sample.X[chunk].astype(np.float64), values)
            judge = _Judge(model, kept, sample, sample.y[chunk], values)
            for layer in model.layers.values():
                if any(p.kind == "weight" for p in layer.parameters):
                    _delete_each(judge, layer, layer.weight.of(scores))
    return scores[: model.n_weights] / len(sample)


def unit_oracle(model: Model, data: Data) -> np.ndarray:
    """Measure the change of the loss when each unit is deleted.

    ``mean over images of L(net without unit u) - L(net)``, the relevance of skeletonization. A unit is deleted whole,
    with bias, gain and shift: its output is f(0). 1 forward pass for each unit.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, signed: each weight has the score of the unit it makes; units of the logits, which cannot be removed,
        have infinity.

    Raises
    ------
    InvalidValue
        If the model has no unit that can be removed.

    References
    ----------
    Mozer and Smolensky, 1989, "Skeletonization".
    """
    sample = draw_sample(model, data)
    units = Units(model)
    base, change = _losses(model, sample, model.values.astype(np.float64)), np.full(units.n, np.inf)

    def delete(numbers):
        for u in numbers:
            change[u] = (_losses(model, sample, units.without([u])) - base).mean()

    shards = threads.n_threads()
    threads.run([partial(delete, range(i, units.n, shards)) for i in range(shards)])
    return units.spread(change)


def shapley(model: Model, data: Data, permutations: int = 16) -> np.ndarray:
    """Estimate the Shapley value of each unit for the (negative) loss.

    ``the marginal contribution of the unit, averaged over random orders of deletion``. permutations * units forward
    passes. `shapley_with_error` gives the standard error beside it.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    permutations : int, default 16
        The number of random orders, at least 2.

    Returns
    -------
    scores : ndarray of shape (n_weights,)
        float64, signed: each weight has the score of the unit it makes; units of the logits, which cannot be removed,
        have infinity.

    Raises
    ------
    InvalidValue
        If the model has no unit that can be removed, or `permutations` is below 2.

    References
    ----------
    - Ancona, Oztireli and Gross, 2020, section 3.
    - Castro et al., 2009, for the sampling.
    """
    return shapley_with_error(model, data, permutations)[0]


def shapley_with_error(model: Model, data: Data, permutations: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the scores of `shapley` and their standard errors.

    Parameters
    ----------
    model : Model
        The model to judge.
    data : Dataset, (X, y) or Sample
        What the loss is measured on.
    permutations : int, default 16
        The number of random orders, at least 2.

    Returns
    -------
    scores, errors : ndarrays of shape (n_weights,)
        float64; the error is that of the mean over `permutations` orders.
    """
    check_count("permutations", permutations, 2)
    sample, units = draw_sample(model, data), Units(model)
    orders = [sample.rng.permutation(units.n) for _ in range(permutations)]
    gains = np.zeros((permutations, units.n))

    def walk(numbers):
        for k in numbers:
            before = _losses(model, sample, model.values.astype(np.float64)).mean()
            for i, u in enumerate(orders[k]):
                now = _losses(model, sample, units.without(orders[k][: i + 1])).mean()
                gains[k, u], before = now - before, now

    shards = threads.n_threads()
    threads.run([partial(walk, range(i, permutations, shards)) for i in range(shards)])
    error = gains.std(axis=0, ddof=1) / np.sqrt(permutations)
    return units.spread(gains.mean(axis=0)), units.spread(error)


class Units:
    """Number the units that can be removed, delete some of them, and spread their scores to weights."""

    def __init__(self, model):
        coupling = model.couple()
        free = np.flatnonzero(~coupling.fixed())
        roots = [root for root in makers_of(model, coupling) if root in set(free.tolist())]
        if not roots:
            raise InvalidValue("this model has no unit that can be removed: it is one layer of logits")
        self.model, self.n = model, len(roots)
        number = np.full(coupling.n_units, -1)
        number[sorted(roots)] = np.arange(self.n)
        self.of = np.full(len(model.values), -1)  # the unit that each entry of the vector belongs to
        for use in coupling.uses:
            if use.axis == -1 and use.parameter.kind not in ("mean", "variance"):
                p, made = use.parameter, number[coupling.roots(use.units)]
                p.of(self.of).reshape(-1)[:] = made[positions_in(p) % p.shape[-1]]

    def without(self, units):
        """Return the values, float64, with `units` deleted."""
        return np.where(np.isin(self.of, units), 0.0, self.model.values.astype(np.float64))

    def spread(self, scores):
        """Return each unit's score at each of its weights; infinity where no unit can be removed."""
        at = self.of[: self.model.n_weights]
        return np.where(at >= 0, scores[at], np.inf)


def _losses(model, sample, values):
    """Compute the loss of every image of the sample at `values`: (n,) float64."""
    tape, found = Tape(model, values), []
    for X, y in sample.batches():
        logits, losses = model.forward(X.astype(np.float64), tape), np.empty(len(X))
        sample.loss(logits, y, None, None, losses)
        found.append(losses)
    return np.concatenate(found)


class _Judge:
    """Hold some images with their kept pass, and compute the loss of changed ones."""

    def __init__(self, model, kept, sample, y, values):
        self.model, self.kept, self.loss, self.y, self.values = model, kept, sample.loss, y, values
        self.base = self.losses(kept.logits, np.arange(len(y)))

    def losses(self, logits, rows):
        """Compute the losses of the images `rows`: (n,)."""
        losses = np.empty(len(rows))
        self.loss(logits, self.y[rows], None, None, losses)
        return losses

    def change(self, layer, y, rows, tape):
        """Compute the change of each image's loss when the output of `layer` is `y`: (n,)."""
        return self.losses(self.kept.forward_from(layer, y, rows, tape), rows) - self.base[rows]


def _delete_each(judge, layer, scores):
    """Add to `scores` (shaped as the layer's weight) the change at each live weight, summed over the images."""
    if layer.weight.index is not None:
        raise Unsupported(f"{layer.name} was born sparse: the oracle walks dense layers, use taylor for this one")
    delete, shards = _delete_dense if layer.multiplies_rows else _delete_any, threads.n_threads()
    outputs = layer.weight.shape[-1]
    threads.run([partial(delete, judge, layer, range(i, outputs, shards), scores) for i in range(shards)])


def _delete_dense(judge, layer, outputs, scores):
    """Delete all weights into each unit j of `outputs` in turn: y_j moves by -x_i w_ij, where that is not 0."""
    x, w, tape = judge.kept.inputs[layer], layer.weight.of(judge.values), Tape(judge.model, judge.values)
    for j in outputs:
        rows, i = np.nonzero((x != 0) & (w[:, j] != 0))
        for part in range(0, len(rows), VARIANTS):
            r, k = rows[part : part + VARIANTS], i[part : part + VARIANTS]
            change = _move_one(judge, layer, j, -x[r, k] * w[k, j], r, tape)
            scores[:, j] += np.bincount(k, change, minlength=len(scores))


def _move_one(judge, layer, j, by, rows, tape):
    """Compute the change of the loss when output j of a Dense layer moves by `by` for the images `rows`."""
    behind = judge.kept.after(layer)
    between = list(takewhile(lambda b: b.elementwise, behind))
    follower = behind[len(between)] if len(between) < len(behind) else None
    y = judge.kept.outputs[layer]
    if follower is None or not follower.multiplies_rows or follower.weight.index is not None:
        moved = y[rows]
        moved[:, j] += by
        return judge.change(layer, moved, rows, tape)
    h = (y[rows, j] + by)[:, None]  # (n, 1): only output j changes up to the next Dense layer
    for activation in between:
        h = activation.forward(h, tape)
    delta = h[:, 0] - judge.kept.inputs[follower][rows, j]
    alive = np.flatnonzero(delta)  # a ReLU that stays dead moves nothing
    change = np.zeros(len(rows))
    if not len(alive):
        return change
    rows = rows[alive]
    z = tape.buffer(follower, "moved", (len(rows), follower.units))
    move_rows(judge.kept.outputs[follower], rows, delta[alive], follower.weight.of(judge.values)[j], z)
    change[alive] = judge.change(follower, z, rows, tape)
    return change


def _delete_any(judge, layer, outputs, scores):
    """Delete each live weight of the units `outputs` in turn.

    The output moves by -w times what the weight meets, if the layer says what that is (`weight_inputs`), else it is
    computed again without the weight.
    """
    x, w, tape = judge.kept.inputs[layer], layer.weight.of(judge.values), Tape(judge.model, judge.values)
    y, rows = judge.kept.outputs[layer], np.arange(len(x))
    for at in zip(*np.nonzero(w), strict=True):
        if at[-1] not in outputs:
            continue
        met = layer.weight_inputs(x, at)
        if met is None:
            moved = layer.forward(x, _without(judge, layer, at))
        else:
            moved = y.copy()
            moved[..., at[-1]] -= w[at] * met
        scores[at] += judge.change(layer, moved, rows, tape).sum()


def _without(judge, layer, at):
    """Return a tape on which one weight is 0."""
    values = judge.values.copy()
    layer.weight.of(values)[at] = 0
    return Tape(judge.model, values)


CRITERIA = {f.__name__: f for f in (oracle, unit_oracle, shapley)}
TRAITS = {
    "oracle": Traits(needs="data", signed=True, passes="about one forward pass behind each live weight"),
    "unit_oracle": Traits(unit=True, needs="data", signed=True, passes="1 forward for each unit"),
    "shapley": Traits(unit=True, needs="data", signed=True, stochastic=True, passes="permutations * units forward"),
}
