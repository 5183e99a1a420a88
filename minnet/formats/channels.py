"""Convert between channels first and last: the index that a flattened feature has in other frameworks.

    orders = feature_orders(model)      # {layer: order}, for layers that read flattened images
    ours = theirs[orders[layer]]        # feature i of ours is feature order[i] of theirs

PyTorch and most ONNX files flatten (c, h, w), minnet (h, w, c). Only importers and exporters know of it.
"""
import math

import numpy as np

from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer_norm import GroupNorm
from minnet.engine.pooling import Flatten, GlobalAvgPool2d, GlobalMaxPool2d
from minnet.engine.product import Product
from minnet.errors import Unsupported

IMAGE_AXES = 3
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]     # of batches of images, for ONNX's Transpose
# what comes out of these has units, or channels, of its own
ENDS = (Dense, Conv2d, DepthwiseConv2d, GlobalAvgPool2d, GlobalMaxPool2d)


def feature_orders(model):
    """Return {layer: (features,) int} of each layer with parameters whose input is a flattened image, and of the tree.

    The tree has an entry where the model's own outputs are one. Raises Unsupported where a Residual adds features in
    two different orders.
    """
    orders = {}
    end = _walk(model.tree, None, orders)
    return orders if end is None else orders | {model.tree: end}


def flat_order(shape):
    """Return (h*w*c,) int: the indices that the features of our Flatten on (h, w, c) have channels first."""
    height, width, channels = shape
    return np.arange(math.prod(shape)).reshape(channels, height, width).transpose(1, 2, 0).reshape(-1)


def channels_first(array, order):
    """Return `array`, whose first axis is ours, in the other order: the inverse of `array[order]`."""
    reordered = np.empty_like(array)
    reordered[order] = array
    return reordered


def _walk(layer, order, orders):
    """Pass the order of the input (None: the same in both) on; return that of the output."""
    if isinstance(layer, Sequential):
        for child in layer.layers:
            order = _walk(child, order, orders)
        return order
    if isinstance(layer, Residual | Product | Concat):
        return _join(layer, order, orders)
    if order is not None and isinstance(layer, GroupNorm) and layer.groups > 1:
        raise Unsupported(f"{layer.name} takes groups of a flattened image, whose order differs between channels first "
                          "and channels last: put it before the Flatten")
    if order is not None and layer.parameters:
        orders[layer] = order
    if isinstance(layer, Flatten) and len(layer.input_shape) == IMAGE_AXES:
        return flat_order(layer.input_shape)
    return None if isinstance(layer, ENDS) else order


def _join(layer, order, orders):
    """Return the order at the output of branches."""
    ends = [_walk(child, order, orders) for child in layer.children()]
    if all(end is None for end in ends) and (order is None or len(ends) > 1):
        return None
    sizes = [child.output_shape[-1] for child in layer.children()]
    ends = [np.arange(size) if end is None else end for end, size in zip(ends, sizes, strict=True)]
    if isinstance(layer, Concat):
        starts = np.cumsum([0, *sizes[:-1]])
        return np.concatenate([start + end for start, end in zip(starts, ends, strict=True)])
    ends += [order] if len(ends) == 1 and order is not None else []
    if any(not np.array_equal(end, ends[0]) for end in ends):
        raise Unsupported(f"{layer.name} joins a flattened image with features of another kind, whose order differs "
                          f"between channels first and channels last: flatten after the {type(layer).__name__}")
    return ends[0]
