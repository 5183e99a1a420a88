"""Quadratic models: matrices of second derivatives, and damped inverses also of singular ones.

    G = grams(model, sample)["conv1"]                    # (groups, K, K): products of a layer's inputs
    inverse = invert(G[0], ridge(G[0], damping=0.01))    # positive definite, whatever G is

Damping means the same everywhere: `damping` times the mean of the diagonal is added to the diagonal, rows that are all
0 left out. All is float64.
"""
import math

import numpy as np

from minnet.blas import one_blas_thread
from minnet.engine.layer import Layer
from minnet.engine.model import Model
from minnet.engine.sample import Sample
from minnet.engine.unfold import unfold
from minnet.errors import InvalidValue, NotFinite, Unsupported, check_real
from minnet.pruning.activation_cache import ActivationCache
from minnet.pruning.criteria.per_unit import columns_of
from minnet.pruning.pieces import positions_in

DAMPING = 0.01          # SparseGPT's
SMALLEST = 1e-12        # an eigenvalue, as a share of the largest: below it is rounding error
SAFE = 1e-8             # a ridge, as a share of the largest entry of the diagonal
LARGEST = 8192          # rows of a matrix that is inverted: half a gigabyte
IMAGES = 64             # of a pass: the windows of a convolution take k * k times the room of its input


def ridge(H: np.ndarray, damping: float) -> float:
    """Compute damping * mean ``|H_ii|`` over the rows of H that are not all 0; 0 where there are none."""
    check_real("damping", damping, 0)
    diagonal = np.abs(np.diag(H))[H.any(axis=1)]
    return damping * float(diagonal.mean()) if len(diagonal) else 0.0


def definite(H: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the (eigenvalues, eigenvectors) of the symmetric H, made positive.

    Eigenvalues below 0 count as 0, then `ridge` is added; all are at least SMALLEST of the largest. Where H is positive
    definite this is H + ridge I. Raises NotFinite where H holds NaN or infinity.
    """
    check_finite("the second derivatives", H)
    values, vectors = np.linalg.eigh(H)
    values = np.maximum(values, 0) + ridge
    return np.maximum(values, max(SMALLEST * values.max(initial=0), np.finfo(float).tiny)), vectors


def check_finite(name: str, array: np.ndarray) -> None:
    """Raise NotFinite where an array that will be inverted holds NaN or infinity."""
    if not np.isfinite(array).all():
        raise NotFinite(f"{name} of this model on these data hold NaN or infinity: the training may have diverged, or "
                        "the data be too large; scale them")


def invert(H: np.ndarray, ridge: float) -> np.ndarray:
    """Invert `definite(H, ridge)`: a direction in which H is 0 is free, not an error."""
    values, vectors = definite(H, ridge)
    return (vectors / values) @ vectors.T


def solve(H: np.ndarray, ridge: float, right: np.ndarray) -> np.ndarray:
    """Solve `definite(H, ridge)` v = `right` (r, m), for a positive semidefinite H.

    By elimination where the ridge makes that safe, else by eigenvalues.
    """
    if ridge > SAFE * np.diag(H).max(initial=0):
        return np.linalg.solve(H + ridge * np.eye(len(H)), right)
    return invert(H, ridge) @ right


def windows(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Unfold the input x (n, ...) of `layer`: (groups, n * positions, K), float64.

    K weights go into each output. Only in convolutions with groups do outputs read different channels.
    """
    x = np.ascontiguousarray(x, np.float64)
    if not hasattr(layer, "window"):
        return x[None]
    at, (n, c) = layer.window, (len(x), x.shape[-1])
    cols = np.empty((n, *at.output, *at.kernel, c))
    unfold(x, at, cols)
    groups = getattr(layer, "groups", 1)
    taps = cols.reshape(n * layer.positions, -1, groups, c // groups)
    return np.moveaxis(taps, 2, 0).reshape(groups, n * layer.positions, -1)


def grams(model: Model, sample: Sample) -> dict[str, np.ndarray]:
    """Compute G, the mean over images of the sum over windows of x x', for each layer with weights.

    Returns {name of the layer: G (groups, K, K)}.

    One forward pass, at the model's own values. Raises InvalidValue for a layer whose K is above LARGEST.
    """
    layers = weighted_layers(model)
    values, total = model.values.astype(np.float64), dict.fromkeys((layer.name for layer in layers), np.zeros(()))
    with one_blas_thread():
        for rows in batches(sample):
            kept = ActivationCache(model, sample.X[rows].astype(np.float64), values)
            for layer in layers:
                x = windows(layer, kept.inputs[layer])  # (groups, n * positions, K)
                total[layer.name] = total[layer.name] + np.swapaxes(x, 1, 2) @ x / len(sample)
    return total


def batches(sample: Sample) -> list[slice]:
    """Return slices of the sample's rows, IMAGES at a time."""
    return [slice(start, start + IMAGES) for start in range(0, len(sample), IMAGES)]


def weighted_layers(model: Model) -> list[Layer]:
    """Return the layers with weights, in the order of the pass.

    Raises InvalidValue where the matrix of a layer's inputs would be too large, Unsupported for a layer whose inputs
    are not known.
    """
    layers = [layer for layer in model.layers.values() if any(p.kind == "weight" for p in layer.parameters)]
    for layer in layers:
        inputs = math.prod(layer.weight.shape[:-1])
        if not hasattr(layer, "window") and len(layer.input_shape) != 1:
            raise Unsupported(f"{layer.name} is a {type(layer).__name__}: the inputs of its weights are not known")
        if inputs > LARGEST:
            raise InvalidValue(f"{layer.name} has {inputs} weights into each output, and a matrix of {inputs} x "
                               f"{inputs} is too large (the most is {LARGEST}): take wanda, fisher or woodfisher")
    return layers


def matrices(layer: Layer, window: np.ndarray) -> np.ndarray:
    """Return a window of the layer's weight as (groups, K, outputs of a group).

    Entries that a layer born sparse does not have are 0.
    """
    matrix = columns_of(layer.weight, window)  # (K, o)
    groups = getattr(layer, "groups", 1)
    return np.moveaxis(matrix.reshape(len(matrix), groups, -1), 1, 0)


def write(layer: Layer, found: np.ndarray, vector: np.ndarray) -> None:
    """Write `found`, shaped as `matrices` returns it, to the weight's window of `vector`."""
    flat = np.moveaxis(found, 0, 1).reshape(-1)
    vector[layer.weight.slice] = flat[positions_in(layer.weight)]
