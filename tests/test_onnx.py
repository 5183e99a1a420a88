"""ONNX in and out: what exporters write does the same here as in ONNX Runtime, and what minnet writes is checked."""
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import masked_models, random_input

import minnet as mn
from minnet.errors import FileError, InvalidType, InvalidValue, NotFinite, UnknownName, Unsupported
from minnet.formats import onnx_write
from minnet.formats.onnx_read import load_onnx
from minnet.formats.onnx_write import onnx_bytes, save_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx_graphs import GRAPHS, Graph  # noqa: E402 - needs onnx itself

TOLERANCE = 1e-4
FATAL = 4
onnxruntime.set_default_logger_severity(FATAL)


def run(data, X):
    """The outputs of ONNX Runtime for a batch in the file's own layout."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})[0]


def checked(data):
    """The file's content, once ONNX's checker is content."""
    proto = onnx.ModelProto.FromString(data)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def close(ours, theirs):
    scale = max(1.0, float(np.abs(theirs).max(initial=0)))
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=TOLERANCE)


def first(x):
    """Channels first, for images."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def last(x):
    """Channels last, for images."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x


def loaded(data, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    return load_onnx(path)


# --- in --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0, 100])
@pytest.mark.parametrize("name", GRAPHS)
def test_weights_in_a_second_file(name, threshold, tmp_path):
    """All tensors, or the large ones, as onnx.save and PyTorch's exporter write them beside the model."""
    graph, end = GRAPHS[name]()
    (tmp_path / "one.onnx").write_bytes(graph.bytes(end))
    onnx.save(graph.model(end), tmp_path / "two.onnx", save_as_external_data=True, location="two.onnx.data",
              size_threshold=threshold)
    one, two = load_onnx(tmp_path / "one.onnx"), load_onnx(tmp_path / "two.onnx")
    assert one.values.tobytes() == two.values.tobytes() and one.config() == two.config()


@pytest.mark.parametrize("name", GRAPHS)
def test_what_exporters_write(name, tmp_path):
    """The same outputs as in ONNX Runtime, and again when it is written and read once more."""
    graph, end = GRAPHS[name]()
    data = graph.bytes(end)
    model = loaded(data, tmp_path)
    X = graph.rng.normal(size=(2, *graph.shape)).astype(np.float32)
    ours = model(X if X.shape[1:] == model.input_shape else last(X))
    ends_in_softmax = any(node.op_type == "Softmax" for node in graph.nodes)
    close(softmax(ours) if ends_in_softmax else ours, run(data, X))
    images = X if X.shape[1:] == model.input_shape else last(X)
    written = onnx_bytes(model)
    checked(written)
    close(run(written, first(images)), ours)
    close(loaded(written, tmp_path)(images), ours)


def test_arithmetic_of_sixteen_bits(tmp_path):
    """A net of float16 is read as one of float32, and told; its outputs are near."""
    graph = Graph((4,), dtype=np.float16)
    data = graph.bytes(graph("Relu", graph.gemm("x", 4, 3)))
    with pytest.warns(UserWarning, match="the file is of float16: numbers and arithmetic are float32 here"):
        model = loaded(data, tmp_path)
    X = graph.rng.normal(size=(2, 4)).astype(np.float16)
    np.testing.assert_allclose(model(X), run(data, X), rtol=0, atol=5e-3)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


