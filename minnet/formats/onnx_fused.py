"""Take ONNX Runtime's fused operators apart, which its optimiser writes: FusedConv, FusedGemm, FusedMatMul.

    unfuse(onnx, graph)         # the same graph of ONNX's own operators

What only one machine runs, as the convolutions in blocks of channels that its highest level makes, stays as it is.
"""
from minnet.errors import quoted
from minnet.formats.onnx_fold import UnsupportedGraph

DOMAIN = "com.microsoft"
FUSED = ("FusedConv", "FusedGemm", "FusedMatMul", "BiasGelu", "Gelu", "QuickGelu")
PARAMETERS = {"LeakyRelu": ("alpha",), "Elu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Clip": ("min", "max")}
MOST_INPUTS = 3     # of a convolution; FusedConv adds a fourth before its activation


def unfuse(onnx, graph):
    """Replace the fused nodes of a graph by those that they are made of. Raises UnsupportedGraph."""
    if not any(node.domain == DOMAIN and node.op_type in FUSED for node in graph.node):
        return
    parts = [part for node in graph.node for part in _parts(onnx, node)]
    del graph.node[:]
    graph.node.extend(parts)


def _parts(onnx, node):
    """Return the nodes that a node is made of; the node itself where it is none of the fused ones."""
    if node.domain != DOMAIN or node.op_type not in FUSED:
        return [node]
    attrs = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if not node.input or len(node.output) != 1:
        raise UnsupportedGraph(f"{quoted(node.op_type)} ({quoted(node.name)}) has {len(node.input)} inputs and "
                               f"{len(node.output)} outputs")
    return MADE_OF[node.op_type](_Maker(onnx, node), attrs, list(node.input))


class _Maker:
    """The nodes that one fused node becomes: each but the last has an output of its own."""

    def __init__(self, onnx, node):
        self.onnx, self.node, self.made = onnx, node, []

    def add(self, op, inputs, attrs=None, last=False):
        """Append a node, the `last` of which gives what the fused node gave; return the name of its output."""
        number = f"{self.node.name or self.node.output[0]}/unfused_{len(self.made)}"
        output = self.node.output[0] if last else number
        self.made.append(self.onnx.helper.make_node(op, inputs, [output], name=self.node.name if last else number,
                                                    **attrs or {}))
        return output

    def activated(self, op, inputs, attrs, activation):
        """Append a node and its activation, (operator, its parameters), if it has one."""
        before = self.add(op, inputs, attrs, last=activation is None)
        if activation is not None:
            self.activate(before, *activation)
        return self.made

    def activate(self, x, op, numbers):
        """Append the activation `op` with the parameters of these numbers."""
        names = PARAMETERS.get(op, ())
        if op == "Clip":  # its ends are inputs
            ends = [self.add("Constant", [], {"value_float": number}) for number in numbers]
            self.add(op, [x, *ends], last=True)
        else:
            self.add(op, [x], dict(zip(names, numbers, strict=False)), last=True)


def _activation(attrs, numbers):
    """Take the activation out of the attributes: (operator, its parameters), or None."""
    op = attrs.pop("activation", b"").decode(errors="backslashreplace")
    return (op, list(numbers)) if op else None


def _conv(maker, attrs, inputs):
    """FusedConv: a convolution, what is added to it, an activation."""
    activation = _activation(attrs, attrs.pop("activation_params", ()))
    if len(inputs) <= MOST_INPUTS:
        return maker.activated("Conv", inputs, attrs, activation)
    x = maker.add("Conv", inputs[:MOST_INPUTS] if inputs[2] else inputs[:2], attrs)
    return maker.activated("Add", [x, inputs[-1]], None, activation)


def _gemm(maker, attrs, inputs):
    """FusedGemm: a dense layer and an activation."""
    numbers = [attrs.pop(f"activation_{name}", None) for name in ("alpha", "beta", "gamma")]
    activation = _activation(attrs, [number for number in numbers if number is not None])
    return maker.activated("Gemm", inputs, attrs, activation)


def _matmul(maker, attrs, inputs):
    """FusedMatMul: alpha A B, each perhaps transposed: a Gemm without a bias."""
    batched = attrs.pop("transBatchA", 0) or attrs.pop("transBatchB", 0)
    if batched:
        raise UnsupportedGraph(f"{quoted(maker.node.name)} transposes batches of matrices")
    attrs = {name: value for name, value in attrs.items() if name in ("alpha", "transA", "transB")}
    return maker.activated("Gemm", inputs, attrs, None)


def _gelu(maker, attrs, inputs):
    """Gelu, and BiasGelu, which adds a bias first."""
    x = maker.add("Add", inputs) if len(inputs) > 1 else inputs[0]
    maker.add("Gelu", [x], last=True)
    return maker.made


def _quick_gelu(maker, attrs, inputs):
    """QuickGelu: x sigmoid(alpha x), a SiLU where alpha is 1."""
    alpha = attrs.get("alpha", 0.0)
    if alpha != 1:
        raise UnsupportedGraph(f"{quoted(maker.node.name)} is a QuickGelu with alpha={alpha:g}; minnet's SiLU has 1")
    gate = maker.add("Sigmoid", inputs)
    maker.add("Mul", [inputs[0], gate], last=True)
    return maker.made


MADE_OF = {"FusedConv": _conv, "FusedGemm": _gemm, "FusedMatMul": _matmul, "BiasGelu": _gelu, "Gelu": _gelu,
           "QuickGelu": _quick_gelu}
