"""The files that commands write: those of a finished job, and the model of one that was stopped."""
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from minnet.cli.signals import Stopped
from minnet.errors import Diverged, FileError, MinnetError, quoted
from minnet.formats.storage import file_bytes
from minnet.model import Model
from minnet.report.page import page
from minnet.study.folder import PAGE, RESULT, as_json, write_run, write_unfinished
from minnet.study.job import Job
from minnet.study.training import Training


def write_job(job: Job, result: dict, out: Path) -> str:
    """Write the models of a measured job, its result and the page to `out`; return the message for the user."""
    return write_and_describe(job.files | {PAGE: page(result), RESULT: as_json(result)}, out)


def write_and_describe(files: Mapping[str, bytes | str], out: Path, spared: Iterable[str | PathLike] = ()) -> str:
    """Call `write_run` and return a message that lists the files written and removed."""
    removed = write_run(out, files, spared)
    replaced = f" (removed, from the previous run: {', '.join(removed)})" if removed else ""
    return f"wrote {', '.join(files)} to {quoted(str(out))}{replaced}"


@contextmanager
def save_on_failure(job: Training, out: Path) -> Iterator[None]:
    """Save the model to `out` if the job is stopped, diverges or fails late; the error says where it is."""
    try:
        yield
    except Stopped as stop:
        stop.kept = _save(job, job.kept, out) + _how_to_go_on(job)
        raise
    except Diverged as error:
        # the command line has no --clip-norm
        text = str(error).replace("a smaller learning rate or clip_norm", "a smaller --lr")
        if job.stages is not None:  # it would diverge again
            job.stages.clear()
        raise Diverged(f"{text}; {_save(job, job.kept or job.whole(job.model), out)}") from error
    except MinnetError as error:
        if job.kept is None:  # no epoch is lost
            raise
        raise type(error)(f"{error}; {_save(job, job.kept, out)}") from error


def _how_to_go_on(job):
    """Return how a stopped job goes on, if anything of it was stored."""
    return "; the same command with --resume goes on" if job.stages is not None and job.stages.files else ""


def _save(job: Training, model: Model | None, out: Path) -> str:
    """Save the model; return a message that says where it is, or why it could not be saved."""
    if model is None:
        return "no epoch was finished, nothing was saved"
    try:
        path = write_unfinished(out, file_bytes(model, made=job.made))
    except FileError as error:
        return f"the model of the last finished epoch could not be saved: {error}"
    return f"saved the model of the last finished epoch to {quoted(str(path))}"
