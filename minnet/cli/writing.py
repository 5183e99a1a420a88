"""What commands write: the files of a finished job, and the net of one that was stopped."""
from contextlib import contextmanager

from minnet.cli.signals import Stopped
from minnet.errors import Diverged, MinnetError, quoted
from minnet.formats.storage import save
from minnet.report.page import page
from minnet.study.folder import PAGE, RESULT, as_json, place_for_unfinished, write_run


def write_outcome(job, result, out):
    """Write the nets of a measured job, its result and the page to `out`; returns the line that says so."""
    return write_told(job.files | {PAGE: page(result), RESULT: as_json(result)}, out)


def write_told(files, out, spared=()):
    """`write_run`; returns the line that says what was written, and what went."""
    gone = write_run(out, files, spared)
    replaced = f" (gone with the run before: {', '.join(gone)})" if gone else ""
    return f"wrote {', '.join(files)} to {quoted(str(out))}{replaced}"


@contextmanager
def keeping(job, out):
    """Inside, a job that is stopped, diverges or fails late leaves its net in `out`, and the line for the user says
    where."""
    try:
        yield
    except Stopped as stop:
        stop.kept = _keep(job, job.kept, out)
        raise
    except Diverged as error:
        said = str(error).replace("a smaller learning rate or clip_norm", "a smaller --lr")  # there is no --clip-norm
        raise Diverged(f"{said}; {_keep(job, job.kept or job.whole(job.model), out)}") from error
    except MinnetError as error:
        if job.kept is None:  # nothing is lost
            raise
        raise type(error)(f"{error}; {_keep(job, job.kept, out)}") from error


def _keep(job, model, out):
    """Save the net; returns where it is, in words."""
    if model is None:
        return "no epoch was finished, nothing is kept"
    place = place_for_unfinished(out)
    save(model, place, made=job.made)
    return f"the net as it was after the last good epoch is in {quoted(str(place))}"
