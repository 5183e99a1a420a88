"""A model's signature in an ONNX file: its scaling as the first two nodes and, of numbers, the last; names in metadata.

    x = scaling_nodes(writer, signature, "input")        # (x - shift) / scale, in float32; before it NaN are filled in
    y = target_nodes(writer, signature, y)               # y * scale + shift, of numbers: in the units of the target
    metadata(signature)                                  # "classes", "feature_names" and "minnet.signature", as JSON
    signature = take_signature(onnx, proto)              # and takes these nodes out again

A runtime is given raw rows; where a table has categories or text, which no node here reads, rows of encoded columns, as
`feature_names` calls them: 0 and 1 of categories, counts of words. What a file says of scaling is believed where its
nodes compute that, and only there.
"""
import json
from dataclasses import replace

import numpy as np

from minnet.data import Signature
from minnet.errors import MinnetError, NotFinite
from minnet.formats.channels import IMAGE_AXES
from minnet.formats.tensors import parse_json

KEY = "minnet.signature"
STEPS = (("Sub", "shift"), ("Div", "scale"))
PREFIX = "minnet.scaling"
FILL_PREFIX = "minnet.missing"
FILL = f"{FILL_PREFIX}.fill"
TARGET_STEPS = (("Mul", "scale"), ("Add", "shift"))
TARGET_PREFIX = "minnet.target"
MOST_JSON = 2**24  # characters of a signature


def scaling_nodes(writer, signature: Signature, x: str) -> str:
    """Add the nodes that scale the input `x` to an ONNX writer, and return the name of what they give.

    Where the signature fills in missing numbers, nodes before them do so.
    """
    fill = signature.encoding and signature.encoding.fills
    if fill is not None:
        missing = writer.node("IsNaN", [x], f"{FILL_PREFIX}.IsNaN")
        array = _checked(_laid_out(fill, 1, writer.channels_last), "fill")
        x = writer.node("Where", [missing, writer.tensor(FILL, array), x], f"{FILL_PREFIX}.Where")
    for (op, name), values in zip(STEPS, signature.scaling or (), strict=False):
        if name == "shift" and not values.any():
            continue
        array = _checked(_laid_out(values, len(signature.shape), writer.channels_last), name)
        x = writer.node(op, [x, writer.tensor(f"{PREFIX}.{name}", array)], f"{PREFIX}.{op}")
    return x


def target_nodes(writer, signature: Signature, y: str) -> str:
    """Add the nodes that give numbers in the units of the target, of outputs `y`; return the name of what they give."""
    for op, name, values in _target_steps(signature):
        array = _checked(values, name)
        y = writer.node(op, [y, writer.tensor(f"{TARGET_PREFIX}.{name}", array)], f"{TARGET_PREFIX}.{op}")
    return y


def _target_steps(signature):
    """Return (op, name, float32 values) of the last nodes; those that change nothing are left out."""
    with np.errstate(over="ignore"):
        steps = [(op, name, getattr(signature.target_scaling, name).astype(np.float32)) for op, name in TARGET_STEPS
                 if signature.target_scaling is not None]
    return [(op, name, values) for op, name, values in steps if (values != (name == "scale")).any()]


def _checked(array, name):
    """Return a shift or scale in float32; NotFinite where that cannot hold it."""
    if not np.isfinite(array).all() or (name == "scale" and not array.all()):
        raise NotFinite(f"the {name} of the model's scaling is beyond float32: it cannot be exported")
    return array


def _laid_out(values, axes, channels_last):
    """Return a shift or scale as float32 that broadcasts with the file's input, whose batch comes first."""
    with np.errstate(over="ignore"):
        array = values.astype(np.float32)
    if axes != IMAGE_AXES or channels_last or array.ndim == 0:
        return array
    array = array.reshape((1,) * (IMAGE_AXES - array.ndim) + array.shape)
    return np.ascontiguousarray(array.transpose(2, 0, 1))  # (c, h, w)


def metadata(signature: Signature) -> dict[str, str]:
    """Return what the file's metadata says of the signature, as text."""
    facts = signature.to_json()
    more = {"numbers": ("target",), "multilabel": ("task",)}  # whose classes are labels, each with a logit of its own
    names = ("classes", "feature_names", *more.get(signature.task, ()))
    found = {name: json.dumps(facts[name]) for name in names if facts[name] is not None}
    return found | {KEY: json.dumps(facts, sort_keys=True, separators=(",", ":"))}


