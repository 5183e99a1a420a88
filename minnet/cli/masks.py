"""Pictures of masks in letters: how dense a layer is, which inputs are still read, where the live weights are.

    lines = picture(density)                # density (rows, columns), 0 to 1

A darker letter stands for more live weights; a place without any is a blank.
"""
import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from minnet.model import Model
from minnet.report.displays import by_unit

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
    first = next(iter(model.weight_parameters), None)
    if first is None or len(model.input_shape) < 2 or first.shape[:-1] != (np.prod(model.input_shape),):
        return None
    counts = by_unit(first)[1].sum(axis=1).reshape(*model.input_shape[:2], -1).sum(axis=-1).astype(float)
    return counts / max(counts.max(), 1.0)


def mask_pictures(model: Model) -> Iterator[str]:
    """Yield the lines of a picture of each mask: inputs from top to bottom, outputs from left to right."""
    for p in model.weight_parameters:
        yield from ["", f"{p.layer}: inputs from top to bottom, outputs from left to right"]
        yield from picture(by_unit(p)[1].astype(float))
