"""Corruptions: images as a camera or a careless hand would spoil them, in five severities.

    blurred = CORRUPTIONS["blur"](images, 3, rng)      # images (n, h, w, c) in [0, 1], and so is what returns

Lengths are shares of the shorter side of an image. What lies outside an image is black. Rows without height and width
know `noise` and `contrast` alone.
"""
from collections.abc import Callable

import numpy as np

from minnet.errors import InvalidValue, quoted

SEVERITIES = (1, 2, 3, 4, 5)
SIGMA = (0.04, 0.08, 0.12, 0.18, 0.26)          # deviation of the noise
BLUR = (0.03, 0.05, 0.07, 0.09, 0.12)           # deviation of the Gaussian, of the side
SHIFT = (0.03, 0.06, 0.09, 0.12, 0.16)          # of the side, in a random direction
ANGLE = (6, 12, 18, 26, 36)                     # degrees, to either side
PATCH = (0.15, 0.22, 0.3, 0.38, 0.46)           # side of the black square, of the side
CONTRAST = (0.75, 0.6, 0.45, 0.3, 0.15)         # what is left of the distance from an image's mean
IMAGE_AXES = 4
Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def noise(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise to each number."""
    return images + SIGMA[severity - 1] * rng.standard_normal(images.shape)


def blur(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Filter each image by a Gaussian."""
    from scipy.ndimage import gaussian_filter

    sigma = BLUR[severity - 1] * _side(images)
    return gaussian_filter(images, (0, sigma, sigma, 0), mode="constant")


def shift(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Move each image in a direction of its own."""
    from scipy import ndimage

    angles, length = rng.uniform(0, 2 * np.pi, len(images)), SHIFT[severity - 1] * _side(images)
    return np.stack([ndimage.shift(image, (length * np.sin(angle), length * np.cos(angle), 0), order=1)
                     for image, angle in zip(images, angles, strict=True)])


def rotation(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Turn each image about its middle, to the left or to the right."""
    from scipy import ndimage

    angles = ANGLE[severity - 1] * rng.choice([-1, 1], len(images))
    return np.stack([ndimage.rotate(image, angle, reshape=False, order=1)
                     for image, angle in zip(images, angles, strict=True)])


def occlusion(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Lay a black square over each image, at a place of its own."""
    size, found = max(1, round(PATCH[severity - 1] * _side(images))), images.copy()
    corners = rng.integers(0, np.array(images.shape[1:3]) - size + 1, (len(images), 2))
    for image, (top, left) in zip(found, corners, strict=True):
        image[top : top + size, left : left + size] = 0
    return found


def contrast(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Bring each number nearer to the mean of its image."""
    means = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return means + CONTRAST[severity - 1] * (images - means)


def corrupted(name: str, images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Return images of the same dtype, corrupted by a row of CORRUPTIONS and clipped to [0, 1].

    Raises InvalidValue for rows where the corruption takes images.
    """
    if images.ndim != IMAGE_AXES and name not in OF_ROWS:
        raise InvalidValue(f"the corruption {quoted(repr(name))} is of images (h, w, c), and the model takes rows of "
                           f"{images[0].size} numbers: leave it out")
    found = CORRUPTIONS[name](images, severity, rng)
    return np.clip(found, 0, 1).astype(images.dtype)


def _side(images):
    """Return the shorter side of images, in pixels."""
    return min(images.shape[1:3])


CORRUPTIONS: dict[str, Corruption] = {
    f.__name__: f for f in (noise, blur, shift, rotation, occlusion, contrast)}
OF_ROWS = ("noise", "contrast")
