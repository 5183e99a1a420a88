"""Small ONNX graphs, spelled as exporters spell them; each is read by minnet and run by ONNX Runtime.

    graph = Graph((3, 8, 8))                       # input x (n, 3, 8, 8)
    y = graph("Relu", graph.conv("x", 4, 3))       # an operator with its inputs; returns the name of its output
    data = graph.bytes(y)
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Graph:
    """Nodes and initializers, with random weights."""

    def __init__(self, shape, *, batch="n", opset=OPSET, seed=0, dtype=np.float32, producer="a test"):
        self.shape, self.batch, self.opset, self.producer = shape, batch, opset, producer
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.nodes, self.tensors = [], []

    def __call__(self, op, *inputs, outputs=1, domain="", **attributes):
        made = [f"{op.lower()}_{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        names = [name if isinstance(name, str) else self.const(name) for name in inputs]
        self.nodes.append(helper.make_node(op, names, made, name=f"node_{made[0]}", domain=domain, **attributes))
        return made[0]

    def const(self, array, name=None):
        """An initializer."""
        name = name or f"tensor_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def ints(self, *numbers):
        """An initializer of whole numbers."""
        return self.const(np.array(numbers, np.int64))

    def random(self, *shape, scale=0.3):
        """An array of normal numbers."""
        return (scale * self.rng.normal(size=shape)).astype(self.dtype)

    def conv(self, x, weight_shape, bias=True, **attributes):
        """A convolution with random weights (out, in / group, kh, kw)."""
        weights = [self.random(*weight_shape)] + ([self.random(weight_shape[0])] if bias else [])
        return self("Conv", x, *weights, **attributes)

    def gemm(self, x, inputs, outputs, **attributes):
        """A Gemm with random weights (in, out)."""
        return self("Gemm", x, self.random(inputs, outputs), self.random(outputs), **attributes)

    def norm(self, x, c, **attributes):
        """BatchNormalization with random numbers."""
        positive = self.rng.uniform(0.5, 2, c).astype(self.dtype)
        return self("BatchNormalization", x, self.random(c), self.random(c), self.random(c), positive, **attributes)

    def model(self, *outputs):
        """The ModelProto whose outputs have these names, of unknown shapes."""
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        start = helper.make_tensor_value_info("x", kind, [self.batch, *self.shape])
        ends = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", [start], ends, self.tensors)
        imports = [helper.make_opsetid("", self.opset)]
        imports += [helper.make_opsetid(domain, 1) for domain in {node.domain for node in self.nodes} - {""}]
        return helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name=self.producer)

    def bytes(self, *outputs):
        """The file."""
        return self.model(*outputs).SerializeToString()


# --- what exporters write --------------------------------------------------------------------------------------------


def keras_by_tf2onnx():
    """Channels last outside, Transpose around convolutions, a constant Reshape, MatMul and Add, Softmax."""
    g = Graph((8, 6, 3), producer="tf2onnx")
    x = g("Transpose", "x", perm=[0, 3, 1, 2])
    x = g("Relu", g.conv(x, (4, 3, 2, 2), auto_pad="SAME_UPPER"))
    x = g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g("Transpose", x, perm=[0, 2, 3, 1])
    x = g("Reshape", x, g.ints(-1, 48))
    x = g("Add", g("MatMul", x, g.random(48, 5)), g.random(5))
    return g, g("Identity", g("Softmax", g("Tanh", x), axis=1))


def grey_by_tf2onnx():
    """One channel: a Reshape puts it first, and back."""
    g = Graph((8, 6, 1), producer="tf2onnx")
    x = g("Reshape", "x", g.ints(-1, 1, 8, 6))
    x = g("Relu", g.conv(x, (1, 1, 3, 3), auto_pad="SAME_UPPER"))
    x = g("Reshape", x, g.ints(-1, 8, 6, 1))
    x = g("Reshape", x, g.ints(-1, 48))
    return g, g("MatMul", x, g.random(48, 5))


def keras_rescaling():
    """Rescaling of the pixels before they are put channels first."""
    g = Graph((8, 6, 3), producer="tf2onnx")
    x = g("Add", g("Mul", "x", g.const(np.float32(1 / 127.5))), g.const(np.float32(-1)))
    x = g("Transpose", g("Cast", x, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = g("Relu", g.conv(x, (4, 3, 3, 3)))
    return g, g("Flatten", g("GlobalAveragePool", x))


def grey_rescaling():
    """Normalization of grey pixels, then a Reshape."""
    g = Graph((8, 6, 1), producer="tf2onnx")
    x = g("Div", g("Sub", "x", g.random(1, 1, 1, 1)), g.const(np.full((1, 1, 1, 1), 0.3, np.float32)))
    x = g("Relu", g.conv(g("Reshape", x, g.ints(-1, 1, 8, 6)), (4, 1, 3, 3)))
    return g, g("Flatten", g("GlobalAveragePool", x))


def keras_batchnorm():
    """BatchNorm as a product and a sum, channels last and first."""
    g = Graph((8, 6, 3))
    x = g("Transpose", "x", perm=[0, 3, 1, 2])
    x = g.conv(x, (4, 3, 3, 3), bias=False, strides=[2, 2])
    x = g("Add", g("Mul", x, g.random(1, 4, 1, 1)), g.random(4, 1, 1))
    x = g("Relu", x)
    x = g("Transpose", x, perm=[0, 2, 3, 1])
    x = g("Sub", g("Mul", x, g.random(4)), g.random(1, 1, 4))
    return g, g("ReduceMean", g("Sigmoid", x), axes=[1, 2], keepdims=0)


def tf_shape():
    """A Reshape to a shape that is computed, as TensorFlow's Flatten."""
    g = Graph((3, 5, 5))
    x = g.conv("x", (4, 3, 2, 2), pads=[0, 0, 1, 1])
    x = g("Transpose", x, perm=[0, 2, 3, 1])
    shape = g("Cast", g("Shape", x), to=TensorProto.INT32)
    batch = g("Slice", shape, g.ints(0), g.ints(1), g.ints(0))
    shape = g("Concat", batch, g.const(np.array([100], np.int32)), axis=0)
    x = g("Reshape", x, g("Cast", shape, to=TensorProto.INT64))
    return g, g.gemm(x, 100, 3)


