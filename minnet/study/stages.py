"""The stages of a job, each stored in a folder while it runs, so that the job can be stopped at any time and goes on.

    stages = Stages("out/stages", about={"seed": 0})
    steps = stages.run(model, lambda train: train(model, data, epochs=10, rng=0))    # stage 0
    steps = stages.run(model, lambda train: recipe(model, data, 0.9, train=train))   # stage 1

A job calls its stages in the same order each time, so that their numbers are their names. One that was finished is not
run again: its net is read, and Past steps tell what its epochs were; the one under way goes on from its Checkpoint.
"""
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from minnet.engine.state import Step
from minnet.errors import Diverged, check_positive, file_error
from minnet.files import TEMPORARY, file_errors, write_whole
from minnet.formats.checkpoint import Checkpoint, arrays_of, put_into, read_stored
from minnet.formats.tensors import to_bytes
from minnet.model import Model

KIND = "stage"
REST = 1.0  # seconds: epochs that are shorter are stored together, since to wait for the disk takes as long as they do
FILE = re.compile(r"\d{4}(-run)?\.safetensors")


@dataclass(frozen=True)
class Past:
    """What is known of an epoch that was finished before the job was stopped: attributes as of Step."""

    epoch: int
    loss: float
    sparsity: float
    cut: int | None
    batch: int = 0


class Stages:
    """Store the stages of a job in a folder, and go on from what is there.

    Parameters
    ----------
    folder : str or path
        The folder, made when something is stored.
    about : mapping
        What the job depends on, as JSON: what was stored with other facts is refused.
    resume : bool
        Go on from what is there; False removes it.
    save_every : float, optional
        Seconds after which the stage under way is also stored within an epoch.
    """

    def __init__(self, folder: str | os.PathLike, *, about: Mapping, resume: bool = True,
                 save_every: float | None = None) -> None:
        self.folder, self.about = Path(folder), dict(about)
        self.save_every = None if save_every is None else check_positive("save_every", save_every)
        self.count, self.forgets = 0, False  # `forgets`: a stage ran that is not stored within
        if not resume:
            self.clear()
        self.resumes = bool(self.files)

    @property
    def files(self) -> list[Path]:
        """Return the files that are stored."""
        return sorted(path for path in self.folder.glob("*.safetensors") if FILE.fullmatch(path.name))

    def clear(self) -> None:
        """Remove what is stored, what a killed process was about to store, and the folder if nothing else is in it."""
        with file_errors(self.folder):
            for path in [*self.files, *self.folder.glob(TEMPORARY.format("*"))]:
                path.unlink()
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def run(self, model: Model, make: Callable[[Callable], Iterator[Step]]) -> Iterator[Step | Past]:
        """Run the next stage, or what is left of it.

        Parameters
        ----------
        model : Model
            What the stage changes.
        make : callable
            A function that returns the steps of the stage, given what is used in the place of `train`.

        Yields
        ------
        Step or Past
            The steps; a Past for each epoch that was finished before.
        """
        name = f"{self.count:04}"
        self.count += 1
        done, under_way = self.folder / f"{name}.safetensors", self.folder / f"{name}-run.safetensors"
        if done.exists():
            yield from _again(done, read_stored(done, KIND, self.about), model)
            return
        checkpoint = Checkpoint(under_way, about=self.about, save_every=self.save_every, rest=REST)
        rows = checkpoint.notes.setdefault("rows", [])
        yield from [Past(*row) for row in rows]
        failure = None
        try:
            for step in _noted(make(checkpoint), rows):
                self.forgets = self.forgets or checkpoint.things is None
                yield step
        except Diverged as error:
            failure = error
        self._finish(done, model, rows, failure)
        with file_errors(under_way):
            under_way.unlink(missing_ok=True)
        if failure is not None:
            raise failure

    def _finish(self, path, model, rows, failure):
        """Store the net that a stage left, and what its epochs were."""
        facts = {"kind": KIND, "about": self.about, "rows": rows, "failure": failure and str(failure)}
        with file_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, to_bytes(arrays_of(model), json.dumps(facts)))


def _noted(steps, rows):
    """Yield the steps, and note of each epoch what a Past has of it; a cut within an epoch has a row of its own."""
    for step in steps:
        if step.batch == 0 or step.cut is not None:
            rows.append([step.epoch, step.loss, step.model.sparsity, step.cut, step.batch])
        yield step


def _again(path, stored, model):
    """Yield a Past for each epoch of a stage that was finished; make the model the net that it left."""
    try:
        past = [Past(*row) for row in stored["rows"]]
        put_into(model, stored["arrays"])
        failure = stored["failure"]
    except (LookupError, TypeError) as error:
        raise file_error(path, "is damaged", "delete it: its stage is run again") from error
    yield from past
    if failure:
        raise Diverged(str(failure))
