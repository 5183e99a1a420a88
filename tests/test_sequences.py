"""Sequences are images of height 1: read from ONNX's one-dimensional operators, predicted, and written as images."""
import numpy as np
import pytest
from onnx_graphs import Graph
from test_onnx import close, first, loaded, run

from minnet.errors import InvalidValue
from minnet.formats.onnx_write import onnx_bytes


def net(graph, x):
    """Convolutions, pools, groups, a Pad and a whole pool, as PyTorch writes them."""
    x = graph("Conv", x, graph.const(graph.random(6, 3, 4)), graph.const(graph.random(6)), strides=[2], pads=[1, 0])
    x = graph("MaxPool", graph("Relu", x), kernel_shape=[3], strides=[2], ceil_mode=1)
    x = graph("Conv", x, graph.const(graph.random(4, 3, 3)), group=2, dilations=[2], pads=[2, 2])
    x = graph("InstanceNormalization", x, graph.const(graph.random(4)), graph.const(graph.random(4)))
    one = graph("Squeeze", graph("GlobalAveragePool", x), graph.const(np.array([2])))
    other = graph("Flatten", graph("AveragePool", x, kernel_shape=[2]), axis=1)
    return graph("Gemm", graph("Concat", one, other, axis=1), graph.const(graph.random(24, 2)),
                 graph.const(graph.random(2)))


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_net_of_sequences(channels_last, tmp_path):
    """One that is transposed first takes (n, length, channels), as all do here."""
    graph = Graph((27, 3) if channels_last else (3, 27))
    data = graph.bytes(net(graph, graph("Transpose", "x", perm=[0, 2, 1]) if channels_last else "x"))
    model = loaded(data, tmp_path)
    assert model.input_shape == (1, 27, 3)
    X = np.random.default_rng(1).normal(size=(2, 27, 3)).astype(np.float32)
    wanted = run(data, X if channels_last else np.ascontiguousarray(X.transpose(0, 2, 1)))
    close(model(X), wanted)
    close(run(onnx_bytes(model), first(X[:, None])), wanted)
    with pytest.raises(InvalidValue, match=r"channels go last: X.transpose\(0, 2, 1\)"):
        model(X.transpose(0, 2, 1))