def torch_view():
    """x.view(x.size(0), -1): channels first, as all of PyTorch."""
    g = Graph((3, 6, 5), producer="pytorch")
    x = g.conv("x", (4, 3, 3, 3), bias=False)
    x = g.norm(x, 4, epsilon=1e-3, momentum=0.8)
    size = g("Gather", g("Shape", x), g.const(np.array(0, np.int64)), axis=0)
    shape = g("Concat", g("Unsqueeze", size, g.ints(0)), g.ints(-1), axis=0)
    x = g("LeakyRelu", g("Reshape", x, shape), alpha=0.2)
    x = g("Gemm", x, g.random(7, 48), g.random(1, 7), transB=1, alpha=0.5, beta=2.0)
    return g, g("MatMul", g("Dropout", g("Relu", x)), g.random(7, 2))


def fixed_batch():
    """Exported for two images: the batch stands in the shape."""
    g = Graph((2, 4, 4), batch=2)
    return g, g.gemm(g("Reshape", g.conv("x", (3, 2, 3, 3)), g.ints(2, 12)), 12, 4)


def residual():
    """A block with an identity, one with a projection, a sum of three, and a global pool with Squeeze."""
    g = Graph((3, 7, 7))
    x = g("Relu", g.norm(g.conv("x", (4, 3, 3, 3), False, pads=[1] * 4), 4))
    y = g.norm(g.conv(g("Relu", g.conv(x, (4, 4, 3, 3), pads=[1] * 4)), (4, 4, 3, 3), pads=[1] * 4), 4)
    x = g("Relu", g("Add", y, x))
    y = g.conv(g("Relu", g.conv(x, (6, 4, 3, 3), pads=[1] * 4, strides=[2, 2])), (6, 6, 1, 1))
    x = g("Add", g.conv(x, (6, 4, 1, 1), False, strides=[2, 2]), y)
    x = g("Sum", x, g("Tanh", x), g.conv(x, (6, 6, 1, 1)))
    return g, g.gemm(g("Squeeze", g("GlobalAveragePool", x), g.ints(2, 3)), 6, 3)


