"""ONNX operators that compute number by number: activations and Dropout.

Each is `function(net, node, x, ...) -> Signal`; onnx_ops.py has the table, onnx_functions.py finds activations that are
written as several nodes.
"""
import numpy as np

from minnet.engine.activations import LeakyReLU, ReLU, Tanh
from minnet.engine.more_activations import ELU, GELU, SIX, Hardswish, ReLU6
from minnet.engine.normalise import Dropout
from minnet.engine.prelu import PReLU
from minnet.engine.rare_activations import SELU, SELU_ALPHA, SELU_SCALE, HardSigmoid, Hardtanh, Mish, Softplus
from minnet.formats.onnx_arithmetic import affine, per_channel
from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_net import require_arrays, short

SLOPE, RATE, ALPHA, BETA = 0.01, 0.5, 0.2, 0.5      # ONNX's defaults
LARGEST = 3.4e38    # of float32, about: what exporters write where there is no end


def plain(kind):
    """Return the function that adds a layer of this kind, which takes no arguments."""
    def read(net, node, x):
        return net.add(node, kind(), x, order=x.order)
    return read


def found(net, node, x):
    """Add the activation that onnx_functions.py has recognised."""
    return net.add(node, node.attrs["layer"], x, order=x.order)


def leaky_relu(net, node, x):
    """Add a LeakyReLU."""
    return net.add(node, LeakyReLU(short(node.attrs.get("alpha", SLOPE))), x, order=x.order)


def prelu(net, node, x, slopes):
    """Add a PReLU of one slope, or of one for each channel."""
    require_arrays(slopes)
    slopes = -slopes if node.attrs.get("negated") else slopes
    net.check(x)
    one = slopes.size == 1
    values = {"slopes": slopes.reshape(-1) if one else per_channel(slopes, x)}
    return net.add(node, PReLU(not one, name=node.layer_name), x, values=values, order=x.order)


def elu(net, node, x):
    """Add an ELU."""
    return net.add(node, ELU(short(node.attrs.get("alpha", 1.0))), x, order=x.order)


def selu(net, node, x):
    """Add a SELU or, of other constants than its own, an ELU times a number."""
    alpha, gamma = node.attrs.get("alpha", SELU_ALPHA), node.attrs.get("gamma", SELU_SCALE)
    if np.allclose([alpha, gamma], [SELU_ALPHA, SELU_SCALE], rtol=1e-6):
        return net.add(node, SELU(), x, order=x.order)
    return affine(net, node, net.add(node, ELU(short(alpha)), x, order=x.order), gain=np.array(short(gamma)))


def celu(net, node, x):
    """Add an ELU, of x / alpha and times alpha where that is not 1."""
    alpha = short(node.attrs.get("alpha", 1.0))
    if alpha == 1:
        return net.add(node, ELU(), x, order=x.order)
    x = net.add(node, ELU(), affine(net, node, x, gain=np.array(1 / alpha)), order=x.order)
    return affine(net, node, x, gain=np.array(alpha))


def hard_sigmoid(net, node, x):
    """Add a HardSigmoid."""
    alpha = node.attrs.get("alpha", ALPHA)
    alpha = 1 / 6 if np.float32(alpha) == np.float32(1 / 6) else short(alpha)
    return net.add(node, HardSigmoid(alpha, short(node.attrs.get("beta", BETA))), x, order=x.order)


def gelu(net, node, x):
    """Add a GELU, exact or by a tanh."""
    return net.add(node, GELU(node.attrs.get("approximate", "none")), x, order=x.order)


def clip(net, node, x, lowest=None, highest=None):
    """Add a Hardtanh, or what has a name of its own: a ReLU6, a ReLU; nothing where there are no ends."""
    ends = [node.attrs.get(name) if end is None else float(np.ravel(end)[0])
            for name, end in (("min", lowest), ("max", highest))]
    low, high = (None if end is None or abs(end) > LARGEST else short(end) for end in ends)
    if low is None and high is None:
        return x
    if low is not None and high is not None and low >= high:
        raise UnsupportedGraph(f"it clips to values from {low} to {high}, which is one at most")
    layers = {(0, SIX): ReLU6, (0, None): ReLU}
    layer = layers[low, high]() if (low, high) in layers else Hardtanh(low, high)
    return net.add(node, layer, x, order=x.order)


def dropout(net, node, x, ratio=None, training=None):
    """Add a Dropout, which does nothing in inference but is kept for training."""
    if len(node.outputs) > 1:
        raise UnsupportedGraph("its mask is read")
    rate = node.attrs.get("ratio", RATE) if ratio is None else float(np.ravel(ratio)[0])
    return net.add(node, Dropout(short(rate)), x, order=x.order)


ACTIVATIONS = {
    "Dropout": dropout, "Relu": plain(ReLU), "LeakyRelu": leaky_relu, "PRelu": prelu, "Tanh": plain(Tanh), "Elu": elu,
    "Selu": selu, "Celu": celu, "HardSwish": plain(Hardswish), "HardSigmoid": hard_sigmoid, "Softplus": plain(Softplus),
    "Mish": plain(Mish), "Gelu": gelu, "Clip": clip,
}
