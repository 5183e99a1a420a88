"""VGG16 and the smaller nets in its style: pairs of 3 x 3 convolutions, a pool after each, dense layers at the end.

    model = vgg16((32, 32, 3), 10, weights="vgg16.h5")
    data = vgg16_input(load_data("mnist"), 32)

Layers of VGG16 have the names that Keras gives them.
"""
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minnet.data import Dataset
from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.errors import InvalidValue
from minnet.model import Model
from minnet.typing import Dtype, Path, Seed, Shape

GREY_AND_COLOUR = (1, 3)  # channels
VGG_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
VGG_WIDTHS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (filters, convolutions) of each block


def conv_2(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make two 3 x 3 convolutions of 64 filters, a pool, and two dense layers of 256 units.

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

    References
    ----------
    Frankle and Carbin, "The lottery ticket hypothesis", ICLR 2019, figure 2.
    """
    return _vgg_like("conv_2", (64,), shape, n_classes, rng, dtype)


def conv_4(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make two pairs of 3 x 3 convolutions, of 64 and 128 filters, and two dense layers of 256 units.

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
    A pool follows each pair.

    References
    ----------
    Frankle and Carbin, "The lottery ticket hypothesis", ICLR 2019, figure 2.
    """
    return _vgg_like("conv_4", (64, 128), shape, n_classes, rng, dtype)


def conv_6(shape: Shape, n_classes: int, *, rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make three pairs of 3 x 3 convolutions, of 64, 128 and 256 filters, and two dense layers of 256.

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
    A pool follows each pair.

    References
    ----------
    Frankle and Carbin, "The lottery ticket hypothesis", ICLR 2019, figure 2.
    """
    return _vgg_like("conv_6", (64, 128, 256), shape, n_classes, rng, dtype)


def _vgg_like(name, widths, shape, n_classes, rng, dtype):
    """Make a pair of convolutions and a pool for each width, then two dense layers of 256 units."""
    image(shape, name, 2 ** len(widths))
    pairs = [layer for width in widths
             for layer in (*_convolution(width), *_convolution(width), MaxPool2d(2))]
    head = (Flatten(), Dense(256), ReLU(), Dense(256), ReLU(), Dense(n_classes))
    return Model(Sequential(*pairs, *head), shape, rng=rng, dtype=dtype)


def _convolution(filters, name=None):
    return Conv2d(filters, 3, padding="same", name=name), ReLU()


def vgg16(shape: Shape = (224, 224, 3), n_classes: int | None = None, *, weights: Path | None = None,
          include_top: bool = False, head: int | None = None, widths: Sequence[tuple[int, int]] = VGG_WIDTHS,
          rng: Seed = None, dtype: Dtype = np.float32) -> Model:
    """Make VGG16, its layers named as Keras names them.

    Parameters
    ----------
    shape : tuple of int
        Shape of one image (h, w, 3): BGR less the mean (103.939, 116.779, 123.68) on a 0-255 scale; see `vgg16_input`.
    n_classes : int, optional
        The number of logits; without it, and without `include_top`, the convolutional base alone (14,714,688
        parameters), whose outputs are the images of the last pool.
    weights : str or os.PathLike, optional
        Keras's weights file (.h5). A classifier that it lacks keeps its random weights.
    include_top : bool
        Add the two dense layers of 4,096 units and a classifier of `n_classes` (1,000) logits.
    head : int, optional
        Units of a dense layer with ReLU before the classifier, without `include_top`.
    widths : sequence of (int, int)
        (filters, convolutions) of each block: a smaller net of the same form.
    rng : int, numpy.random.Generator or None
        What the initial weights are drawn from.
    dtype : type or str
        numpy.float32 or numpy.float64.

    Returns
    -------
    Model
        The model, with its weights drawn or read.

    Raises
    ------
    InvalidValue
        The image is too small, or `shape` is that of rows.
    FileError
        The weights file cannot be read, or does not fit.

    References
    ----------
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, table 1,
    column D.
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


def vgg16_input(data: Dataset, size: int = 32) -> Dataset:
    """Return a Dataset of images as VGG16 was trained on them.

    Parameters
    ----------
    data : Dataset
        Images (h, w, 1 or 3), scaled to [0, 1]: `load_data(..., scaling="unit")`.
    size : int
        Height and width of the new images.

    Returns
    -------
    Dataset
        The same data set of images (size, size, 3): resized bilinearly, one channel repeated, on a 0-255 scale, BGR,
        less the mean of ImageNet's training images.

    Raises
    ------
    InvalidValue
        `data` has another scaling, or is not of images with 1 or 3 channels.

    References
    ----------
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, section
    2.1.
    """
    if data.scaling != "unit":
        raise InvalidValue(f"vgg16_input wants images in [0, 1], got scaling={data.scaling!r}: load_data(..., "
                           'scaling="unit")')
    parts = {name: as_bgr(data.scaled(getattr(data, name)), size) for name in ("X_train", "X_valid", "X_test")}
    given = data.signature.as_given((size, size, 3))
    return replace(data, shape=given.shape, scaling="vgg16", signature=given, enlarged=data.signature, **parts)


def as_bgr(X: np.ndarray, size: int = 32) -> np.ndarray:
    """Return images X (n, h, w, 1 or 3) in [0, 1] as (n, size, size, 3) in X's dtype: see `vgg16_input`."""
    from scipy.ndimage import zoom

    image(X.shape[1:], "vgg16_input", 1)
    _, h, w, channels = X.shape
    if channels not in GREY_AND_COLOUR:
        raise InvalidValue(f"vgg16_input takes images of 1 or 3 channels (red, green, blue), got {channels}")
    sized = zoom(X, (1, size / h, size / w, 1), order=1, mode="nearest", grid_mode=True) * 255
    bgr = np.repeat(sized, 3, axis=-1) if channels == 1 else sized[..., ::-1]
    return np.ascontiguousarray(bgr - np.asarray(VGG_MEAN, X.dtype))


def image(shape, name, smallest):
    """Refuse a shape that is not an image's, or too small for the model `name`."""
    if np.ndim(shape) == 0 or len(shape) != 3:
        raise InvalidValue(f"{name} takes images (height, width, channels), got the shape {shape}: use mlp or "
                           "lenet_300_100 for rows")
    if min(shape[:2]) < smallest:
        raise InvalidValue(f"{name} takes images of at least {smallest} x {smallest}, got {shape[0]} x {shape[1]}: use "
                           "small_conv or an mlp, or enlarge the images")
