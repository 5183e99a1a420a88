"""The ONNX operators that minnet reads, `OPS[node.op](net, node, *inputs) -> Signal`, and the simple ones among them.

An input is an array (a weight, a shape) or a Signal. A function adds items to `net`, or raises `UnsupportedGraph` with
the reason why the node has no counterpart here.
"""
import functools
import inspect
from dataclasses import replace

import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.formats import onnx_layers, onnx_shapes
from minnet.formats.onnx_fold import BATCH, UnsupportedGraph, fold, shape_of
from minnet.formats.onnx_net import Signal, short

# what an operator raises for attributes that do not fit its inputs
NODE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
SLOPE, RATE = 0.01, 0.5     # ONNX's defaults
SIX = 6.0                   # where ReLU6 ends


def compute(net, node, values):
    """Return the value of a node: an array if all inputs are constant, else the Signal that its operator returns.

    Raises UnsupportedGraph for what minnet has no counterpart of.
    """
    values = [replace(value, shared=value.shared or net.readers[name] > 1) if isinstance(value, Signal) else value
              for name, value in zip(node.inputs, values, strict=True)]
    signals = [value for value in values if isinstance(value, Signal)]
    if node.op == "Shape" and signals:
        return shape_of(node, [BATCH, *signals[0].dims])
    if not signals:
        return fold(node, values, net.most)
    try:
        if node.op not in ("Identity", "Cast"):
            values = [_softmax_inside(net, node, x) if isinstance(x, Signal) and x.ended else x for x in values]
        inspect.signature(OPS[node.op]).bind(net, node, *values)
        with np.errstate(all="ignore"):  # what is not finite is refused where it becomes a weight
            return OPS[node.op](net, node, *values)
    except NODE_ERRORS as error:
        raise UnsupportedGraph(f"it does not fit its inputs: {error}") from error


# --- arithmetic ------------------------------------------------------------------------------------------------------


def add(net, node, a, b):
    """Add two signals as a Residual, or a constant as a bias or a BatchNorm that only shifts."""
    if isinstance(a, Signal) and isinstance(b, Signal):
        if a.shape != b.shape or a.axes != b.axes or not _same_order(a, b):
            raise UnsupportedGraph(f"it adds the shapes {a.dims} and {b.dims}, laid out {a.axes} and {b.axes}")
        return net.join(node, "add", (a, b), a.shape, a.order)
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    return _affine(net, node, x, shift=constant)


def total(net, node, *terms):
    """Add any number of terms."""
    return functools.reduce(functools.partial(add, net, node), terms)


def subtract(net, node, a, b):
    """Compute x - c, or c - x."""
    if isinstance(a, Signal) and isinstance(b, Signal):
        raise UnsupportedGraph("it is the difference of two branches")
    if isinstance(a, Signal):
        return _affine(net, node, a, shift=-b)
    return _affine(net, node, b, gain=np.array(-1.0), shift=a)


def multiply(net, node, a, b):
    """Compute c x, or x sigmoid(x)."""
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _silu(net, node, a, b)
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    return _affine(net, node, x, gain=constant)


def _silu(net, node, a, b):
    """Add a SiLU for x sigmoid(x); any other product of signals has no counterpart."""
    for x, s in ((a, b), (b, a)):
        item = net.exclusive(s)
        if isinstance(item.layer, Sigmoid) and item.inputs == (x.item,):
            return net.add(node, SiLU(), x, order=x.order)
    raise UnsupportedGraph("it is the product of two branches")


def divide(net, node, x, constant):
    """Compute x / c."""
    if not isinstance(x, Signal) or isinstance(constant, Signal):
        raise UnsupportedGraph("it divides by what depends on the input")
    return _affine(net, node, x, gain=1 / constant)


def _affine(net, node, x, gain=None, shift=None):
    """Compute gain x + shift per channel: in the bias or BatchNorm before it, else in a BatchNorm of its own."""
    net.check(x)
    channels = x.shape[-1:]
    scale = np.ones(channels) if gain is None else _per_channel(gain, x)
    shift = np.zeros(channels) if shift is None else _per_channel(shift, x)
    before = net.exclusive(x)
    if gain is None and isinstance(before.layer, Dense | Conv2d | DepthwiseConv2d):
        before.values["bias"] = before.values.get("bias", 0) + shift
        before.layer.use_bias = True
        return x
    if isinstance(before.layer, BatchNorm):
        before.values["gain"] = before.values["gain"] * scale
        before.values["shift"] = before.values["shift"] * scale + shift
        return x
    values = {"gain": scale, "shift": shift, "mean": np.zeros(channels), "variance": np.ones(channels)}
    return net.add(node, BatchNorm(epsilon=0.0, name=node.layer_name), x, values=values, order=x.order)


