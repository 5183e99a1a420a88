"""Layers that take moments of one image alone, read from ONNX's operators or the nodes in which exporters write them.

    nodes = joined(nodes, constant, outputs)    # constant(name): the array under a name, if it is a small constant

PyTorch writes LayerNorm as means, differences and a root below operator set 17, and GroupNorm as an
InstanceNormalization between two Reshapes below 21; Keras writes both as means, products and sums, GroupNorm between
two Reshapes that split the channels. minnet writes what compaction has removed as a Pad before and a Slice behind. One
node becomes of each.
"""
import math
from dataclasses import replace

import numpy as np

from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm
from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_functions import behind, reachable
from minnet.formats.onnx_moments import normalised
from minnet.formats.onnx_net import IMAGE, LINE, require_arrays, short, spread
from minnet.formats.onnx_shapes import reshape, sizes_of

EPSILON = 1e-5  # ONNX's default
SPLIT = "moments of groups"     # the operator of one node in place of several between two Reshapes
MALFORMED = (IndexError, ValueError, TypeError, ArithmeticError)


def joined(nodes, constant, outputs):
    """Return the nodes, those that are one layer of moments joined to one; without those no longer read."""
    makers, found = {name: node for node in nodes for name in node.outputs[:1]}, []
    for node in nodes:
        try:
            one = _of_moments(node, makers, constant) or _of_reshapes(node, makers) or \
                _of_split(node, makers) or _of_slice(node, makers)
        except MALFORMED:  # some node lacks an input, or has a shape for a number: told where it is read
            one = None
        found.append(one or node)
        makers |= dict.fromkeys(node.outputs[:1], found[-1])
    return reachable(found, outputs)


def _of_moments(node, makers, constant):
    """Return what normalises by moments in several nodes as one LayerNormalization, or None."""
    found = normalised(node, makers, constant)
    if found is None:
        return None
    inputs = (found.x, found.gain, found.shift)
    inputs = inputs[: max(i for i, name in enumerate(inputs, 1) if name)]
    return replace(node, op="LayerNormalization", inputs=inputs, attrs={"axes": found.axes, "epsilon": found.epsilon})


def _of_reshapes(node, makers):
    """Return Reshape, InstanceNormalization and Reshape as one GroupNormalization, or None."""
    if node.op != "Reshape":
        return None
    norm, before, cut = _unpadded(makers, node, _maker(makers, node, 0, "Slice"), "InstanceNormalization")
    reshape = makers.get(before) if norm else None
    if reshape is None or reshape.op != "Reshape" or len(norm.inputs) != len(("x", "scale", "bias")):
        return None
    inputs = (reshape.inputs[0], *norm.inputs[1:], reshape.inputs[1], node.inputs[1], *cut)
    return replace(norm, op="GroupNormalization", inputs=inputs, outputs=node.outputs)


def _of_split(node, makers):
    """Return Reshape, moments found in several nodes, and Reshape as one node of both, or None."""
    norm = makers.get(behind(node.inputs[0], makers)) if node.op == "Reshape" else None
    if norm is None or norm.op != "LayerNormalization" or "axes" not in norm.attrs:
        return None
    before = makers.get(behind(norm.inputs[0], makers))
    if before is None or before.op != "Reshape":
        return None
    gain, shift, *_ = (*norm.inputs[1:], "", "")
    return replace(norm, op=SPLIT, inputs=(before.inputs[0], before.inputs[1], node.inputs[1], gain, shift),
                   outputs=node.outputs)


def _of_slice(node, makers):
    """Return Pad, LayerNormalization and Slice as one LayerNormalization with the padding, or None."""
    norm, before, cut = _unpadded(makers, node, node if node.op == "Slice" else None, "LayerNormalization")
    if not cut or len(norm.inputs) != len(("x", "scale", "bias")):
        return None
    return replace(norm, inputs=(before, *norm.inputs[1:], *cut), outputs=node.outputs)


def _unpadded(makers, node, cut, op):
    """Return (the norm that `node` reads, what it reads, names of padding and slice) of a norm with or without them."""
    norm = _maker(makers, cut or node, 0, op)
    pad = norm and _maker(makers, norm, 0, "Pad")
    if norm is None or cut is None:
        return norm, norm and norm.inputs[0], ()
    if pad is None or len(pad.inputs) != len(("x", "pads")) or len(cut.inputs) != len(("x", "starts", "ends", "axes")):
        return None, None, ()
    return norm, pad.inputs[0], (pad.inputs[1], *cut.inputs[1:])


def _maker(makers, node, i, op):
    """Return the node that makes input i of `node` if it is an `op`, else None."""
    maker = makers.get(node.inputs[i]) if i < len(node.inputs) else None
    return maker if maker is not None and maker.op == op else None


# --- operators -------------------------------------------------------------------------------------------------------


def layer_normalization(net, node, x, gain=None, shift=None, *cut):
    """Add a LayerNorm for moments over the channels, a GroupNorm(1) for those over a whole image.

    `cut` are pads, starts, ends and axes of a Pad before and a Slice behind.
    """
    rank = len(x.axes) + 1
    zeros = _zeros(x.dims, *cut) if cut else 0
    axes = node.attrs.get("axes", range(node.attrs.get("axis", -1) % rank, rank))
    letters = {x.axes[a % rank - 1] for a in axes if a % rank} - {"1"}
    arguments = {"epsilon": short(node.attrs.get("epsilon", EPSILON)), "zeros": zeros, "name": node.layer_name}
    require_arrays(*[value for value in (gain, shift) if value is not None])
    by_channel = [] if cut else [_by_channel(value, x.dims, (x.axes.index("c"),)) for value in (gain, shift)]
    if letters == {"c"}:
        values = [value[: x.shape[-1]] for value in (gain, shift)] if cut else by_channel
        return _add(net, node, x, LayerNorm(**arguments), *values)
    if letters != set(x.axes) - {"1"} or zeros or any(a % rank == 0 for a in axes):
        raise UnsupportedGraph(f"it takes moments over axes {sorted(axes)} of an input of shape {x.dims}: only those "
                               "over the channels, or over a whole image, can be read")
    return _add(net, node, x, GroupNorm(1, **arguments), *by_channel)


