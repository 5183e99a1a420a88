"""Arrays as JSON for the page: little-endian bytes in base64, zeros left out where there are many.

    packed(weights)                 # {"n": 6, "k": "f4", "d": "..."}, floats of 32 bits
    packed(weights, "f2")           # floats of 16 bits
    coded(gradients)                # a byte each, and the 256 floats that the bytes name

What unpacks them is net.js.
"""
import base64

import numpy as np

FLOAT, HALF, BYTE, SHORT = "f4", "f2", "u1", "u2"
CODES = 256
FEWEST_ZEROS = 1 / 8  # share of zeros from which on a bit for each entry takes less room


def packed(array: np.ndarray, kind: str = FLOAT) -> dict[str, object]:
    """Return {"n": entries, "k": kind, "d": bytes} and, where zeros are left out, "m": a bit for each entry."""
    flat = np.ravel(array).astype(f"<{kind}")
    live = flat != 0
    facts: dict[str, object] = {"n": flat.size, "k": kind}
    if np.dtype(kind).itemsize > 1 and flat.size and np.mean(~live) > FEWEST_ZEROS:
        return facts | {"d": text_of(flat[live]), "m": bits(live)}
    return facts | {"d": text_of(flat)}


def bits(flags: np.ndarray) -> str:
    """Return flags as bits, the first in the lowest bit of the first byte."""
    return text_of(np.packbits(flags, bitorder="little"))


def coded(values: np.ndarray) -> dict[str, object]:
    """Return each value as the nearest of 256 quantiles: {"codes": packed bytes, "book": packed floats}."""
    book = np.unique(np.quantile(values, np.linspace(0, 1, CODES))).astype(np.float32)
    codes = np.searchsorted((book[1:] + book[:-1]) / 2, values)
    return {"codes": packed(codes, BYTE), "book": packed(book)}


def text_of(array: np.ndarray) -> str:
    """Return the bytes of an array in base64."""
    return base64.b64encode(array.tobytes()).decode("ascii")
