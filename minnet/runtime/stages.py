"""Nets with layers that have no kernel: compiled parts, and between them the layers' own `forward`.

    stages_of(model)                     # [(Model, has it kernels), ...], each the input of the next
    forward_rows(part, X)                # rows (n, features) through a part that has none

Only what stands in the outermost Sequential is parted: a Residual or Concat in which one layer has no kernel runs by
its `forward` altogether.
"""
from itertools import groupby

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.containers import Sequential
from minnet.engine.layer import Layer
from minnet.engine.split import take_values
from minnet.engine.tape import Tape
from minnet.model import Model
from minnet.runtime.graph import compiles


def stages_of(model: Model) -> list[tuple[Model, bool]]:
    """Return models of their own that one after the other do what `model` does, and whether each has kernels.

    Neighbours that have kernels are one stage, as are neighbours that have none.
    """
    stages, shape = [], model.input_shape
    for has_kernels, layers in groupby(chain_of(model.tree), compiles):
        part = Sequential(*layers)
        last = part.layers[-1]
        stages.append((take_values(Model.blank(part, shape, model.dtype), model), has_kernels))
        shape = last.output_shape
    return stages


def chain_of(layer: Layer) -> list[Layer]:
    """Return the layers of a Sequential, those of Sequentials in it included."""
    if type(layer) is not Sequential:
        return [layer]
    return [link for child in layer.layers for link in chain_of(child)]


def forward_rows(part: Model, X: np.ndarray) -> np.ndarray:
    """Return (n, outputs) of the rows X (n, features), by each layer's `forward`, in use."""
    with one_blas_thread():
        y = part.forward(X.reshape(len(X), *part.input_shape), Tape(part))
    return np.ascontiguousarray(y, part.dtype).reshape(len(X), -1)
