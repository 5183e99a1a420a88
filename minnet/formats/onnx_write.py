"""A Model as an ONNX file that any runtime reads: operator set 18, everything in one file, float32.

    save_onnx(model, "model.onnx")                  # images (n, c, h, w), logits; no Transpose anywhere
    save_onnx(model, "model.onnx", sparse=True)     # pruned weights as indices and values: smaller on disk
    save_onnx(model, "model.onnx", precision="int8")        # weights in 8 bits, by DequantizeLinear
    save_onnx(model, "model.onnx", channels_last=True)      # images (n, h, w, c), by a Transpose at the start

Weights keep their names ("conv1.weight"), in the layout of PyTorch and ONNX; a Dense layer behind Flatten has its rows
in the order of a channels-first Flatten. Only a model that ends in a flattened image, or adds one to other features, is
written with a Transpose before Flatten.
"""
import numpy as np

from minnet import __version__
from minnet.engine.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minnet.engine.adaptive import AdaptiveAvgPool2d
from minnet.engine.containers import Concat, Residual, Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.depthwise import DepthwiseConv2d
from minnet.engine.layer import find_row
from minnet.engine.layer_norm import GroupNorm, InstanceNorm, LayerNorm
from minnet.engine.more_activations import ELU, GELU, SIX, Hardswish, ReLU6, SiLU, Softmax
from minnet.engine.normalise import BatchNorm, Dropout
from minnet.engine.pooling import AvgPool2d, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minnet.engine.prelu import PReLU
from minnet.engine.product import Product
from minnet.engine.quantise import check_precision, int8_of, quantised_parameters
from minnet.engine.rare_activations import SELU, HardSigmoid, Hardtanh, Mish, Softplus
from minnet.errors import InvalidType, InvalidValue, NotFinite, Unsupported, import_optional, quoted
from minnet.files import write_whole
from minnet.formats.assign import dense_of
from minnet.formats.channels import IMAGE_AXES, TO_CHANNELS_FIRST, TO_CHANNELS_LAST, channels_first, feature_orders
from minnet.formats.onnx_signature import metadata, scaling_nodes, target_nodes
from minnet.formats.onnx_write_norms import group_norm, instance_norm, layer_norm
from minnet.model import Model
from minnet.typing import Path

OPSET = 18                      # of 2022, which older runtimes read
GELU_OPSET = 20                 # the first with Gelu, only for models that need it
IR_VERSIONS = {OPSET: 8, GELU_OPSET: 9}     # the lowest of each operator set: older runtimes refuse newer ones
INPUT, OUTPUT, BATCH = "input", "logits", "n"
LARGEST_FILE = 2**31 - 2**20    # protobuf's limit, less what is not weights


def save_onnx(model: Model, path: Path, *, sparse: bool = False, channels_last: bool = False,
              precision: str | None = None) -> None:
    """Write a model as an ONNX file, atomically; its input is (n, c, h, w) for images, else (n, ...).

    Sequences are images of height 1: (n, c, 1, length). Dropout is left out. Of a model with a signature the file takes
    raw rows: it begins with the scaling, and its metadata have the labels ("classes") and the names of the columns
    ("feature_names") as JSON. A model of numbers gives them in the units of its target. Where a row has several labels,
    it has those whose logit is above 0, and the metadata say so ("task"). Missing numbers (NaN) are filled in;
    categories and text cannot be exported: where there are such, the file takes the columns of "feature_names", 0 and 1
    of categories, counts of words, as `model.signature.arranged(X)` makes them.

    Parameters
    ----------
    model : Model
        What is written; the same model gives the same file.
    path : str or path-like
        The file.
    sparse : bool
        Store a pruned weight as indices and values of its live entries, if that is smaller; runtimes make it dense
        when they load it. A runtime's own quantiser finds no weights in such a file, and changes nothing: give it a
        file that is not sparse, or write int8 here.
    channels_last : bool
        Make the input, and outputs that are images, (n, h, w, c).
    precision : {"float32", "int8"}, optional
        "int8": store the weights of dense layers and convolutions as integers from -127 to 127, of which
        DequantizeLinear makes floats by a scale for each unit, those of ``freeze(model, precision="int8")``. Default:
        float32.

    Raises
    ------
    NotFinite
        The model contains NaN or infinity.
    InvalidValue
        The file would have more than 2 GiB.
    Unsupported
        It has a layer that ONNX cannot express.
    UnknownName
        Another `precision`.
    FileError
        The file cannot be written.
    MissingExtra
        The package onnx is not installed.
    """
    write_whole(path, onnx_bytes(model, sparse=sparse, channels_last=channels_last, precision=precision))