def densenet():
    """Each step reads all before it; an image and its flattened parts side by side."""
    g = Graph((2, 6, 6))
    x = "x"
    for c in (2, 5):
        x = g("Concat", x, g("Relu", g.conv(x, (3, c, 3, 3), pads=[1] * 4)), axis=1)
    a, b = g("Flatten", g("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])), g("Flatten", x)
    c = g("Flatten", g("GlobalAveragePool", x))
    return g, g.gemm(g("Concat", a, b, c, axis=-1), 32 + 288 + 8, 4)


def mobilenet():
    """Depthwise with a multiplier, SAME_LOWER, an average pool, a classifier made of 1 x 1 convolutions."""
    g = Graph((3, 9, 8))
    x = g.conv("x", (6, 1, 3, 2), group=3, auto_pad="SAME_LOWER", strides=[2, 1])
    x = g("Relu", g.conv(x, (4, 6, 1, 1), False))
    x = g("AveragePool", x, kernel_shape=[2, 2], strides=[1, 2], pads=[0, 1, 1, 0])
    x = g.conv(g("GlobalAveragePool", x), (5, 4, 1, 1))
    return g, g("Flatten", g.conv(g("Relu", x), (3, 5, 1, 1), False))


def ceiled_pools():
    """ceil_mode, where it hangs over and where it would begin behind the edge."""
    g = Graph((2, 8, 7))
    x = g("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = g("MaxPool", x, kernel_shape=[2, 2], strides=[3, 3], pads=[1, 0, 0, 1], ceil_mode=1)
    return g, g("Flatten", g("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1))


def pixels_of_windows(g, x, *sides):
    """The pixels of all windows as PyTorch picks them, (n, c, ho, kh, wo, kw); `sides` are (pixels, windows, size)."""
    rows, columns = ([[min(i * n // m + k, n - 1) for k in range(size)] for i in range(m)] for n, m, size in sides)
    places = np.array([[[[(r, c) for c in column] for column in columns] for r in row] for row in rows])
    return g("Transpose", g("GatherND", g("Transpose", x, perm=[2, 3, 0, 1]), g.const(places)), perm=[4, 5, 0, 1, 2, 3])


def adaptive_pools():
    """Windows of 2 x 2 or 2 x 3 pixels, whose sums are divided; then windows all alike, whose mean is taken."""
    g = Graph((2, 5, 6), producer="pytorch")
    x = pixels_of_windows(g, g.conv("x", (3, 2, 2, 2)), (4, 3, 2), (5, 3, 3))
    x = g("Where", g.const(np.array([[0, 0, 1], [0, 0, 0], [0, 0, 1]], bool)), g.const(np.float32(0)), x)
    total = ""
    for i, j in np.ndindex(2, 3):
        pixel = g("Gather", g("Gather", x, g.const(np.array(i)), axis=3), g.const(np.array(j)), axis=4)
        total = g("Add", total, pixel) if total else pixel
    x = g("Relu", g("Div", total, g.const(np.array([4, 6, 4], np.float32))))
    x = g("ReduceMean", pixels_of_windows(g, x, (3, 2, 2), (3, 2, 2)), axes=[-3, -1], keepdims=0)
    return g, g.gemm(g("Flatten", x), 12, 3)


def normalised_input():
    """Pixels to numbers, by division and per channel, before anything else; constants from nodes."""
    g = Graph((3, 5, 4))
    x = g("Div", "x", g("Constant", value=numpy_helper.from_array(np.array(2.0, np.float32))))
    x = g("Sub", x, g("Unsqueeze", g.random(1, 3, 1), g.ints(3)))
    x = g("Div", x, g("Sqrt", g.const(g.rng.uniform(1, 2, (1, 3, 1, 1)).astype(np.float32))))
    return g, g.gemm(g("Flatten", g("Sub", g.random(1, 3, 1, 1), x), axis=-3), 60, 3)


def padded():
    """Pad before a convolution, as Keras does for strides of 2."""
    g = Graph((2, 6, 6))
    x = g("Pad", "x", g.ints(0, 0, 0, 0, 0, 0, 1, 1), g.const(np.float32(0)))
    return g, g("Flatten", g("GlobalAveragePool", g.conv(x, (4, 2, 3, 3), strides=[2, 2], pads=[1, 0, 1, 0])))


def padded_last():
    """The same with channels last, as Keras on PyTorch's backend writes it."""
    g = Graph((6, 6, 2))
    x = g("Transpose", g("Pad", "x", g.ints(0, 0, 1, 0, 0, 2, 0, 0), g.const(np.float32(0))), perm=[0, 3, 1, 2])
    return g, g("Flatten", g("GlobalAveragePool", g.conv(x, (4, 2, 3, 3), strides=[2, 2])))


def mean_twice():
    """The mean of an image's rows, then of these; the maximum of its columns before."""
    g = Graph((2, 6, 5))
    x = g("ReduceMax", g.conv("x", (4, 2, 3, 3), pads=[1, 1, 1, 1]), axes=[2], keepdims=1)
    x = g("Relu", g.conv(x, (4, 4, 1, 2)))
    return g, g("ReduceMean", g("ReduceMean", x, axes=[3], keepdims=0), axes=[2], keepdims=0)


def rows():
    """A perceptron, with BatchNorm and weights that are transposed by a node."""
    g = Graph((6,))
    x = g("MatMul", "x", g("Transpose", g.const(g.random(5, 6)), perm=[1, 0]))
    x = g("Relu", g.norm(g("Add", g.random(5), x), 5))
    x = g("Unsqueeze", g("Unsqueeze", x, g.ints(2)), g.ints(-1))
    return g, g.gemm(g("Reshape", x, g.ints(0, -1)), 5, 2)


def flat_image():
    """Rows of a matrix, flattened: no channels anywhere."""
    g = Graph((4, 3))
    return g, g.gemm(g("Reshape", "x", g.ints(-1, 12)), 12, 3)


def flat_batchnorm():
    """BatchNorm and a bias on a flattened image, in the order of channels first."""
    g = Graph((2, 3, 4))
    x = g("Add", g.norm(g("Flatten", g.conv("x", (3, 2, 2, 2))), 18), g.random(18))
    return g, g.gemm(g("Mul", g("Tanh", x), g.random(18)), 18, 3)


def halves():
    """Weights of 16 bits, cast by nodes."""
    g = Graph((3, 5, 5))
    weight = g("Cast", g.const(g.random(4, 3, 2, 2).astype(np.float16)), to=TensorProto.FLOAT)
    return g, g("Flatten", g("GlobalAveragePool", g("Conv", "x", weight)))


def old_operators():
    """Operator set 9: axes and ratios are attributes."""
    g = Graph((3, 6, 6), opset=9)
    x = g("Pad", "x", pads=[0, 0, 1, 0, 0, 0, 0, 1])
    x = g("Dropout", g.conv(x, (4, 3, 3, 3)), ratio=0.3)
    x = g("ReduceMean", x, axes=[2, -1], keepdims=1)
    return g, g.gemm(g("Squeeze", x, axes=[2, 3]), 4, 3)


def new_operators():
    """Operator set 18: axes and ratios are inputs."""
    g = Graph((3, 6, 6), opset=18)
    x = g("Dropout", g.conv("x", (4, 3, 3, 3)), g.const(np.float32(0.3)))
    return g, g("Tanh", g("ReduceMean", x, g.ints(-1, -2), keepdims=0))


def squeeze_excite():
    """A gate by 1 x 1 convolutions, one by dense layers and Expand; the maximum of an image."""
    g = Graph((3, 6, 5), producer="pytorch")
    x = g("PRelu", g.conv("x", (4, 3, 3, 3), pads=[1] * 4), g.random(4, 1, 1))
    gate = g("Relu", g.conv(g("GlobalAveragePool", x), (2, 4, 1, 1)))
    x = g("Mul", x, g("HardSigmoid", g.conv(gate, (4, 2, 1, 1)), alpha=1 / 6))
    gate = g("Sigmoid", g.gemm(g("ReduceMax", x, axes=[2, 3], keepdims=0), 4, 4))
    x = g("Mul", g("Expand", g("Unsqueeze", gate, g.ints(2, 3)), g("Shape", x)), x)
    x = g("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1)
    return g, g.gemm(g("Flatten", g("GlobalMaxPool", x)), 4, 3)


def gated_linear_unit():
    """One layer whose halves are multiplied, on images and on rows."""
    g = Graph((2, 5, 5))
    x = g.conv("x", (8, 2, 2, 2))
    x = g("Mul", g("Split", x, g.ints(4, 4), outputs=2, axis=1), g("Sigmoid", f"split_{len(g.nodes) - 1}_1"))
    z = g.gemm(g("Flatten", g("GlobalAveragePool", x)), 4, 6)
    first, last = g("Split", z, outputs=2, axis=-1), f"split_{len(g.nodes) - 1}_1"
    return g, g.gemm(g("Mul", first, last), 3, 2)


def rare_activations():
    """Those that one node says, on rows in the order of channels first."""
    g = Graph((2, 3, 4), opset=20)
    x = g("PRelu", g("Flatten", g("HardSwish", g.conv("x", (3, 2, 2, 2)))), g.random(18))
    for op in ("Selu", "Mish", "Softplus", "HardSigmoid"):
        x = g(op, g.gemm(x, 18 if op == "Selu" else 5, 5))
    x = g("Clip", g("Celu", g.gemm(x, 5, 5), alpha=0.7), "", g.const(np.float32(0.4)))
    x = g("Selu", g.gemm(x, 5, 5), alpha=1.5, gamma=0.9)
    return g, g("Mul", g("Gelu", g.gemm(x, 5, 4), approximate="tanh"), g.gemm(x, 5, 4))


def keras_norms():
    """GroupNormalization as Keras writes it on PyTorch's backend, and LayerNormalization as on TensorFlow's."""
    g = Graph((4, 3, 2), opset=18)
    x = g("Transpose", g.conv(g("Transpose", "x", perm=[0, 3, 1, 2]), (6, 2, 2, 2)), perm=[0, 2, 3, 1])
    x = g("Cast", g("Reshape", x, g.ints(-1, 3, 2, 3, 2)), to=1)
    mean, axes = g("ReduceMean", x, g.ints(1, 2, 4)), g.ints(1, 2, 4)
    variance = g("Sub", g("ReduceMean", g("Mul", x, x), axes), g("Mul", mean, mean))
    root = g("Sqrt", g("Cast", g("Add", variance, g.const(np.float32(1e-3))), to=1))
    scale = g("Mul", g("Div", g.const(np.float32(1)), root), g.random(1, 1, 1, 3, 2))
    shift = g("Add", g("Mul", g("Neg", mean), scale), g("Reshape", g.random(6), g.ints(1, 1, 1, 3, 2)))
    x = g("Relu", g("Reshape", g("Cast", g("Add", g("Mul", x, scale), shift), to=1), g.ints(0, 3, 2, 6)))
    mean = g("ReduceMean", x, g.ints(-1))
    variance = g("ReduceMean", g("Pow", g("Sub", x, mean), g.const(np.float32(2))), g.ints(-1))
    root = g("Sqrt", g("Add", g.const(np.float32(0.1)), variance))
    scale = g("Mul", g.random(1, 1, 1, 6), g("Reciprocal", root))
    x = g("Add", g("Sub", g.random(6), g("Mul", mean, scale)), g("Mul", scale, x))
    return g, g.gemm(g("ReduceMean", x, g.ints(1, 2), keepdims=0), 6, 3)


GRAPHS = {f.__name__: f for f in (
    rows, flat_image, fixed_batch, keras_by_tf2onnx, grey_by_tf2onnx,
    keras_rescaling, grey_rescaling, keras_batchnorm, tf_shape, torch_view, flat_batchnorm, residual,
    densenet, mobilenet, ceiled_pools, adaptive_pools, normalised_input, padded, padded_last, mean_twice, halves,
    old_operators, new_operators, squeeze_excite, gated_linear_unit, rare_activations, keras_norms)}


def dump(model, path):
    """Write a ModelProto to a file."""
    onnx.save(model, path)
