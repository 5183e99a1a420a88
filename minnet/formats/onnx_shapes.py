"""ONNX operators that change the layout of numbers, not the numbers: Flatten, Reshape, Transpose, Concat, Pad, ...

Each is `function(net, node, x, ...) -> Signal`; onnx_ops.py has the table. Exporters flatten in many ways; what they
all come to is one Flatten layer, or nothing, and an order in which ONNX has the features.
"""
import math
from dataclasses import replace

import numpy as np

from minnet.engine.pooling import Flatten
from minnet.formats.onnx_fold import BATCH, UnsupportedGraph, axes_of
from minnet.formats.onnx_net import IMAGE, LINE, OURS, Signal, require_arrays

INFERRED = -1


def flatten(net, node, x):
    """Make one axis of all but the batch."""
    axis = node.attrs.get("axis", 1)
    if axis % (len(x.axes) + 1) != 1:
        raise UnsupportedGraph(f"it flattens from axis {axis} on")
    return _to_shape(net, node, x, (math.prod(x.dims),))


def reshape(net, node, x, shape):
    """Read the idioms of flattening: [0, -1], [-1, n], [batch, n], and axes of size 1 added or removed."""
    require_arrays(shape)
    if int(np.ravel(shape)[0]) not in (BATCH, INFERRED, 0, net.batch):
        raise UnsupportedGraph(f"it makes the shape {np.ravel(shape).tolist()}, whose first axis is not the batch")
    return _to_shape(net, node, x, sizes_of(x, shape))


def sizes_of(x, shape):
    """Return the sizes behind the batch of what `x` is reshaped to."""
    sizes = [x.dims[i] if n == 0 and i < len(x.dims) else int(n) for i, n in enumerate(np.ravel(shape)[1:])]
    if sizes.count(INFERRED) == 1:
        known = -math.prod(sizes)
        sizes[sizes.index(INFERRED)] = math.prod(x.dims) // known if known > 0 else 0
    return tuple(sizes)


def squeeze(net, node, x, axes=None):
    """Remove axes of size 1."""
    ones = [i for i, n in enumerate(x.dims, 1) if n == 1]
    axes = {a % (len(x.axes) + 1) for a in axes_of(node, axes, ones)}
    if not axes <= set(ones):
        raise UnsupportedGraph(f"it takes axes {sorted(axes)} from the shape {x.dims}")
    return _to_shape(net, node, x, tuple(n for i, n in enumerate(x.dims, 1) if i not in axes))


def unsqueeze(net, node, x, axes=None):
    """Add axes of size 1."""
    axes = axes_of(node, axes, ())
    rank = len(x.dims) + 1 + len(axes)
    axes, sizes = {a % rank for a in axes}, list(x.dims)
    if 0 in axes:
        raise UnsupportedGraph("it puts an axis before the batch")
    for axis in sorted(axes):
        sizes.insert(axis - 1, 1)
    return _to_shape(net, node, x, tuple(sizes))


def _to_shape(net, node, x, dims):
    """Return `x` in another shape of as many numbers: the same, flat, or a row with axes of size 1."""
    size = math.prod(x.dims)
    if dims == x.dims:
        return x
    if x.shape == (1,) and dims == ():
        return replace(x, axes="")
    if not dims or math.prod(dims) != size or any(n < 1 for n in dims):
        raise UnsupportedGraph(f"it makes the shape {dims} of {x.dims}")
    if len(x.shape) == 1 and size in dims:
        place = dims.index(size)
        return replace(x, axes="1" * place + "c" + "1" * (len(dims) - place - 1))
    for axes in (IMAGE, LINE):
        if x.axes in (IMAGE, LINE) and replace(x, axes=axes).dims == dims and (x.axes == axes or x.shape[0] == 1):
            return replace(x, axes=axes)  # a sequence as an image, or the other way round
    if len(dims) > 1:
        return _one_channel(x, dims)
    if size > net.most:
        raise UnsupportedGraph(f"it flattens an image of {size:,} numbers: too many for a file of this size")
    letters = [letter for letter in x.axes if letter != "1"]
    theirs = np.arange(size).reshape([n for n, letter in zip(x.dims, x.axes, strict=True) if letter != "1"])
    order = theirs.transpose([letters.index(letter) for letter in OURS if letter in letters]).reshape(-1)
    return net.add(node, Flatten(), x, (size,), "c", order=None if np.array_equal(order, np.arange(size)) else order)


def _one_channel(x, dims):
    """Return an image of one channel in the other layout: reshaping it is transposing it."""
    one = [size for size, letter in zip(x.dims, x.axes, strict=True) if letter == "c"] == [1]
    for axes in (IMAGE, OURS):
        if one and len(x.shape) == len(axes) and replace(x, axes=axes).dims == dims:
            return replace(x, axes=axes)
    raise UnsupportedGraph(f"it makes the shape {dims} of {x.dims}: only flattening can be read")


def transpose(net, node, x):
    """Transpose: the same image in another layout."""
    perm = node.attrs.get("perm", list(range(len(x.axes), -1, -1)))
    if sorted(perm) != list(range(len(x.axes) + 1)) or perm[0] != 0:
        raise UnsupportedGraph(f"it has the permutation {perm}")
    return replace(x, axes="".join(x.axes[p - 1] for p in perm[1:]))


def concat(net, node, *signals):
    """Concatenate along the channels."""
    if not all(isinstance(x, Signal) for x in signals):
        raise UnsupportedGraph("it puts a constant beside a branch")
    first, given = signals[0], node.attrs["axis"]
    axis = given % (len(first.axes) + 1)
    alike = all(x.axes == first.axes and x.shape[:-1] == first.shape[:-1] for x in signals)
    if axis == 0 or not alike or first.axes[axis - 1] != "c":
        raise UnsupportedGraph(f"it joins the shapes {', '.join(str(x.dims) for x in signals)} along axis {given}: "
                               "only channels can be put side by side")
    widths, order = [x.shape[-1] for x in signals], None
    if any(x.order is not None for x in signals):
        starts = np.cumsum([0, *widths[:-1]])
        orders = [np.arange(n) if x.order is None else x.order for x, n in zip(signals, widths, strict=True)]
        order = np.concatenate([start + one for start, one in zip(starts, orders, strict=True)])
    return net.join(node, "concat", signals, (*first.shape[:-1], sum(widths)), order)


def pad(net, node, x, pads=None, value=None, axes=None):
    """Pad an image with zeros, which the next convolution takes over."""
    x.require_layout(IMAGE, LINE, OURS, LINE[::-1])
    pads = [int(n) for n in np.ravel(node.attrs.get("pads", ()) if pads is None else pads)]
    value = node.attrs.get("value", 0.0) if value is None else float(np.ravel(value)[0])
    if node.attrs.get("mode", "constant") != "constant" or value or axes is not None or \
            len(pads) != 2 * (1 + len(x.axes)):
        raise UnsupportedGraph("it pads by something else than zeros around images")
    ends = dict(zip([(end, axis) for end in "<>" for axis in "n" + x.axes], pads, strict=True))
    top, left, bottom, right = (ends.get((end, axis), 0) for end in "<>" for axis in "hw")
    if any(ends[end, axis] for end in "<>" for axis in "nc") or min(top, left, bottom, right) < 0:
        raise UnsupportedGraph(f"it has the padding {pads}: only images can be padded")
    return replace(x, pads=tuple(a + b for a, b in zip(x.pads, (top, left, bottom, right), strict=True)))
