"""ONNX operators with weights or windows: Conv, Gemm, MatMul, BatchNormalization and the pools.

Each is `function(net, node, x, ...) -> Signal`, with a weight as an array; onnx_ops.py has the table.
"""
from dataclasses import replace

from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.normalise import BatchNorm
from minnet.engine.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.errors import quoted
from minnet.formats.onnx_fold import UnsupportedGraph, axes_of
from minnet.formats.onnx_net import COLUMN, IMAGE, LINE, NO_PADS, OURS, POINT, require_arrays, short, spread

WEIGHT_AXES = 4
MOMENTUM, EPSILON = 0.9, 1e-5   # ONNX's defaults
DIGITS = 6                      # of 1 - momentum


# --- weights ---------------------------------------------------------------------------------------------------------


def conv(net, node, x, weight, bias=None):
    """Add a Conv2d, a DepthwiseConv2d where each channel is a group, or a Dense where the image is one pixel."""
    require_arrays(weight)
    x.require_layout(IMAGE, COLUMN, LINE, POINT)
    if x.axes in (LINE, POINT):
        node, weight = _as_image(node), weight[:, :, None]
    if weight.ndim != WEIGHT_AXES:
        raise UnsupportedGraph(f"it has weights of shape {weight.shape}: only windows over images can be read")
    filters, inner, *kernel = weight.shape
    groups, channels = node.attrs.get("group", 1), x.shape[-1]
    if inner * groups != channels or node.attrs.get("kernel_shape", kernel) != kernel:
        raise UnsupportedGraph(f"it has weights of shape {weight.shape} for {channels} channels in {groups} groups")
    values = {"weight": weight.transpose(2, 3, 1, 0)}
    if bias is not None:
        values["bias"] = spread(bias, (filters,))
    if x.axes in (COLUMN, POINT):
        return _pixel(net, node, x, values)
    stride, dilation = tuple(node.attrs.get("strides", (1, 1))), tuple(node.attrs.get("dilations", (1, 1)))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    window = (_pair(kernel), _pair(stride), _shortest(_padding(node, x, extent, stride)))
    x = replace(x, pads=NO_PADS)
    if 1 < groups == channels and filters % channels == 0 and dilation == (1, 1):
        layer = DepthwiseConv2d(*window, filters // channels, use_bias=bias is not None, name=node.layer_name)
    else:
        layer = Conv2d(filters, *window, dilation=_pair(dilation), groups=groups, use_bias=bias is not None,
                       name=node.layer_name)
    return net.add(node, layer, x, _built(layer, node, x), values=values)


def _as_image(node):
    """Return a node over sequences as one over images of height 1."""
    one = {"kernel_shape": [1], "strides": [1], "dilations": [1]}
    attrs = node.attrs | {name: front + list(node.attrs[name]) for name, front in one.items() if name in node.attrs}
    if "pads" in attrs:
        before, after = attrs["pads"]
        attrs["pads"] = [0, before, 0, after]
    return replace(node, attrs=attrs)


def _pixel(net, node, x, values):
    """Add a 1 x 1 convolution of a global pool's output, which is a Dense layer."""
    if values["weight"].shape[:2] != (1, 1) or node.attrs.get("group", 1) != 1 or any(node.attrs.get("pads", [0])):
        raise UnsupportedGraph(f"it has a window of {values['weight'].shape[:2]} over a single pixel")
    return _dense(net, node, x, values | {"weight": values["weight"][0, 0]})


def gemm(net, node, x, weight, bias=None):
    """Add a Dense layer: y = alpha x B + beta C."""
    require_arrays(weight)
    x.require_layout("c")
    if node.attrs.get("transA", 0) or weight.ndim != 2:
        raise UnsupportedGraph(f"its input is transposed, or its weights, of shape {weight.shape}, are no matrix")
    weight = node.attrs.get("alpha", 1.0) * (weight.T if node.attrs.get("transB", 0) else weight)
    values = {"weight": weight}
    if bias is not None:
        values["bias"] = node.attrs.get("beta", 1.0) * spread(bias, weight.shape[1:])
    return _dense(net, node, x, values)


def matmul(net, node, x, weight):
    """Add a Dense layer: y = x W; where the channels of images are last, a 1 x 1 Conv2d."""
    require_arrays(weight)
    x.require_layout("c", OURS, LINE[::-1])
    if weight.ndim != 2:
        raise UnsupportedGraph(f"it has weights of shape {weight.shape}")
    if x.axes != "c":  # of each pixel: a 1 x 1 convolution
        layer = Conv2d(weight.shape[1], 1, use_bias=False, name=node.layer_name)
        return net.add(node, layer, x, _built(layer, node, x), values={"weight": weight[None, None]})
    return _dense(net, node, x, {"weight": weight})


def _dense(net, node, x, values):
    """Add a Dense layer; `values["weight"]` is (in, out), its rows in ONNX's order."""
    rows, units = values["weight"].shape
    if (rows,) != x.shape:
        raise UnsupportedGraph(f"it has weights of shape {values['weight'].shape} for {x.shape[-1]} features")
    if x.order is not None:
        values = values | {"weight": values["weight"][x.order]}
    return net.add(node, Dense(units, use_bias="bias" in values, name=node.layer_name), x, (units,), values=values)


def batch_normalization(net, node, x, gain, shift, mean, variance):
    """Add a BatchNorm. ONNX's momentum is the weight of the old statistics, ours that of the new ones."""
    require_arrays(gain, shift, mean, variance)
    x.require_layout(IMAGE, COLUMN, LINE, POINT, "c")
    if node.attrs.get("training_mode", 0) or len(node.outputs) > 1:
        raise UnsupportedGraph("it is in training mode: export the net for inference")
    values = {"gain": gain, "shift": shift, "mean": mean, "variance": variance}
    values = {kind: spread(array, x.shape[-1:]) for kind, array in values.items()}
    if x.order is not None:
        values = {kind: array[x.order] for kind, array in values.items()}
    layer = BatchNorm(momentum=round(1 - node.attrs.get("momentum", MOMENTUM), DIGITS),
                      epsilon=short(node.attrs.get("epsilon", EPSILON)), name=node.layer_name)
    return net.add(node, layer, x, values=values, order=x.order)


# --- pools -----------------------------------------------------------------------------------------------------------


def max_pool(net, node, x):
    """Add a MaxPool2d."""
    if len(node.outputs) > 1 or node.attrs.get("storage_order", 0):
        raise UnsupportedGraph("it is asked for the positions of the maxima: its outputs are "
                               f"{quoted(repr(node.outputs))}")
    return _pool(net, node, x, MaxPool2d)


def average_pool(net, node, x):
    """Add an AvgPool2d; it counts padding where the node does so, or where a Pad comes before."""
    counts = bool(node.attrs.get("count_include_pad", 0)) or any(x.pads)
    own = any(node.attrs.get("pads", [0])) or node.attrs.get("auto_pad", "NOTSET").startswith("SAME")
    if own and any(x.pads) and not node.attrs.get("count_include_pad", 0):
        raise UnsupportedGraph("it counts the padding of a Pad, and not its own (count_include_pad)")
    padded = any(x.pads) or own
    return _pool(net, node, replace(x, pads=NO_PADS), AvgPool2d, *[True] * (counts and padded), pads=x.pads)


def _pool(net, node, x, kind, *more, pads=NO_PADS):
    """Add a pool; `more` are arguments behind its window, `pads` those of a Pad before it."""
    net.check(x)
    x.require_layout(IMAGE, LINE)
    if x.axes == LINE:
        node = _as_image(node)
    kernel, dilations = node.attrs["kernel_shape"], node.attrs.get("dilations", [1])
    if len(kernel) != 2 or any(d != 1 for d in dilations):
        raise UnsupportedGraph(f"it has a window {kernel} with dilations {dilations}")
    stride = tuple(node.attrs.get("strides", (1, 1)))
    padding = _padding(node, replace(x, pads=pads), kernel, stride)
    if node.attrs.get("ceil_mode", 0) and padding != "same":
        given, padding = padding, _ceiled(x.shape[:2], kernel, stride, padding)
        if more and given != padding:
            raise UnsupportedGraph("it counts padding (count_include_pad) in windows that reach beyond it (ceil_mode): "
                                   "export it with ceil_mode=False")
    layer = kind(_pair(kernel), _pair(stride), _shortest(padding), *more)
    return net.add(node, layer, x, _built(layer, node, x))


def global_average_pool(net, node, x):
    """Add a GlobalAvgPool2d; ONNX keeps the two axes of the image."""
    return _global(net, node, x, GlobalAvgPool2d)


def global_max_pool(net, node, x):
    """Add a GlobalMaxPool2d; ONNX keeps the two axes of the image."""
    return _global(net, node, x, GlobalMaxPool2d)


def _global(net, node, x, kind):
    if x.axes in (COLUMN, POINT):
        return x
    x.require_layout(IMAGE, LINE)
    return net.add(node, kind(), x, x.shape[-1:], COLUMN if x.axes == IMAGE else POINT)


def reduce_mean(net, node, x, axes=None):
    """Add a GlobalAvgPool2d, as TensorFlow and PyTorch's `mean` export it; an AvgPool2d for one axis alone."""
    return _reduce(net, node, x, axes, (GlobalAvgPool2d, AvgPool2d), "mean")


def reduce_max(net, node, x, axes=None):
    """Add a GlobalMaxPool2d, as TensorFlow and PyTorch's `amax` export it; a MaxPool2d for one axis alone."""
    return _reduce(net, node, x, axes, (GlobalMaxPool2d, MaxPool2d), "maximum")


def _reduce(net, node, x, axes, kinds, what):
    axes = {a % (len(x.axes) + 1) for a in axes_of(node, axes, range(len(x.axes) + 1))}
    inside = {i for i, letter in enumerate(x.axes, 1) if letter in "hw"}
    if not axes or not axes <= inside or len(x.shape) < len(IMAGE):
        raise UnsupportedGraph(f"it is the {what} over axes {sorted(axes)} of an input of shape {x.dims}: only that "
                               "over height and width can be read")
    keeps = node.attrs.get("keepdims", 1)
    if axes < inside:
        letters = [x.axes[i - 1] for i in axes]
        window = tuple(n if letter in letters else 1 for letter, n in zip("hw", x.shape, strict=False))
        left = tuple(1 if letter in letters else n for letter, n in zip(OURS, x.shape, strict=True))
        kept = "".join(letter for letter in x.axes if keeps or letter not in letters)
        return net.add(node, kinds[1](window), x, left, kept)
    kept = "".join("1" if letter in "hw" else letter for letter in x.axes)
    return net.add(node, kinds[0](), x, x.shape[-1:], kept if keeps else "c")


# --- windows ---------------------------------------------------------------------------------------------------------


def _padding(node, x, kernel, stride):
    """Return ((top, bottom), (left, right)) of a window, or "same"."""
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto == "SAME_UPPER" and not any(x.pads):
        return "same"
    if auto == "SAME_LOWER" and not any(x.pads):
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape, kernel, stride, strict=False)]
        return [(total - total // 2, total // 2) for total in totals]
    if auto not in ("NOTSET", "VALID"):
        raise UnsupportedGraph(f"it has auto_pad {auto}" + (" behind a Pad" if any(x.pads) else ""))
    own = node.attrs.get("pads", NO_PADS) if auto == "NOTSET" else NO_PADS
    top, left, bottom, right = (a + b for a, b in zip(own, x.pads, strict=True))
    return [(top, bottom), (left, right)]


def _ceiled(shape, kernel, stride, padding):
    """Return the padding with which the last window reaches beyond the bottom or right edge (ceil_mode).

    Neither maximum nor mean count padding. A window that would begin beyond the edge is left out.
    """
    ceiled = []
    for n, k, s, (before, after) in zip(shape, kernel, stride, padding, strict=True):
        more = -(n + before + after - k) % s
        begins = n + before + after + more - k
        ceiled.append((before, after + (more if begins < n + before else 0)))
    return ceiled


def _shortest(padding):
    """Return the same padding as a word or a whole number, where there is one."""
    if padding == "same":
        return padding
    (top, bottom), (left, right) = padding
    if top == bottom == left == right:
        return top or "valid"
    return ((top, bottom), (left, right))


def _pair(pair):
    """Return (3, 3) as 3."""
    return pair[0] if pair[0] == pair[1] else tuple(pair)


def _built(layer, node, x):
    """Return the output shape of a layer that reads the Signal `x`."""
    layer.name, name = node.label, layer.name  # for its messages
    made, _ = layer.build(x.shape)
    layer.name = name
    return made
