"""Split a model with layers that have no kernel into stages: compiled ones, and ones that run by `forward`.

    stages_of(model)                     # [(Model, True if it has kernels), ...], in order
    forward_rows(part, X)                # the outputs of a stage without kernels for rows X (n, features)

Only the outermost Sequential is split: a Residual or Concat in which one layer has no kernel runs by its `forward` as a
whole.
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
    """Split a model into consecutive ones; return (model, True if it has kernels) of each.

    Consecutive layers that have kernels are one stage, as are consecutive layers that have none.
    """
    stages, shape = [], model.input_shape
    for has_kernels, layers in groupby(chain_of(model.tree), compiles):
        part = Sequential(*layers)
        last = part.layers[-1]
        stages.append((take_values(Model.blank(part, shape, model.dtype), model), has_kernels))
        shape = last.output_shape
    return stages


def chain_of(layer: Layer) -> list[Layer]:
    """Return the layers of a Sequential, those of nested Sequentials included."""
    if type(layer) is not Sequential:
        return [layer]
    return [link for child in layer.layers for link in chain_of(child)]


def forward_rows(part: Model, X: np.ndarray) -> np.ndarray:
    """Return the outputs (n, outputs) for rows X (n, features) by each layer's `forward`, as in inference."""
    with one_blas_thread():
        y = part.forward(X.reshape(len(X), *part.input_shape), Tape(part))
    return np.ascontiguousarray(y, part.dtype).reshape(len(X), -1)
