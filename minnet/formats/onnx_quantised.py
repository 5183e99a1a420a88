"""Read quantised ONNX graphs in the QDQ form as the nets of floats that they stand in for.

A weight is (q - zero point) * scale, by DequantizeLinear. Of what flows through the net the pair of QuantizeLinear and
DequantizeLinear is left out: it rounds, and it cuts what is beyond the smallest and largest whole number. A quantiser
takes a ReLU out where that cut does its work, so a cut at 0 is a ReLU again here, one at 0 and 6 a ReLU6.
"""
import numpy as np

from minnet.engine.activations import ReLU, Sigmoid
from minnet.engine.more_activations import ReLU6, Softmax
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, MaxPool2d
from minnet.formats.onnx_fold import UNTOLD_ZERO, UnsupportedGraph
from minnet.formats.onnx_net import Signal, require_arrays

NOT_NEGATIVE = (ReLU, ReLU6, Sigmoid, Softmax)
KEEP_SIGN = (MaxPool2d, AvgPool2d, GlobalAvgPool2d, Flatten)
SIX = 6.0


def quantize(net, node, x, scale, zero=None):
    """Pass a signal on; where the smallest whole number stands for 0, behind a ReLU."""
    require_arrays(scale)
    zero = UNTOLD_ZERO if zero is None else zero
    if scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu":
        raise UnsupportedGraph(f"it has {scale.size} scales, and a zero point of {zero.dtype}: only one scale for all, "
                               "and whole numbers, can be read")
    net.quantised = True
    limits = np.iinfo(zero.dtype)
    if int(zero.reshape(-1)[0]) != limits.min or x.item == 0 or x.ended or _is_not_negative(net, x.item):
        return x
    highest = (limits.max - limits.min) * float(scale.reshape(-1)[0])
    return net.add(node, ReLU6() if abs(highest - SIX) < SIX / (limits.max - limits.min) else ReLU(), x, order=x.order)


def dequantize(net, node, x, scale, zero=None):
    """Pass a signal on."""
    if not isinstance(x, Signal):
        raise UnsupportedGraph("its scale depends on the input")
    return x


def _is_not_negative(net, item):
    """Return whether what an item gives is never below 0."""
    layer = net.items[item].layer
    while isinstance(layer, KEEP_SIGN):
        item = net.items[item].inputs[0]
        layer = net.items[item].layer
    return isinstance(layer, NOT_NEGATIVE)
