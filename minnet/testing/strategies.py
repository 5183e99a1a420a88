"""Strategies for Hypothesis: nets, masks, scores and data sets.

    @given(nets(), st.data())
    def test_a_law(net, data):
        net.set_mask(data.draw(masks(net)))

What is drawn is small, so that a failure shrinks to something readable.
"""
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minnet.data.dataset import Dataset, from_arrays
from minnet.model import Model
from minnet.testing.small import MASKS, random_mask
from minnet.testing.trees import models, trees
from minnet.typing import Dtype

LARGEST = 1e6  # of a finite score
LEAST, MOST, PART = 6, 12, 0.25  # rows of a class, and the share that is validation or test part


def nets(*, rows: bool = False, outputs: int | None = None, dtype: Dtype = np.float64) -> st.SearchStrategy[Model]:
    """Return a strategy of models with random values and no mask, of all layers that minnet has.

    Parameters
    ----------
    rows : bool
        True for nets on rows alone, of dense layers; otherwise they take images of up to 6 x 6 x 3.
    outputs : int, optional
        How many outputs they have. Default: 1 to 4.
    dtype : str or type
        float32 or float64.

    Returns
    -------
    SearchStrategy of Model
        The strategy.
    """
    return models(trees(rows, outputs), dtype)


def masks(net: Model) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy of masks for a net: of single weights, biases, units, columns, rows, or of whole layers.

    Parameters
    ----------
    net : Model
        The model whose `set_mask` takes them.

    Returns
    -------
    SearchStrategy of ndarray
        bool, as long as the flat vector of values; True where kept. Statistics are kept.
    """
    return _masks(net)


@st.composite
def _masks(draw, net):
    kinds = draw(st.sets(st.sampled_from(MASKS), min_size=1))
    density = draw(st.sampled_from([0.1, 0.4, 0.7, 0.9]))
    return random_mask(net, kinds, density, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


def scores(net: Model, *, ties: bool = True, infinite: bool = True) -> st.SearchStrategy[np.ndarray]:
    """Return a strategy of scores as a criterion may return them for a net.

    Parameters
    ----------
    net : Model
        The model whose weights they score.
    ties : bool
        Whether many may be equal.
    infinite : bool
        Whether some may be infinite, which is legal: these are removed last, or first.

    Returns
    -------
    SearchStrategy of ndarray
        float64 of shape (n_weights,), no NaN.
    """
    number = st.floats(-LARGEST, LARGEST)
    if infinite:
        number = st.one_of(number, st.sampled_from([np.inf, -np.inf]))
    drawn = arrays(np.float64, net.n_weights, elements=number, unique=not ties)
    few = arrays(np.float64, net.n_weights, elements=st.sampled_from([0.0, -0.0, 1.0, 2.0]))
    return st.one_of(drawn, few) if ties else drawn


def datasets(net: Model | None = None, *, classes: int | None = None) -> st.SearchStrategy[Dataset]:
    """Return a strategy of small data sets of classes, each of which has rows in every part.

    Parameters
    ----------
    net : Model, optional
        A model that takes them, as drawn by `nets`. Default: rows of 1 to 5 numbers.
    classes : int, optional
        How many classes; 1 for numbers to learn. Default: as many as the net has outputs, or 2 to 4.

    Returns
    -------
    SearchStrategy of Dataset
        The strategy.
    """
    return _datasets(net, classes)


@st.composite
def _datasets(draw, net, classes):
    shape = net.input_shape if net is not None else (draw(st.integers(1, 5)),)
    if classes is None:
        classes = draw(st.integers(2, 4)) if net is None else int(net.output_shape[-1])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = classes * draw(st.integers(LEAST, MOST))
    X = rng.normal(size=(n, *shape)).astype(np.float32)
    y = rng.permutation(np.arange(n) % classes) if classes > 1 else rng.normal(size=n)
    return from_arrays(X, y, name="drawn", scaling="none", valid=PART, test=PART, rng=rng)
