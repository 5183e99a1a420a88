"""A net as the page computes it: a list of layers with their arrays, and the table of the layers that it knows.

    net_of(model)        # {"layers": [{"kind": "dense", "name": "dense1", ...}], "scaling": ..., ...}

A layer more is a row in KINDS and a function of the same name in net.js.
"""
import math
from collections.abc import Iterator

import numpy as np

from minnet.data import Signature
from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.layer import Layer
from minnet.engine.more_activations import ELU, Hardswish, ReLU6, SiLU
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.errors import Unsupported, quoted
from minnet.model import Model
from minnet.play.packing import FLOAT, packed

PLAIN = {Flatten: "flatten", GlobalMaxPool2d: "gmax", GlobalAvgPool2d: "gavg", ReLU: "relu", ReLU6: "relu6",
         Tanh: "tanh", Sigmoid: "sigmoid", SiLU: "silu", Hardswish: "hardswish"}  # layers without numbers of their own


def net_of(model: Model, kind: str = FLOAT, base: Signature | None = None) -> dict[str, object]:
    """Return a net as JSON, weights as floats of `kind`; it takes some of the numbers that a net of `base` takes."""
    return {"layers": [_layer(layer, kind) for layer in steps_of(model.tree)], **_ends(model, base)}


def check_playable(model: Model) -> None:
    """Raise Unsupported, by name, where the page does not know a layer."""
    for layer in steps_of(model.tree):
        if type(layer) not in PLAIN and type(layer) not in KINDS:
            raise refused(layer, f"is a {type(layer).__name__}")
        if isinstance(layer, Conv2d) and (layer.groups != 1 or layer.window.dilation != (1, 1)):
            raise refused(layer, "has groups or a dilation")
        if isinstance(layer, AvgPool2d) and layer.count_padding and layer.window.padded:
            raise refused(layer, "counts padding")


def refused(layer: Layer, why: str) -> Unsupported:
    """Return the error for a net with this layer."""
    names = ", ".join(sorted(known.__name__ for known in (*PLAIN, *KINDS, Dropout)))
    return Unsupported(f"this net cannot be played: its layer {quoted(str(layer.name))} {why}; the page computes "
                       f"chains of {names}")


def steps_of(layer: Layer) -> Iterator[Layer]:
    """Return the layers of a chain in order, without those that do nothing in use."""
    if isinstance(layer, Sequential):
        for child in layer.layers:
            yield from steps_of(child)
    elif not isinstance(layer, Dropout):
        yield layer


def _ends(model, base):
    """Return how raw rows become inputs, and outputs predictions, of a net."""
    signature = model.signature
    facts = {"shape": list(model.input_shape), "outputs": model.output_shape[-1]}
    if signature is None:
        return facts
    for name, scaling in (("scaling", signature.scaling), ("target_scaling", signature.target_scaling)):
        if scaling is not None:
            facts[name] = [np.ravel(np.asarray(part, np.float64)).tolist() for part in scaling]
    columns = _picked(signature, base)
    return facts if columns is None else facts | {"columns": columns}


def _picked(signature, base):
    """Return the places of what a net takes among the numbers of `base`, None for all of them."""
    if signature.encoding is not None and base is not None and base.encoding is not None:
        names = base.encoding.encoded_names
        return [names.index(name) for name in signature.encoding.encoded_names]
    return None if signature.selection is None else [int(column) for column in signature.selection[0]]


def _layer(layer, kind):
    """Return one layer as JSON."""
    facts = {"name": layer.name, "in": list(layer.input_shape), "out": list(layer.output_shape)}
    if type(layer) in PLAIN:
        return facts | {"kind": PLAIN[type(layer)]}
    return facts | KINDS[type(layer)](layer, kind)


def _weights(layer, kind):
    """Return weights and bias; of K taps, I inputs and O outputs weight (k, i, o) is number (k I + i) O + o."""
    shape = layer.weight.shape
    facts = {"w": packed(layer.weight.value, kind), "taps": math.prod(shape[:-2]), "units": list(shape[-2:])}
    return facts | ({"b": packed(layer.bias.value)} if layer.use_bias else {})


def _dense(layer, kind):
    return {"kind": "dense"} | _weights(layer, kind)


def _window(layer):
    """Return the window of a convolution or a pool."""
    at = layer.window
    return {"kernel": list(at.kernel), "stride": list(at.stride), "top": at.top, "left": at.left}


def _conv(layer, kind):
    return {"kind": "conv"} | _weights(layer, kind) | _window(layer)


def _pool(layer, kind):
    return {"kind": "max" if isinstance(layer, MaxPool2d) else "avg"} | _window(layer)


def _scale(layer, kind):
    """Return BatchNorm in use: y = scale x + offset."""
    scale, offset = layer.scale_and_offset()
    return {"kind": "scale", "scale": packed(scale), "offset": packed(offset)}


def _leaky(layer, kind):
    return {"kind": "leaky", "slopes": packed(np.array([layer.slope]))}


def _prelu(layer, kind):
    return {"kind": "leaky", "slopes": packed(layer.slopes.value)}


def _elu(layer, kind):
    return {"kind": "elu", "alpha": layer.alpha}


KINDS = {Dense: _dense, Conv2d: _conv, MaxPool2d: _pool, AvgPool2d: _pool, BatchNorm: _scale, LeakyReLU: _leaky,
         PReLU: _prelu, ELU: _elu}
