"""Augmentation: functions (X, rng) -> X of a batch, drawn anew at each step, for `train(..., augment=)`.

    for step in train(model, data, augment=shift(2)): ...
    for step in train(model, data, augment=compose(shift(2), rotate(10), mixup(0.2))): ...
    train(mlp, data, augment=shift(1, shape=(8, 8)))             # rows that are flat images

Images are (n, h, w, c). What comes in from beyond an edge has the value of the edge, and values between pixels are
weighted means, so that each image stays between its own smallest and largest value, however the data are scaled.
A function of your own takes (X, rng) and returns an array of X's shape, or a `Mix`.
"""
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minnet.errors import InvalidType, InvalidValue, check_count, check_positive, check_real, quoted


class Mix(NamedTuple):
    """Rows that are means of two: row i is share X[i] + (1 - share) X[partner[i]], and so is its loss."""

    X: np.ndarray
    partner: np.ndarray
    share: float


Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray | Mix]
Shape = Sequence[int] | None


def shift(most: int = 2, *, shape: Shape = None) -> Augment:
    """Move each image by whole pixels, from -most to most in each direction.

    Parameters
    ----------
    most : int, default 2
        The largest number of pixels.
    shape : tuple of int, optional
        (h, w) or (h, w, c) of the images in rows that are flat.

    Returns
    -------
    callable
        A function (X, rng) -> X.

    Raises
    ------
    InvalidValue, InvalidType
        If `most` is no whole number of at least 0.
    """
    check_count("most", most, 0)

    def moved(images, rng):
        by = rng.integers(-most, most + 1, (2, len(images), 1, 1))
        return _at(images, *(_grid(images) + by))
    return _on_images(moved, shape)


def rotate(degrees: float = 10.0, *, shape: Shape = None) -> Augment:
    """Rotate each image about its centre by an angle, uniform from -degrees to degrees; above 0 is clockwise.

    Parameters
    ----------
    degrees : float, default 10
        The largest angle.
    shape : tuple of int, optional
        (h, w) or (h, w, c) of the images in rows that are flat.

    Returns
    -------
    callable
        A function (X, rng) -> X.

    Raises
    ------
    InvalidValue, InvalidType
        If `degrees` is no number of at least 0.
    """
    check_real("degrees", degrees, 0)

    def turned(images, rng):
        angle = np.radians(rng.uniform(-degrees, degrees, (len(images), 1, 1)))
        centre = np.array(images.shape[1:3]).reshape(2, 1, 1, 1) / 2 - 0.5
        y, x = _grid(images) - centre
        cos, sin = np.cos(angle), np.sin(angle)
        return _at(images, cos * y - sin * x + centre[0], sin * y + cos * x + centre[1])
    return _on_images(turned, shape)


def elastic(strength: float = 8.0, width: float = 3.0, *, shape: Shape = None) -> Augment:
    """Displace the pixels of each image by a smooth random field.

    Displacements are uniform in [-1, 1] for each pixel, smoothed by a Gaussian of standard deviation `width`, and
    multiplied by `strength`; both are in pixels.

    Parameters
    ----------
    strength : float, default 8
        The factor of the displacements.
    width : float, default 3
        The standard deviation of the Gaussian.
    shape : tuple of int, optional
        (h, w) or (h, w, c) of the images in rows that are flat.

    Returns
    -------
    callable
        A function (X, rng) -> X.

    Raises
    ------
    InvalidValue, InvalidType
        If `strength` is below 0, or `width` is not above 0.

    References
    ----------
    .. [1] Simard, Steinkraus and Platt, 2003, "Best practices for convolutional neural networks applied to visual
           document analysis", section 2.
    """
    check_real("strength", strength, 0)
    check_positive("width", width)

    def bent(images, rng):
        n, h, w, _ = images.shape
        field = _gaussian(h, width) @ rng.uniform(-1, 1, (2, n, h, w)) @ _gaussian(w, width).T
        return _at(images, *(_grid(images) + strength * field))
    return _on_images(bent, shape)


