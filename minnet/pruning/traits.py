"""What a criterion is, and Traits: what it needs and what its scores are, beside the function in its file's TRAITS.

    TRAITS = {"fpgm": Traits(unit=True), "snip": Traits(needs="data", passes="1 forward, 1 backward")}

A criterion that is not in the table has the defaults. A function of your own may carry an attribute `traits`.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

import numpy as np

from minnet.engine.sample import Sample
from minnet.typing import Arrays

if TYPE_CHECKING:  # names for annotations alone: pruning loads no readers and no fast paths
    from minnet.data import Dataset
    from minnet.model import Model

Data = Union["Dataset", Arrays, Sample]  # what every criterion takes; a forward reference takes no |
Criterion = Callable[["Model", Sample], np.ndarray]  # (model, data) -> scores (n_weights,), higher means keep


@dataclass(frozen=True)
class Traits:
    """Hold what a criterion needs, what its scores mean and what they cost.

    Attributes
    ----------
    unit : bool
        It judges units: it writes a unit's score to each incoming weight, and `mean` reduces them.
    needs : str
        "weights", or "data", or "initial": an earlier state of the weights.
    signed : bool
        Scores below 0 have a meaning, so the reductions l1, l2 and linf are refused.
    stochastic : bool
        It draws from data.rng, so that another rng gives other scores.
    reduction : str
        How scores become a unit's score by default; "" derives it from the other traits.
    passes : str
        What it costs, in passes over the sample.
    cannot : str
        What it cannot do, and why; "" if nothing.
    """

    unit: bool = False
    needs: str = "weights"
    signed: bool = False
    stochastic: bool = False
    reduction: str = ""
    passes: str = "none"
    cannot: str = ""

    @property
    def default_reduction(self) -> str:
        """Return `mean` for scores of units, `sum` for signed scores, `l2` for others."""
        return self.reduction or ("mean" if self.unit else "sum" if self.signed else "l2")
