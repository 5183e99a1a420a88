"""Layers of Keras that take moments of one image alone: LayerNormalization and GroupNormalization."""
import numpy as np

from minnet.engine.layer_norm import GroupNorm, LayerNorm
from minnet.errors import quoted
from minnet.formats.keras_net import count, flag, label, number, require
from minnet.formats.onnx_fold import UnsupportedGraph


def layer_norm(net, spec, x):
    """Add a LayerNorm over the last axis."""
    require(spec, "rms_scaling", False, False)
    return _add(net, spec, x, LayerNorm(epsilon=number(spec, "epsilon")))


def group_norm(net, spec, x):
    """Add a GroupNorm; -1 groups are one for each channel."""
    groups = spec.config.get("groups")
    return _add(net, spec, x, GroupNorm(x.shape[-1] if groups == -1 else count(spec, "groups"),
                                        epsilon=number(spec, "epsilon")))


def _add(net, spec, x, layer):
    """Add a layer with gain and shift, which Keras can leave out."""
    axis = spec.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(x.shape)):
        raise UnsupportedGraph(f"{label(spec)} goes along axis {quoted(repr(axis))} of {x.shape}: only the last can be "
                               "read; of a whole image take GroupNormalization(groups=1)")
    names = [name for name, key in (("gamma", "scale"), ("beta", "center")) if flag(spec, key)]
    found = dict(zip(names, net.weights(spec, names) if names else [], strict=True))
    channels = x.shape[-1:]
    values = {"gain": found.get("gamma", np.ones(channels, np.float32)),
              "shift": found.get("beta", np.zeros(channels, np.float32))}
    return net.add(spec, layer, x, values)
