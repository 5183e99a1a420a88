"""Run by a Python that has one runtime: prints, for each ONNX file named, how far its outputs are from those wanted.

    python runtimes_worker.py RUNTIME FOLDER        # FOLDER has NET.VARIANT.onnx and .y.npy, and NET.x.npy

One line of JSON: {"NET.VARIANT": largest difference over the largest output, or the message of what refused it}.
"""
import json
import sys
from pathlib import Path

import numpy as np


def onnxruntime(path, X):
    """ONNX Runtime, at its default options."""
    import onnxruntime as runtime

    runtime.set_default_logger_severity(4)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})[0]


def openvino(path, X):
    """OpenVINO, in float32."""
    from openvino import Core

    core = Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([X])[0]


def opencv(path, X):
    """OpenCV's dnn."""
    import cv2

    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(X)
    return net.forward()


def tract(path, X):
    """Tract, with the size of the batch made fixed."""
    import tract as runtime

    model = runtime.onnx().load(path)
    model.set_input_fact(0, ",".join(map(str, X.shape)) + ",f32")
    return model.into_model().into_runnable().run([X])[0].to_numpy()


def deepsparse(path, X):
    """DeepSparse, for this size of the batch."""
    import deepsparse as runtime

    return runtime.compile_model(path, batch_size=len(X), num_cores=1).run([X])[0]


RUNTIMES = {"onnxruntime": onnxruntime, "openvino": openvino, "opencv": opencv, "tract": tract,
            "deepsparse": deepsparse}


def outcome(run, path):
    """The difference, or the first line of what was raised."""
    X, wanted = np.load(path.with_name(f"{path.name.split('.')[0]}.x.npy")), np.load(path.with_suffix(".y.npy"))
    try:
        found = np.asarray(run(str(path), X)).reshape(wanted.shape)
    except Exception as error:  # a runtime raises what it likes; a name that is missing is an answer too
        return f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def main(name, folder):
    """Print the outcomes of all files in a folder."""
    files = sorted(Path(folder).glob("*.onnx"))
    print(json.dumps({path.name.removesuffix(".onnx"): outcome(RUNTIMES[name], path) for path in files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
