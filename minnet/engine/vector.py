"""The flat vector: one index space for everything that is about the weights.

Values, mask, gradients, momentum and scores all have the same length and order, in three zones:

    weights | biases, gains, shifts, slopes | statistics

so that "prunable" is [:n_weights] and "trainable" is [:n_trainable]. A layer declares what it needs
(`Declared`); `lay_out` gives each declaration its window; a `Parameter` is that window, with a name.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

ZONES = {"weight": 0, "bias": 1, "gain": 1, "shift": 1, "slopes": 1, "mean": 2, "variance": 2}


@dataclass(frozen=True, eq=False)
class Declared:
    """What a layer asks for when it is built: `kind` names the attribute, `initialise(rng, shape)` fills it."""

    layer: object
    kind: str
    shape: tuple
    initialise: Callable
    index: np.ndarray | None = None  # sorted flat positions of the live weights, for a layer born sparse

    @property
    def size(self):
        """How many entries of the flat vector it takes."""
        return math.prod(self.shape) if self.index is None else len(self.index)


@dataclass(frozen=True, eq=False)
class Parameter:
    """A named, frozen window onto the flat vector.

    `value` and `mask` are shaped views of the model's own vectors: write through them (`p.value[...] = early`), they
    are never rebound. `of(vector)` is the same window of any vector of that index space. A parameter that is born
    sparse has an `index` (sorted flat positions of its live weights); its views are then 1-D, and `shape` stays dense.
    """

    name: str
    kind: str
    slice: slice
    shape: tuple
    index: np.ndarray | None = field(repr=False)
    value: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)

    @property
    def layer(self) -> str:
        """The name of the layer that owns it."""
        return self.name.rpartition(".")[0]

    @property
    def size(self) -> int:
        """Entries when dense: the product of the shape, also for a parameter born sparse."""
        return math.prod(self.shape)

    def of(self, vector: np.ndarray) -> np.ndarray:
        """Return this parameter's window of `vector`, shaped: a view.

        Parameters
        ----------
        vector : numpy.ndarray
            Any array of the model's index space: values, scores, gradients, an earlier copy.

        Returns
        -------
        numpy.ndarray
            `shape` where the parameter is dense, 1-D where it is born sparse.
        """
        window = vector[self.slice]
        return window if self.index is not None else window.reshape(self.shape)


def lay_out(declared: list[Declared]) -> tuple:
    """Order declarations by zone; return [(declaration, slice)], n_weights, n_trainable and the length."""
    ends, placed, start = [], [], 0
    for zone in range(max(ZONES.values()) + 1):
        for item in declared:
            if ZONES[item.kind] == zone:
                placed.append((item, slice(start, start + item.size)))
                start += item.size
        ends.append(start)
    return placed, *ends
