"""Where the links of a sparse net begin: by correlations of the inputs, in bands, or as they are given.

Each start gives a function that places the links of a layer:

    place = csti(model, data, rng)
    positions = place((784, 300), 11_760)  # of one layer's weight, flat and sorted
"""
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from minnet.engine.model import Model
from minnet.engine.rewire import draw_places, highest_places
from minnet.engine.sample import part_of
from minnet.errors import Unsupported
from minnet.pruning.scores import Data

MOST_FEATURES = 8192  # whose correlations take 256 MB
ROWS = 4096           # rows, and rows of a table of positions, that are looked at together
BLOCK = 2**20         # positions
NARROW = 0.25         # BRF's spread

Place = Callable[[tuple[int, int], int], np.ndarray]


def csti(model: Model, data: Data, rng: np.random.Generator) -> Place:
    """Link where the correlation of input features is largest: unit j of any layer stands for feature j modulo m.

    The diagonal and constant features have no correlation, and what these leave is drawn at random. In a layer with
    fewer units than the net has features they stand for features at even distances among those that are not constant;
    the authors' code takes the first ones, which in images are the upper rows.

    References
    ----------
    .. [1] Zhang et al., 2024, "Epitopological learning and Cannistraci-Hebb network shape intelligence brain-inspired
           theory for ultra-sparse advantage in deep learning": correlated sparse topological initialisation.
    """
    X, _ = part_of(model, data)
    if math.prod(X.shape[1:]) > MOST_FEATURES:
        raise Unsupported(f"the correlations of {math.prod(X.shape[1:]):,} features are more than are computed, "
                          f'{MOST_FEATURES:,}: take start="brf"')
    found = correlations(X)
    varied = np.flatnonzero(found.any(axis=0))
    return partial(_correlated, found, varied if len(varied) else np.arange(len(found)), rng)


def correlations(X) -> np.ndarray:
    """Return ``|Pearson's r|`` (m, m) of the columns of X (n, ...); 0 on the diagonal and for constant columns."""
    n, m = len(X), math.prod(X.shape[1:])
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in _rows(X)) / n
    products = np.zeros((m, m), np.float32)
    for block in _rows(X):
        block = block - mean.astype(block.dtype)
        products += block.T @ block
    norm = np.sqrt(np.diagonal(products))
    scale = np.divide(1, norm, out=np.zeros_like(norm), where=norm > np.finfo(np.float32).eps * n)
    products *= scale[:, None] * scale
    np.fill_diagonal(products, 0)
    return np.abs(products, out=products)


def _rows(X):
    """Yield some rows of X at a time, dense and flat."""
    for start in range(0, len(X), ROWS):
        block = X[start : start + ROWS]
        yield block.reshape(len(block), -1)


def _correlated(found, varied, rng, shape, count):
    """Return the `count` positions of the highest correlations, the first where they are equal; the rest at random."""
    inputs, outputs = (_features(units, len(found), varied) for units in shape)
    size = math.prod(shape)
    places = highest_places(_blocks(found, inputs, outputs), count)
    return np.sort(np.concatenate([places, draw_places(rng, size, count - len(places), places)]))


def _features(units: int, m: int, varied: np.ndarray) -> np.ndarray:
    """Return the feature that each of these units stands for."""
    if units >= m:
        return np.arange(units) % m
    return varied[np.arange(units) * len(varied) // units]


def _blocks(found: np.ndarray, inputs: np.ndarray, outputs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first position, correlations of some inputs with all outputs, -1 for 0)."""
    rows = max(1, BLOCK // len(outputs))
    for start in range(0, len(inputs), rows):
        block = found[inputs[start : start + rows]][:, outputs].reshape(-1)
        yield start * len(outputs), np.where(block > 0, block, -1)


def brf(model: Model, data: Data, rng: np.random.Generator) -> Place:
    """Link near the diagonal: each output has as many links, at distance t with a chance of (1 + t)^(-(1 - r)/r).

    t is the distance of inputs on a ring from where the diagonal meets the output; r = 0.25.

    References
    ----------
    .. [1] Zhang et al., 2025, "Brain network science modelling of sparse neural networks enables Transformers and LLMs
           to perform as fully connected": bipartite receptive field.
    """
    return partial(receptive_field, rng, NARROW)


def receptive_field(rng: np.random.Generator, r: float, shape: tuple[int, int], count: int) -> np.ndarray:
    """Draw `count` positions of a weight (m, n); each output has count / n, rounded either way."""
    m, n = shape
    degrees = np.full(n, count // n)
    degrees[rng.choice(n, count % n, replace=False)] += 1
    places = []
    for first in range(0, n, max(1, BLOCK // m)):
        outputs = np.arange(first, min(n, first + max(1, BLOCK // m)))
        t = np.abs(np.arange(m) - (outputs * m // n)[:, None])  # (outputs, inputs)
        late = np.log(rng.standard_exponential(t.shape)) + (1 - r) / r * np.log1p(np.minimum(t, m - t))
        order = np.argsort(late, axis=1)
        chosen = np.arange(m) < degrees[outputs][:, None]
        places.append((order * n + outputs[:, None])[chosen])
    return np.sort(np.concatenate(places))


def given(model: Model, data: Data, rng: np.random.Generator) -> None:
    """Leave the links where they are."""


STARTS = {f.__name__: f for f in (csti, brf, given)}
