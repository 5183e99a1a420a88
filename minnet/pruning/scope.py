"""The scope of a pruning: which layers and which weights can lose anything."""
import math
from dataclasses import dataclass

import numpy as np

from minnet.engine.model import Model
from minnet.errors import InvalidType, InvalidValue, check_fraction, check_real, quoted
from minnet.pruning.choose import Patterns, choose
from minnet.pruning.scores import Ranking

PAIR = 2  # a range has two ends


@dataclass(frozen=True)
class Scope:
    """Where to prune: the arguments of `prune` that say it, with the same meaning and defaults."""

    layers: Patterns | None = None
    protect: Patterns | None = None
    value_range: tuple[float, float] | None = None
    min_density: float | None = None

    def names(self, model: Model, ranking: Ranking) -> list[str]:
        """Return the names of the layers in the scope; "sensitive:2" is measured with this ranking."""
        def rank(names):
            from minnet.pruning.one_layer import by_sensitivity  # here, as it needs threads and is rarely asked for

            return by_sensitivity(model, names, ranking)

        return choose(model, self.layers, self.protect, rank)

    def may_go(self, model: Model) -> np.ndarray | None:
        """Return (n_weights,) bool: True where a weight can be removed; None where all can."""
        return in_range(model, self.value_range)

    @property
    def floor(self) -> float:
        """The share of each layer that stays at least."""
        return 0.0 if self.min_density is None else check_fraction("min_density", self.min_density)


def in_range(model: Model, value_range: tuple[float, float] | None) -> np.ndarray | None:
    """Return (n_weights,) bool: True where ``|w|`` is in the range; None without one. Raises where it is no range."""
    if value_range is None:
        return None
    if not isinstance(value_range, tuple | list) or len(value_range) != PAIR:
        raise InvalidType(f"value_range={quoted(repr(value_range))}; wanted a pair (lowest, highest) of |w|")
    low, high = (math.inf if value == math.inf else check_real("value_range", value, 0) for value in value_range)
    if not low < high:
        raise InvalidValue(f"value_range={quoted(repr(value_range))}; wanted (lowest, highest) with lowest < highest")
    size = np.abs(model.weights)
    return (size >= low) & (size <= high)
