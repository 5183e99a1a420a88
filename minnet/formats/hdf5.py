"""Read HDF5 weights files in a process of their own, so that a crash of the library is an error here.

    contents = read_hdf5(file, size, path)     # an open file
    contents.layout, contents.entries, contents.model

h5_child.py says what is checked, and the form of the answer.
"""
import math
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minnet.errors import InvalidValue, file_error, import_optional, quoted
from minnet.formats.layout import most_memory
from minnet.formats.tensors import parse_json

CHILD = Path(__file__).with_name("h5_child.py")
SECONDS = 300               # that reading may take before it is given up
LONGEST_HEAD = 64 * 2**20   # bytes of the line that describes the arrays
MOST_AXES = 4
DTYPES = ("<f4", "<f8")
KEYS = {"layout", "arrays", "model", "training"}
ENTRY = {"layer", "name", "weight", "shape", "dtype", "stored"}
STORED = ("float16", "bfloat16", "float32", "float64")
ALONE = {"HDF5_PLUGIN_PRELOAD": "::", "HDF5_PLUGIN_PATH": "", "OPENBLAS_NUM_THREADS": "1"}   # "::" switches plugins off
FIX = "give a weights file that Keras wrote, whole"


@dataclass(frozen=True, eq=False)
class Entry:
    """One array: the path of its layer, the layer's own name where the file has it, and the weight's name.

    `stored` is its type in the file.
    """

    layer: str
    name: str | None
    weight: str
    value: np.ndarray
    stored: str = "float32"


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds.

    `layout` is "names" (layers in the order of the model) or "vars" (Keras 3); where it is a whole model, `model` and
    `training` are the architecture and the settings of training as JSON, not yet checked.
    """

    layout: str
    entries: list[Entry]
    model: str | None = None
    training: str | None = None


def read_hdf5(file, size, path):
    """Return the Contents of the open file of `size` bytes; `path` is its name in messages.

    Raises FileError, MissingExtra.
    """
    import_optional("h5py", "import", "an HDF5 file")
    most = most_memory(size)
    with _child(file, most) as child:
        head = child.stdout.readline(LONGEST_HEAD)
        try:
            answer, wanted = _check_head(head, most)
            entries = [Entry(*names, _array(child.stdout, dtype, shape), stored)
                       for names, dtype, shape, stored in wanted]
        except InvalidValue as error:
            child.kill()
            crashed = child.wait() < 0 and not head
            what = "crashes the HDF5 library, or takes too long" if crashed else str(error)
            raise file_error(path, quoted(" ".join(what.split())), getattr(error, "fix", FIX)) from error
    return Contents(answer["layout"], entries, answer["model"], answer["training"])


@contextmanager
def _child(file, most):
    """Run the process; kill it at the end, and when it takes too long."""
    command = [sys.executable, "-P", str(CHILD), str(most)]
    file.seek(0)
    with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,  # noqa: S603 - minnet's
                          env=os.environ | ALONE) as child:
        clock = threading.Timer(SECONDS, child.kill)
        clock.start()
        try:
            yield child
        finally:
            clock.cancel()
            child.kill()


def _check_head(head, most):
    """Return (the answer, [((layer, name, weight), dtype, shape, stored), ...]), not trusting the child."""
    if not head:
        raise InvalidValue("is damaged")
    answer = parse_json("the list of its arrays", head)
    if not isinstance(answer, dict) or set(answer) not in ({"error", "fix"}, KEYS):
        raise InvalidValue(f"is damaged: its list of arrays is {quoted(repr(answer))}")
    if "error" in answer:
        error = InvalidValue(str(answer["error"]))
        error.fix = FIX if answer["fix"] is None else quoted(str(answer["fix"]))
        raise error
    if not all(isinstance(answer[key], str | None) for key in ("model", "training")):
        raise InvalidValue("is damaged: its architecture is no text")
    wanted = [_check_entry(entry) for entry in answer["arrays"]]
    if sum(math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape, _ in wanted) > 2 * most:
        raise InvalidValue(f"asks for more than {most:,} bytes of memory")
    return answer, wanted


def _check_entry(entry):
    if not isinstance(entry, dict) or set(entry) != ENTRY:
        raise InvalidValue(f"is damaged: it describes an array by {quoted(repr(entry))}")
    names = (entry["layer"], entry["name"], entry["weight"])
    shape, dtype, stored = entry["shape"], entry["dtype"], entry["stored"]
    fits = (all(isinstance(text, str | None) for text in names) and dtype in DTYPES and stored in STORED
            and isinstance(shape, list) and len(shape) <= MOST_AXES and all(type(n) is int and n >= 0 for n in shape))
    if not fits:
        raise InvalidValue(f"is damaged: it describes an array by {quoted(repr(entry))}")
    return names, dtype, tuple(shape), stored


def _array(stream, dtype, shape):
    """Read the next array of the answer, in the machine's byte order."""
    array = np.empty(shape, dtype)
    view = memoryview(array.reshape(-1)).cast("B") if array.size else b""
    if array.size and stream.readinto(view) != len(view):
        raise InvalidValue(f"is damaged: the numbers of an array of shape {shape} cannot be read")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
