"""Prune one layer at a time, and measure how good the model is then.

    ranking = Ranking("magnitude", "weight", data)
    candidates = candidates_of(model, layers, ranking)
    kinds, base, values = measure(candidates, valid_part(model, data), [0.5, 0.9])
    ranked = by_sensitivity(model, names, ranking)              # layers, the most sensitive first

The model itself does not change.
"""
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from minnet import threads
from minnet.engine.metrics import scores as scores_on
from minnet.engine.model import Model
from minnet.engine.sample import part_of
from minnet.errors import InvalidValue, quoted
from minnet.pruning.candidates import Candidates
from minnet.pruning.scores import Data, Ranking
from minnet.typing import Arrays

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def deciding_part(data: Data) -> str:
    """Return the part of a Dataset by which something is chosen: "valid", or "train" where it has no such rows."""
    return "valid" if len(getattr(data, "y_valid", ())) else "train"


def valid_part(model: Model, data: Data) -> Arrays:
    """Return (X, y) to measure on, scaled and coded: the `deciding_part` of a Dataset, a Sample, or the pair given."""
    return part_of(model, data, deciding_part(data))


def candidates_of(model: Model, layers: Sequence[str], ranking: Ranking) -> Candidates:
    """Return the pieces of `layers` with their scores.

    Raises InvalidValue for a structure that sets its own count: it leaves no sparsity to choose.
    """
    pieces = ranking.pieces(model, layers)
    if pieces.own_count:
        raise InvalidValue(f"structure={quoted(repr(ranking.structure))} says how much each layer loses, so no layer "
                           'can be measured at other sparsities: measure structure="weight"')
    return ranking.candidates(model, pieces)


def measure(candidates: Candidates, rows: Arrays,
            sparsities: Sequence[float]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Measure the model with round(sparsity n) of the n pieces of one layer group removed, each group by itself.

    What is masked already counts, and a layer group of units keeps one. Copies of the model are measured side by side
    in threads, each by the passes of a single thread, so the numbers do not depend on how many threads there are.

    Returns
    -------
    kinds : tuple of str
        The names of the scores, one number each, of `rows` (X, y), which `valid_part` returns.
    base : (kinds,) array
        Those of the model as it is.
    values : (layer groups, sparsities, kinds) array
        Those of the pruned copies.
    """
    rows = _in_units(candidates.pieces.model, rows)
    base = scores_on(_taking_inputs(candidates.pieces.model), *rows)
    groups = candidates.layer_groups
    counts = [(i, min(round(sparsity * group.size), int(candidates.most[i])))
              for i, group in enumerate(groups) for sparsity in sparsities]
    found = threads.run([partial(_pruned, candidates, rows, *count) for count in counts])
    values = np.array([list(scores.values()) for scores in found]).reshape(len(groups), len(sparsities), -1)
    return tuple(base), np.array(list(base.values())), values


def _pruned(candidates, rows, number, count):
    """Return the scores of a copy of the model that lost `count` pieces of the layer group `number`."""
    counts = candidates.gone.copy()
    counts[number] = max(count, counts[number])
    copy = _taking_inputs(candidates.pieces.model).clone()
    copy.set_mask(copy.mask & candidates.pieces.expand(~candidates.exactly(counts)[-1]))
    return scores_on(copy, *rows)


def _taking_inputs(model):
    """Return a view of the model that takes scaled rows, and gives numbers in the units of its target as before."""
    view, signature = model.without_signature(), model.signature
    if signature is not None and signature.task == "numbers":
        view.signature = signature.as_given(model.input_shape)
    return view


def _in_units(model, rows):
    """Return (X, y) with y, where they are numbers, in the units of the target."""
    X, y = rows
    return (X, y) if model.signature is None or model.signature.target_scaling is None else \
        (X, model.signature.numbers(y))


def mean_rise(base: np.ndarray, values: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Return (layer groups,) the rise of the loss when a group is pruned by itself, averaged over the sparsities."""
    loss = kinds.index("loss")
    return (values[:, :, loss] - base[loss]).mean(axis=1)


def most_first(groups: Sequence[str], rises: np.ndarray) -> list[str]:
    """Return the layers of these groups ("conv1+conv3") in the order of falling rises; ties by order."""
    ranked = [name for i in np.argsort(-rises, kind="stable") for name in groups[i].split("+")]
    return list(dict.fromkeys(ranked))


def by_sensitivity(model: Model, layers: Sequence[str], ranking: Ranking) -> list[str]:
    """Return `layers`, the most sensitive first, without those that the structure cannot prune by themselves.

    Sensitive layers are those whose pruning raises the loss on the validation part most, on average over SPARSITIES.
    Raises InvalidValue where there are no data.
    """
    if ranking.data is None:
        raise InvalidValue("sensitive and insensitive layers are measured on data, and none were given: "
                           "prune(model, ..., data=data)")
    candidates = candidates_of(model, layers, replace(ranking, per=None))
    kinds, base, values = measure(candidates, valid_part(model, ranking.data), SPARSITIES)
    return most_first([group.name for group in candidates.layer_groups], mean_rise(base, values, kinds))