def cutout(size: int = 4, *, shape: Shape = None) -> Augment:
    """Fill a square of each image, at a random centre, with the image's mean; what is beyond the edge is left out.

    Parameters
    ----------
    size : int, default 4
        The side of the square, in pixels.
    shape : tuple of int, optional
        (h, w) or (h, w, c) of the images in rows that are flat.

    Returns
    -------
    callable
        A function (X, rng) -> X.

    Raises
    ------
    InvalidValue, InvalidType
        If `size` is no whole number of at least 1.

    References
    ----------
    .. [1] DeVries and Taylor, 2017, "Improved regularization of convolutional neural networks with cutout", section 3.
    """
    check_count("size", size, 1)

    def filled(images, rng):
        n, h, w, _ = images.shape
        corner = np.stack([rng.integers(0, h, n), rng.integers(0, w, n)]).reshape(2, n, 1, 1) - size // 2
        inside = ((_grid(images) >= corner) & (_grid(images) < corner + size)).all(axis=0)
        return np.where(inside[..., None], images.mean(axis=(1, 2), keepdims=True), images)
    return _on_images(filled, shape)


def mixup(alpha: float = 0.2) -> Augment:
    """Replace each row by a mean of it and another row of the batch, and its loss by the same mean of both losses.

    The share of the row itself is drawn once a batch, from Beta(alpha, alpha).

    Parameters
    ----------
    alpha : float, default 0.2
        The closer to 0, the less is mixed.

    Returns
    -------
    callable
        A function (X, rng) -> Mix.

    Raises
    ------
    InvalidValue, InvalidType
        If `alpha` is not above 0.

    References
    ----------
    .. [1] Zhang et al., 2018, "mixup: beyond empirical risk minimization", equation 1.
    """
    check_positive("alpha", alpha)

    def mixed(X, rng):
        share, partner = float(rng.beta(alpha, alpha)), rng.permutation(len(X))
        other = X[partner]
        mean = share * X + (1 - share) * other
        return Mix(np.clip(mean, np.minimum(X, other), np.maximum(X, other)), partner, share)
    return mixed


def compose(*functions: Augment) -> Augment:
    """Apply several augmentations in turn; `mixup`, if any, comes last.

    Parameters
    ----------
    functions : callable
        Functions (X, rng) -> X.

    Returns
    -------
    callable
        A function (X, rng) -> X, or Mix.

    Raises
    ------
    InvalidType
        If one of them is no function; in training, if one that mixes rows is not the last.
    """
    for function in functions:
        if not callable(function):
            raise InvalidType(f"compose({quoted(repr(function))}): give functions (X, rng) -> X, such as shift(2)")

    def in_turn(X, rng):
        for function in functions:
            if isinstance(X, Mix):
                raise InvalidType("compose: mixup changes what the targets of rows are, so it comes last")
            X = function(X, rng)
        return X
    return in_turn


def _on_images(change, shape):
    """Return a function (X, rng) that calls change(images, rng), images (n, h, w, c), and keeps each in its range."""
    if shape is not None and len(tuple(shape)) not in (2, 3):
        raise InvalidValue(f"shape={quoted(repr(shape))}: give (h, w) or (h, w, c) of the images")

    def augment(X, rng):
        each = X.shape[1:] if shape is None else tuple(shape)
        if len(each) not in (2, 3) or math.prod(each) != math.prod(X.shape[1:]):
            raise InvalidValue(f"rows of shape {X.shape[1:]} are no images" + (
                ": give shape=(h, w) or (h, w, c)" if shape is None else f" of shape {each}"))
        images = X.reshape(len(X), *each, *(1,) * (3 - len(each)))
        low, high = (f(images, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
        return np.clip(change(images, rng).astype(X.dtype, copy=False), low, high).reshape(X.shape)
    return augment


def _grid(images):
    """Return (2, 1, h, w): row and column of each pixel."""
    return np.indices(images.shape[1:3])[:, None]


def _at(images, y, x):
    """Return the images at rows y and columns x, (n, h, w) each, linear between pixels; beyond an edge as at it."""
    n, h, w, _ = images.shape
    y, x = np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)
    top, left, each = np.floor(y).astype(int), np.floor(x).astype(int), np.arange(n)[:, None, None]
    down, right = np.minimum(top + 1, h - 1), np.minimum(left + 1, w - 1)
    fy, fx = (y - top)[..., None], (x - left)[..., None]
    upper = (1 - fx) * images[each, top, left] + fx * images[each, top, right]
    return (1 - fy) * upper + fy * ((1 - fx) * images[each, down, left] + fx * images[each, down, right])


def _gaussian(n, width):
    """Return (n, n): row i has the weights of a Gaussian around i, which sum to 1."""
    distance = np.subtract.outer(np.arange(n), np.arange(n))
    weights = np.exp(-0.5 * (distance / width) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


AUGMENTATIONS = {f.__name__: f for f in (shift, rotate, elastic, cutout, mixup, compose)}