def take_signature(onnx, proto) -> Signature | None:
    """Return the signature in a file's metadata, and take the nodes out that scale; None where there is none.

    Where the graph does not begin with these nodes, the signature has no scaling: the graph says what is computed.
    """
    texts = [entry.value for entry in proto.metadata_props if entry.key == KEY]
    if len(texts) != 1 or not isinstance(texts[0], str) or len(texts[0]) > MOST_JSON:
        return None
    try:
        signature = Signature.from_json(parse_json("its signature", texts[0]))
    except MinnetError:  # the file is another's, and its graph can be read without
        return None
    if not _without_target_scaling(onnx, proto.graph, _target_steps(signature)):
        signature = replace(signature, target_scaling=None)
    if not _without_fill(onnx, proto.graph, signature):
        return signature.as_given(signature.shape)
    if signature.scaling is None or _without_scaling(onnx, proto.graph, signature):
        return signature
    return signature.as_given(signature.shape)


def fitting(signature: Signature | None, shape: tuple[int, ...], outputs: tuple[int, ...]) -> Signature | None:
    """Return the signature if it is that of a model which takes `shape` and gives `outputs`, else None."""
    return signature if signature is not None and signature.fits(shape, outputs) else None


def _without_scaling(onnx, graph, signature):
    """Take the nodes of the scaling out of the graph; return whether they were there, and as the signature says."""
    wanted = [(op, name, values) for (op, name), values in zip(STEPS, signature.scaling, strict=True)
              if name == "scale" or values.any()]
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes, x = list(graph.node[: len(wanted)]), graph.input[0].name if graph.input else ""
    for node, (op, name, values) in zip(nodes, wanted, strict=False):
        array = tensors.get(f"{PREFIX}.{name}")
        if node.op_type != op or list(node.input) != [x, f"{PREFIX}.{name}"] or array is None:
            return False
        given = [_laid_out(values, len(signature.shape), last).tobytes() for last in (False, True)]
        if array.data_location == onnx.TensorProto.EXTERNAL or array.raw_data not in given:
            return False
        x = node.output[0]
    readers = [node for node in graph.node[len(wanted):] if x in node.input]
    if len(nodes) < len(wanted) or x in {value.name for value in graph.output}:
        return False
    for node in readers:
        node.input[:] = [graph.input[0].name if name == x else name for name in node.input]
    del graph.node[: len(wanted)]
    return True


def _without_fill(onnx, graph, signature):
    """Take the nodes that fill in missing numbers out of the graph; return whether they were there, if wanted."""
    fill = signature.encoding and signature.encoding.fills
    if fill is None:
        return True
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if len(graph.node) <= len(("IsNaN", "Where")) or not graph.input or FILL not in tensors:
        return False
    (test, where, *rest), x, array = graph.node, graph.input[0].name, tensors[FILL]
    right = test.op_type == "IsNaN" and where.op_type == "Where" and list(test.input) == [x] and \
        list(where.input) == [test.output[0], FILL, x]
    if not right or array.data_location == onnx.TensorProto.EXTERNAL or \
            array.raw_data != _laid_out(fill, 1, True).tobytes() or \
            any({x, test.output[0]} & set(node.input) for node in rest):
        return False
    for node in rest:
        node.input[:] = [x if name == where.output[0] else name for name in node.input]
    del graph.node[:2]
    return True


def _without_target_scaling(onnx, graph, wanted):
    """Take the nodes that give numbers in units out of the graph; return whether they were there, as `wanted` says."""
    if not wanted:
        return True
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes, end = list(graph.node[-len(wanted):]), graph.output[0].name if len(graph.output) == 1 else ""
    before = [None, *(node.output[0] for node in nodes[:-1])]
    if len(nodes) < len(wanted) or list(nodes[-1].output) != [end]:
        return False
    for node, x, (op, name, values) in zip(nodes, before, wanted, strict=True):
        array = tensors.get(f"{TARGET_PREFIX}.{name}")
        right = node.op_type == op and list(node.input[1:]) == [f"{TARGET_PREFIX}.{name}"] and array is not None
        if not right or (x is not None and node.input[0] != x) or \
                array.data_location == onnx.TensorProto.EXTERNAL or array.raw_data != values.tobytes():
            return False
    x, rest = nodes[0].input[0], graph.node[: -len(wanted)]
    makers = [node for node in rest if list(node.output) == [x]]
    if len(makers) != 1 or any(x in node.input for node in rest):
        return False
    makers[0].output[0] = end
    del graph.node[-len(wanted):]
    return True
