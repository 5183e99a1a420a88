"""Standard models, from small to large. Each is a function (shape, n_classes, *, rng, dtype) -> Model.

`shape` is one row or image of the data, as `Dataset.shape` has it.
"""
import math
from collections.abc import Iterable
from dataclasses import replace
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

FEWEST_WIDTHS = 2  # of inputs and classes
GREY_AND_COLOUR = (1, 3)  # channels
VGG_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
VGG_WIDTHS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (filters, convolutions) of each block


def mlp(shape, n_classes, hidden=(100,), *, rng=None, dtype=np.float32):
    """Dense layers of the widths `hidden` with ReLU between, and `n_classes` logits."""
    start = [Flatten()] if np.ndim(shape) and len(shape) > 1 else []
    inner = [layer for width in hidden for layer in (Dense(width), ReLU())]
    return Model(Sequential(*start, *inner, Dense(n_classes)), shape, rng=rng, dtype=dtype)


def lenet_300_100(shape, n_classes, *, rng=None, dtype=np.float32):
    """784-300-100-10 on MNIST: 266,200 weights (LeCun et al., 1998; the widths of Han et al., 2015, table 3)."""
    return mlp(shape, n_classes, (300, 100), rng=rng, dtype=dtype)


def sparse_mlp(widths, epsilon=20, *, shape=None, rng=None, dtype=np.float32):
    """Layers of the widths `widths`, inputs and classes included, born sparse, with ReLU between (Mocanu et al., 2018,
    "Scalable training of artificial neural networks with adaptive sparse connectivity", eq. 1).

    Between n_in and n_out units stand epsilon (n_in + n_out) weights, at random places: an Erdős-Rényi graph with
    exactly the number that it has on average. A layer that would have more weights than places is dense. `shape` is
    that of one image, where the data are not rows. No dense matrix is made of a layer that is not.
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
    """The layer between `ins` and `outs` units."""
    live = round(epsilon * (ins + outs))
    return SparseDense(outs, live) if live < ins * outs else Dense(outs)


def small_conv(shape, n_classes, *, rng=None, dtype=np.float32):
    """Two 3 x 3 convolutions of 16 and 32 filters, a pool after each, and 64 units: a small net for 8 x 8 digits."""
    image(shape, "small_conv", 4)
    tree = Sequential(Conv2d(16, 3, padding="same"), ReLU(), MaxPool2d(2),
                      Conv2d(32, 3, padding="same"), ReLU(), MaxPool2d(2),
                      Flatten(), Dense(64), ReLU(), Dense(n_classes))
    return Model(tree, shape, rng=rng, dtype=dtype)


def lenet_5(shape, n_classes, *, rng=None, dtype=np.float32):
    """Caffe's LeNet: 5 x 5 convolutions of 20 and 50 filters, each with a 2 x 2 pool, 500 units; valid padding.

    430,500 weights on 28 x 28 x 1. The smallest image it takes is 16 x 16.
    """
    image(shape, "lenet_5", 16)
    first, second = (Conv2d(filters, 5, initialiser="lecun") for filters in (20, 50))  # no ReLU follows them
    tree = Sequential(first, MaxPool2d(2), second, MaxPool2d(2), Flatten(), Dense(500), ReLU(), Dense(n_classes))
    return Model(tree, shape, rng=rng, dtype=dtype)


def resnet_8(shape, n_classes, width=16, *, rng=None, dtype=np.float32):
    """A convolution, three residual blocks of `width`, 2 `width` and 4 `width` filters, and a mean: ResNet with n = 1
    (He et al., 2016, section 4.2), projections of 1 x 1 where the size changes."""
    image(shape, "resnet_8", 4)
    stages = [_residual(width, 1, project=False), _residual(2 * width, 2), _residual(4 * width, 2)]
    blocks = [layer for block in stages for layer in (block, ReLU())]
    stem = (Conv2d(width, 3, padding="same", use_bias=False), BatchNorm(), ReLU())
    return Model(Sequential(*stem, *blocks, GlobalAvgPool2d(), Dense(n_classes)), shape, rng=rng, dtype=dtype)


def _residual(filters, stride, project=True):
    """Two 3 x 3 convolutions with BatchNorm, and a projection where the size changes."""
    branch = Sequential(Conv2d(filters, 3, stride, "same", use_bias=False), BatchNorm(), ReLU(),
                        Conv2d(filters, 3, 1, "same", use_bias=False), BatchNorm())
    shortcut = Sequential(Conv2d(filters, 1, stride, use_bias=False), BatchNorm()) if project else None
    return Residual(branch, shortcut)


def conv_2(shape, n_classes, *, rng=None, dtype=np.float32):
    """Two 3 x 3 convolutions of 64 filters, a pool, 256-256 units (Frankle and Carbin, 2019, figure 2)."""
    return _vgg_like("conv_2", (64,), shape, n_classes, rng, dtype)


def conv_4(shape, n_classes, *, rng=None, dtype=np.float32):
    """Two pairs of 3 x 3 convolutions, of 64 and 128 filters, a pool after each, 256-256 units (the same figure)."""
    return _vgg_like("conv_4", (64, 128), shape, n_classes, rng, dtype)


def conv_6(shape, n_classes, *, rng=None, dtype=np.float32):
    """Three pairs of 3 x 3 convolutions, of 64, 128 and 256 filters, a pool after each, 256-256 units (the same)."""
    return _vgg_like("conv_6", (64, 128, 256), shape, n_classes, rng, dtype)


def _vgg_like(name, widths, shape, n_classes, rng, dtype):
    """A pair of convolutions and a pool for each width, then two dense layers of 256."""
    image(shape, name, 2 ** len(widths))
    pairs = [layer for width in widths
             for layer in (*_convolution(width), *_convolution(width), MaxPool2d(2))]
    head = (Flatten(), Dense(256), ReLU(), Dense(256), ReLU(), Dense(n_classes))
    return Model(Sequential(*pairs, *head), shape, rng=rng, dtype=dtype)


def _convolution(filters, name=None):
    return Conv2d(filters, 3, padding="same", name=name), ReLU()


def separable_conv(shape, n_classes, *, rng=None, dtype=np.float32):
    """A convolution, then three blocks of a depthwise 3 x 3 and a pointwise 1 x 1 convolution with BatchNorm, and a
    mean over the image: a small MobileNet (Howard et al., 2017, table 1)."""
    image(shape, "separable_conv", 4)
    blocks = [layer for filters, stride in ((32, 1), (64, 2), (64, 1))
              for layer in (DepthwiseConv2d(3, stride, "same", use_bias=False), BatchNorm(), ReLU(),
                            Conv2d(filters, 1, use_bias=False), BatchNorm(), ReLU())]
    stem = (Conv2d(16, 3, padding="same", use_bias=False), BatchNorm(), ReLU())
    return Model(Sequential(*stem, *blocks, GlobalAvgPool2d(), Dense(n_classes)), shape, rng=rng, dtype=dtype)


def vgg16(shape=(224, 224, 3), n_classes=None, *, weights=None, include_top=False, head=None, widths=VGG_WIDTHS,
          rng=None, dtype=np.float32):
    """VGG16 (Simonyan and Zisserman, 2015, table 1, column D), its layers named as Keras names them.

    Without a top (`include_top=False`) the convolutional base alone, 14,714,688 parameters, whose outputs are the last
    pool's images; with `n_classes` a classifier of one Dense layer, "predictions", stands on it, after one of `head`
    units with ReLU where that is given. With the top, the two layers of 4,096 units and `n_classes` (1,000) logits.
    `weights` is the path of Keras's weights file (.h5); a classifier that it lacks keeps its random start. Images are
    BGR less the mean (103.939, 116.779, 123.68) on a 0-255 scale. `widths` makes a smaller net of that shape.
    """
    image(shape, "vgg16", 2 ** len(widths))
    blocks = [layer for b, (filters, count) in enumerate(widths, 1)
              for layer in (*[part for c in range(1, count + 1) for part in _convolution(filters, f"block{b}_conv{c}")],
                            MaxPool2d(2, name=f"block{b}_pool"))]
    if include_top:
        top = (Flatten(), Dense(4096, name="fc1"), ReLU(), Dense(4096, name="fc2"), ReLU())
    else:
        top = () if n_classes is None else (Flatten(), *(() if head is None else (Dense(head, name="head"), ReLU())))
    if include_top or n_classes is not None:
        top = (*top, Dense(n_classes or 1000, name="predictions"))
    model = Model(Sequential(*blocks, *top), shape, rng=rng, dtype=dtype)
    if weights is not None:
        from minnet.formats.keras import load_keras

        load_keras(model, weights, missing=("head", "predictions") if not include_top else ())
    return model


def vgg16_input(data, size=32):
    """The Dataset `data`, images in [0, 1], as VGG16 was trained to see it: size x size x 3 (bilinear), one channel
    repeated, 0-255, BGR, less the mean of ImageNet's training images (Simonyan and Zisserman, 2015, section 2.1)."""
    if data.scaling != "unit":
        raise InvalidValue(f"vgg16_input wants images in [0, 1], got scaling={data.scaling!r}: load_data(..., "
                           'scaling="unit")')
    parts = {name: as_bgr(getattr(data, name), size) for name in ("X_train", "X_valid", "X_test")}
    return replace(data, shape=(size, size, 3), scaling="vgg16", **parts)


