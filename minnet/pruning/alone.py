"""Each layer pruned alone: how good the model is then. The model itself stays as it is.

    pool = pool_of(model, None, data, "magnitude", "weight")
    kinds, base, values = measure(pool, valid_part(data), [0.5, 0.9])
    ranked = by_sensitivity(model, names, data)                 # layers, the most sensitive first
"""
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.metrics import evaluate
from minnet.engine.sample import SAMPLES, Sample, training_part
from minnet.errors import InvalidValue, quoted
from minnet.pruning.named import structure_of
from minnet.pruning.pool import Pool
from minnet.pruning.scores import reduced, score

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def valid_part(data):
    """(X, y) to measure on: the validation part of a Dataset, the rows of a Sample, or the pair that was given."""
    if isinstance(data, Sample):
        return data.X, data.y
    if hasattr(data, "X_valid") and len(data.X_valid):
        return data.X_valid, data.y_valid
    return training_part(data)


def pool_of(model, layers, data, criterion, structure, *, samples=SAMPLES, reduction=None, rng=None):
    """The Pool of the pieces of `layers`, scored by a criterion; arguments as in `prune`. Raises InvalidValue for a
    structure that sets its own count: it leaves no sparsity to choose."""
    pieces = structure_of(structure)(model, layers)
    if pieces.own_count:
        raise InvalidValue(f"structure={quoted(repr(structure))} says how much of each layer goes, so no layer can be "
                           'measured at other sparsities: measure structure="weight"')
    scores = reduced(pieces, score(model, criterion, data, samples=samples, rng=rng), criterion, reduction)
    return Pool(pieces, scores, pieces.state(model.mask))


def measure(pool, rows, sparsities):
    """(kinds, base, values): the names of the scores of `evaluate` on `rows` (X, y), those of the model as it is, and
    values (parts, sparsities, kinds) with round(sparsity n) of the n pieces of that part alone gone.

    What is gone already counts, and a part of units keeps one. Copies of the model are measured side by side in
    threads, each by the same passes as if it were alone, so the numbers do not depend on how many threads there are.
    """
    base = evaluate(pool.pieces.model, *rows)
    counts = [(i, min(round(sparsity * part.size), int(pool.most[i])))
              for i, part in enumerate(pool.parts) for sparsity in sparsities]
    found = threads.run([partial(_pruned, pool, rows, *count) for count in counts])
    values = np.array([list(scores.values()) for scores in found]).reshape(len(pool.parts), len(sparsities), -1)
    return tuple(base), np.array(list(base.values())), values


def _pruned(pool, rows, number, count):
    """Scores of a copy of the model that lost `count` pieces of the part `number`."""
    counts = pool.gone.copy()
    counts[number] = max(count, counts[number])
    copy = pool.pieces.model.clone()
    copy.set_mask(copy.mask & pool.pieces.expand(~pool.exactly(counts)[-1]))
    return evaluate(copy, *rows)


def mean_rise(base, values, kinds):
    """(parts,) by how much the loss rises when the part is pruned alone, on average over the sparsities."""
    loss = kinds.index("loss")
    return (values[:, :, loss] - base[loss]).mean(axis=1)


def most_first(parts, rises):
    """The layers of the parts, in the order of falling rises; ties by order."""
    ranked = [name for i in np.argsort(-rises, kind="stable") for name in parts[i].split("+")]
    return list(dict.fromkeys(ranked))


def by_sensitivity(model, layers, data, *, criterion="magnitude", structure="weight", samples=SAMPLES, reduction=None,
                   rng=None):
    """`layers` less those that the structure cannot prune alone, the most sensitive first: those whose pruning raises
    the loss on the validation part most, on average over SPARSITIES. Raises InvalidValue where data is None."""
    if data is None:
        raise InvalidValue("sensitive and insensitive layers are measured on data, and none were given: "
                           "prune(model, ..., data=data)")
    pool = pool_of(model, layers, data, criterion, structure, samples=samples, reduction=reduction, rng=rng)
    kinds, base, values = measure(pool, valid_part(data), SPARSITIES)
    return most_first([part.name for part in pool.parts], mean_rise(base, values, kinds))
