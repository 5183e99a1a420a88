"""Read ONNX models whole: the architecture and its weights, from any framework that exports inference graphs.

    model = load_onnx("model.onnx")     # a Model, channels last; a Softmax at the end is left out: outputs are logits

The file is data: no code runs, and no file is read but one with weights that lies beside it. Images are (h, w, c) here,
whatever the file has: an input that is transposed first is channels last there, else channels first. Operators that
minnet lacks are all listed at once.
"""
import math
import os
import re
import warnings
from collections import Counter
from contextlib import suppress
from itertools import pairwise

import numpy as np

from minnet.data import Signature
from minnet.engine.model import name_layers
from minnet.errors import MinnetError, file_error, import_optional, quoted
from minnet.files import KINDS, read_bounded, sniff
from minnet.formats.architecture import memory, read_architecture
from minnet.formats.assign import of_sixteen_bits, put
from minnet.formats.channels import TO_CHANNELS_FIRST
from minnet.formats.layout import most_memory
from minnet.formats.onnx_adaptive import Picked, known_beside
from minnet.formats.onnx_ends import OTHER_WAY, finish
from minnet.formats.onnx_external import External
from minnet.formats.onnx_fold import FOLDS, UnsupportedGraph
from minnet.formats.onnx_functions import FUNCTIONS, recognised
from minnet.formats.onnx_fused import unfuse
from minnet.formats.onnx_net import LINE, Net, Node, Signal
from minnet.formats.onnx_norms import joined
from minnet.formats.onnx_ops import MADE, OPS, WAYS_OUT, compute
from minnet.formats.onnx_signature import fitting, take_signature
from minnet.formats.onnx_sklearn import take_estimator
from minnet.formats.onnx_tree import tree_of
from minnet.model import Model
from minnet.typing import Path

MOST_OUTPUTS = 4
LARGEST_FILE = 2**31 - 1    # protobuf's own limit
MOST_NODES = 5_000
MOST_TOLD = 8
MOST_AXES = 8       # of a constant that may be axes, or one number
OLDEST, NEWEST = 7, 30      # operator sets: before 7 attributes meant other things
DOMAINS = ("", "ai.onnx")
KNOWN = {*OPS, *FOLDS, "Constant"} - MADE
PARTS = KNOWN | {*FUNCTIONS, "Expand"}  # what may be part of an activation, or of a product
IMAGE_OPS = {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
             "BatchNormalization", "InstanceNormalization"}
TO_LINE = [0, 2, 1]
# what may come before it: scaling, and rounding
BEFORE_LAYOUT = {"Cast", "Identity", "Mul", "Div", "Add", "Sub", "QuantizeLinear", "DequantizeLinear"}
FEW_CHANNELS = (1, 3)       # what the last axis of an image has, where nothing else says which one is the channels
WEIGHTED = {"Conv", "Gemm", "MatMul"}
UNREADABLE = "unreadable"     # the value of a name whose node could not be read
NUMBER_BYTES = 4
SIXTEEN_BITS = ("float16", "bfloat16")
LONGEST_NAME = 100
NAMING = ("weight", "gain", "slopes")     # what follows the name of a layer in that of its weights
FIX = "export it again: in one file, for inference, with fixed image sizes, of operators that minnet has"