TREES = {
    "rows": mn.Sequential(mn.Dense(5, use_bias=False, name="tensor_0"), mn.BatchNorm(momentum=0.1, epsilon=1e-5)),
    "keras_batchnorm": mn.Sequential(mn.Conv2d(4, 3, 2, use_bias=False), mn.BatchNorm(epsilon=2.0**-17), mn.ReLU(),
                                     mn.BatchNorm(epsilon=2.0**-17), mn.Sigmoid(), mn.GlobalAvgPool2d()),
    "mobilenet": mn.Sequential(mn.DepthwiseConv2d((3, 2), (2, 1), ((1, 1), (1, 0)), 2), mn.Conv2d(4, 1, use_bias=False),
                               mn.ReLU(), mn.AvgPool2d(2, (1, 2), ((0, 1), (1, 0))), mn.GlobalAvgPool2d(), mn.Dense(5),
                               mn.ReLU(), mn.Dense(3, use_bias=False)),
    "torch_view": mn.Sequential(mn.Conv2d(4, 3, use_bias=False), mn.BatchNorm(momentum=0.2, epsilon=1e-3), mn.Flatten(),
                                mn.LeakyReLU(0.2), mn.Dense(7), mn.ReLU(), mn.Dropout(), mn.Dense(2, use_bias=False)),
    "keras_norms": mn.Sequential(mn.Conv2d(6, 2), mn.GroupNorm(3, epsilon=1e-3), mn.ReLU(), mn.LayerNorm(epsilon=0.1),
                                 mn.GlobalAvgPool2d(), mn.Dense(3)),
}


@pytest.mark.parametrize("name", ["keras_batchnorm", "mobilenet", "torch_view", "keras_norms"])
def test_the_tree_is_what_a_person_would_write(name, tmp_path):
    """No layer too many: biases and scales go where they belong, and numbers are those that were meant."""
    graph, end = GRAPHS[name]()
    model = loaded(graph.bytes(end), tmp_path)
    assert without_names(model.tree) == without_names(TREES[name])


def test_a_factor_of_a_pruned_channel_trains(tmp_path):
    """A BatchNorm that is made of factors and sums divides no channel that has become constant by 0."""
    graph, end = GRAPHS["keras_batchnorm"]()
    model = loaded(graph.bytes(end), tmp_path)
    mn.prune(model, 1.0)
    step, = mn.train(model, (graph.rng.normal(size=(8, 8, 6, 3)), np.arange(8) % 4), epochs=1, batch_size=4, rng=0)
    assert np.isfinite(step.loss) and np.isfinite(model.values).all()


def without_names(layer):
    """A tree as text, whatever its layers are called; a stride that is said is that of the default."""
    arguments = {key: value for key, value in layer.arguments().items() if key not in ("name", "layers", "branches")}
    inner = [without_names(child) for child in layer.children()]
    return type(layer).__name__, {k: v for k, v in arguments.items() if k not in ("branch", "shortcut")}, inner


def test_names_come_from_weights_or_nodes(tmp_path):
    graph = Graph((3, 6, 6), producer="pytorch")
    x = graph("Conv", "x", graph.const(graph.random(4, 3, 3, 3), "features.0.weight"))
    graph.nodes[-1].name = "/other/Conv"
    x = graph.conv(x, (4, 4, 1, 1))
    graph.nodes[-1].name = "/features/features.1/Conv"
    x = graph("Flatten", graph("GlobalAveragePool", x))
    for weight in ("fc.weight", "fc.weight", "é.weight"):
        x = graph("MatMul", x, weight if weight in [t.name for t in graph.tensors] else
                  graph.const(graph.random(4, 4), weight))
    with pytest.warns(UserWarning, match=r"fc\.weight: used twice"):
        model = loaded(graph.bytes(x), tmp_path)
    weighted = [layer.name for layer in model.layers.values() if layer.parameters]
    assert weighted == ["features_0", "features_1", "dense1", "dense2", "dense3"]


@pytest.mark.parametrize("spread", [(4,), (1,), ()])
def test_a_bias_is_taken_over_only_where_nobody_else_reads(spread, tmp_path):
    """Relu reads the convolution before the sum: the sum is not its bias."""
    graph = Graph((3, 5, 5))
    conv = graph.conv("x", (4, 3, 3, 3))
    shifted = graph("Add", conv, graph.random(*spread, *((1, 1) if spread else ())))
    end = graph("Flatten", graph("GlobalAveragePool", graph("Add", graph("Relu", graph("Identity", conv)), shifted)))
    X = graph.rng.normal(size=(2, 3, 5, 5)).astype(np.float32)
    close(loaded(graph.bytes(end), tmp_path)(last(X)), run(graph.bytes(end), X))


def test_double_weights_give_a_double_model(tmp_path):
    graph = Graph((5,), dtype=np.float64)
    with pytest.warns(UserWarning, match="its weights are float64"):
        model = loaded(graph.bytes(graph.gemm("x", 5, 3)), tmp_path)
    assert model.dtype == np.float64