def _by_channel(value, sizes, axes):
    """Return a gain or shift of an input of these sizes as one number for each channel, refusing others.

    `axes` are those of the channels.
    """
    if value is None or value.size == 1:
        return value
    whole = np.broadcast_to(value, (1, *sizes))[0]
    by_channel = np.moveaxis(whole, axes, range(len(axes))).reshape(math.prod(sizes[axis] for axis in axes), -1)
    if (by_channel != by_channel[:, :1]).any():
        raise UnsupportedGraph("it has a gain or shift for each number of an image: only one for each channel can be "
                               "read, such as that of PyTorch's GroupNorm(1, channels)")
    return by_channel[:, 0]


def instance_normalization(net, node, x, gain, shift):
    """Add an InstanceNorm."""
    require_arrays(gain, shift)
    x.require_layout(IMAGE, LINE)
    return _add(net, node, x, InstanceNorm(epsilon=short(node.attrs.get("epsilon", EPSILON)), name=node.layer_name),
                gain, shift)


def group_normalization(net, node, x, gain, shift, into=None, back=None, *cut):
    """Add a GroupNorm; gain and shift are by channel, or by group. `into` and `back` are what was reshaped to."""
    require_arrays(gain, shift)
    x.require_layout(IMAGE, LINE, "c")
    groups, pixels = node.attrs.get("num_groups"), int(np.prod(x.shape[:-1]))
    if into is not None:
        require_arrays(into, back)
        groups = _groups(x, [int(n) for n in np.ravel(into)], [int(n) for n in np.ravel(back)])
    if x.order is not None or not groups or x.shape[-1] % groups:
        raise UnsupportedGraph(f"it has {groups} groups of {x.shape[-1]} channels: only equal groups of the channels "
                               "of images, in order, can be read")
    size = x.shape[-1] // groups
    gain, shift = (np.repeat(value, size) if value.size == groups else value for value in (gain, shift))
    zeros = _zeros((groups, size * pixels), *cut) if cut else 0
    if zeros % pixels:
        raise UnsupportedGraph(f"it pads {zeros} numbers of images of {pixels} pixels: only channels can be padded")
    layer = GroupNorm(groups, epsilon=short(node.attrs.get("epsilon", EPSILON)), zeros=zeros // pixels,
                      name=node.layer_name)
    return _add(net, node, x, layer, gain, shift)


def _groups(x, into, back):
    """Return the groups of (batch, groups, rest), the shape between two Reshapes that leave an image as it was."""
    kept = [size for size, n in zip(back[1:], x.dims, strict=False) if size not in (n, 0, -1)]
    if len(into) != len(("batch", "groups", "rest")) or len(back) != len(x.dims) + 1 or kept or back.count(-1) > 1:
        raise UnsupportedGraph(f"it is in between the shapes {into} and {back} of images of shape {x.dims}: only "
                               "groups of channels can be read")
    return x.shape[-1] if into[1] == 0 else into[1]


def split_normalization(net, node, x, into, back, gain=None, shift=None):
    """Add a GroupNorm for moments over what a Reshape has split into groups of channels, each as it comes.

    `into` and `back` are the shapes that it was reshaped to before and after. What a Reshape has not split is read in
    three steps.
    """
    require_arrays(into, back, *[value for value in (gain, shift) if value is not None])
    place, sizes = x.axes.index("c"), sizes_of(x, into)
    split = math.prod(sizes[place : place + 2]) == x.shape[-1] and x.order is None
    whole = (*sizes[:place], x.shape[-1], *sizes[place + 2 :]) == x.dims == sizes_of(x, back)
    axes = {axis % (len(sizes) + 1) for axis in node.attrs["axes"]}
    if not split or not whole or axes != set(range(1, len(sizes) + 1)) - {place + 1}:
        return reshape(net, node, layer_normalization(net, node, reshape(net, node, x, into), gain, shift), back)
    layer = GroupNorm(sizes[place], epsilon=short(node.attrs["epsilon"]), name=node.layer_name)
    return _add(net, node, x, layer, *[_by_channel(value, sizes, (place, place + 1)) for value in (gain, shift)])


def _zeros(dims, *cut):
    """Return how many zeros a Pad adds at the end of the last axis of (batch, *dims), and a Slice takes off again."""
    require_arrays(*cut)
    pads, starts, ends, axes = [[int(n) for n in np.ravel(array)] for array in cut]
    rank = len(dims) + 1
    kept = [0], [dims[-1]], [rank - 1]
    if any(pads[:-1]) or len(pads) != 2 * rank or (starts, ends, [axis % rank for axis in axes]) != kept:
        raise UnsupportedGraph(f"it has the padding {pads}: only channels can be padded, at the end, and cut off again")
    return max(pads[-1], 0)


def _add(net, node, x, layer, gain, shift):
    """Add a layer with gain and shift, 1 and 0 where there are none."""
    values = {kind: spread(np.float32([default]) if value is None else value, x.shape[-1:])
              for kind, value, default in (("gain", gain, 1), ("shift", shift, 0))}
    if x.order is not None:
        values = {kind: value[x.order] for kind, value in values.items()}
    return net.add(node, layer, x, values=values, order=x.order)
