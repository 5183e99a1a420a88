"""Adaptive means, read from the several nodes in which exporters write them, found by what they compute.

    if begins(node, values):
        return pick(node, values)       # a Picked: from there on nodes are computed, not read

PyTorch's exporter picks the pixels of all windows by one GatherND, sets those that are too many to 0, and takes a mean
or adds and divides; minnet writes a matrix product along each side. All these are linear in the pixels of a channel and
alike for all channels: so they are computed for one image after another with a single pixel of 1. What comes out tells
which shares of the pixels each output is; if these are the shares of an AdaptiveAvgPool2d, that is the layer.
"""
import math

import numpy as np

from minnet.engine.adaptive import adaptive_pool, share_matrix
from minnet.formats.onnx_fold import FOLDS, UnsupportedGraph, axes_of
from minnet.formats.onnx_net import IMAGE, Signal

PIXELS_FIRST = [2, 3, 0, 1]
MOST_NUMBERS = 2**24
CLOSE = 1e-5
WAY_OUT = "choose an output size that divides that of the image"
OTHER = f"it picks pixels of an image, and not those of an adaptive mean: {WAY_OUT}"


class Picked:
    """What some nodes make of the Signal `x`: `response` has that to images of one channel with one pixel of 1.

    They are (h * w, 1, h, w) at first: as many images as there are pixels.
    """

    def __init__(self, x, response, node=None):
        self.x, self.response, self.node, self.found = x, response, node, None

    def signal(self, net):
        """Return the Signal of the layer that computes this; the layer is added when it is first asked for."""
        if self.found is None:
            if not self.is_whole():
                raise UnsupportedGraph(OTHER)
            layer = adaptive_pool(self.x.shape, self.response.shape[2:])
            layer.name, shape = self.node.label, layer.build(self.x.shape)[0]
            layer.name = None
            self.found = net.add(self.node, layer, self.x, shape)
        return self.found

    def is_whole(self):
        """Return whether it is an adaptive mean."""
        n, channels, *size = self.response.shape if self.response.ndim == 1 + len(IMAGE) else (0, 0)
        h, w, _ = self.x.shape
        if (n, channels) != (h * w, 1):
            return False
        down, right = (share_matrix(*side) for side in zip((h, w), size, strict=True))
        wanted = down.T[:, None, :, None] * right.T[None, :, None, :]   # (h, w, ho, wo)
        return bool(np.allclose(self.response.reshape(wanted.shape), wanted, rtol=0, atol=CLOSE * wanted.max()))


def known_beside(ops):
    """Return the operators that are read in a graph of these, because it may have adaptive means."""
    return {"GatherND", "Where"} if "GatherND" in ops else set()


def begins(node, values):
    """Return whether a node puts the pixels of an image first, or multiplies its columns by a matrix."""
    x = next((value for value in values if isinstance(value, Signal)), None)
    if x is None or x.axes != IMAGE or any(x.pads):
        return False
    if node.op == "MatMul":
        return isinstance(values[0], np.ndarray) and values[0].ndim == 2
    return node.op == "Transpose" and node.attrs.get("perm") == PIXELS_FIRST


def pick(node, values):
    """Return a node's Picked, of one or several and constants, or of a Signal with which it `begins`."""
    starts = [value if isinstance(value, Picked) else Picked(value, _pixels(value)) for value in values
              if isinstance(value, Picked | Signal)]
    if any(start.x.item != starts[0].x.item for start in starts):
        raise UnsupportedGraph("it computes with the pixels of two images")
    if node.op not in STEPS:
        raise UnsupportedGraph(OTHER)
    rest = iter(starts)
    arrays = [value if isinstance(value, np.ndarray) else value and next(rest).response for value in values]
    try:
        return Picked(starts[0].x, STEPS[node.op](node, MOST_NUMBERS, *arrays), node)
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, MemoryError) as error:
        raise UnsupportedGraph(f"it picks pixels in a way that does not fit: {error}") from error


def _pixels(x):
    """Return images of one channel of the size of `x`, each with one pixel of 1."""
    h, w, _ = x.shape
    _check(h * w * h * w)
    return np.eye(h * w, dtype=np.float32).reshape(h * w, 1, h, w)


def _check(size):
    """Refuse what would take too much memory."""
    if size > MOST_NUMBERS:
        raise UnsupportedGraph(f"it picks pixels of a large image ({size:,} numbers): {WAY_OUT}")


def _gather_nd(node, most, x, places):
    places = places.astype(np.int64)
    _check(math.prod(places.shape[:-1]) * math.prod(x.shape[places.shape[-1] :]))
    if node.attrs.get("batch_dims", 0):
        raise UnsupportedGraph("it picks other pixels of each image")
    return x[tuple(np.moveaxis(places, -1, 0))]


def _where(node, most, condition, a, b):
    _check(math.prod(np.broadcast_shapes(condition.shape, a.shape, b.shape)))
    return np.where(condition, a, b)


def _mean(node, most, x, axes=None):
    axes = tuple(axes_of(node, axes, range(x.ndim)))
    return x.mean(axis=axes, keepdims=bool(node.attrs.get("keepdims", 1)))


def _matmul(node, most, a, b):
    _check(math.prod((*a.shape[:-1], *b.shape[-1:])) * math.prod(b.shape[:-2]))
    return np.matmul(a, b)


STEPS = {op: FOLDS[op] for op in ("Transpose", "Gather", "Add", "Mul", "Div", "Identity")} | {
    "GatherND": _gather_nd, "Where": _where, "ReduceMean": _mean, "MatMul": _matmul}
