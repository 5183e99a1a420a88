"""Standard models, from small to large. Each is a function (shape, n_classes, *, rng, dtype) -> Model.

`shape` is one row or image of the data, as `Dataset.shape` has it.
"""
import numpy as np

from minnet.engine.activations import ReLU
from minnet.engine.containers import Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.model import Model
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.errors import InvalidValue


def mlp(shape, n_classes, hidden=(100,), *, rng=None, dtype=np.float32):
    """Dense layers of the widths `hidden` with ReLU between, and `n_classes` logits."""
    start = [Flatten()] if np.ndim(shape) and len(shape) > 1 else []
    inner = [layer for width in hidden for layer in (Dense(width), ReLU())]
    return Model(Sequential(*start, *inner, Dense(n_classes)), shape, rng=rng, dtype=dtype)


def lenet_300_100(shape, n_classes, *, rng=None, dtype=np.float32):
    """784-300-100-10 on MNIST: 266,200 weights (LeCun et al., 1998; the widths of Han et al., 2015, table 3)."""
    return mlp(shape, n_classes, (300, 100), rng=rng, dtype=dtype)


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


def image(shape, name, smallest):
    """Refuse what is no image, or one that is too small for the model `name`."""
    if np.ndim(shape) == 0 or len(shape) != 3:
        raise InvalidValue(f"{name} takes images (height, width, channels), got the shape {shape}: use mlp or "
                           "lenet_300_100 for rows")
    if min(shape[:2]) < smallest:
        raise InvalidValue(f"{name} takes images of at least {smallest} x {smallest}, got {shape[0]} x {shape[1]}: use "
                           "small_conv or an mlp, or enlarge the images")


MODELS = {f.__name__: f for f in (mlp, lenet_300_100, small_conv, lenet_5, resnet_8)}
