"""Criteria: functions (model, data) -> scores, one number per weight, higher means keep.

    scores = criteria.magnitude(model, None)      # (n_weights,)
    scores = criteria.CRITERIA["snip"](model, data)

The files go from easy to hard. Each has two tables at its foot: CRITERIA (name -> function) and TRAITS (name -> Traits,
for those that need more than the defaults); a function that is in its file's table is found everywhere. `data` is a
Dataset, a pair X, y, a Sample, or None where the criterion judges by the weights alone.

No file here may have the name of a criterion: `criteria.snip` is the function.
"""
from functools import partial

from minnet.pruning.criteria import (
    ablation,
    activations,
    data_free,
    first_order,
    initial,
    inputs,
    next_layer,
    reconstruction,
    second_order,
)
from minnet.pruning.traits import Traits

FILES = (data_free, initial, first_order, activations, inputs, next_layer, second_order, reconstruction, ablation)
CRITERIA = {name: function for file in FILES for name, function in file.CRITERIA.items()}
TRAITS = {name: file.TRAITS.get(name, Traits()) for file in FILES for name in file.CRITERIA}


def traits_of(criterion):
    """The Traits of a criterion: its own attribute `traits`, or its row of TRAITS, or the defaults.

    A `functools.partial` has the traits of its function, unless it carries its own.
    """
    own = getattr(criterion, "traits", None)
    if isinstance(own, Traits):
        return own
    if isinstance(criterion, partial):
        return traits_of(criterion.func)
    return next((TRAITS[name] for name, function in CRITERIA.items() if function is criterion), Traits())


def __getattr__(name):
    if name in CRITERIA:
        return CRITERIA[name]
    raise AttributeError(f"minnet has no criterion {name!r}: it has {', '.join(CRITERIA)}")


def __dir__():
    return sorted([*globals(), *CRITERIA])
