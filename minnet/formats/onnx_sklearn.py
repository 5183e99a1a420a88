"""What skl2onnx writes around a net of scikit-learn, and what is read of it: scaling, labels, numbers.

    facts = take_estimator(onnx, proto)          # {"classes": ..., "scaling": ...} of a Signature; {} where it is none
    # proto.graph now begins behind the scaler, and ends in the logits: one input, one output

A classifier has two outputs there: the label, which ArrayFeatureExtractor finds by the ArgMax of the probabilities, and
these, perhaps in a ZipMap. Of two classes the probabilities are 1 - s and s, s being the Sigmoid of one output z: here
the last layer becomes one with the logits -z / 2 and z / 2, whose softmax is the same. Of several labels a row the
probabilities are the Sigmoid of each output, and the label is 0 or 1 for each by a Binarizer: here the outputs end.
"""
import numpy as np

from minnet.formats.onnx_fold import UnsupportedGraph

PRODUCER = "skl2onnx"
ML = "ai.onnx.ml"
LABELS = {(ML, "ArrayFeatureExtractor"), (ML, "ZipMap")}    # nodes of which one is where a net gives labels
MOST_LABELS = 2**20  # of a net for several labels a row, whose numbers are listed
HALF = 0.5  # the probability above which a row has a label


def take_estimator(onnx, proto) -> dict[str, object]:
    """Return what the file of an estimator says of a Signature, and take that out of its graph.

    Raises UnsupportedGraph where it ends in labels that are found in another way.
    """
    graph = proto.graph
    found: dict[str, object] = {}
    if any((node.domain, node.op_type) == (ML, "Binarizer") for node in graph.node):
        found |= _take_several(graph)
    elif any((node.domain, node.op_type) in LABELS for node in graph.node):
        found["classes"] = _take_labels(onnx, graph)
    elif proto.producer_name == PRODUCER:
        found["task"] = "numbers"
    scaling = _take_scaler(onnx, graph)
    return found | ({} if scaling is None else {"scaling": scaling})


def _take_labels(onnx, graph):
    """Return the labels, and let the graph end in logits, or probabilities by a Softmax."""
    makers = {name: node for node in graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    pickers = [node for node in graph.node if (node.domain, node.op_type) == (ML, "ArrayFeatureExtractor")]
    if len(pickers) != 1 or len(pickers[0].input) != 2 or pickers[0].input[0] not in tensors:
        raise UnsupportedGraph(f"it has {len(graph.output)} outputs; one can be read, or a label and probabilities as "
                               "skl2onnx writes them")
    best = _maker(makers, pickers[0].input[1], "ArgMax")
    name = _behind_identity(makers, best.input[0])
    if makers.get(name) is not None and makers[name].op_type == "Concat":
        name = _two_logits(onnx, makers, tensors, makers[name])
    else:
        _maker(makers, name, "Softmax")
    del graph.output[:]
    graph.output.add().name = name
    return _labels(onnx, tensors[pickers[0].input[0]])


def _take_several(graph):
    """Return the task and the labels of a net for several labels a row, and let the graph end in their logits."""
    makers = {name: node for node in graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    binarizer = next(node for node in graph.node if node.op_type == "Binarizer")
    told = [attribute.f for attribute in binarizer.attribute if attribute.name == "threshold"]
    if told != [HALF] or len(binarizer.input) != 1:
        raise UnsupportedGraph(f"its Binarizer has the threshold {told}; {HALF} can be read")
    name = _behind_identity(makers, _maker(makers, binarizer.input[0], "Sigmoid").input[0])
    biases = [tensors[x] for x in makers[name].input if x in tensors] if name in makers else []
    del graph.output[:]
    graph.output.add().name = name
    k = biases[-1].dims[-1] if biases and biases[-1].dims else 0
    return {"task": "multilabel"} | ({"classes": list(range(k))} if 0 < k <= MOST_LABELS else {})


def _two_logits(onnx, makers, tensors, joined):
    """Make two logits of the output whose Sigmoid is `joined` behind 1 minus itself; return their name."""
    name = _behind_identity(makers, _maker(makers, joined.input[-1], "Sigmoid").input[0])
    shifted = _maker(makers, name, "Add")
    product = _maker(makers, shifted.input[0], "MatMul")
    for tensor_name in (product.input[1], shifted.input[1]):
        if tensor_name not in tensors:
            raise UnsupportedGraph(f"the weights of its last layer, {tensor_name!r}, are no constants")
        tensor = tensors[tensor_name]
        column = onnx.numpy_helper.to_array(tensor).reshape(-1, 1) / 2
        both = np.hstack([-column, column])
        tensor.CopyFrom(onnx.numpy_helper.from_array(both if len(tensor.dims) > 1 else both[0], tensor_name))
    return name


def _take_scaler(onnx, graph):
    """Return (shift, scale) of a Scaler that the graph begins with, or None; without it then."""
    if not graph.node or not graph.input:
        return None
    first, x = graph.node[0], graph.input[0].name
    if (first.domain, first.op_type) != (ML, "Scaler") or list(first.input) != [x]:
        return None
    told = {attribute.name: np.array(attribute.floats, np.float64) for attribute in first.attribute}
    shift, factor = told.get("offset", np.zeros(1)), told.get("scale", np.ones(1))
    if not (factor.size and shift.size and factor.all() and np.isfinite(shift).all() and np.isfinite(factor).all()):
        raise UnsupportedGraph("its Scaler has no usable offset and scale")
    after = first.output[0]
    del graph.node[0]
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == after:
                node.input[place] = x
    return shift, 1 / factor  # (x - offset) * scale


def _behind_identity(makers, name):
    """Return the name of what Identity nodes give under `name`."""
    for _ in range(len(makers)):
        if name not in makers or makers[name].op_type != "Identity":
            break
        name = makers[name].input[0]
    return name


def _maker(makers, name, op):
    """Return the node that makes `name`, which must have this operator."""
    node = makers.get(_behind_identity(makers, name))
    if node is None or node.op_type != op or not node.input:
        raise UnsupportedGraph(f"it ends in labels that are not found as skl2onnx finds them: {name!r} is no {op}")
    return node


def _labels(onnx, tensor):
    """Return the labels in a tensor of text or whole numbers."""
    labels = onnx.numpy_helper.to_array(tensor).reshape(-1)
    if labels.dtype.kind == "O":
        return np.array([label.decode() if isinstance(label, bytes) else label for label in labels])
    return labels