def onnx_bytes(model: Model, *, sparse: bool = False, channels_last: bool = False,
               precision: str | None = None) -> bytes:
    """Return the bytes that `save_onnx` writes; the same model gives the same bytes."""
    onnx = import_optional("onnx", "onnx", "an ONNX file")
    if not isinstance(model, Model):
        raise InvalidType(f"{quoted(repr(model))} is no Model: only these are exported")
    writer = _Writer(onnx, model, sparse, channels_last)
    writer.quantised = {p.name for p in quantised_parameters(model)} if check_precision(precision) else set()
    start = INPUT if model.signature is None else scaling_nodes(writer, model.signature, INPUT)
    end = writer.write(model.tree, writer.transposed(start, model.input_shape, TO_CHANNELS_FIRST))
    end = writer.transposed(end, model.output_shape, TO_CHANNELS_LAST)
    writer.name_output(end if model.signature is None else target_nodes(writer, model.signature, end))
    graph = onnx.helper.make_graph(writer.nodes, "minnet", [writer.value(INPUT, model.input_shape)],
                                   [writer.value(OUTPUT, model.output_shape)], writer.initializers)
    opset = onnx.helper.make_opsetid("", writer.opset)
    proto = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSIONS[writer.opset],
                                   producer_name="minnet", producer_version=__version__)
    if model.signature is not None:
        onnx.helper.set_model_props(proto, metadata(model.signature))
    return proto.SerializeToString(deterministic=True)


class _Writer:
    """The nodes and initializers so far."""

    def __init__(self, onnx, model, sparse, channels_last):
        self.onnx = onnx
        self.sparse = sparse
        self.channels_last = channels_last
        self.nodes, self.initializers, self.n_bytes, self.opset = [], [], 0, OPSET
        try:
            self.orders = feature_orders(model)
            self.transposes = model.tree in self.orders
        except Unsupported:
            self.transposes = True
        if self.transposes:
            self.orders = {}

    def node(self, op, inputs, name, attributes=None, output=None):
        """Add a node and return the name of its output: one that no layer, parameter, input or output has."""
        output = output or f"{name}.out"
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [output], name=name, **attributes or {}))
        return output

    def tensor(self, name, array):
        """Add an initializer and return its name."""
        self.n_bytes += array.nbytes
        if self.n_bytes > LARGEST_FILE:
            raise InvalidValue(f"the weights take more than the {LARGEST_FILE:,} bytes that an ONNX file holds, up to "
                               f"{name}: prune and compact the model first")
        self.initializers.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, parameter, layout):
        """Add a parameter in ONNX's layout, by the function `layout`, and return its name."""
        if parameter.name in self.quantised:
            return self.integers(parameter, layout)
        value, mask = dense_of(parameter)
        with np.errstate(over="ignore"):
            array = layout(value).astype(np.float32)
        if not np.isfinite(array).all():
            raise NotFinite(f"{parameter.name} holds NaN, infinity, or numbers beyond float32: it cannot be exported")
        return self.stored(parameter.name, array, layout(mask), parameter.kind == "weight")

    def integers(self, parameter, layout):
        """Add a weight as integers, units first, and the node that multiplies them by their scales; return its name."""
        q, scale = int8_of(parameter)
        array = layout(dense_of(parameter, q)[0])
        array = array.T if array.ndim == 2 else array
        stored = self.stored(f"{parameter.name}.int8", array, array != 0, True)
        scales = self.tensor(f"{parameter.name}.scale", scale.astype(np.float32))
        return self.node("DequantizeLinear", [stored, scales], parameter.name, {"axis": 0}, output=parameter.name)

    def stored(self, name, array, live, is_weight):
        """Add an array, as indices and values where that is asked for and smaller; return its name."""
        places = np.flatnonzero(live).astype(np.int32)
        smaller = len(places) * (places.itemsize + array.itemsize) < array.nbytes
        if not (self.sparse and is_weight and smaller):
            return self.tensor(name, array)
        return self.scattered(name, array, places)

    def scattered(self, name, array, places):
        """Add a weight as zeros and live values scattered into them, which every runtime supports; return its name."""
        # the value is the default's, but some runtimes take that for a float64, or ask for it
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        value = {"value": self.onnx.helper.make_tensor("value", kind, [1], [0])}
        shape = self.tensor(f"{name}.shape", np.array(array.shape))
        if not len(places):  # some runtimes take empty initializers for single numbers
            return self.node("ConstantOfShape", [shape], f"{name}.zeros", value, output=name)
        size = self.tensor(f"{name}.size", np.array([array.size]))
        zeros = self.node("ConstantOfShape", [size], f"{name}.zeros", value)
        what = [self.tensor(f"{name}.places", places), self.tensor(f"{name}.values", array.reshape(-1)[places])]
        flat = self.node("ScatterElements", [zeros, *what], f"{name}.flat", {"axis": 0})
        return self.node("Reshape", [flat, shape], f"{name}.dense", output=name)

    def write(self, layer, x):
        """Add the nodes of a layer that reads `x` and return the name of its output."""
        write = find_row(WRITERS, layer)
        if write is None:
            raise Unsupported(f"{layer.name} is a {type(layer).__name__}, which has no form in ONNX: predict with the "
                              "model itself, or with freeze(model)")
        return write(self, layer, x)

    def transposed(self, name, shape, perm):
        """Return the name of an image transposed by `perm` if the file's input and output have channels last."""
        if not self.channels_last or len(shape) != IMAGE_AXES:
            return name
        return self.node("Transpose", [name], f"{name}.transposed", {"perm": perm})

    def name_output(self, end):
        """Rename the output to OUTPUT."""
        if end == INPUT:
            self.node("Identity", [INPUT], OUTPUT)
            return
        for node in self.nodes:
            node.output[0] = OUTPUT if node.output[0] == end else node.output[0]
            node.input[:] = [OUTPUT if name == end else name for name in node.input]

    def value(self, name, shape):
        """Return the type of the graph's input or output."""
        first = len(shape) == IMAGE_AXES and not self.channels_last
        shape = (shape[2], *shape[:2]) if first else shape
        return self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, [BATCH, *shape])


