"""Criteria: functions (model, data) -> scores, one number per weight, higher means keep.

    scores = criteria.magnitude(model, None)      # (n_weights,)
    scores = criteria.CRITERIA["snip"](model, data)

The files are in order of difficulty. Each ends in two tables: CRITERIA (name -> function) and TRAITS (name -> Traits,
for those that need more than the defaults); a function that is in its file's table is found everywhere. `data` is a
Dataset, a pair X, y, a Sample, or None where the criterion judges by the weights alone.

No file here may have the name of a criterion: `criteria.snip` is the function.
"""
from collections.abc import Callable
from functools import partial

import numpy as np

from minnet.pruning.criteria import (
    ablation,
    activations,
    adversarial,
    data_free,
    first_order,
    initial,
    inputs,
    next_layer,
    reconstruction,
    second_order,
)
from minnet.pruning.traits import Criterion, Traits

FILES = (data_free, initial, first_order, adversarial, activations, inputs, next_layer, second_order, reconstruction,
         ablation)
CRITERIA: dict[str, Criterion] = {name: function for file in FILES for name, function in file.CRITERIA.items()}
TRAITS: dict[str, Traits] = {name: file.TRAITS.get(name, Traits()) for file in FILES for name in file.CRITERIA}


def traits_of(criterion: Criterion) -> Traits:
    """Return the Traits of a criterion: its own attribute `traits`, or its row of TRAITS, or the defaults.

    A `functools.partial` has the traits of its function, unless it has an attribute of its own.

    Parameters
    ----------
    criterion : callable
        A function (model, data) -> scores.

    Returns
    -------
    traits : Traits
        What it needs and what its scores are.
    """
    own = getattr(criterion, "traits", None)
    if isinstance(own, Traits):
        return own
    if isinstance(criterion, partial):
        return traits_of(criterion.func)
    return next((TRAITS[name] for name, function in CRITERIA.items() if function is criterion), Traits())


def __getattr__(name: str) -> Callable[..., np.ndarray]:
    if name in CRITERIA:
        return CRITERIA[name]
    raise AttributeError(f"minnet has no criterion {name!r}: it has {', '.join(CRITERIA)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *CRITERIA])
