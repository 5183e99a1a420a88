"""The ends of ONNX nets: what makes probabilities or class numbers of logits is left out, for outputs here are logits.

    x = softmax(net, node, x)           # x.ended == "Softmax": nothing is added until another node reads it
    x = inside(net, node, x)            # ... and then it is a Softmax
    end, task = finish(net, names, signals)    # the Signal at the end, "classes" or "multilabel" where that is known

A Softmax, LogSoftmax or ArgMax is left out. So is a Sigmoid: of several outputs they are labels, any number a row; of
one, the net gets two logits, and so where the probabilities stand in two columns, 1 - s and s. Several outputs are one
net's if they differ by such an end alone.
"""
from dataclasses import replace

import numpy as np

from minnet.engine.activations import Sigmoid
from minnet.engine.more_activations import Softmax
from minnet.errors import quoted
from minnet.formats.ends import two_logits
from minnet.formats.onnx_fold import UnsupportedGraph
from minnet.formats.onnx_net import Node

LAYERS = {"Softmax": Softmax, "Sigmoid": Sigmoid}   # what may also be read in the middle
COLUMNS = "both probabilities"      # the operator of a node in place of Sigmoid, Sub and Concat
# what may follow such an end
KEEPING = {"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "QuantizeLinear", "DequantizeLinear"}
HALF = 0.5      # the probability above which a row has a label
OTHER_WAY = "make one net of it with onnx.utils.extract_model(path, new_path, [input], [output])"


def softmax(net, node, x):
    """Leave a Softmax or LogSoftmax over the channels of rows out; add one of images."""
    axis = node.attrs.get("axis", -1)
    if x.axes[axis if axis < 0 else axis - 1] != "c":
        raise UnsupportedGraph(f"it goes along axis {axis} of the shape {x.dims}")
    x = replace(x, ended=node.op)
    return x if len(x.shape) == 1 else inside(net, node, x)


def sigmoid(net, node, x):
    """Leave a Sigmoid of rows out; add one of images."""
    x = replace(x, ended=node.op)
    return x if len(x.shape) == 1 else inside(net, node, x)


def columns(net, node, x):
    """Leave a Sigmoid out, and with it the column of the other class's probability."""
    if x.shape != (1,):
        raise UnsupportedGraph(f"it puts 1 - s beside the probabilities s of {x.shape[-1]} outputs: the last layer "
                               "must have one")
    return replace(x, ended=node.op)


def argmax(net, node, x):
    """Leave an ArgMax over channels out."""
    axis = node.attrs.get("axis", 0)
    if axis not in (1, -1) or len(x.shape) > 1 or node.attrs.get("select_last_index", 0):
        raise UnsupportedGraph(f"it goes along axis {axis} of the shape {x.dims}: only that of the classes, of rows, "
                               "can be read")
    return replace(x, ended=node.op)


def above_half(net, node, x, threshold):
    """Leave the comparison of probabilities with a half out."""
    if x.ended != "Sigmoid" or np.ravel(threshold).tolist() != [HALF]:
        raise UnsupportedGraph(f"it compares with a number: only probabilities, with {HALF} at the end, can be read")
    return x


OVER_ENDS = {"ArgMax": argmax, "Greater": above_half, "GreaterOrEqual": above_half}


def inside(net, node, x):
    """Add the layer of an end that something follows."""
    if x.ended not in LAYERS:
        what = {"ArgMax": "an ArgMax", COLUMNS: COLUMNS}.get(x.ended, f"a {x.ended}")
        raise UnsupportedGraph(f"it follows {what}, which can be read at the end only")
    return net.add(node, LAYERS[x.ended](), replace(x, ended=""), order=x.order)


def finish(net, names, signals, logits=True):
    """Return (the Signal at the end, its task) of a net that ends in `signals`, called `names`.

    The task is "classes" or "multilabel" where the end says so, else None. Without `logits` a Sigmoid at the end stays.
    """
    if len({x.item for x in signals}) > 1:
        raise UnsupportedGraph(f"it has the outputs {', '.join(map(quoted, names))}, which do not differ by a Softmax, "
                               f"Sigmoid or ArgMax alone: {OTHER_WAY}")
    ended = {x.ended for x in signals}
    end = signals[0]
    if not ended & {"Sigmoid", COLUMNS}:
        return end, "classes" if ended - {""} else None
    if not logits and COLUMNS not in ended:
        return inside(net, Node("Sigmoid", "the end", (), ()), replace(end, ended="Sigmoid")), None
    if end.shape == (1,):
        return replace(end, item=two_logits(net.items, end.item), shape=(2,)), "classes"
    return end, "multilabel"