def _sequential(writer, layer, x):
    for child in layer.layers:
        x = writer.write(child, x)
    return x


def _residual(writer, layer, x):
    return writer.node("Add", [x if child is None else writer.write(child, x)
                               for child in (layer.branch, layer.shortcut)], layer.name)


def _product(writer, layer, x):
    factors = []
    for child in (layer.branch, layer.other):
        factor = x if child is None else writer.write(child, x)
        rank = len(layer.input_shape if child is None else child.output_shape)
        if rank < len(layer.output_shape):
            axes = writer.tensor(f"{layer.name}.axes", np.array([2, 3]))
            factor = writer.node("Unsqueeze", [factor, axes], f"{layer.name}.gate")
        factors.append(factor)
    return writer.node("Mul", factors, layer.name)


def _concat(writer, layer, x):
    return writer.node("Concat", [writer.write(child, x) for child in layer.branches], layer.name,
                       {"axis": 1})


def _dense(writer, layer, x):
    weight = writer.weight(layer.weight, _layout(writer, layer))
    bias = [] if layer.bias is None else [writer.weight(layer.bias, _as_is)]
    if layer.weight.name in writer.quantised:
        # With units last, ONNX Runtime computes in a form of its own (MatMulNBits), which rounds the inputs too.
        return writer.node("Gemm", [x, weight, *bias], layer.name, {"transB": 1})
    return writer.node("Gemm" if bias else "MatMul", [x, weight, *bias], layer.name)


def _conv(writer, layer, x):
    names = [writer.weight(layer.weight, lambda array: array.transpose(3, 2, 0, 1))]
    names += [] if layer.bias is None else [writer.weight(layer.bias, _as_is)]
    return writer.node("Conv", [x, *names], layer.name,
                       _window(layer) | {"dilations": layer.window.dilation, "group": layer.groups})


def _batchnorm(writer, layer, x):
    names = [writer.weight(p, _layout(writer, layer)) for p in layer.parameters]
    return writer.node("BatchNormalization", [x, *names], layer.name,
                       {"epsilon": float(layer.epsilon), "momentum": 1 - float(layer.momentum)})


def _max_pool(writer, layer, x):
    return writer.node("MaxPool", [x], layer.name, _window(layer))


def _avg_pool(writer, layer, x):
    return writer.node("AveragePool", [x], layer.name,
                       _window(layer) | {"count_include_pad": int(layer.count_padding)})


def _adaptive_avg_pool(writer, layer, x):
    down, right = layer.shares(np.float32)
    columns = writer.node("MatMul", [writer.tensor(f"{layer.name}.down", down), x], f"{layer.name}.columns")
    return writer.node("MatMul", [columns, writer.tensor(f"{layer.name}.right", right.T)], layer.name)


def _global_pool(op):
    def write(writer, layer, x):
        image = writer.node(op, [x], f"{layer.name}.image")
        return writer.node("Flatten", [image], layer.name, {"axis": 1})
    return write