def _per_channel(constant, x):
    """Return a constant that is added to or multiplied with `x`: one number per channel, in minnet's order."""
    sizes = (1,) * (len(x.dims) + 1 - constant.ndim) + constant.shape
    wanted = (1, *[n if letter == "c" else 1 for letter, n in zip(x.axes, x.dims, strict=True)])
    fits = len(sizes) == len(wanted) and all(size in (1, n) for size, n in zip(sizes, wanted, strict=True))
    if not fits or constant.dtype.kind != "f":
        raise UnsupportedGraph(f"it has a constant of shape {constant.shape} for an input of shape {x.dims}: only "
                               "one number per channel can be read")
    spread = np.broadcast_to(constant.reshape(-1), x.shape[-1:])
    return spread if x.order is None else spread[x.order]


def _same_order(a, b):
    if a.order is None or b.order is None:
        return a.order is b.order
    return np.array_equal(a.order, b.order)


# --- elementwise -----------------------------------------------------------------------------------------------------


def relu(net, node, x):
    """Add a ReLU."""
    return net.add(node, ReLU(), x, order=x.order)


def leaky_relu(net, node, x):
    """Add a LeakyReLU."""
    return net.add(node, LeakyReLU(short(node.attrs.get("alpha", SLOPE))), x, order=x.order)


def tanh(net, node, x):
    """Add a Tanh."""
    return net.add(node, Tanh(), x, order=x.order)


def sigmoid(net, node, x):
    """Add a Sigmoid."""
    return net.add(node, Sigmoid(), x, order=x.order)


def elu(net, node, x):
    """Add an ELU."""
    return net.add(node, ELU(short(node.attrs.get("alpha", 1.0))), x, order=x.order)


def hardswish(net, node, x):
    """Add a Hardswish."""
    return net.add(node, Hardswish(), x, order=x.order)


def gelu(net, node, x):
    """Add a GELU, the exact one."""
    if node.attrs.get("approximate", "none") not in ("none", b"none"):
        raise UnsupportedGraph("it is the approximation by tanh: minnet's GELU is the exact one")
    return net.add(node, GELU(), x, order=x.order)


def clip(net, node, x, lowest=None, highest=None):
    """Add a ReLU6, or a ReLU if there is no upper end."""
    ends = [node.attrs.get(name) if end is None else float(np.ravel(end)[0])
            for name, end in (("min", lowest), ("max", highest))]
    kinds = {(0, SIX): ReLU6, (0, None): ReLU}
    if tuple(ends) not in kinds:
        raise UnsupportedGraph(f"it clips to {ends}: only 0 to 6, or from 0 on, can be read")
    return net.add(node, kinds[tuple(ends)](), x, order=x.order)


def dropout(net, node, x, ratio=None, training=None):
    """Add a Dropout, which does nothing in inference but is kept for training."""
    if len(node.outputs) > 1:
        raise UnsupportedGraph("its mask is read")
    rate = node.attrs.get("ratio", RATE) if ratio is None else float(np.ravel(ratio)[0])
    return net.add(node, Dropout(short(rate)), x, order=x.order)


def softmax(net, node, x):
    """Add a Softmax over channels, or leave it out at the end of rows: minnet's outputs are logits."""
    axis = node.attrs.get("axis", -1)
    if x.axes[axis if axis < 0 else axis - 1] != "c":
        raise UnsupportedGraph(f"it goes along axis {axis} of the shape {x.dims}")
    x = replace(x, ended=node.op)
    return x if len(x.shape) == 1 else _softmax_inside(net, node, x)


def _softmax_inside(net, node, x):
    """Add the Softmax of a signal that something follows."""
    if x.ended != "Softmax":
        raise UnsupportedGraph("it follows a LogSoftmax, which can be read at the end only")
    return net.add(node, Softmax(), replace(x, ended=""), order=x.order)


def same(net, node, x):
    """Return the input: another name for it."""
    return x


OPS = {
    "Identity": same, "Cast": same, "Dropout": dropout, "Relu": relu, "LeakyRelu": leaky_relu, "Tanh": tanh,
    "Sigmoid": sigmoid, "Elu": elu, "HardSwish": hardswish, "Gelu": gelu, "Clip": clip, "Softmax": softmax,
    "LogSoftmax": softmax, "Add": add, "Sum": total, "Sub": subtract,
    "Mul": multiply, "Div": divide, "Gemm": onnx_layers.gemm, "MatMul": onnx_layers.matmul,
    "BatchNormalization": onnx_layers.batch_normalization, "Conv": onnx_layers.conv, "MaxPool": onnx_layers.max_pool,
    "AveragePool": onnx_layers.average_pool, "GlobalAveragePool": onnx_layers.global_average_pool,
    "ReduceMean": onnx_layers.reduce_mean, "Flatten": onnx_shapes.flatten, "Reshape": onnx_shapes.reshape,
    "Squeeze": onnx_shapes.squeeze, "Unsqueeze": onnx_shapes.unsqueeze, "Transpose": onnx_shapes.transpose,
    "Concat": onnx_shapes.concat, "Pad": onnx_shapes.pad,
}