def as_bgr(X, size=32):
    """The images X (n, h, w, 1 or 3) in [0, 1] -> (n, size, size, 3) around 0, in X's dtype: see `vgg16_input`."""
    from scipy.ndimage import zoom

    image(X.shape[1:], "vgg16_input", 1)
    _, h, w, channels = X.shape
    if channels not in GREY_AND_COLOUR:
        raise InvalidValue(f"vgg16_input takes images of 1 or 3 channels (red, green, blue), got {channels}")
    sized = zoom(X, (1, size / h, size / w, 1), order=1, mode="nearest", grid_mode=True) * 255
    bgr = np.repeat(sized, 3, axis=-1) if channels == 1 else sized[..., ::-1]
    return np.ascontiguousarray(bgr - np.asarray(VGG_MEAN, X.dtype))


def image(shape, name, smallest):
    """Refuse what is no image, or one that is too small for the model `name`."""
    if np.ndim(shape) == 0 or len(shape) != 3:
        raise InvalidValue(f"{name} takes images (height, width, channels), got the shape {shape}: use mlp or "
                           "lenet_300_100 for rows")
    if min(shape[:2]) < smallest:
        raise InvalidValue(f"{name} takes images of at least {smallest} x {smallest}, got {shape[0]} x {shape[1]}: use "
                           "small_conv or an mlp, or enlarge the images")


MODELS = {f.__name__: f for f in (mlp, lenet_300_100, small_conv, lenet_5, conv_2, conv_4, conv_6, resnet_8,
                                  separable_conv, vgg16)}
