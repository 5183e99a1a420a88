"""Criteria: functions (model, data) -> scores, one number per weight, higher means keep.

    scores = criteria.magnitude(model, None)      # (n_weights,)
    scores = criteria.CRITERIA["snip"](model, data)

The files go from easy to hard. Each has two tables at its foot: CRITERIA (name -> function) and FACTS (name -> Facts,
for those that need more than the defaults); a function that is in its file's table is found everywhere. `data` is a
Dataset, a pair X, y, a Sample, or None where the criterion judges by the weights alone.

No file here may have the name of a criterion: `criteria.snip` is the function.
"""
from functools import partial

from minnet.pruning.criteria import (
    activations,
    data_free,
    first_order,
    initial,
    inputs,
    next_layer,
    reconstruction,
    second_order,
    truth,
)
from minnet.pruning.facts import Facts

FILES = (data_free, initial, first_order, activations, inputs, next_layer, second_order, reconstruction,
         truth)
CRITERIA = {name: function for file in FILES for name, function in file.CRITERIA.items()}
FACTS = {name: file.FACTS.get(name, Facts()) for file in FILES for name in file.CRITERIA}


def facts_of(criterion):
    """The Facts of a criterion: its own attribute `facts`, or its row of FACTS, or the defaults.

    A `functools.partial` has the facts of its function, unless it carries its own.
    """
    own = getattr(criterion, "facts", None)
    if isinstance(own, Facts):
        return own
    if isinstance(criterion, partial):
        return facts_of(criterion.func)
    return next((FACTS[name] for name, function in CRITERIA.items() if function is criterion), Facts())


def __getattr__(name):
    if name in CRITERIA:
        return CRITERIA[name]
    raise AttributeError(f"minnet has no criterion {name!r}: it has {', '.join(CRITERIA)}")


def __dir__():
    return sorted([*globals(), *CRITERIA])