def load_onnx(path: Path, *, zeros: str = "auto", logits: bool = True) -> Model:
    """Read the model in an ONNX file, its architecture and its weights.

    Parameters
    ----------
    path : str or os.PathLike
        The .onnx file; weights may be in a second file beside it, as PyTorch's exporter writes them.
    zeros : {"auto", "mask", "keep"}
        What becomes of weights that are exactly 0: "mask" masks them, "keep" leaves them live, "auto" masks those of
        layers in which they are 5 % of the weights or more. The places that minnet's own
        sparse export leaves out are masked by "auto" in any case.
    logits : bool, default True
        Leave out a Sigmoid at the end, of files that are not minnet's own: several outputs are then labels, of which a
        row has any number, and one becomes the logits of two classes.

    Returns
    -------
    Model
        In float32, or float64 where its weights are; channels last. A Softmax or ArgMax at the end is left out: its
        outputs are logits.

    Raises
    ------
    FileError
        The file cannot be read; the message lists every node that has no counterpart in minnet.
    MissingExtra
        The package onnx is not installed.

    Notes
    -----
    The graph has one input and one output, or several that differ by a Softmax, Sigmoid or ArgMax, and is made of
    convolutions (with dilation and groups too), dense layers, BatchNorm, LayerNorm, GroupNorm, InstanceNorm, pools,
    activations, in one node or several, sums, products and concatenations of branches, and the idioms by which PyTorch,
    Keras and tf2onnx flatten. Sequences (n, channels, length) become images of height 1: the model takes rows of shape
    (1, length, channels), and (length, channels) for them. Of what skl2onnx writes for an MLPClassifier the labels, and
    the scaling of a StandardScaler before it, become the signature; where a row has several labels, the Sigmoid at the
    end is left out too.

    A UserWarning says where the model has something otherwise than the file: a quantised graph (QDQ) is read as the net
    of floats that it stands in for, and weights that are used twice become two layers; and where the model is float64.
    """
    onnx = import_optional("onnx", "onnx", "an ONNX file")
    kind = sniff(path)
    if kind != "onnx":
        raise file_error(path, f"is {KINDS[kind]}, not an ONNX model", "give the .onnx file, whole")
    data = read_bounded(path, LARGEST_FILE)
    try:
        proto = _parse(onnx, data)
        unfuse(onnx, proto.graph)
        signature = take_signature(onnx, proto)
        estimator = take_estimator(onnx, proto) if signature is None else {}
        external = External(onnx, os.path.dirname(path))
        most = most_memory(len(data) + external.size(proto)) // NUMBER_BYTES
        reader = _Reader(onnx, proto, most, external)
        net, end, task = reader.walk(logits)
        repeated = reader.repeated(net)
        if zeros == "auto" and reader.wrote_places:
            zeros = "mask"
        model = _model(net, end, reader.shape, path, zeros)
        if task == "multilabel" and signature is None:
            estimator |= {"classes": list(range(model.output_shape[-1]))}
        if estimator:
            signature = Signature(model.input_shape, **estimator | ({"task": task} if task else {}))
        model.signature = fitting(signature, model.input_shape, model.output_shape)
    except UnsupportedGraph as error:
        raise file_error(path, f"cannot be read: {' '.join(str(error).split())}", FIX) from error
    _tell(model, net.quantised, repeated, reader.narrow_kinds())
    return model


def _tell(model, quantised, repeated, narrow):
    """Warn of what the model has otherwise than the file."""
    told = of_sixteen_bits(narrow)
    if quantised:
        told.append("the file is quantised: this is the net of floats that it stands in for, whose outputs differ by "
                    "what rounding does there")
    if repeated:
        told.append(f"{', '.join(repeated[:MOST_TOLD])}: used twice in the file, here a layer for each use, which are "
                    "trained and pruned apart")
    if model.dtype == np.float64:
        told.append('its weights are float64, and so is the model; what is exported is float32: model.clone("float32") '
                    "is half as large")
    for message in told:
        warnings.warn(message, UserWarning, stacklevel=3)


def _parse(onnx, data):
    """Return the file's ModelProto, refusing versions and kinds that are not read."""
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise UnsupportedGraph(f"it is damaged or cut off: {len(data):,} bytes are no protobuf") from error
    if any(isinstance(name, bytes) for name in _names(model)):
        raise UnsupportedGraph("it is damaged: names in it are not UTF-8 text")
    versions = [o.version for o in model.opset_import if o.domain in DOMAINS]
    if not model.HasField("graph") or len(versions) != 1:
        raise UnsupportedGraph("it holds no graph of ONNX's own operators, but of the domains "
                               f"{quoted(repr([o.domain for o in model.opset_import]))}")
    if not OLDEST <= versions[0] <= NEWEST:
        raise UnsupportedGraph(f"it has operator set {versions[0]}; {OLDEST} to {NEWEST} are read")
    if len(model.graph.node) > MOST_NODES:
        raise UnsupportedGraph(f"it has {len(model.graph.node)} nodes; at most {MOST_NODES} are read")
    written = Counter(name for name in _written(model.graph) if name)
    twice = [name for name, times in written.items() if times > 1]
    if twice:
        raise UnsupportedGraph(f"it gives {quoted(twice[0])} twice; each value has a name of its own in ONNX")
    return model


def _written(graph):
    """Yield the name of each value where it is made; an initializer may be listed as an input too."""
    tensors = [tensor.name for tensor in graph.initializer]
    yield from tensors
    yield from (name for node in graph.node for name in node.output)
    yield from {value.name for value in graph.input} - {*tensors}


