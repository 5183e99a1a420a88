"""Nets of PyTorch and Keras, all the way through: `python -m bench imports` makes them and goes on from what is read.

    python -m bench imports             # installs Keras into a folder of its own; prints, writes results/imports.json
    python -m bench imports --quick     # a handful of PyTorch's, by its older exporter: to see that it runs

It takes half an hour. Where the environment variable MINNET_IMPORTS names a folder, all is kept there, and a run goes
on where one before has ended: delete nets/walked.json to go through all files again without making them again.

Each file is read, loses half of its units, is trained for an epoch, compacted, frozen, written as ONNX and as C. A
figure is the largest difference from the outputs of the framework, or from the model's own, over the largest output.
"""
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minnet as mn
from minnet.files import write_whole
from minnet.formats.c_source import c_source
from minnet.formats.onnx_write import onnx_bytes

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WRITERS = {"PyTorch": "import_torch_nets.py", "Keras": "import_keras_nets.py"}
INSTALLED = ("keras==3.15.1", "onnxscript==0.7.2")
TOLERANCE, SPARSITY, LEARNING_RATE, TRAINED_ROWS = 1e-5, 0.5, 0.01, 64
COLUMNS = {"difference": "read: difference", "pruned": "units pruned", "loss": "loss of an epoch",
           "compacted": "compacted", "frozen": "frozen", "onnx": "ONNX Runtime", "c": "C"}
EQUAL = ("difference", "compacted", "frozen", "onnx", "c")


# --- the files -------------------------------------------------------------------------------------------------------


def install(folder):
    """Install what the newer exporter and Keras need, beside the PyTorch that is here."""
    if folder.is_dir():
        return
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *INSTALLED], check=True)


