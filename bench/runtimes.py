"""ONNX that every runtime reads: `python -m bench runtimes` runs what minnet writes in six runtimes.

    python -m bench runtimes            # each in an environment of its own; prints, writes results/runtimes.json
    python -m bench runtimes --quick    # in the ONNX Runtime that is installed: to see that it runs

Six nets, of which 90 % of the weights are pruned, each dense, sparse and int8; 16 random rows. A figure is the largest
difference from the model's own outputs (int8: from those of the model with rounded weights), over the largest output.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minnet as mn
from bench.peers import environment
from minnet.engine.quantise import rounded
from minnet.files import write_whole
from minnet.formats.onnx_write import onnx_bytes

RESULTS = Path(__file__).parent / "results"
WORKER = Path(__file__).with_name("runtimes_worker.py")
RUNTIMES = {  # name in the table: (name in the worker, what is installed)
    "ONNX Runtime 1.32.0": ("onnxruntime", ("onnxruntime==1.32.0",)),
    "ONNX Runtime 1.17.3": ("onnxruntime", ("onnxruntime==1.17.3", "numpy<2")),
    "OpenVINO 2026.4.1": ("openvino", ("openvino==2026.4.1",)),
    "tract 0.23.9": ("tract", ("tract==0.23.9",)),
    "OpenCV 5.0.0": ("opencv", ("opencv-python-headless==5.0.0.93",)),
    "DeepSparse 1.8.0": ("deepsparse", ("deepsparse==1.8.0", "numpy<2")),
}
VARIANTS = {"dense": {}, "sparse": {"sparse": True}, "int8": {"precision": "int8"}}
SPARSITY, ROWS, TOLERANCE = 0.9, 16, 1e-5


def nets():
    """The six nets by name: an MLP, a chain of convolutions, and what branches, joins, separates and pads."""
    concat = mn.Sequential(mn.Conv2d(8, 3, padding="same"), mn.ReLU(),
                           mn.Concat(mn.Conv2d(4, 1), mn.Sequential(mn.Conv2d(4, 3, padding="same"), mn.ReLU())),
                           mn.GlobalAvgPool2d(), mn.Dense(10))
    separable = mn.Sequential(mn.Conv2d(8, 3, stride=2, padding="same"), mn.BatchNorm(), mn.ReLU(),
                              mn.DepthwiseConv2d(3, padding="same"), mn.Conv2d(16, 1), mn.BatchNorm(), mn.ReLU(),
                              mn.GlobalAvgPool2d(), mn.Dense(10))
    odd = mn.Sequential(mn.Conv2d(6, 3, stride=2, padding="same"), mn.LeakyReLU(0.1),
                        mn.MaxPool2d(2, padding="same"), mn.Flatten(), mn.Dense(20), mn.Tanh(), mn.Dense(10))
    return {"lenet_300_100": mn.models.lenet_300_100((784,), 10, rng=0),
            "lenet_5": mn.models.lenet_5((28, 28, 1), 10, rng=0),
            "resnet_8": mn.models.resnet_8((16, 16, 3), 10, rng=0), "concat": mn.Model(concat, (12, 12, 3), rng=0),
            "separable": mn.Model(separable, (15, 15, 3), rng=0), "odd_padding": mn.Model(odd, (11, 13, 2), rng=0)}


def write(folder):
    """Write the files of all nets, what each is given and what is wanted."""
    rng = np.random.default_rng(0)
    for name, model in nets().items():
        mn.prune(model, SPARSITY)
        X = rng.random((ROWS, *model.input_shape), np.float32)
        np.save(folder / f"{name}.x.npy", np.ascontiguousarray(X.transpose(0, 3, 1, 2)) if X.ndim == 4 else X)
        for variant, options in VARIANTS.items():
            wanted = rounded(model) if variant == "int8" else model
            np.save(folder / f"{name}.{variant}.y.npy", wanted(X))
            (folder / f"{name}.{variant}.onnx").write_bytes(onnx_bytes(model, **options))


def outcomes(worker, folder, python=sys.executable):
    """What one runtime makes of all files in a folder."""
    ran = subprocess.run([python, WORKER, worker, folder], capture_output=True, text=True, check=False)
    lines = ran.stdout.strip().splitlines()
    return {} if ran.returncode or not lines else json.loads(lines[-1])


def table(found):
    """A row for each runtime and variant, a column for each net."""
    names = list(nets())
    lines = [f"| runtime | file | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for runtime, results in found.items():
        for variant in VARIANTS:
            cells = [results.get(f"{name}.{variant}", "did not run") for name in names]
            shown = [f"{cell:.0e}" if isinstance(cell, float) else "refused" for cell in cells]
            lines.append(f"| {runtime} | {variant} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main(*, quick=False):
    """Write, install, run, print."""
    found = {}
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "nets"
        folder.mkdir()
        write(folder)
        if quick:
            found["the ONNX Runtime that is installed"] = outcomes("onnxruntime", folder)
        for name, (worker, packages) in {} if quick else RUNTIMES.items():
            python = environment(name.lower().replace(" ", "-"), packages)
            found[name] = {} if python is None else outcomes(worker, folder, python)
    print(table(found))
    refused = {message for results in found.values() for message in results.values() if isinstance(message, str)}
    print("\n".join(sorted(refused)))
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        write_whole(RESULTS / "runtimes.json", json.dumps(found, indent=1).encode())
    return found
