"""The folder of results: the files of one run, replaced as one, never those of two runs.

    write_run("minnet-out", {"model.safetensors": data, "result.json": text})
    result = read_result("minnet-out")

The digests in result.json identify the models of its run. How several files are replaced as one: transaction.py.
"""
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from minnet.errors import FileError, file_error
from minnet.files import opened, read_bounded
from minnet.study.schema import problem_of
from minnet.study.transaction import reading, replacing

RESULT, MODEL, DENSE_MODEL, PAGE = "result.json", "model.safetensors", "dense.safetensors", "report.html"
PLAY = "play.html"
ONNX_MODEL = "model.onnx"
NETS = (MODEL, DENSE_MODEL, ONNX_MODEL)
UNFINISHED = "unfinished.safetensors"
LARGEST_RESULT = 16 * 2**20
LARGEST_PAGE = 64 * 2**20


def write_files(folder: str | os.PathLike, files: Mapping[str, bytes | str]) -> None:
    """Write {name: content} into `folder`, as one; its other files stay."""
    with replacing(folder) as new:
        for name, content in files.items():
            new.write(name, _encoded(content))


def write_run(folder: str | os.PathLike, files: Mapping[str, bytes | str],
              spared: Iterable[str | os.PathLike] = ()) -> list[str]:
    """Write the files of a run and remove the other files of the previous run, as one; return the names of those.

    Only files whose digest is in that run's result.json are removed: a model.onnx from elsewhere, a model that was
    changed or one in `unfinished.safetensors` is kept, and so are the paths in `spared`.
    """
    folder = Path(folder)
    kept = {os.path.realpath(path) for path in spared}
    with replacing(folder) as new:
        stale = [name for name in files_of_run(folder)
                 if name not in files and os.path.realpath(folder / name) not in kept]
        for name, content in files.items():
            new.write(name, _encoded(content))
        for name in stale:
            new.remove(name)
    return stale


def write_unfinished(folder: str | os.PathLike, data: bytes) -> Path:
    """Write the model of a stopped run and return its path; it never replaces that of a finished run."""
    with replacing(folder) as new:
        finished = any((Path(folder) / name).exists() for name in (RESULT, MODEL))
        name = UNFINISHED if finished else MODEL
        new.write(name, data)
    return Path(folder) / name


def write_page(folder: str | os.PathLike, page: Callable[[Mapping, str | None], str], play: str | None = None) -> None:
    """Write the page that `page` makes of the result and the playground in `folder`; raises what `read_result` raises.

    Where `play` is given, that is the playground, and is written too.
    """
    with replacing(folder) as new:
        if play is not None:
            new.write(PLAY, play.encode())
        elif (Path(folder) / PLAY).exists():
            play = read_bounded(Path(folder) / PLAY, LARGEST_PAGE).decode("utf-8", "replace")
        new.write(PAGE, page(_checked_result(folder), play).encode())


def as_json(result: Mapping) -> str:
    """Return the text of result.json."""
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def digest(data: bytes) -> str:
    """Return the SHA-256 digest by which a result identifies a model's file."""
    return hashlib.sha256(data).hexdigest()


def read_result(folder: str | os.PathLike) -> dict:
    """Return the result in `folder`, as `as_json` wrote it.

    Raises FileError if it is missing, damaged or of another kind, or if a model in the folder has another digest.
    """
    with reading(folder):
        return _checked_result(folder)


def _checked_result(folder):
    """Return the result, checked against the models in the folder, which the caller has locked."""
    result = _parsed(folder)
    digests = _digests(result)
    other = [name for name in (MODEL, DENSE_MODEL) if name in digests and (Path(folder) / name).exists()
             and not _is_of(result, folder, name)]
    if other:
        raise file_error(Path(folder) / RESULT, f"describes another {' and '.join(other)} than the one in this folder",
                         "run `minnet prune` again, or restore the files of one run")
    return result


def _parsed(folder):
    """Return the content of result.json, checked against its schema."""
    path = Path(folder) / RESULT
    data = read_bounded(path, LARGEST_RESULT)
    try:
        result = json.loads(data, parse_constant=_no_number)
        json.dumps(result, ensure_ascii=False).encode()  # half a surrogate pair is no text that a page can hold
    except (ValueError, RecursionError) as error:
        raise file_error(path, f"is damaged: {error}", "run `minnet prune` again") from error
    problem = problem_of(result)
    if problem:
        raise file_error(path, f"is no result of `minnet prune`: {problem}", "run `minnet prune` again")
    return result


def _digests(result):
    """Return {name: digest} of the models in the result; unknown names are ignored."""
    held = result.get("sha256")
    return {name: held[name] for name in NETS if name in held} if isinstance(held, dict) else {}


def _is_of(result, folder, name):
    """Return True if the model `name` in the folder has the digest of the result."""
    with opened(Path(folder) / name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == _digests(result)[name]


def files_of_run(folder: Path) -> list[str]:
    """Return the names of the files that provably belong to the run of result.json in the folder."""
    try:
        result = _parsed(folder)
        nets = [name for name in _digests(result) if (folder / name).exists() and _is_of(result, folder, name)]
    except FileError:  # without a result no file can be attributed to a run
        return []
    return [RESULT, *(page for page in (PAGE, PLAY) if (folder / page).exists()), *nets]


def _no_number(name):
    raise ValueError(f"{name} is no number in JSON")


def _encoded(content):
    return content.encode() if isinstance(content, str) else content
