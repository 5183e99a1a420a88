"""The folder of results: the files of one run, each whole, and never a mix of two runs.

    write_run("minnet-out", {"model.safetensors": data, "result.json": text})
    result = read_result("minnet-out")
"""
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from minnet.errors import FileError, file_error
from minnet.files import opened, read_bounded, write_whole

RESULT, MODEL, DENSE_MODEL, PAGE = "result.json", "model.safetensors", "dense.safetensors", "report.html"
ONNX_MODEL = "model.onnx"
NETS = (MODEL, DENSE_MODEL, ONNX_MODEL)
UNFINISHED = "unfinished.safetensors"
LARGEST_RESULT = 16 * 2**20
NEEDED = ("data", "model", "before", "after", "layers", "words", "sparsity")


def write_files(folder, files):
    """Write {name: bytes or text} into `folder`, while no other process writes there."""
    with _alone_in(folder):
        for name, content in files.items():
            write_whole(Path(folder) / name, content.encode() if isinstance(content, str) else content)


def write_run(folder, files, spared=()):
    """Write the files of a run as `write_files` does; then those that the run before left beside them go, and their
    names are returned.

    Only what that run's own result.json vouches for, by the digest, is taken for a file of that run: a model.onnx from
    elsewhere, a net that was changed or one in `unfinished.safetensors` stays, and so do the paths in `spared`.
    """
    folder = Path(folder)
    stale = [name for name in _files_of_run(folder) if name not in files]
    write_files(folder, files)
    spared = {os.path.realpath(path) for path in spared}
    stale = [name for name in stale if os.path.realpath(folder / name) not in spared]
    for name in stale:
        with suppress(OSError):  # it may stay: `read_result` compares
            (folder / name).unlink()
    return stale


def as_json(result):
    """`result` as the text of result.json."""
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def digest(data):
    """By this a result names the file of the model that it is about."""
    return hashlib.sha256(data).hexdigest()


def read_result(folder):
    """The result in `folder`, as `as_json` wrote it. Raises FileError for one that is missing, damaged or of
    another kind, and where a net beside it is not the one that it is about."""
    result = _parsed(folder)
    digests = _digests(result)
    other = [name for name in (MODEL, DENSE_MODEL) if name in digests and (Path(folder) / name).exists()
             and not _is_of(result, folder, name)]
    if other:
        raise file_error(Path(folder) / RESULT, f"is about another {' and '.join(other)} than the one beside it",
                           "run `minnet prune` again, or put back the files of one run")
    return result


def _parsed(folder):
    """What result.json holds, all that is needed in it."""
    path = Path(folder) / RESULT
    data = read_bounded(path, LARGEST_RESULT)
    try:
        result = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise file_error(path, f"is damaged: {error}", "run `minnet prune` again") from error
    missing = [name for name in NEEDED if not isinstance(result, dict) or name not in result]
    if missing:
        raise file_error(path, f"has no {', '.join(missing)}", "it is written by `minnet prune`")
    return result


def _digests(result):
    """{name: digest} of the nets that the result names; other names in it, or none, are passed over."""
    held = result.get("sha256")
    return {name: held[name] for name in NETS if name in held} if isinstance(held, dict) else {}


def _is_of(result, folder, name):
    """Whether the net `name` in the folder is the one that the result is about."""
    with opened(Path(folder) / name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == _digests(result)[name]


def _files_of_run(folder):
    """The names of the files in the folder that surely are those of the run whose result.json is there."""
    try:
        result = _parsed(folder)
        nets = [name for name in _digests(result) if (folder / name).exists() and _is_of(result, folder, name)]
    except FileError:  # nothing to go by: nothing goes
        return []
    return [RESULT, *([PAGE] if (folder / PAGE).exists() else []), *nets]


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