@pytest.mark.parametrize("producer, shape, expected", [
    ("tf2onnx", (4, 5, 3), (4, 5, 3)), ("pytorch", (4, 5, 3), (5, 3, 4)), ("pytorch", (5, 5, 1), (5, 5, 1)),
    ("pytorch", (5, 5, 3), (5, 5, 3)), ("tf2onnx", (3, 4, 5), (4, 5, 3)), ("tf2onnx", (1, 4, 1), (4, 1, 1)),
])
def test_layout_of_images_that_no_operator_explains(producer, shape, expected, tmp_path):
    graph = Graph(shape, producer=producer)
    end = graph.gemm(graph("Flatten", "x"), int(np.prod(shape)), 2)
    model = loaded(graph.bytes(end), tmp_path)
    assert model.input_shape == expected
    X = graph.rng.normal(size=(3, *shape)).astype(np.float32)
    close(model(X if expected == shape else last(X)), run(graph.bytes(end), X))


# --- what cannot be read ---------------------------------------------------------------------------------------------

REFUSED = {  # what a graph has -> (its end, words of the message)
    "groups": (lambda g: g.conv("x", (4, 2, 1, 1), group=3), "4 channels in 3 groups"),
    "dilations": (lambda g: g.conv("x", (4, 4, 3, 3), auto_pad="SAME_UPPER", dilations=[2, 99]), "spans 199 pixels"),
    "kernel_shape": (lambda g: g.conv("x", (4, 4, 3, 3), kernel_shape=[2, 2]), "weights of shape"),
    "strides": (lambda g: g.conv("x", (4, 4, 3, 3), strides=[0, 1]), "stride"),
    "padding": (lambda g: g.conv("x", (4, 4, 3, 3), pads=[3, 0, 0, 0]), "smaller than its window"),
    "negative padding": (lambda g: g.conv("x", (4, 4, 3, 3), pads=[-1, 0, 0, 0]), "padding"),
    "auto_pad": (lambda g: g.conv("x", (4, 4, 3, 3), auto_pad="MOSTLY"), "MOSTLY"),
    "window": (lambda g: g.conv("x", (4, 4, 9, 9)), "the smallest it takes"),
    "channels": (lambda g: g.conv("x", (4, 3, 1, 1)), "4 channels"),
    "bias": (lambda g: g("Conv", "x", g.random(4, 4, 1, 1), g.random(3)), "3 numbers for 4 channels"),
    "computed weights": (lambda g: g("Conv", "x", "x"), "computed from the input"),
    "channels last": (lambda g: g.conv(g("Transpose", "x", perm=[0, 2, 3, 1]), (4, 6, 1, 1)), "laid out hwc"),
    "rows of images": (lambda g: g.gemm("x", 4, 2), "laid out chw"),
    "features": (lambda g: g.gemm(g("Flatten", "x"), 100, 2), "144 features"),
    "transA": (lambda g: g.gemm(g("Flatten", "x"), 144, 2, transA=1), "transposed"),
    "counted padding": (lambda g: g("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4,
                                    count_include_pad=1, ceil_mode=1), "ceil_mode=False"),
    "pool dilations": (lambda g: g("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 1]), "dilations"),
    "places of maxima": (lambda g: g("MaxPool", "x", kernel_shape=[2, 2], outputs=2), "positions of the maxima"),
    "no kernel_shape": (lambda g: g("MaxPool", "x"), "kernel_shape"),
    "training": (lambda g: g.norm("x", 4, training_mode=1), "training"),
    "product of shapes": (lambda g: g("Mul", "x", g.conv("x", (1, 4, 1, 1))), "one number for each channel"),
    "an empty Clip": (lambda g: g("Clip", "x", g.const(np.float32(1)), g.const(np.float32(0))), "from 1.0 to 0.0"),
    "difference of branches": (lambda g: g("Sub", "x", g("Sigmoid", "x")), "difference of two branches"),
    "quotient": (lambda g: g("Div", g.random(1), "x"), "divides by"),
    "one number per pixel": (lambda g: g("Mul", "x", g.random(6, 6)), "only one number per channel"),
    "whole numbers": (lambda g: g("Mul", "x", g.ints(2)), "only one number per channel"),
    "sum of shapes": (lambda g: g("Add", "x", g("GlobalAveragePool", "x")), "adds the shapes"),
    "sum of orders": (lambda g: g.gemm(g("Add", g("Flatten", "x"), g.gemm(g("Flatten", "x"), 144, 144)), 144, 2),
                      "adds the shapes"),
    "mean of channels": (lambda g: g("ReduceMean", "x", axes=[1]), r"axes \[1\]"),
    "mean of all": (lambda g: g("ReduceMean", "x"), r"axes \[0, 1, 2, 3\]"),
    "softmax inside": (lambda g: g("Relu", g("LogSoftmax", g("Flatten", "x"))), "follows a LogSoftmax"),
    "class numbers inside": (lambda g: g("Relu", g("ArgMax", g("Flatten", "x"), axis=1)), "follows an ArgMax"),
    "class numbers of pixels": (lambda g: g("ArgMax", "x", axis=1), "only that of the classes"),
    "parts of an activation": (lambda g: g("Split", g("Relu", "x"), outputs=2, axis=1), "a layer of its own of each"),
    "parts that are no whole": (lambda g: g("Split", g.conv("x", (4, 4, 1, 1)), g.ints(1, 2), outputs=2, axis=1),
                                "4 channels into 2 parts"),
    "a threshold": (lambda g: g("Greater", g("Relu", "x"), g.const(np.float32(0.5))), "compares with a number"),
    "softmax of images": (lambda g: g("Softmax", "x", axis=2), "axis 2"),
    "flatten from 2": (lambda g: g("Flatten", "x", axis=2), "from axis 2"),
    "unflatten": (lambda g: g("Reshape", "x", g.ints(-1, 8, 18)), "only flattening"),
    "shuffle": (lambda g: g("Reshape", "x", g.ints(-1, 2, 2, 6, 6)), "only flattening"),
    "batch": (lambda g: g("Reshape", "x", g.ints(5, -1)), "not the batch"),
    "another size": (lambda g: g("Reshape", "x", g.ints(-1, 100)), r"\(100,\)"),
    "squeeze": (lambda g: g("Squeeze", "x", g.ints(1)), r"axes \[1\]"),
    "axis before the batch": (lambda g: g("Unsqueeze", "x", g.ints(0)), "before the batch"),
    "permutation": (lambda g: g("Transpose", "x", perm=[1, 0, 2, 3]), "permutation"),
    "pixels side by side": (lambda g: g("Concat", "x", g("Relu", "x"), axis=2), "only channels"),
    "a constant branch": (lambda g: g("Concat", "x", g.random(1, 4, 6, 6), axis=1), "constant beside a branch"),
    "padded pool": (lambda g: g("MaxPool", g("Pad", "x", g.ints(0, 0, 1, 1, 0, 0, 1, 1)), kernel_shape=[3, 3]),
                    "only a convolution can take over"),
    "padded by 1": (lambda g: g("Pad", "x", g.ints(0, 0, 1, 1, 0, 0, 1, 1), g.const(np.float32(1))), "than zeros"),
    "padded channels": (lambda g: g("Pad", "x", g.ints(0, 1, 0, 0, 0, 0, 0, 0)), "only images can be padded"),
    "ends in padding": (lambda g: g("Pad", "x", g.ints(0, 0, 1, 1, 0, 0, 1, 1)), "or is padding"),
    "ends in features": (lambda g: g("Flatten", "x"), "in another order"),
    "a constant end": (lambda g: g("Identity", g.random(3, 4)), "does not depend on its input"),
    "counted images": (lambda g: g("Reshape", "x", g("Mul", g("Shape", "x"), g.ints(1))), "number of images"),
    "a slope that is no number": (lambda g: g("LeakyRelu", "x", alpha=float("nan")), "nan for a number"),
    "division by nothing": (lambda g: g.conv(g("Div", "x", g.const(np.float32(0))), (1, 4, 1, 1)), "infinite"),
    "a mask": (lambda g: g("Dropout", "x", outputs=2), "mask is read"),
    "too many inputs": (lambda g: g("Relu", "x", "x"), "does not fit its inputs"),
    "missing": (lambda g: g("Relu", "nowhere"), "which nothing before it makes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path):
    """One line that names the node and the reason."""
    make, words = REFUSED[name]
    graph = Graph((4, 6, 6))
    end = make(graph)
    with pytest.raises(FileError, match=words) as caught:
        loaded(graph.bytes(end), tmp_path)
    assert "\n" not in str(caught.value) and "model.onnx" in str(caught.value)


def test_all_operators_that_are_missing_are_told_at_once(tmp_path):
    graph = Graph((4, 6, 6))
    x = graph("LRN", graph("Softsign", graph("Relu", "x")), size=3)
    x = graph("Softsign", graph("Rotate", x, domain="custom"))
    graph("Round", x)  # which nobody reads
    with pytest.raises(FileError) as caught:
        loaded(graph.bytes(x), tmp_path)
    message = str(caught.value)
    assert all(word in message for word in ("Softsign (node_softsign_1, node_softsign_4)", "LRN (node_lrn_2)",
                                              "custom.Rotate"))
    assert "Round" not in message and "Relu (" not in message


def test_all_reasons_are_told_at_once(tmp_path):
    graph = Graph((4, 6, 6))
    one = graph.conv("x", (4, 2, 1, 1), group=3)
    other = graph("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2])
    end = graph("Add", one, graph("Relu", other))
    with pytest.raises(FileError, match="node_conv_0.*3 groups.*node_maxpool_1.*dilations"):
        loaded(graph.bytes(end), tmp_path)


@pytest.mark.parametrize("make", [
    lambda g, a, b: g("Add", g("Add", g("Relu", a), b), g("Add", a, g("Relu", b))),   # each branch reads both
    lambda g, a, b: g("Concat", g("Add", a, b), g("Tanh", b), axis=1),
])
def test_a_graph_that_is_no_tree(make, tmp_path):
    graph = Graph((4, 6, 6))
    end = make(graph, graph.conv("x", (4, 4, 1, 1)), graph.conv("x", (4, 4, 1, 1)))
    with pytest.raises(FileError, match="two places"):
        loaded(graph.bytes(end), tmp_path)


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def torch_nets(torch):
    """{name: (net, shape of an image)} of what people train."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, c, o, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(c, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            self.down = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o)) if c != o else None

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (x if self.down is None else self.down(x)))

    class Old(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 5 * 4, 3)

        def forward(self, x):
            x = self.conv(x)
            return torch.log_softmax(self.fc(x.view(x.size(0), -1)), dim=1)

    def separable(c, o, stride):
        return [nn.Conv2d(c, c, 3, stride, 1, groups=c, bias=False), nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, o, 1)]

    vgg = [layer for c, o in ((3, 4), (4, 6))
           for layer in (nn.Conv2d(c, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))]
    return {
        "lenet_5": (nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
                                  nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 12), nn.Sigmoid(), nn.Linear(12, 10)),
                    (1, 28, 28)),
        "vgg": (nn.Sequential(*vgg, nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)),
                (3, 8, 8)),
        "resnet": (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Block(4, 4, 1), Block(4, 8, 2), nn.AdaptiveAvgPool2d(1),
                                 nn.Flatten(), nn.Linear(8, 3)), (3, 9, 9)),
        "separable": (nn.Sequential(*separable(3, 6, 1), nn.LeakyReLU(0.1), *separable(6, 4, 2),
                                    nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(4, 3)), (3, 8, 7)),
        "mlp": (nn.Sequential(nn.Linear(7, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)), (7,)),
        "even same": (nn.Sequential(nn.Conv2d(2, 4, 2, padding="same", bias=False), nn.ReLU(),
                                    nn.Conv2d(4, 6, 3, 1, 2, dilation=2, groups=2), nn.ReLU(),
                                    nn.Conv2d(6, 3, (4, 2), padding="same"), nn.Flatten(), nn.Linear(90, 3)),
                      (2, 6, 5)),
        "view and log_softmax": (Old(), (3, 7, 6)),
    }


@pytest.mark.parametrize("name", ["lenet_5", "vgg", "resnet", "separable", "mlp", "even same", "view and log_softmax"])
def test_pytorch_agrees(name, tmp_path):
    """Exported by PyTorch, read here; written here, run by ONNX Runtime: outputs agree all the way, and so they do when
    half the multiply-adds went, and BatchNorm into its neighbours."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net, shape = torch_nets(torch)[name]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "same" of even kernels may need a copy, it says
        for _ in range(3):
            net(2 * torch.randn(6, *shape) + 0.5)  # moves the statistics of BatchNorm
        x = torch.randn(4, *shape)
        wanted = net.eval()(x).numpy()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no other package announces its end
        torch.onnx.export(net, (x,), path, dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"])
    model = load_onnx(path)
    X = last(x.numpy())
    ours = model(X)
    if "softmax" in name:
        ours = ours - np.log(np.exp(ours).sum(axis=1, keepdims=True))
    close(ours, wanted)
    close(ours, run(path.read_bytes(), x.numpy()))
    close(run(onnx_bytes(model), first(X)), model(X))
    mn.prune(model, macs=0.5, structure="filter" if len(shape) > 1 else "neuron")
    for small in (mn.compact(model), mn.compact(model, fold_batchnorm=True)):
        assert small.n_trainable < model.n_trainable
        close(run(onnx_bytes(small), first(X)), model(X))


# --- out -------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(masked_models(dtype=np.float32), st.booleans())
def test_what_is_written(tmp_path_factory, model, sparse):
    """ONNX's checker is content, ONNX Runtime agrees, and it comes back as it went."""
    X = random_input(model)
    data = onnx_bytes(model, sparse=sparse)
    proto = checked(data)
    opset = 20 if any(isinstance(layer, mn.GELU) for layer in model.layers.values()) else 18
    assert (proto.ir_version, [(o.domain, o.version) for o in proto.opset_import]) == (
        {18: 8, 20: 9}[opset], [("", opset)])
    close(run(data, first(X)), model(X))
    back = loaded(data, tmp_path_factory.mktemp("onnx"))
    np.testing.assert_allclose(back(X), model(X), rtol=1e-5, atol=1e-5)
    assert set(back.parameters) <= set(model.parameters)
    assert back.n_trainable == model.n_trainable
    assert onnx_bytes(model, sparse=sparse) == data


STANDARD = {
    "lenet_5": lambda: mn.models.lenet_5((28, 28, 1), 10, rng=0),
    "resnet_8": lambda: mn.models.resnet_8((8, 8, 3), 4, 4, rng=0),
    "separable_conv": lambda: mn.models.separable_conv((8, 8, 3), 4, rng=0),
    "conv_2": lambda: mn.models.conv_2((8, 8, 1), 4, rng=0),
    "vgg16's base": lambda: mn.models.vgg16((32, 32, 3), widths=((2, 2), (3, 2), (4, 3)), rng=0),
}


@pytest.mark.parametrize("name", STANDARD)
def test_standard_models_come_back_by_name(name, tmp_path):
    """No Transpose in the file, layers called as before, every parameter bit for bit."""
    model = STANDARD[name]()
    data = onnx_bytes(model)
    assert "Transpose" not in [node.op_type for node in checked(data).graph.node]
    back = loaded(data, tmp_path)
    assert list(back.parameters) == list(model.parameters)
    assert all(np.array_equal(p.value, back.parameters[name].value) for name, p in model.parameters.items())
    X = random_input(model, 3)
    close(last(run(data, first(X))), model(X))


def test_ending_in_a_flattened_image_keeps_its_order(tmp_path):
    """Outputs are features in minnet's order, so here a Transpose is needed."""
    model = mn.Model(mn.Sequential(mn.Conv2d(3, 2), mn.Flatten(), mn.BatchNorm()), (4, 5, 2), rng=0)
    data, X = onnx_bytes(model), random_input(model)
    close(run(data, first(X)), model(X))
    close(loaded(data, tmp_path)(X), model(X))


def test_sparse_is_smaller_where_most_is_gone():
    model = mn.models.lenet_300_100((784,), 10, rng=0)
    mn.prune(model, 0.95)
    dense, sparse = onnx_bytes(model), onnx_bytes(model, sparse=True)
    assert len(sparse) < 0.15 * len(dense)
    assert {"ConstantOfShape", "ScatterElements", "Reshape"} <= {node.op_type for node in checked(sparse).graph.node}
    X = random_input(model)
    np.testing.assert_array_equal(run(sparse, X), run(dense, X))


def test_sparse_is_dense_where_most_remains():
    model = mn.models.mlp((8,), 3, (4,), rng=0)
    mn.prune(model, 0.4)
    assert onnx_bytes(model, sparse=True) == onnx_bytes(model)


class Odd(mn.Activation):
    """A layer that no exporter knows."""

    def value(self, x):
        return np.sin(x)


@pytest.mark.parametrize("make, error, words", [
    (lambda model: "no model", InvalidType, "no Model"),
    (lambda model: model.values.fill(np.nan) or model, NotFinite, "dense1.weight holds NaN"),
    (lambda model: doubled(model), NotFinite, "beyond float32"),
    (lambda model: setattr(model.tree, "layers", (Odd(name="odd"), *model.tree.layers)) or model, Unsupported, "Odd"),
])
def test_what_cannot_be_written(make, error, words, tmp_path):
    """The file that was there stays."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises(error, match=words):
        save_onnx(make(mn.models.mlp((3,), 2, rng=0)), path)
    assert path.read_bytes() == b"before"


def doubled(model):
    model = model.clone(np.float64)
    model.values[0] = 1e300
    return model


def test_a_file_has_an_end(monkeypatch):
    monkeypatch.setattr(onnx_write, "LARGEST_FILE", 1000)
    with pytest.raises(InvalidValue, match="1,000 bytes.*dense1.weight"):
        onnx_bytes(mn.models.mlp((300,), 2, rng=0))


# --- weights in eight bits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("build, shape", [("lenet_300_100", (784,)), ("lenet_5", (28, 28, 1)), ("resnet_8", (8, 8, 3))])
def test_int8_is_the_predictors(build, shape, sparse):
    """On every one of 1,000 rows the class is that of the frozen net, whose whole numbers the file holds."""
    model = getattr(mn.models, build)(shape, 10, rng=0)
    mn.prune(model, 0.9)
    data, fast = onnx_bytes(model, sparse=sparse, precision="int8"), mn.freeze(model, precision="int8")
    proto = checked(data)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    assert all(stored[name].data_type != onnx.TensorProto.FLOAT for name in stored if ".weight" in name and
               not name.endswith(".scale"))
    assert len(data) < 0.5 * len(onnx_bytes(model, sparse=sparse)) or sparse
    X = np.random.default_rng(0).random((1000, *shape), np.float32)
    ours, theirs = fast(X), run(data, first(X))
    close(ours, theirs)
    assert np.array_equal(fast.predict(X), theirs.argmax(axis=1))


def test_an_unknown_precision_is_refused():
    with pytest.raises(UnknownName, match="float32, int8"):
        onnx_bytes(mn.Model(mn.Sequential(mn.Dense(3)), (4,), rng=0), precision="int4")


@pytest.mark.parametrize("precision", [None, "int8"])
def test_a_layer_without_live_weights_has_no_empty_initializer(precision, tmp_path):
    """Some runtimes take an array without elements for a single number."""
    model = mn.Model(mn.Sequential(mn.Dense(5), mn.ReLU(), mn.Dense(3)), (4,), rng=0)
    mn.prune(model, 1.0, layers="dense2")
    data = onnx_bytes(model, sparse=True, precision=precision)
    assert all(0 not in tensor.dims for tensor in checked(data).graph.initializer)
    X = np.ones((2, 4), np.float32)
    close(model(X), run(data, X))
    back = loaded(data, tmp_path)
    assert not back.parameters["dense2.weight"].mask.any()
    close(model(X), back(X))
