"""Standard models, from small to large: functions (shape, n_classes, *, rng, dtype) -> Model.

`shape` is one row or image of the data, as `Dataset.shape` has it.
"""
import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from minnet.engine.activations import ReLU
from minnet.engine.containers import Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.engine.sparse import SparseDense
from minnet.errors import InvalidType, InvalidValue, check_count, check_positive, quoted
from minnet.model import Model
from minnet.typing import Dtype, Seed, Shape
from minnet.vgg import VGG_MEAN as VGG_MEAN
from minnet.vgg import VGG_WIDTHS as VGG_WIDTHS
from minnet.vgg import as_bgr as as_bgr
from minnet.vgg import conv_2 as conv_2
from minnet.vgg import conv_4 as conv_4
from minnet.vgg import conv_6 as conv_6
from minnet.vgg import image as image
from minnet.vgg import vgg16 as vgg16
from minnet.vgg import vgg16_input as vgg16_input

FEWEST_WIDTHS = 2  # of inputs and classes


def mlp(shape: Shape, n_classes: int, hidden: Iterable[int] = (100,), *, rng: Seed = None,
        dtype: Dtype = np.float32) -> Model:
    """Make a net of dense layers with ReLU between them.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row (d,) or image, as `Dataset.shape` has it.
    n_classes : int
        The number of logits.
    hidden : iterable of int
        Widths of the hidden layers.
    rng : int, numpy.random.Generator or None
        What the initial weights are drawn from.
    dtype : type or str
        numpy.float32 or numpy.float64.

    Returns
    -------
    Model
        The model, with its weights drawn.

    Raises
    ------
    InvalidValue
        A width or the shape is not made of whole numbers of at least 1.
    """
    start = [Flatten()] if np.ndim(shape) and len(shape) > 1 else []
    inner = [layer for width in hidden for layer in (Dense(width), ReLU())]
    return Model(Sequential(*start, *inner, Dense(n_classes)), shape, rng=rng, dtype=dtype)