def _flatten(writer, layer, x):
    if writer.transposes and len(layer.input_shape) == IMAGE_AXES:
        x = writer.node("Transpose", [x], f"{layer.name}.image", {"perm": TO_CHANNELS_LAST})
    return writer.node("Flatten", [x], layer.name, {"axis": 1})


def _leaky_relu(writer, layer, x):
    return writer.node("LeakyRelu", [x], layer.name, {"alpha": float(layer.slope)})


def _elu(writer, layer, x):
    return writer.node("Elu", [x], layer.name, {"alpha": float(layer.alpha)})


def _clip(ends):
    """Return the function that writes a Clip between `ends(layer)`; None is no end."""
    def write(writer, layer, x):
        low, high = (end if end is None else np.float32(end) for end in ends(layer))
        names = ["" if low is None else writer.tensor(f"{layer.name}.lowest", low)]
        names += [] if high is None else [writer.tensor(f"{layer.name}.highest", high)]
        return writer.node("Clip", [x, *names], layer.name)
    return write


def _hard_sigmoid(writer, layer, x):
    return writer.node("HardSigmoid", [x], layer.name, {"alpha": float(layer.alpha), "beta": float(layer.beta)})


def _prelu(writer, layer, x):
    image = layer.per_channel and len(layer.input_shape) == IMAGE_AXES
    layout = _layout(writer, layer) if layer.per_channel else _as_is
    slopes = writer.weight(layer.slopes, (lambda array: array.reshape(-1, 1, 1)) if image else layout)
    return writer.node("PRelu", [x, slopes], layer.name)


def _softplus(writer, layer, x):
    if layer.beta == 1:
        return writer.node("Softplus", [x], layer.name)
    beta = writer.tensor(f"{layer.name}.beta", np.float32(layer.beta))
    x = writer.node("Softplus", [writer.node("Mul", [x, beta], f"{layer.name}.times")], f"{layer.name}.softplus")
    return writer.node("Div", [x, beta], layer.name)


def _mish(writer, layer, x):
    tanh = writer.node("Tanh", [writer.node("Softplus", [x], f"{layer.name}.softplus")], f"{layer.name}.tanh")
    return writer.node("Mul", [x, tanh], layer.name)


def _silu(writer, layer, x):
    return writer.node("Mul", [x, writer.node("Sigmoid", [x], f"{layer.name}.sigmoid")], layer.name)


def _gelu(writer, layer, x):
    writer.opset = GELU_OPSET
    return writer.node("Gelu", [x], layer.name, {"approximate": layer.approximate})


def _softmax(writer, layer, x):
    return writer.node("Softmax", [x], layer.name, {"axis": 1})


def _plain(op):
    def write(writer, layer, x):
        return writer.node(op, [x], layer.name)
    return write


def _nothing(writer, layer, x):
    return x


def _window(layer):
    """Return the attributes of a window, with explicit padding."""
    at = layer.window
    return {"kernel_shape": at.kernel, "strides": at.stride, "pads": [at.top, at.left, at.bottom, at.right]}


def _layout(writer, layer):
    """Return the function that orders the first axis of an array as a channels-first Flatten does, if it reads one."""
    order = writer.orders.get(layer)
    return _as_is if order is None else lambda array: channels_first(array, order)


def _as_is(array):
    return array


WRITERS = {
    Sequential: _sequential, Residual: _residual, Concat: _concat, Dense: _dense, ReLU: _plain("Relu"),
    LeakyReLU: _leaky_relu, PReLU: _prelu, ReLU6: _clip(lambda layer: (0, SIX)), ELU: _elu, SELU: _plain("Selu"),
    Hardtanh: _clip(lambda layer: (layer.low, layer.high)), HardSigmoid: _hard_sigmoid, Softplus: _softplus,
    Mish: _mish, Product: _product, Tanh: _plain("Tanh"), Sigmoid: _plain("Sigmoid"), SiLU: _silu,
    Hardswish: _plain("HardSwish"), GELU: _gelu, Softmax: _softmax, Flatten: _flatten, Dropout: _nothing,
    BatchNorm: _batchnorm, LayerNorm: layer_norm, GroupNorm: group_norm, InstanceNorm: instance_norm,
    Conv2d: _conv, DepthwiseConv2d: _conv, MaxPool2d: _max_pool, AvgPool2d: _avg_pool,
    AdaptiveAvgPool2d: _adaptive_avg_pool,
    GlobalAvgPool2d: _global_pool("GlobalAveragePool"), GlobalMaxPool2d: _global_pool("GlobalMaxPool"),
}
