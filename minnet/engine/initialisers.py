"""How weights begin. Each is a function (rng, shape) -> array; `shape` ends in (inputs, outputs).

Numbers are drawn in float64 whatever the model's dtype, so a float32 and a float64 model of one seed agree to rounding.
"""
import math
from collections.abc import Callable

import numpy as np

Initialiser = Callable[[np.random.Generator, tuple], np.ndarray]


def fans(shape: tuple) -> tuple:
    """(fan_in, fan_out): the receptive field times inputs, and times outputs; shape (..., in, out)."""
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def zeros(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """0 everywhere: biases and shifts."""
    return np.zeros(shape)


def ones(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """1 everywhere: gains."""
    return np.ones(shape)


def he(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Normal, variance 2 / fan_in: keeps the size of ReLU activations (He et al., 2015, eq. 10)."""
    return rng.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


def lecun(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Normal, variance 1 / fan_in (LeCun et al., 1998, "Efficient BackProp", eq. 16)."""
    return rng.normal(0.0, math.sqrt(1 / fans(shape)[0]), shape)


def glorot(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010, eq. 16)."""
    limit = math.sqrt(6 / sum(fans(shape)))  # 6: a uniform number in +-a has variance a**2 / 3
    return rng.uniform(-limit, limit, shape)


def orthogonal(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Orthonormal columns, or rows where there are more columns: a layer then keeps lengths (Saxe, McClelland and
    Ganguli, 2014, section 3). The weight is taken as a matrix (field * inputs, outputs); uniform over such matrices."""
    matrix = rng.normal(size=(math.prod(shape[:-1]), shape[-1]))
    tall = matrix if len(matrix) >= shape[-1] else matrix.T
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # else the signs would follow from LAPACK (Mezzadri, 2007)
    return (q if tall is matrix else q.T).reshape(shape)


INITIALISERS = {f.__name__: f for f in (zeros, ones, he, lecun, glorot, orthogonal)}