def _names(model):
    """Yield all names in the file; protobuf gives bytes for what is not UTF-8."""
    graph = model.graph
    yield from (model.producer_name, *(o.domain for o in model.opset_import))
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (node.op_type, node.name, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


class _Reader:
    """The graph, its nodes in order, and the value of each name that has been computed."""

    def __init__(self, onnx, model, most, external):
        graph = model.graph
        self.external, self.narrow = external, {}
        self.onnx = onnx
        self.most = most
        self.producer = model.producer_name
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        if graph.sparse_initializer:
            raise UnsupportedGraph(f"it has {len(graph.sparse_initializer)} sparse initializers, which are not read")
        self.input, self.outputs = self.ends(graph)
        protos = self.reachable(graph)
        known = KNOWN | known_beside({proto.op_type for proto in protos})
        _refuse_unknown([(proto.domain, proto.op_type, _label(proto)) for proto in protos], PARTS | known)
        self.nodes = [self.node(proto) for proto in protos]
        self.values = {"": None}
        self.constants = {*self.tensors, *(node.outputs[0] for node in self.nodes if node.op == "Constant")}
        small = self.small_constants()
        self.numbers = {name: float(array.reshape(-1)[0]) for name, array in small.items() if array.size == 1}
        self.nodes = joined(self.nodes, small.get, self.outputs)
        self.nodes = recognised(self.nodes, self.numbers.get, self.outputs)
        _refuse_unknown([("", node.op, node.label) for node in self.nodes], known | MADE)
        self.wrote_places = self.producer == "minnet" and any(node.op == "ScatterElements" for node in self.nodes)
        self.batch, self.shape, axes = self.input_shape()
        self.values[self.input.name] = Signal(0, self.shape, axes)

    def ends(self, graph):
        """Return (the one input, the names of the outputs)."""
        inputs = [value for value in graph.input if value.name not in self.tensors]
        if len(inputs) != 1 or not 1 <= len(graph.output) <= MOST_OUTPUTS:
            names = [quoted(value.name) for value in (*inputs, *graph.output)[:MOST_TOLD]]
            raise UnsupportedGraph(f"it has {len(inputs)} inputs and {len(graph.output)} outputs ({', '.join(names)}); "
                                   f"one of each can be read: {OTHER_WAY}")
        return inputs[0], [value.name for value in graph.output]

    def reachable(self, graph):
        """Return the nodes that the outputs depend on, in the file's order: each after those that make its inputs."""
        wanted, found = set(self.outputs), []
        for node in reversed(graph.node):
            if wanted & set(node.output):
                wanted |= set(node.input)
                found.append(node)
        return found[::-1]

    def node(self, proto):
        """Return the Node of a NodeProto."""
        attrs = {attribute.name: self.attribute(attribute, proto) for attribute in proto.attribute}
        weight = next((name for name in proto.input[1:] if name.rpartition(".")[2] in NAMING), "")
        return Node(proto.op_type, _label(proto), tuple(proto.input), tuple(filter(None, proto.output)), attrs,
                    _layer_name(weight, proto.name))

    def attribute(self, attribute, proto):
        """Return an attribute as a number, a text, an array, or a list of numbers."""
        kinds = self.onnx.AttributeProto
        if attribute.type not in (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.TENSOR, kinds.FLOATS, kinds.INTS):
            raise UnsupportedGraph(f"{_label(proto)} has an attribute {quoted(attribute.name)} of a kind that is not "
                                   "read")
        value = self.onnx.helper.get_attribute_value(attribute)
        if attribute.type == kinds.TENSOR:
            return self.array(value)
        if attribute.type == kinds.STRING:
            return value.decode(errors="backslashreplace")
        return value if isinstance(value, int | float) else list(value)

    def input_shape(self):
        """Return (batch size or None, minnet's shape of one image or row, ONNX's layout of it)."""
        sizes = [dim.dim_value for dim in self.input.type.tensor_type.shape.dim]
        if len(sizes) not in (2, 3, 4) or min(sizes[1:]) < 1:
            raise UnsupportedGraph(f"its input {quoted(self.input.name)} has the shape {sizes}; wanted (batch, "
                                   "features) or (batch, channels, height, width), all but the batch known")
        batch, *sizes = sizes
        if len(sizes) == len(LINE) and any(node.op in IMAGE_OPS for node in self.nodes):
            last = self.becomes_channels_first(sizes, TO_LINE)
            return batch or None, (1, *(sizes if last else sizes[::-1])), LINE[::-1] if last else LINE
        if len(sizes) < len(TO_CHANNELS_FIRST) - 1:
            return batch or None, tuple(sizes), "c" if len(sizes) == 1 else "hw"
        last = self.becomes_channels_first(sizes)
        if not any(node.op in IMAGE_OPS for node in self.nodes):
            last = last or self.looks_channels_last(*sizes)
        return batch or None, tuple(sizes if last else (*sizes[1:], sizes[0])), "hwc" if last else "chw"

    def looks_channels_last(self, first, second, third):
        """Return whether an image of these sizes, which no operator reads as one, has its channels last.

        PyTorch's exporter writes Keras's nets too, as square images whose last axis is short, or grey.
        """
        short = third in FEW_CHANNELS and first not in FEW_CHANNELS
        return short and self.producer != "minnet" and (self.producer != "pytorch" or third == 1 or first == second)

    def becomes_channels_first(self, sizes, perm=TO_CHANNELS_FIRST):
        """Return whether the input, of these sizes, is put channels first by a Transpose, or a Reshape of one channel.

        Casts, padding and arithmetic with constants may come before.
        """
        names = {self.input.name}
        for node in self.nodes:
            if not names & set(node.inputs):
                continue
            if node.op == "Pad" or (node.op in BEFORE_LAYOUT and all(one in names | self.constants
                                                                     for one in node.inputs)):
                names |= set(node.outputs)
            elif node.op == "Transpose" and node.attrs.get("perm") == perm:
                return True
            elif node.op == "Reshape" and node.inputs[1] in self.tensors and sizes[-1] == 1:
                shape = [int(n) for n in np.ravel(self.value(node.inputs[1]))]
                return shape[1:] == [sizes[-1], *sizes[:-1]] != sizes
        return False

    def array(self, tensor):
        """Return the array of a tensor; floats of 16 bits become float32."""
        if self.external.holds(tensor):
            tensor = self.external.inside(tensor)
        try:
            array = self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise UnsupportedGraph(f"its tensor {quoted(tensor.name)} of shape {list(tensor.dims)} is damaged: "
                         f"{quoted(str(error))}") from error
        if array.dtype.name in SIXTEEN_BITS:
            self.narrow[tensor.name] = array.dtype.name
            return array.astype(np.float32)
        if array.dtype.kind not in "fiub":
            raise UnsupportedGraph(f"its tensor {quoted(tensor.name)} holds no numbers that can be read")
        return array

    def walk(self, logits):
        """Return (the Net, the Signal at the end, its task); one error lists all nodes that cannot be read."""
        readers = Counter(name for node in self.nodes for name in set(node.inputs)) + Counter(self.outputs)
        net, problems = Net(readers, self.most, self.batch), []
        for node in self.nodes:
            made = self.made(net, node, problems)
            made = made if isinstance(made, tuple) else (made,)
            self.values |= dict.fromkeys(node.outputs, UNREADABLE) | dict(zip(node.outputs, made, strict=False))
        if problems:
            raise UnsupportedGraph("; ".join(problems[:MOST_TOLD]) + _more(problems))
        self.values |= {name: self.values[name].signal(net) for name in self.outputs
                        if isinstance(self.values.get(name), Picked)}
        for name in self.outputs:
            if not isinstance(self.value(name), Signal) or any(self.value(name).pads):
                raise UnsupportedGraph(f"its output {quoted(name)} does not depend on its input, or is padding")
        ends = [self.value(name) for name in self.outputs]
        end, task = finish(net, self.outputs, ends, logits and self.producer != "minnet")
        if end.order is not None:
            raise UnsupportedGraph("its outputs are a flattened image, whose features minnet would give in another "
                                   "order")
        return net, end, task

    def small_constants(self):
        """Return {name: array} of constants of a few numbers; what cannot be read is told where it is used."""
        makers = {name: (self.value, name) for name, tensor in self.tensors.items()
                  if math.prod(tensor.dims) <= MOST_AXES}
        makers |= {node.outputs[0]: (self.constant, node) for node in self.nodes if node.op == "Constant"}
        found = {}
        for name, (make, of) in makers.items():
            with suppress(UnsupportedGraph):
                array = make(of)
                found |= {name: array} if isinstance(array, np.ndarray) and 0 < array.size <= MOST_AXES else {}
        return found

    def narrow_kinds(self):
        """Return the types of 16 bits with which the file computes: those of tensors that are not cast before use."""
        return {self.narrow[name] for node in self.nodes if node.op != "Cast" for name in node.inputs
                if name in self.narrow}

    def repeated(self, net):
        """Return the names of weights that several layers read."""
        weights = [name for node in self.nodes if node.op in WEIGHTED for name in node.inputs[1:2]]
        return sorted({quoted(name) for name in weights if net.readers[name] > 1 and isinstance(self.values.get(name),
                                                                                               np.ndarray)})

    def value(self, name):
        """Return the value of a name: an array, a Signal, or UNREADABLE."""
        if name not in self.values:
            if name not in self.tensors:
                raise UnsupportedGraph(f"it reads {quoted(name)}, which nothing before it makes")
            self.values[name] = self.array(self.tensors[name])
        return self.values[name]

    def made(self, net, node, problems):
        """Return the output of a node; where it is UNREADABLE by the node itself, append the reason to `problems`."""
        try:
            inputs = [self.value(name) for name in node.inputs]
            if any(value is UNREADABLE for value in inputs):
                return UNREADABLE
            return self.constant(node) if node.op == "Constant" else compute(net, node, inputs)
        except UnsupportedGraph as error:
            problems.append(f"{quoted(node.op)} ({node.label}): {quoted(' '.join(str(error).split()))}")
            return UNREADABLE

    def constant(self, node):
        """Return the array of a Constant."""
        for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            if name in node.attrs:
                value = np.asarray(node.attrs[name])
                return value.astype(np.float32) if value.dtype == np.float64 and name != "value" else value
        raise UnsupportedGraph(f"it has the attributes {quoted(repr(sorted(node.attrs)))}; wanted a tensor or numbers")


def _model(net, end, shape, path, zeros):
    """Return the Model of the items, with their numbers."""
    tree = tree_of(net.items, end.item)
    layers = [item for item in net.items if item.layer is not None and not isinstance(item.layer, str)]
    taken = Counter(item.layer.name for item in layers)
    for item in layers:
        item.layer.name = item.layer.name if taken[item.layer.name] == 1 else None
    name_layers(tree)
    arrays = {f"{item.layer.name}.{kind}": array for item in layers for kind, array in item.values.items()}
    weights = [item.values["weight"] for item in layers if "weight" in item.values]
    dtype = np.dtype(np.float64 if any(weight.dtype == np.float64 for weight in weights) else np.float32)
    try:
        spec = read_architecture({"tree": tree.config(), "input_shape": list(shape), "dtype": dtype.name})
    except MinnetError as error:
        raise UnsupportedGraph(str(error)) from error
    if memory(spec.length, dtype) > (net.most + len(layers)) * NUMBER_BYTES * 2:
        raise UnsupportedGraph(f"its model takes {memory(spec.length, dtype):,} bytes of memory, more than the file "
                               "can mean")
    model = Model.blank(tree, shape, dtype)
    if not arrays.keys() <= model.parameters.keys():
        raise UnsupportedGraph("it has weights that do not lead to its output")
    put(model, arrays, path, zeros=zeros)
    return model


def _layer_name(weight, node):
    """Return a layer's name by that of its weights or its node, or None where neither has one.

    It is "features_0" for the weights "features.0.weight" and for the node "/features/features.0/Conv".
    """
    name = weight.rpartition(".")[0]
    if not name:
        path = node.split("/")
        name = "/".join(part for part, below in pairwise(path) if not below.startswith(f"{part}."))
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name[:LONGEST_NAME]).strip("_") or None


def _refuse_unknown(nodes, known):
    """Refuse unknown operators among (domain, operator, label): list each once, with the nodes that use it."""
    found = {}
    for domain, op, label in nodes:
        if domain not in DOMAINS or op not in known:
            kind = quoted(op if domain in DOMAINS else f"{domain}.{op}")
            found.setdefault(kind, []).append(label)
    if found:
        listed = [f"{kind} ({', '.join(places[:3])}{', ...' if len(places) > 3 else ''})"
                  + (f", {WAYS_OUT[kind]}" if kind in WAYS_OUT else "") for kind, places in found.items()]
        raise UnsupportedGraph(f"minnet has no {'; no '.join(listed[:MOST_TOLD])}" + _more(listed))


def _label(proto):
    return quoted(proto.name or next(iter(proto.output), "?"))


def _more(items):
    return f"; and {len(items) - MOST_TOLD} more" if len(items) > MOST_TOLD else ""
