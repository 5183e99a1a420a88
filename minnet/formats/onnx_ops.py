"""The ONNX operators that minnet reads, `OPS[node.op](net, node, *inputs) -> Signal`.

An input is an array (a weight, a shape) or a Signal. A function adds items to `net`, or raises `UnsupportedGraph` with
the reason why the node has no counterpart here.
"""
import inspect
from dataclasses import replace

import numpy as np

from minnet.formats import (
    onnx_adaptive,
    onnx_arithmetic,
    onnx_ends,
    onnx_functions,
    onnx_layers,
    onnx_norms,
    onnx_quantised,
    onnx_shapes,
)
from minnet.formats.onnx_activations import ACTIVATIONS, found
from minnet.formats.onnx_fold import BATCH, UnsupportedGraph, fold, shape_of
from minnet.formats.onnx_net import Signal

# what an operator raises for attributes that do not fit its inputs
NODE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)


def compute(net, node, values):
    """Return the value of a node: an array if all inputs are constant, else the Signal that its operator returns.

    Raises UnsupportedGraph for what minnet has no counterpart of.
    """
    values = [value.signal(net) if isinstance(value, onnx_adaptive.Picked) and node.op != "MatMul" and value.is_whole()
              else value for value in values]
    if any(isinstance(value, onnx_adaptive.Picked) for value in values) or onnx_adaptive.begins(node, values):
        return onnx_adaptive.pick(node, values)
    values = [replace(value, shared=value.shared or net.readers[name] > 1) if isinstance(value, Signal) else value
              for name, value in zip(node.inputs, values, strict=True)]
    signals = [value for value in values if isinstance(value, Signal)]
    if node.op == "Shape" and signals:
        return shape_of(node, [BATCH, *signals[0].dims])
    if not signals:
        return fold(node, values, net.most)
    if node.op not in OPS:
        raise UnsupportedGraph(WAYS_OUT.get(node.op, "it is read of constants alone, and this depends on the input"))
    try:
        if signals[0].ended == "ArgMax" and node.op in onnx_ends.KEEPING:
            return signals[0]
        if node.op not in onnx_ends.KEEPING and node.op not in onnx_ends.OVER_ENDS:
            values = [onnx_ends.inside(net, node, x) if isinstance(x, Signal) and x.ended else x for x in values]
        inspect.signature(OPS[node.op]).bind(net, node, *values)
        with np.errstate(all="ignore"):  # what is not finite is refused where it becomes a weight
            return OPS[node.op](net, node, *values)
    except NODE_ERRORS as error:
        raise UnsupportedGraph(f"it does not fit its inputs: {error}") from error


def same(net, node, x):
    """Return the input: another name for it."""
    return x


OPS = ACTIVATIONS | onnx_ends.OVER_ENDS | {
    "Identity": same, "Cast": same, onnx_functions.FOUND: found, onnx_ends.COLUMNS: onnx_ends.columns,
    "Softmax": onnx_ends.softmax, "LogSoftmax": onnx_ends.softmax, "Sigmoid": onnx_ends.sigmoid,
    "QuantizeLinear": onnx_quantised.quantize, "DequantizeLinear": onnx_quantised.dequantize,
    "Add": onnx_arithmetic.add, "Sum": onnx_arithmetic.total, "Sub": onnx_arithmetic.subtract,
    "Mul": onnx_arithmetic.multiply, "Div": onnx_arithmetic.divide, "Split": onnx_arithmetic.split,
    "Gemm": onnx_layers.gemm, "MatMul": onnx_layers.matmul,
    "LayerNormalization": onnx_norms.layer_normalization,
    "InstanceNormalization": onnx_norms.instance_normalization, "GroupNormalization": onnx_norms.group_normalization,
    onnx_norms.SPLIT: onnx_norms.split_normalization,
    "BatchNormalization": onnx_layers.batch_normalization, "Conv": onnx_layers.conv, "MaxPool": onnx_layers.max_pool,
    "AveragePool": onnx_layers.average_pool, "GlobalAveragePool": onnx_layers.global_average_pool,
    "GlobalMaxPool": onnx_layers.global_max_pool, "ReduceMean": onnx_layers.reduce_mean,
    "ReduceMax": onnx_layers.reduce_max, "Flatten": onnx_shapes.flatten, "Reshape": onnx_shapes.reshape,
    "Squeeze": onnx_shapes.squeeze, "Unsqueeze": onnx_shapes.unsqueeze, "Transpose": onnx_shapes.transpose,
    "Concat": onnx_shapes.concat, "Pad": onnx_shapes.pad,
}
WAYS_OUT = {    # what to do about operators that are not read
    "ConvTranspose": "minnet has no layer that enlarges images: end the net before it",
    "GatherND": "it picks pixels of an image, and not those of an adaptive mean",
    "LSTM": "minnet has no recurrent layers", "GRU": "minnet has no recurrent layers",
    "RNN": "minnet has no recurrent layers", "LRN": "take BatchNorm instead",
    "If": "export one branch alone", "Loop": "export it without loops over data", "Scan": "export it without loops",
    "TopK": "end the net before it", "Resize": "resize images before the net",
    "Mod": "minnet has no attention", "ReduceSum": "take a mean, or BatchNorm in place of a norm of rows",
    "Upsample": "resize images before the net",
}
WAYS_OUT |= dict.fromkeys(("Exp", "Erf", "Log", "Pow", "Max", "Min", "Less", "Where"),
                          "it is part of no activation that minnet knows: take one of those in `minnet list layers`")
WAYS_OUT |= dict.fromkeys(
    ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "com.microsoft.QGemm"),
    "give the net of floats, or quantise it in the form that is read (quant_format=QuantFormat.QDQ)")
WAYS_OUT["com.microsoft.nchwc.Conv"] = ("which only one kind of machine runs: give the file that was optimised, or "
                                        "optimise it at ORT_ENABLE_EXTENDED")
MADE = {onnx_functions.FOUND, onnx_ends.COLUMNS, onnx_norms.SPLIT}    # each stands for several nodes, and is in no file
