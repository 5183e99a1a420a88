"""The values of an ONNX graph while it is read, and the items of the net that is built of it.

    x = Signal(0, (28, 28, 1), "chw")            # the input: minnet's shape, ONNX's layout
    net = Net(x, readers, most, batch)
    y = net.add(node, ReLU(), x)                 # an Item in net.items, and the Signal of its output

A Signal is the output of an item for one image or row, with the axes that ONNX gives it.
"""
import math
from dataclasses import dataclass, field

import numpy as np

from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_tree import Item

IMAGE, COLUMN = "chw", "c11"    # ONNX's layout of an image, and of what a global pool leaves
LINE, POINT = "cw", "c1"        # the same of a sequence, which is an image of height 1 here: (1, length, c)
OURS = "hwc"
NO_PADS = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Node:
    """One node of the graph.

    `op` is its operator, `label` its name in messages, `inputs` and `outputs` are names of values, `attrs` Python
    values, and `layer_name` is the name that its layer may have.
    """

    op: str
    label: str
    inputs: tuple
    outputs: tuple
    attrs: dict = field(default_factory=dict)
    layer_name: str | None = None


@dataclass(frozen=True, eq=False)
class Signal:
    """The output of item number `item` for one image or row; `shape` is minnet's, (h, w, c) or (c,).

    `axes` has a letter for each of ONNX's axes but the batch: "chw", "hwc", "c", or "c11" with axes of size 1. `order`
    (c,) is ONNX's index of each feature, None where it is the same. `shared`: several nodes read it. `ended`: the
    operator, such as Softmax, that is left out if nothing follows (onnx_ends.py). `pads` is zero padding (top, left,
    bottom, right) that the next convolution takes over.
    """

    item: int
    shape: tuple
    axes: str
    order: np.ndarray | None = None
    shared: bool = False
    ended: str = ""
    pads: tuple = NO_PADS

    @property
    def dims(self):
        """Return ONNX's shape, without the batch."""
        letters = OURS if len(self.shape) == len(OURS) else [letter for letter in OURS if letter in self.axes]
        sizes = dict(zip(letters, self.shape, strict=True))
        return tuple(sizes.get(letter, 1) for letter in self.axes)

    def require_layout(self, *layouts):
        """Refuse another layout than these."""
        if self.axes not in layouts:
            raise UnsupportedGraph(f"its input has the shape {self.dims}, laid out {self.axes}; wanted "
                                   f"{' or '.join(layouts)}")


class Net:
    """The items of the net.

    `readers` counts the nodes that read each name of the graph, `most` bounds the numbers of a constant, `batch` is
    the batch size that the file fixes, None for any; `quantised` is noted where rounding has been left out.
    """

    def __init__(self, readers, most, batch):
        self.items = [Item(label="the input")]
        self.readers = readers
        self.most = most
        self.batch = batch
        self.quantised = False

    def add(self, node, layer, x, shape=None, axes=None, values=None, order=None):
        """Append a layer that reads the Signal `x`; return the Signal of its output."""
        self.check(x)
        self.items.append(Item(layer, (x.item,), values or {}, node.label))
        return Signal(len(self.items) - 1, shape or x.shape, axes or x.axes, order)

    def join(self, node, how, signals, shape, order=None):
        """Append the sum ("add"), "product" or concatenation ("concat") of signals; return the Signal of its output."""
        self.check(*signals)
        self.items.append(Item(how, tuple(x.item for x in signals), label=node.label))
        return Signal(len(self.items) - 1, shape, signals[0].axes, order)

    def check(self, *signals):
        """Refuse padding that no convolution takes over."""
        if any(any(x.pads) for x in signals):
            pads = next(x.pads for x in signals if any(x.pads))
            raise UnsupportedGraph(f"it reads padding {pads} that only a convolution can take over")

    def exclusive(self, x):
        """Return the item of `x` if no other node reads it, so that it may be changed; else an empty Item."""
        return Item() if x.shared else self.items[x.item]


def require_arrays(*values):
    """Refuse a value that is missing, or depends on the input."""
    if not all(isinstance(value, np.ndarray) for value in values):
        raise UnsupportedGraph("its weights, or its shape, are missing or computed from the input")


def spread(array, shape):
    """Return one number per channel, also of a bias of shape (1, c) or (1,)."""
    if array.size not in (1, math.prod(shape)):
        raise UnsupportedGraph(f"it has {array.size} numbers for {math.prod(shape)} channels")
    return np.broadcast_to(array.reshape(-1), shape)


def short(number):
    """Return a float32 of a file as the decimal that was meant: 0.001, not 0.0010000000474974513; refuse NaN."""
    if not math.isfinite(number):
        raise UnsupportedGraph(f"it has {number} for a number")
    return float(f"{number:.7g}")
