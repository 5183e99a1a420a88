"""Initial values of weights. Each is a function (rng, shape) -> array; `shape` ends in (inputs, outputs).

Values are drawn in float64 for every dtype of model, so a float32 and a float64 model of one seed agree to rounding.
"""
import math
from collections.abc import Callable

import numpy as np

Initialiser = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out): the receptive field times inputs, and times outputs; shape (..., in, out)."""
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros: initial biases and shifts.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    shape : tuple of int
        Shape of the weight, (..., inputs, outputs).

    Returns
    -------
    numpy.ndarray
        Values of that shape, float64.
    """
    return np.zeros(shape)


def ones(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return ones: initial gains.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    shape : tuple of int
        Shape of the weight, (..., inputs, outputs).

    Returns
    -------
    numpy.ndarray
        Values of that shape, float64.
    """
    return np.ones(shape)


def he(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from a normal distribution of variance 2 / fan_in, which keeps the size of ReLU activations.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the values.
    shape : tuple of int
        Shape of the weight, (..., inputs, outputs).

    Returns
    -------
    numpy.ndarray
        Values of that shape, float64.

    References
    ----------
    He et al., 2015, "Delving deep into rectifiers: surpassing human-level performance on ImageNet classification",
    eq. 10.
    """
    return rng.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


def lecun(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from a normal distribution of variance 1 / fan_in.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the values.
    shape : tuple of int
        Shape of the weight, (..., inputs, outputs).

    Returns
    -------
    numpy.ndarray
        Values of that shape, float64.

    References
    ----------
    LeCun et al., 1998, "Efficient BackProp", eq. 16.
    """
    return rng.normal(0.0, math.sqrt(1 / fans(shape)[0]), shape)


def glorot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from a uniform distribution in +-sqrt(6 / (fan_in + fan_out)).

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the values.
    shape : tuple of int
        Shape of the weight, (..., inputs, outputs).

    Returns
    -------
    numpy.ndarray
        Values of that shape, float64.

    References
    ----------
    Glorot and Bengio, 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    limit = math.sqrt(6 / sum(fans(shape)))  # 6: a uniform number in +-a has variance a**2 / 3
    return rng.uniform(-limit, limit, shape)


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a matrix with orthonormal columns, or rows if there are more columns: a layer then keeps lengths.

    The weight is taken as a matrix (field * inputs, outputs); uniform over such matrices.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the values.
    shape : tuple of int
        Shape of the weight, (..., inputs, outputs).

    Returns
    -------
    numpy.ndarray
        Values of that shape, float64.

    References
    ----------
    Saxe, McClelland and Ganguli, 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", section 3.
    """
    matrix = rng.normal(size=(math.prod(shape[:-1]), shape[-1]))
    tall = matrix if len(matrix) >= shape[-1] else matrix.T
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # else the signs would be LAPACK's choice (Mezzadri, 2007)
    return (q if tall is matrix else q.T).reshape(shape)


INITIALISERS = {f.__name__: f for f in (zeros, ones, he, lecun, glorot, orthogonal)}
