"""Names for the types of arguments that several rooms share.

    def random(model: Model, data: Sample | None, rng: Seed = None) -> np.ndarray: ...

They are for annotations only.
"""
from collections.abc import Callable, Hashable, Mapping, Sequence
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike as ArrayLike

Seed = int | np.random.Generator | None           # whatever takes `rng`: None for a fresh one
Path = str | PathLike[str]                        # a file's or a folder's name
Arrays = tuple[np.ndarray, np.ndarray]            # (X, y), a pair of bare arrays
Shape = int | Sequence[int]                       # of one row or image, without the batch
Dtype = str | type[np.floating]                   # float32 or float64
Schedule = Callable[[float], float]               # progress in [0, 1] to a number
ClassWeight = str | Mapping[Hashable, float] | None  # "balanced", or label -> weight
