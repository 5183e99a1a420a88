"""The layers of Keras that compute number by number: activations by name and as layers, and what only training has.

y = activated(net, spec, x)         # what `activation=` of a layer says
ELEMENTWISE["LeakyReLU"](net, spec, x)
"""
from dataclasses import replace

from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.more_activations import ELU, GELU, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import Dropout
from minnet.engine.prelu import PReLU
from minnet.engine.rare_activations import SELU, HardSigmoid, Hardtanh, Mish, Softplus
from minnet.errors import quoted
from minnet.formats.keras_net import label, number, require
from minnet.formats.onnx_fold import UnsupportedGraph

SIX = 6.0
LEAK = 0.3          # LeakyReLU's slope in Keras, unless told otherwise
ACTIVATIONS = {
    "relu": ReLU, "relu6": ReLU6, "tanh": Tanh, "sigmoid": Sigmoid, "elu": ELU, "silu": SiLU, "swish": SiLU,
    "gelu": GELU, "softmax": Softmax, "hard_silu": Hardswish, "hard_swish": Hardswish, "linear": None,
    "leaky_relu": lambda: LeakyReLU(0.2), "selu": SELU, "mish": Mish, "softplus": Softplus, "hard_tanh": Hardtanh,
    "hard_sigmoid": HardSigmoid,
}
OLD_HARD_SIGMOID = 0.2      # its slope in Keras 2
FUNCTIONS = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "silu", "Gelu": "gelu",
             "HardSilu": "hard_silu", "Softmax": "softmax", "Selu": "selu", "Softplus": "softplus", "Mish": "mish",
             "HardSigmoid": "hard_sigmoid"}     # of keras.ops; a .h5 file does not say so


def activated(net, spec, x):
    """Add the activation that a layer names, if any."""
    given = spec.config.get("activation")
    if isinstance(given, dict):
        given = _activation_object(net, spec, given)
        if not isinstance(given, str):
            return given(net, replace(spec, name=""), x)
    if given is None:
        return x
    if not isinstance(given, str) or given not in ACTIVATIONS:
        raise UnsupportedGraph(f"{label(spec)} has the activation {quoted(repr(given))}; known are "
                               f"{', '.join(ACTIVATIONS)}")
    made = ACTIVATIONS[given]
    if made is HardSigmoid and net.old:
        return net.add(replace(spec, name=""), HardSigmoid(OLD_HARD_SIGMOID), x)
    return x if made is None else net.add(replace(spec, name=""), made(), x)


def _activation_object(net, spec, given):
    """Return the name of a function that is described as an object, or the function for a layer that is one."""
    kind, config = given.get("class_name"), given.get("config")
    if kind == "function" and isinstance(config, str):
        return config
    if kind in ELEMENTWISE and isinstance(config, dict):
        return lambda net, spec, x: ELEMENTWISE[kind](net, replace(spec, config=config), x)
    raise UnsupportedGraph(f"{label(spec)} has the activation {quoted(repr(kind))}, which is none of Keras's own")


def relu(net, spec, x):
    """Add a ReLU, ReLU6, LeakyReLU, or a Hardtanh for another largest value."""
    most, slope = spec.config.get("max_value"), number(spec, "negative_slope", 0.0)
    if number(spec, "threshold", 0.0) or (slope and most is not None):
        raise UnsupportedGraph(f"{label(spec)} has a threshold, or a largest value and a slope, which no layer here "
                               "has")
    if most is not None:
        most = number(spec, "max_value")
        return net.add(spec, ReLU6() if most == SIX else Hardtanh(0.0, most), x)
    return net.add(spec, LeakyReLU(slope) if slope else ReLU(), x)


def leaky_relu(net, spec, x):
    """Add a LeakyReLU; Keras 2 calls the slope alpha."""
    key = "negative_slope" if "negative_slope" in spec.config else "alpha"
    return net.add(spec, LeakyReLU(number(spec, key, LEAK)), x)


def elu(net, spec, x):
    """Add an ELU."""
    return net.add(spec, ELU(number(spec, "alpha", 1.0)), x)


def prelu(net, spec, x):
    """Add a PReLU with a slope for each channel, or one for all."""
    slopes, = net.weights(spec, ("alpha",))
    if slopes.size not in (1, x.shape[-1]) or slopes.shape[-1:] != (slopes.size,):
        raise UnsupportedGraph(f"{label(spec)} has slopes of shape {slopes.shape} for {x.shape}: only one for each "
                               "channel can be read (shared_axes=[1, 2])")
    return net.add(spec, PReLU(per_channel=slopes.size > 1), x, {"slopes": slopes.reshape(-1)})


def softmax(net, spec, x):
    """Add a Softmax over channels."""
    require(spec, "axis", -1, -1, len(x.shape))
    return net.add(spec, Softmax(), x)


def dropout(net, spec, x):
    """Add a Dropout."""
    return net.add(spec, Dropout(number(spec, "rate")), x)


def same(net, spec, x):
    """Return the input: the layer does something in training alone, or nothing."""
    return x


def function(name):
    """Return what adds the activation that a function of keras.ops is."""
    return lambda net, spec, x: activated(net, replace(spec, config={"activation": name}), x)


ELEMENTWISE = {"ReLU": relu, "LeakyReLU": leaky_relu, "ELU": elu, "Softmax": softmax, "PReLU": prelu}