def lenet_300_100(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make LeNet-300-100, which has 266,200 weights on MNIST.

    Parameters
    ----------
    shape, n_classes, rng, dtype
        As for `mlp`.

    Returns
    -------
    Model
        The model, with its weights drawn.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proceedings of the
    IEEE, 1998; the widths of Han, Pool, Tran and Dally, "Learning both weights and connections for efficient neural
    networks", NeurIPS 2015, table 3.
    """
    return mlp(shape, n_classes, (300, 100), rng=rng, dtype=dtype)


def sparse_mlp(widths: Iterable[int], epsilon: float = 20, *, shape: Shape | None = None, rng: Seed = None,
               dtype: Dtype = np.float32) -> Model:
    """Make a net of layers that are born sparse, with ReLU between them.

    Parameters
    ----------
    widths : iterable of int
        Widths of all layers, inputs and classes included, as in (784, 1000, 10).
    epsilon : float
        Sets the density: epsilon (n_in + n_out) weights between n_in and n_out units.
    shape : tuple of int, optional
        Shape of one image, where the data are not rows.
    rng : int, numpy.random.Generator or None
        What the initial weights are drawn from.
    dtype : type or str
        numpy.float32 or numpy.float64.

    Returns
    -------
    Model
        The model, with its weights drawn.

    Raises
    ------
    InvalidValue
        `widths` has fewer than two entries, or its first is not the size of `shape`.
    InvalidType
        `widths` is no sequence of numbers.

    Notes
    -----
    The places of the weights are random: an Erdős-Rényi graph with exactly its mean number of edges. A layer that would
    have more weights than places is dense; no dense matrix is made of any other.

    References
    ----------
    Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science", Nature Communications, 2018, eq. 1.
    """
    if not isinstance(widths, Iterable) or isinstance(widths, str):
        raise InvalidType(f"widths={quoted(repr(widths))}: give a sequence of numbers, as in (784, 1000, 10)")
    widths = [check_count("a width", width, 1) for width in widths]
    check_positive("epsilon", epsilon)
    shape = tuple(widths[:1] if shape is None else shape)
    if len(widths) < FEWEST_WIDTHS or math.prod(shape) != widths[0]:
        raise InvalidValue(f"widths={widths} and shape={shape}: wanted the number of inputs, any hidden widths, and "
                           "the number of classes, as in (784, 1000, 10)")
    layers = [ReLU() if between else _scattered(ins, outs, epsilon) for ins, outs in pairwise(widths)
              for between in (False, True)][:-1]
    return Model(Sequential(*([] if len(shape) == 1 else [Flatten()]), *layers), shape, rng=rng, dtype=dtype)


def _scattered(ins, outs, epsilon):
    """Return the layer between `ins` and `outs` units."""
    live = round(epsilon * (ins + outs))
    return SparseDense(outs, live) if live < ins * outs else Dense(outs)


def small_conv(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make a small net for 8 x 8 digits: two 3 x 3 convolutions, of 16 and 32 filters, and 64 units.

    Parameters
    ----------
    shape, n_classes, rng, dtype
        As for `mlp`, of images (h, w, c).

    Returns
    -------
    Model
        The model, with its weights drawn.

    Raises
    ------
    InvalidValue
        Images are smaller than this net takes, or `shape` is that of rows.

    Notes
    -----
    A 2 x 2 max pool follows each convolution. The smallest image is 4 x 4.
    """
    image(shape, "small_conv", 4)
    tree = Sequential(Conv2d(16, 3, padding="same"), ReLU(), MaxPool2d(2),
                      Conv2d(32, 3, padding="same"), ReLU(), MaxPool2d(2),
                      Flatten(), Dense(64), ReLU(), Dense(n_classes))
    return Model(tree, shape, rng=rng, dtype=dtype)


def lenet_5(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make Caffe's LeNet: 5 x 5 convolutions of 20 and 50 filters, each with a 2 x 2 pool, and 500 units.

    Parameters
    ----------
    shape, n_classes, rng, dtype
        As for `mlp`, of images (h, w, c).

    Returns
    -------
    Model
        The model, with its weights drawn.

    Raises
    ------
    InvalidValue
        Images are smaller than this net takes, or `shape` is that of rows.

    Notes
    -----
    Padding is "valid". 430,500 weights on 28 x 28 x 1; the smallest image is 16 x 16.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proceedings of the
    IEEE, 1998; the widths of Caffe's example.
    """
    image(shape, "lenet_5", 16)
    first, second = (Conv2d(filters, 5, initialiser="lecun") for filters in (20, 50))  # no ReLU follows them
    tree = Sequential(first, MaxPool2d(2), second, MaxPool2d(2), Flatten(), Dense(500), ReLU(), Dense(n_classes))
    return Model(tree, shape, rng=rng, dtype=dtype)


def resnet_8(shape: Shape, n_classes: int, width: int = 16, *, rng: Seed = None,
             dtype: Dtype = np.float32) -> Model:
    """Make a residual net: a convolution, three residual blocks and a mean over the image.

    Parameters
    ----------
    width : int
        Filters of the first block; the second has twice as many, the third four times.
    shape, n_classes, rng, dtype
        As for `mlp`, of images (h, w, c).

    Returns
    -------
    Model
        The model, with its weights drawn.

    Raises
    ------
    InvalidValue
        Images are smaller than this net takes, or `shape` is that of rows.

    Notes
    -----
    ResNet with n = 1, with projections of 1 x 1 where the size changes. The smallest image is 4 x 4.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    """
    image(shape, "resnet_8", 4)
    stages = [_residual(width, 1, project=False), _residual(2 * width, 2), _residual(4 * width, 2)]
    blocks = [layer for block in stages for layer in (block, ReLU())]
    stem = (Conv2d(width, 3, padding="same", use_bias=False), BatchNorm(), ReLU())
    return Model(Sequential(*stem, *blocks, GlobalAvgPool2d(), Dense(n_classes)), shape, rng=rng, dtype=dtype)


def _residual(filters, stride, project=True):
    """Return two 3 x 3 convolutions with BatchNorm, and a projection where the size changes."""
    branch = Sequential(Conv2d(filters, 3, stride, "same", use_bias=False), BatchNorm(), ReLU(),
                        Conv2d(filters, 3, 1, "same", use_bias=False), BatchNorm())
    shortcut = Sequential(Conv2d(filters, 1, stride, use_bias=False), BatchNorm()) if project else None
    return Residual(branch, shortcut)


def separable_conv(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make a small MobileNet: a convolution and three depthwise separable blocks with BatchNorm.

    Parameters
    ----------
    shape, n_classes, rng, dtype
        As for `mlp`, of images (h, w, c).

    Returns
    -------
    Model
        The model, with its weights drawn.

    Raises
    ------
    InvalidValue
        Images are smaller than this net takes, or `shape` is that of rows.

    Notes
    -----
    A block is a depthwise 3 x 3 and a pointwise 1 x 1 convolution; a mean over the image follows the last.

    References
    ----------
    Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017, table 1.
    """
    image(shape, "separable_conv", 4)
    blocks = [layer for filters, stride in ((32, 1), (64, 2), (64, 1))
              for layer in (DepthwiseConv2d(3, stride, "same", use_bias=False), BatchNorm(), ReLU(),
                            Conv2d(filters, 1, use_bias=False), BatchNorm(), ReLU())]
    stem = (Conv2d(16, 3, padding="same", use_bias=False), BatchNorm(), ReLU())
    return Model(Sequential(*stem, *blocks, GlobalAvgPool2d(), Dense(n_classes)), shape, rng=rng, dtype=dtype)


MODELS = {f.__name__: f for f in (mlp, lenet_300_100, small_conv, lenet_5, conv_2, conv_4, conv_6, resnet_8,
                                  separable_conv, vgg16)}
