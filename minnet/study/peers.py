"""Other installed libraries on the same model and the same rows, as `minnet bench` compares them.

    for row in against_peers({"net": model}, X, size)["net"]["peers"]:
        row["peer"], row["threads"], row["latency_us"], row["times_as_fast"]

Each library gets its own layout, is warmed up, and uses one thread or all, whichever is faster. All are timed in turns
that begin when all threads sleep.
"""
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import cycle, product

import numpy as np
from threadpoolctl import threadpool_limits

from minnet.engine.activations import ReLU
from minnet.engine.containers import Sequential
from minnet.engine.conv import Conv2d
from minnet.engine.dense import Dense
from minnet.engine.layer import Layer
from minnet.engine.pooling import Flatten, MaxPool2d
from minnet.errors import MissingExtra, Unsupported, import_optional
from minnet.formats.onnx_write import INPUT, onnx_bytes
from minnet.formats.torch_state import torch_bytes
from minnet.model import Model
from minnet.runtime.freeze import freeze
from minnet.study.measure import MICRO, rested_times, rows_of
from minnet.threads import n_threads

Call = Callable[[np.ndarray], np.ndarray]
OURS = "minnet"
TRANSPOSED = (0, 3, 1, 2)  # images, channels first


def against_peers(nets: Mapping[str, Model], X: np.ndarray, size: int) -> dict[str, dict]:
    """Return {name: figures} for `nets`, {name: Model}, all timed in turns.

    The figures are "latency_us" and, with batches of `size` rows, "throughput_per_s" of minnet's frozen model, and
    "peers", a list with one dict per library: "peer", the same two figures, the "threads" of each, and the speedups of
    minnet, "times_as_fast" (one row) and "times_the_throughput".
    """
    one, many = (in_turns(nets, rows_of(X, n)) for n in (1, size))
    figures = {key: {"latency_us": one[key][1] * MICRO, "throughput_per_s": size / many[key][1]} for key in one}
    return {name: {**figures[name, OURS], "peers": [
        {"peer": peer, "threads": [one[name, peer][0], many[name, peer][0]], **figures[name, peer],
         "times_as_fast": one[name, peer][1] / one[name, OURS][1],
         "times_the_throughput": many[name, peer][1] / many[name, OURS][1]}
        for peer in PEERS if (name, peer) in one]} for name in nets}


def in_turns(nets: Mapping[str, Model], batches: list[np.ndarray]) -> dict[tuple[str, str], tuple[int, float]]:
    """Return {(net, peer or OURS): (threads, median seconds of a call)} with the faster number of threads."""
    calls = {(name, OURS, n_threads()): (freeze(net, batch_size=len(batches[0])), nullcontext)
             for name, net in nets.items()}
    for (name, net), peer in product(nets.items(), PEERS):
        calls |= {(name, peer, threads): call for threads, call in calls_of(peer, net, batches).items()}
    best = {}
    for (name, peer, threads), taken in rested_times(calls, batches).items():
        best[name, peer] = min(best.get((name, peer), (threads, taken)), (threads, taken), key=lambda one: one[1])
    return best


def calls_of(peer: str, model: Model, batches: list[np.ndarray]) -> dict[int, tuple]:
    """Return {threads: (call, context of a turn)} of a peer; empty if it is absent or cannot run the model."""
    make, hold = PEERS[peer]
    try:
        return {threads: (make(model, batches, threads), partial(hold, threads)) for threads in {1, n_threads()}}
    except (MissingExtra, Unsupported):
        return {}


# --- peers: (model, batches, threads) -> a function that predicts the next of the batches ----------------------------


def onnxruntime_call(model: Model, batches: list[np.ndarray], threads: int) -> Call:
    """Return a call of ONNX Runtime, with all of its graph optimisations."""
    runtime = import_optional("onnxruntime", "peers", "the comparison")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(onnx_bytes(model), options, providers=["CPUExecutionProvider"])
    ready = cycle([{INPUT: rows} for rows in channels_first(batches)])
    return lambda rows: session.run(None, next(ready))[0]


def torch_call(model: Model, batches: list[np.ndarray], threads: int) -> Call:
    """Return a call of PyTorch, a Sequential in inference mode."""
    torch = import_optional("torch", "peers", "the comparison")
    net = torch.nn.Sequential()
    for layer in chain_of(model, TORCH):
        net.add_module(layer.name, TORCH[type(layer)](torch.nn, layer))
    net.load_state_dict(import_optional("safetensors.torch", "peers").load(torch_bytes(model)))
    ready = cycle([torch.from_numpy(rows) for rows in channels_first(batches)])

    def call(rows):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return net(next(ready)).numpy()

    return call


def sklearn_call(model: Model, batches: list[np.ndarray], threads: int) -> Call:
    """Return a call of scikit-learn's MLPClassifier, for dense layers; its threads are those of BLAS."""
    from sklearn.neural_network import MLPClassifier

    dense = [layer for layer in chain_of(model, (Flatten, Dense, ReLU)) if isinstance(layer, Dense)]
    rows = [batch.reshape(len(batch), -1) for batch in batches]
    peer, classes = MLPClassifier([layer.units for layer in dense[:-1]], max_iter=1), np.arange(dense[-1].units)
    peer.partial_fit(np.zeros((len(classes), rows[0].shape[1]), rows[0].dtype), classes, classes=classes)
    peer.coefs_, peer.intercepts_ = ([getattr(layer, name).value for layer in dense] for name in ("weight", "bias"))
    return partial(_next, peer.predict_proba, cycle(rows))


def _next(call, ready, rows):
    """Return `call` of the next of its own batches."""
    return call(next(ready))


def chain_of(model: Model, known: Collection[type]) -> Sequence[Layer]:
    """Return the layers of a plain chain of layers of the types `known` without padding, or raise Unsupported."""
    layers = model.tree.layers if type(model.tree) is Sequential else [model.tree]
    for layer in layers:
        if type(layer) not in known or getattr(layer, "padding", "valid") != "valid":
            raise Unsupported(f"{layer.name} is not supported by this comparison: give a chain of layers such as "
                              "Dense, Conv2d, MaxPool2d, Flatten and ReLU, without padding")
    return layers


def channels_first(batches: list[np.ndarray]) -> list[np.ndarray]:
    """Return batches of images with channels first, and other batches unchanged."""
    return [np.ascontiguousarray(rows.transpose(TRANSPOSED)) if rows.ndim > 2 else rows for rows in batches]


TORCH = {
    Dense: lambda nn, layer: nn.Linear(np.prod(layer.input_shape), layer.units),
    Conv2d: lambda nn, layer: nn.Conv2d(layer.input_shape[2], layer.filters, layer.window.kernel, layer.window.stride,
                                        dilation=layer.window.dilation, groups=layer.groups),
    MaxPool2d: lambda nn, layer: nn.MaxPool2d(layer.window.kernel, layer.window.stride),
    Flatten: lambda nn, layer: nn.Flatten(),
    ReLU: lambda nn, layer: nn.ReLU(),
}
PEERS = {  # (make the call, limit its threads where the library does not do it itself)
    "ONNX Runtime": (onnxruntime_call, nullcontext), "PyTorch": (torch_call, nullcontext),
    "scikit-learn": (sklearn_call, threadpool_limits)}