def write(framework, folder, packages, names=()):
    """Let a framework write its nets; {file: {"end": .., "refused": ..}}."""
    environment = {**os.environ, "PYTHONPATH": str(packages), "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, HERE / WRITERS[framework], folder, *names], env=environment, check=True)
    return json.loads((folder / f"{framework.lower().replace('pytorch', 'torch')}.json").read_text())


# --- what is made of one file ----------------------------------------------------------------------------------------


def arranged(X, shape):
    """Rows as a model of this input shape takes them: channels last, sequences as images of height 1."""
    n = len(X)
    last = np.moveaxis(X, 1, -1)
    for rows in (X, last, X[:, None], last[:, None], X.reshape(n, -1)):
        if rows.shape[1:] == shape:
            return np.ascontiguousarray(rows)
    raise ValueError(f"rows of shape {X.shape[1:]} for a model of {shape}")


def ended(logits, end):
    """Logits through what was left out at the end of a net."""
    if end == "argmax":
        return logits.argmax(-1)
    if end == "sigmoid" and logits.shape[1] == 2:
        logits = logits[:, 1:] - logits[:, :1]
    if end == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    if end:
        logs = logits - logits.max(-1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(-1, keepdims=True))
        return np.exp(logs) if end == "softmax" else logs
    return logits


def difference(found, wanted):
    """The largest difference over the largest number."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    return float(np.abs(found.reshape(wanted.shape) - wanted).max() / np.abs(wanted).max())


def varied(outputs):
    """The outputs; an error where they are the same for all rows, and so show nothing."""
    if not np.ptp(outputs, axis=0).any():
        raise ValueError("all rows have the same outputs")
    return outputs


def labels(model, n, rng):
    """Labels that a model of this kind could be trained on."""
    k = model.output_shape[-1]
    if model.signature is not None and model.signature.task == "multilabel":
        return rng.random((n, k)) < 0.5
    return rng.integers(0, k, n) if k > 1 else rng.normal(size=(n, 1))


def trained(model, X, rng):
    """The loss of an epoch on rows like these; NaN where a masked weight is no longer 0."""
    rows = X[rng.integers(0, len(X), TRAINED_ROWS)] + rng.normal(0, 0.1, (TRAINED_ROWS, *X.shape[1:]))
    data = rows.astype(X.dtype), labels(model, TRAINED_ROWS, rng)
    step, = mn.train(model, data, optimizer=mn.SGD(LEARNING_RATE), epochs=1, batch_size=16, rng=0)
    return float(step.loss) if not model.values[~model.mask].any() else np.nan


def in_onnx_runtime(model, X):
    """What ONNX Runtime makes of the file that is written."""
    import onnxruntime as runtime

    runtime.set_default_logger_severity(4)
    session = runtime.InferenceSession(onnx_bytes(model), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    X = np.moveaxis(X, -1, 1) if X.ndim > 2 and list(X.shape[1:]) != given.shape[1:] else X
    kind = np.float64 if "double" in given.type else np.float32
    return session.run(None, {given.name: np.ascontiguousarray(X, kind)})[0]


def in_c(model, X):
    """What the C that is written makes of each row."""
    text = c_source(model)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.c").write_text(text)
        subprocess.run(["cc", "-std=c99", "-O1", "-shared", "-fPIC", "net.c", "-o", "net.so", "-lm"], cwd=folder,
                       check=True)
        library = ctypes.CDLL(f"{folder}/net.so")  # by a path that no other has: a library is loaded once
    work = np.empty(int(re.search(r"MINNET_WORK (\d+)", text)[1]), np.float32)
    out = np.empty((len(X), *model.output_shape), np.float32)
    for row, y in zip(np.ascontiguousarray(X, np.float32), out, strict=True):
        library.minnet_predict(*[array.ctypes.data_as(ctypes.c_void_p) for array in (row, y, work)])
    return out


def attempt(found, column, function, *arguments):
    """Put what a function returns, or the message of what it raises, into a column."""
    try:
        found[column] = function(*arguments)
    except Exception as error:  # whatever is raised belongs into the table
        found[column] = f"{type(error).__name__}: {' '.join(str(error).split())}"


def pruned(model):
    """The share of the units that is removed; where there are none, single weights."""
    try:
        units = mn.prune(model, SPARSITY, structure="channel", distribution="layerwise").units
    except mn.MinnetError as error:
        mn.prune(model, SPARSITY)
        return f"weights instead: {error}"
    return f"{units.removed / units.total:.0%}"


def walk(path, end):
    """All columns of one file."""
    with np.load(path.with_name(path.name.partition(".")[0] + ".npz")) as saved:
        X, y = saved["x"], saved["y"]
    found = {}
    attempt(found, "model", mn.load_onnx if path.suffix == ".onnx" else mn.load_keras, path)
    model = found.pop("model")
    if isinstance(model, str):
        return {"refused": model.replace(f"{path}: ", "").partition(" (export it again")[0]}
    try:
        X = arranged(X, model.input_shape)
    except ValueError as error:
        return {"refused": str(error)}
    attempt(found, "difference", lambda: difference(ended(model(X), end), y))
    attempt(found, "pruned", pruned, model)
    attempt(found, "loss", trained, model, X, np.random.default_rng(0))
    wanted = model(X)
    small = mn.compact(model)
    attempt(found, "compacted", lambda: difference(small(X), varied(wanted)))
    attempt(found, "frozen", lambda: difference(mn.freeze(small).decision_function(X), wanted))
    attempt(found, "onnx", lambda: difference(in_onnx_runtime(small, X), wanted))
    if shutil.which("cc"):
        attempt(found, "c", lambda: difference(in_c(small, X), wanted))
    return found


# --- the table -------------------------------------------------------------------------------------------------------


def worst(column, rows):
    """What the files of one net have in a column: the largest, or the first message."""
    values = [row[column] for row in rows if column in row]
    messages = [value for value in values if isinstance(value, str)]
    if messages or not values:
        return messages[0] if messages else ""
    return max(values, key=lambda value: (np.isnan(value), value))


def shown(column, value, notes):
    """A cell: a figure, or the number of a note."""
    if isinstance(value, float):
        return f"{value:.2f}" if column == "loss" else f"{value:.0e}"
    if not value or value.endswith("%"):
        return value
    notes.setdefault(value, len(notes) + 1)
    return f"note {notes[value]}"


def table(found):
    """A row for each net, the worst of its files in each column, and the notes below."""
    lines = [f"| net | read | {' | '.join(COLUMNS.values())} |", "|---" * (2 + len(COLUMNS)) + "|"]
    notes = {}
    for framework, files in found.items():
        for net in dict.fromkeys(file.partition(".")[0] for file in files):
            rows = {file.partition(".")[2]: row for file, row in files.items() if file.partition(".")[0] == net}
            read = [kind if "refused" not in row else f"{kind}: {shown('', row['refused'], notes)}"
                    for kind, row in rows.items()]
            cells = [shown(column, worst(column, rows.values()), notes) for column in COLUMNS]
            lines.append(f"| {framework} {net} | {', '.join(read)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *[f"{n}. ``{text}``" for text, n in notes.items()]])


def is_fault(column, value):
    """Whether a figure is further off than the tolerance, a loss not finite, or either a message."""
    return isinstance(value, str) or not value <= (TOLERANCE if column in EQUAL else np.finfo(float).max)


def unequal(found):
    """What is read but is not right somewhere."""
    return [f"{file}: {column} {row[column]}" for files in found.values() for file, row in files.items()
            for column in (*EQUAL, "loss") if column in row and is_fault(column, row[column])]


def summary(found):
    """How many nets were made and read, and what is further off than the tolerance."""
    lines = []
    for framework, files in found.items():
        nets, read = ({file.partition(".")[0] for file, row in files.items() if keep(row)}
                      for keep in (lambda row: True, lambda row: "refused" not in row))
        lines.append(f"{framework}: {len(nets)} nets in {len(files)} files, {len(read)} of them read.")
    return "\n".join([*lines, *unequal(found)])


def measure(folder, packages, frameworks=tuple(WRITERS), names=()):
    """{framework: {file: columns}}, of which those in walked.json are known already."""
    kept = folder / "walked.json"
    known = json.loads(kept.read_text()) if kept.is_file() else {}
    found = {framework: {} for framework in frameworks}
    for framework in frameworks:
        place = folder / framework  # both have nets of one name
        place.mkdir(exist_ok=True)
        for file, about in write(framework, place, packages, names).items():
            if file not in known.setdefault(framework, {}):
                known[framework][file] = {"refused": f"its exporter: {about['refused']}"} if about["refused"] else \
                    walk(place / file, about["end"])
                write_whole(kept, json.dumps(known).encode())
            found[framework][file] = known[framework][file]
    return found


def main(quick=False):
    """Write, install, read, print."""
    with tempfile.TemporaryDirectory() as passing:
        top = passing if quick else os.environ.get("MINNET_IMPORTS", passing)
        folder, packages = Path(top) / "nets", Path(top) / "packages"
        folder.mkdir(parents=True, exist_ok=True)
        if not quick:
            install(packages)
        found = measure(folder, packages, ("PyTorch",), ("--quick",)) if quick else measure(folder, packages)
    text = f"{summary(found)}\n\n{table(found)}"
    print(text)
    if not quick:
        from bench.__main__ import refresh

        RESULTS.mkdir(exist_ok=True)
        write_whole(RESULTS / "imports.json", json.dumps(found, indent=1).encode())
        refresh(HERE / "README.md", text, "imports")
    return found
