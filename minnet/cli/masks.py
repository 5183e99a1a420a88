"""Pictures of masks in letters: how dense a layer is, which inputs are still read, where the live weights are.

    lines = picture(density)                # density (rows, columns), 0 to 1

A darker letter stands for more live weights; a place without any is a blank.
"""
import sys
from itertools import pairwise

import numpy as np

from minnet.engine.layer import Layer
from minnet.engine.vector import Parameter
from minnet.model import Model

BLOCKS, LETTERS = " ░▒▓█", " .+#@"
BAR, WIDE, HIGH = 20, 64, 14  # letters of a bar; columns and lines of a picture at most


def shades() -> str:
    """Return the letters from empty to full that standard output can show."""
    try:
        BLOCKS.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return LETTERS
    return BLOCKS


def bar(density: float) -> str:
    """Return a bar of a density from 0 to 1; what is not 0 shows."""
    full = min(BAR, max(round(density * BAR), int(density > 0)))
    return shades()[-1] * full + "." * (BAR - full)


def picture(density: np.ndarray) -> list[str]:
    """Return the lines of a picture of densities (rows, columns): neighbours are averaged until it fits."""
    rows, columns = density.shape
    twice = 2 * columns <= WIDE and rows <= HIGH  # a letter is twice as high as wide
    small = pooled(pooled(density, HIGH).T, WIDE).T
    letters = shades()
    steps = np.where(small > 0, np.clip(np.ceil(small * (len(letters) - 1)), 1, None), 0).astype(int)
    return ["".join(letters[step] * (1 + twice) for step in line).rstrip() for line in steps]


def pooled(density: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` rows, each the mean of as many neighbours, to within one."""
    edges = np.linspace(0, len(density), min(len(density), most) + 1).round().astype(int)
    return np.array([density[first:last].mean(axis=0) for first, last in pairwise(edges)])


def read_inputs(model: Model) -> np.ndarray | None:
    """Return the share of live weights that read each pixel of the input, by the densest; None if it is no image.

    The first layer must be dense, so that its inputs are the image's pixels, row by row.
    """
    first = next((layer for layer in model.layers.values() if weights_of(layer) is not None), None)
    if first is None or len(model.input_shape) < 2:
        return None
    live = weights_of(first).mask
    if live.shape[0] != np.prod(model.input_shape) or live.ndim != 2:
        return None
    counts = live.sum(axis=1).reshape(*model.input_shape[:2], -1).sum(axis=-1).astype(float)
    return counts / max(counts.max(), 1.0)


def layer_picture(layer: Layer) -> list[str]:
    """Return the picture of a layer's mask: inputs from top to bottom, outputs from left to right."""
    live = weights_of(layer).mask
    return picture(live.reshape(-1, live.shape[-1]).astype(float))


def weights_of(layer: Layer) -> Parameter | None:
    """Return the weights of a layer, or None."""
    return next((parameter for parameter in layer.parameters if parameter.kind == "weight"), None)
