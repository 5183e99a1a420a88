"""The folder of results: the files of one run, each whole, and never a mix of two runs.

    write_files("minnet-out", {"model.safetensors": data, "result.json": text})
    result = read_result("minnet-out")
"""
import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path

from minnet.errors import file_problem
from minnet.files import read_bounded, write_whole

RESULT, MODEL, DENSE_MODEL, PAGE = "result.json", "model.safetensors", "dense.safetensors", "report.html"
ONNX_MODEL = "model.onnx"
UNFINISHED = "unfinished.safetensors"
LARGEST_RESULT = 16 * 2**20
NEEDED = ("data", "model", "before", "after", "layers", "words", "sparsity")


def write_files(folder, files):
    """Write {name: bytes or text} into `folder`, while no other process writes there."""
    with _alone_in(folder):
        for name, content in files.items():
            write_whole(Path(folder) / name, content.encode() if isinstance(content, str) else content)


def as_json(result):
    """`result` as the text of result.json."""
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def digest(data):
    """By this a result names the file of the model that it is about."""
    return hashlib.sha256(data).hexdigest()


def read_result(folder):
    """The result in `folder`, as `as_json` wrote it. Raises FileProblem for one that is missing, damaged or of
    another kind."""
    path = Path(folder) / RESULT
    data = read_bounded(path, LARGEST_RESULT)
    try:
        result = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise file_problem(path, f"is damaged: {error}", "run `minnet prune` again") from error
    missing = [name for name in NEEDED if not isinstance(result, dict) or name not in result]
    if missing:
        raise file_problem(path, f"has no {', '.join(missing)}", "it is written by `minnet prune`")
    return result


def place_for_unfinished(folder):
    """Where the net of a run that was stopped goes: beside the files of a finished run, of `train` or of `import`,
    never in the place of one."""
    finished = any((Path(folder) / name).exists() for name in (RESULT, MODEL))
    return Path(folder) / (UNFINISHED if finished else MODEL)


def _no_number(name):
    raise ValueError(f"{name} is no number in JSON")


@contextmanager
def _alone_in(folder):
    """Hold a lock on the folder itself; it ends with the process, so none is left behind. Where the system has no such
    locks each file is whole still."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
