"""What structured pruning wins: a net before and after half its multiply-adds are cut, and VGG16 beside ONNX Runtime.

Filters go by magnitude with `macs=0.5`; the net is compacted and frozen. Throughput is that of 64 images a call, the
same rows and threads for both. VGG16 is 32 x 32 x 3, with its ImageNet weights where MINNET_DATA has them.
"""
import os
import tempfile
from pathlib import Path

import numpy as np

from bench.measure import compare, turns

BATCH = 64


def vgg():
    """VGG16 on 32 x 32 x 3 with ten classes."""
    import minnet as mn

    weights = Path(os.environ.get("MINNET_DATA", "")) / "vgg16" / "vgg16_notop.h5"
    return mn.models.vgg16((32, 32, 3), 10, weights=weights if weights.is_file() else None, rng=0)


def lenet():
    """Caffe's LeNet on 28 x 28 x 1."""
    import minnet as mn

    return mn.models.lenet_5((28, 28, 1), 10, rng=0)


def onnx_session(model, threads):
    """A function of channels-last images that runs `model` by ONNX Runtime, all graph optimisations on."""
    import onnxruntime

    from minnet.formats.onnx_write import save_onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_onnx(model, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    last = shape[-1] == model.input_shape[-1]
    return lambda X: session.run(None, {name: X if last else np.ascontiguousarray(X.transpose(0, 3, 1, 2))})


def halved(model):
    """`model` with half its multiply-adds, by filters' magnitude, compacted."""
    import minnet as mn

    small = model.clone()
    mn.prune(small, macs=0.5, structure="filter")
    return mn.compact(small)


def measure(quick=False):
    """Results: the whole net against ONNX Runtime, and the net cut in half against the whole one."""
    import minnet as mn
    from minnet.threads import n_threads

    results, rounds = [], 3 if quick else 7
    for name, make, target in (("VGG16", vgg, 1.5), ("LeNet-5", lenet, 1.3)):
        model = make()
        small = halved(model)
        X = np.random.default_rng(0).normal(size=(BATCH, *model.input_shape)).astype(np.float32)
        whole, half, session = mn.freeze(model, BATCH), mn.freeze(small, BATCH), onnx_session(model, n_threads())
        times = turns({"whole": lambda whole=whole, X=X: whole(X), "half": lambda half=half, X=X: half(X),
                       "onnx": lambda session=session, X=X: session(X)}, rounds, warmup=2)
        share = f"{small.macs / model.macs:.0%} of the multiply-adds"
        limit = f"{2 * BATCH * model.macs / 1e9:.1f} GFLOP"
        results += [compare(f"{name}, {BATCH} images", "ONNX Runtime", times["whole"], times["onnx"],
                            0.8 if name == "VGG16" else None, limit),
                    compare(f"{name} with {share}, {BATCH} images", "the whole net", times["half"], times["whole"],
                            target, "2x")]
    return results
